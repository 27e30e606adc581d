//===- Conversions.cpp - conversions between floats and codes as linalg -----===//
//
// quantize, quantize_dynamic, requantize and dequantize as linalg.generic over the parts. Codes of whole bytes are
// computed element by element; packed codes byte by byte, each byte from the elements that have bits in it. Must not
// choose how loops run.
//
//===----------------------------------------------------------------------===//

#include "Conversions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cmath>

using namespace mlir;
using namespace qlow;

//===----------------------------------------------------------------------===//
// Parts, sizes, loops
//===----------------------------------------------------------------------===//

SmallVector<Value> qlow::emitParts(OpBuilder &builder, Location loc, Value quantized) {
  if (auto source = quantized.getDefiningOp<ComposeOp>())
    return source.getParts();
  auto op = DecomposeOp::create(builder, loc, quantized);
  return op.getParts();
}

SmallVector<OpFoldResult> qlow::emitSizes(OpBuilder &builder, Location loc, Value tensor) {
  auto type = cast<RankedTensorType>(tensor.getType());
  // Sizes of results come from the operands, so that no op has a user that only asks for its size.
  Operation *source = tensor.getDefiningOp();
  if (auto matmul = dyn_cast_if_present<MatmulOp>(source); matmul && !type.hasStaticShape())
    return emitMatmulSizes(builder, matmul);
  if (isa_and_present<QuantizeOp, QuantizeDynamicOp, DequantizeOp, RequantizeOp>(source) && !type.hasStaticShape())
    return emitSizes(builder, loc, source->getOperand(0));
  QType quantized = getQuantizedElement(type);
  if (!quantized || type.hasStaticShape())
    return tensor::getMixedSizes(builder, loc, tensor);
  // A dynamic last dimension only comes with whole bytes a code (T6).
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, emitParts(builder, loc, tensor).front());
  for (auto [dim, size] : llvm::enumerate(type.getShape()))
    if (!ShapedType::isDynamic(size))
      sizes[dim] = builder.getIndexAttr(size);
  if (type.isDynamicDim(type.getRank() - 1) && quantized.getFormat()->bytesPerGroup > 1) {
    Value bytes = getValueOrCreateConstantIndexOp(builder, loc, sizes.back());
    Value width = arith::ConstantIndexOp::create(builder, loc, quantized.getFormat()->bytesPerGroup);
    sizes.back() = arith::DivUIOp::create(builder, loc, bytes, width).getResult();
  }
  return sizes;
}

SmallVector<OpFoldResult> qlow::emitMatmulSizes(OpBuilder &builder, MatmulOp op) {
  Location loc = op.getLoc();
  SmallVector<OpFoldResult> sizes = emitSizes(builder, loc, op.getLhs());
  size_t rank = sizes.size();
  sizes[rank - 2] = sizes[rank - (op.getTransposeLhs() ? 1 : 2)];
  sizes[rank - 1] = emitSizes(builder, loc, op.getRhs())[rank - (op.getTransposeRhs() ? 2 : 1)];
  // What the result's type knows is better than what an operand's size computes.
  for (auto [dim, size] : llvm::enumerate(cast<RankedTensorType>(op.getType()).getShape()))
    if (!ShapedType::isDynamic(size))
      sizes[dim] = builder.getIndexAttr(size);
  return sizes;
}

OpFoldResult qlow::emitCeilDiv(OpBuilder &builder, Location loc, OpFoldResult size, int64_t block) {
  if (block == 1)
    return size;
  if (std::optional<int64_t> known = getConstantIntValue(size))
    return builder.getIndexAttr((*known + block - 1) / block);
  Value divisor = arith::ConstantIndexOp::create(builder, loc, block);
  return arith::CeilDivUIOp::create(builder, loc, cast<Value>(size), divisor).getResult();
}

