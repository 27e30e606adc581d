//===- Launcher.cpp - the function that launches a kernel -------------------===//
//
// Checks sizes, lays out parameters as convert-gpu-to-nvvm expects them, encodes tensor maps and calls the driver
// through the caller's state. Once a launch has failed it does nothing.
//
//===----------------------------------------------------------------------===//

#include "Launcher.h"

#include "Entries.h"

using namespace mlir;
using namespace qlow;

// CUDA C++ Programming Guide, "Features and Technical Specifications per Compute Capability".
static constexpr int64_t kMaxGridX = INT32_MAX, kMaxGridYZ = 65535, kMaxBlock = 1024;

// cuda.h: CUlaunchConfig and CUlaunchAttribute.
static constexpr int32_t kClusterAttribute = 4, kProgrammaticAttribute = 6, kAttributeBytes = 72, kAttributeValue = 8;
static constexpr int32_t kConfigBytes = 56, kConfigShared = 24, kConfigStream = 32, kConfigAttributes = 40,
                         kConfigCount = 48;

namespace {
/// A tensor map in the launcher's frame.
struct FrameMap {
  TensorMapType type;
  Value place, tensor;
  SmallVector<Value> sizes, strides, boxes; ///< outermost first; in elements
};

/// Builds void launch(launch, grid[3], block[3], shared, [cluster[3]], parameters...): sizes i64, shared i32.
class LauncherBuilder {
public:
  LauncherBuilder(ImplicitLocOpBuilder &b, const Launcher &launcher)
      : b(b), launcher(launcher), i32(b.getI32Type()), i64(b.getI64Type()),
        pointer(LLVM::LLVMPointerType::get(b.getContext())) {}
  LLVM::LLVMFuncOp build(StringRef name, const Parameters &parameters);

private:
  Value size(unsigned i) { return function.getArgument(1 + i); }
  Value shared() { return function.getArgument(7); }
  Value narrow(Value value) { return LLVM::TruncOp::create(b, i32, value); }
  Value compare(LLVM::ICmpPredicate predicate, Value value, int64_t bound) {
    return LLVM::ICmpOp::create(b, predicate, value, constantInt(b, value.getType(), bound));
  }
  Value withinLimits();
  Value anyZero();
  Value layOutParameters(unsigned first, ArrayRef<TensorMapType> types);
  Value encode(Value state, const FrameMap &map);
  Value callLaunchKernel(Value state, Value kernel, Value stream, Value parameters);
  Value callLaunchKernelEx(Value state, Value kernel, Value stream, Value parameters);

  ImplicitLocOpBuilder &b;
  const Launcher &launcher;
  Type i32, i64, pointer;
  LLVM::LLVMFuncOp function;
  SmallVector<FrameMap> maps;
};
} // namespace

Value LauncherBuilder::withinLimits() {
  static constexpr int64_t kLimits[] = {kMaxGridX, kMaxGridYZ, kMaxGridYZ, kMaxBlock, kMaxBlock, kMaxBlock};
  Value ok = constantInt(b, b.getI1Type(), 1);
  for (auto [i, limit] : llvm::enumerate(kLimits))
    ok = LLVM::AndOp::create(b, ok, compare(LLVM::ICmpPredicate::ule, size(i), limit));
  return ok;
}

Value LauncherBuilder::anyZero() {
  Value any = constantInt(b, b.getI1Type(), 0);
  for (unsigned i = 0; i < 3; ++i)
    any = LLVM::OrOp::create(b, any, compare(LLVM::ICmpPredicate::eq, size(i), 0));
  return any;
}

/// An array of pointers to the parameters, in the frame. Tensor maps get their place; see encode.
Value LauncherBuilder::layOutParameters(unsigned first, ArrayRef<TensorMapType> types) {
  Value one = constantInt(b, i32, 1);
  Value array = LLVM::AllocaOp::create(b, pointer, pointer, constantInt(b, i32, std::max<int64_t>(types.size(), 1)));
  auto next = function.getArguments().drop_front(first).begin();
  for (auto [number, map] : llvm::enumerate(types)) {
    Type type = map ? Type(LLVM::LLVMArrayType::get(i64, kMapBytes / 8)) : (*next).getType();
    Value place = LLVM::AllocaOp::create(b, pointer, type, one, map ? kMapAlignment : 0);
    storeAt(b, place, array, 8 * int32_t(number));
    Value value = *next++;
    if (!map) {
      storeAt(b, value, place, 0);
      continue;
    }
    FrameMap &inFrame = maps.emplace_back(FrameMap{map, place, value, {}, {}, {}});
    for (SmallVector<Value> *numbers : {&inFrame.sizes, &inFrame.strides, &inFrame.boxes})
      for (int64_t dim = 0; dim < map.getTensor().getRank(); ++dim)
        numbers->push_back(*next++);
  }
  return array;
}

