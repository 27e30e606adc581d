//===- RecordAbi.cpp - what the header needs to know -------------------------===//
//
// In: functions on tensors, with names, sizes and ranges as attributes. Out: `qlow.abi` on each public function. This
// is the last place that sees quantized types in signatures, so all that the header says is decided here, what sizes
// must be to each other included, and all that could make an impossible header is refused here. Signatures and bodies
// stay as they are.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Sizes.h"
#include "qlow/Emit/Emit.h"
#include "qlow/Targets/Layout.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"

namespace qlow {
#define GEN_PASS_DEF_RECORDABI
#include "qlow/Emit/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

static std::string print(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return text;
}

//===----------------------------------------------------------------------===//
// One function
//===----------------------------------------------------------------------===//

namespace {
/// An argument or a result on its way into the record.
struct Boundary {
  bool isResult;
  unsigned index;
  Type type;
  std::string name;
  std::string describe() const { return (isResult ? "result " : "argument ") + std::to_string(index); }
};

class Recorder {
public:
  Recorder(func::FuncOp func, bool device)
      : func(func), sizes(func.getContext(), [this](BlockArgument argument, int64_t dim) {
          return getAffineSymbolExpr(argumentShapes[argument.getArgNumber()][dim].dim, this->func.getContext());
        }) {
    abi.name = func.getName().str();
    abi.device = device;
  }
  LogicalResult run();
  AbiFunction abi;

private:
  func::FuncOp func;
  SizeAnalysis sizes;
  std::vector<std::vector<AbiExtent>> argumentShapes;
  llvm::StringMap<unsigned> argumentNumbers;

