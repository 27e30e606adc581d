//===- Uniform.cpp - !quant.uniform in qlow's terms -------------------------===//
//
// Reads upstream's quantized types and makes constants of what they hold. All scales are rounded to f32 here, once.
//
//===----------------------------------------------------------------------===//

#include "Uniform.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Quant/IR/QuantTypes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"

#include <cmath>

using namespace mlir;
using namespace qlow;

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

std::optional<unsigned> Uniform::getAxis() const {
  std::optional<unsigned> axis;
  for (auto [dim, size] : llvm::enumerate(block)) {
    if (size == QType::kWhole || type.getDimSize(dim) == 1)
      continue;
    if (axis || size != 1)
      return std::nullopt;
    axis = dim;
  }
  return axis;
}

int64_t Uniform::quantize(double x, size_t channel, int64_t lowest, int64_t highest) const {
  // The division is f32's; the rest is exact in f64, and infinities saturate.
  double code = std::nearbyint(static_cast<float>(x) / scales[channel]) + static_cast<double>(zeros[channel]);
  return static_cast<int64_t>(std::clamp(code, static_cast<double>(lowest), static_cast<double>(highest)));
}

/// The scales, zero points and blocks of the three forms of !quant.uniform.
static LogicalResult readScales(function_ref<InFlightDiagnostic()> emitError, RankedTensorType tensor,
                                Uniform &uniform) {
  Type element = tensor.getElementType();
  SmallVector<int64_t> sizes(tensor.getRank(), QType::kWhole);
  auto setSize = [&](int64_t dim, int64_t size) {
    if (dim < 0 || dim >= tensor.getRank() || size < 1)
      return failure();
    sizes[dim] = size;
    return success();
  };
  bool fits = true;
  if (auto perTensor = dyn_cast<quant::UniformQuantizedType>(element)) {
    uniform.scales = {static_cast<float>(perTensor.getScale())};
    uniform.zeros = {perTensor.getZeroPoint()};
  } else if (auto perAxis = dyn_cast<quant::UniformQuantizedPerAxisType>(element)) {
    uniform.scales.assign(perAxis.getScales().begin(), perAxis.getScales().end());
    uniform.zeros.assign(perAxis.getZeroPoints().begin(), perAxis.getZeroPoints().end());
    fits = succeeded(setSize(perAxis.getQuantizedDimension(), 1));
  } else if (auto blocks = dyn_cast<quant::UniformQuantizedSubChannelType>(element)) {
    for (APFloat scale : blocks.getScales().getValues<APFloat>())
      uniform.scales.push_back(static_cast<float>(scale.convertToDouble()));
    for (APInt zero : blocks.getZeroPoints().getValues<APInt>())
      uniform.zeros.push_back(zero.getSExtValue());
    for (auto [dim, size] : blocks.getBlockSizeInfo())
      fits &= succeeded(setSize(dim, size));
  } else {
    return emitError() << "expected !quant.uniform, found " << element << "; fix its scale by calibration first";
  }
  if (!fits)
    return emitError() << "expected scales along dimensions of the tensor, found " << tensor;
  if (uniform.scales.size() > 1)
    uniform.block = QType::getCanonicalBlock(tensor.getShape(), sizes);
  int64_t expected = 1;
  for (auto [extent, size] : llvm::zip(tensor.getShape(), uniform.block)) {
    if (size == QType::kWhole)
      continue;
    if (ShapedType::isDynamic(extent))
      return emitError() << "expected a static size of the dimensions that have several scales, found " << tensor;
    expected *= (extent + size - 1) / size;
  }
  if (expected != int64_t(uniform.scales.size()) || uniform.zeros.size() != uniform.scales.size())
    return emitError() << "expected " << expected << " scales and zero points, found " << uniform.scales.size()
                       << " and " << uniform.zeros.size() << " in " << tensor;
  for (float scale : uniform.scales)
    if (!(scale > 0.0f) || std::isinf(scale))
      return emitError() << "expected scales that are positive and finite in f32, found " << scale << " in " << tensor;
  return success();
}

/// A format that holds every zero point: the codes' own, if possible.
static const Format *findZeroFormat(const Uniform &uniform) {
  auto holds = [&](const Format *format) {
    return llvm::all_of(uniform.zeros, [&](int64_t zero) {
      return zero >= static_cast<int64_t>(format->minValue()) && zero <= static_cast<int64_t>(format->maxValue());
    });
  };
  for (const Format *format : {uniform.format, findCodeFormat("i8"), findCodeFormat("u8"), findCodeFormat("i16")})
    if (holds(format))
      return format;
  return nullptr;
}

