//===- Matmul.cpp - what qlow.matmul computes -------------------------------===//
//
// Both sides are read into rows along K, as exact integers or as f32 values; then one sum for each element of the
// result, and the epilogue or the law's formula on it. Float sums are taken in f64 and rounded once, well inside the
// law's bound.
//
//===----------------------------------------------------------------------===//

#include "Evaluator.h"

#include <cmath>

using namespace mlir;
using namespace qlow;
using namespace qlow::reference;

namespace {
/// One operand as rows along K: row r = (batch * rows + row), element r * K + k.
struct Side {
  int64_t rows = 0, depth = 0;
  SmallVector<int64_t> batch;
  std::vector<int32_t> integers; ///< (decode(code) - zero) / step, where the sum is exact
  std::vector<float> values;     ///< dequantized, where it is not
  std::vector<float> scales;     ///< one a row, where the sum is exact
  float step = 1;
};

/// What is left to do with a sum.
struct Finish {
  bool isFloat;                        ///< the result, after an exact sum
  std::optional<QuantizedView> result; ///< scales of a quantized result
  const Array *bias = nullptr;
};
} // namespace

static Side readSide(Value value, const Tensor &tensor, bool kIsLast, bool isExact) {
  Side side;
  int64_t rank = int64_t(tensor.shape.size());
  int64_t kDim = kIsLast ? rank - 1 : rank - 2, rowDim = kIsLast ? rank - 2 : rank - 1;
  side.rows = tensor.shape[rowDim];
  side.depth = tensor.shape[kDim];
  side.batch.assign(tensor.shape.begin(), tensor.shape.end() - 2);
  SmallVector<int64_t> order(side.batch);
  order.append({side.rows, side.depth});
  QType type = getQuantizedElement(value.getType());
  std::optional<QuantizedView> view;
  if (type)
    view.emplace(type, tensor.shape, tensor.parts);
  if (isExact)
    side.step = type.getFormat()->integerImage()->step;
  SmallVector<int64_t> indices(rank, 0), position(rank, 0);
  for (int64_t left = countOf(order); left > 0; --left, increment(position, order)) {
    llvm::copy(ArrayRef<int64_t>(position).drop_back(2), indices.begin());
    indices[rowDim] = position[rank - 2];
    indices[kDim] = position[rank - 1];
    if (!type) {
      side.values.push_back(float(load(tensor.array(), linearize(indices, tensor.shape)).f));
    } else if (!isExact) {
      side.values.push_back(view->value(indices));
    } else {
      auto zero = int64_t(view->zero(indices) / side.step);
      side.integers.push_back(int32_t(view->format().integer(view->code(indices)) - zero));
    }
  }
  order.back() = 1;
  if (!isExact)
    return side;
  position.assign(rank, 0);
  for (int64_t left = countOf(order); left > 0; --left, increment(position, order)) {
    llvm::copy(ArrayRef<int64_t>(position).drop_back(2), indices.begin());
    indices[rowDim] = position[rank - 2];
    indices[kDim] = 0;
    side.scales.push_back(view->scale(indices));
  }
  return side;
}

/// Wraps mod 2^32.
static int32_t exactSum(const Side &lhs, const Side &rhs, int64_t lhsRow, int64_t rhsRow) {
  uint32_t sum = 0;
  for (int64_t k = 0; k < lhs.depth; ++k)
    sum += uint32_t(lhs.integers[lhsRow * lhs.depth + k]) * uint32_t(rhs.integers[rhsRow * lhs.depth + k]);
  return int32_t(sum);
}

static float floatSum(const Side &lhs, const Side &rhs, int64_t lhsRow, int64_t rhsRow) {
  double sum = 0;
  for (int64_t k = 0; k < lhs.depth; ++k)
    sum += double(lhs.values[lhsRow * lhs.depth + k]) * double(rhs.values[rhsRow * lhs.depth + k]);
  return float(sum);
}

/// The result of an exact sum, before it is converted to the result's element type.
static Scalar finishExact(const Finish &finish, int32_t acc, float factor, ArrayRef<int64_t> indices) {
  Scalar bias = finish.bias ? load(*finish.bias, indices.back()) : Scalar();
  if (finish.isFloat) {
    float value = float(acc) * factor;
    return {0, finish.bias ? value + float(bias.f) : value};
  }
  auto sum = int32_t(uint32_t(acc) + uint32_t(bias.i));
  if (!finish.result)
    return {sum};
  const QuantizedView &result = *finish.result;
  float v = float(sum) * (factor / result.scale(indices));
  return {encodeWithZero(result.format(), v, result.zero(indices))};
}

static Scalar finishFloat(const Finish &finish, float sum, ArrayRef<int64_t> indices) {
  if (finish.bias)
    sum = sum + float(load(*finish.bias, indices.back()).f);
  if (!finish.result)
    return {0, sum};
  const QuantizedView &result = *finish.result;
  return {encodeWithZero(result.format(), sum / result.scale(indices), result.zero(indices))};
}

