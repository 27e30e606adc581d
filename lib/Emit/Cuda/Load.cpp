//===- Load.cpp - load, adopt and unload of an object's state ---------------===//
//
// In: the record of a module whose kernels a device runs. Out: functions that open the CUDA driver, load the best image
// for the calling thread's device, fill in its weights and keep all that in the caller's state. Nothing is kept
// anywhere else, and a load that fails leaves nothing behind.
//
//===----------------------------------------------------------------------===//

#include "Driver.h"

#include "Entries.h"

using namespace mlir;
using namespace qlow;

// Of cuda.h and dlfcn.h.
static constexpr int32_t kCapabilityMajor = 75, kCapabilityMinor = 76, kMaxDynamicShared = 8, kRtldNow = 2;
/// Kernels may use this much dynamic shared memory without asking.
static constexpr int64_t kSharedWithoutAsking = 48 << 10;
/// The first driver whose graphs hold launches of kernels that wait themselves.
static constexpr int32_t kOverlapVersion = 12030;

namespace {
class LoadBuilder {
public:
  LoadBuilder(ImplicitLocOpBuilder &b, const AbiModule &abi)
      : b(b), abi(abi), device(*abi.device), i32(b.getI32Type()), i64(b.getI64Type()),
        pointer(LLVM::LLVMPointerType::get(b.getContext())) {}
  void build();

private:
  void declare();
  void buildRelease();
  void buildOpen();
  void openDriver();
  void openContext();
  Value capability();
  void loadImage();
  void loadKernel(size_t index);
  void askForOverlap(Value isPortable);
  void loadKernels();
  void loadWeights(Value weights, Value fill);
  void buildLoad(StringRef name, bool fill);
  void buildUnload();

  Value constant(int64_t value) { return constantInt(b, i32, value); }
  Value word(StateWord word, Type type) { return loadAt(b, type, state, wordOffset(word)); }
  Value addressOf(int32_t offset) {
    return LLVM::GEPOp::create(b, pointer, b.getI8Type(), state, ArrayRef<LLVM::GEPArg>{offset});
  }
  Value addressOf(StateWord word) { return addressOf(wordOffset(word)); }
  Value call(DriverFunction function, ValueRange operands) { return callDriver(b, state, function, operands); }
  Value text(StringRef text);
  Value null() { return LLVM::ZeroOp::create(b, pointer); }
  Value equal(Value lhs, Value rhs) { return LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, lhs, rhs); }
  Value isNull(Value value) { return equal(value, LLVM::ZeroOp::create(b, value.getType())); }
  Value negate(Value value) { return LLVM::XOrOp::create(b, value, constantInt(b, b.getI1Type(), 1)); }
  Value codeOf(AbiCode kind, Value result) {
    return LLVM::AddOp::create(b, LLVM::MulOp::create(b, result, constant(256)), constant(int(kind)));
  }
  /// Goes on where `ok` holds, else to `target` with the code.
  void require(Value ok, Block *target, Value code);
  /// Goes on where the driver's result is success, else undoes what was done and returns kind and result.
  void check(Value result, AbiCode kind);
  void when(Value condition, llvm::function_ref<void()> body);
  LLVM::LLVMFuncOp start(const Twine &name, ArrayRef<Type> arguments, bool internal);
  /// A block that returns its i32 argument.
  Block *makeReturn();

  ImplicitLocOpBuilder &b;
  const AbiModule &abi;
  const AbiDevice &device;
  Type i32, i64, pointer;
  LLVM::LLVMFuncOp function;
  Value state, image; ///< image: the one that was loaded
  Block *undo = nullptr;
  std::string texts;
};
} // namespace

LLVM::LLVMFuncOp LoadBuilder::start(const Twine &name, ArrayRef<Type> arguments, bool internal) {
  function = startFunction(b, (abi.prefix + name).str(), i32, arguments, internal);
  if (!arguments.empty())
    state = function.getArgument(0);
  return function;
}

