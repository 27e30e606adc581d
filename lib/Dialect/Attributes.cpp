//===- Attributes.cpp - recipes ---------------------------------------------===//
//
// Syntax and shape of recipes. Whether their words exist and fit is for the target to say.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Dialect.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace qlow;

FailureOr<std::string> qlow::parseWord(AsmParser &parser) {
  std::string word;
  if (parser.parseKeywordOrString(&word))
    return failure();
  return word;
}

/// `, swap = true` and `, split_k = N`, either of which may be left out.
static ParseResult parseSwapAndSplit(AsmParser &parser, bool &swap, int64_t &splitK) {
  swap = false;
  splitK = 1;
  bool sawSwap = false, sawSplit = false;
  while (succeeded(parser.parseOptionalComma())) {
    SMLoc loc = parser.getCurrentLocation();
    StringRef field;
    if (parser.parseKeyword(&field) || parser.parseEqual())
      return failure();
    if (field == "swap" && !std::exchange(sawSwap, true)) {
      FailureOr<bool> value = FieldParser<bool>::parse(parser);
      if (failed(value))
        return failure();
      swap = *value;
    } else if (field == "split_k" && !std::exchange(sawSplit, true)) {
      if (parser.parseInteger(splitK))
        return failure();
    } else {
      return parser.emitError(loc) << "expected swap or split_k, each once at most, found '" << field << "'";
    }
  }
  return success();
}

static void printSwapAndSplit(AsmPrinter &printer, bool swap, int64_t splitK) {
  if (swap)
    printer << ", swap = true";
  if (splitK != 1)
    printer << ", split_k = " << splitK;
}

#include "qlow/Dialect/Enums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "qlow/Dialect/Attributes.cpp.inc"

void QlowDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "qlow/Dialect/Attributes.cpp.inc"
      >();
}

ArrayRef<int64_t> RecipeAttr::getTile(StringRef at) const {
  for (LevelAttr level : getTiles())
    if (level.getAt() == at)
      return level.getTile();
  return {};
}

bool RecipeAttr::hasTilesAt(ArrayRef<StringRef> levels) const {
  return getTiles().size() == levels.size() &&
         llvm::none_of(levels, [&](StringRef level) { return getTile(level).empty(); });
}

LogicalResult HopAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringRef to, StringRef by, int64_t stages,
                              int64_t swizzle) {
  if (stages < 1 || swizzle < 0)
    return emitError() << "expected stages of at least 1 and a swizzle of at least 0, found " << stages << " and "
                       << swizzle;
  return success();
}

LogicalResult LayoutAttr::verify(function_ref<InFlightDiagnostic()> emitError, Type element, int64_t panel,
                                 int64_t columns, int64_t group, int64_t offset, int64_t fragment) {
  if (fragment) {
    bool isCode = element.isInteger(4) || (element.isInteger(8) && fragment != 8);
    if (!isCode || panel != 64 || columns != 64 || group != 128 || fragment < 1 || fragment > 8 ||
        !llvm::isPowerOf2_64(fragment))
      return emitError() << "expected a layout of fragments with elements of i4 or i8, panel = columns = 64, group = "
                            "128 and fragment = 1, 2, 4 or, of i4, 8";
    return success();
  }
  bool isSmall = element.isInteger(1) || element.isInteger(4);
  if (isSmall && group * element.getIntOrFloatBitWidth() % 8 != 0)
    return emitError() << "expected a group of whole bytes, found " << group << " elements of " << element;
  if (isSmall && offset)
    return emitError() << "expected codes of less than a byte as they are, with offset = 0, found " << offset;
  if (!isSmall && !element.isInteger(8) && !element.isInteger(16) && !element.isInteger(32) && !element.isF32() &&
      !isa<Float8E4M3FNType, Float8E5M2Type, Float16Type, BFloat16Type>(element))
    return emitError()
           << "expected a layout with elements of i1, i4, i8, i16, i32, f8E4M3FN, f8E5M2, f16, bf16 or f32, "
           << "found " << element;
  if (columns < 1 || panel < columns || panel % columns != 0 || group < 1)
    return emitError() << "expected a panel of whole columns and a group of at least 1, found panel = " << panel
                       << ", columns = " << columns << " and group = " << group;
  // Far above what any instruction reads at once, and low enough that places in a panel do not overflow.
  constexpr int64_t kMost = 1 << 16;
  if (panel > kMost || group > kMost)
    return emitError() << "expected a panel and a group of at most " << kMost << ", found " << panel << " and "
                       << group;
  return success();
}

