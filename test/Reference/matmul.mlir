// RUN: python3 %S/Inputs/run_all.py %s | FileCheck %s
// Constant in, op, exact expected values, by hand or from StableHLO's public test vectors.

!u8 = !qlow.q<u8 : f32, zero = u8>
!i8 = !qlow.q<i8 : f32>
!i8z = !qlow.q<i8 : f32, zero = i8>
!columns = !qlow.q<i8 : f32, block = [*, 1]>

// ONNX MatMulInteger, the example of its specification: a u8 with zero point 12, b u8 with zero point 0.
// CHECK-LABEL: @onnx_matmul_integer
// CHECK-NEXT: 4x2xi32: -38, -83, -44, -98, -50, -113, -56, -128
func.func @onnx_matmul_integer() -> tensor<4x2xi32> {
  %a = arith.constant dense<[[11, 7, 3], [10, 6, 2], [9, 5, 1], [8, 4, 0]]> : tensor<4x3xi8>
  %b = arith.constant dense<[[1, 4], [2, 5], [3, 6]]> : tensor<3x2xi8>
  %one = arith.constant dense<1.0> : tensor<f32>
  %za = arith.constant dense<12> : tensor<1xi8>
  %zb = arith.constant dense<0> : tensor<1xi8>
  %qa = qlow.compose %a, %one, %za : (tensor<4x3xi8>, tensor<f32>, tensor<1xi8>) -> tensor<4x3x!u8>
  %qb = qlow.compose %b, %one, %zb : (tensor<3x2xi8>, tensor<f32>, tensor<1xi8>) -> tensor<3x2x!u8>
  %y = qlow.matmul %qa, %qb : tensor<4x3x!u8>, tensor<3x2x!u8> -> tensor<4x2xi32>
  return %y : tensor<4x2xi32>
}

// ONNX QLinearMatMul, the example of its specification (u8).
// CHECK-LABEL: @onnx_qlinear_matmul
// CHECK-NEXT: 2x3xu8: 168, 115, 255, 1, 66, 151
func.func @onnx_qlinear_matmul() -> tensor<2x3x!u8> {
  %a = arith.constant dense<[[208, 236, 0, 238], [3, 214, 255, 29]]> : tensor<2x4xi8>
  %b = arith.constant dense<[[152, 51, 244], [60, 26, 255], [0, 127, 246], [127, 254, 247]]> : tensor<4x3xi8>
  %sa = arith.constant dense<0.0066> : tensor<f32>
  %sb = arith.constant dense<0.00705> : tensor<f32>
  %sy = arith.constant dense<0.0107> : tensor<f32>
  %za = arith.constant dense<113> : tensor<1xi8>
  %zb = arith.constant dense<114> : tensor<1xi8>
  %zy = arith.constant dense<118> : tensor<1xi8>
  %qa = qlow.compose %a, %sa, %za : (tensor<2x4xi8>, tensor<f32>, tensor<1xi8>) -> tensor<2x4x!u8>
  %qb = qlow.compose %b, %sb, %zb : (tensor<4x3xi8>, tensor<f32>, tensor<1xi8>) -> tensor<4x3x!u8>
  %y = qlow.matmul %qa, %qb parts(%sy, %zy : tensor<f32>, tensor<1xi8>) : tensor<2x4x!u8>, tensor<4x3x!u8> -> tensor<2x3x!u8>
  return %y : tensor<2x3x!u8>
}

