//===- TensorOps.cpp - verifiers and shapes of the tensor ops ---------------===//
//
// Constraint numbers C1, C2, ... are those of docs/Semantics.md.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Dialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace qlow;

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

void QlowDialect::initialize() {
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

/// Dynamic sizes agree with any size.
static bool shapesAgree(ArrayRef<int64_t> a, ArrayRef<int64_t> b) { return succeeded(verifyCompatibleShape(a, b)); }

// C1
static LogicalResult verifyParts(Operation *op, TypeRange found, Type quantizedTensor, bool withCodes) {
  auto tensor = cast<RankedTensorType>(quantizedTensor);
  SmallVector<Type> expected = cast<QType>(tensor.getElementType()).getParts(tensor.getShape());
  ArrayRef<Type> wanted = ArrayRef<Type>(expected).drop_front(withCodes ? 0 : 1);
  auto fits = [](Type a, Type b) {
    auto x = cast<RankedTensorType>(a), y = cast<RankedTensorType>(b);
    return x.getElementType() == y.getElementType() && shapesAgree(x.getShape(), y.getShape());
  };
  if (wanted.size() == found.size() && llvm::all_of(llvm::zip(wanted, found), [&](auto pair) {
        return fits(std::get<0>(pair), std::get<1>(pair));
      }))
    return success();
  return op->emitOpError() << "expected the parts (" << TypeRange(wanted) << ") for " << quantizedTensor << ", found ("
                           << found << ")";
}

// C2
static LogicalResult verifySameShape(Operation *op, Type input, Type result) {
  auto a = cast<RankedTensorType>(input), b = cast<RankedTensorType>(result);
  if (shapesAgree(a.getShape(), b.getShape()))
    return success();
  return op->emitOpError() << "expected input and result of one shape, found " << input << " and " << result;
}

/// Sizes of `value` as attributes where static, tensor.dim ops where not.
static SmallVector<OpFoldResult> sizesOf(OpBuilder &builder, Location loc, Value value) {
  return tensor::getMixedSizes(builder, loc, value);
}

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

LogicalResult ComposeOp::verify() { return verifyParts(*this, getParts().getTypes(), getType(), true); }

LogicalResult ComposeOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  auto type = cast<RankedTensorType>(getType());
  // A dynamic last dimension only comes with whole bytes a code (T6).
  SmallVector<OpFoldResult> sizes = sizesOf(builder, getLoc(), getParts().front());
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

LogicalResult DecomposeOp::verify() { return verifyParts(*this, getParts().getTypes(), getInput().getType(), true); }

void DecomposeOp::build(OpBuilder &builder, OperationState &state, Value input) {
  auto type = cast<RankedTensorType>(input.getType());
  build(builder, state, cast<QType>(type.getElementType()).getParts(type.getShape()), input);
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

LogicalResult QuantizeOp::verify() {
  if (failed(verifyParts(*this, getParts().getTypes(), getType(), false)))
    return failure();
  return verifySameShape(*this, getInput().getType(), getType());
}

LogicalResult QuantizeDynamicOp::verify() {
  QType type = getQuantizedElement(getType());
  // C3
  bool isMx = isa<Float8E8M0FNUType>(type.getScale());
  if (type.getOffset() || !(isMx || isa<Float32Type>(type.getScale())))
    return emitOpError() << "expected a result with a scale of f32 or f8E8M0FNU and no offset, found " << type;
  if (type.getZero() && (isMx || type.getFormat()->kind != DecodeKind::Integer || type.getZero() != type.getFormat() ||
                         type.getFormat()->isSigned))
    return emitOpError() << "measures a zero point only for unsigned integer codes with an f32 scale and a zero point of "
                            "the same format, found "
                         << type;
  return verifySameShape(*this, getInput().getType(), getType());
}

LogicalResult DequantizeOp::verify() { return verifySameShape(*this, getInput().getType(), getType()); }

LogicalResult RequantizeOp::verify() {
  if (failed(verifyParts(*this, getParts().getTypes(), getType(), false)))
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
    return emitOpError() << (isFloat ? "has a shift, which half_even does not take"
                                     : "needs the shift of TOSA's rule");
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

/// All conversions keep the input's shape.
template <typename OpTy>
static LogicalResult reifyInputShape(OpTy op, OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  shapes.emplace_back(sizesOf(builder, op.getLoc(), op.getInput()));
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
// Matmul
//===----------------------------------------------------------------------===//

void MatmulOp::build(OpBuilder &builder, OperationState &state, Type result, Value lhs, Value rhs, bool transposeLhs,
                     bool transposeRhs, Value bias, ValueRange parts) {
  build(builder, state, result, lhs, rhs, bias, parts, ValueRange{},
        transposeLhs ? builder.getUnitAttr() : UnitAttr(), transposeRhs ? builder.getUnitAttr() : UnitAttr(),
        ArrayAttr(), RecipesAttr());
}

std::array<int64_t, 3> MatmulOp::getProblemShape() {
  auto lhs = cast<RankedTensorType>(getLhs().getType()).getShape().take_back(2);
  auto rhs = cast<RankedTensorType>(getRhs().getType()).getShape().take_back(2);
  int64_t lhsK = lhs[getTransposeLhs() ? 0 : 1], rhsK = rhs[getTransposeRhs() ? 1 : 0];
  return {lhs[getTransposeLhs() ? 1 : 0], rhs[getTransposeRhs() ? 0 : 1], ShapedType::isDynamic(lhsK) ? rhsK : lhsK};
}

/// Whether a side's codes are small integers (i8 at most) under one scale along K.
static bool hasIntegerSum(Value side, unsigned kDim) {
  QType type = getQuantizedElement(side.getType());
  if (!type || type.getOffset())
    return false;
  std::optional<IntegerImage> image = type.getFormat()->integerImage();
  unsigned rank = cast<RankedTensorType>(side.getType()).getRank();
  return image && image->min >= -128 && image->max <= 255 && type.isConstantAlong(kDim, rank);
}

bool MatmulOp::hasExactSum() {
  unsigned rank = cast<RankedTensorType>(getLhs().getType()).getRank();
  return hasIntegerSum(getLhs(), rank - (getTransposeLhs() ? 2 : 1)) &&
         hasIntegerSum(getRhs(), rank - (getTransposeRhs() ? 1 : 2));
}

Type MatmulOp::getAccumulatorType() {
  return hasExactSum() ? Type(IntegerType::get(getContext(), 32)) : Type(Float32Type::get(getContext()));
}

// C7
static LogicalResult verifyMatmulShapes(MatmulOp op) {
  auto lhs = cast<RankedTensorType>(op.getLhs().getType()), rhs = cast<RankedTensorType>(op.getRhs().getType());
  auto result = cast<RankedTensorType>(op.getType());
  int64_t rank = lhs.getRank();
  if (rank < 2 || rhs.getRank() != rank || result.getRank() != rank)
    return op.emitOpError() << "expected operands and result of one rank of at least 2, found " << lhs << ", " << rhs
                            << " and " << result;
  SmallVector<int64_t> m(lhs.getShape()), n(rhs.getShape());
  if (op.getTransposeLhs())
    std::swap(m[rank - 1], m[rank - 2]);
  if (op.getTransposeRhs())
    std::swap(n[rank - 1], n[rank - 2]);
  auto agree = [](int64_t a, int64_t b) { return a == b || ShapedType::isDynamic(a) || ShapedType::isDynamic(b); };
  if (!agree(m[rank - 1], n[rank - 2]))
    return op.emitOpError() << "expected both sides to agree on K, found " << m[rank - 1] << " in " << lhs << " and "
                            << n[rank - 2] << " in " << rhs;
  for (int64_t dim = 0; dim < rank; ++dim) {
    bool isBatch = dim < rank - 2;
    int64_t fromLhs = dim == rank - 1 ? n[dim] : m[dim];
    if (!agree(fromLhs, result.getDimSize(dim)) || (isBatch && !agree(m[dim], n[dim])))
      return op.emitOpError() << "expected a result of " << (isBatch ? "the operands' batch sizes" : "size M x N")
                              << ", found " << result << " for " << lhs << " and " << rhs;
  }
  return success();
}

static LogicalResult verifyMatmulElements(MatmulOp op) {
  auto isNumber = [](Value side) {
    Type element = cast<RankedTensorType>(side.getType()).getElementType();
    return isa<QType, Float32Type, Float16Type, BFloat16Type>(element);
  };
  if (!isNumber(op.getLhs()) || !isNumber(op.getRhs()))
    return op.emitOpError() << "expected operands of !qlow.q, f32, f16 or bf16, found " << op.getLhs().getType()
                            << " and " << op.getRhs().getType() << "; integers become quantized by qlow.compose";
  Type element = cast<RankedTensorType>(op.getType()).getElementType();
  bool isInteger = element.isInteger(32);
  if (!isInteger && !isa<QType, Float32Type, Float16Type, BFloat16Type>(element) && !op.hasEpilogue())
    return op.emitOpError() << "expected a result of i32, f32, f16, bf16 or !qlow.q, found " << op.getType();
  // C8
  auto isInteger1 = [](Value side) {
    QType type = getQuantizedElement(side.getType());
    return type && type.getFormat()->integerImage() && type.getFormat()->integerImage()->step == 1.0f;
  };
  if (isInteger && !op.hasEpilogue() &&
      !(op.hasExactSum() && isInteger1(op.getLhs()) && isInteger1(op.getRhs())))
    return op.emitOpError() << "an i32 result needs integer codes of at most 8 bits and one scale along K on both sides";
  // C9
  if (op.getBias()) {
    bool wantsInteger = isInteger || isa<QType>(element);
    auto bias = cast<RankedTensorType>(op.getBias().getType());
    if (bias.getElementType().isInteger(32) != wantsInteger || bias.getRank() != 1 ||
        !shapesAgree(bias.getShape(), cast<RankedTensorType>(op.getType()).getShape().take_back()))
      return op.emitOpError() << "expected a bias of N " << (wantsInteger ? "i32" : "f32") << " for this result, found "
                              << bias;
    if (op.hasEpilogue())
      return op.emitOpError() << "has an epilogue: the bias belongs into it";
  }
  return success();
}

// C10, C11
static LogicalResult verifyEpilogue(MatmulOp op) {
  if (!op.hasEpilogue()) {
    if (!op.getExtras().empty())
      return op.emitOpError() << "has extras but no epilogue to read them";
    return success();
  }
  Block &block = op.getEpilogue().front();
  if (block.getNumArguments() != 1 + op.getExtras().size() ||
      (op.getExtraMaps() ? op.getExtraMaps()->size() : 0) != op.getExtras().size())
    return op.emitOpError() << "expected an epilogue of 1 + " << op.getExtras().size()
                            << " arguments and a map for each extra";
  if (block.getArgument(0).getType() != op.getAccumulatorType())
    return op.emitOpError() << "expected the epilogue's first argument to be the sum of type "
                            << op.getAccumulatorType() << ", found " << block.getArgument(0).getType();
  unsigned rank = cast<RankedTensorType>(op.getType()).getRank();
  for (auto [index, extra] : llvm::enumerate(op.getExtras())) {
    auto type = cast<RankedTensorType>(extra.getType());
    AffineMap map = cast<AffineMapAttr>((*op.getExtraMaps())[index]).getValue();
    if (type.getElementType() != block.getArgument(index + 1).getType() || map.getNumDims() != rank ||
        map.getNumResults() != type.getRank() || !map.isProjectedPermutation(/*allowZeroInResults=*/true))
      return op.emitOpError() << "extra " << index << " of type " << type
                              << " does not fit its map or the epilogue's argument";
  }
  for (Operation &inner : block.without_terminator())
    if (!inner.hasTrait<OpTrait::ConstantLike>() && !OpTrait::hasElementwiseMappableTraits(&inner))
      return inner.emitOpError() << "is not elementwise: an epilogue holds scalar elementwise ops only";
  Type element = cast<RankedTensorType>(op.getType()).getElementType();
  Type wanted = isa<QType>(element) ? Type(IntegerType::get(op.getContext(), 8)) : element;
  Type yielded = block.getTerminator()->getOperand(0).getType();
  if (yielded != wanted)
    return op.emitOpError() << "expected the epilogue to yield " << wanted << ", found " << yielded;
  return success();
}

LogicalResult MatmulOp::verify() {
  bool isQuantized = isa<QType>(cast<RankedTensorType>(getType()).getElementType());
  if (isQuantized && failed(verifyParts(*this, getParts().getTypes(), getType(), false)))
    return failure();
  if (!isQuantized && !getParts().empty())
    return emitOpError() << "has parts of a quantized result, but the result is " << getType();
  if (failed(verifyMatmulShapes(*this)) || failed(verifyMatmulElements(*this)))
    return failure();
  return verifyEpilogue(*this);
}

LogicalResult MatmulOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> sizes = sizesOf(builder, getLoc(), getLhs());
  SmallVector<OpFoldResult> right = sizesOf(builder, getLoc(), getRhs());
  size_t rank = sizes.size();
  sizes[rank - 2] = sizes[rank - (getTransposeLhs() ? 1 : 2)];
  sizes[rank - 1] = right[rank - (getTransposeRhs() ? 2 : 1)];
  shapes.emplace_back(std::move(sizes));
  return success();
}

//===----------------------------------------------------------------------===//
// Storage and kernel form
//===----------------------------------------------------------------------===//

// C12
LogicalResult GetWeightOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto weight = symbols.lookupNearestSymbolFrom<WeightOp>(*this, getWeightAttr());
  if (!weight)
    return emitOpError() << "names @" << getWeight() << ", which is no qlow.weight";
  auto type = cast<ShapedType>(getType());
  auto source = weight.getSource().getShapedType();
  bool fits = weight.getRecipe()
                  ? type.getRank() == 1 && type.getElementType().isInteger(8) && type.getDimSize(0) == int64_t(weight.getBytes())
                  : type.getShape() == source.getShape() && type.getElementType() == source.getElementType();
  if (!fits)
    return emitOpError() << "has type " << type << ", which is not how @" << getWeight() << " is stored";
  return success();
}

void MatmulKernelOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  auto add = [&](MutableOperandRange range, bool writes) {
    for (OpOperand &operand : range) {
      if (!isa<MemRefType>(operand.get().getType()))
        continue;
      effects.emplace_back(MemoryEffects::Read::get(), &operand);
      if (writes)
        effects.emplace_back(MemoryEffects::Write::get(), &operand);
    }
  };
  add(getLhsMutable(), false);
  add(getRhsMutable(), false);
  add(getExtrasMutable(), false);
  add(getOutMutable(), true);
  add(getScratchMutable(), true);
}
