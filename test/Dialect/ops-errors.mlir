// RUN: qlow-opt -split-input-file -verify-diagnostics %s

// A failing example for each numbered constraint of the ops; functions carry the number.

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

func.func @compose_c1(%codes: tensor<4x8xi8>, %scale: tensor<4xf32>) {
  // expected-error@+1 {{expected the parts ('tensor<4x8xi8>', 'tensor<4x1xf32>') for 'tensor<4x8x!qlow.q<i8 : f32, block = [1, *]>>', found ('tensor<4x8xi8>', 'tensor<4xf32>')}}
  %q = qlow.compose %codes, %scale : (tensor<4x8xi8>, tensor<4xf32>) -> tensor<4x8x!qlow.q<i8 : f32, block = [1, *]>>
  return
}

// -----

func.func @compose_nothing_c1() {
  // expected-error@+1 {{expected the parts ('tensor<4xi8>', 'tensor<f32>') for 'tensor<4x!qlow.q<i8 : f32>>', found ()}}
  %q = "qlow.compose"() : () -> tensor<4x!qlow.q<i8 : f32>>
  return
}

// -----

func.func @decompose_c1(%q: tensor<8x!qlow.q<u4 : f32>>) {
  // expected-error@+1 {{expected the parts ('tensor<4xi8>', 'tensor<f32>') for 'tensor<8x!qlow.q<u4 : f32>>', found ('tensor<8xi8>', 'tensor<f32>')}}
  %0:2 = qlow.decompose %q : (tensor<8x!qlow.q<u4 : f32>>) -> (tensor<8xi8>, tensor<f32>)
  return
}

// -----

func.func @quantize_c1(%x: tensor<8xf32>, %scale: tensor<f32>) {
  // expected-error@+1 {{expected the parts ('tensor<f32>', 'tensor<1xi8>') for 'tensor<8x!qlow.q<u8 : f32, zero = u8>>', found ('tensor<f32>')}}
  %q = qlow.quantize %x, %scale : (tensor<8xf32>, tensor<f32>) -> tensor<8x!qlow.q<u8 : f32, zero = u8>>
  return
}

// -----

// Ops check the blocks of their types themselves.
func.func @dequantize_t5(%q: tensor<4x8x!qlow.q<i8 : f32, block = [1, 8]>>) {
  // expected-error@+1 {{block of '!qlow.q<i8 : f32, block = [1, 8]>' on a tensor of this shape is written block = [1, *]}}
  %0 = qlow.dequantize %q : tensor<4x8x!qlow.q<i8 : f32, block = [1, 8]>> -> tensor<4x8xf32>
  return
}

// -----

func.func @compose_t7(%codes: tensor<?x8xi8>, %scale: tensor<f32>) {
  // expected-error@+1 {{a tensor of '!qlow.q<i16 : f32>' of this shape has more than 2^63 - 1 codes or bytes}}
  %q = qlow.compose %codes, %scale : (tensor<?x8xi8>, tensor<f32>) -> tensor<8x9223372036854775807x!qlow.q<i16 : f32>>
  return
}

// -----

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

func.func @quantize_c2(%x: tensor<8xf32>, %scale: tensor<f32>) {
  // expected-error@+1 {{expected input and result of one shape, found 'tensor<8xf32>' and 'tensor<4x!qlow.q<i8 : f32>>'}}
  %q = qlow.quantize %x, %scale : (tensor<8xf32>, tensor<f32>) -> tensor<4x!qlow.q<i8 : f32>>
  return
}

// -----

func.func @quantize_dynamic_c2(%x: tensor<8xf32>) {
  // expected-error@+1 {{expected input and result of one shape, found 'tensor<8xf32>' and 'tensor<4x!qlow.q<i8 : f32>>'}}
  %q = qlow.quantize_dynamic %x : tensor<8xf32> -> tensor<4x!qlow.q<i8 : f32>>
  return
}

// -----

func.func @dequantize_c2(%q: tensor<8x!qlow.q<i8 : f32>>) {
  // expected-error@+1 {{expected input and result of one shape, found 'tensor<8x!qlow.q<i8 : f32>>' and 'tensor<1x8xf32>'}}
  %0 = qlow.dequantize %q : tensor<8x!qlow.q<i8 : f32>> -> tensor<1x8xf32>
  return
}

// -----

func.func @requantize_c2(%acc: tensor<8xi32>, %m: tensor<f32>, %scale: tensor<f32>) {
  // expected-error@+1 {{expected input and result of one shape, found 'tensor<8xi32>' and 'tensor<4x!qlow.q<i8 : f32>>'}}
  %q = qlow.requantize half_even %acc, %m parts(%scale : tensor<f32>) : tensor<8xi32>, tensor<f32> -> tensor<4x!qlow.q<i8 : f32>>
  return
}

