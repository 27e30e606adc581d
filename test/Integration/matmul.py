# Integer matmuls of random shape, signs, scales and epilogues give the bits that numpy computes from the law, on every
# target this machine can run and in the reference evaluator, and touch nothing beside their buffers.
#
# RUN: python3 %s --samples 250 --spread --seconds 120 --out %t
#
# All of it (500 samples a target):   python3 test/Integration/matmul.py --samples 500
# One failure again:                  the command that a failure prints
# For another machine:                --compile-only --targets znver4 here, --reuse --targets znver4 there
#
# M, N and K are dealt from one deck each, so every edge comes up; at most one of them is above 257. Each sample is run
# with its buffers against the page behind and again against the page before, the second time as three tasks. Expected
# values are computed here, from docs/Semantics.md alone: f32 operations in its order, each rounded once.

import argparse
import os
import sys
from dataclasses import dataclass

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

import numpy as np
from samples import Call, Sample, add_run_options, difference, rng_of, run_all

SIZES = [1, 2, 3, 5, 15, 16, 17, 31, 64, 65, 100, 129, 257, 4096]
F32 = np.float32
RANGES = {"u8": (0, 255), "i8": (-128, 127)}
REFERENCE_PRODUCTS = 2_000_000  # above, the evaluator takes too long
RESULTS = ["i32", "f32", "f32_bias", "f32_residual", "codes", "codes_bias", "quantize", "half_even", "single", "double"]


# ---- samples ----------------------------------------------------------------------------------------------------------


@dataclass
class Side:
    """One operand: its type, its values and how it comes to the function."""

    shape: tuple  # as stored, transposition done
    format: str
    zero_format: str  # or ""
    block: list  # or []
    codes: np.ndarray
    scale: np.ndarray
    zero: np.ndarray  # or None
    how: str  # constant | composed (codes are the argument, scale and zero constant) | argument
    dims: list  # names or sizes for qlow.dims

    def type(self):
        zero = f", zero = {self.zero_format}" if self.zero_format else ""
        block = f", block = [{', '.join(map(str, self.block))}]" if self.block else ""
        return f"!qlow.q<{self.format} : f32{zero}{block}>"


@dataclass
class Product:
    name: str
    m: int
    n: int
    k: int
    dynamic: bool
    batch: int  # 0: none
    transpose: tuple  # lhs, rhs
    lhs: Side
    rhs: Side
    result: str
    relu: bool
    bias: np.ndarray  # or None
    residual: bool
    out_format: str  # of codes
    out_scale: np.float32
    out_zero: int  # or None
    multiplier: np.ndarray  # of requantize
    shift: np.ndarray
    whole_result: bool  # the quantized tensor itself is returned, not its codes
    numbers: np.random.Generator
    recipe: str = ""  # or what selection writes

    def __str__(self):
        sides = " x ".join(f"{s.type()} {s.how}" for s in (self.lhs, self.rhs))
        more = [f"batch {self.batch}"] * bool(self.batch) + ["transpose lhs"] * self.transpose[0]
        more += ["transpose rhs"] * self.transpose[1] + ["relu"] * self.relu + ["dynamic M"] * self.dynamic
        return f"{self.m}x{self.n}x{self.k}, {sides} -> {self.result} {self.out_format} {' '.join(more)}"


class Decks:
    """Deals every size before one comes again."""

    def __init__(self, random_):
        self.random, self.cards = random_, {"m": [], "n": [], "k": []}

    def deal(self):
        shape = {}
        for name, cards in self.cards.items():
            if not cards:
                cards.extend(self.random.sample(SIZES, len(SIZES)))
            shape[name] = cards.pop()
        large = [name for name in shape if shape[name] > 257]
        for name in large[1:]:  # back under the deck
            self.cards[name].insert(0, shape[name])
            shape[name] = self.random.choice(SIZES[:-1])
        return shape["m"], shape["n"], shape["k"]


