// RUN: qlow-opt %s -split-input-file -verify-diagnostics -qlow-launch-loops=target=sm_80 | FileCheck %s
// RUN: qlow-opt %s -split-input-file -qlow-launch-loops=target=x86-64-v3 | FileCheck %s --check-prefix=CPU

// A parallel nest: a thread for each iteration, the last dimension's side by side.
// CHECK-LABEL: func @parallel
// CHECK: %[[TOTAL:.+]] = arith.muli
// CHECK: gpu.launch blocks({{.*}}) threads({{.*}} = %c256
// CHECK: %[[INSIDE:.+]] = arith.cmpi ult, %[[NUMBER:.+]], %[[TOTAL]]
// CHECK: scf.if %[[INSIDE]]
// CHECK: %[[J:.+]] = arith.remui %[[NUMBER]]
// CHECK: %[[I:.+]] = arith.divui %[[NUMBER]]
// CHECK: memref.store %{{.+}}, %{{.+}}[%[[I]], %[[J]]]
// CPU-LABEL: func @parallel
// CPU-NOT: gpu.launch
func.func @parallel(%x: memref<?x?xf32>, %m: index, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %one = arith.constant 1.0 : f32
  scf.parallel (%i, %j) = (%c0, %c0) to (%m, %n) step (%c1, %c1) {
    memref.store %one, %x[%i, %j] : memref<?x?xf32>
  }
  return
}

// -----

// Of narrow elements a thread has as many neighbours as it stores at once, where they divide the row. Only what it reads
// there may be known to be aligned.
// CHECK-LABEL: func @narrow
// CHECK: gpu.launch
// CHECK: memref.assume_alignment %arg1
// CHECK-NOT: memref.assume_alignment
// CHECK-COUNT-8: memref.load
// CHECK-COUNT-8: memref.store
// CHECK-NOT: memref.store
// CHECK: gpu.launch
// CHECK-COUNT-4: memref.store
// CHECK-NOT: memref.store
// CHECK: gpu.launch
// CHECK-COUNT-1: memref.store
// CHECK-NOT: memref.store
// CHECK: return
func.func @narrow(%x: memref<16384x8xi8>, %y: memref<16384x16xi8>, %z: memref<16384x16xf16>, %odd: memref<16384x15xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c16384 = arith.constant 16384 : index
  %c15 = arith.constant 15 : index
  %c16 = arith.constant 16 : index
  %half = arith.constant 0.5 : f16
  %one = arith.constant 1 : i8
  scf.parallel (%i, %j) = (%c0, %c0) to (%c16384, %c16) step (%c1, %c1) {
    %k = arith.divui %j, %c2 : index
    %a = memref.load %x[%i, %k] : memref<16384x8xi8>
    memref.store %a, %y[%i, %j] : memref<16384x16xi8>
  }
  scf.parallel (%i, %j) = (%c0, %c0) to (%c16384, %c16) step (%c1, %c1) {
    memref.store %half, %z[%i, %j] : memref<16384x16xf16>
  }
  scf.parallel (%i, %j) = (%c0, %c0) to (%c16384, %c15) step (%c1, %c1) {
    memref.store %one, %odd[%i, %j] : memref<16384x15xi8>
  }
  return
}

// -----

// Nothing is said of a view that the loop makes itself, and few iterations stay one for each thread.
// CHECK-LABEL: func @views
// CHECK: gpu.launch
// CHECK-COUNT-8: memref.collapse_shape %arg0
// CHECK: gpu.launch
// CHECK-COUNT-1: memref.store
// CHECK-NOT: memref.store
// CHECK: return
func.func @views(%x: memref<16384x16xi8>, %y: memref<16384x16xi8>, %few: memref<16x16xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %c16384 = arith.constant 16384 : index
  %one = arith.constant 1 : i8
  scf.parallel (%i, %j) = (%c0, %c0) to (%c16384, %c16) step (%c1, %c1) {
    %v = memref.collapse_shape %x [[0, 1]] : memref<16384x16xi8> into memref<262144xi8>
    %a = memref.load %v[%j] : memref<262144xi8>
    memref.store %a, %y[%i, %j] : memref<16384x16xi8>
  }
  scf.parallel (%i, %j) = (%c0, %c0) to (%c16, %c16) step (%c1, %c1) {
    memref.store %one, %few[%i, %j] : memref<16x16xi8>
  }
  return
}

