//===- Images.cpp - from kernels to PTX -------------------------------------===//
//
// In: gpu.modules in the LLVM and NVVM dialects. Out: one PTX text of all their kernels, and the constants that carry
// it into the host's object. What LLVM would abort on is looked for first; the rest runs guarded. Devices have no
// libraries: a call of a function that is not in the module is an error at the op it came from.
//
//===----------------------------------------------------------------------===//

#include "Images.h"

#include "Backend.h"
#include "Driver.h"
#include "Entries.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Support/Regex.h"

using namespace mlir;
using namespace qlow;

static constexpr unsigned kSharedSpace = static_cast<unsigned>(NVVM::NVVMMemorySpace::Shared);

namespace {
class KernelJob final : public Backend {
public:
  KernelJob(ModuleOp module, ArrayRef<gpu::GPUModuleOp> kernels, const AbiModule &abi, const Machine &machine,
            const ObjectOptions &options)
      : Backend(module, machine, options.debug), kernels(kernels), abi(abi), options(options) {}

  void run() override;
  std::string llvmIr;
  llvm::SmallString<0> ptx;

private:
  void prepareFunctions(llvm::Module &part);
  /// More than the lines themselves is for debuggers in PTX, and turns ptxas's optimizations off.
  LLVM::DIEmissionKind lineTables() const override { return LLVM::DIEmissionKind::DebugDirectivesOnly; }

  ArrayRef<gpu::GPUModuleOp> kernels;
  const AbiModule &abi;
  const ObjectOptions &options;
  std::unique_ptr<llvm::Module> llvmModule;
};
} // namespace

static std::string featureString(const Machine &machine) {
  std::string features;
  for (const std::string &feature : machine.features)
    features += (features.empty() ? "+" : ",+") + feature;
  return features;
}

/// Only what the host launches is seen from outside; two modules may call their helpers alike.
void KernelJob::prepareFunctions(llvm::Module &part) {
  llvm::StringSet<> launched;
  for (const AbiKernel &kernel : abi.device->kernels)
    launched.insert(kernel.name);
  for (llvm::Function &function : part) {
    if (function.isDeclaration())
      continue;
    function.setDoesNotThrow();
    if (!launched.contains(function.getName()))
      function.setLinkage(llvm::GlobalValue::InternalLinkage);
  }
  for (llvm::GlobalVariable &global : part.globals()) {
    // Memory that a launch brings. As a definition of no bytes LLVM would conclude that no access meets another.
    if (global.getAddressSpace() == kSharedSpace && part.getDataLayout().getTypeAllocSize(global.getValueType()) == 0) {
      global.setInitializer(nullptr);
      global.setLinkage(llvm::GlobalValue::ExternalLinkage);
    }
    if (!global.isDeclaration())
      global.setLinkage(llvm::GlobalValue::InternalLinkage);
  }
}

/// ptxas gives a register the type of the instruction that writes it, and a store of fewer bits than an f32's register
/// has converts the number to an unsigned integer where PTX says that it takes the low bits. A move between the two
/// is what it keeps; it costs no instruction.
static void separateBitsFromFloats(llvm::Module &module) {
  llvm::Type *i32 = llvm::Type::getInt32Ty(module.getContext());
  auto *move = llvm::InlineAsm::get(llvm::FunctionType::get(i32, {i32}, false), "mov.b32 $0, $1;", "=r,r",
                                    /*hasSideEffects=*/false);
  for (llvm::Function &function : module)
    for (llvm::Instruction &instruction : llvm::instructions(function)) {
      auto *narrow = dyn_cast<llvm::TruncInst>(&instruction);
      if (narrow && narrow->getSrcTy() == i32 && isa<llvm::BitCastInst>(narrow->getOperand(0)))
        narrow->setOperand(0, llvm::IRBuilder<>(narrow).CreateCall(move, narrow->getOperand(0)));
    }
}

