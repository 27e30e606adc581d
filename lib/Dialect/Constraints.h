//===- Constraints.h - checks that verifiers share --------------------------===//
//
// Takes the types of one op and says whether they fit, with the op's error where the check has one wording for all.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_DIALECT_CONSTRAINTS_H
#define QLOW_LIB_DIALECT_CONSTRAINTS_H

#include "qlow/Dialect/Dialect.h"

namespace qlow::constraints {

/// Whether two shapes are of one rank and equal where both are static.
bool shapesAgree(llvm::ArrayRef<int64_t> a, llvm::ArrayRef<int64_t> b);

/// Bytes of an element as memory holds it: i1 takes one. Null where that is no whole number of bytes.
std::optional<unsigned> getElementBytes(mlir::Type element);
/// Bytes of a tensor, unknown sizes counted as 1; null above 2^63 - 1.
std::optional<int64_t> getByteSize(llvm::ArrayRef<int64_t> shape, unsigned elementBytes);

/// C1: `found`, tensors or memrefs, are the parts of `tensor`, or the tensor itself where it is not quantized.
mlir::LogicalResult verifyParts(mlir::Operation *op, mlir::TypeRange found, mlir::RankedTensorType tensor,
                                bool withCodes);
/// The same for the codes alone.
mlir::LogicalResult verifyCodes(mlir::Operation *op, mlir::TypeRange found, mlir::RankedTensorType tensor);

/// C3: scales and zero points of the type can be measured.
mlir::LogicalResult verifyMeasured(mlir::Operation *op, QType type);

} // namespace qlow::constraints

#endif // QLOW_LIB_DIALECT_CONSTRAINTS_H
