//===- Asynchronous.cpp - the pipeline of wgmma -----------------------------===//
//
// A warpgroup's products read shared memory while its threads go on: started for one tile of K, they are waited for
// after those of the next one have been started. A buffer is therefore free one barrier later than where threads read
// it themselves, and copies run one tile less ahead.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/TileNest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace qlow;

/// Bytes of a core matrix: 8 lines of 16 bytes, which lie together.
static constexpr int64_t kCoreBytes = 128;

/// Where an operand begins and how its core matrices lie, without swizzle (PTX ISA 8.0, 9.7.15.5.1): address, distance
/// along K, distance along lines, each in units of 16 bytes. `address` is i32, in shared memory.
Value TileNest::emitDescriptor(Value address, const Tile &tile) {
  Value begin = i64.cast(i32.div(arith::AndIOp::create(builder, loc, address, i32.constant(0x3FFFF)), 16));
  int64_t distances = (tile.chunkPitch / 16) << 16 | (kCoreBytes / 16) << 32;
  return arith::OrIOp::create(builder, loc, begin, i64.constant(distances));
}

/// An instruction that takes the sums and gives them back: nothing else keeps what writes them before it and what reads
/// them behind it. nvvm's own fence and wait have no operands.
SmallVector<Value> TileNest::emitOrdered(StringRef instruction, ArrayRef<Value> sums) {
  SmallVector<Value> results;
  for (Value sum : sums) {
    auto type = cast<LLVM::LLVMStructType>(sum.getType());
    int64_t count = type.getBody().size();
    std::string constraints;
    SmallVector<Value> words;
    for (int64_t i = 0; i < count; ++i) {
      constraints += type.getBody()[i].isF32() ? "=f," : "=r,";
      words.push_back(LLVM::ExtractValueOp::create(builder, loc, sum, i));
    }
    for (int64_t i = 0; i < count; ++i)
      constraints += std::to_string(i) + (i + 1 < count ? "," : "");
    results.push_back(LLVM::InlineAsmOp::create(builder, loc, TypeRange(type), words, instruction, constraints,
                                                /*has_side_effects=*/true, /*is_align_stack=*/false,
                                                LLVM::tailcallkind::TailCallKind::None, nullptr, nullptr)
                          .getRes());
  }
  return results;
}

/// Product number `product` of a warpgroup over steps of K, a sum of its own, in the registers of `last` where there is
/// one.
Value TileNest::emitProduct(ArrayRef<Fragments> fragments, int64_t product, Value last) {
  int64_t columns = fragments.front().rhs.size();
  Value own;
  for (const Fragments &step : fragments) {
    bool isFirst = !own;
    own = row.emit(builder, loc, own, step.lhs[product / columns], step.rhs[product % columns]);
    // What begins a sum reads none, but is made in the registers that it is given.
    if (isFirst && last)
      own.getDefiningOp<NVVM::WgmmaMmaAsyncOp>().getInoutsMutable().assign(last);
  }
  return own;
}

/// One product after the other, so that the sums of one are in registers beside those they are added to: the next one
/// is made in the same registers, behind their last use. Meanwhile other warpgroups' products keep the unit busy.
void TileNest::emitPromoted(function_ref<Fragments(int64_t step)> fragmentsOf,
                            function_ref<Run(int64_t product, int64_t run)> runOf, MutableArrayRef<Value> sums,
                            function_ref<void()> whenRead) {
  SmallVector<Fragments> fragments = llvm::map_to_vector(llvm::seq(steps), fragmentsOf);
  int64_t runs = steps / stepsOfRun();
  Value own, *joined = nullptr;
  for (auto [product, sum] : llvm::enumerate(sums))
    for (int64_t run = 0; run < runs; ++run) {
      if (joined)
        *joined = emitOrdered("wgmma.fence.sync.aligned;", *joined).front();
      else
        NVVM::WgmmaFenceAlignedOp::create(builder, loc);
      joined = &sum;
      own =
          emitProduct(ArrayRef(fragments).slice(run * stepsOfRun(), stepsOfRun()), static_cast<int64_t>(product), own);
      NVVM::WgmmaGroupSyncAlignedOp::create(builder, loc);
      Run scales = runOf(static_cast<int64_t>(product), run);
      own = emitOrdered("wgmma.wait_group.sync.aligned 0;", own).front();
      if (product + 1 == sums.size() && run + 1 == runs)
        whenRead();
      sum = emitJoined(sum, own, scales, static_cast<int64_t>(product));
    }
}

SmallVector<Value> TileNest::emitAsynchronousPipeline(const OutputTile &block) {
  SmallVector<Value> sums = emitZeroSums();
  if (staticK == 0)
    return sums;
  Value kTiles = i32.max(i32.ceilDiv(k32, tileK), i32.constant(1));
  for (int64_t stage = 0; stage + 2 < stages; ++stage) {
    Value number = i32.constant(stage);
    ifThen(i32.less(number, kTiles), [&] { emitIssue(block, number, number); });
    emitCommit();
  }
  SmallVector<Value> carried{i32.constant(0), i32.constant(stages - 2)};
  llvm::append_range(carried, sums);
  auto loop = scf::ForOp::create(builder, loc, i32.constant(0), kTiles, i32.constant(1), carried);
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    Value read = loop.getRegionIterArg(0), write = loop.getRegionIterArg(1);
    sums = SmallVector<Value>(loop.getRegionIterArgs().drop_front(2));
    emitArrival(stages - 3);
    // Behind the barrier every warpgroup has waited for its products of the tile before the last one: that buffer is
    // free.
    Value ahead = i32.add(loop.getInductionVar(), stages - 2);
    ifThen(i32.less(ahead, kTiles), [&] { emitIssue(block, write, ahead); });
    emitCommit();
    if (row.promotion) {
      SmallVector<Run> runs = emitRuns(block, loop.getInductionVar());
      auto runOf = [&](int64_t, int64_t run) { return runs[run]; };
      emitPromoted([&](int64_t step) { return emitFragments(read, step); }, runOf, sums, [] {});
    } else {
      sums = emitOrdered("wgmma.fence.sync.aligned;", sums);
      for (int64_t step = 0; step < steps; ++step)
        emitMultiplies(emitFragments(read, step), sums);
      NVVM::WgmmaGroupSyncAlignedOp::create(builder, loc);
      NVVM::WgmmaWaitGroupSyncOp::create(builder, loc, builder.getI64IntegerAttr(1));
    }
    SmallVector<Value> yielded{stageAfter(read), stageAfter(write)};
    llvm::append_range(yielded, sums);
    scf::YieldOp::create(builder, loc, yielded);
  }
  sums = SmallVector<Value>(loop.getResults().drop_front(2));
  return row.promotion ? sums : emitOrdered("wgmma.wait_group.sync.aligned 0;", sums);
}
