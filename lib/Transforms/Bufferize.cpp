//===- Bufferize.cpp - tensors become buffers -----------------------------===//
//
// In: tensors without quantized types, private functions inlined. Out: memrefs in row-major order at function
// boundaries and on every kernel. Upstream's one-shot bufferization decides what is updated in place; this pass says
// what it may not write to (inputs of the caller, weights) and how copies are made. Must not leave a copy that needs a
// library.
//
//===----------------------------------------------------------------------===//

#include "Copies.h"
#include "States.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/Transforms/FuncBufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotModuleBufferize.h"
#include "mlir/Dialect/ControlFlow/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Linalg/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/SCF/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/UB/IR/UBOps.h"

namespace qlow {
#define GEN_PASS_DEF_BUFFERIZE
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

using namespace mlir;
using namespace mlir::bufferization;
using namespace qlow;

static MemRefType plainType(Type tensor) {
  auto shaped = cast<ShapedType>(tensor);
  return MemRefType::get(shaped.getShape(), shaped.getElementType());
}

static LogicalResult copyBuffer(OpBuilder &builder, Location loc, Value from, Value to) {
  emitCopy(builder, loc, from, to);
  return success();
}

/// Whether one size of the source becomes several that are dynamic.
static bool splitsDynamically(memref::ExpandShapeOp expand) {
  return llvm::any_of(expand.getReassociationIndices(), [&](const ReassociationIndices &group) {
    return llvm::count_if(group, [&](int64_t dim) { return expand.getResultType().isDynamicDim(dim); }) > 1;
  });
}

/// Upstream lowers memref.expand_shape with one dynamic size a group. A view by sizes and strides takes any:
///
///   expand_shape %x [[0, 1], [2]] output_shape [%a, %b, 8]
///     => reinterpret_cast %x to offset: [0], sizes: [%a, %b, 8], strides: [%b * 8, 8, 1]
static void spellStrides(RewriterBase &rewriter, memref::ExpandShapeOp expand) {
  rewriter.setInsertionPoint(expand);
  Location loc = expand.getLoc();
  auto source = memref::ExtractStridedMetadataOp::create(rewriter, loc, expand.getSrc());
  SmallVector<OpFoldResult> outer = source.getConstifiedMixedStrides(), sizes = expand.getMixedOutputShape();
  auto [known, _] = expand.getResultType().getStridesAndOffset();
  SmallVector<OpFoldResult> strides(sizes.size());
  for (auto [i, group] : llvm::enumerate(expand.getReassociationIndices())) {
    Value stride = getValueOrCreateConstantIndexOp(rewriter, loc, outer[i]);
    for (int64_t dim : llvm::reverse(group)) {
      bool isStatic = !ShapedType::isDynamic(known[dim]);
      strides[dim] = isStatic ? OpFoldResult(rewriter.getIndexAttr(known[dim])) : OpFoldResult(stride);
      Value size = getValueOrCreateConstantIndexOp(rewriter, loc, sizes[dim]);
      stride = rewriter.createOrFold<arith::MulIOp>(loc, stride, size);
    }
  }
  rewriter.replaceOpWithNewOp<memref::ReinterpretCastOp>(expand, expand.getResultType(), expand.getSrc(),
                                                         source.getConstifiedMixedOffset(), sizes, strides);
}

namespace {
/// Kernel forms read all operands but their outputs, and overwrite those.
template <typename OpTy> struct KernelModel : DstBufferizableOpInterfaceExternalModel<KernelModel<OpTy>, OpTy> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand, const AnalysisState &) const {
    return !cast<OpTy>(op).isDpsInit(&operand);
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter, const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto kernel = cast<OpTy>(op);
    SmallVector<Value> operands, targets;
    SmallVector<std::pair<Value, Value>> copies;
    for (OpOperand &operand : op->getOpOperands()) {
      Value value = operand.get();
      if (isa<TensorType>(value.getType())) {
        FailureOr<Value> buffer = getBuffer(rewriter, value, options, state);
        if (failed(buffer))
          return failure();
        value = *buffer;
        bool isOut = kernel.isDpsInit(&operand);
        FailureOr<Value> plain = makePlain(rewriter, op->getLoc(), value, !isOut, options);
        if (failed(plain))
          return failure();
        if (isOut)
          targets.push_back(value);
        if (isOut && *plain != value)
          copies.push_back({*plain, value});
        value = *plain;
      }
      operands.push_back(value);
    }
    OperationState newState(op->getLoc(), op->getName());
    newState.addOperands(operands);
    newState.addAttributes(op->getAttrDictionary().getValue());
    for (Region &region : op->getRegions())
      newState.addRegion()->takeBody(region);
    rewriter.create(newState);
    for (auto [plain, target] : copies)
      if (failed(options.createMemCpy(rewriter, op->getLoc(), plain, target)))
        return failure();
    replaceOpWithBufferizedValues(rewriter, op, targets);
    return success();
  }

