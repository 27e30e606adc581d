//===- BuildEntries.cpp - the C functions around a model's functions --------===//
//
// In: functions on memrefs with their records. Out: for each an entry that checks the args struct and calls it, a
// function that gives the size of the workspace, and the functions every object has. An entry touches no memory of the
// caller but the struct before every check has passed; the checks stand in the order that docs/Abi.md gives. An entry
// of a device object runs its function, which launches kernels, on the device that the state was loaded for.
//
//===----------------------------------------------------------------------===//

#include "Device.h"
#include "Entries.h"
#include "SizeRules.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qlow {
#define GEN_PASS_DEF_BUILDENTRIES
#include "qlow/Emit/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

namespace {
/// Sizes of one call as values: the caller's dims, and what follows from them.
class Sizes {
public:
  Sizes(ImplicitLocOpBuilder &b, const AbiFunction &function, SmallVector<Value> dims)
      : b(b), function(function), dims(std::move(dims)) {}

  Value extent(const AbiExtent &extent);
  /// dim in [min, max]
  Value inRange(unsigned dim);
  /// Whether a tensor has at most 2^62 bytes; null where it always has.
  Value fits(const AbiField &field);
  /// Whether a tensor has an element; null where it always has.
  Value nonEmpty(const AbiField &field);

private:
  Value compare(LLVM::ICmpPredicate predicate, Value lhs, int64_t rhs) {
    return LLVM::ICmpOp::create(b, predicate, lhs, constantInt(b, lhs.getType(), rhs));
  }
  ImplicitLocOpBuilder &b;
  const AbiFunction &function;
  SmallVector<Value> dims;
};
} // namespace

Value Sizes::extent(const AbiExtent &extent) {
  Type i64 = b.getI64Type();
  if (!extent.isDynamic())
    return constantInt(b, i64, extent.size);
  if (extent.size == 1)
    return dims[extent.dim];
  Value rounded = LLVM::AddOp::create(b, dims[extent.dim], constantInt(b, i64, extent.size - 1));
  return LLVM::UDivOp::create(b, rounded, constantInt(b, i64, extent.size));
}

Value Sizes::inRange(unsigned dim) {
  const AbiDim &range = function.dims[dim];
  return LLVM::AndOp::create(b, compare(LLVM::ICmpPredicate::sge, dims[dim], range.min),
                             compare(LLVM::ICmpPredicate::sle, dims[dim], range.max));
}

Value Sizes::fits(const AbiField &field) {
  if (!function.mayBeTooLarge(field))
    return {};
  Type i64 = b.getI64Type();
  auto pair = LLVM::LLVMStructType::getLiteral(b.getContext(), {i64, b.getI1Type()});
  Value bytes = constantInt(b, i64, abiElementBytes(field.element)), ok = constantInt(b, b.getI1Type(), 1);
  for (const AbiExtent &size : field.shape) {
    // An extent of 0 must not hide that the others overflow: code multiplies them in any order.
    Value factor = LLVM::UMaxOp::create(b, extent(size), constantInt(b, i64, 1));
    Value product = LLVM::UMulWithOverflowOp::create(b, pair, bytes, factor);
    bytes = LLVM::ExtractValueOp::create(b, product, 0);
    Value overflow = LLVM::ExtractValueOp::create(b, product, 1);
    ok = LLVM::AndOp::create(b, ok, compare(LLVM::ICmpPredicate::eq, overflow, 0));
  }
  return LLVM::AndOp::create(b, ok, compare(LLVM::ICmpPredicate::ule, bytes, kMaxBytes));
}

Value Sizes::nonEmpty(const AbiField &field) {
  Value result;
  for (const AbiExtent &size : field.shape) {
    if (size.isDynamic() ? function.dims[size.dim].min > 0 : size.size > 0)
      continue;
    Value positive = compare(LLVM::ICmpPredicate::ne, extent(size), 0);
    result = result ? LLVM::AndOp::create(b, result, positive).getResult() : positive;
  }
  return result;
}

//===----------------------------------------------------------------------===//
// One function
//===----------------------------------------------------------------------===//