void KernelJob::run() {
  if (!createTargetMachine(machine.tune, featureString(machine)))
    return;
  for (gpu::GPUModuleOp kernel : kernels) {
    // Upstream's pass for debug information takes builtin modules only.
    OwningOpRef<ModuleOp> plain = ModuleOp::create(kernel.getLoc());
    plain->getBody()->getOperations().splice(plain->getBody()->end(), kernel.getBody()->getOperations());
    std::unique_ptr<llvm::Module> part = translate(*plain, abi.prefix);
    if (!part)
      return;
    prepareFunctions(*part);
    if (!llvmModule)
      llvmModule = std::move(part);
    else if (llvm::Linker::linkModules(*llvmModule, std::move(part))) {
      fail("the kernels of different modules could not be linked");
      return;
    }
  }
  if (!llvmModule) {
    OwningOpRef<ModuleOp> empty = ModuleOp::create(op->getLoc());
    llvmModule = translate(*empty, abi.prefix);
  }
  optimize(*llvmModule);
  separateBitsFromFloats(*llvmModule);
  if (!error.empty())
    return;
  if (options.artifact == Artifact::LlvmIr) {
    llvm::raw_string_ostream os(llvmIr);
    llvmModule->print(os, nullptr);
    return;
  }
  llvm::raw_svector_ostream os(ptx);
  generate(*llvmModule, os, llvm::CodeGenFileType::AssemblyFile);
}

//===----------------------------------------------------------------------===//
// Checks before LLVM sees anything
//===----------------------------------------------------------------------===//

/// The capability that a processor's name says, and whether its code runs on that one alone, such as sm_90a.
static FailureOr<std::pair<int, bool>> readCapability(ModuleOp module, const Machine &machine) {
  int capability = 0;
  SmallVector<StringRef> parts;
  if (!llvm::Regex("^sm_([0-9]+)([a-z]?)$").match(machine.tune, &parts) || parts[1].getAsInteger(10, capability))
    return module.emitError("target '" + machine.name + "': expected \"tune\" to name a device such as sm_90 or " +
                            "sm_90a, found '" + machine.tune + "'");
  return std::pair(capability, !parts[2].empty());
}

static LogicalResult checkCalls(gpu::GPUModuleOp kernels) {
  SymbolTable symbols(kernels);
  WalkResult walk = kernels.walk([&](LLVM::CallOp call) {
    std::optional<StringRef> callee = call.getCallee();
    auto function = callee ? symbols.lookup<LLVM::LLVMFuncOp>(*callee) : LLVM::LLVMFuncOp();
    if (!function || !function.isExternal() || callee->starts_with("llvm."))
      return WalkResult::advance();
    call.emitError() << "the code needs '" << *callee
                     << "', and a device has no library: an operation was lowered to a "
                     << "call instead of instructions";
    return WalkResult::interrupt();
  });
  return failure(walk.wasInterrupted());
}

/// Instructions of later chips, and those of one chip alone, are in PTX for these; LLVM prints them for any. Addresses
/// of the host's code have 64 bits.
static LogicalResult checkChip(ModuleOp module, const Machine &machine, int capability) {
  for (StringRef feature : machine.features) {
    int least = 0;
    StringRef letter = feature;
    if (!letter.consume_front("sm_") || letter.consumeInteger(10, least))
      continue;
    if (letter.empty() ? least > capability : feature != machine.tune)
      return module.emitError("target '" + machine.name + "': expected \"tune\" to be \"" + feature +
                              (letter.empty() ? "\" or later" : "\"") +
                              ", which its features are of, or these without it, found \"" + machine.tune + "\"");
  }
  if (!llvm::Triple(machine.triple).isArch64Bit())
    return module.emitError("target '" + machine.name + "': expected a \"triple\" of 64-bit addresses, such as " +
                            "nvptx64-nvidia-cuda, found \"" + machine.triple + "\"");
  return success();
}

