//===- ImportQuant.cpp - QDQ to integer ops ---------------------------------===//
//
// In: quant.qcast, dcast and scast around float ops. Out: qlow ops, no op and no type of the quant dialect. It runs
// before anything that folds, since upstream folds dcast(qcast(x)) to x, and it folds nothing itself.
//
// Types are changed in place: every quantized tensor becomes one of !qlow.q, at function boundaries one of its codes.
//
//===----------------------------------------------------------------------===//

#include "Contraction.h"
#include "QuantizedProduct.h"
#include "qlow/Import/Import.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Quant/IR/Quant.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tosa/IR/TosaOps.h"

namespace qlow {
#define GEN_PASS_DEF_IMPORTQUANT
#include "qlow/Import/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace qlow;

static bool isQuantType(Type type) { return isa<quant::QuantizedType>(getElementTypeOrSelf(type)); }

static bool isQuantOp(Operation *op) {
  return isa<quant::QuantizeCastOp, quant::DequantizeCastOp, quant::StorageCastOp>(op);
}

//===----------------------------------------------------------------------===//
// Function boundaries
//===----------------------------------------------------------------------===//

/// The type that stands for `type` in a signature: its storage; null after an error.
static Type boundaryType(Operation *op, Type type) {
  if (!isQuantType(type))
    return type;
  auto tensor = dyn_cast<RankedTensorType>(type);
  auto storage = dyn_cast<IntegerType>(cast<quant::QuantizedType>(getElementTypeOrSelf(type)).getStorageType());
  bool isByte = storage && storage.getWidth() == 8, isSum = storage && storage.getWidth() == 32;
  if (tensor && tensor.getRank() > 0 && (isByte || isSum))
    return RankedTensorType::get(tensor.getShape(), storage);
  op->emitError() << "expected tensors of 8 bits or i32 at the boundary of a function, found " << type
                  << "; pass packed codes as a tensor of !qlow.q instead";
  return {};
}

static LogicalResult boundaryTypes(Operation *op, TypeRange types, SmallVectorImpl<Type> &result) {
  for (Type type : types) {
    result.push_back(boundaryType(op, type));
    if (!result.back())
      return failure();
  }
  return success();
}

static LogicalResult importSignature(RewriterBase &rewriter, func::FuncOp function) {
  SmallVector<Type> inputs, results;
  FunctionType type = function.getFunctionType();
  if (failed(boundaryTypes(function, type.getInputs(), inputs)) ||
      failed(boundaryTypes(function, type.getResults(), results)))
    return failure();
  function.setFunctionType(FunctionType::get(function.getContext(), inputs, results));
  if (function.isExternal())
    return success();
  rewriter.setInsertionPointToStart(&function.front());
  for (BlockArgument argument : function.getArguments()) {
    Type quantized = argument.getType();
    if (!isQuantType(quantized))
      continue;
    argument.setType(inputs[argument.getArgNumber()]);
    Value cast = quant::StorageCastOp::create(rewriter, argument.getLoc(), quantized, argument);
    rewriter.replaceAllUsesExcept(argument, cast, cast.getDefiningOp());
  }
  return success();
}

/// Casts at func.return and func.call, whose functions take and give storage.
static LogicalResult importTransfer(RewriterBase &rewriter, Operation *op) {
  rewriter.setInsertionPoint(op);
  for (OpOperand &operand : op->getOpOperands()) {
    Type type = boundaryType(op, operand.get().getType());
    if (!type)
      return failure();
    if (type != operand.get().getType())
      operand.set(quant::StorageCastOp::create(rewriter, op->getLoc(), type, operand.get()));
  }
  rewriter.setInsertionPointAfter(op);
  for (OpResult result : op->getResults()) {
    Type quantized = result.getType(), type = boundaryType(op, quantized);
    if (!type)
      return failure();
    if (type == quantized)
      continue;
    result.setType(type);
    Value cast = quant::StorageCastOp::create(rewriter, op->getLoc(), quantized, result);
    rewriter.replaceAllUsesExcept(result, cast, cast.getDefiningOp());
  }
  return success();
}

static LogicalResult importBoundaries(RewriterBase &rewriter, ModuleOp module) {
  SmallVector<Operation *> ops;
  module.walk([&](Operation *op) {
    if (isa<func::FuncOp, func::ReturnOp, func::CallOp>(op))
      ops.push_back(op);
  });
  for (Operation *op : ops) {
    auto function = dyn_cast<func::FuncOp>(op);
    if (failed(function ? importSignature(rewriter, function) : importTransfer(rewriter, op)))
      return failure();
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

namespace {
/// Every quantized type of a module, read once, and the values that have one.
struct Types {
  llvm::MapVector<Type, std::unique_ptr<Uniform>> known;
  SmallVector<std::pair<Value, const Uniform *>> ordered;
  UniformMap values;

  LogicalResult add(Operation *op, Value value) {
    if (!isQuantType(value.getType()))
      return success();
    std::unique_ptr<Uniform> &uniform = known[value.getType()];
    if (!uniform) {
      FailureOr<Uniform> read = readUniform([&] { return op->emitError(); }, value.getType());
      if (failed(read))
        return failure();
      uniform = std::make_unique<Uniform>(*read);
    }
    values[value] = uniform.get();
    ordered.emplace_back(value, uniform.get());
    return success();
  }
};
} // namespace

/// Quantized values pass through quant ops, structured control flow and branches, and nothing else.
static LogicalResult checkUse(Operation *op) {
  bool isQuantized =
      llvm::any_of(op->getOperandTypes(), isQuantType) || llvm::any_of(op->getResultTypes(), isQuantType);
  if (!isQuantized || isQuantOp(op) || isa<arith::SelectOp>(op) ||
      isa<scf::SCFDialect, cf::ControlFlowDialect>(op->getDialect()))
    return success();
  return op->emitError() << "'" << op->getName() << "' does not take quantized tensors; compute on the floats after "
                         << "quant.dcast, or on the storage before quant.scast";
}

static LogicalResult collectTypes(ModuleOp module, Types &types) {
  WalkResult walk = module.walk([&](Operation *op) -> WalkResult {
    if (failed(checkUse(op)))
      return WalkResult::interrupt();
    for (Value result : op->getResults())
      if (failed(types.add(op, result)))
        return WalkResult::interrupt();
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (Value argument : block.getArguments())
          if (failed(types.add(op, argument)))
            return WalkResult::interrupt();
    return WalkResult::advance();
  });
  return failure(walk.wasInterrupted());
}

//===----------------------------------------------------------------------===//
// Casts that belong to no matmul
//===----------------------------------------------------------------------===//

/// The float whose code is `bound`, or nothing where it has none.
static std::optional<float> boundOf(const Uniform &uniform, size_t channel, int64_t bound) {
  float value = static_cast<float>(bound - uniform.zeros[channel]) * uniform.scales[channel];
  int64_t code = uniform.quantize(value, channel, uniform.formatMin(), uniform.formatMax());
  return code == bound ? std::optional<float>(value) : std::nullopt;
}

/// Clamps floats so that their codes stay within the narrow bounds of the storage. NaN goes to the lower one.
static FailureOr<Value> clampToStorage(RewriterBase &rewriter, quant::QuantizeCastOp cast, const Uniform &uniform) {
  SmallVector<float> lo, hi;
  for (size_t channel = 0; channel < uniform.scales.size(); ++channel) {
    std::optional<float> least = boundOf(uniform, channel, uniform.min), most = boundOf(uniform, channel, uniform.max);
    if (!least || !most)
      return cast.emitError() << "expected a scale that takes the storage bounds to f32 and back, found "
                              << uniform.scales[channel];
    lo.push_back(*least);
    hi.push_back(*most);
  }
  std::optional<unsigned> axis = uniform.getAxis();
  if (lo.size() > 1 && !axis)
    return cast.emitError() << "expected narrow storage bounds with one scale, or one for each index of a dimension; "
                               "use the full range of the storage for blocks";
  int64_t rank = uniform.type.getRank();
  SmallVector<Value> inputs{cast.getInput()};
  SmallVector<AffineMap> maps{rewriter.getMultiDimIdentityMap(rank)};
  if (lo.size() > 1) {
    for (ArrayRef<float> bounds : {lo, hi})
      inputs.push_back(createConstant(rewriter, cast.getLoc(), bounds, {int64_t(bounds.size())}));
    maps.append(2, AffineMap::get(rank, 0, rewriter.getAffineDimExpr(*axis)));
  }
  auto body = [&](OpBuilder &inner, Location loc, ValueRange arguments) -> Value {
    Type f32 = inner.getF32Type();
    Value x = arguments[0];
    if (x.getType() != f32)
      x = arith::ExtFOp::create(inner, loc, f32, x);
    auto bound = [&](float value, unsigned argument) -> Value {
      return lo.size() > 1 ? arguments[argument]
                           : arith::ConstantOp::create(inner, loc, inner.getF32FloatAttr(value)).getResult();
    };
    x = arith::MaxNumFOp::create(inner, loc, x, bound(lo[0], 1));
    return arith::MinNumFOp::create(inner, loc, x, bound(hi[0], 2));
  };
  return createElementwise(rewriter, cast.getLoc(), inputs, rewriter.getF32Type(), body, maps);
}

static LogicalResult importQuantize(RewriterBase &rewriter, quant::QuantizeCastOp cast, const Uniform &uniform) {
  if (uniform.isAccumulator())
    return cast.emitError() << "quantizes to i32, which only a constant bias may be; use i8, u8 or i16";
  Value input = cast.getInput();
  if (uniform.isNarrow()) {
    FailureOr<Value> clamped = clampToStorage(rewriter, cast, uniform);
    if (failed(clamped))
      return failure();
    input = *clamped;
  }
  rewriter.replaceOpWithNewOp<QuantizeOp>(cast, uniform.type, input, createParts(rewriter, cast.getLoc(), uniform));
  return success();
}

/// x = f32(sum) * scale
static void importAccumulator(RewriterBase &rewriter, quant::DequantizeCastOp cast, const Uniform &uniform) {
  Location loc = cast.getLoc();
  Type element = getElementTypeOrSelf(cast.getType());
  unsigned rank = uniform.type.getRank();
  SmallVector<Value> inputs{cast.getInput()};
  SmallVector<AffineMap> maps{rewriter.getMultiDimIdentityMap(rank)};
  if (std::optional<unsigned> axis = uniform.getAxis()) {
    inputs.push_back(createConstant(rewriter, loc, uniform.scales, {int64_t(uniform.scales.size())}));
    maps.push_back(AffineMap::get(rank, 0, rewriter.getAffineDimExpr(*axis)));
  }
  auto body = [&](OpBuilder &inner, Location loc, ValueRange arguments) -> Value {
    Type f32 = inner.getF32Type();
    Value scale = arguments.size() > 1
                      ? arguments[1]
                      : arith::ConstantOp::create(inner, loc, inner.getF32FloatAttr(uniform.scales[0])).getResult();
    Value x = arith::SIToFPOp::create(inner, loc, f32, arguments[0]);
    x = arith::MulFOp::create(inner, loc, x, scale);
    return element == f32 ? x : arith::TruncFOp::create(inner, loc, element, x).getResult();
  };
  rewriter.replaceOp(cast, createElementwise(rewriter, loc, inputs, element, body, maps));
}

/// `in` or `out` is the quantized side.
static LogicalResult importStorage(RewriterBase &rewriter, quant::StorageCastOp cast, const Uniform *in,
                                   const Uniform *out) {
  Location loc = cast.getLoc();
  if ((in ? in : out)->isAccumulator()) {
    rewriter.replaceOp(cast, cast.getInput());
    return success();
  }
  if (out) {
    SmallVector<Value> parts{createCodes(rewriter, loc, cast.getInput(), *out)};
    if (!parts[0])
      return cast.emitError() << "takes codes of " << StringRef(out->format->name)
                              << " at run time, one in each element; expected a dense constant, or packed codes as a "
                                 "tensor of !qlow.q";
    llvm::append_range(parts, createParts(rewriter, loc, *out));
    rewriter.replaceOpWithNewOp<ComposeOp>(cast, out->type, parts);
    return success();
  }
  if (in->format->bits != 8)
    return cast.emitError() << "gives codes of " << StringRef(in->format->name)
                            << ", one in each element; expected codes of 8 bits, or a tensor of !qlow.q as result";
  rewriter.replaceOp(cast, DecomposeOp::create(rewriter, loc, cast.getInput()).getParts().front());
  return success();
}

namespace {
/// A quant op and the quantized types it had.
struct Cast {
  Operation *op;
  const Uniform *in, *out;
};
} // namespace

static LogicalResult importCast(RewriterBase &rewriter, const Cast &cast) {
  rewriter.setInsertionPoint(cast.op);
  if (auto quantize = dyn_cast<quant::QuantizeCastOp>(cast.op))
    return importQuantize(rewriter, quantize, *cast.out);
  if (auto storage = dyn_cast<quant::StorageCastOp>(cast.op))
    return importStorage(rewriter, storage, cast.in, cast.out);
  auto dequantize = llvm::cast<quant::DequantizeCastOp>(cast.op);
  if (cast.in->isAccumulator())
    importAccumulator(rewriter, dequantize, *cast.in);
  else
    rewriter.replaceOpWithNewOp<DequantizeOp>(dequantize, dequantize.getType(), dequantize.getInput());
  return success();
}

//===----------------------------------------------------------------------===//
// Pass
//===----------------------------------------------------------------------===//

namespace {
struct ImportQuant : qlow::impl::ImportQuantBase<ImportQuant> {
  using ImportQuantBase::ImportQuantBase;

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    Types types;
    if (failed(importBoundaries(rewriter, getOperation())) || failed(collectTypes(getOperation(), types)) ||
        failed(rewrite(rewriter, types)))
      return signalPassFailure();
    eraseDeadOps(getOperation());
  }

  LogicalResult rewrite(RewriterBase &rewriter, Types &types) {
    for (auto [value, uniform] : types.ordered)
      value.setType(uniform->type);
    SmallVector<Operation *> products;
    getOperation().walk([&](Operation *op) {
      if (isa<linalg::LinalgOp, tosa::MatMulOp>(op))
        products.push_back(op);
    });
    for (Operation *op : products) {
      FailureOr<bool> imported = importQuantizedProduct(rewriter, op, types.values);
      if (failed(imported))
        return failure();
      numProducts += *imported;
    }
    // Collected before any of them goes: the map's keys die with the ops.
    SmallVector<Cast> casts;
    getOperation().walk([&](Operation *op) {
      if (isQuantOp(op))
        casts.push_back({op, types.values.lookup(op->getOperand(0)), types.values.lookup(op->getResult(0))});
    });
    for (const Cast &cast : casts)
      if (failed(importCast(rewriter, cast)))
        return failure();
    return success();
  }
};
} // namespace
