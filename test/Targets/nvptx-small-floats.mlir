// Floats of 8 bits are multiplied as codes: their sums in matrix units are short, what they give is added in f32, and scales
// come last.
// RUN: qlow-opt %s --qlow-pipeline="target=sm_90 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefixes=CHECK,WGMMA
// RUN: qlow-opt %s --qlow-pipeline="target=sm_89 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefixes=CHECK,MMA
// RUN: qlow-opt %s --qlow-pipeline="target=sm_90 fast-sums stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefix=FAST
// RUN: qlow-opt %s --qlow-pipeline="target=sm_90 stop-after=qlow-pack-weights" | FileCheck %s --check-prefix=STORED

!x = !qlow.q<f8E5M2 : f32, block = [1, *]>
!w = !qlow.q<f8E4M3FN : f32>

// Products of four steps; of the first one nothing is added to. A half of the columns at a time.
// CHECK-LABEL: func @large
// WGMMA: nvvm.setmaxregister increase 232
// WGMMA: nvvm.wgmma.fence.aligned
// WGMMA: nvvm.wgmma.mma_async {{.*}}<m = 64, n = 128, k = 32>, D[<f32>, <zero>], A[<e5m2>, <one>, <row>], B[<e4m3>, <one>, <col>]
// WGMMA-COUNT-3: nvvm.wgmma.mma_async {{.*}}, D[<f32>, <one>]
// WGMMA: nvvm.wgmma.commit.group
// WGMMA: wgmma.wait_group.sync.aligned 0
// WGMMA-COUNT-64: arith.addf
// WGMMA: wgmma.fence.sync.aligned;
// WGMMA: nvvm.wgmma.mma_async {{.*}}, D[<f32>, <zero>]
// WGMMA: wgmma.wait_group.sync.aligned 0
// WGMMA: nvvm.mbarrier.arrive
// WGMMA-COUNT-64: arith.addf
// The scale of a row and the tensor's.
// WGMMA: arith.mulf
// WGMMA: arith.truncf
// MMA: scf.for
// MMA: %[[PRODUCT:.+]] = llvm.call_intrinsic "llvm.nvvm.mma.m16n8k32.row.col.f32.e5m2.e4m3.f32"(%{{.+}}, %{{.+}}, %{{.+}}, %{{.+}}, %{{.+}}, %{{.+}}, %[[ZERO:[^,]+]], %[[ZERO]], %[[ZERO]], %[[ZERO]])
// MMA: llvm.extractvalue %[[PRODUCT]][0]
// MMA: arith.addf {{.*}} : vector<4xf32>
// Fast sums stay in the unit.
// FAST-LABEL: func @large
// FAST-COUNT-4: nvvm.wgmma.mma_async {{.*}}<m = 64, n = 256, k = 32>, D[<f32>, <one>], A[<e5m2>, <one>, <row>], B[<e4m3>, <one>, <col>]
// FAST: nvvm.wgmma.wait.group.sync.aligned 1
// FAST-NOT: arith.addf
// FAST: arith.mulf
// The weight is stored as its codes, without sums of columns.
// STORED: #[[STORED:.+]] = #qlow.layout<element = f8E4M3FN, panel = 256, columns = 8, group = 16>
// STORED: qlow.weight private @{{.*}} bytes 4194304
func.func @large(%a: tensor<2048x2048x!x>) -> tensor<2048x2048xf16> {
  %s = arith.constant dense<0.5> : tensor<f32>
  %c = arith.constant dense<56> : tensor<2048x2048xi8>
  %b = qlow.compose %c, %s : (tensor<2048x2048xi8>, tensor<f32>) -> tensor<2048x2048x!w>
  %y = qlow.matmul transpose_rhs %a, %b : tensor<2048x2048x!x>, tensor<2048x2048x!w> -> tensor<2048x2048xf16>
  return %y : tensor<2048x2048xf16>
}
