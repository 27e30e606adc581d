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
struct ScheduleKernels : qlow::impl::ScheduleKernelsBase<ScheduleKernels> {
  using ScheduleKernelsBase::ScheduleKernelsBase;

  void getDependentDialects(DialectRegistry &registry) const override {
    ScheduleKernelsBase::getDependentDialects(registry);
    for (const Family *family : families())
      family->registerDialects(registry);
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
      if (failed((*found)->family().schedule(rewriter, kernel, (*found)->machine())))
        return signalPassFailure();
      ++numKernels;
    }
  }
};
} // namespace
