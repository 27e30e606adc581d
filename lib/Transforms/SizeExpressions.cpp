//===- SizeExpressions.cpp - sizes as functions of the arguments -----------===//
//
// Walks from a size back to constants, dimensions of arguments and the width, and emits that slice again. Views are
// looked through, and branches whose sizes agree; what a loop or a load computes is not a size known on entry and gives
// null.
//
//===----------------------------------------------------------------------===//

#include "SizeExpressions.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Index/IR/IndexDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/DataLayoutInterfaces.h"

using namespace mlir;
using namespace qlow;

/// No buffer is larger; sums of two of these still fit.
static constexpr int64_t kCap = int64_t(1) << 62;

int64_t qlow::elementBytes(Operation *scope, Type type) {
  return DataLayout::closest(scope).getTypeSize(type).getFixedValue();
}

Value SizeExpressions::unique(Operation *op) {
  for (Operation *other : emitted)
    if (OperationEquivalence::isEquivalentTo(op, other, OperationEquivalence::IgnoreLocations)) {
      op->erase();
      return other->getResult(0);
    }
  emitted.push_back(op);
  return op->getResult(0);
}

Value SizeExpressions::constant(int64_t value) { return unique(arith::ConstantIndexOp::create(builder, loc, value)); }

Value SizeExpressions::add(Value lhs, Value rhs) {
  APInt a, b;
  if (matchPattern(lhs, m_ConstantInt(&a)) && matchPattern(rhs, m_ConstantInt(&b)))
    return constant((a + b).getSExtValue());
  if (matchPattern(lhs, m_Zero()))
    return rhs;
  if (matchPattern(rhs, m_Zero()))
    return lhs;
  Value sum = unique(arith::AddIOp::create(builder, loc, lhs, rhs));
  return overflow == Wrap ? sum : unique(arith::MinUIOp::create(builder, loc, sum, constant(kCap)));
}

Value SizeExpressions::multiply(Value lhs, Value rhs) {
  APInt a, b;
  bool overflows = true;
  if (matchPattern(lhs, m_ConstantInt(&a)) && matchPattern(rhs, m_ConstantInt(&b)))
    if (APInt product = a.smul_ov(b, overflows); !overflows && product.sle(kCap))
      return constant(product.getSExtValue());
  if (matchPattern(lhs, m_One()))
    return rhs;
  if (matchPattern(rhs, m_One()))
    return lhs;
  if (overflow == Wrap)
    return unique(arith::MulIOp::create(builder, loc, lhs, rhs));
  auto asI64 = [&](Value value) {
    return arith::IndexCastOp::create(builder, loc, builder.getI64Type(), value).getResult();
  };
  auto wide = arith::MulUIExtendedOp::create(builder, loc, asI64(lhs), asI64(rhs));
  Value zero = arith::ConstantIntOp::create(builder, loc, 0, 64);
  Value cap = arith::ConstantIntOp::create(builder, loc, kCap, 64);
  Value fits = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, wide.getHigh(), zero);
  Value low = arith::MinUIOp::create(builder, loc, wide.getLow(), cap);
  Value product = arith::SelectOp::create(builder, loc, fits, low, cap);
  return arith::IndexCastOp::create(builder, loc, builder.getIndexType(), product);
}

Value SizeExpressions::maximum(Value lhs, Value rhs) {
  if (lhs == rhs)
    return lhs;
  return unique(arith::MaxUIOp::create(builder, loc, lhs, rhs));
}

Value SizeExpressions::emit(Value value) {
  if (Value known = cache.lookup(value))
    return known;
  Value result = emitUncached(value);
  if (result)
    cache[value] = result;
  return result;
}

Value SizeExpressions::emitUncached(Value value) {
  if (value == roots.width)
    return width;
  Operation *op = value.getDefiningOp();
  if (!op)
    return {};
  if (auto dimOp = dyn_cast<memref::DimOp>(op)) {
    std::optional<int64_t> index = dimOp.getConstantIndex();
    return index ? emitDim(dimOp.getSource(), *index) : Value();
  }
  bool isArithmetic = isa<arith::ArithDialect, index::IndexDialect>(op->getDialect()) ||
                      isa<affine::AffineApplyOp, affine::AffineMinOp, affine::AffineMaxOp>(op);
  if (!isArithmetic || op->getNumResults() != 1 || !isPure(op))
    return {};
  return cloned(op);
}

Value SizeExpressions::cloned(Operation *op) {
  IRMapping mapping;
  for (Value operand : op->getOperands()) {
    Value known = emit(operand);
    if (!known)
      return {};
    mapping.map(operand, known);
  }
  // Sums are left alone: a negative term is legal in them, and what wraps is stopped by the next product.
  APInt factor;
  auto product = dyn_cast<arith::MulIOp>(op);
  if (product && product.getType().isIndex() &&
      !(matchPattern(product.getRhs(), m_ConstantInt(&factor)) && factor.isNegative()))
    return multiply(mapping.lookup(product.getLhs()), mapping.lookup(product.getRhs()));
  return unique(builder.clone(*op, mapping));
}

