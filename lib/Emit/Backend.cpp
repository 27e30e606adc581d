//===- Backend.cpp - LLVM's code generators, guarded ------------------------===//
//
// In: a machine and modules in the LLVM dialect. Out: LLVM IR, optimized, and what LLVM generates from it. LLVM only
// warns about names it does not know and aborts later, so all are checked here. Bytes depend on the input alone.
//
//===----------------------------------------------------------------------===//

#include "Backend.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/DiagnosticInfo.h"
#include "llvm/IR/DiagnosticPrinter.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"

using namespace mlir;
using namespace qlow;

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

bool Backend::createTargetMachine(StringRef cpu, StringRef features) {
  initializeTargets();
  std::string why;
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple(), why);
  if (!target)
    return fail("target '" + machine.name + "': " + why);
  std::unique_ptr<llvm::MCSubtargetInfo> known(target->createMCSubtargetInfo(triple(), "", ""));
  if (!known)
    return fail("target '" + machine.name + "': LLVM can not generate code for triple '" + machine.triple + "'");
  if (!machine.tune.empty() && !known->isCPUStringValid(machine.tune))
    return fail("target '" + machine.name + "': LLVM knows no processor '" + machine.tune + "' to tune for");
  for (const std::string &feature : machine.features)
    if (llvm::none_of(known->getAllProcessorFeatures(), [&](auto &row) { return feature == row.Key; }))
      return fail("target '" + machine.name + "': LLVM knows no feature '" + feature + "' of " +
                  triple().getArchName());
  llvm::TargetOptions targetOptions;
  targetOptions.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  targetMachine.reset(target->createTargetMachine(triple(), cpu, features, targetOptions, llvm::Reloc::PIC_,
                                                  std::nullopt, llvm::CodeGenOptLevel::Aggressive));
  return targetMachine || fail("target '" + machine.name + "': LLVM has no code generator for it");
}

void Backend::handle(const llvm::DiagnosticInfo &info) {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::DiagnosticPrinterRawOStream printer(os);
  info.print(printer);
  if (info.getSeverity() == llvm::DS_Error)
    fail(text);
  else if (info.getSeverity() == llvm::DS_Warning)
    op->emitWarning(text);
}

std::unique_ptr<llvm::Module> Backend::translate(ModuleOp source, StringRef name) {
  context.setDiagnosticHandlerCallBack(
      [](const llvm::DiagnosticInfo *info, void *job) { static_cast<Backend *>(job)->handle(*info); }, this);
  DialectRegistry registry;
  registerAllToLLVMIRTranslations(registry);
  source->getContext()->appendDialectRegistry(registry);
  if (debug) {
    PassManager passes(source->getContext());
    LLVM::DIScopeForLLVMFuncOpPassOptions lines;
    lines.emissionKind = lineTables();
    passes.addPass(LLVM::createDIScopeForLLVMFuncOpPass(lines));
    if (failed(passes.run(source))) {
      fail("no debug information could be made");
      return nullptr;
    }
  }
  std::unique_ptr<llvm::Module> module = translateModuleToLLVMIR(source, context, name);
  if (!module) {
    fail("the module could not be translated to LLVM IR");
    return nullptr;
  }
  module->setTargetTriple(targetMachine->getTargetTriple());
  module->setDataLayout(targetMachine->createDataLayout());
  return module;
}

llvm::TargetLibraryInfoImpl Backend::libraryInfo() const {
  llvm::TargetLibraryInfoImpl info(targetMachine->getTargetTriple());
  info.disableAllFunctions();
  for (llvm::LibFunc function : libraryFunctions())
    info.setAvailable(function);
  return info;
}

void Backend::optimize(llvm::Module &module) {
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
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3).run(module, modules);
}

void Backend::generate(llvm::Module &module, llvm::raw_pwrite_stream &os, llvm::CodeGenFileType type) {
  llvm::legacy::PassManager passes;
  passes.add(new llvm::TargetLibraryInfoWrapperPass(libraryInfo()));
  if (targetMachine->addPassesToEmitFile(passes, os, nullptr, type))
    fail("LLVM can not write this kind of file for target '" + machine.name + "'");
  else
    passes.run(module);
}