  /// Schedules address row-major buffers only: a slice goes through a buffer of its own.
  FailureOr<Value> makePlain(RewriterBase &rewriter, Location loc, Value buffer, bool copy,
                             const BufferizationOptions &options) const {
    auto type = cast<MemRefType>(buffer.getType());
    if (type.getLayout().isIdentity())
      return buffer;
    SmallVector<Value> sizes;
    for (int64_t i = 0; i < type.getRank(); ++i)
      if (type.isDynamicDim(i))
        sizes.push_back(memref::DimOp::create(rewriter, loc, buffer, i));
    FailureOr<Value> plain = options.createAlloc(rewriter, loc, plainType(type), sizes);
    if (succeeded(plain) && copy && failed(options.createMemCpy(rewriter, loc, buffer, *plain)))
      return failure();
    return plain;
  }
};

/// Constant bytes of the object.
struct WeightModel : BufferizableOpInterface::ExternalModel<WeightModel, GetWeightOp> {
  bool isWritable(Operation *, Value, const AnalysisState &) const { return false; }

  FailureOr<BufferLikeType> getBufferType(Operation *, Value value, const BufferizationOptions &,
                                          const BufferizationState &, SmallVector<Value> &) const {
    return cast<BufferLikeType>(plainType(value.getType()));
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter, const BufferizationOptions &,
                          BufferizationState &) const {
    auto weight = cast<GetWeightOp>(op);
    if (!isa<TensorType>(weight.getType()))
      return success();
    replaceOpWithNewBufferizedOp<GetWeightOp>(rewriter, op, plainType(weight.getType()), weight.getWeightAttr());
    return success();
  }
};

