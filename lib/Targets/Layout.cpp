//===- Layout.cpp - stored right-hand sides ---------------------------------===//
//
// The byte of every element of a packed weight, and the packer that streams a constant into that order. Must not hold a
// whole weight in memory: it may be larger than the machine's.
//
//===----------------------------------------------------------------------===//

#include "qlow/Targets/Layout.h"

#include "Index.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>

using namespace mlir;
using namespace qlow;

int64_t qlow::packedPanelWidth(RecipeAttr recipe) {
  ArrayRef<HopAttr> hops = recipe.getRhs();
  if (hops.size() < 2 || hops.front().getTo() != "memory")
    return 0;
  if (storesFragments(recipe))
    return Layout::kFragmentColumns;
  ArrayRef<int64_t> tile = recipe.getTile("memory");
  if (tile.empty())
    tile = recipe.getTile(hops[1].getTo());
  return tile.empty() ? 0 : tile[1];
}

static Type storedType(MLIRContext *context, OperandElement element) {
  switch (element) {
  case OperandElement::E4M3:
    return Float8E4M3FNType::get(context);
  case OperandElement::E5M2:
    return Float8E5M2Type::get(context);
  case OperandElement::F16:
    return Float16Type::get(context);
  case OperandElement::BF16:
    return BFloat16Type::get(context);
  case OperandElement::F32:
    return Float32Type::get(context);
  default:
    return IntegerType::get(context, elementBits(element));
  }
}

LayoutAttr qlow::layoutOf(MLIRContext *context, const MultiplyRow &row, int64_t panelWidth, bool isOpenN) {
  return LayoutAttr::get(context, storedType(context, row.storedRhs), panelWidth,
                         isOpenN ? panelWidth : row.storedColumns(), row.storedGroup(), row.rhsOffset, /*fragment=*/0);
}

bool qlow::storesFragments(RecipeAttr recipe) {
  HopAttr first = recipe.getRhs().front();
  return first.getTo() == "memory" && first.getBy() == kFragmentsHop;
}

Type qlow::unpackedElement(MatmulOp op) {
  auto bf16 = BFloat16Type::get(op.getContext());
  QType type = getQuantizedElement(op.getLhs().getType()), codes = getQuantizedElement(op.getRhs().getType());
  if (!type) {
    bool isF32 = cast<RankedTensorType>(op.getLhs().getType()).getElementType().isF32();
    return isF32 && codes && !op.getTransposeLhs() ? bf16 : Type();
  }
  const Format &format = *type.getFormat();
  if (const Format *integers = unpackedFormat(format); integers && codes && codes.getFormat()->integerImage())
    return QType::get(type.getContext(), integers, type.getScale(), type.getZero(), type.getOffset(), type.getBlock());
  std::optional<int64_t> bits = significantBits(format, type.getZero());
  if (op.hasExactSum() || type.getOffset() || !bits)
    return Type();
  if (codesUnderOneScale(type, /*alongLast=*/!op.getTransposeLhs())) {
    const Format *scale = scaleCodesOf(type).format;
    if (!scale || scale->kind != DecodeKind::Minifloat)
      return Type();
    *bits += significantBitsOfScale(*scale);
  }
  return *bits <= kBitsOfBF16 ? bf16 : Type();
}

bool qlow::unpacksLeft(RecipeAttr recipe) {
  HopAttr first = recipe.getLhs().front();
  return first.getTo() == "memory" && first.getBy() == kUnpackedHop;
}

bool qlow::isTakenApart(const Format &format, OperandElement element) {
  const MinifloatLayout &layout = format.layout;
  return element == OperandElement::F16 && format.kind == DecodeKind::Minifloat && format.bits == 4 &&
         layout.isSigned && layout.mantissaBits == 1;
}

/// Integers become unsigned, their least value 0, but for bytes. A pair stands 16 bits apart where arithmetic on both
/// halves of a word unpacks it, side by side where it is looked up; of bytes each has a code of its register, and one
/// of the next. Codes whose bits only have to move to their places in an f16 lie so that half of them are there.
LayoutAttr qlow::fragmentLayout(MLIRContext *context, const Format &codes, OperandElement element) {
  const Format &format = *alignedFormat(codes);
  bool isInteger = format.kind == DecodeKind::Integer, isLookedUp = format.kind == DecodeKind::Codebook;
  bool areBytes = elementBits(element) == 8;
  int64_t offset = isInteger && format.isSigned && !areBytes ? -(int64_t(1) << (format.bits - 1)) : 0;
  int64_t fragment = areBytes ? 2 : isTakenApart(format, element) ? 8 : format.bits == 4 && !isLookedUp ? 4 : 1;
  return LayoutAttr::get(context, IntegerType::get(context, format.bits), Layout::kFragmentColumns,
                         Layout::kFragmentColumns, Layout::kFragmentK, offset, fragment);
}

