//===- Device.cpp - how a device object keeps what the driver gives ---------===//
//
// Tables of the CUDA driver's functions and results, offsets in the caller's state, and the few operations on it that
// load, entries and launches share. Builds no function.
//
//===----------------------------------------------------------------------===//

#include "Device.h"
#include "Entries.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace qlow;

ArrayRef<StringRef> qlow::driverFunctionNames() {
  static constexpr StringRef kNames[] = {"cuInit",
                                         "cuDeviceGet",
                                         "cuDeviceGetAttribute",
                                         "cuDevicePrimaryCtxRetain",
                                         "cuDevicePrimaryCtxRelease_v2",
                                         "cuCtxGetCurrent",
                                         "cuCtxSetCurrent",
                                         "cuCtxGetDevice",
                                         "cuCtxPushCurrent_v2",
                                         "cuCtxPopCurrent_v2",
                                         "cuModuleLoadDataEx",
                                         "cuModuleUnload",
                                         "cuModuleGetFunction",
                                         "cuFuncSetAttribute",
                                         "cuMemAlloc_v2",
                                         "cuMemFree_v2",
                                         "cuMemcpyHtoD_v2",
                                         "cuStreamSynchronize",
                                         "cuLaunchKernel",
                                         "cuLaunchKernelEx",
                                         "cuTensorMapEncodeTiled"};
  return kNames;
}

bool qlow::needsDriverFunction(const AbiDevice &device, DriverFunction function) {
  if (function == DriverFunction::LaunchKernelEx)
    return llvm::any_of(device.kernels, [](const AbiKernel &kernel) { return kernel.clusters; });
  if (function == DriverFunction::TensorMapEncode)
    return llvm::any_of(device.kernels, [](const AbiKernel &kernel) { return kernel.maps; });
  return true;
}

ArrayRef<CudaResultName> qlow::cudaResultNames() {
  static constexpr CudaResultName kNames[] = {
      {1, "INVALID_VALUE"},
      {2, "OUT_OF_MEMORY"},
      {3, "NOT_INITIALIZED"},
      {4, "DEINITIALIZED"},
      {34, "STUB_LIBRARY"},
      {46, "DEVICE_UNAVAILABLE"},
      {100, "NO_DEVICE"},
      {101, "INVALID_DEVICE"},
      {200, "INVALID_IMAGE"},
      {201, "INVALID_CONTEXT"},
      {209, "NO_BINARY_FOR_GPU"},
      {214, "ECC_UNCORRECTABLE"},
      {218, "INVALID_PTX"},
      {221, "JIT_COMPILER_NOT_FOUND"},
      {222, "UNSUPPORTED_PTX_VERSION"},
      {223, "JIT_COMPILATION_DISABLED"},
      {400, "INVALID_HANDLE"},
      {500, "NOT_FOUND"},
      {700, "ILLEGAL_ADDRESS"},
      {701, "LAUNCH_OUT_OF_RESOURCES"},
      {702, "LAUNCH_TIMEOUT"},
      {709, "CONTEXT_IS_DESTROYED"},
      {715, "ILLEGAL_INSTRUCTION"},
      {716, "MISALIGNED_ADDRESS"},
      {719, "LAUNCH_FAILED"},
      {801, "NOT_SUPPORTED"},
      {802, "SYSTEM_NOT_READY"},
      {803, "SYSTEM_DRIVER_MISMATCH"},
      {804, "COMPAT_NOT_SUPPORTED_ON_DEVICE"},
      {900, "STREAM_CAPTURE_UNSUPPORTED"},
      {901, "STREAM_CAPTURE_INVALIDATED"},
      {912, "CAPTURED_EVENT"},
      {999, "UNKNOWN"},
  };
  return kNames;
}

int64_t AbiDevice::stateWords() const {
  return int64_t(StateWord::Functions) + driverFunctionNames().size() + kernels.size();
}

