//===- SplitQuantized.cpp - quantized tensors become their parts ------------===//
//
// First every qlow op is rewritten over parts: matmuls take kernel form, conversions become linalg, and quantized
// values are left between qlow.compose and qlow.decompose only. Then a 1:N type conversion dissolves those, through
// functions, calls and structured control flow. Must not decide how anything is computed.
//
//===----------------------------------------------------------------------===//

#include "Conversions.h"
#include "Epilogues.h"
#include "qlow/Targets/Layout.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Func/Transforms/FuncConversions.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/SCF/Transforms/Patterns.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/DialectConversion.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace qlow;

namespace qlow {
#define GEN_PASS_DEF_SPLITQUANTIZED
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

//===----------------------------------------------------------------------===//
// Kernel form
//===----------------------------------------------------------------------===//

static SmallVector<Value> emitOperandParts(OpBuilder &builder, Location loc, Value operand) {
  if (!getQuantizedElement(operand.getType()))
    return {operand};
  return emitParts(builder, loc, operand);
}

/// A #qlow.layout has no wider panels.
static constexpr int64_t kWidestPanel = 1 << 16;

/// The layout in which the recipes of a matmul want its right side in memory, null where tasks pack what they read.
static FailureOr<LayoutAttr> layoutInMemory(MatmulOp op, const Target &target) {
  auto inMemory = [](RecipeAttr recipe) { return recipe.getRhs().front().getTo() == "memory"; };
  ArrayRef<RecipeAttr> recipes = op.getRecipes()->getRecipes();
  LayoutAttr layout;
  for (RecipeAttr recipe : recipes) {
    if (inMemory(recipe) != inMemory(recipes.front()))
      return op.emitOpError() << "has recipes that read the right side from memory and others that pack it themselves: "
                                 "expected one way for all M";
    if (!inMemory(recipe))
      continue;
    const MultiplyRow *row = target.findRow(recipe.getUnit());
    int64_t panelWidth = packedPanelWidth(recipe);
    QType codes = getQuantizedElement(op.getRhs().getType());
    bool isFragments = storesFragments(recipe) && codes && alignedFormat(*codes.getFormat());
    bool fits = storesFragments(recipe) ? isFragments : row && panelWidth % row->n == 0 && panelWidth <= kWidestPanel;
    if (!row || panelWidth == 0 || !fits)
      return op.emitOpError() << "has a recipe that is none of " << target.machine().name << ": " << recipe;
    auto rhs = cast<RankedTensorType>(op.getRhs().getType());
    bool isOpenN = rhs.isDynamicDim(rhs.getRank() - (op.getTransposeRhs() ? 2 : 1));
    LayoutAttr wanted = isFragments ? fragmentLayout(op.getContext(), *codes.getFormat(), row->lhs)
                                    : layoutOf(op.getContext(), *row, panelWidth, isOpenN);
    if (layout && wanted != layout)
      return op.emitOpError() << "has recipes that store the right side in " << layout << " and in " << wanted
                              << ": expected one layout for all M";
    layout = wanted;
  }
  auto rhs = cast<RankedTensorType>(op.getRhs().getType());
  if (layout && rhs.hasStaticShape() && !packedBytes(layout, rhs.getShape(), op.getTransposeRhs()))
    return op.emitOpError() << "has a right side that takes more than 2^63 - 1 bytes packed in " << layout
                            << ": expected fewer elements than those of " << rhs;
  return layout;
}

/// The right side as its kernel reads it: packed bytes in place of its codes.
static void packRhs(IRRewriter &rewriter, MatmulOp op, LayoutAttr layout, SmallVector<Value> &rhs) {
  Location loc = op.getLoc();
  OpFoldResult bytes =
      emitPackedBytes(rewriter, loc, layout, emitSizes(rewriter, loc, op.getRhs()), op.getTransposeRhs());
  Value out = tensor::EmptyOp::create(rewriter, loc, ArrayRef<OpFoldResult>{bytes}, rewriter.getI8Type());
  // All but f32 are made of codes; scales and zero points are the kernel's business.
  ValueRange source = layout.getElement().isF32() ? ValueRange(rhs) : ValueRange(rhs).take_front();
  auto pack = PackOp::create(rewriter, loc, out.getType(), source, out, /*width=*/Value(), op.getRhs().getType(),
                             op.getTransposeRhs(), layout);
  rhs.front() = pack.getResult(0);
}

/// What the recipes of a matmul want its left side unpacked to in memory, null where it is read as it lies.
static FailureOr<Type> unpackedLeft(MatmulOp op, const Target &target) {
  SmallVector<RecipeAttr> recipes(op.getRecipes()->getRecipes());
  if (RecipesAttr others = op.getPortableRecipesAttr())
    llvm::append_range(recipes, others.getRecipes());
  bool unpacks = unpacksLeft(recipes.front());
  for (RecipeAttr recipe : recipes)
    if (unpacksLeft(recipe) != unpacks)
      return op.emitOpError() << "has recipes that unpack the left side in memory and others that read it as it lies: "
                              << "expected one way for all M";
  if (!unpacks)
    return Type();
  for (RecipeAttr recipe : recipes)
    if (recipe.getLhs().size() == 1)
      return op.emitOpError()
             << "has a recipe that unpacks the left side in memory, and does not say how it comes from "
             << "there: expected a hop behind it, found " << recipe;
  Type element = target.family().runsOnDevice() ? unpackedElement(op) : Type();
  if (!element)
    return op.emitOpError()
           << "has a recipe that unpacks the left side in memory, which needs a device, and codes that "
           << "become i8 beside integers, or bf16 in a sum of floats, or f32 beside codes, found "
           << op.getLhs().getType() << " on " << target.machine().name << " and " << recipes.front();
  return element;
}

/// Recipes of what reads the unpacked left side, of so many rows for each of it.
static RecipesAttr behindUnpacking(RecipesAttr recipes, int64_t rows) {
  auto behind = llvm::map_to_vector(recipes.getRecipes(), [](RecipeAttr it) {
    return RecipeAttr::get(it.getContext(), it.getUnit(), it.getTiles(), it.getLhs().drop_front(), it.getRhs(),
                           it.getRescale(), it.getSwap(), it.getSplitK());
  });
  auto bounds = llvm::map_to_vector(recipes.getBounds(), [&](int64_t bound) { return rows * bound; });
  return RecipesAttr::get(recipes.getContext(), bounds, behind);
}

/// %y = qlow.matmul %a, %b epilogue R : quantized
///   ->  %c = qlow.matmul_kernel lhs(parts of a) rhs(parts of b) outs(empty) epilogue R;  %y = compose %c, parts of y
static LogicalResult lowerMatmul(IRRewriter &rewriter, MatmulOp op, const Target &target) {
  if (!op.hasEpilogue())
    op = formEpilogue(rewriter, op);
  if (!op.getRecipes())
    return op.emitOpError() << "has no recipe: run qlow-select-recipes before qlow-split-quantized";
  rewriter.setInsertionPoint(op);
  Location loc = op.getLoc();
  SmallVector<Value> lhs = emitOperandParts(rewriter, loc, op.getLhs());
  SmallVector<Value> rhs = emitOperandParts(rewriter, loc, op.getRhs());
  FailureOr<LayoutAttr> layout = layoutInMemory(op, target);
  if (failed(layout))
    return failure();
  if (*layout)
    packRhs(rewriter, op, *layout, rhs);
  FailureOr<Type> unpacked = unpackedLeft(op, target);
  if (failed(unpacked))
    return failure();
  RecipesAttr recipes = *op.getRecipes(), portableRecipes = op.getPortableRecipesAttr();
  auto lhsType = cast<RankedTensorType>(op.getLhs().getType());
  bool areTerms = *unpacked && !getQuantizedElement(lhsType);
  if (*unpacked) {
    recipes = behindUnpacking(recipes, areTerms ? kTermsOfF32 : 1);
    if (portableRecipes)
      portableRecipes = behindUnpacking(portableRecipes, areTerms ? kTermsOfF32 : 1);
  }
  if (areTerms) {
    lhs.front() = emitTerms(rewriter, loc, op.getLhs());
    lhsType = cast<RankedTensorType>(lhs.front().getType());
  } else if (*unpacked) {
    // Scales along K meet numbers, or their codes do. Others, and the one of such codes, are left to sums.
    bool meetsScales = codesUnderOneScale(getQuantizedElement(lhsType), /*alongLast=*/!op.getTransposeLhs()) != 0;
    lhs.front() = emitUnpacked(rewriter, loc, op.getLhs(), *unpacked, meetsScales);
    if (!isa<QType>(*unpacked)) {
      lhs.truncate(1);
      op = scaleSum(rewriter, op, meetsScales);
    }
    lhsType = lhsType.clone(*unpacked);
  }
  auto type = cast<RankedTensorType>(op.getType());
  bool isQuantized = isa<QType>(type.getElementType());
  Type element = isQuantized ? rewriter.getI8Type() : type.getElementType();
  SmallVector<OpFoldResult> sizes = emitMatmulSizes(rewriter, op);
  ValueRange extras = op.getExtras();
  ArrayAttr maps = op.getExtraMaps().value_or(rewriter.getArrayAttr({}));
  if (areTerms) { // the epilogue is for sums of sums
    sizes[sizes.size() - 2] = emitSizes(rewriter, loc, lhs.front())[sizes.size() - 2];
    element = rewriter.getF32Type();
    extras = {};
    maps = rewriter.getArrayAttr({});
  }
  Value out = tensor::EmptyOp::create(rewriter, loc, sizes, element);
  auto kernel = MatmulKernelOp::create(rewriter, loc, out.getType(), lhs, rhs, extras, out, /*scratch=*/Value(),
                                       lhsType, op.getRhs().getType(), /*out_type=*/TypeAttr(), op.getTransposeLhs(),
                                       op.getTransposeRhs(), *layout, maps, recipes, portableRecipes);
  kernel->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  Value result = kernel.getResult(0);
  if (areTerms) {
    OpBuilder::InsertionGuard guard(rewriter);
    Block *body = rewriter.createBlock(&kernel.getEpilogue(), {}, element, loc);
    YieldOp::create(rewriter, loc, body->getArgument(0));
    rewriter.setInsertionPoint(op);
    result = emitSumOfTerms(rewriter, loc, op, result);
  } else {
    kernel.getEpilogue().takeBody(op.getEpilogue());
  }
  if (isQuantized) {
    SmallVector<Value> parts = {result};
    llvm::append_range(parts, op.getParts());
    result = ComposeOp::create(rewriter, loc, type, parts);
  } else if (result.getType() != type) {
    result = tensor::CastOp::create(rewriter, loc, type, result);
  }
  rewriter.replaceOp(op, result);
  return success();
}

/// %x = qlow.matmul_kernel ... outs(%e) epilogue R;  %q = qlow.quantize_dynamic %x
///   ->  %c, %s = qlow.matmul_kernel ... outs(%ce, %se) as type of q epilogue R;  %q = compose %c, %s
/// where nothing else reads the floats and all ways to compute them can measure them.
static bool measureInKernel(IRRewriter &rewriter, QuantizeDynamicOp op, const Target &target) {
  // A kernel may know more sizes than its result's type says.
  auto cast = op.getInput().getDefiningOp<tensor::CastOp>();
  auto kernel = (cast && cast->hasOneUse() ? cast.getSource() : op.getInput()).getDefiningOp<MatmulKernelOp>();
  auto type = llvm::cast<RankedTensorType>(op.getType());
  if (!kernel || !kernel->hasOneUse() || !target.family().measuresResult(kernel.getRecipes(), type))
    return false;
  RecipesAttr portable = kernel.getPortableRecipesAttr();
  if (portable && !target.family().measuresResult(portable, type))
    return false;
  rewriter.setInsertionPoint(kernel);
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(rewriter, op.getLoc(), kernel.getOut());
  for (auto [size, known] : llvm::zip_equal(sizes, type.getShape()))
    if (!ShapedType::isDynamic(known))
      size = rewriter.getIndexAttr(known);
  QType quantized = getQuantizedElement(type);
  SmallVector<Value> outs{tensor::EmptyOp::create(rewriter, op.getLoc(), sizes, rewriter.getI8Type())};
  // Blocks are of one row.
  int64_t block = quantized.getBlock().back();
  sizes.back() = block == QType::kWhole ? OpFoldResult(rewriter.getIndexAttr(1))
                                        : emitCeilDiv(rewriter, op.getLoc(), sizes.back(), block);
  for (Type part : llvm::drop_begin(quantized.getParts(type.getShape())))
    outs.push_back(
        tensor::EmptyOp::create(rewriter, op.getLoc(), sizes, llvm::cast<RankedTensorType>(part).getElementType()));
  auto measuring = MatmulKernelOp::create(rewriter, kernel.getLoc(), TypeRange(ValueRange(outs)), kernel.getLhs(),
                                          kernel.getRhs(), kernel.getExtras(), outs, kernel.getScratch(),
                                          kernel.getLhsType(), kernel.getRhsType(), TypeAttr::get(type),
                                          kernel.getTransposeLhs(), kernel.getTransposeRhs(), kernel.getPackedRhsAttr(),
                                          kernel.getExtraMaps(), kernel.getRecipes(), kernel.getPortableRecipesAttr());
  measuring->setDiscardableAttrs(kernel->getDiscardableAttrDictionary());
  measuring.getEpilogue().takeBody(kernel.getEpilogue());
  rewriter.setInsertionPoint(op);
  rewriter.replaceOpWithNewOp<ComposeOp>(op, type, measuring.getResults());
  if (cast)
    rewriter.eraseOp(cast);
  rewriter.eraseOp(kernel);
  return true;
}

/// Sizes asked of a quantized tensor are sizes of its codes.
static void lowerDim(IRRewriter &rewriter, tensor::DimOp op) {
  std::optional<int64_t> dim = op.getConstantIndex();
  if (!getQuantizedElement(op.getSource().getType()) || !dim)
    return;
  rewriter.setInsertionPoint(op);
  OpFoldResult size = emitSizes(rewriter, op.getLoc(), op.getSource())[*dim];
  rewriter.replaceOp(op, getValueOrCreateConstantIndexOp(rewriter, op.getLoc(), size));
}

static LogicalResult lowerOp(IRRewriter &rewriter, Operation *op, const Target &target) {
  // A processor's vectors divide as fast as they multiply and add but for what integers take; a device's threads do
  // not.
  ByInverse byInverse = !target.family().hasNative(FloatUnit::Fma, target.machine()) ? ByInverse::Nothing
                        : target.family().runsOnDevice()                             ? ByInverse::All
                                                                                     : ByInverse::Integers;
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](MatmulOp matmul) { return lowerMatmul(rewriter, matmul, target); })
      .Case([&](QuantizeOp quantize) { return lowerQuantize(rewriter, quantize, byInverse), success(); })
      .Case([&](QuantizeDynamicOp quantize) { return lowerQuantizeDynamic(rewriter, quantize, byInverse), success(); })
      .Case([&](DequantizeOp dequantize) { return lowerDequantize(rewriter, dequantize), success(); })
      .Case([&](RequantizeOp requantize) { return lowerRequantize(rewriter, requantize), success(); })
      .Case([&](tensor::DimOp dim) { return lowerDim(rewriter, dim), success(); })
      .Default([](Operation *) { return success(); });
}

