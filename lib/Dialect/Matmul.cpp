//===- Matmul.cpp - the matrix product on tensors and in kernel form --------===//
//
// Verifiers and shapes of qlow.matmul and qlow.matmul_kernel, which obey the same constraints: one product, once with
// whole operands and once with their parts; and of qlow.pack, which stores a right-hand side for kernels. Constraint
// numbers are those of docs/Semantics.md.
//
//===----------------------------------------------------------------------===//

#include "Constraints.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace qlow;
using namespace qlow::constraints;

//===----------------------------------------------------------------------===//
// Exact sums
//===----------------------------------------------------------------------===//

/// Whether a side's codes are small integers (i8 or u8 at most) under one scale along K.
static bool hasIntegerSum(RankedTensorType side, unsigned kDim) {
  auto type = dyn_cast<QType>(side.getElementType());
  if (!type || type.getOffset())
    return false;
  std::optional<IntegerImage> image = type.getFormat()->integerImage();
  return image && image->min >= -128 && image->max <= 255 && type.isConstantAlong(kDim, side.getShape());
}

bool qlow::hasExactSum(RankedTensorType lhs, bool transposeLhs, RankedTensorType rhs, bool transposeRhs) {
  return hasIntegerSum(lhs, lhs.getRank() - (transposeLhs ? 2 : 1)) &&
         hasIntegerSum(rhs, rhs.getRank() - (transposeRhs ? 1 : 2));
}

/// Floats of 8 bits that matrix units multiply as they are: those of OCP OFP8.
static bool isSmallFloat(const Format &format) {
  using NaN = MinifloatLayout::NaN;
  return format.kind == DecodeKind::Minifloat && format.bits == 8 && format.layout.isSigned &&
         (format.layout.nan == NaN::AllOnes || format.layout.nan == NaN::IEEE);
}

bool MatmulOp::hasNarrowSum() {
  return llvm::all_of(ArrayRef<Value>{getLhs(), getRhs()}, [](Value side) {
    QType type = getQuantizedElement(side.getType());
    return type && !type.getOffset() && isSmallFloat(*type.getFormat());
  });
}

static Type sumType(MLIRContext *context, bool isExact) {
  return isExact ? Type(IntegerType::get(context, 32)) : Type(Float32Type::get(context));
}

//===----------------------------------------------------------------------===//
// Checks of both forms
//===----------------------------------------------------------------------===//

namespace {
/// A product, whichever op computes it; operands as they were before they were split.
struct Product {
  Operation *op;
  RankedTensorType lhs, rhs;
  ShapedType result;
  bool transposeLhs, transposeRhs;
};
} // namespace

static Product productOf(MatmulOp op) {
  return {op,
          cast<RankedTensorType>(op.getLhs().getType()),
          cast<RankedTensorType>(op.getRhs().getType()),
          cast<ShapedType>(op.getType()),
          op.getTransposeLhs(),
          op.getTransposeRhs()};
}

/// The operands' types must have been checked to be ranked tensors.
static Product productOf(MatmulKernelOp op) {
  return {op,
          cast<RankedTensorType>(op.getLhsType()),
          cast<RankedTensorType>(op.getRhsType()),
          cast<ShapedType>(op.getOut().getType()),
          op.getTransposeLhs(),
          op.getTransposeRhs()};
}

static bool sizesAgree(int64_t a, int64_t b) { return a == b || ShapedType::isDynamic(a) || ShapedType::isDynamic(b); }

// C7
static LogicalResult verifyShapes(const Product &product) {
  auto [op, lhs, rhs, result, transposeLhs, transposeRhs] = product;
  int64_t rank = lhs.getRank();
  if (rank < 2 || rhs.getRank() != rank || !result.hasRank() || result.getRank() != rank)
    return op->emitOpError() << "expected operands and result of one rank of at least 2, found " << lhs << ", " << rhs
                             << " and " << result;
  SmallVector<int64_t> m(lhs.getShape()), n(rhs.getShape());
  if (transposeLhs)
    std::swap(m[rank - 1], m[rank - 2]);
  if (transposeRhs)
    std::swap(n[rank - 1], n[rank - 2]);
  if (!sizesAgree(m[rank - 1], n[rank - 2]))
    return op->emitOpError() << "expected both sides to agree on K, found " << m[rank - 1] << " in " << lhs << " and "
                             << n[rank - 2] << " in " << rhs;
  for (int64_t dim = 0; dim < rank; ++dim) {
    bool isBatch = dim < rank - 2;
    int64_t expected = dim == rank - 1 ? n[dim] : m[dim];
    if (!sizesAgree(expected, result.getDimSize(dim)) ||
        (isBatch && (!sizesAgree(m[dim], n[dim]) || !sizesAgree(n[dim], result.getDimSize(dim)))))
      return op->emitOpError() << "expected a result of " << (isBatch ? "the operands' batch sizes" : "size M x N")
                               << ", found " << result << " for " << lhs << " and " << rhs;
  }
  return success();
}

