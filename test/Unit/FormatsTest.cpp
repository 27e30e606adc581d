//===- FormatsTest.cpp - codes, values and packing of every format --------===//
//
// FormatsTest GOLDEN_DIR. Decode and encode are compared with golden/formats_{decode,encode}.txt, which
// golden/formats.py writes from ml_dtypes, numpy and the published codebooks; what follows from them (search, images,
// packing) is checked against them here. Prints each failure, then "N passed, N failed"; returns 1 if anything failed.
//
//===----------------------------------------------------------------------===//

#include "qlow/Formats/Formats.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <limits>
#include <set>
#include <string>

using namespace qlow;

static constexpr float infinity = std::numeric_limits<float>::infinity();
static constexpr float notANumber = std::numeric_limits<float>::quiet_NaN();
static int passed = 0, failed = 0;

static std::string show(float x) {
  char text[64];
  snprintf(text, sizeof text, "%.9g (%08x)", double(x), std::bit_cast<uint32_t>(x));
  return text;
}
static std::string show(long long x) { return std::to_string(x); }

// Floats are equal if their bits are; all NaNs are equal.
static bool same(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) || (std::isnan(a) && std::isnan(b));
}
static bool same(long long a, long long b) { return a == b; }

template <typename T> static void expectEq(int line, std::string_view what, T found, T expected) {
  if (same(found, expected))
    return void(++passed);
  // A broken format fails thousands of times: the first failures tell all there is to know.
  if (++failed <= 100)
    printf("%s:%d: %s: expected %s, found %s\n", __FILE__, line, std::string(what).c_str(), show(expected).c_str(),
           show(found).c_str());
}

#define EXPECT_FLOAT(what, found, expected) expectEq<float>(__LINE__, what, found, expected)
#define EXPECT_INT(what, found, expected) expectEq<long long>(__LINE__, what, found, expected)

static std::string named(const Format &format, std::string_view what) {
  return std::string(format.name) + " " + std::string(what);
}

static const Format *findFormat(std::string_view name) {
  const Format *format = findCodeFormat(name);
  return format ? format : findScaleFormat(name);
}

// Calls check(format, left, right) for every line "left right" (hex) under a "[format]" line.
template <typename Check> static void forEachGolden(const std::string &path, Check check) {
  std::ifstream file(path);
  const Format *format = nullptr;
  std::set<std::string_view> seen;
  for (std::string line; std::getline(file, line);) {
    if (line.front() == '[') {
      format = findFormat(std::string_view(line).substr(1, line.size() - 2));
      EXPECT_INT("format exists: " + line, format != nullptr, true);
      if (format)
        seen.insert(format->name);
      continue;
    }
    size_t space = line.find(' ');
    if (format)
      check(*format, uint32_t(std::stoul(line.substr(0, space), nullptr, 16)),
            uint32_t(std::stoul(line.substr(space), nullptr, 16)));
  }
  for (const Format &code : codeFormats())
    EXPECT_INT(named(code, "has cases in " + path), seen.count(code.name), 1);
}

// Every code means what outside libraries and published tables say.
static void testDecode(const std::string &golden) {
  forEachGolden(golden + "/formats_decode.txt", [](const Format &format, uint32_t code, uint32_t value) {
    EXPECT_FLOAT(named(format, "decode " + std::to_string(code)), format.decode(code), std::bit_cast<float>(value));
  });
}

// Values, midpoints and their neighbours, infinities, zeros and NaN round as outside libraries do, or as the law says.
static void testEncode(const std::string &golden) {
  forEachGolden(golden + "/formats_encode.txt", [](const Format &format, uint32_t input, uint32_t code) {
    float x = std::bit_cast<float>(input);
    EXPECT_INT(named(format, "encode " + show(x)), format.encode(x), code);
  });
}

