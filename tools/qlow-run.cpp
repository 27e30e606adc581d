//===- qlow-run.cpp - run a program on .npy files ---------------------------===//
//
//   qlow-run --reference m.mlir --function=f a.npy b.npy -o out.npy [-o out2.npy]
//
// One .npy file for each argument, or for each part of a quantized one, in the order of the C header; one -o for each
// result or part. bf16 and f8 are read and written as the unsigned integers of their bits. Without -o the results are
// printed, one on a line.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Dialect.h"
#include "qlow/Import/Import.h"
#include "qlow/Reference/Reference.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;
using namespace qlow;
namespace cl = llvm::cl;

static cl::OptionCategory category("qlow-run options");
static cl::opt<std::string> reference("reference", cl::value_desc("model"), cl::cat(category),
                                      cl::desc("Evaluate this model by the reference evaluator"));
static cl::opt<std::string> function("function", cl::value_desc("name"), cl::cat(category),
                                     cl::desc("The function to run; not needed where there is one"));
static cl::list<std::string> outputs("o", cl::value_desc("file"), cl::cat(category),
                                     cl::desc("A .npy file for each result, in order; without, results are printed"));
static cl::list<std::string> inputs(cl::Positional, cl::desc("a .npy file for each argument"), cl::cat(category));

static LogicalResult fail(const llvm::Twine &message) {
  llvm::errs() << "qlow-run: error: " << message << "\n";
  return failure();
}

/// The public function of that name, or the only one.
static FailureOr<std::string> findFunction(ModuleOp module) {
  if (!function.empty()) {
    if (!module.lookupSymbol<func::FuncOp>(function))
      return fail("'" + reference + "' has no function @" + function);
    return function.getValue();
  }
  SmallVector<func::FuncOp> found =
      llvm::to_vector(llvm::make_filter_range(module.getOps<func::FuncOp>(), [](auto op) { return op.isPublic(); }));
  if (found.size() != 1)
    return fail("'" + reference + "' has " + llvm::Twine(found.size()) +
                " public functions: say which with --function");
  return found.front().getName().str();
}

static FailureOr<std::vector<Array>> readInputs(ArrayRef<ArrayType> types) {
  if (types.size() != inputs.size())
    return fail("expected " + llvm::Twine(types.size()) + " .npy files, one for each argument or part of one, found " +
                llvm::Twine(inputs.size()));
  std::vector<Array> arrays;
  for (auto [path, type] : llvm::zip(inputs, types)) {
    llvm::Expected<Array> array = readNpy(path, type);
    if (!array)
      return fail(llvm::toString(array.takeError()));
    arrays.push_back(std::move(*array));
  }
  return arrays;
}

/// All files or none: a file that can not be written leaves none of the others behind.
static LogicalResult writeOutputs(ArrayRef<Array> arrays) {
  std::vector<std::unique_ptr<llvm::ToolOutputFile>> files;
  for (auto [path, array] : llvm::zip_equal(outputs, arrays)) {
    std::error_code error;
    auto &file = files.emplace_back(std::make_unique<llvm::ToolOutputFile>(path, error, llvm::sys::fs::OF_None));
    std::vector<uint8_t> bytes = encodeNpy(array);
    if (!error) {
      file->os().write(reinterpret_cast<const char *>(bytes.data()), bytes.size());
      file->os().close();
      error = file->os().error();
      file->os().clear_error();
    }
    if (error)
      return fail("'" + path + "': can not be written: " + error.message());
  }
  for (auto &file : files)
    file->keep();
  return success();
}

/// The model as the compiler sees it after import.
static OwningOpRef<ModuleOp> readModel(MLIRContext &context, const std::shared_ptr<llvm::SourceMgr> &sources) {
  auto file = llvm::MemoryBuffer::getFile(reference);
  if (!file) {
    (void)fail("'" + reference + "': can not be read: " + file.getError().message());
    return {};
  }
  sources->AddNewSourceBuffer(std::move(*file), llvm::SMLoc());
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(sources, &context);
  if (!module)
    return {};
  PassManager manager(&context);
  buildImportPipeline(manager);
  manager.addPass(createVerify());
  if (failed(manager.run(*module)))
    return {};
  return module;
}

static LogicalResult runReference() {
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registry.insert<QlowDialect>();
  MLIRContext context(registry);
  context.printOpOnDiagnostic(false);
  auto sources = std::make_shared<llvm::SourceMgr>();
  SourceMgrDiagnosticHandler handler(*sources, &context);
  OwningOpRef<ModuleOp> module = readModel(context, sources);
  if (!module)
    return failure();
  FailureOr<std::string> name = findFunction(*module);
  if (failed(name))
    return failure();
  auto op = module->lookupSymbol<func::FuncOp>(*name);
  FailureOr<std::vector<ArrayType>> arguments = getArrayTypes(op.getArgumentTypes());
  FailureOr<std::vector<ArrayType>> results = getArrayTypes(op.getResultTypes());
  if (failed(arguments) || failed(results))
    return op.emitError() << "@" << *name << " has a type in its signature that is not accepted";
  if (!outputs.empty() && results->size() != outputs.size())
    return fail("@" + *name + " gives " + llvm::Twine(results->size()) + " arrays: expected as many -o, found " +
                llvm::Twine(outputs.size()));
  FailureOr<std::vector<Array>> arrays = readInputs(*arguments);
  if (failed(arrays))
    return failure();
  FailureOr<std::vector<Array>> computed = evaluate(*module, *name, *arrays);
  if (failed(computed))
    return failure();
  if (!outputs.empty())
    return writeOutputs(*computed);
  for (const Array &array : *computed)
    print(llvm::outs(), array);
  return success();
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(argc, argv, "Runs a function of a model on .npy files\n");
  if (reference.empty())
    return failed(fail("expected --reference=MODEL")) ? 1 : 0;
  return failed(runReference()) ? 1 : 0;
}