// C10
static LogicalResult verifyExtra(const Product &product, unsigned index, ShapedType type, AffineMap map,
                                 Type argument) {
  auto fits = [&] {
    if (!type.hasRank() || map.getNumDims() != unsigned(product.result.getRank()) ||
        map.getNumResults() != type.getRank() || !map.isProjectedPermutation(/*allowZeroInResults=*/true))
      return false;
    for (auto [size, expr] : llvm::zip(type.getShape(), map.getResults())) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      if (dim ? !sizesAgree(size, product.result.getDimSize(dim.getPosition())) : size == 0)
        return false;
    }
    return type.getElementType() == argument;
  };
  if (fits())
    return success();
  return product.op->emitOpError() << "extra " << index << " of type " << type << " does not fit its map "
                                   << AffineMapAttr::get(map) << " from (batch..., m, n) of " << product.result
                                   << " or the epilogue's argument of " << argument;
}

// C11
static LogicalResult verifyEpilogueOps(Block &block) {
  auto isScalar = [](Type type) { return type.isIntOrIndexOrFloat(); };
  for (Operation &inner : block.without_terminator())
    if ((!inner.hasTrait<OpTrait::ConstantLike>() && !OpTrait::hasElementwiseMappableTraits(&inner)) ||
        !llvm::all_of(inner.getResultTypes(), isScalar))
      return inner.emitOpError() << "is not scalar and elementwise, as all ops of an epilogue must be";
  if (!isa<YieldOp>(block.getTerminator()))
    return block.getTerminator()->emitOpError() << "ends an epilogue, which only qlow.yield does";
  return success();
}

// C10, C11
static LogicalResult verifyEpilogue(const Product &product, Block &block, TypeRange extras, ArrayAttr maps,
                                    Type wanted) {
  if (block.getNumArguments() != 1 + extras.size() || (maps ? maps.size() : 0) != extras.size())
    return product.op->emitOpError() << "expected an epilogue of 1 + " << extras.size()
                                     << " arguments and a map for each extra";
  Type sum = sumType(product.op->getContext(),
                     hasExactSum(product.lhs, product.transposeLhs, product.rhs, product.transposeRhs));
  if (block.getArgument(0).getType() != sum)
    return product.op->emitOpError() << "expected the epilogue's first argument to be the sum of type " << sum
                                     << ", found " << block.getArgument(0).getType();
  for (auto [index, extra] : llvm::enumerate(extras))
    if (failed(verifyExtra(product, index, cast<ShapedType>(extra), cast<AffineMapAttr>(maps[index]).getValue(),
                           block.getArgument(index + 1).getType())))
      return failure();
  if (failed(verifyEpilogueOps(block)))
    return failure();
  Type yielded = cast<YieldOp>(block.getTerminator()).getValue().getType();
  if (yielded != wanted)
    return product.op->emitOpError() << "expected the epilogue to yield " << wanted << ", found " << yielded;
  return success();
}

//===----------------------------------------------------------------------===//
// On tensors
//===----------------------------------------------------------------------===//

void MatmulOp::build(OpBuilder &builder, OperationState &state, Type result, Value lhs, Value rhs, bool transposeLhs,
                     bool transposeRhs, Value bias, ValueRange parts) {
  build(builder, state, result, lhs, rhs, bias, parts, ValueRange{}, transposeLhs ? builder.getUnitAttr() : UnitAttr(),
        transposeRhs ? builder.getUnitAttr() : UnitAttr(), ArrayAttr(), RecipesAttr(), RecipesAttr());
}

std::array<int64_t, 3> MatmulOp::getProblemShape() {
  auto lhs = cast<RankedTensorType>(getLhs().getType()).getShape().take_back(2);
  auto rhs = cast<RankedTensorType>(getRhs().getType()).getShape().take_back(2);
  int64_t lhsK = lhs[getTransposeLhs() ? 0 : 1], rhsK = rhs[getTransposeRhs() ? 1 : 0];
  return {lhs[getTransposeLhs() ? 1 : 0], rhs[getTransposeRhs() ? 0 : 1], ShapedType::isDynamic(lhsK) ? rhsK : lhsK};
}

