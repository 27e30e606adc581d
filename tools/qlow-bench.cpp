//===- qlow-bench.cpp - emitted kernels against the machine's limits --------===//
//
//   qlow-bench int8 [--json=FILE] [--target=host] [--only=REGEX]
//
// Compiles matmuls, runs them in this process on one thread, and puts their time beside two limits measured in the same
// run: the multiply instruction of the chosen row on registers alone, and a plain read of memory. Ratios hold on a
// noisy machine, absolute times do not.
//
//===----------------------------------------------------------------------===//

#include "HostTarget.h"
#include "LoadedObject.h"

#include "qlow/Dialect/Dialect.h"
#include "qlow/Emit/Emit.h"
#include "qlow/Import/Import.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/AsmState.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Regex.h"

#include <chrono>
#include <random>

using namespace mlir;
using namespace qlow;
namespace cl = llvm::cl;

namespace {
struct Case {
  StringRef name;
  int64_t m, n, k;
  bool quantized; ///< u8 out, requantized; else i32
  bool memory;    ///< bound by reading weights from memory: they are larger than any cache
};

const Case kInt8[] = {
    {"u8s8_i32_1024", 1024, 1024, 1024, false, false},      {"u8s8_u8_1024", 1024, 1024, 1024, true, false},
    {"u8s8_u8_128x3072x768", 128, 3072, 768, true, false},  {"u8s8_u8_512x1024x1024", 512, 1024, 1024, true, false},
    {"u8s8_i32_1x65536x4096", 1, 65536, 4096, false, true},
};

struct Result {
  Case what;
  double seconds, ratio, predicted;
  std::string row;
};
} // namespace

static llvm::Error fail(const Twine &message) { return llvm::createStringError(message.str()); }

static double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The least time of a call, over at least half a second of calls.
static double measure(llvm::function_ref<void()> body) {
  body();
  double best = 1e30;
  for (double begin = now(); now() - begin < 0.5;) {
    double start = now();
    body();
    best = std::min(best, now() - start);
  }
  return best;
}

//===----------------------------------------------------------------------===//
// Compiling
//===----------------------------------------------------------------------===//

static llvm::Expected<LoadedObject> emitAndLoad(ModuleOp module, const AbiModule &abi, const Target &target) {
  llvm::SmallString<128> path;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("qlow-bench", "o", path))
    return llvm::errorCodeToError(code);
  llvm::FileRemover remover(path);
  if (failed(emitArtifact(module, abi, target, {}, path)))
    return fail("code generation failed");
  return LoadedObject::open(path);
}

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

/// Weights that are not all alike: multiplying zeros takes less power, and the clock shows it.
static void fillWeights(ModuleOp module) {
  std::mt19937_64 random(1);
  module.walk([&](arith::ConstantOp constant) {
    auto type = dyn_cast<RankedTensorType>(constant.getType());
    if (!type || type.getRank() != 2)
      return;
    AsmResourceBlob blob = HeapAsmResourceBlob::allocate(type.getNumElements(), 64, /*dataIsMutable=*/true);
    MutableArrayRef<char> bytes = blob.getMutableData();
    for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
      uint64_t word = random();
      std::memcpy(bytes.data() + i, &word, 8);
    }
    constant.setValueAttr(DenseResourceElementsAttr::get(type, "weights", std::move(blob)));
  });
}

/// The module's report entry that selection wrote for its one matmul.
static DictionaryAttr reportOf(ModuleOp module) {
  auto report = module->getAttrOfType<ArrayAttr>("qlow.report");
  return report && report.size() == 1 ? dyn_cast<DictionaryAttr>(report[0]) : DictionaryAttr();
}

//===----------------------------------------------------------------------===//
// Limits
//===----------------------------------------------------------------------===//

static int64_t peakSums(const MultiplyRow &row) { return row.temporaries == 0 ? 12 : 8; }

