// RUN: qlow-opt %s -split-input-file -verify-diagnostics -qlow-pack-weights=target=znver4 | FileCheck %s

#map = affine_map<(m, n) -> (m, n)>
#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 64, 64]>, <reg, [6, 64, 4]>],
  lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = memory, by = pack>, <to = reg, by = load>], rescale = end>
!u8 = !qlow.q<u8 : f32>
!i8 = !qlow.q<i8 : f32>

// The constant becomes a weight of 64 x 32 codes, 32 columns wide, and 32 sums of four bytes.
// CHECK-LABEL: func.func @packed
func.func @packed(%a: tensor<6x64xi8>, %s: tensor<f32>, %out: tensor<6x32xi32>) -> tensor<6x32xi32> {
  %w = arith.constant dense_resource<w> : tensor<64x32xi8>
  // CHECK: %[[W:.+]] = qlow.get_weight @weight0 : tensor<2176xi8>
  // CHECK: qlow.matmul_kernel packed_rhs
  // CHECK-SAME: rhs(%[[W]], %{{.+}} : tensor<2176xi8>, tensor<f32>)
  %y = qlow.matmul_kernel lhs(%a, %s : tensor<6x64xi8>, tensor<f32>) as tensor<6x64x!u8>
    rhs(%w, %s : tensor<64x32xi8>, tensor<f32>) as tensor<64x32x!i8> maps [] outs(%out : tensor<6x32xi32>)
    epilogue {
    ^bb0(%acc: i32):
      qlow.yield %acc : i32
    } recipes <[#r]> -> tensor<6x32xi32>
  return %y : tensor<6x32xi32>
}

// Large constants of other uses are moved out as they are, small ones stay.
// CHECK-LABEL: func.func @others
func.func @others() -> (tensor<16384xf32>, tensor<2xf32>) {
  // CHECK: qlow.get_weight @weight1 : tensor<16384xf32>
  %large = arith.constant dense_resource<large> : tensor<16384xf32>
  // CHECK: arith.constant dense<[1.000000e+00, 2.000000e+00]>
  %small = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  return %large, %small : tensor<16384xf32>, tensor<2xf32>
}
// CHECK: qlow.weight private @weight0 dense_resource<w> : tensor<64x32xi8> as tensor<64x32x!{{.+}}> bytes 2176 recipe #
// CHECK: qlow.weight private @weight1 dense_resource<large> : tensor<16384xf32> as tensor<16384xf32> bytes 65536

// -----

#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 64, 64]>, <reg, [6, 64, 4]>],
  lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = memory, by = pack>, <to = reg, by = load>], rescale = end>
// A right side that is computed can not be packed at compile time.
func.func @computed(%a: tensor<6x64xi8>, %w: tensor<64x32xi8>, %s: tensor<f32>, %out: tensor<6x32xi32>) -> tensor<6x32xi32> {
  // expected-error @below {{'qlow.matmul_kernel' op has a recipe that packs the right side into memory, but it is not a constant; let it be packed at run time: <to = l2, by = pack>}}
  %y = qlow.matmul_kernel lhs(%a, %s : tensor<6x64xi8>, tensor<f32>) as tensor<6x64x!qlow.q<u8 : f32>>
    rhs(%w, %s : tensor<64x32xi8>, tensor<f32>) as tensor<64x32x!qlow.q<i8 : f32>> maps [] outs(%out : tensor<6x32xi32>)
    epilogue {
    ^bb0(%acc: i32):
      qlow.yield %acc : i32
    } recipes <[#r]> -> tensor<6x32xi32>
  return %y : tensor<6x32xi32>
}
