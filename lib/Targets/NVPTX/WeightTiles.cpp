//===- WeightTiles.cpp - tiles of tokens against unpacked weights -----------===//
//
// For more tokens than a stream of weights can serve. Tokens and codes arrive in a ring of buffers in shared memory; a
// warpgroup unpacks its columns' codes into registers, which wgmma takes as its left operand beside the tokens in
// shared memory. Warpgroups have roles, as in Specialized.cpp: the last one only starts copies.
//
//   copying thread of a team:  for each tile, each of the team's blocks of 128 k:
//                                wait until free[stage];  tell full[stage] of the bytes to come;  boxes of tokens by
//                                tensor map, the codes of each 64 columns in one copy
//   warpgroup:                 for each tile, each block:  wait until full[stage];  products (WeightProducts.cpp);
//                                arrive at free[stage]
//                              results, added over teams and the cluster first where these share K (WeightSums.cpp)
//
// In a buffer lie panels of 128 bytes of tokens, one or two, in wgmma's swizzle, then the codes as they are stored.
// Past the last k tokens are zeros, so that it does not matter what codes are there; past the last token they are zeros
// or what a buffer held before, and make sums that nobody stores.
//
// Two blocks of a cluster may have 64 columns in common, and half of their K each (WeightPairs.cpp). Or they have all
// tokens in common, each by columns of its own: a panel's copy goes to both, so that a buffer is free once both have
// read it.
//
// Blocks of threads whose teams share no K take tile after tile, so that copies for the next one run while results
// leave.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/WeightOnly.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace mlir;
using namespace qlow;

static constexpr int64_t kBlockK = Layout::kFragmentK, kGroupThreads = Layout::kThreads;
static constexpr int64_t kColumns = Layout::kFragmentColumns;
/// Bytes of a line of a panel of tokens, and what matrices of this swizzle begin at multiples of.
static constexpr int64_t kLineBytes = 128, kSwizzleBytes = 1024;
/// Of an mbarrier, and of the two of a stage: full, free.
static constexpr int64_t kBarrierBytes = 8, kBarriersBytes = 2 * kBarrierBytes;
/// Registers of a multiprocessor for each thread of one warpgroup, the most that a thread may have, what is left to
/// each of the warpgroup that copies, and what a thread needs beside its sums.
static constexpr int64_t kRegisters = 512, kMostRegisters = 240, kCopyingRegisters = 64, kOtherRegisters = 72;
/// What it needs at least: unpacked codes, and addresses; where these are bytes more if teams share K, or sums are
/// always in use.
static constexpr int64_t kLeastRegisters = 40, kLeastOfTeams = 48, kLeastOfLongSums = 56;
/// The most sums that a thread has registers for, and warpgroups of a block.
static constexpr int64_t kMostSums = 128, kMostGroups = 4;
/// Half of the warps that copy do it for a team each, the others read scales.
static constexpr int64_t kMostTeams = 2;
/// More tokens than the first: products take longer than unpacking without a table, and need its room for buffers. More
/// than the second: those of a spread table do.
static constexpr int64_t kMostTokensOfTable = 192, kMostTokensOfSpreadTable = 64;
/// One of so many words is unpacked without a table that is not spread: nf4 at 128 x 28672 x 8192 takes 2 to 4 % less
/// time, on an H100. Beside a spread one, at 64 tokens, it takes 1 to 2 % more.
static constexpr int64_t kPermuted = 4;
/// Nanoseconds that a wait may sleep before it looks again.
static constexpr int64_t kPatience = 10'000'000;

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

/// Of each thread beside as many warpgroups that multiply, and the most that these may take of the one that copies.
static int64_t registersAtStart(int64_t groups) { return kRegisters / (groups + 1) / 8 * 8; }
static int64_t mostRegisters(int64_t groups) {
  // What the block has, which may be less than there is: threads that ask for more wait forever.
  int64_t left = (registersAtStart(groups) * (groups + 1) - kCopyingRegisters) / groups;
  return std::min(kMostRegisters, left / 8 * 8);
}

