//===- Driver.cpp - how an object keeps what the CUDA driver gives ----------===//
//
// Tables of the driver's functions and results, offsets in the caller's state, and the call of a function through it.
//
//===----------------------------------------------------------------------===//

#include "Driver.h"

#include "Entries.h"

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
                                         "cuTensorMapEncodeTiled",
                                         "cuDriverGetVersion"};
  return kNames;
}

bool qlow::needsDriverFunction(const AbiDevice &device, DriverFunction function) {
  if (function == DriverFunction::LaunchKernelEx)
    return llvm::any_of(device.kernels, [](const AbiKernel &kernel) { return kernel.clusters || kernel.waits; });
  if (function == DriverFunction::TensorMapEncode)
    return llvm::any_of(device.kernels, [](const AbiKernel &kernel) { return kernel.maps; });
  if (function == DriverFunction::GetVersion)
    return llvm::any_of(device.kernels, [](const AbiKernel &kernel) { return kernel.waits; });
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

int64_t qlow::stateWords(const AbiDevice &device) {
  return int64_t(StateWord::Functions) + driverFunctionNames().size() + device.kernels.size();
}

int32_t qlow::wordOffset(StateWord word) { return 8 * int32_t(word); }
int32_t qlow::wordOffset(DriverFunction function) { return wordOffset(StateWord::Functions) + 8 * int32_t(function); }
int32_t qlow::kernelOffset(size_t kernel) {
  return wordOffset(StateWord::Functions) + 8 * int32_t(driverFunctionNames().size() + kernel);
}

Value qlow::callDriver(ImplicitLocOpBuilder &b, Value state, DriverFunction function, ValueRange operands) {
  auto type = LLVM::LLVMFunctionType::get(b.getI32Type(), llvm::to_vector(operands.getTypes()));
  SmallVector<Value> all{loadAt(b, LLVM::LLVMPointerType::get(b.getContext()), state, wordOffset(function))};
  llvm::append_range(all, operands);
  return LLVM::CallOp::create(b, type, all).getResult();
}

std::string qlow::imageFunctionName(StringRef prefix) { return (prefix + ".image").str(); }
std::string qlow::portableFunctionName(StringRef prefix) { return (prefix + ".portable").str(); }
std::string qlow::identityName(StringRef prefix) { return (prefix + ".identity").str(); }
