// Products of floats of 16 bits: a constant right side is stored as the instruction reads it, others are copied as they lie,
// along K or along N.
// RUN: qlow-opt %s --qlow-pipeline="target=sm_90 stop-after=qlow-schedule-kernels" | FileCheck %s
// RUN: qlow-opt %s --qlow-pipeline="target=sm_90 stop-after=qlow-pack-weights" | FileCheck %s --check-prefix=STORED
// RUN: qlow-opt %s --qlow-select-recipes=target=sm_80 | FileCheck %s --check-prefix=AMPERE

// STORED: #[[STORED:.+]] = #qlow.layout<element = f16, panel = 256, columns = 8, group = 8>
// STORED: qlow.weight private @{{.*}} bytes 8388608
// CHECK-LABEL: func @constant
// CHECK: nvvm.cp.async.bulk.shared.cluster.global
// CHECK: nvvm.wgmma.mma_async {{.*}}<m = 64, n = 256, k = 16>, D[<f32>, <one>], A[<f16>, <one>, <row>], B[<f16>, <one>, <col>]
// AMPERE: #qlow.recipe<mma_16x8x16_f32_f16_f16, {{.*}}rhs = [<to = memory, by = pack>, <to = cta, by = cp_async
func.func @constant(%a: tensor<2048x2048xf16>) -> tensor<2048x2048xf16> {
  %b = arith.constant dense<1.0> : tensor<2048x2048xf16>
  %y = qlow.matmul transpose_rhs %a, %b : tensor<2048x2048xf16>, tensor<2048x2048xf16> -> tensor<2048x2048xf16>
  return %y : tensor<2048x2048xf16>
}

// Queries by keys: K is last on both sides. Their number is open, so that each side has boxes of the last tile's lines, too.
// CHECK-LABEL: func @queries
// CHECK: nvgpu.tma.create.descriptor {{.*}} box[%c1{{[_0-9]*}}, %c64
// CHECK: nvgpu.tma.create.descriptor {{.*}} box[%c1{{[_0-9]*}}, %{{[0-9]+}}, %c64
// CHECK: nvgpu.tma.create.descriptor {{.*}} box[%c1{{[_0-9]*}}, %c64
// CHECK: nvgpu.tma.create.descriptor {{.*}} box[%c1{{[_0-9]*}}, %{{[0-9]+}}, %c64
// CHECK-COUNT-2: nvvm.fence.proxy
// CHECK-NEXT: gpu.barrier
// CHECK: %[[LHS:.+]] = arith.select {{.*}} : !llvm.ptr
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.+}}, %[[LHS]],
// CHECK: %[[RHS:.+]] = arith.select {{.*}} : !llvm.ptr
// CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.+}}, %[[RHS]],
// CHECK: nvvm.wgmma.mma_async {{.*}}k = 16>, D[<f32>, <one>], A[<bf16>, <one>, <row>], B[<bf16>, <one>, <col>]
// AMPERE: #qlow.recipe<mma_16x8x16_f32_bf16_bf16, {{.*}}lhs = [<to = cta, by = cp_async, {{.*}}rhs = [<to = cta, by = cp_async,
func.func @queries(%a: tensor<8x?x128xbf16>, %b: tensor<8x?x128xbf16>) -> tensor<8x?x?xbf16> {
  %y = qlow.matmul transpose_rhs %a, %b : tensor<8x?x128xbf16>, tensor<8x?x128xbf16> -> tensor<8x?x?xbf16>
  return %y : tensor<8x?x?xbf16>
}

// Probabilities by values: boxes of 64 columns, whose rows are of one k.
// CHECK-LABEL: func @values
// CHECK-COUNT-3: nvvm.cp.async.bulk.tensor.shared.cluster.global
// CHECK: nvvm.wgmma.mma_async {{.*}}<m = 64, n = 128, k = 16>, D[<f32>, <one>], A[<f16>, <one>, <row>], B[<f16>, <one>, <row>]
// AMPERE: #qlow.recipe<mma_16x8x16_f32_f16_f16, {{.*}}rhs = [<to = cta, by = load,
func.func @values(%a: tensor<8x2048x1024xf16>, %b: tensor<8x1024x128xf16>) -> tensor<8x2048x128xf16> {
  %y = qlow.matmul %a, %b : tensor<8x2048x1024xf16>, tensor<8x1024x128xf16> -> tensor<8x2048x128xf16>
  return %y : tensor<8x2048x128xf16>
}

// Lines that are no whole copies, and sides of two types.
// CHECK-LABEL: func @odd
// CHECK: nvvm.mma.sync {{.*}}<m = 16, n = 8, k = 16>} : (vector<2xf16>, vector<2xf16>, f32)
// CHECK-LABEL: func @mixed
// CHECK: math.fma
func.func @odd(%a: tensor<256x77xf16>, %b: tensor<77x33xf16>) -> tensor<256x33xf32> {
  %y = qlow.matmul %a, %b : tensor<256x77xf16>, tensor<77x33xf16> -> tensor<256x33xf32>
  return %y : tensor<256x33xf32>
}
func.func @mixed(%a: tensor<64x64xf16>, %b: tensor<64x64xbf16>) -> tensor<64x64xf32> {
  %y = qlow.matmul %a, %b : tensor<64x64xf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
  return %y : tensor<64x64xf32>
}
