// RUN: qlow-opt %s -split-input-file -allow-unregistered-dialect -qlow-plan-workspace -verify-diagnostics | FileCheck %s
// RUN: qlow-opt %s -split-input-file -allow-unregistered-dialect -qlow-plan-workspace=target=znver4 -verify-diagnostics \
// RUN:   | FileCheck %s --check-prefix=ZNVER4

// The returned buffer becomes the caller's: nothing is copied, and its size needs no workspace.
// CHECK-LABEL: func.func @in_place(
// CHECK-SAME:    %[[X:.*]]: memref<4x8xf32>, %[[Y:.*]]: memref<4x8xf32> {bufferize.result},
// CHECK-SAME:    memref<?xi8> {qlow.workspace}, %{{.*}}: index {qlow.width}, %{{.*}}: !llvm.ptr {qlow.parallel}) {
// CHECK:         linalg.copy ins(%[[X]] : {{.*}}) outs(%[[Y]]
// CHECK-NEXT:    return
// CHECK-LABEL: func.func private @in_place.workspace(%{{.*}}: index) -> index
// CHECK:         %[[BYTES:.*]] = arith.constant 0 : index
// CHECK:         return %[[BYTES]]
func.func @in_place(%x: memref<4x8xf32>) -> memref<4x8xf32> {
  %y = memref.alloc() : memref<4x8xf32>
  linalg.copy ins(%x : memref<4x8xf32>) outs(%y : memref<4x8xf32>)
  return %y : memref<4x8xf32>
}

// -----

// An input that is returned, and one buffer that is returned twice, are copied at the end.
// CHECK-LABEL: func.func @copied(
// CHECK-SAME:    %[[X:.*]]: memref<8xf32>, %[[Y0:.*]]: memref<8xf32> {bufferize.result}, %[[Y1:.*]]: memref<8xf32> {bufferize.result}, %[[Y2:.*]]: memref<8xf32> {bufferize.result}
// CHECK:         linalg.fill ins(%{{.*}}) outs(%[[Y1]]
// CHECK-DAG:     memref.copy %[[X]], %[[Y0]]
// CHECK-DAG:     memref.copy %[[Y1]], %[[Y2]]
// CHECK:         return
func.func @copied(%x: memref<8xf32>) -> (memref<8xf32>, memref<8xf32>, memref<8xf32>) {
  %c = arith.constant 1.0 : f32
  %y = memref.alloc() : memref<8xf32>
  linalg.fill ins(%c : f32) outs(%y : memref<8xf32>)
  return %x, %y, %y : memref<8xf32>, memref<8xf32>, memref<8xf32>
}

// -----

// An updated state is the same memory as its input, so it is written when the input has been read.
// CHECK-LABEL: func.func @updates(
// CHECK-SAME:    %[[X:.*]]: memref<8xf32> {qlow.name = "kv"}, %[[Y:.*]]: memref<8xf32> {bufferize.result}
// CHECK:         %[[NEW:[a-z0-9_]+]] = memref.view
// CHECK:         linalg.copy ins(%[[X]] : {{.*}}) outs(%[[NEW]]
// CHECK:         memref.copy %[[NEW]], %[[Y]]
func.func @updates(%x: memref<8xf32> {qlow.name = "kv"}) -> (memref<8xf32> {qlow.updates = "kv"}) {
  %y = memref.alloc() : memref<8xf32>
  linalg.copy ins(%x : memref<8xf32>) outs(%y : memref<8xf32>)
  return %y : memref<8xf32>
}

// -----

