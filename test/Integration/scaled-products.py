# Matmuls whose scales the instruction takes: small floats of 4 and 8 bits under scales of 16 or 32 k on both sides, with and
# without words of them side by side in memory, in every schedule, at sizes that tiles do not divide, as device objects in the
# emulator. All results lie inside the law's bound: of floats of 4 bits that of any sum in f32.
#
# RUN: env QLOW_CUDA_CAPABILITY=120 python3 %s --targets sm_120 --samples 30 --seconds 40 --out %t

import argparse
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

from functions import Function
from products import Codes, Product, k_dim_of, stored_shape
from quantized import FORMATS, Quantized, Type, canonical_block, draw_codes, draw_factor
from samples import add_run_options, run_all

# Left, right, scales, k under one of them, and the row.
KINDS = [
    ("f8E4M3FN", "f8E4M3FN", "f8E8M0FNU", 32, "mma_16x8x32_f32_e4m3_e4m3_via_ue8m0"),
    ("f4E2M1FN", "f4E2M1FN", "f8E8M0FNU", 32, "mma_16x8x64_f32_e2m1_e2m1_via_ue8m0"),
    ("f4E2M1FN", "f4E2M1FN", "global", 16, "mma_16x8x64_f32_e2m1_e2m1_via_ue4m3"),
    ("f8E4M3FN", "f8E5M2", "f8E8M0FNU", 32, "mma_16x8x32_f32_e4m3_e5m2_via_ue8m0"),
    ("f4E2M1FN", "f4E2M1FN", "f8E4M3FN", 16, "mma_16x8x64_f32_e2m1_e2m1_via_ue4m3"),
    ("f8E5M2", "f8E4M3FN", "f8E8M0FNU", 32, "mma_16x8x32_f32_e5m2_e4m3_via_ue8m0"),
    ("f4E2M1FN", "f4E2M1FN", "f8E8M0FNU", 32, "mma_16x8x64_f32_e2m1_e2m1_via_ue8m0"),
    ("f8E5M2", "f8E5M2", "f8E8M0FNU", 32, "mma_16x8x32_f32_e5m2_e5m2_via_ue8m0"),
    ("f4E2M1FN", "f4E2M1FN", "global", 16, "mma_16x8x64_f32_e2m1_e2m1_via_ue4m3"),
]
M, N = [1, 5, 16, 33, 64, 65, 129, 200], [3, 8, 16, 100, 129, 256, 264]
K = {8: [128, 256, 512, 640, 32, 64, 96, 160, 200, 416, 33], 4: [256, 512, 640, 160, 200, 416, 201]}  # of codes of so many bits
# M, N, bytes of K, of a warp, stages
TILES = [(128, 256, 64, 64, 64, 3), (128, 128, 128, 64, 32, 2), (64, 128, 64, 32, 32, 3), (32, 128, 128, 16, 32, 3), (16, 128, 128, 16, 16, 4), (96, 96, 128, 48, 48, 3)]


def draw_side(f, name, format, scale, together, shape, swapped, dims, how):
    """Codes under scales that an instruction takes."""
    r, k_dim = f.r, k_dim_of(shape, swapped)
    lines = r.choice([1, 1, 1, 1, 3, 128])
    sizes = {k_dim: together * r.choice([1, 1, 1, 1, 2, 4]), 2 * len(shape) - 3 - k_dim: lines}
    block = canonical_block(shape, tuple(sizes.get(dim, 1) for dim in range(len(shape))), tuple(dims))
    type_ = Type(format, Type(FORMATS["f8E4M3FN"], "f32") if scale == "global" else scale, block=block)
    tensor = Quantized(type_, draw_codes(r, f.numbers, format, shape), None)
    tensor.scale = draw_factor(r, f.numbers, type_.scale, type_.scale_shape(shape), r.choice([0, 0, 3]))
    return Codes(f, name, tensor, swapped, dims, how)


def recipe(row, bits, tile_m, tile_n, tile_bytes, warp_m, warp_n, stages):
    depth = max(tile_bytes * 8 // bits, 128)  # whole words of scales
    return (f"recipes <[#qlow.recipe<{row}, tiles = [<cta, [{tile_m}, {tile_n}, {depth}]>, <warp, [{warp_m}, {warp_n}, {64 if bits == 4 else 32}]>],\n"
            f"    lhs = [<to = cta, by = decode, stages = {stages}>, <to = reg, by = ldmatrix>],\n"
            f"    rhs = [<to = memory, by = pack>, <to = cta, by = cp_async, stages = {stages}>, <to = reg, by = ldmatrix>], rescale = fold>]>")


def draw(seed, index):
    f = Function(f"s{index}", seed)
    r = f.r
    left, right, scale, together, row = KINDS[index % len(KINDS)]
    bits = 4 if left == "f4E2M1FN" else 8
    m, n, k = r.choice(M), r.choice(N), r.choice(K[bits])
    batch = () if r.random() < 0.85 else (2,)
    given_recipe = r.random() < 0.4
    swapped = (not given_recipe and r.random() < 0.15, r.random() < 0.3)
    dims = {len(batch) + swapped[0]: "m"} if r.random() < 0.3 and not (swapped[0] and bits == 4) else {}
    lhs = draw_side(f, "x", FORMATS[left], scale, together, stored_shape(batch, m, k, swapped[0]), swapped[0], dims, "argument")
    how = "constant" if given_recipe else r.choice(["constant", "constant", "mixed", "argument"])
    rhs = draw_side(f, "w", FORMATS[right], scale, together, stored_shape(batch, n, k, swapped[1]), swapped[1], {}, how)
    product = Product(f, lhs, rhs, r.choice(["f32", "f16", "bf16", "codes"]))
    product.draw_bias(0.3)
    product.draw_parts()
    if given_recipe:
        product.given += " " + recipe(row, bits, *r.choice(TILES if bits == 4 else TILES[1:]))
    return product.sample()


def main():
    parser = argparse.ArgumentParser()
    add_run_options(parser, samples=200, out="build/scaled-products")
    options = parser.parse_args()
    return run_all(options, "Integration/scaled-products.py", lambda index: draw(options.seed, index))


if __name__ == "__main__":
    sys.exit(main())
