//===- Evaluator.h - the rules of the reference evaluator -------*- C++ -*-===//
//
// A rule computes one kind of op. Scalar rules see only numbers: the evaluator applies them to scalars, to whole
// tensors and inside the regions of structured ops. All other rules read and bind values of a frame. Private to this
// room.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_REFERENCE_EVALUATOR_H
#define QLOW_LIB_REFERENCE_EVALUATOR_H

#include "Arrays.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/DenseMap.h"

#include <variant>

namespace qlow::reference {

using RuntimeValue = std::variant<Scalar, Tensor>;

/// The values of one function call.
struct Frame {
  llvm::DenseMap<mlir::Value, Scalar> scalars;
  llvm::DenseMap<mlir::Value, Tensor> tensors;
  /// The point of the innermost structured op, for linalg.index.
  llvm::ArrayRef<int64_t> point;

  Scalar scalar(mlir::Value value) const { return scalars.find(value)->second; }
  const Tensor &tensor(mlir::Value value) const { return tensors.find(value)->second; }
  RuntimeValue get(mlir::Value value) const;
  void bind(mlir::Value value, RuntimeValue to);
  void bind(mlir::ValueRange values, llvm::ArrayRef<RuntimeValue> to);
  llvm::SmallVector<RuntimeValue> get(mlir::ValueRange values) const;
  /// Sizes or offsets that are partly attributes.
  llvm::SmallVector<int64_t> get(llvm::ArrayRef<mlir::OpFoldResult> values) const;
};

/// Computes `results` of `op` from `operands`, numbers all; the types are the elements' types.
using ScalarRule = mlir::LogicalResult (*)(mlir::Operation *op, llvm::ArrayRef<Scalar> operands,
                                           llvm::MutableArrayRef<Scalar> results);

class Evaluator {
public:
  using Rule = mlir::LogicalResult (*)(Evaluator &evaluator, mlir::Operation *op, Frame &frame);

  Evaluator();

  mlir::FailureOr<llvm::SmallVector<RuntimeValue>> call(mlir::func::FuncOp function,
                                                        llvm::ArrayRef<RuntimeValue> arguments);
  /// Binds the block's arguments, runs it, and gives the operands of its terminator from `firstOperand` on.
  mlir::FailureOr<llvm::SmallVector<RuntimeValue>> runBlock(mlir::Block &block, llvm::ArrayRef<RuntimeValue> arguments,
                                                            Frame &frame, unsigned firstOperand = 0);
  /// Runs all ops before the terminator; arguments are bound already.
  mlir::LogicalResult runBody(mlir::Block &block, Frame &frame);
  mlir::LogicalResult run(mlir::Operation *op, Frame &frame);

  template <typename OpTy, mlir::LogicalResult (*rule)(Evaluator &, OpTy, Frame &)> void add() {
    rules[mlir::TypeID::get<OpTy>()] = [](Evaluator &evaluator, mlir::Operation *op, Frame &frame) {
      return rule(evaluator, mlir::cast<OpTy>(op), frame);
    };
  }
  template <typename... OpTy> void addScalar(ScalarRule rule) {
    ((scalarRules[mlir::TypeID::get<OpTy>()] = rule), ...);
  }

private:
  mlir::LogicalResult runElementwise(mlir::Operation *op, ScalarRule rule, Frame &frame);

  llvm::DenseMap<mlir::TypeID, Rule> rules;
  llvm::DenseMap<mlir::TypeID, ScalarRule> scalarRules;
  unsigned depth = 0;
};

void addArithRules(Evaluator &evaluator);
void addMathRules(Evaluator &evaluator);
void addControlRules(Evaluator &evaluator);
void addTensorRules(Evaluator &evaluator);
void addQuantizedRules(Evaluator &evaluator);
void addMatmulRule(Evaluator &evaluator);
/// What a region adds to its output in each step along a reduction, if that is all it does with it: a float sum.
mlir::Value findSummand(mlir::linalg::LinalgOp op, unsigned output);
mlir::LogicalResult runStructured(Evaluator &evaluator, mlir::linalg::LinalgOp op, Frame &frame);

/// Zeros, or an error at `op` where the sizes are negative or count more than 2^32 elements.
mlir::FailureOr<Array> makeArray(mlir::Operation *op, llvm::ArrayRef<int64_t> shape, mlir::Type element);
/// The number of elements, with the same error.
mlir::FailureOr<int64_t> checkShape(mlir::Operation *op, llvm::ArrayRef<int64_t> shape);
/// Whether `shape` is one that a value of tensor type `type` can have; an error at `op` if not.
mlir::LogicalResult checkFits(mlir::Operation *op, mlir::Type type, llvm::ArrayRef<int64_t> shape);
int64_t evaluateAffine(mlir::AffineExpr expr, llvm::ArrayRef<int64_t> dims, llvm::ArrayRef<int64_t> symbols);

} // namespace qlow::reference

#endif // QLOW_LIB_REFERENCE_EVALUATOR_H
