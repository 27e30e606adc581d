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
#include "mlir/Transforms/RegionUtils.h"

namespace qlow {
#define GEN_PASS_DEF_OUTLINEKERNELS
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

/// Constants need no argument, and sizes come with their memref.
static bool isMadeAgain(Operation *op) { return matchPattern(op, m_Constant()) || isa<memref::DimOp>(op); }

/// Makes them again in each launch that uses them. One look at each use: in a large function a constant belongs to
/// hundreds of launches, and upstream's sinkOperationsIntoLaunchOp looks at all of its uses once for each.
static void sinkMadeAgain(func::FuncOp function, ArrayRef<gpu::LaunchOp> launches) {
  llvm::DenseMap<Operation *, llvm::SetVector<Value>> used;
  for (gpu::LaunchOp launch : launches)
    getUsedValuesDefinedAbove(launch.getBody(), used[launch]);
  SmallVector<Operation *> outside;
  function.walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (isa<gpu::LaunchOp>(op))
      return WalkResult::skip();
    if (isMadeAgain(op))
      outside.push_back(op);
    return WalkResult::advance();
  });
  // Users before what they use: a copy of a size asks for a constant.
  for (Operation *op : llvm::reverse(outside)) {
    llvm::DenseMap<Operation *, Operation *> copies;
    for (OpOperand &use : llvm::make_early_inc_range(op->getUses())) {
      auto launch = use.getOwner()->getParentOfType<gpu::LaunchOp>();
      bool isKnown = launch && llvm::all_of(op->getOperands(), [&](Value operand) {
                       return matchPattern(operand, m_Constant()) || used[launch].contains(operand);
                     });
      if (!isKnown)
        continue;
      Operation *&copy = copies[launch];
      if (!copy)
        copy = OpBuilder::atBlockBegin(&launch.getBody().front()).clone(*op);
      use.set(copy->getResult(0));
    }
  }
}

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
      sinkMadeAgain(function, launches);
      for (auto [number, launch] : llvm::enumerate(launches)) {
        if (!kernels) {
          OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
          kernels = gpu::GPUModuleOp::create(builder, module.getLoc(), "kernels");
          SymbolTable(module).insert(kernels); // by another name where the model has this one
          module->setAttr(gpu::GPUDialect::getContainerModuleAttrName(), builder.getUnitAttr());
        }
        outline(launch, (function.getName() + "_" + Twine(number)).str(), kernels);
      }
    }
  }

  void outline(gpu::LaunchOp launch, StringRef name, gpu::GPUModuleOp kernels) {
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
  }
};
} // namespace
