//===- SelectRecipes.cpp - which instruction computes each matmul -----------===//
//
// Takes matmuls and gives each a recipe for every range of M, and the module a report of what was chosen and why not
// something better. A layout belongs to a right side: all uses of one, for all M, share the layout whose sum of best
// costs is least, and where it is computed also whether it is packed once or by each task. Must not change what is
// computed: candidates that would are declined by their family.
//
//===----------------------------------------------------------------------===//

#include "qlow/Targets/Layout.h"
#include "qlow/Targets/Targets.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <map>

namespace qlow {
#define GEN_PASS_DEF_SELECTRECIPES
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

namespace {
/// Estimates for open sizes.
constexpr int64_t kTypicalM = 512, kTypicalSize = 1024;

struct Choice {
  MatmulOp op;
  /// Candidates of each range of M, in order; the last range has no bound.
  SmallVector<std::vector<Candidate>> ranges;
  SmallVector<int64_t> bounds;
  double typicalM = 0; ///< of the last range
};

struct SelectRecipes : qlow::impl::SelectRecipesBase<SelectRecipes> {
  using SelectRecipesBase::SelectRecipesBase;
  void runOnOperation() override;

private:
  LogicalResult choose(ArrayRef<Choice *> uses, const Machine &machine);
  LogicalResult choosePortable(ArrayRef<MatmulOp> matmuls, const Target &target);

