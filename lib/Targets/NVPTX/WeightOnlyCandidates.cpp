//===- WeightOnlyCandidates.cpp - ways to multiply tokens by stored codes ---===//
//
// Candidates of the rows of 16-bit floats, and of bytes: declined with the reason, or with the tiles of the schedules
// that unpack a weight in registers.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/NVPTX.h"
#include "NVPTX/WeightOnly.h"

#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <numeric>

using namespace mlir;
using namespace qlow;

/// The most k of which i32 holds sixteen times an exact sum of bytes by codes.
static constexpr int64_t kMostExactK = (1 << 17) - 1;

static std::string declineTokens(const MultiplyRow &row, const MatmulProblem &problem) {
  const OperandFacts &lhs = problem.lhs, &rhs = problem.rhs;
  auto takesOthers = [&] {
    return llvm::formatv("takes {0}, the left side has {1}", elementName(row.lhs),
                         lhs.format ? StringRef(lhs.format->name) : elementName(lhs.element));
  };
  if (row.isFloat && problem.exactSum)
    return "sums floats, the law asks for the exact sum of integers";
  if (row.isFloat)
    return lhs.format || lhs.element != row.lhs ? takesOthers().str() : std::string();
  if (!lhs.format || !rhs.format)
    return "sums integers, the operands are dequantized to f32";
  if (codeElement(*lhs.format) != row.lhs)
    return takesOthers();
  if (lhs.hasZeroPoint || lhs.hasOffset)
    return "takes tokens without zero points and offsets, the left side has them";
  if (problem.exactSum && problem.k > static_cast<double>(kMostExactK))
    return llvm::formatv("holds exact sums of up to {0} k, here are {1:F0}", kMostExactK, problem.k);
  return {};
}

static std::string decline(const MultiplyRow &row, const MatmulProblem &problem, const Target &target) {
  const OperandFacts &lhs = problem.lhs, &rhs = problem.rhs;
  if (std::string feature = target.missing(row); !feature.empty())
    return "needs " + feature;
  if (std::string reason = declineTokens(row, problem); !reason.empty())
    return reason;
  if (!rhs.format)
    return "unpacks codes, the right side has " + elementName(rhs.element).str();
  if (std::string reason = FragmentDecoder::decline(*rhs.format, row.lhs); !reason.empty())
    return reason;
  if (problem.exactSum && rhs.format->bits == 8)
    return "unpacks codes, those of the right side are multiplied exactly as they lie";
  if (!rhs.isConstant)
    return "unpacks a weight stored as fragments, the right side is computed";
  if (rhs.hasOffset)
    return "has scales and zero points, the right side has offsets";
  // Constants are added to zero points on the way.
  const Format &codes = *alignedFormat(*rhs.format);
  unsigned most = row.lhs == OperandElement::F16 || codes.bits == 8 ? 8 : 6;
  if (rhs.zeroFormat && row.isFloat && rhs.zeroFormat->bits > most)
    return llvm::formatv("takes zero points of up to {0} bits, the right side has {1}", most, rhs.zeroFormat->name);
  if (rhs.zeroFormat && !FragmentDecoder::holdsDifferences(codes, *rhs.zeroFormat, row.lhs))
    return llvm::formatv("takes differences of codes and zero points as {0}, those of {1} and {2} are larger",
                         elementName(row.lhs), codes.name, rhs.zeroFormat->name);
  int64_t whole = 16 / elementBytes(row.lhs);
  if (lhs.isTransposed || !problem.knownK || *problem.knownK % whole)
    return llvm::formatv("reads the left side 16 bytes at a time, K must lie last, be known and a multiple of {0}",
                         whole);
  return WeightOnly::declineScales(row, lhs.scaledTogether, rhs.scaledTogether);
}

namespace {
/// How a schedule divides a problem; `warps` and `together` are the stream's, the rest the tiles'.
struct Tiling {
  int64_t tokens = 0, columns;                ///< of a block of threads
  int64_t ofGroup = 0;                        ///< columns of a warpgroup
  int64_t warps = 0, together = 0;            ///< that share K; blocks of the layout that a warp asks for at once
  int64_t teams = 1, cluster = 1, stages = 0; ///< teams of a block, and blocks, that share K; buffers
  int64_t sharers = 1;                        ///< blocks of a cluster that have the same tokens
  bool folds = false;                         ///< scales into weights
  bool fuses = false;                         ///< in one operation
  bool follows = false;                       ///< sums are in units of scales, none of which is 0

