//===- FuseEpilogues.cpp - what follows a matmul moves into its epilogue ----===//
//
// Every matmul gets the epilogue of its law; then ops that are its only user and compute element by element move in,
// one after the other. A matmul moves down to the op it takes in, so that op's other operands are there. Must not move
// anything that would be computed more often than before.
//
//===----------------------------------------------------------------------===//

#include "Conversions.h"
#include "Epilogues.h"
#include "KernelParameters.h"
#include "qlow/Targets/Targets.h"
#include "qlow/Transforms/Pipeline.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace qlow;

namespace qlow {
#define GEN_PASS_DEF_FUSEEPILOGUES
#include "qlow/Transforms/Passes.h.inc"
} // namespace qlow

//===----------------------------------------------------------------------===//
// Operands as extras
//===----------------------------------------------------------------------===//

static bool isIdentity(AffineMap map) { return map.isIdentity(); }
static bool isReadable(AffineMap map) { return map.isProjectedPermutation(/*allowZeroInResults=*/true); }

/// A generic that copies its one input: where its result at `d` is the input at the map's `d`.
static std::optional<AffineMap> getBroadcastMap(linalg::GenericOp op) {
  if (op.getNumDpsInputs() != 1 || op.getNumResults() != 1 || !isIdentity(op.getIndexingMapsArray()[1]))
    return std::nullopt;
  auto yield = cast<linalg::YieldOp>(op.getBody()->getTerminator());
  if (yield.getOperand(0) != op.getBody()->getArgument(0))
    return std::nullopt;
  return op.getIndexingMapsArray()[0];
}

/// Looks through broadcasts and casts: `extra` may be a copy of something smaller.
static EpilogueExtra getSource(EpilogueExtra extra) {
  while (Operation *source = extra.tensor.getDefiningOp()) {
    std::optional<AffineMap> map;
    if (auto broadcast = dyn_cast<linalg::BroadcastOp>(source)) {
      SmallVector<AffineExpr> exprs;
      for (int64_t dim = 0; dim < extra.map.getNumResults(); ++dim)
        if (!llvm::is_contained(broadcast.getDimensions(), dim))
          exprs.push_back(extra.map.getResult(dim));
      extra = {broadcast.getInput(), AffineMap::get(extra.map.getNumDims(), 0, exprs, extra.map.getContext())};
      continue;
    }
    if (auto generic = dyn_cast<linalg::GenericOp>(source))
      map = getBroadcastMap(generic);
    if (auto cast = dyn_cast<tensor::CastOp>(source)) {
      extra.tensor = cast.getSource();
      continue;
    }
    if (!map || !isReadable(map->compose(extra.map)))
      break;
    extra = {cast<linalg::GenericOp>(source).getInputs()[0], map->compose(extra.map)};
  }
  return extra;
}

/// The value that fills a whole tensor, or null.
static Value getFillValue(Value tensor) {
  if (auto fill = tensor.getDefiningOp<linalg::FillOp>())
    return fill.getInputs()[0];
  if (auto splat = tensor.getDefiningOp<tensor::SplatOp>())
    return splat.getInput();
  return {};
}

/// A scalar from outside of the region: constants are cloned, others become extras of rank 0.
static Value readScalar(EpilogueBuilder &epilogue, Value scalar) {
  Attribute constant;
  if (matchPattern(scalar, m_Constant(&constant)))
    return epilogue.inside().clone(*scalar.getDefiningOp())->getResult(0);
  auto type = RankedTensorType::get({}, scalar.getType());
  Value tensor = tensor::FromElementsOp::create(epilogue.outside(), epilogue.getLoc(), type, scalar);
  return epilogue.read({tensor, AffineMap::get(epilogue.getRank(), 0, scalar.getContext())});
}

static Value readOperand(EpilogueBuilder &epilogue, Value operand, AffineMap map) {
  if (!isa<RankedTensorType>(operand.getType()))
    return readScalar(epilogue, operand);
  EpilogueExtra source = getSource({operand, map});
  if (Value fill = getFillValue(source.tensor))
    return readScalar(epilogue, fill);
  return epilogue.read(source);
}

//===----------------------------------------------------------------------===//
// One user
//===----------------------------------------------------------------------===//

static bool isScalarWork(Operation &op) {
  return op.hasTrait<OpTrait::ConstantLike>() || OpTrait::hasElementwiseMappableTraits(&op);
}

/// Why a linalg.generic can not move into the epilogue of `matmul`; empty if it can.
static StringRef whyNotFusable(linalg::GenericOp op, Value matmul) {
  if (op.getNumResults() != 1 || op.getNumParallelLoops() != op.getNumLoops())
    return "expected one result and parallel loops";
  if (!isIdentity(op.getIndexingMapMatchingResult(op->getResult(0))))
    return "expected an identity map of the result";
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    if (operand.get() == matmul ? !isIdentity(map) : !isReadable(map))
      return "expected operands that a map of the epilogue can read";
  }
  for (Operation &inner : op.getBody()->without_terminator())
    if (!isScalarWork(inner))
      return "expected elementwise ops";
  return {};
}

