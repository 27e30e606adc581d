//===- FragmentDecoder.cpp - words of codes to floats or bytes --------------===//
//
// The decode hop of weight-only products: in registers, a word of codes at a time, as the layout of fragments holds
// them. Ways to 16-bit floats:
//
//   nibble     the codes' bits become mantissa bits of a float of known exponent, which is subtracted again with the
//              zero point: 0x6400 | q is the f16 1024 + q, 0x4300 | q the bf16 128 + q. All steps are exact.
//   byte       the same for codes of 8 bits; of bf16 the difference of two such floats.
//   minifloat  sign, exponent and mantissa move to their places in f16, whose bias is another: a power of two that
//              the sum is multiplied by. Subnormals are subnormals there too. In bf16 the codes are multiplied by it.
//   lookup16   two codes are the number of a pair of values in a table in shared memory. Each lane has a copy of its
//              own, in a bank of its own. Who makes the table, or has none, looks four codes up at once by byte
//              permutes, low and high bytes of the values apart: three times the operations.
//
// And to bytes, nibbles alone: what a mask leaves of a word are four codes, or, signed, sixteen times each. Zero points
// are taken off four codes at once: a byte of 128 more than the difference borrows nothing of its neighbour, and the
// bit of 128 is then the sign.
//
// Must not round: the one exception are tables whose values are no 16-bit floats (the law allows it for those).
//
//===----------------------------------------------------------------------===//

#include "NVPTX/WeightOnly.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace mlir;
using namespace qlow;

/// Pairs of codes of 4 bits, and bytes of a pair's copies for all lanes.
static constexpr int64_t kPairs = 256, kEntryBytes = 128;
static constexpr int64_t kBothHalves = 0x00010001, kBothSigns = int64_t(0x8000) * kBothHalves;
static constexpr int64_t kAllBytes = 0x01010101, kAllSigns = 0x80 * kAllBytes;

//===----------------------------------------------------------------------===//
// Which way
//===----------------------------------------------------------------------===//

std::optional<FragmentDecoder::Way> FragmentDecoder::wayOf(const Format &format, OperandElement element) {
  bool isHalf = element == OperandElement::F16;
  if (element == OperandElement::S8)
    return format.kind == DecodeKind::Integer && format.bits == 4 ? std::optional(Way::NibbleToByte) : std::nullopt;
  if (format.kind == DecodeKind::Integer && format.bits == 4)
    return Way::Nibble;
  if (format.kind == DecodeKind::Integer && format.bits == 8)
    return Way::Byte;
  if (format.kind == DecodeKind::Codebook && format.bits == 4)
    return Way::Lookup;
  const MinifloatLayout &layout = format.layout;
  // An exponent of all ones is an infinity in f16, so it must be one here; in bf16 it becomes an ordinary one.
  bool fits = layout.isSigned && layout.hasZero && layout.mantissaBits <= 3 &&
              (layout.exponentBits < 5 || (isHalf && layout.exponentBits == 5 && layout.hasInfinity));
  if (format.kind == DecodeKind::Minifloat && (format.bits == 4 || format.bits == 8) && fits)
    return Way::Minifloat;
  return std::nullopt;
}

std::string FragmentDecoder::decline(const Format &format, OperandElement element) {
  if (const Format *stored = alignedFormat(format); stored && wayOf(*stored, element))
    return {};
  return llvm::formatv("has no decode hop from {0} to {1} in registers", format.name, elementName(element));
}

bool FragmentDecoder::holdsDifferences(const Format &format, const Format &zeroFormat, OperandElement element) {
  auto [least, most] = elementRange(element);
  return format.minValue() - zeroFormat.maxValue() >= static_cast<float>(least) &&
         format.maxValue() - zeroFormat.minValue() <= static_cast<float>(most);
}

StringRef FragmentDecoder::hop(const Format &format, OperandElement element) {
  switch (*wayOf(format, element)) {
  case Way::Nibble:
  case Way::NibbleToByte:
    return "decode_nibble";
  case Way::Byte:
    return "decode_byte";
  case Way::Minifloat:
    return "decode_minifloat";
  case Way::Lookup:
    return "decode_lookup16";
  }
  return {};
}

