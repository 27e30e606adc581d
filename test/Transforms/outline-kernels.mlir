// RUN: qlow-opt %s -qlow-outline-kernels | FileCheck %s

// All bodies become kernels of one module; constants are made again in them, sizes come with their memref. What was said of
// a launch's code is said of the kernel, but not how many blocks there are.
// CHECK: module attributes {gpu.container_module}
// CHECK-LABEL: func @two
// CHECK: gpu.launch_func @kernels::@two_0 blocks in (%{{.+}}, %c1, %c1) threads in (%c256, %c1, %c1) dynamic_shared_memory_size %{{.+}} args(%{{.+}} : memref<?xf32>)
// CHECK: gpu.launch_func @kernels::@two_1
// CHECK: gpu.module @kernels
// CHECK: gpu.func @two_0(%[[X:.+]]: memref<?xf32>) kernel attributes {known_block_size = array<i32: 256, 1, 1>}
// CHECK-DAG: arith.constant 1.000000e+00
// CHECK-DAG: memref.dim %[[X]]
// CHECK: gpu.return
// CHECK: gpu.func @two_1(%{{.+}}: memref<?xf32>) kernel attributes {known_block_size = array<i32: 1, 1, 1>, nvvm.minctasm = 1 : i32}
// CHECK-NOT: gpu.module
func.func @two(%x: memref<?xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c256 = arith.constant 256 : index
  %bytes = arith.constant 1024 : i32
  %one = arith.constant 1.0 : f32
  %n = memref.dim %x, %c0 : memref<?xf32>
  gpu.launch blocks(%b, %by, %bz) in (%gx = %n, %gy = %c1, %gz = %c1) threads(%t, %ty, %tz) in (%tx = %c256, %tyy = %c1, %tzz = %c1) dynamic_shared_memory_size %bytes {
    %inside = arith.cmpi ult, %t, %n : index
    scf.if %inside {
      memref.store %one, %x[%t] : memref<?xf32>
    }
    gpu.terminator
  }
  gpu.launch blocks(%b, %by, %bz) in (%gx = %c1, %gy = %c1, %gz = %c1) threads(%t, %ty, %tz) in (%tx = %c1, %tyy = %c1, %tzz = %c1) {
    memref.store %one, %x[%b] : memref<?xf32>
    gpu.terminator
  } {nvvm.minctasm = 1 : i32}
  return
}
