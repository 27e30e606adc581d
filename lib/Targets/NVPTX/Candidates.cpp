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
#include <numeric>

using namespace mlir;
using namespace qlow;

namespace {
/// Tiles of a block and of a warp or lane, K in bytes of an operand but for a lane's, the buffers of the pipeline, and
/// the stored panels that tiles are slices of.
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
    {128, 192, 128, 64, 192, 4},    {128, 224, 128, 64, 224, 4},      {128, 160, 128, 64, 160, 5},
    {128, 256, 128, 64, 256, 4},    {128, 128, 128, 64, 128, 6},      {64, 128, 128, 64, 128, 8},
    {64, 256, 128, 64, 256, 5},     {64, 64, 128, 64, 64, 13, 128},   {64, 32, 128, 64, 32, 16, 128},
    {16, 32, 128, 64, 32, 16, 128}, {16, 64, 128, 64, 64, 13, 128},   {32, 32, 128, 64, 32, 16, 128},
    {32, 64, 128, 64, 64, 13, 128}, {128, 128, 128, 64, 128, 6, 256}, {64, 128, 128, 64, 128, 8, 256},
    {64, 64, 128, 64, 64, 13, 256}, {64, 32, 128, 64, 32, 16, 256},   {32, 32, 128, 64, 32, 16, 256},
    {32, 64, 128, 64, 64, 13, 256}, {16, 64, 128, 64, 64, 13, 256},   {16, 32, 128, 64, 32, 16, 256},
};
/// Of rows that take scales: those of a tile are whole words, and shared memory has them, too.
static constexpr Tiling kScaledTilings[] = {
    {128, 256, 64, 64, 64, 3}, {128, 128, 64, 64, 32, 5}, {64, 128, 64, 32, 32, 6},
    {64, 128, 128, 32, 32, 4}, {32, 128, 128, 16, 32, 4}, {16, 128, 128, 16, 16, 5},
};
/// The same of rows whose sums lie in memory: one product, whose rows may be fewer, and more buffers.
static constexpr Tiling kTensorTilings[] = {
    {128, 256, 128, 128, 256, 4},    {128, 128, 128, 128, 128, 6},   {128, 64, 128, 128, 64, 9, 128},
    {64, 64, 128, 128, 64, 9, 128},  {32, 64, 128, 128, 64, 9, 128}, {32, 32, 128, 128, 32, 11, 128},
    {128, 64, 128, 128, 64, 9, 256}, {64, 64, 128, 128, 64, 9, 256}, {32, 64, 128, 128, 64, 9, 256},
    {32, 32, 128, 128, 32, 11, 256},
};
static constexpr Tiling kComputedTensorTilings[] = {
    {128, 256, 128, 128, 256, 4}, {128, 128, 128, 128, 128, 6}, {128, 64, 128, 128, 64, 9}, {64, 64, 128, 128, 64, 9}};
/// Where the right side is not stored for them.
static constexpr Tiling kComputedTilings[] = {
    {128, 256, 128, 64, 256, 4}, {128, 224, 128, 64, 224, 4}, {128, 192, 128, 64, 192, 4},
    {128, 160, 128, 64, 160, 5}, {128, 128, 128, 64, 128, 6}, {64, 128, 128, 64, 128, 8},
    {64, 256, 128, 64, 256, 5},  {128, 64, 128, 64, 64, 8},   {64, 64, 128, 64, 64, 13},
};
static constexpr Tiling kLaneTiling = {64, 64, 16, 4, 4, 2};

/// How much longer the second-level cache is busy where threads copy than where the copy engine does (H200, M = 16 to
/// 512 at N = K = 4096).
static constexpr double kThreadsCopyAt = 1.4;

/// Cycles of the copy engine for each of many small copies, and for each row of a box past the matrix; and those in
/// which a kernel starts, waits for its first tiles and stores its last ones (H200, M = 16 at N = K = 4096).
static constexpr double kPieceCycles = 35, kAbsentRowCycles = 3, kStartCycles = 4000;

