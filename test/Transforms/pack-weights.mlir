// RUN: qlow-opt %s -cse -qlow-pack-weights=target=znver4 | FileCheck %s --check-prefixes=CHECK,CPU
// RUN: qlow-opt %s -cse -qlow-pack-weights=target=sm_90 | FileCheck %s --check-prefixes=CHECK,DEVICE

#l = #qlow.layout<element = i8, panel = 64, columns = 16, group = 4>
!i8 = !qlow.q<i8 : f32>

// A pack of a constant becomes a weight of 64 x 32 codes and 32 sums of four bytes.
// CHECK-LABEL: func.func @packed
// CHECK: %[[W:.+]] = qlow.get_weight @weight0 : tensor<2176xi8>
// CHECK: return %[[W]]
func.func @packed() -> tensor<2176xi8> {
  %w = arith.constant dense_resource<w> : tensor<64x32xi8>
  %e = tensor.empty() : tensor<2176xi8>
  %p = qlow.pack (%w : tensor<64x32xi8>) as tensor<64x32x!i8> outs(%e : tensor<2176xi8>) layout #l -> tensor<2176xi8>
  return %p : tensor<2176xi8>
}

// The same constant in the same layout is the same weight, wherever it is used.
// CHECK-LABEL: func.func @again
// CHECK: qlow.get_weight @weight0 : tensor<2176xi8>
func.func @again() -> tensor<2176xi8> {
  %w = arith.constant dense_resource<w> : tensor<64x32xi8>
  %e = tensor.empty() : tensor<2176xi8>
  %p = qlow.pack (%w : tensor<64x32xi8>) as tensor<64x32x!i8> outs(%e : tensor<2176xi8>) layout #l -> tensor<2176xi8>
  return %p : tensor<2176xi8>
}

// What is computed is packed by the program, once for two equal packs.
// CHECK-LABEL: func.func @computed(
// CHECK: %[[P:.+]] = qlow.pack
// CHECK-NOT: qlow.pack
// CHECK: return %[[P]], %[[P]]
func.func @computed(%w: tensor<64x32xi8>) -> (tensor<2176xi8>, tensor<2176xi8>) {
  %e = tensor.empty() : tensor<2176xi8>
  %p = qlow.pack (%w : tensor<64x32xi8>) as tensor<64x32x!i8> outs(%e : tensor<2176xi8>) layout #l -> tensor<2176xi8>
  %f = tensor.empty() : tensor<2176xi8>
  %q = qlow.pack (%w : tensor<64x32xi8>) as tensor<64x32x!i8> outs(%f : tensor<2176xi8>) layout #l -> tensor<2176xi8>
  return %p, %q : tensor<2176xi8>, tensor<2176xi8>
}

// Constants of codes that do not lie as they are stored keep their few bytes in the object and are decoded when it runs.
// CHECK-LABEL: func.func @decoded(
// CHECK: qlow.pack
func.func @decoded() -> tensor<2176xi8> {
  %w = arith.constant dense<1> : tensor<64x16xi8>
  %e = tensor.empty() : tensor<2176xi8>
  %p = qlow.pack (%w : tensor<64x16xi8>) as tensor<64x32x!qlow.q<i4 : f32>> outs(%e : tensor<2176xi8>) layout #l -> tensor<2176xi8>
  return %p : tensor<2176xi8>
}

// Large constants of other uses are moved out as they are, small ones stay, but for a device, which sees no others.
// CHECK-LABEL: func.func @others
func.func @others() -> (tensor<16384xf32>, tensor<16384xf32>, tensor<2xf32>) {
  // One value many times fills as many bytes of the object as many values.
  // CHECK: qlow.get_weight @weight{{.}} : tensor<16384xf32>
  %alike = arith.constant dense<3.0> : tensor<16384xf32>
  // CHECK: qlow.get_weight @weight{{.}} : tensor<16384xf32>
  %large = arith.constant dense_resource<large> : tensor<16384xf32>
  // DEVICE: qlow.get_weight @weight{{.}} : tensor<2xf32>
  // CPU: arith.constant dense<[1.000000e+00, 2.000000e+00]>
  %small = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  return %alike, %large, %small : tensor<16384xf32>, tensor<16384xf32>, tensor<2xf32>
}
// CHECK: qlow.weight private @weight0 dense_resource<w> : tensor<64x32xi8> as tensor<64x32x!{{.+}}> bytes 2176 layout #
// CHECK: qlow.weight private @weight{{.}} dense<3.000000e+00> : tensor<16384xf32> as tensor<16384xf32> bytes 65536
// CHECK: qlow.weight private @weight{{.}} dense_resource<large> : tensor<16384xf32> as tensor<16384xf32> bytes 65536
