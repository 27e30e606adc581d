# Matmuls of floats of 8 bits on matrix units: both formats in all pairs, scales of tensors, rows, columns and blocks along K,
# all kinds of results, in every schedule, at sizes that tiles do not divide, as device objects in the emulator, whose units
# keep as few bits as the chips'. All results lie inside the law's bound, which sums that are never promoted would leave.
#
# RUN: python3 %s --targets sm_89,sm_90 --samples 40 --spread --seconds 60 --out %t
# RUN: python3 %s --targets sm_90 --tilings --samples 10 --seconds 60 --out %t
# RUN: env QLOW_CUDA_CAPABILITY=100 python3 %s --targets sm_100 --tilings --samples 6 --seconds 30 --out %t
#
# On a GPU: --compile-only here, then the same with --reuse --gpu there.

import argparse
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

import numpy as np
from functions import Function
from products import Codes, Product, k_dim_of, stored_shape
from quantized import FORMATS, Type, canonical_block, draw_tensor
from samples import add_run_options, run_all

PAIRS = [(a, b) for a in ("f8E4M3FN", "f8E5M2") for b in ("f8E4M3FN", "f8E5M2")]
NAMES = {"f8E4M3FN": "e4m3", "f8E5M2": "e5m2"}
M, N, K = [1, 5, 16, 64, 65, 129, 257], [3, 8, 16, 100, 129, 256, 264], [16, 32, 48, 128, 144, 400, 1040, 33, 200]
TILES = [(128, 256, 256, 4), (128, 128, 128, 6), (64, 128, 128, 8), (64, 256, 256, 5), (192, 128, 128, 4), (128, 192, 192, 4),
         (64, 192, 192, 5)]  # M, N, of a warpgroup, stages
TENSOR_TILES = [(128, 256, 4), (128, 128, 6), (64, 64, 9), (128, 64, 9), (32, 32, 11), (32, 128, 6)]  # M, N, stages


def draw_scales(r, rank, k_dim, along_k):
    """A block: of the tensor, of lines, or groups along K of one line or of many."""
    kind = r.random() * (1 if along_k else 0.5)
    if kind < 0.25:
        return (None,) * rank
    if kind < 0.5:
        return tuple(None if dim == k_dim else 1 for dim in range(rank))
    lines = r.choice([1, 1, 128, 128, 32, None])
    line_dim = 2 * rank - 3 - k_dim
    sizes = {k_dim: r.choice([32, 64, 96, 128, 128, 128, 256]), line_dim: lines}
    return tuple(sizes.get(dim, r.choice([1, None])) for dim in range(rank))


def draw_side(f, name, format, shape, swapped, dims, how, hides, along_k):
    """Codes under scales that matrix units' sums can be multiplied by."""
    r, k_dim = f.r, k_dim_of(shape, swapped)
    block = canonical_block(shape, draw_scales(r, len(shape), k_dim, along_k), tuple(dims))
    type_ = Type(format, r.choice(["f32", "f32", "f32", "f16", "bf16", "f8E8M0FNU"]), block=block)
    tensor = draw_tensor(r, f.numbers, type_, shape)
    if hides:
        at, value = hides
        tensor.codes = np.full(shape, greatest(format, value))
        np.moveaxis(tensor.codes, k_dim, -1)[..., at] = greatest(format, np.inf)
    return Codes(f, name, tensor, swapped, dims, how)


def greatest(format, limit):
    """The code of the greatest value up to a limit."""
    values = format.values[format.finite]
    return format.finite[np.argmax(np.where(values <= limit, values, -np.inf))]


def hide(formats, k):
    """One product that is so large that in a narrow sum with it all others come to nothing: where it is, and both sides'
    other values."""
    largest = float(formats[0].max) * float(formats[1].max)
    unit = 2.0 ** (np.floor(np.log2(largest)) - 13)
    a = formats[0].values[greatest(formats[0], unit**0.5)]
    b = formats[1].values[greatest(formats[1], unit / a * 0.999)]
    return k, a, b


