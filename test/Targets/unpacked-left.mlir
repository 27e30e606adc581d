// Left sides of codes on a device: a kernel of their own unpacks them, where that is cheaper than to decode
// them in every block of threads, and no instruction takes them as they lie.
// RUN: split-file %s %t
// RUN: qlow-opt %t/codes.mlir --qlow-pipeline="target=sm_90 stop-after=qlow-split-quantized" | FileCheck %s
// RUN: qlow-opt %t/codes.mlir --qlow-pipeline="target=sm_80 stop-after=qlow-select-recipes" | FileCheck %s --check-prefix=NATIVE
// RUN: qlowc %t/codes.mlir -target=sm_90 --no-ptxas --explain -o %t.o | FileCheck %s --check-prefix=REPORT
// RUN: FileCheck %s --check-prefix=HEADER --input-file=%t.h
// RUN: not qlow-opt %t/bytes.mlir -qlow-split-quantized=target=sm_90 2>&1 | FileCheck %s --check-prefix=BYTES
// RUN: not qlow-opt %t/processor.mlir -qlow-split-quantized=target=x86-64-v3 2>&1 | FileCheck %s --check-prefix=PROCESSOR
// RUN: not qlow-opt %t/bytes.mlir -qlow-select-recipes=target=sm_90 2>&1 | FileCheck %s --check-prefix=SELECTED
// RUN: not qlow-opt %t/alone.mlir -qlow-split-quantized=target=sm_90 2>&1 | FileCheck %s --check-prefix=ALONE
// RUN: not qlow-opt %t/both.mlir -qlow-split-quantized=target=sm_90 2>&1 | FileCheck %s --check-prefix=BOTH

// Kernels have the bytes, and recipes that no longer say where they come from.
// CHECK-DAG: ![[I8:[a-z0-9]+]] = !qlow.q<i8 : f32>
// CHECK-DAG: ![[ZERO:[a-z0-9]+]] = !qlow.q<i8 : f32, zero = u4>
// CHECK-DAG: #[[RECIPE:[a-z0-9]+]] = #qlow.recipe<wgmma_64x128x32_i32_s8_s8_via_registers, {{.*}} lhs = [<to = cta, by = tma
// CHECK-LABEL: func.func @integers
// CHECK: %[[WHOLE:.+]] = linalg.generic
// CHECK: tensor.extract %arg0
// CHECK: linalg.yield %{{.+}} : i8
// CHECK-NEXT: } -> tensor<512x4096xi8>
// CHECK: qlow.matmul_kernel {{.*}} lhs(%[[WHOLE]], %arg1 : {{.*}}) as tensor<512x4096x![[I8]]> rhs(
// CHECK: recipes <[#[[RECIPE]]]>

// Numbers of two bits and signs become bytes, too, and zero points stay.
// CHECK-LABEL: func.func @ternary
// CHECK: qlow.matmul_kernel {{.*}} as tensor<512x4096x![[I8]]>
// CHECK-LABEL: func.func @zero_points
// CHECK: qlow.matmul_kernel {{.*}} lhs({{.*}}) as tensor<512x4096x![[ZERO]]> rhs(

// Small floats under powers of two become bf16, scales and all.
// CHECK-LABEL: func.func @small_floats
// CHECK: %[[FLOATS:.+]] = linalg.generic
// CHECK: } -> tensor<512x4096xbf16>
// CHECK: qlow.matmul_kernel {{.*}} lhs(%[[FLOATS]] : tensor<512x4096xbf16>) as tensor<512x4096xbf16> rhs(

// So do bytes of floats beside codes of integers; scales of rows are left to the sum, which meets them first.
// CHECK-LABEL: func.func @rows
// CHECK: %[[NUMBERS:.+]] = linalg.generic
// CHECK: } -> tensor<512x4096xbf16>
// CHECK: qlow.matmul_kernel {{.*}} lhs(%[[NUMBERS]] : tensor<512x4096xbf16>) as tensor<512x4096xbf16> rhs({{.*}} extras(%{{.*}} : tensor<512x1xf32>) maps [#{{.*}}]
// CHECK: ^bb0(%[[SUM:.+]]: f32, %[[SCALE:.+]]: f32):
// CHECK-NEXT: arith.mulf %[[SUM]], %[[SCALE]]

