//===- QuantizedProduct.h - the integer rule of a QDQ matmul ----*- C++ -*-===//
//
// A matmul between dequantizations means the integer op: where its numerics are fixed for everything that follows.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_IMPORT_QUANTIZEDPRODUCT_H
#define QLOW_LIB_IMPORT_QUANTIZEDPRODUCT_H

#include "Uniform.h"

#include "mlir/IR/PatternMatch.h"

namespace qlow {

/// The quantized type each value had before import.
using UniformMap = llvm::DenseMap<mlir::Value, const Uniform *>;

/// Rewrites `op`, if it is a matmul with a quant.dcast on a side, together with the quant.qcast ops its sum reaches
/// through a bias and clamps. Values must have their types after import already; new quantized values join `uniforms`.
/// Fails only after an error.
mlir::FailureOr<bool> importQuantizedProduct(mlir::RewriterBase &rewriter, mlir::Operation *op, UniformMap &uniforms);

} // namespace qlow

#endif // QLOW_LIB_IMPORT_QUANTIZEDPRODUCT_H
