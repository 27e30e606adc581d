//===- ScalarOps.cpp - arith and math on single numbers ---------------------===//
//
// Floats of every width are computed in f64 and rounded once to their type: for + - * / and sqrt that is the correctly
// rounded result, since f64 has more than twice the digits; other functions come from libm in f64. Integers wrap. Where
// MLIR leaves a result undefined the law says so and this file picks one, except division by zero, which is an error.
//
//===----------------------------------------------------------------------===//

#include "Evaluator.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>

using namespace mlir;
using namespace qlow;
using namespace qlow::reference;

static Type resultElement(Operation *op) { return getElementTypeOrSelf(op->getResultTypes().front()); }
static Type operandElement(Operation *op) { return getElementTypeOrSelf(op->getOperandTypes().front()); }

//===----------------------------------------------------------------------===//
// Shapes of rules
//===----------------------------------------------------------------------===//

/// f on sign-extended integers, the result wrapped.
template <auto f> static LogicalResult integer(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  out[0].i = wrapTo(resultElement(op), f(in[0].i, in[1].i));
  return success();
}
/// f on zero-extended integers, the result wrapped.
template <auto f> static LogicalResult natural(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  Type type = resultElement(op);
  out[0].i = wrapTo(type, int64_t(f(unsignedOf(type, in[0].i), unsignedOf(type, in[1].i))));
  return success();
}
template <auto rule> static LogicalResult nonzero(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  if (in[1].i == 0)
    return op->emitError() << "divides by zero";
  return rule(op, in, out);
}
/// f in f64, rounded once to the result's type.
template <auto f> static LogicalResult unary(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  out[0].f = roundTo(resultElement(op), f(in[0].f));
  return success();
}
template <auto f> static LogicalResult binary(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  out[0].f = roundTo(resultElement(op), f(in[0].f, in[1].f));
  return success();
}

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

// Wrapping arithmetic is unsigned in C++.
static int64_t add(int64_t a, int64_t b) { return int64_t(uint64_t(a) + uint64_t(b)); }
static int64_t sub(int64_t a, int64_t b) { return int64_t(uint64_t(a) - uint64_t(b)); }
static int64_t mul(int64_t a, int64_t b) { return int64_t(uint64_t(a) * uint64_t(b)); }
// The least i64 divided by -1 wraps.
static int64_t divide(int64_t a, int64_t b) { return b == -1 ? sub(0, a) : a / b; }
static int64_t modulo(int64_t a, int64_t b) { return b == -1 ? 0 : a % b; }
static int64_t floorDivide(int64_t a, int64_t b) {
  int64_t q = divide(a, b);
  return modulo(a, b) != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}
static int64_t ceilDivide(int64_t a, int64_t b) {
  int64_t q = divide(a, b);
  return modulo(a, b) != 0 && (a < 0) == (b < 0) ? q + 1 : q;
}
static uint64_t divideUnsigned(uint64_t a, uint64_t b) { return a / b; }
static uint64_t moduloUnsigned(uint64_t a, uint64_t b) { return a % b; }
static uint64_t ceilDivideUnsigned(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }
static int64_t andBits(int64_t a, int64_t b) { return a & b; }
static int64_t orBits(int64_t a, int64_t b) { return a | b; }
static int64_t xorBits(int64_t a, int64_t b) { return a ^ b; }
static int64_t maxSigned(int64_t a, int64_t b) { return std::max(a, b); }
static int64_t minSigned(int64_t a, int64_t b) { return std::min(a, b); }
static uint64_t maxUnsigned(uint64_t a, uint64_t b) { return std::max(a, b); }
static uint64_t minUnsigned(uint64_t a, uint64_t b) { return std::min(a, b); }
// Shifts by the width or more are undefined in MLIR; here they shift everything out.
static uint64_t shiftLeft(uint64_t a, uint64_t by) { return by < 64 ? a << by : 0; }
static uint64_t shiftRight(uint64_t a, uint64_t by) { return by < 64 ? a >> by : 0; }
static int64_t shiftRightSigned(int64_t a, int64_t by) { return a >> (by < 0 || by > 63 ? 63 : by); }