// Codes of scales meet the numbers, and the one scale of these the sum.
// CHECK-LABEL: func.func @scaled_scales
// CHECK: linalg.generic
// CHECK: arith.mulf
// CHECK: } -> tensor<512x4096xbf16>
// CHECK: ^bb0(%[[SUM:.+]]: f32, %[[SCALE:.+]]: f32):
// CHECK-NEXT: arith.mulf %[[SUM]], %[[SCALE]]

// Three rows of bf16 add up to one of f32: the kernel has three times the rows, and recipes for three times as many. What adds
// up their sums has the epilogue.
// CHECK-LABEL: func.func @terms
// CHECK: linalg.generic
// CHECK-COUNT-3: arith.andi
// CHECK: } -> tensor<3x?x4096xbf16>
// CHECK: tensor.collapse_shape {{.*}} : tensor<3x?x4096xbf16> into tensor<?x4096xbf16>
// CHECK: qlow.matmul_kernel {{.*}} as tensor<?x4096xbf16> rhs({{.*}} maps [] outs(%{{.*}} : tensor<?x4096xf32>)
// CHECK: ^bb0(%[[SUM:.+]]: f32):
// CHECK-NEXT: qlow.yield %[[SUM]] : f32
// CHECK-NEXT: recipes <[m to 3 : {{.*}} m to 24 : #
// CHECK: linalg.generic
// CHECK-COUNT-3: arith.addf
// CHECK-NEXT: linalg.yield

// A chip that multiplies codes of 4 bits takes them as they lie.
// NATIVE-DAG: #[[NATIVE:.+]] = #qlow.recipe<mma_16x8x64_i32_u4_s4, {{.*}} lhs = [<to = cta, by = cp_async
// NATIVE-LABEL: func.func @integers
// NATIVE: recipes <[#[[NATIVE]]]>

// REPORT: qlow.matmul 512 x 4096 x 4096
// REPORT: emulated: left side unpacked to i8 in memory, right side unpacked to s8 in registers
// REPORT: emulated: left side unpacked to three bf16 in memory, right side unpacked to bf16 in registers
// Their rows are counted in 32 bits.
// HEADER: arg0_d0; {{.*}} 715827882 >= arg0_d0

// BYTES: error: 'qlow.matmul' op has a recipe that unpacks the left side in memory, which needs a device, and codes that become i8 beside integers, or bf16 in a sum of floats, or f32 beside codes, found 'tensor<512x4096x!qlow.q<i8 : f32>>' on sm_90 and #qlow.recipe
// PROCESSOR: error: 'qlow.matmul' op has a recipe that unpacks the left side in memory, which needs a device, and codes that become i8 beside integers, or bf16 in a sum of floats, or f32 beside codes, found 'tensor<512x4096x!qlow.q<u4 : f32>>' on x86-64-v3 and #qlow.recipe
// SELECTED: error: 'qlow.matmul' op has a recipe that unpacks the left side in memory, which nothing that is for 'mma_16x8x32_i32_s8_s8' on sm_90 does: expected codes that become what the row takes, found 'tensor<512x4096x!qlow.q<i8 : f32>>'
// ALONE: error: 'qlow.matmul' op has a recipe that unpacks the left side in memory, and does not say how it comes from there: expected a hop behind it, found #qlow.recipe
// BOTH: error: 'qlow.matmul' op has recipes that unpack the left side in memory and others that read it as it lies: expected one way for all M

