//===- Epilogue.cpp - from final sums to the result -------------------------===//
//
// Each thread corrects the sums it holds by zero points, computes the kernel's epilogue region on them, one scalar at a
// time, and stores what it yields. What lies past M or N is computed for the last row or column again and not stored.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"
#include "qlow/Dialect/Elements.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qlow;

/// The sum of a column's codes, i32.
Value TileNest::emitColumnSum(const OutputTile &block, Value column) {
  Value address;
  if (isPacked) {
    address = offset(columnSumsAt, i64.cast(i32.mul(i32.sub(i32.cast(column), block.column0), 4)));
  } else {
    Value base = pointerOf(op.getScratch());
    if (needsRowSums())
      base = offset(base, i64.cast(index.alignTo(index.mul(index.mul(batchCount, m), 4), 64)));
    Value line = index.add(index.mul(block.linearBatch, n), column);
    address = offset(base, i64.cast(index.mul(line, 4)));
  }
  return LLVM::LoadOp::create(builder, loc, builder.getI32Type(), address);
}

/// Columns that are stored together: two, where threads hold neighbours and rows begin at even elements.
int64_t TileNest::columnsStoredTogether() const {
  return row.scope != MultiplyRow::Scope::Lane && staticN && *staticN % 2 == 0 ? 2 : 1;
}

/// Stores what lies inside the matrix. Two columns stand together only where N is even, so the first one decides.
void TileNest::emitStore(const OutputTile &block, Value matrixRow, Value column, ArrayRef<Value> results) {
  ifThen(i32.both(isInside(matrixRow, m32, tileM), isInside(column, n32, tileN)), [&] {
    Type element = results.front().getType();
    int64_t bytes = llvm::divideCeil(element.getIntOrFloatBitWidth(), 8), count = results.size();
    Value line = i64.add(i64.mul(i64.cast(block.linearBatch), i64.cast(m)), i64.cast(matrixRow));
    Value at = i64.mul(i64.add(i64.mul(line, i64.cast(n)), i64.cast(column)), bytes), value = results.front();
    if (count > 1)
      value = vector::FromElementsOp::create(builder, loc, VectorType::get({count}, element), results);
    LLVM::StoreOp::create(builder, loc, value, offset(pointerOf(op.getOut()), at), bytes * count);
  });
}

//===----------------------------------------------------------------------===//
// Rows and columns that a thread holds
//===----------------------------------------------------------------------===//

/// `position` as an index, or the last one of the matrix where it lies past its `size`.
Value TileNest::emitInside(Value position, Value size) {
  return index.cast(i32.min(position, i32.sub(size, i32.constant(1))));
}

bool TileNest::extraDependsOn(unsigned number, unsigned dim) {
  return cast<AffineMapAttr>(op.getExtraMaps()[number]).getValue().isFunctionOfDim(dim);
}

/// Whether lines of a side have scales of their own.
bool TileNest::isScaledByLine(Side side) {
  QType type = getQuantizedElement(side == Side::Lhs ? op.getLhsType() : op.getRhsType());
  bool kIsFirst = side == Side::Lhs ? op.getTransposeLhs() : !op.getTransposeRhs();
  return !type.getBlock().empty() && type.getBlock()[rank - (kIsFirst ? 1 : 2)] != QType::kWhole;
}

/// Whether a side's scales are applied to finished sums.
bool TileNest::scalesResults(Side side) {
  return row.takesSmallFloats() && !row.takesScales() && !isScaledAlongK(side);
}

/// The scale of a line at `kIndex`, f32.
Value TileNest::emitScale(Side side, ValueRange batch, Value line, Value kIndex) {
  QType type = getQuantizedElement(side == Side::Lhs ? op.getLhsType() : op.getRhsType());
  SmallVector<Value> indices = indicesOf(side, batch, line, kIndex);
  return ElementReader(type, side == Side::Lhs ? op.getLhs() : op.getRhs()).emitScale(builder, loc, indices);
}

