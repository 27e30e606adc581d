//===- SizeRules.cpp - what ops need of sizes ------------------------------===//
//
// For each op of a function: which sizes its meaning needs to be equal, and which it needs to reach far enough. What is
// known holds or is an error here, what follows from the arguments' sizes is a rule for the caller, the rest is an
// error. An op that this file does not know is an error too: nothing may read past a buffer because nobody asked.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Dialect.h"
#include "qlow/Dialect/Sizes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace qlow;

//===----------------------------------------------------------------------===//
// Rules
//===----------------------------------------------------------------------===//

/// The symbol with the highest number in an expression.
static AffineSymbolExpr lastSymbol(AffineExpr expr) {
  AffineSymbolExpr last = nullptr;
  expr.walk([&](AffineExpr part) {
    auto symbol = dyn_cast<AffineSymbolExpr>(part);
    if (symbol && (!last || symbol.getPosition() > last.getPosition()))
      last = symbol;
  });
  return last;
}

void SizeAnalysis::addRule(AffineExpr difference, bool isEquality) {
  // `m == 64` reads better than `64 == m`.
  if (isEquality && isa<AffineConstantExpr>(simplify(difference + lastSymbol(difference))))
    difference = simplify(-difference);
  for (const SizeRule &rule : rules)
    if (rule.isEquality == isEquality &&
        (rule.difference == difference || (isEquality && simplify(-rule.difference) == difference)))
      return;
  rules.push_back({difference, isEquality});
  if (!isEquality)
    return;
  // last = other, or last = constant: from here on they are one, so that no rule is said twice.
  AffineSymbolExpr last = lastSymbol(difference);
  for (AffineExpr other : {simplify(difference + last), simplify(last - difference)}) {
    if (!isa<AffineConstantExpr, AffineSymbolExpr>(other))
      continue;
    for (auto &[from, to] : replacements)
      if (to == last)
        to = other;
    replacements[last] = other;
    return;
  }
}

LogicalResult SizeAnalysis::requireEqual(Operation *op, AffineExpr a, AffineExpr b, const Twine &what) {
  if (!a || !b || a == b)
    return success();
  AffineExpr difference = simplify(a - b);
  auto known = dyn_cast<AffineConstantExpr>(difference);
  if (known && known.getValue() == 0)
    return success();
  if (known)
    return op->emitError() << "'" << op->getName() << "' needs " << what
                           << " to be equal, which they can not be: their difference is " << std::abs(known.getValue());
  if (!difference.isSymbolicOrConstant())
    return op->emitError()
           << "'" << op->getName() << "' needs " << what
           << " to be equal, and on entry nobody can know whether they are: expected one size, or sizes "
              "that follow from the sizes of the arguments";
  addRule(difference, /*isEquality=*/true);
  return success();
}

LogicalResult SizeAnalysis::requireAtLeast(Operation *op, AffineExpr size, AffineExpr least, const Twine &what) {
  if (!size || !least)
    return success();
  AffineExpr difference = simplify(size - least);
  if (neverNegative(difference))
    return success();
  auto known = dyn_cast<AffineConstantExpr>(difference);
  if (known)
    return op->emitError() << "'" << op->getName() << "' needs " << what << ", which is " << -known.getValue()
                           << " short of it";
  if (!difference.isSymbolicOrConstant())
    return op->emitError() << "'" << op->getName() << "' needs " << what
                           << ", and on entry nobody can know whether it is: expected sizes that follow from the sizes "
                              "of the arguments";
  addRule(difference, /*isEquality=*/false);
  return success();
}

LogicalResult SizeAnalysis::requireInside(Operation *op, OpFoldResult offset, OpFoldResult size, OpFoldResult stride,
                                          AffineExpr total) {
  AffineExpr first = valueOf(offset), count = valueOf(size), step = valueOf(stride);
  bool always = isa<func::FuncOp>(op->getParentOp());
  if (!always || !total || !isa<AffineConstantExpr>(step))
    return success();
  AffineExpr end = first + (count - 1) * step + 1;
  if (!simplify(total - end).isSymbolicOrConstant() || !simplify(first).isSymbolicOrConstant())
    return success();
  if (failed(requireAtLeast(op, first, constant(0), "its offset to be 0 or more")))
    return failure();
  return requireAtLeast(op, total, end, "its slice to end inside of the tensor");
}