std::optional<int32_t> qlow::tensorMapElement(Type type) {
  if (type.isF16() || type.isBF16() || type.isF32())
    return type.isF16() ? 6 : type.isBF16() ? 9 : 7;
  if (type.isInteger(8) || type.isInteger(16) || type.isInteger(32))
    return type.isInteger(8) ? 0 : type.isInteger(16) ? 1 : 2;
  return std::nullopt;
}

/// cuTensorMapEncodeTiled(place, element, rank, tensor, sizes, strides, box, steps, interleave, swizzle, promotion,
/// fill). The driver counts dimensions from the innermost; strides are bytes, without the innermost.
Value LauncherBuilder::encode(Value state, const FrameMap &map) {
  MemRefType box = map.type.getTensor();
  int32_t rank = box.getRank();
  Value one = constantInt(b, i32, 1);
  auto arrayOf = [&](Type type) -> Value {
    return LLVM::AllocaOp::create(b, pointer, LLVM::LLVMArrayType::get(type, rank), one);
  };
  Value sizes = arrayOf(i64), strides = arrayOf(i64), boxes = arrayOf(i32), steps = arrayOf(i32);
  Value bytes = constantInt(b, i64, box.getElementTypeBitWidth() / 8);
  for (int32_t i = 0; i < rank; ++i) {
    storeAt(b, map.sizes[rank - 1 - i], sizes, 8 * i);
    if (i > 0)
      storeAt(b, LLVM::MulOp::create(b, bytes, map.strides[rank - 1 - i]), strides, 8 * (i - 1));
    storeAt(b, narrow(map.boxes[rank - 1 - i]), boxes, 4 * i);
    storeAt(b, one, steps, 4 * i);
  }
  auto number = [&](auto value) { return constantInt(b, i32, static_cast<int32_t>(value)); };
  return callDriver(b, state, DriverFunction::TensorMapEncode,
                    {map.place, number(*tensorMapElement(box.getElementType())), number(rank), map.tensor, sizes,
                     strides, boxes, steps, number(map.type.getInterleave()), number(map.type.getSwizzle()),
                     number(map.type.getL2promo()), number(map.type.getOob())});
}

Value LauncherBuilder::callLaunchKernel(Value state, Value kernel, Value stream, Value parameters) {
  SmallVector<Value> operands{kernel};
  for (unsigned i = 0; i < 6; ++i)
    operands.push_back(narrow(size(i)));
  llvm::append_values(operands, shared(), stream, parameters, LLVM::ZeroOp::create(b, pointer));
  return callDriver(b, state, DriverFunction::LaunchKernel, operands);
}

Value LauncherBuilder::callLaunchKernelEx(Value state, Value kernel, Value stream, Value parameters) {
  Value one = constantInt(b, i32, 1);
  auto zeroed = [&](int32_t bytes) -> Value {
    Value place = LLVM::AllocaOp::create(b, pointer, LLVM::LLVMArrayType::get(i64, bytes / 8), one, 8);
    LLVM::MemsetOp::create(b, place, constantInt(b, b.getI8Type(), 0), constantInt(b, i64, bytes), false);
    return place;
  };
  Value attributes = zeroed(2 * kAttributeBytes), config = zeroed(kConfigBytes), count = constantInt(b, i32, 0);
  int32_t at = 0;
  if (launcher.kernel.clusters) {
    storeAt(b, constantInt(b, i32, kClusterAttribute), attributes, at);
    for (unsigned i = 0; i < 3; ++i)
      storeAt(b, narrow(function.getArgument(8 + i)), attributes, at + kAttributeValue + 4 * int32_t(i));
    count = one;
    at += kAttributeBytes;
  }
  if (launcher.kernel.waits) {
    storeAt(b, constantInt(b, i32, kProgrammaticAttribute), attributes, at);
    storeAt(b, one, attributes, at + kAttributeValue);
    count = LLVM::AddOp::create(b, count, loadAt(b, i32, state, wordOffset(StateWord::Overlap)));
  }
  for (unsigned i = 0; i < 6; ++i)
    storeAt(b, narrow(size(i)), config, 4 * int32_t(i));
  storeAt(b, shared(), config, kConfigShared);
  storeAt(b, stream, config, kConfigStream);
  storeAt(b, attributes, config, kConfigAttributes);
  storeAt(b, count, config, kConfigCount);
  return callDriver(b, state, DriverFunction::LaunchKernelEx,
                    {config, kernel, parameters, LLVM::ZeroOp::create(b, pointer)});
}