struct Bufferize : qlow::impl::BufferizeBase<Bufferize> {
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<BufferizationDialect, linalg::LinalgDialect, memref::MemRefDialect, tensor::TensorDialect>();
    arith::registerBufferizableOpInterfaceExternalModels(registry);
    bufferization::func_ext::registerBufferizableOpInterfaceExternalModels(registry);
    cf::registerBufferizableOpInterfaceExternalModels(registry);
    linalg::registerBufferizableOpInterfaceExternalModels(registry);
    scf::registerBufferizableOpInterfaceExternalModels(registry);
    tensor::registerBufferizableOpInterfaceExternalModels(registry);
    registry.addExtension(+[](MLIRContext *context, QlowDialect *) {
      MatmulKernelOp::attachInterface<KernelModel<MatmulKernelOp>>(*context);
      PackOp::attachInterface<KernelModel<PackOp>>(*context);
      GetWeightOp::attachInterface<WeightModel>(*context);
    });
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    protectInputs(module);
    replacePoison(module);
    removeEmptySources(module);
    OneShotBufferizationOptions options;
    options.bufferizeFunctionBoundaries = true;
    options.allowReturnAllocsFromLoops = true; // qlow-plan-workspace gives these buffers that outlive the loop.
    options.setFunctionBoundaryTypeConversion(LayoutMapOption::IdentityLayoutMap);
    options.memCpyFn = copyBuffer;
    BufferizationState state;
    if (failed(runOneShotModuleBufferize(module, options, state)))
      return signalPassFailure();
    removeBufferizationAttributesInModule(module);
    IRRewriter rewriter(&getContext());
    module.walk([&](memref::ExpandShapeOp expand) {
      if (splitsDynamically(expand))
        spellStrides(rewriter, expand);
    });
  }

  /// What the caller passes as const is not written to; a state is updated in place.
  void protectInputs(ModuleOp module) {
    Builder builder(&getContext());
    for (func::FuncOp function : module.getOps<func::FuncOp>())
      for (unsigned i = 0; i < function.getNumArguments(); ++i)
        if (isa<TensorType>(function.getArgument(i).getType()))
          function.setArgAttr(i, BufferizationDialect::kWritableAttrName,
                              builder.getBoolAttr(argumentIsState(function, i)));
  }

  /// Upstream moves what is joined or padded by way of slices, and no slice begins where the whole ends, not even one
  /// without elements.
  void removeEmptySources(ModuleOp module) {
    IRRewriter rewriter(&getContext());
    auto isEmpty = [](Value tensor) {
      return llvm::is_contained(cast<RankedTensorType>(tensor.getType()).getShape(), 0);
    };
    module.walk([&](tensor::PadOp pad) {
      if (!isEmpty(pad.getSource()))
        return;
      rewriter.setInsertionPoint(pad);
      SmallVector<Value> sizes = dynamicSizesOf(rewriter, pad);
      auto filled = tensor::GenerateOp::create(rewriter, pad.getLoc(), pad.getType(), sizes);
      rewriter.inlineRegionBefore(pad.getRegion(), filled.getBody(), filled.getBody().end());
      rewriter.replaceOp(pad, filled);
    });
    module.walk([&](tensor::ConcatOp concat) {
      SmallVector<Value> parts = llvm::filter_to_vector(concat.getInputs(), std::not_fn(isEmpty));
      if (parts.size() == concat.getInputs().size())
        return;
      rewriter.setInsertionPoint(concat);
      if (parts.empty())
        rewriter.replaceOpWithNewOp<tensor::EmptyOp>(concat, concat.getType(), dynamicSizesOf(rewriter, concat));
      else
        rewriter.replaceOpWithNewOp<tensor::ConcatOp>(concat, concat.getType(), concat.getDim(), parts);
    });
  }

  static SmallVector<Value> dynamicSizesOf(OpBuilder &builder, tensor::PadOp pad) {
    SmallVector<Value> sizes;
    for (auto [dim, low, high] : llvm::enumerate(pad.getMixedLowPad(), pad.getMixedHighPad()))
      if (pad.getType().isDynamicDim(dim)) {
        Value size = tensor::DimOp::create(builder, pad.getLoc(), pad.getSource(), dim);
        for (OpFoldResult more : {low, high})
          size = arith::AddIOp::create(builder, pad.getLoc(), size,
                                       getValueOrCreateConstantIndexOp(builder, pad.getLoc(), more));
        sizes.push_back(size);
      }
    return sizes;
  }

  static SmallVector<Value> dynamicSizesOf(OpBuilder &builder, tensor::ConcatOp concat) {
    ReifiedRankedShapedTypeDims shapes;
    SmallVector<Value> sizes;
    if (succeeded(concat.reifyResultShapes(builder, shapes)))
      for (auto [dim, size] : llvm::enumerate(shapes.front()))
        if (concat.getType().isDynamicDim(dim))
          sizes.push_back(getValueOrCreateConstantIndexOp(builder, concat.getLoc(), size));
    return sizes;
  }

  /// What a branch leaves undefined is any buffer.
  void replacePoison(ModuleOp module) {
    IRRewriter rewriter(&getContext());
    module.walk([&](ub::PoisonOp poison) {
      auto type = dyn_cast<RankedTensorType>(poison.getType());
      if (!type)
        return;
      rewriter.setInsertionPoint(poison);
      SmallVector<Value> sizes;
      for (unsigned i = 0, e = type.getNumDynamicDims(); i < e; ++i)
        sizes.push_back(arith::ConstantIndexOp::create(rewriter, poison.getLoc(), 0));
      rewriter.replaceOpWithNewOp<tensor::EmptyOp>(poison, type, sizes);
    });
  }
};
} // namespace
