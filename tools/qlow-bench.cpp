//===- qlow-bench.cpp - emitted kernels against the machine's limits --------===//
//
//   qlow-bench int8 [--json=FILE] [--target=host] [--only=REGEX] [--shape=MxNxK,...]
//
// Compiles matmuls, runs them in this process on one thread of one core, and puts their speed beside one of two limits:
// the multiply instruction of the chosen row on registers alone, or a plain read of memory. Kernel and limit take
// turns, each ratio is of neighbours in time, and the median counts: that holds on a noisy machine, absolute times do
// not.
//
//===----------------------------------------------------------------------===//

#include "HostTarget.h"
#include "LoadedObject.h"
#include "MachineLimits.h"

#include "qlow/Dialect/Dialect.h"
#include "qlow/Emit/Emit.h"
#include "qlow/Import/Import.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/AsmState.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Regex.h"

#include <random>

#include <sched.h>
#include <time.h>

using namespace mlir;
using namespace qlow;
namespace cl = llvm::cl;

namespace {
struct Case {
  std::string name;
  int64_t m, n, k;
  bool quantized; ///< u8 out, requantized; else i32
  bool memory;    ///< bound by reading weights from memory: they are larger than any cache
};

struct Result {
  Case what;
  double seconds, ratio, predicted;
  std::string row;
};
} // namespace

static std::vector<Case> int8Cases() {
  return {
      {"u8s8_i32_1024", 1024, 1024, 1024, false, false},        {"u8s8_u8_1024", 1024, 1024, 1024, true, false},
      {"u8s8_u8_128x3072x768", 128, 3072, 768, true, false},    {"u8s8_u8_512x1024x1024", 512, 1024, 1024, true, false},
      {"u8s8_i32_1x262144x4096", 1, 262144, 4096, false, true},
  };
}

/// MxNxK, or nothing.
static std::optional<Case> parseShape(StringRef text) {
  int64_t sizes[3];
  StringRef rest = text;
  for (auto [i, size] : llvm::enumerate(sizes))
    if (rest.consumeInteger(10, size) || size < 1 || (i < 2 && !rest.consume_front("x")))
      return {};
  if (!rest.empty())
    return {};
  return Case{("u8s8_u8_" + text).str(), sizes[0], sizes[1], sizes[2], true, false};
}

static llvm::Error fail(const Twine &message) { return llvm::createStringError(message.str()); }

//===----------------------------------------------------------------------===//
// Measuring
//===----------------------------------------------------------------------===//

/// Seconds this thread has run: the turns of other programs do not count.
static double now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

static double median(std::vector<double> values) {
  llvm::sort(values);
  return values[values.size() / 2];
}