// StableHLO, testdata/quantized: dot_general of 4x3 and 3x6 with preferred type f32, requantized and dequantized.
// CHECK-LABEL: @stablehlo_dot_general
// CHECK-NEXT: 4x6xf32: 0, 0.880177557, 0.148240432, 1.00062287, 1.00062287, 1.00062287,
// CHECK-SAME: 0, 0, 0.843117476, 0, 0, 0, 0, 0, 1.00062287, 0, 0, 0,
// CHECK-SAME: 0, 0.880177557, 1.00062287, 1.00062287, 1.00062287, 1.00062287
func.func @stablehlo_dot_general() -> tensor<4x6xf32> {
  %a = arith.constant dense<[[5.81311798, 2.08485532, 0.151162371], [-1.21007407, -1.59476554, 0.846119463],
                             [-0.83784312, -0.416278511, 1.24929118], [3.46354723, 2.21915126, 3.81866336]]> : tensor<4x3xf32>
  %b = arith.constant dense<[[-2.10215521, -1.803730e+00, -7.83739519, 4.36787844, 1.4788357, 3.10357666],
                             [-4.46420813, 0.879630148, -2.18081808, -1.95115197, -3.56435633, -0.671983778],
                             [-2.76886797, -0.212248296, 2.77085519, -1.21441388, -3.28464937, -4.60568237]]> : tensor<3x6xf32>
  %sa = arith.constant dense<0.0039189298947652183> : tensor<f32>
  %sb = arith.constant dense<0.0039149835997936769> : tensor<f32>
  %sy = arith.constant dense<0.0092650273266960594> : tensor<f32>
  %z = arith.constant dense<-128> : tensor<1xi8>
  %qa = qlow.quantize %a, %sa, %z : (tensor<4x3xf32>, tensor<f32>, tensor<1xi8>) -> tensor<4x3x!i8z>
  %qb = qlow.quantize %b, %sb, %z : (tensor<3x6xf32>, tensor<f32>, tensor<1xi8>) -> tensor<3x6x!i8z>
  %q = qlow.matmul %qa, %qb parts(%sy, %z : tensor<f32>, tensor<1xi8>) : tensor<4x3x!i8z>, tensor<3x6x!i8z> -> tensor<4x6x!i8z>
  %y = qlow.dequantize %q : tensor<4x6x!i8z> -> tensor<4x6xf32>
  return %y : tensor<4x6xf32>
}

// StableHLO, testdata/quantized: dot_general with a batch dimension, 7x3x4 and 7x4 (here 7x4x1).
// CHECK-LABEL: @stablehlo_batched
// CHECK-NEXT: 7x3x1xf32: 0.125620693, 2.56475592, 1.55979037, 0, 0, 0, 1.01543403, 1.22480178, 1.00496554,
// CHECK-SAME: 1.47604322, 0, 1.00496554, 0, 0, 0, 1.99946284, 1.00496554, 0.73278743, 1.00496554, 1.00496554, 1.00496554
func.func @stablehlo_batched() -> tensor<7x3x1xf32> {
  %a = arith.constant dense<[
    [[-1.55481946, -2.84300208, 0.130727246, -5.37463331], [6.66709518, 2.43167925, 3.84036207, 1.72203171], [2.28491235, -2.59345341, -5.74870396, 1.13241291]],
    [[3.51428676, 2.11786175, 2.74339271, -4.60666561], [2.35853601, 2.48051023, 1.31201625, -0.999869346], [0.124757007, -5.970819, -2.01327014, 2.19010305]],
    [[-0.955281555, 0.124370761, -1.15590656, 7.365260e+00], [1.34801543, 4.10404158, 0.668308317, -3.24482584], [4.13807964, -2.23407316, -1.28717101, -6.15596914]],
    [[2.11344457, 2.81456399, 2.51489782, 1.06386888], [-3.30785418, -1.16936183, -0.460092366, -5.6397028], [-4.824150e+00, 4.43334723, -3.3660388, -0.344859332]],
    [[1.03909051, -1.66122365, 3.03408194, -0.690698146], [2.01606584, -0.180769563, -2.47521567, 0.760841727], [5.13301516, -4.57306099, -2.61753654, -0.181964964]],
    [[1.1066184, 5.85380602, -5.27273464, 0.751095354], [-3.67786407, 2.64520931, 2.22783017, -4.61741352], [0.729759633, -0.61146003, -1.45802653, 1.28698456]],
    [[3.11535406, -1.13828278, 2.18271208, -0.991719305], [4.06768799, -2.17965627, -1.70946264, 3.91555405], [1.48111594, -1.52553177, 1.34009528, 0.594984293]]]> : tensor<7x3x4xf32>
  %b = arith.constant dense<[
    [0.675175189, -4.33863735, 1.33903289, 0.891059279], [-6.72175169, -2.56142187, -5.99034643, -2.68342233],
    [2.07608056, 9.452210e-02, 0.193092689, 2.04242158], [0.473974138, 1.10980368, -3.32067275, -2.74698329],
    [-0.406609803, -3.41262746, -2.752960e+00, -2.76916671], [1.8181572, 2.6974318, -0.816533684, -0.791226446],
    [3.50465369, -2.72822666, -0.372476548, -3.53888774]]> : tensor<7x4xf32>
  %column = tensor.expand_shape %b [[0], [1, 2]] output_shape [7, 4, 1] : tensor<7x4xf32> into tensor<7x4x1xf32>
  %sa = arith.constant dense<0.0039215482917486456> : tensor<f32>
  %sb = arith.constant dense<0.0039208187776453357> : tensor<f32>
  %sy = arith.constant dense<0.010468391343659046> : tensor<f32>
  %z = arith.constant dense<-128> : tensor<1xi8>
  %qa = qlow.quantize %a, %sa, %z : (tensor<7x3x4xf32>, tensor<f32>, tensor<1xi8>) -> tensor<7x3x4x!i8z>
  %qb = qlow.quantize %column, %sb, %z : (tensor<7x4x1xf32>, tensor<f32>, tensor<1xi8>) -> tensor<7x4x1x!i8z>
  %q = qlow.matmul %qa, %qb parts(%sy, %z : tensor<f32>, tensor<1xi8>) : tensor<7x3x4x!i8z>, tensor<7x4x1x!i8z> -> tensor<7x3x1x!i8z>
  %y = qlow.dequantize %q : tensor<7x3x1x!i8z> -> tensor<7x3x1xf32>
  return %y : tensor<7x3x1xf32>
}

