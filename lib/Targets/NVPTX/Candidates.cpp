//===- Candidates.cpp - what an NVIDIA chip could do with a matmul ----------===//
//
// Every row becomes a candidate: declined with its reason, or with the tiles that suit the problem's shape and the uses
// that follow from them. Exactness is a precondition here, never a cost.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/NVPTX.h"
#include "NVPTX/TileNest.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace mlir;
using namespace qlow;

namespace {
/// Tiles of a block and of a warp or lane, the buffers of the pipeline, and the stored panels that tiles are slices of.
/// K is in bytes of an operand where elements take a byte at most, else in elements.
struct Tiling {
  int64_t m, n, k, innerM, innerN, stages;
  int64_t panel = n;
};
} // namespace

/// Large tiles load least for each multiply; small ones keep more of the chip busy. One stored panel width serves all:
/// a layout belongs to the weight.
static constexpr Tiling kWarpTilings[] = {
    {128, 256, 64, 64, 64, 4}, {128, 128, 64, 64, 32, 4}, {64, 128, 64, 32, 32, 5},
    {32, 128, 128, 16, 32, 4}, {16, 128, 128, 16, 16, 5},
};
static constexpr Tiling kWarpgroupTilings[] = {
    {128, 256, 128, 64, 256, 4}, {128, 128, 128, 64, 128, 5}, {64, 128, 128, 64, 128, 6}, {64, 256, 128, 64, 256, 4}};
/// As many buffers as the results on their way out leave room for. Narrow tiles are for few rows: every multiprocessor
/// then reads a part of the weights.
static constexpr Tiling kSpecializedTilings[] = {
    {128, 256, 128, 64, 256, 4},    {128, 128, 128, 64, 128, 6},      {64, 128, 128, 64, 128, 8},
    {64, 256, 128, 64, 256, 5},     {64, 64, 128, 64, 64, 13, 128},   {64, 32, 128, 64, 32, 16, 128},
    {16, 32, 128, 64, 32, 16, 128}, {16, 64, 128, 64, 64, 13, 128},   {32, 32, 128, 64, 32, 16, 128},
    {32, 64, 128, 64, 64, 13, 128}, {128, 128, 128, 64, 128, 6, 256}, {64, 128, 128, 64, 128, 8, 256},
    {64, 64, 128, 64, 64, 13, 256}, {64, 32, 128, 64, 32, 16, 256},   {32, 32, 128, 64, 32, 16, 256},
    {32, 64, 128, 64, 64, 13, 256}, {16, 64, 128, 64, 64, 13, 256},   {16, 32, 128, 64, 32, 16, 256},
};
static constexpr Tiling kLaneTiling = {64, 64, 16, 4, 4, 2};

/// How much longer the second-level cache is busy where threads copy than where the copy engine does (H200, M = 16 to
/// 512 at N = K = 4096).
static constexpr double kThreadsCopyAt = 1.4;

/// Cycles of the copy engine for each of many small copies, and for each row of a box past the matrix; and those in
/// which a kernel starts, waits for its first tiles and stores its last ones (H200, M = 16 at N = K = 4096).
static constexpr double kPieceCycles = 35, kAbsentRowCycles = 3, kStartCycles = 4000;

/// Operations that decode an element, addresses included (H100, u4 x i4 by products of s8, M = N = K = 4096).
static constexpr double kDecodeOperations = 35;

/// Cycles in which a kernel of sums starts and ends.
static constexpr double kSumsCycles = 3000;

/// Codes are multiplied as they are, and their scales with the sums.
static std::string declineSmallFloats(const MultiplyRow &row, const MatmulProblem &problem) {
  for (auto [side, facts, element] :
       {std::tuple("left", &problem.lhs, row.lhs), std::tuple("right", &problem.rhs, row.rhs)}) {
    if (!facts->format || smallFloatOf(*facts->format) != element)
      return llvm::formatv("takes codes of {0}, the {1} side has {2}", elementName(element), side,
                           facts->format ? facts->format->name : "floats");
    if (row.isFast && !problem.fastSums)
      return "keeps fewer bits than the law asks for where fast sums are not asked for";
    if (facts->hasOffset || facts->scaledTogether)
      return llvm::formatv("takes one scale along K and no offset, the {0} side has others", side);
  }
  return {};
}

