// RUN: qlow-opt %s -qlow-record-abi -split-input-file -verify-diagnostics | FileCheck %s

// What ops need of sizes becomes rules among them: symbol i is the i-th size of the function.

// K of both sides is one number; the result's sizes are the arguments'.
// CHECK: #[[RULES:.*]] = affine_set<()[s0, s1, s2, s3] : (s1 - s2 == 0)>
// CHECK: func.func @matmul{{.*}}dims = {{\[}}["a_d0", 0, 2147483647], ["a_d1", {{.*}}], ["b_d0", {{.*}}], ["b_d1",
// CHECK-SAME: shape = ["a_d0", "b_d1"]{{.*}}rules = #[[RULES]]
func.func @matmul(%a: tensor<?x?xf32> {qlow.name = "a"}, %b: tensor<?x?xf32> {qlow.name = "b"}) -> tensor<?x?xf32> {
  %0 = qlow.matmul %a, %b : tensor<?x?xf32>, tensor<?x?xf32> -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

// -----
// Sizes that the caller calls by one name need no rule.
// CHECK-NOT: affine_set
// CHECK: func.func @named
func.func @named(%a: tensor<?x?xf32> {qlow.dims = ["m", "k"]}, %b: tensor<?x?xf32> {qlow.dims = ["k", "n"]}) -> tensor<?x?xf32> {
  %0 = qlow.matmul %a, %b : tensor<?x?xf32>, tensor<?x?xf32> -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

// -----
// A size that the other side knows, batch sizes, transposed sides and a bias.
// CHECK: affine_set<()[s0, s1, s2, s3, s4, s5] : (s4 - 8 == 0, s0 - s2 == 0, s3 - s5 == 0)>
// CHECK: func.func @batch
func.func @batch(%a: tensor<?x8x?xf32>, %b: tensor<?x?x?xf32>, %c: tensor<?xf32>) -> tensor<?x?x?xf32> {
  %0 = qlow.matmul transpose_lhs transpose_rhs %a, %b bias(%c : tensor<?xf32>)
    : tensor<?x8x?xf32>, tensor<?x?x?xf32> -> tensor<?x?x?xf32>
  return %0 : tensor<?x?x?xf32>
}

// -----
// What an epilogue reads has the sizes that its map says.
// CHECK: affine_set<()[s0, s1, s2, s3] : (s0 - s1 == 0, s2 - 1 >= 0, s3 - 4 == 0)>
// CHECK: func.func @extras
func.func @extras(%a: tensor<?x8xf32>, %b: tensor<8x4xf32>, %r: tensor<?xf32>, %s: tensor<?x?xf32>) -> tensor<?x4xf32> {
  %0 = qlow.matmul %a, %b extras(%r, %s : tensor<?xf32>, tensor<?x?xf32>) maps [affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (0, n)>]
    epilogue {
    ^bb0(%acc: f32, %x: f32, %y: f32):
      %1 = arith.addf %acc, %x : f32
      %2 = arith.addf %1, %y : f32
      qlow.yield %2 : f32
    } : tensor<?x8xf32>, tensor<8x4xf32> -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}

// -----
// A cast says a size; so does a result's type.
// CHECK: affine_set<()[s0, s1] : (s0 - s1 == 0, s0 - 64 == 0)>
// CHECK: func.func @cast
func.func @cast(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
  %0 = arith.addf %a, %b : tensor<?xf32>
  %1 = tensor.cast %0 : tensor<?xf32> to tensor<64xf32>
  %2 = tensor.cast %1 : tensor<64xf32> to tensor<?xf32>
  return %2 : tensor<?xf32>
}

// -----
// Scales count blocks, whatever they are a part of.
// CHECK: affine_set<()[s0, s1, s2] : (-s1 + s0 ceildiv 4 == 0, s0 - s2 == 0)>
// CHECK: func.func @parts
func.func @parts(%codes: tensor<?x32xi8>, %scale: tensor<?x1xf32>, %x: tensor<?x32xf32>) -> tensor<?x32xf32> {
  %q = qlow.compose %codes, %scale : (tensor<?x32xi8>, tensor<?x1xf32>) -> tensor<?x32x!qlow.q<i8 : f32, block = [4, *]>>
  %y = qlow.dequantize %q : tensor<?x32x!qlow.q<i8 : f32, block = [4, *]>> -> tensor<?x32xf32>
  %z = arith.addf %y, %x : tensor<?x32xf32>
  return %z : tensor<?x32xf32>
}

// -----
// Structured ops: each operand has the sizes of the loops...
// CHECK: affine_set<()[s0, s1, s2, s3, s4] : (s1 - s2 == 0, s0 - s3 == 0, s1 - s4 == 0)>
// CHECK: func.func @generic
func.func @generic(%a: tensor<?x?xf32>, %b: tensor<?xf32>, %y: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %0 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>],
                       iterator_types = ["parallel", "parallel"]}
    ins(%a, %b : tensor<?x?xf32>, tensor<?xf32>) outs(%y : tensor<?x?xf32>) {
  ^bb0(%x: f32, %z: f32, %o: f32):
    %s = arith.addf %x, %z : f32
    linalg.yield %s : f32
  } -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

// -----
// ... or reaches as far as they read: 2 (h - 1) + 2 < x.
// CHECK: affine_set<()[s0, s1] : (s0 - s1 * 2 - 1 >= 0)>
// CHECK: func.func @conv
func.func @conv(%x: tensor<?xf32>, %w: tensor<3xf32>, %y: tensor<?xf32> {qlow.name = "y"}) -> (tensor<?xf32> {qlow.updates = "y"}) {
  %0 = linalg.generic {indexing_maps = [affine_map<(h, k) -> (h * 2 + k)>, affine_map<(h, k) -> (k)>, affine_map<(h, k) -> (h)>],
                       iterator_types = ["parallel", "reduction"]}
    ins(%x, %w : tensor<?xf32>, tensor<3xf32>) outs(%y : tensor<?xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.mulf %a, %b : f32
    %t = arith.addf %s, %o : f32
    linalg.yield %t : f32
  } -> tensor<?xf32>
  return %0 : tensor<?xf32>
}

// -----
// Quotients and remainders of counters reach as far as these do: heads that share keys, halves of a row.
// CHECK: affine_set<()[s0, s1, s2] : (s0 - (s2 - 1) floordiv 2 - 1 >= 0, s1 - 4 >= 0)>
// CHECK: func.func @groups
func.func @groups(%k: tensor<?x?xf32>, %y: tensor<?x8xf32> {qlow.name = "y"}) -> (tensor<?x8xf32> {qlow.updates = "y"}) {
  %0 = linalg.generic {indexing_maps = [affine_map<(h, d) -> (h floordiv 2, d mod 4)>, affine_map<(h, d) -> (h, d)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%k : tensor<?x?xf32>) outs(%y : tensor<?x8xf32>) {
    ^bb0(%p: f32, %o: f32):
      linalg.yield %p : f32
    } -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// -----
// Sums and products of sizes; a named result has the size of what is returned.
// CHECK: affine_set<()[s0, s1, s2, s3] : (s1 * 4 - s2 == 0, -s0 - s1 + s3 == 0)>
// CHECK: func.func @shapes
func.func @shapes(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>, %c: tensor<?xf32>)
    -> (tensor<?x4xf32> {qlow.dims = ["total", 4]}, tensor<?x4xf32>) {
  %c0 = arith.constant 0 : index
  %0 = tensor.concat dim(0) %a, %b : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  %n = tensor.dim %b, %c0 : tensor<?x4xf32>
  %1 = tensor.expand_shape %c [[0, 1]] output_shape [%n, 4] : tensor<?xf32> into tensor<?x4xf32>
  return %0, %1 : tensor<?x4xf32>, tensor<?x4xf32>
}

// -----
// A slice that is always taken, at a place known on entry, lies inside of its tensor.
// CHECK: affine_set<()[s0] : (s0 - 19 >= 0)>
// CHECK: func.func @slice
func.func @slice(%a: tensor<?xf32>) -> tensor<16xf32> {
  %0 = tensor.extract_slice %a[3] [16] [1] : tensor<?xf32> to tensor<16xf32>
  return %0 : tensor<16xf32>
}

// -----
// An op of a branch has its rules whether it runs or not; branches may merge.
// CHECK: affine_set<()[s0, s1, s2] : (s0 - s2 == 0, s0 - s1 == 0)>
// CHECK: func.func @branch
func.func @branch(%c: i1, %a: tensor<?xf32>, %b: tensor<?xf32>, %d: tensor<?xf32>) -> tensor<?xf32> {
  %0 = scf.if %c -> tensor<?xf32> {
    %1 = arith.addf %a, %b : tensor<?xf32>
    scf.yield %1 : tensor<?xf32>
  } else {
    scf.yield %d : tensor<?xf32>
  }
  return %0 : tensor<?xf32>
}

// -----
// A loop carries tensors of one size, and a state keeps its own.
// CHECK: affine_set<()[s0, s1] : (s0 - s1 == 0)>
// CHECK: func.func @loop
func.func @loop(%n: index, %x: tensor<?xf32> {qlow.name = "x"}, %y: tensor<?xf32>) -> (tensor<?xf32> {qlow.updates = "x"}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %0 = scf.for %i = %c0 to %n step %c1 iter_args(%s = %x) -> tensor<?xf32> {
    scf.yield %y : tensor<?xf32>
  }
  return %0 : tensor<?xf32>
}

// -----
// A result called otherwise than the argument it has its size from.
// CHECK: affine_set<()[s0, s1] : (-s0 + s1 == 0)>
// CHECK: func.func @other
func.func @other(%x: tensor<?xf32> {qlow.dims = ["m"]}, %y: tensor<?xf32> {qlow.dims = ["n"]})
    -> (tensor<?xf32> {qlow.dims = ["n"]}) {
  return %x : tensor<?xf32>
}

// -----
func.func @never(%a: tensor<?xf32>, %b: tensor<1xf32>) -> tensor<?xf32> {
  %0 = tensor.concat dim(0) %a, %b : (tensor<?xf32>, tensor<1xf32>) -> tensor<?xf32>
  // expected-error @+1 {{'arith.addf' needs sizes 0 of its operands to be equal, which they can not be: their difference is 1}}
  %1 = arith.addf %a, %0 : tensor<?xf32>
  return %1 : tensor<?xf32>
}

// -----
func.func @unknown(%a: tensor<?xf32>, %n: index) -> tensor<?xf32> {
  %0 = tensor.extract_slice %a[0] [%n] [1] : tensor<?xf32> to tensor<?xf32>
  // expected-error @+1 {{'arith.addf' needs sizes 0 of its operands to be equal, and on entry nobody can know whether they are: expected one size, or sizes that follow from the sizes of the arguments}}
  %1 = arith.addf %a, %0 : tensor<?xf32>
  return %1 : tensor<?xf32>
}

// -----
// What is not known on entry equals itself.
// CHECK: func.func @same
func.func @same(%a: tensor<?xf32>, %n: index) -> tensor<f32> {
  %0 = tensor.extract_slice %a[0] [%n] [1] : tensor<?xf32> to tensor<?xf32>
  %1 = arith.addf %0, %0 : tensor<?xf32>
  %z = arith.constant dense<0.0> : tensor<f32>
  %2 = linalg.reduce ins(%1 : tensor<?xf32>) outs(%z : tensor<f32>) dimensions = [0] (%x: f32, %y: f32) {
    %s = arith.addf %x, %y : f32
    linalg.yield %s : f32
  }
  return %2 : tensor<f32>
}

// -----
func.func @grows(%n: index, %x: tensor<?xf32>, %one: tensor<1xf32>) -> tensor<?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error @+1 {{'scf.for' needs sizes 0 of what it carries before and after an iteration to be equal, which they can not be}}
  %0 = scf.for %i = %c0 to %n step %c1 iter_args(%s = %x) -> tensor<?xf32> {
    %1 = tensor.concat dim(0) %s, %one : (tensor<?xf32>, tensor<1xf32>) -> tensor<?xf32>
    scf.yield %1 : tensor<?xf32>
  }
  return %0 : tensor<?xf32>
}

// -----
// expected-error @+1 {{dimension 0 of result 0 is dynamic and no argument's size is known to equal it; name it, as in qlow.dims = ["m", ...]}}
func.func @unnamed(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
  %0 = tensor.concat dim(0) %a, %b : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
  return %0 : tensor<?xf32>
}