LogicalResult RecipeAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringRef unit,
                                 ArrayRef<LevelAttr> tiles, ArrayRef<HopAttr> lhs, ArrayRef<HopAttr> rhs,
                                 StringRef rescale, bool swap, int64_t splitK) {
  for (LevelAttr level : tiles)
    if (level.getTile().size() != 3 || llvm::any_of(level.getTile(), [](int64_t size) { return size < 1; }))
      return emitError() << "the tile at level '" << level.getAt() << "' must be three sizes [m, n, k] of at least 1";
  if (tiles.empty())
    return emitError() << "expected the tile of at least one level";
  llvm::StringSet<> levels;
  for (LevelAttr level : tiles)
    if (!levels.insert(level.getAt()).second)
      return emitError() << "expected one tile at level '" << level.getAt() << "', found another";
  if (lhs.empty() || rhs.empty())
    return emitError() << "each operand needs at least one hop";
  if (rescale != "fold" && rescale != "block" && rescale != "follow" && rescale != "end")
    return emitError() << "expected rescale = fold, block, follow or end, found '" << rescale << "'";
  if (splitK < 1)
    return emitError() << "expected split_k of at least 1, found " << splitK;
  return success();
}

LogicalResult RecipesAttr::verify(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> bounds,
                                  ArrayRef<RecipeAttr> recipes) {
  if (recipes.empty() || bounds.size() + 1 != recipes.size())
    return emitError() << "expected one recipe more than bounds, found " << recipes.size() << " and " << bounds.size();
  if (!llvm::is_sorted(bounds, [](int64_t a, int64_t b) { return a <= b; }))
    return emitError() << "the bounds on m must ascend";
  if (!bounds.empty() && bounds.front() < 1)
    return emitError() << "expected bounds on m of at least 1, found " << bounds.front();
  return success();
}

RecipeAttr RecipesAttr::lookup(int64_t m) const {
  const auto *bound = llvm::lower_bound(getBounds(), m);
  return getRecipes()[bound - getBounds().begin()];
}

Attribute RecipesAttr::parse(AsmParser &parser, Type) {
  SmallVector<int64_t> bounds;
  SmallVector<RecipeAttr> recipes;
  SMLoc loc = parser.getCurrentLocation();
  bool sawLast = false;
  auto parseEntry = [&]() -> ParseResult {
    if (sawLast)
      return parser.emitError(parser.getCurrentLocation(), "only the last recipe may be without a bound on m");
    if (succeeded(parser.parseOptionalKeyword("m"))) {
      if (parser.parseKeyword("to") || parser.parseInteger(bounds.emplace_back()) || parser.parseColon())
        return failure();
    } else {
      sawLast = true;
    }
    return parser.parseAttribute(recipes.emplace_back());
  };
  if (parser.parseLess() || parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseEntry) ||
      parser.parseGreater())
    return {};
  return parser.getChecked<RecipesAttr>(loc, parser.getContext(), bounds, recipes);
}

void RecipesAttr::print(AsmPrinter &printer) const {
  printer << "<[";
  for (auto [index, recipe] : llvm::enumerate(getRecipes())) {
    if (index)
      printer << ", ";
    if (index < getBounds().size())
      printer << "m to " << getBounds()[index] << " : ";
    printer << recipe;
  }
  printer << "]>";
}
