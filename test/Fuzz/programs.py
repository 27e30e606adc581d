# Random small programs compute in emitted objects what the reference evaluator computes, and touch nothing beside their
# buffers: float work of the closed list, control flow and quantized ops around matmuls, with a dynamic size or without.
#
# RUN: python3 %s --samples 60 --batch 4 --spread --seconds 30 --out %t
#
# Deeper:             python3 test/Fuzz/programs.py --samples 1000
# One failure again:  the command that a failure prints
#
# Values that only exact operations made are compared bit for bit. Those that a sum in any order or a math function had a
# part in, here called loose, may differ by what the law allows: bounds.py follows intervals and differences through each
# program. Nothing that jumps is computed from them (no rounding, no quantization, no branch), and nothing at all from
# values that may be large or far apart: they are results at most, so that differences stay small.

import argparse
import math
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Integration", "Inputs"))

import bounds
import numpy as np
from bounds import Bound
from objects import Reference
from quantized import F32, FORMATS, Quantized, Type, draw_block, draw_tensor, round_to
from samples import Call, Sample, add_run_options, difference, rng_of, run_all

COLUMNS = [1, 2, 3, 4, 8, 15, 16, 17, 32, 33]
ROWS = [0, 1, 2, 3, 5, 17]  # that a dynamic size takes
DEPTH = 2  # of control flow
LIMIT = 16.0  # of what others are computed from
DIFFERENCE = 1e-3  # the same, of loose values
CARRIED = 1e-5  # taken for the difference of what a loop carries


class Value:
    """%name : tensor of f32; a size may be "m"."""

    def __init__(self, name, shape, bound):
        self.name, self.shape, self.bound = name, tuple(shape), bound

    @property
    def loose(self):
        return bool(self.bound.difference)

    @property
    def is_tame(self):
        apart = sum(factor * (CARRIED if name else 1.0) for name, factor in self.bound.difference.items())
        return self.bound.limit <= LIMIT and apart <= DIFFERENCE

    @property
    def type(self):
        return tensor(self.shape)


def tensor(shape, element="f32"):
    return f"tensor<{''.join('?x' if size == 'm' else f'{size}x' for size in shape)}{element}>"