// -----

func.func @quantize_dynamic_scale_c3(%x: tensor<8xf32>) {
  // expected-error@+1 {{expected a result with a scale of f32 or f8E8M0FNU and no offset, found '!qlow.q<i8 : f16>'}}
  %q = qlow.quantize_dynamic %x : tensor<8xf32> -> tensor<8x!qlow.q<i8 : f16>>
  return
}

// -----

func.func @quantize_dynamic_offset_c3(%x: tensor<8xf32>) {
  // expected-error@+1 {{expected a result with a scale of f32 or f8E8M0FNU and no offset, found '!qlow.q<u8 : f32, offset = f32>'}}
  %q = qlow.quantize_dynamic %x : tensor<8xf32> -> tensor<8x!qlow.q<u8 : f32, offset = f32>>
  return
}

// -----

func.func @quantize_dynamic_zero_c3(%x: tensor<8xf32>) {
  // expected-error@+1 {{measures a zero point only for unsigned integer codes with an f32 scale and a zero point of the same format, found '!qlow.q<i8 : f32, zero = i8>'}}
  %q = qlow.quantize_dynamic %x : tensor<8xf32> -> tensor<8x!qlow.q<i8 : f32, zero = i8>>
  return
}

// -----

func.func @requantize_c4(%acc: tensor<4x8xi32>, %m: tensor<4xf32>, %scale: tensor<f32>) {
  // expected-error@+1 {{expected multiplier and shift of rank 0, or of rank 1 and the size of the last dimension}}
  %q = qlow.requantize half_even %acc, %m parts(%scale : tensor<f32>) : tensor<4x8xi32>, tensor<4xf32> -> tensor<4x8x!qlow.q<i8 : f32>>
  return
}

// -----

func.func @requantize_multiplier_c5(%acc: tensor<8xi32>, %m: tensor<i32>, %scale: tensor<f32>) {
  // expected-error@+1 {{expected a multiplier of f32 for half_even, found 'tensor<i32>'}}
  %q = qlow.requantize half_even %acc, %m parts(%scale : tensor<f32>) : tensor<8xi32>, tensor<i32> -> tensor<8x!qlow.q<i8 : f32>>
  return
}

// -----

func.func @requantize_shift_c5(%acc: tensor<8xi32>, %m: tensor<f32>, %shift: tensor<i8>, %scale: tensor<f32>) {
  // expected-error@+1 {{has a shift, which half_even does not take}}
  %q = qlow.requantize half_even %acc, %m shift(%shift : tensor<i8>) parts(%scale : tensor<f32>) : tensor<8xi32>, tensor<f32> -> tensor<8x!qlow.q<i8 : f32>>
  return
}

// -----

func.func @requantize_no_shift_c5(%acc: tensor<8xi32>, %m: tensor<i32>, %scale: tensor<f32>) {
  // expected-error@+1 {{needs the shift of TOSA's rule}}
  %q = qlow.requantize single %acc, %m parts(%scale : tensor<f32>) : tensor<8xi32>, tensor<i32> -> tensor<8x!qlow.q<i8 : f32>>
  return
}

// -----

func.func @requantize_c6(%acc: tensor<8xi32>, %m: tensor<f32>, %scale: tensor<f32>) {
  // expected-error@+1 {{expected a result of integer codes of at most 8 bits with one zero point and no offset, found '!qlow.q<f8E4M3FN : f32>'}}
  %q = qlow.requantize half_even %acc, %m parts(%scale : tensor<f32>) : tensor<8xi32>, tensor<f32> -> tensor<8x!qlow.q<f8E4M3FN : f32>>
  return
}

// -----

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

