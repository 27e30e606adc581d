//===- Object.cpp - from the LLVM dialect to an object file ------------------===//
//
// In: a module in the LLVM dialect, its record, its target. Out: LLVM IR, assembly or an object in a file that exists.
// Everything runs guarded, with every error diagnostic of LLVM failing the job. Functions get the target's features one
// by one; entries and what they call before the processor was asked get none, so that they run anywhere. Bytes depend
// on the input alone.
//
//===----------------------------------------------------------------------===//

#include "ObjectFile.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;
using namespace qlow;

/// Scratch comes from the workspace: a frame beyond this is reported. Threads may have stacks as small as 128 KiB.
static constexpr unsigned kFrameBytes = 16 << 10;

namespace {
/// One compilation. It lives on the heap while LLVM runs: after a crash nothing of it may be destroyed.
class Job {
public:
  Job(ModuleOp module, const AbiModule &abi, const Target &target, const ObjectOptions &options, StringRef path)
      : module(module), abi(abi), machine(target.machine()), options(options), path(path) {}

  /// Fills `error` where it fails.
  void run(uint64_t weightBytes);
  std::string error;

private:
  bool createTargetMachine();
  bool translate();
  void prepareFunctions();
  void reserveSections(uint64_t weightBytes);
  void optimize();
  void generate();
  llvm::TargetLibraryInfoImpl libraryInfo() const;
  void handle(const llvm::DiagnosticInfo &info);
  bool isBaseline(StringRef name) const;
  bool fail(const Twine &what) {
    if (error.empty())
      error = what.str();
    return false;
  }

  ModuleOp module;
  const AbiModule &abi;
  const Machine &machine;
  const ObjectOptions &options;
  StringRef path;
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> llvmModule;
  std::unique_ptr<llvm::TargetMachine> targetMachine;
};
} // namespace

static void initializeTargets() {
  static const bool once = [] {
    llvm::InitializeAllTargetInfos();
    llvm::InitializeAllTargets();
    llvm::InitializeAllTargetMCs();
    llvm::InitializeAllAsmPrinters();
    llvm::InitializeAllAsmParsers();
    return true;
  }();
  (void)once;
}

bool Job::createTargetMachine() {
  initializeTargets();
  llvm::Triple triple(machine.triple);
  std::string why;
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, why);
  if (!target)
    return fail("target '" + machine.name + "': " + why);
  if (!triple.isOSBinFormatELF())
    return fail("target '" + machine.name + "': expected a triple whose objects are ELF, found '" + machine.triple +
                "'");
  // LLVM only warns about names it does not know, and aborts later.
  std::unique_ptr<llvm::MCSubtargetInfo> known(target->createMCSubtargetInfo(triple, "", ""));
  if (!known)
    return fail("target '" + machine.name + "': LLVM can not generate code for triple '" + machine.triple + "'");
  if (!machine.tune.empty() && !known->isCPUStringValid(machine.tune))
    return fail("target '" + machine.name + "': LLVM knows no processor '" + machine.tune + "' to tune for");
  for (const std::string &feature : machine.features)
    if (llvm::none_of(known->getAllProcessorFeatures(), [&](auto &row) { return feature == row.Key; }))
      return fail("target '" + machine.name + "': LLVM knows no feature '" + feature + "' of " + triple.getArchName());
  llvm::TargetOptions targetOptions;
  targetOptions.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  targetMachine.reset(target->createTargetMachine(triple, "", "", targetOptions, llvm::Reloc::PIC_, std::nullopt,
                                                  llvm::CodeGenOptLevel::Aggressive));
  return targetMachine || fail("target '" + machine.name + "': LLVM has no code generator for it");
}

void Job::handle(const llvm::DiagnosticInfo &info) {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::DiagnosticPrinterRawOStream printer(os);
  info.print(printer);
  if (info.getSeverity() == llvm::DS_Error)
    fail(text);
  else if (info.getSeverity() == llvm::DS_Warning)
    module.emitWarning(text);
}

bool Job::translate() {
  context.setDiagnosticHandlerCallBack(
      [](const llvm::DiagnosticInfo *info, void *job) { static_cast<Job *>(job)->handle(*info); }, this);
  DialectRegistry registry;
  registerAllToLLVMIRTranslations(registry);
  module.getContext()->appendDialectRegistry(registry);
  if (options.debug) {
    PassManager passes(module.getContext());
    passes.addPass(LLVM::createDIScopeForLLVMFuncOpPass());
    if (failed(passes.run(module)))
      return fail("no debug information could be made");
  }
  llvmModule = translateModuleToLLVMIR(module, context, abi.prefix);
  if (!llvmModule)
    return fail("the module could not be translated to LLVM IR");
  llvmModule->setTargetTriple(targetMachine->getTargetTriple());
  llvmModule->setDataLayout(targetMachine->createDataLayout());
  return true;
}

