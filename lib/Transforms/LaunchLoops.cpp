//===- LaunchLoops.cpp - loops of a device's functions become launches ----===//
//
// In: functions whose buffers are on a device, linalg ops as parallel loops. Out: nothing outside of launches touches
// an element. Which iterations run at one time was said by the parallel loops; the order of all others stays.
//
//===----------------------------------------------------------------------===//

#include "KernelParameters.h"
#include "RowGroups.h"
#include "qlow/Targets/Targets.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "mlir/Transforms/RegionUtils.h"

namespace qlow {
#define GEN_PASS_DEF_LAUNCHLOOPS
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

static Value constantIndex(OpBuilder &builder, Location loc, int64_t value) {
  return arith::ConstantIndexOp::create(builder, loc, value);
}

static gpu::LaunchOp startLaunch(OpBuilder &builder, Location loc, Value blocks, int64_t threads) {
  Value one = constantIndex(builder, loc, 1);
  auto launch = gpu::LaunchOp::create(builder, loc, blocks, one, one, constantIndex(builder, loc, threads), one, one);
  builder.setInsertionPointToStart(&launch.getBody().front());
  gpu::TerminatorOp::create(builder, loc);
  builder.setInsertionPointToStart(&launch.getBody().front());
  return launch;
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

/// A parallel loop inside a kernel belongs to one thread.
static void makeSequential(scf::ParallelOp loop) {
  OpBuilder builder(loop);
  for (auto [variable, lower, upper, step] :
       llvm::zip(loop.getInductionVars(), loop.getLowerBound(), loop.getUpperBound(), loop.getStep())) {
    auto sequential = scf::ForOp::create(builder, loop.getLoc(), lower, upper, step);
    variable.replaceAllUsesWith(sequential.getInductionVar());
    builder.setInsertionPointToStart(sequential.getBody());
  }
  Block *body = loop.getBody(), *target = builder.getInsertionBlock();
  body->getTerminator()->erase();
  target->getOperations().splice(target->begin(), body->getOperations());
  loop.erase();
}

/// What a thread stores at once, threads that are worth having where there is work for as many, and operations that are
/// enough for one.
static constexpr int64_t kStoredBytes = 8, kLeastThreads = 1 << 15, kMostOperations = 512;

/// Neighbours along the last dimension that a thread works on, so that it stores narrow elements together: 4096 x 4096
/// codes of 4 bits take 69 us less to become bytes, on an H100.
static int64_t neighboursOfThread(scf::ParallelOp loop) {
  int64_t total = 1, row = 0;
  for (auto [lower, upper, step] : llvm::zip(loop.getLowerBound(), loop.getUpperBound(), loop.getStep())) {
    APInt size;
    bool isPlain = matchPattern(lower, m_Zero()) && matchPattern(step, m_One());
    bool isKnown = isPlain && matchPattern(upper, m_ConstantInt(&size));
    row = isKnown ? std::max<int64_t>(size.getSExtValue(), 0) : 0;
    total = isKnown && row < kLeastThreads * kStoredBytes ? total * row : kLeastThreads * kStoredBytes;
    total = std::min(total, kLeastThreads * kStoredBytes);
  }
  int64_t widest = 1, operations = 0;
  for (Operation &op : loop.getBody()->without_terminator()) {
    ++operations;
    if (op.getNumRegions())
      return 1;
    auto store = dyn_cast<memref::StoreOp>(op);
    if (!store)
      continue;
    Type element = store.getMemRefType().getElementType();
    bool isOwn = !store.getIndices().empty() && store.getIndices().back() == loop.getInductionVars().back();
    if (!isOwn || !element.isIntOrFloat())
      return 1;
    widest = std::max<int64_t>(widest, llvm::divideCeil(element.getIntOrFloatBitWidth(), 8));
  }
  int64_t together = row && widest <= 2 ? kStoredBytes / widest : 1;
  while (together > 1 &&
         (row % together || total < together * kLeastThreads || operations * together > kMostOperations))
    together /= 2;
  return together;
}

/// Replaces the loop by a launch with a thread for each iteration, or some neighbours, the last dimension's side by
/// side.
static void launchParallel(scf::ParallelOp loop, const LaunchFacts &facts) {
  int64_t threads = facts.block, together = neighboursOfThread(loop);
  SmallVector<scf::ParallelOp> inner;
  loop.getBody()->walk([&](scf::ParallelOp nested) { inner.push_back(nested); });
  llvm::for_each(inner, makeSequential);
  Location loc = loop.getLoc();
  OpBuilder builder(loop);
  Value one = constantIndex(builder, loc, 1), total = one;
  SmallVector<Value> counts, steps(loop.getStep());
  if (together > 1)
    steps.back() = constantIndex(builder, loc, together);
  for (auto [lower, upper, step] : llvm::zip(loop.getLowerBound(), loop.getUpperBound(), steps)) {
    Value extent = builder.createOrFold<arith::SubIOp>(loc, upper, lower);
    // An empty range may end before it begins.
    extent = builder.createOrFold<arith::MaxSIOp>(loc, extent, constantIndex(builder, loc, 0));
    counts.push_back(builder.createOrFold<arith::CeilDivUIOp>(loc, extent, step));
    total = builder.createOrFold<arith::MulIOp>(loc, total, counts.back());
  }
  Value blocks = builder.createOrFold<arith::CeilDivUIOp>(loc, total, constantIndex(builder, loc, threads));
  gpu::LaunchOp launch = startLaunch(builder, loc, blocks, threads);
  Value number = arith::MulIOp::create(builder, loc, launch.getBlockIds().x, constantIndex(builder, loc, threads));
  number = arith::AddIOp::create(builder, loc, number, launch.getThreadIds().x);
  Value isThere = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ult, number, total);
  auto branch = scf::IfOp::create(builder, loc, isThere, /*withElseRegion=*/false);
  builder.setInsertionPointToStart(branch.thenBlock());
  SmallVector<Value> places(counts.size());
  for (int64_t dim = static_cast<int64_t>(counts.size()) - 1; dim >= 0; --dim) {
    Value at = dim ? arith::RemUIOp::create(builder, loc, number, counts[dim]).getResult() : number;
    if (dim)
      number = arith::DivUIOp::create(builder, loc, number, counts[dim]);
    at = builder.createOrFold<arith::MulIOp>(loc, at, steps[dim]);
    at = builder.createOrFold<arith::AddIOp>(loc, at, loop.getLowerBound()[dim]);
    places[dim] = at;
  }
  // LLVM joins a thread's accesses where it knows the alignment, and reads what is missing between or behind them, too:
  // only buffers where nothing is missing may be known to be aligned.
  IRMapping aligned;
  llvm::SmallPtrSet<Value, 4> elsewhere;
  if (together > 1) {
    forEachAccess(loop, [&](Value buffer, ValueRange indices, bool) {
      if (indices.empty() || indices.back() != loop.getInductionVars().back())
        elsewhere.insert(rootOf(buffer));
    });
    forEachAccess(loop, [&](Value buffer, ValueRange, bool) {
      if (!elsewhere.contains(rootOf(buffer)))
        assumeAlignment(builder, loop, buffer, facts.loadBytes, aligned);
    });
  }
  SmallVector<IRMapping> mappings(together, aligned);
  for (auto [i, mapping] : llvm::enumerate(mappings)) {
    mapping.map(loop.getInductionVars(), places);
    Value last = builder.createOrFold<arith::AddIOp>(loc, places.back(), constantIndex(builder, loc, i));
    mapping.map(loop.getInductionVars().back(), last);
  }
  cloneTogether(builder, llvm::map_to_vector(loop.getBody()->without_terminator(), [](Operation &op) { return &op; }),
                mappings);
  loop.erase();
}

static bool writesMemory(Operation *op) {
  return op
      ->walk([](Operation *inner) {
        return isa<memref::StoreOp>(inner) ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

/// One thread runs the ops, which follow each other. Those that write move into its launch; the others, which values
/// behind it may need as well, are there a second time.
static void launchAlone(ArrayRef<Operation *> ops) {
  OpBuilder builder(ops.front());
  Location loc = ops.front()->getLoc();
  gpu::LaunchOp launch = startLaunch(builder, loc, constantIndex(builder, loc, 1), 1);
  builder.setInsertionPoint(launch.getBody().front().getTerminator());
  IRMapping mapping;
  for (Operation *op : ops) {
    builder.clone(*op, mapping);
    if (writesMemory(op))
      op->erase();
  }
}

//===----------------------------------------------------------------------===//
// Values loaded outside of loops
//===----------------------------------------------------------------------===//

/// The host decides what runs, and would have to wait for the device to know the element. What a region ends with is
/// reported as the op around it.
static LogicalResult refuseElement(Operation *op) {
  if (op->hasTrait<OpTrait::IsTerminator>())
    op = op->getParentOp();
  return op->emitOpError(
      "needs an element of a tensor, which lies on the device, on the host: expected loops, branches "
      "and sizes around kernels to depend on sizes and scalar arguments only; compute both ways and "
      "choose by arith.select, make the value an argument of the function, or compile for a "
      "processor");
}

namespace {
/// Turns one function's loops into launches.
class Launcher {
public:
  Launcher(func::FuncOp function, const LaunchFacts &facts) : function(function), facts(facts) {}
  LogicalResult run();
  unsigned numLaunches = 0;

private:
  LogicalResult launchBlock(Block &block);
  void collectLoaded();
  LogicalResult sinkInto(gpu::LaunchOp launch);
  LogicalResult checkUnchanged(memref::LoadOp load, gpu::LaunchOp launch);

  func::FuncOp function;
  LaunchFacts facts;
  /// Loads outside of launches and what is computed from them.
  llvm::SetVector<Operation *> loaded;
};
} // namespace

static bool hasLaunch(Operation *op) {
  return op
      ->walk([](Operation *inner) {
        return isa<gpu::LaunchOp, scf::ParallelOp, memref::CopyOp, MatmulKernelOp>(inner) ? WalkResult::interrupt()
                                                                                          : WalkResult::advance();
      })
      .wasInterrupted();
}

/// The scalar ops from `first`, which writes, to the last that does before a launch, whose tensors take at most so many
/// bytes of parameters: they share what they load.
static SmallVector<Operation *> collectScalarRun(Operation *first, int64_t mostBytes) {
  SmallVector<Operation *> run{first}, open;
  KernelParameters parameters(first);
  for (Operation *op = first->getNextNode(); op; op = op->getNextNode()) {
    bool writes = writesMemory(op), isScalar = isa<memref::LoadOp>(op) || isMemoryEffectFree(op);
    if (hasLaunch(op) || (!writes && !isScalar) || op->hasTrait<OpTrait::IsTerminator>())
      break;
    parameters.add(op);
    if (parameters.getBytes() > mostBytes)
      break;
    open.push_back(op);
    if (!writes)
      continue;
    run.append(open);
    open.clear();
  }
  return run;
}

LogicalResult Launcher::launchBlock(Block &block) {
  for (Operation *next = &block.front(), *current; (current = next);) {
    next = current->getNextNode();
    Operation &op = *current;
    if (auto copy = dyn_cast<memref::CopyOp>(op)) {
      launchParallel(copyAsLoop(copy), facts);
      ++numLaunches;
    } else if (auto loop = dyn_cast<scf::ParallelOp>(op); loop && loop.getInitVals().empty()) {
      launchParallel(loop, facts);
      ++numLaunches;
    } else if (isa<gpu::LaunchOp, MatmulKernelOp>(op)) {
      continue;
    } else if (op.getNumRegions() && hasLaunch(&op)) {
      for (Region &region : op.getRegions())
        for (Block &inner : region)
          if (failed(launchBlock(inner)))
            return failure();
    } else if (writesMemory(&op)) {
      SmallVector<Operation *> run = collectScalarRun(&op, facts.parameterBytes);
      for (Operation *part : run)
        if (writesMemory(part) && !part->use_empty())
          return part->emitOpError("computes on the host what it also writes to a buffer of the device; "
                                   "expected tensors to be results of loops over tensors alone");
      next = run.back()->getNextNode();
      launchAlone(run);
      ++numLaunches;
    }
  }
  return success();
}

/// Every op outside of launches that reads a buffer, or computes from what such an op read.
void Launcher::collectLoaded() {
  function.walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (isa<gpu::LaunchOp, MatmulKernelOp>(op))
      return WalkResult::skip();
    bool depends = llvm::any_of(op->getOperands(), [&](Value operand) {
      return operand.getDefiningOp() && loaded.contains(operand.getDefiningOp());
    });
    if (isa<memref::LoadOp>(op) || depends)
      loaded.insert(op);
    return WalkResult::advance();
  });
}

/// A value loaded again later must still be the same: nothing may write its buffer in between.
LogicalResult Launcher::checkUnchanged(memref::LoadOp load, gpu::LaunchOp launch) {
  Value root = rootOf(load.getMemRef());
  SmallVector<Value> aliases{root};
  for (size_t i = 0; i < aliases.size(); ++i)
    for (Operation *user : aliases[i].getUsers()) {
      if (isa<ViewLikeOpInterface>(user))
        llvm::append_range(aliases, user->getResults());
      Operation *ancestor = load->getBlock()->findAncestorOpInBlock(*user);
      Operation *last = load->getBlock()->findAncestorOpInBlock(*launch);
      bool isBetween = ancestor && last && load->isBeforeInBlock(ancestor) && ancestor->isBeforeInBlock(last);
      bool mayWrite = isa<memref::StoreOp, memref::CopyOp, gpu::LaunchOp, MatmulKernelOp>(user) ||
                      user->getParentOfType<gpu::LaunchOp>();
      if (isBetween && mayWrite && !isa<memref::LoadOp>(user))
        return load.emitOpError("reads an element on the host that a kernel may change before another one uses it");
    }
  return success();
}

/// Clones what the launch uses of `loaded` into it.
LogicalResult Launcher::sinkInto(gpu::LaunchOp launch) {
  llvm::SetVector<Value> used;
  getUsedValuesDefinedAbove(launch.getBody(), used);
  llvm::SetVector<Operation *> needed;
  SmallVector<Operation *> open;
  for (Value value : used)
    if (Operation *op = value.getDefiningOp(); op && loaded.contains(op))
      open.push_back(op);
  while (!open.empty()) {
    Operation *op = open.pop_back_val();
    if (!needed.insert(op))
      continue;
    if (op->getNumRegions())
      return refuseElement(op);
    if (auto load = dyn_cast<memref::LoadOp>(op); load && failed(checkUnchanged(load, launch)))
      return failure();
    for (Value operand : op->getOperands())
      if (Operation *producer = operand.getDefiningOp(); producer && loaded.contains(producer))
        open.push_back(producer);
  }
  if (needed.empty())
    return success();
  OpBuilder builder = OpBuilder::atBlockBegin(&launch.getBody().front());
  IRMapping mapping;
  for (Operation *op : loaded) // in the order they stand
    if (needed.contains(op))
      builder.clone(*op, mapping);
  for (Operation *op : needed)
    for (auto [from, to] : llvm::zip(op->getResults(), mapping.lookup(op->getResult(0)).getDefiningOp()->getResults()))
      replaceAllUsesInRegionWith(from, to, launch.getBody());
  return success();
}

LogicalResult Launcher::run() {
  if (failed(launchBlock(function.front())))
    return failure();
  collectLoaded();
  WalkResult sunk = function.walk(
      [&](gpu::LaunchOp launch) { return failed(sinkInto(launch)) ? WalkResult::interrupt() : WalkResult::advance(); });
  if (sunk.wasInterrupted())
    return failure();
  // What is left decides something on the host.
  for (Operation *op : llvm::reverse(loaded)) {
    if (isa<func::ReturnOp>(op))
      continue; // of what another one gives
    bool isDead = op->use_empty() && !op->getNumRegions() && !op->hasTrait<OpTrait::IsTerminator>();
    if (!isDead || !(isa<memref::LoadOp>(op) || isMemoryEffectFree(op)))
      return refuseElement(op);
    op->erase();
  }
  return success();
}

namespace {
struct LaunchLoops : qlow::impl::LaunchLoopsBase<LaunchLoops> {
  using LaunchLoopsBase::LaunchLoopsBase;
  void runOnOperation() override {
    FailureOr<std::shared_ptr<const Target>> found = findTarget(getOperation(), target);
    if (failed(found))
      return signalPassFailure();
    if (!(*found)->family().runsOnDevice())
      return;
    for (auto function : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      if (function.isPrivate() || function.isExternal())
        continue;
      Launcher launcher(function, (*found)->family().launchFacts((*found)->machine()));
      if (failed(launcher.run()))
        return signalPassFailure();
      numLaunches += launcher.numLaunches;
    }
  }
};
} // namespace
