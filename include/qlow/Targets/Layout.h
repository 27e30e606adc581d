//===- Layout.h - how a packed right-hand side is stored --------*- C++ -*-===//
//
// The one description of stored right-hand sides: packers, schedules and tests ask it. Columns are grouped into panels
// of the register tile's width; within a panel, `group` consecutive k of one column lie together, the columns of a
// group of k follow each other, and groups of k follow those:
//
//   panel p, group g of k, column j of the panel, i-th k of the group:
//     panelOffset(p) + ((g * width(p) + j) * group + i) * elementBytes
//
// K is padded with zeros to whole groups, the last panel to a multiple of `columns`. After its elements a panel of
// integers holds one i32 sum over k for each column. #qlow.layout says these numbers; this class computes with them.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_TARGETS_LAYOUT_H
#define QLOW_TARGETS_LAYOUT_H

#include "qlow/Targets/Targets.h"

#include <algorithm>

namespace qlow {

inline int64_t least(int64_t a, int64_t b) { return std::min(a, b); }
inline int64_t constantLike(int64_t, int64_t value) { return value; }

/// Places in one K x N right-hand side. Int is int64_t where they are computed here, and a type whose operators emit IR
/// where the code that runs computes them.
template <typename Int> class LayoutOf {
public:
  LayoutOf(LayoutAttr layout, Int n, Int k)
      : n(n), k(k), panelWidth(layout.getPanel()), columns(layout.getColumns()), group(layout.getGroup()),
        elementBytes(layout.getElement().getIntOrFloatBitWidth() / 8), hasColumnSums(layout.getElement().isInteger()) {}

  Int n, k;
  int64_t panelWidth, columns, group, elementBytes;
  bool hasColumnSums;

  Int numPanels() const { return ceilDiv(n, panelWidth); }
  Int groups() const { return ceilDiv(k, group); } ///< of k
  Int width(Int panel) const {
    return ceilDiv(least(n - panel * panelWidth, constantLike(n, panelWidth)), columns) * columns;
  }
  Int panelOffset(Int panel) const { return panel * panelBytes(constantLike(n, panelWidth)); }
  Int bytes() const { ///< of all panels
    if (columns == panelWidth)
      return panelOffset(numPanels());
    return panelOffset(n / panelWidth) + panelBytes(ceilDiv(n % panelWidth, columns) * columns);
  }

  /// In a panel of `width` columns: its bytes, and the bytes before an element and before the sums.
  Int panelBytes(Int width) const { return hasColumnSums ? sumsAt(width) + width * 4 : sumsAt(width); }
  Int elementAt(Int width, Int column, Int kIndex) const {
    return ((kIndex / group * width + column) * group + kIndex % group) * elementBytes;
  }
  Int sumsAt(Int width) const { return width * (groups() * (group * elementBytes)); }

  /// The first byte of an element, and of the i32 sum of a column.
  Int byteOf(Int column, Int kIndex) const {
    Int panel = column / panelWidth;
    return panelOffset(panel) + elementAt(width(panel), column % panelWidth, kIndex);
  }
  Int columnSumOf(Int column) const {
    Int panel = column / panelWidth;
    return panelOffset(panel) + sumsAt(width(panel)) + column % panelWidth * 4;
  }

private:
  static Int ceilDiv(Int a, int64_t b) { return (a + (b - 1)) / b; }
};
using Layout = LayoutOf<int64_t>;

/// What `row` reads in tiles of `panelWidth` columns. Where N is open, the last panel is as wide as the others.
LayoutAttr layoutOf(mlir::MLIRContext *context, const MultiplyRow &row, int64_t panelWidth, bool isOpenN);

/// Bytes of a packed right-hand side of these sizes, [batch..., K, N], or [batch..., N, K] if transposed.
int64_t packedBytes(LayoutAttr layout, llvm::ArrayRef<int64_t> shape, bool transposed);
mlir::OpFoldResult emitPackedBytes(mlir::OpBuilder &builder, mlir::Location loc, LayoutAttr layout,
                                   llvm::ArrayRef<mlir::OpFoldResult> shape, bool transposed);

/// Columns of a panel of the layout a recipe packs into: those of the tile at the level that panels are moved to next.
/// 0 where the recipe does not pack into memory.
int64_t packedPanelWidth(RecipeAttr recipe);

/// Packs a weight's constant panel by panel: `sink` gets consecutive pieces of the stored bytes. The source is read in
/// place, memory is one panel. Errors say what does not fit.
llvm::Error packWeight(WeightOp weight, llvm::function_ref<llvm::Error(llvm::ArrayRef<uint8_t>)> sink);
/// Whether the codes, or floats, of a tensor of this type are stored as they lie, but for the offset; packWeight takes
/// no others.
bool storesWhole(mlir::RankedTensorType type, LayoutAttr layout);

} // namespace qlow

#endif // QLOW_TARGETS_LAYOUT_H
