//===- QuantizedProduct.cpp - the integer rule of a QDQ matmul --------------===//
//
//   acc[m, n]  = sum_k (a[m, k] - za) * (w[k, n] - zw[n]) + bias[n]                                    exact i32
//   code[m, n] = clamp(round_half_even(f32(acc) * ((sa * sw[n]) / sy[n])) + zy)   where a qcast reads the sum, through
//                                                                                 nothing but clamps
//   y[m, n]    = f32(acc) * (sa * sw[n])                                          where anything else reads it
//
// All factors are f32 and computed here. A clamp of floats becomes a clamp of accumulators that gives the same codes;
// rounding and multiplying by a positive number are monotone, so it is enough to find accumulators that give the
// bounds.
//
//===----------------------------------------------------------------------===//

#include "QuantizedProduct.h"

#include "Contraction.h"
#include "FloatChain.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Quant/IR/Quant.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tosa/IR/TosaOps.h"
#include "llvm/ADT/SetVector.h"

#include <cmath>

using namespace mlir;
using namespace qlow;

constexpr int64_t kLeast = std::numeric_limits<int32_t>::min(), kMost = std::numeric_limits<int32_t>::max();

namespace {
/// An operand of the product, before its dequantization where there is one.
struct Side {
  Value tensor;
  const Uniform *uniform = nullptr;
  bool transposed = false;
};

struct Product {
  Operation *op;
  Side lhs, rhs;
  Value init; ///< null: zero
  RankedTensorType type;

  int64_t columns() const { return type.getShape().back(); }
};

/// A qcast of clamp(sum).
struct Exit {
  quant::QuantizeCastOp cast;
  Clamp clamp;
};

/// Accumulators that the lowest and highest code come from, one pair for each channel or one for all.
struct Bounds {
  SmallVector<int32_t> lo, hi;
  bool isTrivial() const {
    return llvm::all_of(lo, [](int32_t v) { return v == kLeast; }) &&
           llvm::all_of(hi, [](int32_t v) { return v == kMost; });
  }
};
} // namespace

//===----------------------------------------------------------------------===//
// Recognition
//===----------------------------------------------------------------------===//

/// The input of a transposition of the last two dimensions, or null.
static Value matchTransposed(Value tensor) {
  SmallVector<int64_t> permutation;
  Operation *op = tensor.getDefiningOp();
  if (auto transpose = dyn_cast_or_null<linalg::TransposeOp>(op))
    permutation.assign(transpose.getPermutation().begin(), transpose.getPermutation().end());
  else if (auto transpose = dyn_cast_or_null<tosa::TransposeOp>(op))
    permutation.assign(transpose.getPerms().begin(), transpose.getPerms().end());
  size_t rank = permutation.size();
  if (rank < 2)
    return {};
  std::swap(permutation[rank - 1], permutation[rank - 2]);
  return llvm::equal(permutation, llvm::seq<int64_t>(0, rank)) ? op->getOperand(0) : Value();
}

static Side traceSide(const Contraction::Side &side, const UniformMap &uniforms) {
  Value tensor = side.tensor;
  bool transposed = side.transposed;
  if (Value input = matchTransposed(tensor)) {
    tensor = input;
    transposed = !transposed;
  }
  auto cast = tensor.getDefiningOp<quant::DequantizeCastOp>();
  const Uniform *uniform = cast ? uniforms.lookup(cast.getInput()) : nullptr;
  if (!uniform || uniform->isAccumulator())
    return {side.tensor, nullptr, side.transposed};
  return {cast.getInput(), uniform, transposed};
}

