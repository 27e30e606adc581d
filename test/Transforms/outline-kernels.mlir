// RUN: qlow-opt %s -qlow-outline-kernels -split-input-file | FileCheck %s

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

// -----

// Launches with equal bodies share a kernel, whatever memory they are given; it is marked with the ops of all. Another
// constant, another mark of the code or clusters make another kernel.
// CHECK-LABEL: func @equal
// CHECK: gpu.launch_func @kernels::@equal_0 {{.*}} args(%[[X:.+]] : memref<4xf32>)
// CHECK: gpu.launch_func @kernels::@equal_0 {{.*}} args(%[[Y:.+]] : memref<4xf32>)
// CHECK: gpu.launch_func @kernels::@equal_2
// CHECK: gpu.launch_func @kernels::@equal_3
// CHECK: gpu.launch_func @kernels::@equal_4 clusters
// CHECK: gpu.func @equal_0({{.*}} qlow.row = {id = "row", of = [#loc{{[0-9]*}}, #loc{{[0-9]*}}]}
// CHECK-NOT: gpu.func @equal_1
// CHECK: gpu.func @equal_2({{.*}} qlow.row = {id = "row", of = [#loc{{[0-9]*}}]}
// CHECK: gpu.func @equal_3({{.*}} qlow.row = {id = "other", of = [#loc{{[0-9]*}}]}
// CHECK: gpu.func @equal_4({{.*}} qlow.row = {id = "row", of = [#loc{{[0-9]*}}]}
func.func @equal(%x: memref<4xf32>, %y: memref<4xf32>) {
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %one = arith.constant 1.0 : f32
  %two = arith.constant 2.0 : f32
  gpu.launch blocks(%b, %by, %bz) in (%gx = %c1, %gy = %c1, %gz = %c1) threads(%t, %ty, %tz) in (%tx = %c4, %tyy = %c1, %tzz = %c1) {
    memref.store %one, %x[%t] : memref<4xf32>
    gpu.terminator
  } {qlow.row = {id = "row", of = [loc("first")]}}
  gpu.launch blocks(%b, %by, %bz) in (%gx = %c1, %gy = %c1, %gz = %c1) threads(%t, %ty, %tz) in (%tx = %c4, %tyy = %c1, %tzz = %c1) {
    memref.store %one, %y[%t] : memref<4xf32>
    gpu.terminator
  } {qlow.row = {id = "row", of = [loc("second")]}}
  gpu.launch blocks(%b, %by, %bz) in (%gx = %c1, %gy = %c1, %gz = %c1) threads(%t, %ty, %tz) in (%tx = %c4, %tyy = %c1, %tzz = %c1) {
    memref.store %two, %y[%t] : memref<4xf32>
    gpu.terminator
  } {qlow.row = {id = "row", of = [loc("third")]}}
  gpu.launch blocks(%b, %by, %bz) in (%gx = %c1, %gy = %c1, %gz = %c1) threads(%t, %ty, %tz) in (%tx = %c4, %tyy = %c1, %tzz = %c1) {
    memref.store %one, %y[%t] : memref<4xf32>
    gpu.terminator
  } {qlow.row = {id = "other", of = [loc("fourth")]}}
  gpu.launch clusters(%cx, %cy, %cz) in (%kx = %c1, %ky = %c1, %kz = %c1) blocks(%b, %by, %bz) in (%gx = %c1, %gy = %c1, %gz = %c1) threads(%t, %ty, %tz) in (%tx = %c4, %tyy = %c1, %tzz = %c1) {
    memref.store %one, %y[%t] : memref<4xf32>
    gpu.terminator
  } {qlow.row = {id = "row", of = [loc("fifth")]}}
  return
}
