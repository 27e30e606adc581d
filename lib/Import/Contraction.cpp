//===- Contraction.cpp - a linalg op read as a matrix product ---------------===//
//
// Reads indexing maps and the scalar body, so that a named op and the generic it stands for are one case.
//
//===----------------------------------------------------------------------===//

#include "Contraction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Iterators.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace qlow;

//===----------------------------------------------------------------------===//
// Body
//===----------------------------------------------------------------------===//

namespace {
/// One factor of the product: widen(argument) - zero.
struct Factor {
  BlockArgument argument;
  Value zero;
  bool isUnsigned = false;
};
} // namespace

/// The scalar a body value stands for outside of the body: the operand of a scalar argument, or a captured value.
static Value outerScalar(linalg::LinalgOp op, Value scalar) {
  auto argument = dyn_cast<BlockArgument>(scalar);
  if (!argument || argument.getOwner() != op.getBlock())
    return scalar.getParentBlock() != op.getBlock() || matchPattern(scalar, m_Constant()) ? scalar : Value();
  Value operand = op->getOperand(argument.getArgNumber());
  return isa<ShapedType>(operand.getType()) ? Value() : operand;
}

static std::optional<Factor> matchFactor(linalg::LinalgOp op, Value value) {
  Factor factor;
  if (auto sub = value.getDefiningOp<arith::SubIOp>()) {
    factor.zero = outerScalar(op, sub.getRhs());
    if (!factor.zero)
      return std::nullopt;
    value = sub.getLhs();
  }
  if (Operation *widen = value.getDefiningOp()) {
    if (!isa<arith::ExtSIOp, arith::ExtUIOp, arith::ExtFOp>(widen))
      return std::nullopt;
    factor.isUnsigned = isa<arith::ExtUIOp>(widen);
    value = widen->getOperand(0);
  }
  factor.argument = dyn_cast<BlockArgument>(value);
  if (!factor.argument || factor.argument.getOwner() != op.getBlock())
    return std::nullopt;
  return factor;
}

/// yield(out + x * y), in any order of the operands.
static std::optional<std::pair<Factor, Factor>> matchBody(linalg::LinalgOp op) {
  Block &block = *op.getBlock();
  Operation *sum = block.getTerminator()->getOperand(0).getDefiningOp();
  if (!isa_and_nonnull<arith::AddIOp, arith::AddFOp>(sum))
    return std::nullopt;
  Value out = block.getArguments().back(), product = sum->getOperand(1);
  if (sum->getOperand(0) != out)
    product = sum->getOperand(0);
  bool readsOut = sum->getOperand(0) == out || sum->getOperand(1) == out;
  Operation *multiply = product.getDefiningOp();
  if (!readsOut || !out.hasOneUse() || !isa_and_nonnull<arith::MulIOp, arith::MulFOp>(multiply))
    return std::nullopt;
  std::optional<Factor> x = matchFactor(op, multiply->getOperand(0)), y = matchFactor(op, multiply->getOperand(1));
  if (!x || !y || x->argument == y->argument)
    return std::nullopt;
  return std::make_pair(*x, *y);
}

//===----------------------------------------------------------------------===//
// Indexing maps
//===----------------------------------------------------------------------===//

/// The loops that index an operand, or nothing where an index is more than one loop.
static std::optional<SmallVector<unsigned>> loopsOf(AffineMap map) {
  SmallVector<unsigned> loops;
  for (AffineExpr expr : map.getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim || llvm::is_contained(loops, dim.getPosition()))
      return std::nullopt;
    loops.push_back(dim.getPosition());
  }
  return loops;
}

/// Whether `loops` is [batch..., first, second], or with the last two swapped.
static bool isSide(ArrayRef<unsigned> loops, ArrayRef<unsigned> batch, unsigned first, unsigned second,
                   bool &transposed) {
  if (loops.size() != batch.size() + 2 || loops.drop_back(2) != batch)
    return false;
  ArrayRef<unsigned> last = loops.take_back(2);
  transposed = last[0] == second && last[1] == first;
  return transposed || (last[0] == first && last[1] == second);
}

