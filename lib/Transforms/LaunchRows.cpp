//===- LaunchRows.cpp - reductions of rows and what follows them ------------===//
//
// In: loops over buffers of a device, bufferized, linalg ops as parallel loops. Out: neighbouring loops that work row
// by row (a norm, a softmax, a dynamic quantization) are one launch, where the threads of a block share each row's
// reductions. What a row's loops hand to each other stays near; a row is read from memory once.
//
// A reduction is changed in its order, which the law leaves open, and only where it combines by one associative op.
//
//===----------------------------------------------------------------------===//

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

namespace qlow {
#define GEN_PASS_DEF_LAUNCHROWS
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

static constexpr int64_t kThreads = 256;
static constexpr int64_t kWarp = 32;
/// A warp takes a row that is known to be no longer; else a block does.
static constexpr int64_t kWarpRow = 1024;
/// Neighbours in a row that a thread works on together are loaded by one instruction of so many bytes at most, which
/// all buffers are aligned to.
static constexpr int64_t kVectorBytes = 16;

//===----------------------------------------------------------------------===//
// What a loop does with a row
//===----------------------------------------------------------------------===//

namespace {
/// acc = combine(acc, term(j)), where acc is an element of the row's own.
struct Accumulator {
  memref::LoadOp load;
  memref::StoreOp store;
  SmallVector<Operation *> combine;
  Value term;
  TypedAttr neutral;
};

/// for j: one accumulation or more.
struct Reduction {
  scf::ForOp loop;
  SmallVector<Accumulator> accumulators;
};

/// A parallel loop whose leading dimensions are those of the rows.
struct RowLoop {
  scf::ParallelOp loop;
  std::optional<Reduction> reduction;
  int64_t split = 1; ///< so many of the last leading dimension belong to one row
};

/// Neighbours that become one launch.
struct RowGroup {
  SmallVector<RowLoop> loops;
  unsigned rank = 0; ///< dimensions that number the rows
};
} // namespace

static bool isDefinedIn(Value value, Operation *op) { return op->isAncestor(value.getParentBlock()->getParentOp()); }

/// The neutral element of what one op, or a comparison and a selection, makes of `acc` and `term`.
static TypedAttr neutralOf(ArrayRef<Operation *> combine, Value acc, Value term) {
  auto takesBoth = [&](Operation *op) {
    return op->getNumOperands() == 2 && llvm::is_contained(op->getOperands(), acc) &&
           llvm::is_contained(op->getOperands(), term);
  };
  if (combine.size() == 1)
    return takesBoth(combine[0]) ? arith::getNeutralElement(combine[0]).value_or(TypedAttr()) : TypedAttr();
  if (combine.size() != 2)
    return {};
  // term > acc ? term : acc, which drops what is no number.
  auto compare = dyn_cast<arith::CmpFOp>(combine[0]);
  auto select = dyn_cast<arith::SelectOp>(combine[1]);
  if (!compare || !select || compare.getLhs() != term || compare.getRhs() != acc ||
      select.getCondition() != compare.getResult() || select.getTrueValue() != term || select.getFalseValue() != acc)
    return {};
  bool isMax = compare.getPredicate() == arith::CmpFPredicate::OGT;
  if (!isMax && compare.getPredicate() != arith::CmpFPredicate::OLT)
    return {};
  auto type = cast<FloatType>(term.getType());
  return FloatAttr::get(type, APFloat::getInf(type.getFloatSemantics(), /*Negative=*/isMax));
}

/// Whether the row's elements lie side by side: a load of the loop's body has its last index from the variable.
static bool walksAlongRow(scf::ForOp loop) {
  return loop
      .walk([&](memref::LoadOp load) {
        return !load.getIndices().empty() && load.getIndices().back() == loop.getInductionVar()
                   ? WalkResult::interrupt()
                   : WalkResult::advance();
      })
      .wasInterrupted();
}

/// What the store accumulates; an accumulator without a neutral element if that is nothing known.
static Accumulator matchAccumulator(scf::ForOp loop, memref::StoreOp store) {
  Accumulator result{};
  result.store = store;
  Type type = store.getValueToStore().getType();
  if (!(type.isF32() || type.isInteger(32)) ||
      llvm::any_of(store.getIndices(), [&](Value index) { return isDefinedIn(index, loop); }))
    return result;
  llvm::SmallPtrSet<Operation *, 4> dependent;
  for (Operation &op : loop.getBody()->without_terminator()) {
    if (auto load = dyn_cast<memref::LoadOp>(op); load && load.getMemRef() == store.getMemRef()) {
      if (result.load || !llvm::equal(load.getIndices(), store.getIndices()))
        return result;
      result.load = load;
      dependent.insert(load);
    } else if (&op != store && llvm::any_of(op.getOperands(), [&](Value operand) {
                 return operand.getDefiningOp() && dependent.contains(operand.getDefiningOp());
               })) {
      dependent.insert(&op);
      result.combine.push_back(&op);
    }
  }
  if (!result.load || result.combine.empty() || store.getValueToStore().getDefiningOp() != result.combine.back())
    return result;
  Value acc = result.load.getResult();
  for (Value operand : result.combine.front()->getOperands())
    if (operand != acc)
      result.term = operand;
  if (result.term)
    result.neutral = neutralOf(result.combine, acc, result.term);
  return result;
}

static std::optional<Reduction> matchReduction(scf::ParallelOp parallel) {
  Reduction result{};
  for (Operation &op : parallel.getBody()->without_terminator()) {
    if (auto loop = dyn_cast<scf::ForOp>(op); loop && !result.loop)
      result.loop = loop;
    else if (!isPure(&op))
      return {};
  }
  if (!result.loop || result.loop.getNumResults() || !matchPattern(result.loop.getStep(), m_One()) ||
      !matchPattern(result.loop.getLowerBound(), m_Zero()) || !walksAlongRow(result.loop))
    return {};
  for (Operation &op : result.loop.getBody()->without_terminator()) {
    if (auto store = dyn_cast<memref::StoreOp>(op)) {
      Accumulator accumulator = matchAccumulator(result.loop, store);
      bool isAnother = llvm::none_of(result.accumulators,
                                     [&](Accumulator &other) { return other.store.getMemRef() == store.getMemRef(); });
      if (!accumulator.neutral || !isAnother)
        return {};
      result.accumulators.push_back(std::move(accumulator));
    } else if (!isa<memref::LoadOp>(op) && !isPure(&op)) {
      return {};
    }
  }
  return result.accumulators.empty() ? std::nullopt : std::optional(result);
}

//===----------------------------------------------------------------------===//
// Which loops work row by row
//===----------------------------------------------------------------------===//

static bool isCounted(scf::ParallelOp loop) {
  return loop.getInitVals().empty() &&
         llvm::all_of(loop.getLowerBound(), [](Value v) { return matchPattern(v, m_Zero()); }) &&
         llvm::all_of(loop.getStep(), [](Value v) { return matchPattern(v, m_One()); });
}

static bool isSameSize(Value a, Value b) {
  APInt first, second;
  return a == b ||
         (matchPattern(a, m_ConstantInt(&first)) && matchPattern(b, m_ConstantInt(&second)) && first == second);
}

static ValueRange numbersOf(scf::ParallelOp loop) { return loop.getBody()->getArguments(); }

static Value rootOf(Value buffer) {
  while (auto view = buffer.getDefiningOp<ViewLikeOpInterface>())
    buffer = view.getViewSource();
  return buffer;
}

/// Calls `visit` with each access of memory: its buffer, its indices and whether it writes. False where there is
/// another kind of access.
static bool forEachAccess(scf::ParallelOp loop, function_ref<void(Value, ValueRange, bool)> visit) {
  return !loop.walk([&](Operation *op) {
                if (auto load = dyn_cast<memref::LoadOp>(op))
                  visit(load.getMemRef(), load.getIndices(), false);
                else if (auto store = dyn_cast<memref::StoreOp>(op))
                  visit(store.getMemRef(), store.getIndices(), true);
                else if (isa<scf::ParallelOp>(op) ? op != loop : !op->getNumRegions() && !isMemoryEffectFree(op))
                  return WalkResult::interrupt();
                return WalkResult::advance();
              })
              .wasInterrupted();
}

/// What an access says of its row: the numbers of the rows come first, or those of the elements that a split row has.
enum class Place { Row, Element, Elsewhere };

/// Whether the value is the number of the row that an element's number, the last one of a split row, is in.
static bool isNumberOfSplitRow(const RowLoop &row, Value value) {
  APInt divisor;
  auto quotient = value.getDefiningOp<arith::DivUIOp>();
  return row.split > 1 && quotient && quotient.getLhs() == numbersOf(row.loop).back() &&
         matchPattern(quotient.getRhs(), m_ConstantInt(&divisor)) && divisor == row.split;
}

static Place placeOf(const RowLoop &row, ValueRange indices, unsigned rank) {
  ValueRange numbers = numbersOf(row.loop).take_front(rank);
  if (indices.size() < rank || !llvm::equal(indices.take_front(rank - 1), numbers.drop_back()))
    return Place::Elsewhere;
  Value last = indices[rank - 1];
  if (last == numbers.back())
    return row.split == 1 ? Place::Row : Place::Element;
  return isNumberOfSplitRow(row, last) ? Place::Row : Place::Elsewhere;
}

/// Whether no row's loops touch what another row's write: every buffer that one of them writes is indexed by the row's
/// numbers first, everywhere.
static bool areRowsIndependent(const RowGroup &group) {
  struct Written {
    Value buffer;
    Place place;
  };
  llvm::MapVector<Value, Written> written; // by root
  bool isPlain = true;
  for (const RowLoop &row : group.loops)
    isPlain &= forEachAccess(row.loop, [&](Value buffer, ValueRange indices, bool writes) {
      if (writes)
        written.insert({rootOf(buffer), {buffer, placeOf(row, indices, group.rank)}});
    });
  for (const RowLoop &row : group.loops)
    forEachAccess(row.loop, [&](Value buffer, ValueRange indices, bool) {
      auto found = written.find(rootOf(buffer));
      if (found == written.end())
        return;
      Place place = placeOf(row, indices, group.rank);
      isPlain &= place != Place::Elsewhere && place == found->second.place && buffer == found->second.buffer;
    });
  return isPlain;
}

/// How many of the loop's numbers belong to a row of `first`; nothing if its leading dimensions are other ones.
static std::optional<int64_t> splitOf(scf::ParallelOp loop, scf::ParallelOp first, unsigned rank) {
  if (loop.getNumLoops() < rank)
    return std::nullopt;
  ValueRange sizes = ValueRange(loop.getUpperBound()).take_front(rank);
  ValueRange rows = ValueRange(first.getUpperBound()).take_front(rank);
  for (auto [size, row] : llvm::zip(sizes.drop_back(), rows.drop_back()))
    if (!isSameSize(size, row))
      return std::nullopt;
  if (isSameSize(sizes.back(), rows.back()))
    return 1;
  APInt size, row;
  if (loop.getNumLoops() != rank || !matchPattern(sizes.back(), m_ConstantInt(&size)) ||
      !matchPattern(rows.back(), m_ConstantInt(&row)) || row.isZero() || size.urem(row) != 0 || size.ult(row))
    return std::nullopt;
  return size.udiv(row).getSExtValue();
}

/// The group that begins with `first`: as many neighbours as fit, a reduction among them. Empty if there is none.
static RowGroup collectGroup(scf::ParallelOp first) {
  SmallVector<RowLoop> neighbours;
  for (Operation *op = first; op; op = op->getNextNode()) {
    if (auto loop = dyn_cast<scf::ParallelOp>(op)) {
      if (!isCounted(loop))
        break;
      neighbours.push_back({loop, matchReduction(loop)});
    } else if (!isMemoryEffectFree(op) && !isa<memref::AllocOp>(op)) {
      break;
    }
  }
  RowGroup group;
  auto reducing = llvm::find_if(neighbours, [](const RowLoop &row) { return row.reduction.has_value(); });
  if (reducing == neighbours.end())
    return group;
  group.rank = reducing->loop.getNumLoops();
  for (RowLoop row : neighbours) {
    std::optional<int64_t> split = splitOf(row.loop, first, group.rank);
    if (!split)
      break;
    row.split = *split;
    // What reduces other things than rows is left to one thread for each: here, to few of them if that is a row.
    if (row.split != 1 || row.loop.getNumLoops() != group.rank)
      row.reduction.reset();
    else if (!row.reduction && !row.loop.getBody()->getOps<scf::ForOp>().empty())
      break;
    group.loops.push_back(row);
    if (!areRowsIndependent(group)) {
      group.loops.pop_back();
      break;
    }
  }
  if (llvm::none_of(group.loops, [](const RowLoop &row) { return row.reduction.has_value(); }))
    group.loops.clear();
  return group;
}

//===----------------------------------------------------------------------===//
// The launch
//===----------------------------------------------------------------------===//

namespace {
class RowLaunch {
public:
  RowLaunch(const RowGroup &group)
      : group(group), builder(group.loops.back().loop), loc(builder.getInsertionPoint()->getLoc()) {}
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
  IRMapping mapRow(scf::ParallelOp loop);
  void assumeAlignment();

