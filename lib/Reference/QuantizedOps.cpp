//===- QuantizedOps.cpp - what qlow's own ops compute -----------------------===//
//
// The formulas of docs/Semantics.md, one op after the other, in the order of their f32 operations. This file is
// compiled without contraction: what is written as two operations rounds twice.
//
//===----------------------------------------------------------------------===//

#include "Evaluator.h"

#include <cmath>

using namespace mlir;
using namespace qlow;
using namespace qlow::reference;

static RankedTensorType tensorType(Value value) { return cast<RankedTensorType>(value.getType()); }
static QType quantizedType(Value value) { return getQuantizedElement(value.getType()); }

/// The arrays of `values`, one for each part.
static std::vector<std::shared_ptr<const Array>> partsOf(ValueRange values, Frame &frame) {
  std::vector<std::shared_ptr<const Array>> parts;
  for (Value value : values)
    parts.push_back(frame.tensor(value).parts.front());
  return parts;
}

/// Checks the sizes of `parts` against a tensor of `shape`; the types were checked by the verifier (C1).
static LogicalResult checkParts(Operation *op, QType type, ArrayRef<int64_t> shape,
                                ArrayRef<std::shared_ptr<const Array>> parts, bool hasCodes) {
  if (failed(checkShape(op, shape)))
    return failure();
  SmallVector<Type> expected = type.getParts(shape);
  for (auto [part, partType] : llvm::zip_equal(parts, ArrayRef<Type>(expected).drop_front(hasCodes ? 0 : 1)))
    if (failed(checkFits(op, partType, part->shape)))
      return failure();
  return success();
}

/// The result's parts: new codes before the operands that hold the rest.
static void bindQuantized(Frame &frame, Value result, ArrayRef<int64_t> shape, Array codes,
                          std::vector<std::shared_ptr<const Array>> parts) {
  Tensor tensor;
  tensor.shape.assign(shape.begin(), shape.end());
  tensor.parts = std::move(parts);
  tensor.parts.insert(tensor.parts.begin(), std::make_shared<const Array>(std::move(codes)));
  frame.bind(result, std::move(tensor));
}

/// Calls `visit(indices, row-major position)` for each element.
static void forEachElement(ArrayRef<int64_t> shape, function_ref<void(ArrayRef<int64_t>, int64_t)> visit) {
  SmallVector<int64_t> indices(shape.size(), 0);
  for (int64_t position = 0, end = countOf(shape); position < end; ++position, increment(indices, shape))
    visit(indices, position);
}

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

static LogicalResult runCompose(Evaluator &, ComposeOp op, Frame &frame) {
  auto type = cast<RankedTensorType>(op.getType());
  QType quantized = quantizedType(op.getResult());
  Tensor tensor;
  tensor.parts = partsOf(op.getParts(), frame);
  tensor.shape.assign(type.getShape().begin(), type.getShape().end());
  for (auto [dim, size] : llvm::enumerate(tensor.shape))
    if (ShapedType::isDynamic(size)) // A dynamic last dimension has whole bytes a code (T6).
      size = tensor.parts.front()->shape[dim] /
             (dim + 1 == tensor.shape.size() ? quantized.getFormat()->bytesPerGroup : 1);
  if (failed(checkParts(op, quantized, tensor.shape, tensor.parts, /*hasCodes=*/true)))
    return failure();
  frame.bind(op.getResult(), std::move(tensor));
  return success();
}

