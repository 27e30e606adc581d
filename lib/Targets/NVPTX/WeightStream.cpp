//===- WeightStream.cpp - few tokens against a stream of weights ------------===//
//
// With few tokens a product is as fast as its codes arrive. A block of threads takes 16 columns of the weight, as the
// rows of mma.sync m16n8k16, or m16n8k32 of bytes, and 8 tokens or a multiple of it. Its warps take turns along K; of
// one turn a warp asks for all codes at once, 16 bytes a thread, straight to registers, where they are unpacked. Tokens
// are read from the caches. In the end the warps' sums are added in shared memory.
//
//   for each turn of a warp:  load its codes, scales and zero points
//                             for each scale: for each step of K: decode, load tokens, multiply;  sums += scale *
//                             sum
//   barrier;  each thread adds the warps' sums of its results: scale of the column, epilogue, store
//
// Blocks of the layout that do not fill a turn of all warps are taken one by one, and the one that K ends in last: its
// tokens beyond K are zeros.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/WeightOnly.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace qlow;

static constexpr int64_t kBlockK = Layout::kFragmentK;
static constexpr int64_t kTokens = 8; ///< of one product

std::string WeightStream::verify(RecipeAttr recipe) {
  ArrayRef<int64_t> block = recipe.getTile("cta"), warp = recipe.getTile("warp");
  if (block.size() == 3 && warp.size() == 3 && block[0] % kTokens == 0 && block[0] <= 64 && block[1] == kColumns &&
      warp[0] == block[0] && warp[1] == kColumns && warp[2] % kBlockK == 0 && warp[2] <= 8 * kBlockK &&
      block[2] % warp[2] == 0 && block[2] / warp[2] <= 16)
    return {};
  return llvm::formatv(
      "expected a cta tile of 8 to 64 x {0} and warp tiles of as much, with {1} to {2} of its k for each "
      "of at most 16 warps",
      kColumns, kBlockK, 8 * kBlockK);
}

