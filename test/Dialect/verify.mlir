// RUN: qlow-opt -split-input-file -verify-diagnostics -qlow-verify %s

// A failing example for each constraint that only the whole module shows; functions carry the number. T1 to T7 stand in
// types-errors.mlir.

!i8 = !qlow.q<i8 : f32>

//===----------------------------------------------------------------------===//
// What is accepted
//===----------------------------------------------------------------------===//

// Quantized tensors pass through functions, scf and arith.select.
func.func private @callee(%q: tensor<4x8x!i8>) -> tensor<4x8x!i8> {
  return %q : tensor<4x8x!i8>
}
func.func @ways(%a: tensor<4x8x!i8>, %b: tensor<4x8x!i8>, %c: i1, %i: index, %n: index) -> tensor<4x8xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %0 = func.call @callee(%a) : (tensor<4x8x!i8>) -> tensor<4x8x!i8>
  %1 = arith.select %c, %0, %b : tensor<4x8x!i8>
  %2 = scf.if %c -> tensor<4x8x!i8> {
    scf.yield %1 : tensor<4x8x!i8>
  } else {
    scf.yield %b : tensor<4x8x!i8>
  }
  %3 = scf.for %k = %c0 to %n step %c1 iter_args(%x = %2) -> tensor<4x8x!i8> {
    scf.yield %x : tensor<4x8x!i8>
  }
  %4 = scf.while (%x = %3) : (tensor<4x8x!i8>) -> tensor<4x8x!i8> {
    scf.condition(%c) %x : tensor<4x8x!i8>
  } do {
  ^bb0(%x: tensor<4x8x!i8>):
    scf.yield %x : tensor<4x8x!i8>
  }
  %5 = scf.index_switch %i -> tensor<4x8x!i8>
  case 0 {
    scf.yield %4 : tensor<4x8x!i8>
  }
  default {
    scf.yield %b : tensor<4x8x!i8>
  }
  %6 = qlow.dequantize %5 : tensor<4x8x!i8> -> tensor<4x8xf32>
  return %6 : tensor<4x8xf32>
}

// Sizes of 0 and resources of the right size, i1 taking a byte.
func.func @empty_and_resources(%a: tensor<0x8x!i8>, %b: tensor<4x0xf32>) {
  %0 = arith.constant dense_resource<four_bytes> : tensor<4xi8>
  %1 = arith.constant dense_resource<four_bytes> : tensor<1xf32>
  %2 = arith.constant dense_resource<four_bytes> : tensor<4xi1>
  %3 = arith.constant dense_resource<no_bytes> : tensor<0x8xi8>
  return
}

// Every accepted element and scalar.
func.func @elements(
    %0: tensor<2xi1>, %1: tensor<2xi8>, %2: tensor<2xi16>, %3: tensor<2xi32>, %4: tensor<2xi64>, %5: tensor<2xf16>,
    %6: tensor<2xbf16>, %7: tensor<2xf32>, %8: tensor<2xf64>, %9: tensor<2xf8E8M0FNU>, %10: tensor<2xf8E4M3FN>,
    %11: i1, %12: i8, %13: i16, %14: i32, %15: i64, %16: f16, %17: bf16, %18: f32, %19: f64, %20: index) {
  return
}