  llvm::DenseMap<Operation *, MatmulProblem> problems; ///< made once: scales of weights are read for it
  llvm::DenseMap<Operation *, Attribute> entries;      ///< of the report
};
} // namespace

/// The constant that holds an operand's codes or floats, null if it is computed.
static Attribute constantCodes(Value operand) {
  Value codes = operand;
  if (auto compose = operand.getDefiningOp<ComposeOp>())
    codes = compose.getParts().front();
  else if (getQuantizedElement(operand.getType()))
    return {};
  auto constant = codes.getDefiningOp<arith::ConstantOp>();
  return constant ? constant.getValue() : Attribute();
}

/// What tells right sides apart: the constant, or the value of codes or floats; and how its matrices lie.
static std::pair<const void *, unsigned> rightSide(MatmulOp op) {
  Attribute constant = constantCodes(op.getRhs());
  auto compose = op.getRhs().getDefiningOp<ComposeOp>();
  Value codes = compose ? compose.getParts().front() : op.getRhs();
  return {constant ? constant.getAsOpaquePointer() : codes.getAsOpaquePointer(), op.getTransposeRhs()};
}

/// Codes along a dimension that have one scale, 0 where all of them do.
static int64_t codesUnderOneScale(RankedTensorType type, int64_t dim) {
  ArrayRef<int64_t> block = getQuantizedElement(type).getBlock();
  return block.empty() || block[dim] == QType::kWhole ? 0 : block[dim];
}

/// Fills what is known of the scales of a constant; see OperandFacts.
static void measureScales(Value operand, OperandFacts &facts) {
  auto compose = operand.getDefiningOp<ComposeOp>();
  Attribute constant;
  if (!compose || !facts.scaleFormat || !matchPattern(compose.getParts()[1], m_Constant(&constant)))
    return;
  ArrayRef<char> bytes;
  if (auto dense = dyn_cast<DenseElementsAttr>(constant))
    bytes = dense.getRawData();
  else if (auto resource = dyn_cast<DenseResourceElementsAttr>(constant); resource && resource.getRawHandle().getBlob())
    bytes = resource.getRawHandle().getBlob()->getData();
  // There are millions of scales, of few values.
  const Format &format = *facts.scaleFormat;
  if (format.bits > 16)
    return;
  std::vector<bool> isThere(size_t(1) << format.bits);
  int64_t count = bytes.size() / format.bytesPerGroup;
  for (int64_t i = 0; i < count; ++i)
    isThere[format.extract(reinterpret_cast<const uint8_t *>(bytes.data()), i)] = true;
  double least = 0, most = 0;
  for (uint32_t code = 0; code < isThere.size(); ++code) {
    double scale = isThere[code] ? std::fabs(format.decode(code)) : 0;
    if (scale == 0)
      continue;
    if (!std::isfinite(scale))
      return;
    least = most == 0 ? scale : std::min(least, scale);
    most = std::max(most, scale);
  }
  facts.leastScale = least, facts.mostScale = most;
}

static OperandFacts factsOf(Value operand, bool exactSum, bool kIsLast) {
  OperandFacts facts;
  facts.isConstant = static_cast<bool>(constantCodes(operand));
  QType type = getQuantizedElement(operand.getType());
  if (!type) {
    unsigned bits = cast<RankedTensorType>(operand.getType()).getElementTypeBitWidth();
    facts.bytes = bits / 8.0;
    facts.isWhole = bits == 32;
    Type element = cast<RankedTensorType>(operand.getType()).getElementType();
    facts.element = element.isF16()    ? OperandElement::F16
                    : element.isBF16() ? OperandElement::BF16
                                       : OperandElement::F32;
    return facts;
  }
  const Format &format = *type.getFormat();
  facts.hasZeroPoint = type.getZero();
  facts.zeroFormat = type.getZero();
  facts.hasOffset = static_cast<bool>(type.getOffset());
  facts.format = &format;
  auto tensor = cast<RankedTensorType>(operand.getType());
  facts.scaledTogether = codesUnderOneScale(tensor, tensor.getRank() - (kIsLast ? 1 : 2));
  facts.scaleFormat = getScaleFormat(type.getScale());
  facts.scaleElement = scaleElementOf(type);
  facts.linesScaledTogether = codesUnderOneScale(tensor, tensor.getRank() - (kIsLast ? 2 : 1));
  facts.bytes = static_cast<double>(format.bytesPerGroup) / format.codesPerGroup;
  facts.isWhole = exactSum && format.kind == DecodeKind::Integer && format.bits == 8;
  if (std::optional<IntegerImage> image = format.integerImage()) {
    facts.min = image->min;
    facts.max = image->max;
  }
  return facts;
}

static MatmulProblem problemOf(MatmulOp op, bool fastSums, const Family &family) {
  MatmulProblem problem{};
  auto [m, n, k] = op.getProblemShape();
  auto estimate = [](int64_t size, int64_t typical) {
    return static_cast<double>(ShapedType::isDynamic(size) ? typical : size);
  };
  problem.batch = 1;
  for (int64_t size : cast<RankedTensorType>(op.getType()).getShape().drop_back(2))
    problem.batch *= estimate(size, 1);
  problem.m = estimate(m, kTypicalM);
  problem.n = estimate(n, kTypicalSize);
  problem.k = estimate(k, kTypicalSize);
  if (!ShapedType::isDynamic(m))
    problem.knownM = m;
  if (!ShapedType::isDynamic(n))
    problem.knownN = n;
  if (!ShapedType::isDynamic(k))
    problem.knownK = k;
  problem.exactSum = op.hasExactSum();
  problem.fastSums = fastSums;
  problem.lhs = factsOf(op.getLhs(), problem.exactSum, !op.getTransposeLhs());
  problem.rhs = factsOf(op.getRhs(), problem.exactSum, op.getTransposeRhs());
  problem.lhs.isTransposed = op.getTransposeLhs();
  problem.rhs.isTransposed = op.getTransposeRhs();
  if (family.asksForScales(problem))
    measureScales(op.getRhs(), problem.rhs);
  return problem;
}

static Choice enumerate(MatmulOp op, MatmulProblem problem, const Target &target) {
  Choice choice{op, {}, {}};
  auto add = [&] { choice.ranges.push_back(target.family().candidates(op.getContext(), problem, target)); };
  MatmulProblem open = problem;
  if (!open.knownM)
    for (int64_t bound : target.family().rangeBounds(open)) {
      problem.m = bound;
      problem.knownM = bound;
      add();
      choice.bounds.push_back(bound);
    }
  problem = open;
  if (!choice.bounds.empty())
    problem.m = std::max(problem.m, 2.0 * static_cast<double>(choice.bounds.back()));
  choice.typicalM = problem.m;
  add();
  return choice;
}

/// The key of all that is done for one matmul alone.
static double wholeKey(const Candidate &candidate) { return candidate.key + candidate.packingKey; }
/// The same less what it shares with other readers of its right side.
static double ownKey(const Candidate &candidate) { return candidate.packsOnce ? candidate.key : wholeKey(candidate); }

/// The cheapest possible candidate of that layout; of any layout if empty, which then packs for itself.
static const Candidate *best(ArrayRef<Candidate> candidates, StringRef layout) {
  const Candidate *result = nullptr;
  auto key = [&](const Candidate &candidate) { return layout.empty() ? wholeKey(candidate) : ownKey(candidate); };
  for (const Candidate &candidate : candidates)
    if (candidate.declined.empty() && (layout.empty() || candidate.layout == layout) &&
        (!result || key(candidate) < key(*result)))
      result = &candidate;
  return result;
}

/// The layout with the least sum over all uses and ranges of M; packing is paid once for each range.
static std::string chooseLayout(ArrayRef<Choice *> uses) {
  std::map<std::string, double> sums; // ordered: ties go to the same layout every time
  for (const Candidate &candidate : uses.front()->ranges.front())
    if (candidate.declined.empty())
      sums[candidate.layout] = 0;
  for (auto &[layout, sum] : sums) {
    double packing = 0;
    for (Choice *use : uses) {
      double ofUse = 0;
      for (const std::vector<Candidate> &range : use->ranges) {
        const Candidate *candidate = best(range, layout);
        sum += candidate ? ownKey(*candidate) : std::numeric_limits<double>::infinity();
        ofUse += candidate && candidate->packsOnce ? candidate->packingKey : 0;
      }
      packing = std::max(packing, ofUse);
    }
    sum += packing;
  }
  auto least = llvm::min_element(sums, [](const auto &a, const auto &b) { return a.second < b.second; });
  return least == sums.end() || std::isinf(least->second) ? std::string() : least->first;
}

/// In what way the candidate is not the format's own instruction; empty if it is. What a side's elements are and what
/// the row takes decide, however a recipe calls the hop between.
static std::string emulationOf(const Candidate &candidate, const MatmulProblem &problem) {
  const MultiplyRow &row = *candidate.row;
  SmallVector<std::string> ways;
  for (auto [side, facts, element] :
       {std::tuple("left", &problem.lhs, row.lhs), std::tuple("right", &problem.rhs, row.rhs)}) {
    if (multipliesAsStored(row, element, *facts))
      continue;
    bool isInRegisters = facts == &problem.rhs && storesFragments(candidate.recipe);
    ways.push_back(isInRegisters ? llvm::formatv("{0} side unpacked to {1} in registers", side, elementName(element))
                                 : llvm::formatv("{0} side decoded to {1}", side,
                                                 row.isFloat ? elementName(element) : "small integers"));
  }
  if (!row.expansion.empty())
    ways.push_back("by " + row.expansion.str());
  else if (row.isVirtual())
    ways.push_back("by an offset of 128 that is subtracted again");
  if (row.features.empty())
    ways.push_back("in portable vector operations");
  return llvm::join(ways, ", ");
}

/// How the right side gets to the multiply unit, and what the other way would have cost this matmul alone.
static std::string describeRightSide(const Candidate &chosen, const MatmulProblem &problem, ArrayRef<Candidate> all,
                                     size_t numUses) {
  HopAttr first = chosen.recipe.getRhs().front();
  bool isInMemory = first.getTo() == "memory", readsAsItLies = first.getBy() != "pack" && first.getBy() != "decode";
  std::string text = !isInMemory ? readsAsItLies ? "read as it lies" : "packed panel by panel by the tasks that read it"
                     : chosen.packsOnce ? llvm::formatv("packed once into memory, {0:F0} cycles", chosen.packingCycles)
                     : storesFragments(chosen.recipe)
                         ? llvm::formatv("codes stored as fragments{0}, {1}; scales {2}",
                                         alignedFormat(*problem.rhs.format) == problem.rhs.format
                                             ? ""
                                             : llvm::formatv(" of {0}", alignedFormat(*problem.rhs.format)->name).str(),
                                         chosen.recipe.getRhs().back().getBy(),
                                         chosen.recipe.getRescale() == "end"    ? "meet the result"
                                         : chosen.recipe.getRescale() == "fold" ? "meet the codes"
                                                                                : "meet the sums of their codes")
                         : std::string("stored packed");
  if (chosen.packsOnce && numUses > 1)
    text += llvm::formatv(" shared by {0} matmuls", numUses);
  for (const Candidate &other : all)
    if (other.row == chosen.row && other.declined.empty() &&
        (other.recipe.getRhs().front().getTo() == "memory") != isInMemory)
      text += llvm::formatv("; {0} it would take {1:F2} times the cost", isInMemory ? "panel by panel" : "once",
                            wholeKey(other) / std::max(wholeKey(chosen), 1e-9));
  return text;
}

/// The ways to compute it that were not chosen, cheapest first: recipes, as text since they are only read by people and
/// tools, and their seconds.
static ArrayAttr describeOthers(const Candidate &chosen, ArrayRef<Candidate> all, const Machine &machine) {
  Builder builder(chosen.recipe.getContext());
  SmallVector<const Candidate *> others;
  for (const Candidate &candidate : all)
    if (candidate.declined.empty() && candidate.recipe && candidate.recipe != chosen.recipe)
      others.push_back(&candidate);
  llvm::sort(others, [](const Candidate *a, const Candidate *b) {
    return std::pair(wholeKey(*a), a) < std::pair(wholeKey(*b), b); // equal keys stay in order
  });
  return builder.getArrayAttr(llvm::map_to_vector(others, [&](const Candidate *other) -> Attribute {
    double cycles = other->cycles + (other->packsOnce ? 0 : other->packingCycles);
    std::string recipe;
    llvm::raw_string_ostream(recipe) << other->recipe;
    return builder.getDictionaryAttr(
        {builder.getNamedAttr("recipe", builder.getStringAttr(recipe)),
         builder.getNamedAttr("seconds", builder.getF64FloatAttr(cycles / (machine.clockGHz * 1e9)))});
  }));
}

/// One entry of the module's report: what computes the op where M is large, at what cost, and why each other row was
/// not taken. `numUses` matmuls read its right side.
static DictionaryAttr describe(MatmulOp op, const MatmulProblem &problem, const Candidate &last,
                               ArrayRef<Candidate> all, size_t numUses, double typicalM, const Machine &machine) {
  double cycles = last.cycles + (last.packsOnce ? 0 : last.packingCycles);
  Builder builder(op.getContext());
  SmallVector<NamedAttribute> entry;
  auto add = [&](StringRef key, Attribute value) { entry.push_back(builder.getNamedAttr(key, value)); };
  auto [m, n, k] = op.getProblemShape();
  add("loc", op.getLoc());
  add("op", builder.getStringAttr(op->getName().getStringRef()));
  add("shape", builder.getDenseI64ArrayAttr({m, n, k}));
  add("lhs", TypeAttr::get(op.getLhs().getType()));
  add("rhs", TypeAttr::get(op.getRhs().getType()));
  add("row", builder.getStringAttr(last.row->id));
  add("instruction", builder.getStringAttr(last.row->instruction));
  add("emulation", builder.getStringAttr(emulationOf(last, problem)));
  add("recipe", last.recipe);
  SmallVector<NamedAttribute> figures;
  for (auto [name, number] : last.figures)
    figures.push_back(builder.getNamedAttr(name, builder.getF64FloatAttr(number)));
  add("figures", builder.getDictionaryAttr(figures));
  add("right_side", builder.getStringAttr(describeRightSide(last, problem, all, numUses)));
  add("typical_m", builder.getF64FloatAttr(typicalM));
  add("limit", builder.getStringAttr(resourceName(last.limit)));
  add("cycles", builder.getF64FloatAttr(cycles));
  add("seconds", builder.getF64FloatAttr(cycles / (machine.clockGHz * 1e9)));
  add("candidates", describeOthers(last, all, machine));
  SmallVector<Attribute> declined;
  for (const Candidate &candidate : all) {
    // A row that could be taken in several ways is named once, the chosen one where it has a way that was closed.
    bool isNamed =
        llvm::any_of(all, [&](const Candidate &other) { return &other < &candidate && other.row == candidate.row; });
    if (candidate.row == last.row ? candidate.recipe || candidate.declined.empty() : isNamed)
      continue;
    std::string reason = candidate.declined;
    if (reason.empty())
      reason = llvm::formatv("{0:F2} times the cost", wholeKey(candidate) / std::max(wholeKey(last), 1e-9));
    for (const Candidate &other : all)
      if (candidate.declined.empty() && other.row == candidate.row && !other.recipe)
        reason += "; " + other.declined;
    declined.push_back(builder.getStringAttr(candidate.row->id.str() + ": " + reason));
  }
  add("declined", builder.getArrayAttr(declined));
  return builder.getDictionaryAttr(entry);
}

/// All that the stored bytes of a packed right side depend on.
static auto storedAs(const Candidate &candidate) {
  const MultiplyRow &row = *candidate.row;
  return std::tuple(row.storedColumns(), row.storedGroup(), row.storedRhs, row.rhsOffset,
                    packedPanelWidth(candidate.recipe), candidate.recipe.getRhs().front());
}

/// A recipe that stands in the input is kept, where its row is one of the machine's and its result is the law's. Gives
/// the entry of the report.
static FailureOr<Attribute> checkKept(MatmulOp op, const MatmulProblem &problem, const Target &target) {
  std::vector<Candidate> all = target.family().candidates(op.getContext(), problem, target);
  std::vector<Candidate> kept;
  for (RecipeAttr recipe : op.getRecipes()->getRecipes()) {
    auto isNamed = [&](const Candidate &candidate) { return candidate.row->id == recipe.getUnit(); };
    StringRef place = recipe.getRhs().front().getTo();
    auto named = llvm::find_if(all, [&](const Candidate &candidate) {
      return isNamed(candidate) && candidate.recipe && candidate.recipe.getRhs().front().getTo() == place;
    });
    if (named == all.end())
      named = llvm::find_if(all, isNamed);
    if (named == all.end())
      return op.emitOpError() << "has a recipe with '" << recipe.getUnit() << "', which is no row of "
                              << target.machine().name;
    if (!named->declined.empty())
      return op.emitOpError() << "has a recipe with '" << recipe.getUnit() << "', which can not compute it on "
                              << target.machine().name << ": " << named->declined;
    for (LevelAttr level : named->recipe.getTiles())
      // One in memory only says that stored panels are wider than what is moved.
      if (level.getAt() != "memory" && recipe.getTile(level.getAt()).empty())
        return op.emitOpError() << "has a recipe with '" << recipe.getUnit() << "' and no tile at level '"
                                << level.getAt() << "': expected tiles as in " << named->recipe;
    if (recipe.getRescale() == "fold" && named->recipe.getRescale() != "fold")
      return op.emitOpError()
             << "has a recipe that folds scales into codes, which needs constant scales whose products "
             << "with the codes are exact, or may be rounded and are no overflow, on " << target.machine().name << ": "
             << recipe;
    if (storesFragments(recipe) && !(problem.rhs.format && alignedFormat(*problem.rhs.format)))
      return op.emitOpError() << "has a recipe that stores fragments, which needs a right side of codes of at most 8 "
                              << "bits, found " << op.getRhs().getType() << ": " << recipe;
    kept.push_back(*named);
    kept.back().recipe = recipe;
    if (storedAs(kept.back()) != storedAs(kept.front()))
      return op.emitOpError() << "has recipes that store the right side in two ways, but it is stored once: " << recipe
                              << " beside " << kept.front().recipe;
  }
  return Attribute(describe(op, problem, kept.back(), all, /*numUses=*/1, problem.m, target.machine()));
}

/// Says why the smallest rows decline, which ask least of a machine.
static LogicalResult refuse(MatmulOp op, ArrayRef<Candidate> candidates, const Machine &machine) {
  auto products = [](const Candidate &it) { return it.row->m * it.row->n * it.row->k; };
  InFlightDiagnostic error = op.emitOpError() << "can not be computed by any row of " << machine.name;
  int64_t least = INT64_MAX;
  for (const Candidate &candidate : candidates)
    least = std::min(least, products(candidate));
  for (const Candidate &candidate : candidates)
    if (products(candidate) == least && !candidate.declined.empty())
      error.attachNote() << candidate.row->id << ": " << candidate.declined;
  return error;
}

/// Gives each of the ops, which share a right side, its recipes, and writes their entries.
LogicalResult SelectRecipes::choose(ArrayRef<Choice *> uses, const Machine &machine) {
  std::string layout = chooseLayout(uses);
  for (Choice *use : uses) {
    const Candidate *last = nullptr;
    SmallVector<RecipeAttr> recipes;
    SmallVector<int64_t> bounds;
    for (auto [number, range] : llvm::enumerate(use->ranges)) {
      const Candidate *candidate = best(range, layout);
      if (!candidate)
        return refuse(use->op, range, machine);
      // Ranges side by side that are computed alike are one.
      if (last && last->recipe == candidate->recipe) {
        bounds.pop_back();
        recipes.pop_back();
      }
      last = candidate;
      recipes.push_back(candidate->recipe);
      if (number < use->bounds.size())
        bounds.push_back(use->bounds[number]);
    }
    use->op.setRecipesAttr(RecipesAttr::get(&getContext(), bounds, recipes));
    ++numSelected;
    numEmulated += !emulationOf(*last, problems.at(use->op)).empty();
    entries[use->op] =
        describe(use->op, problems.at(use->op), *last, use->ranges.back(), uses.size(), use->typicalM, machine);
  }
  return success();
}

//===----------------------------------------------------------------------===//
// The machine whose code later devices run
//===----------------------------------------------------------------------===//

/// Whether both read a right side that lies in memory in one way.
static bool readAlike(const Candidate &a, const Candidate &b) {
  auto inMemory = [](const Candidate &it) { return it.recipe.getRhs().front().getTo() == "memory"; };
  return inMemory(a) == inMemory(b) && (!inMemory(a) || storedAs(a) == storedAs(b));
}

/// Gives the op recipes of a second machine that read its right side as it is stored; none where that machine can not.
static RecipesAttr choosePortable(MatmulOp op, const MatmulProblem &problem, const Target &target,
                                  const Target &portable) {
  Candidate stored{};
  stored.recipe = op.getRecipes()->getRecipes().front();
  stored.row = target.findRow(stored.recipe.getUnit());
  Choice choice = enumerate(op, problem, portable);
  SmallVector<RecipeAttr> recipes;
  SmallVector<int64_t> bounds;
  for (auto [number, range] : llvm::enumerate(choice.ranges)) {
    llvm::erase_if(range, [&](const Candidate &it) { return !it.declined.empty() || !readAlike(it, stored); });
    const Candidate *candidate = best(range, /*layout=*/"");
    if (!candidate)
      return {};
    if (!recipes.empty() && recipes.back() == candidate->recipe) {
      bounds.pop_back();
      recipes.pop_back();
    }
    recipes.push_back(candidate->recipe);
    if (number < choice.bounds.size())
      bounds.push_back(choice.bounds[number]);
  }
  return RecipesAttr::get(op.getContext(), bounds, recipes);
}

/// All or none: an object has an image for later devices only if it has all kernels.
LogicalResult SelectRecipes::choosePortable(ArrayRef<MatmulOp> matmuls, const Target &target) {
  ModuleOp module = getOperation();
  auto found = findTarget(module, target.machine().portable);
  if (failed(found))
    return failure();
  const Target &portable = **found;
  if (&portable.family() != &target.family())
    return module.emitError("target '" + target.machine().name +
                            "': expected \"portable\" to name one of the family '" + target.family().name() +
                            "', found '" + portable.machine().name + "'");
  Builder builder(&getContext());
  bool isComplete = true;
  for (MatmulOp op : matmuls) {
    RecipesAttr recipes = ::choosePortable(op, problems.at(op), target, portable);
    op.setPortableRecipesAttr(recipes);
    isComplete &= bool(recipes);
    NamedAttrList entry(cast<DictionaryAttr>(entries[op]));
    std::string text = recipes ? recipes.getRecipes().back().getUnit().str()
                               : "none: no row of " + portable.machine().name + " reads the right side as it is stored";
    entry.set("portable", builder.getStringAttr(text));
    entries[op] = entry.getDictionary(&getContext());
  }
  if (isComplete)
    module->setAttr("qlow.portable", builder.getStringAttr(portable.machine().name));
  else
    for (MatmulOp op : matmuls)
      op.removePortableRecipesAttr();
  return success();
}

void SelectRecipes::runOnOperation() {
  FailureOr<std::shared_ptr<const Target>> found = findTarget(getOperation(), target);
  if (failed(found))
    return signalPassFailure();
  const Target &machine = **found;
  entries.clear();
  problems.clear();
  SmallVector<MatmulOp> matmuls;
  getOperation().walk([&](MatmulOp op) {
    matmuls.push_back(op);
    problems.try_emplace(op, problemOf(op, fastSums, machine.family()));
  });
  std::vector<Choice> choices;
  for (MatmulOp op : matmuls) {
    if (!op.getRecipes()) {
      choices.push_back(enumerate(op, problems.at(op), machine));
      continue;
    }
    FailureOr<Attribute> entry = checkKept(op, problems.at(op), machine);
    if (failed(entry))
      return signalPassFailure();
    entries[op] = *entry;
    ++numKept;
  }
  // Uses of one right side choose together.
  llvm::MapVector<std::pair<const void *, unsigned>, SmallVector<Choice *>> rightSides;
  for (Choice &choice : choices)
    rightSides[rightSide(choice.op)].push_back(&choice);
  for (auto &[_, uses] : rightSides)
    if (failed(choose(uses, machine.machine())))
      return signalPassFailure();
  if (!machine.machine().portable.empty() && failed(choosePortable(matmuls, machine)))
    return signalPassFailure();
  auto report = llvm::map_to_vector(matmuls, [&](MatmulOp op) { return entries.lookup(op); });
  getOperation()->setAttr("qlow.report", ArrayAttr::get(&getContext(), report));
}