static LogicalResult addExtended(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  Type type = resultElement(op);
  out[0].i = wrapTo(type, add(in[0].i, in[1].i));
  out[1].i = unsignedOf(type, out[0].i) < unsignedOf(type, in[0].i) ? -1 : 0;
  return success();
}

template <bool isSigned>
static LogicalResult multiplyExtended(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  Type type = resultElement(op);
  unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
  __int128 a = isSigned ? __int128(in[0].i) : __int128(unsignedOf(type, in[0].i));
  __int128 b = isSigned ? __int128(in[1].i) : __int128(unsignedOf(type, in[1].i));
  auto product = (unsigned __int128)a * (unsigned __int128)b;
  out[0].i = wrapTo(type, int64_t(product));
  out[1].i = wrapTo(type, int64_t(product >> width));
  return success();
}

static LogicalResult compareIntegers(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  Type type = operandElement(op);
  uint64_t x = unsignedOf(type, in[0].i), y = unsignedOf(type, in[1].i);
  auto holds = [&](arith::CmpIPredicate predicate) {
    switch (predicate) {
    case arith::CmpIPredicate::eq:
      return x == y;
    case arith::CmpIPredicate::ne:
      return x != y;
    case arith::CmpIPredicate::slt:
      return in[0].i < in[1].i;
    case arith::CmpIPredicate::sle:
      return in[0].i <= in[1].i;
    case arith::CmpIPredicate::sgt:
      return in[0].i > in[1].i;
    case arith::CmpIPredicate::sge:
      return in[0].i >= in[1].i;
    case arith::CmpIPredicate::ult:
      return x < y;
    case arith::CmpIPredicate::ule:
      return x <= y;
    case arith::CmpIPredicate::ugt:
      return x > y;
    case arith::CmpIPredicate::uge:
      return x >= y;
    }
    llvm_unreachable("not a predicate");
  };
  out[0].i = holds(cast<arith::CmpIOp>(op).getPredicate()) ? -1 : 0;
  return success();
}

static LogicalResult select(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  out[0] = in[0].i ? in[1] : in[2];
  return success();
}

static LogicalResult absoluteInteger(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  out[0].i = wrapTo(resultElement(op), in[0].i < 0 ? sub(0, in[0].i) : in[0].i);
  return success();
}

/// f on the zero-extended bits and their number.
template <auto f> static LogicalResult countBits(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  Type type = resultElement(op);
  out[0].i = wrapTo(type, f(unsignedOf(type, in[0].i), int(type.isIndex() ? 64 : type.getIntOrFloatBitWidth())));
  return success();
}
static int64_t leadingZeros(uint64_t bits, int width) { return llvm::countl_zero(bits) - (64 - width); }
static int64_t trailingZeros(uint64_t bits, int width) { return std::min(llvm::countr_zero(bits), width); }
static int64_t population(uint64_t bits, int) { return llvm::popcount(bits); }

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

static LogicalResult extendSigned(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  out[0].i = wrapTo(resultElement(op), in[0].i);
  return success();
}
static LogicalResult extendUnsigned(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  out[0].i = wrapTo(resultElement(op), int64_t(unsignedOf(operandElement(op), in[0].i)));
  return success();
}
static LogicalResult convertFloat(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  out[0].f = roundTo(resultElement(op), in[0].f);
  return success();
}

/// Rounds once, also where 64 bits do not fit f64.
template <bool isSigned> static LogicalResult toFloat(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  uint64_t bits = isSigned ? uint64_t(in[0].i) : unsignedOf(operandElement(op), in[0].i);
  llvm::APFloat value(cast<FloatType>(resultElement(op)).getFloatSemantics());
  value.convertFromAPInt(llvm::APInt(64, bits), isSigned, llvm::APFloat::rmNearestTiesToEven);
  bool losesInfo;
  value.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven, &losesInfo);
  out[0].f = value.convertToDouble();
  return success();
}

