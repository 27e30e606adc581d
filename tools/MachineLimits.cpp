//===- MachineLimits.cpp - how fast this machine can multiply and read ------===//
//
// Two loops, built as IR and compiled like any kernel: the row's instruction on registers alone, and a plain read of
// memory. What limits a kernel is measured by them in the same process.
//
//===----------------------------------------------------------------------===//

#include "MachineLimits.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/FileUtilities.h"

using namespace mlir;
using namespace qlow;

llvm::Expected<LoadedObject> qlow::emitAndLoad(ModuleOp module, const AbiModule &abi, const Target &target) {
  llvm::SmallString<128> path;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("qlow-bench", "o", path))
    return llvm::errorCodeToError(code);
  llvm::FileRemover remover(path);
  if (failed(emitArtifact(module, abi, target, {}, path)))
    return llvm::createStringError("code generation failed");
  return LoadedObject::open(path);
}

/// Rounds of the peak loop: under a millisecond.
static constexpr int64_t kRounds = 1 << 17;

/// Bytes between a read and what is asked for; the fastest of 1 to 16 KiB.
static constexpr int64_t kReadAhead = 8192;

static int64_t peakSums(const MultiplyRow &row) { return row.temporaries == 0 ? 12 : 8; }

namespace {
/// Emits functions of a pointer and a count, each with one loop.
class LoopEmitter {
public:
  LoopEmitter(ModuleOp module) : builder(OpBuilder::atBlockEnd(module.getBody())), loc(module.getLoc()) {}
  void emitPeak(const MultiplyRow &row);
  void emitRead(const Machine &machine);

private:
  using Body = llvm::function_ref<void(Value position, SmallVectorImpl<Value> &sums)>;
  void begin(StringRef name);
  void emitLoop(Type type, int64_t count, int64_t step, Body body);

  Value constant(int64_t value) { return arith::ConstantIntOp::create(builder, loc, value, 64); }
  /// What the pointer points to, `bytes` further on.
  Value load(Type type, Value bytes, bool isVolatile = false) {
    return LLVM::LoadOp::create(builder, loc, type, at(bytes), /*alignment=*/1, isVolatile);
  }
  Value at(Value bytes) {
    Value base = function.getArgument(0);
    return LLVM::GEPOp::create(builder, loc, base.getType(), builder.getI8Type(), base, ValueRange{bytes});
  }

  OpBuilder builder;
  Location loc;
  func::FuncOp function;
};
} // namespace

/// Entries are compiled for any machine; the loop they call is compiled for this one.
void LoopEmitter::begin(StringRef name) {
  auto pointer = LLVM::LLVMPointerType::get(builder.getContext());
  auto type = builder.getFunctionType({pointer, builder.getI64Type()}, {});
  function = func::FuncOp::create(builder, loc, ("loop." + name).str(), type);
  auto entry = func::FuncOp::create(builder, loc, ("limits_" + name).str(), type);
  builder.setInsertionPointToStart(entry.addEntryBlock());
  func::CallOp::create(builder, loc, function, entry.getArguments());
  func::ReturnOp::create(builder, loc);
  builder.setInsertionPointToStart(function.addEntryBlock());
}

/// Sums held in registers; what they end in is stored, so that no loop can be left out.
void LoopEmitter::emitLoop(Type type, int64_t count, int64_t step, Body body) {
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
  auto repeat = scf::ForOp::create(builder, loc, constant(0), function.getArgument(1), constant(step),
                                   SmallVector<Value>(count, zero));
  builder.setInsertionPointToStart(repeat.getBody());
  SmallVector<Value> sums(repeat.getRegionIterArgs());
  body(repeat.getInductionVar(), sums);
  scf::YieldOp::create(builder, loc, sums);
  builder.setInsertionPointAfter(repeat);
  for (auto [i, sum] : llvm::enumerate(repeat.getResults()))
    LLVM::StoreOp::create(builder, loc, sum, at(constant(static_cast<int64_t>(i) * 64)), 1);
  func::ReturnOp::create(builder, loc);
  builder.setInsertionPointAfter(function);
}