// The tables list what the contract promises, under unique names; unknown names are null.
static void testRegistry() {
  const char *names[] = {"i2",     "i3",         "i4",         "i5",       "i6",       "i8",       "i16",
                         "u2",     "u3",         "u4",         "u5",       "u6",       "u7",       "u8",
                         "nf4",    "bnb_fp4",    "iq4nl",      "f4E2M1FN", "f6E2M3FN", "f6E3M2FN", "f8E4M3FN",
                         "f8E5M2", "f8E4M3FNUZ", "f8E5M2FNUZ", "binary",   "ternary",  "trit"};
  EXPECT_INT("number of code formats", codeFormats().size(), std::size(names));
  for (size_t i = 0; i < std::min(codeFormats().size(), std::size(names)); ++i) {
    EXPECT_INT(std::string("order: ") + names[i], codeFormats()[i].name == names[i], true);
    EXPECT_INT(std::string("find: ") + names[i], findCodeFormat(names[i]) == &codeFormats()[i], true);
  }
  for (const char *name : {"f32", "f16", "bf16", "f8E8M0FNU", "f8E4M3FN"})
    EXPECT_INT(std::string("scale format: ") + name, findScaleFormat(name) != nullptr, true);
  EXPECT_INT("i8 is no scale format", findScaleFormat("i8") == nullptr, true);
  EXPECT_INT("f32 is no code format", findCodeFormat("f32") == nullptr, true);
  EXPECT_INT("no empty name", findCodeFormat("") == nullptr, true);
  EXPECT_INT("f32 has 2^32 codes", findScaleFormat("f32")->numCodes(), 1ll << 32);
}

// What was inserted is extracted, in any order of writing, without touching the bytes after the row.
static void testPacking(const Format &format) {
  EXPECT_INT(named(format, "bytes of a group"), format.rowBytes(format.codesPerGroup), format.bytesPerGroup);
  EXPECT_INT(named(format, "bytes of no code"), format.rowBytes(0), 0);
  EXPECT_INT(named(format, "bytes of one code"), format.rowBytes(1), std::max(1u, (format.bits + 7) / 8));
  constexpr int64_t count = 41;
  int64_t bytes = format.rowBytes(count);
  std::vector<uint8_t> row(bytes + 1, 0xFF); // Stale contents, for trits a byte above 242, must not shine through.
  auto codeAt = [&](int64_t index) { return uint32_t((index * 2654435761u >> 7) % format.numCodes()); };
  for (int64_t i = 0; i < count; ++i) {
    int64_t index = i * 17 % count;
    format.insert(row.data(), index, codeAt(index));
  }
  for (int64_t i = 0; i < count; ++i)
    EXPECT_INT(named(format, "code " + std::to_string(i)), format.extract(row.data(), i), codeAt(i));
  for (int64_t first = 0; format.bits <= 8 && first <= count; ++first) {
    std::vector<uint8_t> codes(count - first);
    format.extract(row.data(), first, codes);
    for (int64_t i = first; i < count; ++i)
      EXPECT_INT(named(format, "codes from " + std::to_string(first)), codes[i - first], codeAt(i));
  }
  EXPECT_INT(named(format, "byte after the row"), row[bytes], 0xFF);
}

// The lowest bits, or the least significant trit, come first.
static void testPackingOrder() {
  auto expectBytes = [](const char *name, std::vector<uint32_t> codes, std::vector<uint8_t> bytes) {
    const Format &format = *findCodeFormat(name);
    EXPECT_INT(named(format, "rowBytes"), format.rowBytes(codes.size()), bytes.size());
    std::vector<uint8_t> row(bytes.size());
    for (size_t i = 0; i < codes.size(); ++i)
      format.insert(row.data(), i, codes[i]);
    for (size_t i = 0; i < bytes.size(); ++i)
      EXPECT_INT(named(format, "byte " + std::to_string(i)), row[i], bytes[i]);
  };
  expectBytes("i4", {0x1, 0xF, 0x7}, {0xF1, 0x07});
  expectBytes("i3", {1, 2, 3, 4, 5, 6, 7, 0}, {0xD1, 0x58, 0x1F}); // sum of code_i << 3i = 0x1F58D1
  expectBytes("i16", {0x8001, 0x1234}, {0x01, 0x80, 0x34, 0x12});
  expectBytes("u6", {0x3F, 0, 0x3F, 0}, {0x3F, 0xF0, 0x03});
  expectBytes("binary", {1, 0, 0, 1, 0, 0, 0, 0, 1}, {0x09, 0x01});
  expectBytes("ternary", {2, 1, 0, 2}, {0x86});
  expectBytes("trit", {2, 1, 0, 1, 2, 2}, {2 + 3 + 0 + 27 + 162, 2}); // +1 0 -1 0 +1, +1
  uint8_t byte = 255;                                                 // 255 = 12 mod 243 = 0 + 1*3 + 1*9
  for (int64_t i = 0; i < 5; ++i)
    EXPECT_INT("trit " + std::to_string(i) + " of byte 255", findCodeFormat("trit")->extract(&byte, i),
               i == 1 || i == 2);
}

