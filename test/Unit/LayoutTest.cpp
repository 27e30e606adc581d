//===- LayoutTest.cpp - stored layouts are bijections ---------------------===//
//
// For every row of every registered target, panel widths its recipes may ask for, N known or not and odd shapes: each
// element and each column sum has bytes of its own inside the stored size, and what packWeight writes is what byteOf
// says. Prints each failure, then "N passed, N failed"; returns 1 if anything failed.
//
//===----------------------------------------------------------------------===//

#include "qlow/Targets/Layout.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"

#include <cstdio>
#include <cstring>

using namespace mlir;
using namespace qlow;

static int numPassed = 0, numFailed = 0;

static void expect(bool good, const MultiplyRow &row, const Layout &layout, const char *what) {
  if (good) {
    ++numPassed;
    return;
  }
  ++numFailed;
  std::printf("%s, panels of %d, N = %d, K = %d: %s\n", row.id.str().c_str(), int(layout.panelWidth), int(layout.n),
              int(layout.k), what);
}

/// Marks `count` bits as used; false if one is outside or used already.
static bool take(std::vector<bool> &used, int64_t bit, int64_t count) {
  for (int64_t i = bit; i < bit + count; ++i) {
    if (i < 0 || i >= int64_t(used.size()) || used[i])
      return false;
    used[i] = true;
  }
  return true;
}

static int64_t firstBit(const Layout &layout, int64_t k) { return layout.elementBits < 8 ? layout.bitInByte(k) : 0; }

static void testBijection(const MultiplyRow &row, const Layout &layout) {
  std::vector<bool> used(8 * layout.bytes());
  bool good = true;
  for (int64_t k = 0; k < layout.k; ++k)
    for (int64_t n = 0; n < layout.n; ++n)
      good &= take(used, 8 * layout.byteOf(n, k) + firstBit(layout, k), layout.elementBits);
  expect(good, row, layout, "two elements share a bit, or one lies outside");
  if (!layout.hasColumnSums)
    return;
  good = true;
  for (int64_t n = 0; n < layout.n; ++n)
    good &= take(used, 8 * layout.columnSumOf(n), 32);
  expect(good, row, layout, "a column sum shares a byte, or lies outside");
}

/// Codes that differ in every place a wrong index could read.
static uint8_t codeOf(int64_t n, int64_t k) { return static_cast<uint8_t>(n * 37 + k * 101 + 11); }

/// Whether elements are stored as f32.
static bool storesFloats(const MultiplyRow &row) { return row.isFloat && !row.takesSmallFloats(); }

static StringRef formatOf(const MultiplyRow &row) {
  switch (row.rhs) {
  case OperandElement::B1:
    return "binary";
  case OperandElement::U4:
    return "u4";
  case OperandElement::S4:
    return "i4";
  case OperandElement::U8:
    return "u8";
  case OperandElement::E2M1:
    return "f4E2M1FN";
  case OperandElement::E4M3:
    return "f8E4M3FN";
  case OperandElement::E5M2:
    return "f8E5M2";
  default:
    return "i8";
  }
}

static uint32_t smallCode(const Format &format, int64_t n, int64_t k) {
  return (codeOf(n, k) >> 2) & (static_cast<uint32_t>(format.numCodes()) - 1);
}