  Attribute attribute(const Boundary &value, StringRef name) {
    return value.isResult ? func.getResultAttr(value.index, name) : func.getArgAttr(value.index, name);
  }
  LogicalResult nameOf(Boundary &value);
  LogicalResult checkName(StringRef what, StringRef name);
  LogicalResult checkUnique();
  FailureOr<int> dimNamed(StringRef name);
  FailureOr<std::vector<AbiExtent>> shapeOf(const Boundary &value);
  FailureOr<AbiExtent> extentOf(const Boundary &value, int64_t dim, Attribute given);
  FailureOr<AbiExtent> returnedExtent(const Boundary &value, int64_t dim);
  LogicalResult requireReturned(unsigned result, int64_t dim, int named);
  void limitProducts(SmallVectorImpl<AffineExpr> &differences, SmallVectorImpl<bool> &equalities);
  LogicalResult addArgument(unsigned index);
  LogicalResult addResult(unsigned index);
  LogicalResult addFields(const Boundary &value, AbiField::Kind kind, ArrayRef<AbiExtent> shape);
  LogicalResult addParts(AbiField base, QType type, std::vector<AbiExtent> shape, StringRef part);
  LogicalResult add(AbiField field);
  LogicalResult readRanges();
  std::string spell(ArrayRef<AbiExtent> shape) const;
};
} // namespace

LogicalResult Recorder::checkName(StringRef what, StringRef name) {
  std::string suggestion, why = whyNotIdentifier(name, suggestion);
  if (why.empty())
    return success();
  return func.emitError() << what << " '" << name << "' " << why << "; a name that can be used: '" << suggestion << "'";
}

LogicalResult Recorder::nameOf(Boundary &value) {
  Attribute given = attribute(value, "qlow.name");
  value.name = (value.isResult ? "result" : "arg") + std::to_string(value.index);
  if (!given)
    return success();
  auto text = dyn_cast<StringAttr>(given);
  if (!text)
    return func.emitError() << "expected 'qlow.name' of " << value.describe() << " as a string, found " << given;
  value.name = text.str();
  return checkName("name of " + value.describe(), value.name);
}

FailureOr<int> Recorder::dimNamed(StringRef name) {
  for (auto [index, dim] : llvm::enumerate(abi.dims))
    if (dim.name == name)
      return int(index);
  if (failed(checkName("size", name)))
    return failure();
  abi.dims.push_back({name.str()});
  return int(abi.dims.size()) - 1;
}

/// Size of one dimension: what `qlow.dims` says, or for results where it comes from, or a size of its own.
FailureOr<AbiExtent> Recorder::extentOf(const Boundary &value, int64_t dim, Attribute given) {
  int64_t size = cast<ShapedType>(value.type).getDimSize(dim);
  if (!ShapedType::isDynamic(size)) {
    auto number = dyn_cast_or_null<IntegerAttr>(given);
    if (given && (!number || number.getInt() != size))
      return func.emitError() << "'qlow.dims' of " << value.describe() << ", dimension " << dim
                              << ": expected its size " << size << ", found " << given;
    return AbiExtent{-1, size};
  }
  if (!given && value.isResult)
    return returnedExtent(value, dim);
  auto name = dyn_cast_or_null<StringAttr>(given);
  if (given && !name)
    return func.emitError() << "'qlow.dims' of " << value.describe() << ", dimension " << dim
                            << ": expected a name for its dynamic size, found " << given;
  auto index = dimNamed(name ? name.getValue() : StringRef(value.name + "_d" + std::to_string(dim)));
  if (failed(index) || (value.isResult && failed(requireReturned(value.index, dim, *index))))
    return failure();
  return AbiExtent{*index, 1};
}

/// The size of a result that nobody named, where it is a constant, an argument's, or a part of an argument's.
FailureOr<AbiExtent> Recorder::returnedExtent(const Boundary &value, int64_t dim) {
  AffineExpr size = sizes.sizeOf(func.front().getTerminator()->getOperand(value.index), dim);
  AbiExtent extent;
  if (size && size.getKind() == AffineExprKind::CeilDiv)
    if (auto divisor = dyn_cast<AffineConstantExpr>(cast<AffineBinaryOpExpr>(size).getRHS())) {
      extent.size = divisor.getValue();
      size = cast<AffineBinaryOpExpr>(size).getLHS();
    }
  if (auto constant = dyn_cast_or_null<AffineConstantExpr>(size); constant && constant.getValue() >= 0)
    return AbiExtent{-1, int64_t(llvm::divideCeil(constant.getValue(), extent.size))};
  auto symbol = dyn_cast_or_null<AffineSymbolExpr>(size);
  if (!symbol)
    return func.emitError() << "dimension " << dim << " of " << value.describe()
                            << " is dynamic and no argument's size is known to equal it; name it, as in qlow.dims = "
                               "[\"m\", ...]";
  extent.dim = int(symbol.getPosition());
  return extent;
}

/// A result, or the state it updates, has the size that the caller has made room for.
LogicalResult Recorder::requireReturned(unsigned result, int64_t dim, int named) {
  Operation *terminator = func.front().getTerminator();
  return sizes.requireEqual(
      terminator, getAffineSymbolExpr(named, func.getContext()), sizes.sizeOf(terminator->getOperand(result), dim),
      "'" + abi.dims[named].name + "' and dimension " + Twine(dim) + " of result " + Twine(result));
}

FailureOr<std::vector<AbiExtent>> Recorder::shapeOf(const Boundary &value) {
  auto tensor = dyn_cast<RankedTensorType>(value.type);
  std::vector<AbiExtent> shape;
  if (!tensor)
    return shape;
  Attribute given = attribute(value, "qlow.dims");
  auto names = dyn_cast_or_null<ArrayAttr>(given);
  if (given && (!names || int64_t(names.size()) != tensor.getRank()))
    return func.emitError() << "expected 'qlow.dims' of " << value.describe() << " as a list of " << tensor.getRank()
                            << " names or sizes, found " << given;
  for (int64_t dim = 0; dim < tensor.getRank(); ++dim) {
    auto extent = extentOf(value, dim, names ? names[dim] : Attribute());
    if (failed(extent))
      return failure();
    shape.push_back(*extent);
  }
  return shape;
}

std::string Recorder::spell(ArrayRef<AbiExtent> shape) const {
  std::string text = "[";
  for (auto [index, extent] : llvm::enumerate(shape)) {
    text += index ? ", " : "";
    if (!extent.isDynamic())
      text += std::to_string(extent.size);
    else if (extent.size == 1)
      text += abi.dims[extent.dim].name;
    else
      text += "ceil(" + abi.dims[extent.dim].name + " / " + std::to_string(extent.size) + ")";
  }
  return text + "]";
}

/// Adds a field whose static sizes alone must stay below what any machine can address.
LogicalResult Recorder::add(AbiField field) {
  int64_t bytes = abiElementBytes(field.element);
  if (!bytes)
    return func.emitError()
           << "'" << field.value << "' has element type " << field.element
           << ", which has no C type; expected f64, f32, f16, bf16, f8, i1, i8, i16, i32, i64 or !qlow.q";
  for (const AbiExtent &extent : field.shape)
    if (!extent.isDynamic() && llvm::MulOverflow(bytes, std::max<int64_t>(extent.size, 1), bytes))
      return func.emitError() << "'" << field.value << "' of type " << field.tensor << " has more than 2^63 - 1 bytes";
  abi.fields.push_back(std::move(field));
  return success();
}

//===----------------------------------------------------------------------===//
// Parts of quantized tensors
//===----------------------------------------------------------------------===//

static std::string describePacking(const Format &format) {
  if (format.kind == DecodeKind::Trit)
    return ", five a byte, least significant base-3 digit first";
  if (format.bits == 8)
    return "";
  if (format.bits == 4)
    return ", two a byte, low nibble first";
  if (format.bits == 16)
    return ", two bytes each, low byte first";
  return ", packed lowest bits first, each row padded to whole bytes";
}

/// The shape in bytes of packed codes; the last dimension is dynamic only where a code is a byte.
static std::vector<AbiExtent> packedShape(const Format &format, std::vector<AbiExtent> shape) {
  if (shape.empty())
    shape.push_back({-1, 1});
  if (!shape.back().isDynamic())
    shape.back().size = format.rowBytes(shape.back().size);
  return shape;
}

static std::vector<AbiExtent> scaleShape(QType type, ArrayRef<AbiExtent> shape) {
  std::vector<AbiExtent> result;
  for (auto [extent, block] : llvm::zip(shape, type.getBlock())) {
    if (block == QType::kWhole)
      result.push_back({-1, 1});
    else if (extent.isDynamic())
      result.push_back({extent.dim, extent.size * block});
    else
      result.push_back({-1, int64_t(llvm::divideCeil(extent.size, block))});
  }
  return result;
}

static std::string describeBlock(QType type, StringRef what) {
  if (type.getBlock().empty())
    return (what + " of the whole tensor").str();
  std::string text = (what + " of each block [").str();
  for (auto [index, size] : llvm::enumerate(type.getBlock()))
    text += (index ? ", " : "") + (size == QType::kWhole ? "*" : std::to_string(size));
  return text + "]";
}

static std::string formula(QType type) {
  std::string code = type.getFormat()->kind == DecodeKind::Integer ? "code" : "decode(code)";
  if (type.getZero())
    code = "(" + code + " - zero)";
  return "value = scale * " + code + (type.getOffset() ? " + offset" : "");
}

/// The parts in the order of QType::getParts; `part` is the path so far ("" or "scale", "offset", ...).
LogicalResult Recorder::addParts(AbiField base, QType type, std::vector<AbiExtent> shape, StringRef part) {
  auto addOne = [&](StringRef name, std::string element, std::vector<AbiExtent> extents, std::string note) {
    AbiField field = base;
    field.part = part.empty() ? name.str() : (part + "_" + name).str();
    field.name = base.value + "_" + field.part;
    field.element = element;
    field.shape = extents;
    field.note = spell(extents) + " " + note;
    return add(field);
  };
  auto codes = [&](const Format &format) {
    return format.kind == DecodeKind::Integer && format.bits == 8 && format.isSigned ? "i8" : "ui8";
  };
  std::string of = base.value + (part.empty() ? "" : ("'s " + part).str());
  for (const Format *format : {type.getFormat(), type.getZero()})
    if (format && format->bits != 8 && !shape.empty() && shape.back().isDynamic() &&
        (format == type.getFormat() || (!type.getBlock().empty() && type.getBlock().back() != QType::kWhole)))
      return func.emitError() << "'" << base.value << "': expected a static last dimension, found " << base.tensor
                              << ": codes of " << StringRef(format->name)
                              << " do not take one byte each, and a caller's sizes count bytes of them; give "
                              << "the dimension a size, or pass the value in f32 and convert it inside the function";
  const Format &format = *type.getFormat();
  if (failed(addOne("codes", codes(format), packedShape(format, shape),
                    StringRef(format.name).str() + " codes of " + of + " " + spell(shape) + describePacking(format) +
                        "; " + formula(type))))
    return failure();
  std::vector<AbiExtent> scales = scaleShape(type, shape);
  auto addScale = [&](StringRef name, Type scale) -> LogicalResult {
    if (auto nested = dyn_cast<QType>(scale))
      return addParts(base, nested, scales, part.empty() ? name.str() : (part + "_" + name).str());
    return addOne(name, print(scale), scales, print(scale) + ": the " + describeBlock(type, name) + " of " + of);
  };
  if (failed(addScale("scale", type.getScale())))
    return failure();
  if (const Format *zero = type.getZero())
    if (failed(addOne("zero", codes(*zero), packedShape(*zero, scales),
                      StringRef(zero->name).str() + ": the " + describeBlock(type, "zero point") + " of " + of +
                          describePacking(*zero))))
      return failure();
  return type.getOffset() ? addScale("offset", type.getOffset()) : success();
}

LogicalResult Recorder::addFields(const Boundary &value, AbiField::Kind kind, ArrayRef<AbiExtent> shape) {
  AbiField field;
  field.name = field.value = value.name;
  field.kind = kind;
  field.tensor = print(value.type);
  if (auto op = dyn_cast_or_null<StringAttr>(attribute(value, "qlow.op")))
    field.op = op.str();
  auto tensor = dyn_cast<RankedTensorType>(value.type);
  if (QType quantized = tensor ? dyn_cast<QType>(tensor.getElementType()) : QType())
    return addParts(field, quantized, shape, "");
  Type element = tensor ? tensor.getElementType() : value.type;
  field.element = print(element);
  if (tensor && element.isIndex())
    return func.emitError() << "'" << value.name << "' has elements of type index, whose size depends on the machine; "
                            << "expected i64 or i32";
  field.shape = shape.vec();
  field.note = (tensor ? spell(shape) + " " : std::string()) + field.element;
  if (element.isInteger(1))
    field.note += ", 0 or 1";
  else if (element.isF16() || element.isBF16() || field.element.starts_with("f8"))
    field.note += " bits";
  return add(field);
}

//===----------------------------------------------------------------------===//
// Arguments, results, ranges
//===----------------------------------------------------------------------===//

LogicalResult Recorder::addArgument(unsigned index) {
  Boundary value{false, index, func.getArgumentTypes()[index], ""};
  if (failed(nameOf(value)))
    return failure();
  auto shape = shapeOf(value);
  if (failed(shape))
    return failure();
  argumentNumbers[value.name] = index;
  argumentShapes.push_back(*shape);
  if (isa<TensorType>(value.type) && !isa<RankedTensorType>(value.type))
    return func.emitError() << value.describe() << " is unranked: expected a tensor with a rank";
  bool updated = llvm::any_of(llvm::seq(func.getNumResults()), [&](unsigned result) {
    auto updates = func.getResultAttrOfType<StringAttr>(result, "qlow.updates");
    return updates && updates.getValue() == value.name;
  });
  AbiField::Kind kind = updated ? AbiField::Kind::State : AbiField::Kind::Input;
  return addFields(value, isa<TensorType>(value.type) ? kind : AbiField::Kind::Scalar, *shape);
}

LogicalResult Recorder::addResult(unsigned index) {
  Boundary value{true, index, func.getResultTypes()[index], ""};
  if (Attribute updates = attribute(value, "qlow.updates")) {
    auto name = dyn_cast<StringAttr>(updates);
    auto found = name ? argumentNumbers.find(name.getValue()) : argumentNumbers.end();
    if (found == argumentNumbers.end())
      return func.emitError() << "'qlow.updates' of result " << index << ": expected the name of an argument, found "
                              << updates;
    if (func.getArgumentTypes()[found->second] != value.type || !isa<RankedTensorType>(value.type))
      return func.emitError() << "result " << index << " updates '" << name.getValue() << "' and must have its type, "
                              << func.getArgumentTypes()[found->second] << ", a tensor; found " << value.type;
    for (unsigned other = 0; other < index; ++other)
      if (func.getResultAttr(other, "qlow.updates") == updates)
        return func.emitError() << "results " << other << " and " << index << " both update '" << name.getValue()
                                << "': expected one of them; the other can be a result with a name of its own";
    for (auto [dim, extent] : llvm::enumerate(argumentShapes[found->second]))
      if (extent.isDynamic() && failed(requireReturned(index, dim, extent.dim)))
        return failure();
    for (auto [position, field] : llvm::enumerate(abi.fields))
      if (field.value == name.getValue())
        abi.results.push_back(position);
    return success();
  }
  if (failed(nameOf(value)))
    return failure();
  if (abi.device && !isa<TensorType>(value.type))
    return func.emitError() << value.describe() << " is a " << value.type << ", but an entry returns before the device "
                            << "has computed it; expected a tensor, such as one of rank 0";
  if (isa<TensorType>(value.type) && !isa<RankedTensorType>(value.type))
    return func.emitError() << value.describe() << " is unranked: expected a tensor with a rank";
  auto shape = shapeOf(value);
  if (failed(shape))
    return failure();
  int first = abi.fields.size();
  if (failed(addFields(value, AbiField::Kind::Output, *shape)))
    return failure();
  llvm::append_range(abi.results, llvm::seq(first, int(abi.fields.size())));
  return success();
}

LogicalResult Recorder::readRanges() {
  Attribute given = func->getAttr("qlow.range");
  if (!given)
    return success();
  auto ranges = dyn_cast<DictionaryAttr>(given);
  if (!ranges)
    return func.emitError() << "expected 'qlow.range' as a dictionary such as {m = [0, 4096]}, found " << given;
  for (NamedAttribute range : ranges) {
    auto dim = llvm::find_if(abi.dims, [&](const AbiDim &dim) { return dim.name == range.getName().getValue(); });
    if (dim == abi.dims.end())
      return func.emitError() << "'qlow.range' names '" << range.getName().getValue()
                              << "', which is the name of no dynamic size of this function";
    auto bounds = dyn_cast<ArrayAttr>(range.getValue());
    auto low = bounds && bounds.size() == 2 ? dyn_cast<IntegerAttr>(bounds[0]) : IntegerAttr();
    auto high = bounds && bounds.size() == 2 ? dyn_cast<IntegerAttr>(bounds[1]) : IntegerAttr();
    if (!low || !high || low.getInt() < 0 || low.getInt() > high.getInt() || high.getInt() > (int64_t(1) << 48))
      return func.emitError() << "'qlow.range' of '" << dim->name
                              << "': expected [least, greatest] with 0 <= least <= greatest <= 2^48, found "
                              << range.getValue();
    dim->min = low.getInt();
    dim->max = high.getInt();
  }
  return success();
}

LogicalResult Recorder::checkUnique() {
  for (const AbiDim &dim : abi.dims)
    if (dim.name == "width" && !abi.device)
      return func.emitError() << "a size is called 'width', as the last parameter of " << abi.name
                              << "_workspace is; call it otherwise in qlow.dims";
  llvm::StringMap<bool> seen;
  for (const AbiMember &member : abi.members())
    if (!seen.try_emplace(member.name, true).second)
      return func.emitError()
             << "two members of " << abi.name << "'s args struct are called '" << member.name
             << "'; give the argument, result or size another qlow.name or name in qlow.dims, such as '" << member.name
             << "_2'";
  return success();
}

/// Kernels of a device count the rows, the columns and K of a product in 32 bits, and rows of f32 beside codes once for
/// each of their terms: a size of these that can be larger is one more rule.
void Recorder::limitProducts(SmallVectorImpl<AffineExpr> &differences, SmallVectorImpl<bool> &equalities) {
  func.walk([&](MatmulOp matmul) {
    bool hasTerms = cast<ShapedType>(matmul.getLhs().getType()).getElementType().isF32() &&
                    getQuantizedElement(matmul.getRhs().getType()) && !matmul.getTransposeLhs();
    for (Value side : {matmul.getLhs(), matmul.getRhs()})
      for (int64_t dim = matmul.getBatchRank(), e = dim + 2; dim < e; ++dim) {
        AffineExpr size = sizes.sizeOf(side, dim);
        bool areTerms = hasTerms && side == matmul.getLhs() && dim == matmul.getBatchRank();
        const int64_t most = INT32_MAX / (areTerms ? kTermsOfF32 : 1);
        auto symbol = dyn_cast_or_null<AffineSymbolExpr>(size);
        bool isSmall = symbol && abi.dims[symbol.getPosition()].max <= most;
        if (!size || isa<AffineConstantExpr>(size) || !size.isSymbolicOrConstant() || isSmall)
          continue;
        if (AffineExpr difference = most - size; !llvm::is_contained(differences, difference)) {
          differences.push_back(difference);
          equalities.push_back(false);
        }
      }
  });
}

LogicalResult Recorder::run() {
  if (failed(checkName("function", abi.name)))
    return failure();
  if (!func.getBody().hasOneBlock())
    return func.emitError("expected structured control flow: run lift-cf-to-scf before qlow-record-abi");
  for (unsigned index = 0; index < func.getNumArguments(); ++index)
    if (failed(addArgument(index)))
      return failure();
  if (failed(sizes.addRules(func)))
    return failure();
  for (unsigned index = 0; index < func.getNumResults(); ++index)
    if (failed(addResult(index)))
      return failure();
  if (failed(readRanges()) || failed(checkUnique()))
    return failure();
  SmallVector<AffineExpr> differences;
  SmallVector<bool> equalities;
  for (const SizeRule &rule : sizes.getRules()) {
    differences.push_back(rule.difference);
    equalities.push_back(rule.isEquality);
  }
  if (abi.device)
    limitProducts(differences, equalities);
  if (!differences.empty())
    abi.ruleSet = IntegerSet::get(0, abi.dims.size(), differences, equalities);
  func->setAttr("qlow.abi", abi.toAttribute(func.getContext()));
  return success();
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct RecordAbi : qlow::impl::RecordAbiBase<RecordAbi> {
  using RecordAbiBase::RecordAbiBase;

  LogicalResult recordPrefix(ModuleOp module) {
    std::string name = prefix, suggestion;
    if (name.empty())
      name = makeIdentifier(module.getName().value_or("model"));
    if (std::string why = whyNotIdentifier(name, suggestion); !why.empty())
      return module.emitError() << "prefix '" << name << "' " << why << "; a prefix that can be used: '" << suggestion
                                << "'";
    module->setAttr("qlow.prefix", StringAttr::get(module.getContext(), name));
    return success();
  }

  /// No two functions may define one symbol: a function f_workspace beside f would.
  LogicalResult checkSymbols(ModuleOp module) {
    auto abi = AbiModule::read(module);
    if (failed(abi))
      return failure();
    bool device = abi->functions.front().device;
    abi->openmp = !device;
    if (device)
      abi->device.emplace();
    llvm::StringMap<bool> seen;
    std::vector<std::string> names = abi->headerNames();
    names.push_back(abi->prefix + "_weights"); // the object's own
    for (const std::string &name : names)
      if (!seen.try_emplace(name, true).second)
        return module.emitError() << "two things in the header or the object would be called '" << name
                                  << "'; rename a function";
    return success();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto machine = Target::find(target);
    if (!machine) {
      module.emitError(llvm::toString(machine.takeError()));
      return signalPassFailure();
    }
    module->removeAttr("qlow.abi"); // of an earlier record
    if (failed(recordPrefix(module)))
      return signalPassFailure();
    for (auto func : module.getOps<func::FuncOp>())
      if (func.isPublic() && !func.isDeclaration() && failed(Recorder(func, (*machine)->family().runsOnDevice()).run()))
        return signalPassFailure();
    if (failed(checkSymbols(module)))
      return signalPassFailure();
  }
};
} // namespace
