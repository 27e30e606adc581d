// RUN: qlow-opt -split-input-file %s | qlow-opt -split-input-file | FileCheck %s

// The spelling of every kind of type comes back as it was; the types of a tensor print as aliases.

// One scale for the tensor.
// CHECK: !q = !qlow.q<i8 : f32>
// CHECK: @per_tensor(tensor<4x8x!q>)
func.func private @per_tensor(tensor<4x8x!qlow.q<i8 : f32>>)

// -----

// One scale and zero point for the tensor.
// CHECK: !q = !qlow.q<u8 : f32, zero = u8>
func.func private @asymmetric(tensor<4x8x!qlow.q<u8 : f32, zero = u8>>)

// -----

// One scale for each row.
// CHECK: !q = !qlow.q<i8 : f32, block = [1, *]>
func.func private @per_row(tensor<4x8x!qlow.q<i8 : f32, block = [1, *]>>)

// -----

// GPTQ and AWQ: groups with a packed zero point.
// CHECK: !q = !qlow.q<u4 : f16, zero = u4, block = [1, 128]>
func.func private @groups(tensor<?x256x!qlow.q<u4 : f16, zero = u4, block = [1, 128]>>)

// -----

// Squares that share a scale, the last ones cut short.
// CHECK: !q = !qlow.q<f8E4M3FN : f32, block = [128, 128]>
func.func private @squares(tensor<200x300x!qlow.q<f8E4M3FN : f32, block = [128, 128]>>)

// -----

// CHECK: !q = !qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 32]>
func.func private @mxfp4(tensor<4x64x!qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 32]>>)

// -----

// A scale that is quantized itself, with one scale for all scales.
// CHECK: !q = !qlow.q<f8E4M3FN : f32>
// CHECK: !q1 = !qlow.q<f4E2M1FN : !q, block = [1, 16]>
// CHECK: @nvfp4(tensor<4x64x!q1>)
func.func private @nvfp4(tensor<4x64x!qlow.q<f4E2M1FN : !qlow.q<f8E4M3FN : f32>, block = [1, 16]>>)

// -----

// Scale and offset quantized; the block of the scale counts scales.
// CHECK: !q = !qlow.q<u6 : f16, block = [1, 8]>
// CHECK: !q1 = !qlow.q<u4 : !q, offset = !q, block = [1, 32]>
// CHECK: @q4_k(tensor<64x4096x!q1>)
!scale = !qlow.q<u6 : f16, block = [1, 8]>
func.func private @q4_k(tensor<64x4096x!qlow.q<u4 : !scale, offset = !scale, block = [1, 32]>>)

// -----

// Fields may stand in any order.
// CHECK: !q = !qlow.q<u8 : f32, zero = u8, offset = f32, block = [1, 4]>
func.func private @any_order(tensor<4x8x!qlow.q<u8 : f32, block = [1, 4], offset = f32, zero = u8>>)

// -----

// A scalar is a tensor of rank 0.
// CHECK: tensor<!q>
func.func private @scalar(tensor<!qlow.q<i8 : f32>>)

// -----

// Sizes of 0 are sizes.
// CHECK: tensor<0x8x!q>
func.func private @empty(tensor<0x8x!qlow.q<i8 : f32, block = [1, *]>>)

// -----

// Every scale format.
// CHECK-DAG: = !qlow.q<i8 : f32>
// CHECK-DAG: = !qlow.q<i8 : f16>
// CHECK-DAG: = !qlow.q<i8 : bf16>
// CHECK-DAG: = !qlow.q<i8 : f8E8M0FNU>
// CHECK-DAG: = !qlow.q<i8 : f8E4M3FN>
func.func private @scales(
  tensor<2x!qlow.q<i8 : f32>>, tensor<2x!qlow.q<i8 : f16>>, tensor<2x!qlow.q<i8 : bf16>>,
  tensor<2x!qlow.q<i8 : f8E8M0FNU>>, tensor<2x!qlow.q<i8 : f8E4M3FN>>)

// -----

