//===- Epilogue.cpp - from final sums to the result -------------------------===//
//
// Takes a tile of sums, computes the kernel's epilogue region on vectors of columns and stores what it yields. Reads
// and writes past N are masked.
//
//===----------------------------------------------------------------------===//

#include "Generic/Nest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace qlow;

Value MatmulNest::emitMask(const Panel &panel, int64_t vector) {
  bool isMasked = panel.allMasked || (panel.lastMasked && vector + 1 == panel.vectors);
  if (!isMasked)
    return {};
  auto type = VectorType::get({row.n}, builder.getI1Type());
  if (staticN)
    return vector::ConstantMaskOp::create(builder, loc, type, ArrayRef<int64_t>{*staticN % row.n});
  // Signed: a vector may begin past N; create_mask takes sizes below 0 as none.
  Value begin = index.add(panel.first, index.constant(vector * row.n));
  return vector::CreateMaskOp::create(builder, loc, type, ValueRange{index.sub(n, begin)});
}

/// One extra operand for the columns from `column` on; what does not depend on the column is broadcast.
Value MatmulNest::emitExtra(unsigned number, const Unit &unit, Value matrixRow, Value column, Value mask) {
  Value extra = op.getExtras()[number];
  AffineMap map = cast<AffineMapAttr>(op.getExtraMaps()[number]).getValue();
  Type element = cast<MemRefType>(extra.getType()).getElementType();
  auto type = VectorType::get({row.n}, element);
  SmallVector<Value> indices;
  std::optional<unsigned> columnAt;
  for (auto [position, result] : llvm::enumerate(map.getResults())) {
    auto dim = dyn_cast<AffineDimExpr>(result);
    if (!dim) {
      indices.push_back(index.constant(cast<AffineConstantExpr>(result).getValue()));
      continue;
    }
    unsigned at = dim.getPosition();
    if (at == rank - 1)
      columnAt = position;
    indices.push_back(at == rank - 1 ? column : at == rank - 2 ? matrixRow : unit.batch[at]);
  }
  if (!columnAt) {
    Value scalar = memref::LoadOp::create(builder, loc, extra, indices);
    return vector::BroadcastOp::create(builder, loc, type, scalar);
  }
  if (*columnAt + 1 == indices.size()) {
    if (!mask)
      return vector::LoadOp::create(builder, loc, type, extra, indices);
    Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
    return vector::MaskedLoadOp::create(builder, loc, type, extra, indices, mask, zero);
  }
  // Columns that do not lie side by side, one by one; past N the last column again.
  Value result = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
  Value last = index.sub(n, index.constant(1));
  for (int64_t lane = 0; lane < row.n; ++lane) {
    indices[*columnAt] = index.min(index.add(column, index.constant(lane)), last);
    Value scalar = memref::LoadOp::create(builder, loc, extra, indices);
    result = vector::InsertOp::create(builder, loc, scalar, result, lane);
  }
  return result;
}

/// The region at vector width: every op in it is elementwise, so its vector form is the same op on vectors.
Value MatmulNest::emitRegion(ArrayRef<Value> arguments) {
  Block &block = op.getEpilogue().front();
  IRMapping mapping;
  mapping.map(block.getArguments(), arguments);
  auto widened = [&](Type type) { return VectorType::get({row.n}, type); };
  auto operandOf = [&](Value value) -> Value {
    if (Value mapped = mapping.lookupOrNull(value))
      return mapped;
    Value scalar = vector::BroadcastOp::create(builder, loc, widened(value.getType()), value);
    mapping.map(value, scalar);
    return scalar;
  };
  for (Operation &inner : block.without_terminator()) {
    if (auto constant = dyn_cast<arith::ConstantOp>(inner)) {
      auto value = DenseElementsAttr::get(widened(constant.getType()), constant.getValue());
      mapping.map(constant.getResult(), arith::ConstantOp::create(builder, inner.getLoc(), value).getResult());
      continue;
    }
    SmallVector<Value> operands(llvm::map_range(inner.getOperands(), operandOf));
    SmallVector<Type> types(llvm::map_range(inner.getResultTypes(), widened));
    OperationState state(inner.getLoc(), inner.getName(), operands, types, inner.getAttrs());
    mapping.map(inner.getResults(), builder.create(state)->getResults());
  }
  return operandOf(block.getTerminator()->getOperand(0));
}

void MatmulNest::emitEpilogue(const Unit &unit, const Panel &panel, const Tile &tile, ArrayRef<Value> sums) {
  unsigned numExtras = op.getExtras().size();
  auto dependsOn = [&](unsigned number, unsigned dim) {
    return cast<AffineMapAttr>(op.getExtraMaps()[number]).getValue().isFunctionOfDim(dim);
  };
  // What holds for all rows of the tile is read once for each vector of columns.
  for (int64_t vector = 0; vector < panel.vectors; ++vector) {
    Value mask = emitMask(panel, vector);
    Value column = index.add(panel.first, index.constant(vector * row.n));
    SmallVector<Value> arguments(1 + numExtras);
    for (unsigned number = 0; number < numExtras; ++number)
      if (!dependsOn(number, rank - 2))
        arguments[1 + number] = emitExtra(number, unit, {}, column, mask);
    for (int64_t r = 0; r < tile.rows; ++r) {
      Value matrixRow = index.add(unit.firstRow, index.add(tile.row, index.constant(r)));
      arguments[0] = sums[r * panel.vectors + vector];
      for (unsigned number = 0; number < numExtras; ++number)
        if (dependsOn(number, rank - 2))
          arguments[1 + number] = emitExtra(number, unit, matrixRow, column, mask);
      Value result = emitRegion(arguments);
      SmallVector<Value> at(unit.batch);
      at.append({matrixRow, column});
      // One column alone is stored as a scalar: LLVM 22 turns a masked store of one known lane, where it follows a
      // truncation, into a store of the untruncated lane, which writes behind the row.
      if (mask && staticN && *staticN % row.n == 1)
        memref::StoreOp::create(builder, loc, vector::ExtractOp::create(builder, loc, result, ArrayRef<int64_t>{0}),
                                op.getOut(), at);
      else if (mask)
        vector::MaskedStoreOp::create(builder, loc, op.getOut(), at, mask, result);
      else
        vector::StoreOp::create(builder, loc, result, op.getOut(), at);
    }
  }
}