Value qlow::emitElementwise(OpBuilder &builder, Location loc, ArrayRef<OpFoldResult> sizes, Type element,
                            ValueRange inputs, ElementBody body) {
  size_t rank = sizes.size();
  Value empty = tensor::EmptyOp::create(builder, loc, sizes, element);
  SmallVector<AffineMap> maps(inputs.size() + 1, builder.getMultiDimIdentityMap(rank));
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  auto generic =
      linalg::GenericOp::create(builder, loc, empty.getType(), inputs, empty, maps, iterators,
                                [&](OpBuilder &inner, Location loc, ValueRange arguments) {
                                  SmallVector<Value> indices;
                                  for (size_t dim = 0; dim < rank; ++dim)
                                    indices.push_back(linalg::IndexOp::create(inner, loc, dim));
                                  linalg::YieldOp::create(inner, loc, body(inner, loc, arguments.drop_back(), indices));
                                });
  return generic.getResult(0);
}

LoadPart qlow::makeHoistingLoad(OpBuilder &outer) {
  // A copy keeps the place before the loops while the caller's builder is inside them.
  return [outer = OpBuilder(outer)](OpBuilder &builder, Location loc, Value part, ValueRange indices) mutable {
    auto type = cast<RankedTensorType>(part.getType());
    if (!type.hasStaticShape() || type.getNumElements() != 1)
      return emitLoad(builder, loc, part, indices);
    SmallVector<Value> origin;
    if (type.getRank() != 0)
      origin.assign(type.getRank(), arith::ConstantIndexOp::create(outer, loc, 0));
    return emitLoad(outer, loc, part, origin);
  };
}

/// `value` with the static sizes of `type`, which it agrees with.
static Value castTo(OpBuilder &builder, Location loc, Type type, Value value) {
  return value.getType() == type ? value : tensor::CastOp::create(builder, loc, type, value).getResult();
}

static Value emitToF32(OpBuilder &builder, Location loc, Value x) {
  return x.getType().isF32() ? x : arith::ExtFOp::create(builder, loc, builder.getF32Type(), x).getResult();
}

//===----------------------------------------------------------------------===//
// Codes
//===----------------------------------------------------------------------===//

namespace {
/// The codes of a tensor, each computed from the elements of `inputs` at its place.
struct CodeTensor {
  RankedTensorType type; ///< of the quantized tensor
  SmallVector<OpFoldResult> sizes;
  SmallVector<Value> inputs;
  /// i32 code of the element at `indices`, where the inputs have `elements`.
  std::function<Value(OpBuilder &, Location, ValueRange elements, ValueRange indices)> code;

  Value emit(OpBuilder &builder, Location loc) const;

private:
  Value emitBytes(OpBuilder &builder, Location loc) const;
};
} // namespace

Value CodeTensor::emit(OpBuilder &builder, Location loc) const {
  QType quantized = cast<QType>(type.getElementType());
  if (quantized.getFormat()->bits != 8 || type.getRank() == 0)
    return emitBytes(builder, loc);
  return emitElementwise(builder, loc, sizes, builder.getI8Type(), inputs,
                         [&](OpBuilder &builder, Location loc, ValueRange elements, ValueRange indices) {
                           Value value = code(builder, loc, elements, indices);
                           return builder.createOrFold<arith::TruncIOp>(loc, builder.getI8Type(), value);
                         });
}

/// One loop over the stored bytes; elements are read where their codes' bits are.
Value CodeTensor::emitBytes(OpBuilder &builder, Location loc) const {
  const Format &format = *cast<QType>(type.getElementType()).getFormat();
  SmallVector<OpFoldResult> bytes(sizes);
  if (bytes.empty())
    bytes.push_back(builder.getIndexAttr(1));
  OpFoldResult numCodes = bytes.back();
  if (std::optional<int64_t> known = getConstantIntValue(numCodes)) {
    bytes.back() = builder.getIndexAttr(format.rowBytes(*known));
  } else {
    Value width = arith::ConstantIndexOp::create(builder, loc, format.bytesPerGroup);
    bytes.back() = arith::MulIOp::create(builder, loc, cast<Value>(numCodes), width).getResult();
  }
  Value rowCodes = getValueOrCreateConstantIndexOp(builder, loc, numCodes);
  auto body = [&](OpBuilder &builder, Location loc, ValueRange, ValueRange indices) {
    SmallVector<Value> place(indices);
    auto codeAt = [&](Value index) {
      place.back() = index;
      ArrayRef<Value> logical = ArrayRef(place).take_front(sizes.size());
      SmallVector<Value> elements;
      for (Value input : inputs)
        elements.push_back(emitLoad(builder, loc, input, logical));
      return code(builder, loc, elements, logical);
    };
    return emitByte(builder, loc, format, indices.back(), rowCodes, codeAt);
  };
  return emitElementwise(builder, loc, bytes, builder.getI8Type(), {}, body);
}

