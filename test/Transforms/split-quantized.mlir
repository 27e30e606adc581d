// RUN: qlow-opt %s --qlow-split-quantized=target=znver4 --canonicalize --cse --split-input-file --verify-diagnostics | FileCheck %s
// RUN: not qlow-opt %s --qlow-split-quantized=target=x86-64-v2 --canonicalize --cse --split-input-file 2>/dev/null | FileCheck %s --check-prefix=NO-FMA

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

// Packed codes are computed byte by byte: 3 bits do not fill bytes, so a byte looks at four codes. A scale that neighbours
// share divides by four multiply-adds where the target has them.
// CHECK-LABEL: @quantize_packed
// CHECK: linalg.generic {{.*}} outs(%{{.*}} : tensor<4x4xi8>)
// CHECK-COUNT-16: math.fma
// CHECK-NOT: math.fma
// CHECK: linalg.yield %{{.*}} : i8
// NO-FMA-LABEL: @quantize_packed
// NO-FMA-COUNT-4: arith.divf
// NO-FMA-NOT: arith.divf
// NO-FMA-NOT: math.fma
// NO-FMA: linalg.yield %{{.*}} : i8
func.func @quantize_packed(%x: tensor<4x9xf32>, %s: tensor<4x1xf32>) -> tensor<4x9x!qlow.q<i3 : f32, block = [1, *]>> {
  %0 = qlow.quantize %x, %s : (tensor<4x9xf32>, tensor<4x1xf32>) -> tensor<4x9x!qlow.q<i3 : f32, block = [1, *]>>
  return %0 : tensor<4x9x!qlow.q<i3 : f32, block = [1, *]>>
}

// The scale is measured by a reduction over each block, then used.
// NO-FMA-LABEL: @quantize_dynamic
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

// -----

!u8 = !qlow.q<u8 : f32>
!s8 = !qlow.q<i8 : f32>
#one = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 64, 8]>, <reg, [6, 64, 4]>], lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = memory, by = pack>, <to = reg, by = load>], rescale = end>
#other = #qlow.recipe<vpdpbusd_1x16x4_i32_s8_s8_via_offset, tiles = [<thread, [6, 64, 8]>, <reg, [6, 64, 4]>], lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = memory, by = pack>, <to = reg, by = load>], rescale = end>

