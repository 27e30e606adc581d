//===- WeightProducts.cpp - unpacked weights multiply tokens ----------------===//
//
// What the warpgroups of WeightTiles do that multiply. A block of the layout is done in units of 64 columns: half of
// its steps, or as many as have one scale; a warpgroup's blocks of 64 columns take turns. While a unit multiplies, the
// next one's weights are unpacked.
//
//   for each block of 128 k, each unit of it:
//     start its products
//     wait for those of the unit before: their weights' registers are free, behind a block's first unit also the buffer
//       of the block before
//     unpack the weights of the next unit; where it begins a scale, its sums follow
//
// Sums meet scales in four ways (WeightOnly.h). Those that follow are in units of their scale: sum * scale is what they
// stand for, and where the scale changes they are multiplied by old / new, which costs each of them a rounding or two,
// as an addition does. A scale of zero is left out: weights become zeros, and sums stay as they are. Where a warpgroup
// has two blocks of columns, one's sums follow while the other's products run. Sums apart are as large as one scale's
// codes make them, so that any scale will do; they take as many registers again. Integer sums are always apart.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/WeightOnly.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace qlow;

static constexpr int64_t kLineBytes = 128, kSwizzleBytes = 1024;
static constexpr StringLiteral kWaitAll = "wgmma.wait_group.sync.aligned 0;",
                               kWaitAllButOne = "wgmma.wait_group.sync.aligned 1;";

void WeightTiles::emitConsumers() {
  if (std::optional<int64_t> registers = registersToMultiply(); registers && k)
    NVVM::SetMaxRegisterOp::create(builder, loc, *registers, NVVM::SetMaxRegisterAction::increase);
  if (k)
    firstDescriptor = emitFirstDescriptor();
  emitWaitForLast();
  forEachTile([&](RingPlace place) {
    Sums sums = isPair ? emitOwnTurns(place) : emitLoop(place);
    if (isPersistent())
      emitResults(sums);
    else if (isPair)
      emitPairedResults(sums);
    else
      emitReduction(sums);
    return place;
  });
}

SmallVector<WeightTiles::Unit> WeightTiles::unitsOfBlock() const {
  SmallVector<Unit> units;
  for (int64_t first = 0; first < steps; first += together)
    for (int64_t block = 0; block < columnBlocks; ++block)
      units.push_back({block, first});
  return units;
}

//===----------------------------------------------------------------------===//
// Building blocks
//===----------------------------------------------------------------------===//

/// An instruction that takes values and gives them back: nothing else keeps what makes them before it and what uses
/// them behind it.
SmallVector<Value> WeightTiles::emitOrdered(StringRef instruction, ArrayRef<Value> values) {
  SmallVector<Type> types(ValueRange(values).getTypes());
  std::string outputs, inputs;
  for (auto [i, type] : llvm::enumerate(types)) {
    outputs += (i ? "," : "") + std::string(type.isF32() ? "=f" : type.isInteger(64) ? "=l" : "=r");
    inputs += "," + std::to_string(i);
  }
  Type result = types.size() == 1 ? types.front() : LLVM::LLVMStructType::getLiteral(builder.getContext(), types);
  Value given = LLVM::InlineAsmOp::create(builder, loc, TypeRange(result), values, instruction, outputs + inputs,
                                          /*has_side_effects=*/true, /*is_align_stack=*/false,
                                          LLVM::tailcallkind::TailCallKind::None, nullptr, nullptr)
                    .getRes();
  if (types.size() == 1)
    return {given};
  SmallVector<Value> results;
  for (int64_t i = 0, e = types.size(); i < e; ++i)
    results.push_back(LLVM::ExtractValueOp::create(builder, loc, given, i));
  return results;
}

/// The descriptor of the first buffer's tokens, in this swizzle (PTX ISA 8.0, 9.7.15.5.1): address and distance of
/// eight lines, in units of 16 bytes. A stage, and a step in it, lie further on by so many units: addresses of shared
/// memory are less than 2^18, so that the field's 14 bits hold them all. An empty instruction hides the constant bits
/// from LLVM, which would otherwise do each addition in halves and join them.
Value WeightTiles::emitFirstDescriptor() {
  Value address = arith::AndIOp::create(builder, loc, tokensAt, i32.constant(0x3FFFF));
  Value descriptor = arith::OrIOp::create(builder, loc, i64.cast(i32.div(address, 16)),
                                          i64.constant(int64_t(1) << 62 | (kSwizzleBytes / 16) << 32 | 1 << 16));
  return emitOrdered(/*instruction=*/"", descriptor).front();
}

