// RUN: qlow-opt %s --qlow-fuse-epilogues --canonicalize --split-input-file | FileCheck %s --check-prefixes=CHECK,ANY
// RUN: qlow-opt %s --qlow-fuse-epilogues=target=sm_80 --canonicalize --split-input-file | FileCheck %s --check-prefixes=CHECK,DEVICE

!u8 = !qlow.q<u8 : f32, zero = u8>
!s8 = !qlow.q<i8 : f32>
!s8n = !qlow.q<i8 : f32, block = [*, 1]>

// An i32 result is the sum and the bias; scales do not matter.
// CHECK-LABEL: @integers
// CHECK: qlow.matmul %{{.*}}, %{{.*}} extras(%[[BIAS:.*]] : tensor<16xi32>) maps [#[[N:.*]]] epilogue {
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: i32, %[[B:.*]]: i32):
// CHECK-NEXT: %[[SUM:.*]] = arith.addi %[[ACC]], %[[B]]
// CHECK-NEXT: qlow.yield %[[SUM]] : i32
func.func @integers(%a: tensor<4x8x!u8>, %b: tensor<8x16x!s8>, %bias: tensor<16xi32>) -> tensor<4x16xi32> {
  %0 = qlow.matmul %a, %b bias(%bias : tensor<16xi32>) : tensor<4x8x!u8>, tensor<8x16x!s8> -> tensor<4x16xi32>
  return %0 : tensor<4x16xi32>
}

// A float result is f32(sum) * (sa * sb) + bias; the product of run-time scales is a tensor of N, not of M x N.
// CHECK-LABEL: @floats
// CHECK: %[[A:.*]]:3 = qlow.decompose %arg0
// CHECK: %[[B:.*]]:2 = qlow.decompose %arg1
// CHECK: %[[SCALES:.*]] = linalg.generic {{.*}} ins(%[[A]]#1, %[[B]]#1 : tensor<f32>, tensor<1x16xf32>)
// CHECK:   arith.mulf
// CHECK: qlow.matmul %arg0, %arg1 extras(%[[SCALES]], %arg2 : tensor<16xf32>, tensor<16xf32>)
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: i32, %[[SCALE:.*]]: f32, %[[BIAS:.*]]: f32):
// CHECK-NEXT: %[[X:.*]] = arith.sitofp %[[ACC]]
// CHECK-NEXT: %[[SCALED:.*]] = arith.mulf %[[X]], %[[SCALE]]
// CHECK-NEXT: %[[Y:.*]] = arith.addf %[[SCALED]], %[[BIAS]]
// CHECK-NEXT: qlow.yield %[[Y]] : f32
func.func @floats(%a: tensor<4x8x!u8>, %b: tensor<8x16x!s8n>, %bias: tensor<16xf32>) -> tensor<4x16xf32> {
  %0 = qlow.matmul %a, %b bias(%bias : tensor<16xf32>) : tensor<4x8x!u8>, tensor<8x16x!s8n> -> tensor<4x16xf32>
  return %0 : tensor<4x16xf32>
}

// A float sum needs no scale: the kernel dequantizes.
// CHECK-LABEL: @float_path
// CHECK: qlow.matmul transpose_rhs %arg0, %arg1 epilogue {
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: f32):
// CHECK-NEXT: qlow.yield %[[ACC]] : f32
func.func @float_path(%a: tensor<4x64xf32>, %b: tensor<16x64x!qlow.q<nf4 : f16, block = [1, 32]>>) -> tensor<4x16xf32> {
  %0 = qlow.matmul transpose_rhs %a, %b : tensor<4x64xf32>, tensor<16x64x!qlow.q<nf4 : f16, block = [1, 32]>> -> tensor<4x16xf32>
  return %0 : tensor<4x16xf32>
}

// -----

!s8 = !qlow.q<i8 : f32>
!s8n = !qlow.q<i8 : f32, block = [*, 1]>

