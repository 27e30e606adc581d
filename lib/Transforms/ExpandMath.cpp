//===- ExpandMath.cpp - no library behind math and conversions ------------===//
//
// In: arith and math on scalars and vectors, after bufferization. Out: the same values by operations the target has in
// hardware. Results are the same on every target: what is expanded rounds exactly as the native operation does. Must
// not leave an operation that the back end would turn into a call, and must not set fast-math flags.
//
//===----------------------------------------------------------------------===//

#include "MathExpansions.h"
#include "qlow/Targets/Targets.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace qlow {
#define GEN_PASS_DEF_EXPANDMATH
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

//===----------------------------------------------------------------------===//
// Rounding
//===----------------------------------------------------------------------===//

/// |x| rounded to nearest even: adding 2^23 (f32), 2^52 (f64) leaves no bits below the point.
static Real roundedMagnitude(Real x) {
  double integers = x.elementType().isF64() ? 0x1p52 : 0x1p23;
  Real a = magnitude(x);
  return select(a < x.constant(integers), (a + integers) - integers, a);
}
static Real roundEven(Real x) { return withSignOf(roundedMagnitude(x), x); }
// The sign of x is the sign of its floor and ceil, also where these are zero.
static Real roundDown(Real x) {
  Real r = roundEven(x);
  return withSignOf(select(r > x, r - 1, r), x);
}
static Real roundUp(Real x) {
  Real r = roundEven(x);
  return withSignOf(select(r < x, r + 1, r), x);
}
static Real roundToZero(Real x) {
  Real a = magnitude(x), r = roundedMagnitude(x);
  return withSignOf(select(r > a, r - 1, r), x);
}
/// Half away from zero, by a truncation that may be native.
static Real roundAway(Real x) {
  Real a = magnitude(x), t{{x.b, math::TruncOp::create(*x.b, a.v)}};
  return withSignOf(select(a - t < 0.5, t, t + 1), x);
}

namespace {
template <typename Op, auto f> struct ExpandRounding : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    Type element = getElementTypeOrSelf(op.getType());
    if (!element.isF32() && !element.isF64())
      return rewriter.notifyMatchFailure(op, "expected f32 or f64");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    rewriter.replaceOp(op, f(Real{{&b, op.getOperand()}}).v);
    return success();
  }
};
} // namespace

void qlow::populateRoundingExpansions(RewritePatternSet &patterns, bool hasRound) {
  MLIRContext *context = patterns.getContext();
  patterns.add<ExpandRounding<math::RoundOp, roundAway>>(context);
  if (!hasRound)
    patterns.add<ExpandRounding<math::CeilOp, roundUp>, ExpandRounding<math::FloorOp, roundDown>,
                 ExpandRounding<math::RoundEvenOp, roundEven>, ExpandRounding<math::TruncOp, roundToZero>>(context);
}

//===----------------------------------------------------------------------===//
// Fused multiply-add, remainder, extremes
//===----------------------------------------------------------------------===//

/// x * y + z rounded once. The product of two f32 is exact in f64; the sum is not, so it is rounded to odd first: then
/// the second rounding can not meet a tie that is none (S. Boldo, G. Melquiond: Emulation of FMA, 2008).
static Real fusedMultiplyAdd(Real x, Real y, Real z) {
  Real p = x * y, sum = p + z;
  Real back = sum - p, error = (p - (sum - back)) + (z - back); // D. E. Knuth's TwoSum: p + z = sum + error
  Bits bits = sum.bits();
  Bits sameSign = (bits ^ error.bits()) >> 63;
  Bits other = select(sameSign == 0, bits + 1, bits - 1);
  Truth inexact = error < 0 || error > 0;
  return asReal(select(inexact && (bits & 1) == 0, other, bits), sum.elementType());
}

/// x - y * trunc(x / y), exactly: |x| = mx * 2^(ex - ey) units, |y| = my units of the same size, mx and my of 24 bits.
/// Exponents differ by at most 277 = 7 * 39 + 4.
static Real divisionRest(Real x, Real y) {
  auto mantissa = [](Real v) { return ((v.bits() >> 29) & 0x7fffff) | 0x800000; };
  auto exponent = [](Real v) { return (v.bits() >> 52) & 0x7ff; };
  Bits my = mantissa(y), rest = mantissa(x) % my;
  Bits left = select(magnitude(x) < magnitude(y), 0, exponent(x) - exponent(y));
  for (int i = 0; i < 8; ++i) {
    Bits step = select(left > 39, 39, left);
    rest = (rest << step) % my;
    left = left - step;
  }
  Type f64 = x.elementType();
  Real units{{x.b, arith::UIToFPOp::create(*x.b, withElement(x.v.getType(), f64), rest.v)}};
  Real unit = asReal((exponent(y) - 23) << 52, f64);
  Real result = select(magnitude(x) < magnitude(y), x, timesSignOf(units * unit, x));
  Real infinity = x.constant(std::numeric_limits<double>::infinity());
  Truth defined = magnitude(x) < infinity && magnitude(y) > 0 && y == y;
  return select(defined, result, std::numeric_limits<double>::quiet_NaN());
}

