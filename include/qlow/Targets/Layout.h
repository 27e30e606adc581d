//===- Layout.h - how a packed right-hand side is stored --------*- C++ -*-===//
//
// The one description of stored right-hand sides: packers, schedules and tests ask it. Columns are grouped into panels
// of the register tile's width; within a panel, `group` consecutive k of one column lie together, the columns of a
// group of k follow each other, and groups of k follow those:
//
//   panel p, group g of k, column j of the panel, i-th k of the group:
//     panelOffset(p) + ((g * width(p) + j) * group + i) * elementBytes
//
// Where elements take less than a byte it is the byte that holds the element, lowest bits first.
//
// K is padded with zeros to whole groups, the last panel to a multiple of `columns`. After its elements a panel of
// integers holds one i32 sum over k for each column. #qlow.layout says these numbers; this class computes with them.
//
// In a layout of fragments a panel is a row of blocks of 64 columns x 128 k, in the order in which the threads of a
// warpgroup hold the left operand of a product of 64 x 32 bytes, columns of the matrix being rows of it. With e
// elements in a register, two 16-bit floats or four bytes, a product takes a step of 8 e of k:
//
//   thread 32 (j / 16) + 4 (j % 16 / 2) + k % (4 e) / e has e neighbouring k of column j; its codes lie in pieces of 16
//   bytes, the pieces of 128 threads side by side, steps in order. Of the 4 e codes of a step, register
//   j % 2 + 2 (k % (8 e) / (4 e)) has them; the codes of a register are `fragment` apart: 1 or 4 of floats, those of
//   register r begin at code 2 r or r; 2 of bytes, those of registers 0 and 1 take turns, then those of 2 and 3.
//   Of `fragment` 8 they are 4 apart: registers 0 and 1 have the lower codes of bytes 0 and 2, 1 and 3, registers 2 and
//   3 the upper ones, and each byte's bits are taken apart (kTakenApart).
//
// Columns 2 g and 2 g + 1 are rows g and g + 8 of the product, so that a thread ends with neighbouring columns.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_TARGETS_LAYOUT_H
#define QLOW_TARGETS_LAYOUT_H

#include "qlow/Targets/Targets.h"

#include <algorithm>
#include <array>

namespace qlow {

inline int64_t least(int64_t a, int64_t b) { return std::min(a, b); }
inline int64_t constantLike(int64_t, int64_t value) { return value; }
/// Holds the bytes of whatever a valid tensor is packed into.
__extension__ typedef __int128 WideInt;
inline WideInt least(WideInt a, WideInt b) { return std::min(a, b); }
inline WideInt constantLike(WideInt, int64_t value) { return value; }

/// Places in one K x N right-hand side. Int is int64_t where they are computed here, WideInt where they may not fit,
/// and a type whose operators emit IR where the code that runs computes them.
template <typename Int> class LayoutOf {
public:
  LayoutOf(LayoutAttr layout, Int n, Int k)
      : n(n), k(k), panelWidth(layout.getPanel()), columns(layout.getColumns()), group(layout.getGroup()),
        elementBits(layout.getElement().getIntOrFloatBitWidth()), elementBytes(elementBits / 8),
        fragment(layout.getFragment()), hasColumnSums(layout.getElement().isInteger() && !fragment) {}

  Int n, k;
  int64_t panelWidth, columns, group;
  int64_t elementBits, elementBytes; ///< of an element; bytes are 0 below one
  int64_t fragment;                  ///< 0: not a layout of fragments
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
    Int element = (kIndex / group * width + column) * group + kIndex % group;
    return elementBits < 8 ? element / (8 / elementBits) : element * elementBytes;
  }
  /// Of an element of less than a byte, the first bit in its byte.
  Int bitInByte(Int kIndex) const { return kIndex % group % (8 / elementBits) * elementBits; }
  Int sumsAt(Int width) const { return width * (groups() * (group * elementBits / 8)); }