def draw_codes(r, numbers, format, shape):
    low, high = RANGES[format]
    pattern = r.choice(["random"] * 5 + ["low", "high", "alternating", "small"])
    if pattern == "random":
        codes = numbers.integers(low, high + 1, shape)
    elif pattern == "small":
        codes = numbers.integers(max(low, -3), 4, shape)
    elif pattern == "alternating":
        codes = np.where(np.arange(np.prod(shape)) % 2 == 0, low, high).reshape(shape)
    else:
        codes = np.full(shape, low if pattern == "low" else high)
    return codes.astype(np.uint8 if format == "u8" else np.int8)


def draw_scale(r, numbers, shape):
    if r.random() < 0.3:  # powers of two make exact ties
        return np.exp2(numbers.integers(-6, 2, shape)).astype(F32)
    return np.exp(numbers.uniform(-7, 1, shape)).astype(F32)


def draw_side(r, numbers, is_lhs, rows, k, batch, k_first, dynamic, constant=False):
    """`rows`: M of the left side, N of the right one; a scale for each of them or one for all."""
    mine = ("m" if dynamic else rows, k)
    sizes = (rows, k)
    row_at = 0
    if k_first:
        mine, sizes, row_at = mine[::-1], sizes[::-1], 1
    if batch:
        mine, sizes, row_at = (batch, *mine), (batch, *sizes), row_at + 1
    many = r.random() < (0.2 if is_lhs else 0.6)
    block, scale_shape = [], ()
    if many:
        block = ["*"] * len(sizes)
        block[row_at] = 1
        block = [1 if size == 1 else entry for size, entry in zip(mine, block)]
        scale_shape = tuple(1 if entry == "*" else size for size, entry in zip(sizes, block))
    format = r.choice(["u8", "i8"])
    has_zero = r.random() < 0.5
    low, high = RANGES[format]
    zero_shape = scale_shape or (1,)
    zero = None
    if has_zero:
        zero = np.full(zero_shape, r.choice([low, high])) if r.random() < 0.3 else numbers.integers(low, high + 1, zero_shape)
        zero = zero.astype(np.uint8 if format == "u8" else np.int8)
    how = r.choice(["argument", "composed"]) if is_lhs or r.random() < 0.4 and not constant else "constant"
    if how == "constant" and int(np.prod(sizes)) > 1 << 20:
        how = "composed"  # text holds no larger weights
    if dynamic and many:
        how = "argument"  # its scales have a dynamic shape
    return Side(sizes, format, format if has_zero else "", block, draw_codes(r, numbers, format, sizes),
                draw_scale(r, numbers, scale_shape), zero, how, list(mine))


def draw_sample(seed, index, shape, transposes_lhs=True, constant_rhs=False):
    r = rng_of(seed, index)
    numbers = np.random.default_rng([seed, index])
    m, n, k = shape
    batch = r.choice([0] * 8 + [2, 3]) if max(shape) <= 257 else 0
    transpose = (r.random() < 0.15 and transposes_lhs, r.random() < 0.25)
    dynamic = r.random() < 0.4
    lhs = draw_side(r, numbers, True, m, k, batch, transpose[0], dynamic)
    rhs = draw_side(r, numbers, False, n, k, batch, not transpose[1], False, constant_rhs)
    result = r.choice(RESULTS)
    scale = float(np.median(lhs.scale)) * float(np.median(rhs.scale))
    spread = scale * 6000 * np.sqrt(k)  # about one standard deviation of the result
    bias = None
    if "bias" in result or result in ("quantize", "half_even"):
        if result in ("f32_bias", "quantize"):
            bias = numbers.normal(0, spread, n).astype(F32)
        else:
            bias = numbers.integers(-(2**20), 2**20, n).astype(np.int32)
    out_format = r.choice(["u8", "i8"])
    low, high = RANGES[out_format]
    out_zero = r.choice([None, low, high, r.randint(low, high)])
    out_scale = F32(spread / r.choice([4, 30, 100, 300]))
    if r.random() < 0.3:
        out_scale = F32(2.0 ** np.round(np.log2(out_scale)))
    per_column = r.random() < 0.5
    multiplier = shift = None
    if result == "half_even":
        multiplier = (scale / out_scale * numbers.uniform(0.5, 2, n if per_column else ())).astype(F32)
    elif result in ("single", "double"):
        multiplier = numbers.integers(2**30, 2**31, n if per_column else ()).astype(np.int32)
        shift = np.full(multiplier.shape, 31 + int(np.clip(np.round(np.log2(6000 * np.sqrt(k) / 60)), 0, 30))).astype(np.int8)
    if out_format == "u8" and result == "single" and out_zero is None:
        out_zero = 128
    return Product(f"s{index}", m, n, k, dynamic, batch, transpose, lhs, rhs, result,
                  relu=result in ("f32_bias", "f32_residual", "quantize", "half_even") and r.random() < 0.5, bias=bias,
                  residual=result == "f32_residual", out_format=out_format, out_scale=out_scale, out_zero=out_zero,
                  multiplier=multiplier, shift=shift, whole_result=r.random() < 0.3, numbers=numbers)


