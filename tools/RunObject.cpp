//===- RunObject.cpp - calling an object on arrays --------------------------===//
//
// Takes a loaded object, one of its functions and an array for each input; gives an array for each result. What the
// header asks of a caller is done here: sizes, workspace, alignment.
//
//===----------------------------------------------------------------------===//

#include "RunObject.h"

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FormatVariadic.h"

using llvm::createStringError, llvm::Expected, llvm::formatv, llvm::StringSwitch, llvm::ArrayRef, llvm::SmallVector;
using namespace qlow;

static Expected<ArrayElement> elementOf(const AbiField &field) {
  auto element = StringSwitch<std::optional<ArrayElement>>(field.element)
                     .Case("i1", ArrayElement::I1)
                     .Case("i8", ArrayElement::I8)
                     .Case("ui8", ArrayElement::U8)
                     .Case("i16", ArrayElement::I16)
                     .Case("i32", ArrayElement::I32)
                     .Cases({"i64", "index"}, ArrayElement::I64)
                     .Case("f16", ArrayElement::F16)
                     .Case("bf16", ArrayElement::BF16)
                     .Case("f32", ArrayElement::F32)
                     .Case("f64", ArrayElement::F64)
                     .Case("f8E8M0FNU", ArrayElement::F8E8M0)
                     .Case("f8E4M3FN", ArrayElement::F8E4M3)
                     .Default(std::nullopt);
  if (element)
    return *element;
  return createStringError(formatv("{0}: no .npy file holds elements of {1}", field.name, field.element).str());
}

static bool isRead(const AbiField &field) { return field.kind != AbiField::Kind::Output; }

Expected<std::vector<ArrayType>> qlow::inputTypes(const AbiFunction &function) {
  std::vector<ArrayType> types;
  for (const AbiField &field : function.fields) {
    if (!isRead(field))
      continue;
    Expected<ArrayElement> element = elementOf(field);
    if (!element)
      return element.takeError();
    ArrayType &type = types.emplace_back(ArrayType{{}, *element});
    for (const AbiExtent &extent : field.shape)
      type.shape.push_back(extent.isDynamic() ? mlir::ShapedType::kDynamic : extent.size);
  }
  return types;
}

/// What no input's shape tells of a size, and the rules that say what it must be.
static llvm::Error unknownSize(const AbiFunction &function, size_t dim) {
  std::string name = function.dims[dim].name, rules;
  for (const AbiRule &rule : function.rules)
    if (rule.dim == static_cast<int>(dim))
      rules += (rules.empty() ? "" : ", ") + rule.text;
  return createStringError("no argument's shape tells the size " + name + (rules.empty() ? "" : " (" + rules + ")") +
                           ": say it, as in --size=" + name + "=16");
}

/// The sizes that the shapes of the inputs give; every size belongs to some extent that counts it one by one. `given`
/// are those of results that have a name of their own.
static Expected<std::vector<int64_t>> sizesOf(const AbiFunction &function, ArrayRef<Array> inputs,
                                              const llvm::StringMap<int64_t> &given) {
  std::vector<int64_t> sizes(function.dims.size(), -1);
  for (const auto &[name, size] : given) {
    auto dim = llvm::find_if(function.dims, [&](const AbiDim &dim) { return dim.name == name; });
    if (dim == function.dims.end())
      return createStringError("--size=" + name.str() + ": " + function.name + " has no size of this name");
    sizes[dim - function.dims.begin()] = size;
  }
  const Array *input = inputs.begin();
  for (const AbiField &field : function.fields) {
    if (!isRead(field))
      continue;
    for (auto [extent, found] : llvm::zip(field.shape, input->shape)) {
      if (!extent.isDynamic() || extent.size != 1)
        continue;
      int64_t &size = sizes[extent.dim];
      if (size != -1 && size != found)
        return createStringError(
            formatv("{0}: expected {1} = {2}, as {3} has it, found {4}", field.name, function.dims[extent.dim].name,
                    size, given.contains(function.dims[extent.dim].name) ? "--size" : "another argument", found)
                .str());
      size = found;
    }
    ++input;
  }
  for (auto [dim, size] : llvm::enumerate(sizes))
    if (size == -1)
      return unknownSize(function, dim);
  return sizes;
}

Expected<std::vector<Array>> qlow::callObject(const LoadedObject &object, const AbiFunction &function,
                                              std::vector<Array> inputs, const llvm::StringMap<int64_t> &given) {
  Expected<std::vector<int64_t>> sizes = sizesOf(function, inputs, given);
  if (!sizes)
    return sizes.takeError();
  std::vector<Array> arrays;
  auto next = inputs.begin();
  for (const AbiField &field : function.fields) {
    if (isRead(field)) {
      arrays.push_back(std::move(*next++));
      continue;
    }
    Expected<ArrayElement> element = elementOf(field);
    if (!element)
      return element.takeError();
    SmallVector<int64_t> shape;
    for (const AbiExtent &extent : field.shape)
      shape.push_back(extent.isDynamic() ? llvm::divideCeil((*sizes)[extent.dim], extent.size) : extent.size);
    arrays.emplace_back(shape, *element);
  }
  Expected<int64_t> bytes = object.workspace(function, *sizes, 1);
  if (!bytes)
    return bytes.takeError();
  std::vector<uint8_t> scratch(std::max<int64_t>(*bytes, 0) + 64);
  CallArguments arguments;
  arguments.dims = *sizes;
  // An array without elements still has an address.
  for (Array &array : arrays)
    arguments.fields.push_back(array.bytes.empty() ? scratch.data() : array.bytes.data());
  arguments.workspace = scratch.data() + (-reinterpret_cast<uintptr_t>(scratch.data()) & 63);
  arguments.workspaceSize = std::max<int64_t>(*bytes, 0);
  Expected<int32_t> code = object.call(function, arguments);
  if (!code)
    return code.takeError();
  if (*code)
    return createStringError(object.message(*code));
  // A state is an argument, and where it is updated a result.
  std::vector<Array> results;
  results.reserve(function.results.size());
  for (int field : function.results)
    results.push_back(arrays[field]);
  return results;
}
