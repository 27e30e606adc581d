//===- Evaluator.cpp - runs functions at tensor level -----------------------===//
//
// In: a verified module of accepted ops (docs/Semantics.md) and arrays. Out: arrays, or a diagnostic at the op that
// could not be computed. Walks the ops one by one; never optimizes, never reorders.
//
//===----------------------------------------------------------------------===//

#include "Evaluator.h"

#include "qlow/Dialect/Accepted.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "llvm/ADT/ScopeExit.h"

using namespace mlir;
using namespace qlow;
using namespace qlow::reference;

//===----------------------------------------------------------------------===//
// Frames
//===----------------------------------------------------------------------===//

RuntimeValue Frame::get(Value value) const {
  if (isa<TensorType>(value.getType()))
    return tensor(value);
  return scalar(value);
}

void Frame::bind(Value value, RuntimeValue to) {
  if (auto *number = std::get_if<Scalar>(&to))
    scalars[value] = *number;
  else
    tensors[value] = std::move(std::get<Tensor>(to));
}

void Frame::bind(ValueRange values, ArrayRef<RuntimeValue> to) {
  for (auto [value, runtime] : llvm::zip_equal(values, to))
    bind(value, runtime);
}

SmallVector<RuntimeValue> Frame::get(ValueRange values) const {
  return llvm::map_to_vector(values, [&](Value value) { return get(value); });
}

SmallVector<int64_t> Frame::get(ArrayRef<OpFoldResult> values) const {
  return llvm::map_to_vector(values, [&](OpFoldResult value) {
    std::optional<int64_t> constant = getConstantIntValue(value);
    return constant ? *constant : scalar(cast<Value>(value)).i;
  });
}

//===----------------------------------------------------------------------===//
// Checks
//===----------------------------------------------------------------------===//

FailureOr<int64_t> reference::checkShape(Operation *op, ArrayRef<int64_t> shape) {
  constexpr int64_t limit = int64_t(1) << 32;
  int64_t count = 1;
  for (int64_t size : shape) {
    if (size < 0)
      return op->emitError() << "expected sizes of at least 0, found " << size << " in [" << shape << "]";
    // A product with a zero is small, whatever the other sizes are.
    if (llvm::is_contained(shape, 0))
      return 0;
    if (size > limit / count)
      return op->emitError() << "a tensor of [" << shape << "] has more elements than the reference evaluator holds, "
                             << limit;
    count *= size;
  }
  return count;
}

FailureOr<Array> reference::makeArray(Operation *op, ArrayRef<int64_t> shape, Type element) {
  if (failed(checkShape(op, shape)))
    return failure();
  std::optional<ArrayElement> kind = getElement(element);
  if (!kind)
    return op->emitError() << "element type " << element << " is not accepted";
  return Array(shape, *kind);
}

LogicalResult reference::checkFits(Operation *op, Type type, ArrayRef<int64_t> shape) {
  auto tensor = cast<RankedTensorType>(type);
  if (succeeded(verifyCompatibleShape(tensor.getShape(), shape)))
    return success();
  return op->emitError() << "a tensor of [" << shape << "] is no " << type;
}

int64_t reference::evaluateAffine(AffineExpr expr, ArrayRef<int64_t> dims, ArrayRef<int64_t> symbols) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return dims[dim.getPosition()];
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr))
    return symbols[symbol.getPosition()];
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue();
  auto binary = cast<AffineBinaryOpExpr>(expr);
  int64_t lhs = evaluateAffine(binary.getLHS(), dims, symbols), rhs = evaluateAffine(binary.getRHS(), dims, symbols);
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return lhs + rhs;
  case AffineExprKind::Mul:
    return lhs * rhs;
  case AffineExprKind::FloorDiv:
    return rhs == 0 ? 0 : llvm::divideFloorSigned(lhs, rhs);
  case AffineExprKind::CeilDiv:
    return rhs == 0 ? 0 : llvm::divideCeilSigned(lhs, rhs);
  default:
    return rhs == 0 ? 0 : llvm::mod(lhs, rhs);
  }
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

Evaluator::Evaluator() {
  addArithRules(*this);
  addMathRules(*this);
  addControlRules(*this);
  addTensorRules(*this);
  addQuantizedRules(*this);
}

