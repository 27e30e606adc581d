//===- Verify.cpp - check what types and single ops can not -----------------===//
//
// Takes a module as it was imported or written by hand and reports what no op's verifier sees: types against shapes in
// signatures, where quantized tensors may pass, blobs behind constants, sizes, sums that can wrap, recursion. Numbers
// T1, V1, ... are those of docs/Semantics.md. Must not change the IR; must survive any IR that parses.
//
//===----------------------------------------------------------------------===//

#include "Constraints.h"
#include "qlow/Dialect/Accepted.h"

#include "mlir/Analysis/CallGraph.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/SCCIterator.h"

#include <limits>

namespace qlow {
#define GEN_PASS_DEF_VERIFY
#include "qlow/Dialect/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;
using namespace qlow::constraints;

using EmitError = function_ref<InFlightDiagnostic()>;

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

static bool holdsQuantized(Type type) {
  return type.walk([](QType) { return WalkResult::interrupt(); }).wasInterrupted();
}

static LogicalResult verifyTensorType(EmitError emitError, RankedTensorType tensor) {
  Type element = tensor.getElementType();
  if (isa<QType>(element))
    return QType::verifyTensor(emitError, tensor);
  // V8
  if (!isAcceptedType(tensor))
    return emitError() << "expected a tensor of i1, i8, i16, i32, i64, f16, bf16, f32, f64, f8E8M0FNU, f8E4M3FN or "
                          "!qlow.q, found "
                       << tensor;
  // V5
  SmallVector<int64_t> shape(tensor.getShape());
  llvm::replace(shape, 0, 1);
  std::optional<unsigned> elementBytes = getElementBytes(element);
  if (!elementBytes || !getByteSize(shape, *elementBytes))
    return emitError() << "a tensor of type " << tensor << " has more than 2^63 - 1 bytes";
  return success();
}

/// The type of one value.
static LogicalResult verifyType(EmitError emitError, Type type) {
  if (auto tensor = dyn_cast<RankedTensorType>(type))
    return verifyTensorType(emitError, tensor);
  // V2
  if (isa<UnrankedTensorType>(type))
    return emitError() << "expected a ranked tensor, found " << type << ": give it a shape, with ? for unknown sizes";
  // V1
  if (holdsQuantized(type))
    return emitError() << "expected !qlow.q as the element of a ranked tensor only, found " << type;
  // V8
  if (type.isIntOrIndexOrFloat() && !isAcceptedType(type))
    return emitError() << "expected a scalar of index, i1, i8, i16, i32, i64, f16, bf16, f32 or f64, found " << type;
  return success();
}

//===----------------------------------------------------------------------===//
// Ways of quantized tensors
//===----------------------------------------------------------------------===//

static bool isQuantized(Type type) { return static_cast<bool>(getQuantizedElement(type)); }

static bool touchesQuantized(Operation *op) {
  auto blockTakes = [](Block &block) { return llvm::any_of(block.getArgumentTypes(), isQuantized); };
  auto regionTakes = [&](Region &region) { return llvm::any_of(region, blockTakes); };
  return llvm::any_of(op->getOperandTypes(), isQuantized) || llvm::any_of(op->getResultTypes(), isQuantized) ||
         llvm::any_of(op->getRegions(), regionTakes);
}

// V1
static LogicalResult verifyWay(Operation *op) {
  // Constants break V4 already.
  if (isa_and_nonnull<QlowDialect>(op->getDialect()) || op->hasTrait<OpTrait::ConstantLike>() || !touchesQuantized(op))
    return success();
  if (auto select = dyn_cast<arith::SelectOp>(op))
    if (!select.getCondition().getType().isInteger(1))
      return op->emitOpError() << "chooses between quantized tensors as a whole: expected a condition of i1, found "
                               << select.getCondition().getType();
  // Asking for a size does not touch what is in the tensor; import turns sizes of results into sizes of operands.
  if (isa<func::FuncOp, func::CallOp, func::ReturnOp, scf::ForOp, scf::IfOp, scf::WhileOp, scf::IndexSwitchOp,
          scf::YieldOp, scf::ConditionOp, arith::SelectOp, tensor::DimOp>(op))
    return success();
  return op->emitOpError() << "can not take or give quantized tensors: they pass only through qlow ops, func.func, "
                              "func.call, func.return, scf.for, scf.if, scf.while, scf.index_switch and arith.select; "
                              "qlow.dequantize or qlow.decompose first";
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

// V3
static LogicalResult verifyResource(EmitError emitError, DenseResourceElementsAttr attr) {
  ShapedType type = attr.getType();
  StringRef key = attr.getRawHandle().getKey();
  std::optional<unsigned> elementBytes = getElementBytes(type.getElementType());
  std::optional<int64_t> expected = elementBytes ? getByteSize(type.getShape(), *elementBytes) : std::nullopt;
  if (!expected)
    return emitError() << "expected resource '" << key
                       << "' to be of elements of whole bytes and at most 2^63 - 1 of them, found " << type;
  const AsmResourceBlob *blob = attr.getRawHandle().getBlob();
  if (!blob)
    return emitError() << "resource '" << key << "' is missing: expected " << *expected << " bytes for " << type;
  ArrayRef<char> data = blob->getData();
  if (int64_t(data.size()) != *expected)
    return emitError() << "resource '" << key << "': expected " << *expected << " bytes for " << type << ", found "
                       << int64_t(data.size());
  uintptr_t address = reinterpret_cast<uintptr_t>(data.data());
  if (!data.empty() && (blob->getDataAlignment() % *elementBytes != 0 || address % *elementBytes != 0))
    return emitError() << "resource '" << key << "': expected an alignment of " << *elementBytes << " bytes for "
                       << type << ", found " << uint64_t(blob->getDataAlignment());
  return success();
}

static LogicalResult verifyConstant(EmitError emitError, ElementsAttr attr) {
  // V4
  if (holdsQuantized(attr.getShapedType()))
    return emitError()
           << "a quantized tensor is never a constant: make its parts constants and qlow.compose them, found "
           << attr.getShapedType();
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(attr))
    return verifyResource(emitError, resource);
  return success();
}

//===----------------------------------------------------------------------===//
// Sums over K
//===----------------------------------------------------------------------===//

namespace {
struct Interval {
  int64_t min, max;
};
} // namespace

/// The codes' numbers in a constant part of packed codes of `format`, or none.
static std::optional<Interval> rangeOfConstant(Value part, const Format &format, ArrayRef<int64_t> codes) {
  Attribute constant;
  if (!matchPattern(part, m_Constant(&constant)))
    return {};
  SmallVector<uint8_t> bytes;
  if (auto dense = dyn_cast<DenseIntElementsAttr>(constant))
    llvm::append_range(bytes, dense.getValues<uint8_t>());
  else if (auto resource = dyn_cast<DenseResourceElementsAttr>(constant))
    llvm::append_range(bytes, resource.getRawHandle().getBlob()->getData());
  if (bytes.empty())
    return {};
  int64_t rowCodes = codes.empty() ? 1 : codes.back(), rowBytes = format.rowBytes(rowCodes);
  Interval range = {std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()};
  for (int64_t start = 0, size = bytes.size(); start + rowBytes <= size && rowBytes > 0; start += rowBytes)
    for (int64_t index = 0; index < rowCodes; ++index) {
      int64_t number = format.integer(format.extract(bytes.data() + start, index));
      range = {std::min(range.min, number), std::max(range.max, number)};
    }
  return range.min <= range.max ? std::optional<Interval>(range) : std::nullopt;
}

static Interval rangeOfZeroPoints(Value side, QType type) {
  if (!type.getZero())
    return {0, 0};
  auto compose = side.getDefiningOp<ComposeOp>();
  unsigned index = 1 + QType::getNumParts(type.getScale());
  SmallVector<int64_t> codes = type.getScaleShape(cast<RankedTensorType>(side.getType()).getShape());
  if (compose && !ShapedType::isDynamicShape(codes))
    if (std::optional<Interval> range = rangeOfConstant(compose.getParts()[index], *type.getZero(), codes))
      return *range;
  IntegerImage image = *type.getZero()->integerImage();
  return {image.min, image.max};
}

/// max |code - zero| of one side of an exact sum.
static int64_t magnitudeOf(Value side) {
  QType type = getQuantizedElement(side.getType());
  IntegerImage image = *type.getFormat()->integerImage();
  Interval zero = rangeOfZeroPoints(side, type);
  return std::max({image.max - zero.min, zero.max - image.min, int64_t(1)});
}

// V6
static void warnOfWrap(MatmulOp op) {
  int64_t k = op.getProblemShape()[2];
  if (!op.hasExactSum() || ShapedType::isDynamic(k))
    return;
  int64_t lhs = magnitudeOf(op.getLhs()), rhs = magnitudeOf(op.getRhs());
  int64_t longest = std::numeric_limits<int32_t>::max() / (lhs * rhs);
  if (k > longest)
    op.emitWarning() << "the sum over K = " << k << " of products of at most " << lhs << " * " << rhs
                     << " can leave i32, where it wraps modulo 2^32; K up to " << longest << " is always exact";
}

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

// V7
static LogicalResult verifyNoRecursion(ModuleOp module) {
  CallGraph graph(module);
  LogicalResult result = success();
  for (auto scc = llvm::scc_begin(static_cast<const CallGraph *>(&graph)); !scc.isAtEnd(); ++scc) {
    if (!scc.hasCycle())
      continue;
    SmallVector<Operation *> functions;
    for (const CallGraphNode *node : *scc)
      if (!node->isExternal())
        functions.push_back(node->getCallableRegion()->getParentOp());
    if (functions.empty())
      continue;
    llvm::sort(functions, [](Operation *a, Operation *b) {
      return a->getBlock() == b->getBlock() ? a->isBeforeInBlock(b) : a->getBlock() < b->getBlock();
    });
    InFlightDiagnostic diagnostic = functions.front()->emitOpError() << "calls itself";
    for (Operation *other : llvm::drop_begin(functions))
      if (auto name = other->getAttrOfType<StringAttr>(SymbolTable::getSymbolAttrName()))
        diagnostic << (other == functions[1] ? " through @" : ", @") << name.getValue();
    diagnostic << ": expected functions without recursion";
    result = failure();
  }
  return result;
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct VerifyPass : qlow::impl::VerifyBase<VerifyPass> {
  using VerifyBase::VerifyBase;

  void runOnOperation() override {
    if (failed(verifyNotLowered(getOperation())))
      return signalPassFailure();
    seenTypes.clear();
    seenConstants.clear();
    isValid = true;
    getOperation()->walk<WalkOrder::PreOrder>([&](Operation *op) { verifyOp(op); });
    note(verifyNoRecursion(getOperation()));
    if (!isValid)
      return signalPassFailure();
    getOperation()->walk(warnOfWrap);
    markAllAnalysesPreserved();
  }

private:
  void note(LogicalResult result) { isValid &= succeeded(result); }

  /// Each type is reported once, at its first value.
  void verifyTypes(EmitError emitError, TypeRange types) {
    for (Type type : types)
      if (seenTypes.insert(type).second)
        note(verifyType(emitError, type));
  }

  void verifyOp(Operation *op) {
    auto emitError = [&] { return op->emitOpError(); };
    if (auto function = dyn_cast<func::FuncOp>(op)) {
      if (function.isExternal())
        verifyTypes(emitError, function.getArgumentTypes());
      verifyTypes(emitError, function.getResultTypes());
    }
    op->getAttrDictionary().walk([&](ElementsAttr attr) {
      if (seenConstants.insert(attr).second)
        note(verifyConstant(emitError, attr));
    });
    verifyTypes(emitError, op->getResultTypes());
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (BlockArgument argument : block.getArguments())
          verifyTypes([&] { return emitAt(op, argument.getLoc()); }, argument.getType());
    note(verifyWay(op));
    note(verifyOpenSizes(op));
  }

  static InFlightDiagnostic emitAt(Operation *op, Location loc) {
    return mlir::emitError(loc) << "'" << op->getName() << "' op ";
  }

  llvm::DenseSet<Type> seenTypes;
  llvm::DenseSet<Attribute> seenConstants;
  bool isValid = true;
};
} // namespace
