//===- LaunchRows.cpp - reductions of rows and what follows them ------------===//
//
// In: loops over buffers of a device, bufferized, linalg ops as parallel loops. Out: neighbouring loops that work row
// by row (a norm, a softmax, a dynamic quantization) are one launch, where the threads of a block share each row's
// reductions. What a row's loops hand to each other stays near; a row is read from memory once.
//
// An element that a row has once, such as a sum, is computed by all its threads and stored by one: the others need not
// wait for it.
//
//===----------------------------------------------------------------------===//

#include "RowGroups.h"
#include "qlow/Targets/Targets.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace qlow {
#define GEN_PASS_DEF_LAUNCHROWS
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

/// A subgroup takes a row that is known to be no longer, else a block does; fewer threads take one that leaves them
/// little.
static constexpr int64_t kSubgroupRow = 1024;
static constexpr int64_t kThreadElements = 16, kFewestThreads = 4;
/// Loads that a thread waits for together, where rows are known to have as many.
static constexpr int64_t kGroups = 2;

//===----------------------------------------------------------------------===//
// The launch
//===----------------------------------------------------------------------===//

namespace {
class RowLaunch {
public:
  RowLaunch(const RowGroup &group, const LaunchFacts &facts)
      : group(group), facts(facts), builder(group.loops.back().loop), loc(builder.getInsertionPoint()->getLoc()) {}
  void emit();

private:
  Value constant(int64_t value) { return arith::ConstantIndexOp::create(builder, loc, value); }
  Value add(Value a, Value b) { return builder.createOrFold<arith::AddIOp>(loc, a, b); }
  Value mul(Value a, Value b) { return builder.createOrFold<arith::MulIOp>(loc, a, b); }
  Value div(Value a, Value b) { return builder.createOrFold<arith::DivUIOp>(loc, a, b); }
  Value rem(Value a, Value b) { return builder.createOrFold<arith::RemUIOp>(loc, a, b); }
  /// Numbers of dimensions, the last one's side by side.
  SmallVector<Value> delinearize(Value number, ValueRange sizes);
  int64_t longestRow();
  IRMapping mapRow(const RowLoop &each);

  /// An element of the row's own: a buffer, and what follows the row's numbers. Nothing for other places.
  using Scalar = std::pair<Value, SmallVector<int64_t>>;
  std::optional<Scalar> scalarOf(const RowLoop &each, Value buffer, ValueRange indices);
  /// Its value where all threads have it: a store's that the first thread has made, or will.
  Value knownValue(const RowLoop &each, memref::LoadOp load);
  void setKnown(const RowLoop &each, memref::StoreOp store, Value value);
  void forget(Value buffer);
  /// Whether the loop's code has that value in place of the load.
  bool isReplaced(const RowLoop &each, memref::LoadOp load);
  /// Whether the loop's threads all compute what the first one stores.
  bool isComputedByAll(const RowLoop &each);
  /// Makes the row's threads wait for each other where the loop touches what others wrote, or writes what they read.
  void emitBarrierBefore(const RowLoop &each);

  /// Neighbours that a thread works on together in the loop, where `size` says how many elements there are: one
  /// instruction loads them.
  int64_t countTogether(scf::ParallelOp loop, Value size);
  /// How many groups of neighbours a thread works on at one time, so that it waits for all their loads at once.
  int64_t countGroups(Value size, int64_t together);
  /// Runs body(numbers) for all numbers below `size`, spread over the row's threads, some neighbours at a time. Carries
  /// as many of each value, side by side, and returns them.
  using Body = function_ref<SmallVector<Value>(ArrayRef<Value> numbers, ValueRange carried)>;
  SmallVector<Value> forShare(scf::ParallelOp loop, Value size, ValueRange values, Body body);
  void emitElements(const RowLoop &each);
  void emitScalars(const RowLoop &each);
  void emitReduction(const RowLoop &each);
  /// By the row's first thread, where there is a row.
  void ifFirst(function_ref<void()> body);
  Value combine(const Accumulator &accumulator, Value a, Value b);
  /// `value` of the row's threads, combined: every thread of the row gets it.
  Value reduceThreads(const Accumulator &accumulator, Value value);

