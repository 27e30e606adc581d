// RUN: qlow-opt -split-input-file -qlow-import-quant %s | FileCheck %s --implicit-check-not=quant.

#rows = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (n)>
!x = !quant.uniform<u8:f32, 0.5:128>
!w = !quant.uniform<i8<-127:127>:f32:1, {0.25, 0.125}>
!b = !quant.uniform<i32:f32:0, {0.125, 0.0625}>
!y = !quant.uniform<i8:f32, 2.0:3>

// A bias of the sum's scale joins the sum, a relu is a maximum with 0, and the multiplier is (sx * sw[n]) / sy.
// CHECK-DAG: ![[X:.*]] = !qlow.q<u8 : f32, zero = u8>
// CHECK-DAG: ![[W:.*]] = !qlow.q<i8 : f32, block = [*, 1]>
// CHECK-DAG: ![[Y:.*]] = !qlow.q<i8 : f32, zero = i8>
// CHECK-LABEL: @hidden_layer
// CHECK-SAME: %[[IN:.*]]: tensor<?x4xf32>, %[[CODES:.*]]: tensor<4x2xi8>
// CHECK: %[[XQ:.*]] = qlow.quantize %[[IN]], {{.*}} -> tensor<?x4x![[X]]>
// CHECK: %[[SW:.*]] = arith.constant dense<{{\[\[}}2.500000e-01, 1.250000e-01]]> : tensor<1x2xf32>
// CHECK: %[[WQ:.*]] = qlow.compose %[[CODES]], %[[SW]] {{.*}} -> tensor<4x2x![[W]]>
// CHECK: %[[BIAS:.*]] = arith.constant dense<[5, -7]> : tensor<2xi32>
// CHECK: %[[SUM:.*]] = qlow.matmul %[[XQ]], %[[WQ]] bias(%[[BIAS]] : tensor<2xi32>) {{.*}} -> tensor<?x2xi32>
// CHECK: %[[RELU:.*]] = linalg.generic {{.*}} ins(%[[SUM]] : tensor<?x2xi32>)
// CHECK: %[[ZERO:.*]] = arith.constant 0 : i32
// CHECK: arith.maxsi %{{.*}}, %[[ZERO]]
// CHECK: %[[MULT:.*]] = arith.constant dense<[6.250000e-02, 3.125000e-02]> : tensor<2xf32>
// CHECK-DAG: %[[SY:.*]] = arith.constant dense<2.000000e+00> : tensor<f32>
// CHECK-DAG: %[[ZY:.*]] = arith.constant dense<3> : tensor<1xi8>
// CHECK: %[[YQ:.*]] = qlow.requantize half_even %[[RELU]], %[[MULT]] parts(%[[SY]], %[[ZY]] : tensor<f32>, tensor<1xi8>) {{.*}} -> tensor<?x2x![[Y]]>
// CHECK: %[[OUT:.*]] = qlow.dequantize %[[YQ]]
// CHECK: return %[[OUT]]
func.func @hidden_layer(%in: tensor<?x4xf32>, %codes: tensor<4x2xi8>) -> tensor<?x2xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %in, %c0 : tensor<?x4xf32>
  %empty = tensor.empty(%m) : tensor<?x2xf32>
  %xq = quant.qcast %in : tensor<?x4xf32> to tensor<?x4x!x>
  %x = quant.dcast %xq : tensor<?x4x!x> to tensor<?x4xf32>
  %wq = quant.scast %codes : tensor<4x2xi8> to tensor<4x2x!w>
  %w = quant.dcast %wq : tensor<4x2x!w> to tensor<4x2xf32>
  %bi = arith.constant dense<[5, -7]> : tensor<2xi32>
  %bq = quant.scast %bi : tensor<2xi32> to tensor<2x!b>
  %b = quant.dcast %bq : tensor<2x!b> to tensor<2xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x2xf32>) -> tensor<?x2xf32>
  %dot = linalg.matmul ins(%x, %w : tensor<?x4xf32>, tensor<4x2xf32>) outs(%init : tensor<?x2xf32>) -> tensor<?x2xf32>
  %sum = linalg.generic {indexing_maps = [#rows, #row, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%dot, %b : tensor<?x2xf32>, tensor<2xf32>) outs(%empty : tensor<?x2xf32>) {
  ^bb0(%p: f32, %q: f32, %out: f32):
    %r = arith.addf %p, %q : f32
    linalg.yield %r : f32
  } -> tensor<?x2xf32>
  %relu = linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%sum : tensor<?x2xf32>) outs(%empty : tensor<?x2xf32>) {
  ^bb0(%p: f32, %out: f32):
    %r = arith.maximumf %p, %zero : f32
    linalg.yield %r : f32
  } -> tensor<?x2xf32>
  %yq = quant.qcast %relu : tensor<?x2xf32> to tensor<?x2x!y>
  %y = quant.dcast %yq : tensor<?x2x!y> to tensor<?x2xf32>
  return %y : tensor<?x2xf32>
}

