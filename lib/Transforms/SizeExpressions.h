//===- SizeExpressions.h - sizes as functions of the arguments ---*- C++ -*-===//
//
// Re-emits the size of a buffer anywhere inside a function as an expression of the function's arguments alone: at the
// function's start, or in another function that is given nothing but the dimensions.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TRANSFORMS_SIZEEXPRESSIONS_H
#define QLOW_LIB_TRANSFORMS_SIZEEXPRESSIONS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace qlow {

/// What the sizes of one function are functions of.
struct SizeRoots {
  mlir::Operation *function = nullptr;
  /// Arguments that carry results, with the dynamic sizes of the buffers they replaced: nobody passes their dims.
  llvm::DenseMap<mlir::Value, llvm::SmallVector<mlir::Value>> resultSizes;
  /// The argument that is the number of tasks at most.
  mlir::Value width;
};

class SizeExpressions {
public:
  enum Overflow { Wrap, Saturate };
  /// Emits at the builder's insertion point, which must stay put. `dim` gives a dynamic dimension of an input argument
  /// and `width` the number of tasks. With `Saturate`, sums and products stop at 2^62 instead of wrapping.
  SizeExpressions(mlir::OpBuilder &builder, const SizeRoots &roots,
                  std::function<mlir::Value(mlir::BlockArgument, int64_t)> dim, mlir::Value width, Overflow overflow)
      : builder(builder), roots(roots), loc(roots.function->getLoc()), dim(std::move(dim)), width(width),
        overflow(overflow) {}

  /// The value again, or null where it is not a function of the roots. Equal expressions give one value.
  mlir::Value emit(mlir::Value value);
  /// Dimension `index` of the buffer, or null.
  mlir::Value emitDim(mlir::Value buffer, int64_t index);
  /// Bytes of an allocation rounded up to 64, or null.
  mlir::Value emitBytes(mlir::Operation *alloc);

  mlir::Value constant(int64_t value);
  mlir::Value add(mlir::Value lhs, mlir::Value rhs);
  mlir::Value multiply(mlir::Value lhs, mlir::Value rhs);
  mlir::Value maximum(mlir::Value lhs, mlir::Value rhs);

private:
  mlir::Value emitUncached(mlir::Value value);
  /// The dimension that all of these have, or null.
  mlir::Value emitCommonDim(mlir::ValueRange buffers, int64_t index);
  mlir::Value emitForwardedDim(mlir::Value buffer, int64_t index);
  mlir::Value emitBytesUncached(mlir::Operation *alloc);
  mlir::Value emitSize(mlir::OpFoldResult size);
  mlir::Value cloned(mlir::Operation *op);
  /// The operation, or an equal one that was emitted before.
  mlir::Value unique(mlir::Operation *op);

  mlir::OpBuilder &builder;
  const SizeRoots &roots;
  mlir::Location loc;
  std::function<mlir::Value(mlir::BlockArgument, int64_t)> dim;
  mlir::Value width;
  Overflow overflow;
  llvm::DenseMap<mlir::Value, mlir::Value> cache;
  llvm::DenseMap<std::pair<mlir::Value, int64_t>, mlir::Value> dims;
  llvm::DenseMap<mlir::Operation *, mlir::Value> bytes;
  llvm::SmallVector<mlir::Operation *> emitted;
};

/// Bytes of one element as it lies in memory.
int64_t elementBytes(mlir::Operation *scope, mlir::Type type);

} // namespace qlow

#endif // QLOW_LIB_TRANSFORMS_SIZEEXPRESSIONS_H