// The image is the value: decode(code) == integer(code) * step, and the bounds hold for every code.
static void testIntegerImage(const Format &format) {
  std::optional<IntegerImage> image = format.integerImage();
  bool expected = format.kind != DecodeKind::Minifloat && format.kind != DecodeKind::Codebook;
  for (std::string_view name : {"iq4nl", "f4E2M1FN", "f6E2M3FN", "f6E3M2FN"})
    expected |= format.name == name;
  EXPECT_INT(named(format, "has an integer image"), image.has_value(), expected);
  if (!image)
    return;
  int32_t min = 0, max = 0;
  for (uint32_t code = 0; code < format.numCodes(); ++code) {
    int32_t integer = format.integer(code);
    min = std::min(min, integer);
    max = std::max(max, integer);
    EXPECT_INT(named(format, "image of " + std::to_string(code)), format.decode(code) == float(integer) * image->step,
               true);
  }
  EXPECT_INT(named(format, "image minimum"), image->min, min);
  EXPECT_INT(named(format, "image maximum"), image->max, max);
}

// The known images: step and largest magnitude.
static void testKnownImages() {
  auto expectImage = [](const char *name, float step, int32_t min, int32_t max) {
    std::optional<IntegerImage> image = findCodeFormat(name)->integerImage();
    EXPECT_FLOAT(std::string(name) + " step", image ? image->step : 0, step);
    EXPECT_INT(std::string(name) + " min", image ? image->min : 0, min);
    EXPECT_INT(std::string(name) + " max", image ? image->max : 0, max);
  };
  expectImage("f4E2M1FN", 0.5f, -12, 12);
  expectImage("f6E2M3FN", 0.125f, -60, 60);
  expectImage("f6E3M2FN", 0.0625f, -448, 448);
  expectImage("iq4nl", 1, -127, 113);
  expectImage("i16", 1, -32768, 32767);
  expectImage("u8", 1, 0, 255);
  expectImage("binary", 1, -1, 1);
  expectImage("ternary", 1, -1, 2);
  expectImage("trit", 1, -1, 1);
}

// Ranges, the table, and the cases where encode has to choose; numbers from the formats' documents.
static void testKnownAnswers() {
  auto expectCode = [](const char *name, float x, uint32_t code) {
    EXPECT_INT(std::string(name) + " of " + show(x), findFormat(name)->encode(x), code);
  };
  auto expectRange = [](const char *name, float min, float max) {
    EXPECT_FLOAT(std::string(name) + " min", findFormat(name)->minValue(), min);
    EXPECT_FLOAT(std::string(name) + " max", findFormat(name)->maxValue(), max);
  };
  expectRange("f8E4M3FN", -448, 448);
  expectRange("f8E5M2", -57344, 57344);
  expectRange("f8E4M3FNUZ", -240, 240);
  expectRange("f32", -std::numeric_limits<float>::max(), std::numeric_limits<float>::max());
  expectRange("f8E8M0FNU", 0x1p-127f, 0x1p127f);
  expectRange("ternary", -1, 1);
  expectRange("bnb_fp4", -1, 1);
  expectCode("f8E4M3FN", -0.0f, 0x00);
  expectCode("f8E4M3FN", -0x1p-149f, 0x80); // IEEE: a negative number underflows to minus zero,
  expectCode("f8E4M3FNUZ", -0x1p-149f, 0);  // unless that pattern is NaN.
  expectCode("f8E4M3FN", 464, 0x7E);
  expectCode("f8E4M3FN", infinity, 0x7E);
  expectCode("f8E5M2", notANumber, 0x7E);
  expectCode("f4E2M1FN", notANumber, 7);
  expectCode("i8", notANumber, 0x80);
  expectCode("bnb_fp4", notANumber, 0xB);
  expectCode("i4", -0.5f, 0);
  expectCode("trit", 0.5f, 1);
  expectCode("binary", -0.0f, 1);
  expectCode("f8E8M0FNU", 1.5f, 128); // Between 127 and 128: the even code.
  expectCode("f8E8M0FNU", 3.0f, 128); // Between 128 and 129.
  expectCode("f8E8M0FNU", -1.0f, 0);
  expectCode("f8E8M0FNU", notANumber, 0xFF);
  for (const Format &format : codeFormats())
    for (uint32_t code = 0; format.bits <= 8 && code < format.numCodes(); ++code)
      EXPECT_FLOAT(named(format, "table"), format.table()[code], format.decode(code));
}

