//===- StructuredOps.cpp - linalg by interpreting regions -------------------===//
//
// One interpreter for generic and named ops alike: every structured op has indexing maps and a region. Visits the
// points of the iteration space in order. A float region that adds to its output along a reduction is summed in f64 and
// rounded once at the end (docs/Semantics.md, "Float work").
//
//===----------------------------------------------------------------------===//

#include "Evaluator.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;
using namespace qlow;
using namespace qlow::reference;

namespace {
/// An operand while its op runs.
struct Access {
  Value operand;
  const Array *input = nullptr; ///< null for a scalar
  AffineMap map;
  BlockArgument argument; ///< null where the region does not take it
};

/// One output: its array, and where it is a float sum the sums in f64 and the summand.
struct Output {
  Array array;
  Value summand;
  std::vector<double> sums;
};
} // namespace

/// Position of `point` in `array` through `map`; an error outside of it.
static FailureOr<int64_t> locate(linalg::LinalgOp op, AffineMap map, ArrayRef<int64_t> point, const Array &array) {
  int64_t index = 0;
  for (auto [expr, size] : llvm::zip_equal(map.getResults(), array.shape)) {
    int64_t position = evaluateAffine(expr, point, {});
    if (position < 0 || position >= size)
      return op.emitError() << "reads or writes position " << position << " of a dimension of size " << size;
    index = index * size + position;
  }
  return index;
}

Value reference::findSummand(linalg::LinalgOp op, unsigned output) {
  if (op.getNumReductionLoops() == 0 || output >= op.getBlock()->getTerminator()->getNumOperands())
    return {};
  auto sum = op.getBlock()->getTerminator()->getOperand(output).getDefiningOp<arith::AddFOp>();
  OpOperand &init = op.getDpsInitsMutable()[output];
  if (!sum || sum->getBlock() != op.getBlock() || init.getOperandNumber() >= op.getBlock()->getNumArguments())
    return {};
  BlockArgument argument = op.getMatchingBlockArgument(&init);
  if (!argument.hasOneUse() || !sum->hasOneUse())
    return {};
  if (sum.getLhs() == argument)
    return sum.getRhs();
  return sum.getRhs() == argument ? sum.getLhs() : Value();
}

/// Sizes of the loops, from the operands' sizes.
static FailureOr<SmallVector<int64_t>> loopSizes(linalg::LinalgOp op, Frame &frame) {
  SmallVector<int64_t> sizes;
  for (OpOperand &operand : op->getOpOperands())
    if (isa<TensorType>(operand.get().getType()))
      llvm::append_range(sizes, frame.tensor(operand.get()).shape);
  AffineMap map = op.getShapesToLoopsMap();
  if (!map)
    return op.emitError() << "the sizes of its loops do not follow from its operands";
  SmallVector<int64_t> loops =
      llvm::map_to_vector(map.getResults(), [&](AffineExpr expr) { return evaluateAffine(expr, sizes, {}); });
  if (llvm::any_of(loops, [](int64_t size) { return size < 0; }))
    return op.emitError() << "has a loop of negative size";
  // A loop that runs along a dimension runs along the whole of it.
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<TensorType>(operand.get().getType()))
      continue;
    AffineMap indexing = op.getMatchingIndexingMap(&operand);
    for (auto [expr, size] : llvm::zip_equal(indexing.getResults(), frame.tensor(operand.get()).shape))
      if (auto dim = dyn_cast<AffineDimExpr>(expr); dim && loops[dim.getPosition()] != size)
        return op.emitError() << "operands disagree on the size of loop " << dim.getPosition() << ": "
                              << loops[dim.getPosition()] << " and " << size;
  }
  return loops;
}

static SmallVector<Access> makeAccesses(linalg::LinalgOp op, Frame &frame) {
  SmallVector<Access> accesses;
  for (OpOperand &operand : op->getOpOperands()) {
    Access access{operand.get(), nullptr, op.getMatchingIndexingMap(&operand), {}};
    if (operand.getOperandNumber() < op.getBlock()->getNumArguments())
      access.argument = op.getMatchingBlockArgument(&operand);
    if (isa<TensorType>(operand.get().getType()))
      access.input = &frame.tensor(operand.get()).array();
    accesses.push_back(access);
  }
  return accesses;
}

static LogicalResult runPoint(Evaluator &evaluator, linalg::LinalgOp op, ArrayRef<Access> accesses,
                              MutableArrayRef<Output> outputs, Frame &frame) {
  int64_t numInputs = op.getNumDpsInputs();
  SmallVector<int64_t, 2> positions;
  for (auto [number, access] : llvm::enumerate(accesses)) {
    if (!access.input) {
      frame.scalars[access.argument] = frame.scalar(access.operand);
      continue;
    }
    bool isOutput = int64_t(number) >= numInputs;
    FailureOr<int64_t> position = locate(op, access.map, frame.point, *access.input);
    if (failed(position))
      return failure();
    if (isOutput)
      positions.push_back(*position);
    if (access.argument)
      frame.scalars[access.argument] = load(isOutput ? outputs[number - numInputs].array : *access.input, *position);
  }
  if (failed(evaluator.runBody(*op.getBlock(), frame)))
    return failure();
  Operation *yield = op.getBlock()->getTerminator();
  for (auto [number, output] : llvm::enumerate(outputs)) {
    if (output.summand)
      output.sums[positions[number]] += frame.scalar(output.summand).f;
    else
      store(output.array, positions[number], frame.scalar(yield->getOperand(number)));
  }
  return success();
}

LogicalResult reference::runStructured(Evaluator &evaluator, linalg::LinalgOp op, Frame &frame) {
  if (!op.hasPureTensorSemantics())
    return op.emitError() << "expected tensors: the reference evaluator runs programs before bufferization";
  FailureOr<SmallVector<int64_t>> loops = loopSizes(op, frame);
  if (failed(loops))
    return failure();
  SmallVector<Access> accesses = makeAccesses(op, frame);
  SmallVector<Output> outputs;
  for (auto [number, init] : llvm::enumerate(op.getDpsInits())) {
    Output &output = outputs.emplace_back(Output{frame.tensor(init).array(), findSummand(op, number), {}});
    if (output.summand)
      for (int64_t index = 0, end = output.array.size(); index < end; ++index)
        output.sums.push_back(load(output.array, index).f);
  }
  SmallVector<int64_t> point(loops->size(), 0);
  llvm::SaveAndRestore<ArrayRef<int64_t>> restore(frame.point, point);
  if (countOf(*loops) > 0) {
    do {
      if (failed(runPoint(evaluator, op, accesses, outputs, frame)))
        return failure();
    } while (increment(point, *loops));
  }
  for (auto [output, result] : llvm::zip_equal(outputs, op->getResults())) {
    for (auto [index, sum] : llvm::enumerate(output.sums))
      store(output.array, index, {0, sum});
    frame.bind(result, Tensor(std::move(output.array)));
  }
  return success();
}
