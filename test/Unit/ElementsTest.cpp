//===- ElementsTest.cpp - the emitted code of every format computes what the host does ===//
//
// Emits code for constant operands, which folds to constants, and compares them with Format's own functions: every code
// decoded, values on both sides of every rounding boundary encoded, every place of a row packed and unpacked. Prints
// each failure, then "N passed, N failed"; returns 1 if anything failed.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Elements.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Matchers.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>

using namespace mlir;
using namespace qlow;

static int passes = 0, failures = 0;

static void expect(bool holds, const Format &format, const char *what, uint32_t input, uint32_t found,
                   uint32_t expected) {
  ++(holds ? passes : failures);
  if (!holds)
    printf("%.*s: %s(%08x) gave %08x, expected %08x\n", int(format.name.size()), format.name.data(), what, input, found,
           expected);
}

namespace {
struct Emitter {
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  OpBuilder builder{&context};
  Location loc{builder.getUnknownLoc()};

  Emitter() {
    context.loadDialect<arith::ArithDialect, QlowDialect>();
    clear();
  }
  void clear() {
    module = ModuleOp::create(loc);
    builder.setInsertionPointToStart(module->getBody());
  }
  Value integer(int64_t value) { return arith::ConstantIntOp::create(builder, loc, value, 32); }
  Value index(int64_t value) { return arith::ConstantIndexOp::create(builder, loc, value); }
  Value number(float value) { return arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(value)); }
};
} // namespace

/// The bits of a folded constant; a value that did not fold is a failure of its own.
static uint32_t bitsOf(Value value) {
  Attribute constant;
  if (!matchPattern(value, m_Constant(&constant))) {
    ++failures;
    printf("did not fold to a constant: ");
    value.print(llvm::outs());
    printf("\n");
    return 0xdeadbeef;
  }
  if (auto number = dyn_cast<FloatAttr>(constant))
    return uint32_t(number.getValue().bitcastToAPInt().getZExtValue());
  return uint32_t(cast<IntegerAttr>(constant).getValue().getZExtValue());
}

static bool isNaN(uint32_t bits) { return std::isnan(std::bit_cast<float>(bits)); }

static void testDecode(Emitter &e, const Format &format) {
  uint64_t numCodes = std::min<uint64_t>(format.numCodes(), 1 << 12);
  for (uint32_t i = 0; i < numCodes; ++i) {
    uint32_t code = format.numCodes() == numCodes ? i : i * uint32_t(format.numCodes() / numCodes) + i % 16;
    uint32_t expected = std::bit_cast<uint32_t>(format.decode(code));
    uint32_t found = bitsOf(emitDecode(e.builder, e.loc, format, e.integer(code)));
    expect(found == expected || (isNaN(found) && isNaN(expected)), format, "decode", code, found, expected);
    if (format.integerImage()) {
      uint32_t integer = bitsOf(emitInteger(e.builder, e.loc, format, e.integer(code)));
      expect(integer == uint32_t(format.integer(code)), format, "integer", code, integer,
             uint32_t(format.integer(code)));
    }
    e.clear();
  }
}

/// Special values, a spread of all magnitudes, and each rounding boundary with its neighbours.
static std::vector<float> valuesFor(const Format &format) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> values = {0.0f, -0.0f, infinity, -infinity, NAN, 1e-45f, -1e-45f, 3e38f, -3e38f};
  std::mt19937 random(7);
  for (int i = 0; i < 500; ++i)
    values.push_back(std::bit_cast<float>(uint32_t(random())));
  if (format.bits > 8)
    return values;
  for (float threshold : format.search().thresholds)
    for (float x : {threshold, std::nextafter(threshold, infinity), std::nextafter(threshold, -infinity)})
      values.push_back(x);
  return values;
}

static void testEncode(Emitter &e, const Format &format) {
  for (float x : valuesFor(format)) {
    uint32_t expected = format.encode(x);
    uint32_t found = bitsOf(emitEncode(e.builder, e.loc, format, e.number(x), Value()));
    expect(found == expected, format, "encode", std::bit_cast<uint32_t>(x), found, expected);
    e.clear();
  }
}

/// Folds each operation of the block in order, as they would have folded had `argument` been `constant` from the start.
static uint32_t foldWith(Emitter &e, Value argument, Value constant, Value result) {
  argument.replaceAllUsesWith(constant);
  Value folded = result;
  for (Operation &op : llvm::make_early_inc_range(*e.module->getBody())) {
    SmallVector<Value> values;
    if (op.hasTrait<OpTrait::ConstantLike>() || failed(e.builder.tryFold(&op, values)))
      continue;
    if (op.getResult(0) == result)
      folded = values.front();
    op.replaceAllUsesWith(values);
  }
  return bitsOf(folded);
}

