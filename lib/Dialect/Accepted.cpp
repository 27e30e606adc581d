//===- Accepted.cpp - the closed list of accepted operations ----------------===//
//
// The list that docs/Semantics.md prints under "Float work". An op is here only if the reference evaluator computes it
// and the pipeline lowers it, on every target, without a call to a library.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Accepted.h"
#include "qlow/Dialect/Dialect.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace qlow;

static bool isStructure(Operation *op) {
  // The branches of cf and the poison that lifting them to scf leaves behind.
  return isa<ModuleOp, func::FuncOp, func::CallOp, func::ReturnOp, scf::ForOp, scf::IfOp, scf::WhileOp,
             scf::ConditionOp, scf::IndexSwitchOp, scf::YieldOp, cf::BranchOp, cf::CondBranchOp, cf::SwitchOp,
             ub::PoisonOp>(op);
}

static bool isArith(Operation *op) {
  // The scaling conversions are the business of qlow's own types.
  return isa<arith::ArithDialect>(op->getDialect()) && !isa<arith::ScalingExtFOp, arith::ScalingTruncFOp>(op);
}

static bool isFloatMath(Operation *op) {
  return isa<math::AbsFOp, math::AtanOp, math::Atan2Op, math::CeilOp, math::CopySignOp, math::CosOp, math::CoshOp,
             math::ErfOp, math::ExpOp, math::Exp2Op, math::ExpM1Op, math::FloorOp, math::FmaOp, math::LogOp,
             math::Log1pOp, math::Log2Op, math::PowFOp, math::RoundOp, math::RoundEvenOp, math::RsqrtOp, math::SinOp,
             math::SinhOp, math::SqrtOp, math::TanOp, math::TanhOp, math::TruncOp>(op);
}

static bool isIntegerMath(Operation *op) {
  return isa<math::AbsIOp, math::CountLeadingZerosOp, math::CountTrailingZerosOp, math::CtPopOp>(op);
}

static bool isTensorWork(Operation *op) {
  return isa<tensor::CastOp, tensor::CollapseShapeOp, tensor::ConcatOp, tensor::DimOp, tensor::EmptyOp,
             tensor::ExpandShapeOp, tensor::ExtractOp, tensor::ExtractSliceOp, tensor::FromElementsOp,
             tensor::GenerateOp, tensor::InsertOp, tensor::InsertSliceOp, tensor::PadOp, tensor::RankOp,
             tensor::ReshapeOp, tensor::SplatOp, tensor::YieldOp>(op);
}

static bool isStructuredWork(Operation *op) {
  return isa<linalg::LinalgOp, linalg::IndexOp, linalg::YieldOp, affine::AffineApplyOp, affine::AffineMinOp,
             affine::AffineMaxOp>(op);
}

bool qlow::isAcceptedOp(Operation *op) {
  if (!op->getDialect())
    return false;
  return isa<QlowDialect>(op->getDialect()) || isStructure(op) || isArith(op) || isFloatMath(op) || isIntegerMath(op) ||
         isTensorWork(op) || isStructuredWork(op);
}

static bool isAcceptedScalar(Type type) {
  if (auto integer = dyn_cast<IntegerType>(type))
    return integer.isSignless() && llvm::is_contained({1, 8, 16, 32, 64}, integer.getWidth());
  return isa<IndexType, Float16Type, BFloat16Type, Float32Type, Float64Type>(type);
}

bool qlow::isAcceptedType(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return isAcceptedScalar(type);
  Type element = tensor.getElementType();
  if (isa<IndexType>(element))
    return false;
  return isAcceptedScalar(element) || isa<QType, Float8E8M0FNUType, Float8E4M3FNType>(element);
}

// V9
LogicalResult qlow::verifyOpenSizes(Operation *op) {
  auto pad = dyn_cast<tensor::PadOp>(op);
  if (!pad)
    return success();
  for (auto [side, sizes, operands] :
       {std::tuple("low", pad.getStaticLow(), pad.getLow()), std::tuple("high", pad.getStaticHigh(), pad.getHigh())})
    if (size_t open = llvm::count(sizes, ShapedType::kDynamic); open != operands.size())
      return pad.emitOpError() << "has " << open << " open sizes in '" << side << "' (-2^63 is one) and "
                               << operands.size() << " operands for them: expected as many";
  return success();
}

LogicalResult qlow::verifyAccepted(Operation *op) {
  if (!isAcceptedOp(op))
    return op->emitError() << "'" << op->getName() << "' is not accepted; docs/Semantics.md, \"Float work\", lists the "
                           << "ops that are";
  if (isa<GetWeightOp>(op)) // has a type of its own
    return success();
  if (failed(verifyOpenSizes(op)))
    return failure();
  SmallVector<Type> types(op->getResultTypes());
  for (Region &region : op->getRegions())
    for (Block &block : region)
      llvm::append_range(types, block.getArgumentTypes());
  for (Type type : types) {
    if (!isAcceptedType(type))
      return op->emitError() << "type " << type
                             << " is not accepted: expected index, i1, i8, i16, i32, i64, f16, bf16, "
                             << "f32, f64 or a ranked tensor of these or of !qlow.q";
    if (isFloatMath(op) && getElementTypeOrSelf(type).isF64())
      return op->emitError() << "'" << op->getName() << "' is accepted on f16, bf16 and f32 only, found " << type;
  }
  return success();
}

/// Whether the C interface has been recorded, which is done once all of the model has been checked.
static constexpr StringLiteral kRecord = "qlow.abi";
static bool isRecorded(ModuleOp module) {
  return module->hasAttr(kRecord) ||
         llvm::any_of(*module.getBody(), [&](Operation &op) { return op.hasAttr(kRecord); });
}

/// Whether quantized values of a recorded interface have become their parts: recorded again it would be another one.
static bool isSplit(func::FuncOp function) {
  auto record = function->getAttrOfType<DictionaryAttr>(kRecord);
  auto fields = record ? record.getAs<ArrayAttr>("fields") : ArrayAttr();
  auto isPart = [](Attribute field) {
    auto part = dyn_cast<DictionaryAttr>(field) ? cast<DictionaryAttr>(field).getAs<StringAttr>("part") : StringAttr();
    return part && !part.empty();
  };
  auto isQuantized = [](Type type) { return bool(getQuantizedElement(type)); };
  return fields && llvm::any_of(fields, isPart) && llvm::none_of(function.getArgumentTypes(), isQuantized) &&
         llvm::none_of(function.getResultTypes(), isQuantized);
}

LogicalResult qlow::verifyNotLowered(ModuleOp module) {
  bool isOurs = isRecorded(module);
  WalkResult walk = module.walk<WalkOrder::PreOrder>([&](Operation *op) {
    auto function = dyn_cast<func::FuncOp>(op);
    if (!isa<MatmulKernelOp, PackOp>(op) && (!isOurs || isAcceptedOp(op)) && !(function && isSplit(function)))
      return WalkResult::advance();
    op->emitError() << "'" << op->getName() << "' is of a module that qlow has lowered already: compile the model that "
                    << "it was made of, or go on behind the last pass that ran, with the same target: with "
                    << "-start-after=qlow-pack-weights where -emit=mlir printed it, with -start-after=PASS where "
                    << "-stop-after=PASS did";
    return WalkResult::interrupt();
  });
  return failure(walk.wasInterrupted());
}
