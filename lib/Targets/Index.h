//===- Index.h - index arithmetic as values ---------------------*- C++ -*-===//
//
// Formulas of sizes and places that are written once and computed either on the host, in int64_t, or by the code that
// is emitted, as Index. Constants fold while they are built.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TARGETS_INDEX_H
#define QLOW_LIB_TARGETS_INDEX_H

#include "mlir/Dialect/Arith/IR/Arith.h"

namespace qlow {

/// An index that operators compute with by emitting arith ops.
struct Index {
  mlir::OpBuilder *builder;
  mlir::Location loc;
  mlir::Value value;

  operator mlir::Value() const { return value; }
  Index constant(int64_t number) const {
    return {builder, loc, mlir::arith::ConstantIndexOp::create(*builder, loc, number)};
  }
  template <typename OpTy> Index apply(Index other) const {
    return {builder, loc, builder->createOrFold<OpTy>(loc, value, other.value)};
  }
};

inline Index operator+(Index a, Index b) { return a.apply<mlir::arith::AddIOp>(b); }
inline Index operator-(Index a, Index b) { return a.apply<mlir::arith::SubIOp>(b); }
inline Index operator*(Index a, Index b) { return a.apply<mlir::arith::MulIOp>(b); }
inline Index operator/(Index a, Index b) { return a.apply<mlir::arith::DivUIOp>(b); }
inline Index operator%(Index a, Index b) { return a.apply<mlir::arith::RemUIOp>(b); }
inline Index operator+(Index a, int64_t b) { return a + a.constant(b); }
inline Index operator-(Index a, int64_t b) { return a - a.constant(b); }
inline Index operator*(Index a, int64_t b) { return a * a.constant(b); }
inline Index operator/(Index a, int64_t b) { return a / a.constant(b); }
inline Index operator%(Index a, int64_t b) { return a % a.constant(b); }
inline Index least(Index a, Index b) { return a.apply<mlir::arith::MinUIOp>(b); }
/// `value` in the arithmetic of `kind`.
inline Index constantLike(Index kind, int64_t value) { return kind.constant(value); }

} // namespace qlow

#endif // QLOW_LIB_TARGETS_INDEX_H
