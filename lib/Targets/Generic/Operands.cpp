//===- Operands.cpp - packing and decoding hops -----------------------------===//
//
// Brings operands into the form the K loop reads: rows of the left side into blocks, columns of an unpacked right side
// into a panel of the slot. Elements become stored values: the integer image less the row's offset, or the dequantized
// f32. Reads each operand inside its bounds only; padding is zero.
//
//===----------------------------------------------------------------------===//

#include "Generic/Pack.h"
#include "qlow/Dialect/Elements.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qlow;

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

Value qlow::emitStoredElement(OpBuilder &builder, Location loc, Type type, ValueRange parts, ValueRange indices,
                              bool isFloat, int32_t offset) {
  QType quantized = getQuantizedElement(type);
  if (!quantized) {
    Value value = memref::LoadOp::create(builder, loc, parts.front(), indices);
    if (value.getType().isF32())
      return value;
    return arith::ExtFOp::create(builder, loc, builder.getF32Type(), value);
  }
  ElementReader reader(quantized, parts);
  if (isFloat)
    return reader.emitValue(builder, loc, indices);
  Value image = emitInteger(builder, loc, *quantized.getFormat(), reader.emitCode(builder, loc, indices));
  if (offset == 0)
    return image;
  return arith::SubIOp::create(builder, loc, image, arith::ConstantIntOp::create(builder, loc, offset, 32));
}

SmallVector<Value> MatmulNest::lhsIndices(const Unit &unit, Value row, Value k) {
  SmallVector<Value> indices(unit.batch);
  indices.append({op.getTransposeLhs() ? k : row, op.getTransposeLhs() ? row : k});
  return indices;
}

SmallVector<Value> MatmulNest::rhsIndices(const Unit &unit, Value k, Value column) {
  SmallVector<Value> indices(unit.batch);
  indices.append({op.getTransposeRhs() ? column : k, op.getTransposeRhs() ? k : column});
  return indices;
}

Value MatmulNest::emitLhsElement(const Unit &unit, Value row, Value k) {
  return emitStoredElement(builder, loc, op.getLhsType(), op.getLhs(), lhsIndices(unit, row, k), this->row.isFloat,
                           this->row.lhsOffset);
}

Value MatmulNest::emitStoredZero(QType type, ValueRange parts, ValueRange indices, int32_t offset) {
  Value zero = ElementReader(type, parts).emitZeroPoint(builder, loc, indices);
  if (zero) {
    // Zero points count decoded values, stored values count steps of the image.
    auto scale = static_cast<int32_t>(1.0f / type.getFormat()->integerImage()->step);
    if (scale != 1)
      zero = arith::MulIOp::create(builder, loc, zero, constantI32(scale));
  }
  if (!offset)
    return zero;
  return zero ? arith::SubIOp::create(builder, loc, zero, constantI32(offset)).getResult() : constantI32(-offset);
}

Value MatmulNest::emitLhsZero(const Unit &unit, Value row) {
  return emitStoredZero(getQuantizedElement(op.getLhsType()), op.getLhs(), lhsIndices(unit, row, index.constant(0)),
                        this->row.lhsOffset);
}

Value MatmulNest::emitRhsZeros(const Unit &unit, const Panel &panel, int64_t vector) {
  QType type = getQuantizedElement(op.getRhsType());
  Value first = index.add(panel.first, index.constant(vector * row.n)), origin = index.constant(0);
  bool isShared =
      type.isConstantAlong(rank - (op.getTransposeRhs() ? 2 : 1), cast<RankedTensorType>(op.getRhsType()).getShape());
  if (!type.getZero() || isShared) {
    Value zero = emitStoredZero(type, op.getRhs(), rhsIndices(unit, origin, origin), row.rhsOffset);
    return zero ? vector::BroadcastOp::create(builder, loc, sumType(), zero).getResult() : Value();
  }
  Value result = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(sumType()));
  Value last = index.sub(n, index.constant(1));
  for (int64_t lane = 0; lane < row.n; ++lane) {
    Value column = index.min(index.add(first, index.constant(lane)), last);
    Value zero = emitStoredZero(type, op.getRhs(), rhsIndices(unit, origin, column), row.rhsOffset);
    result = vector::InsertOp::create(builder, loc, zero, result, lane);
  }
  return result;
}

//===----------------------------------------------------------------------===//
// The left side
//===----------------------------------------------------------------------===//

/// Whether elements lie in K order as bytes of codes or as f32.
static bool liesWhole(MatmulKernelOp op, const MultiplyRow &row) {
  QType type = getQuantizedElement(op.getLhsType());
  if (op.getTransposeLhs())
    return false;
  if (row.isFloat)
    return cast<ShapedType>(op.getLhsType()).getElementType().isF32();
  return type.getFormat()->kind == DecodeKind::Integer && type.getFormat()->bits == 8 &&
         elementBytes(row.storedLhs) == 1;
}

static bool needsRowSums(MatmulKernelOp op, const MultiplyRow &row) {
  return !row.isFloat && (getQuantizedElement(op.getRhsType()).getZero() || row.rhsOffset);
}

