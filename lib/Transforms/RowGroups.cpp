//===- RowGroups.cpp - loops that work row by row ---------------------------===//
//
// A reduction may be done in another order, which the law leaves open, only where it combines by one associative op; a
// loop may run row after row with others only where no row touches what another one's loops write.
//
//===----------------------------------------------------------------------===//

#include "RowGroups.h"
#include "KernelParameters.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;
using namespace qlow;

//===----------------------------------------------------------------------===//
// What a loop does with a row
//===----------------------------------------------------------------------===//

bool qlow::isDefinedIn(Value value, Operation *op) { return op->isAncestor(value.getParentBlock()->getParentOp()); }

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
  // Of magnitudes, zeros have one sign.
  bool isMax = result.neutral && result.combine.size() == 2 && cast<FloatAttr>(result.neutral).getValue().isNegative();
  result.isGreatest = isMax && result.term.getDefiningOp<math::AbsFOp>();
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
      bool isAnother = llvm::none_of(
          result.accumulators, [&](const Accumulator &other) { return other.store.getMemRef() == store.getMemRef(); });
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

void qlow::assumeAlignment(OpBuilder &builder, scf::ParallelOp loop, Value buffer, int64_t bytes, IRMapping &aligned) {
  bool isDense = cast<MemRefType>(buffer.getType()).getLayout().isIdentity();
  if (isDense && !isDefinedIn(buffer, loop) && !aligned.contains(buffer))
    aligned.map(buffer, memref::AssumeAlignmentOp::create(builder, loop.getLoc(), buffer, bytes).getResult());
}

void qlow::cloneTogether(OpBuilder &builder, ArrayRef<Operation *> ops, MutableArrayRef<IRMapping> mappings) {
  for (Operation *op : ops)
    for (IRMapping &mapping : mappings)
      builder.clone(*op, mapping);
}

scf::ParallelOp qlow::copyAsLoop(memref::CopyOp copy) {
  OpBuilder builder(copy);
  Location loc = copy.getLoc();
  auto constant = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(builder, loc, value); };
  ArrayRef<int64_t> shape = cast<MemRefType>(copy.getSource().getType()).getShape();
  SmallVector<Value> indices(shape.size(), constant(0)), upper;
  for (auto [dim, size] : llvm::enumerate(shape))
    if (size != 1)
      upper.push_back(builder.createOrFold<memref::DimOp>(loc, copy.getSource(), static_cast<int64_t>(dim)));
  if (upper.empty()) // a loop of one iteration
    upper.push_back(constant(1));
  SmallVector<Value> lower(upper.size(), constant(0)), step(upper.size(), constant(1));
  auto loop = scf::ParallelOp::create(builder, loc, lower, upper, step);
  builder.setInsertionPointToStart(loop.getBody());
  auto *variable = loop.getBody()->args_begin();
  for (auto [index, size] : llvm::zip_equal(indices, shape))
    if (size != 1)
      index = *variable++;
  Value element = memref::LoadOp::create(builder, loc, copy.getSource(), indices);
  memref::StoreOp::create(builder, loc, element, copy.getTarget(), indices);
  copy.erase();
  return loop;
}

Value qlow::rootOf(Value buffer) {
  while (auto view = buffer.getDefiningOp<ViewLikeOpInterface>())
    buffer = view.getViewSource();
  return buffer;
}

bool qlow::forEachAccess(scf::ParallelOp loop, function_ref<void(Value, ValueRange, bool)> visit) {
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

bool RowLoop::isNumberOfSplitRow(Value value) const {
  APInt divisor;
  auto quotient = value.getDefiningOp<arith::DivUIOp>();
  return split > 1 && quotient && quotient.getLhs() == numbers().back() &&
         matchPattern(quotient.getRhs(), m_ConstantInt(&divisor)) && divisor == split;
}

RowGroup::Place RowGroup::placeOf(const RowLoop &row, ValueRange indices) const {
  ValueRange numbers = row.numbers().take_front(rank);
  if (indices.size() < rank || !llvm::equal(indices.take_front(rank - 1), numbers.drop_back()))
    return Place::Elsewhere;
  Value last = indices[rank - 1];
  if (last == numbers.back())
    return row.split == 1 ? Place::Row : Place::Element;
  return row.isNumberOfSplitRow(last) ? Place::Row : Place::Elsewhere;
}

/// Whether no row's loops touch what another row's write: every buffer that one of them writes is indexed by the row's
/// numbers first, everywhere.
static bool areRowsIndependent(const RowGroup &group) {
  struct Written {
    Value buffer;
    RowGroup::Place place;
  };
  llvm::MapVector<Value, Written> written; // by root
  bool isPlain = true;
  for (const RowLoop &row : group.loops)
    isPlain &= forEachAccess(row.loop, [&](Value buffer, ValueRange indices, bool writes) {
      if (writes)
        written.insert({rootOf(buffer), {buffer, group.placeOf(row, indices)}});
    });
  for (const RowLoop &row : group.loops)
    forEachAccess(row.loop, [&](Value buffer, ValueRange indices, bool) {
      auto found = written.find(rootOf(buffer));
      if (found == written.end())
        return;
      RowGroup::Place place = group.placeOf(row, indices);
      isPlain &= place != RowGroup::Place::Elsewhere && place == found->second.place && buffer == found->second.buffer;
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

static int64_t parameterBytesOf(const RowGroup &group) {
  KernelParameters parameters;
  for (const RowLoop &row : group.loops)
    parameters.add(row.loop);
  return parameters.getBytes();
}

RowGroup qlow::collectRowGroup(scf::ParallelOp first, int64_t mostBytes) {
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
    if (!areRowsIndependent(group) || parameterBytesOf(group) > mostBytes) {
      group.loops.pop_back();
      break;
    }
  }
  if (llvm::none_of(group.loops, [](const RowLoop &row) { return row.reduction.has_value(); }))
    group.loops.clear();
  return group;
}
