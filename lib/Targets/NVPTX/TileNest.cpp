//===- TileNest.cpp - tiles of blocks and the pipeline over K ---------------===//
//
// See TileNest.h for the shape of the code. While a tile of K is multiplied, those behind it arrive: a buffer is filled
// again one barrier after its last reader, and fragments of the next step are loaded before the current one multiplies.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"
#include "qlow/Targets/Layout.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace qlow;

/// Blocks that run at one time should share rows and columns in the second-level cache: so many rows of tiles are
/// walked together, column by column. 16 take 0.1 to 0.5 % less time than 8 (H100; i8, f8 and f16; M = N = K = 8192).
static constexpr int64_t kRasterRows = 16;

static std::optional<int64_t> constantOf(Value value) { return getConstantIntValue(OpFoldResult(value)); }

/// Threads that compute one inner tile together.
static int64_t threadsTogether(const MultiplyRow &row) {
  switch (row.scope) {
  case MultiplyRow::Scope::Lane:
    return 1;
  case MultiplyRow::Scope::Warp:
    return TileNest::kWarp;
  case MultiplyRow::Scope::Warpgroup:
    return 4 * TileNest::kWarp;
  }
  return 1;
}

StringRef TileNest::innerLevel(const MultiplyRow &row) {
  switch (row.scope) {
  case MultiplyRow::Scope::Lane:
    return "lane";
  case MultiplyRow::Scope::Warp:
    return "warp";
  case MultiplyRow::Scope::Warpgroup:
    return "warpgroup";
  }
  return {};
}

static int64_t bytesOf(int64_t elements, OperandElement element) { return elements * elementBits(element) / 8; }

/// Rows of nothing behind each chunk, so that threads that store one row's chunks side by side hit different banks.
/// They take whole vectors of 16 bytes: those begin at the same row of every chunk.
static int64_t paddingRows(int64_t chunkBytes, int64_t chunks) {
  return chunkBytes == 16 ? std::max<int64_t>(8 / chunks, 1) : 16 / chunkBytes;
}

/// Bytes from chunk to chunk of a tile that lies in chunks. Packed panels are copied along a chunk and lie as close in
/// shared memory: what is 32 bytes there must be 32 bytes here, see TileNest.h.
static int64_t chunkPitch(const MultiplyRow &row, OperandElement element, int64_t lines, int64_t chunks,
                          bool isPacked) {
  int64_t chunkBytes = bytesOf(row.storedGroup(), element);
  return (lines + (isPacked ? 0 : paddingRows(chunkBytes, chunks))) * chunkBytes;
}

static bool packsRhs(RecipeAttr recipe) { return recipe.getRhs().front().getTo() == "memory"; }

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

int64_t TileNest::threadsOf(RecipeAttr recipe, const MultiplyRow &row) {
  ArrayRef<int64_t> block = recipe.getTile("cta"), inner = recipe.getTile(innerLevel(row));
  int64_t multiplying = llvm::divideCeil(block[0], inner[0]) * (block[1] / inner[1]) * threadsTogether(row);
  return isSpecialized(recipe) ? multiplying + threadsTogether(row) : multiplying;
}

/// Fewer rows than a product has are those of its first warps, where nobody else computes them.
bool TileNest::hasWholeTiles(RecipeAttr recipe, const MultiplyRow &row) {
  ArrayRef<int64_t> block = recipe.getTile("cta"), inner = recipe.getTile(innerLevel(row));
  if (block.size() != 3 || inner.size() != 3)
    return false;
  auto divides = [](int64_t part, int64_t whole) { return part > 0 && whole > 0 && whole % part == 0; };
  // ldmatrix brings two products' columns at a time.
  int64_t unitN = row.scope == MultiplyRow::Scope::Warp ? 2 * row.n : row.n;
  bool isPart = isSpecialized(recipe) && divides(warpRows(row), block[0]) && block[0] < inner[0];
  return divides(row.m, inner[0]) && divides(unitN, inner[1]) && (isPart || divides(inner[0], block[0])) &&
         divides(inner[1], block[1]) && inner[2] == row.k && divides(row.k, block[2]) &&
         (!row.takesScales() || divides(4 * row.scaledTogether, block[2])); // whole words of scales
}

bool TileNest::swizzlesLhs(RecipeAttr recipe, const MultiplyRow &row) {
  return row.scope == MultiplyRow::Scope::Warp && recipe.getLhs().front().getBy() == "cp_async" &&
         llvm::isPowerOf2_64(recipe.getTile("cta")[2]);
}