// Constant scales: (sa * sb) / sy is computed here, each step rounded to f32: (0.1 * 0.3) / 0.7 and (0.1 * 1.0) / 0.7.
// The constant zero point moves into the bounds, -128 - 5 and 127 - 5.
// CHECK-LABEL: @quantized
// CHECK-DAG: %[[M:.*]] = arith.constant dense<[0.042857144, 0.142857149]> : tensor<2xf32>
// CHECK: qlow.matmul {{.*}} parts(%{{.*}}, %{{.*}} : tensor<f32>, tensor<1xi8>) extras(%[[M]] : tensor<2xf32>)
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: i32, %[[MULT:.*]]: f32):
// CHECK-DAG: %[[LOW:.*]] = arith.constant -1.330000e+02 : f32
// CHECK-DAG: %[[HIGH:.*]] = arith.constant 1.220000e+02 : f32
// CHECK: %[[X:.*]] = arith.sitofp %[[ACC]]
// CHECK: %[[Y:.*]] = arith.mulf %[[X]], %[[MULT]]
// CHECK: arith.cmpf ogt, %[[Y]], %[[LOW]]
// CHECK: arith.cmpf olt, %{{.*}}, %[[HIGH]]
// CHECK: %[[CODE:.*]] = arith.trunci %{{.*}} : i32 to i8
// CHECK: qlow.yield %[[CODE]] : i8
func.func @quantized(%a: tensor<4x8xi8>, %b: tensor<8x2xi8>) -> tensor<4x2x!qlow.q<i8 : f32, zero = i8>> {
  %sa = arith.constant dense<0.1> : tensor<f32>
  %sb = arith.constant dense<[[0.3, 1.0]]> : tensor<1x2xf32>
  %sy = arith.constant dense<0.7> : tensor<f32>
  %zy = arith.constant dense<5> : tensor<1xi8>
  %lhs = qlow.compose %a, %sa : (tensor<4x8xi8>, tensor<f32>) -> tensor<4x8x!s8>
  %rhs = qlow.compose %b, %sb : (tensor<8x2xi8>, tensor<1x2xf32>) -> tensor<8x2x!s8n>
  %0 = qlow.matmul %lhs, %rhs parts(%sy, %zy : tensor<f32>, tensor<1xi8>)
     : tensor<4x8x!s8>, tensor<8x2x!s8n> -> tensor<4x2x!qlow.q<i8 : f32, zero = i8>>
  return %0 : tensor<4x2x!qlow.q<i8 : f32, zero = i8>>
}

// Images with a step scale the product: E2M1 is half of an integer.
// CHECK-LABEL: @steps
// CHECK: qlow.matmul
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: i32):
// CHECK-NEXT: %[[C:.*]] = arith.constant 7.500000e-01 : f32
// CHECK-NEXT: %[[X:.*]] = arith.sitofp %[[ACC]]
// CHECK-NEXT: arith.mulf %[[X]], %[[C]]
func.func @steps(%a: tensor<4x4xi8>, %b: tensor<8x2xi8>) -> tensor<4x2xf32> {
  %sa = arith.constant dense<0.5> : tensor<f32>
  %sb = arith.constant dense<3.0> : tensor<f32>
  %lhs = qlow.compose %a, %sa : (tensor<4x4xi8>, tensor<f32>) -> tensor<4x8x!qlow.q<f4E2M1FN : f32>>
  %rhs = qlow.compose %b, %sb : (tensor<8x2xi8>, tensor<f32>) -> tensor<8x2x!s8>
  %0 = qlow.matmul %lhs, %rhs : tensor<4x8x!qlow.q<f4E2M1FN : f32>>, tensor<8x2x!s8> -> tensor<4x2xf32>
  return %0 : tensor<4x2xf32>
}

