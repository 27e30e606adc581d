//===- Codebook.cpp - codes that index a table of values ------------------===//
//
// The published 4-bit codebooks, and the search for the nearest value in one. A codebook may be in any order and may
// hold a value twice (bitsandbytes' fp4 has two zeros): of two codes equally near, the one with the lower index is
// taken.
//
//===----------------------------------------------------------------------===//

#include "Kinds.h"

#include <limits>

namespace qlow::formats {

// NF4: QLoRA (arXiv 2305.14314), appendix E; the digits of bitsandbytes, functional.py and csrc/kernels.cu.
const float nf4Values[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

// bitsandbytes "fp4", csrc/kernels.cu fp4_dequantization_lut: {0, 1/16, 8, 12, 4, 6, 2, 3} / 12, bit 3 is the sign. It
// is not OCP E2M1. (The Triton kernel's 0.00520833 is another f32, 7 steps lower; all other tables agree with this
// one.)
const float bnbFp4Values[16] = {
    0.0f,  0.005208333333f,  0.66666667f,  1.0f,  0.33333333f,  0.5f,  0.16666667f,  0.25f,
    -0.0f, -0.005208333333f, -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f,
};

// ggml, src/ggml-common.h kvalues_iq4nl: integers, so the codebook has an exact integer image.
const float iq4nlValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

float decodeCodebook(const Format &format, uint32_t code) { return format.codebook[code]; }

// True if `x` lies on the side of `a` of the midpoint of `a` and `b`. The midpoint is exact in f64, since the values of
// a codebook differ by few powers of two; distances |x - a| would round where x is tiny.
static bool isNearer(float x, float a, float b) {
  double midpoint = (double(a) + double(b)) / 2;
  return a < b ? x < midpoint : b < a && x > midpoint;
}

uint32_t encodeCodebook(const Format &format, float x) {
  std::span<const float> values = format.codebook;
  uint32_t best = 0;
  // NaN lies on no side, so it would stay at index 0: let it stand for what is below every value.
  if (x != x)
    x = -std::numeric_limits<float>::infinity();
  for (uint32_t code = 1; code < values.size(); ++code)
    if (isNearer(x, values[code], values[best]))
      best = code;
  return best;
}

} // namespace qlow::formats
