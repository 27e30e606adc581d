// RUN: qlow-opt -split-input-file -qlow-import-tosa %s | FileCheck %s --implicit-check-not=tosa.

// Zero points that are known to be 0 leave no part; the others are taken as they are.
// CHECK-DAG: ![[Z:.*]] = !qlow.q<i8 : f32, zero = i8>
// CHECK-DAG: ![[S:.*]] = !qlow.q<i8 : f32>
// CHECK-LABEL: @matmul
// CHECK-SAME: %[[A:.*]]: tensor<2x?x8xi8>, %[[B:.*]]: tensor<2x8x4xi8>
// CHECK-DAG: %[[ZP:.*]] = arith.constant dense<3> : tensor<1xi8>
// CHECK-DAG: %[[ONE:.*]] = arith.constant dense<1.000000e+00> : tensor<f32>
// CHECK-DAG: %[[QA:.*]] = qlow.compose %[[A]], %[[ONE]], %[[ZP]]
// CHECK-DAG: %[[QB:.*]] = qlow.compose %[[B]], %[[ONE]] :
// CHECK: qlow.matmul %[[QA]], %[[QB]] : tensor<2x?x8x![[Z]]>, tensor<2x8x4x![[S]]> -> tensor<2x?x4xi32>
func.func @matmul(%a: tensor<2x?x8xi8>, %b: tensor<2x8x4xi8>) -> tensor<2x?x4xi32> {
  %azp = "tosa.const"() <{values = dense<3> : tensor<1xi8>}> : () -> tensor<1xi8>
  %bzp = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %y = tosa.matmul %a, %b, %azp, %bzp : (tensor<2x?x8xi8>, tensor<2x8x4xi8>, tensor<1xi8>, tensor<1xi8>) -> tensor<2x?x4xi32>
  return %y : tensor<2x?x4xi32>
}

// -----

// CHECK-LABEL: @float_matmul
// CHECK: qlow.matmul %{{.*}} : tensor<1x2x8xf16>, tensor<1x8x4xf16> -> tensor<1x2x4xf32>
func.func @float_matmul(%a: tensor<1x2x8xf16>, %b: tensor<1x8x4xf16>) -> tensor<1x2x4xf32> {
  %zp = "tosa.const"() <{values = dense<0.0> : tensor<1xf16>}> : () -> tensor<1xf16>
  %y = tosa.matmul %a, %b, %zp, %zp : (tensor<1x2x8xf16>, tensor<1x8x4xf16>, tensor<1xf16>, tensor<1xf16>) -> tensor<1x2x4xf32>
  return %y : tensor<1x2x4xf32>
}

// -----

// One multiplier for the tensor has rank 0; the zero point of an unsigned result is a u8.
// CHECK: ![[U:.*]] = !qlow.q<u8 : f32, zero = u8>
// CHECK-LABEL: @rescale_tensor
// CHECK-SAME: %[[SUM:.*]]: tensor<4x2xi32>
// CHECK-DAG: %[[MULT:.*]] = arith.constant dense<1073741824> : tensor<i32>
// CHECK-DAG: %[[SHIFT:.*]] = arith.constant dense<38> : tensor<i8>
// CHECK-DAG: %[[ZP:.*]] = arith.constant dense<-56> : tensor<1xi8>
// CHECK: %[[Q:.*]] = qlow.requantize double %[[SUM]], %[[MULT]] shift(%[[SHIFT]] : tensor<i8>) parts(%{{.*}}, %[[ZP]] :
// CHECK-SAME: -> tensor<4x2x![[U]]>
// CHECK: %[[CODES:.*]]:3 = qlow.decompose %[[Q]]
// CHECK: return %[[CODES]]#0
func.func @rescale_tensor(%sum: tensor<4x2xi32>) -> tensor<4x2xi8> {
  %m = "tosa.const"() <{values = dense<1073741824> : tensor<1xi32>}> : () -> tensor<1xi32>
  %s = "tosa.const"() <{values = dense<38> : tensor<1xi8>}> : () -> tensor<1xi8>
  %izp = "tosa.const"() <{values = dense<0> : tensor<1xi32>}> : () -> tensor<1xi32>
  %ozp = "tosa.const"() <{values = dense<-56> : tensor<1xi8>}> : () -> tensor<1xi8>
  %y = tosa.rescale %sum, %m, %s, %izp, %ozp {scale32 = true, rounding_mode = DOUBLE_ROUND, per_channel = false,
      input_unsigned = false, output_unsigned = true}
    : (tensor<4x2xi32>, tensor<1xi32>, tensor<1xi8>, tensor<1xi32>, tensor<1xi8>) -> tensor<4x2xi8>
  return %y : tensor<4x2xi8>
}