Block *LoadBuilder::makeReturn() {
  OpBuilder::InsertionGuard guard(b);
  Block *block = function.addBlock();
  block->addArgument(i32, b.getLoc());
  b.setInsertionPointToStart(block);
  LLVM::ReturnOp::create(b, block->getArgument(0));
  return block;
}

void LoadBuilder::require(Value ok, Block *target, Value code) {
  Block *next = function.addBlock();
  LLVM::CondBrOp::create(b, ok, next, ValueRange(), target, ValueRange(code));
  b.setInsertionPointToStart(next);
}

void LoadBuilder::check(Value result, AbiCode kind) {
  // Whatever the driver was doing, memory that ran out is what the caller can do something about.
  Value noMemory = equal(result, constant(OutOfMemory));
  Value code = LLVM::SelectOp::create(b, noMemory, codeOf(AbiCode::Memory, result), codeOf(kind, result));
  require(equal(result, constant(0)), undo, code);
}

void LoadBuilder::when(Value condition, llvm::function_ref<void()> body) {
  Block *inside = function.addBlock(), *next = function.addBlock();
  LLVM::CondBrOp::create(b, condition, inside, ValueRange(), next, ValueRange());
  b.setInsertionPointToStart(inside);
  body();
  LLVM::BrOp::create(b, next);
  b.setInsertionPointToStart(next);
}

/// The address of a string. All lie in one constant, made when all are known.
Value LoadBuilder::text(StringRef text) {
  Value base = LLVM::AddressOfOp::create(b, pointer, abi.prefix + ".names");
  int32_t offset = texts.size();
  texts += text;
  texts.push_back('\0');
  return LLVM::GEPOp::create(b, pointer, b.getI8Type(), base, ArrayRef<LLVM::GEPArg>{offset});
}

void LoadBuilder::declare() {
  LLVM::GlobalOp::create(b, b.getI8Type(), /*isConstant=*/false, LLVM::Linkage::Internal, identityName(abi.prefix),
                         b.getI8IntegerAttr(0));
  LLVM::LLVMFuncOp::create(b, "dlopen", LLVM::LLVMFunctionType::get(pointer, {pointer, i32}));
  LLVM::LLVMFuncOp::create(b, "dlsym", LLVM::LLVMFunctionType::get(pointer, {pointer, pointer}));
  LLVM::LLVMFuncOp::create(b, imageFunctionName(abi.prefix), LLVM::LLVMFunctionType::get(pointer, {i32, i32}));
  if (!device.portable.empty())
    LLVM::LLVMFuncOp::create(b, portableFunctionName(abi.prefix),
                             LLVM::LLVMFunctionType::get(b.getI1Type(), {pointer}));
}

/// i32 release(state): gives back what the state holds and clears it; the first failure, else 0.
void LoadBuilder::buildRelease() {
  OpBuilder::InsertionGuard guard(b);
  start(".release", {pointer}, /*internal=*/true);
  Value result = LLVM::AllocaOp::create(b, pointer, i32, constant(1)),
        current = LLVM::AllocaOp::create(b, pointer, pointer, constant(1));
  storeAt(b, constant(0), result, 0);
  auto keep = [&](Value given) {
    Value first = loadAt(b, i32, result, 0);
    storeAt(b, LLVM::SelectOp::create(b, equal(first, constant(0)), given, first), result, 0);
  };
  Value context = word(StateWord::Context, pointer);
  when(negate(isNull(context)), [&] {
    Value pushed = call(DriverFunction::PushCurrent, context);
    keep(pushed);
    when(equal(pushed, constant(0)), [&] {
      Value module = word(StateWord::Module, pointer), owned = word(StateWord::Owned, i64);
      when(negate(isNull(module)), [&] { keep(call(DriverFunction::ModuleUnload, module)); });
      when(negate(isNull(owned)), [&] { keep(call(DriverFunction::MemFree, owned)); });
      keep(call(DriverFunction::PopCurrent, current));
    });
    when(negate(isNull(word(StateWord::Retained, i64))), [&] {
      storeAt(b, null(), current, 0);
      keep(call(DriverFunction::GetCurrent, current));
      when(equal(loadAt(b, pointer, current, 0), context), [&] { keep(call(DriverFunction::SetCurrent, null())); });
      keep(call(DriverFunction::PrimaryRelease, word(StateWord::Ordinal, i32)));
    });
  });
  LLVM::MemsetOp::create(b, state, constantInt(b, b.getI8Type(), 0), constantInt(b, i64, 8 * stateWords(device)),
                         /*isVolatile=*/false);
  Value first = loadAt(b, i32, result, 0);
  Value code = LLVM::SelectOp::create(b, equal(first, constant(0)), first, codeOf(AbiCode::Device, first));
  LLVM::ReturnOp::create(b, code);
}

