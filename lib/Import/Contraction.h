//===- Contraction.h - a linalg op read as a matrix product -----*- C++ -*-===//
//
// One description for linalg.matmul, batch_matmul, quantized_matmul, contract and any linalg.generic that computes the
// same: its operands in the order and transposition of qlow.matmul. It does not judge whether the product is worth
// rewriting.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_IMPORT_CONTRACTION_H
#define QLOW_LIB_IMPORT_CONTRACTION_H

#include "mlir/Dialect/Linalg/IR/Linalg.h"

#include <optional>

namespace qlow {

/// out[batch..., m, n] = init[batch..., m, n] + sum_k (lhs - lhs zero) * (rhs - rhs zero)
struct Contraction {
  struct Side {
    mlir::Value tensor;
    mlir::Value zero;        ///< a scalar subtracted after widening, or null
    bool isUnsigned = false; ///< codes were widened by extui; floats: false
    bool transposed = false; ///< [batch..., k, m] or [batch..., n, k]
  };
  Side lhs, rhs;
  mlir::Value init;
};

/// Reads `op` on tensors as a contraction with one m, n and k: i8 operands widened to i32, or f16, bf16 and f32 ones
/// with at most a widening. `why` says what does not fit.
std::optional<Contraction> matchContraction(mlir::linalg::LinalgOp op, llvm::StringRef &why);

/// Whether every element of `tensor` is known to be zero (plus or minus), looking through linalg.fill.
bool isZeroTensor(mlir::Value tensor);

/// An elementwise linalg.generic from `inputs` to a fresh tensor shaped as the first of them, with `element` as its
/// element type. Each input is indexed by the last dimensions of the first, unless `maps` says otherwise.
mlir::Value createElementwise(mlir::OpBuilder &builder, mlir::Location loc, mlir::ValueRange inputs, mlir::Type element,
                              llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location, mlir::ValueRange)> body,
                              llvm::ArrayRef<mlir::AffineMap> maps = {});

/// Erases what is left without a use in `root` and has no effect, without folding anything.
void eraseDeadOps(mlir::Operation *root);

} // namespace qlow

#endif // QLOW_LIB_IMPORT_CONTRACTION_H
