//===- Rows.cpp - NVIDIA multiply instructions ------------------------------===//
//
// `mma_*` rows are mma.sync: 32 threads multiply fragments that each holds a part of (PTX ISA 8.0, 9.7.13.4). All four
// mixes of signedness are instructions of their own. `wgmma_*` rows are wgmma.mma_async: 128 threads start a product of
// matrices in shared memory (9.7.15), all mixes too; what they cost is the mma of the same size at half.
//
// Here are those of codes of 8 bits, which are summed exactly, and how all of them are found; other elements have files
// of their own.
//
// `fma` and `mad` rows are one thread's scalar instructions: any chip has them, so they close the list. Uses are of a
// warp's instruction: a thread's is 1/32.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/Rows.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace qlow;

static Value emitFma(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs) {
  return math::FmaOp::create(builder, loc, lhs, rhs, acc);
}

static Value emitMad(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs) {
  return arith::AddIOp::create(builder, loc, acc, arith::MulIOp::create(builder, loc, lhs, rhs));
}

SmallVector<Value> qlow::elementsOf(OpBuilder &builder, Location loc, Value vector) {
  SmallVector<Value> elements;
  for (int64_t i = 0, e = cast<VectorType>(vector.getType()).getNumElements(); i < e; ++i)
    elements.push_back(vector::ExtractOp::create(builder, loc, vector, i));
  return elements;
}

Value qlow::fragmentOf(OpBuilder &builder, Location loc, Value sums) {
  auto type = cast<LLVM::LLVMStructType>(sums.getType());
  SmallVector<Value> elements;
  for (int64_t i = 0, e = type.getBody().size(); i < e; ++i)
    elements.push_back(LLVM::ExtractValueOp::create(builder, loc, sums, i));
  auto vector = VectorType::get({static_cast<int64_t>(elements.size())}, type.getBody().front());
  return vector::FromElementsOp::create(builder, loc, vector, elements);
}

/// D = A B + C on fragments: acc 4 x i32, lhs 4 x i32 of four bytes each, rhs 2 x i32. Sums wrap mod 2^32.
template <NVVM::MMATypes lhsType, NVVM::MMATypes rhsType>
static Value emitMma16x8x32(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs) {
  Type i32 = builder.getI32Type();
  auto result = LLVM::LLVMStructType::getLiteral(builder.getContext(), {i32, i32, i32, i32});
  auto mma = NVVM::MmaOp::create(builder, loc, result, elementsOf(builder, loc, lhs), elementsOf(builder, loc, rhs),
                                 elementsOf(builder, loc, acc), ArrayRef<int64_t>{16, 8, 32}, std::nullopt,
                                 NVVM::MMAIntOverflow::wrapped, std::array<NVVM::MMATypes, 2>{lhsType, rhsType},
                                 std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row, NVVM::MMALayout::col});
  return fragmentOf(builder, loc, mma.getRes());
}

static ResourceVector usesOf(Resource resource, double amount) {
  ResourceVector uses{};
  uses[static_cast<unsigned>(resource)] = amount;
  return uses;
}

MultiplyRow qlow::mmaOfWarp(StringRef id, StringRef instruction, int64_t k, OperandElement lhs, OperandElement rhs) {
  MultiplyRow row{};
  row.id = id;
  row.instruction = instruction;
  row.m = 16, row.n = 8, row.k = k;
  row.kGroup = k / 2; // elements of a row that one address of ldmatrix names
  row.scope = MultiplyRow::Scope::Warp;
  row.lhs = row.storedLhs = lhs;
  row.rhs = row.storedRhs = rhs;
  row.uses = usesOf(Resource::Multiply, 1);
  return row;
}

MultiplyRow qlow::mmaOfBytes(StringRef id, OperandElement lhs, OperandElement rhs, EmitProduct emit) {
  MultiplyRow row = mmaOfWarp(id, "mma.sync.m16n8k32", 32, lhs, rhs);
  row.features = {"sm_80"};
  row.emit = emit;
  return row;
}

