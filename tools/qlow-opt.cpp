//===- qlow-opt.cpp - run passes one by one ---------------------------------===//

#include "qlow/Dialect/Dialect.h"
#include "qlow/Emit/Emit.h"
#include "qlow/Import/Import.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

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
  return mlir::failed(mlir::MlirOptMain(argc, argv, "qlow optimizer\n", registry));
}
