//===- SmallFloatRows.cpp - products of floats of 8 bits --------------------===//
//
// mma.sync and wgmma of E4M3 and E5M2. They are summed with 13 bits behind the binary point of the largest addend, the
// sum so far among them: what an addend has below is cut off (measured on an H200). So no sum in a matrix unit is long,
// mma's is one instruction, wgmma's is promoted; but in rows `via_long_sums`, which are for fast sums alone.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/Rows.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace qlow;

/// D = A B + C on fragments: acc 4 x f32. The product is a sum of its own, added to acc by the threads where there is
/// one.
template <OperandElement lhsElement, OperandElement rhsElement>
static Value emitMmaOfSmallFloats(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs) {
  Type f32 = builder.getF32Type();
  auto result = LLVM::LLVMStructType::getLiteral(builder.getContext(), {f32, f32, f32, f32});
  SmallVector<Value> operands = elementsOf(builder, loc, lhs);
  llvm::append_range(operands, elementsOf(builder, loc, rhs));
  operands.append(4, arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(0)));
  // nvvm.mma.sync takes no floats of 8 bits.
  std::string name =
      ("llvm.nvvm.mma.m16n8k32.row.col.f32." + elementName(lhsElement) + "." + elementName(rhsElement) + ".f32").str();
  auto mma = LLVM::CallIntrinsicOp::create(builder, loc, result, builder.getStringAttr(name), operands);
  Value product = fragmentOf(builder, loc, mma.getResults());
  return acc ? arith::AddFOp::create(builder, loc, acc, product).getResult() : product;
}

static MultiplyRow mmaOfSmallFloats(StringRef id, OperandElement lhs, OperandElement rhs, EmitProduct emit) {
  MultiplyRow row = mmaOfBytes(id, lhs, rhs, emit);
  row.isFloat = true;
  row.features = {"sm_89", "ptx84"};
  row.uses[static_cast<unsigned>(Resource::Alu)] = 4; // additions
  return row;
}

/// A B200 has mma of small floats as an instruction of PTX only, as an H100 beside its wgmma: ptxas makes f16 of
/// them.
static MultiplyRow expandedMmaOfSmallFloats(StringRef id, OperandElement lhs, OperandElement rhs, EmitProduct emit) {
  MultiplyRow row = mmaOfSmallFloats(id, lhs, rhs, emit);
  row.features = {"sm_100", "ptx84"};
  row.lostWith = "sm_89"; // those have it
  row.expansion = "two products of f16";
  row.machineCode = "HMMA.16816.F32";
  row.uses[static_cast<unsigned>(Resource::Multiply)] = 4; // half of the size, at half the rate
  row.uses[static_cast<unsigned>(Resource::Alu)] += 12;    // conversions of a word
  return row;
}

/// A warpgroup has no registers for 256 columns twice, the instruction's sums and those they are added to, but for 192.
static MultiplyRow wgmmaOfSmallFloats(StringRef id, StringRef instruction, int64_t n, OperandElement lhs,
                                      OperandElement rhs, EmitProduct emit) {
  MultiplyRow row = wgmma(id, instruction, n, lhs, rhs, emit);
  row.isFloat = true;
  row.promotion = 128;
  row.uses[static_cast<unsigned>(Resource::Alu)] = static_cast<double>(row.m * n * row.k) / row.promotion / 32;
  return row;
}

static MultiplyRow fastWgmmaOfSmallFloats(StringRef id, StringRef instruction, int64_t n, OperandElement lhs,
                                          OperandElement rhs, EmitProduct emit) {
  MultiplyRow row = wgmma(id, instruction, n, lhs, rhs, emit);
  row.isFloat = row.isFast = true;
  return row;
}