/// One op on whole tensors is the same op on each of their elements.
LogicalResult Evaluator::runElementwise(Operation *op, ScalarRule rule, Frame &frame) {
  SmallVector<Scalar, 4> operands(op->getNumOperands()), results(op->getNumResults());
  auto resultType = dyn_cast<RankedTensorType>(op->getResultTypes().front());
  if (!resultType) {
    for (auto [operand, value] : llvm::zip(operands, op->getOperands()))
      operand = frame.scalar(value);
    if (failed(rule(op, operands, results)))
      return failure();
    for (auto [result, value] : llvm::zip(results, op->getResults()))
      frame.scalars[value] = result;
    return success();
  }
  SmallVector<const Array *, 4> inputs;
  for (Value value : op->getOperands())
    inputs.push_back(isa<TensorType>(value.getType()) ? &frame.tensor(value).array() : nullptr);
  auto shaped = llvm::find_if(inputs, [](const Array *input) { return input != nullptr; });
  SmallVector<int64_t> shape((*shaped)->shape);
  for (const Array *input : inputs)
    if (input && ArrayRef<int64_t>(input->shape) != ArrayRef<int64_t>(shape))
      return op->emitError() << "expected operands of one shape, found [" << shape << "] and [" << input->shape << "]";
  SmallVector<Array> outputs;
  for (Type type : op->getResultTypes()) {
    FailureOr<Array> output = makeArray(op, shape, cast<RankedTensorType>(type).getElementType());
    if (failed(output))
      return failure();
    outputs.push_back(std::move(*output));
  }
  for (int64_t index = 0, end = outputs.front().size(); index < end; ++index) {
    for (auto [operand, value, input] : llvm::zip(operands, op->getOperands(), inputs))
      operand = input ? load(*input, index) : frame.scalar(value);
    if (failed(rule(op, operands, results)))
      return failure();
    for (auto [result, output] : llvm::zip(results, outputs))
      store(output, index, result);
  }
  for (auto [output, value] : llvm::zip(outputs, op->getResults()))
    frame.bind(value, Tensor(std::move(output)));
  return success();
}

LogicalResult Evaluator::run(Operation *op, Frame &frame) {
  TypeID id = op->getName().getTypeID();
  LogicalResult result = failure();
  // A scalar condition selects whole tensors, quantized ones too.
  bool selectsTensor = isa<arith::SelectOp>(op) && isa<TensorType>(op->getResultTypes().front()) &&
                       !isa<TensorType>(op->getOperand(0).getType());
  if (selectsTensor) {
    frame.bind(op->getResult(0), frame.get(op->getOperand(frame.scalar(op->getOperand(0)).i ? 1 : 2)));
    result = success();
  } else if (ScalarRule rule = scalarRules.lookup(id)) {
    result = runElementwise(op, rule, frame);
  } else if (Rule rule = rules.lookup(id)) {
    result = rule(*this, op, frame);
  } else if (auto structured = dyn_cast<linalg::LinalgOp>(op)) {
    result = runStructured(*this, structured, frame);
  } else {
    return op->emitError() << "'" << op->getName() << "' is not an operation the reference evaluator computes; "
                           << "docs/Semantics.md, \"Float work\", lists those it does";
  }
  if (failed(result))
    return failure();
  for (Value value : op->getResults())
    if (isa<TensorType>(value.getType()) && failed(checkFits(op, value.getType(), frame.tensor(value).shape)))
      return failure();
  return success();
}

LogicalResult Evaluator::runBody(Block &block, Frame &frame) {
  for (Operation &op : block.without_terminator())
    if (failed(run(&op, frame)))
      return failure();
  return success();
}

FailureOr<SmallVector<RuntimeValue>> Evaluator::runBlock(Block &block, ArrayRef<RuntimeValue> arguments, Frame &frame,
                                                         unsigned firstOperand) {
  frame.bind(block.getArguments(), arguments);
  if (failed(runBody(block, frame)))
    return failure();
  return frame.get(ValueRange(block.getTerminator()->getOperands().drop_front(firstOperand)));
}