// Codes smaller than a byte leave the matmul as bytes and are packed after it.
// CHECK-LABEL: @packed
// CHECK: %[[CODES:.*]] = qlow.matmul {{.*}} epilogue
// CHECK: qlow.yield %{{.*}} : i8
// CHECK-NEXT: } {{.*}} -> tensor<4x2xi8>
// CHECK: %[[PACKED:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<4x1xi8>)
// CHECK: tensor.extract %[[CODES]]
// CHECK: qlow.compose %[[PACKED]], %{{.*}} -> tensor<4x2x!
func.func @packed(%a: tensor<4x8x!s8>, %b: tensor<8x2x!s8>, %s: tensor<f32>) -> tensor<4x2x!qlow.q<u4 : f32>> {
  %0 = qlow.matmul %a, %b parts(%s : tensor<f32>) : tensor<4x8x!s8>, tensor<8x2x!s8> -> tensor<4x2x!qlow.q<u4 : f32>>
  return %0 : tensor<4x2x!qlow.q<u4 : f32>>
}

// -----

!s8 = !qlow.q<i8 : f32>
!u8 = !qlow.q<u8 : f32, zero = u8>

// A requantization is the end of the region, its multipliers an extra; a zero point known at run time is one too.
// CHECK-LABEL: @requantize
// CHECK: %[[ZERO:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<i32>)
// CHECK: %[[Y:.*]] = qlow.matmul %arg0, %arg1 parts(%arg3, %arg4 : tensor<f32>, tensor<1xi8>) extras(%arg2, %[[ZERO]] : tensor<16xf32>, tensor<i32>)
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: i32, %[[MULT:.*]]: f32, %[[Z:.*]]: i32):
// CHECK: arith.mulf %{{.*}}, %[[MULT]]
// CHECK: arith.addi %{{.*}}, %[[Z]]
// CHECK: qlow.yield %{{.*}} : i8
// CHECK-NEXT: }
// CHECK-NEXT: return %[[Y]]
func.func @requantize(%a: tensor<?x8x!s8>, %b: tensor<8x16x!s8>, %m: tensor<16xf32>, %s: tensor<f32>, %z: tensor<1xi8>) -> tensor<?x16x!u8> {
  %0 = qlow.matmul %a, %b : tensor<?x8x!s8>, tensor<8x16x!s8> -> tensor<?x16xi32>
  %1 = qlow.requantize half_even %0, %m parts(%s, %z : tensor<f32>, tensor<1xi8>)
     : tensor<?x16xi32>, tensor<16xf32> -> tensor<?x16x!u8>
  return %1 : tensor<?x16x!u8>
}

// TOSA's rule is integer arithmetic in the region.
// CHECK-LABEL: @rescale
// CHECK: qlow.matmul
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: i32, %[[MULT:.*]]: i32, %[[SHIFT:.*]]: i8):
// CHECK: arith.extsi %[[ACC]] : i32 to i64
// CHECK: arith.shrsi
// CHECK: qlow.yield %{{.*}} : i8
// CHECK-NOT: qlow.requantize
func.func @rescale(%a: tensor<4x8x!s8>, %b: tensor<8x16x!s8>, %m: tensor<16xi32>, %n: tensor<16xi8>, %s: tensor<f32>) -> tensor<4x16x!s8> {
  %0 = qlow.matmul %a, %b : tensor<4x8x!s8>, tensor<8x16x!s8> -> tensor<4x16xi32>
  %1 = qlow.requantize double %0, %m shift(%n : tensor<16xi8>) parts(%s : tensor<f32>)
     : tensor<4x16xi32>, tensor<16xi32> -> tensor<4x16x!s8>
  return %1 : tensor<4x16x!s8>
}

