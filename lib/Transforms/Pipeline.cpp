//===- Pipeline.cpp - the order of all passes -----------------------------===//
//
// One table: what runs, in which order, from imported IR to the LLVM dialect. Every tool runs this table; an option
// cuts it before or behind a pass. Must not set a fast-math flag anywhere: each float operation is rounded once.
//
//===----------------------------------------------------------------------===//

#include "qlow/Transforms/Pipeline.h"
#include "qlow/Targets/Targets.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace qlow;

namespace {
/// For which targets a step is there.
enum class On { Module, ProcessorModule, DeviceModule };

struct Step {
  StringRef pass;
  const char *options = ""; ///< {0}: target, {1}: prefix, {2}: openmp, {3}: fast sums
  On on = On::Module;
  bool PipelineOptions::*onlyIf = nullptr; ///< runs where this is set; null: always
  const Family *kernelsOf = nullptr;       ///< runs on this family's kernels; null: on the module
};
} // namespace

static constexpr const char *kTarget = "target={0}";
/// Stands for the passes that bring kernels to the LLVM dialect: their family says which.
static constexpr StringRef kKernelPasses = "<kernel passes>";

static constexpr Step kSteps[] = {
    // One function a public function, one block each.
    {"qlow-verify"},
    {"lift-cf-to-scf"},
    {"inline", "default-pipeline="},
    {"symbol-dce"},
    {"qlow-keep-intermediates", "", On::Module, &PipelineOptions::keepIntermediates},
    // Quantized tensors: what each matmul takes with it, how it is computed, how its weights lie.
    {"qlow-fuse-epilogues", kTarget},
    {"qlow-record-abi", "prefix={1} target={0}"},
    {"qlow-select-recipes", "target={0} fast-sums={3}"},
    {"qlow-split-quantized", kTarget},
    // Tensors of parts.
    {"convert-elementwise-to-linalg"},
    {"canonicalize"},
    {"cse"},
    {"qlow-fuse-elementwise", kTarget},
    {"resolve-ranked-shaped-type-result-dims"},
    {"canonicalize"},
    {"cse"},
    {"qlow-pack-weights", kTarget},
    // Buffers, and where they lie.
    {"qlow-bufferize"},
    {"canonicalize"},
    {"cse"},
    {"convert-linalg-to-parallel-loops", "", On::DeviceModule},
    {"lower-affine", "", On::DeviceModule},
    {"resolve-ranked-shaped-type-result-dims", "", On::DeviceModule},
    {"canonicalize", "", On::DeviceModule},
    {"cse", "", On::DeviceModule},
    {"qlow-launch-rows", kTarget, On::DeviceModule},
    {"qlow-launch-loops", kTarget, On::DeviceModule},
    {"qlow-plan-workspace", kTarget},
    // Loops.
    {"qlow-schedule-kernels", kTarget},
    {"convert-linalg-to-loops", "", On::ProcessorModule},
    {"qlow-outline-parallel", "", On::ProcessorModule},
    {"convert-linalg-to-parallel-loops", "", On::DeviceModule},
    {"qlow-launch-loops", kTarget, On::DeviceModule},
    {"canonicalize", "", On::DeviceModule},
    {"qlow-outline-kernels", "", On::DeviceModule},
    {"canonicalize"},
    {"cse"},
    {"qlow-expand-math", kTarget},
    {"lower-affine"},
    // The C interface.
    {"qlow-place-weights"},
    {"qlow-lower-launches", kTarget, On::DeviceModule},
    {"qlow-build-entries", "target={0} openmp={2}"},
    // LLVM.
    {"qlow-store-floats-as-bits", kTarget},
    {"convert-vector-to-scf"},
    {"convert-scf-to-cf"},
    {"convert-vector-to-llvm"},
    {"expand-strided-metadata"},
    {"lower-affine"},
    {"canonicalize"},
    {"cse"},
    {kKernelPasses},
    {"convert-to-llvm"},
    {"reconcile-unrealized-casts"},
    {"canonicalize"},
    {"cse"},
};

/// The table with every family's passes in place.
static SmallVector<Step> allSteps() {
  SmallVector<Step> steps;
  for (const Step &step : kSteps) {
    if (step.pass != kKernelPasses) {
      steps.push_back(step);
      continue;
    }
    for (const Family *family : families())
      for (StringRef pass : family->kernelPasses())
        steps.push_back({pass, "", On::DeviceModule, nullptr, family});
  }
  return steps;
}

SmallVector<StringRef> qlow::pipelinePasses() {
  return llvm::map_to_vector(allSteps(), [](const Step &step) { return step.pass; });
}

