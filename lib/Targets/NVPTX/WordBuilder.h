//===- WordBuilder.h - arithmetic on words of two floats or four bytes *- C++ -*-===//
//
// What a lane does to words of 32 bits that hold two 16-bit floats, one in each half, or four bytes. Words are i32.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_TARGETS_NVPTX_WORDBUILDER_H
#define QLOW_LIB_TARGETS_NVPTX_WORDBUILDER_H

#include "IndexBuilder.h"

namespace qlow {

class WordBuilder {
public:
  /// `element`: the floats' type, null where words hold bytes alone.
  WordBuilder(mlir::OpBuilder &builder, mlir::Location loc, mlir::FloatType element)
      : builder(builder), loc(loc), i32(builder, loc, builder.getI32Type()), element(element) {}

protected:
  static constexpr int64_t kBothHalves = 0x00010001, kBothSigns = int64_t(0x8000) * kBothHalves;
  static constexpr int64_t kAllBytes = 0x01010101, kAllSigns = 0x80 * kAllBytes;

  /// Byte i is byte (nibble i of the selector) % 8 of high:low; from 8 on, all bits are the sign of that byte.
  mlir::Value permute(mlir::Value low, mlir::Value high, mlir::Value selector);
  mlir::Value permute(mlir::Value low, mlir::Value high, int64_t selector);
  mlir::Value bitAnd(mlir::Value a, int64_t mask), bitOr(mlir::Value a, mlir::Value b),
      bitXor(mlir::Value a, mlir::Value b);
  mlir::Value maskOr(mlir::Value a, int64_t mask, int64_t bits);      ///< a & mask | bits
  mlir::Value maskSelect(int64_t mask, mlir::Value a, mlir::Value b); ///< a & mask | b & ~mask
  mlir::Value shift(mlir::Value a, int64_t left);                     ///< right where negative

  /// Of both halves, as floats: a * b + c, rounded once; a - b; a * b.
  mlir::Value multiplyAdd(mlir::Value a, mlir::Value b, mlir::Value c);
  mlir::Value subtract(mlir::Value a, mlir::Value b), multiply(mlir::Value a, mlir::Value b);
  /// Two copies of a number: a known one, rounded, or an integer or f32 that such floats hold.
  mlir::Value splat(double value), splat(mlir::Value value);
  /// The float nearest to `value`, as bits.
  static uint16_t bitsOf(double value, mlir::FloatType type);

  mlir::OpBuilder &builder;
  mlir::Location loc;
  IndexBuilder i32;
  mlir::FloatType element;

private:
  /// One instruction that no dialect has, or that must stay whole; it gives a word.
  mlir::Value instruction(llvm::StringRef text, llvm::StringRef constraints, mlir::ValueRange operands);
};

} // namespace qlow

#endif // QLOW_LIB_TARGETS_NVPTX_WORDBUILDER_H
