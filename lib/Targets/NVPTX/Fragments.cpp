//===- Fragments.cpp - which thread holds what ------------------------------===//
//
// Loads from shared memory what a thread multiplies in one step of K, and says which sums it holds.
//
// A row of a warp (mma.sync m16n8k32): ldmatrix gives thread t of a matrix of eight 16-byte lines the word t % 4 of
// line t / 4, which is the fragment the instruction takes; sums (e = 0..3) of a 16 x 8 product are at row t / 4 + 8 (e
// / 2) and column 2 (t % 4) + e % 2 (PTX ISA 8.0, figures of mma.m16n8k32).
//
// A row of a warpgroup (wgmma m64): the unit reads shared memory itself; warp w of the four holds rows 16 w to 16 w +
// 15, each 16 x 8 of them as above (figure of wgmma's D). Sums in tensor memory come to registers in the same way, of
// 32 rows a warp (TensorMemory.cpp).
//
// A row of a lane: threads form a grid of tileM / innerM x tileN / innerN; each holds innerM rows side by side and
// innerN columns that are one grid row apart, so that neighbours read neighbouring columns.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qlow;

/// Lines of a chunk that one ldmatrix.x4 covers: two matrices of 8.
static constexpr int64_t kMatrixLines = 16;

void TileNest::prepareFragments() {
  int64_t gridN = tileN / innerN;
  if (row.scope == MultiplyRow::Scope::Warpgroup) {
    Value group = i32.div(warp, 4);
    lhsFragmentAt = i32.mul(i32.div(group, gridN), innerM * kCopyBytes);
    rhsFragmentAt = i32.add(i32.mul(i32.rem(group, gridN), innerN * kCopyBytes), rhsTile.base);
    return;
  }
  if (row.scope == MultiplyRow::Scope::Lane) {
    int64_t bytes = elementBytes(row.storedLhs);
    lhsFragmentAt = i32.mul(i32.div(thread, gridN), innerM * bytes);
    rhsFragmentAt = i32.add(i32.mul(i32.rem(thread, gridN), bytes), rhsTile.base);
    return;
  }
  // Left: matrices are rows 0-7 and 8-15 of one chunk, then of the next. Right: two chunks of columns 0-7, then of
  // 8-15.
  Value warpRow = i32.mul(i32.div(warp, gridN), innerM), warpColumn = i32.mul(i32.rem(warp, gridN), innerN);
  Value lhsLine = i32.add(warpRow, i32.rem(lane, 16)), lhsChunk = i32.div(lane, 16);
  lhsFragmentAt = i32.mul(lhsLine, lhsTile.linePitch);
  if (swizzlesLhs(recipe, row))
    lhsSwizzle = i32.mul(arith::XOrIOp::create(builder, loc, lhsChunk, swizzleOf(lhsLine)), kCopyBytes);
  else
    lhsFragmentAt = i32.add(lhsFragmentAt, i32.mul(lhsChunk, lhsTile.chunkPitch));
  Value rhsLine = i32.add(warpColumn, i32.add(i32.rem(lane, 8), i32.mul(i32.div(lane, 16), 8)));
  Value rhsChunk = i32.rem(i32.div(lane, 8), 2);
  rhsFragmentAt = i32.add(i32.mul(rhsChunk, rhsTile.chunkPitch), i32.mul(rhsLine, kCopyBytes));
  rhsFragmentAt = i32.add(rhsFragmentAt, rhsTile.base);
}

/// Four words from four 8 x 16-byte matrices.
static SmallVector<Value> emitLdmatrix(OpBuilder &builder, Location loc, Value address) {
  Type i32 = builder.getI32Type();
  auto type = LLVM::LLVMStructType::getLiteral(builder.getContext(), {i32, i32, i32, i32});
  auto shape = NVVM::LdStMatrixShapeAttr::get(builder.getContext(), 8, 8);
  Value words = NVVM::LdMatrixOp::create(builder, loc, type, address, 4, NVVM::MMALayout::row, shape,
                                         NVVM::LdStMatrixEltType::B16);
  SmallVector<Value> result;
  for (int64_t i = 0; i < 4; ++i)
    result.push_back(LLVM::ExtractValueOp::create(builder, loc, words, i));
  return result;
}