Value qlow::emitWgmma(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs, const WgmmaShape &shape) {
  bool isHalf = shape.lhs == NVVM::WGMMATypes::f16 || shape.lhs == NVVM::WGMMATypes::bf16;
  MLIRContext *context = builder.getContext();
  auto scaleOut = acc ? NVVM::WGMMAScaleOut::one : NVVM::WGMMAScaleOut::zero;
  if (!acc) {
    SmallVector<Type> words(shape.n / 2, builder.getF32Type());
    acc = LLVM::UndefOp::create(builder, loc, LLVM::LLVMStructType::getLiteral(context, words));
  }
  auto type = [&](NVVM::WGMMATypes element) { return NVVM::WGMMATypesAttr::get(context, element); };
  auto one = NVVM::WGMMAScaleInAttr::get(context, NVVM::WGMMAScaleIn::one);
  return NVVM::WgmmaMmaAsyncOp::create(
      builder, loc, acc.getType(), acc, lhs, rhs, NVVM::MMAShapeAttr::get(context, 64, shape.n, isHalf ? 16 : 32),
      type(shape.lhs), type(shape.rhs), type(shape.sum), NVVM::WGMMAScaleOutAttr::get(context, scaleOut), one, one,
      NVVM::MMALayoutAttr::get(context, NVVM::MMALayout::row), NVVM::MMALayoutAttr::get(context, shape.rhsLayout),
      nullptr);
}

MultiplyRow qlow::wgmma(StringRef id, StringRef instruction, int64_t n, OperandElement lhs, OperandElement rhs,
                        EmitProduct emit) {
  MultiplyRow row{};
  row.id = id;
  row.instruction = instruction;
  row.m = 64, row.n = n, row.k = 32;
  row.kGroup = 16; // bytes of a line of a core matrix
  row.nGroup = 8;  // lines of a core matrix
  row.scope = MultiplyRow::Scope::Warpgroup;
  row.lhs = row.storedLhs = lhs;
  row.rhs = row.storedRhs = rhs;
  row.features = {"sm_90a"};
  row.uses = usesOf(Resource::Multiply, static_cast<double>(n) / 8 * 4 / 2); // in mma.sync of 16 x 8
  row.emit = emit;
  return row;
}

/// nvvm takes the left operand from shared memory only.
Value qlow::emitWgmmaOfRegisters(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs, int64_t n,
                                 OperandElement element) {
  int64_t count = n / 2;
  bool isInteger = element == OperandElement::S8;
  Type sum = isInteger ? Type(builder.getI32Type()) : builder.getF32Type();
  auto type = LLVM::LLVMStructType::getLiteral(builder.getContext(), SmallVector<Type>(count, sum));
  SmallVector<Value> operands = elementsOf(builder, loc, lhs);
  operands.push_back(rhs);
  std::string sums, outputs, inputs;
  for (int64_t i = 0; i < count; ++i) {
    sums += (i ? ", $" : "$") + std::to_string(i);
    outputs += isInteger ? "=r," : "=f,";
    if (acc) {
      inputs += "," + std::to_string(i);
      operands.push_back(LLVM::ExtractValueOp::create(builder, loc, acc, i));
    }
  }
  auto operand = [&](int64_t i) { return "$" + std::to_string(count + i); };
  // Signs of floats, and that the right operand's k lie side by side, which those of bytes always do.
  std::string name = elementName(element).str(), modes = isInteger ? ";" : ", 1, 1, 0;";
  std::string instruction = "wgmma.mma_async.sync.aligned.m64n" + std::to_string(n) +
                            (isInteger ? "k32.s32." : "k16.f32.") + name + "." + name + " {" + sums + "}, {" +
                            operand(0) + ", " + operand(1) + ", " + operand(2) + ", " + operand(3) + "}, " +
                            operand(4) + (acc ? ", 1" : ", 0") + modes;
  return LLVM::InlineAsmOp::create(builder, loc, TypeRange(type), operands, instruction, outputs + "r,r,r,r,l" + inputs,
                                   /*has_side_effects=*/true, /*is_align_stack=*/false,
                                   LLVM::tailcallkind::TailCallKind::None, nullptr, nullptr)
      .getRes();
}

MultiplyRow qlow::wgmmaOfRegisters(StringRef id, StringRef instruction, int64_t n, OperandElement element,
                                   EmitProduct emit) {
  MultiplyRow row = wgmma(id, instruction, n, element, element, emit);
  row.lhsInRegisters = true;
  if (element == OperandElement::S8)
    return row;
  row.k = 16;
  row.kGroup = 8;
  row.isFloat = true;
  return row;
}

static MultiplyRow scalar(StringRef id, StringRef instruction, OperandElement element, double alu, EmitProduct emit) {
  MultiplyRow row{};
  row.id = id;
  row.instruction = instruction;
  row.m = row.n = row.k = 1;
  row.scope = MultiplyRow::Scope::Lane;
  row.lhs = row.storedLhs = row.rhs = row.storedRhs = element;
  row.isFloat = element == OperandElement::F32;
  row.features = {"sm_75"}; // the oldest described
  row.assembly = instruction;
  row.machineCode = row.isFloat ? "FFMA" : "IMAD";
  row.uses = usesOf(Resource::Alu, alu / 32);
  row.emit = emit;
  return row;
}

