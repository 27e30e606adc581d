//===- WeightScales.cpp - what sums and codes meet --------------------------===//
//
// Scales and zero points stay in the model's order, where a column's lie far from the next one's. Two warps read them
// ahead of time, block by block of 128 k as the ring of buffers turns, and leave beside the codes what a warpgroup
// needs, so that it computes nothing for them:
//
//   sums that follow   old / new scale, new scale          sums apart   the scale
//   then words of the decoder: the bias, and a multiplier: the scale where it is folded into weights, and where sums
//   follow scales that may be 0 (rescale = block), 1, or 0 for such a scale, which they pass over
//
// In a buffer: [scale of the block][word][column]. Behind these, where tokens have scales that change along K, lie
// theirs: [scale of the block][token].
//
//===----------------------------------------------------------------------===//

#include "NVPTX/WeightOnly.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace qlow;

static constexpr int64_t kBlockK = Layout::kFragmentK, kScaleWarps = 2, kWordBytes = 4;
/// Scales and zero points that a thread reads at a time at most, as loads bring them one by one, and words of loads
/// that bring several and of one block's from them: its registers are few.
static constexpr int64_t kReadTogether = 16, kWordsTogether = 32;

bool WeightTiles::canFollow(const MultiplyRow &row, const Format *scale) {
  return row.isFloat && scale && scale->kind == DecodeKind::Minifloat && scale->layout.exponentBits <= 5;
}

WeightTiles::Scaling WeightTiles::scalingOf(RecipeAttr recipe, const MultiplyRow &row, const WeightCodes &codes) {
  if (!codes.scaledTogether)
    return Scaling::End;
  if (recipe.getRescale() == "fold")
    return Scaling::Fold;
  return canFollow(row, codes.scales.format) ? Scaling::Follow : Scaling::Apart;
}

int64_t WeightTiles::wordsOfScale(RecipeAttr recipe, const MultiplyRow &row, const WeightCodes &codes) {
  Scaling scaling = scalingOf(recipe, row, codes);
  int64_t floats = scaling == Scaling::Follow ? 2 : scaling == Scaling::Apart ? 1 : 0;
  return floats +
         FragmentDecoder::wordsOfBias(*codes.format, row.lhs, codes.zero, multiplierOf(recipe, scaling, codes));
}

/// What multiplies weights: scales, or, where sums follow those that may be 0, 1 and 0.
FragmentDecoder::Multiplier WeightTiles::multiplierOf(RecipeAttr recipe, Scaling scaling, const WeightCodes &codes) {
  using enum FragmentDecoder::Multiplier;
  if (scaling == Scaling::End || scaling == Scaling::Apart || recipe.getRescale() == "follow")
    return None;
  if (scaling == Scaling::Follow || FragmentDecoder::arePowers(*codes.scales.format))
    return Exact;
  return recipe.getRhs().back().getBy() == FragmentDecoder::kFusedHop ? Fused : Rounded;
}

/// Teams' slices of K are whole numbers of the blocks whose scales are read together. These are as many as one load
/// brings of a column: it takes a sector of 32 bytes from the second-level cache, the next blocks' is the same one, and
/// no cache that is nearer keeps it.
void WeightTiles::divideK() {
  blocksOfSlice = llvm::divideCeil(llvm::divideCeil(k, kBlockK), slices());
  int64_t columnsOfThread = tileColumns * teams / (kScaleWarps * kWarp);
  int64_t ofBlock = scaleNumber(1, 0) * (columnsOfThread * (type.getZero() ? 2 : 1) + tokensRead());
  auto wordsLoaded = [&](Kind kind, int64_t blocks) {
    const Format *format = formatOf(kind);
    return format ? llvm::divideCeil(blocks * scaleNumber(1, 0) * format->bits, 32) * columnsOfThread : 0;
  };
  auto haveRegisters = [&](int64_t blocks) {
    bool areLoads = !areTokensScaled && lieTogether(Kind::Scales, blocks) && lieTogether(Kind::Zeros, blocks);
    return blocks * ofBlock <= kReadTogether ||
           (areLoads &&
            wordsLoaded(Kind::Scales, blocks) + wordsLoaded(Kind::Zeros, blocks) + ofBlock <= kWordsTogether);
  };
  blocksRead = kMostLoadBits / 8; // of which each has a byte
  while (blocksRead > 1 && (blocksOfSlice % blocksRead || !haveRegisters(blocksRead)))
    blocksRead /= 2;
}

