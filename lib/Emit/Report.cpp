//===- Report.cpp - what computes each op, told plainly ---------------------===//
//
// Takes the module's `qlow.report`, which selection wrote, and prints it for people or for programs. Must not judge
// anew: what is native, what it costs and why others were declined was decided where the recipe was.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Dialect.h"
#include "qlow/Emit/Emit.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

#include <cmath>

using namespace mlir;
using namespace qlow;

namespace {
/// One entry of the attribute.
struct Entry {
  Location loc;
  StringRef op, row, instruction, emulation, rightSide, limit;
  std::string lhs, rhs;
  ArrayRef<int64_t> shape;
  double typicalM, cycles, seconds;
  RecipeAttr recipe;
  DictionaryAttr figures;
  SmallVector<StringRef> declined;
  ArrayAttr candidates; ///< the other recipes that were possible
  StringRef portable;   ///< the row of the image for later devices, or why there is none; empty: not needed
  StringRef result;     ///< what becomes of a result whose scales are measured; empty: of others
  SmallVector<DictionaryAttr> kernels; ///< of a device, where there is code
};
} // namespace

static FailureOr<Entry> readEntry(ModuleOp module, Attribute attribute) {
  auto dictionary = dyn_cast<DictionaryAttr>(attribute);
  auto malformed = [&] { return module.emitError("expected 'qlow.report' as qlow-select-recipes writes it"); };
  if (!dictionary)
    return malformed();
  auto text = [&](StringRef key) { return dictionary.getAs<StringAttr>(key); };
  auto loc = dictionary.getAs<LocationAttr>("loc");
  auto shape = dictionary.getAs<DenseI64ArrayAttr>("shape");
  auto lhs = dictionary.getAs<TypeAttr>("lhs"), rhs = dictionary.getAs<TypeAttr>("rhs");
  auto typicalM = dictionary.getAs<FloatAttr>("typical_m"), cycles = dictionary.getAs<FloatAttr>("cycles"),
       seconds = dictionary.getAs<FloatAttr>("seconds");
  auto declined = dictionary.getAs<ArrayAttr>("declined"), candidates = dictionary.getAs<ArrayAttr>("candidates");
  auto recipe = dictionary.getAs<RecipeAttr>("recipe");
  auto figures = dictionary.getAs<DictionaryAttr>("figures");
  if (!loc || !shape || shape.size() != 3 || !lhs || !rhs || !typicalM || !cycles || !seconds || !declined ||
      !candidates || !recipe || !figures)
    return malformed();
  for (StringRef key : {"op", "row", "instruction", "emulation", "right_side", "limit"})
    if (!text(key))
      return malformed();
  Entry entry{loc,
              text("op").getValue(),
              text("row").getValue(),
              text("instruction").getValue(),
              text("emulation").getValue(),
              text("right_side").getValue(),
              text("limit").getValue(),
              "",
              "",
              shape.asArrayRef(),
              typicalM.getValueAsDouble(),
              cycles.getValueAsDouble(),
              seconds.getValueAsDouble(),
              recipe,
              figures,
              {},
              candidates,
              "",
              "",
              {}};
  auto element = [](TypeAttr type) {
    std::string result;
    llvm::raw_string_ostream(result) << cast<ShapedType>(type.getValue()).getElementType();
    return result;
  };
  entry.lhs = element(lhs);
  entry.rhs = element(rhs);
  if (auto portable = dictionary.getAs<StringAttr>("portable"))
    entry.portable = portable.getValue();
  if (auto result = dictionary.getAs<StringAttr>("result"))
    entry.result = result.getValue();
  for (Attribute reason : declined)
    if (auto string = dyn_cast<StringAttr>(reason))
      entry.declined.push_back(string.getValue());
  if (auto kernels = dictionary.getAs<ArrayAttr>("kernels"))
    for (Attribute kernel : kernels) {
      auto fields = dyn_cast<DictionaryAttr>(kernel);
      if (!fields || !fields.getAs<StringAttr>("summary"))
        return malformed();
      entry.kernels.push_back(fields);
    }
  return entry;
}

static FailureOr<std::vector<Entry>> readReport(ModuleOp module) {
  std::vector<Entry> entries;
  auto report = module->getAttrOfType<ArrayAttr>("qlow.report");
  if (!report)
    return module.emitError(
        "no instruction is chosen before qlow-select-recipes, which has not run here: end behind it, "
        "as in -stop-after=qlow-select-recipes");
  for (Attribute attribute : report) {
    FailureOr<Entry> entry = readEntry(module, attribute);
    if (failed(entry))
      return failure();
    entries.push_back(std::move(*entry));
  }
  return entries;
}

