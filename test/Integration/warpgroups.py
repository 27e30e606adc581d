# Matmuls whose operands a warpgroup of their own copies and whose results leave through shared memory, in every tiling,
# at sizes that tiles do not divide: the samples of matmul.py with such a recipe, as device objects in the emulator, bit
# for bit.
#
# RUN: python3 %s --targets sm_90 --samples 28 --seconds 90 --out %t
# RUN: python3 %s --targets %S/Inputs/sm_90_few_cores.json --samples 14 --seconds 60 --seed 2 --out %t
# RUN: env QLOW_CUDA_CAPABILITY=100 python3 %s --targets sm_100 --samples 8 --seconds 30 --out %t
#
# On a GPU: --compile-only here, then the same with --reuse --gpu there.

import argparse
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from matmul import add_run_options, draw_sample, rng_of, run_all, sample_of

# M, N, of a warpgroup, stages, of a panel
TILES = [
    (128, 256, 256, 4, 256),
    (16, 32, 32, 16, 128),
    (128, 128, 128, 6, 128),
    (64, 32, 32, 16, 256),
    (64, 128, 128, 8, 128),
    (16, 64, 64, 13, 256),
    (64, 256, 256, 5, 256),
    (64, 64, 64, 13, 128),
    (128, 256, 256, 2, 256),
    (64, 128, 128, 8, 256),
    (64, 256, 128, 4, 256),
    (32, 64, 32, 6, 64),
    (128, 192, 192, 4, 192),
    (64, 192, 192, 5, 192),
]
# Those of sums in tensor memory: one product of 128 rows a block.
TENSOR_TILES = [
    (128, 256, 256, 4, 256),
    (32, 32, 32, 11, 128),
    (128, 128, 128, 6, 128),
    (64, 64, 64, 9, 256),
    (32, 128, 128, 6, 128),
    (128, 64, 64, 9, 128),
    (128, 256, 256, 2, 256),
    (32, 64, 64, 6, 64),
]
M, N, K = [1, 5, 64, 65, 129, 257], [3, 8, 16, 100, 129, 256, 264, 513, 768], [16, 32, 48, 128, 144, 400, 1040]

NAMES = {"i8": "s8", "u8": "u8"}


def recipe(unit, rows, product, tile_m, tile_n, inner, stages, panel):
    row = f"{unit}_{rows}x{inner}x32_i32_{NAMES[product.lhs.format]}_{NAMES[product.rhs.format]}"
    stored = f"<memory, [{tile_m}, {panel}, 128]>, " if panel != tile_n else ""
    by = "tma" if tile_n <= 64 and product.n % panel == 0 else "bulk"
    return (f"#qlow.recipe<{row}, tiles = [{stored}<cta, [{tile_m}, {tile_n}, 128]>, <warpgroup, [{rows}, {inner}, 32]>], "
            f"lhs = [<to = cta, by = tma, stages = {stages}, swizzle = 128>], "
            f"rhs = [<to = memory, by = pack>, <to = cta, by = {by}, stages = {stages}>], rescale = end>")


def draw(seed, index, in_tensor_memory):
    """A sample of matmul.py with a left side that lies along K and a constant right side."""
    r = rng_of(seed, index, "warpgroups")
    shape = r.choice(M), r.choice(N), r.choice(K)
    product = draw_sample(seed, index, shape, transposes_lhs=False, constant_rhs=True)
    if product.result == "f32" and not product.relu:
        product.result = "f16"
    if in_tensor_memory:
        product.recipe = recipe("tcgen05", 128, product, *TENSOR_TILES[index % len(TENSOR_TILES)])
    else:
        product.recipe = recipe("wgmma", 64, product, *TILES[index % len(TILES)])
    return sample_of(product)


def main():
    parser = argparse.ArgumentParser()
    add_run_options(parser, samples=100, out="build/warpgroups")
    options = parser.parse_args()
    return run_all(options, "Integration/warpgroups.py", lambda index: draw(options.seed, index, options.targets == ["sm_100"]))


if __name__ == "__main__":
    sys.exit(main())
