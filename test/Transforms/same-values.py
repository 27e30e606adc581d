# RUN: mkdir -p %t && /usr/bin/env python3 %s %t | FileCheck %s
# CHECK: {{[1-9][0-9]+}} functions, same bits before and after
"""Fusion and the split do not change numbers: out_dir

Each function below is evaluated by the reference evaluator as it is, after qlow-fuse-epilogues, and, where it has no
matmul, after qlow-split-quantized. All results are equal, bit for bit.
"""

import os
import re
import subprocess
import sys

import numpy as np

random = np.random.default_rng(5)


def codes(*shape):
    return random.integers(-128, 128, shape).astype(np.int8)


def floats(*shape):
    return random.normal(0, 2, shape).astype(np.float32)


def scales(*shape):
    return np.asarray(random.uniform(0.001, 0.1, shape), np.float32)


def halves(*shape):
    return np.asarray(random.uniform(0.01, 1, shape), np.float16)



def integers(*shape):
    return random.integers(-1000, 1000, shape).astype(np.int32)


def special(*shape):
    """Floats with all that is not ordinary, and one block of zeros."""
    x = floats(*shape)
    x.flat[:8] = [0, -0.0, np.inf, -np.inf, np.nan, 1e-42, 3e38, 0.5]
    x[-1, :8] = 0
    return x


