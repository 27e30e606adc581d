//===- Arrays.cpp - arrays, scalars and quantized views ---------------------===//
//
// How values are stored and rounded while a program is evaluated. Knows types and formats, no operations.
//
//===----------------------------------------------------------------------===//

#include "Arrays.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/APFloat.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace mlir;
using namespace qlow;
using namespace qlow::reference;

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

unsigned qlow::sizeOf(ArrayElement element) {
  switch (element) {
  case ArrayElement::I1:
  case ArrayElement::U8:
  case ArrayElement::I8:
  case ArrayElement::F8E8M0:
  case ArrayElement::F8E4M3:
    return 1;
  case ArrayElement::I16:
  case ArrayElement::F16:
  case ArrayElement::BF16:
    return 2;
  case ArrayElement::I32:
  case ArrayElement::F32:
    return 4;
  case ArrayElement::I64:
  case ArrayElement::F64:
    return 8;
  }
  llvm_unreachable("not an element");
}

Array::Array(ArrayRef<int64_t> shape, ArrayElement element)
    : shape(shape), element(element), bytes(countOf(shape) * sizeOf(element)) {}

int64_t Array::size() const { return countOf(shape); }

std::optional<ArrayElement> reference::getElement(Type type) {
  if (type.isInteger(1))
    return ArrayElement::I1;
  if (type.isInteger(8))
    return ArrayElement::I8;
  if (type.isInteger(16))
    return ArrayElement::I16;
  if (type.isInteger(32))
    return ArrayElement::I32;
  if (type.isInteger(64) || type.isIndex())
    return ArrayElement::I64;
  if (type.isF16())
    return ArrayElement::F16;
  if (type.isBF16())
    return ArrayElement::BF16;
  if (type.isF32())
    return ArrayElement::F32;
  if (type.isF64())
    return ArrayElement::F64;
  if (isa<Float8E8M0FNUType>(type))
    return ArrayElement::F8E8M0;
  if (isa<Float8E4M3FNType>(type))
    return ArrayElement::F8E4M3;
  return std::nullopt;
}

bool reference::isFloat(ArrayElement element) { return element >= ArrayElement::F16; }

template <typename T> static T get(const Array &array, int64_t index) {
  T value;
  std::memcpy(&value, array.bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}
template <typename T> static void put(Array &array, int64_t index, T value) {
  std::memcpy(array.bytes.data() + index * sizeof(T), &value, sizeof(T));
}

static double fromBits(const llvm::fltSemantics &semantics, uint64_t bits) {
  llvm::APFloat value(semantics, llvm::APInt(llvm::APFloat::getSizeInBits(semantics), bits));
  bool losesInfo;
  value.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven, &losesInfo);
  return value.convertToDouble();
}
static llvm::APFloat rounded(const llvm::fltSemantics &semantics, double x) {
  llvm::APFloat value(x);
  bool losesInfo;
  value.convert(semantics, llvm::APFloat::rmNearestTiesToEven, &losesInfo);
  return value;
}
static uint64_t toBits(const llvm::fltSemantics &semantics, double x) {
  return rounded(semantics, x).bitcastToAPInt().getZExtValue();
}

Scalar reference::load(const Array &array, int64_t index) {
  switch (array.element) {
  case ArrayElement::I1:
    return {get<uint8_t>(array, index) ? -1 : 0};
  case ArrayElement::U8:
    return {get<uint8_t>(array, index)};
  case ArrayElement::I8:
    return {get<int8_t>(array, index)};
  case ArrayElement::I16:
    return {get<int16_t>(array, index)};
  case ArrayElement::I32:
    return {get<int32_t>(array, index)};
  case ArrayElement::I64:
    return {get<int64_t>(array, index)};
  case ArrayElement::F16:
    return {0, fromBits(llvm::APFloat::IEEEhalf(), get<uint16_t>(array, index))};
  case ArrayElement::BF16:
    return {0, fromBits(llvm::APFloat::BFloat(), get<uint16_t>(array, index))};
  case ArrayElement::F32:
    return {0, get<float>(array, index)};
  case ArrayElement::F64:
    return {0, get<double>(array, index)};
  case ArrayElement::F8E8M0:
    return {0, findScaleFormat("f8E8M0FNU")->decode(get<uint8_t>(array, index))};
  case ArrayElement::F8E4M3:
    return {0, findScaleFormat("f8E4M3FN")->decode(get<uint8_t>(array, index))};
  }
  llvm_unreachable("not an element");
}

