//===- Copies.cpp - hops from global to shared memory -----------------------===//
//
// Brings operand tiles into a stage's buffer in chunks (TileNest.h): by asynchronous copies where memory holds what the
// instruction takes, else element by element through the format's decoder. What lies outside a matrix becomes zero;
// nothing outside is read.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"
#include "qlow/Dialect/Elements.h"
#include "qlow/Targets/Layout.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace qlow;

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

SmallVector<Value> TileNest::indicesOf(Side side, ValueRange batch, Value line, Value kIndex) {
  bool kIsFirst = side == Side::Lhs ? op.getTransposeLhs() : !op.getTransposeRhs();
  SmallVector<Value> indices(batch);
  indices.append({kIsFirst ? kIndex : line, kIsFirst ? line : kIndex});
  return indices;
}

/// The integer image of a code, the code itself, the bits of a float of 16, or the dequantized f32; i32 or f32.
Value TileNest::emitStoredElement(Side side, ValueRange batch, Value line, Value kIndex) {
  Type type = side == Side::Lhs ? op.getLhsType() : op.getRhsType();
  ValueRange parts = side == Side::Lhs ? op.getLhs() : op.getRhs();
  SmallVector<Value> indices = indicesOf(side, batch, line, kIndex);
  QType quantized = getQuantizedElement(type);
  if (!quantized) {
    Value value = memref::LoadOp::create(builder, loc, parts.front(), indices);
    if (elementSize == 2)
      return i32.cast(arith::BitcastOp::create(builder, loc, builder.getI16Type(), value));
    return value.getType().isF32() ? value : arith::ExtFOp::create(builder, loc, builder.getF32Type(), value);
  }
  ElementReader reader(quantized, parts);
  if (row.takesSmallFloats())
    return reader.emitCode(builder, loc, indices);
  if (row.isFloat)
    return reader.emitValue(builder, loc, indices);
  return emitInteger(builder, loc, *quantized.getFormat(), reader.emitCode(builder, loc, indices));
}

/// The zero point of a line in steps of the image, i32; null where there is none.
Value TileNest::emitZero(Side side, ValueRange batch, Value line) {
  QType type = getQuantizedElement(side == Side::Lhs ? op.getLhsType() : op.getRhsType());
  SmallVector<Value> indices = indicesOf(side, batch, line, index.constant(0));
  Value zero = ElementReader(type, side == Side::Lhs ? op.getLhs() : op.getRhs()).emitZeroPoint(builder, loc, indices);
  auto scale = zero ? static_cast<int32_t>(1.0f / type.getFormat()->integerImage()->step) : 1;
  return scale == 1 ? zero : i32.mul(zero, scale);
}

/// What the instruction multiplies. A lane's integers are wide enough to take the zero point off at once.
Value TileNest::emitElement(Side side, ValueRange batch, Value line, Value kIndex) {
  Value element = emitStoredElement(side, batch, line, kIndex);
  // The bit of a sign is the one that tells 1 from -1.
  if (row.takesSigns())
    return arith::ShRUIOp::create(builder, loc, i32.add(element, 1), i32.constant(1));
  if (row.isFloat || row.scope != MultiplyRow::Scope::Lane)
    return element;
  Value zero = emitZero(side, batch, line);
  return zero ? i32.sub(element, zero) : element;
}