std::optional<Contraction> qlow::matchContraction(linalg::LinalgOp op, StringRef &why) {
  auto fail = [&](StringRef reason) {
    why = reason;
    return std::nullopt;
  };
  if (!op.hasPureTensorSemantics() || op.getNumDpsInits() != 1)
    return fail("is not one result on tensors");
  SmallVector<utils::IteratorType> iterators = op.getIteratorTypesArray();
  std::optional<SmallVector<unsigned>> out = loopsOf(op.getIndexingMapsArray().back());
  if (!out || out->size() < 2 || iterators.size() != out->size() + 1)
    return fail("has not one loop each for m, n and k");
  std::optional<std::pair<Factor, Factor>> factors = matchBody(op);
  if (!factors)
    return fail("has a body that is not out + a * b");

  unsigned k = 0;
  while (llvm::is_contained(*out, k))
    ++k;
  for (auto [loop, iterator] : llvm::enumerate(iterators))
    if ((iterator == utils::IteratorType::reduction) != (loop == k))
      return fail("does not reduce along one loop");

  Contraction result;
  result.init = op.getDpsInitOperand(0)->get();
  auto [x, y] = *factors;
  auto loopsOfFactor = [&](Factor factor) {
    return loopsOf(op.getIndexingMapsArray()[factor.argument.getArgNumber()]);
  };
  std::optional<SmallVector<unsigned>> left = loopsOfFactor(x), right = loopsOfFactor(y);
  ArrayRef<unsigned> batch = ArrayRef<unsigned>(*out).drop_back(2);
  unsigned m = (*out)[out->size() - 2], n = out->back();
  if (!left || !right)
    return fail("indexes an operand by more than loops");
  if (llvm::is_contained(*left, n)) {
    std::swap(left, right);
    std::swap(x, y);
  }
  if (!isSide(*left, batch, m, k, result.lhs.transposed) || !isSide(*right, batch, k, n, result.rhs.transposed))
    return fail("is not indexed as a batched matrix product");
  auto fill = [&](Contraction::Side &side, const Factor &factor) {
    side.tensor = op->getOperand(factor.argument.getArgNumber());
    side.zero = factor.zero;
    side.isUnsigned = factor.isUnsigned;
  };
  fill(result.lhs, x);
  fill(result.rhs, y);

  auto element = [](Value tensor) { return cast<RankedTensorType>(tensor.getType()).getElementType(); };
  auto isFloat = [](Type type) { return isa<Float32Type, Float16Type, BFloat16Type>(type); };
  Type a = element(result.lhs.tensor), b = element(result.rhs.tensor), sum = element(result.init);
  if (!(a.isInteger(8) && b.isInteger(8) && sum.isInteger(32)) && !(isFloat(a) && isFloat(b) && isFloat(sum)))
    return fail("is neither i8 x i8 to i32 nor f16, bf16 or f32");
  return result;
}

//===----------------------------------------------------------------------===//
// Tensors around it
//===----------------------------------------------------------------------===//

bool qlow::isZeroTensor(Value tensor) {
  if (auto fill = tensor.getDefiningOp<linalg::FillOp>())
    return matchPattern(fill.value(), m_Zero()) || matchPattern(fill.value(), m_AnyZeroFloat());
  return matchPattern(tensor, m_Zero()) || matchPattern(tensor, m_AnyZeroFloat());
}

Value qlow::createElementwise(OpBuilder &builder, Location loc, ValueRange inputs, Type element,
                              function_ref<Value(OpBuilder &, Location, ValueRange)> body, ArrayRef<AffineMap> maps) {
  unsigned rank = cast<RankedTensorType>(inputs.front().getType()).getRank();
  Value empty = tensor::EmptyOp::create(builder, loc, tensor::getMixedSizes(builder, loc, inputs.front()), element);
  SmallVector<AffineMap> allMaps(maps);
  for (Value input : inputs.drop_front(maps.size())) {
    unsigned inputRank = cast<RankedTensorType>(input.getType()).getRank();
    allMaps.push_back(AffineMap::getMinorIdentityMap(rank, inputRank, builder.getContext()));
  }
  allMaps.push_back(builder.getMultiDimIdentityMap(rank));
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(builder, loc, empty.getType(), inputs, empty, allMaps, loops,
                                           [&](OpBuilder &inner, Location loc, ValueRange arguments) {
                                             Value result = body(inner, loc, arguments.drop_back());
                                             linalg::YieldOp::create(inner, loc, result);
                                           });
  return generic.getResult(0);
}

void qlow::eraseDeadOps(Operation *root) {
  root->walk<WalkOrder::PostOrder, ReverseIterator>([](Operation *op) {
    if (isOpTriviallyDead(op))
      op->erase();
  });
}
