//===- Rows.h - what files of NVIDIA's rows share ---------------*- C++ -*-===//
//
// Each file has the rows of some elements; Rows.cpp puts them in order. Here is what they are made with.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TARGETS_NVPTX_ROWS_H
#define QLOW_LIB_TARGETS_NVPTX_ROWS_H

#include "NVPTX/NVPTX.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

namespace qlow {

/// Those of integers of less than a byte.
std::vector<MultiplyRow> bitRows();
/// Floats of 16 bits, and those whose weights are unpacked to them.
std::vector<MultiplyRow> halfRows();
/// Floats of 8 bits, their sums added up within the law's bound.
std::vector<MultiplyRow> smallFloatRows();
/// The same summed by the unit alone.
std::vector<MultiplyRow> fastSmallFloatRows();
/// Those that multiply by scales.
std::vector<MultiplyRow> scaledRows();
/// Those whose sums lie in tensor memory.
std::vector<MultiplyRow> tensorRows();

/// A fragment's words, and the four sums of a product as one.
llvm::SmallVector<mlir::Value> elementsOf(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value vector);
mlir::Value fragmentOf(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value sums);

using EmitProduct = decltype(MultiplyRow::emit);

/// What rows of mma.sync share: a warp's product of 16 x 8 x `k`, the unit of Multiply.
MultiplyRow mmaOfWarp(llvm::StringRef id, llvm::StringRef instruction, int64_t k, OperandElement lhs,
                      OperandElement rhs);
/// One of 32 bytes of k, which chips from sm_80 on have.
MultiplyRow mmaOfBytes(llvm::StringRef id, OperandElement lhs, OperandElement rhs, EmitProduct emit);
/// A warpgroup's product of 64 x `n` and 32 bytes of k.
MultiplyRow wgmma(llvm::StringRef id, llvm::StringRef instruction, int64_t n, OperandElement lhs, OperandElement rhs,
                  EmitProduct emit);

struct WgmmaShape {
  int64_t n;
  mlir::NVVM::WGMMATypes lhs, rhs, sum;
  mlir::NVVM::MMALayout rhsLayout; ///< col: k of one column side by side
};
/// The asynchronous product: acc is a struct of n / 2 words, null where sums begin; lhs and rhs are descriptors.
mlir::Value emitWgmma(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value acc, mlir::Value lhs, mlir::Value rhs,
                      const WgmmaShape &shape);
template <int64_t n, mlir::NVVM::WGMMATypes lhsType, mlir::NVVM::WGMMATypes rhsType,
          mlir::NVVM::WGMMATypes sumType = mlir::NVVM::WGMMATypes::s32,
          mlir::NVVM::MMALayout rhsLayout = mlir::NVVM::MMALayout::col>
mlir::Value emitWgmma(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value acc, mlir::Value lhs, mlir::Value rhs) {
  return emitWgmma(builder, loc, acc, lhs, rhs, {n, lhsType, rhsType, sumType, rhsLayout});
}

/// The asynchronous product whose left operand each thread holds as four words, as mma.sync's rows: acc is a struct of
/// n / 2 f32, of bytes i32, null where sums begin; rhs is a descriptor.
mlir::Value emitWgmmaOfRegisters(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value acc, mlir::Value lhs,
                                 mlir::Value rhs, int64_t n, OperandElement element);
MultiplyRow wgmmaOfRegisters(llvm::StringRef id, llvm::StringRef instruction, int64_t n, OperandElement element,
                             EmitProduct emit);
template <int64_t n, OperandElement element>
MultiplyRow wgmmaOfRegisters(llvm::StringRef id, llvm::StringRef instruction) {
  return wgmmaOfRegisters(
      id, instruction, n, element,
      [](mlir::OpBuilder &builder, mlir::Location loc, mlir::Value acc, mlir::Value lhs, mlir::Value rhs) {
        return emitWgmmaOfRegisters(builder, loc, acc, lhs, rhs, n, element);
      });
}

} // namespace qlow

#endif // QLOW_LIB_TARGETS_NVPTX_ROWS_H