void LoadBuilder::openDriver() {
  Value library =
      LLVM::CallOp::create(b, TypeRange(pointer), "dlopen", ValueRange{text("libcuda.so.1"), constant(kRtldNow)})
          .getResult();
  require(negate(isNull(library)), undo, constant(int(AbiCode::Driver)));
  for (auto [index, name] : llvm::enumerate(driverFunctionNames())) {
    if (!needsDriverFunction(device, DriverFunction(index)))
      continue;
    Value address = LLVM::CallOp::create(b, TypeRange(pointer), "dlsym", ValueRange{library, text(name)}).getResult();
    require(negate(isNull(address)), undo, constant(int(AbiCode::Driver) + 256 * (int(index) + 1)));
    storeAt(b, address, state, wordOffset(DriverFunction(index)));
  }
  check(call(DriverFunction::Init, constant(0)), AbiCode::Device);
}

/// The thread's current context; where it has none, device 0's primary one.
void LoadBuilder::openContext() {
  check(call(DriverFunction::GetCurrent, addressOf(StateWord::Context)), AbiCode::Device);
  Block *retain = function.addBlock(), *ask = function.addBlock(), *joined = function.addBlock();
  LLVM::CondBrOp::create(b, isNull(word(StateWord::Context, pointer)), retain, ValueRange(), ask, ValueRange());
  b.setInsertionPointToStart(retain);
  check(call(DriverFunction::DeviceGet, {addressOf(StateWord::Ordinal), constant(0)}), AbiCode::Device);
  Value ordinal = word(StateWord::Ordinal, i32);
  check(call(DriverFunction::PrimaryRetain, {addressOf(StateWord::Context), ordinal}), AbiCode::Device);
  storeAt(b, constantInt(b, i64, 1), state, wordOffset(StateWord::Retained));
  check(call(DriverFunction::SetCurrent, word(StateWord::Context, pointer)), AbiCode::Device);
  LLVM::BrOp::create(b, joined);
  b.setInsertionPointToStart(ask);
  check(call(DriverFunction::GetDevice, addressOf(StateWord::Ordinal)), AbiCode::Device);
  LLVM::BrOp::create(b, joined);
  b.setInsertionPointToStart(joined);
}

/// 10 * major + minor
Value LoadBuilder::capability() {
  Value ordinal = word(StateWord::Ordinal, i32), ten = constant(10);
  Value answer = LLVM::AllocaOp::create(b, pointer, i32, constant(1));
  check(call(DriverFunction::DeviceGetAttribute, {answer, constant(kCapabilityMajor), ordinal}), AbiCode::Device);
  Value major = loadAt(b, i32, answer, 0);
  check(call(DriverFunction::DeviceGetAttribute, {answer, constant(kCapabilityMinor), ordinal}), AbiCode::Device);
  return LLVM::AddOp::create(b, LLVM::MulOp::create(b, major, ten), loadAt(b, i32, answer, 0));
}

