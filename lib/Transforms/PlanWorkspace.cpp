//===- PlanWorkspace.cpp - every buffer gets an offset --------------------===//
//
// In: public functions after bufferization, private ones inlined. Out: results are written to arguments, every buffer
// is a view of the caller's workspace, and @NAME.workspace computes its size from the dimensions. Buffers whose
// lifetimes do not overlap share bytes. Must not allocate, and must not read a dimension that the caller does not pass.
//
//===----------------------------------------------------------------------===//

#include "Copies.h"
#include "SizeExpressions.h"
#include "States.h"
#include "qlow/Targets/Targets.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/Transforms/BufferViewFlowAnalysis.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"

namespace qlow {
#define GEN_PASS_DEF_PLANWORKSPACE
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

/// Offsets are multiples of a cache line, the widest vector and what the C ABI asks of the workspace.
static constexpr int64_t kAlignment = 64;

namespace {
/// One allocation while it is planned.
struct Buffer {
  Operation *alloc;
  int64_t first, last;      ///< operations of the function's block that use it, both included
  int64_t staticBytes = -1; ///< -1: not a constant
  int64_t offset = 0;       ///< of a static buffer
  unsigned slot = 0;        ///< of a dynamic buffer
  bool overlaps(const Buffer &other) const { return first <= other.last && other.first <= last; }
};

/// Bytes that several dynamic buffers use one after another: as many as the largest of them needs.
struct Slot {
  SmallVector<unsigned> buffers;
};

/// Plans one function.
class Planner {
public:
  /// Bytes of scratch of one task of a kernel, emitted before it.
  using SlotBytes = std::function<Value(OpBuilder &, MatmulKernelOp)>;

  /// `runner` names the argument that says who runs the kernels.
  Planner(func::FuncOp function, StringRef runner, SlotBytes slotBytes)
      : function(function), runner(runner), slotBytes(std::move(slotBytes)) {
    roots.function = function;
  }
  LogicalResult run();

  unsigned numBuffers = 0, numShared = 0;

private:
  LogicalResult checkForm();
  void turnResultsIntoArguments();
  void updateStates(MutableArrayRef<std::pair<Value, BlockArgument>> states);
  bool writeInPlace(Value returned, BlockArgument argument);
  bool haveOneShape(Value a, Value b);
  LogicalResult fixCarriedBuffers();
  void fixCarried(Operation *loop, ValueRange inits, MutableArrayRef<BlockArgument> arguments, ResultRange results,
                  OperandRange yielded);
  void appendArguments();
  void addScratch();
  LogicalResult collectBuffers();
  LogicalResult checkHoistable(Operation *alloc);
  void placeStatic();
  void placeDynamic(SizeExpressions &sizes);
  /// Emits the offset of each slot; returns all bytes.
  Value emitOffsets(SizeExpressions &sizes, SmallVectorImpl<Value> *offsets);
  void replaceBuffers(OpBuilder &builder, SizeExpressions &sizes);
  void createWorkspaceFunction();

