//===- PlaceWeights.cpp - offsets of weights in the object ------------------===//
//
// In: qlow.weight declarations and the qlow.get_weight ops that read them, on memrefs. Out: each declaration has an
// offset behind one hidden symbol, and reads are addresses: behind that symbol, or where functions launch kernels,
// behind the address that the device's state holds. The bytes themselves are not touched: the object writer streams
// them to these offsets.
//
//===----------------------------------------------------------------------===//

#include "Device.h"
#include "Entries.h"
#include "qlow/Targets/Layout.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace qlow {
#define GEN_PASS_DEF_PLACEWEIGHTS
#include "qlow/Emit/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

static constexpr int64_t kAlignment = 64;

namespace {
struct PlaceWeights : qlow::impl::PlaceWeightsBase<PlaceWeights> {
  /// Whether the weight has the bytes that its layout takes; its packer would find out when the object is written.
  static LogicalResult checkPacked(WeightOp weight) {
    if (!weight.getLayout())
      return success();
    auto type = cast<RankedTensorType>(weight.getSourceType());
    if (!storesWhole(type, *weight.getLayout()))
      return weight.emitOpError() << "has a layout that its elements do not fit as they are: " << *weight.getLayout()
                                  << " for " << type;
    std::optional<int64_t> bytes = packedBytes(*weight.getLayout(), type.getShape(), weight.getTransposed());
    if (bytes == static_cast<int64_t>(weight.getBytes()))
      return success();
    return weight.emitOpError() << "expected bytes " << (bytes ? std::to_string(*bytes) : "beyond 2^63 - 1") << " for "
                                << type << " in " << *weight.getLayout() << ", found " << weight.getBytes();
  }

  /// Gives each weight that is read an offset; the others leave the module. The bytes up to the end of the last one.
  FailureOr<int64_t> placeAll(ModuleOp module, int64_t alignment) {
    llvm::DenseSet<StringAttr> used;
    module.walk([&](GetWeightOp get) { used.insert(get.getWeightAttr().getAttr()); });
    int64_t end = 0;
    for (auto weight : llvm::make_early_inc_range(module.getOps<WeightOp>())) {
      if (!used.contains(weight.getSymNameAttr())) {
        weight.erase();
        continue;
      }
      if (failed(checkPacked(weight)))
        return failure();
      if (llvm::AddOverflow<int64_t>(end, alignment - 1, end))
        return weight.emitOpError("ends beyond 2^63 - 1 bytes of weights");
      end -= end % alignment;
      weight->setAttr("qlow.offset", IntegerAttr::get(IntegerType::get(&getContext(), 64), end));
      if (llvm::AddOverflow<int64_t>(end, weight.getBytes(), end))
        return weight.emitOpError("ends beyond 2^63 - 1 bytes of weights");
    }
    return end;
  }

  void replace(GetWeightOp get, WeightOp weight, StringRef symbol, const LLVMTypeConverter &types) {
    ImplicitLocOpBuilder b(get.getLoc(), get);
    auto pointer = LLVM::LLVMPointerType::get(&getContext());
    auto type = cast<MemRefType>(get.getType());
    Value launch = findLaunchArgument(get), base;
    if (launch)
      base = Device::get().emitWeights(b, loadAt(b, pointer, launch, kLaunchDevice));
    else
      base = LLVM::AddressOfOp::create(b, pointer, symbol);
    // The offset is an operand of 64 bits: a constant GEP index would be one of 32.
    Value offset = LLVM::ConstantOp::create(b, b.getI64Type(), weight->getAttrOfType<IntegerAttr>("qlow.offset"));
    Value address = LLVM::GEPOp::create(b, pointer, b.getI8Type(), base, ArrayRef<LLVM::GEPArg>{offset});
    Value descriptor = MemRefDescriptor::fromStaticShape(b, b.getLoc(), types, type, address);
    get.replaceAllUsesWith(UnrealizedConversionCastOp::create(b, TypeRange(type), descriptor).getResult(0));
    get.erase();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<GetWeightOp> gets;
    module.walk([&](GetWeightOp get) { gets.push_back(get); });
    for (GetWeightOp get : gets) {
      auto type = dyn_cast<MemRefType>(get.getType());
      if (!type || !type.hasStaticShape() || !type.getLayout().isIdentity()) {
        get.emitOpError("expected a row-major memref of static shape, as bufferization leaves it, found ")
            << get.getType();
        return signalPassFailure();
      }
    }
    bool device = llvm::any_of(gets, [](GetWeightOp get) { return bool(findLaunchArgument(get)); });
    int64_t alignment = device ? Device::get().memoryAlignment() : kAlignment;
    FailureOr<int64_t> size = placeAll(module, alignment);
    if (failed(size))
      return signalPassFailure();
    bytes += *size;
    if (gets.empty())
      return;
    auto prefix = module->getAttrOfType<StringAttr>("qlow.prefix");
    std::string symbol = ((prefix ? prefix.getValue() : "model") + "_weights").str();
    ImplicitLocOpBuilder b(module.getLoc(), &getContext());
    b.setInsertionPointToStart(module.getBody());
    auto global = LLVM::GlobalOp::create(b, LLVM::LLVMArrayType::get(b.getI8Type(), *size), /*isConstant=*/true,
                                         LLVM::Linkage::External, symbol, Attribute(), alignment);
    global.setVisibility_(LLVM::Visibility::Hidden);
    global.setDsoLocal(true);
    LLVMTypeConverter types(&getContext());
    for (GetWeightOp get : gets)
      replace(get, SymbolTable::lookupNearestSymbolFrom<WeightOp>(get, get.getWeightAttr()), symbol, types);
  }
};
} // namespace
