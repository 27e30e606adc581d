// RUN: python3 %S/Inputs/run_all.py %s | FileCheck %s
// Constant in, op, exact expected codes. The values follow from the formulas that are named; none came from qlow.

// ONNX QuantizeLinear: x / scale rounds half to even.
// CHECK-LABEL: @ties
// CHECK-NEXT: 6xi8: -2, -2, 0, 0, 2, 2
func.func @ties() -> tensor<6x!qlow.q<i8 : f32>> {
  %x = arith.constant dense<[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]> : tensor<6xf32>
  %scale = arith.constant dense<1.0> : tensor<f32>
  %q = qlow.quantize %x, %scale : (tensor<6xf32>, tensor<f32>) -> tensor<6x!qlow.q<i8 : f32>>
  return %q : tensor<6x!qlow.q<i8 : f32>>
}

// The zero point is added after rounding, so that an odd one keeps ties where they were.
// CHECK-LABEL: @zero_after_rounding
// CHECK-NEXT: 4xu8: 127, 129, 129, 131
// CHECK-NEXT: f32: 1
// CHECK-NEXT: 1xu8: 129
func.func @zero_after_rounding() -> tensor<4x!qlow.q<u8 : f32, zero = u8>> {
  %x = arith.constant dense<[-1.5, -0.5, 0.5, 1.5]> : tensor<4xf32>
  %scale = arith.constant dense<1.0> : tensor<f32>
  %zero = arith.constant dense<129> : tensor<1xi8>
  %q = qlow.quantize %x, %scale, %zero : (tensor<4xf32>, tensor<f32>, tensor<1xi8>) -> tensor<4x!qlow.q<u8 : f32, zero = u8>>
  return %q : tensor<4x!qlow.q<u8 : f32, zero = u8>>
}

// Out of range saturates, infinities too; NaN gives the smallest code.
// CHECK-LABEL: @saturation
// CHECK-NEXT: 5xi8: 127, -128, 127, -128, -128
func.func @saturation() -> tensor<5x!qlow.q<i8 : f32>> {
  %x = arith.constant dense<[1.0e30, -300.0, 0x7F800000, 0xFF800000, 0x7FC00000]> : tensor<5xf32>
  %scale = arith.constant dense<1.0> : tensor<f32>
  %q = qlow.quantize %x, %scale : (tensor<5xf32>, tensor<f32>) -> tensor<5x!qlow.q<i8 : f32>>
  return %q : tensor<5x!qlow.q<i8 : f32>>
}

// Division, not multiplication by the reciprocal: in f32 0.0015 / 0.001 is 1.5, a tie, and 0.0015 * (1 / 0.001) is less.
// CHECK-LABEL: @division
// CHECK-NEXT: 2xi8: 2, -2
func.func @division() -> tensor<2x!qlow.q<i8 : f32>> {
  %x = arith.constant dense<[0.0015, -0.0015]> : tensor<2xf32>
  %scale = arith.constant dense<0.001> : tensor<f32>
  %q = qlow.quantize %x, %scale : (tensor<2xf32>, tensor<f32>) -> tensor<2x!qlow.q<i8 : f32>>
  return %q : tensor<2x!qlow.q<i8 : f32>>
}

// Codes of 4 bits pack two a byte, the first in the low nibble; a row ends at a whole byte.
// CHECK-LABEL: @nibbles
// CHECK-NEXT: 2x2xu8: 33, 3, 244, 9
func.func @nibbles() -> tensor<2x3x!qlow.q<u4 : f32>> {
  %x = arith.constant dense<[[1.0, 2.0, 3.0], [4.0, 99.0, 9.0]]> : tensor<2x3xf32>
  %scale = arith.constant dense<1.0> : tensor<f32>
  %q = qlow.quantize %x, %scale : (tensor<2x3xf32>, tensor<f32>) -> tensor<2x3x!qlow.q<u4 : f32>>
  return %q : tensor<2x3x!qlow.q<u4 : f32>>
}

// One scale for a block of two; the last block of a row is short.
// CHECK-LABEL: @blocks
// CHECK-NEXT: 2x3xi8: 1, 2, 3, 2, 4, 6
func.func @blocks() -> tensor<2x3x!qlow.q<i8 : f32, block = [1, 2]>> {
  %x = arith.constant dense<[[1.0, 2.0, 6.0], [1.0, 2.0, 1.5]]> : tensor<2x3xf32>
  %scale = arith.constant dense<[[1.0, 2.0], [0.5, 0.25]]> : tensor<2x2xf32>
  %q = qlow.quantize %x, %scale : (tensor<2x3xf32>, tensor<2x2xf32>) -> tensor<2x3x!qlow.q<i8 : f32, block = [1, 2]>>
  return %q : tensor<2x3x!qlow.q<i8 : f32, block = [1, 2]>>
}

