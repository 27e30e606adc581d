# Weights of 3 GiB, some at offsets that 32 bits can not hold: the model compiles, links by either linker into a
# position-independent program, and computes what numpy computes. Needs 8 GiB of disk and takes a minute.
#
# REQUIRES: disk-8GiB
# RUN: python3 %s %t

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))
from large_weights import Weight, compile_watched, run_products, write_products

folder = sys.argv[1]
shutil.rmtree(folder, ignore_errors=True)
os.makedirs(folder)

weights = [Weight(65536, 40960, [0, 13, 50, 51, 52, 63], 3), Weight(65536, 8192, [0, 31, 32, 63], 4)]
write_products(f"{folder}/huge.mlirbc", weights)
memory, clock, _, said = compile_watched(f"{folder}/huge.mlirbc", f"{folder}/m.o")
assert said == "", said  # no terminal, no progress
print(f"{sum(w.k * w.n for w in weights) >> 20} MiB: {memory >> 20} MiB of anonymous memory in all, {clock:.1f} s")
for linker in ("bfd", "lld"):
    run_products(folder, weights, linker)
shutil.rmtree(folder)
