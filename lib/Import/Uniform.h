//===- Uniform.h - !quant.uniform in qlow's terms ---------------*- C++ -*-===//
//
// Upstream keeps scales and zero points in the type, qlow keeps them as data: this is the one place that knows both.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_LIB_IMPORT_UNIFORM_H
#define QLOW_LIB_IMPORT_UNIFORM_H

#include "qlow/Dialect/Dialect.h"

#include "mlir/IR/Builders.h"

namespace qlow {

/// What a `tensor<...x!quant.uniform<...>>` says. Storage of i32 is a sum of products (a bias): it has no code format
/// and stays a tensor of i32 after import.
struct Uniform {
  mlir::RankedTensorType type;        ///< after import: of !qlow.q, or of i32
  const Format *format = nullptr;     ///< of the codes; null for i32
  const Format *zeroFormat = nullptr; ///< null where every zero point is 0
  int64_t min = 0, max = 0;           ///< bounds of the codes, maybe narrower than the format's
  llvm::SmallVector<float> scales;    ///< in row-major order of QType::getScaleShape
  llvm::SmallVector<int64_t> zeros;   ///< as many as scales
  llvm::SmallVector<int64_t> block;   ///< as QType has it; empty: one scale

  bool isAccumulator() const { return !format; }
  int64_t formatMin() const { return static_cast<int64_t>(format->minValue()); }
  int64_t formatMax() const { return static_cast<int64_t>(format->maxValue()); }
  bool isNarrow() const { return min > formatMin() || max < formatMax(); }
  /// The only dimension along which scales differ, one for each index; nothing for none, or for blocks.
  std::optional<unsigned> getAxis() const;
  /// code(x) = clamp(round_half_even(f32(x) / scale) + zero, lowest, highest), for the scale numbered `channel`.
  int64_t quantize(double x, size_t channel, int64_t lowest, int64_t highest) const;
};

/// Reads `type`, a tensor of a quant type, or emits an error that names what qlow has no form for.
mlir::FailureOr<Uniform> readUniform(llvm::function_ref<mlir::InFlightDiagnostic()> emitError, mlir::Type type);

/// The constant parts after the codes: scale, and zero point where there is one.
llvm::SmallVector<mlir::Value> createParts(mlir::OpBuilder &builder, mlir::Location loc, const Uniform &uniform);

/// A tensor of f32, or of the integers of `format` as bytes, as a constant.
mlir::Value createConstant(mlir::OpBuilder &builder, mlir::Location loc, llvm::ArrayRef<float> values,
                           llvm::ArrayRef<int64_t> shape);
mlir::Value createConstant(mlir::OpBuilder &builder, mlir::Location loc, llvm::ArrayRef<int32_t> values,
                           llvm::ArrayRef<int64_t> shape);

/// The packed codes of `storage`, a tensor of the storage type; null where they can not be packed at compile time.
mlir::Value createCodes(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value storage, const Uniform &uniform);

} // namespace qlow

#endif // QLOW_LIB_IMPORT_UNIFORM_H
