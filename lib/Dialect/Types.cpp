//===- Types.cpp - the quantized element type -------------------------------===//
//
// Syntax, parts and constraints of !qlow.q. Constraint numbers T1 to T7 are those of docs/Semantics.md.
//
//===----------------------------------------------------------------------===//

#include "qlow/Dialect/Dialect.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/CheckedArithmetic.h"

using namespace mlir;
using namespace qlow;

#define GET_TYPEDEF_CLASSES
#include "qlow/Dialect/Types.cpp.inc"

void QlowDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "qlow/Dialect/Types.cpp.inc"
      >();
}

QType qlow::getQuantizedElement(Type type) {
  auto shaped = dyn_cast<ShapedType>(type);
  return shaped ? dyn_cast<QType>(shaped.getElementType()) : QType();
}

const Format *qlow::getScaleFormat(Type type) {
  return TypeSwitch<Type, const Format *>(type)
      .Case([](Float32Type) { return findScaleFormat("f32"); })
      .Case([](Float16Type) { return findScaleFormat("f16"); })
      .Case([](BFloat16Type) { return findScaleFormat("bf16"); })
      .Case([](Float8E8M0FNUType) { return findScaleFormat("f8E8M0FNU"); })
      .Case([](Float8E4M3FNType) { return findScaleFormat("f8E4M3FN"); })
      .Default([](Type) { return nullptr; });
}

//===----------------------------------------------------------------------===//
// Syntax
//===----------------------------------------------------------------------===//

static FailureOr<const Format *> parseFormat(AsmParser &parser) {
  StringRef name;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseKeyword(&name))
    return failure();
  if (const Format *format = findCodeFormat(std::string_view(name.data(), name.size())))
    return format;
  InFlightDiagnostic diagnostic = parser.emitError(loc) << "unknown code format '" << name << "'; known:";
  for (const Format &format : codeFormats())
    diagnostic << " " << StringRef(format.name);
  return failure();
}

static ParseResult parseBlock(AsmParser &parser, SmallVectorImpl<int64_t> &block) {
  SMLoc start = parser.getCurrentLocation();
  ParseResult result = parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&]() -> ParseResult {
    if (succeeded(parser.parseOptionalStar())) {
      block.push_back(QType::kWhole);
      return success();
    }
    SMLoc loc = parser.getCurrentLocation();
    if (parser.parseInteger(block.emplace_back()))
      return failure();
    if (block.back() <= 0)
      return parser.emitError(loc) << "expected a block size of at least 1, or *, found " << block.back();
    return success();
  });
  if (succeeded(result) && block.empty())
    return parser.emitError(start) << "expected a block size for each dimension: one scale for the tensor has no block";
  return result;
}

Type QType::parse(AsmParser &parser) {
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess())
    return {};
  FailureOr<const Format *> format = parseFormat(parser);
  Type scale, offset;
  const Format *zero = nullptr;
  SmallVector<int64_t> block;
  if (failed(format) || parser.parseColon() || parser.parseType(scale))
    return {};
  while (succeeded(parser.parseOptionalComma())) {
    StringRef field;
    SMLoc fieldLoc = parser.getCurrentLocation();
    if (parser.parseKeyword(&field) || parser.parseEqual())
      return {};
    bool repeated = (field == "zero" && zero) || (field == "offset" && offset) || (field == "block" && !block.empty());
    if (repeated) {
      parser.emitError(fieldLoc) << "field '" << field << "' is given twice";
      return {};
    }
    if (field == "zero") {
      FailureOr<const Format *> parsed = parseFormat(parser);
      if (failed(parsed))
        return {};
      zero = *parsed;
    } else if (field == "offset") {
      if (parser.parseType(offset))
        return {};
    } else if (field == "block") {
      if (parseBlock(parser, block))
        return {};
    } else {
      parser.emitError(fieldLoc) << "unknown field '" << field << "'; known: zero, offset, block";
      return {};
    }
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<QType>(loc, parser.getContext(), *format, scale, zero, offset, block);
}

static void printBlock(llvm::raw_ostream &os, ArrayRef<int64_t> block) {
  os << "[";
  llvm::interleaveComma(block, os, [&](int64_t size) {
    if (size == QType::kWhole)
      os << "*";
    else
      os << size;
  });
  os << "]";
}

