//===- WordBuilder.cpp - arithmetic on words of two floats or four bytes ----===//
//
// Operations of one lane, each an instruction or two of the chip: bits of words, and floats in both halves of them.
// Instructions are spelled out where ptxas would make two of them. Must not know codes.
//
//===----------------------------------------------------------------------===//

#include "NVPTX/WordBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/APFloat.h"

using namespace mlir;
using namespace qlow;

uint16_t WordBuilder::bitsOf(double value, FloatType type) {
  llvm::APFloat number(value);
  bool losesInfo;
  number.convert(type.getFloatSemantics(), llvm::APFloat::rmNearestTiesToEven, &losesInfo);
  return static_cast<uint16_t>(number.bitcastToAPInt().getZExtValue());
}

Value WordBuilder::instruction(StringRef text, StringRef constraints, ValueRange operands) {
  return LLVM::InlineAsmOp::create(builder, loc, TypeRange(builder.getI32Type()), operands, text, constraints,
                                   /*has_side_effects=*/false, /*is_align_stack=*/false,
                                   LLVM::tailcallkind::TailCallKind::None, nullptr, nullptr)
      .getRes();
}

Value WordBuilder::permute(Value low, Value high, Value selector) {
  auto mode = NVVM::PermuteModeAttr::get(builder.getContext(), NVVM::PermuteMode::DEFAULT);
  return NVVM::PermuteOp::create(builder, loc, builder.getI32Type(), low, high, selector, mode);
}
Value WordBuilder::permute(Value low, Value high, int64_t selector) {
  return permute(low, high, i32.constant(selector));
}
Value WordBuilder::bitAnd(Value a, int64_t mask) {
  return builder.createOrFold<arith::AndIOp>(loc, a, i32.constant(static_cast<int32_t>(mask)));
}
Value WordBuilder::bitOr(Value a, Value b) { return builder.createOrFold<arith::OrIOp>(loc, a, b); }
/// This and the next in one operation, which ptxas does not make of two constants by itself.
Value WordBuilder::maskOr(Value a, int64_t mask, int64_t bits) {
  auto word = [&](int64_t value) { return i32.constant(static_cast<int32_t>(value)); };
  return instruction("lop3.b32 $0, $1, $2, $3, 0xEA;", "=r,r,r,r", {a, word(mask), word(bits)});
}
Value WordBuilder::maskSelect(int64_t mask, Value a, Value b) {
  return instruction("lop3.b32 $0, $1, $2, $3, 0xCA;", "=r,r,r,r", {i32.constant(static_cast<int32_t>(mask)), a, b});
}
Value WordBuilder::bitXor(Value a, Value b) { return builder.createOrFold<arith::XOrIOp>(loc, a, b); }
Value WordBuilder::shift(Value a, int64_t left) {
  if (left == 0)
    return a;
  if (left > 0)
    return arith::ShLIOp::create(builder, loc, a, i32.constant(left));
  return arith::ShRUIOp::create(builder, loc, a, i32.constant(-left));
}
Value WordBuilder::splat(double value) {
  return i32.constant(static_cast<int32_t>(bitsOf(value, element) * kBothHalves));
}
Value WordBuilder::splat(Value value) {
  Value number = value;
  if (value.getType().isInteger())
    number = arith::SIToFPOp::create(builder, loc, builder.getF32Type(), value);
  if (element.isF16()) // both halves in one operation
    return instruction("cvt.rn.f16x2.f32 $0, $1, $2;", "=r,f,f", {number, number});
  Value bits = shift(LLVM::BitcastOp::create(builder, loc, builder.getI32Type(), number), -16);
  return i32.mul(bits, kBothHalves);
}

/// a * b + c on both halves of words. Chips that multiply bf16 need not add it, but all of them have this.
Value WordBuilder::multiplyAdd(Value a, Value b, Value c) {
  if (!element.isF16())
    return instruction("fma.rn.bf16x2 $0, $1, $2, $3;", "=r,r,r,r", {a, b, c});
  auto pair = VectorType::get({2}, element);
  auto halves = [&](Value value) -> Value { return LLVM::BitcastOp::create(builder, loc, pair, value); };
  auto none = LLVM::FastmathFlagsAttr::get(builder.getContext(), LLVM::FastmathFlags::none);
  Value sum = LLVM::FMAOp::create(builder, loc, pair, halves(a), halves(b), halves(c), none);
  return LLVM::BitcastOp::create(builder, loc, builder.getI32Type(), sum);
}
Value WordBuilder::subtract(Value a, Value b) {
  auto pair = VectorType::get({2}, element);
  auto halves = [&](Value value) -> Value { return LLVM::BitcastOp::create(builder, loc, pair, value); };
  auto none = LLVM::FastmathFlagsAttr::get(builder.getContext(), LLVM::FastmathFlags::none);
  Value difference = LLVM::FSubOp::create(builder, loc, pair, halves(a), halves(b), none);
  return LLVM::BitcastOp::create(builder, loc, builder.getI32Type(), difference);
}

Value WordBuilder::multiply(Value a, Value b) {
  if (!element.isF16())
    return multiplyAdd(a, b, splat(-0.0));
  auto pair = VectorType::get({2}, element);
  auto halves = [&](Value value) -> Value { return LLVM::BitcastOp::create(builder, loc, pair, value); };
  Value product = LLVM::FMulOp::create(builder, loc, pair, halves(a), halves(b));
  return LLVM::BitcastOp::create(builder, loc, builder.getI32Type(), product);
}
