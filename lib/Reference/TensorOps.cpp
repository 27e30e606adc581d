//===- TensorOps.cpp - making, slicing and reshaping tensors ----------------===//
//
// Rules of the tensor dialect and linalg.index. They move elements and never compute with them. A read or write outside
// of a tensor is an error at the op.
//
//===----------------------------------------------------------------------===//

#include "Evaluator.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace qlow;
using namespace qlow::reference;

static Type elementOf(Value value) { return cast<RankedTensorType>(value.getType()).getElementType(); }

/// Binds what was made, or passes the error on.
static LogicalResult bindArray(Frame &frame, Value result, FailureOr<Array> array) {
  if (failed(array))
    return failure();
  frame.bind(result, Tensor(std::move(*array)));
  return success();
}

/// The same elements in another shape.
static LogicalResult bindReshaped(Operation *op, Frame &frame, Value source, ArrayRef<int64_t> shape) {
  Array array = frame.tensor(source).array();
  FailureOr<int64_t> count = checkShape(op, shape);
  if (failed(count))
    return failure();
  if (*count != array.size())
    return op->emitError() << "can not give " << array.size() << " elements the shape [" << shape << "]";
  array.shape.assign(shape.begin(), shape.end());
  return bindArray(frame, op->getResult(0), std::move(array));
}

static void copyElement(const Array &from, int64_t source, Array &to, int64_t target) {
  unsigned width = sizeOf(to.element);
  std::copy_n(from.bytes.begin() + source * width, width, to.bytes.begin() + target * width);
}