// Of three buffers of 128, 100 and 128 bytes in a chain the third lies where the first lay.
// CHECK-LABEL: func.func @chain(
// CHECK-SAME:    %[[WORKSPACE:[a-z0-9]*]]: memref<?xi8> {qlow.workspace}
// CHECK:         %[[A:.*]] = memref.view %[[WORKSPACE]][%[[OFFSET_A:.*]]][] : memref<?xi8> to memref<32xf32>
// CHECK:         %[[B:.*]] = memref.view %[[WORKSPACE]][%[[OFFSET_B:.*]]][] : memref<?xi8> to memref<100xi8>
// CHECK:         %[[C:.*]] = memref.view %[[WORKSPACE]][%[[OFFSET_A]]][] : memref<?xi8> to memref<16xi64>
// CHECK:         "test.step"(%{{.*}}, %[[A]])
// CHECK:         "test.step"(%[[A]], %[[B]])
// CHECK:         "test.step"(%[[B]], %[[C]])
// CHECK-NOT:     dealloc
// CHECK-LABEL: func.func private @chain.workspace
// CHECK:         constant 256 : index
func.func @chain(%x: memref<32xf32>) {
  %a = memref.alloc() : memref<32xf32>
  "test.step"(%x, %a) : (memref<32xf32>, memref<32xf32>) -> ()
  %b = memref.alloc() : memref<100xi8>
  "test.step"(%a, %b) : (memref<32xf32>, memref<100xi8>) -> ()
  memref.dealloc %a : memref<32xf32>
  %c = memref.alloca() : memref<16xi64>
  "test.step"(%b, %c) : (memref<100xi8>, memref<16xi64>) -> ()
  return
}

// -----

// Dynamic buffers lie behind the static ones, rounded up to 64; the third shares the slot of the first, which has its
// size. The sizes are functions of the input's dimension, also through buffers and views of buffers.
// CHECK-LABEL: func.func @dynamic(
// CHECK-SAME:    %[[X:.*]]: memref<?x8xf32>, %[[WORKSPACE:[a-z0-9]*]]: memref<?xi8> {qlow.workspace}
// CHECK:         %[[M:.*]] = memref.dim %[[X]], %{{.*}}
// CHECK:         %[[A:.*]] = memref.view %[[WORKSPACE]][%[[OFFSET_A:.*]]][%[[M]]] : memref<?xi8> to memref<?x3xf32>
// CHECK:         %[[B:.*]] = memref.view %[[WORKSPACE]][%[[OFFSET_B:.*]]][%[[M]]] : memref<?xi8> to memref<?x16xf32>
// CHECK:         %[[C:.*]] = memref.view %[[WORKSPACE]][%[[OFFSET_A]]][%[[M]]] : memref<?xi8> to memref<?x3xf32>
// CHECK-LABEL: func.func private @dynamic.workspace(
// CHECK-SAME:    %[[M:.*]]: index, %{{.*}}: index) -> index
// CHECK:         arith.mului_extended
// CHECK:         arith.andi %{{.*}}, %{{.*}} : index
// CHECK:         return
func.func @dynamic(%x: memref<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %s = memref.alloc() : memref<4xf32>
  "test.step"(%x, %s) : (memref<?x8xf32>, memref<4xf32>) -> ()
  %m = memref.dim %x, %c0 : memref<?x8xf32>
  %a = memref.alloc(%m) : memref<?x3xf32>
  "test.step"(%s, %a) : (memref<4xf32>, memref<?x3xf32>) -> ()
  %ma = memref.dim %a, %c0 : memref<?x3xf32>
  %b = memref.alloc(%ma) : memref<?x16xf32>
  "test.step"(%a, %b) : (memref<?x3xf32>, memref<?x16xf32>) -> ()
  %half = memref.subview %b[0, 0] [%ma, 8] [1, 1] : memref<?x16xf32> to memref<?x8xf32, strided<[16, 1]>>
  %mb = memref.dim %half, %c0 : memref<?x8xf32, strided<[16, 1]>>
  %c = memref.alloc(%mb) : memref<?x3xf32>
  "test.step"(%half, %c) : (memref<?x8xf32, strided<[16, 1]>>, memref<?x3xf32>) -> ()
  return
}

// -----

// A size that goes through the dimension of a result is still a function of the inputs.
// CHECK-LABEL: func.func @through_result(
// CHECK-SAME:    %[[X:.*]]: memref<?xf32>, %[[Y:.*]]: memref<?xf32> {bufferize.result}
// CHECK:         %[[N:.*]] = memref.dim %[[X]]
// CHECK:         memref.view %{{.*}}[%{{.*}}][%[[N]]] : memref<?xi8> to memref<?xf32>
func.func @through_result(%x: memref<?xf32>) -> memref<?xf32> {
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?xf32>
  %y = memref.alloc(%n) : memref<?xf32>
  "test.step"(%x, %y) : (memref<?xf32>, memref<?xf32>) -> ()
  %ny = memref.dim %y, %c0 : memref<?xf32>
  %t = memref.alloc(%ny) : memref<?xf32>
  "test.step"(%x, %t) : (memref<?xf32>, memref<?xf32>) -> ()
  "test.step"(%t, %y) : (memref<?xf32>, memref<?xf32>) -> ()
  return %y : memref<?xf32>
}

