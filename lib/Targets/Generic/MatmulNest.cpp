//===- MatmulNest.cpp - tasks, panels and the register tile -----------------===//
//
// See Nest.h for the shape of the loops. The K loop holds a tile of MR x NR sums in registers: for each group of k it
// loads NR columns once and broadcasts MR times four bytes of the left side.
//
//===----------------------------------------------------------------------===//

#include "Generic/Nest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qlow;

/// Tiles of so few rows wait for the right side, and one stream from memory is not enough to keep it coming.
static constexpr int64_t kStreamingRows = 2;
/// How far ahead of the K loop the right side is asked for: from memory, measured best of 1 to 8 KiB; from the second
/// level, where a panel that the first does not hold waits for the next tile.
static constexpr int64_t kMemoryAheadBytes = 8192, kL2AheadBytes = 1024;

//===----------------------------------------------------------------------===//
// Building blocks
//===----------------------------------------------------------------------===//

Value LoopBuilder::pointerOf(Value memref) {
  Value address = memref::ExtractAlignedPointerAsIndexOp::create(builder, loc, memref);
  Value integer = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), address);
  return LLVM::IntToPtrOp::create(builder, loc, LLVM::LLVMPointerType::get(builder.getContext()), integer);
}

Value LoopBuilder::offset(Value pointer, Value bytes) {
  Value integer = builder.createOrFold<arith::IndexCastOp>(loc, builder.getI64Type(), bytes);
  return LLVM::GEPOp::create(builder, loc, pointer.getType(), builder.getI8Type(), pointer, ValueRange{integer});
}

Value LoopBuilder::load(Type type, Value pointer) {
  return LLVM::LoadOp::create(builder, loc, type, pointer, /*alignment=*/1);
}

void LoopBuilder::store(Value value, Value pointer) {
  LLVM::StoreOp::create(builder, loc, value, pointer, /*alignment=*/1);
}

Value LoopBuilder::constantI32(int32_t value) { return arith::ConstantIntOp::create(builder, loc, value, 32); }

