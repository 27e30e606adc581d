//===- Elements.cpp - scalar code for codes and their values --------------===//
//
// One function per DecodeKind and direction, in the order of the header. Operations are made by a small builder that
// folds them and gives every constant the shape of the value it meets, so the same lines serve scalars and vectors.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Elements.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/bit.h"

#include <limits>

using namespace mlir;
using namespace qlow;

using NaN = MinifloatLayout::NaN;
using IntPredicate = arith::CmpIPredicate;
using FloatPredicate = arith::CmpFPredicate;

namespace {
/// Arithmetic on i32, f32 and index, and on vectors of them.
struct Math {
  OpBuilder &builder;
  Location loc;

  template <typename OpTy, typename... Args> Value make(Args &&...args) {
    return builder.createOrFold<OpTy>(loc, std::forward<Args>(args)...);
  }
  /// The type of `element` with the shape of `like`.
  static Type shaped(Type like, Type element) {
    auto vector = dyn_cast<VectorType>(like);
    return vector ? Type(vector.clone(element)) : element;
  }
  Type i32(Value like) { return shaped(like.getType(), builder.getI32Type()); }
  Type f32(Value like) { return shaped(like.getType(), builder.getF32Type()); }

  Value constant(Type type, TypedAttr scalar) {
    if (auto vector = dyn_cast<VectorType>(type))
      return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(vector, scalar));
    return arith::ConstantOp::create(builder, loc, scalar);
  }
  /// An integer or index of the type of `like`.
  Value integer(Value like, int64_t value) {
    Type element = getElementTypeOrSelf(like.getType());
    unsigned width = element.isIndex() ? 64 : element.getIntOrFloatBitWidth();
    return constant(like.getType(), builder.getIntegerAttr(element, APInt(width, uint64_t(value), false, true)));
  }
  /// An f32 of the shape of `like`.
  Value number(Value like, float value) { return constant(f32(like), builder.getF32FloatAttr(value)); }

  Value add(Value a, Value b) { return make<arith::AddIOp>(a, b); }
  Value add(Value a, int64_t b) { return b ? add(a, integer(a, b)) : a; }
  Value sub(Value a, Value b) { return make<arith::SubIOp>(a, b); }
  Value mul(Value a, int64_t b) { return b == 1 ? a : make<arith::MulIOp>(a, integer(a, b)); }
  Value div(Value a, int64_t b) { return b == 1 ? a : make<arith::DivUIOp>(a, integer(a, b)); }
  Value rem(Value a, int64_t b) { return make<arith::RemUIOp>(a, integer(a, b)); }
  Value bitAnd(Value a, int64_t b) { return make<arith::AndIOp>(a, integer(a, b)); }
  Value bitOr(Value a, Value b) { return make<arith::OrIOp>(a, b); }
  Value bitOr(Value a, int64_t b) { return bitOr(a, integer(a, b)); }
  Value bitXor(Value a, Value b) { return make<arith::XOrIOp>(a, b); }
  Value shl(Value a, int64_t b) { return b ? make<arith::ShLIOp>(a, integer(a, b)) : a; }
  Value shr(Value a, int64_t b) { return b ? make<arith::ShRUIOp>(a, integer(a, b)) : a; }
  Value compare(IntPredicate predicate, Value a, int64_t b) { return make<arith::CmpIOp>(predicate, a, integer(a, b)); }
  Value compare(FloatPredicate predicate, Value a, float b) { return make<arith::CmpFOp>(predicate, a, number(a, b)); }
  Value select(Value condition, Value a, Value b) { return make<arith::SelectOp>(condition, a, b); }

  /// Reinterprets i32 as f32 and back.
  Value asFloat(Value bits) { return make<arith::BitcastOp>(f32(bits), bits); }
  Value asBits(Value x) { return make<arith::BitcastOp>(i32(x), x); }
  Value toFloat(Value x) { return make<arith::SIToFPOp>(f32(x), x); }
  Value widen(Value byte) { return make<arith::ExtUIOp>(i32(byte), byte); }
  Value toI32(Value index) { return make<arith::IndexCastOp>(i32(index), index); }

