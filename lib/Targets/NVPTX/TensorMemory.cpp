//===- TensorMemory.cpp - a warpgroup whose sums lie in tensor memory -------===//
//
// The multiplying side of Specialized.cpp for tcgen05 (PTX ISA 8.6, 9.7.16), one warpgroup a block:
//
//   its first thread:  for each tile, each k:  wait until full[stage];  start products;  commit them to empty[stage]
//                      commit to done
//   all its threads:   for each tile:  wait until done;  load sums, a group of columns at a time;  epilogue
//
// A commit arrives at its mbarrier when the products before it are done: a buffer is free then, and at last the sums
// are there. Loads give a warp 16 rows as mma.sync's sums, in the 32 lanes of tensor memory that it can see.
//
// Loads and products run beside the threads: a load is waited for by an instruction that takes its registers and gives
// them back, and fences stand between what one thread has waited for and what another starts.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qlow;

/// The barrier that sums are done, then the address of their memory.
static constexpr int64_t kBarrierBytes = 8, kSlotBytes = 16;
/// What marks a descriptor of shared memory beside what wgmma's has (9.7.16.4.1).
static constexpr int64_t kDescriptorVersion = int64_t(1) << 46;
/// Lanes of tensor memory that a warp sees, and those of a load; bits of an address below its lane.
static constexpr int64_t kLanesOfWarp = 32, kLanesOfLoad = 16, kLaneBits = 16;

int64_t TileNest::tensorMemoryBytes(const MultiplyRow &row) { return row.sumsInMemory ? kSlotBytes : 0; }

static void fence(OpBuilder &builder, Location loc, NVVM::Tcgen05FenceKind kind) {
  NVVM::Tcgen05FenceOp::create(builder, loc, kind);
}

/// The first thread initializes the barrier, the first warp asks for the memory.
void TileNest::emitTensorSetup() {
  NVVM::SyncWarpOp::create(builder, loc, i32.constant(0xFFFFFFFF));
  ifThen(i32.equal(warp, i32.constant(0)), [&] {
    NVVM::Tcgen05AllocOp::create(builder, loc, offset(tensorSlotAt, i32.constant(kBarrierBytes)), i32.constant(innerN));
    NVVM::Tcgen05RelinquishAllocPermitOp::create(builder, loc);
  });
  fence(builder, loc, NVVM::Tcgen05FenceKind::BEFORE_THREAD_SYNC);
}

/// Behind the barrier of the block.
void TileNest::emitTensorAddress() {
  fence(builder, loc, NVVM::Tcgen05FenceKind::AFTER_THREAD_SYNC);
  Value at = offset(tensorSlotAt, i32.constant(kBarrierBytes));
  tensorAddress = LLVM::LoadOp::create(builder, loc, builder.getI32Type(), at);
}

void TileNest::emitTensorRelease() {
  ifThen(i32.equal(warp, i32.constant(0)),
         [&] { NVVM::Tcgen05DeallocOp::create(builder, loc, tensorPointer(tensorAddress), i32.constant(innerN)); });
}

Value TileNest::tensorPointer(Value address) {
  auto type = LLVM::LLVMPointerType::get(builder.getContext(), static_cast<unsigned>(NVVM::NVVMMemorySpace::Tensor));
  return LLVM::IntToPtrOp::create(builder, loc, type, address);
}