int32_t qlow::wordOffset(StateWord word) { return 8 * int32_t(word); }
int32_t qlow::wordOffset(DriverFunction function) { return wordOffset(StateWord::Functions) + 8 * int32_t(function); }
int32_t qlow::kernelOffset(size_t kernel) {
  return wordOffset(StateWord::Functions) + 8 * int32_t(driverFunctionNames().size() + kernel);
}

//===----------------------------------------------------------------------===//
// Kernels on the module
//===----------------------------------------------------------------------===//

ArrayAttr qlow::kernelsToAttribute(ArrayRef<AbiKernel> kernels, MLIRContext *context) {
  Builder b(context);
  SmallVector<Attribute> entries;
  for (const AbiKernel &kernel : kernels)
    entries.push_back(b.getDictionaryAttr({b.getNamedAttr("name", b.getStringAttr(kernel.name)),
                                           b.getNamedAttr("shared", b.getI64IntegerAttr(kernel.sharedBytes)),
                                           b.getNamedAttr("clusters", b.getBoolAttr(kernel.clusters)),
                                           b.getNamedAttr("maps", b.getBoolAttr(kernel.maps))}));
  return b.getArrayAttr(entries);
}

FailureOr<std::vector<AbiKernel>> qlow::kernelsFromAttribute(ModuleOp module) {
  std::vector<AbiKernel> kernels;
  auto entries = module->getAttrOfType<ArrayAttr>("qlow.kernels");
  if (!entries)
    return module.emitError("expected 'qlow.kernels' on a module for a device: run qlow-lower-launches first");
  for (Attribute entry : entries) {
    auto fields = dyn_cast<DictionaryAttr>(entry);
    auto name = fields ? fields.getAs<StringAttr>("name") : StringAttr();
    auto shared = fields ? fields.getAs<IntegerAttr>("shared") : IntegerAttr();
    auto clusters = fields ? fields.getAs<BoolAttr>("clusters") : BoolAttr();
    auto maps = fields ? fields.getAs<BoolAttr>("maps") : BoolAttr();
    if (!name || !shared || !clusters || !maps)
      return module.emitError("expected 'qlow.kernels' as qlow-lower-launches writes it, a list of {name, shared, "
                              "clusters, maps}");
    kernels.push_back({name.str(), shared.getInt(), clusters.getValue(), maps.getValue()});
  }
  return kernels;
}

Value qlow::findLaunchArgument(Operation *op) {
  auto function = op->getParentOfType<FunctionOpInterface>();
  for (unsigned i = 0; function && i < function.getNumArguments(); ++i)
    if (function.getArgAttr(i, "qlow.launch"))
      return function.getArgument(i);
  return {};
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

static Value addressAt(ImplicitLocOpBuilder &b, Value address, int32_t offset) {
  if (offset == 0)
    return address;
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  return LLVM::GEPOp::create(b, pointer, b.getI8Type(), address, ArrayRef<LLVM::GEPArg>{offset});
}

Value qlow::loadAt(ImplicitLocOpBuilder &b, Type type, Value address, int32_t offset) {
  return LLVM::LoadOp::create(b, type, addressAt(b, address, offset));
}

void qlow::storeAt(ImplicitLocOpBuilder &b, Value value, Value address, int32_t offset) {
  LLVM::StoreOp::create(b, value, addressAt(b, address, offset));
}

Value qlow::callDriver(ImplicitLocOpBuilder &b, Value state, DriverFunction function, ValueRange operands) {
  auto type = LLVM::LLVMFunctionType::get(b.getI32Type(), llvm::to_vector(operands.getTypes()));
  SmallVector<Value> all{loadAt(b, LLVM::LLVMPointerType::get(b.getContext()), state, wordOffset(function))};
  llvm::append_range(all, operands);
  return LLVM::CallOp::create(b, type, all).getResult();
}

std::string qlow::imageFunctionName(StringRef prefix) { return (prefix + ".image").str(); }
std::string qlow::identityName(StringRef prefix) { return (prefix + ".identity").str(); }
