//===- Object.cpp - from the LLVM dialect to an object file ------------------===//
//
// In: a module in the LLVM dialect, its record, its target. Out: LLVM IR, assembly or an object in a file that exists.
// Everything runs guarded, with every error diagnostic of LLVM failing the job. Functions get the target's features one
// by one; entries and what they call before the processor was asked get none, so that they run anywhere. Bytes depend
// on the input alone.
//
//===----------------------------------------------------------------------===//

#include "Backend.h"
#include "Device.h"
#include "Entries.h"
#include "ObjectFile.h"

#include "llvm/Support/FileSystem.h"

using namespace mlir;
using namespace qlow;

/// Scratch comes from the workspace: a frame beyond this is reported. Threads may have stacks as small as 128 KiB.
static constexpr unsigned kFrameBytes = 16 << 10;

namespace {
class ObjectJob final : public Backend {
public:
  ObjectJob(ModuleOp module, const AbiModule &abi, const Machine &machine, const ObjectOptions &options, StringRef path,
            uint64_t weightBytes)
      : Backend(module, machine, options.debug), module(module), abi(abi), options(options), path(path),
        weightBytes(weightBytes) {}

  void run() override;

private:
  void prepareFunctions();
  void reserveSections();
  void write();
  bool isBaseline(StringRef name) const;
  ArrayRef<llvm::LibFunc> libraryFunctions() const override {
    static constexpr llvm::LibFunc kFunctions[] = {llvm::LibFunc_memcpy, llvm::LibFunc_memmove, llvm::LibFunc_memset};
    return kFunctions;
  }

  ModuleOp module;
  const AbiModule &abi;
  const ObjectOptions &options;
  StringRef path;
  uint64_t weightBytes;
  std::unique_ptr<llvm::Module> llvmModule;
};
} // namespace

/// Whether a function may run before the processor was asked: entries and the sizes they compute.
bool ObjectJob::isBaseline(StringRef name) const {
  if (llvm::is_contained(abi.entryNames(), name))
    return true;
  return llvm::any_of(abi.functions, [&](const AbiFunction &function) {
    return name == modelPrefix(abi.prefix) + function.name + ".workspace";
  });
}

void ObjectJob::prepareFunctions() {
  std::vector<std::string> exported = abi.entryNames();
  std::string features;
  for (const std::string &feature : machine.features)
    features += (features.empty() ? "+" : ",+") + feature;
  for (llvm::Function &function : *llvmModule) {
    if (function.isDeclaration())
      continue;
    if (!llvm::is_contained(exported, function.getName()))
      function.setLinkage(llvm::GlobalValue::InternalLinkage);
    function.setDoesNotThrow();
    function.addFnAttr("warn-stack-size", std::to_string(kFrameBytes));
    if (debug)
      function.setUWTableKind(llvm::UWTableKind::Async);
    if (isBaseline(function.getName()))
      continue;
    if (!features.empty())
      function.addFnAttr("target-features", features);
    if (!machine.tune.empty())
      function.addFnAttr("tune-cpu", machine.tune);
  }
  for (llvm::GlobalVariable &global : llvmModule->globals())
    if (!global.isDeclaration())
      global.setLinkage(llvm::GlobalValue::InternalLinkage);
}

/// `text` inside an assembler's string.
static std::string octalEscapes(StringRef text) {
  std::string result;
  for (unsigned char c : text) {
    if (c == '"' || c == '\\' || !llvm::isPrint(c)) {
      result += '\\';
      for (int shift : {6, 3, 0})
        result += char('0' + ((c >> shift) & 7));
    } else {
      result += char(c);
    }
  }
  return result;
}

/// The record, which is not loaded with the program, and room for the weights.
void ObjectJob::reserveSections() {
  std::string text;
  llvm::raw_string_ostream os(text);
  std::string json = abi.toJson();
  os << "\t.section .qlow.abi,\"\",@progbits\n";
  for (StringRef rest = json; !rest.empty(); rest = rest.drop_front(std::min<size_t>(rest.size(), 4096)))
    os << "\t.ascii \"" << octalEscapes(rest.take_front(4096)) << "\"\n";
  if (weightBytes) {
    // Large data: beyond 2 GiB the program's own references to .rodata would no longer reach.
    std::string symbol = abi.prefix + "_weights";
    bool large = targetMachine->getTargetTriple().isX86_64();
    os << "\t.section " << (large ? ".lrodata." : ".rodata.") << abi.prefix << ",\"a" << (large ? "l" : "")
       << "\",@progbits\n\t.balign 64\n\t.hidden " << symbol << "\n\t.globl " << symbol << "\n\t.type " << symbol
       << ",@object\n"
       << symbol << ":\n\t.zero " << weightBytes << "\n\t.size " << symbol << ", " << weightBytes << "\n";
    if (options.artifact != Artifact::Object)
      os << "\t/* zeros in place of the weights: only an object has them */\n";
    if (llvm::GlobalVariable *global = llvmModule->getNamedGlobal(symbol))
      global->setCodeModel(llvm::CodeModel::Large);
  }
  os << "\t.text\n";
  llvmModule->appendModuleInlineAsm(text);
}

