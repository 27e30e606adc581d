// RUN: qlow-opt %s -split-input-file -verify-diagnostics -qlow-record-abi | FileCheck %s
// RUN: qlow-opt %s -split-input-file -verify-diagnostics -qlow-record-abi=prefix=net | FileCheck %s --check-prefix=PREFIX
// RUN: qlow-opt %S/Inputs/device-boundary.mlir -split-input-file -verify-diagnostics \
// RUN:   -qlow-record-abi=target=%S/Inputs/device.json | FileCheck %S/Inputs/device-boundary.mlir

// Sizes, then arguments and results; a quantized one is its parts with their shapes in storage, a state is the argument
// it updates, and a result's size that the ops derive from an argument has that argument's name.
// PREFIX: module attributes {qlow.prefix = "net"}
// CHECK: module attributes {qlow.prefix = "model"}
// CHECK-LABEL: func.func @whole(
// CHECK-SAME: qlow.abi = {dims = {{\[}}["m", 1, 64]], fields = [
// CHECK-SAME: {element = "ui8", kind = "input", name = "x_codes", note = "[m, 2] u4 codes of x [m, 4], two a byte, low nibble first; value = scale * (code - zero)", part = "codes", shape = ["m", 2],
// CHECK-SAME: {element = "f32", kind = "input", name = "x_scale", {{[^}]*}} part = "scale", shape = ["m", 1],
// CHECK-SAME: {element = "ui8", kind = "input", name = "x_zero", {{[^}]*}} part = "zero", shape = ["m", 1],
// CHECK-SAME: {element = "f32", kind = "state", name = "kv", {{[^}]*}} shape = [8],
// CHECK-SAME: {element = "f32", kind = "scalar", name = "arg2", {{[^}]*}} shape = [],
// CHECK-SAME: {element = "f32", kind = "output", name = "y", {{[^}]*}} shape = ["m", 4],
// CHECK-SAME: results = [5 : i32, 3 : i32]}
func.func @whole(%x: tensor<?x4x!qlow.q<u4 : f32, zero = u4, block = [1, *]>> {qlow.name = "x", qlow.dims = ["m", 4]},
                 %kv: tensor<8xf32> {qlow.name = "kv"}, %s: f32)
    -> (tensor<?x4xf32> {qlow.name = "y"}, tensor<8xf32> {qlow.updates = "kv"}) attributes {qlow.range = {m = [1, 64]}} {
  %y = qlow.dequantize %x : tensor<?x4x!qlow.q<u4 : f32, zero = u4, block = [1, *]>> -> tensor<?x4xf32>
  return %y, %kv : tensor<?x4xf32>, tensor<8xf32>
}

// Private functions are no entries, and without names sizes and fields have numbers.
// CHECK-LABEL: func.func private @inside
// CHECK-NOT: qlow.abi
// CHECK-LABEL: func.func @plain(
// CHECK-SAME: qlow.abi = {dims = {{\[}}["arg0_d0", 0, 2147483647]], fields = [
// CHECK-SAME: name = "arg0", {{[^}]*}} shape = ["arg0_d0"],
// CHECK-SAME: name = "result0", {{[^}]*}} shape = ["arg0_d0"],
func.func private @inside(%x: f32) -> f32 {
  return %x : f32
}
func.func @plain(%x: tensor<?xf32>) -> tensor<?xf32> {
  return %x : tensor<?xf32>
}

// -----

// expected-error@+1 {{name of argument 0 'a-b' is no name of C: expected letters, digits and _, a letter first; a name that can be used: 'a_b'}}
func.func @name(%x: f32 {qlow.name = "a-b"}) -> f32 {
  return %x : f32
}

// -----

// expected-error@+1 {{'qlow.dims' of argument 0, dimension 1: expected its size 4, found 5 : i64}}
func.func @size(%x: tensor<?x4xf32> {qlow.dims = ["m", 5]}) -> tensor<?x4xf32> {
  return %x : tensor<?x4xf32>
}

// -----

// expected-error@+1 {{'qlow.range' names 'k', which is the name of no dynamic size of this function}}
func.func @range(%x: tensor<?xf32> {qlow.dims = ["m"]}) -> tensor<?xf32> attributes {qlow.range = {k = [0, 4]}} {
  return %x : tensor<?xf32>
}

// -----

// expected-error@+1 {{'q': expected a static last dimension, found tensor<4x?x!qlow.q<i16 : f32>>: codes of i16 do not take one byte each, and a caller's sizes count bytes of them; give the dimension a size, or pass the value in f32 and convert it inside the function}}
func.func @wide_codes(%x: tensor<4x?x!qlow.q<i16 : f32>> {qlow.name = "q", qlow.dims = [4, "k"]}) -> tensor<4x?xf32> {
  %y = qlow.dequantize %x : tensor<4x?x!qlow.q<i16 : f32>> -> tensor<4x?xf32>
  return %y : tensor<4x?xf32>
}

// -----

// expected-error@+1 {{results 0 and 2 both update 'kv': expected one of them; the other can be a result with a name of its own}}
func.func @updates_twice(%x: tensor<4xf32> {qlow.name = "kv"}, %y: tensor<4xf32>)
    -> (tensor<4xf32> {qlow.updates = "kv"}, tensor<4xf32>, tensor<4xf32> {qlow.updates = "kv"}) {
  return %x, %y, %y : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

// -----

// expected-error@+1 {{'qlow.updates' of result 0: expected the name of an argument, found "k"}}
func.func @updates(%x: tensor<4xf32> {qlow.name = "kv"}) -> (tensor<4xf32> {qlow.updates = "k"}) {
  return %x : tensor<4xf32>
}

// -----

// expected-error@+1 {{two members of twins's args struct are called 'x'; give the argument, result or size another qlow.name or name in qlow.dims, such as 'x_2'}}
func.func @twins(%x: f32 {qlow.name = "x"}, %y: f32 {qlow.name = "x"}) -> f32 {
  return %x : f32
}

// -----

// expected-error-re@+1 {{two things in the header or the object would be called '{{.*}}_f_workspace'; rename a function}}
module {
  func.func @f(%x: f32) -> f32 {
    return %x : f32
  }
  func.func @f_workspace(%x: f32) -> f32 {
    return %x : f32
  }
}

// -----

// A record that somebody left is not read.
// CHECK-LABEL: func.func @left(
// CHECK-SAME:    qlow.abi = {dims = [], fields = [
module attributes {qlow.abi = "{}"} {
  func.func @left(%x: f32) -> f32 attributes {qlow.abi = 3} {
    return %x : f32
  }
}
