//===- qlow-run.cpp - run a program on .npy files ---------------------------===//
//
//   qlow-run m.o --function=f a.npy b.npy -o out.npy [-o out2.npy] [--check m.mlir]
//   qlow-run --reference m.mlir --function=f a.npy b.npy -o out.npy
//
// Calls an object in this process, or evaluates a model by the reference evaluator; --check does both and compares. One
// .npy file for each argument, or for each part of a quantized one, in the order of the C header; one -o for each
// result or part. bf16 and f8 are read and written as the unsigned integers of their bits. Without -o the results are
// printed, one on a line.
//
//===----------------------------------------------------------------------===//

#include "ModelFile.h"
#include "RunObject.h"

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

#include <cstring>

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
  cl::opt<std::string> function{"function", cl::desc("The function to run; not needed where there is one"),
                                cl::value_desc("name")};
  cl::list<std::string> outputs{"o", cl::desc("A .npy file for each result, in order; without, results are printed"),
                                cl::value_desc("file")};
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

/// The results as files, or printed.
static LogicalResult giveResults(ArrayRef<Array> arrays) {
  size_t wanted = options().outputs.size();
  if (wanted && wanted != arrays.size())
    return fail("there are " + llvm::Twine(arrays.size()) + " results: expected as many -o, found " +
                llvm::Twine(wanted));
  if (wanted)
    return writeOutputs(arrays);
  for (const Array &array : arrays)
    print(llvm::outs(), array);
  return success();
}

//===----------------------------------------------------------------------===//
// Models
//===----------------------------------------------------------------------===//

static FailureOr<std::vector<Array>> runModel(StringRef path, ArrayRef<std::string> inputs) {
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registry.insert<QlowDialect>();
  MLIRContext context(registry);
  printDiagnostics(context);
  OwningOpRef<ModuleOp> module = readModel(path, context);
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
  FailureOr<std::vector<Array>> arrays = readInputs(inputs, *arguments);
  if (failed(arrays))
    return failure();
  return evaluate(*module, *name, *arrays);
}

//===----------------------------------------------------------------------===//
// Objects
//===----------------------------------------------------------------------===//

static FailureOr<std::vector<Array>> runObject(StringRef path, ArrayRef<std::string> inputs) {
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
  auto types = inputTypes(*found);
  if (!types)
    return fail(llvm::toString(types.takeError()));
  FailureOr<std::vector<Array>> arrays = readInputs(inputs, *types);
  if (failed(arrays))
    return failure();
  auto results = callObject(*object, *found, std::move(*arrays));
  if (!results)
    return fail(found->name + ": " + llvm::toString(results.takeError()));
  return std::move(*results);
}

/// An f32 as an integer that orders as floats do: its distance to another counts the floats between.
static int64_t ordinal(const uint8_t *bytes) {
  int32_t bits;
  std::memcpy(&bits, bytes, 4);
  return bits < 0 ? -static_cast<int64_t>(bits & INT32_MAX) : bits;
}

/// Says for each result how far the object is from the reference. What is not f32 must be equal.
static LogicalResult compare(ArrayRef<Array> found, ArrayRef<Array> expected) {
  bool good = found.size() == expected.size();
  for (auto [index, pair] : llvm::enumerate(llvm::zip(found, expected))) {
    const auto &[array, reference] = pair;
    if (array.bytes.size() != reference.bytes.size() || array.shape != reference.shape)
      return fail("result " + llvm::Twine(index) + " has another shape than the reference's");
    unsigned width = sizeOf(array.element);
    int64_t different = 0, worst = 0;
    for (size_t at = 0; at < array.bytes.size(); at += width) {
      if (std::memcmp(&array.bytes[at], &reference.bytes[at], width) == 0)
        continue;
      ++different;
      if (array.element == ArrayElement::F32)
        worst = std::max(worst, std::abs(ordinal(&array.bytes[at]) - ordinal(&reference.bytes[at])));
    }
    llvm::outs() << "result " << index << ": " << different << " of " << array.size() << " elements differ";
    if (different && array.element == ArrayElement::F32)
      llvm::outs() << ", at most by " << worst << " units in the last place";
    llvm::outs() << "\n";
    good &= different == 0 || array.element == ArrayElement::F32;
  }
  return good ? success() : fail("integer results must equal the reference's");
}

static LogicalResult run() {
  ArrayRef<std::string> inputs(options().inputs);
  if (!options().reference.empty()) {
    FailureOr<std::vector<Array>> results = runModel(options().reference, inputs);
    return failed(results) ? failure() : giveResults(*results);
  }
  if (inputs.empty())
    return fail("expected an object, or --reference=MODEL");
  FailureOr<std::vector<Array>> results = runObject(inputs.front(), inputs.drop_front());
  if (failed(results))
    return failure();
  if (options().check.empty())
    return giveResults(*results);
  FailureOr<std::vector<Array>> expected = runModel(options().check, inputs.drop_front());
  if (failed(expected) || (!options().outputs.empty() && failed(giveResults(*results))))
    return failure();
  return compare(*results, *expected);
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::ResetCommandLineParser();
  (void)options();
  cl::ParseCommandLineOptions(argc, argv, "Runs a function of a model on .npy files\n");
  return failed(run()) ? 1 : 0;
}
