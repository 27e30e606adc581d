// Recipes that a row which takes scales can not follow.
// RUN: qlow-opt %s --split-input-file --verify-diagnostics --qlow-pipeline="target=sm_120 stop-after=qlow-schedule-kernels"

!x = !qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 32]>
#half_words = #qlow.recipe<mma_16x8x64_f32_e2m1_e2m1_via_ue8m0, tiles = [<cta, [64, 128, 64]>, <warp, [32, 32, 64]>],
  lhs = [<to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>], rhs = [<to = cta, by = decode, stages = 4>, <to = reg, by = ldmatrix>], rescale = fold>

func.func @half_words(%a: tensor<64x256x!x>, %b: tensor<128x256x!x>) -> tensor<64x128xf32> {
  // expected-error@+1 {{expected a cta tile of at most 256 x 256 x 512 in whole inner tiles, and these in whole units of 16 x 16 x 64, K in words of four scales of 32, found #qlow.recipe<mma_16x8x64_f32_e2m1_e2m1_via_ue8m0}}
  %y = qlow.matmul transpose_rhs %a, %b recipes <[#half_words]> : tensor<64x256x!x>, tensor<128x256x!x> -> tensor<64x128xf32>
  return %y : tensor<64x128xf32>
}

// -----

!x = !qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 32]>
#late = #qlow.recipe<mma_16x8x64_f32_e2m1_e2m1_via_ue8m0, tiles = [<cta, [64, 128, 128]>, <warp, [32, 32, 64]>],
  lhs = [<to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>], rhs = [<to = cta, by = decode, stages = 4>, <to = reg, by = ldmatrix>], rescale = block>

func.func @late(%a: tensor<64x256x!x>, %b: tensor<128x256x!x>) -> tensor<64x128xf32> {
  // expected-error@+1 {{expected rescale = fold where the row takes scales, found #qlow.recipe<mma_16x8x64_f32_e2m1_e2m1_via_ue8m0}}
  %y = qlow.matmul transpose_rhs %a, %b recipes <[#late]> : tensor<64x256x!x>, tensor<128x256x!x> -> tensor<64x128xf32>
  return %y : tensor<64x128xf32>
}

// -----

!x = !qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 16]>
#groups = #qlow.recipe<mma_16x8x64_f32_e2m1_e2m1_via_ue8m0, tiles = [<cta, [64, 128, 128]>, <warp, [32, 32, 64]>],
  lhs = [<to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>], rhs = [<to = cta, by = decode, stages = 4>, <to = reg, by = ldmatrix>], rescale = fold>

func.func @groups(%a: tensor<64x256x!x>, %b: tensor<128x256x!x>) -> tensor<64x128xf32> {
  // expected-error@+1 {{which can not compute it on sm_120: takes scales for multiples of 32 along K, the left side has one for each 16}}
  %y = qlow.matmul transpose_rhs %a, %b recipes <[#groups]> : tensor<64x256x!x>, tensor<128x256x!x> -> tensor<64x128xf32>
  return %y : tensor<64x128xf32>
}

// -----

!x = !qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 32]>
#foreign = #qlow.recipe<mma_16x8x64_f32_e2m1_e2m1_via_ue8m0, tiles = [<cta, [64, 128, 128]>, <warp, [32, 32, 64]>],
  lhs = [<to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>], rhs = [<to = cta, by = decode, stages = 4>, <to = reg, by = broadcast32>], rescale = fold>

// What would not be followed is not left unread.
func.func @foreign_hop(%a: tensor<64x256x!x>, %b: tensor<128x256x!x>) -> tensor<64x128xf32> {
  // expected-error@+1 {{to 'reg' by 'ldmatrix', of lanes 'load', where the row does not read shared memory; to 'memory' by 'pack' first where the right side is packed; and no swap or split_k, found #qlow.recipe<mma_16x8x64_f32_e2m1_e2m1_via_ue8m0}}
  %y = qlow.matmul transpose_rhs %a, %b recipes <[#foreign]> : tensor<64x256x!x>, tensor<128x256x!x> -> tensor<64x128xf32>
  return %y : tensor<64x128xf32>
}

// -----

!x = !qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 32]>
#shares = #qlow.recipe<mma_16x8x64_f32_e2m1_e2m1_via_ue8m0, tiles = [<cta, [64, 128, 128]>, <warp, [32, 32, 64]>],
  lhs = [<to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>], rhs = [<to = cta, by = decode, stages = 4>, <to = reg, by = ldmatrix>],
  rescale = fold, split_k = 2>

func.func @shares(%a: tensor<64x256x!x>, %b: tensor<128x256x!x>) -> tensor<64x128xf32> {
  // expected-error@+1 {{and no swap or split_k, found #qlow.recipe<mma_16x8x64_f32_e2m1_e2m1_via_ue8m0}}
  %y = qlow.matmul transpose_rhs %a, %b recipes <[#shares]> : tensor<64x256x!x>, tensor<128x256x!x> -> tensor<64x128xf32>
  return %y : tensor<64x128xf32>
}
