// What is computed in f64 and rounded to f32, then to 16 bits, asks no library for a conversion: also not of the number
// that it has its sign from, and not where the last column stands alone.
// RUN: qlowc %s -target=x86-64-v2 -o %t.o
// RUN: qlowc %s -target=x86-64-v3 -o %t.o
// RUN: qlowc %s -target=znver4 -o %t.o

func.func @tanh(%x: tensor<3x3xf32>, %w: tensor<3x17xf32>) -> tensor<3x17xf16> {
  %m = qlow.matmul %x, %w : tensor<3x3xf32>, tensor<3x17xf32> -> tensor<3x17xf32>
  %y = math.tanh %m : tensor<3x17xf32>
  %z = arith.truncf %y : tensor<3x17xf32> to tensor<3x17xf16>
  return %z : tensor<3x17xf16>
}

func.func @brain(%x: tensor<3x3xf32>, %w: tensor<3x17xf32>) -> tensor<3x17xbf16> {
  %m = qlow.matmul %x, %w : tensor<3x3xf32>, tensor<3x17xf32> -> tensor<3x17xf32>
  %y = math.atan %m : tensor<3x17xf32>
  %z = arith.truncf %y : tensor<3x17xf32> to tensor<3x17xbf16>
  return %z : tensor<3x17xbf16>
}

func.func @remainder(%x: tensor<3x3xf32>, %w: tensor<3x17xf32>, %d: tensor<3x17xf32>) -> tensor<3x17xf16> {
  %m = qlow.matmul %x, %w : tensor<3x3xf32>, tensor<3x17xf32> -> tensor<3x17xf32>
  %y = arith.remf %m, %d : tensor<3x17xf32>
  %z = arith.truncf %y : tensor<3x17xf32> to tensor<3x17xf16>
  return %z : tensor<3x17xf16>
}