// Instructions that read the same bytes read one pack; the last panel of a known N has only the vectors it needs.
// CHECK-DAG: #[[LAYOUT:.+]] = #qlow.layout<element = i8, panel = 64, columns = 16, group = 4>
// CHECK-DAG: #[[OPEN:.+]] = #qlow.layout<element = i8, panel = 64, columns = 64, group = 4>
// CHECK-LABEL: @shared_pack(
// CHECK-SAME: %{{.*}}: tensor<4x8xi8>, %{{.*}}: tensor<f32>, %{{.*}}: tensor<4x8xi8>, %{{.*}}: tensor<f32>, %[[W:.*]]: tensor<8x17xi8>,
// CHECK: %[[P:.*]] = qlow.pack(%[[W]] : tensor<8x17xi8>) as {{.*}} outs(%{{.*}} : tensor<384xi8>) layout #[[LAYOUT]]
// CHECK: qlow.matmul_kernel packed_rhs #[[LAYOUT]] lhs({{.*}} rhs(%[[P]], %{{.*}} : tensor<384xi8>, tensor<f32>)
// CHECK-NOT: qlow.pack(
// CHECK: qlow.matmul_kernel packed_rhs {{.*}} rhs(%[[P]],
func.func @shared_pack(%a: tensor<4x8x!u8>, %b: tensor<4x8x!s8>, %w: tensor<8x17x!s8>) -> (tensor<4x17xi32>, tensor<4x17xi32>) {
  %0 = qlow.matmul %a, %w recipes <[#one]> : tensor<4x8x!u8>, tensor<8x17x!s8> -> tensor<4x17xi32>
  %1 = qlow.matmul %b, %w recipes <[#other]> : tensor<4x8x!s8>, tensor<8x17x!s8> -> tensor<4x17xi32>
  return %0, %1 : tensor<4x17xi32>, tensor<4x17xi32>
}

// An open N: every panel is as wide as the first, and the size is computed from the shape of the codes.
// CHECK-LABEL: @open_n(
// CHECK-SAME: %{{.*}}: tensor<4x8xi8>, %{{.*}}: tensor<f32>, %[[W:.*]]: tensor<?x8xi8>,
// CHECK: %[[N:.*]] = tensor.dim %[[W]], %c0
// CHECK: %[[UP:.*]] = arith.addi %[[N]], %c63
// CHECK: %[[PANELS:.*]] = arith.divui %[[UP]], %c64
// CHECK: arith.muli %[[PANELS]], %c768
// CHECK: %[[E:.*]] = tensor.empty(%{{.*}}) : tensor<?xi8>
// CHECK: qlow.pack transposed(%[[W]] : tensor<?x8xi8>) as {{.*}} outs(%[[E]] : tensor<?xi8>) layout #[[OPEN]]
func.func @open_n(%a: tensor<4x8x!u8>, %w: tensor<?x8x!s8>) -> tensor<4x?xi32> {
  %0 = qlow.matmul transpose_rhs %a, %w recipes <[#one]> : tensor<4x8x!u8>, tensor<?x8x!s8> -> tensor<4x?xi32>
  return %0 : tensor<4x?xi32>
}

// -----

!u8 = !qlow.q<u8 : f32>
!s8 = !qlow.q<i8 : f32>
#in_memory = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 64, 8]>, <reg, [6, 64, 4]>], lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = memory, by = pack>, <to = reg, by = load>], rescale = end>
#in_slots = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 64, 8]>, <reg, [6, 64, 4]>], lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
func.func @two_ways(%a: tensor<?x8x!u8>, %w: tensor<8x16x!s8>) -> tensor<?x16xi32> {
  // expected-error @below {{'qlow.matmul' op has recipes that read the right side from memory and others that pack it themselves: expected one way for all M}}
  %0 = qlow.matmul %a, %w recipes <[m to 1 : #in_slots, #in_memory]> : tensor<?x8x!u8>, tensor<8x16x!s8> -> tensor<?x16xi32>
  return %0 : tensor<?x16xi32>
}

// -----

!u8 = !qlow.q<u8 : f32>
!s8 = !qlow.q<i8 : f32>
#wide = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 64, 8]>, <reg, [6, 64, 4]>], lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = memory, by = pack>, <to = reg, by = load>], rescale = end>
#narrow = #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [6, 16, 8]>, <reg, [6, 16, 4]>], lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = memory, by = pack>, <to = reg, by = load>], rescale = end>
func.func @two_layouts(%a: tensor<?x8x!u8>, %w: tensor<8x16x!s8>) -> tensor<?x16xi32> {
  // expected-error @below {{expected one layout for all M}}
  %0 = qlow.matmul %a, %w recipes <[m to 1 : #wide, #narrow]> : tensor<?x8x!u8>, tensor<8x16x!s8> -> tensor<?x16xi32>
  return %0 : tensor<?x16xi32>
}

// -----

!u8 = !qlow.q<u8 : f32>
!s8 = !qlow.q<i8 : f32>
#unknown = #qlow.recipe<mystery, tiles = [<thread, [6, 64, 8]>, <reg, [6, 64, 4]>], lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>], rhs = [<to = memory, by = pack>, <to = reg, by = load>], rescale = end>
func.func @unknown_row(%a: tensor<4x8x!u8>, %w: tensor<8x16x!s8>) -> tensor<4x16xi32> {
  // expected-error @below {{'qlow.matmul' op has a recipe that is none of znver4: }}
  %0 = qlow.matmul %a, %w recipes <[#unknown]> : tensor<4x8x!u8>, tensor<8x16x!s8> -> tensor<4x16xi32>
  return %0 : tensor<4x16xi32>
}
