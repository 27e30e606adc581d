//===- LoadedObject.h - calling an object in this process -------*- C++ -*-===//
//
// An object that qlowc wrote, linked into memory and called through the record of its interface; no C compiler needed.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_TOOLS_LOADEDOBJECT_H
#define QLOW_TOOLS_LOADEDOBJECT_H

#include "qlow/Emit/Emit.h"

#include "llvm/ExecutionEngine/Orc/LLJIT.h"

#include <functional>

namespace qlow {

/// What one call passes: sizes in the order of AbiFunction::dims; for each field a pointer to its memory, or to its
/// value where it is a scalar.
struct CallArguments {
  std::vector<int64_t> dims;
  std::vector<void *> fields;
  void *workspace = nullptr;
  size_t workspaceSize = 0;
};

class LoadedObject {
public:
  /// Reads and links the object at `path`; what is not an object of qlowc's is an error that says so.
  static llvm::Expected<LoadedObject> open(llvm::StringRef path);

  const AbiModule &abi() const { return interface; }
  /// Whether this machine can run it: 0, or the code that says what is missing.
  llvm::Expected<int32_t> checkCpu() const;
  /// Bytes of workspace, -1 for sizes out of range.
  llvm::Expected<int64_t> workspace(const AbiFunction &function, llvm::ArrayRef<int64_t> dims, int32_t width) const;
  /// A call of the entry in this thread, to be made once or often; it gives what the entry returns.
  llvm::Expected<std::function<int32_t()>> bind(const AbiFunction &function, const CallArguments &arguments) const;
  /// Makes that call.
  llvm::Expected<int32_t> call(const AbiFunction &function, const CallArguments &arguments) const;
  /// The entry's words for a code.
  std::string message(int32_t code) const;
  /// The address of any symbol the object defines.
  llvm::Expected<void *> lookup(llvm::StringRef symbol) const;

private:
  std::unique_ptr<llvm::orc::LLJIT> jit;
  AbiModule interface;
};

} // namespace qlow

#endif // QLOW_TOOLS_LOADEDOBJECT_H
