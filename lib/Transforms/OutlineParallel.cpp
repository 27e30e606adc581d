//===- OutlineParallel.cpp - parallel loops become tasks ------------------===//
//
// In: scf.parallel loops over one dimension from 0 in steps of 1, as schedules emit them, in functions that have an
// argument marked `qlow.parallel`. Out: each body is a function with the C signature `void (void *, int64_t)`, run by
// the caller's threads where there are some. Captured values travel in a struct on the stack; nothing is allocated.
//
//===----------------------------------------------------------------------===//

#include "qlow/Transforms/Pipeline.h"

#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/RegionUtils.h"

namespace qlow {
#define GEN_PASS_DEF_OUTLINEPARALLEL
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

/// Other loops, of any user, run on this thread.
static bool isTaskLoop(scf::ParallelOp loop) {
  return loop.getNumLoops() == 1 && loop.getInitVals().empty() && matchPattern(loop.getLowerBound()[0], m_Zero()) &&
         matchPattern(loop.getStep()[0], m_One());
}

static Value findParallel(func::FuncOp function) {
  for (BlockArgument argument : function.getArguments())
    if (function.getArgAttr(argument.getArgNumber(), "qlow.parallel"))
      return argument;
  return {};
}

/// Without threads, and inside a task, the loop is an ordinary one.
static void makeSequential(scf::ParallelOp loop) {
  OpBuilder builder(loop);
  auto sequential =
      scf::ForOp::create(builder, loop.getLoc(), loop.getLowerBound()[0], loop.getUpperBound()[0], loop.getStep()[0]);
  Block *body = loop.getBody();
  body->getTerminator()->erase();
  sequential.getBody()->getOperations().splice(sequential.getBody()->begin(), body->getOperations());
  body->getArgument(0).replaceAllUsesWith(sequential.getInductionVar());
  loop.erase();
}

namespace {
/// The values a body reads from outside, and the struct that carries them.
class Context {
public:
  Context(scf::ParallelOp loop, const LLVMTypeConverter &types);
  /// Null where every captured value has a type LLVM knows, else one that does not.
  Value unsupported() const { return bad; }
  LLVM::LLVMStructType type() const { return structType; }
  void store(OpBuilder &builder, Location loc, Value pointer) const;
  void load(OpBuilder &builder, Location loc, Value pointer, IRMapping &mapping) const;

private:
  SmallVector<Value> captured;
  SmallVector<Operation *> cloned; ///< constants and addresses: cheaper made again than carried
  SmallVector<Type> fields;
  LLVM::LLVMStructType structType;
  Value bad;
};
} // namespace

Context::Context(scf::ParallelOp loop, const LLVMTypeConverter &types) {
  llvm::SetVector<Value> used;
  getUsedValuesDefinedAbove(loop.getRegion(), used);
  for (Value value : used) {
    Operation *op = value.getDefiningOp();
    if (op && op->getNumOperands() == 0 && op->getNumResults() == 1 && op->getNumRegions() == 0 && isPure(op)) {
      cloned.push_back(op);
      continue;
    }
    Type field = types.convertType(value.getType());
    if (!field || !LLVM::isCompatibleType(field)) {
      bad = value;
      return;
    }
    captured.push_back(value);
    fields.push_back(field);
  }
  structType = LLVM::LLVMStructType::getLiteral(loop.getContext(), fields);
}

void Context::store(OpBuilder &builder, Location loc, Value pointer) const {
  for (auto [i, value] : llvm::enumerate(captured)) {
    Value field = value;
    if (field.getType() != fields[i])
      field = UnrealizedConversionCastOp::create(builder, loc, fields[i], field).getResult(0);
    Value address = LLVM::GEPOp::create(builder, loc, pointer.getType(), structType, pointer,
                                        ArrayRef<LLVM::GEPArg>{0, int32_t(i)});
    LLVM::StoreOp::create(builder, loc, field, address);
  }
}

void Context::load(OpBuilder &builder, Location loc, Value pointer, IRMapping &mapping) const {
  for (Operation *op : cloned)
    builder.clone(*op, mapping);
  for (auto [i, value] : llvm::enumerate(captured)) {
    Value address = LLVM::GEPOp::create(builder, loc, pointer.getType(), structType, pointer,
                                        ArrayRef<LLVM::GEPArg>{0, int32_t(i)});
    Value field = LLVM::LoadOp::create(builder, loc, fields[i], address);
    if (field.getType() != value.getType())
      field = UnrealizedConversionCastOp::create(builder, loc, value.getType(), field).getResult(0);
    mapping.map(value, field);
  }
}

static func::FuncOp createTask(scf::ParallelOp loop, func::FuncOp after, StringRef name, const Context &context) {
  OpBuilder builder(loop.getContext());
  builder.setInsertionPointAfter(after);
  Location loc = loop.getLoc();
  Type pointer = LLVM::LLVMPointerType::get(builder.getContext());
  auto task = func::FuncOp::create(builder, loc, name, builder.getFunctionType({pointer, builder.getI64Type()}, {}));
  task.setPrivate();
  task->setAttr("llvm.linkage", LLVM::LinkageAttr::get(builder.getContext(), LLVM::Linkage::Internal));
  Block *entry = task.addEntryBlock();
  builder.setInsertionPointToStart(entry);
  IRMapping mapping;
  context.load(builder, loc, entry->getArgument(0), mapping);
  Block *body = loop.getBody();
  mapping.map(body->getArgument(0),
              arith::IndexCastOp::create(builder, loc, builder.getIndexType(), entry->getArgument(1)));
  for (Operation &op : body->without_terminator())
    builder.clone(op, mapping);
  func::ReturnOp::create(builder, loc);
  return task;
}

/// Replaces the loop:
///
///   one = parallel == null || tasks <= 1
///   if one: for i in 0 .. tasks: task(context, i)    else: parallel->run(parallel->self, &task, context, tasks)
static void dispatch(scf::ParallelOp loop, func::FuncOp function, func::FuncOp task, Value parallel,
                     const Context &context) {
  Location loc = loop.getLoc();
  OpBuilder builder = OpBuilder::atBlockBegin(&function.front());
  MLIRContext *ctx = builder.getContext();
  auto pointer = LLVM::LLVMPointerType::get(ctx);
  Type i64 = builder.getI64Type();
  // On entry, so that a loop around this one does not grow the stack.
  Value one = LLVM::ConstantOp::create(builder, loc, i64, 1);
  Value captured = LLVM::AllocaOp::create(builder, loc, pointer, context.type(), one);

  builder.setInsertionPoint(loop);
  context.store(builder, loc, captured);
  Value tasks = loop.getUpperBound()[0], step = loop.getStep()[0];
  Value null = LLVM::ZeroOp::create(builder, loc, pointer);
  Value alone = LLVM::ICmpOp::create(builder, loc, LLVM::ICmpPredicate::eq, parallel, null);
  Value few = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sle, tasks, step);
  Value here = arith::OrIOp::create(builder, loc, alone, few);
  auto choice = scf::IfOp::create(builder, loc, here, /*withElseRegion=*/true);

