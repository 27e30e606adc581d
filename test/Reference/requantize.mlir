// RUN: python3 %S/Inputs/run_all.py %s | FileCheck %s
// The three roundings on ties of both signs, and saturation.

// f32(acc) * multiplier, half to even: -1.5 -0.5 0.5 1.5 2.5 and out of range.
// CHECK-LABEL: @half_even
// CHECK-NEXT: 7xi8: -2, 0, 0, 2, 2, 127, -128
func.func @half_even() -> tensor<7x!qlow.q<i8 : f32>> {
  %acc = arith.constant dense<[-3, -1, 1, 3, 5, 1000, -1000]> : tensor<7xi32>
  %m = arith.constant dense<0.5> : tensor<f32>
  %scale = arith.constant dense<1.0> : tensor<f32>
  %q = qlow.requantize half_even %acc, %m parts(%scale : tensor<f32>) : tensor<7xi32>, tensor<f32> -> tensor<7x!qlow.q<i8 : f32>>
  return %q : tensor<7x!qlow.q<i8 : f32>>
}

// TOSA apply_scale_32 with one rounding: (v * m + 2^(shift - 1)) >> shift, ties up. m = 2^30, shift = 31: a half.
// CHECK-LABEL: @single
// CHECK-NEXT: 7xi8: -1, 0, 1, 2, 3, 127, -128
func.func @single() -> tensor<7x!qlow.q<i8 : f32>> {
  %acc = arith.constant dense<[-3, -1, 1, 3, 5, 1000, -1000]> : tensor<7xi32>
  %m = arith.constant dense<1073741824> : tensor<i32>
  %shift = arith.constant dense<31> : tensor<i8>
  %scale = arith.constant dense<1.0> : tensor<f32>
  %q = qlow.requantize single %acc, %m shift(%shift : tensor<i8>) parts(%scale : tensor<f32>)
     : tensor<7xi32>, tensor<i32> -> tensor<7x!qlow.q<i8 : f32>>
  return %q : tensor<7x!qlow.q<i8 : f32>>
}

// With two roundings the first is away from zero at bit 30: v * 2^30 + 2^31 +- 2^30, then >> 32. A quarter of v:
// 2 gives (2 + 2 + 1) >> 2 = 1, -2 gives (-2 + 2 - 1) >> 2 = -1 where one rounding gives 0; 5 gives 2, -5 gives -1.
// CHECK-LABEL: @double
// CHECK-NEXT: 4xu8: 129, 127, 130, 127
func.func @double() -> tensor<4x!qlow.q<u8 : f32, zero = u8>> {
  %acc = arith.constant dense<[2, -2, 5, -5]> : tensor<4xi32>
  %m = arith.constant dense<1073741824> : tensor<i32>
  %shift = arith.constant dense<32> : tensor<i8>
  %scale = arith.constant dense<1.0> : tensor<f32>
  %zero = arith.constant dense<128> : tensor<1xi8>
  %q = qlow.requantize double %acc, %m shift(%shift : tensor<i8>) parts(%scale, %zero : tensor<f32>, tensor<1xi8>)
     : tensor<4xi32>, tensor<i32> -> tensor<4x!qlow.q<u8 : f32, zero = u8>>
  return %q : tensor<4x!qlow.q<u8 : f32, zero = u8>>
}

// One multiplier a column.
// CHECK-LABEL: @columns
// CHECK-NEXT: 2x2xi8: 1, 10, 2, 20
func.func @columns() -> tensor<2x2x!qlow.q<i8 : f32>> {
  %acc = arith.constant dense<[[2, 2], [4, 4]]> : tensor<2x2xi32>
  %m = arith.constant dense<[0.5, 5.0]> : tensor<2xf32>
  %scale = arith.constant dense<1.0> : tensor<f32>
  %q = qlow.requantize half_even %acc, %m parts(%scale : tensor<f32>) : tensor<2x2xi32>, tensor<2xf32> -> tensor<2x2x!qlow.q<i8 : f32>>
  return %q : tensor<2x2x!qlow.q<i8 : f32>>
}