//===----------------------------------------------------------------------===//
// Warps that read scales
//===----------------------------------------------------------------------===//

void WeightTiles::emitScaleWarps() {
  int64_t threadsOfTeam = kScaleWarps / teams * kWarp, perThread = tileColumns / threadsOfTeam;
  Value first = i32.rem(i32.add(i32.mul(copyingWarp, kWarp), lane), threadsOfTeam), last = i32.constant(n - 1);
  Value firstToken = first;
  first = i32.mul(first, perThread); // of neighbours
  int64_t numOfTokens = blocksRead * scaleNumber(1, 0) * tokensRead();
  forEachTile([&](RingPlace place) {
    SmallVector<Value> columnsRead, carried{place.stage, place.phase};
    for (int64_t i = 0; i < perThread; ++i)
      columnsRead.push_back(i32.min(columnOf(i32.add(first, i)), last));
    if (scaling == Scaling::Follow) // what sums are in units of
      carried.append(perThread, f32(1));
    int64_t numKnown = carried.size();
    ColumnScales like;
    auto load = [&](Value block) {
      SmallVector<Value> loaded = loadTokenScales(firstToken, block);
      for (Value column : columnsRead) {
        like = loadScales(column, block);
        llvm::append_range(loaded, like.scales);
        llvm::append_range(loaded, like.zeros);
      }
      return loaded;
    };
    Value begin = blockOf(i32.constant(0));
    if (!areAllBusy())
      begin = i32.min(begin, i32.constant((llvm::divideCeil(k, kBlockK) - 1) / blocksRead * blocksRead));
    llvm::append_range(carried, load(begin));
    auto loop = scf::ForOp::create(builder, loc, i32.constant(0), turns, i32.constant(blocksRead), carried);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    Value turn = loop.getInductionVar(), next = i32.add(turn, blocksRead);
    SmallVector<Value> values(loop.getRegionIterArgs()), coming;
    Value to = i32.mul(first, kWordBytes);
    for (int64_t i = 0; i < blocksRead; ++i) {
      SmallVector<ColumnScales> read;
      ArrayRef<Value> loaded = ArrayRef(values).drop_front(numKnown), ofTokens = loaded.take_front(numOfTokens);
      loaded = loaded.drop_front(numOfTokens);
      ofTokens = ofTokens.slice(numOfTokens / blocksRead * i, numOfTokens / blocksRead);
      for (int64_t column = 0; column < perThread; ++column)
        read.push_back(decodeScales(loaded, like, i));
      // Those of the next turn take the same registers, and are on their way while the last block's wait for a buffer.
      if (i + 1 == blocksRead)
        coming = load(blockOf(i32.select(i32.less(next, turns), next, turn)));
      Value isThere = i ? i32.less(i32.add(turn, i), turns) : Value();
      RingPlace at{values[0], values[1]}, after = this->after(at);
      emitRecords(read, at, to, MutableArrayRef<Value>(values).slice(2, numKnown - 2), isThere,
                  [&] { storeTokenScales(ofTokens, at.stage, firstToken); });
      values[0] = isThere ? i32.select(isThere, after.stage, at.stage) : after.stage;
      values[1] = isThere ? i32.select(isThere, after.phase, at.phase) : after.phase;
    }
    llvm::copy(coming, values.begin() + numKnown);
    scf::YieldOp::create(builder, loc, values);
    return RingPlace{loop.getResult(0), loop.getResult(1)};
  });
}

/// Those of consecutive blocks, as they are loaded.
WeightTiles::ColumnScales WeightTiles::loadScales(Value column, Value block) {
  return {loadParameters(Kind::Scales, column, block, blocksRead, kBlockK),
          loadParameters(Kind::Zeros, column, block, blocksRead, kBlockK)};
}

