//===- Launcher.h - the function that launches a kernel ---------*- C++ -*-===//

#ifndef QLOW_LIB_EMIT_CUDA_LAUNCHER_H
#define QLOW_LIB_EMIT_CUDA_LAUNCHER_H

#include "Driver.h"

#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"

namespace qlow {

using TensorMapType = mlir::nvgpu::TensorMapDescriptorType;

/// cuda.h: CUtensorMap.
constexpr int64_t kMapBytes = 128, kMapAlignment = 64;

/// The driver's number of an element type of tensor maps, or none.
std::optional<int32_t> tensorMapElement(mlir::Type type);

/// Values that a launcher takes for a kernel's parameters: one for each; for a tensor map its tensor's pointer, sizes
/// and strides, and the sizes of the box.
struct Parameters {
  llvm::SmallVector<mlir::Value> values;
  llvm::SmallVector<TensorMapType> maps; ///< by parameter; null: a value
  int64_t bytes = 0;                     ///< of the kernel's parameters
};

/// A kernel and the function that launches it.
struct Launcher {
  AbiKernel kernel;
  size_t number = 0; ///< among the module's kernels
  mlir::LLVM::LLVMFuncOp function;
  llvm::SmallVector<mlir::Type> operandTypes; ///< of its launches
};

/// Builds void launch(launch, grid[3], block[3], shared, [cluster[3]], parameters...): sizes i64, shared i32.
mlir::LLVM::LLVMFuncOp buildLauncher(mlir::ImplicitLocOpBuilder &b, const Launcher &launcher, llvm::StringRef name,
                                     const Parameters &parameters);

} // namespace qlow

#endif // QLOW_LIB_EMIT_CUDA_LAUNCHER_H
