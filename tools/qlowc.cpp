//===- qlowc.cpp - compile a model to an object file and a header -----------===//
//
// The command line of the compiler: what to read, for which machine, what to write. Exit code 0 and every output, or 1,
// a message and no output. Options take one or two dashes.
//
//===----------------------------------------------------------------------===//

#include "HostTarget.h"
#include "ModelFile.h"
#include "Stages.h"

#include "qlow/Emit/Emit.h"
#include "qlow/Import/Import.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/IR/AsmState.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <csignal>

using namespace mlir;
using namespace qlow;
namespace cl = llvm::cl;

namespace {
enum class Emit { Mlir, Llvm, Ptx, Asm, Obj };
enum class Threads { None, OpenMP };

/// The command line. It is made in main, after LLVM's own options are gone: some have the same names.
struct Options {
  cl::list<std::string> inputs{cl::Positional, cl::desc("<model.mlir, or - for standard input>")};
  cl::opt<std::string> targetName{"target", cl::desc("Machine to compile for: a name, a JSON file, or host"),
                                  cl::init("generic")};
  cl::opt<std::string> output{"o", cl::desc("Output, - for standard output; the header goes beside an object"),
                              cl::value_desc("file")};
  cl::opt<std::string> prefix{"prefix",
                              cl::desc("Prefix of all symbols; else the module's name, else the output's stem")};
  cl::opt<Emit> emitKind{
      "emit", cl::desc("What to write:"), cl::init(Emit::Obj),
      cl::values(clEnumValN(Emit::Mlir, "mlir", "MLIR after qlow-pack-weights"),
                 clEnumValN(Emit::Llvm, "llvm", "LLVM IR after optimization, zeros for weights"),
                 clEnumValN(Emit::Ptx, "ptx", "PTX, of a device"),
                 clEnumValN(Emit::Asm, "asm", "assembly, zeros for weights; of a device its instructions"),
                 clEnumValN(Emit::Obj, "obj", "an object and its header"))};
  cl::opt<std::string> startAfter{"start-after", cl::desc("Read what -stop-after printed and go on behind this pass"),
                                  cl::value_desc("pass")};
  cl::opt<std::string> stopAfter{"stop-after", cl::desc("Print the MLIR after this pass instead"),
                                 cl::value_desc("pass")};
  cl::opt<Threads> threads{"threads", cl::desc("Ready-made parallel run in the object:"), cl::init(Threads::None),
                           cl::values(clEnumValN(Threads::None, "none", "none"),
                                      clEnumValN(Threads::OpenMP, "openmp", "PREFIX_openmp, on OpenMP's threads"))};
  cl::opt<std::string> explain{"explain", cl::ValueOptional, cl::value_desc("file.json"),
                               cl::desc("Say what computes each op, at what cost, and why nothing better does")};
  cl::opt<bool> keepIntermediates{"keep-intermediates",
                                  cl::desc("Return each quantized op's result too, for qlow-run --check --ops")};
  cl::opt<bool> fastSums{"fast-sums", cl::desc("Let matrix units sum products of 8-bit floats over all of K; see "
                                               "docs/Semantics.md for what that loses")};
  cl::opt<bool> native{"require-native", cl::desc("Fail where an op would be emulated")};
  cl::opt<bool> debug{"g", cl::desc("Line tables that name the model's ops")};
  cl::opt<std::string> ptxas{"ptxas", cl::desc("NVIDIA's assembler; else on PATH or in /usr/local/cuda/bin"),
                             cl::value_desc("path")};
  cl::opt<bool> noPtxas{"no-ptxas", cl::desc("Leave assembling PTX to the driver")};
  cl::opt<bool> verbose{"v", cl::desc("Print the time of each stage to stderr")};
  cl::opt<bool> listTargets{"list-targets", cl::desc("List the machines")};
  cl::opt<bool> listFormats{"list-formats", cl::desc("List the number formats of codes")};
  cl::opt<bool> listInstructions{"list-instructions", cl::desc("List the multiply instructions of the target")};
  cl::opt<std::string> printTarget{"print-target", cl::desc("Print a machine's description as JSON"),
                                   cl::value_desc("target")};
};
Options &options() {
  static Options all;
  return all;
}
} // namespace