int64_t TileNest::sharedBytes(RecipeAttr recipe, const MultiplyRow &row) {
  ArrayRef<int64_t> block = recipe.getTile("cta");
  if (isSpecialized(recipe))
    return specializedBytes(recipe, row);
  int64_t chunks = block[2] / row.storedGroup(), lhs = chunkPitch(row, row.storedLhs, block[0], chunks, false) * chunks;
  if (swizzlesLhs(recipe, row))
    lhs = block[0] * bytesOf(block[2], row.storedLhs);
  int64_t rhs = chunkPitch(row, row.storedRhs, block[1], chunks, packsRhs(recipe)) * chunks;
  int64_t bytes = llvm::alignTo(lhs, kCopyBytes) + llvm::alignTo(rhs, kCopyBytes) + productScaleBytes(recipe, row);
  return bytes * recipe.getLhs().front().getStages();
}

TileNest::TileNest(OpBuilder &builder, MatmulKernelOp op, RecipeAttr recipe, const MultiplyRow &row,
                   const Machine &machine)
    : KernelBuilder(builder, op, machine), recipe(recipe), row(row) {
  ArrayRef<int64_t> block = recipe.getTile("cta"), inner = recipe.getTile(innerLevel(row));
  tileM = block[0], tileN = block[1], tileK = block[2];
  innerM = inner[0], innerN = inner[1];
  threads = threadsOf(recipe, row);
  stages = recipe.getLhs().front().getStages();
  steps = tileK / row.k;
  chunks = tileK / row.storedGroup();
  elementSize = elementBits(row.storedLhs) / 8;
  copiesLhs = recipe.getLhs().front().getBy() == "cp_async";
  isPacked = op.getPackedRhs().has_value();
  copiesRhs = isPacked || recipe.getRhs().front().getBy() == "cp_async";
  auto tileOf = [&](int64_t lines, OperandElement element, int64_t base, bool isPacked) {
    return Tile{lines, chunkPitch(row, element, lines, chunks, isPacked), bytesOf(row.storedGroup(), element), base};
  };
  lhsTile = tileOf(tileM, row.storedLhs, 0, false);
  int64_t lhsBytes = chunks * lhsTile.chunkPitch;
  if (swizzlesLhs(recipe, row)) {
    lhsTile = {tileM, kCopyBytes, bytesOf(tileK, row.storedLhs), 0};
    lhsBytes = tileM * lhsTile.linePitch;
  }
  rhsTile = tileOf(tileN, row.storedRhs, llvm::alignTo(lhsBytes, kCopyBytes), packsRhs(recipe));
  productScalesBase = rhsTile.base + llvm::alignTo(chunks * rhsTile.chunkPitch, kCopyBytes);
  stageBytes = productScalesBase + productScaleBytes(recipe, row);
  if (isSpecialized(recipe)) {
    consumers = threads - threadsTogether(row);
    int64_t rows = std::max(tileM, innerM);
    lhsTile = {rows, 0, 0, 0};
    rhsTile = {tileN, 0, 0, rows * kSwizzleBytes};
    stageBytes = (rows + tileN) * kSwizzleBytes;
  }
  panelWidth = isPacked ? op.getPackedRhs()->getPanel() : tileN;

  n = index.dim(op.getOut(), rank - 1);
  k = op.emitK(builder);
  staticK = constantOf(k);
  staticN = constantOf(n);
}

//===----------------------------------------------------------------------===//
// Building blocks
//===----------------------------------------------------------------------===//

Value TileNest::shared(Value stage, Value bytes) {
  return offset(sharedBase, i32.add(i32.mul(stage, stageBytes), bytes));
}

Value TileNest::isInside(Value place, Value size, int64_t tile) {
  std::optional<int64_t> known = getConstantIntValue(OpFoldResult(size));
  if (known && *known % tile == 0)
    return arith::ConstantIntOp::create(builder, loc, 1, 1);
  return i32.less(place, size);
}

Value TileNest::emitGuarded(Value condition, Type type, function_ref<Value()> inside) {
  if (getConstantIntValue(OpFoldResult(condition)).value_or(0))
    return inside();
  OpBuilder::InsertionGuard guard(builder);
  auto branch = scf::IfOp::create(builder, loc, TypeRange{type}, condition, /*addThenBlock=*/true,
                                  /*addElseBlock=*/true);
  builder.setInsertionPointToStart(&branch.getThenRegion().front());
  scf::YieldOp::create(builder, loc, inside());
  builder.setInsertionPointToStart(&branch.getElseRegion().front());
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
  scf::YieldOp::create(builder, loc, zero);
  return branch.getResult(0);
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

/// Opens a launch of `blocks` (index) blocks and leaves the builder in its body.
gpu::LaunchOp TileNest::startLaunch(Value blocks, int64_t threads, int64_t shared) {
  auto constant = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(builder, loc, value); };
  Value one = constant(1);
  Value bytes = shared ? arith::ConstantIntOp::create(builder, loc, shared, 32).getResult() : Value();
  auto launch = gpu::LaunchOp::create(builder, loc, blocks, one, one, constant(threads), one, one, bytes);
  builder.setInsertionPointToStart(&launch.getBody().front());
  gpu::TerminatorOp::create(builder, loc);
  builder.setInsertionPointToStart(&launch.getBody().front());
  return launch;
}

