//===- SmallFloats.cpp - f16, bf16 and f8 as integers ---------------------===//
//
// Conversions between f32 and narrower floats by integer operations, exact one way and rounded to nearest even the
// other; arithmetic on narrow floats becomes arithmetic on f32 between conversions, which rounds the same for + - * /
// and sqrt. Too large values become infinity where the type has one, else NaN, else its greatest value, as APFloat
// converts.
//
//===----------------------------------------------------------------------===//

#include "MathExpansions.h"

#include "llvm/ADT/APFloat.h"

using namespace mlir;
using namespace qlow;

namespace {
/// A narrow float type in numbers.
struct Layout {
  explicit Layout(FloatType type)
      : width(type.getWidth()), mantissa(type.getFPMantissaWidth() - 1),
        bias(1 - llvm::APFloat::semanticsMinExponent(type.getFloatSemantics())) {
    const llvm::fltSemantics &semantics = type.getFloatSemantics();
    greatest = llvm::APFloat::getLargest(semantics).bitcastToAPInt().getZExtValue();
    nan = llvm::APFloat::semanticsHasNaN(semantics) ? llvm::APFloat::getQNaN(semantics).bitcastToAPInt().getZExtValue()
                                                    : greatest;
    hasInfinity = llvm::APFloat::semanticsHasInf(semantics);
    overflow = hasInfinity ? llvm::APFloat::getInf(semantics).bitcastToAPInt().getZExtValue() : nan;
    // The FNUZ types spell NaN as negative zero.
    nanIsNegativeZero = nan == int64_t(1) << (width - 1);
  }
  unsigned width, mantissa;
  int64_t bias, greatest, nan, overflow;
  bool hasInfinity, nanIsNegativeZero;
};
} // namespace

static constexpr int64_t kInfinityF32 = 0x7f800000, kQuietF32 = 0x7fc00000;

static bool isSmallFloat(Type type) {
  auto element = dyn_cast<FloatType>(getElementTypeOrSelf(type));
  return element && (element.getWidth() == 16 || element.getWidth() == 8);
}

/// f8E8M0FNU: an exponent and nothing else.
static Real extendExponent(Bits code, Type f32) {
  Bits bits = select(code == 0, 0x400000, code << 23);
  return asReal(select(code == 0xff, kQuietF32, bits), f32);
}
static Bits truncateToExponent(Bits bits) {
  Bits code = (bits & kInfinityF32) >> 23;
  return select((bits & 0x7fffffff) > kInfinityF32, 0xff, code);
}

static Real extendToF32(Real x) {
  auto type = cast<FloatType>(x.elementType());
  Type f32 = x.b->getF32Type(), i32 = x.b->getI32Type();
  Bits code = x.bits().resized(i32);
  if (isa<Float8E8M0FNUType>(type))
    return extendExponent(code, f32);
  Layout layout(type);
  int64_t magnitudeMask = (int64_t(1) << (layout.width - 1)) - 1, shift = 23 - layout.mantissa;
  Bits magnitude = code & magnitudeMask, sign = (code >> (layout.width - 1)) << 31;
  if (layout.bias == 127) // bf16 is the upper half of f32.
    return asReal(code << 16, f32);
  Bits normal = (magnitude << shift) + ((127 - layout.bias) << 23);
  Real units{{x.b, arith::UIToFPOp::create(*x.b, withElement(code.v.getType(), f32), magnitude.v)}};
  Bits tiny = (units * std::ldexp(1.0, 1 - int(layout.bias) - int(layout.mantissa))).bits();
  Bits bits = select(magnitude < (int64_t(1) << layout.mantissa), tiny, normal);
  if (layout.hasInfinity) {
    bits = select(magnitude == layout.overflow, kInfinityF32, bits);
    bits = select(magnitude > layout.overflow, (magnitude << shift) | kQuietF32, bits);
  } else if (layout.nanIsNegativeZero) {
    bits = select(code == layout.nan, kQuietF32, bits);
  } else if (layout.nan != layout.greatest) {
    bits = select(magnitude == (layout.nan & magnitudeMask), kQuietF32, bits);
  }
  return asReal(bits | sign, f32);
}

static Real truncateF32(Real x, FloatType type) {
  Bits bits = x.bits(), magnitude = bits & 0x7fffffff;
  auto pack = [&](Bits code) { return asReal(code.resized(x.b->getIntegerType(type.getWidth())), type); };
  if (isa<Float8E8M0FNUType>(type))
    return pack(truncateToExponent(bits));
  Layout layout(type);
  int64_t shift = 23 - layout.mantissa;
  Bits odd = (magnitude >> shift) & 1;
  Bits code = (magnitude + odd + ((int64_t(1) << (shift - 1)) - 1) - ((127 - layout.bias) << 23)) >> shift;
  if (layout.bias != 127) { // bf16 has the exponents of f32: its smallest and greatest numbers come out right.
    // Below the normal numbers: adding 2^23 units lets the adder round to whole units.
    Real rounder = x.constant(std::ldexp(1.0, 24 - int(layout.bias) - int(layout.mantissa)));
    Bits units = (asReal(magnitude, x.elementType()) + rounder).bits() - rounder.bits();
    code = select(magnitude < ((128 - layout.bias) << 23), units, code);
    code = select(code > layout.greatest, layout.overflow, code);
  }
  Bits sign = (bits >> 31) << (layout.width - 1);
  if (layout.nanIsNegativeZero)
    sign = select(code == 0, 0, sign);
  // As processors do, a NaN keeps the bits of its payload that fit.
  Bits nan = layout.hasInfinity ? ((magnitude & 0x7fffff) >> shift) | layout.nan : code.constant(layout.nan);
  return pack(select(magnitude > kInfinityF32, nan, code) | sign);
}

