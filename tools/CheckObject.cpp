//===- CheckObject.cpp - an object's results beside the reference's ---------===//
//
// In: a model as the reference evaluates it, and what an object of it computed. Out: a line for each array, and whether
// the law allows what it says. To judge ops one by one the model is cut behind each: what reads a kept result reads the
// object's instead.
//
//===----------------------------------------------------------------------===//

#include "CheckObject.h"

#include "llvm/Support/Format.h"

#include <cstring>

using namespace mlir;
using namespace qlow;

static LogicalResult fail(const llvm::Twine &message) {
  llvm::errs() << "qlow-run: error: " << message << "\n";
  return failure();
}

namespace {
/// One result of the model: what the law says of it, and where its bound stands among the model's results.
struct Claim {
  std::string op; ///< empty: one of the model's own results
  std::vector<ArrayType> parts;
  bool isExact = false;
  std::optional<SumBound> bound;
  size_t boundAt = 0;
};

class Checker {
public:
  Checker(func::FuncOp model, const AbiFunction &object) : model(model), object(object) {}
  LogicalResult readClaims();
  /// Makes the model compute each kept op from the object's values; adds those to `inputs`.
  void cut(std::vector<Array> &inputs, ArrayRef<Array> results);
  void addBounds();
  LogicalResult compareAll(ArrayRef<Array> found, ArrayRef<Array> expected);

private:
  func::FuncOp model;
  const AbiFunction &object;
  std::vector<Claim> claims;

  Operation *end() { return model.front().getTerminator(); }
  void addResult(Value value) {
    (void)model.insertResult(model.getNumResults(), value.getType(), {});
    end()->insertOperands(end()->getNumOperands(), value);
  }
};
} // namespace

LogicalResult Checker::readClaims() {
  size_t next = 0;
  for (unsigned index = 0; index < model.getNumResults(); ++index) {
    Claim &claim = claims.emplace_back();
    if (auto op = model.getResultAttrOfType<StringAttr>(index, "qlow.op"))
      claim.op = op.str();
    FailureOr<std::vector<ArrayType>> parts = getArrayTypes(model.getResultTypes()[index]);
    if (failed(parts))
      return model.emitError() << "result " << index << " has a type that is not accepted";
    claim.parts = std::move(*parts);
    // A kept op has the same name on both sides, or the object is another model's.
    auto name = model.getResultAttrOfType<StringAttr>(index, "qlow.name");
    for (size_t part = 0; part < claim.parts.size(); ++part, ++next) {
      const AbiField *field = next < object.results.size() ? &object.fields[object.results[next]] : nullptr;
      if (!field || field->op.empty() != claim.op.empty() || (!claim.op.empty() && field->value != name.getValue()))
        return fail("@" + object.name + ": the object's results are not the model's: expected " +
                    (name ? "'" + name.str() + "'" : "result " + std::to_string(index)) + ", found " +
                    (field ? "'" + field->value + "'" : "no more") + "; compile the object from this model");
    }
  }
  return next == object.results.size() ? success()
                                       : fail("@" + object.name + ": the object has more results than the model");
}

void Checker::cut(std::vector<Array> &inputs, ArrayRef<Array> results) {
  for (auto [index, claim] : llvm::enumerate(claims)) {
    size_t parts = claim.parts.size();
    if (!claim.op.empty()) {
      Value value = end()->getOperand(index);
      (void)model.insertArgument(model.getNumArguments(), value.getType(), {}, value.getLoc());
      value.replaceAllUsesExcept(model.getArguments().back(), end());
      inputs.insert(inputs.end(), results.begin(), results.begin() + static_cast<ptrdiff_t>(parts));
    }
    results = results.drop_front(parts);
  }
}

void Checker::addBounds() {
  size_t arrays = 0;
  for (const Claim &claim : claims)
    arrays += claim.parts.size();
  for (auto [index, claim] : llvm::enumerate(claims)) {
    Value value = end()->getOperand(index);
    claim.isExact = isExact(value);
    if (claim.isExact)
      continue;
    OpBuilder builder(end());
    claim.bound = addSumBound(value, builder);
    if (!claim.bound)
      continue;
    addResult(claim.bound->magnitude);
    addResult(claim.bound->length);
    claim.boundAt = std::exchange(arrays, arrays + 2);
  }
}

/// K, as the model computes it.
static int64_t lengthOf(const Array &array) {
  int64_t length;
  std::memcpy(&length, array.bytes.data(), sizeof length);
  return length;
}

/// One line: `scores: 3 of 10 elements differ, at most by 2 units in the last place`.
static void print(StringRef name, const Claim &claim, const ArrayType &type, const Difference &difference) {
  llvm::outs() << name << ": " << difference.different << " of " << difference.elements
               << (type.codes ? " codes" : " elements") << " differ";
  if (difference.different)
    llvm::outs() << llvm::format(", at most by %.6g", difference.worst)
                 << (difference.isFloat ? " units in the last place" : "");
  if (!claim.isExact && !claim.bound)
    llvm::outs() << " (float sums and functions before it: no bound)";
  if (!claim.op.empty())
    llvm::outs() << "; " << claim.op;
  llvm::outs() << "\n";
}

LogicalResult Checker::compareAll(ArrayRef<Array> found, ArrayRef<Array> expected) {
  std::string first;
  size_t next = 0;
  for (const Claim &claim : claims)
    for (const ArrayType &type : claim.parts) {
      const AbiField &field = object.fields[object.results[next]];
      const Array &array = found[next], &reference = expected[next];
      ++next;
      if (array.shape != reference.shape)
        return fail(field.name + " has another shape than the reference's");
      Difference difference = compare(type, array, reference);
      if (claim.bound)
        difference = compareSum(type, array, reference, expected[claim.boundAt], lengthOf(expected[claim.boundAt + 1]),
                                claim.bound->hasBias, claim.bound->isNarrow);
      print(field.name, claim, type, difference);
      bool isAllowed = difference.isAllowed || (!claim.isExact && !claim.bound);
      if (!isAllowed && first.empty())
        first = field.name + (claim.op.empty() ? "" : " (" + claim.op + ")");
    }
  llvm::outs().flush();
  return first.empty() ? success()
                       : fail(first + " is the first to differ from the reference by more than the law allows");
}

LogicalResult qlow::checkObject(func::FuncOp model, const AbiFunction &object, ArrayRef<Array> inputs,
                                ArrayRef<Array> results, bool ops) {
  bool keeps = llvm::any_of(object.fields, [](const AbiField &field) { return !field.op.empty(); });
  if (ops && !keeps)
    return fail("@" + object.name +
                ": the object keeps no intermediate results; compile it with qlowc "
                "--keep-intermediates");
  if (!ops && keeps)
    return fail("@" + object.name + ": the object keeps intermediate results; compare them with --ops");
  Checker checker(model, object);
  if (failed(checker.readClaims()))
    return failure();
  std::vector<Array> arguments(inputs);
  checker.cut(arguments, results);
  checker.addBounds();
  FailureOr<std::vector<Array>> expected = evaluate(model->getParentOfType<ModuleOp>(), model.getName(), arguments);
  return failed(expected) ? failure() : checker.compareAll(results, *expected);
}
