//===- LineSums.cpp - sums of stored codes along K --------------------------===//
//
// What zero points take off the sum of products, and what makes such sums of counts of signs: for each row of the left
// side, and each column of a right side that is not packed, its codes' sum, in scratch memory. A launch of its own in
// front of the tiles'. Sums of packed columns lie behind their panels.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace qlow;

/// Lines that a block of the launch takes, a warp each.
static constexpr int64_t kSumLines = 8;

/// Rows of a lane subtract zero points from each element; only sums of stored codes are corrected afterwards.
bool TileNest::needsRowSums() {
  if (row.takesSigns())
    return row.countsCommon;
  return row.scope != MultiplyRow::Scope::Lane && !row.isFloat && getQuantizedElement(op.getRhsType()).getZero();
}
bool TileNest::needsColumnSums() {
  if (row.takesSigns())
    return row.countsCommon;
  return row.scope != MultiplyRow::Scope::Lane && !row.isFloat && getQuantizedElement(op.getLhsType()).getZero();
}

Value TileNest::emitSlotBytes() {
  Value bytes = index.constant(0);
  if (needsRowSums())
    bytes = index.alignTo(index.mul(index.mul(batchCount, m), 4), 64);
  if (needsColumnSums() && !isPacked)
    bytes = index.add(bytes, index.alignTo(index.mul(index.mul(batchCount, n), 4), 64));
  return bytes;
}

/// How many of the 32 signs are +1 in a word of a row of the left side, both index.
Value TileNest::emitOnes(Value line, Value word) {
  Value at = i64.cast(index.add(index.mul(line, *staticK / 8), index.mul(word, 4)));
  Value bits = LLVM::LoadOp::create(builder, loc, builder.getI32Type(), offset(pointerOf(op.getLhs().front()), at));
  return LLVM::CtPopOp::create(builder, loc, bits);
}

/// Sums over k of each line of a side (a row of the left, a column of the right), a warp a line.
void TileNest::emitSumsLaunch(Side side) {
  Value lines = side == Side::Lhs ? m : n, all = index.mul(batchCount, lines);
  OpBuilder::InsertionGuard guard(builder);
  gpu::LaunchOp launch = startLaunch(index.ceilDiv(all, kSumLines), kSumLines * kWarp, 0);
  emitNextMayStart();
  emitWaitForLast();
  Value threadId = launch.getThreadIds().x;
  Value line = index.add(index.mul(launch.getBlockIds().x, kSumLines), index.div(threadId, kWarp));
  ifThen(index.less(line, all), [&] {
    SmallVector<Value> batch;
    Value remaining = index.div(line, lines);
    for (Value size : llvm::reverse(batchSizes)) {
      batch.insert(batch.begin(), index.rem(remaining, size));
      remaining = index.div(remaining, size);
    }
    Value laneId = index.rem(threadId, kWarp), zero = i32.constant(0);
    // Rows of signs that are copied as they lie are whole words.
    bool countsWords = row.takesSigns() && side == Side::Lhs && copiesLhs;
    Value steps = countsWords ? index.constant(*staticK / 32) : k;
    auto loop = scf::ForOp::create(builder, loc, laneId, steps, index.constant(kWarp), ValueRange{zero});
    {
      OpBuilder::InsertionGuard inner(builder);
      builder.setInsertionPointToStart(loop.getBody());
      Value step = loop.getInductionVar();
      Value element = countsWords ? emitOnes(line, step) : emitStoredElement(side, batch, index.rem(line, lines), step);
      scf::YieldOp::create(builder, loc, i32.add(loop.getRegionIterArg(0), element));
    }
    Value sum = loop.getResult(0);
    for (int64_t distance = kWarp / 2; distance > 0; distance /= 2) {
      auto other = gpu::ShuffleOp::create(builder, loc, sum, distance, kWarp, gpu::ShuffleMode::XOR);
      sum = i32.add(sum, other.getShuffleResult());
    }
    if (countsWords)
      sum = i32.sub(i32.mul(sum, 2), i32.cast(k));
    ifThen(index.equal(laneId, index.constant(0)), [&] {
      Value base = pointerOf(op.getScratch());
      if (side == Side::Rhs && needsRowSums())
        base = offset(base, i64.cast(index.alignTo(index.mul(index.mul(batchCount, m), 4), 64)));
      LLVM::StoreOp::create(builder, loc, sum, offset(base, i64.cast(index.mul(line, 4))));
    });
  });
}
