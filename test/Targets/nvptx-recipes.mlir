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
  // expected-error@+1 {{has a recipe that brings the left side by tensor map, which needs the row's elements on the left with K last, known and a positive multiple of 16}}
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

// -----

!q = !qlow.q<i8 : f32>

func.func @slices(%a: tensor<64x64x!q>) -> tensor<64x256xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<64x256xi8>
  %w = qlow.compose %c, %s : (tensor<64x256xi8>, tensor<f32>) -> tensor<64x256x!q>
  // expected-error@+1 {{expected a right side in panels of the cta tile's 64 columns, or of a multiple where a warpgroup copies them, found #qlow.layout<element = i8, panel = 96, columns = 8, group = 16>}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x32x32_i32_s8_s8, tiles = [<memory, [64, 96, 128]>, <cta, [64, 64, 128]>, <warpgroup, [64, 32, 32]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = end>]>
    : tensor<64x64x!q>, tensor<64x256x!q> -> tensor<64x256xi32>
  return %y : tensor<64x256xi32>
}

// -----

!q = !qlow.q<i8 : f32>

// Panels of one width, and a box's row of at most 256 elements.
func.func @maps(%a: tensor<64x64x!q>) -> tensor<64x264xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<64x264xi8>
  %w = qlow.compose %c, %s : (tensor<64x264xi8>, tensor<f32>) -> tensor<64x264x!q>
  // expected-error@+1 {{has a recipe that brings the right side by tensor map, which needs tiles of at most 64 columns and panels of one width, found 264 columns in #qlow.layout<element = i8, panel = 128, columns = 8, group = 16>}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x32x32_i32_s8_s8, tiles = [<memory, [64, 128, 128]>, <cta, [64, 32, 128]>, <warpgroup, [64, 32, 32]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = tma, stages = 4>], rescale = end>]>
    : tensor<64x64x!q>, tensor<64x264x!q> -> tensor<64x264xi32>
  return %y : tensor<64x264xi32>
}

// -----

!q = !qlow.q<i8 : f32>

// Only a product that nobody else takes rows of may have fewer, and those of whole warps.
func.func @few_rows(%a: tensor<64x64x!q>) -> tensor<64x256xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<64x256xi8>
  %w = qlow.compose %c, %s : (tensor<64x256xi8>, tensor<f32>) -> tensor<64x256x!q>
  // expected-error@+1 {{expected a cta tile of at most 256 x 256 x 256 in whole inner tiles, and these in whole units of 64 x 128 x 32, found}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x128x32_i32_s8_s8, tiles = [<cta, [8, 128, 128]>, <warpgroup, [64, 128, 32]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = end>]>
    : tensor<64x64x!q>, tensor<64x256x!q> -> tensor<64x256xi32>
  return %y : tensor<64x256xi32>
}

// -----

!q = !qlow.q<i8 : f32>

// Registers are a block's, and ptxas makes no products whose sums have none.
func.func @many_sums(%a: tensor<256x64x!q>) -> tensor<256x256xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<64x256xi8>
  %w = qlow.compose %c, %s : (tensor<64x256xi8>, tensor<f32>) -> tensor<64x256x!q>
  // expected-error@+1 {{expected warpgroup tiles of at most 64 sums a thread, for which a block of 640 threads has registers, found 128 by}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x256x32_i32_s8_s8, tiles = [<cta, [256, 256, 128]>, <warpgroup, [64, 256, 32]>],
      lhs = [<to = cta, by = tma, stages = 2, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 2>], rescale = end>]>
    : tensor<256x64x!q>, tensor<64x256x!q> -> tensor<256x256xi32>
  return %y : tensor<256x256xi32>
}

// -----

!q = !qlow.q<i8 : f32>

