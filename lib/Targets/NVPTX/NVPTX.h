//===- NVPTX.h - private parts of the NVIDIA family -------------*- C++ -*-===//

#ifndef QLOW_LIB_TARGETS_NVPTX_NVPTX_H
#define QLOW_LIB_TARGETS_NVPTX_NVPTX_H

#include "qlow/Targets/Targets.h"

namespace qlow {

llvm::ArrayRef<MultiplyRow> nvptxRows();
/// Those of integers of less than a byte.
std::vector<MultiplyRow> bitRows();
/// Those that multiply by scales.
std::vector<MultiplyRow> scaledRows();
/// Those whose sums lie in tensor memory.
std::vector<MultiplyRow> tensorRows();
/// What rows of mma.sync share: a warp's product of 16 x 8 x `k`, the unit of Multiply.
MultiplyRow mmaOfWarp(llvm::StringRef id, llvm::StringRef instruction, int64_t k, OperandElement lhs,
                      OperandElement rhs);
const MultiplyRow *findNvptxRow(llvm::StringRef id);

/// A fragment's words, and the four sums of a product as one.
llvm::SmallVector<mlir::Value> elementsOf(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value vector);
mlir::Value fragmentOf(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value sums);

/// All rows as candidates; see Family::candidates.
std::vector<Candidate> nvptxCandidates(mlir::MLIRContext *context, const MatmulProblem &problem, const Target &target);

/// Those of products of tokens and stored codes, unpacked in registers; a single one with the reason where there are
/// none.
std::vector<Candidate> weightOnlyCandidates(mlir::MLIRContext *context, const MultiplyRow &row,
                                            const MatmulProblem &problem, const Target &target);

/// See Family::occupancy.
std::optional<Occupancy> nvptxOccupancy(const BlockUse &use, const Machine &machine);

} // namespace qlow

#endif // QLOW_LIB_TARGETS_NVPTX_NVPTX_H
