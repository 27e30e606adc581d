//===- Rows.cpp - x86 multiply instructions ---------------------------------===//
//
// An entry is one instruction in one operand width, with the signedness it computes. `_via_offset` rows compute another
// signedness by the same instruction on values shifted by 128, which is exact:
//   sum (a + 128) b = sum a b + 128 sum b
// and the schedule subtracts the sums. `_via_vex` is the twin in the VEX encoding. Names are
// <isa>_<M>x<N>x<K>_<acc>_<lhs>_<rhs>. Rates are those of the vendors' optimization guides, uses per instruction.
//
//===----------------------------------------------------------------------===//

#include "Generic/Cpu.h"
#include "X86/X86.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace qlow;

static Value callIntrinsic(OpBuilder &builder, Location loc, StringRef name, Type result, ValueRange operands) {
  return LLVM::CallIntrinsicOp::create(builder, loc, result, builder.getStringAttr(name), operands).getResult(0);
}

/// Four u8 x s8 products and the accumulator in one sum that wraps; the 16-bit products do not saturate.
static Value emitVpdpbusd512(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs) {
  return callIntrinsic(builder, loc, "llvm.x86.avx512.vpdpbusd.512", acc.getType(), {acc, lhs, rhs});
}
static Value emitVpdpbusd256(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs) {
  return callIntrinsic(builder, loc, "llvm.x86.avx512.vpdpbusd.256", acc.getType(), {acc, lhs, rhs});
}

/// Two s16 products summed to i32, then added: exact for values of 9 bits (2 * 255 * 255 < 2^31).
template <const char *const &name>
static Value emitVpmaddwd(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs) {
  Value pairs = callIntrinsic(builder, loc, name, acc.getType(), {lhs, rhs});
  return arith::AddIOp::create(builder, loc, acc, pairs);
}
static constexpr const char *kMadd128 = "llvm.x86.sse2.pmadd.wd";
static constexpr const char *kMadd256 = "llvm.x86.avx2.pmadd.wd";
static constexpr const char *kMadd512 = "llvm.x86.avx512.pmaddw.d.512";

/// vector.fma becomes llvm.fmuladd, which the back end splits in two: nothing here lets it contract.
static Value emitFma(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs) {
  return LLVM::FMAOp::create(builder, loc, lhs, rhs, acc);
}

namespace {
/// The parts of a row that do not follow from its instruction.
struct Variant {
  StringRef id;
  OperandElement lhs, rhs;
  int32_t lhsOffset, rhsOffset;
};
} // namespace

static void addVpdpbusd(std::vector<MultiplyRow> &rows, int64_t lanes, std::vector<StringRef> features,
                        ArrayRef<Variant> variants) {
  for (const Variant &variant : variants) {
    MultiplyRow row{};
    row.id = variant.id;
    row.instruction = "vpdpbusd";
    row.m = 1, row.n = lanes, row.k = 4;
    row.lhs = variant.lhs, row.rhs = variant.rhs;
    row.storedLhs = OperandElement::U8, row.storedRhs = OperandElement::S8;
    row.lhsOffset = variant.lhsOffset, row.rhsOffset = variant.rhsOffset;
    row.features = features;
    row.uses = cpuUses(/*multiply=*/1);
    row.emit = lanes == 16 ? emitVpdpbusd512 : emitVpdpbusd256;
    rows.push_back(std::move(row));
  }
}

static void addVpmaddwd(std::vector<MultiplyRow> &rows, StringRef name, int64_t lanes, StringRef feature,
                        std::pair<StringRef, StringRef> ids, decltype(MultiplyRow::emit) emit) {
  for (auto [id, rhs] : {std::pair(ids.first, OperandElement::S8), std::pair(ids.second, OperandElement::U8)}) {
    MultiplyRow row{};
    row.id = id;
    row.instruction = name;
    row.m = 1, row.n = lanes, row.k = 2;
    row.lhs = row.storedLhs = OperandElement::S16;
    row.rhs = row.storedRhs = rhs;
    row.features = {feature};
    row.temporaries = 1;
    row.uses = cpuUses(/*multiply=*/1, /*alu=*/1);
    row.emit = emit;
    rows.push_back(std::move(row));
  }
}

static void addFma(std::vector<MultiplyRow> &rows, StringRef id, int64_t lanes, StringRef feature) {
  MultiplyRow row{};
  row.id = id;
  row.instruction = "vfmadd231ps";
  row.m = 1, row.n = lanes, row.k = 1;
  row.lhs = row.rhs = row.storedLhs = row.storedRhs = OperandElement::F32;
  row.isFloat = true;
  row.features = {feature};
  row.uses = cpuUses(/*multiply=*/1);
  row.emit = emitFma;
  rows.push_back(std::move(row));
}

static std::vector<MultiplyRow> makeRows() {
  std::vector<MultiplyRow> rows;
  using enum OperandElement;
  addVpdpbusd(rows, 16, {"avx512vnni"},
              {{"vpdpbusd_1x16x4_i32_u8_s8", U8, S8, 0, 0},
               {"vpdpbusd_1x16x4_i32_s8_s8_via_offset", S8, S8, -128, 0},
               {"vpdpbusd_1x16x4_i32_u8_u8_via_offset", U8, U8, 0, 128},
               {"vpdpbusd_1x16x4_i32_s8_u8_via_offset", S8, U8, -128, 128}});
  addVpdpbusd(rows, 8, {"avx512vnni", "avx512vl"},
              {{"vpdpbusd_1x8x4_i32_u8_s8", U8, S8, 0, 0},
               {"vpdpbusd_1x8x4_i32_s8_s8_via_offset", S8, S8, -128, 0},
               {"vpdpbusd_1x8x4_i32_u8_u8_via_offset", U8, U8, 0, 128},
               {"vpdpbusd_1x8x4_i32_s8_u8_via_offset", S8, U8, -128, 128}});
  addVpdpbusd(rows, 8, {"avxvnni"},
              {{"vpdpbusd_1x8x4_i32_u8_s8_via_vex", U8, S8, 0, 0},
               {"vpdpbusd_1x8x4_i32_s8_s8_via_offset_vex", S8, S8, -128, 0},
               {"vpdpbusd_1x8x4_i32_u8_u8_via_offset_vex", U8, U8, 0, 128},
               {"vpdpbusd_1x8x4_i32_s8_u8_via_offset_vex", S8, U8, -128, 128}});
  addVpmaddwd(rows, "vpmaddwd", 16, "avx512bw", {"vpmaddwd_1x16x2_i32_s16_s8", "vpmaddwd_1x16x2_i32_s16_u8"},
              emitVpmaddwd<kMadd512>);
  addVpmaddwd(rows, "vpmaddwd", 8, "avx2", {"vpmaddwd_1x8x2_i32_s16_s8", "vpmaddwd_1x8x2_i32_s16_u8"},
              emitVpmaddwd<kMadd256>);
  addVpmaddwd(rows, "pmaddwd", 4, "sse4.1", {"pmaddwd_1x4x2_i32_s16_s8", "pmaddwd_1x4x2_i32_s16_u8"},
              emitVpmaddwd<kMadd128>);
  addFma(rows, "vfmadd231ps_1x16x1_f32_f32_f32", 16, "avx512f");
  addFma(rows, "vfmadd231ps_1x8x1_f32_f32_f32", 8, "fma");
  return rows;
}

ArrayRef<MultiplyRow> qlow::x86Rows() {
  static const std::vector<MultiplyRow> rows = makeRows();
  return rows;
}