  builder.setInsertionPointToStart(choice.thenBlock());
  auto sequential = scf::ForOp::create(builder, loc, loop.getLowerBound()[0], tasks, step);
  builder.setInsertionPointToStart(sequential.getBody());
  Value i = arith::IndexCastOp::create(builder, loc, i64, sequential.getInductionVar());
  func::CallOp::create(builder, loc, task, ValueRange{captured, i});

  builder.setInsertionPointToStart(choice.elseBlock());
  auto callback = LLVM::LLVMStructType::getLiteral(ctx, {pointer, pointer, builder.getI32Type()});
  auto member = [&](int32_t index) -> Value {
    Value address = LLVM::GEPOp::create(builder, loc, pointer, callback, parallel, ArrayRef<LLVM::GEPArg>{0, index});
    return LLVM::LoadOp::create(builder, loc, pointer, address);
  };
  Value run = member(0), self = member(1);
  Value body = func::ConstantOp::create(builder, loc, task.getFunctionType(), task.getName());
  Value bodyPointer = UnrealizedConversionCastOp::create(builder, loc, pointer, body).getResult(0);
  Value count = arith::IndexCastOp::create(builder, loc, i64, tasks);
  auto signature = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(ctx), {pointer, pointer, pointer, i64});
  LLVM::CallOp::create(builder, loc, signature, ValueRange{run, self, bodyPointer, captured, count});
  loop.erase();
}

namespace {
struct OutlineParallel : qlow::impl::OutlineParallelBase<OutlineParallel> {
  void runOnOperation() override {
    LLVMTypeConverter types(&getContext());
    for (func::FuncOp function : llvm::to_vector(getOperation().getOps<func::FuncOp>()))
      if (failed(outline(function, types)))
        return signalPassFailure();
  }

  LogicalResult outline(func::FuncOp function, const LLVMTypeConverter &types) {
    Value parallel = findParallel(function);
    SmallVector<scf::ParallelOp> outer, inner;
    function.walk([&](scf::ParallelOp loop) {
      if (isTaskLoop(loop))
        (parallel && !loop->getParentOfType<scf::ParallelOp>() ? outer : inner).push_back(loop);
    });
    llvm::for_each(inner, makeSequential);
    func::FuncOp last = function;
    for (auto [i, loop] : llvm::enumerate(outer)) {
      Context context(loop, types);
      if (Value bad = context.unsupported())
        return loop.emitOpError("reads a value of type ")
               << bad.getType() << " from outside, which has no form in memory; expected scalars and memrefs";
      std::string name = (function.getName() + ".task" + Twine(i)).str();
      last = createTask(loop, last, name, context);
      dispatch(loop, function, last, parallel, context);
    }
    numTasks += outer.size();
    return success();
  }
};
} // namespace