/// A row of one instruction needs sums enough to hide its latency. One of several must not have equal products, which
/// would be computed once, and all of its registers must stay registers: two left sides, read anew each time so that no
/// product moves out of the loop, times four right sides.
void LoopEmitter::emitPeak(const MultiplyRow &row) {
  begin("peak");
  auto sum = VectorType::get({row.n}, row.isFloat ? Type(builder.getF32Type()) : builder.getI32Type());
  Type element = row.isFloat ? Type(builder.getF32Type()) : builder.getIntegerType(8 * elementBytes(row.storedLhs));
  auto operand = VectorType::get({row.n * row.k}, element);
  SmallVector<Value> rhs;
  for (int64_t i = 0, count = row.temporaries == 0 ? 1 : 4; i < count; ++i)
    rhs.push_back(load(operand, constant(i * 64)));
  emitLoop(sum, peakSums(row), 1, [&](Value, SmallVectorImpl<Value> &sums) {
    Value lhs;
    for (auto [i, value] : llvm::enumerate(sums)) {
      if (i % 4 == 0)
        lhs = load(operand, constant(static_cast<int64_t>(i + 16) * 16), /*isVolatile=*/true);
      value = row.emit(builder, loc, value, lhs, rhs[i % rhs.size()]);
    }
  });
}

/// Reads ask ahead of time: hardware alone does not read as fast as the machine can.
void LoopEmitter::emitRead(const Machine &machine) {
  begin("read");
  int64_t bytes = machine.vectorBits / 8;
  auto vector = VectorType::get({bytes / 4}, builder.getI32Type());
  emitLoop(vector, 8, 8 * bytes, [&](Value position, SmallVectorImpl<Value> &sums) {
    for (auto [i, value] : llvm::enumerate(sums)) {
      Value offset = arith::AddIOp::create(builder, loc, position, constant(static_cast<int64_t>(i) * bytes));
      Value ahead = arith::AddIOp::create(builder, loc, offset, constant(kReadAhead));
      LLVM::Prefetch::create(builder, loc, at(ahead), /*rw=*/0, /*hint=*/3, /*cache=*/1);
      value = arith::XOrIOp::create(builder, loc, value, load(vector, offset));
    }
  });
}

/// Entries limits_peak and limits_read, which take a pointer and a count.
static llvm::Expected<LoadedObject> compileLoops(MLIRContext &context, const Target &target, const MultiplyRow &row) {
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
  LoopEmitter loops(*module);
  loops.emitPeak(row);
  loops.emitRead(target.machine());
  PassManager passes(&context);
  if (failed(parsePassPipeline("convert-scf-to-cf,convert-vector-to-llvm,convert-to-llvm,reconcile-unrealized-casts",
                               passes)) ||
      failed(passes.run(*module)))
    return llvm::createStringError("the loops that measure the machine's limits do not compile");
  AbiModule abi;
  abi.prefix = "limits";
  // What is an entry stays visible in the object.
  abi.functions.resize(2);
  abi.functions[0].name = "peak";
  abi.functions[1].name = "read";
  return emitAndLoad(*module, abi, target);
}

llvm::Expected<MachineLimits> MachineLimits::compile(MLIRContext &context, const Target &target,
                                                     const MultiplyRow &row) {
  llvm::Expected<LoadedObject> object = compileLoops(context, target, row);
  if (!object)
    return object.takeError();
  MachineLimits limits(std::move(*object));
  limits.multiplies = static_cast<double>(peakSums(row) * kRounds * row.n * row.k);
  for (auto [name, loop] : {std::pair("limits_peak", &limits.peak), std::pair("limits_read", &limits.read)}) {
    llvm::Expected<void *> address = limits.object.lookup(name);
    if (!address)
      return address.takeError();
    *loop = reinterpret_cast<Loop>(*address);
  }
  return limits;
}

double MachineLimits::multiply() const {
  alignas(64) char operands[12 * 64];
  for (size_t i = 0; i < sizeof operands; ++i)
    operands[i] = static_cast<char>(i * 37 + 11);
  peak(operands, kRounds);
  return multiplies;
}

double MachineLimits::readMemory(MutableArrayRef<char> memory) const {
  auto bytes = static_cast<int64_t>(memory.size()) & ~int64_t(4095);
  read(memory.data(), bytes);
  return static_cast<double>(bytes);
}
