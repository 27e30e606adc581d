// RUN: python3 %S/Inputs/run_all.py %s | FileCheck %s
// Scales measured from the values.

// ONNX DynamicQuantizeLinear, the example of its specification: scale 0.0196078438 and zero point 153 as given there.
// CHECK-LABEL: @onnx_dynamic
// CHECK-NEXT: 6xu8: 153, 255, 0, 26, 221, 179
// CHECK-NEXT: f32: 0.0196078438
// CHECK-NEXT: 1xu8: 153
func.func @onnx_dynamic() -> tensor<6x!qlow.q<u8 : f32, zero = u8>> {
  %x = arith.constant dense<[0.0, 2.0, -3.0, -2.5, 1.34, 0.5]> : tensor<6xf32>
  %q = qlow.quantize_dynamic %x : tensor<6xf32> -> tensor<6x!qlow.q<u8 : f32, zero = u8>>
  return %q : tensor<6x!qlow.q<u8 : f32, zero = u8>>
}

// The same, where all values have one sign: 0 always has a code.
// CHECK-LABEL: @onnx_dynamic_positive
// CHECK-NEXT: 12xu8: 64, 134, 83, 159, 213, 255, 96, 166, 249, 255, 191, 149
// CHECK-NEXT: f32: 0.0156862754
// CHECK-NEXT: 1xu8: 0
func.func @onnx_dynamic_positive() -> tensor<12x!qlow.q<u8 : f32, zero = u8>> {
  %x = arith.constant dense<[1.0, 2.1, 1.3, 2.5, 3.34, 4.0, 1.5, 2.6, 3.9, 4.0, 3.0, 2.345]> : tensor<12xf32>
  %q = qlow.quantize_dynamic %x : tensor<12xf32> -> tensor<12x!qlow.q<u8 : f32, zero = u8>>
  return %q : tensor<12x!qlow.q<u8 : f32, zero = u8>>
}

// A row at a time: max|x| / 127; a row of zeros gets scale 1, NaN does not count and gives the smallest code.
// CHECK-LABEL: @rows
// CHECK-NEXT: 3x2xi8: 127, -64, 0, 0, -128, 127
// CHECK-NEXT: 3x1xf32: 1, 1, 2
func.func @rows() -> tensor<3x2x!qlow.q<i8 : f32, block = [1, *]>> {
  %x = arith.constant dense<[[127.0, -63.5], [0.0, -0.0], [0x7FC00000, 254.0]]> : tensor<3x2xf32>
  %q = qlow.quantize_dynamic %x : tensor<3x2xf32> -> tensor<3x2x!qlow.q<i8 : f32, block = [1, *]>>
  return %q : tensor<3x2x!qlow.q<i8 : f32, block = [1, *]>>
}

// OCP MX, E2M1: the scale is 2^(floor(log2(max|x|)) - 2). Blocks of two; max 3, 7 (saturates at 6 * 1), 0.
// CHECK-LABEL: @mx
// CHECK-NEXT: 1x3xu8: 245, 71, 0
// CHECK-NEXT: 1x3xf8E8M0FNU: 0.5, 1, 1
func.func @mx() -> tensor<1x6x!qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 2]>> {
  %x = arith.constant dense<[[1.5, -3.0, 7.0, 2.0, 0.0, 0.0]]> : tensor<1x6xf32>
  %q = qlow.quantize_dynamic %x : tensor<1x6xf32> -> tensor<1x6x!qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 2]>>
  return %q : tensor<1x6x!qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 2]>>
}