/// Tries the images for this device, best first: a cubin may be newer than the driver, then its PTX can still do.
void LoadBuilder::loadImage() {
  Value version = capability();
  Block *attempt = function.addBlock(), *load = function.addBlock(), *retry = function.addBlock(),
        *none = function.addBlock(), *done = function.addBlock();
  attempt->addArguments({i32, i32}, {b.getLoc(), b.getLoc()});
  Value number = attempt->getArgument(0), last = attempt->getArgument(1);
  LLVM::BrOp::create(b, ValueRange{constant(0), constant(NoBinaryForGpu)}, attempt);
  b.setInsertionPointToStart(attempt);
  image = LLVM::CallOp::create(b, TypeRange(pointer), imageFunctionName(abi.prefix), ValueRange{version, number})
              .getResult();
  LLVM::CondBrOp::create(b, isNull(image), none, load);

  b.setInsertionPointToStart(load);
  Value result = call(DriverFunction::ModuleLoad, {addressOf(StateWord::Module), image, constant(0), null(), null()});
  LLVM::CondBrOp::create(b, equal(result, constant(0)), done, retry);
  b.setInsertionPointToStart(retry);
  storeAt(b, null(), state, wordOffset(StateWord::Module));
  LLVM::BrOp::create(b, ValueRange{LLVM::AddOp::create(b, number, constant(1)), result}, attempt);

  b.setInsertionPointToStart(none);
  require(negate(equal(number, constant(0))), undo, codeOf(AbiCode::Device, last));
  check(last, AbiCode::Load);
  LLVM::UnreachableOp::create(b); // `last` is a failure
  b.setInsertionPointToStart(done);
}

void LoadBuilder::loadKernel(size_t index) {
  const AbiKernel &kernel = device.kernels[index];
  Value module = word(StateWord::Module, pointer);
  check(call(DriverFunction::ModuleGetFunction, {addressOf(kernelOffset(index)), module, text(kernel.name)}),
        AbiCode::Load);
  if (kernel.sharedBytes <= kSharedWithoutAsking)
    return;
  Value function = loadAt(b, pointer, state, kernelOffset(index));
  check(call(DriverFunction::FuncSetAttribute, {function, constant(kMaxDynamicShared), constant(kernel.sharedBytes)}),
        AbiCode::Load);
}

/// Whether kernels may be started while those in front of them end: those of an image for later devices do not wait.
void LoadBuilder::askForOverlap(Value isPortable) {
  if (!needsDriverFunction(device, DriverFunction::GetVersion))
    return;
  Value version = LLVM::AllocaOp::create(b, pointer, i32, constant(1));
  check(call(DriverFunction::GetVersion, version), AbiCode::Device);
  Value isThere =
      LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::sge, loadAt(b, i32, version, 0), constant(kOverlapVersion));
  if (isPortable)
    isThere = LLVM::AndOp::create(b, isThere, negate(isPortable));
  storeAt(b, LLVM::ZExtOp::create(b, i64, isThere), state, wordOffset(StateWord::Overlap));
}

/// Those that the image has; the others' words stay null.
void LoadBuilder::loadKernels() {
  Value isPortable, isNot;
  if (!device.portable.empty()) {
    isPortable = LLVM::CallOp::create(b, TypeRange(b.getI1Type()), portableFunctionName(abi.prefix), ValueRange(image))
                     .getResult();
    isNot = negate(isPortable);
  }
  askForOverlap(isPortable);
  for (auto [index, kernel] : llvm::enumerate(device.kernels)) {
    if (kernel.image.empty())
      loadKernel(index);
    else
      when(kernel.image == device.portable ? isPortable : isNot, [&, index = index] { loadKernel(index); });
  }
}

void LoadBuilder::loadWeights(Value weights, Value fill) {
  if (device.weightBytes == 0)
    return;
  Value size = constantInt(b, i64, device.weightBytes);
  storeAt(b, weights, state, wordOffset(StateWord::Weights));
  when(isNull(weights), [&] {
    check(call(DriverFunction::MemAlloc, {addressOf(StateWord::Owned), size}), AbiCode::Memory);
    storeAt(b, word(StateWord::Owned, i64), state, wordOffset(StateWord::Weights));
  });
  when(fill, [&] {
    Value host = LLVM::AddressOfOp::create(b, pointer, abi.prefix + "_weights");
    check(call(DriverFunction::MemcpyHtoD, {word(StateWord::Weights, i64), host, size}), AbiCode::Memory);
    // The copy may return while the device still reads the driver's own buffer.
    check(call(DriverFunction::StreamSynchronize, null()), AbiCode::Memory);
  });
}