static std::string decline(const MultiplyRow &row, const MatmulProblem &problem, const Target &target) {
  if (std::string feature = target.missing(row); !feature.empty())
    return "needs " + feature;
  if (problem.exactSum == row.isFloat)
    return row.isFloat ? "sums floats, the law asks for the exact sum of integers"
                       : "sums integers, the operands are dequantized to f32";
  if (row.takesSmallFloats())
    return declineSmallFloats(row, problem);
  for (auto [side, facts, element] :
       {std::tuple("left", &problem.lhs, row.lhs), std::tuple("right", &problem.rhs, row.rhs)}) {
    if (element == OperandElement::B1 && (!facts->format || codeElement(*facts->format) != element))
      return llvm::formatv("takes signs of one bit, the {0} side has {1}", side,
                           facts->format ? facts->format->name : "floats");
    auto [least, most] = elementRange(element);
    if (facts->min < least || facts->max > most)
      return llvm::formatv("takes {0} to {1}, the {2} side has {3} to {4}", least, most, side, facts->min, facts->max);
  }
  return {};
}

/// Whether the elements lie as the row takes them.
static bool isWhole(OperandElement element, const OperandFacts &facts) {
  return facts.format && codeElement(*facts.format) == element;
}

/// Whether rows of the left side are copied as they lie; see TileNest::canCopyLhs.
static bool copiesLhs(const MultiplyRow &row, const MatmulProblem &problem) {
  return row.scope != MultiplyRow::Scope::Lane && isWhole(row.lhs, problem.lhs) && !problem.lhs.isTransposed &&
         problem.knownK && *problem.knownK * elementBits(row.lhs) % (8 * TileNest::kCopyBytes) == 0;
}

static bool packsRhs(const MultiplyRow &row, const MatmulProblem &problem) {
  return row.scope != MultiplyRow::Scope::Lane && problem.rhs.isConstant && isWhole(row.rhs, problem.rhs);
}

/// Why no warpgroup that only copies can bring both sides (see TileNest), or an empty string.
static std::string whyNotSpecialized(const MultiplyRow &row, const MatmulProblem &problem) {
  if (row.scope != MultiplyRow::Scope::Warpgroup)
    return "takes a row of a warpgroup";
  if (!packsRhs(row, problem))
    return "takes a constant right side of whole codes";
  if (!isWhole(row.lhs, problem.lhs) || problem.lhs.isTransposed)
    return "takes a left side of codes of one byte along K";
  if (!copiesLhs(row, problem) || *problem.knownK == 0)
    return "takes a K that is known and a positive multiple of 16" +
           (problem.knownK ? ", here " + std::to_string(*problem.knownK) : std::string());
  return {};
}

static bool isSpecialized(const MultiplyRow &row, const MatmulProblem &problem) {
  return whyNotSpecialized(row, problem).empty();
}

/// Whether a tensor map brings a slice of a panel, too: its panels are of one width.
static bool mapsRhs(const Tiling &tiling, const MatmulProblem &problem) {
  return tiling.panel != tiling.n && tiling.n <= TileNest::kMostMapped && problem.knownN &&
         *problem.knownN % tiling.panel == 0;
}

static RecipeAttr makeRecipe(MLIRContext *context, const MultiplyRow &row, const MatmulProblem &problem,
                             const Tiling &tiling) {
  bool isLane = row.scope == MultiplyRow::Scope::Lane;
  auto hop = [&](StringRef to, StringRef by, int64_t stages = 1, int64_t swizzle = 0) {
    return HopAttr::get(context, to.str(), by.str(), stages, swizzle);
  };
  auto level = [&](StringRef at, ArrayRef<int64_t> sizes) { return LevelAttr::get(context, at.str(), sizes); };
  auto toShared = [&](bool copies, OperandElement element, const OperandFacts &facts) {
    return hop("cta", copies ? "cp_async" : !isLane && isWhole(element, facts) ? "load" : "decode", tiling.stages);
  };
  SmallVector<HopAttr> lhs{toShared(copiesLhs(row, problem), row.lhs, problem.lhs)};
  SmallVector<HopAttr> rhs{toShared(packsRhs(row, problem), row.rhs, problem.rhs)};
  if (isSpecialized(row, problem)) {
    lhs = {hop("cta", "tma", tiling.stages, TileNest::kSwizzleBytes)};
    rhs = {hop("cta", mapsRhs(tiling, problem) ? "tma" : "bulk", tiling.stages)};
  }
  // wgmma reads shared memory itself.
  if (row.scope != MultiplyRow::Scope::Warpgroup)
    for (SmallVector<HopAttr> *hops : {&lhs, &rhs})
      hops->push_back(hop("reg", isLane ? "load" : "ldmatrix"));
  if (packsRhs(row, problem))
    rhs.insert(rhs.begin(), hop("memory", "pack"));
  SmallVector<LevelAttr> levels{level("cta", {tiling.m, tiling.n, tiling.k}),
                                level(TileNest::innerLevel(row), {tiling.innerM, tiling.innerN, row.k})};
  if (tiling.panel != tiling.n)
    levels.insert(levels.begin(), level("memory", {tiling.m, tiling.panel, tiling.k}));
  return RecipeAttr::get(context, row.id.str(), levels, lhs, rhs,
                         problem.exactSum || row.takesSmallFloats() ? "end" : "fold", /*swap=*/false,
                         /*split_k=*/1);
}

