//===- HalfRows.cpp - products of floats of 16 bits -------------------------===//
//
// mma.sync and wgmma of f16 and bf16. The unit keeps 25 bits of a sum, of 16 products at a time, and cuts off to f32
// (measured on an H100): far within what the law lets f32 sums in any order be off. Rows `via_registers` take what
// weights are unpacked to; rows `via_columns` read a right side whose columns lie side by side, which the unit does for
// these floats alone.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/Rows.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace qlow;

/// D = A B + C on fragments: acc 4 x f32, lhs 4 and rhs 2 words of two 16-bit floats each. Products are exact in f32.
template <NVVM::MMATypes type>
static Value emitMma16x8x16(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs) {
  Type f32 = builder.getF32Type();
  auto pair = VectorType::get({2}, builder.getF16Type());
  // nvvm takes bf16 as words.
  auto operandsOf = [&](Value words) {
    SmallVector<Value> operands = elementsOf(builder, loc, words);
    if (type == NVVM::MMATypes::f16)
      for (Value &operand : operands)
        operand = LLVM::BitcastOp::create(builder, loc, pair, operand);
    return operands;
  };
  auto result = LLVM::LLVMStructType::getLiteral(builder.getContext(), {f32, f32, f32, f32});
  auto mma = NVVM::MmaOp::create(builder, loc, result, operandsOf(lhs), operandsOf(rhs), elementsOf(builder, loc, acc),
                                 ArrayRef<int64_t>{16, 8, 16}, std::nullopt, std::nullopt,
                                 std::array<NVVM::MMATypes, 2>{type, type},
                                 std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row, NVVM::MMALayout::col});
  return fragmentOf(builder, loc, mma.getRes());
}

/// Twice the bytes in half the k: as many uses as the product of bytes.
static MultiplyRow mmaOfHalves(StringRef id, OperandElement element, EmitProduct emit) {
  MultiplyRow row = mmaOfBytes(id, element, element, emit);
  row.instruction = "mma.sync.m16n8k16";
  row.k = 16;
  row.kGroup = 8;
  row.isFloat = true;
  return row;
}

/// Of 16-bit floats: twice the bytes in half the k. Their sums are f32's own.
template <int64_t n, bool isHalf, bool byColumns = false>
static MultiplyRow wgmmaOfHalves(StringRef id, StringRef instruction) {
  constexpr auto type = isHalf ? NVVM::WGMMATypes::f16 : NVVM::WGMMATypes::bf16;
  constexpr auto layout = byColumns ? NVVM::MMALayout::row : NVVM::MMALayout::col;
  OperandElement element = isHalf ? OperandElement::F16 : OperandElement::BF16;
  MultiplyRow row =
      wgmma(id, instruction, n, element, element, emitWgmma<n, type, type, NVVM::WGMMATypes::f32, layout>);
  row.k = 16;
  row.kGroup = 8;
  row.isFloat = true;
  row.rhsByColumns = byColumns;
  return row;
}

