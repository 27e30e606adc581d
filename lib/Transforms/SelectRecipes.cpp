//===- SelectRecipes.cpp - which instruction computes each matmul -----------===//
//
// Takes matmuls and gives each a recipe for every range of M, and the module a report of what was chosen and why not
// something better. A layout belongs to a right side: all uses of one, for all M, share the layout whose sum of best
// costs is least, and where it is computed also whether it is packed once or by each task. Must not change what is
// computed: candidates that would are declined by their family.
//
//===----------------------------------------------------------------------===//

#include "Selection.h"

#include "qlow/Targets/Targets.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/MapVector.h"

#include <cmath>
#include <map>

namespace qlow {
#define GEN_PASS_DEF_SELECTRECIPES
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

namespace {
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
  LogicalResult assign(ArrayRef<Choice *> uses, const Machine &machine);
  LogicalResult measureResult(Choice &use, ArrayRef<Choice *> uses, const Target &target, const Target *portable);
  LogicalResult choose(ArrayRef<Choice *> uses, const Target &target, const Target *portable);
  FailureOr<std::shared_ptr<const Target>> findPortable(const Target &target);
  void choosePortables(ArrayRef<MatmulOp> matmuls, const Target &target, const Target &portable);
  Attribute withResult(MatmulOp op, const Family &family);

  llvm::DenseMap<Operation *, MatmulProblem> problems; ///< made once: scales of weights are read for it
  llvm::DenseMap<Operation *, Attribute> entries;      ///< of the report
};
} // namespace

/// What tells right sides apart: the constant, or the value of codes or floats; and how its matrices lie.
static std::pair<const void *, unsigned> rightSide(MatmulOp op) {
  Attribute constant = constantCodes(op.getRhs());
  auto compose = op.getRhs().getDefiningOp<ComposeOp>();
  Value codes = compose ? compose.getParts().front() : op.getRhs();
  return {constant ? constant.getAsOpaquePointer() : codes.getAsOpaquePointer(), op.getTransposeRhs()};
}