namespace {
/// Builds entry and workspace function of one model function.
class EntryBuilder {
public:
  EntryBuilder(func::FuncOp func, const AbiModule &abi, const AbiFunction &function, const LLVMTypeConverter &types)
      : func(func), abi(abi), function(function), types(types), b(func.getLoc(), func.getContext()),
        pointer(LLVM::LLVMPointerType::get(func.getContext())) {
    b.setInsertionPoint(func);
  }
  LogicalResult build();

private:
  LogicalResult matchSignature();
  void buildWorkspace();
  void buildEntry();
  Value buildWidth(Value parallel, int64_t number);
  SmallVector<Value> makeOperands(Value width, Value last);
  void callOnDevice();
  void storeResults(ValueRange results);
  void checkSizes(ArrayRef<AbiMember> members, Value args);
  void checkPointers(ArrayRef<AbiMember> members, Value need);
  void check(Value ok, AbiCode code, int64_t number);
  Value load(Value args, const AbiMember &member);
  Value makeMemRef(MemRefType type, Value data, const AbiField &field, Sizes &sizes);
  Value asIndex(Value value) {
    return UnrealizedConversionCastOp::create(b, TypeRange(b.getIndexType()), value).getResult(0);
  }
  Value isNull(Value value) {
    return LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, value, LLVM::ZeroOp::create(b, pointer));
  }
  Value negate(Value value) { return LLVM::XOrOp::create(b, value, constantInt(b, b.getI1Type(), 1)); }
  Value isAligned(Value address, int64_t bytes) {
    Type i64 = b.getI64Type();
    Value low = LLVM::AndOp::create(b, LLVM::PtrToIntOp::create(b, i64, address), constantInt(b, i64, bytes - 1));
    return LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, low, constantInt(b, i64, 0));
  }

  func::FuncOp func, workspace;
  const AbiModule &abi;
  const AbiFunction &function;
  const LLVMTypeConverter &types;
  ImplicitLocOpBuilder b;
  Type pointer;

  /// Field of each argument, and how many of them are inputs; what stands behind them is workspace, width, parallel.
  SmallVector<int> argumentFields;
  unsigned numInputs = 0;
  bool hasWorkspace = false;
  /// Fields of scalar results.
  SmallVector<int> scalarResults;

  LLVM::LLVMFuncOp entry;
  Block *fail = nullptr;
  std::map<AbiMember::Kind, Value> special;
  SmallVector<Value> dimValues, fieldValues;
};
} // namespace

static bool isScalarType(StringRef tensor) { return !tensor.starts_with("tensor<"); }

/// Finds the field behind each argument and checks that they agree.
LogicalResult EntryBuilder::matchSignature() {
  for (auto [index, field] : llvm::enumerate(function.fields))
    if (field.kind != AbiField::Kind::Output)
      argumentFields.push_back(index);
  numInputs = argumentFields.size();
  for (int result : function.results)
    (isScalarType(function.fields[result].tensor) ? scalarResults : argumentFields).push_back(result);
  auto mismatch = [&](const Twine &what) {
    return func.emitError() << "does not have the arguments its 'qlow.abi' records: " << what
                            << "; expected inputs, outputs, then workspace, width and parallel, found "
                            << func.getFunctionType();
  };
  size_t found = func.getNumArguments(), expected = argumentFields.size();
  hasWorkspace = found == expected + 3;
  if (found != expected && !hasWorkspace)
    return mismatch(Twine(expected) + " fields, " + Twine(found) + " arguments");
  if (function.device && !(hasWorkspace && func.getArgAttr(found - 1, "qlow.launch")))
    return mismatch("a device's function takes an argument marked 'qlow.launch' in place of parallel");
  if (func.getNumResults() != scalarResults.size())
    return mismatch(Twine(scalarResults.size()) + " scalar results");
  for (auto [index, number] : llvm::enumerate(argumentFields)) {
    const AbiField &field = function.fields[number];
    auto type = dyn_cast<MemRefType>(func.getArgumentTypes()[index]);
    if ((field.kind == AbiField::Kind::Scalar) != !type)
      return mismatch("'" + field.name + "'");
    if (type && (type.getRank() != int64_t(field.shape.size()) || !type.getLayout().isIdentity()))
      return mismatch("'" + field.name + "' must be a row-major memref of rank " + Twine(field.shape.size()));
  }
  return success();
}