// A chain of a broadcast bias, relu, a residual that is computed later, and quantization moves in whole: the matmul
// goes down to where the residual is there.
// CHECK-LABEL: @chain
// CHECK: %[[RESIDUAL:.*]] = math.exp %arg3
// CHECK-NEXT: %[[Y:.*]] = qlow.matmul %arg0, %arg1 parts(%arg4 : tensor<f32>) extras(%arg2, %[[RESIDUAL]], %arg4 : tensor<16xf32>, tensor<?x16xf32>, tensor<f32>) maps [#[[N:.*]], #[[MN:.*]], #[[NONE:.*]]] epilogue {
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: f32, %[[BIAS:.*]]: f32, %[[R:.*]]: f32, %[[S:.*]]: f32):
// CHECK: %[[SUM:.*]] = arith.addf %[[ACC]], %[[BIAS]]
// CHECK: %[[RELU:.*]] = arith.maximumf %[[SUM]], %{{.*}}
// CHECK: %[[BOTH:.*]] = arith.addf %[[RELU]], %[[R]]
// CHECK: arith.divf %[[BOTH]], %[[S]]
// CHECK: qlow.yield %{{.*}} : i8
// CHECK-NEXT: }
// CHECK-NEXT: return %[[Y]]
func.func @chain(%a: tensor<?x8xf32>, %b: tensor<8x16xf32>, %bias: tensor<16xf32>, %x: tensor<?x16xf32>, %s: tensor<f32>) -> tensor<?x16x!s8> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %0 = qlow.matmul %a, %b : tensor<?x8xf32>, tensor<8x16xf32> -> tensor<?x16xf32>
  %m = tensor.dim %0, %c0 : tensor<?x16xf32>
  %e = tensor.empty(%m) : tensor<?x16xf32>
  %wide = linalg.broadcast ins(%bias : tensor<16xf32>) outs(%e : tensor<?x16xf32>) dimensions = [0]
  %1 = linalg.add ins(%0, %wide : tensor<?x16xf32>, tensor<?x16xf32>) outs(%e : tensor<?x16xf32>) -> tensor<?x16xf32>
  %zeros = linalg.fill ins(%zero : f32) outs(%e : tensor<?x16xf32>) -> tensor<?x16xf32>
  %2 = linalg.max ins(%1, %zeros : tensor<?x16xf32>, tensor<?x16xf32>) outs(%e : tensor<?x16xf32>) -> tensor<?x16xf32>
  %residual = math.exp %x : tensor<?x16xf32>
  %3 = arith.addf %2, %residual : tensor<?x16xf32>
  %4 = qlow.quantize %3, %s : (tensor<?x16xf32>, tensor<f32>) -> tensor<?x16x!s8>
  return %4 : tensor<?x16x!s8>
}

// -----

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0)>
#turned = affine_map<(d0, d1) -> (d1, d0)>

// What two ops use stays, so that it is computed once.
// CHECK-LABEL: @two_users
// CHECK: qlow.matmul {{.*}} epilogue {
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: f32):
// CHECK-NEXT: qlow.yield %[[ACC]]
// CHECK: math.exp
// CHECK: math.absf
func.func @two_users(%a: tensor<4x8xf32>, %b: tensor<8x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>) {
  %0 = qlow.matmul %a, %b : tensor<4x8xf32>, tensor<8x4xf32> -> tensor<4x4xf32>
  %1 = math.exp %0 : tensor<4x4xf32>
  %2 = math.absf %0 : tensor<4x4xf32>
  return %1, %2 : tensor<4x4xf32>, tensor<4x4xf32>
}

