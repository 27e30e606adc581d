//===- Staging.cpp - results on their way out -------------------------------===//
//
// A warpgroup's results go to shared memory in pieces of a product's rows and a line of 128 bytes, or half of one where
// a tile's rows are no whole lines. One thread then sends each to global memory by tensor map while the next one is
// computed, and what lies past the matrix's edges is cut off by the copy. Two pieces are under way.
//
// Registers hold two neighbouring columns of a row, a quarter warp eight of them. A piece is swizzled (PTX ISA 8.0,
// 5.5.4): 16 bytes number c of row r lie at c ^ (r mod 8), of half lines at c ^ (r / 2 mod 4), so that the eight rows
// that a warp stores at a time lie in different banks where results are at most two bytes; those of four bytes meet in
// pairs.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"
#include "qlow/Targets/Layout.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qlow;

static constexpr int64_t kWarpgroup = 128;
/// Of a line, and how many pieces each warpgroup has.
static constexpr int64_t kLineBytes = 128, kPieces = 2;
static int64_t pieceBytes(const MultiplyRow &row) { return row.m * kLineBytes; }

static int64_t bytesOf(Value memref) {
  return llvm::divideCeil(cast<MemRefType>(memref.getType()).getElementTypeBitWidth(), 8);
}

//===----------------------------------------------------------------------===//
// Tensor maps
//===----------------------------------------------------------------------===//

/// A map of the whole panels of a packed right side as [panel, chunk of k, word of its columns], read in slices of a
/// tile's columns. The sums behind a panel's chunks lie between panels.
Value TileNest::emitPanelMap() {
  Value bytes = op.getRhs().front();
  Layout layout(*op.getPackedRhs(), *staticN, *staticK);
  int64_t words = cast<MemRefType>(bytes.getType()).getNumElements() / 4;
  int64_t wordsOfChunk = panelWidth * kCopyBytes / 4, wordsOfPanel = layout.panelOffset(1) / 4;
  auto flat = MemRefType::get({words}, builder.getI32Type());
  Value view = memref::ViewOp::create(builder, loc, flat, bytes, index.constant(0), ValueRange());
  SmallVector<int64_t> sizes{words / wordsOfPanel, layout.groups(), wordsOfChunk};
  SmallVector<int64_t> strides{wordsOfPanel, wordsOfChunk, 1};
  auto type = MemRefType::get(sizes, builder.getI32Type(), StridedLayoutAttr::get(builder.getContext(), 0, strides));
  Value panels = memref::ReinterpretCastOp::create(builder, loc, type, view, /*offset=*/0, sizes, strides);
  return emitTensorMap(panels, {1, chunks, tileN * kCopyBytes / 4}, nvgpu::TensorMapSwizzleKind::SWIZZLE_NONE);
}

/// Where a box begins, innermost first.
SmallVector<Value> TileNest::mapCoordinates(const OutputTile &block, Value line, Value element) {
  SmallVector<Value> coordinates{element, line};
  if (rank > 2)
    coordinates.push_back(i32.cast(block.linearBatch));
  return coordinates;
}

//===----------------------------------------------------------------------===//
// Pieces
//===----------------------------------------------------------------------===//

/// Tiles of few columns hold few results, which leave from registers as soon.
bool TileNest::stagesResults(RecipeAttr recipe, const MultiplyRow &row) {
  return recipe.getTile(innerLevel(row))[1] >= kLineBytes;
}

/// Maps take rows of whole 16 bytes; pieces are whole.
bool TileNest::canStageResults() {
  return stagesResults(recipe, row) && tileM >= innerM && innerN % columnsStaged() == 0 && staticN &&
         *staticN * bytesOf(op.getOut()) % kCopyBytes == 0;
}

int64_t TileNest::stagingBytes(RecipeAttr recipe, const MultiplyRow &row) {
  if (!stagesResults(recipe, row))
    return 0;
  return (threadsOf(recipe, row) / kWarpgroup - 1) * kPieces * pieceBytes(row);
}

/// Pieces are of whole lines where a tile's rows are.
int64_t TileNest::bytesStaged() { return innerN * bytesOf(op.getOut()) % kLineBytes ? kLineBytes / 2 : kLineBytes; }
int64_t TileNest::columnsStaged() { return bytesStaged() / bytesOf(op.getOut()); }

Value TileNest::emitResultsMap() {
  return emitMatrixMap(op.getOut(), {row.m, columnsStaged()}, {},
                       bytesStaged() == kLineBytes ? nvgpu::TensorMapSwizzleKind::SWIZZLE_128B
                                                   : nvgpu::TensorMapSwizzleKind::SWIZZLE_64B);
}