/// Goes on where `ok` holds, else returns the code.
void EntryBuilder::check(Value ok, AbiCode code, int64_t number) {
  if (!ok)
    return;
  Value result = constantInt(b, b.getI32Type(), int32_t(code) + 256 * number);
  Block *next = entry.addBlock();
  LLVM::CondBrOp::create(b, ok, next, ValueRange(), fail, ValueRange(result));
  b.setInsertionPointToStart(next);
}

Value EntryBuilder::load(Value args, const AbiMember &member) {
  Type type = pointer;
  if (member.kind == AbiMember::Kind::Size || member.kind == AbiMember::Kind::Dim ||
      member.kind == AbiMember::Kind::WorkspaceSize)
    type = b.getI64Type();
  if (member.kind == AbiMember::Kind::Field && function.fields[member.index].kind == AbiField::Kind::Scalar) {
    Type argument;
    for (auto [index, number] : llvm::enumerate(argumentFields))
      if (number == member.index)
        argument = func.getArgumentTypes()[index];
    type = argument.isInteger(1) ? b.getI8Type() : types.convertType(argument);
  }
  Value address = LLVM::GEPOp::create(b, pointer, b.getI8Type(), args, ArrayRef<LLVM::GEPArg>{int32_t(member.offset)});
  return LLVM::LoadOp::create(b, type, address);
}

/// bytes = <prefix>_<f>_workspace(dims..., width): checks the ranges, then asks what the planner made.
void EntryBuilder::buildWorkspace() {
  OpBuilder::InsertionGuard guard(b);
  Type i64 = b.getI64Type(), i32 = b.getI32Type();
  SmallVector<Type> arguments(function.dims.size(), i64);
  if (!function.device)
    arguments.push_back(i32);
  auto outer = startFunction(b, abi.prefix + "_" + function.name + "_workspace", i64, arguments);
  SmallVector<Value> dims(outer.getArguments().take_front(function.dims.size()));
  Sizes sizes(b, function, dims);
  Value width = function.device ? constantInt(b, i32, 1) : outer.getArguments().back();
  Value ok = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::sge, width, constantInt(b, i32, 1));
  for (unsigned dim = 0; dim < dims.size(); ++dim)
    ok = LLVM::AndOp::create(b, ok, sizes.inRange(dim));
  for (unsigned rule = 0; rule < function.rules.size(); ++rule)
    ok = LLVM::AndOp::create(b, ok, emitRule(b, function.ruleSet, rule, dims));
  for (const AbiField &field : function.fields)
    if (Value fits = sizes.fits(field))
      ok = LLVM::AndOp::create(b, ok, fits);
  Block *inside = outer.addBlock(), *done = outer.addBlock();
  done->addArgument(i64, b.getLoc());
  Value outOfRange = constantInt(b, i64, -1), none = constantInt(b, i64, 0);
  LLVM::CondBrOp::create(b, ok, inside, ValueRange(), done, ValueRange(outOfRange));

  b.setInsertionPointToStart(inside);
  if (!workspace) {
    LLVM::BrOp::create(b, ValueRange(none), done);
  } else {
    SmallVector<Value> operands;
    for (unsigned index = 0; index < numInputs; ++index)
      if (auto type = dyn_cast<MemRefType>(func.getArgumentTypes()[index]))
        for (int64_t dim = 0; dim < type.getRank(); ++dim)
          if (type.isDynamicDim(dim))
            operands.push_back(asIndex(sizes.extent(function.fields[argumentFields[index]].shape[dim])));
    operands.push_back(asIndex(LLVM::ZExtOp::create(b, i64, width)));
    Value index = func::CallOp::create(b, workspace, operands).getResult(0);
    Value bytes = UnrealizedConversionCastOp::create(b, TypeRange(i64), index).getResult(0);
    Value fits = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::ult, bytes, constantInt(b, i64, kMaxBytes));
    LLVM::BrOp::create(b, ValueRange(LLVM::SelectOp::create(b, fits, bytes, outOfRange)), done);
  }
  b.setInsertionPointToStart(done);
  LLVM::ReturnOp::create(b, done->getArgument(0));
}