/// What the result is quantized to as it is measured, where nothing else reads it; else null.
static RankedTensorType measuredType(MatmulOp op) {
  auto userOf = [](Operation *of) { return of->hasOneUse() ? *of->getUsers().begin() : nullptr; };
  Operation *user = userOf(op);
  auto quantize = dyn_cast_if_present<QuantizeDynamicOp>(isa_and_present<tensor::CastOp>(user) ? userOf(user) : user);
  return quantize ? cast<RankedTensorType>(quantize.getType()) : RankedTensorType();
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

/// The layout with the least sum over all uses and ranges of M, and that sum; packing is paid once for each range.
static std::pair<std::string, double> chooseLayout(ArrayRef<Choice *> uses) {
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
  if (least == sums.end() || std::isinf(least->second))
    return {std::string(), std::numeric_limits<double>::infinity()};
  return *least;
}

/// The candidates of a matmul whose kernels quantize its result to `type` as they measure it; adds to `behind` what
/// kernels behind it would cost.
static Choice enumerateMeasuring(MatmulOp op, const MatmulProblem &problem, RankedTensorType type, const Target &target,
                                 double &behind) {
  MatmulProblem measured = problem;
  measured.resultBytes = 1;
  Choice choice = enumerate(op, measured, target);
  for (auto [number, range] : llvm::enumerate(choice.ranges)) {
    double m = number < choice.bounds.size() ? static_cast<double>(choice.bounds[number]) : choice.typicalM;
    double bytes = problem.batch * m * problem.n * (problem.resultBytes + measured.resultBytes);
    behind += target.family().passCycles(/*kernels=*/1, bytes, target.machine());
    for (Candidate &candidate : range)
      if (candidate.declined.empty() && !target.family().measuresResult(candidate.recipe, type))
        candidate.declined = "holds no whole blocks of the result, whose scales are measured";
  }
  return choice;
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
    // One of selection's own has its figures; others have those of the next of kin.
    auto named = llvm::find_if(all, [&](const Candidate &candidate) { return candidate.recipe == recipe; });
    if (named == all.end())
      named = llvm::find_if(all, [&](const Candidate &candidate) {
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
      // One in memory only says that stored panels are wider than what is moved, a cluster's that its blocks share
      // this.
      if (level.getAt() != "memory" && level.getAt() != "cluster" && recipe.getTile(level.getAt()).empty())
        return op.emitOpError() << "has a recipe with '" << recipe.getUnit() << "' and no tile at level '"
                                << level.getAt() << "': expected tiles as in " << named->recipe;
    if (recipe.getRescale() == "fold" && named->recipe.getRescale() != "fold")
      return op.emitOpError() << "has a recipe that folds scales into codes, where '" << recipe.getUnit() << "' on "
                              << target.machine().name << " has rescale = " << named->recipe.getRescale()
                              << (named->unfolded.empty() ? "" : ": ") << named->unfolded << ", found " << recipe;
    if (recipe.getRescale() == "follow" && llvm::none_of(all, [&](const Candidate &it) {
          return isNamed(it) && it.recipe && it.recipe.getRescale() == "follow";
        }))
      return op.emitOpError()
             << "has a recipe with rescale = follow, where '" << recipe.getUnit() << "' on " << target.machine().name
             << " can not keep sums in units of scales: expected float sums "
             << "and constant scales along K of at most 5 bits of exponent, finite and none of them 0, "
             << "found " << op.getRhs().getType() << " and " << recipe;
    if (unpacksLeft(recipe) &&
        llvm::none_of(all, [&](const Candidate &it) { return isNamed(it) && it.recipe && unpacksLeft(it.recipe); }))
      return op.emitOpError() << "has a recipe that unpacks the left side in memory, which nothing that is for '"
                              << recipe.getUnit() << "' on " << target.machine().name
                              << " does: expected codes that become what the row takes, found " << op.getLhs().getType()
                              << " and " << recipe;
    // A way to decode that only some scales allow is among the row's candidates where they do.
    StringRef decodes = recipe.getRhs().back().getBy();
    if (storesFragments(recipe) && recipe.getRescale() == "fold" && llvm::none_of(all, [&](const Candidate &it) {
          return isNamed(it) && it.recipe && it.recipe.getRhs().back().getBy() == decodes;
        }))
      return op.emitOpError() << "has a recipe that decodes the right side by '" << decodes << "', which its codes, or "
                              << "the size of their constant scales, do not allow on " << target.machine().name << ": "
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
  // Where M is known, one range holds it.
  auto isMeant = [&](const Candidate &candidate) {
    return !problem.knownM || candidate.recipe == op.getRecipes()->lookup(*problem.knownM);
  };
  const Candidate &meant = *llvm::find_if(llvm::reverse(kept), isMeant);
  return Attribute(describe(op, problem, meant, all, /*numUses=*/1, problem.m, target.machine()));
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

//===----------------------------------------------------------------------===//
// The machine whose code later devices run
//===----------------------------------------------------------------------===//

/// Whether both read sides that lie in memory in one way.
static bool readAlike(const Candidate &a, const Candidate &b) {
  auto inMemory = [](const Candidate &it) { return it.recipe.getRhs().front().getTo() == "memory"; };
  return unpacksLeft(a.recipe) == unpacksLeft(b.recipe) && inMemory(a) == inMemory(b) &&
         (!inMemory(a) || storedAs(a) == storedAs(b));
}

/// Gives the op recipes of a second machine that read its right side as it is stored; none where that machine can not.
static RecipesAttr choosePortable(MatmulOp op, const MatmulProblem &problem, const Target &target,
                                  const Target &portable) {
  Candidate stored{};
  stored.recipe = op.getRecipes()->getRecipes().front();
  stored.row = target.findRow(stored.recipe.getUnit());
  Choice choice = enumerate(op, problem, portable);
  for (std::vector<Candidate> &range : choice.ranges)
    llvm::erase_if(range, [&](const Candidate &it) { return !it.declined.empty() || !readAlike(it, stored); });
  // Both measure results, or neither.
  RankedTensorType type = measuredType(op);
  auto measures = [&](const Candidate &it) { return portable.family().measuresResult(it.recipe, type); };
  if (type && target.family().measuresResult(*op.getRecipes(), type) &&
      llvm::all_of(choice.ranges, [&](auto &range) { return llvm::any_of(range, measures); }))
    for (std::vector<Candidate> &range : choice.ranges)
      llvm::erase_if(range, std::not_fn(measures));
  SmallVector<RecipeAttr> recipes;
  SmallVector<int64_t> bounds;
  for (auto [number, range] : llvm::enumerate(choice.ranges)) {
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

//===----------------------------------------------------------------------===//
// Choices
//===----------------------------------------------------------------------===//

/// Gives each of the ops, which share a right side, its recipes.
LogicalResult SelectRecipes::assign(ArrayRef<Choice *> uses, const Machine &machine) {
  std::string layout = chooseLayout(uses).first;
  for (Choice *use : uses) {
    SmallVector<RecipeAttr> recipes;
    SmallVector<int64_t> bounds;
    for (auto [number, range] : llvm::enumerate(use->ranges)) {
      const Candidate *candidate = best(range, layout);
      if (!candidate)
        return refuse(use->op, range, machine);
      // Ranges side by side that are computed alike are one.
      if (!recipes.empty() && recipes.back() == candidate->recipe) {
        bounds.pop_back();
        recipes.pop_back();
      }
      recipes.push_back(candidate->recipe);
      if (number < use->bounds.size())
        bounds.push_back(use->bounds[number]);
    }
    use->op.setRecipesAttr(RecipesAttr::get(&getContext(), bounds, recipes));
  }
  return success();
}

/// Where a result is quantized as it is measured, kernels do that if that costs less than to do it behind them, and
/// those for later devices, where there would be such, do the same: then only candidates that can are left.
LogicalResult SelectRecipes::measureResult(Choice &use, ArrayRef<Choice *> uses, const Target &target,
                                           const Target *portable) {
  RankedTensorType type = measuredType(use.op);
  if (!type)
    return success();
  const MatmulProblem &problem = problems.at(use.op);
  double limit = chooseLayout(uses).second;
  Choice floats = std::exchange(use, enumerateMeasuring(use.op, problem, type, target, limit));
  if (chooseLayout(uses).second >= limit) {
    use = std::move(floats);
    return success();
  }
  auto portableRecipes = [&] {
    return llvm::map_to_vector(uses, [&](Choice *it) {
      return portable ? choosePortable(it->op, problems.at(it->op), target, *portable) : RecipesAttr();
    });
  };
  SmallVector<RecipesAttr> before = portableRecipes();
  if (failed(assign(uses, target.machine())))
    return failure();
  SmallVector<RecipesAttr> after = portableRecipes();
  if (llvm::all_of(llvm::zip_equal(uses, before, after), [&](auto each) {
        auto [it, had, has] = each;
        RankedTensorType result = measuredType(it->op);
        return !had || (has && (!result || !target.family().measuresResult(*it->op.getRecipes(), result) ||
                                portable->family().measuresResult(has, result)));
      }))
    return success();
  use = std::move(floats);
  return assign(uses, target.machine());
}

/// Chooses for ops that share a right side, and writes their entries.
LogicalResult SelectRecipes::choose(ArrayRef<Choice *> uses, const Target &target, const Target *portable) {
  const Machine &machine = target.machine();
  if (failed(assign(uses, machine)))
    return failure();
  for (Choice *use : uses)
    if (failed(measureResult(*use, uses, target, portable)))
      return failure();
  std::string layout = chooseLayout(uses).first;
  for (Choice *use : uses) {
    const Candidate &last = *best(use->ranges.back(), layout);
    const MatmulProblem &problem = problems.at(use->op);
    ++numSelected;
    numEmulated += !emulationOf(last, problem).empty();
    entries[use->op] = describe(use->op, problem, last, use->ranges.back(), uses.size(), use->typicalM, machine);
  }
  return success();
}

/// Null where the machine names none.
FailureOr<std::shared_ptr<const Target>> SelectRecipes::findPortable(const Target &target) {
  if (target.machine().portable.empty())
    return std::shared_ptr<const Target>();
  ModuleOp module = getOperation();
  auto found = findTarget(module, target.machine().portable);
  if (succeeded(found) && &(*found)->family() != &target.family())
    return module.emitError("target '" + target.machine().name +
                            "': expected \"portable\" to name one of the family '" + target.family().name() +
                            "', found '" + (*found)->machine().name + "'");
  return found;
}

/// All or none: an object has an image for later devices only if it has all kernels.
void SelectRecipes::choosePortables(ArrayRef<MatmulOp> matmuls, const Target &target, const Target &portable) {
  ModuleOp module = getOperation();
  Builder builder(&getContext());
  bool isComplete = true;
  for (MatmulOp op : matmuls) {
    RecipesAttr recipes = choosePortable(op, problems.at(op), target, portable);
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
}

/// The op's entry with what becomes of a result whose scales are measured; see qlow-split-quantized.
Attribute SelectRecipes::withResult(MatmulOp op, const Family &family) {
  RankedTensorType type = measuredType(op);
  if (!type)
    return entries.lookup(op);
  RecipesAttr portable = op.getPortableRecipesAttr();
  bool measures = family.measuresResult(*op.getRecipes(), type);
  StringRef where = !measures ? "behind the kernel, from memory"
                    : portable && !family.measuresResult(portable, type)
                        ? "behind the kernel, from memory: that for later devices does not hold whole blocks"
                        : "in the kernel";
  NamedAttrList entry(cast<DictionaryAttr>(entries.lookup(op)));
  std::string text;
  llvm::raw_string_ostream(text) << type.getElementType() << ", measured and quantized " << where;
  entry.set("result", StringAttr::get(&getContext(), text));
  return entry.getDictionary(&getContext());
}

void SelectRecipes::runOnOperation() {
  FailureOr<std::shared_ptr<const Target>> found = findTarget(getOperation(), target);
  if (failed(found))
    return signalPassFailure();
  const Target &machine = **found;
  FailureOr<std::shared_ptr<const Target>> portable = findPortable(machine);
  if (failed(portable))
    return signalPassFailure();
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
    if (failed(choose(uses, machine, portable->get())))
      return signalPassFailure();
  if (*portable)
    choosePortables(matmuls, machine, **portable);
  auto report = llvm::map_to_vector(matmuls, [&](MatmulOp op) { return withResult(op, machine.family()); });
  getOperation()->setAttr("qlow.report", ArrayAttr::get(&getContext(), report));
}