// Scratch is sized before anybody looks at the recipe.
func.func @ones(%a: tensor<64x64x!q>, %b: tensor<64x64x!q>) -> tensor<64x64xi32> {
  // expected-error@+1 {{expected a cta tile of at most 256 x 256 x 256 in whole inner tiles, and these in whole units of 16 x 16 x 32, found}}
  %y = qlow.matmul %a, %b recipes <[#qlow.recipe<mma_16x8x32_i32_s8_s8, tiles = [<cta, [1, 1, 1]>, <warp, [1, 1, 1]>],
      lhs = [<to = cta, by = load>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>]>
    : tensor<64x64x!q>, tensor<64x64x!q> -> tensor<64x64xi32>
  return %y : tensor<64x64xi32>
}

// -----

// Sums of small floats in a matrix unit are no longer than the law lets them be.
!q = !qlow.q<f8E4M3FN : f32>

func.func @promotion(%a: tensor<64x512x!q>) -> tensor<64x256xf32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<512x256xi8>
  %w = qlow.compose %c, %s : (tensor<512x256xi8>, tensor<f32>) -> tensor<512x256x!q>
  // expected-error@+1 {{has a recipe with 'wgmma_64x128x32_f32_e4m3_e4m3', whose sums are of at most 128 k}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x128x32_f32_e4m3_e4m3, tiles = [<cta, [64, 128, 256]>, <warpgroup, [64, 128, 32]>],
      lhs = [<to = cta, by = cp_async, stages = 3>], rhs = [<to = memory, by = pack>, <to = cta, by = cp_async, stages = 3>], rescale = end>]>
    : tensor<64x512x!q>, tensor<512x256x!q> -> tensor<64x256xf32>
  return %y : tensor<64x256xf32>
}

// -----

!q = !qlow.q<f8E4M3FN : f32>

func.func @fast(%a: tensor<64x512x!q>) -> tensor<64x256xf32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<512x256xi8>
  %w = qlow.compose %c, %s : (tensor<512x256xi8>, tensor<f32>) -> tensor<512x256x!q>
  // expected-error@+1 {{keeps fewer bits than the law asks for where fast sums are not asked for}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x128x32_f32_e4m3_e4m3_via_long_sums, tiles = [<cta, [64, 128, 128]>, <warpgroup, [64, 128, 32]>],
      lhs = [<to = cta, by = cp_async, stages = 3>], rhs = [<to = memory, by = pack>, <to = cta, by = cp_async, stages = 3>], rescale = end>]>
    : tensor<64x512x!q>, tensor<512x256x!q> -> tensor<64x256xf32>
  return %y : tensor<64x256xf32>
}

// -----

!q = !qlow.q<f8E4M3FN : f32>
!blocks = !qlow.q<f8E4M3FN : f32, block = [48, 1]>

// Scales change between steps, or not at all.
func.func @scales(%a: tensor<64x512x!q>) -> tensor<64x256xf32> {
  %s = arith.constant dense<1.0> : tensor<11x256xf32>
  %c = arith.constant dense<3> : tensor<512x256xi8>
  %w = qlow.compose %c, %s : (tensor<512x256xi8>, tensor<11x256xf32>) -> tensor<512x256x!blocks>
  // expected-error@+1 {{takes scales for multiples of 32 along a known K, the right side has one for each 48}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x128x32_f32_e4m3_e4m3, tiles = [<cta, [64, 128, 128]>, <warpgroup, [64, 128, 32]>],
      lhs = [<to = cta, by = cp_async, stages = 3>], rhs = [<to = memory, by = pack>, <to = cta, by = cp_async, stages = 3>], rescale = block>]>
    : tensor<64x512x!q>, tensor<512x256x!blocks> -> tensor<64x256xf32>
  return %y : tensor<64x256xf32>
}

// -----

!q = !qlow.q<f8E4M3FN : f32>
!blocks = !qlow.q<f8E4M3FN : f32, block = [128, 1]>

