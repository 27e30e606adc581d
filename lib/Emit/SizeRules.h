//===- SizeRules.h - rules among the sizes of a call ------------*- C++ -*-===//
//
// A set of constraints on the sizes that a caller passes, as text for people and as code for the entry. Symbol i of the
// set is size i of the function.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_EMIT_SIZERULES_H
#define QLOW_LIB_EMIT_SIZERULES_H

#include "qlow/Emit/Emit.h"

#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/IntegerSet.h"

namespace qlow {

/// Sizes in bytes stay below this, so that sums of two fit.
constexpr int64_t kMaxBytes = int64_t(1) << 62;

/// Each constraint in C's words, with the size that answers for it: the last one it names.
std::vector<AbiRule> describeRules(mlir::IntegerSet set, llvm::ArrayRef<AbiDim> dims);

/// Whether constraint `index` holds, in i64 arithmetic that never wraps: an overflow breaks the rule.
mlir::Value emitRule(mlir::ImplicitLocOpBuilder &b, mlir::IntegerSet set, unsigned index,
                     llvm::ArrayRef<mlir::Value> dims);

} // namespace qlow

#endif // QLOW_LIB_EMIT_SIZERULES_H
