//===- Layout.h - how a packed right-hand side is stored --------*- C++ -*-===//
//
// The one description of stored weights: packer, schedules and tests ask it. Columns are grouped into panels of the
// register tile's width; within a panel, `kGroup` consecutive k of one column lie together, the columns of a group of k
// follow each other, and groups of k follow those:
//
//   panel p, group g of k, column j of the panel, i-th k of the group:
//     panelOffset(p) + ((g * width(p) + j) * kGroup + i) * elementBytes
//
// K is padded with zeros to whole groups, the last panel's width to whole vectors. After its elements a panel holds one
// i32 sum over k for each column where `columnSums` is set.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_TARGETS_LAYOUT_H
#define QLOW_TARGETS_LAYOUT_H

#include "qlow/Targets/Targets.h"

namespace qlow {

class Layout {
public:
  /// Layout of one K x N right-hand side that `row` multiplies in tiles of `panelWidth` columns.
  Layout(const MultiplyRow &row, int64_t panelWidth, int64_t n, int64_t k);

  int64_t n, k;
  int64_t panelWidth, vectorWidth, kGroup, elementBytes;
  bool columnSums;

  int64_t numPanels() const;
  int64_t groups() const; ///< of k
  int64_t width(int64_t panel) const;
  int64_t panelOffset(int64_t panel) const;
  int64_t panelBytes(int64_t panel) const;
  int64_t byteOf(int64_t column, int64_t kIndex) const;
  int64_t columnSumOf(int64_t column) const; ///< byte of the i32 sum
  int64_t bytes() const;                     ///< of all panels
};

/// Columns of a panel of the layout a recipe packs into: those of the tile at the level that panels are moved to next.
/// 0 where the recipe does not pack into memory.
int64_t packedPanelWidth(RecipeAttr recipe);

/// Packs a weight's constant panel by panel: `sink` gets consecutive pieces of the stored bytes. The source is read in
/// place, memory is one panel. Errors say what does not fit.
llvm::Error packWeight(WeightOp weight, const Target &target,
                       llvm::function_ref<llvm::Error(llvm::ArrayRef<uint8_t>)> sink);

/// Bytes of a packed right-hand side of logical type `type` ([batch..., K, N], or [batch..., N, K] if transposed).
int64_t packedBytes(const MultiplyRow &row, int64_t panelWidth, mlir::RankedTensorType type, bool transposed);

} // namespace qlow

#endif // QLOW_TARGETS_LAYOUT_H
