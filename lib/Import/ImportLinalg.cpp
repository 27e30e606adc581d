//===- ImportLinalg.cpp - matmuls of linalg to qlow.matmul ------------------===//
//
// In: linalg ops on tensors. Out: qlow.matmul for each contraction of i8 to i32 and of floats. Integer operands become
// quantized tensors of scale 1, which an i32 result never reads. A softmax becomes the reductions and elementwise ops
// it stands for. It must not change a value: whatever it can not express exactly stays linalg.
//
//===----------------------------------------------------------------------===//

#include "Contraction.h"
#include "qlow/Dialect/Dialect.h"
#include "qlow/Import/Import.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"

namespace qlow {
#define GEN_PASS_DEF_IMPORTLINALG
#include "qlow/Import/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

namespace {
/// A zero point as a quantized tensor stores it; no format for a zero point of 0.
struct ZeroPoint {
  const Format *format = nullptr;
  Value part;
};
} // namespace

/// The byte behind a scalar i32 zero point: a constant that fits one, or a widened i8.
static std::optional<ZeroPoint> storeZeroPoint(OpBuilder &builder, Location loc, Value zero) {
  APInt constant;
  if (!zero || matchPattern(zero, m_Zero()))
    return ZeroPoint{};
  if (matchPattern(zero, m_ConstantInt(&constant))) {
    int64_t value = constant.getSExtValue();
    if (value < -128 || value > 255)
      return std::nullopt;
    auto type = RankedTensorType::get({1}, builder.getI8Type());
    auto bytes = DenseElementsAttr::get(type, APInt(8, value, /*isSigned=*/false, /*implicitTrunc=*/true));
    return ZeroPoint{findCodeFormat(value <= 127 ? "i8" : "u8"), arith::ConstantOp::create(builder, loc, bytes)};
  }
  Operation *widen = zero.getDefiningOp();
  if (!isa_and_nonnull<arith::ExtSIOp, arith::ExtUIOp>(widen) || !widen->getOperand(0).getType().isInteger(8))
    return std::nullopt;
  Value part = tensor::FromElementsOp::create(builder, loc, ValueRange{widen->getOperand(0)});
  return ZeroPoint{findCodeFormat(isa<arith::ExtSIOp>(widen) ? "i8" : "u8"), part};
}

static Value composeUnitScale(OpBuilder &builder, Location loc, const Contraction::Side &side, ZeroPoint zero) {
  auto type = cast<RankedTensorType>(side.tensor.getType());
  auto scaleType = RankedTensorType::get({}, builder.getF32Type());
  Value one = arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(scaleType, 1.0f));
  auto element = QType::get(builder.getContext(), findCodeFormat(side.isUnsigned ? "u8" : "i8"), builder.getF32Type(),
                            zero.format, Type(), {});
  SmallVector<Value> parts{side.tensor, one};
  if (zero.part)
    parts.push_back(zero.part);
  return ComposeOp::create(builder, loc, RankedTensorType::get(type.getShape(), element), parts);
}

/// result = qlow.matmul(lhs, rhs) [+ init]
static LogicalResult importContraction(RewriterBase &rewriter, linalg::LinalgOp op) {
  StringRef why;
  std::optional<Contraction> contraction = matchContraction(op, why);
  if (!contraction)
    return rewriter.notifyMatchFailure(op, why);
  Location loc = op.getLoc();
  rewriter.setInsertionPoint(op);
  Value lhs = contraction->lhs.tensor, rhs = contraction->rhs.tensor;
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  bool isInteger = type.getElementType().isInteger(32);
  if (isInteger) {
    std::optional<ZeroPoint> lhsZero = storeZeroPoint(rewriter, loc, contraction->lhs.zero);
    std::optional<ZeroPoint> rhsZero = storeZeroPoint(rewriter, loc, contraction->rhs.zero);
    if (!lhsZero || !rhsZero)
      return rewriter.notifyMatchFailure(op, "has a zero point that is neither a constant byte nor a widened i8");
    lhs = composeUnitScale(rewriter, loc, contraction->lhs, *lhsZero);
    rhs = composeUnitScale(rewriter, loc, contraction->rhs, *rhsZero);
  }
  Value result =
      MatmulOp::create(rewriter, loc, type, lhs, rhs, contraction->lhs.transposed, contraction->rhs.transposed);
  if (!isZeroTensor(contraction->init))
    result = createElementwise(rewriter, loc, {result, contraction->init}, type.getElementType(),
                               [&](OpBuilder &builder, Location loc, ValueRange arguments) -> Value {
                                 if (isInteger)
                                   return arith::AddIOp::create(builder, loc, arguments[0], arguments[1]);
                                 return arith::AddFOp::create(builder, loc, arguments[0], arguments[1]);
                               });
  if (result.getType() != type)
    result = tensor::CastOp::create(rewriter, loc, type, result);
  rewriter.replaceOp(op, result);
  return success();
}

/// softmax(x) = e / sum(e), e = exp(x - max(x)), of floats of one type.
static void importSoftmax(RewriterBase &rewriter, linalg::SoftmaxOp op) {
  Type element = getElementTypeOrSelf(op.getInput());
  if (op.getNumResults() != 1 || !isa<FloatType>(element) || getElementTypeOrSelf(op.getOutput()) != element)
    return;
  rewriter.setInsertionPoint(op);
  if (FailureOr<SmallVector<Value>> results = op.decomposeOperation(rewriter); succeeded(results))
    rewriter.replaceOp(op, *results);
}

namespace {
struct ImportLinalg : qlow::impl::ImportLinalgBase<ImportLinalg> {
  using ImportLinalgBase::ImportLinalgBase;
  void runOnOperation() override {
    SmallVector<linalg::LinalgOp> ops;
    SmallVector<linalg::SoftmaxOp> softmaxes;
    getOperation().walk([&](linalg::LinalgOp op) { ops.push_back(op); });
    getOperation().walk([&](linalg::SoftmaxOp op) { softmaxes.push_back(op); });
    IRRewriter rewriter(&getContext());
    for (linalg::SoftmaxOp op : softmaxes)
      importSoftmax(rewriter, op);
    for (linalg::LinalgOp op : ops)
      if (succeeded(importContraction(rewriter, op)))
        ++numMatmuls;
    eraseDeadOps(getOperation());
  }
};
} // namespace
