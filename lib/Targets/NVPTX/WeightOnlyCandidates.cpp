//===- WeightOnlyCandidates.cpp - ways to multiply floats by stored codes ---===//
//
// Candidates of the rows of 16-bit floats: declined with the reason, or with the tiles of the schedules that unpack a
// weight in registers.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/NVPTX.h"
#include "NVPTX/WeightOnly.h"

#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace mlir;
using namespace qlow;

static std::string decline(const MultiplyRow &row, const MatmulProblem &problem, const Target &target) {
  const OperandFacts &lhs = problem.lhs, &rhs = problem.rhs;
  if (std::string feature = target.missing(row); !feature.empty())
    return "needs " + feature;
  if (problem.exactSum)
    return "sums floats, the law asks for the exact sum of integers";
  if (lhs.format || lhs.element != row.lhs)
    return llvm::formatv("takes {0}, the left side has {1}", elementName(row.lhs),
                         lhs.format ? StringRef(lhs.format->name) : elementName(lhs.element));
  if (!rhs.format)
    return "unpacks codes, the right side has " + elementName(rhs.element).str();
  if (std::string reason = FragmentDecoder::decline(*rhs.format, row.lhs); !reason.empty())
    return reason;
  if (!rhs.isConstant)
    return "unpacks a weight stored as fragments, the right side is computed";
  if (rhs.hasOffset)
    return "has scales and zero points, the right side has offsets";
  // Differences of codes and zero points are floats of the row: integers up to 2048 or 256, constants added.
  if (unsigned most = row.lhs == OperandElement::F16 ? 8 : 6; rhs.zeroFormat && rhs.zeroFormat->bits > most)
    return llvm::formatv("takes zero points of up to {0} bits, the right side has {1}", most, rhs.zeroFormat->name);
  if (lhs.isTransposed || !problem.knownK || *problem.knownK % 8)
    return "reads the left side 16 bytes at a time, K must lie last, be known and a multiple of 8";
  if (int64_t together = rhs.scaledTogether;
      together && (together < Layout::kStep || (Layout::kFragmentK % together && together % Layout::kFragmentK)))
    return llvm::formatv("scales sums over 16, 32, 64 or multiples of {0} k, the right side has blocks of {1}",
                         Layout::kFragmentK, together);
  return {};
}

namespace {
/// How a schedule divides a problem; `warps` and `together` are the stream's, the rest the tiles'.
struct Tiling {
  int64_t tokens, columns;        ///< of a block of threads
  int64_t warps, together;        ///< that share K; blocks of the layout that a warp asks for at once
  int64_t teams, cluster, stages; ///< teams of a block, and blocks, that share K; buffers
};
} // namespace

static constexpr int64_t kBlockK = Layout::kFragmentK;

/// As many codes on their way at once as registers allow, and all warps busy: short K goes to more warps.
static Tiling streamTiling(const MatmulProblem &problem, int64_t tokens) {
  int64_t blocks = llvm::divideCeil(*problem.knownK, kBlockK), together = problem.rhs.scaledTogether;
  bool isCoarse = together == 0 || together >= kBlockK;
  Tiling tiling{};
  tiling.tokens = tokens;
  tiling.columns = WeightStream::kColumns;
  tiling.warps = blocks <= 32 ? 16 : 8;
  tiling.together = blocks <= 32                                                                   ? 2
                    : isCoarse && tokens == 8 && problem.rhs.format->bits == 4 && blocks % 64 == 0 ? 8
                                                                                                   : 4;
  return tiling;
}

/// Blocks of 64 columns where these do not fill the chip, K shared by teams and by two blocks; else wider ones, which
/// read tokens less often.
static Tiling tileTiling(const MultiplyRow &row, const MatmulProblem &problem, const Machine &machine) {
  double blocks = problem.batch * std::ceil(problem.m / static_cast<double>(row.n)) *
                  std::ceil(problem.n / static_cast<double>(Layout::kFragmentColumns));
  double cores = static_cast<double>(machine.cores);
  Tiling tiling{};
  tiling.tokens = row.n;
  tiling.columns = blocks <= cores ? 64 : 128;
  tiling.teams = blocks <= cores || row.n <= 16 ? 2 : 1;
  tiling.cluster = 2 * blocks <= cores ? 2 : 1;
  tiling.stages = 4;
  return tiling;
}

