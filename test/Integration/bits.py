# Matmuls of codes of four bits and of signs on matrix units, both sides as they lie: all mixes of signedness, zero points,
# scales of tensors, rows and columns, all kinds of results, weights that are constant and that are not, sides that lie
# across K and sizes that tiles do not divide, as device objects in the emulator, bit for bit.
#
# RUN: python3 %s --targets sm_80,sm_89 --samples 20 --spread --seconds 60 --out %t
# RUN: python3 %s --targets sm_80,sm_90 --rows --samples 48 --batch 6 --seconds 60 --out %t
# RUN: python3 %s --targets %S/Inputs/sm_90_slow_alu.json --samples 20 --spread --seconds 30 --out %t
#
# On a GPU: --compile-only here, then the same with --reuse --gpu there.

import argparse
import os
import subprocess
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

from functions import Function
from products import Codes, Product, k_dim_of, stored_shape
from quantized import FORMATS, Type, draw_tensor
from samples import add_run_options, run_all

PAIRS = [("i4", "i4"), ("u4", "i4"), ("i4", "u4"), ("u4", "u4"), ("binary", "binary"), ("binary", "binary")]
ELEMENTS = {"i4": "s4", "u4": "u4", "binary": "b1"}
M, N = [1, 5, 16, 64, 65, 129], [3, 8, 16, 100, 129, 136]
K = {"i4": [32, 64, 96, 128, 160, 1056, 33, 200], "binary": [128, 256, 384, 640, 2176, 33, 200, 129]}
# M, N, bytes of K, M and N of a warp, stages
TILES = [(128, 128, 64, 64, 32, 4), (64, 128, 64, 32, 32, 5), (32, 128, 128, 16, 32, 4), (16, 128, 128, 16, 16, 5), (64, 32, 64, 16, 16, 2), (64, 32, 32, 16, 16, 3)]


def draw_side(f, name, format, shape, swapped, dims, how):
    """Codes under one scale along K."""
    r, k_dim = f.r, k_dim_of(shape, swapped)
    block = tuple(None if dim == k_dim else 1 for dim in range(len(shape))) if r.random() < 0.5 and not (dims and swapped) else ()
    zero = FORMATS["u8" if format.name[0] == "u" else "i8"] if format.is_integer and r.random() < 0.5 else None
    type_ = Type(format, r.choice(["f32", "f32", "f32", "f16"]), zero, None, block)
    return Codes(f, name, draw_tensor(r, f.numbers, type_, shape), swapped, dims, how)


def rows_of(target, options):
    """Ids of the rows of small elements that a target has: the registry's, or what was read of it beside what is reused."""
    path = os.path.join(options.out, f"{target}.rows")
    if not options.reuse:
        os.makedirs(options.out, exist_ok=True)
        with open(path, "w") as file:
            subprocess.run(["qlowc", "-list-instructions", "-target=" + target], stdout=file, check=True)
    with open(path) as file:
        lines = [line.split() for line in file]
    rows = [words[0] for words in lines if "needs" not in words and words[0].startswith("mma_") and words[0].split("_")[3] in ELEMENTS.values()]
    assert len(rows) > 4, f"{target} has hardly a row: {rows}"
    return rows


def recipe(row, tile, copied, packed):
    m, n, depth, warp_m, warp_n, stages = tile
    unit_k, bits = int(row.split("_")[1].split("x")[2]), {"s4": 4, "u4": 4, "b1": 1}[row.split("_")[3]]
    first = f"<to = cta, by = {'cp_async' if copied else 'load'}, stages = {stages}>"
    second = f"<to = memory, by = pack>, <to = cta, by = cp_async, stages = {stages}>" if packed else f"<to = cta, by = load, stages = {stages}>"
    return (f" recipes <[#qlow.recipe<{row}, tiles = [<cta, [{m}, {n}, {depth * 8 // bits}]>, <warp, [{warp_m}, {warp_n}, {unit_k}]>],\n"
            f"    lhs = [{first}, <to = reg, by = ldmatrix>], rhs = [{second}, <to = reg, by = ldmatrix>], rescale = end>]>")


def draw(seed, index, rows):
    """A sample for the rows in turn, or for what selection takes where there are none."""
    f = Function(f"s{index}", seed)
    r, row = f.r, rows[index % len(rows)] if rows else None
    formats = PAIRS[index % len(PAIRS)]
    if row:
        formats = next(pair for pair in PAIRS if [ELEMENTS[name] for name in pair] == row.split("_")[3:5])
    m, n, k = r.choice(M), r.choice(N), r.choice(K["binary" if formats[0] == "binary" else "i4"])
    batch = () if r.random() < 0.8 else (2,)
    swapped = (r.random() < 0.2, r.random() < 0.5)
    dims = {len(batch): "m"} if r.random() < 0.3 and not swapped[0] else {}
    how = r.choice(["constant", "constant", "mixed", "argument"])
    lhs = draw_side(f, "x", FORMATS[formats[0]], stored_shape(batch, m, k, swapped[0]), swapped[0], dims, "argument")
    rhs = draw_side(f, "w", FORMATS[formats[1]], stored_shape(batch, n, k, swapped[1]), swapped[1], {}, how)
    product = Product(f, lhs, rhs, r.choice(["i32", "f32", "f16", "codes"]))
    product.draw_bias(0.4, of_integers=product.result in ("i32", "codes"))
    product.draw_parts()
    if row:
        packed = "%w_codes = arith.constant" in f.body
        copied = not swapped[0] and k * FORMATS[formats[0]].bits % 128 == 0
        product.given += recipe(row, TILES[index // 2 % len(TILES)], copied, packed)
    return product.sample(is_exact=True, note=f" by {row}" if row else "")


def main():
    parser = argparse.ArgumentParser()
    add_run_options(parser, samples=200, out="build/bits")
    parser.add_argument("--rows", action="store_true", help="every row of the targets, by recipes")
    options = parser.parse_args()
    if not options.rows:
        return run_all(options, "Integration/bits.py", lambda index: draw(options.seed, index, None))
    status, targets = 0, options.targets
    options.samples //= len(targets)
    for target in targets:
        options.targets, rows = [target], rows_of(target, options)
        status |= run_all(options, "Integration/bits.py --rows", lambda index, rows=rows: draw(options.seed, index, rows))
    return status


if __name__ == "__main__":
    sys.exit(main())