void EntryBuilder::checkSizes(ArrayRef<AbiMember> members, Value args) {
  for (const AbiMember &member : members) {
    if (member.kind == AbiMember::Kind::Dim)
      dimValues.push_back(load(args, member));
    else if (member.kind == AbiMember::Kind::Field)
      fieldValues.push_back(load(args, member));
    else
      special[member.kind] = load(args, member);
  }
  Sizes sizes(b, function, dimValues);
  for (const AbiMember &member : members)
    if (member.kind == AbiMember::Kind::Dim)
      check(sizes.inRange(member.index), AbiCode::Size, member.number);
  for (auto [index, rule] : llvm::enumerate(function.rules))
    check(emitRule(b, function.ruleSet, index, dimValues), AbiCode::Size,
          llvm::find_if(members, [&](const AbiMember &member) {
            return member.kind == AbiMember::Kind::Dim && member.index == rule.dim;
          })->number);
  for (const AbiMember &member : members)
    if (member.kind == AbiMember::Kind::Field)
      check(sizes.fits(function.fields[member.index]), AbiCode::Size, member.number);
}

/// NULL, ALIGN and WORKSPACE, in this order over all members.
void EntryBuilder::checkPointers(ArrayRef<AbiMember> members, Value need) {
  Sizes sizes(b, function, dimValues);
  for (const AbiMember &member : members) {
    if (member.kind != AbiMember::Kind::Field || function.fields[member.index].kind == AbiField::Kind::Scalar)
      continue;
    Value given = negate(isNull(fieldValues[member.index]));
    if (Value nonEmpty = sizes.nonEmpty(function.fields[member.index]))
      given = LLVM::OrOp::create(b, given, negate(nonEmpty));
    check(given, AbiCode::Null, member.number);
  }
  Type i64 = b.getI64Type();
  auto numberOf = [&](AbiMember::Kind kind) {
    return llvm::find_if(members, [&](const AbiMember &member) { return member.kind == kind; })->number;
  };
  Value space = special[AbiMember::Kind::Workspace];
  Value noneNeeded = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, need, constantInt(b, i64, 0));
  check(LLVM::OrOp::create(b, negate(isNull(space)), noneNeeded), AbiCode::Null, numberOf(AbiMember::Kind::Workspace));
  if (function.device)
    check(negate(isNull(special[AbiMember::Kind::Device])), AbiCode::Null, numberOf(AbiMember::Kind::Device));

  for (const AbiMember &member : members)
    if (member.kind == AbiMember::Kind::Field && function.fields[member.index].kind != AbiField::Kind::Scalar)
      if (int64_t bytes = function.alignmentOf(function.fields[member.index]); bytes > 1)
        check(isAligned(fieldValues[member.index], bytes), AbiCode::Align, member.number);
  check(isAligned(space, function.workspaceAlignment()), AbiCode::Align, numberOf(AbiMember::Kind::Workspace));
  Value enough = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::uge, special[AbiMember::Kind::WorkspaceSize], need);
  check(enough, AbiCode::Workspace, numberOf(AbiMember::Kind::WorkspaceSize));
}

Value EntryBuilder::makeMemRef(MemRefType type, Value data, const AbiField &field, Sizes &sizes) {
  auto descriptor = MemRefDescriptor::poison(b, b.getLoc(), types.convertType(type));
  descriptor.setAllocatedPtr(b, b.getLoc(), data);
  descriptor.setAlignedPtr(b, b.getLoc(), data);
  descriptor.setConstantOffset(b, b.getLoc(), 0);
  Value stride = constantInt(b, b.getI64Type(), 1);
  for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
    Value size = sizes.extent(field.shape[dim]);
    descriptor.setSize(b, b.getLoc(), dim, size);
    descriptor.setStride(b, b.getLoc(), dim, stride);
    stride = LLVM::MulOp::create(b, stride, size);
  }
  Value llvmValue = descriptor;
  return UnrealizedConversionCastOp::create(b, TypeRange(type), llvmValue).getResult(0);
}

