// Which instruction multiplies codes of four bits and of one, in which layout, and what recipes for them must say.
// RUN: split-file %s %t
// RUN: qlow-opt %t/select.mlir -qlow-select-recipes=target=sm_80 | FileCheck %s --check-prefix=SM80
// RUN: qlow-opt %t/select.mlir -qlow-select-recipes=target=sm_90 | FileCheck %s --check-prefix=SM90
// RUN: qlow-opt %t/select.mlir --qlow-pipeline="target=sm_80 stop-after=qlow-split-quantized" | FileCheck %s --check-prefix=LAYOUT
// RUN: qlow-opt %t/errors.mlir --qlow-pipeline="target=sm_80 stop-after=qlow-schedule-kernels" -split-input-file -verify-diagnostics
// RUN: qlow-opt %t/processor.mlir -qlow-schedule-kernels=target=znver4 -verify-diagnostics

// Both sides of @nibbles and @signs are copied as they lie; rows of 84 bytes, those of @odd, are not whole copies of 16, and
// their elements are loaded. A sign is no integer between -1 and 1: @ternary has a zero.
// SM80: #recipe = #qlow.recipe<mma_16x8x64_i32_u4_s4, {{.*}}lhs = [<to = cta, by = cp_async, {{.*}}rhs = [<to = memory, by = pack>, <to = cta, by = cp_async,
// SM80: #recipe1 = #qlow.recipe<mma_16x8x256_i32_b1_b1, {{.*}}lhs = [<to = cta, by = cp_async, {{.*}}rhs = [<to = memory, by = pack>, <to = cta, by = cp_async,
// SM80: #recipe2 = #qlow.recipe<mma_16x8x64_i32_u4_u4, {{.*}}lhs = [<to = cta, by = load,
// SM80: #recipe3 = #qlow.recipe<{{mma_16x8x32|mma_16x8x64|mad}}
// SM80-LABEL: @nibbles
// LAYOUT: #qlow.layout<element = i4, panel = {{[0-9]+}}, columns = 8, group = 32>
// LAYOUT: #qlow.layout<element = i1, panel = {{[0-9]+}}, columns = 8, group = 128>

// Hopper has no product of four bits, and says so; it has one that counts common ones.
// SM90: emulation = "by two products of 8-bit integers"
// SM90-SAME: row = "mma_16x8x64_i32_u4_s4_via_s8"
// SM90-SAME: emulation = ""
// SM90-SAME: row = "mma_16x8x256_i32_b1_b1_via_common"

//--- select.mlir
func.func @nibbles(%x: tensor<512x1024x!qlow.q<u4 : f32, zero = u4>>) -> tensor<512x1024xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<1024x512xi8>
  %w = qlow.compose %c, %s : (tensor<1024x512xi8>, tensor<f32>) -> tensor<1024x1024x!qlow.q<i4 : f32>>
  %0 = qlow.matmul %x, %w : tensor<512x1024x!qlow.q<u4 : f32, zero = u4>>, tensor<1024x1024x!qlow.q<i4 : f32>> -> tensor<512x1024xi32>
  return %0 : tensor<512x1024xi32>
}
func.func @signs(%x: tensor<512x4096x!qlow.q<binary : f32>>) -> tensor<512x4096xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<5> : tensor<4096x512xi8>
  %w = qlow.compose %c, %s : (tensor<4096x512xi8>, tensor<f32>) -> tensor<4096x4096x!qlow.q<binary : f32>>
  %0 = qlow.matmul %x, %w : tensor<512x4096x!qlow.q<binary : f32>>, tensor<4096x4096x!qlow.q<binary : f32>> -> tensor<512x4096xi32>
  return %0 : tensor<512x4096xi32>
}
func.func @odd(%x: tensor<512x168x!qlow.q<u4 : f32>>) -> tensor<512x1024xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<6> : tensor<168x512xi8>
  %w = qlow.compose %c, %s : (tensor<168x512xi8>, tensor<f32>) -> tensor<168x1024x!qlow.q<u4 : f32>>
  %0 = qlow.matmul %x, %w : tensor<512x168x!qlow.q<u4 : f32>>, tensor<168x1024x!qlow.q<u4 : f32>> -> tensor<512x1024xi32>
  return %0 : tensor<512x1024xi32>
}
func.func @ternary(%x: tensor<512x1024x!qlow.q<trit : f32>>) -> tensor<512x1024xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<7> : tensor<1024x128xi8>
  %w = qlow.compose %c, %s : (tensor<1024x128xi8>, tensor<f32>) -> tensor<1024x1024x!qlow.q<binary : f32>>
  %0 = qlow.matmul %x, %w : tensor<512x1024x!qlow.q<trit : f32>>, tensor<1024x1024x!qlow.q<binary : f32>> -> tensor<512x1024xi32>
  return %0 : tensor<512x1024xi32>
}

