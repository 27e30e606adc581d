// RUN: qlow-opt %s --qlow-fuse-elementwise --split-input-file | FileCheck %s --check-prefixes=CHECK,ANY
// RUN: qlow-opt %s --qlow-fuse-elementwise=target=sm_80 --split-input-file | FileCheck %s --check-prefixes=CHECK,DEVICE

#id = affine_map<(d0) -> (d0)>

// One loop of two ops.
// CHECK-LABEL: func.func @chain
// CHECK: linalg.generic
// CHECK: arith.addf
// CHECK-NEXT: arith.mulf
// CHECK-NOT: linalg.generic
// CHECK: return
func.func @chain(%a: tensor<8xf32>, %b: tensor<8xf32>) -> tensor<8xf32> {
  %e = tensor.empty() : tensor<8xf32>
  %0 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
      ins(%a, %b : tensor<8xf32>, tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%v0: f32, %v1: f32, %v2: f32):
    %t = arith.addf %v0, %v1 : f32
    linalg.yield %t : f32
  } -> tensor<8xf32>
  %1 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
      ins(%0, %b : tensor<8xf32>, tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%v0: f32, %v1: f32, %v2: f32):
    %t = arith.mulf %v0, %v1 : f32
    linalg.yield %t : f32
  } -> tensor<8xf32>
  return %1 : tensor<8xf32>
}

// -----

#id = affine_map<(d0) -> (d0)>

// What two ops read is computed once.
// CHECK-LABEL: func.func @shared
// CHECK-COUNT-2: linalg.generic
// CHECK: return
func.func @shared(%a: tensor<8xf32>, %b: tensor<8xf32>) -> (tensor<8xf32>, tensor<8xf32>) {
  %e = tensor.empty() : tensor<8xf32>
  %0 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
      ins(%a, %b : tensor<8xf32>, tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%v0: f32, %v1: f32, %v2: f32):
    %t = arith.addf %v0, %v1 : f32
    linalg.yield %t : f32
  } -> tensor<8xf32>
  %1 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
      ins(%0, %b : tensor<8xf32>, tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%v0: f32, %v1: f32, %v2: f32):
    %t = arith.mulf %v0, %v1 : f32
    linalg.yield %t : f32
  } -> tensor<8xf32>
  return %0, %1 : tensor<8xf32>, tensor<8xf32>
}

// -----

#id = affine_map<(d0, d1, d2, d3, d4, d5, d6, d7) -> (d0, d1, d2, d3, d4, d5, d6, d7)>

