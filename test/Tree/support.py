# The table of targets and formats in README.md is what selection says of every registered target and format.
#
# RUN: python3 %s %include/../README.md
#
# After a new target or format: python3 test/Tree/support.py --write, with the build's programs on PATH.

import re
import subprocess
import sys
from pathlib import Path

ACTIVATIONS = [*(f"!qlow.q<{format} : f32>" for format in ("u8", "i8", "u4", "i4", "binary", "f8E4M3FN")), "f32"]
K = 640  # whole rows of whatever instructions copy
BEGIN, END = "<!-- written by test/Tree/support.py --write -->\n", "<!-- end -->"


def listed(option):
    text = subprocess.run(["qlowc", option], capture_output=True, text=True, check=True).stdout
    return [line.split() for line in text.splitlines() if line.strip()]


def names(option):
    return [words[0] for words in listed(option)]


# Name, then codes and bytes of a group: `u4 2 in 1 byte, ...`.
ROW_BYTES = {words[0]: -(-K // int(words[1])) * int(words[3]) for words in listed("-list-formats")}


def matmul(name, activation, format, byte):
    """A weight of `byte`s: matmuls of equal ones would share how it is stored."""
    x, w, c = f"tensor<8x{K}x{activation}>", f"tensor<32x{K}x!qlow.q<{format} : f32>>", f"tensor<32x{ROW_BYTES[format]}xi8>"
    return (f"func.func @{name}(%x: {x}) -> tensor<8x32xf32> {{\n"
            f"  %s = arith.constant dense<1.0> : tensor<f32>\n  %c = arith.constant dense<{byte}> : {c}\n"
            f"  %w = qlow.compose %c, %s : ({c}, tensor<f32>) -> {w}\n"
            f"  %y = qlow.matmul transpose_rhs %x, %w : {x}, {w} -> tensor<8x32xf32>\n"
            f"  return %y : tensor<8x32xf32>\n}}\n")


def ask(target, formats):
    """For each format whether each activation's matmul is native, or None where one of them can not be computed."""
    module = "".join(matmul(f"f{i}_{j}", activation, format, i * len(ACTIVATIONS) + j - 128)
                     for i, format in enumerate(formats) for j, activation in enumerate(ACTIVATIONS))
    done = subprocess.run(["qlow-opt", f"--qlow-select-recipes=target={target}"], input=module, capture_output=True, text=True)
    answers = [way == "" for way in re.findall(r'\bemulation = "([^"]*)"', done.stdout)]
    if done.returncode or len(answers) != len(formats) * len(ACTIVATIONS):
        assert done.returncode, "the report has not one entry for each matmul"
        return [None] if len(formats) == 1 else sum((ask(target, [format]) for format in formats), [])
    return [answers[i : i + len(ACTIVATIONS)] for i in range(0, len(answers), len(ACTIVATIONS))]


def table():
    targets, formats = names("-list-targets"), names("-list-formats")
    columns = [ask(target, formats) for target in targets]
    rows = {}  # formats by their cells: those that fare alike share a row
    for i, format in enumerate(formats):
        cells = ["no" if column[i] is None else "native" if any(column[i]) else "emulated" for column in columns]
        rows.setdefault(" | ".join(cells), []).append(f"`{format}`")
    lines = ["| weight | " + " | ".join(targets) + " |", "| --- |" + " --- |" * len(targets)]
    lines += [f"| {' '.join(names)} | {cells} |" for cells, names in rows.items()]
    return "\n".join(lines) + "\n"


write = sys.argv[1] == "--write"
readme = Path(__file__).resolve().parents[2] / "README.md" if write else Path(sys.argv[1])
text = readme.read_text()
before, rest = text.split(BEGIN)
found, after = rest.split(END)
wanted = table()
if write:
    readme.write_text(before + BEGIN + wanted + END + after)
else:
    assert found == wanted, f"README.md has an old table, run python3 test/Tree/support.py --write; expected:\n{wanted}"
