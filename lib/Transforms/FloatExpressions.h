//===- FloatExpressions.h - formulas as C++ expressions ----------*- C++ -*-===//
//
// Real, Bits and Truth stand for SSA values, scalars or vectors alike; their operators emit arith ops. With them an
// expansion reads like the formula it is. None of the ops carries a fast-math flag.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TRANSFORMS_FLOATEXPRESSIONS_H
#define QLOW_LIB_TRANSFORMS_FLOATEXPRESSIONS_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

namespace qlow {

/// `element`, or a vector of it where `like` is a vector.
inline mlir::Type withElement(mlir::Type like, mlir::Type element) {
  auto shaped = llvm::dyn_cast<mlir::ShapedType>(like);
  return shaped ? shaped.clone(element) : element;
}

inline mlir::Value emitSplat(mlir::ImplicitLocOpBuilder &b, mlir::Type type, mlir::TypedAttr element) {
  if (auto shaped = llvm::dyn_cast<mlir::ShapedType>(type))
    element = mlir::DenseElementsAttr::get(shaped, llvm::ArrayRef<mlir::Attribute>(element));
  return mlir::arith::ConstantOp::create(b, element);
}

struct Expression {
  mlir::ImplicitLocOpBuilder *b;
  mlir::Value v;
  mlir::Type elementType() const { return mlir::getElementTypeOrSelf(v.getType()); }
};

struct Truth : Expression {
  friend Truth operator&&(Truth x, Truth y) { return {{x.b, mlir::arith::AndIOp::create(*x.b, x.v, y.v)}}; }
  friend Truth operator||(Truth x, Truth y) { return {{x.b, mlir::arith::OrIOp::create(*x.b, x.v, y.v)}}; }
  Truth operator!() const {
    mlir::Value yes = emitSplat(*b, v.getType(), b->getBoolAttr(true));
    return {{b, mlir::arith::XOrIOp::create(*b, v, yes)}};
  }
};

/// An integer of any width; comparisons are unsigned, shifts logical.
struct Bits : Expression {
  Bits constant(int64_t value) const {
    return {{b, emitSplat(*b, v.getType(), b->getIntegerAttr(elementType(), value))}};
  }
  template <typename Op> Bits apply(Bits y) const { return {{b, Op::create(*b, v, y.v)}}; }
  Truth compare(mlir::arith::CmpIPredicate predicate, int64_t y) const { return compare(predicate, constant(y)); }
  Truth compare(mlir::arith::CmpIPredicate predicate, Bits y) const {
    return {{b, mlir::arith::CmpIOp::create(*b, predicate, v, y.v)}};
  }
  /// Zero-extended or cut.
  Bits resized(mlir::Type element) const {
    unsigned from = elementType().getIntOrFloatBitWidth(), to = element.getIntOrFloatBitWidth();
    mlir::Type type = withElement(v.getType(), element);
    if (from == to)
      return *this;
    if (from < to)
      return {{b, mlir::arith::ExtUIOp::create(*b, type, v)}};
    return {{b, mlir::arith::TruncIOp::create(*b, type, v)}};
  }
  Bits shiftedRightSigned(int64_t by) const { return apply<mlir::arith::ShRSIOp>(constant(by)); }
  friend Bits operator+(Bits x, Bits y) { return x.apply<mlir::arith::AddIOp>(y); }
  friend Bits operator-(Bits x, Bits y) { return x.apply<mlir::arith::SubIOp>(y); }
  friend Bits operator*(Bits x, Bits y) { return x.apply<mlir::arith::MulIOp>(y); }
  friend Bits operator%(Bits x, Bits y) { return x.apply<mlir::arith::RemUIOp>(y); }
  friend Bits operator&(Bits x, Bits y) { return x.apply<mlir::arith::AndIOp>(y); }
  friend Bits operator|(Bits x, Bits y) { return x.apply<mlir::arith::OrIOp>(y); }
  friend Bits operator^(Bits x, Bits y) { return x.apply<mlir::arith::XOrIOp>(y); }
  friend Bits operator<<(Bits x, Bits y) { return x.apply<mlir::arith::ShLIOp>(y); }
  friend Bits operator>>(Bits x, Bits y) { return x.apply<mlir::arith::ShRUIOp>(y); }
  friend Bits operator+(Bits x, int64_t y) { return x + x.constant(y); }
  friend Bits operator-(Bits x, int64_t y) { return x - x.constant(y); }
  friend Bits operator&(Bits x, int64_t y) { return x & x.constant(y); }
  friend Bits operator|(Bits x, int64_t y) { return x | x.constant(y); }
  friend Bits operator<<(Bits x, int64_t y) { return x << x.constant(y); }
  friend Bits operator>>(Bits x, int64_t y) { return x >> x.constant(y); }
  friend Truth operator==(Bits x, int64_t y) { return x.compare(mlir::arith::CmpIPredicate::eq, y); }
  friend Truth operator!=(Bits x, int64_t y) { return x.compare(mlir::arith::CmpIPredicate::ne, y); }
  friend Truth operator<(Bits x, int64_t y) { return x.compare(mlir::arith::CmpIPredicate::ult, y); }
  friend Truth operator>(Bits x, int64_t y) { return x.compare(mlir::arith::CmpIPredicate::ugt, y); }
};

/// A float of any width; comparisons are false for NaN, but != is true.
struct Real : Expression {
  Real constant(double value) const { return {{b, emitSplat(*b, v.getType(), b->getFloatAttr(elementType(), value))}}; }
  template <typename Op> Real apply(Real y) const { return {{b, Op::create(*b, v, y.v)}}; }
  Truth compare(mlir::arith::CmpFPredicate predicate, Real y) const {
    return {{b, mlir::arith::CmpFOp::create(*b, predicate, v, y.v)}};
  }
  Bits bits() const {
    mlir::Type integer = b->getIntegerType(elementType().getIntOrFloatBitWidth());
    return {{b, mlir::arith::BitcastOp::create(*b, withElement(v.getType(), integer), v)}};
  }
  /// Converted to another width, rounded to nearest even.
  Real resized(mlir::Type element) const {
    unsigned from = elementType().getIntOrFloatBitWidth(), to = element.getIntOrFloatBitWidth();
    mlir::Type type = withElement(v.getType(), element);
    if (elementType() == element)
      return *this;
    if (from < to)
      return {{b, mlir::arith::ExtFOp::create(*b, type, v)}};
    return {{b, mlir::arith::TruncFOp::create(*b, type, v)}};
  }
  friend Real operator+(Real x, Real y) { return x.apply<mlir::arith::AddFOp>(y); }
  friend Real operator-(Real x, Real y) { return x.apply<mlir::arith::SubFOp>(y); }
  friend Real operator*(Real x, Real y) { return x.apply<mlir::arith::MulFOp>(y); }
  friend Real operator/(Real x, Real y) { return x.apply<mlir::arith::DivFOp>(y); }
  friend Real operator+(Real x, double y) { return x + x.constant(y); }
  friend Real operator-(Real x, double y) { return x - x.constant(y); }
  friend Real operator*(Real x, double y) { return x * x.constant(y); }
  friend Real operator-(double x, Real y) { return y.constant(x) - y; }
  friend Real operator/(double x, Real y) { return y.constant(x) / y; }
  Real operator-() const { return {{b, mlir::arith::NegFOp::create(*b, v)}}; }
  friend Truth operator<(Real x, Real y) { return x.compare(mlir::arith::CmpFPredicate::OLT, y); }
  friend Truth operator>(Real x, Real y) { return x.compare(mlir::arith::CmpFPredicate::OGT, y); }
  friend Truth operator==(Real x, Real y) { return x.compare(mlir::arith::CmpFPredicate::OEQ, y); }
  friend Truth operator!=(Real x, Real y) { return x.compare(mlir::arith::CmpFPredicate::UNE, y); }
  friend Truth operator<(Real x, double y) { return x < x.constant(y); }
  friend Truth operator>(Real x, double y) { return x > x.constant(y); }
  friend Truth operator==(Real x, double y) { return x == x.constant(y); }
};

inline Real select(Truth c, Real x, Real y) { return {{c.b, mlir::arith::SelectOp::create(*c.b, c.v, x.v, y.v)}}; }
inline Real select(Truth c, double x, Real y) { return select(c, y.constant(x), y); }
inline Real select(Truth c, Real x, double y) { return select(c, x, x.constant(y)); }
inline Bits select(Truth c, Bits x, Bits y) { return {{c.b, mlir::arith::SelectOp::create(*c.b, c.v, x.v, y.v)}}; }
inline Bits select(Truth c, int64_t x, Bits y) { return select(c, y.constant(x), y); }
inline Bits select(Truth c, Bits x, int64_t y) { return select(c, x, x.constant(y)); }

/// The float with these bits.
inline Real asReal(Bits x, mlir::Type element) {
  return {{x.b, mlir::arith::BitcastOp::create(*x.b, withElement(x.v.getType(), element), x.v)}};
}
inline Real magnitude(Real x) { return {{x.b, mlir::math::AbsFOp::create(*x.b, x.v)}}; }
inline Real squareRoot(Real x) { return {{x.b, mlir::math::SqrtOp::create(*x.b, x.v)}}; }
inline Real withSignOf(Real x, Real sign) { return {{x.b, mlir::math::CopySignOp::create(*x.b, x.v, sign.v)}}; }
/// x with the sign of `sign` multiplied in; the same where x is positive. Where the result of a copysign of f64 is
/// rounded to 16 bits, LLVM rounds the other number as well, which x86-64 has no instruction for; it does not know this
/// to be one.
inline Real timesSignOf(Real x, Real sign) {
  int64_t place = x.elementType().getIntOrFloatBitWidth() - 1;
  return asReal(x.bits() ^ ((sign.bits() >> place) << place), x.elementType());
}

/// coefficients[0] + x * coefficients[1] + ...
inline Real polynomial(Real x, llvm::ArrayRef<double> coefficients) {
  Real sum = x.constant(coefficients.back());
  for (double coefficient : llvm::reverse(coefficients.drop_back()))
    sum = sum * x + coefficient;
  return sum;
}

} // namespace qlow

#endif // QLOW_LIB_TRANSFORMS_FLOATEXPRESSIONS_H
