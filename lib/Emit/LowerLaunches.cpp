//===- LowerLaunches.cpp - launches become calls of the driver --------------===//
//
// In: host functions with gpu.launch_func on memrefs and numbers, and an argument that points to the launch struct.
// Out: each kernel has a function that checks sizes, lays out parameters as convert-gpu-to-nvvm expects them and calls
// the driver through the caller's state; launches call it. Once a launch has failed the following ones do nothing.
// Kernels themselves stay as they are but for their names.
//
//===----------------------------------------------------------------------===//

#include "Device.h"
#include "Entries.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
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

// CUDA C++ Programming Guide, "Features and Technical Specifications per Compute Capability".
static constexpr int64_t kMaxGridX = INT32_MAX, kMaxGridYZ = 65535, kMaxBlock = 1024;
/// Bytes of parameters that every device and every version of PTX takes.
static constexpr int64_t kMaxParameterBytes = 4096;

// cuda.h: CUlaunchConfig and CUlaunchAttribute.
static constexpr int32_t kClusterAttribute = 4, kAttributeBytes = 72, kAttributeValue = 8;
static constexpr int32_t kConfigBytes = 56, kConfigShared = 24, kConfigStream = 32, kConfigAttributes = 40,
                         kConfigCount = 48;

namespace {
/// A kernel and the function that launches it.
struct Launcher {
  AbiKernel kernel;
  size_t number = 0; ///< among the module's kernels
  LLVM::LLVMFuncOp function;
};

/// Builds void launch(launch, grid[3], block[3], shared, [cluster[3]], parameters...): sizes i64, shared i32.
class LauncherBuilder {
public:
  LauncherBuilder(ImplicitLocOpBuilder &b, const Launcher &launcher)
      : b(b), launcher(launcher), i32(b.getI32Type()), i64(b.getI64Type()),
        pointer(LLVM::LLVMPointerType::get(b.getContext())) {}
  LLVM::LLVMFuncOp build(StringRef name, TypeRange parameters);

private:
  Value size(unsigned i) { return function.getArgument(1 + i); }
  Value shared() { return function.getArgument(7); }
  Value narrow(Value value) { return LLVM::TruncOp::create(b, i32, value); }
  Value compare(LLVM::ICmpPredicate predicate, Value value, int64_t bound) {
    return LLVM::ICmpOp::create(b, predicate, value, constantInt(b, value.getType(), bound));
  }
  Value withinLimits();
  Value anyZero();
  Value layOutParameters(unsigned first);
  Value callLaunchKernel(Value state, Value kernel, Value stream, Value parameters);
  Value callLaunchKernelEx(Value state, Value kernel, Value stream, Value parameters);

  ImplicitLocOpBuilder &b;
  const Launcher &launcher;
  Type i32, i64, pointer;
  LLVM::LLVMFuncOp function;
};
} // namespace

//===----------------------------------------------------------------------===//
// The function that launches one kernel
//===----------------------------------------------------------------------===//

Value LauncherBuilder::withinLimits() {
  static constexpr int64_t kLimits[] = {kMaxGridX, kMaxGridYZ, kMaxGridYZ, kMaxBlock, kMaxBlock, kMaxBlock};
  Value ok = constantInt(b, b.getI1Type(), 1);
  for (auto [i, limit] : llvm::enumerate(kLimits))
    ok = LLVM::AndOp::create(b, ok, compare(LLVM::ICmpPredicate::ule, size(i), limit));
  return ok;
}

Value LauncherBuilder::anyZero() {
  Value any = constantInt(b, b.getI1Type(), 0);
  for (unsigned i = 0; i < 3; ++i)
    any = LLVM::OrOp::create(b, any, compare(LLVM::ICmpPredicate::eq, size(i), 0));
  return any;
}

/// An array of pointers to the parameters, in the frame.
Value LauncherBuilder::layOutParameters(unsigned first) {
  unsigned count = function.getNumArguments() - first;
  Value one = constantInt(b, i32, 1);
  Value array = LLVM::AllocaOp::create(b, pointer, pointer, constantInt(b, i32, std::max(count, 1u)));
  for (unsigned i = 0; i < count; ++i) {
    Value parameter = function.getArgument(first + i);
    Value place = LLVM::AllocaOp::create(b, pointer, parameter.getType(), one);
    storeAt(b, parameter, place, 0);
    storeAt(b, place, array, 8 * int32_t(i));
  }
  return array;
}