static RecipeAttr makeRecipe(MLIRContext *context, const MultiplyRow &row, const MatmulProblem &problem,
                             const Tiling &tiling) {
  auto hop = [&](StringRef to, StringRef by, int64_t stages = 1, int64_t swizzle = 0) {
    return HopAttr::get(context, to.str(), by.str(), stages, swizzle);
  };
  auto level = [&](StringRef at, ArrayRef<int64_t> sizes) { return LevelAttr::get(context, at.str(), sizes); };
  HopAttr stored = hop("memory", kFragmentsHop),
          decode = hop("reg", FragmentDecoder::hop(*problem.rhs.format, row.lhs));
  StringRef rescale = problem.rhs.scaledTogether ? "block" : "end";
  if (row.scope == MultiplyRow::Scope::Warp) {
    int64_t ofWarp = tiling.together * kBlockK;
    return RecipeAttr::get(context, row.id.str(),
                           {level("cta", {tiling.tokens, tiling.columns, tiling.warps * ofWarp}),
                            level("warp", {tiling.tokens, tiling.columns, ofWarp})},
                           {hop("reg", "load")}, {stored, hop("reg", "load128"), decode}, rescale.str(), /*swap=*/true,
                           /*split_k=*/1);
  }
  return RecipeAttr::get(context, row.id.str(),
                         {level("cta", {tiling.tokens, tiling.columns, tiling.teams * kBlockK}),
                          level("warpgroup", {tiling.tokens, Layout::kFragmentColumns, kBlockK})},
                         {hop("cta", "cp_async", tiling.stages, 128)},
                         {stored, hop("cta", "cp_async", tiling.stages), decode}, rescale.str(), /*swap=*/true,
                         tiling.cluster);
}

/// Of a core, the busiest one's: blocks that do not fill the last wave leave others idle. A stream's blocks are so many
/// that they even out.
static ResourceVector countUses(const MultiplyRow &row, const MatmulProblem &problem, const Tiling &tiling,
                                const Machine &machine) {
  ResourceVector uses{};
  auto add = [&](Resource resource, double value) { uses[static_cast<unsigned>(resource)] += value; };
  bool isStream = row.scope == MultiplyRow::Scope::Warp;
  double cores = static_cast<double>(machine.cores), tokens = static_cast<double>(tiling.tokens);
  double columns = static_cast<double>(tiling.columns), shares = isStream ? 1 : static_cast<double>(tiling.cluster);
  double blocks = problem.batch * std::ceil(problem.m / tokens) * std::ceil(problem.n / columns) * shares;
  double perCore = isStream ? blocks / cores : std::ceil(blocks / cores), kOfBlock = problem.k / shares;
  double bits = problem.rhs.format->bits, lhs = problem.batch * problem.m * problem.k * 2;
  double codes = columns * kOfBlock, products = codes * tokens / 2048; // of 16 x 8 x 16
  add(Resource::Memory,
      (problem.batch * problem.k * problem.n * bits / 8 + lhs + problem.batch * problem.m * problem.n * 2) / cores);
  // Lines of the same token are read once; with few buffers copies are waited for.
  double tokenBytes = (isStream ? std::min(problem.m, tokens) : tokens) * kOfBlock * 2;
  add(Resource::L2,
      perCore * (codes * bits / 8 + tokenBytes) * (isStream ? 1 : 4.0 / static_cast<double>(tiling.stages)));
  if (isStream)
    add(Resource::Load, perCore * tokens * kOfBlock / 2 / 32);
  add(Resource::Multiply, perCore * products * (isStream ? 1 : 0.5));
  // Barriers and what a turn waits for, in operations that could have been.
  constexpr double kTurn = 1600;
  if (!isStream)
    add(Resource::Alu, perCore * kOfBlock / static_cast<double>(kBlockK * tiling.teams) * kTurn);
  int64_t together = problem.rhs.scaledTogether ? std::min<int64_t>(problem.rhs.scaledTogether, kBlockK) : kBlockK;
  add(Resource::Alu, perCore * (codes * FragmentDecoder::aluPerCode(*problem.rhs.format, row.lhs) / 32 +
                                products * 4 * static_cast<double>(Layout::kStep) / static_cast<double>(together)));
  return uses;
}

std::vector<Candidate> qlow::weightOnlyCandidates(MLIRContext *context, const MultiplyRow &row,
                                                  const MatmulProblem &problem, const Target &target) {
  std::vector<Candidate> result;
  Candidate candidate{};
  candidate.row = &row;
  candidate.declined = decline(row, problem, target);
  if (!candidate.declined.empty()) {
    result.push_back(candidate);
    return result;
  }
  candidate.layout = "fragments";
  auto take = [&](const Tiling &tiling) {
    candidate.recipe = makeRecipe(context, row, problem, tiling);
    candidate.uses = countUses(row, problem, tiling, target.machine());
    score(candidate, target.machine());
    result.push_back(candidate);
  };
  if (row.scope == MultiplyRow::Scope::Warp) {
    for (int64_t tokens : {8, 16, 32})
      take(streamTiling(problem, tokens));
    return result;
  }
  Tiling tiling = tileTiling(row, problem, target.machine());
  auto fits = [&] {
    return WeightTiles::sharedBytes(makeRecipe(context, row, problem, tiling), problem.rhs.format->bits) <=
           target.machine().levelBytes("cta");
  };
  while (!fits() && (tiling.stages > 3 || tiling.teams > 1))
    tiling.stages > 3 ? --tiling.stages : --tiling.teams;
  take(tiling);
  return result;
}
