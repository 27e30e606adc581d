//===- Import.cpp - the import as one pipeline ------------------------------===//
//
// The order is part of the meaning: QDQ patterns become integer ops before anything folds, and the check sees the ops
// the user wrote, not what a canonicalizer made of them.
//
//===----------------------------------------------------------------------===//

#include "qlow/Import/Import.h"

#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

void qlow::buildImportPipeline(OpPassManager &manager) {
  manager.addPass(createImportQuant());
  manager.addPass(createImportArith());
  manager.addPass(createImportTosa());
  manager.addPass(createImportLinalg());
  manager.addPass(createCheckImported());
  // Sizes of intermediate tensors become sizes of arguments: no tensor is kept, or used twice, for its size.
  memref::ResolveRankedShapeTypeResultDimsPassOptions sizes;
  sizes.errorOnPatternIterationLimit = false;
  manager.addPass(memref::createResolveRankedShapeTypeResultDimsPass(sizes));
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
}

void qlow::registerImportPipeline() {
  PassPipelineRegistration<>("qlow-import", "Upstream IR to qlow ops, checked", buildImportPipeline);
}