/// How much longer memory takes to give slices of panels, whose lines other multiprocessors read at another time (H100,
/// M = 4 to 24 at K = 4096, N = 6144 to 14336).
static constexpr double kSlicedAt = 1.08;

/// How much longer memory takes to write than to read (H100, 32 x 4096 x 4096 x 128 and smaller, f16 and f32 results).
static constexpr double kWrittenAt = 1.5;

/// Operations that decode an element, addresses included (H100, u4 x i4 by products of s8, M = N = K = 4096).
static constexpr double kDecodeOperations = 35;
/// Whether scales change along K: sums under one pair of them are short.
static bool hasBlockScales(const MatmulProblem &problem) {
  return problem.lhs.scaledTogether || problem.rhs.scaledTogether;
}

/// Whether each column has scales of its own in every product.
static bool hasColumnScales(const MultiplyRow &row, const MatmulProblem &problem) {
  return problem.rhs.scaledTogether && problem.rhs.linesScaledTogether && problem.rhs.linesScaledTogether % row.n;
}

/// How much longer products take where threads add them to sums, and once more where scales come in between; cycles for
/// each tile of K, and each of its columns, where no other warpgroup multiplies while threads wait and add; and of the
/// load unit for a warp's sums where each column has scales (H100, M = 1 to 8192 at N = K = 4096 or 8192).
static constexpr double kPromotedAt = 1.4, kScaledAt = 1.1, kLoneCycles = 210, kLoneColumnCycles = 1.5,
                        kColumnScaleCycles = 1.9;
/// And where one product has all columns of a wide tile: a warpgroup waits half as often as for two (H100, M = N = K =
/// 8192).
static constexpr double kWideAt = 0.97;
/// And of fewer columns than the widest has, 160 to 224, for which the left side is read more often (H100, M = N = K =
/// 8192).
static constexpr double kNarrowAt = 1.05;

/// The same of products that nobody adds up, of 8-bit floats and of others: the chip is at its power limit, and its
/// clock below the described one (H100, M = N = K = 4096 and 8192).
static constexpr double kLongSumsAt = 1.25, kWarmAt = 1.15;

/// Columns of the widest product that is promoted beside which a thread has registers for scales along K of all kinds.
static constexpr int64_t kMostScaledColumns = 128;

/// Scales that the row takes.
static std::string declineScales(const MultiplyRow &row, const OperandFacts &facts, StringRef side) {
  if (facts.hasOffset)
    return llvm::formatv("takes no offset, the {0} side has one", side);
  if (facts.scaleElement != row.scales)
    return llvm::formatv("takes scales of {0}, the {1} side has {2}", elementName(row.scales), side,
                         facts.scaleElement ? elementName(*facts.scaleElement) : "others");
  if (facts.scaledTogether % row.scaledTogether)
    return llvm::formatv("takes scales for multiples of {0} along K, the {1} side has one for each {2}",
                         row.scaledTogether, side, facts.scaledTogether);
  return {};
}

/// Whether words of scales are copied as they lie; see TileNest::copiesScales.
static bool copiesScales(const MultiplyRow &row, const MatmulProblem &problem, const OperandFacts &facts) {
  bool kIsLast = (&facts == &problem.lhs) != facts.isTransposed;
  return kIsLast && problem.knownK && facts.scaledTogether == row.scaledTogether && facts.linesScaledTogether == 1 &&
         llvm::divideCeil(*problem.knownK, row.scaledTogether) % 4 == 0;
}

