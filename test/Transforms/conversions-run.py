# RUN: python3 %s %S/../Unit/golden | FileCheck %s
# CHECK: {{[1-9][0-9]+}} formats, all values and codes as in the golden files
"""Runs what the split makes of dequantize and quantize, for every format, and of scales of f8E8M0FNU: golden_dir

Each row of a golden file, which come from outside, is one constant row of codes or floats. The row is one code longer
than the table (its first, again), so that bytes are left half full. Packing is this file's own.
"""

import os
import re
import shutil
import subprocess
import sys

BITS = {"nf4": 4, "bnb_fp4": 4, "iq4nl": 4, "binary": 1, "ternary": 2, "trit": 0}
PASSES = """builtin.module(qlow-split-quantized, convert-elementwise-to-linalg, canonicalize,
  one-shot-bufferize{bufferize-function-boundaries function-boundary-type-conversion=identity-layout-map},
  convert-linalg-to-loops, expand-strided-metadata, lower-affine, convert-scf-to-cf, convert-to-llvm, reconcile-unrealized-casts)"""


def read_table(name):
    """{format: [(left, right)]} of hexadecimal words."""
    result = {}
    for line in open(f"{sys.argv[1]}/{name}.txt"):
        if line.startswith("["):
            rows = result[line.strip()[1:-1]] = []
        elif line.strip():
            rows.append(tuple(int(word, 16) for word in line.split()))
    return {name: rows + rows[:1] for name, rows in result.items()}


def bits_of(name):
    return BITS[name] if name in BITS else int(re.match(r"[iuf](\d+)", name).group(1))