func.func @matmul_rank_c7(%a: tensor<4x8xf32>, %b: tensor<1x8x2xf32>) {
  // expected-error@+1 {{expected operands and result of one rank of at least 2, found 'tensor<4x8xf32>', 'tensor<1x8x2xf32>' and 'tensor<4x2xf32>'}}
  %0 = qlow.matmul %a, %b : tensor<4x8xf32>, tensor<1x8x2xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_k_c7(%a: tensor<4x8xf32>, %b: tensor<2x8xf32>) {
  // expected-error@+1 {{expected both sides to agree on K, found 8 in 'tensor<4x8xf32>' and 2 in 'tensor<2x8xf32>'}}
  %0 = qlow.matmul %a, %b : tensor<4x8xf32>, tensor<2x8xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_size_c7(%a: tensor<4x8xf32>, %b: tensor<2x8xf32>) {
  // expected-error@+1 {{expected a result of size M x N, found 'tensor<2x4xf32>' for 'tensor<4x8xf32>' and 'tensor<2x8xf32>'}}
  %0 = qlow.matmul transpose_rhs %a, %b : tensor<4x8xf32>, tensor<2x8xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @matmul_batch_c7(%a: tensor<3x4x8xf32>, %b: tensor<2x8x2xf32>) {
  // expected-error@+1 {{expected a result of the operands' batch sizes, found 'tensor<?x4x2xf32>' for 'tensor<3x4x8xf32>' and 'tensor<2x8x2xf32>'}}
  %0 = qlow.matmul %a, %b : tensor<3x4x8xf32>, tensor<2x8x2xf32> -> tensor<?x4x2xf32>
  return
}

// -----

func.func @matmul_dynamic_batch_c7(%a: tensor<?x4x8xf32>, %b: tensor<2x8x2xf32>) {
  // expected-error@+1 {{expected a result of the operands' batch sizes, found 'tensor<3x4x2xf32>' for 'tensor<?x4x8xf32>' and 'tensor<2x8x2xf32>'}}
  %0 = qlow.matmul %a, %b : tensor<?x4x8xf32>, tensor<2x8x2xf32> -> tensor<3x4x2xf32>
  return
}

// -----

func.func @matmul_operands_c8(%a: tensor<4x8xi8>, %b: tensor<8x2xi8>) {
  // expected-error@+1 {{expected operands of !qlow.q, f32, f16 or bf16, found 'tensor<4x8xi8>' and 'tensor<8x2xi8>'; integers become quantized by qlow.compose}}
  %0 = qlow.matmul %a, %b : tensor<4x8xi8>, tensor<8x2xi8> -> tensor<4x2xi32>
  return
}

// -----

func.func @matmul_result_c8(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>) {
  // expected-error@+1 {{expected a result of i32, f32, f16, bf16 or !qlow.q, found 'tensor<4x2xi8>'}}
  %0 = qlow.matmul %a, %b : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xi8>
  return
}

// -----

func.func @matmul_step_c8(%a: tensor<4x8x!qlow.q<f4E2M1FN : f32>>, %b: tensor<8x2x!qlow.q<i8 : f32>>) {
  // expected-error@+1 {{an i32 result needs integer codes of at most 8 bits and one scale along K on both sides, found 'tensor<4x8x!qlow.q<f4E2M1FN : f32>>' and 'tensor<8x2x!qlow.q<i8 : f32>>'}}
  %0 = qlow.matmul %a, %b : tensor<4x8x!qlow.q<f4E2M1FN : f32>>, tensor<8x2x!qlow.q<i8 : f32>> -> tensor<4x2xi32>
  return
}

// -----

func.func @matmul_blocks_c8(%a: tensor<4x8x!qlow.q<i8 : f32, block = [1, 4]>>, %b: tensor<8x2x!qlow.q<i8 : f32>>) {
  // expected-error@+1 {{an i32 result needs integer codes of at most 8 bits and one scale along K on both sides, found 'tensor<4x8x!qlow.q<i8 : f32, block = [1, 4]>>' and 'tensor<8x2x!qlow.q<i8 : f32>>'}}
  %0 = qlow.matmul %a, %b : tensor<4x8x!qlow.q<i8 : f32, block = [1, 4]>>, tensor<8x2x!qlow.q<i8 : f32>> -> tensor<4x2xi32>
  return
}

// -----

func.func @matmul_offset_c8(%a: tensor<4x8x!qlow.q<i8 : f32>>, %b: tensor<8x2x!qlow.q<i8 : f32>>, %s: tensor<f32>) {
  // expected-error@+1 {{expected a quantized result without offset, found '!qlow.q<u8 : f32, offset = f32>'}}
  %0 = qlow.matmul %a, %b parts(%s, %s : tensor<f32>, tensor<f32>) : tensor<4x8x!qlow.q<i8 : f32>>, tensor<8x2x!qlow.q<i8 : f32>> -> tensor<4x2x!qlow.q<u8 : f32, offset = f32>>
  return
}

// -----

func.func @matmul_parts_c1(%a: tensor<4x8x!qlow.q<i8 : f32>>, %b: tensor<8x2x!qlow.q<i8 : f32>>) {
  // expected-error@+1 {{expected the parts ('tensor<f32>') for 'tensor<4x2x!qlow.q<i8 : f32>>', found ()}}
  %0 = qlow.matmul %a, %b : tensor<4x8x!qlow.q<i8 : f32>>, tensor<8x2x!qlow.q<i8 : f32>> -> tensor<4x2x!qlow.q<i8 : f32>>
  return
}

// -----

func.func @matmul_float_parts_c1(%a: tensor<4x8x!qlow.q<i8 : f32>>, %b: tensor<8x2x!qlow.q<i8 : f32>>, %s: tensor<f32>) {
  // expected-error@+1 {{has parts of a quantized result, but the result is 'tensor<4x2xf32>'}}
  %0 = qlow.matmul %a, %b parts(%s : tensor<f32>) : tensor<4x8x!qlow.q<i8 : f32>>, tensor<8x2x!qlow.q<i8 : f32>> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_bias_c9(%a: tensor<4x8x!qlow.q<i8 : f32>>, %b: tensor<8x2x!qlow.q<i8 : f32>>, %c: tensor<2xf32>) {
  // expected-error@+1 {{expected a bias of N i32 for this result, found 'tensor<2xf32>'}}
  %0 = qlow.matmul %a, %b bias(%c : tensor<2xf32>) : tensor<4x8x!qlow.q<i8 : f32>>, tensor<8x2x!qlow.q<i8 : f32>> -> tensor<4x2xi32>
  return
}

// -----

func.func @matmul_bias_size_c9(%a: tensor<4x8x!qlow.q<i8 : f32>>, %b: tensor<8x2x!qlow.q<i8 : f32>>, %c: tensor<4xf32>) {
  // expected-error@+1 {{expected a bias of N f32 for this result, found 'tensor<4xf32>'}}
  %0 = qlow.matmul %a, %b bias(%c : tensor<4xf32>) : tensor<4x8x!qlow.q<i8 : f32>>, tensor<8x2x!qlow.q<i8 : f32>> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_float_bias_c9(%a: tensor<4x8xf32>, %b: tensor<8x2x!qlow.q<i8 : f32>>, %c: tensor<2xi32>, %s: tensor<f32>) {
  // expected-error@+1 {{expected a bias of N f32 for this result, found 'tensor<2xi32>'}}
  %0 = qlow.matmul %a, %b bias(%c : tensor<2xi32>) parts(%s : tensor<f32>) : tensor<4x8xf32>, tensor<8x2x!qlow.q<i8 : f32>> -> tensor<4x2x!qlow.q<i8 : f32>>
  return
}

// -----

func.func @matmul_epilogue_bias_c9(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>, %c: tensor<2xf32>) {
  // expected-error@+1 {{has an epilogue: the bias belongs into it}}
  %0 = qlow.matmul %a, %b bias(%c : tensor<2xf32>) epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_arguments_c10(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>) {
  // expected-error@+1 {{expected an epilogue of 1 + 0 arguments and a map for each extra}}
  %0 = qlow.matmul %a, %b epilogue {
  ^bb0(%sum: f32, %x: f32):
    qlow.yield %sum : f32
  } : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_sum_c10(%a: tensor<4x8x!qlow.q<i8 : f32>>, %b: tensor<8x2x!qlow.q<i8 : f32>>) {
  // expected-error@+1 {{expected the epilogue's first argument to be the sum of type 'i32', found 'f32'}}
  %0 = qlow.matmul %a, %b epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } : tensor<4x8x!qlow.q<i8 : f32>>, tensor<8x2x!qlow.q<i8 : f32>> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_map_c10(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>, %x: tensor<2xf32>) {
  // expected-error@+1 {{extra 0 of type 'tensor<2xf32>' does not fit its map affine_map<(d0, d1) -> (d0)> from (batch..., m, n) of 'tensor<4x2xf32>' or the epilogue's argument of 'f32'}}
  %0 = qlow.matmul %a, %b extras(%x : tensor<2xf32>) maps [affine_map<(m, n) -> (m)>] epilogue {
  ^bb0(%sum: f32, %e: f32):
    qlow.yield %sum : f32
  } : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_extra_c10(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>, %x: tensor<2xf16>) {
  // expected-error@+1 {{extra 0 of type 'tensor<2xf16>' does not fit its map affine_map<(d0, d1) -> (d1)> from (batch..., m, n) of 'tensor<4x2xf32>' or the epilogue's argument of 'f32'}}
  %0 = qlow.matmul %a, %b extras(%x : tensor<2xf16>) maps [affine_map<(m, n) -> (n)>] epilogue {
  ^bb0(%sum: f32, %e: f32):
    qlow.yield %sum : f32
  } : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_no_epilogue_c10(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>, %x: tensor<2xf32>) {
  // expected-error@+1 {{has extras but no epilogue to read them}}
  %0 = qlow.matmul %a, %b extras(%x : tensor<2xf32>) maps [affine_map<(m, n) -> (n)>] : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_yield_c10(%a: tensor<4x8x!qlow.q<i8 : f32>>, %b: tensor<8x2x!qlow.q<i8 : f32>>) {
  // expected-error@+1 {{expected the epilogue to yield 'f32', found 'i32'}}
  %0 = qlow.matmul %a, %b epilogue {
  ^bb0(%sum: i32):
    qlow.yield %sum : i32
  } : tensor<4x8x!qlow.q<i8 : f32>>, tensor<8x2x!qlow.q<i8 : f32>> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_codes_c10(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>, %s: tensor<f32>) {
  // expected-error@+1 {{expected the epilogue to yield 'i8', found 'f32'}}
  %0 = qlow.matmul %a, %b parts(%s : tensor<f32>) epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2x!qlow.q<i8 : f32>>
  return
}

// -----

func.func @matmul_elementwise_c11(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>) {
  %0 = qlow.matmul %a, %b epilogue {
  ^bb0(%sum: f32):
    // expected-error@+1 {{is not scalar and elementwise, as all ops of an epilogue must be}}
    %t = tensor.empty() : tensor<4xf32>
    qlow.yield %sum : f32
  } : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_scalar_c11(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>) {
  %0 = qlow.matmul %a, %b epilogue {
  ^bb0(%sum: f32):
    // expected-error@+1 {{is not scalar and elementwise, as all ops of an epilogue must be}}
    %t = arith.constant dense<0.0> : vector<4xf32>
    qlow.yield %sum : f32
  } : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_terminator_c11(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>) {
  %0 = qlow.matmul %a, %b epilogue {
  ^bb0(%sum: f32):
    // expected-error@+1 {{ends an epilogue, which only qlow.yield does}}
    ub.unreachable
  } : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_no_terminator_c11(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>) {
  %0 = qlow.matmul %a, %b epilogue {
  ^bb0(%sum: f32):
    // expected-error@+1 {{block with no terminator, has}}
    %x = arith.addf %sum, %sum : f32
  } : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @matmul_captures_c11(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>) {
  %one = arith.constant 1.0 : f32
  // expected-note@+1 {{required by region isolation constraints}}
  %0 = qlow.matmul %a, %b epilogue {
  ^bb0(%sum: f32):
    // expected-error@+1 {{using value defined outside the region}}
    %x = arith.addf %sum, %one : f32
    qlow.yield %x : f32
  } : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf32>
  return
}

// -----

//===----------------------------------------------------------------------===//
// Storage
//===----------------------------------------------------------------------===//

func.func @get_weight_name_c12() {
  // expected-error@+1 {{names @w, which is no qlow.weight}}
  %0 = qlow.get_weight @w : tensor<4xi8>
  return
}

// -----

qlow.weight private @w dense<1> : tensor<4xi8> as tensor<4x!qlow.q<i8 : f32>> bytes 4
func.func @get_weight_type_c12() {
  // expected-error@+1 {{has type 'tensor<8xi8>', which is not how @w is stored}}
  %0 = qlow.get_weight @w : tensor<8xi8>
  return
}

// -----

#l = #qlow.layout<element = i8, panel = 16, columns = 16, group = 4>
qlow.weight private @w dense<1> : tensor<1x4xi8> as tensor<1x4x!qlow.q<i8 : f32>> bytes 128 layout #l
func.func @get_weight_packed_c12() {
  // expected-error@+1 {{has type 'tensor<4xi8>', which is not how @w is stored}}
  %0 = qlow.get_weight @w : tensor<4xi8>
  return
}

// -----

// expected-error@+1 {{expected bytes 4 for the source 'tensor<4xi8>', found 8}}
qlow.weight private @bytes_c13 dense<1> : tensor<4xi8> as tensor<4x!qlow.q<i8 : f32>> bytes 8

// -----

#l = #qlow.layout<element = i8, panel = 16, columns = 16, group = 4>
// expected-error@+1 {{expected bytes 0 or more for the source 'tensor<4xi8>', found -8}}
qlow.weight private @negative_c13 dense<1> : tensor<4xi8> as tensor<4x!qlow.q<i8 : f32>> bytes -8 layout #l

// -----

#l = #qlow.layout<element = i8, panel = 16, columns = 16, group = 4>
// A packer that trusted the type would read what lies behind the constant.
// expected-error@+1 {{expected a source of 'tensor<128x64xi8>', all that a layout of 'tensor<128x64x!qlow.q<i8 : f32>>' takes in, found 'tensor<2x2xi8>'}}
qlow.weight private @source_c13 dense<[[1, 2], [3, 4]]> : tensor<2x2xi8> as tensor<128x64x!qlow.q<i8 : f32>> bytes 8448 layout #l

// -----

#l = #qlow.layout<element = i8, panel = 16, columns = 16, group = 4>
// expected-error@+1 {{expected a tensor of rank 2 at least, as its layout is that of a matrix, found 'tensor<4x!qlow.q<i8 : f32>>'}}
qlow.weight private @rank_c13 dense<1> : tensor<4xi8> as tensor<4x!qlow.q<i8 : f32>> bytes 64 layout #l

// -----

// expected-error@+1 {{expected the type of a ranked tensor after 'as', found 'f32'}}
qlow.weight private @type_c13 dense<1> : tensor<4xi8> as f32 bytes 4

// -----

// expected-error@+1 {{expected a source with elements of whole bytes and at most 2^63 - 1 of them, found 'tensor<4xi4>'}}
qlow.weight private @element_c13 dense<1> : tensor<4xi4> as tensor<4x!qlow.q<i8 : f32>> bytes 4

// -----

// expected-error@+1 {{expected a source with elements of whole bytes and at most 2^63 - 1 of them, found 'tensor<9223372036854775807x2xi8>'}}
qlow.weight private @size_c13 dense_resource<w> : tensor<9223372036854775807x2xi8> as tensor<4x!qlow.q<i8 : f32>> bytes 4

// -----

//===----------------------------------------------------------------------===//
// Kernel form
//===----------------------------------------------------------------------===//

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_shape_c7(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>, %out: tensor<4x2xf32>) {
  // expected-error@+1 {{expected both sides to agree on K, found 8 in 'tensor<4x8xf32>' and 2 in 'tensor<8x2xf32>'}}
  %0 = qlow.matmul_kernel transpose_rhs lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x2xf32>) as tensor<8x2xf32> maps [] outs(%out : tensor<4x2xf32>) epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x2xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_sum_c10(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>, %out: tensor<4x2xf32>) {
  // expected-error@+1 {{expected the epilogue's first argument to be the sum of type 'f32', found 'i32'}}
  %0 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x2xf32>) as tensor<8x2xf32> maps [] outs(%out : tensor<4x2xf32>) epilogue {
  ^bb0(%sum: i32):
    qlow.yield %sum : i32
  } recipes <[#r]> -> tensor<4x2xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_parts_c14(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>, %out: tensor<4x2xf32>) {
  // expected-error@+1 {{expected the parts ('tensor<8x2xi8>', 'tensor<f32>') for 'tensor<8x2x!qlow.q<i8 : f32>>', found ('tensor<8x2xf32>')}}
  %0 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x2xf32>) as tensor<8x2x!qlow.q<i8 : f32>> maps [] outs(%out : tensor<4x2xf32>) epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x2xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_type_c14(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>, %out: tensor<4x2xf32>) {
  // expected-error@+1 {{expected lhs_type to be a ranked tensor of !qlow.q, f32, f16 or bf16, found 'tensor<4x8xi8>'}}
  %0 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xi8> rhs(%b : tensor<8x2xf32>) as tensor<8x2xf32> maps [] outs(%out : tensor<4x2xf32>) epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x2xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_no_tensor_c14(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>, %out: tensor<4x2xf32>) {
  // expected-error@+1 {{expected rhs_type to be a ranked tensor of !qlow.q, f32, f16 or bf16, found 'f32'}}
  %0 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x2xf32>) as f32 maps [] outs(%out : tensor<4x2xf32>) epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x2xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_packed_c14(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>, %out: tensor<4x2xf32>) {
  // expected-error@+1 {{expected a packed rhs to begin with one dimension of i8, found ('tensor<8x2xf32>')}}
  %0 = qlow.matmul_kernel packed_rhs <element = f32, panel = 16, columns = 16, group = 1> lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x2xf32>) as tensor<8x2xf32> maps [] outs(%out : tensor<4x2xf32>) epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x2xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_scratch_c15(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>, %out: tensor<4x2xf32>) {
  // expected-error@+1 {{expected a scratch of one dimension of i8, found 'tensor<4x8xf32>'}}
  %0 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x2xf32>) as tensor<8x2xf32> maps [] outs(%out : tensor<4x2xf32>) scratch(%a : tensor<4x8xf32>) epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x2xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_outputs_c17(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>, %o0: tensor<4x16xf32>, %o1: tensor<4x1xf32>) {
  // expected-error@+1 {{expected one output, found 2}}
  %0:2 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x16xf32>) as tensor<8x16xf32> maps [] outs(%o0, %o1 : tensor<4x16xf32>, tensor<4x1xf32>) epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x16xf32>, tensor<4x1xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_out_type_c17(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>, %o0: tensor<4x16xf32>) {
  // expected-error@+1 {{expected out_type to be a ranked tensor of !qlow.q, found 'tensor<4x16xf32>'}}
  %0 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x16xf32>) as tensor<8x16xf32> maps [] outs(%o0 : tensor<4x16xf32>) as tensor<4x16xf32> epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x16xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_out_rank_c17(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>, %o0: tensor<4x16xi8>, %o1: tensor<4x1xf32>) {
  // expected-error@+1 {{expected out_type to be a ranked tensor of !qlow.q, found 'f32'}}
  %0:2 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x16xf32>) as tensor<8x16xf32> maps [] outs(%o0, %o1 : tensor<4x16xi8>, tensor<4x1xf32>) as f32 epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x16xi8>, tensor<4x1xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_out_parts_c17(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>, %o0: tensor<4x16xi8>, %o1: tensor<4x2xf32>) {
  // expected-error@+1 {{expected the parts ('tensor<4x16xi8>', 'tensor<4x1xf32>') for 'tensor<4x16x!qlow.q<i8 : f32, block = [1, *]>>', found ('tensor<4x16xi8>', 'tensor<4x2xf32>')}}
  %0:2 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x16xf32>) as tensor<8x16xf32> maps [] outs(%o0, %o1 : tensor<4x16xi8>, tensor<4x2xf32>) as tensor<4x16x!qlow.q<i8 : f32, block = [1, *]>> epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x16xi8>, tensor<4x2xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_out_blocks_c17(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>, %o0: tensor<4x16xi8>, %o1: tensor<2x1xf32>) {
  // expected-error@+1 {{expected an out_type of codes of 8 bits whose blocks are of one row, found 'tensor<4x16x!qlow.q<i8 : f32, block = [2, *]>>'}}
  %0:2 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x16xf32>) as tensor<8x16xf32> maps [] outs(%o0, %o1 : tensor<4x16xi8>, tensor<2x1xf32>) as tensor<4x16x!qlow.q<i8 : f32, block = [2, *]>> epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x16xi8>, tensor<2x1xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_out_bits_c17(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>, %o0: tensor<4x8xi8>, %o1: tensor<4x1xf32>) {
  // expected-error@+1 {{expected an out_type of codes of 8 bits whose blocks are of one row, found 'tensor<4x16x!qlow.q<i4 : f32, block = [1, *]>>'}}
  %0:2 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x16xf32>) as tensor<8x16xf32> maps [] outs(%o0, %o1 : tensor<4x8xi8>, tensor<4x1xf32>) as tensor<4x16x!qlow.q<i4 : f32, block = [1, *]>> epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x8xi8>, tensor<4x1xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_out_scale_c17(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>, %o0: tensor<4x16xi8>, %o1: tensor<4x1xf16>) {
  // expected-error@+1 {{expected a result with a scale of f32 or f8E8M0FNU and no offset}}
  %0:2 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x16xf32>) as tensor<8x16xf32> maps [] outs(%o0, %o1 : tensor<4x16xi8>, tensor<4x1xf16>) as tensor<4x16x!qlow.q<i8 : f16, block = [1, *]>> epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x16xi8>, tensor<4x1xf16>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_out_shape_c17(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>, %o0: tensor<4x12xi8>, %o1: tensor<4x1xf32>) {
  // expected-error@+1 {{expected a result of size M x N}}
  %0:2 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x16xf32>) as tensor<8x16xf32> maps [] outs(%o0, %o1 : tensor<4x12xi8>, tensor<4x1xf32>) as tensor<4x12x!qlow.q<i8 : f32, block = [1, *]>> epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<4x12xi8>, tensor<4x1xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_out_open_c17(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>, %o0: tensor<?x?xi8>, %o1: tensor<?x1xf32>) {
  // expected-error@+1 {{expected outputs that have the static sizes of 'tensor<4x16x!qlow.q<i8 : f32, block = [1, *]>>', found 'tensor<?x?xi8>'}}
  %0:2 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x16xf32>) as tensor<8x16xf32> maps [] outs(%o0, %o1 : tensor<?x?xi8>, tensor<?x1xf32>) as tensor<4x16x!qlow.q<i8 : f32, block = [1, *]>> epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#r]> -> tensor<?x?xi8>, tensor<?x1xf32>
  return
}

// -----

#r = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>
func.func @kernel_out_yield_c17(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>, %o0: tensor<4x16xi8>, %o1: tensor<4x1xf32>) {
  // expected-error@+1 {{expected the epilogue to yield 'f32', found 'i8'}}
  %0:2 = qlow.matmul_kernel lhs(%a : tensor<4x8xf32>) as tensor<4x8xf32> rhs(%b : tensor<8x16xf32>) as tensor<8x16xf32> maps [] outs(%o0, %o1 : tensor<4x16xi8>, tensor<4x1xf32>) as tensor<4x16x!qlow.q<i8 : f32, block = [1, *]>> epilogue {
  ^bb0(%sum: f32):
    %y = arith.fptosi %sum : f32 to i8
    qlow.yield %y : i8
  } recipes <[#r]> -> tensor<4x16xi8>, tensor<4x1xf32>
  return
}

// -----

func.func @pack_type_c16(%w: tensor<8x4xi8>, %out: tensor<256xi8>) {
  // expected-error@+1 {{expected the type after 'as' to be a ranked tensor of !qlow.q, f32, f16 or bf16, found 'tensor<8x4xi8>'}}
  %0 = qlow.pack (%w : tensor<8x4xi8>) as tensor<8x4xi8> outs(%out : tensor<256xi8>) layout <element = i8, panel = 16, columns = 16, group = 4> -> tensor<256xi8>
  return
}

// -----

func.func @pack_rank_c16(%w: tensor<8xi8>, %out: tensor<256xi8>) {
  // expected-error@+1 {{expected a tensor of rank 2 at least, found 'tensor<8x!qlow.q<i8 : f32>>'}}
  %0 = qlow.pack (%w : tensor<8xi8>) as tensor<8x!qlow.q<i8 : f32>> outs(%out : tensor<256xi8>) layout <element = i8, panel = 16, columns = 16, group = 4> -> tensor<256xi8>
  return
}

// -----

func.func @pack_image_c16(%w: tensor<8x2xi8>, %out: tensor<256xi8>) {
  // expected-error@+1 {{expected codes with an integer image for a layout of integers, found 'tensor<8x4x!qlow.q<nf4 : f32>>'}}
  %0 = qlow.pack (%w : tensor<8x2xi8>) as tensor<8x4x!qlow.q<nf4 : f32>> outs(%out : tensor<256xi8>) layout <element = i8, panel = 16, columns = 16, group = 4> -> tensor<256xi8>
  return
}

// -----

func.func @pack_codes_c16(%w: tensor<8x4xi8>, %s: tensor<f32>, %out: tensor<256xi8>) {
  // expected-error@+1 {{expected the parts ('tensor<8x4xi8>') for 'tensor<8x4x!qlow.q<i8 : f32>>', found ('tensor<8x4xi8>', 'tensor<f32>')}}
  %0 = qlow.pack (%w, %s : tensor<8x4xi8>, tensor<f32>) as tensor<8x4x!qlow.q<i8 : f32>> outs(%out : tensor<256xi8>) layout <element = i8, panel = 16, columns = 16, group = 4> -> tensor<256xi8>
  return
}

// -----

func.func @pack_parts_c16(%w: tensor<8x2xi8>, %out: tensor<512xi8>) {
  // expected-error@+1 {{expected the parts ('tensor<8x2xi8>', 'tensor<f32>') for 'tensor<8x4x!qlow.q<nf4 : f32>>', found ('tensor<8x2xi8>')}}
  %0 = qlow.pack (%w : tensor<8x2xi8>) as tensor<8x4x!qlow.q<nf4 : f32>> outs(%out : tensor<512xi8>) layout <element = f32, panel = 16, columns = 16, group = 1> -> tensor<512xi8>
  return
}

// -----

func.func @pack_out_c16(%w: tensor<8x4xi8>, %out: tensor<16x8xi8>) {
  // expected-error@+1 {{expected an output of one dimension of i8, found 'tensor<16x8xi8>'}}
  %0 = qlow.pack (%w : tensor<8x4xi8>) as tensor<8x4x!qlow.q<i8 : f32>> outs(%out : tensor<16x8xi8>) layout <element = i8, panel = 16, columns = 16, group = 4> -> tensor<16x8xi8>
  return
}
