// What a recipe that brings the left side by tensor map must say, and of what matmul.
// RUN: qlow-opt %s --qlow-pipeline="target=sm_90 stop-after=qlow-schedule-kernels" -split-input-file -verify-diagnostics

!q = !qlow.q<i8 : f32>

func.func @tile(%a: tensor<64x64x!q>) -> tensor<64x256xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<64x256xi8>
  %w = qlow.compose %c, %s : (tensor<64x256xi8>, tensor<f32>) -> tensor<64x256x!q>
  // expected-error@+1 {{has a recipe that brings the left side by tensor map, which needs a row of a warpgroup, tiles of 128 in K and one product of rows a warpgroup, found #qlow.recipe<wgmma_64x256x32_i32_s8_s8}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x256x32_i32_s8_s8, tiles = [<cta, [64, 256, 64]>, <warpgroup, [64, 256, 32]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = end>]>
    : tensor<64x64x!q>, tensor<64x256x!q> -> tensor<64x256xi32>
  return %y : tensor<64x256xi32>
}

// -----

!q = !qlow.q<i8 : f32>

func.func @depth(%a: tensor<64x60x!q>) -> tensor<64x256xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<60x256xi8>
  %w = qlow.compose %c, %s : (tensor<60x256xi8>, tensor<f32>) -> tensor<60x256x!q>
  // expected-error@+1 {{has a recipe that brings the left side by tensor map, which needs a packed right side and codes of one byte on the left with K last, known and a positive multiple of 16}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x256x32_i32_s8_s8, tiles = [<cta, [64, 256, 128]>, <warpgroup, [64, 256, 32]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = end>]>
    : tensor<64x60x!q>, tensor<60x256x!q> -> tensor<64x256xi32>
  return %y : tensor<64x256xi32>
}

// -----

!q = !qlow.q<i8 : f32>

func.func @stages(%a: tensor<64x64x!q>) -> tensor<64x256xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<64x256xi8>
  %w = qlow.compose %c, %s : (tensor<64x256xi8>, tensor<f32>) -> tensor<64x256x!q>
  // expected-error@+1 {{expected 2 to 16 stages in 232448 bytes of shared memory, found 5 in 279632 bytes}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x256x32_i32_s8_s8, tiles = [<cta, [128, 256, 128]>, <warpgroup, [64, 256, 32]>],
      lhs = [<to = cta, by = tma, stages = 5, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 5>], rescale = end>]>
    : tensor<64x64x!q>, tensor<64x256x!q> -> tensor<64x256xi32>
  return %y : tensor<64x256xi32>
}
