//===- Abi.cpp - the record of a module's C interface -----------------------===//
//
// Layout of the args struct, numbering of its members, the texts of all return codes, and the two written forms of the
// record: the attribute `qlow.abi` and the JSON of section `.qlow.abi`. Whoever reads JSON from an object trusts
// nothing: every shape of error is a message.
//
//===----------------------------------------------------------------------===//

#include "Device.h"
#include "SizeRules.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/ADT/StringSwitch.h"

#include <nlohmann/json.hpp>

using namespace mlir;
using namespace qlow;
using Json = nlohmann::ordered_json;

static constexpr StringLiteral kKinds[] = {"scalar", "input", "output", "state"};

//===----------------------------------------------------------------------===//
// Layout
//===----------------------------------------------------------------------===//

int64_t qlow::abiElementBytes(StringRef element, std::string *cType) {
  auto [name, bytes] = llvm::StringSwitch<std::pair<StringRef, int64_t>>(element)
                           .Case("f64", {"double", 8})
                           .Case("f32", {"float", 4})
                           .Cases({"f16", "bf16"}, {"uint16_t", 2})
                           .Cases({"i8", "si8"}, {"int8_t", 1})
                           .Cases({"ui8", "i1"}, {"uint8_t", 1})
                           .Cases({"i16", "si16"}, {"int16_t", 2})
                           .Case("ui16", {"uint16_t", 2})
                           .Cases({"i32", "si32"}, {"int32_t", 4})
                           .Case("ui32", {"uint32_t", 4})
                           .Cases({"i64", "si64", "index"}, {"int64_t", 8})
                           .Case("ui64", {"uint64_t", 8})
                           .StartsWith("f8E", {"uint8_t", 1})
                           .Default({"", 0});
  if (cType)
    *cType = name.str();
  return bytes;
}

std::vector<AbiMember> AbiFunction::members() const {
  std::vector<AbiMember> result;
  int64_t end = 0;
  auto add = [&](AbiMember::Kind kind, StringRef name, StringRef type, int index, int64_t bytes) {
    end = llvm::alignTo(end, bytes);
    result.push_back({kind, name.str(), type.str(), index, end, firstNumber + 1 + int64_t(result.size())});
    end += bytes;
  };
  add(AbiMember::Kind::Size, "size", "size_t ", 0, 8);
  for (auto [index, dim] : llvm::enumerate(dims))
    add(AbiMember::Kind::Dim, dim.name, "int64_t ", index, 8);
  for (auto [index, field] : llvm::enumerate(fields)) {
    std::string type;
    int64_t bytes = abiElementBytes(field.element, &type);
    bool scalar = field.kind == AbiField::Kind::Scalar;
    StringRef qualifier = field.kind == AbiField::Kind::Input ? "const " : "";
    add(AbiMember::Kind::Field, field.name, (qualifier + type + (scalar ? " " : " *")).str(), index,
        scalar ? bytes : 8);
  }
  add(AbiMember::Kind::Workspace, "workspace", "void *", 0, 8);
  add(AbiMember::Kind::WorkspaceSize, "workspace_size", "size_t ", 0, 8);
  if (device) {
    add(AbiMember::Kind::Device, "device", "", 0, 8);
    add(AbiMember::Kind::Stream, "stream", "void *", 0, 8);
  } else {
    add(AbiMember::Kind::Parallel, "parallel", "", 0, 8);
  }
  return result;
}

int64_t AbiFunction::structBytes() const { return members().back().offset + 8; }

int64_t AbiFunction::alignmentOf(const AbiField &field) const {
  return std::max(abiElementBytes(field.element), device ? Device::get().tensorAlignment() : int64_t(1));
}

int64_t AbiFunction::workspaceAlignment() const { return device ? Device::get().memoryAlignment() : 64; }

bool AbiFunction::mayBeTooLarge(const AbiField &field) const {
  int64_t bytes = abiElementBytes(field.element);
  for (const AbiExtent &extent : field.shape) {
    int64_t greatest = extent.isDynamic() ? llvm::divideCeil(dims[extent.dim].max, extent.size) : extent.size;
    if (llvm::MulOverflow(bytes, std::max<int64_t>(greatest, 1), bytes) || bytes > kMaxBytes)
      return true;
  }
  return false;
}

