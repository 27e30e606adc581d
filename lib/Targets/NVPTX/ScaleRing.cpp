//===- ScaleRing.cpp - scales that warps copy for those that multiply -------===//
//
// Beside a warpgroup that copies (Specialized.cpp): those of its warps that start no copies read the scales of blocks
// along K, of any kind, and leave them in shared memory as f32, in two buffers that take turns:
//
//   copying warps:   for each tile, each k:  read those of the next k, of rows where they can of four;
//                                            wait until empty[turn];  store;  arrive at full
//   warpgroup:       for each tile, each k:  wait until full[turn];  read while products run;  arrive at empty
//
// Threads that multiply have neither registers for their addresses nor time to wait for global memory. A buffer has
// the scales of all rows of the tile for each run, then those of all columns, or one for each group that shares it.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"
#include "qlow/Dialect/Elements.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <numeric>

using namespace mlir;
using namespace qlow;

static constexpr int64_t kScaleBytes = 4, kBuffers = 2, kBarrierBytes = 8;
/// Threads that read scales: all warps of the copying warpgroup but the first.
static constexpr int64_t kReaders = 96;

/// Room for scales of each row and column in each step of K; where a product is half of the columns, for one of each
/// row and half.
int64_t TileNest::scaleRingBytes(RecipeAttr recipe, const MultiplyRow &row) {
  if (recipe.getRescale() != "block")
    return 0;
  ArrayRef<int64_t> block = recipe.getTile("cta"), inner = recipe.getTile(innerLevel(row));
  int64_t scales = inner[1] > row.n ? block[0] + 4 : (block[0] + block[1]) * (block[2] / row.k);
  return kBuffers * (scales * kScaleBytes + 2 * kBarrierBytes);
}

bool TileNest::hasScaleRing() {
  return isSpecialized(recipe) && (isScaledAlongK(Side::Lhs) || isScaledAlongK(Side::Rhs));
}

/// A product of half the columns: one run, and one scale for its columns.
bool TileNest::fitsScaleRing(MatmulKernelOp op, RecipeAttr recipe, const MultiplyRow &row) {
  ArrayRef<int64_t> block = recipe.getTile("cta"), inner = recipe.getTile(innerLevel(row));
  bool isShort = runLength(op, block[2]) < block[2];
  bool hasColumns = scaledTogether(op, /*isLhs=*/false) && linesTogether(op, inner[1], row) == 1;
  return inner[1] == row.n || !(isShort || hasColumns);
}

/// Scales of a side that a run has in a buffer.
int64_t TileNest::scalesOfRun(Side side) {
  if (!isScaledAlongK(side))
    return 0;
  return side == Side::Lhs ? tileM : tileN / columnsTogether();
}

/// Byte of a scale in a buffer, i32.
Value TileNest::scaleAt(Side side, int64_t run, Value number) {
  int64_t before = run * scalesOfRun(side);
  if (side == Side::Rhs)
    before += steps / stepsOfRun() * scalesOfRun(Side::Lhs);
  return i32.mul(i32.add(number, before), kScaleBytes);
}

Value TileNest::scaleBuffer(Value turn) {
  int64_t bytes = steps / stepsOfRun() * (scalesOfRun(Side::Lhs) + scalesOfRun(Side::Rhs)) * kScaleBytes;
  return offset(scalesAt, i32.add(i32.mul(i32.rem(turn, kBuffers), bytes), kBuffers * 2 * kBarrierBytes));
}
Value TileNest::scaleBarrier(Value turn, bool isFull) {
  return offset(scalesAt, i32.add(i32.mul(i32.rem(turn, kBuffers), 2 * kBarrierBytes), isFull ? 0 : kBarrierBytes));
}
Value TileNest::turnAfter(Value turn) { return i32.rem(i32.add(turn, 1), 2 * kBuffers); }

void TileNest::emitScaleRingSetup() {
  for (int64_t buffer = 0; buffer < kBuffers; ++buffer) {
    Value turn = i32.constant(buffer);
    NVVM::MBarrierInitOp::create(builder, loc, scaleBarrier(turn, true), i32.constant(kReaders), Value());
    NVVM::MBarrierInitOp::create(builder, loc, scaleBarrier(turn, false), i32.constant(consumers), Value());
  }
}

