//===- Passes.td - from imported IR to loops --------------------------------===//

#ifndef QLOW_TRANSFORMS_PASSES_TD
#define QLOW_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def FuseEpilogues : Pass<"qlow-fuse-epilogues", "::mlir::ModuleOp"> {
  let summary = "Move what follows a matmul elementwise into its epilogue";
  let description = [{
    Precondition: imported, verified IR. Every `qlow.matmul` gets an epilogue region that states its law (scales, bias,
    requantization); the scales are f32 extras, products of constant scales are computed here. Then elementwise ops that
    are the only user of a matmul (linalg, arith and math on tensors, `qlow.requantize`, `qlow.quantize` to 8-bit codes)
    move into its region, their other operands become extras.

    ```mlir
    %0 = qlow.matmul %a, %b : tensor<?x128x!q8>, tensor<128x64x!q8> -> tensor<?x64xi32>
    %1 = qlow.requantize half_even %0, %mult parts(%s : tensor<f32>)
       : tensor<?x64xi32>, tensor<64xf32> -> tensor<?x64x!q8>
    ```
    becomes
    ```mlir
    %1 = qlow.matmul %a, %b parts(%s : tensor<f32>) extras(%mult : tensor<64xf32>) maps [(d0, d1) -> (d1)] epilogue {
    ^bb0(%acc: i32, %m: f32):
      ... sitofp, mulf, rounding and clamping ...
      qlow.yield %code : i8
    } : tensor<?x128x!q8>, tensor<128x64x!q8> -> tensor<?x64x!q8>
    ```

    Does not move an op whose matmul has other users, reductions, packed sub-byte codes, or anything into another block,
    nor one whose operands are more than a kernel of the target takes; does not choose how sums are computed.
  }];
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
  let statistics = [Statistic<"numEpilogues", "matmuls", "Matmuls that got an epilogue">,
                    Statistic<"numFused", "fused", "Elementwise ops moved into epilogues">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::tensor::TensorDialect", "::qlow::QlowDialect"];
}
def SelectRecipes : Pass<"qlow-select-recipes", "::mlir::ModuleOp"> {
  let summary = "Choose for each matmul the instruction and the tiles";
  let description = [{
    Precondition: matmuls on tensors; private functions are inlined, so that constants are seen.

    ```
    %y = qlow.matmul %a, %w : tensor<?x64x!q>, tensor<64x32x!w> -> tensor<?x32xi32>
    ```

    becomes

    ```
    %y = qlow.matmul %a, %w recipes <[m to 1 : #r1, #r2]> : tensor<?x64x!q>, tensor<64x32x!w> -> tensor<?x32xi32>
    ```

    and the module gets a `qlow.report`: for each op its row, whether it is native, the resource that limits it, the
    predicted time, and why each other row was not taken. All uses of one constant share one layout. Where a result goes
    to a `qlow.quantize_dynamic` alone, recipes whose kernels do that are taken if it costs less than a kernel behind.

    Where the machine names another as `portable`, whose code later devices run, ops also get `portable_recipes` for that
    one, and the module gets its name as `qlow.portable`; none where a right side lies as no row of that machine reads it.

    Keeps recipes that are there, and rejects those whose row would not give the law's result. Changes no numbers, and
    does not look at values but at the scales of constants, where the family asks for them: these may meet codes where
    that is exact or within the law. Other exactness follows from formats.
  }];
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">,
                 Option<"fastSums", "fast-sums", "bool", "false", "Sums of small floats within the bound of fast sums">];
  let statistics = [Statistic<"numSelected", "selected", "Matmuls given a recipe">,
                    Statistic<"numKept", "kept", "Matmuls that had one">,
                    Statistic<"numEmulated", "emulated", "Matmuls whose format the instruction does not take as it is">];
}
def FuseElementwise : Pass<"qlow-fuse-elementwise", "::mlir::ModuleOp"> {
  let summary = "Make one loop of elementwise ops that follow each other";
  let description = [{
    Precondition: elementwise work on tensors as linalg.generic.

    ```mlir
    %0 = linalg.generic ins(%a, %b : tensor<4xf32>, tensor<4xf32>) { ... addf ... } -> tensor<4xf32>
    %1 = linalg.generic ins(%0, %c : tensor<4xf32>, tensor<4xf32>) { ... mulf ... } -> tensor<4xf32>
    ```
    becomes
    ```mlir
    %1 = linalg.generic ins(%a, %b, %c : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) { ... addf ... mulf ... } -> tensor<4xf32>
    ```

    Reshapes move out of the way. Does not fuse what has other users, which would be computed twice, nor more tensors than
    a kernel of the target takes.
  }];
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}
def PackWeights : Pass<"qlow-pack-weights", "::mlir::ModuleOp"> {
  let summary = "Turn constants into weights, packed where a kernel reads them so";
  let description = [{
    Precondition: kernel forms on tensors.

    ```
    %w = arith.constant dense_resource<w> : tensor<64x32xi8>
    %p = qlow.pack (%w : tensor<64x32xi8>) as tensor<64x32x!w> outs(%e : tensor<2304xi8>) layout #l -> tensor<2304xi8>
    ```

    becomes

    ```
    qlow.weight private @weight0 dense_resource<w> : tensor<64x32xi8> as tensor<64x32x!w> bytes 2304 layout #l
    %p = qlow.get_weight @weight0 : tensor<2304xi8>
    ```

    Other constants of 64 KiB and more become weights without a layout. Packs of computed values, and of constants whose
    codes would have to be decoded, stay and run with the program. Does not read or copy the bytes of a constant.
  }];
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
  let statistics = [Statistic<"numPacked", "packed", "Right-hand sides packed">,
                    Statistic<"packedWeightBytes", "packed-bytes", "Bytes they take">,
                    Statistic<"numRuntimePacks", "runtime-packs", "Right-hand sides packed by the program">,
                    Statistic<"numMoved", "moved", "Other constants moved out">];
}
def SplitQuantized : Pass<"qlow-split-quantized", "::mlir::ModuleOp"> {
  let summary = "Split quantized tensors into their parts and ops into kernel form";
  let description = [{
    Precondition: every `qlow.matmul` has recipes; quantized values pass only through qlow ops, functions and structured
    control flow (`qlow-verify`). Each becomes its parts, `tensor<...xi8>` codes first; matmuls take kernel form,
    conversions become linalg.

    ```mlir
    func.func @f(%x: tensor<4x8x!qlow.q<i8 : f32>>) -> tensor<4x8xf32> {
      %0 = qlow.dequantize %x : tensor<4x8x!qlow.q<i8 : f32>> -> tensor<4x8xf32>
    ```
    becomes
    ```mlir
    func.func @f(%codes: tensor<4x8xi8>, %scale: tensor<f32>) -> tensor<4x8xf32> {
      %0 = linalg.generic ... ins(%codes : tensor<4x8xi8>) ... { arith.sitofp, arith.mulf }
    ```

    A matmul without epilogue gets its law's first. Where its recipes store the right side in memory, `qlow.pack` puts it
    there; equal packs are one after common subexpressions are. A `qlow.quantize_dynamic` that alone reads a matmul's
    floats is left to its kernel, where by all recipes that can measure them. Does not fuse anything else, does not look
    whether a right side is constant, and does not change numbers.
  }];
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
  let statistics = [Statistic<"numKernels", "kernels", "Matmuls in kernel form">,
                    Statistic<"numPacks", "packs", "Right sides they read from memory">,
                    Statistic<"numConversions", "conversions", "Conversions between floats and codes left as loops">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect", "::qlow::QlowDialect"];
}
def Bufferize : Pass<"qlow-bufferize", "::mlir::ModuleOp"> {
  let summary = "Turn tensors into buffers";
  let description = [{
    Precondition: no quantized tensors; private functions inlined.

    ```mlir
    func.func @f(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
      %e = tensor.empty() : tensor<4x8xf32>
      %y = linalg.exp ins(%x : tensor<4x8xf32>) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
    ```
    becomes
    ```mlir
    func.func @f(%x: memref<4x8xf32>) -> memref<4x8xf32> {
      %y = memref.alloc() : memref<4x8xf32>
      linalg.exp ins(%x : memref<4x8xf32>) outs(%y : memref<4x8xf32>)
    ```

    Upstream's one-shot bufferization over the whole module, with row-major buffers at function boundaries and kernels.
    Arguments and weights are never written to, except arguments that a result updates (`qlow.updates`): these are
    updated in place where no later op reads the old value. Copies of slices are linalg.generic. Does not plan where
    buffers lie, and does not turn results into arguments.
  }];
}
def PlanWorkspace : Pass<"qlow-plan-workspace", "::mlir::ModuleOp"> {
  let summary = "Give every buffer an offset in the caller's workspace";
  let description = [{
    Precondition: bufferized public functions of one block, private functions inlined, every size a function of
    constants and of the inputs' dimensions.

    ```mlir
    func.func @f(%x: memref<?x8xf32>) -> memref<?x8xf32> {
      %m = memref.dim %x, %c0
      %t = memref.alloc(%m) : memref<?x4xf32>
      %y = memref.alloc(%m) : memref<?x8xf32>                                      // written from %t and returned
    ```
    becomes
    ```mlir
    func.func @f(%x: memref<?x8xf32>, %y: memref<?x8xf32> {bufferize.result},
                 %workspace: memref<?xi8>, %width: index, %parallel: !llvm.ptr {qlow.parallel}) {
      %t = memref.view %workspace[%offset][%m] : memref<?xi8> to memref<?x4xf32>
    func.func private @f.workspace(%m: index, %width: index) -> index                      // bytes
    ```

    Results become arguments that are written in place where the returned buffer was allocated here, else copied to at
    the end. A result with `qlow.updates` is the same memory as an input and is written at the end only. Offsets are
    multiples of 64; buffers whose lifetimes do not overlap share bytes: static ones by first fit, largest first,
    dynamic ones in slots of their maximum. The workspace function takes each dynamic dimension of each input in order,
    then the width, is called before anything is read, and stops at 2^62 instead of wrapping. A matmul kernel without
    scratch gets one slot of the target's size for each task, a `qlow.pack` the width.

    Does not move buffers out of parallel loops, or carry sizes that change through loops: these are errors.
  }];
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::LLVM::LLVMDialect"];
  let statistics = [Statistic<"numBuffers", "num-buffers", "Buffers planned">,
                    Statistic<"numShared", "num-shared", "Buffers that lie where another one lay">];
}
def ScheduleKernels : Pass<"qlow-schedule-kernels", "::mlir::ModuleOp"> {
  let summary = "Lower kernel forms to the loops of the target's schedules";
  let description = [{
    Precondition: kernels are on memrefs, have their scratch and a recipe whose unit is a row of the target; packs have
    their width.

    ```
    qlow.matmul_kernel lhs(%a : memref<?x64xi8>) ... outs(%c : memref<?x32xi32>) scratch(%s : memref<?xi8>)
    ```

    becomes the family's loop nest around the row's instruction, for CPUs

    ```
    scf.parallel (%task) = (%c0) to (%tasks) step (%c1) {
      scf.for ... { pack rows; decode columns; scf.for %tile ... { scf.for %k ... iter_args(sums) ...; epilogue } }
    }
    ```

    and for devices a gpu.launch whose blocks compute a tile each.

    A `qlow.pack` becomes such a loop over panels. Does not choose anything: the recipe did.
  }];
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
  // Families add those of their own.
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
  let statistics = [Statistic<"numKernels", "kernels", "Kernels lowered">, Statistic<"numPacks", "packs", "Packs lowered">];
}
def LaunchLoops : Pass<"qlow-launch-loops", "::mlir::ModuleOp"> {
  let summary = "Turn the loops of a device's functions into kernel launches";
  let description = [{
    Precondition: bufferized; linalg ops are parallel loops. A function that has, or will have, its buffers on a device
    may not touch their elements on the host, so every loop nest over buffers becomes a launch with a thread for each
    iteration of its outermost parallel loop.

    ```mlir
    scf.parallel (%i, %j) = (%c0, %c0) to (%m, %n) step (%c1, %c1) { ..%x[%i, %j].. }
    ```
    becomes
    ```mlir
    gpu.launch blocks(%b, ..) in (%b_size = ceil(m * n / T), ..) threads(%t, ..) in (T, 1, 1) {
      // (i, j) of number T b + t, where it is below m * n
    ```

    T is the family's for such blocks. Copies become loops first. Loops without a parallel one, and single stores, run
    in a launch of one thread. A value loaded outside of loops is loaded again in each launch that uses it. Loops and
    branches around launches stay on the host. Does nothing for targets that are no device, and does not decide on the
    host by a value that a kernel computed: that is an error.
  }];
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numLaunches", "launches", "Launches made of loops, copies and stores">];
}
def LaunchRows : Pass<"qlow-launch-rows", "::mlir::ModuleOp"> {
  let summary = "Make one launch of neighbouring loops that reduce rows";
  let description = [{
    Precondition: as `qlow-launch-loops`, which takes what this leaves.

    ```mlir
    scf.parallel (%i) = (%c0) to (%m) step (%c1) { scf.for %j = %c0 to %n step %c1 { ..%s[%i] = max(%s[%i], %x[%i, %j]).. } }
    scf.parallel (%i, %j) = (%c0, %c0) to (%m, %n) step (%c1, %c1) { ..%y[%i, %j] = f(%x[%i, %j], %s[%i]).. }
    ```
    becomes
    ```mlir
    gpu.launch blocks(%b, ..) in (%b_size = %m, ..) threads(%t, ..) in (T, 1, 1) {
      // the maximum of each thread's share of row b, then of all threads; thread 0 stores it
      gpu.barrier
      // each thread's share of %y
    ```

    Copies become loops, too. Loops belong together where all dimensions of the first reduction are their leading ones,
    every buffer that one of them writes is indexed by these first, and a kernel of the target takes as many tensors as
    they have. A reduction combines 32 bits by one associative op along the dimension that lies side by side. Rows known
    to be short take a subgroup or a part of it instead of a block. Does nothing for targets that are no device, and
    does not touch reductions along other dimensions.
  }];
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numLaunches", "launches", "Launches made of rows' loops">];
}
def OutlineKernels : Pass<"qlow-outline-kernels", "::mlir::ModuleOp"> {
  let summary = "Move the bodies of launches into one module of kernels";
  let description = [{
    Precondition: launches read nothing that is not a scalar or a memref.

    ```mlir
    func.func @f(%x: memref<?xf32>) { gpu.launch blocks(..) in (..) threads(..) in (..) { ..%x.. } }
    ```
    becomes
    ```mlir
    func.func @f(%x: memref<?xf32>) { gpu.launch_func @kernels::@f_0 blocks in (..) threads in (..) args(%x : memref<?xf32>) }
    gpu.module @kernels { gpu.func @f_0(%x: memref<?xf32>) kernel { ..%x.. } }
    ```

    Constants and sizes are made again in the kernel, which takes over the launch's discardable attributes. Launches whose
    kernels would be equal share one, whose `qlow.row` then names the ops of all. Does not make kernels equal by giving
    them arguments for what they differ in.
  }];
  let dependentDialects = ["::mlir::gpu::GPUDialect"];
  let statistics = [Statistic<"numKernels", "kernels", "Kernels made">];
}
def OutlineParallel : Pass<"qlow-outline-parallel", "::mlir::ModuleOp"> {
  let summary = "Turn parallel loops into tasks for the caller's threads";
  let description = [{
    Precondition: functions have been bufferized; the argument marked `qlow.parallel` points to `{run, self, width}` or
    is null.

    ```mlir
    scf.parallel (%i) = (%c0) to (%tasks) step (%c1) { ..%i, %x.. }
    ```
    becomes
    ```mlir
    // store %x to a struct %context on the stack
    scf.if %parallel_is_null_or_one_task { scf.for %i = %c0 to %tasks step %c1 { call @f.task0(%context, %i) } }
    else { llvm.call %run(%self, @f.task0, %context, %tasks) }
    func.func private @f.task0(%context: !llvm.ptr, %i: i64)                   // void (void *, int64_t)
    ```

    Constants are made again in the task. A task loop inside a task, or in a function without `qlow.parallel`, becomes
    scf.for. Does not touch loops of other shapes: they run on this thread.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect", "::mlir::func::FuncDialect",
                           "::mlir::scf::SCFDialect"];
  let statistics = [Statistic<"numTasks", "num-tasks", "Loops that became task functions">];
}
def ExpandMath : Pass<"qlow-expand-math", "::mlir::ModuleOp"> {
  let summary = "Expand math and float conversions that would need a library";
  let description = [{
    Precondition: arith and math on scalars and vectors.

    ```mlir
    %y = math.exp %x : f32
    %h = arith.truncf %y : f32 to bf16
    ```
    becomes
    ```mlir
    %w = arith.extf %x : f32 to f64               // ... a polynomial in f64 by addf, mulf ...
    %y = arith.truncf %v : f64 to f32
    %b = arith.bitcast %y : f32 to i32            // ... rounded by integer operations ...
    %h = arith.bitcast %c : i16 to bf16
    ```

    Functions of f32, f16 and bf16 are computed in f64 and rounded once, with the same bits on every target. Rounding to
    integers, f16 conversions and fma stay where the target has them, else they are expanded exactly. Arithmetic on
    f16, bf16 and f8 is done in f32, each operation rounded. What would still be a call is an error: functions, fma and
    remainders of f64. On devices, rounding, `absf` and `sqrt` become calls of LLVM's intrinsics, which are instructions
    there. Does not set fast-math flags, and does not touch tensors.
  }];
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect"];
}

def StoreFloatsAsBits : Pass<"qlow-store-floats-as-bits", "::mlir::ModuleOp"> {
  let summary = "Replace narrow floats by integers of their bits";
  let description = [{
    Precondition: `qlow-expand-math`; weights have their places.

    ```mlir
    %x = memref.load %m[%i] : memref<?xbf16>
    %b = arith.bitcast %x : bf16 to i16
    ```
    becomes
    ```mlir
    %b = memref.load %m[%i] : memref<?xi16>
    ```

    f16 stays where the target converts it. Does not touch `qlow.weight`.
  }];
  let options = [Option<"target", "target", "std::string", "\"generic\"", "Name or JSON file of the target">];
}

#endif // QLOW_TRANSFORMS_PASSES_TD
