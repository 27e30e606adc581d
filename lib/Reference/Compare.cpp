//===- Compare.cpp - how far a result may be from the reference's -----------===//
//
// In: what an implementation computed and what the reference did. Out: where they differ, and whether the law allows
// it. Most of the law is exact; float sums have a bound; where sums and approximate functions were computed with
// further, there is no bound to hold anything to.
//
//===----------------------------------------------------------------------===//

#include "Evaluator.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/RegionUtils.h"

#include <cmath>

using namespace mlir;
using namespace qlow;
using namespace qlow::reference;

//===----------------------------------------------------------------------===//
// What is exact
//===----------------------------------------------------------------------===//

static bool isExactFunction(Operation *op) {
  return isa<math::AbsFOp, math::AbsIOp, math::CeilOp, math::CopySignOp, math::CountLeadingZerosOp,
             math::CountTrailingZerosOp, math::CtPopOp, math::FloorOp, math::FmaOp, math::RoundOp, math::RoundEvenOp,
             math::SqrtOp, math::TruncOp>(op);
}

/// One op without what its regions hold.
static bool isExactOp(Operation *op) {
  if (auto matmul = dyn_cast<MatmulOp>(op))
    return matmul.hasExactSum();
  if (auto structured = dyn_cast<linalg::LinalgOp>(op))
    return llvm::none_of(llvm::seq(structured.getNumDpsInits()),
                         [&](int64_t output) { return bool(findSummand(structured, output)); });
  return !isa<math::MathDialect>(op->getDialect()) || isExactFunction(op);
}

static bool isExactWhole(Operation *op) {
  return !op->walk([](Operation *inner) {
              auto call = dyn_cast<func::CallOp>(inner);
              auto callee = call ? SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(call, call.getCalleeAttr())
                                 : func::FuncOp();
              bool isExact = isExactOp(inner) && (!callee || isExactWhole(callee));
              return isExact ? WalkResult::advance() : WalkResult::interrupt();
            }).wasInterrupted();
}

bool qlow::isExact(Value value) {
  // With branches any block may have been on the way.
  auto function = value.getParentRegion()->getParentOfType<func::FuncOp>();
  if (function && !function.getBody().hasOneBlock())
    return isExactWhole(function);
  SetVector<Value> values;
  values.insert(value);
  for (size_t next = 0; next < values.size(); ++next) {
    Operation *op = values[next].getDefiningOp();
    if (!op)
      continue;
    if (!isExactWhole(op))
      return false;
    values.insert(op->operand_begin(), op->operand_end());
    getUsedValuesDefinedAbove(op->getRegions(), values);
  }
  return true;
}

//===----------------------------------------------------------------------===//
// The bound of a float sum
//===----------------------------------------------------------------------===//

static Value magnitudeOf(Value side, OpBuilder &builder) {
  Location loc = side.getLoc();
  auto type = cast<RankedTensorType>(side.getType()).clone(builder.getF32Type());
  if (getQuantizedElement(side.getType()))
    side = DequantizeOp::create(builder, loc, type, side);
  else if (side.getType() != type)
    side = arith::ExtFOp::create(builder, loc, type, side);
  return math::AbsFOp::create(builder, loc, side);
}

std::optional<SumBound> qlow::addSumBound(Value value, OpBuilder &builder) {
  auto op = value.getDefiningOp<MatmulOp>();
  if (!op || op.hasExactSum() || op.hasEpilogue() || getQuantizedElement(value.getType()))
    return std::nullopt;
  if (!llvm::all_of(op->getOperands(), isExact))
    return std::nullopt;
  SumBound bound;
  int64_t k = op.getBatchRank() + (op.getTransposeLhs() ? 0 : 1);
  Value lhs = magnitudeOf(op.getLhs(), builder), rhs = magnitudeOf(op.getRhs(), builder);
  bound.magnitude = MatmulOp::create(builder, op.getLoc(), op.getType().clone(builder.getF32Type()), lhs, rhs,
                                     op.getTransposeLhs(), op.getTransposeRhs());
  bound.length = tensor::DimOp::create(builder, op.getLoc(), lhs, k);
  bound.hasBias = bool(op.getBias());
  bound.isNarrow = op.hasNarrowSum();
  return bound;
}