# name: (arguments, results, body, arrays)
CASES = {
    "channels": (
        "%a: tensor<5x9x!qlow.q<u8 : f32, zero = u8>>, %b: tensor<9x6x!qlow.q<i8 : f32, block = [*, 1]>>, %c: tensor<6xi32>, %s: tensor<f32>, %z: tensor<1xi8>",
        "tensor<5x6x!qlow.q<i8 : f32, zero = i8>>",
        "%0 = qlow.matmul %a, %b bias(%c : tensor<6xi32>) parts(%s, %z : tensor<f32>, tensor<1xi8>) : tensor<5x9x!qlow.q<u8 : f32, zero = u8>>, tensor<9x6x!qlow.q<i8 : f32, block = [*, 1]>> -> tensor<5x6x!qlow.q<i8 : f32, zero = i8>>",
        lambda: [codes(5, 9), scales(), codes(1), codes(9, 6), scales(1, 6), integers(6), np.float32(0.7), codes(1)],
    ),
    "rows_and_channels": (
        "%a: tensor<5x9x!qlow.q<i8 : f32, block = [1, *]>>, %b: tensor<9x6x!qlow.q<i8 : f32, block = [*, 1]>>, %c: tensor<6xf32>",
        "tensor<5x6xf32>",
        "%0 = qlow.matmul %a, %b bias(%c : tensor<6xf32>) : tensor<5x9x!qlow.q<i8 : f32, block = [1, *]>>, tensor<9x6x!qlow.q<i8 : f32, block = [*, 1]>> -> tensor<5x6xf32>",
        lambda: [codes(5, 9), scales(5, 1), codes(9, 6), scales(1, 6), floats(6)],
    ),
    "nested": (
        "%a: tensor<5x9x!qlow.q<i8 : f16, block = [2, *]>>, %b: tensor<6x9x!qlow.q<i8 : !qlow.q<u8 : f16>, block = [1, *]>>",
        "tensor<5x6xf16>",
        "%0 = qlow.matmul transpose_rhs %a, %b : tensor<5x9x!qlow.q<i8 : f16, block = [2, *]>>, tensor<6x9x!qlow.q<i8 : !qlow.q<u8 : f16>, block = [1, *]>> -> tensor<5x6xf16>",
        lambda: [codes(5, 9), halves(3, 1), codes(6, 9), codes(6, 1), halves()],
    ),
    "steps": (
        "%a: tensor<5x10x!qlow.q<f4E2M1FN : f32>>, %b: tensor<10x6x!qlow.q<ternary : f32, block = [*, 4]>>, %s: tensor<5x2xf32>",
        "tensor<5x6x!qlow.q<u4 : f32, block = [1, 3]>>",
        "%0 = qlow.matmul %a, %b parts(%s : tensor<5x2xf32>) : tensor<5x10x!qlow.q<f4E2M1FN : f32>>, tensor<10x6x!qlow.q<ternary : f32, block = [*, 4]>> -> tensor<5x6x!qlow.q<u4 : f32, block = [1, 3]>>",
        lambda: [codes(5, 5), scales(), codes(10, 2), scales(1, 2), scales(5, 2)],
    ),
    "batches": (
        "%a: tensor<2x9x5x!qlow.q<i4 : f32, block = [1, *, 1]>>, %b: tensor<2x9x6x!qlow.q<i8 : f32, zero = u8, block = [1, *, *]>>, %s: tensor<2x1x1xf32>, %z: tensor<2x1x1xi8>",
        "tensor<2x5x6x!qlow.q<u8 : f32, zero = u8, block = [1, *, *]>>",
        "%0 = qlow.matmul transpose_lhs %a, %b parts(%s, %z : tensor<2x1x1xf32>, tensor<2x1x1xi8>) : tensor<2x9x5x!qlow.q<i4 : f32, block = [1, *, 1]>>, tensor<2x9x6x!qlow.q<i8 : f32, zero = u8, block = [1, *, *]>> -> tensor<2x5x6x!qlow.q<u8 : f32, zero = u8, block = [1, *, *]>>",
        lambda: [codes(2, 9, 3), scales(2, 1, 5), codes(2, 9, 6), scales(2, 1, 1), codes(2, 1, 1), scales(2, 1, 1), codes(2, 1, 1)],
    ),
    "constants": (
        "%x: tensor<5x9xi8>, %y: tensor<9x3xi8>, %c: tensor<3xi32>",
        "tensor<5x3x!qlow.q<i8 : f32, zero = i8>>",
        """%sa = arith.constant dense<0.0123> : tensor<f16>
  %sb = arith.constant dense<[[0.3, 0.7, 0.011]]> : tensor<1x3xf32>
  %sy = arith.constant dense<0.37> : tensor<f32>
  %zy = arith.constant dense<-7> : tensor<1xi8>
  %a = qlow.compose %x, %sa : (tensor<5x9xi8>, tensor<f16>) -> tensor<5x9x!qlow.q<u8 : f16>>
  %b = qlow.compose %y, %sb : (tensor<9x3xi8>, tensor<1x3xf32>) -> tensor<9x3x!qlow.q<i8 : f32, block = [*, 1]>>
  %0 = qlow.matmul %a, %b bias(%c : tensor<3xi32>) parts(%sy, %zy : tensor<f32>, tensor<1xi8>) : tensor<5x9x!qlow.q<u8 : f16>>, tensor<9x3x!qlow.q<i8 : f32, block = [*, 1]>> -> tensor<5x3x!qlow.q<i8 : f32, zero = i8>>""",
        lambda: [codes(5, 9), codes(9, 3), integers(3)],
    ),
    "tosa": (
        "%a: tensor<5x9x!qlow.q<i8 : f32>>, %b: tensor<9x6x!qlow.q<i8 : f32>>, %m: tensor<6xi32>, %n: tensor<6xi8>, %s: tensor<f32>, %z: tensor<1xi8>",
        "tensor<5x6x!qlow.q<i8 : f32, zero = i8>>",
        """%acc = qlow.matmul %a, %b : tensor<5x9x!qlow.q<i8 : f32>>, tensor<9x6x!qlow.q<i8 : f32>> -> tensor<5x6xi32>
  %0 = qlow.requantize double %acc, %m shift(%n : tensor<6xi8>) parts(%s, %z : tensor<f32>, tensor<1xi8>) : tensor<5x6xi32>, tensor<6xi32> -> tensor<5x6x!qlow.q<i8 : f32, zero = i8>>""",
        lambda: [codes(5, 9), scales(), codes(9, 6), scales(), integers(6) * 10**6, random.integers(30, 42, 6).astype(np.int8), scales(), codes(1)],
    ),
    "chain": (
        "%a: tensor<?x9xf32>, %b: tensor<6x9x!qlow.q<nf4 : f16, block = [1, 4]>>, %c: tensor<6xf32>, %r: tensor<?x6xf32>, %s: tensor<?x2xf32>, %o: tensor<?x2xf32>",
        "tensor<?x6x!qlow.q<u8 : f32, offset = f32, block = [1, 4]>>",
        """%y = qlow.matmul transpose_rhs %a, %b : tensor<?x9xf32>, tensor<6x9x!qlow.q<nf4 : f16, block = [1, 4]>> -> tensor<?x6xf32>
  %zero = arith.constant 0 : index
  %m = tensor.dim %y, %zero : tensor<?x6xf32>
  %e = tensor.empty(%m) : tensor<?x6xf32>
  %wide = linalg.broadcast ins(%c : tensor<6xf32>) outs(%e : tensor<?x6xf32>) dimensions = [0]
  %1 = linalg.add ins(%y, %wide : tensor<?x6xf32>, tensor<?x6xf32>) outs(%e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %2 = arith.mulf %1, %r : tensor<?x6xf32>
  %0 = qlow.quantize %2, %s, %o : (tensor<?x6xf32>, tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x6x!qlow.q<u8 : f32, offset = f32, block = [1, 4]>>""",
        lambda: [floats(5, 9), codes(6, 5), halves(6, 3), floats(6), floats(5, 6), scales(5, 2), floats(5, 2)],
    ),
}


