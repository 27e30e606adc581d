// RUN: qlow-opt %s -split-input-file -verify-diagnostics -qlow-record-abi -o /dev/null

// The header's enumerators and macros, and the object's weights, have names too.

// expected-error@+1 {{two things in the header or the object would be called 'M_E_NULL'; rename a function}}
module @M {
  func.func @E_NULL(%x: f32) -> f32 {
    return %x : f32
  }
}

// -----

// expected-error@+1 {{two things in the header or the object would be called 'net_weights'; rename a function}}
module @net {
  func.func @weights(%x: f32) -> f32 {
    return %x : f32
  }
}
