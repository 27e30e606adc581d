// A lowered module whose one kernel calls a function that nobody defines.
module attributes {gpu.container_module, qlow.abi = "{\"abi\":1,\"prefix\":\"model\",\"target\":\"some-device\",\"openmp\":false,\"cpu_features\":[],\"functions\":[],\"device\":{\"weights\":0,\"kernels\":[{\"name\":\"k\",\"shared\":0,\"clusters\":false}]}}"} {
  llvm.func @model.image(i32, i32) -> !llvm.ptr
  gpu.module @kernels {
    llvm.func @__nv_expf(f32) -> f32
    llvm.func @k(%x: f32) attributes {gpu.kernel, nvvm.kernel} {
      %y = llvm.call @__nv_expf(%x) : (f32) -> f32
      llvm.return
    }
  }
}
