//===- CheckObject.h - an object's results beside the reference's -*- C++ -*-===//

#ifndef QLOW_TOOLS_CHECKOBJECT_H
#define QLOW_TOOLS_CHECKOBJECT_H

#include "qlow/Emit/Emit.h"
#include "qlow/Reference/Reference.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qlow {

/// Prints how far `results`, which the object computed from `inputs`, are from what the law says of `model`, a line for
/// each array. With `ops` the model and the object keep intermediates: each op is then judged by the operands that the
/// object itself computed, so that the first op to differ is the one that is wrong. Fails, naming it, where a
/// difference is not within the law.
mlir::LogicalResult checkObject(mlir::func::FuncOp model, const AbiFunction &object, llvm::ArrayRef<Array> inputs,
                                llvm::ArrayRef<Array> results, bool ops);

} // namespace qlow

#endif // QLOW_TOOLS_CHECKOBJECT_H
