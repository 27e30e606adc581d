// RUN: qlow-opt %s | qlow-opt | FileCheck %s
// RUN: qlow-opt -mlir-print-op-generic %s | qlow-opt | FileCheck %s

// Every op in every shape it may have comes back as it was.

// CHECK-DAG: #[[LAYOUT:.+]] = #qlow.layout<element = i8, panel = 64, columns = 16, group = 4, offset = 128>
// CHECK-DAG: #[[SIGNED:.+]] = #qlow.layout<element = i8, panel = 64, columns = 16, group = 4>
// CHECK-DAG: #[[FLOATS:.+]] = #qlow.layout<element = f32, panel = 16, columns = 16, group = 1>
// CHECK-DAG: ![[I8:.+]] = !qlow.q<i8 : f32>
// CHECK-DAG: ![[ROWS:.+]] = !qlow.q<i8 : f32, block = [1, *]>
// CHECK-DAG: ![[U8:.+]] = !qlow.q<u8 : f32, zero = u8>
// CHECK-DAG: ![[MX:.+]] = !qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 32]>
!i8 = !qlow.q<i8 : f32>
!rows = !qlow.q<i8 : f32, block = [1, *]>
!columns = !qlow.q<i8 : f32, block = [*, 1]>
!u8 = !qlow.q<u8 : f32, zero = u8>
!mx = !qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 32]>
!k6 = !qlow.q<u6 : f16, block = [1, 8]>
!q4k = !qlow.q<u4 : !k6, offset = !k6, block = [1, 32]>
!nvfp4 = !qlow.q<f4E2M1FN : !qlow.q<f8E4M3FN : f32>, block = [1, 16]>

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

// The parts of a Q4_K tensor: codes, codes and scale of the scale, the same of the offset.
// CHECK-LABEL: @q4_k
// CHECK: qlow.compose {{.*}} : (tensor<4x256xi8>, tensor<4x12xi8>, tensor<4x2xf16>, tensor<4x12xi8>, tensor<4x2xf16>) -> tensor<4x512x![[Q4K:.+]]>
// CHECK: qlow.decompose {{.*}} : (tensor<4x512x![[Q4K]]>) -> (tensor<4x256xi8>, tensor<4x12xi8>, tensor<4x2xf16>, tensor<4x12xi8>, tensor<4x2xf16>)
func.func @q4_k(%codes: tensor<4x256xi8>, %sc: tensor<4x12xi8>, %d: tensor<4x2xf16>, %m: tensor<4x12xi8>,
                %dmin: tensor<4x2xf16>) -> tensor<4x12xi8> {
  %q = qlow.compose %codes, %sc, %d, %m, %dmin
    : (tensor<4x256xi8>, tensor<4x12xi8>, tensor<4x2xf16>, tensor<4x12xi8>, tensor<4x2xf16>) -> tensor<4x512x!q4k>
  %parts:5 = qlow.decompose %q
    : (tensor<4x512x!q4k>) -> (tensor<4x256xi8>, tensor<4x12xi8>, tensor<4x2xf16>, tensor<4x12xi8>, tensor<4x2xf16>)
  return %parts#1 : tensor<4x12xi8>
}

// NVFP4 has one f32 for all its scales; the last block of 8 is short.
// CHECK-LABEL: @nvfp4
// CHECK: -> (tensor<4x20xi8>, tensor<4x3xi8>, tensor<f32>)
func.func @nvfp4(%q: tensor<4x40x!nvfp4>) {
  %parts:3 = qlow.decompose %q : (tensor<4x40x!nvfp4>) -> (tensor<4x20xi8>, tensor<4x3xi8>, tensor<f32>)
  return
}