  /// NaN becomes `low`, which is also what one x86 max instruction gives.
  Value clamp(Value x, float low, float high) {
    return atMost(select(compare(FloatPredicate::OGT, x, low), x, number(x, low)), high);
  }
  Value atMost(Value x, float high) { return select(compare(FloatPredicate::OLT, x, high), x, number(x, high)); }
  /// i32 of |x| <= 2^22, ties to even: at 1.5 * 2^23 the units of an f32 are the units of its bits.
  Value roundToInt(Value x) {
    constexpr float magic = 12582912.0f;
    return add(asBits(make<arith::AddFOp>(x, number(x, magic))), -int64_t(llvm::bit_cast<uint32_t>(magic)));
  }
};
} // namespace

//===----------------------------------------------------------------------===//
// Codes in bytes
//===----------------------------------------------------------------------===//

static constexpr int64_t kPowersOf3[5] = {1, 3, 9, 27, 81};

/// 3^digit for a digit below 5, both index.
static Value emitPowerOf3(Math &m, Value digit) {
  Value power = m.integer(digit, kPowersOf3[0]);
  for (int64_t i = 1; i < 5; ++i)
    power = m.select(m.compare(IntPredicate::eq, digit, i), m.integer(digit, kPowersOf3[i]), power);
  return power;
}

Value qlow::emitCode(OpBuilder &builder, Location loc, const Format &format, LoadByte load, Value index) {
  Math m{builder, loc};
  if (format.kind == DecodeKind::Trit) {
    Value byte = m.widen(load(m.div(index, 5)));
    Value power = m.toI32(emitPowerOf3(m, m.rem(index, 5)));
    return m.rem(m.make<arith::DivUIOp>(byte, power), 3);
  }
  unsigned bits = format.bits;
  if (bits % 8 == 0) {
    Value first = m.mul(index, bits / 8), code = m.widen(load(first));
    for (unsigned i = 1; i < bits / 8; ++i)
      code = m.bitOr(code, m.shl(m.widen(load(m.add(first, i))), 8 * i));
    return code;
  }
  Value window, shift;
  if (int64_t perByte = format.codesPerGroup; 8 % bits == 0) {
    window = m.widen(load(m.div(index, perByte)));
    shift = m.mul(m.toI32(m.rem(index, perByte)), bits);
  } else {
    // The byte of the code's last bit is inside the row; where it is the first byte again, the mask drops it.
    Value firstBit = m.mul(index, bits), lastBit = m.add(firstBit, bits - 1);
    window = m.widen(load(m.div(firstBit, 8)));
    window = m.bitOr(window, m.shl(m.widen(load(m.div(lastBit, 8))), 8));
    shift = m.toI32(m.rem(firstBit, 8));
  }
  return m.bitAnd(m.make<arith::ShRUIOp>(window, shift), (1 << bits) - 1);
}

/// Code number `index`, or 0 from `numCodes` on; `fits` says that there is no such index.
static Value emitCodeOrPadding(Math &m, Value index, Value numCodes, bool fits, CodeAt code) {
  if (fits)
    return code(index);
  Value isInside = m.make<arith::CmpIOp>(IntPredicate::ult, index, numCodes);
  Value last = m.add(numCodes, -1);
  Value value = code(m.select(isInside, index, last));
  return m.select(isInside, value, m.integer(value, 0));
}

Value qlow::emitByte(OpBuilder &builder, Location loc, const Format &format, Value byteIndex, Value numCodes,
                     CodeAt code) {
  Math m{builder, loc};
  std::optional<int64_t> known = getConstantIntValue(numCodes);
  bool fits = known && *known % format.codesPerGroup == 0;
  unsigned bits = format.bits;
  Value byte;
  if (bits != 0 && bits % 8 == 0) {
    Value value = code(m.div(byteIndex, bits / 8));
    Value shift = m.toI32(m.mul(m.rem(byteIndex, bits / 8), 8));
    byte = bits == 8 ? value : m.make<arith::ShRUIOp>(value, shift);
  } else if (bits == 0 || 8 % bits == 0) {
    int64_t perByte = format.codesPerGroup;
    Value first = m.mul(byteIndex, perByte);
    for (int64_t i = 0; i < perByte; ++i) {
      Value value = emitCodeOrPadding(m, m.add(first, i), numCodes, fits, code);
      value = bits == 0 ? m.mul(value, kPowersOf3[i]) : m.shl(value, int64_t(bits) * i);
      byte = byte ? m.add(byte, value) : value;
    }
  } else {
    // The first code that reaches into this byte starts up to bits - 1 bits before it: work in a window of 8 more bits.
    Value firstBit = m.mul(byteIndex, 8), first = m.div(firstBit, bits);
    for (unsigned i = 0; i <= 8 / bits + 1; ++i) {
      Value index = m.add(first, i);
      Value shift = m.toI32(m.sub(m.add(m.mul(index, bits), 8), firstBit));
      // Codes that start after this byte are shifted past it; the group may end before them all the same.
      Value value = emitCodeOrPadding(m, index, numCodes, false, code);
      value = m.make<arith::ShLIOp>(value, shift);
      byte = byte ? m.bitOr(byte, value) : value;
    }
    byte = m.shr(byte, 8);
  }
  return m.make<arith::TruncIOp>(builder.getI8Type(), byte);
}

