//===- SizeRules.cpp - rules among the sizes of a call ----------------------===//
//
// In: affine constraints of the symbols that stand for a function's sizes. Out: their text, as in `a_d1 == b_d0`, and
// the i1 that says whether one holds. Sizes are in their ranges when code from here runs, so none is negative.
//
//===----------------------------------------------------------------------===//

#include "SizeRules.h"
#include "Entries.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace qlow;

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

/// `inner` puts sums into brackets.
static std::string spell(AffineExpr expr, ArrayRef<AbiDim> dims, bool inner = false) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return std::to_string(constant.getValue());
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
    return dims[symbol.getPosition()].name;
  auto binary = cast<AffineBinaryOpExpr>(expr);
  AffineExpr lhs = binary.getLHS(), rhs = binary.getRHS();
  switch (expr.getKind()) {
  case AffineExprKind::Add: {
    std::string text = spell(lhs, dims) + " + " + spell(rhs, dims);
    return inner ? "(" + text + ")" : text;
  }
  case AffineExprKind::Mul:
    return spell(lhs, dims, true) + " * " + spell(rhs, dims, true);
  case AffineExprKind::FloorDiv:
    return "floor(" + spell(lhs, dims) + " / " + spell(rhs, dims, true) + ")";
  case AffineExprKind::CeilDiv:
    return "ceil(" + spell(lhs, dims) + " / " + spell(rhs, dims, true) + ")";
  default:
    return spell(lhs, dims, true) + " % " + spell(rhs, dims, true);
  }
}

/// Splits a sum into what is added and what is taken away, the latter without its sign.
static void splitTerms(AffineExpr expr, SmallVectorImpl<AffineExpr> &plus, SmallVectorImpl<AffineExpr> &minus) {
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (expr.getKind() == AffineExprKind::Add) {
    splitTerms(binary.getLHS(), plus, minus);
    splitTerms(binary.getRHS(), plus, minus);
    return;
  }
  auto factor = dyn_cast<AffineConstantExpr>(binary ? binary.getRHS() : expr);
  bool isNegative = factor && factor.getValue() < 0 && (!binary || expr.getKind() == AffineExprKind::Mul);
  (isNegative ? minus : plus).push_back(isNegative ? -expr : expr);
}

static std::string spellSum(ArrayRef<AffineExpr> terms, ArrayRef<AbiDim> dims) {
  if (terms.empty())
    return "0";
  return llvm::join(llvm::map_range(terms, [&](AffineExpr term) { return spell(term, dims); }), " + ");
}

std::vector<AbiRule> qlow::describeRules(IntegerSet set, ArrayRef<AbiDim> dims) {
  std::vector<AbiRule> rules;
  for (auto [index, constraint] : llvm::enumerate(set ? set.getConstraints() : ArrayRef<AffineExpr>())) {
    SmallVector<AffineExpr> plus, minus;
    splitTerms(constraint, plus, minus);
    int dim = 0;
    constraint.walk([&](AffineExpr part) {
      if (auto symbol = dyn_cast<AffineSymbolExpr>(part))
        dim = std::max(dim, int(symbol.getPosition()));
    });
    rules.push_back({dim, spellSum(plus, dims) + (set.isEq(index) ? " == " : " >= ") + spellSum(minus, dims)});
  }
  return rules;
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

namespace {
/// Evaluates expressions; `ok` says that none of the operations so far has wrapped.
struct Evaluation {
  ImplicitLocOpBuilder &b;
  ArrayRef<Value> dims;
  Value ok;

  Value constant(int64_t value) { return constantInt(b, b.getI64Type(), value); }

  template <typename Op> Value checked(Value lhs, Value rhs) {
    auto pair = LLVM::LLVMStructType::getLiteral(b.getContext(), {b.getI64Type(), b.getI1Type()});
    Value both = Op::create(b, pair, lhs, rhs);
    Value wrapped = LLVM::ExtractValueOp::create(b, both, 1);
    ok = LLVM::AndOp::create(b, ok, LLVM::XOrOp::create(b, wrapped, constantInt(b, b.getI1Type(), 1)));
    return LLVM::ExtractValueOp::create(b, both, 0);
  }

  /// floor(lhs / rhs) and the rest of it; the divisor is a positive constant, what is divided may be negative.
  std::pair<Value, Value> divide(Value lhs, Value rhs) {
    Value quotient = LLVM::SDivOp::create(b, lhs, rhs), rest = LLVM::SRemOp::create(b, lhs, rhs);
    Value below = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::slt, rest, constant(0));
    Value lower = LLVM::SubOp::create(b, quotient, constant(1)), above = LLVM::AddOp::create(b, rest, rhs);
    return {LLVM::SelectOp::create(b, below, lower, quotient), LLVM::SelectOp::create(b, below, above, rest)};
  }

  Value emit(AffineExpr expr) {
    if (auto number = dyn_cast<AffineConstantExpr>(expr))
      return constant(number.getValue());
    if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
      return dims[symbol.getPosition()];
    auto binary = cast<AffineBinaryOpExpr>(expr);
    Value lhs = emit(binary.getLHS()), rhs = emit(binary.getRHS());
    switch (expr.getKind()) {
    case AffineExprKind::Add:
      return checked<LLVM::SAddWithOverflowOp>(lhs, rhs);
    case AffineExprKind::Mul:
      return checked<LLVM::SMulWithOverflowOp>(lhs, rhs);
    case AffineExprKind::FloorDiv:
      return divide(lhs, rhs).first;
    case AffineExprKind::CeilDiv:
      return divide(checked<LLVM::SAddWithOverflowOp>(lhs, LLVM::SubOp::create(b, rhs, constant(1))), rhs).first;
    default:
      return divide(lhs, rhs).second;
    }
  }
};
} // namespace

Value qlow::emitRule(ImplicitLocOpBuilder &b, IntegerSet set, unsigned index, ArrayRef<Value> dims) {
  Evaluation evaluation{b, dims, constantInt(b, b.getI1Type(), 1)};
  Value difference = evaluation.emit(set.getConstraint(index));
  auto predicate = set.isEq(index) ? LLVM::ICmpPredicate::eq : LLVM::ICmpPredicate::sge;
  Value holds = LLVM::ICmpOp::create(b, predicate, difference, evaluation.constant(0));
  return LLVM::AndOp::create(b, evaluation.ok, holds);
}
