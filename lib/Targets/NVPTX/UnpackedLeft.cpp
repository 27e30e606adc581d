//===- UnpackedLeft.cpp - left sides that a kernel of their own unpacks -----===//
//
// Codes can be copied to shared memory only where an instruction multiplies them as they are, beside the right side's.
// Where none does, each block of threads would decode its rows again. A kernel ahead of the matmul makes bytes of
// smaller integers instead, or bf16 of codes whose sums are of floats, once, in memory. It makes three bf16 of an f32
// beside codes, and another kernel adds up the sums of these. Which way is cheaper, selection decides.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/NVPTX.h"

#include "qlow/Targets/Layout.h"

#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace qlow;

double qlow::nvptxPassCycles(double kernels, double bytes, const Machine &machine) {
  return kernels * kKernelAheadCycles +
         bytes / static_cast<double>(machine.cores) / machine.capacity[static_cast<unsigned>(Resource::Memory)];
}

std::vector<Candidate> qlow::nvptxCandidates(MLIRContext *context, const MatmulProblem &problem, const Target &target) {
  std::vector<Candidate> result = candidatesAsStored(context, problem, target);
  if (!problem.lhs.unpacked)
    return result;
  // Tables are rounded beside bf16, which the law allows where the model has it, not where codes become such.
  bool isRounded = problem.rhs.format && problem.rhs.format->kind == DecodeKind::Codebook;
  if (isRounded && !isa<QType>(problem.lhs.unpacked)) {
    for (Candidate &candidate : result)
      if (candidate.row->lhs == OperandElement::BF16 && !candidate.declined.empty())
        candidate.declined = llvm::formatv(
            "takes bf16, beside which the table of {0} is rounded; the left side has others", problem.rhs.format->name);
    return result;
  }
  MatmulProblem whole = problem;
  double bytes = problem.batch * problem.m * problem.k * problem.lhs.bytes, kernels = 1;
  if (auto codes = dyn_cast<QType>(problem.lhs.unpacked)) {
    IntegerImage image = *codes.getFormat()->integerImage();
    whole.lhs.format = codes.getFormat();
    whole.lhs.unpacked = {};
    whole.lhs.bytes = 1;
    whole.lhs.min = image.min, whole.lhs.max = image.max;
  } else {
    whole.lhs = {};
    whole.lhs.isTransposed = problem.lhs.isTransposed;
    whole.lhs.element = OperandElement::BF16;
    whole.lhs.bytes = 2;
  }
  if (!problem.lhs.format) {
    if (problem.knownM.value_or(0) > INT32_MAX / kTermsOfF32) // kernels count rows in 32 bits
      return result;
    whole.m *= kTermsOfF32;
    if (whole.knownM)
      *whole.knownM *= kTermsOfF32;
    bytes += problem.batch * (whole.m + problem.m) * problem.n * 4;
    ++kernels;
  }
  bytes += problem.batch * whole.m * problem.k * whole.lhs.bytes;
  double cycles = nvptxPassCycles(kernels, bytes, target.machine());
  OperandElement unpacked = isa<QType>(problem.lhs.unpacked) ? OperandElement::S8 : OperandElement::BF16;
  for (Candidate &candidate : candidatesAsStored(context, whole, target)) {
    if (candidate.row->lhs == OperandElement::F32) // which takes the left side as it lies, or decodes it as well
      continue;
    if (!candidate.declined.empty()) {
      // That the left side is not what the row takes is no reason then.
      auto same = llvm::find_if(result, [&](const Candidate &it) { return it.row == candidate.row; });
      if (candidate.row->lhs == unpacked && same != result.end() && !same->declined.empty())
        same->declined = candidate.declined;
      continue;
    }
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
