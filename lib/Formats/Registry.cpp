//===- Registry.cpp - the list of formats and what follows from it --------===//
//
// The two tables of formats, and the members of Format that are the same for every kind: packing, ranges, integer
// images and the search. Whatever can be derived from decode and encode is derived here, so that a new format is one
// row.
//
//===----------------------------------------------------------------------===//

#include "Kinds.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

namespace qlow {

using namespace formats;
using NaN = MinifloatLayout::NaN;

//===----------------------------------------------------------------------===//
// The rows
//===----------------------------------------------------------------------===//

static constexpr Format makeFormat(std::string_view name, DecodeKind kind, unsigned bits) {
  unsigned group = std::lcm(bits, 8u);
  return Format{name, kind, bits, group / bits, group / 8, /*isSigned=*/false, /*codebook=*/{}, /*layout=*/{}};
}

static constexpr Format makeInteger(std::string_view name, unsigned bits, bool isSigned) {
  Format format = makeFormat(name, DecodeKind::Integer, bits);
  format.isSigned = isSigned;
  return format;
}

static constexpr Format makeCodebook(std::string_view name, std::span<const float, 16> values) {
  Format format = makeFormat(name, DecodeKind::Codebook, 4);
  format.codebook = values;
  return format;
}

static constexpr Format makeTrit(std::string_view name) {
  return Format{name, DecodeKind::Trit, /*bits=*/0, /*codesPerGroup=*/5, /*bytesPerGroup=*/1, false, {}, {}};
}

static constexpr Format makeMinifloat(std::string_view name, MinifloatLayout layout) {
  unsigned bits = layout.exponentBits + layout.mantissaBits + (layout.isSigned ? 1 : 0);
  Format format = makeFormat(name, DecodeKind::Minifloat, bits);
  format.layout = layout;
  return format;
}

// Exponent bits, mantissa bits, bias, signed, infinity, NaN, zero. OCP MX v1.0: E2M1, E2M3, E3M2, E8M0. OCP OFP8 v1.0:
// E4M3FN, E5M2. FNUZ: arXiv 2206.02915, as in ONNX docs/technical/float8.md. IEEE 754: f16, f32; bf16 is f32 cut short.
static constexpr MinifloatLayout e2m1 = {2, 1, 1, true, false, NaN::None, true};
static constexpr MinifloatLayout e2m3 = {2, 3, 1, true, false, NaN::None, true};
static constexpr MinifloatLayout e3m2 = {3, 2, 3, true, false, NaN::None, true};
static constexpr MinifloatLayout e4m3fn = {4, 3, 7, true, false, NaN::AllOnes, true};
static constexpr MinifloatLayout e5m2 = {5, 2, 15, true, true, NaN::IEEE, true};
static constexpr MinifloatLayout e4m3fnuz = {4, 3, 8, true, false, NaN::MinusZero, true};
static constexpr MinifloatLayout e5m2fnuz = {5, 2, 16, true, false, NaN::MinusZero, true};
static constexpr MinifloatLayout e8m0fnu = {8, 0, 127, false, false, NaN::AllOnes, false};
static constexpr MinifloatLayout e8m23 = {8, 23, 127, true, true, NaN::IEEE, true};
static constexpr MinifloatLayout e5m10 = {5, 10, 15, true, true, NaN::IEEE, true};
static constexpr MinifloatLayout e8m7 = {8, 7, 127, true, true, NaN::IEEE, true};

static constexpr Format codeFormatTable[] = {
    makeInteger("i2", 2, true),
    makeInteger("i3", 3, true),
    makeInteger("i4", 4, true),
    makeInteger("i5", 5, true),
    makeInteger("i6", 6, true),
    makeInteger("i8", 8, true),
    makeInteger("i16", 16, true),
    makeInteger("u2", 2, false),
    makeInteger("u3", 3, false),
    makeInteger("u4", 4, false),
    makeInteger("u5", 5, false),
    makeInteger("u6", 6, false),
    makeInteger("u7", 7, false),
    makeInteger("u8", 8, false),
    makeCodebook("nf4", nf4Values),
    makeCodebook("bnb_fp4", bnbFp4Values),
    makeCodebook("iq4nl", iq4nlValues),
    makeMinifloat("f4E2M1FN", e2m1),
    makeMinifloat("f6E2M3FN", e2m3),
    makeMinifloat("f6E3M2FN", e3m2),
    makeMinifloat("f8E4M3FN", e4m3fn),
    makeMinifloat("f8E5M2", e5m2),
    makeMinifloat("f8E4M3FNUZ", e4m3fnuz),
    makeMinifloat("f8E5M2FNUZ", e5m2fnuz),
    makeFormat("binary", DecodeKind::Sign, 1),
    makeFormat("ternary", DecodeKind::Ternary, 2),
    makeTrit("trit"),
};

static constexpr Format scaleFormatTable[] = {
    makeMinifloat("f32", e8m23),         makeMinifloat("f16", e5m10),       makeMinifloat("bf16", e8m7),
    makeMinifloat("f8E8M0FNU", e8m0fnu), makeMinifloat("f8E4M3FN", e4m3fn),
};

static const Format *find(std::span<const Format> table, std::string_view name) {
  auto it = std::find_if(table.begin(), table.end(), [&](const Format &format) { return format.name == name; });
  return it == table.end() ? nullptr : &*it;
}

std::span<const Format> codeFormats() { return codeFormatTable; }
const Format *findCodeFormat(std::string_view name) { return find(codeFormatTable, name); }
const Format *findScaleFormat(std::string_view name) { return find(scaleFormatTable, name); }

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

uint64_t Format::numCodes() const { return kind == DecodeKind::Trit ? 3 : uint64_t(1) << bits; }

int64_t Format::rowBytes(int64_t codes) const {
  // Whole groups first: codes * bytesPerGroup may overflow where the bytes do not.
  int64_t rest = codes % codesPerGroup * bytesPerGroup;
  return codes / codesPerGroup * bytesPerGroup + (rest + codesPerGroup - 1) / codesPerGroup;
}

// The bytes that hold the code at `firstBit`, as one little-endian number; a code of 3 bits may straddle two.
static uint64_t loadBytes(const uint8_t *row, int64_t firstBit, unsigned bits) {
  uint64_t window = 0;
  for (int64_t i = firstBit / 8, last = (firstBit + bits - 1) / 8; i <= last; ++i)
    window |= uint64_t(row[i]) << 8 * (i - firstBit / 8);
  return window;
}

uint32_t Format::extract(const uint8_t *row, int64_t index) const {
  if (kind == DecodeKind::Trit)
    return extractTrit(row, index);
  int64_t firstBit = index * bits;
  return uint32_t(loadBytes(row, firstBit, bits) >> firstBit % 8 & (numCodes() - 1));
}

void Format::extract(const uint8_t *row, int64_t first, std::span<uint8_t> codes) const {
  if (kind == DecodeKind::Trit)
    return extractTrits(row, first, codes);
  int64_t firstBit = first * bits;
  const uint8_t *next = row + firstBit / 8;
  uint32_t mask = uint32_t(numCodes() - 1), window = 0, known = 0; // bits that were read and not taken yet
  if (firstBit % 8)
    window = *next++ >> firstBit % 8, known = 8 - firstBit % 8;
  for (uint8_t &code : codes) {
    if (known < bits) {
      window |= uint32_t(*next++) << known;
      known += 8;
    }
    code = uint8_t(window & mask);
    window >>= bits;
    known -= bits;
  }
}

void Format::insert(uint8_t *row, int64_t index, uint32_t code) const {
  if (kind == DecodeKind::Trit)
    return insertTrit(row, index, code);
  int64_t firstBit = index * bits;
  uint64_t window = loadBytes(row, firstBit, bits);
  window &= ~((numCodes() - 1) << firstBit % 8);
  window |= uint64_t(code) << firstBit % 8;
  for (int64_t i = firstBit / 8, last = (firstBit + bits - 1) / 8; i <= last; ++i, window >>= 8)
    row[i] = uint8_t(window);
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

float Format::decode(uint32_t code) const {
  switch (kind) {
  case DecodeKind::Integer:
    return decodeInteger(*this, code);
  case DecodeKind::Sign:
    return decodeSign(code);
  case DecodeKind::Ternary:
  case DecodeKind::Trit:
    return decodeTernary(code);
  case DecodeKind::Codebook:
    return decodeCodebook(*this, code);
  case DecodeKind::Minifloat:
    return decodeMinifloat(layout, code);
  }
  __builtin_unreachable();
}

uint32_t Format::encode(float x) const {
  switch (kind) {
  case DecodeKind::Integer:
    return encodeInteger(*this, x);
  case DecodeKind::Sign:
    return encodeSign(x);
  case DecodeKind::Ternary:
  case DecodeKind::Trit:
    return encodeTernary(x);
  case DecodeKind::Codebook:
    return encodeCodebook(*this, x);
  case DecodeKind::Minifloat:
    return encodeMinifloat(layout, x);
  }
  __builtin_unreachable();
}

// Encoding saturates, infinities too.
float Format::minValue() const { return decode(encode(-std::numeric_limits<float>::infinity())); }
float Format::maxValue() const { return decode(encode(std::numeric_limits<float>::infinity())); }

std::vector<float> Format::table() const {
  std::vector<float> values(numCodes());
  for (uint32_t code = 0; code < values.size(); ++code)
    values[code] = decode(code);
  return values;
}

// The only candidate for the step of an integer image: the smallest subnormal, or 1.
static double imageStep(const Format &format) {
  if (format.kind != DecodeKind::Minifloat)
    return 1;
  return std::ldexp(1.0, 1 - format.layout.bias - int(format.layout.mantissaBits));
}

std::optional<IntegerImage> Format::integerImage() const {
  if (kind == DecodeKind::Integer)
    return IntegerImage{1, int32_t(minValue()), int32_t(maxValue())};
  if (bits > 8)
    return std::nullopt;
  double step = imageStep(*this), min = 0, max = 0;
  for (float value : table()) {
    double integer = value / step;
    bool fits = std::fabs(integer) <= INT16_MAX && integer == std::trunc(integer); // not NaN either
    if (!fits)
      return std::nullopt;
    min = std::min(min, integer);
    max = std::max(max, integer);
  }
  return IntegerImage{float(step), int32_t(min), int32_t(max)};
}

int32_t Format::integer(uint32_t code) const { return int32_t(decode(code) / imageStep(*this)); }

static bool holdsValuesOf(const Format &image, const Format &format) {
  for (uint32_t code = 0, e = static_cast<uint32_t>(format.numCodes()); code < e; ++code)
    if (float value = format.decode(code); image.decode(image.encode(value)) != value)
      return false;
  return true;
}

static const Format *findAligned(const Format &format) {
  for (DecodeKind kind : {DecodeKind::Integer, DecodeKind::Minifloat})
    for (unsigned bits : {4, 8})
      for (const Format &image : codeFormats())
        if (image.kind == kind && image.bits == bits && holdsValuesOf(image, format))
          return &image;
  return nullptr;
}

const Format *alignedFormat(const Format &format) {
  if (format.bits == 4 || format.bits == 8)
    return &format;
  const Format *row = findCodeFormat(format.name);
  if (format.bits > 8 || !row)
    return nullptr;
  // The search compares all values of all formats: it is done once.
  static const auto images = [] {
    std::array<const Format *, std::size(codeFormatTable)> images{};
    for (size_t i = 0; i < images.size(); ++i)
      images[i] = codeFormatTable[i].bits > 8 ? nullptr : findAligned(codeFormatTable[i]);
    return images;
  }();
  return images[size_t(row - codeFormatTable)];
}

const Format *unpackedFormat(const Format &format) {
  const Format *bytes = findCodeFormat("i8");
  std::optional<IntegerImage> image = format.integerImage(), all = bytes->integerImage();
  bool fits = image && image->step == 1 && all->min <= image->min && image->max <= all->max;
  return fits && format.bits < 8 ? bytes : nullptr;
}

//===----------------------------------------------------------------------===//
// Search
//===----------------------------------------------------------------------===//

// Not NaN, not infinite, not a second spelling of a value. Minus zero is the code of the negative numbers next to it.
static bool isEncodable(const Format &format, uint32_t code) {
  float value = format.decode(code);
  if (std::isnan(value))
    return false;
  bool minusZero = value == 0 && std::signbit(value);
  return format.encode(minusZero ? -std::numeric_limits<float>::denorm_min() : value) == code;
}

// The largest t such that encode(x) is `below` or less for every x <= t. The midpoint is exact in f64; t is that
// midpoint rounded down to f32, and one step less where the midpoint itself belongs to `above`.
static float thresholdBetween(const Format &format, uint32_t below, uint32_t above) {
  constexpr float minusInfinity = -std::numeric_limits<float>::infinity();
  double midpoint = (double(format.decode(below)) + double(format.decode(above))) / 2;
  float threshold = float(midpoint);
  if (threshold > midpoint || (threshold == midpoint && format.encode(threshold) == above))
    threshold = std::nextafter(threshold, minusInfinity);
  return threshold;
}

Format::Search Format::search() const {
  Search result;
  for (uint32_t code = 0; code < numCodes(); ++code)
    if (isEncodable(*this, code))
      result.codes.push_back(code);
  std::sort(result.codes.begin(), result.codes.end(), [&](uint32_t a, uint32_t b) {
    float x = decode(a), y = decode(b);
    return x != y ? x < y : std::signbit(x) > std::signbit(y);
  });
  for (size_t i = 1; i < result.codes.size(); ++i)
    result.thresholds.push_back(thresholdBetween(*this, result.codes[i - 1], result.codes[i]));
  result.nanCode = encode(std::numeric_limits<float>::quiet_NaN());
  return result;
}

} // namespace qlow
