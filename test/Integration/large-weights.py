# A model of 1 GiB of weights compiles in less than 64 MiB of anonymous memory more than the same model with 1 KiB, in no
# more than 20 times the time of a copy of the model's file, and computes what numpy computes from the same bytes. Who
# waits at a terminal sees how far it is.
#
# RUN: python3 %s %t
# REQUIRES: optimized

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))
from large_weights import Weight, compile_watched, run_products, write_products

folder = sys.argv[1]
shutil.rmtree(folder, ignore_errors=True)
os.makedirs(folder)

small, large = Weight(64, 16, [0], 1), Weight(65536, 16384, range(64), 2)
write_products(f"{folder}/small.mlirbc", [small])
least, _, _, _ = compile_watched(f"{folder}/small.mlirbc", f"{folder}/m.o")
run_products(folder, [small], "bfd")

write_products(f"{folder}/large.mlirbc", [large])
size = large.k * large.n
# The clock also counts the turns of other programs and a disk that can not keep up: the processor's seconds decide, beside
# those of a copy in the same minute.
before = os.times()
subprocess.run(["cp", "--sparse=never", "--reflink=never", f"{folder}/large.mlirbc", f"{folder}/copy"], check=True)
copied = os.times()
copy = copied.children_user + copied.children_system - before.children_user - before.children_system
os.remove(f"{folder}/copy")
memory, clock, processor, said = compile_watched(f"{folder}/large.mlirbc", f"{folder}/m.o", terminal=True)
print(f"{size >> 20} MiB: {(memory - least) / 2**20:.1f} MiB of anonymous memory, {size / clock / 1e6:.0f} MB/s, "
      f"{size / processor / 1e6:.0f} MB for a second of the processor, {processor / copy:.1f} times a copy's")
run_products(folder, [large], "bfd")
shutil.rmtree(folder)
assert memory - least < 64 << 20
assert processor < 20 * copy
assert re.search(r"\r\033\[K\d+ s  weights \d+ %", said) and said.endswith("\r\033[K"), said