bool WeightTiles::hasTable(const MultiplyRow &row) { return row.n <= kMostTokensOfTable; }

bool WeightTiles::isTableSpread(const MultiplyRow &row) { return row.n <= kMostTokensOfSpreadTable; }

static int64_t tableBytes(const MultiplyRow &row, const WeightCodes &codes) {
  return WeightTiles::hasTable(row)
             ? FragmentDecoder::tableBytes(*codes.format, row.lhs, WeightTiles::isTableSpread(row))
             : 0;
}

bool WeightTiles::sharesTokens(RecipeAttr recipe) { return !recipe.getTile("cluster").empty(); }

bool WeightTiles::sharesColumns(RecipeAttr recipe) {
  return recipe.getTile("cta")[1] % recipe.getTile("warpgroup")[1] != 0;
}

/// For which a block has room: a tile's, whole those that it shares.
static int64_t columnsHeld(RecipeAttr recipe) {
  return llvm::alignTo(recipe.getTile("cta")[1], recipe.getTile("warpgroup")[1]);
}

int64_t WeightTiles::stageBytesOf(RecipeAttr recipe, const MultiplyRow &row, const WeightCodes &codes) {
  ArrayRef<int64_t> block = recipe.getTile("cta");
  int64_t columns = columnsHeld(recipe);
  int64_t numScales = codes.scaledTogether ? std::max<int64_t>(kBlockK / codes.scaledTogether, 1) : 1;
  int64_t scales =
      numScales * (columns * wordsOfScale(recipe, row, codes) + (codes.areTokensScaled ? block[0] : 0)) * 4;
  return llvm::alignTo(block[0] * kBlockK * elementBytes(row.rhs) + columns * kBlockK * codes.format->bits / 8 + scales,
                       kSwizzleBytes);
}

int64_t WeightTiles::sharedBytes(RecipeAttr recipe, const MultiplyRow &row, const WeightCodes &codes) {
  ArrayRef<int64_t> block = recipe.getTile("cta");
  int64_t teams = block[2] / kBlockK, stages = recipe.getLhs().front().getStages();
  int64_t ring = teams * stages * stageBytesOf(recipe, row, codes);
  if (sharesColumns(recipe)) // while others still multiply; and a barrier
    ring += block[0] * kColumns * 4 + kBarriersBytes;
  else if (teams * recipe.getSplitK() > 1)
    ring = std::max(ring, teams * block[0] * block[1] * 4);
  return ring + teams * stages * kBarriersBytes + kSwizzleBytes + tableBytes(row, codes);
}

