// Recipes by hand that the schedules of weight-only products can not follow.
// RUN: qlow-opt %s -split-input-file -verify-diagnostics --qlow-pipeline="target=sm_90 stop-after=qlow-schedule-kernels"

// A product is larger than f16 holds.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = fold, swap = true>
func.func @fold(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<8200.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{folds scales into codes, where 'wgmma_64x16x16_f32_f16_f16_via_registers' on sm_90 has rescale = follow: scales from 8.200e+03 to 8.200e+03 times codes of i4 leave the range of f16, found #qlow.recipe}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// Threads copy nothing.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = cp_async, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = block, swap = true>
func.func @copies(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{has a recipe that its schedule does not follow as it stands: expected #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>], lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>]}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// Scales that change along K can not wait for the end.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = end, swap = true>
func.func @late(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{rescale = block, swap = true>, found}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// Nibbles are not decoded as bytes.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_byte>], rescale = block, swap = true>
func.func @hop(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{<to = reg, by = decode_nibble>], rescale = block, swap = true>, found}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// Each team has a warp that copies for it.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 384]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = block, swap = true>
func.func @teams(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{of this k, at most 2 times, that give at most 4 warpgroups such a tile each, found}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// Sums that stand apart take twice the registers.
#r = #qlow.recipe<wgmma_64x128x16_f32_f16_f16_via_registers, tiles = [<cta, [128, 256, 128]>, <warpgroup, [128, 128, 128]>],
  lhs = [<to = cta, by = tma, stages = 2, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 2>, <to = reg, by = decode_nibble>], rescale = block, swap = true>
func.func @registers(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf32>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf32>) -> tensor<64x256x!qlow.q<i4 : f32, block = [1, 128]>>
  // expected-error@+1 {{expected at most 128 sums a thread, and warpgroup tiles of 64 columns where K is shared, found 256 sums}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f32, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// A ring of one buffer does not turn.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 1, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 1>, <to = reg, by = decode_nibble>], rescale = block, swap = true>
func.func @stages(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{expected 2 to 16 stages in 232448 bytes of shared memory and at most 8 blocks that share K, found 1 stages}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// One token is brought to shared memory, not eight.
#r = #qlow.recipe<mma_16x8x16_f32_f16_f16, tiles = [<cta, [8, 16, 256]>, <warp, [8, 16, 128]>], lhs = [<to = cta, by = load>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = cp_async, stages = 2>, <to = reg, by = decode_nibble>], rescale = block, swap = true>
func.func @ring(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{expected a cta tile of 1 x 16 and warp tiles of as much, with 128 to 512 of its k for each of at most 16 warps, 2 to 8 stages, and some K, found}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// Codes of 16 warps and 8 stages are more than a core holds.
#r = #qlow.recipe<mma_16x8x16_f32_f16_f16, tiles = [<cta, [1, 16, 4096]>, <warp, [1, 16, 256]>], lhs = [<to = cta, by = load>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = cp_async, stages = 8>, <to = reg, by = decode_nibble>], rescale = block, swap = true>
func.func @room(%x: tensor<1x256xf16>) -> tensor<1x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{expected at most 232448 bytes of shared memory, found}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<1x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<1x64xf16>
  return %y : tensor<1x64xf16>
}

// -----

// Floats have no codes.
#r = #qlow.recipe<mma_16x8x16_f32_f16_f16, tiles = [<cta, [1, 16, 2048]>, <warp, [1, 16, 256]>], lhs = [<to = cta, by = load>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = cp_async, stages = 2>, <to = reg, by = decode_nibble>], rescale = block, swap = true>
func.func @floats(%x: tensor<1x256xf16>, %w: tensor<256x64xf16>) -> tensor<1x64xf16> {
  // expected-error@+1 {{has a recipe that stores fragments, which needs a right side of codes of at most 8 bits, found 'tensor<256x64xf16>': #qlow.recipe<mma_16x8x16_f32_f16_f16}}
  %y = qlow.matmul %x, %w recipes <[#r]> : tensor<1x256xf16>, tensor<256x64xf16> -> tensor<1x64xf16>
  return %y : tensor<1x64xf16>
}

// -----

// Bits of codes times scales as large are more than f16 holds.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_fused>], rescale = fold, swap = true>
func.func @fuse(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<0.0315> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{decodes the right side by 'decode_fused', which its codes, or the size of their constant scales, do not allow on sm_90}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// Sums meet the scales, and codes do not.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_fused>], rescale = block, swap = true>
func.func @fuse_sums(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<0.03> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{expected decode_fused of codes of 4 bits without zero points, where rescale = fold rounds their scales in f16}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// Blocks of a cluster have the same tokens and K, and no part of K each.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers,
  tiles = [<cluster, [32, 256, 128]>, <cta, [16, 128, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = block, swap = true>
func.func @more_tokens(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{expected a cluster tile of 2 times the columns of a cta tile of whole warpgroup tiles, with its tokens and its k, which are 128, and no split_k}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// Two blocks share columns, one alone can not.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 224, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = block, swap = true>
func.func @alone(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{expected whole warpgroup tiles in a cta tile, or 32 columns more than one or more of 64, which two blocks share with split_k = 2}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// Three warpgroups have fewer registers each than sums of 256 tokens take.
#r = #qlow.recipe<wgmma_64x256x16_f32_f16_f16_via_registers, tiles = [<cta, [256, 192, 128]>, <warpgroup, [256, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 2, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 2>, <to = reg, by = decode_nibble>], rescale = block, swap = true>
func.func @three(%x: tensor<256x256xf16>) -> tensor<256x192xf16> {
  %c = arith.constant dense<3> : tensor<192x128xi8>
  %s = arith.constant dense<3.0> : tensor<192x2xf16>
  %w = qlow.compose %c, %s : (tensor<192x128xi8>, tensor<192x2xf16>) -> tensor<192x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{expected at most 104 sums a thread, and warpgroup tiles of 64 columns where K is shared, found 128 sums}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<256x256xf16>, tensor<192x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<256x192xf16>
  return %y : tensor<256x192xf16>
}

// -----

// bf16 has too few bits for products that round.
#r = #qlow.recipe<wgmma_64x16x16_f32_bf16_bf16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = fold, swap = true>
func.func @fold_brain(%x: tensor<16x256xbf16>) -> tensor<16x64xf32> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{rescale = follow: products with scales of f16 are rounded, which the law allows in f16 alone, here are bf16, found #qlow.recipe}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xbf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf32>
  return %y : tensor<16x64xf32>
}

// -----

// Nor has f16 for the scale.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = fold, swap = true>
func.func @fold_wide(%x: tensor<16x256xf16>) -> tensor<16x64xf32> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf32>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf32>) -> tensor<64x256x!qlow.q<i4 : f32, block = [1, 128]>>
  // expected-error@+1 {{rescale = block: f16 does not hold scales of f32, found #qlow.recipe}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f32, block = [1, 128]>> -> tensor<16x64xf32>
  return %y : tensor<16x64xf32>
}

// -----

// What is looked up meets nothing.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_lookup16>], rescale = fold, swap = true>
func.func @fold_lookup(%x: tensor<16x256xf16>) -> tensor<16x64xf32> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<2.0> : tensor<64x2xf8E8M0FNU>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf8E8M0FNU>) -> tensor<64x256x!qlow.q<nf4 : f8E8M0FNU, block = [1, 128]>>
  // expected-error@+1 {{rescale = block: powers of two meet codes that are unpacked by arithmetic to floats, those of nf4 are looked up, found #qlow.recipe}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<nf4 : f8E8M0FNU, block = [1, 128]>> -> tensor<16x64xf32>
  return %y : tensor<16x64xf32>
}

// -----

// Nobody knows how large they are.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = fold, swap = true>
func.func @fold_unknown(%x: tensor<16x256xf16>, %s: tensor<64x2xf16>) -> tensor<16x64xf32> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{rescale = block: scales are not known, as finite constants with one that is not 0 are, found #qlow.recipe}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf32>
  return %y : tensor<16x64xf32>
}

// -----

// They would be decoded first.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = fold, swap = true>
func.func @fold_codes(%x: tensor<16x256xf16>) -> tensor<16x64xf32> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3> : tensor<64x2xi8>
  %t = arith.constant dense<1.0> : tensor<f16>
  %w = qlow.compose %c, %s, %t : (tensor<64x128xi8>, tensor<64x2xi8>, tensor<f16>) -> tensor<64x256x!qlow.q<i4 : !qlow.q<u8 : f16>, block = [1, 128]>>
  // expected-error@+1 {{rescale = block: scales are codes themselves, of a kind that codes do not meet, found #qlow.recipe}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : !qlow.q<u8 : f16>, block = [1, 128]>> -> tensor<16x64xf32>
  return %y : tensor<16x64xf32>
}

// -----

// One for all of K.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = fold, swap = true>
func.func @fold_one(%x: tensor<16x256xf16>) -> tensor<16x64xf32> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x1xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x1xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, *]>>
  // expected-error@+1 {{rescale = end: all of K has one scale, which sums meet, found #qlow.recipe}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, *]>> -> tensor<16x64xf32>
  return %y : tensor<16x64xf32>
}

// -----

// No sum is in units of 0.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = follow, swap = true>
func.func @zero_scales(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<0.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{has a recipe with rescale = follow, where 'wgmma_64x16x16_f32_f16_f16_via_registers' on sm_90 can not keep sums in units of scales: expected float sums and constant scales along K of at most 5 bits of exponent, finite and none of them 0, found 'tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>' and #qlow.recipe}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// Nor of an infinity.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = follow, swap = true>
func.func @infinite_scales(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<0x7C00> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{none of them 0, found 'tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>' and #qlow.recipe}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// Ratios of such scales may leave f32.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = follow, swap = true>
func.func @wide_scales(%x: tensor<16x256xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<2.0> : tensor<64x2xbf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xbf16>) -> tensor<64x256x!qlow.q<i4 : bf16, block = [1, 128]>>
  // expected-error@+1 {{none of them 0, found 'tensor<64x256x!qlow.q<i4 : bf16, block = [1, 128]>>' and #qlow.recipe}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : bf16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// Scales that are known later may be 0.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = follow, swap = true>
func.func @unknown_scales(%x: tensor<16x256xf16>, %s: tensor<64x2xf16>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{none of them 0, found 'tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>>' and #qlow.recipe}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// -----

// 2^-16 times 2^-9 is no number of f16, nor is it times what keeps the largest products from infinity.
#r = #qlow.recipe<wgmma_64x16x16_f32_f16_f16_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_minifloat>], rescale = fold, swap = true>
!e5 = !qlow.q<f8E5M2 : !qlow.q<f8E4M3FN : f32>, block = [1, 128]>
func.func @least_products(%x: tensor<16x256xf16>, %t: tensor<f32>) -> tensor<16x64xf32> {
  %c = arith.constant dense<1> : tensor<64x256xi8>
  %s = arith.constant dense<1> : tensor<64x2xi8>
  %w = qlow.compose %c, %s, %t : (tensor<64x256xi8>, tensor<64x2xi8>, tensor<f32>) -> tensor<64x256x!e5>
  // expected-error@+1 {{the least products of codes of f8E5M2 and scales of f8E4M3FN are 0 in f16, found #qlow.recipe}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x256xf16>, tensor<64x256x!e5> -> tensor<16x64xf32>
  return %y : tensor<16x64xf32>
}

// -----

#r = #qlow.recipe<wgmma_64x16x32_i32_s8_s8_via_registers, tiles = [<cta, [16, 64, 128]>, <warpgroup, [16, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 4>, <to = reg, by = decode_nibble>], rescale = block, swap = true>
!x = !qlow.q<i8 : f32, block = [1, 48]>
func.func @short_scales(%x: tensor<16x384x!x>) -> tensor<16x64xf32> {
  %c = arith.constant dense<3> : tensor<64x192xi8>
  %s = arith.constant dense<3.0> : tensor<64x3xf16>
  %w = qlow.compose %c, %s : (tensor<64x192xi8>, tensor<64x3xf16>) -> tensor<64x384x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{takes sums under one scale of each side of 32, 64 or multiples of 128 k, the left side has scales for 48 of k and the right side for 128}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<16x384x!x>, tensor<64x384x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<16x64xf32>
  return %y : tensor<16x64xf32>
}

// -----

// Bytes of 256 tokens have no registers for sums of one scale beside the others.
#r = #qlow.recipe<wgmma_64x256x32_i32_s8_s8_via_registers, tiles = [<cta, [256, 64, 128]>, <warpgroup, [256, 64, 128]>],
  lhs = [<to = cta, by = tma, stages = 2, swizzle = 128>],
  rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 2>, <to = reg, by = decode_nibble>], rescale = block, swap = true>
!x = !qlow.q<i8 : f32, block = [1, *]>
func.func @no_registers(%x: tensor<256x384x!x>) -> tensor<256x64xf32> {
  %c = arith.constant dense<3> : tensor<64x192xi8>
  %s = arith.constant dense<3.0> : tensor<64x3xf16>
  %w = qlow.compose %c, %s : (tensor<64x192xi8>, tensor<64x3xf16>) -> tensor<64x384x!qlow.q<i4 : f16, block = [1, 128]>>
  // expected-error@+1 {{has registers or room for no tile of such weights}}
  %y = qlow.matmul transpose_rhs %x, %w recipes <[#r]> : tensor<256x384x!x>, tensor<64x384x!qlow.q<i4 : f16, block = [1, 128]>> -> tensor<256x64xf32>
  return %y : tensor<256x64xf32>
}
