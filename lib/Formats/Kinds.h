//===- Kinds.h - decode and encode of each kind of format -------*- C++ -*-===//
//
// One pair of functions per DecodeKind, private to this library: Registry.cpp switches over the kinds and derives
// everything else from these pairs. Codes come masked to the bits of their format; the contract of rounding, saturation
// and NaN stands at Format::encode.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_FORMATS_KINDS_H
#define QLOW_LIB_FORMATS_KINDS_H

#include "qlow/Formats/Formats.h"

namespace qlow::formats {

float decodeInteger(const Format &format, uint32_t code);
uint32_t encodeInteger(const Format &format, float x);
/// `x` to the nearest integer, ties to even, whatever the rounding mode of the host.
double roundHalfToEven(double x);

float decodeSign(uint32_t code);
uint32_t encodeSign(float x);

/// Ternary and Trit differ in their packing only.
float decodeTernary(uint32_t code);
uint32_t encodeTernary(float x);
uint32_t extractTrit(const uint8_t *row, int64_t index);
void extractTrits(const uint8_t *row, int64_t first, std::span<uint8_t> digits);
void insertTrit(uint8_t *row, int64_t index, uint32_t digit);

float decodeCodebook(const Format &format, uint32_t code);
uint32_t encodeCodebook(const Format &format, float x);
extern const float nf4Values[16], bnbFp4Values[16], iq4nlValues[16];

float decodeMinifloat(const MinifloatLayout &layout, uint32_t code);
uint32_t encodeMinifloat(const MinifloatLayout &layout, float x);

} // namespace qlow::formats

#endif // QLOW_LIB_FORMATS_KINDS_H