void WeightStream::emit() {
  ArrayRef<int64_t> block = recipe.getTile("cta"), warpTile = recipe.getTile("warp");
  tokens = block[0];
  warps = block[2] / warpTile[2];
  blocksTogether = warpTile[2] / kBlockK;
  Value tilesM = index.ceilDiv(m, tokens);
  int64_t tilesN = llvm::divideCeil(n, kColumns);
  OpBuilder::InsertionGuard guard(builder);
  tableAt = warps * tokens * kColumns * 4;
  int64_t tableBytes = FragmentDecoder::tableBytes(*alignedFormat(*type.getFormat()), row.lhs);
  needsTable = tableBytes;
  gpu::LaunchOp launch =
      startLaunch(index.mul(batchCount, index.mul(tilesM, tilesN)), warps * kWarp, tableAt + tableBytes);
  emitWaitForLast();
  // Blocks with the same weights run side by side.
  Value tiles = i32.ceilDiv(m32, tokens), number = i32.cast(launch.getBlockIds().x);
  number = takeBatch(number, i32.mul(tiles, tilesN));
  Value tile = i32.div(number, tiles);
  token0 = i32.mul(i32.rem(number, tiles), tokens);
  column0 = i32.mul(tile, kColumns);

  Value line = i32.div(lane, 4), pair = i32.rem(lane, 4);
  for (int64_t h = 0; h < 2; ++h)
    columns[h] = i32.min(i32.add(i32.add(column0, i32.mul(line, 2)), h), i32.constant(n - 1));
  int64_t tilesOfPanel = Layout::kFragmentColumns / kColumns;
  Value piece = i32.add(i32.mul(i32.rem(tile, tilesOfPanel), kWarp), lane);
  Value codes = i64.add(i64.mul(linearBatch, layout.bytes()),
                        i64.mul(i64.cast(i32.div(tile, tilesOfPanel)), layout.panelOffset(1)));
  codesAt = offset(pointerOf(op.getRhs().front()), i64.add(codes, i64.cast(i32.mul(piece, Layout::kPieceBytes))));
  Value lhs = pointerOf(op.getLhs().front()), last = i32.sub(m32, i32.constant(1));
  for (int64_t first = 0; first < tokens; first += kTokens) {
    Value token = i32.min(i32.add(i32.add(token0, line), first), last);
    Value element = i64.mul(i64.add(i64.mul(linearBatch, i64.cast(m)), i64.cast(token)), k);
    tokensAt.push_back(offset(lhs, i64.add(i64.mul(element, tokenSize), i64.cast(i32.mul(pair, 4)))));
  }

  SmallVector<Value> sums(tokens / kTokens * 4, zeroSum(sumType()));
  int64_t whole = k / kBlockK, perTurn = warps * blocksTogether, turned = whole / perTurn * perTurn;
  // All that a warp does in one turn: its codes are on their way while the table is made.
  bool isOneTurn = turned && turned == perTurn;
  if (!isOneTurn)
    emitTable();
  if (isOneTurn)
    emitBlocks(i32.mul(warp, blocksTogether), blocksTogether, kBlockK, sums);
  else if (turned)
    sums = emitLoop(i32.mul(warp, blocksTogether), i32.constant(turned), i32.constant(perTurn), blocksTogether, sums);
  if (turned < whole && blocksTogether > 1)
    sums = emitLoop(i32.add(warp, turned), i32.constant(whole), i32.constant(warps), 1, sums);
  else if (turned < whole)
    sums = emitLoop(i32.add(warp, turned), i32.constant(whole), i32.constant(perTurn), 1, sums);
  if (k % kBlockK) {
    Value isOurs = i32.equal(warp, i32.constant((whole - turned) % warps));
    auto branch = scf::IfOp::create(builder, loc, ValueRange(sums).getTypes(), isOurs, /*addThenBlock=*/true,
                                    /*addElseBlock=*/true);
    OpBuilder::InsertionGuard inner(builder);
    builder.setInsertionPointToStart(&branch.getElseRegion().front());
    scf::YieldOp::create(builder, loc, sums);
    builder.setInsertionPointToStart(&branch.getThenRegion().front());
    emitBlocks(i32.constant(whole), 1, k % kBlockK, sums);
    scf::YieldOp::create(builder, loc, sums);
    sums = SmallVector<Value>(branch.getResults());
  }
  emitReduction(sums);
}

void WeightStream::emitTable() {
  if (!std::exchange(needsTable, false))
    return;
  decoder.emitTable(offset(dynamicShared(), tableAt), thread, warps * kWarp, lane, /*permuted=*/2);
  gpu::BarrierOp::create(builder, loc);
}

SmallVector<Value> WeightStream::emitLoop(Value begin, Value end, Value step, int64_t blocks, ArrayRef<Value> sums) {
  auto loop = scf::ForOp::create(builder, loc, begin, end, step, sums);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  SmallVector<Value> carried(loop.getRegionIterArgs());
  emitBlocks(loop.getInductionVar(), blocks, kBlockK, carried);
  scf::YieldOp::create(builder, loc, carried);
  return SmallVector<Value>(loop.getResults());
}

