//===- Specialized.cpp - wgmma fed by a warpgroup that copies ---------------===//
//
// One block a multiprocessor, which takes output tile after output tile. Its warpgroups have roles: the last one only
// starts copies into a ring of buffers, the others only multiply, so that copies for the next output tile run while
// the results of this one are on their way out.
//
//   copying thread:  for each tile, each k:  wait until empty[stage];  tell full[stage] of the bytes to come;
//                                            a box of the left side by tensor map, its piece of the panel in one copy
//   warpgroup:       for each tile, each k:  wait until full[stage];  start products;  wait for those of k - 1;
//                                            arrive at empty[stage of k - 1]
//                    epilogue
//
// Where sums lie in tensor memory the warpgroup's side is that of TensorMemory.cpp.
//
// A tile may be a slice of its panel's columns, so that one stored layout serves tiles of many widths. A slice comes by
// tensor map too, where panels are all of one width; or else in pieces, one for each chunk, which takes the copy engine
// longer. A tile may also have fewer rows than a product: the rest is zero.
//
// The left side's lines are 128 bytes of K, swizzled by the copy so that eight of them have no bank conflicts. The
// piece of a packed panel is contiguous and already holds core matrices one behind the other: it needs no swizzle.
// Past the last k the left side is zero, and what the right side holds there is multiplied by it. Lines past the last
// row or column make sums that nobody stores.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"
#include "qlow/Targets/Layout.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace qlow;

static constexpr int64_t kWarpgroup = 128;
/// Bytes of an mbarrier, and of the two of a stage: full, empty.
static constexpr int64_t kBarrierBytes = 8, kPairBytes = 2 * kBarrierBytes;
/// Of the warpgroup that copies, where the pieces of a stage are many.
static constexpr int64_t kCopyingWarps = 4;
/// Where a swizzled tile may begin.
static constexpr int64_t kTileAlignment = 1024;
/// Registers of a multiprocessor for each thread of one warpgroup, the most that a thread may have, and what is left to
/// each of a warpgroup that copies. What that one gives up is all that the others get: an increase to more waits
/// forever.
static constexpr int64_t kRegisters = 512, kMostRegisters = 240, kCopyingRegisters = 40;
/// Nanoseconds that a wait may sleep before it looks again.
static constexpr int64_t kPatience = 10'000'000;

// Descriptors of wgmma (PTX ISA 8.0, 9.7.15.5.1): address, distance along K << 16, distance along lines << 32, all in
// units of 16 bytes; kind of swizzle << 62.
static constexpr int64_t kSwizzle128 = int64_t(1) << 62;
/// A pattern of the swizzle is eight lines; along K it is walked by address, and the distance counts for nothing.
static constexpr int64_t kSwizzledDistances = int64_t(8 * TileNest::kSwizzleBytes / 16) << 32 | 1 << 16;
static constexpr int64_t kCoreBytes = 128;

//===----------------------------------------------------------------------===//
// The launch
//===----------------------------------------------------------------------===//

int64_t TileNest::specializedBytes(RecipeAttr recipe, const MultiplyRow &row) {
  ArrayRef<int64_t> block = recipe.getTile("cta");
  int64_t stages = recipe.getLhs().front().getStages();
  int64_t rows = std::max(block[0], recipe.getTile(innerLevel(row))[0]);
  return kTileAlignment + stages * ((rows + block[1]) * kSwizzleBytes + kPairBytes) + stagingBytes(recipe, row) +
         scaleRingBytes(recipe, row) + tensorMemoryBytes(row);
}

