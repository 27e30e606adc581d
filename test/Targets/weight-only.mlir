// Products of 16-bit floats and a constant weight of small codes: codes stored as fragments, unpacked in registers.
// RUN: qlow-opt %s --qlow-pipeline="target=sm_80 stop-after=qlow-pack-weights" | FileCheck %s --check-prefix=PACK
// RUN: qlow-opt %s --qlow-pipeline="target=sm_80 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefixes=CHECK,STREAM
// RUN: qlow-opt %s --qlow-pipeline="target=sm_90 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefixes=CHECK,TILES
// RUN: qlow-opt %s --qlow-select-recipes="target=sm_75" | FileCheck %s --check-prefix=OLD
// RUN: qlow-opt %s --qlow-select-recipes="target=sm_90" | FileCheck %s --check-prefix=RECIPES

// RECIPES-DAG: [[FOLLOW:#[a-z0-9]+]] = {{.*}}f32_bf16{{.*}}decode_lookup16>], rescale = follow, swap = true>
// RECIPES-DAG: [[BLOCK:#[a-z0-9]+]] = {{.*}}f32_bf16{{.*}}decode_lookup16>], rescale = block, swap = true>
// RECIPES-DAG: #[[SHORT:recipe[0-9]+]] = #qlow.recipe<mma_16x8x16_f32_f16_f16, tiles = [<cta, [1, 16, 2048]>{{.*}}decode_nibble

!u4 = !qlow.q<u4 : f16, zero = u4, block = [1, 128]>
!i4 = !qlow.q<i4 : f16, block = [1, 128]>
!nf4 = !qlow.q<nf4 : f16, block = [1, 64]>
!mx = !qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 32]>
!nv = !qlow.q<f4E2M1FN : !qlow.q<f8E4M3FN : f32>, block = [1, 16]>
!i5 = !qlow.q<i5 : f16, block = [1, 128]>
!fnuz = !qlow.q<f8E5M2FNUZ : f16, block = [1, 128]>
!wide = !qlow.q<i8 : f16, zero = u8, block = [1, 128]>

// Integers are stored unsigned, the two codes of a pair 16 bits apart; codes of a table side by side.
// PACK-DAG: #qlow.layout<element = i4, panel = 64, columns = 64, group = 128, fragment = 4>
// PACK-DAG: #qlow.layout<element = i4, panel = 64, columns = 64, group = 128, fragment = 1>
// OLD-NOT: #qlow.recipe<mma
// OLD: #qlow.recipe<fma_1x1x1_f32_f32_f32

// A nibble is a mantissa: 1024 + code, less 1024 and the zero point.
// CHECK-LABEL: func @tokens
// STREAM: llvm.load {{.*}} nontemporal
// STREAM: arith.andi
// STREAM: llvm.fsub {{.*}} : vector<2xf16>
// STREAM: nvvm.mma.sync
// STREAM: gpu.barrier
// TILES: nvgpu.tma.create.descriptor
// TILES: nvvm.mbarrier.init
// A zero point is taken off with a multiplier, which is 0 for a scale of 0.
// TILES: nvvm.mbarrier.try_wait.parity
// TILES: llvm.intr.fma({{.*}}vector<2xf16>
// TILES: wgmma.mma_async.sync.aligned.m64n16k16.f32.f16.f16
// TILES: wgmma.wait_group.sync.aligned 1
// TILES: nvvm.cluster.arrive
// Two warps read scales: sums are brought from one to the next.
// TILES: nvvm.rcp.approx.ftz.f
// Codes of the first tile come before the kernel in front has ended, tokens behind it.
// A policy has them leave the second-level cache first.
// TILES: %[[FIRST:.+]] = llvm.inline_asm {{.*}}createpolicy
// TILES: nvvm.cp.async.bulk.shared.cluster.global {{.*}} l2_cache_hint = %[[FIRST]]
// TILES: nvvm.griddepcontrol wait
// TILES: nvvm.cp.async.bulk.shared.cluster.global
// TILES: nvvm.cp.async.bulk.tensor.shared.cluster.global
func.func @tokens(%x: tensor<16x4096xf16>) -> tensor<16x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x2048xi8>
  %s = arith.constant dense<3.0> : tensor<4096x32xf16>
  %z = arith.constant dense<0x77> : tensor<4096x16xi8>
  %w = qlow.compose %c, %s, %z : (tensor<4096x2048xi8>, tensor<4096x32xf16>, tensor<4096x16xi8>) -> tensor<4096x4096x!u4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<16x4096xf16>, tensor<4096x4096x!u4> -> tensor<16x4096xf16>
  return %y : tensor<16x4096xf16>
}