std::string WeightTiles::verify(RecipeAttr recipe, const MultiplyRow &row, const WeightCodes &codes,
                                const Machine &machine) {
  ArrayRef<int64_t> block = recipe.getTile("cta"), group = recipe.getTile("warpgroup");
  if (block.size() != 3 || group.size() != 3 || block[0] != row.n || row.n % 8 || group[0] != row.n ||
      group[1] % kColumns || group[2] != kBlockK || block[1] % (kColumns / 2) || block[2] % kBlockK ||
      columnsHeld(recipe) / group[1] * (block[2] / kBlockK) > kMostGroups || block[2] > kMostTeams * kBlockK)
    return llvm::formatv(
        "expected warpgroup tiles of {0} x {1} x {2}, or a multiple of these columns, and a cta tile of "
        "multiples of half of these columns and of this k, at most {4} times, that give at most {3} warpgroups such a "
        "tile each",
        row.n, kColumns, kBlockK, kMostGroups, kMostTeams);
  if (sharesColumns(recipe) &&
      (group[1] != kColumns || block[1] < kColumns || block[2] != kBlockK || recipe.getSplitK() != 2))
    return llvm::formatv("expected whole warpgroup tiles in a cta tile, or {0} columns more than one or more of {1}, "
                         "which two blocks share with split_k = 2, each with k = {2}",
                         kColumns / 2, kColumns, kBlockK);
  if (sharesTokens(recipe) &&
      (recipe.getTile("cluster") != ArrayRef<int64_t>({block[0], kSharers * block[1], block[2]}) ||
       sharesColumns(recipe) || block[2] != kBlockK || recipe.getSplitK() != 1))
    return llvm::formatv(
        "expected a cluster tile of {0} times the columns of a cta tile of whole warpgroup tiles, with "
        "its tokens and its k, which are {1}, and no split_k",
        kSharers, kBlockK);
  if (recipe.getRescale() == "fold")
    if (std::string wrong = FragmentDecoder::declineFold(*codes.format, codes.zero, codes.scales, row.lhs);
        !wrong.empty())
      return "expected rescale = block where scales can not meet codes: " + wrong;
  if (recipe.getRhs().back().getBy() == FragmentDecoder::kFusedHop &&
      (recipe.getRescale() != "fold" ||
       !FragmentDecoder::fusesScales(*codes.format, codes.zero, codes.scales, row.lhs)))
    return llvm::formatv(
        "expected {0} of codes of 4 bits without zero points, where rescale = fold rounds their scales "
        "in f16",
        FragmentDecoder::kFusedHop);
  bool isApart = scalingOf(recipe, row, codes) == Scaling::Apart;
  int64_t sums = group[1] / kColumns * (isApart ? 2 : 1) * row.n / 2, most = kMostSums;
  bool sharesK = block[2] / kBlockK * recipe.getSplitK() > 1;
  int64_t teams = block[2] / kBlockK, least = row.isFloat ? kLeastRegisters
                                              : !isApart  ? kLeastOfLongSums
                                              : teams > 1 ? kLeastOfTeams
                                                          : kLeastRegisters;
  most = std::min(most, mostRegisters(columnsHeld(recipe) / group[1] * teams) - least);
  if (sums > most || (sharesK && group[1] != kColumns))
    return llvm::formatv(
        "expected at most {0} sums a thread, and warpgroup tiles of {1} columns where K is shared, found "
        "{2} sums",
        most, kColumns, sums);
  int64_t stages = recipe.getLhs().front().getStages(), shared = sharedBytes(recipe, row, codes);
  if (stages < 2 || stages > 16 || shared > machine.levelBytes("cta") || recipe.getSplitK() > 8)
    return llvm::formatv(
        "expected 2 to 16 stages in {0} bytes of shared memory and at most 8 blocks that share K, found "
        "{1} stages in {2} bytes",
        machine.levelBytes("cta"), stages, shared);
  return {};
}

WeightTiles::WeightTiles(OpBuilder &builder, MatmulKernelOp op, RecipeAttr recipe, const MultiplyRow &row,
                         const Machine &machine)
    : WeightOnly(builder, op, recipe, row, machine) {
  ArrayRef<int64_t> block = recipe.getTile("cta"), inner = recipe.getTile("warpgroup");
  tokens = block[0];
  columnBlocks = inner[1] / kColumns;
  isPair = sharesColumns(recipe);
  sharers = sharesTokens(recipe) ? kSharers : 1;
  groups = columnsHeld(recipe) / inner[1];
  teams = block[2] / kBlockK;
  cluster = recipe.getSplitK();
  stages = recipe.getLhs().front().getStages();
  steps = kBlockK / row.k;
  tokenBytes = tokens * kBlockK * tokenSize;
  codeBytes = groups * columnBlocks * layout.blockBytes();
  tileColumns = groups * columnBlocks * kColumns;
  WeightCodes codes{alignedFormat(*type.getFormat()), type.getZero(), scaleCodesOf(type), scaledTogether,
                    areTokensScaled};
  scaling = scalingOf(recipe, row, codes);
  if (scaling == Scaling::Fold)
    powerOfCodes = FragmentDecoder::powerOfCodes(*codes.format, codes.zero, codes.scales, row.lhs);
  decoder.setMultiplier(multiplierOf(recipe, scaling, codes), powerOfCodes);
  scaleWords = wordsOfScale(recipe, row, codes);
  stageBytes = stageBytesOf(recipe, row, codes);
  allBytes = sharedBytes(recipe, row, codes);
  tableAt = allBytes - kSwizzleBytes - tableBytes(row, codes);
  ringBytes = tableAt - (teams * stages + (isPair ? 1 : 0)) * kBarriersBytes;
  teamThreads = groups * kGroupThreads;
  consumers = teams * teamThreads;
  threads = consumers + kGroupThreads;
  sumsOfThread = columnBlocks * (scaling == Scaling::Apart ? 2 : 1) * tokens / 2;
  bool meetsSums = scaling == Scaling::Follow || scaling == Scaling::Apart;
  divideK();
  // Products of bytes take longer than their copies: 16 x 4096 x 4096 took 6.3 us on an H100, 7.1 where it waited
  // itself.
  overlapsLaunches &= row.isFloat;
  // A block has two units at least: one's words are unpacked while the other's are in use.
  together = std::min({kTogether, steps / 2, meetsSums ? stepsPerScale() : steps});
}

