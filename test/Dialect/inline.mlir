// RUN: qlow-opt %s -inline -symbol-dce | FileCheck %s

// Private functions of quantized ops go into those that call them.
// CHECK-LABEL: func.func @f(
// CHECK-NOT:     call
// CHECK:         qlow.quantize
// CHECK:         qlow.matmul
// CHECK:           qlow.yield
// CHECK-NOT:   func.func
func.func @f(%x: tensor<4x8xf32>, %w: tensor<8x3x!qlow.q<i8 : f32>>, %s: tensor<f32>) -> tensor<4x3xf32> {
  %y = call @g(%x, %w, %s) : (tensor<4x8xf32>, tensor<8x3x!qlow.q<i8 : f32>>, tensor<f32>) -> tensor<4x3xf32>
  return %y : tensor<4x3xf32>
}
func.func private @g(%x: tensor<4x8xf32>, %w: tensor<8x3x!qlow.q<i8 : f32>>, %s: tensor<f32>) -> tensor<4x3xf32> {
  %q = qlow.quantize %x, %s : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8x!qlow.q<u8 : f32>>
  %y = qlow.matmul %q, %w epilogue {
  ^bb0(%acc: i32):
    %f = arith.sitofp %acc : i32 to f32
    qlow.yield %f : f32
  } : tensor<4x8x!qlow.q<u8 : f32>>, tensor<8x3x!qlow.q<i8 : f32>> -> tensor<4x3xf32>
  return %y : tensor<4x3xf32>
}