/// `shape` has a batch of any rank before its matrix.
template <typename Int, typename Shape> static Int bytesOf(LayoutAttr layout, const Shape &shape, bool transposed) {
  size_t rank = shape.size();
  Int bytes = LayoutOf<Int>(layout, shape[rank - (transposed ? 2 : 1)], shape[rank - (transposed ? 1 : 2)]).bytes();
  for (size_t dim = 0; dim + 2 < rank; ++dim)
    bytes = shape[dim] * bytes;
  return bytes;
}

std::optional<int64_t> qlow::packedBytes(LayoutAttr layout, ArrayRef<int64_t> shape, bool transposed) {
  SmallVector<WideInt> sizes(shape.begin(), shape.end());
  WideInt bytes = bytesOf<WideInt>(layout, sizes, transposed);
  return bytes <= INT64_MAX ? std::optional(static_cast<int64_t>(bytes)) : std::nullopt;
}

OpFoldResult qlow::emitPackedBytes(OpBuilder &builder, Location loc, LayoutAttr layout, ArrayRef<OpFoldResult> shape,
                                   bool transposed) {
  std::optional<SmallVector<int64_t>> known = getConstantIntValues(shape);
  if (std::optional<int64_t> bytes = known ? packedBytes(layout, *known, transposed) : std::nullopt)
    return builder.getIndexAttr(*bytes);
  SmallVector<Index> sizes;
  for (OpFoldResult size : shape) {
    auto value = dyn_cast<Value>(size);
    if (!value)
      value = arith::ConstantIndexOp::create(builder, loc, *getConstantIntValue(size));
    sizes.push_back({&builder, loc, value});
  }
  return bytesOf<Index>(layout, sizes, transposed).value;
}

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

namespace {
/// A K x N matrix of bytes or floats in memory; a splat has one element and no strides.
struct Source {
  const uint8_t *data;
  int64_t rowStride, columnStride; ///< in elements, of k and of n
};
} // namespace

/// Packs elements of whole groups of k: stored value = value - offset, modulo 2^8; `flip` is the sign's bit, or 0. Rows
/// of the source lie far apart, each in a page of its own, so they are asked for ahead of time; columns of a transposed
/// one do, and give a cache line each before the next.
template <int64_t kGroup, bool isTransposed>
static void packGroups(const Source &source, int64_t groups, int64_t columns, int64_t width, int32_t offset,
                       int32_t flip, uint8_t *out, MutableArrayRef<int32_t> sums) {
  constexpr int64_t kAhead = 64, kChunk = 64 / kGroup;
  const int64_t rowStride = isTransposed ? 1 : source.rowStride, columnStride = isTransposed ? source.columnStride : 1;
  auto pack = [&](int64_t group, int64_t column) {
    const uint8_t *from = source.data + group * kGroup * rowStride + column * columnStride;
    uint8_t *to = out + (group * width + column) * kGroup;
    for (int64_t i = 0; i < kGroup; ++i) {
      int32_t value = (from[i * rowStride] ^ flip) - flip - offset;
      to[i] = static_cast<uint8_t>(value);
      sums[column] += value;
    }
  };
  for (int64_t first = 0; first < groups; first += kChunk) {
    int64_t end = std::min(groups, first + kChunk);
    if (isTransposed) {
      for (int64_t column = 0; column < columns; ++column)
        for (int64_t group = first; group < end; ++group)
          pack(group, column);
      continue;
    }
    for (int64_t group = first; group < end; ++group) {
      for (int64_t i = 0; i < kGroup; ++i)
        __builtin_prefetch(source.data + (group * kGroup + i + kAhead) * rowStride);
      for (int64_t column = 0; column < columns; ++column)
        pack(group, column);
    }
  }
}