static FailureOr<Scalar> runEpilogue(Evaluator &evaluator, MatmulOp op, Scalar sum, ArrayRef<int64_t> indices,
                                     Frame &frame) {
  Block &block = op.getEpilogue().front();
  frame.scalars[block.getArgument(0)] = sum;
  for (auto [number, extra] : llvm::enumerate(op.getExtras())) {
    const Array &array = frame.tensor(extra).array();
    AffineMap map = cast<AffineMapAttr>((*op.getExtraMaps())[number]).getValue();
    SmallVector<int64_t> at =
        llvm::map_to_vector(map.getResults(), [&](AffineExpr expr) { return evaluateAffine(expr, indices, {}); });
    for (auto [position, size] : llvm::zip_equal(at, array.shape))
      if (position >= size)
        return op.emitError() << "extra " << number << " of [" << array.shape << "] is too small for its map";
    frame.scalars[block.getArgument(number + 1)] = load(array, linearize(at, array.shape));
  }
  if (failed(evaluator.runBody(block, frame)))
    return failure();
  return frame.scalar(block.getTerminator()->getOperand(0));
}

/// The sizes that the types left open.
static LogicalResult checkSizes(MatmulOp op, const Side &lhs, const Side &rhs, Frame &frame) {
  if (lhs.depth != rhs.depth)
    return op.emitError() << "expected both sides to agree on K, found " << lhs.depth << " and " << rhs.depth;
  if (lhs.batch != rhs.batch)
    return op.emitError() << "expected both sides to agree on the batch sizes, found [" << lhs.batch << "] and ["
                          << rhs.batch << "]";
  if (op.getBias() && frame.tensor(op.getBias()).shape.front() != rhs.rows)
    return op.emitError() << "expected a bias of " << rhs.rows << " elements, found "
                          << frame.tensor(op.getBias()).shape.front();
  return success();
}

static FailureOr<Finish> makeFinish(MatmulOp op, ArrayRef<int64_t> shape, Frame &frame) {
  Finish finish{isa<FloatType>(cast<RankedTensorType>(op.getType()).getElementType()), std::nullopt,
                op.getBias() ? &frame.tensor(op.getBias()).array() : nullptr};
  QType type = getQuantizedElement(op.getType());
  if (!type)
    return finish;
  std::vector<std::shared_ptr<const Array>> parts;
  for (Value part : op.getParts())
    parts.push_back(frame.tensor(part).parts.front());
  SmallVector<Type> types = type.getParts(shape);
  for (auto [part, partType] : llvm::zip_equal(parts, ArrayRef<Type>(types).drop_front()))
    if (failed(checkFits(op, partType, part->shape)))
      return failure();
  finish.result.emplace(type, shape, parts, /*hasCodes=*/false);
  return finish;
}

static LogicalResult runMatmul(Evaluator &evaluator, MatmulOp op, Frame &frame) {
  bool isExact = op.hasExactSum();
  Side lhs = readSide(op.getLhs(), frame.tensor(op.getLhs()), !op.getTransposeLhs(), isExact);
  Side rhs = readSide(op.getRhs(), frame.tensor(op.getRhs()), op.getTransposeRhs(), isExact);
  if (failed(checkSizes(op, lhs, rhs, frame)))
    return failure();
  SmallVector<int64_t> shape(lhs.batch);
  shape.append({lhs.rows, rhs.rows});
  FailureOr<Finish> finish = makeFinish(op, shape, frame);
  if (failed(finish) || failed(checkShape(op, shape)))
    return failure();
  std::optional<CodeWriter> codes;
  Array array;
  if (finish->result)
    codes.emplace(finish->result->format(), shape);
  else
    array = Array(shape, *getElement(cast<RankedTensorType>(op.getType()).getElementType()));
  SmallVector<int64_t> indices(shape.size(), 0);
  for (int64_t position = 0, end = countOf(shape); position < end; ++position, increment(indices, shape)) {
    int64_t lhsRow = position / rhs.rows, rhsRow = lhsRow / lhs.rows * rhs.rows + indices.back();
    int32_t acc = isExact ? exactSum(lhs, rhs, lhsRow, rhsRow) : 0;
    float sum = isExact ? 0 : floatSum(lhs, rhs, lhsRow, rhsRow);
    FailureOr<Scalar> value;
    if (op.hasEpilogue()) {
      value = runEpilogue(evaluator, op, Scalar{acc, sum}, indices, frame);
    } else if (isExact) {
      float factor = lhs.scales[lhsRow] * rhs.scales[rhsRow];
      if (lhs.step * rhs.step != 1) // Where it is 1 the product is left as it is.
        factor = factor * (lhs.step * rhs.step);
      value = finishExact(*finish, acc, factor, indices);
    } else {
      value = finishFloat(*finish, sum, indices);
    }
    if (failed(value))
      return failure();
    if (codes)
      codes->set(indices, uint32_t(value->i) & uint32_t(finish->result->format().numCodes() - 1));
    else
      store(array, position, *value);
  }
  Tensor result(codes ? codes->take() : std::move(array));
  result.shape = shape;
  for (Value part : op.getParts())
    result.parts.push_back(frame.tensor(part).parts.front());
  frame.bind(op.getResult(), std::move(result));
  return success();
}

void reference::addMatmulRule(Evaluator &evaluator) { evaluator.add<MatmulOp, runMatmul>(); }