/// width = parallel ? parallel->width : 1, checked.
Value EntryBuilder::buildWidth(Value parallel, int64_t number) {
  Type i32 = b.getI32Type();
  Value alone = isNull(parallel), one = constantInt(b, i32, 1);
  Block *shared = entry.addBlock(), *joined = entry.addBlock();
  joined->addArgument(i32, b.getLoc());
  LLVM::CondBrOp::create(b, alone, joined, ValueRange(one), shared, ValueRange());
  b.setInsertionPointToStart(shared);
  auto member = [&](Type type, int32_t offset) -> Value {
    return LLVM::LoadOp::create(
        b, type, LLVM::GEPOp::create(b, pointer, b.getI8Type(), parallel, ArrayRef<LLVM::GEPArg>{offset}));
  };
  Value given = member(i32, 16);
  check(LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::sge, given, one), AbiCode::Size, number);
  check(negate(isNull(member(pointer, 0))), AbiCode::Null, number);
  LLVM::BrOp::create(b, ValueRange(given), joined);
  b.setInsertionPointToStart(joined);
  return joined->getArgument(0);
}

/// What the model's function takes, from the members of the struct; `last` is parallel, or launch on a device.
SmallVector<Value> EntryBuilder::makeOperands(Value width, Value last) {
  Sizes sizes(b, function, dimValues);
  SmallVector<Value> operands;
  for (auto [index, number] : llvm::enumerate(argumentFields)) {
    Type type = func.getArgumentTypes()[index];
    Value value = fieldValues[number];
    if (auto memref = dyn_cast<MemRefType>(type))
      value = makeMemRef(memref, value, function.fields[number], sizes);
    else if (type.isInteger(1))
      value = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::ne, value, constantInt(b, b.getI8Type(), 0));
    else if (value.getType() != type)
      value = UnrealizedConversionCastOp::create(b, TypeRange(type), value).getResult(0);
    operands.push_back(value);
  }
  if (!hasWorkspace)
    return operands;
  auto type = cast<MemRefType>(func.getArgumentTypes()[argumentFields.size()]);
  auto descriptor = MemRefDescriptor::poison(b, b.getLoc(), types.convertType(type));
  descriptor.setAllocatedPtr(b, b.getLoc(), special[AbiMember::Kind::Workspace]);
  descriptor.setAlignedPtr(b, b.getLoc(), special[AbiMember::Kind::Workspace]);
  descriptor.setConstantOffset(b, b.getLoc(), 0);
  descriptor.setSize(b, b.getLoc(), 0, special[AbiMember::Kind::WorkspaceSize]);
  descriptor.setConstantStride(b, b.getLoc(), 0, 1);
  Value llvmValue = descriptor;
  operands.push_back(UnrealizedConversionCastOp::create(b, TypeRange(type), llvmValue).getResult(0));
  operands.push_back(asIndex(LLVM::ZExtOp::create(b, b.getI64Type(), width)));
  operands.push_back(last);
  return operands;
}

/// Scalar results go where the struct's pointers say.
void EntryBuilder::storeResults(ValueRange results) {
  for (auto [number, result] : llvm::zip(scalarResults, results)) {
    Value value = result;
    if (Type type = types.convertType(value.getType()); type != value.getType())
      value = UnrealizedConversionCastOp::create(b, TypeRange(type), value).getResult(0);
    if (value.getType().isInteger(1))
      value = LLVM::ZExtOp::create(b, b.getI8Type(), value);
    LLVM::StoreOp::create(b, value, fieldValues[number]);
  }
}

