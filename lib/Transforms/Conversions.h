//===- Conversions.h - conversions between floats and codes as linalg -------===//
//
// What fusion and the split share: quantized values seen as their parts, and the conversion ops written as linalg over
// them. Values cross over by qlow.decompose and qlow.compose, which cancel.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TRANSFORMS_CONVERSIONS_H
#define QLOW_LIB_TRANSFORMS_CONVERSIONS_H

#include "qlow/Dialect/Dialect.h"
#include "qlow/Dialect/Elements.h"

#include "mlir/IR/PatternMatch.h"

namespace qlow {

/// The parts of a quantized value, without a new op where they are at hand.
llvm::SmallVector<mlir::Value> emitParts(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value quantized);
/// The sizes of a tensor, quantized or not: attributes where static.
llvm::SmallVector<mlir::OpFoldResult> emitSizes(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value tensor);
/// The sizes (batch..., m, n) of a matmul's result.
llvm::SmallVector<mlir::OpFoldResult> emitMatmulSizes(mlir::OpBuilder &builder, MatmulOp op);
/// ceil(size / block)
mlir::OpFoldResult emitCeilDiv(mlir::OpBuilder &builder, mlir::Location loc, mlir::OpFoldResult size, int64_t block);

/// Gives the element of the result at `indices`; `inputs` are the elements of the inputs there.
using ElementBody = llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location, mlir::ValueRange inputs,
                                                   mlir::ValueRange indices)>;
/// A tensor of `sizes` computed element by element; `inputs` have the same sizes.
mlir::Value emitElementwise(mlir::OpBuilder &builder, mlir::Location loc, llvm::ArrayRef<mlir::OpFoldResult> sizes,
                            mlir::Type element, mlir::ValueRange inputs, ElementBody body);
/// Loads for element bodies: a part of one element is read once, at `outer`, which must stand before the loops.
LoadPart makeHoistingLoad(mlir::OpBuilder &outer);

/// i32 code of the requantized sum `acc` (i32): docs/Semantics.md, requantize. `shift` and `zero` may be null.
mlir::Value emitRequantized(mlir::OpBuilder &builder, mlir::Location loc, const Format &format, Rounding rounding,
                            mlir::Value acc, mlir::Value multiplier, mlir::Value shift, mlir::Value zero);

/// The codes of a quantized tensor as the codes of `element`, integers of i8, one by one, or as floats of that type
/// that hold all of them, less their zero points. Where they meet scales, these are times the scale, or, where scales
/// are codes under one scale of the tensor, times the scale's code.
mlir::Value emitUnpacked(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value quantized, mlir::Type element,
                         bool meetsScales);
/// A matrix of f32 as the sum of kTermsOfF32 of bf16, exactly: [batch..., M, K] to [batch..., kTermsOfF32 M, K].
/// Nothing is promised of infinities, and of numbers whose terms are subnormal.
mlir::Value emitTerms(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value tensor);
/// What a matmul's epilogue makes of the sums of its left side's terms.
mlir::Value emitSumOfTerms(mlir::OpBuilder &builder, mlir::Location loc, MatmulOp op, mlir::Value sums);
/// The stored codes of a quantized tensor of `type` from its codes one by one, a tensor of integers.
mlir::Value emitPackedCodes(mlir::OpBuilder &builder, mlir::Location loc, mlir::RankedTensorType type,
                            mlir::Value codes);

/// Replaces the op by linalg over parts and a qlow.compose.
void lowerQuantize(mlir::RewriterBase &rewriter, QuantizeOp op, ByInverse byInverse);
void lowerQuantizeDynamic(mlir::RewriterBase &rewriter, QuantizeDynamicOp op, ByInverse byInverse);
void lowerDequantize(mlir::RewriterBase &rewriter, DequantizeOp op);
void lowerRequantize(mlir::RewriterBase &rewriter, RequantizeOp op);

} // namespace qlow

#endif // QLOW_LIB_TRANSFORMS_CONVERSIONS_H
