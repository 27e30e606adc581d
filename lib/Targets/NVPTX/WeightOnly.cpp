//===- WeightOnly.cpp - what schedules of weight-only products share --------===//
//
// Scales and zero points, which stay in the model's order beside the packed codes, and the way from a sum to the
// result: scale of the column, epilogue region, store.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/WeightOnly.h"
#include "qlow/Dialect/Elements.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <numeric>

using namespace mlir;
using namespace qlow;

static int64_t sizeOf(MatmulKernelOp op, bool ofK) {
  ArrayRef<int64_t> shape = cast<RankedTensorType>(op.getRhsType()).getShape();
  return shape[shape.size() - (ofK == op.getTransposeRhs() ? 1 : 2)];
}

int64_t WeightOnly::codesAlongK(MatmulKernelOp op, bool isLhs) {
  return codesUnderOneScale(getQuantizedElement(isLhs ? op.getLhsType() : op.getRhsType()),
                            /*alongLast=*/isLhs ? !op.getTransposeLhs() : op.getTransposeRhs());
}

std::string WeightOnly::declineScales(const MultiplyRow &row, int64_t ofTokens, int64_t ofWeight) {
  int64_t together = std::gcd(ofTokens, ofWeight);
  if (together == 0 ||
      (together >= row.k && (Layout::kFragmentK % together == 0 || together % Layout::kFragmentK == 0)))
    return {};
  auto lengthOf = [](int64_t length) { return length ? std::to_string(length) : std::string("all"); };
  return llvm::formatv("takes sums under one scale of each side of {0}32, 64 or multiples of {1} k, the left side has "
                       "scales for {2} of k and the right side for {3}",
                       row.k == 16 ? "16, " : "", Layout::kFragmentK, lengthOf(ofTokens), lengthOf(ofWeight));
}

WeightOnly::WeightOnly(OpBuilder &builder, MatmulKernelOp op, RecipeAttr recipe, const MultiplyRow &row,
                       const Machine &machine)
    : KernelBuilder(builder, op, machine), recipe(recipe), row(row), type(getQuantizedElement(op.getRhsType())),
      layout(*op.getPackedRhs(), sizeOf(op, false), sizeOf(op, true)),
      decoder(builder, loc, *alignedFormat(*type.getFormat()), type.getZero(), row.lhs), n(layout.n), k(layout.k),
      scaledTogether(std::gcd(codesAlongK(op, /*isLhs=*/true), codesAlongK(op, /*isLhs=*/false))),
      tokenSize(elementBytes(row.rhs)), areTokensScaled(codesAlongK(op, /*isLhs=*/true) != 0),
      scalesAreCodes(scaledTogether != 0 && scaleCodesOf(type).isScaled) {}

//===----------------------------------------------------------------------===//
// Building blocks
//===----------------------------------------------------------------------===//

Value WeightOnly::offset(Value pointer, int64_t bytes) {
  return bytes ? LLVM::GEPOp::create(builder, loc, pointer.getType(), builder.getI8Type(), pointer,
                                     ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(bytes)})
               : pointer;
}

Value WeightOnly::dynamicShared() {
  auto space = gpu::AddressSpaceAttr::get(builder.getContext(), gpu::AddressSpace::Workgroup);
  auto bytes = MemRefType::get({ShapedType::kDynamic}, builder.getI8Type(), MemRefLayoutAttrInterface{}, space);
  Value memory = gpu::DynamicSharedMemoryOp::create(builder, loc, bytes);
  auto pointer = LLVM::LLVMPointerType::get(builder.getContext(), static_cast<unsigned>(NVVM::NVVMMemorySpace::Shared));
  Value address = memref::ExtractAlignedPointerAsIndexOp::create(builder, loc, memory);
  return LLVM::IntToPtrOp::create(builder, loc, pointer, i64.cast(address));
}

Value WeightOnly::wordsOf(ValueRange words) {
  auto vector = VectorType::get({static_cast<int64_t>(words.size())}, words.front().getType());
  return vector::FromElementsOp::create(builder, loc, vector, words);
}

Value WeightOnly::f32(double value) {
  return arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(static_cast<float>(value)));
}

