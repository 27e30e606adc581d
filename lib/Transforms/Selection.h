//===- Selection.h - parts of qlow-select-recipes ---------------*- C++ -*-===//
//
// The pass and how it enumerates are in SelectRecipes.cpp; here is what it asks (MatmulProblems.cpp) and what it tells
// (SelectionReport.cpp).
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TRANSFORMS_SELECTION_H
#define QLOW_LIB_TRANSFORMS_SELECTION_H

#include "qlow/Targets/Layout.h"
#include "qlow/Targets/Targets.h"

namespace qlow {

/// The constant that holds an operand's codes or floats, null if it is computed.
mlir::Attribute constantCodes(mlir::Value operand);

MatmulProblem problemOf(MatmulOp op, bool fastSums, const Family &family);

/// The key of all that is done for one matmul alone.
inline double wholeKey(const Candidate &candidate) { return candidate.key + candidate.packingKey; }

/// In what way the candidate is not the format's own instruction; empty if it is.
std::string emulationOf(const Candidate &candidate, const MatmulProblem &problem);

/// One entry of the module's report: what computes the op where M is large, at what cost, and why each other row was
/// not taken. `numUses` matmuls read its right side.
mlir::DictionaryAttr describe(MatmulOp op, const MatmulProblem &problem, const Candidate &last,
                              llvm::ArrayRef<Candidate> all, size_t numUses, double typicalM, const Machine &machine);

} // namespace qlow

#endif // QLOW_LIB_TRANSFORMS_SELECTION_H