//===----------------------------------------------------------------------===//
// 1:N conversion
//===----------------------------------------------------------------------===//

/// Static sizes can differ from what the types of the parts say (C1 lets them): the target types decide.
static SmallVector<Value> castParts(OpBuilder &builder, Location loc, TypeRange types, ValueRange parts) {
  SmallVector<Value> result;
  for (auto [type, part] : llvm::zip_equal(types, parts))
    result.push_back(part.getType() == type ? part : tensor::CastOp::create(builder, loc, type, part).getResult());
  return result;
}

namespace {
struct DissolveCompose : OpConversionPattern<ComposeOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(ComposeOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    SmallVector<Value> parts;
    for (ValueRange part : adaptor.getParts())
      llvm::append_range(parts, part);
    SmallVector<Type> types;
    if (failed(getTypeConverter()->convertType(op.getType(), types)) || types.size() != parts.size())
      return rewriter.notifyMatchFailure(op, "expected as many parts as the type has");
    SmallVector<SmallVector<Value>> replacement = {castParts(rewriter, op.getLoc(), types, parts)};
    rewriter.replaceOpWithMultiple(op, std::move(replacement));
    return success();
  }
};

struct DissolveDecompose : OpConversionPattern<DecomposeOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(DecomposeOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    if (adaptor.getInput().size() != op.getNumResults())
      return rewriter.notifyMatchFailure(op, "expected as many results as the input has parts");
    rewriter.replaceOp(op, castParts(rewriter, op.getLoc(), op.getResultTypes(), adaptor.getInput()));
    return success();
  }
};

