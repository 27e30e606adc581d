// RUN: qlow-opt %s -split-input-file -verify-diagnostics -qlow-select-recipes=target=x86-64-v4 | FileCheck %s

!u8 = !qlow.q<u8 : f32>
!i8 = !qlow.q<i8 : f32>
#wide = #qlow.recipe<vpmaddwd_1x16x2_i32_s16_s8, tiles = [<thread, [8, 32, 64]>, <reg, [2, 32, 2]>],
  lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
#portable = #qlow.recipe<vector_1x4x1_i32_s32_s8, tiles = [<thread, [8, 32, 64]>, <reg, [2, 32, 1]>],
  lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>

// A recipe by hand is kept and reported like one that was chosen: the entry says what it emulates. Entries stand in the
// order of the ops.
// CHECK: #[[PORTABLE:.+]] = #qlow.recipe<vector_1x4x1_i32_s32_s8,
// CHECK: qlow.report = [
// CHECK-SAME: emulation = ""{{.*}} row = "vpmaddwd_1x16x2_i32_s16_s8"
// CHECK-SAME: emulation = "in portable vector operations"{{.*}} row = "vector_1x4x1_i32_s32_s8"
// CHECK-LABEL: func.func @kept
func.func @kept(%a: tensor<8x64x!u8>, %b: tensor<64x32x!i8>) -> (tensor<8x32xi32>, tensor<8x32xi32>) {
  %x = qlow.matmul %a, %b : tensor<8x64x!u8>, tensor<64x32x!i8> -> tensor<8x32xi32>
  // CHECK: recipes <[#[[PORTABLE]]]>
  %y = qlow.matmul %a, %b recipes <[#portable]> : tensor<8x64x!u8>, tensor<64x32x!i8> -> tensor<8x32xi32>
  return %x, %y : tensor<8x32xi32>, tensor<8x32xi32>
}

// -----

#wide = #qlow.recipe<vpmaddwd_1x16x2_i32_s16_s8, tiles = [<thread, [8, 32, 64]>, <reg, [2, 32, 2]>],
  lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = memory, by = pack>, <to = reg, by = load>], rescale = end>
#narrow = #qlow.recipe<vpmaddwd_1x16x2_i32_s16_s8, tiles = [<thread, [4, 32, 64]>, <reg, [1, 32, 2]>],
  lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = memory, by = pack>, <to = reg, by = load>], rescale = end>

// Of ranges, the one that holds a known M is reported.
// CHECK: #[[NARROW:.+]] = #qlow.recipe<{{.*}} tiles = [<thread, [4, 32, 64]>
// CHECK: qlow.report = [
// CHECK-SAME: op = "qlow.matmul", recipe = #[[NARROW]],
// CHECK-LABEL: func.func @holds
func.func @holds(%a: tensor<8x64x!qlow.q<u8 : f32>>, %b: tensor<64x32x!qlow.q<i8 : f32>>) -> tensor<8x32xi32> {
  %y = qlow.matmul %a, %b recipes <[m to 8 : #narrow, #wide]> : tensor<8x64x!qlow.q<u8 : f32>>, tensor<64x32x!qlow.q<i8 : f32>> -> tensor<8x32xi32>
  return %y : tensor<8x32xi32>
}

// -----

#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [8, 32, 64]>, <reg, [2, 32, 4]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
func.func @missing(%a: tensor<8x64x!qlow.q<u8 : f32>>, %b: tensor<64x32x!qlow.q<i8 : f32>>) -> tensor<8x32xi32> {
  // expected-error@+1 {{'qlow.matmul' op has a recipe with 'vpdpbusd_1x16x4_i32_u8_s8', which can not compute it on x86-64-v4: needs avx512vnni}}
  %y = qlow.matmul %a, %b recipes <[#r]> : tensor<8x64x!qlow.q<u8 : f32>>, tensor<64x32x!qlow.q<i8 : f32>> -> tensor<8x32xi32>
  return %y : tensor<8x32xi32>
}

// -----

#r = #qlow.recipe<vector_1x4x1_i32_s32_u8, tiles = [<thread, [8, 32, 64]>, <reg, [2, 32, 1]>],
  lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
// Codes below 0 would be read as above 127.
func.func @inexact(%a: tensor<8x64x!qlow.q<u8 : f32>>, %b: tensor<64x32x!qlow.q<i8 : f32>>) -> tensor<8x32xi32> {
  // expected-error@+1 {{'qlow.matmul' op has a recipe with 'vector_1x4x1_i32_s32_u8', which can not compute it on x86-64-v4: takes u8, the right side has -128 to 127}}
  %y = qlow.matmul %a, %b recipes <[#r]> : tensor<8x64x!qlow.q<u8 : f32>>, tensor<64x32x!qlow.q<i8 : f32>> -> tensor<8x32xi32>
  return %y : tensor<8x32xi32>
}

// -----

#r = #qlow.recipe<mma_1x1x1_i32_s8_s8, tiles = [<reg, [2, 32, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @unknown(%a: tensor<8x64x!qlow.q<u8 : f32>>, %b: tensor<64x32x!qlow.q<i8 : f32>>) -> tensor<8x32xi32> {
  // expected-error@+1 {{'qlow.matmul' op has a recipe with 'mma_1x1x1_i32_s8_s8', which is no row of x86-64-v4}}
  %y = qlow.matmul %a, %b recipes <[#r]> : tensor<8x64x!qlow.q<u8 : f32>>, tensor<64x32x!qlow.q<i8 : f32>> -> tensor<8x32xi32>
  return %y : tensor<8x32xi32>
}

// -----

#r = #qlow.recipe<vector_1x4x1_i32_s32_s8, tiles = [<thread, [8, 32, 64]>, <reg, [2, 32, 1]>],
  lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = memory, by = pack>, <to = reg, by = load>], rescale = end>
#s = #qlow.recipe<vector_1x4x1_i32_s32_s8, tiles = [<thread, [8, 16, 64]>, <reg, [2, 16, 1]>],
  lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = memory, by = pack>, <to = reg, by = load>], rescale = end>
func.func @two_layouts(%a: tensor<?x64x!qlow.q<u8 : f32>>, %b: tensor<64x32x!qlow.q<i8 : f32>>) -> tensor<?x32xi32> {
  // expected-error@+1 {{'qlow.matmul' op has recipes that store the right side in two ways, but it is stored once: }}
  %y = qlow.matmul %a, %b recipes <[m to 4 : #r, #s]> : tensor<?x64x!qlow.q<u8 : f32>>, tensor<64x32x!qlow.q<i8 : f32>> -> tensor<?x32xi32>
  return %y : tensor<?x32xi32>
}

// -----

#r = #qlow.recipe<vector_1x4x1_i32_s32_s8, tiles = [<thread, [8, 32, 64]>],
  lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
// Workspace is planned by these tiles.
func.func @no_register_tile(%a: tensor<8x64x!qlow.q<u8 : f32>>, %b: tensor<64x32x!qlow.q<i8 : f32>>) -> tensor<8x32xi32> {
  // expected-error@+1 {{'qlow.matmul' op has a recipe with 'vector_1x4x1_i32_s32_s8' and no tile at level 'reg': expected tiles as in #qlow.recipe<vector_1x4x1_i32_s32_s8, }}
  %y = qlow.matmul %a, %b recipes <[#r]> : tensor<8x64x!qlow.q<u8 : f32>>, tensor<64x32x!qlow.q<i8 : f32>> -> tensor<8x32xi32>
  return %y : tensor<8x32xi32>
}