{-# dialect_resources: { builtin: { four_bytes: "0x0400000001000001", no_bytes: "0x01000000" } } #-}

// -----

//===----------------------------------------------------------------------===//
// Ways of quantized tensors
//===----------------------------------------------------------------------===//

!rows = !qlow.q<i8 : f32, block = [1, 4]>
func.func @slice_v1(%q: tensor<4x8x!rows>) {
  // expected-error@+1 {{'tensor.extract_slice' op can not take or give quantized tensors: they pass only through qlow ops, func.func, func.call, func.return, scf.for, scf.if, scf.while, scf.index_switch and arith.select; qlow.dequantize or qlow.decompose first}}
  %0 = tensor.extract_slice %q[0, 1] [4, 6] [1, 1] : tensor<4x8x!rows> to tensor<4x6x!rows>
  return
}

// -----

func.func @branch_v1(%q: tensor<4x!qlow.q<i8 : f32>>) {
  // expected-error@+1 {{'cf.br' op can not take or give quantized tensors}}
  cf.br ^next(%q : tensor<4x!qlow.q<i8 : f32>>)
^next(%p: tensor<4x!qlow.q<i8 : f32>>):
  return
}

// -----

func.func @elementwise_select_v1(%c: tensor<4xi1>, %q: tensor<4x!qlow.q<i8 : f32>>) {
  // expected-error@+1 {{'arith.select' op chooses between quantized tensors as a whole: expected a condition of i1, found 'tensor<4xi1>'}}
  %0 = arith.select %c, %q, %q : tensor<4xi1>, tensor<4x!qlow.q<i8 : f32>>
  return
}

// -----

// expected-error@+1 {{'func.func' op expected !qlow.q as the element of a ranked tensor only, found '!qlow.q<i8 : f32>'}}
func.func private @scalar_v1(!qlow.q<i8 : f32>)

// -----

// expected-error@+1 {{'func.func' op expected !qlow.q as the element of a ranked tensor only, found 'tuple<tensor<4x!qlow.q<i8 : f32>>>'}}
func.func private @tuple_v1() -> tuple<tensor<4x!qlow.q<i8 : f32>>>

// -----

// expected-error@+1 {{'func.func' op expected a ranked tensor, found 'tensor<*xf32>': give it a shape, with ? for unknown sizes}}
func.func @argument_v2(%x: tensor<*xf32>) {
  return
}

// -----

func.func @value_v2(%x: tensor<4xf32>) {
  // expected-error@+1 {{'tensor.cast' op expected a ranked tensor, found 'tensor<*xf32>': give it a shape, with ? for unknown sizes}}
  %0 = tensor.cast %x : tensor<4xf32> to tensor<*xf32>
  return
}

// -----

// expected-error@+1 {{'func.func' op expected a ranked tensor, found 'tensor<*x!qlow.q<i8 : f32>>': give it a shape, with ? for unknown sizes}}
func.func private @quantized_v2(tensor<*x!qlow.q<i8 : f32>>)

// -----

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

func.func @missing_v3() {
  // expected-error@+1 {{'arith.constant' op resource 'w' is missing: expected 32 bytes for 'tensor<4x8xi8>'}}
  %0 = arith.constant dense_resource<w> : tensor<4x8xi8>
  return
}

// -----

func.func @short_v3() {
  // expected-error@+1 {{'arith.constant' op resource 'w': expected 396 bytes for 'tensor<99xf32>', found 4}}
  %0 = arith.constant dense_resource<w> : tensor<99xf32>
  return
}

{-# dialect_resources: { builtin: { w: "0x0400000001020304" } } #-}

// -----

func.func @long_v3() {
  // expected-error@+1 {{'arith.constant' op resource 'w': expected 0 bytes for 'tensor<0xi8>', found 4}}
  %0 = arith.constant dense_resource<w> : tensor<0xi8>
  return
}

{-# dialect_resources: { builtin: { w: "0x0400000001020304" } } #-}

// -----

func.func @alignment_v3() {
  // expected-error@+1 {{'arith.constant' op resource 'w': expected an alignment of 4 bytes for 'tensor<1xf32>', found 1}}
  %0 = arith.constant dense_resource<w> : tensor<1xf32>
  return
}

{-# dialect_resources: { builtin: { w: "0x0100000001020304" } } #-}

// -----

// Of packed elements nobody knows the bytes; no value may have such a type either.
func.func @element_v3() {
  // expected-error@+2 {{'arith.constant' op expected resource 'w' to be of elements of whole bytes and at most 2^63 - 1 of them, found 'tensor<8xi4>'}}
  // expected-error@+1 {{'arith.constant' op expected a tensor of i1, i8, i16, i32, i64, f16, bf16, f32, f64, f8E8M0FNU, f8E4M3FN or !qlow.q, found 'tensor<8xi4>'}}
  %0 = arith.constant dense_resource<w> : tensor<8xi4>
  return
}

{-# dialect_resources: { builtin: { w: "0x0400000001020304" } } #-}

// -----

// expected-error@+1 {{'qlow.weight' op resource 'w': expected 4 bytes for 'tensor<4xi8>', found 2}}
qlow.weight private @weight_v3 dense_resource<w> : tensor<4xi8> as tensor<4x!qlow.q<i8 : f32>> bytes 4

{-# dialect_resources: { builtin: { w: "0x010000000102" } } #-}

// -----

func.func @constant_v4() {
  // expected-error@+1 {{'arith.constant' op a quantized tensor is never a constant: make its parts constants and qlow.compose them, found 'tensor<4x!qlow.q<i8 : f32>>'}}
  %0 = arith.constant dense_resource<w> : tensor<4x!qlow.q<i8 : f32>>
  return
}

{-# dialect_resources: { builtin: { w: "0x0100000001020304" } } #-}

// -----

//===----------------------------------------------------------------------===//
// Sizes and elements
//===----------------------------------------------------------------------===//

// expected-error@+1 {{'func.func' op a tensor of type 'tensor<2305843009213693952xf32>' has more than 2^63 - 1 bytes}}
func.func private @bytes_v5(tensor<2305843009213693952xf32>)

// -----

// expected-error@+1 {{'func.func' op a tensor of type 'tensor<0x4294967296x?x4294967296xi8>' has more than 2^63 - 1 bytes}}
func.func private @empty_v5(tensor<0x4294967296x?x4294967296xi8>)

// -----

// The largest that fits.
func.func private @largest_v5(tensor<9223372036854775807xi8>, tensor<2305843009213693951xf32>)

// -----

// expected-error@+1 {{'func.func' op expected a tensor of i1, i8, i16, i32, i64, f16, bf16, f32, f64, f8E8M0FNU, f8E4M3FN or !qlow.q, found 'tensor<4xi1024>'}}
func.func private @wide_v8(tensor<4xi1024>)

// -----

// expected-error@+1 {{'func.func' op expected a tensor of i1, i8, i16, i32, i64, f16, bf16, f32, f64, f8E8M0FNU, f8E4M3FN or !qlow.q, found 'tensor<4xindex>'}}
func.func private @index_v8(tensor<4xindex>)

// -----

// expected-error@+1 {{'func.func' op expected a tensor of i1, i8, i16, i32, i64, f16, bf16, f32, f64, f8E8M0FNU, f8E4M3FN or !qlow.q, found 'tensor<4xi4>'}}
func.func private @packed_v8(tensor<4xi4>)

// -----

// expected-error@+1 {{'func.func' op expected a scalar of index, i1, i8, i16, i32, i64, f16, bf16, f32 or f64, found 'i1024'}}
func.func private @scalar_v8(i1024)

// -----

//===----------------------------------------------------------------------===//
// Sums that can leave i32
//===----------------------------------------------------------------------===//

// u8 and i8 without zero points: 255 * 128 * 65793 is the last multiple in i32.
!u8 = !qlow.q<u8 : f32>
!i8 = !qlow.q<i8 : f32>
func.func @bound_v6(%a: tensor<4x65793x!u8>, %b: tensor<65793x2x!i8>) -> tensor<4x2xi32> {
  %0 = qlow.matmul %a, %b : tensor<4x65793x!u8>, tensor<65793x2x!i8> -> tensor<4x2xi32>
  return %0 : tensor<4x2xi32>
}
func.func @beyond_v6(%a: tensor<4x65794x!u8>, %b: tensor<65794x2x!i8>) -> tensor<4x2xi32> {
  // expected-warning@+1 {{the sum over K = 65794 of products of at most 255 * 128 can leave i32, where it wraps modulo 2^32; K up to 65793 is always exact}}
  %0 = qlow.matmul %a, %b : tensor<4x65794x!u8>, tensor<65794x2x!i8> -> tensor<4x2xi32>
  return %0 : tensor<4x2xi32>
}

// K is known from either side; an unknown K or a float sum has no bound.
func.func @one_side_v6(%a: tensor<4x?x!u8>, %b: tensor<2x65794x!i8>) -> tensor<4x2xf32> {
  // expected-warning@+1 {{the sum over K = 65794 of products of at most 255 * 128 can leave i32, where it wraps modulo 2^32; K up to 65793 is always exact}}
  %0 = qlow.matmul transpose_rhs %a, %b : tensor<4x?x!u8>, tensor<2x65794x!i8> -> tensor<4x2xf32>
  return %0 : tensor<4x2xf32>
}
func.func @unknown_v6(%a: tensor<4x?x!u8>, %b: tensor<?x2x!i8>, %c: tensor<4x100000xf32>, %d: tensor<100000x2x!i8>) {
  %0 = qlow.matmul %a, %b : tensor<4x?x!u8>, tensor<?x2x!i8> -> tensor<4x2xf32>
  %1 = qlow.matmul %c, %d : tensor<4x100000xf32>, tensor<100000x2x!i8> -> tensor<4x2xf32>
  return
}

// -----

// Zero points that are not known may be any; constant ones count as they are.
!i8 = !qlow.q<i8 : f32>
!i8z = !qlow.q<i8 : f32, zero = i8>
func.func @any_zero_v6(%a: tensor<4x66000x!i8z>, %b: tensor<66000x2x!i8>) {
  // expected-warning@+1 {{the sum over K = 66000 of products of at most 255 * 128 can leave i32, where it wraps modulo 2^32; K up to 65793 is always exact}}
  %0 = qlow.matmul %a, %b : tensor<4x66000x!i8z>, tensor<66000x2x!i8> -> tensor<4x2xf32>
  return
}
func.func @constant_zero_v6(%codes: tensor<4x66000xi8>, %scale: tensor<f32>, %b: tensor<66000x2x!i8>) {
  %zero = arith.constant dense<-3> : tensor<1xi8>
  %a = qlow.compose %codes, %scale, %zero : (tensor<4x66000xi8>, tensor<f32>, tensor<1xi8>) -> tensor<4x66000x!i8z>
  %0 = qlow.matmul %a, %b : tensor<4x66000x!i8z>, tensor<66000x2x!i8> -> tensor<4x2xf32>
  return
}
func.func @large_constant_zero_v6(%codes: tensor<4x200000xi8>, %scale: tensor<f32>, %b: tensor<200000x2x!i8>) {
  %zero = arith.constant dense<-3> : tensor<1xi8>
  %a = qlow.compose %codes, %scale, %zero : (tensor<4x200000xi8>, tensor<f32>, tensor<1xi8>) -> tensor<4x200000x!i8z>
  // expected-warning@+1 {{the sum over K = 200000 of products of at most 130 * 128 can leave i32, where it wraps modulo 2^32; K up to 129055 is always exact}}
  %0 = qlow.matmul %a, %b : tensor<4x200000x!i8z>, tensor<200000x2x!i8> -> tensor<4x2xf32>
  return
}

// -----

// Packed zero points: rows of one u4, 7 the largest and 2 the smallest; the upper half of a byte is padding.
!i8 = !qlow.q<i8 : f32>
!rows = !qlow.q<u4 : f32, zero = u4, block = [1, *]>
func.func @packed_zero_v6(%codes: tensor<2x700000xi8>, %scale: tensor<2x1xf32>, %b: tensor<1400000x2x!i8>) {
  %zero = arith.constant dense<[[7], [2]]> : tensor<2x1xi8>
  %a = qlow.compose %codes, %scale, %zero
    : (tensor<2x700000xi8>, tensor<2x1xf32>, tensor<2x1xi8>) -> tensor<2x1400000x!rows>
  // expected-warning@+1 {{the sum over K = 1400000 of products of at most 13 * 128 can leave i32, where it wraps modulo 2^32; K up to 1290555 is always exact}}
  %0 = qlow.matmul %a, %b : tensor<2x1400000x!rows>, tensor<1400000x2x!i8> -> tensor<2x2xf32>
  return
}

// -----

//===----------------------------------------------------------------------===//
// Recursion
//===----------------------------------------------------------------------===//

// expected-error@+1 {{'func.func' op calls itself: expected functions without recursion}}
func.func @self_v7() {
  func.call @self_v7() : () -> ()
  return
}

// expected-error@+1 {{'func.func' op calls itself through @second_v7, @third_v7: expected functions without recursion}}
func.func @first_v7() {
  func.call @second_v7() : () -> ()
  return
}
func.func private @second_v7() {
  func.call @third_v7() : () -> ()
  return
}
func.func private @third_v7() {
  func.call @first_v7() : () -> ()
  func.call @leaf() : () -> ()
  return
}
func.func private @leaf() {
  return
}

// -----

func.func @pad_v9(%x: tensor<2x4xf32>) -> tensor<?x8xf32> {
  %z = arith.constant 0.0 : f32
  // expected-error@+1 {{'tensor.pad' op has 1 open sizes in 'low' (-2^63 is one) and 0 operands for them: expected as many}}
  %p = tensor.pad %x low[-9223372036854775808, 1] high[0, 3] {
  ^bb0(%i: index, %j: index):
    tensor.yield %z : f32
  } : tensor<2x4xf32> to tensor<?x8xf32>
  return %p : tensor<?x8xf32>
}
