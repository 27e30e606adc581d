// RUN: qlow-opt -resolve-ranked-shaped-type-result-dims -canonicalize %s | FileCheck %s

// Sizes of results are computed from operands.

// CHECK-LABEL: func.func @matmul(
// CHECK-SAME: %[[A:.+]]: tensor<?x128xf32>, %[[B:.+]]: tensor<?x128xf32>)
// CHECK: %[[M:.+]] = tensor.dim %[[A]], %{{.+}} : tensor<?x128xf32>
// CHECK: %[[N:.+]] = tensor.dim %[[B]], %{{.+}} : tensor<?x128xf32>
// CHECK: return %[[M]], %[[N]]
func.func @matmul(%a: tensor<?x128xf32>, %b: tensor<?x128xf32>) -> (index, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %y = qlow.matmul transpose_rhs %a, %b : tensor<?x128xf32>, tensor<?x128xf32> -> tensor<?x?xf32>
  %m = tensor.dim %y, %c0 : tensor<?x?xf32>
  %n = tensor.dim %y, %c1 : tensor<?x?xf32>
  return %m, %n : index, index
}

// CHECK-LABEL: func.func @quantize(
// CHECK-SAME: %[[X:.+]]: tensor<?x8xf32>
// CHECK: %[[M:.+]] = tensor.dim %[[X]]
// CHECK: return %[[M]]
func.func @quantize(%x: tensor<?x8xf32>) -> index {
  %c0 = arith.constant 0 : index
  %q = qlow.quantize_dynamic %x : tensor<?x8xf32> -> tensor<?x8x!qlow.q<i8 : f32>>
  %y = qlow.dequantize %q : tensor<?x8x!qlow.q<i8 : f32>> -> tensor<?x8xf32>
  %m = tensor.dim %y, %c0 : tensor<?x8xf32>
  return %m : index
}

// Codes of two bytes: twice the bytes.
// CHECK-LABEL: func.func @compose(
// CHECK-SAME: %[[CODES:.+]]: tensor<4x?xi8>
// CHECK: %[[BYTES:.+]] = tensor.dim %[[CODES]]
// CHECK: %[[N:.+]] = arith.divui %[[BYTES]], %c2
// CHECK: return %[[N]]
func.func @compose(%codes: tensor<4x?xi8>, %scale: tensor<f32>) -> index {
  %c1 = arith.constant 1 : index
  %q = qlow.compose %codes, %scale : (tensor<4x?xi8>, tensor<f32>) -> tensor<4x?x!qlow.q<i16 : f32>>
  %y = qlow.dequantize %q : tensor<4x?x!qlow.q<i16 : f32>> -> tensor<4x?xf32>
  %n = tensor.dim %y, %c1 : tensor<4x?xf32>
  return %n : index
}