static WeightOp makeWeight(OpBuilder &builder, const MultiplyRow &row, LayoutAttr attribute, const Layout &layout,
                           bool transposed) {
  MLIRContext *context = builder.getContext();
  SmallVector<int64_t> shape{layout.k, layout.n};
  if (transposed)
    std::swap(shape[0], shape[1]);
  SmallVector<char> bytes;
  if (layout.elementBits < 8) {
    // Each row padded to whole bytes, of ones that must not be read.
    const Format &format = *findCodeFormat(formatOf(row));
    int64_t lines = shape[0], codes = shape[1], rowBytes = format.rowBytes(codes);
    std::vector<uint8_t> packed(lines * rowBytes, 0xff);
    for (int64_t line = 0; line < lines; ++line)
      for (int64_t i = 0; i < codes; ++i)
        format.insert(packed.data() + line * rowBytes, i,
                      smallCode(format, transposed ? line : i, transposed ? i : line));
    auto source =
        DenseElementsAttr::getFromRawBuffer(RankedTensorType::get({lines, rowBytes}, builder.getI8Type()),
                                            ArrayRef(reinterpret_cast<const char *>(packed.data()), packed.size()));
    auto logical = QType::get(context, &format, builder.getF32Type(), nullptr, Type(), ArrayRef<int64_t>());
    return WeightOp::create(builder, builder.getUnknownLoc(), "w", builder.getStringAttr("private"), source,
                            RankedTensorType::get(shape, logical), layout.bytes(), transposed, attribute);
  }
  for (int64_t i = 0; i < layout.n * layout.k; ++i) {
    int64_t n = transposed ? i / layout.k : i % layout.n, k = transposed ? i % layout.k : i / layout.n;
    if (storesFloats(row)) {
      float value = codeOf(n, k);
      bytes.append(reinterpret_cast<char *>(&value), reinterpret_cast<char *>(&value) + 4);
    } else {
      bytes.push_back(static_cast<char>(codeOf(n, k)));
    }
  }
  Type element = builder.getF32Type(), logical = element;
  if (!storesFloats(row)) {
    element = builder.getI8Type();
    logical =
        QType::get(context, findCodeFormat(formatOf(row)), builder.getF32Type(), nullptr, Type(), ArrayRef<int64_t>());
  }
  auto source = DenseElementsAttr::getFromRawBuffer(RankedTensorType::get(shape, element), bytes);
  return WeightOp::create(builder, builder.getUnknownLoc(), "w", builder.getStringAttr("private"), source,
                          RankedTensorType::get(shape, logical), layout.bytes(), transposed, attribute);
}

/// Packs the weight and erases it; whether that succeeded and wrote the layout's bytes.
static bool packs(WeightOp weight, const Layout &layout, std::vector<uint8_t> &stored) {
  llvm::Error error = packWeight(weight, [&](ArrayRef<uint8_t> piece) {
    stored.insert(stored.end(), piece.begin(), piece.end());
    return llvm::Error::success();
  });
  weight.erase();
  bool good = !error && int64_t(stored.size()) == layout.bytes();
  llvm::consumeError(std::move(error));
  return good;
}

static void testPacking(OpBuilder &builder, const MultiplyRow &row, LayoutAttr attribute, const Layout &layout,
                        bool transposed) {
  WeightOp weight = makeWeight(builder, row, attribute, layout, transposed);
  std::vector<uint8_t> stored;
  bool good = packs(weight, layout, stored);
  expect(good, row, layout, "packWeight failed or wrote another size");
  if (!good)
    return;
  for (int64_t n = 0; n < layout.n; ++n) {
    int32_t sum = 0;
    for (int64_t k = 0; k < layout.k; ++k) {
      const uint8_t *at = stored.data() + layout.byteOf(n, k);
      if (storesFloats(row)) {
        float value;
        std::memcpy(&value, at, 4);
        good &= value == float(codeOf(n, k));
        continue;
      }
      if (layout.elementBits < 8) {
        const Format &format = *findCodeFormat(formatOf(row));
        uint32_t code = smallCode(format, n, k);
        good &= (*at >> layout.bitInByte(k) & ((1 << format.bits) - 1)) == static_cast<int>(code);
        sum += format.integer(code);
        continue;
      }
      int32_t code = row.rhs == OperandElement::U8 ? codeOf(n, k) : int8_t(codeOf(n, k));
      good &= *at == uint8_t(code - row.rhsOffset);
      sum += code - row.rhsOffset;
    }
    int32_t found = 0;
    if (layout.hasColumnSums)
      std::memcpy(&found, stored.data() + layout.columnSumOf(n), 4);
    good &= !layout.hasColumnSums || found == sum;
  }
  expect(good, row, layout, "a stored element or column sum is wrong");
}

