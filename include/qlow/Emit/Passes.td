//===- Passes.td - the C ABI of a module --------------------------------------===//

#ifndef QLOW_EMIT_PASSES_TD
#define QLOW_EMIT_PASSES_TD

include "mlir/Pass/PassBase.td"

def RecordAbi : Pass<"qlow-record-abi", "::mlir::ModuleOp"> {
  let summary = "Write what the header needs to know onto each public function";
}
def BuildEntries : Pass<"qlow-build-entries", "::mlir::ModuleOp"> {
  let summary = "Make the C entry, workspace and check functions";
}

#endif // QLOW_EMIT_PASSES_TD
