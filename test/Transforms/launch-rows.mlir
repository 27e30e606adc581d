// RUN: qlow-opt %s -split-input-file -qlow-launch-rows=target=sm_80 | FileCheck %s
// RUN: qlow-opt %s -split-input-file -qlow-launch-rows=target=x86-64-v3 | FileCheck %s --check-prefix=CPU

// A sum of each row and what uses it: one launch with a block for each row.
// CHECK-LABEL: func @norm
// CHECK: gpu.launch blocks({{.*}}) in ({{.*}} = %arg3, {{.*}}) threads({{.*}}) in ({{.*}} = %c256
// CHECK: %[[S:.+]] = memref.assume_alignment %arg1, 16
// CHECK: %[[X:.+]] = memref.assume_alignment %arg0, 16
// The first thread clears the sum.
// CHECK: scf.if
// CHECK-NEXT: memref.store %{{.+}}, %[[S]][%[[ROW:.+]]]
// Nobody waits for it: all know what it wrote. Four neighbours of each thread, whose loads stand together.
// CHECK-NOT: gpu.barrier
// CHECK: %[[SUMS:.+]]:4 = scf.for
// CHECK-COUNT-4: memref.load %[[X]][%[[ROW]], %{{.+}}]
// CHECK: scf.yield
// The rest, element by element.
// CHECK: scf.for {{.*}} iter_args(%{{.+}} = %[[SUMS]]#0)
// CHECK-COUNT-5: gpu.shuffle xor
// By way of shared memory to the other warps.
// CHECK: memref.store %{{.+}}, %{{.+}}[%{{.+}}] : memref<8xf32, #gpu.address_space<workgroup>>
// CHECK: gpu.barrier
// CHECK-COUNT-3: gpu.shuffle xor
// CHECK: %[[SUM:.+]] = arith.addf %cst, %{{.+}} : f32
// CHECK-NOT: gpu.barrier
// CHECK: memref.store %[[SUM]], %[[S]][%[[ROW]]]
// CHECK: scf.for
// CHECK-COUNT-4: arith.divf %{{.+}}, %[[SUM]]
// CHECK-NOT: scf.parallel
// CPU-LABEL: func @norm
// CPU-NOT: gpu.launch
func.func @norm(%x: memref<?x?xf32>, %s: memref<?xf32>, %y: memref<?x?xf32>, %m: index, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  scf.parallel (%i) = (%c0) to (%m) step (%c1) {
    memref.store %zero, %s[%i] : memref<?xf32>
  }
  scf.parallel (%i) = (%c0) to (%m) step (%c1) {
    scf.for %j = %c0 to %n step %c1 {
      %a = memref.load %x[%i, %j] : memref<?x?xf32>
      %b = memref.load %s[%i] : memref<?xf32>
      %c = arith.addf %b, %a : f32
      memref.store %c, %s[%i] : memref<?xf32>
    }
  }
  scf.parallel (%i, %j) = (%c0, %c0) to (%m, %n) step (%c1, %c1) {
    %a = memref.load %x[%i, %j] : memref<?x?xf32>
    %b = memref.load %s[%i] : memref<?xf32>
    %c = arith.divf %a, %b : f32
    memref.store %c, %y[%i, %j] : memref<?x?xf32>
  }
  return
}

// -----