  int64_t groups() const { return llvm::divideCeil(columns, ofGroup) * teams; }
  /// Whether the cluster's two blocks have columns in common, and divide the K of these alone.
  bool isPair() const { return columns % ofGroup != 0; }
};
} // namespace

static constexpr int64_t kBlockK = Layout::kFragmentK;
/// Sums of a warpgroup, where there are four.
static constexpr int64_t kMostSumsOfMany = 64 * 64;
/// Tokens of a product that takes longer than its weights are unpacked in, and of one whose copies clusters may share;
/// from the third on no power is left.
static constexpr int64_t kLongProduct = 128, kSharedProduct = 256, kManyTokens = 512;
/// Blocks of threads that copy ahead, on a core: one's copies run while another's sums are added up. Bits of a long
/// turn: of one code of each of its blocks of the layout. Scales of a column in a turn, for which there are registers.
static constexpr int64_t kRingsOfCore = 2, kBitsOfTurn = 16, kMostScalesOfTurn = 16;

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

/// Ways to share the work of tiles: wide ones read tokens less often; narrow ones, K shared by teams and by blocks of a
/// cluster, fill the chip.
static constexpr Tiling kTileTilings[] = {
    {.columns = 256, .ofGroup = 128, .teams = 1, .cluster = 1},
    {.columns = 256, .ofGroup = 64, .teams = 1, .cluster = 1},
    {.columns = 128, .ofGroup = 64, .teams = 1, .cluster = 1},
    {.columns = 128, .ofGroup = 64, .teams = 2, .cluster = 1},
    {.columns = 64, .ofGroup = 64, .teams = 2, .cluster = 1},
    {.columns = 64, .ofGroup = 64, .teams = 2, .cluster = 2},
    {.columns = 224, .ofGroup = 64, .teams = 1, .cluster = 2},
    {.columns = 160, .ofGroup = 64, .teams = 1, .cluster = 2},
    {.columns = 96, .ofGroup = 64, .teams = 1, .cluster = 2},
};

/// And the same by clusters that share tokens: for the longest products, where tokens do not stay in the second-level
/// cache.
static std::vector<Tiling> tileTilings(const MultiplyRow &row, const MatmulProblem &problem, const Machine &machine) {
  std::vector<Tiling> tilings(std::begin(kTileTilings), std::end(kTileTilings));
  double bytes = problem.m * problem.k * elementBytes(row.lhs);
  if (row.n == kSharedProduct && bytes > static_cast<double>(machine.levelBytes("l2")) / WeightTiles::kPartOfCache)
    for (Tiling tiling : kTileTilings)
      if (tiling.teams * tiling.cluster == 1) {
        tiling.sharers = WeightTiles::kSharers;
        tilings.push_back(tiling);
      }
  return tilings;
}

RecipeAttr qlow::weightOnlyRecipe(MLIRContext *context, const MultiplyRow &row, StringRef decodes,
                                  ArrayRef<int64_t> block, ArrayRef<int64_t> part, int64_t stages, StringRef rescale,
                                  int64_t splitK, int64_t sharers) {
  auto hop = [&](StringRef to, StringRef by, int64_t stages = 1, int64_t swizzle = 0) {
    return HopAttr::get(context, to.str(), by.str(), stages, swizzle);
  };
  auto level = [&](StringRef at, ArrayRef<int64_t> sizes) { return LevelAttr::get(context, at.str(), sizes); };
  bool isWarp = row.scope == MultiplyRow::Scope::Warp;
  HopAttr tokens = !isWarp  ? hop("cta", "tma", stages, 128)
                   : stages ? hop("cta", "load")
                            : hop("reg", "load"),
          stream = !isWarp  ? hop("cta", "bulk", stages)
                   : stages ? hop("cta", "cp_async", stages)
                            : hop("reg", "load128");
  HopAttr stored = hop("memory", kFragmentsHop), decode = hop("reg", decodes);
  SmallVector<LevelAttr> levels{level("cta", block), level(isWarp ? "warp" : "warpgroup", part)};
  if (sharers > 1)
    levels.insert(levels.begin(), level("cluster", {block[0], sharers * block[1], block[2]}));
  return RecipeAttr::get(context, row.id.str(), levels, {tokens}, {stored, stream, decode}, rescale.str(),
                         /*swap=*/true, splitK);
}