void TileNest::emitSpecializedLaunch() {
  Value tiles = index.mul(batchCount, index.mul(index.ceilDiv(m, tileM), index.ceilDiv(n, tileN)));
  OpBuilder::InsertionGuard guard(builder);
  lhsMaps = emitTileMaps(op.getLhs().front(), m, {tileM, tileK});
  if (mapsRhsLines())
    rhsMaps = emitTileMaps(op.getRhs().front(), n, {tileN, tileK});
  else if (!isPacked)
    rhsMaps.whole = emitMatrixMap(op.getRhs().front(), {tileK, columnsOfBox()});
  else if (isMapped(recipe))
    rhsMaps.whole = emitPanelMap();
  if (canStageResults())
    outMap = emitResultsMap();
  gpu::LaunchOp launch =
      startLaunch(index.min(tiles, index.constant(machine.cores)), threads, sharedBytes(recipe, row));
  // ptxas moves registers between roles only in kernels whose blocks a multiprocessor is known to hold.
  launch->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), builder.getI32IntegerAttr(1));
  markProducts(launch, row);
  prepareThread(launch);
  emitNextMayStart();
  // Uniform, so that roles are branches of whole warps to the compiler, too.
  warp = gpu::ShuffleOp::create(builder, loc, warp, i32.constant(0), i32.constant(32), gpu::ShuffleMode::IDX)
             .getShuffleResult();
  warpgroup = i32.div(warp, 4);
  firstTile = i32.cast(launch.getBlockIds().x), tileStride = i32.cast(launch.getGridSize().x);
  tileCount = i32.cast(tiles);
  Value address = LLVM::PtrToIntOp::create(builder, loc, builder.getI32Type(), sharedBase);
  sharedBase = LLVM::IntToPtrOp::create(builder, loc, sharedBase.getType(), i32.alignTo(address, kTileAlignment));
  stagingAt = offset(sharedBase, i32.constant(stages * stageBytes));
  barriersAt = offset(stagingAt, i32.constant(stagingBytes(recipe, row)));
  scalesAt = tensorSlotAt = offset(barriersAt, i32.constant(stages * kPairBytes));
  lhsMaps = addressesOf(lhsMaps), rhsMaps = addressesOf(rhsMaps), outMap = addressOf(outMap);
  emitRingSetup();
  if (row.sumsInMemory)
    emitTensorAddress();
  auto roles =
      scf::IfOp::create(builder, loc, i32.equal(warpgroup, i32.constant(consumers / kWarpgroup)), /*withElse=*/true);
  builder.setInsertionPointToStart(&roles.getThenRegion().front());
  emitProducer();
  builder.setInsertionPointToStart(&roles.getElseRegion().front());
  emitConsumers();
}

/// Whether copies of panels leave parts of buffers as they were.
bool TileNest::clearsRing() { return isPacked && (*staticK % tileK || *staticN % tileN); }

int64_t TileNest::columnsOfBox() { return kSwizzleBytes / elementSize; }

/// Barriers, and zeros where copies will never write but products read.
void TileNest::emitRingSetup() {
  ifThen(i32.equal(thread, i32.constant(0)), [&] {
    for (int64_t stage = 0; stage < stages; ++stage) {
      NVVM::MBarrierInitOp::create(builder, loc, fullBarrier(i32.constant(stage)),
                                   i32.constant(copiesPieces() ? kCopyingWarps : 1), Value());
      // Each warp that multiplies arrives once, or the unit that has.
      NVVM::MBarrierInitOp::create(builder, loc, emptyBarrier(i32.constant(stage)),
                                   i32.constant(row.sumsInMemory ? 1 : consumers / 32), Value());
    }
    if (row.sumsInMemory)
      NVVM::MBarrierInitOp::create(builder, loc, tensorSlotAt, i32.constant(1), Value());
    if (hasScaleRing())
      emitScaleRingSetup();
    NVVM::FenceMbarrierInitOp::create(builder, loc);
    for (Value map : {lhsMaps.whole, lhsMaps.last, rhsMaps.whole, rhsMaps.last, outMap})
      if (map)
        NVVM::PrefetchOp::create(builder, loc, NVVM::PrefetchCacheLevelAttr(), NVVM::CacheEvictionPriorityAttr(), map,
                                 Value(), builder.getUnitAttr());
  });
  if (clearsRing()) {
    emitZeros(sharedBase, i32.mul(thread, kCopyBytes), i32.constant(stages * stageBytes), threads * kCopyBytes);
    emitProxyFence();
  } else {
    emitUnusedLines(lhsTile, m32, tileM);
    if (mapsRhsLines())
      emitUnusedLines(rhsTile, n32, tileN);
  }
  if (row.sumsInMemory)
    emitTensorSetup();
  gpu::BarrierOp::create(builder, loc);
}