void TileNest::emitDecode(const OutputTile &block, Side side, Value stage, Value kTile) {
  const Tile &tile = side == Side::Lhs ? lhsTile : rhsTile;
  int64_t bits = elementBits(side == Side::Lhs ? row.storedLhs : row.storedRhs);
  int64_t group = row.storedGroup();
  Value lines = side == Side::Lhs ? m32 : n32, line0 = side == Side::Lhs ? block.row0 : block.column0;
  bool linesAreInner = side == Side::Lhs ? op.getTransposeLhs() : !op.getTransposeRhs();
  // A thread stores whole words: the elements of one line that lie in it.
  int64_t perWord = 32 / bits, words = tileK / perWord;
  auto loop = scf::ForOp::create(builder, loc, thread, i32.constant(tile.rows * words), i32.constant(threads));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  Value number = loop.getInductionVar();
  int64_t inner = linesAreInner ? tile.rows : words;
  Value outerIndex = i32.div(number, inner), innerIndex = i32.rem(number, inner);
  Value inTile = linesAreInner ? innerIndex : outerIndex;
  Value kInTile = i32.mul(linesAreInner ? outerIndex : innerIndex, perWord);
  Value line = i32.add(line0, inTile), kIndex = i32.add(i32.mul(kTile, tileK), kInTile);
  Value isLine = isInside(line, lines, tile.rows), word;
  Type type = row.storedLhs == OperandElement::F32 ? Type(builder.getF32Type()) : builder.getI32Type();
  auto elementAt = [&](Value at) {
    Value element = emitGuarded(i32.both(isLine, isInside(at, k32, tileK)), type,
                                [&] { return emitElement(side, block.batch, index.cast(line), index.cast(at)); });
    return perWord == 1
               ? element
               : arith::AndIOp::create(builder, loc, element, i32.constant((int64_t(1) << bits) - 1)).getResult();
  };
  constexpr int64_t kMostUnrolled = 4;
  if (perWord > kMostUnrolled) {
    auto elements = scf::ForOp::create(builder, loc, i32.constant(0), i32.constant(perWord), i32.constant(1),
                                       ValueRange{i32.constant(0)});
    OpBuilder::InsertionGuard inner(builder);
    builder.setInsertionPointToStart(elements.getBody());
    Value i = elements.getInductionVar(), shift = i32.mul(i, bits);
    Value element = arith::ShLIOp::create(builder, loc, elementAt(i32.add(kIndex, i)), shift);
    scf::YieldOp::create(builder, loc,
                         arith::OrIOp::create(builder, loc, elements.getRegionIterArg(0), element).getResult());
    word = elements.getResult(0);
  } else {
    for (int64_t i = 0; i < perWord; ++i) {
      Value element = elementAt(i32.add(kIndex, i));
      word = word ? i32.add(word, i32.mul(element, int64_t(1) << (bits * i))) : element;
    }
  }
  Value at = i32.add(i32.mul(i32.div(kInTile, group), tile.chunkPitch), i32.mul(inTile, group * bits / 8));
  Value inGroup = i32.rem(kInTile, group);
  at = i32.add(i32.add(at, bits < 8 ? i32.div(inGroup, 8 / bits) : i32.mul(inGroup, bits / 8)), tile.base);
  LLVM::StoreOp::create(builder, loc, word, shared(stage, at));
}

//===----------------------------------------------------------------------===//
// Asynchronous copies
//===----------------------------------------------------------------------===//

/// Whether a side's elements are what the row multiplies.
static bool hasElements(MatmulKernelOp op, const MultiplyRow &row, bool isLhs) {
  Type side = isLhs ? op.getLhsType() : op.getRhsType();
  OperandElement stored = isLhs ? row.storedLhs : row.storedRhs;
  if (QType quantized = getQuantizedElement(side))
    return codeElement(*quantized.getFormat()) == stored;
  Type element = cast<ShapedType>(side).getElementType();
  // Floats of 16 bits may stand as their bits here.
  return (stored == OperandElement::F16 || stored == OperandElement::BF16) && element.getIntOrFloatBitWidth() == 16;
}

/// Whether a side's last dimension is known and whole copies.
static bool hasWholeLines(MatmulKernelOp op, const MultiplyRow &row, bool isLhs) {
  int64_t size = cast<ShapedType>(isLhs ? op.getLhsType() : op.getRhsType()).getShape().back();
  return !ShapedType::isDynamic(size) && size * elementBits(row.storedLhs) % (8 * TileNest::kCopyBytes) == 0;
}

/// Whole bytes on the right: nothing else has been asked for.
bool TileNest::canCopy(MatmulKernelOp op, const MultiplyRow &row, bool isLhs) {
  bool kIsLast = isLhs ? !op.getTransposeLhs() : op.getTransposeRhs();
  return hasElements(op, row, isLhs) && kIsLast && hasWholeLines(op, row, isLhs) &&
         (isLhs || elementBits(row.storedRhs) >= 8);
}

bool TileNest::canCopyColumns(MatmulKernelOp op, const MultiplyRow &row) {
  return hasElements(op, row, /*isLhs=*/false) && !op.getTransposeRhs() && hasWholeLines(op, row, /*isLhs=*/false);
}

void TileNest::prepareCopies(const OutputTile &block) {
  if (copiesLhs)
    emitLineCopies(block, Side::Lhs);
  if (isPacked)
    emitPanelCopies(block);
  else if (copiesRhs)
    emitLineCopies(block, Side::Rhs);
}

void TileNest::forEachCopy(int64_t total, function_ref<void(Value, Value)> add) {
  for (int64_t first = 0; first < total; first += threads) {
    Value number = i32.add(thread, first);
    add(number, first + threads > total ? i32.less(number, i32.constant(total)) : Value());
  }
}

/// ldmatrix reads a chunk of eight lines at a time, and 128 bytes lie in all banks: the eight must lie at different
/// multiples of 16 in 128. Lines that share 128 bytes do without help, so that only groups of them are told apart.
Value TileNest::swizzleOf(Value line) {
  return i32.rem(i32.div(line, std::max<int64_t>(8 / chunks, 1)), std::min<int64_t>(chunks, 8));
}

