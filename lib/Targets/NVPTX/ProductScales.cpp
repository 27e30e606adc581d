//===- ProductScales.cpp - scales that instructions multiply by -------------===//
//
// Rows that take scales read words of four, those of four groups of k side by side. Behind its two tiles a stage's
// buffer has the words of their rows and columns: asynchronous copies bring them where they lie so in memory, else
// threads put them together from whatever blocks the scales are of.
//
// Lanes g, t (32 of them, as 8 x 4) have the words of 32 rows or columns, number 8 t + g: those of two products of 16
// rows, or four of 8 columns. The instruction is told in which lanes a product's are.
//
// Scales with a sign: the instruction knows none, so codes that negative ones go with change theirs. A factor of the
// whole tensor is left to the epilogue.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"
#include "qlow/Dialect/Elements.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qlow;

static constexpr int64_t kWordBytes = 4, kScalesOfWord = 4;
/// Rows or columns whose words the lanes of a warp have.
static constexpr int64_t kLanes = 32;

/// Words of each row and column in a tile of K.
int64_t TileNest::scaleWords(RecipeAttr recipe, const MultiplyRow &row) {
  return row.takesScales() ? recipe.getTile("cta")[2] / (row.scaledTogether * kScalesOfWord) : 0;
}

int64_t TileNest::productScaleBytes(RecipeAttr recipe, const MultiplyRow &row) {
  ArrayRef<int64_t> block = recipe.getTile("cta");
  return (block[0] + block[1]) * scaleWords(recipe, row) * kWordBytes;
}

/// Whether words of a side's scales lie side by side in memory, in rows of whole ones.
bool TileNest::copiesScales(Side side) {
  QType type = getQuantizedElement(side == Side::Lhs ? op.getLhsType() : op.getRhsType());
  bool kIsLast = side == Side::Lhs ? !op.getTransposeLhs() : op.getTransposeRhs();
  if (!kIsLast || !staticK || type.getBlock().empty())
    return false;
  ArrayRef<int64_t> block = type.getBlock();
  return block.back() == row.scaledTogether &&
         llvm::all_of(block.drop_back(), [](int64_t size) { return size == 1; }) &&
         llvm::divideCeil(*staticK, row.scaledTogether) % kScalesOfWord == 0;
}

/// Byte of a word in a stage's buffer, i32.
Value TileNest::scaleWordAt(Side side, Value word, Value line) {
  int64_t lines = side == Side::Lhs ? tileM : tileN;
  int64_t base = productScalesBase + (side == Side::Lhs ? 0 : tileM * scaleWords(recipe, row) * kWordBytes);
  return i32.add(i32.mul(i32.add(i32.mul(word, lines), line), kWordBytes), base);
}

//===----------------------------------------------------------------------===//
// To shared memory
//===----------------------------------------------------------------------===//

/// Four scales of a line from the first one's k on; zeros past the matrix.
Value TileNest::emitScaleWord(const OutputTile &block, Side side, Value line, Value firstK) {
  QType type = getQuantizedElement(side == Side::Lhs ? op.getLhsType() : op.getRhsType());
  ElementReader reader(type, side == Side::Lhs ? op.getLhs() : op.getRhs());
  Value isLine = i32.less(line, side == Side::Lhs ? m32 : n32), word;
  for (int64_t i = 0; i < kScalesOfWord; ++i) {
    Value at = i32.add(firstK, i * row.scaledTogether);
    Value code = emitGuarded(i32.both(isLine, i32.less(at, k32)), builder.getI32Type(), [&] {
      return reader.emitScaleCode(builder, loc, indicesOf(side, block.batch, index.cast(line), index.cast(at)));
    });
    word = word ? arith::OrIOp::create(builder, loc, word, i32.mul(code, int64_t(1) << 8 * i)).getResult() : code;
  }
  return word;
}

/// One word by an asynchronous copy; zeros past the matrix.
void TileNest::emitScaleCopy(const OutputTile &block, Side side, Value line, Value word, Value target) {
  Value lines = side == Side::Lhs ? m32 : n32, last = i32.sub(lines, i32.constant(1));
  int64_t words = llvm::divideCeil(*staticK, row.scaledTogether) / kScalesOfWord;
  Value isThere = i32.both(i32.less(line, lines), i32.less(word, i32.constant(words)));
  Value at = i64.add(i64.mul(i64.cast(block.linearBatch), i64.cast(lines)), i64.cast(i32.min(line, last)));
  at = i64.add(i64.mul(at, words), i64.cast(i32.min(word, i32.constant(words - 1))));
  ValueRange parts = side == Side::Lhs ? op.getLhs() : op.getRhs();
  NVVM::CpAsyncOp::create(builder, loc, target, offset(pointerOf(parts[1]), i64.mul(at, kWordBytes)),
                          static_cast<uint32_t>(kWordBytes), NVVM::LoadCacheModifierKind::CA,
                          i32.select(isThere, i32.constant(kWordBytes), i32.constant(0)));
}

/// Brings the scales of both tiles number `kTile` into the buffer of `stage`.
void TileNest::emitProductScales(const OutputTile &block, Value stage, Value kTile) {
  int64_t words = scaleWords(recipe, row), wordK = row.scaledTogether * kScalesOfWord;
  for (Side side : {Side::Lhs, Side::Rhs}) {
    int64_t lines = side == Side::Lhs ? tileM : tileN;
    auto loop = scf::ForOp::create(builder, loc, thread, i32.constant(lines * words), i32.constant(threads));
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    Value inTile = i32.rem(loop.getInductionVar(), lines), word = i32.div(loop.getInductionVar(), lines);
    Value line = i32.add(side == Side::Lhs ? block.row0 : block.column0, inTile);
    Value target = shared(stage, scaleWordAt(side, word, inTile)), number = i32.add(i32.mul(kTile, words), word);
    if (copiesScales(side))
      emitScaleCopy(block, side, line, number, target);
    else
      LLVM::StoreOp::create(builder, loc, emitScaleWord(block, side, line, i32.mul(number, wordK)), target);
  }
}