/// Zeros in the lines that the last of a side's tiles lacks, which no copy may ever write.
void TileNest::emitUnusedLines(const Tile &tile, Value lines, int64_t linesOfTile) {
  Value inside = linesOfLast(i32, lines, linesOfTile);
  if (getConstantIntValue(OpFoldResult(inside)) == linesOfTile)
    return;
  Value first = i32.add(i32.mul(inside, kSwizzleBytes), i32.mul(thread, kCopyBytes));
  for (int64_t stage = 0; stage < stages; ++stage) {
    int64_t at = stage * stageBytes + tile.base;
    emitZeros(sharedBase, i32.add(first, at), i32.constant(at + linesOfTile * kSwizzleBytes), threads * kCopyBytes);
  }
  emitProxyFence();
}

/// Zeros in the rows of products that tiles of fewer lack. Who multiplies writes them: the first copies are under way.
void TileNest::emitUnusedRows() {
  for (int64_t stage = 0; stage < stages; ++stage)
    emitZeros(sharedBase, i32.add(i32.mul(thread, kCopyBytes), stage * stageBytes + tileM * kSwizzleBytes),
              i32.constant(stage * stageBytes + innerM * kSwizzleBytes), consumers * kCopyBytes);
  emitProxyFence();
  NVVM::BarrierOp::create(builder, loc, Type(), i32.constant(1), i32.constant(consumers), NVVM::BarrierReductionAttr(),
                          Value());
}

Value TileNest::fullBarrier(Value stage) { return offset(barriersAt, i32.mul(stage, kPairBytes)); }
Value TileNest::emptyBarrier(Value stage) {
  return offset(barriersAt, i32.add(i32.mul(stage, kPairBytes), kBarrierBytes));
}

void TileNest::emitWait(Value barrier, Value phase) {
  NVVM::MBarrierTryWaitParityOp::create(builder, loc, barrier, phase, i32.constant(kPatience));
}

TileNest::RingPlace TileNest::placeAfter(RingPlace place) {
  Value next = i32.add(place.stage, 1), wraps = i32.equal(next, i32.constant(stages));
  return {i32.select(wraps, i32.constant(0), next),
          i32.select(wraps, i32.sub(i32.constant(1), place.phase), place.phase), turnAfter(place.turn)};
}

/// The block's output tiles, one after the other; `body` gives the place in the ring behind its tile.
void TileNest::forEachTile(function_ref<RingPlace(const OutputTile &, RingPlace)> body) {
  Value zero = i32.constant(0);
  auto loop = scf::ForOp::create(builder, loc, firstTile, tileCount, tileStride, ValueRange{zero, zero, zero});
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  tileNumber = loop.getInductionVar();
  OutputTile block = decomposeBlock(tileNumber);
  RingPlace behind = body(block, {loop.getRegionIterArg(0), loop.getRegionIterArg(1), loop.getRegionIterArg(2)});
  scf::YieldOp::create(builder, loc, ValueRange{behind.stage, behind.phase, behind.turn});
}

/// Registers that warpgroups of both kinds may hold, where the kernel has fewer for each thread than sums need.
std::optional<int64_t> TileNest::registersToMultiply() {
  int64_t sums = (innerM * innerN + (row.promotion ? row.m * row.n : 0)) / kWarpgroup;
  int64_t atStart = kRegisters * kWarpgroup / threads;
  // An increase to less than there is has no meaning.
  if (sums + sums / 2 < atStart || atStart >= kMostRegisters)
    return std::nullopt;
  int64_t left = (kRegisters - kCopyingRegisters) / (threads / kWarpgroup - 1);
  return std::min(kMostRegisters, left / 8 * 8);
}