/// Static sizes of a result type with the dynamic ones filled in.
static SmallVector<int64_t> sizesOf(Type type, ValueRange dynamic, Frame &frame) {
  SmallVector<int64_t> shape(cast<RankedTensorType>(type).getShape());
  auto next = dynamic.begin();
  for (int64_t &size : shape)
    if (ShapedType::isDynamic(size))
      size = frame.scalar(*next++).i;
  return shape;
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

static LogicalResult runEmpty(Evaluator &, tensor::EmptyOp op, Frame &frame) {
  return bindArray(frame, op.getResult(),
                   makeArray(op, sizesOf(op.getType(), op.getDynamicSizes(), frame), elementOf(op.getResult())));
}

static LogicalResult runDim(Evaluator &, tensor::DimOp op, Frame &frame) {
  int64_t dim = frame.scalar(op.getIndex()).i;
  const Tensor &source = frame.tensor(op.getSource());
  if (dim < 0 || dim >= int64_t(source.shape.size()))
    return op.emitError() << "asks for dimension " << dim << " of a tensor of rank " << source.shape.size();
  frame.bind(op.getResult(), Scalar{source.shape[dim]});
  return success();
}

static LogicalResult runRank(Evaluator &, tensor::RankOp op, Frame &frame) {
  frame.bind(op.getResult(), Scalar{int64_t(frame.tensor(op.getTensor()).shape.size())});
  return success();
}

static FailureOr<int64_t> positionOf(Operation *op, ValueRange values, const Array &array, Frame &frame) {
  SmallVector<int64_t> indices = llvm::map_to_vector(values, [&](Value value) { return frame.scalar(value).i; });
  for (auto [index, size] : llvm::zip_equal(indices, array.shape))
    if (index < 0 || index >= size)
      return op->emitError() << "index [" << ArrayRef<int64_t>(indices) << "] is outside of a tensor of ["
                             << array.shape << "]";
  return linearize(indices, array.shape);
}

static LogicalResult runExtract(Evaluator &, tensor::ExtractOp op, Frame &frame) {
  const Array &array = frame.tensor(op.getTensor()).array();
  FailureOr<int64_t> position = positionOf(op, op.getIndices(), array, frame);
  if (failed(position))
    return failure();
  frame.bind(op.getResult(), load(array, *position));
  return success();
}

static LogicalResult runInsert(Evaluator &, tensor::InsertOp op, Frame &frame) {
  Array array = frame.tensor(op.getDest()).array();
  FailureOr<int64_t> position = positionOf(op, op.getIndices(), array, frame);
  if (failed(position))
    return failure();
  store(array, *position, frame.scalar(op.getScalar()));
  return bindArray(frame, op.getResult(), std::move(array));
}

static LogicalResult runFromElements(Evaluator &, tensor::FromElementsOp op, Frame &frame) {
  Array array(op.getType().getShape(), *getElement(elementOf(op.getResult())));
  for (auto [index, value] : llvm::enumerate(op.getElements()))
    store(array, index, frame.scalar(value));
  return bindArray(frame, op.getResult(), std::move(array));
}

static LogicalResult runSplat(Evaluator &, tensor::SplatOp op, Frame &frame) {
  FailureOr<Array> array = makeArray(op, sizesOf(op.getType(), op.getDynamicSizes(), frame), elementOf(op.getResult()));
  if (failed(array))
    return failure();
  for (int64_t index = 0, end = array->size(); index < end; ++index)
    store(*array, index, frame.scalar(op.getInput()));
  return bindArray(frame, op.getResult(), std::move(array));
}

/// Runs `body` for the element at `indices`.
static FailureOr<Scalar> runElement(Evaluator &evaluator, Block &body, ArrayRef<int64_t> indices, Frame &frame) {
  SmallVector<RuntimeValue> arguments =
      llvm::map_to_vector(indices, [](int64_t index) { return RuntimeValue(Scalar{index}); });
  FailureOr<SmallVector<RuntimeValue>> values = evaluator.runBlock(body, arguments, frame);
  if (failed(values))
    return failure();
  return std::get<Scalar>(values->front());
}

static LogicalResult runGenerate(Evaluator &evaluator, tensor::GenerateOp op, Frame &frame) {
  FailureOr<Array> array =
      makeArray(op, sizesOf(op.getType(), op.getDynamicExtents(), frame), elementOf(op.getResult()));
  if (failed(array))
    return failure();
  SmallVector<int64_t> indices(array->rank(), 0);
  for (int64_t index = 0, end = array->size(); index < end; ++index, increment(indices, array->shape)) {
    FailureOr<Scalar> value = runElement(evaluator, op.getBody().front(), indices, frame);
    if (failed(value))
      return failure();
    store(*array, index, *value);
  }
  return bindArray(frame, op.getResult(), std::move(array));
}

static LogicalResult runPad(Evaluator &evaluator, tensor::PadOp op, Frame &frame) {
  const Array &source = frame.tensor(op.getSource()).array();
  SmallVector<int64_t> low = frame.get(op.getMixedLowPad()), high = frame.get(op.getMixedHighPad());
  SmallVector<int64_t> shape(source.shape);
  for (auto [size, before, after] : llvm::zip_equal(shape, low, high)) {
    if (before < 0 || after < 0)
      return op.emitError() << "expected padding of at least 0, found low [" << low << "] high [" << high << "]";
    size += before + after;
  }
  FailureOr<Array> array = makeArray(op, shape, elementOf(op.getResult()));
  if (failed(array))
    return failure();
  SmallVector<int64_t> indices(shape.size(), 0), inner(shape.size());
  for (int64_t index = 0, end = array->size(); index < end; ++index, increment(indices, shape)) {
    bool isInside = true;
    for (auto [dim, position] : llvm::enumerate(indices)) {
      inner[dim] = position - low[dim];
      isInside &= inner[dim] >= 0 && inner[dim] < source.shape[dim];
    }
    if (isInside) {
      copyElement(source, linearize(inner, source.shape), *array, index);
      continue;
    }
    FailureOr<Scalar> value = runElement(evaluator, op.getRegion().front(), indices, frame);
    if (failed(value))
      return failure();
    store(*array, index, *value);
  }
  return bindArray(frame, op.getResult(), std::move(array));
}

//===----------------------------------------------------------------------===//
// Slices
//===----------------------------------------------------------------------===//

namespace {
/// Elements offset + i * stride of a larger array, in row-major order of the slice.
struct Slice {
  SmallVector<int64_t> offsets, sizes, strides;

  /// Calls `visit(position in the larger array)` for each element.
  void forEach(ArrayRef<int64_t> shape, function_ref<void(int64_t)> visit) const {
    SmallVector<int64_t> indices(sizes.size(), 0), at(sizes.size());
    for (int64_t left = countOf(sizes); left > 0; --left, increment(indices, sizes)) {
      for (size_t dim = 0; dim < indices.size(); ++dim)
        at[dim] = offsets[dim] + indices[dim] * strides[dim];
      visit(linearize(at, shape));
    }
  }
};
} // namespace

template <typename OpTy> static FailureOr<Slice> readSlice(OpTy op, Frame &frame, ArrayRef<int64_t> shape) {
  Slice slice{frame.get(op.getMixedOffsets()), frame.get(op.getMixedSizes()), frame.get(op.getMixedStrides())};
  if (failed(checkShape(op, slice.sizes)))
    return failure();
  for (size_t dim = 0; dim < shape.size(); ++dim) {
    if (slice.sizes[dim] == 0)
      continue;
    int64_t first = slice.offsets[dim], last = first + (slice.sizes[dim] - 1) * slice.strides[dim];
    if (std::min(first, last) < 0 || std::max(first, last) >= shape[dim])
      return op.emitError() << "slice of offsets [" << slice.offsets << "], sizes [" << slice.sizes << "], strides ["
                            << slice.strides << "] is outside of a tensor of [" << shape << "]";
  }
  return slice;
}

static LogicalResult runExtractSlice(Evaluator &, tensor::ExtractSliceOp op, Frame &frame) {
  const Array &source = frame.tensor(op.getSource()).array();
  FailureOr<Slice> slice = readSlice(op, frame, source.shape);
  if (failed(slice))
    return failure();
  llvm::SmallBitVector dropped = op.getDroppedDims();
  SmallVector<int64_t> shape;
  for (auto [dim, size] : llvm::enumerate(slice->sizes))
    if (!dropped.test(dim))
      shape.push_back(size);
  Array array(shape, source.element);
  int64_t next = 0;
  slice->forEach(source.shape, [&](int64_t position) { copyElement(source, position, array, next++); });
  return bindArray(frame, op.getResult(), std::move(array));
}

static LogicalResult runInsertSlice(Evaluator &, tensor::InsertSliceOp op, Frame &frame) {
  Array array = frame.tensor(op.getDest()).array();
  const Array &source = frame.tensor(op.getSource()).array();
  FailureOr<Slice> slice = readSlice(op, frame, array.shape);
  if (failed(slice))
    return failure();
  if (countOf(slice->sizes) != source.size())
    return op.emitError() << "expected a source of [" << slice->sizes << "], found [" << source.shape << "]";
  int64_t next = 0;
  slice->forEach(array.shape, [&](int64_t position) { copyElement(source, next++, array, position); });
  return bindArray(frame, op.getResult(), std::move(array));
}

static LogicalResult runConcat(Evaluator &, tensor::ConcatOp op, Frame &frame) {
  int64_t dim = op.getDim();
  SmallVector<int64_t> shape(frame.tensor(op.getInputs().front()).shape);
  shape[dim] = 0;
  for (Value input : op.getInputs()) {
    ArrayRef<int64_t> sizes = frame.tensor(input).shape;
    for (size_t other = 0; other < shape.size(); ++other)
      if (int64_t(other) != dim && sizes[other] != shape[other])
        return op.emitError() << "inputs differ in dimension " << other << ": " << sizes[other] << " and "
                              << shape[other];
    shape[dim] += sizes[dim];
  }
  FailureOr<Array> array = makeArray(op, shape, elementOf(op.getResult()));
  if (failed(array))
    return failure();
  Slice slice{SmallVector<int64_t>(shape.size(), 0), {}, SmallVector<int64_t>(shape.size(), 1)};
  for (Value input : op.getInputs()) {
    const Array &source = frame.tensor(input).array();
    slice.sizes = source.shape;
    int64_t next = 0;
    slice.forEach(shape, [&](int64_t position) { copyElement(source, next++, *array, position); });
    slice.offsets[dim] += source.shape[dim];
  }
  return bindArray(frame, op.getResult(), std::move(array));
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

static LogicalResult runCast(Evaluator &, tensor::CastOp op, Frame &frame) {
  if (!isa<RankedTensorType>(op.getType()))
    return op.emitError() << "unranked tensors are not accepted";
  frame.bind(op.getResult(), frame.get(op.getSource()));
  return success();
}

static LogicalResult runExpandShape(Evaluator &, tensor::ExpandShapeOp op, Frame &frame) {
  return bindReshaped(op, frame, op.getSrc(), frame.get(op.getMixedOutputShape()));
}

static LogicalResult runCollapseShape(Evaluator &, tensor::CollapseShapeOp op, Frame &frame) {
  ArrayRef<int64_t> source = frame.tensor(op.getSrc()).shape;
  SmallVector<int64_t> shape;
  for (const ReassociationIndices &group : op.getReassociationIndices()) {
    int64_t size = 1;
    for (int64_t dim : group)
      size *= source[dim];
    shape.push_back(size);
  }
  return bindReshaped(op, frame, op.getSrc(), shape);
}

static LogicalResult runReshape(Evaluator &, tensor::ReshapeOp op, Frame &frame) {
  const Array &sizes = frame.tensor(op.getShape()).array();
  SmallVector<int64_t> shape;
  for (int64_t index = 0, end = sizes.size(); index < end; ++index)
    shape.push_back(load(sizes, index).i);
  return bindReshaped(op, frame, op.getSource(), shape);
}

static LogicalResult runIndex(Evaluator &, linalg::IndexOp op, Frame &frame) {
  frame.bind(op.getResult(), Scalar{frame.point[op.getDim()]});
  return success();
}

void reference::addTensorRules(Evaluator &evaluator) {
  evaluator.add<tensor::CastOp, runCast>();
  evaluator.add<tensor::CollapseShapeOp, runCollapseShape>();
  evaluator.add<tensor::ConcatOp, runConcat>();
  evaluator.add<tensor::DimOp, runDim>();
  evaluator.add<tensor::EmptyOp, runEmpty>();
  evaluator.add<tensor::ExpandShapeOp, runExpandShape>();
  evaluator.add<tensor::ExtractOp, runExtract>();
  evaluator.add<tensor::ExtractSliceOp, runExtractSlice>();
  evaluator.add<tensor::FromElementsOp, runFromElements>();
  evaluator.add<tensor::GenerateOp, runGenerate>();
  evaluator.add<tensor::InsertOp, runInsert>();
  evaluator.add<tensor::InsertSliceOp, runInsertSlice>();
  evaluator.add<tensor::PadOp, runPad>();
  evaluator.add<tensor::RankOp, runRank>();
  evaluator.add<tensor::ReshapeOp, runReshape>();
  evaluator.add<tensor::SplatOp, runSplat>();
  evaluator.add<linalg::IndexOp, runIndex>();
}
