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
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

from functions import Function
from products import Floats, Product, stored_shape
from samples import add_run_options, run_all

# Multiples of 8 are lines that copies take; others are not.
M, N = [1, 5, 16, 64, 65, 129, 200, 257], [3, 8, 16, 64, 100, 129, 136, 256, 264]
K = [8, 16, 24, 64, 72, 128, 136, 200, 264, 33, 70]


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
    options = parser.parse_args()
    return run_all(options, "Integration/halves.py", lambda index: draw(options.seed, index))


if __name__ == "__main__":
    sys.exit(main())