gpu::LaunchOp WeightOnly::startLaunch(Value blocks, int64_t threads, int64_t sharedBytes, int64_t cluster) {
  Value one = index.constant(1);
  Value bytes = arith::ConstantIntOp::create(builder, loc, sharedBytes, 32);
  bool isCluster = cluster > 1;
  auto launch = gpu::LaunchOp::create(builder, loc, blocks, one, one, index.constant(threads), one, one, bytes,
                                      /*asyncTokenType=*/nullptr, /*asyncDependencies=*/{}, TypeRange(), TypeRange(),
                                      isCluster ? index.constant(cluster) : Value(), isCluster ? one : Value(),
                                      isCluster ? one : Value());
  markProducts(launch, row);
  // The op's builder forgets the block's place in its cluster and the cluster's sizes.
  while (launch.getBody().getNumArguments() < launch.getNumConfigRegionAttributes())
    launch.getBody().addArgument(builder.getIndexType(), loc);
  builder.setInsertionPointToStart(&launch.getBody().front());
  gpu::TerminatorOp::create(builder, loc);
  builder.setInsertionPointToStart(&launch.getBody().front());
  m32 = i32.cast(m);
  thread = i32.cast(launch.getThreadIds().x);
  lane = i32.rem(thread, kWarp);
  warp = i32.div(thread, kWarp);
  emitNextMayStart();
  return launch;
}

Value WeightOnly::takeBatch(Value number, Value perBatch) {
  linearBatch = i64.constant(0);
  if (rank == 2)
    return number;
  Value remaining = index.cast(i32.div(number, perBatch));
  linearBatch = i64.cast(remaining);
  for (Value size : llvm::reverse(batchSizes)) {
    batch.insert(batch.begin(), index.rem(remaining, size));
    remaining = index.div(remaining, size);
  }
  return i32.rem(number, perBatch);
}

//===----------------------------------------------------------------------===//
// Scales and zero points
//===----------------------------------------------------------------------===//

int64_t WeightOnly::stepsPerScale() const {
  int64_t most = Layout::kFragmentK;
  return (scaledTogether ? std::min(scaledTogether, most) : most) / row.k;
}

int64_t WeightOnly::scaleNumber(int64_t block, int64_t step) const {
  int64_t perBlock = Layout::kFragmentK / row.k / stepsPerScale();
  return block * perBlock + step / stepsPerScale();
}

SmallVector<Value> WeightOnly::indicesOf(Value column, Value kIndex) {
  SmallVector<Value> indices(batch);
  bool kIsLast = op.getTransposeRhs();
  indices.append({kIsLast ? column : kIndex, kIsLast ? kIndex : column});
  return indices;
}

/// The codes' place is taken by packed bytes, which nothing reads here.
Value WeightOnly::emitEndScale(Value column) {
  ElementReader reader(type, op.getRhs());
  return reader.emitScale(builder, loc, indicesOf(index.cast(column), index.constant(0)));
}

Value WeightOnly::emitTensorScale() {
  auto codes = cast<QType>(type.getScale());
  ElementReader reader(codes, op.getRhs().slice(1, QType::getNumParts(codes)));
  return reader.emitScale(builder, loc, {});
}

/// The codes of scales, or of zero points.
Value WeightOnly::partOf(Kind kind) {
  return op.getRhs()[kind == Kind::Scales ? 1 : 1 + QType::getNumParts(type.getScale())];
}

bool WeightOnly::lieTogether(Kind kind, int64_t blocks) {
  if (kind == Kind::Scales ? scalesAtEnd() : !type.getZero())
    return true;
  const Format *format = formatOf(kind);
  if (!format || scaledTogether == 0 || scaledTogether > Layout::kFragmentK || rank != 2 || !op.getTransposeRhs() ||
      type.getBlock().empty() || type.getBlock()[1] != scaledTogether)
    return false;
  Value part = partOf(kind);
  auto memref = cast<MemRefType>(part.getType());
  int64_t count = blocks * scaleNumber(1, 0), groups = llvm::divideCeil(k, scaledTogether), bits = format->bits * count;
  bool isRowOfColumn = memref.hasStaticShape() && memref.getLayout().isIdentity() && type.getBlock()[0] == 1 &&
                       memref.getDimSize(0) == n;
  // Constants of a device lie at multiples of 64 bytes; rows begin at multiples of the load.
  bool isConstant = part.getDefiningOp() && !isa<memref::AllocOp>(part.getDefiningOp());
  return isRowOfColumn && isConstant && count > 1 && groups % count == 0 && bits % 8 == 0 && bits <= kMostLoadBits &&
         llvm::isPowerOf2_64(bits) && (format->bits == 4 || format->bits % 8 == 0) &&
         format->rowBytes(groups) % (bits / 8) == 0;
}

/// `count` parameters that lie side by side along K, from `group` (i32, a multiple of count) on, as one load brings
/// them.
Value WeightOnly::loadTogether(Kind kind, Value column, Value group, int64_t count) {
  const Format &format = *formatOf(kind);
  int64_t rowBytes = format.rowBytes(llvm::divideCeil(k, scaledTogether)), loadBytes = format.bits * count / 8;
  Value at = i32.add(i32.mul(column, rowBytes), i32.mul(i32.div(group, count), loadBytes));
  int64_t unit = std::min<int64_t>(loadBytes, 4);
  auto word = builder.getIntegerType(8 * unit);
  Type loaded = loadBytes > 4 ? Type(VectorType::get({loadBytes / 4}, word)) : word;
  return LLVM::LoadOp::create(builder, loc, loaded, offset(pointerOf(partOf(kind)), i64.cast(at)), loadBytes,
                              /*isVolatile=*/false, /*isNonTemporal=*/false, /*isInvariant=*/true);
}

