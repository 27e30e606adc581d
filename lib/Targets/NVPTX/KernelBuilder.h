//===- KernelBuilder.h - what schedules build kernels with ------*- C++ -*-===//
//
// The sizes of one matmul kernel, addresses in the device's memory, and the way from a sum through the epilogue region:
// the same in every schedule of this family.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TARGETS_NVPTX_KERNELBUILDER_H
#define QLOW_LIB_TARGETS_NVPTX_KERNELBUILDER_H

#include "IndexBuilder.h"
#include "qlow/Targets/Targets.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"

namespace qlow {

class KernelBuilder {
protected:
  /// Emits the sizes.
  KernelBuilder(mlir::OpBuilder &builder, MatmulKernelOp op, const Machine &machine);

  /// Where the machine has it, kernels are started while those before them end (programmatic dependent launch), and
  /// wait themselves: each thread before it reads what may be another kernel's, or writes. The first of these lets the
  /// next kernel start.
  void emitNextMayStart();
  void emitWaitForLast();
  /// Whether only load writes a memref, so that it may be read before the kernel in front has ended.
  static bool isWeight(mlir::Value memref);

  mlir::Value pointerOf(mlir::Value memref); ///< global memory
  mlir::Value offset(mlir::Value pointer, mlir::Value bytes);
  /// A map of a tensor for copies of boxes of `sizes`, or of fewer lines, the last dimension but one.
  mlir::Value emitTensorMap(mlir::Value memref, llvm::ArrayRef<int64_t> sizes,
                            mlir::nvgpu::TensorMapSwizzleKind swizzle, mlir::Value lines = {});
  /// A map of a dense tensor whose last two dimensions are read or written in boxes, swizzled.
  mlir::Value
  emitMatrixMap(mlir::Value memref, llvm::ArrayRef<int64_t> box, mlir::Value lines = {},
                mlir::nvgpu::TensorMapSwizzleKind swizzle = mlir::nvgpu::TensorMapSwizzleKind::SWIZZLE_128B);
  /// Maps of a matrix that is read in tiles of lines: of those that lie inside it, and, where there may be one, of the
  /// last that does not, with boxes of the lines that do.
  struct TileMaps {
    mlir::Value whole, last;
    explicit operator bool() const { return static_cast<bool>(whole); }
  };
  TileMaps emitTileMaps(mlir::Value memref, mlir::Value lines, llvm::ArrayRef<int64_t> box);
  /// Of `lines` in tiles of `tile`, those of the last: 1 to all, for no lines, too. Of the builder's type.
  static mlir::Value linesOfLast(IndexBuilder &builder, mlir::Value lines, int64_t tile);
  /// In a kernel: the maps' addresses, and that of the map for a tile of which `inside` lines lie inside.
  mlir::Value addressOf(mlir::Value map);
  TileMaps addressesOf(const TileMaps &maps) { return {addressOf(maps.whole), addressOf(maps.last)}; }
  mlir::Value mapOfTile(const TileMaps &maps, mlir::Value inside, int64_t lines);
  /// Writes 16 bytes at `first` behind `pointer`, and so on every `stride` bytes before `end`. All i32.
  void emitZeros(mlir::Value pointer, mlir::Value first, mlir::Value end, int64_t stride);
  /// A cache policy for what is read once, or by blocks that run side by side: it leaves the second-level cache before
  /// others. Tiles of weights that wait for memory take 2 to 5 % less time on an H100 that way.
  mlir::Value emitEvictFirst();
  /// Makes what the thread wrote to shared memory visible to copies and to matrix units.
  void emitProxyFence();
  void ifThen(mlir::Value condition, llvm::function_ref<void()> body);
  /// One scalar of an extra operand. All are index, and null where the extra does not depend on them.
  mlir::Value emitExtra(unsigned number, mlir::ValueRange batch, mlir::Value row, mlir::Value column);
  /// Says on a launch that its products are the row's; not where the sizes leave none to make.
  void markProducts(mlir::gpu::LaunchOp launch, const MultiplyRow &row);
  /// What the epilogue region makes of a sum and the extras' scalars.
  mlir::Value emitRegion(llvm::ArrayRef<mlir::Value> arguments);

  mlir::OpBuilder &builder;
  mlir::Location loc;
  IndexBuilder index, i32, i64;
  MatmulKernelOp op;
  const Machine &machine;
  bool overlapsLaunches; ///< see emitNextMayStart
  int64_t rank;
  mlir::Value m; ///< index
  llvm::SmallVector<mlir::Value> batchSizes;
  mlir::Value batchCount;
};

} // namespace qlow

#endif // QLOW_LIB_TARGETS_NVPTX_KERNELBUILDER_H