//===----------------------------------------------------------------------===//
// Shapes and parts
//===----------------------------------------------------------------------===//

static bool isTensor(Value value) { return isa<RankedTensorType>(value.getType()); }

LogicalResult SizeAnalysis::checkSameShapes(Operation *op, ValueRange values, const Twine &what) {
  Value first;
  for (Value value : llvm::make_filter_range(values, isTensor)) {
    if (!first)
      first = value;
    for (auto [dim, pair] : llvm::enumerate(llvm::zip(sizesOf(first), sizesOf(value))))
      if (failed(requireEqual(op, std::get<0>(pair), std::get<1>(pair), "sizes " + Twine(dim) + " of " + what)))
        return failure();
  }
  return success();
}

/// What a result's type says of its sizes is what the operands give it.
LogicalResult SizeAnalysis::checkResults(Operation *op) {
  for (OpResult result : op->getResults())
    if (auto type = dyn_cast<RankedTensorType>(result.getType()))
      for (int64_t dim = 0; dim < type.getRank(); ++dim)
        if (failed(requireEqual(op, sizeOf(result, dim), infer(result, dim),
                                "size " + Twine(dim) + " of its result and what its operands make it")))
          return failure();
  return success();
}

LogicalResult SizeAnalysis::checkParts(Operation *op, Value whole, ValueRange parts, bool withCodes) {
  Type element = cast<RankedTensorType>(whole.getType()).getElementType();
  if (!isa<QType>(element))
    return success();
  SmallVector<Sizes> expected;
  appendParts(element, sizesOf(whole), expected);
  ArrayRef<Sizes> wanted = ArrayRef(expected).drop_front(withCodes ? 0 : 1);
  for (auto [number, pair] : llvm::enumerate(llvm::zip(wanted, parts)))
    for (auto [dim, size] : llvm::enumerate(std::get<0>(pair)))
      if (failed(requireEqual(op, size, sizeOf(std::get<1>(pair), dim),
                              "size " + Twine(dim) + " of part " + Twine(number) + " and what the blocks count")))
        return failure();
  return success();
}

LogicalResult SizeAnalysis::checkMatmul(Operation *op) {
  auto matmul = cast<MatmulOp>(op);
  Value lhs = matmul.getLhs(), rhs = matmul.getRhs(), result = matmul.getResult();
  int64_t batch = matmul.getBatchRank();
  AffineExpr lhsK = sizeOf(lhs, batch + (matmul.getTransposeLhs() ? 0 : 1));
  AffineExpr rhsK = sizeOf(rhs, batch + (matmul.getTransposeRhs() ? 1 : 0));
  if (failed(requireEqual(op, lhsK, rhsK, "K of both sides")))
    return failure();
  for (int64_t dim = 0; dim < batch; ++dim)
    if (failed(requireEqual(op, sizeOf(lhs, dim), sizeOf(rhs, dim), "batch sizes " + Twine(dim))))
      return failure();
  if (Value bias = matmul.getBias())
    if (failed(requireEqual(op, sizeOf(result, batch + 1), sizeOf(bias, 0), "N and the size of the bias")))
      return failure();
  for (auto [index, extra] : llvm::enumerate(matmul.getExtras())) {
    AffineMap map = cast<AffineMapAttr>((*matmul.getExtraMaps())[index]).getValue();
    for (auto [dim, expr] : llvm::enumerate(map.getResults())) {
      auto of = dyn_cast<AffineDimExpr>(expr);
      std::string what = ("size " + Twine(dim) + " of extra " + Twine(index)).str();
      if (of ? failed(requireEqual(op, sizeOf(result, of.getPosition()), sizeOf(extra, dim), what + " and the result"))
             : failed(requireAtLeast(op, sizeOf(extra, dim), constant(1), what + " to be 1 or more")))
        return failure();
    }
  }
  return checkParts(op, result, matmul.getParts(), /*withCodes=*/false);
}