/// The block that runs next, with its arguments bound, or null at a return.
static FailureOr<Block *> branch(Operation *terminator, Frame &frame) {
  Block *next = nullptr;
  OperandRange operands(terminator->operand_begin(), terminator->operand_begin());
  if (auto br = dyn_cast<cf::BranchOp>(terminator)) {
    next = br.getDest();
    operands = br.getDestOperands();
  } else if (auto cond = dyn_cast<cf::CondBranchOp>(terminator)) {
    bool isTrue = frame.scalar(cond.getCondition()).i;
    next = isTrue ? cond.getTrueDest() : cond.getFalseDest();
    operands = isTrue ? cond.getTrueDestOperands() : cond.getFalseDestOperands();
  } else if (auto choice = dyn_cast<cf::SwitchOp>(terminator)) {
    next = choice.getDefaultDestination();
    operands = choice.getDefaultOperands();
    int64_t flag = frame.scalar(choice.getFlag()).i;
    if (auto values = choice.getCaseValues())
      for (auto [index, value] : llvm::enumerate(values->getValues<APInt>()))
        if (value.getSExtValue() == flag) {
          next = choice.getCaseDestinations()[index];
          operands = choice.getCaseOperands(index);
        }
  } else if (!isa<func::ReturnOp>(terminator)) {
    return terminator->emitError() << "'" << terminator->getName() << "' is not a terminator the reference evaluator "
                                   << "follows";
  }
  if (next) {
    SmallVector<RuntimeValue> values = frame.get(ValueRange(operands));
    frame.bind(next->getArguments(), values);
  }
  return next;
}

