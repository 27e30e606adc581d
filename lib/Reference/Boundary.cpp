//===- Boundary.cpp - arrays in, arrays out ---------------------------------===//
//
// The public face of the evaluator: values of function signatures as lists of arrays, part by part.
//
//===----------------------------------------------------------------------===//

#include "Evaluator.h"

#include "qlow/Dialect/Accepted.h"

using namespace mlir;
using namespace qlow;
using namespace qlow::reference;

static ArrayElement codeElement(const Format &format) {
  return format.kind == DecodeKind::Integer && format.isSigned && format.bits == 8 ? ArrayElement::I8
                                                                                   : ArrayElement::U8;
}

static void appendArrayTypes(Type element, ArrayRef<int64_t> shape, std::vector<ArrayType> &types) {
  auto quantized = dyn_cast<QType>(element);
  if (!quantized) {
    types.push_back({SmallVector<int64_t>(shape), *getElement(element)});
    return;
  }
  auto addCodes = [&](const Format &format, ArrayRef<int64_t> shape) {
    types.push_back(
        {QType::getStorageShape(format, shape), codeElement(format), &format, shape.empty() ? 1 : shape.back()});
  };
  addCodes(*quantized.getFormat(), shape);
  SmallVector<int64_t> scales = quantized.getScaleShape(shape);
  appendArrayTypes(quantized.getScale(), scales, types);
  if (quantized.getZero())
    addCodes(*quantized.getZero(), scales);
  if (quantized.getOffset())
    appendArrayTypes(quantized.getOffset(), scales, types);
}

FailureOr<std::vector<ArrayType>> qlow::getArrayTypes(TypeRange types) {
  std::vector<ArrayType> result;
  for (Type type : types) {
    if (!isAcceptedType(type))
      return failure();
    auto tensor = dyn_cast<RankedTensorType>(type);
    appendArrayTypes(tensor ? tensor.getElementType() : type, tensor ? tensor.getShape() : ArrayRef<int64_t>(), result);
  }
  return result;
}

/// Dynamic sizes of a quantized tensor, from its codes: a dynamic last dimension has whole bytes a code (T6).
static SmallVector<int64_t> shapeOf(RankedTensorType type, const Array &first) {
  SmallVector<int64_t> shape(type.getShape());
  QType quantized = getQuantizedElement(type);
  for (auto [dim, size] : llvm::enumerate(shape))
    if (ShapedType::isDynamic(size))
      size = first.shape[dim] / (quantized && dim + 1 == shape.size() ? quantized.getFormat()->bytesPerGroup : 1);
  return shape;
}

static LogicalResult checkArray(func::FuncOp function, int64_t number, const Array &found, const ArrayType &expected) {
  if (found.element == expected.element && succeeded(verifyCompatibleShape(expected.shape, found.shape)) &&
      found.bytes.size() == size_t(found.size()) * sizeOf(found.element))
    return success();
  return function.emitError() << "array " << number << " does not fit the arguments of @" << function.getName()
                              << ": expected sizes [" << expected.shape << "], found [" << found.shape << "]";
}

/// The arguments as the program's values, their arrays checked against the types and against each other.
static FailureOr<SmallVector<RuntimeValue>> importArguments(func::FuncOp function, ArrayRef<Array> arrays) {
  FailureOr<std::vector<ArrayType>> expected = getArrayTypes(function.getArgumentTypes());
  if (failed(expected))
    return function.emitError() << "@" << function.getName() << " has an argument of a type that is not accepted";
  if (expected->size() != arrays.size())
    return function.emitError() << "@" << function.getName() << " takes " << expected->size() << " arrays, found "
                                << arrays.size();
  SmallVector<RuntimeValue> values;
  int64_t next = 0;
  for (Type type : function.getArgumentTypes()) {
    if (failed(checkArray(function, next, arrays[next], (*expected)[next])))
      return failure();
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor) {
      values.push_back(load(arrays[next++], 0));
      continue;
    }
    Tensor value;
    value.shape = shapeOf(tensor, arrays[next]);
    std::vector<ArrayType> parts;
    appendArrayTypes(tensor.getElementType(), value.shape, parts);
    for (const ArrayType &part : parts) {
      if (failed(checkArray(function, next, arrays[next], part)))
        return failure();
      Array array = arrays[next++];
      if (array.element == ArrayElement::U8)
        array.element = ArrayElement::I8; // As i8 tensors inside the program.
      value.parts.push_back(std::make_shared<const Array>(std::move(array)));
    }
    values.push_back(std::move(value));
  }
  return values;
}

static void exportResult(Type type, const RuntimeValue &value, std::vector<Array> &arrays) {
  if (const auto *number = std::get_if<Scalar>(&value)) {
    store(arrays.emplace_back(ArrayRef<int64_t>(), *getElement(type)), 0, *number);
    return;
  }
  const auto &tensor = std::get<Tensor>(value);
  std::vector<ArrayType> parts;
  appendArrayTypes(cast<RankedTensorType>(type).getElementType(), tensor.shape, parts);
  for (auto [part, partType] : llvm::zip_equal(tensor.parts, parts))
    arrays.emplace_back(*part).element = partType.element;
}

FailureOr<std::vector<Array>> qlow::evaluate(ModuleOp module, StringRef name, ArrayRef<Array> arguments) {
  auto function = module.lookupSymbol<func::FuncOp>(name);
  if (!function)
    return module.emitError() << "has no function @" << name;
  FailureOr<SmallVector<RuntimeValue>> values = importArguments(function, arguments);
  if (failed(values))
    return failure();
  if (failed(getArrayTypes(function.getResultTypes())))
    return function.emitError() << "@" << name << " has a result of a type that is not accepted";
  FailureOr<SmallVector<RuntimeValue>> results = Evaluator().call(function, *values);
  if (failed(results))
    return failure();
  std::vector<Array> arrays;
  for (auto [type, value] : llvm::zip_equal(function.getResultTypes(), *results))
    exportResult(type, value, arrays);
  return arrays;
}