// search() is encode, for infinities and zeros, around every threshold and value, and across all bit patterns of f32.
static void testSearch(const Format &format) {
  Format::Search search = format.search();
  const std::vector<float> &thresholds = search.thresholds;
  EXPECT_INT(named(format, "codes of the search"), search.codes.size(), thresholds.size() + 1);
  auto unordered = std::adjacent_find(thresholds.begin(), thresholds.end(), std::greater_equal<float>());
  EXPECT_INT(named(format, "thresholds ascend"), unordered == thresholds.end(), true);
  EXPECT_INT(named(format, "code of NaN"), search.nanCode, format.encode(notANumber));
  auto check = [&](float x) {
    if (std::isnan(x))
      return;
    auto below = std::lower_bound(thresholds.begin(), thresholds.end(), x) - thresholds.begin();
    EXPECT_INT(named(format, "search " + show(x)), search.codes[below], format.encode(x));
  };
  auto checkAround = [&](float x) {
    check(x);
    check(std::nextafter(x, infinity));
    check(std::nextafter(x, -infinity));
  };
  for (float x : {0.0f, -0.0f, infinity, -infinity})
    checkAround(x);
  for (float threshold : thresholds)
    checkAround(threshold);
  for (uint32_t code : search.codes)
    checkAround(format.decode(code));
  for (uint64_t bits = 0; bits < uint64_t(1) << 32; bits += 99991)
    check(std::bit_cast<float>(uint32_t(bits)));
}

// Each number of a format has a code in the one that stands in for it.
static void testAligned() {
  auto nameOf = [](const char *name) {
    const Format *aligned = alignedFormat(*findCodeFormat(name));
    return aligned ? std::string(aligned->name) : std::string("none");
  };
  for (auto [name, expected] : {std::pair("nf4", "nf4"),
                                {"f8E5M2", "f8E5M2"},
                                {"binary", "i4"},
                                {"trit", "i4"},
                                {"ternary", "i4"},
                                {"u3", "i4"},
                                {"i5", "i8"},
                                {"u7", "i8"},
                                {"f6E2M3FN", "f8E4M3FN"},
                                {"f6E3M2FN", "f8E4M3FN"},
                                {"i16", "none"}})
    EXPECT_INT(std::string(name) + " stands as " + nameOf(name), nameOf(name) == expected, true);
  for (const Format &format : codeFormats())
    if (const Format *aligned = alignedFormat(format); aligned && aligned != &format)
      for (uint32_t code = 0; code < format.numCodes(); ++code)
        EXPECT_INT(named(format, "in its place"),
                   aligned->decode(aligned->encode(format.decode(code))) == format.decode(code), true);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    printf("usage: FormatsTest GOLDEN_DIR\n");
    return 2;
  }
  testRegistry();
  testDecode(argv[1]);
  testEncode(argv[1]);
  testPackingOrder();
  testKnownImages();
  testKnownAnswers();
  testAligned();
  for (const Format &format : codeFormats()) {
    testPacking(format);
    testIntegerImage(format);
    testSearch(format);
  }
  for (const char *name : {"f32", "f16", "bf16", "f8E8M0FNU"})
    testPacking(*findScaleFormat(name));
  for (const char *name : {"f16", "bf16", "f8E8M0FNU"})
    testSearch(*findScaleFormat(name));
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