bool MatmulOp::hasExactSum() {
  return qlow::hasExactSum(cast<RankedTensorType>(getLhs().getType()), getTransposeLhs(),
                           cast<RankedTensorType>(getRhs().getType()), getTransposeRhs());
}

Type MatmulOp::getAccumulatorType() { return sumType(getContext(), hasExactSum()); }

static bool isNumber(Type element) { return isa<QType, Float32Type, Float16Type, BFloat16Type>(element); }

// C8
static LogicalResult verifyElements(MatmulOp op) {
  Product product = productOf(op);
  if (!isNumber(product.lhs.getElementType()) || !isNumber(product.rhs.getElementType()))
    return op.emitOpError() << "expected operands of !qlow.q, f32, f16 or bf16, found " << product.lhs << " and "
                            << product.rhs << "; integers become quantized by qlow.compose";
  Type element = product.result.getElementType();
  auto quantized = dyn_cast<QType>(element);
  if (op.hasEpilogue())
    return success();
  if (quantized && quantized.getOffset())
    return op.emitOpError() << "expected a quantized result without offset, found " << quantized;
  if (!element.isInteger(32))
    return isNumber(element)
               ? success()
               : op.emitOpError() << "expected a result of i32, f32, f16, bf16 or !qlow.q, found " << product.result;
  auto hasUnitStep = [](RankedTensorType side) {
    return cast<QType>(side.getElementType()).getFormat()->integerImage()->step == 1.0f;
  };
  if (op.hasExactSum() && hasUnitStep(product.lhs) && hasUnitStep(product.rhs))
    return success();
  return op.emitOpError() << "an i32 result needs integer codes of at most 8 bits and one scale along K on both sides, "
                             "found "
                          << product.lhs << " and " << product.rhs;
}

// C9
static LogicalResult verifyBias(MatmulOp op) {
  if (!op.getBias())
    return success();
  auto result = cast<RankedTensorType>(op.getType()), bias = cast<RankedTensorType>(op.getBias().getType());
  Type element = result.getElementType();
  if (op.hasEpilogue())
    return op.emitOpError() << "has an epilogue: the bias belongs into it";
  bool isInteger = op.hasExactSum() && (element.isInteger(32) || isa<QType>(element));
  if (bias.getElementType().isInteger(32) == isInteger && shapesAgree(bias.getShape(), result.getShape().take_back()))
    return success();
  return op.emitOpError() << "expected a bias of N " << (isInteger ? "i32" : "f32") << " for this result, found "
                          << bias;
}

LogicalResult MatmulOp::verify() {
  auto result = cast<RankedTensorType>(getType());
  bool isQuantized = isa<QType>(result.getElementType());
  if (isQuantized && failed(verifyParts(*this, getParts().getTypes(), result, /*withCodes=*/false)))
    return failure();
  if (!isQuantized && !getParts().empty())
    return emitOpError() << "has parts of a quantized result, but the result is " << result;
  if (failed(verifyShapes(productOf(*this))) || failed(verifyElements(*this)) || failed(verifyBias(*this)))
    return failure();
  // C10
  if (!hasEpilogue() && (!getExtras().empty() || getExtraMaps()))
    return emitOpError() << "has extras but no epilogue to read them";
  return success();
}

LogicalResult MatmulOp::verifyRegions() {
  if (!hasEpilogue())
    return success();
  Product product = productOf(*this);
  Type element = product.result.getElementType();
  Type wanted = isa<QType>(element) ? Type(IntegerType::get(getContext(), 8)) : element;
  return verifyEpilogue(product, getEpilogue().front(), getExtras().getTypes(), getExtraMapsAttr(), wanted);
}

LogicalResult MatmulOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, getLoc(), getLhs());
  SmallVector<OpFoldResult> right = tensor::getMixedSizes(builder, getLoc(), getRhs());
  size_t rank = sizes.size();
  sizes[rank - 2] = sizes[rank - (getTransposeLhs() ? 1 : 2)];
  sizes[rank - 1] = right[rank - (getTransposeRhs() ? 2 : 1)];
  // Where the result's type knows more than the operands' do, it is right.
  for (auto [size, known] : llvm::zip(sizes, cast<RankedTensorType>(getType()).getShape()))
    if (!ShapedType::isDynamic(known))
      size = builder.getIndexAttr(known);
  shapes.emplace_back(std::move(sizes));
  return success();
}

//===----------------------------------------------------------------------===//
// In kernel form
//===----------------------------------------------------------------------===//

static bool areBytes(Type type) {
  auto shaped = cast<ShapedType>(type);
  return shaped.hasRank() && shaped.getRank() == 1 && shaped.getElementType().isInteger(8);
}

