//===- Candidates.cpp - what a CPU could do with a matmul -------------------===//
//
// Every row becomes a candidate: declined with its reason, or with the register tile that its registers allow, the
// block that fits the second-level cache, and the uses that follow from both. Exactness is a precondition here, never a
// cost.
//
//===----------------------------------------------------------------------===//

#include "Generic/Cpu.h"
#include "qlow/Targets/Layout.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/FormatVariadic.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace qlow;

namespace {
struct RegisterTile {
  int64_t rows, vectors;
};
} // namespace

/// The tile with the fewest loads for each multiply: accumulators, one vector of each column, one broadcast.
static RegisterTile chooseTile(const MultiplyRow &row, int64_t registers) {
  RegisterTile best{1, 1};
  double fewest = 3;
  for (int64_t vectors : {4, 2, 1}) {
    int64_t rows = (registers - vectors - 1 - row.temporaries) / vectors;
    // Past six rows the loads saved are few and short M waste more of the tile.
    rows = std::min<int64_t>(rows, 6);
    if (rows < 1)
      continue;
    double loads = static_cast<double>(rows + vectors) / static_cast<double>(rows * vectors);
    if (loads < fewest) {
      fewest = loads;
      best = {rows, vectors};
    }
  }
  return best;
}

/// Why the row can not take the problem; empty if it can.
static std::string decline(const MultiplyRow &row, const MatmulProblem &problem, const Target &target) {
  if (std::string feature = target.missing(row); !feature.empty())
    return "needs " + feature;
  if (!problem.exactSum)
    return row.isFloat ? "" : "sums integers, the operands are dequantized to f32";
  double greatest = std::max(std::abs(problem.lhs.min), std::abs(problem.lhs.max)) *
                    static_cast<double>(std::max(std::abs(problem.rhs.min), std::abs(problem.rhs.max)));
  if (row.isFloat)
    return llvm::formatv("f32 sums of these products are exact only to K = {0}",
                         static_cast<int64_t>(16777216.0 / std::max(greatest, 1.0)));
  for (auto [side, facts, element] :
       {std::tuple("left", &problem.lhs, row.lhs), std::tuple("right", &problem.rhs, row.rhs)}) {
    auto [least, most] = elementRange(element);
    if (facts->min < least || facts->max > most)
      return llvm::formatv("takes {0}, the {1} side has {2} to {3}", elementName(element), side, facts->min,
                           facts->max);
  }
  return {};
}

/// Whether rows of the left side can be broadcast from where they lie; see MatmulNest::canReadInPlace.
static bool readsInPlace(const MultiplyRow &row, const MatmulProblem &problem) {
  return problem.lhs.isWhole && !problem.lhs.isTransposed && problem.lhs.bytes == elementBytes(row.storedLhs) &&
         !row.lhsOffset && (row.isFloat || (!row.rhsOffset && !problem.rhs.hasZeroPoint)) && problem.knownK &&
         *problem.knownK % row.k == 0;
}

static RecipeAttr makeRecipe(MLIRContext *context, const MultiplyRow &row, const MatmulProblem &problem,
                             const Machine &machine, RegisterTile tile, bool isInMemory) {
  int64_t width = tile.vectors * row.n;
  int64_t k = std::max<int64_t>(problem.knownK.value_or(row.k), 1);
  int64_t rows = problem.knownM ? std::clamp<int64_t>(*problem.knownM, 1, tile.rows) : tile.rows;
  // Half of the second level for packed rows, the rest for the panel that meets them.
  int64_t rowBytes = std::max<int64_t>(static_cast<int64_t>(problem.k) / row.k * 4, 4);
  int64_t blockRows = std::clamp<int64_t>(machine.levelBytes("l2") / 2 / rowBytes, rows, 240) / rows * rows;
  auto hop = [&](StringRef to, StringRef by) { return HopAttr::get(context, to.str(), by.str(), 1, 0); };
  auto level = [&](StringRef at, ArrayRef<int64_t> sizes) { return LevelAttr::get(context, at.str(), sizes); };
  SmallVector<HopAttr> lhs{hop("reg", "broadcast32")};
  if (!readsInPlace(row, problem))
    lhs.insert(lhs.begin(), hop("l2", problem.lhs.isWhole ? "pack" : "decode"));
  bool codesAreStored = problem.lhs.isWhole && problem.rhs.isWhole;
  return RecipeAttr::get(
      context, row.id.str(), {level("thread", {blockRows, width, k}), level("reg", {rows, width, row.k})}, lhs,
      {hop(isInMemory ? "memory" : "l2", problem.rhs.isWhole ? "pack" : "decode"), hop("reg", "load")},
      problem.exactSum || codesAreStored ? "end" : "fold", /*swap=*/false, /*split_k=*/1);
}

