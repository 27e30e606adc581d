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

/// Pairs whose results are made together.
static constexpr size_t kPairsTogether = 8;

/// Sums 4 j + c and 4 j + c + 2 of a thread are of token 8 j + 2 (t % 4) + c and of its two columns: unit 2 j + c. What
/// the epilogue reads is read for all pairs, inside the matrix, before the first is stored: no load passes a store.
void WeightTiles::emitPairs(ArrayRef<Pair> pairs) {
  std::optional<int64_t> knownM = getConstantIntValue(OpFoldResult(m));
  bool areTokens = knownM && *knownM % tokens == 0, areColumns = n % (panelsOfTile() * Layout::kFragmentColumns) == 0;
  SmallVector<Value> places;
  SmallVector<std::array<Value, 2>> results;
  for (const Pair &pair : pairs) {
    Value token = i32.add(i32.mul(i32.div(pair.unit, 2), 8), i32.rem(pair.unit, 2));
    token = i32.add(i32.add(token0, token), i32.mul(i32.rem(lane, 4), 2));
    places.push_back(token);
    Value inside = areTokens ? token : i32.min(token, i32.sub(m32, i32.constant(1)));
    std::array<Value, 2> &both = results.emplace_back();
    for (auto [h, column] : llvm::enumerate(columns[pair.columnBlock]))
      both[h] = emitResult(pair.sums[h], inside, areColumns ? column : i32.min(column, i32.constant(n - 1)));
  }
  auto ifThere = [&](Value token, Value column, function_ref<void()> body) {
    Value isToken = areTokens ? Value() : i32.less(token, m32),
          isColumn = areColumns ? Value() : i32.less(column, i32.constant(n));
    if (isToken || isColumn)
      ifThen(isToken && isColumn ? i32.both(isToken, isColumn) : isToken ? isToken : isColumn, body);
    else
      body();
  };
  for (auto [pair, token, both] : llvm::zip(pairs, places, results)) {
    const std::array<Value, 2> &column = columns[pair.columnBlock];
    if (n % 2 == 0)
      ifThere(token, column[0], [&] { emitStore(both, token, column[0]); });
    else
      for (int64_t h = 0; h < 2; ++h)
        ifThere(token, column[h], [&] { emitStore(both[h], token, column[h]); });
  }
}

void WeightTiles::emitResults(ArrayRef<Value> sums) {
  SmallVector<Pair> pairs;
  for (int64_t block = 0; block < columnBlocks; ++block)
    for (int64_t unit = 0; unit < tokens / kTokensOfUnit; ++unit) {
      ArrayRef<Value> ofBlock = sums.slice(block * tokens / 2, tokens / 2);
      pairs.push_back({{ofBlock[numberOf(unit, 0)], ofBlock[numberOf(unit, 1)]}, i32.constant(unit), block});
    }
  emitInGroups(pairs);
}

void WeightTiles::emitInGroups(ArrayRef<Pair> pairs) {
  for (size_t first = 0; first < pairs.size(); first += kPairsTogether)
    emitPairs(pairs.slice(first, std::min(kPairsTogether, pairs.size() - first)));
}

void WeightTiles::emitClusterArrival() { NVVM::ClusterArriveOp::create(builder, loc, builder.getUnitAttr()); }
void WeightTiles::emitClusterWait() { NVVM::ClusterWaitOp::create(builder, loc, builder.getUnitAttr()); }

Value WeightTiles::inBlock(Value other, Value pointer) {
  auto remote =
      LLVM::LLVMPointerType::get(builder.getContext(), static_cast<unsigned>(NVVM::NVVMMemorySpace::SharedCluster));
  return NVVM::MapaOp::create(builder, loc, remote, pointer, other).getResult();
}

/// In shared memory: [team][unit][thread of the team] pairs. Teams of all blocks of the cluster take units in turn.
void WeightTiles::emitReduction(ArrayRef<Value> sums) {
  int64_t units = tokens / kTokensOfUnit, parts = teams * cluster, perPart = llvm::divideCeil(units, parts);
  Value pairsAt = offset(shared, i32.mul(inTeam, kPairBytes));
  auto placeOf = [&](Value teamNumber, Value unit) {
    return i32.mul(i32.add(i32.mul(teamNumber, units), unit), teamThreads * kPairBytes);
  };
  auto clusterBarrier = [&] {
    emitClusterArrival();
    emitClusterWait();
  };
  auto consumersBarrier = [&] {
    NVVM::BarrierOp::create(builder, loc, Type(), i32.constant(1), i32.constant(consumers),
                            NVVM::BarrierReductionAttr(), Value());
  };
  consumersBarrier(); // nobody copies or multiplies any more
  for (int64_t unit = 0; unit < units; ++unit)
    LLVM::StoreOp::create(builder, loc, wordsOf({sums[numberOf(unit, 0)], sums[numberOf(unit, 1)]}),
                          offset(pairsAt, placeOf(team, i32.constant(unit))), kPairBytes);
  if (cluster > 1)
    clusterBarrier();
  else
    consumersBarrier();
  auto pair = VectorType::get({2}, sumType());
  SmallVector<Value> blocks;
  for (int64_t other = 0; other < cluster; ++other)
    blocks.push_back(cluster == 1 ? pairsAt : inBlock(i32.constant(other), pairsAt));
  SmallVector<Pair> pairs;
  auto flush = [&] {
    emitPairs(pairs);
    pairs.clear();
  };
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
      auto half = [&](int64_t h) { return LLVM::ExtractElementOp::create(builder, loc, sum, i32.constant(h)); };
      pairs.push_back({{half(0), half(1)}, unit, /*columnBlock=*/0});
    };
    if (parts * perPart == units) {
      add();
      if (pairs.size() == kPairsTogether || i + 1 == perPart)
        flush();
    } else {
      ifThen(i32.less(unit, i32.constant(units)), [&] {
        add();
        flush();
      });
    }
  }
  // What others read stays until they have.
  if (cluster > 1)
    clusterBarrier();
}