/// Uses of the whole problem, tiles past its edges included, as if spread over all cores: a last wave that leaves some
/// idle counts for all.
static ResourceVector countUses(const MultiplyRow &row, const MatmulProblem &problem, const Tiling &tiling,
                                const Machine &machine) {
  double blocks = problem.batch * std::ceil(problem.m / tiling.m) * std::ceil(problem.n / tiling.n);
  double cores = static_cast<double>(machine.cores), waves = std::ceil(blocks / cores);
  double kTiles = std::ceil(problem.k / tiling.k);
  auto amount = [](int64_t value) { return static_cast<double>(value); };
  // Products are whole where a tile has fewer rows.
  double products = amount(std::max(tiling.m, tiling.innerM)) * tiling.n * tiling.k / amount(row.m * row.n * row.k);
  double multiplies = products * kTiles * waves;
  ResourceVector uses = row.uses;
  for (double &use : uses)
    use *= multiplies;
  auto add = [&](Resource resource, double value) { uses[static_cast<unsigned>(resource)] += value; };
  double lhs = problem.batch * problem.m * problem.k, rhs = problem.batch * problem.k * problem.n;
  double elementSize = elementBits(row.storedRhs) / 8.0;
  double storedRhs = packsRhs(row, problem) ? elementSize : problem.rhs.bytes;
  add(Resource::Memory,
      (lhs * problem.lhs.bytes + rhs * storedRhs + problem.batch * problem.m * problem.n * 4) / cores);
  bool specialized = isSpecialized(row, problem);
  // A box brings the rows that there are.
  double rows = specialized ? std::min(amount(tiling.m), problem.m) : amount(tiling.m);
  double tileBytes = (rows + amount(tiling.n)) * tiling.k * kTiles * waves * elementSize;
  add(Resource::L2, tileBytes * (specialized ? 1 : kThreadsCopyAt));
  if (specialized && tiling.panel != tiling.n && !mapsRhs(tiling, problem))
    add(Resource::Load, kPieceCycles * amount(tiling.k) / TileNest::kCopyBytes * kTiles * waves);
  if (specialized)
    add(Resource::Load, kAbsentRowCycles * (amount(tiling.m) - rows) * kTiles * waves);
  // What threads copy takes their way to shared memory, 128 bytes at a time.
  if (!specialized)
    add(Resource::Load, tileBytes / 128);
  // ldmatrix brings 16 lines of 32 bytes to a warp; a lane's load brings one element.
  double fragments = amount(tiling.m) * tiling.n * tiling.k * kTiles * waves;
  double lines = fragments / tiling.innerN / row.k + fragments / tiling.innerM / row.k;
  if (row.scope != MultiplyRow::Scope::Warpgroup)
    add(Resource::Load, row.scope == MultiplyRow::Scope::Warp ? lines / 16 * 4 : lines / 32);
  // Sums of the rows of signs are a kernel of their own, which reads them again and takes two microseconds to start.
  if (row.countsCommon) {
    add(Resource::Memory, lhs * problem.lhs.bytes / cores);
    add(Resource::Alu, kSumsCycles * machine.capacity[static_cast<unsigned>(Resource::Alu)]);
  }
  if (!copiesLhs(row, problem))
    add(Resource::Alu, amount(tiling.m) * tiling.k * kTiles * waves * kDecodeOperations / 32);
  if (!packsRhs(row, problem))
    add(Resource::Alu, amount(tiling.n) * tiling.k * kTiles * waves * kDecodeOperations / 32);
  return uses;
}

