//===- ImportArith.cpp - arith on tensors that upstream folds wrongly -------===//
//
// In: arith ops on whole tensors. Out: linalg.generic for those that combine a tensor of dynamic size with itself.
// Upstream folds some of them (`xori %x, %x`, `cmpi eq, %x, %x`) to a constant of the result's type, and a constant of
// dynamic size has none. It must come before everything that folds.
//
//===----------------------------------------------------------------------===//

#include "Contraction.h"
#include "qlow/Dialect/Dialect.h"
#include "qlow/Import/Import.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

namespace qlow {
#define GEN_PASS_DEF_IMPORTARITH
#include "qlow/Import/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

/// Whether `op` is elementwise arith with one tensor of dynamic size as all of its operands, of which there are
/// several.
static bool combinesWithItself(Operation *op) {
  if (!isa<arith::ArithDialect>(op->getDialect()) || op->getNumResults() != 1 || op->getNumOperands() < 2)
    return false;
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  return type && !type.hasStaticShape() && llvm::all_equal(op->getOperands());
}

namespace {
struct ImportArith : qlow::impl::ImportArithBase<ImportArith> {
  using ImportArithBase::ImportArithBase;

  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation().walk([&](Operation *op) {
      if (combinesWithItself(op))
        ops.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (Operation *op : ops)
      rewrite(rewriter, op);
  }

  /// op(x, x) = generic ins(x, x) { op(a, b) }
  static void rewrite(RewriterBase &rewriter, Operation *op) {
    rewriter.setInsertionPoint(op);
    Type element = cast<RankedTensorType>(op->getResult(0).getType()).getElementType();
    Value result = createElementwise(
        rewriter, op->getLoc(), op->getOperands(), element, [&](OpBuilder &builder, Location loc, ValueRange scalars) {
          return builder.create(loc, op->getName().getIdentifier(), scalars, element, op->getAttrs())->getResult(0);
        });
    rewriter.replaceOp(op, result);
  }
};
} // namespace