  /// In a panel of fragments: threads and bytes of a piece, elements of a register, steps in a piece, bytes of a block.
  static constexpr int64_t kThreads = 128, kPieceBytes = 16, kFragmentColumns = 64, kFragmentK = 128;
  int64_t perRegister() const { return fragment == 2 ? 4 : 2; }
  int64_t stepsOfPiece() const { return kPieceBytes * 8 / (4 * perRegister() * elementBits); }
  int64_t blockBytes() const { return kFragmentColumns * kFragmentK * elementBits / 8; }
  /// Of `fragment` 8: the bits of a byte, from bit 0 on, that bits 0 to 7 of its two codes are, each three bits of
  /// magnitude and a sign. The lower code's lie as in the upper byte of an f16 with two bits of exponent and one of
  /// mantissa, the upper one's fill what is left.
  static constexpr std::array<uint8_t, 8> kTakenApart{1, 2, 3, 7, 4, 5, 6, 0};
  /// The first bit of a code in its panel; of `fragment` 8, before bytes are taken apart.
  Int fragmentBit(Int column, Int kIndex) const {
    int64_t e = perRegister();
    Int thread = column / 16 * 32 + column % 16 / 2 * 4 + kIndex % (4 * e) / e;
    Int step = kIndex % kFragmentK / (8 * e), half = kIndex % (8 * e) / (4 * e), reg = column % 2 + half * 2;
    Int code = fragment == 1   ? reg * 2 + kIndex % 2
               : fragment == 2 ? half * 8 + column % 2 + kIndex % 4 * 2
               : fragment == 8 ? (kIndex % 2 * 2 + column % 2) * 2 + half
                               : reg + kIndex % 2 * 4;
    Int piece = step / stepsOfPiece() * kThreads + thread;
    return kIndex / kFragmentK * (blockBytes() * 8) + piece * (kPieceBytes * 8) +
           (step % stepsOfPiece() * (4 * e) + code) * elementBits;
  }

  /// The first byte of an element, and of the i32 sum of a column.
  Int byteOf(Int column, Int kIndex) const {
    Int panel = column / panelWidth;
    if (fragment)
      return panelOffset(panel) + fragmentBit(column % panelWidth, kIndex) / 8;
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

/// The word of the hop into memory that stores fragments, and their layout: what codes of `format` are unpacked from in
/// registers, to 16-bit floats or to bytes. Of a format that has an alignedFormat() alone, whose codes they are.
inline constexpr llvm::StringLiteral kFragmentsHop = "fragments";
LayoutAttr fragmentLayout(mlir::MLIRContext *context, const Format &format, OperandElement element);
/// Whether codes of 4 bits are stored taken apart (`fragment` 8): those s e e m, for f16.
bool isTakenApart(const Format &format, OperandElement element);
bool storesFragments(RecipeAttr recipe);

/// The element of the tensor that a left side may be unpacked to in memory ahead of a matmul, on a device, with the
/// same numbers: codes of i8 for integers of fewer bits, where the right side has integers, too; bf16 where sums are of
/// floats and it holds all codes less their zero points, times their scales where these change along K, or, as a sum of
/// kTermsOfF32, f32 beside codes; null for others.
mlir::Type unpackedElement(MatmulOp op);
/// Terms of bf16 that an f32 is the sum of; rows of terms lie behind each other.
inline constexpr int64_t kTermsOfF32 = 3;
/// Significant bits of bf16.
inline constexpr int64_t kBitsOfBF16 = 8;
/// The word of the hop into memory that does it, and whether a recipe has it.
inline constexpr llvm::StringLiteral kUnpackedHop = "decode";
bool unpacksLeft(RecipeAttr recipe);

/// Bytes of a packed right-hand side of these sizes, [batch..., K, N], or [batch..., N, K] if transposed; none where
/// they are more than 2^63 - 1.
std::optional<int64_t> packedBytes(LayoutAttr layout, llvm::ArrayRef<int64_t> shape, bool transposed);
mlir::OpFoldResult emitPackedBytes(mlir::OpBuilder &builder, mlir::Location loc, LayoutAttr layout,
                                   llvm::ArrayRef<mlir::OpFoldResult> shape, bool transposed);

/// Columns of a panel of the layout a recipe packs into: those of its tile in memory, or where it has none, whole
/// panels are moved, of the tile at the level that they are moved to next. 0 where the recipe does not pack into
/// memory.
int64_t packedPanelWidth(RecipeAttr recipe);

/// Packs a weight's constant panel by panel: `sink` gets consecutive pieces of the stored bytes. The source is read in
/// place, memory is one panel. Errors say what does not fit.
llvm::Error packWeight(WeightOp weight, llvm::function_ref<llvm::Error(llvm::ArrayRef<uint8_t>)> sink);
/// Whether the codes, or floats, of a tensor of this type are stored as they lie, but for the offset; packWeight takes
/// no others.
bool storesWhole(mlir::RankedTensorType type, LayoutAttr layout);

} // namespace qlow

#endif // QLOW_TARGETS_LAYOUT_H
