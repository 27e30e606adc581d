//===- Epilogues.cpp - building the epilogue of a matmul --------------------===//
//
// The law of qlow.matmul after its sum, written as scalar ops. Scales enter as f32 extras: those of constants are
// computed here, by folding the very ops that would compute them; products of scales are taken outside of the region
// where they are smaller than the result. Every f32 operation of the law is one op, in the law's order.
//
//===----------------------------------------------------------------------===//

#include "Epilogues.h"
#include "Conversions.h"
#include "qlow/Dialect/Elements.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace qlow;

//===----------------------------------------------------------------------===//
// EpilogueBuilder
//===----------------------------------------------------------------------===//

EpilogueBuilder::EpilogueBuilder(RewriterBase &rewriter, MatmulOp op, Operation *at)
    : rewriter(rewriter), op(op), at(at), inner(op.getContext()) {
  rewriter.setInsertionPoint(at);
  if (!op.hasEpilogue()) {
    Block &block = region.emplaceBlock();
    element = block.addArgument(op.getAccumulatorType(), op.getLoc());
    inner.setInsertionPointToEnd(&block);
    return;
  }
  region.takeBody(op.getEpilogue());
  for (auto [index, tensor] : llvm::enumerate(op.getExtras()))
    extras.push_back({tensor, cast<AffineMapAttr>((*op.getExtraMaps())[index]).getValue()});
  Operation *yield = region.front().getTerminator();
  element = yield->getOperand(0);
  rewriter.eraseOp(yield);
  inner.setInsertionPointToEnd(&region.front());
}

ArrayRef<OpFoldResult> EpilogueBuilder::getSizes() {
  if (sizes.empty())
    sizes = emitMatmulSizes(rewriter, op);
  return sizes;
}

Value EpilogueBuilder::read(EpilogueExtra extra) {
  DenseElementsAttr constant;
  if (matchPattern(extra.tensor, m_Constant(&constant)) && constant.isSplat())
    return arith::ConstantOp::create(inner, getLoc(), constant.getSplatValue<TypedAttr>());
  for (auto [index, other] : llvm::enumerate(extras))
    if (other.tensor == extra.tensor && other.map == extra.map)
      return region.getArgument(index + 1);
  extras.push_back(extra);
  return region.addArgument(getElementTypeOrSelf(extra.tensor.getType()), getLoc());
}

MatmulOp EpilogueBuilder::finish(RankedTensorType type, ValueRange parts) {
  YieldOp::create(inner, getLoc(), element);
  SmallVector<Value> tensors;
  SmallVector<AffineMap> maps;
  for (EpilogueExtra &extra : extras) {
    tensors.push_back(extra.tensor);
    maps.push_back(extra.map);
  }
  rewriter.setInsertionPoint(at);
  auto result = MatmulOp::create(rewriter, getLoc(), type, op.getLhs(), op.getRhs(), /*bias=*/Value(), parts, tensors,
                                 op.getTransposeLhsAttr(), op.getTransposeRhsAttr(),
                                 maps.empty() ? ArrayAttr() : rewriter.getAffineMapArrayAttr(maps), op.getRecipesAttr(),
                                 op.getPortableRecipesAttr());
  result.getEpilogue().takeBody(region);
  result->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  return result;
}

//===----------------------------------------------------------------------===//
// Scales, zero points and offsets as extras
//===----------------------------------------------------------------------===//

/// One element of a constant; resources are read as the bytes they are.
static TypedAttr getConstantElement(ElementsAttr constant, int64_t index) {
  Type type = constant.getElementType();
  if (auto dense = dyn_cast<DenseElementsAttr>(constant))
    return cast<TypedAttr>(*(dense.value_begin<Attribute>() + index));
  unsigned width = type.getIntOrFloatBitWidth(), bytes = (width + 7) / 8;
  auto resource = cast<DenseResourceElementsAttr>(constant);
  ArrayRef<char> data = resource.getRawHandle().getBlob()->getData().slice(index * bytes, bytes);
  uint64_t bits = 0;
  for (unsigned i = 0; i < bytes; ++i)
    bits |= uint64_t(uint8_t(data[i])) << 8 * i;
  APInt value(width, bits, /*isSigned=*/false, /*implicitTrunc=*/true);
  if (auto number = dyn_cast<FloatType>(type))
    return FloatAttr::get(type, APFloat(number.getFloatSemantics(), value));
  return IntegerAttr::get(type, value);
}

