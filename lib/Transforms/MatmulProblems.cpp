//===- MatmulProblems.cpp - what selection knows of a matmul ----------------===//
//
// In: a matmul on tensors. Out: its sizes, estimated where they are open, and the facts of its sides. Facts follow from
// types; of values only the scales of constants are looked at, where the family asks for them.
//
//===----------------------------------------------------------------------===//

#include "Selection.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"

#include <cmath>

using namespace mlir;
using namespace qlow;

/// Estimates for open sizes.
static constexpr int64_t kTypicalM = 512, kTypicalSize = 1024;

Attribute qlow::constantCodes(Value operand) {
  Value codes = operand;
  if (auto compose = operand.getDefiningOp<ComposeOp>())
    codes = compose.getParts().front();
  else if (getQuantizedElement(operand.getType()))
    return {};
  auto constant = codes.getDefiningOp<arith::ConstantOp>();
  return constant ? constant.getValue() : Attribute();
}

/// Fills what is known of the scales of a constant; see OperandFacts.
static void measureScales(Value operand, OperandFacts &facts) {
  auto compose = operand.getDefiningOp<ComposeOp>();
  Attribute constant;
  if (!compose || !facts.scales.format || !matchPattern(compose.getParts()[1], m_Constant(&constant)))
    return;
  ArrayRef<char> bytes;
  if (auto dense = dyn_cast<DenseElementsAttr>(constant))
    bytes = dense.getRawData();
  else if (auto resource = dyn_cast<DenseResourceElementsAttr>(constant); resource && resource.getRawHandle().getBlob())
    bytes = resource.getRawHandle().getBlob()->getData();
  // There are millions of scales, of few values.
  const Format &format = *facts.scales.format;
  if (format.bits > 16)
    return;
  std::vector<bool> isThere(size_t(1) << format.bits);
  int64_t count = bytes.size() / format.bytesPerGroup;
  for (int64_t i = 0; i < count; ++i)
    isThere[format.extract(reinterpret_cast<const uint8_t *>(bytes.data()), i)] = true;
  double least = 0, most = 0;
  bool hasZero = false;
  for (uint32_t code = 0; code < isThere.size(); ++code) {
    if (!isThere[code])
      continue;
    double scale = std::fabs(format.decode(code));
    hasZero |= scale == 0;
    if (scale == 0)
      continue;
    if (!std::isfinite(scale))
      return;
    least = most == 0 ? scale : std::min(least, scale);
    most = std::max(most, scale);
  }
  facts.leastScale = least, facts.mostScale = most, facts.hasScaleOfZero = hasZero;
}

/// Of an element of a tensor, codes alone.
static double bytesOf(Type tensor) {
  if (QType type = getQuantizedElement(tensor))
    return static_cast<double>(type.getFormat()->bytesPerGroup) / type.getFormat()->codesPerGroup;
  return cast<RankedTensorType>(tensor).getElementTypeBitWidth() / 8.0;
}

static OperandFacts factsOf(Value operand, bool exactSum, bool kIsLast) {
  OperandFacts facts;
  facts.isConstant = static_cast<bool>(constantCodes(operand));
  QType type = getQuantizedElement(operand.getType());
  facts.bytes = bytesOf(operand.getType());
  if (!type) {
    facts.isWhole = facts.bytes == 4;
    Type element = cast<RankedTensorType>(operand.getType()).getElementType();
    facts.element = element.isF16()    ? OperandElement::F16
                    : element.isBF16() ? OperandElement::BF16
                                       : OperandElement::F32;
    return facts;
  }
  const Format &format = *type.getFormat();
  facts.hasZeroPoint = type.getZero();
  facts.zeroFormat = type.getZero();
  facts.hasOffset = static_cast<bool>(type.getOffset());
  facts.format = &format;
  facts.scaledTogether = codesUnderOneScale(type, /*alongLast=*/kIsLast);
  facts.scales = scaleCodesOf(type);
  facts.scaleElement = scaleElementOf(type);
  facts.linesScaledTogether = codesUnderOneScale(type, /*alongLast=*/!kIsLast);
  facts.isWhole = exactSum && format.kind == DecodeKind::Integer && format.bits == 8;
  if (std::optional<IntegerImage> image = format.integerImage()) {
    facts.min = image->min;
    facts.max = image->max;
  }
  return facts;
}

MatmulProblem qlow::problemOf(MatmulOp op, bool fastSums, const Family &family) {
  MatmulProblem problem{};
  auto [m, n, k] = op.getProblemShape();
  auto estimate = [](int64_t size, int64_t typical) {
    return static_cast<double>(ShapedType::isDynamic(size) ? typical : size);
  };
  problem.batch = 1;
  for (int64_t size : cast<RankedTensorType>(op.getType()).getShape().drop_back(2))
    problem.batch *= estimate(size, 1);
  problem.m = estimate(m, kTypicalM);
  problem.n = estimate(n, kTypicalSize);
  problem.k = estimate(k, kTypicalSize);
  if (!ShapedType::isDynamic(m))
    problem.knownM = m;
  if (!ShapedType::isDynamic(n))
    problem.knownN = n;
  if (!ShapedType::isDynamic(k))
    problem.knownK = k;
  problem.resultBytes = std::max(bytesOf(op.getType()), 1.0);
  problem.exactSum = op.hasExactSum();
  problem.fastSums = fastSums;
  problem.lhs = factsOf(op.getLhs(), problem.exactSum, !op.getTransposeLhs());
  problem.rhs = factsOf(op.getRhs(), problem.exactSum, op.getTransposeRhs());
  problem.lhs.isTransposed = op.getTransposeLhs();
  problem.lhs.unpacked = unpackedElement(op);
  problem.rhs.isTransposed = op.getTransposeRhs();
  if (family.asksForScales(problem))
    measureScales(op.getRhs(), problem.rhs);
  return problem;
}