TileNest::Fragments TileNest::emitFragments(Value stage, int64_t step) {
  Fragments fragments;
  Value lhs = shared(stage, lhsFragmentAt), rhs = shared(stage, rhsFragmentAt);
  int64_t chunk = step * row.k / row.storedGroup();
  if (row.scope == MultiplyRow::Scope::Warpgroup) {
    auto addressOf = [&](Value pointer, const Tile &tile, int64_t line) {
      Value address = LLVM::PtrToIntOp::create(builder, loc, builder.getI32Type(), pointer);
      return emitDescriptor(i32.add(address, chunk * tile.chunkPitch + line * kCopyBytes), tile);
    };
    for (int64_t line = 0; line < innerM; line += row.m)
      fragments.lhs.push_back(addressOf(lhs, lhsTile, line));
    for (int64_t line = 0; line < innerN; line += row.n)
      fragments.rhs.push_back(addressOf(rhs, rhsTile, line));
    return fragments;
  }
  auto at = [&](Value base, int64_t bytes) { return offset(base, i32.constant(bytes)); };
  if (row.scope == MultiplyRow::Scope::Lane) {
    Type type = row.isFloat ? Type(builder.getF32Type()) : builder.getI32Type();
    int64_t bytes = elementBytes(row.storedLhs), gridN = tileN / innerN;
    for (int64_t i = 0; i < innerM; ++i)
      fragments.lhs.push_back(
          LLVM::LoadOp::create(builder, loc, type, at(lhs, chunk * lhsTile.chunkPitch + i * bytes)));
    for (int64_t j = 0; j < innerN; ++j)
      fragments.rhs.push_back(
          LLVM::LoadOp::create(builder, loc, type, at(rhs, chunk * rhsTile.chunkPitch + j * gridN * bytes)));
    return fragments;
  }
  auto vector = [&](ArrayRef<Value> words) -> Value {
    auto type = VectorType::get({static_cast<int64_t>(words.size())}, builder.getI32Type());
    return vector::FromElementsOp::create(builder, loc, type, words);
  };
  // A step takes two chunks, of which each lane's address names one: the number of the first is even, so that xor adds.
  if (lhsSwizzle)
    lhs = offset(lhs, arith::XOrIOp::create(builder, loc, lhsSwizzle, i32.constant(chunk * kCopyBytes)));
  int64_t inLine = lhsSwizzle ? 0 : chunk * lhsTile.chunkPitch;
  for (int64_t line = 0; line < innerM; line += kMatrixLines)
    fragments.lhs.push_back(vector(emitLdmatrix(builder, loc, at(lhs, inLine + line * lhsTile.linePitch))));
  for (int64_t line = 0; line < innerN; line += kMatrixLines) {
    SmallVector<Value> words = emitLdmatrix(builder, loc, at(rhs, chunk * rhsTile.chunkPitch + line * kCopyBytes));
    fragments.rhs.push_back(vector({words[0], words[1]}));
    fragments.rhs.push_back(vector({words[2], words[3]}));
  }
  if (row.takesScales())
    emitFragmentScales(fragments, stage, step);
  return fragments;
}

SmallVector<Value> TileNest::emitZeroSums() {
  Type type = row.isFloat ? Type(builder.getF32Type()) : builder.getI32Type();
  Value zero;
  if (row.scope == MultiplyRow::Scope::Warpgroup) {
    SmallVector<Type> words(row.m * row.n / 128, type);
    zero = LLVM::ZeroOp::create(builder, loc, LLVM::LLVMStructType::getLiteral(builder.getContext(), words));
  } else {
    if (row.scope == MultiplyRow::Scope::Warp)
      type = VectorType::get({4}, type);
    zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
  }
  return SmallVector<Value>(innerM / row.m * (innerN / row.n), zero);
}