/// Products of all k of a tile, started by one thread.
void TileNest::emitTensorProducts(const OutputTile &block, RingPlace &place) {
  Panel panel = isPacked ? emitPanel(block) : Panel();
  Value pitch = isSliced() || !isPacked ? i32.constant(tileN) : panel.width;
  Value isIssuer = i32.equal(thread, i32.constant(0)), sums = tensorPointer(tensorAddress);
  auto commit = [&](Value barrier) { NVVM::Tcgen05CommitOp::create(builder, loc, barrier, Value()); };
  auto loop = scf::ForOp::create(builder, loc, i32.constant(0), i32.constant(kTiles()), i32.constant(1),
                                 ValueRange{place.stage, place.phase});
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    RingPlace at{loop.getRegionIterArg(0), loop.getRegionIterArg(1), place.turn};
    ifThen(isIssuer, [&] {
      emitWait(fullBarrier(at.stage), at.phase);
      fence(builder, loc, NVVM::Tcgen05FenceKind::AFTER_THREAD_SYNC);
      for (int64_t step = 0; step < steps; ++step) {
        Value adds = step ? arith::ConstantIntOp::create(builder, loc, 1, 1).getResult()
                          : i32.notEqual(loop.getInductionVar(), i32.constant(0));
        Fragments fragments = emitDescriptors(at.stage, pitch, step);
        auto descriptor = [&](Value ofWarpgroup) {
          return arith::OrIOp::create(builder, loc, ofWarpgroup, i64.constant(kDescriptorVersion));
        };
        row.emitStart(builder, loc, sums, adds, descriptor(fragments.lhs.front()), descriptor(fragments.rhs.front()));
      }
      commit(emptyBarrier(at.stage));
    });
    RingPlace next = placeAfter(at);
    scf::YieldOp::create(builder, loc, ValueRange{next.stage, next.phase});
  }
  ifThen(isIssuer, [&] { commit(tensorSlotAt); });
  place.stage = loop.getResult(0), place.phase = loop.getResult(1);
}

/// One output tile; `place.turn` is the parity of its turn at the sums.
TileNest::RingPlace TileNest::emitTensorTile(const OutputTile &block, ArrayRef<HeldLine> rows, RingPlace place) {
  emitTensorProducts(block, place);
  emitWait(tensorSlotAt, place.turn);
  NVVM::SyncWarpOp::create(builder, loc, i32.constant(0xFFFFFFFF));
  fence(builder, loc, NVVM::Tcgen05FenceKind::AFTER_THREAD_SYNC);
  emitEpilogue(block, rows, {});
  // The next tile's products write what all warps have read.
  fence(builder, loc, NVVM::Tcgen05FenceKind::BEFORE_THREAD_SYNC);
  NVVM::BarrierOp::create(builder, loc, Type(), i32.constant(1), i32.constant(consumers), NVVM::BarrierReductionAttr(),
                          Value());
  place.turn = i32.sub(i32.constant(1), place.turn);
  return place;
}

/// The sums of `count` of the columns held, of all rows held, row by row.
SmallVector<Value> TileNest::emitTensorSums(int64_t firstColumn, int64_t count) {
  int64_t loads = row.m / 4 / kLanesOfLoad, words = 2 * count;
  auto loaded = VectorType::get({words}, builder.getI32Type());
  auto type = LLVM::LLVMStructType::getLiteral(builder.getContext(), SmallVector<Type>(words, builder.getI32Type()));
  Value first = i32.add(tensorAddress, i32.mul(i32.rem(warp, 4), kLanesOfWarp << kLaneBits));
  SmallVector<Value> parts;
  for (int64_t load = 0; load < loads; ++load) {
    // Held columns are pairs, eight columns apart.
    Value at = i32.add(first, (load * kLanesOfLoad << kLaneBits) + firstColumn / 2 * 8);
    Value sums = NVVM::Tcgen05LdOp::create(builder, loc, loaded, /*pack=*/false, NVVM::Tcgen05LdStShape::SHAPE_16X256B,
                                           tensorPointer(at), Value());
    Value part = LLVM::UndefOp::create(builder, loc, type);
    for (int64_t i = 0; i < words; ++i)
      part = LLVM::InsertValueOp::create(builder, loc, part, vector::ExtractOp::create(builder, loc, sums, i), i);
    parts.push_back(part);
  }
  parts = emitOrdered("tcgen05.wait::ld.sync.aligned;", parts);
  SmallVector<Value> result;
  for (int64_t heldRow = 0; heldRow < 2 * loads; ++heldRow)
    for (int64_t column = 0; column < count; ++column) {
      int64_t word = column / 2 * 4 + heldRow % 2 * 2 + column % 2;
      Value sum = LLVM::ExtractValueOp::create(builder, loc, parts[heldRow / 2], word);
      result.push_back(row.isFloat ? LLVM::BitcastOp::create(builder, loc, builder.getF32Type(), sum).getResult()
                                   : sum);
    }
  return result;
}
