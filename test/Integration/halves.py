# Matmuls of floats of 16 bits on matrix units: f16 and bf16, sides that are constant or computed, either one transposed,
# open sizes, in every schedule, at sizes that tiles do not divide, as device objects in the emulator, within the law's bound.
#
# RUN: python3 %s --targets sm_80,sm_90 --samples 40 --spread --seconds 60 --out %t
#
# On a GPU: --compile-only here, then the same with --reuse --gpu there.

import argparse
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from formats import (F32, STORED, Function, Part, Quantized, add_run_options, draw_result, float_check, np, of_parts,
                     round_to, run_all, tensor_type, to_f32)

# Multiples of 8 are lines that copies take; others are not.
M, N = [1, 5, 16, 64, 65, 129, 200, 257], [3, 8, 16, 64, 100, 129, 136, 256, 264]
K = [8, 16, 24, 64, 72, 128, 136, 200, 264, 33, 70]


class Side:
    """Floats of 16 bits, or of 32."""

    tensor = None

    def __init__(self, f, name, element, shape, swapped, dims, constant):
        x = round_to(element, f.numbers.normal(0, 1, shape) * np.exp2(f.numbers.integers(-2, 3, shape)))
        self.swapped, self.values, self.type = swapped, to_f32(element, x), tensor_type(shape, element, dims)
        if constant:
            f.constant(name, x, element)
        else:
            f.argument(name, shape, element, dims, {name: x})

    def rows(self, x):
        return np.swapaxes(x, -1, -2) if self.swapped else x


def draw(seed, index):
    f = Function(f"s{index}", seed)
    r, numbers = f.r, f.numbers
    element = ("f16", "bf16")[index % 2]
    others = [element, element, element, "f32", "f16"]  # of the right side
    m, n, k = r.choice(M), r.choice(N), r.choice(K)
    batch = r.choice([(), (), (2,), (1, 2)])
    swapped = r.random() < 0.15, r.random() < 0.5  # K first
    constant = r.random() < 0.4
    names = {name for name, often in (("m", 0.3), ("n", 0.2), ("k", 0.1)) if r.random() < often and not (constant and name != "m")}
    # Open sizes may be 0.
    m, n = (0 if name in names and r.random() < 0.15 else size for name, size in (("m", m), ("n", n)))
    stored = lambda rows, swap: (*batch, k, rows) if swap else (*batch, rows, k)  # noqa: E731

    def open_dims(rows, swap):
        return {len(batch) + at: name for at, name in enumerate(("k", rows) if swap else (rows, "k")) if name in names}

    lhs = Side(f, "x", element, stored(m, swapped[0]), swapped[0], open_dims("m", swapped[0]), False)
    rhs = Side(f, "w", r.choice(others), stored(n, swapped[1]), swapped[1], open_dims("n", swapped[1]), constant)
    result, shape = r.choice(["f32", "f16", "bf16"] + ["codes"] * (m * n > 0)), (*batch, m, n)
    out_dims = {len(batch) + at: name for at, name in enumerate("mn") if name in names}
    words = "transpose_lhs " * swapped[0] + "transpose_rhs " * (not swapped[1])
    bias, parts, given = None, None, ""
    if r.random() < 0.3 and "n" not in names:
        bias = numbers.normal(0, 8, n).astype(F32)
        given += f" bias(%bias : {f.part('bias', Part('bias', bias, 'f32'), r.random() < 0.5)})"
    y_element = result
    if result == "codes":
        parts, y_element = draw_result(f, lhs, rhs, shape, out_dims, k)
        part_names, types = f.parts("out", parts, False, "constant" if r.random() < 0.5 else "argument")
        given += f" parts({', '.join(part_names)} : {', '.join(types)})"
    y = tensor_type(shape, y_element, out_dims)
    f.body += f"  %y = qlow.matmul {words}%x, %w{given} : {lhs.type}, {rhs.type} -> {y}\n"
    outputs = of_parts("y", Quantized(parts.type, np.zeros(shape, int), parts.scale, parts.zero)) if parts else STORED[result]
    sizes = {name: size for name, size in zip("mnk", (m, n, k)) if name in names}
    return f.sample([("%y", y, "y", shape, outputs, out_dims)], f"{words}{m}x{n}x{k} {lhs.type} {rhs.type} -> {y}", "", sizes,
                    float_check(lhs, rhs, result, bias, parts))


def main():
    parser = argparse.ArgumentParser()
    add_run_options(parser, samples=200, out="build/halves")
    options = parser.parse_args()
    return run_all(options, "Integration/halves.py", lambda index: draw(options.seed, index))


if __name__ == "__main__":
    sys.exit(main())
