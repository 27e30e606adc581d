// A function of a device's module says so, and may have a size called width.
// CHECK: func.func @f({{.*}}qlow.abi = {device, dims = {{\[}}["width", 0, 2147483647]]
func.func @f(%x: tensor<?xf32> {qlow.dims = ["width"]}) -> tensor<?xf32> {
  return %x : tensor<?xf32>
}

// -----

// Kernels count rows in 32 bits: where there can be more, it is a rule that there are not.
// CHECK: affine_set<()[s0, s1, s2, s3] : (s3 - s1 * s2 == 0, -s0 + 2147483647 >= 0, -(s1 * s2) + 2147483647 >= 0)>
// CHECK: func.func @rows
func.func @rows(%x: tensor<?x8xf32> {qlow.dims = ["m", 8]}, %y: tensor<?x?x8xf32>, %w: tensor<8x4xf32>)
    -> (tensor<?x4xf32>, tensor<?x4xf32> {qlow.dims = ["rows", 4]}) attributes {qlow.range = {m = [0, 4294967297]}} {
  %0 = qlow.matmul %x, %w : tensor<?x8xf32>, tensor<8x4xf32> -> tensor<?x4xf32>
  %1 = tensor.collapse_shape %y [[0, 1], [2]] : tensor<?x?x8xf32> into tensor<?x8xf32>
  %2 = qlow.matmul %1, %w : tensor<?x8xf32>, tensor<8x4xf32> -> tensor<?x4xf32>
  return %0, %2 : tensor<?x4xf32>, tensor<?x4xf32>
}

// -----

// expected-error@+1 {{result 0 is a 'f32', but an entry returns before the device has computed it; expected a tensor, such as one of rank 0}}
func.func @scalar(%x: tensor<f32>) -> f32 {
  %y = tensor.extract %x[] : tensor<f32>
  return %y : f32
}

// -----

// expected-error@+1 {{two members of f's args struct are called 'stream'}}
func.func @f(%x: tensor<4xf32> {qlow.name = "stream"}) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}

// -----

// expected-error@+1 {{two things in the header or the object would be called 'model_load'; rename a function}}
module {
  func.func @load(%x: tensor<4xf32>) -> tensor<4xf32> {
    return %x : tensor<4xf32>
  }
}
