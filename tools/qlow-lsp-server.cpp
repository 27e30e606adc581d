//===- qlow-lsp-server.cpp - models in an editor ----------------------------===//
//
// MLIR's language server with qlow's dialect: diagnostics, hover, completion and definitions in .mlir files.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Dialect.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registry.insert<qlow::QlowDialect>();
  return mlir::failed(mlir::MlirLspServerMain(argc, argv, registry));
}