/// What an attribute says a side is, as a tensor.
static FailureOr<RankedTensorType> verifySideType(Operation *op, StringRef name, Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !isNumber(tensor.getElementType()))
    return op->emitOpError() << "expected " << name << " to be a ranked tensor of !qlow.q, f32, f16 or bf16, found "
                             << type;
  if (failed(QType::verifyTensor([&] { return op->emitOpError(); }, tensor)))
    return failure();
  return tensor;
}

// C14
static LogicalResult verifyOperand(MatmulKernelOp op, StringRef name, TypeRange found, Type type, bool isPacked) {
  FailureOr<RankedTensorType> side = verifySideType(op, (name + "_type").str(), type);
  if (failed(side))
    return failure();
  RankedTensorType tensor = *side;
  if (!isPacked)
    return verifyParts(op, found, tensor, /*withCodes=*/true);
  if (found.empty() || !areBytes(found.front()))
    return op.emitOpError() << "expected a packed " << name << " to begin with one dimension of i8, found (" << found
                            << ")";
  if (isa<QType>(tensor.getElementType()))
    return verifyParts(op, found.drop_front(), tensor, /*withCodes=*/false);
  if (found.size() == 1)
    return success();
  return op.emitOpError() << "expected a packed float " << name << " to be its bytes alone, found (" << found << ")";
}

QType MatmulKernelOp::getMeasuredType() { return getOutType() ? getQuantizedElement(*getOutType()) : QType(); }

/// Blocks of a row, of whole bytes: what a schedule can measure while it has the row.
// C17
static LogicalResult verifyOutputs(MatmulKernelOp op) {
  if (!op.getOutType()) {
    if (op.getOuts().size() == 1)
      return success();
    return op.emitOpError() << "expected one output, found " << op.getOuts().size();
  }
  auto tensor = dyn_cast<RankedTensorType>(*op.getOutType());
  QType type = op.getMeasuredType();
  if (!tensor || !type)
    return op.emitOpError() << "expected out_type to be a ranked tensor of !qlow.q, found " << *op.getOutType();
  if (failed(QType::verifyTensor([&] { return op.emitOpError(); }, tensor)) || failed(verifyMeasured(op, type)))
    return failure();
  ArrayRef<int64_t> block = type.getBlock();
  if (block.empty() || !llvm::all_of(block.drop_back(), [](int64_t size) { return size == 1; }) ||
      type.getFormat()->bits != 8)
    return op.emitOpError() << "expected an out_type of codes of 8 bits whose blocks are of one row, found " << tensor;
  if (failed(verifyParts(op, op.getOuts().getTypes(), tensor, /*withCodes=*/true)))
    return failure();
  // Schedules go by either.
  ArrayRef<int64_t> shape = cast<ShapedType>(op.getOut().getType()).getShape();
  for (auto [found, meant] : llvm::zip_equal(shape, tensor.getShape()))
    if (ShapedType::isDynamic(found) && !ShapedType::isDynamic(meant))
      return op.emitOpError() << "expected outputs that have the static sizes of " << tensor << ", found "
                              << op.getOut().getType();
  return success();
}

LogicalResult MatmulKernelOp::verify() {
  if (failed(verifyOperand(*this, "lhs", getLhs().getTypes(), getLhsType(), /*isPacked=*/false)) ||
      failed(verifyOperand(*this, "rhs", getRhs().getTypes(), getRhsType(), getPackedRhs().has_value())))
    return failure();
  if (failed(verifyOutputs(*this)) || failed(verifyShapes(productOf(*this))))
    return failure();
  // C15
  if (getScratch() && !areBytes(getScratch().getType()))
    return emitOpError() << "expected a scratch of one dimension of i8, found " << getScratch().getType();
  return success();
}

LogicalResult MatmulKernelOp::verifyRegions() {
  Product product = productOf(*this);
  Type wanted = product.result.getElementType();
  if (getMeasuredType()) {
    auto yield = dyn_cast<YieldOp>(getEpilogue().front().getTerminator());
    bool isFloat = yield && isa<Float32Type, Float16Type, BFloat16Type>(yield.getValue().getType());
    wanted = isFloat ? yield.getValue().getType() : Float32Type::get(getContext());
  }
  return verifyEpilogue(product, getEpilogue().front(), getExtras().getTypes(), getExtraMaps(), wanted);
}

