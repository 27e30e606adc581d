//===- Passes.td - upstream IR to qlow ops ----------------------------------===//

#ifndef QLOW_IMPORT_PASSES_TD
#define QLOW_IMPORT_PASSES_TD

include "mlir/Pass/PassBase.td"

def ImportQuant : Pass<"qlow-import-quant", "::mlir::ModuleOp"> {
  let summary = "Turn quant.qcast, dcast and scast patterns into integer ops";
  let description = [{
    Precondition: nothing has folded the module; the pass comes before every canonicalizer, because upstream folds
    `dcast(qcast(x))` to `x`. A matmul (linalg, tosa, or a generic of the same form) between dequantizations means the
    integer op. Before, with sx, sw[n] and sy the scales of the types, the bias an i32 `scast` of scale sx * sw[n]:

    ```mlir
    %dot = linalg.matmul ins(%x, %w) outs(%zeros)          // %x = dcast(qcast), %w = dcast(scast(i8))
    %sum = linalg.generic ins(%dot, %b) { arith.addf }     // %b = dcast(scast(i32))
    %y = linalg.generic ins(%sum) { arith.maximumf %0 }
    %q = quant.qcast %y
    ```

    After, where `%mult` is the constant f32 (sx * sw[n]) / sy:

    ```mlir
    %acc = qlow.matmul %xq, %wq bias(%b) : tensor<?x64x!x>, tensor<64x32x!w> -> tensor<?x32xi32>
    %relu = linalg.generic ins(%acc) { arith.maxsi %0 }    // none where saturation does the same
    %q = qlow.requantize half_even %relu, %mult parts(%sy) : tensor<?x32xi32>, tensor<32xf32> -> tensor<?x32x!y>
    ```

    Clamps of floats, and narrow storage bounds, become clamps of accumulators that give the same codes; where no
    accumulator has a bound as its code (the output's scale is smaller than the product's), clamps of codes. What else
    reads the sum gets `f32(acc) * (sx * sw[n])`, and its float ops stay as written. A float sum that has no such form
    (scales that differ along K or M, one side not quantized, codes of more than 8 bits) is a `qlow.matmul` with a float
    result. All other casts become `qlow.quantize` (after a clamp for narrow bounds; NaN gives the lower bound),
    `qlow.dequantize`, `qlow.compose` and `qlow.decompose`; an i32 `dcast` becomes `f32(i) * scale`.

    Quantized types in signatures become the storage type: callers pass codes, scales are constants of the program.

    Does not look through reshapes, does not fold, and rejects quantized scalars, types other than `quant.uniform`,
    storage that no code format has, and run-time codes of other than 8 bits.
  }];
  let dependentDialects = ["::qlow::QlowDialect", "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numProducts", "products", "Number of matmuls that became qlow.matmul">];
}

def ImportArith : Pass<"qlow-import-arith", "::mlir::ModuleOp"> {
  let summary = "Keep what combines a dynamic tensor with itself from being folded";
  let description = [{
    Precondition: as for qlow-import-quant, which comes first. Upstream folds `xori` and `cmpi` of a value and itself to a
    constant of the result's type, and a constant has no dynamic size. Before:

    ```mlir
    %y = arith.xori %x, %x : tensor<?x4xi32>
    ```

    After, where folding the body leaves the sizes alone:

    ```mlir
    %y = linalg.generic ... ins(%x, %x : tensor<?x4xi32>, tensor<?x4xi32>) { arith.xori }
    ```

    Does not touch scalars, tensors of static shape, or arith of different values.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}

def ImportTosa : Pass<"qlow-import-tosa", "::mlir::ModuleOp"> {
  let summary = "Turn tosa.matmul and tosa.rescale into qlow ops, other tosa into linalg";
  let description = [{
    Precondition: no quantized types of other dialects. Before:

    ```mlir
    %acc = tosa.matmul %a, %b, %azp, %bzp : (tensor<1x4x8xi8>, tensor<1x8x4xi8>, ...) -> tensor<1x4x4xi32>
    %y = tosa.rescale %acc, %mult, %shift, %c0, %yzp {rounding_mode = SINGLE_ROUND, scale32 = true, ...}
    ```

    After, with scales of 1 that no result reads, and a `zero` part where a zero point is not known to be 0:

    ```mlir
    %acc = qlow.matmul %qa, %qb : tensor<1x4x8x!qlow.q<i8 : f32, zero = i8>>, ... -> tensor<1x4x4xi32>
    %q = qlow.requantize single %acc, %mult0 shift(%shift0 : tensor<i8>) parts(...) : tensor<1x4x4xi32>, ...
    %y, ... = qlow.decompose %q
    ```

    A rescale from i8 or i16 to bytes is widened first. All other tosa, and rescales to 16 and 32 bits or with 16 bit
    multipliers, take upstream's way (decompositions, tosa-to-linalg-named, -linalg, -tensor, -scf, -arith). Does nothing
    to a module without tosa. Rejects matmuls of types other than i8 to i32, f16, bf16 and f32.
  }];
  let dependentDialects = ["::qlow::QlowDialect", "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::math::MathDialect", "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numMatmuls", "matmuls", "Number of tosa.matmul that became qlow.matmul">];
}

def ImportLinalg : Pass<"qlow-import-linalg", "::mlir::ModuleOp"> {
  let summary = "Turn matmuls of linalg into qlow.matmul";
  let description = [{
    Precondition: none. Every op that computes `out + a * b` over one m, n and k (`linalg.matmul`, `batch_matmul`,
    `quantized_matmul`, `quantized_batch_matmul`, `contract`, any `generic`; either side transposed) on i8 widened to
    i32, or on f16, bf16 and f32, becomes a `qlow.matmul`. Before:

    ```mlir
    %y = linalg.matmul ins(%a, %b : tensor<?x8xi8>, tensor<8x4xi8>) outs(%init : tensor<?x4xi32>) -> tensor<?x4xi32>
    ```

    After, with the add only where `%init` is not filled with zeros; `extui` gives u8, a zero point gives a `zero` part:

    ```mlir
    %qa = qlow.compose %a, %one : (tensor<?x8xi8>, tensor<f32>) -> tensor<?x8x!qlow.q<i8 : f32>>
    %qb = qlow.compose %b, %one : (tensor<8x4xi8>, tensor<f32>) -> tensor<8x4x!qlow.q<i8 : f32>>
    %acc = qlow.matmul %qa, %qb : tensor<?x8x!qlow.q<i8 : f32>>, tensor<8x4x!qlow.q<i8 : f32>> -> tensor<?x4xi32>
    %y = linalg.generic ... ins(%acc, %init) { arith.addi }
    ```

    `linalg.softmax` of floats becomes the reductions and elementwise ops that it stands for. Zero points must be
    constants in [-128, 255] or widened from i8. Does not touch products of other types, with other
    zero points, with several loops for m, n or k, or with a batch on one side only: they stay linalg.
  }];
  let dependentDialects = ["::qlow::QlowDialect", "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numMatmuls", "matmuls", "Number of linalg ops that became qlow.matmul">];
}

def CheckImported : Pass<"qlow-check-imported", "::mlir::ModuleOp"> {
  let summary = "Reject, by name and location, what no later pass accepts";
  let description = [{
    Precondition: the other imports ran. Emits an error at every op that is not on the closed list of docs/Semantics.md
    ("Float work") and every type that no value may have, with what to do about it where the dialect tells, at
    functions without a body, and at modules inside of the module. The regions of a rejected op are not looked into.

    Does not change the IR.
  }];
}

#endif // QLOW_IMPORT_PASSES_TD