// -----

// A buffer of a branch leaves its scf.if as a result: it lives as long as that is used, beside the one made meanwhile.
// CHECK-LABEL: func.func @branches(
// CHECK-DAG:     %[[C64:.*]] = arith.constant 64 : index
// CHECK-DAG:     %[[C0:.*]] = arith.constant 0 : index
// CHECK:         memref.view %{{.*}}[%[[C0]]][] : memref<?xi8> to memref<16xf32>
// CHECK:         %[[B:.*]] = memref.view %{{.*}}[%[[C64]]][] : memref<?xi8> to memref<16xf32>
// CHECK:         %[[R:.*]] = scf.if
// CHECK:         "test.step"(%[[R]], %[[B]])
func.func @branches(%x: memref<16xf32>, %c: i1) {
  %r = scf.if %c -> memref<16xf32> {
    %a = memref.alloc() : memref<16xf32>
    "test.step"(%x, %a) : (memref<16xf32>, memref<16xf32>) -> ()
    scf.yield %a : memref<16xf32>
  } else {
    scf.yield %x : memref<16xf32>
  }
  %b = memref.alloc() : memref<16xf32>
  "test.step"(%r, %b) : (memref<16xf32>, memref<16xf32>) -> ()
  return
}

// -----

// A loop that yields a fresh buffer gets one that outlives it, and copies into it.
// CHECK-LABEL: func.func @carried(
// CHECK-SAME:    %[[X:.*]]: memref<16xf32>, %{{.*}}: index, %[[Y:.*]]: memref<16xf32> {bufferize.result}
// CHECK:         memref.copy %[[X]], %[[P:[a-z0-9_]+]] :
// CHECK:         scf.for
// CHECK:           "test.step"(%[[P]], %[[NEW:[a-z0-9_]+]])
// CHECK:           memref.copy %[[NEW]], %[[P]]
// CHECK:           scf.yield %[[P]]
// CHECK:         memref.copy %[[P]], %[[Y]]
func.func @carried(%x: memref<16xf32>, %n: index) -> memref<16xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x) -> memref<16xf32> {
    %new = memref.alloc() : memref<16xf32>
    "test.step"(%a, %new) : (memref<16xf32>, memref<16xf32>) -> ()
    scf.yield %new : memref<16xf32>
  }
  return %r : memref<16xf32>
}

// -----

// A dynamic buffer that each iteration replaces, by one of a branch's, is as large as it was: one buffer for all of them.
// CHECK-LABEL: func.func @carried_dynamic_size(
// CHECK:         %[[CARRIED:.*]] = memref.view %{{.*}} : memref<?xi8> to memref<?xf32>
// CHECK:         memref.copy %{{.*}}, %[[CARRIED]]
// CHECK:         scf.for
// CHECK:           %[[NEXT:.*]] = scf.if
// CHECK:           memref.copy %[[NEXT]], %[[CARRIED]]
// CHECK-LABEL: func.func private @carried_dynamic_size.workspace(
func.func @carried_dynamic_size(%x: memref<?xf32>, %n: index, %c: i1) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x) -> memref<?xf32> {
    %size = memref.dim %a, %c0 : memref<?xf32>
    %next = scf.if %c -> memref<?xf32> {
      %new = memref.alloc(%size) : memref<?xf32>
      "test.step"(%a, %new) : (memref<?xf32>, memref<?xf32>) -> ()
      scf.yield %new : memref<?xf32>
    } else {
      scf.yield %x : memref<?xf32>
    }
    scf.yield %next : memref<?xf32>
  }
  "test.step"(%r) : (memref<?xf32>) -> ()
  return
}

// -----