/// Composes codes and the other parts to the op's result.
static void replaceByParts(RewriterBase &rewriter, Operation *op, Value codes, ValueRange otherParts) {
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  SmallVector<Value> parts = {codes};
  llvm::append_range(parts, otherParts);
  rewriter.replaceOpWithNewOp<ComposeOp>(op, type, parts);
}

static Value emitQuantizedCodes(OpBuilder &builder, Location loc, RankedTensorType type, Value input,
                                ValueRange otherParts, ByInverse byInverse, bool isMeasured) {
  SmallVector<Value> parts = {Value()};
  llvm::append_range(parts, otherParts);
  ElementReader reader(cast<QType>(type.getElementType()), parts, makeHoistingLoad(builder));
  CodeTensor codes{type, emitSizes(builder, loc, input), {input}, {}};
  codes.code = [&](OpBuilder &builder, Location loc, ValueRange elements, ValueRange indices) {
    return reader.emitQuantized(builder, loc, emitToF32(builder, loc, elements.front()), indices, byInverse,
                                isMeasured);
  };
  return codes.emit(builder, loc);
}

Value qlow::emitPackedCodes(OpBuilder &builder, Location loc, RankedTensorType type, Value codes) {
  CodeTensor packed{type, emitSizes(builder, loc, codes), {codes}, {}};
  packed.code = [](OpBuilder &builder, Location loc, ValueRange elements, ValueRange) {
    return arith::ExtUIOp::create(builder, loc, builder.getI32Type(), elements.front()).getResult();
  };
  return packed.emit(builder, loc);
}

void qlow::lowerQuantize(RewriterBase &rewriter, QuantizeOp op, ByInverse byInverse) {
  rewriter.setInsertionPoint(op);
  auto type = cast<RankedTensorType>(op.getType());
  Value codes =
      emitQuantizedCodes(rewriter, op.getLoc(), type, op.getInput(), op.getParts(), byInverse, /*isMeasured=*/false);
  replaceByParts(rewriter, op, codes, op.getParts());
}

void qlow::lowerDequantize(RewriterBase &rewriter, DequantizeOp op) {
  rewriter.setInsertionPoint(op);
  Location loc = op.getLoc();
  auto result = cast<RankedTensorType>(op.getType());
  QType type = getQuantizedElement(op.getInput().getType());
  SmallVector<OpFoldResult> sizes = emitSizes(rewriter, loc, op.getInput());
  SmallVector<Value> parts = emitParts(rewriter, loc, op.getInput());
  // Whole-byte codes are an input of the loops, so that upstream fusion sees through them.
  bool isPacked = type.getFormat()->bits != 8 || result.getRank() == 0;
  SmallVector<Value> inputs;
  if (!isPacked)
    inputs.push_back(parts.front());
  LoadPart hoisted = makeHoistingLoad(rewriter);
  Value x = emitElementwise(rewriter, loc, sizes, result.getElementType(), inputs,
                            [&](OpBuilder &builder, Location loc, ValueRange elements, ValueRange indices) {
                              LoadPart load = [&](OpBuilder &builder, Location loc, Value part, ValueRange place) {
                                return !isPacked && part == parts.front() ? elements.front()
                                                                          : hoisted(builder, loc, part, place);
                              };
                              Value value = ElementReader(type, parts, load).emitValue(builder, loc, indices);
                              if (result.getElementType().isF32())
                                return value;
                              return builder.createOrFold<arith::TruncFOp>(loc, result.getElementType(), value);
                            });
  rewriter.replaceOp(op, castTo(rewriter, loc, result, x));
}

