# Every instruction row of every device is reached: a matmul whose recipe names it makes a kernel whose PTX has the row's
# instruction, and, where ptxas and a disassembler are found, whose machine code has what the row says becomes of it. Reads the
# registries: new rows and chips are covered when they are registered.
#
# RUN: rm -rf %t && mkdir %t
# RUN: python3 %s %t

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

work = Path(sys.argv[1]).resolve()
FORMATS = {"s8": "i8", "u8": "u8", "s4": "i4", "u4": "u4", "b1": "binary", "e2m1": "f4E2M1FN", "e4m3": "f8E4M3FN", "e5m2": "f8E5M2", "s32": "i8"}
# Scales that a row takes, and k under one of them.
SCALES = {"ue8m0": ("f8E8M0FNU", 32, "f8E8M0FNU"), "ue4m3": ("!qlow.q<f8E4M3FN : f32>", 16, "i8")}
M, N, K = 256, 256, 4096


def run(*command):
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    assert done.returncode == 0, " ".join(command) + "\n" + done.stderr[:4000]
    return done


class Row:
    def __init__(self, id):
        self.id = id
        self.unit, sizes, self.sum, self.lhs, self.rhs = re.match(r"([a-z0-9]+)_([0-9x]+)_(\w+?)_(\w+?)_(\w+?)(?:_|$)", id).groups()
        self.m, self.n, self.k = map(int, sizes.split("x"))
        self.is_half = self.lhs in ("f16", "bf16")
        # Of floats on both sides: by wgmma, whose left operand stands in shared memory.
        # Of a right side that is unpacked in registers.
        self.unpacks = id.endswith("_via_registers") or self.is_half and self.unit == "mma"
        self.takes_floats = self.is_half and not self.unpacks
        self.by_columns = id.endswith("_via_columns")
        self.scales = SCALES.get(id.rpartition("_via_")[2])

    def recipe(self):
        if self.unit in ("mad", "fma"):
            side = "[<to = cta, by = decode, stages = 2>, <to = reg, by = load>]"
            return f"tiles = [<cta, [64, 64, 16]>, <lane, [4, 4, 1]>], lhs = {side}, rhs = {side}, rescale = {'fold' if self.unit == 'fma' else 'end'}"
        if self.takes_floats:
            rhs = "<to = cta, by = tma, stages = 4, swizzle = 128>" if self.by_columns else "<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>"
            return (f"tiles = [<cta, [{self.m}, {self.n}, 64]>, <warpgroup, [{self.m}, {self.n}, 16]>], lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],\n"
                    f"      rhs = [{rhs}], rescale = fold")
        if self.unpacks and self.unit == "mma":
            return (f"tiles = [<cta, [8, 16, 4096]>, <warp, [8, 16, 512]>], lhs = [<to = reg, by = load>],\n"
                    f"      rhs = [<to = memory, by = fragments>, <to = reg, by = load128>, <to = reg, by = decode_nibble>], rescale = end, swap = true")
        if self.unpacks:
            return (f"tiles = [<cta, [{self.n}, 64, 128]>, <warpgroup, [{self.n}, 64, 128]>], lhs = [<to = cta, by = tma, stages = 2, swizzle = 128>],\n"
                    f"      rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = 2>, <to = reg, by = decode_nibble>], rescale = end, swap = true")
        if self.unit == "mma":
            depth = 128 if self.scales else 2 * self.k
            return (f"tiles = [<cta, [64, 128, {depth}]>, <warp, [32, 32, {self.k}]>], lhs = [<to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>],\n"
                    f"      rhs = [<to = memory, by = pack>, <to = cta, by = cp_async, stages = 4>, <to = reg, by = ldmatrix>], rescale = {'fold' if self.scales else 'end'}")
        return (f"tiles = [<cta, [{self.m}, {self.n}, 128]>, <warpgroup, [{self.m}, {self.n}, 32]>], lhs = [<to = cta, by = tma, stages = 4, swizzle = 128>],\n"
                f"      rhs = [<to = memory, by = pack>, <to = cta, by = bulk, stages = 4>], rescale = end")

    def matmul(self, name):
        if self.takes_floats:
            given, made = (f", %w: tensor<{K}x{N}x{self.rhs}>", "") if self.by_columns else ("", f"  %w = arith.constant dense<1.0> : tensor<{K}x{N}x{self.rhs}>\n")
            return (f"func.func @{name}(%x: tensor<{M}x{K}x{self.lhs}>{given}) -> tensor<{M}x{N}xf32> {{\n{made}"
                    f"  %y = qlow.matmul %x, %w recipes <[#qlow.recipe<{self.id}, {self.recipe()}>]>\n"
                    f"    : tensor<{M}x{K}x{self.lhs}>, tensor<{K}x{N}x{self.rhs}> -> tensor<{M}x{N}xf32>\n  return %y : tensor<{M}x{N}xf32>\n}}\n")
        x = self.lhs if self.is_half or self.unit == "fma" else f"!qlow.q<{FORMATS[self.lhs]} : f32>"
        format = "u4" if self.unpacks or self.unit == "fma" else FORMATS[self.rhs]
        w, y = f"!qlow.q<{format} : f32>", "i32" if self.sum == "i32" else "f32"
        bytes_ = K * {"i4": 4, "u4": 4, "f4E2M1FN": 4, "binary": 1}.get(format, 8) // 8
        scales, made, given = "tensor<f32>", "%s = arith.constant dense<1.0> : tensor<f32>", "%s"
        if self.scales:
            scale, together, stored = self.scales
            x, w = (f"!qlow.q<{one} : {scale}, block = [1, {together}]>" for one in (FORMATS[self.lhs], format))
            scales = f"tensor<{N}x{K // together}x{stored}>"
            made = f"%s = arith.constant dense<{56 if stored == 'i8' else 1.0}> : {scales}"
            if stored == "i8":
                made += "\n  %g = arith.constant dense<1.0> : tensor<f32>"
                given, scales = "%s, %g", scales + ", tensor<f32>"
        return (f"func.func @{name}(%x: tensor<{M}x{K}x{x}>) -> tensor<{M}x{N}x{y}> {{\n"
                f"  {made}\n  %c = arith.constant dense<1> : tensor<{N}x{bytes_}xi8>\n"
                f"  %w = qlow.compose %c, {given} : (tensor<{N}x{bytes_}xi8>, {scales}) -> tensor<{N}x{K}x{w}>\n"
                f"  %y = qlow.matmul transpose_rhs %x, %w recipes <[#qlow.recipe<{self.id}, {self.recipe()}>]>\n"
                f"    : tensor<{M}x{K}x{x}>, tensor<{N}x{K}x{w}> -> tensor<{M}x{N}x{y}>\n  return %y : tensor<{M}x{N}x{y}>\n}}\n")


