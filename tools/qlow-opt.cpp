//===- qlow-opt.cpp - run passes one by one ---------------------------------===//
//
// MLIR's optimizer driver with qlow's dialect, passes and pipelines, under the guard that qlowc has too.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Dialect.h"
#include "qlow/Emit/Emit.h"
#include "qlow/Import/Import.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/FileSystem.h"

#include <cstdlib>

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllPasses();
  registry.insert<qlow::QlowDialect>();
  qlow::registerQlowDialectPasses();
  qlow::registerQlowImportPasses();
  qlow::registerImportPipeline();
  qlow::registerQlowTransformsPasses();
  qlow::registerQlowEmitPasses();
  qlow::registerPipeline();
  auto [input, output] = mlir::registerAndParseCLIOptions(argc, argv, "qlow optimizer\n", registry);
  llvm::LogicalResult result = llvm::failure();
  auto run = [&, in = input, out = output] {
    result = mlir::MlirOptMain(argc, argv, in, out, registry);
    // What has failed may have left memory in no state for destructors; see ModelFile.cpp.
    if (mlir::succeeded(result))
      return;
    llvm::outs().flush();
    std::_Exit(EXIT_FAILURE);
  };
  if (llvm::Error crash = qlow::runGuarded(run)) {
    llvm::errs() << input << ":1:1: error: " << llvm::toString(std::move(crash)) << "\n";
    if (output != "-")
      (void)llvm::sys::fs::remove(output);
    return 1;
  }
  return mlir::failed(result);
}
