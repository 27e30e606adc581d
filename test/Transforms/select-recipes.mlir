// RUN: qlow-opt %s -qlow-select-recipes=target=znver4 | FileCheck %s --check-prefixes=CHECK,ZNVER4
// RUN: qlow-opt %s -qlow-select-recipes=target=x86-64-v3 | FileCheck %s --check-prefixes=CHECK,V3
// RUN: qlow-opt %s -qlow-select-recipes=target=generic | FileCheck %s --check-prefixes=CHECK,GENERIC
// RUN: qlow-opt %s -qlow-select-recipes="target=sm_90 fast-sums=true" | FileCheck %s --check-prefix=FAST

// FAST: #qlow.recipe<wgmma_64x128x32_f32_e4m3_e5m2_via_long_sums

!u8 = !qlow.q<u8 : f32>
!i8 = !qlow.q<i8 : f32>
!nf4 = !qlow.q<nf4 : f16, block = [32, 1]>

// ZNVER4-DAG: #[[NATIVE:.+]] = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [{{.*}}, 64, 64]>, <reg, [6, 64, 4]>], lhs = [<to = reg, by = broadcast32>], rhs = [<to = memory, by = pack>
// ZNVER4-DAG: #[[ONE:.+]] = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [{{.*}}, 64, 64]>, <reg, [1, 64, 4]>]
// ZNVER4-DAG: #[[OFFSET:.+]] = #qlow.recipe<vpdpbusd_1x16x4_i32_s8_s8_via_offset, {{.*}} lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>]
// ZNVER4-DAG: #[[FLOAT:.+]] = #qlow.recipe<vfmadd231ps_1x16x1_f32_f32_f32, {{.*}} rhs = [<to = l2, by = decode>
// V3-DAG: #[[NATIVE:.+]] = #qlow.recipe<vpmaddwd_1x8x2_i32_s16_s8, tiles = [<thread, [{{.*}}, 16, 64]>, <reg, [6, 16, 2]>]
// V3-DAG: #[[ONE:.+]] = #qlow.recipe<vpmaddwd_1x8x2_i32_s16_s8, tiles = [<thread, [{{.*}}, 16, 64]>, <reg, [1, 16, 2]>]
// GENERIC-DAG: #[[NATIVE:.+]] = #qlow.recipe<vector_1x4x1_i32_s32_s8, {{.*}}<reg, [5, 8, 1]>]

// The report names for each op the row, whether it is native and why the others were declined.
// ZNVER4: qlow.report = [
// ZNVER4-SAME: "vpdpbusd_1x16x4_i32_s8_s8_via_offset: takes s8, the left side has 0 to 255"
// ZNVER4-SAME: "vpdpbusd_1x8x4_i32_u8_s8_via_vex: needs avxvnni"
// ZNVER4-SAME: "vfmadd231ps_1x16x1_f32_f32_f32: f32 sums of these products are exact only to K = 514"
// ZNVER4-SAME: emulation = ""
// V3: qlow.report = [
// V3-SAME: "vpdpbusd_1x16x4_i32_u8_s8: needs avx512vnni"
// GENERIC: emulation = "in portable vector operations"

// An open M gets a recipe for a single row and one for more, in one layout of the weight.
// CHECK-LABEL: func.func @open_m
func.func @open_m(%codes: tensor<?x64xi8>, %scale: tensor<f32>) -> tensor<?x32xi32> {
  %w = arith.constant dense<1> : tensor<64x32xi8>
  %a = qlow.compose %codes, %scale : (tensor<?x64xi8>, tensor<f32>) -> tensor<?x64x!u8>
  %b = qlow.compose %w, %scale : (tensor<64x32xi8>, tensor<f32>) -> tensor<64x32x!i8>
  // CHECK: qlow.matmul {{.*}} recipes <[m to 1 : #{{.+}}, #{{.+}}]>
  // ZNVER4-SAME: tensor<?x64x!{{.+}}> -> tensor<?x32xi32>
  %y = qlow.matmul %a, %b : tensor<?x64x!u8>, tensor<64x32x!i8> -> tensor<?x32xi32>
  return %y : tensor<?x32xi32>
}

// s8 x s8 goes through the offset where only u8 x s8 is there, and natively where the codes are widened anyway.
// CHECK-LABEL: func.func @signed
func.func @signed(%a: tensor<64x64x!i8>, %b: tensor<64x32x!i8>) -> tensor<64x32xi32> {
  // ZNVER4: recipes <[#[[OFFSET]]]>
  %y = qlow.matmul %a, %b : tensor<64x64x!i8>, tensor<64x32x!i8> -> tensor<64x32xi32>
  return %y : tensor<64x32xi32>
}

// A format without an integer image is decoded into a panel of f32.
// CHECK-LABEL: func.func @codebook
func.func @codebook(%a: tensor<64x64xf32>, %b: tensor<64x32x!nf4>) -> tensor<64x32xf32> {
  // ZNVER4: recipes <[#[[FLOAT]]]>
  %y = qlow.matmul %a, %b : tensor<64x64xf32>, tensor<64x32x!nf4> -> tensor<64x32xf32>
  return %y : tensor<64x32xf32>
}

// Sums of small floats stay in matrix units only where that is asked for: test/Targets/nvptx-recipes.mlir.
func.func @small_floats(%a: tensor<512x512x!qlow.q<f8E4M3FN : f32>>, %b: tensor<512x512x!qlow.q<f8E5M2 : f32>>) -> tensor<512x512xf32> {
  %y = qlow.matmul %a, %b : tensor<512x512x!qlow.q<f8E4M3FN : f32>>, tensor<512x512x!qlow.q<f8E5M2 : f32>> -> tensor<512x512xf32>
  return %y : tensor<512x512xf32>
}
