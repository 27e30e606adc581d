// What the tile nest of NVIDIA chips is made of: asynchronous copies into a ring of buffers, fragments by ldmatrix for
// mma.sync, descriptors and a warpgroup that copies for wgmma, and a launch for sums that zero points need.
// RUN: qlow-opt %s --qlow-pipeline="target=sm_80 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefixes=CHECK,MMA
// RUN: qlow-opt %s --qlow-pipeline="target=sm_90 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefixes=CHECK,WGMMA
// RUN: qlow-opt %s --qlow-pipeline="target=sm_75 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefix=LANE
// RUN: qlow-opt %s --qlow-pipeline="target=sm_90 stop-after=qlow-select-recipes" | FileCheck %s --check-prefix=RANGES

// RANGES-DAG: #[[FEWEST:.+]] = #qlow.recipe<wgmma_64x32x32_i32_s8_s8, tiles = [<memory, [16, 128, 128]>, <cta, [16, 32, 128]>{{.*}}<to = cta, by = tma, stages = {{[0-9]+}}>]
// RANGES-DAG: #[[FEW:.+]] = #qlow.recipe<wgmma_64x32x32_i32_s8_s8, tiles = [<memory, [32, 128, 128]>, <cta, [32, 32, 128]>{{.*}}<to = cta, by = tma, stages = {{[0-9]+}}>]
// RANGES-DAG: #[[SOME:.+]] = #qlow.recipe<wgmma_64x32x32_i32_s8_s8, tiles = [<memory, [64, 128, 128]>, <cta, [64, 32, 128]>{{.*}}<to = cta, by = tma, stages = {{[0-9]+}}>]
// RANGES-DAG: #[[MORE:.+]] = #qlow.recipe<wgmma_64x64x32_i32_s8_s8, tiles = [<memory, [64, 128, 128]>, <cta, [64, 64, 128]>{{.*}}<to = cta, by = tma, stages = {{[0-9]+}}>]
// RANGES-DAG: #[[MANY:.+]] = #qlow.recipe<wgmma_64x128x32_i32_s8_s8, tiles = [<cta, [64, 128, 128]>
// RANGES-DAG: #[[MOST:.+]] = #qlow.recipe<wgmma_64x128x32_i32_s8_s8, tiles = [<cta, [128, 128, 128]>

!q = !qlow.q<i8 : f32>
!z = !qlow.q<u8 : f32, zero = u8>

// CHECK-LABEL: func @large
// MMA: gpu.launch blocks
// MMA: nvvm.cp.async.shared.global
// MMA: nvvm.cp.async.commit.group
// MMA: scf.for
// MMA: nvvm.cp.async.wait.group
// MMA: gpu.barrier
// MMA: nvvm.ldmatrix
// MMA: nvvm.mma.sync {{.*}}intOverflowBehavior = #nvvm.mma_int_overflow<wrapped>

// The left side and the result by tensor maps; no more blocks than multiprocessors; the ring's barriers.
// WGMMA: nvgpu.tma.create.descriptor {{.*}} -> <tensor = memref<128x128xi8, 3>, swizzle = swizzle_128b,
// WGMMA: nvgpu.tma.create.descriptor {{.*}} -> <tensor = memref<64x32xi32, 3>, swizzle = swizzle_128b,
// WGMMA: gpu.launch blocks(%{{.+}}) in (%{{.+}} = %[[BLOCKS:.+]], %{{.+}} = %{{.+}}, %{{.+}} = %{{.+}}) threads
// WGMMA-COUNT-8: nvvm.mbarrier.init
// WGMMA: nvvm.fence.mbarrier.init
// WGMMA: gpu.barrier
// The last warpgroup copies: a box, and a piece of the panel as it lies.
// WGMMA: scf.if
// WGMMA: nvvm.setmaxregister decrease 40
// What is a weight comes as long as there is room; what may be another kernel's when that has ended.
// WGMMA: nvvm.mbarrier.arrive.expect_tx
// WGMMA: nvvm.cp.async.bulk.shared.cluster.global
// WGMMA: nvvm.griddepcontrol wait
// WGMMA: nvvm.mbarrier.try_wait.parity
// WGMMA: nvvm.mbarrier.arrive.expect_tx
// WGMMA: nvvm.cp.async.bulk.shared.cluster.global
// WGMMA: nvvm.cp.async.bulk.tensor.shared.cluster.global
// The others multiply, and give a buffer back when the products of the next one have been started.
// WGMMA: else
// WGMMA: nvvm.setmaxregister increase 232
// WGMMA: nvvm.griddepcontrol wait
// WGMMA: nvvm.mbarrier.try_wait.parity
// WGMMA: wgmma.fence.sync.aligned
// WGMMA-COUNT-4: nvvm.wgmma.mma_async
// WGMMA: nvvm.wgmma.commit.group
// WGMMA: nvvm.wgmma.wait.group.sync.aligned 1
// WGMMA: nvvm.mbarrier.arrive
// WGMMA: wgmma.wait_group.sync.aligned 0
// Results: through shared memory in eight pieces.
// WGMMA: nvvm.cp.async.bulk.wait_group 1 {read}
// WGMMA: nvvm.barrier id
// WGMMA: llvm.store {{.*}} : vector<2xi32>, !llvm.ptr<3>
// WGMMA: nvvm.fence.proxy
// WGMMA: nvvm.barrier id
// WGMMA-COUNT-8: nvvm.cp.async.bulk.tensor.global.shared.cta
// WGMMA: nvvm.cp.async.bulk.wait_group 0 {read}
// WGMMA: nvvm.minctasm = 1 : i32
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