/// Packs one panel of elements of one byte and, of integers, its columns' sums.
static void packBytes(const Layout &layout, const Source &whole, int64_t panel, int32_t offset, bool isSigned,
                      uint8_t *out) {
  int64_t width = layout.width(panel), first = panel * layout.panelWidth;
  int64_t columns = std::min(width, layout.n - first), group = layout.group;
  SmallVector<int32_t, 64> sums(width, 0);
  Source source{whole.data + first * whole.columnStride, whole.rowStride, whole.columnStride};
  int32_t flip = isSigned ? 128 : 0;
  int64_t packed = 0; // of k, by the ways below that are made for speed
  auto run = [&](auto &&way) {
    packed = layout.k / group * group;
    way(source, layout.k / group, columns, width, offset, flip, out, MutableArrayRef<int32_t>(sums));
  };
  if (group == 4 && source.columnStride == 1)
    run(packGroups<4, false>);
  else if (group == 4 && source.rowStride == 1)
    run(packGroups<4, true>);
  for (int64_t k = packed; k < layout.k; ++k)
    for (int64_t j = 0; j < columns; ++j) {
      int32_t value = (source.data[k * source.rowStride + j * source.columnStride] ^ flip) - flip - offset;
      out[((k / group) * width + j) * group + k % group] = static_cast<uint8_t>(value);
      sums[j] += value;
    }
  if (layout.hasColumnSums)
    std::memcpy(out + layout.sumsAt(width), sums.data(), width * 4);
}

static void packFloats(const Layout &layout, const Source &source, int64_t panel, uint8_t *out) {
  int64_t width = layout.width(panel), first = panel * layout.panelWidth;
  int64_t columns = std::min(width, layout.n - first);
  const int64_t size = layout.elementBytes;
  for (int64_t k = 0; k < layout.k; ++k)
    for (int64_t j = 0; j < columns; ++j)
      std::memcpy(out + layout.elementAt(width, j, k),
                  source.data + (k * source.rowStride + (first + j) * source.columnStride) * size, size);
}

/// Packs one panel of codes of less than a byte, as they are, and its columns' sums.
static void packSmallCodes(const Layout &layout, const Format &format, const uint8_t *data, bool isSplat,
                           bool transposed, int64_t panel, uint8_t *out) {
  int64_t width = layout.width(panel), first = panel * layout.panelWidth;
  int64_t columns = std::min(width, layout.n - first), lineBytes = format.rowBytes(transposed ? layout.k : layout.n);
  uint32_t mask = static_cast<uint32_t>(format.numCodes()) - 1, bits = format.bits;
  SmallVector<int32_t> sums(width, 0), images;
  for (uint32_t code = 0; code <= mask; ++code)
    images.push_back(format.integer(code));
  auto pack = [&](int64_t k, int64_t column) {
    int64_t line = transposed ? first + column : k, bit = (transposed ? k : first + column) * bits;
    uint32_t code = isSplat ? data[0] >> bit % 8 & mask : data[line * lineBytes + bit / 8] >> bit % 8 & mask;
    out[layout.elementAt(width, column, k)] |= static_cast<uint8_t>(code << layout.bitInByte(k));
    sums[column] += images[code];
  };
  if (transposed)
    for (int64_t column = 0; column < columns; ++column)
      for (int64_t k = 0; k < layout.k; ++k)
        pack(k, column);
  else
    for (int64_t k = 0; k < layout.k; ++k)
      for (int64_t column = 0; column < columns; ++column)
        pack(k, column);
  std::memcpy(out + layout.sumsAt(width), sums.data(), width * 4);
}

/// What fragments store for each code: the number's code in their format, less the offset.
static SmallVector<uint8_t> storedCodes(const Format &format, int32_t offset) {
  const Format &image = *alignedFormat(format);
  uint32_t mask = static_cast<uint32_t>(image.numCodes()) - 1;
  SmallVector<uint8_t> codes;
  for (uint32_t code = 0, e = static_cast<uint32_t>(format.numCodes()); code < e; ++code) {
    uint32_t stored = &image == &format ? code : image.encode(format.decode(code));
    codes.push_back(static_cast<uint8_t>(stored - offset & mask));
  }
  return codes;
}

/// For each byte of two codes, the one with their bits where fragments of them taken apart have these.
static constexpr std::array<uint8_t, 256> kApart = [] {
  std::array<uint8_t, 256> bytes{};
  for (unsigned codes = 0; codes < bytes.size(); ++codes)
    for (unsigned bit = 0; bit < 8; ++bit)
      bytes[codes] = static_cast<uint8_t>(bytes[codes] | (codes >> bit & 1u) << Layout::kTakenApart[bit]);
  return bytes;
}();