void AbiModule::setTarget(const Target &compiledFor, const Target &host) {
  target = compiledFor.machine().name;
  cpuFeatures.clear();
  for (StringRef feature : host.family().checkedFeatures(host.machine()))
    cpuFeatures.push_back(feature.str());
}

bool AbiModule::isOnDevice() const {
  return llvm::any_of(functions, [](const AbiFunction &function) { return function.device; });
}

std::vector<std::string> AbiModule::entryNames() const {
  std::vector<std::string> names;
  for (const AbiFunction &function : functions) {
    names.push_back(prefix + "_" + function.name);
    names.push_back(prefix + "_" + function.name + "_workspace");
  }
  names.push_back(prefix + "_check_cpu");
  names.push_back(prefix + "_strerror");
  if (openmp)
    names.push_back(prefix + "_openmp");
  if (isOnDevice())
    for (StringRef name : {"_weights_size", "_load", "_adopt", "_unload"})
      names.push_back(prefix + name.str());
  return names;
}

//===----------------------------------------------------------------------===//
// Messages
//===----------------------------------------------------------------------===//

/// The checks of one function, as its entry makes them.
static void addMessages(const AbiModule &abi, const AbiFunction &function, std::map<int32_t, std::string> &messages) {
  std::string name = abi.prefix + "_" + function.name;
  auto add = [&](AbiCode code, const AbiMember &member, const Twine &rule) {
    messages[int32_t(code) + 256 * member.number] = (name + ": " + member.name + " " + rule).str();
  };
  messages[int32_t(AbiCode::Null) + 256 * function.firstNumber] = name + ": args must not be NULL";
  for (const AbiMember &member : function.members()) {
    switch (member.kind) {
    case AbiMember::Kind::Size:
      add(AbiCode::Version, member, "must be sizeof(" + name + "_args): the header is not the object's");
      break;
    case AbiMember::Kind::Dim: {
      const AbiDim &dim = function.dims[member.index];
      std::string rule = "must be in [" + std::to_string(dim.min) + ", " + std::to_string(dim.max) + "]";
      for (const AbiRule &other : function.rules)
        if (other.dim == member.index)
          rule += ", and " + other.text;
      add(AbiCode::Size, member, rule);
      break;
    }
    case AbiMember::Kind::Field: {
      const AbiField &field = function.fields[member.index];
      if (field.kind == AbiField::Kind::Scalar)
        break;
      add(AbiCode::Null, member, "must not be NULL unless the tensor is empty");
      if (function.mayBeTooLarge(field))
        add(AbiCode::Size, member, "would have more than 2^62 bytes");
      if (int64_t bytes = function.alignmentOf(field); bytes > 1)
        add(AbiCode::Align, member,
            "must be aligned to " + Twine(bytes) + " bytes" + (function.device ? "" : ", the size of its element"));
      break;
    }
    case AbiMember::Kind::Workspace:
      add(AbiCode::Null, member, "must not be NULL where " + name + "_workspace() is not 0");
      add(AbiCode::Align, member, "must be aligned to " + Twine(function.workspaceAlignment()) + " bytes");
      break;
    case AbiMember::Kind::WorkspaceSize:
      add(AbiCode::Size, member, "would have to exceed 2^62 bytes");
      add(AbiCode::Workspace, member,
          "must be at least " + name + "_workspace() for these sizes" + (function.device ? "" : " and this width"));
      break;
    case AbiMember::Kind::Parallel:
      add(AbiCode::Null, member, "must have a run function");
      add(AbiCode::Size, member, "must have a width of at least 1");
      break;
    case AbiMember::Kind::Device:
      add(AbiCode::Null, member, "must not be NULL");
      break;
    case AbiMember::Kind::Stream:
      break;
    }
  }
}

std::map<int32_t, std::string> AbiModule::messages() const {
  std::map<int32_t, std::string> result;
  result[int32_t(AbiCode::Ok)] = "ok";
  result[int32_t(AbiCode::Cpu)] = prefix + ": this processor or system lacks one of " + llvm::join(cpuFeatures, ", ");
  if (cpuFeatures.empty())
    result[int32_t(AbiCode::Cpu)] = prefix + ": this processor does not fit";
  for (const AbiFunction &function : functions)
    addMessages(*this, function, result);
  if (device)
    Device::get().addMessages(prefix, result);
  return result;
}

