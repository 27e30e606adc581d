//===- WeightScales.cpp - what sums and codes meet --------------------------===//
//
// Scales and zero points stay in the model's order, where a column's lie far from the next one's. Two warps read them
// ahead of time, block by block of 128 k as the ring of buffers turns, and leave beside the codes what a warpgroup
// needs, so that it computes nothing for them:
//
//   sums that follow   old / new scale, new scale          sums apart   the scale
//   then words of the decoder: the bias, and a multiplier: the scale where it is folded into weights, and where sums
//   follow 1, or 0 for a scale of 0, which they pass over
//
// In a buffer: [scale of the block][word][column].
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
/// Scales that a thread reads together at most: its registers are few. Products of bytes take half the time, so that
/// theirs are read further ahead.
static constexpr int64_t kReadTogether = 4, kReadTogetherOfBytes = 16;

/// Ratios of scales of few bits, and sums in units of any of them, are far from the ends of f32.
static bool canFollow(const Format *scale) {
  return scale && scale->kind == DecodeKind::Minifloat && scale->layout.exponentBits <= 5;
}

WeightTiles::Scaling WeightTiles::scalingOf(RecipeAttr recipe, const MultiplyRow &row, const WeightCodes &codes) {
  if (!codes.scaledTogether)
    return Scaling::End;
  if (recipe.getRescale() == "fold")
    return Scaling::Fold;
  return row.isFloat && canFollow(codes.scale) ? Scaling::Follow : Scaling::Apart;
}

int64_t WeightTiles::wordsOfScale(RecipeAttr recipe, const MultiplyRow &row, const WeightCodes &codes) {
  Scaling scaling = scalingOf(recipe, row, codes);
  bool hasMultiplier = scaling == Scaling::Follow || scaling == Scaling::Fold;
  int64_t floats = scaling == Scaling::Follow ? 2 : scaling == Scaling::Apart ? 1 : 0;
  return floats + FragmentDecoder::wordsOfBias(*codes.format, row.lhs, codes.zero, hasMultiplier);
}

/// Teams' slices of K are whole numbers of the blocks whose scales are read together, as many as make no slice longer.
void WeightTiles::divideK() {
  int64_t slices = teams * cluster, blocks = llvm::divideCeil(k, kBlockK);
  blocksOfSlice = llvm::divideCeil(blocks, slices);
  int64_t columnsOfThread = tileColumns * teams / (kScaleWarps * kWarp);
  int64_t most = row.isFloat ? kReadTogether : kReadTogetherOfBytes;
  blocksRead = std::max<int64_t>(most / (scaleNumber(1, 0) * columnsOfThread), 1);
  while (blocksRead > 1 && blocksOfSlice % blocksRead)
    blocksRead /= 2;
}

//===----------------------------------------------------------------------===//
// Warps that read scales
//===----------------------------------------------------------------------===//

void WeightTiles::emitScaleWarps() {
  int64_t threadsOfTeam = kScaleWarps / teams * kWarp, perThread = tileColumns / threadsOfTeam;
  Value first = i32.rem(i32.add(i32.mul(copyingWarp, kWarp), lane), threadsOfTeam), last = i32.constant(n - 1);
  forEachTile([&](RingPlace place) {
    SmallVector<Value> carried{place.stage, place.phase}, columnsRead;
    for (int64_t i = 0; i < perThread; ++i) {
      Value column = i32.add(i32.mul(panel0, Layout::kFragmentColumns), i32.add(first, i * threadsOfTeam));
      columnsRead.push_back(i32.min(column, last));
    }
    if (scaling == Scaling::Follow) // what sums are in units of
      carried.append(perThread, f32(1));
    auto loop = scf::ForOp::create(builder, loc, i32.constant(0), turns, i32.constant(blocksRead), carried);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    SmallVector<Value> values(loop.getRegionIterArgs());
    SmallVector<ColumnScales> read;
    for (Value column : columnsRead)
      read.push_back(readScales(column, blockOf(loop.getInductionVar())));
    Value to = i32.mul(first, kWordBytes);
    for (int64_t i = 0; i < blocksRead; ++i) {
      Value isThere = i ? i32.less(i32.add(loop.getInductionVar(), i), turns) : Value();
      RingPlace at{values[0], values[1]}, next = after(at);
      emitRecords(read, i, at, to, MutableArrayRef<Value>(values).drop_front(2), isThere);
      values[0] = isThere ? i32.select(isThere, next.stage, at.stage) : next.stage;
      values[1] = isThere ? i32.select(isThere, next.phase, at.phase) : next.phase;
    }
    scf::YieldOp::create(builder, loc, values);
    return RingPlace{loop.getResult(0), loop.getResult(1)};
  });
}