static LogicalResult checkKernels(ArrayRef<gpu::GPUModuleOp> kernels, const Machine &machine) {
  for (gpu::GPUModuleOp kernel : kernels) {
    auto chip = NVVM::NVVMTargetAttr::get(kernel.getContext(), 3, machine.triple, machine.tune, featureString(machine));
    // The op's own diagnostic says which capability it needs; LLVM would abort.
    if (failed(chip.verifyTarget(kernel)) || failed(checkCalls(kernel)))
      return failure();
  }
  return success();
}

/// Tensor maps lie in the kernel's parameters, and kernels take their addresses.
static void markTensorMaps(gpu::GPUModuleOp kernels) {
  Builder b(kernels.getContext());
  for (auto function : kernels.getOps<LLVM::LLVMFuncOp>()) {
    auto places = dyn_cast_or_null<DenseI32ArrayAttr>(function->removeAttr(kTensorMapsAttribute));
    for (int32_t place : places ? places.asArrayRef() : ArrayRef<int32_t>()) {
      function.setArgAttr(place, LLVM::LLVMDialect::getByValAttrName(),
                          TypeAttr::get(LLVM::LLVMArrayType::get(b.getI8Type(), 128)));
      function.setArgAttr(place, LLVM::LLVMDialect::getAlignAttrName(), b.getI64IntegerAttr(64));
      function.setArgAttr(place, NVVM::NVVMDialect::getGridConstantAttrName(), b.getUnitAttr());
    }
  }
}

/// Generates one image: all kernels but those of another one alone.
static std::unique_ptr<KernelJob> generateImage(ModuleOp module, ArrayRef<gpu::GPUModuleOp> kernels,
                                                const AbiModule &abi, const Machine &machine, int capability,
                                                StringRef without, const ObjectOptions &options) {
  SmallVector<OwningOpRef<gpu::GPUModuleOp>> owned;
  SmallVector<gpu::GPUModuleOp> parts;
  for (gpu::GPUModuleOp part : kernels) {
    owned.emplace_back(part.clone());
    parts.push_back(*owned.back());
    for (auto function : llvm::make_early_inc_range(parts.back().getOps<LLVM::LLVMFuncOp>()))
      if (auto image = function->getAttrOfType<StringAttr>(kImageAttribute); image && image.getValue() == without)
        function.erase();
    // Earlier devices start a kernel when the one in front has ended.
    if (capability < 90)
      parts.back().walk([](NVVM::GriddepcontrolOp op) { op.erase(); });
    markTensorMaps(parts.back());
  }
  if (failed(checkChip(module, machine, capability)) || failed(checkKernels(parts, machine)))
    return nullptr;
  return runBackend(std::make_unique<KernelJob>(module, parts, abi, machine, options), module, machine.name);
}

/// The image for later devices, which only an object has.
static LogicalResult addPortable(ModuleOp module, ArrayRef<gpu::GPUModuleOp> kernels, const AbiModule &abi,
                                 const Machine &machine, const ObjectOptions &options, Images &images) {
  auto target = findTarget(module, abi.device->portable);
  if (failed(target))
    return failure();
  auto capability = readCapability(module, (*target)->machine());
  if (failed(capability))
    return failure();
  if (auto [version, isExact] = *capability; version > images.capability || isExact)
    return module.emitError("target '" + machine.name + "': expected \"portable\" to name a target whose code later " +
                            "devices than sm_" + Twine(images.capability) + " run, such as sm_80, found '" +
                            abi.device->portable + "'");
  auto job =
      generateImage(module, kernels, abi, (*target)->machine(), capability->first, /*without=*/machine.name, options);
  if (!job)
    return failure();
  images.portablePtx = std::string(job->ptx);
  images.portableCapability = capability->first;
  return success();
}