  const RowGroup &group;
  const LaunchFacts facts;
  OpBuilder builder;
  Location loc;
  int64_t rowThreads = 0;
  Value thread;     ///< of the row
  Value inBlock;    ///< thread of the block
  Value isThere;    ///< whether there is a row for this thread; else it goes along with the last one, and does nothing
  Value shared;     ///< bytes
  int64_t slot = 0; ///< of shared memory that no reduction has used
  SmallVector<Value> row;
  IRMapping aligned; ///< buffers
  SmallVector<std::pair<Scalar, Value>> known;
  /// Buffers since the last barrier: what threads read or wrote, and what the first of a row did.
  llvm::SmallPtrSet<Value, 8> read, written, writtenByFirst;
};
} // namespace

SmallVector<Value> RowLaunch::delinearize(Value number, ValueRange sizes) {
  SmallVector<Value> result(sizes.size());
  for (size_t dim = sizes.size(); dim-- > 0;) {
    result[dim] = dim ? rem(number, sizes[dim]) : number;
    if (dim)
      number = div(number, sizes[dim]);
  }
  return result;
}

/// Elements of a row in the loop that has most; a size that is not known counts as long.
int64_t RowLaunch::longestRow() {
  int64_t longest = 1;
  auto sizeOf = [](Value value) {
    APInt size;
    return matchPattern(value, m_ConstantInt(&size)) ? size.getSExtValue() : kSubgroupRow + 1;
  };
  for (const RowLoop &each : group.loops) {
    int64_t size = each.reduction ? sizeOf(each.reduction->loop.getUpperBound()) : each.split;
    for (Value bound : each.elementSizes(group.rank))
      size = std::min(size * sizeOf(bound), kSubgroupRow + 1);
    longest = std::max(longest, size);
  }
  return longest;
}

IRMapping RowLaunch::mapRow(const RowLoop &each) {
  IRMapping mapping = aligned;
  mapping.map(each.numbers().take_front(group.rank), row); // of a split row the last is mapped by element
  return mapping;
}

int64_t RowLaunch::countTogether(scf::ParallelOp loop, Value size) {
  ValueRange rows = ValueRange(loop.getBody()->getArguments()).take_front(group.rank);
  int64_t widest = 1;
  forEachAccess(loop, [&](Value buffer, ValueRange indices, bool) {
    bool isOfElement =
        !indices.empty() && isa<BlockArgument>(indices.back()) && !llvm::is_contained(rows, indices.back());
    if (!isOfElement)
      return;
    Type element = cast<MemRefType>(buffer.getType()).getElementType();
    widest = std::max<int64_t>(widest, llvm::divideCeil(element.isIndex() ? 64 : element.getIntOrFloatBitWidth(), 8));
  });
  int64_t together = std::clamp<int64_t>(facts.loadBytes / widest, 1, 8);
  APInt known;
  if (matchPattern(size, m_ConstantInt(&known)))
    while (together > 1 && rowThreads * together > known.getSExtValue())
      together /= 2; // a part for every thread
  return together;
}

int64_t RowLaunch::countGroups(Value size, int64_t together) {
  APInt known;
  return matchPattern(size, m_ConstantInt(&known)) && known.urem(kGroups * rowThreads * together) == 0 ? kGroups : 1;
}

