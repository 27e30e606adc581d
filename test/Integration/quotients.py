# Codes of x / scale for floats of every size, next to ties, far from 1 and infinite: the bits of numpy's division on every processor
# this machine can run, and on a device in the emulator, also where the division is done by multiply-adds.
#
# RUN: python3 %s %t

import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))
import numpy as np
from devices import open_library
from objects import Library, compile_module, link, registered_targets

ROWS, COLUMNS, F32 = 3000, 64, np.float32
MODULE = f"""\
func.func @f(%x: tensor<?x{COLUMNS}xf32> {{qlow.name = "x", qlow.dims = ["m", {COLUMNS}]}},
             %s: tensor<?x1xf32> {{qlow.name = "s", qlow.dims = ["m", 1]}})
    -> (tensor<?x{COLUMNS}xi8> {{qlow.name = "y", qlow.dims = ["m", {COLUMNS}]}}) {{
  %q = qlow.quantize %x, %s : (tensor<?x{COLUMNS}xf32>, tensor<?x1xf32>) -> tensor<?x{COLUMNS}x!qlow.q<i8 : f32, block = [1, *]>>
  %c:2 = qlow.decompose %q : (tensor<?x{COLUMNS}x!qlow.q<i8 : f32, block = [1, *]>>) -> (tensor<?x{COLUMNS}xi8>, tensor<?x1xf32>)
  return %c#0 : tensor<?x{COLUMNS}xi8>
}}
"""


def draw(rows):
    """Any bits, or scale * (k + 1/2) give or take some last places."""
    random = np.random.default_rng(1)
    scale = random.integers(0, 1 << 32, (rows, 1), np.uint32).view(F32)
    x = random.integers(0, 1 << 32, (rows, COLUMNS), np.uint32).view(F32)
    scale[5::40] = np.array([[np.inf], [-np.inf], [0], [np.nan]], F32)[np.arange(len(scale[5::40])) % 4]
    near = ((random.integers(-140, 140, x.shape) + 0.5 * random.integers(0, 2, x.shape)) * scale.astype(np.float64)).astype(F32)
    near = (near.view(np.int32) + random.integers(-2, 3, x.shape, np.int32)).view(F32)
    return np.where(random.random((rows, 1)) < 0.7, near, x), scale


def expected(x, scale):
    q = x / scale
    q = np.where(q > -128, q, F32(-128))  # what is no number becomes the least code
    return np.rint(np.minimum(q, F32(127))).astype(np.int8)


out = sys.argv[1]
os.makedirs(out, exist_ok=True)
path = os.path.join(out, "f.mlir")
with open(path, "w") as file:
    file.write(MODULE)
np.seterr(all="ignore")
for target in [*registered_targets(), "sm_80"]:
    obj = link(compile_module(path, target, os.path.join(out, target, "f.o"), "p", *["--no-ptxas"] * target.startswith("sm_")))
    if not target.startswith("sm_") and not Library(obj, "p").runs_here():
        continue
    x, scale = draw(ROWS if not target.startswith("sm_") else ROWS // 20)
    got, faults = open_library(obj, "p").call("f", {"m": len(x)}, {"x": x, "s": scale}, {"y": (x.shape, np.int8)}, True)
    assert not faults, faults
    want = expected(x, scale)
    at = np.argwhere(got["y"] != want)
    assert not len(at), (target, len(at), x[tuple(at[0])], scale[at[0][0]], want[tuple(at[0])], got["y"][tuple(at[0])])
    print(f"{target}: {want.size} codes, {np.count_nonzero(np.abs(want.astype(int)) < 127)} of them within the range")
