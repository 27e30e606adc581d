//===- TensorOps.cpp - verifiers and shapes of the tensor ops ---------------===//
//
// Constraint numbers C1, C2, ... are those of docs/Semantics.md.
//
//===----------------------------------------------------------------------===//

#include "Constraints.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Transforms/InliningUtils.h"
#include "llvm/Support/CheckedArithmetic.h"

using namespace mlir;
using namespace qlow;
using namespace qlow::constraints;

#include "qlow/Dialect/Dialect.cpp.inc"

/// `private` or nothing: weights are never public.
static ParseResult parseVisibility(OpAsmParser &parser, StringAttr &visibility) {
  if (succeeded(parser.parseOptionalKeyword("private")))
    visibility = parser.getBuilder().getStringAttr("private");
  return success();
}
static void printVisibility(OpAsmPrinter &printer, Operation *, StringAttr visibility) {
  if (visibility)
    printer << visibility.getValue();
}

#define GET_OP_CLASSES
#include "qlow/Dialect/Ops.cpp.inc"

namespace {
/// All ops go where their function goes: they name nothing but weights, which belong to the module.
struct Inliner : DialectInlinerInterface {
  using DialectInlinerInterface::DialectInlinerInterface;
  bool isLegalToInline(Operation *, Region *, bool, IRMapping &) const override { return true; }
  bool isLegalToInline(Region *, Region *, bool, IRMapping &) const override { return true; }
};
} // namespace

void QlowDialect::initialize() {
  addInterfaces<Inliner>();
  registerTypes();
  registerAttributes();
  addOperations<
#define GET_OP_LIST
#include "qlow/Dialect/Ops.cpp.inc"
      >();
}

Operation *QlowDialect::materializeConstant(OpBuilder &builder, Attribute value, Type type, Location loc) {
  return arith::ConstantOp::materialize(builder, value, type, loc);
}

LogicalResult qlow::verifyBlocksFit(Operation *op) {
  auto emitError = [&] { return op->emitOpError(); };
  for (Type type : op->getOperandTypes())
    if (failed(QType::verifyTensor(emitError, type)))
      return failure();
  for (Type type : op->getResultTypes())
    if (failed(QType::verifyTensor(emitError, type)))
      return failure();
  return success();
}

//===----------------------------------------------------------------------===//
// Shared checks
//===----------------------------------------------------------------------===//

bool constraints::shapesAgree(ArrayRef<int64_t> a, ArrayRef<int64_t> b) {
  return succeeded(verifyCompatibleShape(a, b));
}

std::optional<unsigned> constraints::getElementBytes(Type element) {
  if (element.isInteger(1))
    return 1;
  bool isWhole = element.isIntOrFloat() && element.getIntOrFloatBitWidth() % 8 == 0;
  return isWhole ? std::optional<unsigned>(element.getIntOrFloatBitWidth() / 8) : std::nullopt;
}

std::optional<int64_t> constraints::getByteSize(ArrayRef<int64_t> shape, unsigned elementBytes) {
  if (llvm::is_contained(shape, 0))
    return 0;
  std::optional<int64_t> bytes = elementBytes;
  for (int64_t size : shape)
    if (bytes && !ShapedType::isDynamic(size))
      bytes = llvm::checkedMul(*bytes, size);
  return bytes;
}

static LogicalResult verifyPartTypes(Operation *op, TypeRange found, RankedTensorType tensor, ArrayRef<Type> wanted) {
  auto fits = [](Type a, Type b) {
    auto x = cast<ShapedType>(a), y = cast<ShapedType>(b);
    return y.hasRank() && x.getElementType() == y.getElementType() && shapesAgree(x.getShape(), y.getShape());
  };
  if (wanted.size() == found.size() &&
      llvm::all_of(llvm::zip(wanted, found), [&](auto pair) { return fits(std::get<0>(pair), std::get<1>(pair)); }))
    return success();
  return op->emitOpError() << "expected the parts (" << TypeRange(wanted) << ") for " << tensor << ", found (" << found
                           << ")";
}

static SmallVector<Type> partTypes(RankedTensorType tensor) {
  if (auto quantized = dyn_cast<QType>(tensor.getElementType()))
    return quantized.getParts(tensor.getShape());
  return {tensor};
}