static int fail(const Twine &what) {
  clearProgress();
  llvm::errs() << "qlowc: error: " << what << "\n";
  return 1;
}

/// An error whose text is empty was said by a diagnostic.
static int fail(llvm::Error error) {
  std::string text = llvm::toString(std::move(error));
  return text.empty() ? 1 : fail(text);
}

//===----------------------------------------------------------------------===//
// Targets
//===----------------------------------------------------------------------===//

static int printLists() {
  if (options().listTargets)
    for (StringRef name : Target::names()) {
      auto target = Target::find(name);
      if (!target)
        return fail(target.takeError());
      llvm::outs() << llvm::left_justify(name, 14) << (*target)->machine().description << "\n";
    }
  if (options().listFormats)
    for (const Format &format : codeFormats())
      llvm::outs() << llvm::left_justify(StringRef(format.name), 14) << format.codesPerGroup << " in "
                   << format.bytesPerGroup << (format.bytesPerGroup == 1 ? " byte" : " bytes")
                   << llvm::format(", values from %g to %g\n", format.minValue(), format.maxValue());
  if (options().listInstructions || !options().printTarget.empty()) {
    auto target =
        Target::find(resolveTarget(options().printTarget.empty() ? options().targetName : options().printTarget));
    if (!target)
      return fail(target.takeError());
    if (!options().printTarget.empty())
      llvm::outs() << printMachine((*target)->machine()) << "\n";
    if (options().listInstructions)
      for (const MultiplyRow *row : (*target)->rows()) {
        std::string missing = (*target)->missing(*row);
        bool emulated = row->isVirtual() || row->features.empty();
        llvm::outs() << llvm::left_justify(row->id, 48) << llvm::left_justify(row->instruction, 32)
                     << (!missing.empty() ? "needs " + missing
                         : emulated       ? "emulated"
                                          : "native")
                     << "\n";
      }
  }
  if (llvm::Error error = flushStandardOutput())
    return fail(std::move(error));
  return 0;
}

//===----------------------------------------------------------------------===//
// Compilation
//===----------------------------------------------------------------------===//

static StringRef input() { return options().inputs.front(); }

static std::string headerPath() {
  llvm::SmallString<128> header(options().output);
  llvm::sys::path::replace_extension(header, ".h");
  return header.str().str();
}

static bool isText() { return options().emitKind != Emit::Obj || !options().stopAfter.empty(); }

static std::string defaultPrefix(ModuleOp module) {
  if (!options().prefix.empty())
    return options().prefix;
  if (module.getName())
    return makeIdentifier(*module.getName());
  return makeIdentifier(llvm::sys::path::stem(
      options().output.empty() || options().output == "-" ? input() : StringRef(options().output)));
}

static LogicalResult runPipeline(ModuleOp module, const std::string &target) {
  PassManager passes(module->getName());
  PipelineOptions pipeline;
  pipeline.target = target;
  pipeline.prefix = defaultPrefix(module);
  pipeline.openmp = options().threads == Threads::OpenMP;
  pipeline.startAfter = options().startAfter;
  pipeline.stopAfter = options().stopAfter;
  pipeline.fastSums = options().fastSums;
  pipeline.keepIntermediates = options().keepIntermediates;
  if (pipeline.stopAfter.empty() && options().emitKind == Emit::Mlir)
    pipeline.stopAfter = "qlow-pack-weights";
  if (pipeline.startAfter.empty())
    buildImportPipeline(passes);
  bool startIsKnown = pipeline.startAfter.empty() || llvm::is_contained(pipelinePasses(), pipeline.startAfter);
  auto emitError = [&](const Twine &message) {
    (void)fail((startIsKnown ? "-stop-after: " : "-start-after: ") + message.str());
  };
  if (failed(buildPipeline(passes, pipeline, emitError)))
    return failure();
  bool ok = false;
  if (llvm::Error crash = runGuarded([&] { ok = succeeded(passes.run(module)); }))
    return module.emitError(llvm::toString(std::move(crash)));
  return success(ok);
}

