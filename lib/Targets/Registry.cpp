//===- Registry.cpp - targets by name ---------------------------------------===//
//
// Takes a target's name or the path of a description and gives the target: machine and family. The registered
// descriptions are part of the program.
//
//===----------------------------------------------------------------------===//

#include "qlow/Targets/Targets.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace llvm;
using namespace qlow;

namespace {
struct Description {
  StringRef name, text;
};
constexpr Description kDescriptions[] = {
#include "Machines.inc"
};
} // namespace

std::vector<StringRef> Target::names() {
  std::vector<StringRef> result;
  for (const Description &description : kDescriptions)
    result.push_back(description.name);
  return result;
}

ArrayRef<const Family *> qlow::families() {
  static const Family *const kFamilies[] = {&genericFamily(), &x86Family(), &nvptxFamily()};
  return kFamilies;
}

static Expected<std::string> registeredText(StringRef name) {
  for (const Description &description : kDescriptions)
    if (description.name == name)
      return description.text.str();
  // A letter or two off is a slip of the pen.
  unsigned nearest = 3;
  std::string suggestion;
  for (StringRef known : Target::names())
    if (unsigned distance = name.edit_distance(known, /*AllowReplacements=*/true, nearest); distance < nearest) {
      nearest = distance;
      suggestion = ("; did you mean '" + known + "'?").str();
    }
  return createStringError(formatv("unknown target '{0}'; known: {1}, host, or a file ending in .json{2}", name,
                                   join(Target::names(), ", "), suggestion)
                               .str());
}

FailureOr<std::shared_ptr<const Target>> qlow::findTarget(mlir::Operation *op, StringRef nameOrPath) {
  Expected<std::shared_ptr<const Target>> found = Target::find(nameOrPath);
  if (!found)
    return op->emitError() << llvm::toString(found.takeError());
  return std::move(*found);
}

Expected<std::shared_ptr<const Target>> Target::find(StringRef nameOrPath) {
  std::string text, file = (nameOrPath + ".json").str();
  if (nameOrPath.ends_with(".json")) {
    // Neither an endless device nor a model that was mistaken for a description is read.
    constexpr uint64_t kMostBytes = 1 << 20;
    sys::fs::file_status status;
    if (!sys::fs::status(nameOrPath, status) && !sys::fs::is_directory(status) &&
        (!sys::fs::is_regular_file(status) || status.getSize() > kMostBytes))
      return createStringError(
          formatv("{0}: expected a file of at most {1} bytes, a machine's description", nameOrPath, kMostBytes).str());
    auto buffer = MemoryBuffer::getFile(nameOrPath, /*IsText=*/true);
    if (!buffer)
      return createStringError(
          formatv("{0}: can not read the target: {1}", nameOrPath, buffer.getError().message()).str());
    text = (*buffer)->getBuffer().str();
    file = nameOrPath.str();
  } else {
    Expected<std::string> registered = registeredText(nameOrPath);
    if (!registered)
      return registered.takeError();
    text = std::move(*registered);
  }
  Expected<Machine> machine = parseMachine(text, file, registeredText);
  if (!machine)
    return machine.takeError();
  auto target = std::make_shared<Target>();
  target->description = std::move(*machine);
  for (const Family *family : families())
    if (family->name() == target->description.family)
      target->kind = family;
  if (!target->kind)
    return createStringError(
        formatv("{0}: unknown family \"{1}\"; known: {2}", file, target->description.family,
                join(map_range(families(), [](const Family *family) { return family->name(); }), ", "))
            .str());
  if (StringRef feature = target->kind->uncheckedFeature(target->description); !feature.empty())
    return createStringError(
        formatv("{0}: family \"{1}\" does not know how a program asks for feature \"{2}\", so code "
                "that uses it could not be refused where it is missing",
                file, target->description.family, feature)
            .str());
  return target;
}

