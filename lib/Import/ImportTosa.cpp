//===- ImportTosa.cpp - tosa to qlow ops and linalg -------------------------===//
//
// In: tosa ops on integers and floats. Out: tosa.matmul as qlow.matmul, tosa.rescale of sums to bytes as
// qlow.requantize, all other tosa by upstream's lowering to linalg, tensor, arith and scf. Every integer result is the
// one the TOSA specification gives, bit for bit.
//
//===----------------------------------------------------------------------===//

#include "Contraction.h"
#include "Uniform.h"
#include "qlow/Dialect/Dialect.h"
#include "qlow/Import/Import.h"

#include "mlir/Conversion/TosaToArith/TosaToArith.h"
#include "mlir/Conversion/TosaToLinalg/TosaToLinalg.h"
#include "mlir/Conversion/TosaToSCF/TosaToSCF.h"
#include "mlir/Conversion/TosaToTensor/TosaToTensor.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tosa/IR/TosaOps.h"
#include "mlir/Dialect/Tosa/Transforms/Passes.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

namespace qlow {
#define GEN_PASS_DEF_IMPORTTOSA
#include "qlow/Import/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

/// A quantized tensor of bytes with scale 1, which neither an i32 sum nor a rescale reads. `zero` is a tensor<1xi8>; it
/// is left out where `isZero`.
static QType byteType(MLIRContext *context, bool isUnsigned, bool isZero) {
  const Format *format = findCodeFormat(isUnsigned ? "u8" : "i8");
  return QType::get(context, format, Float32Type::get(context), isZero ? nullptr : format, Type(), {});
}

static SmallVector<Value> byteParts(OpBuilder &builder, Location loc, Value zero, bool isZero) {
  SmallVector<Value> parts{createConstant(builder, loc, ArrayRef<float>{1.0f}, {})};
  if (!isZero)
    parts.push_back(zero);
  return parts;
}

static bool isKnownZero(FailureOr<int64_t> zeroPoint) { return succeeded(zeroPoint) && *zeroPoint == 0; }

static bool isElement(Value value, unsigned bits) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && type.getElementType().isInteger(bits);
}

//===----------------------------------------------------------------------===//
// tosa.matmul
//===----------------------------------------------------------------------===//

/// %y = tosa.matmul %a, %b, %azp, %bzp   ->   %y = qlow.matmul (compose %a, 1.0, %azp), (compose %b, 1.0, %bzp)
static LogicalResult importMatmul(RewriterBase &rewriter, tosa::MatMulOp op) {
  auto type = dyn_cast<RankedTensorType>(op.getType());
  bool isInteger = isElement(op.getA(), 8) && isElement(op.getB(), 8) && isElement(op.getOutput(), 32);
  auto isFloat = [](Value value) {
    auto tensor = dyn_cast<RankedTensorType>(value.getType());
    return tensor && isa<Float32Type, Float16Type, BFloat16Type>(tensor.getElementType());
  };
  if (!type || !(isInteger || (isFloat(op.getA()) && isFloat(op.getB()) && isFloat(op.getOutput()))))
    return op.emitError() << "expected i8 x i8 to i32, or f16, bf16 or f32, with ranks known, found "
                          << op.getA().getType() << " x " << op.getB().getType() << " to " << op.getType();
  rewriter.setInsertionPoint(op);
  Location loc = op.getLoc();
  auto compose = [&](Value codes, Value zero, bool isZero) -> Value {
    SmallVector<Value> parts{codes};
    llvm::append_range(parts, byteParts(rewriter, loc, zero, isZero));
    QType element = byteType(rewriter.getContext(), /*isUnsigned=*/false, isZero);
    auto shape = cast<RankedTensorType>(codes.getType()).getShape();
    return ComposeOp::create(rewriter, loc, RankedTensorType::get(shape, element), parts);
  };
  Value a = op.getA(), b = op.getB();
  if (isInteger) {
    a = compose(a, op.getAZp(), isKnownZero(op.getAZeroPoint()));
    b = compose(b, op.getBZp(), isKnownZero(op.getBZeroPoint()));
  }
  rewriter.replaceOpWithNewOp<MatmulOp>(op, type, a, b);
  return success();
}

//===----------------------------------------------------------------------===//
// tosa.rescale
//===----------------------------------------------------------------------===//

/// A multiplier or shift as qlow.requantize takes it: rank 0 where there is one for the tensor.
static Value perTensorOrChannel(OpBuilder &builder, Location loc, Value values, bool perChannel) {
  if (perChannel)
    return values;
  return tensor::CollapseShapeOp::create(builder, loc, values, ArrayRef<ReassociationIndices>{});
}