LLVM::LLVMFuncOp LauncherBuilder::build(StringRef name, const Parameters &parameters) {
  OpBuilder::InsertionGuard guard(b);
  SmallVector<Type> arguments{pointer, i64, i64, i64, i64, i64, i64, i32};
  if (launcher.kernel.clusters)
    arguments.append({i64, i64, i64});
  unsigned first = arguments.size();
  llvm::append_range(arguments, ValueRange(parameters.values).getTypes());
  function = startFunction(b, name, LLVM::LLVMVoidType::get(b.getContext()), arguments, /*internal=*/true);
  Value launch = function.getArgument(0);
  Block *sizes = function.addBlock(), *limits = function.addBlock(), *start = function.addBlock(),
        *failed = function.addBlock(), *done = function.addBlock();
  failed->addArgument(i32, b.getLoc());
  Value array = layOutParameters(first, parameters.maps);
  Value good = compare(LLVM::ICmpPredicate::eq, loadAt(b, i32, launch, kLaunchStatus), 0);
  LLVM::CondBrOp::create(b, good, sizes, done);
  b.setInsertionPointToStart(sizes);
  LLVM::CondBrOp::create(b, anyZero(), done, limits);
  b.setInsertionPointToStart(limits);
  LLVM::CondBrOp::create(b, withinLimits(), start, ValueRange(), failed, ValueRange(constantInt(b, i32, InvalidValue)));

  b.setInsertionPointToStart(start);
  Value state = loadAt(b, pointer, launch, kLaunchDevice), stream = loadAt(b, pointer, launch, kLaunchStream);
  Value kernel = loadAt(b, pointer, state, kernelOffset(launcher.number));
  if (!launcher.kernel.image.empty()) {
    // The image that was loaded has another kernel in its place.
    Block *next = function.addBlock();
    LLVM::CondBrOp::create(
        b, LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::ne, kernel, LLVM::ZeroOp::create(b, pointer)), next, done);
    b.setInsertionPointToStart(next);
  }
  for (const FrameMap &map : maps) {
    Value result = encode(state, map);
    Block *next = function.addBlock();
    LLVM::CondBrOp::create(b, compare(LLVM::ICmpPredicate::eq, result, 0), next, ValueRange(), failed,
                           ValueRange(result));
    b.setInsertionPointToStart(next);
  }
  Value result = launcher.kernel.clusters || launcher.kernel.waits ? callLaunchKernelEx(state, kernel, stream, array)
                                                                   : callLaunchKernel(state, kernel, stream, array);
  LLVM::CondBrOp::create(b, compare(LLVM::ICmpPredicate::eq, result, 0), done, ValueRange(), failed,
                         ValueRange(result));
  b.setInsertionPointToStart(failed);
  Value shifted = LLVM::MulOp::create(b, failed->getArgument(0), constantInt(b, i32, 256));
  storeAt(b, LLVM::AddOp::create(b, shifted, constantInt(b, i32, int(AbiCode::Launch))), launch, kLaunchStatus);
  LLVM::BrOp::create(b, done);
  b.setInsertionPointToStart(done);
  LLVM::ReturnOp::create(b, ValueRange());
  return function;
}

LLVM::LLVMFuncOp qlow::buildLauncher(ImplicitLocOpBuilder &b, const Launcher &launcher, StringRef name,
                                     const Parameters &parameters) {
  return LauncherBuilder(b, launcher).build(name, parameters);
}