/// Registers of threads that multiply, where the kernel has fewer for each thread than sums need.
std::optional<int64_t> WeightTiles::registersToMultiply() {
  int64_t atStart = registersAtStart(threads / kGroupThreads - 1);
  // An increase to less than there is has no meaning.
  if (sumsOfThread + kOtherRegisters < atStart || atStart >= kMostRegisters)
    return std::nullopt;
  return mostRegisters(threads / kGroupThreads - 1);
}

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

void WeightTiles::emit() {
  int64_t tilesN = llvm::divideCeil(n, panelsOfTile() * kColumns);
  // Small blocks share a multiprocessor.
  bool areTwo = 2 * allBytes <= machine.levelBytes("cta") && 2 * threads * (kOtherRegisters + sumsOfThread) <= 1 << 16;
  OpBuilder::InsertionGuard guard(builder);
  Value tiles = index.mul(batchCount, index.mul(index.ceilDiv(m, tokens), tilesN));
  Value clusters =
      isPersistent()
          ? index.min(tiles, index.constant(std::max<int64_t>(machine.cores * (areTwo ? 2 : 1) / sharers, 1)))
          : tiles;
  Value blocks = index.mul(clusters, blocksOfCluster());
  if (k)
    tokenMaps = emitTileMaps(op.getLhs().front(), m, {tokens, kLineBytes / tokenSize});
  gpu::LaunchOp launch = startLaunch(blocks, threads, allBytes, blocksOfCluster());
  // ptxas moves registers between roles only in kernels whose blocks a multiprocessor is known to hold.
  launch->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), builder.getI32IntegerAttr(areTwo ? 2 : 1));
  tileCount = i32.cast(tiles);
  prepareThread(launch);
  if (k == 0)
    return ifThen(i32.less(thread, i32.constant(consumers)), [&] { emitConsumers(); });
  emitRingSetup();
  auto roles = scf::IfOp::create(builder, loc, i32.less(warp, i32.constant(consumers / kWarp)), /*withElse=*/true);
  builder.setInsertionPointToStart(&roles.getThenRegion().front());
  emitConsumers();
  builder.setInsertionPointToStart(&roles.getElseRegion().front());
  emitCopyingWarps();
  if (sharers == 1)
    return;
  // The other block tells this one's barriers until it is done.
  builder.setInsertionPointAfter(roles);
  NVVM::SyncWarpOp::create(builder, loc, i32.constant(-1));
  emitClusterArrival();
  emitClusterWait();
}