// C1
LogicalResult constraints::verifyParts(Operation *op, TypeRange found, RankedTensorType tensor, bool withCodes) {
  return verifyPartTypes(op, found, tensor, ArrayRef<Type>(partTypes(tensor)).drop_front(withCodes ? 0 : 1));
}

LogicalResult constraints::verifyCodes(Operation *op, TypeRange found, RankedTensorType tensor) {
  return verifyPartTypes(op, found, tensor, partTypes(tensor).front());
}

// C2
static LogicalResult verifySameShape(Operation *op, Type input, Type result) {
  auto a = cast<RankedTensorType>(input), b = cast<RankedTensorType>(result);
  if (shapesAgree(a.getShape(), b.getShape()))
    return success();
  return op->emitOpError() << "expected input and result of one shape, found " << input << " and " << result;
}

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

LogicalResult ComposeOp::verify() {
  return verifyParts(*this, getParts().getTypes(), cast<RankedTensorType>(getType()), true);
}

LogicalResult ComposeOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  auto type = cast<RankedTensorType>(getType());
  // A dynamic last dimension only comes with whole bytes a code (T6).
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, getLoc(), getParts().front());
  int64_t bytes = cast<QType>(type.getElementType()).getFormat()->bytesPerGroup;
  for (auto [dim, size] : llvm::enumerate(type.getShape())) {
    if (!ShapedType::isDynamic(size)) {
      sizes[dim] = builder.getIndexAttr(size);
    } else if (dim + 1 == sizes.size() && bytes > 1) {
      Value total = getValueOrCreateConstantIndexOp(builder, getLoc(), sizes[dim]);
      Value width = arith::ConstantIndexOp::create(builder, getLoc(), bytes);
      sizes[dim] = arith::DivUIOp::create(builder, getLoc(), total, width).getResult();
    }
  }
  sizes.resize(type.getRank());
  shapes.emplace_back(std::move(sizes));
  return success();
}

LogicalResult DecomposeOp::verify() {
  return verifyParts(*this, getParts().getTypes(), cast<RankedTensorType>(getInput().getType()), true);
}

void DecomposeOp::build(OpBuilder &builder, OperationState &state, Value input) {
  auto type = cast<RankedTensorType>(input.getType());
  build(builder, state, cast<QType>(type.getElementType()).getParts(type.getShape()), input);
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

LogicalResult QuantizeOp::verify() {
  if (failed(verifyParts(*this, getParts().getTypes(), cast<RankedTensorType>(getType()), false)))
    return failure();
  return verifySameShape(*this, getInput().getType(), getType());
}

// C3
LogicalResult constraints::verifyMeasured(Operation *op, QType type) {
  bool isMx = isa<Float8E8M0FNUType>(type.getScale());
  if (type.getOffset() || !(isMx || isa<Float32Type>(type.getScale())))
    return op->emitOpError() << "expected a result with a scale of f32 or f8E8M0FNU and no offset, found " << type;
  if (type.getZero() && (isMx || type.getFormat()->kind != DecodeKind::Integer || type.getZero() != type.getFormat() ||
                         type.getFormat()->isSigned))
    return op->emitOpError()
           << "measures a zero point only for unsigned integer codes with an f32 scale and a zero point of "
              "the same format, found "
           << type;
  return success();
}

LogicalResult QuantizeDynamicOp::verify() {
  if (failed(verifyMeasured(*this, getQuantizedElement(getType()))))
    return failure();
  return verifySameShape(*this, getInput().getType(), getType());
}

LogicalResult DequantizeOp::verify() { return verifySameShape(*this, getInput().getType(), getType()); }

LogicalResult RequantizeOp::verify() {
  if (failed(verifyParts(*this, getParts().getTypes(), cast<RankedTensorType>(getType()), false)))
    return failure();
  auto type = cast<RankedTensorType>(getType());
  bool isFloat = getRounding() == Rounding::HalfEven;
  // C4
  auto countsChannels = [&](Value value) {
    auto shape = cast<RankedTensorType>(value.getType()).getShape();
    return shape.empty() || (type.getRank() > 0 && shapesAgree(shape, type.getShape().take_back()));
  };
  if (!countsChannels(getMultiplier()) || (getShift() && !countsChannels(getShift())))
    return emitOpError() << "expected multiplier and shift of rank 0, or of rank 1 and the size of the last dimension";
  if (getMultiplier().getType().getElementType().isF32() != isFloat)
    return emitOpError() << "expected a multiplier of " << (isFloat ? "f32" : "i32") << " for "
                         << stringifyRounding(getRounding()) << ", found " << getMultiplier().getType();
  // C5
  if (isFloat == static_cast<bool>(getShift()))
    return emitOpError() << (isFloat ? "has a shift, which half_even does not take" : "needs the shift of TOSA's rule");
  // C6
  QType element = getQuantizedElement(type);
  const Format &format = *element.getFormat();
  if (format.kind != DecodeKind::Integer || format.bits > 8 || element.getOffset() ||
      (element.getZero() && !element.getBlock().empty()))
    return emitOpError() << "expected a result of integer codes of at most 8 bits with one zero point and no offset, "
                            "found "
                         << element;
  return verifySameShape(*this, getInput().getType(), getType());
}

/// All conversions keep the input's shape; what the result's type knows is right.
template <typename OpTy>
static LogicalResult reifyInputShape(OpTy op, OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, op.getLoc(), op.getInput());
  for (auto [size, known] : llvm::zip(sizes, cast<RankedTensorType>(op.getType()).getShape()))
    if (!ShapedType::isDynamic(known))
      size = builder.getIndexAttr(known);
  shapes.emplace_back(std::move(sizes));
  return success();
}
LogicalResult QuantizeOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  return reifyInputShape(*this, builder, shapes);
}
LogicalResult QuantizeDynamicOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  return reifyInputShape(*this, builder, shapes);
}
LogicalResult DequantizeOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  return reifyInputShape(*this, builder, shapes);
}
LogicalResult RequantizeOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  return reifyInputShape(*this, builder, shapes);
}

