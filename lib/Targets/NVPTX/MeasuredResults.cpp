//===- MeasuredResults.cpp - codes whose scales are made of results ---------===//
//
// Where a matmul's floats are quantized with scales of their own, and the threads that hold a row hold whole blocks of
// it, the floats never leave: the four threads of a quarter warp, and the warps beside them where those hold more of a
// block, find its extremes together, the first one stores its scale and its zero point, and all store codes in place of
// results.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"
#include "qlow/Dialect/Elements.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qlow;

/// Threads that hold a row's columns, two neighbours of each eight.
static constexpr int64_t kThreadsOfRow = 4, kColumnsOfThreads = 8;

bool TileNest::measuresResult(RecipeAttr recipe, const MultiplyRow &row, RankedTensorType type) {
  QType codes = getQuantizedElement(type);
  ArrayRef<int64_t> blocks = codes.getBlock(), tile = recipe.getTile("cta"), inner = recipe.getTile(innerLevel(row));
  bool isOfRows = !blocks.empty() && llvm::all_of(blocks.drop_back(), [](int64_t size) { return size == 1; });
  if (row.scope == MultiplyRow::Scope::Lane || row.sumsInMemory || tile.size() != 3 || inner.size() != 3 || !isOfRows ||
      codes.getFormat()->bits != 8)
    return false;
  int64_t block = blocks.back(), n = type.getShape().back();
  // The warps of a block are done at one time, warpgroups of some schedules are not.
  int64_t most = row.scope == MultiplyRow::Scope::Warp ? tile[1] : inner[1];
  if (block == QType::kWhole)
    return !ShapedType::isDynamic(n) && 0 < n && n <= most; // a row of nothing has a scale
  bool isOfWarps = block <= inner[1] ? inner[1] % block == 0 : block % inner[1] == 0;
  return block % kColumnsOfThreads == 0 && most % block == 0 && isOfWarps;
}

int64_t TileNest::columnsMeasured() {
  int64_t block = op.getMeasuredType().getBlock().back();
  return (block == QType::kWhole ? innerN : std::min(block, innerN)) / kThreadsOfRow;
}

bool TileNest::measuresAcrossWarps() {
  int64_t block = op.getMeasuredType().getBlock().back();
  return innerN < (block == QType::kWhole ? *staticN : block);
}

/// The extremes of the results that a quarter warp holds of a block of one row.
SmallVector<Value> TileNest::emitExtremesHeld(ArrayRef<Value> positions, ArrayRef<Value> results) {
  QType type = op.getMeasuredType();
  Value none = arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(0));
  SmallVector<Value> extremes(type.getZero() ? 2 : 1, none);
  for (auto [position, result] : llvm::zip_equal(positions, results)) {
    // Columns past the last one are no part of the row.
    Value counted = builder.createOrFold<arith::SelectOp>(loc, isInside(position, n32, tileN), result, none);
    extremes = mergeExtremes(builder, loc, extremes, emitExtremes(builder, loc, type, counted));
  }
  for (int64_t distance = 1; distance < kThreadsOfRow; distance *= 2) {
    auto others = llvm::map_to_vector(extremes, [&](Value extreme) -> Value {
      return gpu::ShuffleOp::create(builder, loc, extreme, i32.constant(distance), i32.constant(kWarp),
                                    gpu::ShuffleMode::XOR)
          .getShuffleResult();
    });
    extremes = mergeExtremes(builder, loc, extremes, others);
  }
  return extremes;
}

/// Extremes of each row as all warps have them that hold parts of the block. Through shared memory, whose operands
/// nobody needs any more.
void TileNest::emitExchange(const OutputTile &block, ArrayRef<HeldLine> rows,
                            MutableArrayRef<SmallVector<Value>> extremes) {
  int64_t size = op.getMeasuredType().getBlock().back(), warps = tileN / innerN, width = extremes.front().size();
  int64_t together = size == QType::kWhole ? warps : size / innerN;
  assert(tileM * warps * width * 4 <= sharedBytes(recipe, row) && "a tile's operands take more than its extremes");
  Value own = i32.rem(warp, warps), first = i32.sub(own, i32.rem(own, together));
  auto at = [&](const HeldLine &held, Value warpOfRow, int64_t number) {
    Value slot = i32.add(i32.mul(i32.sub(held.position, block.row0), warps), warpOfRow);
    return shared(i32.constant(0), i32.mul(i32.add(i32.mul(slot, width), number), 4));
  };
  gpu::BarrierOp::create(builder, loc);
  ifThen(i32.equal(i32.rem(lane, kThreadsOfRow), i32.constant(0)), [&] {
    for (auto [held, ofRow] : llvm::zip_equal(rows, extremes))
      for (auto [number, extreme] : llvm::enumerate(ofRow))
        LLVM::StoreOp::create(builder, loc, extreme, at(held, own, number));
  });
  gpu::BarrierOp::create(builder, loc);
  for (auto [held, ofRow] : llvm::zip_equal(rows, extremes))
    for (int64_t other = 0; other < together; ++other) {
      SmallVector<Value> theirs;
      for (int64_t number = 0; number < width; ++number)
        theirs.push_back(
            LLVM::LoadOp::create(builder, loc, builder.getF32Type(), at(held, i32.add(first, other), number)));
      ofRow = mergeExtremes(builder, loc, ofRow, theirs);
    }
}