static RecipeAttr makeRecipe(MLIRContext *context, const MultiplyRow &row, const MatmulProblem &problem,
                             const Tiling &tiling) {
  bool isWarp = row.scope == MultiplyRow::Scope::Warp;
  int64_t ofPart = isWarp ? tiling.together * kBlockK : kBlockK, parts = isWarp ? tiling.warps : tiling.teams;
  StringRef rescale = !problem.rhs.scaledTogether ? "end" : tiling.folds ? "fold" : tiling.follows ? "follow" : "block";
  StringRef decodes = tiling.fuses ? FragmentDecoder::kFusedHop : FragmentDecoder::hop(*problem.rhs.format, row.lhs);
  return weightOnlyRecipe(context, row, decodes, {tiling.tokens, tiling.columns, parts * ofPart},
                          {tiling.tokens, isWarp ? tiling.columns : tiling.ofGroup, ofPart}, tiling.stages, rescale,
                          tiling.cluster, tiling.sharers);
}

/// For one token: turns that leave room for enough blocks of threads, and registers for a column's scales. Short ones
/// waste less where K ends in one, leave room for more blocks or a spread table, and begin to multiply earlier.
static std::vector<Tiling> ringTilings(MLIRContext *context, const MultiplyRow &row, const MatmulProblem &problem,
                                       const Machine &machine) {
  const Format &format = *problem.rhs.format;
  int64_t scaled = problem.rhs.scaledTogether;
  std::vector<Tiling> tilings;
  for (int64_t bits : {kBitsOfTurn, kBitsOfTurn / 2}) {
    Tiling tiling{
        .tokens = 1, .columns = WeightStream::kColumns, .warps = 8, .together = bits / format.bits, .stages = 2};
    // Turns of one block were slower than others on an H100.
    if (tiling.together == 1 || (scaled && tiling.together * kBlockK / scaled > kMostScalesOfTurn))
      continue;
    RecipeAttr recipe = makeRecipe(context, row, problem, tiling);
    if (WeightRing::verify(recipe, row, format, *problem.knownK, machine).empty() &&
        WeightRing::blocksOfCore(recipe, row, format, scaled, *problem.knownK, machine) >= kRingsOfCore)
      tilings.push_back(tiling);
  }
  return tilings;
}

/// As many buffers as fit; whether the tiles can be done.
static bool takeMostStages(MLIRContext *context, const MultiplyRow &row, const MatmulProblem &problem, Tiling &tiling,
                           const Machine &machine) {
  const OperandFacts &rhs = problem.rhs;
  WeightCodes codes{rhs.format, rhs.zeroFormat, rhs.scales, rhs.scaledTogether, problem.lhs.scaledTogether != 0};
  // So many threads have too few registers for so many sums: ptxas would do one product after the other.
  bool areMany = tiling.groups() == 4;
  if (areMany && row.n * tiling.ofGroup > kMostSumsOfMany)
    return false;
  // Two warpgroups leave the unit idle while they unpack, but for long products.
  if (tiling.isPair() && tiling.groups() < 3 && row.n < kLongProduct)
    return false;
  tiling.tokens = row.n;
  for (tiling.stages = 16; tiling.stages >= 2; --tiling.stages)
    if (WeightTiles::verify(makeRecipe(context, row, problem, tiling), row, codes, machine).empty())
      return true;
  return false;
}

// Measured on an H100, N x K = 4096 x 4096 and 28672 x 8192, M = 1 to 2048: cycles in which a kernel starts and ends,
// and in which blocks of a cluster add sums; bytes of memory that a stream gets of those there are; operations for each
// k of a token that a stream reads. A block of 64 columns x 128 k takes the operations of its
// codes, those of each token's sums and others; more than its products where these are few. Four warpgroups hide what
// two do not.
static constexpr double kStart = 4500, kStreamStart = 3500, kClusterSums = 2000, kClusterSumsOfToken = 45,
                        kStreamMemory = 0.82, kStreamLoads = 0.17, kStreamAlu = 3.3, kTiledL2 = 1.25;
