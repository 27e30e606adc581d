//===- Integer.cpp - signed and unsigned integer codes --------------------===//
//
// Two's complement or unsigned integers of 2 to 16 bits. Codes are zero-extended bit patterns. Encoding rounds half to
// even and then saturates, as ONNX QuantizeLinear does (docs/Operators.md of the ONNX repository); NaN becomes the
// smallest value, which is what x86 conversions give (cvtps2dq: INT_MIN, then saturated).
//
//===----------------------------------------------------------------------===//

#include "Kinds.h"

#include <algorithm>
#include <cmath>

namespace qlow::formats {

double roundHalfToEven(double x) {
  double lower = std::floor(x), fraction = x - lower;
  bool odd = std::fmod(lower, 2.0) != 0;
  return fraction > 0.5 || (fraction == 0.5 && odd) ? lower + 1 : lower;
}

float decodeInteger(const Format &format, uint32_t code) {
  int32_t signBit = format.isSigned ? int32_t(1) << (format.bits - 1) : 0;
  return float((int32_t(code) ^ signBit) - signBit);
}

uint32_t encodeInteger(const Format &format, float x) {
  int32_t count = int32_t(1) << format.bits;
  int32_t min = format.isSigned ? -count / 2 : 0, max = min + count - 1;
  // The bounds are integers, so clamping first changes no result and keeps infinities away from the rounding.
  double value = std::isnan(x) ? min : roundHalfToEven(std::clamp<double>(x, min, max));
  return uint32_t(int32_t(value)) & uint32_t(count - 1);
}

} // namespace qlow::formats