/// What a block has beside its codes, by the thread that holds its first column, at `position` for this one.
void TileNest::emitStoreOfBlock(const OutputTile &block, const HeldLine &held, Value position, ValueRange parts) {
  int64_t size = op.getMeasuredType().getBlock().back();
  Value number = size == QType::kWhole ? i32.constant(0) : i32.div(position, size);
  Value isFirst = i32.equal(position, size == QType::kWhole ? number : i32.mul(number, size));
  Value isThere = i32.both(isInside(held.position, m32, tileM), isInside(position, n32, tileN));
  ifThen(i32.both(isFirst, isThere), [&] {
    SmallVector<Value> indices(block.batch);
    indices.push_back(held.index);
    indices.push_back(index.cast(number));
    for (auto [part, out] : llvm::zip_equal(parts, op.getOuts().drop_front()))
      memref::StoreOp::create(builder, loc, part, out, indices);
  });
}

/// The codes, i8, of results of a block, the first at `position`; stores the block's scale and zero point.
SmallVector<Value> TileNest::emitMeasured(const OutputTile &block, const HeldLine &held, Value position,
                                          ValueRange extremes, ArrayRef<Value> results) {
  QType type = op.getMeasuredType();
  SmallVector<Value> parts{emitMeasuredScale(builder, loc, type, extremes)};
  auto toByte = [&](Value code) { return builder.createOrFold<arith::TruncIOp>(loc, builder.getI8Type(), code); };
  if (const Format *zero = type.getZero())
    parts.push_back(toByte(emitMeasuredZero(builder, loc, *zero, extremes.front(), parts.front())));
  emitStoreOfBlock(block, held, position, parts);
  // The block's parts are at hand, wherever an element of it lies.
  SmallVector<Value> values{Value()}, indices(rank, index.constant(0));
  llvm::append_range(values, parts);
  ElementReader reader(type, values, [](OpBuilder &, Location, Value part, ValueRange) { return part; });
  return llvm::map_to_vector(results, [&](Value result) {
    return toByte(reader.emitQuantized(builder, loc, result, indices, ByInverse::All, /*isMeasured=*/true));
  });
}

/// Two results in f32. Sums that are rounded to f16 are so by one instruction: it takes as long as that for one, whose
/// reads of sums ptxas takes for reads while products are under way, which it then starts one by one (13.0, C7514).
std::array<Value, 2> TileNest::emitPairToF32(Value one, Value other) {
  auto widened = [&](Value x) -> Value {
    return x.getType().isF32() ? x : arith::ExtFOp::create(builder, loc, builder.getF32Type(), x).getResult();
  };
  auto rounded = [](Value x) {
    auto truncation = x.getDefiningOp<arith::TruncFOp>();
    return truncation && x.getType().isF16() ? truncation.getIn() : Value();
  };
  Value low = rounded(one), high = rounded(other);
  if (row.scope != MultiplyRow::Scope::Warpgroup || !low || !high)
    return {widened(one), widened(other)};
  auto type = VectorType::get({2}, one.getType());
  auto nearest = NVVM::FPRoundingModeAttr::get(builder.getContext(), NVVM::FPRoundingMode::RN);
  Value pair = NVVM::ConvertF32x2ToF16x2Op::create(builder, loc, type, high, low, Value(), nearest,
                                                   NVVM::SaturationModeAttr(), builder.getBoolAttr(false));
  return {widened(vector::ExtractOp::create(builder, loc, pair, 0)),
          widened(vector::ExtractOp::create(builder, loc, pair, 1))};
}

void TileNest::emitMeasuredResults(const OutputTile &block, ArrayRef<HeldLine> rows, ArrayRef<Value> sums) {
  SmallVector<Value> positions = columnsHeld(block);
  int64_t together = columnsStoredTogether(), measured = columnsMeasured();
  for (int64_t first = 0, e = positions.size(); first < e; first += measured) {
    ArrayRef<Value> ofBlock = ArrayRef(positions).slice(first, measured);
    SmallVector<SmallVector<Value>> results(rows.size()), extremes, codes;
    for (int64_t ahead = 0; ahead < measured; ahead += kColumnsAhead) {
      SmallVector<HeldLine> columns;
      for (Value position : ofBlock.slice(ahead, std::min(kColumnsAhead, measured - ahead)))
        columns.push_back(emitColumn(block, position));
      for (int64_t c = 0, count = columns.size(); c < count; c += 2)
        for (auto [r, held] : llvm::enumerate(rows)) {
          auto resultOf = [&](int64_t number) {
            return emitResult(block, sumAt(sums, r, first + ahead + number), held, columns[number]);
          };
          Value one = resultOf(c), other = resultOf(c + 1);
          llvm::append_range(results[r], emitPairToF32(one, other));
        }
    }
    for (ArrayRef<Value> ofRow : results)
      extremes.push_back(emitExtremesHeld(ofBlock, ofRow));
    if (measuresAcrossWarps())
      emitExchange(block, rows, extremes);
    for (auto [held, ofRow, found] : llvm::zip_equal(rows, results, extremes))
      codes.push_back(emitMeasured(block, held, ofBlock.front(), found, ofRow));
    for (int64_t c = first; c < first + measured; c += together) {
      if (outMap && c % piece() == 0)
        beginStaging(c);
      for (auto [held, ofRow] : llvm::zip_equal(rows, codes)) {
        ArrayRef<Value> bytes = ArrayRef(ofRow).slice(c - first, together);
        if (outMap)
          stage(&held - rows.begin(), c, bytes);
        else
          emitStore(block, held.position, positions[c], bytes);
      }
      if (outMap && (c + together) % piece() == 0)
        endStaging(block, c);
    }
  }
}