func.func @rescale(%a: tensor<64x512x!q>) -> tensor<64x256xf32> {
  %s = arith.constant dense<1.0> : tensor<4x256xf32>
  %c = arith.constant dense<3> : tensor<512x256xi8>
  %w = qlow.compose %c, %s : (tensor<512x256xi8>, tensor<4x256xf32>) -> tensor<512x256x!blocks>
  // expected-error@+1 {{expected rescale = block where scales change along K, and there alone, else rescale = end, found #qlow.recipe<wgmma_64x128x32_f32_e4m3_e4m3}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x128x32_f32_e4m3_e4m3, tiles = [<cta, [64, 128, 128]>, <warpgroup, [64, 128, 32]>],
      lhs = [<to = cta, by = cp_async, stages = 3>], rhs = [<to = memory, by = pack>, <to = cta, by = cp_async, stages = 3>], rescale = end>]>
    : tensor<64x512x!q>, tensor<512x256x!blocks> -> tensor<64x256xf32>
  return %y : tensor<64x256xf32>
}

// -----

!q = !qlow.q<f8E4M3FN : f32>
!blocks = !qlow.q<f8E4M3FN : f32, block = [128, 1]>

func.func @room(%a: tensor<64x512x!q>) -> tensor<64x256xf32> {
  %s = arith.constant dense<1.0> : tensor<4x256xf32>
  %c = arith.constant dense<3> : tensor<512x256xi8>
  %w = qlow.compose %c, %s : (tensor<512x256xi8>, tensor<4x256xf32>) -> tensor<512x256x!blocks>
  // expected-error@+1 {{has a recipe with two products of columns a warpgroup, which leaves no room for scales of each column or of less than a tile's k}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x128x32_f32_e4m3_e4m3, tiles = [<cta, [64, 256, 128]>, <warpgroup, [64, 256, 32]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = block>]>
    : tensor<64x512x!q>, tensor<512x256x!blocks> -> tensor<64x256xf32>
  return %y : tensor<64x256xf32>
}

// -----

!q = !qlow.q<f8E4M3FN : f32>
!blocks = !qlow.q<f8E4M3FN : f32, block = [128, 128]>

func.func @pieces(%a: tensor<64x512x!q>) -> tensor<64x200xf32> {
  %s = arith.constant dense<1.0> : tensor<4x2xf32>
  %c = arith.constant dense<3> : tensor<512x200xi8>
  %w = qlow.compose %c, %s : (tensor<512x200xi8>, tensor<4x2xf32>) -> tensor<512x200x!blocks>
  // expected-error@+1 {{has a recipe that brings slices of panels in pieces, which leaves no warps for scales that change along K}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x128x32_f32_e4m3_e4m3, tiles = [<memory, [64, 256, 128]>, <cta, [64, 128, 128]>, <warpgroup, [64, 128, 32]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = block>]>
    : tensor<64x512x!q>, tensor<512x200x!blocks> -> tensor<64x200xf32>
  return %y : tensor<64x200xf32>
}

// -----

