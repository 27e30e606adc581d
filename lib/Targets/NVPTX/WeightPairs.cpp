//===- WeightPairs.cpp - tiles of weights that two blocks share -------------===//
//
// Where tiles of whole blocks of 64 columns leave a part of the chip idle, the two blocks of threads of a cluster take
// an odd number of them: each has its own, for all of K, and half of the K of one that both have, by its last
// warpgroup. Of 64 columns each,
//
//   the pair's    0  1  2  3  4  5  6
//   first block   0  1  2  3'                3': the first half of K
//   second block           3" 4  5  6        3": the second; it holds them as 4 5 6 3
//
// Buffers turn for all warpgroups: the last one lets those pass by that it has no codes in. Its sums are added in the
// end, through shared memory beside the ring: each block has the results of half of the tokens.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/WeightOnly.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace qlow;

/// The weight's block of 64 columns that the tile holds at `slot`; i32.
Value WeightTiles::panelOf(Value slot) {
  Value panel = i32.add(panel0, slot);
  if (!isPair)
    return panel;
  Value isFirst = i32.equal(rank, i32.constant(0)), isLast = i32.equal(slot, i32.constant(groups - 1));
  Value isLow = arith::OrIOp::create(builder, loc, isFirst, isLast);
  return i32.select(isLow, panel, i32.add(panel, groups));
}

/// The weight's column that the tile holds as number `held`; i32.
Value WeightTiles::columnOf(Value held) {
  constexpr int64_t kColumns = Layout::kFragmentColumns;
  if (!isPair)
    return i32.add(i32.mul(panel0, kColumns), held);
  return i32.add(i32.mul(panelOf(i32.div(held, kColumns)), kColumns), i32.rem(held, kColumns));
}

/// Whether the block has the shared columns' codes of a block of K.
Value WeightTiles::isOwnTurn(Value turn) {
  Value isEarly = i32.less(turn, i32.constant(firstHalf())), isFirst = i32.equal(rank, i32.constant(0));
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, isEarly, isFirst);
}

/// Lets buffers pass by; gives the place behind them.
WeightTiles::RingPlace WeightTiles::emitTurnsOfOther(RingPlace place, Value count) {
  auto loop =
      scf::ForOp::create(builder, loc, i32.constant(0), count, i32.constant(1), ValueRange{place.stage, place.phase});
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  RingPlace at{loop.getRegionIterArg(0), loop.getRegionIterArg(1)}, next = after(at);
  wait(at, /*isFree=*/false);
  arrive(at.stage, /*isFree=*/true);
  scf::YieldOp::create(builder, loc, ValueRange{next.stage, next.phase});
  return {loop.getResult(0), loop.getResult(1)};
}

WeightTiles::Sums WeightTiles::emitOwnTurns(RingPlace &place) {
  Value zero = i32.constant(0), all = turns, half = i32.min(i32.constant(firstHalf()), all);
  Value isFirst = i32.equal(rank, zero), isSecond = i32.notEqual(rank, zero);
  Value begin = i32.select(i32.both(isShared, isSecond), half, zero);
  Value end = i32.select(i32.both(isShared, isFirst), half, all);
  place = emitTurnsOfOther(place, begin);
  turns = i32.sub(end, begin);
  Sums sums = emitLoop(place);
  turns = all;
  place = emitTurnsOfOther(place, i32.sub(all, end));
  return sums;
}

/// Each block has the results of half of the units, of the shared columns; in shared memory behind the ring lie its
/// sums of the other half: [unit][thread of the warpgroup] pairs.
void WeightTiles::emitPairedResults(ArrayRef<Value> sums) {
  constexpr int64_t kPairBytes = 8;
  int64_t half = tokens / 8, unitBytes = Layout::kThreads * kPairBytes;
  Value at = offset(shared, i32.add(i32.mul(i32.rem(inTeam, Layout::kThreads), kPairBytes), stages * stageBytes));
  Value isFirst = i32.equal(rank, i32.constant(0));
  auto sumOf = [&](int64_t unit, int64_t h) { return sums[unit / 2 * 4 + unit % 2 + 2 * h]; };
  // Of unit `i` of the block's half, and of the other's.
  auto ownSum = [&](int64_t i, int64_t h) { return i32.select(isFirst, sumOf(i, h), sumOf(half + i, h)); };
  auto otherSum = [&](int64_t i, int64_t h) { return i32.select(isFirst, sumOf(half + i, h), sumOf(i, h)); };
  ifThen(isShared, [&] {
    for (int64_t i = 0; i < half; ++i)
      LLVM::StoreOp::create(builder, loc, wordsOf({otherSum(i, 0), otherSum(i, 1)}), offset(at, i * unitBytes),
                            kPairBytes);
  });
  emitClusterArrival();
  auto roles = scf::IfOp::create(builder, loc, isShared, /*withElse=*/true);
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(&roles.getThenRegion().front());
    emitClusterWait();
    auto type = VectorType::get({2}, sumType());
    Value fromAt = inBlock(i32.sub(i32.constant(1), rank), at);
    SmallVector<Pair> pairs;
    for (int64_t i = 0; i < half; ++i) {
      Value other = LLVM::LoadOp::create(builder, loc, type, offset(fromAt, i * unitBytes), kPairBytes);
      auto whole = [&](int64_t h) {
        return addSums(ownSum(i, h), LLVM::ExtractElementOp::create(builder, loc, other, i32.constant(h)));
      };
      pairs.push_back({{whole(0), whole(1)}, i32.add(i32.mul(rank, half), i), /*columnBlock=*/0});
    }
    emitInGroups(pairs);
    builder.setInsertionPointToStart(&roles.getElseRegion().front());
    emitResults(sums);
    emitClusterWait();
  }
  // What the other reads stays until it has.
  emitClusterArrival();
  emitClusterWait();
}
