//===- Accepted.h - the closed list of accepted operations ------*- C++ -*-===//
//
// Around its quantized ops a program may compute with a published list of upstream ops on a published list of element
// types: docs/Semantics.md, "Float work". Import rejects the rest, the reference evaluator computes all of it, and
// every pipeline lowers all of it.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_DIALECT_ACCEPTED_H
#define QLOW_DIALECT_ACCEPTED_H

#include "mlir/IR/BuiltinOps.h"

namespace qlow {

/// Whether `op` is on the list. Says nothing about its types.
bool isAcceptedOp(mlir::Operation *op);
/// Whether a value may have this type: index, i1, i8, i16, i32, i64, f16, bf16, f32, f64, and ranked tensors of these
/// but index, of `!qlow.q`, and of the scale types f8E8M0FNU and f8E4M3FN.
bool isAcceptedType(mlir::Type type);
/// Both of the above for `op`, its results and its blocks' arguments; math ops compute in at most 32 bits, and
/// open sizes have operands. Emits a located error that names what is not accepted.
mlir::LogicalResult verifyAccepted(mlir::Operation *op);
/// Whether a tensor.pad has as many operands as open sizes on either side: upstream's verifier does not count them, and
/// its patterns read operands that are not there. Others have.
mlir::LogicalResult verifyOpenSizes(mlir::Operation *op);
/// Whether a module is still a model: later forms of it, as the pipeline prints them on the way, are not compiled from
/// the beginning again. The error, at the first op of such a form, says how to go on.
mlir::LogicalResult verifyNotLowered(mlir::ModuleOp module);

} // namespace qlow

#endif // QLOW_DIALECT_ACCEPTED_H