// A strided buffer, also one that a cast makes row-major, is copied by a loop: memref.copy would become a library call.
// CHECK-LABEL: func.func @strided(
// CHECK-NOT:     memref.copy
// CHECK:         linalg.generic
// CHECK-NOT:     memref.copy
// CHECK:         return
func.func @strided(%x: memref<?x4xf32>) -> memref<?x1xf32> {
  %c0 = arith.constant 0 : index
  %m = memref.dim %x, %c0 : memref<?x4xf32>
  %y = memref.alloc(%m) : memref<?x1xf32>
  "test.step"(%x, %y) : (memref<?x4xf32>, memref<?x1xf32>) -> ()
  %s = memref.subview %y[0, 0] [%m, 1] [1, 1] : memref<?x1xf32> to memref<?x1xf32, strided<[1, 1]>>
  %plain = memref.cast %s : memref<?x1xf32, strided<[1, 1]>> to memref<?x1xf32>
  return %plain : memref<?x1xf32>
}

// -----

// A loop that swaps its buffers saves both before it overwrites either.
// CHECK-LABEL: func.func @swapped(
// CHECK:         scf.for
// CHECK:           memref.copy %[[Q:[a-z0-9_]+]], %[[SAVED_Q:[a-z0-9_]+]] :
// CHECK:           memref.copy %[[P:[a-z0-9_]+]], %[[SAVED_P:[a-z0-9_]+]] :
// CHECK:           memref.copy %[[SAVED_Q]], %[[P]] :
// CHECK:           memref.copy %[[SAVED_P]], %[[Q]] :
func.func @swapped(%x: memref<16xf32>, %y: memref<16xf32>, %n: index) -> memref<16xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x, %b = %y) -> (memref<16xf32>, memref<16xf32>) {
    scf.yield %b, %a : memref<16xf32>, memref<16xf32>
  }
  return %r#0 : memref<16xf32>
}

// -----

// The way back into a while is cut the same way.
// CHECK-LABEL: func.func @carried_by_while(
// CHECK:         memref.copy %{{.*}}, %[[P:[a-z0-9_]+]] :
// CHECK:         scf.while (%{{.*}} = %[[P]])
// CHECK:           scf.condition(%{{.*}}) %[[P]]
// CHECK:           memref.copy %{{.*}}, %[[P]]
// CHECK:           scf.yield %[[P]]
func.func @carried_by_while(%x: memref<16xf32>) -> memref<16xf32> {
  %r = scf.while (%a = %x) : (memref<16xf32>) -> memref<16xf32> {
    %go = "test.condition"(%a) : (memref<16xf32>) -> i1
    scf.condition(%go) %a : memref<16xf32>
  } do {
  ^bb0(%a: memref<16xf32>):
    %new = memref.alloc() : memref<16xf32>
    "test.step"(%a, %new) : (memref<16xf32>, memref<16xf32>) -> ()
    scf.yield %new : memref<16xf32>
  }
  return %r : memref<16xf32>
}

// -----

// A scalar result stays one.
// CHECK-LABEL: func.func @scalar(
// CHECK-SAME:    -> f32
func.func @scalar(%x: memref<f32>) -> f32 {
  %v = memref.load %x[] : memref<f32>
  return %v : f32
}

// -----

#r = #qlow.recipe<generic_1x4x1_f32_f32_f32, tiles = [<thread, [4, 16, 8]>, <reg, [1, 4, 1]>], lhs = [<to = reg, by = broadcast32>], rhs = [<to = reg, by = load>], rescale = end>

