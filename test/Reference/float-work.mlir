// RUN: python3 %S/Inputs/run_all.py %s | FileCheck %s
// The closed list of float work: what MLIR defines each op to compute, on values that follow by hand.

// Integers wrap at their width, divisions round as their names say.
// CHECK-LABEL: @integers
// CHECK-NEXT: i8: -128
// CHECK-NEXT: i8: -3
// CHECK-NEXT: i8: -4
// CHECK-NEXT: i8: -3
// CHECK-NEXT: i8: 124
// CHECK-NEXT: i8: 31
// CHECK-NEXT: i16: 249
func.func @integers() -> (i8, i8, i8, i8, i8, i8, i16) {
  %127 = arith.constant 127 : i8
  %1 = arith.constant 1 : i8
  %n7 = arith.constant -7 : i8
  %2 = arith.constant 2 : i8
  %3 = arith.constant 3 : i8
  %wrapped = arith.addi %127, %1 : i8
  %toward = arith.divsi %n7, %2 : i8
  %down = arith.floordivsi %n7, %2 : i8
  %up = arith.ceildivsi %n7, %2 : i8
  %unsigned = arith.divui %n7, %2 : i8
  %shift = arith.shrui %n7, %3 : i8
  %wide = arith.extui %n7 : i8 to i16
  return %wrapped, %toward, %down, %up, %unsigned, %shift, %wide : i8, i8, i8, i8, i8, i8, i16
}

// f32 rounds once: 2^24 + 1 is a tie and goes to the even 2^24; bf16 has 8 digits: 1 + 2^-8 is a tie.
// CHECK-LABEL: @rounding
// CHECK-NEXT: f32: 16777216
// CHECK-NEXT: bf16: 1
// CHECK-NEXT: f16: inf
// CHECK-NEXT: f32: 16777216
func.func @rounding() -> (f32, bf16, f16, f32) {
  %big = arith.constant 16777216.0 : f32
  %one = arith.constant 1.0 : f32
  %tie = arith.constant 1.00390625 : f32
  %huge = arith.constant 65520.0 : f32
  %i = arith.constant 16777217 : i32
  %sum = arith.addf %big, %one : f32
  %b = arith.truncf %tie : f32 to bf16
  %h = arith.truncf %huge : f32 to f16
  %f = arith.sitofp %i : i32 to f32
  return %sum, %b, %h, %f : f32, bf16, f16, f32
}

// NaN passes through maximumf and is no number to maxnumf; of two zeros the positive one is greater.
// CHECK-LABEL: @extremes
// CHECK-NEXT: f32: {{-?}}nan
// CHECK-NEXT: f32: 1
// CHECK-NEXT: f32: 0
// CHECK-NEXT: i1: 0
// CHECK-NEXT: i1: 1
func.func @extremes() -> (f32, f32, f32, i1, i1) {
  %nan = arith.constant 0x7FC00000 : f32
  %one = arith.constant 1.0 : f32
  %zero = arith.constant 0.0 : f32
  %minus = arith.constant -0.0 : f32
  %a = arith.maximumf %nan, %one : f32
  %b = arith.maxnumf %nan, %one : f32
  %c = arith.maximumf %minus, %zero : f32
  %d = arith.cmpf olt, %nan, %one : f32
  %e = arith.cmpf ult, %nan, %one : f32
  return %a, %b, %c, %d, %e : f32, f32, f32, i1, i1
}

// Elementwise on whole tensors; math.round goes away from zero, roundeven to even.
// CHECK-LABEL: @math
// CHECK-NEXT: 4xf32: -3, -1, 1, 3
// CHECK-NEXT: 4xf32: -2, -0, 0, 2
// CHECK-NEXT: 4xf32: 0.0820849985, 0.606530666, 1.64872122, 12.1824942
func.func @math() -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  %x = arith.constant dense<[-2.5, -0.5, 0.5, 2.5]> : tensor<4xf32>
  %away = math.round %x : tensor<4xf32>
  %even = math.roundeven %x : tensor<4xf32>
  %exp = math.exp %x : tensor<4xf32>
  return %away, %even, %exp : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

// A float sum is taken in f64 and rounded once: one by one in f32, 2^24 + 1 + 1 would stay at 2^24.
// CHECK-LABEL: @sums
// CHECK-NEXT: 2xf32: 16777218, 6
func.func @sums() -> tensor<2xf32> {
  %x = arith.constant dense<[[16777216.0, 1.0, 1.0], [1.0, 2.0, 3.0]]> : tensor<2x3xf32>
  %init = arith.constant dense<0.0> : tensor<2xf32>
  %sum = linalg.reduce { arith.addf } ins(%x : tensor<2x3xf32>) outs(%init : tensor<2xf32>) dimensions = [1]
  return %sum : tensor<2xf32>
}

// A region sees its indices, and outputs may be read through any map.
// CHECK-LABEL: @generic
// CHECK-NEXT: 2x3xi32: 0, 11, 22, 100, 111, 122
// CHECK-NEXT: 3x2xi32: 0, 100, 11, 111, 22, 122
func.func @generic() -> (tensor<2x3xi32>, tensor<3x2xi32>) {
  %x = arith.constant dense<[[0, 1, 2], [0, 1, 2]]> : tensor<2x3xi32>
  %empty = tensor.empty() : tensor<2x3xi32>
  %y = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<2x3xi32>) outs(%empty : tensor<2x3xi32>) {
  ^bb0(%in: i32, %out: i32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %position = affine.apply affine_map<(i, j) -> (i * 100 + j * 10)>(%i, %j)
    %cast = arith.index_cast %position : index to i32
    %r = arith.addi %cast, %in : i32
    linalg.yield %r : i32
  } -> tensor<2x3xi32>
  %init = tensor.empty() : tensor<3x2xi32>
  %t = linalg.transpose ins(%y : tensor<2x3xi32>) outs(%init : tensor<3x2xi32>) permutation = [1, 0]
  return %y, %t : tensor<2x3xi32>, tensor<3x2xi32>
}

