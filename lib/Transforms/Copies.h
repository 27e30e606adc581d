//===- Copies.h - copies from buffer to buffer ------------------*- C++ -*-===//
//
// A memref.copy between strided buffers would become a call of a runtime library, so those are loops.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TRANSFORMS_COPIES_H
#define QLOW_LIB_TRANSFORMS_COPIES_H

#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace qlow {

/// The op that copies: operand 0 to operand 1.
inline mlir::Operation *emitCopy(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value from, mlir::Value to) {
  auto isPlain = [](mlir::Value buffer) {
    // Canonicalization lets a copy take what a cast makes row-major.
    while (auto cast = buffer.getDefiningOp<mlir::memref::CastOp>())
      buffer = cast.getSource();
    return llvm::cast<mlir::MemRefType>(buffer.getType()).getLayout().isIdentity();
  };
  if (isPlain(from) && isPlain(to))
    return mlir::memref::CopyOp::create(builder, loc, from, to);
  return mlir::linalg::makeMemRefCopyOp(builder, loc, from, to);
}

} // namespace qlow

#endif // QLOW_LIB_TRANSFORMS_COPIES_H
