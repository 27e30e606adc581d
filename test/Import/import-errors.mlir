// RUN: qlow-opt -split-input-file -qlow-import-quant -qlow-import-tosa -verify-diagnostics %s

// What import can not give a meaning is rejected where it stands, with what to write instead.

func.func @reshaped(%x: tensor<4xf32>) -> tensor<2x2xf32> {
  %q = quant.qcast %x : tensor<4xf32> to tensor<4x!quant.uniform<i8:f32, 0.5>>
  // expected-error @+1 {{'tensor.expand_shape' does not take quantized tensors; compute on the floats after quant.dcast, or on the storage before quant.scast}}
  %r = tensor.expand_shape %q [[0, 1]] output_shape [2, 2] : tensor<4x!quant.uniform<i8:f32, 0.5>> into tensor<2x2x!quant.uniform<i8:f32, 0.5>>
  %y = quant.dcast %r : tensor<2x2x!quant.uniform<i8:f32, 0.5>> to tensor<2x2xf32>
  return %y : tensor<2x2xf32>
}

// -----

func.func @scalar(%x: f32) -> f32 {
  // expected-error @+1 {{expected a ranked tensor of a quantized type, found '!quant.uniform<i8:f32, 5.000000e-01>'}}
  %q = quant.qcast %x : f32 to !quant.uniform<i8:f32, 0.5>
  %y = quant.dcast %q : !quant.uniform<i8:f32, 0.5> to f32
  return %y : f32
}

// -----

func.func @seven_bits(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{expected storage of i2 to i6, i8, i16, u2 to u6, u8, or i32 for a bias, found '!quant.uniform<i7:f32, 5.000000e-01>'}}
  %q = quant.qcast %x : tensor<4xf32> to tensor<4x!quant.uniform<i7:f32, 0.5>>
  %y = quant.dcast %q : tensor<4x!quant.uniform<i7:f32, 0.5>> to tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @doubles(%x: tensor<4xf64>) -> tensor<4xf64> {
  // expected-error @+1 {{expected a type that stands for f32, f16 or bf16, found '!quant.uniform<i8:f64, 5.000000e-01>'}}
  %q = quant.qcast %x : tensor<4xf64> to tensor<4x!quant.uniform<i8:f64, 0.5>>
  %y = quant.dcast %q : tensor<4x!quant.uniform<i8:f64, 0.5>> to tensor<4xf64>
  return %y : tensor<4xf64>
}

// -----

func.func @sums_at_run_time(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{quantizes to i32, which only a constant bias may be; use i8, u8 or i16}}
  %q = quant.qcast %x : tensor<4xf32> to tensor<4x!quant.uniform<i32:f32, 0.5>>
  %y = quant.dcast %q : tensor<4x!quant.uniform<i32:f32, 0.5>> to tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @loose_nibbles(%codes: tensor<4xi4>) -> tensor<4xf32> {
  // expected-error @+1 {{takes codes of i4 at run time, one in each element; expected a dense constant, or packed codes as a tensor of !qlow.q}}
  %q = quant.scast %codes : tensor<4xi4> to tensor<4x!quant.uniform<i4:f32, 0.5>>
  %y = quant.dcast %q : tensor<4x!quant.uniform<i4:f32, 0.5>> to tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// expected-error @+1 {{expected tensors of 8 bits or i32 at the boundary of a function, found 'tensor<4x!quant.uniform<i4:f32, 5.000000e-01>>'; pass packed codes as a tensor of !qlow.q instead}}
func.func @nibbles_at_boundary(%q: tensor<4x!quant.uniform<i4:f32, 0.5>>) -> tensor<4xf32> {
  %y = quant.dcast %q : tensor<4x!quant.uniform<i4:f32, 0.5>> to tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// Sums 8 codes apart have no code 1, and 4 bits have no bytes to clamp.
!q = !quant.uniform<i8:f32, 2.0>
!y = !quant.uniform<u4<1:15>:f32, 0.5>
func.func @fine_nibbles(%x8: tensor<3x4xi8>, %w8: tensor<4x2xi8>) -> tensor<3x2xf32> {
  %xq = quant.scast %x8 : tensor<3x4xi8> to tensor<3x4x!q>
  %x = quant.dcast %xq : tensor<3x4x!q> to tensor<3x4xf32>
  %wq = quant.scast %w8 : tensor<4x2xi8> to tensor<4x2x!q>
  %w = quant.dcast %wq : tensor<4x2x!q> to tensor<4x2xf32>
  %init = arith.constant dense<0.0> : tensor<3x2xf32>
  %dot = linalg.matmul ins(%x, %w : tensor<3x4xf32>, tensor<4x2xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  // expected-error @+1 {{expected bounds that are codes of a sum, or storage of 8 bits: the scale of the result is smaller than that of the product; store these activations as i8 or u8}}
  %yq = quant.qcast %dot : tensor<3x2xf32> to tensor<3x2x!y>
  %y = quant.dcast %yq : tensor<3x2x!y> to tensor<3x2xf32>
  return %y : tensor<3x2xf32>
}

// -----

func.func @wide_matmul(%a: tensor<1x2x8xi16>, %b: tensor<1x8x4xi16>) -> tensor<1x2x4xi48> {
  %zp = "tosa.const"() <{values = dense<0> : tensor<1xi16>}> : () -> tensor<1xi16>
  // expected-error @+1 {{expected i8 x i8 to i32, or f16, bf16 or f32, with ranks known, found 'tensor<1x2x8xi16>' x 'tensor<1x8x4xi16>' to 'tensor<1x2x4xi48>'}}
  %y = tosa.matmul %a, %b, %zp, %zp : (tensor<1x2x8xi16>, tensor<1x8x4xi16>, tensor<1xi16>, tensor<1xi16>) -> tensor<1x2x4xi48>
  return %y : tensor<1x2x4xi48>
}

// -----

// expected-error @+1 {{expected scales along dimensions of the tensor, found 'tensor<4x!quant.uniform<i8:f32:3, {5.000000e-01,2.500000e-01}>>'}}
func.func @no_such_axis(%x: tensor<4x!quant.uniform<i8:f32:3, {0.5, 0.25}>>) -> tensor<4x!quant.uniform<i8:f32:3, {0.5, 0.25}>> {
  return %x : tensor<4x!quant.uniform<i8:f32:3, {0.5, 0.25}>>
}
