// RUN: qlow-opt %s | qlow-opt | FileCheck %s

// All of a recipe comes back as it was; what has a default is printed only where it differs.

// CHECK-DAG: #[[FULL:.+]] = #qlow.recipe<wgmma_64x256x32_f32_e4m3_e4m3, tiles = [<grid, [128, 256, 4096]>, <cta, [128, 256, 128]>, <warpgroup, [64, 256, 32]>], lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rescale = block, swap = true, split_k = 2>
#full = #qlow.recipe<wgmma_64x256x32_f32_e4m3_e4m3,
  tiles = [<grid, [128, 256, 4096]>, <cta, [128, 256, 128]>, <warpgroup, [64, 256, 32]>],
  lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],
  rescale = block, swap = true, split_k = 2>

// CHECK-DAG: #[[PLAIN:.+]] = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [96, 512, 4096]>, <reg, [6, 64, 4]>], lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load512>], rescale = end>
#plain = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [96, 512, 4096]>, <reg, [6, 64, 4]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load512>], rescale = end,
  swap = false, split_k = 1>

// One field may stand without the other.
// CHECK-DAG: #[[SPLIT:.+]] = #qlow.recipe<mul, {{.*}}, rescale = fold, split_k = 3>
#split = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>],
  rescale = fold, split_k = 3>

// Words that are no identifiers are strings.
// CHECK-DAG: #[[STRINGS:.+]] = #qlow.recipe<"8x8", tiles = [<"2nd", [1, 1, 1]>], lhs = [<to = "2nd", by = "a b">]
#strings = #qlow.recipe<"8x8", tiles = [<"2nd", [1, 1, 1]>], lhs = [<to = "2nd", by = "a b">],
  rhs = [<to = "2nd", by = load>], rescale = fold>

// One recipe for every m; and one for each range of m, the last without a bound.
// CHECK-LABEL: func.func private @recipes() attributes
// CHECK-SAME: qlow.all = #qlow.recipes<[#[[PLAIN]]]>
// CHECK-SAME: qlow.split = #[[SPLIT]]
// CHECK-SAME: qlow.strings = #[[STRINGS]]
// CHECK-SAME: qlow.three = #qlow.recipes<[m to 4 : #[[FULL]], m to 64 : #[[PLAIN]], #[[FULL]]]>
func.func private @recipes() attributes {
  qlow.all = #qlow.recipes<[#plain]>, qlow.split = #split, qlow.strings = #strings,
  qlow.three = #qlow.recipes<[m to 4 : #full, m to 64 : #plain, #full]>
}