void EntryBuilder::buildEntry() {
  OpBuilder::InsertionGuard guard(b);
  Type i32 = b.getI32Type(), i64 = b.getI64Type();
  std::vector<AbiMember> members = function.members();
  entry = startFunction(b, abi.prefix + "_" + function.name, i32, {pointer});
  Value args = entry.getArgument(0);
  fail = entry.addBlock();
  fail->addArgument(i32, b.getLoc());
  auto numberOf = [&](AbiMember::Kind kind) {
    return llvm::find_if(members, [&](const AbiMember &member) { return member.kind == kind; })->number;
  };
  check(negate(isNull(args)), AbiCode::Null, function.firstNumber);
  Value bytes = load(args, members.front());
  check(LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, bytes, constantInt(b, i64, function.structBytes())),
        AbiCode::Version, members.front().number);
  if (!abi.cpuFeatures.empty()) {
    Value cpu = LLVM::CallOp::create(b, TypeRange(i32), abi.prefix + "_check_cpu", ValueRange()).getResult();
    check(LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, cpu, constantInt(b, i32, 0)), AbiCode::Cpu, 0);
  }
  checkSizes(members, args);
  SmallVector<Value> sizes(dimValues);
  Value parallel = special[AbiMember::Kind::Parallel], width;
  if (!function.device) {
    width = buildWidth(parallel, numberOf(AbiMember::Kind::Parallel));
    sizes.push_back(width);
  }
  Value need =
      LLVM::CallOp::create(b, TypeRange(i64), abi.prefix + "_" + function.name + "_workspace", sizes).getResult();
  check(LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::sge, need, constantInt(b, i64, 0)), AbiCode::Size,
        numberOf(AbiMember::Kind::WorkspaceSize));
  checkPointers(members, need);

  if (function.device) {
    callOnDevice();
  } else {
    storeResults(func::CallOp::create(b, func, makeOperands(width, parallel)).getResults());
    LLVM::BrOp::create(b, ValueRange(constantInt(b, i32, 0)), fail);
  }
  b.setInsertionPointToEnd(fail);
  LLVM::ReturnOp::create(b, fail->getArgument(0));
}

/// Checks that the state is loaded; then
///
///   launch = {device, stream, 0}; enter(device); f(..., &launch); leave(device); launch.status
///
/// Any thread may call.
void EntryBuilder::callOnDevice() {
  const Device &kind = Device::get();
  Type i32 = b.getI32Type();
  Value state = special[AbiMember::Kind::Device], one = constantInt(b, i32, 1), zero = constantInt(b, i32, 0);
  auto equal = [&](Value lhs, Value rhs) { return LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, lhs, rhs); };
  check(kind.emitIsLoaded(b, abi.prefix, state), AbiCode::Device, kind.notLoaded());

  Value entered = kind.emitEnter(b, state);
  auto deviceCode = [&](Value result) -> Value {
    Value above = LLVM::MulOp::create(b, result, constantInt(b, i32, 256));
    return LLVM::AddOp::create(b, above, constantInt(b, i32, int(AbiCode::Device)));
  };
  Block *next = entry.addBlock();
  LLVM::CondBrOp::create(b, equal(entered, zero), next, ValueRange(), fail, ValueRange(deviceCode(entered)));
  b.setInsertionPointToStart(next);
  Value launch = LLVM::AllocaOp::create(b, pointer, LLVM::LLVMArrayType::get(b.getI64Type(), kLaunchBytes / 8), one, 8);
  storeAt(b, state, launch, kLaunchDevice);
  storeAt(b, special[AbiMember::Kind::Stream], launch, kLaunchStream);
  storeAt(b, zero, launch, kLaunchStatus);
  func::CallOp::create(b, func, makeOperands(one, launch));
  Value left = kind.emitLeave(b, state), status = loadAt(b, i32, launch, kLaunchStatus);
  Value own = LLVM::SelectOp::create(b, equal(left, zero), zero, deviceCode(left));
  LLVM::BrOp::create(b, ValueRange(LLVM::SelectOp::create(b, equal(status, zero), own, status)), fail);
}