//--- codes.mlir
!u4 = !qlow.q<u4 : f32>
!z4 = !qlow.q<u4 : f32, zero = u4>
!i4 = !qlow.q<i4 : f32>
!t = !qlow.q<ternary : f32>
func.func @integers(%a: tensor<512x2048xi8>, %s: tensor<f32>) -> tensor<512x4096xi32> {
  %w = arith.constant dense<3> : tensor<4096x2048xi8>
  %qa = qlow.compose %a, %s : (tensor<512x2048xi8>, tensor<f32>) -> tensor<512x4096x!u4>
  %qw = qlow.compose %w, %s : (tensor<4096x2048xi8>, tensor<f32>) -> tensor<4096x4096x!i4>
  %y = qlow.matmul transpose_rhs %qa, %qw : tensor<512x4096x!u4>, tensor<4096x4096x!i4> -> tensor<512x4096xi32>
  return %y : tensor<512x4096xi32>
}
func.func @ternary(%a: tensor<512x4096x!t>, %s: tensor<f32>) -> tensor<512x4096xi32> {
  %w = arith.constant dense<4> : tensor<4096x2048xi8>
  %qw = qlow.compose %w, %s : (tensor<4096x2048xi8>, tensor<f32>) -> tensor<4096x4096x!i4>
  %y = qlow.matmul transpose_rhs %a, %qw : tensor<512x4096x!t>, tensor<4096x4096x!i4> -> tensor<512x4096xi32>
  return %y : tensor<512x4096xi32>
}
func.func @zero_points(%a: tensor<512x4096x!z4>, %s: tensor<f32>) -> tensor<512x4096xi32> {
  %w = arith.constant dense<5> : tensor<4096x2048xi8>
  %qw = qlow.compose %w, %s : (tensor<4096x2048xi8>, tensor<f32>) -> tensor<4096x4096x!i4>
  %y = qlow.matmul transpose_rhs %a, %qw : tensor<512x4096x!z4>, tensor<4096x4096x!i4> -> tensor<512x4096xi32>
  return %y : tensor<512x4096xi32>
}
!m = !qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 32]>
func.func @small_floats(%a: tensor<512x4096x!m>) -> tensor<512x4096xf16> {
  %w = arith.constant dense<6> : tensor<4096x2048xi8>
  %s = arith.constant dense<1.0> : tensor<4096x128xf8E8M0FNU>
  %qw = qlow.compose %w, %s : (tensor<4096x2048xi8>, tensor<4096x128xf8E8M0FNU>) -> tensor<4096x4096x!m>
  %y = qlow.matmul transpose_rhs %a, %qw : tensor<512x4096x!m>, tensor<4096x4096x!m> -> tensor<512x4096xf16>
  return %y : tensor<512x4096xf16>
}
!f8 = !qlow.q<f8E4M3FN : f32, block = [1, *]>
!g4 = !qlow.q<i4 : f16, block = [1, 128]>
func.func @rows(%a: tensor<512x4096x!f8>) -> tensor<512x4096xf16> {
  %w = arith.constant dense<7> : tensor<4096x2048xi8>
  %s = arith.constant dense<0.5> : tensor<4096x32xf16>
  %qw = qlow.compose %w, %s : (tensor<4096x2048xi8>, tensor<4096x32xf16>) -> tensor<4096x4096x!g4>
  %y = qlow.matmul transpose_rhs %a, %qw : tensor<512x4096x!f8>, tensor<4096x4096x!g4> -> tensor<512x4096xf16>
  return %y : tensor<512x4096xf16>
}
!nv = !qlow.q<f4E2M1FN : !qlow.q<f8E4M3FN : f32>, block = [1, 16]>
func.func @scaled_scales(%a: tensor<512x4096x!nv>) -> tensor<512x4096xf16> {
  %w = arith.constant dense<8> : tensor<4096x2048xi8>
  %c = arith.constant dense<56> : tensor<4096x256xi8>
  %s = arith.constant dense<0.5> : tensor<f32>
  %qw = qlow.compose %w, %c, %s : (tensor<4096x2048xi8>, tensor<4096x256xi8>, tensor<f32>) -> tensor<4096x4096x!nv>
  %y = qlow.matmul transpose_rhs %a, %qw : tensor<512x4096x!nv>, tensor<4096x4096x!nv> -> tensor<512x4096xf16>
  return %y : tensor<512x4096xf16>
}
func.func @terms(%a: tensor<?x4096xf32>, %bias: tensor<4096xf32>) -> tensor<?x4096xf32> {
  %w = arith.constant dense<9> : tensor<4096x2048xi8>
  %s = arith.constant dense<0.5> : tensor<4096x32xf16>
  %qw = qlow.compose %w, %s : (tensor<4096x2048xi8>, tensor<4096x32xf16>) -> tensor<4096x4096x!g4>
  %y = qlow.matmul transpose_rhs %a, %qw bias(%bias : tensor<4096xf32>) : tensor<?x4096xf32>, tensor<4096x4096x!g4> -> tensor<?x4096xf32>
  return %y : tensor<?x4096xf32>
}