# ---- MLIR ------------------------------------------------------------------------------------------------------------


def tensor(shape, element, dynamic_at=None):
    sizes = ["?" if at == dynamic_at else str(size) for at, size in enumerate(shape)]
    return f"tensor<{'x'.join([*sizes, element])}>"


def constant(name, array, element):
    little = np.array(array, order="C")
    return f'  %{name} = arith.constant dense<"0x{little.tobytes().hex()}"> : {tensor(little.shape, element)}\n'


class Writer:
    """The function of one sample, and the C fields it takes and gives."""

    def __init__(self, sample):
        self.sample, self.body, self.arguments = sample, "", []
        self.dynamic_at = 1 if sample.batch else 0  # of the result
        self.inputs, self.constants = [], {}

    def attributes(self, name, dims):
        listed = ", ".join(f'"{dim}"' if isinstance(dim, str) else str(dim) for dim in dims)
        return f'{{qlow.name = "{name}", qlow.dims = [{listed}]}}'

    def side(self, name, side):
        """Makes the value %name; returns its type."""
        dynamic_at = side.dims.index("m") if "m" in side.dims else None
        type_ = tensor(side.shape, side.type(), dynamic_at)
        if side.how == "argument":
            self.arguments.append(f"%{name}: {type_} {self.attributes(name, side.dims)}")
            self.inputs += [f"{name}_codes", f"{name}_scale"] + [f"{name}_zero"] * bool(side.zero_format)
            return type_
        parts = [(f"{name}_codes", tensor(side.shape, "i8", dynamic_at))]
        if side.how == "constant":
            self.body += constant(f"{name}_codes", side.codes, "i8")
        else:
            self.arguments.append(f"%{name}_codes: {parts[0][1]} {self.attributes(name + '_codes', side.dims)}")
            self.inputs.append(f"{name}_codes")
        parts += self.parts(name, side.scale, side.zero)
        self.body += f"  %{name} = qlow.compose {self.uses(parts)} : ({self.types(parts)}) -> {type_}\n"
        return type_

    def parts(self, name, scale, zero):
        """Constants of a scale and a zero point."""
        self.body += constant(f"{name}_scale", scale, "f32")
        parts = [(f"{name}_scale", tensor(scale.shape, "f32"))]
        if zero is not None:
            self.body += constant(f"{name}_zero", zero, "i8")
            parts.append((f"{name}_zero", tensor(zero.shape, "i8")))
        return parts

    def uses(self, parts):
        return ", ".join(f"%{name}" for name, _ in parts)

    def types(self, parts):
        return ", ".join(type_ for _, type_ in parts)

    def elementwise(self, value, type_, element, op, extra=None):
        """%value by a scalar op, with %extra of the same shape or with zero."""
        rank = len(self.result_shape())
        dims = ", ".join(f"d{i}" for i in range(rank))
        map_ = f"affine_map<({dims}) -> ({dims})>"
        ins = [value] + ([extra] if extra else [])
        zero = "0" if element == "i32" else "0.0"
        self.body += f"  %{value}_c = arith.constant {self.dynamic_at} : index\n" if self.sample.dynamic else ""
        size = ""
        if self.sample.dynamic:
            self.body += f"  %{value}_m = tensor.dim %{value}, %{value}_c : {type_}\n"
            size = f"%{value}_m"
        scalars = "".join(f"%e{i}: {element}, " for i in range(len(ins)))
        self.body += f"""\
  %{value}_e = tensor.empty({size}) : {type_}
  %{value}_z = arith.constant {zero} : {element}
  %{value}_r = linalg.generic {{indexing_maps = [{', '.join([map_] * (len(ins) + 1))}],
      iterator_types = [{', '.join(['"parallel"'] * rank)}]}}
      ins({', '.join('%' + name for name in ins)} : {', '.join([type_] * len(ins))}) outs(%{value}_e : {type_}) {{
  ^bb0({scalars}%o: {element}):
    %t = {op} %e0, {'%e1' if extra else f'%{value}_z'} : {element}
    linalg.yield %t : {element}
  }} -> {type_}
"""
        return f"{value}_r"

    def result_shape(self):
        s = self.sample
        return (*([s.batch] if s.batch else []), s.m, s.n)

    def result_type(self, element):
        return tensor(self.result_shape(), element, self.dynamic_at if self.sample.dynamic else None)

    def result_dims(self):
        dims = list(self.result_shape())
        if self.sample.dynamic:
            dims[self.dynamic_at] = "m"
        return dims

    def matmul(self, sides, element, parts=()):
        s = self.sample
        bias = ""
        if s.bias is not None:
            kind = "f32" if s.bias.dtype == F32 else "i32"
            self.body += constant("bias", s.bias, kind)
            bias = f" bias(%bias : {tensor(s.bias.shape, kind)})"
        words = " ".join(["transpose_lhs"] * s.transpose[0] + ["transpose_rhs"] * s.transpose[1])
        given = f" parts({self.uses(parts)} : {self.types(parts)})" if parts else ""
        recipes = f" recipes <[{s.recipe}]>" if s.recipe else ""
        self.body += f"  %acc = qlow.matmul {words} %x, %w{bias}{given}{recipes} : {sides[0]}, {sides[1]} -> {self.result_type(element)}\n"
        return "acc"

    def function(self):
        s = self.sample
        sides = self.side("x", s.lhs), self.side("w", s.rhs)
        out_type = f"!qlow.q<{s.out_format} : f32{'' if s.out_zero is None else ', zero = ' + s.out_format}>"
        out_zero = None if s.out_zero is None else np.array([s.out_zero % 256], np.uint8)
        quantized = s.result not in ("i32", "f16", "f32", "f32_bias", "f32_residual")
        if quantized:
            out_parts = self.parts("out", np.array(s.out_scale), out_zero)
        if s.result in ("i32", "f16"):
            value, type_ = self.matmul(sides, s.result), self.result_type(s.result)
        elif not quantized:
            value, type_ = self.matmul(sides, "f32"), self.result_type("f32")
            if s.residual:
                self.arguments.append(f"%residual: {type_} {self.attributes('residual', self.result_dims())}")
                self.inputs.append("residual")
                value = self.elementwise(value, type_, "f32", "arith.addf", "residual")
            if s.relu:
                value = self.elementwise(value, type_, "f32", "arith.maximumf")
        else:
            type_ = self.result_type(out_type)
            value = self.quantized(sides, out_type, out_parts)
        if quantized and not s.whole_result:
            codes = self.result_type("i8")
            types = ", ".join([codes] + [part for _, part in out_parts])
            self.body += f"  %codes:{1 + len(out_parts)} = qlow.decompose %{value} : ({type_}) -> ({types})\n"
            value, type_ = "codes#0", codes
        range_ = " attributes {qlow.range = {m = [0, 4096]}}" if s.dynamic else ""
        return (f"// {s}\nfunc.func @{s.name}({', '.join(self.arguments)})\n"
                f"    -> ({type_} {self.attributes('y', self.result_dims())}){range_} {{\n"
                f"{self.body}  return %{value} : {type_}\n}}\n\n")

    def quantized(self, sides, out_type, out_parts):
        s = self.sample
        type_ = self.result_type(out_type)
        if s.result in ("codes", "codes_bias"):
            return self.matmul(sides, out_type, out_parts)
        if s.result == "quantize":
            value = self.matmul(sides, "f32")
            if s.relu:
                value = self.elementwise(value, self.result_type("f32"), "f32", "arith.maximumf")
            types = ", ".join([self.result_type("f32")] + [part for _, part in out_parts])
            self.body += f"  %q = qlow.quantize %{value}, {self.uses(out_parts)} : ({types}) -> {type_}\n"
            return "q"
        value = self.matmul(sides, "i32")
        if s.relu:
            value = self.elementwise(value, self.result_type("i32"), "i32", "arith.maxsi")
        element = "f32" if s.result == "half_even" else "i32"
        self.body += constant("mult", s.multiplier, element)
        shift = ""
        if s.shift is not None:
            self.body += constant("shift", s.shift, "i8")
            shift = f" shift(%shift : {tensor(s.shift.shape, 'i8')})"
        self.body += (f"  %q = qlow.requantize {s.result} %{value}, %mult{shift} parts({self.uses(out_parts)} : "
                      f"{self.types(out_parts)}) : {self.result_type('i32')}, {tensor(s.multiplier.shape, element)} -> {type_}\n")
        return "q"


