//===- MathFunctions.cpp - exp, log, sin, ... as arithmetic ---------------===//
//
// Functions of the math dialect on f32 and narrower floats, computed in f64 by additions, multiplications and divisions
// alone: no fused operation, no table, no library. The error before the one rounding to the result's type is below
// 2^-40 of the result (2^-29 for sin, cos and tan of arguments next to multiples of pi/2), so nearly every result is
// the correctly rounded one, and every target gives the same bits. f64 functions are not here.
//
//===----------------------------------------------------------------------===//

#include "MathExpansions.h"

#include <numbers>

using namespace mlir;
using namespace qlow;

static constexpr double kInfinity = std::numeric_limits<double>::infinity();
static constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
static constexpr double kPi = std::numbers::pi;
/// Added to |x| < 2^51 it leaves x rounded to nearest even in the lowest bits.
static constexpr double kRounder = 0x1.8p52;

// The functions have the names of C's, which they must not overload.
namespace formula {

/// x in [-limit, limit]; NaN stays.
static Real clamp(Real x, double limit) {
  x = select(x > limit, limit, x);
  return select(x < -limit, -limit, x);
}
/// An integer of small magnitude as a float.
static Real toReal(Bits n, Type f64) { return asReal(n + std::bit_cast<int64_t>(kRounder), f64) - kRounder; }

//===----------------------------------------------------------------------===//
// Exponentials
//===----------------------------------------------------------------------===//

/// 1/1!, 1/2!, ... : (e^r - 1) / r for |r| <= ln(2)/2 to 2^-47.
static constexpr double kExpM1[] = {1.0,        1.0 / 2,     1.0 / 6,      1.0 / 24,      1.0 / 120,     1.0 / 720,
                                    1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800};

namespace {
/// e^x = 2^n * (1 + m)
struct Power {
  Real scale, m;
};
} // namespace

static Power powerOfE(Real x) {
  // ln(2) in two parts, the first with room for 12 bits of n.
  constexpr double kLn2High = 0x1.62e42fefa2p-1, kLn2Low = 0x1.9ef35793c7673p-41;
  Real sum = x * std::numbers::log2e + kRounder, n = sum - kRounder;
  Real r = (x - n * kLn2High) - n * kLn2Low;
  return {asReal((sum.bits() << 52) + std::bit_cast<int64_t>(1.0), x.elementType()), r * polynomial(r, kExpM1)};
}
// Beyond these arguments the result rounds to 0 or infinity in f32, while it stays a normal f64 here.
static Real exp(Real x) {
  Power power = powerOfE(clamp(x, 160));
  return power.scale + power.scale * power.m;
}
static Real expM1(Real x) {
  Power power = powerOfE(clamp(x, 160));
  return select(x == 0, x, power.scale * power.m + (power.scale - 1));
}
static Real exp2(Real x) {
  x = clamp(x, 240);
  Real sum = x + kRounder, r = (x - (sum - kRounder)) * std::numbers::ln2;
  Real scale = asReal((sum.bits() << 52) + std::bit_cast<int64_t>(1.0), x.elementType());
  return scale + scale * (r * polynomial(r, kExpM1));
}

static Real tanh(Real x) {
  Real t = expM1(magnitude(x) * 2.0);
  return timesSignOf(t / (t + 2), x);
}
static Real sinh(Real x) {
  Real t = expM1(magnitude(x));
  return timesSignOf((t + t / (t + 1)) * 0.5, x);
}
static Real cosh(Real x) {
  Real e = exp(magnitude(x));
  return (e + 1.0 / e) * 0.5;
}

//===----------------------------------------------------------------------===//
// Logarithms
//===----------------------------------------------------------------------===//

namespace {
/// x = 2^e * m, m in [sqrt(1/2), sqrt(2))
struct Scaled {
  Real e, m;
};
} // namespace

static Scaled scaled(Real x) {
  Bits bits = x.bits();
  Bits e = (bits - std::bit_cast<int64_t>(std::numbers::sqrt2 / 2)).shiftedRightSigned(52);
  return {toReal(e, x.elementType()), asReal(bits - (e << 52), x.elementType())};
}
/// ln((1 + s) / (1 - s)) = 2 (s + s^3/3 + s^5/5 + ...), |s| <= 3 - 2 sqrt(2)
static Real logOfRatio(Real s) {
  static constexpr double kSeries[] = {2.0,      2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,
                                       2.0 / 11, 2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19};
  return s * polynomial(s * s, kSeries);
}
/// `regular` for finite x > 0; -infinity, NaN, NaN and infinity for 0, x < 0, NaN and infinity.
static Real logDomain(Real x, Real regular) {
  Real special = select(x == 0, -kInfinity, select(x < 0, kNaN, x));
  return select(x > 0 && x < kInfinity, regular, special);
}

static Real log(Real x) {
  auto [e, m] = scaled(x);
  return logDomain(x, e * std::numbers::ln2 + logOfRatio((m - 1) / (m + 1)));
}
static Real log2(Real x) {
  auto [e, m] = scaled(x);
  return logDomain(x, e + logOfRatio((m - 1) / (m + 1)) * std::numbers::log2e);
}
static Real log1p(Real x) {
  // Next to 0, 1 + x would lose digits of x.
  Truth near = x > -0.29 && x < 0.41;
  auto [e, m] = scaled(x + 1);
  Real s = select(near, x, m - 1) / select(near, x + 2, m + 1);
  Real regular = select(near, 0.0, e * std::numbers::ln2) + logOfRatio(s);
  return select(x == 0, x, logDomain(x + 1, regular));
}

/// C's pow: 1 where x is 1 or y is 0; NaN for finite x < 0 and y no integer.
static Real pow(Real x, Real y) {
  Real result = exp2(y * log2(magnitude(x)));
  result = select(magnitude(x) == 1, 1.0, result);
  auto isInteger = [](Real v) {
    // From 2^52 on every f64 is one.
    Real a = magnitude(v);
    return (a + 0x1p52) - 0x1p52 == a || a > 0x1p52;
  };
  Truth integer = isInteger(y), odd = integer && !isInteger(y * 0.5);
  result = select(odd, timesSignOf(result, x), result);
  result = select(x < 0 && x > -kInfinity && !integer, kNaN, result);
  result = select(x != x || y != y, x + y, result);
  return select(x == 1 || y == 0, 1.0, result);
}

//===----------------------------------------------------------------------===//
// Angles
//===----------------------------------------------------------------------===//

namespace {
/// |x| = n * pi/2 + r, |r| <= pi/4; n modulo 4
struct Reduced {
  Bits n;
  Real r;
};
} // namespace

/// pi/2 in three parts, the first two with room for 20 bits of n (W. J. Cody, W. Waite: Software Manual for the
/// Elementary Functions, 1980).
static Reduced reduceSmall(Real x) {
  Real sum = x * (2 / kPi) + kRounder, n = sum - kRounder;
  return {sum.bits(), ((x - n * 0x1.921fb544p+0) - n * 0x1.0b4611a6p-34) - n * 0x1.3198a2e037073p-69};
}

/// For f32 magnitudes from 1 on: multiplies by the 96 bits of 2/pi that matter (M. Payne, R. Hanek: Radian Reduction
/// for Trigonometric Functions, 1983). x = m * 2^(e - 32), m of 32 bits; the product has 2 bits before the point.
static Reduced reduceLarge(Real x) {
  static constexpr int64_t kTwoOverPi[] = {0x28be60db, 0x9391054a, 0x7f09d5f4, 0x7d4d3770,
                                           0x36d8a566, 0x4f10e410, 0x7f9458ea}; // 2/pi * 2^(32 i + 30), in words
  constexpr int64_t kWord = 0xffffffff;
  Bits bits = x.bits();
  Bits m = ((bits >> 21) & 0x7fffffff) | 0x80000000;
  Bits e = (bits >> 52) - 1022;
  Bits word = e >> 5, shift = e & 31;
  auto at = [&](int64_t offset) {
    Bits result = word.constant(offset < 0 ? 0 : kTwoOverPi[offset]);
    for (int64_t i = 1; i <= 4; ++i)
      result = select(word == i, kTwoOverPi[i + offset], result);
    return result;
  };
  Bits words[] = {at(-1), at(0), at(1), at(2)};
  auto window = [&](unsigned i) {
    return ((words[i] << shift) | (words[i + 1] >> (shift.constant(32) - shift))) & kWord;
  };
  Bits product = m * window(1) + ((m * window(2)) >> 32) + ((m * window(0)) << 32);
  // Round the quotient to nearest: what is left is signed.
  Bits n = (product + (int64_t(1) << 61)) >> 62;
  Bits left = product - (n << 62);
  Type f64 = x.elementType();
  Real r{{x.b, arith::SIToFPOp::create(*x.b, withElement(x.v.getType(), f64), left.v)}};
  return {n, r * (kPi / 2 * 0x1p-62)};
}

static Reduced reduce(Real x) {
  Real a = magnitude(x);
  Truth large = a > 0x1p19;
  Reduced s = reduceSmall(a), l = reduceLarge(a);
  return {select(large, l.n, s.n) & 3, select(large, l.r, s.r)};
}

static Real sinNear0(Real r) {
  static constexpr double kSeries[] = {1.0,          -1.0 / 6,        1.0 / 120,        -1.0 / 5040,
                                       1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000};
  return r * polynomial(r * r, kSeries);
}
static Real cosNear0(Real r) {
  static constexpr double kSeries[] = {1.0,
                                       -1.0 / 2,
                                       1.0 / 24,
                                       -1.0 / 720,
                                       1.0 / 40320,
                                       -1.0 / 3628800,
                                       1.0 / 479001600,
                                       -1.0 / 87178291200,
                                       1.0 / 20922789888000};
  return polynomial(r * r, kSeries);
}
/// Negated where bit 1 of n is set.
static Real negatedBy(Bits n, Real x) { return asReal(x.bits() ^ ((n & 2) << 62), x.elementType()); }
static Real finite(Real x, Real result) { return select(magnitude(x) < kInfinity, result, kNaN); }

static Real sin(Real x) {
  auto [n, r] = reduce(x);
  Real result = negatedBy(n, select((n & 1) == 0, sinNear0(r), cosNear0(r)));
  return finite(x, timesSignOf(result, x));
}
static Real cos(Real x) {
  auto [n, r] = reduce(x);
  return finite(x, negatedBy(n + 1, select((n & 1) == 0, cosNear0(r), sinNear0(r))));
}
static Real tan(Real x) {
  auto [n, r] = reduce(x);
  Real s = sinNear0(r), c = cosNear0(r);
  Truth even = (n & 1) == 0;
  return finite(x, timesSignOf(select(even, s, -c) / select(even, c, s), x));
}

/// atan on [0, 1]: above tan(pi/12) by atan(z) = pi/6 + atan((sqrt(3) z - 1) / (z + sqrt(3))).
static Real atanTo1(Real z) {
  static constexpr double kSeries[] = {1.0,      -1.0 / 3,  1.0 / 5,  -1.0 / 7,  1.0 / 9,  -1.0 / 11,
                                       1.0 / 13, -1.0 / 15, 1.0 / 17, -1.0 / 19, 1.0 / 21, -1.0 / 23};
  Truth far = z > 2 - std::numbers::sqrt3;
  Real w = select(far, (z * std::numbers::sqrt3 - 1) / (z + std::numbers::sqrt3), z);
  return select(far, z.constant(kPi / 6), z.constant(0)) + w * polynomial(w * w, kSeries);
}
static Real atan(Real x) {
  Real a = magnitude(x);
  Truth above = a > 1;
  Real result = atanTo1(select(above, 1.0 / a, a));
  return timesSignOf(select(above, kPi / 2 - result, result), x);
}
static Real atan2(Real y, Real x) {
  Real ay = magnitude(y), ax = magnitude(x);
  Truth steep = ay > ax;
  Real low = select(steep, ax, ay), high = select(steep, ay, ax);
  Real ratio = select(low == high, select(high == 0, high, 1.0), low / high);
  Real result = atanTo1(ratio);
  result = select(steep, kPi / 2 - result, result);
  result = select((x.bits() >> 63) == 1, kPi - result, result);
  return select(x != x || y != y, x + y, timesSignOf(result, y));
}

//===----------------------------------------------------------------------===//
// Error function
//===----------------------------------------------------------------------===//

static Real erf(Real x) {
  // 2/sqrt(pi) * (-1)^k / (k! (2k + 1)) in x^2, to 2^-50 below 1.
  static const SmallVector<double> kNear = [] {
    SmallVector<double> series;
    double factor = 2 * std::numbers::inv_sqrtpi;
    for (int k = 0; k <= 16; factor /= -++k)
      series.push_back(factor / (2 * k + 1));
    return series;
  }();
  // Chebyshev fit of erf((3 u + 5) / 2) on |u| <= 1, error 2^-43; above 4 erf rounds to 1 in f32.
  static constexpr double kFar[] = {
      0.9995930479825696,     0.0032674263471918,      -0.012252848797187813,  0.02818155208310348,
      -0.043650773763213496,  0.04645361684619026,     -0.0318765533306681,    0.009267537838636052,
      0.006680705365690786,   -0.009621497420004493,   0.004543998703388711,   0.0004430442232438933,
      -0.0018265134663555092, 0.0009163922276506517,   5.2140191457216684e-05, -0.00028684053848391947,
      0.00011912418923489747, 2.4740225253646265e-05,  -3.675589306813757e-05, 4.700736873269396e-06,
      5.107022949163924e-06,  -1.0767531977771457e-06, -2.894385430647551e-07};
  Real a = magnitude(x), z = select(a > 4, 4.0, a);
  Real near = z * polynomial(z * z, kNear), far = polynomial((z - 2.5) * (2.0 / 3), kFar);
  return timesSignOf(select(z < 1, near, select(a > 4, 1.0, far)), x);
}

static Real inverseRoot(Real x) { return 1.0 / squareRoot(x); }

} // namespace formula

