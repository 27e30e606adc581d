// RUN: qlow-opt %s --qlow-split-quantized --canonicalize --split-input-file --verify-diagnostics | FileCheck %s

// CHECK: #[[BLOCK:.*]] = affine_map<(d0, d1) -> (d0, d1 floordiv 32)>

!u8 = !qlow.q<u8 : f32, zero = u8>
!nvfp4 = !qlow.q<f4E2M1FN : !qlow.q<f8E4M3FN : f32>, block = [1, 16]>

// Parts pass through functions, calls and structured control flow; a scale that is quantized itself has parts too.
// CHECK-LABEL: func.func private @callee(
// CHECK-SAME: %{{.*}}: tensor<4x16xi8>, %{{.*}}: tensor<4x2xi8>, %{{.*}}: tensor<f32>)
func.func private @callee(%x: tensor<4x32x!nvfp4>) -> tensor<4x32x!nvfp4> {
  return %x : tensor<4x32x!nvfp4>
}
// CHECK-LABEL: @ways
// CHECK-SAME: (%[[XC:.*]]: tensor<4x16xi8>, %[[XS:.*]]: tensor<4x2xi8>, %[[XG:.*]]: tensor<f32>, %[[YC:.*]]: tensor<4x16xi8>,
// CHECK: scf.for {{.*}} iter_args(%[[A:.*]] = %[[XC]], %{{.*}} = %[[XS]], %{{.*}} = %[[XG]]) -> (tensor<4x16xi8>, tensor<4x2xi8>, tensor<f32>)
// CHECK:   %[[C:.*]] = arith.select %{{.*}}, %[[A]], %[[YC]] : tensor<4x16xi8>
// CHECK:   arith.select {{.*}} : tensor<4x2xi8>
// CHECK:   arith.select {{.*}} : tensor<f32>
// CHECK:   func.call @callee(%[[C]],
func.func @ways(%x: tensor<4x32x!nvfp4>, %y: tensor<4x32x!nvfp4>, %n: index, %c: i1) -> tensor<4x32x!nvfp4> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %0 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x) -> tensor<4x32x!nvfp4> {
    %1 = arith.select %c, %a, %y : tensor<4x32x!nvfp4>
    %2 = func.call @callee(%1) : (tensor<4x32x!nvfp4>) -> tensor<4x32x!nvfp4>
    scf.yield %2 : tensor<4x32x!nvfp4>
  }
  return %0 : tensor<4x32x!nvfp4>
}

// Compose and decompose vanish.
// CHECK-LABEL: @parts
// CHECK-NEXT: return %arg0, %arg1
func.func @parts(%codes: tensor<4x32xi8>, %scale: tensor<f32>) -> (tensor<4x32xi8>, tensor<f32>) {
  %q = qlow.compose %codes, %scale : (tensor<4x32xi8>, tensor<f32>) -> tensor<4x32x!qlow.q<i8 : f32>>
  %p:2 = qlow.decompose %q : (tensor<4x32x!qlow.q<i8 : f32>>) -> (tensor<4x32xi8>, tensor<f32>)
  return %p#0, %p#1 : tensor<4x32xi8>, tensor<f32>
}

// Codes of whole bytes are an input of the loops; what is one for the tensor is read before them.
// CHECK-LABEL: @dequantize
// CHECK-SAME: (%[[CODES:.*]]: tensor<?x8xi8>, %[[SCALE:.*]]: tensor<f32>, %[[ZERO:.*]]: tensor<1xi8>)
// CHECK-DAG: %[[Z:.*]] = tensor.extract %[[ZERO]][%c0]
// CHECK-DAG: %[[S:.*]] = tensor.extract %[[SCALE]][]
// CHECK: linalg.generic {{.*}} ins(%[[CODES]] : tensor<?x8xi8>)
// CHECK: %[[CENTERED:.*]] = arith.subf
// CHECK: %[[X:.*]] = arith.mulf %[[S]], %[[CENTERED]]
// CHECK: linalg.yield %[[X]] : f32
func.func @dequantize(%x: tensor<?x8x!u8>) -> tensor<?x8xf32> {
  %0 = qlow.dequantize %x : tensor<?x8x!u8> -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// Packed codes are computed byte by byte: 3 bits do not fill bytes, so a byte looks at four codes.
// CHECK-LABEL: @quantize_packed
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<4x4xi8>)
// CHECK-COUNT-4: arith.divf
// CHECK-NOT: arith.divf
// CHECK: linalg.yield %{{.*}} : i8
func.func @quantize_packed(%x: tensor<4x9xf32>, %s: tensor<4x1xf32>) -> tensor<4x9x!qlow.q<i3 : f32, block = [1, *]>> {
  %0 = qlow.quantize %x, %s : (tensor<4x9xf32>, tensor<4x1xf32>) -> tensor<4x9x!qlow.q<i3 : f32, block = [1, *]>>
  return %0 : tensor<4x9x!qlow.q<i3 : f32, block = [1, *]>>
}