/// Toward zero. What does not fit is undefined in MLIR; here it saturates, NaN gives 0.
template <bool isSigned>
static LogicalResult toInteger(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  Type type = resultElement(op);
  llvm::APSInt value(type.getIntOrFloatBitWidth(), /*isUnsigned=*/!isSigned);
  bool isExact;
  llvm::APFloat(in[0].f).convertToInteger(value, llvm::APFloat::rmTowardZero, &isExact);
  out[0].i = wrapTo(type, isSigned ? value.getSExtValue() : int64_t(value.getZExtValue()));
  return success();
}

static LogicalResult bitcast(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  Array bits(ArrayRef<int64_t>(), *getElement(operandElement(op)));
  store(bits, 0, in[0]);
  bits.element = *getElement(resultElement(op));
  out[0] = load(bits, 0);
  return success();
}

//===----------------------------------------------------------------------===//
// Floats
//===----------------------------------------------------------------------===//

static double addFloat(double a, double b) { return a + b; }
static double subFloat(double a, double b) { return a - b; }
static double mulFloat(double a, double b) { return a * b; }
static double divFloat(double a, double b) { return a / b; }
static double remFloat(double a, double b) { return std::fmod(a, b); }
static double negate(double a) { return -a; }
/// Of zeros of both signs the positive one; NaN if either is.
static double maximum(double a, double b) {
  if (std::isnan(a) || std::isnan(b))
    return std::nan("");
  return a == b ? (std::signbit(a) ? b : a) : std::max(a, b);
}
static double minimum(double a, double b) {
  if (std::isnan(a) || std::isnan(b))
    return std::nan("");
  return a == b ? (std::signbit(a) ? a : b) : std::min(a, b);
}
/// NaN only if both are.
static double maxNumber(double a, double b) { return std::isnan(a) ? b : std::isnan(b) ? a : maximum(a, b); }
static double minNumber(double a, double b) { return std::isnan(a) ? b : std::isnan(b) ? a : minimum(a, b); }
static double absolute(double a) { return std::fabs(a); }
static double copySign(double a, double b) { return std::copysign(a, b); }
static double reciprocalRoot(double a) { return 1.0 / std::sqrt(a); }

static LogicalResult compareFloats(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  using P = arith::CmpFPredicate;
  double a = in[0].f, b = in[1].f;
  bool unordered = std::isnan(a) || std::isnan(b);
  auto holds = [&](P predicate) {
    switch (predicate) {
    case P::AlwaysFalse:
      return false;
    case P::OEQ:
    case P::UEQ:
      return a == b;
    case P::OGT:
    case P::UGT:
      return a > b;
    case P::OGE:
    case P::UGE:
      return a >= b;
    case P::OLT:
    case P::ULT:
      return a < b;
    case P::OLE:
    case P::ULE:
      return a <= b;
    case P::ONE:
    case P::UNE:
      return a != b;
    case P::ORD:
      return true;
    case P::UNO:
      return false;
    case P::AlwaysTrue:
      return true;
    }
    llvm_unreachable("not a predicate");
  };
  P predicate = cast<arith::CmpFOp>(op).getPredicate();
  bool ofUnordered = predicate >= P::UEQ; // The unordered half of the enumeration, and AlwaysTrue.
  out[0].i = (unordered ? ofUnordered : holds(predicate)) ? -1 : 0;
  return success();
}

/// In f32 where the type is not f64, then rounded to it.
static LogicalResult fusedMultiplyAdd(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  Type type = resultElement(op);
  out[0].f = type.isF64() ? std::fma(in[0].f, in[1].f, in[2].f)
                          : roundTo(type, std::fma(float(in[0].f), float(in[1].f), float(in[2].f)));
  return success();
}