//===----------------------------------------------------------------------===//
// The warpgroup that copies
//===----------------------------------------------------------------------===//

void TileNest::emitProducer() {
  if (registersToMultiply())
    NVVM::SetMaxRegisterOp::create(builder, loc, kCopyingRegisters, NVVM::SetMaxRegisterAction::decrease);
  // The pieces of a slice are many, and each warp brings some.
  Value copies = copiesPieces() ? i32.equal(lane, i32.constant(0)) : i32.equal(thread, i32.constant(consumers));
  bool areEarly = copiesEarly();
  int64_t early = areEarly ? std::min(stages, kTiles()) : 0;
  if (!areEarly)
    emitWaitForLast();
  ifThen(copies, [&] {
    if (areEarly) {
      OutputTile block = decomposeBlock(firstTile);
      Panel panel = emitPanel(block);
      auto loop = scf::ForOp::create(builder, loc, i32.constant(0), i32.constant(early), i32.constant(1));
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(loop.getBody());
      emitPanelCopies(block, panel, loop.getInductionVar(), loop.getInductionVar());
      builder.setInsertionPointAfter(loop);
      emitWaitForLast();
    }
    forEachTile([&](const OutputTile &block, RingPlace place) {
      Panel panel = isPacked ? emitPanel(block) : Panel();
      auto loop = scf::ForOp::create(builder, loc, i32.constant(0), i32.constant(kTiles()), i32.constant(1),
                                     ValueRange{place.stage, place.phase});
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(loop.getBody());
      RingPlace at{loop.getRegionIterArg(0), loop.getRegionIterArg(1), place.turn};
      Value kTile = loop.getInductionVar(), isLate = i32.lessEqual(i32.constant(early), kTile);
      if (areEarly)
        isLate = arith::OrIOp::create(builder, loc, isLate, i32.notEqual(tileNumber, firstTile));
      ifThen(isLate, [&] {
        emitWait(emptyBarrier(at.stage), i32.sub(i32.constant(1), at.phase));
        if (!copiesPieces())
          emitPanelCopies(block, panel, at.stage, kTile);
      });
      if (copiesPieces())
        emitSliceCopies(block, panel, at.stage, kTile);
      else
        emitStageCopies(block, at.stage, kTile);
      RingPlace next = placeAfter(at);
      scf::YieldOp::create(builder, loc, ValueRange{next.stage, next.phase});
      return RingPlace{loop.getResult(0), loop.getResult(1), place.turn};
    });
  });
  if (hasScaleRing())
    ifThen(i32.less(i32.constant(consumers + 31), thread), [&] {
      if (areEarly)
        emitWaitForLast();
      emitScaleReaders();
    });
}

/// Whether the first tile's copies of a weight are started before the kernel in front has ended.
bool TileNest::copiesEarly() {
  return overlapsLaunches && isPacked && !copiesPieces() && isWeight(op.getRhs().front());
}