void WeightStream::emitBlocks(Value block, int64_t blocks, int64_t validK, MutableArrayRef<Value> sums) {
  auto four = VectorType::get({4}, builder.getI32Type());
  Value codes = offset(codesAt, i64.mul(i64.cast(block), layout.blockBytes()));
  int64_t steps = kBlockK / row.k, pieces = steps / layout.stepsOfPiece();
  SmallVector<Value> loaded;
  // Loads that may see stores stay before the barrier behind the table, where ptxas would put others off.
  bool isInvariant = !needsTable;
  for (int64_t i = 0; i < blocks * pieces; ++i)
    loaded.push_back(LLVM::LoadOp::create(builder, loc, four, offset(codes, i * Layout::kThreads * Layout::kPieceBytes),
                                          Layout::kPieceBytes, /*isVolatile=*/false, /*isNonTemporal=*/true,
                                          isInvariant));
  ColumnParameters parameters = decodeColumns(loadColumns(columns, block, blocks, validK), blocks);
  emitTable();
  SmallVector<Value> tokensOfBlock;
  for (Value at : tokensAt)
    tokensOfBlock.push_back(offset(at, i64.mul(i64.cast(block), kBlockK * tokenSize)));
  auto tokensOf = [&](int64_t product, int64_t step) {
    SmallVector<Value> pairs;
    for (int64_t part = 0; part < 2; ++part) {
      int64_t first = step % steps * row.k + part * row.k / 2; // K is a multiple of half a step
      Value at = offset(tokensOfBlock[product], (step / steps * kBlockK + first) * tokenSize);
      pairs.push_back(first < validK
                          ? LLVM::LoadOp::create(builder, loc, builder.getI32Type(), at, 4, /*isVolatile=*/false,
                                                 /*isNonTemporal=*/false, /*isInvariant=*/true)
                                .getResult()
                          : i32.constant(0));
    }
    return pairs;
  };
  // Those of tokens and k beyond the matrix scale sums that nobody stores, or zeros.
  auto tokenScales = [&](int64_t product, int64_t number) {
    std::array<Value, 2> scales;
    Value kIndex = i32.add(i32.mul(block, kBlockK), number * stepsPerScale() * row.k);
    kIndex = i32.min(kIndex, i32.constant(k - 1));
    for (int64_t i = 0; i < 2; ++i) {
      Value token = i32.add(token0, i32.add(i32.mul(i32.rem(lane, 4), 2), product * kTokens + i));
      scales[i] = emitTokenScale(i32.min(token, i32.sub(m32, i32.constant(1))), kIndex);
    }
    return scales;
  };
  emitProducts(wordsOfPieces(loaded), parameters, blocks * steps, validK, tokensOf, tokenScales, sums);
}

SmallVector<Value> WeightStream::wordsOfPieces(ArrayRef<Value> pieces) {
  SmallVector<Value> words;
  for (Value piece : pieces)
    for (int64_t i = 0; i < 4; ++i)
      words.push_back(LLVM::ExtractElementOp::create(builder, loc, piece, i32.constant(i)));
  return words;
}

WeightStream::ColumnParameters WeightStream::loadColumns(const std::array<Value, 2> &ofColumns, Value block,
                                                         int64_t blocks, int64_t validK) {
  ColumnParameters loaded;
  for (int64_t h = 0; h < 2; ++h) {
    loaded.scales[h] = loadParameters(Kind::Scales, ofColumns[h], block, blocks, validK);
    loaded.zeros[h] = loadParameters(Kind::Zeros, ofColumns[h], block, blocks, validK);
  }
  return loaded;
}

WeightStream::ColumnParameters WeightStream::decodeColumns(const ColumnParameters &loaded, int64_t blocks) {
  ColumnParameters parameters;
  for (int64_t h = 0; h < 2; ++h) {
    parameters.scales[h] = decodeParameters(Kind::Scales, loaded.scales[h], blocks, 0, blocks);
    parameters.zeros[h] = decodeParameters(Kind::Zeros, loaded.zeros[h], blocks, 0, blocks);
  }
  return parameters;
}