  func::FuncOp function;
  StringRef runner;
  SlotBytes slotBytes;
  SizeRoots roots;
  unsigned numInputs = 0;
  SmallVector<Buffer> buffers;
  SmallVector<Slot> slots;
  /// Loops with the copies of what their iterations yield.
  SmallVector<std::pair<Operation *, Operation *>> carried;
  int64_t staticBytes = 0;
};
} // namespace

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

LogicalResult Planner::checkForm() {
  if (!llvm::hasSingleElement(function.getBody()))
    return function.emitOpError("expected a body of one block, found ")
           << function.getBody().getBlocks().size() << "; run lift-cf-to-scf first";
  WalkResult calls = function.walk([&](func::CallOp call) {
    call.emitOpError("expected no call of a function with buffers, found one of '")
        << call.getCallee() << "'; private functions are inlined before their buffers are planned";
    return WalkResult::interrupt();
  });
  return failure(calls.wasInterrupted());
}

/// Lets the buffer that is returned be the caller's from the start: true where it is an allocation of this function
/// that nothing else claimed.
bool Planner::writeInPlace(Value returned, BlockArgument argument) {
  auto alloc = returned.getDefiningOp<memref::AllocOp>();
  if (!alloc || alloc->getBlock() != &function.front() || alloc.getType() != argument.getType())
    return false;
  roots.resultSizes[argument] = llvm::to_vector(alloc.getDynamicSizes());
  alloc.getResult().replaceAllUsesWith(argument);
  alloc.erase();
  return true;
}

/// States are written last, since results may hold what they were; and where one becomes what another was, by way of a
/// buffer of its own.
void Planner::updateStates(MutableArrayRef<std::pair<Value, BlockArgument>> states) {
  OpBuilder builder(function.front().getTerminator());
  Location loc = function.front().getTerminator()->getLoc();
  for (auto &[value, argument] : states) {
    if (states.size() == 1 || value.getDefiningOp<memref::AllocOp>())
      continue;
    auto type = cast<MemRefType>(argument.getType());
    SmallVector<Value> sizes;
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      if (type.isDynamicDim(dim))
        sizes.push_back(memref::DimOp::create(builder, loc, value, dim));
    Value next = memref::AllocOp::create(builder, loc, type, sizes);
    emitCopy(builder, loc, value, next);
    value = next;
  }
  for (auto [value, argument] : states)
    emitCopy(builder, loc, value, argument);
}

void Planner::turnResultsIntoArguments() {
  auto terminator = cast<func::ReturnOp>(function.front().getTerminator());
  numInputs = function.getNumArguments();
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    if (function.getArgAttr(i, "bufferize.result")) {
      numInputs = std::min(numInputs, i);
      roots.resultSizes[function.getArgument(i)] = {};
    }
  SmallVector<Value> kept;
  BitVector erased(function.getNumResults());
  SmallVector<std::optional<unsigned>> states;
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    states.push_back(stateOfResult(function, i));
  SmallVector<std::pair<Value, BlockArgument>> updated;
  OpBuilder builder(terminator);
  for (unsigned i = 0, e = terminator.getNumOperands(); i < e; ++i) {
    Value value = terminator.getOperand(i);
    if (!isa<MemRefType>(value.getType())) {
      kept.push_back(value);
      continue;
    }
    erased.set(i);
    unsigned position = function.getNumArguments();
    (void)function.insertArgument(
        position, value.getType(),
        builder.getDictionaryAttr(builder.getNamedAttr("bufferize.result", builder.getUnitAttr())),
        terminator.getLoc());
    BlockArgument argument = function.getArgument(position);
    // An updated state is the same memory as an input: it may be written only when the input is no longer read.
    if (states[i] ? value == function.getArgument(*states[i]) : writeInPlace(value, argument))
      continue;
    roots.resultSizes[argument] = {};
    if (states[i])
      updated.emplace_back(value, argument);
    else
      emitCopy(builder, terminator.getLoc(), value, argument);
  }
  updateStates(updated);
  terminator->setOperands(kept);
  (void)function.eraseResults(erased);
}

//===----------------------------------------------------------------------===//
// Buffers carried by loops
//===----------------------------------------------------------------------===//

/// What the caller calls this size of an argument; empty where it has no name.
static StringRef nameOfDim(func::FuncOp function, BlockArgument argument, int64_t d) {
  auto names = function.getArgAttrOfType<ArrayAttr>(argument.getArgNumber(), "qlow.dims");
  auto name = names && d < static_cast<int64_t>(names.size()) ? dyn_cast<StringAttr>(names[d]) : StringAttr();
  return name ? name.getValue() : StringRef();
}

/// The sizes of arguments, as `emit` gives them; those of one name are one number, so they are one value.
template <typename Emit> static auto namedDims(func::FuncOp function, Emit emit) {
  return [=, named = llvm::StringMap<Value>()](BlockArgument argument, int64_t d) mutable -> Value {
    StringRef name = nameOfDim(function, argument, d);
    if (name.empty())
      return emit(argument, d);
    Value &size = named[name];
    return size ? size : size = emit(argument, d);
  };
}

static auto namedDims(func::FuncOp function, OpBuilder &builder) {
  return namedDims(function, [&builder](BlockArgument argument, int64_t d) -> Value {
    return memref::DimOp::create(builder, argument.getLoc(), argument, d);
  });
}

/// Whether both buffers have the same sizes whatever the arguments' are. Buffers carried by loops around them must have
/// been replaced.
bool Planner::haveOneShape(Value a, Value b) {
  Block scratch;
  OpBuilder builder(function.getContext());
  builder.setInsertionPointToEnd(&scratch);
  auto dim = namedDims(function, builder);
  SizeExpressions sizes(builder, roots, dim, roots.width, SizeExpressions::Wrap);
  for (int64_t d = 0, rank = cast<MemRefType>(a.getType()).getRank(); d < rank; ++d)
    if (Value size = sizes.emitDim(a, d); !size || size != sizes.emitDim(b, d))
      return false;
  return true;
}

/// A loop that yields a buffer would need a new one in each iteration. It gets one buffer that outlives the loop, into
/// which the end of the body copies:
///
///   scf.for iter_args(%a = %init) { ..; yield %b }     =>    copy %init, %p; scf.for { ..%p..; copy %b, %p }
void Planner::fixCarried(Operation *loop, ValueRange inits, MutableArrayRef<BlockArgument> arguments,
                         ResultRange results, OperandRange yielded) {
  Operation *yield = yielded.empty() ? nullptr : yielded.getBase()->getOwner();
  OpBuilder before(loop);
  SmallVector<std::pair<Value, Value>> copies;
  for (auto [i, init] : llvm::enumerate(inits)) {
    Value next = yielded[i];
    auto type = dyn_cast<MemRefType>(init.getType());
    if (!type || next == arguments[i])
      continue;
    Location loc = loop->getLoc();
    auto plain = MemRefType::get(type.getShape(), type.getElementType());
    SmallVector<Value> sizes;
    for (int64_t d = 0; d < type.getRank(); ++d)
      if (type.isDynamicDim(d))
        sizes.push_back(memref::DimOp::create(before, loc, init, d));
    Value buffer = memref::AllocOp::create(before, loc, plain, sizes);
    emitCopy(before, loc, init, buffer);
    if (type != plain)
      buffer = memref::CastOp::create(before, loc, type, buffer);
    unsigned position = i;
    for (OpOperand &operand : loop->getOpOperands())
      if (operand.get() == init && operand.getOperandNumber() == loop->getNumOperands() - inits.size() + position)
        operand.set(buffer);
    arguments[i].replaceAllUsesWith(buffer);
    if (!results.empty())
      results[i].replaceAllUsesWith(buffer);
    // What this body allocated is no other loop-carried buffer, anything else might be: a swap needs a copy of each.
    OpBuilder end(yield);
    next = yielded[i];
    auto fresh = next.getDefiningOp<memref::AllocOp>();
    if (inits.size() > 1 && !(fresh && loop->isProperAncestor(fresh))) {
      Value saved = memref::AllocOp::create(end, loc, plain, sizes);
      carried.emplace_back(loop, emitCopy(end, loc, next, saved));
      next = saved;
    }
    copies.emplace_back(next, buffer);
    for (OpOperand &operand : yield->getOpOperands())
      if (&operand == yielded.getBase() + i)
        operand.set(buffer);
  }
  OpBuilder end = yield ? OpBuilder(yield) : OpBuilder(loop);
  for (auto [from, to] : copies)
    carried.emplace_back(loop, emitCopy(end, loop->getLoc(), from, to));
}

LogicalResult Planner::fixCarriedBuffers() {
  SmallVector<Operation *> loops;
  function.walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (isa<scf::ForOp, scf::WhileOp>(op))
      loops.push_back(op);
  });
  for (Operation *op : loops) {
    if (auto loop = dyn_cast<scf::ForOp>(op)) {
      SmallVector<BlockArgument> arguments = llvm::to_vector(loop.getRegionIterArgs());
      fixCarried(op, loop.getInitArgs(), arguments, op->getResults(),
                 cast<scf::YieldOp>(loop.getBody()->getTerminator()).getOperands());
      continue;
    }
    // The results of a while are what its condition forwards, so only the way back into the loop is cut.
    auto loop = cast<scf::WhileOp>(op);
    SmallVector<BlockArgument> arguments = llvm::to_vector(loop.getBeforeArguments());
    fixCarried(op, loop.getInits(), arguments, op->getResults().take_front(0), loop.getYieldOp().getOperands());
  }
  // Every iteration begins with the first one's sizes, in all loops, if each ends with those that it began with.
  for (auto [loop, copy] : carried)
    if (Value next = copy->getOperand(0); !haveOneShape(next, copy->getOperand(1)))
      return loop->emitOpError("carries a buffer of shape ")
             << next.getType() << " whose sizes may change: expected each iteration to leave it as large as it was";
  return success();
}

