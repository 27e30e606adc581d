// Tiles that could measure the result would store the weight as no later device reads it: the image for those is worth more.
// RUN: qlowc -print-target=sm_90 | sed 's/"name": "sm_90"/"name": "mine"/; s/"portable": "sm_80"/"portable": "sm_89"/' > %t.json
// RUN: qlowc %s -target=%t.json --no-ptxas --explain -o %t.o | FileCheck %s
// CHECK: result       !qlow.q<f8E4M3FN : f32, block = [1, *]>, measured and quantized behind the kernel, from memory
// CHECK: later chips  mma_16x8x32_f32_e4m3_e4m3

// Where there is none either way, as for sm_80, nothing is lost.
// RUN: qlowc %s -target=sm_90 --no-ptxas --explain -o %t.o | FileCheck %s --check-prefix=NONE
// NONE: result       !qlow.q<f8E4M3FN : f32, block = [1, *]>, measured and quantized in the kernel
// NONE: later chips  none

!x = tensor<4096x1024x!qlow.q<f8E4M3FN : f32, block = [1, *]>>
!w = tensor<256x1024x!qlow.q<f8E4M3FN : f32, block = [1, *]>>
func.func @f(%x: !x) -> tensor<4096x256x!qlow.q<f8E4M3FN : f32, block = [1, *]>> {
  %c = arith.constant dense<58> : tensor<256x1024xi8>
  %s = arith.constant dense<0.5> : tensor<256x1xf32>
  %w = qlow.compose %c, %s : (tensor<256x1024xi8>, tensor<256x1xf32>) -> !w
  %y = qlow.matmul transpose_rhs %x, %w : !x, !w -> tensor<4096x256xf16>
  %q = qlow.quantize_dynamic %y : tensor<4096x256xf16> -> tensor<4096x256x!qlow.q<f8E4M3FN : f32, block = [1, *]>>
  return %q : tensor<4096x256x!qlow.q<f8E4M3FN : f32, block = [1, *]>>
}
