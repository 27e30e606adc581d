//===- ScaleRing.cpp - scales that warps copy for those that multiply -------===//
//
// Beside a warpgroup that copies (Specialized.cpp): those of its warps that start no copies read the scales of blocks
// along K, of any kind, and leave them in shared memory as f32, in two buffers that take turns:
//
//   copying warps:   for each tile, each k:  read those of the next k;  wait until empty[turn];  store;  arrive at full
//   warpgroup:       for each tile, each k:  wait until full[turn];  read while products run;  arrive at empty
//
// Threads that multiply have neither registers for their addresses nor time to wait for global memory. A buffer has
// the scales of all rows of the tile for each run, then those of all columns, or one for each group that shares it.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

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
    NVVM::MBarrierInitOp::create(builder, loc, scaleBarrier(turn, true), i32.constant(kReaders / 32), Value());
    NVVM::MBarrierInitOp::create(builder, loc, scaleBarrier(turn, false), i32.constant(consumers / 32), Value());
  }
}

/// One arrival for each warp: all its lanes have written, or read.
void TileNest::emitScaleArrival(Value barrier) {
  NVVM::SyncWarpOp::create(builder, loc, i32.constant(0xFFFFFFFF));
  ifThen(i32.equal(lane, i32.constant(0)),
         [&] { NVVM::MBarrierArriveOp::create(builder, loc, builder.getI64Type(), barrier, Value()); });
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

SmallVector<Value> TileNest::emitScaleReads(const OutputTile &block, Value kTile) {
  SmallVector<Value> scales;
  forEachScale([&](Side side, int64_t run, Value number, Value isThere) {
    Value line =
        side == Side::Lhs ? i32.add(block.row0, number) : i32.add(block.column0, i32.mul(number, columnsTogether()));
    scales.push_back(emitGuarded(isThere, builder.getF32Type(),
                                 [&] { return emitBlockScale(block, side, line, kTile, i32.constant(run)); }));
  });
  return scales;
}

void TileNest::emitScaleReaders() {
  forEachTile([&](const OutputTile &block, RingPlace place) {
    SmallVector<Value> carried{place.turn};
    llvm::append_range(carried, emitScaleReads(block, i32.constant(0)));
    auto loop = scf::ForOp::create(builder, loc, i32.constant(0), i32.constant(kTiles()), i32.constant(1), carried);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    Value turn = loop.getRegionIterArg(0);
    SmallVector<Value> yielded{turnAfter(turn)};
    llvm::append_range(yielded, emitScaleReads(block, i32.add(loop.getInductionVar(), 1)));
    emitWait(scaleBarrier(turn, false), i32.sub(i32.constant(1), i32.div(turn, kBuffers)));
    Value buffer = scaleBuffer(turn);
    ValueRange scales = loop.getRegionIterArgs().drop_front();
    forEachScale([&](Side side, int64_t run, Value number, Value isThere) {
      ifThen(isThere,
             [&] { LLVM::StoreOp::create(builder, loc, scales.front(), offset(buffer, scaleAt(side, run, number))); });
      scales = scales.drop_front();
    });
    emitScaleArrival(scaleBarrier(turn, true));
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
    Value first = i32.add(i32.mul(i32.rem(warp, 4), kWarpRows), i32.div(lane, 4));
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
