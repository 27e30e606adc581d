//===- IndexBuilder.h - integer arithmetic of schedules ---------*- C++ -*-===//
//
// What loop nests compute with: sizes, offsets and comparisons of unsigned integers of one type, folded while they are
// built.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TARGETS_INDEXBUILDER_H
#define QLOW_LIB_TARGETS_INDEXBUILDER_H

#include "qlow/Dialect/Dialect.h"

#include "mlir/IR/Builders.h"

namespace qlow {

class IndexBuilder {
public:
  /// Of `index`, or of integers of `type`.
  IndexBuilder(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type type = {})
      : builder(builder), loc(loc), type(type ? type : builder.getIndexType()) {}
  mlir::Value constant(int64_t value);
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value add(mlir::Value a, int64_t b) { return add(a, constant(b)); }
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, int64_t b) { return mul(a, constant(b)); }
  mlir::Value div(mlir::Value a, mlir::Value b);
  mlir::Value div(mlir::Value a, int64_t b) { return div(a, constant(b)); }
  mlir::Value rem(mlir::Value a, mlir::Value b);
  mlir::Value rem(mlir::Value a, int64_t b) { return rem(a, constant(b)); }
  mlir::Value ceilDiv(mlir::Value a, int64_t b);
  mlir::Value alignTo(mlir::Value a, int64_t b) { return mul(ceilDiv(a, b), b); }
  mlir::Value min(mlir::Value a, mlir::Value b);
  mlir::Value max(mlir::Value a, mlir::Value b);
  mlir::Value less(mlir::Value a, mlir::Value b);
  mlir::Value lessEqual(mlir::Value a, mlir::Value b);
  mlir::Value equal(mlir::Value a, mlir::Value b);
  mlir::Value notEqual(mlir::Value a, mlir::Value b);
  mlir::Value both(mlir::Value a, mlir::Value b); ///< of conditions
  mlir::Value select(mlir::Value condition, mlir::Value a, mlir::Value b);
  /// `value`, an integer or index, as this builder's type.
  mlir::Value cast(mlir::Value value);
  /// The size of a memref, always an `index`.
  mlir::Value dim(mlir::Value memref, int64_t position);

private:
  mlir::OpBuilder &builder;
  mlir::Location loc;
  mlir::Type type;
};

/// Code for each range of M of a bufferized kernel: what `emit` makes of the recipe, behind one comparison a range
/// where M is open.
void emitByRows(mlir::OpBuilder &builder, MatmulKernelOp kernel, llvm::function_ref<void(RecipeAttr)> emit);

} // namespace qlow

#endif // QLOW_LIB_TARGETS_INDEXBUILDER_H