//===----------------------------------------------------------------------===//
// Decode
//===----------------------------------------------------------------------===//

/// table[code], a binary tree of selects: one comparison for each bit.
template <typename MakeConstant>
static Value emitTree(Math &m, Value code, unsigned bit, uint32_t base, MakeConstant &&constant) {
  if (bit == 0)
    return constant(base);
  uint32_t half = uint32_t(1) << (bit - 1);
  Value low = emitTree(m, code, bit - 1, base, constant), high = emitTree(m, code, bit - 1, base + half, constant);
  return m.select(m.compare(IntPredicate::ne, m.bitAnd(code, half), 0), high, low);
}

static Value emitInfinityAndNaN(Math &m, const Format &format, Value magnitude, Value code, Value bits) {
  const MinifloatLayout &layout = format.layout;
  constexpr int64_t infinity = 0x7f800000, quietNaN = 0x7fc00000;
  unsigned magnitudeBits = layout.exponentBits + layout.mantissaBits;
  int64_t allOnes = (int64_t(1) << magnitudeBits) - 1, mantissa = (int64_t(1) << layout.mantissaBits) - 1;
  switch (layout.nan) {
  case NaN::None:
    return bits;
  case NaN::AllOnes:
    return m.select(m.compare(IntPredicate::eq, magnitude, allOnes), m.integer(bits, quietNaN), bits);
  case NaN::MinusZero:
    return m.select(m.compare(IntPredicate::eq, code, allOnes + 1), m.integer(bits, quietNaN), bits);
  case NaN::IEEE:
    bits = m.select(m.compare(IntPredicate::uge, magnitude, allOnes - mantissa), m.integer(bits, infinity), bits);
    return m.select(m.compare(IntPredicate::ugt, magnitude, allOnes - mantissa), m.integer(bits, quietNaN), bits);
  }
  return bits;
}

/// Exponent and mantissa move to their places in an f32, the bias is exchanged; subnormals are integers times a power
/// of two.
static Value emitDecodeMinifloat(Math &m, const Format &format, Value code) {
  const MinifloatLayout &layout = format.layout;
  unsigned magnitudeBits = layout.exponentBits + layout.mantissaBits;
  code = m.bitAnd(code, int64_t(format.numCodes()) - 1);
  Value magnitude = layout.isSigned ? m.bitAnd(code, (int64_t(1) << magnitudeBits) - 1) : code;
  Value bits = m.add(m.shl(magnitude, 23 - layout.mantissaBits), int64_t(127 - layout.bias) << 23);
  Value isLowest = m.compare(IntPredicate::ult, magnitude, int64_t(1) << layout.mantissaBits);
  // Without a zero (E8M0) the lowest exponent is the power of two below f32's normal numbers.
  Value lowest = m.integer(bits, 0x00400000);
  if (layout.hasZero) {
    float step = std::ldexp(1.0f, 1 - layout.bias - int(layout.mantissaBits));
    lowest = m.asBits(m.make<arith::MulFOp>(m.toFloat(magnitude), m.number(magnitude, step)));
  }
  bits = m.select(isLowest, lowest, bits);
  bits = emitInfinityAndNaN(m, format, magnitude, code, bits);
  if (layout.isSigned)
    bits = m.bitOr(bits, m.shl(m.shr(code, magnitudeBits), 31));
  return m.asFloat(bits);
}

Value qlow::emitDecode(OpBuilder &builder, Location loc, const Format &format, Value code) {
  Math m{builder, loc};
  switch (format.kind) {
  case DecodeKind::Integer:
  case DecodeKind::Sign:
  case DecodeKind::Ternary:
  case DecodeKind::Trit:
    return m.toFloat(emitInteger(builder, loc, format, code));
  case DecodeKind::Codebook:
    return emitTree(m, code, format.bits, 0, [&](uint32_t entry) { return m.number(code, format.decode(entry)); });
  case DecodeKind::Minifloat:
    return emitDecodeMinifloat(m, format, code);
  }
  return {};
}

