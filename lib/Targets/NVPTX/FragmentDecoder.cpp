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
//              Of codes s e e m, to f16, the bits of two lie mixed in a byte, where half of them are in place
//              (Layout.h).
//   lookup16   two codes are the number of a pair of values in a table in shared memory. Each lane has a copy of its
//              own, in a bank of its own. Who makes the table, or has none, looks four codes up at once by byte
//              permutes, low and high bytes of the values apart: three times the operations.
//
// Scales may meet the numbers, too: powers of two in the operation that takes off a bias, or unit; others in one behind
// it, which rounds where they have too many bits together. Nibbles of f16 without zero points meet small scales in one
// operation for all, "fused": the eleven lowest bits of an f16 are an integer times 2^-24, so that a code at bit b is q
// 2^(b - 24), and q 2^(b - 24) (s 2^(24 - b)) - o s is (q - o) s, rounded once, as above: o s is exact.
//
// And to bytes, integers alone. Nibbles: what a mask leaves of a word are four codes, or, signed, sixteen times each.
// Zero points are taken off four codes at once: a byte of 128 more than the difference borrows nothing of its
// neighbour, and the bit of 128 is then the sign. Bytes: those of two registers take turns, and are parted.
//
// FragmentNumbers.cpp has the conversions; here is what they are chosen by and what they need beside the codes. Must
// not round, but where the law allows it: tables whose values are no 16-bit floats, and products with scales in f16.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/FragmentDecoder.h"
#include "qlow/Targets/Layout.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace mlir;
using namespace qlow;

/// The greatest number of f16, and the least above 0.
static constexpr double kGreatestHalf = 65504, kLeastHalf = 0x1p-24;

//===----------------------------------------------------------------------===//
// Which way
//===----------------------------------------------------------------------===//

std::optional<FragmentDecoder::Way> FragmentDecoder::wayOf(const Format &format, OperandElement element) {
  bool isHalf = element == OperandElement::F16;
  if (element == OperandElement::S8) {
    if (format.kind != DecodeKind::Integer || (format.bits != 4 && (format.bits != 8 || !format.isSigned)))
      return std::nullopt;
    return format.bits == 4 ? Way::NibbleToByte : Way::ByteToByte;
  }
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
    return isTakenApart(format, element) ? Way::TakenApart : Way::Minifloat;
  return std::nullopt;
}

std::string FragmentDecoder::decline(const Format &format, OperandElement element) {
  if (const Format *stored = alignedFormat(format); stored && wayOf(*stored, element))
    return {};
  return llvm::formatv("has no decode hop from {0} to {1} in registers", format.name, elementName(element));
}

bool FragmentDecoder::holdsDifferences(const Format &format, const Format &zeroFormat, OperandElement element) {
  auto [least, most] = element == OperandElement::F16    ? std::pair(-2048, 2048)
                       : element == OperandElement::BF16 ? std::pair(-256, 256)
                                                         : elementRange(element);
  return format.minValue() - zeroFormat.maxValue() >= static_cast<float>(least) &&
         format.maxValue() - zeroFormat.minValue() <= static_cast<float>(most);
}

StringRef FragmentDecoder::hop(const Format &format, OperandElement element) {
  switch (*wayOf(format, element)) {
  case Way::Nibble:
  case Way::NibbleToByte:
    return "decode_nibble";
  case Way::Byte:
  case Way::ByteToByte:
    return "decode_byte";
  case Way::Minifloat:
  case Way::TakenApart:
    return "decode_minifloat";
  case Way::Lookup:
    return "decode_lookup16";
  }
  return {};
}

bool FragmentDecoder::arePowers(const Format &scale) {
  return scale.kind == DecodeKind::Minifloat && scale.layout.mantissaBits == 0;
}

/// A bound of what a code less its zero point is.
double FragmentDecoder::greatestOf(const Format &format, const Format *zero) {
  double greatest = std::max(-format.minValue(), format.maxValue());
  return zero ? greatest + std::max(-zero->minValue(), zero->maxValue()) : greatest;
}