FailureOr<Images> qlow::generateImages(ModuleOp module, ArrayRef<gpu::GPUModuleOp> kernels, const AbiModule &abi,
                                       const Machine &machine, const ObjectOptions &options) {
  Images images;
  auto capability = readCapability(module, machine);
  if (failed(capability))
    return failure();
  std::tie(images.capability, images.isExact) = *capability;
  auto job = generateImage(module, kernels, abi, machine, images.capability, /*without=*/abi.device->portable, options);
  if (!job)
    return failure();
  images.llvmIr = std::move(job->llvmIr);
  images.ptx = std::string(job->ptx);
  if (!abi.device->portable.empty() && options.artifact == Artifact::Object &&
      failed(addPortable(module, kernels, abi, machine, options, images)))
    return failure();
  if (options.artifact == Artifact::Object || options.artifact == Artifact::Assembly)
    if (failed(assemble(module, images, machine, options)))
      return failure();
  return images;
}

//===----------------------------------------------------------------------===//
// Images in the host's module
//===----------------------------------------------------------------------===//

/// Defines ptr image(i32 capability, i32 n), the n-th of the images that fit, best first:
///
///   rank = n, result = null; for each image: result = fits && rank == 0 ? image : result; rank -= fits
void qlow::embedImages(ModuleOp module, StringRef prefix, const Images &images) {
  struct Image {
    std::string bytes;
    LLVM::ICmpPredicate fits;
    int capability;
  };
  SmallVector<Image> ordered;
  if (!images.cubin.empty())
    ordered.push_back({images.cubin, LLVM::ICmpPredicate::eq, images.capability});
  // The driver reads PTX up to its zero.
  ordered.push_back(
      {images.ptx + '\0', images.isExact ? LLVM::ICmpPredicate::eq : LLVM::ICmpPredicate::sge, images.capability});
  if (!images.portablePtx.empty())
    ordered.push_back({images.portablePtx + '\0', LLVM::ICmpPredicate::sge, images.portableCapability});

  ImplicitLocOpBuilder b(module.getLoc(), module.getContext());
  auto pointer = LLVM::LLVMPointerType::get(module.getContext());
  Type i32 = b.getI32Type();
  auto declared = module.lookupSymbol<LLVM::LLVMFuncOp>(imageFunctionName(prefix));
  b.setInsertionPoint(declared);
  auto function = startFunction(b, imageFunctionName(prefix), pointer, {i32, i32}, /*internal=*/true);
  Value version = function.getArgument(0), rank = function.getArgument(1);
  Value result = LLVM::ZeroOp::create(b, pointer);
  for (auto [index, image] : llvm::enumerate(ordered)) {
    std::string name = (prefix + ".image" + Twine(index)).str();
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(declared);
      LLVM::GlobalOp::create(b, LLVM::LLVMArrayType::get(b.getI8Type(), image.bytes.size()), /*isConstant=*/true,
                             LLVM::Linkage::Internal, name, b.getStringAttr(image.bytes), /*alignment=*/64);
    }
    Value fits = LLVM::ICmpOp::create(b, image.fits, version, constantInt(b, i32, image.capability));
    Value first = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, rank, constantInt(b, i32, 0));
    Value address = LLVM::AddressOfOp::create(b, pointer, name);
    result = LLVM::SelectOp::create(b, LLVM::AndOp::create(b, fits, first), address, result);
    rank = LLVM::SubOp::create(b, rank, LLVM::ZExtOp::create(b, i32, fits));
  }
  LLVM::ReturnOp::create(b, result);
  declared.erase();
  if (images.portablePtx.empty())
    return;
  auto asked = module.lookupSymbol<LLVM::LLVMFuncOp>(portableFunctionName(prefix));
  b.setInsertionPoint(asked);
  auto answer = startFunction(b, portableFunctionName(prefix), b.getI1Type(), {pointer}, /*internal=*/true);
  Value last = LLVM::AddressOfOp::create(b, pointer, (prefix + ".image" + Twine(ordered.size() - 1)).str());
  LLVM::ReturnOp::create(b, LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, answer.getArgument(0), last));
  asked.erase();
}