//===----------------------------------------------------------------------===//
// The tables
//===----------------------------------------------------------------------===//

static LogicalResult runConstant(Evaluator &evaluator, arith::ConstantOp op, Frame &frame) {
  Attribute value = op.getValue();
  if (auto number = dyn_cast<IntegerAttr>(value)) {
    frame.bind(op.getResult(), Scalar{number.getValue().getSExtValue()});
  } else if (auto number = dyn_cast<FloatAttr>(value)) {
    frame.bind(op.getResult(), Scalar{0, number.getValueAsDouble()});
  } else {
    auto elements = dyn_cast<ElementsAttr>(value);
    if (!elements)
      return op.emitError() << "expected a number or a tensor of numbers";
    // A splat of any size is a few letters of text.
    if (failed(checkShape(op, elements.getShapedType().getShape())))
      return failure();
    llvm::Expected<Array> array = toArray(elements);
    if (!array)
      return op.emitError() << llvm::toString(array.takeError());
    frame.bind(op.getResult(), Tensor(std::move(*array)));
  }
  return success();
}

void reference::addArithRules(Evaluator &evaluator) {
  evaluator.add<arith::ConstantOp, runConstant>();
  evaluator.addScalar<arith::AddIOp>(integer<add>);
  evaluator.addScalar<arith::SubIOp>(integer<sub>);
  evaluator.addScalar<arith::MulIOp>(integer<mul>);
  evaluator.addScalar<arith::DivSIOp>(nonzero<integer<divide>>);
  evaluator.addScalar<arith::RemSIOp>(nonzero<integer<modulo>>);
  evaluator.addScalar<arith::FloorDivSIOp>(nonzero<integer<floorDivide>>);
  evaluator.addScalar<arith::CeilDivSIOp>(nonzero<integer<ceilDivide>>);
  evaluator.addScalar<arith::DivUIOp>(nonzero<natural<divideUnsigned>>);
  evaluator.addScalar<arith::RemUIOp>(nonzero<natural<moduloUnsigned>>);
  evaluator.addScalar<arith::CeilDivUIOp>(nonzero<natural<ceilDivideUnsigned>>);
  evaluator.addScalar<arith::AndIOp>(integer<andBits>);
  evaluator.addScalar<arith::OrIOp>(integer<orBits>);
  evaluator.addScalar<arith::XOrIOp>(integer<xorBits>);
  evaluator.addScalar<arith::MaxSIOp>(integer<maxSigned>);
  evaluator.addScalar<arith::MinSIOp>(integer<minSigned>);
  evaluator.addScalar<arith::MaxUIOp>(natural<maxUnsigned>);
  evaluator.addScalar<arith::MinUIOp>(natural<minUnsigned>);
  evaluator.addScalar<arith::ShLIOp>(natural<shiftLeft>);
  evaluator.addScalar<arith::ShRUIOp>(natural<shiftRight>);
  evaluator.addScalar<arith::ShRSIOp>(integer<shiftRightSigned>);
  evaluator.addScalar<arith::AddUIExtendedOp>(addExtended);
  evaluator.addScalar<arith::MulSIExtendedOp>(multiplyExtended<true>);
  evaluator.addScalar<arith::MulUIExtendedOp>(multiplyExtended<false>);
  evaluator.addScalar<arith::CmpIOp>(compareIntegers);
  evaluator.addScalar<arith::SelectOp>(select);
  evaluator.addScalar<arith::ExtSIOp, arith::TruncIOp, arith::IndexCastOp>(extendSigned);
  evaluator.addScalar<arith::ExtUIOp, arith::IndexCastUIOp>(extendUnsigned);
  evaluator.addScalar<arith::ExtFOp, arith::TruncFOp>(convertFloat);
  evaluator.addScalar<arith::SIToFPOp>(toFloat<true>);
  evaluator.addScalar<arith::UIToFPOp>(toFloat<false>);
  evaluator.addScalar<arith::FPToSIOp>(toInteger<true>);
  evaluator.addScalar<arith::FPToUIOp>(toInteger<false>);
  evaluator.addScalar<arith::BitcastOp>(bitcast);
  evaluator.addScalar<arith::AddFOp>(binary<addFloat>);
  evaluator.addScalar<arith::SubFOp>(binary<subFloat>);
  evaluator.addScalar<arith::MulFOp>(binary<mulFloat>);
  evaluator.addScalar<arith::DivFOp>(binary<divFloat>);
  evaluator.addScalar<arith::RemFOp>(binary<remFloat>);
  evaluator.addScalar<arith::NegFOp>(unary<negate>);
  evaluator.addScalar<arith::MaximumFOp>(binary<maximum>);
  evaluator.addScalar<arith::MinimumFOp>(binary<minimum>);
  evaluator.addScalar<arith::MaxNumFOp>(binary<maxNumber>);
  evaluator.addScalar<arith::MinNumFOp>(binary<minNumber>);
  evaluator.addScalar<arith::CmpFOp>(compareFloats);
}