int64_t FragmentDecoder::powerOfCodes(const Format &format, const Format *zero, ScaleCodes scales,
                                      OperandElement element) {
  if (element != OperandElement::F16 || !scales.isScaled)
    return 0;
  double unit = unitOf(format, zero, element), most = scales.format->maxValue();
  return std::max<int64_t>(0, std::ceil(std::log2(most * std::max(unit, greatestOf(format, zero)) / kGreatestHalf)));
}

/// The least magnitude above 0 of a float's codes, or a bound of others'.
static double leastOf(const Format &format) {
  bool isFloat = format.kind == DecodeKind::Minifloat;
  return isFloat ? std::ldexp(1.0, 1 - format.layout.bias - static_cast<int>(format.layout.mantissaBits)) : 0x1p-8;
}

/// Scales that are no powers of two are numbers of f16, times the unit, too.
std::string FragmentDecoder::declineFold(const Format &format, const Format *zero, ScaleCodes scales,
                                         OperandElement element) {
  const Format *scale = scales.format;
  if (!scale)
    return "scales are codes themselves, of a kind that codes do not meet";
  Way way = *wayOf(format, element);
  if (arePowers(*scale)) {
    if (way == Way::NibbleToByte || way == Way::ByteToByte || way == Way::Lookup)
      return llvm::formatv("powers of two meet codes that are unpacked by arithmetic to floats, those of {0} are {1}",
                           format.name, way == Way::Lookup ? "looked up" : "unpacked to bytes");
    return {};
  }
  std::optional<int64_t> bits = significantBits(format, zero);
  bool isExact = bits && scale->kind == DecodeKind::Minifloat && *bits + significantBitsOfScale(*scale) <= kBitsOfBF16;
  if (element != OperandElement::F16 && (element != OperandElement::BF16 || !isExact))
    return llvm::formatv("products with scales of {0} are rounded, which the law allows in f16 alone, here are {1}",
                         scale->name, elementName(element));
  if (scale->kind != DecodeKind::Minifloat || scale->layout.mantissaBits > 10)
    return llvm::formatv("f16 does not hold scales of {0}", scale->name);
  if (element == OperandElement::F16 && scales.isScaled &&
      leastOf(format) * leastOf(*scale) < std::ldexp(kLeastHalf, powerOfCodes(format, zero, scales, element)))
    return llvm::formatv("the least products of codes of {0} and scales of {1} are 0 in f16", format.name, scale->name);
  int exponent;
  float unit = unitOf(format, zero, element);
  if (std::frexp(unit, &exponent) != 0.5f)
    return llvm::formatv("codes of {0} are unpacked times 1 / {1}, by which f16 does not divide scales exactly",
                         format.name, 1 / unit);
  return {};
}

bool FragmentDecoder::fusesScales(const Format &format, const Format *zero, ScaleCodes scales, OperandElement element) {
  return element == OperandElement::F16 && *wayOf(format, element) == Way::Nibble && !zero && !scales.isScaled &&
         !arePowers(*scales.format);
}

std::string FragmentDecoder::declineFold(const Format &format, const Format *zero, ScaleCodes scales,
                                         OperandElement element, double least, double most) {
  if (std::string reason = declineFold(format, zero, scales, element); !reason.empty())
    return reason;
  const Format *scale = scales.format;
  // bf16 holds all products, f16 those with codes that are divided by a power of two.
  if (!arePowers(*scale) && (element == OperandElement::BF16 || scales.isScaled))
    return {};
  if (least <= 0 || most < least)
    return "scales are not known, as finite constants with one that is not 0 are";
  auto declineUnless = [&](bool fits) -> std::string {
    if (fits)
      return {};
    return llvm::formatv("scales from {0:e3} to {1:e3} times codes of {2} leave the range of {3}", least, most,
                         format.name, elementName(element));
  };
  if (!arePowers(*scale)) {
    constexpr double kLeastNormal = 0x1p-14;
    double unit = unitOf(format, zero, element), greatest = greatestOf(format, zero);
    bool hasSubnormals = scale->layout.exponentBits <= 5 && unit >= 1;
    return declineUnless((hasSubnormals || least * unit >= kLeastNormal) &&
                         most * std::max(unit, greatest) <= kGreatestHalf);
  }
  auto liesWithin = [&](int lowest, int highest) {
    return std::ldexp(1.0, lowest) <= least && most <= std::ldexp(1.0, highest);
  };
  const MinifloatLayout &layout = format.layout;
  int lowestOfF16 = -24, highestOfF16 = 15;
  switch (*wayOf(format, element)) {
  case Way::Nibble:
  case Way::Byte: // a sixteenth of the scale, and the scale times 1024 and two codes
    return declineUnless(element == OperandElement::F16 ? liesWithin(lowestOfF16 + 4, highestOfF16 - 12)
                                                        : liesWithin(-100, 100));
  case Way::Minifloat:
  case Way::TakenApart:
    if (element == OperandElement::BF16)
      return declineUnless(liesWithin(-100, 100));
    // The scale times the unit of what is decoded; the least code and the greatest.
    return declineUnless(liesWithin(lowestOfF16 - (15 - layout.bias), highestOfF16 - (15 - layout.bias)) &&
                         liesWithin(lowestOfF16 + layout.bias + static_cast<int>(layout.mantissaBits) - 1, 40) &&
                         most * format.maxValue() < std::ldexp(1.0, highestOfF16 + 1) - 16);
  case Way::Lookup:
  case Way::NibbleToByte:
  case Way::ByteToByte:
    break;
  }
  llvm_unreachable("declined by formats");
}

