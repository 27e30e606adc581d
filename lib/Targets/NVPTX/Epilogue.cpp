//===- Epilogue.cpp - from final sums to the result -------------------------===//
//
// Each thread corrects the sums it holds by zero points, computes the kernel's epilogue region on them, one scalar at a
// time, and stores what it yields. What lies past M or N is computed for the last row or column again and not stored.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace qlow;

/// One scalar of an extra operand; `matrixRow` and `column` are index.
Value TileNest::emitExtra(unsigned number, const OutputTile &block, Value matrixRow, Value column) {
  AffineMap map = cast<AffineMapAttr>(op.getExtraMaps()[number]).getValue();
  SmallVector<Value> indices;
  for (AffineExpr result : map.getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(result);
    unsigned at = dim ? dim.getPosition() : 0;
    indices.push_back(!dim             ? index.constant(cast<AffineConstantExpr>(result).getValue())
                      : at == rank - 1 ? column
                      : at == rank - 2 ? matrixRow
                                       : block.batch[at]);
  }
  return memref::LoadOp::create(builder, loc, op.getExtras()[number], indices);
}

Value TileNest::emitRegion(ArrayRef<Value> arguments) {
  Block &region = op.getEpilogue().front();
  IRMapping mapping;
  mapping.map(region.getArguments(), arguments);
  for (Operation &inner : region.without_terminator())
    builder.clone(inner, mapping);
  return mapping.lookupOrDefault(region.getTerminator()->getOperand(0));
}

/// What corrections need of each row held: its zero point, and (sum of its codes - K zero).
void TileNest::emitRowTerms(const OutputTile &block, ArrayRef<Value> rows, SmallVectorImpl<Value> &zeros,
                            SmallVectorImpl<Value> &terms) {
  if (row.scope == MultiplyRow::Scope::Lane || row.isFloat)
    return;
  for (Value matrixRow : rows) {
    Value zero = emitZero(Side::Lhs, block.batch, matrixRow);
    if (zero)
      zeros.push_back(zero);
    if (!needsRowSums())
      continue;
    Value line = index.add(index.mul(block.linearBatch, m), matrixRow);
    Value address = offset(pointerOf(op.getScratch()), i64.cast(index.mul(line, 4)));
    Value term = LLVM::LoadOp::create(builder, loc, builder.getI32Type(), address);
    terms.push_back(zero ? i32.sub(term, i32.mul(k32, zero)) : term);
  }
}

/// The sum of a column's codes, i32.
Value TileNest::emitColumnSum(const OutputTile &block, Value column) {
  Value address;
  if (copiesRhs) {
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

void TileNest::emitStore(const OutputTile &block, Value matrixRow, Value column, ArrayRef<Value> results) {
  Type element = results.front().getType();
  int64_t bytes = llvm::divideCeil(element.getIntOrFloatBitWidth(), 8);
  Value line = i64.add(i64.mul(i64.cast(block.linearBatch), i64.cast(m)), i64.cast(matrixRow));
  Value at = i64.mul(i64.add(i64.mul(line, i64.cast(n)), i64.cast(column)), bytes);
  Value value = results.front();
  if (results.size() > 1)
    value = vector::FromElementsOp::create(builder, loc,
                                           VectorType::get({static_cast<int64_t>(results.size())}, element), results);
  LLVM::StoreOp::create(builder, loc, value, offset(pointerOf(op.getOut()), at), bytes * results.size());
}

/// sum (a - za)(b - zb) = sum a b - za sum b - zb (sum a - K za), and the region.
void TileNest::emitEpilogue(const OutputTile &block, ArrayRef<Value> sums) {
  SmallVector<Value> rows = rowsHeld(block), columns = columnsHeld(block);
  auto inside = [&](Value position, Value size) {
    return index.cast(i32.min(position, i32.sub(size, i32.constant(1))));
  };
  SmallVector<Value> rowIndices, rowZeros, rowTerms;
  for (Value position : rows)
    rowIndices.push_back(inside(position, m32));
  emitRowTerms(block, rowIndices, rowZeros, rowTerms);
  unsigned numExtras = op.getExtras().size();
  auto dependsOn = [&](unsigned number, unsigned dim) {
    return cast<AffineMapAttr>(op.getExtraMaps()[number]).getValue().isFunctionOfDim(dim);
  };
  // What belongs to a row alone is read once for it, what belongs to a column alone once for that.
  SmallVector<SmallVector<Value>> rowExtras(rows.size(), SmallVector<Value>(numExtras));
  for (unsigned number = 0; number < numExtras; ++number)
    if (!dependsOn(number, rank - 1))
      for (auto [r, matrixRow] : llvm::enumerate(rowIndices))
        rowExtras[r][number] =
            r && !dependsOn(number, rank - 2) ? rowExtras[0][number] : emitExtra(number, block, matrixRow, {});
  int64_t together = columnsStoredTogether();
  // Columns held lie eight apart in pairs.
  auto isFirstStaged = [&](int64_t c) { return outMap && c / 2 * 8 % columnsStaged() == 0; };
  bool allInside = staticN && *staticN % tileN == 0;
  for (int64_t c = 0, e = columns.size(); c < e; c += together) {
    if (isFirstStaged(c))
      beginStaging();
    SmallVector<Value> columnIndices, columnSums, columnZeros;
    SmallVector<SmallVector<Value>> columnExtras;
    for (int64_t i = 0; i < together; ++i) {
      Value column = allInside ? index.cast(columns[c + i]) : inside(columns[c + i], n32);
      columnIndices.push_back(column);
      if (!rowZeros.empty())
        columnSums.push_back(emitColumnSum(block, column));
      if (!rowTerms.empty())
        columnZeros.push_back(emitZero(Side::Rhs, block.batch, column));
      auto &extras = columnExtras.emplace_back(numExtras);
      for (unsigned number = 0; number < numExtras; ++number)
        if (dependsOn(number, rank - 1) && !dependsOn(number, rank - 2))
          extras[number] = emitExtra(number, block, {}, column);
    }
    for (int64_t r = 0, rowsEnd = rows.size(); r < rowsEnd; ++r) {
      SmallVector<Value> results;
      for (int64_t i = 0; i < together; ++i) {
        SmallVector<Value> arguments{sumAt(sums, r, c + i)};
        if (!rowZeros.empty())
          arguments[0] = i32.sub(arguments[0], i32.mul(rowZeros[r], columnSums[i]));
        if (!rowTerms.empty())
          arguments[0] = i32.sub(arguments[0], i32.mul(rowTerms[r], columnZeros[i]));
        for (unsigned number = 0; number < numExtras; ++number)
          arguments.push_back(!dependsOn(number, rank - 1) ? rowExtras[r][number]
                              : !dependsOn(number, rank - 2)
                                  ? columnExtras[i][number]
                                  : emitExtra(number, block, rowIndices[r], columnIndices[i]));
        results.push_back(emitRegion(arguments));
      }
      if (outMap) {
        stage(r, c, results);
        continue;
      }
      // Two columns stand together only where N is even, so the first one decides.
      Value isThere = i32.both(i32.less(rows[r], m32), i32.less(columns[c], n32));
      ifThen(isThere, [&] { emitStore(block, rows[r], columns[c], results); });
    }
    if (isFirstStaged(c + together))
      endStaging(block, c);
  }
}
