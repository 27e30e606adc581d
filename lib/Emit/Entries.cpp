//===- Entries.cpp - functions every object has ------------------------------===//
//
// The processor check, the texts of return codes and the OpenMP run, in the LLVM dialect. None of them may call a
// function outside the object but GOMP_parallel, and the check must run on any machine of the architecture.
//
//===----------------------------------------------------------------------===//

#include "Entries.h"

using namespace mlir;
using namespace qlow;

LLVM::LLVMFuncOp qlow::startFunction(ImplicitLocOpBuilder &b, StringRef name, Type result, ArrayRef<Type> arguments,
                                     bool internal) {
  auto type = LLVM::LLVMFunctionType::get(result, arguments);
  auto func = LLVM::LLVMFuncOp::create(b, name, type, internal ? LLVM::Linkage::Internal : LLVM::Linkage::External);
  b.setInsertionPointToStart(func.addEntryBlock(b));
  return func;
}

Value qlow::constantInt(ImplicitLocOpBuilder &b, Type type, int64_t value) {
  return LLVM::ConstantOp::create(b, type, IntegerAttr::get(type, value));
}

static LLVM::LLVMPointerType pointer(ImplicitLocOpBuilder &b) { return LLVM::LLVMPointerType::get(b.getContext()); }

static Value addressAt(ImplicitLocOpBuilder &b, Value address, int32_t offset) {
  if (offset == 0)
    return address;
  return LLVM::GEPOp::create(b, pointer(b), b.getI8Type(), address, ArrayRef<LLVM::GEPArg>{offset});
}

Value qlow::loadAt(ImplicitLocOpBuilder &b, Type type, Value address, int32_t offset) {
  return LLVM::LoadOp::create(b, type, addressAt(b, address, offset));
}

void qlow::storeAt(ImplicitLocOpBuilder &b, Value value, Value address, int32_t offset) {
  LLVM::StoreOp::create(b, value, addressAt(b, address, offset));
}

//===----------------------------------------------------------------------===//
// check_cpu
//===----------------------------------------------------------------------===//

void qlow::buildCheckCpu(ImplicitLocOpBuilder &b, StringRef prefix, const Target &target) {
  OpBuilder::InsertionGuard guard(b);
  Type i32 = b.getI32Type();
  std::string stateName = (prefix + ".cpu").str();
  bool asks = !target.family().checkedFeatures(target.machine()).empty();
  if (asks)
    LLVM::GlobalOp::create(b, i32, /*isConstant=*/false, LLVM::Linkage::Internal, stateName, b.getI32IntegerAttr(0));
  auto func = startFunction(b, (prefix + "_check_cpu").str(), i32, {});
  if (!asks) {
    LLVM::ReturnOp::create(b, constantInt(b, i32, 0));
    return;
  }
  // The answer is kept as code + 1, 0 before the first call. Threads that race write the same value.
  Block *ask = func.addBlock(), *done = func.addBlock();
  done->addArgument(i32, b.getLoc());
  Value state = LLVM::AddressOfOp::create(b, pointer(b), stateName);
  Value known = LLVM::LoadOp::create(b, i32, state, 4, false, false, false, false, LLVM::AtomicOrdering::monotonic);
  Value zero = constantInt(b, i32, 0), one = constantInt(b, i32, 1), lacks = constantInt(b, i32, int(AbiCode::Cpu) + 1);
  Value isKnown = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::ne, known, zero);
  LLVM::CondBrOp::create(b, isKnown, done, ValueRange(known), ask, ValueRange());

  b.setInsertionPointToStart(ask);
  Value ok = target.family().emitFeatureCheck(b, target.machine());
  Value answer = LLVM::SelectOp::create(b, ok, one, lacks);
  LLVM::StoreOp::create(b, answer, state, 4, false, false, false, LLVM::AtomicOrdering::monotonic);
  LLVM::BrOp::create(b, ValueRange(answer), done);
  b.setInsertionPointToStart(done);
  LLVM::ReturnOp::create(b, LLVM::SubOp::create(b, done->getArgument(0), one));
}

//===----------------------------------------------------------------------===//
// strerror
//===----------------------------------------------------------------------===//

