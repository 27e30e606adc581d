//===- ModelFile.h - reading a model the careful way ------------*- C++ -*-===//
//
// Any bytes may come: text, bytecode, garbage. Whatever they are, the result is a module or a diagnostic.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_TOOLS_MODELFILE_H
#define QLOW_TOOLS_MODELFILE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace qlow {

/// Prints diagnostics of `context` to stderr as `file:line:column: error: ...`, one line each, without the source: a
/// line of a model can have megabytes.
void printDiagnostics(mlir::MLIRContext &context);

/// Reads and verifies the model at `path`, - for standard input. Bytecode is mapped, and its resources stay where they
/// are in the file, so the file must not change while the module lives. Null where it failed; a diagnostic was given.
/// Ends the process with exit code 1 behind the diagnostic where MLIR can not parse the text.
mlir::OwningOpRef<mlir::ModuleOp> readModel(llvm::StringRef path, mlir::MLIRContext &context);

} // namespace qlow

#endif // QLOW_TOOLS_MODELFILE_H
