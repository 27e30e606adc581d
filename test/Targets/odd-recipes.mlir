// RUN: qlow-opt %s -split-input-file -verify-diagnostics -qlow-plan-workspace=target=znver4 -qlow-schedule-kernels=target=znver4

// Recipes by hand that the loops of a processor can not follow. Their workspace is planned before anybody looks at them.

#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 32, 64]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
func.func @no_register_tile(%a: memref<6x64xi8>, %w: memref<64x32xi8>, %s: memref<f32>, %out: memref<6x32xi32>) {
  // expected-error@+1 {{needs tiles at levels 'thread' and 'reg', and no others, in its recipe, found}}
  qlow.matmul_kernel lhs(%a, %s : memref<6x64xi8>, memref<f32>) as tensor<6x64x!qlow.q<u8 : f32>>
    rhs(%w, %s : memref<64x32xi8>, memref<f32>) as tensor<64x32x!qlow.q<i8 : f32>> maps [] outs(%out : memref<6x32xi32>)
    epilogue {
    ^bb0(%acc: i32):
      qlow.yield %acc : i32
    } recipes <[#r]>
  return
}

// -----

#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 32, 64]>, <reg, [6, 32, 4]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
func.func @measured_result(%a: memref<6x64xi8>, %w: memref<64x32xi8>, %s: memref<f32>, %out: memref<6x32xi8>, %scale: memref<6x1xf32>) {
  // expected-error@+1 {{measures scales of its results, which no recipe of this target does: expected floats for a qlow.quantize_dynamic of its own, found}}
  qlow.matmul_kernel lhs(%a, %s : memref<6x64xi8>, memref<f32>) as tensor<6x64x!qlow.q<u8 : f32>>
    rhs(%w, %s : memref<64x32xi8>, memref<f32>) as tensor<64x32x!qlow.q<i8 : f32>> maps []
    outs(%out, %scale : memref<6x32xi8>, memref<6x1xf32>) as tensor<6x32x!qlow.q<i8 : f32, block = [1, *]>>
    epilogue {
    ^bb0(%acc: i32):
      %x = arith.sitofp %acc : i32 to f32
      qlow.yield %x : f32
    } recipes <[#r]>
  return
}

// -----

#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 1048576, 64]>, <reg, [2, 1048576, 4]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
func.func @wide_tile(%a: memref<6x64xi8>, %w: memref<64x32xi8>, %s: memref<f32>, %out: memref<6x32xi32>) {
  // expected-error@+1 {{expected a reg tile of whole vectors of 16 columns, at most 64 x 1024, and thread rows in whole tiles, found}}
  qlow.matmul_kernel lhs(%a, %s : memref<6x64xi8>, memref<f32>) as tensor<6x64x!qlow.q<u8 : f32>>
    rhs(%w, %s : memref<64x32xi8>, memref<f32>) as tensor<64x32x!qlow.q<i8 : f32>> maps [] outs(%out : memref<6x32xi32>)
    epilogue {
    ^bb0(%acc: i32):
      qlow.yield %acc : i32
    } recipes <[#r]>
  return
}

// -----

#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 32, 64]>, <reg, [2, 32, 4]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = ldmatrix, stages = 3>], rescale = end>
// What would not be followed is not left unread.
func.func @foreign_hop(%a: memref<6x64xi8>, %w: memref<64x32xi8>, %s: memref<f32>, %out: memref<6x32xi32>) {
  // expected-error@+1 {{expected a left side to 'reg' by 'broadcast32', to 'l2' by 'pack' or 'decode' before it maybe, a right side to 'l2' by 'pack' or 'decode', then to 'reg' by 'load', and no rescale = block or follow, swap or split_k, found}}
  qlow.matmul_kernel lhs(%a, %s : memref<6x64xi8>, memref<f32>) as tensor<6x64x!qlow.q<u8 : f32>>
    rhs(%w, %s : memref<64x32xi8>, memref<f32>) as tensor<64x32x!qlow.q<i8 : f32>> maps [] outs(%out : memref<6x32xi32>)
    epilogue {
    ^bb0(%acc: i32):
      qlow.yield %acc : i32
    } recipes <[#r]>
  return
}

// -----

#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 32, 64]>, <reg, [2, 32, 4]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end, swap = true>
func.func @swapped(%a: memref<6x64xi8>, %w: memref<64x32xi8>, %s: memref<f32>, %out: memref<6x32xi32>) {
  // expected-error@+1 {{and no rescale = block or follow, swap or split_k, found}}
  qlow.matmul_kernel lhs(%a, %s : memref<6x64xi8>, memref<f32>) as tensor<6x64x!qlow.q<u8 : f32>>
    rhs(%w, %s : memref<64x32xi8>, memref<f32>) as tensor<64x32x!qlow.q<i8 : f32>> maps [] outs(%out : memref<6x32xi32>)
    epilogue {
    ^bb0(%acc: i32):
      qlow.yield %acc : i32
    } recipes <[#r]>
  return
}

// -----

#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<l3, [6, 32, 64]>, <thread, [6, 32, 64]>, <reg, [2, 32, 4]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
func.func @unread_level(%a: memref<6x64xi8>, %w: memref<64x32xi8>, %s: memref<f32>, %out: memref<6x32xi32>) {
  // expected-error@+1 {{needs tiles at levels 'thread' and 'reg', and no others, in its recipe, found #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<l3, [6, 32, 64]>}}
  qlow.matmul_kernel lhs(%a, %s : memref<6x64xi8>, memref<f32>) as tensor<6x64x!qlow.q<u8 : f32>>
    rhs(%w, %s : memref<64x32xi8>, memref<f32>) as tensor<64x32x!qlow.q<i8 : f32>> maps [] outs(%out : memref<6x32xi32>)
    epilogue {
    ^bb0(%acc: i32):
      qlow.yield %acc : i32
    } recipes <[#r]>
  return
}
