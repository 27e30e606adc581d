//===- ScaledRows.cpp - products of codes under scales ----------------------===//
//
// mma.sync with block scales (PTX ISA 8.7, 9.7.14.3): 32 threads multiply fragments of small floats, each 16 or 32 k of
// a row or column by its scale. Fragments lie as those of integers of as many bits; scales are bytes of words, and the
// instruction says which of them, and which lanes have them: of each four, two have those of rows g and g + 8, another
// number one has column g's.
//
// Sums stay in the unit. Of products of 8 bits it keeps 25 bits behind the binary point of the largest addend, as other
// units do of 16-bit floats; of 4 bits, 16 products are summed exactly and 35 bits kept of what scales make of them
// (MMA-Sim, arXiv 2511.10909, bit for bit what these chips compute; not measured here). So they are within what the law
// lets f32 sums in any order be off. A scale's sign is none to the instruction.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/Rows.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace qlow;

/// D = (A scales)(B scales) + C on fragments: acc 4 x f32, lhs 4 and rhs 2 words.
template <int64_t k, NVVM::MMATypes lhsType, NVVM::MMATypes rhsType, NVVM::MMABlockScaleKind kind,
          NVVM::ScaleVecSize count, NVVM::BlockScaleFormat scales>
static Value emitScaledMma(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs, ScaleWord lhsScales,
                           ScaleWord rhsScales) {
  Type f32 = builder.getF32Type();
  auto result = LLVM::LLVMStructType::getLiteral(builder.getContext(), {f32, f32, f32, f32});
  auto selector = [&](int64_t value) -> Value {
    return LLVM::ConstantOp::create(builder, loc, builder.getI16IntegerAttr(static_cast<int16_t>(value)));
  };
  auto mma = NVVM::MmaBlockScaleOp::create(
      builder, loc, result, elementsOf(builder, loc, lhs), elementsOf(builder, loc, rhs), elementsOf(builder, loc, acc),
      lhsScales.word, selector(lhsScales.byte), selector(lhsScales.part), rhsScales.word, selector(rhsScales.byte),
      selector(rhsScales.part), ArrayRef<int64_t>{16, 8, k}, std::array<NVVM::MMATypes, 2>{lhsType, rhsType}, count,
      scales, kind);
  return fragmentOf(builder, loc, mma.getRes());
}

/// Twice as many products as of other floats in the time of one of integers.
static MultiplyRow scaledMma(StringRef id, StringRef instruction, int64_t k, OperandElement lhs, OperandElement rhs,
                             int64_t together, OperandElement scales, decltype(MultiplyRow::emitScaled) emit) {
  MultiplyRow row = mmaOfWarp(id, instruction, k, lhs, rhs);
  row.isFloat = true;
  row.scaledTogether = together;
  row.scales = scales;
  row.features = {"sm_120a", "ptx87"};
  row.emitScaled = emit;
  bool isByte = elementBits(lhs) == 8;
  StringRef kind = isByte ? "mxf8f6f4" : scales == OperandElement::E8M0 ? "mxf4" : "mxf4nvf4";
  row.assembly = llvm::formatv("mma.sync.aligned.m16n8k{0}.row.col.kind::{1}.block_scale.scale_vec::{2}X.f32.{3}.{4}."
                               "f32.u{5}",
                               k, kind, k / together, elementName(lhs), elementName(rhs), elementName(scales));
  row.machineCode = llvm::formatv("{0}MMA.SF.168{1}.F32.{2}.{3}", isByte ? "Q" : "O", k, elementName(lhs).upper(),
                                  elementName(rhs).upper());
  return row;
}

template <NVVM::MMATypes lhsType, NVVM::MMATypes rhsType>
static MultiplyRow scaledMmaOfBytes(StringRef id, OperandElement lhs, OperandElement rhs) {
  return scaledMma(id, "mma.sync.m16n8k32.block_scale", 32, lhs, rhs, 32, OperandElement::E8M0,
                   emitScaledMma<32, lhsType, rhsType, NVVM::MMABlockScaleKind::MXF8F6F4, NVVM::ScaleVecSize::X1,
                                 NVVM::BlockScaleFormat::UE8M0>);
}

std::vector<MultiplyRow> qlow::scaledRows() {
  using enum OperandElement;
  using Kind = NVVM::MMABlockScaleKind;
  using Count = NVVM::ScaleVecSize;
  using Scale = NVVM::BlockScaleFormat;
  constexpr auto e4m3 = NVVM::MMATypes::e4m3, e5m2 = NVVM::MMATypes::e5m2, e2m1 = NVVM::MMATypes::e2m1;
  constexpr StringRef kNibbles = "mma.sync.m16n8k64.block_scale";
  return {
      scaledMmaOfBytes<e4m3, e4m3>("mma_16x8x32_f32_e4m3_e4m3_via_ue8m0", E4M3, E4M3),
      scaledMmaOfBytes<e4m3, e5m2>("mma_16x8x32_f32_e4m3_e5m2_via_ue8m0", E4M3, E5M2),
      scaledMmaOfBytes<e5m2, e4m3>("mma_16x8x32_f32_e5m2_e4m3_via_ue8m0", E5M2, E4M3),
      scaledMmaOfBytes<e5m2, e5m2>("mma_16x8x32_f32_e5m2_e5m2_via_ue8m0", E5M2, E5M2),
      scaledMma("mma_16x8x64_f32_e2m1_e2m1_via_ue8m0", kNibbles, 64, E2M1, E2M1, 32, E8M0,
                emitScaledMma<64, e2m1, e2m1, Kind::MXF4, Count::X2, Scale::UE8M0>),
      scaledMma("mma_16x8x64_f32_e2m1_e2m1_via_ue4m3", kNibbles, 64, E2M1, E2M1, 16, E4M3,
                emitScaledMma<64, e2m1, e2m1, Kind::MXF4NVF4, Count::X4, Scale::UE4M3>),
  };
}