bool FragmentDecoder::canFold(const Format &format, OperandElement element, double least, double most) {
  if (least <= 0 || most < least)
    return false;
  auto liesWithin = [&](int lowest, int highest) {
    return std::ldexp(1.0, lowest) <= least && most <= std::ldexp(1.0, highest);
  };
  const MinifloatLayout &layout = format.layout;
  int lowestOfF16 = -24, highestOfF16 = 15;
  switch (*wayOf(format, element)) {
  case Way::Nibble:
  case Way::Byte: // a sixteenth of the scale, and the scale times 1024 and two codes
    return element == OperandElement::F16 ? liesWithin(lowestOfF16 + 4, highestOfF16 - 12) : liesWithin(-100, 100);
  case Way::Minifloat:
    if (element == OperandElement::BF16)
      return liesWithin(-100, 100);
    // The scale times the unit of what is decoded; the least code and the greatest.
    return liesWithin(lowestOfF16 - (15 - layout.bias), highestOfF16 - (15 - layout.bias)) &&
           liesWithin(lowestOfF16 + layout.bias + static_cast<int>(layout.mantissaBits) - 1, 40) &&
           most * format.maxValue() < std::ldexp(1.0, highestOfF16 + 1) - 16;
  case Way::Lookup:
  case Way::NibbleToByte:
    return false;
  }
  return false;
}

double FragmentDecoder::aluPerCode(const Format &format, OperandElement element, bool hasTable) {
  switch (*wayOf(format, element)) {
  case Way::Nibble:
    return 9.0 / 8;
  case Way::Byte:
    return (element == OperandElement::F16 ? 11.0 : 16.0) / 8;
  case Way::Minifloat:
    return (element == OperandElement::F16 ? 12.0 : 16.0) / 8;
  case Way::Lookup:
    return (hasTable ? 14.0 : 18.0) / 8;
  case Way::NibbleToByte:
    return 4.0 / 8;
  }
  return 0;
}

/// The float nearest to `value`, as bits.
static uint16_t bitsOf(double value, FloatType type) {
  llvm::APFloat number(value);
  bool losesInfo;
  number.convert(type.getFloatSemantics(), llvm::APFloat::rmNearestTiesToEven, &losesInfo);
  return static_cast<uint16_t>(number.bitcastToAPInt().getZExtValue());
}

static double roundedTo(double value, FloatType type) {
  llvm::APFloat number(value);
  bool losesInfo;
  number.convert(type.getFloatSemantics(), llvm::APFloat::rmNearestTiesToEven, &losesInfo);
  number.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven, &losesInfo);
  return number.convertToDouble();
}

/// The least multiple of the table that consists of such floats, but for the rounding of its own f32 values; 1 where
/// there is none.
static int multipleThatFits(std::span<const float> values, FloatType type) {
  for (int multiple = 1; multiple <= 16; ++multiple)
    if (llvm::all_of(values, [&](float value) {
          double exact = double(value) * multiple;
          return std::fabs(roundedTo(exact, type) - exact) <= std::ldexp(std::fabs(exact), -23);
        }))
      return multiple;
  return 1;
}

/// Null of bytes.
static FloatType floatType(MLIRContext *context, OperandElement element) {
  return element == OperandElement::F16    ? FloatType(Float16Type::get(context))
         : element == OperandElement::BF16 ? FloatType(BFloat16Type::get(context))
                                           : FloatType();
}