  /// Neighbours that a thread works on together in the loop, where `size` says how many elements there are.
  int64_t countTogether(scf::ParallelOp loop, Value size);
  /// Runs body(numbers) for all numbers below `size`, spread over the row's threads, `together` neighbours or one at a
  /// time. Carries `values`: `together` of each, side by side.
  using Body = function_ref<SmallVector<Value>(ArrayRef<Value> numbers, ValueRange carried)>;
  SmallVector<Value> forShare(Value size, int64_t together, ValueRange values, Body body);
  void emitElements(const RowLoop &each);
  void emitReduction(scf::ParallelOp loop, Reduction reduction);
  Value combine(const Accumulator &accumulator, Value a, Value b);
  /// `value` of the row's threads, combined: every thread of the row gets it.
  Value reduceThreads(const Accumulator &accumulator, Value value);

  const RowGroup &group;
  OpBuilder builder;
  Location loc;
  int64_t rowThreads = kThreads;
  Value thread;     ///< of the row
  Value inBlock;    ///< thread of the block
  Value isThere;    ///< whether there is a row for this thread; else it goes along with the last one, and does nothing
  Value shared;     ///< bytes
  int64_t slot = 0; ///< of shared memory that no reduction has used
  SmallVector<Value> row;
  IRMapping aligned; ///< buffers
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
    return matchPattern(value, m_ConstantInt(&size)) ? size.getSExtValue() : kWarpRow + 1;
  };
  for (const RowLoop &each : group.loops) {
    int64_t size = each.reduction ? sizeOf(Reduction(*each.reduction).loop.getUpperBound()) : each.split;
    scf::ParallelOp loop = each.loop;
    for (Value bound : ValueRange(loop.getUpperBound()).drop_front(group.rank))
      size = std::min(size * sizeOf(bound), kWarpRow + 1);
    longest = std::max(longest, size);
  }
  return longest;
}

IRMapping RowLaunch::mapRow(scf::ParallelOp loop) {
  IRMapping mapping = aligned;
  mapping.map(numbersOf(loop).take_front(group.rank), row); // of a split row the last is mapped by element
  return mapping;
}

/// Clones the ops once for each mapping, each op's clones side by side.
static void cloneTogether(OpBuilder &builder, ArrayRef<Operation *> ops, MutableArrayRef<IRMapping> mappings) {
  for (Operation *op : ops)
    for (IRMapping &mapping : mappings)
      builder.clone(*op, mapping);
}

int64_t RowLaunch::countTogether(scf::ParallelOp loop, Value size) {
  ValueRange rows = numbersOf(loop).take_front(group.rank);
  int64_t widest = 1;
  forEachAccess(loop, [&](Value buffer, ValueRange indices, bool) {
    bool isOfElement =
        !indices.empty() && isa<BlockArgument>(indices.back()) && !llvm::is_contained(rows, indices.back());
    if (!isOfElement)
      return;
    Type element = cast<MemRefType>(buffer.getType()).getElementType();
    widest = std::max<int64_t>(widest, llvm::divideCeil(element.isIndex() ? 64 : element.getIntOrFloatBitWidth(), 8));
  });
  int64_t together = std::clamp<int64_t>(kVectorBytes / widest, 1, 8);
  APInt known;
  if (matchPattern(size, m_ConstantInt(&known)))
    while (together > 1 && rowThreads * together > known.getSExtValue())
      together /= 2; // a part for every thread
  return together;
}

SmallVector<Value> RowLaunch::forShare(Value size, int64_t together, ValueRange values, Body body) {
  auto emitLoop = [&](Value from, Value to, int64_t width, ValueRange carried) {
    auto loop = scf::ForOp::create(builder, loc, from, to, constant(rowThreads * width), carried);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    SmallVector<Value> numbers;
    for (int64_t i = 0; i < width; ++i)
      numbers.push_back(add(loop.getInductionVar(), constant(i)));
    SmallVector<Value> next = body(numbers, loop.getRegionIterArgs());
    if (!carried.empty())
      scf::YieldOp::create(builder, loc, next);
    return SmallVector<Value>(loop.getResults());
  };
  Value end = mul(div(size, constant(together)), constant(together));
  SmallVector<Value> carried = emitLoop(mul(thread, constant(together)), end, together, values);
  if (together == 1)
    return carried;
  // Of each value's, the first goes on.
  SmallVector<Value> firsts;
  for (size_t i = 0; i < carried.size(); i += together)
    firsts.push_back(carried[i]);
  for (auto [i, rest] : llvm::enumerate(emitLoop(add(end, thread), size, 1, firsts)))
    carried[i * together] = rest;
  return carried;
}

/// The ops of the loop's body that are the same for all elements of a row, such as loads of what a reduction found.
static llvm::SetVector<Operation *> collectInvariant(const RowLoop &each, unsigned rank) {
  scf::ParallelOp loop = each.loop;
  SmallVector<Value> buffers;
  loop.walk([&](memref::StoreOp store) { buffers.push_back(store.getMemRef()); });
  llvm::SetVector<Operation *> invariant;
  auto isInvariant = [&](Value value) {
    auto argument = dyn_cast<BlockArgument>(value);
    if (argument && argument.getOwner() == loop.getBody())
      return argument.getArgNumber() + (each.split == 1 ? 0 : 1) < rank;
    return !isDefinedIn(value, loop) || invariant.contains(value.getDefiningOp());
  };
  for (Operation &op : loop.getBody()->without_terminator()) {
    auto load = dyn_cast<memref::LoadOp>(op);
    bool mayMove = load ? !llvm::is_contained(buffers, load.getMemRef()) : isPure(&op) && !op.getNumRegions();
    if (mayMove && llvm::all_of(op.getOperands(), isInvariant))
      invariant.insert(&op);
    else if (op.getNumResults() == 1 && isNumberOfSplitRow(each, op.getResult(0)))
      invariant.insert(&op);
  }
  return invariant;
}

void RowLaunch::emitElements(const RowLoop &each) {
  scf::ParallelOp loop = each.loop;
  ValueRange sizes = ValueRange(loop.getUpperBound()).drop_front(group.rank);
  llvm::SetVector<Operation *> invariant = collectInvariant(each, group.rank);
  IRMapping ofRow = mapRow(loop);
  SmallVector<Operation *> ops;
  auto emitInvariant = [&] {
    for (Operation *op : invariant)
      if (isNumberOfSplitRow(each, op->getResult(0)))
        ofRow.map(op->getResult(0), row.back());
      else
        builder.clone(*op, ofRow);
  };
  for (Operation &op : loop.getBody()->without_terminator())
    if (!invariant.contains(&op))
      ops.push_back(&op);
  auto emitBody = [&](ArrayRef<Value> numbers) {
    SmallVector<IRMapping> mappings;
    for (Value number : numbers) {
      IRMapping &mapping = mappings.emplace_back(ofRow);
      if (each.split == 1)
        mapping.map(numbersOf(loop).drop_front(group.rank), delinearize(number, sizes));
      else
        mapping.map(numbersOf(loop).back(), add(mul(row.back(), constant(each.split)), number));
    }
    cloneTogether(builder, ops, mappings);
  };
  Value none = constant(0), size = constant(each.split);
  for (Value count : sizes)
    size = mul(size, count);
  if (!sizes.empty() || each.split != 1) {
    emitInvariant();
    int64_t together = countTogether(loop, size);
    forShare(arith::SelectOp::create(builder, loc, isThere, size, none), together, {},
             [&](ArrayRef<Value> numbers, ValueRange) { return emitBody(numbers), SmallVector<Value>(); });
    return;
  }
  Value isFirst = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, thread, none);
  auto branch =
      scf::IfOp::create(builder, loc, arith::AndIOp::create(builder, loc, isFirst, isThere), /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(branch.thenBlock());
  emitInvariant();
  emitBody({none});
}

Value RowLaunch::combine(const Accumulator &accumulator, Value a, Value b) {
  IRMapping mapping;
  mapping.map(Accumulator(accumulator).load.getResult(), a);
  mapping.map(accumulator.term, b);
  Operation *last = nullptr;
  for (Operation *op : accumulator.combine)
    last = builder.clone(*op, mapping);
  return last->getResult(0);
}

Value RowLaunch::reduceThreads(const Accumulator &accumulator, Value value) {
  auto reduceLanes = [&](Value of, int64_t lanes) {
    for (int64_t distance = lanes / 2; distance > 0; distance /= 2) {
      auto other = gpu::ShuffleOp::create(builder, loc, of, distance, kWarp, gpu::ShuffleMode::XOR);
      of = combine(accumulator, of, other.getShuffleResult());
    }
    return of;
  };
  value = reduceLanes(value, kWarp);
  if (rowThreads == kWarp)
    return value;
  // Each warp's value, by way of shared memory: all lanes that read one of them have it.
  int64_t warps = rowThreads / kWarp;
  auto type = MemRefType::get({warps}, value.getType(), MemRefLayoutAttrInterface{},
                              cast<MemRefType>(shared.getType()).getMemorySpace());
  Value values = memref::ViewOp::create(builder, loc, type, shared, constant(slot++ * warps * 4), ValueRange{});
  Value lane = rem(inBlock, constant(kWarp));
  Value isFirst = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, lane, constant(0));
  auto branch = scf::IfOp::create(builder, loc, isFirst, /*withElseRegion=*/false);
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(branch.thenBlock());
    memref::StoreOp::create(builder, loc, value, values, ValueRange{div(inBlock, constant(kWarp))});
  }
  gpu::BarrierOp::create(builder, loc);
  Value mine = memref::LoadOp::create(builder, loc, values, ValueRange{rem(lane, constant(warps))});
  return reduceLanes(mine, warps);
}

