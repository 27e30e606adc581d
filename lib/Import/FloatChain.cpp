//===- FloatChain.cpp - the float ops an integer rule can absorb ------------===//
//
// An op on whole tensors and the scalar body of a linalg op are read by one recursion; they differ in what a leaf is.
//
//===----------------------------------------------------------------------===//

#include "FloatChain.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tosa/IR/TosaOps.h"
#include "mlir/IR/Matchers.h"

#include <cmath>

using namespace mlir;
using namespace qlow;

void Clamp::raise(float bound) {
  lo = std::max(lo, bound);
  hi = std::max(hi, bound);
}
void Clamp::lower(float bound) {
  lo = std::min(lo, bound);
  hi = std::min(hi, bound);
}
void Clamp::then(const Clamp &next) {
  raise(next.lo);
  lower(next.hi);
}
bool Clamp::isTrivial() const { return lo == Clamp().lo && hi == Clamp().hi; }

/// The one float that a scalar or every element of a tensor is.
static std::optional<float> matchConstantFloat(Value value) {
  FloatAttr scalar;
  SplatElementsAttr splat;
  if (auto fill = value.getDefiningOp<linalg::FillOp>())
    return matchConstantFloat(fill.value());
  if (matchPattern(value, m_Constant(&splat)) && isa<FloatType>(splat.getElementType()))
    scalar = splat.getSplatValue<FloatAttr>();
  else if (!matchPattern(value, m_Constant(&scalar)))
    return std::nullopt;
  float number = static_cast<float>(scalar.getValueAsDouble());
  return std::isnan(number) ? std::nullopt : std::optional<float>(number);
}

//===----------------------------------------------------------------------===//
// Expressions
//===----------------------------------------------------------------------===//

namespace {
/// What the leaves of an expression are.
struct Leaves {
  function_ref<bool(Value)> isX;
  function_ref<Value(Value)> biasOf; ///< the tensor of N values behind a leaf, or null
  function_ref<std::optional<float>(Value)> constantOf;
};
enum class Kind { Add, Max, Min, None };
} // namespace

static Kind kindOf(Operation *op) {
  if (isa<arith::AddFOp, tosa::AddOp>(op))
    return Kind::Add;
  if (isa<arith::MaximumFOp, arith::MaxNumFOp, tosa::MaximumOp>(op))
    return Kind::Max;
  if (isa<arith::MinimumFOp, arith::MinNumFOp, tosa::MinimumOp>(op))
    return Kind::Min;
  return Kind::None;
}

/// select(cmpf x > c, x, c) is a maximum, select(cmpf x < c, x, c) a minimum: sums are never NaN.
static Kind kindOfSelect(arith::SelectOp select) {
  auto compare = select.getCondition().getDefiningOp<arith::CmpFOp>();
  if (!compare || compare.getLhs() != select.getTrueValue() || compare.getRhs() != select.getFalseValue())
    return Kind::None;
  switch (compare.getPredicate()) {
  case arith::CmpFPredicate::OGT:
  case arith::CmpFPredicate::OGE:
  case arith::CmpFPredicate::UGT:
  case arith::CmpFPredicate::UGE:
    return Kind::Max;
  case arith::CmpFPredicate::OLT:
  case arith::CmpFPredicate::OLE:
  case arith::CmpFPredicate::ULT:
  case arith::CmpFPredicate::ULE:
    return Kind::Min;
  default:
    return Kind::None;
  }
}

static std::optional<FloatStep> matchExpression(Value value, const Leaves &leaves, unsigned depth);

static std::optional<FloatStep> matchPair(Kind kind, Value x, Value other, const Leaves &leaves, unsigned depth) {
  std::optional<FloatStep> step = matchExpression(x, leaves, depth + 1);
  if (!step)
    return std::nullopt;
  if (kind == Kind::Add) {
    if (step->bias || !step->clamp.isTrivial())
      return std::nullopt;
    step->bias = leaves.biasOf(other);
    return step->bias ? step : std::nullopt;
  }
  std::optional<float> bound = leaves.constantOf(other);
  if (!bound)
    return std::nullopt;
  if (kind == Kind::Max)
    step->clamp.raise(*bound);
  else
    step->clamp.lower(*bound);
  return step;
}

