//===- KernelBuilder.cpp - what schedules build kernels with ----------------===//
//
// See KernelBuilder.h. Must not know of tiles, hops or threads.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/KernelBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;
using namespace qlow;

KernelBuilder::KernelBuilder(OpBuilder &builder, MatmulKernelOp op, const Machine &machine)
    : builder(builder), loc(op.getLoc()), index(builder, loc), i32(builder, loc, builder.getI32Type()),
      i64(builder, loc, builder.getI64Type()), op(op), machine(machine), overlapsLaunches(machine.hasFeature("sm_90")),
      rank(cast<ShapedType>(op.getOut().getType()).getRank()), m(index.dim(op.getOut(), rank - 2)),
      batchCount(index.constant(1)) {
  for (int64_t dim = 0; dim < rank - 2; ++dim) {
    batchSizes.push_back(index.dim(op.getOut(), dim));
    batchCount = index.mul(batchCount, batchSizes.back());
  }
}

void KernelBuilder::emitNextMayStart() {
  if (overlapsLaunches)
    NVVM::GriddepcontrolOp::create(builder, loc, NVVM::GridDepActionKind::launch_dependents);
}

void KernelBuilder::emitWaitForLast() {
  if (overlapsLaunches)
    NVVM::GriddepcontrolOp::create(builder, loc, NVVM::GridDepActionKind::wait);
}

bool KernelBuilder::isWeight(Value memref) {
  while (auto view = memref.getDefiningOp<ViewLikeOpInterface>())
    memref = view.getViewSource();
  return memref.getDefiningOp<GetWeightOp>() != nullptr;
}

Value KernelBuilder::pointerOf(Value memref) {
  Value address = memref::ExtractAlignedPointerAsIndexOp::create(builder, loc, memref);
  auto type = LLVM::LLVMPointerType::get(builder.getContext(), static_cast<unsigned>(NVVM::NVVMMemorySpace::Global));
  return LLVM::IntToPtrOp::create(builder, loc, type, i64.cast(address));
}

Value KernelBuilder::offset(Value pointer, Value bytes) {
  return LLVM::GEPOp::create(builder, loc, pointer.getType(), builder.getI8Type(), pointer, ValueRange{bytes});
}

Value KernelBuilder::emitTensorMap(Value memref, ArrayRef<int64_t> sizes, nvgpu::TensorMapSwizzleKind swizzle,
                                   Value lines) {
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  auto space = builder.getI64IntegerAttr(static_cast<int64_t>(NVVM::NVVMMemorySpace::Shared));
  auto type = nvgpu::TensorMapDescriptorType::get(
      builder.getContext(), MemRefType::get(sizes, element, MemRefLayoutAttrInterface(), space), swizzle,
      nvgpu::TensorMapL2PromoKind::L2PROMO_256B, nvgpu::TensorMapOOBKind::OOB_ZERO,
      nvgpu::TensorMapInterleaveKind::INTERLEAVE_NONE);
  Value whole = memref::CastOp::create(builder, loc, UnrankedMemRefType::get(element, Attribute()), memref);
  SmallVector<Value> extents;
  for (int64_t size : sizes)
    extents.push_back(index.constant(size));
  if (lines)
    extents[sizes.size() - 2] = lines;
  return nvgpu::TmaCreateDescriptorOp::create(builder, loc, type, whole, extents);
}

/// All dimensions before the last two become one.
Value KernelBuilder::emitMatrixMap(Value memref, ArrayRef<int64_t> box, Value lines,
                                   nvgpu::TensorMapSwizzleKind swizzle) {
  SmallVector<int64_t> sizes(box);
  if (rank > 2) {
    SmallVector<ReassociationIndices> groups{llvm::to_vector(llvm::seq<int64_t>(0, rank - 2)), {rank - 2}, {rank - 1}};
    if (rank > 3)
      memref = memref::CollapseShapeOp::create(builder, loc, memref, groups);
    sizes.insert(sizes.begin(), 1);
  }
  return emitTensorMap(memref, sizes, swizzle, lines);
}

// The copy engine takes long to fill lines past an edge with zeros: on an H100, 130 x 3072 x 7168 of f16 x i4 in tiles
// of 128 rows took 40.9 us where the last tile's boxes were whole, 256 x 3072 x 7168 20.2.
KernelBuilder::TileMaps KernelBuilder::emitTileMaps(Value memref, Value lines, ArrayRef<int64_t> box) {
  std::optional<int64_t> known = getConstantIntValue(OpFoldResult(lines));
  if (known && *known % box[0] == 0)
    return {emitMatrixMap(memref, box), {}};
  if (known && *known < box[0])
    return {emitMatrixMap(memref, box, lines), {}};
  return {emitMatrixMap(memref, box), emitMatrixMap(memref, box, linesOfLast(index, lines, box[0]))};
}