Value SizeExpressions::emitSize(OpFoldResult size) {
  if (auto attribute = dyn_cast<Attribute>(size))
    return constant(cast<IntegerAttr>(attribute).getInt());
  return emit(cast<Value>(size));
}

Value SizeExpressions::emitCommonDim(ValueRange buffers, int64_t index) {
  Value size;
  for (Value buffer : buffers) {
    Value other = emitDim(buffer, index);
    if (!other || (size && other != size))
      return {};
    size = other;
  }
  return size;
}

/// Buffers that control flow hands on: what all branches give, what a condition forwards.
Value SizeExpressions::emitForwardedDim(Value buffer, int64_t index) {
  if (auto argument = dyn_cast<BlockArgument>(buffer)) {
    auto loop = dyn_cast<scf::WhileOp>(argument.getOwner()->getParentOp());
    bool isAfter = loop && argument.getOwner() == loop.getAfterBody();
    return isAfter ? emitDim(loop.getConditionOp().getArgs()[argument.getArgNumber()], index) : Value();
  }
  Operation *op = buffer.getDefiningOp();
  unsigned number = cast<OpResult>(buffer).getResultNumber();
  if (auto loop = dyn_cast<scf::WhileOp>(op))
    return emitDim(loop.getConditionOp().getArgs()[number], index);
  if (auto select = dyn_cast<arith::SelectOp>(op))
    return emitCommonDim({select.getTrueValue(), select.getFalseValue()}, index);
  if (!isa<scf::IfOp, scf::IndexSwitchOp>(op))
    return {};
  SmallVector<Value> given;
  for (Region &region : op->getRegions())
    given.push_back(region.front().getTerminator()->getOperand(number));
  return emitCommonDim(given, index);
}

Value SizeExpressions::emitDim(Value buffer, int64_t index) {
  auto type = dyn_cast<MemRefType>(buffer.getType());
  if (!type || index < 0 || index >= type.getRank())
    return {};
  if (!type.isDynamicDim(index))
    return constant(type.getDimSize(index));
  if (auto argument = dyn_cast<BlockArgument>(buffer)) {
    if (argument.getOwner()->getParentOp() != roots.function)
      return emitForwardedDim(buffer, index);
    if (auto sizes = roots.resultSizes.find(buffer); sizes != roots.resultSizes.end())
      return sizes->second.empty() ? Value() : emit(sizes->second[type.getDynamicDimIndex(index)]);
    Value &known = dims[{buffer, index}];
    return known ? known : known = dim(argument, index);
  }
  Operation *op = buffer.getDefiningOp();
  if (isa<memref::AllocOp, memref::AllocaOp>(op)) // Dynamic sizes come first, then symbols of the layout.
    return emit(op->getOperand(type.getDynamicDimIndex(index)));
  if (auto view = dyn_cast<memref::ViewOp>(op))
    return emit(view.getSizes()[type.getDynamicDimIndex(index)]);
  if (auto castOp = dyn_cast<memref::CastOp>(op))
    return emitDim(castOp.getSource(), index);
  if (auto reinterpret = dyn_cast<memref::ReinterpretCastOp>(op))
    return emitSize(reinterpret.getMixedSizes()[index]);
  if (auto expand = dyn_cast<memref::ExpandShapeOp>(op))
    return emitSize(expand.getMixedOutputShape()[index]);
  if (auto subview = dyn_cast<memref::SubViewOp>(op)) {
    llvm::SmallBitVector dropped = subview.getDroppedDims();
    for (auto [i, size] : llvm::enumerate(subview.getMixedSizes()))
      if (!dropped.test(i) && index-- == 0)
        return emitSize(size);
    return {};
  }
  if (auto collapse = dyn_cast<memref::CollapseShapeOp>(op)) {
    Value product = constant(1);
    for (int64_t i : collapse.getReassociationIndices()[index]) {
      Value factor = emitDim(collapse.getSrc(), i);
      if (!factor)
        return {};
      product = multiply(product, factor);
    }
    return product;
  }
  return emitForwardedDim(buffer, index);
}

Value SizeExpressions::emitBytes(Operation *alloc) {
  Value &known = bytes[alloc];
  return known ? known : known = emitBytesUncached(alloc);
}

Value SizeExpressions::emitBytesUncached(Operation *alloc) {
  auto type = cast<MemRefType>(alloc->getResult(0).getType());
  int64_t known = elementBytes(alloc, type.getElementType());
  SmallVector<Value> factors;
  for (int64_t i = 0; i < type.getRank(); ++i) {
    if (!type.isDynamicDim(i)) {
      known *= type.getDimSize(i); // qlow-verify has bounded the product.
      continue;
    }
    factors.push_back(emitDim(alloc->getResult(0), i));
    if (!factors.back())
      return {};
  }
  Value bytes = constant(factors.empty() ? llvm::alignTo(known, 64) : known);
  for (Value factor : factors)
    bytes = multiply(bytes, factor);
  if (factors.empty() || known % 64 == 0)
    return bytes;
  Value up = add(bytes, constant(63));
  return unique(arith::AndIOp::create(builder, loc, up, constant(-64)));
}