/// The part of the memory that tiles get, those of few tokens, and those where a code is a byte.
static constexpr double kTiledMemory = 0.91, kFewTokensMemory = 0.87, kByteCodesMemory = 0.98;
/// Of a ring on an H100, where it begins while the kernel in front ends (N = 2048 to 28672, K = 2048 to 14336): cycles
/// of its start; the part of the memory that it gets, that it gets where a code is a byte, and that short turns get of
/// that; the least bytes on their way to a core for all of it; what its operations take of those counted; cycles for a
/// table, plain or spread, and for short turns where a block of the layout has more than two scales.
static constexpr double kRingStart = 1750, kRingMemory = 0.93, kRingByteCodesMemory = 0.88, kRingShortMemory = 0.97,
                        kRingBytesAhead = 32768, kRingAlu = 1.8, kRingTable = 2800, kRingSpreadTable = 900,
                        kRingShortScales = 1800;
static constexpr double kOfBlock = 45, kOfCode = 128, kOfToken = 2.5, kTensor = 1.24, kFewGroups = 1.12,
                        kFewStages = 1.4;
/// Cycles in which a warp of a stream has one block of its columns after the other: at least, and for each block of
/// threads on a core and token, where codes are as cheap as nibbles (H100, N = 1536 to 6144, K = 7168 and 11008, M = 1
/// to 7).
static constexpr double kStreamTurn = 950, kStreamTurnOfBlock = 400, kStreamTurnOfToken = 66, kNibbleAlu = 9.0 / 8;
/// Codes that are unpacked again for the next tokens take power, of which many tokens leave none: so much more where
/// the first number of tokens is taken, not the second, and more for fewer. Tokens that a cluster shares leave some.
static constexpr double kShortAt = 1.07, kSharedAt = 0.985;
static constexpr int64_t kShortTokens = 128, kMostTokens = 256;
/// Of a block of 64 columns x 128 k: cycles for scales that meet its weights, and for each token and scale that meets
/// its sums, when no product runs; the first scale of a block finds them waited for anyway. The second is for scales
/// that meet codes in one operation.
static constexpr double kOfFold = 50, kOfFused = 6, kOfScaledToken = 0.5, kOfStop = 1;

/// The same of bytes. Their sums are scaled apart, so that each further scale of a block of 128 k takes more.
static constexpr double kByteClusterSums = 3700, kByteClusterSumsOfToken = 12, kByteMemory = 0.85;
static constexpr double kOfByteBlock = 150, kOfFewByteBlock = 220, kOfByteZeros = 53, kOfByteScale = 47;
static constexpr double kOfByteToken = 1.5, kOfFewByteToken = 1.7, kOfExactToken = 0.8, kOfScaledByteToken = 0.85;
/// Of exact sums (M = 160 to 4096): where two warpgroups have the same tokens, more than so many; in place of kTensor.
static constexpr int64_t kFewExactTokens = 64;
static constexpr double kOfFewExactBlock = 118, kOfFewExactToken = 1, kExactTensor = 1.12;
/// The same for each scale of each token, where these change along K: a load, and a product with each column's.
static constexpr double kOfTokenScale = 0.8;

static double cyclesOfByteBlock(const MatmulProblem &problem, const Tiling &tiling) {
  int64_t together = problem.rhs.scaledTogether,
          blocks = llvm::divideCeil(tiling.columns, Layout::kFragmentColumns) * tiling.teams;
  bool areFew = blocks < 4;
  int64_t scales = together && together < kBlockK ? kBlockK / together : 1;
  auto further = static_cast<double>(scales - 1), tokens = static_cast<double>(tiling.tokens);
  if (!together && areFew && tiling.teams == 1 && tiling.tokens > kFewExactTokens)
    return kOfFewExactBlock + (problem.rhs.zeroFormat ? kOfByteZeros : 0) + kOfFewExactToken * tokens;
  double ofToken = !together ? kOfExactToken : areFew ? kOfFewByteToken : kOfByteToken;
  return (areFew ? kOfFewByteBlock : kOfByteBlock) + (problem.rhs.zeroFormat ? kOfByteZeros : 0) +
         further * kOfByteScale +
         (ofToken + further * kOfScaledByteToken + (problem.lhs.scaledTogether ? (further + 1) * kOfTokenScale : 0)) *
             tokens;
}

