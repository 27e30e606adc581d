//===- Reference.h - what a program means, computed slowly ------*- C++ -*-===//
//
// The reference evaluator runs a module at tensor level as docs/Semantics.md defines it: the oracle for everything the
// compiler emits. It shares with the compiler only the formats' decode and encode. Arrays cross this interface and the
// .npy files of qlow-run; quantized values cross it part by part, in the order of `QType::getParts`.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_REFERENCE_REFERENCE_H
#define QLOW_REFERENCE_REFERENCE_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace qlow {

class Format;

/// What the bytes of an array are. I1 is a byte of 0 or 1; BF16 and the F8 types are bit patterns.
enum class ArrayElement { I1, U8, I8, I16, I32, I64, F16, BF16, F32, F64, F8E8M0, F8E4M3 };

/// Bytes of one element.
unsigned sizeOf(ArrayElement element);

/// A dense row-major array.
struct Array {
  llvm::SmallVector<int64_t> shape;
  ArrayElement element = ArrayElement::U8;
  std::vector<uint8_t> bytes;

  Array() = default;
  /// Zeros.
  Array(llvm::ArrayRef<int64_t> shape, ArrayElement element);
  int64_t size() const;
  int64_t rank() const { return int64_t(shape.size()); }
};

/// One array that a function takes or gives: a part of an argument or result. Dynamic sizes are ShapedType::kDynamic.
struct ArrayType {
  llvm::SmallVector<int64_t> shape;
  ArrayElement element;
  const Format *codes = nullptr; ///< of packed codes; null for plain elements
  int64_t rowCodes = 0;          ///< codes in a row of bytes; ShapedType::kDynamic: as many as fit
};

/// The arrays that values of these types are made of, in order. Codes are I8 for codes of format i8, else U8. Fails for
/// types outside the accepted list.
mlir::FailureOr<std::vector<ArrayType>> getArrayTypes(mlir::TypeRange types);

/// Runs `function` on `arguments`, one array for each part, and returns one array for each part of its results. Errors
/// (an op outside the accepted list, arguments that do not fit, an index out of bounds) are diagnostics at the op.
mlir::FailureOr<std::vector<Array>> evaluate(mlir::ModuleOp module, llvm::StringRef function,
                                             llvm::ArrayRef<Array> arguments);

//===----------------------------------------------------------------------===//
// Comparing with the reference
//===----------------------------------------------------------------------===//

/// Whether the law gives the value exactly, from the function's arguments on: no float sum and no function that the law
/// leaves a bound stands before it. Implementations then agree in every bit.
bool isExact(mlir::Value value);

/// What else than a float sum itself its bound is made of, as more results of the function: |a| times |b| summed, and
/// K. Null unless `value` is what a qlow.matmul sums, from exact values, into floats.
struct SumBound {
  mlir::Value magnitude, length;
  bool hasBias = false;
  bool isNarrow = false; ///< of small floats, whose bound is wider
};
std::optional<SumBound> addSumBound(mlir::Value value, mlir::OpBuilder &builder);

/// How far an array is from the reference's. `worst` counts codes or integers by value, floats in units in the last
/// place.
struct Difference {
  int64_t elements = 0, different = 0;
  double worst = 0;
  bool isFloat = false;
  bool isAllowed = true; ///< by what compare was told
};
/// NaN equals NaN. Elements must be equal, or where `magnitudes` are given within the law's bound of a float sum of
/// `length` products of them.
Difference compare(const ArrayType &type, const Array &found, const Array &expected);
Difference compareSum(const ArrayType &type, const Array &found, const Array &expected, const Array &magnitudes,
                      int64_t length, bool hasBias, bool isNarrow);

/// Reads a .npy file (versions 1 to 3, little endian, C order). An array of wrong type or shape is an error that names
/// the file, what was expected and what was found. I1 is read from bool or uint8; BF16 from uint16, F8 from uint8;
/// signless integers from signed or unsigned ones.
llvm::Expected<Array> readNpy(llvm::StringRef path, const ArrayType &expected);
/// The .npy bytes of an array, version 1.
std::vector<uint8_t> encodeNpy(const Array &array);
/// One line: `2x3xf32: 1, 2, 3, 4, 5, 6`. Floats have as many digits as tell them apart.
void print(llvm::raw_ostream &os, const Array &array);

} // namespace qlow

#endif // QLOW_REFERENCE_REFERENCE_H