static llvm::Expected<LoadedObject> compileLimits(MLIRContext &context, const Target &target, const MultiplyRow &row) {
  Location loc = UnknownLoc::get(&context);
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  OpBuilder builder = OpBuilder::atBlockEnd(module->getBody());
  auto pointer = LLVM::LLVMPointerType::get(&context);
  auto i64 = builder.getI64Type();
  // Entries are compiled for any machine; the loop they call is compiled for this one.
  auto begin = [&](StringRef name) {
    auto type = builder.getFunctionType({pointer, i64}, {});
    auto func = func::FuncOp::create(builder, loc, ("loop." + name).str(), type);
    auto entry = func::FuncOp::create(builder, loc, ("limits_" + name).str(), type);
    builder.setInsertionPointToStart(entry.addEntryBlock());
    func::CallOp::create(builder, loc, func, entry.getArguments());
    func::ReturnOp::create(builder, loc);
    builder.setInsertionPointToStart(func.addEntryBlock());
    return func;
  };
  auto constant = [&](int64_t value) -> Value { return arith::ConstantIntOp::create(builder, loc, value, 64); };
  auto at = [&](Value base, Value bytes) -> Value {
    return LLVM::GEPOp::create(builder, loc, pointer, builder.getI8Type(), base, ValueRange{bytes});
  };
  // Sums held in registers; what they end in is stored, so that no loop can be left out.
  auto loop = [&](func::FuncOp func, Type type, int64_t count, int64_t step,
                  llvm::function_ref<void(Value, SmallVectorImpl<Value> &)> body) {
    Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
    auto repeat = scf::ForOp::create(builder, loc, constant(0), func.getArgument(1), constant(step),
                                     SmallVector<Value>(count, zero));
    builder.setInsertionPointToStart(repeat.getBody());
    SmallVector<Value> sums(repeat.getRegionIterArgs());
    body(repeat.getInductionVar(), sums);
    scf::YieldOp::create(builder, loc, sums);
    builder.setInsertionPointAfter(repeat);
    for (auto [i, sum] : llvm::enumerate(repeat.getResults()))
      LLVM::StoreOp::create(builder, loc, sum, at(func.getArgument(0), constant(static_cast<int64_t>(i) * 64)), 1);
    func::ReturnOp::create(builder, loc);
    builder.setInsertionPointToEnd(module->getBody());
  };

  func::FuncOp peak = begin("peak");
  auto sum = VectorType::get({row.n}, row.isFloat ? Type(builder.getF32Type()) : builder.getI32Type());
  Type element = row.isFloat ? Type(builder.getF32Type()) : builder.getIntegerType(8 * elementBytes(row.storedLhs));
  auto operand = VectorType::get({row.n * row.k}, element);
  // A row of one instruction needs sums enough to hide its latency. One of several must not have equal products, which
  // would be computed once, and all of its registers must stay registers: two left sides, read anew each time so that
  // no product moves out of the loop, times four right sides.
  bool isOne = row.temporaries == 0;
  SmallVector<Value> rhs;
  for (int64_t i = 0; i < (isOne ? 1 : 4); ++i)
    rhs.push_back(LLVM::LoadOp::create(builder, loc, operand, at(peak.getArgument(0), constant(i * 64)), 1));
  loop(peak, sum, peakSums(row), 1, [&](Value, SmallVectorImpl<Value> &sums) {
    Value lhs;
    for (auto [i, value] : llvm::enumerate(sums)) {
      if (i % 4 == 0)
        lhs = LLVM::LoadOp::create(builder, loc, operand,
                                   at(peak.getArgument(0), constant(static_cast<int64_t>(i + 16) * 16)), 1,
                                   /*isVolatile=*/true);
      value = row.emit(builder, loc, value, lhs, rhs[i % rhs.size()]);
    }
  });

  func::FuncOp read = begin("read");
  int64_t bytes = target.machine().vectorBits / 8;
  auto vector = VectorType::get({bytes / 4}, builder.getI32Type());
  loop(read, vector, 8, 8 * bytes, [&](Value position, SmallVectorImpl<Value> &sums) {
    for (auto [i, value] : llvm::enumerate(sums)) {
      Value offset = arith::AddIOp::create(builder, loc, position, constant(static_cast<int64_t>(i) * bytes));
      Value loaded = LLVM::LoadOp::create(builder, loc, vector, at(read.getArgument(0), offset), 1);
      value = arith::XOrIOp::create(builder, loc, value, loaded);
    }
  });

  PassManager passes(&context);
  if (failed(parsePassPipeline("convert-scf-to-cf,convert-vector-to-llvm,convert-to-llvm,reconcile-unrealized-casts",
                               passes)) ||
      failed(passes.run(*module)))
    return fail("the loops that measure the machine's limits do not compile");
  AbiModule abi;
  abi.prefix = "limits";
  // What is an entry stays visible in the object.
  abi.functions.resize(2);
  abi.functions[0].name = "peak";
  abi.functions[1].name = "read";
  return emitAndLoad(*module, abi, target);
}

namespace {
/// Multiply-adds and bytes in a second.
struct Limits {
  double multiplies, read;
};
} // namespace

