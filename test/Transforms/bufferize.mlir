// RUN: qlow-opt %s -split-input-file -qlow-bufferize | FileCheck %s

// An input is not written to: the fill gets a buffer of its own.
// CHECK-LABEL: func.func @inputs_are_const(
// CHECK-SAME:    %[[X:.*]]: memref<8xf32>) -> memref<8xf32>
// CHECK:         %[[Y:.*]] = memref.alloc() {{.*}}: memref<8xf32>
// CHECK:         linalg.fill ins(%{{.*}}) outs(%[[Y]]
// CHECK:         return %[[Y]]
func.func @inputs_are_const(%x: tensor<8xf32>) -> tensor<8xf32> {
  %c = arith.constant 0.0 : f32
  %y = linalg.fill ins(%c : f32) outs(%x : tensor<8xf32>) -> tensor<8xf32>
  return %y : tensor<8xf32>
}

// -----

// A state is updated in place.
// CHECK-LABEL: func.func @state(
// CHECK-SAME:    %[[KV:.*]]: memref<8x4xf32> {qlow.name = "kv"}, %[[ROW:.*]]: memref<1x4xf32>, %[[I:.*]]: index)
// CHECK-NOT:     alloc
// CHECK:         %[[SLICE:.*]] = memref.subview %[[KV]][%[[I]], 0]
// CHECK:         linalg.generic {{.*}} ins(%[[ROW]] : {{.*}}) outs(%[[SLICE]]
// CHECK:         return %[[KV]]
func.func @state(%kv: tensor<8x4xf32> {qlow.name = "kv"}, %row: tensor<1x4xf32>, %i: index)
    -> (tensor<8x4xf32> {qlow.updates = "kv"}) {
  %new = tensor.insert_slice %row into %kv[%i, 0] [1, 4] [1, 1] : tensor<1x4xf32> into tensor<8x4xf32>
  return %new : tensor<8x4xf32>
}

// -----

// So is one that the recorded interface names.
// CHECK-LABEL: func.func @recorded_state(
// CHECK-SAME:    %[[KV:[a-z0-9]+]]: memref<8xf32>
// CHECK:         linalg.fill ins(%{{.*}}) outs(%[[KV]]
func.func @recorded_state(%kv: tensor<8xf32>) -> tensor<8xf32>
    attributes {qlow.abi = {dims = [], fields = [{kind = "state", name = "kv"}], results = [0 : i32]}} {
  %c = arith.constant 0.0 : f32
  %y = linalg.fill ins(%c : f32) outs(%kv : tensor<8xf32>) -> tensor<8xf32>
  return %y : tensor<8xf32>
}

// -----

#r = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [4, 16, 8]>, <reg, [4, 16, 4]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>

// A kernel overwrites its output, reads constant weights where they are, and takes row-major buffers only: the slice is
// copied.
// CHECK-LABEL: func.func @kernel(
// CHECK-SAME:    %[[X:.*]]: memref<4x16xi8>
// CHECK-DAG:     %[[W:.*]] = qlow.get_weight @w : memref<8x16xi8>
// CHECK-DAG:     %[[SLICE:.*]] = memref.subview %[[X]]
// CHECK-DAG:     %[[Y:.*]] = memref.alloc() {{.*}}: memref<4x16xi32>
// CHECK-DAG:     %[[PLAIN:.*]] = memref.alloc() {{.*}}: memref<4x8xi8>
// CHECK:         linalg.generic {{.*}} ins(%[[SLICE]] : {{.*}}) outs(%[[PLAIN]]
// CHECK:         qlow.matmul_kernel lhs(%[[PLAIN]], {{.*}} rhs(%[[W]], {{.*}} outs(%[[Y]]
// CHECK:         return %[[Y]]
qlow.weight private @w dense<1> : tensor<8x16xi8> as tensor<8x16x!qlow.q<i8 : f32>> bytes 128
func.func @kernel(%x: tensor<4x16xi8>, %s: tensor<f32>) -> tensor<4x16xi32> {
  %slice = tensor.extract_slice %x[0, 4] [4, 8] [1, 1] : tensor<4x16xi8> to tensor<4x8xi8>
  %w = qlow.get_weight @w : tensor<8x16xi8>
  %init = tensor.empty() : tensor<4x16xi32>
  %y = qlow.matmul_kernel lhs(%slice, %s : tensor<4x8xi8>, tensor<f32>) as tensor<4x8x!qlow.q<u8 : f32>>
    rhs(%w, %s : tensor<8x16xi8>, tensor<f32>) as tensor<8x16x!qlow.q<i8 : f32>> maps [] outs(%init : tensor<4x16xi32>)
    epilogue {
    ^bb0(%acc: i32):
      qlow.yield %acc : i32
    } recipes #qlow.recipes<[#r]> -> tensor<4x16xi32>
  return %y : tensor<4x16xi32>
}

