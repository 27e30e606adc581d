# Every instruction row is reached: a matmul whose recipe names it makes an object in which the disassembler finds it, in
# the row's width, on every CPU target that has the row. And every row takes every number format as a weight: it
# compiles, or is declined for what the format's values are. Both read the registries: new rows, formats and targets are
# covered when they are registered.
#
# RUN: rm -rf %t && mkdir %t
# RUN: python3 %s %t

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

work = Path(sys.argv[1]).resolve()


def run(*command, check=True):
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    assert not check or done.returncode == 0, " ".join(command) + "\n" + done.stderr[:4000]
    return done


def first_words(text):
    return [line.split()[0] for line in text.splitlines() if line.strip()]


class Row:
    def __init__(self, line):
        self.id, rest = line.split(None, 1)
        self.instruction, self.status = re.fullmatch(r"(.*?)\s+(native|emulated|needs \S+)", rest).groups()
        sizes, self.sum, self.lhs, self.rhs = re.match(r"[a-z0-9]+_([0-9x]+)_(\w+?)_(\w+?)_(\w+?)(?:_|$)", self.id).groups()
        self.m, self.n, self.k = map(int, sizes.split("x"))
        self.is_float = self.sum == "f32"

    def matmul(self, name, weight=None):
        """A matmul that only this row can compute as its recipe says, with room for a tail in each direction."""
        side = {"u8": "!qlow.q<u8 : f32>", "s8": "!qlow.q<i8 : f32>", "s16": "!qlow.q<u8 : f32>", "s32": "!qlow.q<u8 : f32>", "f32": "f32"}
        lhs, rhs = side[self.lhs], f"!qlow.q<{weight} : f32>" if weight else side[self.rhs]
        out = "f32" if weight or self.is_float else "i32"
        n, k = self.n + 1, 4 * self.k + (0 if self.k == 1 else 1)
        unpack = "pack" if weight in (None, "i8", "u8") and not (weight and self.is_float) else "decode"
        # An f32 operand makes the product a float sum, codes on both sides make it exact where the format allows it.
        return (f"func.func @{name}(%x: tensor<3x{k}x{lhs}>, %w: tensor<{n}x{k}x{rhs}>) -> tensor<3x{n}x{out}> {{\n"
                f"  %y = qlow.matmul transpose_rhs %x, %w recipes <[#qlow.recipe<{self.id},\n"
                f"    tiles = [<thread, [2, {self.n}, {k}]>, <reg, [2, {self.n}, {self.k}]>],\n"
                f"    lhs = [<to = l2, by = pack>, <to = reg, by = broadcast32>],\n"
                f"    rhs = [<to = l2, by = {unpack}>, <to = reg, by = load>], rescale = end>]>\n"
                f"    : tensor<3x{k}x{lhs}>, tensor<{n}x{k}x{rhs}> -> tensor<3x{n}x{out}>\n"
                f"  return %y : tensor<3x{n}x{out}>\n}}\n")

    def pattern(self):
        register = {4: "xmm", 8: "ymm", 16: "zmm"}[self.n]
        # Portable rows are what LLVM makes of a vector product.
        portable = "mulps" if self.is_float else r"(?:pmul\w+|pmadd\w+)"
        mnemonic = self.instruction if " " not in self.instruction else "v?" + portable
        # Any of the three forms of a fused multiply-add is the instruction.
        mnemonic = mnemonic.replace("231", r"(?:132|213|231)")
        return rf"\s(?:\{{vex\}} )?v?{mnemonic}\s.*%{register}"


def rows_of(target):
    return [Row(line) for line in run("qlowc", "-list-instructions", "-target=" + target).stdout.splitlines()]


def functions(disassembly):
    """The text of each symbol's code."""
    return re.findall(r"^[0-9a-f]+ <([^>]+)>:\n(.*?)(?=\n\n|\Z)", disassembly, re.M | re.S)


def reach_rows(target):
    rows = [row for row in rows_of(target) if not row.status.startswith("needs")]
    model = work / f"{target}.mlir"
    model.write_text("".join(row.matmul(f"row{i}x") for i, row in enumerate(rows)))
    run("qlowc", str(model), "-target=" + target, "-o", f"{target}.o")
    symbols = functions(run("llvm-objdump", "-d", "--no-show-raw-insn", f"{target}.o").stdout)
    missed = []
    for i, row in enumerate(rows):
        code = "\n".join(text for symbol, text in symbols if f"row{i}x" in symbol)
        if not re.search(row.pattern(), code):
            missed.append(f"{target}: {row.id} is not reached: no '{row.pattern()}'")
    return {row.id for row in rows}, missed


targets = []
for name in first_words(run("qlowc", "-list-targets").stdout):
    if json.loads(run("qlowc", "-print-target=" + name).stdout)["triple"].startswith("x86_64"):
        targets.append(name)
formats = first_words(run("qlowc", "-list-formats").stdout)
assert len(targets) > 4 and len(formats) > 20

with ThreadPoolExecutor(2) as pool:
    results = list(pool.map(reach_rows, targets))
missed = [miss for _, misses in results for miss in misses]
assert not missed, "\n".join(missed)
assert {row.id for row in rows_of(targets[-1])} <= set().union(*(reached for reached, _ in results)), "rows that no target has"


# ---- formats ------------------------------------------------------------------------------------


def try_formats(row):
    """Which formats the row declines, all at once; those it takes compile."""
    model = work / f"{row.id}.mlir"
    cases = [row.matmul(f"as_{format}", format) for format in formats]
    model.write_text("\n// -----\n".join(cases))
    said = run("qlow-opt", "-split-input-file", f"-qlow-select-recipes=target={TARGET}", str(model), check=False).stderr
    lines = model.read_text().splitlines()
    declined = {}
    for line, message in re.findall(r"\.mlir:(\d+):\d+: error: (.*)", said):
        format = re.search(r"@as_(\w+)\(", lines[int(line) - 2]).group(1)
        declined[format] = re.fullmatch(rf"'qlow.matmul' op has a recipe with '{row.id}', which can not compute it on {TARGET}: (.*)", message).group(1)
    model.write_text("".join(case for format, case in zip(formats, cases) if format not in declined))
    run("qlowc", str(model), "-target=" + TARGET, "-emit=llvm", "-o", f"{row.id}.ll")
    return declined


TARGET = "znver5"
rows = [row for row in rows_of(TARGET) if not row.status.startswith("needs")]
with ThreadPoolExecutor(2) as pool:
    for row, declined in zip(rows, pool.map(try_formats, rows)):
        for format, reason in declined.items():
            # Values that the row's operands do not hold, or that no integer sum computes.
            assert re.fullmatch(r"takes [us]8, the right side has \S+ to \S+|sums integers, .*", reason), f"{row.id}, {format}: {reason}"
        assert len(declined) < len(formats) - 4, f"{row.id} takes hardly a format"
        assert not (row.is_float and declined), f"{row.id} declines {declined}"