std::string qlow::placeOf(Location loc) {
  std::string result = "?";
  loc->walk([&](Location inner) {
    auto file = dyn_cast<FileLineColLoc>(inner);
    if (!file)
      return WalkResult::advance();
    result = (file.getFilename().getValue() + ":" + Twine(file.getLine())).str();
    return WalkResult::interrupt();
  });
  return result;
}

/// "cta 128 x 256 x 128, warpgroup 64 x 256 x 32".
static std::string tilesText(RecipeAttr recipe) {
  return llvm::join(llvm::map_range(recipe.getTiles(),
                                    [](LevelAttr level) {
                                      auto sizes = llvm::map_range(level.getTile(),
                                                                   [](int64_t size) { return std::to_string(size); });
                                      return level.getAt().str() + " " + llvm::join(sizes, " x ");
                                    }),
                    ", ");
}

/// "4 stages, 0.97 waves".
static std::string figuresText(DictionaryAttr figures) {
  return llvm::join(llvm::map_range(figures,
                                    [](NamedAttribute figure) {
                                      double number = cast<FloatAttr>(figure.getValue()).getValueAsDouble();
                                      bool isWhole = number == std::floor(number);
                                      std::string name = figure.getName().str();
                                      std::replace(name.begin(), name.end(), '_', ' ');
                                      return llvm::formatv(isWhole ? "{0:f0} {1}" : "{0:f2} {1}", number, name).str();
                                    }),
                    ", ");
}

/// All that is said of a kernel, but for the line of it.
static llvm::json::Object kernelJson(DictionaryAttr kernel) {
  llvm::json::Object object;
  for (NamedAttribute field : kernel) {
    if (auto number = dyn_cast<IntegerAttr>(field.getValue()))
      object[field.getName().getValue()] = number.getInt();
    else if (auto text = dyn_cast<StringAttr>(field.getValue()); text && field.getName() != "summary")
      object[field.getName().getValue()] = text.getValue();
  }
  return object;
}

/// Rows that one reason declines. The JSON has each by its name.
static std::string namesText(ArrayRef<StringRef> rows) {
  constexpr size_t kMost = 4;
  if (rows.size() <= kMost)
    return llvm::join(rows, ", ");
  return llvm::formatv("{0} and {1} more", llvm::join(rows.take_front(kMost - 1), ", "), rows.size() - (kMost - 1));
}

static std::string sizeText(int64_t size) { return ShapedType::isDynamic(size) ? "?" : std::to_string(size); }

FailureOr<std::string> qlow::writeReport(ModuleOp module) {
  FailureOr<std::vector<Entry>> entries = readReport(module);
  if (failed(entries))
    return failure();
  std::string text;
  llvm::raw_string_ostream os(text);
  if (entries->empty())
    os << "no matmul: nothing to choose an instruction for\n";
  for (const Entry &entry : *entries) {
    os << llvm::formatv("{0}: {1} {2} x {3} x {4}\n", placeOf(entry.loc), entry.op, sizeText(entry.shape[0]),
                        sizeText(entry.shape[1]), sizeText(entry.shape[2]));
    os << "  operands     " << entry.lhs << " x " << entry.rhs << "\n";
    os << "  instruction  " << entry.instruction << ", "
       << (entry.emulation.empty() ? "native" : ("emulated: " + entry.emulation).str()) << " (row " << entry.row
       << ")\n";
    os << "  tiles        " << tilesText(entry.recipe) << "\n";
    if (!entry.figures.empty())
      os << "  kernel       " << figuresText(entry.figures) << "\n";
    for (DictionaryAttr kernel : entry.kernels)
      os << "  code         " << kernel.getAs<StringAttr>("summary").getValue() << "\n";
    os << "  right side   " << entry.rightSide << "\n";
    if (!entry.result.empty())
      os << "  result       " << entry.result << "\n";
    os << llvm::formatv("  predicted    {0:f1} us at M = {1:f0}, {2:f0} cycles limited by {3}\n", entry.seconds * 1e6,
                        entry.typicalM, entry.cycles, entry.limit);
    if (!entry.portable.empty())
      os << "  later chips  " << entry.portable << "\n";
    // Rows declined for one reason stand on one line.
    llvm::MapVector<StringRef, SmallVector<StringRef>> reasons;
    for (StringRef declined : entry.declined) {
      auto [row, reason] = declined.split(": ");
      reasons[reason].push_back(row);
    }
    for (auto &[reason, rows] : reasons)
      os << "  not taken    " << namesText(rows) << ": " << reason << "\n";
  }
  return text;
}