/// Clones the body with the matmul's element and extras for its arguments.
static MatmulOp fuseGeneric(RewriterBase &rewriter, MatmulOp matmul, linalg::GenericOp op) {
  EpilogueBuilder epilogue(rewriter, matmul, op);
  IRMapping scalars;
  for (OpOperand &operand : op->getOpOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(&operand);
    if (operand.get() == matmul.getResult())
      scalars.map(argument, epilogue.element);
    else if (!argument.use_empty())
      scalars.map(argument, readOperand(epilogue, operand.get(), op.getMatchingIndexingMap(&operand)));
  }
  auto mapCaptured = [&](Value value) {
    if (!scalars.contains(value))
      scalars.map(value, readScalar(epilogue, value));
  };
  for (Operation &inner : op.getBody()->without_terminator()) {
    llvm::for_each(inner.getOperands(), mapCaptured);
    epilogue.inside().clone(inner, scalars);
  }
  Value yielded = op.getBody()->getTerminator()->getOperand(0);
  mapCaptured(yielded);
  epilogue.element = scalars.lookup(yielded);
  return epilogue.finish(cast<RankedTensorType>(op.getResult(0).getType()), {});
}

/// arith and math ops on whole tensors are the same ops on elements.
static MatmulOp fuseElementwise(RewriterBase &rewriter, MatmulOp matmul, Operation *op) {
  EpilogueBuilder epilogue(rewriter, matmul, op);
  AffineMap identity = rewriter.getMultiDimIdentityMap(epilogue.getRank());
  SmallVector<Value> operands;
  for (Value operand : op->getOperands())
    operands.push_back(operand == matmul.getResult() ? epilogue.element : readOperand(epilogue, operand, identity));
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  OperationState state(op->getLoc(), op->getName(), operands, type.getElementType(), op->getAttrs());
  epilogue.element = epilogue.inside().create(state)->getResult(0);
  return epilogue.finish(type, {});
}

static MatmulOp fuseRequantize(RewriterBase &rewriter, MatmulOp matmul, RequantizeOp op) {
  EpilogueBuilder epilogue(rewriter, matmul, op);
  QType type = getQuantizedElement(op.getType());
  // Rank 0, or rank 1 that counts the last dimension (C4).
  auto readChannel = [&](Value factor) -> Value {
    if (!factor)
      return {};
    int64_t rank = epilogue.getRank();
    AffineMap map = AffineMap::get(rank, 0, rewriter.getContext());
    if (cast<RankedTensorType>(factor.getType()).getRank() == 1)
      map = AffineMap::get(rank, 0, {rewriter.getAffineDimExpr(rank - 1)}, rewriter.getContext());
    return epilogue.read(getSource({factor, map}));
  };
  Value multiplier = readChannel(op.getMultiplier()), shift = readChannel(op.getShift());
  Value zero = readResultValue(epilogue, type, op.getParts(), BlockValue::Zero);
  Value code = emitRequantized(epilogue.inside(), op.getLoc(), *type.getFormat(), op.getRounding(), epilogue.element,
                               multiplier, shift, zero);
  epilogue.element = arith::TruncIOp::create(epilogue.inside(), op.getLoc(), rewriter.getI8Type(), code);
  return epilogue.finish(op.getType(), op.getParts());
}

static MatmulOp fuseQuantize(RewriterBase &rewriter, MatmulOp matmul, QuantizeOp op) {
  EpilogueBuilder epilogue(rewriter, matmul, op);
  OpBuilder &builder = epilogue.inside();
  Location loc = op.getLoc();
  QType type = getQuantizedElement(op.getType());
  Value x = epilogue.element;
  if (!x.getType().isF32())
    x = arith::ExtFOp::create(builder, loc, builder.getF32Type(), x);
  if (Value offset = readResultValue(epilogue, type, op.getParts(), BlockValue::Offset))
    x = arith::SubFOp::create(builder, loc, x, offset);
  x = arith::DivFOp::create(builder, loc, x, readResultValue(epilogue, type, op.getParts(), BlockValue::Scale));
  Value zero = readResultValue(epilogue, type, op.getParts(), BlockValue::Zero);
  Value code = emitEncode(builder, loc, *type.getFormat(), x, zero);
  epilogue.element = arith::TruncIOp::create(builder, loc, builder.getI8Type(), code);
  return epilogue.finish(op.getType(), op.getParts());
}

/// Codes that fill their bytes can be stored one by one.
static bool hasByteCodes(Value quantized) { return getQuantizedElement(quantized.getType()).getFormat()->bits == 8; }

