# What follows each other and reads more tensors than a kernel has parameters for is computed by several: elementwise work,
# what follows a matmul or stands before a reduction of rows, and scalars. In the emulator, equal to numpy: all values are
# small integers.
#
# RUN: python3 %s %t

import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Integration", "Inputs"))
import numpy as np
from devices import open_library
from objects import compile_module, link

ROWS, COLUMNS, K = 3, 20, 16
TENSOR, VECTOR, CODES = f"tensor<{ROWS}x{COLUMNS}xf32>", f"tensor<{ROWS}xf32>", "!qlow.q<i8 : f32>"


def chain(first, count, type_):
    """%y, of %first and %a0, %a1, ...: two sums, then a maximum."""
    lines, last = "", first
    for i in range(count):
        name = "%y" if i + 1 == count else f"%s{i}"
        lines += f"  {name} = arith.{'maximumf' if i % 3 == 2 else 'addf'} {last}, %a{i} : {type_}\n"
        last = name
    return lines


def function(name, count, type_, more, body):
    arguments = ", ".join([*(f'%a{i}: {type_} {{qlow.name = "a{i}"}}' for i in range(count)), *more])
    return f'func.func @{name}({arguments}) -> ({type_} {{qlow.name = "y"}}) {{\n{body}}}\n'


def model():
    give = f"  return %y : {TENSOR}\n"
    elementwise = function("elementwise", 90, TENSOR, [f'%x: {TENSOR} {{qlow.name = "x"}}'], chain("%x", 90, TENSOR) + give)
    left, right = f"tensor<{ROWS}x{K}x{CODES}>", f"tensor<{K}x{COLUMNS}x{CODES}>"
    sides = [f'%l: tensor<{ROWS}x{K}xi8> {{qlow.name = "l"}}', f'%r: tensor<{K}x{COLUMNS}xi8> {{qlow.name = "r"}}']
    product = f"""  %one = arith.constant dense<1.0> : tensor<f32>
  %lq = qlow.compose %l, %one : (tensor<{ROWS}x{K}xi8>, tensor<f32>) -> {left}
  %rq = qlow.compose %r, %one : (tensor<{K}x{COLUMNS}xi8>, tensor<f32>) -> {right}
  %x = qlow.matmul %lq, %rq : {left}, {right} -> {TENSOR}
"""
    rows = f"""  %zero = arith.constant dense<0.0> : {VECTOR}
  %sum = linalg.reduce {{ arith.addf }} ins(%y : {TENSOR}) outs(%zero : {VECTOR}) dimensions = [1]
  %empty = tensor.empty() : {TENSOR}
  %wide = linalg.broadcast ins(%sum : {VECTOR}) outs(%empty : {TENSOR}) dimensions = [1]
  %z = arith.subf %y, %wide : {TENSOR}
  return %z : {TENSOR}
"""
    scalars = function("scalars", 190, "tensor<f32>", ['%x: tensor<f32> {qlow.name = "x"}'], chain("%x", 190, "tensor<f32>") + "  return %y : tensor<f32>\n")
    return (elementwise + function("product", 90, TENSOR, sides, product + chain("%x", 90, TENSOR) + give) +
            function("rows", 90, TENSOR, [f'%x: {TENSOR} {{qlow.name = "x"}}'], chain("%x", 90, TENSOR) + rows) + scalars)


def expected(x, others):
    for i, a in enumerate(others):
        x = np.maximum(x, a) if i % 3 == 2 else x + a
    return x


def main():
    out, numbers = sys.argv[1], np.random.default_rng(3)
    os.makedirs(out, exist_ok=True)
    path = os.path.join(out, "many.mlir")
    with open(path, "w") as file:
        file.write(model())
    draw = lambda shape: numbers.integers(-9, 10, shape).astype(np.float32)
    shape = (ROWS, COLUMNS)
    left, right = (numbers.integers(-9, 10, size).astype(np.int8) for size in ((ROWS, K), (K, COLUMNS)))
    x, many, scalar, scalars = draw(shape), [draw(shape) for _ in range(90)], draw(()), [draw(()) for _ in range(190)]
    sum_ = expected(x, many)
    calls = {"elementwise": ({"x": x}, many, sum_), "rows": ({"x": x}, many, sum_ - sum_.sum(1, keepdims=True)),
             "product": ({"l": left, "r": right}, many, expected((left.astype(int) @ right).astype(np.float32), many)),
             "scalars": ({"x": scalar}, scalars, expected(scalar, scalars))}
    for target in "sm_80", "sm_90":
        library = open_library(link(compile_module(path, target, os.path.join(out, target, "many.o"), "p", "--no-ptxas")), "p")
        for name, (inputs, others, want) in calls.items():
            inputs = inputs | {f"a{i}": a for i, a in enumerate(others)}
            got, faults = library.call(name, {}, inputs, {"y": (want.shape, np.float32)}, True)
            assert not faults and np.array_equal(got["y"], want), (target, name, faults, got["y"], want)
        print(f"{target}: {', '.join(calls)}")


main()