/// Says what the two copies of a stage bring, and starts that of a panel. A box reaches over the matrix's last k and
/// has all its bytes; a panel's piece has those that are stored.
void TileNest::emitPanelCopies(const OutputTile &block, const Panel &panel, Value stage, Value kTile) {
  Value firstChunk = i32.mul(kTile, chunks), barrier = fullBarrier(stage), rhsBytes, bytesOfChunk;
  if (rhsMaps) {
    rhsBytes = i32.mul(mapsRhsLines() ? block.columns : i32.constant(tileN), kSwizzleBytes);
  } else {
    bytesOfChunk = i32.mul(panel.width, kCopyBytes);
    Value chunksStored = i32.constant(chunks);
    if (*staticK % tileK)
      chunksStored = i32.min(chunksStored, i32.sub(i32.constant(*staticK / row.storedGroup()), firstChunk));
    rhsBytes = i32.mul(chunksStored, bytesOfChunk);
  }
  NVVM::MBarrierArriveExpectTxOp::create(builder, loc, Type(), barrier,
                                         i32.add(rhsBytes, i32.mul(block.rows, kSwizzleBytes)), NVVM::MemScopeKind::CTA,
                                         /*relaxed=*/false, Value());
  if (!isPacked)
    return;
  if (rhsMaps)
    return emitBox(rhsTile, rhsMaps.whole, stage, {i32.mul(panel.first, kCopyBytes / 4), firstChunk, panel.number});
  Value source = offset(panel.at, i64.mul(i64.cast(firstChunk), i64.cast(bytesOfChunk)));
  NVVM::CpAsyncBulkGlobalToSharedClusterOp::create(builder, loc, copyTarget(rhsTile, stage, i32.constant(0)), source,
                                                   barrier, rhsBytes, Value(), Value());
}

void TileNest::emitStageCopies(const OutputTile &block, Value stage, Value kTile) {
  emitLhsBox(block, stage, kTile);
  if (!isPacked)
    emitRhsBoxes(block, stage, kTile);
}

/// A warp's part of the copies of a stage where the tile is a slice of its panel: of each of its chunks the piece that
/// the tile's columns have. They lie in shared memory as far apart as those of whole tiles.
void TileNest::emitSliceCopies(const OutputTile &block, const Panel &panel, Value stage, Value kTile) {
  int64_t count = llvm::divideCeil(chunks, kCopyingWarps);
  Value number = i32.sub(warp, i32.constant(consumers / 32)), first = i32.mul(number, count);
  Value isFirst = i32.equal(number, i32.constant(0)), barrier = fullBarrier(stage);
  Value bytes = i32.mul(panel.columns, kCopyBytes), taken = i32.constant(count);
  Value firstChunk = i32.add(i32.mul(kTile, chunks), first);
  if (*staticK % tileK) {
    Value stored = i32.constant(*staticK / row.storedGroup());
    taken = i32.min(taken, i32.sub(stored, i32.min(firstChunk, stored)));
  }
  Value boxBytes = i32.select(isFirst, i32.mul(block.rows, kSwizzleBytes), i32.constant(0));
  NVVM::MBarrierArriveExpectTxOp::create(builder, loc, Type(), barrier, i32.add(boxBytes, i32.mul(taken, bytes)),
                                         NVVM::MemScopeKind::CTA, /*relaxed=*/false, Value());
  ifThen(isFirst, [&] { emitLhsBox(block, stage, kTile); });
  for (int64_t i = 0; i < count; ++i) {
    auto copy = [&] {
      Value column = i32.add(i32.mul(i32.add(firstChunk, i), panel.width), panel.first);
      Value source = offset(panel.at, i64.mul(i64.cast(column), kCopyBytes));
      Value target = copyTarget(rhsTile, stage, i32.mul(i32.add(first, i), tileN * kCopyBytes));
      NVVM::CpAsyncBulkGlobalToSharedClusterOp::create(builder, loc, target, source, barrier, bytes, Value(), Value());
    };
    if (*staticK % tileK)
      ifThen(i32.less(i32.constant(i), taken), copy);
    else
      copy();
  }
}

void TileNest::emitLhsBox(const OutputTile &block, Value stage, Value kTile) {
  emitBox(lhsTile, mapOfTile(lhsMaps, block.rows, tileM), stage,
          mapCoordinates(block, block.row0, i32.mul(kTile, tileK)));
}

