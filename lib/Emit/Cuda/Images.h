//===- Images.h - images of a module's kernels ------------------*- C++ -*-===//
//
// What the driver loads: PTX for it to assemble, and the cubin that ptxas makes of it where there is one.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_EMIT_CUDA_IMAGES_H
#define QLOW_LIB_EMIT_CUDA_IMAGES_H

#include "qlow/Emit/Emit.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace qlow {

/// All kernels of a module, as far as the artifact needs them.
struct Images {
  std::string llvmIr; ///< where that is the artifact; nothing else is generated then
  std::string ptx;
  std::string cubin;       ///< empty: not assembled
  int capability = 0;      ///< 10 * major + minor
  bool isExact = false;    ///< the PTX runs on this capability only, not on later ones
  std::string portablePtx; ///< of the machine whose code later devices run; empty: there is none
  int portableCapability = 0;
  std::vector<KernelUse> uses; ///< as the assembler says of the first
};

/// Generates code for kernels in the LLVM and NVVM dialects.
mlir::FailureOr<Images> generateImages(mlir::ModuleOp module, llvm::ArrayRef<mlir::gpu::GPUModuleOp> kernels,
                                       const AbiModule &abi, const Machine &machine, const ObjectOptions &options);

/// Runs ptxas over images.ptx and fills in images.cubin, which stays empty where there is no ptxas, or with a warning
/// where it fails. An assembler that was asked for by path must be there, and one that never ends is an error.
llvm::LogicalResult assemble(mlir::ModuleOp module, Images &images, const Machine &machine,
                             const ObjectOptions &options);

/// The instructions of a cubin as nvdisasm or cuobjdump prints them.
llvm::Expected<std::string> disassemble(const Images &images, const ObjectOptions &options);

/// Makes the images part of the host's module: constants, and the function by which load finds them.
void embedImages(mlir::ModuleOp module, llvm::StringRef prefix, const Images &images);

} // namespace qlow

#endif // QLOW_LIB_EMIT_CUDA_IMAGES_H
