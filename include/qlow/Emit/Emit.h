//===- Emit.h - object file, header and C ABI of a module -------*- C++ -*-===//
//
// The record of a module's C interface, from which the entry functions, the header's text and the object's `.qlow.abi`
// section are all made, and the way from the LLVM dialect to an object file. docs/Abi.md describes the interface for
// those who call it. Nothing here knows what a model computes.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_EMIT_EMIT_H
#define QLOW_EMIT_EMIT_H

#include "qlow/Targets/Targets.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/IntegerSet.h"
#include "mlir/Pass/Pass.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qlow {

//===----------------------------------------------------------------------===//
// The record of the interface
//===----------------------------------------------------------------------===//

/// What an entry returns in its lowest byte. The field's number stands above it; above the codes of a device, from
/// Driver on, the driver's own code.
enum class AbiCode { Ok, Null, Size, Align, Workspace, Cpu, Version, Driver = 16, Device, Memory, Load, Launch };

/// A size the caller passes, and its range.
struct AbiDim {
  std::string name;
  int64_t min = 0, max = INT32_MAX;
};

/// What sizes must be to each other: `text`, as in `a_d1 == b_d0`. Where it does not hold, `dim` is the size to blame.
struct AbiRule {
  int dim;
  std::string text;
};

/// One extent of a field's shape: the constant `size`, or ceil(dims[dim] / size).
struct AbiExtent {
  int dim = -1;
  int64_t size = 1;
  bool isDynamic() const { return dim >= 0; }
};

/// One argument or result, or one part of a quantized one: a pointer in the args struct, or a scalar by value.
struct AbiField {
  enum class Kind { Scalar, Input, Output, State };
  std::string name;
  Kind kind = Kind::Input;
  std::string element; ///< of storage, as MLIR spells it: f32, bf16, i8, ui16, ...
  std::vector<AbiExtent> shape;
  std::string value;  ///< the argument or result it is a part of
  std::string tensor; ///< that value's type, as MLIR spells it
  std::string part;   ///< codes, scale, zero, offset, scale_codes, ...; empty where the field is the whole value
  std::string op;     ///< the op it is the result of and its place, where that is kept beside the model's own results
  std::string note;   ///< the value in words, for the header
};

/// A member of the args struct as C lays it out.
struct AbiMember {
  enum class Kind { Size, Dim, Field, Workspace, WorkspaceSize, Parallel, Device, Stream };
  Kind kind;
  std::string name, cType;
  int index = 0;      ///< into dims or fields
  int64_t offset = 0; ///< in the struct, LP64
  int64_t number = 0; ///< unique in the module, from 1: what return codes name
};

struct AbiFunction {
  std::string name;
  std::vector<AbiDim> dims;
  std::vector<AbiField> fields;
  std::vector<AbiRule> rules;
  mlir::IntegerSet ruleSet; ///< the rules to compute with; null where there are none, or they were read from JSON
  std::vector<int> results; ///< which fields the function's results are written to, part by part; a state's twice
  int64_t firstNumber = 1;  ///< number of the args pointer itself; the members' follow
  bool device = false;      ///< its tensors are in a device's memory, and it takes device and stream, not parallel

  std::vector<AbiMember> members() const;
  /// Whether the sizes' ranges allow a tensor of more than 2^62 bytes.
  bool mayBeTooLarge(const AbiField &field) const;
  int64_t structBytes() const;
  int64_t workspaceAlignment() const;
  /// What a tensor's address must be a multiple of: its element's size, and on a device what its copies move at once,
  /// whichever instructions were chosen.
  int64_t alignmentOf(const AbiField &field) const;
  mlir::DictionaryAttr toAttribute(mlir::MLIRContext *context) const;
  static mlir::FailureOr<AbiFunction> fromAttribute(llvm::StringRef name, mlir::Attribute attribute);
};

/// A function that a device runs.
struct AbiKernel {
  std::string name;
  int64_t sharedBytes = 0; ///< the most dynamic shared memory a launch asks for
  bool clusters = false;   ///< launched in clusters of blocks
  bool maps = false;       ///< takes tensor maps
  bool waits = false;      ///< for the kernel in front itself, so that it may be started while that ends
  std::string image;       ///< the machine whose image alone has it; empty: all images do
};

/// What a module of kernels keeps in the caller's state.
struct AbiDevice {
  int64_t weightBytes = 0;
  std::string portable; ///< the machine of the image for later devices; empty: there is none
  std::vector<AbiKernel> kernels;
};

struct AbiModule {
  std::string prefix, target;
  std::vector<AbiFunction> functions;
  std::vector<std::string> cpuFeatures; ///< that check_cpu asks for
  bool openmp = false;
  std::optional<AbiDevice> device; ///< where the code that computes runs on a device