/// The copies of a right side that is not stored for them: of columns along K, or of rows of columns, so many as a
/// pattern of the swizzle has.
void TileNest::emitRhsBoxes(const OutputTile &block, Value stage, Value kTile) {
  Value firstK = i32.mul(kTile, tileK);
  if (!row.rhsByColumns)
    return emitBox(rhsTile, mapOfTile(rhsMaps, block.columns, tileN), stage,
                   mapCoordinates(block, block.column0, firstK));
  Tile box = rhsTile;
  for (int64_t column = 0; column < tileN; column += columnsOfBox(), box.base += tileK * kSwizzleBytes)
    emitBox(box, rhsMaps.whole, stage, mapCoordinates(block, firstK, i32.add(block.column0, column)));
}

/// One copy by tensor map, of a whole tile.
void TileNest::emitBox(const Tile &tile, Value map, Value stage, ArrayRef<Value> coordinates) {
  NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
      builder, loc, copyTarget(tile, stage, i32.constant(0)), map, coordinates, fullBarrier(stage), ValueRange(),
      Value(), Value(), NVVM::TMALoadMode::TILE, /*isCTAOnly=*/false, NVVM::CTAGroupKindAttr(), Value());
}

/// Where a copy goes: byte `bytes` of a stage's tile.
Value TileNest::copyTarget(const Tile &tile, Value stage, Value bytes) {
  auto type =
      LLVM::LLVMPointerType::get(builder.getContext(), static_cast<unsigned>(NVVM::NVVMMemorySpace::SharedCluster));
  return LLVM::AddrSpaceCastOp::create(builder, loc, type, shared(stage, i32.add(bytes, tile.base)));
}

//===----------------------------------------------------------------------===//
// Warpgroups that multiply
//===----------------------------------------------------------------------===//

void TileNest::emitConsumers() {
  if (std::optional<int64_t> registers = registersToMultiply())
    NVVM::SetMaxRegisterOp::create(builder, loc, *registers, NVVM::SetMaxRegisterAction::increase);
  emitWaitForLast();
  prepareStaging();
  if (tileM < innerM && !clearsRing())
    emitUnusedRows();
  forEachTile([&](const OutputTile &block, RingPlace place) {
    // What belongs to rows arrives while products run.
    SmallVector<HeldLine> rows = emitRows(block);
    if (row.sumsInMemory)
      return emitTensorTile(block, rows, place);
    SmallVector<Value> sums = emitConsumption(block, place);
    emitEpilogue(block, rows, sums);
    return place;
  });
  finishStaging();
  if (row.sumsInMemory)
    emitTensorRelease();
}

/// One arrival for each warp: its threads are done with their products together.
void TileNest::emitRelease(Value stage) {
  ifThen(i32.equal(lane, i32.constant(0)),
         [&] { NVVM::MBarrierArriveOp::create(builder, loc, builder.getI64Type(), emptyBarrier(stage), Value()); });
}

/// And of the tile's scales, where there are such.
void TileNest::emitReleases(const RingPlace &at) {
  emitRelease(at.stage);
  if (hasScaleRing())
    emitScaleArrival(scaleBarrier(at.turn, false));
}

/// Whether products of one tile of K run while those of the tile before join the sums: where no other warpgroup's do,
/// and threads have registers for two products beside their sums.
bool TileNest::joinsBehind() {
  constexpr int64_t kMostColumns = 128;
  return row.promotion && consumers == kWarpgroup && innerM == row.m && innerN == row.n && row.n <= kMostColumns &&
         stepsOfRun() == steps && kTiles() > 1;
}