// Unknown sizes agree with any; the codes of a scalar are one byte.
// CHECK-LABEL: @dynamic_and_scalar
// CHECK: (tensor<?x8xi8>, tensor<4x1xf32>) -> tensor<4x8x![[ROWS]]>
// CHECK: (tensor<1xi8>, tensor<f32>, tensor<1xi8>) -> tensor<![[U8]]>
func.func @dynamic_and_scalar(%codes: tensor<?x8xi8>, %scale: tensor<4x1xf32>, %c: tensor<1xi8>, %s: tensor<f32>) {
  %0 = qlow.compose %codes, %scale : (tensor<?x8xi8>, tensor<4x1xf32>) -> tensor<4x8x!rows>
  %1 = qlow.compose %c, %s, %c : (tensor<1xi8>, tensor<f32>, tensor<1xi8>) -> tensor<!u8>
  return
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

// CHECK-LABEL: @conversions
// CHECK: qlow.quantize %{{.*}}, %{{.*}}, %{{.*}} : (tensor<?x8xf32>, tensor<f32>, tensor<1xi8>) -> tensor<?x8x![[U8]]>
// CHECK: qlow.quantize_dynamic %{{.*}} : tensor<?x8xf32> -> tensor<?x8x![[ROWS]]>
// CHECK: qlow.quantize_dynamic %{{.*}} : tensor<?x8xf32> -> tensor<?x8x![[U8]]>
// CHECK: qlow.dequantize %{{.*}} : tensor<?x8x![[ROWS]]> -> tensor<?x8xbf16>
func.func @conversions(%x: tensor<?x8xf32>, %scale: tensor<f32>, %zero: tensor<1xi8>) -> tensor<?x8xbf16> {
  %0 = qlow.quantize %x, %scale, %zero : (tensor<?x8xf32>, tensor<f32>, tensor<1xi8>) -> tensor<?x8x!u8>
  %1 = qlow.quantize_dynamic %x : tensor<?x8xf32> -> tensor<?x8x!rows>
  %2 = qlow.quantize_dynamic %x : tensor<?x8xf32> -> tensor<?x8x!u8>
  %3 = qlow.dequantize %1 : tensor<?x8x!rows> -> tensor<?x8xbf16>
  return %3 : tensor<?x8xbf16>
}

// CHECK-LABEL: @quantize_to_mx
// CHECK: qlow.quantize_dynamic %{{.*}} : tensor<4x64xf16> -> tensor<4x64x![[MX]]>
func.func @quantize_to_mx(%x: tensor<4x64xf16>) -> tensor<4x64x!mx> {
  %0 = qlow.quantize_dynamic %x : tensor<4x64xf16> -> tensor<4x64x!mx>
  return %0 : tensor<4x64x!mx>
}

// CHECK-LABEL: @requantize
// CHECK: qlow.requantize half_even %{{.*}}, %{{.*}} parts(%{{.*}} : tensor<f32>) : tensor<?x8xi32>, tensor<8xf32> -> tensor<?x8x![[I8]]>
// CHECK: qlow.requantize single %{{.*}}, %{{.*}} shift(%{{.*}} : tensor<8xi8>) parts(%{{.*}} : tensor<f32>) : tensor<?x8xi32>, tensor<8xi32> -> tensor<?x8x![[I8]]>
// CHECK: qlow.requantize double
func.func @requantize(%acc: tensor<?x8xi32>, %f: tensor<8xf32>, %i: tensor<8xi32>, %shift: tensor<8xi8>,
                      %one: tensor<i32>, %by: tensor<i8>, %scale: tensor<f32>) {
  %0 = qlow.requantize half_even %acc, %f parts(%scale : tensor<f32>)
    : tensor<?x8xi32>, tensor<8xf32> -> tensor<?x8x!i8>
  %1 = qlow.requantize single %acc, %i shift(%shift : tensor<8xi8>) parts(%scale : tensor<f32>)
    : tensor<?x8xi32>, tensor<8xi32> -> tensor<?x8x!i8>
  %2 = qlow.requantize double %acc, %one shift(%by : tensor<i8>) parts(%scale : tensor<f32>)
    : tensor<?x8xi32>, tensor<i32> -> tensor<?x8x!i8>
  return
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

// CHECK-LABEL: @matmul
// CHECK: qlow.matmul %{{.*}}, %{{.*}} : tensor<?x128x![[U8]]>, tensor<128x64x![[COLUMNS:.+]]> -> tensor<?x64xi32>
// CHECK: qlow.matmul %{{.*}}, %{{.*}} bias(%{{.*}} : tensor<64xf32>) : {{.*}} -> tensor<?x64xf32>
// CHECK: qlow.matmul %{{.*}}, %{{.*}} bias(%{{.*}} : tensor<64xi32>) parts(%{{.*}}, %{{.*}} : tensor<f32>, tensor<1xi8>) : {{.*}} -> tensor<?x64x![[U8]]>
func.func @matmul(%a: tensor<?x128x!u8>, %b: tensor<128x64x!columns>, %bias: tensor<64xf32>, %ibias: tensor<64xi32>,
                  %scale: tensor<f32>, %zero: tensor<1xi8>) {
  %0 = qlow.matmul %a, %b : tensor<?x128x!u8>, tensor<128x64x!columns> -> tensor<?x64xi32>
  %1 = qlow.matmul %a, %b bias(%bias : tensor<64xf32>)
    : tensor<?x128x!u8>, tensor<128x64x!columns> -> tensor<?x64xf32>
  %2 = qlow.matmul %a, %b bias(%ibias : tensor<64xi32>) parts(%scale, %zero : tensor<f32>, tensor<1xi8>)
    : tensor<?x128x!u8>, tensor<128x64x!columns> -> tensor<?x64x!u8>
  return
}

// Batches, either side transposed, one side or both in float.
// CHECK-LABEL: @matmul_shapes
// CHECK: qlow.matmul transpose_lhs %{{.*}}, %{{.*}} : tensor<2x8x4xf32>, tensor<2x8x16xf32> -> tensor<2x4x16xf32>
// CHECK: qlow.matmul transpose_rhs %{{.*}}, %{{.*}} : tensor<4x64xf16>, tensor<16x64x![[MX]]> -> tensor<4x16xbf16>
// CHECK: qlow.matmul transpose_lhs transpose_rhs %{{.*}}, %{{.*}} : tensor<64x4xf32>, tensor<16x64x![[MX]]> -> tensor<4x16xf32>
func.func @matmul_shapes(%a: tensor<2x8x4xf32>, %b: tensor<2x8x16xf32>, %c: tensor<4x64xf16>, %d: tensor<16x64x!mx>,
                         %e: tensor<64x4xf32>) {
  %0 = qlow.matmul transpose_lhs %a, %b : tensor<2x8x4xf32>, tensor<2x8x16xf32> -> tensor<2x4x16xf32>
  %1 = qlow.matmul transpose_rhs %c, %d : tensor<4x64xf16>, tensor<16x64x!mx> -> tensor<4x16xbf16>
  %2 = qlow.matmul transpose_lhs transpose_rhs %e, %d : tensor<64x4xf32>, tensor<16x64x!mx> -> tensor<4x16xf32>
  return
}

// One scale along K of size 1 is spelled as a block of 1: the sum is exact all the same.
// CHECK-LABEL: @matmul_outer
// CHECK: qlow.matmul %{{.*}} -> tensor<4x8xi32>
func.func @matmul_outer(%a: tensor<4x1x!qlow.q<i8 : f32, block = [1, 1]>>, %b: tensor<1x8x!i8>) -> tensor<4x8xi32> {
  %0 = qlow.matmul %a, %b : tensor<4x1x!qlow.q<i8 : f32, block = [1, 1]>>, tensor<1x8x!i8> -> tensor<4x8xi32>
  return %0 : tensor<4x8xi32>
}

// An epilogue reads a row, a column, a scalar and a whole tensor beside the sum.
// CHECK-LABEL: @matmul_epilogue
// CHECK: qlow.matmul %{{.*}}, %{{.*}} extras(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<64xf32>, tensor<4x1xf32>, tensor<f32>, tensor<4x64xf32>)
// CHECK-SAME: maps [#[[N:.+]], #[[M:.+]], #[[NONE:.+]], #[[ALL:.+]]] epilogue {
// CHECK-NEXT: ^bb0(%[[SUM:.+]]: i32, %{{.+}}: f32, %{{.+}}: f32, %{{.+}}: f32, %{{.+}}: f32):
// CHECK: arith.sitofp %[[SUM]]
// CHECK: qlow.yield %{{.*}} : f32
func.func @matmul_epilogue(%a: tensor<4x128x!u8>, %b: tensor<128x64x!columns>, %row: tensor<64xf32>,
                           %column: tensor<4x1xf32>, %scalar: tensor<f32>, %all: tensor<4x64xf32>) -> tensor<4x64xf32> {
  %0 = qlow.matmul %a, %b
    extras(%row, %column, %scalar, %all : tensor<64xf32>, tensor<4x1xf32>, tensor<f32>, tensor<4x64xf32>)
    maps [affine_map<(m, n) -> (n)>, affine_map<(m, n) -> (m, 0)>, affine_map<(m, n) -> ()>,
          affine_map<(m, n) -> (m, n)>] epilogue {
  ^bb0(%sum: i32, %r: f32, %c: f32, %s: f32, %x: f32):
    %zero = arith.constant 0.0 : f32
    %f = arith.sitofp %sum : i32 to f32
    %scale = arith.mulf %c, %r : f32
    %scaled = arith.mulf %f, %scale : f32
    %twice = arith.mulf %scaled, %s : f32
    %residual = arith.addf %twice, %x : f32
    %relu = arith.maximumf %residual, %zero : f32
    qlow.yield %relu : f32
  } : tensor<4x128x!u8>, tensor<128x64x!columns> -> tensor<4x64xf32>
  return %0 : tensor<4x64xf32>
}

// A quantized result takes codes from its epilogue.
// CHECK-LABEL: @matmul_codes
// CHECK: qlow.yield %{{.*}} : i8
func.func @matmul_codes(%a: tensor<4x128x!u8>, %b: tensor<128x64x!columns>, %scale: tensor<f32>) -> tensor<4x64x!i8> {
  %0 = qlow.matmul %a, %b parts(%scale : tensor<f32>) epilogue {
  ^bb0(%sum: i32):
    %code = arith.trunci %sum : i32 to i8
    qlow.yield %code : i8
  } : tensor<4x128x!u8>, tensor<128x64x!columns> -> tensor<4x64x!i8>
  return %0 : tensor<4x64x!i8>
}

//===----------------------------------------------------------------------===//
// Storage and kernel form
//===----------------------------------------------------------------------===//

#recipe = #qlow.recipe<mul, tiles = [<reg, [1, 1, 1]>], lhs = [<to = reg, by = load>], rhs = [<to = reg, by = load>],
  rescale = end>

#l = #qlow.layout<element = i8, panel = 64, columns = 16, group = 4, offset = 128>

// CHECK: qlow.weight private @plain dense<1> : tensor<4x8xi8> as tensor<4x8x![[ROWS]]> bytes 32
qlow.weight private @plain dense<1> : tensor<4x8xi8> as tensor<4x8x!rows> bytes 32
// CHECK: qlow.weight private @packed dense<1> : tensor<4x8xi8> as tensor<4x8x![[ROWS]]> bytes 512 transposed layout #[[LAYOUT]]
qlow.weight private @packed dense<1> : tensor<4x8xi8> as tensor<4x8x!rows> bytes 512 transposed layout #l

// CHECK-LABEL: @kernel_on_tensors
// CHECK: qlow.get_weight @packed : tensor<512xi8>
// CHECK: qlow.matmul_kernel transpose_rhs packed_rhs #[[LAYOUT]] lhs(%{{.*}}, %{{.*}}, %{{.*}} : tensor<?x8xi8>, tensor<f32>, tensor<1xi8>) as tensor<?x8x![[U8]]> rhs(%{{.*}}, %{{.*}} : tensor<512xi8>, tensor<4x1xf32>) as tensor<4x8x![[ROWS]]>
// CHECK-SAME: extras(%{{.*}} : tensor<4xf32>) maps [#{{.+}}] outs(%{{.*}} : tensor<?x4xf32>) epilogue {
// CHECK: } recipes <[#{{.+}}]> -> tensor<?x4xf32>
func.func @kernel_on_tensors(%codes: tensor<?x8xi8>, %scale: tensor<f32>, %zero: tensor<1xi8>, %bias: tensor<4xf32>,
                             %scales: tensor<4x1xf32>, %out: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %w = qlow.get_weight @packed : tensor<512xi8>
  %0 = qlow.matmul_kernel transpose_rhs packed_rhs #l
    lhs(%codes, %scale, %zero : tensor<?x8xi8>, tensor<f32>, tensor<1xi8>) as tensor<?x8x!u8>
    rhs(%w, %scales : tensor<512xi8>, tensor<4x1xf32>) as tensor<4x8x!rows>
    extras(%bias : tensor<4xf32>) maps [affine_map<(m, n) -> (n)>] outs(%out : tensor<?x4xf32>) epilogue {
  ^bb0(%sum: i32, %b: f32):
    %f = arith.sitofp %sum : i32 to f32
    %y = arith.addf %f, %b : f32
    qlow.yield %y : f32
  } recipes <[#recipe]> -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}

// A pack of integers takes the codes alone, one of floats all parts.
// CHECK-LABEL: func.func @pack(
// CHECK: qlow.pack transposed(%{{.*}} : tensor<4x8xi8>) as tensor<4x8x![[ROWS]]> outs(%{{.*}} : tensor<768xi8>) layout #[[SIGNED]] -> tensor<768xi8>
// CHECK: qlow.pack(%{{.*}}, %{{.*}} : tensor<?x8xi8>, tensor<f32>) as tensor<?x8x![[I8]]> outs(%{{.*}} : tensor<?xi8>) layout #[[FLOATS]] -> tensor<?xi8>
// CHECK: qlow.pack(%{{.*}} : memref<8x4xf32>) as tensor<8x4xf32> outs(%{{.*}} : memref<512xi8>) width %{{.*}} layout #[[FLOATS]]
func.func @pack(%codes: tensor<4x8xi8>, %out: tensor<768xi8>, %open: tensor<?x8xi8>, %scale: tensor<f32>,
                %bytes: tensor<?xi8>, %buffer: memref<8x4xf32>, %to: memref<512xi8>, %width: index) {
  %0 = qlow.pack transposed (%codes : tensor<4x8xi8>) as tensor<4x8x!rows> outs(%out : tensor<768xi8>)
    layout <element = i8, panel = 64, columns = 16, group = 4> -> tensor<768xi8>
  %1 = qlow.pack (%open, %scale : tensor<?x8xi8>, tensor<f32>) as tensor<?x8x!i8> outs(%bytes : tensor<?xi8>)
    layout <element = f32, panel = 16, columns = 16, group = 1> -> tensor<?xi8>
  qlow.pack (%buffer : memref<8x4xf32>) as tensor<8x4xf32> outs(%to : memref<512xi8>) width %width
    layout <element = f32, panel = 16, columns = 16, group = 1>
  return
}

// Floats that a kernel measures leave as the parts of a quantized tensor.
// CHECK-LABEL: @kernel_that_measures
// CHECK: %{{.*}}:2 = qlow.matmul_kernel lhs(%{{.*}} : tensor<?x8xf32>) as tensor<?x8xf32> rhs(%{{.*}} : tensor<8x4xf32>) as tensor<8x4xf32>
// CHECK-SAME: outs(%{{.*}}, %{{.*}} : tensor<?x4xi8>, tensor<?x1xf32>) as tensor<?x4x!{{.*}}> epilogue {
// CHECK: } recipes <[#{{.+}}]> -> tensor<?x4xi8>, tensor<?x1xf32>
func.func @kernel_that_measures(%a: tensor<?x8xf32>, %b: tensor<8x4xf32>, %codes: tensor<?x4xi8>, %scale: tensor<?x1xf32>)
    -> (tensor<?x4xi8>, tensor<?x1xf32>) {
  %0:2 = qlow.matmul_kernel lhs(%a : tensor<?x8xf32>) as tensor<?x8xf32> rhs(%b : tensor<8x4xf32>) as tensor<8x4xf32>
    maps [] outs(%codes, %scale : tensor<?x4xi8>, tensor<?x1xf32>) as tensor<?x4x!qlow.q<i8 : f32, block = [1, *]>> epilogue {
  ^bb0(%sum: f32):
    %y = arith.truncf %sum : f32 to f16
    qlow.yield %y : f16
  } recipes <[#recipe]> -> tensor<?x4xi8>, tensor<?x1xf32>
  return %0#0, %0#1 : tensor<?x4xi8>, tensor<?x1xf32>
}

// CHECK-LABEL: @kernel_on_memrefs
// CHECK: qlow.matmul_kernel lhs(%{{.*}} : memref<?x8xf32>) as tensor<?x8xf32> rhs(%{{.*}}, %{{.*}} : memref<8x4xi8>, memref<f32>) as tensor<8x4x![[I8]]>
// CHECK-SAME: outs(%{{.*}} : memref<?x4xf32>) scratch(%{{.*}} : memref<?xi8>) epilogue {
func.func @kernel_on_memrefs(%a: memref<?x8xf32>, %b: memref<8x4xi8>, %scale: memref<f32>, %out: memref<?x4xf32>,
                             %scratch: memref<?xi8>) {
  qlow.matmul_kernel lhs(%a : memref<?x8xf32>) as tensor<?x8xf32>
    rhs(%b, %scale : memref<8x4xi8>, memref<f32>) as tensor<8x4x!i8>
    maps [] outs(%out : memref<?x4xf32>) scratch(%scratch : memref<?xi8>) epilogue {
  ^bb0(%sum: f32):
    qlow.yield %sum : f32
  } recipes <[#recipe]>
  return
}