# ---- the law in numpy ------------------------------------------------------------------------------------------------


def wrap(values):
    """Exact integers to i32 mod 2^32."""
    return values.astype(np.int64).astype(np.int32)


def saturate(values, format):
    low, high = RANGES[format]
    return np.clip(values, low, high).astype(np.int64).astype(np.uint8 if format == "u8" else np.int8)


def matrix(side, transposed, codes):
    """(codes - zero) as f64, and the scale, both as [.., rows, columns] of the product."""
    values = codes.astype(np.float64)
    if side.zero is not None:
        values = values - side.zero.astype(np.float64)
    scale = side.scale
    return (np.swapaxes(values, -1, -2), np.swapaxes(scale, -1, -2) if scale.ndim else scale) if transposed else (values, scale)


def expected(s, codes, residual):
    """What the law says of the left side's `codes`, in the result's own type."""
    lhs = Side(**{**s.lhs.__dict__, "codes": codes})
    a, sa = matrix(lhs, s.transpose[0], codes)
    b, sb = matrix(s.rhs, s.transpose[1], s.rhs.codes)
    acc = wrap(a @ b)  # every partial sum is below 2^53
    scale = sa * sb
    assert scale.dtype == F32
    zero = s.out_zero or 0
    if s.bias is not None and s.bias.dtype == np.int32:
        acc = wrap(acc.astype(np.int64) + s.bias)
    if s.result == "i32":
        return acc
    if s.result in ("codes", "codes_bias"):
        return saturate(np.rint(acc.astype(F32) * (scale / s.out_scale)).astype(np.float64) + zero, s.out_format)
    if s.result in ("half_even", "single", "double"):
        acc = np.maximum(acc, 0) if s.relu else acc
        if s.result == "half_even":
            return saturate(np.rint(acc.astype(F32) * s.multiplier).astype(np.float64) + zero, s.out_format)
        return saturate(apply_scale_32(acc, s.multiplier, s.shift, s.result == "double") + zero, s.out_format)
    y = acc.astype(F32) * scale
    if s.result == "f16":
        with np.errstate(over="ignore"):
            return y.astype(np.float16)
    y = y + s.bias if s.bias is not None else y
    y = y + residual if s.residual else y
    y = np.maximum(y, F32(0)) if s.relu else y
    assert y.dtype == F32
    return saturate(np.rint(y / s.out_scale).astype(np.float64) + zero, s.out_format) if s.result == "quantize" else y