/// Until the scales of a turn are there.
void TileNest::emitScaleWait(Value turn) { emitWait(scaleBarrier(turn, true), i32.div(turn, kBuffers)); }

/// Each thread that has written or read arrives for itself.
void TileNest::emitScaleArrival(Value barrier) {
  NVVM::MBarrierArriveOp::create(builder, loc, builder.getI64Type(), barrier, Value());
}

//===----------------------------------------------------------------------===//
// Warps that copy
//===----------------------------------------------------------------------===//

/// Calls `visit` with each scale of a buffer that this thread copies: the number among its run's, and where it lies.
void TileNest::forEachScale(function_ref<void(Side side, int64_t run, Value number, Value isThere)> visit) {
  Value reader = i32.sub(thread, i32.constant(consumers + 32));
  for (Side side : {Side::Lhs, Side::Rhs})
    for (int64_t run = 0; run < steps / stepsOfRun(); ++run)
      for (int64_t first = 0, count = scalesOfRun(side); first < count; first += kReaders) {
        Value number = i32.add(reader, first);
        visit(side, run, number, i32.less(number, i32.constant(count)));
      }
}

/// Tiles of K whose scales of a row lie side by side and are loaded together.
int64_t TileNest::tilesOfRead() {
  QType type = getQuantizedElement(op.getLhsType());
  bool isOneOfTile = scaledTogether(op, /*isLhs=*/true) == tileK && stepsOfRun() == steps && !op.getTransposeLhs();
  bool isDense = cast<MemRefType>(op.getLhs().back().getType()).getLayout().isIdentity();
  return isOneOfTile && isDense && type.getScale().isF32() ? std::gcd(kTiles(), kCopyBytes / kScaleBytes) : 1;
}

/// Of each of this thread's scales those of the tiles that are read together: one vector for a row, else one by one.
SmallVector<Value> TileNest::emitScaleReads(const OutputTile &block, Value firstTile) {
  int64_t together = tilesOfRead();
  auto vector = VectorType::get({together}, builder.getF32Type());
  SmallVector<Value> scales;
  forEachScale([&](Side side, int64_t run, Value number, Value isThere) {
    Value line =
        side == Side::Lhs ? i32.add(block.row0, number) : i32.add(block.column0, i32.mul(number, columnsTogether()));
    if (side == Side::Lhs && together > 1) {
      scales.push_back(emitGuarded(isThere, vector, [&] { return emitScalesOfTiles(block, line, firstTile, vector); }));
      return;
    }
    for (int64_t tile = 0; tile < together; ++tile)
      scales.push_back(emitGuarded(isThere, builder.getF32Type(), [&] {
        return emitBlockScale(block, side, line, i32.add(firstTile, tile), i32.constant(run));
      }));
  });
  return scales;
}

/// A row's scales of a tile of K and those behind it; behind the last one those of the last ones.
Value TileNest::emitScalesOfTiles(const OutputTile &block, Value line, Value firstTile, VectorType type) {
  Value tile = i32.min(firstTile, i32.constant(kTiles() - type.getNumElements()));
  auto load = [&](OpBuilder &, Location, Value part, ValueRange indices) -> Value {
    return vector::LoadOp::create(builder, loc, type, part, indices, /*nontemporal=*/false,
                                  llvm::MaybeAlign(type.getNumElements() * kScaleBytes));
  };
  SmallVector<Value> indices =
      indicesOf(Side::Lhs, block.batch, emitInside(line, m32), index.cast(i32.mul(tile, tileK)));
  return ElementReader(getQuantizedElement(op.getLhsType()), op.getLhs(), load).emitScale(builder, loc, indices);
}