struct SplitSelect : OpConversionPattern<arith::SelectOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(arith::SelectOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    if (!getQuantizedElement(op.getType()))
      return rewriter.notifyMatchFailure(op, "expected quantized tensors");
    Value condition = adaptor.getCondition().front();
    SmallVector<SmallVector<Value>> parts(1);
    for (auto [yes, no] : llvm::zip_equal(adaptor.getTrueValue(), adaptor.getFalseValue()))
      parts[0].push_back(arith::SelectOp::create(rewriter, op.getLoc(), condition, yes, no));
    rewriter.replaceOpWithMultiple(op, std::move(parts));
    return success();
  }
};

struct SplitQuantized : qlow::impl::SplitQuantizedBase<SplitQuantized> {
  using SplitQuantizedBase::SplitQuantizedBase;
  void runOnOperation() override {
    FailureOr<std::shared_ptr<const Target>> found = findTarget(getOperation(), target);
    if (failed(found))
      return signalPassFailure();
    if (failed(rewriteOverParts(**found)) || failed(convertTypes()))
      signalPassFailure();
  }

private:
  LogicalResult rewriteOverParts(const Target &machine);
  LogicalResult convertTypes();
};
} // namespace

LogicalResult SplitQuantized::rewriteOverParts(const Target &machine) {
  SmallVector<Operation *> ops;
  getOperation().walk([&](Operation *op) { ops.push_back(op); });
  IRRewriter rewriter(&getContext());
  for (Operation *op : ops) {
    if (auto quantize = dyn_cast<QuantizeDynamicOp>(op); quantize && measureInKernel(rewriter, quantize, machine))
      continue;
    numKernels += isa<MatmulOp>(op);
    numConversions += isa<QuantizeOp, QuantizeDynamicOp, DequantizeOp, RequantizeOp>(op);
    if (failed(lowerOp(rewriter, op, machine)))
      return failure();
  }
  getOperation().walk([&](PackOp) { ++numPacks; });
  return success();
}