// A kernel gets a slot of scratch for each task; its size may depend on the dimensions of a result, which are the
// input's.
// CHECK-LABEL: func.func @scratch(
// CHECK-SAME:    %{{.*}}: memref<?x8xf32>, %{{.*}}, %[[Y:.*]]: memref<?x16xf32> {bufferize.result}, %[[WORKSPACE:.*]]: memref<?xi8> {qlow.workspace}, %[[WIDTH:.*]]: index {qlow.width}
// CHECK:         %[[BYTES:.*]] = arith.muli %[[WIDTH]], %{{.*}} : index
// CHECK:         %[[SCRATCH:.*]] = memref.view %[[WORKSPACE]][%{{.*}}][%[[BYTES]]] : memref<?xi8> to memref<?xi8>
// CHECK:         qlow.matmul_kernel {{.*}} outs(%[[Y]] : memref<?x16xf32>) scratch(%[[SCRATCH]] : memref<?xi8>)
// CHECK-LABEL: func.func private @scratch.workspace(
func.func @scratch(%x: memref<?x8xf32>, %w: memref<8x16xf32>) -> memref<?x16xf32> {
  %c0 = arith.constant 0 : index
  %m = memref.dim %x, %c0 : memref<?x8xf32>
  %y = memref.alloc(%m) : memref<?x16xf32>
  qlow.matmul_kernel lhs(%x : memref<?x8xf32>) as tensor<?x8xf32> rhs(%w : memref<8x16xf32>) as tensor<8x16xf32>
    maps [] outs(%y : memref<?x16xf32>) epilogue {
    ^bb0(%acc: f32):
      qlow.yield %acc : f32
    } recipes #qlow.recipes<[#r]>
  return %y : memref<?x16xf32>
}

// -----

// A pack is told how many tasks it may start; it lies in the workspace, as large as its dimensions ask.
// CHECK-LABEL: func.func @pack(
// CHECK-SAME:    %[[X:.*]]: memref<?x8xi8>, %{{.*}}: memref<?xi8> {bufferize.result}, %[[WORKSPACE:.*]]: memref<?xi8> {qlow.workspace}, %[[WIDTH:.*]]: index {qlow.width}
// CHECK:         %[[P:.*]] = memref.view %[[WORKSPACE]][%{{.*}}][%{{.*}}] : memref<?xi8> to memref<?xi8>
// CHECK:         qlow.pack transposed(%[[X]] : memref<?x8xi8>) as {{.*}} outs(%[[P]] : memref<?xi8>) width %[[WIDTH]]
// CHECK-LABEL: func.func private @pack.workspace(
func.func @pack(%x: memref<?x8xi8>) -> memref<?xi8> {
  %c0 = arith.constant 0 : index
  %c768 = arith.constant 768 : index
  %c63 = arith.constant 63 : index
  %c64 = arith.constant 64 : index
  %n = memref.dim %x, %c0 : memref<?x8xi8>
  %up = arith.addi %n, %c63 : index
  %panels = arith.divui %up, %c64 : index
  %bytes = arith.muli %panels, %c768 : index
  %p = memref.alloc(%bytes) : memref<?xi8>
  qlow.pack transposed (%x : memref<?x8xi8>) as tensor<?x8x!qlow.q<i8 : f32>> outs(%p : memref<?xi8>)
    layout <element = i8, panel = 64, columns = 64, group = 4>
  %y = memref.alloc(%n) : memref<?xi8>
  "test.step"(%p, %y) : (memref<?xi8>, memref<?xi8>) -> ()
  return %y : memref<?xi8>
}

// -----

// What branches give has one size where the caller calls both sizes alike.
// CHECK-LABEL: func.func @branches_of_one_name(
// CHECK-SAME:    %[[X:[a-z0-9]+]]: memref<?xf32> {qlow.dims = ["m"]}
// CHECK:         %[[M:.*]] = memref.dim %[[X]]
// CHECK:         memref.view %{{.*}}[%{{.*}}][%[[M]]] : memref<?xi8> to memref<?xf32>
// CHECK-LABEL: func.func private @branches_of_one_name.workspace(
func.func @branches_of_one_name(%x: memref<?xf32> {qlow.dims = ["m"]}, %y: memref<?xf32> {qlow.dims = ["m"]}, %c: i1) {
  %c0 = arith.constant 0 : index
  %b = scf.if %c -> (memref<?xf32>) {
    scf.yield %x : memref<?xf32>
  } else {
    scf.yield %y : memref<?xf32>
  }
  %n = memref.dim %b, %c0 : memref<?xf32>
  %a = memref.alloc(%n) : memref<?xf32>
  "test.step"(%a, %b) : (memref<?xf32>, memref<?xf32>) -> ()
  return
}

// -----

func.func @loaded_size(%x: memref<index>) {
  %n = memref.load %x[] : memref<index>
  // expected-error@+1 {{'memref.alloc' op has a size that is not known on entry: expected a function of constants, dimensions of the inputs and the width}}
  %a = memref.alloc(%n) : memref<?xf32>
  "test.step"(%a) : (memref<?xf32>) -> ()
  return
}