//--- errors.mlir
!q = !qlow.q<i4 : f32>
func.func @kept(%x: tensor<64x256x!qlow.q<trit : f32>>, %w: tensor<64x256x!qlow.q<binary : f32>>) -> tensor<64x64xi32> {
  // expected-error@+1 {{has a recipe with 'mma_16x8x256_i32_b1_b1', which can not compute it on sm_80: takes signs of one bit, the left side has trit}}
  %0 = qlow.matmul transpose_rhs %x, %w recipes <[#qlow.recipe<mma_16x8x256_i32_b1_b1, tiles = [<cta, [64, 64, 512]>, <warp, [32, 32, 256]>],
      lhs = [<to = cta, by = load, stages = 4>, <to = reg, by = ldmatrix>], rhs = [<to = cta, by = load, stages = 4>, <to = reg, by = ldmatrix>], rescale = end>]>
    : tensor<64x256x!qlow.q<trit : f32>>, tensor<64x256x!qlow.q<binary : f32>> -> tensor<64x64xi32>
  return %0 : tensor<64x64xi32>
}

// -----

!q = !qlow.q<i4 : f32>
func.func @copied(%x: tensor<64x200x!q>, %w: tensor<64x200x!q>) -> tensor<64x64xi32> {
  // expected-error@+1 {{has a recipe that copies the left side as it lies, which needs codes of s4 with K last, known and a multiple of 32}}
  %0 = qlow.matmul transpose_rhs %x, %w recipes <[#qlow.recipe<mma_16x8x64_i32_s4_s4, tiles = [<cta, [64, 64, 128]>, <warp, [32, 32, 64]>],
      lhs = [<to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>], rhs = [<to = cta, by = load, stages = 4>, <to = reg, by = ldmatrix>], rescale = end>]>
    : tensor<64x200x!q>, tensor<64x200x!q> -> tensor<64x64xi32>
  return %0 : tensor<64x64xi32>
}

// -----

!q = !qlow.q<i4 : f32>
func.func @step(%x: tensor<64x256x!q>, %w: tensor<64x256x!q>) -> tensor<64x64xi32> {
  // expected-error@+1 {{expected 3 to 16 stages in 166912 bytes of shared memory, found 2 in}}
  %0 = qlow.matmul transpose_rhs %x, %w recipes <[#qlow.recipe<mma_16x8x64_i32_s4_s4, tiles = [<cta, [64, 64, 64]>, <warp, [32, 32, 64]>],
      lhs = [<to = cta, by = cp_async, stages = 2>, <to = reg, by = ldmatrix>], rhs = [<to = cta, by = load, stages = 2>, <to = reg, by = ldmatrix>], rescale = end>]>
    : tensor<64x256x!q>, tensor<64x256x!q> -> tensor<64x64xi32>
  return %0 : tensor<64x64xi32>
}

// -----

!q = !qlow.q<i4 : f32>
func.func @deep(%x: tensor<64x1024x!q>, %w: tensor<64x1024x!q>) -> tensor<64x64xi32> {
  // expected-error@+1 {{expected a cta tile of at most 256 x 256 x 512 in whole inner tiles}}
  %0 = qlow.matmul transpose_rhs %x, %w recipes <[#qlow.recipe<mma_16x8x64_i32_s4_s4, tiles = [<cta, [64, 64, 1024]>, <warp, [32, 32, 64]>],
      lhs = [<to = cta, by = cp_async, stages = 2>, <to = reg, by = ldmatrix>], rhs = [<to = cta, by = load, stages = 2>, <to = reg, by = ldmatrix>], rescale = end>]>
    : tensor<64x1024x!q>, tensor<64x1024x!q> -> tensor<64x64xi32>
  return %0 : tensor<64x64xi32>
}

//--- processor.mlir
func.func @pack(%w: memref<64x32xi8>, %out: memref<2304xi8>, %width: index) {
  // expected-error@+1 {{expected a layout of elements of whole bytes in panels, which processors read, found #qlow.layout<element = i4, panel = 64, columns = 8, group = 32>}}
  qlow.pack (%w : memref<64x32xi8>) as tensor<64x64x!qlow.q<i4 : f32>> outs(%out : memref<2304xi8>) width %width layout #qlow.layout<element = i4, panel = 64, columns = 8, group = 32>
  return
}
