//===- Driver.h - how an object keeps what the CUDA driver gives --*- C++ -*-===//
//
// The words of the caller's state `<prefix>_device` and the functions of the driver behind some of them. Numbers of the
// driver's interface are those of its cuda.h; they are part of its ABI.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_EMIT_CUDA_DRIVER_H
#define QLOW_LIB_EMIT_CUDA_DRIVER_H

#include "Device.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace qlow {

const Device &cudaDevice();

/// Words of the state, 8 bytes each; the driver's functions follow, then the kernels.
enum class StateWord {
  Identity, ///< an address of the object that loaded it; anything else: not loaded
  Context,
  Retained, ///< 1: the context is the device's primary one, and this state holds it
  Ordinal,  ///< the CUdevice
  Module,
  Weights, ///< device address
  Owned,   ///< device address of weights that load allocated
  Overlap, ///< 1: kernels that wait themselves are started while those in front of them end
  Functions
};

/// What load looks up in libcuda.so.1, in this order: the place is what code DRIVER counts from 1.
enum class DriverFunction {
  Init,
  DeviceGet,
  DeviceGetAttribute,
  PrimaryRetain,
  PrimaryRelease,
  GetCurrent,
  SetCurrent,
  GetDevice,
  PushCurrent,
  PopCurrent,
  ModuleLoad,
  ModuleUnload,
  ModuleGetFunction,
  FuncSetAttribute,
  MemAlloc,
  MemFree,
  MemcpyHtoD,
  StreamSynchronize,
  LaunchKernel,
  LaunchKernelEx,  ///< only where kernels are launched in clusters, or wait themselves
  TensorMapEncode, ///< only where kernels take tensor maps
  GetVersion,      ///< only where kernels wait themselves
};
llvm::ArrayRef<llvm::StringRef> driverFunctionNames();
/// Whether the module's objects call it.
bool needsDriverFunction(const AbiDevice &device, DriverFunction function);

/// Results that load and entries give themselves, in the driver's numbering.
enum CudaResult : int32_t { InvalidValue = 1, OutOfMemory = 2, NotInitialized = 3, NoBinaryForGpu = 209 };
struct CudaResultName {
  int32_t value;
  llvm::StringRef name;
};
/// Those that occur when programs are set up or launched.
llvm::ArrayRef<CudaResultName> cudaResultNames();

int64_t stateWords(const AbiDevice &device);
/// What addresses in the device's memory are multiples of, as cuMemAlloc gives them.
constexpr int64_t kMemoryAlignment = 256;

int32_t wordOffset(StateWord word);
int32_t wordOffset(DriverFunction function);
int32_t kernelOffset(size_t kernel);

/// On a kernel: places of the parameters that are tensor maps, see qlow-lower-launches.
constexpr llvm::StringLiteral kTensorMapsAttribute = "qlow.tensor_maps";

/// Calls a driver function through the state and gives its CUresult.
mlir::Value callDriver(mlir::ImplicitLocOpBuilder &b, mlir::Value state, DriverFunction function,
                       mlir::ValueRange operands);

/// See Device::buildFunctions.
void buildLoadFunctions(mlir::ImplicitLocOpBuilder &b, const AbiModule &abi);

/// The name of `ptr image(i32 capability, i32 n)`: the n-th best image for a device, null if there are no more. Load
/// calls it; the code generator, which makes the images, defines it.
std::string imageFunctionName(llvm::StringRef prefix);
/// The name of `i1 portable(ptr image)`: whether that image is the one for later devices. Where there is one, load
/// calls it, and the code generator defines it.
std::string portableFunctionName(llvm::StringRef prefix);
/// The address in an initialized state.
std::string identityName(llvm::StringRef prefix);

} // namespace qlow

#endif // QLOW_LIB_EMIT_CUDA_DRIVER_H