FragmentDecoder::FragmentDecoder(OpBuilder &builder, Location loc, const Format &format, const Format *zeroFormat,
                                 OperandElement element)
    : builder(builder), loc(loc), i32(builder, loc, builder.getI32Type()), format(format),
      element(floatType(builder.getContext(), element)), way(*wayOf(format, element)) {
  if (zeroFormat) {
    float least = zeroFormat->minValue() - format.minValue(), most = zeroFormat->maxValue() - format.minValue();
    hasSmallBiases = least >= 0 && most < 64;
  }
  if (way == Way::Minifloat) {
    unit = this->element.isF16() ? std::ldexp(1.0f, 15 - format.layout.bias) : 1;
  } else if (way == Way::Lookup) {
    int multiple = multipleThatFits(format.codebook, this->element);
    unit = 1.0f / static_cast<float>(multiple);
    for (auto [entry, value] : llvm::zip(table, format.codebook))
      entry = bitsOf(double(value) * multiple, this->element);
  } else if (way == Way::NibbleToByte && format.isSigned && !zeroFormat) {
    unit = 1.0f / 16;
  }
}

//===----------------------------------------------------------------------===//
// Building blocks
//===----------------------------------------------------------------------===//

Value FragmentDecoder::permute(Value low, Value high, Value selector) {
  auto mode = NVVM::PermuteModeAttr::get(builder.getContext(), NVVM::PermuteMode::DEFAULT);
  return NVVM::PermuteOp::create(builder, loc, builder.getI32Type(), low, high, selector, mode);
}
Value FragmentDecoder::permute(Value low, Value high, int64_t selector) {
  return permute(low, high, i32.constant(selector));
}
Value FragmentDecoder::bitAnd(Value a, int64_t mask) {
  return builder.createOrFold<arith::AndIOp>(loc, a, i32.constant(static_cast<int32_t>(mask)));
}
Value FragmentDecoder::bitOr(Value a, Value b) { return builder.createOrFold<arith::OrIOp>(loc, a, b); }
/// a & mask | bits in one operation, which ptxas does not make of two constants by itself.
Value FragmentDecoder::maskOr(Value a, int64_t mask, int64_t bits) {
  auto word = [&](int64_t value) { return i32.constant(static_cast<int32_t>(value)); };
  return LLVM::InlineAsmOp::create(builder, loc, TypeRange(builder.getI32Type()), ValueRange{a, word(mask), word(bits)},
                                   "lop3.b32 $0, $1, $2, $3, 0xEA;", "=r,r,r,r", /*has_side_effects=*/false,
                                   /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None, nullptr, nullptr)
      .getRes();
}
Value FragmentDecoder::bitXor(Value a, Value b) { return builder.createOrFold<arith::XOrIOp>(loc, a, b); }
Value FragmentDecoder::shift(Value a, int64_t left) {
  if (left == 0)
    return a;
  if (left > 0)
    return arith::ShLIOp::create(builder, loc, a, i32.constant(left));
  return arith::ShRUIOp::create(builder, loc, a, i32.constant(-left));
}
Value FragmentDecoder::splat(double value) {
  return i32.constant(static_cast<int32_t>(bitsOf(value, element) * kBothHalves));
}
/// Of an integer, or a number in f32, that such floats hold.
Value FragmentDecoder::splat(Value value) {
  Value number = value;
  if (value.getType().isInteger())
    number = arith::SIToFPOp::create(builder, loc, builder.getF32Type(), value);
  if (element.isF16()) // both halves in one operation
    return LLVM::InlineAsmOp::create(builder, loc, TypeRange(builder.getI32Type()), ValueRange{number, number},
                                     "cvt.rn.f16x2.f32 $0, $1, $2;", "=r,f,f", /*has_side_effects=*/false,
                                     /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None, nullptr, nullptr)
        .getRes();
  Value bits = shift(LLVM::BitcastOp::create(builder, loc, builder.getI32Type(), number), -16);
  return i32.mul(bits, kBothHalves);
}