//--- bytes.mlir
#unpacks = #qlow.recipe<mma_16x8x32_i32_s8_s8, tiles = [<cta, [128, 128, 64]>, <warp, [64, 32, 32]>], lhs = [<to = memory, by = decode>, <to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>], rhs = [<to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>], rescale = end>
!i8 = !qlow.q<i8 : f32>
func.func @bytes(%a: tensor<512x4096x!i8>, %w: tensor<4096x4096x!i8>) -> tensor<512x4096xi32> {
  %y = qlow.matmul transpose_rhs %a, %w recipes <[#unpacks]> : tensor<512x4096x!i8>, tensor<4096x4096x!i8> -> tensor<512x4096xi32>
  return %y : tensor<512x4096xi32>
}

//--- processor.mlir
#unpacks = #qlow.recipe<vpmaddwd_1x8x2_i32_s16_s8, tiles = [<thread, [128, 32, 4096]>, <reg, [2, 32, 2]>], lhs = [<to = memory, by = decode>, <to = reg, by = broadcast32>], rhs = [<to = l2, by = pack>, <to = reg, by = load>], rescale = end>
!u4 = !qlow.q<u4 : f32>
!i8 = !qlow.q<i8 : f32>
func.func @processor(%a: tensor<512x4096x!u4>, %w: tensor<4096x4096x!i8>) -> tensor<512x4096xi32> {
  %y = qlow.matmul transpose_rhs %a, %w recipes <[#unpacks]> : tensor<512x4096x!u4>, tensor<4096x4096x!i8> -> tensor<512x4096xi32>
  return %y : tensor<512x4096xi32>
}

//--- alone.mlir
#unpacks = #qlow.recipe<mma_16x8x32_i32_s8_s8, tiles = [<cta, [128, 128, 64]>, <warp, [64, 32, 32]>], lhs = [<to = memory, by = decode>], rhs = [<to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>], rescale = end>
!u4 = !qlow.q<u4 : f32>
!i8 = !qlow.q<i8 : f32>
func.func @alone(%a: tensor<512x4096x!u4>, %w: tensor<4096x4096x!i8>) -> tensor<512x4096xi32> {
  %y = qlow.matmul transpose_rhs %a, %w recipes <[#unpacks]> : tensor<512x4096x!u4>, tensor<4096x4096x!i8> -> tensor<512x4096xi32>
  return %y : tensor<512x4096xi32>
}

//--- both.mlir
#unpacks = #qlow.recipe<mma_16x8x32_i32_s8_s8, tiles = [<cta, [128, 128, 64]>, <warp, [64, 32, 32]>], lhs = [<to = memory, by = decode>, <to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>], rhs = [<to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>], rescale = end>
#decodes = #qlow.recipe<mma_16x8x32_i32_s8_s8, tiles = [<cta, [128, 128, 64]>, <warp, [64, 32, 32]>], lhs = [<to = cta, by = decode, stages = 4>, <to = reg, by = ldmatrix>], rhs = [<to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>], rescale = end>
!u4 = !qlow.q<u4 : f32>
!i8 = !qlow.q<i8 : f32>
func.func @both(%a: tensor<?x4096x!u4>, %w: tensor<4096x4096x!i8>) -> tensor<?x4096xi32> {
  %y = qlow.matmul transpose_rhs %a, %w recipes <[m to 16 : #unpacks, #decodes]> : tensor<?x4096x!u4>, tensor<4096x4096x!i8> -> tensor<?x4096xi32>
  return %y : tensor<?x4096xi32>
}
