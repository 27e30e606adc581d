//===- Passes.td - the C ABI of a module --------------------------------------===//

#ifndef QLOW_EMIT_PASSES_TD
#define QLOW_EMIT_PASSES_TD

include "mlir/Pass/PassBase.td"

def RecordAbi : Pass<"qlow-record-abi", "::mlir::ModuleOp"> {
  let summary = "Write what the header needs to know onto each public function";
  let description = [{
    Precondition: tensors, quantized types not yet split. Gives each public function the attribute `qlow.abi`: the sizes
    the caller passes, and the fields of the args struct in order, arguments then results, a quantized tensor as its
    parts. Checks names, ranges and types, so that what follows can rely on them.

    ```mlir
    func.func @f(%x: tensor<?x4xf32> {qlow.name = "x", qlow.dims = ["m", 4]}) -> (tensor<?x4xf32> {qlow.name = "y"})
        attributes {qlow.range = {m = [1, 64]}}
    // becomes
    func.func @f(...) attributes {qlow.abi = {dims = [["m", 1, 64]], fields = [
        {element = "f32", kind = "input", name = "x", shape = ["m", 4], ...}, {kind = "output", name = "y", ...} ]}, ...}
    ```

    A dynamic size of a result without `qlow.dims` is derived from the arguments where the ops say how. What ops need of
    sizes, such as K of both sides of a matmul to be one number, becomes a rule among the sizes, for the entry to check:
    `rules = affine_set<()[s0, s1] : (s0 - s1 == 0)>` where symbol i is the i-th of `dims`. What can not be checked there
    is an error at the op. Does not change signatures or bodies.
  }];
  let options = [
    Option<"prefix", "prefix", "std::string", "\"\"", "Prefix of all symbols; else the module's name, else `model`">,
    Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
}

def KeepIntermediates : Pass<"qlow-keep-intermediates", "::mlir::ModuleOp"> {
  let summary = "Return the result of each quantized op";
  let description = [{
    Precondition: tensors, nothing fused, private functions inlined. What `qlow.quantize`, `quantize_dynamic`, `dequantize`,
    `requantize` and `matmul` compute in a public function's body becomes results behind its own, named `op0_quantize`,
    `op1_matmul`, ... in the order of the ops, so that an object can be compared with the reference op by op.

    ```mlir
    func.func @f(%x: tensor<4xf32>) -> tensor<4xi8> { ... %q = qlow.quantize %x, %s ... return %y }
    // becomes
    func.func @f(%x: tensor<4xf32>) -> (tensor<4xi8>, tensor<4x!q> {qlow.name = "op0_quantize", qlow.op = "qlow.quantize at m.mlir:3"})
      { ... return %y, %q }
    ```

    An op in a branch or a loop has no one result in a call, and a size that no argument has is none that a caller could
    know: such ops are left out, with a remark. What is returned can not be fused away: the object computes these ops
    one by one. Does not change values.
  }];
  let statistics = [Statistic<"kept", "kept", "ops whose results are returned">];
}

def PlaceWeights : Pass<"qlow-place-weights", "::mlir::ModuleOp"> {
  let summary = "Give every weight an offset in the object's weights";
  let description = [{
    Precondition: bufferized. Weights follow each other at multiples of 64 bytes behind one hidden symbol.

    ```mlir
    qlow.weight private @w ... bytes 512
    %b = qlow.get_weight @w : memref<512xi8>
    // becomes
    llvm.mlir.global external hidden constant @model_weights() : !llvm.array<512 x i8>
    qlow.weight private @w ... bytes 512 {qlow.offset = 0 : i64}
    %p = llvm.mlir.addressof @model_weights        // + offset, as a memref
    ```

    In a function with an argument marked `qlow.launch` weights are in a device's memory, at multiples of 256 bytes behind
    the address that the device's state holds; load copies them there from the symbol. Does not touch the bytes: they are
    written into the object when it is there.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
  let statistics = [Statistic<"bytes", "weight-bytes", "bytes of all weights, with padding">];
}

def LowerLaunches : Pass<"qlow-lower-launches", "::mlir::ModuleOp"> {
  let summary = "Turn kernel launches into calls of the device's driver";
  let description = [{
    Precondition: bufferized; host functions hold index arithmetic and launches, and have an argument `qlow.launch` that
    points to { const device *, stream, status }. `dynamic_shared_memory_size` is a constant.

    ```mlir
    gpu.launch_func @f_kernels::@k blocks in (...) threads in (...) args(%x : memref<?xf32>, %n : index)
    // becomes
    llvm.call @model.launch.k(%launch, %gx, ..., %bz, %shared, %x_allocated, %x_aligned, %x_offset, ..., %n)
    llvm.func internal @model.launch.k(...)      // cuLaunchKernel through the state, cuLaunchKernelEx with attributes
    module attributes {qlow.kernels = [{name = "k", shared = 0, clusters = false, maps = false, waits = false, image = ""} ]}
    ```

    A tensor map, which `nvgpu.tma.create.descriptor` makes of a dense memref, is encoded by each call: the function takes
    pointer and sizes, box and swizzle stand in the type. In the kernel it becomes a pointer to a parameter, and
    `qlow.tensor_maps` on the kernel says which parameters are such.

    A kernel with `nvvm.griddepcontrol wait` waits itself for the kernel in front of it, and may be started earlier: that
    is an attribute of its launches, as clusters are. Where the target has it, kernels of loops get one at their begin.

    A launch does nothing where a grid size is 0 or an earlier launch of the call failed; sizes beyond the driver's limits
    are a failure. Kernels with one name in two gpu.modules get names of their own. Does not lower kernels.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
  let options = [Option<"target", "target", "std::string", "\"\"",
                        "Name or JSON file of the target; without it kernels stay as they are">];
  let statistics = [Statistic<"numKernels", "kernels", "kernels that are launched">,
                    Statistic<"numLaunches", "launches", "launches of them">];
}

def BuildEntries : Pass<"qlow-build-entries", "::mlir::ModuleOp"> {
  let summary = "Make the C entry, workspace and check functions";
  let description = [{
    Precondition: `qlow-record-abi` has run, functions are bufferized with outputs as arguments, `qlow-plan-workspace`
    has appended workspace, width and parallel. Builds, in the LLVM dialect, for each public function

    ```mlir
    llvm.func @model_f(%args: !llvm.ptr) -> i32                    // checks, then calls the function
    llvm.func @model_f_workspace(%m: i64, %width: i32) -> i64
    llvm.func @model_check_cpu() -> i32
    llvm.func @model_strerror(%code: i32) -> !llvm.ptr
    llvm.func @model_openmp(%parallel: !llvm.ptr, %width: i32)     // with `openmp`
    ```

    and makes every other function internal. For a device, functions take `qlow.launch` in place of parallel,
    `qlow-lower-launches` has run, and there are `model_weights_size`, `model_load`, `model_adopt` and `model_unload`
    too. Does not change what functions compute.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
  let options = [
    Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">,
    Option<"openmp", "openmp", "bool", "false", "Add a ready-made parallel run on OpenMP's threads">];
}

#endif // QLOW_EMIT_PASSES_TD
