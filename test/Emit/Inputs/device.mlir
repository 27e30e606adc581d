// y = (x + w) * v + v on a device, as it is before its launches are lowered: two kernels of one name in two modules, the
// second launched in clusters, with more shared memory than a kernel gets unasked and with a tensor map. It waits itself
// for the first.

!map = !nvgpu.tensormap.descriptor<tensor = memref<8x32xf32, 3>, swizzle = swizzle_128b, l2promo = l2promo_256b, oob = zero, interleave = none>

module attributes {gpu.container_module, qlow.prefix = "model"} {
  qlow.weight private @w dense<1.0> : tensor<64xf32> as tensor<64xf32> bytes 256
  qlow.weight private @unused dense<1.0> : tensor<64xf32> as tensor<64xf32> bytes 256
  qlow.weight private @v dense<2.0> : tensor<1xf32> as tensor<1xf32> bytes 4

  func.func @f(%x: memref<?x64xf32>, %y: memref<?x64xf32>, %workspace: memref<?xi8> {qlow.workspace},
               %width: index {qlow.width}, %launch: !llvm.ptr {qlow.launch})
      attributes {qlow.abi = {device, results = [1 : i32], dims = [["m", 0, 2000000000]], fields = [
        {name = "x", kind = "input", element = "f32", shape = ["m", 64], value = "x", tensor = "tensor<?x64xf32>", part = "", note = "[m, 64] f32"},
        {name = "y", kind = "output", element = "f32", shape = ["m", 64], value = "y", tensor = "tensor<?x64xf32>", part = "", note = "[m, 64] f32"}]}} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c64 = arith.constant 64 : index
    %shared = arith.constant 65536 : i32
    %m = memref.dim %x, %c0 : memref<?x64xf32>
    %w = qlow.get_weight @w : memref<64xf32>
    %v = qlow.get_weight @v : memref<1xf32>
    %sum = memref.view %workspace[%c0][%m] : memref<?xi8> to memref<?x64xf32>
    gpu.launch_func @f_kernels::@kernel blocks in (%m, %c1, %c1) threads in (%c64, %c1, %c1)
      args(%x : memref<?x64xf32>, %w : memref<64xf32>, %sum : memref<?x64xf32>)
    %c8 = arith.constant 8 : index
    %c32 = arith.constant 32 : index
    %whole = memref.cast %sum : memref<?x64xf32> to memref<*xf32>
    %map = nvgpu.tma.create.descriptor %whole box[%c8, %c32] : memref<*xf32> -> !map
    %blocks = arith.muli %m, %c2 : index
    gpu.launch_func @g_kernels::@kernel clusters in (%c2, %c1, %c1) blocks in (%blocks, %c1, %c1)
      threads in (%c64, %c1, %c1) dynamic_shared_memory_size %shared
      args(%sum : memref<?x64xf32>, %v : memref<1xf32>, %y : memref<?x64xf32>, %m : index, %map : !map)
    func.return
  }
  func.func private @f.workspace(%m: index, %width: index) -> index {
    %row = arith.constant 256 : index
    %bytes = arith.muli %m, %row : index
    func.return %bytes : index
  }

  gpu.module @f_kernels {
    gpu.func @kernel(%x: memref<?x64xf32>, %w: memref<64xf32>, %sum: memref<?x64xf32>) kernel
        attributes {known_block_size = array<i32: 64, 1, 1>} {
      %i = gpu.block_id x
      %j = gpu.thread_id x
      %a = memref.load %x[%i, %j] : memref<?x64xf32>
      %b = memref.load %w[%j] : memref<64xf32>
      %s = func.call @add(%a, %b) : (f32, f32) -> f32
      memref.store %s, %sum[%i, %j] : memref<?x64xf32>
      gpu.return
    }
    func.func @add(%a: f32, %b: f32) -> f32 {
      %s = arith.addf %a, %b : f32
      func.return %s : f32
    }
  }
  gpu.module @g_kernels {
    gpu.func @kernel(%sum: memref<?x64xf32>, %v: memref<1xf32>, %y: memref<?x64xf32>, %m: index, %map: !map) kernel {
      %map_at = builtin.unrealized_conversion_cast %map : !map to !llvm.ptr
      nvvm.prefetch tensormap, %map_at : !llvm.ptr
      nvvm.griddepcontrol wait
      %c0 = arith.constant 0 : index
      %i = gpu.block_id x
      %j = gpu.thread_id x
      %inside = arith.cmpi ult, %i, %m : index
      scf.if %inside {
        %a = memref.load %sum[%i, %j] : memref<?x64xf32>
        %b = memref.load %v[%c0] : memref<1xf32>
        %p = arith.mulf %a, %b : f32
        %s = arith.addf %p, %b : f32
        memref.store %s, %y[%i, %j] : memref<?x64xf32>
      }
      gpu.return
    }
  }
}