/// The index behind the last step of that name; `fallback` for an empty name.
static FailureOr<size_t> findBehind(ArrayRef<Step> steps, StringRef name, size_t fallback,
                                    llvm::function_ref<void(const Twine &)> emitError) {
  if (name.empty())
    return fallback;
  for (size_t i = steps.size(); i > 0; --i)
    if (steps[i - 1].pass == name)
      return i;
  SmallVector<StringRef> names;
  for (StringRef pass : pipelinePasses())
    if (!llvm::is_contained(names, pass))
      names.push_back(pass);
  emitError("unknown pass '" + name + "'; the pipeline has: " + llvm::join(names, ", "));
  return failure();
}

/// An option's value as the parser of pass options takes it.
static FailureOr<std::string> quote(StringRef value, llvm::function_ref<void(const Twine &)> emitError) {
  if (!value.contains_insensitive(' ') && !value.contains('\'') && !value.contains('"') && !value.contains('{'))
    return value.str();
  if (!value.contains('"'))
    return ("\"" + value + "\"").str();
  emitError("expected a name without '\"', found " + value);
  return failure();
}

LogicalResult qlow::buildPipeline(OpPassManager &manager, const PipelineOptions &options,
                                  llvm::function_ref<void(const Twine &)> emitError) {
  SmallVector<Step> steps = allSteps();
  FailureOr<size_t> first = findBehind(steps, options.startAfter, 0, emitError);
  FailureOr<size_t> last = findBehind(steps, options.stopAfter, steps.size(), emitError);
  FailureOr<std::string> target = quote(options.target, emitError), prefix = quote(options.prefix, emitError);
  if (failed(first) || failed(last) || failed(target) || failed(prefix))
    return failure();
  llvm::Expected<std::shared_ptr<const Target>> found = Target::find(options.target);
  // An unknown target is the passes' error to report.
  const Family *family = found ? &(*found)->family() : nullptr;
  bool onDevice = family && family->runsOnDevice();
  if (!found)
    llvm::consumeError(found.takeError());
  for (size_t i = *first; i < *last; ++i) {
    const Step &step = steps[i];
    if (step.on != On::Module && onDevice != (step.on != On::ProcessorModule))
      continue;
    if ((step.onlyIf && !(options.*step.onlyIf)) || (step.kernelsOf && step.kernelsOf != family))
      continue;
    OpPassManager &runner = step.kernelsOf ? manager.nest<gpu::GPUModuleOp>() : manager;
    const PassRegistryEntry *pass = PassInfo::lookup(step.pass);
    if (!pass) {
      emitError("pass '" + step.pass + "' is not registered in this tool");
      return failure();
    }
    auto word = [](bool value) { return value ? "true" : "false"; };
    std::string text =
        llvm::formatv(/*Validate=*/false, step.options, *target, *prefix, word(options.openmp), word(options.fastSums));
    LogicalResult added = pass->addToPipeline(runner, text, [&](const Twine &message) {
      emitError("'" + step.pass + "': " + message);
      return failure();
    });
    if (failed(added))
      return failure();
  }
  return success();
}

namespace {
struct PipelineFlags : PassPipelineOptions<PipelineFlags> {
  Option<std::string> target{*this, "target", llvm::cl::desc("Name or JSON file of the target"),
                             llvm::cl::init("generic")};
  Option<std::string> prefix{*this, "prefix", llvm::cl::desc("Prefix of all symbols; else the module's name")};
  Option<bool> openmp{*this, "openmp", llvm::cl::desc("A ready-made parallel run on OpenMP's threads")};
  Option<std::string> startAfter{*this, "start-after", llvm::cl::desc("Begin behind this pass")};
  Option<std::string> stopAfter{*this, "stop-after", llvm::cl::desc("End with this pass")};
  Option<bool> fastSums{*this, "fast-sums", llvm::cl::desc("Sums of small floats within the bound of fast sums")};
  Option<bool> keepIntermediates{*this, "keep-intermediates", llvm::cl::desc("Return the result of each quantized op")};
};
} // namespace

void qlow::registerPipeline() {
  registerPassPipeline(
      "qlow-pipeline", "From imported IR to the LLVM dialect",
      [](OpPassManager &manager, StringRef text, llvm::function_ref<LogicalResult(const Twine &)> errorHandler) {
        PipelineFlags flags;
        if (failed(flags.parseFromString(text)))
          return failure();
        return buildPipeline(manager,
                             {flags.target, flags.prefix, flags.openmp, flags.startAfter, flags.stopAfter,
                              flags.fastSums, flags.keepIntermediates},
                             [&](const Twine &message) { (void)errorHandler(message); });
      },
      [](llvm::function_ref<void(const mlir::detail::PassOptions &)> handler) { handler(PipelineFlags()); });
}
