// Recipes that products in tensor memory can not follow.
// RUN: qlow-opt %s --split-input-file --verify-diagnostics --qlow-pipeline="target=sm_100 stop-after=qlow-schedule-kernels"

!x = !qlow.q<i8 : f32>
#two = #qlow.recipe<tcgen05_128x128x32_i32_s8_s8, tiles = [<cta, [128, 256, 128]>, <warpgroup, [128, 128, 32]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rescale = end>

func.func @two_products(%a: tensor<256x256x!x>, %b: tensor<256x256x!x>) -> tensor<256x256xi32> {
  // expected-error@+1 {{has a recipe with 'tcgen05_128x128x32_i32_s8_s8', whose sums are of one product a block, of sides that a warpgroup copies, found #qlow.recipe<tcgen05_128x128x32_i32_s8_s8}}
  %y = qlow.matmul transpose_rhs %a, %b recipes <[#two]> : tensor<256x256x!x>, tensor<256x256x!x> -> tensor<256x256xi32>
  return %y : tensor<256x256xi32>
}

// -----

!x = !qlow.q<i8 : f32>
#few = #qlow.recipe<tcgen05_128x32x32_i32_s8_s8, tiles = [<memory, [16, 128, 128]>, <cta, [16, 32, 128]>, <warpgroup, [128, 32, 32]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = end>

// A warp holds 32 rows.
func.func @few_rows(%a: tensor<16x256x!x>) -> tensor<16x256xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<256x256xi8>
  %b = qlow.compose %c, %s : (tensor<256x256xi8>, tensor<f32>) -> tensor<256x256x!x>
  // expected-error@+1 {{expected a cta tile of at most 256 x 256 x 256 in whole inner tiles, and these in whole units of 128 x 32 x 32, found #qlow.recipe<tcgen05_128x32x32_i32_s8_s8}}
  %y = qlow.matmul transpose_rhs %a, %b recipes <[#few]> : tensor<16x256x!x>, tensor<256x256x!x> -> tensor<16x256xi32>
  return %y : tensor<16x256xi32>
}

// -----

!x = !qlow.q<f8E4M3FN : f32, block = [1, 128]>
#blocks = #qlow.recipe<tcgen05_128x128x32_f32_e4m3_e4m3, tiles = [<cta, [128, 128, 128]>, <warpgroup, [128, 128, 32]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rescale = block>

func.func @scales_along_k(%a: tensor<256x256x!x>, %b: tensor<256x256x!x>) -> tensor<256x256xf32> {
  // expected-error@+1 {{has a recipe with 'tcgen05_128x128x32_f32_e4m3_e4m3', which can not compute it on sm_100: takes one scale along K, the left side has others}}
  %y = qlow.matmul transpose_rhs %a, %b recipes <[#blocks]> : tensor<256x256x!x>, tensor<256x256x!x> -> tensor<256x256xf32>
  return %y : tensor<256x256xf32>
}