// Few rows: tiles of 16 of them, and of 32 columns out of panels of 256, as @large has them; a tensor map of panels,
// chunks and words brings them together. The product's other rows are zero and nobody's; results leave from registers.
// WGMMA-LABEL: func @few_rows
// WGMMA: nvgpu.tma.create.descriptor {{.*}} box[%c5{{.*}} -> <tensor = memref<16x128xi8, 3>, swizzle = swizzle_128b,
// WGMMA: memref.reinterpret_cast {{.*}} sizes: [16, 256, 1024], strides: [262400, 1024, 1]
// WGMMA: nvgpu.tma.create.descriptor {{.*}} -> <tensor = memref<1x8x128xi32, 3>, swizzle = none,
// WGMMA-NOT: nvgpu.tma.create.descriptor
// WGMMA: nvvm.mbarrier.arrive.expect_tx
// WGMMA-COUNT-3: nvvm.cp.async.bulk.tensor.shared.cluster.global
// WGMMA-NOT: nvvm.cp.async.bulk
// WGMMA: else
// WGMMA: llvm.store {{.*}} : vector<4xi32>, !llvm.ptr<3>
// WGMMA: nvvm.fence.proxy
// WGMMA: nvvm.barrier id
// WGMMA-COUNT-4: nvvm.wgmma.mma_async {{.*}} n = 32
// WGMMA: llvm.store {{.*}} : vector<2xi32>, !llvm.ptr<1>
// WGMMA-NOT: nvvm.cp.async.bulk
// WGMMA: return
func.func @few_rows(%a: tensor<5x4096xi8>, %b: tensor<f32>) -> tensor<5x4096xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %w = arith.constant dense<3> : tensor<4096x4096xi8>
  %qa = qlow.compose %a, %s : (tensor<5x4096xi8>, tensor<f32>) -> tensor<5x4096x!q>
  %qw = qlow.compose %w, %s : (tensor<4096x4096xi8>, tensor<f32>) -> tensor<4096x4096x!q>
  %y = qlow.matmul %qa, %qw : tensor<5x4096x!q>, tensor<4096x4096x!q> -> tensor<5x4096xi32>
  return %y : tensor<5x4096xi32>
}

// The last of four tiles has eight rows, and so have its boxes: past an edge the copy engine is slow.
// WGMMA-LABEL: func @last_tile
// WGMMA: nvgpu.tma.create.descriptor {{.*}} box[%c64{{.*}} -> <tensor = memref<64x128xi8, 3>
// WGMMA: nvgpu.tma.create.descriptor {{.*}} box[%c8{{[_,].*}} -> <tensor = memref<64x128xi8, 3>
// WGMMA: gpu.launch blocks
// WGMMA: nvvm.fence.proxy
// WGMMA: %[[MAP:.+]] = arith.select {{.*}} : !llvm.ptr
// WGMMA: nvvm.cp.async.bulk.tensor.shared.cluster.global {{.*}}%[[MAP]]
// WGMMA: return
func.func @last_tile(%a: tensor<200x4096xi8>, %b: tensor<f32>) -> tensor<200x4096xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %w = arith.constant dense<3> : tensor<4096x4096xi8>
  %qa = qlow.compose %a, %s : (tensor<200x4096xi8>, tensor<f32>) -> tensor<200x4096x!q>
  %qw = qlow.compose %w, %s : (tensor<4096x4096xi8>, tensor<f32>) -> tensor<4096x4096x!q>
  %y = qlow.matmul %qa, %qw : tensor<200x4096x!q>, tensor<4096x4096x!q> -> tensor<200x4096xi32>
  return %y : tensor<200x4096xi32>
}

