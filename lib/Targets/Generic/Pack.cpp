//===- Pack.cpp - right-hand sides into panels ------------------------------===//
//
// Elements become stored values: the integer image less the layout's offset, or the dequantized f32. What lies as it is
// stored moves by vectors, k of one column brought together by interleaving rows or by reading words of a column;
// everything else is decoded element by element. Reads the parts inside their bounds only; padding is zero.
//
//===----------------------------------------------------------------------===//

#include "Generic/Pack.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <numeric>

using namespace mlir;
using namespace qlow;

PanelPacker::PanelPacker(OpBuilder &builder, Location loc, RankedTensorType type, ValueRange parts, bool transposed,
                         LayoutAttr layout, int64_t lanes, Value n, Value k)
    : LoopBuilder(builder, loc), type(type), parts(parts), transposed(transposed), layout(layout), lanes(lanes), n(n),
      k(k) {
  // A layout of whole panels was made for an open N.
  if (layout.getColumns() != layout.getPanel() || layout.getColumns() == lanes)
    knownN = getConstantIntValue(OpFoldResult(n));
}

LayoutOf<Index> PanelPacker::stored() const { return {layout, Index{&builder, loc, n}, Index{&builder, loc, k}}; }

void PanelPacker::emit(ValueRange batch, Value linearBatch, Value number, Value target) {
  int64_t width = layout.getPanel();
  Panel panel{llvm::to_vector(batch), linearBatch, index.mul(number, width), target, width, false};
  if (knownN && *knownN % width == 0)
    return emitPanel(panel);
  Panel last = panel;
  last.isPartial = true;
  if (knownN)
    last.width = llvm::alignTo(*knownN % width, layout.getColumns());
  if (knownN && *knownN < width)
    return emitPanel(last);
  Value isWhole = index.lessEqual(index.add(panel.first, index.constant(width)), n);
  auto branch = scf::IfOp::create(builder, loc, isWhole, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&branch.getThenRegion().front());
  emitPanel(panel);
  builder.setInsertionPointToStart(&branch.getElseRegion().front());
  emitPanel(last);
}

static void emitZeros(OpBuilder &builder, Location loc, Value pointer, Value bytes) {
  Value count = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), bytes);
  Value zero = arith::ConstantIntOp::create(builder, loc, 0, 8);
  LLVM::MemsetOp::create(builder, loc, pointer, zero, count, /*isVolatile=*/false);
}

void PanelPacker::emitPanel(const Panel &panel) {
  LayoutOf<Index> places = stored();
  Index width = places.n.constant(panel.width);
  int64_t group = layout.getGroup();
  bool movesVectors =
      storesWhole(type, layout) && llvm::is_contained({1, 2, 4}, group) && group * places.elementBytes <= 4;
  if (!movesVectors) {
    emitZeros(builder, loc, panel.target, places.panelBytes(width));
    return emitElements(panel, index.constant(0));
  }
  // Rows are read across the panel, columns along k: both in the order they lie.
  if (transposed)
    forLoop(index.constant(panel.width / lanes), [&](Value vector) { emitGroups(panel, index.mul(vector, lanes), 1); });
  else
    emitGroups(panel, index.constant(0), panel.width / lanes);
  if (group == 1)
    return;
  Value wholeGroups = index.div(k, index.constant(group)), begin = index.mul(wholeGroups, group);
  ifThen(index.notEqual(begin, k), [&] {
    int64_t groupBytes = panel.width * group * places.elementBytes;
    emitZeros(builder, loc, offset(panel.target, index.mul(wholeGroups, groupBytes)), index.constant(groupBytes));
    emitElements(panel, begin);
  });
}

//===----------------------------------------------------------------------===//
// Element by element
//===----------------------------------------------------------------------===//

/// All k from `begin` on, in the order the source lies in memory. What is added to must be there.
void PanelPacker::emitElements(const Panel &panel, Value begin) {
  LayoutOf<Index> places = stored();
  auto asIndex = [&](Value value) { return Index{&builder, loc, value}; };
  Index width = places.n.constant(panel.width);
  Value sums = offset(panel.target, places.sumsAt(width));
  Value columns = panel.isPartial ? index.sub(n, panel.first) : width;
  auto decode = [&](Value kIndex, Value column) {
    SmallVector<Value> indices(panel.batch);
    indices.append({kIndex, index.add(panel.first, column)});
    if (transposed)
      std::swap(indices.end()[-1], indices.end()[-2]);
    bool isFloat = layout.getElement().isF32();
    Value value = emitStoredElement(builder, loc, type, parts, indices, isFloat, layout.getOffset());
    if (places.hasColumnSums) {
      Value sumAt = offset(sums, index.mul(column, 4));
      store(arith::AddIOp::create(builder, loc, load(builder.getI32Type(), sumAt), value), sumAt);
    }
    if (!isFloat)
      value = arith::TruncIOp::create(builder, loc, layout.getElement(), value);
    store(value, offset(panel.target, places.elementAt(width, asIndex(column), asIndex(kIndex))));
  };
  auto alongK = [&](function_ref<void(Value)> body) {
    forLoop(index.sub(k, begin), [&](Value step) { body(index.add(begin, step)); });
  };
  if (transposed)
    forLoop(columns, [&](Value column) { alongK([&](Value kIndex) { decode(kIndex, column); }); });
  else
    alongK([&](Value kIndex) { forLoop(columns, [&](Value column) { decode(kIndex, column); }); });
}