/// What bf16 holds of an element; see emitUnpacked.
static Value emitUnpackedNumber(OpBuilder &builder, Location loc, const ElementReader &reader, QType type,
                                bool meetsScales, ValueRange indices) {
  if (meetsScales && !isa<QType>(type.getScale()))
    return reader.emitValue(builder, loc, indices);
  Value x = emitDecode(builder, loc, *type.getFormat(), reader.emitCode(builder, loc, indices));
  if (Value zero = reader.emitZeroPoint(builder, loc, indices))
    x = arith::SubFOp::create(builder, loc, x, arith::SIToFPOp::create(builder, loc, builder.getF32Type(), zero));
  if (!meetsScales)
    return x;
  const Format &codes = *cast<QType>(type.getScale()).getFormat();
  return arith::MulFOp::create(builder, loc, x,
                               emitDecode(builder, loc, codes, reader.emitScaleCode(builder, loc, indices)));
}

Value qlow::emitUnpacked(OpBuilder &builder, Location loc, Value quantized, Type element, bool meetsScales) {
  auto tensor = cast<RankedTensorType>(quantized.getType());
  QType type = getQuantizedElement(tensor);
  ElementReader reader(type, emitParts(builder, loc, quantized), makeHoistingLoad(builder));
  bool areCodes = isa<QType>(element);
  Type stored = areCodes ? builder.getI8Type() : element;
  Value x = emitElementwise(builder, loc, emitSizes(builder, loc, quantized), stored, {},
                            [&](OpBuilder &builder, Location loc, ValueRange, ValueRange indices) -> Value {
                              if (!areCodes)
                                return builder.createOrFold<arith::TruncFOp>(
                                    loc, stored, emitUnpackedNumber(builder, loc, reader, type, meetsScales, indices));
                              Value code = reader.emitCode(builder, loc, indices);
                              Value number = emitInteger(builder, loc, *type.getFormat(), code);
                              return builder.createOrFold<arith::TruncIOp>(loc, stored, number);
                            });
  return castTo(builder, loc, RankedTensorType::get(tensor.getShape(), stored), x);
}

//===----------------------------------------------------------------------===//
// Requantize
//===----------------------------------------------------------------------===//

/// TOSA's apply_scale_32: (acc * multiplier + round) >> shift in i64, cut to i32; with two roundings a shift above 31
/// rounds half away from zero at bit 30 first.
static Value emitApplyScale32(OpBuilder &builder, Location loc, Rounding rounding, Value acc, Value multiplier,
                              Value shift) {
  Type i64 = builder.getI64Type();
  auto constant = [&](int64_t value) { return arith::ConstantIntOp::create(builder, loc, value, 64).getResult(); };
  Value wide = arith::ExtSIOp::create(builder, loc, i64, acc);
  Value factor = arith::ExtSIOp::create(builder, loc, i64, multiplier);
  Value places = arith::ExtSIOp::create(builder, loc, i64, shift);
  Value one = constant(1);
  Value round = arith::ShLIOp::create(builder, loc, one, arith::SubIOp::create(builder, loc, places, one));
  if (rounding == Rounding::Double) {
    Value isLarge = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sgt, places, constant(31));
    Value isNegative = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, wide, constant(0));
    Value away =
        arith::SelectOp::create(builder, loc, isNegative, constant(-(int64_t(1) << 30)), constant(int64_t(1) << 30));
    Value both = arith::AddIOp::create(builder, loc, round, away);
    round = arith::SelectOp::create(builder, loc, isLarge, both, round);
  }
  Value product = arith::MulIOp::create(builder, loc, wide, factor);
  Value shifted = arith::ShRSIOp::create(builder, loc, arith::AddIOp::create(builder, loc, product, round), places);
  return arith::TruncIOp::create(builder, loc, builder.getI32Type(), shifted);
}

