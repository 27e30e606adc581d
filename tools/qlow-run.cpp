//===- qlow-run.cpp - run a program on .npy files ---------------------------===//
//
//   qlow-run m.o --function=f a.npy b.npy -o out.npy [-o out2.npy] [--check m.mlir [--ops]]
//   qlow-run --reference m.mlir --function=f a.npy b.npy -o out.npy
//
// Calls an object in this process, or evaluates a model by the reference evaluator; --check does both and compares. One
// .npy file for each argument, or for each part of a quantized one, in the order of the C header; one -o for each
// result or part. bf16 and f8 are read and written as the unsigned integers of their bits. Without -o the results are
// printed, one on a line.
//
//===----------------------------------------------------------------------===//

#include "CheckObject.h"
#include "ModelFile.h"
#include "RunObject.h"

#include "qlow/Dialect/Dialect.h"
#include "qlow/Emit/Emit.h"
#include "qlow/Import/Import.h"
#include "qlow/Reference/Reference.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
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
  cl::opt<std::string> check{"check", cl::desc("Compare an object's results with this model's by the reference"),
                             cl::value_desc("model")};
  cl::opt<bool> ops{"ops",
                    cl::desc("With --check: compare op by op; the object is compiled with --keep-intermediates")};
  cl::opt<std::string> function{"function", cl::desc("The function to run; not needed where there is one"),
                                cl::value_desc("name")};
  cl::list<std::string> outputs{"o", cl::desc("A .npy file for each result, in order; without, results are printed"),
                                cl::value_desc("file")};
  cl::list<std::string> sizes{"size", cl::desc("A size of an object's result that no argument's shape tells"),
                              cl::value_desc("name=value")};
  cl::list<std::string> inputs{cl::Positional, cl::desc("[object] <.npy file for each argument>...")};
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
static FailureOr<func::FuncOp> findFunction(ModuleOp module, StringRef path) {
  if (!options().function.empty()) {
    if (auto function = module.lookupSymbol<func::FuncOp>(options().function))
      return function;
    return fail("'" + path + "' has no function @" + options().function);
  }
  SmallVector<func::FuncOp> found =
      llvm::to_vector(llvm::make_filter_range(module.getOps<func::FuncOp>(), [](auto op) { return op.isPublic(); }));
  if (found.size() != 1)
    return fail("'" + path + "' has " + llvm::Twine(found.size()) + " public functions: say which with --function");
  return found.front();
}

