//===- TensorRows.cpp - products whose sums lie in tensor memory ------------===//
//
// tcgen05.mma (PTX ISA 8.6, 9.7.16): one thread starts a product of matrices in shared memory, of 128 rows, whose sums
// stay in a memory of their own: a lane for each row, a column for each of the product's. An instruction descriptor
// says sizes and types; PTX shows the kind of types alone.
//
// The unit keeps 25 bits behind the binary point of the largest addend, of floats of 8 bits, too (MMA-Sim, arXiv
// 2511.10909, bit for bit what these chips compute; not measured here): no sum is promoted. Rates are those of NVIDIA's
// data sheet of the B200: 4.5 PFLOPS of 8 bits, half of that of 16, four times what mma.sync makes a cycle.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/Rows.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace qlow;

static constexpr int64_t kRows = 128;

/// Numbers of types in an instruction descriptor (PTX ISA 8.6, 9.7.16.4.2).
static constexpr int64_t typeNumber(OperandElement element) {
  switch (element) {
  case OperandElement::S8:   // U8: 0
  case OperandElement::BF16: // F16: 0
  case OperandElement::E5M2: // E4M3: 0
    return 1;
  default:
    return 0;
  }
}

/// D (+)= A B: `sums` is where D lies, `adds` whether it is added to; lhs and rhs are descriptors of shared memory.
template <NVVM::Tcgen05MMAKind kind, int64_t n, OperandElement lhsElement, OperandElement rhsElement,
          bool byColumns = false>
static void startProduct(OpBuilder &builder, Location loc, Value sums, Value adds, Value lhs, Value rhs) {
  constexpr int64_t sumType = kind == NVVM::Tcgen05MMAKind::I8 ? 2 : 1; // s32, f32
  constexpr int64_t descriptor = sumType << 4 | typeNumber(lhsElement) << 7 | typeNumber(rhsElement) << 10 |
                                 (byColumns ? 1 << 16 : 0) | n / 8 << 17 | kRows / 16 << 24;
  Value instruction = arith::ConstantIntOp::create(builder, loc, descriptor, 32);
  NVVM::Tcgen05MMAOp::create(builder, loc, kind, NVVM::CTAGroupKind::CTA_1, NVVM::Tcgen05MMACollectorOp::DISCARD,
                             /*aShift=*/false, sums, lhs, rhs, instruction, adds, Value(), Value());
}

static MultiplyRow tensorRow(StringRef id, StringRef instruction, StringRef kind, int64_t n, OperandElement lhs,
                             OperandElement rhs, decltype(MultiplyRow::emitStart) emit) {
  MultiplyRow row{};
  row.id = id;
  row.instruction = instruction;
  row.m = kRows, row.n = n, row.k = 256 / elementBits(lhs); // 32 bytes
  row.kGroup = 128 / elementBits(lhs);                      // bytes of a line of a core matrix
  row.nGroup = 8;                                           // lines of a core matrix
  row.scope = MultiplyRow::Scope::Warpgroup;
  row.lhs = row.storedLhs = lhs;
  row.rhs = row.storedRhs = rhs;
  row.isFloat = kind != "i8";
  row.sumsInMemory = true;
  row.features = {"sm_100a", "ptx86"};
  row.uses[static_cast<unsigned>(Resource::Multiply)] = static_cast<double>(kRows * n) / 128 / 4; // in mma.sync's
  row.emitStart = emit;
  row.assembly = llvm::formatv("tcgen05.mma.cta_group::1.kind::{0}", kind);
  row.machineCode = kind == "i8" ? "UTCIMMA" : kind == "f16" ? "UTCHMMA" : "UTCQMMA";
  return row;
}

template <int64_t n, OperandElement lhs, OperandElement rhs> static MultiplyRow ofIntegers(StringRef id) {
  return tensorRow(id, "tcgen05.mma.kind::i8", "i8", n, lhs, rhs, startProduct<NVVM::Tcgen05MMAKind::I8, n, lhs, rhs>);
}
template <int64_t n, OperandElement element, bool byColumns = false> static MultiplyRow ofHalves(StringRef id) {
  MultiplyRow row = tensorRow(id, "tcgen05.mma.kind::f16", "f16", n, element, element,
                              startProduct<NVVM::Tcgen05MMAKind::F16, n, element, element, byColumns>);
  row.rhsByColumns = byColumns;
  return row;
}
template <int64_t n, OperandElement lhs, OperandElement rhs> static MultiplyRow ofSmallFloats(StringRef id) {
  return tensorRow(id, "tcgen05.mma.kind::f8f6f4", "f8f6f4", n, lhs, rhs,
                   startProduct<NVVM::Tcgen05MMAKind::F8F6F4, n, lhs, rhs>);
}

