//===- MachineLimits.h - how fast this machine can multiply and read -*- C++ -*-===//

#ifndef QLOW_TOOLS_MACHINELIMITS_H
#define QLOW_TOOLS_MACHINELIMITS_H

#include "LoadedObject.h"

#include "qlow/Targets/Targets.h"

namespace qlow {

/// Writes the module's object to a temporary file and loads it.
llvm::Expected<LoadedObject> emitAndLoad(mlir::ModuleOp module, const AbiModule &abi, const Target &target);

/// Loops that do one thing as fast as the machine can. Each call gives how much of it was done.
class MachineLimits {
public:
  static llvm::Expected<MachineLimits> compile(mlir::MLIRContext &context, const Target &target,
                                               const MultiplyRow &row);

  /// Multiply-adds by the row's instruction, on registers alone.
  double multiply() const;
  /// Bytes read once from front to back; the first 512 are written.
  double readMemory(llvm::MutableArrayRef<char> memory) const;

private:
  using Loop = void (*)(void *, int64_t);
  explicit MachineLimits(LoadedObject object) : object(std::move(object)) {}

  LoadedObject object;
  Loop peak = nullptr, read = nullptr;
  double multiplies = 0;
};

} // namespace qlow

#endif // QLOW_TOOLS_MACHINELIMITS_H