/// Codes are multiplied as they are, and their scales with the sums.
static std::string declineSmallFloats(const MultiplyRow &row, const MatmulProblem &problem) {
  if (row.promotion && row.n > kMostScaledColumns &&
      (problem.rhs.scaledTogether || problem.lhs.scaledTogether % row.promotion))
    return llvm::formatv("has registers for scales of rows alone that are constant along {0} of K, beside its sums",
                         row.promotion);
  for (auto [side, facts, element] :
       {std::tuple("left", &problem.lhs, row.lhs), std::tuple("right", &problem.rhs, row.rhs)}) {
    if (!facts->format || smallFloatOf(*facts->format) != element)
      return llvm::formatv("takes codes of {0}, the {1} side has {2}", elementName(element), side,
                           facts->format ? facts->format->name : "floats");
    if (row.takesScales()) {
      if (std::string reason = declineScales(row, *facts, side); !reason.empty())
        return reason;
      continue;
    }
    if (row.isFast && !problem.fastSums)
      return "keeps fewer bits than the law asks for where fast sums are not asked for";
    if (facts->hasOffset)
      return llvm::formatv("takes no offset, the {0} side has one", side);
    if (!facts->scaledTogether)
      continue;
    if (row.isFast || row.sumsInMemory)
      return llvm::formatv("takes one scale along K, the {0} side has others", side);
    if (facts->scaledTogether % row.k || !problem.knownK)
      return llvm::formatv("takes scales for multiples of {0} along a known K, the {1} side has one for each {2}{3}",
                           row.k, side, facts->scaledTogether, problem.knownK ? "" : " of an open K");
  }
  return {};
}

/// Whether a row multiplies floats of 16 bits.
static bool takesHalves(const MultiplyRow &row) { return row.isFloat && elementBits(row.lhs) == 16; }

/// Both sides as they are.
static std::string declineHalves(const MultiplyRow &row, const MatmulProblem &problem) {
  for (auto [side, facts] : {std::pair("left", &problem.lhs), std::pair("right", &problem.rhs)})
    if (facts->format || facts->element != row.lhs)
      return llvm::formatv("takes {0}, the {1} side has {2}", elementName(row.lhs), side,
                           facts->format ? StringRef(facts->format->name) : elementName(facts->element));
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
  if (takesHalves(row))
    return declineHalves(row, problem);
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
  return facts.format ? codeElement(*facts.format) == element : facts.element == element;
}

static bool hasWholeCopies(int64_t size, OperandElement element) {
  return size * elementBits(element) % (8 * TileNest::kCopyBytes) == 0;
}

/// Whether lines of a side that is not packed are copied as they lie; see TileNest::canCopy.
static bool copiesLines(const MultiplyRow &row, const MatmulProblem &problem, const OperandFacts &facts) {
  bool isLhs = &facts == &problem.lhs, kIsLast = isLhs != facts.isTransposed;
  OperandElement element = isLhs ? row.lhs : row.rhs;
  return row.scope != MultiplyRow::Scope::Lane && isWhole(element, facts) && kIsLast && problem.knownK &&
         hasWholeCopies(*problem.knownK, element) && (isLhs || elementBits(element) >= 8);
}

/// The same of rows of columns of the right side, for rows that take them.
static bool copiesColumns(const MultiplyRow &row, const MatmulProblem &problem) {
  return row.rhsByColumns && !problem.rhs.isTransposed && problem.knownN && hasWholeCopies(*problem.knownN, row.rhs);
}

static bool packsRhs(const MultiplyRow &row, const MatmulProblem &problem) {
  return row.scope != MultiplyRow::Scope::Lane && problem.rhs.isConstant && isWhole(row.rhs, problem.rhs) &&
         !row.rhsByColumns;
}

