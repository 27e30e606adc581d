# Matmuls whose results are quantized as they are measured, by their own kernels: rows and blocks of rows, with and without
# zero points, scales of f32 and powers of two, in the tiles of every schedule that does it, at sizes that tiles do not
# divide, as device objects in the emulator. Of integers bit for bit, of floats within the law's bound.
#
# RUN: python3 %s --targets sm_90 --samples 40 --seconds 60 --out %t
# RUN: python3 %s --targets %S/Inputs/sm_90_few_cores.json --samples 16 --seconds 40 --seed 2 --out %t
# RUN: python3 %s --targets sm_80 --samples 20 --seconds 40 --seed 3 --out %t
# RUN: python3 %s --targets sm_90,x86-64-v3 --chosen --samples 20 --seconds 40 --out %t
#
# On a GPU: --compile-only here, then the same with --reuse --gpu there.

import argparse
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

from functions import Function
from products import Codes, Floats, Product, stored_shape
from quantized import F32, FORMATS, Quantized, Type, canonical_block, draw_codes, draw_factor
from samples import add_run_options, run_all

# Elements, as rows spell them, their sums, bits, of a step of K in bytes.
KINDS = {"i8": ("s8", "i32", 8), "f8E4M3FN": ("e4m3", "f32", 8), "f16": ("f16", "f32", 16)}
# M, N, of a warpgroup, of its row, stages, of a panel.
WARPGROUPS = {
    "i8": [(128, 256, 256, 256, 4, 256), (64, 64, 64, 64, 13, 128), (128, 192, 192, 192, 4, 192), (64, 256, 128, 128, 4, 256), (16, 32, 32, 32, 16, 128)],
    "f8E4M3FN": [(128, 128, 128, 128, 6, 128), (128, 256, 256, 128, 3, 256), (64, 64, 64, 64, 13, 128), (64, 192, 192, 192, 5, 192)],
    "f16": [(128, 224, 224, 224, 4, 224), (64, 128, 128, 128, 8, 128), (128, 256, 256, 256, 4, 256), (64, 160, 160, 160, 5, 160)],
}
# M, N, bytes of K, of a warp, stages.
WARPS = [(128, 256, 64, 64, 64, 4), (128, 128, 64, 64, 32, 4), (64, 128, 64, 32, 32, 5), (32, 128, 128, 16, 32, 4), (16, 128, 128, 16, 16, 5)]
M, N, K = [1, 5, 16, 33, 65, 129, 200], [8, 16, 24, 33, 64, 100, 128, 160, 191, 192, 224, 256, 272], [16, 64, 144, 272]
BLOCKS = [8, 16, 24, 32, 64, 96, 128, 256]
RESULTS = [("i8", "f32", False), ("u8", "f32", True), ("f8E4M3FN", "f32", False), ("f8E5M2", "f8E8M0FNU", False), ("u8", "f32", False), ("i8", "f8E8M0FNU", False)]


def side(f, name, kind, shape, dims, how):
    if kind == "f16":
        return Floats(f, name, "f16", shape, False, dims, how == "constant")
    block = canonical_block(shape, f.r.choice([(1,) * (len(shape) - 1) + (None,), (None,) * len(shape)]), tuple(dims))
    type_ = Type(FORMATS[kind], "f32", block=block)
    tensor = Quantized(type_, draw_codes(f.r, f.numbers, type_.format, shape), None)
    tensor.scale = draw_factor(f.r, f.numbers, "f32", type_.scale_shape(shape), 0)
    if kind == "f8E4M3FN":
        tensor.scale = (tensor.scale / 512).astype(F32)  # f16 has room for sums
    return Codes(f, name, tensor, False, dims, how)