// Named ops run by their regions: 1, 2, 3, 4 convolved with 1, 2.
// CHECK-LABEL: @named
// CHECK-NEXT: 3xf32: 5, 8, 11
func.func @named() -> tensor<3xf32> {
  %x = arith.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %w = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %init = arith.constant dense<0.0> : tensor<3xf32>
  %y = linalg.conv_1d ins(%x, %w : tensor<4xf32>, tensor<2xf32>) outs(%init : tensor<3xf32>) -> tensor<3xf32>
  return %y : tensor<3xf32>
}

// Slices, pads, concatenation and reshapes move elements in row-major order.
// CHECK-LABEL: @tensors
// CHECK-NEXT: 2xi32: 2, 5
// CHECK-NEXT: 3x5xi32: 9, 1, 2, 3, 9, 9, 4, 5, 6, 9, 9, 9, 9, 9, 9
// CHECK-NEXT: 2x4xi32: 1, 2, 3, 2, 4, 5, 6, 6
// CHECK-NEXT: 3x2xi32: 1, 2, 3, 4, 5, 6
// CHECK-NEXT: 2x3xi32: 1, 7, 3, 4, 8, 6
func.func @tensors() -> (tensor<2xi32>, tensor<3x5xi32>, tensor<2x4xi32>, tensor<3x2xi32>, tensor<2x3xi32>) {
  %x = arith.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi32>
  %c9 = arith.constant 9 : i32
  %wide = tensor.extract_slice %x[0, 1] [2, 1] [1, 1] : tensor<2x3xi32> to tensor<2x1xi32>
  %odd = arith.constant dense<[[2], [6]]> : tensor<2x1xi32>
  %flat = tensor.collapse_shape %wide [[0, 1]] : tensor<2x1xi32> into tensor<2xi32>
  %padded = tensor.pad %x low[0, 1] high[1, 1] {
  ^bb0(%i: index, %j: index):
    tensor.yield %c9 : i32
  } : tensor<2x3xi32> to tensor<3x5xi32>
  %cat = tensor.concat dim(1) %x, %odd : (tensor<2x3xi32>, tensor<2x1xi32>) -> tensor<2x4xi32>
  %shape = arith.constant dense<[3, 2]> : tensor<2xi32>
  %reshaped = tensor.reshape %x(%shape) : (tensor<2x3xi32>, tensor<2xi32>) -> tensor<3x2xi32>
  %new = arith.constant dense<[7, 8]> : tensor<2xi32>
  %inserted = tensor.insert_slice %new into %x[0, 1] [2, 1] [1, 1] : tensor<2xi32> into tensor<2x3xi32>
  return %flat, %padded, %cat, %reshaped, %inserted : tensor<2xi32>, tensor<3x5xi32>, tensor<2x4xi32>, tensor<3x2xi32>, tensor<2x3xi32>
}

// Loops carry tensors, quantized ones too: doubles 1 five times; a while loop halves 100 while it is above 10.
// CHECK-LABEL: @loops
// CHECK-NEXT: 1xi32: 32
// CHECK-NEXT: i32: 6
// CHECK-NEXT: i32: 20
func.func @loops() -> (tensor<1xi32>, i32, i32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c5 = arith.constant 5 : index
  %one = arith.constant dense<1> : tensor<1xi32>
  %power = scf.for %i = %c0 to %c5 step %c1 iter_args(%t = %one) -> tensor<1xi32> {
    %double = arith.addi %t, %t : tensor<1xi32>
    scf.yield %double : tensor<1xi32>
  }
  %hundred = arith.constant 100 : i32
  %ten = arith.constant 10 : i32
  %two = arith.constant 2 : i32
  %small = scf.while (%x = %hundred) : (i32) -> i32 {
    %above = arith.cmpi sgt, %x, %ten : i32
    scf.condition(%above) %x : i32
  } do {
  ^bb0(%x: i32):
    %half = arith.divsi %x, %two : i32
    scf.yield %half : i32
  }
  %picked = scf.index_switch %c1 -> i32
  case 0 {
    scf.yield %ten : i32
  }
  case 1 {
    %twenty = arith.addi %ten, %ten : i32
    scf.yield %twenty : i32
  }
  default {
    scf.yield %two : i32
  }
  return %power, %small, %picked : tensor<1xi32>, i32, i32
}

// Branches: the sum of 1 to 4 by cf; a call; a tensor chosen by a scalar.
// CHECK-LABEL: @branches
// CHECK-NEXT: i32: 10
// CHECK-NEXT: 1xf32: -2
func.func @branches() -> (i32, tensor<1xf32>) {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %four = arith.constant 4 : i32
  cf.br ^loop(%one, %zero : i32, i32)
^loop(%i: i32, %sum: i32):
  %next = arith.addi %sum, %i : i32
  %more = arith.addi %i, %one : i32
  %again = arith.cmpi slt, %i, %four : i32
  cf.cond_br %again, ^loop(%more, %next : i32, i32), ^done
^done:
  %x = arith.constant dense<2.0> : tensor<1xf32>
  %negated = func.call @negate(%x) : (tensor<1xf32>) -> tensor<1xf32>
  %isTen = arith.cmpi sgt, %next, %four : i32
  %chosen = arith.select %isTen, %negated, %x : tensor<1xf32>
  return %next, %chosen : i32, tensor<1xf32>
}
func.func private @negate(%x: tensor<1xf32>) -> tensor<1xf32> {
  %y = arith.negf %x : tensor<1xf32>
  return %y : tensor<1xf32>
}