Value KernelBuilder::linesOfLast(IndexBuilder &builder, Value lines, int64_t tile) {
  Value before = builder.mul(builder.sub(builder.ceilDiv(lines, tile), builder.constant(1)), tile);
  return builder.sub(lines, before);
}

Value KernelBuilder::addressOf(Value map) {
  if (!map)
    return {};
  Type pointer = LLVM::LLVMPointerType::get(builder.getContext());
  return UnrealizedConversionCastOp::create(builder, loc, TypeRange(pointer), map).getResult(0);
}

Value KernelBuilder::mapOfTile(const TileMaps &maps, Value inside, int64_t lines) {
  if (!maps.last)
    return maps.whole;
  return i32.select(i32.equal(inside, i32.constant(lines)), maps.whole, maps.last);
}

void KernelBuilder::emitZeros(Value pointer, Value first, Value end, int64_t stride) {
  auto loop = scf::ForOp::create(builder, loc, first, end, i32.constant(stride));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  Value zeros =
      arith::ConstantOp::create(builder, loc, builder.getZeroAttr(VectorType::get({4}, builder.getI32Type())));
  LLVM::StoreOp::create(builder, loc, zeros, offset(pointer, loop.getInductionVar()), /*alignment=*/16);
}

/// nvvm has operands for policies, but nothing that makes one.
Value KernelBuilder::emitEvictFirst() {
  return LLVM::InlineAsmOp::create(builder, loc, TypeRange(builder.getI64Type()), ValueRange(),
                                   "createpolicy.fractional.L2::evict_first.b64 $0, 1.0;", "=l",
                                   /*has_side_effects=*/false, /*is_align_stack=*/false,
                                   LLVM::tailcallkind::TailCallKind::None, nullptr, nullptr)
      .getRes();
}

void KernelBuilder::emitProxyFence() {
  NVVM::FenceProxyOp::create(builder, loc,
                             NVVM::ProxyKindAttr::get(builder.getContext(), NVVM::ProxyKind::async_shared),
                             NVVM::SharedSpaceAttr::get(builder.getContext(), NVVM::SharedSpace::shared_cta));
}

void KernelBuilder::ifThen(Value condition, function_ref<void()> body) {
  if (getConstantIntValue(OpFoldResult(condition)).value_or(0))
    return body();
  OpBuilder::InsertionGuard guard(builder);
  auto branch = scf::IfOp::create(builder, loc, condition, /*withElseRegion=*/false);
  builder.setInsertionPointToStart(&branch.getThenRegion().front());
  body();
}

Value KernelBuilder::emitExtra(unsigned number, ValueRange batch, Value row, Value column) {
  AffineMap map = cast<AffineMapAttr>(op.getExtraMaps()[number]).getValue();
  SmallVector<Value> indices;
  for (AffineExpr result : map.getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(result);
    unsigned at = dim ? dim.getPosition() : 0;
    indices.push_back(!dim             ? index.constant(cast<AffineConstantExpr>(result).getValue())
                      : at == rank - 1 ? column
                      : at == rank - 2 ? row
                                       : batch[at]);
  }
  return memref::LoadOp::create(builder, loc, op.getExtras()[number], indices);
}

void KernelBuilder::markProducts(gpu::LaunchOp launch, const MultiplyRow &row) {
  ArrayRef<int64_t> lhs = cast<ShapedType>(op.getLhsType()).getShape();
  auto isNone = [](int64_t size) { return size == 0; };
  if (llvm::none_of(lhs, isNone) && llvm::none_of(cast<ShapedType>(op.getOut().getType()).getShape(), isNone))
    launch->setAttr(kRowAttribute,
                    builder.getDictionaryAttr({builder.getNamedAttr("id", builder.getStringAttr(row.id)),
                                               builder.getNamedAttr("of", builder.getArrayAttr(LocationAttr(loc)))}));
}

Value KernelBuilder::emitRegion(ArrayRef<Value> arguments) {
  Block &region = op.getEpilogue().front();
  IRMapping mapping;
  mapping.map(region.getArguments(), arguments);
  for (Operation &inner : region.without_terminator())
    builder.clone(inner, mapping);
  return mapping.lookupOrDefault(region.getTerminator()->getOperand(0));
}
