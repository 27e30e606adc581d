//===- FragmentNumbers.cpp - words of codes to registers of a product -------===//
//
// The conversions themselves, in the ways that FragmentDecoder.cpp names and explains. In goes a word of codes, as the
// layout of fragments holds them, out come the four registers of a step: rows g and g + 8 of the instruction take
// turns. Must not round, but for products with the scales that declineFold() takes.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/FragmentDecoder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <cmath>

using namespace mlir;
using namespace qlow;

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

/// A number of a code less the least one's and the zero point, times the multiplier.
Value FragmentDecoder::lessBias(Value number, const Bias &bias) {
  return bias.multiplier ? multiplyAdd(number, bias.multiplier, bias.low) : subtract(number, bias.low);
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

/// Codes at bits 3 and 7 of halves, of which the eleven lowest are an integer times 2^-24. Shifts to the left are
/// products to ptxas, for units that have little to do.
SmallVector<Value> FragmentDecoder::emitFused(Value word, const std::array<Bias, 2> &biases) {
  SmallVector<Value> registers;
  for (int64_t left : {3, -5}) {
    Value two = shift(word, left);
    registers.push_back(multiplyAdd(bitAnd(two, 0x00780078), biases[0].multiplier, biases[0].high));
    registers.push_back(multiplyAdd(bitAnd(two, 0x07800780), biases[1].multiplier, biases[1].high));
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

/// The upper or the lower codes of all bytes of a word.
Value FragmentDecoder::emitBytes(Value word, bool areUpper, const Bias &bias) {
  if (unit != 1)
    return bitAnd(areUpper ? word : shift(word, 4), 0xF0 * kAllBytes);
  if (format.isSigned) // less the least
    word = bitXor(word, i32.constant(static_cast<int32_t>(0x88 * kAllBytes)));
  Value codes = bitAnd(areUpper ? shift(word, -4) : word, 0x0F * kAllBytes);
  return bias.low ? bitXor(i32.add(codes, bias.low), i32.constant(static_cast<int32_t>(kAllSigns))) : codes;
}

//===----------------------------------------------------------------------===//
// Small floats
//===----------------------------------------------------------------------===//

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

/// A byte has the sign and magnitude of its lower code where the upper byte of an f16 has them; those of its upper code
/// get there by 3 bits down and 7 up. Upper bytes of a register are bytes 0 and 2 of a word, or 1 and 3. Shifts to the
/// left are products to ptxas, for units that have little to do.
SmallVector<Value> FragmentDecoder::emitTakenApart(Value word) {
  constexpr int64_t kPlaces = 0x8E008E00;
  Value upper = maskSelect(kAllSigns, shift(word, 7), shift(word, -3));
  return {bitAnd(shift(word, 8), kPlaces), bitAnd(word, kPlaces), bitAnd(shift(upper, 8), kPlaces),
          bitAnd(upper, kPlaces)};
}

//===----------------------------------------------------------------------===//
// Tables of 16 values
//===----------------------------------------------------------------------===//

/// Pairs of codes of 4 bits, and bytes of a pair's copies for all lanes.
static constexpr int64_t kPairs = 256, kEntryBytes = 128;
/// Bytes from an entry to the next.
static int64_t entryDistance(bool isSpread) { return kEntryBytes * (isSpread ? 2 : 1); }

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

int64_t FragmentDecoder::tableBytes(const Format &format, OperandElement element, bool isSpread) {
  return wayOf(format, element) == Way::Lookup ? kPairs * entryDistance(isSpread) : 0;
}

void FragmentDecoder::emitTable(Value sharedMemory, Value thread, int64_t threads, Value lane, int64_t permuted,
                                bool isSpread) {
  if (way != Way::Lookup)
    return;
  this->permuted = permuted;
  this->isSpread = isSpread;
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
  Value entry = i32.mul(loop.getInductionVar(), entryDistance(isSpread));
  for (int64_t i = 0; i < kStores; ++i) {
    Value byte = i32.mul(i32.rem(i32.add(lane, i), kStores), 16);
    LLVM::StoreOp::create(builder, loc, four, at(i32.add(entry, byte)), 16);
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

/// Byte r of the word is the pair of register r. Of a spread table it is also a byte of the address, beside the lane's.
SmallVector<Value> FragmentDecoder::emitLookups(Value word) {
  constexpr int64_t kShift = 7; // by an entry's bytes
  SmallVector<Value> registers;
  for (int64_t r = 0; r < 4; ++r) {
    Value byte = isSpread ? permute(word, laneByte, 0x5504 | r << 4)
                          : bitOr(bitAnd(shift(word, kShift - 8 * r), 0xFF << kShift), laneByte);
    Value at = LLVM::GEPOp::create(builder, loc, pairsAt.getType(), builder.getI8Type(), pairsAt, ValueRange{byte});
    registers.push_back(LLVM::LoadOp::create(builder, loc, builder.getI32Type(), at, 4));
  }
  return registers;
}