//===----------------------------------------------------------------------===//
// To registers
//===----------------------------------------------------------------------===//

/// The word of a line of the warp's tile, counted there, in a step of K.
Value TileNest::emitScaleLoad(Side side, Value stage, int64_t step, Value line) {
  int64_t gridN = tileN / innerN, word = step * row.k / (row.scaledTogether * kScalesOfWord);
  Value first = side == Side::Lhs ? i32.mul(i32.div(warp, gridN), innerM) : i32.mul(i32.rem(warp, gridN), innerN);
  Value at = scaleWordAt(side, i32.constant(word), i32.add(first, line));
  return LLVM::LoadOp::create(builder, loc, builder.getI32Type(), shared(stage, at));
}

/// Turns the sign of the codes in a word of a fragment whose scale is negative: it has eight of them, of one of the two
/// groups of `half` the product's k.
static Value emitSigned(OpBuilder &builder, Location loc, IndexBuilder &i32, Value codes, Value scales, Value quarter,
                        int64_t half) {
  constexpr int64_t kSigns = 0x88888888;
  // The lowest lanes' byte comes to the top.
  Value up = i32.sub(i32.constant(24 - 16 * half), i32.mul(i32.div(quarter, 2), 8));
  Value top = arith::ShLIOp::create(builder, loc, scales, up);
  Value mask = arith::ShRSIOp::create(builder, loc, top, i32.constant(31));
  return arith::XOrIOp::create(builder, loc, codes, arith::AndIOp::create(builder, loc, mask, i32.constant(kSigns)));
}

/// Gives fragments the signs of their scales; `lines` of a product, whose words alternate between them.
void TileNest::emitSigns(Side side, MutableArrayRef<Value> products, Value stage, int64_t step) {
  int64_t lines = side == Side::Lhs ? 16 : 8, rows = lines / 8;
  Value quarter = i32.rem(lane, 4), inEight = i32.div(lane, 4);
  for (auto [number, product] : llvm::enumerate(products)) {
    SmallVector<Value> scales, words;
    for (int64_t i = 0; i < rows; ++i)
      scales.push_back(
          emitScaleLoad(side, stage, step, i32.add(inEight, static_cast<int64_t>(number) * lines + 8 * i)));
    auto type = cast<VectorType>(product.getType());
    for (int64_t i = 0; i < type.getNumElements(); ++i) {
      Value codes = vector::ExtractOp::create(builder, loc, product, i);
      words.push_back(emitSigned(builder, loc, i32, codes, scales[i % rows], quarter, i / rows));
    }
    product = vector::FromElementsOp::create(builder, loc, type, words);
  }
}

/// The scales of a step's products, beside their fragments.
void TileNest::emitFragmentScales(Fragments &fragments, Value stage, int64_t step) {
  bool hasSign = row.scales != OperandElement::E8M0;
  fragments.firstScale = step * row.k / row.scaledTogether % kScalesOfWord;
  Value inLanes = i32.add(i32.mul(i32.rem(lane, 4), 8), i32.div(lane, 4));
  for (Side side : {Side::Lhs, Side::Rhs}) {
    int64_t inner = side == Side::Lhs ? innerM : innerN;
    for (int64_t first = 0; first < inner; first += kLanes) {
      Value line = i32.add(inLanes, first);
      if (first + kLanes > inner)
        line = i32.min(line, i32.constant(inner - 1));
      Value word = emitScaleLoad(side, stage, step, line);
      if (hasSign)
        word = arith::AndIOp::create(builder, loc, word, i32.constant(0x7F7F7F7F));
      (side == Side::Lhs ? fragments.lhsScales : fragments.rhsScales).push_back(word);
    }
    if (hasSign)
      emitSigns(side, side == Side::Lhs ? fragments.lhs : fragments.rhs, stage, step);
  }
}

/// The product of two fragments, numbers `i` and `j`, added to a sum.
Value TileNest::emitScaledProduct(const Fragments &fragments, int64_t i, int64_t j, Value sum) {
  int64_t rowsTogether = kLanes / row.m, columnsTogether = kLanes / row.n;
  ScaleWord lhs{fragments.lhsScales[i / rowsTogether], fragments.firstScale, i % rowsTogether};
  ScaleWord rhs{fragments.rhsScales[j / columnsTogether], fragments.firstScale, j % columnsTogether};
  return row.emitScaled(builder, loc, sum, fragments.lhs[i], fragments.rhs[j], lhs, rhs);
}

/// The factor of the whole tensor that the words leave out; null: none.
Value TileNest::emitTensorFactor(Side side) {
  QType type = getQuantizedElement(side == Side::Lhs ? op.getLhsType() : op.getRhsType());
  auto inner = dyn_cast<QType>(type.getScale());
  if (!inner)
    return {};
  ValueRange parts = side == Side::Lhs ? op.getLhs() : op.getRhs();
  return ElementReader(inner, parts.slice(1, QType::getNumParts(inner))).emitScale(builder, loc, ValueRange());
}
