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
// Buffers turn for all warpgroups: the last one lets those pass by that it has no codes in. In the first block it is
// done half-way, and sends its sums to the second's shared memory, beside the ring, where a barrier counts their bytes:
// in the end nobody waits for the other block.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/WeightOnly.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
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
  if (k)
    ifThen(i32.both(isShared, isFirst), [&] { emitSending(sums); });
  turns = all;
  place = emitTurnsOfOther(place, i32.sub(all, end));
  return sums;
}

/// Of the columns of both in the second block, this thread's sums of a unit: [unit][thread of the warpgroup] pairs.
Value WeightTiles::sharedSums(int64_t unit) {
  Value ofThread = i32.mul(i32.rem(inTeam, Layout::kThreads), kPairBytes);
  return offset(offset(shared, stages * stageBytes + unit * Layout::kThreads * kPairBytes), ofThread);
}

/// Behind those of the ring's buffers.
Value WeightTiles::sumsBarrier() { return barrierOf(i32.constant(stages), /*isFree=*/false); }

/// The barrier that is told of the first block's sums: all of them, once.
void WeightTiles::emitPairSetup() {
  ifThen(i32.equal(thread, i32.constant(0)), [&] {
    Value bytes = i32.constant(tokens / kTokensOfUnit * Layout::kThreads * kPairBytes);
    NVVM::MBarrierInitOp::create(builder, loc, sumsBarrier(), i32.constant(1), Value());
    NVVM::FenceMbarrierInitOp::create(builder, loc);
    NVVM::MBarrierArriveExpectTxOp::create(builder, loc, Type(), sumsBarrier(), bytes, NVVM::MemScopeKind::CTA,
                                           /*relaxed=*/false, Value());
  });
  emitClusterArrival();
}

/// No operation of the dialects stores to another block's memory and tells a barrier there.
void WeightTiles::emitSending(ArrayRef<Value> sums) {
  emitClusterWait(); // the other has its barrier
  auto there = [&](Value pointer) -> Value {
    return LLVM::PtrToIntOp::create(builder, loc, builder.getI32Type(), inBlock(i32.constant(1), pointer));
  };
  auto bitsOf = [&](Value sum) -> Value {
    return sum.getType().isF32() ? LLVM::BitcastOp::create(builder, loc, builder.getI32Type(), sum) : sum;
  };
  Value barrier = there(sumsBarrier());
  for (int64_t unit = 0; unit < tokens / kTokensOfUnit; ++unit) {
    Value operands[] = {there(sharedSums(unit)), bitsOf(sums[numberOf(unit, 0)]), bitsOf(sums[numberOf(unit, 1)]),
                        barrier};
    LLVM::InlineAsmOp::create(builder, loc, TypeRange(), operands,
                              "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.b32 [$0], {$1, $2}, [$3];",
                              "r,r,r,r", /*has_side_effects=*/true, /*is_align_stack=*/false,
                              LLVM::tailcallkind::TailCallKind::None, nullptr, nullptr);
  }
}

/// The second block has the results of the columns of both.
void WeightTiles::emitPairedResults(ArrayRef<Value> sums) {
  auto roles = scf::IfOp::create(builder, loc, isShared, /*withElse=*/true);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&roles.getElseRegion().front());
  emitResults(sums);
  builder.setInsertionPointToStart(&roles.getThenRegion().front());
  ifThen(i32.notEqual(rank, i32.constant(0)), [&] {
    if (k == 0)
      return emitResults(sums);
    wait({i32.constant(stages), i32.constant(0)}, /*isFree=*/false);
    Sums whole(sums);
    auto type = VectorType::get({2}, sumType());
    for (int64_t unit = 0; unit < tokens / kTokensOfUnit; ++unit) {
      Value other = LLVM::LoadOp::create(builder, loc, type, sharedSums(unit), kPairBytes);
      for (int64_t h = 0; h < 2; ++h) {
        Value &sum = whole[numberOf(unit, h)];
        sum = addSums(LLVM::ExtractElementOp::create(builder, loc, other, i32.constant(h)), sum);
      }
    }
    emitResults(whole);
  });
}
