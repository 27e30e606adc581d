// RUN: qlow-opt %s -qlow-pipeline="start-after=qlow-record-abi stop-after=qlow-split-quantized" | FileCheck %s --check-prefix=SPLIT
// RUN: qlow-opt %s -qlow-pipeline="start-after=qlow-record-abi stop-after=qlow-plan-workspace" | FileCheck %s --check-prefix=PLAN
// RUN: qlow-opt %s -qlow-pipeline="start-after=qlow-record-abi stop-after=qlow-expand-math" | FileCheck %s --check-prefixes=LOOPS,PLAIN
// RUN: qlow-opt %s -qlow-pipeline="target=x86-64-v3 start-after=qlow-record-abi stop-after=qlow-expand-math" | FileCheck %s --check-prefixes=LOOPS,NATIVE
// RUN: qlow-opt %s -qlow-pipeline="start-after=qlow-record-abi stop-after=qlow-expand-math" \
// RUN:   | qlow-opt -qlow-pipeline="start-after=qlow-build-entries" | FileCheck %s --check-prefix=LLVM
// RUN: qlow-opt %s -qlow-pipeline="prefix=mill" | FileCheck %s --check-prefix=PREFIX
// RUN: not qlow-opt %s -qlow-pipeline="stop-after=qlow-paint" 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not qlow-opt %s -qlow-pipeline="target=pdp-11 start-after=qlow-record-abi stop-after=qlow-plan-workspace" 2>&1 | FileCheck %s --check-prefix=TARGET

// UNKNOWN: unknown pass 'qlow-paint'; the pipeline has: qlow-verify, lift-cf-to-scf, inline,
// TARGET: error: {{.*}}pdp-11

// PREFIX: llvm.func @mill_f(

// The way of one matmul and one elementwise op: no allocation is left, the last op writes into the caller's
// memory, and nothing is fast-math.
// SPLIT-LABEL: func.func @f(
// SPLIT:         qlow.matmul_kernel
// SPLIT:         -> tensor<?x16xf32>
// PLAN-LABEL: func.func @f(
// PLAN-SAME:    %{{.*}}: memref<?x8xf32>{{.*}}, %{{.*}}: memref<8x16xf32>, %[[Y:.*]]: memref<?x16xf32> {bufferize.result}, %{{.*}}: memref<?xi8> {qlow.workspace}
// PLAN-NOT:     alloc
// PLAN:         qlow.matmul_kernel {{.*}} outs(%[[SUM:[a-z0-9_]+]] : {{.*}} scratch(%{{.*}} : memref<?xi8>)
// PLAN:         linalg.generic {{.*}} ins(%[[SUM]] : {{.*}} outs(%[[Y]] :
// PLAN-LABEL: func.func private @f.workspace(
// LOOPS-LABEL: func.func @f(
// LOOPS-NOT:     fastmath
// NATIVE:        math.roundeven
// PLAIN-NOT:     math.roundeven
// LOOPS:       func.func private @f.task0(
// LLVM-LABEL: llvm.func @f(
// LLVM-NOT:     builtin.unrealized_conversion_cast
func.func @f(%x: tensor<?x8xf32> {qlow.dims = ["m", 8]}, %w: tensor<8x16xf32>) -> tensor<?x16xf32> {
  %c0 = arith.constant 0 : index
  %m = tensor.dim %x, %c0 : tensor<?x8xf32>
  %a = qlow.matmul %x, %w : tensor<?x8xf32>, tensor<8x16xf32> -> tensor<?x16xf32>
  %s = tensor.empty(%m) : tensor<?x16xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
                       iterator_types = ["parallel", "parallel"]}
    ins(%a : tensor<?x16xf32>) outs(%s : tensor<?x16xf32>) {
  ^bb0(%v: f32, %o: f32):
    %e = math.roundeven %v : f32
    linalg.yield %e : f32
  } -> tensor<?x16xf32>
  return %r : tensor<?x16xf32>
}
