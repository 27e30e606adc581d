//===- KeepIntermediates.cpp - return what quantized ops compute ------------===//
//
// In: functions on tensors before fusion. Out: the same with one more result for each quantized op, named by its
// number. The compiler and the reference both take the module from here, so that they mean the same ops by the same
// names.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Dialect.h"
#include "qlow/Dialect/Sizes.h"
#include "qlow/Emit/Emit.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qlow {
#define GEN_PASS_DEF_KEEPINTERMEDIATES
#include "qlow/Emit/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

/// Whether the op computes codes or computes from them; compose and its like only name them.
static bool isQuantizedOp(Operation *op) {
  return isa<QuantizeOp, QuantizeDynamicOp, DequantizeOp, RequantizeOp, MatmulOp>(op);
}

/// Whether a caller can know the size: it is a constant, an argument's, or a part of an argument's.
static bool isKnown(AffineExpr size) {
  if (size && size.getKind() == AffineExprKind::CeilDiv &&
      isa<AffineConstantExpr>(cast<AffineBinaryOpExpr>(size).getRHS()))
    size = cast<AffineBinaryOpExpr>(size).getLHS();
  return isa_and_nonnull<AffineConstantExpr, AffineSymbolExpr>(size);
}

/// Why the op's result can not be one of the function's, or null.
static const char *whyNotKept(Operation *op, SizeAnalysis &sizes) {
  if (!isa<func::FuncOp>(op->getParentOp()))
    return "it lies in a branch or a loop and has no one value in a call";
  Value result = op->getResult(0);
  auto type = cast<RankedTensorType>(result.getType());
  for (int64_t dim = 0; dim < type.getRank(); ++dim)
    if (type.isDynamicDim(dim) && !isKnown(sizes.sizeOf(result, dim)))
      return "no argument is known to have its size";
  return nullptr;
}

/// Adds `op`'s result to those of the function.
static void keep(func::FuncOp function, Operation *op, unsigned number) {
  Builder builder(function.getContext());
  std::string name = ("op" + Twine(number) + "_" + op->getName().stripDialect()).str();
  std::string text = (op->getName().getStringRef() + " at " + placeOf(op->getLoc())).str();
  DictionaryAttr attributes = builder.getDictionaryAttr({builder.getNamedAttr("qlow.name", builder.getStringAttr(name)),
                                                         builder.getNamedAttr("qlow.op", builder.getStringAttr(text))});
  Value result = op->getResult(0);
  (void)function.insertResult(function.getNumResults(), result.getType(), attributes);
  Operation *end = function.front().getTerminator();
  end->insertOperands(end->getNumOperands(), result);
}

namespace {
struct KeepIntermediates : qlow::impl::KeepIntermediatesBase<KeepIntermediates> {
  using KeepIntermediatesBase::KeepIntermediatesBase;

  LogicalResult keepOf(func::FuncOp function) {
    if (!function.getBody().hasOneBlock())
      return function.emitError("expected structured control flow: run lift-cf-to-scf before qlow-keep-intermediates");
    SmallVector<Operation *> ops;
    function.walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (isQuantizedOp(op))
        ops.push_back(op);
    });
    llvm::DenseMap<std::pair<Value, int64_t>, unsigned> symbols;
    SizeAnalysis sizes(function.getContext(), [&](BlockArgument argument, int64_t dim) {
      auto [symbol, isNew] = symbols.try_emplace({argument, dim}, symbols.size());
      return getAffineSymbolExpr(symbol->second, function.getContext());
    });
    unsigned number = 0;
    for (Operation *op : ops) {
      if (const char *why = whyNotKept(op, sizes)) {
        op->emitRemark() << "the result of '" << op->getName() << "' is not kept: " << why;
        continue;
      }
      keep(function, op, number++);
      ++kept;
    }
    return success();
  }

  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (function.isPublic() && !function.isDeclaration() && failed(keepOf(function)))
        return signalPassFailure();
  }
};
} // namespace