/// Leaves in a buffer what was read for tile number `tile` of those that are read together.
void TileNest::emitScaleStores(Value turn, ValueRange scales, int64_t tile) {
  Value buffer = scaleBuffer(turn);
  int64_t together = tilesOfRead();
  forEachScale([&](Side side, int64_t run, Value number, Value isThere) {
    bool isVector = isa<VectorType>(scales.front().getType());
    Value scale = isVector ? vector::ExtractOp::create(builder, loc, scales.front(), tile).getResult() : scales[tile];
    ifThen(isThere, [&] { LLVM::StoreOp::create(builder, loc, scale, offset(buffer, scaleAt(side, run, number))); });
    scales = scales.drop_front(isVector ? 1 : together);
  });
}

void TileNest::emitScaleReaders() {
  forEachTile([&](const OutputTile &block, RingPlace place) {
    int64_t together = tilesOfRead();
    SmallVector<Value> carried{place.turn};
    llvm::append_range(carried, emitScaleReads(block, i32.constant(0)));
    auto loop =
        scf::ForOp::create(builder, loc, i32.constant(0), i32.constant(kTiles()), i32.constant(together), carried);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    Value turn = loop.getRegionIterArg(0);
    SmallVector<Value> ahead;
    for (int64_t tile = 0; tile < together; ++tile) {
      if (tile + 1 == together)
        ahead = emitScaleReads(block, i32.add(loop.getInductionVar(), together));
      emitWait(scaleBarrier(turn, false), i32.sub(i32.constant(1), i32.div(turn, kBuffers)));
      emitScaleStores(turn, loop.getRegionIterArgs().drop_front(), tile);
      emitScaleArrival(scaleBarrier(turn, true));
      turn = turnAfter(turn);
    }
    SmallVector<Value> yielded{turn};
    llvm::append_range(yielded, ahead);
    scf::YieldOp::create(builder, loc, yielded);
    place.turn = loop.getResult(0);
    return place;
  });
}

//===----------------------------------------------------------------------===//
// Warpgroups that multiply
//===----------------------------------------------------------------------===//

/// Scales of product number `product` of this thread's in a run, as emitJoined takes them. `first`: those of the first
/// one, which has the same rows.
TileNest::Run TileNest::emitScalesOfProduct(Value turn, int64_t product, int64_t run, const Run &first) {
  Value buffer = scaleBuffer(turn);
  Type f32 = builder.getF32Type();
  auto load = [&](Type type, Side side, Value number, int64_t alignment) -> Value {
    return LLVM::LoadOp::create(builder, loc, type, offset(buffer, scaleAt(side, run, number)), alignment);
  };
  int64_t gridN = tileN / innerN, firstColumn = product % (innerN / row.n) * row.n;
  Run result;
  if (product > 0) {
    result.rows = first.rows;
  } else if (isScaledAlongK(Side::Lhs)) {
    Value first = i32.add(i32.mul(i32.rem(warp, 4), warpRows(row)), i32.div(lane, 4));
    first = i32.add(first, i32.mul(i32.div(warpgroup, gridN), innerM));
    // Rows that a tile lacks are computed as its last.
    auto inTile = [&](Value number) { return tileM < innerM ? i32.min(number, i32.constant(tileM - 1)) : number; };
    for (int64_t i : {0, 8})
      result.rows.push_back(load(f32, Side::Lhs, inTile(i32.add(first, i)), kScaleBytes));
  }
  if (!isScaledAlongK(Side::Rhs))
    return result;
  Value column = i32.add(i32.mul(i32.rem(warpgroup, gridN), innerN), firstColumn);
  if (columnsTogether() > 1) {
    result.columns.resize(firstColumn / columnsTogether()); // others' are not asked for
    result.columns.push_back(load(f32, Side::Rhs, i32.div(column, columnsTogether()), kScaleBytes));
    return result;
  }
  result.columns.resize(firstColumn / 4);
  column = i32.add(column, i32.mul(i32.rem(lane, 4), 2));
  for (int64_t i = 0; i < row.n; i += 8) {
    Value pair = load(VectorType::get({2}, f32), Side::Rhs, i32.add(column, i), 2 * kScaleBytes);
    for (int64_t e : {0, 1})
      result.columns.push_back(vector::ExtractOp::create(builder, loc, pair, e));
  }
  return result;
}