static void addCandidate(std::vector<Candidate> &result, MLIRContext *context, const MultiplyRow &row,
                         const MatmulProblem &problem, Tiling tiling, const Target &target) {
  tiling.k *= std::max<int64_t>(1, 8 / elementBits(row.lhs));
  Candidate candidate{};
  candidate.row = &row;
  candidate.recipe = makeRecipe(context, row, problem, tiling);
  int64_t shared = TileNest::sharedBytes(candidate.recipe, row), limit = target.machine().levelBytes("cta");
  candidate.layout = packsRhs(row, problem) ? llvm::formatv("{0}x{1}", tiling.panel, row.storedGroup()).str() : "codes";
  if (shared > limit) {
    candidate.declined = llvm::formatv("a tile needs {0} bytes of shared memory, a block has {1}", shared, limit);
  } else {
    candidate.uses = countUses(row, problem, tiling, target.machine());
    score(candidate, target.machine());
    candidate.cycles += kStartCycles;
    // Warps that multiply store their sums in the end, and have nothing else to do meanwhile.
    double results = problem.batch * problem.m * problem.n * 4 / static_cast<double>(target.machine().cores);
    if (row.scope == MultiplyRow::Scope::Warp)
      candidate.cycles += results / target.machine().capacity[static_cast<unsigned>(Resource::Memory)];
    double blocks = problem.batch * std::ceil(problem.m / tiling.m) * std::ceil(problem.n / tiling.n);
    int64_t threads = TileNest::threadsOf(candidate.recipe, row);
    candidate.figures = {{"stages", tiling.stages},
                         {"threads", threads},
                         {"shared_bytes", shared},
                         {"blocks", blocks},
                         {"waves", blocks / static_cast<double>(target.machine().cores)}};
  }
  result.push_back(std::move(candidate));
}

/// Whether the row makes such inner tiles. Sums of an instruction that are added to others are held beside them: the
/// largest tile of a warp has no room.
static bool fitsTiling(const MultiplyRow &row, const Tiling &tiling) {
  if (row.scope == MultiplyRow::Scope::Warp)
    return !row.takesSmallFloats() || tiling.innerM * tiling.innerN < 64 * 64;
  // Promoted, a large tile takes two products after each other.
  return tiling.innerN == row.n || (row.promotion && row.n == 128 && tiling.innerN == 2 * row.n);
}

std::vector<Candidate> qlow::nvptxCandidates(MLIRContext *context, const MatmulProblem &problem, const Target &target) {
  std::vector<Candidate> result;
  for (const MultiplyRow *row : target.rows()) {
    if (row->isFloat && elementBits(row->lhs) == 16) {
      llvm::append_range(result, weightOnlyCandidates(context, *row, problem, target));
      continue;
    }
    if (std::string reason = decline(*row, problem, target); !reason.empty()) {
      Candidate candidate{};
      candidate.row = row;
      candidate.declined = reason;
      result.push_back(std::move(candidate));
    } else if (row->scope == MultiplyRow::Scope::Lane) {
      addCandidate(result, context, *row, problem, kLaneTiling, target);
    } else {
      bool isWarp = row->scope == MultiplyRow::Scope::Warp;
      ArrayRef<Tiling> tilings = isWarp                         ? ArrayRef<Tiling>(kWarpTilings)
                                 : isSpecialized(*row, problem) ? ArrayRef<Tiling>(kSpecializedTilings)
                                                                : ArrayRef<Tiling>(kWarpgroupTilings);
      for (const Tiling &tiling : tilings)
        if (fitsTiling(*row, tiling))
          addCandidate(result, context, *row, problem, tiling, target);
      // The row's other schedule, by name.
      if (!isWarp && !isSpecialized(*row, problem)) {
        Candidate candidate{};
        candidate.row = row;
        candidate.declined = "by a warpgroup that copies it " + whyNotSpecialized(*row, problem);
        result.push_back(std::move(candidate));
      }
    }
  }
  return result;
}
