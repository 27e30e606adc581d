//===- Import.h - upstream IR to qlow ops -----------------------*- C++ -*-===//
//
// Takes models as other tools write them (quant, tosa, linalg, arith, qlow itself) and leaves qlow ops and the closed
// list of float work around them, or errors at the ops that have no place there.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_IMPORT_IMPORT_H
#define QLOW_IMPORT_IMPORT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace mlir {
class OpPassManager;
} // namespace mlir

namespace qlow {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "qlow/Import/Passes.h.inc"

/// Adds the import to a pipeline on modules. It comes before every canonicalizer, since upstream folds
/// `dcast(qcast(x))` to `x`, and with it the quantization.
void buildImportPipeline(mlir::OpPassManager &manager);
/// Makes it known to tools as `--qlow-import`.
void registerImportPipeline();

} // namespace qlow

#endif // QLOW_IMPORT_IMPORT_H
