//===- Rows.cpp - multiplies any LLVM target has ----------------------------===//
//
// Portable vector arithmetic on four lanes. These rows need no feature and close every target's list.
//
//===----------------------------------------------------------------------===//

#include "Generic/Cpu.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace qlow;

static Value emitInteger(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs) {
  Value product = arith::MulIOp::create(builder, loc, lhs, rhs);
  return arith::AddIOp::create(builder, loc, acc, product);
}

static Value emitFloat(OpBuilder &builder, Location loc, Value acc, Value lhs, Value rhs) {
  Value product = arith::MulFOp::create(builder, loc, lhs, rhs);
  return arith::AddFOp::create(builder, loc, acc, product);
}

static MultiplyRow row(StringRef id, OperandElement lhs, OperandElement rhs, bool isFloat) {
  MultiplyRow result{};
  result.id = id;
  result.instruction = "vector multiply and add";
  result.m = 1, result.n = 4, result.k = 1;
  result.lhs = result.storedLhs = lhs;
  result.rhs = result.storedRhs = rhs;
  result.isFloat = isFloat;
  result.temporaries = 2;
  // Integer lanes of 32 bits have no single multiply on baseline x86-64: two 64-bit ones and shuffles.
  result.uses = cpuUses(/*multiply=*/isFloat ? 1 : 2, /*alu=*/1, /*shuffle=*/isFloat ? 0 : 4);
  result.emit = isFloat ? emitFloat : emitInteger;
  return result;
}

ArrayRef<MultiplyRow> qlow::genericRows() {
  static const MultiplyRow kRows[] = {
      row("vector_1x4x1_i32_s32_s8", OperandElement::S32, OperandElement::S8, false),
      row("vector_1x4x1_i32_s32_u8", OperandElement::S32, OperandElement::U8, false),
      row("vector_1x4x1_f32_f32_f32", OperandElement::F32, OperandElement::F32, true),
  };
  return kRows;
}