// A few tokens: a stream on either chip. The table of pairs is made by byte permutes, and on the way of the codes: every
// second word is looked up in it.
// CHECK-LABEL: func @table
// TILES: llvm.load {{.*}} nontemporal
// CHECK: nvvm.prmt
// CHECK: llvm.store {{.*}} vector<4xi32>, !llvm.ptr<3>
// CHECK: gpu.barrier
// CHECK: llvm.load {{.*}} !llvm.ptr<3> -> i32
// CHECK: nvvm.mma.sync
// TILES: nvvm.prmt
// TILES: nvvm.mma.sync
func.func @table(%x: tensor<2x4096xf16>) -> tensor<2x2048xf16> {
  %c = arith.constant dense<3> : tensor<2048x2048xi8>
  %s = arith.constant dense<2.0> : tensor<2048x64xf16>
  %w = qlow.compose %c, %s : (tensor<2048x2048xi8>, tensor<2048x64xf16>) -> tensor<2048x4096x!nf4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<2x4096xf16>, tensor<2048x4096x!nf4> -> tensor<2x2048xf16>
  return %y : tensor<2x2048xf16>
}

// One token: blocks of threads stay, and copy codes ahead. The token lies in shared memory.
// CHECK-LABEL: func @ring
// TILES: gpu.launch blocks{{.*}} = %c264
// TILES: nvvm.cp.async.shared.global {{.*}} 16, cache = cg
// TILES: nvvm.cp.async.commit.group
// TILES: llvm.store {{.*}} vector<4xi32>, !llvm.ptr<3>
// TILES: scf.for
// TILES: nvvm.cp.async.wait.group 0
// TILES: nvvm.mma.sync
func.func @ring(%x: tensor<1x8192xf16>) -> tensor<1x28672xf16> {
  %c = arith.constant dense<3> : tensor<28672x4096xi8>
  %s = arith.constant dense<2.0> : tensor<28672x64xf16>
  %w = qlow.compose %c, %s : (tensor<28672x4096xi8>, tensor<28672x64xf16>) -> tensor<28672x8192x!i4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<1x8192xf16>, tensor<28672x8192x!i4> -> tensor<1x28672xf16>
  return %y : tensor<1x28672xf16>
}

// The table is made while the kernel in front ends, and spread: a byte of the codes is one of its address.
// CHECK-LABEL: func @spread
// TILES: nvvm.cp.async.shared.global
// TILES: nvvm.prmt
// TILES: llvm.store {{.*}} vector<4xi32>, !llvm.ptr<3>
// TILES: nvvm.griddepcontrol wait
// TILES: llvm.store {{.*}} vector<4xi32>, !llvm.ptr<3>
// TILES: gpu.barrier
// TILES: scf.for
// TILES: nvvm.prmt
// TILES: llvm.load {{.*}} !llvm.ptr<3> -> i32
// TILES: nvvm.mma.sync
func.func @spread(%x: tensor<1x4096xf16>) -> tensor<1x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x2048xi8>
  %s = arith.constant dense<2.0> : tensor<4096x64xf16>
  %w = qlow.compose %c, %s : (tensor<4096x2048xi8>, tensor<4096x64xf16>) -> tensor<4096x4096x!nf4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<1x4096xf16>, tensor<4096x4096x!nf4> -> tensor<1x4096xf16>
  return %y : tensor<1x4096xf16>
}