void WeightTiles::prepareThread(gpu::LaunchOp launch) {
  Value number = i32.cast(launch.getBlockIds().x);
  rank = i32.rem(number, blocksOfCluster());
  firstTile = i32.div(number, blocksOfCluster());
  tileStride = i32.div(i32.cast(launch.getGridSize().x), blocksOfCluster());
  // All threads of a warp agree on what follows from the warp's number; the compiler can not know it.
  warp = gpu::ShuffleOp::create(builder, loc, warp, i32.constant(0), i32.constant(kWarp), gpu::ShuffleMode::IDX)
             .getShuffleResult();
  Value groupNumber = i32.div(warp, 4);
  group = i32.rem(groupNumber, groups);
  copyingWarp = i32.sub(warp, i32.constant(consumers / kWarp));
  team = i32.select(i32.less(warp, i32.constant(consumers / kWarp)), i32.div(groupNumber, groups),
                    teams == 1 ? i32.constant(0) : i32.rem(copyingWarp, teams));
  inTeam = i32.rem(thread, teamThreads);
  slice = isPersistent() || isPair ? i32.constant(0) : i32.add(i32.mul(rank, teams), team);
  if (isPair)
    isShared = i32.equal(group, i32.constant(groups - 1));
  // A last block that K ends in is one too.
  Value blocksOfK = i32.constant(llvm::divideCeil(k, kBlockK)), begin = i32.min(blockOf(i32.constant(0)), blocksOfK);
  turns = i32.constant(blocksOfSlice);
  if (llvm::divideCeil(k, kBlockK) % slices())
    turns = i32.min(turns, i32.sub(blocksOfK, begin));

  Value memory = dynamicShared();
  Value address = LLVM::PtrToIntOp::create(builder, loc, builder.getI32Type(), memory);
  shared = LLVM::IntToPtrOp::create(builder, loc, memory.getType(), i32.alignTo(address, kSwizzleBytes));
  teamAt = offset(shared, i32.mul(team, stages * stageBytes));
  tokensAt = LLVM::PtrToIntOp::create(builder, loc, builder.getI32Type(), teamAt);
  Value piece = i32.mul(i32.rem(thread, kGroupThreads), Layout::kPieceBytes);
  codesAt = offset(teamAt, i32.add(i32.add(i32.mul(group, columnBlocks * layout.blockBytes()), piece), tokenBytes));
  columnInTile = i32.add(i32.mul(group, columnBlocks * kColumns), i32.mul(i32.rem(warp, 4), 16));
  columnInTile = i32.add(columnInTile, i32.mul(i32.div(lane, 4), 2));
  barriersAt = offset(shared, i32.add(i32.mul(team, stages * kBarriersBytes), ringBytes));
  if (sharers > 1)
    barriersOfOther = inBlock(i32.sub(i32.constant(1), rank), barriersAt);
}

/// Tiles of tokens that meet the same weights side by side, before others do: as many as stay in the second-level cache
/// until the next weights come. Fewer than s do not help: where none stay, s side by side read all tokens
/// s tiles(N) / cores times and all weights tiles(M) / s times, least in all where s^2 is cores times what a tile reads
/// of weights by what it reads of tokens.
int64_t WeightTiles::tilesTogether(int64_t tilesN) const {
  int64_t held = machine.levelBytes("l2") / kPartOfCache / (tokens * (k + 1) * tokenSize);
  double least = std::sqrt(static_cast<double>(machine.cores * codeBytes) / static_cast<double>(tokenBytes));
  return std::clamp<int64_t>(std::max<int64_t>(held, std::lround(least)), 1, INT32_MAX / std::max<int64_t>(tilesN, 1));
}