/// Whether a function may run before the processor was asked: entries and the sizes they compute.
bool Job::isBaseline(StringRef name) const {
  if (llvm::is_contained(abi.entryNames(), name))
    return true;
  return llvm::any_of(abi.functions, [&](const AbiFunction &function) {
    return name == abi.prefix + "." + function.name + ".workspace";
  });
}

void Job::prepareFunctions() {
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
    if (options.debug)
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
void Job::reserveSections(uint64_t weightBytes) {
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
    if (llvm::GlobalVariable *global = llvmModule->getNamedGlobal(symbol))
      global->setCodeModel(llvm::CodeModel::Large);
  }
  os << "\t.text\n";
  llvmModule->appendModuleInlineAsm(text);
}

/// The functions of libc that code may call; without the list loops become strlen and comparisons bcmp.
llvm::TargetLibraryInfoImpl Job::libraryInfo() const {
  llvm::TargetLibraryInfoImpl info(targetMachine->getTargetTriple());
  info.disableAllFunctions();
  for (llvm::LibFunc function : {llvm::LibFunc_memcpy, llvm::LibFunc_memmove, llvm::LibFunc_memset})
    info.setAvailable(function);
  return info;
}

void Job::optimize() {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graph;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(targetMachine.get());
  functions.registerPass([&] { return llvm::TargetLibraryAnalysis(libraryInfo()); });
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graph, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3).run(*llvmModule, modules);
}

void Job::generate() {
  std::error_code code;
  llvm::raw_fd_ostream os(path, code);
  if (code) {
    fail("can not write '" + path + "': " + code.message());
    return;
  }
  if (options.artifact == Artifact::LlvmIr) {
    llvmModule->print(os, nullptr);
  } else {
    llvm::legacy::PassManager passes;
    passes.add(new llvm::TargetLibraryInfoWrapperPass(libraryInfo()));
    auto type =
        options.artifact == Artifact::Object ? llvm::CodeGenFileType::ObjectFile : llvm::CodeGenFileType::AssemblyFile;
    if (targetMachine->addPassesToEmitFile(passes, os, nullptr, type))
      fail("LLVM can not write this kind of file for target '" + machine.name + "'");
    else
      passes.run(*llvmModule);
  }
  os.close();
  if (os.has_error()) {
    fail("can not write the output: " + os.error().message());
    os.clear_error();
  }
}

void Job::run(uint64_t weightBytes) {
  if (!createTargetMachine() || !translate())
    return;
  prepareFunctions();
  reserveSections(weightBytes);
  optimize();
  if (error.empty())
    generate();
}

LogicalResult qlow::emitArtifact(ModuleOp module, const AbiModule &abi, const Target &target,
                                 const ObjectOptions &options, StringRef path) {
  SmallVector<WeightOp> weights;
  uint64_t weightBytes = 0;
  for (auto weight : llvm::make_early_inc_range(module.getOps<WeightOp>())) {
    auto offset = weight->getAttrOfType<IntegerAttr>("qlow.offset");
    if (!offset)
      return weight.emitOpError("has no offset in the object: run qlow-place-weights");
    weightBytes = offset.getInt() + weight.getBytes();
    weights.push_back(weight);
    weight->remove();
  }
  llvm::scope_exit destroy([&] {
    for (WeightOp weight : weights)
      weight->destroy();
  });
  auto *job = new Job(module, abi, target, options, path);
  if (llvm::Error crash = runGuarded([&] { job->run(weightBytes); })) {
    // What LLVM left half done can not be destroyed.
    return module.emitError(llvm::toString(std::move(crash)))
           << " while generating code for target '" << target.machine().name << "'";
  }
  std::string error = std::move(job->error);
  delete job;
  if (!error.empty())
    return module.emitError(error);
  if (options.artifact != Artifact::Object)
    return success();
  if (llvm::Error missing = checkUndefinedSymbols(path, abi))
    return module.emitError(llvm::toString(std::move(missing)));
  if (!weights.empty())
    if (llvm::Error unwritten = writeWeights(path, abi.prefix + "_weights", weights, target))
      return module.emitError(llvm::toString(std::move(unwritten)));
  return success();
}