std::vector<MultiplyRow> qlow::smallFloatRows() {
  using enum OperandElement;
  constexpr auto we4m3 = NVVM::WGMMATypes::e4m3, we5m2 = NVVM::WGMMATypes::e5m2, wf32 = NVVM::WGMMATypes::f32;
  return {
      mmaOfSmallFloats("mma_16x8x32_f32_e4m3_e4m3", E4M3, E4M3, emitMmaOfSmallFloats<E4M3, E4M3>),
      mmaOfSmallFloats("mma_16x8x32_f32_e4m3_e5m2", E4M3, E5M2, emitMmaOfSmallFloats<E4M3, E5M2>),
      mmaOfSmallFloats("mma_16x8x32_f32_e5m2_e4m3", E5M2, E4M3, emitMmaOfSmallFloats<E5M2, E4M3>),
      mmaOfSmallFloats("mma_16x8x32_f32_e5m2_e5m2", E5M2, E5M2, emitMmaOfSmallFloats<E5M2, E5M2>),
      expandedMmaOfSmallFloats("mma_16x8x32_f32_e4m3_e4m3_via_f16", E4M3, E4M3, emitMmaOfSmallFloats<E4M3, E4M3>),
      expandedMmaOfSmallFloats("mma_16x8x32_f32_e4m3_e5m2_via_f16", E4M3, E5M2, emitMmaOfSmallFloats<E4M3, E5M2>),
      expandedMmaOfSmallFloats("mma_16x8x32_f32_e5m2_e4m3_via_f16", E5M2, E4M3, emitMmaOfSmallFloats<E5M2, E4M3>),
      expandedMmaOfSmallFloats("mma_16x8x32_f32_e5m2_e5m2_via_f16", E5M2, E5M2, emitMmaOfSmallFloats<E5M2, E5M2>),
      wgmmaOfSmallFloats("wgmma_64x192x32_f32_e4m3_e4m3", "wgmma.m64n192k32", 192, E4M3, E4M3,
                         emitWgmma<192, we4m3, we4m3, wf32>),
      wgmmaOfSmallFloats("wgmma_64x192x32_f32_e4m3_e5m2", "wgmma.m64n192k32", 192, E4M3, E5M2,
                         emitWgmma<192, we4m3, we5m2, wf32>),
      wgmmaOfSmallFloats("wgmma_64x192x32_f32_e5m2_e4m3", "wgmma.m64n192k32", 192, E5M2, E4M3,
                         emitWgmma<192, we5m2, we4m3, wf32>),
      wgmmaOfSmallFloats("wgmma_64x192x32_f32_e5m2_e5m2", "wgmma.m64n192k32", 192, E5M2, E5M2,
                         emitWgmma<192, we5m2, we5m2, wf32>),
      wgmmaOfSmallFloats("wgmma_64x128x32_f32_e4m3_e4m3", "wgmma.m64n128k32", 128, E4M3, E4M3,
                         emitWgmma<128, we4m3, we4m3, wf32>),
      wgmmaOfSmallFloats("wgmma_64x128x32_f32_e4m3_e5m2", "wgmma.m64n128k32", 128, E4M3, E5M2,
                         emitWgmma<128, we4m3, we5m2, wf32>),
      wgmmaOfSmallFloats("wgmma_64x128x32_f32_e5m2_e4m3", "wgmma.m64n128k32", 128, E5M2, E4M3,
                         emitWgmma<128, we5m2, we4m3, wf32>),
      wgmmaOfSmallFloats("wgmma_64x128x32_f32_e5m2_e5m2", "wgmma.m64n128k32", 128, E5M2, E5M2,
                         emitWgmma<128, we5m2, we5m2, wf32>),
      wgmmaOfSmallFloats("wgmma_64x64x32_f32_e4m3_e4m3", "wgmma.m64n64k32", 64, E4M3, E4M3,
                         emitWgmma<64, we4m3, we4m3, wf32>),
      wgmmaOfSmallFloats("wgmma_64x64x32_f32_e4m3_e5m2", "wgmma.m64n64k32", 64, E4M3, E5M2,
                         emitWgmma<64, we4m3, we5m2, wf32>),
      wgmmaOfSmallFloats("wgmma_64x64x32_f32_e5m2_e4m3", "wgmma.m64n64k32", 64, E5M2, E4M3,
                         emitWgmma<64, we5m2, we4m3, wf32>),
      wgmmaOfSmallFloats("wgmma_64x64x32_f32_e5m2_e5m2", "wgmma.m64n64k32", 64, E5M2, E5M2,
                         emitWgmma<64, we5m2, we5m2, wf32>),
      wgmmaOfSmallFloats("wgmma_64x32x32_f32_e4m3_e4m3", "wgmma.m64n32k32", 32, E4M3, E4M3,
                         emitWgmma<32, we4m3, we4m3, wf32>),
      wgmmaOfSmallFloats("wgmma_64x32x32_f32_e4m3_e5m2", "wgmma.m64n32k32", 32, E4M3, E5M2,
                         emitWgmma<32, we4m3, we5m2, wf32>),
      wgmmaOfSmallFloats("wgmma_64x32x32_f32_e5m2_e4m3", "wgmma.m64n32k32", 32, E5M2, E4M3,
                         emitWgmma<32, we5m2, we4m3, wf32>),
      wgmmaOfSmallFloats("wgmma_64x32x32_f32_e5m2_e5m2", "wgmma.m64n32k32", 32, E5M2, E5M2,
                         emitWgmma<32, we5m2, we5m2, wf32>),
  };
}