/// A line's chunks are copied by threads side by side, as they lie in memory.
void TileNest::emitLineCopies(const OutputTile &block, Side side) {
  bool isLhs = side == Side::Lhs, isSwizzled = isLhs && swizzlesLhs(recipe, row);
  const Tile &tile = isLhs ? lhsTile : rhsTile;
  Value base = pointerOf(isLhs ? op.getLhs().front() : op.getRhs().front()), lines = isLhs ? m32 : n32;
  Value firstLine = i64.mul(i64.cast(block.linearBatch), i64.cast(lines)), last = i32.sub(lines, i32.constant(1));
  int64_t bits = elementBits(row.storedLhs), lineBytes = *staticK * bits / 8;
  forEachCopy(tile.rows * chunks, [&](Value number, Value isTaken) {
    Value chunk = i32.rem(number, chunks), inTile = i32.div(number, chunks);
    Value line = i32.add(isLhs ? block.row0 : block.column0, inTile);
    Value source = i64.mul(i64.add(firstLine, i64.cast(i32.min(line, last))), i64.constant(lineBytes));
    source = i64.add(source, i64.cast(i32.mul(chunk, kCopyBytes)));
    Value place = chunk;
    if (isSwizzled)
      place = arith::XOrIOp::create(builder, loc, chunk, swizzleOf(inTile));
    Value target = i32.add(i32.mul(place, tile.chunkPitch), i32.mul(inTile, tile.linePitch));
    copies.push_back({offset(base, source), i64.constant(tileK * bits / 8), i32.add(target, tile.base), chunk,
                      isInside(line, lines, tile.rows), isTaken});
  });
}

/// Where the block's panel lies, and the sums of its columns; the last one is narrower where N says so.
TileNest::Panel TileNest::emitPanel(const OutputTile &block) {
  Layout layout(*op.getPackedRhs(), *staticN, *staticK);
  int64_t lastPanel = layout.numPanels() - 1;
  int64_t slices = panelWidth / tileN;
  Value number = i32.div(block.columnTile, slices), first = i32.mul(i32.rem(block.columnTile, slices), tileN);
  Value width = i32.constant(panelWidth), columns = i32.constant(tileN);
  if (int64_t last = layout.width(lastPanel); last != panelWidth) {
    width = i32.select(i32.equal(number, i32.constant(lastPanel)), i32.constant(last), width);
    columns = i32.min(columns, i32.sub(width, first));
  }
  Value bytes = i64.mul(i64.cast(block.linearBatch), layout.bytes());
  bytes = i64.add(bytes, i64.mul(i64.cast(number), layout.panelOffset(1)));
  Value panel = offset(pointerOf(op.getRhs().front()), bytes);
  columnSumsAt = offset(panel, i64.cast(i32.add(i32.mul(width, layout.sumsAt(1)), i32.mul(first, 4))));
  number = i32.add(number, i32.mul(i32.cast(block.linearBatch), layout.numPanels()));
  return {panel, width, first, number, columns};
}

/// A panel lies chunk by chunk, as the tile does.
void TileNest::emitPanelCopies(const OutputTile &block) {
  Panel stored = emitPanel(block);
  Value panel = stored.at, width = stored.width;
  Value tileStep = i64.cast(i32.mul(width, chunks * kCopyBytes));
  forEachCopy(tileN * chunks, [&](Value number, Value isTaken) {
    Value chunk = i32.div(number, tileN), inTile = i32.rem(number, tileN);
    Value inside = i32.less(inTile, width);
    Value column = i32.select(inside, inTile, i32.constant(0));
    Value source = i64.mul(i64.cast(i32.add(i32.mul(chunk, width), column)), kCopyBytes);
    Value target = i32.add(i32.mul(chunk, rhsTile.chunkPitch), i32.mul(inTile, kCopyBytes));
    copies.push_back({offset(panel, source), tileStep, i32.add(target, rhsTile.base), chunk, inside, isTaken});
  });
}

void TileNest::emitIssue(const OutputTile &block, Value stage, Value kTile) {
  Value allChunks = i32.ceilDiv(k32, row.storedGroup());
  bool kIsWhole = staticK && *staticK % tileK == 0;
  for (const Copy &copy : copies) {
    Value valid = copy.valid;
    if (!kIsWhole)
      valid = i32.both(valid, i32.less(i32.add(i32.mul(kTile, chunks), copy.chunk), allChunks));
    Value bytes = i32.select(valid, i32.constant(kCopyBytes), i32.constant(0));
    Value source = offset(copy.source, i64.mul(i64.cast(kTile), copy.tileStep));
    // Where nothing is copied the address is still one of the operand's: the first of its line.
    if (!kIsWhole)
      source = LLVM::SelectOp::create(builder, loc, valid, source, copy.source);
    auto issue = [&] {
      NVVM::CpAsyncOp::create(builder, loc, shared(stage, copy.target), source, static_cast<uint32_t>(kCopyBytes),
                              NVVM::LoadCacheModifierKind::CG, bytes);
    };
    if (copy.isTaken)
      ifThen(copy.isTaken, issue);
    else
      issue();
  }
  if (!copiesLhs)
    emitDecode(block, Side::Lhs, stage, kTile);
  if (!copiesRhs)
    emitDecode(block, Side::Rhs, stage, kTile);
  if (row.takesScales())
    emitProductScales(block, stage, kTile);
}