// An offset is taken off before the division: (x - 10) / 2.
// CHECK-LABEL: @offset
// CHECK-NEXT: 2xu8: 228, 0
func.func @offset() -> tensor<3x!qlow.q<u4 : f32, offset = f32>> {
  %x = arith.constant dense<[18.0, 38.0, 9.0]> : tensor<3xf32>
  %scale = arith.constant dense<2.0> : tensor<f32>
  %offset = arith.constant dense<10.0> : tensor<f32>
  %q = qlow.quantize %x, %scale, %offset : (tensor<3xf32>, tensor<f32>, tensor<f32>) -> tensor<3x!qlow.q<u4 : f32, offset = f32>>
  return %q : tensor<3x!qlow.q<u4 : f32, offset = f32>>
}

// OCP E2M1: ties go to the even code. 0.25 0.75 1.25 1.75 2.5 3.5 5.0 9.0 -> 0 1 1 2 2 4 4 6, codes 0 2 2 4 4 6 6 7.
// CHECK-LABEL: @e2m1
// CHECK-NEXT: 8xu8: 32, 66, 100, 118
func.func @e2m1() -> tensor<16x!qlow.q<f4E2M1FN : f32>> {
  %x = arith.constant dense<[0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 9.0, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 9.0]> : tensor<16xf32>
  %scale = arith.constant dense<1.0> : tensor<f32>
  %q = qlow.quantize %x, %scale : (tensor<16xf32>, tensor<f32>) -> tensor<16x!qlow.q<f4E2M1FN : f32>>
  return %q : tensor<16x!qlow.q<f4E2M1FN : f32>>
}

// StableHLO, tests/interpret: uniform_quantize with one scale and zero point an element.
// CHECK-LABEL: @stablehlo_uniform_quantize
// CHECK-NEXT: 2xi8: 10, 10
func.func @stablehlo_uniform_quantize() -> tensor<2x!qlow.q<i8 : f32, zero = i8, block = [1]>> {
  %x = arith.constant dense<[4.0, 15.0]> : tensor<2xf32>
  %scale = arith.constant dense<[0.1, 0.5]> : tensor<2xf32>
  %zero = arith.constant dense<[-30, -20]> : tensor<2xi8>
  %q = qlow.quantize %x, %scale, %zero : (tensor<2xf32>, tensor<2xf32>, tensor<2xi8>) -> tensor<2x!qlow.q<i8 : f32, zero = i8, block = [1]>>
  return %q : tensor<2x!qlow.q<i8 : f32, zero = i8, block = [1]>>
}

// The same file: quantized to quantized is dequantize, then quantize.
// CHECK-LABEL: @stablehlo_requantize
// CHECK-NEXT: 2xi8: 20, 45
func.func @stablehlo_requantize() -> tensor<2x!qlow.q<i8 : f32, zero = i8, block = [1]>> {
  %codes = arith.constant dense<[10, 10]> : tensor<2xi8>
  %scale = arith.constant dense<[0.1, 0.5]> : tensor<2xf32>
  %zero = arith.constant dense<[-30, -20]> : tensor<2xi8>
  %q = qlow.compose %codes, %scale, %zero : (tensor<2xi8>, tensor<2xf32>, tensor<2xi8>) -> tensor<2x!qlow.q<i8 : f32, zero = i8, block = [1]>>
  %x = qlow.dequantize %q : tensor<2x!qlow.q<i8 : f32, zero = i8, block = [1]>> -> tensor<2xf32>
  %scale2 = arith.constant dense<[0.1, 0.2]> : tensor<2xf32>
  %zero2 = arith.constant dense<[-20, -30]> : tensor<2xi8>
  %r = qlow.quantize %x, %scale2, %zero2 : (tensor<2xf32>, tensor<2xf32>, tensor<2xi8>) -> tensor<2x!qlow.q<i8 : f32, zero = i8, block = [1]>>
  return %r : tensor<2x!qlow.q<i8 : f32, zero = i8, block = [1]>>
}

// The same file: 4.0 and 15.0 are expected within a tolerance; f32 rounds (10 + 30) * 0.1 to 4 exactly.
// CHECK-LABEL: @stablehlo_uniform_dequantize
// CHECK-NEXT: 2xf32: 4, 15
func.func @stablehlo_uniform_dequantize() -> tensor<2xf32> {
  %codes = arith.constant dense<[10, 10]> : tensor<2xi8>
  %scale = arith.constant dense<[0.1, 0.5]> : tensor<2xf32>
  %zero = arith.constant dense<[-30, -20]> : tensor<2xi8>
  %q = qlow.compose %codes, %scale, %zero : (tensor<2xi8>, tensor<2xf32>, tensor<2xi8>) -> tensor<2x!qlow.q<i8 : f32, zero = i8, block = [1]>>
  %x = qlow.dequantize %q : tensor<2x!qlow.q<i8 : f32, zero = i8, block = [1]>> -> tensor<2xf32>
  return %x : tensor<2xf32>
}
