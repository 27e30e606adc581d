//===- KernelParameters.h - what kernels will take ----------------*- C++ -*-===//
//
// Counts the parameters that ops would have as one kernel, for passes that decide which become one.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TRANSFORMS_KERNELPARAMETERS_H
#define QLOW_LIB_TRANSFORMS_KERNELPARAMETERS_H

#include "mlir/IR/Operation.h"
#include "llvm/ADT/DenseSet.h"

namespace qlow {

/// Tensors, or their buffers, and numbers that ops are given from outside. A number that is computed moves to its
/// users, see LaunchLoops: what it is computed of counts.
class KernelParameters {
public:
  KernelParameters(llvm::ArrayRef<mlir::Operation *> ops = {}) {
    llvm::for_each(ops, [&](auto *op) { add(op); });
  }
  void add(mlir::Operation *op);
  /// Does not count the value from now on.
  void leaveOut(mlir::Value value) { known.insert(value); }
  int64_t getBytes() const { return bytes; }

private:
  llvm::DenseSet<mlir::Value> known;
  int64_t bytes = 0;
};

} // namespace qlow

#endif // QLOW_LIB_TRANSFORMS_KERNELPARAMETERS_H
