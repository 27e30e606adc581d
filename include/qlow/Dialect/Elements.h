//===- Elements.h - scalar code for codes and their values ------*- C++ -*-===//
//
// IR that takes one element of a quantized tensor apart or makes one: code from bytes, number from code, value from
// parts, and back. Bit for bit what Format::extract, decode, integer and encode compute on the host. Everything but
// loads is elementwise-mappable arith (no tables, no math ops, no library calls), so it may stand in epilogue regions;
// functions whose comment says so take and give vectors as well as scalars. Operations fold while they are built:
// constant codes give constants.
//
// Needs round-to-nearest-even and subnormals, as the whole product does.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_DIALECT_ELEMENTS_H
#define QLOW_DIALECT_ELEMENTS_H

#include "qlow/Dialect/Dialect.h"

#include "mlir/IR/Builders.h"

#include <functional>

namespace qlow {

//===----------------------------------------------------------------------===//
// Codes in bytes
//===----------------------------------------------------------------------===//

/// Gives the byte (i8) of a packed row at an index.
using LoadByte = llvm::function_ref<mlir::Value(mlir::Value byteIndex)>;
/// Gives the code (i32) number `index` of a row.
using CodeAt = llvm::function_ref<mlir::Value(mlir::Value index)>;

/// Code number `index` of a packed row, zero-extended to i32. Loads only bytes that hold bits of that code: one, or two
/// where codes straddle bytes (then maybe the same one twice).
mlir::Value emitCode(mlir::OpBuilder &builder, mlir::Location loc, const Format &format, LoadByte load,
                     mlir::Value index);
/// The inverse: byte number `byteIndex` (i8) of a packed row of `numCodes` codes (index). `code` is only called with
/// indices below `numCodes`; padding is zero.
mlir::Value emitByte(mlir::OpBuilder &builder, mlir::Location loc, const Format &format, mlir::Value byteIndex,
                     mlir::Value numCodes, CodeAt code);

//===----------------------------------------------------------------------===//
// Numbers of codes: i32 or vectors of i32, f32 or vectors of f32
//===----------------------------------------------------------------------===//

/// The number a code stands for, f32. Bits above the format's are ignored for Minifloat and must be zero otherwise.
mlir::Value emitDecode(mlir::OpBuilder &builder, mlir::Location loc, const Format &format, mlir::Value code);
/// The integer image of a code, i32: decode(code) / step. The format must have one.
mlir::Value emitInteger(mlir::OpBuilder &builder, mlir::Location loc, const Format &format, mlir::Value code);
/// The code of `x`, i32 and zero-extended. Integer formats: saturate(rne(x) + zero), NaN gives the smallest code; all
/// others: Format::encode(x + zero). `zero` is i32 or null.
mlir::Value emitEncode(mlir::OpBuilder &builder, mlir::Location loc, const Format &format, mlir::Value x,
                       mlir::Value zero);
/// A scale's value (f32, f16, bf16, f8E8M0FNU, f8E4M3FN) in f32, exactly.
mlir::Value emitScaleToF32(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value scale);

//===----------------------------------------------------------------------===//
// Elements of quantized tensors
//===----------------------------------------------------------------------===//

/// Reads an element of a part.
using LoadPart =
    std::function<mlir::Value(mlir::OpBuilder &, mlir::Location, mlir::Value part, mlir::ValueRange indices)>;

/// Reads tensors by tensor.extract and memrefs by memref.load.
mlir::Value emitLoad(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value part, mlir::ValueRange indices);

/// What is divided by a scale that its neighbours have, too, by multiply-adds with its inverse; codes are the same.
enum class ByInverse { Nothing, Integers, All };

/// A quantized tensor as its parts: tensors, memrefs, or whatever `load` reads. All of `indices` below are the
/// element's, one for each dimension of the quantized tensor; blocks are counted here.
class ElementReader {
public:
  ElementReader(QType type, mlir::ValueRange parts, LoadPart load = emitLoad)
      : type(type), parts(parts.begin(), parts.end()), load(std::move(load)) {}

  /// The code, i32, zero-extended.
  mlir::Value emitCode(mlir::OpBuilder &builder, mlir::Location loc, mlir::ValueRange indices) const;
  /// The scale, f32, of the element's block.
  mlir::Value emitScale(mlir::OpBuilder &builder, mlir::Location loc, mlir::ValueRange indices) const;
  /// The bits of the scale, i32 and zero-extended: of a scale that is quantized itself, its code.
  mlir::Value emitScaleCode(mlir::OpBuilder &builder, mlir::Location loc, mlir::ValueRange indices) const;
  /// The zero point, i32 and extended as its format says, or null where the type has none.
  mlir::Value emitZeroPoint(mlir::OpBuilder &builder, mlir::Location loc, mlir::ValueRange indices) const;
  /// The offset, f32, or null where the type has none.
  mlir::Value emitOffset(mlir::OpBuilder &builder, mlir::Location loc, mlir::ValueRange indices) const;
  /// scale * (decode(code) - zero) + offset in f32, each operation rounded once.
  mlir::Value emitValue(mlir::OpBuilder &builder, mlir::Location loc, mlir::ValueRange indices) const;
  /// The code, i32, of the f32 `x` at this place: encode((x - offset) / scale, zero). Does not read the codes, so the
  /// first part may be null. `isMeasured`: the scale is emitMeasuredScale's, for a block that has x.
  mlir::Value emitQuantized(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value x, mlir::ValueRange indices,
                            ByInverse byInverse, bool isMeasured) const;

private:
  QType type;
  llvm::SmallVector<mlir::Value> parts;
  LoadPart load;
};

//===----------------------------------------------------------------------===//
// Measured scales (docs/Semantics.md, quantize_dynamic)
//===----------------------------------------------------------------------===//

/// The extremes of one value `x`, f32: |x|, or for a type with a zero point x as the least and as the greatest.
llvm::SmallVector<mlir::Value> emitExtremes(mlir::OpBuilder &builder, mlir::Location loc, QType type, mlir::Value x);
/// The extremes of what two sets of values have. A block's begin with 0; NaN among `others` does not count.
llvm::SmallVector<mlir::Value> mergeExtremes(mlir::OpBuilder &builder, mlir::Location loc, mlir::ValueRange kept,
                                             mlir::ValueRange others);
/// The scale of a block with these extremes, f32 or f8E8M0FNU.
mlir::Value emitMeasuredScale(mlir::OpBuilder &builder, mlir::Location loc, QType type, mlir::ValueRange extremes);
/// The zero point of a block, i32: the code of 0 - least / scale in the zero point's format.
mlir::Value emitMeasuredZero(mlir::OpBuilder &builder, mlir::Location loc, const Format &format, mlir::Value least,
                             mlir::Value scale);

} // namespace qlow

#endif // QLOW_DIALECT_ELEMENTS_H