void RowLaunch::emitReduction(scf::ParallelOp loop, Reduction reduction) {
  IRMapping mapping = mapRow(loop);
  for (Operation &op : loop.getBody()->without_terminator())
    if (&op != reduction.loop)
      builder.clone(op, mapping);
  ArrayRef<Accumulator> accumulators = reduction.accumulators;
  SmallVector<Operation *> ops;
  for (Operation &op : reduction.loop.getBody()->without_terminator())
    if (llvm::none_of(accumulators, [&](Accumulator each) { return &op == each.load || &op == each.store; }))
      ops.push_back(&op);
  Value bound = mapping.lookupOrDefault(reduction.loop.getUpperBound()), none = constant(0);
  // As many sums of each accumulator as a thread works on elements at a time.
  int64_t together = countTogether(loop, bound);
  SmallVector<Value> sums;
  for (const Accumulator &each : accumulators)
    sums.append(together, arith::ConstantOp::create(builder, loc, each.neutral));
  Value size = arith::SelectOp::create(builder, loc, isThere, bound, none);
  sums = forShare(size, together, sums, [&](ArrayRef<Value> numbers, ValueRange carried) {
    SmallVector<IRMapping> mappings(numbers.size(), mapping);
    for (auto [i, number] : llvm::enumerate(numbers)) {
      mappings[i].map(reduction.loop.getInductionVar(), number);
      for (auto [a, each] : llvm::enumerate(accumulators))
        mappings[i].map(Accumulator(each).load.getResult(), carried[a * numbers.size() + i]);
    }
    cloneTogether(builder, ops, mappings);
    SmallVector<Value> next;
    for (const Accumulator &each : accumulators)
      for (IRMapping &clone : mappings)
        next.push_back(clone.lookup(Accumulator(each).store.getValueToStore()));
    return next;
  });
  SmallVector<Value> totals;
  for (auto [a, each] : llvm::enumerate(accumulators)) {
    ArrayRef<Value> mine = ArrayRef(sums).slice(a * together, together);
    Value total = mine.front();
    for (Value sum : mine.drop_front())
      total = combine(each, total, sum);
    totals.push_back(reduceThreads(each, total));
  }
  Value isFirst = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, thread, none);
  auto branch =
      scf::IfOp::create(builder, loc, arith::AndIOp::create(builder, loc, isFirst, isThere), /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(branch.thenBlock());
  for (auto [each, total] : llvm::zip(accumulators, totals)) {
    Value acc = builder.clone(*Accumulator(each).load, mapping)->getResult(0);
    Value result = combine(each, acc, total);
    mapping.map(Accumulator(each).store.getValueToStore(), result);
    builder.clone(*Accumulator(each).store, mapping);
  }
}