def first_words(text):
    return [line.split()[0] for line in text.splitlines() if line.strip()]


# Machine code that nobody can read need not be made.
reads = shutil.which("nvdisasm") or shutil.which("cuobjdump")
reached, registered = set(), set()
for target in first_words(run("qlowc", "-list-targets").stdout):
    if json.loads(run("qlowc", "-print-target=" + target).stdout)["family"] != "nvptx":
        continue
    lines = run("qlowc", "-list-instructions", "-target=" + target).stdout.splitlines()
    registered |= set(first_words("\n".join(lines)))
    rows = [Row(line.split()[0]) for line in lines if "needs" not in line.split()]
    model = work / f"{target}.mlir"
    model.write_text("".join(row.matmul(f"row{i}x") for i, row in enumerate(rows)))
    done = run("qlowc", str(model), "-target=" + target, *[] if reads else ["--no-ptxas"], "-fast-sums", "-o", f"{target}.o", f"--explain={target}.json")
    assert "the report names" not in done.stderr, done.stderr
    entries = json.loads((work / f"{target}.json").read_text())
    assert len(entries) == len(rows)
    for row, entry in zip(rows, entries):
        kernels = [kernel for kernel in entry["kernels"] if kernel["row"] == row.id]
        assert entry["row"] == row.id and kernels, f"{target}: {row.id} is not reached: {entry}"
        assert kernels[0]["in_assembly"] > 0 and kernels[0].get("in_machine_code", 1) > 0, f"{target}: {kernels}"
        assert kernels[0]["resident_blocks"] > 0, f"{target}: {kernels}"
        reached.add(row.id)
assert len(reached) > 40 and registered == reached, f"rows that no device has: {registered - reached}"