def apply_scale_32(values, multiplier, shift, double):
    values, shift = values.astype(np.int64), shift.astype(np.int64)
    rounding = np.int64(1) << (shift - 1)
    if double:
        rounding = rounding + np.where(shift > 31, np.where(values >= 0, 1 << 30, -(1 << 30)), 0)
    return (values * multiplier.astype(np.int64) + rounding) >> shift


# ---- calls -----------------------------------------------------------------------------------------------------------


def calls_of(s):
    """The inputs and expected result for the sample's M, and for two others and an empty one where M is dynamic."""
    r = rng_of(s.name)
    sizes = [s.m] + (r.sample([size for size in SIZES[:-1] if size != s.m], 2) + [0] if s.dynamic else [])
    for m in sizes:
        fields = {}
        variant = s
        if m != s.m:
            at = s.lhs.dims.index("m")
            shape = tuple(m if i == at else size for i, size in enumerate(s.lhs.shape))
            codes = draw_codes(r, s.numbers, s.lhs.format, shape)
            scale, zero = s.lhs.scale, s.lhs.zero
            if s.lhs.block and s.lhs.block[at] == 1:
                scale_shape = tuple(m if i == at else size for i, size in enumerate(scale.shape))
                scale = draw_scale(r, s.numbers, scale_shape)
                zero = None if zero is None else draw_codes(r, s.numbers, s.lhs.format, scale_shape)
            lhs = Side(**{**s.lhs.__dict__, "codes": codes, "scale": scale, "zero": zero, "shape": shape})
            variant = Product(**{**s.__dict__, "lhs": lhs, "m": m})
        for name, side in (("x", variant.lhs), ("w", variant.rhs)):
            fields.update({f"{name}_codes": side.codes, f"{name}_scale": side.scale, f"{name}_zero": side.zero})
        shape = (*([s.batch] if s.batch else []), m, s.n)
        fields["residual"] = s.numbers.normal(0, 100, shape).astype(F32)
        yield m, fields, expected(variant, variant.lhs.codes, fields["residual"])