//===----------------------------------------------------------------------===//
// The attribute
//===----------------------------------------------------------------------===//

DictionaryAttr AbiFunction::toAttribute(MLIRContext *context) const {
  Builder b(context);
  SmallVector<Attribute> dimAttrs, fieldAttrs;
  for (const AbiDim &dim : dims)
    dimAttrs.push_back(
        b.getArrayAttr({b.getStringAttr(dim.name), b.getI64IntegerAttr(dim.min), b.getI64IntegerAttr(dim.max)}));
  for (const AbiField &field : fields) {
    SmallVector<Attribute> shape;
    for (const AbiExtent &extent : field.shape) {
      if (!extent.isDynamic())
        shape.push_back(b.getI64IntegerAttr(extent.size));
      else if (extent.size == 1)
        shape.push_back(b.getStringAttr(dims[extent.dim].name));
      else
        shape.push_back(b.getArrayAttr({b.getStringAttr(dims[extent.dim].name), b.getI64IntegerAttr(extent.size)}));
    }
    NamedAttrList entries;
    entries.append("name", b.getStringAttr(field.name));
    entries.append("kind", b.getStringAttr(kKinds[unsigned(field.kind)]));
    entries.append("element", b.getStringAttr(field.element));
    entries.append("shape", b.getArrayAttr(shape));
    entries.append("value", b.getStringAttr(field.value));
    entries.append("tensor", b.getStringAttr(field.tensor));
    entries.append("part", b.getStringAttr(field.part));
    if (!field.op.empty())
      entries.append("op", b.getStringAttr(field.op));
    entries.append("note", b.getStringAttr(field.note));
    fieldAttrs.push_back(entries.getDictionary(context));
  }
  NamedAttrList entries;
  entries.append("dims", b.getArrayAttr(dimAttrs));
  entries.append("fields", b.getArrayAttr(fieldAttrs));
  entries.append("results", b.getI32ArrayAttr(results));
  if (IntegerSet set = ruleSet)
    entries.append("rules", IntegerSetAttr::get(set));
  if (device)
    entries.append("device", b.getUnitAttr());
  return entries.getDictionary(context);
}

static FailureOr<AbiExtent> readExtent(const AbiFunction &function, Attribute attribute) {
  if (auto size = dyn_cast<IntegerAttr>(attribute))
    return AbiExtent{-1, size.getInt()};
  AbiExtent extent{-1, 1};
  if (auto divided = dyn_cast<ArrayAttr>(attribute); divided && divided.size() == 2) {
    auto divisor = dyn_cast<IntegerAttr>(divided[1]);
    if (!divisor || divisor.getInt() < 1)
      return failure();
    extent.size = divisor.getInt();
    attribute = divided[0];
  }
  auto name = dyn_cast<StringAttr>(attribute);
  for (auto [index, dim] : llvm::enumerate(function.dims))
    if (name && dim.name == name.getValue())
      extent.dim = index;
  return extent.dim < 0 ? FailureOr<AbiExtent>(failure()) : extent;
}

static FailureOr<AbiField> readField(const AbiFunction &function, Attribute attribute) {
  auto entries = dyn_cast<DictionaryAttr>(attribute);
  if (!entries)
    return failure();
  AbiField field;
  std::string kind;
  for (auto [key, place] : {std::pair<StringRef, std::string *>{"name", &field.name},
                            {"kind", &kind},
                            {"element", &field.element},
                            {"value", &field.value},
                            {"tensor", &field.tensor},
                            {"part", &field.part},
                            {"op", &field.op},
                            {"note", &field.note}})
    if (auto text = entries.getAs<StringAttr>(key))
      *place = text.str();
  auto found = llvm::find(kKinds, kind);
  auto shape = entries.getAs<ArrayAttr>("shape");
  if (found == std::end(kKinds) || !shape || field.name.empty() || !abiElementBytes(field.element))
    return failure();
  field.kind = AbiField::Kind(found - std::begin(kKinds));
  for (Attribute extent : shape) {
    auto read = readExtent(function, extent);
    if (failed(read))
      return failure();
    field.shape.push_back(*read);
  }
  return field;
}