/// Some tiles of K whose sums join a tile later but for the last. Two products take turns in registers of their own.
Value TileNest::emitJoinsBehind(Value pitch, RingPlace &place, Value sum, int64_t count) {
  auto start = [&](const RingPlace &at, Value registers) {
    emitWait(fullBarrier(at.stage), at.phase);
    sum = emitOrdered("wgmma.fence.sync.aligned;", sum).front();
    auto descriptors = [&](int64_t step) { return emitDescriptors(at.stage, pitch, step); };
    Value own = emitProduct(llvm::map_to_vector(llvm::seq(steps), descriptors), 0, registers);
    NVVM::WgmmaGroupSyncAlignedOp::create(builder, loc);
    return own;
  };
  auto join = [&](const RingPlace &at, Value own, StringRef wait) {
    Run scales;
    if (hasScaleRing()) {
      emitScaleWait(at.turn);
      scales = emitScalesOfProduct(at.turn, 0, 0, Run());
    }
    own = emitOrdered(wait, own).front();
    emitReleases(at);
    sum = emitJoined(sum, own, scales, 0);
    return own;
  };
  Value running = start(place, Value()), joined;
  for (int64_t tile = 1; tile < count; ++tile) {
    RingPlace next = placeAfter(place);
    Value own = start(next, joined);
    joined = join(place, running, "wgmma.wait_group.sync.aligned 1;");
    place = next, running = own;
  }
  join(place, running, "wgmma.wait_group.sync.aligned 0;");
  place = placeAfter(place);
  return sum;
}

/// All tiles of K so, some at a time: ptxas waits for products that are under way where a loop begins.
Value TileNest::emitJoinsBehind(Value pitch, RingPlace &place) {
  constexpr int64_t kTogether = 4;
  Value sum = emitZeroSums().front();
  if (int64_t turns = kTiles() / kTogether) {
    auto loop = scf::ForOp::create(builder, loc, i32.constant(0), i32.constant(turns), i32.constant(1),
                                   ValueRange{place.stage, place.phase, place.turn, sum});
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    RingPlace at{loop.getRegionIterArg(0), loop.getRegionIterArg(1), loop.getRegionIterArg(2)};
    sum = emitJoinsBehind(pitch, at, loop.getRegionIterArg(3), kTogether);
    scf::YieldOp::create(builder, loc, ValueRange{at.stage, at.phase, at.turn, sum});
    place = {loop.getResult(0), loop.getResult(1), loop.getResult(2)};
    sum = loop.getResult(3);
  }
  return kTiles() % kTogether ? emitJoinsBehind(pitch, place, sum, kTiles() % kTogether) : sum;
}

/// The sums over all k, and the place behind them.
SmallVector<Value> TileNest::emitConsumption(const OutputTile &block, RingPlace &place) {
  Panel panel = isPacked ? emitPanel(block) : Panel();
  Value pitch = isSliced() || !isPacked ? i32.constant(tileN) : panel.width;
  if (joinsBehind())
    return {emitJoinsBehind(pitch, place)};
  auto stageBefore = [&](Value stage) {
    return i32.select(i32.equal(stage, i32.constant(0)), i32.constant(stages - 1), i32.sub(stage, i32.constant(1)));
  };
  SmallVector<Value> carried{place.stage, place.phase, place.turn};
  llvm::append_range(carried, emitZeroSums());
  auto loop = scf::ForOp::create(builder, loc, i32.constant(0), i32.constant(kTiles()), i32.constant(1), carried);
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    RingPlace at{loop.getRegionIterArg(0), loop.getRegionIterArg(1), loop.getRegionIterArg(2)};
    SmallVector<Value> sums(loop.getRegionIterArgs().drop_front(3));
    emitWait(fullBarrier(at.stage), at.phase);
    auto descriptors = [&](int64_t step) { return emitDescriptors(at.stage, pitch, step); };
    if (row.promotion) {
      SmallVector<Run> first(steps / stepsOfRun());
      auto runOf = [&](int64_t product, int64_t run) {
        if (!hasScaleRing())
          return Run();
        if (product == 0 && run == 0)
          emitScaleWait(at.turn);
        Run scales = emitScalesOfProduct(at.turn, product, run, first[run]);
        if (product == 0)
          first[run] = scales;
        return scales;
      };
      emitPromoted(descriptors, runOf, sums, [&] { emitReleases(at); });
    } else {
      sums = emitOrdered("wgmma.fence.sync.aligned;", sums);
      for (int64_t step = 0; step < steps; ++step)
        emitMultiplies(descriptors(step), sums);
      NVVM::WgmmaGroupSyncAlignedOp::create(builder, loc);
      NVVM::WgmmaWaitGroupSyncOp::create(builder, loc, builder.getI64IntegerAttr(1));
      ifThen(i32.notEqual(loop.getInductionVar(), i32.constant(0)), [&] { emitRelease(stageBefore(at.stage)); });
    }
    RingPlace next = placeAfter(at);
    SmallVector<Value> yielded{next.stage, next.phase, next.turn};
    llvm::append_range(yielded, sums);
    scf::YieldOp::create(builder, loc, yielded);
  }
  place = {loop.getResult(0), loop.getResult(1), loop.getResult(2)};
  SmallVector<Value> sums(loop.getResults().drop_front(3));
  if (row.promotion)
    return sums;
  sums = emitOrdered("wgmma.wait_group.sync.aligned 0;", sums);
  emitRelease(stageBefore(place.stage));
  return sums;
}