class Program:
    def __init__(self, name, seed):
        self.name, self.seed, self.lines, self.counter, self.depth = name, seed, [], 0, 0
        self.r, self.numbers = rng_of("programs", seed, name), np.random.default_rng([seed, int(name[1:])])
        self.dynamic = self.r.random() < 0.5
        self.arguments, self.inputs, self.helpers = [], {}, ""
        self.values, self.bounds = [], {}  # of tensors, of scalars
        self.branches_on_data = False

    # ---- writing ----

    def fresh(self):
        self.counter += 1
        return f"%v{self.counter}"

    def emit(self, text):
        self.lines.append("  " * (self.depth + 1) + text)

    def op(self, text, shape, bound):
        """A value of this op; added to those that others can use."""
        result = Value(self.fresh(), shape, bound)
        self.emit(f"{result.name} = {text}")
        self.values.append(result)
        return result

    def constant(self, array, element):
        name = self.fresh()
        self.emit(f'{name} = arith.constant dense<"0x{np.array(array, order="C").tobytes().hex()}"> : {tensor(array.shape, element)}')
        return name

    def scalar(self, x, element="f32"):
        name = self.fresh()
        self.emit(f"{name} = arith.constant {x} : {element}")
        if element == "f32":
            self.bounds[name] = Bound(float(x), float(x))
        return name

    def empty(self, shape, element="f32"):
        name = self.fresh()
        self.emit(f"{name} = tensor.empty({'%m' if 'm' in shape else ''}) : {tensor(shape, element)}")
        return name

    def filled(self, shape, x):
        name, init, number = self.fresh(), self.empty(shape), self.fresh()
        self.emit(f"{number} = arith.constant {x} : f32")
        self.emit(f"{name} = linalg.fill ins({number} : f32) outs({init} : {tensor(shape)}) -> {tensor(shape)}")
        return name

    # ---- choosing ----

    def pick(self, exact=False, shape=None):
        """A value, lately made ones first; of that shape, made to order if there is none."""
        fitting = [v for v in self.values if v.is_tame and (not exact or not v.loose) and shape in (None, v.shape)]
        if not fitting:
            shape = shape or ("m" if self.dynamic else 3, 4)
            return Value(self.filled(shape, "0.75"), shape, Bound(0.75, 0.75))
        return self.r.choice(fitting[-6:])

    # ---- ops ----

    def generic(self, inputs, maps, shape, body, bound=None):
        """linalg.generic over `shape`; `maps` of the inputs as text, `body` from names of scalars to lines and the result,
        whose bound follows from its ops where none is given."""
        dims = ", ".join(f"d{i}" for i in range(len(shape)))
        spelled = ", ".join(f"affine_map<({dims}) -> ({map_})>" for map_ in [*maps, dims])
        kinds = ", ".join(['"parallel"'] * len(shape))
        init = self.empty(shape)
        names = [f"%e{i}" for i in range(len(inputs))]
        ins = f"ins({', '.join(v.name for v in inputs)} : {', '.join(v.type for v in inputs)}) " if inputs else ""
        result = self.op(f"linalg.generic {{indexing_maps = [{spelled}], iterator_types = [{kinds}]}} {ins}outs({init} : {tensor(shape)}) {{", shape, bound)
        self.bounds.update(zip(names, [v.bound for v in inputs]))
        self.emit(f"^bb0({', '.join(f'{n}: f32' for n in names + ['%o'])}):")
        self.depth += 1
        element = body(names)
        self.emit(f"linalg.yield {element} : f32")
        result.bound = bound or self.bounds[element]
        self.depth -= 1
        self.emit(f"}} -> {tensor(shape)}")
        return result

    def on_scalars(self, op, *operands):
        name = self.fresh()
        self.emit(f"{name} = {op} {', '.join(operands)} : f32")
        self.bounds[name] = bounds.SCALARS[op](*(self.bounds[operand] for operand in operands))
        return name

    def clamped(self, name):
        low, high = self.scalar("-8.0"), self.scalar("8.0")
        return self.on_scalars("arith.minimumf", self.on_scalars("arith.maximumf", name, low), high)

    def unary(self):
        smooth = ["arith.negf", "math.absf"]
        loose_ops = ["math.exp", "math.tanh", "math.erf", "math.sin", "math.cos", "math.atan", "math.log1p"]
        x = self.pick()
        exact_ops = smooth + ([] if x.loose else ["math.floor", "math.ceil", "math.roundeven", "math.trunc", "math.round"])
        op = self.r.choice(exact_ops * 2 + loose_ops + ["math.sqrt"])

        def body(names):
            value = names[0]
            if op in ("math.sqrt", "math.log1p", "math.exp"):
                value = self.on_scalars("math.absf", value)
            if op == "math.exp":
                value = self.on_scalars("arith.negf", value)
            if op == "math.sqrt":  # its slope is endless at 0
                value = self.on_scalars("arith.addf", value, self.scalar("0.5"))
            return self.on_scalars(op, value)

        return self.generic([x], [self.dims_of(x)], x.shape, body)

    def dims_of(self, x):
        return ", ".join(f"d{i}" for i in range(len(x.shape)))

    def binary(self):
        x = self.pick()
        y = self.pick(shape=x.shape)
        op = self.r.choice(["addf", "subf", "mulf", "maximumf", "minimumf", "divf"])

        def body(names):
            b = names[1]
            if op == "divf":
                b = self.on_scalars("arith.addf", self.on_scalars("math.absf", b), self.scalar("1.0"))
            return self.clamped(self.on_scalars(f"arith.{op}", names[0], b))

        return self.generic([x, y], [self.dims_of(x)] * 2, x.shape, body)

    def named(self):
        """The same as named ops, arith on tensors, or linalg.map."""
        x = self.pick()
        y = self.pick(shape=x.shape)
        t, way = x.type, self.r.choice(["linalg", "arith", "map"])
        named = {"add": "arith.addf", "sub": "arith.subf", "max": "arith.maximumf", "min": "arith.minimumf"}
        name = self.r.choice(list(named))
        op = named[name]
        bound = bounds.SCALARS[op](x.bound, y.bound)
        if way == "linalg":
            return self.op(f"linalg.{name} ins({x.name}, {y.name} : {t}, {t}) outs({self.empty(x.shape)} : {t}) -> {t}", x.shape, bound)
        if way == "arith":
            return self.op(f"{op} {x.name}, {y.name} : {t}", x.shape, bound)
        init = self.empty(x.shape)
        return self.op(f"linalg.map {{ {op} }} ins({x.name}, {y.name} : {t}, {t}) outs({init} : {t})", x.shape, bound)

    def halved(self):
        """Through f16 or bf16."""
        x = self.pick(exact=True)
        element, name = self.r.choice(["f16", "bf16"]), self.fresh()
        self.emit(f"{name} = arith.truncf {x.name} : {x.type} to {tensor(x.shape, element)}")
        return self.op(f"arith.extf {name} : {tensor(x.shape, element)} to {x.type}", x.shape, bounds.rounded(1.01 * x.bound.low, 1.01 * x.bound.high, {}))

    def reduced(self, x, op, initial, bound):
        """[rows, columns] to [rows]"""
        rows = x.shape[:1]
        result = Value(self.fresh(), rows, bound)
        init = self.filled(rows, initial)
        self.emit(f"{result.name} = linalg.reduce {{ {op} }} ins({x.name} : {x.type}) outs({init} : {tensor(rows)}) dimensions = [1]")
        return result

    def over_rows(self, x, row, body, bound=None):
        return self.generic([x, row], ["d0, d1", "d0"], x.shape, body, bound)

    def extremes(self):
        x = self.pick()
        row = self.reduced(x, "arith.maximumf", "0xFF800000", x.bound)
        return self.over_rows(x, row, lambda n: self.on_scalars("arith.subf", *n))

    def softmax(self):
        x = self.pick()
        row = self.reduced(x, "arith.maximumf", "0xFF800000", x.bound)

        def power(n):
            below = self.on_scalars("arith.subf", *n)
            self.bounds[below] = self.bounds[below].within(-math.inf, 0.0)
            return self.on_scalars("math.exp", below)

        e = self.over_rows(x, row, power)
        total = self.reduced(e, "arith.addf", "0.0", bounds.float_sum(x.shape[1], e.bound).within(1.0, math.inf))
        return self.over_rows(e, total, lambda n: self.on_scalars("arith.divf", *n), bounds.softmax(x.shape[1], x.bound))

    def norm(self):
        x = self.pick()
        square = self.generic([x], ["d0, d1"], x.shape, lambda n: self.on_scalars("arith.mulf", n[0], n[0]))
        total = self.reduced(square, "arith.addf", "0.0", bounds.float_sum(x.shape[1], square.bound).within(0.0, math.inf))

        def body(n):
            mean = self.on_scalars("arith.addf", self.on_scalars("arith.divf", n[1], self.scalar(f"{x.shape[1]}.0")), self.scalar("0.1"))
            return self.on_scalars("arith.mulf", n[0], self.on_scalars("math.rsqrt", mean))

        return self.over_rows(x, total, body, bounds.norm(x.shape[1], x.bound))

    def gelu(self):
        x = self.pick()

        def body(n):
            erf = self.on_scalars("math.erf", self.on_scalars("arith.mulf", n[0], self.scalar("0.70710677")))
            half = self.on_scalars("arith.mulf", n[0], self.scalar("0.5"))
            return self.on_scalars("arith.mulf", half, self.on_scalars("arith.addf", erf, self.scalar("1.0")))

        return self.generic([x], ["d0, d1"], x.shape, body)

    def bias(self):
        x = self.pick()
        numbers = self.numbers.normal(0, 1, x.shape[1]).astype(F32)
        row = Value(self.constant(numbers, "f32"), x.shape[1:], Bound(float(numbers.min()), float(numbers.max())))
        if self.r.random() < 0.5:
            return self.generic([x, row], ["d0, d1", "d1"], x.shape, lambda n: self.clamped(self.on_scalars("arith.addf", *n)))
        wide = self.fresh()
        self.emit(f"{wide} = linalg.broadcast ins({row.name} : {row.type}) outs({self.empty(x.shape)} : {x.type}) dimensions = [0]")
        return self.op(f"arith.addf {x.name}, {wide} : {x.type}", x.shape, bounds.SCALARS["arith.addf"](x.bound, row.bound))

    # ---- shapes ----

    def sliced(self):
        x = self.pick()
        size = self.r.randint(1, x.shape[1])
        at, shape = self.r.randint(0, x.shape[1] - size), (x.shape[0], size)
        rows = "%m" if x.shape[0] == "m" else x.shape[0]
        return self.op(f"tensor.extract_slice {x.name}[0, {at}] [{rows}, {size}] [1, 1] : {x.type} to {tensor(shape)}", shape, x.bound)

    def inserted(self):
        x, y = self.pick(), self.pick()
        if x.shape[0] != y.shape[0] or y.shape[1] > x.shape[1]:
            return self.sliced()
        at, rows = self.r.randint(0, x.shape[1] - y.shape[1]), "%m" if x.shape[0] == "m" else x.shape[0]
        return self.op(f"tensor.insert_slice {y.name} into {x.name}[0, {at}] [{rows}, {y.shape[1]}] [1, 1] : {y.type} into {x.type}",
                       x.shape, x.bound.joined(y.bound))

    def joined(self):
        x = self.pick()
        y = self.r.choice([v for v in self.values if v.shape[0] == x.shape[0] and v.is_tame] or [x])
        shape = (x.shape[0], x.shape[1] + y.shape[1])
        if shape[1] > 64:
            return self.sliced()
        return self.op(f"tensor.concat dim(1) {x.name}, {y.name} : ({x.type}, {y.type}) -> {tensor(shape)}", shape, x.bound.joined(y.bound))

    def padded(self):
        x = self.pick()
        low, high = self.r.randint(0, 3), self.r.randint(0, 3)
        shape = (x.shape[0], x.shape[1] + low + high)
        if shape[1] > 64:
            return self.sliced()
        number = self.scalar("0.25")
        result = self.op(f"tensor.pad {x.name} low[0, {low}] high[0, {high}] {{", shape, x.bound.joined(Bound(0.25, 0.25)))
        self.emit("^bb0(%pi: index, %pj: index):")
        self.emit(f"  tensor.yield {number} : f32")
        self.emit(f"}} : {x.type} to {tensor(shape)}")
        return result

    def transposed(self):
        """There and, where the row would be dynamic, back again after some work."""
        x = self.pick()
        turned = x.shape[::-1]
        name, init, t = self.fresh(), self.empty(turned), tensor(turned)
        self.emit(f"{name} = linalg.transpose ins({x.name} : {x.type}) outs({init} : {t}) permutation = [1, 0]")
        if "m" not in turned:
            return self.op(f"arith.negf {name} : {t}", turned, bounds.SCALARS["arith.negf"](x.bound))
        work, back = self.fresh(), self.empty(x.shape)
        self.emit(f"{work} = arith.addf {name}, {name} : {t}")
        y = self.op(f"linalg.transpose ins({work} : {t}) outs({back} : {x.type}) permutation = [1, 0]",
                    x.shape, bounds.SCALARS["arith.addf"](x.bound, x.bound))
        return self.generic([y], ["d0, d1"], y.shape, lambda n: self.clamped(n[0]))

    def reshaped(self):
        x = self.pick()
        if x.shape[0] == "m" or x.shape[0] * x.shape[1] == 0:
            return self.unary()
        count, name = x.shape[0] * x.shape[1], self.fresh()
        rows = self.r.choice([n for n in range(1, count + 1) if count % n == 0])
        shape = (rows, count // rows)
        if shape[1] > 64:
            return self.unary()
        self.emit(f"{name} = tensor.collapse_shape {x.name} [[0, 1]] : {x.type} into {tensor((count,))}")
        return self.op(f"tensor.expand_shape {name} [[0, 1]] output_shape [{rows}, {shape[1]}] : {tensor((count,))} into {tensor(shape)}",
                       shape, x.bound)

    def generated(self):
        """tensor.generate from another value, its columns backwards."""
        x = self.pick()
        rows = "%m" if x.shape[0] == "m" else ""
        last = self.scalar(x.shape[1] - 1, "index")
        result = self.op(f"tensor.generate {rows} {{", x.shape, x.bound)
        self.emit("^bb0(%gi: index, %gj: index):")
        column, element = self.fresh(), self.fresh()
        self.emit(f"  {column} = arith.subi {last}, %gj : index")
        self.emit(f"  {element} = tensor.extract {x.name}[%gi, {column}] : {x.type}")
        self.emit(f"  tensor.yield {element} : f32")
        self.emit(f"}} : {x.type}")
        return result

    # ---- quantized ----

    def quantized(self, x, formats):
        """%q of x, by constant or measured scales; returns its name, its Type and the bound of its value."""
        r, format = self.r, FORMATS[self.r.choice(formats)]
        name = self.fresh()
        if r.random() < 0.4:
            has_zero = format.is_integer and not format.is_signed
            block = r.choice([(), (1, None)])
            if block:
                block = tuple(1 if size == 1 else entry for entry, size in zip(block, x.shape))
            type_ = Type(format, "f32", format if has_zero and format.bits == 8 else None, block=block)
            self.emit(f"{name} = qlow.quantize_dynamic {x.name} : {x.type} -> {tensor(x.shape, type_)}")
            return name, type_, nearest(x, x.bound.limit)
        type_ = Type(format, r.choice(["f32", "f16"]), format if format.is_integer and r.random() < 0.5 else None)
        scale = round_to(type_.scale, F32(8 / float(format.max) * r.choice([0.5, 1, 2])))
        parts = Quantized(type_, np.zeros((), int), np.asarray(scale), np.array(self.numbers.integers(0, format.count))).parts(False)
        names = [self.constant(part.array, part.element) for part in parts]
        types = [x.type, *(tensor(part.array.shape, part.element) for part in parts)]
        self.emit(f"{name} = qlow.quantize {', '.join([x.name, *names])} : ({', '.join(types)}) -> {tensor(x.shape, type_)}")
        return name, type_, nearest(x, float(scale))

    def requantized(self):
        x = self.pick(exact=True)
        name, type_, bound = self.quantized(x, list(FORMATS))
        return self.op(f"qlow.dequantize {name} : {tensor(x.shape, type_)} -> {x.type}", x.shape, bound)

    def quantized_around(self):
        """A quantized value of constant scales through control flow or a function, and dequantized behind it."""
        x, y = self.pick(exact=True), self.pick(exact=True)
        y = y if y.shape == x.shape else self.pick(exact=True, shape=x.shape)
        format = FORMATS[self.r.choice(list(FORMATS))]
        type_ = Type(format, self.r.choice(["f32", "bf16"]), format if format.is_integer else None)
        scale = np.asarray(round_to(type_.scale, F32(8 / float(format.max))))
        parts = Quantized(type_, np.zeros((), int), scale, np.array(format.count // 3)).parts(False)
        constants = [self.constant(part.array, part.element) for part in parts]
        bound = nearest(x, float(scale)).joined(nearest(y, float(scale)))
        kinds, spelled = [tensor(part.array.shape, part.element) for part in parts], tensor(x.shape, type_)

        def quantize(value):
            name = self.fresh()
            self.emit(f"{name} = qlow.quantize {', '.join([value, *constants])} : ({', '.join([x.type, *kinds])}) -> {spelled}")
            return name

        def halve(name):
            """An op on a quantized value, in f32."""
            value, sum_ = self.fresh(), self.fresh()
            self.emit(f"{value} = qlow.dequantize {name} : {spelled} -> {x.type}")
            self.emit(f"{sum_} = arith.maximumf {value}, {y.name} : {x.type}")
            return quantize(sum_)

        way, q, result = self.r.choice(["if", "for", "select", "switch", "call"]), quantize(x.name), self.fresh()
        if way == "for":
            low, high, step = (self.scalar(n, "index") for n in (0, self.r.choice([0, 1, 3]), 1))
            carried = self.fresh()
            self.emit(f"{result} = scf.for %i{self.counter} = {low} to {high} step {step} iter_args({carried} = {q}) -> ({spelled}) {{")
            self.emit(f"  scf.yield {halve(carried)} : {spelled}")
            self.emit("}")
        elif way == "select":
            other = halve(q)
            self.emit(f"{result} = arith.select {self.condition()}, {q}, {other} : {spelled}")
        elif way == "if":
            condition = self.condition()
            self.emit(f"{result} = scf.if {condition} -> ({spelled}) {{")
            self.emit(f"  scf.yield {halve(q)} : {spelled}")
            self.emit("} else {")
            self.emit(f"  scf.yield {q} : {spelled}")
            self.emit("}")
        elif way == "switch":
            size = self.size()
            self.emit(f"{result} = scf.index_switch {size} -> {spelled}")
            self.emit("case 3 {")
            self.emit(f"  scf.yield {halve(q)} : {spelled}")
            self.emit("}")
            self.emit("default {")
            self.emit(f"  scf.yield {q} : {spelled}")
            self.emit("}")
        else:
            helper = f"@{self.name}_helper{self.counter}"
            self.helpers += f"func.func private {helper}(%q: {spelled}) -> ({x.type}, {spelled}) {{\n"
            self.helpers += f"  %y = qlow.dequantize %q : {spelled} -> {x.type}\n  return %y, %q : {x.type}, {spelled}\n}}\n\n"
            both = self.fresh()
            self.emit(f"{both}:2 = func.call {helper}({q}) : ({spelled}) -> ({x.type}, {spelled})")
            self.values.append(Value(f"{both}#0", x.shape, bound))
            result = f"{both}#1"
        return self.op(f"qlow.dequantize {result} : {spelled} -> {x.type}", x.shape, bound)

    def matmul(self):
        r, x = self.r, self.pick()
        n, k = r.choice(COLUMNS), x.shape[1]
        transposed = r.random() < 0.5
        shape = (n, k) if transposed else (k, n)
        format = FORMATS[r.choice(["i8", "i4", "u4", "nf4", "f8E4M3FN", r.choice(list(FORMATS))])]
        type_ = Type(format, r.choice(["f32", "f16", "bf16"]), format if format.is_integer and r.random() < 0.3 else None,
                     block=draw_block(r, shape))
        weight = draw_tensor(r, self.numbers, type_, shape)
        names, types = [], []
        for part in weight.parts():
            names.append(self.constant(part.array, part.element))
            types.append(tensor(part.array.shape, part.element))
        w, spelled = self.fresh(), tensor(shape, type_)
        self.emit(f"{w} = qlow.compose {', '.join(names)} : ({', '.join(types)}) -> {spelled}")
        left, left_type, left_bound, exact = x.name, x.type, x.bound, False
        if not x.loose and r.random() < 0.7:
            left, left_q, left_bound = self.quantized(x, ["i8", "u8"])
            left_type = tensor(x.shape, left_q)
            exact = format.sums_exactly and type_.is_constant_along(1 if transposed else 0, shape) and left_q.is_constant_along(1, x.shape)
        result, largest = (x.shape[0], n), max(1.0, float(np.abs(weight.values()).max()))
        bound = bounds.float_sum(k, left_bound, Bound(-largest, largest))
        words = "transpose_rhs " * transposed
        y = self.op(f"qlow.matmul {words}{left}, {w} : {left_type}, {spelled} -> {tensor(result)}",
                    result, Bound(bound.low, bound.high) if exact else bound)
        factor = self.scalar(f"{float(F32(1 / (k * largest))):.9e}")
        return self.generic([y], ["d0, d1"], result, lambda names: self.clamped(self.on_scalars("arith.mulf", names[0], factor)))

    def product(self):
        """linalg.matmul of two values that fit."""
        x = self.pick()
        w = self.pick(shape=(x.shape[1], self.r.choice(COLUMNS)))
        result = (x.shape[0], w.shape[1])
        init = self.filled(result, "0.0")
        y = self.op(f"linalg.matmul ins({x.name}, {w.name} : {x.type}, {w.type}) outs({init} : {tensor(result)}) -> {tensor(result)}",
                    result, bounds.float_sum(x.shape[1], x.bound, w.bound))
        factor = self.scalar(f"{1 / (8.0 * x.shape[1]):.9e}")
        return self.generic([y], ["d0, d1"], result, lambda names: self.on_scalars("arith.mulf", names[0], factor))

    # ---- control ----

    def body(self, shape, steps, carried):
        """Some ops in a region of its own; a value of `shape` at its end. What is made inside stays inside."""
        outside = list(self.values)
        self.values += carried
        self.depth += 1
        for _ in range(steps):
            self.step()
        last = self.pick(shape=shape)
        self.depth -= 1
        self.values = outside
        return last

    def looped(self):
        x = self.pick()
        steps = self.r.choice([0, 1, 2, 3])
        counts, carried = [self.scalar(n, "index") for n in (0, steps, 1)], self.carried(x.shape)
        result = Value(self.fresh(), x.shape, None)
        self.emit(f"{result.name} = scf.for %i{self.counter} = {counts[0]} to {counts[1]} step {counts[2]} "
                  f"iter_args({carried.name} = {x.name}) -> ({x.type}) {{")
        last = self.body(x.shape, self.r.randint(1, 3), [carried])
        self.emit(f"  scf.yield {last.name} : {x.type}")
        self.emit("}")
        result.bound = bounds.after(steps, carried.name, x.bound, last.bound)
        self.values.append(result)
        return result

    def carried(self, shape):
        """What a loop's body sees of its value: any that a body may end with, with a difference of its own."""
        name = self.fresh()
        return Value(name, shape, Bound(-LIMIT, LIMIT, {name: 1.0}))

    def condition(self):
        """On an element, or on a size where there may be none."""
        y, condition = self.pick(exact=True), self.fresh()
        if y.shape[0] == "m":
            limit = self.scalar(self.r.choice([1, 3, 6]), "index")
            self.emit(f"{condition} = arith.cmpi ult, %m, {limit} : index")
        else:
            place, element, half = self.scalar(0, "index"), self.fresh(), self.scalar("0.5")
            self.branches_on_data = True  # which devices refuse
            self.emit(f"{element} = tensor.extract {y.name}[{place}, {place}] : {y.type}")
            self.emit(f"{condition} = arith.cmpf olt, {element}, {half} : f32")
        return condition

    def size(self):
        return "%m" if self.dynamic else self.scalar(self.r.choice([2, 3]), "index")

    def branched(self):
        x, condition = self.pick(), self.condition()
        z = self.pick(shape=x.shape)
        if self.r.random() < 0.3:
            return self.op(f"arith.select {condition}, {x.name}, {z.name} : {x.type}", x.shape, x.bound.joined(z.bound))
        result, ends = Value(self.fresh(), x.shape, None), []
        self.emit(f"{result.name} = scf.if {condition} -> ({x.type}) {{")
        for last in range(2):
            value = self.body(x.shape, self.r.randint(0, 2), [])
            self.emit(f"  scf.yield {value.name} : {x.type}")
            self.emit("}" if last else "} else {")
            ends.append(value.bound)
        result.bound = ends[0].joined(ends[1])
        self.values.append(result)
        return result

    def repeated(self):
        """scf.while, counting in one of its values."""
        x = self.pick()
        steps = self.r.choice([0, 1, 2, 3])
        zero, one, end = (self.scalar(n, "index") for n in (0, 1, steps))
        count, carried, more, both = self.fresh(), self.carried(x.shape), self.fresh(), self.fresh()
        types = f"index, {x.type}"
        self.emit(f"{both}:2 = scf.while ({count} = {zero}, {carried.name} = {x.name}) : ({types}) -> ({types}) {{")
        self.emit(f"  {more} = arith.cmpi ult, {count}, {end} : index")
        self.emit(f"  scf.condition({more}) {count}, {carried.name} : {types}")
        self.emit("} do {")
        after, inner, next_ = self.fresh(), self.carried(x.shape), self.fresh()
        self.emit(f"^bb0({after}: index, {inner.name}: {x.type}):")
        last = self.body(x.shape, self.r.randint(1, 2), [inner])
        self.emit(f"  {next_} = arith.addi {after}, {one} : index")
        self.emit(f"  scf.yield {next_}, {last.name} : {types}")
        self.emit("}")
        self.values.append(Value(f"{both}#1", x.shape, bounds.after(steps, inner.name, x.bound, last.bound)))
        return self.values[-1]

    def integers(self):
        """Through i32 and back."""
        x = self.pick(exact=True)
        turned, wide, names = self.fresh(), tensor(x.shape, "i32"), [self.fresh() for _ in range(3)]
        self.emit(f"{turned} = arith.negf {x.name} : {x.type}")
        for name, value in zip(names, (x.name, turned)):
            self.emit(f"{name} = arith.fptosi {value} : {x.type} to {wide}")
        op = self.r.choice(["arith.muli", "arith.subi", "arith.xori", "arith.maxsi", "arith.minui"])
        self.emit(f"{names[2]} = {op} {names[0]}, {names[1]} : {wide}")
        y = self.op(f"arith.sitofp {names[2]} : {wide} to {x.type}", x.shape, Bound(-(2.0**31), 2.0**31))
        return self.generic([y], ["d0, d1"], x.shape, lambda n: self.clamped(n[0]))

    def step(self):
        ops = [self.unary, self.binary, self.binary, self.named, self.halved, self.extremes, self.softmax, self.norm, self.gelu,
               self.bias, self.sliced, self.inserted, self.joined, self.padded, self.transposed, self.reshaped, self.generated,
               self.integers, self.requantized, self.quantized_around, self.quantized_around, self.matmul, self.matmul, self.matmul, self.product]
        if self.depth < DEPTH:
            ops += [self.looped, self.branched, self.branched, self.repeated]
        return self.r.choice(ops)()

    # ---- the whole ----

    def attributes(self, name, shape):
        dims = ", ".join('"m"' if size == "m" else str(size) for size in shape)
        return f'{{qlow.name = "{name}", qlow.dims = [{dims}]}}' if "m" in shape else f'{{qlow.name = "{name}"}}'

    def write(self):
        """Returns the function's text and its results."""
        r = self.r
        for i in range(r.randint(1, 3)):
            shape = ("m" if self.dynamic and (i == 0 or r.random() < 0.7) else r.choice([1, 2, 3, 5]), r.choice(COLUMNS))
            self.arguments.append(Value(f"%x{i}", shape, Bound(-8.0, 8.0)))
        self.values = list(self.arguments)
        if self.dynamic:
            self.emit("%zero = arith.constant 0 : index")
            self.emit(f"%m = tensor.dim %x0, %zero : {self.arguments[0].type}")
        made = len(self.values)
        for _ in range(r.randint(3, 9)):
            self.step()
        results = self.values[made:]
        results = [results[-1], *r.sample(results[:-1], min(len(results) - 1, r.randint(0, 2)))]
        arguments = ", ".join(f"{v.name}: {v.type} {self.attributes(v.name[1:], v.shape)}" for v in self.arguments)
        types = ", ".join(f"{v.type} {self.attributes(f'y{i}', v.shape)}" for i, v in enumerate(results))
        body = "\n".join(self.lines)
        return (f"{self.helpers}func.func @{self.name}({arguments})\n    -> ({types}) {{\n{body}\n"
                f"  return {', '.join(v.name for v in results)} : {', '.join(v.type for v in results)}\n}}\n\n"), results

    def sample(self, folder):
        text, results = self.write()
        path = os.path.join(folder, f"{self.name}.mlir")
        with open(path, "w") as file:
            file.write(text)
        calls = []
        for m in self.r.sample(ROWS, 2) if self.dynamic else [0]:
            sizes = lambda v: tuple(m if size == "m" else size for size in v.shape)
            inputs = {v.name[1:]: (self.numbers.normal(0, 2, sizes(v))).clip(-8, 8).astype(F32) for v in self.arguments}
            outputs = {f"y{i}": (sizes(v), F32) for i, v in enumerate(results)}
            want, faults = Reference(path).call(self.name, {}, inputs, outputs, True, 0)
            if faults:
                sys.exit(f"seed {self.seed}, {self.name}: {'; '.join(faults)}")
            calls.append(Call(f"M = {m}", {"m": m} if self.dynamic else {}, inputs, outputs, check_of(results, want)))
        os.remove(path)
        return Sample(self.name, text, calls, f"{len(self.lines)} lines{', dynamic M' * self.dynamic}", for_reference=False,
                      for_device=not self.branches_on_data)


def nearest(x, scale):
    """The bound of x quantized and dequantized: 0 is a value of most formats, so no value lies twice as far as x; others
    have one of at most the scale."""
    limit = 1.01 * max(2 * x.bound.limit, scale)
    return Bound(-limit, limit)


def check_of(results, want):
    def check(got):
        for i, value in enumerate(results):
            found, expected, bound = got[f"y{i}"], want[f"y{i}"], value.bound
            if value.loose:
                apart = np.abs(found.astype(np.float64) - expected)
                wrong = "" if (apart <= bound.difference[""]).all() else f"differs by up to {apart.max()}, allowed are {bound.difference['']}"
                if not (np.abs(expected) <= bound.limit).all():
                    wrong = f"expected at most {bound.limit}, found {np.abs(expected).max()}"
            else:
                both = np.isnan(found) & np.isnan(expected)
                wrong = difference(np.where(both, expected, found), expected)
            if wrong:
                return f"result {i} ({value.name}{', loose' * value.loose}): {wrong}"
        return ""
    return check


def main():
    parser = argparse.ArgumentParser()
    add_run_options(parser, samples=1000, out="build/programs")
    options = parser.parse_args()
    return run_all(options, "Fuzz/programs.py", lambda index: Program(f"s{index}", options.seed).sample(options.out))


if __name__ == "__main__":
    sys.exit(main())
