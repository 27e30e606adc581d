// One function for each thing an entry promises; entry.c calls them.

// Elementwise, in place, ranges: no workspace.
func.func @twice(%x: tensor<?x8xf32> {qlow.name = "x", qlow.dims = ["m", 8]}) -> (tensor<?x8xf32> {qlow.name = "y"})
    attributes {qlow.range = {m = [1, 64]}} {
  %0 = arith.addf %x, %x : tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// Sizes without names that must be one: a_d1 == b_d0. Both sides come at run time, so one is packed into the workspace.
func.func @product(%a: tensor<?x?xf32> {qlow.name = "a"}, %b: tensor<?x?xf32> {qlow.name = "b"})
    -> (tensor<?x?xf32> {qlow.name = "y"}) {
  %0 = qlow.matmul %a, %b : tensor<?x?xf32>, tensor<?x?xf32> -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

// The same of codes, wide enough to be shared out among threads.
func.func @codes(%a: tensor<?x256x!qlow.q<u8 : f32, zero = u8>> {qlow.name = "a", qlow.dims = ["m", 256]},
                 %b: tensor<256x512x!qlow.q<i8 : f32>> {qlow.name = "b"}) -> (tensor<?x512xi32> {qlow.name = "y"}) {
  %0 = qlow.matmul %a, %b
    : tensor<?x256x!qlow.q<u8 : f32, zero = u8>>, tensor<256x512x!qlow.q<i8 : f32>> -> tensor<?x512xi32>
  return %0 : tensor<?x512xi32>
}

// Scalars by value, elements that C has no type for.
func.func @types(%f: f32 {qlow.name = "f"}, %n: i32 {qlow.name = "n"}, %which: i1 {qlow.name = "which"},
                 %h: tensor<3xf16> {qlow.name = "h"}, %b: tensor<3xbf16> {qlow.name = "b"}, %m: tensor<3xi1> {qlow.name = "m"})
    -> (tensor<3xf32> {qlow.name = "y"}, f32 {qlow.name = "z"}, i1 {qlow.name = "other"}) {
  %0 = arith.extf %h : tensor<3xf16> to tensor<3xf32>
  %1 = arith.extf %b : tensor<3xbf16> to tensor<3xf32>
  %2 = arith.select %m, %0, %1 : tensor<3xi1>, tensor<3xf32>
  %3 = arith.sitofp %n : i32 to f32
  %4 = arith.select %which, %f, %3 : f32
  %true = arith.constant true
  %5 = arith.xori %which, %true : i1
  return %2, %4, %5 : tensor<3xf32>, f32, i1
}

// A scale that is quantized itself, one of f8, and a zero point: x_codes, x_scale_codes, x_scale_scale, ...
func.func @parts(%x: tensor<?x32x!qlow.q<f4E2M1FN : !qlow.q<f8E4M3FN : f32>, block = [1, 16]>> {qlow.name = "x", qlow.dims = ["m", 32]},
                 %u: tensor<?x32x!qlow.q<u8 : f8E8M0FNU, zero = u8, block = [2, *]>> {qlow.name = "u", qlow.dims = ["m", 32]})
    -> (tensor<?x32xf32> {qlow.name = "y"}) {
  %0 = qlow.dequantize %x : tensor<?x32x!qlow.q<f4E2M1FN : !qlow.q<f8E4M3FN : f32>, block = [1, 16]>> -> tensor<?x32xf32>
  %1 = qlow.dequantize %u : tensor<?x32x!qlow.q<u8 : f8E8M0FNU, zero = u8, block = [2, *]>> -> tensor<?x32xf32>
  %2 = arith.addf %0, %1 : tensor<?x32xf32>
  return %2 : tensor<?x32xf32>
}

// A state of n numbers that x is added to, and what it was before.
func.func @count(%sum: tensor<?xi32> {qlow.name = "sum", qlow.dims = ["n"]}, %x: tensor<?xi32> {qlow.name = "x", qlow.dims = ["n"]})
    -> (tensor<?xi32> {qlow.updates = "sum"}, tensor<?xi32> {qlow.name = "before"}) {
  %0 = arith.addi %sum, %x : tensor<?xi32>
  return %0, %sum : tensor<?xi32>, tensor<?xi32>
}

// Two states that change places, and one that becomes an argument.
func.func @swap(%a: tensor<4xi32> {qlow.name = "a"}, %b: tensor<4xi32> {qlow.name = "b"}, %c: tensor<4xi32> {qlow.name = "c"}, %x: tensor<4xi32> {qlow.name = "x"})
    -> (tensor<4xi32> {qlow.updates = "a"}, tensor<4xi32> {qlow.updates = "b"}, tensor<4xi32> {qlow.updates = "c"}) {
  return %b, %a, %x : tensor<4xi32>, tensor<4xi32>, tensor<4xi32>
}