// A reduction and a transposed use are no epilogues.
// CHECK-LABEL: @reduction
// CHECK: qlow.matmul
// CHECK: linalg.generic
func.func @reduction(%a: tensor<4x8xf32>, %b: tensor<8x4xf32>, %init: tensor<4xf32>) -> tensor<4xf32> {
  %0 = qlow.matmul %a, %b : tensor<4x8xf32>, tensor<8x4xf32> -> tensor<4x4xf32>
  %1 = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%0 : tensor<4x4xf32>) outs(%init : tensor<4xf32>) {
  ^bb0(%x: f32, %sum: f32):
    %2 = arith.addf %x, %sum : f32
    linalg.yield %2 : f32
  } -> tensor<4xf32>
  return %1 : tensor<4xf32>
}
// CHECK-LABEL: @transposed
// CHECK: qlow.matmul
// CHECK: linalg.generic
func.func @transposed(%a: tensor<4x8xf32>, %b: tensor<8x4xf32>, %init: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %0 = qlow.matmul %a, %b : tensor<4x8xf32>, tensor<8x4xf32> -> tensor<4x4xf32>
  %1 = linalg.generic {indexing_maps = [#turned, #id], iterator_types = ["parallel", "parallel"]} ins(%0 : tensor<4x4xf32>) outs(%init : tensor<4x4xf32>) {
  ^bb0(%x: f32, %out: f32):
    %2 = math.exp %x : f32
    linalg.yield %2 : f32
  } -> tensor<4x4xf32>
  return %1 : tensor<4x4xf32>
}

// What a loop uses is not computed again in each of its rounds.
// CHECK-LABEL: @loop
// CHECK: qlow.matmul
// CHECK: scf.for
// CHECK: arith.addf
func.func @loop(%a: tensor<4x8xf32>, %b: tensor<8x4xf32>, %x: tensor<4x4xf32>, %n: index) -> tensor<4x4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %0 = qlow.matmul %a, %b : tensor<4x8xf32>, tensor<8x4xf32> -> tensor<4x4xf32>
  %1 = scf.for %i = %c0 to %n step %c1 iter_args(%acc = %x) -> tensor<4x4xf32> {
    %2 = arith.addf %acc, %0 : tensor<4x4xf32>
    scf.yield %2 : tensor<4x4xf32>
  }
  return %1 : tensor<4x4xf32>
}

// A scalar of the function becomes an extra of rank 0; a matmul that feeds the same op stays a tensor.
// CHECK-LABEL: @scalars
// CHECK: %[[SECOND:.*]] = qlow.matmul %arg1, %arg0 epilogue
// CHECK: %[[F:.*]] = tensor.from_elements %arg2 : tensor<f32>
// CHECK: qlow.matmul %arg0, %arg1 extras(%[[SECOND]], %[[F]] : tensor<8x8xf32>, tensor<f32>)
func.func @scalars(%a: tensor<8x8xf32>, %b: tensor<8x8xf32>, %f: f32) -> tensor<8x8xf32> {
  %0 = qlow.matmul %a, %b : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  %1 = qlow.matmul %b, %a : tensor<8x8xf32>, tensor<8x8xf32> -> tensor<8x8xf32>
  %e = tensor.empty() : tensor<8x8xf32>
  %2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%0, %1 : tensor<8x8xf32>, tensor<8x8xf32>) outs(%e : tensor<8x8xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %3 = arith.addf %x, %y : f32
    %4 = arith.mulf %3, %f : f32
    linalg.yield %4 : f32
  } -> tensor<8x8xf32>
  return %2 : tensor<8x8xf32>
}

// -----

#id = affine_map<(d0, d1, d2, d3, d4, d5, d6, d7) -> (d0, d1, d2, d3, d4, d5, d6, d7)>

