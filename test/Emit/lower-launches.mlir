// Launches become calls of one function a kernel, which calls the driver through the state that the launch struct names.

// RUN: qlow-opt --qlow-lower-launches %S/Inputs/device.mlir | FileCheck %s
// RUN: qlow-opt --qlow-lower-launches=target=sm_90 %S/Inputs/device.mlir | FileCheck %s --check-prefix=WAITS
// RUN: qlow-opt --qlow-lower-launches %s -split-input-file -verify-diagnostics

// The module says what load has to look up; the second kernel of the name got another.
// CHECK: module attributes {{.*}}qlow.kernels = [{clusters = false, image = "", maps = false, name = "kernel", shared = 0 : i64, waits = false}, {clusters = true, image = "", maps = true, name = "kernel_1", shared = 65536 : i64, waits = true}]

// Where the target has it, kernels wait themselves for those in front of them; the second one did already.
// WAITS: name = "kernel", shared = 0 : i64, waits = true}
// WAITS: gpu.func @kernel(
// WAITS-NEXT: nvvm.griddepcontrol launch_dependents
// WAITS-NEXT: nvvm.griddepcontrol wait
// WAITS: gpu.func @kernel_1(
// WAITS-NOT: nvvm.griddepcontrol launch_dependents
// WAITS: nvvm.griddepcontrol wait
// WAITS-NOT: nvvm.griddepcontrol

// A memref is its pointer twice, offset, sizes and strides.
// CHECK-LABEL: func.func @f
// CHECK-SAME: %[[LAUNCH:[a-z0-9]+]]: !llvm.ptr {qlow.launch}
// CHECK: %[[X:.+]] = builtin.unrealized_conversion_cast %{{.+}} : memref<?x64xf32> to !llvm.struct<
// CHECK: %[[ALLOCATED:.+]] = llvm.extractvalue %[[X]][0]
// CHECK: %[[ALIGNED:.+]] = llvm.extractvalue %[[X]][1]
// CHECK: %[[OFFSET:.+]] = llvm.extractvalue %[[X]][2]
// CHECK: llvm.call @model.launch.kernel(%[[LAUNCH]], {{.*}}%[[ALLOCATED]], %[[ALIGNED]], %[[OFFSET]],
// CHECK: llvm.call @model.launch.kernel_1(%[[LAUNCH]],
// CHECK-NOT: gpu.launch_func

// A tensor map is its tensor's pointer and sizes; in the kernel it is the address of a parameter, number 20 of all.
// CHECK-NOT: nvgpu
// CHECK: gpu.func @kernel(
// CHECK: gpu.func @kernel_1({{.*}}%[[MAP:[a-z0-9]+]]: !llvm.ptr) kernel attributes {qlow.tensor_maps = array<i32: 20>}
// CHECK-NEXT: nvvm.prefetch tensormap, %[[MAP]]

// Nothing happens where an earlier launch failed or a size of the grid is 0; a grid too large is a failure.
// CHECK: llvm.func internal @model.launch.kernel(%[[STRUCT:[a-z0-9]+]]: !llvm.ptr, %[[GX:[a-z0-9]+]]: i64, %[[GY:[a-z0-9]+]]: i64,
// CHECK: %[[STATUS_AT:.+]] = llvm.getelementptr %[[STRUCT]][16]
// CHECK: %[[STATUS:.+]] = llvm.load %[[STATUS_AT]] : !llvm.ptr -> i32
// CHECK: llvm.cond_br %{{.+}}, ^[[SIZES:.+]], ^[[DONE:.+]]
// CHECK: ^[[SIZES]]:
// CHECK: llvm.icmp "eq" %[[GX]]
// CHECK: llvm.cond_br %{{.+}}, ^[[DONE]], ^[[LIMITS:.+]]
// CHECK: ^[[LIMITS]]:
// CHECK: llvm.mlir.constant(2147483647 : i64)
// CHECK: llvm.icmp "ule" %[[GX]]
// CHECK: llvm.mlir.constant(65535 : i64)
// CHECK: llvm.icmp "ule" %[[GY]]
// CHECK: llvm.cond_br %{{.+}}, ^{{.+}}, ^[[FAILED:bb[0-9]+]](%{{.+}} : i32)
// CHECK: ^[[FAILED]](%[[RESULT:.+]]: i32):
// CHECK: llvm.mul %[[RESULT]]
// CHECK: llvm.store

