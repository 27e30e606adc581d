// RUN: qlow-opt %s -split-input-file -verify-diagnostics -qlow-place-weights | FileCheck %s

// Weights that are read lie behind one hidden symbol, each at a multiple of 64 bytes; two reads are one weight, and one
// that nobody reads takes no room.
// CHECK-LABEL: module attributes {qlow.prefix = "net"}
module attributes {qlow.prefix = "net"} {
  // CHECK: llvm.mlir.global external hidden constant @net_weights() {{{.*}}alignment = 64 : i64, dso_local} : !llvm.array<72 x i8>
  // CHECK: qlow.weight private @small {{.*}} bytes 3 {qlow.offset = 0 : i64}
  qlow.weight private @small dense<[1, 2, 3]> : tensor<3xi8> as tensor<3xi8> bytes 3
  // CHECK-NOT: @unused
  qlow.weight private @unused dense<[1, 2, 3]> : tensor<3xi8> as tensor<3xi8> bytes 3
  // CHECK: qlow.weight private @floats {{.*}} bytes 8 {qlow.offset = 64 : i64}
  qlow.weight private @floats dense<[1.0, 2.0]> : tensor<2xf32> as tensor<2xf32> bytes 8

  // CHECK-LABEL: func.func @f
  func.func @f(%i: index) -> (i8, f32, i8) {
    // CHECK: builtin.unrealized_conversion_cast {{.*}} to memref<3xi8>
    %a = qlow.get_weight @small : memref<3xi8>
    // CHECK: %[[BASE:.+]] = llvm.mlir.addressof @net_weights
    // CHECK: %[[OFFSET:.+]] = llvm.mlir.constant(64 : i64)
    // CHECK: llvm.getelementptr %[[BASE]][%[[OFFSET]]] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    // CHECK: %[[FLOATS:.+]] = builtin.unrealized_conversion_cast {{.*}} to memref<2xf32>
    %b = qlow.get_weight @floats : memref<2xf32>
    %c = qlow.get_weight @small : memref<3xi8>
    // CHECK-NOT: qlow.get_weight
    %0 = memref.load %a[%i] : memref<3xi8>
    // CHECK: memref.load %[[FLOATS]]
    %1 = memref.load %b[%i] : memref<2xf32>
    %2 = memref.load %c[%i] : memref<3xi8>
    return %0, %1, %2 : i8, f32, i8
  }
}

// -----

// Where nothing is read there is no symbol, which an object would have to leave room for.
// CHECK-LABEL: module
// CHECK-NOT: llvm.mlir.global
// CHECK-NOT: qlow.weight
qlow.weight private @unused dense<[1, 2, 3]> : tensor<3xi8> as tensor<3xi8> bytes 3

// -----

// Tensors have no address yet.
qlow.weight private @w dense<[1, 2, 3]> : tensor<3xi8> as tensor<3xi8> bytes 3
func.func @tensor() -> tensor<3xi8> {
  // expected-error@+1 {{'qlow.get_weight' op expected a row-major memref of static shape, as bufferization leaves it, found 'tensor<3xi8>'}}
  %w = qlow.get_weight @w : tensor<3xi8>
  return %w : tensor<3xi8>
}

// -----

// On a device weights lie at multiples of 256 bytes behind the address in the state's sixth word.
// CHECK-LABEL: module attributes {qlow.prefix = "device"}
module attributes {qlow.prefix = "device"} {
  // CHECK: llvm.mlir.global external hidden constant @device_weights() {{{.*}}alignment = 256 : i64, dso_local} : !llvm.array<264 x i8>
  qlow.weight private @small dense<[1, 2, 3]> : tensor<3xi8> as tensor<3xi8> bytes 3
  // CHECK: qlow.weight private @floats {{.*}} bytes 8 {qlow.offset = 256 : i64}
  qlow.weight private @floats dense<[1.0, 2.0]> : tensor<2xf32> as tensor<2xf32> bytes 8
  // CHECK: func.func @f(%[[LAUNCH:.+]]: !llvm.ptr {qlow.launch})
  func.func @f(%launch: !llvm.ptr {qlow.launch}) -> (memref<3xi8>, memref<2xf32>) {
    // CHECK: builtin.unrealized_conversion_cast {{.*}} to memref<3xi8>
    %a = qlow.get_weight @small : memref<3xi8>
    // CHECK: %[[STATE:.+]] = llvm.load %[[LAUNCH]] : !llvm.ptr -> !llvm.ptr
    // CHECK: %[[WORD:.+]] = llvm.getelementptr %[[STATE]][40]
    // CHECK: %[[BASE:.+]] = llvm.load %[[WORD]]
    // CHECK: %[[OFFSET:.+]] = llvm.mlir.constant(256 : i64)
    // CHECK: llvm.getelementptr %[[BASE]][%[[OFFSET]]]
    %b = qlow.get_weight @floats : memref<2xf32>
    return %a, %b : memref<3xi8>, memref<2xf32>
  }
}

// -----

// What the object reserves is what the packer will write.
// expected-error@+1 {{'qlow.weight' op expected bytes 8448 for 'tensor<128x64x!qlow.q<i8 : f32>>' in #qlow.layout<element = i8, panel = 64, columns = 16, group = 4>, found 100}}
qlow.weight private @short dense<1> : tensor<128x64xi8> as tensor<128x64x!qlow.q<i8 : f32>> bytes 100 layout <element = i8, panel = 64, columns = 16, group = 4>
func.func @short_weight() -> memref<100xi8> {
  %w = qlow.get_weight @short : memref<100xi8>
  return %w : memref<100xi8>
}

// -----

// expected-error@+1 {{'qlow.weight' op has a layout that its elements do not fit as they are: #qlow.layout<element = f32, panel = 16, columns = 16, group = 1> for 'tensor<4x16x!qlow.q<i8 : f32>>'}}
qlow.weight private @decoded dense<1> : tensor<4x16xi8> as tensor<4x16x!qlow.q<i8 : f32>> bytes 256 layout <element = f32, panel = 16, columns = 16, group = 1>
func.func @decoded_weight() -> memref<256xi8> {
  %w = qlow.get_weight @decoded : memref<256xi8>
  return %w : memref<256xi8>
}

// -----

qlow.weight private @half dense<1> : tensor<4611686018427387904xi8> as tensor<4611686018427387904xi8> bytes 4611686018427387904
// expected-error@+1 {{'qlow.weight' op ends beyond 2^63 - 1 bytes of weights}}
qlow.weight private @other_half dense<2> : tensor<4611686018427387904xi8> as tensor<4611686018427387904xi8> bytes 4611686018427387904
func.func @too_many() -> (memref<4611686018427387904xi8>, memref<4611686018427387904xi8>) {
  %a = qlow.get_weight @half : memref<4611686018427387904xi8>
  %b = qlow.get_weight @other_half : memref<4611686018427387904xi8>
  return %a, %b : memref<4611686018427387904xi8>, memref<4611686018427387904xi8>
}
