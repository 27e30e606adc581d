//===- Family.cpp - the generic family, and what CPU families share ---------===//
//
// Chooses among a kernel's recipes by M at run time and hands each to the nest.
//
//===----------------------------------------------------------------------===//

#include "Generic/Cpu.h"
#include "Generic/Nest.h"
#include "Generic/Pack.h"

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

/// Whether the nest can be laid out for the recipe's tiles.
static bool hasWholeTiles(RecipeAttr recipe, const MultiplyRow &row) {
  ArrayRef<int64_t> tile = recipe.getTile("reg"), thread = recipe.getTile("thread");
  return !tile.empty() && !thread.empty() && tile[1] % row.n == 0 && thread[0] % tile[0] == 0 && tile[0] <= 64 &&
         tile[1] <= 1024;
}

/// Recipes that no nest can follow count nothing: `schedule` says what is wrong with them.
Value CpuFamily::emitSlotBytes(OpBuilder &builder, MatmulKernelOp kernel, const Machine &) const {
  IndexBuilder index(builder, kernel.getLoc());
  Value bytes = index.constant(64);
  for (RecipeAttr recipe : kernel.getRecipes().getRecipes())
    if (const MultiplyRow *row = findRow(recipe.getUnit()); row && hasWholeTiles(recipe, *row))
      bytes = index.max(bytes, MatmulNest(builder, kernel, recipe, *row).emitSlotBytes());
  return bytes;
}

/// Whether a packed right side has the bytes its layout takes, as far as its shape is known.
static LogicalResult verifyBytes(Operation *op, Value packed, Type type, LayoutAttr layout, bool transposed) {
  auto tensor = cast<RankedTensorType>(type);
  auto found = cast<ShapedType>(packed.getType());
  if (!tensor.hasStaticShape() || !found.hasStaticShape())
    return success();
  std::optional<int64_t> bytes = packedBytes(layout, tensor.getShape(), transposed);
  if (found.getDimSize(0) == bytes)
    return success();
  return op->emitOpError() << "expected " << (bytes ? std::to_string(*bytes) : "more than 2^63 - 1") << " bytes for "
                           << tensor << " in " << layout << ", found " << found.getDimSize(0);
}

/// Whether the row reads what is packed; says what it would read.
static LogicalResult verifyPacked(MatmulKernelOp kernel, RecipeAttr recipe, const MultiplyRow &row) {
  LayoutAttr layout = *kernel.getPackedRhs();
  int64_t panelWidth = recipe.getTile("reg")[1];
  LayoutAttr open = layoutOf(kernel.getContext(), row, panelWidth, /*isOpenN=*/true);
  LayoutAttr known = layoutOf(kernel.getContext(), row, panelWidth, /*isOpenN=*/false);
  bool isOpenN = cast<ShapedType>(kernel.getOut().getType()).getShape().back() == ShapedType::kDynamic;
  if (layout != open && (layout != known || isOpenN))
    return kernel.emitOpError() << "has a right side packed in " << layout << ", but '" << row.id << "' reads "
                                << (isOpenN ? open : known);
  return verifyBytes(kernel, kernel.getRhs().front(), kernel.getRhsType(), layout, kernel.getTransposeRhs());
}

/// Whether the recipe's words are the nest's: what it would not follow is an error, not left unread.
static LogicalResult verifyHops(MatmulKernelOp kernel, RecipeAttr recipe) {
  auto is = [](HopAttr hop, StringRef to, ArrayRef<StringRef> ways) {
    return hop.getTo() == to && llvm::is_contained(ways, hop.getBy()) && hop.getStages() == 1 && hop.getSwizzle() == 0;
  };
  ArrayRef<HopAttr> lhs = recipe.getLhs(), rhs = recipe.getRhs();
  StringRef place = kernel.getPackedRhs() ? "memory" : "l2";
  bool isLhs = lhs.size() <= 2 && is(lhs.back(), "reg", {"broadcast32"}) &&
               (lhs.size() == 1 || is(lhs.front(), "l2", {"pack", "decode"}));
  bool isRhs = rhs.size() == 2 && is(rhs.front(), place, {"pack", "decode"}) && is(rhs.back(), "reg", {"load"});
  if (isLhs && isRhs && (recipe.getRescale() == "fold" || recipe.getRescale() == "end") && !recipe.getSwap() &&
      recipe.getSplitK() == 1)
    return success();
  return kernel.emitOpError() << "expected a left side to 'reg' by 'broadcast32', to 'l2' by 'pack' or 'decode' before "
                              << "it maybe, a right side to '" << place << "' by 'pack' or 'decode', then to 'reg' by "
                              << "'load', and no rescale = block or follow, swap or split_k, found " << recipe;
}

/// Whether the nest can follow the recipe; says why not.
static LogicalResult verifyRecipe(MatmulKernelOp kernel, RecipeAttr recipe, const MultiplyRow *row) {
  if (!row)
    return kernel.emitOpError() << "has a recipe with '" << recipe.getUnit() << "', which is no row of this target";
  if (!recipe.hasTilesAt({"thread", "reg"}))
    return kernel.emitOpError() << "needs tiles at levels 'thread' and 'reg', and no others, in its recipe, found "
                                << recipe;
  if (!hasWholeTiles(recipe, *row))
    return kernel.emitOpError() << "expected a reg tile of whole vectors of " << row->n
                                << " columns, at most 64 x 1024, and thread rows in whole tiles, found " << recipe;
  if (failed(verifyHops(kernel, recipe)))
    return failure();
  if (std::optional<Type> measured = kernel.getOutType())
    return kernel.emitOpError() << "measures scales of its results, which no recipe of this target does: expected "
                                << "floats for a qlow.quantize_dynamic of its own, found " << *measured;
  if (recipe.getLhs().size() == 1 && !MatmulNest::canReadInPlace(kernel, *row))
    return kernel.emitOpError()
           << "has a recipe that broadcasts the left side from where it lies, which needs whole groups "
           << "of " << row->k << " along a known K as '" << row->id << "' takes them, and a right "
           << "side without zero points";
  if (row->isFloat != kernel.getAccumulatorType().isF32())
    return kernel.emitOpError() << "has a recipe with '" << row->id << "', which does not give sums of "
                                << kernel.getAccumulatorType();
  return kernel.getPackedRhs() ? verifyPacked(kernel, recipe, *row) : success();
}

LogicalResult CpuFamily::schedule(RewriterBase &rewriter, PackOp pack, const Machine &machine) const {
  if (failed(verifyBytes(pack, pack.getOut(), pack.getSourceType(), pack.getLayout(), pack.getTransposed())))
    return failure();
  if (pack.getLayout().getFragment() || pack.getLayout().getElement().getIntOrFloatBitWidth() < 8)
    return pack.emitOpError() << "expected a layout of elements of whole bytes in panels, which processors read, found "
                              << pack.getLayout();
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPoint(pack);
  emitPack(rewriter, pack, machine);
  rewriter.eraseOp(pack);
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