/// f64 to f32 so that rounding the result once more, to a type of at most 22 bits, gives what rounding x once gives: an
/// inexact result is made odd.
static Real narrowToOdd(Real x) {
  Real nearest = x.resized(x.b->getF32Type()), back = nearest.resized(x.elementType());
  Bits bits = nearest.bits();
  Truth inexact = back < x || back > x;
  Bits other = select(magnitude(back) > magnitude(x), bits - 1, bits + 1);
  return asReal(select(inexact && (bits & 1) == 0, other, bits), nearest.elementType());
}

namespace {
struct ExpandExtension : OpRewritePattern<arith::ExtFOp> {
  ExpandExtension(MLIRContext *context, bool hasHalf) : OpRewritePattern(context), hasHalf(hasHalf) {}
  LogicalResult matchAndRewrite(arith::ExtFOp op, PatternRewriter &rewriter) const override {
    Type from = getElementTypeOrSelf(op.getIn()), to = getElementTypeOrSelf(op.getType());
    if (!isSmallFloat(from))
      return rewriter.notifyMatchFailure(op, "expected a narrow float");
    bool native = hasHalf && from.isF16();
    if (native && to.isF32())
      return rewriter.notifyMatchFailure(op, "the target converts f16 to f32");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Real in{{&b, op.getIn()}};
    Real wide = native ? in.resized(b.getF32Type()) : extendToF32(in);
    rewriter.replaceOp(op, wide.resized(to).v);
    return success();
  }
  bool hasHalf;
};

struct ExpandTruncation : OpRewritePattern<arith::TruncFOp> {
  ExpandTruncation(MLIRContext *context, bool hasHalf, bool hasBrain)
      : OpRewritePattern(context), hasHalf(hasHalf), hasBrain(hasBrain) {}
  LogicalResult matchAndRewrite(arith::TruncFOp op, PatternRewriter &rewriter) const override {
    Type from = getElementTypeOrSelf(op.getIn()), to = getElementTypeOrSelf(op.getType());
    if (!isSmallFloat(to))
      return rewriter.notifyMatchFailure(op, "expected a narrow float");
    if (op.getRoundingmode().value_or(arith::RoundingMode::to_nearest_even) != arith::RoundingMode::to_nearest_even)
      return rewriter.notifyMatchFailure(op, "expected rounding to nearest even");
    bool native = (hasHalf && to.isF16()) || (hasBrain && to.isBF16());
    if (native && from.isF32())
      return rewriter.notifyMatchFailure(op, "the target converts f32 to it");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Real in{{&b, op.getIn()}};
    if (from.isF64())
      in = narrowToOdd(in);
    else if (!from.isF32())
      in = in.resized(b.getF32Type());
    rewriter.replaceOp(op, (native ? in.resized(to) : truncateF32(in, cast<FloatType>(to))).v);
    return success();
  }
  bool hasHalf, hasBrain;
};

/// Integers reach narrow floats through f64, which holds those up to 2^53: one rounding.
template <typename Op> struct ExpandFromInteger : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    if (!isSmallFloat(op.getType()))
      return rewriter.notifyMatchFailure(op, "expected a narrow float");
    Value wide = Op::create(rewriter, op.getLoc(), withElement(op.getType(), rewriter.getF64Type()), op.getIn());
    rewriter.replaceOpWithNewOp<arith::TruncFOp>(op, op.getType(), wide);
    return success();
  }
};

/// Any other operation on narrow floats:  op(x)  =>  truncf(op(extf x))
struct ComputeInF32 : RewritePattern {
  explicit ComputeInF32(MLIRContext *context) : RewritePattern(MatchAnyOpTypeTag(), /*benefit=*/0, context) {}
  LogicalResult matchAndRewrite(Operation *op, PatternRewriter &rewriter) const override {
    bool computes = isa<arith::ArithDialect, math::MathDialect>(op->getDialect()) &&
                    !isa<arith::ConstantOp, arith::BitcastOp, arith::ExtFOp, arith::TruncFOp, arith::SIToFPOp,
                         arith::UIToFPOp, arith::SelectOp, math::FmaOp>(op);
    if (!computes ||
        (llvm::none_of(op->getOperandTypes(), isSmallFloat) && llvm::none_of(op->getResultTypes(), isSmallFloat)))
      return rewriter.notifyMatchFailure(op, "expected an operation on narrow floats");
    Type f32 = rewriter.getF32Type();
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(
          isSmallFloat(operand.getType())
              ? arith::ExtFOp::create(rewriter, op->getLoc(), withElement(operand.getType(), f32), operand)
              : operand);
    SmallVector<Type> types;
    for (Type type : op->getResultTypes())
      types.push_back(isSmallFloat(type) ? withElement(type, f32) : type);
    Operation *wide = rewriter.create(op->getLoc(), op->getName().getIdentifier(), operands, types, op->getAttrs());
    SmallVector<Value> results;
    for (auto [result, type] : llvm::zip(wide->getResults(), op->getResultTypes()))
      results.push_back(result.getType() == type ? Value(result)
                                                 : arith::TruncFOp::create(rewriter, op->getLoc(), type, result));
    rewriter.replaceOp(op, results);
    return success();
  }
};
} // namespace

void qlow::populateSmallFloatExpansions(RewritePatternSet &patterns, bool hasHalf, bool hasBrain) {
  patterns.add<ExpandExtension>(patterns.getContext(), hasHalf);
  patterns.add<ExpandTruncation>(patterns.getContext(), hasHalf, hasBrain);
  patterns.add<ExpandFromInteger<arith::SIToFPOp>, ExpandFromInteger<arith::UIToFPOp>, ComputeInF32>(
      patterns.getContext());
}
