//===- OutlineKernels.cpp - launches call kernels -------------------------===//
//
// In: gpu.launch ops in functions of the host. Out: their bodies as kernels in one gpu.module, so that one image holds
// all of a model's device code, and gpu.launch_func in their place. Launches whose bodies are equal share a kernel:
// layers of one shape are compiled once.
//
//===----------------------------------------------------------------------===//

#include "qlow/Targets/Targets.h"
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

//===----------------------------------------------------------------------===//
// Equal kernels
//===----------------------------------------------------------------------===//

/// The locations of the ops that a kernel computes, where it is marked with the row that it does so by.
static ArrayAttr opsOf(gpu::GPUFuncOp kernel) {
  auto mark = kernel->getAttrOfType<DictionaryAttr>(kRowAttribute);
  return mark && mark.get("id") ? mark.getAs<ArrayAttr>("of") : ArrayAttr();
}

/// What a kernel is but for its name and the ops that it computes.
static DictionaryAttr describe(gpu::GPUFuncOp kernel) {
  NamedAttrList attributes(kernel->getAttrDictionary());
  attributes.erase(SymbolTable::getSymbolAttrName());
  if (opsOf(kernel))
    attributes.set(kRowAttribute, cast<DictionaryAttr>(kernel->getAttr(kRowAttribute)).get("id"));
  return attributes.getDictionary(kernel.getContext());
}

static llvm::hash_code hashOf(gpu::GPUFuncOp kernel) {
  llvm::hash_code hash = llvm::hash_combine(describe(kernel));
  kernel.getBody().walk([&](Operation *op) {
    hash = llvm::hash_combine(hash, op->getName(), op->getAttrDictionary());
    for (Type type : op->getResultTypes())
      hash = llvm::hash_combine(hash, type);
  });
  return hash;
}

static bool areEqual(gpu::GPUFuncOp a, gpu::GPUFuncOp b) {
  return describe(a) == describe(b) &&
         OperationEquivalence::isRegionEquivalentTo(&a.getBody(), &b.getBody(), OperationEquivalence::IgnoreLocations);
}

/// The first kernel computes the ops of the second, too.
static void joinMarks(gpu::GPUFuncOp first, gpu::GPUFuncOp second) {
  if (!opsOf(first))
    return;
  llvm::SetVector<Attribute> ops;
  for (gpu::GPUFuncOp kernel : {first, second})
    for (Attribute op : opsOf(kernel))
      ops.insert(op);
  NamedAttrList fields(cast<DictionaryAttr>(first->getAttr(kRowAttribute)));
  fields.set("of", ArrayAttr::get(first.getContext(), ops.getArrayRef()));
  first->setAttr(kRowAttribute, fields.getDictionary(first.getContext()));
}

namespace {
struct OutlineKernels : qlow::impl::OutlineKernelsBase<OutlineKernels> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    gpu::GPUModuleOp kernels;
    known.clear();
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
    kernel = share(kernel, launch.hasClusterSize());
    OpBuilder builder(launch);
    gpu::LaunchFuncOp::create(builder, launch.getLoc(), kernel, launch.getGridSizeOperandValues(),
                              launch.getBlockSizeOperandValues(), launch.getDynamicSharedMemorySize(), operands,
                              /*asyncTokenType=*/nullptr, /*asyncDependencies=*/{},
                              launch.getClusterSizeOperandValues());
    launch.erase();
  }

  /// An equal kernel that is there already, or this one. Launches of a kernel all have clusters or none.
  gpu::GPUFuncOp share(gpu::GPUFuncOp kernel, bool hasClusters) {
    SmallVector<gpu::GPUFuncOp> &alike = known[{hashOf(kernel), hasClusters}];
    for (gpu::GPUFuncOp other : alike)
      if (areEqual(other, kernel)) {
        joinMarks(other, kernel);
        kernel.erase();
        return other;
      }
    alike.push_back(kernel);
    ++numKernels;
    return kernel;
  }

  llvm::DenseMap<std::pair<size_t, unsigned>, SmallVector<gpu::GPUFuncOp>> known; ///< by hash and clusters
};
} // namespace