int64_t WeightTiles::tokensRead() const {
  return areTokensScaled ? llvm::divideCeil(tokens, kScaleWarps / teams * kWarp) : 0;
}

/// Those of consecutive blocks, [block][scale][token], of every token that lies as many after `first` as there are
/// threads; beyond the matrix the last one's.
SmallVector<Value> WeightTiles::loadTokenScales(Value first, Value block) {
  SmallVector<Value> scales;
  for (int64_t number = 0; number < (areTokensScaled ? blocksRead * scaleNumber(1, 0) : 0); ++number)
    for (int64_t i = 0; i < tokensRead(); ++i) {
      Value token = i32.add(token0, i32.add(first, i * kScaleWarps / teams * kWarp));
      Value kIndex = i32.add(i32.mul(block, kBlockK), number * stepsPerScale() * row.k);
      scales.push_back(
          emitTokenScale(i32.min(token, i32.sub(m32, i32.constant(1))), i32.min(kIndex, i32.constant(k - 1))));
    }
  return scales;
}

/// Leaves a block's.
void WeightTiles::storeTokenScales(ValueRange scales, Value stage, Value first) {
  for (auto [i, scale] : llvm::enumerate(scales)) {
    Value token = i32.add(first, static_cast<int64_t>(i) % tokensRead() * kScaleWarps / teams * kWarp);
    auto store = [&] {
      LLVM::StoreOp::create(builder, loc, scale,
                            placeOfTokenScale(stage, static_cast<int64_t>(i) / tokensRead(), token), kWordBytes);
    };
    if (tokens % (kScaleWarps / teams * kWarp))
      ifThen(i32.less(token, i32.constant(tokens)), store);
    else
      store();
  }
}

/// Those of block number `block`; takes as many values as `like` has off the front of what was loaded.
WeightTiles::ColumnScales WeightTiles::decodeScales(ArrayRef<Value> &loaded, const ColumnScales &like, int64_t block) {
  ColumnScales read{decodeParameters(Kind::Scales, loaded.take_front(like.scales.size()), blocksRead, block, 1), {}};
  loaded = loaded.drop_front(like.scales.size());
  read.zeros = decodeParameters(Kind::Zeros, loaded.take_front(like.zeros.size()), blocksRead, block, 1);
  loaded = loaded.drop_front(like.zeros.size());
  if (read.scales.empty())
    read.scales.resize(scaleNumber(1, 0));
  return read;
}

/// Fills a block's records of what was read; `to` is the byte of the thread's first column. Nothing is stored where the
/// block is not there.
void WeightTiles::emitRecords(ArrayRef<ColumnScales> read, RingPlace at, Value to, MutableArrayRef<Value> known,
                              Value isThere, function_ref<void()> storeOthers) {
  SmallVector<SmallVector<Value>> lines(scaleNumber(1, 0) * scaleWords); // of neighbouring columns
  for (auto [i, column] : llvm::enumerate(read))
    for (int64_t number = 0; number < scaleNumber(1, 0); ++number) {
      Value none, zero = column.zeros.empty() ? Value() : column.zeros[number];
      Value isOdd = i32.equal(i32.rem(i32.add(i32.div(to, kWordBytes), i), 2), i32.constant(1));
      SmallVector<Value> record = emitRecord(column.scales[number], zero, isOdd, known.empty() ? none : known[i]);
      for (auto [word, value] : llvm::enumerate(record))
        lines[number * scaleWords + word].push_back(value);
    }
  auto store = [&] {
    wait({at.stage, i32.sub(i32.constant(1), at.phase)}, /*isFree=*/true);
    Value records = offset(placeOfRecord(at.stage, 0, 0), to);
    int64_t count = read.size(), together = count & -count; // where a thread's records lie, so many words are aligned
    for (auto [line, words] : llvm::enumerate(lines))
      for (int64_t i = 0; i < count; i += together)
        LLVM::StoreOp::create(builder, loc, wordsOf(ArrayRef(words).slice(i, together)),
                              offset(records, (line * tileColumns + i) * kWordBytes), kWordBytes * together);
    storeOthers();
    arrive(at.stage, /*isFree=*/false);
  };
  isThere ? ifThen(isThere, store) : store();
}