//===----------------------------------------------------------------------===//
// Arguments and scratch
//===----------------------------------------------------------------------===//

void Planner::appendArguments() {
  Builder builder(function.getContext());
  auto append = [&](Type type, StringRef attribute) {
    unsigned position = function.getNumArguments();
    auto attributes = builder.getDictionaryAttr(builder.getNamedAttr(attribute, builder.getUnitAttr()));
    (void)function.insertArgument(position, type, attributes, function.getLoc());
  };
  append(MemRefType::get({ShapedType::kDynamic}, builder.getI8Type()), "qlow.workspace");
  append(builder.getIndexType(), "qlow.width");
  append(LLVM::LLVMPointerType::get(function.getContext()), runner);
  roots.width = function.getArgument(function.getNumArguments() - 2);
}

void Planner::addScratch() {
  function.walk([&](MatmulKernelOp kernel) {
    if (kernel.getScratch())
      return;
    OpBuilder builder(kernel);
    Location loc = kernel.getLoc();
    Value bytes = arith::MulIOp::create(builder, loc, roots.width, slotBytes(builder, kernel));
    auto type = MemRefType::get({ShapedType::kDynamic}, builder.getI8Type());
    kernel.getScratchMutable().assign(memref::AllocOp::create(builder, loc, type, bytes));
  });
  function.walk([&](PackOp pack) {
    if (!pack.getWidth())
      pack.getWidthMutable().assign(roots.width);
  });
}