static llvm::Error writeText(OutputFiles &files, StringRef text) {
  if (!options().output.empty() && options().output != "-")
    return files.write(options().output, text);
  files.print(text);
  return llvm::Error::success();
}

/// The report, to a file or beside what else is printed.
static llvm::Error explain(OutputFiles &files, ModuleOp module) {
  if (options().explain.getNumOccurrences() == 0)
    return llvm::Error::success();
  FailureOr<std::string> text = options().explain.empty() ? writeReport(module) : writeReportJson(module);
  if (failed(text))
    return llvm::createStringError("");
  if (!options().explain.empty())
    return files.write(options().explain, *text);
  if (isText() && (options().output.empty() || options().output == "-"))
    llvm::errs() << *text;
  else
    files.print(*text);
  return llvm::Error::success();
}

/// Code generation into a temporary file; text from there to where it belongs.
static llvm::Error writeArtifact(OutputFiles &files, ModuleOp module, const Target &target, Stages &stages) {
  auto abi = AbiModule::read(module);
  if (failed(abi))
    return llvm::createStringError("");
  ObjectOptions object;
  object.debug = options().debug;
  object.assemble = !options().noPtxas;
  object.assembler = options().ptxas;
  std::vector<KernelUse> uses;
  object.kernelUses = &uses;
  llvm::scope_exit printUses([&] {
    for (const KernelUse &use : uses)
      if (options().verbose)
        llvm::errs() << "kernel " << use.name << ": " << use.registers << " registers, " << use.spillBytes
                     << " bytes spilled, " << use.stackBytes << " bytes of stack, " << use.sharedBytes
                     << " bytes of static shared memory\n";
  });
  object.artifact = options().emitKind == Emit::Obj   ? Artifact::Object
                    : options().emitKind == Emit::Asm ? Artifact::Assembly
                    : options().emitKind == Emit::Ptx ? Artifact::DriverText
                                                      : Artifact::LlvmIr;
  object.onWeights = [&](uint64_t written, uint64_t total) {
    if (written == 0)
      stages.begin("weights");
    else
      stages.reach(static_cast<double>(written) / static_cast<double>(total));
  };
  if (options().emitKind == Emit::Obj || (!options().output.empty() && options().output != "-")) {
    auto path = files.create(options().output);
    if (!path)
      return path.takeError();
    if (failed(emitArtifact(module, *abi, target, object, *path)))
      return llvm::createStringError("");
    if (options().emitKind != Emit::Obj)
      return llvm::Error::success();
    return files.write(headerPath(), writeHeader(*abi));
  }
  llvm::SmallString<128> path;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("qlowc", "txt", path))
    return llvm::createStringError("can not create a temporary file: " + code.message());
  llvm::FileRemover remover(path);
  if (failed(emitArtifact(module, *abi, target, object, path)))
    return llvm::createStringError("");
  auto text = llvm::MemoryBuffer::getFile(path);
  return text ? writeText(files, (*text)->getBuffer()) : llvm::errorCodeToError(text.getError());
}