/// a * b + c on both halves of words. Chips that multiply bf16 need not add it, but all of them have this.
Value FragmentDecoder::multiplyAdd(Value a, Value b, Value c) {
  Type word = builder.getI32Type();
  if (!element.isF16())
    return LLVM::InlineAsmOp::create(builder, loc, TypeRange(word), ValueRange{a, b, c},
                                     "fma.rn.bf16x2 $0, $1, $2, $3;", "=r,r,r,r", /*has_side_effects=*/false,
                                     /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None, nullptr, nullptr)
        .getRes();
  auto pair = VectorType::get({2}, element);
  auto halves = [&](Value value) -> Value { return LLVM::BitcastOp::create(builder, loc, pair, value); };
  auto none = LLVM::FastmathFlagsAttr::get(builder.getContext(), LLVM::FastmathFlags::none);
  Value sum = LLVM::FMAOp::create(builder, loc, pair, halves(a), halves(b), halves(c), none);
  return LLVM::BitcastOp::create(builder, loc, word, sum);
}
Value FragmentDecoder::subtract(Value a, Value b) {
  auto pair = VectorType::get({2}, element);
  auto halves = [&](Value value) -> Value { return LLVM::BitcastOp::create(builder, loc, pair, value); };
  auto none = LLVM::FastmathFlagsAttr::get(builder.getContext(), LLVM::FastmathFlags::none);
  Value difference = LLVM::FSubOp::create(builder, loc, pair, halves(a), halves(b), none);
  return LLVM::BitcastOp::create(builder, loc, builder.getI32Type(), difference);
}

Value FragmentDecoder::multiply(Value a, Value b) {
  if (!element.isF16())
    return multiplyAdd(a, b, splat(-0.0));
  auto pair = VectorType::get({2}, element);
  auto halves = [&](Value value) -> Value { return LLVM::BitcastOp::create(builder, loc, pair, value); };
  Value product = LLVM::FMulOp::create(builder, loc, pair, halves(a), halves(b));
  return LLVM::BitcastOp::create(builder, loc, builder.getI32Type(), product);
}

//===----------------------------------------------------------------------===//
// The ways
//===----------------------------------------------------------------------===//

FragmentDecoder::Bias FragmentDecoder::emitBias(Value zero, Value multiplier) {
  if (way == Way::NibbleToByte && zero)
    return {i32.mul(i32.sub(i32.constant(128 + static_cast<int64_t>(format.minValue())), zero), kAllBytes), {}, {}};
  if (way != Way::Nibble && way != Way::Byte)
    return {{}, {}, multiplier};
  Bias bias = emitSubtrahend(zero);
  if (way == Way::Byte)
    bias.high = {};
  if (!multiplier)
    return bias;
  if (element.isF16())
    bias.low = bitXor(bias.low, i32.constant(kBothSigns)); // f16 alone subtracts it
  bias.low = multiply(bias.low, multiplier);
  if (bias.high)
    bias.high = multiply(bias.high, multiplier);
  bias.multiplier = multiplier;
  return bias;
}

SmallVector<Value> FragmentDecoder::wordsOf(const Bias &bias) {
  SmallVector<Value> words;
  for (Value word : {bias.low, bias.high, bias.multiplier})
    if (word)
      words.push_back(word);
  return words;
}

/// Words of a bias with a multiplier or, where there is none, with a zero point.
FragmentDecoder::Bias FragmentDecoder::biasOf(ArrayRef<Value> words) {
  Bias bias;
  bool isShifted = way == Way::Nibble || way == Way::Byte;
  int64_t numBiases = way == Way::NibbleToByte ? 1 : !isShifted ? 0 : way == Way::Nibble && element.isF16() ? 2 : 1;
  if (numBiases)
    bias.low = words[0];
  if (numBiases == 2)
    bias.high = words[1];
  if (static_cast<int64_t>(words.size()) > numBiases)
    bias.multiplier = words[numBiases];
  return bias;
}

int64_t FragmentDecoder::wordsOfBias(const Format &format, OperandElement element, bool hasZero, bool hasMultiplier) {
  Way way = *wayOf(format, element);
  if (way == Way::NibbleToByte)
    return hasZero;
  bool isShifted = way == Way::Nibble || way == Way::Byte,
       isNibbleOfHalf = way == Way::Nibble && element == OperandElement::F16;
  return (isShifted && (hasZero || hasMultiplier) ? (isNibbleOfHalf ? 2 : 1) : 0) + hasMultiplier;
}

Value FragmentDecoder::emitMultiplier(Value scale) {
  Value number = arith::MulFOp::create(builder, loc, scale,
                                       arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(factor())));
  return splat(number);
}