//===----------------------------------------------------------------------===//
// Lifetimes
//===----------------------------------------------------------------------===//

LogicalResult Planner::checkHoistable(Operation *alloc) {
  auto type = cast<MemRefType>(alloc->getResult(0).getType());
  if (!type.getLayout().isIdentity())
    return alloc->emitOpError("expected a buffer in row-major order, found ") << type;
  for (Operation *parent = alloc->getParentOp(); parent != function; parent = parent->getParentOp())
    if (!isa<scf::ForOp, scf::WhileOp, scf::IfOp, scf::IndexSwitchOp, scf::ExecuteRegionOp>(parent))
      return alloc->emitOpError("is inside '")
             << parent->getName() << "', where several could be alive at a time; expected buffers only in scf.for, "
             << "scf.while, scf.if and scf.index_switch";
  return success();
}

LogicalResult Planner::collectBuffers() {
  SmallVector<Operation *> allocs, deallocs;
  function.walk([&](Operation *op) {
    if (isa<memref::AllocOp, memref::AllocaOp>(op))
      allocs.push_back(op);
    else if (isa<memref::DeallocOp>(op))
      deallocs.push_back(op);
  });
  for (Operation *dealloc : deallocs)
    dealloc->erase();

  DenseMap<Operation *, int64_t> position;
  for (auto [i, op] : llvm::enumerate(function.front()))
    position[&op] = i;
  BufferViewFlowAnalysis views(function);
  for (Operation *alloc : allocs) {
    if (failed(checkHoistable(alloc)))
      return failure();
    Buffer buffer{alloc, std::numeric_limits<int64_t>::max(), -1};
    for (Value alias : views.resolve(alloc->getResult(0)))
      for (Operation *user : alias.getUsers()) {
        int64_t at = position.lookup(function.front().findAncestorOpInBlock(*user));
        buffer.first = std::min(buffer.first, at);
        buffer.last = std::max(buffer.last, at);
      }
    if (buffer.last < 0) {
      alloc->erase();
      continue;
    }
    auto type = cast<MemRefType>(alloc->getResult(0).getType());
    if (type.hasStaticShape())
      buffer.staticBytes =
          llvm::alignTo(type.getNumElements() * elementBytes(alloc, type.getElementType()), kAlignment);
    buffers.push_back(buffer);
  }
  numBuffers = buffers.size();
  return success();
}

