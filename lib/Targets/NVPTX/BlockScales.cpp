//===- BlockScales.cpp - scales that change along K -------------------------===//
//
// Where scales change along K, each sum of codes under one pair of them is multiplied by it when it joins the others.
// So a tile of K is taken in runs, in which no scale changes. A thread needs the scales of the rows that it holds, and
// of its columns, or one where a product's have but one. It reads them ahead of a tile, or gets them from warps that
// only copy (ScaleRing.cpp).
//
// A side whose scales do not change along K is not concerned: they meet the finished sums (Epilogue.cpp). Nor are rows
// that take scales (ProductScales.cpp).
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <numeric>

using namespace mlir;
using namespace qlow;

/// Codes of a side under one scale along K, and along its other dimension; QType::kWhole: all.
static std::pair<int64_t, int64_t> blockOf(MatmulKernelOp op, bool isLhs) {
  QType type = getQuantizedElement(isLhs ? op.getLhsType() : op.getRhsType());
  if (!type || type.getBlock().empty())
    return {QType::kWhole, QType::kWhole};
  ArrayRef<int64_t> matrix = type.getBlock().take_back(2);
  bool kIsFirst = isLhs ? op.getTransposeLhs() : !op.getTransposeRhs();
  return kIsFirst ? std::pair(matrix[0], matrix[1]) : std::pair(matrix[1], matrix[0]);
}

int64_t TileNest::scaledTogether(MatmulKernelOp op, bool isLhs) {
  auto type = cast<RankedTensorType>(isLhs ? op.getLhsType() : op.getRhsType());
  QType quantized = getQuantizedElement(type);
  bool kIsFirst = isLhs ? op.getTransposeLhs() : !op.getTransposeRhs();
  if (!quantized || quantized.isConstantAlong(type.getRank() - (kIsFirst ? 2 : 1), type.getShape()))
    return 0;
  return blockOf(op, isLhs).first;
}

bool TileNest::isScaledAlongK(Side side) {
  return row.takesSmallFloats() && !row.takesScales() && scaledTogether(op, side == Side::Lhs);
}

/// Of a tile's k, those under one pair of scales.
int64_t TileNest::runLength(MatmulKernelOp op, int64_t tileK) {
  return std::gcd(tileK, std::gcd(scaledTogether(op, /*isLhs=*/true), scaledTogether(op, /*isLhs=*/false)));
}
int64_t TileNest::stepsOfRun() {
  return row.takesSmallFloats() && !row.takesScales() ? runLength(op, tileK) / row.k : steps;
}

/// Columns of an inner tile under one scale, where those of a product are; else 1.
int64_t TileNest::linesTogether(MatmulKernelOp op, int64_t innerN, const MultiplyRow &row) {
  int64_t block = blockOf(op, /*isLhs=*/false).second;
  int64_t together = block == QType::kWhole ? innerN : std::gcd(block, innerN);
  return together % row.n == 0 ? together : 1;
}
int64_t TileNest::columnsTogether() { return linesTogether(op, innerN, row); }
/// The same, of the columns that a thread holds.
int64_t TileNest::heldTogether() { return std::max<int64_t>(columnsTogether() / 4, 1); }

/// What a thread is read ahead of a tile of K: scales of all its rows and columns.
SmallVector<TileNest::Run> TileNest::emitRuns(const OutputTile &block, Value kTile) {
  SmallVector<Run> runs(steps / stepsOfRun());
  bool hasRows = isScaledAlongK(Side::Lhs), hasColumns = isScaledAlongK(Side::Rhs);
  if (!hasRows && !hasColumns)
    return runs;
  SmallVector<Value> rows = rowsHeld(block), columns = columnsHeld(block);
  for (auto [number, run] : llvm::enumerate(runs)) {
    if (hasRows)
      for (Value position : rows)
        run.rows.push_back(emitBlockScale(block, Side::Lhs, position, kTile, i32.constant(number)));
    if (hasColumns)
      for (size_t held = 0; held < columns.size(); held += heldTogether())
        run.columns.push_back(emitBlockScale(block, Side::Rhs, columns[held], kTile, i32.constant(number)));
  }
  return runs;
}

/// The scale of a line in run number `run` of a tile of K, both i32; past the edges that of the last line, or the last
/// k.
Value TileNest::emitBlockScale(const OutputTile &block, Side side, Value line, Value kTile, Value run) {
  Value first = i32.add(i32.mul(kTile, tileK), i32.mul(run, stepsOfRun() * row.k));
  return emitScale(side, block.batch, emitInside(line, side == Side::Lhs ? m32 : n32), emitInside(first, k32));
}

/// The scale that the sum of a product's column `column` is multiplied by, both counted among those held; null: none.
Value TileNest::emitScaleOf(const Run &run, int64_t heldRow, int64_t heldColumn) {
  Value scale = run.rows.empty() ? Value() : run.rows[heldRow];
  if (run.columns.empty())
    return scale;
  Value column = run.columns[heldColumn / heldTogether()];
  return scale ? arith::MulFOp::create(builder, loc, scale, column).getResult() : column;
}

/// sum + scales * product number `number` of a warp, or a warpgroup.
Value TileNest::emitJoined(Value sum, Value product, const Run &run, int64_t number) {
  int64_t columns = innerN / row.n, firstRow = number / columns * 2, firstColumn = number % columns * (row.n / 4);
  auto join = [&](Value before, Value own, Value scale) -> Value {
    if (!scale)
      return arith::AddFOp::create(builder, loc, before, own);
    return math::FmaOp::create(builder, loc, own, scale, before);
  };
  // Of each four sums two stand in one row.
  auto scaleOf = [&](int64_t i) { return emitScaleOf(run, firstRow + i % 4 / 2, firstColumn + i / 4 * 2 + i % 2); };
  if (auto type = dyn_cast<VectorType>(sum.getType())) {
    Value scales;
    if (Value first = scaleOf(0))
      scales =
          vector::FromElementsOp::create(builder, loc, type, ValueRange{first, scaleOf(1), scaleOf(2), scaleOf(3)});
    return join(sum, product, scales);
  }
  for (int64_t i = 0, e = cast<LLVM::LLVMStructType>(sum.getType()).getBody().size(); i < e; ++i) {
    Value before = LLVM::ExtractValueOp::create(builder, loc, sum, i);
    Value own = LLVM::ExtractValueOp::create(builder, loc, product, i);
    sum = LLVM::InsertValueOp::create(builder, loc, sum, join(before, own, scaleOf(i)), i);
  }
  return sum;
}