// The scale is measured by a reduction over each block, then used.
// CHECK-LABEL: @quantize_dynamic
// CHECK: %[[MAX:.*]] = linalg.generic {indexing_maps = [#{{.*}}, #[[BLOCK]]], iterator_types = ["parallel", "reduction"]}
// CHECK: %[[SCALE:.*]] = linalg.generic {{.*}} ins(%[[MAX]] : tensor<4x3xf32>)
// CHECK: %[[CODES:.*]] = linalg.generic
// CHECK: tensor.extract %[[SCALE]]
// CHECK: return %[[CODES]], %[[SCALE]] : tensor<4x70xi8>, tensor<4x3xf32>
func.func @quantize_dynamic(%x: tensor<4x70xf32>) -> tensor<4x70x!qlow.q<i8 : f32, block = [1, 32]>> {
  %0 = qlow.quantize_dynamic %x : tensor<4x70xf32> -> tensor<4x70x!qlow.q<i8 : f32, block = [1, 32]>>
  return %0 : tensor<4x70x!qlow.q<i8 : f32, block = [1, 32]>>
}

// -----

!u8 = !qlow.q<u8 : f32, zero = u8>
!s8 = !qlow.q<i8 : f32>
#r = #qlow.recipe<any, tiles = [<reg, [1, 8, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>], rescale = end>

// A matmul takes kernel form: its parts, its logical types, a destination of the size that its operands give.
// CHECK-LABEL: @matmul
// CHECK-SAME: (%[[A:.*]]: tensor<?x8xi8>, %[[SA:.*]]: tensor<f32>, %[[ZA:.*]]: tensor<1xi8>, %[[B:.*]]: tensor<8x16xi8>, %[[SB:.*]]: tensor<f32>)
// CHECK: %[[M:.*]] = tensor.dim %[[A]], %c0
// CHECK: %[[OUT:.*]] = tensor.empty(%[[M]]) : tensor<?x16xi32>
// CHECK: %[[Y:.*]] = qlow.matmul_kernel lhs(%[[A]], %[[SA]], %[[ZA]] : tensor<?x8xi8>, tensor<f32>, tensor<1xi8>) as tensor<?x8x!{{.*}}> rhs(%[[B]], %[[SB]] : tensor<8x16xi8>, tensor<f32>) as tensor<8x16x!{{.*}}> maps [] outs(%[[OUT]] : tensor<?x16xi32>) epilogue {
// CHECK-NEXT: ^bb0(%[[ACC:.*]]: i32):
// CHECK-NEXT: qlow.yield %[[ACC]] : i32
// CHECK: return %[[Y]]
func.func @matmul(%a: tensor<?x8x!u8>, %b: tensor<8x16x!s8>) -> tensor<?x16xi32> {
  %0 = qlow.matmul %a, %b recipes <[#r]> : tensor<?x8x!u8>, tensor<8x16x!s8> -> tensor<?x16xi32>
  return %0 : tensor<?x16xi32>
}

// The codes of a quantized result come from the kernel, its other parts from the op.
// CHECK-LABEL: @quantized_result
// CHECK: %[[CODES:.*]] = qlow.matmul_kernel
// CHECK: qlow.yield %{{.*}} : i8
// CHECK: return %[[CODES]], %arg4 : tensor<4x16xi8>, tensor<f32>
func.func @quantized_result(%a: tensor<4x8x!s8>, %b: tensor<8x16x!s8>, %s: tensor<f32>) -> tensor<4x16x!s8> {
  %0 = qlow.matmul %a, %b parts(%s : tensor<f32>) recipes <[#r]> : tensor<4x8x!s8>, tensor<8x16x!s8> -> tensor<4x16x!s8>
  return %0 : tensor<4x16x!s8>
}

// -----

func.func @no_recipe(%a: tensor<4x8xf32>, %b: tensor<8x4xf32>) -> tensor<4x4xf32> {
  // expected-error @below {{'qlow.matmul' op has no recipe: run qlow-select-recipes before qlow-split-quantized}}
  %0 = qlow.matmul %a, %b : tensor<4x8xf32>, tensor<8x4xf32> -> tensor<4x4xf32>
  return %0 : tensor<4x4xf32>
}