// -----

// A multiplier for each channel keeps its rank; an i8 input is widened and its zero point taken off first.
// CHECK-LABEL: @rescale_channels
// CHECK-SAME: %[[X:.*]]: tensor<4x2xi8>
// CHECK: %[[WIDE:.*]] = linalg.generic {{.*}} ins(%[[X]]
// CHECK: arith.extsi
// CHECK: arith.subi
// CHECK: qlow.requantize single %[[WIDE]], %{{.*}} shift(%{{.*}} : tensor<2xi8>) {{.*}} : tensor<4x2xi32>, tensor<2xi32>
func.func @rescale_channels(%x: tensor<4x2xi8>) -> tensor<4x2xi8> {
  %m = "tosa.const"() <{values = dense<[1073741824, 1610612736]> : tensor<2xi32>}> : () -> tensor<2xi32>
  %s = "tosa.const"() <{values = dense<[30, 31]> : tensor<2xi8>}> : () -> tensor<2xi8>
  %izp = "tosa.const"() <{values = dense<7> : tensor<1xi8>}> : () -> tensor<1xi8>
  %ozp = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %y = tosa.rescale %x, %m, %s, %izp, %ozp {scale32 = true, rounding_mode = SINGLE_ROUND, per_channel = true,
      input_unsigned = false, output_unsigned = false}
    : (tensor<4x2xi8>, tensor<2xi32>, tensor<2xi8>, tensor<1xi8>, tensor<1xi8>) -> tensor<4x2xi8>
  return %y : tensor<4x2xi8>
}

// -----

// What requantize has no form for takes upstream's way and leaves no op of tosa: i32 results, 16 bit multipliers.
// CHECK-LABEL: @rescale_wide
// CHECK-NOT: qlow
// CHECK: linalg.generic
// CHECK: return
func.func @rescale_wide(%x: tensor<4x2xi8>, %sum: tensor<4x2xi32>) -> (tensor<4x2xi32>, tensor<4x2xi8>) {
  %m = "tosa.const"() <{values = dense<1073741824> : tensor<1xi32>}> : () -> tensor<1xi32>
  %m16 = "tosa.const"() <{values = dense<16384> : tensor<1xi16>}> : () -> tensor<1xi16>
  %s = "tosa.const"() <{values = dense<20> : tensor<1xi8>}> : () -> tensor<1xi8>
  %zp = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %zp32 = "tosa.const"() <{values = dense<0> : tensor<1xi32>}> : () -> tensor<1xi32>
  %y = tosa.rescale %x, %m, %s, %zp, %zp32 {scale32 = true, rounding_mode = SINGLE_ROUND, per_channel = false,
      input_unsigned = false, output_unsigned = false}
    : (tensor<4x2xi8>, tensor<1xi32>, tensor<1xi8>, tensor<1xi8>, tensor<1xi32>) -> tensor<4x2xi32>
  %z = tosa.rescale %sum, %m16, %s, %zp32, %zp {scale32 = false, rounding_mode = SINGLE_ROUND, per_channel = false,
      input_unsigned = false, output_unsigned = false}
    : (tensor<4x2xi32>, tensor<1xi16>, tensor<1xi8>, tensor<1xi32>, tensor<1xi8>) -> tensor<4x2xi8>
  return %y, %z : tensor<4x2xi32>, tensor<4x2xi8>
}

// -----

// Other tosa becomes linalg and tensor ops.
// CHECK-LABEL: @others
// CHECK: linalg.generic
// CHECK: math.tanh
// CHECK: tensor.collapse_shape
func.func @others(%x: tensor<2x4xf32>, %row: tensor<1x4xf32>) -> tensor<8xf32> {
  %sum = tosa.add %x, %row : (tensor<2x4xf32>, tensor<1x4xf32>) -> tensor<2x4xf32>
  %tanh = tosa.tanh %sum : (tensor<2x4xf32>) -> tensor<2x4xf32>
  %shape = tosa.const_shape {values = dense<8> : tensor<1xindex>} : () -> !tosa.shape<1>
  %flat = tosa.reshape %tanh, %shape : (tensor<2x4xf32>, !tosa.shape<1>) -> tensor<8xf32>
  return %flat : tensor<8xf32>
}