Value qlow::emitRequantized(OpBuilder &builder, Location loc, const Format &format, Rounding rounding, Value acc,
                            Value multiplier, Value shift, Value zero) {
  if (rounding == Rounding::HalfEven) {
    Value x = arith::SIToFPOp::create(builder, loc, builder.getF32Type(), acc);
    return emitEncode(builder, loc, format, arith::MulFOp::create(builder, loc, x, multiplier), zero);
  }
  int64_t min = int64_t(format.minValue()), max = int64_t(format.maxValue());
  auto constant = [&](int64_t value) { return arith::ConstantIntOp::create(builder, loc, value, 64).getResult(); };
  Value scaled = arith::ExtSIOp::create(builder, loc, builder.getI64Type(),
                                        emitApplyScale32(builder, loc, rounding, acc, multiplier, shift));
  if (zero)
    scaled =
        arith::AddIOp::create(builder, loc, scaled, arith::ExtSIOp::create(builder, loc, builder.getI64Type(), zero));
  scaled = arith::MaxSIOp::create(builder, loc, scaled, constant(min));
  scaled = arith::MinSIOp::create(builder, loc, scaled, constant(max));
  Value code = arith::TruncIOp::create(builder, loc, builder.getI32Type(), scaled);
  Value mask = arith::ConstantIntOp::create(builder, loc, (int64_t(1) << format.bits) - 1, 32);
  return format.isSigned ? arith::AndIOp::create(builder, loc, code, mask).getResult() : code;
}

void qlow::lowerRequantize(RewriterBase &rewriter, RequantizeOp op) {
  rewriter.setInsertionPoint(op);
  Location loc = op.getLoc();
  auto type = cast<RankedTensorType>(op.getType());
  QType quantized = cast<QType>(type.getElementType());
  SmallVector<Value> parts = {Value()};
  llvm::append_range(parts, op.getParts());
  LoadPart load = makeHoistingLoad(rewriter);
  ElementReader reader(quantized, parts, load);
  // Multiplier and shift have rank 0, or rank 1 and count the last dimension (C4).
  auto loadChannel = [&](OpBuilder &builder, Location loc, Value factor, ValueRange indices) {
    int64_t rank = cast<RankedTensorType>(factor.getType()).getRank();
    return load(builder, loc, factor, indices.take_back(rank));
  };
  CodeTensor codes{type, emitSizes(rewriter, loc, op.getInput()), {op.getInput()}, {}};
  codes.code = [&](OpBuilder &builder, Location loc, ValueRange elements, ValueRange indices) {
    Value multiplier = loadChannel(builder, loc, op.getMultiplier(), indices);
    Value shift = op.getShift() ? loadChannel(builder, loc, op.getShift(), indices) : Value();
    Value zero = reader.emitZeroPoint(builder, loc, indices);
    return emitRequantized(builder, loc, *quantized.getFormat(), op.getRounding(), elements.front(), multiplier, shift,
                           zero);
  };
  replaceByParts(rewriter, op, codes.emit(rewriter, loc), op.getParts());
}

//===----------------------------------------------------------------------===//
// Dynamic quantization
//===----------------------------------------------------------------------===//

/// An input whose blocks lie along its last dimension, whole ones: that dimension as blocks and what is in them.
static Value splitIntoBlocks(OpBuilder &builder, Location loc, Value input, QType type) {
  auto tensor = cast<RankedTensorType>(input.getType());
  if (type.getBlock().empty())
    return {};
  int64_t rank = tensor.getRank(), size = tensor.getShape().back(), block = type.getBlock().back();
  auto isOne = [](int64_t each) { return each == 1; };
  if (ShapedType::isDynamic(size) || block <= 1 || size % block || !llvm::all_of(type.getBlock().drop_back(), isOne))
    return {};
  SmallVector<OpFoldResult> sizes = emitSizes(builder, loc, input);
  sizes.back() = builder.getIndexAttr(size / block);
  sizes.push_back(builder.getIndexAttr(block));
  SmallVector<int64_t> shape(tensor.getShape().drop_back());
  shape.append({size / block, block});
  SmallVector<ReassociationIndices> dims;
  for (int64_t dim = 0; dim < rank; ++dim)
    dims.push_back({dim});
  dims.back().push_back(rank);
  return tensor::ExpandShapeOp::create(builder, loc, tensor.clone(shape), input, dims, sizes);
}