void TileNest::emit() {
  if (needsRowSums())
    emitSumsLaunch(Side::Lhs);
  if (needsColumnSums() && !isPacked)
    emitSumsLaunch(Side::Rhs);
  if (isSpecialized(recipe))
    emitSpecializedLaunch();
  else
    emitTileLaunch();
}

/// What every thread computes with.
void TileNest::prepareThread(gpu::LaunchOp launch) {
  m32 = i32.cast(m), n32 = i32.cast(n), k32 = i32.cast(k);
  thread = i32.cast(launch.getThreadIds().x);
  lane = i32.rem(thread, kWarp);
  warp = i32.div(thread, kWarp);
  auto space = gpu::AddressSpaceAttr::get(builder.getContext(), gpu::AddressSpace::Workgroup);
  auto bytes = MemRefType::get({ShapedType::kDynamic}, builder.getI8Type(), MemRefLayoutAttrInterface{}, space);
  Value memory = gpu::DynamicSharedMemoryOp::create(builder, loc, bytes);
  auto pointer = LLVM::LLVMPointerType::get(builder.getContext(), static_cast<unsigned>(NVVM::NVVMMemorySpace::Shared));
  Value address = memref::ExtractAlignedPointerAsIndexOp::create(builder, loc, memory);
  sharedBase = LLVM::IntToPtrOp::create(builder, loc, pointer, i64.cast(address));
}

void TileNest::emitTileLaunch() {
  Value tiles = index.mul(index.ceilDiv(m, tileM), index.ceilDiv(n, tileN));
  OpBuilder::InsertionGuard guard(builder);
  gpu::LaunchOp launch = startLaunch(index.mul(batchCount, tiles), threads, sharedBytes(recipe, row));
  markProducts(launch, row);
  prepareThread(launch);
  emitNextMayStart();
  emitWaitForLast();
  OutputTile block = decomposeBlock(launch.getBlockIds().x);
  prepareCopies(block);
  prepareFragments();
  bool isAsynchronous = row.scope == MultiplyRow::Scope::Warpgroup;
  SmallVector<Value> sums = isAsynchronous ? emitAsynchronousPipeline(block) : emitPipeline(block);
  emitEpilogue(block, emitRows(block), sums);
}

/// number / height, which is 1 to kRasterRows. A division by what is not constant is a call, whose code is not in the
/// instruction cache when a kernel starts: half a microsecond. With c = ceil(2^34 / height) the error of number c /
/// 2^34 is below number / 2^34, less than 1 / height.
Value TileNest::divideByHeight(Value number, Value height) {
  constexpr int64_t kOne = int64_t(1) << 34;
  Value reciprocal = i64.constant(kOne);
  for (int64_t h = 2; h <= kRasterRows; ++h)
    reciprocal = i64.select(i32.equal(height, i32.constant(h)), i64.constant((kOne + h - 1) / h), reciprocal);
  return i32.cast(i64.div(i64.mul(i64.cast(number), reciprocal), kOne));
}

TileNest::OutputTile TileNest::decomposeBlock(Value number) {
  OutputTile block;
  Value tilesM = i32.ceilDiv(m32, tileM), tilesN = i32.ceilDiv(n32, tileN);
  Value perBatch = i32.mul(tilesM, tilesN), inBatch = i32.cast(number);
  block.linearBatch = index.constant(0);
  if (rank > 2) {
    block.linearBatch = index.cast(i32.div(inBatch, perBatch));
    inBatch = i32.rem(inBatch, perBatch);
  }
  Value remaining = block.linearBatch;
  for (Value size : llvm::reverse(batchSizes)) {
    block.batch.insert(block.batch.begin(), index.rem(remaining, size));
    remaining = index.div(remaining, size);
  }
  Value strip = i32.mul(tilesN, kRasterRows);
  Value first = i32.mul(i32.div(inBatch, strip), kRasterRows);
  Value inStrip = i32.rem(inBatch, strip);
  Value height = i32.min(i32.sub(tilesM, first), i32.constant(kRasterRows));
  block.columnTile = divideByHeight(inStrip, height);
  Value inColumn = i32.sub(inStrip, i32.mul(block.columnTile, height));
  block.row0 = i32.mul(i32.add(first, inColumn), tileM);
  block.column0 = i32.mul(block.columnTile, tileN);
  block.rows = i32.min(i32.constant(tileM), i32.sub(m32, block.row0));
  block.columns = i32.min(i32.constant(tileN), i32.sub(n32, block.column0));
  return block;
}