//===----------------------------------------------------------------------===//
// By vectors
//===----------------------------------------------------------------------===//

/// Whole groups of k of `vectors` vectors of columns from `column` of the panel on, and the sums over them.
void PanelPacker::emitGroups(const Panel &panel, Value column, int64_t vectors) {
  LayoutOf<Index> places = stored();
  auto asIndex = [&](Value value) { return Index{&builder, loc, value}; };
  Index width = places.n.constant(panel.width);
  SmallVector<Value> columns, masks(vectors), sums;
  for (int64_t vector = 0; vector < vectors; ++vector) {
    columns.push_back(index.add(column, index.constant(vector * lanes)));
    // Signed: a vector may begin past N; create_mask takes sizes below 0 as none.
    if (panel.isPartial)
      masks[vector] = vector::CreateMaskOp::create(builder, loc, vectorOf(lanes, builder.getI1Type()),
                                                   ValueRange{index.sub(n, index.add(panel.first, columns.back()))});
    if (places.hasColumnSums)
      sums.push_back(
          arith::ConstantOp::create(builder, loc, builder.getZeroAttr(vectorOf(lanes, builder.getI32Type()))));
  }
  Value wholeGroups = index.div(k, index.constant(layout.getGroup()));
  auto loop = scf::ForOp::create(builder, loc, index.constant(0), wholeGroups, index.constant(1), sums);
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    Value group = loop.getInductionVar();
    llvm::copy(loop.getRegionIterArgs(), sums.begin());
    for (int64_t vector = 0; vector < vectors; ++vector) {
      Value value = transposed ? emitWords(panel, group, columns[vector], masks[vector])
                               : emitRows(panel, group, columns[vector], masks[vector]);
      Index kIndex = asIndex(group) * layout.getGroup();
      store(value, offset(panel.target, places.elementAt(width, asIndex(columns[vector]), kIndex)));
      if (places.hasColumnSums)
        sums[vector] = arith::AddIOp::create(builder, loc, sums[vector], emitSum(value));
    }
    // A loop without results ends by itself.
    if (places.hasColumnSums)
      scf::YieldOp::create(builder, loc, sums);
  }
  Value sumsAt = offset(panel.target, places.sumsAt(width));
  for (auto [sum, at] : llvm::zip(loop.getResults(), columns))
    store(sum, offset(sumsAt, index.mul(at, 4)));
}

/// value - offset in the width of the elements.
Value PanelPacker::shift(Value vector) {
  if (layout.getOffset() == 0)
    return vector;
  auto elements = cast<VectorType>(vector.getType());
  auto by = DenseElementsAttr::get(elements, builder.getIntegerAttr(elements.getElementType(), layout.getOffset()));
  return arith::SubIOp::create(builder, loc, vector, arith::ConstantOp::create(builder, loc, by));
}

/// Rows k, k + 1, ... of a group, their columns brought together: of four, 0 with 2 and 1 with 3, then both.
Value PanelPacker::emitRows(const Panel &panel, Value group, Value column, Value mask) {
  VectorType row = vectorOf(lanes, layout.getElement());
  SmallVector<Value> rows;
  for (int64_t i = 0; i < layout.getGroup(); ++i) {
    SmallVector<Value> at(panel.batch);
    at.append({index.add(index.mul(group, layout.getGroup()), index.constant(i)), index.add(panel.first, column)});
    if (mask) {
      // Becomes zero when the offset is subtracted.
      Attribute padding = builder.getZeroAttr(row);
      if (layout.getOffset())
        padding = DenseElementsAttr::get(row, builder.getIntegerAttr(row.getElementType(), layout.getOffset()));
      Value past = arith::ConstantOp::create(builder, loc, cast<TypedAttr>(padding));
      rows.push_back(vector::MaskedLoadOp::create(builder, loc, row, parts.front(), at, mask, past));
    } else {
      rows.push_back(vector::LoadOp::create(builder, loc, row, parts.front(), at));
    }
    rows.back() = shift(rows.back());
  }
  while (rows.size() > 1) {
    size_t half = rows.size() / 2;
    for (size_t i = 0; i < half; ++i)
      rows[i] = vector::InterleaveOp::create(builder, loc, rows[i], rows[i + half]);
    rows.resize(half);
  }
  return rows.front();
}

