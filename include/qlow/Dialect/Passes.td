//===- Passes.td - checks of the dialect ------------------------------------===//

#ifndef QLOW_DIALECT_PASSES_TD
#define QLOW_DIALECT_PASSES_TD

include "mlir/Pass/PassBase.td"

def VerifyQuantized : Pass<"qlow-verify", "::mlir::ModuleOp"> {
  let summary = "Check what types and single ops can not";
  let description = [{
    Precondition: none; the first pass of every pipeline. Checks on every function signature and value that blocks fit
    their tensors (T1 to T6), that quantized tensors pass only through qlow ops, `func`, `scf.for/if/while/index_switch`
    and `arith.select` (V1), that tensors are ranked (V2), that resource blobs are there, large enough and aligned (V3),
    that no quantized tensor is a constant (V4), that no shape overflows 2^63 - 1 bytes (V5), and warns where a sum over K
    can exceed i32 (V6).

    Does not change the IR.
  }];
}

#endif // QLOW_DIALECT_PASSES_TD