//===----------------------------------------------------------------------===//
// Arrays
//===----------------------------------------------------------------------===//

/// Bits of a float as an integer that orders as floats do: its distance to another counts the floats between.
static int64_t ordinal(const Array &array, int64_t index) {
  unsigned width = sizeOf(array.element);
  uint64_t bits = 0;
  for (unsigned byte = 0; byte < width; ++byte)
    bits |= uint64_t(array.bytes[index * width + byte]) << 8 * byte;
  uint64_t sign = uint64_t(1) << (8 * width - 1);
  return bits & sign ? -int64_t(bits & ~sign) : int64_t(bits);
}

/// The distance of a float to the next in its type, away from zero.
static double unitInLastPlace(const Array &array, int64_t index) {
  unsigned width = sizeOf(array.element);
  Array next(ArrayRef<int64_t>(), array.element);
  std::copy_n(array.bytes.begin() + index * width, width, next.bytes.begin());
  for (uint8_t &byte : next.bytes)
    if (++byte)
      break;
  return std::abs(load(next, 0).f - load(array, index).f);
}

static void countElements(const Array &found, const Array &expected, Difference &difference) {
  difference.isFloat = isFloat(found.element);
  difference.elements = found.size();
  for (int64_t index = 0; index < difference.elements; ++index) {
    Scalar a = load(found, index), b = load(expected, index);
    double distance = std::abs(double(a.i) - double(b.i));
    if (difference.isFloat) {
      if (std::isnan(a.f) && std::isnan(b.f))
        continue;
      distance = std::abs(double(ordinal(found, index)) - double(ordinal(expected, index)));
    }
    difference.different += distance != 0 || std::signbit(a.f) != std::signbit(b.f);
    difference.worst = std::max(difference.worst, distance);
  }
}

/// Codes row by row: padding does not count.
static void countCodes(const ArrayType &type, const Array &found, const Array &expected, Difference &difference) {
  const Format &format = *type.codes;
  int64_t rowBytes = found.shape.back();
  int64_t rowCodes =
      ShapedType::isDynamic(type.rowCodes) ? rowBytes / format.bytesPerGroup * format.codesPerGroup : type.rowCodes;
  int64_t rows = rowBytes ? int64_t(found.bytes.size()) / rowBytes : 0;
  difference.elements = rows * rowCodes;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t index = 0; index < rowCodes; ++index) {
      uint32_t a = format.extract(&found.bytes[row * rowBytes], index);
      uint32_t b = format.extract(&expected.bytes[row * rowBytes], index);
      difference.different += a != b;
      double distance = std::abs(double(format.decode(a)) - double(format.decode(b)));
      difference.worst = std::max(difference.worst, distance);
    }
}

Difference qlow::compare(const ArrayType &type, const Array &found, const Array &expected) {
  Difference difference;
  if (type.codes)
    countCodes(type, found, expected, difference);
  else
    countElements(found, expected, difference);
  difference.isAllowed = difference.different == 0;
  return difference;
}

Difference qlow::compareSum(const ArrayType &type, const Array &found, const Array &expected, const Array &magnitudes,
                            int64_t length, bool hasBias, bool isNarrow) {
  Difference difference = compare(type, found, expected);
  difference.isAllowed = true;
  for (int64_t index = 0; index < difference.elements; ++index) {
    // The magnitudes themselves were rounded.
    double magnitude = load(magnitudes, index).f * (1 + 0x1p-20);
    double bound = ((isNarrow ? 0x1p-6 : 0) + double(length + 8) * 0x1p-23) * magnitude +
                   (hasBias ? 2 : 1) * unitInLastPlace(expected, index);
    double error = std::abs(load(found, index).f - load(expected, index).f);
    // Nothing is promised where the sum is NaN or infinite.
    bool isPromised = std::isfinite(load(expected, index).f) && std::isfinite(magnitude);
    difference.isAllowed &= !isPromised || error <= bound;
  }
  return difference;
}
