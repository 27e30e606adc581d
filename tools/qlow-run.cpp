//===- qlow-run.cpp - run a program on .npy files ---------------------------===//
//
//   qlow-run --reference m.mlir --function=f a.npy b.npy -o out.npy [-o out2.npy]
//
// One .npy file for each argument, or for each part of a quantized one, in the order of the C header; one -o for each
// result or part. bf16 and f8 are read and written as the unsigned integers of their bits. Without -o the results are
// printed, one on a line.
//
//===----------------------------------------------------------------------===//

#include "ModelFile.h"

#include "qlow/Dialect/Dialect.h"
#include "qlow/Emit/Emit.h"
#include "qlow/Import/Import.h"
#include "qlow/Reference/Reference.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"

using namespace mlir;
using namespace qlow;
namespace cl = llvm::cl;

namespace {
/// The command line. It is made in main, after LLVM's own options are gone: some have the same names.
struct Options {
  cl::opt<std::string> reference{"reference", cl::desc("Evaluate this model by the reference evaluator"),
                                 cl::value_desc("model")};
  cl::opt<std::string> function{"function", cl::desc("The function to run; not needed where there is one"),
                                cl::value_desc("name")};
  cl::list<std::string> outputs{"o", cl::desc("A .npy file for each result, in order; without, results are printed"),
                                cl::value_desc("file")};
  cl::list<std::string> inputs{cl::Positional, cl::desc("<.npy file for each argument>...")};
};
Options &options() {
  static Options all;
  return all;
}
} // namespace

static LogicalResult fail(const llvm::Twine &message) {
  llvm::errs() << "qlow-run: error: " << message << "\n";
  return failure();
}

/// The public function of that name, or the only one.
static FailureOr<std::string> findFunction(ModuleOp module) {
  if (!options().function.empty()) {
    if (!module.lookupSymbol<func::FuncOp>(options().function))
      return fail("'" + options().reference + "' has no function @" + options().function);
    return options().function.getValue();
  }
  SmallVector<func::FuncOp> found =
      llvm::to_vector(llvm::make_filter_range(module.getOps<func::FuncOp>(), [](auto op) { return op.isPublic(); }));
  if (found.size() != 1)
    return fail("'" + options().reference + "' has " + llvm::Twine(found.size()) +
                " public functions: say which with --function");
  return found.front().getName().str();
}

static FailureOr<std::vector<Array>> readInputs(ArrayRef<ArrayType> types) {
  if (types.size() != options().inputs.size())
    return fail("expected " + llvm::Twine(types.size()) + " .npy files, one for each argument or part of one, found " +
                llvm::Twine(options().inputs.size()));
  std::vector<Array> arrays;
  for (auto [path, type] : llvm::zip(options().inputs, types)) {
    llvm::Expected<Array> array = readNpy(path, type);
    if (!array)
      return fail(llvm::toString(array.takeError()));
    arrays.push_back(std::move(*array));
  }
  return arrays;
}

static LogicalResult writeOutputs(ArrayRef<Array> arrays) {
  OutputFiles files;
  for (auto [path, array] : llvm::zip_equal(options().outputs, arrays)) {
    std::vector<uint8_t> bytes = encodeNpy(array);
    if (llvm::Error error = files.write(path, StringRef(reinterpret_cast<const char *>(bytes.data()), bytes.size())))
      return fail(llvm::toString(std::move(error)));
  }
  if (llvm::Error error = files.commit())
    return fail(llvm::toString(std::move(error)));
  return success();
}

static LogicalResult runReference() {
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registry.insert<QlowDialect>();
  MLIRContext context(registry);
  printDiagnostics(context);
  OwningOpRef<ModuleOp> module = readModel(options().reference, context);
  if (!module)
    return failure();
  // What the compiler sees: the model after import.
  PassManager manager(&context);
  buildImportPipeline(manager);
  manager.addPass(createVerify());
  if (failed(manager.run(*module)))
    return failure();
  FailureOr<std::string> name = findFunction(*module);
  if (failed(name))
    return failure();
  auto op = module->lookupSymbol<func::FuncOp>(*name);
  FailureOr<std::vector<ArrayType>> arguments = getArrayTypes(op.getArgumentTypes());
  FailureOr<std::vector<ArrayType>> results = getArrayTypes(op.getResultTypes());
  if (failed(arguments) || failed(results))
    return op.emitError() << "@" << *name << " has a type in its signature that is not accepted";
  if (!options().outputs.empty() && results->size() != options().outputs.size())
    return fail("@" + *name + " gives " + llvm::Twine(results->size()) + " arrays: expected as many -o, found " +
                llvm::Twine(options().outputs.size()));
  FailureOr<std::vector<Array>> arrays = readInputs(*arguments);
  if (failed(arrays))
    return failure();
  FailureOr<std::vector<Array>> computed = evaluate(*module, *name, *arrays);
  if (failed(computed))
    return failure();
  if (!options().outputs.empty())
    return writeOutputs(*computed);
  for (const Array &array : *computed)
    print(llvm::outs(), array);
  return success();
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::ResetCommandLineParser();
  (void)options();
  cl::ParseCommandLineOptions(argc, argv, "Runs a function of a model on .npy files\n");
  if (options().reference.empty())
    return failed(fail("expected --reference=MODEL")) ? 1 : 0;
  return failed(runReference()) ? 1 : 0;
}