// f32(acc) * (sa * sb[n]) + bias[n]: 3 * 5 - 2 * 7 = 1 and 3 * 1 + 2 * 100 = 203.
// CHECK-LABEL: @float_result
// CHECK-NEXT: 1x2xf32: 1.5, 50.875
func.func @float_result() -> tensor<1x2xf32> {
  %a = arith.constant dense<[[3, 2]]> : tensor<1x2xi8>
  %b = arith.constant dense<[[5, 1], [-7, 100]]> : tensor<2x2xi8>
  %sa = arith.constant dense<0.5> : tensor<f32>
  %sb = arith.constant dense<[[1.0, 0.5]]> : tensor<1x2xf32>
  %bias = arith.constant dense<[1.0, 0.125]> : tensor<2xf32>
  %qa = qlow.compose %a, %sa : (tensor<1x2xi8>, tensor<f32>) -> tensor<1x2x!i8>
  %qb = qlow.compose %b, %sb : (tensor<2x2xi8>, tensor<1x2xf32>) -> tensor<2x2x!columns>
  %y = qlow.matmul %qa, %qb bias(%bias : tensor<2xf32>) : tensor<1x2x!i8>, tensor<2x2x!columns> -> tensor<1x2xf32>
  return %y : tensor<1x2xf32>
}

// Sums wrap mod 2^32: 4 * 255 * 255 * 2^14 is (2^32 - 2^25 + 2^16) less 2^32.
// CHECK-LABEL: @wraps
// CHECK-NEXT: 1x1xi32: -33488896
func.func @wraps() -> tensor<1x1xi32> {
  %a = arith.constant dense<255> : tensor<1x65536xi8>
  %one = arith.constant dense<1.0> : tensor<f32>
  %zero = arith.constant dense<0> : tensor<1xi8>
  %q = qlow.compose %a, %one, %zero : (tensor<1x65536xi8>, tensor<f32>, tensor<1xi8>) -> tensor<1x65536x!u8>
  %y = qlow.matmul transpose_rhs %q, %q : tensor<1x65536x!u8>, tensor<1x65536x!u8> -> tensor<1x1xi32>
  return %y : tensor<1x1xi32>
}