/// i32 open(state, weights, fill)
void LoadBuilder::buildOpen() {
  OpBuilder::InsertionGuard guard(b);
  start(".open", {pointer, pointer, b.getI1Type()}, /*internal=*/true);
  Value weights = function.getArgument(1), fill = function.getArgument(2);
  Block *refuse = makeReturn();
  undo = function.addBlock();
  undo->addArgument(i32, b.getLoc());
  require(negate(isNull(state)), refuse, constant(int(AbiCode::Null)));
  Value low =
      LLVM::AndOp::create(b, LLVM::PtrToIntOp::create(b, i64, weights), constantInt(b, i64, kMemoryAlignment - 1));
  require(equal(low, constantInt(b, i64, 0)), refuse, constant(int(AbiCode::Align)));
  LLVM::MemsetOp::create(b, state, constantInt(b, b.getI8Type(), 0), constantInt(b, i64, 8 * stateWords(device)),
                         /*isVolatile=*/false);
  openDriver();
  openContext();
  loadImage();
  loadKernels();
  loadWeights(weights, fill);
  storeAt(b, LLVM::AddressOfOp::create(b, pointer, identityName(abi.prefix)), state, wordOffset(StateWord::Identity));
  LLVM::ReturnOp::create(b, constant(0));

  b.setInsertionPointToStart(undo);
  LLVM::CallOp::create(b, TypeRange(i32), abi.prefix + ".release", ValueRange(state));
  LLVM::ReturnOp::create(b, undo->getArgument(0));
}

void LoadBuilder::buildLoad(StringRef name, bool fill) {
  OpBuilder::InsertionGuard guard(b);
  start(name, {pointer, pointer}, /*internal=*/false);
  Value weights = function.getArgument(1);
  if (!fill && device.weightBytes > 0)
    require(negate(isNull(weights)), makeReturn(), constant(int(AbiCode::Null)));
  Value result = LLVM::CallOp::create(b, TypeRange(i32), abi.prefix + ".open",
                                      ValueRange{state, weights, constantInt(b, b.getI1Type(), fill)})
                     .getResult();
  LLVM::ReturnOp::create(b, result);
}

void LoadBuilder::buildUnload() {
  OpBuilder::InsertionGuard guard(b);
  start("_unload", {pointer}, /*internal=*/false);
  Block *refuse = makeReturn();
  require(negate(isNull(state)), refuse, constant(int(AbiCode::Null)));
  Value identity = LLVM::AddressOfOp::create(b, pointer, identityName(abi.prefix));
  require(equal(word(StateWord::Identity, pointer), identity), refuse,
          constant(int(AbiCode::Device) + 256 * NotInitialized));
  LLVM::ReturnOp::create(
      b, LLVM::CallOp::create(b, TypeRange(i32), abi.prefix + ".release", ValueRange(state)).getResult());
}

void LoadBuilder::build() {
  declare();
  {
    OpBuilder::InsertionGuard guard(b);
    startFunction(b, abi.prefix + "_weights_size", i64, {});
    LLVM::ReturnOp::create(b, constantInt(b, i64, device.weightBytes));
  }
  buildRelease();
  buildOpen();
  buildLoad("_load", /*fill=*/true);
  buildLoad("_adopt", /*fill=*/false);
  buildUnload();
  LLVM::GlobalOp::create(b, LLVM::LLVMArrayType::get(b.getI8Type(), texts.size()), /*isConstant=*/true,
                         LLVM::Linkage::Internal, abi.prefix + ".names", b.getStringAttr(texts));
}

void qlow::buildLoadFunctions(ImplicitLocOpBuilder &b, const AbiModule &abi) { LoadBuilder(b, abi).build(); }
