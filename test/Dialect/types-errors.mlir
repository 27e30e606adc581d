// RUN: qlow-opt -split-input-file -verify-diagnostics -qlow-verify %s

//===----------------------------------------------------------------------===//
// Syntax
//===----------------------------------------------------------------------===//

// expected-error@+1 {{unknown code format 'q7'; known: i2 i3 i4 i5 i6 i8 i16 u2 u3 u4 u5 u6 u7 u8 nf4 bnb_fp4 iq4nl f4E2M1FN f6E2M3FN f6E3M2FN f8E4M3FN f8E5M2 f8E4M3FNUZ f8E5M2FNUZ binary ternary trit}}
func.func private @unknown_format(tensor<4x!qlow.q<q7 : f32>>)

// -----

// expected-error@+1 {{unknown field 'group'; known: zero, offset, block}}
func.func private @unknown_field(tensor<4x!qlow.q<i8 : f32, group = 4>>)

// -----

// expected-error@+1 {{field 'zero' is given twice}}
func.func private @repeated_field(tensor<4x!qlow.q<u8 : f32, zero = u8, zero = u8>>)

// -----

// expected-error@+1 {{expected a block size of at least 1, or *, found 0}}
func.func private @block_of_nothing(tensor<4x!qlow.q<i8 : f32, block = [0]>>)

// -----

// expected-error@+1 {{expected a block size for each dimension: one scale for the tensor has no block}}
func.func private @empty_block(tensor<4x!qlow.q<i8 : f32, block = []>>)

// -----

// The type is an element of tensors only.
// expected-error@+1 {{failed to verify 'elementType'}}
func.func private @vector(vector<4x!qlow.q<i8 : f32>>)

// -----

// expected-error@+1 {{invalid memref element type}}
func.func private @memref(memref<4x!qlow.q<i8 : f32>>)

// -----

//===----------------------------------------------------------------------===//
// Constraints of the type alone
//===----------------------------------------------------------------------===//

// expected-error@+1 {{expected a scale of type f32, f16, bf16, f8E8M0FNU, f8E4M3FN or !qlow.q, found 'i8'}}
func.func private @scale_t1(tensor<4x!qlow.q<i8 : i8>>)

// -----

// expected-error@+1 {{expected an offset of type f32, f16, bf16, f8E8M0FNU, f8E4M3FN or !qlow.q, found 'f64'}}
func.func private @offset_t1(tensor<4x!qlow.q<i8 : f32, offset = f64>>)

// -----

!q1 = !qlow.q<i8 : f32>
!q2 = !qlow.q<i8 : !q1>
!q3 = !qlow.q<i8 : f32, offset = !q2>
!q4 = !qlow.q<i8 : !q3>
// expected-error@+1 {{expected quantized scales at most 3 deep, found a scale of '!qlow.q<i8 : !qlow.q<i8 : f32, offset = !qlow.q<i8 : !qlow.q<i8 : f32>>>>'}}
!q5 = !qlow.q<i8 : !q4>

// -----

// expected-error@+1 {{expected a zero point of an integer format such as u8, found nf4}}
func.func private @zero_t2(tensor<4x!qlow.q<u4 : f32, zero = nf4>>)

// -----

// expected-error@+1 {{has a zero point, which only integer codes have; codes are ternary}}
func.func private @codes_t2(tensor<4x!qlow.q<ternary : f32, zero = u8>>)

// -----

// expected-error@+1 {{block = [*, *] means one scale for the tensor: leave block out}}
func.func private @block_t3(tensor<4x8x!qlow.q<i8 : f32, block = [*, *]>>)

// -----

//===----------------------------------------------------------------------===//
// Constraints of the type on its tensor
//===----------------------------------------------------------------------===//

// expected-error@+1 {{block of '!qlow.q<i8 : f32, block = [1, 2, 9]>' has rank 3, its tensor has rank 2}}
func.func private @rank_t4(tensor<4x8x!qlow.q<i8 : f32, block = [1, 2, 9]>>)

// -----

// A scale for the tensor has rank 0, so its own scale has no block.
// expected-error@+1 {{block of '!qlow.q<i8 : f32, block = [1, 8]>' has rank 2, its tensor has rank 0}}
func.func private @nested_t4(tensor<4x8x!qlow.q<i8 : !qlow.q<i8 : f32, block = [1, 8]>>>)

// -----

// expected-error@+1 {{block of '!qlow.q<i8 : f32, block = [1, 8]>' on a tensor of this shape is written block = [1, *]}}
func.func private @reaches_t5(tensor<4x8x!qlow.q<i8 : f32, block = [1, 8]>>)

// -----

// expected-error@+1 {{block of '!qlow.q<i8 : f32, block = [1, 9223372036854775807]>' on a tensor of this shape is written block = [1, *]}}
func.func private @exceeds_t5(tensor<4x8x!qlow.q<i8 : f32, block = [1, 9223372036854775807]>>)

// -----

// expected-error@+1 {{block of '!qlow.q<i8 : f32, block = [*, 4]>' on a tensor of this shape is written block = [1, 4]}}
func.func private @one_t5(tensor<1x8x!qlow.q<i8 : f32, block = [*, 4]>>)

// -----

// expected-error@+1 {{block of '!qlow.q<i8 : f32, block = [4, 8]>' on a tensor of this shape is left out: it means one scale for the tensor}}
func.func private @whole_t5(tensor<4x8x!qlow.q<i8 : f32, block = [4, 8]>>)

// -----

// expected-error@+1 {{block of '!qlow.q<u6 : f16, block = [1, 8]>' on a tensor of this shape is written block = [1, *]}}
func.func private @nested_t5(tensor<4x128x!qlow.q<u4 : !qlow.q<u6 : f16, block = [1, 8]>, block = [1, 16]>>)

// -----

// expected-error@+1 {{the last dimension of a tensor of '!qlow.q<u4 : f32>' must be static: its codes do not fill whole bytes}}
func.func private @codes_t6(tensor<4x?x!qlow.q<u4 : f32>>)

// -----

// expected-error@+1 {{the last dimension of a tensor of '!qlow.q<u8 : f32, zero = u4, block = [1, 32]>' must be static: its zero points do not fill whole bytes}}
func.func private @zeros_t6(tensor<4x?x!qlow.q<u8 : f32, zero = u4, block = [1, 32]>>)

// -----

// expected-error@+1 {{the last dimension of a tensor of '!qlow.q<u6 : f16>' must be static: its codes do not fill whole bytes}}
func.func private @scales_t6(tensor<4x?x!qlow.q<i8 : !qlow.q<u6 : f16>, block = [1, 32]>>)

// -----

// expected-error@+1 {{a tensor of '!qlow.q<i8 : f32>' of this shape has more than 2^63 - 1 codes or bytes}}
func.func private @codes_t7(tensor<4611686018427387904x2x!qlow.q<i8 : f32>>)

// -----

// expected-error@+1 {{a tensor of '!qlow.q<i16 : f32>' of this shape has more than 2^63 - 1 codes or bytes}}
func.func private @bytes_t7(tensor<4611686018427387904x!qlow.q<i16 : f32>>)

// -----

// expected-error@+1 {{a tensor of '!qlow.q<i8 : f32, block = [1]>' of this shape has more than 2^63 - 1 codes or bytes}}
func.func private @scales_t7(tensor<4611686018427387904x!qlow.q<i8 : f32, block = [1]>>)
