//===- Passes.td - upstream IR to qlow ops ----------------------------------===//

#ifndef QLOW_IMPORT_PASSES_TD
#define QLOW_IMPORT_PASSES_TD

include "mlir/Pass/PassBase.td"

def ImportQuant : Pass<"qlow-import-quant", "::mlir::ModuleOp"> {
  let summary = "Turn quant.qcast, dcast and scast patterns into integer ops";
}
def ImportTosa : Pass<"qlow-import-tosa", "::mlir::ModuleOp"> {
  let summary = "Turn tosa.matmul and tosa.rescale into qlow ops, other tosa into linalg";
}
def ImportLinalg : Pass<"qlow-import-linalg", "::mlir::ModuleOp"> {
  let summary = "Turn integer matmuls of linalg into qlow.matmul";
}
def CheckImported : Pass<"qlow-check-imported", "::mlir::ModuleOp"> {
  let summary = "Reject, by name and location, what no later pass accepts";
}

#endif // QLOW_IMPORT_PASSES_TD