// -----

func.func @in_parallel(%n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    // expected-error@+1 {{'memref.alloc' op is inside 'scf.parallel', where several could be alive at a time; expected buffers only in scf.for, scf.while, scf.if and scf.index_switch}}
    %a = memref.alloc() : memref<4xf32>
    "test.step"(%a) : (memref<4xf32>) -> ()
  }
  return
}

// -----

func.func @carried_growing(%x: memref<?xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error@+1 {{'scf.for' op carries a buffer of shape 'memref<?xf32>' whose sizes may change: expected each iteration to leave it as large as it was}}
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x) -> memref<?xf32> {
    %new = memref.alloc(%i) : memref<?xf32>
    scf.yield %new : memref<?xf32>
  }
  "test.step"(%r) : (memref<?xf32>) -> ()
  return
}

// -----

func.func private @inner(memref<4xf32>)
func.func @calls(%x: memref<4xf32>) {
  // expected-error@+1 {{'func.call' op expected no call of a function with buffers, found one of 'inner'; private functions are inlined before their buffers are planned}}
  call @inner(%x) : (memref<4xf32>) -> ()
  return
}

// -----

// expected-error@+1 {{'func.func' op expected a body of one block, found 2; run lift-cf-to-scf first}}
func.func @two_blocks() {
  cf.br ^bb1
^bb1:
  return
}

// -----

// Scratch is a slot for each task that may run at once; its size is the target's to say: here a panel of 64 x 32 codes
// and its 32 sums.
// ZNVER4-LABEL: func.func @slots(
// ZNVER4-SAME:    %[[WORKSPACE:[a-z0-9]+]]: memref<?xi8> {qlow.workspace}, %[[WIDTH:[a-z0-9]+]]: index {qlow.width}
// ZNVER4:         %[[SLOT:.*]] = arith.constant 2176 : index
// ZNVER4:         %[[BYTES:.*]] = arith.muli %[[WIDTH]], %[[SLOT]]
// ZNVER4:         %[[SCRATCH:.*]] = memref.view %[[WORKSPACE]][%{{.*}}][%[[BYTES]]]
// ZNVER4:         scratch(%[[SCRATCH]] : memref<?xi8>)
#vnni = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 32, 64]>, <reg, [2, 32, 4]>],
  lhs = [<to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
func.func @slots(%a: memref<6x64xi8>, %w: memref<64x32xi8>, %s: memref<f32>) -> memref<6x32xi32> {
  %out = memref.alloc() : memref<6x32xi32>
  qlow.matmul_kernel lhs(%a, %s : memref<6x64xi8>, memref<f32>) as tensor<6x64x!qlow.q<u8 : f32>>
    rhs(%w, %s : memref<64x32xi8>, memref<f32>) as tensor<64x32x!qlow.q<i8 : f32>> maps [] outs(%out : memref<6x32xi32>)
    epilogue {
    ^bb0(%acc: i32):
      qlow.yield %acc : i32
    } recipes <[#vnni]>
  return %out : memref<6x32xi32>
}

// -----

// Sizes of one name are one number, whichever argument has them; without names they are two.
// CHECK-LABEL: @carried_same_name
// CHECK: scf.for
func.func @carried_same_name(%x: memref<?xf32> {qlow.dims = ["m"]}, %y: memref<?xf32> {qlow.dims = ["m"]}, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x) -> memref<?xf32> {
    "test.step"(%a) : (memref<?xf32>) -> ()
    scf.yield %y : memref<?xf32>
  }
  "test.step"(%z) : (memref<?xf32>) -> ()
  return
}

// -----

func.func @carried_other_name(%x: memref<?xf32> {qlow.dims = ["m"]}, %y: memref<?xf32> {qlow.dims = ["k"]}, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error@+1 {{'scf.for' op carries a buffer of shape 'memref<?xf32>' whose sizes may change: expected each iteration to leave it as large as it was}}
  %z = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x) -> memref<?xf32> {
    "test.step"(%a) : (memref<?xf32>) -> ()
    scf.yield %y : memref<?xf32>
  }
  "test.step"(%z) : (memref<?xf32>) -> ()
  return
}
