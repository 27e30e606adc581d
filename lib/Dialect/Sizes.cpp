//===- Sizes.cpp - sizes as expressions of the arguments' sizes -------------===//
//
// Walks from the size of a tensor back to the arguments it follows from. What loads, loop counters and scalar arguments
// decide is opaque: equal to itself and to nothing else. Must not trust a result's type: `infer` says what the operands
// make of it, SizeRules.cpp requires that both agree.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Sizes.h"
#include "qlow/Dialect/Dialect.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace qlow;

static RankedTensorType typeOf(Value tensor) { return cast<RankedTensorType>(tensor.getType()); }

AffineExpr SizeAnalysis::opaque(Value value, int64_t dim) {
  unsigned number = opaques.try_emplace({value, dim}, opaques.size()).first->second;
  return getAffineDimExpr(number, context);
}

/// Products of two unknowns are unknown: an affine expression has none.
AffineExpr SizeAnalysis::multiply(AffineExpr a, AffineExpr b, Value value, int64_t dim) {
  if (!a || !b || (!a.isSymbolicOrConstant() && !b.isSymbolicOrConstant()))
    return opaque(value, dim);
  return a * b;
}

AffineExpr SizeAnalysis::simplify(AffineExpr expr) {
  if (!replacements.empty())
    expr = expr.replace(replacements);
  unsigned symbols = 0;
  expr.walk([&](AffineExpr part) {
    if (auto symbol = dyn_cast<AffineSymbolExpr>(part))
      symbols = std::max(symbols, symbol.getPosition() + 1);
  });
  return simplifyAffineExpr(expr, opaques.size(), symbols);
}

//===----------------------------------------------------------------------===//
// Index arithmetic
//===----------------------------------------------------------------------===//

/// Integers of 64 bits hold every size; narrower ones might cut it off.
static bool isWide(Value value) { return value.getType().isIndex() || value.getType().isInteger(64); }

bool SizeAnalysis::neverNegative(AffineExpr expr) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue() >= 0;
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  return binary ? neverNegative(binary.getLHS()) && neverNegative(binary.getRHS()) : isa<AffineSymbolExpr>(expr);
}

/// Additions, products, and divisions by a constant; null where it is none of these.
AffineExpr SizeAnalysis::compute(Operation *op) {
  if (auto apply = dyn_cast<affine::AffineApplyOp>(op)) {
    SmallVector<AffineExpr> operands;
    for (Value operand : apply.getMapOperands())
      operands.push_back(valueOf(operand));
    AffineMap map = apply.getAffineMap();
    if (!map.getResult(0).isPureAffine() &&
        !llvm::all_of(operands, [](AffineExpr e) { return e.isSymbolicOrConstant(); }))
      return {};
    ArrayRef<AffineExpr> all = operands;
    return map.getResult(0).replaceDimsAndSymbols(all.take_front(map.getNumDims()), all.drop_front(map.getNumDims()));
  }
  if (isa<arith::IndexCastOp, arith::IndexCastUIOp>(op) && isWide(op->getOperand(0)))
    return valueOf(op->getOperand(0));
  if (!isa<arith::AddIOp, arith::SubIOp, arith::MulIOp, arith::DivUIOp, arith::DivSIOp, arith::CeilDivUIOp,
           arith::CeilDivSIOp, arith::FloorDivSIOp, arith::RemUIOp>(op))
    return {};
  AffineExpr lhs = valueOf(op->getOperand(0)), rhs = valueOf(op->getOperand(1));
  if (isa<arith::AddIOp>(op))
    return lhs + rhs;
  if (isa<arith::SubIOp>(op))
    return lhs - rhs;
  if (isa<arith::MulIOp>(op))
    return multiply(lhs, rhs, op->getResult(0), -1);
  // Division rounds differently below 0, and means something else again where the bits are unsigned.
  auto divisor = dyn_cast<AffineConstantExpr>(rhs);
  if (!divisor || divisor.getValue() <= 0 || !neverNegative(lhs))
    return {};
  if (isa<arith::RemUIOp>(op))
    return lhs % rhs;
  return isa<arith::CeilDivUIOp, arith::CeilDivSIOp>(op) ? lhs.ceilDiv(rhs) : lhs.floorDiv(rhs);
}

AffineExpr SizeAnalysis::valueOf(Value index) {
  APInt value;
  if (matchPattern(index, m_ConstantInt(&value)) && value.getSignificantBits() <= 64)
    return constant(value.getSExtValue());
  Operation *op = index.getDefiningOp();
  if (!op || !isWide(index))
    return opaque(index);
  AffineExpr expr;
  if (auto dim = dyn_cast<tensor::DimOp>(op)) {
    std::optional<int64_t> number = dim.getConstantIndex();
    if (number && *number >= 0 && *number < typeOf(dim.getSource()).getRank())
      expr = sizeOf(dim.getSource(), *number);
  } else if (auto rank = dyn_cast<tensor::RankOp>(op)) {
    expr = constant(typeOf(rank.getTensor()).getRank());
  } else {
    expr = compute(op);
  }
  return expr ? expr : opaque(index);
}

