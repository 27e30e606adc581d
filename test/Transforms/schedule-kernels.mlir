// RUN: qlow-opt %s -split-input-file -verify-diagnostics -qlow-schedule-kernels=target=znver4 | FileCheck %s

#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 32, 64]>, <reg, [2, 32, 4]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>

// Tasks over slots of the scratch; in a task the right side is packed, then two rows by two vectors of sums stay in
// registers over the whole of K, and the epilogue is computed on vectors of 16 columns.
// CHECK-LABEL: func.func @tiled(
// CHECK-SAME: %[[A:.+]]: memref<6x64xi8>, %[[W:.+]]: memref<64x32xi8>, %{{.+}}: memref<f32>, %[[OUT:.+]]: memref<6x32xi32>, %[[SCRATCH:.+]]: memref<?xi8>)
// CHECK-NOT: qlow.matmul_kernel
// CHECK: %[[ROOM:.+]] = memref.dim %[[SCRATCH]]
// CHECK: scf.parallel
// CHECK: memref.load %[[W]]
// CHECK: %[[SUMS:.+]]:4 = scf.for {{.*}} iter_args({{.*}}) -> (vector<16xi32>, vector<16xi32>, vector<16xi32>, vector<16xi32>)
// CHECK-COUNT-4: llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"
// CHECK: arith.muli %[[SUMS]]#0, %{{.+}} : vector<16xi32>
// CHECK: vector.store %{{.+}}, %[[OUT]]
func.func @tiled(%a: memref<6x64xi8>, %w: memref<64x32xi8>, %s: memref<f32>, %out: memref<6x32xi32>, %scratch: memref<?xi8>) {
  qlow.matmul_kernel lhs(%a, %s : memref<6x64xi8>, memref<f32>) as tensor<6x64x!qlow.q<u8 : f32>>
    rhs(%w, %s : memref<64x32xi8>, memref<f32>) as tensor<64x32x!qlow.q<i8 : f32>> maps [] outs(%out : memref<6x32xi32>)
    scratch(%scratch : memref<?xi8>) epilogue {
    ^bb0(%acc: i32):
      %two = arith.constant 2 : i32
      %y = arith.muli %acc, %two : i32
      qlow.yield %y : i32
    } recipes <[#r]>
  return
}

// -----

#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 32, 64]>, <reg, [2, 32, 4]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
func.func @no_scratch(%a: memref<6x64xi8>, %w: memref<64x32xi8>, %s: memref<f32>, %out: memref<6x32xi32>) {
  // expected-error@+1 {{'qlow.matmul_kernel' op must be bufferized and have its scratch before it is scheduled}}
  qlow.matmul_kernel lhs(%a, %s : memref<6x64xi8>, memref<f32>) as tensor<6x64x!qlow.q<u8 : f32>>
    rhs(%w, %s : memref<64x32xi8>, memref<f32>) as tensor<64x32x!qlow.q<i8 : f32>> maps [] outs(%out : memref<6x32xi32>)
    epilogue {
    ^bb0(%acc: i32):
      qlow.yield %acc : i32
    } recipes <[#r]>
  return
}

// -----

#r = #qlow.recipe<mma_16x8x32_i32_s8_s8, tiles = [<thread, [6, 32, 64]>, <reg, [2, 32, 4]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
func.func @unknown_row(%a: memref<6x64xi8>, %w: memref<64x32xi8>, %s: memref<f32>, %out: memref<6x32xi32>, %scratch: memref<?xi8>) {
  // expected-error@+1 {{'qlow.matmul_kernel' op has a recipe with 'mma_16x8x32_i32_s8_s8', which is no row of this target}}
  qlow.matmul_kernel lhs(%a, %s : memref<6x64xi8>, memref<f32>) as tensor<6x64x!qlow.q<u8 : f32>>
    rhs(%w, %s : memref<64x32xi8>, memref<f32>) as tensor<64x32x!qlow.q<i8 : f32>> maps [] outs(%out : memref<6x32xi32>)
    scratch(%scratch : memref<?xi8>) epilogue {
    ^bb0(%acc: i32):
      qlow.yield %acc : i32
    } recipes <[#r]>
  return
}

// -----

#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 24, 64]>, <reg, [2, 24, 4]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
func.func @uneven_tile(%a: memref<6x64xi8>, %w: memref<64x32xi8>, %s: memref<f32>, %out: memref<6x32xi32>, %scratch: memref<?xi8>) {
  // expected-error@+1 {{expected a reg tile of whole vectors of 16 columns, at most 64 x 1024, and thread rows in whole tiles, found}}
  qlow.matmul_kernel lhs(%a, %s : memref<6x64xi8>, memref<f32>) as tensor<6x64x!qlow.q<u8 : f32>>
    rhs(%w, %s : memref<64x32xi8>, memref<f32>) as tensor<64x32x!qlow.q<i8 : f32>> maps [] outs(%out : memref<6x32xi32>)
    scratch(%scratch : memref<?xi8>) epilogue {
    ^bb0(%acc: i32):
      qlow.yield %acc : i32
    } recipes <[#r]>
  return
}

// -----

#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 32, 64]>, <reg, [2, 32, 4]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
// K = 63 ends inside a group of four.
func.func @read_in_place(%a: memref<6x63xi8>, %w: memref<63x32xi8>, %s: memref<f32>, %out: memref<6x32xi32>, %scratch: memref<?xi8>) {
  // expected-error@+1 {{has a recipe that broadcasts the left side from where it lies, which needs whole groups of 4 along a known K as 'vpdpbusd_1x16x4_i32_u8_s8' takes them, and a right side without zero points}}
  qlow.matmul_kernel lhs(%a, %s : memref<6x63xi8>, memref<f32>) as tensor<6x63x!qlow.q<u8 : f32>>
    rhs(%w, %s : memref<63x32xi8>, memref<f32>) as tensor<63x32x!qlow.q<i8 : f32>> maps [] outs(%out : memref<6x32xi32>)
    scratch(%scratch : memref<?xi8>) epilogue {
    ^bb0(%acc: i32):
      qlow.yield %acc : i32
    } recipes <[#r]>
  return
}