/// `count` codes, i32, from number `first` on of what was loaded.
SmallVector<Value> WeightOnly::codesOf(Value loaded, const Format &format, int64_t first, int64_t count) {
  SmallVector<Value> result;
  for (int64_t i = first; i < first + count; ++i) {
    int64_t bit = i * format.bits;
    Value code = loaded;
    if (isa<VectorType>(loaded.getType()))
      code = LLVM::ExtractElementOp::create(builder, loc, loaded, i32.constant(bit / 32));
    code = i32.cast(code);
    if (format.bits < 32) {
      code = builder.createOrFold<arith::ShRUIOp>(loc, code, i32.constant(bit % 32));
      code = arith::AndIOp::create(builder, loc, code, i32.constant((int64_t(1) << format.bits) - 1));
    }
    result.push_back(code);
  }
  return result;
}

/// A scale's bits, i32, as f32: the machine widens f16 itself. 2^-127 is subnormal, its bits are others, and it is
/// never folded. Other small floats are shifted to their places, subnormals to those of subnormals, and their exponent
/// is mended by a product. What is no number becomes one, or an infinity: nothing is promised of these.
Value WeightOnly::emitScaleOfBits(const Format &format, Value bits) {
  Type scale = type.getScale(), f32Type = builder.getF32Type();
  if (scale.isF16()) {
    Value narrow = arith::TruncIOp::create(builder, loc, builder.getI16Type(), bits);
    return LLVM::FPExtOp::create(builder, loc, f32Type, arith::BitcastOp::create(builder, loc, scale, narrow));
  }
  constexpr int64_t kMantissa = 23, kExponents = 8;
  const MinifloatLayout &layout = format.layout;
  bool isExponent = format.kind == DecodeKind::Minifloat && !layout.isSigned && layout.mantissaBits == 0 &&
                    layout.exponentBits == kExponents && layout.bias == 127;
  if (isExponent) {
    Value number = arith::ShLIOp::create(builder, loc, bits, i32.constant(kMantissa));
    if (recipe.getRescale() != "fold")
      number = i32.max(number, i32.constant(1 << (kMantissa - 1)));
    return LLVM::BitcastOp::create(builder, loc, f32Type, number);
  }
  if (format.kind != DecodeKind::Minifloat || format.bits > 8 || !layout.hasZero)
    return emitDecode(builder, loc, format, bits);
  int64_t places = layout.exponentBits + layout.mantissaBits;
  Value number = arith::AndIOp::create(builder, loc, bits, i32.constant((int64_t(1) << places) - 1));
  number = arith::ShLIOp::create(builder, loc, number, i32.constant(kMantissa - layout.mantissaBits));
  if (layout.isSigned) {
    Value sign = arith::ShLIOp::create(builder, loc, bits, i32.constant(31 - places));
    sign = arith::AndIOp::create(builder, loc, sign, i32.constant(int64_t(1) << 31));
    number = arith::OrIOp::create(builder, loc, number, sign);
  }
  return arith::MulFOp::create(builder, loc, LLVM::BitcastOp::create(builder, loc, f32Type, number),
                               f32(std::ldexp(1.0, 127 - layout.bias)));
}

SmallVector<Value> WeightOnly::loadParameters(Kind kind, Value column, Value block, int64_t blocks, int64_t validK) {
  if (kind == Kind::Scales ? scalesAtEnd() : !type.getZero())
    return {};
  ElementReader reader(type, op.getRhs());
  auto readAt = [&](Value kIndex) {
    SmallVector<Value> indices = indicesOf(index.cast(column), index.cast(kIndex));
    if (kind == Kind::Zeros)
      return reader.emitZeroPoint(builder, loc, indices);
    return scalesAreCodes ? emitScaleOfBits(*formatOf(kind), reader.emitScaleCode(builder, loc, indices))
                          : reader.emitScale(builder, loc, indices);
  };
  SmallVector<Value> result;
  if (scaledTogether == 0) {
    result.assign(blocks * scaleNumber(1, 0), readAt(i32.constant(0)));
    return result;
  }
  int64_t perBlock = scaleNumber(1, 0), valid = llvm::divideCeil(validK, row.k * stepsPerScale());
  if (valid == perBlock && lieTogether(kind, blocks))
    return {loadTogether(kind, column, i32.mul(block, perBlock), blocks * perBlock)};
  for (int64_t i = 0; i < blocks; ++i)
    for (int64_t j = 0; j < perBlock; ++j) {
      Value kIndex = i32.add(i32.mul(i32.add(block, i), Layout::kFragmentK), j * stepsPerScale() * row.k);
      // A group that begins beyond K scales nothing but zeros.
      if (validK == Layout::kFragmentK && (k % Layout::kFragmentK || k / Layout::kFragmentK % blocks))
        kIndex = i32.min(kIndex, i32.constant(k - 1));
      result.push_back(j < valid ? readAt(kIndex) : result.back());
    }
  return result;
}