// E2M1 is an integer times 1/2, so the sum is exact: (1 * 6 + 0.5 * -1.5) * (0.5 * 2) = 5.25.
// CHECK-LABEL: @integer_images
// CHECK-NEXT: 1x1xf32: 5.25
func.func @integer_images() -> tensor<1x1xf32> {
  %a = arith.constant dense<[[0x12]]> : tensor<1x1xi8>
  %b = arith.constant dense<[[0xB7]]> : tensor<1x1xi8>
  %sa = arith.constant dense<0.5> : tensor<f32>
  %sb = arith.constant dense<2.0> : tensor<f32>
  %qa = qlow.compose %a, %sa : (tensor<1x1xi8>, tensor<f32>) -> tensor<1x2x!qlow.q<f4E2M1FN : f32>>
  %qb = qlow.compose %b, %sb : (tensor<1x1xi8>, tensor<f32>) -> tensor<1x2x!qlow.q<f4E2M1FN : f32>>
  %y = qlow.matmul transpose_rhs %qa, %qb : tensor<1x2x!qlow.q<f4E2M1FN : f32>>, tensor<1x2x!qlow.q<f4E2M1FN : f32>> -> tensor<1x1xf32>
  return %y : tensor<1x1xf32>
}

// An epilogue computes the result from the sum and what it reads by m and n: max(acc + bias[n], 0) * scale[m].
// CHECK-LABEL: @epilogue
// CHECK-NEXT: 2x2xi32: 50, 20, 0, 600
func.func @epilogue() -> tensor<2x2xi32> {
  %a = arith.constant dense<[[1, 0], [0, 1]]> : tensor<2x2xi8>
  %b = arith.constant dense<[[4, 1], [-9, 5]]> : tensor<2x2xi8>
  %one = arith.constant dense<1.0> : tensor<f32>
  %bias = arith.constant dense<1> : tensor<2xi32>
  %scale = arith.constant dense<[10, 100]> : tensor<2xi32>
  %qa = qlow.compose %a, %one : (tensor<2x2xi8>, tensor<f32>) -> tensor<2x2x!i8>
  %qb = qlow.compose %b, %one : (tensor<2x2xi8>, tensor<f32>) -> tensor<2x2x!i8>
  %y = qlow.matmul %qa, %qb extras(%bias, %scale : tensor<2xi32>, tensor<2xi32>)
      maps [affine_map<(m, n) -> (n)>, affine_map<(m, n) -> (m)>] epilogue {
  ^bb0(%acc: i32, %c: i32, %s: i32):
    %zero = arith.constant 0 : i32
    %sum = arith.addi %acc, %c : i32
    %relu = arith.maxsi %sum, %zero : i32
    %r = arith.muli %relu, %s : i32
    qlow.yield %r : i32
  } : tensor<2x2x!i8>, tensor<2x2x!i8> -> tensor<2x2xi32>
  return %y : tensor<2x2xi32>
}

// Sizes of 0: no sums without K, no elements without M.
// CHECK-LABEL: @empty
// CHECK-NEXT: 2x2xi32: 0, 0, 0, 0
// CHECK-NEXT: 0x3xi32:
func.func @empty() -> (tensor<2x2xi32>, tensor<0x3xi32>) {
  %a = arith.constant dense<> : tensor<2x0xi8>
  %b = arith.constant dense<> : tensor<0x2xi8>
  %c = arith.constant dense<1> : tensor<2x3xi8>
  %one = arith.constant dense<1.0> : tensor<f32>
  %qa = qlow.compose %a, %one : (tensor<2x0xi8>, tensor<f32>) -> tensor<2x0x!i8>
  %qb = qlow.compose %b, %one : (tensor<0x2xi8>, tensor<f32>) -> tensor<0x2x!i8>
  %qc = qlow.compose %c, %one : (tensor<2x3xi8>, tensor<f32>) -> tensor<2x3x!i8>
  %y = qlow.matmul %qa, %qb : tensor<2x0x!i8>, tensor<0x2x!i8> -> tensor<2x2xi32>
  %z = qlow.matmul %qb, %qc : tensor<0x2x!i8>, tensor<2x3x!i8> -> tensor<0x3xi32>
  return %y, %z : tensor<2x2xi32>, tensor<0x3xi32>
}