/// Work on each element of the right side before the K loop reads it: what lies whole moves by vectors, twelve
/// operations and eight shuffles for each, or a word at a time; decoding takes about ten an element, and the scale's
/// arithmetic.
static void addPacking(ResourceVector &uses, const MultiplyRow &row, const MatmulProblem &problem) {
  double elements = problem.batch * problem.k * problem.n;
  auto add = [&](Resource resource, double amount) { uses[static_cast<unsigned>(resource)] += amount; };
  if (!problem.rhs.isWhole)
    return add(Resource::Alu, elements * 12);
  double vectors = elements / static_cast<double>(row.n * row.k);
  add(Resource::Alu, vectors * 12);
  add(Resource::Shuffle, vectors * (problem.rhs.isTransposed ? 24 : 8));
}

/// Uses of the whole problem. Tiles of fewer rows than the register tile load each column more often.
static void countUses(Candidate &candidate, const MatmulProblem &problem, RegisterTile tile, const Machine &machine) {
  const MultiplyRow &row = *candidate.row;
  double multiplies = problem.batch * problem.m * std::ceil(problem.n / row.n) * std::ceil(problem.k / row.k);
  double rows = std::clamp<double>(problem.m, 1, static_cast<double>(tile.rows));
  candidate.uses = row.uses;
  for (double &use : candidate.uses)
    use *= multiplies;
  auto add = [&](Resource resource, double amount) { candidate.uses[static_cast<unsigned>(resource)] += amount; };
  add(Resource::Load, multiplies * (1 / rows + 1 / static_cast<double>(tile.vectors)));
  if (elementBytes(row.storedRhs) < elementBytes(row.storedLhs))
    add(Resource::Shuffle, multiplies / rows);
  double lhs = problem.batch * problem.m * problem.k, rhs = problem.batch * problem.k * problem.n;
  double storedBytes = rhs * elementBytes(row.storedRhs);
  bool isInMemory = candidate.recipe.getRhs().front().getTo() == "memory";
  auto levelOf = [&](double bytes) {
    return bytes > static_cast<double>(machine.levelBytes("l2")) ? Resource::Memory : Resource::L2;
  };
  add(Resource::Memory, lhs * problem.lhs.bytes + problem.batch * problem.m * problem.n * 4);
  if (isInMemory)
    add(problem.rhs.isConstant ? Resource::Memory : levelOf(storedBytes), storedBytes);
  add(Resource::L2, storedBytes * std::ceil(problem.m / rows));
  // Blocks of rows meet all panels that lie in memory. A panel in a slot meets all blocks, which are packed, or read
  // again, for each panel unless there is but one.
  double blocks = std::ceil(problem.m / static_cast<double>(candidate.recipe.getTile("thread")[0]));
  double passes = isInMemory || blocks <= 1 ? 1 : std::ceil(problem.n / static_cast<double>(tile.vectors * row.n));
  if (!readsInPlace(row, problem))
    add(Resource::Alu, lhs * passes * (problem.lhs.isWhole ? 1 : 10));
  double lhsBytes = lhs * problem.lhs.bytes;
  add(levelOf(lhsBytes), lhsBytes * (passes - 1));
  if (isInMemory && problem.rhs.isConstant)
    return;
  addPacking(candidate.packing, row, problem);
  candidate.packing[static_cast<unsigned>(Resource::Memory)] += rhs * problem.rhs.bytes;
  if (isInMemory)
    candidate.packing[static_cast<unsigned>(levelOf(storedBytes))] += storedBytes;
}

std::vector<Candidate> CpuFamily::candidates(MLIRContext *context, const MatmulProblem &problem,
                                             const Target &target) const {
  std::vector<Candidate> result;
  const Machine &machine = target.machine();
  for (const MultiplyRow *row : target.rows()) {
    Candidate candidate{};
    candidate.row = row;
    candidate.declined = decline(*row, problem, target);
    if (!candidate.declined.empty()) {
      result.push_back(std::move(candidate));
      continue;
    }
    RegisterTile tile = chooseTile(*row, machine.vectorRegisters);
    LayoutAttr layout = layoutOf(context, *row, tile.vectors * row->n, !problem.knownN);
    // A constant is stored as the target likes where that takes no more bytes than the model's codes. What is computed
    // is packed once by the program, or panel by panel by each task that reads it.
    bool isStored = problem.rhs.isConstant && problem.rhs.isWhole;
    for (bool isInMemory : {true, false}) {
      if (problem.rhs.isConstant && isInMemory != isStored)
        continue;
      Candidate way = candidate;
      way.packsOnce = isInMemory && !problem.rhs.isConstant;
      way.recipe = makeRecipe(context, *row, problem, machine, tile, isInMemory);
      way.layout = llvm::formatv("{0} in {1}", layout, isInMemory ? "memory" : "slots");
      countUses(way, problem, tile, machine);
      score(way, machine);
      result.push_back(std::move(way));
    }
  }
  return result;
}
