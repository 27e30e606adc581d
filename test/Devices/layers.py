# Layers of one shape share their kernels, and each computes with weights of its own.
#
# RUN: python3 %s %t

import ctypes
import json
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Integration", "Inputs"))
import numpy as np
from devices import Buffer, open_library
from objects import compile_module, link

M, K, COLUMNS = 5, 64, [32, 32, 48, 32]  # of layers beside each other


def model(weights):
    body, names, types = "", [], []
    for i, w in enumerate(weights):
        n = w.shape[1]
        code = f"tensor<{K}x{n}x!qlow.q<i8 : f32>>"
        body += f"""  %c{i} = arith.constant dense<"0x{w.tobytes().hex()}"> : tensor<{K}x{n}xi8>
  %w{i} = qlow.compose %c{i}, %one : (tensor<{K}x{n}xi8>, tensor<f32>) -> {code}
  %y{i} = qlow.matmul %q, %w{i} : tensor<{M}x{K}x!qlow.q<i8 : f32>>, {code} -> tensor<{M}x{n}xi32>
"""
        names.append(f"%y{i}")
        types.append(f"tensor<{M}x{n}xi32>")
    results = ", ".join(f'{kind} {{qlow.name = "y{i}"}}' for i, kind in enumerate(types))
    return f"""func.func @run(%x: tensor<{M}x{K}xi8> {{qlow.name = "x"}}) -> ({results}) {{
  %one = arith.constant dense<1.0> : tensor<f32>
  %q = qlow.compose %x, %one : (tensor<{M}x{K}xi8>, tensor<f32>) -> tensor<{M}x{K}x!qlow.q<i8 : f32>>
{body}  return {", ".join(names)} : {", ".join(types)}
}}
"""


def main():
    numbers, out = np.random.default_rng(5), sys.argv[1]
    os.makedirs(out, exist_ok=True)
    x = numbers.integers(-128, 128, (M, K)).astype(np.int8)
    weights = [numbers.integers(-128, 128, (K, n)).astype(np.int8) for n in COLUMNS]
    path, obj, report = (os.path.join(out, name) for name in ("layers.mlir", "layers.o", "layers.json"))
    with open(path, "w") as file:
        file.write(model(weights))
    link(compile_module(path, "sm_90", obj, "layers", "--no-ptxas", f"--explain={report}"))
    with open(report) as file:
        kernels = [tuple(kernel["name"] for kernel in entry["kernels"]) for entry in json.load(file)]
    assert kernels[0] == kernels[1] == kernels[3] != kernels[2], kernels

    library = open_library(obj, "layers")
    driver, name = library.driver, "layers_run"
    buffers = {"x": Buffer(driver, x.nbytes, x.reshape(-1).view(np.uint8)), "workspace": Buffer(driver, max(library.workspace(name, {}), 1))}
    buffers.update((f"y{i}", Buffer(driver, 4 * M * n)) for i, n in enumerate(COLUMNS))
    members = library.members[name]
    values = {"size": 8 * len(members), "workspace_size": buffers["workspace"].size, "stream": 0,
              "device": ctypes.addressof(library.state), **{field: buffer.address for field, buffer in buffers.items()}}
    args = (ctypes.c_int64 * len(members))(*(values[member] for member in members))
    code = library.library[name](ctypes.byref(args))
    assert code == 0, library.strerror(code)
    driver.call("cuStreamSynchronize", None)
    for i, w in enumerate(weights):
        found = np.frombuffer(buffers[f"y{i}"].read()[0].tobytes(), np.int32)[: M * w.shape[1]].reshape(M, -1)
        assert (found == x.astype(np.int64) @ w.astype(np.int64)).all(), f"layer {i}"


main()