// Of 23 tensors and a result, of rank 8, as many as a device's kernel takes.
// CHECK-LABEL: func.func @most
// CHECK: linalg.generic
// CHECK-NOT: linalg.generic
// CHECK: return
func.func @most(%a0: tensor<1x1x1x1x1x1x1x8xf32>, %a1: tensor<1x1x1x1x1x1x1x8xf32>, %a2: tensor<1x1x1x1x1x1x1x8xf32>, %a3: tensor<1x1x1x1x1x1x1x8xf32>, %a4: tensor<1x1x1x1x1x1x1x8xf32>, %a5: tensor<1x1x1x1x1x1x1x8xf32>, %a6: tensor<1x1x1x1x1x1x1x8xf32>, %a7: tensor<1x1x1x1x1x1x1x8xf32>, %a8: tensor<1x1x1x1x1x1x1x8xf32>, %a9: tensor<1x1x1x1x1x1x1x8xf32>, %a10: tensor<1x1x1x1x1x1x1x8xf32>, %a11: tensor<1x1x1x1x1x1x1x8xf32>, %b0: tensor<1x1x1x1x1x1x1x8xf32>, %b1: tensor<1x1x1x1x1x1x1x8xf32>, %b2: tensor<1x1x1x1x1x1x1x8xf32>, %b3: tensor<1x1x1x1x1x1x1x8xf32>, %b4: tensor<1x1x1x1x1x1x1x8xf32>, %b5: tensor<1x1x1x1x1x1x1x8xf32>, %b6: tensor<1x1x1x1x1x1x1x8xf32>, %b7: tensor<1x1x1x1x1x1x1x8xf32>, %b8: tensor<1x1x1x1x1x1x1x8xf32>, %b9: tensor<1x1x1x1x1x1x1x8xf32>, %b10: tensor<1x1x1x1x1x1x1x8xf32>) -> tensor<1x1x1x1x1x1x1x8xf32> {
  %e = tensor.empty() : tensor<1x1x1x1x1x1x1x8xf32>
  %0 = linalg.generic {indexing_maps = [#id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel", "parallel", "parallel", "parallel"]}
      ins(%a0, %a1, %a2, %a3, %a4, %a5, %a6, %a7, %a8, %a9, %a10, %a11 : tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>) outs(%e : tensor<1x1x1x1x1x1x1x8xf32>) {
  ^bb0(%v0: f32, %v1: f32, %v2: f32, %v3: f32, %v4: f32, %v5: f32, %v6: f32, %v7: f32, %v8: f32, %v9: f32, %v10: f32, %v11: f32, %v12: f32):
    %t1 = arith.addf %v0, %v1 : f32
    %t2 = arith.addf %t1, %v2 : f32
    %t3 = arith.addf %t2, %v3 : f32
    %t4 = arith.addf %t3, %v4 : f32
    %t5 = arith.addf %t4, %v5 : f32
    %t6 = arith.addf %t5, %v6 : f32
    %t7 = arith.addf %t6, %v7 : f32
    %t8 = arith.addf %t7, %v8 : f32
    %t9 = arith.addf %t8, %v9 : f32
    %t10 = arith.addf %t9, %v10 : f32
    %t11 = arith.addf %t10, %v11 : f32
    linalg.yield %t11 : f32
  } -> tensor<1x1x1x1x1x1x1x8xf32>
  %1 = linalg.generic {indexing_maps = [#id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel", "parallel", "parallel", "parallel"]}
      ins(%0, %b0, %b1, %b2, %b3, %b4, %b5, %b6, %b7, %b8, %b9, %b10 : tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>) outs(%e : tensor<1x1x1x1x1x1x1x8xf32>) {
  ^bb0(%v0: f32, %v1: f32, %v2: f32, %v3: f32, %v4: f32, %v5: f32, %v6: f32, %v7: f32, %v8: f32, %v9: f32, %v10: f32, %v11: f32, %v12: f32):
    %t1 = arith.addf %v0, %v1 : f32
    %t2 = arith.addf %t1, %v2 : f32
    %t3 = arith.addf %t2, %v3 : f32
    %t4 = arith.addf %t3, %v4 : f32
    %t5 = arith.addf %t4, %v5 : f32
    %t6 = arith.addf %t5, %v6 : f32
    %t7 = arith.addf %t6, %v7 : f32
    %t8 = arith.addf %t7, %v8 : f32
    %t9 = arith.addf %t8, %v9 : f32
    %t10 = arith.addf %t9, %v10 : f32
    %t11 = arith.addf %t10, %v11 : f32
    linalg.yield %t11 : f32
  } -> tensor<1x1x1x1x1x1x1x8xf32>
  return %1 : tensor<1x1x1x1x1x1x1x8xf32>
}

// -----

#id = affine_map<(d0, d1, d2, d3, d4, d5, d6, d7) -> (d0, d1, d2, d3, d4, d5, d6, d7)>

// Of one more.
// CHECK-LABEL: func.func @more
// CHECK: linalg.generic
// ANY-NOT: linalg.generic
// DEVICE: linalg.generic
// CHECK: return
func.func @more(%a0: tensor<1x1x1x1x1x1x1x8xf32>, %a1: tensor<1x1x1x1x1x1x1x8xf32>, %a2: tensor<1x1x1x1x1x1x1x8xf32>, %a3: tensor<1x1x1x1x1x1x1x8xf32>, %a4: tensor<1x1x1x1x1x1x1x8xf32>, %a5: tensor<1x1x1x1x1x1x1x8xf32>, %a6: tensor<1x1x1x1x1x1x1x8xf32>, %a7: tensor<1x1x1x1x1x1x1x8xf32>, %a8: tensor<1x1x1x1x1x1x1x8xf32>, %a9: tensor<1x1x1x1x1x1x1x8xf32>, %a10: tensor<1x1x1x1x1x1x1x8xf32>, %a11: tensor<1x1x1x1x1x1x1x8xf32>, %b0: tensor<1x1x1x1x1x1x1x8xf32>, %b1: tensor<1x1x1x1x1x1x1x8xf32>, %b2: tensor<1x1x1x1x1x1x1x8xf32>, %b3: tensor<1x1x1x1x1x1x1x8xf32>, %b4: tensor<1x1x1x1x1x1x1x8xf32>, %b5: tensor<1x1x1x1x1x1x1x8xf32>, %b6: tensor<1x1x1x1x1x1x1x8xf32>, %b7: tensor<1x1x1x1x1x1x1x8xf32>, %b8: tensor<1x1x1x1x1x1x1x8xf32>, %b9: tensor<1x1x1x1x1x1x1x8xf32>, %b10: tensor<1x1x1x1x1x1x1x8xf32>, %b11: tensor<1x1x1x1x1x1x1x8xf32>) -> tensor<1x1x1x1x1x1x1x8xf32> {
  %e = tensor.empty() : tensor<1x1x1x1x1x1x1x8xf32>
  %0 = linalg.generic {indexing_maps = [#id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel", "parallel", "parallel", "parallel"]}
      ins(%a0, %a1, %a2, %a3, %a4, %a5, %a6, %a7, %a8, %a9, %a10, %a11 : tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>) outs(%e : tensor<1x1x1x1x1x1x1x8xf32>) {
  ^bb0(%v0: f32, %v1: f32, %v2: f32, %v3: f32, %v4: f32, %v5: f32, %v6: f32, %v7: f32, %v8: f32, %v9: f32, %v10: f32, %v11: f32, %v12: f32):
    %t1 = arith.addf %v0, %v1 : f32
    %t2 = arith.addf %t1, %v2 : f32
    %t3 = arith.addf %t2, %v3 : f32
    %t4 = arith.addf %t3, %v4 : f32
    %t5 = arith.addf %t4, %v5 : f32
    %t6 = arith.addf %t5, %v6 : f32
    %t7 = arith.addf %t6, %v7 : f32
    %t8 = arith.addf %t7, %v8 : f32
    %t9 = arith.addf %t8, %v9 : f32
    %t10 = arith.addf %t9, %v10 : f32
    %t11 = arith.addf %t10, %v11 : f32
    linalg.yield %t11 : f32
  } -> tensor<1x1x1x1x1x1x1x8xf32>
  %1 = linalg.generic {indexing_maps = [#id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel", "parallel", "parallel", "parallel"]}
      ins(%0, %b0, %b1, %b2, %b3, %b4, %b5, %b6, %b7, %b8, %b9, %b10, %b11 : tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>, tensor<1x1x1x1x1x1x1x8xf32>) outs(%e : tensor<1x1x1x1x1x1x1x8xf32>) {
  ^bb0(%v0: f32, %v1: f32, %v2: f32, %v3: f32, %v4: f32, %v5: f32, %v6: f32, %v7: f32, %v8: f32, %v9: f32, %v10: f32, %v11: f32, %v12: f32, %v13: f32):
    %t1 = arith.addf %v0, %v1 : f32
    %t2 = arith.addf %t1, %v2 : f32
    %t3 = arith.addf %t2, %v3 : f32
    %t4 = arith.addf %t3, %v4 : f32
    %t5 = arith.addf %t4, %v5 : f32
    %t6 = arith.addf %t5, %v6 : f32
    %t7 = arith.addf %t6, %v7 : f32
    %t8 = arith.addf %t7, %v8 : f32
    %t9 = arith.addf %t8, %v9 : f32
    %t10 = arith.addf %t9, %v10 : f32
    %t11 = arith.addf %t10, %v11 : f32
    %t12 = arith.addf %t11, %v12 : f32
    linalg.yield %t12 : f32
  } -> tensor<1x1x1x1x1x1x1x8xf32>
  return %1 : tensor<1x1x1x1x1x1x1x8xf32>
}

// -----

#id = affine_map<(d0) -> (d0)>

// Of as many with fewer dimensions.
// CHECK-LABEL: func.func @small
// CHECK: linalg.generic
// CHECK-NOT: linalg.generic
// CHECK: return
func.func @small(%a0: tensor<8xf32>, %a1: tensor<8xf32>, %a2: tensor<8xf32>, %a3: tensor<8xf32>, %a4: tensor<8xf32>, %a5: tensor<8xf32>, %a6: tensor<8xf32>, %a7: tensor<8xf32>, %a8: tensor<8xf32>, %a9: tensor<8xf32>, %a10: tensor<8xf32>, %a11: tensor<8xf32>, %b0: tensor<8xf32>, %b1: tensor<8xf32>, %b2: tensor<8xf32>, %b3: tensor<8xf32>, %b4: tensor<8xf32>, %b5: tensor<8xf32>, %b6: tensor<8xf32>, %b7: tensor<8xf32>, %b8: tensor<8xf32>, %b9: tensor<8xf32>, %b10: tensor<8xf32>, %b11: tensor<8xf32>) -> tensor<8xf32> {
  %e = tensor.empty() : tensor<8xf32>
  %0 = linalg.generic {indexing_maps = [#id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id], iterator_types = ["parallel"]}
      ins(%a0, %a1, %a2, %a3, %a4, %a5, %a6, %a7, %a8, %a9, %a10, %a11 : tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%v0: f32, %v1: f32, %v2: f32, %v3: f32, %v4: f32, %v5: f32, %v6: f32, %v7: f32, %v8: f32, %v9: f32, %v10: f32, %v11: f32, %v12: f32):
    %t1 = arith.addf %v0, %v1 : f32
    %t2 = arith.addf %t1, %v2 : f32
    %t3 = arith.addf %t2, %v3 : f32
    %t4 = arith.addf %t3, %v4 : f32
    %t5 = arith.addf %t4, %v5 : f32
    %t6 = arith.addf %t5, %v6 : f32
    %t7 = arith.addf %t6, %v7 : f32
    %t8 = arith.addf %t7, %v8 : f32
    %t9 = arith.addf %t8, %v9 : f32
    %t10 = arith.addf %t9, %v10 : f32
    %t11 = arith.addf %t10, %v11 : f32
    linalg.yield %t11 : f32
  } -> tensor<8xf32>
  %1 = linalg.generic {indexing_maps = [#id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id, #id], iterator_types = ["parallel"]}
      ins(%0, %b0, %b1, %b2, %b3, %b4, %b5, %b6, %b7, %b8, %b9, %b10, %b11 : tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>) outs(%e : tensor<8xf32>) {
  ^bb0(%v0: f32, %v1: f32, %v2: f32, %v3: f32, %v4: f32, %v5: f32, %v6: f32, %v7: f32, %v8: f32, %v9: f32, %v10: f32, %v11: f32, %v12: f32, %v13: f32):
    %t1 = arith.addf %v0, %v1 : f32
    %t2 = arith.addf %t1, %v2 : f32
    %t3 = arith.addf %t2, %v3 : f32
    %t4 = arith.addf %t3, %v4 : f32
    %t5 = arith.addf %t4, %v5 : f32
    %t6 = arith.addf %t5, %v6 : f32
    %t7 = arith.addf %t6, %v7 : f32
    %t8 = arith.addf %t7, %v8 : f32
    %t9 = arith.addf %t8, %v9 : f32
    %t10 = arith.addf %t9, %v10 : f32
    %t11 = arith.addf %t10, %v11 : f32
    %t12 = arith.addf %t11, %v12 : f32
    linalg.yield %t12 : f32
  } -> tensor<8xf32>
  return %1 : tensor<8xf32>
}
