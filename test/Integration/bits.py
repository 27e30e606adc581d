# Matmuls of codes of four bits and of signs on matrix units, both sides as they lie: all mixes of signedness, zero points,
# scales of tensors, rows and columns, all kinds of results, weights that are constant and that are not, sides that lie
# across K and sizes that tiles do not divide, as device objects in the emulator, bit for bit.
#
# RUN: python3 %s --targets sm_80,sm_89 --samples 20 --spread --seconds 60 --out %t
# RUN: python3 %s --targets sm_80,sm_90 --rows --samples 48 --batch 6 --seconds 60 --out %t
#
# On a GPU: --compile-only here, then the same with --reuse --gpu there.

import argparse
import os
import subprocess
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from formats import (F32, FORMATS, STORED, Function, Operand, Part, Quantized, Type, add_run_options, draw_result,
                     exact_check, np, of_parts, run_all, tensor_type)
from quantized import draw_codes, draw_factor

PAIRS = [("i4", "i4"), ("u4", "i4"), ("i4", "u4"), ("u4", "u4"), ("binary", "binary"), ("binary", "binary")]
ELEMENTS = {"i4": "s4", "u4": "u4", "binary": "b1"}
M, N = [1, 5, 16, 64, 65, 129], [3, 8, 16, 100, 129, 136]
K = {"i4": [32, 64, 96, 128, 160, 1056, 33, 200], "binary": [128, 256, 384, 640, 2176, 33, 200, 129]}
# M, N, bytes of K, M and N of a warp, stages
TILES = [(128, 128, 64, 64, 32, 4), (64, 128, 64, 32, 32, 5), (32, 128, 128, 16, 32, 4), (16, 128, 128, 16, 16, 5), (64, 32, 64, 16, 16, 2), (64, 32, 32, 16, 16, 3)]


class Side(Operand):
    """Codes under one scale along K."""

    def __init__(self, f, name, format, shape, swapped, dims, how):
        r, numbers = f.r, f.numbers
        self.swapped, self.dims, self.k_dim = swapped, dims, len(shape) - (2 if swapped else 1)
        block = tuple(None if dim == self.k_dim else 1 for dim in range(len(shape))) if r.random() < 0.5 and not (dims and swapped) else ()
        zero = FORMATS["u8" if format.name[0] == "u" else "i8"] if format.is_integer and r.random() < 0.5 else None
        self.tensor_type = Type(format, r.choice(["f32", "f32", "f32", "f16"]), zero, None, block)
        scales = self.tensor_type.scale_shape(shape)
        self.tensor = Quantized(self.tensor_type, draw_codes(r, numbers, format, shape), None)
        self.tensor.scale = draw_factor(r, numbers, self.tensor_type.scale, scales, 0)
        if zero:
            self.tensor.zero = draw_codes(r, numbers, zero, scales)
        self.values, self.type = self.tensor.values(), f.quantized(name, self.tensor, dims, how)


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
    r, numbers = f.r, f.numbers
    row = rows[index % len(rows)] if rows else None
    formats = PAIRS[index % len(PAIRS)]
    if row:
        formats = next(pair for pair in PAIRS if [ELEMENTS[name] for name in pair] == row.split("_")[3:5])
    m, n, k = r.choice(M), r.choice(N), r.choice(K["binary" if formats[0] == "binary" else "i4"])
    batch = () if r.random() < 0.8 else (2,)
    swapped = (r.random() < 0.2, r.random() < 0.5)
    dims = {len(batch): "m"} if r.random() < 0.3 and not swapped[0] else {}
    stored = lambda rows, swap: (*batch, k, rows) if swap else (*batch, rows, k)  # noqa: E731
    how = r.choice(["constant", "constant", "mixed", "argument"])
    lhs = Side(f, "x", FORMATS[formats[0]], stored(m, swapped[0]), swapped[0], dims, "argument")
    rhs = Side(f, "w", FORMATS[formats[1]], stored(n, swapped[1]), swapped[1], {}, how)
    result, shape = r.choice(["i32", "f32", "f16", "codes"]), (*batch, m, n)
    out_dims = {len(batch): "m"} if dims else {}
    words = "transpose_lhs " * swapped[0] + "transpose_rhs " * (not swapped[1])
    bias, parts, given = None, None, ""
    if r.random() < 0.4:
        bias = numbers.integers(-1000, 1000, n).astype(np.int32) if result in ("i32", "codes") else numbers.normal(0, 8, n).astype(F32)
        given += f" bias(%bias : {f.part('bias', Part('bias', bias, 'i32' if bias.dtype == np.int32 else 'f32'), r.random() < 0.5)})"
    element = result
    if result == "codes":
        parts, element = draw_result(f, lhs, rhs, shape, out_dims, k)
        names, types = f.parts("out", parts, False, "constant" if r.random() < 0.5 else "argument")
        given += f" parts({', '.join(names)} : {', '.join(types)})"
    if row:
        bits = FORMATS[formats[0]].bits
        packed = "%w_codes = arith.constant" in f.body
        given += recipe(row, TILES[index // 2 % len(TILES)], not swapped[0] and k * bits % 128 == 0, packed)
    y = tensor_type(shape, element, out_dims)
    f.body += f"  %y = qlow.matmul {words}%x, %w{given} : {lhs.type}, {rhs.type} -> {y}\n"
    outputs = of_parts("y", Quantized(parts.type, np.zeros(shape, int), parts.scale, parts.zero)) if parts else STORED[result]
    return f.sample([("%y", y, "y", shape, outputs, out_dims)], f"{words}{m}x{n}x{k} {lhs.type} {rhs.type} {row or ''} -> {y}", "",
                    {"m": m} if dims else {}, exact_check(lhs, rhs, result, bias, parts))


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