/// The constant that `part` is, if its elements can be read.
static ElementsAttr getConstantPart(Value part) {
  ElementsAttr constant;
  if (!part || !matchPattern(part, m_Constant(&constant)))
    return {};
  if (isa<DenseElementsAttr>(constant))
    return constant;
  auto resource = dyn_cast<DenseResourceElementsAttr>(constant);
  if (!resource || !resource.getRawHandle().getBlob())
    return {};
  int64_t bytes = resource.getType().getElementTypeBitWidth() / 8 * resource.getNumElements();
  return int64_t(resource.getRawHandle().getBlob()->getData().size()) >= bytes ? constant : ElementsAttr();
}

static Value emitBlockElement(const ElementReader &reader, OpBuilder &builder, Location loc, BlockValue which,
                              ValueRange indices) {
  switch (which) {
  case BlockValue::Scale:
    return reader.emitScale(builder, loc, indices);
  case BlockValue::Zero:
    return reader.emitZeroPoint(builder, loc, indices);
  case BlockValue::Offset:
    return reader.emitOffset(builder, loc, indices);
  }
  return {};
}

static SmallVector<int64_t> staticShape(ArrayRef<OpFoldResult> sizes) {
  return llvm::map_to_vector(
      sizes, [](OpFoldResult size) { return getConstantIntValue(size).value_or(ShapedType::kDynamic); });
}

/// Evaluates `element` for all indices of `shape` by emitting it with constants and taking what it folds to; null if
/// it does not fold.
static DenseElementsAttr foldElements(MLIRContext *context, ArrayRef<int64_t> shape, Type type,
                                      function_ref<Value(OpBuilder &, ValueRange indices)> element) {
  constexpr int64_t kMost = 1 << 18; // About a second; above it the loop at run time is cheap beside its matmul.
  if (ShapedType::isDynamicShape(shape) || ShapedType::getNumElements(shape) > kMost)
    return {};
  Location loc = UnknownLoc::get(context);
  SmallVector<Attribute> values;
  SmallVector<int64_t> strides = computeSuffixProduct(shape);
  for (int64_t i = 0, count = ShapedType::getNumElements(shape); i < count; ++i) {
    Block scratch;
    OpBuilder builder(context);
    builder.setInsertionPointToEnd(&scratch);
    SmallVector<Value> indices;
    for (auto [stride, size] : llvm::zip(strides, shape))
      indices.push_back(arith::ConstantIndexOp::create(builder, loc, i / stride % size));
    Attribute value;
    if (!matchPattern(element(builder, indices), m_Constant(&value)))
      return {};
    values.push_back(value);
  }
  return DenseElementsAttr::get(RankedTensorType::get(shape, type), values);
}

/// Parts as constants: what `foldElements` loads.
static LoadPart makeConstantLoad() {
  return [](OpBuilder &builder, Location loc, Value part, ValueRange indices) -> Value {
    ElementsAttr constant = getConstantPart(part);
    int64_t flat = 0;
    for (auto [index, size] : llvm::zip(indices, constant.getShapedType().getShape()))
      flat = flat * size + *getConstantIntValue(index);
    return arith::ConstantOp::create(builder, loc, getConstantElement(constant, flat));
  };
}

/// Whether all parts the value is made of are constants.
static bool isConstantValue(QType type, ValueRange parts, BlockValue which) {
  unsigned scales = QType::getNumParts(type.getScale());
  ValueRange needed = parts.slice(1, scales);
  if (which == BlockValue::Zero)
    needed = parts.slice(1 + scales, 1);
  if (which == BlockValue::Offset)
    needed = parts.take_back(QType::getNumParts(type.getOffset()));
  return llvm::all_of(needed, [](Value part) { return getConstantPart(part) != nullptr; });
}

/// A part that is the value as it stands, in f32 and with blocks a map can say; else null.
static Value getPlainPart(QType type, ValueRange parts, BlockValue which) {
  bool isPlain = llvm::all_of(type.getBlock(), [](int64_t size) { return size == 1 || size == QType::kWhole; });
  if (!isPlain || which == BlockValue::Zero)
    return {};
  Type element = which == BlockValue::Scale ? type.getScale() : type.getOffset();
  return element.isF32() ? parts[which == BlockValue::Scale ? 1 : parts.size() - 1] : Value();
}

