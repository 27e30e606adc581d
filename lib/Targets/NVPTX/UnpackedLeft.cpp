//===- UnpackedLeft.cpp - left sides that a kernel of their own unpacks -----===//
//
// Neither tensor maps nor threads that copy 16 bytes bring integers of less than a byte, but where an instruction
// multiplies those: each block of threads would decode its rows of them again. A kernel ahead of the matmul makes bytes
// of them instead, once, in memory. Which way is cheaper, selection decides.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/NVPTX.h"

#include "qlow/Targets/Layout.h"

using namespace mlir;
using namespace qlow;

/// Cycles in which the kernel that unpacks starts and ends.
static constexpr double kStartCycles = 3000;

std::vector<Candidate> qlow::nvptxCandidates(MLIRContext *context, const MatmulProblem &problem, const Target &target) {
  std::vector<Candidate> result = candidatesAsStored(context, problem, target);
  const Format *unpacked = problem.lhs.format ? unpackedFormat(*problem.lhs.format) : nullptr;
  if (!unpacked)
    return result;
  MatmulProblem whole = problem;
  whole.lhs.format = unpacked;
  whole.lhs.bytes = 1;
  whole.lhs.isWhole = problem.exactSum;
  whole.lhs.min = unpacked->integerImage()->min;
  whole.lhs.max = unpacked->integerImage()->max;
  const Machine &machine = target.machine();
  double bytes = problem.batch * problem.m * problem.k * (problem.lhs.bytes + 1) / static_cast<double>(machine.cores);
  double cycles = kStartCycles + bytes / machine.capacity[static_cast<unsigned>(Resource::Memory)];
  for (Candidate &candidate : candidatesAsStored(context, whole, target)) {
    if (!candidate.declined.empty())
      continue;
    const RecipeAttr &recipe = candidate.recipe;
    SmallVector<HopAttr> lhs{HopAttr::get(context, "memory", kUnpackedHop.str(), /*stages=*/1, /*swizzle=*/0)};
    llvm::append_range(lhs, recipe.getLhs());
    candidate.recipe = RecipeAttr::get(context, recipe.getUnit(), recipe.getTiles(), lhs, recipe.getRhs(),
                                       recipe.getRescale(), recipe.getSwap(), recipe.getSplitK());
    candidate.cycles += cycles;
    candidate.key += cycles;
    candidate.layout += ", left side unpacked"; // for all M
    result.push_back(std::move(candidate));
  }
  return result;
}
