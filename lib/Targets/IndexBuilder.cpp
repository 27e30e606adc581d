//===- IndexBuilder.cpp - integer arithmetic of schedules -------------------===//
//
// Each operation is created or folded to what it is known to be.
//
//===----------------------------------------------------------------------===//

#include "IndexBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace qlow;

Value IndexBuilder::constant(int64_t value) {
  return arith::ConstantOp::create(builder, loc, builder.getIntegerAttr(type, value));
}
Value IndexBuilder::add(Value a, Value b) { return builder.createOrFold<arith::AddIOp>(loc, a, b); }
Value IndexBuilder::sub(Value a, Value b) { return builder.createOrFold<arith::SubIOp>(loc, a, b); }
Value IndexBuilder::mul(Value a, Value b) { return builder.createOrFold<arith::MulIOp>(loc, a, b); }
Value IndexBuilder::div(Value a, Value b) { return builder.createOrFold<arith::DivUIOp>(loc, a, b); }
Value IndexBuilder::rem(Value a, Value b) { return builder.createOrFold<arith::RemUIOp>(loc, a, b); }
Value IndexBuilder::ceilDiv(Value a, int64_t b) { return div(add(a, constant(b - 1)), constant(b)); }
Value IndexBuilder::min(Value a, Value b) { return builder.createOrFold<arith::MinUIOp>(loc, a, b); }
Value IndexBuilder::max(Value a, Value b) { return builder.createOrFold<arith::MaxUIOp>(loc, a, b); }
Value IndexBuilder::less(Value a, Value b) {
  return builder.createOrFold<arith::CmpIOp>(loc, arith::CmpIPredicate::ult, a, b);
}
Value IndexBuilder::lessEqual(Value a, Value b) {
  return builder.createOrFold<arith::CmpIOp>(loc, arith::CmpIPredicate::ule, a, b);
}
Value IndexBuilder::equal(Value a, Value b) {
  return builder.createOrFold<arith::CmpIOp>(loc, arith::CmpIPredicate::eq, a, b);
}
Value IndexBuilder::notEqual(Value a, Value b) {
  return builder.createOrFold<arith::CmpIOp>(loc, arith::CmpIPredicate::ne, a, b);
}
Value IndexBuilder::both(Value a, Value b) { return builder.createOrFold<arith::AndIOp>(loc, a, b); }
Value IndexBuilder::select(Value condition, Value a, Value b) {
  return builder.createOrFold<arith::SelectOp>(loc, condition, a, b);
}
Value IndexBuilder::cast(Value value) {
  if (value.getType() == type)
    return value;
  if (isa<IndexType>(value.getType()) || isa<IndexType>(type))
    return builder.createOrFold<arith::IndexCastUIOp>(loc, type, value);
  if (value.getType().getIntOrFloatBitWidth() < type.getIntOrFloatBitWidth())
    return builder.createOrFold<arith::ExtUIOp>(loc, type, value);
  return builder.createOrFold<arith::TruncIOp>(loc, type, value);
}
Value IndexBuilder::dim(Value memref, int64_t position) {
  return builder.createOrFold<memref::DimOp>(loc, memref, position);
}

void qlow::emitByRows(OpBuilder &builder, MatmulKernelOp kernel, function_ref<void(RecipeAttr)> emit) {
  OpBuilder::InsertionGuard guard(builder);
  Location loc = kernel.getLoc();
  RecipesAttr recipes = kernel.getRecipes();
  IndexBuilder index(builder, loc);
  Value m = index.dim(kernel.getOut(), cast<ShapedType>(kernel.getOut().getType()).getRank() - 2);
  if (std::optional<int64_t> known = getConstantIntValue(OpFoldResult(m)))
    return emit(recipes.lookup(*known));
  for (auto [bound, recipe] : llvm::zip(recipes.getBounds(), recipes.getRecipes())) {
    Value fits = index.lessEqual(m, index.constant(bound));
    auto branch = scf::IfOp::create(builder, loc, fits, /*withElseRegion=*/true);
    builder.setInsertionPointToStart(&branch.getThenRegion().front());
    emit(recipe);
    builder.setInsertionPointToStart(&branch.getElseRegion().front());
  }
  emit(recipes.getRecipes().back());
}
