# RUN: python3 %s %S/../Unit/golden/formats_decode.txt
"""Every code of every format through dequantize, nested scales, and float sums within the law's bound.

The values of codes come from the golden file of the formats' unit test (ml_dtypes, published tables); the rest is numpy.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

import numpy as np
from harness import Case, expect, pack, tensor

seed = int(sys.argv[2]) if len(sys.argv) > 2 else 7
print("seed", seed)
random = np.random.default_rng(seed)
f32 = np.float32

BITS = {"nf4": 4, "bnb_fp4": 4, "iq4nl": 4, "f4E2M1FN": 4, "f6E2M3FN": 6, "f6E3M2FN": 6, "f8E4M3FN": 8, "f8E5M2": 8,
        "f8E4M3FNUZ": 8, "f8E5M2FNUZ": 8, "binary": 1, "ternary": 2}
BITS |= {f"{s}{b}": b for s in "iu" for b in (2, 3, 4, 5, 6, 8)} | {"u7": 7, "trit": 0}


def read_golden(path):
    tables, name = {}, None
    for line in open(path).read().split("\n"):
        if line.startswith("["):
            name = line[1:-1]
            tables[name] = {}
        elif line:
            code, bits = line.split()
            tables[name][int(code, 16)] = np.array([int(bits, 16)], np.uint32).view(f32)[0]
    return tables


TABLES = read_golden(sys.argv[1])


def store(codes, name):
    if name != "trit":
        packed = pack(codes, BITS[name])
    else:
        digits = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % 5)])
        packed = (digits.reshape(*codes.shape[:-1], -1, 5) * 3 ** np.arange(5)).sum(-1).astype(np.uint8)
    return packed.view(np.int8) if name == "i8" else packed


def values(codes, name):
    table = np.array([TABLES[name][c] for c in range(max(TABLES[name]) + 1)], f32)
    return table[codes]


def test_decode(name):
    """All codes, in rows of an odd length, with one scale a row."""
    count = max(TABLES[name]) + 1
    codes = np.resize(np.arange(count), (3, count + 3 if count > 3 else 7))
    scale = random.uniform(0.1, 3, (3, 1)).astype(f32)
    y, q = tensor(codes.shape, "f32"), f"tensor<3x{codes.shape[1]}x!qlow.q<{name} : f32, block = [1, *]>>"
    case = Case(f"func.func @f(%q: {q}) -> {y} {{\n  %y = qlow.dequantize %q : {q} -> {y}\n  return %y : {y}\n}}\n",
                store(codes, name), scale)
    found, expected = case.run()[0], (values(codes, name) * scale).astype(f32)
    same_nan = np.isnan(found) == np.isnan(expected)
    expect(f"decode {name}", np.where(same_nan & np.isnan(found), f32(0), found),
           np.where(np.isnan(expected), f32(0), expected), case)


def test_nested():
    """NVFP4 and a K-quant: scales and offsets that are codes with scales of their own."""
    codes, scales = random.integers(0, 16, (2, 32)), random.integers(0, 0x7F, (2, 2))
    total = f32(0.037)
    q, y = "tensor<2x32x!qlow.q<f4E2M1FN : !qlow.q<f8E4M3FN : f32>, block = [1, 16]>>", "tensor<2x32xf32>"
    text = "func.func @f(%q: {0}) -> {1} {{\n  %y = qlow.dequantize %q : {0} -> {1}\n  return %y : {1}\n}}\n"
    case = Case(text.format(q, y), store(codes, "f4E2M1FN"), scales.astype(np.uint8), np.array(total))
    block = (total * values(scales, "f8E4M3FN")).astype(f32)
    expect("NVFP4", case.run()[0], (np.repeat(block, 16, axis=1) * values(codes, "f4E2M1FN")).astype(f32), case)

    codes = random.integers(0, 16, (2, 64))
    s, m = random.integers(0, 64, (2, 2)), random.integers(0, 64, (2, 2))
    d, dmin = random.uniform(0.01, 0.1, (2, 1)).astype(np.float16), -random.uniform(0.01, 0.1, (2, 1)).astype(np.float16)
    inner = "!qlow.q<u6 : f16, block = [1, *]>"
    q, y = f"tensor<2x64x!qlow.q<u4 : {inner}, offset = {inner}, block = [1, 32]>>", "tensor<2x64xf32>"
    case = Case(text.format(q, y), store(codes, "u4"), store(s, "u6"), d, store(m, "u6"), dmin)
    scale, offset = (d.astype(f32) * s.astype(f32)).astype(f32), (dmin.astype(f32) * m.astype(f32)).astype(f32)
    repeat = lambda x: np.repeat(x, 32, axis=1)
    expected = ((repeat(scale) * codes.astype(f32)).astype(f32) + repeat(offset)).astype(f32)
    expect("K-quant", case.run()[0], expected, case)


def test_weight(name):
    """f32 activations against weights in blocks along K, within the law's bound of the sum in f64."""
    m, n, k = 3, int(random.integers(1, 20)), int(random.integers(9, 70))
    codes = random.integers(0, max(TABLES[name]) + 1, (n, k))
    codes = np.where(np.isfinite(values(codes, name)), codes, 1)
    scale = random.uniform(0.1, 2, (n, -(-k // 8))).astype(np.float16)
    x = random.normal(0, 1, (m, k)).astype(f32)
    w = (values(codes, name) * np.repeat(scale.astype(f32), 8, axis=1)[:, :k]).astype(f32)
    q = f"tensor<{n}x{k}x!qlow.q<{name} : f16, block = [1, 8]>>"
    a, y = tensor((m, k), "f32"), tensor((m, n), "f32")
    case = Case(f"func.func @f(%x: {a}, %w: {q}) -> {y} {{\n  %y = qlow.matmul transpose_rhs %x, %w : {a}, {q} -> {y}\n"
                f"  return %y : {y}\n}}\n", x, store(codes, name), scale)
    exact = x.astype(np.float64) @ w.astype(np.float64).T
    bound = (k + 8) * 2.0**-23 * (np.abs(x).astype(np.float64) @ np.abs(w).astype(np.float64).T) + np.spacing(np.abs(exact).astype(f32))
    error = np.abs(case.run()[0] - exact)
    if not (error <= bound).all():
        sys.exit(f"weight {name}: error {error.max()}\n{case.text}")


for name in BITS:
    test_decode(name)
    test_weight(name)
test_nested()
print("all equal")