const Format *WeightOnly::formatOf(Kind kind) const {
  if (kind == Kind::Zeros)
    return type.getZero();
  if (auto codes = dyn_cast<QType>(type.getScale()))
    return scalesAreCodes ? codes.getFormat() : nullptr;
  return getScaleFormat(type.getScale());
}

SmallVector<Value> WeightOnly::decodeParameters(Kind kind, ArrayRef<Value> loaded, int64_t blocks, int64_t first,
                                                int64_t count) {
  int64_t perBlock = scaleNumber(1, 0);
  if (loaded.empty())
    return {};
  if (static_cast<int64_t>(loaded.size()) == blocks * perBlock)
    return SmallVector<Value>(loaded.slice(first * perBlock, count * perBlock));
  const Format &format = *formatOf(kind);
  SmallVector<Value> result;
  for (Value code : codesOf(loaded.front(), format, first * perBlock, count * perBlock))
    result.push_back(kind == Kind::Scales ? emitScaleOfBits(format, code) : emitInteger(builder, loc, format, code));
  return result;
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

Value WeightOnly::zeroSum(Type type) { return type.isF32() ? f32(0) : i32.constant(0); }

Value WeightOnly::addSums(Value a, Value b) {
  if (getElementTypeOrSelf(a).isF32())
    return arith::AddFOp::create(builder, loc, a, b);
  return arith::AddIOp::create(builder, loc, a, b);
}

Value WeightOnly::addScaled(Value sum, Value scale, Value total) {
  if (!sum.getType().isF32()) // of bytes, at most 2^21 in magnitude: exact
    sum = arith::SIToFPOp::create(builder, loc, builder.getF32Type(), sum);
  return LLVM::FMAOp::create(builder, loc, builder.getF32Type(), sum, scale, total,
                             LLVM::FastmathFlagsAttr::get(builder.getContext(), LLVM::FastmathFlags::none));
}

Value WeightOnly::emitTokenScale(Value token, Value kIndex) {
  SmallVector<Value> indices(batch);
  indices.append({index.cast(token), index.cast(kIndex)});
  return ElementReader(getQuantizedElement(op.getLhsType()), op.getLhs()).emitScale(builder, loc, indices);
}

Value WeightOnly::emitResult(Value sum, Value token, Value column) {
  bool isExact = !sum.getType().isF32();
  if (isExact && decoder.factor() != 1) {
    Value shift = i32.constant(-std::ilogb(decoder.factor()));
    sum = arith::ShRSIOp::create(builder, loc, sum, shift); // nothing is lost
  } else if (!isExact) {
    if (scalesAtEnd())
      sum = arith::MulFOp::create(builder, loc, sum, emitEndScale(column));
    if (powerOfCodes)
      sum = arith::MulFOp::create(builder, loc, sum, f32(std::ldexp(1.0, static_cast<int>(powerOfCodes))));
    if (scalesAreCodes)
      sum = arith::MulFOp::create(builder, loc, sum, emitTensorScale());
    if (decoder.factor() != 1 && recipe.getRescale() != "fold")
      sum = arith::MulFOp::create(builder, loc, sum, f32(decoder.factor()));
    if (!row.isFloat && !areTokensScaled)
      sum = arith::MulFOp::create(builder, loc, sum, emitTokenScale(token, i32.constant(0)));
  }
  SmallVector<Value> arguments{sum};
  for (unsigned number = 0, e = op.getExtras().size(); number < e; ++number)
    arguments.push_back(emitExtra(number, batch, index.cast(token), index.cast(column)));
  return emitRegion(arguments);
}

void WeightOnly::emitStore(ValueRange results, Value token, Value column) {
  Type element = results.front().getType();
  int64_t bytes = llvm::divideCeil(element.getIntOrFloatBitWidth(), 8);
  Value line = i64.add(i64.mul(linearBatch, i64.cast(m)), i64.cast(token));
  Value at = i64.mul(i64.add(i64.mul(line, n), i64.cast(column)), bytes);
  Value value = results.size() > 1 ? wordsOf(results) : results.front();
  LLVM::StoreOp::create(builder, loc, value, offset(pointerOf(op.getOut()), at), bytes * results.size());
}