/// A function of libm in f64.
template <double (*f)(double)>
static LogicalResult libm(Operation *op, ArrayRef<Scalar> in, MutableArrayRef<Scalar> out) {
  return unary<f>(op, in, out);
}

void reference::addMathRules(Evaluator &evaluator) {
  evaluator.addScalar<math::AbsFOp>(unary<absolute>);
  evaluator.addScalar<math::AtanOp>(libm<std::atan>);
  evaluator.addScalar<math::Atan2Op>(binary<static_cast<double (*)(double, double)>(std::atan2)>);
  evaluator.addScalar<math::CeilOp>(libm<std::ceil>);
  evaluator.addScalar<math::CopySignOp>(binary<copySign>);
  evaluator.addScalar<math::CosOp>(libm<std::cos>);
  evaluator.addScalar<math::CoshOp>(libm<std::cosh>);
  evaluator.addScalar<math::ErfOp>(libm<std::erf>);
  evaluator.addScalar<math::ExpOp>(libm<std::exp>);
  evaluator.addScalar<math::Exp2Op>(libm<std::exp2>);
  evaluator.addScalar<math::ExpM1Op>(libm<std::expm1>);
  evaluator.addScalar<math::FloorOp>(libm<std::floor>);
  evaluator.addScalar<math::FmaOp>(fusedMultiplyAdd);
  evaluator.addScalar<math::LogOp>(libm<std::log>);
  evaluator.addScalar<math::Log1pOp>(libm<std::log1p>);
  evaluator.addScalar<math::Log2Op>(libm<std::log2>);
  evaluator.addScalar<math::PowFOp>(binary<static_cast<double (*)(double, double)>(std::pow)>);
  evaluator.addScalar<math::RoundOp>(libm<std::round>);
  evaluator.addScalar<math::RoundEvenOp>(unary<roundHalfToEven>);
  evaluator.addScalar<math::RsqrtOp>(unary<reciprocalRoot>);
  evaluator.addScalar<math::SinOp>(libm<std::sin>);
  evaluator.addScalar<math::SinhOp>(libm<std::sinh>);
  evaluator.addScalar<math::SqrtOp>(libm<std::sqrt>);
  evaluator.addScalar<math::TanOp>(libm<std::tan>);
  evaluator.addScalar<math::TanhOp>(libm<std::tanh>);
  evaluator.addScalar<math::TruncOp>(libm<std::trunc>);
  evaluator.addScalar<math::AbsIOp>(absoluteInteger);
  evaluator.addScalar<math::CountLeadingZerosOp>(countBits<leadingZeros>);
  evaluator.addScalar<math::CountTrailingZerosOp>(countBits<trailingZeros>);
  evaluator.addScalar<math::CtPopOp>(countBits<population>);
}