void WeightTiles::prepareTile(Value number) {
  int64_t tilesN = llvm::divideCeil(n, panelsOfTile() * kColumns);
  Value tiles = i32.ceilDiv(m32, tokens);
  batch.clear();
  tileNumber = number;
  number = takeBatch(number, i32.mul(tiles, tilesN));
  Value first = i32.constant(0), side = tiles;
  int64_t together = tilesTogether(tilesN);
  std::optional<int64_t> known = getConstantIntValue(OpFoldResult(tiles));
  if (isPersistent() && (!known || *known > together)) {
    Value ofGroup = i32.constant(together * tilesN);
    first = i32.mul(i32.div(number, ofGroup), together);
    side = i32.min(i32.constant(together), i32.sub(tiles, first));
    number = i32.rem(number, ofGroup);
  }
  token0 = i32.mul(i32.add(first, i32.rem(number, side)), tokens);
  tokensInside = i32.min(i32.constant(tokens), i32.sub(m32, token0));
  panel0 = i32.mul(i32.div(number, side), panelsOfTile());
  if (sharers > 1)
    panel0 = i32.add(panel0, i32.mul(rank, groups * columnBlocks));
  Value firstColumn = columnOf(columnInTile);
  columns.clear();
  for (int64_t block = 0; block < columnBlocks; ++block)
    columns.push_back({i32.add(firstColumn, block * kColumns), i32.add(firstColumn, block * kColumns + 1)});
}

void WeightTiles::forEachTile(function_ref<RingPlace(RingPlace)> body) {
  Value zero = i32.constant(0);
  if (!isPersistent()) {
    prepareTile(firstTile);
    body({zero, zero});
    return;
  }
  auto loop = scf::ForOp::create(builder, loc, firstTile, tileCount, tileStride, ValueRange{zero, zero});
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  prepareTile(loop.getInductionVar());
  RingPlace behind = body({loop.getRegionIterArg(0), loop.getRegionIterArg(1)});
  scf::YieldOp::create(builder, loc, ValueRange{behind.stage, behind.phase});
}

//===----------------------------------------------------------------------===//
// The ring
//===----------------------------------------------------------------------===//

/// Copies arrive once, and each thread that reads scales, or that multiplies.
void WeightTiles::emitRingSetup() {
  tokenMaps = addressesOf(tokenMaps);
  Value first = offset(shared, ringBytes);
  ifThen(i32.equal(thread, i32.constant(0)), [&] {
    for (int64_t i = 0; i < teams * stages * 2; ++i)
      NVVM::MBarrierInitOp::create(builder, loc, offset(first, i * kBarrierBytes),
                                   i32.constant(i % 2 ? teamThreads + (sharers - 1) * teamThreads / kWarp
                                                      : 1 + (scaleWords ? kMostTeams / teams * kWarp : 0)),
                                   Value());
    NVVM::FenceMbarrierInitOp::create(builder, loc);
    for (Value map : {tokenMaps.whole, tokenMaps.last})
      if (map)
        NVVM::PrefetchOp::create(builder, loc, NVVM::PrefetchCacheLevelAttr(), NVVM::CacheEvictionPriorityAttr(), map,
                                 Value(), builder.getUnitAttr());
  });
  emitUnusedTokens();
  if (hasTable(row))
    decoder.emitTable(offset(shared, tableAt), thread, threads, lane, isTableSpread(row) ? 0 : kPermuted,
                      isTableSpread(row));
  if (isPair)
    emitPairSetup();
  gpu::BarrierOp::create(builder, loc);
  if (sharers > 1) {
    emitClusterArrival();
    emitClusterWait();
  }
}

/// Zeros for the tokens that the last tile lacks, which no copy may ever write, but products read.
void WeightTiles::emitUnusedTokens() {
  Value inside = linesOfLast(i32, m32, tokens);
  if (getConstantIntValue(OpFoldResult(inside)) == tokens)
    return;
  constexpr int64_t kBytes = 16;
  Value first = i32.add(i32.mul(inside, kLineBytes), i32.mul(thread, kBytes));
  auto ofStages = scf::ForOp::create(builder, loc, i32.constant(0), i32.constant(teams * stages), i32.constant(1));
  builder.setInsertionPointToStart(ofStages.getBody());
  Value at = offset(shared, i32.mul(ofStages.getInductionVar(), stageBytes));
  for (int64_t panel = 0; panel < tokenBytes; panel += tokens * kLineBytes)
    emitZeros(offset(at, i32.constant(panel)), first, i32.constant(tokens * kLineBytes), threads * kBytes);
  builder.setInsertionPointAfter(ofStages);
  emitProxyFence();
}

