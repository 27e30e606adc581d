//===- Import.cpp - the import as one pipeline ------------------------------===//

#include "qlow/Import/Import.h"

#include "mlir/Pass/PassManager.h"

using namespace mlir;

void qlow::buildImportPipeline(OpPassManager &manager) {
  manager.addPass(createImportQuant());
  manager.addPass(createImportTosa());
  manager.addPass(createImportLinalg());
  manager.addPass(createCheckImported());
}
