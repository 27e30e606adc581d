// RUN: qlow-opt -canonicalize -split-input-file %s | FileCheck %s

!rows = !qlow.q<i8 : f32, block = [1, *]>

// compose(decompose(x)) = x
// CHECK-LABEL: func.func @compose_of_parts(
// CHECK-SAME: %[[X:.+]]: tensor<4x8x!q>
// CHECK-NEXT: return %[[X]]
func.func @compose_of_parts(%x: tensor<4x8x!rows>) -> tensor<4x8x!rows> {
  %codes, %scale = qlow.decompose %x : (tensor<4x8x!rows>) -> (tensor<4x8xi8>, tensor<4x1xf32>)
  %y = qlow.compose %codes, %scale : (tensor<4x8xi8>, tensor<4x1xf32>) -> tensor<4x8x!rows>
  return %y : tensor<4x8x!rows>
}

// decompose(compose(parts)) = parts
// CHECK-LABEL: func.func @parts_of_compose(
// CHECK-SAME: %[[CODES:.+]]: tensor<4x8xi8>, %[[SCALE:.+]]: tensor<4x1xf32>
// CHECK-NEXT: return %[[CODES]], %[[SCALE]]
func.func @parts_of_compose(%codes: tensor<4x8xi8>, %scale: tensor<4x1xf32>) -> (tensor<4x8xi8>, tensor<4x1xf32>) {
  %x = qlow.compose %codes, %scale : (tensor<4x8xi8>, tensor<4x1xf32>) -> tensor<4x8x!rows>
  %parts:2 = qlow.decompose %x : (tensor<4x8x!rows>) -> (tensor<4x8xi8>, tensor<4x1xf32>)
  return %parts#0, %parts#1 : tensor<4x8xi8>, tensor<4x1xf32>
}

// The parts of two tensors do not make either.
// CHECK-LABEL: func.func @mixed_parts(
// CHECK: qlow.compose
func.func @mixed_parts(%x: tensor<4x8x!rows>, %y: tensor<4x8x!rows>) -> tensor<4x8x!rows> {
  %a:2 = qlow.decompose %x : (tensor<4x8x!rows>) -> (tensor<4x8xi8>, tensor<4x1xf32>)
  %b:2 = qlow.decompose %y : (tensor<4x8x!rows>) -> (tensor<4x8xi8>, tensor<4x1xf32>)
  %z = qlow.compose %a#0, %b#1 : (tensor<4x8xi8>, tensor<4x1xf32>) -> tensor<4x8x!rows>
  return %z : tensor<4x8x!rows>
}

// The same parts read as another type are another tensor.
// CHECK-LABEL: func.func @other_type(
// CHECK: qlow.compose
func.func @other_type(%x: tensor<4x8x!rows>) -> tensor<4x8x!qlow.q<u8 : f32, block = [1, *]>> {
  %codes, %scale = qlow.decompose %x : (tensor<4x8x!rows>) -> (tensor<4x8xi8>, tensor<4x1xf32>)
  %y = qlow.compose %codes, %scale
    : (tensor<4x8xi8>, tensor<4x1xf32>) -> tensor<4x8x!qlow.q<u8 : f32, block = [1, *]>>
  return %y : tensor<4x8x!qlow.q<u8 : f32, block = [1, *]>>
}

// Rounding is not undone: quantizing what was dequantized stays.
// CHECK-LABEL: func.func @rounding(
// CHECK: qlow.dequantize
// CHECK: qlow.quantize
func.func @rounding(%x: tensor<4x8x!rows>, %scale: tensor<4x1xf32>) -> tensor<4x8x!rows> {
  %0 = qlow.dequantize %x : tensor<4x8x!rows> -> tensor<4x8xf32>
  %1 = qlow.quantize %0, %scale : (tensor<4x8xf32>, tensor<4x1xf32>) -> tensor<4x8x!rows>
  return %1 : tensor<4x8x!rows>
}

// -----

// Constants stay inside epilogues, which are isolated.
// CHECK-LABEL: func.func @epilogue_constants(
// CHECK: ^bb0(%[[SUM:.+]]: f32):
// CHECK-NEXT: %[[ZERO:.+]] = arith.constant 0.000000e+00 : f32
// CHECK-NEXT: %[[RELU:.+]] = arith.maximumf %[[SUM]], %[[ZERO]]
// CHECK-NEXT: qlow.yield %[[RELU]]
func.func @epilogue_constants(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>) -> tensor<4x2xf32> {
  %0 = qlow.matmul %a, %b epilogue {
  ^bb0(%sum: f32):
    %zero = arith.constant 0.0 : f32
    %relu = arith.maximumf %sum, %zero : f32
    qlow.yield %relu : f32
  } : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf32>
  return %0 : tensor<4x2xf32>
}