FailureOr<Uniform> qlow::readUniform(function_ref<InFlightDiagnostic()> emitError, Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return emitError() << "expected a ranked tensor of a quantized type, found " << type;
  auto element = cast<quant::QuantizedType>(tensor.getElementType());
  Uniform uniform;
  uniform.type = tensor;
  if (!isa<Float32Type, Float16Type, BFloat16Type>(element.getExpressedType()))
    return emitError() << "expected a type that stands for f32, f16 or bf16, found " << element;
  if (failed(readScales(emitError, tensor, uniform)))
    return failure();

  auto storage = dyn_cast<IntegerType>(element.getStorageType());
  unsigned bits = storage ? storage.getWidth() : 0;
  bool hasZero = llvm::any_of(uniform.zeros, [](int64_t zero) { return zero != 0; });
  uniform.min = element.getStorageTypeMin();
  uniform.max = element.getStorageTypeMax();
  MLIRContext *context = type.getContext();
  if (bits == 32 && element.isSigned()) {
    bool hasBlocks = !uniform.block.empty() && !uniform.getAxis();
    if (hasZero || element.hasStorageTypeBounds() || hasBlocks)
      return emitError() << "expected i32 storage (a bias) without zero points, bounds and blocks, found " << element;
    uniform.type = RankedTensorType::get(tensor.getShape(), IntegerType::get(context, 32));
    return uniform;
  }
  std::string name = (element.isSigned() ? "i" : "u") + std::to_string(bits);
  uniform.format = storage ? findCodeFormat(name) : nullptr;
  if (!uniform.format)
    return emitError() << "expected storage of i2 to i6, i8, i16, u2 to u6, u8, or i32 for a bias, found " << element;
  uniform.zeroFormat = hasZero ? findZeroFormat(uniform) : nullptr;
  if (hasZero && !uniform.zeroFormat)
    return emitError() << "expected zero points that fit i16, found " << element;
  auto quantized =
      QType::get(context, uniform.format, Float32Type::get(context), uniform.zeroFormat, Type(), uniform.block);
  uniform.type = RankedTensorType::get(tensor.getShape(), quantized);
  if (failed(QType::verifyTensor(emitError, uniform.type)))
    return failure();
  return uniform;
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

Value qlow::createConstant(OpBuilder &builder, Location loc, ArrayRef<float> values, ArrayRef<int64_t> shape) {
  auto type = RankedTensorType::get(shape, builder.getF32Type());
  return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, values));
}

Value qlow::createConstant(OpBuilder &builder, Location loc, ArrayRef<int32_t> values, ArrayRef<int64_t> shape) {
  auto type = RankedTensorType::get(shape, builder.getI32Type());
  return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, values));
}

/// Integers of `format` for a tensor of `shape`, row by row in the bytes that store them.
template <typename Range>
static Value createPacked(OpBuilder &builder, Location loc, const Format &format, Range integers,
                          ArrayRef<int64_t> shape) {
  SmallVector<int64_t> stored = QType::getStorageShape(format, shape);
  auto type = RankedTensorType::get(stored, builder.getI8Type());
  int64_t width = shape.empty() ? 1 : shape.back(), rowBytes = stored.back();
  SmallVector<uint8_t> bytes(type.getNumElements(), 0);
  uint32_t mask = format.bits == 32 ? ~0u : (1u << format.bits) - 1;
  int64_t index = 0;
  for (int64_t integer : integers) {
    format.insert(bytes.data() + index / width * rowBytes, index % width, static_cast<uint32_t>(integer) & mask);
    ++index;
  }
  return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, ArrayRef<uint8_t>(bytes)));
}

SmallVector<Value> qlow::createParts(OpBuilder &builder, Location loc, const Uniform &uniform) {
  auto element = cast<QType>(uniform.type.getElementType());
  SmallVector<int64_t> shape = element.getScaleShape(uniform.type.getShape());
  SmallVector<Value> parts{createConstant(builder, loc, uniform.scales, shape)};
  if (uniform.zeroFormat)
    parts.push_back(createPacked(builder, loc, *uniform.zeroFormat, uniform.zeros, shape));
  return parts;
}

Value qlow::createCodes(OpBuilder &builder, Location loc, Value storage, const Uniform &uniform) {
  ArrayRef<int64_t> shape = uniform.type.getShape();
  if (uniform.format->bits == 8 && !shape.empty())
    return storage;
  DenseElementsAttr dense;
  if (matchPattern(storage, m_Constant(&dense)))
    return createPacked(
        builder, loc, *uniform.format,
        llvm::map_range(dense.getValues<APInt>(), [](const APInt &code) { return code.getSExtValue(); }), shape);
  // i16 in a resource is stored as it is here: two bytes, the low one first.
  Attribute value;
  auto resource = matchPattern(storage, m_Constant(&value)) ? dyn_cast<DenseResourceElementsAttr>(value)
                                                            : DenseResourceElementsAttr();
  if (!resource || uniform.format->bits != 16)
    return {};
  auto type = RankedTensorType::get(QType::getStorageShape(*uniform.format, shape), builder.getI8Type());
  return arith::ConstantOp::create(builder, loc, DenseResourceElementsAttr::get(type, resource.getRawHandle()));
}
