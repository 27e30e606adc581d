// A function of a device's module says so, and may have a size called width.
// CHECK: func.func @f({{.*}}qlow.abi = {device, dims = {{\[}}["width", 0, 2147483647]]
func.func @f(%x: tensor<?xf32> {qlow.dims = ["width"]}) -> tensor<?xf32> {
  return %x : tensor<?xf32>
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