Value qlow::emitInteger(OpBuilder &builder, Location loc, const Format &format, Value code) {
  Math m{builder, loc};
  switch (format.kind) {
  case DecodeKind::Integer: {
    if (!format.isSigned)
      return code;
    int64_t signBit = int64_t(1) << (format.bits - 1);
    return m.add(m.bitXor(code, m.integer(code, signBit)), -signBit);
  }
  case DecodeKind::Sign:
    return m.add(m.mul(code, 2), -1);
  case DecodeKind::Ternary:
  case DecodeKind::Trit:
    return m.add(code, -1);
  case DecodeKind::Codebook:
    return emitTree(m, code, format.bits, 0, [&](uint32_t entry) { return m.integer(code, format.integer(entry)); });
  case DecodeKind::Minifloat: {
    // (1.mantissa or 0.mantissa) << (exponent - 1), then the sign.
    const MinifloatLayout &layout = format.layout;
    unsigned magnitudeBits = layout.exponentBits + layout.mantissaBits;
    Value magnitude = m.bitAnd(code, (int64_t(1) << magnitudeBits) - 1);
    Value mantissa = m.bitAnd(code, (int64_t(1) << layout.mantissaBits) - 1);
    Value exponent = m.shr(magnitude, layout.mantissaBits);
    Value isNormal = m.compare(IntPredicate::ne, exponent, 0);
    Value significand = m.select(isNormal, m.bitOr(mantissa, int64_t(1) << layout.mantissaBits), mantissa);
    Value shift = m.select(isNormal, m.add(exponent, -1), exponent);
    Value integer = m.make<arith::ShLIOp>(significand, shift);
    Value isNegative = m.compare(IntPredicate::ne, m.bitAnd(code, int64_t(1) << magnitudeBits), 0);
    return m.select(isNegative, m.sub(m.integer(integer, 0), integer), integer);
  }
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Encode
//===----------------------------------------------------------------------===//

/// saturate(rne(x) + zero). Clamping before rounding changes nothing, since the bounds are integers; with a constant
/// zero point it is the only clamp.
static Value emitEncodeInteger(Math &m, const Format &format, Value x, Value zero) {
  int64_t count = int64_t(1) << format.bits, min = format.isSigned ? -count / 2 : 0, max = min + count - 1;
  APInt known(32, 0);
  bool isKnown = !zero || matchPattern(zero, m_ConstantInt(&known));
  Value integer;
  if (isKnown) {
    int64_t z = known.getSExtValue();
    integer = m.add(m.roundToInt(m.clamp(x, float(min - z), float(max - z))), z);
  } else {
    constexpr float kBeyond = 1 << 20; // Any zero point brings it past the range of any code.
    integer = m.add(m.roundToInt(m.clamp(x, -kBeyond, kBeyond)), zero);
    integer = m.make<arith::MaxSIOp>(integer, m.integer(integer, min));
    integer = m.make<arith::MinSIOp>(integer, m.integer(integer, max));
  }
  return format.isSigned ? m.bitAnd(integer, count - 1) : integer;
}

/// The number of thresholds below x, then the code of that place from a constant of packed codes.
static Value emitEncodeCodebook(Math &m, const Format &format, Value x) {
  Format::Search search = format.search();
  Value place = m.integer(m.asBits(x), 0);
  for (float threshold : search.thresholds)
    place = m.add(place, m.make<arith::ExtUIOp>(m.i32(x), m.compare(FloatPredicate::OGT, x, threshold)));
  Value code = place;
  bool inOrder = true;
  for (auto [index, entry] : llvm::enumerate(search.codes))
    inOrder &= entry == index;
  if (!inOrder)
    code = emitTree(m, place, format.bits, 0, [&](uint32_t index) {
      return m.integer(place, search.codes[std::min<size_t>(index, search.codes.size() - 1)]);
    });
  if (search.nanCode == search.codes.front())
    return code;
  Value isNaN = m.make<arith::CmpFOp>(FloatPredicate::UNO, x, x);
  return m.select(isNaN, m.integer(code, search.nanCode), code);
}

/// A float whose unit is that of the format's numbers near x rounds x when it is added: its exponent is x's, but at
/// least the lowest normal one, and so many more as the format has fewer bits. `isNegative` stands for x < 0, null: it
/// is that.
static Value emitEncodeMinifloat(Math &m, const Format &format, Value x, Value isNegative = {}) {
  constexpr int64_t kExponentF32 = 0x7f800000;
  constexpr int kMantissaBits = 23, kBiasF32 = 127;
  const MinifloatLayout &layout = format.layout;
  int dropped = kMantissaBits - int(layout.mantissaBits), minExponent = 1 - layout.bias;
  Value a = layout.isSigned ? m.atMost(m.asFloat(m.bitAnd(m.asBits(x), 0x7fffffff)), format.maxValue())
                            : m.clamp(x, 0, format.maxValue());
  Value power = m.asFloat(m.bitAnd(m.asBits(a), kExponentF32)), least = m.number(a, std::ldexp(1.0f, minExponent));
  power = m.select(m.make<arith::CmpFOp>(FloatPredicate::OGT, power, least), power, least);
  Value unit = m.make<arith::MulFOp>(power, m.number(a, std::ldexp(1.0f, dropped)));
  Value sum = m.asBits(m.make<arith::AddFOp>(a, unit)), bits = m.asBits(unit);
  // Units of x, and those of all exponents below it but the lowest.
  Value code = m.add(sum, m.sub(m.shr(bits, dropped), bits));
  code = m.add(code, -((int64_t(kBiasF32 + minExponent + dropped) << kMantissaBits) >> dropped));
  Value isNaN = m.make<arith::CmpFOp>(FloatPredicate::UNO, x, x);
  code = m.select(isNaN, m.integer(code, format.encode(std::numeric_limits<float>::quiet_NaN())), code);
  if (layout.isSigned) { // NaN is not below 0
    if (!isNegative)
      isNegative = m.compare(FloatPredicate::OLT, x, 0);
    if (layout.nan == NaN::MinusZero)
      isNegative = m.make<arith::AndIOp>(isNegative, m.compare(IntPredicate::ne, code, 0));
    unsigned magnitudeBits = layout.exponentBits + layout.mantissaBits;
    code = m.select(isNegative, m.bitOr(code, int64_t(1) << magnitudeBits), code);
  }
  return code;
}

Value qlow::emitEncode(OpBuilder &builder, Location loc, const Format &format, Value x, Value zero) {
  Math m{builder, loc};
  if (zero && format.kind != DecodeKind::Integer)
    x = m.make<arith::AddFOp>(x, m.toFloat(zero));
  switch (format.kind) {
  case DecodeKind::Integer:
    return emitEncodeInteger(m, format, x, zero);
  case DecodeKind::Sign:
    return m.make<arith::ExtUIOp>(m.i32(x), m.compare(FloatPredicate::OGE, x, 0));
  case DecodeKind::Ternary:
  case DecodeKind::Trit:
    return m.add(m.roundToInt(m.clamp(x, -1, 1)), 1);
  case DecodeKind::Codebook:
    return emitEncodeCodebook(m, format, x);
  case DecodeKind::Minifloat:
    return emitEncodeMinifloat(m, format, x);
  }
  return {};
}

Value qlow::emitScaleToF32(OpBuilder &builder, Location loc, Value scale) {
  Math m{builder, loc};
  Type element = getElementTypeOrSelf(scale.getType());
  if (element.isF32())
    return scale;
  if (element.getIntOrFloatBitWidth() == 16)
    return m.make<arith::ExtFOp>(m.f32(scale), scale);
  Value byte = m.make<arith::BitcastOp>(Math::shaped(scale.getType(), builder.getI8Type()), scale);
  return emitDecode(builder, loc, *getScaleFormat(element), m.widen(byte));
}

//===----------------------------------------------------------------------===//
// Elements of quantized tensors
//===----------------------------------------------------------------------===//

Value qlow::emitLoad(OpBuilder &builder, Location loc, Value part, ValueRange indices) {
  if (isa<MemRefType>(part.getType()))
    return memref::LoadOp::create(builder, loc, part, indices);
  return builder.createOrFold<tensor::ExtractOp>(loc, part, indices);
}

/// The code of `format` at `indices` of a packed part; rank 0 is stored as a row of one code.
static Value emitPackedCode(OpBuilder &builder, Location loc, const Format &format, Value part, ValueRange indices,
                            const LoadPart &load) {
  SmallVector<Value> place(indices);
  if (place.empty())
    place.push_back(arith::ConstantIndexOp::create(builder, loc, 0));
  Value index = place.back();
  auto loadByte = [&](Value byteIndex) {
    place.back() = byteIndex;
    return load(builder, loc, part, place);
  };
  return emitCode(builder, loc, format, loadByte, index);
}

/// Which block holds the element at `indices`; empty where there is one for the tensor.
static SmallVector<Value> emitBlock(OpBuilder &builder, Location loc, QType type, ValueRange indices) {
  Math m{builder, loc};
  SmallVector<Value> block;
  for (auto [index, size] : llvm::zip(indices, type.getBlock()))
    block.push_back(size == QType::kWhole ? m.integer(index, 0) : m.div(index, size));
  return block;
}

/// A scale or offset of type `type`, whose parts are `parts`, at a block.
static Value emitFactor(OpBuilder &builder, Location loc, Type type, ValueRange parts, ValueRange block,
                        const LoadPart &load) {
  if (auto quantized = dyn_cast<QType>(type))
    return ElementReader(quantized, parts, load).emitValue(builder, loc, block);
  return emitScaleToF32(builder, loc, load(builder, loc, parts.front(), block));
}

Value ElementReader::emitCode(OpBuilder &builder, Location loc, ValueRange indices) const {
  return emitPackedCode(builder, loc, *type.getFormat(), parts.front(), indices, load);
}

Value ElementReader::emitScale(OpBuilder &builder, Location loc, ValueRange indices) const {
  ArrayRef<Value> scale = ArrayRef(parts).slice(1, QType::getNumParts(type.getScale()));
  return emitFactor(builder, loc, type.getScale(), scale, emitBlock(builder, loc, type, indices), load);
}

Value ElementReader::emitScaleCode(OpBuilder &builder, Location loc, ValueRange indices) const {
  SmallVector<Value> block = emitBlock(builder, loc, type, indices);
  ArrayRef<Value> scale = ArrayRef(parts).slice(1, QType::getNumParts(type.getScale()));
  if (auto quantized = dyn_cast<QType>(type.getScale()))
    return ElementReader(quantized, scale, load).emitCode(builder, loc, block);
  Value value = load(builder, loc, scale.front(), block);
  Type bits = builder.getIntegerType(value.getType().getIntOrFloatBitWidth());
  if (value.getType() != bits)
    value = arith::BitcastOp::create(builder, loc, bits, value);
  return arith::ExtUIOp::create(builder, loc, builder.getI32Type(), value);
}

Value ElementReader::emitZeroPoint(OpBuilder &builder, Location loc, ValueRange indices) const {
  if (!type.getZero())
    return {};
  Value part = parts[1 + QType::getNumParts(type.getScale())];
  Value code = emitPackedCode(builder, loc, *type.getZero(), part, emitBlock(builder, loc, type, indices), load);
  return emitInteger(builder, loc, *type.getZero(), code);
}

Value ElementReader::emitOffset(OpBuilder &builder, Location loc, ValueRange indices) const {
  if (!type.getOffset())
    return {};
  ArrayRef<Value> offset = ArrayRef(parts).take_back(QType::getNumParts(type.getOffset()));
  return emitFactor(builder, loc, type.getOffset(), offset, emitBlock(builder, loc, type, indices), load);
}

Value ElementReader::emitValue(OpBuilder &builder, Location loc, ValueRange indices) const {
  Math m{builder, loc};
  Value x = emitDecode(builder, loc, *type.getFormat(), emitCode(builder, loc, indices));
  if (Value zero = emitZeroPoint(builder, loc, indices))
    x = m.make<arith::SubFOp>(x, m.toFloat(zero));
  x = m.make<arith::MulFOp>(emitScale(builder, loc, indices), x);
  if (Value offset = emitOffset(builder, loc, indices))
    x = m.make<arith::AddFOp>(x, offset);
  return x;
}

/// x / scale, correctly rounded wherever its integer and no sign of a zero matters, by the inverse of a scale that
/// many x have: q = x * r leaves a remainder x - q * s, exact by one fma, that corrects it. The second correction is
/// correctly rounded, as the first is within a unit of the quotient and r is the rounded inverse (P. Markstein:
/// Computation of elementary functions on the IBM RISC System/6000 processor, 1990). Scales far from 1 come nearer to
/// it first, so that neither inverse nor remainder is subnormal; what overflows then saturates all the same. An
/// infinite scale leaves no remainder to correct by; a measured one bounds the quotient, too.
static Value emitQuotient(Math &m, Value x, Value scale, bool isMeasured) {
  constexpr float kFar = 0x1p64f, kSaturates = 0x1p22f;
  Value magnitude = m.make<math::AbsFOp>(scale), one = m.number(x, 1);
  Value nearer = m.select(m.compare(FloatPredicate::OLT, magnitude, 1 / kFar), m.number(x, kFar), one);
  nearer = m.select(m.compare(FloatPredicate::OGT, magnitude, kFar), m.number(x, 1 / kFar), nearer);
  Value s = m.make<arith::MulFOp>(scale, nearer), inverse = m.make<arith::DivFOp>(one, s);
  x = m.make<arith::MulFOp>(x, nearer);
  Value isFinite = m.compare(FloatPredicate::OLT, magnitude, std::numeric_limits<float>::infinity());
  Value limit = m.select(isFinite, m.number(x, kSaturates), m.number(x, 0));
  Value first = m.make<arith::MulFOp>(x, inverse), quotient = first;
  Value minus = m.make<arith::NegFOp>(s);
  if (isMeasured)
    minus = m.select(isFinite, minus, m.number(x, 0));
  for (int i = 0; i < 2; ++i)
    quotient = m.make<math::FmaOp>(m.make<math::FmaOp>(quotient, minus, x), inverse, quotient);
  if (isMeasured)
    return quotient;
  Value isCorrected = m.make<arith::CmpFOp>(FloatPredicate::OLT, m.make<math::AbsFOp>(first), limit);
  return m.select(isCorrected, quotient, first);
}

/// Whether a minifloat's magnitude follows from what that gives: a quotient which it may not round correctly is more
/// than 2^21 or less than 2^-39.
static bool takesQuotient(const Format &format) {
  if (format.kind != DecodeKind::Minifloat || !format.layout.isSigned)
    return false;
  int leastExponent = 1 - format.layout.bias - int(format.layout.mantissaBits);
  return format.maxValue() < 0x1p21f && leastExponent > -38;
}

/// Whether x / scale, rounded, is below 0: not where it is at most 2^-150, which is rounded to zero. x is held against
/// the greatest float up to scale * 2^-150, whose bits count 2^-149 where it is subnormal.
static Value isNegativeQuotient(Math &m, Value x, Value scale, bool isMeasured) {
  constexpr float kNormal = 0x1p24f, kThreshold = 0x1p-75f; // its square is
  Value magnitude = m.make<math::AbsFOp>(scale),
        half = m.make<arith::MulFOp>(m.atMost(magnitude, kNormal), m.number(x, 0.5f));
  Value normal =
      m.make<arith::MulFOp>(m.make<arith::MulFOp>(magnitude, m.number(x, kThreshold)), m.number(x, kThreshold));
  Value subnormal = m.asFloat(m.make<arith::FPToUIOp>(m.i32(half), half));
  Value threshold = m.select(m.compare(FloatPredicate::OLT, magnitude, kNormal), subnormal, normal);
  Value numerator = x;
  if (!isMeasured) // which scales are above 0
    numerator = m.asFloat(m.bitXor(m.asBits(x), m.bitAnd(m.asBits(scale), int64_t(1) << 31)));
  return m.make<arith::CmpFOp>(FloatPredicate::OLT, numerator, m.make<arith::NegFOp>(threshold));
}

/// 1 / 2^(code - 127) of an f8E8M0FNU's code, exactly. Times that, or over the power, is one number, rounded once.
static Value emitInverseOfPower(Math &m, Value code) {
  constexpr int64_t kNaN = 0xff, kQuietF32 = 0x7fc00000, kSubnormal = 0x00400000;
  Value bits = m.shl(m.make<arith::SubIOp>(m.integer(code, 254), code), 23);
  bits = m.select(m.compare(IntPredicate::eq, code, 254), m.integer(code, kSubnormal), bits);
  return m.asFloat(m.select(m.compare(IntPredicate::eq, code, kNaN), m.integer(code, kQuietF32), bits));
}

Value ElementReader::emitQuantized(OpBuilder &builder, Location loc, Value x, ValueRange indices, ByInverse byInverse,
                                   bool isMeasured) const {
  Math m{builder, loc};
  if (Value offset = emitOffset(builder, loc, indices))
    x = m.make<arith::SubFOp>(x, offset);
  const Format &format = *type.getFormat();
  bool sharesScale = type.getBlock().empty() || type.getBlock().back() != 1;
  Value scale = emitScale(builder, loc, indices), zero = emitZeroPoint(builder, loc, indices);
  byInverse = sharesScale ? byInverse : ByInverse::Nothing;
  isMeasured &= type.getScale().isF32(); // a power of two does not grow with an infinity
  if (byInverse == ByInverse::All && isa<Float8E8M0FNUType>(type.getScale()))
    x = m.make<arith::MulFOp>(x, emitInverseOfPower(m, emitScaleCode(builder, loc, indices)));
  else if (byInverse != ByInverse::Nothing && format.kind == DecodeKind::Integer)
    x = emitQuotient(m, x, scale, isMeasured);
  else if (byInverse == ByInverse::All && !zero && takesQuotient(format))
    return emitEncodeMinifloat(m, format, emitQuotient(m, x, scale, isMeasured),
                               isNegativeQuotient(m, x, scale, isMeasured));
  else
    x = m.make<arith::DivFOp>(x, scale);
  return emitEncode(builder, loc, format, x, zero);
}

//===----------------------------------------------------------------------===//
// Measured scales
//===----------------------------------------------------------------------===//

SmallVector<Value> qlow::emitExtremes(OpBuilder &builder, Location loc, QType type, Value x) {
  if (type.getZero())
    return {x, x};
  return {math::AbsFOp::create(builder, loc, x)};
}

SmallVector<Value> qlow::mergeExtremes(OpBuilder &builder, Location loc, ValueRange kept, ValueRange others) {
  auto keep = [&](arith::CmpFPredicate predicate, Value x, Value old) {
    Value isBeyond = arith::CmpFOp::create(builder, loc, predicate, x, old);
    return arith::SelectOp::create(builder, loc, isBeyond, x, old).getResult();
  };
  SmallVector<Value> merged;
  if (kept.size() == 2)
    merged.push_back(keep(arith::CmpFPredicate::OLT, others.front(), kept.front()));
  merged.push_back(keep(arith::CmpFPredicate::OGT, others.back(), kept.back()));
  return merged;
}

/// range / divisor, or 1 where that is zero.
static Value emitRangeOrOne(OpBuilder &builder, Location loc, Value range, float divisor) {
  auto constant = [&](float value) {
    return arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(value)).getResult();
  };
  Value scale = arith::DivFOp::create(builder, loc, range, constant(divisor));
  Value isZero = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, scale, constant(0));
  return arith::SelectOp::create(builder, loc, isZero, constant(1), scale);
}

