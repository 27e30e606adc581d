//===- Device.h - how a device object keeps what the driver gives --*- C++ -*-===//
//
// The words of the caller's state `<prefix>_device`, the functions of the CUDA driver behind some of them, and the
// struct through which the launches of one call share their outcome. Numbers of the driver's interface are those of its
// cuda.h; they are part of its ABI.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_EMIT_DEVICE_H
#define QLOW_LIB_EMIT_DEVICE_H

#include "qlow/Emit/Emit.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace qlow {

/// Words of the state, 8 bytes each; the driver's functions follow, then the kernels.
enum class StateWord {
  Identity, ///< an address of the object that loaded it; anything else: not loaded
  Context,
  Retained, ///< 1: the context is the device's primary one, and this state holds it
  Ordinal,  ///< the CUdevice
  Module,
  Weights, ///< device address
  Owned,   ///< device address of weights that load allocated
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
  LaunchKernelEx,  ///< only where kernels are launched in clusters
  TensorMapEncode, ///< only where kernels take tensor maps
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

/// Byte offsets in { const device *device; void *stream; int32_t status }, which an entry makes for one call.
constexpr int32_t kLaunchDevice = 0, kLaunchStream = 8, kLaunchStatus = 16, kLaunchBytes = 24;

int32_t wordOffset(StateWord word);
int32_t wordOffset(DriverFunction function);
int32_t kernelOffset(size_t kernel);

/// The kernels as `qlow-lower-launches` records them on the module.
mlir::ArrayAttr kernelsToAttribute(llvm::ArrayRef<AbiKernel> kernels, mlir::MLIRContext *context);
mlir::FailureOr<std::vector<AbiKernel>> kernelsFromAttribute(mlir::ModuleOp module);

/// On a kernel: places of the parameters that are tensor maps, see qlow-lower-launches.
constexpr llvm::StringLiteral kTensorMapsAttribute = "qlow.tensor_maps";

/// The argument that holds the launch struct in the function around `op`, or null.
mlir::Value findLaunchArgument(mlir::Operation *op);

/// A value `offset` bytes behind an address.
mlir::Value loadAt(mlir::ImplicitLocOpBuilder &b, mlir::Type type, mlir::Value address, int32_t offset);
void storeAt(mlir::ImplicitLocOpBuilder &b, mlir::Value value, mlir::Value address, int32_t offset);
/// Calls a driver function through the state and gives its CUresult.
mlir::Value callDriver(mlir::ImplicitLocOpBuilder &b, mlir::Value state, DriverFunction function,
                       mlir::ValueRange operands);

/// `<prefix>_weights_size`, `_load`, `_adopt` and `_unload`.
void buildDeviceFunctions(mlir::ImplicitLocOpBuilder &b, const AbiModule &abi);

/// The name of `ptr image(i32 capability, i32 n)`: the n-th best image for a device, null if there are no more. Load
/// calls it; the code generator, which makes the images, defines it.
std::string imageFunctionName(llvm::StringRef prefix);
/// The address in an initialized state.
std::string identityName(llvm::StringRef prefix);

} // namespace qlow

#endif // QLOW_LIB_EMIT_DEVICE_H