static FailureOr<std::vector<Array>> readInputs(ArrayRef<std::string> paths, ArrayRef<ArrayType> types) {
  if (types.size() != paths.size())
    return fail("expected " + llvm::Twine(types.size()) + " .npy files, one for each argument or part of one, found " +
                llvm::Twine(paths.size()));
  std::vector<Array> arrays;
  for (auto [path, type] : llvm::zip(paths, types)) {
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

static FailureOr<llvm::StringMap<int64_t>> readSizes() {
  llvm::StringMap<int64_t> sizes;
  for (StringRef text : options().sizes) {
    auto [name, value] = text.split('=');
    int64_t size;
    if (name.empty() || value.getAsInteger(10, size) || size < 0)
      return fail("expected --size=NAME=VALUE with a value of 0 or more, found '" + text + "'");
    if (!sizes.try_emplace(name, size).second)
      return fail("--size gives '" + name + "' twice");
  }
  return sizes;
}

/// The results as files, or printed.
static LogicalResult giveResults(ArrayRef<Array> arrays) {
  if (!options().outputs.empty())
    return writeOutputs(arrays);
  for (const Array &array : arrays)
    print(llvm::outs(), array);
  return success();
}

//===----------------------------------------------------------------------===//
// Models
//===----------------------------------------------------------------------===//

namespace {
/// A model as the reference evaluates it.
struct Model {
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
  func::FuncOp function;
};
} // namespace

/// What the compiler sees: the model after import; to compare op by op, also each op's result as the compiler keeps it.
static FailureOr<Model> readImported(StringRef path, bool keepIntermediates) {
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registry.insert<QlowDialect>();
  Model model;
  model.context = std::make_unique<MLIRContext>(registry);
  printDiagnostics(*model.context);
  model.module = readModel(path, *model.context);
  if (!model.module)
    return failure();
  PassManager manager(model.context.get());
  buildImportPipeline(manager);
  manager.addPass(createVerify());
  PipelineOptions pipeline;
  pipeline.keepIntermediates = keepIntermediates;
  pipeline.stopAfter = "qlow-keep-intermediates";
  auto emitError = [](const Twine &message) { (void)fail(message); };
  if ((keepIntermediates && failed(buildPipeline(manager, pipeline, emitError))) || failed(manager.run(*model.module)))
    return failure();
  FailureOr<func::FuncOp> function = findFunction(*model.module, path);
  if (failed(function))
    return failure();
  model.function = *function;
  return model;
}

static FailureOr<std::vector<Array>> runModel(StringRef path, ArrayRef<std::string> inputs) {
  FailureOr<Model> model = readImported(path, /*keepIntermediates=*/false);
  if (failed(model))
    return failure();
  func::FuncOp op = model->function;
  FailureOr<std::vector<ArrayType>> arguments = getArrayTypes(op.getArgumentTypes());
  FailureOr<std::vector<ArrayType>> results = getArrayTypes(op.getResultTypes());
  if (failed(arguments) || failed(results))
    return op.emitError() << "@" << op.getName() << " has a type in its signature that is not accepted";
  if (!options().outputs.empty() && results->size() != options().outputs.size())
    return fail("@" + op.getName() + " gives " + llvm::Twine(results->size()) + " arrays: expected as many -o, found " +
                llvm::Twine(options().outputs.size()));
  FailureOr<std::vector<Array>> arrays = readInputs(inputs, *arguments);
  if (failed(arrays))
    return failure();
  return evaluate(*model->module, op.getName(), *arrays);
}

//===----------------------------------------------------------------------===//
// Objects
//===----------------------------------------------------------------------===//

/// Calls the object; with --check its results are compared, else, or where -o asks for them, given.
static LogicalResult runObject(StringRef path, ArrayRef<std::string> inputs) {
  auto object = LoadedObject::open(path);
  if (!object)
    return fail(llvm::toString(object.takeError()));
  const std::vector<AbiFunction> &functions = object->abi().functions;
  auto found = llvm::find_if(functions, [](const AbiFunction &candidate) {
    return options().function.empty() || candidate.name == options().function;
  });
  if (found == functions.end())
    return fail("'" + path + "' has no function " + options().function);
  if (options().function.empty() && functions.size() != 1)
    return fail("'" + path + "' has " + llvm::Twine(functions.size()) + " functions: say which with --function");
  size_t wanted = options().outputs.size();
  if (wanted && wanted != found->results.size())
    return fail("'" + path + "': " + found->name + " gives " + llvm::Twine(found->results.size()) +
                " arrays: expected as many -o, found " + llvm::Twine(wanted));
  auto types = inputTypes(*found);
  if (!types)
    return fail(llvm::toString(types.takeError()));
  FailureOr<std::vector<Array>> arrays = readInputs(inputs, *types);
  if (failed(arrays))
    return failure();
  FailureOr<llvm::StringMap<int64_t>> sizes = readSizes();
  if (failed(sizes))
    return failure();
  auto results = callObject(*object, *found, *arrays, *sizes);
  if (!results)
    return fail("'" + path + "': " + llvm::toString(results.takeError()));
  if (options().check.empty())
    return giveResults(*results);
  FailureOr<Model> model = readImported(options().check, options().ops);
  if (failed(model) || (wanted && failed(giveResults(*results))))
    return failure();
  return checkObject(model->function, *found, *arrays, *results, options().ops);
}

static LogicalResult run() {
  ArrayRef<std::string> inputs(options().inputs);
  if (options().ops && options().check.empty())
    return fail("--ops compares with a model: expected --check=MODEL");
  if (!options().reference.empty()) {
    if (!options().sizes.empty())
      return fail("--size is for objects: the reference evaluator computes all sizes");
    if (!options().check.empty())
      return fail("--reference evaluates a model and --check an object beside one: expected one of them");
    FailureOr<std::vector<Array>> results = runModel(options().reference, inputs);
    return failed(results) ? failure() : giveResults(*results);
  }
  if (inputs.empty())
    return fail("expected an object, or --reference=MODEL");
  return runObject(inputs.front(), inputs.drop_front());
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::ResetCommandLineParser();
  (void)options();
  registerAllPasses();
  registerQlowDialectPasses();
  registerQlowTransformsPasses();
  registerQlowEmitPasses();
  cl::ParseCommandLineOptions(argc, argv, "Runs a function of a model on .npy files\n");
  return failed(run()) ? 1 : 0;
}
