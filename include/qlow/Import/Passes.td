//===- Passes.td - upstream IR to qlow ops ----------------------------------===//

#ifndef QLOW_IMPORT_PASSES_TD
#define QLOW_IMPORT_PASSES_TD

include "mlir/Pass/PassBase.td"

def ImportQuant : Pass<"qlow-import-quant", "::mlir::ModuleOp"> {
  let summary = "Turn quant.qcast, dcast and scast patterns into integer ops";
  let dependentDialects = ["::qlow::QlowDialect", "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}

def ImportTosa : Pass<"qlow-import-tosa", "::mlir::ModuleOp"> {
  let summary = "Turn tosa.matmul and tosa.rescale into qlow ops, other tosa into linalg";
  let dependentDialects = ["::qlow::QlowDialect", "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::math::MathDialect", "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect"];
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

    Zero points must be constants in [-128, 255] or widened from i8. Does not touch products of other types, with other
    zero points, with several loops for m, n or k, or with a batch on one side only: they stay linalg.
  }];
  let dependentDialects = ["::qlow::QlowDialect", "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
  let statistics = [Statistic<"numMatmuls", "matmuls", "Number of linalg ops that became qlow.matmul">];
}

def CheckImported : Pass<"qlow-check-imported", "::mlir::ModuleOp"> {
  let summary = "Reject, by name and location, what no later pass accepts";
}

#endif // QLOW_IMPORT_PASSES_TD