//===----------------------------------------------------------------------===//
// Placement
//===----------------------------------------------------------------------===//

/// Largest first, each at the lowest offset that no buffer alive at the same time covers.
void Planner::placeStatic() {
  SmallVector<Buffer *> order, placed;
  for (Buffer &buffer : buffers)
    if (buffer.staticBytes >= 0)
      order.push_back(&buffer);
  llvm::sort(order,
             [](Buffer *a, Buffer *b) { return std::tuple(-a->staticBytes, a) < std::tuple(-b->staticBytes, b); });
  for (Buffer *buffer : order) {
    // `placed` is sorted by offset.
    for (Buffer *other : placed)
      if (buffer->overlaps(*other) && buffer->offset < other->offset + other->staticBytes &&
          other->offset < buffer->offset + buffer->staticBytes)
        buffer->offset = other->offset + other->staticBytes;
    bool shares = llvm::any_of(placed, [&](Buffer *other) {
      return buffer->offset < other->offset + other->staticBytes &&
             other->offset < buffer->offset + buffer->staticBytes;
    });
    numShared += shares;
    placed.insert(llvm::upper_bound(placed, buffer, [](Buffer *a, Buffer *b) { return a->offset < b->offset; }),
                  buffer);
    staticBytes = std::max(staticBytes, buffer->offset + buffer->staticBytes);
  }
}

/// In order of their first use, each into a slot that is free again, best one that holds a buffer of its own size.
void Planner::placeDynamic(SizeExpressions &sizes) {
  SmallVector<unsigned> order;
  for (auto [i, buffer] : llvm::enumerate(buffers))
    if (buffer.staticBytes < 0)
      order.push_back(i);
  llvm::sort(order,
             [&](unsigned a, unsigned b) { return std::tuple(buffers[a].first, a) < std::tuple(buffers[b].first, b); });
  for (unsigned i : order) {
    Value bytes = sizes.emitBytes(buffers[i].alloc);
    std::optional<unsigned> best;
    for (auto [s, slot] : llvm::enumerate(slots)) {
      if (llvm::any_of(slot.buffers, [&](unsigned other) { return buffers[i].overlaps(buffers[other]); }))
        continue;
      bool sameSize =
          llvm::any_of(slot.buffers, [&](unsigned other) { return sizes.emitBytes(buffers[other].alloc) == bytes; });
      if (!best || sameSize)
        best = s;
      if (sameSize)
        break;
    }
    numShared += best.has_value();
    if (!best) {
      best = slots.size();
      slots.emplace_back();
    }
    buffers[i].slot = *best;
    slots[*best].buffers.push_back(i);
  }
}

Value Planner::emitOffsets(SizeExpressions &sizes, SmallVectorImpl<Value> *offsets) {
  Value end = sizes.constant(staticBytes);
  for (Slot &slot : slots) {
    if (offsets)
      offsets->push_back(end);
    Value bytes = sizes.emitBytes(buffers[slot.buffers.front()].alloc);
    for (unsigned other : ArrayRef(slot.buffers).drop_front())
      bytes = sizes.maximum(bytes, sizes.emitBytes(buffers[other].alloc));
    end = sizes.add(end, bytes);
  }
  return end;
}

void Planner::replaceBuffers(OpBuilder &builder, SizeExpressions &sizes) {
  SmallVector<Value> offsets;
  emitOffsets(sizes, &offsets);
  Value workspace = function.getArgument(function.getNumArguments() - 3);
  SmallVector<std::pair<Operation *, Value>> views;
  for (Buffer &buffer : buffers) {
    auto type = cast<MemRefType>(buffer.alloc->getResult(0).getType());
    Value offset = buffer.staticBytes >= 0 ? sizes.constant(buffer.offset) : offsets[buffer.slot];
    SmallVector<Value> dims;
    for (int64_t i = 0; i < type.getRank(); ++i)
      if (type.isDynamicDim(i))
        dims.push_back(sizes.emitDim(buffer.alloc->getResult(0), i));
    views.emplace_back(buffer.alloc,
                       memref::ViewOp::create(builder, buffer.alloc->getLoc(), type, workspace, offset, dims));
  }
  for (auto [alloc, view] : views) {
    alloc->getResult(0).replaceAllUsesWith(view);
    alloc->erase();
  }
}