// Operands, here of rank 8, that are more than a kernel of a device takes stay outside.
// CHECK-LABEL: func.func @many
// CHECK: qlow.matmul
// ANY-NOT: linalg.generic
// DEVICE: linalg.generic
// CHECK: return
func.func @many(%x: tensor<1x1x1x1x1x1x4x16xf32>, %w: tensor<1x1x1x1x1x1x16x8xf32>, %a0: tensor<1x1x1x1x1x1x4x8xf32>, %a1: tensor<1x1x1x1x1x1x4x8xf32>, %a2: tensor<1x1x1x1x1x1x4x8xf32>, %a3: tensor<1x1x1x1x1x1x4x8xf32>, %a4: tensor<1x1x1x1x1x1x4x8xf32>, %a5: tensor<1x1x1x1x1x1x4x8xf32>, %a6: tensor<1x1x1x1x1x1x4x8xf32>, %a7: tensor<1x1x1x1x1x1x4x8xf32>, %a8: tensor<1x1x1x1x1x1x4x8xf32>, %a9: tensor<1x1x1x1x1x1x4x8xf32>, %a10: tensor<1x1x1x1x1x1x4x8xf32>, %a11: tensor<1x1x1x1x1x1x4x8xf32>, %a12: tensor<1x1x1x1x1x1x4x8xf32>, %a13: tensor<1x1x1x1x1x1x4x8xf32>, %a14: tensor<1x1x1x1x1x1x4x8xf32>, %a15: tensor<1x1x1x1x1x1x4x8xf32>, %a16: tensor<1x1x1x1x1x1x4x8xf32>, %a17: tensor<1x1x1x1x1x1x4x8xf32>, %a18: tensor<1x1x1x1x1x1x4x8xf32>, %a19: tensor<1x1x1x1x1x1x4x8xf32>, %a20: tensor<1x1x1x1x1x1x4x8xf32>, %a21: tensor<1x1x1x1x1x1x4x8xf32>, %a22: tensor<1x1x1x1x1x1x4x8xf32>, %a23: tensor<1x1x1x1x1x1x4x8xf32>) -> tensor<1x1x1x1x1x1x4x8xf32> {
  %e = tensor.empty() : tensor<1x1x1x1x1x1x4x8xf32>
  %0 = qlow.matmul %x, %w : tensor<1x1x1x1x1x1x4x16xf32>, tensor<1x1x1x1x1x1x16x8xf32> -> tensor<1x1x1x1x1x1x4x8xf32>
  %1 = linalg.generic {indexing_maps = [#id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel", "parallel", "parallel", "parallel"]}
      ins(%0, %a0, %a1, %a2, %a3, %a4, %a5, %a6, %a7, %a8, %a9, %a10, %a11, %a12, %a13, %a14, %a15, %a16, %a17, %a18, %a19, %a20, %a21, %a22, %a23 : tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>, tensor<1x1x1x1x1x1x4x8xf32>) outs(%e : tensor<1x1x1x1x1x1x4x8xf32>) {
  ^bb0(%v0: f32, %v1: f32, %v2: f32, %v3: f32, %v4: f32, %v5: f32, %v6: f32, %v7: f32, %v8: f32, %v9: f32, %v10: f32, %v11: f32, %v12: f32, %v13: f32, %v14: f32, %v15: f32, %v16: f32, %v17: f32, %v18: f32, %v19: f32, %v20: f32, %v21: f32, %v22: f32, %v23: f32, %v24: f32, %v25: f32):
    %t1 = arith.addf %v0, %v1 : f32
    %t2 = arith.addf %t1, %v2 : f32
    %t3 = arith.addf %t2, %v3 : f32
    %t4 = arith.addf %t3, %v4 : f32
    %t5 = arith.addf %t4, %v5 : f32
    %t6 = arith.addf %t5, %v6 : f32
    %t7 = arith.addf %t6, %v7 : f32
    %t8 = arith.addf %t7, %v8 : f32
    %t9 = arith.addf %t8, %v9 : f32
    %t10 = arith.addf %t9, %v10 : f32
    %t11 = arith.addf %t10, %v11 : f32
    %t12 = arith.addf %t11, %v12 : f32
    %t13 = arith.addf %t12, %v13 : f32
    %t14 = arith.addf %t13, %v14 : f32
    %t15 = arith.addf %t14, %v15 : f32
    %t16 = arith.addf %t15, %v16 : f32
    %t17 = arith.addf %t16, %v17 : f32
    %t18 = arith.addf %t17, %v18 : f32
    %t19 = arith.addf %t18, %v19 : f32
    %t20 = arith.addf %t19, %v20 : f32
    %t21 = arith.addf %t20, %v21 : f32
    %t22 = arith.addf %t21, %v22 : f32
    %t23 = arith.addf %t22, %v23 : f32
    %t24 = arith.addf %t23, %v24 : f32
    linalg.yield %t24 : f32
  } -> tensor<1x1x1x1x1x1x4x8xf32>
  return %1 : tensor<1x1x1x1x1x1x4x8xf32>
}