void reference::store(Array &array, int64_t index, Scalar value) {
  switch (array.element) {
  case ArrayElement::I1:
    return put<uint8_t>(array, index, value.i & 1);
  case ArrayElement::U8:
  case ArrayElement::I8:
    return put<uint8_t>(array, index, uint8_t(value.i));
  case ArrayElement::I16:
    return put<int16_t>(array, index, int16_t(value.i));
  case ArrayElement::I32:
    return put<int32_t>(array, index, int32_t(value.i));
  case ArrayElement::I64:
    return put<int64_t>(array, index, value.i);
  case ArrayElement::F16:
    return put<uint16_t>(array, index, uint16_t(toBits(llvm::APFloat::IEEEhalf(), value.f)));
  case ArrayElement::BF16:
    return put<uint16_t>(array, index, uint16_t(toBits(llvm::APFloat::BFloat(), value.f)));
  case ArrayElement::F32:
    return put<float>(array, index, float(value.f));
  case ArrayElement::F64:
    return put<double>(array, index, value.f);
  case ArrayElement::F8E8M0:
    return put<uint8_t>(array, index, uint8_t(findScaleFormat("f8E8M0FNU")->encode(float(value.f))));
  case ArrayElement::F8E4M3:
    return put<uint8_t>(array, index, uint8_t(findScaleFormat("f8E4M3FN")->encode(float(value.f))));
  }
}

double reference::roundTo(Type type, double value) {
  if (type.isF32())
    return float(value);
  if (type.isF64())
    return value;
  const auto &semantics = cast<FloatType>(type).getFloatSemantics();
  return fromBits(semantics, toBits(semantics, value));
}

int64_t reference::wrapTo(Type type, int64_t value) {
  unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
  return width == 64 ? value : int64_t(uint64_t(value) << (64 - width)) >> (64 - width);
}

uint64_t reference::unsignedOf(Type type, int64_t value) {
  unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
  return width == 64 ? uint64_t(value) : uint64_t(value) & ((uint64_t(1) << width) - 1);
}

// By hand, since the caller's rounding mode must not matter.
double reference::roundHalfToEven(double x) {
  if (!(std::fabs(x) < 4503599627370496.0)) // 2^52: an integer already, infinite or NaN.
    return x;
  double lower = std::floor(x), fraction = x - lower;
  bool up = fraction > 0.5 || (fraction == 0.5 && std::fmod(lower, 2.0) != 0);
  return std::copysign(up ? lower + 1 : lower, x);
}

//===----------------------------------------------------------------------===//
// Indices
//===----------------------------------------------------------------------===//

bool reference::increment(MutableArrayRef<int64_t> indices, ArrayRef<int64_t> shape) {
  for (size_t dim = indices.size(); dim-- > 0;) {
    if (++indices[dim] < shape[dim])
      return true;
    indices[dim] = 0;
  }
  return false;
}

int64_t reference::countOf(ArrayRef<int64_t> shape) {
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  return count;
}

int64_t reference::linearize(ArrayRef<int64_t> indices, ArrayRef<int64_t> shape) {
  int64_t index = 0;
  for (auto [position, size] : llvm::zip(indices, shape))
    index = index * size + position;
  return index;
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

static llvm::Expected<Array> fromResource(DenseResourceElementsAttr attribute, Array array) {
  AsmResourceBlob *blob = attribute.getRawHandle().getBlob();
  StringRef key = attribute.getRawHandle().getKey();
  if (!blob)
    return llvm::createStringError("the resource '" + key + "' has no bytes in this file");
  if (blob->getData().size() != array.bytes.size())
    return llvm::createStringError("the resource '" + key + "' has " + llvm::Twine(blob->getData().size()) +
                                   " bytes, its type needs " + llvm::Twine(array.bytes.size()));
  std::memcpy(array.bytes.data(), blob->getData().data(), array.bytes.size());
  return array;
}

llvm::Expected<Array> reference::toArray(ElementsAttr attribute) {
  ShapedType type = attribute.getShapedType();
  std::optional<ArrayElement> element = getElement(type.getElementType());
  if (!element)
    return llvm::createStringError("a constant of this element type is not accepted");
  Array array(type.getShape(), *element);
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(attribute))
    return fromResource(resource, std::move(array));
  auto dense = dyn_cast<DenseElementsAttr>(attribute);
  if (!dense)
    return llvm::createStringError("a constant is dense or dense_resource, not of another kind");
  if (*element == ArrayElement::I1) {
    for (auto [index, value] : llvm::enumerate(dense.getValues<bool>()))
      array.bytes[index] = value;
    return array;
  }
  ArrayRef<char> raw = dense.getRawData();
  for (size_t at = 0; at < array.bytes.size(); at += raw.size())
    std::memcpy(array.bytes.data() + at, raw.data(), raw.size()); // A splat stores one element.
  return array;
}