// Clusters are an attribute: number 4, behind it the three sizes.
// CHECK: llvm.func internal @model.launch.kernel_1
// CHECK: %[[PLACE:.+]] = llvm.alloca %{{.+}} x !llvm.array<16 x i64> {alignment = 64 : i64}
// CHECK: %[[ENCODED:.+]] = llvm.call %{{.+}}(%[[PLACE]], {{.*}}) : !llvm.ptr, (!llvm.ptr, i32, i32, !llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, i32, i32, i32, i32) -> i32
// CHECK: %[[FINE:.+]] = llvm.icmp "eq" %[[ENCODED]]
// CHECK: llvm.cond_br %[[FINE]]
// CHECK: %[[FOUR:.+]] = llvm.mlir.constant(4 : i32)
// CHECK: llvm.store %[[FOUR]]
// A kernel that waits itself may be started early: number 6, where load found a driver that can (a word of the state).
// CHECK: %[[SIX:.+]] = llvm.mlir.constant(6 : i32)
// CHECK: llvm.store %[[SIX]]
// CHECK: %[[CAN:.+]] = llvm.load %{{.+}} : !llvm.ptr -> i32
// CHECK: %[[COUNT:.+]] = llvm.add %{{.+}}, %[[CAN]] : i32
// CHECK: llvm.store %[[COUNT]]

module attributes {gpu.container_module} {
  func.func @no_launch(%n: index) {
    // expected-error@+1 {{expected a function around it with an argument marked 'qlow.launch', through which launches reach the device}}
    gpu.launch_func @k::@k blocks in (%n, %n, %n) threads in (%n, %n, %n)
    return
  }
  gpu.module @k {
    gpu.func @k() kernel { gpu.return }
  }
}

// -----

module attributes {gpu.container_module} {
  func.func @shared(%n: index, %bytes: i32, %launch: !llvm.ptr {qlow.launch}) {
    // expected-error@+1 {{expected a constant as dynamic_shared_memory_size: the driver is asked for it when the kernel is loaded}}
    gpu.launch_func @k::@k blocks in (%n, %n, %n) threads in (%n, %n, %n) dynamic_shared_memory_size %bytes
    return
  }
  gpu.module @k {
    gpu.func @k() kernel { gpu.return }
  }
}

// -----

module attributes {gpu.container_module} {
  func.func @clusters(%n: index, %launch: !llvm.ptr {qlow.launch}) {
    gpu.launch_func @k::@k blocks in (%n, %n, %n) threads in (%n, %n, %n)
    // expected-error@+1 {{launches @k::@k with and without clusters; expected one of them}}
    gpu.launch_func @k::@k clusters in (%n, %n, %n) blocks in (%n, %n, %n) threads in (%n, %n, %n)
    return
  }
  gpu.module @k {
    gpu.func @k() kernel { gpu.return }
  }
}

// -----

module attributes {gpu.container_module} {
  func.func @async(%n: index, %launch: !llvm.ptr {qlow.launch}) {
    // expected-error@+1 {{is asynchronous: expected launches in the order of the stream, without tokens}}
    %token = gpu.launch_func async @k::@k blocks in (%n, %n, %n) threads in (%n, %n, %n)
    return
  }
  gpu.module @k {
    gpu.func @k() kernel { gpu.return }
  }
}

// -----

module attributes {gpu.container_module} {
  func.func @unranked(%n: index, %x: memref<*xf32>, %launch: !llvm.ptr {qlow.launch}) {
    // expected-error@+1 {{can not pass a 'memref<*xf32>' to a kernel; expected ranked memrefs, numbers and pointers}}
    gpu.launch_func @k::@k blocks in (%n, %n, %n) threads in (%n, %n, %n) args(%x : memref<*xf32>)
    return
  }
  gpu.module @k {
    gpu.func @k(%x: memref<*xf32>) kernel { gpu.return }
  }
}

// -----

module attributes {gpu.container_module} {
  func.func @parameters(%n: index, %x: vector<512xf64>, %launch: !llvm.ptr {qlow.launch}) {
    // expected-error@+1 {{has 4104 bytes of parameters; expected at most 4096, of which a tensor takes 24 and 16 for each dimension: compute it by several ops of fewer tensors}}
    gpu.launch_func @k::@k blocks in (%n, %n, %n) threads in (%n, %n, %n) args(%x : vector<512xf64>, %n : index)
    return
  }
  gpu.module @k {
    gpu.func @k(%x: vector<512xf64>, %n: index) kernel { gpu.return }
  }
}

// -----

