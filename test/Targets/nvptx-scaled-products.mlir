// Where both sides have scales that an instruction takes, it multiplies by them: words of four scales lie behind the tiles of a
// buffer, and each product names the byte and the lanes that have its own. Sums stay in the unit.
// RUN: qlow-opt %s --qlow-pipeline="target=sm_120 stop-after=qlow-schedule-kernels" | FileCheck %s
// RUN: qlow-opt %s --qlow-select-recipes=target=sm_120 | FileCheck %s --check-prefix=RECIPE
// RUN: qlow-opt %s --qlow-select-recipes=target=sm_89 | FileCheck %s --check-prefix=OLD
// RUN: qlowc %s -target=sm_120 -emit=ptx -o - | FileCheck %s --check-prefix=PTX
// RUN: qlowc %s -target=sm_120 --no-ptxas -o %t.o --explain | FileCheck %s --check-prefix=REPORT

!mx8 = !qlow.q<f8E4M3FN : f8E8M0FNU, block = [1, 32]>
!mx4 = !qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, 32]>
!nv4 = !qlow.q<f4E2M1FN : !qlow.q<f8E4M3FN : f32>, block = [1, 16]>
!f32s = !qlow.q<f8E4M3FN : f32, block = [1, 32]>

// PTX: .version 8.7
// PTX: .target sm_120a

// RECIPE: #qlow.recipe<mma_16x8x32_f32_e4m3_e4m3_via_ue8m0, {{.*}}by = cp_async{{.*}}rescale = fold
// OLD: #qlow.recipe<mma_16x8x32_f32_e4m3_e4m3, {{.*}}rescale = block
// CHECK-LABEL: func @bytes
// Four bytes at a time, before and in the loop.
// CHECK: nvvm.cp.async.shared.global {{.*}}, 4, cache = ca
// CHECK: scf.for
// Of the first product byte 0 in the first lanes of each four, of the next column of products byte 0 in the second.
// CHECK: %[[BYTE:.+]] = llvm.mlir.constant(0 : i16)
// CHECK: %[[LANES:.+]] = llvm.mlir.constant(0 : i16)
// CHECK: nvvm.mma.block_scale {{.*}} scaleA[%[[WORD:.+]], %[[BYTE]], %[[LANES]]] {{.*}}blockScaleFormat = #nvvm.block_scale_format<ue8m0>, kind = #nvvm.block_scale_kind<mxf8f6f4>
// CHECK: llvm.mlir.constant(0 : i16)
// CHECK: llvm.mlir.constant(0 : i16)
// CHECK: %[[NEXT_BYTE:.+]] = llvm.mlir.constant(0 : i16)
// CHECK: %[[SECOND:.+]] = llvm.mlir.constant(1 : i16)
// CHECK: nvvm.mma.block_scale {{.*}} scaleA[%[[WORD]], {{.*}}] scaleB[%{{.+}}, %[[NEXT_BYTE]], %[[SECOND]]]
// CHECK-NOT: arith.addf
// CHECK: scf.yield
// REPORT: instruction  mma.sync.m16n8k32.block_scale, native (row mma_16x8x32_f32_e4m3_e4m3_via_ue8m0)
// REPORT: x mma.sync.aligned.m16n8k32.row.col.kind::mxf8f6f4.block_scale.scale_vec::1X.f32.e4m3.e4m3.f32.ue8m0 in its PTX
func.func @bytes(%a: tensor<2048x2048x!mx8>, %b: tensor<2048x2048x!mx8>) -> tensor<2048x2048xf16> {
  %y = qlow.matmul transpose_rhs %a, %b : tensor<2048x2048x!mx8>, tensor<2048x2048x!mx8> -> tensor<2048x2048xf16>
  return %y : tensor<2048x2048xf16>
}

// RECIPE: #qlow.recipe<mma_16x8x64_f32_e2m1_e2m1_via_ue8m0, {{.*}}by = pack{{.*}}rescale = fold
// OLD: #qlow.recipe<fma_1x1x1_f32_f32_f32
// CHECK-LABEL: func @nibbles
// CHECK: nvvm.mma.block_scale {{.*}}kind = #nvvm.block_scale_kind<mxf4>,{{.*}}m = 16, n = 8, k = 64>
// PTX: mma.sync.aligned.m16n8k64.row.col.kind::mxf4.block_scale.scale_vec::2X.f32.e2m1.e2m1.f32.ue8m0
// REPORT: right side   stored packed
// REPORT: later chips  none: no row of sm_89 reads the right side as it is stored
func.func @nibbles(%a: tensor<2048x2048x!mx4>, %s: tensor<2048x64xf8E8M0FNU>) -> tensor<2048x2048xf16> {
  %c = arith.constant dense<33> : tensor<2048x1024xi8>
  %b = qlow.compose %c, %s : (tensor<2048x1024xi8>, tensor<2048x64xf8E8M0FNU>) -> tensor<2048x2048x!mx4>
  %y = qlow.matmul transpose_rhs %a, %b : tensor<2048x2048x!mx4>, tensor<2048x2048x!mx4> -> tensor<2048x2048xf16>
  return %y : tensor<2048x2048xf16>
}

// Signs of scales go to the codes, and the tensors' factors to the result.
// RECIPE: #qlow.recipe<mma_16x8x64_f32_e2m1_e2m1_via_ue4m3, {{.*}}rescale = fold
// CHECK-LABEL: func @two_levels
// CHECK: arith.xori
// CHECK: nvvm.mma.block_scale {{.*}}blockScaleFormat = #nvvm.block_scale_format<ue4m3>, kind = #nvvm.block_scale_kind<mxf4nvf4>
// CHECK: scf.yield
// CHECK: arith.mulf
func.func @two_levels(%a: tensor<256x2048x!nv4>, %b: tensor<512x2048x!nv4>) -> tensor<256x512xf16> {
  %y = qlow.matmul transpose_rhs %a, %b : tensor<256x2048x!nv4>, tensor<512x2048x!nv4> -> tensor<256x512xf16>
  return %y : tensor<256x512xf16>
}

// Of other scales sums are multiplied, as elsewhere.
// RECIPE: #qlow.recipe<mma_16x8x32_f32_e4m3_e4m3, {{.*}}rescale = block
// REPORT: not taken    mma_16x8x32_f32_e4m3_e4m3_via_ue8m0, {{.*}}: takes scales of e8m0, the left side has others
func.func @other_scales(%a: tensor<256x256x!f32s>, %b: tensor<256x256x!f32s>) -> tensor<256x256xf32> {
  %y = qlow.matmul transpose_rhs %a, %b : tensor<256x256x!f32s>, tensor<256x256x!f32s> -> tensor<256x256xf32>
  return %y : tensor<256x256xf32>
}
