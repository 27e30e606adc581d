//===- X86.h - private parts of the x86 family ------------------*- C++ -*-===//

#ifndef QLOW_LIB_TARGETS_X86_X86_H
#define QLOW_LIB_TARGETS_X86_X86_H

#include "qlow/Targets/Targets.h"

namespace qlow {

llvm::ArrayRef<MultiplyRow> x86Rows();

/// The check of processor and system before code runs; see Family.
std::vector<llvm::StringRef> x86CheckedFeatures(const Machine &machine);
mlir::Value emitX86FeatureCheck(mlir::ImplicitLocOpBuilder &builder, const Machine &machine);
llvm::StringRef x86UncheckedFeature(const Machine &machine);

} // namespace qlow

#endif // QLOW_LIB_TARGETS_X86_X86_H
