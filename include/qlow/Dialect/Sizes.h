//===- Sizes.h - what a function's sizes must be ----------------*- C++ -*-===//
//
// The sizes of a function's tensors as expressions of its arguments' sizes, and what its ops need of them: types leave
// open whether a `?` is another's equal, ops do not. Whoever runs the function must see to it that the rules hold.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_DIALECT_SIZES_H
#define QLOW_DIALECT_SIZES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AffineExpr.h"
#include "llvm/ADT/DenseMap.h"

namespace qlow {

/// `difference` is 0 (an equality), or not negative; an expression of the symbols that stand for arguments' sizes.
struct SizeRule {
  mlir::AffineExpr difference;
  bool isEquality;
};

/// In the expressions a symbol is the size of an argument, a dimension (d0, d1, ...) something that is not known on
/// entry. A null expression is the size of poison: any will do.
class SizeAnalysis {
public:
  /// The size of an argument: a symbol or a constant.
  using ArgumentSize = std::function<mlir::AffineExpr(mlir::BlockArgument, int64_t)>;
  SizeAnalysis(mlir::MLIRContext *context, ArgumentSize argumentSize)
      : context(context), argumentSize(std::move(argumentSize)) {}

  mlir::AffineExpr sizeOf(mlir::Value tensor, int64_t dim);
  /// The rules of all ops of a function with structured control flow, executed or not. Fails with a diagnostic at an op
  /// whose sizes can not agree, or are not known on entry.
  mlir::LogicalResult addRules(mlir::func::FuncOp func);
  /// The rule that two sizes are equal, with the same diagnostics; `what` names them.
  mlir::LogicalResult requireEqual(mlir::Operation *op, mlir::AffineExpr a, mlir::AffineExpr b,
                                   const llvm::Twine &what);
  llvm::ArrayRef<SizeRule> getRules() const { return rules; }

private:
  using Sizes = llvm::SmallVector<mlir::AffineExpr>;

  mlir::AffineExpr constant(int64_t value) { return mlir::getAffineConstantExpr(value, context); }
  mlir::AffineExpr opaque(mlir::Value value, int64_t dim = -1);
  mlir::AffineExpr valueOf(mlir::Value index);
  mlir::AffineExpr valueOf(mlir::OpFoldResult index);
  mlir::AffineExpr compute(mlir::Operation *op);
  static bool neverNegative(mlir::AffineExpr expr);
  mlir::AffineExpr multiply(mlir::AffineExpr a, mlir::AffineExpr b, mlir::Value value, int64_t dim);
  mlir::AffineExpr simplify(mlir::AffineExpr expr);
  bool canAgree(mlir::AffineExpr a, mlir::AffineExpr b);
  mlir::AffineExpr argumentOf(mlir::BlockArgument argument, int64_t dim);
  /// What the op makes of its operands' sizes, whatever the result's type says.
  mlir::AffineExpr infer(mlir::OpResult result, int64_t dim);
  mlir::AffineExpr inferShape(mlir::OpResult result, int64_t dim);
  mlir::AffineExpr merged(mlir::OpResult result, int64_t dim);
  mlir::AffineExpr product(mlir::Value source, llvm::ArrayRef<int64_t> dims, mlir::Value value, int64_t dim);
  Sizes sizesOf(mlir::Value tensor);
  void appendParts(mlir::Type element, llvm::ArrayRef<mlir::AffineExpr> shape, llvm::SmallVectorImpl<Sizes> &parts);

  mlir::LogicalResult requireAtLeast(mlir::Operation *op, mlir::AffineExpr size, mlir::AffineExpr least,
                                     const llvm::Twine &what);
  /// [offset, offset + (size - 1) * stride] lies inside of `total`. Only where all is known on entry and `op` is always
  /// executed: elsewhere indices outside of a tensor have no meaning, and nobody looks.
  mlir::LogicalResult requireInside(mlir::Operation *op, mlir::OpFoldResult offset, mlir::OpFoldResult size,
                                    mlir::OpFoldResult stride, mlir::AffineExpr total);
  void addRule(mlir::AffineExpr difference, bool isEquality);

  mlir::LogicalResult check(mlir::Operation *op);
  mlir::LogicalResult checkResults(mlir::Operation *op);
  mlir::LogicalResult checkOperands(mlir::Operation *op);
  mlir::LogicalResult checkParts(mlir::Operation *op, mlir::Value whole, mlir::ValueRange parts, bool withCodes);
  mlir::LogicalResult checkMatmul(mlir::Operation *op);
  mlir::LogicalResult checkStructured(mlir::Operation *op);
  mlir::LogicalResult checkSlice(mlir::Operation *op, mlir::Value whole);
  mlir::LogicalResult checkTensorOp(mlir::Operation *op);
  mlir::LogicalResult checkControlFlow(mlir::Operation *op);
  mlir::LogicalResult checkSameShapes(mlir::Operation *op, mlir::ValueRange values, const llvm::Twine &what);

  mlir::MLIRContext *context;
  ArgumentSize argumentSize;
  llvm::DenseMap<std::pair<mlir::Value, int64_t>, mlir::AffineExpr> sizes;
  llvm::DenseMap<std::pair<mlir::Value, int64_t>, unsigned> opaques;
  llvm::SmallVector<SizeRule> rules;
  /// Symbols that a rule makes equal to another symbol or a constant.
  llvm::DenseMap<mlir::AffineExpr, mlir::AffineExpr> replacements;
};

} // namespace qlow

#endif // QLOW_DIALECT_SIZES_H