//===----------------------------------------------------------------------===//
// Structured ops
//===----------------------------------------------------------------------===//

namespace {
/// The least and the greatest value of an index expression over the loops it is computed in.
struct Extremes {
  AffineExpr least, greatest;
};
} // namespace

/// Of sums of loop counters times constants, and of quotients and remainders of these by constants; nothing for other
/// expressions. A loop that never runs counts as if it had run: code for the sizes of an empty result need not exist.
static std::optional<Extremes> extremesOf(AffineExpr expr, ArrayRef<AffineExpr> ranges) {
  AffineExpr zero = getAffineConstantExpr(0, expr.getContext());
  if (isa<AffineConstantExpr>(expr))
    return Extremes{expr, expr};
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return ranges[dim.getPosition()] ? std::optional(Extremes{zero, ranges[dim.getPosition()] - 1}) : std::nullopt;
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  auto lhs = binary ? extremesOf(binary.getLHS(), ranges) : std::nullopt;
  if (!lhs)
    return std::nullopt;
  if (expr.getKind() == AffineExprKind::Add) {
    auto rhs = extremesOf(binary.getRHS(), ranges);
    return rhs ? std::optional(Extremes{lhs->least + rhs->least, lhs->greatest + rhs->greatest}) : std::nullopt;
  }
  auto factor = dyn_cast<AffineConstantExpr>(binary.getRHS());
  if (!factor)
    return std::nullopt;
  if (expr.getKind() != AffineExprKind::Mul && factor.getValue() <= 0)
    return std::nullopt;
  switch (expr.getKind()) {
  case AffineExprKind::FloorDiv:
    return Extremes{lhs->least.floorDiv(factor), lhs->greatest.floorDiv(factor)};
  case AffineExprKind::CeilDiv:
    return Extremes{lhs->least.ceilDiv(factor), lhs->greatest.ceilDiv(factor)};
  case AffineExprKind::Mod:
    return Extremes{zero, factor - 1};
  default:
    break;
  }
  Extremes scaled = {lhs->least * factor, lhs->greatest * factor};
  if (factor.getValue() < 0)
    std::swap(scaled.least, scaled.greatest);
  return scaled;
}

/// Each operand has the sizes that the loops run over, or reaches as far as they read.
LogicalResult SizeAnalysis::checkStructured(Operation *op) {
  auto structured = cast<linalg::LinalgOp>(op);
  SmallVector<AffineExpr> ranges(structured.getNumLoops());
  auto forEachSize = [&](llvm::function_ref<LogicalResult(OpOperand &, int64_t, AffineExpr)> visit) {
    for (OpOperand &operand : op->getOpOperands())
      if (isTensor(operand.get()))
        for (auto [dim, expr] : llvm::enumerate(structured.getMatchingIndexingMap(&operand).getResults()))
          if (failed(visit(operand, dim, expr)))
            return failure();
    return success();
  };
  LogicalResult equal = forEachSize([&](OpOperand &operand, int64_t dim, AffineExpr expr) {
    auto loop = dyn_cast<AffineDimExpr>(expr);
    AffineExpr size = sizeOf(operand.get(), dim);
    if (loop && ranges[loop.getPosition()])
      return requireEqual(op, ranges[loop.getPosition()], size,
                          "size " + Twine(dim) + " of operand " + Twine(operand.getOperandNumber()) + " and loop " +
                              Twine(loop.getPosition()));
    if (loop)
      ranges[loop.getPosition()] = size;
    return success();
  });
  if (failed(equal))
    return failure();
  return forEachSize([&](OpOperand &operand, int64_t dim, AffineExpr expr) -> LogicalResult {
    if (isa<AffineDimExpr>(expr))
      return success();
    std::string what =
        ("size " + Twine(dim) + " of operand " + Twine(operand.getOperandNumber()) + " to hold every index").str();
    std::optional<Extremes> extremes = extremesOf(expr, ranges);
    if (!extremes)
      return op->emitError()
             << "'" << op->getName() << "' has sizes that are not static and reads operand "
             << operand.getOperandNumber() << " at "
             << AffineMapAttr::get(AffineMap::get(structured.getNumLoops(), 0, expr))
             << ": expected sums of loop counters times constants, or their quotients and remainders by constants";
    if (failed(requireAtLeast(op, extremes->least, constant(0), what)))
      return failure();
    return requireAtLeast(op, sizeOf(operand.get(), dim), extremes->greatest + 1, what);
  });
}

