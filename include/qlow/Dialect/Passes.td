//===- Passes.td - checks of the dialect ------------------------------------===//

#ifndef QLOW_DIALECT_PASSES_TD
#define QLOW_DIALECT_PASSES_TD

include "mlir/Pass/PassBase.td"

def Verify : Pass<"qlow-verify", "::mlir::ModuleOp"> {
  let summary = "Check what types and single ops can not";
  let description = [{
    Precondition: none; the first pass of every pipeline. Reports every violation, located, of:

    * (T1) to (T7) of `!qlow.q`, on every function signature and value.
    * (V1) Quantized tensors pass only through qlow ops, `func.func/call/return`, `scf.for/if/while/index_switch` with
      their terminators, and `arith.select`; `!qlow.q` is nothing but an element of ranked tensors.
    * (V2) Tensors are ranked.
    * (V3) The blob of a resource is there, has exactly the bytes of its type, and is aligned to its elements.
    * (V4) No quantized tensor is a constant: its parts are.
    * (V5) No tensor is larger than 2^63 - 1 bytes, sizes of 0 and unknown sizes counted as 1.
    * (V6) Warning: the sum over K of a matmul can leave i32, where `K * max|a - za| * max|b - zb|` exceeds 2^31 - 1 for
      the formats' codes and zero points (constant zero points count as they are). An unknown K gives no warning.
    * (V7) No function calls itself, directly or through others.
    * (V8) Elements of tensors, and scalars, are of the accepted types.

    Does not change the IR.
  }];
}

#endif // QLOW_DIALECT_PASSES_TD