static Value placeOfBarrier(IndexBuilder &i32, Value stage, bool isFree) {
  return i32.add(i32.mul(stage, kBarriersBytes), isFree ? kBarrierBytes : 0);
}

Value WeightTiles::barrierOf(Value stage, bool isFree) {
  return offset(barriersAt, placeOfBarrier(i32, stage, isFree));
}

void WeightTiles::wait(RingPlace place, bool isFree) {
  NVVM::MBarrierTryWaitParityOp::create(builder, loc, barrierOf(place.stage, isFree), place.phase,
                                        i32.constant(kPatience));
}

WeightTiles::RingPlace WeightTiles::after(RingPlace place) {
  Value next = i32.add(place.stage, 1), wraps = i32.equal(next, i32.constant(stages));
  return {i32.select(wraps, i32.constant(0), next),
          i32.select(wraps, i32.sub(i32.constant(1), place.phase), place.phase)};
}

Value WeightTiles::stageBefore(Value stage) {
  return i32.select(i32.equal(stage, i32.constant(0)), i32.constant(stages - 1), i32.sub(stage, i32.constant(1)));
}

/// Each thread that has read or written arrives for itself; at the block that copies into this one's buffer, too, one
/// of a warp for all.
void WeightTiles::arrive(Value stage, bool isFree) {
  NVVM::MBarrierArriveOp::create(builder, loc, builder.getI64Type(), barrierOf(stage, isFree), Value());
  if (!isFree || sharers == 1)
    return;
  NVVM::SyncWarpOp::create(builder, loc, i32.constant(-1));
  ifThen(i32.equal(lane, i32.constant(0)), [&] {
    Value there = offset(barriersOfOther, placeOfBarrier(i32, stage, isFree));
    NVVM::MBarrierArriveOp::create(builder, loc, Type(), there, Value());
  });
}

void WeightTiles::emitCopyingWarps() {
  if (registersToMultiply())
    NVVM::SetMaxRegisterOp::create(builder, loc, kCopyingRegisters, NVVM::SetMaxRegisterAction::decrease);
  Value isScaleWarp = i32.lessEqual(i32.constant(kMostTeams), copyingWarp);
  auto parts = scf::IfOp::create(builder, loc, isScaleWarp, /*withElse=*/true);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&parts.getThenRegion().front());
  if (!llvm::all_of(op.getRhs().drop_front(), isWeight))
    emitWaitForLast();
  if (scaleWords)
    emitScaleWarps();
  builder.setInsertionPointToStart(&parts.getElseRegion().front());
  emitProducer();
}

void WeightTiles::emitProducer() {
  Value zero = i32.constant(0), early = zero;
  evictFirst = emitEvictFirst();
  ifThen(i32.both(i32.equal(lane, zero), i32.less(copyingWarp, i32.constant(teams))), [&] {
    if (overlapsLaunches && isWeight(op.getRhs().front())) {
      prepareTile(firstTile);
      findCodes();
      early = i32.min(turns, i32.constant(stages));
      auto loop = scf::ForOp::create(builder, loc, zero, early, i32.constant(1));
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(loop.getBody());
      emitCodeCopies(loop.getInductionVar(), loop.getInductionVar());
    }
    emitWaitForLast();
    forEachTile([&](RingPlace place) {
      findCodes();
      auto loop = scf::ForOp::create(builder, loc, zero, turns, i32.constant(1), ValueRange{place.stage, place.phase});
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(loop.getBody());
      RingPlace at{loop.getRegionIterArg(0), loop.getRegionIterArg(1)};
      Value turn = loop.getInductionVar();
      Value isLate = i32.lessEqual(early, turn);
      if (isPersistent())
        isLate = arith::OrIOp::create(builder, loc, isLate, i32.notEqual(tileNumber, firstTile));
      ifThen(isLate, [&] {
        wait({at.stage, i32.sub(i32.constant(1), at.phase)}, /*isFree=*/true);
        emitCodeCopies(turn, at.stage);
      });
      emitTokenCopies(turn, at.stage);
      RingPlace next = after(at);
      scf::YieldOp::create(builder, loc, ValueRange{next.stage, next.phase});
      return RingPlace{loop.getResult(0), loop.getResult(1)};
    });
  });
}

