//===- Dialect.h - the qlow dialect -----------------------------*- C++ -*-===//
//
// The quantized element type, recipes, and the operations on quantized tensors. See the .td files beside this one for
// what each means and docs/Semantics.md for the law.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_DIALECT_DIALECT_H
#define QLOW_DIALECT_DIALECT_H

#include "qlow/Formats/Formats.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Pass/Pass.h"

#include <array>

namespace qlow {
/// The tensor-shaped half of the type's verifier, on every operand and result.
template <typename ConcreteOp> class BlocksFit;

/// A keyword or a quoted string: how attributes spell the words of a target.
mlir::FailureOr<std::string> parseWord(mlir::AsmParser &parser);
} // namespace qlow

#include "qlow/Dialect/Dialect.h.inc"
#include "qlow/Dialect/Enums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "qlow/Dialect/Attributes.h.inc"
#define GET_TYPEDEF_CLASSES
#include "qlow/Dialect/Types.h.inc"

namespace qlow {
mlir::LogicalResult verifyBlocksFit(mlir::Operation *op);
template <typename ConcreteOp> class BlocksFit : public mlir::OpTrait::TraitBase<ConcreteOp, BlocksFit> {
public:
  static mlir::LogicalResult verifyTrait(mlir::Operation *op) { return verifyBlocksFit(op); }
};

/// The element type as a quantized type, or null.
QType getQuantizedElement(mlir::Type type);
/// A scale's element type as a format: f32, f16, bf16, f8E8M0FNU, f8E4M3FN; null for any other.
const Format *getScaleFormat(mlir::Type type);
/// Whether the product of these tensors is summed exactly in i32 (the law's integer path): small integer images on both
/// sides, each under one scale along K.
bool hasExactSum(mlir::RankedTensorType lhs, bool transposeLhs, mlir::RankedTensorType rhs, bool transposeRhs);
} // namespace qlow

#define GET_OP_CLASSES
#include "qlow/Dialect/Ops.h.inc"

namespace qlow {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "qlow/Dialect/Passes.h.inc"
} // namespace qlow

#endif // QLOW_DIALECT_DIALECT_H