static void setUpConverter(TypeConverter &converter) {
  converter.addConversion([](Type type) { return type; });
  converter.addConversion([](RankedTensorType type, SmallVectorImpl<Type> &parts) -> std::optional<LogicalResult> {
    auto quantized = dyn_cast<QType>(type.getElementType());
    if (!quantized)
      return std::nullopt;
    llvm::append_range(parts, quantized.getParts(type.getShape()));
    return success();
  });
  converter.addSourceMaterialization(
      [](OpBuilder &builder, RankedTensorType type, ValueRange parts, Location loc) -> Value {
        return ComposeOp::create(builder, loc, type, parts);
      });
  converter.addTargetMaterialization(
      [](OpBuilder &builder, TypeRange types, ValueRange whole, Location loc) -> SmallVector<Value> {
        auto op = DecomposeOp::create(builder, loc, types, whole.front());
        return op.getParts();
      });
}

LogicalResult SplitQuantized::convertTypes() {
  TypeConverter converter;
  setUpConverter(converter);
  RewritePatternSet patterns(&getContext());
  ConversionTarget target(getContext());
  populateFunctionOpInterfaceTypeConversionPattern<func::FuncOp>(patterns, converter);
  populateCallOpTypeConversionPattern(patterns, converter);
  populateReturnOpTypeConversionPattern(patterns, converter);
  scf::populateSCFStructuralTypeConversions(converter, patterns);
  patterns.add<DissolveCompose, DissolveDecompose, SplitSelect>(converter, &getContext());
  target.addIllegalOp<ComposeOp, DecomposeOp>();
  target.addDynamicallyLegalOp<func::FuncOp>([&](func::FuncOp function) {
    return converter.isSignatureLegal(function.getFunctionType()) && converter.isLegal(&function.getBody());
  });
  target.markUnknownOpDynamicallyLegal([&](Operation *op) { return converter.isLegal(op); });
  return applyFullConversion(getOperation(), target, std::move(patterns));
}
