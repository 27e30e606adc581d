// On sm_100 one thread starts products of whole tiles, whose sums lie in tensor memory; the unit says itself when a buffer is
// free and when the sums are there, and a warpgroup loads them a group of columns at a time.
// RUN: qlow-opt %s --split-input-file --qlow-pipeline="target=sm_100 stop-after=qlow-schedule-kernels" | FileCheck %s
// RUN: qlow-opt %s --split-input-file --qlow-select-recipes=target=sm_100 | FileCheck %s --check-prefix=RECIPE

// RECIPE: #qlow.recipe<tcgen05_128x256x32_i32_u8_s8, tiles = [<cta, [128, 256, 128]>, <warpgroup, [128, 256, 32]>], lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = end>
// RECIPE: qlow.portable = "sm_89"
// CHECK-LABEL: func @integers
// CHECK: gpu.launch
// CHECK: nvvm.tcgen05.alloc %{{.+}}, %[[COLUMNS:.+]] : !llvm.ptr<3>, i32
// CHECK: nvvm.tcgen05.relinquish_alloc_permit
// CHECK: nvvm.tcgen05.fence <before>
// CHECK: gpu.barrier
// CHECK: nvvm.tcgen05.fence <after>
// The copying warpgroup is that of other chips.
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global
// One thread's four products of a tile of K, the first of which begins the sums.
// CHECK: scf.for
// CHECK: nvvm.mbarrier.try_wait.parity
// CHECK: nvvm.tcgen05.fence <after>
// CHECK: %[[ADDS:.+]] = arith.cmpi ne
// CHECK: nvvm.tcgen05.mma %{{.+}}, %{{.+}}, %{{.+}}, %{{.+}}, %[[ADDS]] {{.*}}kind = #nvvm.tcgen05_mma_kind<i8>
// CHECK-COUNT-3: nvvm.tcgen05.mma
// CHECK: nvvm.tcgen05.commit
// CHECK: nvvm.tcgen05.commit
// CHECK: nvvm.mbarrier.try_wait.parity
// CHECK: nvvm.tcgen05.fence <after>
// CHECK-COUNT-2: nvvm.tcgen05.ld {{.*}} : vector<32xi32>
// CHECK: llvm.inline_asm has_side_effects {{.*}}"tcgen05.wait::ld.sync.aligned;"
// CHECK: nvvm.tcgen05.fence <before>
// CHECK: nvvm.barrier
// CHECK: nvvm.tcgen05.dealloc
func.func @integers(%a: tensor<4096x4096x!qlow.q<u8 : f32>>) -> tensor<4096x4096xf16> {
  %s = arith.constant dense<0.5> : tensor<f32>
  %c = arith.constant dense<3> : tensor<4096x4096xi8>
  %b = qlow.compose %c, %s : (tensor<4096x4096xi8>, tensor<f32>) -> tensor<4096x4096x!qlow.q<i8 : f32>>
  %y = qlow.matmul transpose_rhs %a, %b : tensor<4096x4096x!qlow.q<u8 : f32>>, tensor<4096x4096x!qlow.q<i8 : f32>> -> tensor<4096x4096xf16>
  return %y : tensor<4096x4096xf16>
}

// -----

// Floats of 8 bits need no promotion there, so that their sums stay where they are.
// RECIPE: #qlow.recipe<tcgen05_128x256x32_f32_e5m2_e4m3, {{.*}}rescale = end
// CHECK-LABEL: func @small_floats
// CHECK-COUNT-4: nvvm.tcgen05.mma {{.*}}kind = #nvvm.tcgen05_mma_kind<f8f6f4>
// CHECK-NOT: nvvm.tcgen05.mma
// CHECK: nvvm.tcgen05.ld
// CHECK: llvm.bitcast {{.*}} : i32 to f32
func.func @small_floats(%a: tensor<4096x4096x!qlow.q<f8E5M2 : f32>>, %b: tensor<4096x4096x!qlow.q<f8E4M3FN : f32>>) -> tensor<4096x4096xf16> {
  %y = qlow.matmul transpose_rhs %a, %b : tensor<4096x4096x!qlow.q<f8E5M2 : f32>>, tensor<4096x4096x!qlow.q<f8E4M3FN : f32>> -> tensor<4096x4096xf16>
  return %y : tensor<4096x4096xf16>
}

// -----

// RECIPE: #qlow.recipe<tcgen05_128x256x16_f32_bf16_bf16, {{.*}}<warpgroup, [128, 256, 16]>
// CHECK-LABEL: func @halves
// CHECK: nvvm.tcgen05.mma {{.*}}kind = #nvvm.tcgen05_mma_kind<f16>
func.func @halves(%a: tensor<4096x4096xbf16>, %b: tensor<4096x4096xbf16>) -> tensor<4096x4096xf32> {
  %y = qlow.matmul transpose_rhs %a, %b : tensor<4096x4096xbf16>, tensor<4096x4096xbf16> -> tensor<4096x4096xf32>
  return %y : tensor<4096x4096xf32>
}