/// int64_t <prefix>.message(int code): where the code's text begins, 0 for a code that has none. A search, since a
/// switch with so many cases as a function has tensors takes MLIR a time that grows with their square.
static LLVM::LLVMFuncOp buildMessageSearch(ImplicitLocOpBuilder &b, StringRef prefix, ArrayRef<int32_t> table) {
  constexpr int32_t kEntryBytes = 8; // code, place
  std::string name = (prefix + ".codes").str();
  Type i32 = b.getI32Type(), i64 = b.getI64Type();
  auto size = static_cast<int64_t>(table.size());
  auto values = DenseElementsAttr::get(RankedTensorType::get(size, i32), table);
  LLVM::GlobalOp::create(b, LLVM::LLVMArrayType::get(i32, size), /*isConstant=*/true, LLVM::Linkage::Internal, name,
                         values);
  auto func = startFunction(b, (prefix + ".message").str(), i64, {i32}, /*internal=*/true);
  Block *loop = func.addBlock(), *look = func.addBlock(), *next = func.addBlock(), *found = func.addBlock();
  loop->addArgument(pointer(b), b.getLoc());
  found->addArgument(i64, b.getLoc());
  Value entry = loop->getArgument(0), base = LLVM::AddressOfOp::create(b, pointer(b), name);
  Value end = addressAt(b, base, size / 2 * kEntryBytes), none = constantInt(b, i64, 0);
  LLVM::BrOp::create(b, ValueRange(base), loop);
  b.setInsertionPointToStart(loop);
  Value isEnd = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, entry, end);
  LLVM::CondBrOp::create(b, isEnd, found, ValueRange(none), look, ValueRange());
  b.setInsertionPointToStart(look);
  Value place = LLVM::ZExtOp::create(b, i64, loadAt(b, i32, entry, 4));
  Value isIt = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, loadAt(b, i32, entry, 0), func.getArgument(0));
  LLVM::CondBrOp::create(b, isIt, found, ValueRange(place), next, ValueRange());
  b.setInsertionPointToStart(next);
  LLVM::BrOp::create(b, ValueRange(addressAt(b, entry, kEntryBytes)), loop);
  b.setInsertionPointToStart(found);
  LLVM::ReturnOp::create(b, found->getArgument(0));
  return func;
}

void qlow::buildStrerror(ImplicitLocOpBuilder &b, const AbiModule &abi) {
  OpBuilder::InsertionGuard guard(b);
  // All texts in one constant, so that the table needs no relocations.
  std::string texts = "unknown code";
  texts.push_back('\0');
  SmallVector<int32_t> table;
  for (const auto &[code, message] : abi.messages()) {
    table.append({code, static_cast<int32_t>(texts.size())});
    texts += message;
    texts.push_back('\0');
  }
  std::string name = abi.prefix + ".messages";
  LLVM::GlobalOp::create(b, LLVM::LLVMArrayType::get(b.getI8Type(), texts.size()), /*isConstant=*/true,
                         LLVM::Linkage::Internal, name, b.getStringAttr(texts));
  LLVM::LLVMFuncOp search;
  {
    OpBuilder::InsertionGuard inner(b);
    search = buildMessageSearch(b, abi.prefix, table);
  }
  auto func = startFunction(b, abi.prefix + "_strerror", pointer(b), {b.getI32Type()});
  Value code = func.getArgument(0);
  if (abi.device) {
    // A result of the driver that has no text of its own: say what was done when it came.
    Type i32 = b.getI32Type();
    Value place = LLVM::CallOp::create(b, search, ValueRange(code)).getResult();
    Value isKnown = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::ne, place, constantInt(b, place.getType(), 0));
    Value kind = LLVM::AndOp::create(b, code, constantInt(b, i32, 255));
    Value above = LLVM::SubOp::create(b, kind, constantInt(b, i32, int(AbiCode::Device)));
    Value isDevice = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::ule, above,
                                          constantInt(b, i32, int(AbiCode::Launch) - int(AbiCode::Device)));
    Value isAsked = LLVM::OrOp::create(b, isKnown, LLVM::XOrOp::create(b, isDevice, constantInt(b, b.getI1Type(), 1)));
    code = LLVM::SelectOp::create(b, isAsked, code, kind);
  }
  Value place = LLVM::CallOp::create(b, search, ValueRange(code)).getResult();
  Value base = LLVM::AddressOfOp::create(b, pointer(b), name);
  LLVM::ReturnOp::create(b, LLVM::GEPOp::create(b, pointer(b), b.getI8Type(), base, ArrayRef<LLVM::GEPArg>{place}));
}

//===----------------------------------------------------------------------===//
// openmp
//===----------------------------------------------------------------------===//

/// What a team shares: body, its argument, the number of calls, and the next one to make.
static Type teamType(ImplicitLocOpBuilder &b) {
  return LLVM::LLVMStructType::getLiteral(b.getContext(), {pointer(b), pointer(b), b.getI64Type(), b.getI64Type()});
}