FailureOr<AbiFunction> AbiFunction::fromAttribute(StringRef name, Attribute attribute) {
  auto entries = dyn_cast_or_null<DictionaryAttr>(attribute);
  auto dimAttrs = entries ? entries.getAs<ArrayAttr>("dims") : ArrayAttr();
  auto fieldAttrs = entries ? entries.getAs<ArrayAttr>("fields") : ArrayAttr();
  auto resultAttrs = entries ? entries.getAs<ArrayAttr>("results") : ArrayAttr();
  if (!dimAttrs || !fieldAttrs || !resultAttrs)
    return failure();
  AbiFunction function;
  function.name = name.str();
  function.device = entries.contains("device");
  for (Attribute dim : dimAttrs) {
    auto parts = dyn_cast<ArrayAttr>(dim);
    if (!parts || parts.size() != 3 || !isa<StringAttr>(parts[0]) || !isa<IntegerAttr>(parts[1]) ||
        !isa<IntegerAttr>(parts[2]))
      return failure();
    function.dims.push_back(
        {cast<StringAttr>(parts[0]).str(), cast<IntegerAttr>(parts[1]).getInt(), cast<IntegerAttr>(parts[2]).getInt()});
  }
  for (Attribute field : fieldAttrs) {
    auto read = readField(function, field);
    if (failed(read))
      return failure();
    function.fields.push_back(*read);
  }
  if (auto rules = entries.getAs<IntegerSetAttr>("rules")) {
    function.ruleSet = rules.getValue();
    if (function.ruleSet.getNumDims() != 0 || function.ruleSet.getNumSymbols() != function.dims.size())
      return failure();
    function.rules = describeRules(function.ruleSet, function.dims);
  }
  for (Attribute result : resultAttrs) {
    auto index = dyn_cast<IntegerAttr>(result);
    if (!index || index.getInt() < 0 || index.getInt() >= int64_t(function.fields.size()))
      return failure();
    function.results.push_back(index.getInt());
  }
  return function;
}

FailureOr<AbiModule> AbiModule::read(ModuleOp module) {
  if (auto json = module->getAttrOfType<StringAttr>("qlow.abi")) {
    auto abi = fromJson(json.getValue());
    if (!abi)
      return module.emitError(llvm::toString(abi.takeError()));
    return std::move(*abi);
  }
  AbiModule abi;
  auto prefix = module->getAttrOfType<StringAttr>("qlow.prefix");
  abi.prefix = prefix ? prefix.str() : "model";
  int64_t number = 1;
  for (Operation &op : module.getOps()) {
    Attribute attribute = op.getAttr("qlow.abi");
    if (!attribute)
      continue;
    auto function = AbiFunction::fromAttribute(SymbolTable::getSymbolName(&op).getValue(), attribute);
    if (failed(function))
      return op.emitError("expected 'qlow.abi' as qlow-record-abi writes it, a dictionary of dims and fields");
    function->firstNumber = number;
    number += 1 + function->members().size();
    abi.functions.push_back(std::move(*function));
  }
  if (abi.functions.empty())
    return module.emitError("expected at least one public function with a body: it becomes an entry of the object");
  return abi;
}

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

std::string AbiModule::toJson() const {
  Json functionsJson = Json::array();
  for (const AbiFunction &function : functions) {
    Json dims = Json::array(), rules = Json::array(), fields = Json::array();
    for (const AbiDim &dim : function.dims)
      dims.push_back({{"name", dim.name}, {"min", dim.min}, {"max", dim.max}});
    for (const AbiRule &rule : function.rules)
      rules.push_back({{"dim", rule.dim}, {"text", rule.text}});
    for (const AbiMember &member : function.members()) {
      if (member.kind != AbiMember::Kind::Field)
        continue;
      const AbiField &field = function.fields[member.index];
      Json shape = Json::array();
      for (const AbiExtent &extent : field.shape) {
        if (extent.isDynamic())
          shape.push_back({{"dim", extent.dim}, {"divisor", extent.size}});
        else
          shape.push_back(extent.size);
      }
      fields.push_back({{"name", field.name},
                        {"kind", kKinds[unsigned(field.kind)].str()},
                        {"element", field.element},
                        {"shape", shape},
                        {"offset", member.offset},
                        {"value", field.value},
                        {"tensor", field.tensor},
                        {"part", field.part},
                        {"op", field.op},
                        {"note", field.note}});
    }
    functionsJson.push_back({{"name", function.name},
                             {"bytes", function.structBytes()},
                             {"dims", dims},
                             {"rules", rules},
                             {"fields", fields},
                             {"results", function.results}});
  }
  Json root = {{"abi", 1},
               {"prefix", prefix},
               {"target", target},
               {"openmp", openmp},
               {"cpu_features", cpuFeatures},
               {"functions", functionsJson}};
  if (device) {
    Json kernels = Json::array();
    for (const AbiKernel &kernel : device->kernels)
      kernels.push_back({{"name", kernel.name},
                         {"shared", kernel.sharedBytes},
                         {"clusters", kernel.clusters},
                         {"maps", kernel.maps},
                         {"waits", kernel.waits},
                         {"image", kernel.image}});
    root["device"] = {{"weights", device->weightBytes}, {"portable", device->portable}, {"kernels", kernels}};
  }
  return root.dump(-1, ' ', false, Json::error_handler_t::replace);
}

