//===- Backend.h - LLVM's code generators, guarded --------------*- C++ -*-===//
//
// What generating code takes for any machine: names are checked before LLVM sees them, every error diagnostic fails the
// job, float operations are never contracted, calls of libraries are not invented. Host and device code derive from it.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_EMIT_BACKEND_H
#define QLOW_LIB_EMIT_BACKEND_H

#include "qlow/Emit/Emit.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Target/TargetMachine.h"

namespace qlow {

/// One compilation. It lives on the heap while LLVM runs: after a crash nothing of it may be destroyed.
class Backend {
public:
  /// `op` is what diagnostics are about.
  Backend(mlir::Operation *op, const Machine &machine, bool debug) : op(op), machine(machine), debug(debug) {}
  virtual ~Backend() = default;

  /// Says through `error` what failed first.
  virtual void run() = 0;
  std::string error;

protected:
  /// Checks triple, processor and features; empty `cpu`: code depends on the features of each function alone.
  bool createTargetMachine(llvm::StringRef cpu, llvm::StringRef features);
  /// Functions in the LLVM dialect as a module for the target machine; null where it fails.
  std::unique_ptr<llvm::Module> translate(mlir::ModuleOp source, llvm::StringRef name);
  void optimize(llvm::Module &module);
  void generate(llvm::Module &module, llvm::raw_pwrite_stream &os, llvm::CodeGenFileType type);
  bool fail(const llvm::Twine &what) {
    if (error.empty())
      error = what.str();
    return false;
  }
  /// What debug information says.
  virtual mlir::LLVM::DIEmissionKind lineTables() const { return mlir::LLVM::DIEmissionKind::LineTablesOnly; }
  /// Functions of libraries that code may call; without the list loops become strlen and comparisons bcmp.
  virtual llvm::ArrayRef<llvm::LibFunc> libraryFunctions() const { return {}; }
  llvm::Triple triple() const { return llvm::Triple(machine.triple); }

  mlir::Operation *op;
  const Machine &machine;
  const bool debug;
  llvm::LLVMContext context;
  std::unique_ptr<llvm::TargetMachine> targetMachine;

private:
  void handle(const llvm::DiagnosticInfo &info);
  llvm::TargetLibraryInfoImpl libraryInfo() const;
};

/// Runs a job guarded; a message and null where it fails. A job that crashed stays in memory.
template <typename Job>
std::unique_ptr<Job> runBackend(std::unique_ptr<Job> job, mlir::Operation *op, llvm::StringRef what) {
  llvm::Error crash = runGuarded([&] { job->run(); });
  if (!crash && job->error.empty())
    return job;
  if (!crash) {
    op->emitError(job->error);
    return nullptr;
  }
  (void)job.release(); // what LLVM left half done can not be destroyed
  op->emitError(llvm::toString(std::move(crash))) << " while generating code for target '" << what << "'";
  return nullptr;
}

} // namespace qlow

#endif // QLOW_LIB_EMIT_BACKEND_H