/// f8E8M0FNU of 2^(floor(log2(max)) - emax), clamped to the format's range; 1 for a block of zeros.
static Value emitPowerOfTwoScale(OpBuilder &builder, Location loc, const Format &format, Value max) {
  auto constant = [&](int64_t value) { return arith::ConstantIntOp::create(builder, loc, value, 32).getResult(); };
  int64_t emax = std::ilogb(format.maxValue());
  Value bits = arith::BitcastOp::create(builder, loc, builder.getI32Type(), max);
  // The exponent field of an f32 is the E8M0 code of its power of two; subnormals give 0, the least there is.
  Value exponent = arith::ShRUIOp::create(builder, loc, bits, constant(23));
  Value code = arith::SubIOp::create(builder, loc, exponent, constant(emax));
  code = arith::MaxSIOp::create(builder, loc, code, constant(0));
  code = arith::MinSIOp::create(builder, loc, code, constant(254));
  Value isZero = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, bits, constant(0));
  code = arith::SelectOp::create(builder, loc, isZero, constant(127), code);
  Value byte = arith::TruncIOp::create(builder, loc, builder.getI8Type(), code);
  return arith::BitcastOp::create(builder, loc, Float8E8M0FNUType::get(builder.getContext()), byte);
}

Value qlow::emitMeasuredScale(OpBuilder &builder, Location loc, QType type, ValueRange extremes) {
  const Format &format = *type.getFormat();
  if (isa<Float8E8M0FNUType>(type.getScale()))
    return emitPowerOfTwoScale(builder, loc, format, extremes.front());
  if (!type.getZero())
    return emitRangeOrOne(builder, loc, extremes.front(), format.maxValue());
  Value range = arith::SubFOp::create(builder, loc, extremes[1], extremes[0]);
  return emitRangeOrOne(builder, loc, range, float((1 << format.bits) - 1));
}

Value qlow::emitMeasuredZero(OpBuilder &builder, Location loc, const Format &format, Value least, Value scale) {
  Value quotient = arith::DivFOp::create(builder, loc, least, scale);
  Value none = arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(0));
  return emitEncode(builder, loc, format, arith::SubFOp::create(builder, loc, none, quotient), Value());
}