// Every code format; their bytes are those of 40 codes.
// CHECK-LABEL: @codes
func.func @codes(
  %i2: tensor<40x!qlow.q<i2 : f32>>, %i3: tensor<40x!qlow.q<i3 : f32>>, %i4: tensor<40x!qlow.q<i4 : f32>>,
  %i5: tensor<40x!qlow.q<i5 : f32>>, %i6: tensor<40x!qlow.q<i6 : f32>>, %i8: tensor<40x!qlow.q<i8 : f32>>,
  %i16: tensor<40x!qlow.q<i16 : f32>>, %u2: tensor<40x!qlow.q<u2 : f32>>, %u3: tensor<40x!qlow.q<u3 : f32>>,
  %u4: tensor<40x!qlow.q<u4 : f32>>, %u5: tensor<40x!qlow.q<u5 : f32>>, %u6: tensor<40x!qlow.q<u6 : f32>>,
  %u7: tensor<40x!qlow.q<u7 : f32>>, %u8: tensor<40x!qlow.q<u8 : f32>>, %nf4: tensor<40x!qlow.q<nf4 : f32>>,
  %bnb: tensor<40x!qlow.q<bnb_fp4 : f32>>, %iq4nl: tensor<40x!qlow.q<iq4nl : f32>>,
  %e2m1: tensor<40x!qlow.q<f4E2M1FN : f32>>, %e2m3: tensor<40x!qlow.q<f6E2M3FN : f32>>,
  %e3m2: tensor<40x!qlow.q<f6E3M2FN : f32>>, %e4m3: tensor<40x!qlow.q<f8E4M3FN : f32>>,
  %e5m2: tensor<40x!qlow.q<f8E5M2 : f32>>, %e4m3z: tensor<40x!qlow.q<f8E4M3FNUZ : f32>>,
  %e5m2z: tensor<40x!qlow.q<f8E5M2FNUZ : f32>>, %binary: tensor<40x!qlow.q<binary : f32>>,
  %ternary: tensor<40x!qlow.q<ternary : f32>>, %trit: tensor<40x!qlow.q<trit : f32>>) {
  // CHECK: -> (tensor<10xi8>, tensor<f32>)
  %1:2 = qlow.decompose %i2 : (tensor<40x!qlow.q<i2 : f32>>) -> (tensor<10xi8>, tensor<f32>)
  // CHECK: -> (tensor<15xi8>, tensor<f32>)
  %2:2 = qlow.decompose %u3 : (tensor<40x!qlow.q<u3 : f32>>) -> (tensor<15xi8>, tensor<f32>)
  // CHECK: -> (tensor<25xi8>, tensor<f32>)
  %3:2 = qlow.decompose %i5 : (tensor<40x!qlow.q<i5 : f32>>) -> (tensor<25xi8>, tensor<f32>)
  // CHECK: -> (tensor<30xi8>, tensor<f32>)
  %4:2 = qlow.decompose %e3m2 : (tensor<40x!qlow.q<f6E3M2FN : f32>>) -> (tensor<30xi8>, tensor<f32>)
  // CHECK: -> (tensor<35xi8>, tensor<f32>)
  %5:2 = qlow.decompose %u7 : (tensor<40x!qlow.q<u7 : f32>>) -> (tensor<35xi8>, tensor<f32>)
  // CHECK: -> (tensor<80xi8>, tensor<f32>)
  %6:2 = qlow.decompose %i16 : (tensor<40x!qlow.q<i16 : f32>>) -> (tensor<80xi8>, tensor<f32>)
  // CHECK: -> (tensor<5xi8>, tensor<f32>)
  %7:2 = qlow.decompose %binary : (tensor<40x!qlow.q<binary : f32>>) -> (tensor<5xi8>, tensor<f32>)
  // CHECK: -> (tensor<8xi8>, tensor<f32>)
  %8:2 = qlow.decompose %trit : (tensor<40x!qlow.q<trit : f32>>) -> (tensor<8xi8>, tensor<f32>)
  return
}
