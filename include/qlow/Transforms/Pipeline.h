//===- Pipeline.h - from imported IR to the LLVM dialect --------*- C++ -*-===//
//
// The passes of this room and the one order in which every tool runs them.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_TRANSFORMS_PIPELINE_H
#define QLOW_TRANSFORMS_PIPELINE_H

#include "qlow/Dialect/Dialect.h"

#include "mlir/Pass/Pass.h"

#include <functional>
#include <string>

namespace mlir {
class OpPassManager;
} // namespace mlir

namespace qlow {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "qlow/Transforms/Passes.h.inc"

/// What the pipeline is told from outside.
struct PipelineOptions {
  std::string target = "generic"; ///< name or JSON file
  std::string prefix;             ///< of symbols; empty: the module's name
  bool openmp = false;            ///< a ready-made parallel run
  std::string startAfter;         ///< name of a pass; empty: from the beginning
  std::string stopAfter;          ///< name of a pass; empty: to the LLVM dialect
  bool fastSums = false;          ///< of small floats, within the law's bound of fast sums
  bool keepIntermediates = false; ///< every quantized op's result is one of its function's
};

/// Adds the passes from imported IR to the LLVM dialect to a manager of modules. Passes are found by name: those of all
/// rooms and of MLIR must be registered. Says through `emitError` which name is none of a pass.
llvm::LogicalResult buildPipeline(mlir::OpPassManager &manager, const PipelineOptions &options,
                                  llvm::function_ref<void(const llvm::Twine &)> emitError);
/// Names of the passes in order; upstream's may occur more than once.
llvm::SmallVector<llvm::StringRef> pipelinePasses();
/// Makes the pipeline known as `qlow-pipeline`, with target, prefix, start-after and stop-after as options.
void registerPipeline();
} // namespace qlow

#endif // QLOW_TRANSFORMS_PIPELINE_H
