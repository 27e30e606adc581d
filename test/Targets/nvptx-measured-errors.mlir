// A kernel that is to measure blocks which no warpgroup holds.
// RUN: qlow-opt %s --verify-diagnostics --qlow-plan-workspace=target=sm_90 --qlow-schedule-kernels=target=sm_90

#halves = #qlow.recipe<wgmma_64x128x32_i32_s8_s8, tiles = [<cta, [64, 256, 128]>, <warpgroup, [64, 128, 32]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rescale = end>
func.func @row_of_two(%a: memref<64x512xi8>, %w: memref<256x512xi8>, %s: memref<f32>, %out: memref<64x256xi8>, %scale: memref<64x1xf32>) {
  // expected-error@+1 {{measures scales of results, and has a recipe whose warps do not hold the blocks of 'tensor<64x256x!qlow.q<i8 : f32, block = [1, *]>>': expected sums in registers of warps, and rows or blocks of multiples of 8 columns that are whole in a tile of mma or in a warpgroup's of wgmma, found #qlow.recipe<wgmma_64x128x32_i32_s8_s8}}
  qlow.matmul_kernel transpose_rhs lhs(%a, %s : memref<64x512xi8>, memref<f32>) as tensor<64x512x!qlow.q<i8 : f32>>
    rhs(%w, %s : memref<256x512xi8>, memref<f32>) as tensor<256x512x!qlow.q<i8 : f32>> maps []
    outs(%out, %scale : memref<64x256xi8>, memref<64x1xf32>) as tensor<64x256x!qlow.q<i8 : f32, block = [1, *]>>
    epilogue {
    ^bb0(%acc: i32):
      %x = arith.sitofp %acc : i32 to f32
      qlow.yield %x : f32
    } recipes <[#halves]>
  return
}