static std::vector<MultiplyRow> integerRows() {
  using enum OperandElement;
  constexpr auto s8 = NVVM::MMATypes::s8, u8 = NVVM::MMATypes::u8;
  constexpr auto ws8 = NVVM::WGMMATypes::s8, wu8 = NVVM::WGMMATypes::u8;
  return {
      mmaOfBytes("mma_16x8x32_i32_s8_s8", S8, S8, emitMma16x8x32<s8, s8>),
      mmaOfBytes("mma_16x8x32_i32_u8_s8", U8, S8, emitMma16x8x32<u8, s8>),
      mmaOfBytes("mma_16x8x32_i32_s8_u8", S8, U8, emitMma16x8x32<s8, u8>),
      mmaOfBytes("mma_16x8x32_i32_u8_u8", U8, U8, emitMma16x8x32<u8, u8>),
      wgmma("wgmma_64x256x32_i32_s8_s8", "wgmma.m64n256k32", 256, S8, S8, emitWgmma<256, ws8, ws8>),
      wgmma("wgmma_64x256x32_i32_u8_s8", "wgmma.m64n256k32", 256, U8, S8, emitWgmma<256, wu8, ws8>),
      wgmma("wgmma_64x256x32_i32_s8_u8", "wgmma.m64n256k32", 256, S8, U8, emitWgmma<256, ws8, wu8>),
      wgmma("wgmma_64x256x32_i32_u8_u8", "wgmma.m64n256k32", 256, U8, U8, emitWgmma<256, wu8, wu8>),
      wgmma("wgmma_64x192x32_i32_s8_s8", "wgmma.m64n192k32", 192, S8, S8, emitWgmma<192, ws8, ws8>),
      wgmma("wgmma_64x192x32_i32_u8_s8", "wgmma.m64n192k32", 192, U8, S8, emitWgmma<192, wu8, ws8>),
      wgmma("wgmma_64x192x32_i32_s8_u8", "wgmma.m64n192k32", 192, S8, U8, emitWgmma<192, ws8, wu8>),
      wgmma("wgmma_64x192x32_i32_u8_u8", "wgmma.m64n192k32", 192, U8, U8, emitWgmma<192, wu8, wu8>),
      wgmma("wgmma_64x128x32_i32_s8_s8", "wgmma.m64n128k32", 128, S8, S8, emitWgmma<128, ws8, ws8>),
      wgmma("wgmma_64x128x32_i32_u8_s8", "wgmma.m64n128k32", 128, U8, S8, emitWgmma<128, wu8, ws8>),
      wgmma("wgmma_64x128x32_i32_s8_u8", "wgmma.m64n128k32", 128, S8, U8, emitWgmma<128, ws8, wu8>),
      wgmma("wgmma_64x128x32_i32_u8_u8", "wgmma.m64n128k32", 128, U8, U8, emitWgmma<128, wu8, wu8>),
      // Of few columns, so that few rows keep all of the chip busy.
      wgmma("wgmma_64x64x32_i32_s8_s8", "wgmma.m64n64k32", 64, S8, S8, emitWgmma<64, ws8, ws8>),
      wgmma("wgmma_64x64x32_i32_u8_s8", "wgmma.m64n64k32", 64, U8, S8, emitWgmma<64, wu8, ws8>),
      wgmma("wgmma_64x64x32_i32_s8_u8", "wgmma.m64n64k32", 64, S8, U8, emitWgmma<64, ws8, wu8>),
      wgmma("wgmma_64x64x32_i32_u8_u8", "wgmma.m64n64k32", 64, U8, U8, emitWgmma<64, wu8, wu8>),
      wgmma("wgmma_64x32x32_i32_s8_s8", "wgmma.m64n32k32", 32, S8, S8, emitWgmma<32, ws8, ws8>),
      wgmma("wgmma_64x32x32_i32_u8_s8", "wgmma.m64n32k32", 32, U8, S8, emitWgmma<32, wu8, ws8>),
      wgmma("wgmma_64x32x32_i32_s8_u8", "wgmma.m64n32k32", 32, S8, U8, emitWgmma<32, ws8, wu8>),
      wgmma("wgmma_64x32x32_i32_u8_u8", "wgmma.m64n32k32", 32, U8, U8, emitWgmma<32, wu8, wu8>),
      wgmmaOfRegisters<8, S8>("wgmma_64x8x32_i32_s8_s8_via_registers", "wgmma.m64n8k32"),
      wgmmaOfRegisters<16, S8>("wgmma_64x16x32_i32_s8_s8_via_registers", "wgmma.m64n16k32"),
      wgmmaOfRegisters<32, S8>("wgmma_64x32x32_i32_s8_s8_via_registers", "wgmma.m64n32k32"),
      wgmmaOfRegisters<64, S8>("wgmma_64x64x32_i32_s8_s8_via_registers", "wgmma.m64n64k32"),
      wgmmaOfRegisters<96, S8>("wgmma_64x96x32_i32_s8_s8_via_registers", "wgmma.m64n96k32"),
      wgmmaOfRegisters<128, S8>("wgmma_64x128x32_i32_s8_s8_via_registers", "wgmma.m64n128k32"),
      wgmmaOfRegisters<160, S8>("wgmma_64x160x32_i32_s8_s8_via_registers", "wgmma.m64n160k32"),
      wgmmaOfRegisters<192, S8>("wgmma_64x192x32_i32_s8_s8_via_registers", "wgmma.m64n192k32"),
      wgmmaOfRegisters<224, S8>("wgmma_64x224x32_i32_s8_s8_via_registers", "wgmma.m64n224k32"),
      wgmmaOfRegisters<256, S8>("wgmma_64x256x32_i32_s8_s8_via_registers", "wgmma.m64n256k32"),
  };
}