/// The words of a column, odd or even, and scale. Sums that follow are in units of `known`, before it and behind it.
SmallVector<Value> WeightTiles::emitRecord(Value scale, Value zero, Value isOdd, Value &known) {
  SmallVector<Value> words;
  Value multiplier;
  if (scaling == Scaling::Follow) {
    Value next = scale;
    if (recipe.getRescale() != "follow") {
      Value isZero = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, scale, f32(0));
      next = arith::SelectOp::create(builder, loc, isZero, known, scale);
      multiplier = arith::SelectOp::create(builder, loc, isZero, i32.constant(0), decoder.emitOne());
    }
    Value inverse = NVVM::RcpApproxFtzF32Op::create(builder, loc, builder.getF32Type(), next);
    words = {arith::MulFOp::create(builder, loc, known, inverse), next};
    known = next;
  } else if (scaling == Scaling::Fold) {
    multiplier = decoder.emitMultiplier(scale);
  } else if (scaling == Scaling::Apart) {
    words = {scale};
  }
  if (zero || multiplier)
    llvm::append_range(words, decoder.wordsOf(decoder.emitBias(zero, multiplier, isOdd)));
  return words;
}

//===----------------------------------------------------------------------===//
// Warpgroups that multiply
//===----------------------------------------------------------------------===//

/// Of the tile's first column.
Value WeightTiles::placeOfRecord(Value stage, int64_t number, int64_t word) {
  int64_t bytes = tokenBytes + codeBytes + (number * scaleWords + word) * tileColumns * kWordBytes;
  return offset(offset(teamAt, i32.mul(stage, stageBytes)), bytes);
}

/// The scale of a token of the tile, i32.
Value WeightTiles::placeOfTokenScale(Value stage, int64_t number, Value token) {
  Value at = placeOfRecord(stage, scaleNumber(1, 0), 0);
  return offset(at, i32.mul(i32.add(token, number * tokens), kWordBytes));
}

/// `count` words from `first` on, of the thread's two columns.
std::array<SmallVector<Value>, 2> WeightTiles::readRecords(Value stage, int64_t columnBlock, int64_t number,
                                                           int64_t first, int64_t count) {
  auto two = VectorType::get({2}, builder.getI32Type());
  std::array<SmallVector<Value>, 2> words;
  for (int64_t word = first; word < first + count; ++word) {
    Value at = offset(placeOfRecord(stage, number, word), i32.mul(columnInTile, kWordBytes));
    at = offset(at, columnBlock * Layout::kFragmentColumns * kWordBytes);
    Value both = LLVM::LoadOp::create(builder, loc, two, at, 2 * kWordBytes);
    for (int64_t h = 0; h < 2; ++h)
      words[h].push_back(LLVM::ExtractElementOp::create(builder, loc, both, i32.constant(h)));
  }
  return words;
}

SmallVector<Value> WeightTiles::readBiases(Value stage, int64_t columnBlock, int64_t number) {
  int64_t floats = floatsOfScale();
  std::array<SmallVector<Value>, 2> words = readRecords(stage, columnBlock, number, floats, scaleWords - floats);
  SmallVector<Value> both(words[0]);
  llvm::append_range(both, words[1]);
  return both;
}

std::array<FragmentDecoder::Bias, 2> WeightTiles::biasesOf(ArrayRef<Value> words) {
  if (words.empty())
    return {decoder.emitBias(Value()), decoder.emitBias(Value())};
  size_t ofColumn = words.size() / 2;
  return {decoder.biasOf(words.take_front(ofColumn)), decoder.biasOf(words.drop_front(ofColumn))};
}

std::array<Value, 2> WeightTiles::readFloats(Value stage, int64_t columnBlock, int64_t number, int64_t word) {
  std::array<SmallVector<Value>, 2> words = readRecords(stage, columnBlock, number, word, 1);
  auto asFloat = [&](Value bits) { return LLVM::BitcastOp::create(builder, loc, builder.getF32Type(), bits); };
  return {asFloat(words[0].front()), asFloat(words[1].front())};
}
