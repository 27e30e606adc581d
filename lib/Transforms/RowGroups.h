//===- RowGroups.h - loops that work row by row -----------------*- C++ -*-===//
//
// Finds neighbouring parallel loops that can run row after row: what LaunchRows makes one launch of. And what that
// shares with LaunchLoops.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TRANSFORMS_ROWGROUPS_H
#define QLOW_LIB_TRANSFORMS_ROWGROUPS_H

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"

namespace qlow {

/// acc = combine(acc, term(j)), where acc is an element of the row's own, of 32 bits.
struct Accumulator {
  mutable mlir::memref::LoadOp load;   ///< of acc
  mutable mlir::memref::StoreOp store; ///< of acc
  llvm::SmallVector<mlir::Operation *> combine;
  mlir::Value term;
  mlir::TypedAttr neutral;
  bool isGreatest = false; ///< combine takes the greater of magnitudes, where none is NaN: one instruction does
};

/// for j: one accumulation or more.
struct Reduction {
  mutable mlir::scf::ForOp loop;
  llvm::SmallVector<Accumulator> accumulators;
};

/// A parallel loop whose leading dimensions are those of the rows.
struct RowLoop {
  mutable mlir::scf::ParallelOp loop;
  std::optional<Reduction> reduction;
  int64_t split = 1; ///< so many of the last leading dimension belong to one row

  mlir::ValueRange numbers() const { return loop.getBody()->getArguments(); }
  /// Sizes of the dimensions behind the first `rank`.
  mlir::ValueRange elementSizes(unsigned rank) const { return loop.getUpperBound().drop_front(rank); }
  /// Whether the value is the number of the row that an element's number, the last one of a split row, is in.
  bool isNumberOfSplitRow(mlir::Value value) const;
};

/// Neighbours that become one launch.
struct RowGroup {
  llvm::SmallVector<RowLoop> loops;
  unsigned rank = 0; ///< dimensions that number the rows

  /// What an access says of its row: the numbers of the rows come first, or those of the elements that a split row has.
  enum class Place { Row, Element, Elsewhere };
  Place placeOf(const RowLoop &row, mlir::ValueRange indices) const;
};

/// Calls `visit` with each access of memory in the loop: its buffer, its indices and whether it writes. False where
/// there is another kind of effect.
bool forEachAccess(mlir::scf::ParallelOp loop,
                   llvm::function_ref<void(mlir::Value buffer, mlir::ValueRange indices, bool writes)> visit);

/// Says of a dense buffer that the loop accesses what the C interface and the workspace promise of it, so many bytes,
/// and maps it to one of which it is known. Not of views that the loop makes itself.
void assumeAlignment(mlir::OpBuilder &builder, mlir::scf::ParallelOp loop, mlir::Value buffer, int64_t bytes,
                     mlir::IRMapping &aligned);

/// Clones the ops once for each mapping, each op's clones side by side.
void cloneTogether(mlir::OpBuilder &builder, llvm::ArrayRef<mlir::Operation *> ops,
                   llvm::MutableArrayRef<mlir::IRMapping> mappings);

/// Replaces a copy by a parallel loop over its elements.
mlir::scf::ParallelOp copyAsLoop(mlir::memref::CopyOp copy);

/// The buffer that a view of a view is of.
mlir::Value rootOf(mlir::Value buffer);

/// Whether the value is computed inside the op's regions.
bool isDefinedIn(mlir::Value value, mlir::Operation *op);

/// The group that begins with `first`: as many neighbours as fit, whose tensors take at most so many bytes of
/// parameters, a reduction among them. Empty if there is none.
RowGroup collectRowGroup(mlir::scf::ParallelOp first, int64_t mostBytes);

} // namespace qlow

#endif // QLOW_LIB_TRANSFORMS_ROWGROUPS_H
