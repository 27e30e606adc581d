// Products of i8 tokens and a constant weight of codes of 4 or 8 bits, unpacked to bytes in registers.
// RUN: qlow-opt %s --qlow-pipeline="target=sm_80 stop-after=qlow-pack-weights" | FileCheck %s --check-prefix=PACK
// RUN: qlow-opt %s --qlow-pipeline="target=sm_80 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefixes=CHECK,STREAM
// RUN: qlow-opt %s --qlow-pipeline="target=sm_90 stop-after=qlow-schedule-kernels" | FileCheck %s --check-prefixes=CHECK,TILES
// RUN: qlowc %s -target=sm_90 -o %t.o --explain | FileCheck %s --check-prefix=REPORT

!x = !qlow.q<i8 : f32, block = [1, *]>
!i4 = !qlow.q<i4 : f16, block = [1, 128]>
!i8 = !qlow.q<i8 : f16, block = [1, 64]>
!u4 = !qlow.q<u4 : f32, zero = u4, block = [1, 32]>
!columns = !qlow.q<i4 : f16, block = [1, *]>
!groups = !qlow.q<i8 : f32, block = [1, 128]>
!zero = !qlow.q<i8 : f32, zero = i8, block = [1, *]>

// Neighbouring k lie in the bytes of a word, each byte has codes of two columns.
// PACK-DAG: #qlow.layout<element = i4, panel = 64, columns = 64, group = 128, fragment = 2>

// What a mask leaves is sixteen times a code. The sums of 128 codes are exact, they become f32 to be scaled.
// CHECK-LABEL: func @tokens
// STREAM: arith.andi {{.*}} : i32
// STREAM: nvvm.mma.sync {{.*}}multiplicandAPtxType = #nvvm.mma_type<s8>{{.*}}m = 16, n = 8, k = 32
// STREAM: arith.sitofp
// STREAM: llvm.intr.fma
// TILES: arith.andi {{.*}} : i32
// TILES: wgmma.mma_async.sync.aligned.m64n32k32.s32.s8.s8 {{.*}}, 0;"
// TILES: wgmma.mma_async.sync.aligned.m64n32k32.s32.s8.s8 {{.*}}, 1;"
// TILES: wgmma.wait_group.sync.aligned 0
// TILES: arith.sitofp
// TILES: llvm.intr.fma
// The tokens' scales meet the result, of sixteen times the codes.
// CHECK: arith.constant 6.250000e-02 : f32
// REPORT: qlow.matmul 64 x 4096 x 4096
// REPORT: emulated: right side unpacked to s8 in registers (row wgmma_64x32x32_i32_s8_s8_via_registers)
// REPORT: codes stored as fragments, decode_nibble; scales meet the sums of their codes
func.func @tokens(%x: tensor<64x4096x!x>) -> tensor<64x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x2048xi8>
  %s = arith.constant dense<3.0> : tensor<4096x32xf16>
  %w = qlow.compose %c, %s : (tensor<4096x2048xi8>, tensor<4096x32xf16>) -> tensor<4096x4096x!i4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<64x4096x!x>, tensor<4096x4096x!i4> -> tensor<64x4096xf16>
  return %y : tensor<64x4096xf16>
}

// Zero points are taken off four codes at once.
// CHECK-LABEL: func @zeros
// CHECK: arith.xori
// CHECK: nvvm.mma.sync {{.*}}mma_type<s8>
// REPORT: qlow.matmul 1 x 4096 x 4096
// REPORT: row mma_16x8x32_i32_s8_s8
func.func @zeros(%x: tensor<1x4096x!x>) -> tensor<1x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x2048xi8>
  %s = arith.constant dense<3.0> : tensor<4096x128xf32>
  %z = arith.constant dense<0x77> : tensor<4096x64xi8>
  %w = qlow.compose %c, %s, %z : (tensor<4096x2048xi8>, tensor<4096x128xf32>, tensor<4096x64xi8>) -> tensor<4096x4096x!u4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<1x4096x!x>, tensor<4096x4096x!u4> -> tensor<1x4096xf16>
  return %y : tensor<1x4096xf16>
}

// One scale a column: the sum is the law's, in i32 all along K.
// CHECK-LABEL: func @exact
// TILES: wgmma.mma_async.sync.aligned.m64n64k32.s32.s8.s8
// TILES: arith.shrsi
// REPORT: qlow.matmul 128 x 4096 x 4096
// REPORT: row wgmma_64x64x32_i32_s8_s8_via_registers
func.func @exact(%x: tensor<128x4096x!x>) -> tensor<128x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x2048xi8>
  %s = arith.constant dense<3.0> : tensor<4096x1xf16>
  %w = qlow.compose %c, %s : (tensor<4096x2048xi8>, tensor<4096x1xf16>) -> tensor<4096x4096x!columns>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<128x4096x!x>, tensor<4096x4096x!columns> -> tensor<128x4096xf16>
  return %y : tensor<128x4096xf16>
}

// Scales of tokens that change along K meet sums with the columns'. Bytes of two registers take turns, and are parted.
// CHECK-LABEL: func @groups
// STREAM: nvvm.prmt
// STREAM: nvvm.mma.sync {{.*}}mma_type<s8>
// STREAM: arith.sitofp
// STREAM: arith.mulf
// STREAM: llvm.intr.fma
// TILES: nvvm.prmt
// TILES: wgmma.wait_group.sync.aligned 0
// TILES: llvm.load {{.*}} !llvm.ptr<3> -> vector<2xf32>
// TILES: arith.mulf
// TILES: llvm.intr.fma
// REPORT: qlow.matmul 64 x 4096 x 4096
// REPORT: native (row wgmma_64x32x32_i32_s8_s8_via_registers)
func.func @groups(%x: tensor<64x4096x!groups>) -> tensor<64x4096xf16> {
  %c = arith.constant dense<3> : tensor<4096x4096xi8>
  %s = arith.constant dense<3.0> : tensor<4096x64xf16>
  %w = qlow.compose %c, %s : (tensor<4096x4096xi8>, tensor<4096x64xf16>) -> tensor<4096x4096x!i8>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<64x4096x!groups>, tensor<4096x4096x!i8> -> tensor<64x4096xf16>
  return %y : tensor<64x4096xf16>
}

// CHECK-LABEL: func @zero
// CHECK-NOT: mma_type<s8>
// REPORT: takes tokens without zero points and offsets, the left side has them
func.func @zero(%x: tensor<16x256x!zero>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!i4>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<16x256x!zero>, tensor<64x256x!i4> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}

// CHECK-LABEL: func @table
// CHECK-NOT: mma_type<s8>
// REPORT: has no decode hop from nf4 to s8 in registers
func.func @table(%x: tensor<16x256x!x>) -> tensor<16x64xf16> {
  %c = arith.constant dense<3> : tensor<64x128xi8>
  %s = arith.constant dense<3.0> : tensor<64x2xf16>
  %w = qlow.compose %c, %s : (tensor<64x128xi8>, tensor<64x2xf16>) -> tensor<64x256x!qlow.q<nf4 : f16, block = [1, 128]>>
  %y = qlow.matmul transpose_rhs %x, %w : tensor<16x256x!x>, tensor<64x256x!qlow.q<nf4 : f16, block = [1, 128]>> -> tensor<16x64xf16>
  return %y : tensor<16x64xf16>
}