def sample_of(s):
    """The function, its calls and what is expected of them."""
    writer = Writer(s)
    text, calls = writer.function(), []
    for m, fields, want in calls_of(s):
        quantized = want.dtype in (np.uint8, np.int8)
        outputs = {"y": (want.shape, want.dtype)}
        if quantized and s.whole_result:
            outputs = {"y_codes": (want.shape, want.dtype), "y_scale": ((), F32)}
            if s.out_zero is not None:
                outputs["y_zero"] = ((1,), want.dtype)
        inputs = {name: fields[name] for name in writer.inputs}
        calls.append(Call(f"M = {m}", {"m": m} if s.dynamic else {}, inputs, outputs, check_of(s, want)))
    return Sample(s.name, text, calls, str(s), for_reference=s.m * s.n * s.k <= REFERENCE_PRODUCTS)


def check_of(s, want):
    def check(got):
        if wrong := difference(got["y_codes" if "y_codes" in got else "y"], want):
            return wrong
        if got.get("y_scale", s.out_scale) != s.out_scale or ("y_zero" in got and got["y_zero"][0] != s.out_zero):
            return "scale or zero point of the result differ"
        return ""
    return check


def main():
    parser = argparse.ArgumentParser()
    add_run_options(parser, samples=500, out="build/matmul")
    options = parser.parse_args()
    decks, shapes = Decks(rng_of(options.seed)), []

    def draw(index):
        while len(shapes) <= index:
            shapes.append(decks.deal())
        return sample_of(draw_sample(options.seed, index, shapes[index]))

    return run_all(options, "Integration/matmul.py", draw)


if __name__ == "__main__":
    sys.exit(main())
