//===- PackWeights.cpp - constants to weights -------------------------------===//
//
// Takes packs of constants and makes each a qlow.weight in its layout; large constants of any other use become weights
// as they are. Must not touch their bytes: they may be larger than memory.
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
/// Elements of a constant that no weight can hold.
constexpr int64_t kMostInMemory = 1 << 28;

struct PackWeights : qlow::impl::PackWeightsBase<PackWeights> {
  using PackWeightsBase::PackWeightsBase;
  void runOnOperation() override;

private:
  LogicalResult pack(PackOp op);
  LogicalResult moveOut(arith::ConstantOp constant);
  GetWeightOp use(OpBuilder &builder, Location loc, WeightOp weight, Type type);
  WeightOp declare(Location loc, ElementsAttr source, Type type, int64_t bytes, bool transposed, LayoutAttr layout);

  bool onDevice = false;
  /// Weights by what determines their stored bytes, so that uses share them.
  llvm::DenseMap<std::tuple<Attribute, Type, Attribute, Attribute>, WeightOp> known;
};
} // namespace

WeightOp PackWeights::declare(Location loc, ElementsAttr source, Type type, int64_t bytes, bool transposed,
                              LayoutAttr layout) {
  UnitAttr flag = transposed ? UnitAttr::get(&getContext()) : UnitAttr();
  WeightOp &weight = known[{source, type, layout, flag}];
  if (!weight) {
    OpBuilder builder = OpBuilder::atBlockEnd(getOperation().getBody());
    std::string name = "weight" + std::to_string(known.size() - 1);
    weight =
        WeightOp::create(builder, loc, name, builder.getStringAttr("private"), source, type, bytes, transposed, layout);
  }
  return weight;
}

GetWeightOp PackWeights::use(OpBuilder &builder, Location loc, WeightOp weight, Type type) {
  return GetWeightOp::create(builder, loc, type, FlatSymbolRefAttr::get(weight.getSymNameAttr()));
}

LogicalResult PackWeights::pack(PackOp op) {
  auto constant = op.getSource().front().getDefiningOp<arith::ConstantOp>();
  auto source = constant ? dyn_cast<ElementsAttr>(constant.getValue()) : ElementsAttr();
  auto type = cast<RankedTensorType>(op.getSourceType());
  if (!source || !type.hasStaticShape() || !storesWhole(type, op.getLayout())) {
    ++numRuntimePacks;
    return success();
  }
  std::optional<int64_t> bytes = packedBytes(op.getLayout(), type.getShape(), op.getTransposed());
  if (!bytes)
    return op.emitOpError() << "takes more than 2^63 - 1 bytes for " << type << " in " << op.getLayout();
  WeightOp weight = declare(constant.getLoc(), source, type, *bytes, op.getTransposed(), op.getLayout());
  OpBuilder builder(op);
  op.getResult(0).replaceAllUsesWith(use(builder, op.getLoc(), weight, op.getResult(0).getType()).getResult());
  op.erase();
  ++numPacked;
  packedWeightBytes += *bytes;
  return success();
}

LogicalResult PackWeights::moveOut(arith::ConstantOp constant) {
  auto source = dyn_cast<ElementsAttr>(constant.getValue());
  auto type = dyn_cast<RankedTensorType>(constant.getType());
  if (!source || !type)
    return success();
  if (!type.hasStaticShape())
    return constant.emitOpError() << "of " << type << " has no size: MLIR folds an op on one tensor twice to it, which "
                                  << "-qlow-import keeps from happening";
  bool isWhole = type.getElementType().isIntOrFloat() && type.getElementTypeBitWidth() % 8 == 0;
  if (!isWhole && type.getNumElements() > kMostInMemory)
    return constant.emitOpError() << "of " << type << " would pass through the compiler's memory: expected elements of "
                                  << "whole bytes, or at most " << kMostInMemory << " of them";
  int64_t bytes = isWhole ? type.getNumElements() * (type.getElementTypeBitWidth() / 8) : 0;
  if (!isWhole || (!onDevice && bytes < kLargeBytes))
    return success();
  OpBuilder builder(constant);
  WeightOp weight = declare(constant.getLoc(), source, type, bytes, false, {});
  constant.getResult().replaceAllUsesWith(use(builder, constant.getLoc(), weight, type).getResult());
  constant.erase();
  ++numMoved;
  return success();
}

void PackWeights::runOnOperation() {
  FailureOr<std::shared_ptr<const Target>> found = findTarget(getOperation(), target);
  if (failed(found))
    return signalPassFailure();
  known.clear();
  onDevice = (*found)->family().runsOnDevice();
  SmallVector<PackOp> packs;
  getOperation().walk([&](PackOp op) { packs.push_back(op); });
  for (PackOp op : packs)
    if (failed(pack(op)))
      return signalPassFailure();
  SmallVector<arith::ConstantOp> constants;
  getOperation().walk([&](arith::ConstantOp constant) { constants.push_back(constant); });
  for (arith::ConstantOp constant : constants) {
    if (constant.use_empty())
      constant.erase();
    else if (failed(moveOut(constant)))
      return signalPassFailure();
  }
}