// The last panel is narrower: no map can say that. Four warps bring a slice's pieces of two chunks each, and tell a full
// buffer's barrier of them.
// WGMMA-LABEL: func @pieces
// WGMMA: %[[WARPS:.+]] = arith.constant 4 : i32
// WGMMA: nvvm.mbarrier.init %{{.+}}, %[[WARPS]]
// WGMMA: nvvm.mbarrier.arrive.expect_tx
// WGMMA: nvvm.cp.async.bulk.tensor.shared.cluster.global
// WGMMA-COUNT-2: nvvm.cp.async.bulk.shared.cluster.global
// WGMMA-NOT: nvvm.cp.async.bulk
// WGMMA: else
func.func @pieces(%a: tensor<5x4096xi8>, %b: tensor<f32>) -> tensor<5x4040xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %w = arith.constant dense<3> : tensor<4096x4040xi8>
  %qa = qlow.compose %a, %s : (tensor<5x4096xi8>, tensor<f32>) -> tensor<5x4096x!q>
  %qw = qlow.compose %w, %s : (tensor<4096x4040xi8>, tensor<f32>) -> tensor<4096x4040x!q>
  %y = qlow.matmul %qa, %qw : tensor<5x4096x!q>, tensor<4096x4040x!q> -> tensor<5x4040xi32>
  return %y : tensor<5x4040xi32>
}

// A zero point of the right side needs the sums of rows first; one of the left side the sums of columns, which a packed
// weight holds.
// CHECK-LABEL: func @zero_points
// CHECK: gpu.launch
// CHECK: gpu.shuffle xor
// CHECK: gpu.launch
// CHECK: nvvm.cp.async
// MMA-NOT: gpu.shuffle xor
// Later devices get both kernels again.
// WGMMA: gpu.launch
// WGMMA: gpu.shuffle xor
// WGMMA: gpu.launch
// WGMMA-NOT: gpu.shuffle xor
// CHECK: return
func.func @zero_points(%a: tensor<64x64xi8>, %z: tensor<1xi8>) -> tensor<64x64xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %w = arith.constant dense<3> : tensor<64x64xi8>
  %qa = qlow.compose %a, %s, %z : (tensor<64x64xi8>, tensor<f32>, tensor<1xi8>) -> tensor<64x64x!z>
  %qw = qlow.compose %w, %s, %z : (tensor<64x64xi8>, tensor<f32>, tensor<1xi8>) -> tensor<64x64x!z>
  %y = qlow.matmul %qa, %qw : tensor<64x64x!z>, tensor<64x64x!z> -> tensor<64x64xi32>
  return %y : tensor<64x64xi32>
}

// Elements that threads decode are looked for inside the matrix only where tiles reach over it: M here. K is too short
// for a launch that unpacks the left side first.
// WGMMA-LABEL: func @decoded
// WGMMA: scf.for {{.*}} to %c512_i32
// WGMMA-COUNT-4: scf.if {{.*}} -> (i32)
// WGMMA: scf.for {{.*}} to %c4096_i32
// WGMMA-NOT: scf.if {{.*}} -> (i32)
// WGMMA: scf.for {{.*}} to %c512_i32
func.func @decoded(%a: tensor<250x64xi8>, %w: tensor<256x64xi8>) -> tensor<250x256xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %qa = qlow.compose %a, %s : (tensor<250x64xi8>, tensor<f32>) -> tensor<250x128x!qlow.q<u4 : f32>>
  %qw = qlow.compose %w, %s : (tensor<256x64xi8>, tensor<f32>) -> tensor<256x128x!qlow.q<i4 : f32>>
  %y = qlow.matmul transpose_rhs %qa, %qw : tensor<250x128x!qlow.q<u4 : f32>>, tensor<256x128x!qlow.q<i4 : f32>> -> tensor<250x256xi32>
  return %y : tensor<250x256xi32>
}

// Where M is open, few rows take tiles of fewer, of one stored layout; ranges that would be computed alike are one.
// RANGES-LABEL: func.func @open_rows
// RANGES: recipes <[m to 16 : #[[FEWEST]], m to 32 : #[[FEW]], m to 64 : #[[SOME]], m to 128 : #[[MORE]], m to 256 : #[[MANY]], #[[MOST]]]>
func.func @open_rows(%a: tensor<?x1024xi8>) -> tensor<?x4096xi32> {
  %s = arith.constant dense<1.0> : tensor<f32>
  %w = arith.constant dense<3> : tensor<1024x4096xi8>
  %qa = qlow.compose %a, %s : (tensor<?x1024xi8>, tensor<f32>) -> tensor<?x1024x!q>
  %qw = qlow.compose %w, %s : (tensor<1024x4096xi8>, tensor<f32>) -> tensor<1024x4096x!q>
  %y = qlow.matmul %qa, %qw : tensor<?x1024x!q>, tensor<1024x4096x!q> -> tensor<?x4096xi32>
  return %y : tensor<?x4096xi32>
}