/// Operations for the codes and products of a tile of a stream or a ring.
static double aluOfTile(const MultiplyRow &row, const MatmulProblem &problem, double codes, double products) {
  int64_t together = problem.rhs.scaledTogether ? std::min<int64_t>(problem.rhs.scaledTogether, kBlockK) : kBlockK;
  return codes * FragmentDecoder::aluPerCode(*problem.rhs.format, row.lhs, /*hasTable=*/true) / 32 +
         products * 4 * static_cast<double>(row.k) / static_cast<double>(together);
}

/// Of a core, whose stream's blocks are so many that they even out.
static ResourceVector countStream(const MultiplyRow &row, const MatmulProblem &problem, const Tiling &tiling,
                                  double bytes, const Machine &machine) {
  ResourceVector uses{};
  auto add = [&](Resource resource, double value) { uses[static_cast<unsigned>(resource)] += value; };
  double tokens = static_cast<double>(tiling.tokens), columns = static_cast<double>(tiling.columns);
  double blocks = problem.batch * std::ceil(problem.m / tokens) * std::ceil(problem.n / columns);
  double perCore = blocks / static_cast<double>(machine.cores), codes = columns * problem.k;
  double products = codes * std::max(tokens, static_cast<double>(row.n)) / static_cast<double>(row.m * row.n * row.k);
  double tokenBytes = std::min(problem.m, tokens) * problem.k * elementBytes(row.lhs);
  add(Resource::Memory, bytes / kStreamMemory);
  add(Resource::L2, perCore * (codes * problem.rhs.format->bits / 8 + tokenBytes));
  add(Resource::Multiply, perCore * products);
  double most = std::ceil(perCore), blocksOfK = std::ceil(problem.k / static_cast<double>(kBlockK));
  double alu = FragmentDecoder::aluPerCode(*problem.rhs.format, row.lhs, /*hasTable=*/true);
  double ofTurn = kStreamTurn + (kStreamTurnOfBlock + kStreamTurnOfToken * (std::min(problem.m, tokens) - 1)) * most;
  double waits = std::ceil(blocksOfK / static_cast<double>(tiling.warps)) * ofTurn * (1 + alu / kNibbleAlu) / 2;
  add(Resource::Load, std::max(perCore * tokenBytes * kStreamLoads / 2,
                               waits * machine.capacity[static_cast<unsigned>(Resource::Load)]));
  add(Resource::Alu, perCore * kStreamAlu * aluOfTile(row, problem, codes, products));
  return uses;
}

/// Of a core, whose blocks of threads have one token each, stay, and copy whole turns; `overhead` gets the cycles
/// before and behind. What is copied last is multiplied when nothing is left to copy.
static ResourceVector countRing(const MultiplyRow &row, const MatmulProblem &problem, const Tiling &tiling,
                                RecipeAttr recipe, double bytes, const Machine &machine, double &overhead) {
  ResourceVector uses{};
  auto add = [&](Resource resource, double value) { uses[static_cast<unsigned>(resource)] += value; };
  const OperandFacts &rhs = problem.rhs;
  double columns = static_cast<double>(tiling.columns), codes = columns * problem.k;
  double tiles = std::max(problem.batch * problem.m * std::ceil(problem.n / columns), 1.0);
  double perCore = tiles / static_cast<double>(machine.cores), products = codes / static_cast<double>(row.m * row.k);
  double ofTurn = static_cast<double>(tiling.warps * tiling.together), // blocks of the layout
      blocksOfK = std::ceil(problem.k / static_cast<double>(kBlockK)), turnsOfTile = std::ceil(blocksOfK / ofTurn);
  auto most = static_cast<double>(
      WeightRing::blocksOfCore(recipe, row, *rhs.format, rhs.scaledTogether, *problem.knownK, machine));
  double busy = std::min(most, perCore), turns = turnsOfTile * std::ceil(perCore / most);
  double onTheirWay = busy * ofTurn * columns * kBlockK * rhs.format->bits / 8;
  bool areShort = tiling.together * rhs.format->bits < kBitsOfTurn;
  double part = (areShort ? kRingShortMemory : 1) * (rhs.format->bits == 8 ? kRingByteCodesMemory : kRingMemory) *
                (turns > 1 ? std::min(1.0, onTheirWay / kRingBytesAhead) : 1);
  add(Resource::Memory, bytes / part * problem.m * turnsOfTile * ofTurn / blocksOfK);
  add(Resource::L2, perCore * (codes * rhs.format->bits / 8 + problem.k * elementBytes(row.lhs)));
  add(Resource::Multiply, perCore * products);
  double alu = kRingAlu * aluOfTile(row, problem, codes, products);
  add(Resource::Alu, perCore * alu);
  overhead = kRingStart + busy * alu / turnsOfTile / turns / machine.capacity[static_cast<unsigned>(Resource::Alu)];
  if (FragmentDecoder::tableBytes(*rhs.format, row.lhs))
    overhead +=
        WeightRing::isTableSpread(recipe, row, *rhs.format, *problem.knownK, machine) ? kRingSpreadTable : kRingTable;
  if (areShort && rhs.scaledTogether && 2 * rhs.scaledTogether < kBlockK)
    overhead += kRingShortScales;
  return uses;
}