// Many scales of a column in a turn: two blocks of threads on a core, and what the loop carries is as it was loaded.
// CHECK-LABEL: func @many
// TILES: gpu.launch blocks{{.*}} = %c264
// TILES: scf.for {{.*}} -> (vector<4xi32>, vector<4xi32>, f32, f32, f32, f32)
// TILES: arith.shli
// TILES: arith.maxui
func.func @many(%x: tensor<1x4096xf16>) -> tensor<1x14336xf16> {
  %c = arith.constant dense<3> : tensor<14336x2048xi8>
  %s = arith.constant dense<2.0> : tensor<14336x128xf8E8M0FNU>
  %w = qlow.compose %c, %s : (tensor<14336x2048xi8>, tensor<14336x128xf8E8M0FNU>) -> tensor<14336x4096x!mx>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<1x4096xf16>, tensor<14336x4096x!mx> -> tensor<1x14336xf16>
  return %y : tensor<1x14336xf16>
}

// Open M: ranges that share the layout. Scales that are powers of two meet the codes.
// The last tile's boxes have as many tokens as it has; the others of its buffers are zeros.
// CHECK-LABEL: func @open
// TILES-NOT: nvvm.rcp
// TILES: nvgpu.tma.create.descriptor {{.*}} box[%c8_{{[0-9]+}}, %c64{{.*}} -> <tensor = memref<8x64xf16, 3>
// TILES: nvgpu.tma.create.descriptor {{.*}} box[%{{[0-9]+}}, %c64{{.*}} -> <tensor = memref<8x64xf16, 3>
// TILES: gpu.launch
// TILES: llvm.store {{.*}} : vector<4xi32>, !llvm.ptr<3>
// TILES: nvvm.fence.proxy
// TILES: gpu.barrier
// TILES: m64n8k16
// TILES: %[[MAP:.+]] = arith.select {{.*}} : !llvm.ptr
// TILES: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.+}}, %[[MAP]],
// TILES-NOT: nvvm.rcp
// TILES: m64n64k16
// TILES: m64n256k16
func.func @open(%x: tensor<?x4096xf16>) -> tensor<?x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x2048xi8>
  %s = arith.constant dense<2.0> : tensor<4096x128xf8E8M0FNU>
  %w = qlow.compose %c, %s : (tensor<4096x2048xi8>, tensor<4096x128xf8E8M0FNU>) -> tensor<4096x4096x!mx>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<?x4096xf16>, tensor<4096x4096x!mx> -> tensor<?x4096xf16>
  return %y : tensor<?x4096xf16>
}

// Many tokens of f16: weights meet the scales, and are rounded. In bf16 sums follow the scales, and pass over those of 0
// where there may be such.
// CHECK-LABEL: func @rounded
// TILES: nvvm.prmt
// TILES: llvm.fmul {{.*}} vector<2xf16>
// TILES: m64n128k16
// TILES-NOT: nvvm.rcp
// CHECK-LABEL: func @followed
// TILES: arith.mulf {{.*}} : f32
// TILES-NOT: arith.cmpf
// TILES: nvvm.rcp
// CHECK-LABEL: func @passed
// TILES: arith.cmpf oeq
// TILES: nvvm.rcp
// RECIPES: func @followed
// RECIPES: matmul {{.*}} <{{\[}}[[FOLLOW]]]>
// RECIPES: func @passed
// RECIPES: matmul {{.*}} <{{\[}}[[BLOCK]]]>
func.func @rounded(%x: tensor<512x4096xf16>) -> tensor<512x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x2048xi8>
  %s = arith.constant dense<3.0> : tensor<4096x64xf16>
  %w = qlow.compose %c, %s : (tensor<4096x2048xi8>, tensor<4096x64xf16>) -> tensor<4096x4096x!nf4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<512x4096xf16>, tensor<4096x4096x!nf4> -> tensor<512x4096xf16>
  return %y : tensor<512x4096xf16>
}
func.func @followed(%x: tensor<512x4096xbf16>) -> tensor<512x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x2048xi8>
  %s = arith.constant dense<3.0> : tensor<4096x64xf16>
  %w = qlow.compose %c, %s : (tensor<4096x2048xi8>, tensor<4096x64xf16>) -> tensor<4096x4096x!nf4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<512x4096xbf16>, tensor<4096x4096x!nf4> -> tensor<512x4096xf16>
  return %y : tensor<512x4096xf16>
}
func.func @passed(%x: tensor<512x4096xbf16>) -> tensor<512x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x2048xi8>
  %s = arith.constant dense<0.0> : tensor<4096x64xf16>
  %w = qlow.compose %c, %s : (tensor<4096x2048xi8>, tensor<4096x64xf16>) -> tensor<4096x4096x!nf4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<512x4096xbf16>, tensor<4096x4096x!nf4> -> tensor<512x4096xf16>
  return %y : tensor<512x4096xf16>
}