/// i32(input) - zero, element by element.
static Value widen(OpBuilder &builder, tosa::RescaleOp op, int64_t zero) {
  return createElementwise(builder, op.getLoc(), op.getInput(), builder.getI32Type(),
                           [&](OpBuilder &inner, Location loc, ValueRange arguments) -> Value {
                             Type i32 = inner.getI32Type();
                             Value x = op.getInputUnsigned()
                                           ? arith::ExtUIOp::create(inner, loc, i32, arguments[0]).getResult()
                                           : arith::ExtSIOp::create(inner, loc, i32, arguments[0]).getResult();
                             if (zero == 0)
                               return x;
                             Value z = arith::ConstantOp::create(inner, loc, inner.getI32IntegerAttr(zero));
                             return arith::SubIOp::create(inner, loc, x, z);
                           });
}

/// %y = tosa.rescale %x   ->   %y = codes of (qlow.requantize single %x, %multiplier shift(%shift))
/// Leaves to upstream's lowering what gives no bytes, and 16 bit multipliers.
static void importRescale(RewriterBase &rewriter, tosa::RescaleOp op) {
  FailureOr<int64_t> inputZero = op.getInputZeroPoint();
  bool isSum = isElement(op.getInput(), 32), isNarrow = isElement(op.getInput(), 8) || isElement(op.getInput(), 16);
  auto type = dyn_cast<RankedTensorType>(op.getType());
  bool hasZero = succeeded(inputZero) && (isNarrow || (isSum && *inputZero == 0));
  if (!op.getScale32() || !hasZero || !isElement(op.getOutput(), 8) || type.getRank() == 0)
    return;
  rewriter.setInsertionPoint(op);
  Location loc = op.getLoc();
  Value sum = isSum ? Value(op.getInput()) : widen(rewriter, op, *inputZero);
  // The inexact rounding may be any; one rounding is the cheapest.
  bool isDouble = op.getRoundingMode() == tosa::RoundingMode::DOUBLE_ROUND;
  bool isZero = isKnownZero(op.getOutputZeroPoint());
  QType element = byteType(rewriter.getContext(), op.getOutputUnsigned(), isZero);
  Value codes = RequantizeOp::create(rewriter, loc, RankedTensorType::get(type.getShape(), element),
                                     isDouble ? Rounding::Double : Rounding::Single, sum,
                                     perTensorOrChannel(rewriter, loc, op.getMultiplier(), op.getPerChannel()),
                                     perTensorOrChannel(rewriter, loc, op.getShift(), op.getPerChannel()),
                                     byteParts(rewriter, loc, op.getOutputZp(), isZero));
  rewriter.replaceOp(op, DecomposeOp::create(rewriter, loc, codes).getParts().front());
}

//===----------------------------------------------------------------------===//
// Pass
//===----------------------------------------------------------------------===//

/// Upstream's `tosa-to-linalg-pipeline` without its validation against TOSA's profiles, and what is left to other
/// dialects.
static void buildUpstreamLowering(OpPassManager &manager) {
  OpPassManager &functions = manager.nest<func::FuncOp>();
  functions.addPass(tosa::createTosaOptionalDecompositionsPass());
  functions.addPass(createCanonicalizerPass());
  functions.addPass(tosa::createTosaInferShapesPass());
  functions.addPass(tosa::createTosaMakeBroadcastablePass());
  functions.addPass(tosa::createTosaToLinalgNamed());
  functions.addPass(createCanonicalizerPass());
  functions.addPass(tosa::createTosaLayerwiseConstantFoldPass());
  functions.addPass(tosa::createTosaMakeBroadcastablePass());
  functions.addPass(tosa::createTosaToLinalg());
  functions.addPass(createTosaToTensorPass());
  functions.addPass(createTosaToSCFPass());
  TosaToArithPassOptions arithmetic;
  arithmetic.includeApplyRescale = true;
  functions.addPass(createTosaToArithPass(arithmetic));
}

namespace {
struct ImportTosa : qlow::impl::ImportTosaBase<ImportTosa> {
  using ImportTosaBase::ImportTosaBase;

  void getDependentDialects(DialectRegistry &registry) const override {
    ImportTosaBase::getDependentDialects(registry);
    OpPassManager manager(ModuleOp::getOperationName());
    buildUpstreamLowering(manager);
    manager.getDependentDialects(registry);
  }

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SmallVector<Operation *> ops;
    getOperation().walk([&](Operation *op) {
      if (isa<tosa::TosaDialect>(op->getDialect()))
        ops.push_back(op);
    });
    if (ops.empty())
      return;
    for (Operation *op : ops) {
      if (auto matmul = dyn_cast<tosa::MatMulOp>(op)) {
        if (failed(importMatmul(rewriter, matmul)))
          return signalPassFailure();
        ++numMatmuls;
      } else if (auto rescale = dyn_cast<tosa::RescaleOp>(op)) {
        importRescale(rewriter, rescale);
      }
    }
    OpPassManager manager(ModuleOp::getOperationName());
    buildUpstreamLowering(manager);
    if (failed(runPipeline(manager, getOperation())))
      return signalPassFailure();
    // Shapes that reshapes took stay behind as constants.
    eraseDeadOps(getOperation());
  }
};
} // namespace
