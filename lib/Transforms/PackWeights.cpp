//===- PackWeights.cpp - constants to weights -------------------------------===//
//
// Takes kernel forms whose recipe wants a packed right side and makes its constant a qlow.weight in that layout; large
// constants of any other use become weights as they are. Must not touch their bytes: they may be larger than memory.
//
//===----------------------------------------------------------------------===//

#include "qlow/Targets/Layout.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

namespace qlow {
#define GEN_PASS_DEF_PACKWEIGHTS
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

namespace {
/// From here on a constant is streamed into the object rather than passed through the compiler's own data structures.
/// A device sees nothing but weights: there all constants are.
constexpr int64_t kLargeBytes = 64 * 1024;

struct PackWeights : qlow::impl::PackWeightsBase<PackWeights> {
  using PackWeightsBase::PackWeightsBase;
  void runOnOperation() override;

private:
  LogicalResult pack(MatmulKernelOp kernel, const Target &machine);
  void moveOut(arith::ConstantOp constant);
  GetWeightOp use(OpBuilder &builder, Location loc, WeightOp weight, Type type);
  WeightOp declare(Location loc, ElementsAttr source, Type type, int64_t bytes, bool transposed, RecipeAttr recipe);

  bool onDevice = false;
  /// Weights by what determines their stored bytes, so that uses share them.
  llvm::DenseMap<std::tuple<Attribute, Type, Attribute, Attribute>, WeightOp> known;
};
} // namespace

WeightOp PackWeights::declare(Location loc, ElementsAttr source, Type type, int64_t bytes, bool transposed,
                              RecipeAttr recipe) {
  UnitAttr flag = transposed ? UnitAttr::get(&getContext()) : UnitAttr();
  WeightOp &weight = known[{source, type, recipe, flag}];
  if (!weight) {
    OpBuilder builder = OpBuilder::atBlockEnd(getOperation().getBody());
    std::string name = "weight" + std::to_string(known.size() - 1);
    weight =
        WeightOp::create(builder, loc, name, builder.getStringAttr("private"), source, type, bytes, transposed, recipe);
  }
  return weight;
}

GetWeightOp PackWeights::use(OpBuilder &builder, Location loc, WeightOp weight, Type type) {
  return GetWeightOp::create(builder, loc, type, FlatSymbolRefAttr::get(weight.getSymNameAttr()));
}

/// The recipe as far as the stored bytes depend on it, so that recipes for other M or other uses give one weight.
static RecipeAttr layoutOnly(RecipeAttr recipe) {
  HopAttr next = recipe.getRhs()[1];
  int64_t sizes[] = {1, packedPanelWidth(recipe), 1};
  MLIRContext *context = recipe.getContext();
  SmallVector<HopAttr> hops{recipe.getRhs().front(), HopAttr::get(context, next.getTo(), next.getBy(), 1, 0)};
  return RecipeAttr::get(context, recipe.getUnit(), {LevelAttr::get(context, next.getTo(), sizes)}, hops.back(), hops,
                         recipe.getRescale(), /*swap=*/false, /*split_k=*/1);
}

LogicalResult PackWeights::pack(MatmulKernelOp kernel, const Target &machine) {
  RecipeAttr recipe = kernel.getRecipes().getRecipes().front();
  HopAttr first = recipe.getRhs().front();
  if (first.getTo() != "memory" || kernel.getPackedRhs())
    return success();
  auto constant = kernel.getRhs().front().getDefiningOp<arith::ConstantOp>();
  auto source = constant ? dyn_cast<ElementsAttr>(constant.getValue()) : ElementsAttr();
  if (!source)
    return kernel.emitOpError() << "has a recipe that packs the right side into memory, but it is not a constant; "
                                   "let it be packed at run time: <to = l2, by = pack>";
  const MultiplyRow *row = machine.findRow(recipe.getUnit());
  int64_t panelWidth = packedPanelWidth(recipe);
  auto type = cast<RankedTensorType>(kernel.getRhsType());
  if (!row || panelWidth == 0 || panelWidth % row->storedColumns())
    return kernel.emitOpError() << "has a recipe that is none of " << machine.machine().name << ": " << recipe;
  if (!type.hasStaticShape())
    return kernel.emitOpError() << "has a constant right side of open shape " << type;
  int64_t bytes = packedBytes(*row, panelWidth, type, kernel.getTransposeRhs());
  WeightOp weight = declare(constant.getLoc(), source, type, bytes, kernel.getTransposeRhs(), layoutOnly(recipe));
  OpBuilder builder(kernel);
  auto packed = RankedTensorType::get({bytes}, builder.getI8Type());
  kernel.getRhsMutable().slice(0, 1).assign(use(builder, kernel.getLoc(), weight, packed).getResult());
  kernel.setPackedRhs(true);
  ++numPacked;
  packedWeightBytes += bytes;
  return success();
}

void PackWeights::moveOut(arith::ConstantOp constant) {
  auto source = dyn_cast<ElementsAttr>(constant.getValue());
  auto type = dyn_cast<RankedTensorType>(constant.getType());
  if (!source || !type || !type.getElementType().isIntOrFloat() || type.getElementTypeBitWidth() % 8)
    return;
  int64_t bytes = type.getNumElements() * (type.getElementTypeBitWidth() / 8);
  if (!onDevice && (bytes < kLargeBytes || source.isSplat()))
    return;
  OpBuilder builder(constant);
  WeightOp weight = declare(constant.getLoc(), source, type, bytes, false, {});
  constant.getResult().replaceAllUsesWith(use(builder, constant.getLoc(), weight, type).getResult());
  constant.erase();
  ++numMoved;
}

void PackWeights::runOnOperation() {
  llvm::Expected<std::shared_ptr<const Target>> found = Target::find(target);
  if (!found) {
    getOperation().emitError() << llvm::toString(found.takeError());
    return signalPassFailure();
  }
  known.clear();
  onDevice = (*found)->family().runsOnDevice();
  SmallVector<MatmulKernelOp> kernels;
  getOperation().walk([&](MatmulKernelOp kernel) { kernels.push_back(kernel); });
  for (MatmulKernelOp kernel : kernels)
    if (failed(pack(kernel, **found)))
      return signalPassFailure();
  SmallVector<arith::ConstantOp> constants;
  getOperation().walk([&](arith::ConstantOp constant) { constants.push_back(constant); });
  for (arith::ConstantOp constant : constants) {
    if (constant.use_empty())
      constant.erase();
    else
      moveOut(constant);
  }
}