/// Those of consecutive blocks.
WeightTiles::ColumnScales WeightTiles::readScales(Value column, Value block) {
  ColumnScales read;
  if (scaling == Scaling::End)
    read.scales.resize(blocksRead * scaleNumber(1, 0));
  else
    read.scales = emitScales(column, block, blocksRead, kBlockK);
  read.zeros = emitZeros(column, block, blocksRead, kBlockK);
  return read;
}

/// Fills the records of block number `block` of those read; `to` is the byte of the thread's first column. Nothing is
/// stored where the block is not there.
void WeightTiles::emitRecords(ArrayRef<ColumnScales> read, int64_t block, RingPlace at, Value to,
                              MutableArrayRef<Value> known, Value isThere) {
  SmallVector<std::pair<int64_t, Value>> words; // with their bytes
  int64_t pitch = tileColumns / static_cast<int64_t>(read.size());
  for (auto [i, column] : llvm::enumerate(read))
    for (int64_t number = 0; number < scaleNumber(1, 0); ++number) {
      Value none, zero = column.zeros.empty() ? Value() : column.zeros[scaleNumber(block, 0) + number];
      SmallVector<Value> record =
          emitRecord(column.scales[scaleNumber(block, 0) + number], zero, known.empty() ? none : known[i]);
      for (auto [word, value] : llvm::enumerate(record))
        words.push_back({((number * scaleWords + word) * tileColumns + i * pitch) * kWordBytes, value});
    }
  auto store = [&] {
    wait({at.stage, i32.sub(i32.constant(1), at.phase)}, /*isFree=*/true);
    Value records = offset(placeOfRecord(at.stage, 0, 0), to);
    for (auto [byte, word] : words)
      LLVM::StoreOp::create(builder, loc, word, offset(records, byte), kWordBytes);
    arrive(at.stage, /*isFree=*/false);
  };
  isThere ? ifThen(isThere, store) : store();
}

/// The words of a column and scale. Sums that follow are in units of `known`, before it and behind it.
SmallVector<Value> WeightTiles::emitRecord(Value scale, Value zero, Value &known) {
  SmallVector<Value> words;
  Value multiplier;
  if (scaling == Scaling::Follow) {
    Value isZero = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, scale, f32(0));
    Value next = arith::SelectOp::create(builder, loc, isZero, known, scale);
    Value inverse = NVVM::RcpApproxFtzF32Op::create(builder, loc, builder.getF32Type(), next);
    words = {arith::MulFOp::create(builder, loc, known, inverse), next};
    known = next;
    multiplier = arith::SelectOp::create(builder, loc, isZero, i32.constant(0), decoder.emitOne());
  } else if (scaling == Scaling::Fold) {
    multiplier = decoder.emitMultiplier(scale);
  } else if (scaling == Scaling::Apart) {
    words = {scale};
  }
  if (zero || multiplier)
    llvm::append_range(words, decoder.wordsOf(decoder.emitBias(zero, multiplier)));
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

std::array<FragmentDecoder::Bias, 2> WeightTiles::readBiases(Value stage, int64_t columnBlock, int64_t number) {
  int64_t floats = floatsOfScale();
  if (scaleWords == floats)
    return {decoder.emitBias(Value()), decoder.emitBias(Value())};
  std::array<SmallVector<Value>, 2> words = readRecords(stage, columnBlock, number, floats, scaleWords - floats);
  return {decoder.biasOf(words[0]), decoder.biasOf(words[1])};
}

std::array<Value, 2> WeightTiles::readFloats(Value stage, int64_t columnBlock, int64_t number, int64_t word) {
  std::array<SmallVector<Value>, 2> words = readRecords(stage, columnBlock, number, word, 1);
  auto asFloat = [&](Value bits) { return LLVM::BitcastOp::create(builder, loc, builder.getF32Type(), bits); };
  return {asFloat(words[0].front()), asFloat(words[1].front())};
}