EpilogueExtra qlow::emitBlockValue(EpilogueBuilder &epilogue, QType type, ValueRange parts, BlockValue which,
                                   ArrayRef<int64_t> dims) {
  OpBuilder &builder = epilogue.outside();
  MLIRContext *context = builder.getContext();
  Location loc = epilogue.getLoc();
  int64_t rank = epilogue.getRank();
  // `kept` dimensions have more than one block; `whole` is the map that keeps the others as zeros.
  SmallVector<int64_t> kept;
  SmallVector<AffineExpr> keptExprs, wholeExprs;
  for (auto [dim, size] : llvm::enumerate(type.getBlock())) {
    bool isOne = size == QType::kWhole || dims[dim] < 0;
    wholeExprs.push_back(isOne ? getAffineConstantExpr(0, context) : getAffineDimExpr(dims[dim], context));
    if (isOne)
      continue;
    kept.push_back(dim);
    keptExprs.push_back(wholeExprs.back());
  }
  AffineMap map = AffineMap::get(rank, 0, keptExprs, context);
  auto element = [&](OpBuilder &builder, Location loc, ValueRange keptIndices, LoadPart load) {
    Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
    SmallVector<Value> indices(dims.size(), zero);
    for (auto [index, dim] : llvm::zip_equal(keptIndices, kept))
      indices[dim] = index;
    return emitBlockElement(ElementReader(type, parts, std::move(load)), builder, loc, which, indices);
  };
  SmallVector<OpFoldResult> sizes;
  for (int64_t dim : kept)
    sizes.push_back(epilogue.getSizes()[dims[dim]]);
  Type numbers = which == BlockValue::Zero ? Type(builder.getI32Type()) : Type(builder.getF32Type());
  Value plain = getPlainPart(type, parts, which);
  if (DenseElementsAttr values; plain && matchPattern(plain, m_Constant(&values))) {
    auto shape = llvm::map_to_vector(kept, [&](int64_t dim) { return values.getType().getDimSize(dim); });
    values = values.reshape(RankedTensorType::get(shape, numbers));
    return {arith::ConstantOp::create(builder, loc, values), map};
  }
  if (isConstantValue(type, parts, which)) {
    auto fold = [&](OpBuilder &builder, ValueRange indices) {
      return element(builder, loc, indices, makeConstantLoad());
    };
    if (DenseElementsAttr values = foldElements(context, staticShape(sizes), numbers, fold))
      return {arith::ConstantOp::create(builder, loc, values), map};
  }
  if (plain)
    return {plain, AffineMap::get(rank, 0, wholeExprs, context)};
  LoadPart load = makeHoistingLoad(builder);
  Value values = emitElementwise(builder, loc, sizes, numbers, {},
                                 [&](OpBuilder &builder, Location loc, ValueRange, ValueRange indices) {
                                   return element(builder, loc, indices, load);
                                 });
  return {values, map};
}

Value qlow::readResultValue(EpilogueBuilder &epilogue, QType type, ValueRange otherParts, BlockValue which) {
  if ((which == BlockValue::Zero && !type.getZero()) || (which == BlockValue::Offset && !type.getOffset()))
    return {};
  SmallVector<Value> parts = {Value()};
  llvm::append_range(parts, otherParts);
  auto dims = llvm::to_vector(llvm::seq<int64_t>(epilogue.getRank()));
  return epilogue.read(emitBlockValue(epilogue, type, parts, which, dims));
}

//===----------------------------------------------------------------------===//
// Products of scales
//===----------------------------------------------------------------------===//

namespace {
/// An f32 factor: an extra that is not read yet, or a value of the region.
struct Factor {
  EpilogueExtra extra;
  Value value;

  Value read(EpilogueBuilder &epilogue) const { return value ? value : epilogue.read(extra); }
};
} // namespace

/// Result dimensions along which the map varies.
static SmallVector<int64_t> usedDims(AffineMap a, AffineMap b) {
  SmallVector<int64_t> dims;
  for (int64_t dim = 0; dim < a.getNumDims(); ++dim)
    if (a.isFunctionOfDim(dim) || b.isFunctionOfDim(dim))
      dims.push_back(dim);
  return dims;
}

