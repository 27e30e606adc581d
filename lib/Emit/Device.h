//===- Device.h - what a kind of device adds to an object -------*- C++ -*-===//
//
// An object for a device holds images of kernels and starts them from the host through the device's driver, whose
// interface has a folder of its own: Cuda. This class is all that the rest of the room needs of it; so that a second
// kind of device is a second folder. Between them stand the caller's state, which belongs to the driver's side, and the
// launch that an entry makes for one call.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_EMIT_DEVICE_H
#define QLOW_LIB_EMIT_DEVICE_H

#include "qlow/Emit/Emit.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace qlow {

/// Byte offsets in { const device *device; void *stream; int32_t status }, which an entry makes for one call. The
/// status is what the entry returns: launches write it.
constexpr int32_t kLaunchDevice = 0, kLaunchStream = 8, kLaunchStatus = 16, kLaunchBytes = 24;

/// The argument that holds the launch struct in the function around `op`, or null.
mlir::Value findLaunchArgument(mlir::Operation *op);

/// The kernels as they are recorded on the module that launches them.
mlir::ArrayAttr kernelsToAttribute(llvm::ArrayRef<AbiKernel> kernels, mlir::MLIRContext *context);
mlir::FailureOr<std::vector<AbiKernel>> kernelsFromAttribute(mlir::ModuleOp module);

class Device {
public:
  virtual ~Device() = default;
  /// The one kind there is. Objects of a second one would say in their record which they are.
  static const Device &get();

  //===--- What record and header say --------------------------------------===//

  /// What addresses of tensors are multiples of, for any instruction that may read them; and those of the workspace and
  /// of each weight.
  virtual int64_t tensorAlignment() const = 0;
  virtual int64_t memoryAlignment() const = 0;
  /// In words: the driver, and the types of its results and streams.
  struct Words {
    llvm::StringRef driver, result, stream;
  };
  virtual Words words() const = 0;
  /// The state's type and the functions of load, for the header.
  virtual void writeDeclarations(const AbiModule &abi, llvm::raw_ostream &os) const = 0;
  /// Texts of the codes from Driver on.
  virtual void addMessages(llvm::StringRef prefix, std::map<int32_t, std::string> &messages) const = 0;

  //===--- What entries do with the caller's state --------------------------===//

  /// Whether this object loaded it, as i1; and the result, in the driver's numbers, that says so where it did not.
  virtual mlir::Value emitIsLoaded(mlir::ImplicitLocOpBuilder &b, llvm::StringRef prefix, mlir::Value state) const = 0;
  virtual int32_t notLoaded() const = 0;
  /// Make the calling thread's the device that launches go to, and undo that: results of the driver, 0 for success.
  virtual mlir::Value emitEnter(mlir::ImplicitLocOpBuilder &b, mlir::Value state) const = 0;
  virtual mlir::Value emitLeave(mlir::ImplicitLocOpBuilder &b, mlir::Value state) const = 0;
  /// The address of the weights in the device's memory.
  virtual mlir::Value emitWeights(mlir::ImplicitLocOpBuilder &b, mlir::Value state) const = 0;
  /// `<prefix>_weights_size`, `_load`, `_adopt` and `_unload`.
  virtual void buildFunctions(mlir::ImplicitLocOpBuilder &b, const AbiModule &abi) const = 0;

  //===--- Code of kernels ---------------------------------------------------===//

  /// Generates code for kernels in the LLVM dialect. Of an object the images become part of `module`, where load finds
  /// them; else gives the text to show.
  virtual mlir::FailureOr<std::string> generate(mlir::ModuleOp module, llvm::ArrayRef<mlir::gpu::GPUModuleOp> kernels,
                                                const AbiModule &abi, const Target &target,
                                                const ObjectOptions &options) const = 0;
};

} // namespace qlow

#endif // QLOW_LIB_EMIT_DEVICE_H