SmallVector<Value> RowLaunch::forShare(scf::ParallelOp loop, Value size, ValueRange values, Body body) {
  int64_t together = countTogether(loop, size), groups = countGroups(size, together);
  if (isThere)
    size = arith::SelectOp::create(builder, loc, isThere, size, constant(0));
  SmallVector<Value> begin;
  for (Value value : values)
    begin.append(groups * together, value);
  auto emitLoop = [&](Value from, Value to, int64_t groups, int64_t width, ValueRange carried) {
    auto loop = scf::ForOp::create(builder, loc, from, to, constant(groups * rowThreads * width), carried);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    SmallVector<Value> numbers;
    for (int64_t group = 0; group < groups; ++group)
      for (int64_t i = 0; i < width; ++i)
        numbers.push_back(add(loop.getInductionVar(), constant(group * rowThreads * width + i)));
    SmallVector<Value> next = body(numbers, loop.getRegionIterArgs());
    if (!carried.empty())
      scf::YieldOp::create(builder, loc, next);
    return SmallVector<Value>(loop.getResults());
  };
  Value end = mul(div(size, constant(together)), constant(together));
  SmallVector<Value> carried = emitLoop(mul(thread, constant(together)), end, groups, together, begin);
  if (together == 1)
    return carried;
  // Of each value's, the first goes on.
  SmallVector<Value> firsts;
  int64_t ofValue = groups * together;
  for (size_t i = 0; i < carried.size(); i += ofValue)
    firsts.push_back(carried[i]);
  for (auto [i, rest] : llvm::enumerate(emitLoop(add(end, thread), size, 1, 1, firsts)))
    carried[i * ofValue] = rest;
  return carried;
}

//===----------------------------------------------------------------------===//
// Elements of a row that its threads know
//===----------------------------------------------------------------------===//

std::optional<RowLaunch::Scalar> RowLaunch::scalarOf(const RowLoop &each, Value buffer, ValueRange indices) {
  if (group.placeOf(each, indices) != RowGroup::Place::Row)
    return std::nullopt;
  Scalar result{buffer, {}};
  for (Value index : indices.drop_front(group.rank)) {
    APInt number;
    if (!matchPattern(index, m_ConstantInt(&number)))
      return std::nullopt;
    result.second.push_back(number.getSExtValue());
  }
  return result;
}

Value RowLaunch::knownValue(const RowLoop &each, memref::LoadOp load) {
  std::optional<Scalar> scalar = scalarOf(each, load.getMemRef(), load.getIndices());
  for (auto &[place, value] : known)
    if (scalar && place == *scalar)
      return value;
  return {};
}

void RowLaunch::setKnown(const RowLoop &each, memref::StoreOp store, Value value) {
  Scalar scalar = *scalarOf(each, store.getMemRef(), store.getIndices());
  llvm::erase_if(known, [&](auto &entry) { return entry.first == scalar; });
  known.push_back({scalar, value});
}

void RowLaunch::forget(Value buffer) {
  llvm::erase_if(known, [&](auto &entry) { return entry.first.first == buffer; });
}

bool RowLaunch::isReplaced(const RowLoop &each, memref::LoadOp load) {
  Block *body = each.reduction ? each.reduction->loop.getBody() : each.loop.getBody();
  return load->getBlock() == body && knownValue(each, load);
}

bool RowLaunch::isComputedByAll(const RowLoop &each) {
  if (each.reduction)
    return llvm::all_of(each.reduction->accumulators, [&](const Accumulator &accumulator) {
      return scalarOf(each, accumulator.store.getMemRef(), accumulator.store.getIndices()).has_value();
    });
  bool isPlain = each.split == 1 && each.elementSizes(group.rank).empty();
  llvm::SmallPtrSet<Value, 4> stored;
  for (Operation &op : each.loop.getBody()->without_terminator()) {
    isPlain &= op.getNumRegions() == 0;
    if (auto store = dyn_cast<memref::StoreOp>(op))
      stored.insert(store.getMemRef());
  }
  // What the first thread overwrites, another one may load too late.
  for (auto load : each.loop.getBody()->getOps<memref::LoadOp>())
    isPlain &= !stored.contains(load.getMemRef()) || isReplaced(each, load);
  return isPlain &&
         forEachAccess(each.loop,
                       [&](Value buffer, ValueRange indices, bool writes) {
                         isPlain &= !writes || scalarOf(each, buffer, indices).has_value();
                       }) &&
         isPlain;
}

