// Results that are quantized as they are measured: by the product's kernel where its warps hold whole blocks of a row, else
// by a kernel behind it, and the report says which.
// RUN: qlowc %s -target=sm_90 -stop-after=qlow-split-quantized -o - | FileCheck %s --check-prefix=SPLIT
// RUN: qlowc %s -target=sm_90 --no-ptxas --explain -o %t.o | FileCheck %s --check-prefix=REPORT
// RUN: qlowc %s -target=sm_90 -emit=ptx -o - | FileCheck %s
// RUN: sed 's/ recipes <.#wide.>//; /^#wide/,+1d' %s | qlowc - -target=x86-64-v3 --explain -prefix=m -o %t.o | FileCheck %s --check-prefix=CPU
// RUN: sed 's/cta, .128, 256, 128./cta, [64, 256, 128]/; s/warpgroup, .64, 256, 32./warpgroup, [64, 128, 32]/; s/64x256x32/64x128x32/' %s > %t.mlir
// RUN: qlowc %t.mlir -target=sm_90 -emit=ptx -o - | FileCheck %s --check-prefix=NARROW

!a = !qlow.q<i8 : f32, block = [1, *]>
!g = !qlow.q<u8 : f32, zero = u8, block = [1, 128]>
!f = !qlow.q<f8E4M3FN : f32, block = [1, *]>
!h = !qlow.q<i8 : f32, block = [1, 128]>
#wide = #qlow.recipe<wgmma_64x256x32_i32_s8_s8, tiles = [<cta, [128, 256, 128]>, <warpgroup, [64, 256, 32]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rescale = end>

// A row of 256 columns is what a warpgroup holds; with half of it for each of two, the row is measured from memory.
// SPLIT-LABEL: func.func @row
// SPLIT: qlow.matmul_kernel {{.*}} outs(%{{.*}}, %{{.*}} : tensor<512x256xi8>, tensor<512x1xf32>) as tensor<512x256x!
// SPLIT-NOT: linalg
// SPLIT: return
// REPORT: result       !qlow.q<i8 : f32, block = [1, *]>, measured and quantized in the kernel
// CPU: result       !qlow.q<i8 : f32, block = [1, *]>, measured and quantized behind the kernel, from memory
// CHECK: .entry row_0(
// CHECK: shfl.sync.bfly.b32
// CHECK-NOT: .entry row_
// NARROW: .entry row_0(
// NARROW-NOT: shfl.sync.bfly.b32
// NARROW: .entry row_2(
func.func @row(%a: tensor<512x512x!a>, %w: tensor<256x512x!a>) -> tensor<512x256x!a> {
  %y = qlow.matmul transpose_rhs %a, %w recipes <[#wide]> : tensor<512x512x!a>, tensor<256x512x!a> -> tensor<512x256xf16>
  %q = qlow.quantize_dynamic %y : tensor<512x256xf16> -> tensor<512x256x!a>
  return %q : tensor<512x256x!a>
}

// Blocks of 128 columns, with zero points: of any width.
// SPLIT-LABEL: func.func @groups
// SPLIT: qlow.matmul_kernel {{.*}} outs(%{{.*}}, %{{.*}}, %{{.*}} : tensor<512x1024xi8>, tensor<512x8xf32>, tensor<512x8xi8>) as tensor<512x1024x!
// SPLIT-NOT: linalg
// SPLIT: return
// REPORT: result       !qlow.q<u8 : f32, zero = u8, block = [1, 128]>, measured and quantized in the kernel
// CHECK: .entry groups_0(
// CHECK-NOT: .entry groups_
func.func @groups(%a: tensor<512x512x!a>, %w: tensor<1024x512x!a>) -> tensor<512x1024x!g> {
  %y = qlow.matmul transpose_rhs %a, %w : tensor<512x512x!a>, tensor<1024x512x!a> -> tensor<512x1024xf32>
  %q = qlow.quantize_dynamic %y : tensor<512x1024xf32> -> tensor<512x1024x!g>
  return %q : tensor<512x1024x!g>
}

// Floats that something else reads, too, are stored.
// SPLIT-LABEL: func.func @both
// SPLIT: qlow.matmul_kernel {{.*}} outs(%{{.*}} : tensor<512x256xf16>) epilogue
// SPLIT: linalg
func.func @both(%a: tensor<512x512x!a>, %w: tensor<256x512x!a>) -> (tensor<512x256x!a>, tensor<512x256xf16>) {
  %y = qlow.matmul transpose_rhs %a, %w : tensor<512x512x!a>, tensor<256x512x!a> -> tensor<512x256xf16>
  %q = qlow.quantize_dynamic %y : tensor<512x256xf16> -> tensor<512x256x!a>
  return %q, %y : tensor<512x256x!a>, tensor<512x256xf16>
}

// Rows longer than any tile: behind the kernel.
// REPORT: result       !qlow.q<i8 : f32, block = [1, *]>, measured and quantized behind the kernel, from memory
func.func @wide(%a: tensor<512x512x!a>, %w: tensor<1024x512x!a>) -> tensor<512x1024x!a> {
  %y = qlow.matmul transpose_rhs %a, %w : tensor<512x512x!a>, tensor<1024x512x!a> -> tensor<512x1024xf16>
  %q = qlow.quantize_dynamic %y : tensor<512x1024xf16> -> tensor<512x1024x!a>
  return %q : tensor<512x1024x!a>
}

// Lanes, which later devices would compute these by, hold no blocks.
// REPORT: result       !qlow.q<i8 : f32, block = [1, 128]>, measured and quantized behind the kernel, from memory: that for later devices does not hold whole blocks
func.func @floats(%a: tensor<2048x512x!f>, %w: tensor<1024x512x!f>) -> tensor<2048x1024x!h> {
  %y = qlow.matmul transpose_rhs %a, %w : tensor<2048x512x!f>, tensor<1024x512x!f> -> tensor<2048x1024xf16>
  %q = qlow.quantize_dynamic %y : tensor<2048x1024xf16> -> tensor<2048x1024x!h>
  return %q : tensor<2048x1024x!h>
}