//===----------------------------------------------------------------------===//
// The pipeline
//===----------------------------------------------------------------------===//

SmallVector<Value> TileNest::Fragments::values() const {
  SmallVector<Value> all;
  for (ArrayRef<Value> part :
       {ArrayRef<Value>(lhs), ArrayRef<Value>(rhs), ArrayRef<Value>(lhsScales), ArrayRef<Value>(rhsScales)})
    llvm::append_range(all, part);
  return all;
}

void TileNest::Fragments::assign(ValueRange values) {
  for (MutableArrayRef<Value> part : {MutableArrayRef<Value>(lhs), MutableArrayRef<Value>(rhs),
                                      MutableArrayRef<Value>(lhsScales), MutableArrayRef<Value>(rhsScales)})
    for (Value &value : part) {
      value = values.front();
      values = values.drop_front();
    }
}

bool TileNest::hasAsynchronousCopies() {
  return !copies.empty() || (row.takesScales() && (copiesScales(Side::Lhs) || copiesScales(Side::Rhs)));
}

void TileNest::emitCommit() {
  if (hasAsynchronousCopies())
    NVVM::CpAsyncCommitGroupOp::create(builder, loc);
}

void TileNest::emitArrival(int64_t pending) {
  if (hasAsynchronousCopies())
    NVVM::CpAsyncWaitGroupOp::create(builder, loc, static_cast<uint32_t>(pending));
  // The unit reads shared memory by another way than threads write it.
  if (row.scope == MultiplyRow::Scope::Warpgroup)
    emitProxyFence();
  gpu::BarrierOp::create(builder, loc);
}

Value TileNest::stageAfter(Value stage) {
  Value next = i32.add(stage, 1);
  return i32.select(i32.equal(next, i32.constant(stages)), i32.constant(0), next);
}

SmallVector<Value> TileNest::emitPipeline(const OutputTile &block) {
  SmallVector<Value> sums = emitZeroSums();
  if (staticK == 0)
    return sums;
  // A sum over nothing is made of one tile of zeros.
  Value kTiles = i32.max(i32.ceilDiv(k32, tileK), i32.constant(1));
  for (int64_t stage = 0; stage + 1 < stages; ++stage) {
    Value number = i32.constant(stage);
    ifThen(i32.less(number, kTiles), [&] { emitIssue(block, number, number); });
    emitCommit();
  }
  emitArrival(stages - 2);
  Fragments fragments = emitFragments(i32.constant(0), 0);
  SmallVector<Value> carried{i32.constant(0), i32.constant(stages - 1)}, held = fragments.values();
  int64_t numFragments = held.size();
  llvm::append_range(carried, held);
  llvm::append_range(carried, sums);
  auto loop = scf::ForOp::create(builder, loc, i32.constant(0), kTiles, i32.constant(1), carried);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  Value kTile = loop.getInductionVar(), read = loop.getRegionIterArg(0), write = loop.getRegionIterArg(1);
  // Behind the last tile there is nothing to load: the last one is read again, and not used.
  Value nextRead = i32.select(i32.less(i32.add(kTile, 1), kTiles), stageAfter(read), read);
  ValueRange arguments = loop.getRegionIterArgs();
  fragments.assign(arguments.slice(2, numFragments));
  sums = SmallVector<Value>(arguments.drop_front(2 + numFragments));
  SmallVector<Run> runs = emitRuns(block, kTile);
  for (int64_t step = 0; step < steps; ++step) {
    bool isLast = step + 1 == steps;
    // Of one step, the turn's own copies begin only behind it.
    if (isLast)
      emitArrival(steps == 1 ? stages - 3 : stages - 2);
    Fragments next = isLast ? emitFragments(nextRead, 0) : emitFragments(read, step + 1);
    if (step == 0) {
      Value ahead = i32.add(kTile, stages - 1);
      ifThen(i32.less(ahead, kTiles), [&] { emitIssue(block, write, ahead); });
      emitCommit();
    }
    emitMultiplies(fragments, sums, runs[step / stepsOfRun()]);
    fragments = next;
  }
  SmallVector<Value> yielded{nextRead, stageAfter(write)};
  llvm::append_range(yielded, fragments.values());
  llvm::append_range(yielded, sums);
  scf::YieldOp::create(builder, loc, yielded);
  return SmallVector<Value>(loop.getResults().drop_front(2 + numFragments));
}