void RowLaunch::emitBarrierBefore(const RowLoop &each) {
  llvm::SmallPtrSet<Value, 8> reads, writes;
  each.loop.walk([&](Operation *op) {
    if (auto load = dyn_cast<memref::LoadOp>(op); load && !isReplaced(each, load))
      reads.insert(load.getMemRef());
    else if (auto store = dyn_cast<memref::StoreOp>(op))
      writes.insert(store.getMemRef());
  });
  bool isByFirst = each.reduction || (each.split == 1 && each.elementSizes(group.rank).empty());
  auto meets = [](const llvm::SmallPtrSet<Value, 8> &a, const llvm::SmallPtrSet<Value, 8> &b) {
    return llvm::any_of(a, [&](Value value) { return b.contains(value); });
  };
  if (meets(reads, written) || meets(reads, writtenByFirst) || meets(writes, written) || meets(writes, read) ||
      (!isByFirst && meets(writes, writtenByFirst))) {
    gpu::BarrierOp::create(builder, loc);
    read.clear(), written.clear(), writtenByFirst.clear();
  }
  read.insert_range(reads);
  (isByFirst ? writtenByFirst : written).insert_range(writes);
}

void RowLaunch::ifFirst(function_ref<void()> body) {
  Value isFirst = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, thread, constant(0));
  if (isThere)
    isFirst = arith::AndIOp::create(builder, loc, isFirst, isThere);
  auto branch = scf::IfOp::create(builder, loc, isFirst, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(branch.thenBlock());
  body();
}

//===----------------------------------------------------------------------===//
// Loops over a row's elements
//===----------------------------------------------------------------------===//

/// The ops of the loop's body that are the same for all elements of a row, such as loads of what a reduction found.
static llvm::SetVector<Operation *> collectInvariant(const RowLoop &each, unsigned rank) {
  SmallVector<Value> buffers;
  each.loop.walk([&](memref::StoreOp store) { buffers.push_back(store.getMemRef()); });
  llvm::SetVector<Operation *> invariant;
  auto isInvariant = [&](Value value) {
    auto argument = dyn_cast<BlockArgument>(value);
    if (argument && argument.getOwner() == each.loop.getBody())
      return argument.getArgNumber() + (each.split == 1 ? 0 : 1) < rank;
    return !isDefinedIn(value, each.loop) || invariant.contains(value.getDefiningOp());
  };
  for (Operation &op : each.loop.getBody()->without_terminator()) {
    auto load = dyn_cast<memref::LoadOp>(op);
    bool mayMove = load ? !llvm::is_contained(buffers, load.getMemRef()) : isPure(&op) && !op.getNumRegions();
    bool isSame = mayMove && llvm::all_of(op.getOperands(), isInvariant);
    if (isSame || (op.getNumResults() == 1 && each.isNumberOfSplitRow(op.getResult(0))))
      invariant.insert(&op);
  }
  return invariant;
}

void RowLaunch::emitElements(const RowLoop &each) {
  ValueRange sizes = each.elementSizes(group.rank);
  llvm::SetVector<Operation *> invariant = collectInvariant(each, group.rank);
  IRMapping ofRow = mapRow(each);
  for (Operation *op : invariant) {
    auto load = dyn_cast<memref::LoadOp>(op);
    if (Value value = load ? knownValue(each, load) : Value())
      ofRow.map(load.getResult(), value);
    else if (each.isNumberOfSplitRow(op->getResult(0)))
      ofRow.map(op->getResult(0), row.back());
    else
      builder.clone(*op, ofRow);
  }
  SmallVector<Operation *> ops;
  for (Operation &op : each.loop.getBody()->without_terminator())
    if (!invariant.contains(&op))
      ops.push_back(&op);
  Value size = constant(each.split);
  for (Value count : sizes)
    size = mul(size, count);
  forShare(each.loop, size, {}, [&](ArrayRef<Value> numbers, ValueRange) {
    SmallVector<IRMapping> mappings;
    for (Value number : numbers) {
      IRMapping &mapping = mappings.emplace_back(ofRow);
      if (each.split == 1)
        mapping.map(each.numbers().drop_front(group.rank), delinearize(number, sizes));
      else
        mapping.map(each.numbers().back(), add(mul(row.back(), constant(each.split)), number));
    }
    cloneTogether(builder, ops, mappings);
    return SmallVector<Value>();
  });
  each.loop.walk([&](memref::StoreOp store) { forget(store.getMemRef()); });
}

