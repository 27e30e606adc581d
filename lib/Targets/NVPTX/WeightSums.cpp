//===- WeightSums.cpp - what becomes of the sums of WeightTiles -------------===//
//
// Sums of teams and of the cluster's blocks that share K are added through shared memory; epilogue; store. A thread
// holds pairs of neighbouring columns of a token.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/WeightOnly.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace qlow;

/// Sums 4 j + c and 4 j + c + 2 of a thread are of token 8 j + 2 (t % 4) + c and of its two columns: unit 2 j + c.
void WeightTiles::emitPair(ValueRange sums, Value unit, int64_t columnBlock) {
  Value token = i32.add(i32.mul(i32.div(unit, 2), 8), i32.rem(unit, 2));
  token = i32.add(i32.add(token0, token), i32.mul(i32.rem(lane, 4), 2));
  const std::array<Value, 2> &column = columns[columnBlock];
  auto result = [&](int64_t h) { return emitResult(sums[h], token, column[h]); };
  std::optional<int64_t> knownM = getConstantIntValue(OpFoldResult(m));
  bool areTokens = knownM && *knownM % tokens == 0,
       areColumns = n % (groups * columnBlocks * Layout::kFragmentColumns) == 0;
  auto isThere = [&](int64_t h) {
    Value isToken = areTokens ? Value() : i32.less(token, m32),
          isColumn = areColumns ? Value() : i32.less(column[h], i32.constant(n));
    return isToken && isColumn ? i32.both(isToken, isColumn) : isToken ? isToken : isColumn;
  };
  auto ifThere = [&](int64_t h, function_ref<void()> body) {
    if (Value condition = isThere(h))
      ifThen(condition, body);
    else
      body();
  };
  if (n % 2 == 0) {
    ifThere(0, [&] {
      SmallVector<Value> results{result(0), result(1)};
      emitStore(results, token, column[0]);
    });
    return;
  }
  for (int64_t h = 0; h < 2; ++h)
    ifThere(h, [&] { emitStore(result(h), token, column[h]); });
}

void WeightTiles::emitResults(ArrayRef<Value> sums) {
  for (int64_t block = 0; block < columnBlocks; ++block)
    for (int64_t unit = 0; unit < tokens / 4; ++unit) {
      int64_t first = block * tokens / 2 + unit / 2 * 4 + unit % 2;
      emitPair(ValueRange{sums[first], sums[first + 2]}, i32.constant(unit), block);
    }
}

/// In shared memory: [team][unit][thread of the team] pairs. Teams of all blocks of the cluster take units in turn.
void WeightTiles::emitReduction(ArrayRef<Value> sums) {
  int64_t units = tokens / 4, parts = teams * cluster, perPart = llvm::divideCeil(units, parts);
  constexpr int64_t kPairBytes = 8;
  Value pairsAt = offset(shared, i32.mul(inTeam, kPairBytes));
  auto placeOf = [&](Value teamNumber, Value unit) {
    return i32.mul(i32.add(i32.mul(teamNumber, units), unit), teamThreads * kPairBytes);
  };
  auto clusterBarrier = [&] {
    NVVM::ClusterArriveOp::create(builder, loc, builder.getUnitAttr());
    NVVM::ClusterWaitOp::create(builder, loc, builder.getUnitAttr());
  };
  auto consumersBarrier = [&] {
    NVVM::BarrierOp::create(builder, loc, Type(), i32.constant(1), i32.constant(consumers),
                            NVVM::BarrierReductionAttr(), Value());
  };
  consumersBarrier(); // nobody copies or multiplies any more
  for (int64_t unit = 0; unit < units; ++unit) {
    int64_t first = unit / 2 * 4 + unit % 2;
    LLVM::StoreOp::create(builder, loc, wordsOf({sums[first], sums[first + 2]}),
                          offset(pairsAt, placeOf(team, i32.constant(unit))), kPairBytes);
  }
  if (cluster > 1)
    clusterBarrier();
  else
    consumersBarrier();
  auto remote =
      LLVM::LLVMPointerType::get(builder.getContext(), static_cast<unsigned>(NVVM::NVVMMemorySpace::SharedCluster));
  auto pair = VectorType::get({2}, sumType());
  SmallVector<Value> blocks;
  for (int64_t other = 0; other < cluster; ++other)
    blocks.push_back(
        cluster == 1 ? pairsAt : NVVM::MapaOp::create(builder, loc, remote, pairsAt, i32.constant(other)).getResult());
  for (int64_t i = 0; i < perPart; ++i) {
    Value unit = i32.add(i32.mul(slice, perPart), i);
    auto add = [&] {
      Value sum;
      for (Value block : blocks)
        for (int64_t other = 0; other < teams; ++other) {
          Value part =
              LLVM::LoadOp::create(builder, loc, pair, offset(block, placeOf(i32.constant(other), unit)), kPairBytes);
          sum = sum ? addSums(sum, part) : part;
        }
      SmallVector<Value> both;
      for (int64_t h = 0; h < 2; ++h)
        both.push_back(LLVM::ExtractElementOp::create(builder, loc, sum, i32.constant(h)));
      emitPair(both, unit, /*columnBlock=*/0);
    };
    if (parts * perPart == units)
      add();
    else
      ifThen(i32.less(unit, i32.constant(units)), add);
  }
  // What others read stays until they have.
  if (cluster > 1)
    clusterBarrier();
}