void QType::print(AsmPrinter &printer) const {
  printer << "<" << StringRef(getFormat()->name) << " : " << getScale();
  if (getZero())
    printer << ", zero = " << StringRef(getZero()->name);
  if (getOffset())
    printer << ", offset = " << getOffset();
  if (!getBlock().empty()) {
    printer << ", block = ";
    printBlock(printer.getStream(), getBlock());
  }
  printer << ">";
}

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

static int64_t ceilDiv(int64_t a, int64_t b) { return a / b + (a % b != 0); }

SmallVector<int64_t> QType::getScaleShape(ArrayRef<int64_t> shape) const {
  SmallVector<int64_t> result;
  for (auto [size, block] : llvm::zip(shape, getBlock())) {
    if (block == kWhole)
      result.push_back(1);
    else
      result.push_back(ShapedType::isDynamic(size) ? ShapedType::kDynamic : ceilDiv(size, block));
  }
  return result;
}

SmallVector<int64_t> QType::getStorageShape(const Format &format, ArrayRef<int64_t> shape) {
  SmallVector<int64_t> result(shape);
  if (result.empty())
    result.push_back(1);
  if (!ShapedType::isDynamic(result.back()))
    result.back() = format.rowBytes(result.back());
  return result;
}

static void appendParts(Type element, ArrayRef<int64_t> shape, SmallVectorImpl<Type> &parts) {
  auto quantized = dyn_cast<QType>(element);
  if (!quantized) {
    parts.push_back(RankedTensorType::get(shape, element));
    return;
  }
  auto byte = IntegerType::get(element.getContext(), 8);
  parts.push_back(RankedTensorType::get(QType::getStorageShape(*quantized.getFormat(), shape), byte));
  SmallVector<int64_t> scales = quantized.getScaleShape(shape);
  appendParts(quantized.getScale(), scales, parts);
  if (quantized.getZero())
    parts.push_back(RankedTensorType::get(QType::getStorageShape(*quantized.getZero(), scales), byte));
  if (quantized.getOffset())
    appendParts(quantized.getOffset(), scales, parts);
}

SmallVector<Type> QType::getParts(ArrayRef<int64_t> shape) const {
  SmallVector<Type> parts;
  appendParts(*this, shape, parts);
  return parts;
}

unsigned QType::getNumParts(Type type) {
  auto quantized = dyn_cast<QType>(type);
  if (!quantized)
    return 1;
  return 1 + getNumParts(quantized.getScale()) + (quantized.getZero() ? 1 : 0) +
         (quantized.getOffset() ? getNumParts(quantized.getOffset()) : 0);
}

bool QType::isConstantAlong(unsigned dim, ArrayRef<int64_t> shape) const {
  assert(dim < shape.size() && "no such dimension");
  // The block of a dimension of size 1 is spelled 1 (T5).
  return getBlock().empty() || getBlock()[dim] == kWhole || shape[dim] == 1;
}

//===----------------------------------------------------------------------===//
// Constraints
//===----------------------------------------------------------------------===//

/// Doubly quantized scales need 2; the limit keeps the number of parts, up to 2^depth, small.
static constexpr unsigned kMaxDepth = 4;

static unsigned depthOf(Type type) {
  auto quantized = dyn_cast_or_null<QType>(type);
  return quantized ? 1 + std::max(depthOf(quantized.getScale()), depthOf(quantized.getOffset())) : 0;
}

static LogicalResult verifyScaleType(function_ref<InFlightDiagnostic()> emitError, StringRef what, Type type) {
  if (isa<QType>(type) && depthOf(type) >= kMaxDepth)
    return emitError() << "expected quantized scales at most " << kMaxDepth - 1 << " deep, found " << what << " of "
                       << type;
  if (isa<QType>(type) || getScaleFormat(type))
    return success();
  return emitError() << "expected " << what << " of type f32, f16, bf16, f8E8M0FNU, f8E4M3FN or !qlow.q, found "
                     << type;
}

