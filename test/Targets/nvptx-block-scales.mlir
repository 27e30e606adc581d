// Codes of 8-bit floats with a scale for each 128 along K are multiplied as codes: each sum of 128 products meets its scales
// when it joins the others. On sm_90 warps that only copy leave the scales in shared memory.
// RUN: qlow-opt %s --qlow-pipeline="target=sm_90 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefixes=CHECK,WGMMA
// RUN: qlow-opt %s --qlow-pipeline="target=sm_89 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefixes=CHECK,MMA
// RUN: qlow-opt %s --qlow-select-recipes=target=sm_90 | FileCheck %s --check-prefix=RECIPE
// RUN: qlow-opt %s --qlow-select-recipes=target=sm_75 | FileCheck %s --check-prefix=OLD
// RUN: qlow-opt %s --qlow-select-recipes=target=sm_100 | FileCheck %s --check-prefix=EXPANDED

!x = !qlow.q<f8E4M3FN : f32, block = [1, 128]>
!w = !qlow.q<f8E4M3FN : f32, block = [128, 128]>
!columns = !qlow.q<f8E4M3FN : f32, block = [1, 32]>
!short = !qlow.q<f8E4M3FN : f32, block = [1, 16]>

// RECIPE: #qlow.recipe<wgmma_64x128x32_f32_e4m3_e4m3, {{.*}}<warpgroup, [64, 256, 32]>{{.*}}rescale = block
// The report says what is not the chip's own: sums in tensor memory are under one scale.
// EXPANDED: emulation = "by two products of f16"
// CHECK-LABEL: func @dynamic
// Activations are quantized as the program says, then a launch takes them.
// WGMMA: gpu.launch
// WGMMA: nvvm.setmaxregister decrease
// Rows' scales of four tiles of K at a time, the next ones ahead of the last of these. Each thread arrives.
// WGMMA: vector.load {{.*}} {alignment = 16 : i64} : memref<2048x16xf32{{.*}}>, vector<4xf32>
// WGMMA: scf.for
// WGMMA-COUNT-3: nvvm.mbarrier.try_wait.parity
// WGMMA: vector.load {{.*}} : memref<2048x16xf32{{.*}}>, vector<4xf32>
// WGMMA: nvvm.mbarrier.try_wait.parity
// WGMMA: llvm.store {{.*}} : f32, !llvm.ptr<3>
// WGMMA: nvvm.mbarrier.arrive
// WGMMA: nvvm.setmaxregister increase
// WGMMA: nvvm.wgmma.mma_async {{.*}}<m = 64, n = 128, k = 32>, D[<f32>, <zero>]
// WGMMA-COUNT-3: nvvm.wgmma.mma_async {{.*}}, D[<f32>, <one>]
// WGMMA: nvvm.wgmma.commit.group
// Two rows, which the second product has, too, and all columns of each.
// WGMMA: nvvm.mbarrier.try_wait.parity
// WGMMA-COUNT-3: llvm.load {{.*}} : !llvm.ptr<3> -> f32
// WGMMA: wgmma.wait_group.sync.aligned 0
// WGMMA-COUNT-64: math.fma
// WGMMA: wgmma.fence.sync.aligned;
// WGMMA: nvvm.wgmma.mma_async {{.*}}, D[<f32>, <zero>]
// WGMMA: llvm.load {{.*}} : !llvm.ptr<3> -> f32
// WGMMA-NOT: llvm.load {{.*}} : !llvm.ptr<3> -> f32
// WGMMA-COUNT-64: math.fma
// WGMMA: arith.truncf
// MMA: llvm.call_intrinsic "llvm.nvvm.mma.m16n8k32.row.col.f32.e4m3.e4m3.f32"
// MMA: math.fma {{.*}} : vector<4xf32>
func.func @dynamic(%a: tensor<2048x2048xf32>, %s: tensor<32x16xf32>) -> tensor<2048x4096xf16> {
  %x = qlow.quantize_dynamic %a : tensor<2048x2048xf32> -> tensor<2048x2048x!x>
  %c = arith.constant dense<56> : tensor<4096x2048xi8>
  %b = qlow.compose %c, %s : (tensor<4096x2048xi8>, tensor<32x16xf32>) -> tensor<4096x2048x!w>
  %y = qlow.matmul transpose_rhs %x, %b : tensor<2048x2048x!x>, tensor<4096x2048x!w> -> tensor<2048x4096xf16>
  return %y : tensor<2048x4096xf16>
}

// Scales of each column, and of less than a tile's k, have no room beside sums of 256 columns.
// RECIPE: #qlow.recipe<wgmma_64x128x32_f32_e4m3_e4m3, {{.*}}<warpgroup, [64, 128, 32]>{{.*}}rescale = block
func.func @columns(%a: tensor<2048x2048x!columns>, %s: tensor<2048x64xf32>) -> tensor<2048x2048xf16> {
  %c = arith.constant dense<56> : tensor<2048x2048xi8>
  %b = qlow.compose %c, %s : (tensor<2048x2048xi8>, tensor<2048x64xf32>) -> tensor<2048x2048x!columns>
  %y = qlow.matmul transpose_rhs %a, %b : tensor<2048x2048x!columns>, tensor<2048x2048x!columns> -> tensor<2048x2048xf16>
  return %y : tensor<2048x2048xf16>
}

// Below an instruction's k they meet the codes.
// RECIPE: #qlow.recipe<fma_1x1x1_f32_f32_f32, {{.*}}rescale = fold
// OLD: #qlow.recipe<fma_1x1x1_f32_f32_f32
func.func @fine(%a: tensor<64x64x!short>, %b: tensor<64x64x!short>) -> tensor<64x64xf32> {
  %y = qlow.matmul transpose_rhs %a, %b : tensor<64x64x!short>, tensor<64x64x!short> -> tensor<64x64xf32>
  return %y : tensor<64x64xf32>
}
