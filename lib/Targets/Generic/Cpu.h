//===- Cpu.h - what CPU families share --------------------------*- C++ -*-===//
//
// The matmul nest of processors with vector registers and caches: a register tile inside cache blocks, operands packed
// into scratch, the row's instruction in the middle. Families of CPUs differ in rows and feature checks only.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TARGETS_GENERIC_CPU_H
#define QLOW_LIB_TARGETS_GENERIC_CPU_H

#include "qlow/Targets/Targets.h"

namespace qlow {

mlir::ArrayRef<MultiplyRow> genericRows();

/// Uses of one multiply beside its operand loads, which depend on the register tile.
inline ResourceVector cpuUses(double multiply, double alu = 0, double shuffle = 0) {
  ResourceVector uses{};
  uses[static_cast<unsigned>(Resource::Multiply)] = multiply;
  uses[static_cast<unsigned>(Resource::Alu)] = alu;
  uses[static_cast<unsigned>(Resource::Shuffle)] = shuffle;
  return uses;
}

/// A family whose schedule is the CPU nest.
class CpuFamily : public Family {
public:
  std::vector<Candidate> candidates(mlir::MLIRContext *context, const MatmulProblem &problem,
                                    const Target &target) const override;
  mlir::Value emitSlotBytes(mlir::OpBuilder &builder, MatmulKernelOp kernel, const Machine &machine) const override;
  mlir::LogicalResult schedule(mlir::RewriterBase &rewriter, MatmulKernelOp kernel,
                               const Machine &machine) const override;
  mlir::LogicalResult schedule(mlir::RewriterBase &rewriter, PackOp pack, const Machine &machine) const override;

private:
  /// The row a recipe names, among this family's and the generic ones.
  const MultiplyRow *findRow(llvm::StringRef id) const;
};

} // namespace qlow

#endif // QLOW_LIB_TARGETS_GENERIC_CPU_H