/// Starts the products of steps from `first` on on unpacked weights, four words a step; adds to `sums`, or where it is
/// empty begins new ones.
SmallVector<Value> WeightTiles::emitProducts(ArrayRef<Value> weights, Value descriptor, int64_t first,
                                             ArrayRef<Value> sums) {
  SmallVector<Value> fenced(weights);
  llvm::append_range(fenced, sums);
  fenced = emitOrdered("wgmma.fence.sync.aligned;", fenced);
  Value acc;
  if (!sums.empty()) {
    acc = LLVM::UndefOp::create(
        builder, loc,
        LLVM::LLVMStructType::getLiteral(builder.getContext(), SmallVector<Type>(ValueRange(sums).getTypes())));
    for (int64_t i = 0, e = sums.size(); i < e; ++i)
      acc = LLVM::InsertValueOp::create(builder, loc, acc, fenced[weights.size() + i], i);
  }
  int64_t stepBytes = row.k * tokenSize, stepsOfPanel = kLineBytes / stepBytes;
  for (int64_t i = 0, count = weights.size() / 4; i < count; ++i) {
    int64_t step = first + i;
    int64_t bytes = step / stepsOfPanel * tokens * kLineBytes + step % stepsOfPanel * stepBytes;
    Value matrix = i64.add(descriptor, bytes / 16);
    acc = row.emit(builder, loc, acc, wordsOf(ArrayRef(fenced).slice(4 * i, 4)), matrix);
  }
  NVVM::WgmmaGroupSyncAlignedOp::create(builder, loc);
  SmallVector<Value> results;
  for (int64_t i = 0; i < tokens / 2; ++i)
    results.push_back(LLVM::ExtractValueOp::create(builder, loc, acc, i));
  return results;
}

/// This thread's words of a unit of the block in a buffer.
SmallVector<Value> WeightTiles::readWords(Value stage, const Unit &unit) {
  auto four = VectorType::get({4}, builder.getI32Type());
  int64_t perPiece = layout.stepsOfPiece(), perStep = decoder.wordsPerStep();
  Value from = offset(offset(codesAt, i32.mul(stage, stageBytes)), unit.columns * layout.blockBytes());
  SmallVector<Value> words;
  Value piece;
  for (int64_t step = unit.first; step < unit.first + together; ++step) {
    if (step == unit.first || step % perPiece == 0)
      piece = LLVM::LoadOp::create(builder, loc, four,
                                   offset(from, step / perPiece * Layout::kThreads * Layout::kPieceBytes),
                                   Layout::kPieceBytes);
    for (int64_t i = 0; i < perStep; ++i)
      words.push_back(LLVM::ExtractElementOp::create(builder, loc, piece, i32.constant(step % perPiece * perStep + i)));
  }
  return words;
}

/// Unpacked weights of a unit, four registers a step, and behind them the biases of its last scale. `known` are those
/// of the scale that the unit before ended in, which may be its own.
SmallVector<Value> WeightTiles::emitWeights(ArrayRef<Value> words, Value stage, const Unit &unit,
                                            ArrayRef<Value> known) {
  SmallVector<Value> weights, biasWords(known);
  std::array<FragmentDecoder::Bias, 2> biases;
  int64_t perStep = decoder.wordsPerStep(), number = -1;
  for (int64_t i = 0; i < together; ++i) {
    if (int64_t scale = scaleNumber(0, unit.first + i); scale != number) {
      if (i || beginsScale(unit))
        biasWords = readBiases(stage, unit.columns, scale);
      biases = biasesOf(biasWords);
      number = scale;
    }
    llvm::append_range(weights, decoder.emit(ValueRange(words).slice(i * perStep, perStep), biases));
  }
  llvm::append_range(weights, biasWords);
  return weights;
}

/// Brings sums to the scale that a unit begins.
void WeightTiles::followScale(MutableArrayRef<Value> sums, ArrayRef<Value> ratios) {
  for (auto [i, sum] : llvm::enumerate(sums))
    sum = arith::MulFOp::create(builder, loc, sum, ratios[i / 2 % 2]);
}