static std::string textOf(RecipeAttr recipe) {
  std::string text;
  llvm::raw_string_ostream(text) << recipe;
  return text;
}

static FailureOr<llvm::json::Array> candidatesOf(ModuleOp module, const Entry &entry) {
  llvm::json::Array candidates;
  for (Attribute attribute : entry.candidates) {
    auto candidate = dyn_cast<DictionaryAttr>(attribute);
    auto recipe = candidate ? candidate.getAs<StringAttr>("recipe") : StringAttr();
    auto seconds = candidate ? candidate.getAs<FloatAttr>("seconds") : FloatAttr();
    if (!recipe || !seconds)
      return module.emitError("expected 'qlow.report' as qlow-select-recipes writes it");
    candidates.push_back(llvm::json::Object{{"recipe", recipe.getValue()}, {"seconds", seconds.getValueAsDouble()}});
  }
  return candidates;
}

FailureOr<std::string> qlow::writeReportJson(ModuleOp module) {
  FailureOr<std::vector<Entry>> entries = readReport(module);
  if (failed(entries))
    return failure();
  auto size = [](int64_t value) { return ShapedType::isDynamic(value) ? llvm::json::Value(nullptr) : value; };
  llvm::json::Array array;
  for (const Entry &entry : *entries) {
    llvm::json::Array declined;
    for (StringRef text : entry.declined) {
      auto [row, reason] = text.split(": ");
      declined.push_back(llvm::json::Object{{"row", row}, {"reason", reason}});
    }
    FailureOr<llvm::json::Array> candidates = candidatesOf(module, entry);
    if (failed(candidates))
      return failure();
    llvm::json::Array tiles;
    for (LevelAttr level : entry.recipe.getTiles())
      tiles.push_back(llvm::json::Object{{"at", level.getAt()}, {"sizes", llvm::json::Array(level.getTile())}});
    llvm::json::Array kernels;
    for (DictionaryAttr kernel : entry.kernels)
      kernels.push_back(kernelJson(kernel));
    llvm::json::Object figures;
    for (NamedAttribute figure : entry.figures)
      figures[figure.getName().getValue()] = cast<FloatAttr>(figure.getValue()).getValueAsDouble();
    array.push_back(llvm::json::Object{{"location", placeOf(entry.loc)},
                                       {"op", entry.op},
                                       {"m", size(entry.shape[0])},
                                       {"n", size(entry.shape[1])},
                                       {"k", size(entry.shape[2])},
                                       {"lhs", entry.lhs},
                                       {"rhs", entry.rhs},
                                       {"row", entry.row},
                                       {"instruction", entry.instruction},
                                       {"native", entry.emulation.empty()},
                                       {"emulation", entry.emulation},
                                       {"tiles", std::move(tiles)},
                                       {"kernel", std::move(figures)},
                                       {"kernels", std::move(kernels)},
                                       {"right_side", entry.rightSide},
                                       {"result", entry.result},
                                       {"limit", entry.limit},
                                       {"typical_m", entry.typicalM},
                                       {"cycles", entry.cycles},
                                       {"seconds", entry.seconds},
                                       {"portable", entry.portable},
                                       {"recipe", textOf(entry.recipe)},
                                       {"candidates", std::move(*candidates)},
                                       {"declined", std::move(declined)}});
  }
  return llvm::formatv("{0:2}\n", llvm::json::Value(std::move(array))).str();
}

LogicalResult qlow::requireNative(ModuleOp module) {
  FailureOr<std::vector<Entry>> entries = readReport(module);
  if (failed(entries))
    return failure();
  bool allNative = true;
  for (const Entry &entry : *entries) {
    if (entry.emulation.empty())
      continue;
    allNative = false;
    InFlightDiagnostic diagnostic =
        emitError(entry.loc) << "'" << entry.op << "' is not native on this target: " << entry.lhs << " x " << entry.rhs
                             << " would be computed by " << entry.instruction << ", " << entry.emulation;
    for (StringRef declined : entry.declined)
      diagnostic.attachNote() << declined;
  }
  return success(allNative);
}
