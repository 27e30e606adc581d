//===- OutlineKernels.cpp - launches call kernels -------------------------===//
//
// In: gpu.launch ops in functions of the host. Out: their bodies as kernels in one gpu.module, so that one image holds
// all of a model's device code, and gpu.launch_func in their place.
//
//===----------------------------------------------------------------------===//

#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/GPU/Utils/GPUUtils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"

namespace qlow {
#define GEN_PASS_DEF_OUTLINEKERNELS
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

/// Constants need no argument, and sizes come with their memref.
static bool isMadeAgain(Operation *op) { return matchPattern(op, m_Constant()) || isa<memref::DimOp>(op); }

static void recordBlockSize(gpu::LaunchOp launch, gpu::GPUFuncOp kernel) {
  SmallVector<int32_t> sizes;
  gpu::KernelDim3 block = launch.getBlockSizeOperandValues();
  for (Value size : {block.x, block.y, block.z}) {
    APInt value;
    if (!matchPattern(size, m_ConstantInt(&value)))
      return;
    sizes.push_back(static_cast<int32_t>(value.getSExtValue()));
  }
  kernel.setKnownBlockSize(sizes);
}

namespace {
struct OutlineKernels : qlow::impl::OutlineKernelsBase<OutlineKernels> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    gpu::GPUModuleOp kernels;
    for (auto function : llvm::to_vector(module.getOps<func::FuncOp>())) {
      SmallVector<gpu::LaunchOp> launches;
      function.walk([&](gpu::LaunchOp launch) { launches.push_back(launch); });
      for (auto [number, launch] : llvm::enumerate(launches)) {
        if (!kernels) {
          OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
          kernels = gpu::GPUModuleOp::create(builder, module.getLoc(), "kernels");
          SymbolTable(module).insert(kernels); // by another name where the model has this one
          module->setAttr(gpu::GPUDialect::getContainerModuleAttrName(), builder.getUnitAttr());
        }
        if (failed(outline(launch, (function.getName() + "_" + Twine(number)).str(), kernels)))
          return signalPassFailure();
      }
    }
  }

  LogicalResult outline(gpu::LaunchOp launch, StringRef name, gpu::GPUModuleOp kernels) {
    if (failed(sinkOperationsIntoLaunchOp(launch, isMadeAgain)))
      return failure();
    SmallVector<Value> operands;
    gpu::GPUFuncOp kernel = outlineKernelFunc(launch, name, operands);
    recordBlockSize(launch, kernel);
    // Where LLVM knows the grid, parts of a block's number become comparisons. ptxas 13.0 asks such a predicate again
    // behind an addition whose carry took its register: blocks would work on the wrong matrix of a batch.
    kernel.removeKnownGridSizeAttr();
    // What a schedule says of the code, such as the fewest blocks a multiprocessor holds, belongs to the kernel.
    for (NamedAttribute attribute : launch->getDiscardableAttrs())
      kernel->setDiscardableAttr(attribute.getName(), attribute.getValue());
    kernels.getBody()->push_back(kernel);
    OpBuilder builder(launch);
    gpu::LaunchFuncOp::create(builder, launch.getLoc(), kernel, launch.getGridSizeOperandValues(),
                              launch.getBlockSizeOperandValues(), launch.getDynamicSharedMemorySize(), operands,
                              /*asyncTokenType=*/nullptr, /*asyncDependencies=*/{},
                              launch.getClusterSizeOperandValues());
    launch.erase();
    ++numKernels;
    return success();
  }
};
} // namespace
