//===- BitRows.cpp - products of integers of less than a byte ---------------===//
//
// mma.sync of 4-bit integers and of signs (PTX ISA 8.0, 9.7.13.4): 32 threads multiply fragments, a word of which holds
// eight or 32 elements, lowest bits first. In bytes they are those of 8-bit integers, so a step of K takes as many.
//
// Chips from Hopper on have no products of 4 bits: ptxas unpacks each operand at every use, for two products of 8-bit
// integers. Of those of signs Hopper has one that counts common ones, Blackwell none (machine code for sm_90 to
// sm_120).
//
//===----------------------------------------------------------------------===//

#include "NVPTX/Rows.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace qlow;

/// D = A B + C on fragments: acc 4 x i32, lhs 4 x i32, rhs 2 x i32. Sums wrap mod 2^32; of signs they count k.
template <int64_t k, NVVM::MMATypes lhsType, NVVM::MMATypes rhsType, NVVM::MMAB1Op ofSigns = NVVM::MMAB1Op::none>
static Value emitMmaOfBits(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs) {
  constexpr bool isSign = ofSigns != NVVM::MMAB1Op::none;
  SmallVector<Type> words(4, builder.getI32Type());
  auto mma =
      NVVM::MmaOp::create(builder, loc, LLVM::LLVMStructType::getLiteral(builder.getContext(), words),
                          elementsOf(builder, loc, lhs), elementsOf(builder, loc, rhs), elementsOf(builder, loc, acc),
                          ArrayRef<int64_t>{16, 8, k}, isSign ? std::optional(ofSigns) : std::nullopt,
                          isSign ? std::nullopt : std::optional(NVVM::MMAIntOverflow::wrapped),
                          std::array<NVVM::MMATypes, 2>{lhsType, rhsType},
                          std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row, NVVM::MMALayout::col});
  return fragmentOf(builder, loc, mma.getRes());
}

static MultiplyRow mmaOfBits(StringRef id, StringRef instruction, int64_t k, OperandElement lhs, OperandElement rhs,
                             decltype(MultiplyRow::emit) emit) {
  MultiplyRow row = mmaOfWarp(id, instruction, k, lhs, rhs);
  row.features = {"sm_80"};
  row.lostWith = "sm_90";
  row.emit = emit;
  return row;
}

/// `alu`: operations that ptxas adds to each product's `multiplies`, by the rate of such products on an H100.
static MultiplyRow expanded(MultiplyRow row, StringRef id, StringRef feature, StringRef expansion,
                            StringRef machineCode, double multiplies, double alu) {
  row.id = id;
  row.features = {feature};
  row.lostWith = {};
  row.expansion = expansion;
  row.machineCode = machineCode;
  row.uses[static_cast<unsigned>(Resource::Multiply)] = multiplies;
  row.uses[static_cast<unsigned>(Resource::Alu)] = alu;
  return row;
}

static std::vector<MultiplyRow> nibbleRows() {
  using enum OperandElement;
  constexpr auto s4 = NVVM::MMATypes::s4, u4 = NVVM::MMATypes::u4;
  constexpr StringRef kName = "mma.sync.m16n8k64", kTwo = "two products of 8-bit integers", kSince = "sm_90";
  MultiplyRow s4s4 = mmaOfBits("mma_16x8x64_i32_s4_s4", kName, 64, S4, S4, emitMmaOfBits<64, s4, s4>);
  MultiplyRow u4s4 = mmaOfBits("mma_16x8x64_i32_u4_s4", kName, 64, U4, S4, emitMmaOfBits<64, u4, s4>);
  MultiplyRow s4u4 = mmaOfBits("mma_16x8x64_i32_s4_u4", kName, 64, S4, U4, emitMmaOfBits<64, s4, u4>);
  MultiplyRow u4u4 = mmaOfBits("mma_16x8x64_i32_u4_u4", kName, 64, U4, U4, emitMmaOfBits<64, u4, u4>);
  return {s4s4,
          u4s4,
          s4u4,
          u4u4,
          expanded(s4s4, "mma_16x8x64_i32_s4_s4_via_s8", kSince, kTwo, "IMMA.16832.S8.S8", 2, 300),
          expanded(u4s4, "mma_16x8x64_i32_u4_s4_via_s8", kSince, kTwo, "IMMA.16832.U8.S8", 2, 148),
          expanded(s4u4, "mma_16x8x64_i32_s4_u4_via_s8", kSince, kTwo, "IMMA.16832.S8.U8", 2, 225),
          expanded(u4u4, "mma_16x8x64_i32_u4_u4_via_s8", kSince, kTwo, "IMMA.16832.U8.U8", 2, 64)};
}

/// Differing signs need no sums of rows and columns; common ones are what a Hopper chip still counts.
static std::vector<MultiplyRow> signRows() {
  constexpr auto b1 = NVVM::MMATypes::b1;
  using enum OperandElement;
  constexpr StringRef kOnes = "two products that count common ones", kBytes = "products of 8-bit integers";
  MultiplyRow differences = mmaOfBits("mma_16x8x256_i32_b1_b1", "mma.sync.m16n8k256.xor", 256, B1, B1,
                                      emitMmaOfBits<256, b1, b1, NVVM::MMAB1Op::xor_popc>);
  MultiplyRow common = mmaOfBits("mma_16x8x256_i32_b1_b1_via_common", "mma.sync.m16n8k256.and", 256, B1, B1,
                                 emitMmaOfBits<256, b1, b1, NVVM::MMAB1Op::and_popc>);
  differences.machineCode = "BMMA.168256.XOR.POPC";
  common.machineCode = "BMMA.168256.AND.POPC";
  common.countsCommon = true;
  common.features = {"sm_90"}; // older chips count differences as fast
  common.lostWith = "sm_100";
  MultiplyRow twoCommon =
      expanded(differences, "mma_16x8x256_i32_b1_b1_via_and", "sm_90", kOnes, common.machineCode, 2, 43);
  twoCommon.lostWith = "sm_100";
  // Counted in the machine code, not measured.
  MultiplyRow bytes =
      expanded(differences, "mma_16x8x256_i32_b1_b1_via_u8", "sm_100", kBytes, "IMMA.16832.U8.U8", 8, 140);
  return {differences, common, twoCommon, bytes};
}

std::vector<MultiplyRow> qlow::bitRows() {
  std::vector<MultiplyRow> rows = nibbleRows();
  llvm::append_range(rows, signRows());
  return rows;
}
