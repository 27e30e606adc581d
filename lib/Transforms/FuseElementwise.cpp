//===- FuseElementwise.cpp - one loop for ops that follow each other --------===//
//
// In: elementwise work as linalg.generic. Out: what only one op reads is computed where it is read. It is upstream's
// fusion with a bound: the tensors of a fused op become parameters of one kernel, of which a device takes so many
// bytes.
//
//===----------------------------------------------------------------------===//

#include "KernelParameters.h"
#include "qlow/Targets/Targets.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace qlow {
#define GEN_PASS_DEF_FUSEELEMENTWISE
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

static bool isOnlyUse(OpOperand *operand) {
  Operation *producer = operand->get().getDefiningOp();
  return producer && producer->hasOneUse();
}

/// Bytes of parameters that the operand's owner has when what gives the operand has moved in.
static int64_t bytesOfFused(OpOperand *operand) {
  KernelParameters parameters;
  parameters.leaveOut(operand->get());
  parameters.add(operand->get().getDefiningOp());
  parameters.add(operand->getOwner());
  return parameters.getBytes();
}

namespace {
struct FuseElementwise : qlow::impl::FuseElementwiseBase<FuseElementwise> {
  using FuseElementwiseBase::FuseElementwiseBase;
  void runOnOperation() override {
    FailureOr<std::shared_ptr<const Target>> found = findTarget(getOperation(), target);
    if (failed(found))
      return signalPassFailure();
    int64_t mostBytes = (*found)->family().launchFacts((*found)->machine()).parameterBytes;
    MLIRContext *context = &getContext();
    RewritePatternSet patterns(context);
    linalg::populateElementwiseOpsFusionPatterns(
        patterns, [=](OpOperand *operand) { return isOnlyUse(operand) && bytesOfFused(operand) <= mostBytes; });
    // What brings ops together that reshapes stand between.
    linalg::populateFoldReshapeOpsByExpansionPatterns(patterns, isOnlyUse);
    tensor::populateBubbleUpExpandShapePatterns(patterns);
    affine::AffineApplyOp::getCanonicalizationPatterns(patterns, context);
    linalg::GenericOp::getCanonicalizationPatterns(patterns, context);
    tensor::ExpandShapeOp::getCanonicalizationPatterns(patterns, context);
    tensor::CollapseShapeOp::getCanonicalizationPatterns(patterns, context);
    context->getLoadedDialect<linalg::LinalgDialect>()->getCanonicalizationPatterns(patterns);
    linalg::populateConstantFoldLinalgOperations(patterns, isOnlyUse);
    // Where patterns stop for their number of turns, what is fused is right.
    (void)applyPatternsGreedily(getOperation(), std::move(patterns), GreedyRewriteConfig().setUseTopDownTraversal());
  }
};
} // namespace