// -----

#rows = affine_map<(m, n) -> (m, n)>
#row = affine_map<(m, n) -> (n)>
!x = !quant.uniform<i8:f32, 0.5>
!b = !quant.uniform<i32:f32, 0.25>
!y = !quant.uniform<u8:f32, 1.0>

// Bias and relu may share a body. With a zero point of 0 saturation to u8 is the relu: no op is left for it.
// CHECK-LABEL: @relu_by_saturation
// CHECK: %[[SUM:.*]] = qlow.matmul {{.*}} bias(%{{.*}} : tensor<2xi32>) {{.*}} -> tensor<3x2xi32>
// CHECK: %[[MULT:.*]] = arith.constant dense<2.500000e-01> : tensor<f32>
// CHECK: qlow.requantize half_even %[[SUM]], %[[MULT]]
func.func @relu_by_saturation(%x8: tensor<3x4x!x>, %w8: tensor<4x2x!x>, %b32: tensor<2x!b>) -> tensor<3x2x!y> {
  %zero = arith.constant 0.0 : f32
  %x = quant.dcast %x8 : tensor<3x4x!x> to tensor<3x4xf32>
  %w = quant.dcast %w8 : tensor<4x2x!x> to tensor<4x2xf32>
  %b = quant.dcast %b32 : tensor<2x!b> to tensor<2xf32>
  %init = arith.constant dense<0.0> : tensor<3x2xf32>
  %dot = linalg.matmul ins(%x, %w : tensor<3x4xf32>, tensor<4x2xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  %relu = linalg.generic {indexing_maps = [#row, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%b : tensor<2xf32>) outs(%dot : tensor<3x2xf32>) {
  ^bb0(%q: f32, %p: f32):
    %s = arith.addf %q, %p : f32
    %c = arith.cmpf ugt, %s, %zero : f32
    %r = arith.select %c, %s, %zero : f32
    linalg.yield %r : f32
  } -> tensor<3x2xf32>
  %yq = quant.qcast %relu : tensor<3x2xf32> to tensor<3x2x!y>
  return %yq : tensor<3x2x!y>
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!y = !quant.uniform<i8:f32, 1.0:-128>

// A clamp to [0, 6] of a sum with factor 0.25: codes -128 .. -122, so sums up to 6 / 0.25, and the last that rounds to
// the code of 6 (26 * 0.25 = 6.5 is even at 6). The lower bound is the lowest code: saturation.
// CHECK-LABEL: @relu6
// CHECK: linalg.generic {{.*}} ins(%{{.*}} : tensor<3x2xi32>)
// CHECK-NOT: maxsi
// CHECK: %[[MOST:.*]] = arith.constant 26 : i32
// CHECK: arith.minsi %{{.*}}, %[[MOST]]
// CHECK: qlow.requantize half_even
func.func @relu6(%x8: tensor<3x4x!q>, %w8: tensor<4x2x!q>) -> tensor<3x2x!y> {
  %x = quant.dcast %x8 : tensor<3x4x!q> to tensor<3x4xf32>
  %w = quant.dcast %w8 : tensor<4x2x!q> to tensor<4x2xf32>
  %init = arith.constant dense<0.0> : tensor<3x2xf32>
  %dot = linalg.matmul ins(%x, %w : tensor<3x4xf32>, tensor<4x2xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  %six = tosa.clamp %dot {min_val = 0.0 : f32, max_val = 6.0 : f32} : (tensor<3x2xf32>) -> tensor<3x2xf32>
  %yq = quant.qcast %six : tensor<3x2xf32> to tensor<3x2x!y>
  return %yq : tensor<3x2x!y>
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!w = !quant.uniform<i8:f32:1, {0.5, 1.0}>
!y = !quant.uniform<i8<-127:127>:f32, 1.0>

// Narrow storage clamps too: the least sums that round to -127 differ by channel where the factor does (-127.5 rounds to
// -128). The upper bound is the highest code: saturation.
// CHECK-LABEL: @narrow_result
// CHECK: %[[LO:.*]] = arith.constant dense<[-509, -254]> : tensor<2xi32>
// CHECK: linalg.generic {{.*}} ins(%{{.*}}, %[[LO]] :
// CHECK: arith.maxsi
// CHECK-NOT: arith.minsi
// CHECK: qlow.requantize half_even
func.func @narrow_result(%x8: tensor<3x4x!q>, %w8: tensor<4x2x!w>) -> tensor<3x2x!y> {
  %x = quant.dcast %x8 : tensor<3x4x!q> to tensor<3x4xf32>
  %w = quant.dcast %w8 : tensor<4x2x!w> to tensor<4x2xf32>
  %init = arith.constant dense<0.0> : tensor<3x2xf32>
  %dot = linalg.matmul ins(%x, %w : tensor<3x4xf32>, tensor<4x2xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  %yq = quant.qcast %dot : tensor<3x2xf32> to tensor<3x2x!y>
  return %yq : tensor<3x2x!y>
}

// -----

!q = !quant.uniform<i8:f32, 2.0>
!y = !quant.uniform<u8<1:255>:f32, 0.5>

// Where the output is finer than the sum (8 codes apart), no sum has code 1: the codes are clamped.
// CHECK-LABEL: @fine_result
// CHECK: %[[YQ:.*]] = qlow.requantize half_even
// CHECK: %[[PARTS:.*]]:2 = qlow.decompose %[[YQ]]
// CHECK: %[[CODES:.*]] = linalg.generic {{.*}} ins(%[[PARTS]]#0 : tensor<3x2xi8>)
// CHECK: arith.maxui
// CHECK: qlow.compose %[[CODES]], %[[PARTS]]#1
func.func @fine_result(%x8: tensor<3x4x!q>, %w8: tensor<4x2x!q>) -> tensor<3x2xf32> {
  %x = quant.dcast %x8 : tensor<3x4x!q> to tensor<3x4xf32>
  %w = quant.dcast %w8 : tensor<4x2x!q> to tensor<4x2xf32>
  %init = arith.constant dense<0.0> : tensor<3x2xf32>
  %dot = linalg.matmul ins(%x, %w : tensor<3x4xf32>, tensor<4x2xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  %yq = quant.qcast %dot : tensor<3x2xf32> to tensor<3x2x!y>
  %y = quant.dcast %yq : tensor<3x2x!y> to tensor<3x2xf32>
  return %y : tensor<3x2xf32>
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!b = !quant.uniform<i32:f32, 0.125>
!y = !quant.uniform<i8:f32, 1.0>

// A bias of another scale is no part of the sum: the product is f32(acc) * (sx * sw), the add stays a float op, and
// the result is quantized by division.
// CHECK-LABEL: @foreign_bias
// CHECK-SAME: %[[X:.*]]: tensor<3x4xi8>, %{{.*}}: tensor<4x2xi8>, %[[B:.*]]: tensor<2xi32>
// CHECK: %[[BF:.*]] = linalg.generic {{.*}} ins(%[[B]] : tensor<2xi32>)
// CHECK: arith.sitofp
// CHECK: arith.mulf
// CHECK: %[[DOT:.*]] = qlow.matmul {{.*}} -> tensor<3x2xf32>
// CHECK: %[[SUM:.*]] = linalg.add ins(%[[DOT]]
// CHECK: qlow.quantize %[[SUM]]
func.func @foreign_bias(%x8: tensor<3x4x!q>, %w8: tensor<4x2x!q>, %b32: tensor<2x!b>) -> tensor<3x2x!y> {
  %x = quant.dcast %x8 : tensor<3x4x!q> to tensor<3x4xf32>
  %w = quant.dcast %w8 : tensor<4x2x!q> to tensor<4x2xf32>
  %b = quant.dcast %b32 : tensor<2x!b> to tensor<2xf32>
  %init = arith.constant dense<0.0> : tensor<3x2xf32>
  %empty = tensor.empty() : tensor<3x2xf32>
  %dot = linalg.matmul ins(%x, %w : tensor<3x4xf32>, tensor<4x2xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  %rows = linalg.broadcast ins(%b : tensor<2xf32>) outs(%empty : tensor<3x2xf32>) dimensions = [0]
  %sum = linalg.add ins(%dot, %rows : tensor<3x2xf32>, tensor<3x2xf32>) outs(%empty : tensor<3x2xf32>) -> tensor<3x2xf32>
  %yq = quant.qcast %sum : tensor<3x2xf32> to tensor<3x2x!y>
  return %yq : tensor<3x2x!y>
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!b = !quant.uniform<i32:f32, 0.25>
!y = !quant.uniform<i8:f32, 1.0>

// A bias that the matmul starts from is a bias. What floats read of the sum is f32(acc) * (sx * sw); what codes read of
// it stays an integer rule.
// CHECK-LABEL: @bias_as_init_and_two_readers
// CHECK-SAME: %[[B:[^:]*]]: tensor<2xi32>) ->
// CHECK: %[[SUM:.*]] = qlow.matmul {{.*}} bias(%[[B]] : tensor<2xi32>) {{.*}} -> tensor<3x2xi32>
// CHECK: %[[FLOAT:.*]] = linalg.generic {{.*}} ins(%[[SUM]] : tensor<3x2xi32>)
// CHECK: %[[FACTOR:.*]] = arith.constant 2.500000e-01 : f32
// CHECK: %[[F:.*]] = arith.sitofp
// CHECK: arith.mulf %[[F]], %[[FACTOR]]
// CHECK: %[[EXP:.*]] = linalg.exp ins(%[[FLOAT]]
// CHECK: %[[YQ:.*]] = qlow.requantize half_even %[[SUM]]
// CHECK: %[[CODES:.*]]:2 = qlow.decompose %[[YQ]]
// CHECK: return %[[EXP]], %[[CODES]]#0
func.func @bias_as_init_and_two_readers(%x8: tensor<3x4x!q>, %w8: tensor<4x2x!q>, %b32: tensor<2x!b>)
    -> (tensor<3x2xf32>, tensor<3x2x!y>) {
  %x = quant.dcast %x8 : tensor<3x4x!q> to tensor<3x4xf32>
  %w = quant.dcast %w8 : tensor<4x2x!q> to tensor<4x2xf32>
  %b = quant.dcast %b32 : tensor<2x!b> to tensor<2xf32>
  %empty = tensor.empty() : tensor<3x2xf32>
  %init = linalg.broadcast ins(%b : tensor<2xf32>) outs(%empty : tensor<3x2xf32>) dimensions = [0]
  %sum = linalg.matmul ins(%x, %w : tensor<3x4xf32>, tensor<4x2xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  %exp = linalg.exp ins(%sum : tensor<3x2xf32>) outs(%empty : tensor<3x2xf32>) -> tensor<3x2xf32>
  %yq = quant.qcast %sum : tensor<3x2xf32> to tensor<3x2x!y>
  return %exp, %yq : tensor<3x2xf32>, tensor<3x2x!y>
}

// -----

!w = !quant.uniform<i4:f16:0, {0.5, 0.25}>

// Only the weight is quantized: the product is one of floats. Constant codes of 4 bits are packed, two a byte, and a
// transposed weight is read as it is stored.
// CHECK-DAG: ![[W:.*]] = !qlow.q<i4 : f32, block = [1, *]>
// CHECK-LABEL: @weight_only
// CHECK-SAME: %[[X:.*]]: tensor<3x4xf16>
// CHECK: %[[CODES:.*]] = arith.constant dense<{{\[\[}}-31, 67], [120, 15]]> : tensor<2x2xi8>
// CHECK: %[[WQ:.*]] = qlow.compose %[[CODES]], {{.*}} -> tensor<2x4x![[W]]>
// CHECK: qlow.matmul transpose_rhs %[[X]], %[[WQ]] : tensor<3x4xf16>, tensor<2x4x![[W]]> -> tensor<3x2xf16>
func.func @weight_only(%x: tensor<3x4xf16>) -> tensor<3x2xf16> {
  %codes = arith.constant dense<[[1, -2, 3, 4], [-8, 7, -1, 0]]> : tensor<2x4xi4>
  %wq = quant.scast %codes : tensor<2x4xi4> to tensor<2x4x!w>
  %w = quant.dcast %wq : tensor<2x4x!w> to tensor<2x4xf16>
  %space = tensor.empty() : tensor<4x2xf16>
  %wt = linalg.transpose ins(%w : tensor<2x4xf16>) outs(%space : tensor<4x2xf16>) permutation = [1, 0]
  %init = arith.constant dense<0.0> : tensor<3x2xf16>
  %dot = linalg.matmul ins(%x, %wt : tensor<3x4xf16>, tensor<4x2xf16>) outs(%init : tensor<3x2xf16>) -> tensor<3x2xf16>
  return %dot : tensor<3x2xf16>
}

// -----

!x = !quant.uniform<i8:f32, 0.5>
!k = !quant.uniform<i8:f32:0, {0.5, 0.25, 0.5, 0.25}>
!g = !quant.uniform<i8:f32:{0:2, 1:1}, {{0.5, 0.25}, {0.125, 1.0}}>
!y = !quant.uniform<i8:f32, 1.0>

// Scales that differ along K have no integer rule: a float product, quantized by division.
// CHECK-DAG: ![[K:.*]] = !qlow.q<i8 : f32, block = [1, *]>
// CHECK-DAG: ![[G:.*]] = !qlow.q<i8 : f32, block = [2, 1]>
// CHECK-LABEL: @scales_along_k
// CHECK: %[[DOT:.*]] = qlow.matmul {{.*}} tensor<4x2x![[K]]> -> tensor<3x2xf32>
// CHECK: qlow.quantize %[[DOT]]
// CHECK: %[[BLOCKS:.*]] = arith.constant dense<{{\[\[}}5.000000e-01, 2.500000e-01], [1.250000e-01, 1.000000e+00]]> : tensor<2x2xf32>
// CHECK: qlow.compose %{{.*}}, %[[BLOCKS]]
// CHECK: %[[DOT2:.*]] = qlow.matmul {{.*}} tensor<4x2x![[G]]> -> tensor<3x2xf32>
// CHECK: qlow.quantize %[[DOT2]]
func.func @scales_along_k(%x8: tensor<3x4x!x>, %a: tensor<4x2xi8>) -> (tensor<3x2x!y>, tensor<3x2x!y>) {
  %x = quant.dcast %x8 : tensor<3x4x!x> to tensor<3x4xf32>
  %init = arith.constant dense<0.0> : tensor<3x2xf32>
  %kq = quant.scast %a : tensor<4x2xi8> to tensor<4x2x!k>
  %k = quant.dcast %kq : tensor<4x2x!k> to tensor<4x2xf32>
  %dot = linalg.matmul ins(%x, %k : tensor<3x4xf32>, tensor<4x2xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  %yq = quant.qcast %dot : tensor<3x2xf32> to tensor<3x2x!y>
  %gq = quant.scast %a : tensor<4x2xi8> to tensor<4x2x!g>
  %g = quant.dcast %gq : tensor<4x2x!g> to tensor<4x2xf32>
  %dot2 = linalg.matmul ins(%x, %g : tensor<3x4xf32>, tensor<4x2xf32>) outs(%init : tensor<3x2xf32>) -> tensor<3x2xf32>
  %yq2 = quant.qcast %dot2 : tensor<3x2xf32> to tensor<3x2x!y>
  return %yq, %yq2 : tensor<3x2x!y>, tensor<3x2x!y>
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!b = !quant.uniform<i32:f32:2, {0.25, 0.25}>
!y = !quant.uniform<i16:f32, 0.001>

// tosa writes the same thing on batches. Codes of 16 bits are beyond requantize: the float rule.
// CHECK-LABEL: @tosa_layer
// CHECK-SAME: %[[B:[^:]*]]: tensor<1x1x2xi32>) ->
// CHECK: %[[ROW:.*]] = tensor.collapse_shape %[[B]] {{.*}} into tensor<2xi32>
// CHECK: %[[SUM:.*]] = qlow.matmul {{.*}} bias(%[[ROW]] : tensor<2xi32>) {{.*}} -> tensor<1x3x2xi32>
// CHECK: %[[FLOAT:.*]] = linalg.generic {{.*}} ins(%[[SUM]]
// CHECK: %[[RELU:.*]] = tosa.clamp %[[FLOAT]]
// CHECK: qlow.quantize %[[RELU]]
func.func @tosa_layer(%x8: tensor<1x3x4x!q>, %w8: tensor<1x4x2x!q>, %b32: tensor<1x1x2x!b>) -> tensor<1x3x2xf32> {
  %x = quant.dcast %x8 : tensor<1x3x4x!q> to tensor<1x3x4xf32>
  %w = quant.dcast %w8 : tensor<1x4x2x!q> to tensor<1x4x2xf32>
  %b = quant.dcast %b32 : tensor<1x1x2x!b> to tensor<1x1x2xf32>
  %zp = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %dot = tosa.matmul %x, %w, %zp, %zp : (tensor<1x3x4xf32>, tensor<1x4x2xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x3x2xf32>
  %sum = tosa.add %dot, %b : (tensor<1x3x2xf32>, tensor<1x1x2xf32>) -> tensor<1x3x2xf32>
  %relu = tosa.clamp %sum {min_val = 0.0 : f32, max_val = 3.40282347E+38 : f32} : (tensor<1x3x2xf32>) -> tensor<1x3x2xf32>
  %yq = quant.qcast %relu : tensor<1x3x2xf32> to tensor<1x3x2x!y>
  %y = quant.dcast %yq : tensor<1x3x2x!y> to tensor<1x3x2xf32>
  return %y : tensor<1x3x2xf32>
}

// -----

!n = !quant.uniform<i8<-127:127>:f32, 0.5>
!c = !quant.uniform<i8<-100:100>:f32:0, {0.5, 0.25, 1.0}>

// Alone, a qcast with narrow bounds clamps the floats, so that NaN too stays within them; along any axis.
// CHECK-LABEL: @narrow_quantize
// CHECK-SAME: %[[X:.*]]: tensor<3x2xf32>
// CHECK: %[[ONE:.*]] = linalg.generic {{.*}} ins(%[[X]] : tensor<3x2xf32>)
// CHECK: %[[LO:.*]] = arith.constant -6.350000e+01 : f32
// CHECK: arith.maxnumf %{{.*}}, %[[LO]]
// CHECK: %[[HI:.*]] = arith.constant 6.350000e+01 : f32
// CHECK: arith.minnumf %{{.*}}, %[[HI]]
// CHECK: qlow.quantize %[[ONE]]
// CHECK: %[[LOS:.*]] = arith.constant dense<[-5.000000e+01, -2.500000e+01, -1.000000e+02]> : tensor<3xf32>
// CHECK: %[[CHANNELS:.*]] = linalg.generic {indexing_maps = [#{{.*}}, #[[AXIS:.*]], #[[AXIS]], #{{.*}}]{{.*}} ins(%[[X]], %[[LOS]], %{{.*}}
// CHECK: qlow.quantize %[[CHANNELS]]
func.func @narrow_quantize(%x: tensor<3x2xf32>) -> (tensor<3x2x!n>, tensor<3x2x!c>) {
  %n = quant.qcast %x : tensor<3x2xf32> to tensor<3x2x!n>
  %c = quant.qcast %x : tensor<3x2xf32> to tensor<3x2x!c>
  return %n, %c : tensor<3x2x!n>, tensor<3x2x!c>
}

// -----

!q = !quant.uniform<u8:f32, 0.5:7>

// Signatures carry codes; calls too. Quantized values go through structured control flow as they are.
// CHECK: ![[Q:.*]] = !qlow.q<u8 : f32, zero = u8>
// CHECK-LABEL: @callee
// CHECK-SAME: (%{{.*}}: tensor<2x2xi8> {qlow.name = "codes"}) -> (tensor<2x2xi8> {qlow.name = "same"})
func.func private @callee(%x: tensor<2x2x!q> {qlow.name = "codes"}) -> (tensor<2x2x!q> {qlow.name = "same"}) {
  return %x : tensor<2x2x!q>
}
// CHECK-LABEL: @boundaries
// CHECK: scf.if %{{.*}} -> (tensor<2x2x![[Q]]>)
// CHECK: func.call @callee(%{{.*}}) : (tensor<2x2xi8>) -> tensor<2x2xi8>
func.func @boundaries(%x: tensor<2x2x!q>, %which: i1) -> tensor<2x2xf32> {
  %y = scf.if %which -> tensor<2x2x!q> {
    %z = func.call @callee(%x) : (tensor<2x2x!q>) -> tensor<2x2x!q>
    scf.yield %z : tensor<2x2x!q>
  } else {
    scf.yield %x : tensor<2x2x!q>
  }
  %f = quant.dcast %y : tensor<2x2x!q> to tensor<2x2xf32>
  return %f : tensor<2x2xf32>
}

// -----

!q = !quant.uniform<i8:f32, 0.5>
!b = !quant.uniform<i32:f32, 0.25>

// No size need be known: linalg's broadcast stretches nothing, so the bias has N values.
// CHECK-LABEL: @dynamic_sizes
// CHECK-SAME: %[[B:[^:]*]]: tensor<?xi32>,
// CHECK: %[[SUM:.*]] = qlow.matmul {{.*}} bias(%[[B]] : tensor<?xi32>) {{.*}} -> tensor<?x?xi32>
// CHECK: qlow.requantize half_even %[[SUM]]
func.func @dynamic_sizes(%x8: tensor<?x?x!q>, %w8: tensor<?x?x!q>, %b32: tensor<?x!b>, %like: tensor<?x?xf32>) -> tensor<?x?x!q> {
  %x = quant.dcast %x8 : tensor<?x?x!q> to tensor<?x?xf32>
  %w = quant.dcast %w8 : tensor<?x?x!q> to tensor<?x?xf32>
  %b = quant.dcast %b32 : tensor<?x!b> to tensor<?xf32>
  %init = linalg.broadcast ins(%b : tensor<?xf32>) outs(%like : tensor<?x?xf32>) dimensions = [0]
  %dot = linalg.matmul ins(%x, %w : tensor<?x?xf32>, tensor<?x?xf32>) outs(%init : tensor<?x?xf32>) -> tensor<?x?xf32>
  %yq = quant.qcast %dot : tensor<?x?xf32> to tensor<?x?x!q>
  return %yq : tensor<?x?x!q>
}