/// Adds the products of `numSteps` steps' words to the sums; `tokensOf` gives the two words of tokens of a product and
/// a step. Of each block's k `validK` are there.
void WeightStream::emitProducts(ArrayRef<Value> words, const ColumnParameters &parameters, int64_t numSteps,
                                int64_t validK,
                                function_ref<SmallVector<Value>(int64_t product, int64_t step)> tokensOf,
                                TokenScales tokenScales, MutableArrayRef<Value> sums) {
  int64_t products = sums.size() / 4, steps = kBlockK / row.k;
  Value none = wordsOf(SmallVector<Value>(4, zeroSum(row.isFloat ? Type(builder.getF32Type()) : builder.getI32Type())));
  SmallVector<Value> group; // sums of the codes of one scale
  std::array<FragmentDecoder::Bias, 2> biases;
  for (int64_t step = 0; step < numSteps; ++step) {
    int64_t inBlock = step % steps, number = scaleNumber(step / steps, inBlock);
    if (inBlock * row.k >= validK)
      continue;
    if (inBlock % stepsPerScale() == 0) {
      group.assign(products, none);
      for (int64_t h = 0; h < 2; ++h)
        biases[h] = decoder.emitBias(parameters.zeros[h].empty() ? Value() : parameters.zeros[h][number]);
    }
    ValueRange codesOfStep = ValueRange(words).slice(step * decoder.wordsPerStep(), decoder.wordsPerStep());
    Value weights = wordsOf(decoder.emit(codesOfStep, biases));
    for (int64_t t = 0; t < products; ++t)
      group[t] = row.emit(builder, loc, group[t], weights, wordsOf(tokensOf(t, step)));
    bool isLast = inBlock % stepsPerScale() == stepsPerScale() - 1 || (inBlock + 1) * row.k >= validK;
    if (!isLast)
      continue;
    for (int64_t t = 0; t < products; ++t) {
      std::array<Value, 2> ofTokens;
      if (areTokensScaled)
        ofTokens = tokenScales(t, number);
      for (int64_t e = 0; e < 4; ++e) {
        Value sum = vector::ExtractOp::create(builder, loc, group[t], e), &total = sums[4 * t + e];
        if (scalesAtEnd()) {
          total = addSums(total, sum);
          continue;
        }
        Value scale = parameters.scales[e / 2][number];
        if (areTokensScaled)
          scale = arith::MulFOp::create(builder, loc, scale, ofTokens[e % 2]);
        total = addScaled(sum, scale, total);
      }
    }
  }
}

/// Sums e = 0..3 of a product are of row t / 4 + 8 (e / 2), which is column 2 (t / 4) + e / 2 of the matrix, and of
/// token 2 (t % 4) + e % 2. In shared memory: [warp][token][column].
void WeightStream::emitReduction(ArrayRef<Value> sums) {
  Value shared = dynamicShared();
  Value column = i32.mul(i32.div(lane, 4), 2), token = i32.mul(i32.rem(lane, 4), 2);
  for (int64_t t = 0; t < tokens / kTokens; ++t)
    for (int64_t e = 0; e < 2; ++e) {
      Value line = i32.add(i32.mul(warp, tokens), i32.add(token, t * kTokens + e));
      Value at = i32.mul(i32.add(i32.mul(line, kColumns), column), 4);
      LLVM::StoreOp::create(builder, loc, wordsOf({sums[4 * t + e], sums[4 * t + 2 + e]}), offset(shared, at), 8);
    }
  gpu::BarrierOp::create(builder, loc);
  int64_t results = tokens * kColumns, threads = warps * kWarp;
  for (int64_t first = 0; first < results; first += threads) {
    Value number = i32.add(thread, first);
    Value token = i32.add(token0, i32.div(number, kColumns)), column = i32.add(column0, i32.rem(number, kColumns));
    Value isThere = i32.both(i32.less(token, m32), i32.less(column, i32.constant(n)));
    if (first + threads > results)
      isThere = i32.both(isThere, i32.less(number, i32.constant(results)));
    ifThen(isThere, [&] {
      Value at = offset(shared, i32.mul(number, 4)), sum;
      for (int64_t w = 0; w < warps; ++w) {
        Value part = LLVM::LoadOp::create(builder, loc, sumType(), offset(at, w * results * 4), 4);
        sum = sum ? addSums(sum, part) : part;
      }
      emitStore(emitResult(sum, token, column), token, column);
    });
  }
}
