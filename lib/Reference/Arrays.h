//===- Arrays.h - arrays as the evaluator sees them -------------*- C++ -*-===//
//
// Scalars, element access, and tensors as tuples of shared arrays. Private to this room.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_REFERENCE_ARRAYS_H
#define QLOW_LIB_REFERENCE_ARRAYS_H

#include "qlow/Dialect/Dialect.h"
#include "qlow/Reference/Reference.h"

#include <memory>
#include <optional>

namespace qlow::reference {

/// An element in flight. Integers are sign-extended (i1: 0 or -1), floats of every width are exact as f64.
struct Scalar {
  int64_t i = 0;
  double f = 0;
};

/// The array element that stores a scalar of `type`; none for types outside the accepted list.
std::optional<ArrayElement> getElement(mlir::Type type);
bool isFloat(ArrayElement element);

Scalar load(const Array &array, int64_t index);
void store(Array &array, int64_t index, Scalar value);
/// Rounds once, half to even, to the precision of `type`; f64 is kept.
double roundTo(mlir::Type type, double value);
/// Sign-extends the low bits of `value` to the width of `type`.
int64_t wrapTo(mlir::Type type, int64_t value);
/// The low bits of `value`, as an unsigned number of the width of `type`.
uint64_t unsignedOf(mlir::Type type, int64_t value);
double roundHalfToEven(double x);

/// A tensor of the program: its shape, and one array, or the parts of a quantized tensor. Arrays are shared and never
/// written once a tensor holds them.
struct Tensor {
  llvm::SmallVector<int64_t> shape;
  std::vector<std::shared_ptr<const Array>> parts;

  Tensor() = default;
  Tensor(Array array) : shape(array.shape), parts{std::make_shared<const Array>(std::move(array))} {}
  const Array &array() const { return *parts.front(); }
};

/// Steps through all indices below `shape` in row-major order; false after the last. Start with all zeros and check
/// that the shape is not empty of elements.
bool increment(llvm::MutableArrayRef<int64_t> indices, llvm::ArrayRef<int64_t> shape);
int64_t countOf(llvm::ArrayRef<int64_t> shape);
int64_t linearize(llvm::ArrayRef<int64_t> indices, llvm::ArrayRef<int64_t> shape);

/// The array of an arith.constant or qlow.weight; says what is wrong with it otherwise.
llvm::Expected<Array> toArray(mlir::ElementsAttr attribute);

/// Codes, scales, zeros and offsets of a quantized tensor, by index.
class QuantizedView {
public:
  /// `parts` may lack the codes, when only scales are wanted (`hasCodes` false).
  QuantizedView(QType type, llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<std::shared_ptr<const Array>> parts,
                bool hasCodes = true);

  uint32_t code(llvm::ArrayRef<int64_t> indices) const;
  float scale(llvm::ArrayRef<int64_t> indices) const { return scales[block(indices)]; }
  float zero(llvm::ArrayRef<int64_t> indices) const { return zeros.empty() ? 0.0f : zeros[block(indices)]; }
  float offset(llvm::ArrayRef<int64_t> indices) const { return offsets[block(indices)]; }
  bool hasZero() const { return !zeros.empty(); }
  bool hasOffset() const { return !offsets.empty(); }
  /// scale * (decode(code) - zero) + offset, each f32 operation rounded once.
  float value(llvm::ArrayRef<int64_t> indices) const;
  const Format &format() const { return *type.getFormat(); }

private:
  int64_t block(llvm::ArrayRef<int64_t> indices) const;

  QType type;
  llvm::SmallVector<int64_t> shape, scaleShape;
  std::shared_ptr<const Array> codes;
  std::vector<float> scales, zeros, offsets;
};

/// Writes packed codes of `format` for a tensor of `shape`.
class CodeWriter {
public:
  CodeWriter(const Format &format, llvm::ArrayRef<int64_t> shape);
  void set(llvm::ArrayRef<int64_t> indices, uint32_t code);
  Array take() { return std::move(array); }

private:
  const Format &format;
  llvm::SmallVector<int64_t> shape;
  Array array;
};

/// encode(v, zero) of the law: saturate(round_half_even(v) + zero) for integer formats, which alone have a zero point;
/// else the format's encode. NaN gives an integer format's smallest code.
uint32_t encodeWithZero(const Format &format, float v, float zero);

} // namespace qlow::reference

#endif // QLOW_LIB_REFERENCE_ARRAYS_H
