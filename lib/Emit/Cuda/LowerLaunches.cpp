//===- LowerLaunches.cpp - launches become calls of the CUDA driver ---------===//
//
// In: host functions with gpu.launch_func on memrefs and numbers, and an argument that points to the launch struct.
// Out: each kernel has a function that launches it (Launcher.cpp), which launches call. Tensor maps are encoded by that
// function, for each call anew. Kernels stay as they are but for their names, the type of tensor maps, and that they
// wait for the kernel in front of them.
//
//===----------------------------------------------------------------------===//

#include "Entries.h"
#include "Launcher.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"

namespace qlow {
#define GEN_PASS_DEF_LOWERLAUNCHES
#include "qlow/Emit/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

/// Bytes of parameters that every device and every version of PTX takes.
static constexpr int64_t kMaxParameterBytes = 4096;

namespace {
struct LowerLaunches : qlow::impl::LowerLaunchesBase<LowerLaunches> {
  using LowerLaunchesBase::LowerLaunchesBase;

  void getDependentDialects(DialectRegistry &registry) const override {
    LowerLaunchesBase::getDependentDialects(registry);
    registry.insert<NVVM::NVVMDialect>();
  }

  LogicalResult checkLaunch(gpu::LaunchFuncOp launch);
  FailureOr<int64_t> sharedBytes(gpu::LaunchFuncOp launch);
  LogicalResult collect(gpu::LaunchFuncOp launch);
  std::string uniqueName(StringRef wanted);
  LogicalResult lower(gpu::LaunchFuncOp launch, const LLVMTypeConverter &types, StringRef prefix);
  FailureOr<Parameters> expand(ImplicitLocOpBuilder &b, gpu::LaunchFuncOp launch, const LLVMTypeConverter &types);
  LogicalResult expandTensorMap(ImplicitLocOpBuilder &b, gpu::LaunchFuncOp launch, Value operand,
                                const LLVMTypeConverter &types, Parameters &result);
  LogicalResult lowerTensorMaps(Operation *kernel, ArrayRef<TensorMapType> maps);
  void runOnOperation() override;

