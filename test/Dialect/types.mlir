// RUN: qlow-opt %s | qlow-opt | FileCheck %s

// One scale for the tensor: no block. The type prints as an alias.
// CHECK: !q = !qlow.q<i8 : f32>
// CHECK: func.func private @per_tensor(tensor<4x8x!q>)
func.func private @per_tensor(tensor<4x8x!qlow.q<i8 : f32>>)