/// Of the busiest core: tiles that do not fill the last wave leave others idle.
static ResourceVector countTiles(const MultiplyRow &row, const MatmulProblem &problem, const Tiling &tiling,
                                 double bytes, double waves, const Machine &machine) {
  ResourceVector uses{};
  auto add = [&](Resource resource, double value) { uses[static_cast<unsigned>(resource)] += value; };
  double tokens = static_cast<double>(tiling.tokens), columns = static_cast<double>(tiling.columns);
  double turns = std::ceil(problem.k / static_cast<double>(kBlockK * (tiling.isPair() ? 1 : tiling.cluster)));
  double blocks = waves * turns * columns / Layout::kFragmentColumns; // of the layout
  add(Resource::Memory, bytes / (!row.isFloat                    ? kByteMemory
                                 : problem.rhs.format->bits == 8 ? kByteCodesMemory
                                 : tiling.tokens <= 8            ? kFewTokensMemory
                                                                 : kTiledMemory));
  add(Resource::L2,
      waves * turns * kBlockK * (columns * problem.rhs.format->bits / 8 + tokens * elementBytes(row.lhs)) / kTiledL2);
  if (tiling.stages < 3)
    blocks *= kFewStages;
  double products = blocks * static_cast<double>(kBlockK) / static_cast<double>(row.k);
  bool areMany = row.isFloat && problem.m >= kManyTokens;
  double shortAt = areMany ? 1 + (kShortAt - 1) * (kMostTokens - tokens) / (kMostTokens - kShortTokens) : 1;
  products *= shortAt;
  if (tiling.sharers > 1)
    products *= kSharedAt;
  bool isExact = !row.isFloat && !problem.rhs.scaledTogether;
  add(Resource::Multiply,
      products * (isExact ? kExactTensor : kTensor) * row.uses[static_cast<unsigned>(Resource::Multiply)]);
  if (!row.isFloat) {
    add(Resource::Alu, blocks * cyclesOfByteBlock(problem, tiling) * 4);
    return uses;
  }
  const OperandFacts &rhs = problem.rhs;
  bool areFew = tiling.groups() < 4, scalesSums = rhs.scaledTogether && !tiling.folds;
  double scales = scalesSums ? std::ceil(static_cast<double>(kBlockK) / static_cast<double>(rhs.scaledTogether)) : 0;
  double alu = kOfBlock * rhs.format->bits / 4 +
               kOfCode * FragmentDecoder::aluPerCode(*rhs.format, row.lhs, WeightTiles::hasTable(row),
                                                     WeightTiles::isTableSpread(row)) +
               (kOfToken + kOfScaledToken * scales) * tokens;
  if (tiling.folds && !tiling.fuses && !FragmentDecoder::arePowers(*rhs.scales.format))
    alu += kOfFold;
  if (tiling.fuses)
    alu += kOfFused;
  add(Resource::Alu, blocks * alu * (areFew && tokens <= 64 ? kFewGroups : 1) * shortAt * 4);
  if (scales > 1)
    add(Resource::Multiply, blocks * (scales - 1) * kOfStop * tokens);
  return uses;
}