def pack(name, codes):
    if name == "trit":
        groups = [codes[i : i + 5] for i in range(0, len(codes), 5)]
        return bytes(sum(digit * 3**i for i, digit in enumerate(group)) for group in groups)
    row = sum(code << i * bits_of(name) for i, code in enumerate(codes))
    return row.to_bytes((len(codes) * bits_of(name) + 7) // 8, "little")


def show(values):
    return "[[" + ", ".join(map(str, values)) + "]]"


def write_decode(name, rows):
    codes, count = pack(name, [code for code, _ in rows]), len(rows)
    quantized = f"tensor<1x{count}x!qlow.q<{name} : f32>>"
    return f"""
  %codes = arith.constant dense<{show(int.from_bytes([b], "little", signed=True) for b in codes)}> : tensor<1x{len(codes)}xi8>
  %one = arith.constant dense<1.0> : tensor<f32>
  %q = qlow.compose %codes, %one : (tensor<1x{len(codes)}xi8>, tensor<f32>) -> {quantized}
  %x = qlow.dequantize %q : {quantized} -> tensor<1x{count}xf32>
  %bits = arith.bitcast %x : tensor<1x{count}xf32> to tensor<1x{count}xi32>
  %any = tensor.cast %bits : tensor<1x{count}xi32> to tensor<*xi32>"""


def write_encode(name, rows):
    count, size = len(rows), len(pack(name, [0] * len(rows)))
    quantized = f"tensor<1x{count}x!qlow.q<{name} : f32>>"
    return f"""
  %x = arith.constant dense<{show(f"0x{bits:08x}" for bits, _ in rows)}> : tensor<1x{count}xf32>
  %one = arith.constant dense<1.0> : tensor<f32>
  %q = qlow.quantize %x, %one : (tensor<1x{count}xf32>, tensor<f32>) -> {quantized}
  %parts:2 = qlow.decompose %q : ({quantized}) -> (tensor<1x{size}xi8>, tensor<f32>)
  %wide = arith.extui %parts#0 : tensor<1x{size}xi8> to tensor<1x{size}xi32>
  %any = tensor.cast %wide : tensor<1x{size}xi32> to tensor<*xi32>"""


def write_e8m0_scales():
    """All scales but NaN, times 1."""
    quantized = "tensor<255x!qlow.q<u8 : f8E8M0FNU, block = [1]>>"
    return f"""
  %codes = arith.constant dense<1> : tensor<255xi8>
  %bytes = arith.constant dense<[{", ".join(str(code - 256 if code > 127 else code) for code in range(255))}]> : tensor<255xi8>
  %scales = arith.bitcast %bytes : tensor<255xi8> to tensor<255xf8E8M0FNU>
  %q = qlow.compose %codes, %scales : (tensor<255xi8>, tensor<255xf8E8M0FNU>) -> {quantized}
  %x = qlow.dequantize %q : {quantized} -> tensor<255xf32>
  %bits = arith.bitcast %x : tensor<255xf32> to tensor<255xi32>
  %row = tensor.expand_shape %bits [[0, 1]] output_shape [1, 255] : tensor<255xi32> into tensor<1x255xi32>
  %any = tensor.cast %row : tensor<1x255xi32> to tensor<*xi32>"""


def write_mx_scales(greatest):
    """Measured scales of rows whose greatest magnitudes are these f32 bits."""
    count = len(greatest)
    row = lambda bits: "[" + "0.0, " * 7 + f"0x{bits:08x}" + ", 0.0" * 24 + "]"
    quantized = f"tensor<{count}x32x!qlow.q<f4E2M1FN : f8E8M0FNU, block = [1, *]>>"
    return f"""
  %x = arith.constant dense<[{", ".join(row(bits) for bits in greatest)}]> : tensor<{count}x32xf32>
  %q = qlow.quantize_dynamic %x : tensor<{count}x32xf32> -> {quantized}
  %parts:2 = qlow.decompose %q : ({quantized}) -> (tensor<{count}x16xi8>, tensor<{count}x1xf8E8M0FNU>)
  %bytes = arith.bitcast %parts#1 : tensor<{count}x1xf8E8M0FNU> to tensor<{count}x1xi8>
  %wide = arith.extui %bytes : tensor<{count}x1xi8> to tensor<{count}x1xi32>
  %flat = tensor.collapse_shape %wide [[0, 1]] : tensor<{count}x1xi32> into tensor<{count}xi32>
  %row = tensor.expand_shape %flat [[0, 1]] output_shape [1, {count}] : tensor<{count}xi32> into tensor<1x{count}xi32>
  %any = tensor.cast %row : tensor<1x{count}xi32> to tensor<*xi32>"""


def run(module):
    """The printed rows of integers."""
    lowered = subprocess.run(["qlow-opt", "--pass-pipeline=" + PASSES], input=module, capture_output=True, text=True)
    if lowered.returncode:
        sys.exit(lowered.stderr)
    runner = shutil.which("mlir-runner")
    library = os.path.join(os.path.dirname(os.path.realpath(runner)), "..", "lib", "libmlir_runner_utils.so")
    command = [runner, "-e", "main", "--entry-point-result=void", "-O0", "--shared-libs=" + library]
    printed = subprocess.run(command, input=lowered.stdout, capture_output=True, text=True)
    if printed.returncode:
        sys.exit(printed.stderr)
    rows = re.findall(r"\[\[(.*?)\]\]", printed.stdout, re.S)
    return [[int(word) & 0xFFFFFFFF for word in row.replace("\n", " ").split(",")] for row in rows]


def canonical(bits):
    return 0x7FC00000 if bits & 0x7FFFFFFF > 0x7F800000 else bits


PRINT = "  call @printMemrefI32(%any) : (tensor<*xi32>) -> ()\n  return\n}\n"
# f32 bits and the f8E8M0FNU code of 2^(floor(log2 |x|) - 2), 2 being the exponent of E2M1's greatest value, 6: 0, -1,
# 6, 0.999..., 2^-126, a subnormal, the greatest f32, infinity, NaN.
PEAKS = {0: 127, 0xBF800000: 125, 0x40C00000: 127, 0x3F7FFFFF: 124, 0x00800000: 0, 0x00000001: 0, 0x7F7FFFFF: 252,
         0x7F800000: 253, 0x7FC00000: 127}
decode, encode = read_table("formats_decode"), read_table("formats_encode")
formats = [name for name in decode if name in encode and name not in ("f32", "f16", "bf16", "f8E8M0FNU")]
module, calls, expected = "func.func private @printMemrefI32(tensor<*xi32>)\n", "", []
for name in formats:
    for kind, body in (("decode", write_decode(name, decode[name])), ("encode", write_encode(name, encode[name]))):
        module += f"func.func @{kind}_{name}() {{{body}\n{PRINT}"
        calls += f"  call @{kind}_{name}() : () -> ()\n"
    expected.append((name, "decode", [canonical(bits) for _, bits in decode[name]]))
    expected.append((name, "encode", list(pack(name, [code for _, code in encode[name]]))))
for name, body in (("e8m0_scales", write_e8m0_scales()), ("mx_scales", write_mx_scales(PEAKS))):
    module += f"func.func @{name}() {{{body}\n{PRINT}"
    calls += f"  call @{name}() : () -> ()\n"
expected.append(("f8E8M0FNU", "scale", [0x00400000] + [code << 23 for code in range(1, 255)]))
expected.append(("f8E8M0FNU", "measured", list(PEAKS.values())))
module += f"func.func @main() {{\n{calls}  return\n}}\n"

found = run(module)
for (name, kind, wanted), row in zip(expected, found, strict=True):
    row = [canonical(bits) for bits in row] if kind == "decode" else row
    for index, (a, b) in enumerate(zip(row, wanted, strict=True)):
        if a != b:
            sys.exit(f"{name} {kind} {index}: found {a:08x}, expected {b:08x}")
print(len(formats), "formats, all values and codes as in the golden files")