std::vector<MultiplyRow> qlow::halfRows() {
  using enum OperandElement;
  return {
      mmaOfHalves("mma_16x8x16_f32_f16_f16", F16, emitMma16x8x16<NVVM::MMATypes::f16>),
      mmaOfHalves("mma_16x8x16_f32_bf16_bf16", BF16, emitMma16x8x16<NVVM::MMATypes::bf16>),
      wgmmaOfRegisters<8, F16>("wgmma_64x8x16_f32_f16_f16_via_registers", "wgmma.m64n8k16"),
      wgmmaOfRegisters<16, F16>("wgmma_64x16x16_f32_f16_f16_via_registers", "wgmma.m64n16k16"),
      wgmmaOfRegisters<32, F16>("wgmma_64x32x16_f32_f16_f16_via_registers", "wgmma.m64n32k16"),
      wgmmaOfRegisters<64, F16>("wgmma_64x64x16_f32_f16_f16_via_registers", "wgmma.m64n64k16"),
      wgmmaOfRegisters<96, F16>("wgmma_64x96x16_f32_f16_f16_via_registers", "wgmma.m64n96k16"),
      wgmmaOfRegisters<128, F16>("wgmma_64x128x16_f32_f16_f16_via_registers", "wgmma.m64n128k16"),
      wgmmaOfRegisters<160, F16>("wgmma_64x160x16_f32_f16_f16_via_registers", "wgmma.m64n160k16"),
      wgmmaOfRegisters<192, F16>("wgmma_64x192x16_f32_f16_f16_via_registers", "wgmma.m64n192k16"),
      wgmmaOfRegisters<224, F16>("wgmma_64x224x16_f32_f16_f16_via_registers", "wgmma.m64n224k16"),
      wgmmaOfRegisters<256, F16>("wgmma_64x256x16_f32_f16_f16_via_registers", "wgmma.m64n256k16"),
      wgmmaOfRegisters<8, BF16>("wgmma_64x8x16_f32_bf16_bf16_via_registers", "wgmma.m64n8k16"),
      wgmmaOfRegisters<16, BF16>("wgmma_64x16x16_f32_bf16_bf16_via_registers", "wgmma.m64n16k16"),
      wgmmaOfRegisters<32, BF16>("wgmma_64x32x16_f32_bf16_bf16_via_registers", "wgmma.m64n32k16"),
      wgmmaOfRegisters<64, BF16>("wgmma_64x64x16_f32_bf16_bf16_via_registers", "wgmma.m64n64k16"),
      wgmmaOfRegisters<96, BF16>("wgmma_64x96x16_f32_bf16_bf16_via_registers", "wgmma.m64n96k16"),
      wgmmaOfRegisters<128, BF16>("wgmma_64x128x16_f32_bf16_bf16_via_registers", "wgmma.m64n128k16"),
      wgmmaOfRegisters<160, BF16>("wgmma_64x160x16_f32_bf16_bf16_via_registers", "wgmma.m64n160k16"),
      wgmmaOfRegisters<192, BF16>("wgmma_64x192x16_f32_bf16_bf16_via_registers", "wgmma.m64n192k16"),
      wgmmaOfRegisters<224, BF16>("wgmma_64x224x16_f32_bf16_bf16_via_registers", "wgmma.m64n224k16"),
      wgmmaOfRegisters<256, BF16>("wgmma_64x256x16_f32_bf16_bf16_via_registers", "wgmma.m64n256k16"),
      wgmmaOfHalves<256, true>("wgmma_64x256x16_f32_f16_f16", "wgmma.m64n256k16"),
      wgmmaOfHalves<224, true>("wgmma_64x224x16_f32_f16_f16", "wgmma.m64n224k16"),
      wgmmaOfHalves<192, true>("wgmma_64x192x16_f32_f16_f16", "wgmma.m64n192k16"),
      wgmmaOfHalves<160, true>("wgmma_64x160x16_f32_f16_f16", "wgmma.m64n160k16"),
      wgmmaOfHalves<128, true>("wgmma_64x128x16_f32_f16_f16", "wgmma.m64n128k16"),
      wgmmaOfHalves<64, true>("wgmma_64x64x16_f32_f16_f16", "wgmma.m64n64k16"),
      wgmmaOfHalves<32, true>("wgmma_64x32x16_f32_f16_f16", "wgmma.m64n32k16"),
      wgmmaOfHalves<256, true, true>("wgmma_64x256x16_f32_f16_f16_via_columns", "wgmma.m64n256k16"),
      wgmmaOfHalves<192, true, true>("wgmma_64x192x16_f32_f16_f16_via_columns", "wgmma.m64n192k16"),
      wgmmaOfHalves<128, true, true>("wgmma_64x128x16_f32_f16_f16_via_columns", "wgmma.m64n128k16"),
      wgmmaOfHalves<64, true, true>("wgmma_64x64x16_f32_f16_f16_via_columns", "wgmma.m64n64k16"),
      wgmmaOfHalves<256, false>("wgmma_64x256x16_f32_bf16_bf16", "wgmma.m64n256k16"),
      wgmmaOfHalves<224, false>("wgmma_64x224x16_f32_bf16_bf16", "wgmma.m64n224k16"),
      wgmmaOfHalves<192, false>("wgmma_64x192x16_f32_bf16_bf16", "wgmma.m64n192k16"),
      wgmmaOfHalves<160, false>("wgmma_64x160x16_f32_bf16_bf16", "wgmma.m64n160k16"),
      wgmmaOfHalves<128, false>("wgmma_64x128x16_f32_bf16_bf16", "wgmma.m64n128k16"),
      wgmmaOfHalves<64, false>("wgmma_64x64x16_f32_bf16_bf16", "wgmma.m64n64k16"),
      wgmmaOfHalves<32, false>("wgmma_64x32x16_f32_bf16_bf16", "wgmma.m64n32k16"),
      wgmmaOfHalves<256, false, true>("wgmma_64x256x16_f32_bf16_bf16_via_columns", "wgmma.m64n256k16"),
      wgmmaOfHalves<192, false, true>("wgmma_64x192x16_f32_bf16_bf16_via_columns", "wgmma.m64n192k16"),
      wgmmaOfHalves<128, false, true>("wgmma_64x128x16_f32_bf16_bf16_via_columns", "wgmma.m64n128k16"),
      wgmmaOfHalves<64, false, true>("wgmma_64x64x16_f32_bf16_bf16_via_columns", "wgmma.m64n64k16"),
  };
}