/// Packs one panel of codes as fragments. The place of a code is that of its column and that of its k, added.
static void packFragments(const Layout &layout, const Format &format, const uint8_t *data, bool isSplat,
                          bool transposed, int64_t panel, int32_t offset, MutableArrayRef<uint8_t> out) {
  int64_t first = panel * layout.panelWidth, columns = std::min(layout.panelWidth, layout.n - first);
  int64_t lines = transposed ? columns : layout.k, codes = transposed ? layout.k : columns;
  int64_t lineBytes = format.rowBytes(transposed ? layout.k : layout.n);
  std::array<int64_t, Layout::kFragmentColumns> columnBits;
  for (int64_t j = 0; j < layout.panelWidth; ++j)
    columnBits[j] = layout.fragmentBit(j, 0);
  std::vector<int64_t> kBits(layout.k);
  for (int64_t k = 0; k < layout.k; ++k)
    kBits[k] = layout.fragmentBit(0, k);
  SmallVector<uint8_t> stored = storedCodes(format, offset);
  std::vector<uint8_t> repeated(isSplat ? lineBytes : 0, *data), ofLine(codes);
  for (int64_t line = 0; line < lines; ++line) {
    const uint8_t *row = isSplat ? repeated.data() : data + (transposed ? first + line : line) * lineBytes;
    format.extract(row, transposed ? 0 : first, ofLine);
    for (int64_t i = 0; i < codes; ++i) {
      int64_t to = transposed ? columnBits[line] + kBits[i] : columnBits[i] + kBits[line];
      out[to / 8] |= static_cast<uint8_t>(stored[ofLine[i]] << (to % 8));
    }
  }
  if (layout.fragment == 8)
    for (uint8_t &byte : out)
      byte = kApart[byte];
}

/// The constant's bytes in place; a splat gives one element.
static llvm::Expected<ArrayRef<char>> rawBytes(ElementsAttr attr, bool &isSplat) {
  isSplat = false;
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(attr)) {
    if (AsmResourceBlob *blob = resource.getRawHandle().getBlob())
      return blob->getData();
    return llvm::createStringError(
        llvm::formatv("the resource '{0}' has no data", resource.getRawHandle().getKey()).str());
  }
  if (auto dense = dyn_cast<DenseElementsAttr>(attr)) {
    isSplat = dense.isSplat();
    return dense.getRawData();
  }
  return llvm::createStringError("expected a dense or dense_resource constant");
}

bool qlow::storesWhole(RankedTensorType type, LayoutAttr layout) {
  QType quantized = getQuantizedElement(type);
  if (!quantized)
    return isa<FloatType>(layout.getElement()) && type.getElementType() == layout.getElement();
  const Format &format = *quantized.getFormat();
  if (layout.getFragment())
    return alignedFormat(format) && layout.getElement().isInteger(alignedFormat(format)->bits);
  std::optional<OperandElement> element = codeElement(format);
  return element && layout.getElement() == storedType(type.getContext(), *element);
}

llvm::Error qlow::packWeight(WeightOp weight, llvm::function_ref<llvm::Error(ArrayRef<uint8_t>)> sink) {
  bool isSplat = false;
  llvm::Expected<ArrayRef<char>> raw = rawBytes(weight.getSource(), isSplat);
  if (!raw)
    return raw.takeError();
  LayoutAttr stored = *weight.getLayout();
  auto type = cast<RankedTensorType>(weight.getSourceType());
  if (!storesWhole(type, stored))
    return llvm::createStringError(
        llvm::formatv("@{0} has a layout that its elements do not fit as they are", weight.getSymName()).str());
  bool transposed = weight.getTransposed();
  ArrayRef<int64_t> matrix = type.getShape().take_back(2);
  Layout layout(stored, matrix[transposed ? 0 : 1], matrix[transposed ? 1 : 0]);
  QType quantized = getQuantizedElement(type);
  Source source{reinterpret_cast<const uint8_t *>(raw->data()), transposed ? 1 : layout.n, transposed ? layout.k : 1};
  if (isSplat)
    source.rowStride = source.columnStride = 0;

  std::vector<uint8_t> panel;
  int64_t batches = ShapedType::getNumElements(type.getShape().drop_back(2));
  for (int64_t batch = 0; batch < batches; ++batch) {
    for (int64_t index = 0; index < layout.numPanels(); ++index) {
      panel.assign(layout.panelBytes(layout.width(index)), 0);
      if (layout.fragment)
        packFragments(layout, *quantized.getFormat(), source.data, isSplat, transposed, index, stored.getOffset(),
                      panel);
      else if (layout.elementBits < 8)
        packSmallCodes(layout, *quantized.getFormat(), source.data, isSplat, transposed, index, panel.data());
      else if (quantized)
        packBytes(layout, source, index, stored.getOffset(), quantized.getFormat()->isSigned, panel.data());
      else
        packFloats(layout, source, index, panel.data());
      if (llvm::Error error = sink(panel))
        return error;
    }
    if (!isSplat)
      source.data += quantized ? matrix[0] * quantized.getFormat()->rowBytes(matrix[1])
                               : layout.n * layout.k * layout.elementBytes;
  }
  return llvm::Error::success();
}