namespace {
/// Keeps this thread on the core it runs on.
class Pinned {
public:
  Pinned() {
    sched_getaffinity(0, sizeof before, &before);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  Pinned(const Pinned &) = delete;
  ~Pinned() { sched_setaffinity(0, sizeof before, &before); }

private:
  cpu_set_t before;
};

/// Something that is done again and again, in samples long enough for the clock.
class Activity {
public:
  /// `body` returns how much of the work one call of it does.
  explicit Activity(llvm::function_ref<double()> body) : body(body) {
    body();
    for (double took = 0; took < kSampleSeconds / 2; calls *= 2) {
      double begin = now();
      for (int64_t i = 0; i < calls; ++i)
        body();
      took = now() - begin;
    }
  }
  /// Work in a second.
  double sample() const {
    double work = 0, begin = now();
    for (int64_t i = 0; i < calls; ++i)
      work += body();
    return work / (now() - begin);
  }

private:
  static constexpr double kSampleSeconds = 2e-3;
  llvm::function_ref<double()> body;
  int64_t calls = 1;
};

struct Comparison {
  double speed, ratio;
};
} // namespace

/// Medians of the speed of `work` and of its ratio to the speed of `limit` just before and just after.
static Comparison compare(llvm::function_ref<double()> work, llvm::function_ref<double()> limit) {
  constexpr double kSeconds = 1;
  constexpr size_t kLeastRounds = 15;
  Pinned pinned;
  Activity working(work), limited(limit);
  std::vector<double> speeds, ratios;
  double before = limited.sample();
  for (double begin = now(); speeds.size() < kLeastRounds || now() - begin < kSeconds;) {
    speeds.push_back(working.sample());
    double after = limited.sample();
    ratios.push_back(speeds.back() / (0.5 * (before + after)));
    before = after;
  }
  return {median(speeds), median(ratios)};
}

//===----------------------------------------------------------------------===//
// Compiling
//===----------------------------------------------------------------------===//

static std::string programText(const Case &shape) {
  std::string result = shape.quantized ? "!q" : "i32";
  std::string parts = shape.quantized ? "parts(%one : tensor<f32>)" : "";
  std::string out = llvm::formatv("tensor<{0}x{1}x{2}>", shape.m, shape.n, shape.quantized ? "i8" : "i32");
  std::string text = llvm::formatv(R"(
!q = !qlow.q<u8 : f32>
!w = !qlow.q<i8 : f32>
module @bench {{
  func.func @run(%codes: tensor<{0}x{2}xi8>) -> {5} {{
    %one = arith.constant dense<1.0> : tensor<f32>
    %small = arith.constant dense<1.0e-6> : tensor<f32>
    %w = arith.constant dense<0> : tensor<{2}x{1}xi8>
    %a = qlow.compose %codes, %small : (tensor<{0}x{2}xi8>, tensor<f32>) -> tensor<{0}x{2}x!q>
    %b = qlow.compose %w, %one : (tensor<{2}x{1}xi8>, tensor<f32>) -> tensor<{2}x{1}x!w>
    %y = qlow.matmul %a, %b {4} : tensor<{0}x{2}x!q>, tensor<{2}x{1}x!w> -> tensor<{0}x{1}x{3}>
)",
                                   shape.m, shape.n, shape.k, result, parts, out);
  if (shape.quantized)
    text +=
        llvm::formatv("    %c, %s = qlow.decompose %y : (tensor<{0}x{1}x!q>) -> ({2}, tensor<f32>)\n    return %c : "
                      "{2}\n",
                      shape.m, shape.n, out);
  else
    text += "    return %y : " + out + "\n";
  return text + "  }\n}\n";
}

/// Makes the program's weights these bytes.
static void setWeights(ModuleOp module, ArrayRef<char> memory) {
  module.walk([&](arith::ConstantOp constant) {
    auto type = dyn_cast<RankedTensorType>(constant.getType());
    if (!type || type.getRank() != 2)
      return;
    AsmResourceBlob blob =
        UnmanagedAsmResourceBlob::allocateWithAlign(memory.take_front(type.getNumElements()), /*align=*/8);
    constant.setValueAttr(DenseResourceElementsAttr::get(type, "weights", std::move(blob)));
  });
}

/// The module's report entry that selection wrote for its one matmul.
static DictionaryAttr reportOf(ModuleOp module) {
  auto report = module->getAttrOfType<ArrayAttr>("qlow.report");
  return report && report.size() == 1 ? dyn_cast<DictionaryAttr>(report[0]) : DictionaryAttr();
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

namespace {
/// One entry with memory for a call.
class Call {
public:
  static llvm::Expected<Call> prepare(const LoadedObject &object, const Case &shape) {
    const AbiFunction &function = object.abi().functions.front();
    llvm::Expected<int64_t> workspace = object.workspace(function, {}, 1);
    if (!workspace)
      return workspace.takeError();
    Call call;
    call.lhs.resize(shape.m * shape.k);
    std::mt19937 random(2); // NOLINT(bugprone-random-generator-seed): the same in every run
    for (uint8_t &code : call.lhs)
      code = static_cast<uint8_t>(random());
    call.out.resize(shape.m * shape.n);
    call.scratch.resize(*workspace + 64);
    CallArguments arguments;
    arguments.fields = {call.lhs.data(), call.out.data()};
    arguments.workspace = call.scratch.data() + (-reinterpret_cast<uintptr_t>(call.scratch.data()) & 63);
    arguments.workspaceSize = *workspace;
    auto entry = object.bind(function, arguments);
    if (!entry)
      return entry.takeError();
    call.entry = std::move(*entry);
    if (int32_t code = call.entry())
      return fail(shape.name + ": " + object.message(code));
    return call;
  }
  void operator()() const { (void)entry(); }

private:
  std::vector<uint8_t> lhs, scratch;
  std::vector<int32_t> out;
  std::function<int32_t()> entry;
};
} // namespace

static llvm::Expected<Result> runCase(const Case &shape, const std::string &targetName, const Target &target,
                                      MLIRContext &context, MutableArrayRef<char> memory) {
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(programText(shape), &context);
  if (!module)
    return fail("the program of " + shape.name + " does not parse");
  setWeights(*module, memory);
  PassManager passes(&context);
  PipelineOptions pipeline;
  pipeline.target = targetName;
  pipeline.prefix = "bench";
  buildImportPipeline(passes);
  if (failed(buildPipeline(passes, pipeline, [](const Twine &message) { llvm::errs() << message << "\n"; })) ||
      failed(passes.run(*module)))
    return fail(shape.name + " does not compile");
  DictionaryAttr report = reportOf(*module);
  FailureOr<AbiModule> abi = AbiModule::read(*module);
  if (failed(abi) || !report)
    return fail(shape.name + " has no interface or no report");
  const MultiplyRow *row = target.findRow(report.getAs<StringAttr>("row").getValue());
  llvm::Expected<LoadedObject> object = emitAndLoad(*module, *abi, target);
  if (!object)
    return object.takeError();
  llvm::Expected<Call> call = Call::prepare(*object, shape);
  if (!call)
    return call.takeError();
  llvm::Expected<MachineLimits> limits = MachineLimits::compile(context, target, *row);
  if (!limits)
    return limits.takeError();
  double weights = static_cast<double>(shape.n) * shape.k, work = shape.memory ? weights : shape.m * weights;
  auto runKernel = [&] { return (*call)(), work; };
  auto runLimit = [&] { return shape.memory ? limits->readMemory(memory) : limits->multiply(); };
  Comparison speed = compare(runKernel, runLimit);
  return Result{shape, work / speed.speed, speed.ratio, report.getAs<FloatAttr>("seconds").getValueAsDouble(),
                row->id.str()};
}

static llvm::json::Value toJson(ArrayRef<Result> results) {
  llvm::json::Array array;
  for (const Result &result : results)
    array.push_back(llvm::json::Object{{"name", result.what.name},
                                       {"m", result.what.m},
                                       {"n", result.what.n},
                                       {"k", result.what.k},
                                       {"threads", 1},
                                       {"row", result.row},
                                       {"seconds", result.seconds},
                                       {"bound", result.what.memory ? "memory" : "compute"},
                                       {"ratio_to_limit", result.ratio},
                                       {"predicted_seconds", result.predicted}});
  return array;
}

//===----------------------------------------------------------------------===//
// The command line
//===----------------------------------------------------------------------===//

namespace {
struct Options {
  cl::opt<std::string> suite{cl::Positional, cl::desc("int8"), cl::Required};
  cl::opt<std::string> json{"json", cl::value_desc("file"), cl::desc("Write the results there")};
  cl::opt<std::string> targetName{"target", cl::init("host"), cl::desc("Machine to compile for")};
  cl::opt<std::string> only{"only", cl::value_desc("regex"), cl::desc("Only cases whose name matches")};
  cl::list<std::string> shapes{"shape", cl::CommaSeparated, cl::value_desc("MxNxK"),
                               cl::desc("These sizes instead of the suite's")};
};
} // namespace

/// What to run; at least one case.
static llvm::Expected<std::vector<Case>> chooseCases(const Options &options) {
  if (options.suite != "int8")
    return fail("unknown suite '" + options.suite + "'; known: int8");
  std::vector<Case> cases = int8Cases();
  if (!options.shapes.empty())
    cases.clear();
  for (StringRef text : options.shapes) {
    std::optional<Case> shape = parseShape(text);
    if (!shape)
      return fail("expected --shape=MxNxK of three sizes, as in 1x1024x512, found '" + text + "'");
    cases.push_back(std::move(*shape));
  }
  if (options.only.empty())
    return cases;
  llvm::Regex wanted(options.only);
  if (std::string why; !wanted.isValid(why))
    return fail("--only='" + options.only + "' is no regular expression: " + why);
  std::vector<Case> matching;
  llvm::copy_if(cases, std::back_inserter(matching), [&](const Case &shape) { return wanted.match(shape.name); });
  if (matching.empty())
    return fail("--only='" + options.only + "' matches none of " +
                llvm::join(llvm::map_range(cases, [](const Case &shape) { return shape.name; }), ", "));
  return matching;
}

/// What is read to measure memory, and every case's weights; not all alike, since multiplying zeros takes less power.
static std::vector<uint64_t> fillMemory(ArrayRef<Case> cases) {
  int64_t bytes = 1 << 20;
  for (const Case &shape : cases)
    bytes = std::max(bytes, shape.n * shape.k);
  std::vector<uint64_t> memory(llvm::divideCeil(bytes, 8));
  // NOLINTNEXTLINE(bugprone-random-generator-seed): the same in every run
  std::generate(memory.begin(), memory.end(), std::mt19937_64(1));
  return memory;
}

/// Runs the cases and prints a line for each.
static llvm::Expected<std::vector<Result>> runCases(ArrayRef<Case> cases, const std::string &targetName) {
  auto target = Target::find(targetName);
  if (!target)
    return target.takeError();
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registry.insert<QlowDialect>();
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  std::vector<uint64_t> memory = fillMemory(cases);
  MutableArrayRef<char> bytes(reinterpret_cast<char *>(memory.data()), memory.size() * 8);

  std::vector<Result> results;
  llvm::outs() << llvm::formatv("{0,-26}{1,-34}{2,12}{3,10}{4,8}{5,14}\n", "name", "row", "seconds", "bound", "ratio",
                                "predicted");
  for (const Case &shape : cases) {
    auto result = runCase(shape, targetName, **target, context, bytes);
    if (!result)
      return result.takeError();
    llvm::outs() << llvm::formatv("{0,-26}{1,-34}{2,12:e3}{3,10}{4,8:f3}{5,14:e3}\n", result->what.name, result->row,
                                  result->seconds, result->what.memory ? "memory" : "compute", result->ratio,
                                  result->predicted);
    results.push_back(std::move(*result));
  }
  return results;
}

static llvm::Error writeJson(StringRef path, ArrayRef<Result> results) {
  OutputFiles files;
  if (llvm::Error error = files.write(path, llvm::formatv("{0:2}\n", toJson(results)).str()))
    return error;
  return files.commit();
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::ResetCommandLineParser();
  Options options;
  cl::ParseCommandLineOptions(argc, argv, "Times emitted kernels against the machine's limits\n");
  registerAllPasses();
  registerQlowDialectPasses();
  registerQlowImportPasses();
  registerQlowTransformsPasses();
  registerQlowEmitPasses();
  auto run = [&]() -> llvm::Error {
    auto cases = chooseCases(options);
    if (!cases)
      return cases.takeError();
    auto results = runCases(*cases, resolveTarget(options.targetName));
    if (!results)
      return results.takeError();
    return options.json.empty() ? llvm::Error::success() : writeJson(options.json, *results);
  };
  llvm::Error error = run();
  if (!error)
    return 0;
  llvm::errs() << "qlow-bench: error: " << llvm::toString(std::move(error)) << "\n";
  return 1;
}