/// What a row has once: every thread computes it, the first one stores it. What they can not compute from what they
/// know, the first thread does alone.
void RowLaunch::emitScalars(const RowLoop &each) {
  IRMapping mapping = mapRow(each);
  auto cloneAll = [&](bool withStores) {
    for (Operation &op : each.loop.getBody()->without_terminator())
      if (isa<memref::StoreOp>(op) == withStores)
        builder.clone(op, mapping);
  };
  if (!isComputedByAll(each)) {
    ifFirst([&] {
      for (Operation &op : each.loop.getBody()->without_terminator())
        builder.clone(op, mapping);
    });
    each.loop.walk([&](memref::StoreOp store) { forget(store.getMemRef()); });
    return;
  }
  for (Operation &op : each.loop.getBody()->without_terminator()) {
    if (auto store = dyn_cast<memref::StoreOp>(op)) {
      setKnown(each, store, mapping.lookupOrDefault(store.getValueToStore()));
      continue;
    }
    auto load = dyn_cast<memref::LoadOp>(op);
    if (Value value = load ? knownValue(each, load) : Value())
      mapping.map(load.getResult(), value);
    else
      builder.clone(op, mapping);
  }
  ifFirst([&] { cloneAll(/*withStores=*/true); });
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

Value RowLaunch::combine(const Accumulator &accumulator, Value a, Value b) {
  IRMapping mapping;
  mapping.map(accumulator.load.getResult(), a);
  mapping.map(accumulator.term, b);
  Operation *last = nullptr;
  for (Operation *op : accumulator.combine)
    last = builder.clone(*op, mapping);
  return last->getResult(0);
}

Value RowLaunch::reduceThreads(const Accumulator &accumulator, Value value) {
  auto reduceLanes = [&](Value of, int64_t lanes) {
    for (int64_t distance = lanes / 2; distance > 0; distance /= 2) {
      auto other = gpu::ShuffleOp::create(builder, loc, of, distance, facts.subgroup, gpu::ShuffleMode::XOR);
      of = combine(accumulator, of, other.getShuffleResult());
    }
    return of;
  };
  value = reduceLanes(value, std::min(rowThreads, facts.subgroup));
  if (rowThreads <= facts.subgroup)
    return value;
  // Each subgroup's value, by way of shared memory: all threads that read one of them have it.
  int64_t groups = rowThreads / facts.subgroup;
  auto type = MemRefType::get({groups}, value.getType(), MemRefLayoutAttrInterface{},
                              cast<MemRefType>(shared.getType()).getMemorySpace());
  Value values = memref::ViewOp::create(builder, loc, type, shared, constant(slot++ * groups * 4), ValueRange{});
  Value lane = rem(inBlock, constant(facts.subgroup));
  Value isFirst = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, lane, constant(0));
  auto branch = scf::IfOp::create(builder, loc, isFirst, /*withElseRegion=*/false);
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(branch.thenBlock());
    memref::StoreOp::create(builder, loc, value, values, ValueRange{div(inBlock, constant(facts.subgroup))});
  }
  gpu::BarrierOp::create(builder, loc);
  Value mine = memref::LoadOp::create(builder, loc, values, ValueRange{rem(lane, constant(groups))});
  return reduceLanes(mine, groups);
}

