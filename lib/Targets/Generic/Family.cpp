//===- Family.cpp - the generic family, and what CPU families share ---------===//
//
// Chooses among a kernel's recipes by M at run time and hands each to the nest.
//
//===----------------------------------------------------------------------===//

#include "Generic/Cpu.h"
#include "Generic/Nest.h"

using namespace mlir;
using namespace qlow;

namespace {
class GenericFamily final : public CpuFamily {
public:
  StringRef name() const override { return "generic"; }
  ArrayRef<MultiplyRow> rows() const override { return genericRows(); }
};
} // namespace

const Family &qlow::genericFamily() {
  static const GenericFamily family;
  return family;
}

const MultiplyRow *CpuFamily::findRow(StringRef id) const {
  for (ArrayRef<MultiplyRow> list : {rows(), genericRows()})
    for (const MultiplyRow &row : list)
      if (row.id == id)
        return &row;
  return nullptr;
}

Value CpuFamily::emitSlotBytes(OpBuilder &builder, MatmulKernelOp kernel, const Machine &) const {
  IndexBuilder index(builder, kernel.getLoc());
  Value bytes = index.constant(64);
  for (RecipeAttr recipe : kernel.getRecipes().getRecipes())
    if (const MultiplyRow *row = findRow(recipe.getUnit()))
      bytes = index.max(bytes, MatmulNest(builder, kernel, recipe, *row).emitSlotBytes());
  return bytes;
}

/// Whether the nest can follow the recipe; says why not.
static LogicalResult verifyRecipe(MatmulKernelOp kernel, RecipeAttr recipe, const MultiplyRow *row) {
  if (!row)
    return kernel.emitOpError() << "has a recipe with '" << recipe.getUnit() << "', which is no row of this target";
  ArrayRef<int64_t> tile = recipe.getTile("reg"), thread = recipe.getTile("thread");
  if (tile.empty() || thread.empty())
    return kernel.emitOpError() << "needs tiles at levels 'thread' and 'reg' in its recipe, found " << recipe;
  if (tile[1] % row->n || thread[0] % tile[0] || tile[0] > 64 || tile[1] > 1024)
    return kernel.emitOpError() << "expected a reg tile of whole vectors of " << row->n
                                << " columns, at most 64 x 1024, and thread rows in whole tiles, found " << recipe;
  if (recipe.getLhs().size() == 1 && !MatmulNest::canReadInPlace(kernel, *row))
    return kernel.emitOpError()
           << "has a recipe that broadcasts the left side from where it lies, which needs whole groups "
           << "of " << row->k << " along a known K as '" << row->id << "' takes them, and a right "
           << "side without zero points";
  if (row->isFloat != kernel.getAccumulatorType().isF32())
    return kernel.emitOpError() << "has a recipe with '" << row->id << "', which does not give sums of "
                                << kernel.getAccumulatorType();
  return success();
}

LogicalResult CpuFamily::schedule(RewriterBase &rewriter, MatmulKernelOp kernel, const Machine &machine) const {
  RecipesAttr recipes = kernel.getRecipes();
  for (RecipeAttr recipe : recipes.getRecipes())
    if (failed(verifyRecipe(kernel, recipe, findRow(recipe.getUnit()))))
      return failure();
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(kernel);
  Value slotBytes = emitSlotBytes(rewriter, kernel, machine);
  emitByRows(rewriter, kernel, [&](RecipeAttr recipe) {
    MatmulNest(rewriter, kernel, recipe, *findRow(recipe.getUnit())).emit(slotBytes);
  });
  rewriter.eraseOp(kernel);
  return success();
}
