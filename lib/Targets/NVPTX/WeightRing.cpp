//===- WeightRing.cpp - one token against a stream of weights ---------------===//
//
// WeightStream for one token, where blocks of threads that come and go would leave the memory idle in between. As many
// blocks as the chip holds stay and take tile after tile of 16 columns. Each thread copies the codes that it will
// unpack itself to shared memory some turns ahead (cp.async), so that it waits for nobody else, and reads the next
// turn's scales to registers. The token is brought to shared memory once, in the order of the products' operands, and
// so is the table of a format that has one.
//
//   for each turn of each tile:  wait for the turn's codes;  start the copies of a later turn;  products
//     behind a tile's last turn: sums of the warps to shared memory;  barrier;  16 threads add them up
//
// Turns reach over K: the token is zero there, and what codes and scales it meets does not matter.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/WeightOnly.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace qlow;

/// k of a product of floats.
static constexpr int64_t kStep = 16;
static constexpr int64_t kBlockK = Layout::kFragmentK, kSteps = kBlockK / kStep;
static constexpr int64_t kColumns = WeightStream::kColumns;
/// Steps whose words of the token a thread reads at once.
static constexpr int64_t kTokenSteps = 2, kTokenBytes = 16;
/// Warps on a core that leave a thread registers for two turns' codes and scales, and the same where a column has more
/// scales in a turn than few. 28672 x 4096 of mxfp4 took 31.6 us on an H100 with 24 warps, and takes 24.0 with 16.
static constexpr int64_t kMostWarps = 32, kFewScales = 8, kMostWarpsOfManyScales = 16;

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

namespace {
struct Sizes {
  int64_t warps, together, stages; ///< together: blocks of the layout in a turn of a warp
  int64_t tile, ring, token, sums, table;
  bool isTableSpread; ///< where two blocks of threads still share a core

  Sizes(RecipeAttr recipe, const MultiplyRow &row, const Format &format, int64_t k, const Machine &machine) {
    int64_t ofTurn = recipe.getTile("cta")[2], ofWarp = recipe.getTile("warp")[2];
    warps = ofTurn / ofWarp;
    together = ofWarp / kBlockK;
    stages = recipe.getRhs()[1].getStages();
    tile = kColumns * kBlockK * format.bits / 8;
    ring = warps * stages * together * tile;
    token = llvm::alignTo(k, ofTurn) * 2;
    sums = 2 * warps * kColumns * 4;
    table = FragmentDecoder::tableBytes(format, row.lhs, /*isSpread=*/true);
    isTableSpread = 2 * (all() + machine.residents.reserved) <= machine.residents.shared;
    table = FragmentDecoder::tableBytes(format, row.lhs, isTableSpread);
  }
  int64_t all() const { return ring + token + sums + table; }
};
} // namespace

std::string WeightRing::verify(RecipeAttr recipe, const MultiplyRow &row, const Format &format, int64_t k,
                               const Machine &machine) {
  ArrayRef<int64_t> block = recipe.getTile("cta"), warp = recipe.getTile("warp");
  int64_t stages = recipe.getRhs()[1].getStages();
  if (!row.isFloat)
    return "expected a row of floats where codes are copied ahead";
  if (block.size() != 3 || warp.size() != 3 || block[0] != 1 || block[1] != kColumns || warp[0] != 1 ||
      warp[1] != kColumns || warp[2] % kBlockK || warp[2] > 4 * kBlockK || block[2] % warp[2] ||
      block[2] / warp[2] > 16 || stages < 2 || stages > 8 || k == 0)
    return llvm::formatv("expected a cta tile of 1 x {0} and warp tiles of as much, with {1} to {2} of its k for each "
                         "of at most 16 warps, 2 to 8 stages, and some K",
                         kColumns, kBlockK, 4 * kBlockK);
  if (int64_t bytes = Sizes(recipe, row, format, k, machine).all(); bytes > machine.levelBytes("cta"))
    return llvm::formatv("expected at most {0} bytes of shared memory, found {1}", machine.levelBytes("cta"), bytes);
  return {};
}

bool WeightRing::isTableSpread(RecipeAttr recipe, const MultiplyRow &row, const Format &format, int64_t k,
                               const Machine &machine) {
  return Sizes(recipe, row, format, k, machine).isTableSpread;
}