/// Of lines of 128 bytes of K, swizzled.
Value TileNest::emitLineDescriptor(Value address) {
  return arith::OrIOp::create(builder, loc, inUnits(address), i64.constant(kSwizzle128 | kSwizzledDistances));
}
/// An address in shared memory as descriptors have it.
Value TileNest::inUnits(Value address) {
  return i64.cast(i32.div(arith::AndIOp::create(builder, loc, address, i32.constant(0x3FFFF)), 16));
}

/// What the warpgroup multiplies in step `step` of a stage. Panels that are narrower than the tile have their core
/// matrices closer together, and the products' last columns are made of what lies behind.
TileNest::Fragments TileNest::emitDescriptors(Value stage, Value width, int64_t step) {
  int64_t gridN = tileN / innerN, stepBytes = row.k * elementSize;
  Value base = LLVM::PtrToIntOp::create(builder, loc, builder.getI32Type(), sharedBase);
  Value begin = i32.add(base, i32.mul(stage, stageBytes)), rhsBegin = i32.add(begin, rhsTile.base);
  Value lhs = emitLineDescriptor(i32.add(begin, i32.mul(i32.div(warpgroup, gridN), innerM * kSwizzleBytes)));
  Fragments fragments;
  for (int64_t line = 0; line < innerM; line += row.m)
    fragments.lhs.push_back(i64.add(lhs, (line * kSwizzleBytes + step * stepBytes) / 16));
  // Columns lie one behind the other but for boxes of rows of them: there K is walked by rows, and columns by boxes.
  int64_t columnBytes = isPacked ? kCopyBytes : kSwizzleBytes, rhsStep = stepBytes;
  if (row.rhsByColumns)
    columnBytes = tileK * kSwizzleBytes / columnsOfBox(), rhsStep = row.k * kSwizzleBytes;
  Value first = i32.add(rhsBegin, i32.mul(i32.rem(warpgroup, gridN), innerN * columnBytes)), rhs;
  if (isPacked) {
    Value distances = i64.add(i64.mul(i64.cast(width), 1 << 16), (kCoreBytes / 16) << 32);
    rhs = arith::OrIOp::create(builder, loc, inUnits(first), distances);
    rhs = i64.add(rhs, i64.mul(i64.cast(width), step * stepBytes / kCopyBytes));
  } else if (row.rhsByColumns) {
    int64_t distances = int64_t(8 * kSwizzleBytes / 16) << 32 | (tileK * kSwizzleBytes / 16) << 16;
    rhs = arith::OrIOp::create(builder, loc, inUnits(first), i64.constant(kSwizzle128 | distances));
  } else {
    rhs = emitLineDescriptor(first);
  }
  if (!isPacked)
    rhs = i64.add(rhs, step * rhsStep / 16);
  for (int64_t line = 0; line < innerN; line += row.n)
    fragments.rhs.push_back(i64.add(rhs, line * columnBytes / 16));
  return fragments;
}