//===----------------------------------------------------------------------===//
// Quantized tensors
//===----------------------------------------------------------------------===//

/// Every value of a scale or offset: plain floats, or a quantized tensor itself. Consumes its parts.
static std::vector<float> readScales(Type type, ArrayRef<int64_t> shape,
                                     ArrayRef<std::shared_ptr<const Array>> &parts) {
  std::vector<float> values(countOf(shape));
  unsigned count = QType::getNumParts(type);
  ArrayRef<std::shared_ptr<const Array>> own = parts.take_front(count);
  parts = parts.drop_front(count);
  if (auto quantized = dyn_cast<QType>(type)) {
    QuantizedView view(quantized, shape, own);
    SmallVector<int64_t> indices(shape.size(), 0);
    for (float &value : values) {
      value = view.value(indices);
      increment(indices, shape);
    }
    return values;
  }
  for (auto [index, value] : llvm::enumerate(values))
    value = float(load(*own.front(), index).f);
  return values;
}

/// The packed row and position of a code.
static std::pair<int64_t, int64_t> locate(const Format &format, ArrayRef<int64_t> indices, ArrayRef<int64_t> shape) {
  if (shape.empty())
    return {0, 0};
  int64_t row = linearize(indices.drop_back(), shape.drop_back());
  return {row * format.rowBytes(shape.back()), indices.back()};
}

QuantizedView::QuantizedView(QType type, ArrayRef<int64_t> shape, ArrayRef<std::shared_ptr<const Array>> parts,
                             bool hasCodes)
    : type(type), shape(shape), scaleShape(type.getScaleShape(shape)) {
  if (hasCodes) {
    codes = parts.front();
    parts = parts.drop_front();
  }
  scales = readScales(type.getScale(), scaleShape, parts);
  if (const Format *format = type.getZero()) {
    const Array &packed = *parts.front();
    parts = parts.drop_front();
    SmallVector<int64_t> indices(scaleShape.size(), 0);
    for (int64_t left = countOf(scaleShape); left > 0; --left, increment(indices, scaleShape)) {
      auto [row, position] = locate(*format, indices, scaleShape);
      zeros.push_back(format->decode(format->extract(packed.bytes.data() + row, position)));
    }
  }
  if (type.getOffset())
    offsets = readScales(type.getOffset(), scaleShape, parts);
}

int64_t QuantizedView::block(ArrayRef<int64_t> indices) const {
  int64_t index = 0;
  for (auto [position, size, entry] : llvm::zip(indices, scaleShape, type.getBlock()))
    index = index * size + (entry == QType::kWhole ? 0 : position / entry);
  return index;
}

uint32_t QuantizedView::code(ArrayRef<int64_t> indices) const {
  auto [row, position] = locate(format(), indices, shape);
  return format().extract(codes->bytes.data() + row, position);
}

float QuantizedView::value(ArrayRef<int64_t> indices) const {
  float centered = format().decode(code(indices)) - zero(indices);
  float scaled = scale(indices) * centered;
  return hasOffset() ? scaled + offset(indices) : scaled;
}

CodeWriter::CodeWriter(const Format &format, ArrayRef<int64_t> shape)
    : format(format), shape(shape), array(QType::getStorageShape(format, shape), ArrayElement::I8) {}

void CodeWriter::set(ArrayRef<int64_t> indices, uint32_t code) {
  auto [row, position] = locate(format, indices, shape);
  format.insert(array.bytes.data() + row, position, code);
}

uint32_t reference::encodeWithZero(const Format &format, float v, float zero) {
  if (format.kind != DecodeKind::Integer)
    return format.encode(v);
  // In f64 the sum is exact wherever it does not saturate.
  double code = std::isnan(v) ? format.minValue() : roundHalfToEven(v) + zero;
  return format.encode(float(std::clamp<double>(code, format.minValue(), format.maxValue())));
}
