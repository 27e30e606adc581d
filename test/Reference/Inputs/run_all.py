"""Evaluates every function without arguments of an .mlir file by the reference, in order: "@name", then its results."""

import re
import subprocess
import sys

path = sys.argv[1]
for name in re.findall(r"func\.func @(\w+)\(\)", open(path).read()):
    print("@" + name, flush=True)
    subprocess.run(["qlow-run", "--reference", path, "--function=" + name], check=True)