//===----------------------------------------------------------------------===//
// Storage
//===----------------------------------------------------------------------===//

/// Whether a packed weight has all that packing reads: the codes, or floats, of a matrix or several.
static LogicalResult verifyPackedSource(WeightOp op, ShapedType source, RankedTensorType tensor) {
  if (tensor.getRank() < 2)
    return op.emitOpError() << "expected a tensor of rank 2 at least, as its layout is that of a matrix, found "
                            << tensor;
  QType quantized = getQuantizedElement(tensor);
  ShapedType whole = quantized ? cast<ShapedType>(quantized.getParts(tensor.getShape()).front()) : tensor;
  if (source.getShape() == whole.getShape() && source.getElementType() == whole.getElementType())
    return success();
  return op.emitOpError() << "expected a source of " << whole << ", all that a layout of " << tensor
                          << " takes in, found " << source;
}

// C13
LogicalResult WeightOp::verify() {
  ShapedType source = getSource().getShapedType();
  auto tensor = dyn_cast<RankedTensorType>(getSourceType());
  if (!tensor)
    return emitOpError() << "expected the type of a ranked tensor after 'as', found " << getSourceType();
  if (failed(QType::verifyTensor([&] { return emitOpError(); }, tensor)))
    return failure();
  std::optional<unsigned> elementBytes = getElementBytes(source.getElementType());
  std::optional<int64_t> bytes = elementBytes ? getByteSize(source.getShape(), *elementBytes) : std::nullopt;
  if (!bytes)
    return emitOpError() << "expected a source with elements of whole bytes and at most 2^63 - 1 of them, found "
                         << source;
  int64_t stored = getBytes();
  if (stored < 0 || (!getLayout() && stored != *bytes))
    return emitOpError() << "expected bytes " << (getLayout() ? 0 : *bytes) << (getLayout() ? " or more" : "")
                         << " for the source " << source << ", found " << stored;
  return getLayout() ? verifyPackedSource(*this, source, tensor) : success();
}

// C12
LogicalResult GetWeightOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto weight = symbols.lookupNearestSymbolFrom<WeightOp>(*this, getWeightAttr());
  if (!weight)
    return emitOpError() << "names @" << getWeight() << ", which is no qlow.weight";
  auto type = cast<ShapedType>(getType());
  auto source = weight.getSource().getShapedType();
  bool fits = weight.getLayout()
                  ? type.getRank() == 1 && type.getElementType().isInteger(8) &&
                        type.getDimSize(0) == int64_t(weight.getBytes())
                  : type.getShape() == source.getShape() && type.getElementType() == source.getElementType();
  if (!fits)
    return emitOpError() << "has type " << type << ", which is not how @" << getWeight() << " is stored";
  return success();
}