/// The extremes of each block.
static SmallVector<Value> emitBlockExtremes(OpBuilder &builder, Location loc, Value input, QType type,
                                            ArrayRef<OpFoldResult> scaleSizes) {
  int64_t rank = cast<RankedTensorType>(input.getType()).getRank();
  SmallVector<AffineExpr> blocks;
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::reduction);
  for (auto [dim, size] : llvm::enumerate(type.getBlock())) {
    AffineExpr index = builder.getAffineDimExpr(dim);
    blocks.push_back(size == QType::kWhole ? builder.getAffineConstantExpr(0) : index.floorDiv(size));
    if (size == 1)
      iterators[dim] = utils::IteratorType::parallel;
  }
  if (Value split = splitIntoBlocks(builder, loc, input, type)) {
    input = split;
    blocks.back() = builder.getAffineDimExpr(rank - 1);
    iterators.back() = utils::IteratorType::parallel;
    iterators.push_back(utils::IteratorType::reduction);
    ++rank;
  }
  AffineMap blockMap = AffineMap::get(rank, 0, blocks, builder.getContext());
  Value zero = arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(0));
  SmallVector<Value> results;
  SmallVector<AffineMap> maps = {builder.getMultiDimIdentityMap(rank)};
  for (unsigned i = 0; i < (type.getZero() ? 2 : 1); ++i) {
    Value empty = tensor::EmptyOp::create(builder, loc, scaleSizes, builder.getF32Type());
    results.push_back(linalg::FillOp::create(builder, loc, zero, empty).getResult(0));
    maps.push_back(blockMap);
  }
  auto body = [&](OpBuilder &builder, Location loc, ValueRange arguments) {
    SmallVector<Value> own = emitExtremes(builder, loc, type, emitToF32(builder, loc, arguments.front()));
    linalg::YieldOp::create(builder, loc, mergeExtremes(builder, loc, arguments.drop_front(), own));
  };
  auto generic =
      linalg::GenericOp::create(builder, loc, TypeRange(ValueRange(results)), input, results, maps, iterators, body);
  return generic.getResults();
}

/// Zero points of blocks, packed as the zero part is.
static Value emitMeasuredZeros(OpBuilder &builder, Location loc, RankedTensorType zeroType,
                               ArrayRef<OpFoldResult> scaleSizes, Value min, Value scale) {
  CodeTensor codes{zeroType, SmallVector<OpFoldResult>(scaleSizes), {min, scale}, {}};
  const Format &format = *cast<QType>(zeroType.getElementType()).getFormat();
  codes.code = [&](OpBuilder &builder, Location loc, ValueRange elements, ValueRange) {
    return emitMeasuredZero(builder, loc, format, elements[0], elements[1]);
  };
  return codes.emit(builder, loc);
}

void qlow::lowerQuantizeDynamic(RewriterBase &rewriter, QuantizeDynamicOp op, ByInverse byInverse) {
  rewriter.setInsertionPoint(op);
  Location loc = op.getLoc();
  auto type = cast<RankedTensorType>(op.getType());
  QType quantized = cast<QType>(type.getElementType());
  SmallVector<OpFoldResult> scaleSizes, sizes = emitSizes(rewriter, loc, op.getInput());
  for (auto [size, block] : llvm::zip(sizes, quantized.getBlock()))
    scaleSizes.push_back(block == QType::kWhole ? OpFoldResult(rewriter.getIndexAttr(1))
                                                : emitCeilDiv(rewriter, loc, size, block));
  SmallVector<Value> extremes = emitBlockExtremes(rewriter, loc, op.getInput(), quantized, scaleSizes);
  Value scale = emitElementwise(rewriter, loc, scaleSizes, quantized.getScale(), extremes,
                                [&](OpBuilder &builder, Location loc, ValueRange elements, ValueRange) {
                                  return emitMeasuredScale(builder, loc, quantized, elements);
                                });
  SmallVector<Value> parts = {scale};
  if (quantized.getZero()) {
    SmallVector<int64_t> shape = quantized.getScaleShape(type.getShape());
    auto element = QType::get(op.getContext(), quantized.getZero(), rewriter.getF32Type(), nullptr, Type(), {});
    parts.push_back(
        emitMeasuredZeros(rewriter, loc, RankedTensorType::get(shape, element), scaleSizes, extremes[0], scale));
  }
  Value codes = emitQuantizedCodes(rewriter, loc, type, op.getInput(), parts, byInverse, /*isMeasured=*/true);
  replaceByParts(rewriter, op, codes, parts);
}
