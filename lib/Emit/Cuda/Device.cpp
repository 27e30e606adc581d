//===- Device.cpp - devices that the CUDA driver starts kernels on ----------===//
//
// What the room asks of a kind of device, answered for this one. docs/Abi.md says the same to those who call.
//
//===----------------------------------------------------------------------===//

#include "Device.h"

#include "Driver.h"
#include "Entries.h"
#include "Images.h"
#include "Products.h"

using namespace mlir;
using namespace qlow;

/// PTX ISA 8.0: of the addresses of asynchronous copies, and of tensors that tensor maps describe.
static constexpr int64_t kTensorAlignment = 16;

namespace {
class CudaDevice final : public Device {
public:
  int64_t tensorAlignment() const override { return kTensorAlignment; }
  int64_t memoryAlignment() const override { return kMemoryAlignment; }
  Words words() const override { return {"the CUDA driver", "a CUresult", "a CUstream of the device's context"}; }
  void writeDeclarations(const AbiModule &abi, llvm::raw_ostream &os) const override;
  void addMessages(StringRef prefix, std::map<int32_t, std::string> &messages) const override;
  Value emitIsLoaded(ImplicitLocOpBuilder &b, StringRef prefix, Value state) const override;
  int32_t notLoaded() const override { return NotInitialized; }
  Value emitEnter(ImplicitLocOpBuilder &b, Value state) const override;
  Value emitLeave(ImplicitLocOpBuilder &b, Value state) const override;
  Value emitWeights(ImplicitLocOpBuilder &b, Value state) const override;
  void buildFunctions(ImplicitLocOpBuilder &b, const AbiModule &abi) const override { buildLoadFunctions(b, abi); }
  FailureOr<std::string> generate(ModuleOp module, ArrayRef<gpu::GPUModuleOp> kernels, const AbiModule &abi,
                                  const Target &target, const ObjectOptions &options) const override;
};
} // namespace

const Device &qlow::cudaDevice() {
  static const CudaDevice device;
  return device;
}

void CudaDevice::writeDeclarations(const AbiModule &abi, llvm::raw_ostream &os) const {
  const std::string &prefix = abi.prefix;
  os << "/* What the driver gave for one context: kernels, weights, functions. The memory is the caller's, and need "
        "not "
        "be\n   set before load; nothing is kept elsewhere. Several states may be loaded, in one context or many. "
        "Calls do not\n   change a state, so threads may share it. */\n"
     << "typedef struct " << prefix << "_device {\n  uint64_t state[" << stateWords(*abi.device) << "];\n} " << prefix
     << "_device;\n\n"
     << "/* Bytes of device memory that the weights take. */\nint64_t " << prefix << "_weights_size(void);\n\n"
     << "/* Loads kernels and weights into the calling thread's current context. Where it has none, the primary "
        "context "
        "of\n   device 0 is retained and made current. Weights go to memory of the context at that address, at least\n "
        "  "
     << prefix << "_weights_size() bytes, aligned to " << kMemoryAlignment
     << "; with NULL they get memory of their own. Returns when they are\n   "
        "there. Where it fails nothing is left behind. */\n"
     << "int " << prefix << "_load(" << prefix << "_device *device, void *weights);\n\n"
     << "/* The same with weights that are in memory already, such as those of another state: what wrote them has\n   "
        "ended. */\n"
     << "int " << prefix << "_adopt(" << prefix << "_device *device, const void *weights);\n\n"
     << "/* Gives back all that load or adopt took, when no call is under way any more. */\n"
     << "int " << prefix << "_unload(" << prefix << "_device *device);\n\n";
}

/// What the driver and its devices can say: codes alone, and with the results that occur.
void CudaDevice::addMessages(StringRef prefix, std::map<int32_t, std::string> &messages) const {
  auto add = [&](AbiCode code, int32_t above, const Twine &text) {
    messages[int32_t(code) + 256 * above] = (prefix + ": " + text).str();
  };
  add(AbiCode::Null, 0, "device must not be NULL, nor the weights to adopt");
  add(AbiCode::Align, 0, "weights must be aligned to " + Twine(kMemoryAlignment) + " bytes");
  add(AbiCode::Driver, 0, "there is no libcuda.so.1: the CUDA driver is not installed");
  for (auto [index, name] : llvm::enumerate(driverFunctionNames()))
    add(AbiCode::Driver, int32_t(index) + 1, "libcuda.so.1 has no " + name + ": the CUDA driver is too old");
  const std::pair<AbiCode, StringRef> kinds[] = {
      {AbiCode::Device, "no device can be used"},
      {AbiCode::Memory, "device memory could not be had or written"},
      {AbiCode::Load, "the driver did not take the kernels"},
      {AbiCode::Launch, "a kernel could not be launched"},
  };
  for (auto [code, text] : kinds) {
    add(code, 0, text + "; code >> 8 is the driver's CUresult");
    for (const CudaResultName &result : cudaResultNames())
      add(code, result.value, text + ": CUDA_ERROR_" + result.name);
  }
  add(AbiCode::Device, NotInitialized, "device is not loaded, or by another object: call " + prefix + "_load first");
  add(AbiCode::Device, NoBinaryForGpu, "the code is for another generation of devices");
}

//===----------------------------------------------------------------------===//
// In entries
//===----------------------------------------------------------------------===//

static Type pointer(ImplicitLocOpBuilder &b) { return LLVM::LLVMPointerType::get(b.getContext()); }

Value CudaDevice::emitIsLoaded(ImplicitLocOpBuilder &b, StringRef prefix, Value state) const {
  Value identity = LLVM::AddressOfOp::create(b, pointer(b), identityName(prefix));
  Value found = loadAt(b, pointer(b), state, wordOffset(StateWord::Identity));
  return LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, found, identity);
}

/// The state's context becomes current, whatever was current in the thread.
Value CudaDevice::emitEnter(ImplicitLocOpBuilder &b, Value state) const {
  Value context = loadAt(b, pointer(b), state, wordOffset(StateWord::Context));
  return callDriver(b, state, DriverFunction::PushCurrent, context);
}

Value CudaDevice::emitLeave(ImplicitLocOpBuilder &b, Value state) const {
  Value popped = LLVM::AllocaOp::create(b, pointer(b), pointer(b), constantInt(b, b.getI32Type(), 1));
  return callDriver(b, state, DriverFunction::PopCurrent, popped);
}

Value CudaDevice::emitWeights(ImplicitLocOpBuilder &b, Value state) const {
  return loadAt(b, pointer(b), state, wordOffset(StateWord::Weights));
}

//===----------------------------------------------------------------------===//
// Code of kernels
//===----------------------------------------------------------------------===//

FailureOr<std::string> CudaDevice::generate(ModuleOp module, ArrayRef<gpu::GPUModuleOp> kernels, const AbiModule &abi,
                                            const Target &target, const ObjectOptions &options) const {
  FailureOr<std::vector<ProductKernel>> products = findProducts(kernels, target);
  if (failed(products))
    return failure();
  FailureOr<Images> images = generateImages(module, kernels, abi, target.machine(), options);
  if (failed(images) || failed(checkProducts(module, std::move(*products), *images, abi, target, options)))
    return failure();
  switch (options.artifact) {
  case Artifact::LlvmIr:
    return images->llvmIr;
  case Artifact::DriverText:
    return images->ptx;
  case Artifact::Assembly: {
    auto text = disassemble(*images, options);
    if (!text)
      return module.emitError(llvm::toString(text.takeError()));
    return *text;
  }
  case Artifact::Object:
    embedImages(module, abi.prefix, *images);
    break;
  }
  return std::string();
}