/// A column's group lies together already and is read as one word.
Value PanelPacker::emitWords(const Panel &panel, Value group, Value column, Value mask) {
  int64_t bytes = layout.getGroup() * layout.getElement().getIntOrFloatBitWidth() / 8;
  Type word = layout.getElement().isF32() ? layout.getElement() : builder.getIntegerType(8 * bytes);
  Value matrix = index.mul(panel.linearBatch, n), source = pointerOf(parts.front());
  int64_t elementBytes = bytes / layout.getGroup();
  SmallVector<Value> words;
  for (int64_t lane = 0; lane < lanes; ++lane) {
    Value at = index.add(panel.first, index.add(column, index.constant(lane)));
    if (mask)
      at = index.min(at, index.sub(n, index.constant(1)));
    Value begin = index.mul(index.mul(index.add(matrix, at), k), elementBytes);
    words.push_back(load(word, offset(source, index.add(begin, index.mul(group, bytes)))));
  }
  Value vector = vector::FromElementsOp::create(builder, loc, vectorOf(lanes, word), words);
  VectorType elements = vectorOf(lanes * layout.getGroup(), layout.getElement());
  if (elements != vector.getType())
    vector = vector::BitCastOp::create(builder, loc, elements, vector);
  vector = shift(vector);
  if (!mask)
    return vector;
  if (elements != vectorOf(lanes, word))
    vector = vector::BitCastOp::create(builder, loc, vectorOf(lanes, word), vector);
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(vectorOf(lanes, word)));
  vector = arith::SelectOp::create(builder, loc, mask, vector, zero);
  return elements == vector.getType() ? vector : vector::BitCastOp::create(builder, loc, elements, vector).getResult();
}

/// The sum of each column's group of stored bytes, i32.
Value PanelPacker::emitSum(Value vector) {
  const Format &format = *getQuantizedElement(type).getFormat();
  bool isSigned = format.integerImage()->min < layout.getOffset();
  VectorType sum = vectorOf(lanes, builder.getI32Type());
  Value words = vector;
  if (int64_t bits = 8 * layout.getGroup(); bits != 8)
    words = vector::BitCastOp::create(builder, loc, vectorOf(lanes, builder.getIntegerType(bits)), vector);
  if (words.getType() != sum)
    words = arith::ExtUIOp::create(builder, loc, sum, words);
  auto splat = [&](int64_t by) -> Value {
    return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(sum, builder.getI32IntegerAttr(by)));
  };
  Value result;
  for (int64_t i = 0; i < layout.getGroup(); ++i) {
    Value top = arith::ShLIOp::create(builder, loc, words, splat(24 - 8 * i));
    Value byte = isSigned ? arith::ShRSIOp::create(builder, loc, top, splat(24)).getResult()
                          : arith::ShRUIOp::create(builder, loc, top, splat(24)).getResult();
    result = result ? arith::AddIOp::create(builder, loc, result, byte).getResult() : byte;
  }
  return result;
}

//===----------------------------------------------------------------------===//
// In memory
//===----------------------------------------------------------------------===//

void qlow::emitPack(OpBuilder &builder, PackOp op, const Machine &machine) {
  Location loc = op.getLoc();
  IndexBuilder index(builder, loc);
  auto type = cast<RankedTensorType>(op.getSourceType());
  QType quantized = getQuantizedElement(type);
  int64_t rank = type.getRank();
  auto size = [&](int64_t dim) {
    if (!type.isDynamicDim(dim))
      return index.constant(type.getDimSize(dim));
    // A dynamic last dimension counts bytes of codes, which are whole (T6).
    int64_t bytes = quantized && dim == rank - 1 ? quantized.getFormat()->bytesPerGroup : 1;
    return index.div(index.dim(op.getSource().front(), dim), index.constant(bytes));
  };
  Value n = size(rank - (op.getTransposed() ? 2 : 1)), k = size(rank - (op.getTransposed() ? 1 : 2));
  LayoutAttr layout = op.getLayout();
  int64_t lanes = std::gcd(layout.getColumns(), std::max<int64_t>(machine.vectorBits / 32, 1));
  PanelPacker packer(builder, loc, type, op.getSource(), op.getTransposed(), layout, lanes, n, k);
  SmallVector<Value> batchSizes;
  Value batchCount = index.constant(1);
  for (int64_t dim = 0; dim < rank - 2; ++dim) {
    batchSizes.push_back(size(dim));
    batchCount = index.mul(batchCount, batchSizes.back());
  }
  LayoutOf<Index> places = packer.stored();
  Value panels = places.numPanels(), matrixBytes = places.bytes();
  Value units = index.mul(batchCount, panels), tasks = index.min(units, op.getWidth());
  auto parallel = scf::ParallelOp::create(builder, loc, ValueRange{index.constant(0)}, ValueRange{tasks},
                                          ValueRange{index.constant(1)});
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(parallel.getBody());
  Value task = parallel.getInductionVars()[0];
  Value begin = index.div(index.mul(task, units), tasks);
  Value end = index.div(index.mul(index.add(task, index.constant(1)), units), tasks);
  LoopBuilder loops(builder, loc);
  loops.forLoop(index.sub(end, begin), [&](Value step) {
    Value unit = index.add(begin, step), panel = index.rem(unit, panels), linearBatch = index.div(unit, panels);
    Value at = index.add(index.mul(linearBatch, matrixBytes), places.panelOffset({&builder, loc, panel}));
    packer.emit(loops.delinearize(linearBatch, batchSizes), linearBatch, panel,
                loops.offset(loops.pointerOf(op.getOut()), at));
  });
}
