//===- QlowAttributes.td - recipes: how a kernel is to be computed --------===//
//
// A recipe is the only output of selection and the only input of packing and scheduling. It says two general things: a
// tile for each level of the machine, and for each operand the hops from where it is stored to the multiply unit.
// What can be derived (barriers, shared bytes, slots) is not in it. The words name rows and levels of the target;
// the dialect does not know them, the target's verifier does.
//
//===----------------------------------------------------------------------===//

#ifndef QLOW_ATTRIBUTES_TD
#define QLOW_ATTRIBUTES_TD

include "qlow/Dialect/QlowDialect.td"
include "mlir/IR/EnumAttr.td"

class Qlow_Word<string description> : StringRefParameter<description> {
  let parser = "::qlow::parseWord($_parser)";
  let printer = "$_printer.printKeywordOrString($_self)";
}

def Qlow_LevelAttr : AttrDef<Qlow_Dialect, "Level"> {
  let mnemonic = "level";
  let summary = "The tile [m, n, k] computed at one level of the machine";
  let description = [{
    A tile at `memory` says the columns of a stored panel, where tiles at the level it is moved to are slices of it.
  }];
  let parameters = (ins Qlow_Word<"level of the target">:$at, ArrayRefParameter<"int64_t">:$tile);
  let assemblyFormat = "`<` $at `,` `[` $tile `]` `>`";
}

def Qlow_HopAttr : AttrDef<Qlow_Dialect, "Hop"> {
  let mnemonic = "hop";
  let summary = "One step of an operand on its way to the multiply unit";
  let description = [{
    `to` is the level the operand arrives at and `by` the mover or decode row that brings it there. `stages` counts the
    buffers of an asynchronous copy and `swizzle` the bytes of its swizzle pattern, 0 for none.
  }];
  let parameters = (ins Qlow_Word<"level of the target">:$to,
                        Qlow_Word<"mover or decode row">:$by,
                        DefaultValuedParameter<"int64_t", "1">:$stages,
                        DefaultValuedParameter<"int64_t", "0">:$swizzle);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def Qlow_RecipeAttr : AttrDef<Qlow_Dialect, "Recipe"> {
  let mnemonic = "recipe";
  let summary = "How one matmul is computed for one range of M";
  let description = [{
    `rescale` says where block scales are applied: `fold` (into a decoded operand), `block` (to the accumulator, as each
    block begins or ends), `follow` (the same, where scales are known and none is 0: the accumulator is in units of the
    block's, multiplied by old / new as it begins) or `end` (once, in the epilogue).

    ```mlir
    #qlow.recipe<vpdpbusd_1x16x4_i32_u8_s8, tiles = [<thread, [96, 64, 4096]>, <reg, [6, 64, 4]>],
      lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>],
      rhs = [<to = memory, by = pack>, <to = reg, by = load>], rescale = end>
    ```
  }];
  let parameters = (ins Qlow_Word<"multiply row">:$unit,
                        ArrayRefParameter<"LevelAttr">:$tiles,
                        ArrayRefParameter<"HopAttr">:$lhs,
                        ArrayRefParameter<"HopAttr">:$rhs,
                        Qlow_Word<"fold, block, follow or end">:$rescale,
                        DefaultValuedParameter<"bool", "false">:$swap,
                        DefaultValuedParameter<"int64_t", "1">:$split_k);
  let assemblyFormat = [{
    `<` $unit `,` `tiles` `=` `[` $tiles `]` `,` `lhs` `=` `[` $lhs `]` `,` `rhs` `=` `[` $rhs `]` `,`
    `rescale` `=` $rescale `` custom<SwapAndSplit>($swap, $split_k) `>`
  }];
  let genVerifyDecl = 1;
  let genMnemonicAlias = 1;
  let extraClassDeclaration = [{
    /// The tile at the level named `at`, or an empty array.
    ::llvm::ArrayRef<int64_t> getTile(::llvm::StringRef at) const;
    /// Whether there are tiles at these levels and no others.
    bool hasTilesAt(::llvm::ArrayRef<::llvm::StringRef> levels) const;
  }];
}

def Qlow_RecipesAttr : AttrDef<Qlow_Dialect, "Recipes"> {
  let mnemonic = "recipes";
  let summary = "One recipe for each range of M";
  let description = [{
    `#qlow.recipes<[m to 4 : #r1, m to 64 : #r2, #r3]>`: the first range that holds M decides; the last has no bound. All
    recipes share one stored layout of the right-hand side.
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$bounds, ArrayRefParameter<"RecipeAttr">:$recipes);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// The recipe whose range holds `m`.
    RecipeAttr lookup(int64_t m) const;
  }];
}

def Qlow_LayoutAttr : AttrDef<Qlow_Dialect, "Layout"> {
  let mnemonic = "layout";
  let summary = "How the right-hand side of matmuls is stored";
  let description = [{
    Columns lie in panels of `panel`, the last one padded to a multiple of `columns`; in a panel, `group` consecutive k
    of one column lie together. An element is the value less `offset` as an i8, the code of a float of 8 bits, or f32;
    or the code itself as an i4 or i1, lowest bits first. Panels of integers carry the sum of each column behind their
    elements. With `fragment` codes of i4 or i8 lie as the threads
    of a matrix instruction hold them, blocks of 64 columns and 128 k: an element is an integer less `offset`, or the code
    of any other format, and those of neighbouring k in a register stand `fragment` codes apart: 1 or 4 the two of 16-bit
    floats, 2 the four of bytes; 8 is as 4, with the bits of two codes mixed in a byte. `Layout` gives the place of each
    byte. Recipes of different instructions that read the same bytes have equal layouts.

    ```mlir
    #qlow.layout<element = i8, panel = 64, columns = 16, group = 4>
    ```
  }];
  let parameters = (ins "::mlir::Type":$element, "int64_t":$panel, "int64_t":$columns, "int64_t":$group,
                        DefaultValuedParameter<"int64_t", "0">:$offset,
                        DefaultValuedParameter<"int64_t", "0">:$fragment);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
  let genMnemonicAlias = 1;
}

def Qlow_Rounding : I32EnumAttr<"Rounding", "rule of a requantization", [
    I32EnumAttrCase<"HalfEven", 0, "half_even">,
    I32EnumAttrCase<"Single", 1, "single">,
    I32EnumAttrCase<"Double", 2, "double">]> {
  let cppNamespace = "::qlow";
  let genSpecializedAttr = 0;
}
def Qlow_RoundingAttr : EnumAttr<Qlow_Dialect, Qlow_Rounding, "rounding">;

#endif // QLOW_ATTRIBUTES_TD
