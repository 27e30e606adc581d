//===- Layout.cpp - stored right-hand sides ---------------------------------===//
//
// The byte of every element of a packed weight, and the packer that streams a constant into that order. Must not hold a
// whole weight in memory: it may be larger than the machine's.
//
//===----------------------------------------------------------------------===//

#include "qlow/Targets/Layout.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>

using namespace mlir;
using namespace qlow;

Layout::Layout(const MultiplyRow &row, int64_t panelWidth, int64_t n, int64_t k)
    : n(n), k(k), panelWidth(panelWidth), vectorWidth(row.n), kGroup(row.k),
      elementBytes(qlow::elementBytes(row.storedRhs)), columnSums(!row.isFloat) {}

int64_t Layout::numPanels() const { return llvm::divideCeil(n, panelWidth); }
int64_t Layout::groups() const { return llvm::divideCeil(k, kGroup); }
int64_t Layout::width(int64_t panel) const {
  return llvm::alignTo(std::min(panelWidth, n - panel * panelWidth), vectorWidth);
}
int64_t Layout::panelBytes(int64_t panel) const {
  return width(panel) * (groups() * kGroup * elementBytes + (columnSums ? 4 : 0));
}
int64_t Layout::panelOffset(int64_t panel) const {
  return panel == 0 ? 0 : panel * panelBytes(0); // all panels before the last have the same width
}
int64_t Layout::byteOf(int64_t column, int64_t kIndex) const {
  int64_t panel = column / panelWidth;
  return panelOffset(panel) +
         (((kIndex / kGroup) * width(panel) + column % panelWidth) * kGroup + kIndex % kGroup) * elementBytes;
}
int64_t Layout::columnSumOf(int64_t column) const {
  int64_t panel = column / panelWidth;
  return panelOffset(panel) + width(panel) * groups() * kGroup * elementBytes + column % panelWidth * 4;
}
int64_t Layout::bytes() const {
  if (n == 0)
    return 0;
  int64_t last = numPanels() - 1;
  return panelOffset(last) + panelBytes(last);
}

static int64_t batchOf(RankedTensorType type) {
  int64_t batch = 1;
  for (int64_t size : type.getShape().drop_back(2))
    batch *= size;
  return batch;
}

static Layout layoutFor(const MultiplyRow &row, int64_t panelWidth, RankedTensorType type, bool transposed) {
  ArrayRef<int64_t> matrix = type.getShape().take_back(2);
  return Layout(row, panelWidth, matrix[transposed ? 0 : 1], matrix[transposed ? 1 : 0]);
}

int64_t qlow::packedBytes(const MultiplyRow &row, int64_t panelWidth, RankedTensorType type, bool transposed) {
  return batchOf(type) * layoutFor(row, panelWidth, type, transposed).bytes();
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

/// Packs one panel of integer elements: stored value = value - offset, modulo 2^8.
static void packBytes(const Layout &layout, const Source &source, int64_t panel, int32_t offset, bool isSigned,
                      uint8_t *out) {
  int64_t width = layout.width(panel), first = panel * layout.panelWidth;
  int64_t columns = std::min(width, layout.n - first);
  SmallVector<int32_t, 64> sums(width, 0);
  for (int64_t k = 0; k < layout.k; ++k) {
    const uint8_t *row = source.data + k * source.rowStride + first * source.columnStride;
    uint8_t *group = out + (k / layout.kGroup) * width * layout.kGroup + k % layout.kGroup;
    for (int64_t j = 0; j < columns; ++j) {
      uint8_t byte = row[j * source.columnStride];
      int32_t value = (isSigned ? static_cast<int8_t>(byte) : byte) - offset;
      group[j * layout.kGroup] = static_cast<uint8_t>(value);
      sums[j] += value;
    }
  }
  std::memcpy(out + width * layout.groups() * layout.kGroup, sums.data(), width * 4);
}

static void packFloats(const Layout &layout, const Source &source, int64_t panel, uint8_t *out) {
  int64_t width = layout.width(panel), first = panel * layout.panelWidth;
  int64_t columns = std::min(width, layout.n - first);
  for (int64_t k = 0; k < layout.k; ++k)
    for (int64_t j = 0; j < columns; ++j)
      std::memcpy(out + (k * width + j) * 4,
                  source.data + (k * source.rowStride + (first + j) * source.columnStride) * 4, 4);
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

llvm::Error qlow::packWeight(WeightOp weight, const Target &target,
                             llvm::function_ref<llvm::Error(ArrayRef<uint8_t>)> sink) {
  bool isSplat = false;
  llvm::Expected<ArrayRef<char>> raw = rawBytes(weight.getSource(), isSplat);
  if (!raw)
    return raw.takeError();
  RecipeAttr recipe = *weight.getRecipe();
  const MultiplyRow *row = target.findRow(recipe.getUnit());
  ArrayRef<int64_t> tile = recipe.getTile("reg");
  if (!row || tile.empty())
    return llvm::createStringError(
        llvm::formatv("the recipe of @{0} names '{1}', which is no row of {2}, or has no reg tile", weight.getSymName(),
                      recipe.getUnit(), target.machine().name)
            .str());
  auto type = cast<RankedTensorType>(weight.getSourceType());
  bool transposed = weight.getTransposed();
  Layout layout = layoutFor(*row, tile[1], type, transposed);
  QType quantized = getQuantizedElement(type);
  Source source{reinterpret_cast<const uint8_t *>(raw->data()), transposed ? 1 : layout.n, transposed ? layout.k : 1};
  if (isSplat)
    source.rowStride = source.columnStride = 0;

  std::vector<uint8_t> panel;
  for (int64_t batch = 0, end = batchOf(type); batch < end; ++batch) {
    for (int64_t index = 0; index < layout.numPanels(); ++index) {
      panel.assign(layout.panelBytes(index), 0);
      if (quantized)
        packBytes(layout, source, index, row->rhsOffset, quantized.getFormat()->isSigned, panel.data());
      else
        packFloats(layout, source, index, panel.data());
      if (llvm::Error error = sink(panel))
        return error;
    }
    if (!isSplat)
      source.data += layout.n * layout.k * (quantized ? 1 : 4);
  }
  return llvm::Error::success();
}
