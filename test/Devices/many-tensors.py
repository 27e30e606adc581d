# What follows each other and reads more tensors than a kernel has parameters for is computed by several: elementwise work,
# what follows a matmul or stands before a reduction of rows, and scalars. A tensor of many dimensions takes more bytes of
# parameters than one of few. In the emulator, equal to numpy: all values are small integers.
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
CODES = "!qlow.q<i8 : f32>"
RANKS = 2, 8, 10


def tensor(rank, *sizes, element="f32"):
    return f"tensor<{'1x' * (rank - len(sizes))}{''.join(f'{size}x' for size in sizes)}{element}>"


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


def of_rank(rank):
    whole, vector = tensor(rank, ROWS, COLUMNS), tensor(rank - 1, ROWS)
    give = f"  return %y : {whole}\n"
    elementwise = function(f"elementwise{rank}", 90, whole, [f'%x: {whole} {{qlow.name = "x"}}'], chain("%x", 90, whole) + give)
    left, right = tensor(rank, ROWS, K, element=CODES), tensor(rank, K, COLUMNS, element=CODES)
    bytes_ = tensor(rank, ROWS, K, element="i8"), tensor(rank, K, COLUMNS, element="i8")
    sides = [f'%l: {bytes_[0]} {{qlow.name = "l"}}', f'%r: {bytes_[1]} {{qlow.name = "r"}}']
    product = f"""  %one = arith.constant dense<1.0> : tensor<f32>
  %lq = qlow.compose %l, %one : ({bytes_[0]}, tensor<f32>) -> {left}
  %rq = qlow.compose %r, %one : ({bytes_[1]}, tensor<f32>) -> {right}
  %x = qlow.matmul %lq, %rq : {left}, {right} -> {whole}
"""
    rows = f"""  %zero = arith.constant dense<0.0> : {vector}
  %sum = linalg.reduce {{ arith.addf }} ins(%y : {whole}) outs(%zero : {vector}) dimensions = [{rank - 1}]
  %empty = tensor.empty() : {whole}
  %wide = linalg.broadcast ins(%sum : {vector}) outs(%empty : {whole}) dimensions = [{rank - 1}]
  %z = arith.subf %y, %wide : {whole}
  return %z : {whole}
"""
    return (elementwise + function(f"product{rank}", 90, whole, sides, product + chain("%x", 90, whole) + give) +
            function(f"rows{rank}", 90, whole, [f'%x: {whole} {{qlow.name = "x"}}'], chain("%x", 90, whole) + rows))


def model():
    scalars = function("scalars", 190, "tensor<f32>", ['%x: tensor<f32> {qlow.name = "x"}'], chain("%x", 190, "tensor<f32>") + "  return %y : tensor<f32>\n")
    return "".join(map(of_rank, RANKS)) + scalars


def wide():
    """A product whose kernel has all the tensor maps that one can have: two for each side, and the result's."""
    sides, whole = ("tensor<2040x1024xf16>", "tensor<5000x1024xf16>"), "tensor<2040x5000xf32>"
    more = [f'%l: {sides[0]} {{qlow.name = "l"}}', f'%r: {sides[1]} {{qlow.name = "r"}}']
    body = f"  %x = qlow.matmul transpose_rhs %l, %r : {sides[0]}, {sides[1]} -> {whole}\n" + chain("%x", 90, whole)
    return function("wide", 90, whole, more, body + f"  return %y : {whole}\n")


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
    unrun = os.path.join(out, "wide.mlir")
    with open(unrun, "w") as file:
        file.write(wide())
    compile_module(unrun, "sm_90", os.path.join(out, "wide.o"), "p", "--no-ptxas")
    draw = lambda shape: numbers.integers(-9, 10, shape).astype(np.float32)
    shape = (ROWS, COLUMNS)
    left, right = (numbers.integers(-9, 10, size).astype(np.int8) for size in ((ROWS, K), (K, COLUMNS)))
    x, many, scalar, scalars = draw(shape), [draw(shape) for _ in range(90)], draw(()), [draw(()) for _ in range(190)]
    sum_ = expected(x, many)
    calls = {"scalars": ({"x": scalar}, scalars, expected(scalar, scalars))}
    for rank in RANKS:
        product = expected((left.astype(int) @ right).astype(np.float32), many)
        calls |= {f"elementwise{rank}": ({"x": x}, many, sum_), f"product{rank}": ({"l": left, "r": right}, many, product),
                  f"rows{rank}": ({"x": x}, many, sum_ - sum_.sum(1, keepdims=True))}
    for target in "sm_80", "sm_90":
        library = open_library(link(compile_module(path, target, os.path.join(out, target, "many.o"), "p", "--no-ptxas")), "p")
        for name, (inputs, others, want) in calls.items():
            inputs = inputs | {f"a{i}": a for i, a in enumerate(others)}
            got, faults = library.call(name, {}, inputs, {"y": (want.shape, np.float32)}, True)
            assert not faults and np.array_equal(got["y"], want), (target, name, faults, got["y"], want)
        print(f"{target}: {', '.join(calls)}")


main()
