//===- CheckImported.cpp - what no later pass accepts -----------------------===//
//
// In: a module after the other imports. Out: the same module, or an error at every op that is not on the closed list,
// with what to do about it where the op's dialect tells. It must not change the IR.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Accepted.h"
#include "qlow/Import/Import.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringSwitch.h"

namespace qlow {
#define GEN_PASS_DEF_CHECKIMPORTED
#include "qlow/Import/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

/// What to do about an op of a dialect that models are often left in; empty for others.
static StringRef hintFor(StringRef dialect) {
  return llvm::StringSwitch<StringRef>(dialect)
      .Cases({"memref", "bufferization", "llvm", "gpu", "vector"},
             "compile the model as it was before bufferization and lowering: qlow does both itself")
      .Cases({"stablehlo", "mhlo", "chlo", "vhlo"},
             "convert it first, with stablehlo-opt --stablehlo-legalize-to-linalg")
      .Cases({"torch", "torch_c"}, "convert it first, with torch-mlir's backend pipeline to linalg on tensors")
      .Cases({"onnx", "tfl", "tf"}, "convert it to tosa or linalg first")
      .Case("tosa", "it has no form in linalg: express it by other tosa ops")
      .Case("quant", "only quant.uniform with fixed scales is imported")
      .Default("");
}

/// Reports `op` and says whether its regions are worth a look.
static WalkResult checkOp(Operation *op, bool &failed) {
  if (!isAcceptedOp(op)) {
    InFlightDiagnostic diagnostic = op->emitError() << "'" << op->getName() << "' is not accepted; ";
    StringRef hint = hintFor(op->getName().getDialectNamespace());
    diagnostic << (hint.empty() ? "docs/Semantics.md, \"Float work\", lists the ops that are" : hint);
    failed = true;
    return WalkResult::skip();
  }
  if (isa<ModuleOp>(op) && op->getParentOp()) {
    op->emitError() << "a module inside of a module is not compiled; move its functions into the outer one";
    failed = true;
    return WalkResult::skip();
  }
  auto function = dyn_cast<func::FuncOp>(op);
  if (function && function.isExternal()) {
    op->emitError() << "function '" << function.getName()
                    << "' has no body; objects link with nothing but libc: define it here, or remove its uses";
    failed = true;
    return WalkResult::skip();
  }
  failed |= verifyAccepted(op).failed();
  return WalkResult::advance();
}

namespace {
struct CheckImported : qlow::impl::CheckImportedBase<CheckImported> {
  using CheckImportedBase::CheckImportedBase;
  void runOnOperation() override {
    if (mlir::failed(verifyNotLowered(getOperation())))
      return signalPassFailure();
    bool failed = false;
    getOperation().walk<WalkOrder::PreOrder>([&](Operation *op) { return checkOp(op, failed); });
    if (failed)
      signalPassFailure();
  }
};
} // namespace