// -----

// A copy is such a nest; a loop on sizes stays on the host, around its launches.
// CHECK-LABEL: func @copies
// CHECK: scf.for
// CHECK: gpu.launch
// CHECK: memref.load
// CHECK: memref.store
func.func @copies(%x: memref<8xf32>, %y: memref<8xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %i = %c0 to %n step %c1 {
    memref.copy %x, %y : memref<8xf32> to memref<8xf32>
  }
  return
}

// -----

// Loops without a parallel one run in one thread, and an element that was read outside is read in the launch.
// CHECK-LABEL: func @alone
// CHECK-NOT: memref.load
// CHECK: gpu.launch blocks({{.*}} = %[[ONE:.+]], {{.*}}) threads({{.*}})
// CHECK: memref.load
// CHECK: scf.for
// CHECK: memref.store
func.func @alone(%x: memref<8xf32>, %y: memref<f32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %first = memref.load %x[%c0] : memref<8xf32>
  scf.for %i = %c0 to %c8 step %c1 {
    %a = memref.load %x[%i] : memref<8xf32>
    %b = arith.addf %a, %first : f32
    memref.store %b, %y[] : memref<f32>
  }
  return
}

// -----

// What a kernel computed decides nothing on the host.
func.func @decides(%x: memref<8xf32>, %y: memref<8xf32>, %n: memref<index>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %end = memref.load %n[] : memref<index>
  // expected-error @below {{'scf.for' op needs an element of a tensor, which lies on the device, on the host: expected loops, branches and sizes around kernels to depend on sizes and scalar arguments only; compute both ways and choose by arith.select, make the value an argument of the function, or compile for a processor}}
  scf.for %i = %c0 to %end step %c1 {
    memref.copy %x, %y : memref<8xf32> to memref<8xf32>
  }
  return
}

// -----

func.func @branches(%x: memref<8xf32>, %y: memref<8xf32>, %n: memref<i1>) {
  %is = memref.load %n[] : memref<i1>
  // expected-error @below {{'scf.if' op needs an element of a tensor}}
  scf.if %is {
    memref.copy %x, %y : memref<8xf32> to memref<8xf32>
  }
  return
}

// -----

// An argument is there before anything runs.
// CHECK-LABEL: func @argument
// CHECK: scf.if %{{.+}} {
// CHECK: gpu.launch
func.func @argument(%x: memref<8xf32>, %y: memref<8xf32>, %is: i1) {
  scf.if %is {
    memref.copy %x, %y : memref<8xf32> to memref<8xf32>
  }
  return
}

// -----

func.func @goes_on(%x: memref<8xf32>, %y: memref<8xf32>, %n: memref<i1>) {
  // expected-error @below {{'scf.while' op needs an element of a tensor}}
  scf.while : () -> () {
    %is = memref.load %n[] : memref<i1>
    scf.condition(%is)
  } do {
    memref.copy %x, %y : memref<8xf32> to memref<8xf32>
    scf.yield
  }
  return
}

// -----

// What a loop carries on the host.
func.func @carries(%x: memref<8xf32>, %y: memref<8xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %zero = arith.constant 0.0 : f32
  // expected-error @below {{'scf.for' op needs an element of a tensor}}
  %sum = scf.for %i = %c0 to %c8 step %c1 iter_args(%a = %zero) -> f32 {
    %b = memref.load %x[%i] : memref<8xf32>
    %c = arith.addf %a, %b : f32
    memref.copy %x, %y : memref<8xf32> to memref<8xf32>
    scf.yield %c : f32
  }
  memref.store %sum, %y[%c0] : memref<8xf32>
  return
}