Value LauncherBuilder::callLaunchKernel(Value state, Value kernel, Value stream, Value parameters) {
  SmallVector<Value> operands{kernel};
  for (unsigned i = 0; i < 6; ++i)
    operands.push_back(narrow(size(i)));
  llvm::append_values(operands, shared(), stream, parameters, LLVM::ZeroOp::create(b, pointer));
  return callDriver(b, state, DriverFunction::LaunchKernel, operands);
}

Value LauncherBuilder::callLaunchKernelEx(Value state, Value kernel, Value stream, Value parameters) {
  Value one = constantInt(b, i32, 1);
  auto zeroed = [&](int32_t bytes) -> Value {
    Value place = LLVM::AllocaOp::create(b, pointer, LLVM::LLVMArrayType::get(i64, bytes / 8), one, 8);
    LLVM::MemsetOp::create(b, place, constantInt(b, b.getI8Type(), 0), constantInt(b, i64, bytes), false);
    return place;
  };
  Value attribute = zeroed(kAttributeBytes), config = zeroed(kConfigBytes);
  storeAt(b, constantInt(b, i32, kClusterAttribute), attribute, 0);
  for (unsigned i = 0; i < 3; ++i)
    storeAt(b, narrow(function.getArgument(8 + i)), attribute, kAttributeValue + 4 * int32_t(i));
  for (unsigned i = 0; i < 6; ++i)
    storeAt(b, narrow(size(i)), config, 4 * int32_t(i));
  storeAt(b, shared(), config, kConfigShared);
  storeAt(b, stream, config, kConfigStream);
  storeAt(b, attribute, config, kConfigAttributes);
  storeAt(b, one, config, kConfigCount);
  return callDriver(b, state, DriverFunction::LaunchKernelEx,
                    {config, kernel, parameters, LLVM::ZeroOp::create(b, pointer)});
}

LLVM::LLVMFuncOp LauncherBuilder::build(StringRef name, TypeRange parameters) {
  OpBuilder::InsertionGuard guard(b);
  SmallVector<Type> arguments{pointer, i64, i64, i64, i64, i64, i64, i32};
  if (launcher.kernel.clusters)
    arguments.append({i64, i64, i64});
  unsigned first = arguments.size();
  llvm::append_range(arguments, parameters);
  function = startFunction(b, name, LLVM::LLVMVoidType::get(b.getContext()), arguments, /*internal=*/true);
  Value launch = function.getArgument(0);
  Block *sizes = function.addBlock(), *limits = function.addBlock(), *start = function.addBlock(),
        *failed = function.addBlock(), *done = function.addBlock();
  failed->addArgument(i32, b.getLoc());
  Value array = layOutParameters(first);
  Value good = compare(LLVM::ICmpPredicate::eq, loadAt(b, i32, launch, kLaunchStatus), 0);
  LLVM::CondBrOp::create(b, good, sizes, done);
  b.setInsertionPointToStart(sizes);
  LLVM::CondBrOp::create(b, anyZero(), done, limits);
  b.setInsertionPointToStart(limits);
  LLVM::CondBrOp::create(b, withinLimits(), start, ValueRange(), failed, ValueRange(constantInt(b, i32, InvalidValue)));

  b.setInsertionPointToStart(start);
  Value state = loadAt(b, pointer, launch, kLaunchDevice), stream = loadAt(b, pointer, launch, kLaunchStream);
  Value kernel = loadAt(b, pointer, state, kernelOffset(launcher.number));
  Value result = launcher.kernel.clusters ? callLaunchKernelEx(state, kernel, stream, array)
                                          : callLaunchKernel(state, kernel, stream, array);
  LLVM::CondBrOp::create(b, compare(LLVM::ICmpPredicate::eq, result, 0), done, ValueRange(), failed,
                         ValueRange(result));
  b.setInsertionPointToStart(failed);
  Value shifted = LLVM::MulOp::create(b, failed->getArgument(0), constantInt(b, i32, 256));
  storeAt(b, LLVM::AddOp::create(b, shifted, constantInt(b, i32, int(AbiCode::Launch))), launch, kLaunchStatus);
  LLVM::BrOp::create(b, done);
  b.setInsertionPointToStart(done);
  LLVM::ReturnOp::create(b, ValueRange());
  return function;
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct LowerLaunches : qlow::impl::LowerLaunchesBase<LowerLaunches> {
  using LowerLaunchesBase::LowerLaunchesBase;

  LogicalResult checkLaunch(gpu::LaunchFuncOp launch);
  FailureOr<int64_t> sharedBytes(gpu::LaunchFuncOp launch);
  LogicalResult collect(gpu::LaunchFuncOp launch);
  std::string uniqueName(StringRef wanted);
  LogicalResult lower(gpu::LaunchFuncOp launch, const LLVMTypeConverter &types, StringRef prefix);
  FailureOr<SmallVector<Value>> expand(ImplicitLocOpBuilder &b, gpu::LaunchFuncOp launch,
                                       const LLVMTypeConverter &types);
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
  }
  launcher.kernel.sharedBytes = std::max(launcher.kernel.sharedBytes, *bytes);
  if (launcher.kernel.clusters != launch.hasClusterSize())
    return launch.emitOpError("launches ") << launch.getKernel() << " with and without clusters; expected one of them";
  return success();
}