/// Says of dense buffers what the C interface and the workspace promise of them.
void RowLaunch::assumeAlignment() {
  for (const RowLoop &each : group.loops)
    forEachAccess(each.loop, [&](Value buffer, ValueRange, bool) {
      if (!aligned.contains(buffer) && cast<MemRefType>(buffer.getType()).getLayout().isIdentity())
        aligned.map(buffer, memref::AssumeAlignmentOp::create(builder, loc, buffer, kVectorBytes).getResult());
    });
}

void RowLaunch::emit() {
  rowThreads = longestRow() <= kWarpRow ? kWarp : kThreads;
  int64_t rowsInBlock = kThreads / rowThreads;
  scf::ParallelOp first = group.loops.front().loop;
  ValueRange sizes = ValueRange(first.getUpperBound()).take_front(group.rank);
  Value rows = constant(1), one = constant(1);
  for (Value size : sizes)
    rows = mul(rows, size);
  Value blocks = builder.createOrFold<arith::CeilDivUIOp>(loc, rows, constant(rowsInBlock));
  int64_t slots = 0;
  for (const RowLoop &each : group.loops)
    slots += each.reduction ? static_cast<int64_t>(each.reduction->accumulators.size()) : 0;
  int64_t sharedBytes = rowsInBlock == 1 ? slots * (kThreads / kWarp) * 4 : 0;
  Value bytes = sharedBytes ? arith::ConstantIntOp::create(builder, loc, sharedBytes, 32).getResult() : Value();
  auto launch = gpu::LaunchOp::create(builder, loc, blocks, one, one, constant(kThreads), one, one, bytes);
  builder.setInsertionPointToStart(&launch.getBody().front());
  gpu::TerminatorOp::create(builder, loc);
  builder.setInsertionPointToStart(&launch.getBody().front());

  assumeAlignment();
  inBlock = launch.getThreadIds().x;
  thread = rem(inBlock, constant(rowThreads));
  Value number = add(mul(launch.getBlockIds().x, constant(rowsInBlock)), div(inBlock, constant(rowThreads)));
  isThere = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ult, number, rows);
  number = arith::SelectOp::create(builder, loc, isThere, number, constant(0));
  row = delinearize(number, sizes);
  if (sharedBytes) {
    auto space = gpu::AddressSpaceAttr::get(builder.getContext(), gpu::AddressSpace::Workgroup);
    auto type = MemRefType::get({ShapedType::kDynamic}, builder.getI8Type(), MemRefLayoutAttrInterface{}, space);
    shared = gpu::DynamicSharedMemoryOp::create(builder, loc, type);
  }
  for (const RowLoop &each : group.loops) {
    // What one thread wrote of a row is read by others.
    if (&each != &group.loops.front())
      gpu::BarrierOp::create(builder, loc);
    if (each.reduction)
      emitReduction(each.loop, *each.reduction);
    else
      emitElements(each);
  }
  for (const RowLoop &each : group.loops)
    scf::ParallelOp(each.loop).erase();
}

namespace {
struct LaunchRows : qlow::impl::LaunchRowsBase<LaunchRows> {
  using LaunchRowsBase::LaunchRowsBase;
  void runOnOperation() override {
    llvm::Expected<std::shared_ptr<const Target>> found = Target::find(target);
    if (!found) {
      getOperation().emitError() << llvm::toString(found.takeError());
      return signalPassFailure();
    }
    if (!(*found)->family().runsOnDevice())
      return;
    SmallVector<scf::ParallelOp> loops;
    getOperation().walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (auto loop = dyn_cast<scf::ParallelOp>(op))
        loops.push_back(loop);
      return isa<scf::ParallelOp, gpu::LaunchOp>(op) ? WalkResult::skip() : WalkResult::advance();
    });
    llvm::SmallPtrSet<Operation *, 8> taken;
    for (scf::ParallelOp loop : loops) {
      if (taken.contains(loop))
        continue;
      RowGroup group = collectGroup(loop);
      for (const RowLoop &each : group.loops)
        taken.insert(each.loop);
      if (group.loops.empty())
        continue;
      RowLaunch(group).emit();
      ++numLaunches;
    }
  }
};
} // namespace
