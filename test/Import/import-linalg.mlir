// RUN: qlow-opt -split-input-file -qlow-import-linalg %s | FileCheck %s

// Signed codes: both sides take scale 1, which an i32 sum never reads; a zero fill leaves nothing behind.
// CHECK-DAG: ![[S8:q[0-9]*]] = !qlow.q<i8 : f32>
// CHECK-LABEL: @signed
// CHECK-SAME: %[[A:.*]]: tensor<?x8xi8>, %[[B:.*]]: tensor<8x4xi8>
// CHECK: %[[QA:.*]] = qlow.compose %[[A]], %{{.*}} -> tensor<?x8x![[S8]]>
// CHECK: %[[QB:.*]] = qlow.compose %[[B]], %{{.*}} -> tensor<8x4x![[S8]]>
// CHECK: %[[ACC:.*]] = qlow.matmul %[[QA]], %[[QB]] : {{.*}} -> tensor<?x4xi32>
// CHECK-NEXT: return %[[ACC]]
func.func @signed(%a: tensor<?x8xi8>, %b: tensor<8x4xi8>) -> tensor<?x4xi32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0 : i32
  %m = tensor.dim %a, %c0 : tensor<?x8xi8>
  %empty = tensor.empty(%m) : tensor<?x4xi32>
  %init = linalg.fill ins(%zero : i32) outs(%empty : tensor<?x4xi32>) -> tensor<?x4xi32>
  %y = linalg.matmul ins(%a, %b : tensor<?x8xi8>, tensor<8x4xi8>) outs(%init : tensor<?x4xi32>) -> tensor<?x4xi32>
  return %y : tensor<?x4xi32>
}

// -----

