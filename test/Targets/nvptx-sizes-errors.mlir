// RUN: qlow-opt %s --qlow-pipeline="target=sm_90 stop-after=qlow-schedule-kernels" -split-input-file -verify-diagnostics
// RUN: qlow-opt %s --qlow-pipeline="target=sm_75 stop-after=qlow-schedule-kernels" -split-input-file -verify-diagnostics

// Kernels count in 32 bits.

func.func @columns(%x: tensor<1x64xf16>, %w: tensor<4294967296x64x!qlow.q<u4 : f16, block = [1, 32]>>) -> tensor<1x4294967296xf16> {
  // expected-error@+1 {{has a side of 'tensor<4294967296x64x!qlow.q<u4 : f16, block = [1, 32]>>', whose kernels count rows, columns and K in 32 bits: expected at most 2147483647 of each; split the product}}
  %y = qlow.matmul transpose_rhs %x, %w : tensor<1x64xf16>, tensor<4294967296x64x!qlow.q<u4 : f16, block = [1, 32]>> -> tensor<1x4294967296xf16>
  return %y : tensor<1x4294967296xf16>
}

// -----

func.func @rows(%x: tensor<2147483648x16xf32>, %w: tensor<16x1xf32>) -> tensor<2147483648x1xf32> {
  // expected-error@+1 {{has a side of 'tensor<2147483648x16xf32>', whose kernels count rows, columns and K in 32 bits}}
  %y = qlow.matmul %x, %w : tensor<2147483648x16xf32>, tensor<16x1xf32> -> tensor<2147483648x1xf32>
  return %y : tensor<2147483648x1xf32>
}
