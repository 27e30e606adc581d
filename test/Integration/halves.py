# Matmuls of floats of 16 bits on matrix units: f16 and bf16, sides that are constant or computed, either one transposed,
# open sizes, in every schedule, at sizes that tiles do not divide, as device objects in the emulator, within the law's bound.
#
# RUN: python3 %s --targets sm_80,sm_90 --samples 40 --spread --seconds 60 --out %t
# RUN: python3 %s --targets sm_90 --tilings --samples 14 --seconds 60 --out %t
# RUN: python3 %s --targets %S/Inputs/sm_90_few_cores.json --tilings --samples 14 --seconds 60 --seed 2 --out %t
#
# On a GPU: --compile-only here, then the same with --reuse --gpu there.

import argparse
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

from functions import Function
from products import Floats, Product, stored_shape
from samples import add_run_options, run_all

# Multiples of 8 are lines that copies take; others are not.
M, N = [1, 5, 16, 64, 65, 129, 200, 257], [3, 8, 16, 64, 100, 129, 136, 256, 264]
K = [8, 16, 24, 64, 72, 128, 136, 200, 264, 33, 70]
TILES = [(128, 224, 4), (128, 160, 5), (128, 192, 4), (64, 224, 4), (128, 256, 4), (64, 160, 6), (64, 192, 5)]  # M, N, stages


def recipe(element, constant, by_columns, tile_m, tile_n, stages):
    """Copied by a warpgroup: a right side that is packed, that lies along K, or whose columns lie side by side."""
    boxes = f"<to = cta, by = tma, stages = {stages}, swizzle = 128>"
    rhs = f"<to = memory, by = pack>, <to = cta, by = bulk, stages = {stages}>" if constant else boxes
    return (f" recipes <[#qlow.recipe<wgmma_64x{tile_n}x16_f32_{element}_{element}{'_via_columns' * by_columns},\n"
            f"    tiles = [<cta, [{tile_m}, {tile_n}, 64]>, <warpgroup, [64, {tile_n}, 16]>], lhs = [{boxes}], rhs = [{rhs}], rescale = fold>]>")


def draw_tiles(seed, index):
    f = Function(f"s{index}", seed)
    r = f.r
    element, constant = ("f16", "bf16")[index % 2], r.random() < 0.5
    tile_m, tile_n, stages = TILES[index % len(TILES)]
    by_columns = not constant and tile_n % 64 == 0 and r.random() < 0.6
    m, n, k = r.choice(M), r.choice(N[3:] if by_columns else N), r.choice(K[:9])
    n -= n % 8 * by_columns
    batch = () if constant else r.choice([(), (2,)])
    dims = {len(batch): "m"} if r.random() < 0.3 else {}
    swapped = r.random() < 0.5 if constant else by_columns
    lhs = Floats(f, "x", element, stored_shape(batch, m, k, False), False, dims)
    rhs = Floats(f, "w", element, stored_shape(batch, n, k, swapped), swapped, {}, constant)
    product = Product(f, lhs, rhs, r.choice(["f32", "f16", "bf16", "codes"]))
    product.draw_bias(0.3)
    product.draw_parts()
    product.given += recipe(element, constant, by_columns, tile_m, tile_n, stages)
    return product.sample()


def draw(seed, index):
    f = Function(f"s{index}", seed)
    r = f.r
    element = ("f16", "bf16")[index % 2]
    others = [element, element, element, "f32", "f16"]  # of the right side
    m, n, k = r.choice(M), r.choice(N), r.choice(K)
    batch = r.choice([(), (), (2,), (1, 2)])
    swapped = r.random() < 0.15, r.random() < 0.5  # K first
    constant = r.random() < 0.4
    names = {name for name, often in (("m", 0.3), ("n", 0.2), ("k", 0.1)) if r.random() < often and not (constant and name != "m")}
    # Open sizes may be 0.
    m, n = (0 if name in names and r.random() < 0.15 else size for name, size in (("m", m), ("n", n)))

    def open_dims(rows, swap):
        return {len(batch) + at: name for at, name in enumerate(("k", rows) if swap else (rows, "k")) if name in names}

    lhs = Floats(f, "x", element, stored_shape(batch, m, k, swapped[0]), swapped[0], open_dims("m", swapped[0]))
    rhs = Floats(f, "w", r.choice(others), stored_shape(batch, n, k, swapped[1]), swapped[1], open_dims("n", swapped[1]), constant)
    product = Product(f, lhs, rhs, r.choice(["f32", "f16", "bf16"] + ["codes"] * (m * n > 0)))
    product.draw_bias(0.3)
    product.draw_parts()
    return product.sample()


def main():
    parser = argparse.ArgumentParser()
    add_run_options(parser, samples=200, out="build/halves")
    parser.add_argument("--tilings", action="store_true", help="with recipes of a warpgroup that copies")
    options = parser.parse_args()
    return run_all(options, "Integration/halves.py", lambda index: (draw_tiles if options.tilings else draw)(options.seed, index))


if __name__ == "__main__":
    sys.exit(main())