void Planner::createWorkspaceFunction() {
  OpBuilder builder(function.getContext());
  builder.setInsertionPointAfter(function);
  Type index = builder.getIndexType();
  DenseMap<std::pair<unsigned, int64_t>, unsigned> parameter;
  for (unsigned i = 0; i < numInputs; ++i)
    if (auto type = dyn_cast<MemRefType>(function.getArgument(i).getType()))
      for (int64_t d = 0; d < type.getRank(); ++d)
        if (type.isDynamicDim(d))
          parameter.try_emplace({i, d}, parameter.size());
  SmallVector<Type> parameters(parameter.size() + 1, index);
  auto sizeOf = func::FuncOp::create(builder, function.getLoc(), (function.getName() + ".workspace").str(),
                                     builder.getFunctionType(parameters, index));
  sizeOf.setPrivate();
  Block *body = sizeOf.addEntryBlock();
  builder.setInsertionPointToStart(body);
  auto dim = namedDims(function, [&](BlockArgument argument, int64_t d) -> Value {
    return body->getArgument(parameter.at({argument.getArgNumber(), d}));
  });
  SizeExpressions sizes(builder, roots, dim, body->getArguments().back(), SizeExpressions::Saturate);
  Value bytes = emitOffsets(sizes, nullptr);
  func::ReturnOp::create(builder, function.getLoc(), bytes);
}

LogicalResult Planner::run() {
  if (failed(checkForm()))
    return failure();
  turnResultsIntoArguments();
  if (failed(fixCarriedBuffers()))
    return failure();
  appendArguments();
  addScratch();
  if (failed(collectBuffers()))
    return failure();

  OpBuilder builder = OpBuilder::atBlockBegin(&function.front());
  auto dim = namedDims(function, builder);
  SizeExpressions sizes(builder, roots, dim, roots.width, SizeExpressions::Wrap);
  for (Buffer &buffer : buffers)
    if (!sizes.emitBytes(buffer.alloc))
      return buffer.alloc->emitOpError("has a size that is not known on entry: expected a function of constants, "
                                       "dimensions of the inputs and the width");
  placeStatic();
  placeDynamic(sizes);
  createWorkspaceFunction();
  replaceBuffers(builder, sizes);
  return success();
}

namespace {
struct PlanWorkspace : qlow::impl::PlanWorkspaceBase<PlanWorkspace> {
  using PlanWorkspaceBase::PlanWorkspaceBase;
  void runOnOperation() override {
    FailureOr<std::shared_ptr<const Target>> found = findTarget(getOperation(), target);
    if (failed(found))
      return signalPassFailure();
    const Target &machine = **found;
    FailureOr<std::shared_ptr<const Target>> portable = found;
    if (auto name = getOperation()->getAttrOfType<StringAttr>("qlow.portable"))
      portable = findTarget(getOperation(), name);
    if (failed(portable))
      return signalPassFailure();
    auto slotBytes = [&](OpBuilder &builder, MatmulKernelOp kernel) -> Value {
      Value bytes = machine.family().emitSlotBytes(builder, kernel, machine.machine());
      RecipesAttr recipes = kernel.getRecipes(), others = kernel.getPortableRecipesAttr();
      if (!others)
        return bytes;
      // One workspace does for both ways.
      kernel.setRecipesAttr(others);
      Value othersBytes = (*portable)->family().emitSlotBytes(builder, kernel, (*portable)->machine());
      kernel.setRecipesAttr(recipes);
      return arith::MaxUIOp::create(builder, kernel.getLoc(), bytes, othersBytes);
    };
    for (func::FuncOp function : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      if (function.isPrivate() || function.isExternal())
        continue;
      Planner planner(function, machine.family().runsOnDevice() ? "qlow.launch" : "qlow.parallel", slotBytes);
      if (failed(planner.run()))
        return signalPassFailure();
      numBuffers += planner.numBuffers;
      numShared += planner.numShared;
    }
  }
};
} // namespace