def blocks_along_k(side):
    """K and lines under one scale, or None where all of K is."""
    if side.tensor.type.is_constant_along(side.k_dim, side.values.shape):
        return None
    block = side.tensor.type.block
    return block[side.k_dim], block[2 * len(block) - 3 - side.k_dim]


def recipe(sides, formats, tile_m, tile_n, inner, stages):
    blocks = [blocks_along_k(side) for side in sides]
    rescale = "block" if any(blocks) else "end"
    if any(blocks):
        # Two products a warpgroup leave no room for scales of each column, or of few k; others for one buffer less.
        few_k = any(block and block[0] % 128 for block in blocks)
        few_columns = blocks[1] and (blocks[1][1] or 128) % 128
        if inner == 256 and (few_k or few_columns) or inner == 192:
            tile_m, tile_n, inner, stages = 128, 128, 128, 5
        stages = min(stages, 5) if tile_m == 128 else stages
    return (f"recipes <[#qlow.recipe<wgmma_64x{192 if inner == 192 else 128}x32_f32_{NAMES[formats[0]]}_{NAMES[formats[1]]},\n"
            f"    tiles = [<cta, [{tile_m}, {tile_n}, 128]>, <warpgroup, [64, {inner}, 32]>],\n"
            f"    lhs = [<to = cta, by = tma, stages = {stages}, swizzle = 128>],\n"
            f"    rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = {stages}>], rescale = {rescale}>]>")


def tensor_recipe(formats, tile_m, tile_n, stages):
    """Sums in tensor memory: one product a block, whose last rows may be none."""
    return (f"recipes <[#qlow.recipe<tcgen05_128x{tile_n}x32_f32_{NAMES[formats[0]]}_{NAMES[formats[1]]},\n"
            f"    tiles = [<cta, [{tile_m}, {tile_n}, 128]>, <warpgroup, [128, {tile_n}, 32]>],\n"
            f"    lhs = [<to = cta, by = tma, stages = {stages}, swizzle = 128>],\n"
            f"    rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = {stages}>], rescale = end>]>")


def draw(seed, index, tilings, in_tensor_memory):
    f = Function(f"s{index}", seed)
    r = f.r
    formats = PAIRS[index % 4]
    m, n, k = r.choice(M), r.choice(N), r.choice(K[:7] if tilings else K)
    place, *others = hide([FORMATS[name] for name in formats], r.choice([0, k - 1]))
    left, right = [(place, value) for value in others] if r.random() < 0.6 else (None, None)
    batch = () if r.random() < 0.8 else (2,)
    swapped = (False, r.random() < 0.5) if tilings else (r.random() < 0.2, r.random() < 0.5)
    dims = {len(batch) + swapped[0]: "m"} if r.random() < 0.3 else {}
    lhs = draw_side(f, "x", FORMATS[formats[0]], stored_shape(batch, m, k, swapped[0]), swapped[0], dims, "argument", left, not in_tensor_memory)
    how = "constant" if tilings else r.choice(["constant", "constant", "mixed", "argument"])
    rhs = draw_side(f, "w", FORMATS[formats[1]], stored_shape(batch, n, k, swapped[1]), swapped[1], {}, how, right, not in_tensor_memory)
    product = Product(f, lhs, rhs, r.choice(["f32", "f16", "bf16", "codes"]))
    product.draw_bias(0.4)
    product.draw_parts()
    if tilings:
        product.given += " " + (tensor_recipe(formats, *TENSOR_TILES[index % len(TENSOR_TILES)]) if in_tensor_memory
                                else recipe((lhs, rhs), formats, *TILES[index % len(TILES)]))
    return product.sample()


def main():
    parser = argparse.ArgumentParser()
    add_run_options(parser, samples=200, out="build/small-floats")
    parser.add_argument("--tilings", action="store_true", help="with recipes of a warpgroup that copies")
    options = parser.parse_args()
    in_tensor_memory = options.tilings and options.targets == ["sm_100"]
    return run_all(options, "Integration/small-floats.py", lambda index: draw(options.seed, index, options.tilings, in_tensor_memory))


if __name__ == "__main__":
    sys.exit(main())
