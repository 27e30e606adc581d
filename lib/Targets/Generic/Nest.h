//===- Nest.h - the matmul nest of CPUs, in pieces --------------*- C++ -*-===//
//
// One object for one kernel under one recipe; its methods emit loops at the builder's insertion point. Its files:
// MatmulNest.cpp (tasks, panels, the register tile), Operands.cpp (packing and decoding), Epilogue.cpp (the region).
// The right side is packed as Pack.h says.
//
//   task t: for its units (batch, block of MC rows, panel of NR columns):
//             pack the rows' codes into the slot, unless they are there already or are read in place
//             decode the panel into the slot, unless it is packed in memory or there already
//             for each tile of MR rows: K loop in registers, zero point corrections, epilogue, store
//
// A group of k (`row.k` elements of one row of the left side) is always four bytes, which one broadcast reads.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TARGETS_GENERIC_NEST_H
#define QLOW_LIB_TARGETS_GENERIC_NEST_H

#include "Index.h"
#include "IndexBuilder.h"
#include "qlow/Targets/Layout.h"

namespace qlow {

/// Loops, and memory by addresses in bytes.
class LoopBuilder {
public:
  LoopBuilder(mlir::OpBuilder &builder, mlir::Location loc) : builder(builder), loc(loc), index(builder, loc) {}
  mlir::Value pointerOf(mlir::Value memref);
  mlir::Value offset(mlir::Value pointer, mlir::Value bytes);
  mlir::Value load(mlir::Type type, mlir::Value pointer);
  void store(mlir::Value value, mlir::Value pointer);
  mlir::Value constantI32(int32_t value);
  void forLoop(mlir::Value end, llvm::function_ref<void(mlir::Value)> body);
  void ifThen(mlir::Value condition, llvm::function_ref<void()> body);
  /// The indices of element `number` of an array of these sizes.
  llvm::SmallVector<mlir::Value> delinearize(mlir::Value number, mlir::ValueRange sizes);

protected:
  mlir::OpBuilder &builder;
  mlir::Location loc;
  IndexBuilder index;
};

/// The stored value, i32 or f32, of the element at `indices` of a tensor of `type`, whose parts are memrefs: its f32,
/// or its integer image less `offset`.
mlir::Value emitStoredElement(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type type, mlir::ValueRange parts,
                              mlir::ValueRange indices, bool isFloat, int32_t offset);

class MatmulNest : LoopBuilder {
public:
  /// Whether `row` can broadcast the kernel's left side from where it lies: whole groups of k as the row stores them,
  /// and no sums of rows to be taken on the way.
  static bool canReadInPlace(MatmulKernelOp op, const MultiplyRow &row);

  MatmulNest(mlir::OpBuilder &builder, MatmulKernelOp op, RecipeAttr recipe, const MultiplyRow &row);

  /// Bytes one task needs: a block of packed rows, their sums, and a decoded panel.
  mlir::Value emitSlotBytes();
  /// The loops. `slotBytes` is at least emitSlotBytes().
  void emit(mlir::Value slotBytes);

private:
  /// The columns of a panel as vectors.
  struct Panel {
    int64_t vectors;
    bool allMasked;    ///< N is dynamic: any vector may reach past it
    bool lastMasked;   ///< the last vector reaches past N
    mlir::Value first; ///< first column
    mlir::Value data;  ///< pointer to its elements
  };
  /// A register tile: `rows` rows from row `row` of the block on.
  struct Tile {
    int64_t rows;
    mlir::Value row;
  };
  /// What the slot of the running task holds.
  struct Slot {
    mlir::Value lhs, rowSums, panel; // pointers
  };
  /// The unit being computed.
  struct Unit {
    llvm::SmallVector<mlir::Value> batch; ///< indices of the batch dimensions
    mlir::Value linearBatch, block, panel;
    mlir::Value firstRow, rows; ///< of the block, counted from the matrix
  };

  // MatmulNest.cpp
  void emitTask(mlir::Value task, mlir::Value tasks, mlir::Value units, mlir::Value slotBytes);
  Unit decomposeUnit(mlir::Value unit);
  void emitUnit(const Unit &unit, const Slot &slot);
  void emitPanel(const Unit &unit, const Slot &slot, const Panel &panel);
  void emitTile(const Unit &unit, const Slot &slot, const Panel &panel, const Tile &tile);
  std::pair<llvm::SmallVector<mlir::Value>, int64_t> emitRowPointers(const Unit &unit, const Slot &slot,
                                                                     const Tile &tile);
  llvm::SmallVector<mlir::Value> emitSums(const Unit &unit, const Slot &slot, const Panel &panel, const Tile &tile);
  void emitCorrections(const Unit &unit, const Slot &slot, const Panel &panel, const Tile &tile,
                       llvm::MutableArrayRef<mlir::Value> sums);
  void forEachTile(mlir::Value rows, llvm::function_ref<void(const Tile &)> body);
  mlir::Value slotPart(unsigned part); ///< byte offset of: 0 lhs, 1 row sums, 2 panel, 3 the end
  mlir::VectorType sumType() const;

  // Operands.cpp
  void emitPackLhs(const Unit &unit, const Slot &slot);
  void emitPackRow(const Unit &unit, mlir::Value row, mlir::Value target, int64_t stride);
  void emitCopyWords(const Unit &unit, mlir::Value row, mlir::Value target, int64_t stride);
  void emitRowSum(const Unit &unit, mlir::Value row, mlir::Value target);
  void emitPackPanel(const Unit &unit, const Slot &slot);
  mlir::Value emitLhsElement(const Unit &unit, mlir::Value row, mlir::Value k);
  llvm::SmallVector<mlir::Value> lhsIndices(const Unit &unit, mlir::Value row, mlir::Value k);
  llvm::SmallVector<mlir::Value> rhsIndices(const Unit &unit, mlir::Value k, mlir::Value column);
  /// Zero points in units of stored values, (zero - offset); null if they are 0. Of a row, i32; of a vector of columns.
  mlir::Value emitLhsZero(const Unit &unit, mlir::Value row);
  mlir::Value emitRhsZeros(const Unit &unit, const Panel &panel, int64_t vector);
  mlir::Value emitStoredZero(QType type, mlir::ValueRange parts, mlir::ValueRange indices, int32_t offset);

  // Epilogue.cpp
  void emitEpilogue(const Unit &unit, const Panel &panel, const Tile &tile, llvm::ArrayRef<mlir::Value> sums);
  mlir::Value emitExtra(unsigned index, const Unit &unit, mlir::Value row, mlir::Value column, mlir::Value mask);
  mlir::Value emitRegion(llvm::ArrayRef<mlir::Value> arguments);
  mlir::Value emitMask(const Panel &panel, int64_t vector);

  LayoutOf<Index> places() { return {layout, Index{&builder, loc, n}, Index{&builder, loc, k}}; }

  MatmulKernelOp op;
  const MultiplyRow &row;
  int64_t tileRows, panelWidth, blockRows; ///< MR, NR, MC
  bool packed;                             ///< the right side lies in memory as `layout` says, else in the slot
  bool readsInPlace;                       ///< rows of the left side are broadcast from where they lie
  LayoutAttr layout;
  int64_t rank;
  mlir::Value m, n, k, groups;
  llvm::SmallVector<mlir::Value> batchSizes;
  mlir::Value batchCount, panels, blocks;
  std::optional<int64_t> staticM, staticN;
};

} // namespace qlow

#endif // QLOW_LIB_TARGETS_GENERIC_NEST_H