std::vector<const MultiplyRow *> Target::rows() const {
  std::vector<const MultiplyRow *> result;
  for (const MultiplyRow &row : kind->rows())
    result.push_back(&row);
  if (kind != &genericFamily() && !kind->runsOnDevice())
    for (const MultiplyRow &row : genericFamily().rows())
      result.push_back(&row);
  return result;
}

std::string Target::missing(const MultiplyRow &row) const {
  for (StringRef feature : row.features)
    if (!hasFeature(feature))
      return feature.str();
  return row.lostWith.empty() || !hasFeature(row.lostWith) ? "" : ("a chip without " + row.lostWith).str();
}

const MultiplyRow *Target::findRow(StringRef id) const {
  for (const MultiplyRow *row : rows())
    if (row->id == id)
      return row;
  return nullptr;
}

bool Family::measuresResult(RecipesAttr recipes, mlir::RankedTensorType type) const {
  return llvm::all_of(recipes.getRecipes(), [&](RecipeAttr recipe) { return measuresResult(recipe, type); });
}

mlir::LogicalResult Family::schedule(mlir::RewriterBase &, PackOp pack, const Machine &machine) const {
  return pack.emitOpError() << "is not for " << machine.name << ": its kernels take a right side that is computed from "
                            << "where it lies; expected recipes that pack only constants into memory";
}

unsigned qlow::elementBits(OperandElement element) {
  switch (element) {
  case OperandElement::B1:
    return 1;
  case OperandElement::U4:
  case OperandElement::S4:
  case OperandElement::E2M1:
    return 4;
  case OperandElement::U8:
  case OperandElement::S8:
  case OperandElement::E4M3:
  case OperandElement::E5M2:
  case OperandElement::E8M0:
    return 8;
  case OperandElement::S16:
  case OperandElement::F16:
  case OperandElement::BF16:
    return 16;
  case OperandElement::S32:
  case OperandElement::F32:
    return 32;
  }
  return 0;
}

unsigned qlow::elementBytes(OperandElement element) {
  assert(elementBits(element) % 8 == 0 && "an element of whole bytes");
  return elementBits(element) / 8;
}

StringRef qlow::elementName(OperandElement element) {
  switch (element) {
  case OperandElement::B1:
    return "b1";
  case OperandElement::U4:
    return "u4";
  case OperandElement::S4:
    return "s4";
  case OperandElement::U8:
    return "u8";
  case OperandElement::S8:
    return "s8";
  case OperandElement::S16:
    return "s16";
  case OperandElement::S32:
    return "s32";
  case OperandElement::F16:
    return "f16";
  case OperandElement::BF16:
    return "bf16";
  case OperandElement::E2M1:
    return "e2m1";
  case OperandElement::E4M3:
    return "e4m3";
  case OperandElement::E5M2:
    return "e5m2";
  case OperandElement::E8M0:
    return "e8m0";
  case OperandElement::F32:
    return "f32";
  }
  return {};
}

/// Those of OCP OFP8 and OCP MX, which instructions are named after.
std::optional<OperandElement> qlow::smallFloatOf(const Format &format) {
  const MinifloatLayout &layout = format.layout;
  if (format.kind != DecodeKind::Minifloat || !layout.isSigned)
    return std::nullopt;
  if (layout.exponentBits == 2 && layout.mantissaBits == 1 && layout.nan == MinifloatLayout::NaN::None)
    return OperandElement::E2M1;
  if (layout.exponentBits == 4 && layout.mantissaBits == 3 && layout.nan == MinifloatLayout::NaN::AllOnes)
    return OperandElement::E4M3;
  if (layout.exponentBits == 5 && layout.mantissaBits == 2 && layout.nan == MinifloatLayout::NaN::IEEE)
    return OperandElement::E5M2;
  return std::nullopt;
}

/// Of a float without a sign, as powers of two are.
static bool isPowerOfTwo(const MinifloatLayout &layout) { return !layout.isSigned && layout.mantissaBits == 0; }

