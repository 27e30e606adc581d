// RUN: qlow-opt -split-input-file -qlow-check-imported -verify-diagnostics -allow-unregistered-dialect %s

// The closed list passes.
func.func @accepted(%x: tensor<2xf32>) -> tensor<2xf32> {
  %y = math.exp %x : tensor<2xf32>
  %z = arith.addf %x, %y : tensor<2xf32>
  return %z : tensor<2xf32>
}

// -----

// An op of a dialect we know gets a hint.
func.func @lowered_already() {
  // expected-error @+1 {{'memref.alloc' is not accepted; compile the model as it was before bufferization and lowering: qlow does both itself}}
  %y = memref.alloc() : memref<2xf32>
  return
}

// -----

// Another one is told where the list is.
func.func @unknown(%x: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{'foreign.op' is not accepted; docs/Semantics.md, "Float work", lists the ops that are}}
  %y = "foreign.op"(%x) : (tensor<2xf32>) -> tensor<2xf32>
  return %y : tensor<2xf32>
}

// -----

func.func @other_frontend(%x: tensor<2xf32>) -> tensor<2xf32> {
  // expected-error @+1 {{'stablehlo.add' is not accepted; convert it first, with stablehlo-opt --stablehlo-legalize-to-linalg}}
  %y = "stablehlo.add"(%x, %x) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
  return %y : tensor<2xf32>
}

// -----

// Every place is named, not just the first.
func.func @two(%x: tensor<2xf32>) {
  // expected-error @+1 {{'a.b' is not accepted}}
  "a.b"(%x) : (tensor<2xf32>) -> ()
  // expected-error @+1 {{'a.c' is not accepted}}
  "a.c"(%x) : (tensor<2xf32>) -> ()
  return
}

// -----

// An op of the list on a type that is not.
func.func @odd_type(%x: tensor<2xi48>) -> tensor<2xi48> {
  // expected-error @-1 {{type 'tensor<2xi48>' is not accepted}}
  // expected-error @+1 {{type 'tensor<2xi48>' is not accepted}}
  %y = arith.addi %x, %x : tensor<2xi48>
  return %y : tensor<2xi48>
}

// -----

// Objects link with nothing: a declaration has nobody to define it.
// expected-error @+1 {{function 'elsewhere' has no body; objects link with nothing but libc: define it here, or remove its uses}}
func.func private @elsewhere(tensor<2xf32>) -> tensor<2xf32>

// -----

// Nobody would find entries for what is in it.
module {
  // expected-error @+1 {{a module inside of a module is not compiled; move its functions into the outer one}}
  module @inner {
    func.func @lost(%x: tensor<2xf32>) -> tensor<2xf32> {
      return %x : tensor<2xf32>
    }
  }
}