static std::optional<Product> matchProduct(Operation *op, const UniformMap &uniforms) {
  std::optional<Contraction> contraction;
  StringRef why;
  if (auto structured = dyn_cast<linalg::LinalgOp>(op)) {
    contraction = matchContraction(structured, why);
  } else if (auto matmul = dyn_cast<tosa::MatMulOp>(op)) {
    contraction.emplace();
    contraction->lhs.tensor = matmul.getA();
    contraction->rhs.tensor = matmul.getB();
  }
  auto type = contraction ? dyn_cast<RankedTensorType>(op->getResult(0).getType()) : RankedTensorType();
  if (!type || !isa<Float32Type, Float16Type, BFloat16Type>(type.getElementType()))
    return std::nullopt;
  Product product{op, traceSide(contraction->lhs, uniforms), traceSide(contraction->rhs, uniforms), {}, type};
  if (contraction->init && !isZeroTensor(contraction->init))
    product.init = contraction->init;
  return product.lhs.uniform || product.rhs.uniform ? std::optional<Product>(product) : std::nullopt;
}

/// sa * sw[n], one for each n or one for all, where the sum is exact and the rule has such a form; else nothing.
static std::optional<SmallVector<float>> matchFactors(const Product &product) {
  const Uniform *lhs = product.lhs.uniform, *rhs = product.rhs.uniform;
  if (!lhs || !rhs || lhs->format->bits > 8 || rhs->format->bits > 8 || lhs->scales.size() != 1)
    return std::nullopt;
  unsigned n = product.type.getRank() - (product.rhs.transposed ? 2 : 1);
  if (rhs->scales.size() != 1 && rhs->getAxis() != n)
    return std::nullopt;
  return llvm::map_to_vector(rhs->scales, [&](float scale) { return lhs->scales[0] * scale; });
}

/// The i32 bias behind `row`, where its scale is that of the sum; else null.
static Value matchBias(RewriterBase &rewriter, Value row, const Product &product, ArrayRef<float> factors,
                       const UniformMap &uniforms) {
  auto cast = row.getDefiningOp<quant::DequantizeCastOp>();
  const Uniform *uniform = cast ? uniforms.lookup(cast.getInput()) : nullptr;
  if (!uniform || !uniform->isAccumulator())
    return {};
  ArrayRef<int64_t> shape = uniform->type.getShape();
  // A dynamic row of rank 1 comes from linalg, which does not stretch a size of 1.
  bool isStretchable = shape.size() != 1 && !shape.empty() && ShapedType::isDynamic(shape.back());
  if (shape.empty() || shape.back() != product.columns() || isStretchable ||
      !llvm::all_of(shape.drop_back(), [](int64_t size) { return size == 1; }))
    return {};
  size_t channels = std::max(factors.size(), uniform->scales.size());
  for (size_t n = 0; n < channels; ++n)
    if (factors[factors.size() == 1 ? 0 : n] != uniform->scales[uniform->scales.size() == 1 ? 0 : n])
      return {};
  if (shape.size() == 1)
    return cast.getInput();
  ReassociationIndices all = llvm::to_vector(llvm::seq<int64_t>(0, shape.size()));
  return tensor::CollapseShapeOp::create(rewriter, cast.getLoc(), cast.getInput(), ArrayRef<ReassociationIndices>(all));
}

/// Whether qlow.requantize can make these codes with these factors.
static bool isRequantizable(const Product &product, const Uniform &out, ArrayRef<float> factors) {
  if (out.isAccumulator() || out.format->bits > 8)
    return false;
  if (out.scales.size() != 1 && (out.getAxis() != product.type.getRank() - 1 || out.zeroFormat))
    return false;
  for (float factor : factors)
    for (float scale : out.scales)
      if (std::isinf(factor / scale))
        return false;
  return true;
}

/// The qcasts that `value` = clamp(sum) reaches through further clamps.
static void findExits(const Product &product, Value value, Clamp clamp, ArrayRef<float> factors,
                      const UniformMap &uniforms, SmallVectorImpl<Exit> &exits) {
  // An op may use the value twice.
  llvm::SmallSetVector<Operation *, 4> users(value.user_begin(), value.user_end());
  for (Operation *user : users) {
    if (auto cast = dyn_cast<quant::QuantizeCastOp>(user)) {
      const Uniform *out = uniforms.lookup(cast.getResult());
      if (out && isRequantizable(product, *out, factors))
        exits.push_back({cast, clamp});
      continue;
    }
    std::optional<FloatStep> step = matchFloatStep(user, value);
    if (!step || step->bias)
      continue;
    Clamp next = clamp;
    next.then(step->clamp);
    findExits(product, user->getResult(0), next, factors, uniforms, exits);
  }
}

