// What the tile nest of NVIDIA chips is made of: asynchronous copies into a ring of buffers, fragments by ldmatrix for
// mma.sync, descriptors for wgmma, and a launch for sums that zero points need.
// RUN: qlow-opt %s --qlow-pipeline="target=sm_80 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefixes=CHECK,MMA
// RUN: qlow-opt %s --qlow-pipeline="target=sm_90 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefixes=CHECK,WGMMA
// RUN: qlow-opt %s --qlow-pipeline="target=sm_75 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefix=LANE

!q = !qlow.q<i8 : f32>
!z = !qlow.q<u8 : f32, zero = u8>

// CHECK-LABEL: func @large
// CHECK: gpu.launch blocks
// CHECK: nvvm.cp.async.shared.global
// CHECK: nvvm.cp.async.commit.group
// MMA: scf.for
// MMA: nvvm.cp.async.wait.group
// MMA: gpu.barrier
// MMA: nvvm.ldmatrix
// MMA: nvvm.mma.sync {{.*}}intOverflowBehavior = #nvvm.mma_int_overflow<wrapped>
// WGMMA: scf.for
// WGMMA: nvvm.cp.async.wait.group
// WGMMA: nvvm.fence.proxy
// WGMMA: gpu.barrier
// WGMMA: nvvm.wgmma.mma_async
// WGMMA: nvvm.wgmma.commit.group
// WGMMA: nvvm.wgmma.wait.group.sync.aligned 1
// LANE-LABEL: func @large
// LANE-NOT: nvvm.cp.async
// LANE: arith.muli
func.func @large(%a: tensor<4096x4096xi8>, %b: tensor<f32>) -> tensor<4096x4096xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %w = arith.constant dense<3> : tensor<4096x4096xi8>
  %qa = qlow.compose %a, %s : (tensor<4096x4096xi8>, tensor<f32>) -> tensor<4096x4096x!q>
  %qw = qlow.compose %w, %s : (tensor<4096x4096xi8>, tensor<f32>) -> tensor<4096x4096x!q>
  %y = qlow.matmul %qa, %qw : tensor<4096x4096x!q>, tensor<4096x4096x!q> -> tensor<4096x4096xi32>
  return %y : tensor<4096x4096xi32>
}

// A zero point of the right side needs the sums of rows first; one of the left side the sums of columns, which a packed
// weight holds.
// CHECK-LABEL: func @zero_points
// CHECK: gpu.launch
// CHECK: gpu.shuffle xor
// CHECK: gpu.launch
// CHECK: nvvm.cp.async
// CHECK-NOT: gpu.shuffle
// CHECK: return
func.func @zero_points(%a: tensor<64x64xi8>, %z: tensor<1xi8>) -> tensor<64x64xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %w = arith.constant dense<3> : tensor<64x64xi8>
  %qa = qlow.compose %a, %s, %z : (tensor<64x64xi8>, tensor<f32>, tensor<1xi8>) -> tensor<64x64x!z>
  %qw = qlow.compose %w, %s, %z : (tensor<64x64xi8>, tensor<f32>, tensor<1xi8>) -> tensor<64x64x!z>
  %y = qlow.matmul %qa, %qw : tensor<64x64x!z>, tensor<64x64x!z> -> tensor<64x64xi32>
  return %y : tensor<64x64xi32>
}