// Small scales meet nibbles in one operation for all.
// CHECK-LABEL: func @fused
// TILES: arith.andi {{.*}}, %c7864440
// TILES: llvm.intr.fma({{.*}} vector<2xf16>
// TILES: arith.andi {{.*}}, %c125831040
// TILES: llvm.intr.fma({{.*}} vector<2xf16>
// TILES-NOT: llvm.fmul {{.*}} vector<2xf16>
// TILES: m64n128k16
func.func @fused(%x: tensor<512x4096xf16>) -> tensor<512x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x2048xi8>
  %s = arith.constant dense<0.03> : tensor<4096x32xf16>
  %w = qlow.compose %c, %s : (tensor<4096x2048xi8>, tensor<4096x32xf16>) -> tensor<4096x4096x!i4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<512x4096xf16>, tensor<4096x4096x!i4> -> tensor<512x4096xf16>
  return %y : tensor<512x4096xf16>
}

// Codes of scales are divided by 2^7, so that times the unit of f4E2M1FN, 2^14, all are numbers of f16: their products
// with codes are exact. Results meet the one scale of the tensor, 2^7 times.
// CHECK-LABEL: func @scaled_scales
// TILES: llvm.fmul {{.*}} vector<2xf16>
// TILES: m64n128k16
// TILES: %[[POWER:.+]] = arith.constant 1.280000e+02 : f32
// TILES: arith.mulf %{{.+}}, %[[POWER]] : f32
// What reads scales: the exponent of the code is mended, then the unit and the power.
// TILES: arith.constant 1.329228E+36 : f32
// TILES: arith.constant 1.280000e+02 : f32
func.func @scaled_scales(%x: tensor<512x4096xf16>, %one: tensor<f32>) -> tensor<512x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x2048xi8>
  %s = arith.constant dense<56> : tensor<4096x256xi8>
  %w = qlow.compose %c, %s, %one : (tensor<4096x2048xi8>, tensor<4096x256xi8>, tensor<f32>) -> tensor<4096x4096x!nv>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<512x4096xf16>, tensor<4096x4096x!nv> -> tensor<512x4096xf16>
  return %y : tensor<512x4096xf16>
}

// Tiles of 256 columns would leave 20 of 132 multiprocessors idle: two blocks share 7 times 64. One sends its sums.
// CHECK-LABEL: func @paired
// TILES: nvvm.cluster.arrive
// TILES: nvvm.cluster.wait
// TILES: nvvm.mapa
// TILES: st.async.weak.shared::cluster
// TILES-NOT: nvvm.cluster.wait
func.func @paired(%x: tensor<64x8192xf16>) -> tensor<64x28672xf16> {
  %c = arith.constant dense<3> : tensor<28672x4096xi8>
  %s = arith.constant dense<0.03> : tensor<28672x64xf16>
  %w = qlow.compose %c, %s : (tensor<28672x4096xi8>, tensor<28672x64xf16>) -> tensor<28672x8192x!i4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<64x8192xf16>, tensor<28672x8192x!i4> -> tensor<64x28672xf16>
  return %y : tensor<64x28672xf16>
}