FragmentDecoder::Bias FragmentDecoder::emitSubtrahend(Value zero) {
  int64_t least = format.isSigned ? int64_t(1) << (format.bits - 1) : 0;
  if (way == Way::Byte && !element.isF16()) // of what is 128 less than the code as it is stored
    return {zero ? splat(i32.sub(i32.constant(128 - least), zero)) : splat(128 - double(least)), {}};
  if (!zero && element.isF16())
    return {splat(1024 + double(least)), splat(-(64 + double(least)))};
  if (!zero)
    return {splat(-(128 + double(least))), {}};
  Value bias = i32.add(zero, least);
  // 1024 + b has the bits 0x6400 + b, -(64 + b) 0xD400 + 16 b, and -(128 + b) in bf16 0xC300 + b.
  if (hasSmallBiases) {
    auto twice = [&](Value bits) { return i32.mul(bits, kBothHalves); };
    if (!element.isF16())
      return {twice(i32.add(bias, 0xC300)), {}};
    return {twice(i32.add(bias, 0x6400)), twice(i32.add(i32.mul(bias, 16), 0xD400))};
  }
  if (!element.isF16())
    return {splat(i32.sub(i32.constant(-128), bias)), {}};
  return {splat(i32.add(bias, 1024)), splat(i32.sub(i32.constant(-64), bias))};
}

SmallVector<Value> FragmentDecoder::emitNibbles(Value word, const std::array<Bias, 2> &biases) {
  SmallVector<Value> registers;
  if (!element.isF16()) {
    for (int64_t r = 0; r < 4; ++r) {
      Value number = maskOr(shift(word, -4 * r), 0x000F000F, 0x43004300);
      Value one = biases[r % 2].multiplier ? biases[r % 2].multiplier : splat(1.0);
      registers.push_back(multiplyAdd(number, one, biases[r % 2].low));
    }
    return registers;
  }
  constexpr int64_t kMagic = 0x64006400;
  Value sixteenth = splat(1.0 / 16);
  if (biases[1].multiplier)
    sixteenth = multiply(biases[1].multiplier, sixteenth);
  for (int64_t byte = 0; byte < 2; ++byte) {
    Value two = shift(word, -8 * byte);
    registers.push_back(lessBias(maskOr(two, 0x000F000F, kMagic), biases[0]));
    registers.push_back(multiplyAdd(maskOr(two, 0x00F000F0, kMagic), sixteenth, biases[1].high));
  }
  return registers;
}

/// Two codes of 8 bits, in halves of a word, less the bias. A bf16 holds seven bits q as 128 + q; the eighth makes the
/// other term, 128 or 256.
Value FragmentDecoder::emitByte(Value pair, const Bias &bias) {
  Value magic = i32.constant(0x43004300), low = bitOr(bitAnd(pair, 0x007F007F), magic);
  Value high = bitOr(bitXor(bitAnd(pair, 0x00800080), i32.constant(0x00800080)), magic);
  Value number = multiplyAdd(high, splat(-1.0), low);
  if (matchPattern(bias.low, m_Zero()))
    return number;
  return multiplyAdd(number, bias.multiplier ? bias.multiplier : splat(1.0), bias.low);
}

/// A code s e m of 4 bits is at bits 4 r of its half; one of 8 bits is brought to the upper byte of its half first. In
/// bf16 the exponent's own place makes the number too small by a power of two, that the sum could not be multiplied by.
SmallVector<Value> FragmentDecoder::emitMinifloats(ValueRange words) {
  int64_t mantissa = format.layout.mantissaBits, magnitudeBits = mantissa + format.layout.exponentBits;
  int64_t whole = element.isF16() ? 10 : 7, mask = ((int64_t(1) << magnitudeBits) - 1) << (whole - mantissa);
  SmallVector<Value> registers;
  for (int64_t r = 0; r < 4; ++r) {
    int64_t first = 4 * r; // bit of the code in its half
    Value word = words.front();
    if (format.bits == 8) {
      word = permute(words[r / 2], i32.constant(0), r % 2 ? 0x3424 : 0x1404);
      first = 8;
      if (mantissa == 2 && element.isF16()) {
        registers.push_back(word);
        continue;
      }
    }
    Value sign = bitAnd(shift(word, 15 - (first + format.bits - 1)), 0x8000 * kBothHalves);
    Value magnitude = bitAnd(shift(word, whole - mantissa - first), mask * kBothHalves);
    Value number = bitOr(sign, magnitude);
    registers.push_back(element.isF16() ? number : multiply(number, splat(std::ldexp(1.0, 127 - format.layout.bias))));
  }
  return registers;
}

