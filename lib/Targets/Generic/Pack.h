//===- Pack.h - right-hand sides into panels --------------------*- C++ -*-===//
//
// The packing hop of the right side: a panel of columns in the order Layout describes, made from the parts of the
// tensor either in the slot of the task that reads it or once in memory, for all kernels that do.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TARGETS_GENERIC_PACK_H
#define QLOW_LIB_TARGETS_GENERIC_PACK_H

#include "Generic/Nest.h"
#include "Index.h"
#include "qlow/Targets/Layout.h"

namespace qlow {

class PanelPacker : LoopBuilder {
public:
  /// The parts are memrefs. `lanes` columns move at a time; it divides `columns` of the layout.
  PanelPacker(mlir::OpBuilder &builder, mlir::Location loc, mlir::RankedTensorType type, mlir::ValueRange parts,
              bool transposed, LayoutAttr layout, int64_t lanes, mlir::Value n, mlir::Value k);

  /// Writes panel number `panel` of the matrix at `batch`, whose number is `linearBatch`, to `target`.
  void emit(mlir::ValueRange batch, mlir::Value linearBatch, mlir::Value panel, mlir::Value target);
  /// Sizes of the matrices as they are stored.
  LayoutOf<Index> stored() const;

private:
  struct Panel {
    llvm::SmallVector<mlir::Value> batch;
    mlir::Value linearBatch, first, target;
    int64_t width;
    bool isPartial; ///< some of its columns lie past N
  };
  void emitPanel(const Panel &panel);
  void emitElements(const Panel &panel, mlir::Value begin);
  void emitGroups(const Panel &panel, mlir::Value column, int64_t vectors);
  mlir::Value emitRows(const Panel &panel, mlir::Value group, mlir::Value column, mlir::Value mask);
  mlir::Value emitWords(const Panel &panel, mlir::Value group, mlir::Value column, mlir::Value mask);
  mlir::Value emitSum(mlir::Value vector);
  mlir::Value shift(mlir::Value vector);
  mlir::VectorType vectorOf(int64_t count, mlir::Type element) { return mlir::VectorType::get({count}, element); }

  mlir::RankedTensorType type;
  mlir::ValueRange parts;
  bool transposed;
  LayoutAttr layout;
  int64_t lanes;
  mlir::Value n, k;
  std::optional<int64_t> knownN;
};

/// The loops of a bufferized qlow.pack, in place of it.
void emitPack(mlir::OpBuilder &builder, PackOp op, const Machine &machine);

} // namespace qlow

#endif // QLOW_LIB_TARGETS_GENERIC_PACK_H