int64_t WeightRing::blocksOfCore(RecipeAttr recipe, const MultiplyRow &row, const Format &format,
                                 int64_t scaledTogether, int64_t k, const Machine &machine) {
  Sizes sizes(recipe, row, format, k, machine);
  bool areMany = scaledTogether && recipe.getTile("warp")[2] / scaledTogether > kFewScales;
  int64_t most = areMany ? kMostWarpsOfManyScales : kMostWarps;
  int64_t fit = machine.residents.shared / (sizes.all() + machine.residents.reserved);
  return std::max<int64_t>(std::min(fit, most / sizes.warps), 1);
}

//===----------------------------------------------------------------------===//
// The kernel
//===----------------------------------------------------------------------===//

void WeightRing::emit() {
  const Format &format = *alignedFormat(*type.getFormat());
  Sizes sizes(recipe, row, format, k, machine);
  warps = sizes.warps, blocksTogether = sizes.together, stages = sizes.stages, tileBytes = sizes.tile;
  tokens = 1;
  tokenAt = sizes.ring, sumsAt = tokenAt + sizes.token, tableAt = sumsAt + sizes.sums;
  int64_t tilesN = llvm::divideCeil(n, kColumns);
  int64_t resident = blocksOfCore(recipe, row, format, scaledTogether, k, machine);
  blocksOfToken = std::min(tilesN, machine.cores * resident);
  blocksOfK = llvm::divideCeil(k, kBlockK);
  turnsOfTile = llvm::divideCeil(blocksOfK, warps * blocksTogether);

  OpBuilder::InsertionGuard guard(builder);
  gpu::LaunchOp launch = startLaunch(index.mul(index.mul(batchCount, m), blocksOfToken), warps * kWarp, sizes.all());
  launch->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), builder.getI32IntegerAttr(resident));
  Value number = i32.cast(launch.getBlockIds().x);
  firstTile = i32.rem(number, blocksOfToken);
  Value token = takeBatch(i32.div(number, blocksOfToken), m32);
  turns = i32.mul(i32.div(i32.sub(i32.constant(tilesN + blocksOfToken - 1), firstTile), blocksOfToken), turnsOfTile);
  shared = dynamicShared();
  ringAt =
      offset(shared, i32.add(i32.mul(warp, stages * blocksTogether * tileBytes), i32.mul(lane, Layout::kPieceBytes)));
  Value codes = i64.add(i64.mul(linearBatch, layout.bytes()), i64.cast(i32.mul(lane, Layout::kPieceBytes)));
  codesFrom = offset(pointerOf(op.getRhs().front()), codes);

  bool areWeights = llvm::all_of(op.getRhs(), isWeight);
  if (!areWeights)
    emitWaitForLast();
  for (int64_t turn = 0; turn + 1 < stages; ++turn)
    emitCopies(i32.constant(turn));
  ColumnParameters first = loadTurn(i32.constant(0));
  SmallVector<Value> carried = valuesOf(first);
  int64_t numParameters = carried.size();
  decoder.emitTable(offset(shared, tableAt), thread, warps * kWarp, lane, /*permuted=*/0, sizes.isTableSpread);
  if (areWeights)
    emitWaitForLast();
  emitToken(token);
  gpu::BarrierOp::create(builder, loc);
  carried.append(4, f32(0));
  auto loop = scf::ForOp::create(builder, loc, i32.constant(0), turns, i32.constant(1), carried);
  builder.setInsertionPointToStart(loop.getBody());
  Value turn = loop.getInductionVar();
  SmallVector<Value> values(loop.getRegionIterArgs());
  MutableArrayRef<Value> sums = MutableArrayRef<Value>(values).drop_front(numParameters);
  NVVM::CpAsyncWaitGroupOp::create(builder, loc, static_cast<uint32_t>(stages - 2));
  emitCopies(i32.add(turn, stages - 1));
  ColumnParameters next = loadTurn(i32.min(i32.add(turn, 1), i32.sub(turns, i32.constant(1))));
  emitTurn(turn, parametersOf(ArrayRef(values).take_front(numParameters), first), sums);
  Value isLast = i32.equal(i32.rem(turn, turnsOfTile), i32.constant(turnsOfTile - 1));
  ifThen(isLast, [&] { emitReduction(sums, turn, token); });
  for (Value &sum : sums)
    sum = arith::SelectOp::create(builder, loc, isLast, f32(0), sum);
  llvm::copy(valuesOf(next), values.begin());
  scf::YieldOp::create(builder, loc, values);
}