/// Waits for the sums of the codes of one scale, which a unit ends, and adds them to all.
void WeightTiles::joinScaled(MutableArrayRef<Value> sums, ArrayRef<Value> apart, Value stage, const Unit &unit) {
  int64_t number = scaleNumber(0, unit.first);
  std::array<Value, 2> scales = readFloats(stage, unit.columns, number, /*word=*/0);
  SmallVector<Value> done = emitOrdered(kWaitAll, apart), ofTokens;
  for (int64_t i = 0; i < (areTokensScaled ? tokens : 0); i += 8) {
    Value token = i32.add(i32.mul(i32.rem(lane, 4), 2), i);
    Value pair = LLVM::LoadOp::create(builder, loc, VectorType::get({2}, builder.getF32Type()),
                                      placeOfTokenScale(stage, number, token), 8);
    for (int64_t c = 0; c < 2; ++c)
      ofTokens.push_back(LLVM::ExtractElementOp::create(builder, loc, pair, i32.constant(c)));
  }
  for (auto [i, sum] : llvm::enumerate(sums)) {
    Value scale = scales[i / 2 % 2];
    if (areTokensScaled)
      scale = arith::MulFOp::create(builder, loc, scale, ofTokens[i / 4 * 2 + i % 2]);
    sum = addScaled(done[i], scale, sum);
  }
}

//===----------------------------------------------------------------------===//
// The loop over blocks
//===----------------------------------------------------------------------===//

/// What `body` gives where the team has a block at all, or where not.
SmallVector<Value> WeightTiles::emitIfTurns(function_ref<SmallVector<Value>(bool)> body) {
  if (areAllBusy())
    return body(true);
  SmallVector<Value> others = body(false);
  auto branch = scf::IfOp::create(builder, loc, ValueRange(others).getTypes(), i32.less(i32.constant(0), turns),
                                  /*addThenBlock=*/true, /*addElseBlock=*/true);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&branch.getElseRegion().front());
  scf::YieldOp::create(builder, loc, others);
  builder.setInsertionPointToStart(&branch.getThenRegion().front());
  scf::YieldOp::create(builder, loc, body(true));
  return SmallVector<Value>(branch.getResults());
}

/// The sums over all k of a tile, with all scales but the end's; `place` is left behind its blocks. The loop carries
/// the place in the ring, the first unit's unpacked weights and biases, and sums.
WeightTiles::Sums WeightTiles::emitLoop(RingPlace &place) {
  Sums sums(columnBlocks * tokens / 2, zeroSum(sumType()));
  if (k == 0)
    return sums;
  Value zero = i32.constant(0);
  SmallVector<Value> unpacked = emitIfTurns([&](bool isThere) {
    if (!isThere)
      return SmallVector<Value>(wordsAhead(), zero);
    wait(place, /*isFree=*/false);
    return emitWeights(readWords(place.stage, {0, 0}), place.stage, {0, 0}, /*known=*/{});
  });
  SmallVector<Value> carried{place.stage, place.phase};
  llvm::append_range(carried, unpacked);
  llvm::append_range(carried, sums);
  auto loop = scf::ForOp::create(builder, loc, zero, turns, i32.constant(1), carried);
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    SmallVector<Value> values(loop.getRegionIterArgs());
    MutableArrayRef<Value> all(values);
    RingPlace at{values[0], values[1]}, next = after(at);
    emitBlock(loop.getInductionVar(), at, next, all.slice(2, unpacked.size()), all.take_back(sums.size()));
    values[0] = next.stage, values[1] = next.phase;
    scf::YieldOp::create(builder, loc, values);
  }
  place = {loop.getResult(0), loop.getResult(1)};
  sums = emitOrdered(kWaitAll, Sums(loop.getResults().take_back(sums.size())));
  finish(place, sums);
  return sums;
}

/// Behind the last block: sums that followed become what they stand for, and the last buffer is free.
void WeightTiles::finish(RingPlace place, MutableArrayRef<Value> sums) {
  Value last = stageBefore(place.stage), any = i32.less(i32.constant(0), turns);
  auto scale = [&](bool isThere) {
    Sums scaled(sums);
    for (int64_t block = 0; block < columnBlocks && isThere; ++block) {
      std::array<Value, 2> known = readFloats(last, block, scaleNumber(1, 0) - 1, /*word=*/1);
      for (auto [i, sum] : llvm::enumerate(MutableArrayRef<Value>(scaled).slice(block * tokens / 2, tokens / 2)))
        sum = arith::MulFOp::create(builder, loc, sum, known[i / 2 % 2]);
    }
    return scaled;
  };
  if (scaling == Scaling::Follow)
    llvm::copy(emitIfTurns(scale), sums.begin());
  ifThen(any, [&] { arrive(last, /*isFree=*/true); });
}