double FragmentDecoder::aluPerCode(const Format &format, OperandElement element, bool hasTable, bool isSpread) {
  switch (*wayOf(format, element)) {
  case Way::Nibble:
    return 9.0 / 8;
  case Way::Byte:
    return (element == OperandElement::F16 ? 11.0 : 16.0) / 8;
  case Way::Minifloat:
    return (element == OperandElement::F16 ? 12.0 : 16.0) / 8;
  case Way::TakenApart:
    return 9.0 / 8;
  case Way::Lookup:
    return (isSpread ? 12.0 : hasTable ? 14.0 : 18.0) / 8;
  case Way::NibbleToByte:
    return 4.0 / 8;
  case Way::ByteToByte:
    return 2.0 / 8;
  }
  return 0;
}

static double roundedTo(double value, const llvm::fltSemantics &type) {
  llvm::APFloat number(value);
  bool losesInfo;
  number.convert(type, llvm::APFloat::rmNearestTiesToEven, &losesInfo);
  number.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven, &losesInfo);
  return number.convertToDouble();
}

/// The least multiple of the table that consists of such floats, but for the rounding of its own f32 values; 1 where
/// there is none.
static int multipleThatFits(std::span<const float> values, const llvm::fltSemantics &type) {
  for (int multiple = 1; multiple <= 16; ++multiple)
    if (llvm::all_of(values, [&](float value) {
          double exact = double(value) * multiple;
          return std::fabs(roundedTo(exact, type) - exact) <= std::ldexp(std::fabs(exact), -23);
        }))
      return multiple;
  return 1;
}

