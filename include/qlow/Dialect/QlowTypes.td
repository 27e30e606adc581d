//===- QlowTypes.td - the quantized element type --------------------------===//

#ifndef QLOW_TYPES_TD
#define QLOW_TYPES_TD

include "qlow/Dialect/QlowDialect.td"

// One word names a code format; it resolves to a static row of the format registry.
def Qlow_FormatParameter : TypeParameter<"const ::qlow::Format *", "code format">;

def Qlow_QType : TypeDef<Qlow_Dialect, "Q"> {
  let mnemonic = "q";
  let summary = "Element of a quantized tensor";
  let description = [{
    An element type of tensors that stands for

    ```
    value = scale * (decode(code) - zero) + offset
    ```

    with one scale, zero and offset for each block of codes:

    ```
    !qlow.q<FORMAT : SCALE [, zero = INT_FORMAT] [, offset = SCALE] [, block = [b0, b1, ...]]>
    ```

    `SCALE` is f32, f16, bf16, f8E8M0FNU, f8E4M3FN or again a `!qlow.q`, whose own blocks count scales. A block size `*`
    is the whole dimension; without `block` there is one scale for the tensor. Scales of a tensor of shape S have shape
    ceil(S / block), `*` giving 1.

    The type is an element of tensors only: it is no vector and no memref element, so nothing can vectorize or bufferize
    a quantized tensor before it is split into its parts. It can not see its tensor's shape; `verifyTensor` does, for
    every value and function signature. Constraints:

    * (T1) A scale or offset is one of the floats above or again quantized, at most 4 deep.
    * (T2) A zero point is of an integer format, and only integer codes have one.
    * (T3) One spelling for one meaning: a block of `*` only is no block.
    * (T4) A block has as many dimensions as its tensor; the block of a scale counts the dimensions of the scales.
    * (T5) One spelling for one meaning: the block of a dimension of size 1 is 1, and a block above 1 that reaches its
      static dimension is `*`.
    * (T6) The last dimension is static unless codes are whole bytes; so is the last dimension of zero points.
    * (T7) No part has more than 2^63 - 1 codes or bytes.
  }];
  let parameters = (ins Qlow_FormatParameter:$format,
                        "::mlir::Type":$scale,
                        "const ::qlow::Format *":$zero,
                        "::mlir::Type":$offset,
                        ArrayRefParameter<"int64_t">:$block);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let genMnemonicAlias = 1;
  let extraClassDeclaration = [{
    /// The block size that stands for a whole dimension, printed `*`.
    static constexpr int64_t kWhole = -1;

    /// One spelling for one meaning (T5): `block`, a size for each dimension, as it is written for a tensor of `shape`.
    static ::llvm::SmallVector<int64_t> getCanonicalBlock(::llvm::ArrayRef<int64_t> shape,
                                                          ::llvm::ArrayRef<int64_t> block);
    /// Shape of the scales of a tensor of `shape`: rank 0 where there is one scale for the tensor.
    ::llvm::SmallVector<int64_t> getScaleShape(::llvm::ArrayRef<int64_t> shape) const;
    /// Shape of the i8 tensor that stores codes of `format` for a tensor of `shape`: the last dimension in bytes; a
    /// rank-0 tensor is stored as a row of one code.
    static ::llvm::SmallVector<int64_t> getStorageShape(const ::qlow::Format &format, ::llvm::ArrayRef<int64_t> shape);
    /// Types of all parts in order: codes, scale parts, zero, offset parts, recursively.
    ::llvm::SmallVector<::mlir::Type> getParts(::llvm::ArrayRef<int64_t> shape) const;
    /// Number of parts of the scale (or offset) `type`: 1 for a float.
    static unsigned getNumParts(::mlir::Type type);
    /// Checks the constraints that need the tensor's shape; `type` may be any type.
    static ::llvm::LogicalResult verifyTensor(::llvm::function_ref<::mlir::InFlightDiagnostic()> emitError,
                                              ::mlir::Type type);
    /// Whether one scale (and zero, offset) holds along the whole of dimension `dim` of a tensor of `shape`.
    bool isConstantAlong(unsigned dim, ::llvm::ArrayRef<int64_t> shape) const;
  }];
}

#endif // QLOW_TYPES_TD