void LoopBuilder::forLoop(Value end, function_ref<void(Value)> body) {
  OpBuilder::InsertionGuard guard(builder);
  auto loop = scf::ForOp::create(builder, loc, index.constant(0), end, index.constant(1));
  builder.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

void LoopBuilder::ifThen(Value condition, function_ref<void()> body) {
  OpBuilder::InsertionGuard guard(builder);
  auto branch = scf::IfOp::create(builder, loc, condition, /*withElseRegion=*/false);
  builder.setInsertionPointToStart(&branch.getThenRegion().front());
  body();
}

SmallVector<Value> LoopBuilder::delinearize(Value number, ValueRange sizes) {
  SmallVector<Value> indices;
  for (Value size : llvm::reverse(sizes)) {
    indices.insert(indices.begin(), index.rem(number, size));
    number = index.div(number, size);
  }
  return indices;
}

static std::optional<int64_t> constantOf(Value value) { return getConstantIntValue(OpFoldResult(value)); }

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

MatmulNest::MatmulNest(OpBuilder &builder, MatmulKernelOp op, RecipeAttr recipe, const MultiplyRow &row)
    : LoopBuilder(builder, op.getLoc()), op(op), row(row), tileRows(recipe.getTile("reg")[0]),
      panelWidth(recipe.getTile("reg")[1]), blockRows(recipe.getTile("thread")[0]),
      packed(op.getPackedRhs().has_value()), readsInPlace(recipe.getLhs().size() == 1),
      rank(cast<ShapedType>(op.getOut().getType()).getRank()) {
  m = index.dim(op.getOut(), rank - 2);
  n = index.dim(op.getOut(), rank - 1);
  staticM = constantOf(m);
  staticN = constantOf(n);
  k = op.emitK(builder);
  groups = index.ceilDiv(k, row.k);
  batchCount = index.constant(1);
  for (int64_t dim = 0; dim < rank - 2; ++dim) {
    batchSizes.push_back(index.dim(op.getOut(), dim));
    batchCount = index.mul(batchCount, batchSizes.back());
  }
  layout = packed ? *op.getPackedRhs() : layoutOf(op.getContext(), row, panelWidth, !staticN);
  // A last panel as wide as the others was stored before N was known.
  if (layout.getColumns() != row.n)
    staticN = std::nullopt;
  panels = index.ceilDiv(n, panelWidth);
  blocks = index.ceilDiv(m, blockRows);
}

VectorType MatmulNest::sumType() const {
  return VectorType::get({row.n}, row.isFloat ? Type(builder.getF32Type()) : Type(builder.getI32Type()));
}

Value MatmulNest::slotPart(unsigned part) {
  Value rows = index.min(m, index.constant(blockRows));
  Value bytes = index.constant(0);
  if (part > 0 && !readsInPlace)
    bytes = index.alignTo(index.mul(index.mul(rows, groups), 4), 64);
  if (part > 1 && !row.isFloat && !readsInPlace)
    bytes = index.add(bytes, index.alignTo(index.mul(rows, 4), 64));
  if (part > 2 && !packed)
    bytes = index.add(bytes, index.alignTo(places().panelBytes(places().n.constant(panelWidth)), 64));
  return bytes;
}

Value MatmulNest::emitSlotBytes() { return slotPart(3); }

//===----------------------------------------------------------------------===//
// Tasks and units
//===----------------------------------------------------------------------===//

void MatmulNest::emit(Value slotBytes) {
  Value units = index.mul(index.mul(batchCount, blocks), panels);
  // A slot of no bytes needs no scratch; the division only has to be defined.
  Value width = index.div(index.dim(op.getScratch(), 0), index.max(slotBytes, index.constant(1)));
  Value tasks = index.min(units, width);
  auto loop = scf::ParallelOp::create(builder, loc, ValueRange{index.constant(0)}, ValueRange{tasks},
                                      ValueRange{index.constant(1)});
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  emitTask(loop.getInductionVars()[0], tasks, units, slotBytes);
}

void MatmulNest::emitTask(Value task, Value tasks, Value units, Value slotBytes) {
  Value slotBase = offset(pointerOf(op.getScratch()), index.mul(task, slotBytes));
  Slot slot{slotBase, offset(slotBase, slotPart(1)), offset(slotBase, slotPart(2))};
  Value begin = index.div(index.mul(task, units), tasks);
  Value end = index.div(index.mul(index.add(task, index.constant(1)), units), tasks);
  // What the slot holds: the numbers of the packed block and the decoded panel, none at first.
  Value none = index.constant(-1);
  auto loop = scf::ForOp::create(builder, loc, begin, end, index.constant(1), ValueRange{none, none});
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  Unit unit = decomposeUnit(loop.getInductionVar());
  Value block = index.add(index.mul(unit.linearBatch, blocks), unit.block);
  Value panel = index.add(index.mul(unit.linearBatch, panels), unit.panel);
  if (!readsInPlace)
    ifThen(index.notEqual(block, loop.getRegionIterArg(0)), [&] { emitPackLhs(unit, slot); });
  if (!packed)
    ifThen(index.notEqual(panel, loop.getRegionIterArg(1)), [&] { emitPackPanel(unit, slot); });
  emitUnit(unit, slot);
  scf::YieldOp::create(builder, loc, ValueRange{block, panel});
}

/// Packed panels cost nothing to return to, so the rows stay; decoded panels stay and the rows change.
MatmulNest::Unit MatmulNest::decomposeUnit(Value number) {
  Unit unit;
  Value inner = packed ? panels : blocks, outer = packed ? blocks : panels;
  Value innerIndex = index.rem(number, inner), rest = index.div(number, inner);
  Value outerIndex = index.rem(rest, outer);
  unit.panel = packed ? innerIndex : outerIndex;
  unit.block = packed ? outerIndex : innerIndex;
  unit.linearBatch = index.div(rest, outer);
  unit.batch = delinearize(unit.linearBatch, batchSizes);
  unit.firstRow = index.mul(unit.block, blockRows);
  unit.rows = index.min(index.constant(blockRows), index.sub(m, unit.firstRow));
  return unit;
}

void MatmulNest::emitUnit(const Unit &unit, const Slot &slot) {
  Panel panel{panelWidth / row.n, false, false, index.mul(unit.panel, panelWidth), slot.panel};
  if (packed) {
    Index matrix = Index{&builder, loc, unit.linearBatch} * places().bytes();
    Index bytes = matrix + places().panelOffset({&builder, loc, unit.panel});
    panel.data = offset(pointerOf(op.getRhs().front()), bytes);
  }
  if (staticN && *staticN % panelWidth == 0)
    return emitPanel(unit, slot, panel);
  Panel last = panel;
  if (staticN) {
    int64_t tail = *staticN % panelWidth;
    last.vectors = llvm::divideCeil(tail, row.n);
    last.lastMasked = tail % row.n != 0;
    if (*staticN < panelWidth)
      return emitPanel(unit, slot, last);
  } else {
    last.allMasked = true;
  }
  Value isWhole = index.lessEqual(index.add(panel.first, index.constant(panelWidth)), n);
  auto branch = scf::IfOp::create(builder, loc, isWhole, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&branch.getThenRegion().front());
  emitPanel(unit, slot, panel);
  builder.setInsertionPointToStart(&branch.getElseRegion().front());
  emitPanel(unit, slot, last);
}

void MatmulNest::emitPanel(const Unit &unit, const Slot &slot, const Panel &panel) {
  forEachTile(unit.rows, [&](const Tile &tile) { emitTile(unit, slot, panel, tile); });
}

/// Whole tiles of MR rows, then at most one tile of each power of two for the rest.
void MatmulNest::forEachTile(Value rows, function_ref<void(const Tile &)> body) {
  Value wholeTiles = index.div(rows, index.constant(tileRows));
  if (!staticM || *staticM >= tileRows)
    forLoop(wholeTiles, [&](Value tile) { body({tileRows, index.mul(tile, tileRows)}); });
  int64_t largest = tileRows > 1 ? llvm::bit_floor(static_cast<uint64_t>(tileRows - 1)) : 0;
  // Blocks are whole tiles, so only the last rows of a known M leave a known rest.
  std::optional<int64_t> rest = staticM ? std::optional<int64_t>(*staticM % blockRows % tileRows) : std::nullopt;
  Value next = index.mul(wholeTiles, tileRows);
  for (int64_t size = largest; size > 0; size /= 2) {
    if (rest && (*rest & size) == 0)
      continue;
    Value fits = index.lessEqual(index.add(next, index.constant(size)), rows);
    auto branch = scf::IfOp::create(builder, loc, TypeRange{builder.getIndexType()}, fits, /*addThenBlock=*/true,
                                    /*addElseBlock=*/true);
    {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(&branch.getThenRegion().front());
      body({size, next});
      scf::YieldOp::create(builder, loc, index.add(next, index.constant(size)));
      builder.setInsertionPointToStart(&branch.getElseRegion().front());
      scf::YieldOp::create(builder, loc, next);
    }
    next = branch.getResult(0);
  }
}

//===----------------------------------------------------------------------===//
// The register tile
//===----------------------------------------------------------------------===//

void MatmulNest::emitTile(const Unit &unit, const Slot &slot, const Panel &panel, const Tile &tile) {
  SmallVector<Value> sums = emitSums(unit, slot, panel, tile);
  if (!row.isFloat)
    emitCorrections(unit, slot, panel, tile, sums);
  emitEpilogue(unit, panel, tile, sums);
}

/// For each row of the tile where its groups of k begin, and how many bytes lie between them.
std::pair<SmallVector<Value>, int64_t> MatmulNest::emitRowPointers(const Unit &unit, const Slot &slot,
                                                                   const Tile &tile) {
  SmallVector<Value> pointers;
  if (readsInPlace) {
    Value row = index.add(index.add(index.mul(unit.linearBatch, m), unit.firstRow), tile.row);
    Value rowBytes = index.mul(groups, 4);
    Value base = offset(pointerOf(op.getLhs().front()), index.mul(row, rowBytes));
    for (int64_t r = 0; r < tile.rows; ++r)
      pointers.push_back(offset(base, index.mul(rowBytes, r)));
    return {pointers, 4};
  }
  Value base = offset(slot.lhs, index.mul(index.mul(tile.row, groups), 4));
  for (int64_t r = 0; r < tile.rows; ++r)
    pointers.push_back(offset(base, index.constant(r * 4)));
  return {pointers, tile.rows * 4};
}

/// The K loop. Sums lie row by row.
SmallVector<Value> MatmulNest::emitSums(const Unit &unit, const Slot &slot, const Panel &panel, const Tile &tile) {
  VectorType sum = sumType();
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(sum));
  auto [rowPointers, groupStride] = emitRowPointers(unit, slot, tile);
  SmallVector<Value> zeros(tile.rows * panel.vectors, zero);
  auto loop = scf::ForOp::create(builder, loc, index.constant(0), groups, index.constant(1), zeros);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());

  auto elementType = [&](OperandElement element) -> Type {
    return element == OperandElement::F32 ? Type(builder.getF32Type())
                                          : builder.getIntegerType(8 * elementBytes(element));
  };
  auto stored = VectorType::get({row.n * row.k}, elementType(row.storedRhs));
  auto operand = VectorType::get({row.n * row.k}, elementType(row.storedLhs));
  int64_t vectorBytes = row.n * row.k * elementBytes(row.storedRhs);
  Value group = loop.getInductionVar();
  Value columns = offset(panel.data, index.mul(group, panel.vectors * vectorBytes));
  SmallVector<Value> rhs;
  for (int64_t vector = 0; vector < panel.vectors; ++vector) {
    Value value = load(stored, offset(columns, index.constant(vector * vectorBytes)));
    if (elementBytes(row.storedRhs) < elementBytes(row.storedLhs))
      value = row.storedRhs == OperandElement::U8 ? arith::ExtUIOp::create(builder, loc, operand, value).getResult()
                                                  : arith::ExtSIOp::create(builder, loc, operand, value).getResult();
    rhs.push_back(value);
  }
  int64_t ahead = tile.rows <= kStreamingRows ? kMemoryAheadBytes : kL2AheadBytes;
  for (int64_t line = 0; line < panel.vectors * vectorBytes; line += 64)
    LLVM::Prefetch::create(builder, loc, offset(columns, index.constant(ahead + line)), /*rw=*/0, /*hint=*/3,
                           /*cache=*/1);
  Value groupAt = index.mul(group, groupStride);
  auto words = VectorType::get({row.n}, builder.getI32Type());
  SmallVector<Value> sums(loop.getRegionIterArgs());
  for (int64_t r = 0; r < tile.rows; ++r) {
    Value word = load(builder.getI32Type(), offset(rowPointers[r], groupAt));
    Value broadcast = vector::BroadcastOp::create(builder, loc, words, word);
    Value left = words == operand ? broadcast : vector::BitCastOp::create(builder, loc, operand, broadcast).getResult();
    for (int64_t vector = 0; vector < panel.vectors; ++vector) {
      Value &acc = sums[r * panel.vectors + vector];
      acc = row.emit(builder, loc, acc, left, rhs[vector]);
    }
  }
  scf::YieldOp::create(builder, loc, sums);
  return SmallVector<Value>(loop.getResults());
}