LogicalResult EntryBuilder::build() {
  if (failed(matchSignature()))
    return failure();
  auto module = func->getParentOfType<ModuleOp>();
  workspace = module.lookupSymbol<func::FuncOp>((func.getName() + ".workspace").str());
  buildWorkspace();
  buildEntry();
  return success();
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct BuildEntries : qlow::impl::BuildEntriesBase<BuildEntries> {
  using BuildEntriesBase::BuildEntriesBase;

  /// A model's function may be called like an entry, like a function of libc, or like one that is built beside it.
  LogicalResult renameInternals(ModuleOp module, StringRef prefix) {
    SymbolTableCollection tables;
    SymbolTable &table = tables.getSymbolTable(module);
    auto linkage = LLVM::LinkageAttr::get(&getContext(), LLVM::Linkage::Internal);
    for (auto func : llvm::to_vector(module.getOps<func::FuncOp>())) {
      if (func.isDeclaration())
        continue;
      std::string name = modelPrefix(prefix) + func.getName().str();
      if (failed(table.rename(func, name)))
        return failure();
      func.setPrivate();
      func->setAttr("llvm.linkage", linkage);
      func->removeAttr("qlow.abi");
      // What arguments are for is said in the record now; LLVM has no such attributes.
      func.removeArgAttrsAttr();
      func.removeResAttrsAttr();
    }
    return success();
  }

  /// What the state has to hold, and the machine that runs the entries.
  LogicalResult readDevice(ModuleOp module, const Machine &machine, AbiModule &abi,
                           std::shared_ptr<const Target> &host) {
    auto found = Target::find(machine.host);
    if (!found)
      return module.emitError("the host of target '" + machine.name + "': " + llvm::toString(found.takeError()));
    if ((*found)->family().runsOnDevice())
      return module.emitError("the host of target '" + machine.name + "': expected a processor, found the device '" +
                              machine.host + "'");
    if (openmp)
      return module.emitError("target '" + machine.name +
                              "' is a device, which has no use for a parallel run on "
                              "OpenMP's threads");
    host = *found;
    auto kernels = kernelsFromAttribute(module);
    if (failed(kernels))
      return failure();
    module->removeAttr("qlow.kernels");
    abi.device.emplace().kernels = std::move(*kernels);
    if (auto portable = module->getAttrOfType<StringAttr>("qlow.portable"))
      abi.device->portable = portable.str();
    if (auto weights = module.lookupSymbol<LLVM::GlobalOp>(abi.prefix + "_weights"))
      abi.device->weightBytes = cast<LLVM::LLVMArrayType>(weights.getGlobalType()).getNumElements();
    return success();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto abi = AbiModule::read(module);
    auto machine = Target::find(target);
    if (!machine) {
      module.emitError(llvm::toString(machine.takeError()));
      return signalPassFailure();
    }
    if (failed(abi))
      return signalPassFailure();
    abi->openmp = openmp;
    std::shared_ptr<const Target> host = *machine;
    if ((*machine)->family().runsOnDevice() && failed(readDevice(module, (*machine)->machine(), *abi, host)))
      return signalPassFailure();
    abi->setTarget(**machine, *host);
    LowerToLLVMOptions options(&getContext());
    LLVMTypeConverter types(&getContext(), options);
    for (const AbiFunction &function : abi->functions) {
      if (function.device != abi->device.has_value()) {
        module.emitError("'" + function.name + "' was recorded for another kind of target than '" + target +
                         "': run qlow-record-abi with the same one");
        return signalPassFailure();
      }
      if (failed(EntryBuilder(module.lookupSymbol<func::FuncOp>(function.name), *abi, function, types).build()))
        return signalPassFailure();
    }
    if (failed(renameInternals(module, abi->prefix)))
      return signalPassFailure();
    ImplicitLocOpBuilder b(module.getLoc(), &getContext());
    b.setInsertionPointToEnd(module.getBody());
    buildCheckCpu(b, abi->prefix, *host);
    buildStrerror(b, *abi);
    if (openmp)
      buildOpenmp(b, abi->prefix);
    if (abi->device)
      Device::get().buildFunctions(b, *abi);
    module->setAttr("qlow.abi", b.getStringAttr(abi->toJson()));
  }
};
} // namespace