//===----------------------------------------------------------------------===//
// Clamps
//===----------------------------------------------------------------------===//

/// The first accumulator for which `holds`, which turns from false to true once; nothing if it is never true.
static std::optional<int64_t> findFirst(function_ref<bool(int64_t)> holds) {
  if (!holds(kMost))
    return std::nullopt;
  int64_t low = kLeast, high = kMost;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (holds(middle))
      high = middle;
    else
      low = middle + 1;
  }
  return high;
}

/// Bounds of accumulators that clamp codes to the clamp and the narrow storage; nothing where no accumulator has a
/// bound as its code. 0 is taken wherever it serves: a relu reads as one.
static std::optional<Bounds> findBounds(ArrayRef<float> multipliers, const Uniform &out, const Clamp &clamp) {
  Bounds bounds;
  for (auto [index, multiplier] : llvm::enumerate(multipliers)) {
    size_t channel = out.scales.size() == 1 ? 0 : index;
    auto codeOf = [&, factor = multiplier](int64_t sum) {
      double code = std::nearbyint(static_cast<float>(sum) * factor) + static_cast<double>(out.zeros[channel]);
      return static_cast<int64_t>(std::clamp(code, double(out.formatMin()), double(out.formatMax())));
    };
    int64_t lo = out.quantize(clamp.lo, channel, out.min, out.max);
    int64_t hi = out.quantize(clamp.hi, channel, out.min, out.max);
    std::optional<int64_t> first = kLeast, last = kMost;
    if (codeOf(kLeast) < lo)
      first = codeOf(0) == lo ? 0 : findFirst([&](int64_t sum) { return codeOf(sum) >= lo; });
    if (codeOf(kMost) > hi) {
      std::optional<int64_t> above = findFirst([&](int64_t sum) { return codeOf(sum) > hi; });
      last = codeOf(0) == hi ? 0 : *above - 1;
    }
    bool reachesLo = first && (*first == kLeast || codeOf(*first) == lo);
    bool reachesHi = *last == kMost || (*last >= kLeast && codeOf(*last) == hi);
    if (!reachesLo || !reachesHi)
      return std::nullopt;
    bounds.lo.push_back(*first);
    bounds.hi.push_back(*last);
  }
  return bounds;
}

/// A bound for the scalar body: a constant inside of it, or the body's argument where channels differ.
static Value createBound(OpBuilder &builder, Location loc, Type type, ArrayRef<int32_t> values, ValueRange &arguments) {
  if (!llvm::all_equal(values)) {
    Value argument = arguments.front();
    arguments = arguments.drop_front();
    return argument;
  }
  return arith::ConstantOp::create(builder, loc, builder.getIntegerAttr(type, values.front()));
}

static Value createChannels(OpBuilder &builder, Location loc, Type type, ArrayRef<int32_t> values) {
  auto numbers = llvm::map_to_vector(values, [&](int32_t value) {
    return APInt(type.getIntOrFloatBitWidth(), value, /*isSigned=*/true, /*implicitTrunc=*/true);
  });
  auto tensor = RankedTensorType::get({int64_t(values.size())}, type);
  return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(tensor, numbers));
}

