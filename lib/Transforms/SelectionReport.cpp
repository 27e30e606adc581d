//===- SelectionReport.cpp - what a report says of a matmul -----------------===//
//
// In: the candidates of a matmul, and the one that was chosen. Out: an entry of the module's report as an attribute:
// what computes the op, at what cost, and why each other row was not taken. Must not choose anything itself.
//
//===----------------------------------------------------------------------===//

#include "Selection.h"

#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace qlow;

static std::string nameOf(Type element) {
  auto codes = dyn_cast<QType>(element);
  return codes ? std::string(codes.getFormat()->name) : llvm::formatv("{0}", element).str();
}

/// What a side's elements are and what the row takes decide, however a recipe calls the hop between.
std::string qlow::emulationOf(const Candidate &candidate, const MatmulProblem &problem) {
  const MultiplyRow &row = *candidate.row;
  SmallVector<std::string> ways;
  for (auto [side, facts, element] :
       {std::tuple("left", &problem.lhs, row.lhs), std::tuple("right", &problem.rhs, row.rhs)}) {
    if (multipliesAsStored(row, element, *facts))
      continue;
    std::string to = row.isFloat ? elementName(element).str() : "small integers", where;
    if (facts == &problem.rhs && storesFragments(candidate.recipe))
      to = elementName(element).str(), where = " in registers";
    else if (facts == &problem.lhs && unpacksLeft(candidate.recipe))
      to = (facts->format ? "" : "three ") + nameOf(facts->unpacked), where = " in memory";
    ways.push_back(llvm::formatv("{0} side {1} to {2}{3}", side, where.empty() ? "decoded" : "unpacked", to, where));
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

DictionaryAttr qlow::describe(MatmulOp op, const MatmulProblem &problem, const Candidate &last, ArrayRef<Candidate> all,
                              size_t numUses, double typicalM, const Machine &machine) {
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
    const Candidate *cheapest = nullptr;
    for (const Candidate &other : all)
      if (other.row == candidate.row && other.declined.empty() && (!cheapest || wholeKey(other) < wholeKey(*cheapest)))
        cheapest = &other;
    std::string reason = candidate.declined;
    // Of the row that was chosen only a way that is closed is named.
    if (cheapest && candidate.row != last.row) {
      reason = llvm::formatv("{0:F2} times the cost", wholeKey(*cheapest) / std::max(wholeKey(last), 1e-9));
      for (const Candidate &other : all)
        if (other.row == candidate.row && !other.recipe && !unpacksLeft(cheapest->recipe))
          reason += "; " + other.declined;
    }
    declined.push_back(builder.getStringAttr(candidate.row->id.str() + ": " + reason));
  }
  add("declined", builder.getArrayAttr(declined));
  return builder.getDictionaryAttr(entry);
}