float FragmentDecoder::unitOf(const Format &format, const Format *zero, OperandElement element) {
  bool isHalf = element == OperandElement::F16;
  switch (*wayOf(format, element)) {
  case Way::Minifloat:
  case Way::TakenApart:
    return isHalf ? std::ldexp(1.0f, 15 - format.layout.bias) : 1;
  case Way::Lookup:
    return 1 / static_cast<float>(
                   multipleThatFits(format.codebook, isHalf ? llvm::APFloat::IEEEhalf() : llvm::APFloat::BFloat()));
  case Way::NibbleToByte:
    return format.isSigned && !zero ? 1.0f / 16 : 1;
  case Way::Nibble:
  case Way::Byte:
  case Way::ByteToByte:
    return 1;
  }
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
    : WordBuilder(builder, loc, floatType(builder.getContext(), element)), format(format), way(*wayOf(format, element)),
      unit(unitOf(format, zeroFormat, element)), hasZero(zeroFormat) {
  if (zeroFormat) {
    float least = zeroFormat->minValue() - format.minValue(), most = zeroFormat->maxValue() - format.minValue();
    hasSmallBiases = least >= 0 && most < 64;
  }
  if (way == Way::Lookup)
    for (auto [entry, value] : llvm::zip(table, format.codebook))
      entry = bitsOf(double(value) / unit, this->element);
}

//===----------------------------------------------------------------------===//
// What is taken off the codes
//===----------------------------------------------------------------------===//

FragmentDecoder::Bias FragmentDecoder::emitBias(Value zero, Value multiplier, Value isSecond) {
  if (way == Way::NibbleToByte && zero)
    return {i32.mul(i32.sub(i32.constant(128 + static_cast<int64_t>(format.minValue())), zero), kAllBytes), {}, {}};
  if (way != Way::Nibble && way != Way::Byte)
    return {{}, {}, multiplier};
  if (multiplierKind == Multiplier::Fused) {
    Value first = multiply(splat(0x1p10), multiply(splat(0x1p11), multiplier)),
          second = multiply(splat(0x1p2), multiply(splat(0x1p15), multiplier));
    return {{},
            multiply(splat(double(format.minValue())), multiplier),
            arith::SelectOp::create(builder, loc, isSecond, second, first)};
  }
  Bias bias = emitSubtrahend(zero);
  if (way == Way::Byte)
    bias.high = {};
  if (multiplierKind == Multiplier::Rounded)
    bias.multiplier = multiplier;
  if (!multiplier || multiplierKind == Multiplier::Rounded)
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
  if (multiplierKind == Multiplier::Rounded && !hasZero)
    return {bias.multiplier};
  SmallVector<Value> words;
  for (Value word : {bias.low, bias.high, bias.multiplier})
    if (word)
      words.push_back(word);
  return words;
}

/// Words of a bias with a multiplier or, where there is none, with a zero point.
FragmentDecoder::Bias FragmentDecoder::biasOf(ArrayRef<Value> words) {
  if (multiplierKind == Multiplier::Rounded && !hasZero)
    return emitBias(Value(), words[0]);
  if (multiplierKind == Multiplier::Fused)
    return {{}, words[0], words[1]};
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

int64_t FragmentDecoder::wordsOfBias(const Format &format, OperandElement element, bool hasZero,
                                     Multiplier multiplier) {
  if (multiplier == Multiplier::Fused)
    return 2;
  Way way = *wayOf(format, element);
  if (way == Way::NibbleToByte)
    return hasZero;
  bool isShifted = way == Way::Nibble || way == Way::Byte,
       isNibbleOfHalf = way == Way::Nibble && element == OperandElement::F16;
  return (isShifted && (hasZero || multiplier == Multiplier::Exact) ? (isNibbleOfHalf ? 2 : 1) : 0) +
         (multiplier != Multiplier::None);
}

Value FragmentDecoder::emitMultiplier(Value scale) {
  Value number = arith::MulFOp::create(
      builder, loc, scale,
      arith::ConstantOp::create(builder, loc,
                                builder.getF32FloatAttr(std::ldexp(factor(), -static_cast<int>(multiplierPower)))));
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

//===----------------------------------------------------------------------===//
// Words of codes
//===----------------------------------------------------------------------===//

SmallVector<Value> FragmentDecoder::emit(ValueRange words, const std::array<Bias, 2> &biases) {
  if (multiplierKind == Multiplier::Fused)
    return emitFused(words.front(), biases);
  std::array<Bias, 2> taken = biases;
  if (multiplierKind == Multiplier::Rounded)
    for (Bias &bias : taken)
      bias.multiplier = {};
  SmallVector<Value> registers = emitNumbers(words, taken);
  if (multiplierKind == Multiplier::Rounded || way == Way::Minifloat || way == Way::TakenApart ||
      (way == Way::Lookup && !usesZeroCode()))
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
  case Way::TakenApart:
    return emitTakenApart(words.front());
  case Way::Lookup:
    word = withoutZeros(words.front(), biases);
    // Permutes and loads from the table are done by different units, which share the work.
    return pairsAt && (!permuted || ++numWords % permuted != 0) ? emitLookups(word) : emitPermutes(word);
  case Way::NibbleToByte:
    for (int64_t r = 0; r < 4; ++r)
      registers.push_back(emitBytes(words[r / 2], r % 2, biases[r % 2]));
    return registers;
  case Way::ByteToByte:
    for (int64_t r = 0; r < 4; ++r)
      registers.push_back(permute(words[r / 2 * 2], words[r / 2 * 2 + 1], r % 2 ? 0x7531 : 0x6420));
    return registers;
  }
  return registers;
}