/// Parameters as convert-gpu-to-nvvm expands them: a memref is its pointer twice, offset, sizes and strides.
FailureOr<SmallVector<Value>> LowerLaunches::expand(ImplicitLocOpBuilder &b, gpu::LaunchFuncOp launch,
                                                    const LLVMTypeConverter &types) {
  SmallVector<Value> result;
  int64_t bytes = 0;
  for (Value operand : launch.getKernelOperands()) {
    Type type = types.convertType(operand.getType());
    auto memref = dyn_cast<MemRefType>(operand.getType());
    if (!type || isa<UnrankedMemRefType>(operand.getType()))
      return launch.emitOpError("can not pass a ") << operand.getType() << " to a kernel; expected ranked memrefs, "
                                                   << "numbers and pointers";
    Value converted = operand;
    if (type != operand.getType())
      converted = UnrealizedConversionCastOp::create(b, TypeRange(type), operand).getResult(0);
    if (memref)
      MemRefDescriptor::unpack(b, b.getLoc(), converted, memref, result);
    else
      result.push_back(converted);
  }
  DataLayout layout(launch->getParentOfType<ModuleOp>());
  for (Value value : result)
    bytes = llvm::alignTo(bytes, layout.getTypeABIAlignment(value.getType())) +
            layout.getTypeSize(value.getType()).getFixedValue();
  if (bytes > kMaxParameterBytes)
    return launch.emitOpError("has ") << bytes << " bytes of parameters; expected at most " << kMaxParameterBytes;
  return result;
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
  llvm::append_range(operands, *parameters);
  if (!launcher.function) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(launch->getParentOfType<ModuleOp>().getBody());
    std::string name = (prefix + ".launch." + launcher.kernel.name).str();
    launcher.function = LauncherBuilder(b, launcher).build(name, ValueRange(*parameters).getTypes());
  }
  if (llvm::to_vector(ValueRange(operands).getTypes()) != llvm::to_vector(launcher.function.getArgumentTypes()))
    return launch.emitOpError("has other types of parameters than an earlier launch of ") << launch.getKernel();
  LLVM::CallOp::create(b, launcher.function, operands);
  launch.erase();
  return success();
}

void LowerLaunches::runOnOperation() {
  ModuleOp module = getOperation();
  launchers.clear();
  names.clear();
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
  std::vector<AbiKernel> kernels;
  for (auto &[op, launcher] : launchers) {
    SymbolTable::setSymbolName(op, launcher.kernel.name);
    kernels.push_back(launcher.kernel);
  }
  numKernels += kernels.size();
  numLaunches += launches.size();
  module->setAttr("qlow.kernels", kernelsToAttribute(kernels, &getContext()));
}