/// What any chip has.
static std::vector<MultiplyRow> scalarRows() {
  using enum OperandElement;
  return {
      // Integer multiplies run at half rate.
      scalar("mad_1x1x1_i32_s32_s32", "mad.lo.s32", S32, 2, emitMad),
      scalar("fma_1x1x1_f32_f32_f32", "fma.rn.f32", F32, 1, emitFma),
  };
}

/// PTX says sizes and types. Machine code says of which unit the product is, its sizes, and the types that the unit's
/// name leaves open: IMMA.16832.S8.S8, HGMMA.64x64x16.F32.BF16 (as nvdisasm 13 prints them).
static void spellProduct(MultiplyRow &row) {
  bool isGroup = row.scope == MultiplyRow::Scope::Warpgroup, isHalf = elementBits(row.lhs) == 16;
  StringRef sum = row.isFloat ? "f32" : "s32", lhs = elementName(row.lhs), rhs = elementName(row.rhs);
  row.assembly =
      isGroup
          ? llvm::formatv("wgmma.mma_async.sync.aligned.m{0}n{1}k{2}.{3}.{4}.{5}", row.m, row.n, row.k, sum, lhs, rhs)
          : llvm::formatv("mma.sync.aligned.m{0}n{1}k{2}.row.col.{3}.{4}.{5}.{3}", row.m, row.n, row.k, sum, lhs, rhs);
  if (row.takesSigns())
    row.assembly += row.countsCommon ? ".and.popc" : ".xor.popc";
  if (!row.machineCode.empty())
    return;
  StringRef unit = !row.isFloat ? "I" : isHalf ? "H" : "Q", types = row.isFloat ? ".F32" : "";
  row.machineCode =
      llvm::formatv(isGroup ? "{0}GMMA.{1}x{2}x{3}{4}" : "{0}MMA.{1}{2}{3}{4}", unit, row.m, row.n, row.k, types);
  if (!isHalf)
    row.machineCode += "." + lhs.upper() + "." + rhs.upper();
  else if (row.lhs == OperandElement::BF16)
    row.machineCode += ".BF16";
}

ArrayRef<MultiplyRow> qlow::nvptxRows() {
  static const std::vector<MultiplyRow> kRows = [] {
    std::vector<MultiplyRow> all;
    for (auto part :
         {integerRows, bitRows, halfRows, smallFloatRows, fastSmallFloatRows, scaledRows, tensorRows, scalarRows})
      llvm::append_range(all, part());
    for (MultiplyRow &row : all)
      if (row.scope != MultiplyRow::Scope::Lane && row.assembly.empty())
        spellProduct(row);
    return all;
  }();
  return kRows;
}

const MultiplyRow *qlow::findNvptxRow(StringRef id) {
  for (const MultiplyRow &row : nvptxRows())
    if (row.id == id)
      return &row;
  return nullptr;
}
