// RUN: qlow-opt %s --split-input-file --qlow-select-recipes=target=sm_90 | FileCheck %s
// RUN: qlow-opt %s --split-input-file --qlow-select-recipes=target=sm_80 | FileCheck %s --check-prefix=ONE
// ONE-NOT: {{qlow.portable|portable_recipes|portable =}}

// Later devices do not run what sm_90 runs: matmuls get a second way, for sm_80, that reads the same stored weight.
// CHECK: qlow.portable = "sm_80", qlow.report = [{{.*}}portable = "mma_16x8x32_i32_s8_s8"
// CHECK-LABEL: func.func @stored_alike
func.func @stored_alike(%codes: tensor<512x512xi8>, %scale: tensor<f32>) -> tensor<512x512xi32> {
  %w = arith.constant dense<1> : tensor<512x512xi8>
  %a = qlow.compose %codes, %scale : (tensor<512x512xi8>, tensor<f32>) -> tensor<512x512x!qlow.q<i8 : f32>>
  %b = qlow.compose %w, %scale : (tensor<512x512xi8>, tensor<f32>) -> tensor<512x512x!qlow.q<i8 : f32>>
  // CHECK: recipes <[#{{.*}}]> portable_recipes <[#{{.*}}]> :
  %y = qlow.matmul %a, %b : tensor<512x512x!qlow.q<i8 : f32>>, tensor<512x512x!qlow.q<i8 : f32>> -> tensor<512x512xi32>
  return %y : tensor<512x512xi32>
}

// -----

// No row of sm_80 reads 8-bit floats that are stored for Tensor Cores; then no matmul of the module gets one.
// CHECK: qlow.report = [{{.*}}portable = "mma_16x8x32_i32_s8_s8"{{.*}}portable = "none: no row of sm_80 reads the right side as it is stored"
// CHECK-NOT: portable_recipes
func.func @only_here(%codes: tensor<512x512xi8>, %x: tensor<512x512xi8>, %scale: tensor<f32>) -> (tensor<512x512xi32>, tensor<512x512xf32>) {
  %w = arith.constant dense<1> : tensor<512x512xi8>
  %a = qlow.compose %codes, %scale : (tensor<512x512xi8>, tensor<f32>) -> tensor<512x512x!qlow.q<i8 : f32>>
  %b = qlow.compose %w, %scale : (tensor<512x512xi8>, tensor<f32>) -> tensor<512x512x!qlow.q<i8 : f32>>
  %y = qlow.matmul %a, %b : tensor<512x512x!qlow.q<i8 : f32>>, tensor<512x512x!qlow.q<i8 : f32>> -> tensor<512x512xi32>
  %c = qlow.compose %x, %scale : (tensor<512x512xi8>, tensor<f32>) -> tensor<512x512x!qlow.q<f8E4M3FN : f32>>
  %d = qlow.compose %w, %scale : (tensor<512x512xi8>, tensor<f32>) -> tensor<512x512x!qlow.q<f8E4M3FN : f32>>
  %z = qlow.matmul %c, %d : tensor<512x512x!qlow.q<f8E4M3FN : f32>>, tensor<512x512x!qlow.q<f8E4M3FN : f32>> -> tensor<512x512xf32>
  return %y, %z : tensor<512x512xi32>, tensor<512x512xf32>
}