/// What a loop carries: as they are loaded, few registers where one load brings a column's.
SmallVector<Value> WeightRing::valuesOf(const ColumnParameters &parameters) {
  SmallVector<Value> values;
  for (int64_t h = 0; h < 2; ++h) {
    llvm::append_range(values, parameters.scales[h]);
    llvm::append_range(values, parameters.zeros[h]);
  }
  return values;
}

/// As many of each kind as `like` has.
WeightRing::ColumnParameters WeightRing::parametersOf(ArrayRef<Value> values, const ColumnParameters &like) {
  ColumnParameters parameters;
  auto take = [&](SmallVector<Value> &to, size_t count) {
    to.assign(values.begin(), values.begin() + count);
    values = values.drop_front(count);
  };
  for (int64_t h = 0; h < 2; ++h) {
    take(parameters.scales[h], like.scales[h].size());
    take(parameters.zeros[h], like.zeros[h].size());
  }
  return parameters;
}

WeightRing::Turn WeightRing::placeOf(Value turn) {
  Value tile = i32.add(firstTile, i32.mul(i32.div(turn, turnsOfTile), blocksOfToken));
  return {tile, i32.mul(i32.add(i32.mul(i32.rem(turn, turnsOfTile), warps), warp), blocksTogether)};
}

Value WeightRing::slotOf(Value turn) {
  return offset(ringAt, i32.mul(i32.rem(turn, stages), blocksTogether * tileBytes));
}

/// Starts the copies of a turn's codes, where there is one, and closes their group.
void WeightRing::emitCopies(Value turn) {
  int64_t tilesOfPanel = Layout::kFragmentColumns / kColumns, pieces = kSteps / layout.stepsOfPiece();
  constexpr int64_t kWarpBytes = kWarp * Layout::kPieceBytes;
  ifThen(i32.less(turn, turns), [&] {
    Turn place = placeOf(turn);
    Value from = i64.mul(i64.cast(i32.div(place.tile, tilesOfPanel)), layout.panelOffset(1));
    from = i64.add(from, i64.cast(i32.mul(i32.rem(place.tile, tilesOfPanel), kWarpBytes)));
    Value tile = offset(codesFrom, from), slot = slotOf(turn);
    for (int64_t i = 0; i < blocksTogether; ++i) {
      Value block = i32.add(place.block, i);
      if (blocksOfK % (warps * blocksTogether))
        block = i32.min(block, i32.constant(blocksOfK - 1));
      Value source = offset(tile, i64.mul(i64.cast(block), layout.blockBytes()));
      for (int64_t piece = 0; piece < pieces; ++piece)
        NVVM::CpAsyncOp::create(builder, loc, offset(slot, i * tileBytes + piece * kWarpBytes),
                                offset(source, piece * Layout::kThreads * Layout::kPieceBytes),
                                static_cast<uint32_t>(Layout::kPieceBytes), NVVM::LoadCacheModifierKind::CG, Value());
    }
  });
  NVVM::CpAsyncCommitGroupOp::create(builder, loc);
}

/// Scales and zero points of a turn.
WeightRing::ColumnParameters WeightRing::loadTurn(Value turn) {
  Turn place = placeOf(turn);
  Value block = place.block;
  if (blocksOfK % (warps * blocksTogether) && blocksOfK % blocksTogether == 0)
    block = i32.min(block, i32.constant(blocksOfK - blocksTogether));
  std::array<Value, 2> columns;
  for (int64_t h = 0; h < 2; ++h)
    columns[h] =
        i32.min(i32.add(i32.add(i32.mul(place.tile, kColumns), i32.mul(i32.div(lane, 4), 2)), h), i32.constant(n - 1));
  return loadColumns(columns, block, blocksTogether, kBlockK);
}