void RowLaunch::emitReduction(const RowLoop &each) {
  const Reduction &reduction = *each.reduction;
  ArrayRef<Accumulator> accumulators = reduction.accumulators;
  IRMapping mapping = mapRow(each);
  for (Operation &op : each.loop.getBody()->without_terminator())
    if (&op != reduction.loop)
      builder.clone(op, mapping);
  SmallVector<Operation *> ops;
  for (Operation &op : reduction.loop.getBody()->without_terminator()) {
    auto load = dyn_cast<memref::LoadOp>(op);
    auto isReplaced = [&](const Accumulator &a) {
      return &op == a.load || &op == a.store || (a.isGreatest && llvm::is_contained(a.combine, &op));
    };
    if (Value value = load ? knownValue(each, load) : Value())
      mapping.map(load.getResult(), value);
    else if (llvm::none_of(accumulators, isReplaced))
      ops.push_back(&op);
  }
  SmallVector<Value> neutrals, totals, results;
  for (const Accumulator &accumulator : accumulators)
    neutrals.push_back(arith::ConstantOp::create(builder, loc, accumulator.neutral));
  Value size = mapping.lookupOrDefault(reduction.loop.getUpperBound());
  SmallVector<Value> sums = forShare(each.loop, size, neutrals, [&](ArrayRef<Value> numbers, ValueRange carried) {
    SmallVector<IRMapping> mappings(numbers.size(), mapping);
    for (auto [i, number] : llvm::enumerate(numbers)) {
      mappings[i].map(reduction.loop.getInductionVar(), number);
      for (auto [a, accumulator] : llvm::enumerate(accumulators))
        mappings[i].map(accumulator.load.getResult(), carried[a * numbers.size() + i]);
    }
    cloneTogether(builder, ops, mappings);
    SmallVector<Value> next;
    for (auto [a, accumulator] : llvm::enumerate(accumulators))
      for (auto [i, clone] : llvm::enumerate(mappings)) {
        Value acc = carried[a * numbers.size() + i], term = clone.lookupOrDefault(accumulator.term);
        // What began as a neutral element is a number.
        next.push_back(accumulator.isGreatest ? arith::MaxNumFOp::create(builder, loc, acc, term).getResult()
                                              : clone.lookup(accumulator.store.getValueToStore()));
      }
    return next;
  });
  size_t together = sums.size() / accumulators.size();
  for (auto [a, accumulator] : llvm::enumerate(accumulators)) {
    ArrayRef<Value> mine = ArrayRef(sums).slice(a * together, together);
    Value total = mine.front();
    for (Value sum : mine.drop_front())
      total = combine(accumulator, total, sum);
    totals.push_back(reduceThreads(accumulator, total));
  }
  auto emitResults = [&] {
    for (auto [accumulator, total] : llvm::zip(accumulators, totals)) {
      Value before = knownValue(each, accumulator.load);
      if (!before)
        before = builder.clone(*accumulator.load, mapping)->getResult(0);
      results.push_back(combine(accumulator, before, total));
    }
  };
  auto emitStores = [&] {
    for (auto [accumulator, result] : llvm::zip(accumulators, results)) {
      IRMapping stored = mapping;
      stored.map(accumulator.store.getValueToStore(), result);
      builder.clone(*accumulator.store, stored);
    }
  };
  bool isKnown = isComputedByAll(each) && llvm::all_of(accumulators, [&](const Accumulator &accumulator) {
                   return knownValue(each, accumulator.load) != nullptr;
                 });
  if (isKnown)
    emitResults();
  ifFirst([&] {
    if (!isKnown)
      emitResults();
    emitStores();
  });
  for (auto [accumulator, result] : llvm::zip(accumulators, results))
    if (isKnown)
      setKnown(each, accumulator.store, result);
    else
      forget(accumulator.store.getMemRef());
}

