// RUN: qlow-opt -split-input-file -qlow-import-arith %s | FileCheck %s
// RUN: qlow-opt -split-input-file -qlow-import -verify-each %s | FileCheck %s --check-prefix=FOLDED

// The ops upstream folds to a constant of the result's type keep their sizes: the constant is one element's.
// CHECK-LABEL: @xor
// CHECK: linalg.generic {{.*}} ins(%[[X:.*]], %[[X]] : tensor<?x4xi32>, tensor<?x4xi32>)
// CHECK: arith.xori {{.*}} : i32
// FOLDED-LABEL: @xor
// FOLDED-NOT: arith.constant {{.*}} : tensor<?
// FOLDED: return
func.func @xor(%x: tensor<?x4xi32>) -> tensor<?x4xi32> {
  %y = arith.xori %x, %x : tensor<?x4xi32>
  return %y : tensor<?x4xi32>
}

// -----

// A comparison has elements of another type than its operands.
// CHECK-LABEL: @compare
// CHECK: linalg.generic
// CHECK: arith.cmpi sle, {{.*}} : i32
// CHECK: tensor<?x4xi1>
// FOLDED-LABEL: @compare
// FOLDED-NOT: arith.constant {{.*}} : tensor<?
// FOLDED: return
func.func @compare(%x: tensor<?x4xi32>) -> tensor<?x4xi1> {
  %y = arith.cmpi sle, %x, %x : tensor<?x4xi32>
  return %y : tensor<?x4xi1>
}

// -----

// A static shape folds as it should; two values do not fold.
// CHECK-LABEL: @others
// CHECK-NOT: linalg
// CHECK: arith.xori {{.*}} : tensor<2x4xi32>
// CHECK: arith.xori {{.*}} : tensor<?x4xi32>
func.func @others(%x: tensor<2x4xi32>, %y: tensor<?x4xi32>, %z: tensor<?x4xi32>) -> (tensor<2x4xi32>, tensor<?x4xi32>) {
  %0 = arith.xori %x, %x : tensor<2x4xi32>
  %1 = arith.xori %y, %z : tensor<?x4xi32>
  return %0, %1 : tensor<2x4xi32>, tensor<?x4xi32>
}
