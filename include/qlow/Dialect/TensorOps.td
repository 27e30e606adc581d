//===- TensorOps.td - operations on quantized tensors ---------------------===//
//
// What each op computes; docs/Semantics.md is the law behind the summaries and numbers the constraints (C1), (C2), ...
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_TENSOR_OPS_TD
#define QLOW_TENSOR_OPS_TD

include "qlow/Dialect/QlowAttributes.td"
include "qlow/Dialect/QlowTypes.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

/// Every operand and result satisfies QType::verifyTensor.
def Qlow_BlocksFit : NativeOpTrait<"BlocksFit"> { let cppNamespace = "::qlow"; }

class Qlow_Op<string mnemonic, list<Trait> traits = []> : Op<Qlow_Dialect, mnemonic, traits # [Qlow_BlocksFit]>;

def Qlow_ReifyShapes : DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>;

def Qlow_QuantizedTensor : RankedTensorOf<[Qlow_QType], [], "ranked tensor of !qlow.q">;
def Qlow_FloatTensor : RankedTensorOf<[F32, F16, BF16]>;

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

def Qlow_ComposeOp : Qlow_Op<"compose", [Pure, Qlow_ReifyShapes]> {
  let summary = "Makes a quantized tensor of its parts";
  let description = [{
    The parts are the packed codes, the scale (its parts, where it is quantized itself), the zero point and the offset
    of the result's type, in this order and with the types `QType::getParts` gives (C1).

    ```mlir
    %q = qlow.compose %codes, %scale : (tensor<4x8xi8>, tensor<4x1xf32>) -> tensor<4x8x!qlow.q<i8 : f32, block = [1, *]>>
    ```
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$parts);
  let results = (outs Qlow_QuantizedTensor:$result);
  let assemblyFormat = "$parts attr-dict `:` functional-type($parts, $result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Qlow_DecomposeOp : Qlow_Op<"decompose", [Pure]> {
  let summary = "The parts of a quantized tensor";
  let description = [{ The inverse of `qlow.compose`, with the same rule for the types of the parts (C1). }];
  let arguments = (ins Qlow_QuantizedTensor:$input);
  let results = (outs Variadic<AnyRankedTensor>:$parts);
  let assemblyFormat = "$input attr-dict `:` functional-type($input, $parts)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let builders = [OpBuilder<(ins "::mlir::Value":$input)>];
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

def Qlow_QuantizeOp : Qlow_Op<"quantize", [Pure, Qlow_ReifyShapes]> {
  let summary = "Float to codes with given scales";
  let description = [{
    ```
    code = encode( (x - offset) / scale, zero )        encode(v, z) = saturate(round_half_even(v) + z)   integer formats
    ```

    for each element with the scale, zero and offset of its block; float and codebook formats encode `v` to the nearest
    value (ties to the even code). NaN gives the smallest code, or the format's NaN. The operands after the input are the
    result's parts without its codes (C1). Shapes of input and result agree (C2).

    ```mlir
    %q = qlow.quantize %x, %scale, %zero : (tensor<4x8xf32>, tensor<f32>, tensor<1xi8>) -> tensor<4x8x!qlow.q<u8 : f32, zero = u8>>
    ```
  }];
  let arguments = (ins Qlow_FloatTensor:$input, Variadic<AnyRankedTensor>:$parts);
  let results = (outs Qlow_QuantizedTensor:$result);
  let assemblyFormat = "$input (`,` $parts^)? attr-dict `:` functional-type(operands, $result)";
  let hasVerifier = 1;
}

def Qlow_QuantizeDynamicOp : Qlow_Op<"quantize_dynamic", [Pure, Qlow_ReifyShapes]> {
  let summary = "Float to codes with scales measured from the values";
  let description = [{
    The scale of each block comes from the block's values and is part of the result. Without a zero point it is
    `max|x| / max(format)`; with one it is ONNX's DynamicQuantizeLinear: `(max(x, 0) - min(x, 0)) / (2^bits - 1)`. A
    block of zeros gets scale 1. The result's scale is f32 or, for MX formats, f8E8M0FNU with
    `2^(floor(log2(max|x|)) - emax(format))`; it has no offset (C3). Shapes of input and result agree (C2).

    ```mlir
    %q = qlow.quantize_dynamic %x : tensor<?x768xf32> -> tensor<?x768x!qlow.q<i8 : f32, block = [1, *]>>
    ```
  }];
  let arguments = (ins Qlow_FloatTensor:$input);
  let results = (outs Qlow_QuantizedTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Qlow_DequantizeOp : Qlow_Op<"dequantize", [Pure, Qlow_ReifyShapes]> {
  let summary = "Codes to float";
  let description = [{
    `x = scale * (decode(code) - zero) + offset` in f32, each operation rounded once, then converted to the result's
    element type. Shapes of input and result agree (C2).

    ```mlir
    %x = qlow.dequantize %q : tensor<4x8x!qlow.q<i8 : f32>> -> tensor<4x8xf32>
    ```
  }];
  let arguments = (ins Qlow_QuantizedTensor:$input);
  let results = (outs Qlow_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Qlow_RequantizeOp : Qlow_Op<"requantize", [Pure, Qlow_ReifyShapes, AttrSizedOperandSegments]> {
  let summary = "i32 sums to codes by a multiplier";
  let description = [{
    `half_even`: `code = saturate(round_half_even(f32(acc) * multiplier) + zero)` with an f32 multiplier.
    `single`, `double`: `code = saturate(apply_scale_32(acc, multiplier, shift) + zero)`, TOSA's rule with one or two
    roundings, an i32 multiplier and an i8 shift.

    Multiplier and shift have rank 0, or rank 1 and count the last dimension (C4). The shift is there exactly for
    `single` and `double` (C5). `parts` are the result's parts without its codes (C1); its format is an integer of at
    most 8 bits with one zero point and no offset (C6). Shapes of input and result agree (C2).

    ```mlir
    %q = qlow.requantize half_even %acc, %mult parts(%scale : tensor<f32>)
       : tensor<4x8xi32>, tensor<8xf32> -> tensor<4x8x!qlow.q<i8 : f32>>
    ```
  }];
  let arguments = (ins Qlow_RoundingAttr:$rounding, RankedTensorOf<[I32]>:$input,
                       RankedTensorOf<[F32, I32]>:$multiplier, Optional<RankedTensorOf<[I8]>>:$shift,
                       Variadic<AnyRankedTensor>:$parts);
  let results = (outs Qlow_QuantizedTensor:$result);
  let assemblyFormat = [{
    `` $rounding $input `,` $multiplier (`shift` `(` $shift^ `:` type($shift) `)`)? (`parts` `(` $parts^ `:` type($parts) `)`)?
    attr-dict `:` type($input) `,` type($multiplier) `->` type($result)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

def Qlow_MatmulOp : Qlow_Op<"matmul", [
    Pure, Qlow_ReifyShapes, AttrSizedOperandSegments, IsolatedFromAbove]> {
  let summary = "Batched matrix product of quantized or float tensors";
  let description = [{
    `lhs` is [batch..., M, K], or [batch..., K, M] with `transpose_lhs`; `rhs` is [batch..., K, N], or [batch..., N, K] with
    `transpose_rhs`; the result is [batch..., M, N] (C7). Both sides are quantized, or one or both float.

    Where both formats have integer images and neither side has more than one scale along K, the sum is exact:

    ```
    acc[m, n] = sum_k (a[m, k] - za[m]) * (b[k, n] - zb[n])     i32, wrapping mod 2^32
    i32 result:       acc                                        images of step 1 only, scales do not matter (C8)
    float result:     f32(acc) * (sa[m] * sb[n]) + bias[n]
    quantized result: saturate(round_half_even(f32(acc + bias[n]) * ((sa[m] * sb[n]) / sy)) + zy)
    ```

    with the f32 operations in this order, each rounded once. Otherwise both sides are dequantized to f32 and summed in
    any order within the law's bound. The bias is i32 where an exact sum has an i32 or quantized result, else f32 (C9).
    `parts` are a quantized result's parts without its codes (C1); without an epilogue it has no offset (C8).

    With an epilogue region the result is what the region yields for each element: its arguments are the sum (i32 where
    the sum is exact, else f32) and one scalar for each of `extras`, read through `extra_maps` from (batch..., m, n) (C10).
    Its ops are scalar and elementwise and use nothing from outside, constants included (C11); a quantized result takes
    i8 codes from it. Fusion writes regions, selection writes recipes; both are kept when given.
    `portable_recipes` are for the machine whose code later devices run.

    ```mlir
    %y = qlow.matmul %a, %b bias(%bias : tensor<64xf32>)
       : tensor<?x128x!qlow.q<u8 : f32, zero = u8>>, tensor<128x64x!qlow.q<i8 : f32, block = [*, 1]>> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$lhs, AnyRankedTensor:$rhs, Optional<RankedTensorOf<[I32, F32]>>:$bias,
                       Variadic<AnyRankedTensor>:$parts, Variadic<AnyRankedTensor>:$extras,
                       UnitAttr:$transpose_lhs, UnitAttr:$transpose_rhs,
                       OptionalAttr<AffineMapArrayAttr>:$extra_maps, OptionalAttr<Qlow_RecipesAttr>:$recipes,
                       OptionalAttr<Qlow_RecipesAttr>:$portable_recipes);
  let regions = (region MaxSizedRegion<1>:$epilogue);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    (`transpose_lhs` $transpose_lhs^)? (`transpose_rhs` $transpose_rhs^)? $lhs `,` $rhs
    (`bias` `(` $bias^ `:` type($bias) `)`)? (`parts` `(` $parts^ `:` type($parts) `)`)?
    (`extras` `(` $extras^ `:` type($extras) `)` `maps` $extra_maps)? (`epilogue` $epilogue^)?
    (`recipes` $recipes^)? (`portable_recipes` $portable_recipes^)? attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
  let builders = [OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$lhs, "::mlir::Value":$rhs,
                                 CArg<"bool", "false">:$transposeLhs, CArg<"bool", "false">:$transposeRhs,
                                 CArg<"::mlir::Value", "{}">:$bias, CArg<"::mlir::ValueRange", "{}">:$parts)>];
  let extraClassDeclaration = [{
    bool hasEpilogue() { return !getEpilogue().empty(); }
    int64_t getBatchRank() { return ::mlir::cast<::mlir::RankedTensorType>(getLhs().getType()).getRank() - 2; }
    /// Sizes of M, N and K as the types know them.
    ::std::array<int64_t, 3> getProblemShape();
    /// Whether the sum is an exact i32 (the law's integer path); else it is f32.
    bool hasExactSum();
    /// Whether the law's bound is that of products of small floats.
    bool hasNarrowSum();
    ::mlir::Type getAccumulatorType();
  }];
}

def Qlow_YieldOp : Op<Qlow_Dialect, "yield", [Pure, Terminator, ReturnLike, ParentOneOf<["MatmulOp", "MatmulKernelOp"]>]> {
  let summary = "The element an epilogue region gives";
  let arguments = (ins AnyType:$value);
  let assemblyFormat = "$value attr-dict `:` type($value)";
}

//===----------------------------------------------------------------------===//
// Storage
//===----------------------------------------------------------------------===//

def Qlow_WeightOp : Op<Qlow_Dialect, "weight", [Symbol]> {
  let summary = "A constant whose bytes are streamed into the object";
  let description = [{
    Declares constant bytes: `source` is the constant as the model gave it, `source_type` the tensor it is a part of. With
    `layout` they are stored as `qlow.pack` stores the right-hand side of a matmul, [batch..., N, K] with `transposed`.
    Without it they are stored as they are. The bytes are not touched before they are streamed.
    `source` has elements of whole bytes and static shape, `source_type` is a ranked tensor, and `bytes` is the size of
    what is stored: the source's own where it is stored as it is. With a layout the source is all codes, or floats, of
    a tensor of rank 2 at least (C13).

    ```mlir
    qlow.weight private @w0 dense_resource<w0> : tensor<128x64xi8> as tensor<128x64x!qlow.q<i8 : f32>> bytes 8448 layout #l
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, OptionalAttr<StrAttr>:$sym_visibility, ElementsAttr:$source,
                       TypeAttr:$source_type, I64Attr:$bytes, UnitAttr:$transposed, OptionalAttr<Qlow_LayoutAttr>:$layout);
  let assemblyFormat = [{
    custom<Visibility>($sym_visibility) $sym_name $source `as` $source_type `bytes` $bytes
    (`transposed` $transposed^)? (`layout` $layout^)? attr-dict
  }];
  let hasVerifier = 1;
}

def Qlow_GetWeightOp : Op<Qlow_Dialect, "get_weight", [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "The stored bytes of a weight";
  let description = [{
    A packed weight is a `tensor<Bxi8>` of the declared size; a weight without recipe has its source's type (C12).
  }];
  let arguments = (ins FlatSymbolRefAttr:$weight);
  let results = (outs AnyTypeOf<[AnyRankedTensor, AnyMemRef]>:$result);
  let assemblyFormat = "$weight attr-dict `:` type($result)";
}

#endif // QLOW_TENSOR_OPS_TD
