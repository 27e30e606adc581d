//===- KernelForm.td - kernels after the split into parts -----------------===//

#ifndef QLOW_KERNEL_FORM_TD
#define QLOW_KERNEL_FORM_TD

include "qlow/Dialect/TensorOps.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"

def Qlow_MatmulKernelOp : Op<Qlow_Dialect, "matmul_kernel", [
    AttrSizedOperandSegments, IsolatedFromAbove, DestinationStyleOpInterface, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "qlow.matmul in destination style, its tensors split into parts";
  let description = [{
    Computes what the `qlow.matmul` it came from computes. `lhs` and `rhs` are the parts of the operands, whose types as
    tensors are `lhs_type` and `rhs_type`, ranked tensors of `!qlow.q` or float; a rhs with the layout `packed_rhs` has in
    place of its codes (or floats) the bytes `qlow.pack` makes of them, and its other parts behind them (C14). The one
    output is [batch..., M, N] and takes what the epilogue yields (C7, C10, C11); with an `out_type`, a tensor of
    `!qlow.q`, the outputs are the parts of what `qlow.quantize_dynamic` makes of that (C17). `scratch`, bytes, is memory
    the schedule may use: slot i, of the size the family states, belongs to task i (C15).

    `portable_recipes` are what `recipes` are, for the machine whose code later devices run, and read the same layout.

    Lives on tensors until bufferization and on memrefs after it.
  }];
  let arguments = (ins Variadic<AnyShaped>:$lhs, Variadic<AnyShaped>:$rhs, Variadic<AnyShaped>:$extras,
                       Variadic<AnyShaped>:$outs, Optional<AnyShaped>:$scratch,
                       TypeAttr:$lhs_type, TypeAttr:$rhs_type, OptionalAttr<TypeAttr>:$out_type,
                       UnitAttr:$transpose_lhs, UnitAttr:$transpose_rhs, OptionalAttr<Qlow_LayoutAttr>:$packed_rhs,
                       AffineMapArrayAttr:$extra_maps, Qlow_RecipesAttr:$recipes, OptionalAttr<Qlow_RecipesAttr>:$portable_recipes);
  let regions = (region SizedRegion<1>:$epilogue);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    (`transpose_lhs` $transpose_lhs^)? (`transpose_rhs` $transpose_rhs^)? (`packed_rhs` $packed_rhs^)?
    `lhs` `(` $lhs `:` type($lhs) `)` `as` $lhs_type `rhs` `(` $rhs `:` type($rhs) `)` `as` $rhs_type
    (`extras` `(` $extras^ `:` type($extras) `)`)? `maps` $extra_maps `outs` `(` $outs `:` type($outs) `)`
    (`as` $out_type^)? (`scratch` `(` $scratch^ `:` type($scratch) `)`)?
    `epilogue` $epilogue `recipes` $recipes (`portable_recipes` $portable_recipes^)? attr-dict (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getOutsMutable(); }
    /// Of M x N elements: what the epilogue yields, or its codes.
    ::mlir::Value getOut() { return getOuts().front(); }
    /// What outputs are quantized to; null: they are what the epilogue yields.
    ::qlow::QType getMeasuredType();
    /// K, an index; of a kernel on memrefs.
    ::mlir::Value emitK(::mlir::OpBuilder &builder);
    /// Type of the sum, the first argument of the epilogue.
    ::mlir::Type getAccumulatorType() { return getEpilogue().front().getArgument(0).getType(); }
  }];
}

def Qlow_PackOp : Op<Qlow_Dialect, "pack", [
    AttrSizedOperandSegments, DestinationStyleOpInterface, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>, Qlow_ReifyShapes]> {
  let summary = "The right-hand side of matmuls as its kernels read it";
  let description = [{
    `out` takes the elements of a tensor of `source_type`, [batch..., K, N] or with `transposed`
    [batch..., N, K], in the order and with the padding of `layout`: the integer image of each code less the layout's
    offset where elements are integers, else its f32 value; for a layout of fragments the codes themselves, integers less
    the offset. `source` are the parts (C1), for integers the codes alone;
    `out` is one dimension of bytes (C16). Two kernels of one right-hand side and layout read one pack; `qlow-pack-weights` makes that of a constant a
    `qlow.weight`.

    Lives on tensors until bufferization and on memrefs after it. `width`, the number of tasks at most, is there once
    buffers are planned.

    ```mlir
    %p = qlow.pack (%codes : tensor<64x32xi8>) as tensor<64x32x!q> outs(%e : tensor<2176xi8>)
      layout <element = i8, panel = 64, columns = 16, group = 4> -> tensor<2176xi8>
    ```
  }];
  let arguments = (ins Variadic<AnyShaped>:$source, AnyShaped:$out, Optional<Index>:$width, TypeAttr:$source_type,
                       UnitAttr:$transposed, Qlow_LayoutAttr:$layout);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    (`transposed` $transposed^)? `(` $source `:` type($source) `)` `as` $source_type `outs` `(` $out `:` type($out) `)`
    (`width` $width^)? `layout` $layout attr-dict (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getOutMutable(); }
  }];
}

#endif // QLOW_KERNEL_FORM_TD