/// With a', b', za', zb' in stored units: sum (a'-za')(b'-zb') = sum a'b' - za' sum b' - zb' (sum a' - K za').
void MatmulNest::emitCorrections(const Unit &unit, const Slot &slot, const Panel &panel, const Tile &tile,
                                 MutableArrayRef<Value> sums) {
  auto splat = [&](Value scalar) -> Value { return vector::BroadcastOp::create(builder, loc, sumType(), scalar); };
  auto subtractProduct = [&](Value from, Value a, Value b) -> Value {
    return arith::SubIOp::create(builder, loc, from, arith::MulIOp::create(builder, loc, a, b));
  };
  SmallVector<Value> columnSums, rhsZeros;
  Value sumsAt = offset(panel.data, index.mul(groups, panel.vectors * row.n * row.k * elementBytes(row.storedRhs)));
  for (int64_t vector = 0; vector < panel.vectors; ++vector) {
    columnSums.push_back(load(sumType(), offset(sumsAt, index.constant(vector * row.n * 4))));
    rhsZeros.push_back(emitRhsZeros(unit, panel, vector));
  }
  for (int64_t r = 0; r < tile.rows; ++r) {
    Value blockRow = index.add(tile.row, index.constant(r));
    Value lhsZero = emitLhsZero(unit, index.add(unit.firstRow, blockRow));
    MutableArrayRef<Value> rowSums = sums.slice(r * panel.vectors, panel.vectors);
    if (lhsZero)
      for (auto [sum, columnSum] : llvm::zip(rowSums, columnSums))
        sum = subtractProduct(sum, splat(lhsZero), columnSum);
    if (!rhsZeros.front())
      continue;
    Value rowTerm = load(builder.getI32Type(), offset(slot.rowSums, index.mul(blockRow, 4)));
    if (lhsZero)
      rowTerm = subtractProduct(rowTerm, arith::IndexCastOp::create(builder, loc, builder.getI32Type(), k), lhsZero);
    for (auto [sum, rhsZero] : llvm::zip(rowSums, rhsZeros))
      sum = subtractProduct(sum, splat(rowTerm), rhsZero);
  }
}