/// saturate(rne(x) + zero), with a zero point that is known while emitting and one that is not.
static void testZeroPoint(Emitter &e, const Format &format) {
  int64_t count = int64_t(1) << format.bits, min = format.isSigned ? -count / 2 : 0, max = min + count - 1;
  for (float x : valuesFor(format))
    for (int64_t zero : {int64_t(0), int64_t(3), min, max}) {
      double sum = std::nearbyint(double(x)) + double(zero);
      int64_t clamped = std::isnan(x) ? min : int64_t(std::min(std::max(sum, double(min)), double(max)));
      uint32_t expected = uint32_t(clamped & (count - 1));
      uint32_t found = bitsOf(emitEncode(e.builder, e.loc, format, e.number(x), e.integer(zero)));
      expect(found == expected, format, "encode with known zero", std::bit_cast<uint32_t>(x), found, expected);
      e.clear();
      Value unknown = e.module->getBody()->addArgument(e.builder.getI32Type(), e.loc);
      Value constant = e.integer(zero);
      Value code = emitEncode(e.builder, e.loc, format, e.number(x), unknown);
      found = foldWith(e, unknown, constant, code);
      expect(found == expected, format, "encode with zero", std::bit_cast<uint32_t>(x), found, expected);
      e.clear();
    }
}

/// Rows of every length up to two groups and one code: what emitByte packs and emitCode takes out again.
static void testPacking(Emitter &e, const Format &format) {
  std::mt19937 random(11);
  for (int64_t numCodes = 1; numCodes <= 2 * format.codesPerGroup + 1; ++numCodes) {
    std::vector<uint32_t> codes(numCodes);
    std::vector<uint8_t> row(format.rowBytes(numCodes));
    for (auto [i, code] : llvm::enumerate(codes)) {
      code = uint32_t(random() % format.numCodes());
      format.insert(row.data(), int64_t(i), code);
    }
    auto codeAt = [&](Value index) { return e.integer(codes.at(bitsOf(index))); };
    auto load = [&](Value index) -> Value {
      return arith::ConstantIntOp::create(e.builder, e.loc, int8_t(row.at(bitsOf(index))), 8);
    };
    for (auto [i, byte] : llvm::enumerate(row)) {
      Value emitted = emitByte(e.builder, e.loc, format, e.index(int64_t(i)), e.index(numCodes), codeAt);
      expect(bitsOf(emitted) == byte, format, "byte", uint32_t(i), bitsOf(emitted), byte);
    }
    for (auto [i, code] : llvm::enumerate(codes)) {
      uint32_t found = bitsOf(emitCode(e.builder, e.loc, format, load, e.index(int64_t(i))));
      expect(found == code, format, "code", uint32_t(i), found, code);
    }
    e.clear();
  }
}

static void testScale(Emitter &e, Type type, const Format &format) {
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t code = format.bits == 8 ? i : i << (format.bits - 8) | i << 3;
    const llvm::fltSemantics &semantics = cast<FloatType>(type).getFloatSemantics();
    auto value = FloatAttr::get(type, APFloat(semantics, APInt(format.bits, code)));
    Value scale = arith::ConstantOp::create(e.builder, e.loc, value);
    uint32_t found = bitsOf(emitScaleToF32(e.builder, e.loc, scale));
    uint32_t expected = std::bit_cast<uint32_t>(format.decode(code));
    expect(found == expected || (isNaN(found) && isNaN(expected)), format, "scale", code, found, expected);
    e.clear();
  }
}

int main() {
  Emitter e;
  for (const Format &format : codeFormats()) {
    testDecode(e, format);
    testEncode(e, format);
    testPacking(e, format);
    if (format.kind == DecodeKind::Integer)
      testZeroPoint(e, format);
  }
  for (Type type : {Type(e.builder.getF32Type()), Type(e.builder.getF16Type()), Type(e.builder.getBF16Type()),
                    Type(Float8E8M0FNUType::get(&e.context)), Type(Float8E4M3FNType::get(&e.context))})
    testScale(e, type, *getScaleFormat(type));
  printf("%d passed, %d failed\n", passes, failures);
  return failures != 0;
}