/// Why no warpgroup that only copies can bring both sides (see TileNest), or an empty string.
static std::string whyNotSpecialized(const MultiplyRow &row, const MatmulProblem &problem) {
  if (row.scope != MultiplyRow::Scope::Warpgroup)
    return "takes a row of a warpgroup";
  int64_t whole = 8 * TileNest::kCopyBytes / elementBits(row.lhs);
  if (!isWhole(row.lhs, problem.lhs) || problem.lhs.isTransposed)
    return "takes a left side of whole elements along K";
  if (!copiesLines(row, problem, problem.lhs) || *problem.knownK == 0)
    return llvm::formatv("takes a K that is known and a positive multiple of {0}{1}", whole,
                         problem.knownK ? ", here " + std::to_string(*problem.knownK) : std::string());
  if (row.rhsByColumns && !copiesColumns(row, problem))
    return llvm::formatv("takes a right side whose last dimension is N, known and a multiple of {0}", whole);
  if (!row.rhsByColumns && !packsRhs(row, problem) && !copiesLines(row, problem, problem.rhs))
    return "takes a right side that is constant, or of whole elements along K";
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

/// Whether the warps that would bring scales bring pieces of panels.
static bool copiesTooMuch(const Tiling &tiling, const MatmulProblem &problem) {
  return hasBlockScales(problem) && tiling.panel != tiling.n && !mapsRhs(tiling, problem);
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
  SmallVector<HopAttr> lhs{toShared(copiesLines(row, problem, problem.lhs), row.lhs, problem.lhs)};
  SmallVector<HopAttr> rhs{
      toShared(packsRhs(row, problem) || copiesLines(row, problem, problem.rhs), row.rhs, problem.rhs)};
  if (isSpecialized(row, problem)) {
    lhs = {hop("cta", "tma", tiling.stages, TileNest::kSwizzleBytes)};
    rhs = {!packsRhs(row, problem) ? lhs.front()
                                   : hop("cta", mapsRhs(tiling, problem) ? "tma" : "bulk", tiling.stages)};
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
  StringRef rescale = problem.exactSum          ? "end"
                      : !row.takesSmallFloats() ? "fold"
                      : row.takesScales()       ? "fold"
                      : hasBlockScales(problem) ? "block"
                                                : "end";
  return RecipeAttr::get(context, row.id.str(), levels, lhs, rhs, rescale, /*swap=*/false, /*split_k=*/1);
}

/// Bytes of results, as many as memory would read in the time it takes to write them.
static double bytesWritten(const MatmulProblem &problem) {
  return problem.batch * problem.m * problem.n * problem.resultBytes * kWrittenAt;
}

/// Of a tile's k, those under one pair of scales.
static int64_t runLength(const MatmulProblem &problem, const Tiling &tiling) {
  return std::gcd(tiling.k, std::gcd(problem.lhs.scaledTogether, problem.rhs.scaledTogether));
}

/// What scales that change along K take: more short sums that join the others, and where each column has scales of its
/// own, loads and products of scales for each of them.
static void addBlockScales(ResourceVector &uses, const MultiplyRow &row, const MatmulProblem &problem,
                           const Tiling &tiling, double tilesOfCore) {
  double runs = static_cast<double>(tiling.k) / static_cast<double>(runLength(problem, tiling));
  double joins = static_cast<double>(tiling.m * tiling.n) / 32 * tilesOfCore;
  double more = row.promotion ? runs - 1 : 0; // mma's join after each instruction anyway
  if (hasColumnScales(row, problem)) {
    more += problem.lhs.scaledTogether ? runs : 0;
    uses[static_cast<unsigned>(Resource::Load)] += joins * runs * kColumnScaleCycles;
  }
  uses[static_cast<unsigned>(Resource::Alu)] += joins * more;
  uses[static_cast<unsigned>(Resource::Multiply)] *= row.promotion ? kScaledAt : 1;
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
  bool specialized = isSpecialized(row, problem);
  double rhsMemory = rhs * storedRhs * (specialized && tiling.panel != tiling.n ? kSlicedAt : 1);
  add(Resource::Memory, (lhs * problem.lhs.bytes + rhsMemory + bytesWritten(problem)) / cores);
  // A box brings the rows that there are.
  double rows = specialized ? std::min(amount(tiling.m), problem.m) : amount(tiling.m);
  double tileBytes = (rows + amount(tiling.n)) * tiling.k * kTiles * waves * elementSize;
  add(Resource::L2, tileBytes * (specialized ? 1 : kThreadsCopyAt));
  if (specialized && tiling.panel != tiling.n && !mapsRhs(tiling, problem))
    add(Resource::Load, kPieceCycles * amount(tiling.k / row.storedGroup()) * kTiles * waves);
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
    add(Resource::Alu, kKernelAheadCycles * machine.capacity[static_cast<unsigned>(Resource::Alu)]);
  }
  if (!copiesLines(row, problem, problem.lhs))
    add(Resource::Alu, amount(tiling.m) * tiling.k * kTiles * waves * kDecodeOperations / 32);
  if (!packsRhs(row, problem) && !copiesLines(row, problem, problem.rhs) && !row.rhsByColumns)
    add(Resource::Alu, amount(tiling.n) * tiling.k * kTiles * waves * kDecodeOperations / 32);
  if (row.isFast || (specialized && !row.promotion))
    uses[static_cast<unsigned>(Resource::Multiply)] *=
        (row.isFast ? kLongSumsAt : kWarmAt) * (128 < row.n && row.n < 256 ? kNarrowAt : 1);
  if (row.promotion) {
    uses[static_cast<unsigned>(Resource::Multiply)] *= kPromotedAt * (row.n > 128 ? kWideAt : 1);
    if (tiling.m <= tiling.innerM && tiling.n == tiling.innerN)
      add(Resource::Alu, (kLoneCycles + kLoneColumnCycles * amount(tiling.n)) *
                             machine.capacity[static_cast<unsigned>(Resource::Alu)] * kTiles * waves);
  }
  for (auto [facts, lines] : {std::pair(&problem.lhs, tiling.m), std::pair(&problem.rhs, tiling.n)})
    if (row.takesScales() && !copiesScales(row, problem, *facts))
      add(Resource::Alu, amount(lines) * tiling.k / row.scaledTogether * kTiles * waves * kDecodeOperations / 32);
  if (row.takesSmallFloats() && !row.takesScales() && hasBlockScales(problem))
    addBlockScales(uses, row, problem, tiling, kTiles * waves);
  return uses;
}

static void addCandidate(std::vector<Candidate> &result, MLIRContext *context, const MultiplyRow &row,
                         const MatmulProblem &problem, Tiling tiling, const Target &target) {
  if (row.scope != MultiplyRow::Scope::Lane)
    tiling.k = tiling.k * 8 / elementBits(row.lhs);
  Candidate candidate{};
  candidate.row = &row;
  int64_t shared = 0, limit = target.machine().levelBytes("cta");
  auto lay = [&] {
    candidate.recipe = makeRecipe(context, row, problem, tiling);
    shared = TileNest::sharedBytes(candidate.recipe, row);
  };
  lay();
  // Scales take room of their own.
  int64_t fewest = row.takesScales() ? 2 : tiling.stages - (candidate.recipe.getRescale() == "block" ? 1 : 0);
  while (shared > limit && tiling.stages > fewest) {
    --tiling.stages;
    lay();
  }
  candidate.layout = packsRhs(row, problem) ? llvm::formatv("{0}x{1}", tiling.panel, row.storedGroup()).str() : "codes";
  if (shared > limit) {
    candidate.declined = llvm::formatv("a tile needs {0} bytes of shared memory, a block has {1}", shared, limit);
  } else {
    candidate.uses = countUses(row, problem, tiling, target.machine());
    score(candidate, target.machine());
    candidate.cycles += kStartCycles;
    // Warps that multiply store their sums in the end, and have nothing else to do meanwhile.
    double results = bytesWritten(problem) / static_cast<double>(target.machine().cores);
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
/// largest tile of a warp has no room, nor that of a warpgroup for scales of each column, or of each few k.
static bool fitsTiling(const MultiplyRow &row, const MatmulProblem &problem, const Tiling &tiling) {
  if (row.takesScales())
    return tiling.k * 8 / elementBits(row.lhs) % (4 * row.scaledTogether) == 0;
  if (row.scope == MultiplyRow::Scope::Warp)
    return !row.takesSmallFloats() || tiling.innerM * tiling.innerN < 64 * 64;
  // Promoted, a large tile takes two products after each other.
  bool isTwice = row.promotion && row.n == 128 && tiling.innerN == 2 * row.n;
  return tiling.innerN == row.n ||
         (isTwice && !hasColumnScales(row, problem) && runLength(problem, tiling) == tiling.k);
}

/// The tilings that suit a row's schedule.
static ArrayRef<Tiling> tilingsOf(const MultiplyRow &row, const MatmulProblem &problem) {
  if (row.scope == MultiplyRow::Scope::Lane)
    return kLaneTiling;
  if (row.takesScales())
    return kScaledTilings;
  if (row.scope == MultiplyRow::Scope::Warp)
    return kWarpTilings;
  if (row.sumsInMemory)
    return packsRhs(row, problem) ? ArrayRef<Tiling>(kTensorTilings) : ArrayRef<Tiling>(kComputedTensorTilings);
  if (!isSpecialized(row, problem))
    return kWarpgroupTilings;
  return packsRhs(row, problem) ? ArrayRef<Tiling>(kSpecializedTilings) : ArrayRef<Tiling>(kComputedTilings);
}

/// Whether the row can do nothing but unpack stored codes in registers.
static bool unpacksWeight(const MultiplyRow &row, const MatmulProblem &problem) {
  bool isWarp = row.scope == MultiplyRow::Scope::Warp;
  bool isOfFloats = isWarp && takesHalves(row) && problem.rhs.format;
  bool isOfBytes = isWarp && row.lhs == OperandElement::S8 && row.rhs == OperandElement::S8 && !problem.exactSum;
  return row.lhsInRegisters || isOfFloats || isOfBytes;
}

std::vector<Candidate> qlow::candidatesAsStored(MLIRContext *context, const MatmulProblem &problem,
                                                const Target &target) {
  std::vector<Candidate> result;
  auto declineRow = [&](const MultiplyRow *row, const std::string &reason) {
    Candidate candidate{};
    candidate.row = row;
    candidate.declined = reason;
    result.push_back(std::move(candidate));
  };
  for (const MultiplyRow *row : target.rows()) {
    bool isWarp = row->scope == MultiplyRow::Scope::Warp;
    if (unpacksWeight(*row, problem)) {
      llvm::append_range(result, weightOnlyCandidates(context, *row, problem, target));
      continue;
    }
    // An exact sum of bytes has both ways.
    if (row->lhs == OperandElement::S8 && row->rhs == OperandElement::S8 && isWarp && problem.exactSum)
      llvm::copy_if(weightOnlyCandidates(context, *row, problem, target), std::back_inserter(result),
                    [](const Candidate &candidate) { return candidate.declined.empty(); });
    std::string reason = decline(*row, problem, target);
    bool isAlone = row->scope == MultiplyRow::Scope::Warpgroup && !isSpecialized(*row, problem);
    if (reason.empty() && isAlone && (row->rhsByColumns || row->sumsInMemory))
      reason = whyNotSpecialized(*row, problem);
    if (!reason.empty()) {
      declineRow(row, reason);
      continue;
    }
    size_t before = result.size();
    for (const Tiling &tiling : tilingsOf(*row, problem)) {
      bool fits = row->scope == MultiplyRow::Scope::Lane || fitsTiling(*row, problem, tiling);
      if (fits && !(isSpecialized(*row, problem) && copiesTooMuch(tiling, problem)))
        addCandidate(result, context, *row, problem, tiling, target);
    }
    if (result.size() == before && !isAlone)
      declineRow(row, hasBlockScales(problem) ? "has no tiles but slices of panels, and no warps to bring their pieces "
                                                "beside scales that change along K"
                                              : "has no tiles but slices of stored panels");
    // The row's other schedule, by name.
    if (isAlone)
      declineRow(row, "by a warpgroup that copies it " + whyNotSpecialized(*row, problem));
  }
  return result;
}
