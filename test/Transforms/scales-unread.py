# Before code is generated, scales of a weight are read only where the family asks for their magnitudes: NVIDIA's, whose
# kernels may multiply a weight's codes by them. What was read of a model's file is in the most memory that qlowc had.
#
# RUN: python3 %s %t %S/../Integration/Inputs

import os
import shutil
import subprocess
import sys

folder, inputs = sys.argv[1:3]
sys.path.insert(0, inputs)
from bytecode import write_model

K, N = 8192, 4096


def write(path, together):
    """A weight with a scale for each `together` codes, all bytes of which are holes of the file. Returns the scales'."""
    rows = K // together
    text = f"""
!w = !qlow.q<i8 : f16, block = [{together}, 1]>
func.func @f(%x: tensor<4x{K}xf16>) -> tensor<4x{N}xf32> {{
  %c = arith.constant dense_resource<codes> : tensor<{K}x{N}xi8>
  %s = arith.constant dense_resource<scales> : tensor<{rows}x{N}xf16>
  %w = qlow.compose %c, %s : (tensor<{K}x{N}xi8>, tensor<{rows}x{N}xf16>) -> tensor<{K}x{N}x!w>
  %y = qlow.matmul %x, %w : tensor<4x{K}xf16>, tensor<{K}x{N}x!w> -> tensor<4x{N}xf32>
  return %y : tensor<4x{N}xf32>
}}
{{-# dialect_resources: {{ builtin: {{ codes: "0x0100000001", scales: "0x020000000101" }} }} #-}}
"""
    hole = lambda file, begin: None
    write_model(text, path, [(K * N, hole), (rows * N * 2, hole)])
    return rows * N * 2


def peak(model, target):
    """Most bytes of memory up to where code would be generated: an error comes first."""
    process = subprocess.Popen(["qlowc", model, "-target=" + target, "--require-native", "-o", f"{folder}/m.o"],
                               stderr=subprocess.PIPE, text=True)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 1 and "native" in said, said
    return usage.ru_maxrss * 1024


os.makedirs(folder, exist_ok=True)
more = write(f"{folder}/many.mlirbc", 2) - write(f"{folder}/few.mlirbc", 4096)
for target, isRead in ("znver4", False), ("sm_90", True):
    grown = peak(f"{folder}/many.mlirbc", target) - peak(f"{folder}/few.mlirbc", target)
    print(f"{target}: {grown >> 20} MiB for {more >> 20} MiB of scales")
    assert (grown > more // 2) == isRead
shutil.rmtree(folder)