/// The rows held. What belongs to none alone, but to no column either, is read once for all of them.
SmallVector<TileNest::HeldLine> TileNest::emitRows(const OutputTile &block) {
  bool corrects = row.scope != MultiplyRow::Scope::Lane && !row.isFloat;
  SmallVector<HeldLine> lines;
  Value factor; // of all lines
  Value zero = index.constant(0);
  for (Side side : {Side::Lhs, Side::Rhs}) {
    Value own;
    if (row.takesScales())
      own = emitTensorFactor(side);
    else if (scalesResults(side) && !isScaledByLine(side))
      own = emitScale(side, block.batch, zero, zero);
    factor = factor && own ? arith::MulFOp::create(builder, loc, factor, own).getResult() : own ? own : factor;
  }
  for (Value position : rowsHeld(block)) {
    HeldLine line{position, emitInside(position, m32), factor, {}, {}, {}};
    if (scalesResults(Side::Lhs) && isScaledByLine(Side::Lhs)) {
      line.scale = emitScale(Side::Lhs, block.batch, line.index, zero);
      if (factor)
        line.scale = arith::MulFOp::create(builder, loc, line.scale, factor);
    }
    if (corrects)
      line.zero = emitZero(Side::Lhs, block.batch, line.index);
    if (needsRowSums()) {
      Value number = index.add(index.mul(block.linearBatch, m), line.index);
      Value address = offset(pointerOf(op.getScratch()), i64.cast(index.mul(number, 4)));
      line.sum = LLVM::LoadOp::create(builder, loc, builder.getI32Type(), address);
      if (line.zero)
        line.sum = i32.sub(line.sum, i32.mul(k32, line.zero));
    }
    for (unsigned number = 0, e = op.getExtras().size(); number < e; ++number) {
      bool isShared = !lines.empty() && !extraDependsOn(number, rank - 2);
      line.extras.push_back(extraDependsOn(number, rank - 1) ? Value()
                            : isShared                       ? lines.front().extras[number]
                                                             : emitExtra(number, block.batch, line.index, {}));
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

TileNest::HeldLine TileNest::emitColumn(const OutputTile &block, Value position) {
  bool allInside = staticN && *staticN % tileN == 0;
  HeldLine line{position, allInside ? index.cast(position) : emitInside(position, n32), {}, {}, {}, {}};
  if (scalesResults(Side::Rhs) && isScaledByLine(Side::Rhs))
    line.scale = emitScale(Side::Rhs, block.batch, line.index, index.constant(0));
  if (needsRowSums())
    line.zero = emitZero(Side::Rhs, block.batch, line.index);
  if (needsColumnSums())
    line.sum = emitColumnSum(block, line.index);
  for (unsigned number = 0, e = op.getExtras().size(); number < e; ++number) {
    bool isMine = extraDependsOn(number, rank - 1) && !extraDependsOn(number, rank - 2);
    line.extras.push_back(isMine ? emitExtra(number, block.batch, {}, line.index) : Value());
  }
  return line;
}

/// sum (a - za)(b - zb) = sum a b - za sum b - zb (sum a - K za), or the scaled sum of codes; of signs K - 2 (k where
/// they differ), or 4 (k where both are +1) - sum a - sum b - K. And the region.
Value TileNest::emitResult(const OutputTile &block, Value sum, const HeldLine &held, const HeldLine &column) {
  if (row.takesSigns()) {
    sum = row.countsCommon ? i32.sub(i32.mul(sum, 4), i32.add(i32.add(held.sum, column.sum), k32))
                           : i32.sub(k32, i32.mul(sum, 2));
    return emitRegionOf(block, sum, held, column);
  }
  if (held.zero)
    sum = i32.sub(sum, i32.mul(held.zero, column.sum));
  if (held.sum)
    sum = i32.sub(sum, i32.mul(held.sum, column.zero));
  if (held.scale || column.scale) {
    Value scale = held.scale && column.scale ? arith::MulFOp::create(builder, loc, held.scale, column.scale).getResult()
                  : held.scale               ? held.scale
                                             : column.scale;
    sum = arith::MulFOp::create(builder, loc, sum, scale);
  }
  return emitRegionOf(block, sum, held, column);
}

Value TileNest::emitRegionOf(const OutputTile &block, Value sum, const HeldLine &held, const HeldLine &column) {
  SmallVector<Value> arguments{sum};
  for (unsigned number = 0, e = op.getExtras().size(); number < e; ++number)
    arguments.push_back(held.extras[number]     ? held.extras[number]
                        : column.extras[number] ? column.extras[number]
                                                : emitExtra(number, block.batch, held.index, column.index));
  return emitRegion(arguments);
}

void TileNest::emitEpilogue(const OutputTile &block, ArrayRef<HeldLine> rows, ArrayRef<Value> sums) {
  if (tileM >= innerM)
    return emitResults(block, rows, sums);
  // The products' other rows are none.
  ifThen(i32.less(i32.mul(i32.rem(warp, 4), warpRows(row)), i32.constant(tileM)),
         [&] { emitResults(block, rows, sums); });
}

/// Columns in groups: what belongs to those of a group is read ahead of its results, since no load passes a barrier.
void TileNest::emitResults(const OutputTile &block, ArrayRef<HeldLine> rows, ArrayRef<Value> sums) {
  if (op.getMeasuredType())
    return emitMeasuredResults(block, rows, sums);
  SmallVector<Value> positions = columnsHeld(block);
  int64_t together = columnsStoredTogether(), group = outMap ? std::min(kColumnsAhead, piece()) : together;
  if (row.sumsInMemory && !outMap)
    group = std::min<int64_t>(kColumnsAhead, positions.size());
  for (int64_t first = 0, e = positions.size(); first < e; first += group) {
    SmallVector<HeldLine> columns;
    for (Value position : ArrayRef(positions).slice(first, group))
      columns.push_back(emitColumn(block, position));
    SmallVector<Value> loaded = row.sumsInMemory ? emitTensorSums(first, group) : SmallVector<Value>();
    if (outMap && first % piece() == 0)
      beginStaging(first);
    for (int64_t c = 0; c < group; c += together)
      for (auto [r, held] : llvm::enumerate(rows)) {
        SmallVector<Value> results;
        for (int64_t i = 0; i < together; ++i) {
          Value sum = row.sumsInMemory ? loaded[r * group + c + i] : sumAt(sums, r, first + c + i);
          results.push_back(emitResult(block, sum, held, columns[c + i]));
        }
        if (outMap)
          stage(r, first + c, results);
        else
          emitStore(block, held.position, columns[c].position, results);
      }
    if (outMap && (first + group) % piece() == 0)
      endStaging(block, first);
  }
}
