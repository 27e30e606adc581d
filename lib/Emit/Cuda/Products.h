//===- Products.h - kernels that multiply -----------------------*- C++ -*-===//

#ifndef QLOW_LIB_EMIT_CUDA_PRODUCTS_H
#define QLOW_LIB_EMIT_CUDA_PRODUCTS_H

#include "Images.h"

namespace qlow {

/// A kernel that multiplies by a row, as its schedule says.
struct ProductKernel {
  llvm::SmallVector<mlir::Location> ops; ///< that it computes, one at least
  std::string name;
  const MultiplyRow *row;
  int64_t threads;      ///< of a block; 0: not known
  std::string portable; ///< the machine it is for in the image for later devices; empty: it is in the first
};

/// Those of a module's kernels. Code generation takes the kernels apart: ask before.
mlir::FailureOr<std::vector<ProductKernel>> findProducts(llvm::ArrayRef<mlir::gpu::GPUModuleOp> kernels,
                                                         const Target &target);

/// Fails where the report says that an instruction computes an op, and a kernel of the op computes it by another. Warns
/// where a kernel computes nothing, and where machine code, as far as it can be read, is without what the assembler
/// makes of the instruction. Adds to the report what each kernel takes of the device.
mlir::LogicalResult checkProducts(mlir::ModuleOp module, std::vector<ProductKernel> products, const Images &images,
                                  const AbiModule &abi, const Target &target, const ObjectOptions &options);

} // namespace qlow

#endif // QLOW_LIB_EMIT_CUDA_PRODUCTS_H