/// Names the object where -o does not. Says what is wrong with the names of outputs: none may be written over what is
/// read.
static std::string chooseOutput() {
  std::string &output = options().output;
  if (!isText()) {
    if (output.empty() && input() == "-")
      return "the model comes from standard input: name the object, as in -o model.o";
    if (output.empty())
      output = (llvm::sys::path::stem(input()) + ".o").str();
    if (output == "-")
      return "an object has a header beside it and does not go to standard output; name it, as in -o model.o";
    if (llvm::sys::path::extension(output) == ".h")
      return "-o '" + output + "' would be both object and header; name the object, as in -o model.o";
  }
  for (const std::string &path : {output, isText() ? "" : headerPath(), options().explain.getValue()})
    for (const std::string &read : {input().str(), options().targetName.getValue()})
      if (llvm::sys::fs::equivalent(path, read))
        return llvm::formatv("'{0}' would be written over '{1}', which is read; name another file", path, read);
  return "";
}

/// Says what is wrong with the options of a device's assembler. For processors they do nothing, which a script that
/// compiles for both may live with.
static std::string checkAssembler(const Target &target) {
  bool isGiven = options().ptxas.getNumOccurrences(), isLeftOut = options().noPtxas;
  if (isGiven && isLeftOut)
    return "-ptxas and -no-ptxas exclude each other: give the path of the assembler, or leave it out";
  if ((isGiven || isLeftOut) && !target.family().runsOnDevice())
    llvm::errs() << "qlowc: warning: " << (isGiven ? "-ptxas" : "-no-ptxas") << " does nothing for '"
                 << target.machine().name << "', which is no device: leave it out\n";
  return "";
}

static int compile() {
  Stages stages(options().verbose);
  stages.begin("read");
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registry.insert<QlowDialect>();
  // One thread: crash recovery watches over the thread it starts and no other.
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  printDiagnostics(context);
  std::string name = resolveTarget(options().targetName);
  auto target = Target::find(name);
  if (!target)
    return fail(target.takeError());
  if (std::string why = checkAssembler(**target); !why.empty())
    return fail(why);
  if (std::string why = chooseOutput(); !why.empty())
    return fail(why);
  OwningOpRef<ModuleOp> module = readModel(input(), context);
  if (!module)
    return 1;
  stages.begin("passes");
  if (failed(runPipeline(*module, name)))
    return 1;
  OutputFiles files;
  if (options().native && failed(requireNative(*module)))
    return 1;
  llvm::Error error = llvm::Error::success();
  static_cast<void>(static_cast<bool>(error)); // checked, so that it may be assigned
  if (!options().stopAfter.empty() || options().emitKind == Emit::Mlir) {
    std::string text;
    llvm::raw_string_ostream os(text);
    module->print(os);
    error = writeText(files, text + "\n");
  } else {
    stages.begin("code generation");
    error = writeArtifact(files, *module, **target, stages);
  }
  // Code generation adds what kernels take.
  if (!error)
    error = explain(files, *module);
  if (!error)
    error = files.commit();
  if (error)
    return fail(std::move(error));
  stages.finish();
  return 0;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  // Writing beyond a file-size limit is an error to report, not a signal to die of.
  std::signal(SIGXFSZ, SIG_IGN);
  cl::ResetCommandLineParser();
  (void)options();
  // Forgetting LLVM's options has made the general category unknown too, and --help lists by category.
  cl::OptionCategory category("qlowc options");
  for (auto &entry : cl::getRegisteredOptions())
    if (llvm::is_contained(entry.second->Categories, &cl::getGeneralCategory()))
      entry.second->addCategory(category);
  registerAllPasses();
  registerQlowDialectPasses();
  registerQlowImportPasses();
  registerQlowTransformsPasses();
  registerQlowEmitPasses();
  if (!cl::ParseCommandLineOptions(argc, argv, "qlowc: compiler of quantized tensor programs\n", &llvm::errs()))
    return 1;
  if (options().listTargets || options().listFormats || options().listInstructions || !options().printTarget.empty())
    return printLists();
  if (options().inputs.size() != 1 || input().empty())
    return fail(options().inputs.size() > 1 ? "expected one model, found " + llvm::join(options().inputs, ", ") +
                                                  "; each is an object of its own"
                                            : "expected a model: qlowc model.mlir -target=NAME -o model.o");
  return compile();
}
