//===- Minifloat.cpp - small floats of any layout -------------------------===//
//
// Sign, exponent and mantissa as a MinifloatLayout describes them, from OCP E2M1 up to f32 itself; E8M0 is the layout
// without mantissa, sign and zero. Conversion is from f32, rounds once, to nearest even, and saturates (the saturating
// mode of OCP OFP8 v1.0; infinities too). All arithmetic is in f64, where it is exact. Values down to 2^-149 pass
// through f32 on the way in and out, so the host must not flush subnormals (no -ffast-math, no FTZ or DAZ).
//
//===----------------------------------------------------------------------===//

#include "Kinds.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace qlow::formats {

using NaN = MinifloatLayout::NaN;

static uint32_t lowMask(unsigned bits) { return uint32_t((uint64_t(1) << bits) - 1); }

static unsigned magnitudeBits(const MinifloatLayout &layout) { return layout.exponentBits + layout.mantissaBits; }

// The exponent of subnormals and of the lowest normal numbers.
static int minExponent(const MinifloatLayout &layout) { return (layout.hasZero ? 1 : 0) - layout.bias; }

// The largest finite number. IEEE gives the highest exponent to infinity and NaN, FN gives its last pattern to NaN.
static uint32_t maxCode(const MinifloatLayout &layout) {
  uint32_t allOnes = lowMask(magnitudeBits(layout));
  if (layout.nan == NaN::IEEE || layout.hasInfinity)
    return allOnes - lowMask(layout.mantissaBits) - 1;
  return layout.nan == NaN::AllOnes ? allOnes - 1 : allOnes;
}

// The positive quiet NaN, or the largest number where there is no NaN.
static uint32_t nanCode(const MinifloatLayout &layout) {
  switch (layout.nan) {
  case NaN::None:
    break;
  case NaN::IEEE:
    return lowMask(magnitudeBits(layout)) - (lowMask(layout.mantissaBits) >> 1);
  case NaN::AllOnes:
    return lowMask(magnitudeBits(layout));
  case NaN::MinusZero:
    return uint32_t(1) << magnitudeBits(layout);
  }
  return maxCode(layout);
}

static double decodeMagnitude(const MinifloatLayout &layout, uint32_t magnitude) {
  int exponent = int(magnitude >> layout.mantissaBits);
  int64_t significand = magnitude & lowMask(layout.mantissaBits);
  if (exponent == 0 && layout.hasZero)
    return std::ldexp(double(significand), minExponent(layout) - int(layout.mantissaBits));
  significand |= int64_t(1) << layout.mantissaBits;
  return std::ldexp(double(significand), exponent - layout.bias - int(layout.mantissaBits));
}

float decodeMinifloat(const MinifloatLayout &layout, uint32_t code) {
  uint32_t magnitude = code & lowMask(magnitudeBits(layout));
  bool negative = layout.isSigned && code != magnitude;
  if (layout.nan == NaN::MinusZero && negative && magnitude == 0)
    return std::numeric_limits<float>::quiet_NaN();
  if (layout.nan != NaN::MinusZero && magnitude > maxCode(layout)) {
    bool infinite = layout.hasInfinity && magnitude == maxCode(layout) + 1;
    float special = infinite ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
    return negative ? -special : special;
  }
  double value = decodeMagnitude(layout, magnitude);
  return float(negative ? -value : value);
}

// Magnitudes in ascending order have consecutive codes, so a carry out of the mantissa walks into the next exponent by
// itself, and "the even one of two neighbours" is the even code.
static uint32_t encodeMagnitude(const MinifloatLayout &layout, double value) {
  if (value >= decodeMagnitude(layout, maxCode(layout)))
    return maxCode(layout);
  int exponent = value > 0 ? std::max(std::ilogb(value), minExponent(layout)) : minExponent(layout);
  double scaled = std::ldexp(value, int(layout.mantissaBits) - exponent), lower = std::floor(scaled);
  double fraction = scaled - lower;
  // The exponent field of normal numbers is exponent + bias; `lower` brings one unit of it as the implicit bit.
  int64_t code = (int64_t(exponent + layout.bias - 1) << layout.mantissaBits) + int64_t(lower);
  code += fraction > 0.5 || (fraction == 0.5 && code % 2 != 0);
  return uint32_t(std::max<int64_t>(code, 0)); // Below the lowest power of two of a layout without zero.
}

uint32_t encodeMinifloat(const MinifloatLayout &layout, float x) {
  if (std::isnan(x))
    return nanCode(layout);
  if (!layout.isSigned)
    return encodeMagnitude(layout, std::max(x, 0.0f));
  uint32_t magnitude = encodeMagnitude(layout, std::fabs(double(x)));
  bool hasMinusZero = layout.nan != NaN::MinusZero;
  bool negative = x < 0 && (magnitude != 0 || hasMinusZero);
  return magnitude | uint32_t(negative) << magnitudeBits(layout);
}

} // namespace qlow::formats