/// `map` over the dimensions `dims` only.
static AffineMap compress(AffineMap map, ArrayRef<int64_t> dims) {
  MLIRContext *context = map.getContext();
  SmallVector<AffineExpr> replacement(map.getNumDims(), getAffineConstantExpr(0, context));
  for (auto [index, dim] : llvm::enumerate(dims))
    replacement[dim] = getAffineDimExpr(index, context);
  return map.replaceDimsAndSymbols(replacement, {}, dims.size(), 0);
}

/// The f32 at each place of `shape` that `map` reads from a constant.
static SmallVector<float> readConstant(DenseElementsAttr constant, AffineMap map, ArrayRef<int64_t> shape) {
  // The map is a projected permutation: each dimension has one stride in the constant.
  SmallVector<int64_t> strides(shape.size(), 0), outer = computeSuffixProduct(shape);
  SmallVector<int64_t> inner = computeSuffixProduct(constant.getType().getShape());
  for (auto [expr, stride] : llvm::zip_equal(map.getResults(), inner))
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      strides[dim.getPosition()] = stride;
  auto values = constant.getValues<float>();
  SmallVector<float> result;
  for (int64_t i = 0, count = ShapedType::getNumElements(shape); i < count; ++i) {
    int64_t place = 0;
    for (auto [stride, step, size] : llvm::zip_equal(strides, outer, shape))
      place += i / step % size * stride;
    result.push_back(values[place]);
  }
  return result;
}

/// a OP b of constants, one f32 operation an element; null if they are none.
template <typename OpTy>
static DenseElementsAttr foldProduct(ArrayRef<int64_t> shape, Value a, AffineMap mapA, Value b, AffineMap mapB) {
  DenseElementsAttr left, right;
  if (ShapedType::isDynamicShape(shape) || !matchPattern(a, m_Constant(&left)) || !matchPattern(b, m_Constant(&right)))
    return {};
  SmallVector<float> values = readConstant(left, mapA, shape);
  for (auto [x, y] : llvm::zip_equal(values, readConstant(right, mapB, shape)))
    x = std::is_same_v<OpTy, arith::DivFOp> ? x / y : x * y;
  return DenseElementsAttr::get(RankedTensorType::get(shape, left.getElementType()), ArrayRef<float>(values));
}

/// a OP b as an f32 tensor over `dims`, the dimensions that either varies along.
template <typename OpTy>
static Value emitProduct(EpilogueBuilder &epilogue, ArrayRef<int64_t> dims, EpilogueExtra a, EpilogueExtra b) {
  OpBuilder &builder = epilogue.outside();
  Location loc = epilogue.getLoc();
  SmallVector<OpFoldResult> sizes;
  for (int64_t dim : dims)
    sizes.push_back(epilogue.getSizes()[dim]);
  AffineMap mapA = compress(a.map, dims), mapB = compress(b.map, dims);
  if (DenseElementsAttr values = foldProduct<OpTy>(staticShape(sizes), a.tensor, mapA, b.tensor, mapB))
    return arith::ConstantOp::create(builder, loc, values);
  Value empty = tensor::EmptyOp::create(builder, loc, sizes, builder.getF32Type());
  SmallVector<utils::IteratorType> iterators(dims.size(), utils::IteratorType::parallel);
  SmallVector<AffineMap> maps = {mapA, mapB, builder.getMultiDimIdentityMap(dims.size())};
  auto generic = linalg::GenericOp::create(builder, loc, empty.getType(), ValueRange{a.tensor, b.tensor}, empty, maps,
                                           iterators, [](OpBuilder &inner, Location loc, ValueRange arguments) {
                                             Value value = OpTy::create(inner, loc, arguments[0], arguments[1]);
                                             linalg::YieldOp::create(inner, loc, value);
                                           });
  return generic.getResult(0);
}