void WeightTiles::findCodes() {
  Value first = i64.cast(i32.mul(blockOf(i32.constant(0)), layout.blockBytes()));
  codesFrom = offset(pointerOf(op.getRhs().front()), i64.add(i64.mul(linearBatch, layout.bytes()), first));
}

/// Where a copy of a stage goes.
Value WeightTiles::copyTarget(Value stage, int64_t byte) {
  auto type =
      LLVM::LLVMPointerType::get(builder.getContext(), static_cast<unsigned>(NVVM::NVVMMemorySpace::SharedCluster));
  return LLVM::AddrSpaceCastOp::create(builder, loc, type, offset(offset(teamAt, i32.mul(stage, stageBytes)), byte));
}

/// Says what a block's copies bring, tokens too, and starts those of codes.
void WeightTiles::emitCodeCopies(Value turn, Value stage) {
  Value barrier = barrierOf(stage, /*isFree=*/false);
  Value bytes = i32.constant(codeBytes), isOwn = isPair ? isOwnTurn(turn) : Value();
  if (isPair)
    bytes = i32.select(isOwn, bytes, i32.constant(codeBytes - layout.blockBytes()));
  bytes = i32.add(bytes, i32.mul(tokensInside, tokenBytes / tokens));
  NVVM::MBarrierArriveExpectTxOp::create(builder, loc, Type(), barrier, bytes, NVVM::MemScopeKind::CTA,
                                         /*relaxed=*/false, Value());
  Value from = offset(codesFrom, i64.mul(i64.cast(turn), layout.blockBytes()));
  for (int64_t block = 0; block < groups * columnBlocks; ++block) {
    auto copy = [&] {
      Value panel = i32.min(panelOf(i32.constant(block)), i32.constant(layout.numPanels() - 1));
      NVVM::CpAsyncBulkGlobalToSharedClusterOp::create(builder, loc,
                                                       copyTarget(stage, tokenBytes + block * layout.blockBytes()),
                                                       offset(from, i64.mul(i64.cast(panel), layout.panelOffset(1))),
                                                       barrier, i32.constant(layout.blockBytes()), Value(), evictFirst);
    };
    if (isPair && block + 1 == groups)
      ifThen(isOwn, copy);
    else
      copy();
  }
}

/// A box reaches over the matrix's last k and has all its bytes.
void WeightTiles::emitTokenCopies(Value turn, Value stage) {
  Value map = mapOfTile(tokenMaps, tokensInside, tokens);
  Value k0 = i32.mul(blockOf(turn), kBlockK);
  int64_t panels = tokenBytes / (tokens * kLineBytes);
  for (int64_t panel = 0; panel < panels; ++panel) {
    SmallVector<Value> coordinates{i32.add(k0, panel * kLineBytes / tokenSize), token0};
    if (!batchSizes.empty())
      coordinates.push_back(i32.cast(linearBatch));
    auto copy = [&](Value blocks) {
      NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
          builder, loc, copyTarget(stage, panel * tokens * kLineBytes), map, coordinates,
          barrierOf(stage, /*isFree=*/false), ValueRange(), blocks, Value(), NVVM::TMALoadMode::TILE,
          /*isCTAOnly=*/false, NVVM::CTAGroupKindAttr(), Value());
    };
    if (sharers == 1)
      copy(Value());
    else
      ifThen(i32.equal(i32.rem(i32.add(i32.mul(turn, panels), panel), sharers), rank),
             [&] { copy(arith::ConstantIntOp::create(builder, loc, (1 << sharers) - 1, 16)); });
  }
}