LogicalResult QType::verify(function_ref<InFlightDiagnostic()> emitError, const Format *format, Type scale,
                            const Format *zero, Type offset, ArrayRef<int64_t> block) {
  // T1
  if (failed(verifyScaleType(emitError, "a scale", scale)))
    return failure();
  if (offset && failed(verifyScaleType(emitError, "an offset", offset)))
    return failure();
  // T2
  if (zero && zero->kind != DecodeKind::Integer)
    return emitError() << "expected a zero point of an integer format such as u8, found " << StringRef(zero->name);
  if (zero && format->kind != DecodeKind::Integer)
    return emitError() << "has a zero point, which only integer codes have; codes are " << StringRef(format->name);
  // T3
  if (!block.empty() && llvm::all_of(block, [](int64_t size) { return size == kWhole; })) {
    InFlightDiagnostic diagnostic = emitError() << "block = ";
    std::string text;
    llvm::raw_string_ostream os(text);
    printBlock(os, block);
    return diagnostic << text << " means one scale for the tensor: leave block out";
  }
  return success();
}

SmallVector<int64_t> QType::getCanonicalBlock(ArrayRef<int64_t> shape, ArrayRef<int64_t> block) {
  SmallVector<int64_t> result(block);
  for (auto [size, entry] : llvm::zip(shape, result)) {
    if (ShapedType::isDynamic(size))
      continue;
    if (size == 1)
      entry = 1;
    else if (entry > 1 && entry >= size)
      entry = kWhole;
  }
  return result;
}

/// Codes of `format` for a tensor of `shape`, and their bytes, count at most 2^63 - 1; unknown sizes and 0 count as 1.
static bool isAddressable(const Format &format, ArrayRef<int64_t> shape) {
  std::optional<int64_t> count = format.codesPerGroup == 1 ? format.bytesPerGroup : 1;
  for (int64_t size : shape)
    if (count && size > 1)
      count = llvm::checkedMul(*count, size);
  return count.has_value();
}

// T4, T5
static LogicalResult verifyBlock(function_ref<InFlightDiagnostic()> emitError, QType quantized,
                                 ArrayRef<int64_t> shape) {
  ArrayRef<int64_t> block = quantized.getBlock();
  if (block.empty())
    return success();
  if (block.size() != shape.size())
    return emitError() << "block of " << quantized << " has rank " << block.size() << ", its tensor has rank "
                       << shape.size();
  SmallVector<int64_t> canonical = QType::getCanonicalBlock(shape, block);
  if (ArrayRef<int64_t>(canonical) == block)
    return success();
  std::string text;
  llvm::raw_string_ostream os(text);
  printBlock(os, canonical);
  InFlightDiagnostic diagnostic = emitError() << "block of " << quantized << " on a tensor of this shape is ";
  if (llvm::all_of(canonical, [](int64_t size) { return size == QType::kWhole; }))
    return diagnostic << "left out: it means one scale for the tensor";
  return diagnostic << "written block = " << text;
}

static LogicalResult verifyElement(function_ref<InFlightDiagnostic()> emitError, Type element,
                                   ArrayRef<int64_t> shape) {
  auto quantized = dyn_cast_or_null<QType>(element);
  if (!quantized)
    return success();
  if (failed(verifyBlock(emitError, quantized, shape)))
    return failure();
  SmallVector<int64_t> scales = quantized.getScaleShape(shape);
  // T6
  auto isPacked = [](const Format &format, ArrayRef<int64_t> shape) {
    return !shape.empty() && ShapedType::isDynamic(shape.back()) && format.codesPerGroup != 1;
  };
  if (isPacked(*quantized.getFormat(), shape))
    return emitError() << "the last dimension of a tensor of " << quantized
                       << " must be static: its codes do not fill whole bytes";
  if (quantized.getZero() && isPacked(*quantized.getZero(), scales))
    return emitError() << "the last dimension of a tensor of " << quantized
                       << " must be static: its zero points do not fill whole bytes";
  // T7. A zero point has as many codes as its scale, and a scale's floats take at most 4 bytes.
  if (!isAddressable(*quantized.getFormat(), shape) || !isAddressable(*findScaleFormat("f32"), scales))
    return emitError() << "a tensor of " << quantized << " of this shape has more than 2^63 - 1 codes or bytes";
  if (failed(verifyElement(emitError, quantized.getScale(), scales)))
    return failure();
  return verifyElement(emitError, quantized.getOffset(), scales);
}

LogicalResult QType::verifyTensor(function_ref<InFlightDiagnostic()> emitError, Type type) {
  if (auto ranked = dyn_cast<RankedTensorType>(type))
    return verifyElement(emitError, ranked.getElementType(), ranked.getShape());
  return success();
}
