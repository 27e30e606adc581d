//===- MathExpansions.h - the parts of qlow-expand-math ----------*- C++ -*-===//
//
// Rewrites that leave only operations a processor has: each group of operations in a file of its own.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TRANSFORMS_MATHEXPANSIONS_H
#define QLOW_LIB_TRANSFORMS_MATHEXPANSIONS_H

#include "FloatExpressions.h"

#include "mlir/IR/PatternMatch.h"

namespace qlow {

/// exp, log, sin, ... of f32 and narrower floats.
void populateFunctionExpansions(mlir::RewritePatternSet &patterns);
/// floor, ceil, trunc, round and roundeven of f32 and f64; `hasRound`: all but round are native.
void populateRoundingExpansions(mlir::RewritePatternSet &patterns, bool hasRound);
/// fma of f32 by operations rounded once, and the remainder of a division.
void populateArithmeticExpansions(mlir::RewritePatternSet &patterns, bool hasFma);
/// Conversions from and to f16, bf16, f8 types by integer operations (`hasHalf`: f16 <-> f32 is native), and arithmetic
/// on them in f32.
void populateSmallFloatExpansions(mlir::RewritePatternSet &patterns, bool hasHalf, bool hasBrain);

} // namespace qlow

#endif // QLOW_LIB_TRANSFORMS_MATHEXPANSIONS_H