FailureOr<SmallVector<RuntimeValue>> Evaluator::call(func::FuncOp function, ArrayRef<RuntimeValue> arguments) {
  constexpr unsigned maxDepth = 64;
  if (function.isExternal())
    return function.emitError() << "@" << function.getName() << " has no body to evaluate";
  if (depth == maxDepth)
    return function.emitError() << "calls are nested more than " << maxDepth << " deep: recursion is not accepted";
  ++depth;
  llvm::scope_exit leave([&] { --depth; });
  Frame frame;
  Block *block = &function.getBody().front();
  frame.bind(block->getArguments(), arguments);
  while (true) {
    if (failed(runBody(*block, frame)))
      return failure();
    FailureOr<Block *> next = branch(block->getTerminator(), frame);
    if (failed(next))
      return failure();
    if (!*next)
      return frame.get(ValueRange(block->getTerminator()->getOperands()));
    block = *next;
  }
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

static LogicalResult runCall(Evaluator &evaluator, func::CallOp op, Frame &frame) {
  auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(op, op.getCalleeAttr());
  FailureOr<SmallVector<RuntimeValue>> results = evaluator.call(callee, frame.get(ValueRange(op.getOperands())));
  if (failed(results))
    return failure();
  frame.bind(op.getResults(), *results);
  return success();
}

static LogicalResult runIf(Evaluator &evaluator, scf::IfOp op, Frame &frame) {
  Region &region = frame.scalar(op.getCondition()).i ? op.getThenRegion() : op.getElseRegion();
  if (region.empty())
    return success();
  FailureOr<SmallVector<RuntimeValue>> results = evaluator.runBlock(region.front(), {}, frame);
  if (failed(results))
    return failure();
  frame.bind(op.getResults(), *results);
  return success();
}

static LogicalResult runFor(Evaluator &evaluator, scf::ForOp op, Frame &frame) {
  int64_t lower = frame.scalar(op.getLowerBound()).i, upper = frame.scalar(op.getUpperBound()).i;
  int64_t step = frame.scalar(op.getStep()).i;
  if (step <= 0)
    return op.emitError() << "expected a step of at least 1, found " << step;
  SmallVector<RuntimeValue> values = frame.get(ValueRange(op.getInitArgs()));
  auto isBelow = [&](int64_t i) { return op.getUnsignedCmp() ? uint64_t(i) < uint64_t(upper) : i < upper; };
  for (int64_t i = lower; isBelow(i); i += step) {
    values.insert(values.begin(), RuntimeValue(Scalar{i}));
    FailureOr<SmallVector<RuntimeValue>> next = evaluator.runBlock(*op.getBody(), values, frame);
    if (failed(next))
      return failure();
    values = std::move(*next);
    if (i > std::numeric_limits<int64_t>::max() - step)
      break;
  }
  frame.bind(op.getResults(), values);
  return success();
}

static LogicalResult runWhile(Evaluator &evaluator, scf::WhileOp op, Frame &frame) {
  SmallVector<RuntimeValue> values = frame.get(ValueRange(op.getInits()));
  while (true) {
    FailureOr<SmallVector<RuntimeValue>> passed =
        evaluator.runBlock(op.getBefore().front(), values, frame, /*firstOperand=*/1);
    if (failed(passed))
      return failure();
    if (!frame.scalar(op.getConditionOp().getCondition()).i) {
      frame.bind(op.getResults(), *passed);
      return success();
    }
    FailureOr<SmallVector<RuntimeValue>> next = evaluator.runBlock(op.getAfter().front(), *passed, frame);
    if (failed(next))
      return failure();
    values = std::move(*next);
  }
}

static LogicalResult runIndexSwitch(Evaluator &evaluator, scf::IndexSwitchOp op, Frame &frame) {
  int64_t selected = frame.scalar(op.getArg()).i;
  Region *region = &op.getDefaultRegion();
  for (auto [value, candidate] : llvm::zip(op.getCases(), op.getCaseRegions()))
    if (value == selected)
      region = &candidate;
  FailureOr<SmallVector<RuntimeValue>> results = evaluator.runBlock(region->front(), {}, frame);
  if (failed(results))
    return failure();
  frame.bind(op.getResults(), *results);
  return success();
}

/// Values that lifting branches leaves behind and nothing uses: zeros.
static LogicalResult runPoison(Evaluator &evaluator, ub::PoisonOp op, Frame &frame) {
  auto type = dyn_cast<RankedTensorType>(op.getType());
  if (!type) {
    frame.bind(op.getResult(), Scalar());
    return success();
  }
  SmallVector<int64_t> shape = llvm::map_to_vector(
      type.getShape(), [](int64_t size) { return ShapedType::isDynamic(size) ? int64_t(0) : size; });
  if (isa<QType>(type.getElementType()))
    return op.emitError() << "an undefined quantized tensor has no value";
  FailureOr<Array> array = makeArray(op, shape, type.getElementType());
  if (failed(array))
    return failure();
  frame.bind(op.getResult(), Tensor(std::move(*array)));
  return success();
}

static SmallVector<int64_t> affineResults(AffineMap map, ValueRange operands, Frame &frame) {
  SmallVector<int64_t> values = llvm::map_to_vector(operands, [&](Value value) { return frame.scalar(value).i; });
  ArrayRef<int64_t> all(values), dims = all.take_front(map.getNumDims()), symbols = all.drop_front(map.getNumDims());
  return llvm::map_to_vector(map.getResults(), [&](AffineExpr expr) { return evaluateAffine(expr, dims, symbols); });
}
static LogicalResult runApply(Evaluator &evaluator, affine::AffineApplyOp op, Frame &frame) {
  frame.bind(op.getResult(), Scalar{affineResults(op.getAffineMap(), op.getOperands(), frame).front()});
  return success();
}
static LogicalResult runMin(Evaluator &evaluator, affine::AffineMinOp op, Frame &frame) {
  SmallVector<int64_t> values = affineResults(op.getAffineMap(), op.getOperands(), frame);
  frame.bind(op.getResult(), Scalar{*llvm::min_element(values)});
  return success();
}
static LogicalResult runMax(Evaluator &evaluator, affine::AffineMaxOp op, Frame &frame) {
  SmallVector<int64_t> values = affineResults(op.getAffineMap(), op.getOperands(), frame);
  frame.bind(op.getResult(), Scalar{*llvm::max_element(values)});
  return success();
}

void reference::addControlRules(Evaluator &evaluator) {
  evaluator.add<func::CallOp, runCall>();
  evaluator.add<scf::IfOp, runIf>();
  evaluator.add<scf::ForOp, runFor>();
  evaluator.add<scf::WhileOp, runWhile>();
  evaluator.add<scf::IndexSwitchOp, runIndexSwitch>();
  evaluator.add<ub::PoisonOp, runPoison>();
  evaluator.add<affine::AffineApplyOp, runApply>();
  evaluator.add<affine::AffineMinOp, runMin>();
  evaluator.add<affine::AffineMaxOp, runMax>();
}