def of_warpgroup(kind, index, n):
    """The recipe of a warpgroup that copies, and the widest block that it holds."""
    name, sums, bits = KINDS[kind]
    tiles = WARPGROUPS[kind]
    tile_m, tile_n, inner, row_n, stages, panel = tiles[index % len(tiles)]
    depth, step = 1024 // bits, 256 // bits
    stored = f"<memory, [{tile_m}, {panel}, {depth}]>, " if panel != tile_n else ""
    by = "tma" if panel != tile_n and n % panel == 0 else "bulk"
    text = (f"wgmma_64x{row_n}x{step}_{sums}_{name}_{name}, tiles = [{stored}<cta, [{tile_m}, {tile_n}, {depth}]>, <warpgroup, [64, {inner}, {step}]>],\n"
            f"    lhs = [<to = cta, by = tma, stages = {stages}, swizzle = 128>], rhs = [<to = memory, by = pack>, <to = cta, by = {by}, stages = {stages}>]")
    return text, inner, inner


def of_warp(kind, index):
    name, sums, bits = KINDS[kind]
    tile_m, tile_n, tile_bytes, warp_m, warp_n, stages = WARPS[index % len(WARPS)]
    depth, step = tile_bytes * 8 // bits, 256 // bits
    text = (f"mma_16x8x{step}_{sums}_{name}_{name}, tiles = [<cta, [{tile_m}, {tile_n}, {depth}]>, <warp, [{warp_m}, {warp_n}, {step}]>],\n"
            f"    lhs = [<to = cta, by = cp_async, stages = {stages}>, <to = reg, by = ldmatrix>],\n"
            f"    rhs = [<to = memory, by = pack>, <to = cta, by = cp_async, stages = {stages}>, <to = reg, by = ldmatrix>]")
    return text, warp_n, tile_n


def is_held(block, inner, most):
    return most % block == 0 and (inner % block == 0 or block % inner == 0)


def draw(seed, index, options):
    f = Function(f"s{index}", seed)
    r = f.r
    in_warps = not options.chosen and (options.targets == ["sm_80"] or r.random() < 0.4)
    kind = r.choice(["i8", "f16", "i8"] if in_warps else list(KINDS))
    m, n, k = r.choice(M), r.choice([*N, 0] if options.chosen else N), r.choice(K)
    batch = () if r.random() < 0.8 else (2,)
    dims = {len(batch): "m"} if r.random() < 0.3 else {}
    lhs = side(f, "x", kind, stored_shape(batch, m, k, False), dims, "argument")
    given, inner, most = ("", 64, 256) if options.chosen else of_warp(kind, index) if in_warps else of_warpgroup(kind, index, n)
    # The kernel has whole blocks, or it would leave them to another.
    blocks = [None] * (n <= most) + [block for block in BLOCKS if block < n and (options.chosen or is_held(block, inner, most))]
    how = r.choice(["constant", "argument"]) if options.chosen else "constant"
    opens_n = {len(batch): "n"} if how == "argument" and r.random() < 0.4 else {}
    rhs = side(f, "w", kind, stored_shape(batch, n, k, False), opens_n, how)
    product = Product(f, lhs, rhs, r.choice(["f32", "f16", "bf16"]))
    product.draw_bias(0.3 if not opens_n else 0)
    format, scale, has_zero = r.choice(RESULTS)
    block = canonical_block(product.shape, (1,) * (len(product.shape) - 1) + (r.choice(blocks),), tuple(product.dims))
    product.measured = Type(FORMATS[format], scale, FORMATS[format] if has_zero else None, block=block)
    rescale = "fold" if kind == "f16" else "end"
    product.given += f" recipes <[#qlow.recipe<{given}, rescale = {rescale}>]>" * (not options.chosen)
    return product.sample(is_exact=kind == "i8")


def main():
    parser = argparse.ArgumentParser()
    add_run_options(parser, samples=200, out="build/measured")
    parser.add_argument("--chosen", action="store_true", help="with recipes that selection chooses, and any blocks")
    options = parser.parse_args()
    return run_all(options, "Integration/measured.py", lambda index: draw(options.seed, index, options))


if __name__ == "__main__":
    sys.exit(main())