static std::optional<FloatStep> matchExpression(Value value, const Leaves &leaves, unsigned depth) {
  // A bias and the clamps of an activation are a handful of ops; the bound keeps odd input cheap.
  constexpr unsigned kMaxDepth = 8;
  if (leaves.isX(value))
    return FloatStep();
  Operation *op = value.getDefiningOp();
  if (!op || depth > kMaxDepth)
    return std::nullopt;
  auto select = dyn_cast<arith::SelectOp>(op);
  Kind kind = select ? kindOfSelect(select) : kindOf(op);
  if (kind == Kind::None)
    return std::nullopt;
  Value a = op->getOperand(select ? 1 : 0), b = op->getOperand(select ? 2 : 1);
  if (std::optional<FloatStep> step = matchPair(kind, a, b, leaves, depth))
    return step;
  return matchPair(kind, b, a, leaves, depth);
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

/// Whether `map` reads the last loop as its last index and nothing else: one row for all.
static bool isRowMap(AffineMap map) {
  if (map.getNumResults() == 0 || map.getResults().back() != getAffineDimExpr(map.getNumDims() - 1, map.getContext()))
    return false;
  return llvm::all_of(map.getResults().drop_back(), [](AffineExpr expr) { return expr == 0; });
}

Value qlow::matchRow(Value tensor) {
  auto type = dyn_cast<RankedTensorType>(tensor.getType());
  if (!type || type.getRank() == 0)
    return {};
  if (auto broadcast = tensor.getDefiningOp<linalg::BroadcastOp>()) {
    // Every dimension but the last is new.
    auto last = llvm::seq<int64_t>(0, type.getRank() - 1);
    return llvm::equal(broadcast.getDimensions(), last) ? broadcast.getInput() : Value();
  }
  auto generic = tensor.getDefiningOp<linalg::GenericOp>();
  if (generic && generic.getNumDpsInputs() == 1 && generic->getNumResults() == 1) {
    Value yielded = generic.getBody()->getTerminator()->getOperand(0);
    bool copies = yielded == generic.getBody()->getArgument(0) && generic.getIndexingMapsArray()[1].isIdentity();
    return copies && isRowMap(generic.getIndexingMapsArray()[0]) ? generic.getDpsInputs()[0] : Value();
  }
  bool isRow = llvm::all_of(type.getShape().drop_back(), [](int64_t size) { return size == 1; });
  return isRow ? tensor : Value();
}

static std::optional<FloatStep> matchStructured(linalg::LinalgOp op, Value x) {
  if (!op.hasPureTensorSemantics() || op->getNumResults() != 1 || op.getNumParallelLoops() != op.getNumLoops() ||
      !op.getIndexingMapsArray().back().isIdentity() || op->getNumRegions() != 1)
    return std::nullopt;
  auto operandOf = [&](Value leaf) -> OpOperand * {
    auto argument = dyn_cast<BlockArgument>(leaf);
    return argument && argument.getOwner() == op.getBlock() ? &op->getOpOperand(argument.getArgNumber()) : nullptr;
  };
  auto isX = [&](Value leaf) {
    OpOperand *operand = operandOf(leaf);
    return operand && operand->get() == x && op.getMatchingIndexingMap(operand).isIdentity();
  };
  auto biasOf = [&](Value leaf) -> Value {
    OpOperand *operand = operandOf(leaf);
    if (!operand || !isa<RankedTensorType>(operand->get().getType()))
      return {};
    AffineMap map = op.getMatchingIndexingMap(operand);
    if (map.isIdentity() && map.getNumDims() > 1)
      return matchRow(operand->get());
    return isRowMap(map) ? operand->get() : Value();
  };
  auto constantOf = [&](Value leaf) {
    OpOperand *operand = operandOf(leaf);
    return matchConstantFloat(operand ? operand->get() : leaf);
  };
  return matchExpression(op.getBlock()->getTerminator()->getOperand(0), {isX, biasOf, constantOf}, 0);
}

std::optional<FloatStep> qlow::matchFloatStep(Operation *op, Value x) {
  if (auto structured = dyn_cast<linalg::LinalgOp>(op))
    return matchStructured(structured, x);
  if (auto clamp = dyn_cast<tosa::ClampOp>(op)) {
    auto lo = dyn_cast<FloatAttr>(clamp.getMinVal()), hi = dyn_cast<FloatAttr>(clamp.getMaxVal());
    if (!lo || !hi)
      return std::nullopt;
    FloatStep step;
    step.clamp.raise(static_cast<float>(lo.getValueAsDouble()));
    step.clamp.lower(static_cast<float>(hi.getValueAsDouble()));
    return step;
  }
  // An op on whole tensors must give back the shape of x: tosa's operands broadcast.
  if (op->getNumResults() != 1 || op->getResult(0).getType() != x.getType())
    return std::nullopt;
  auto isX = [&](Value leaf) { return leaf == x; };
  return matchExpression(op->getResult(0), {isX, matchRow, matchConstantFloat}, 0);
}