// cast_unsigned reads both sides as u8.
// CHECK-DAG: ![[U8:q[0-9]*]] = !qlow.q<u8 : f32>
// CHECK-LABEL: @unsigned
// CHECK: qlow.matmul %{{.*}} : tensor<2x8x![[U8]]>, tensor<8x4x![[U8]]> -> tensor<2x4xi32>
func.func @unsigned(%a: tensor<2x8xi8>, %b: tensor<8x4xi8>) -> tensor<2x4xi32> {
  %init = arith.constant dense<0> : tensor<2x4xi32>
  %y = linalg.matmul {cast = #linalg.type_fn<cast_unsigned>} ins(%a, %b : tensor<2x8xi8>, tensor<8x4xi8>)
                     outs(%init : tensor<2x4xi32>) -> tensor<2x4xi32>
  return %y : tensor<2x4xi32>
}

// -----

// An init that is no zero fill is added to the sum.
// CHECK-LABEL: @accumulates
// CHECK-SAME: %[[INIT:[^:]*]]: tensor<2x4xi32>)
// CHECK: %[[ACC:.*]] = qlow.matmul
// CHECK: linalg.generic {{.*}} ins(%[[ACC]], %[[INIT]]
// CHECK: arith.addi
func.func @accumulates(%a: tensor<2x8xi8>, %b: tensor<8x4xi8>, %init: tensor<2x4xi32>) -> tensor<2x4xi32> {
  %y = linalg.matmul ins(%a, %b : tensor<2x8xi8>, tensor<8x4xi8>) outs(%init : tensor<2x4xi32>) -> tensor<2x4xi32>
  return %y : tensor<2x4xi32>
}

// -----

// Indexing maps say which side is transposed, with batches too.
#a = affine_map<(b, m, n, k) -> (b, k, m)>
#b = affine_map<(b, m, n, k) -> (b, n, k)>
#c = affine_map<(b, m, n, k) -> (b, m, n)>
// CHECK-DAG: ![[S8:q[0-9]*]] = !qlow.q<i8 : f32>
// CHECK-LABEL: @transposed
// CHECK: qlow.matmul transpose_lhs transpose_rhs
// CHECK-SAME: tensor<3x8x2x![[S8]]>, tensor<3x4x8x![[S8]]> -> tensor<3x2x4xi32>
func.func @transposed(%a: tensor<3x8x2xi8>, %b: tensor<3x4x8xi8>) -> tensor<3x2x4xi32> {
  %init = arith.constant dense<0> : tensor<3x2x4xi32>
  %y = linalg.contract indexing_maps = [#a, #b, #c] ins(%a, %b : tensor<3x8x2xi8>, tensor<3x4x8xi8>)
                       outs(%init : tensor<3x2x4xi32>) -> tensor<3x2x4xi32>
  return %y : tensor<3x2x4xi32>
}

// -----

// A product stored as [n, m] is the product of the sides in the other order.
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (n, m)>
// CHECK-LABEL: @stored_transposed
// CHECK-SAME: %[[A:.*]]: tensor<2x8xf32>, %[[B:.*]]: tensor<8x4xf32>
// CHECK: qlow.matmul transpose_lhs transpose_rhs %[[B]], %[[A]] : tensor<8x4xf32>, tensor<2x8xf32> -> tensor<4x2xf32>
func.func @stored_transposed(%a: tensor<2x8xf32>, %b: tensor<8x4xf32>) -> tensor<4x2xf32> {
  %init = arith.constant dense<0.0> : tensor<4x2xf32>
  %y = linalg.contract indexing_maps = [#a, #b, #c] ins(%a, %b : tensor<2x8xf32>, tensor<8x4xf32>)
                       outs(%init : tensor<4x2xf32>) -> tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}

// -----

// A generic may widen its sides differently: u8 x s8.
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
// CHECK-DAG: ![[U8:q[0-9]*]] = !qlow.q<u8 : f32>
// CHECK-DAG: ![[S8:q[0-9]*]] = !qlow.q<i8 : f32>
// CHECK-LABEL: @mixed_signs
// CHECK: qlow.matmul %{{.*}} : tensor<2x8x![[U8]]>, tensor<8x4x![[S8]]> -> tensor<2x4xi32>
func.func @mixed_signs(%a: tensor<2x8xi8>, %b: tensor<8x4xi8>) -> tensor<2x4xi32> {
  %init = arith.constant dense<0> : tensor<2x4xi32>
  %y = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : tensor<2x8xi8>, tensor<8x4xi8>) outs(%init : tensor<2x4xi32>) {
  ^bb0(%x: i8, %w: i8, %out: i32):
    %0 = arith.extsi %w : i8 to i32
    %1 = arith.extui %x : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %2, %out : i32
    linalg.yield %3 : i32
  } -> tensor<2x4xi32>
  return %y : tensor<2x4xi32>
}

// -----

// Zero points become parts: a constant byte, or a scalar that was one.
// CHECK-DAG: ![[LHS:q[0-9]*]] = !qlow.q<i8 : f32, zero = u8>
// CHECK-DAG: ![[RHS:q[0-9]*]] = !qlow.q<i8 : f32, zero = i8>
// CHECK-LABEL: @zero_points
// CHECK-SAME: %[[ZB:[^:]*]]: i8)
// CHECK: %[[ZA:.*]] = arith.constant dense<-128> : tensor<1xi8>
// CHECK: %[[PART:.*]] = tensor.from_elements %[[ZB]] : tensor<1xi8>
// CHECK: qlow.compose %{{.*}}, %{{.*}}, %[[ZA]]
// CHECK: qlow.compose %{{.*}}, %{{.*}}, %[[PART]]
// CHECK: qlow.matmul %{{.*}} : tensor<2x8x![[LHS]]>, tensor<8x4x![[RHS]]>
func.func @zero_points(%a: tensor<2x8xi8>, %b: tensor<8x4xi8>, %z: i8) -> tensor<2x4xi32> {
  %za = arith.constant 128 : i32
  %zb = arith.extsi %z : i8 to i32
  %init = arith.constant dense<0> : tensor<2x4xi32>
  %y = linalg.quantized_matmul ins(%a, %b, %za, %zb : tensor<2x8xi8>, tensor<8x4xi8>, i32, i32)
                               outs(%init : tensor<2x4xi32>) -> tensor<2x4xi32>
  return %y : tensor<2x4xi32>
}

// -----

// Zero points of 0 are no zero points; batches go along.
// CHECK-DAG: ![[S8:q[0-9]*]] = !qlow.q<i8 : f32>
// CHECK-LABEL: @zero_of_zero
// CHECK: qlow.matmul %{{.*}} : tensor<3x2x8x![[S8]]>, tensor<3x8x4x![[S8]]> -> tensor<3x2x4xi32>
func.func @zero_of_zero(%a: tensor<3x2x8xi8>, %b: tensor<3x8x4xi8>) -> tensor<3x2x4xi32> {
  %z = arith.constant 0 : i32
  %init = arith.constant dense<0> : tensor<3x2x4xi32>
  %y = linalg.quantized_batch_matmul ins(%a, %b, %z, %z : tensor<3x2x8xi8>, tensor<3x8x4xi8>, i32, i32)
                                     outs(%init : tensor<3x2x4xi32>) -> tensor<3x2x4xi32>
  return %y : tensor<3x2x4xi32>
}

// -----

// A zero point that is any i32 at run time has no byte: the op stays linalg.
// CHECK-LABEL: @wide_zero_point
// CHECK-NOT: qlow
// CHECK: linalg.quantized_matmul
func.func @wide_zero_point(%a: tensor<2x8xi8>, %b: tensor<8x4xi8>, %z: i32) -> tensor<2x4xi32> {
  %init = arith.constant dense<0> : tensor<2x4xi32>
  %y = linalg.quantized_matmul ins(%a, %b, %z, %z : tensor<2x8xi8>, tensor<8x4xi8>, i32, i32)
                               outs(%init : tensor<2x4xi32>) -> tensor<2x4xi32>
  return %y : tensor<2x4xi32>
}

// -----

// Floats too, so that they reach the fast kernel; an init is added after the product.
// CHECK-LABEL: @floats
// CHECK-SAME: %[[A:.*]]: tensor<?x8xf16>, %[[B:.*]]: tensor<8x4xf16>, %[[INIT:.*]]: tensor<?x4xf32>
// CHECK: %[[Y:.*]] = qlow.matmul %[[A]], %[[B]] : tensor<?x8xf16>, tensor<8x4xf16> -> tensor<?x4xf32>
// CHECK: linalg.generic {{.*}} ins(%[[Y]], %[[INIT]]
// CHECK: arith.addf
func.func @floats(%a: tensor<?x8xf16>, %b: tensor<8x4xf16>, %init: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %y = linalg.matmul ins(%a, %b : tensor<?x8xf16>, tensor<8x4xf16>) outs(%init : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// -----

// What is no product of these types stays: a maximum in place of the sum, f64, a side without batch.
#a = affine_map<(b, m, n, k) -> (b, m, k)>
#b = affine_map<(b, m, n, k) -> (k, n)>
#c = affine_map<(b, m, n, k) -> (b, m, n)>
#d = affine_map<(m, n, k) -> (m, k)>
#e = affine_map<(m, n, k) -> (k, n)>
#f = affine_map<(m, n, k) -> (m, n)>
// CHECK-LABEL: @others
// CHECK-NOT: qlow
// CHECK: return
func.func @others(%a: tensor<2x8xf32>, %b: tensor<8x4xf32>, %c: tensor<2x8xf64>, %d: tensor<8x4xf64>,
                  %e: tensor<3x2x8xf32>) -> (tensor<2x4xf32>, tensor<2x4xf64>, tensor<3x2x4xf32>) {
  %init = arith.constant dense<0.0> : tensor<2x4xf32>
  %max = linalg.generic {indexing_maps = [#d, #e, #f], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%a, %b : tensor<2x8xf32>, tensor<8x4xf32>) outs(%init : tensor<2x4xf32>) {
  ^bb0(%x: f32, %w: f32, %out: f32):
    %0 = arith.mulf %w, %x : f32
    %1 = arith.maximumf %0, %out : f32
    linalg.yield %1 : f32
  } -> tensor<2x4xf32>
  %init64 = arith.constant dense<0.0> : tensor<2x4xf64>
  %double = linalg.matmul ins(%c, %d : tensor<2x8xf64>, tensor<8x4xf64>) outs(%init64 : tensor<2x4xf64>) -> tensor<2x4xf64>
  %init3 = arith.constant dense<0.0> : tensor<3x2x4xf32>
  %one_batch = linalg.contract indexing_maps = [#a, #b, #c] ins(%e, %b : tensor<3x2x8xf32>, tensor<8x4xf32>)
                               outs(%init3 : tensor<3x2x4xf32>) -> tensor<3x2x4xf32>
  return %max, %double, %one_batch : tensor<2x4xf32>, tensor<2x4xf64>, tensor<3x2x4xf32>
}

// -----

// A softmax is what linalg says it stands for; of integers it is nothing.
// CHECK-LABEL: @softmax
// CHECK: arith.maxnumf
// CHECK: math.exp
// CHECK: arith.addf
// CHECK: %[[Y:.*]] = linalg.generic
// CHECK-NEXT: ^bb0
// CHECK-NEXT: arith.divf
// CHECK: linalg.softmax {{.*}} : tensor<2x?xi32>
// CHECK: return %[[Y]]
func.func @softmax(%x: tensor<2x?xf16>, %y: tensor<2x?xf16>, %i: tensor<2x?xi32>) -> (tensor<2x?xf16>, tensor<2x?xi32>) {
  %0 = linalg.softmax dimension(1) ins(%x : tensor<2x?xf16>) outs(%y : tensor<2x?xf16>) -> tensor<2x?xf16>
  %1 = linalg.softmax dimension(1) ins(%i : tensor<2x?xi32>) outs(%i : tensor<2x?xi32>) -> tensor<2x?xi32>
  return %0, %1 : tensor<2x?xf16>, tensor<2x?xi32>
}