/// a OP b, outside of the region unless it varies along all dimensions of the result.
template <typename OpTy> static Factor combine(EpilogueBuilder &epilogue, Factor a, Factor b) {
  if (!a.value && !b.value) {
    SmallVector<int64_t> dims = usedDims(a.extra.map, b.extra.map);
    if (int64_t(dims.size()) < epilogue.getRank()) {
      SmallVector<AffineExpr> exprs;
      for (int64_t dim : dims)
        exprs.push_back(getAffineDimExpr(dim, epilogue.inside().getContext()));
      AffineMap map = AffineMap::get(epilogue.getRank(), 0, exprs, epilogue.inside().getContext());
      return {{emitProduct<OpTy>(epilogue, dims, a.extra, b.extra), map}, Value()};
    }
  }
  Value left = a.read(epilogue), right = b.read(epilogue);
  return {{}, epilogue.inside().createOrFold<OpTy>(epilogue.getLoc(), left, right)};
}

static Factor makeConstantFactor(EpilogueBuilder &epilogue, float value) {
  OpBuilder &builder = epilogue.outside();
  auto type = RankedTensorType::get({}, builder.getF32Type());
  Value tensor = arith::ConstantOp::create(builder, epilogue.getLoc(), DenseElementsAttr::get(type, value));
  return {{tensor, AffineMap::get(epilogue.getRank(), 0, builder.getContext())}, Value()};
}

//===----------------------------------------------------------------------===//
// The law
//===----------------------------------------------------------------------===//

/// The scale of a side that has one along K.
static EpilogueExtra emitSideScale(EpilogueBuilder &epilogue, MatmulOp op, bool isLhs) {
  int64_t rank = epilogue.getRank(), rowDim = isLhs ? rank - 2 : -1, columnDim = isLhs ? -1 : rank - 1;
  bool swapped = isLhs ? op.getTransposeLhs() : op.getTransposeRhs();
  auto dims = llvm::to_vector(llvm::seq<int64_t>(rank));
  dims[rank - 2] = swapped ? columnDim : rowDim;
  dims[rank - 1] = swapped ? rowDim : columnDim;
  Value side = isLhs ? op.getLhs() : op.getRhs();
  SmallVector<Value> parts = emitParts(epilogue.outside(), epilogue.getLoc(), side);
  return emitBlockValue(epilogue, getQuantizedElement(side.getType()), parts, BlockValue::Scale, dims);
}

/// sa * sb, times the steps of the integer images where they are not 1.
static Factor emitSumScale(EpilogueBuilder &epilogue, MatmulOp op) {
  Factor a{emitSideScale(epilogue, op, /*isLhs=*/true), Value()};
  Factor b{emitSideScale(epilogue, op, /*isLhs=*/false), Value()};
  Factor scale = combine<arith::MulFOp>(epilogue, a, b);
  float step = getQuantizedElement(op.getLhs().getType()).getFormat()->integerImage()->step *
               getQuantizedElement(op.getRhs().getType()).getFormat()->integerImage()->step;
  return step == 1 ? scale : combine<arith::MulFOp>(epilogue, scale, makeConstantFactor(epilogue, step));
}

MatmulOp qlow::scaleSum(RewriterBase &rewriter, MatmulOp op, bool meetsScales) {
  auto codes = dyn_cast<QType>(getQuantizedElement(op.getLhs().getType()).getScale());
  if (meetsScales && !codes)
    return op;
  Value sum = op.getEpilogue().getArgument(0);
  EpilogueBuilder epilogue(rewriter, op, op);
  OpBuilder &builder = epilogue.inside();
  EpilogueExtra scale;
  if (meetsScales) {
    SmallVector<Value> parts = emitParts(epilogue.outside(), op.getLoc(), op.getLhs());
    ValueRange ofCodes = ValueRange(parts).slice(1, QType::getNumParts(codes));
    scale = emitBlockValue(epilogue, codes, ofCodes, BlockValue::Scale, {});
  } else {
    scale = emitSideScale(epilogue, op, /*isLhs=*/true);
  }
  Block *region = builder.getInsertionBlock();
  builder.setInsertionPointToStart(region);
  auto scaled = arith::MulFOp::create(builder, op.getLoc(), sum, epilogue.read(scale));
  sum.replaceAllUsesExcept(scaled, scaled);
  if (epilogue.element == sum)
    epilogue.element = scaled;
  builder.setInsertionPointToEnd(region);
  auto result = cast<RankedTensorType>(op.getType());
  MatmulOp formed = epilogue.finish(result, op.getParts());
  rewriter.replaceOp(op, formed);
  return formed;
}

