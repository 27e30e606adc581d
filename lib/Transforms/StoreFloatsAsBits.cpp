//===- StoreFloatsAsBits.cpp - narrow floats become integers --------------===//
//
// In: narrow floats that are only moved and taken apart, since qlow-expand-math has expanded all arithmetic on them.
// Out: integers of the same bits in their place. LLVM would carry bf16 from block to block in f32 registers and call a
// library to come back. Must not touch the declarations of weights: their types say what the bytes mean.
//
//===----------------------------------------------------------------------===//

#include "qlow/Targets/Targets.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/AttrTypeSubElements.h"

namespace qlow {
#define GEN_PASS_DEF_STOREFLOATSASBITS
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

namespace {
struct StoreFloatsAsBits : qlow::impl::StoreFloatsAsBitsBase<StoreFloatsAsBits> {
  using StoreFloatsAsBitsBase::StoreFloatsAsBitsBase;

  void runOnOperation() override {
    FailureOr<std::shared_ptr<const Target>> found = findTarget(getOperation(), target);
    if (failed(found))
      return signalPassFailure();
    auto has = [&](FloatUnit unit) { return (*found)->family().hasNative(unit, (*found)->machine()); };
    AttrTypeReplacer replacer = makeReplacer(has(FloatUnit::Half), has(FloatUnit::Brain));
    // What the report says of operands stays what the model had.
    Attribute report = getOperation()->removeAttr("qlow.report");
    SmallVector<arith::BitcastOp> casts;
    getOperation()->walk([&](Operation *op) {
      if (isa<WeightOp>(op))
        return;
      replacer.replaceElementsIn(op, /*replaceAttrs=*/true, /*replaceLocs=*/false, /*replaceTypes=*/true);
      if (auto cast = dyn_cast<arith::BitcastOp>(op))
        casts.push_back(cast);
    });
    for (arith::BitcastOp cast : casts)
      if (cast.getIn().getType() == cast.getType()) {
        cast.replaceAllUsesWith(cast.getIn());
        cast.erase();
      }
    if (report)
      getOperation()->setAttr("qlow.report", report);
  }

  static AttrTypeReplacer makeReplacer(bool hasHalf, bool hasBrain) {
    auto bitsOf = [=](Type type) -> Type {
      auto narrow = dyn_cast<FloatType>(type);
      if (!narrow || narrow.getWidth() > 16 || (hasHalf && narrow.isF16()) || (hasBrain && narrow.isBF16()))
        return {};
      return IntegerType::get(type.getContext(), narrow.getWidth());
    };
    AttrTypeReplacer replacer;
    replacer.addReplacement([](QType type) { return std::pair<Type, WalkResult>(type, WalkResult::skip()); });
    replacer.addReplacement([bitsOf](FloatType type) -> std::optional<Type> {
      Type bits = bitsOf(type);
      return bits ? std::optional<Type>(bits) : std::nullopt;
    });
    replacer.addReplacement([bitsOf](FloatAttr value) -> std::optional<Attribute> {
      Type bits = bitsOf(value.getType());
      return bits ? std::optional<Attribute>(IntegerAttr::get(bits, value.getValue().bitcastToAPInt())) : std::nullopt;
    });
    replacer.addReplacement([bitsOf](DenseElementsAttr values) -> std::optional<Attribute> {
      Type bits = bitsOf(values.getElementType());
      return bits ? std::optional<Attribute>(values.bitcast(bits)) : std::nullopt;
    });
    return replacer;
  }
};
} // namespace