static FailureOr<MatmulOp> fuseUser(RewriterBase &rewriter, MatmulOp matmul, Operation *user) {
  auto isSum = [&](Value input) { return input == matmul.getResult(); };
  return TypeSwitch<Operation *, FailureOr<MatmulOp>>(user)
      .Case([&](RequantizeOp op) -> FailureOr<MatmulOp> {
        if (!hasByteCodes(op) || !isSum(op.getInput()))
          return failure();
        return fuseRequantize(rewriter, matmul, op);
      })
      .Case([&](QuantizeOp op) -> FailureOr<MatmulOp> {
        if (!hasByteCodes(op) || !isSum(op.getInput()))
          return failure();
        return fuseQuantize(rewriter, matmul, op);
      })
      .Case([&](linalg::GenericOp op) -> FailureOr<MatmulOp> {
        if (!whyNotFusable(op, matmul).empty())
          return failure();
        return fuseGeneric(rewriter, matmul, op);
      })
      .Default([&](Operation *op) -> FailureOr<MatmulOp> {
        bool isWhole = OpTrait::hasElementwiseMappableTraits(op) && op->getNumResults() == 1 &&
                       isa<RankedTensorType>(op->getResult(0).getType());
        if (!isWhole)
          return failure();
        return fuseElementwise(rewriter, matmul, op);
      });
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct FuseEpilogues : qlow::impl::FuseEpiloguesBase<FuseEpilogues> {
  using FuseEpiloguesBase::FuseEpiloguesBase;
  void runOnOperation() override;

private:
  void fuseUsers(IRRewriter &rewriter, MatmulOp matmul, int64_t mostBytes);
};
} // namespace

/// Who only asks for a size is no user: sizes of the result are sizes of the operands.
static void replaceDims(IRRewriter &rewriter, MatmulOp matmul) {
  for (Operation *user : llvm::make_early_inc_range(matmul->getUsers())) {
    auto dim = dyn_cast<tensor::DimOp>(user);
    if (!dim || !dim.getConstantIndex())
      continue;
    rewriter.setInsertionPoint(matmul);
    OpFoldResult size = emitMatmulSizes(rewriter, matmul)[*dim.getConstantIndex()];
    rewriter.replaceOp(dim, getValueOrCreateConstantIndexOp(rewriter, dim.getLoc(), size));
  }
}

/// The op that uses all of the result, in the same block; else null.
static Operation *getOnlyUser(MatmulOp matmul) {
  if (matmul->use_empty())
    return nullptr;
  Operation *user = *matmul->user_begin();
  bool isOnly = llvm::all_of(matmul->getUsers(), [&](Operation *other) { return other == user; });
  return isOnly && user->getBlock() == matmul->getBlock() ? user : nullptr;
}

void FuseEpilogues::fuseUsers(IRRewriter &rewriter, MatmulOp matmul, int64_t mostBytes) {
  replaceDims(rewriter, matmul);
  while (Operation *user = getOnlyUser(matmul)) {
    if (KernelParameters({matmul, user}).getBytes() > mostBytes)
      return;
    FailureOr<MatmulOp> fused = fuseUser(rewriter, matmul, user);
    if (failed(fused))
      return;
    rewriter.replaceOp(user, *fused);
    rewriter.eraseOp(matmul);
    matmul = *fused;
    replaceDims(rewriter, matmul);
    ++numFused;
  }
}

/// linalg.add, linalg.map, ... as linalg.generic: one form to fuse.
static void generalizeElementwise(IRRewriter &rewriter, Operation *root) {
  SmallVector<linalg::LinalgOp> named;
  root->walk([&](linalg::LinalgOp op) {
    if (!isa<linalg::GenericOp, linalg::FillOp, linalg::BroadcastOp>(op) &&
        op.getNumLoops() == op.getNumParallelLoops())
      named.push_back(op);
  });
  for (linalg::LinalgOp op : named) {
    bool followsMatmul = llvm::any_of(op->getOperands(), [](Value operand) {
      return operand.getDefiningOp<MatmulOp>() || operand.getDefiningOp<linalg::LinalgOp>();
    });
    rewriter.setInsertionPoint(op);
    if (followsMatmul)
      (void)linalg::generalizeNamedOp(rewriter, op);
  }
}

void FuseEpilogues::runOnOperation() {
  FailureOr<std::shared_ptr<const Target>> found = findTarget(getOperation(), target);
  if (failed(found))
    return signalPassFailure();
  LaunchFacts facts = (*found)->family().launchFacts((*found)->machine());
  int64_t mostBytes = facts.parameterBytes - facts.scheduleBytes;
  IRRewriter rewriter(&getContext());
  generalizeElementwise(rewriter, getOperation());
  SmallVector<MatmulOp> matmuls;
  getOperation().walk([&](MatmulOp op) { matmuls.push_back(op); });
  for (MatmulOp op : matmuls) {
    if (!op.hasEpilogue()) {
      op = formEpilogue(rewriter, op);
      ++numEpilogues;
    }
    fuseUsers(rewriter, op, mostBytes);
  }
}