  /// What `qlow-record-abi` wrote on the functions or, after `qlow-build-entries`, what that wrote on the module. Fails
  /// with a diagnostic where there is neither.
  static mlir::FailureOr<AbiModule> read(mlir::ModuleOp module);
  /// Adds what the record says of the machine, and of the one that runs the entries.
  void setTarget(const Target &target, const Target &host);
  /// Whether functions work on a device's memory.
  bool isOnDevice() const;
  /// Symbols the object defines for its users.
  std::vector<std::string> entryNames() const;
  /// All that the header defines outside of structs: macros, enumerators, types, functions.
  std::vector<std::string> headerNames() const;
  /// All codes that the module's functions return and what they mean, by code.
  std::map<int32_t, std::string> messages() const;
  std::string toJson() const;
  static llvm::Expected<AbiModule> fromJson(llvm::StringRef text);
};

/// Size of an element in memory, 0 if it has no C type; `cType` gets the type's name.
int64_t abiElementBytes(llvm::StringRef element, std::string *cType = nullptr);
/// Why `name` can not be a name in C or C++, or an empty string; `suggestion` gets one that can.
std::string whyNotIdentifier(llvm::StringRef name, std::string &suggestion);
/// `name` with all that an identifier can not hold replaced.
std::string makeIdentifier(llvm::StringRef name);

/// The header: C99 and C++.
std::string writeHeader(const AbiModule &abi);

//===----------------------------------------------------------------------===//
// Code generation
//===----------------------------------------------------------------------===//

/// Of a device Assembly is its instructions, and DriverText what its driver assembles.
enum class Artifact { LlvmIr, DriverText, Assembly, Object };

/// What a kernel takes of a device, as its assembler says.
struct KernelUse {
  std::string name;
  int64_t registers = 0, spillBytes = 0, stackBytes = 0, sharedBytes = 0;
};

struct ObjectOptions {
  Artifact artifact = Artifact::Object;
  bool debug = false;                           ///< keep line tables
  bool assemble = true;                         ///< run a device's assembler if there is one
  std::string assembler;                        ///< its path; empty: on PATH, or where its toolkit installs itself
  std::vector<KernelUse> *kernelUses = nullptr; ///< gets what the assembler says
  /// Called while weights are written, which can take long: with 0 before, then with how many bytes of all are there.
  std::function<void(uint64_t written, uint64_t total)> onWeights;
};

/// Runs `body` on a thread with a deep stack; a crash or fatal error inside is reported as an error instead of ending
/// the process. What `body` allocated is lost then.
llvm::Error runGuarded(llvm::function_ref<void()> body);

/// Translates a module in the LLVM dialect and writes the artifact to `path`, a file that exists. For a device, kernels
/// are in gpu.modules; their images become part of the object. Weights are streamed into an object last. Erases the
/// module's qlow.weight and gpu.module ops.
mlir::LogicalResult emitArtifact(mlir::ModuleOp module, const AbiModule &abi, const Target &target,
                                 const ObjectOptions &options, llvm::StringRef path);

//===----------------------------------------------------------------------===//
// The report
//===----------------------------------------------------------------------===//

/// file:line of an op, as far as its location knows.
std::string placeOf(mlir::Location loc);
/// What computes each op, at what cost, and why nothing better, from the module's `qlow.report`: for people...
mlir::FailureOr<std::string> writeReport(mlir::ModuleOp module);
/// ...and for programs, an array of objects.
mlir::FailureOr<std::string> writeReportJson(mlir::ModuleOp module);
/// Fails with an error at each op that the report calls emulated.
mlir::LogicalResult requireNative(mlir::ModuleOp module);

//===----------------------------------------------------------------------===//
// Output files
//===----------------------------------------------------------------------===//

/// Files that appear together, whole, or not at all. Each is built in a temporary file beside its place and renamed by
/// `commit`; what is not a regular file is copied into. Without `commit` no trace is left.
class OutputFiles {
public:
  OutputFiles() = default;
  OutputFiles(const OutputFiles &) = delete;
  ~OutputFiles();
  /// The temporary file to write instead of `path`.
  llvm::Expected<std::string> create(llvm::StringRef path);
  llvm::Error write(llvm::StringRef path, llvm::StringRef text);
  /// Text for standard output, where it appears with the files or not at all.
  void print(llvm::StringRef text) { printed += text; }
  llvm::Error commit();

private:
  struct Pending {
    std::string path, target, temporary; ///< as given, without links, and beside that
    bool regular;
  };
  std::vector<Pending> pending;
  std::string printed;
};

/// Flushes standard output; a full disk or a closed pipe is an error.
llvm::Error flushStandardOutput();

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "qlow/Emit/Passes.h.inc"

} // namespace qlow

#endif // QLOW_EMIT_EMIT_H