/// Every second row of products runs backwards: its first operand is the last one's.
void TileNest::emitMultiplies(const Fragments &fragments, MutableArrayRef<Value> sums, const Run &run) {
  int64_t columns = fragments.rhs.size();
  for (auto [i, lhs] : llvm::enumerate(fragments.lhs))
    for (int64_t step = 0; step < columns; ++step) {
      int64_t j = i % 2 ? columns - 1 - step : step;
      int64_t number = static_cast<int64_t>(i) * columns + j;
      Value &sum = sums[number], rhs = fragments.rhs[j];
      sum = row.takesScales() ? emitScaledProduct(fragments, static_cast<int64_t>(i), j, sum)
            : run.isScaled()  ? emitJoined(sum, row.emit(builder, loc, Value(), lhs, rhs), run, number)
                              : row.emit(builder, loc, sum, lhs, rhs);
    }
}

SmallVector<Value> TileNest::rowsHeld(const OutputTile &block) {
  SmallVector<Value> rows;
  int64_t gridN = tileN / innerN;
  if (row.scope == MultiplyRow::Scope::Lane) {
    Value first = i32.add(block.row0, i32.mul(i32.div(thread, gridN), innerM));
    for (int64_t i = 0; i < innerM; ++i)
      rows.push_back(i32.add(first, i));
    return rows;
  }
  bool isGroup = row.scope == MultiplyRow::Scope::Warpgroup;
  Value inner = isGroup ? i32.div(warp, 4) : warp;
  Value first = i32.add(block.row0, i32.mul(i32.div(inner, gridN), innerM));
  if (isGroup)
    first = i32.add(first, i32.mul(i32.rem(warp, 4), warpRows(row)));
  first = i32.add(first, i32.div(lane, 4));
  for (int64_t product = 0; product < innerM; product += row.m)
    for (int64_t i = 0; i < (isGroup ? warpRows(row) : row.m); i += 8)
      rows.push_back(i32.add(first, product + i));
  return rows;
}

SmallVector<Value> TileNest::columnsHeld(const OutputTile &block) {
  SmallVector<Value> columns;
  int64_t gridN = tileN / innerN;
  if (row.scope == MultiplyRow::Scope::Lane) {
    Value first = i32.add(block.column0, i32.rem(thread, gridN));
    for (int64_t j = 0; j < innerN; ++j)
      columns.push_back(i32.add(first, j * gridN));
    return columns;
  }
  Value inner = row.scope == MultiplyRow::Scope::Warpgroup ? i32.div(warp, 4) : warp;
  Value first = i32.add(block.column0, i32.mul(i32.rem(inner, gridN), innerN));
  first = i32.add(first, i32.mul(i32.rem(lane, 4), 2));
  for (int64_t j = 0; j < innerN; j += 8)
    for (int64_t e = 0; e < 2; ++e)
      columns.push_back(i32.add(first, j + e));
  return columns;
}

Value TileNest::sumAt(ArrayRef<Value> sums, int64_t heldRow, int64_t heldColumn) {
  if (row.scope == MultiplyRow::Scope::Lane)
    return sums[heldRow * innerN + heldColumn];
  if (row.scope == MultiplyRow::Scope::Warpgroup) {
    int64_t perProduct = row.n / 4, column = heldColumn % perProduct;
    Value product = sums[heldRow / 2 * (innerN / row.n) + heldColumn / perProduct];
    return LLVM::ExtractValueOp::create(builder, loc, product, column / 2 * 4 + heldRow % 2 * 2 + column % 2);
  }
  Value four = sums[heldRow / 2 * (innerN / row.n) + heldColumn / 2];
  return vector::ExtractOp::create(builder, loc, four, heldRow % 2 * 2 + heldColumn % 2);
}
