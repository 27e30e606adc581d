# Bytecode that is cut off, damaged or whose weights are not what its types say: the compiler exits with 1, says which
# file and why, prints nothing to stdout and leaves nothing behind. It never crashes.
#
# RUN: python3 %s %models/digits/digits.mlir %t

import os
import random
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Integration", "Inputs"))
from bytecode import write_model

model, folder = sys.argv[1:]
shutil.rmtree(folder, ignore_errors=True)
os.makedirs(folder + "/out")


def compile_broken(path):
    """Exit code and messages."""
    done = subprocess.run(["qlowc", path, "-o", f"{folder}/out/m.o"], capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), (path, done.returncode, done.stderr)
    assert done.stdout == "", done.stdout
    left = sorted(os.listdir(f"{folder}/out"))
    assert left == (["m.h", "m.o"] if done.returncode == 0 else []), (path, left)
    assert done.returncode == 0 or "error: " in done.stderr, (path, done.stderr)
    for name in left:
        os.remove(f"{folder}/out/{name}")
    return done.returncode, done.stderr


# Cut off anywhere, or with one byte changed.
subprocess.run(["qlow-opt", model, "--emit-bytecode", "-o", f"{folder}/whole.mlirbc"], check=True)
whole = open(f"{folder}/whole.mlirbc", "rb").read()
rng = random.Random(1)
cut = [0, 1, 3, 4, 5, 20, len(whole) - 1] + [rng.randrange(len(whole)) for _ in range(10)]
accepted = 0
for number, end in enumerate(cut):
    path = f"{folder}/cut{number}.mlirbc"
    open(path, "wb").write(whole[:end])
    code, said = compile_broken(path)
    assert code == 1 or end == 0, (end, said)
for number in range(30):
    path, at = f"{folder}/damaged{number}.mlirbc", rng.randrange(len(whole) if number % 2 else 4000)
    open(path, "wb").write(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :])
    accepted += compile_broken(path)[0] == 0
print(f"{accepted} of 30 models with one bit changed still compile")

# Weights that are not what their types say.
WEIGHT = """func.func @f(%a: tensor<64x{0}>) -> tensor<64x{0}> {{
  %w = arith.constant dense_resource<w> : tensor<64x{0}>
  %b = arith.{1} %a, %w : tensor<64x{0}>
  return %b : tensor<64x{0}>
}}
"""
RESOURCE = '{-# dialect_resources: { builtin: { w: "0x0100000001" } } #-}\n'


def expect(name, text, blobs, alignment, message):
    path = f"{folder}/{name}.mlirbc"
    write_model(text, path, blobs, alignment)
    code, said = compile_broken(path)
    assert (code == 0 and not message) or (code == 1 and message in said), (name, code, said)


def blob(size):
    return [(size, lambda file, begin: file.write(b"\1" * size))]


floats, codes = WEIGHT.format("f32", "addf"), WEIGHT.format("i8", "addi")
expect("right", floats + RESOURCE, blob(256), 64, "")
expect("short", floats + RESOURCE, blob(252), 64, "resource 'w': expected 256 bytes for 'tensor<64xf32>', found 252")
expect("long", codes + RESOURCE, blob(65), 64, "resource 'w': expected 64 bytes for 'tensor<64xi8>', found 65")
expect("empty", codes + RESOURCE, blob(0), 64, "resource 'w': expected 64 bytes for 'tensor<64xi8>', found 0")
expect("misaligned", floats + RESOURCE, blob(256), 1, "resource 'w': expected an alignment of 4 bytes for 'tensor<64xf32>', found 1")
expect("bytes", codes + RESOURCE, blob(64), 1, "")
with open(f"{folder}/missing.mlir", "w") as file:
    file.write(floats)
code, said = compile_broken(f"{folder}/missing.mlir")
assert code == 1 and "resource 'w' is missing: expected 256 bytes for 'tensor<64xf32>'" in said, said

# Large weights as text.
for name, data in (("hex", '"0x' + "01" * ((1 << 20) + 64) + '"'), ("list", "[" + "1, 2, " * (1 << 19) + ", ".join(["3"] * 64) + "]")):
    with open(f"{folder}/{name}.mlir", "w") as file:
        file.write("func.func @f() -> tensor<1048640xi8> {\n" + f"  %w = arith.constant dense<{data}> : tensor<1048640xi8>\n"
                   "  return %w : tensor<1048640xi8>\n}\n")
    code, said = compile_broken(f"{folder}/{name}.mlir")
    assert code == 1 and f"{name}.mlir:2:" in said, said
    assert "has 1048640 bytes of weights as text: expected at most 1048576; larger ones" in said, said
