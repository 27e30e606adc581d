//===- FloatChain.h - the float ops an integer rule can absorb --*- C++ -*-===//
//
// Between a matmul and the quantization of its result, a bias and clamps have integer counterparts. These functions
// read them off linalg, arith and tosa ops; whether the numbers allow the integer form is the caller's question.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_IMPORT_FLOATCHAIN_H
#define QLOW_LIB_IMPORT_FLOATCHAIN_H

#include "mlir/IR/Operation.h"

#include <limits>
#include <optional>

namespace qlow {

/// min(max(x, lo), hi), with lo <= hi; any chain of maxima and minima with constants has this form.
struct Clamp {
  float lo = -std::numeric_limits<float>::infinity(), hi = std::numeric_limits<float>::infinity();

  void raise(float bound);
  void lower(float bound);
  void then(const Clamp &next);
  bool isTrivial() const;
};

/// result = clamp(x + bias): what one op does to `x`.
struct FloatStep {
  mlir::Value bias; ///< the tensor added, with N values for the last dimension; null for none
  Clamp clamp;
};

/// Reads `op`, a user of `x`, as a step; nothing where it does anything else.
std::optional<FloatStep> matchFloatStep(mlir::Operation *op, mlir::Value x);

/// The tensor of which `tensor` repeats the one row along all dimensions but the last, or null.
mlir::Value matchRow(mlir::Value tensor);

} // namespace qlow

#endif // QLOW_LIB_IMPORT_FLOATCHAIN_H