//===----------------------------------------------------------------------===//
// Ops of the tensor dialect
//===----------------------------------------------------------------------===//

LogicalResult SizeAnalysis::checkSlice(Operation *op, Value whole) {
  auto slice = cast<OffsetSizeAndStrideOpInterface>(op);
  for (auto [dim, offset, size, stride] :
       llvm::enumerate(slice.getMixedOffsets(), slice.getMixedSizes(), slice.getMixedStrides()))
    if (failed(requireInside(op, offset, size, stride, sizeOf(whole, dim))))
      return failure();
  auto insert = dyn_cast<tensor::InsertSliceOp>(op);
  if (!insert)
    return success();
  llvm::SmallBitVector dropped = insert.getDroppedDims();
  int64_t at = 0;
  for (auto [dim, size] : llvm::enumerate(insert.getMixedSizes()))
    if (!dropped.test(dim) && failed(requireEqual(op, sizeOf(insert.getSource(), at++), valueOf(size),
                                                  "size " + Twine(dim) + " of its source and its slice")))
      return failure();
  return success();
}

LogicalResult SizeAnalysis::checkTensorOp(Operation *op) {
  OpFoldResult one = Builder(context).getIndexAttr(1);
  auto insideAll = [&](Value tensor, ValueRange indices) -> LogicalResult {
    for (auto [dim, index] : llvm::enumerate(indices))
      if (failed(requireInside(op, index, one, one, sizeOf(tensor, dim))))
        return failure();
    return success();
  };
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](tensor::ExtractSliceOp slice) { return checkSlice(op, slice.getSource()); })
      .Case([&](tensor::InsertSliceOp slice) { return checkSlice(op, slice.getDest()); })
      .Case([&](tensor::ExtractOp extract) { return insideAll(extract.getTensor(), extract.getIndices()); })
      .Case([&](tensor::InsertOp insert) { return insideAll(insert.getDest(), insert.getIndices()); })
      .Case([&](tensor::ExpandShapeOp expand) -> LogicalResult {
        for (auto [dim, group] : llvm::enumerate(expand.getReassociationIndices()))
          if (failed(requireEqual(op, product(expand.getResult(), group, expand.getResult(), -1 - int64_t(dim)),
                                  sizeOf(expand.getSrc(), dim),
                                  "size " + Twine(dim) + " and the product of what it expands to")))
            return failure();
        return success();
      })
      .Case([&](tensor::ConcatOp concat) -> LogicalResult {
        for (Value input : concat.getInputs())
          for (int64_t dim = 0; dim < cast<RankedTensorType>(input.getType()).getRank(); ++dim)
            if (dim != int64_t(concat.getDim()) &&
                failed(requireEqual(op, sizeOf(concat.getInputs().front(), dim), sizeOf(input, dim),
                                    "sizes " + Twine(dim) + " of its operands")))
              return failure();
        return success();
      })
      .Case([&](tensor::PadOp pad) -> LogicalResult {
        for (OpFoldResult amount : llvm::concat<OpFoldResult>(pad.getMixedLowPad(), pad.getMixedHighPad()))
          if (failed(requireAtLeast(op, valueOf(amount), constant(0), "to pad by 0 or more")))
            return failure();
        return success();
      })
      .Case([&](tensor::ReshapeOp reshape) {
        Value source = reshape.getSource(), result = reshape.getResult();
        auto all = [](Value tensor) {
          return llvm::to_vector(llvm::seq(cast<RankedTensorType>(tensor.getType()).getRank()));
        };
        return requireEqual(op, product(source, all(source), result, -1), product(result, all(result), result, -2),
                            "the numbers of elements before and after it");
      })
      .Default([&](Operation *) { return success(); });
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