bool MatmulNest::canReadInPlace(MatmulKernelOp op, const MultiplyRow &row) {
  auto type = cast<RankedTensorType>(op.getLhsType());
  int64_t k = type.getShape().back();
  return liesWhole(op, row) && !row.lhsOffset && !needsRowSums(op, row) && !ShapedType::isDynamic(k) && k % row.k == 0;
}

/// Row r of a tile of R rows: group g lies at (g * R + r) * 4.
void MatmulNest::emitPackLhs(const Unit &unit, const Slot &slot) {
  bool needsSums = needsRowSums(op, row), copiesWords = !row.isFloat && liesWhole(op, row);
  forEachTile(unit.rows, [&](const Tile &tile) {
    Value base = offset(slot.lhs, index.mul(index.mul(tile.row, groups), 4));
    forLoop(index.constant(tile.rows), [&](Value r) {
      Value blockRow = index.add(tile.row, r);
      Value matrixRow = index.add(unit.firstRow, blockRow);
      Value target = offset(base, index.mul(r, 4));
      if (copiesWords)
        emitCopyWords(unit, matrixRow, target, tile.rows * 4);
      else
        emitPackRow(unit, matrixRow, target, tile.rows * 4);
      if (needsSums)
        emitRowSum(unit, matrixRow, offset(slot.rowSums, index.mul(blockRow, 4)));
    });
  });
}

/// OperandElement by element; the last group is zeroed first, since K may end inside it.
void MatmulNest::emitPackRow(const Unit &unit, Value matrixRow, Value target, int64_t stride) {
  Value groupSize = index.constant(row.k);
  if (row.k > 1)
    ifThen(index.notEqual(index.rem(k, groupSize), index.constant(0)),
           [&] { store(constantI32(0), offset(target, index.mul(index.sub(groups, index.constant(1)), stride))); });
  forLoop(k, [&](Value kIndex) {
    Value element = emitLhsElement(unit, matrixRow, kIndex);
    unsigned bytes = elementBytes(row.storedLhs);
    if (bytes < 4)
      element = arith::TruncIOp::create(builder, loc, builder.getIntegerType(8 * bytes), element);
    Value at =
        index.add(index.mul(index.div(kIndex, groupSize), stride), index.mul(index.rem(kIndex, groupSize), bytes));
    store(element, offset(target, at));
  });
}

/// Four codes at a time. An offset of -128 flips the top bit of each: a + 128 = a xor 0x80 in bytes.
void MatmulNest::emitCopyWords(const Unit &unit, Value matrixRow, Value target, int64_t stride) {
  assert((row.lhsOffset == 0 || row.lhsOffset == -128) && "bytes are shifted by flipping their top bit");
  Value source =
      offset(pointerOf(op.getLhs().front()), index.mul(index.add(index.mul(unit.linearBatch, m), matrixRow), k));
  Type word = builder.getI32Type(), byte = builder.getI8Type();
  Value wholeGroups = index.div(k, index.constant(4));
  forLoop(wholeGroups, [&](Value group) {
    Value value = load(word, offset(source, index.mul(group, 4)));
    if (row.lhsOffset)
      value = arith::XOrIOp::create(builder, loc, value, constantI32(static_cast<int32_t>(0x80808080)));
    store(value, offset(target, index.mul(group, stride)));
  });
  Value done = index.mul(wholeGroups, 4);
  Value rest = index.sub(k, done);
  ifThen(index.notEqual(rest, index.constant(0)), [&] {
    Value last = offset(target, index.mul(wholeGroups, stride));
    store(constantI32(0), last);
    forLoop(rest, [&](Value i) {
      Value value = load(byte, offset(source, index.add(done, i)));
      if (row.lhsOffset)
        value = arith::XOrIOp::create(builder, loc, value, arith::ConstantIntOp::create(builder, loc, -128, 8));
      store(value, offset(last, i));
    });
  });
}

/// The sum of a row's stored values, which the right side's zero points multiply.
void MatmulNest::emitRowSum(const Unit &unit, Value matrixRow, Value target) {
  Value zero = constantI32(0);
  auto loop = scf::ForOp::create(builder, loc, index.constant(0), k, index.constant(1), ValueRange{zero});
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    Value element = emitLhsElement(unit, matrixRow, loop.getInductionVar());
    Value sum = arith::AddIOp::create(builder, loc, loop.getRegionIterArg(0), element);
    scf::YieldOp::create(builder, loc, sum);
  }
  store(loop.getResult(0), target);
}

//===----------------------------------------------------------------------===//
// The right side
//===----------------------------------------------------------------------===//

void MatmulNest::emitPackPanel(const Unit &unit, const Slot &slot) {
  PanelPacker packer(builder, loc, cast<RankedTensorType>(op.getRhsType()), op.getRhs(), op.getTransposeRhs(), layout,
                     row.n, n, k);
  packer.emit(unit.batch, unit.linearBatch, unit.panel, slot.panel);
}