namespace {
struct ExpandFma : OpRewritePattern<math::FmaOp> {
  ExpandFma(MLIRContext *context, bool hasFma) : OpRewritePattern(context), hasFma(hasFma) {}
  LogicalResult matchAndRewrite(math::FmaOp op, PatternRewriter &rewriter) const override {
    Type element = getElementTypeOrSelf(op.getType()), f64 = rewriter.getF64Type();
    if (element.isF64() || (element.isF32() && hasFma))
      return rewriter.notifyMatchFailure(op, "expected a type without native fma that f64 can hold");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    auto wide = [&](Value v) { return Real{{&b, v}}.resized(f64); };
    rewriter.replaceOp(op, fusedMultiplyAdd(wide(op.getA()), wide(op.getB()), wide(op.getC())).resized(element).v);
    return success();
  }
  bool hasFma;
};

struct ExpandRemainder : OpRewritePattern<arith::RemFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::RemFOp op, PatternRewriter &rewriter) const override {
    Type element = getElementTypeOrSelf(op.getType()), f64 = rewriter.getF64Type();
    if (element.isF64())
      return rewriter.notifyMatchFailure(op, "expected f32 or narrower");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Real x = Real{{&b, op.getLhs()}}.resized(f64), y = Real{{&b, op.getRhs()}}.resized(f64);
    rewriter.replaceOp(op, divisionRest(x, y).resized(element).v);
    return success();
  }
};

/// Becomes the call of an intrinsic of LLVM's, which upstream's lowerings leave alone.
template <typename Op> struct CallIntrinsic : OpRewritePattern<Op> {
  CallIntrinsic(MLIRContext *context, StringRef name) : OpRewritePattern<Op>(context), name(name) {}
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    Type element = getElementTypeOrSelf(op.getType());
    if (!element.isF32() && !element.isF64())
      return rewriter.notifyMatchFailure(op, "expected f32 or f64, in which narrower floats are computed");
    rewriter.replaceOpWithNewOp<LLVM::CallIntrinsicOp>(op, op.getType(), rewriter.getStringAttr(name),
                                                       op->getOperands());
    return success();
  }
  StringRef name;
};
} // namespace

void qlow::populateArithmeticExpansions(RewritePatternSet &patterns, bool hasFma) {
  patterns.add<ExpandFma>(patterns.getContext(), hasFma);
  patterns.add<ExpandRemainder>(patterns.getContext());
  // Upstream makes these LLVM's maxnum and minnum, which may take either zero, and in kernels calls of a library.
  patterns.add<CallIntrinsic<arith::MaxNumFOp>>(patterns.getContext(), "llvm.maximumnum");
  patterns.add<CallIntrinsic<arith::MinNumFOp>>(patterns.getContext(), "llvm.minimumnum");
  arith::populateCeilFloorDivExpandOpsPatterns(patterns);
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

/// Upstream's lowering of kernels makes calls of a library of these, which no device has, and refuses LLVM's own
/// operations for them; the intrinsics are instructions there.
static void populateIntrinsicCalls(RewritePatternSet &patterns) {
  MLIRContext *context = patterns.getContext();
  patterns.add<CallIntrinsic<math::AbsFOp>>(context, "llvm.fabs");
  patterns.add<CallIntrinsic<math::CeilOp>>(context, "llvm.ceil");
  patterns.add<CallIntrinsic<math::CopySignOp>>(context, "llvm.copysign");
  patterns.add<CallIntrinsic<math::FloorOp>>(context, "llvm.floor");
  patterns.add<CallIntrinsic<math::RoundEvenOp>>(context, "llvm.roundeven");
  patterns.add<CallIntrinsic<math::SqrtOp>>(context, "llvm.sqrt");
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct ExpandMath : qlow::impl::ExpandMathBase<ExpandMath> {
  using ExpandMathBase::ExpandMathBase;
  void runOnOperation() override {
    FailureOr<std::shared_ptr<const Target>> found = findTarget(getOperation(), target);
    if (failed(found))
      return signalPassFailure();
    auto has = [&](FloatUnit unit) { return (*found)->family().hasNative(unit, (*found)->machine()); };
    RewritePatternSet patterns(&getContext());
    populateFunctionExpansions(patterns);
    populateRoundingExpansions(patterns, has(FloatUnit::Round));
    populateArithmeticExpansions(patterns, has(FloatUnit::Fma));
    populateSmallFloatExpansions(patterns, has(FloatUnit::Half), has(FloatUnit::Brain));
    if ((*found)->family().runsOnDevice())
      populateIntrinsicCalls(patterns);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      return signalPassFailure();
    WalkResult result = getOperation().walk([&](Operation *op) {
      return isNative(op, has(FloatUnit::Fma)) ? WalkResult::advance() : WalkResult::interrupt();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }

  /// Reports what is left and would become a call.
  bool isNative(Operation *op, bool hasFma) {
    bool native = true;
    if (isa<math::MathDialect>(op->getDialect()))
      native =
          isa<math::AbsFOp, math::CopySignOp, math::CeilOp, math::FloorOp, math::RoundEvenOp, math::TruncOp,
              math::SqrtOp, math::AbsIOp, math::CountLeadingZerosOp, math::CountTrailingZerosOp, math::CtPopOp>(op) ||
          (hasFma && isa<math::FmaOp>(op));
    else if (isa<vector::FMAOp>(op))
      native = hasFma;
    else if (isa<arith::RemFOp>(op))
      native = false;
    if (!native)
      op->emitOpError() << "on " << op->getResultTypes().front() << " has no expansion for target '" << target
                        << "'; expected f32, f16 or bf16";
    return native;
  }
};
} // namespace