/// Layouts of fragments: every code of 4 and 8 bits has bits of its own, and packWeight writes it there.
static void testFragments(OpBuilder &builder, const Format &format, OperandElement element, int64_t n, int64_t k,
                          bool transposed) {
  MLIRContext *context = builder.getContext();
  LayoutAttr attribute = fragmentLayout(context, format, element);
  Layout layout(attribute, n, k);
  SmallVector<int64_t> shape{transposed ? n : k, transposed ? k : n};
  int64_t rowBytes = format.rowBytes(shape[1]);
  SmallVector<char> bytes(shape[0] * rowBytes);
  auto code = [&](int64_t column, int64_t kIndex) -> uint32_t {
    return codeOf(column, kIndex) & (format.numCodes() - 1);
  };
  for (int64_t line = 0; line < shape[0]; ++line)
    for (int64_t i = 0; i < shape[1]; ++i)
      format.insert(reinterpret_cast<uint8_t *>(bytes.data()) + line * rowBytes, i,
                    transposed ? code(line, i) : code(i, line));
  Type logical = QType::get(context, &format, builder.getF32Type(), nullptr, Type(), ArrayRef<int64_t>());
  auto source =
      DenseElementsAttr::getFromRawBuffer(RankedTensorType::get({shape[0], rowBytes}, builder.getI8Type()), bytes);
  WeightOp weight = WeightOp::create(builder, builder.getUnknownLoc(), "w", builder.getStringAttr("private"), source,
                                     RankedTensorType::get(shape, logical), layout.bytes(), transposed, attribute);
  std::vector<uint8_t> stored;
  bool good = packs(weight, layout, stored);
  if (layout.fragment == 8) // signs at bits 7 and 0, magnitudes at 1 to 3 and 4 to 6
    for (uint8_t &byte : stored)
      byte = static_cast<uint8_t>((byte & 0x70) | (byte & 1) << 7 | (byte >> 4 & 8) | (byte >> 1 & 7));
  std::vector<bool> used(layout.bytes() * 8);
  for (int64_t column = 0; good && column < n; ++column)
    for (int64_t kIndex = 0; kIndex < k; ++kIndex) {
      int64_t bit = layout.panelOffset(column / 64) * 8 + layout.fragmentBit(column % 64, kIndex);
      good = good && take(used, bit, format.bits) && bit / 8 == layout.byteOf(column, kIndex);
      uint32_t found = stored[bit / 8] >> (bit % 8) & (format.numCodes() - 1);
      good = good && found == ((code(column, kIndex) - attribute.getOffset()) & (format.numCodes() - 1));
    }
  if (good) {
    ++numPassed;
    return;
  }
  ++numFailed;
  std::printf("fragments of %s for %s, N = %d, K = %d: a code shares bits, lies outside or is wrong\n",
              std::string(format.name).c_str(), elementName(element).str().c_str(), int(n), int(k));
}

int main() {
  MLIRContext context;
  context.loadDialect<QlowDialect, arith::ArithDialect>();
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
  OpBuilder builder = OpBuilder::atBlockEnd(module->getBody());
  for (StringRef name : Target::names()) {
    std::shared_ptr<const Target> target = cantFail(Target::find(name));
    for (const MultiplyRow *row : target->rows()) {
      if (row->isFloat && elementBits(row->rhs) == 16) // stored as fragments, below
        continue;
      for (int64_t vectors : {1, 2, 3, 4})
        for (bool isOpenN : {false, true})
          for (auto [n, k] : {std::pair(0, 3), {1, 1}, {3, 5}, {16, 4}, {17, 3}, {65, 31}, {128, 64}, {130, 129}}) {
            LayoutAttr attribute = layoutOf(&context, *row, vectors * row->n, isOpenN);
            Layout layout(attribute, n, k);
            testBijection(*row, layout);
            // Integers wider than a code are made by decoding, never stored.
            if (!storesFloats(*row) && layout.elementBits > 8)
              continue;
            testPacking(builder, *row, attribute, layout, /*transposed=*/false);
            testPacking(builder, *row, attribute, layout, /*transposed=*/true);
          }
    }
  }
  for (const Format &format : codeFormats())
    if (format.bits == 4 || format.bits == 8)
      for (auto [n, k] : {std::pair(1, 2), {64, 128}, {66, 130}, {130, 264}, {17, 300}})
        for (bool transposed : {false, true})
          for (OperandElement element : {OperandElement::F16, OperandElement::S8})
            testFragments(builder, format, element, n, k, transposed);
  std::printf("%d passed, %d failed\n", numPassed, numFailed);
  return numFailed != 0;
}