// Columns side by side come by tensor map alone, and to the rows that take them so.
func.func @columns(%a: tensor<64x64xf16>, %b: tensor<64x128xf16>) -> tensor<64x128xf32> {
  // expected-error@+1 {{needs a packed right side, or one by tensor map of the row's elements with K last, known and a multiple of 8}}
  %y = qlow.matmul %a, %b recipes <[#qlow.recipe<wgmma_64x128x16_f32_f16_f16, tiles = [<cta, [64, 128, 64]>, <warpgroup, [64, 128, 16]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rescale = fold>]>
    : tensor<64x64xf16>, tensor<64x128xf16> -> tensor<64x128xf32>
  return %y : tensor<64x128xf32>
}

// -----

func.func @constant_columns(%a: tensor<64x64xf16>) -> tensor<64x128xf32> {
  %b = arith.constant dense<1.0> : tensor<64x128xf16>
  // expected-error@+1 {{has a recipe with 'wgmma_64x128x16_f32_f16_f16_via_columns', whose right side comes by tensor map as it lies}}
  %y = qlow.matmul %a, %b recipes <[#qlow.recipe<wgmma_64x128x16_f32_f16_f16_via_columns, tiles = [<cta, [64, 128, 64]>, <warpgroup, [64, 128, 16]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = fold>]>
    : tensor<64x64xf16>, tensor<64x128xf16> -> tensor<64x128xf32>
  return %y : tensor<64x128xf32>
}

// -----

// Exact sums meet scales at their end.
!q = !qlow.q<i8 : f32>

func.func @exact(%a: tensor<64x64x!q>) -> tensor<64x256xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<64x256xi8>
  %w = qlow.compose %c, %s : (tensor<64x256xi8>, tensor<f32>) -> tensor<64x256x!q>
  // expected-error@+1 {{expected rescale = end where 'wgmma_64x64x32_i32_s8_s8' sums integers, found #qlow.recipe<wgmma_64x64x32_i32_s8_s8}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x64x32_i32_s8_s8, tiles = [<cta, [64, 64, 128]>, <warpgroup, [64, 64, 32]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = block>]>
    : tensor<64x64x!q>, tensor<64x256x!q> -> tensor<64x256xi32>
  return %y : tensor<64x256xi32>
}

// -----

// Nothing reads the tile of a grid.
!q = !qlow.q<i8 : f32>

func.func @unread_level(%a: tensor<64x64x!q>) -> tensor<64x256xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<64x256xi8>
  %w = qlow.compose %c, %s : (tensor<64x256xi8>, tensor<f32>) -> tensor<64x256x!q>
  // expected-error@+1 {{needs tiles at levels 'cta' and 'warpgroup', at level 'memory' where a packed right side has wider panels maybe, and no others, in its recipe, found #qlow.recipe<wgmma_64x64x32_i32_s8_s8, tiles = [<grid, [64, 256, 64]>}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x64x32_i32_s8_s8, tiles = [<grid, [64, 256, 64]>, <cta, [64, 64, 128]>, <warpgroup, [64, 64, 32]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = end>]>
    : tensor<64x64x!q>, tensor<64x256x!q> -> tensor<64x256xi32>
  return %y : tensor<64x256xi32>
}

// -----

// Panels have columns.
!q = !qlow.q<i8 : f32>

func.func @unread_sizes(%a: tensor<64x64x!q>) -> tensor<64x256xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<64x256xi8>
  %w = qlow.compose %c, %s : (tensor<64x256xi8>, tensor<f32>) -> tensor<64x256x!q>
  // expected-error@+1 {{expected the rows and the k of the cta tile at level 'memory', found #qlow.recipe<wgmma_64x64x32_i32_s8_s8}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x64x32_i32_s8_s8, tiles = [<memory, [128, 128, 128]>, <cta, [64, 64, 128]>, <warpgroup, [64, 64, 32]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = end>]>
    : tensor<64x64x!q>, tensor<64x256x!q> -> tensor<64x256xi32>
  return %y : tensor<64x256xi32>
}

// -----

// A step is the instruction's.
!q = !qlow.q<i8 : f32>

func.func @unread_step(%a: tensor<64x64x!q>) -> tensor<64x256xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %c = arith.constant dense<3> : tensor<64x256xi8>
  %w = qlow.compose %c, %s : (tensor<64x256xi8>, tensor<f32>) -> tensor<64x256x!q>
  // expected-error@+1 {{in whole inner tiles, and these in whole units of 64 x 64 x 32, found}}
  %y = qlow.matmul %a, %w recipes <[#qlow.recipe<wgmma_64x64x32_i32_s8_s8, tiles = [<cta, [64, 64, 128]>, <warpgroup, [64, 64, 64]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = end>]>
    : tensor<64x64x!q>, tensor<64x256x!q> -> tensor<64x256xi32>
  return %y : tensor<64x256xi32>
}

// -----

// Floats have met their scales when they are multiplied.
func.func @floats(%a: tensor<64x64xf16>, %b: tensor<128x64xf16>) -> tensor<64x128xf32> {
  // expected-error@+1 {{expected rescale = fold where 'wgmma_64x128x16_f32_f16_f16' sums numbers that have met their scales, found}}
  %y = qlow.matmul transpose_rhs %a, %b recipes <[#qlow.recipe<wgmma_64x128x16_f32_f16_f16, tiles = [<cta, [64, 128, 64]>, <warpgroup, [64, 128, 16]>],
      lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rescale = block>]>
    : tensor<64x64xf16>, tensor<128x64xf16> -> tensor<64x128xf32>
  return %y : tensor<64x128xf32>
}
