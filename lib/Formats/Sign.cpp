//===- Sign.cpp - codes of one bit and of three values --------------------===//
//
// binary is a sign; ternary and trit are the digits -1, 0, +1 in two bits or in base 3. Rounding to a digit is the
// rounding of integers: +-0.5 become 0, as in BitNet's weight quantization, round(x).clamp(-1, 1) with ties to even.
// Five digits fill a byte (3^5 = 243), the first is the least significant. This is not the packing of GGUF's tq1_0,
// which stores the digits as a fraction of 256: importers translate.
//
//===----------------------------------------------------------------------===//

#include "Kinds.h"

#include <algorithm>
#include <cmath>

namespace qlow::formats {

float decodeSign(uint32_t code) { return code ? 1.0f : -1.0f; }

// sign(0) = +1 for both zeros; NaN compares false and becomes -1, the smallest value.
uint32_t encodeSign(float x) { return x >= 0; }

float decodeTernary(uint32_t code) { return float(code) - 1; }

uint32_t encodeTernary(float x) {
  return std::isnan(x) ? 0 : uint32_t(int32_t(roundHalfToEven(std::clamp(x, -1.0f, 1.0f))) + 1);
}

static constexpr uint32_t powersOf3[5] = {1, 3, 9, 27, 81};

uint32_t extractTrit(const uint8_t *row, int64_t index) { return row[index / 5] / powersOf3[index % 5] % 3; }

void extractTrits(const uint8_t *row, int64_t first, std::span<uint8_t> digits) {
  const uint8_t *next = row + first / 5;
  uint32_t byte = 0, known = 0; // digits that the byte still has
  if (first % 5)
    byte = *next++ / powersOf3[first % 5], known = 5 - first % 5;
  for (uint8_t &digit : digits) {
    if (!known)
      byte = *next++, known = 5;
    digit = uint8_t(byte % 3);
    byte /= 3;
    --known;
  }
}

void insertTrit(uint8_t *row, int64_t index, uint32_t digit) {
  // Bytes from 243 on hold the same digits as byte - 243; only the lower spelling leaves room for every change.
  uint32_t byte = row[index / 5] % 243;
  row[index / 5] = uint8_t(byte + (digit - extractTrit(row, index)) * powersOf3[index % 5]);
}

} // namespace qlow::formats