std::optional<OperandElement> qlow::scaleElementOf(QType type) {
  auto inner = mlir::dyn_cast<QType>(type.getScale());
  bool isPlain = inner && inner.getBlock().empty() && !inner.getZero() && !inner.getOffset();
  const Format *format = isPlain ? inner.getFormat() : getScaleFormat(type.getScale());
  if (!format || format->kind != DecodeKind::Minifloat)
    return std::nullopt;
  if (isPowerOfTwo(format->layout))
    return OperandElement::E8M0;
  std::optional<OperandElement> element = smallFloatOf(*format);
  return element == OperandElement::E4M3 ? element : std::nullopt;
}

int64_t qlow::codesUnderOneScale(QType type, bool alongLast) {
  mlir::ArrayRef<int64_t> block = type ? type.getBlock() : mlir::ArrayRef<int64_t>();
  int64_t size = block.empty() ? QType::kWhole : block[block.size() - (alongLast ? 1 : 2)];
  return size == QType::kWhole ? 0 : size;
}

ScaleCodes qlow::scaleCodesOf(QType type) {
  auto codes = mlir::dyn_cast<QType>(type.getScale());
  if (!codes)
    return {getScaleFormat(type.getScale()), /*isScaled=*/false};
  return scaleElementOf(type) == OperandElement::E4M3 ? ScaleCodes{codes.getFormat(), /*isScaled=*/true} : ScaleCodes();
}

std::optional<int64_t> qlow::significantBits(const Format &format, const Format *zero) {
  bool isFloat = format.kind == DecodeKind::Minifloat;
  if (format.kind == DecodeKind::Codebook || (isFloat && zero))
    return std::nullopt;
  if (isFloat)
    return format.layout.mantissaBits + 1;
  float least = format.minValue() - (zero ? zero->maxValue() : 0),
        most = format.maxValue() - (zero ? zero->minValue() : 0);
  return std::ceil(std::log2(std::max({-least, most, 1.0f})));
}

int64_t qlow::significantBitsOfScale(const Format &scale) {
  return isPowerOfTwo(scale.layout) ? 0 : scale.layout.mantissaBits + 1;
}

std::optional<OperandElement> qlow::codeElement(const Format &format) {
  if (format.kind == DecodeKind::Sign)
    return OperandElement::B1;
  if (format.kind == DecodeKind::Integer && format.bits == 4)
    return format.isSigned ? OperandElement::S4 : OperandElement::U4;
  if (format.kind == DecodeKind::Integer && format.bits == 8)
    return format.isSigned ? OperandElement::S8 : OperandElement::U8;
  return smallFloatOf(format);
}

bool qlow::multipliesAsStored(const MultiplyRow &row, OperandElement element, const OperandFacts &facts) {
  if (!facts.format)
    return facts.element == element;
  if (row.takesSmallFloats())
    return smallFloatOf(*facts.format) == element;
  // Of integers in either signedness: what shifts them is said of the row.
  std::optional<OperandElement> code = codeElement(*facts.format);
  return !row.isFloat && code && !smallFloatOf(*facts.format) && elementBits(*code) == elementBits(row.storedRhs);
}

std::pair<int32_t, int32_t> qlow::elementRange(OperandElement element) {
  switch (element) {
  case OperandElement::B1:
    return {-1, 1};
  case OperandElement::U4:
    return {0, 15};
  case OperandElement::S4:
    return {-8, 7};
  case OperandElement::U8:
    return {0, 255};
  case OperandElement::S8:
    return {-128, 127};
  case OperandElement::S16:
    return {-32768, 32767};
  case OperandElement::S32:
  case OperandElement::F16:
  case OperandElement::BF16:
  case OperandElement::E2M1:
  case OperandElement::E4M3:
  case OperandElement::E5M2:
  case OperandElement::E8M0:
  case OperandElement::F32:
    return {INT32_MIN, INT32_MAX};
  }
  return {0, 0};
}