/// min(max(integers, lo), hi) element by element; `isUnsigned` orders the integers.
static Value clampIntegers(OpBuilder &builder, Location loc, Value integers, ArrayRef<int32_t> lo, ArrayRef<int32_t> hi,
                           bool isUnsigned) {
  Type type = cast<RankedTensorType>(integers.getType()).getElementType();
  SmallVector<Value> inputs{integers};
  for (ArrayRef<int32_t> values : {lo, hi})
    if (!llvm::all_equal(values))
      inputs.push_back(createChannels(builder, loc, type, values));
  return createElementwise(builder, loc, inputs, type, [&](OpBuilder &inner, Location loc, ValueRange arguments) {
    Value x = arguments.front();
    ValueRange channels = arguments.drop_front();
    auto isAnywhere = [](ArrayRef<int32_t> values, int64_t neutral) {
      return llvm::any_of(values, [&](int32_t value) { return value != neutral; });
    };
    if (isAnywhere(lo, kLeast)) {
      Value bound = createBound(inner, loc, type, lo, channels);
      x = isUnsigned ? arith::MaxUIOp::create(inner, loc, x, bound).getResult()
                     : arith::MaxSIOp::create(inner, loc, x, bound).getResult();
    }
    if (isAnywhere(hi, kMost)) {
      Value bound = createBound(inner, loc, type, hi, channels);
      x = isUnsigned ? arith::MinUIOp::create(inner, loc, x, bound).getResult()
                     : arith::MinSIOp::create(inner, loc, x, bound).getResult();
    }
    return x;
  });
}