LogicalResult SizeAnalysis::checkControlFlow(Operation *op) {
  auto carried = [&](ValueRange inits, ValueRange yielded) -> LogicalResult {
    for (auto [init, next] : llvm::zip(inits, yielded))
      if (failed(checkSameShapes(op, {init, next}, "what it carries before and after an iteration")))
        return failure();
    return success();
  };
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return carried(loop.getInitArgs(), loop.getBody()->getTerminator()->getOperands());
  if (auto loop = dyn_cast<scf::WhileOp>(op))
    return carried(loop.getInits(), loop.getYieldOp().getOperands());
  // Branches may differ in a size that nobody asks for.
  for (OpResult result : op->getResults()) {
    auto type = dyn_cast<RankedTensorType>(result.getType());
    for (int64_t dim = 0, rank = type ? type.getRank() : 0; dim < rank; ++dim)
      for (Region &region : op->getRegions()) {
        if (region.empty())
          continue;
        AffineExpr size = sizeOf(region.front().getTerminator()->getOperand(result.getResultNumber()), dim);
        AffineExpr all = sizeOf(result, dim);
        if (size && all && canAgree(size, all) && failed(requireEqual(op, all, size, "sizes of its branches")))
          return failure();
      }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// All ops
//===----------------------------------------------------------------------===//

LogicalResult SizeAnalysis::checkOperands(Operation *op) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<scf::ForOp, scf::WhileOp, scf::IfOp, scf::IndexSwitchOp>([&](Operation *) { return checkControlFlow(op); })
      .Case<linalg::LinalgOp>([&](linalg::LinalgOp) { return checkStructured(op); })
      .Case<MatmulOp>([&](MatmulOp) { return checkMatmul(op); })
      .Case([&](ComposeOp compose) { return checkParts(op, compose.getResult(), compose.getParts(), true); })
      .Case([&](QuantizeOp quantize) { return checkParts(op, quantize.getResult(), quantize.getParts(), false); })
      .Case([&](RequantizeOp requantize) -> LogicalResult {
        int64_t last = requantize.getType().getRank() - 1;
        for (Value channel : {Value(requantize.getMultiplier()), Value(requantize.getShift())})
          if (channel && cast<RankedTensorType>(channel.getType()).getRank() == 1 &&
              failed(requireEqual(op, sizeOf(requantize.getResult(), last), sizeOf(channel, 0),
                                  "the last size and that of its multiplier or shift")))
            return failure();
        return checkParts(op, requantize.getResult(), requantize.getParts(), false);
      })
      .Case<DecomposeOp, QuantizeDynamicOp, DequantizeOp, GetWeightOp, ub::PoisonOp, arith::ConstantOp, func::ReturnOp,
            scf::YieldOp, scf::ConditionOp, linalg::YieldOp, tensor::YieldOp, YieldOp>(
          [&](Operation *) { return success(); })
      .Default([&](Operation *) -> LogicalResult {
        if (isa_and_nonnull<tensor::TensorDialect>(op->getDialect()))
          return checkTensorOp(op);
        if (op->hasTrait<OpTrait::Elementwise>())
          return checkSameShapes(op, op->getOperands(), "its operands");
        return op->emitError() << "'" << op->getName() << "' has sizes that are not static, and what it needs of them "
                               << "is not known; expected static shapes";
      });
}

LogicalResult SizeAnalysis::check(Operation *op) {
  // Verifiers have compared static shapes.
  auto isStatic = [](Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    return !tensor || tensor.hasStaticShape();
  };
  if (llvm::all_of(op->getOperandTypes(), isStatic) && llvm::all_of(op->getResultTypes(), isStatic))
    return success();
  return failure(failed(checkResults(op)) || failed(checkOperands(op)));
}

LogicalResult SizeAnalysis::addRules(func::FuncOp func) {
  WalkResult result = func.walk<WalkOrder::PreOrder>([&](Operation *op) {
    return op == func || succeeded(check(op)) ? WalkResult::advance() : WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}