/// Codes 2 r and 2 r + 1 are a pair. A permute takes three bits of index from each nibble of its selector, so the lower
/// and the upper half of the table are looked up apart; a code's fourth bit, spread over a byte, chooses.
SmallVector<Value> FragmentDecoder::emitPermutes(Value word) {
  auto tableWord = [&](int64_t byte, int64_t firstEntry) {
    uint32_t bytes = 0;
    for (int64_t i = 0; i < 4; ++i)
      bytes |= uint32_t(table[firstEntry + i] >> (8 * byte) & 0xFF) << (8 * i);
    return i32.constant(static_cast<int32_t>(bytes));
  };
  Value indices = bitAnd(word, 0x77777777), evenTops = shift(word, 4);
  SmallVector<Value> registers;
  for (int64_t half = 0; half < 2; ++half) {
    Value selector = half ? shift(indices, -16) : indices;
    // A selector of 8 and more spreads the sign of a byte.
    Value isUpper = permute(word, evenTops, half ? 0xBFAE : 0x9D8C);
    std::array<Value, 2> bytes;
    for (int64_t byte = 0; byte < 2; ++byte) {
      Value lower = permute(tableWord(byte, 0), tableWord(byte, 4), selector);
      Value upper = permute(tableWord(byte, 8), tableWord(byte, 12), selector);
      Value change = builder.createOrFold<arith::AndIOp>(loc, bitXor(lower, upper), isUpper);
      bytes[byte] = bitXor(lower, change);
    }
    registers.push_back(permute(bytes[0], bytes[1], 0x5140));
    registers.push_back(permute(bytes[0], bytes[1], 0x7362));
  }
  return registers;
}

int64_t FragmentDecoder::tableBytes(const Format &format, OperandElement element) {
  return wayOf(format, element) == Way::Lookup ? kPairs * kEntryBytes : 0;
}

void FragmentDecoder::emitTable(Value sharedMemory, Value thread, int64_t threads, Value lane, bool sharesLookups) {
  if (way != Way::Lookup)
    return;
  this->sharesLookups = sharesLookups;
  auto at = [&](Value byte) {
    return LLVM::GEPOp::create(builder, loc, sharedMemory.getType(), builder.getI8Type(), sharedMemory,
                               ValueRange{byte});
  };
  pairsAt = sharedMemory;
  laneByte = shift(lane, 2);
  auto loop = scf::ForOp::create(builder, loc, thread, i32.constant(kPairs), i32.constant(threads));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  Value pair = emitPermutes(loop.getInductionVar()).front();
  Value four = vector::BroadcastOp::create(builder, loc, VectorType::get({4}, builder.getI32Type()), pair);
  // Lanes begin at different copies: at one time they write to all banks.
  constexpr int64_t kStores = kEntryBytes / 16;
  for (int64_t i = 0; i < kStores; ++i) {
    Value byte = i32.mul(i32.rem(i32.add(lane, i), kStores), 16);
    LLVM::StoreOp::create(builder, loc, four, at(i32.add(i32.mul(loop.getInductionVar(), kEntryBytes), byte)), 16);
  }
}

/// The code of zero; none where there is none.
std::optional<int64_t> FragmentDecoder::zeroCode() {
  const uint16_t *zero = llvm::find_if(table, [](uint16_t bits) { return (bits & 0x7FFF) == 0; });
  return zero == table.end() ? std::nullopt : std::optional<int64_t>(zero - table.begin());
}

