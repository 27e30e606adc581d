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
from quantized import FORMATS

ROWS, COLUMNS, F32 = 1500, 64, np.float32
CODES = {"i8": "f32", "f8E4M3FN": "f32", "f8E5M2": "f32", "f8E5M2FNUZ": "f32", "f8E4M3FNUZ": "f8E8M0FNU"}  # and their scales
FUNCTION = f"""\
func.func @NAME(%x: tensor<?x{COLUMNS}xf32> {{qlow.name = "x", qlow.dims = ["m", {COLUMNS}]}},
             %s: tensor<?x1xSCALE> {{qlow.name = "s", qlow.dims = ["m", 1]}})
    -> (tensor<?x{COLUMNS}xi8> {{qlow.name = "y", qlow.dims = ["m", {COLUMNS}]}}) {{
  %q = qlow.quantize %x, %s : (tensor<?x{COLUMNS}xf32>, tensor<?x1xSCALE>) -> tensor<?x{COLUMNS}x!qlow.q<NAME : SCALE, block = [1, *]>>
  %c:2 = qlow.decompose %q : (tensor<?x{COLUMNS}x!qlow.q<NAME : SCALE, block = [1, *]>>) -> (tensor<?x{COLUMNS}xi8>, tensor<?x1xSCALE>)
  return %c#0 : tensor<?x{COLUMNS}xi8>
}}
"""


def draw(rows, format, element):
    """Any bits, or what lies between two codes, times the scale, give or take some last places; or little, so that the sign of a zero
    is all that is left."""
    random = np.random.default_rng(1)
    scale = random.integers(0, 1 << 32, (rows, 1), np.uint32).view(F32)
    x = random.integers(0, 1 << 32, (rows, COLUMNS), np.uint32).view(F32)
    scale[5::40] = np.array([[np.inf], [-np.inf], [0], [np.nan]], F32)[np.arange(len(scale[5::40])) % 4]
    stored = scale
    if element == "f8E8M0FNU":
        stored = random.integers(0, 256, (rows, 1)).astype(np.uint8)
        scale = np.where(stored == 255, np.nan, np.exp2(stored.astype(np.float64) - 127)).astype(F32)
    values = np.unique(format.values[format.finite].astype(np.float64))
    between = np.concatenate([values, (values[1:] + values[:-1]) / 2, [1.1 * values[-1], 2.0**-150, -(2.0**-150), 2.0**-149, -(2.0**-148), -0.0]])
    near = (random.choice(between, x.shape) * scale.astype(np.float64)).astype(F32)
    near = (near.view(np.int32) + random.integers(-2, 3, x.shape, np.int32) * (near != 0)).view(F32)
    return np.where(random.random((rows, 1)) < 0.7, near, x), scale, stored


out = sys.argv[1]
os.makedirs(out, exist_ok=True)
path = os.path.join(out, "f.mlir")
with open(path, "w") as file:
    for name, element in CODES.items():
        file.write(FUNCTION.replace("NAME", name).replace("SCALE", element))
np.seterr(all="ignore")
for target in [*registered_targets(), "sm_80"]:
    obj = link(compile_module(path, target, os.path.join(out, target, "f.o"), "p", *["--no-ptxas"] * target.startswith("sm_")))
    if not target.startswith("sm_") and not Library(obj, "p").runs_here():
        continue
    for name, element in CODES.items():
        format = FORMATS[name]
        x, scale, stored = draw(ROWS if not target.startswith("sm_") else ROWS // 5, format, element)
        got, faults = open_library(obj, "p").call(name, {"m": len(x)}, {"x": x, "s": stored}, {"y": (x.shape, np.int8)}, True)
        assert not faults, faults
        want = format.encode(x / scale).astype(np.uint8).view(np.int8)
        at = np.argwhere(got["y"] != want)
        assert not len(at), (target, name, len(at), x[tuple(at[0])], scale[at[0][0]], want[tuple(at[0])], got["y"][tuple(at[0])])
        print(f"{target}: {want.size} codes of {name}, {len(np.unique(want))} different ones")
