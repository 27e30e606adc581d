//===- Entries.h - functions every object has -------------------*- C++ -*-===//
//
// Builders of the functions that do not depend on one model function: the processor check, the texts of return codes
// and the ready-made OpenMP run. All is LLVM dialect; what they need of the module is its record.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_EMIT_ENTRIES_H
#define QLOW_LIB_EMIT_ENTRIES_H

#include "qlow/Emit/Emit.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace qlow {

/// Makes an llvm.func with an entry block and leaves the builder in it.
mlir::LLVM::LLVMFuncOp startFunction(mlir::ImplicitLocOpBuilder &b, llvm::StringRef name, mlir::Type result,
                                     llvm::ArrayRef<mlir::Type> arguments, bool internal = false);

mlir::Value constantInt(mlir::ImplicitLocOpBuilder &b, mlir::Type type, int64_t value);

/// A value `offset` bytes behind an address.
mlir::Value loadAt(mlir::ImplicitLocOpBuilder &b, mlir::Type type, mlir::Value address, int32_t offset);
void storeAt(mlir::ImplicitLocOpBuilder &b, mlir::Value value, mlir::Value address, int32_t offset);

/// `int <prefix>_check_cpu(void)`: asks as the target's family does, once, remembers, and returns AbiCode::Cpu if a
/// feature is missing.
void buildCheckCpu(mlir::ImplicitLocOpBuilder &b, llvm::StringRef prefix, const Target &target);

/// What the names of a model's own functions begin with in the object, and no others.
inline std::string modelPrefix(llvm::StringRef prefix) { return (prefix + ".model.").str(); }

/// `const char *<prefix>_strerror(int)`.
void buildStrerror(mlir::ImplicitLocOpBuilder &b, const AbiModule &abi);

/// `void <prefix>_openmp(<prefix>_parallel *, int32_t)` and the functions behind it.
void buildOpenmp(mlir::ImplicitLocOpBuilder &b, llvm::StringRef prefix);

} // namespace qlow

#endif // QLOW_LIB_EMIT_ENTRIES_H
