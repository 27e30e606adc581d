//===- Formats.h - number formats of codes and scales -----------*- C++ -*-===//
//
// A format says how the codes of a quantized tensor are laid out in bytes and which number each code stands for. It
// knows no target, no MLIR and no tensor: value = scale * (decode(code) - zero) + offset is the business of the
// dialect. Everything here is host-side, exact and slow; it is the one place the compiler and the reference evaluator
// share.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_FORMATS_FORMATS_H
#define QLOW_FORMATS_FORMATS_H

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace qlow {

/// How a code becomes a number. Emitters switch over this closed list, never over names.
enum class DecodeKind {
  Integer,   ///< two's complement or unsigned of `bits` bits
  Sign,      ///< one bit: 0 is -1, 1 is +1
  Ternary,   ///< two bits, code - 1: code 3 decodes to +2, and encode never produces it
  Trit,      ///< base 3, digit - 1; five digits a byte, the first is the least significant
  Codebook,  ///< a table of 2^bits values
  Minifloat, ///< sign, exponent, mantissa
};

/// The parameters of a small float. Sources: OCP OFP8 v1.0, OCP MX v1.0, IEEE 754.
struct MinifloatLayout {
  unsigned exponentBits, mantissaBits;
  int bias;
  bool isSigned = true;
  bool hasInfinity = false;
  /// FN: NaN is all ones. FNUZ: NaN is the pattern of minus zero, the only NaN, and there is no minus zero.
  enum class NaN { None, IEEE, AllOnes, MinusZero } nan = NaN::None;
  /// False (E8M0): the lowest exponent is an ordinary power of two, so there are neither subnormals nor a zero.
  bool hasZero = true;
};

/// value(code) == integer(code) * step, with integer(code) in [min, max]: dot products of images are exact.
struct IntegerImage {
  float step;
  int32_t min, max;
};

class Format {
public:
  std::string_view name;
  DecodeKind kind;
  unsigned bits;                   ///< of one code; trit: 0, since a code is not a whole number of bits
  unsigned codesPerGroup;          ///< the least number of codes that fill whole bytes...
  unsigned bytesPerGroup;          ///< ...and how many bytes they fill
  bool isSigned;                   ///< DecodeKind::Integer only
  std::span<const float> codebook; ///< DecodeKind::Codebook only, 2^bits values
  MinifloatLayout layout;          ///< DecodeKind::Minifloat only

  /// Number of distinct codes: 2^bits, or 3 for trit.
  uint64_t numCodes() const;
  /// Bytes of one row of `codes` codes, padded to whole bytes (not to whole groups).
  int64_t rowBytes(int64_t codes) const;
  /// Code number `index` of a packed row, lowest bits first; Integer codes come zero-extended. Any byte holds five
  /// trits: digit i is (byte / 3^i) % 3.
  uint32_t extract(const uint8_t *row, int64_t index) const;
  void insert(uint8_t *row, int64_t index, uint32_t code) const;
  /// Consecutive codes from number `first` on, each a byte; of formats of at most 8 bits. Reads no byte but theirs.
  void extract(const uint8_t *row, int64_t first, std::span<uint8_t> codes) const;

  /// The number a code stands for, exact in f32. Codes at or above numCodes() are a caller's error.
  float decode(uint32_t code) const;
  /// The code whose value is nearest to `x`. Ties: Minifloat takes the even code, Integer, Ternary and Trit the even
  /// value (round half to even), Codebook the lower index, Sign +1. Out of range saturates to the largest finite value,
  /// infinities too. NaN: the NaN code where there is one (positive and quiet), else the largest value (Minifloat) or
  /// the smallest value (all other kinds). Zeros: a negative value that rounds to zero gives minus zero where a
  /// Minifloat has one, as IEEE 754 says; -0.0 itself gives plus zero, so that encoding is a function of the value and
  /// search() exists.
  uint32_t encode(float x) const;
  /// The smallest and largest finite value that encode produces.
  float minValue() const;
  float maxValue() const;
  /// Present where all values are small integers times one power of two that fit in i16. Its bounds hold for every
  /// code, Ternary's code 3 included.
  std::optional<IntegerImage> integerImage() const;
  /// decode(code) / integerImage()->step
  int32_t integer(uint32_t code) const;

  /// Decode of every code, for formats of at most 8 bits.
  std::vector<float> table() const;
  /// Encoding as a search: encode(x) == codes[ number of i with x > thresholds[i] ] for every x that is not NaN.
  /// Thresholds ascend; where a tie rounds up the threshold is one f32 step below the midpoint. The step below zero is
  /// the smallest subnormal (Sign, formats with a minus zero): compare with subnormals on. Formats of at most 16 bits.
  struct Search {
    std::vector<float> thresholds;
    std::vector<uint32_t> codes; ///< thresholds.size() + 1
    uint32_t nanCode;
  };
  Search search() const;
};

/// All formats that codes can have, in the order documentation lists them.
std::span<const Format> codeFormats();
/// The code format of that name, or null.
const Format *findCodeFormat(std::string_view name);
/// A format of 4 or 8 bits whose codes can stand in for those of `format`: itself, or the first that has all of its
/// numbers, narrow ones before wide ones and integers before floats; null where there is none.
const Format *alignedFormat(const Format &format);
/// The integers of whole bytes that codes of `format` can be unpacked to, which stand for the same numbers: i8 for
/// those of fewer bits; null for bytes, and where there are numbers that are no such integers.
const Format *unpackedFormat(const Format &format);
/// Formats of unquantized scales and offsets: f32, f16, bf16, f8E8M0FNU, f8E4M3FN; null for any other name.
const Format *findScaleFormat(std::string_view name);

} // namespace qlow

#endif // QLOW_FORMATS_FORMATS_H
