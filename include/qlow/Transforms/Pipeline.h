//===- Pipeline.h - from imported IR to the LLVM dialect --------*- C++ -*-===//
//
// The passes of this room and the one order in which every tool runs them.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_TRANSFORMS_PIPELINE_H
#define QLOW_TRANSFORMS_PIPELINE_H

#include "qlow/Dialect/Dialect.h"

#include "mlir/Pass/Pass.h"

namespace qlow {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

#endif // QLOW_TRANSFORMS_PIPELINE_H