!map = !nvgpu.tensormap.descriptor<tensor = memref<8x32xf32, 3>, swizzle = swizzle_128b, l2promo = none, oob = zero, interleave = none>
module attributes {gpu.container_module} {
  func.func @map(%n: index, %map: !map, %launch: !llvm.ptr {qlow.launch}) {
    // expected-error@+1 {{takes a tensor map, which nvgpu.tma.create.descriptor must make of a memref with dense rows, of its rank and element type, of 1 to 4 bytes, cast to an unranked one, and a box of as many dimensions}}
    gpu.launch_func @k::@k blocks in (%n, %n, %n) threads in (%n, %n, %n) args(%map : !map)
    return
  }
  gpu.module @k {
    gpu.func @k(%map: !map) kernel { gpu.return }
  }
}

// -----

!map = !nvgpu.tensormap.descriptor<tensor = memref<8x32xf32, 3>, swizzle = swizzle_128b, l2promo = none, oob = zero, interleave = none>
module attributes {gpu.container_module} {
  func.func @box(%n: index, %x: memref<?x64xf32>, %launch: !llvm.ptr {qlow.launch}) {
    %c9 = arith.constant 9 : index
    %whole = memref.cast %x : memref<?x64xf32> to memref<*xf32>
    %map = nvgpu.tma.create.descriptor %whole box[%c9, %n] : memref<*xf32> -> !map
    // expected-error@+1 {{takes a tensor map with another box than its type allows; expected sizes of 1 to those of}}
    gpu.launch_func @k::@k blocks in (%n, %n, %n) threads in (%n, %n, %n) args(%map : !map)
    return
  }
  gpu.module @k {
    gpu.func @k(%map: !map) kernel { gpu.return }
  }
}

// -----

!map = !nvgpu.tensormap.descriptor<tensor = memref<8x32xf32, 3>, swizzle = swizzle_128b, l2promo = none, oob = zero, interleave = none>
module attributes {gpu.container_module} {
  func.func @no_box(%n: index, %x: memref<?x64xf32>, %launch: !llvm.ptr {qlow.launch}) {
    %c0 = arith.constant 0 : index
    %whole = memref.cast %x : memref<?x64xf32> to memref<*xf32>
    %map = nvgpu.tma.create.descriptor %whole box[%c0, %n] : memref<*xf32> -> !map
    // expected-error@+1 {{takes a tensor map with another box than its type allows; expected sizes of 1 to those of}}
    gpu.launch_func @k::@k blocks in (%n, %n, %n) threads in (%n, %n, %n) args(%map : !map)
    return
  }
  gpu.module @k {
    gpu.func @k(%map: !map) kernel { gpu.return }
  }
}

// -----

!map = !nvgpu.tensormap.descriptor<tensor = memref<8x32xf32, 3>, swizzle = swizzle_128b, l2promo = none, oob = zero, interleave = none>
module attributes {gpu.container_module} {
  func.func @flat_box(%n: index, %x: memref<?x64xf32>, %launch: !llvm.ptr {qlow.launch}) {
    %whole = memref.cast %x : memref<?x64xf32> to memref<*xf32>
    %map = nvgpu.tma.create.descriptor %whole box[%n] : memref<*xf32> -> !map
    // expected-error@+1 {{and a box of as many dimensions}}
    gpu.launch_func @k::@k blocks in (%n, %n, %n) threads in (%n, %n, %n) args(%map : !map)
    return
  }
  gpu.module @k {
    gpu.func @k(%map: !map) kernel { gpu.return }
  }
}

// -----

!map = !nvgpu.tensormap.descriptor<tensor = memref<8x32xf32, 3>, swizzle = swizzle_128b, l2promo = none, oob = zero, interleave = none>
module attributes {gpu.container_module} {
  func.func @use(%n: index, %x: memref<?x64xf32>, %launch: !llvm.ptr {qlow.launch}) {
    %c8 = arith.constant 8 : index
    %c32 = arith.constant 32 : index
    %whole = memref.cast %x : memref<?x64xf32> to memref<*xf32>
    %map = nvgpu.tma.create.descriptor %whole box[%c8, %c32] : memref<*xf32> -> !map
    gpu.launch_func @k::@k blocks in (%n, %n, %n) threads in (%n, %n, %n) args(%map : !map)
    return
  }
  gpu.module @k {
    gpu.func @k(%map: !map) kernel {
      // expected-error@+1 {{uses a tensor map; expected only builtin.unrealized_conversion_cast to !llvm.ptr to do}}
      nvgpu.tma.prefetch.descriptor %map : !map
      gpu.return
    }
  }
}