// Short rows take some lanes each, and need no shared memory; two accumulations of one loop; a dimension that is split into
// the rows' blocks. Each thread waits for two loads of four elements together, since all have as many.
// CHECK-LABEL: func @blocks
// CHECK: arith.ceildivui %{{.+}}, %c32
// CHECK: gpu.launch
// CHECK-NOT: workgroup
// CHECK: %{{.+}}:16 = scf.for
// CHECK-COUNT-6: gpu.shuffle
// CHECK-NOT: gpu.shuffle
// CHECK: arith.mulf %{{.+}}, %[[SCALE:.+]] : f32
// CHECK-COUNT-7: arith.mulf %{{.+}}, %[[SCALE]] : f32
// CHECK-NOT: scf.parallel
func.func @blocks(%x: memref<?x32x128xf32>, %low: memref<?x32xf32>, %high: memref<?x32xf32>, %z: memref<?x4096xf32>,
                  %y: memref<?x4096xf32>, %m: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c32 = arith.constant 32 : index
  %c128 = arith.constant 128 : index
  %c4096 = arith.constant 4096 : index
  scf.parallel (%i, %b) = (%c0, %c0) to (%m, %c32) step (%c1, %c1) {
    scf.for %j = %c0 to %c128 step %c1 {
      %a = memref.load %x[%i, %b, %j] : memref<?x32x128xf32>
      %l = memref.load %low[%i, %b] : memref<?x32xf32>
      %h = memref.load %high[%i, %b] : memref<?x32xf32>
      %l2 = arith.minimumf %l, %a : f32
      %above = arith.cmpf ogt, %a, %h : f32
      %h2 = arith.select %above, %a, %h : f32
      memref.store %l2, %low[%i, %b] : memref<?x32xf32>
      memref.store %h2, %high[%i, %b] : memref<?x32xf32>
    }
  }
  scf.parallel (%i, %j) = (%c0, %c0) to (%m, %c4096) step (%c1, %c1) {
    %b = arith.divui %j, %c128 : index
    %a = memref.load %z[%i, %j] : memref<?x4096xf32>
    %h = memref.load %high[%i, %b] : memref<?x32xf32>
    %c = arith.mulf %a, %h : f32
    memref.store %c, %y[%i, %j] : memref<?x4096xf32>
  }
  return
}

// -----

// Left alone: a reduction of columns, one that is no single associative op, and a loop that reads another row's result.
// CHECK-LABEL: func @others
// CHECK: scf.parallel
// CHECK-NOT: gpu.launch
// CHECK: scf.parallel
// CHECK-NOT: gpu.launch
// CHECK: gpu.launch
// CHECK: scf.parallel
// CHECK-NOT: gpu.launch
func.func @others(%x: memref<?x?xf32>, %s: memref<?xf32>, %t: memref<?xf32>, %y: memref<?xf32>, %m: index, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%j) = (%c0) to (%n) step (%c1) {
    scf.for %i = %c0 to %m step %c1 {
      %a = memref.load %x[%i, %j] : memref<?x?xf32>
      %b = memref.load %s[%j] : memref<?xf32>
      %c = arith.addf %b, %a : f32
      memref.store %c, %s[%j] : memref<?xf32>
    }
  }
  scf.parallel (%i) = (%c0) to (%m) step (%c1) {
    scf.for %j = %c0 to %n step %c1 {
      %a = memref.load %x[%i, %j] : memref<?x?xf32>
      %b = memref.load %s[%i] : memref<?xf32>
      %c = arith.subf %a, %b : f32
      memref.store %c, %s[%i] : memref<?xf32>
    }
  }
  scf.parallel (%i) = (%c0) to (%m) step (%c1) {
    scf.for %j = %c0 to %n step %c1 {
      %a = memref.load %x[%i, %j] : memref<?x?xf32>
      %b = memref.load %t[%i] : memref<?xf32>
      %c = arith.addf %b, %a : f32
      memref.store %c, %t[%i] : memref<?xf32>
    }
  }
  scf.parallel (%i) = (%c0) to (%m) step (%c1) {
    %last = arith.subi %m, %i : index
    %first = arith.subi %last, %c1 : index
    %a = memref.load %t[%first] : memref<?xf32>
    memref.store %a, %y[%i] : memref<?xf32>
  }
  return
}

// -----