std::vector<MultiplyRow> qlow::fastSmallFloatRows() {
  using enum OperandElement;
  constexpr auto we4m3 = NVVM::WGMMATypes::e4m3, we5m2 = NVVM::WGMMATypes::e5m2, wf32 = NVVM::WGMMATypes::f32;
  return {
      fastWgmmaOfSmallFloats("wgmma_64x256x32_f32_e4m3_e4m3_via_long_sums", "wgmma.m64n256k32", 256, E4M3, E4M3,
                             emitWgmma<256, we4m3, we4m3, wf32>),
      fastWgmmaOfSmallFloats("wgmma_64x256x32_f32_e4m3_e5m2_via_long_sums", "wgmma.m64n256k32", 256, E4M3, E5M2,
                             emitWgmma<256, we4m3, we5m2, wf32>),
      fastWgmmaOfSmallFloats("wgmma_64x256x32_f32_e5m2_e4m3_via_long_sums", "wgmma.m64n256k32", 256, E5M2, E4M3,
                             emitWgmma<256, we5m2, we4m3, wf32>),
      fastWgmmaOfSmallFloats("wgmma_64x256x32_f32_e5m2_e5m2_via_long_sums", "wgmma.m64n256k32", 256, E5M2, E5M2,
                             emitWgmma<256, we5m2, we5m2, wf32>),
      fastWgmmaOfSmallFloats("wgmma_64x192x32_f32_e4m3_e4m3_via_long_sums", "wgmma.m64n192k32", 192, E4M3, E4M3,
                             emitWgmma<192, we4m3, we4m3, wf32>),
      fastWgmmaOfSmallFloats("wgmma_64x192x32_f32_e4m3_e5m2_via_long_sums", "wgmma.m64n192k32", 192, E4M3, E5M2,
                             emitWgmma<192, we4m3, we5m2, wf32>),
      fastWgmmaOfSmallFloats("wgmma_64x192x32_f32_e5m2_e4m3_via_long_sums", "wgmma.m64n192k32", 192, E5M2, E4M3,
                             emitWgmma<192, we5m2, we4m3, wf32>),
      fastWgmmaOfSmallFloats("wgmma_64x192x32_f32_e5m2_e5m2_via_long_sums", "wgmma.m64n192k32", 192, E5M2, E5M2,
                             emitWgmma<192, we5m2, we5m2, wf32>),
      fastWgmmaOfSmallFloats("wgmma_64x128x32_f32_e4m3_e4m3_via_long_sums", "wgmma.m64n128k32", 128, E4M3, E4M3,
                             emitWgmma<128, we4m3, we4m3, wf32>),
      fastWgmmaOfSmallFloats("wgmma_64x128x32_f32_e4m3_e5m2_via_long_sums", "wgmma.m64n128k32", 128, E4M3, E5M2,
                             emitWgmma<128, we4m3, we5m2, wf32>),
      fastWgmmaOfSmallFloats("wgmma_64x128x32_f32_e5m2_e4m3_via_long_sums", "wgmma.m64n128k32", 128, E5M2, E4M3,
                             emitWgmma<128, we5m2, we4m3, wf32>),
      fastWgmmaOfSmallFloats("wgmma_64x128x32_f32_e5m2_e5m2_via_long_sums", "wgmma.m64n128k32", 128, E5M2, E5M2,
                             emitWgmma<128, we5m2, we5m2, wf32>),
  };
}