/// Each thread's part of the addresses.
void TileNest::prepareStaging() {
  if (!outMap)
    return;
  Value eighth = i32.div(lane, 4), bytes = i32.mul(i32.rem(lane, 4), 2 * bytesOf(op.getOut()));
  Value matrixRow = i32.add(i32.mul(i32.rem(warp, 4), warpRows(row)), eighth);
  Value at = i32.add(i32.mul(warpgroup, kPieces * pieceBytes(row)), i32.mul(matrixRow, bytesStaged()));
  stagedRow = offset(stagingAt, i32.add(at, i32.rem(bytes, kCopyBytes)));
  Value pattern = bytesStaged() == kLineBytes ? eighth : i32.div(eighth, 2);
  stagedSwizzle = i32.mul(arith::XOrIOp::create(builder, loc, pattern, i32.div(bytes, kCopyBytes)), kCopyBytes);
  isLeader = i32.equal(i32.rem(thread, kWarpgroup), i32.constant(0));
  groupBarrier = i32.add(warpgroup, 1); // 0 is the block's
}

static void emitGroupBarrier(OpBuilder &builder, Location loc, Value number) {
  Value threads = arith::ConstantIntOp::create(builder, loc, kWarpgroup, 32);
  NVVM::BarrierOp::create(builder, loc, Type(), number, threads, NVVM::BarrierReductionAttr(), Value());
}

/// Waits until what lies where the piece of this column is written next has been read.
void TileNest::beginStaging(int64_t heldColumn) {
  // Where a tile's pieces are odd, the next tile begins where the last one lies.
  bool isBehindItself = heldColumn == 0 && innerN / columnsStaged() % kPieces;
  int64_t pending = isBehindItself ? 0 : kPieces - 1;
  ifThen(isLeader, [&] {
    NVVM::CpAsyncBulkWaitGroupOp::create(builder, loc, builder.getI32IntegerAttr(pending), builder.getUnitAttr());
  });
  emitGroupBarrier(builder, loc, groupBarrier);
}

/// Two neighbouring columns of a row that the thread holds.
void TileNest::stage(int64_t heldRow, int64_t heldColumn, ArrayRef<Value> results) {
  int64_t bytes = bytesOf(op.getOut()), column = heldColumn / 2 * 8;
  int64_t inRow = column % columnsStaged() * bytes, piece = column / columnsStaged() % kPieces;
  Value granule =
      arith::XOrIOp::create(builder, loc, i32.constant(inRow / kCopyBytes * kCopyBytes), stagedSwizzle).getResult();
  int64_t fixed = piece * pieceBytes(row) + heldRow * 8 * bytesStaged() + inRow % kCopyBytes;
  auto type = VectorType::get({static_cast<int64_t>(results.size())}, results.front().getType());
  Value value = vector::FromElementsOp::create(builder, loc, type, results);
  LLVM::StoreOp::create(builder, loc, value, offset(offset(stagedRow, granule), i32.constant(fixed)), 2 * bytes);
}

/// Sends the piece that ends with this column.
void TileNest::endStaging(const OutputTile &block, int64_t heldColumn) {
  int64_t gridN = tileN / innerN, number = heldColumn / 2 * 8 / columnsStaged();
  emitProxyFence();
  emitGroupBarrier(builder, loc, groupBarrier);
  ifThen(isLeader, [&] {
    Value matrixRow = i32.add(block.row0, i32.mul(i32.div(warpgroup, gridN), innerM));
    Value column = i32.add(block.column0, i32.mul(i32.rem(warpgroup, gridN), innerN));
    column = i32.add(column, number * columnsStaged());
    Value from = i32.add(i32.mul(warpgroup, kPieces * pieceBytes(row)), number % kPieces * pieceBytes(row));
    NVVM::CpAsyncBulkTensorSharedCTAToGlobalOp::create(builder, loc, outMap, offset(stagingAt, from),
                                                       mapCoordinates(block, matrixRow, column), Value(),
                                                       NVVM::TMAStoreMode::TILE, Value());
    NVVM::CpAsyncBulkCommitGroupOp::create(builder, loc);
  });
}

/// A block's shared memory must not end before it has been read.
void TileNest::finishStaging() {
  if (outMap)
    ifThen(isLeader, [&] {
      NVVM::CpAsyncBulkWaitGroupOp::create(builder, loc, builder.getI32IntegerAttr(0), builder.getUnitAttr());
    });
}