static void countUses(const MultiplyRow &row, const MatmulProblem &problem, const Tiling &tiling,
                      const Machine &machine, Candidate &candidate) {
  double cores = static_cast<double>(machine.cores), overhead = kStart;
  const OperandFacts &rhs = problem.rhs;
  double bytes = problem.batch *
                 (problem.k * problem.n * rhs.format->bits / 8 + problem.m * problem.k * elementBytes(row.lhs) +
                  problem.m * problem.n * problem.resultBytes) /
                 cores;
  if (row.scope == MultiplyRow::Scope::Warp) {
    overhead = kStreamStart;
    candidate.uses = tiling.stages ? countRing(row, problem, tiling, candidate.recipe, bytes, machine, overhead)
                                   : countStream(row, problem, tiling, bytes, machine);
  } else {
    double columns = static_cast<double>(tiling.columns * (tiling.isPair() ? 2 : tiling.sharers));
    double tiles =
        problem.batch * std::ceil(problem.m / static_cast<double>(tiling.tokens)) * std::ceil(problem.n / columns);
    double exact = tiles * static_cast<double>(tiling.cluster * tiling.sharers) / cores, waves = std::ceil(exact);
    bool isPersistent = tiling.teams * tiling.cluster == 1;
    if (isPersistent && waves > 2) // cores that idle leave others some of their power
      waves = (2 * waves + exact) / 3;
    candidate.uses = countTiles(row, problem, tiling, bytes, waves, machine);
    if (tiling.cluster > 1)
      overhead += (row.isFloat ? kClusterSums : kByteClusterSums) +
                  (row.isFloat ? kClusterSumsOfToken : kByteClusterSumsOfToken) * static_cast<double>(tiling.tokens);
    if (!isPersistent) // such blocks take one tile each
      overhead *= waves;
  }
  score(candidate, machine);
  candidate.cycles += overhead;
  candidate.key += overhead;
}

std::vector<Candidate> qlow::weightOnlyCandidates(MLIRContext *context, const MultiplyRow &row,
                                                  const MatmulProblem &asked, const Target &target) {
  std::vector<Candidate> result;
  Candidate candidate{};
  candidate.row = &row;
  candidate.declined = decline(row, asked, target);
  if (!candidate.declined.empty()) {
    result.push_back(candidate);
    return result;
  }
  MatmulProblem problem = asked; // with the codes that are stored
  problem.rhs.format = alignedFormat(*asked.rhs.format);
  problem.rhs.scaledTogether = std::gcd(asked.lhs.scaledTogether, asked.rhs.scaledTogether); // one of each side
  candidate.layout = row.isFloat ? "fragments" : "fragments of bytes";
  auto take = [&](const Tiling &tiling) {
    candidate.recipe = makeRecipe(context, row, problem, tiling);
    countUses(row, problem, tiling, target.machine(), candidate);
    result.push_back(candidate);
  };
  if (row.scope == MultiplyRow::Scope::Warp) {
    for (int64_t tokens : {8, 16, 32})
      take(streamTiling(problem, tokens));
    if (row.isFloat)
      for (const Tiling &ring : ringTilings(context, row, problem, target.machine()))
        take(ring);
    return result;
  }
  const OperandFacts &rhs = problem.rhs;
  candidate.unfolded = !rhs.scaledTogether ? "all of K has one scale, which sums meet"
                                           : FragmentDecoder::declineFold(*rhs.format, rhs.zeroFormat, rhs.scales,
                                                                          row.lhs, rhs.leastScale, rhs.mostScale);
  bool canFold = candidate.unfolded.empty();
  for (Tiling tiling : tileTilings(row, problem, target.machine()))
    for (bool folds : {true, false}) {
      tiling.folds = folds;
      tiling.fuses = folds && canFold && rhs.mostScale <= FragmentDecoder::kMostFused &&
                     FragmentDecoder::fusesScales(*rhs.format, rhs.zeroFormat, rhs.scales, row.lhs);
      tiling.follows = !folds && rhs.scaledTogether && rhs.leastScale > 0 && !rhs.hasScaleOfZero &&
                       WeightTiles::canFollow(row, rhs.scales.format);
      if ((canFold || !folds) && takeMostStages(context, row, problem, tiling, target.machine()))
        take(tiling);
    }
  if (result.empty()) {
    candidate.declined = "has registers or room for no tile of such weights";
    result.push_back(candidate);
  }
  return result;
}