  llvm::MapVector<Operation *, Launcher> launchers; ///< by kernel, in the order of their first launches
  llvm::StringSet<> names;
};
} // namespace

static Operation *kernelOf(gpu::LaunchFuncOp launch) {
  return SymbolTable::lookupNearestSymbolFrom(launch->getParentOfType<ModuleOp>(), launch.getKernel());
}

LogicalResult LowerLaunches::checkLaunch(gpu::LaunchFuncOp launch) {
  if (!findLaunchArgument(launch))
    return launch.emitOpError("expected a function around it with an argument marked 'qlow.launch', through which "
                              "launches reach the device");
  if (launch.getAsyncToken() || !launch.getAsyncDependencies().empty() || launch.getAsyncObject())
    return launch.emitOpError("is asynchronous: expected launches in the order of the stream, without tokens");
  if (!kernelOf(launch))
    return launch.emitOpError("launches ") << launch.getKernel() << ", which is not in the module";
  return success();
}

/// Dynamic shared memory of a launch: load has to ask the driver for the most that a kernel gets.
FailureOr<int64_t> LowerLaunches::sharedBytes(gpu::LaunchFuncOp launch) {
  Value given = launch.getDynamicSharedMemorySize();
  IntegerAttr constant;
  if (!given)
    return 0;
  if (!matchPattern(given, m_Constant(&constant)) || constant.getInt() < 0)
    return launch.emitOpError("expected a constant as dynamic_shared_memory_size: the driver is asked for it when the "
                              "kernel is loaded");
  return constant.getInt();
}

/// A name that PTX can take and no other kernel has.
std::string LowerLaunches::uniqueName(StringRef wanted) {
  std::string name = makeIdentifier(wanted);
  for (int i = 1; !names.insert(name).second; ++i)
    name = makeIdentifier(wanted) + "_" + std::to_string(i);
  return name;
}

/// Whether a kernel waits itself for the one in front of it.
static bool waitsItself(Operation *kernel) {
  return kernel
      ->walk([](NVVM::GriddepcontrolOp op) {
        return op.getKind() == NVVM::GridDepActionKind::wait ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

LogicalResult LowerLaunches::collect(gpu::LaunchFuncOp launch) {
  if (failed(checkLaunch(launch)))
    return failure();
  auto bytes = sharedBytes(launch);
  if (failed(bytes))
    return failure();
  Operation *kernel = kernelOf(launch);
  auto [entry, isNew] = launchers.try_emplace(kernel);
  Launcher &launcher = entry->second;
  if (isNew) {
    launcher.number = launchers.size() - 1;
    launcher.kernel.name = uniqueName(SymbolTable::getSymbolName(kernel).getValue());
    launcher.kernel.clusters = launch.hasClusterSize();
    launcher.kernel.waits = waitsItself(kernel);
    if (auto image = kernel->getAttrOfType<StringAttr>(kImageAttribute))
      launcher.kernel.image = image.str();
  }
  launcher.kernel.sharedBytes = std::max(launcher.kernel.sharedBytes, *bytes);
  if (launcher.kernel.clusters != launch.hasClusterSize())
    return launch.emitOpError("launches ") << launch.getKernel() << " with and without clusters; expected one of them";
  return success();
}

/// Whether elements of a row lie side by side, from the pointer on.
static bool hasDenseRows(MemRefType type) {
  SmallVector<int64_t> strides;
  int64_t offset = 0;
  return succeeded(type.getStridesAndOffset(strides, offset)) && offset == 0 && !strides.empty() && strides.back() == 1;
}

/// Pointer, sizes and strides of the tensor that a map is made of, and the sizes of the box, at most those that its
/// type says.
LogicalResult LowerLaunches::expandTensorMap(ImplicitLocOpBuilder &b, gpu::LaunchFuncOp launch, Value operand,
                                             const LLVMTypeConverter &types, Parameters &result) {
  auto map = cast<TensorMapType>(operand.getType());
  auto made = operand.getDefiningOp<nvgpu::TmaCreateDescriptorOp>();
  auto cast = made ? made.getTensor().getDefiningOp<memref::CastOp>() : memref::CastOp();
  auto type = cast ? dyn_cast<MemRefType>(cast.getSource().getType()) : MemRefType();
  if (!type || !hasDenseRows(type) || type.getRank() != map.getTensor().getRank() ||
      made.getBoxDimensions().size() != static_cast<size_t>(type.getRank()) ||
      type.getElementType() != map.getTensor().getElementType() || !tensorMapElement(type.getElementType()))
    return launch.emitOpError(
        "takes a tensor map, which nvgpu.tma.create.descriptor must make of a memref with dense rows, of its "
        "rank and element type, of 1 to 4 bytes, cast to an unranked one, and a box of as many dimensions");
  for (auto [size, extent] : llvm::zip(made.getBoxDimensions(), map.getTensor().getShape()))
    if (int64_t known = getConstantIntValue(size).value_or(extent); known < 1 || known > extent)
      return launch.emitOpError("takes a tensor map with another box than its type allows; expected sizes of 1 to "
                                "those of ")
             << map;
  Value converted =
      UnrealizedConversionCastOp::create(b, TypeRange(types.convertType(type)), cast.getSource()).getResult(0);
  SmallVector<Value> unpacked;
  MemRefDescriptor::unpack(b, b.getLoc(), converted, type, unpacked);
  result.values.push_back(unpacked[1]);
  llvm::append_range(result.values, ArrayRef(unpacked).slice(3, 2 * type.getRank()));
  for (Value size : made.getBoxDimensions())
    result.values.push_back(UnrealizedConversionCastOp::create(b, TypeRange(b.getI64Type()), size).getResult(0));
  result.maps.push_back(map);
  result.bytes = llvm::alignTo(result.bytes, kMapAlignment) + kMapBytes;
  return success();
}

/// Parameters as convert-gpu-to-nvvm expands them: a memref is its pointer twice, offset, sizes and strides.
FailureOr<Parameters> LowerLaunches::expand(ImplicitLocOpBuilder &b, gpu::LaunchFuncOp launch,
                                            const LLVMTypeConverter &types) {
  Parameters result;
  DataLayout layout(launch->getParentOfType<ModuleOp>());
  for (Value operand : launch.getKernelOperands()) {
    if (isa<TensorMapType>(operand.getType())) {
      if (failed(expandTensorMap(b, launch, operand, types, result)))
        return failure();
      continue;
    }
    Type type = types.convertType(operand.getType());
    auto memref = dyn_cast<MemRefType>(operand.getType());
    if (!type || isa<UnrankedMemRefType>(operand.getType()))
      return launch.emitOpError("can not pass a ") << operand.getType() << " to a kernel; expected ranked memrefs, "
                                                   << "numbers and pointers";
    Value converted = operand;
    if (type != operand.getType())
      converted = UnrealizedConversionCastOp::create(b, TypeRange(type), operand).getResult(0);
    SmallVector<Value> values{converted};
    if (memref) {
      values.clear();
      MemRefDescriptor::unpack(b, b.getLoc(), converted, memref, values);
    }
    for (Value value : values)
      result.bytes = llvm::alignTo(result.bytes, layout.getTypeABIAlignment(value.getType())) +
                     layout.getTypeSize(value.getType()).getFixedValue();
    llvm::append_range(result.values, values);
    result.maps.append(values.size(), TensorMapType());
  }
  if (result.bytes > kMaxParameterBytes)
    return launch.emitOpError("has ") << result.bytes << " bytes of parameters; expected at most " << kMaxParameterBytes
                                      << ", of which a tensor takes 24 and 16 for each dimension: compute it by "
                                         "several ops of fewer tensors";
  return result;
}

/// In the kernel a tensor map is the address of a parameter. Which ones are, by their places behind the expansion, is
/// said on the kernel: convert-gpu-to-nvvm keeps no attribute of a parameter that would say so.
LogicalResult LowerLaunches::lowerTensorMaps(Operation *kernel, ArrayRef<TensorMapType> maps) {
  SmallVector<int32_t> places;
  for (auto [place, map] : llvm::enumerate(maps))
    if (map)
      places.push_back(place);
  auto function = dyn_cast<FunctionOpInterface>(kernel);
  if (places.empty() || !function)
    return success();
  auto pointer = LLVM::LLVMPointerType::get(&getContext());
  SmallVector<Type> types(function.getArgumentTypes());
  for (auto [argument, type] : llvm::zip(function.getArguments(), types)) {
    if (!isa<TensorMapType>(type))
      continue;
    type = pointer;
    argument.setType(pointer);
    for (Operation *user : llvm::make_early_inc_range(argument.getUsers())) {
      auto cast = dyn_cast<UnrealizedConversionCastOp>(user);
      if (!cast || cast->getResultTypes() != TypeRange(pointer))
        return user->emitOpError(
            "uses a tensor map; expected only builtin.unrealized_conversion_cast to !llvm.ptr to do");
      cast.replaceAllUsesWith(ValueRange(argument));
      cast.erase();
    }
  }
  function.setType(function.cloneTypeWith(types, function.getResultTypes()));
  kernel->setAttr(kTensorMapsAttribute, DenseI32ArrayAttr::get(&getContext(), places));
  return success();
}

LogicalResult LowerLaunches::lower(gpu::LaunchFuncOp launch, const LLVMTypeConverter &types, StringRef prefix) {
  Launcher &launcher = launchers.find(kernelOf(launch))->second;
  ImplicitLocOpBuilder b(launch.getLoc(), launch);
  auto asInt64 = [&](Value value) -> Value {
    if (value.getType().isIndex())
      return UnrealizedConversionCastOp::create(b, TypeRange(b.getI64Type()), value).getResult(0);
    return value.getType().isInteger(64) ? value : LLVM::ZExtOp::create(b, b.getI64Type(), value).getResult();
  };
  SmallVector<Value> operands{findLaunchArgument(launch)};
  auto append = [&](gpu::KernelDim3 size) {
    llvm::append_values(operands, asInt64(size.x), asInt64(size.y), asInt64(size.z));
  };
  append(launch.getGridSizeOperandValues());
  append(launch.getBlockSizeOperandValues());
  Value shared = launch.getDynamicSharedMemorySize();
  operands.push_back(shared ? shared : constantInt(b, b.getI32Type(), 0));
  if (launch.hasClusterSize())
    append(launch.getClusterSizeOperandValues());
  auto parameters = expand(b, launch, types);
  if (failed(parameters))
    return failure();
  llvm::append_range(operands, parameters->values);
  SmallVector<Type> operandTypes(launch.getKernelOperands().getTypes());
  if (!launcher.function) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(launch->getParentOfType<ModuleOp>().getBody());
    std::string name = (prefix + ".launch." + launcher.kernel.name).str();
    launcher.function = buildLauncher(b, launcher, name, *parameters);
    launcher.operandTypes = operandTypes;
    launcher.kernel.maps = llvm::any_of(parameters->maps, [](TensorMapType map) { return bool(map); });
    if (failed(lowerTensorMaps(kernelOf(launch), parameters->maps)))
      return failure();
  }
  if (operandTypes != launcher.operandTypes)
    return launch.emitOpError("has other types of parameters than an earlier launch of ") << launch.getKernel();
  LLVM::CallOp::create(b, launcher.function, operands);
  launch.erase();
  return success();
}

/// Ops that made tensor maps, behind their last use.
static void eraseTensorMaps(ModuleOp module) {
  SmallVector<nvgpu::TmaCreateDescriptorOp> made;
  module.walk([&](nvgpu::TmaCreateDescriptorOp op) { made.push_back(op); });
  for (nvgpu::TmaCreateDescriptorOp op : made) {
    Operation *whole = op.getTensor().getDefiningOp();
    if (op->use_empty())
      op.erase();
    if (whole && isOpTriviallyDead(whole))
      whole->erase();
  }
}

/// Kernels of the target's image wait first of all. Where a schedule wrote one it has decided.
static void addWaits(ModuleOp module, const Machine &machine) {
  if (!machine.hasFeature("sm_90"))
    return;
  module.walk([&](gpu::GPUFuncOp kernel) {
    auto image = kernel->getAttrOfType<StringAttr>(kImageAttribute);
    if (!kernel.isKernel() || waitsItself(kernel) || kernel->hasAttr(kRowAttribute) ||
        (image && image.getValue() != machine.name))
      return;
    auto b = ImplicitLocOpBuilder::atBlockBegin(kernel.getLoc(), &kernel.getBody().front());
    NVVM::GriddepcontrolOp::create(b, NVVM::GridDepActionKind::launch_dependents);
    NVVM::GriddepcontrolOp::create(b, NVVM::GridDepActionKind::wait);
  });
}

void LowerLaunches::runOnOperation() {
  ModuleOp module = getOperation();
  launchers.clear();
  names.clear();
  if (!target.empty()) {
    FailureOr<std::shared_ptr<const Target>> found = findTarget(module, target);
    if (failed(found))
      return signalPassFailure();
    addWaits(module, (*found)->machine());
  }
  SmallVector<gpu::LaunchFuncOp> launches;
  module.walk([&](gpu::LaunchFuncOp launch) { launches.push_back(launch); });
  for (gpu::LaunchFuncOp launch : launches)
    if (failed(collect(launch)))
      return signalPassFailure();
  auto prefix = module->getAttrOfType<StringAttr>("qlow.prefix");
  LLVMTypeConverter types(&getContext());
  for (gpu::LaunchFuncOp launch : launches)
    if (failed(lower(launch, types, prefix ? prefix.getValue() : "model")))
      return signalPassFailure();
  eraseTensorMaps(module);
  std::vector<AbiKernel> kernels;
  for (auto &[op, launcher] : launchers) {
    SymbolTable::setSymbolName(op, launcher.kernel.name);
    kernels.push_back(launcher.kernel);
  }
  numKernels += kernels.size();
  numLaunches += launches.size();
  module->setAttr("qlow.kernels", kernelsToAttribute(kernels, &getContext()));
}
