//===- Epilogues.h - building the epilogue of a matmul ------------------------===//
//
// An epilogue region under construction, and the one that states what a qlow.matmul computes after its sum
// (docs/Semantics.md, matmul).
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TRANSFORMS_EPILOGUES_H
#define QLOW_LIB_TRANSFORMS_EPILOGUES_H

#include "qlow/Dialect/Dialect.h"

#include "mlir/IR/PatternMatch.h"

namespace qlow {

/// A tensor that an epilogue reads through a projected permutation of (batch..., m, n), zeros allowed.
struct EpilogueExtra {
  mlir::Value tensor;
  mlir::AffineMap map;
};

/// The new epilogue of a matmul that is about to be replaced.
class EpilogueBuilder {
public:
  /// Takes the epilogue and the extras of `op`; the new matmul will stand before `at`.
  EpilogueBuilder(mlir::RewriterBase &rewriter, MatmulOp op, mlir::Operation *at);

  /// Where ops of the region go, and where what it reads is computed.
  mlir::OpBuilder &inside() { return inner; }
  mlir::OpBuilder &outside() { return rewriter; }
  mlir::Location getLoc() { return op.getLoc(); }
  int64_t getRank() { return mlir::cast<mlir::RankedTensorType>(op.getType()).getRank(); }
  /// The sizes (batch..., m, n) of the result.
  llvm::ArrayRef<mlir::OpFoldResult> getSizes();

  /// What the region yields so far: at first the sum.
  mlir::Value element;
  /// The element of an extra. Constants of one value become constants, the same extra is read once.
  mlir::Value read(EpilogueExtra extra);
  /// The epilogue yields `element` to a result of `type`; the old op is left without a region.
  MatmulOp finish(mlir::RankedTensorType type, mlir::ValueRange parts);

private:
  mlir::RewriterBase &rewriter;
  MatmulOp op;
  mlir::Operation *at;
  mlir::Region region;
  mlir::OpBuilder inner;
  llvm::SmallVector<EpilogueExtra> extras;
  llvm::SmallVector<mlir::OpFoldResult> sizes;
};

enum class BlockValue { Scale, Zero, Offset };
/// Scale (f32), zero point (i32) or offset (f32) of a quantized tensor as an extra, one element for each block. `parts`
/// may lack codes. `dims` says which dimension of the matmul's result each dimension is, -1 for K, along which there is
/// one block. The type must have what is asked for. Constant parts give a constant.
EpilogueExtra emitBlockValue(EpilogueBuilder &epilogue, QType type, mlir::ValueRange parts, BlockValue which,
                             llvm::ArrayRef<int64_t> dims);
/// The same for the matmul's own result, null where the type has none.
mlir::Value readResultValue(EpilogueBuilder &epilogue, QType type, mlir::ValueRange parts, BlockValue which);

/// Gives a matmul without epilogue the one the law describes and replaces it by the new op.
MatmulOp formEpilogue(mlir::RewriterBase &rewriter, MatmulOp op);

/// Has the sum of a matmul with an epilogue, f32, meet what a left side unpacked to floats lacks (see emitUnpacked):
/// its scales, or where numbers have met codes of scales, the one scale of these.
MatmulOp scaleSum(mlir::RewriterBase &rewriter, MatmulOp op, bool meetsScales);

} // namespace qlow

#endif // QLOW_LIB_TRANSFORMS_EPILOGUES_H