/// Words of two steps lie side by side: [two steps][lane % 4][step][half of its k], and what lies past K is zero.
void WeightRing::emitToken(Value token) {
  Value element = i64.mul(i64.add(i64.mul(linearBatch, i64.cast(m)), i64.cast(token)), k);
  Value from = offset(pointerOf(op.getLhs().front()), i64.mul(element, 2));
  constexpr int64_t kOfLanes = kTokenSteps * kStep; // k of four lanes
  int64_t padded = turnsOfTile * warps * blocksTogether * kBlockK;
  auto loop =
      scf::ForOp::create(builder, loc, thread, i32.constant(padded / kOfLanes * 4), i32.constant(warps * kWarp));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  Value number = loop.getInductionVar(), first = i32.mul(i32.div(number, 4), kOfLanes);
  SmallVector<Value> words;
  for (int64_t half = 0; half < kOfLanes / 8; ++half) { // K is a multiple of 8
    Value begin = i32.add(first, half * 8), isThere = padded == k ? Value() : i32.less(begin, i32.constant(k));
    if (isThere)
      begin = i32.select(isThere, begin, i32.constant(0));
    Value at = offset(from, i64.cast(i32.add(i32.mul(begin, 2), i32.mul(i32.rem(number, 4), 4))));
    Value word = LLVM::LoadOp::create(builder, loc, builder.getI32Type(), at, 4, /*isVolatile=*/false,
                                      /*isNonTemporal=*/false, /*isInvariant=*/true);
    words.push_back(isThere ? i32.select(isThere, word, i32.constant(0)) : word);
  }
  LLVM::StoreOp::create(builder, loc, wordsOf(words), offset(shared, i32.add(i32.mul(number, kTokenBytes), tokenAt)),
                        kTokenBytes);
}

void WeightRing::emitTurn(Value turn, const ColumnParameters &loaded, MutableArrayRef<Value> sums) {
  auto four = VectorType::get({4}, builder.getI32Type());
  auto load = [&](Value at) -> Value { return LLVM::LoadOp::create(builder, loc, four, at, kTokenBytes); };
  Value slot = slotOf(turn);
  SmallVector<Value> pieces;
  for (int64_t byte = 0; byte < blocksTogether * tileBytes; byte += kWarp * Layout::kPieceBytes)
    pieces.push_back(load(offset(slot, byte)));
  constexpr int64_t kBlockBytes = kBlockK * 2;
  Value tokenFrom = offset(shared, i32.add(i32.mul(placeOf(turn).block, kBlockBytes),
                                           i32.add(i32.mul(i32.rem(lane, 4), kTokenBytes), tokenAt)));
  Value both;
  auto tokensOf = [&](int64_t, int64_t step) {
    if (step % kTokenSteps == 0)
      both = load(offset(tokenFrom, step * kStep * 2));
    SmallVector<Value> pair;
    for (int64_t part = 0; part < 2; ++part)
      pair.push_back(LLVM::ExtractElementOp::create(builder, loc, both, i32.constant(step % kTokenSteps * 2 + part)));
    return pair;
  };
  emitProducts(wordsOfPieces(pieces), decodeColumns(loaded, blocksTogether), blocksTogether * kSteps, kBlockK, tokensOf,
               /*tokenScales=*/{}, sums);
}

/// All columns of a product are the one token: sums 0 and 2 are those of a thread's two columns of the matrix, and one
/// of four lanes has them to give. Tiles take turns at two places, so that one barrier between them is enough.
void WeightRing::emitReduction(ArrayRef<Value> sums, Value turn, Value token) {
  Value tileNumber = i32.div(turn, turnsOfTile), place = i32.mul(i32.rem(tileNumber, 2), warps * kColumns * 4);
  Value sumsFrom = offset(shared, i32.add(place, sumsAt));
  ifThen(i32.equal(i32.rem(lane, 4), i32.constant(0)), [&] {
    Value at = i32.add(i32.mul(warp, kColumns * 4), i32.mul(lane, 2)); // two floats for each four lanes
    LLVM::StoreOp::create(builder, loc, wordsOf({sums[0], sums[2]}), offset(sumsFrom, at), 8);
  });
  gpu::BarrierOp::create(builder, loc);
  Value column = i32.add(i32.mul(placeOf(turn).tile, kColumns), thread);
  Value isThere = i32.less(thread, i32.constant(kColumns));
  if (n % kColumns)
    isThere = i32.both(isThere, i32.less(column, i32.constant(n)));
  ifThen(isThere, [&] {
    Value sum;
    for (int64_t w = 0; w < warps; ++w) {
      Value part = LLVM::LoadOp::create(builder, loc, builder.getF32Type(),
                                        offset(offset(sumsFrom, i32.mul(thread, 4)), w * kColumns * 4), 4);
      sum = sum ? arith::AddFOp::create(builder, loc, sum, part).getResult() : part;
    }
    emitStore(emitResult(sum, token, column), token, column);
  });
}
