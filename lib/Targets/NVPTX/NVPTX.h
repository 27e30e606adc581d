//===- NVPTX.h - private parts of the NVIDIA family -------------*- C++ -*-===//

#ifndef QLOW_LIB_TARGETS_NVPTX_NVPTX_H
#define QLOW_LIB_TARGETS_NVPTX_NVPTX_H

#include "qlow/Targets/Targets.h"

namespace qlow {

llvm::ArrayRef<MultiplyRow> nvptxRows();
const MultiplyRow *findNvptxRow(llvm::StringRef id);

/// Cycles in which a kernel ahead of a product starts and ends.
inline constexpr double kKernelAheadCycles = 3000;

/// See Family::passCycles.
double nvptxPassCycles(double kernels, double bytes, const Machine &machine);

/// All rows as candidates; see Family::candidates.
std::vector<Candidate> nvptxCandidates(mlir::MLIRContext *context, const MatmulProblem &problem, const Target &target);
/// The same where kernels read the left side as the model stores it.
std::vector<Candidate> candidatesAsStored(mlir::MLIRContext *context, const MatmulProblem &problem,
                                          const Target &target);

/// Those of products of tokens and stored codes, unpacked in registers; a single one with the reason where there are
/// none.
std::vector<Candidate> weightOnlyCandidates(mlir::MLIRContext *context, const MultiplyRow &row,
                                            const MatmulProblem &problem, const Target &target);

/// See Family::occupancy.
std::optional<Occupancy> nvptxOccupancy(const BlockUse &use, const Machine &machine);

} // namespace qlow

#endif // QLOW_LIB_TARGETS_NVPTX_NVPTX_H