/// Two copies of the float, or all bits where codes, not numbers, are left out.
Value FragmentDecoder::emitOne() { return usesZeroCode() ? i32.constant(-1) : splat(1.0); }

/// The word with codes of zero in rows whose multiplier is 0. Byte r is of row r % 2.
Value FragmentDecoder::withoutZeros(Value word, const std::array<Bias, 2> &biases) {
  if (!usesZeroCode() || !biases[0].multiplier)
    return word;
  Value kept = bitOr(bitAnd(biases[0].multiplier, 0x00FF00FF), bitAnd(biases[1].multiplier, 0xFF00FF00));
  Value zeros = bitAnd(bitXor(kept, i32.constant(-1)), *zeroCode() * 0x11111111);
  return bitOr(builder.createOrFold<arith::AndIOp>(loc, word, kept), zeros);
}

/// Byte r of the word is the pair of register r.
SmallVector<Value> FragmentDecoder::emitLookups(Value word) {
  constexpr int64_t kShift = 7; // by an entry's bytes
  SmallVector<Value> registers;
  for (int64_t r = 0; r < 4; ++r) {
    Value byte = bitOr(bitAnd(shift(word, kShift - 8 * r), 0xFF << kShift), laneByte);
    Value at = LLVM::GEPOp::create(builder, loc, pairsAt.getType(), builder.getI8Type(), pairsAt, ValueRange{byte});
    registers.push_back(LLVM::LoadOp::create(builder, loc, builder.getI32Type(), at, 4));
  }
  return registers;
}

/// The upper or the lower codes of all bytes of a word.
Value FragmentDecoder::emitBytes(Value word, bool areUpper, const Bias &bias) {
  if (unit != 1)
    return bitAnd(areUpper ? word : shift(word, 4), 0xF0 * kAllBytes);
  if (format.isSigned) // less the least
    word = bitXor(word, i32.constant(static_cast<int32_t>(0x88 * kAllBytes)));
  Value codes = bitAnd(areUpper ? shift(word, -4) : word, 0x0F * kAllBytes);
  return bias.low ? bitXor(i32.add(codes, bias.low), i32.constant(static_cast<int32_t>(kAllSigns))) : codes;
}

/// A number of a code less the least one's and the zero point, times the multiplier.
Value FragmentDecoder::lessBias(Value number, const Bias &bias) {
  return bias.multiplier ? multiplyAdd(number, bias.multiplier, bias.low) : subtract(number, bias.low);
}

SmallVector<Value> FragmentDecoder::emit(ValueRange words, const std::array<Bias, 2> &biases) {
  SmallVector<Value> registers = emitNumbers(words, biases);
  if (way == Way::Minifloat || (way == Way::Lookup && !usesZeroCode()))
    for (auto [r, number] : llvm::enumerate(registers))
      if (biases[r % 2].multiplier)
        number = multiply(number, biases[r % 2].multiplier);
  return registers;
}

SmallVector<Value> FragmentDecoder::emitNumbers(ValueRange words, const std::array<Bias, 2> &biases) {
  SmallVector<Value> registers;
  Value word;
  switch (way) {
  case Way::Nibble:
    return emitNibbles(words.front(), biases);
  case Way::Byte:
    for (int64_t r = 0; r < 4; ++r) {
      Value high = i32.constant(element.isF16() ? 0x64646464 : 0);
      Value number = permute(words[r / 2], high, r % 2 ? 0x4342 : 0x4140);
      registers.push_back(element.isF16() ? lessBias(number, biases[r % 2]) : emitByte(number, biases[r % 2]));
    }
    return registers;
  case Way::Minifloat:
    return emitMinifloats(words);
  case Way::Lookup:
    word = withoutZeros(words.front(), biases);
    // Permutes and loads from the table are done by different units, which share the work.
    return pairsAt && (!sharesLookups || numWords++ % 2 == 0) ? emitLookups(word) : emitPermutes(word);
  case Way::NibbleToByte:
    for (int64_t r = 0; r < 4; ++r)
      registers.push_back(emitBytes(words[r / 2], r % 2, biases[r % 2]));
    return registers;
  }
  return registers;
}
