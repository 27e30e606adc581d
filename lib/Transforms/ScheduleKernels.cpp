//===- ScheduleKernels.cpp - kernel forms to loops --------------------------===//
//
// Hands each bufferized kernel to its target's family. Which loops come out is the family's business.
//
//===----------------------------------------------------------------------===//

#include "qlow/Targets/Targets.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace qlow {
#define GEN_PASS_DEF_SCHEDULEKERNELS
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

namespace {
/// Says of launches that are made while it listens which image their kernels belong to.
struct LaunchMarker : RewriterBase::Listener {
  explicit LaunchMarker(StringAttr image) : image(image) {}
  void notifyOperationInserted(Operation *op, OpBuilder::InsertPoint) override {
    if (isa<gpu::LaunchOp>(op))
      op->setDiscardableAttr(kImageAttribute, image);
  }
  StringAttr image;
};

struct ScheduleKernels : qlow::impl::ScheduleKernelsBase<ScheduleKernels> {
  using ScheduleKernelsBase::ScheduleKernelsBase;

  void getDependentDialects(DialectRegistry &registry) const override {
    ScheduleKernelsBase::getDependentDialects(registry);
    for (const Family *family : families())
      family->registerDialects(registry);
  }

  /// Where the object gets a second image for later devices, its way is scheduled, too, behind the first: a launch does
  /// nothing where the image that was loaded has not its kernel.
  LogicalResult scheduleForImages(MatmulKernelOp kernel, const Target &target) {
    IRRewriter plain(&getContext());
    auto name = getOperation()->getAttrOfType<StringAttr>("qlow.portable");
    RecipesAttr recipes = kernel.getPortableRecipesAttr();
    if (!name || !recipes)
      return target.family().schedule(plain, kernel, target.machine());
    FailureOr<std::shared_ptr<const Target>> portable = findTarget(kernel, name);
    if (failed(portable))
      return failure();
    plain.setInsertionPointAfter(kernel);
    auto second = cast<MatmulKernelOp>(plain.clone(*kernel));
    second.setRecipesAttr(recipes);
    LaunchMarker own(StringAttr::get(&getContext(), target.machine().name)), other(name);
    IRRewriter rewriter(&getContext(), &own), otherRewriter(&getContext(), &other);
    return failure(failed(target.family().schedule(rewriter, kernel, target.machine())) ||
                   failed((*portable)->family().schedule(otherRewriter, second, (*portable)->machine())));
  }

  void runOnOperation() override {
    FailureOr<std::shared_ptr<const Target>> found = findTarget(getOperation(), target);
    if (failed(found))
      return signalPassFailure();
    SmallVector<MatmulKernelOp> kernels;
    getOperation().walk([&](MatmulKernelOp kernel) { kernels.push_back(kernel); });
    SmallVector<PackOp> packs;
    getOperation().walk([&](PackOp pack) { packs.push_back(pack); });
    IRRewriter rewriter(&getContext());
    for (PackOp pack : packs) {
      if (!isa<MemRefType>(pack.getOut().getType()) || !pack.getWidth()) {
        pack.emitOpError() << "must be bufferized and have its width before it is scheduled";
        return signalPassFailure();
      }
      if (failed((*found)->family().schedule(rewriter, pack, (*found)->machine())))
        return signalPassFailure();
      ++numPacks;
    }
    for (MatmulKernelOp kernel : kernels) {
      if (!isa<MemRefType>(kernel.getOut().getType()) || !kernel.getScratch()) {
        kernel.emitOpError() << "must be bufferized and have its scratch before it is scheduled";
        return signalPassFailure();
      }
      if (failed(scheduleForImages(kernel, **found)))
        return signalPassFailure();
      ++numKernels;
    }
  }
};
} // namespace