namespace {
template <typename Op, auto f> struct ExpandFunction : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const override {
    Type type = op.getType(), element = getElementTypeOrSelf(type), f64 = rewriter.getF64Type();
    if (element.getIntOrFloatBitWidth() > 32)
      return rewriter.notifyMatchFailure(op, "expected f32 or narrower");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    SmallVector<Real> in;
    for (Value operand : op->getOperands())
      in.push_back(Real{{&b, operand}}.resized(f64));
    Real result = [&] {
      if constexpr (std::is_invocable_v<decltype(f), Real, Real>)
        return f(in[0], in[1]);
      else
        return f(in[0]);
    }();
    rewriter.replaceOp(op, result.resized(element).v);
    return success();
  }
};
} // namespace

void qlow::populateFunctionExpansions(RewritePatternSet &patterns) {
  patterns.add<ExpandFunction<math::AtanOp, formula::atan>, ExpandFunction<math::Atan2Op, formula::atan2>,
               ExpandFunction<math::CosOp, formula::cos>, ExpandFunction<math::CoshOp, formula::cosh>,
               ExpandFunction<math::ErfOp, formula::erf>, ExpandFunction<math::ExpOp, formula::exp>,
               ExpandFunction<math::Exp2Op, formula::exp2>, ExpandFunction<math::ExpM1Op, formula::expM1>,
               ExpandFunction<math::LogOp, formula::log>, ExpandFunction<math::Log1pOp, formula::log1p>,
               ExpandFunction<math::Log2Op, formula::log2>, ExpandFunction<math::PowFOp, formula::pow>,
               ExpandFunction<math::RsqrtOp, formula::inverseRoot>, ExpandFunction<math::SinOp, formula::sin>,
               ExpandFunction<math::SinhOp, formula::sinh>, ExpandFunction<math::TanOp, formula::tan>,
               ExpandFunction<math::TanhOp, formula::tanh>>(patterns.getContext());
}