static Value readBias(EpilogueBuilder &epilogue, Value bias) {
  MLIRContext *context = bias.getContext();
  int64_t rank = epilogue.getRank();
  return epilogue.read({bias, AffineMap::get(rank, 0, {getAffineDimExpr(rank - 1, context)}, context)});
}

/// f32(acc) * scale + bias, then rounded to the result's type.
static void emitFloatResult(EpilogueBuilder &epilogue, MatmulOp op, Type element) {
  OpBuilder &builder = epilogue.inside();
  Location loc = op.getLoc();
  if (op.hasExactSum()) {
    Value x = arith::SIToFPOp::create(builder, loc, builder.getF32Type(), epilogue.element);
    epilogue.element = arith::MulFOp::create(builder, loc, x, emitSumScale(epilogue, op).read(epilogue));
  }
  if (op.getBias())
    epilogue.element = arith::AddFOp::create(builder, loc, epilogue.element, readBias(epilogue, op.getBias()));
  if (!element.isF32())
    epilogue.element = arith::TruncFOp::create(builder, loc, element, epilogue.element);
}

/// The i32 code of the result: encode(f32(acc + bias) * ((sa * sb) / sy), zero) where the sum is exact.
static Value emitResultCode(EpilogueBuilder &epilogue, MatmulOp op, QType type) {
  OpBuilder &builder = epilogue.inside();
  Location loc = op.getLoc();
  auto dims = llvm::to_vector(llvm::seq<int64_t>(epilogue.getRank()));
  SmallVector<Value> parts = {Value()};
  llvm::append_range(parts, op.getParts());
  Factor resultScale{emitBlockValue(epilogue, type, parts, BlockValue::Scale, dims), Value()};
  Value zero = readResultValue(epilogue, type, op.getParts(), BlockValue::Zero);
  Value x = epilogue.element;
  if (!op.hasExactSum()) {
    if (op.getBias())
      x = arith::AddFOp::create(builder, loc, x, readBias(epilogue, op.getBias()));
    x = arith::DivFOp::create(builder, loc, x, resultScale.read(epilogue));
    return emitEncode(builder, loc, *type.getFormat(), x, zero);
  }
  if (op.getBias())
    x = arith::AddIOp::create(builder, loc, x, readBias(epilogue, op.getBias()));
  x = arith::SIToFPOp::create(builder, loc, builder.getF32Type(), x);
  Factor multiplier = combine<arith::DivFOp>(epilogue, emitSumScale(epilogue, op), resultScale);
  x = arith::MulFOp::create(builder, loc, x, multiplier.read(epilogue));
  return emitEncode(builder, loc, *type.getFormat(), x, zero);
}

MatmulOp qlow::formEpilogue(RewriterBase &rewriter, MatmulOp op) {
  auto type = cast<RankedTensorType>(op.getType());
  auto quantized = dyn_cast<QType>(type.getElementType());
  EpilogueBuilder epilogue(rewriter, op, op);
  OpBuilder &builder = epilogue.inside();
  Location loc = op.getLoc();
  if (!quantized) {
    if (!type.getElementType().isInteger(32))
      emitFloatResult(epilogue, op, type.getElementType());
    else if (op.getBias())
      epilogue.element = arith::AddIOp::create(builder, loc, epilogue.element, readBias(epilogue, op.getBias()));
    MatmulOp formed = epilogue.finish(type, {});
    rewriter.replaceOp(op, formed);
    return formed;
  }
  Value code = emitResultCode(epilogue, op, quantized);
  unsigned bits = quantized.getFormat()->bits;
  Type stored = bits > 8 ? builder.getI16Type() : builder.getI8Type();
  epilogue.element = arith::TruncIOp::create(builder, loc, stored, code);
  if (bits == 8) {
    MatmulOp formed = epilogue.finish(type, op.getParts());
    rewriter.replaceOp(op, formed);
    return formed;
  }
  // Codes that are not bytes leave the matmul one by one and are packed after it.
  MatmulOp formed = epilogue.finish(RankedTensorType::get(type.getShape(), stored), {});
  SmallVector<Value> parts = {emitPackedCodes(rewriter, loc, type, formed)};
  llvm::append_range(parts, op.getParts());
  rewriter.replaceOpWithNewOp<ComposeOp>(op, type, parts);
  return formed;
}