void ObjectJob::write() {
  std::error_code code;
  llvm::raw_fd_ostream os(path, code);
  if (code) {
    fail("can not write '" + path + "': " + code.message());
    return;
  }
  if (options.artifact == Artifact::LlvmIr)
    llvmModule->print(os, nullptr);
  else
    generate(*llvmModule, os,
             options.artifact == Artifact::Object ? llvm::CodeGenFileType::ObjectFile
                                                  : llvm::CodeGenFileType::AssemblyFile);
  os.close();
  if (os.has_error()) {
    fail("can not write the output: " + os.error().message());
    os.clear_error();
  }
}

void ObjectJob::run() {
  if (!createTargetMachine("", ""))
    return;
  if (!triple().isOSBinFormatELF()) {
    fail("target '" + machine.name + "': expected a triple whose objects are ELF, found '" + machine.triple + "'");
    return;
  }
  llvmModule = translate(module, abi.prefix);
  if (!llvmModule)
    return;
  prepareFunctions();
  reserveSections();
  optimize(*llvmModule);
  if (error.empty())
    write();
}

namespace {
/// Operations that are no part of the host's program: they leave the module and are destroyed in the end.
class Removed {
public:
  template <typename Op> std::vector<Op> take(ModuleOp module) {
    auto taken = llvm::to_vector(module.getOps<Op>());
    for (Op op : taken) {
      op->remove();
      ops.push_back(op);
    }
    return {taken.begin(), taken.end()};
  }
  ~Removed() {
    for (Operation *op : ops)
      op->destroy();
  }

private:
  std::vector<Operation *> ops;
};
} // namespace

static LogicalResult writeText(ModuleOp module, StringRef path, StringRef text, bool append = false) {
  std::error_code code;
  llvm::raw_fd_ostream os(path, code, append ? llvm::sys::fs::OF_Append : llvm::sys::fs::OF_None);
  if (!code) {
    os << text;
    os.close();
    code = os.error();
    os.clear_error();
  }
  return code ? module.emitError("can not write '" + path + "': " + code.message()) : success();
}

/// Room for weights is zeros at first: too many would fill the disk before anything failed.
static LogicalResult checkSpace(ArrayRef<WeightOp> weights, StringRef path, uint64_t weightBytes) {
  auto space = llvm::sys::fs::disk_space(path);
  if (!space || weightBytes <= space->available)
    return success();
  WeightOp largest = *llvm::max_element(weights, [](WeightOp a, WeightOp b) { return a.getBytes() < b.getBytes(); });
  return emitError(largest->getLoc()) << "the weights take " << weightBytes << " bytes, " << largest.getBytes()
                                      << " of them for this one, and " << space->available
                                      << " are free where the object is written";
}

LogicalResult qlow::emitArtifact(ModuleOp module, const AbiModule &abi, const Target &target,
                                 const ObjectOptions &options, StringRef path) {
  const std::string &name = target.machine().name;
  if (abi.device.has_value() != target.family().runsOnDevice())
    return module.emitError("the module was made for target '" + abi.target + "', which '" + name +
                            "' is not like: one " + "of them is a device");
  if (options.artifact == Artifact::DriverText && !abi.device)
    return module.emitError("target '" + name + "' is not a device: it has no kernels for a driver to assemble");
  Removed removed;
  std::vector<WeightOp> weights = removed.take<WeightOp>(module);
  std::vector<gpu::GPUModuleOp> kernels = removed.take<gpu::GPUModuleOp>(module);
  uint64_t weightBytes = weights.empty() ? 0 : 1; // those without elements have an address too
  for (WeightOp weight : weights) {
    auto offset = weight->getAttrOfType<IntegerAttr>("qlow.offset");
    if (!offset)
      return weight.emitOpError("has no offset in the object: run qlow-place-weights");
    weightBytes = std::max<uint64_t>(weightBytes, offset.getInt() + weight.getBytes());
  }
  if (options.artifact == Artifact::Object && failed(checkSpace(weights, path, weightBytes)))
    return failure();
  std::shared_ptr<const Target> host;
  std::string kernelText;
  if (abi.device) {
    auto found = Target::find(target.machine().host);
    if (!found)
      return module.emitError(llvm::toString(found.takeError()));
    host = *found;
    auto text = Device::get().generate(module, kernels, abi, target, options);
    if (failed(text))
      return failure();
    if (options.artifact == Artifact::DriverText || options.artifact == Artifact::Assembly)
      return writeText(module, path, *text);
    kernelText = std::move(*text);
  }
  const Machine &machine = host ? host->machine() : target.machine();
  auto job = std::make_unique<ObjectJob>(module, abi, machine, options, path, weightBytes);
  if (!runBackend(std::move(job), module, machine.name))
    return failure();
  if (options.artifact != Artifact::Object && weightBytes)
    module.emitRemark() << "text has zeros in place of the " << weightBytes
                        << " bytes of weights: to run it, compile to an object";
  if (options.artifact == Artifact::LlvmIr && abi.device)
    return writeText(module, path, "\n; kernels\n" + kernelText, /*append=*/true);
  if (options.artifact != Artifact::Object)
    return success();
  if (llvm::Error missing = checkUndefinedSymbols(path, abi))
    return module.emitError(llvm::toString(std::move(missing)));
  if (!weights.empty())
    if (llvm::Error unwritten = writeWeights(path, abi.prefix + "_weights", weights, options))
      return module.emitError(llvm::toString(std::move(unwritten)));
  return success();
}
