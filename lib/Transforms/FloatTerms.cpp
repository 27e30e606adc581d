//===- FloatTerms.cpp - f32 as sums of bf16 ---------------------------------===//
//
// A matrix unit multiplies codes by bf16, not by f32. The 24 bits of an f32 are those of three bf16, each of which has
// eight of them: what bits are left of x are x less the terms before, exactly. As many rows of terms lie behind those
// of the others, so that a matmul of three times the rows reads the right side once for all; its sums are then added
// up, small ones first, and meet the epilogue.
//
//===----------------------------------------------------------------------===//

#include "Conversions.h"
#include "qlow/Targets/Layout.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace qlow;

/// The upper half of an f32's bits: no rounding, so that what is left is of the same sign, or 0.
static Value emitTruncated(OpBuilder &builder, Location loc, Value x) {
  Type i32 = builder.getI32Type();
  Value bits = arith::BitcastOp::create(builder, loc, i32, x);
  Value kept = arith::AndIOp::create(builder, loc, bits, arith::ConstantIntOp::create(builder, loc, 0xFFFF0000, 32));
  return arith::BitcastOp::create(builder, loc, x.getType(), kept);
}

Value qlow::emitTerms(OpBuilder &builder, Location loc, Value tensor) {
  auto type = cast<RankedTensorType>(tensor.getType());
  int64_t rank = type.getRank();
  SmallVector<OpFoldResult> sizes = emitSizes(builder, loc, tensor);
  sizes.insert(sizes.end() - 2, builder.getIndexAttr(kTermsOfF32));
  Type bf16 = builder.getBF16Type();
  Value terms = emitElementwise(
      builder, loc, sizes, bf16, {}, [&](OpBuilder &builder, Location loc, ValueRange, ValueRange indices) {
        SmallVector<Value> place(indices);
        place.erase(place.end() - 3);
        Value rest = emitLoad(builder, loc, tensor, place), term;
        for (int64_t i = 0; i < kTermsOfF32; ++i) {
          Value next = emitTruncated(builder, loc, rest);
          Value isOwn = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, indices[rank - 2],
                                              arith::ConstantIndexOp::create(builder, loc, i));
          term = term ? arith::SelectOp::create(builder, loc, isOwn, next, term).getResult() : next;
          rest = arith::SubFOp::create(builder, loc, rest, next);
        }
        return arith::TruncFOp::create(builder, loc, bf16, term).getResult();
      });
  SmallVector<ReassociationIndices> groups;
  for (int64_t dim = 0; dim < rank; ++dim) {
    ReassociationIndices &group = groups.emplace_back();
    int64_t first = dim < rank - 1 ? dim : dim + 1;
    group.push_back(first);
    if (dim == rank - 2)
      group.push_back(first + 1);
  }
  return tensor::CollapseShapeOp::create(builder, loc, terms, groups);
}

Value qlow::emitSumOfTerms(OpBuilder &builder, Location loc, MatmulOp op, Value sums) {
  SmallVector<OpFoldResult> sizes = emitMatmulSizes(builder, op);
  int64_t rank = sizes.size();
  Block &region = op.getEpilogue().front();
  Value rows = getValueOrCreateConstantIndexOp(builder, loc, sizes[rank - 2]);
  Type element = region.getTerminator()->getOperand(0).getType();
  return emitElementwise(
      builder, loc, sizes, element, {}, [&](OpBuilder &builder, Location loc, ValueRange, ValueRange indices) -> Value {
        Value sum;
        for (int64_t i = kTermsOfF32 - 1; i >= 0; --i) {
          SmallVector<Value> place(indices);
          Value before = arith::MulIOp::create(builder, loc, rows, arith::ConstantIndexOp::create(builder, loc, i));
          place[rank - 2] = arith::AddIOp::create(builder, loc, place[rank - 2], before);
          Value term = emitLoad(builder, loc, sums, place);
          sum = sum ? arith::AddFOp::create(builder, loc, sum, term).getResult() : term;
        }
        IRMapping mapping;
        mapping.map(region.getArgument(0), sum);
        for (auto [i, extra] : llvm::enumerate(op.getExtras())) {
          SmallVector<Value> place;
          for (AffineExpr expr : cast<AffineMapAttr>((*op.getExtraMaps())[i]).getValue().getResults()) {
            auto dim = dyn_cast<AffineDimExpr>(expr);
            place.push_back(
                dim ? indices[dim.getPosition()]
                    : arith::ConstantIndexOp::create(builder, loc, cast<AffineConstantExpr>(expr).getValue())
                          .getResult());
          }
          mapping.map(region.getArgument(i + 1), emitLoad(builder, loc, extra, place));
        }
        for (Operation &inner : region.without_terminator())
          builder.clone(inner, mapping);
        return mapping.lookupOrDefault(region.getTerminator()->getOperand(0));
      });
}