def quantize_case(element, *parts):
    types = [f"tensor<{'x'.join(map(str, (*shape, kind)))}>" for _, shape, kind in parts]
    arguments = "".join(f", %p{i}: {type}" for i, type in enumerate(types))
    operands = "".join(f", %p{i}" for i in range(len(types)))
    body = f"%0 = qlow.quantize %x{operands} : (tensor<4x37xf32>{''.join(', ' + t for t in types)}) -> tensor<4x37x{element}>"
    return "%x: tensor<4x37xf32>" + arguments, f"tensor<4x37x{element}>", body, lambda: [special(4, 37)] + [make(*shape) for make, shape, _ in parts]


def dynamic_case(element, input="f32"):
    arrays = (lambda: [special(4, 37)]) if input == "f32" else (lambda: [floats(4, 37).astype(np.float16)])
    body = f"%0 = qlow.quantize_dynamic %x : tensor<?x37x{input}> -> tensor<?x37x{element}>"
    return f"%x: tensor<?x37x{input}>", f"tensor<?x37x{element}>", body, arrays


def dequantize_case(element, *arrays, result="f32"):
    body = f"%0 = qlow.dequantize %x : tensor<4x37x{element}> -> tensor<4x37x{result}>"
    return f"%x: tensor<4x37x{element}>", f"tensor<4x37x{result}>", body, lambda: [make(*shape) for make, *shape in arrays]


CASES |= {
    "quantize_u8": quantize_case("!qlow.q<u8 : f32, zero = u8>", (scales, (), "f32"), (codes, (1,), "i8")),
    "quantize_i3": quantize_case("!qlow.q<i3 : f32, block = [1, *]>", (scales, (4, 1), "f32")),
    "quantize_i16": quantize_case("!qlow.q<i16 : f32, zero = i4>", (scales, (), "f32"), (codes, (1,), "i8")),
    "quantize_zeros": quantize_case("!qlow.q<u4 : f16, zero = u4, block = [1, 8]>", (halves, (4, 5), "f16"), (codes, (4, 3), "i8")),
    "quantize_e4m3": quantize_case("!qlow.q<f8E4M3FN : f32, block = [2, 16]>", (scales, (2, 3), "f32")),
    "quantize_trit": quantize_case("!qlow.q<trit : f32>", (scales, (), "f32")),
    "dynamic_i8": dynamic_case("!qlow.q<i8 : f32, block = [1, *]>"),
    "dynamic_i4": dynamic_case("!qlow.q<i4 : f32, block = [1, 16]>"),
    "dynamic_u8": dynamic_case("!qlow.q<u8 : f32, zero = u8>"),
    "dynamic_u4": dynamic_case("!qlow.q<u4 : f32, zero = u4, block = [1, 8]>"),
    "dynamic_f16": dynamic_case("!qlow.q<i8 : f32>", "f16"),
    "dequantize_q4_k": dequantize_case("!qlow.q<u4 : !qlow.q<u6 : f16, block = [1, 2]>, offset = !qlow.q<u6 : f16, block = [1, 2]>, block = [1, 8]>", (codes, 4, 19), (codes, 4, 4), (halves, 4, 3), (codes, 4, 4), (halves, 4, 3)),
    "dequantize_zeros": dequantize_case("!qlow.q<i5 : f32, zero = i3, block = [2, 5]>", (codes, 4, 24), (scales, 2, 8), (codes, 2, 3), result="f16"),
}


def write(name, text):
    path = os.path.join(sys.argv[1], name)
    with open(path, "w") as file:
        file.write(text)
    return path


def evaluate(path, name, arrays):
    command = ["qlow-run", "--reference=" + path, "--function=" + name]
    for index, array in enumerate(arrays):
        command.append(f"{sys.argv[1]}/{name}_{index}.npy")
        np.save(command[-1], array)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{path} @{name}: {done.stderr}")
    # Codes print as their format is signed; bytes of parts have no sign.
    return re.sub(r"(?m)^(.*)[iu]8: (.*)$", lambda line: line[1] + "i8: " + str([int(x) % 256 for x in line[2].split(",")]), done.stdout)


def transform(path, name, *passes):
    result = os.path.join(sys.argv[1], name)
    done = subprocess.run(["qlow-opt", path, *passes, "-o", result], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return result


for name, (arguments, results, body, make) in CASES.items():
    path = write(name + ".mlir", f"func.func @{name}({arguments}) -> {results} {{\n  {body}\n  return %0 : {results}\n}}\n")
    arrays = make()
    expected = evaluate(path, name, arrays)
    passes = [["--qlow-fuse-epilogues"]] if "matmul" in body else [["--qlow-split-quantized"]]
    for step in passes:
        found = evaluate(transform(path, name + "_after.mlir", *step), name, arrays)
        if found != expected:
            sys.exit(f"@{name} after {step}\nexpected\n{expected}\nfound\n{found}")
print(len(CASES), "functions, same bits before and after")
