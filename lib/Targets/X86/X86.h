//===- X86.h - private parts of the x86 family ------------------*- C++ -*-===//

#ifndef QLOW_LIB_TARGETS_X86_X86_H
#define QLOW_LIB_TARGETS_X86_X86_H

#include "qlow/Targets/Targets.h"

namespace qlow {
llvm::ArrayRef<MultiplyRow> x86Rows();
} // namespace qlow

#endif // QLOW_LIB_TARGETS_X86_X86_H
