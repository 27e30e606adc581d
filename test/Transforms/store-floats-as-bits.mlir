// RUN: qlow-opt %s -qlow-store-floats-as-bits | FileCheck %s --check-prefixes=CHECK,PLAIN
// RUN: qlow-opt %s -qlow-store-floats-as-bits=target=x86-64-v3 | FileCheck %s --check-prefixes=CHECK,HALF
// RUN: qlow-opt %s -qlow-store-floats-as-bits=target=sm_80 | FileCheck %s --check-prefixes=BRAIN
// RUN: qlow-opt %s -qlow-store-floats-as-bits=target=sm_75 | FileCheck %s --check-prefixes=CHECK,HALF

// Constants keep their bits.
// CHECK:         memref.global "private" constant @table : memref<2xi16> = dense<[16256, -16384]>
memref.global "private" constant @table : memref<2xbf16> = dense<[1.0, -2.0]>

// A declaration says what the bytes mean.
// CHECK:         qlow.weight private @w {{.*}} as tensor<2x2xbf16>
qlow.weight private @w dense<1.0> : tensor<2x2xbf16> as tensor<2x2xbf16> bytes 8

// Values, buffers, signatures and blocks hold integers, and casts to them vanish.
// CHECK-LABEL: func.func @bf16(
// CHECK-SAME:    %[[M:.*]]: memref<4xi16>, %[[X:.*]]: i16, %[[I:.*]]: index, %[[F:.*]]: memref<4xi8>) -> i16
// CHECK:         %[[ONE:.*]] = arith.constant 16256 : i16
// CHECK:         %[[Y:.*]] = memref.load %[[M]][%[[I]]] : memref<4xi16>
// CHECK:         %[[S:.*]] = scf.if {{.*}} -> (i16)
// CHECK:         return %[[S]] : i16
func.func @bf16(%m: memref<4xbf16>, %x: bf16, %i: index, %f: memref<4xf8E4M3FN>) -> i16 {
  %one = arith.constant 1.0 : bf16
  %y = memref.load %m[%i] : memref<4xbf16>
  %b = arith.bitcast %y : bf16 to i16
  %z = arith.constant 0 : i16
  %c = arith.cmpi eq, %b, %z : i16
  %s = scf.if %c -> bf16 {
    scf.yield %x : bf16
  } else {
    scf.yield %one : bf16
  }
  %r = arith.bitcast %s : bf16 to i16
  return %r : i16
}

// Where the target rounds to bf16 it holds it, too; f8 remains bits.
// BRAIN:         func.func @bf16(%{{.*}}: memref<4xbf16>, %{{.*}}: bf16, %{{.*}}: index, %{{.*}}: memref<4xi8>) -> i16

// CHECK-LABEL: func.func @f16(
// PLAIN-SAME:    memref<4xi16>
// HALF-SAME:     memref<4xf16>
func.func @f16(%m: memref<4xf16>) {
  return
}
