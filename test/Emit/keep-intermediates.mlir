// RUN: qlow-opt %s --split-input-file --verify-diagnostics --qlow-keep-intermediates | FileCheck %s
// RUN: qlow-opt %s --split-input-file --qlow-pipeline="keep-intermediates=true stop-after=qlow-keep-intermediates" 2>/dev/null | FileCheck %s
// RUN: qlow-opt %s --split-input-file --qlow-pipeline="stop-after=qlow-keep-intermediates" | FileCheck %s --check-prefix=PLAIN

// Every op that computes codes or computes from them gives a result more, numbered in their order; compose names codes.
// PLAIN-LABEL: func.func @chain(
// PLAIN-SAME:    -> tensor<?x3xf32>
// CHECK-LABEL: func.func @chain(
// CHECK-SAME:    -> (tensor<?x3xf32>, tensor<?x4x![[Q:q[0-9]*]]> {qlow.name = "op0_quantize", qlow.op = "qlow.quantize at {{.*}}keep-intermediates.mlir:{{[0-9]+}}"},
// CHECK-SAME:    tensor<?x3xf32> {qlow.name = "op1_matmul", qlow.op = "qlow.matmul at {{.*}}"}) {
// CHECK:         %[[Q0:.*]] = qlow.quantize
// CHECK:         %[[Y:.*]] = qlow.matmul
// CHECK:         return %[[Y]], %[[Q0]], %[[Y]]
!q = !qlow.q<i8 : f32>
func.func @chain(%x: tensor<?x4xf32>, %s: tensor<f32>, %w8: tensor<4x3xi8>) -> tensor<?x3xf32> {
  %q = qlow.quantize %x, %s : (tensor<?x4xf32>, tensor<f32>) -> tensor<?x4x!q>
  %w = qlow.compose %w8, %s : (tensor<4x3xi8>, tensor<f32>) -> tensor<4x3x!q>
  %y = qlow.matmul %q, %w : tensor<?x4x!q>, tensor<4x3x!q> -> tensor<?x3xf32>
  return %y : tensor<?x3xf32>
}

// -----

// A private function is not an entry: the pipeline has inlined it by now.
// CHECK-LABEL: func.func @caller(
// CHECK-SAME:    -> tensor<4xf32>
!q = !qlow.q<i8 : f32>
func.func @caller(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}

// -----

// What has no one value in a call, or a size that no argument has, is left out.
// CHECK-LABEL: func.func @left_out(
// CHECK-SAME:    -> tensor<4xf32> {
!q = !qlow.q<i8 : f32>
func.func @left_out(%x: tensor<4x!q>, %y: tensor<4xf32>, %c: i1, %n: index, %s: tensor<f32>) -> tensor<4xf32> {
  %r = scf.if %c -> (tensor<4xf32>) {
    // expected-remark@+1 {{the result of 'qlow.dequantize' is not kept: it lies in a branch or a loop and has no one value in a call}}
    %d = qlow.dequantize %x : tensor<4x!q> -> tensor<4xf32>
    scf.yield %d : tensor<4xf32>
  } else {
    scf.yield %y : tensor<4xf32>
  }
  %e = tensor.extract_slice %y[0] [%n] [1] : tensor<4xf32> to tensor<?xf32>
  // expected-remark@+1 {{the result of 'qlow.quantize' is not kept: no argument is known to have its size}}
  %q = qlow.quantize %e, %s : (tensor<?xf32>, tensor<f32>) -> tensor<?x!q>
  return %r : tensor<4xf32>
}