static Value memberOf(ImplicitLocOpBuilder &b, Type type, Value base, int32_t index) {
  return LLVM::GEPOp::create(b, pointer(b), type, base, ArrayRef<LLVM::GEPArg>{0, index});
}

/// void worker(team *): takes calls until none is left. Any number of threads will do, so nobody asks how many came.
static void buildWorker(ImplicitLocOpBuilder &b, StringRef name) {
  OpBuilder::InsertionGuard guard(b);
  Type team = teamType(b), i64 = b.getI64Type();
  auto func = startFunction(b, name, LLVM::LLVMVoidType::get(b.getContext()), {pointer(b)}, /*internal=*/true);
  Value self = func.getArgument(0);
  Block *next = func.addBlock(), *call = func.addBlock(), *done = func.addBlock();
  Value body = LLVM::LoadOp::create(b, pointer(b), memberOf(b, team, self, 0));
  Value arg = LLVM::LoadOp::create(b, pointer(b), memberOf(b, team, self, 1));
  Value count = LLVM::LoadOp::create(b, i64, memberOf(b, team, self, 2));
  Value counter = memberOf(b, team, self, 3), one = constantInt(b, i64, 1);
  LLVM::BrOp::create(b, next);
  b.setInsertionPointToStart(next);
  Value index = LLVM::AtomicRMWOp::create(b, LLVM::AtomicBinOp::add, counter, one, LLVM::AtomicOrdering::monotonic);
  LLVM::CondBrOp::create(b, LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::slt, index, count), call, done);
  b.setInsertionPointToStart(call);
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), {pointer(b), i64});
  LLVM::CallOp::create(b, type, ValueRange{body, arg, index});
  LLVM::BrOp::create(b, next);
  b.setInsertionPointToStart(done);
  LLVM::ReturnOp::create(b, ValueRange());
}

/// void run(void *self, body, arg, n) of the parallel struct.
static void buildRun(ImplicitLocOpBuilder &b, StringRef name, StringRef worker) {
  OpBuilder::InsertionGuard guard(b);
  Type team = teamType(b), i32 = b.getI32Type(), i64 = b.getI64Type();
  auto none = LLVM::LLVMVoidType::get(b.getContext());
  auto func = startFunction(b, name, none, {pointer(b), pointer(b), pointer(b), i64}, /*internal=*/true);
  Value shared = LLVM::AllocaOp::create(b, pointer(b), team, constantInt(b, i32, 1), 8);
  Value count = func.getArgument(3);
  const Value members[] = {func.getArgument(1), func.getArgument(2), count, constantInt(b, i64, 0)};
  for (auto [index, value] : llvm::enumerate(members))
    LLVM::StoreOp::create(b, value, memberOf(b, team, shared, index));
  Value threads = LLVM::TruncOp::create(b, i32, LLVM::UMinOp::create(b, count, constantInt(b, i64, INT32_MAX)));
  Value function = LLVM::AddressOfOp::create(b, pointer(b), worker);
  LLVM::CallOp::create(b, TypeRange(), "GOMP_parallel", ValueRange{function, shared, threads, constantInt(b, i32, 0)});
  LLVM::ReturnOp::create(b, ValueRange());
}

void qlow::buildOpenmp(ImplicitLocOpBuilder &b, StringRef prefix) {
  OpBuilder::InsertionGuard guard(b);
  Type i32 = b.getI32Type();
  auto none = LLVM::LLVMVoidType::get(b.getContext());
  LLVM::LLVMFuncOp::create(b, "GOMP_parallel", LLVM::LLVMFunctionType::get(none, {pointer(b), pointer(b), i32, i32}));
  std::string worker = (prefix + ".openmp_worker").str(), run = (prefix + ".openmp_run").str();
  buildWorker(b, worker);
  buildRun(b, run, worker);
  auto func = startFunction(b, (prefix + "_openmp").str(), none, {pointer(b), i32});
  auto type = LLVM::LLVMStructType::getLiteral(b.getContext(), {pointer(b), pointer(b), i32});
  Value parallel = func.getArgument(0);
  LLVM::StoreOp::create(b, LLVM::AddressOfOp::create(b, pointer(b), run), memberOf(b, type, parallel, 0));
  LLVM::StoreOp::create(b, LLVM::ZeroOp::create(b, pointer(b)), memberOf(b, type, parallel, 1));
  LLVM::StoreOp::create(b, func.getArgument(1), memberOf(b, type, parallel, 2));
  LLVM::ReturnOp::create(b, ValueRange());
}