// Tokens that no cache keeps: one copy brings each panel of 128 bytes to both blocks of a cluster, whose warps tell both
// when they are done. Neither block ends before the other.
// CHECK-LABEL: func @shared
// TILES: clusters
// TILES: nvvm.mbarrier.init
// TILES: nvvm.cluster.wait
// TILES: nvvm.mbarrier.arrive {{.*}} : !llvm.ptr<3> -> i64
// TILES: nvvm.bar.warp.sync
// TILES: nvvm.mbarrier.arrive {{.*}} : !llvm.ptr<7>
// TILES: nvvm.cp.async.bulk.tensor.shared.cluster.global {{.*}} multicast_mask
// TILES: nvvm.cp.async.bulk.tensor.shared.cluster.global {{.*}} multicast_mask
// TILES: nvvm.cluster.arrive
// TILES: nvvm.cluster.wait
func.func @shared(%x: tensor<2048x8192xf16>) -> tensor<2048x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x4096xi8>
  %s = arith.constant dense<0.03> : tensor<4096x64xf16>
  %w = qlow.compose %c, %s : (tensor<4096x4096xi8>, tensor<4096x64xf16>) -> tensor<4096x8192x!i4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<2048x8192xf16>, tensor<4096x8192x!i4> -> tensor<2048x4096xf16>
  return %y : tensor<2048x4096xf16>
}

// Codes that are not 4 or 8 bits are stored as those of a format that has all of their numbers.
// PACK-DAG: #qlow.layout<element = i8, panel = 64, columns = 64, group = 128, offset = -128, fragment = 1>
// CHECK-LABEL: func @small
// CHECK: nvvm.mma.sync {{.*}}<bf16>
func.func @small(%x: tensor<16x512xbf16>) -> tensor<16x192xf16> {
  %c = arith.constant dense<3> : tensor<192x320xi8>
  %s = arith.constant dense<2.0> : tensor<192x4xf16>
  %w = qlow.compose %c, %s : (tensor<192x320xi8>, tensor<192x4xf16>) -> tensor<192x512x!i5>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<16x512xbf16>, tensor<192x512x!i5> -> tensor<16x192xf16>
  return %y : tensor<16x192xf16>
}

// Codes without a hop are decoded one by one.
// CHECK-LABEL: func @other
// CHECK-NOT: nvvm.mma.sync
// CHECK: math.fma
func.func @other(%x: tensor<16x512xf16>) -> tensor<16x192xf16> {
  %c = arith.constant dense<3> : tensor<192x512xi8>
  %s = arith.constant dense<2.0> : tensor<192x4xf16>
  %w = qlow.compose %c, %s : (tensor<192x512xi8>, tensor<192x4xf16>) -> tensor<192x512x!fnuz>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<16x512xf16>, tensor<192x512x!fnuz> -> tensor<16x192xf16>
  return %y : tensor<16x192xf16>
}

// Nor are codes whose differences from zero points are no numbers of the tokens' type: -383 to 127 take 9 bits, bf16 has 8.
// CHECK-LABEL: func @wide
// CHECK-NOT: nvvm.mma.sync
// CHECK: math.fma
func.func @wide(%x: tensor<16x512xbf16>) -> tensor<16x192xf16> {
  %c = arith.constant dense<3> : tensor<192x512xi8>
  %s = arith.constant dense<2.0> : tensor<192x4xf16>
  %z = arith.constant dense<7> : tensor<192x4xi8>
  %w = qlow.compose %c, %s, %z : (tensor<192x512xi8>, tensor<192x4xf16>, tensor<192x4xi8>) -> tensor<192x512x!wide>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<16x512xbf16>, tensor<192x512x!wide> -> tensor<16x192xf16>
  return %y : tensor<16x192xf16>
}

// No tokens cost something, too: numbers that can be compared.
// RECIPES: func.func @none
// RECIPES: qlow.matmul {{.*}} recipes <[#[[SHORT]]]>
func.func @none(%x: tensor<0x4096xf16>) -> tensor<0x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x2048xi8>
  %s = arith.constant dense<2.0> : tensor<4096x32xf16>
  %w = qlow.compose %c, %s : (tensor<4096x2048xi8>, tensor<4096x32xf16>) -> tensor<4096x4096x!i4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<0x4096xf16>, tensor<4096x4096x!i4> -> tensor<0x4096xf16>
  return %y : tensor<0x4096xf16>
}