/// `quantized`, of 8-bit codes, with its codes clamped to [lo, hi] of each channel of the last dimension, or of all
/// where there is one.
static Value clampCodes(OpBuilder &builder, Location loc, Value quantized, const Uniform &uniform, ArrayRef<int32_t> lo,
                        ArrayRef<int32_t> hi) {
  auto parts = llvm::to_vector_of<Value>(DecomposeOp::create(builder, loc, quantized).getParts());
  parts[0] = clampIntegers(builder, loc, parts[0], lo, hi, !uniform.format->isSigned);
  return ComposeOp::create(builder, loc, quantized.getType(), parts);
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

/// code = clamp(round_half_even(f32(sum) * multiplier) + zero)
static FailureOr<Value> requantize(RewriterBase &rewriter, Exit exit, Value sum, ArrayRef<float> factors,
                                   const Uniform &out) {
  Location loc = exit.cast.getLoc();
  SmallVector<float> multipliers;
  size_t channels = std::max(factors.size(), out.scales.size());
  for (size_t n = 0; n < channels; ++n)
    multipliers.push_back(factors[factors.size() == 1 ? 0 : n] / out.scales[out.scales.size() == 1 ? 0 : n]);
  std::optional<Bounds> bounds = findBounds(multipliers, out, exit.clamp);
  if (bounds && !bounds->isTrivial())
    sum = clampIntegers(rewriter, loc, sum, bounds->lo, bounds->hi, /*isUnsigned=*/false);
  SmallVector<int64_t> shape;
  if (channels > 1)
    shape.push_back(channels);
  Value multiplier = createConstant(rewriter, loc, multipliers, shape);
  Value codes = RequantizeOp::create(rewriter, loc, out.type, Rounding::HalfEven, sum, multiplier, Value(),
                                     createParts(rewriter, loc, out));
  if (bounds)
    return codes;
  if (out.format->bits != 8)
    return exit.cast.emitError()
           << "expected bounds that are codes of a sum, or storage of 8 bits: the scale of the result is smaller than "
              "that of the product; store these activations as i8 or u8";
  SmallVector<int32_t> lo, hi;
  for (size_t channel = 0; channel < out.scales.size(); ++channel) {
    lo.push_back(out.quantize(exit.clamp.lo, channel, out.min, out.max));
    hi.push_back(out.quantize(exit.clamp.hi, channel, out.min, out.max));
  }
  return clampCodes(rewriter, loc, codes, out, lo, hi);
}

/// y = clamp(f32(sum) * factor), in the product's float type.
static Value createFloat(OpBuilder &builder, Location loc, Value sum, ArrayRef<float> factors, Type type,
                         const Clamp &clamp) {
  SmallVector<Value> inputs{sum};
  if (factors.size() > 1)
    inputs.push_back(createConstant(builder, loc, factors, {int64_t(factors.size())}));
  return createElementwise(builder, loc, inputs, type, [&](OpBuilder &inner, Location loc, ValueRange arguments) {
    Type f32 = inner.getF32Type();
    auto constant = [&](Type type, float value) {
      return arith::ConstantOp::create(inner, loc, inner.getFloatAttr(type, value));
    };
    Value factor = factors.size() > 1 ? arguments[1] : Value(constant(f32, factors[0]));
    Value x = arith::SIToFPOp::create(inner, loc, f32, arguments[0]);
    x = arith::MulFOp::create(inner, loc, x, factor);
    if (type != f32)
      x = arith::TruncFOp::create(inner, loc, type, x);
    if (clamp.lo != Clamp().lo)
      x = arith::MaximumFOp::create(inner, loc, x, constant(type, clamp.lo));
    if (clamp.hi != Clamp().hi)
      x = arith::MinimumFOp::create(inner, loc, x, constant(type, clamp.hi));
    return x;
  });
}

/// y = qlow.matmul(lhs, rhs) [+ init] in floats, which is also the rule for an exact sum that only floats read.
static void importAsFloat(RewriterBase &rewriter, const Product &product) {
  Location loc = product.op->getLoc();
  rewriter.setInsertionPoint(product.op);
  Value y = MatmulOp::create(rewriter, loc, product.type, product.lhs.tensor, product.rhs.tensor,
                             product.lhs.transposed, product.rhs.transposed);
  if (product.init)
    y = createElementwise(rewriter, loc, {y, product.init}, product.type.getElementType(),
                          [](OpBuilder &inner, Location loc, ValueRange arguments) -> Value {
                            return arith::AddFOp::create(inner, loc, arguments[0], arguments[1]);
                          });
  rewriter.replaceOp(product.op, y);
}

FailureOr<bool> qlow::importQuantizedProduct(RewriterBase &rewriter, Operation *op, UniformMap &uniforms) {
  std::optional<Product> product = matchProduct(op, uniforms);
  if (!product)
    return false;
  std::optional<SmallVector<float>> factors = matchFactors(*product);
  Value base = op->getResult(0), bias;
  Clamp clamp;
  rewriter.setInsertionPoint(op);
  if (factors && product->init) {
    Value row = matchRow(product->init);
    bias = row ? matchBias(rewriter, row, *product, *factors, uniforms) : Value();
  } else if (factors && base.hasOneUse()) {
    // sum + bias, with clamps in the same body perhaps
    Operation *user = *base.user_begin();
    rewriter.setInsertionPoint(user);
    std::optional<FloatStep> step = matchFloatStep(user, base);
    if (step && step->bias)
      bias = matchBias(rewriter, step->bias, *product, *factors, uniforms);
    if (bias) {
      base = user->getResult(0);
      clamp = step->clamp;
    }
  }
  SmallVector<Exit> exits;
  if (factors && (bias || !product->init))
    findExits(*product, base, clamp, *factors, uniforms, exits);
  if (exits.empty() && !bias) {
    importAsFloat(rewriter, *product);
    return true;
  }

  Location loc = op->getLoc();
  rewriter.setInsertionPoint(base.getDefiningOp());
  auto sumType = RankedTensorType::get(product->type.getShape(), rewriter.getI32Type());
  Value sum = MatmulOp::create(rewriter, loc, sumType, product->lhs.tensor, product->rhs.tensor,
                               product->lhs.transposed, product->rhs.transposed, bias);
  Value floats = createFloat(rewriter, base.getLoc(), sum, *factors, product->type.getElementType(), clamp);
  for (Exit &exit : exits) {
    const Uniform &out = *uniforms.lookup(exit.cast.getResult());
    rewriter.setInsertionPoint(exit.cast);
    FailureOr<Value> codes = requantize(rewriter, exit, sum, *factors, out);
    if (failed(codes))
      return failure();
    uniforms.erase(exit.cast.getResult());
    uniforms[*codes] = &out;
    rewriter.replaceOp(exit.cast, *codes);
  }
  // Dead where every use was a qcast or a clamp before one.
  rewriter.setInsertionPointAfterValue(floats);
  if (floats.getType() != base.getType())
    floats = tensor::CastOp::create(rewriter, loc, base.getType(), floats);
  rewriter.replaceAllUsesWith(base, floats);
  return true;
}