static AbiField fieldFromJson(const Json &json) {
  AbiField field;
  field.name = json.at("name");
  std::string kind = json.at("kind");
  auto found = llvm::find(kKinds, kind);
  if (found == std::end(kKinds))
    throw std::runtime_error("unknown kind '" + kind + "'");
  field.kind = AbiField::Kind(found - std::begin(kKinds));
  field.element = json.at("element");
  for (const Json &extent : json.at("shape")) {
    if (extent.is_object()) {
      field.shape.push_back({extent.at("dim").get<int>(), extent.at("divisor").get<int64_t>()});
      if (!field.shape.back().isDynamic())
        throw std::runtime_error("impossible shape of '" + field.name + "'");
    } else
      field.shape.push_back({-1, extent.get<int64_t>()});
  }
  field.value = json.at("value");
  field.tensor = json.at("tensor");
  field.part = json.at("part");
  field.op = json.at("op");
  field.note = json.at("note");
  return field;
}

llvm::Expected<AbiModule> AbiModule::fromJson(StringRef text) {
  AbiModule abi;
  try {
    Json root = Json::parse(text.begin(), text.end());
    if (root.at("abi") != 1)
      throw std::runtime_error("expected version 1");
    abi.prefix = root.at("prefix");
    abi.target = root.at("target");
    abi.openmp = root.at("openmp");
    abi.cpuFeatures = root.at("cpu_features").get<std::vector<std::string>>();
    if (root.contains("device")) {
      const Json &json = root.at("device");
      abi.device.emplace().weightBytes = json.at("weights");
      abi.device->portable = json.value("portable", "");
      for (const Json &kernel : json.at("kernels"))
        abi.device->kernels.push_back({kernel.at("name"), kernel.at("shared"), kernel.at("clusters"),
                                       kernel.value("maps", false), kernel.value("waits", false),
                                       kernel.value("image", "")});
    }
    int64_t number = 1;
    for (const Json &json : root.at("functions")) {
      AbiFunction function;
      function.name = json.at("name");
      function.device = abi.device.has_value();
      function.firstNumber = number;
      for (const Json &dim : json.at("dims"))
        function.dims.push_back({dim.at("name"), dim.at("min"), dim.at("max")});
      for (const Json &rule : json.at("rules"))
        function.rules.push_back({rule.at("dim"), rule.at("text")});
      for (const Json &field : json.at("fields"))
        function.fields.push_back(fieldFromJson(field));
      for (const AbiRule &rule : function.rules)
        if (rule.dim < 0 || rule.dim >= int(function.dims.size()))
          throw std::runtime_error("impossible rule '" + rule.text + "'");
      for (const AbiField &field : function.fields) {
        if (!abiElementBytes(field.element))
          throw std::runtime_error("unknown element '" + field.element + "'");
        for (const AbiExtent &extent : field.shape)
          if (extent.dim >= int(function.dims.size()) || extent.size < (extent.isDynamic() ? 1 : 0))
            throw std::runtime_error("impossible shape of '" + field.name + "'");
      }
      function.results = json.at("results").get<std::vector<int>>();
      for (int result : function.results)
        if (result < 0 || result >= int(function.fields.size()))
          throw std::runtime_error("impossible result of '" + function.name + "'");
      number += 1 + function.members().size();
      abi.functions.push_back(std::move(function));
    }
  } catch (const std::exception &error) {
    return llvm::createStringError("section .qlow.abi: " + StringRef(error.what()));
  }
  return abi;
}