// A sum that goes on from a value which threads do not know is the first thread's alone, and so is what overwrites it: who
// came later would load the new one. Those that use it wait, also where the use is inside of a branch.
// CHECK-LABEL: func @unknown
// CHECK: gpu.shuffle
// CHECK: scf.if
// CHECK: %[[BEFORE:.+]] = memref.load %[[S:assume_align[_0-9]*]][%[[ROW:.+]]]
// CHECK: memref.store %{{.+}}, %[[S]][%[[ROW]]]
// CHECK: scf.if
// CHECK-NEXT: memref.load %[[S]][%[[ROW]]]
// CHECK: arith.mulf
// CHECK: memref.store %{{.+}}, %[[S]][%[[ROW]]]
// CHECK-NEXT: }
// CHECK: gpu.barrier
// CHECK: scf.for
// CHECK: scf.if
// CHECK: memref.load %[[S]][%[[ROW]]]
func.func @unknown(%x: memref<?x64xf32>, %s: memref<?xf32>, %y: memref<?x64xf32>, %m: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : f32
  scf.parallel (%i) = (%c0) to (%m) step (%c1) {
    scf.for %j = %c0 to %c64 step %c1 {
      %a = memref.load %x[%i, %j] : memref<?x64xf32>
      %b = memref.load %s[%i] : memref<?xf32>
      %c = arith.addf %b, %a : f32
      memref.store %c, %s[%i] : memref<?xf32>
    }
  }
  scf.parallel (%i) = (%c0) to (%m) step (%c1) {
    %a = memref.load %s[%i] : memref<?xf32>
    %b = arith.mulf %a, %a : f32
    memref.store %b, %s[%i] : memref<?xf32>
  }
  scf.parallel (%i, %j) = (%c0, %c0) to (%m, %c64) step (%c1, %c1) {
    %a = memref.load %x[%i, %j] : memref<?x64xf32>
    %above = arith.cmpf ogt, %a, %zero : f32
    %b = scf.if %above -> (f32) {
      %c = memref.load %s[%i] : memref<?xf32>
      scf.yield %c : f32
    } else {
      scf.yield %zero : f32
    }
    memref.store %b, %y[%i, %j] : memref<?x64xf32>
  }
  return
}

// -----

// Nothing is said before them of views that a row's loop makes itself.
// CHECK-LABEL: func @viewed
// CHECK: gpu.launch
// CHECK: memref.collapse_shape %arg0
// CHECK: return
func.func @viewed(%x: memref<3x1x512xf32>, %y: memref<3xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %c512 = arith.constant 512 : index
  scf.parallel (%i) = (%c0) to (%c3) step (%c1) {
    scf.for %j = %c0 to %c512 step %c1 {
      %v = memref.collapse_shape %x [[0], [1, 2]] : memref<3x1x512xf32> into memref<3x512xf32>
      %a = memref.load %v[%i, %j] : memref<3x512xf32>
      %sum = memref.load %y[%i] : memref<3xf32>
      %more = arith.addf %a, %sum : f32
      memref.store %more, %y[%i] : memref<3xf32>
    }
  }
  return
}

// -----

// A copy between a row's loops is one of them, and of one element all threads know it. The greatest of magnitudes is one
// instruction for a thread's own share, other selections stay: they tell zeros by their signs. A term may be computed before.
// CHECK-LABEL: func @copied
// CHECK: gpu.launch
// CHECK-NOT: memref.load %{{.+}}[%{{.+}}, %{{.+}}] : memref<?x1xf32>
// CHECK: scf.for
// CHECK: arith.cmpf olt
// CHECK: arith.cmpf ogt, %arg5
// CHECK: arith.maxnumf
// CHECK-NOT: memref.copy
// CHECK-NOT: gpu.launch
// CPU-LABEL: func @copied
// CPU: memref.copy
func.func @copied(%x: memref<?x?xf32>, %low: memref<?x1xf32>, %high: memref<?x1xf32>, %m: index, %n: index, %limit: f32,
                  %over: memref<?x1xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  scf.parallel (%i) = (%c0) to (%m) step (%c1) {
    memref.store %zero, %low[%i, %c0] : memref<?x1xf32>
  }
  memref.copy %low, %high : memref<?x1xf32> to memref<?x1xf32>
  memref.copy %low, %over : memref<?x1xf32> to memref<?x1xf32>
  scf.parallel (%i) = (%c0) to (%m) step (%c1) {
    scf.for %j = %c0 to %n step %c1 {
      %a = memref.load %x[%i, %j] : memref<?x?xf32>
      %l = memref.load %low[%i, %c0] : memref<?x1xf32>
      %h = memref.load %high[%i, %c0] : memref<?x1xf32>
      %o = memref.load %over[%i, %c0] : memref<?x1xf32>
      %under = arith.cmpf olt, %a, %l : f32
      %least = arith.select %under, %a, %l : f32
      %magnitude = math.absf %a : f32
      %above = arith.cmpf ogt, %magnitude, %h : f32
      %most = arith.select %above, %magnitude, %h : f32
      %beyond = arith.cmpf ogt, %limit, %o : f32
      %farthest = arith.select %beyond, %limit, %o : f32
      memref.store %least, %low[%i, %c0] : memref<?x1xf32>
      memref.store %most, %high[%i, %c0] : memref<?x1xf32>
      memref.store %farthest, %over[%i, %c0] : memref<?x1xf32>
    }
  }
  return
}
