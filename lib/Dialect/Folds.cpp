//===- Folds.cpp - what parts and wholes cancel to --------------------------===//
//
// Takes an op and gives values it already equals. Must not compute numbers: rounding is decided by the law, not here.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Dialect.h"

using namespace mlir;
using namespace qlow;

OpFoldResult ComposeOp::fold(FoldAdaptor) {
  // compose(decompose(x)) = x, where all parts come from x in order
  auto source = getParts().front().getDefiningOp<DecomposeOp>();
  if (source && source.getInput().getType() == getType() && llvm::equal(source.getParts(), getParts()))
    return source.getInput();
  return {};
}

LogicalResult DecomposeOp::fold(FoldAdaptor, SmallVectorImpl<OpFoldResult> &results) {
  // decompose(compose(parts)) = parts
  auto source = getInput().getDefiningOp<ComposeOp>();
  if (!source || source.getParts().getTypes() != getParts().getTypes())
    return failure();
  llvm::append_range(results, source.getParts());
  return success();
}
