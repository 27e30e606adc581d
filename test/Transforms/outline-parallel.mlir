// RUN: qlow-opt %s -split-input-file -allow-unregistered-dialect -qlow-outline-parallel -verify-diagnostics | FileCheck %s

// The body becomes a task of the C signature; memrefs and scalars travel in the struct, constants are made again.
// CHECK-LABEL: func.func @f(
// CHECK-SAME:    %[[X:.*]]: memref<?xf32>, %[[S:.*]]: f32, %[[N:.*]]: index, %[[PARALLEL:.*]]: !llvm.ptr {qlow.parallel})
// CHECK:         %[[CONTEXT:.*]] = llvm.alloca %{{.*}} x !llvm.struct<(f32, struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>)>
// CHECK:         llvm.store %[[S]]
// CHECK:         %[[DESCRIPTOR:.*]] = builtin.unrealized_conversion_cast %[[X]]
// CHECK:         llvm.store %[[DESCRIPTOR]]
// CHECK:         %[[ALONE:.*]] = llvm.icmp "eq" %[[PARALLEL]], %{{.*}} : !llvm.ptr
// CHECK:         %[[FEW:.*]] = arith.cmpi sle, %[[N]], %{{.*}} : index
// CHECK:         %[[HERE:.*]] = arith.ori %[[ALONE]], %[[FEW]]
// CHECK:         scf.if %[[HERE]] {
// CHECK:           scf.for %[[I:.*]] =
// CHECK:             %[[I64:.*]] = arith.index_cast %[[I]]
// CHECK:             func.call @f.task0(%[[CONTEXT]], %[[I64]])
// CHECK:         } else {
// CHECK:           %[[CALLBACK_AT:.*]] = llvm.getelementptr %[[PARALLEL]][0, 0] : (!llvm.ptr) -> !llvm.ptr, !llvm.struct<(ptr, ptr, i32)>
// CHECK:           %[[CALLBACK:.*]] = llvm.load %[[CALLBACK_AT]]
// CHECK:           %[[SELF_AT:.*]] = llvm.getelementptr %[[PARALLEL]][0, 1]
// CHECK:           %[[SELF:.*]] = llvm.load %[[SELF_AT]]
// CHECK:           %[[TASK:.*]] = {{.*}}constant @f.task0 : (!llvm.ptr, i64) -> ()
// CHECK:           %[[TASK_POINTER:.*]] = builtin.unrealized_conversion_cast %[[TASK]]
// CHECK:           llvm.call %[[CALLBACK]](%[[SELF]], %[[TASK_POINTER]], %[[CONTEXT]], %{{.*}}) : !llvm.ptr, (!llvm.ptr, !llvm.ptr, !llvm.ptr, i64) -> ()
// CHECK-LABEL: func.func private @f.task0(
// CHECK-SAME:    %[[POINTER:.*]]: !llvm.ptr, %[[INDEX:.*]]: i64) attributes {llvm.linkage = #llvm.linkage<internal>}
// CHECK:         %[[C2:.*]] = arith.constant 2.0
// CHECK:         llvm.getelementptr %[[POINTER]][0, 0]
// CHECK:         %[[ST:.*]] = llvm.load %{{.*}} -> f32
// CHECK:         llvm.getelementptr %[[POINTER]][0, 1]
// CHECK:         %[[XT:.*]] = builtin.unrealized_conversion_cast %{{.*}} to memref<?xf32>
// CHECK:         %[[IT:.*]] = arith.index_cast %[[INDEX]] : i64 to index
// CHECK:         arith.mulf %[[ST]], %[[C2]]
// CHECK:         memref.store %{{.*}}, %[[XT]][%[[IT]]]
func.func @f(%x: memref<?xf32>, %s: f32, %n: index, %parallel: !llvm.ptr {qlow.parallel}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %two = arith.constant 2.0 : f32
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %d = arith.mulf %s, %two : f32
    memref.store %d, %x[%i] : memref<?xf32>
  }
  return
}

// -----

// Two loops are two tasks, and the structs are made on entry: a loop around a parallel one does not grow the stack.
// CHECK-LABEL: func.func @two(
// CHECK-NEXT:    %{{.*}} = llvm.mlir.constant
// CHECK-NEXT:    llvm.alloca
// CHECK-NEXT:    %{{.*}} = llvm.mlir.constant
// CHECK-NEXT:    llvm.alloca
// CHECK:         scf.for
// CHECK:           func.call @two.task0
// CHECK:           func.call @two.task1
func.func @two(%x: memref<8xf32>, %n: index, %parallel: !llvm.ptr {qlow.parallel}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.for %k = %c0 to %n step %c1 {
    scf.parallel (%i) = (%c0) to (%n) step (%c1) {
      "test.use"(%x, %i) : (memref<8xf32>, index) -> ()
    }
    scf.parallel (%i) = (%c0) to (%n) step (%c1) {
      "test.use"(%k, %i) : (index, index) -> ()
    }
  }
  return
}

// -----

// Inside a task, and without the caller's threads, a task loop is an ordinary one.
// CHECK-LABEL: func.func @sequential(
// CHECK-NOT:     scf.parallel
// CHECK:         scf.for %[[I:.*]] =
// CHECK-NEXT:      scf.for %[[J:.*]] =
// CHECK-NEXT:        "test.use"(%[[I]], %[[J]])
func.func @sequential(%n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    scf.parallel (%j) = (%c0) to (%n) step (%c1) {
      "test.use"(%i, %j) : (index, index) -> ()
    }
  }
  return
}

// CHECK-LABEL: func.func private @nested.task0(
// CHECK-NOT:     scf.parallel
// CHECK:         scf.for
func.func @nested(%n: index, %parallel: !llvm.ptr {qlow.parallel}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    scf.parallel (%j) = (%c0) to (%n) step (%c1) {
      "test.use"(%i, %j) : (index, index) -> ()
    }
  }
  return
}

// -----

// Loops of other shapes are left for the lowering of scf.
// CHECK-LABEL: func.func @other_shapes(
// CHECK:         scf.parallel
// CHECK:         scf.parallel
// CHECK-NOT:     task
func.func @other_shapes(%n: index, %parallel: !llvm.ptr {qlow.parallel}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  scf.parallel (%i, %j) = (%c0, %c0) to (%n, %n) step (%c1, %c1) {
    "test.use"(%i, %j) : (index, index) -> ()
  }
  scf.parallel (%i) = (%c1) to (%n) step (%c1) {
    "test.use"(%i) : (index) -> ()
  }
  return
}

// -----

func.func @tensor_inside(%x: tensor<4xf32>, %n: index, %parallel: !llvm.ptr {qlow.parallel}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error@+1 {{'scf.parallel' op reads a value of type 'tensor<4xf32>' from outside, which has no form in memory; expected scalars and memrefs}}
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    "test.use"(%x) : (tensor<4xf32>) -> ()
  }
  return
}