AffineExpr SizeAnalysis::valueOf(OpFoldResult index) {
  if (auto attribute = dyn_cast<Attribute>(index))
    return constant(cast<IntegerAttr>(attribute).getInt());
  return valueOf(cast<Value>(index));
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

AffineExpr SizeAnalysis::sizeOf(Value tensor, int64_t dim) {
  RankedTensorType type = typeOf(tensor);
  if (!type.isDynamicDim(dim))
    return constant(type.getDimSize(dim));
  if (auto known = sizes.find({tensor, dim}); known != sizes.end())
    return known->second;
  auto result = dyn_cast<OpResult>(tensor);
  AffineExpr size = result ? infer(result, dim) : argumentOf(cast<BlockArgument>(tensor), dim);
  return sizes[{tensor, dim}] = size;
}

SizeAnalysis::Sizes SizeAnalysis::sizesOf(Value tensor) {
  return llvm::map_to_vector(llvm::seq(typeOf(tensor).getRank()), [&](int64_t dim) { return sizeOf(tensor, dim); });
}

/// A loop carries tensors of the size they start with: SizeRules.cpp requires it.
AffineExpr SizeAnalysis::argumentOf(BlockArgument argument, int64_t dim) {
  Operation *parent = argument.getOwner()->getParentOp();
  AffineExpr size;
  if (isa<func::FuncOp>(parent))
    size = argumentSize(argument, dim);
  else if (auto loop = dyn_cast<scf::ForOp>(parent))
    size = sizeOf(loop.getTiedLoopInit(argument)->get(), dim);
  else if (auto loop = dyn_cast<scf::WhileOp>(parent))
    size = argument.getOwner() == loop.getBeforeBody()
               ? sizeOf(loop.getInits()[argument.getArgNumber()], dim)
               : sizeOf(loop.getConditionOp().getArgs()[argument.getArgNumber()], dim);
  return size ? size : opaque(argument, dim);
}

bool SizeAnalysis::canAgree(AffineExpr a, AffineExpr b) {
  AffineExpr difference = simplify(a - b);
  auto constant = dyn_cast<AffineConstantExpr>(difference);
  return constant ? constant.getValue() == 0 : difference.isSymbolicOrConstant();
}

/// The size of what branches give: where it is one size on entry or may be, that one.
AffineExpr SizeAnalysis::merged(OpResult result, int64_t dim) {
  AffineExpr size;
  for (Region &region : result.getOwner()->getRegions()) {
    if (region.empty())
      continue;
    AffineExpr other = sizeOf(region.front().getTerminator()->getOperand(result.getResultNumber()), dim);
    if (size && other && size != other && !canAgree(size, other))
      return opaque(result, dim);
    size = size ? size : other;
  }
  return size;
}

AffineExpr SizeAnalysis::product(Value source, ArrayRef<int64_t> dims, Value value, int64_t dim) {
  AffineExpr size = constant(1);
  for (int64_t factor : dims)
    size = multiply(size, sizeOf(source, factor), value, dim);
  return size;
}

/// Sizes of the parts of a tensor of this element in the order of QType::getParts.
void SizeAnalysis::appendParts(Type element, ArrayRef<AffineExpr> shape, SmallVectorImpl<Sizes> &parts) {
  auto quantized = dyn_cast<QType>(element);
  if (!quantized) {
    parts.emplace_back(shape);
    return;
  }
  auto storage = [&](const Format &format, Sizes sizes) {
    if (sizes.empty())
      sizes.push_back(constant(1));
    // A last dimension that is no constant has codes of whole bytes (T6).
    if (auto last = dyn_cast_or_null<AffineConstantExpr>(sizes.back()))
      sizes.back() = constant(format.rowBytes(last.getValue()));
    else if (sizes.back())
      sizes.back() = sizes.back() * format.bytesPerGroup;
    parts.push_back(std::move(sizes));
  };
  storage(*quantized.getFormat(), Sizes(shape));
  Sizes scales;
  for (auto [size, block] : llvm::zip(shape, quantized.getBlock()))
    scales.push_back(block == QType::kWhole ? constant(1) : size ? size.ceilDiv(block) : size);
  appendParts(quantized.getScale(), scales, parts);
  if (quantized.getZero())
    storage(*quantized.getZero(), scales);
  if (quantized.getOffset())
    appendParts(quantized.getOffset(), scales, parts);
}

AffineExpr SizeAnalysis::infer(OpResult result, int64_t dim) {
  Operation *op = result.getOwner();
  if (isa<ub::PoisonOp>(op))
    return {};
  if (isa<scf::IfOp, scf::IndexSwitchOp>(op))
    return merged(result, dim);
  AffineExpr size;
  if (auto loop = dyn_cast<scf::ForOp>(op))
    size = sizeOf(loop.getInitArgs()[result.getResultNumber()], dim);
  else if (auto loop = dyn_cast<scf::WhileOp>(op))
    size = sizeOf(loop.getConditionOp().getArgs()[result.getResultNumber()], dim);
  else
    size = inferShape(result, dim);
  return size ? size : opaque(result, dim);
}

/// Size `dim` of a slice whose sizes are `mixed`, less those of 1 that it drops.
static OpFoldResult sliceSize(ArrayRef<OpFoldResult> mixed, const llvm::SmallBitVector &dropped, int64_t dim) {
  for (auto [i, size] : llvm::enumerate(mixed))
    if (!dropped.test(i) && dim-- == 0)
      return size;
  llvm_unreachable("a slice has a size for each dimension");
}

AffineExpr SizeAnalysis::inferShape(OpResult result, int64_t dim) {
  Operation *op = result.getOwner();
  RankedTensorType type = typeOf(result);
  // The type alone says it.
  AffineExpr unknown = type.isDynamicDim(dim) ? opaque(result, dim) : constant(type.getDimSize(dim));
  auto fromOperands = [&](OperandRange dynamicSizes) {
    return type.isDynamicDim(dim)
               ? valueOf(dynamicSizes[llvm::count_if(type.getShape().take_front(dim), ShapedType::isDynamic)])
               : unknown;
  };
  return llvm::TypeSwitch<Operation *, AffineExpr>(op)
      .Case([&](tensor::EmptyOp empty) { return fromOperands(empty.getDynamicSizes()); })
      .Case([&](tensor::SplatOp splat) { return fromOperands(splat.getDynamicSizes()); })
      .Case([&](tensor::GenerateOp generate) { return fromOperands(generate.getDynamicExtents()); })
      .Case([&](tensor::ExtractSliceOp slice) {
        return valueOf(sliceSize(slice.getMixedSizes(), slice.getDroppedDims(), dim));
      })
      .Case([&](tensor::InsertSliceOp insert) { return sizeOf(insert.getDest(), dim); })
      .Case([&](tensor::InsertOp insert) { return sizeOf(insert.getDest(), dim); })
      .Case([&](tensor::CollapseShapeOp collapse) {
        return product(collapse.getSrc(), collapse.getReassociationIndices()[dim], result, dim);
      })
      .Case([&](tensor::ExpandShapeOp expand) { return valueOf(expand.getMixedOutputShape()[dim]); })
      .Case([&](tensor::ConcatOp concat) {
        AffineExpr size = constant(0);
        for (Value input : concat.getInputs()) {
          AffineExpr next = sizeOf(input, dim);
          if (int64_t(concat.getDim()) != dim || !next)
            return next;
          size = size + next;
        }
        return size;
      })
      .Case([&](tensor::PadOp pad) {
        AffineExpr inner = sizeOf(pad.getSource(), dim);
        return inner ? valueOf(pad.getMixedLowPad()[dim]) + inner + valueOf(pad.getMixedHighPad()[dim]) : inner;
      })
      .Case([&](tensor::ReshapeOp reshape) {
        auto elements = reshape.getShape().getDefiningOp<tensor::FromElementsOp>();
        return elements && type.isDynamicDim(dim) ? valueOf(elements.getElements()[dim]) : unknown;
      })
      .Case<tensor::CastOp, QuantizeOp, QuantizeDynamicOp, DequantizeOp, RequantizeOp>(
          [&](Operation *) { return sizeOf(op->getOperand(0), dim); })
      .Case([&](MatmulOp matmul) {
        int64_t batch = matmul.getBatchRank();
        if (dim == batch + 1)
          return sizeOf(matmul.getRhs(), batch + (matmul.getTransposeRhs() ? 0 : 1));
        return sizeOf(matmul.getLhs(), dim == batch && matmul.getTransposeLhs() ? batch + 1 : dim);
      })
      .Case([&](ComposeOp compose) {
        // Packed sizes can not be told apart: types know the sizes of packed dimensions (T6).
        int64_t bytes = cast<QType>(type.getElementType()).getFormat()->bytesPerGroup;
        AffineExpr codes = sizeOf(compose.getParts().front(), type.getRank() == 0 ? 0 : dim);
        if (!type.isDynamicDim(dim) || !codes)
          return unknown;
        return dim + 1 == type.getRank() ? codes.floorDiv(bytes) : codes;
      })
      .Case([&](DecomposeOp decompose) {
        SmallVector<Sizes> parts;
        appendParts(typeOf(decompose.getInput()).getElementType(), sizesOf(decompose.getInput()), parts);
        return parts[result.getResultNumber()][dim];
      })
      .Case([&](DestinationStyleOpInterface destination) {
        return sizeOf(destination.getTiedOpOperand(result)->get(), dim);
      })
      .Default([&](Operation *) {
        if (!op->hasTrait<OpTrait::Elementwise>())
          return unknown;
        for (Value operand : op->getOperands())
          if (auto shaped = dyn_cast<RankedTensorType>(operand.getType()); shaped && shaped.getRank() == type.getRank())
            return sizeOf(operand, dim);
        return unknown;
      });
}