// -----

// What a branch leaves undefined is any buffer.
// CHECK-LABEL: func.func @poison(
// CHECK:         memref.alloc
func.func @poison() -> tensor<4xf32> {
  %p = ub.poison : tensor<4xf32>
  return %p : tensor<4xf32>
}

// -----

// A pack overwrites its output, which is never copied first, and reads row-major buffers only.
// CHECK-LABEL: func.func @pack(
// CHECK-SAME:    %[[X:.*]]: memref<8x32xi8>
// CHECK-DAG:     %[[BYTES:.*]] = memref.alloc() {{.*}}: memref<768xi8>
// CHECK-DAG:     %[[PLAIN:.*]] = memref.alloc() {{.*}}: memref<8x16xi8>
// CHECK-NOT:     memref.copy
// CHECK:         qlow.pack(%[[PLAIN]] : memref<8x16xi8>) as {{.*}} outs(%[[BYTES]] : memref<768xi8>)
// CHECK:         return %[[BYTES]]
func.func @pack(%x: tensor<8x32xi8>) -> tensor<768xi8> {
  %slice = tensor.extract_slice %x[0, 4] [8, 16] [1, 1] : tensor<8x32xi8> to tensor<8x16xi8>
  %e = tensor.empty() : tensor<768xi8>
  %p = qlow.pack (%slice : tensor<8x16xi8>) as tensor<8x16x!qlow.q<i8 : f32>> outs(%e : tensor<768xi8>)
    layout <element = i8, panel = 64, columns = 16, group = 4> -> tensor<768xi8>
  return %p : tensor<768xi8>
}

// -----

// A size that becomes two dynamic ones is a view by strides, which upstream's lowering of expand_shape does not know.
// CHECK-LABEL: func.func @expand_dynamic(
// CHECK-SAME:    %[[X:.*]]: memref<?x8xf32>, %[[A:.*]]: index, %[[B:.*]]: index)
// CHECK:         %[[STRIDE:.*]] = arith.muli %[[B]], %
// CHECK:         memref.reinterpret_cast %[[X]] to offset: [0], sizes: [%[[A]], %[[B]], 8], strides: [%[[STRIDE]], 8, 1] : memref<?x8xf32> to memref<?x?x8xf32>
func.func @expand_dynamic(%x: tensor<?x8xf32>, %a: index, %b: index) -> tensor<?x?x8xf32> {
  %y = tensor.expand_shape %x [[0, 1], [2]] output_shape [%a, %b, 8] : tensor<?x8xf32> into tensor<?x?x8xf32>
  return %y : tensor<?x?x8xf32>
}

// One dynamic size a group stays what it is.
// CHECK-LABEL: func.func @expand(
// CHECK:         memref.expand_shape
func.func @expand(%x: tensor<?x8xf32>, %a: index) -> tensor<?x2x8xf32> {
  %y = tensor.expand_shape %x [[0, 1], [2]] output_shape [%a, 2, 8] : tensor<?x8xf32> into tensor<?x2x8xf32>
  return %y : tensor<?x2x8xf32>
}