std::vector<MultiplyRow> qlow::tensorRows() {
  using enum OperandElement;
  return {
      ofIntegers<256, S8, S8>("tcgen05_128x256x32_i32_s8_s8"),
      ofIntegers<256, U8, S8>("tcgen05_128x256x32_i32_u8_s8"),
      ofIntegers<256, S8, U8>("tcgen05_128x256x32_i32_s8_u8"),
      ofIntegers<256, U8, U8>("tcgen05_128x256x32_i32_u8_u8"),
      ofIntegers<128, S8, S8>("tcgen05_128x128x32_i32_s8_s8"),
      ofIntegers<128, U8, S8>("tcgen05_128x128x32_i32_u8_s8"),
      ofIntegers<128, S8, U8>("tcgen05_128x128x32_i32_s8_u8"),
      ofIntegers<128, U8, U8>("tcgen05_128x128x32_i32_u8_u8"),
      // Of few columns, so that few rows keep all of the chip busy.
      ofIntegers<64, S8, S8>("tcgen05_128x64x32_i32_s8_s8"),
      ofIntegers<64, U8, S8>("tcgen05_128x64x32_i32_u8_s8"),
      ofIntegers<64, S8, U8>("tcgen05_128x64x32_i32_s8_u8"),
      ofIntegers<64, U8, U8>("tcgen05_128x64x32_i32_u8_u8"),
      ofIntegers<32, S8, S8>("tcgen05_128x32x32_i32_s8_s8"),
      ofIntegers<32, U8, S8>("tcgen05_128x32x32_i32_u8_s8"),
      ofIntegers<32, S8, U8>("tcgen05_128x32x32_i32_s8_u8"),
      ofIntegers<32, U8, U8>("tcgen05_128x32x32_i32_u8_u8"),
      ofHalves<256, F16>("tcgen05_128x256x16_f32_f16_f16"),
      ofHalves<128, F16>("tcgen05_128x128x16_f32_f16_f16"),
      ofHalves<64, F16>("tcgen05_128x64x16_f32_f16_f16"),
      ofHalves<32, F16>("tcgen05_128x32x16_f32_f16_f16"),
      ofHalves<256, BF16>("tcgen05_128x256x16_f32_bf16_bf16"),
      ofHalves<128, BF16>("tcgen05_128x128x16_f32_bf16_bf16"),
      ofHalves<64, BF16>("tcgen05_128x64x16_f32_bf16_bf16"),
      ofHalves<32, BF16>("tcgen05_128x32x16_f32_bf16_bf16"),
      ofHalves<256, F16, true>("tcgen05_128x256x16_f32_f16_f16_via_columns"),
      ofHalves<128, F16, true>("tcgen05_128x128x16_f32_f16_f16_via_columns"),
      ofHalves<64, F16, true>("tcgen05_128x64x16_f32_f16_f16_via_columns"),
      ofHalves<256, BF16, true>("tcgen05_128x256x16_f32_bf16_bf16_via_columns"),
      ofHalves<128, BF16, true>("tcgen05_128x128x16_f32_bf16_bf16_via_columns"),
      ofHalves<64, BF16, true>("tcgen05_128x64x16_f32_bf16_bf16_via_columns"),
      ofSmallFloats<256, E4M3, E4M3>("tcgen05_128x256x32_f32_e4m3_e4m3"),
      ofSmallFloats<256, E4M3, E5M2>("tcgen05_128x256x32_f32_e4m3_e5m2"),
      ofSmallFloats<256, E5M2, E4M3>("tcgen05_128x256x32_f32_e5m2_e4m3"),
      ofSmallFloats<256, E5M2, E5M2>("tcgen05_128x256x32_f32_e5m2_e5m2"),
      ofSmallFloats<128, E4M3, E4M3>("tcgen05_128x128x32_f32_e4m3_e4m3"),
      ofSmallFloats<128, E4M3, E5M2>("tcgen05_128x128x32_f32_e4m3_e5m2"),
      ofSmallFloats<128, E5M2, E4M3>("tcgen05_128x128x32_f32_e5m2_e4m3"),
      ofSmallFloats<128, E5M2, E5M2>("tcgen05_128x128x32_f32_e5m2_e5m2"),
      ofSmallFloats<64, E4M3, E4M3>("tcgen05_128x64x32_f32_e4m3_e4m3"),
      ofSmallFloats<64, E4M3, E5M2>("tcgen05_128x64x32_f32_e4m3_e5m2"),
      ofSmallFloats<64, E5M2, E4M3>("tcgen05_128x64x32_f32_e5m2_e4m3"),
      ofSmallFloats<64, E5M2, E5M2>("tcgen05_128x64x32_f32_e5m2_e5m2"),
      ofSmallFloats<32, E4M3, E4M3>("tcgen05_128x32x32_f32_e4m3_e4m3"),
      ofSmallFloats<32, E4M3, E5M2>("tcgen05_128x32x32_f32_e4m3_e5m2"),
      ofSmallFloats<32, E5M2, E4M3>("tcgen05_128x32x32_f32_e5m2_e4m3"),
      ofSmallFloats<32, E5M2, E5M2>("tcgen05_128x32x32_f32_e5m2_e5m2"),
  };
}