static llvm::Expected<Limits> measureLimits(const LoadedObject &object, const MultiplyRow &row,
                                            std::vector<uint64_t> &memory) {
  using Loop = void (*)(void *, int64_t);
  llvm::Expected<void *> peak = object.lookup("limits_peak");
  if (!peak)
    return peak.takeError();
  llvm::Expected<void *> read = object.lookup("limits_read");
  if (!read)
    return read.takeError();
  constexpr int64_t kRounds = 1 << 20;
  alignas(64) char operands[12 * 64];
  for (size_t i = 0; i < sizeof operands; ++i)
    operands[i] = static_cast<char>(i * 37 + 11);
  double multiplies = measure([&] { reinterpret_cast<Loop>(*peak)(operands, kRounds); });
  auto bytes = static_cast<int64_t>(memory.size() * 8) & ~int64_t(4095);
  double reading = measure([&] { reinterpret_cast<Loop>(*read)(memory.data(), bytes); });
  return Limits{static_cast<double>(peakSums(row) * kRounds * row.n * row.k) / multiplies,
                static_cast<double>(bytes) / reading};
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

static llvm::Expected<double> timeEntry(const LoadedObject &object, const Case &shape) {
  const AbiFunction &function = object.abi().functions.front();
  llvm::Expected<int64_t> workspace = object.workspace(function, {}, 1);
  if (!workspace)
    return workspace.takeError();
  std::vector<uint8_t> lhs(shape.m * shape.k);
  std::mt19937 random(2);
  for (uint8_t &code : lhs)
    code = static_cast<uint8_t>(random());
  std::vector<int32_t> out(shape.m * shape.n);
  std::vector<uint8_t> scratch(*workspace + 64);
  CallArguments arguments;
  arguments.fields = {lhs.data(), out.data()};
  arguments.workspace = scratch.data() + (-reinterpret_cast<uintptr_t>(scratch.data()) & 63);
  arguments.workspaceSize = *workspace;
  int32_t code = 0;
  llvm::Error error = llvm::Error::success();
  double seconds = measure([&] {
    if (auto result = object.call(function, arguments))
      code |= *result;
    else
      error = llvm::joinErrors(std::move(error), result.takeError());
  });
  if (error)
    return std::move(error);
  if (code)
    return fail(shape.name + ": " + object.message(code));
  return seconds;
}

static llvm::Expected<Result> runCase(const Case &shape, const std::string &targetName, const Target &target,
                                      MLIRContext &context, std::vector<uint64_t> &memory) {
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(programText(shape), &context);
  if (!module)
    return fail("the program of " + shape.name + " does not parse");
  fillWeights(*module);
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
  llvm::Expected<LoadedObject> loops = compileLimits(context, target, *row);
  if (!loops)
    return loops.takeError();
  // Limits before and behind: a machine that slows down in between shows it.
  llvm::Expected<Limits> before = measureLimits(*loops, *row, memory);
  if (!before)
    return before.takeError();
  llvm::Expected<double> seconds = timeEntry(*object, shape);
  if (!seconds)
    return seconds.takeError();
  llvm::Expected<Limits> behind = measureLimits(*loops, *row, memory);
  if (!behind)
    return behind.takeError();
  double multiplies = static_cast<double>(shape.m) * shape.n * shape.k, bytes = static_cast<double>(shape.n) * shape.k;
  double ratio = shape.memory ? bytes / *seconds / std::max(before->read, behind->read)
                              : multiplies / *seconds / std::max(before->multiplies, behind->multiplies);
  return Result{shape, *seconds, ratio, report.getAs<FloatAttr>("seconds").getValueAsDouble(), row->id.str()};
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

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::ResetCommandLineParser();
  cl::opt<std::string> suite(cl::Positional, cl::desc("int8"), cl::Required);
  cl::opt<std::string> json("json", cl::value_desc("file"), cl::desc("Write the results there"));
  cl::opt<std::string> targetName("target", cl::init("host"), cl::desc("Machine to compile for"));
  cl::opt<std::string> only("only", cl::value_desc("regex"), cl::desc("Only cases whose name matches"));
  cl::ParseCommandLineOptions(argc, argv, "Times emitted kernels against the machine's limits\n");
  auto error = [](const Twine &message) {
    llvm::errs() << "qlow-bench: error: " << message << "\n";
    return 1;
  };
  if (suite != "int8")
    return error("unknown suite '" + suite + "'; known: int8");
  std::string name = resolveTarget(targetName);
  auto target = Target::find(name);
  if (!target)
    return error(llvm::toString(target.takeError()));

  registerAllPasses();
  registerQlowDialectPasses();
  registerQlowImportPasses();
  registerQlowTransformsPasses();
  registerQlowEmitPasses();
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registry.insert<QlowDialect>();
  MLIRContext context(registry);
  context.loadAllAvailableDialects();

  std::vector<uint64_t> memory(size_t(256) << 17, 3); // 256 MiB: beyond any cache
  std::vector<Result> results;
  llvm::outs() << llvm::formatv("{0,-26}{1,-34}{2,12}{3,10}{4,8}{5,14}\n", "name", "row", "seconds", "bound", "ratio",
                                "predicted");
  for (const Case &shape : kInt8) {
    if (!only.empty() && !llvm::Regex(only).match(shape.name))
      continue;
    auto result = runCase(shape, name, **target, context, memory);
    if (!result)
      return error(llvm::toString(result.takeError()));
    llvm::outs() << llvm::formatv("{0,-26}{1,-34}{2,12:e3}{3,10}{4,8:f3}{5,14:e3}\n", result->what.name, result->row,
                                  result->seconds, result->what.memory ? "memory" : "compute", result->ratio,
                                  result->predicted);
    results.push_back(std::move(*result));
  }
  if (json.empty())
    return 0;
  OutputFiles files;
  llvm::Error written = files.write(json, llvm::formatv("{0:2}\n", toJson(results)).str());
  if (!written)
    written = files.commit();
  return written ? error(llvm::toString(std::move(written))) : 0;
}