Value MatmulKernelOp::emitK(OpBuilder &builder) {
  auto lhsType = cast<RankedTensorType>(getLhsType()), rhsType = cast<RankedTensorType>(getRhsType());
  int64_t rank = lhsType.getRank(), lhsDim = rank - (getTransposeLhs() ? 2 : 1),
          rhsDim = rank - (getTransposeRhs() ? 1 : 2);
  for (auto [type, dim] : {std::pair(lhsType, lhsDim), std::pair(rhsType, rhsDim)})
    if (!type.isDynamicDim(dim))
      return arith::ConstantIndexOp::create(builder, getLoc(), type.getDimSize(dim));
  Value k = builder.createOrFold<memref::DimOp>(getLoc(), getLhs().front(), lhsDim);
  // A dynamic last dimension counts bytes of codes, which are whole (T6).
  QType quantized = getQuantizedElement(lhsType);
  if (!quantized || lhsDim != rank - 1)
    return k;
  Value bytes = arith::ConstantIndexOp::create(builder, getLoc(), quantized.getFormat()->bytesPerGroup);
  return builder.createOrFold<arith::DivUIOp>(getLoc(), k, bytes);
}

using Effects = SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>;

/// Reads of the operands that are buffers, and writes where the op writes to them.
static void addEffects(Effects &effects, MutableOperandRange range, bool reads, bool writes) {
  for (OpOperand &operand : range) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    if (reads)
      effects.emplace_back(MemoryEffects::Read::get(), &operand);
    if (writes)
      effects.emplace_back(MemoryEffects::Write::get(), &operand);
  }
}

void MatmulKernelOp::getEffects(Effects &effects) {
  addEffects(effects, getLhsMutable(), /*reads=*/true, /*writes=*/false);
  addEffects(effects, getRhsMutable(), /*reads=*/true, /*writes=*/false);
  addEffects(effects, getExtrasMutable(), /*reads=*/true, /*writes=*/false);
  addEffects(effects, getOutsMutable(), /*reads=*/true, /*writes=*/true);
  addEffects(effects, getScratchMutable(), /*reads=*/true, /*writes=*/true);
}

//===----------------------------------------------------------------------===//
// The stored right-hand side
//===----------------------------------------------------------------------===//

// C16
LogicalResult PackOp::verify() {
  FailureOr<RankedTensorType> side = verifySideType(*this, "the type after 'as'", getSourceType());
  if (failed(side))
    return failure();
  RankedTensorType tensor = *side;
  if (tensor.getRank() < 2)
    return emitOpError() << "expected a tensor of rank 2 at least, found " << tensor;
  auto quantized = dyn_cast<QType>(tensor.getElementType());
  bool isInteger = getLayout().getElement().isInteger();
  bool isCode = getLayout().getFragment() || (isInteger && getLayout().getElement().getIntOrFloatBitWidth() < 8);
  const Format *stored = !quantized                  ? nullptr
                         : getLayout().getFragment() ? alignedFormat(*quantized.getFormat())
                                                     : quantized.getFormat();
  if (isCode && (!stored || !getLayout().getElement().isInteger(stored->bits)))
    return emitOpError() << "expected codes of " << getLayout().getElement() << " for its layout, found " << tensor;
  if (isInteger && !getLayout().getFragment() && !(quantized && quantized.getFormat()->integerImage()))
    return emitOpError() << "expected codes with an integer image for a layout of integers, found " << tensor;
  bool isHalf = isa<Float16Type, BFloat16Type>(getLayout().getElement());
  if (isHalf && tensor.getElementType() != getLayout().getElement())
    return emitOpError() << "expected elements of " << getLayout().getElement() << " for its layout, found " << tensor;
  bool isFloat = isHalf || getLayout().getElement().isF32();
  if (!isInteger && !isFloat && !(quantized && isSmallFloat(*quantized.getFormat())))
    return emitOpError() << "expected codes of a float of 8 bits for a layout of them, found " << tensor;
  if (failed(isFloat ? verifyParts(*this, getSource().getTypes(), tensor, /*withCodes=*/true)
                     : verifyCodes(*this, getSource().getTypes(), tensor)))
    return failure();
  if (!areBytes(getOut().getType()))
    return emitOpError() << "expected an output of one dimension of i8, found " << getOut().getType();
  return success();
}

LogicalResult PackOp::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) {
  if (getNumResults())
    shapes.push_back(tensor::getMixedSizes(builder, getLoc(), getOut()));
  return success();
}

void PackOp::getEffects(Effects &effects) {
  addEffects(effects, getSourceMutable(), /*reads=*/true, /*writes=*/false);
  addEffects(effects, getOutMutable(), /*reads=*/false, /*writes=*/true);
}