/// What `read` gives of the next block: weights, biases and ratios of scales. Behind the last block there is none, and
/// sums stay. A branch of its own keeps ptxas from unpacking where all products must be done, so that matrix units
/// would wait.
SmallVector<Value> WeightTiles::emitAhead(Value isLastBlock, RingPlace next, bool hasRatios,
                                          function_ref<SmallVector<Value>(Value)> read) {
  SmallVector<Value> none(wordsAhead(), LLVM::UndefOp::create(builder, loc, builder.getI32Type()));
  if (hasRatios)
    none.append(2, f32(1));
  auto branch = scf::IfOp::create(builder, loc, ValueRange(none).getTypes(), isLastBlock, /*addThenBlock=*/true,
                                  /*addElseBlock=*/true);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&branch.getThenRegion().front());
  scf::YieldOp::create(builder, loc, none);
  builder.setInsertionPointToStart(&branch.getElseRegion().front());
  wait(next, /*isFree=*/false);
  scf::YieldOp::create(builder, loc, read(next.stage));
  return SmallVector<Value>(branch.getResults());
}

void WeightTiles::emitBlock(Value turn, RingPlace place, RingPlace next, MutableArrayRef<Value> unpacked,
                            MutableArrayRef<Value> sums) {
  auto sumsOf = [&](const Unit &unit) { return sums.slice(unit.columns * tokens / 2, tokens / 2); };
  Value isLastBlock = i32.equal(i32.add(turn, 1), turns);
  Value descriptor = i64.add(firstDescriptor, i64.cast(i32.mul(place.stage, stageBytes / 16)));
  SmallVector<Unit> units = unitsOfBlock();
  // Of one scale, by block of columns.
  SmallVector<Sums> apartOf(columnBlocks);
  SmallVector<SmallVector<Value>> biases(columnBlocks);
  int64_t numWeights = 4 * together;
  MutableArrayRef<Value> weights = unpacked.take_front(numWeights);
  biases.front().assign(unpacked.begin() + numWeights, unpacked.end());
  for (auto [number, unit] : llvm::enumerate(units)) {
    bool isLast = number + 1 == units.size(), isApart = scaling == Scaling::Apart;
    const Unit &coming = units[(number + 1) % units.size()];
    Sums &apart = apartOf[unit.columns];
    ArrayRef<Value> addedTo = isApart ? ArrayRef<Value>(apart) : ArrayRef<Value>(sumsOf(unit));
    if (isApart && beginsScale(unit))
      addedTo = {};
    Sums products = emitProducts(weights, descriptor, unit.first, addedTo);
    if (isApart)
      apart = products;
    else
      llvm::copy(products, sumsOf(unit).begin());
    // Products of the unit before are done: their weights' registers may be written, and the sums of another block of
    // columns. ptxas does not see that across the loop's end, where all must be done.
    bool follows = scaling == Scaling::Follow && beginsScale(coming), areDone = columnBlocks > 1 && !isLast;
    auto read = [&](Value stage) {
      SmallVector<Value> words = readWords(stage, coming);
      int64_t numWords = words.size();
      if (follows && areDone)
        llvm::append_range(words, sumsOf(coming));
      words = emitOrdered(kWaitAllButOne, words);
      if (follows && areDone)
        llvm::copy(ArrayRef(words).drop_front(numWords), sumsOf(coming).begin());
      if (number == 0)
        ifThen(i32.notEqual(turn, i32.constant(0)), [&] { arrive(stageBefore(place.stage), /*isFree=*/true); });
      SmallVector<Value> values =
          emitWeights(ArrayRef(words).take_front(numWords), stage, coming, biases[coming.columns]);
      if (follows)
        llvm::append_range(values, readFloats(stage, coming.columns, scaleNumber(0, coming.first), /*word=*/0));
      return values;
    };
    SmallVector<Value> ahead = isLast ? emitAhead(isLastBlock, next, follows, read) : read(place.stage);
    llvm::copy(ArrayRef(ahead).take_front(numWeights), weights.begin());
    biases[coming.columns].assign(ahead.begin() + numWeights, ahead.begin() + wordsAhead());
    if (follows && !areDone) {
      MutableArrayRef<Value> done = isLast ? sums : sumsOf(coming);
      llvm::copy(emitOrdered(kWaitAll, done), done.begin());
    }
    if (follows)
      followScale(sumsOf(coming), ArrayRef(ahead).drop_front(wordsAhead()));
    if (isApart && endsScale(unit))
      joinScaled(sumsOf(unit), apart, place.stage, unit);
  }
  llvm::copy(biases.front(), unpacked.begin() + numWeights);
}