void RowLaunch::emit() {
  int64_t longest = longestRow();
  rowThreads = longest <= kSubgroupRow ? facts.subgroup : facts.block;
  while (rowThreads <= facts.subgroup && rowThreads > kFewestThreads && rowThreads * kThreadElements / 2 >= longest)
    rowThreads /= 2;
  int64_t rowsInBlock = facts.block / rowThreads;
  scf::ParallelOp first = group.loops.front().loop;
  ValueRange sizes = ValueRange(first.getUpperBound()).take_front(group.rank);
  Value rows = constant(1), one = constant(1);
  for (Value size : sizes)
    rows = mul(rows, size);
  Value blocks = builder.createOrFold<arith::CeilDivUIOp>(loc, rows, constant(rowsInBlock));
  int64_t slots = 0;
  for (const RowLoop &each : group.loops)
    slots += each.reduction ? static_cast<int64_t>(each.reduction->accumulators.size()) : 0;
  int64_t sharedBytes = rowsInBlock == 1 ? slots * (facts.block / facts.subgroup) * 4 : 0;
  Value bytes = sharedBytes ? arith::ConstantIntOp::create(builder, loc, sharedBytes, 32).getResult() : Value();
  auto launch = gpu::LaunchOp::create(builder, loc, blocks, one, one, constant(facts.block), one, one, bytes);
  builder.setInsertionPointToStart(&launch.getBody().front());
  gpu::TerminatorOp::create(builder, loc);
  builder.setInsertionPointToStart(&launch.getBody().front());

  for (const RowLoop &each : group.loops)
    forEachAccess(each.loop, [&](Value buffer, ValueRange, bool) {
      assumeAlignment(builder, each.loop, buffer, facts.loadBytes, aligned);
    });
  inBlock = launch.getThreadIds().x;
  thread = rowsInBlock > 1 ? rem(inBlock, constant(rowThreads)) : inBlock;
  Value number = launch.getBlockIds().x;
  if (rowsInBlock > 1)
    number = add(mul(number, constant(rowsInBlock)), div(inBlock, constant(rowThreads)));
  if (rowsInBlock > 1) {
    isThere = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ult, number, rows);
    number = arith::SelectOp::create(builder, loc, isThere, number, constant(0));
  }
  row = delinearize(number, sizes);
  if (sharedBytes) {
    auto space = gpu::AddressSpaceAttr::get(builder.getContext(), gpu::AddressSpace::Workgroup);
    auto type = MemRefType::get({ShapedType::kDynamic}, builder.getI8Type(), MemRefLayoutAttrInterface{}, space);
    shared = gpu::DynamicSharedMemoryOp::create(builder, loc, type);
  }
  for (const RowLoop &each : group.loops) {
    emitBarrierBefore(each);
    if (each.reduction)
      emitReduction(each);
    else if (each.split == 1 && each.elementSizes(group.rank).empty())
      emitScalars(each);
    else
      emitElements(each);
  }
  for (const RowLoop &each : group.loops)
    each.loop.erase();
}

namespace {
struct LaunchRows : qlow::impl::LaunchRowsBase<LaunchRows> {
  using LaunchRowsBase::LaunchRowsBase;
  void runOnOperation() override {
    FailureOr<std::shared_ptr<const Target>> found = findTarget(getOperation(), target);
    if (failed(found))
      return signalPassFailure();
    if (!(*found)->family().runsOnDevice())
      return;
    // Reductions that begin with one buffer's elements copy them: that is done row by row, too.
    SmallVector<memref::CopyOp> copies;
    getOperation().walk([&](memref::CopyOp copy) { copies.push_back(copy); });
    llvm::for_each(copies, copyAsLoop);
    SmallVector<scf::ParallelOp> loops;
    getOperation().walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (auto loop = dyn_cast<scf::ParallelOp>(op))
        loops.push_back(loop);
      return isa<scf::ParallelOp, gpu::LaunchOp>(op) ? WalkResult::skip() : WalkResult::advance();
    });
    LaunchFacts facts = (*found)->family().launchFacts((*found)->machine());
    llvm::SmallPtrSet<Operation *, 8> taken;
    for (scf::ParallelOp loop : loops) {
      if (taken.contains(loop))
        continue;
      RowGroup group = collectRowGroup(loop, facts.parameterBytes);
      for (const RowLoop &each : group.loops)
        taken.insert(each.loop);
      if (group.loops.empty())
        continue;
      RowLaunch(group, facts).emit();
      ++numLaunches;
    }
  }
};
} // namespace