static LogicalResult runDecompose(Evaluator &, DecomposeOp op, Frame &frame) {
  Tensor input = frame.tensor(op.getInput());
  for (auto [result, part] : llvm::zip_equal(op.getParts(), input.parts))
    frame.bind(result, Tensor(*part));
  return success();
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

/// encode((x - offset) / scale, zero) for each element.
static Array quantize(const Array &input, const QuantizedView &view) {
  CodeWriter codes(view.format(), input.shape);
  forEachElement(input.shape, [&](ArrayRef<int64_t> indices, int64_t position) {
    float x = float(load(input, position).f);
    if (view.hasOffset())
      x = x - view.offset(indices);
    codes.set(indices, encodeWithZero(view.format(), x / view.scale(indices), view.zero(indices)));
  });
  return codes.take();
}

static LogicalResult runQuantize(Evaluator &, QuantizeOp op, Frame &frame) {
  const Array &input = frame.tensor(op.getInput()).array();
  std::vector<std::shared_ptr<const Array>> parts = partsOf(op.getParts(), frame);
  QType type = quantizedType(op.getResult());
  if (failed(checkParts(op, type, input.shape, parts, /*hasCodes=*/false)))
    return failure();
  Array codes = quantize(input, QuantizedView(type, input.shape, parts, /*hasCodes=*/false));
  bindQuantized(frame, op.getResult(), input.shape, std::move(codes), std::move(parts));
  return success();
}

static LogicalResult runDequantize(Evaluator &, DequantizeOp op, Frame &frame) {
  const Tensor &input = frame.tensor(op.getInput());
  FailureOr<Array> array = makeArray(op, input.shape, tensorType(op.getResult()).getElementType());
  if (failed(array))
    return failure();
  QuantizedView view(quantizedType(op.getInput()), input.shape, input.parts);
  forEachElement(input.shape, [&](ArrayRef<int64_t> indices, int64_t position) {
    store(*array, position, {0, view.value(indices)});
  });
  frame.bind(op.getResult(), Tensor(std::move(*array)));
  return success();
}

namespace {
/// The least and greatest value of a block; NaN is passed over.
struct Extremes {
  float min = 0, max = 0;
  void include(float x) {
    min = x < min ? x : min;
    max = x > max ? x : max;
  }
  float magnitude() const { return -min > max ? -min : max; }
};
} // namespace

/// 2^(floor(log2(magnitude)) - floor(log2(max(format)))), within what f8E8M0FNU has; 1 for zero.
static float powerOfTwoScale(float magnitude, const Format &format) {
  if (magnitude == 0)
    return 1;
  int exponent = std::isinf(magnitude) ? 128 : std::ilogb(magnitude);
  return std::ldexp(1.0f, std::clamp(exponent - std::ilogb(format.maxValue()), -127, 127));
}

static float measuredScale(QType type, Extremes extremes) {
  const Format &format = *type.getFormat();
  if (isa<Float8E8M0FNUType>(type.getScale()))
    return powerOfTwoScale(extremes.magnitude(), format);
  float scale =
      type.getZero() ? (extremes.max - extremes.min) / format.maxValue() : extremes.magnitude() / format.maxValue();
  return scale == 0 ? 1 : scale;
}

static LogicalResult runQuantizeDynamic(Evaluator &, QuantizeDynamicOp op, Frame &frame) {
  const Array &input = frame.tensor(op.getInput()).array();
  QType type = quantizedType(op.getResult());
  SmallVector<int64_t> scaleShape = type.getScaleShape(input.shape);
  std::vector<Extremes> extremes(countOf(scaleShape));
  forEachElement(input.shape, [&](ArrayRef<int64_t> indices, int64_t position) {
    int64_t block = 0;
    for (auto [index, size, entry] : llvm::zip(indices, scaleShape, type.getBlock()))
      block = block * size + (entry == QType::kWhole ? 0 : index / entry);
    extremes[block].include(float(load(input, position).f));
  });
  FailureOr<Array> scales = makeArray(op, scaleShape, type.getScale());
  if (failed(scales))
    return failure();
  std::optional<CodeWriter> zeros;
  if (type.getZero())
    zeros.emplace(*type.getZero(), scaleShape);
  forEachElement(scaleShape, [&](ArrayRef<int64_t> indices, int64_t block) {
    float scale = measuredScale(type, extremes[block]);
    store(*scales, block, {0, scale});
    if (zeros)
      zeros->set(indices, encodeWithZero(*type.getZero(), 0.0f - extremes[block].min / scale, 0));
  });
  std::vector<std::shared_ptr<const Array>> parts{std::make_shared<const Array>(std::move(*scales))};
  if (zeros)
    parts.push_back(std::make_shared<const Array>(zeros->take()));
  Array codes = quantize(input, QuantizedView(type, input.shape, parts, /*hasCodes=*/false));
  bindQuantized(frame, op.getResult(), input.shape, std::move(codes), std::move(parts));
  return success();
}

/// TOSA's apply_scale_32, in 64 bits and cut to 32.
static int32_t applyScale32(int32_t value, int32_t multiplier, int shift, bool isDouble) {
  int64_t round = int64_t(1) << (shift - 1);
  if (isDouble && shift > 31)
    round += value >= 0 ? int64_t(1) << 30 : -(int64_t(1) << 30);
  uint64_t sum = uint64_t(int64_t(value) * multiplier) + uint64_t(round);
  return int32_t(int64_t(sum) >> shift);
}

static LogicalResult runRequantize(Evaluator &, RequantizeOp op, Frame &frame) {
  const Array &input = frame.tensor(op.getInput()).array();
  const Array &multiplier = frame.tensor(op.getMultiplier()).array();
  const Array *shift = op.getShift() ? &frame.tensor(op.getShift()).array() : nullptr;
  std::vector<std::shared_ptr<const Array>> parts = partsOf(op.getParts(), frame);
  QType type = quantizedType(op.getResult());
  if (failed(checkParts(op, type, input.shape, parts, /*hasCodes=*/false)))
    return failure();
  for (const Array *channels : {&multiplier, shift})
    if (channels && channels->rank() == 1 && channels->shape[0] != input.shape.back())
      return op.emitError() << "expected " << input.shape.back() << " multipliers and shifts, found "
                            << channels->shape[0];
  for (int64_t index = 0; shift && index < shift->size(); ++index)
    if (load(*shift, index).i < 2 || load(*shift, index).i > 62)
      return op.emitError() << "expected shifts from 2 to 62, found " << load(*shift, index).i;
  QuantizedView view(type, input.shape, parts, /*hasCodes=*/false);
  const Format &format = view.format();
  bool isDouble = op.getRounding() == Rounding::Double;
  CodeWriter codes(format, input.shape);
  forEachElement(input.shape, [&](ArrayRef<int64_t> indices, int64_t position) {
    auto acc = int32_t(load(input, position).i);
    Scalar m = load(multiplier, multiplier.rank() == 1 ? indices.back() : 0);
    float zero = view.zero(indices);
    if (!shift)
      return codes.set(indices, encodeWithZero(format, float(acc) * float(m.f), zero));
    int by = int(load(*shift, shift->rank() == 1 ? indices.back() : 0).i);
    double code = double(applyScale32(acc, int32_t(m.i), by, isDouble)) + zero;
    codes.set(indices, format.encode(float(std::clamp<double>(code, format.minValue(), format.maxValue()))));
  });
  bindQuantized(frame, op.getResult(), input.shape, codes.take(), std::move(parts));
  return success();
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

static LogicalResult runGetWeight(Evaluator &, GetWeightOp op, Frame &frame) {
  auto weight = SymbolTable::lookupNearestSymbolFrom<WeightOp>(op, op.getWeightAttr());
  if (weight.getLayout())
    return op.emitError() << "the reference evaluator does not read packed weights: evaluate the program before "
                             "qlow-pack-weights";
  llvm::Expected<Array> array = toArray(weight.getSource());
  if (!array)
    return op.emitError() << llvm::toString(array.takeError());
  frame.bind(op.getResult(), Tensor(std::move(*array)));
  return success();
}

void reference::addQuantizedRules(Evaluator &evaluator) {
  evaluator.add<ComposeOp, runCompose>();
  evaluator.add<DecomposeOp, runDecompose>();
  evaluator.add<QuantizeOp, runQuantize>();
  evaluator.add<QuantizeDynamicOp, runQuantizeDynamic>();
  evaluator.add<DequantizeOp, runDequantize>();
  evaluator.add<RequantizeOp, runRequantize>();
  evaluator.add<GetWeightOp, runGetWeight>();
  addMatmulRule(evaluator);
}
