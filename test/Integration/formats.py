# Every registered number format through emitted objects: all codes decoded, all conversions, and as the weight of a matmul,
# under every kind of scale, zero point, offset and block, against what numpy computes from the law and outside sources.
#
# RUN: python3 %s --samples 160 --spread --seconds 40 --out %t
#
# Deeper:             python3 test/Integration/formats.py --samples 2000
# One failure again:  the command that a failure prints
#
# Formats are dealt from a deck, so all of them come up every 27 samples of a kind. Conversions and exact sums are equal bit
# for bit, float sums inside the law's bound. Inputs/quantized.py is the law, Inputs/samples.py runs the samples.

import argparse
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

import numpy as np
from functions import Function, of_parts, same
from objects import registered_formats
from products import Codes, Floats, Product, k_dim_of, stored_shape
from quantized import (DECODE, ENCODE, F32, FORMATS, STORED, Part, Quantized, Type, draw_block, draw_tensor, draw_type,
                       measured, round_to, tensor_type, to_f32)
from samples import add_run_options, rng_of, run_all

SIZES = [1, 2, 3, 5, 7, 15, 16, 17, 31, 33, 64, 65]
DEPTHS = [1, 2, 3, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 129, 200, 257]


# ---- conversions -----------------------------------------------------------------------------------------------------


def draw_shape(r):
    rank = r.choice([0, 1, 2, 2, 2, 3])
    return tuple(r.choice(SIZES[:6] if dim + 1 < rank else [*SIZES, 0, 100, 129]) for dim in range(rank))


def every_code(f, format):
    """All codes, as values of f32: the rows of the golden file and, of integers, their definition."""
    codes = np.resize(np.arange(format.count), format.count + 1)  # one more, so that the last byte is not full
    tensor = Quantized(Type(format, "f32"), codes, np.array(1, F32))
    type_ = f.quantized("x", tensor, {}, f.r.choice(["argument", "constant", "mixed"]))
    y = tensor_type(codes.shape, "f32")
    f.body += f"  %y = qlow.dequantize %x : {type_} -> {y}\n"
    want = format.values[codes]
    rows = DECODE[format.name]
    golden = rows[:, 1].view(F32)
    assert (np.isnan(golden) & np.isnan(want[rows[:, 0]]) | (golden.view(np.uint32) == want[rows[:, 0]].view(np.uint32))).all()
    return f.sample([("%y", y, "y", codes.shape, F32, {})], f"all codes of {format.name}", "", {}, same("y", want, "f32"))


def every_tie(f, format):
    """The inputs of the golden file, ties and special values among them, to their codes."""
    x = ENCODE[format.name][:, 0].view(F32)
    tensor = Quantized(Type(format, "f32"), ENCODE[format.name][:, 1].astype(np.int64), np.array(1, F32))
    f.argument("x", x.shape, "f32", {}, {"x": x})
    f.constant("one", tensor.scale, "f32")
    type_, packed = tensor_type(x.shape, tensor.type), tensor.parts()[0].array
    f.body += f"  %q = qlow.quantize %x, %one : ({tensor_type(x.shape, 'f32')}, tensor<f32>) -> {type_}\n"
    f.body += f"  %y, %s = qlow.decompose %q : ({type_}) -> ({tensor_type(packed.shape, 'i8')}, tensor<f32>)\n"
    return f.sample([("%y", tensor_type(packed.shape, "i8"), "y", packed.shape, packed.dtype, {})],
                    f"golden inputs to {format.name}", "", {}, same("y", packed))


def dequantize(f, format):
    shape = draw_shape(f.r)
    type_ = draw_type(f.r, format, shape)
    tensor = draw_tensor(f.r, f.numbers, type_, shape, spread=f.r.choice([0, 0, 3, 60]), finite=False)
    how = f.r.choice(["argument", "constant", "mixed"]) if np.prod(shape) else "argument"
    element = f.r.choice(["f32", "f32", "f16", "bf16"])
    spelled, y = f.quantized("x", tensor, {}, how), tensor_type(shape, element)
    f.body += f"  %y = qlow.dequantize %x : {spelled} -> {y}\n"
    return f.sample([("%y", y, "y", shape, STORED[element], {})], f"dequantize {how} {spelled} to {element}", "", {},
                    same("y", round_to(element, tensor.values()), element))


def draw_floats(f, tensor, shape):
    """Inputs of a quantization: values and midpoints of codes under its scales, and beyond."""
    r, numbers, format = f.r, f.numbers, tensor.type.format
    values = np.sort(format.values[format.finite])
    middles = np.concatenate([values, (values[1:] + values[:-1]) / 2, [values[0] * 2, values[-1] * 2]])
    v = numbers.choice(middles, shape).astype(F32)
    if r.random() < 0.5:
        v = v * numbers.choice([1, 1, 1 + 2.0**-23, 1 - 2.0**-23], shape).astype(F32)
    x = tensor.scales(shape) * (v - tensor.zeros(shape) if tensor.type.zero else v) if tensor.scale is not None else v
    x = x + tensor.offsets(shape) if tensor.type.offset else x
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-42, -1e-42, 3e38, -3e38, 1, -1], F32)
    return np.where(numbers.random(shape) < r.choice([0, 0.02, 0.2]), numbers.choice(special, shape), x).astype(F32)


def quantize(f, format):
    shape = draw_shape(f.r)
    tensor = draw_tensor(f.r, f.numbers, draw_type(f.r, format, shape), shape, spread=f.r.choice([0, 0, 3, 60]))
    element = f.r.choice(["f32", "f32", "f16", "bf16"])
    x = round_to(element, draw_floats(f, tensor, shape))
    f.argument("x", shape, element, {}, {"x": x})
    names, types = f.parts("q", tensor, False, f.r.choice(["argument", "constant", "mixed"]) if np.prod(shape) else "argument")
    type_ = tensor_type(shape, tensor.type)
    f.body += f"  %y = qlow.quantize %x{''.join(', ' + n for n in names)} : ({', '.join([tensor_type(shape, element), *types])}) -> {type_}\n"
    want = Quantized(tensor.type, tensor.quantize(to_f32(element, x)), tensor.scale, tensor.zero, tensor.offset)
    return give_quantized(f, "%y", want, f"quantize {element} to {type_}")


def give_quantized(f, value, want, description):
    type_ = tensor_type(want.codes.shape, want.type)
    parts = want.parts()
    def check(got):
        for part in parts:
            if wrong := same(f"y_{part.suffix}", part.array, part.element if part.element in ("f32", "f16", "bf16") else None)(got):
                return f"{part.suffix}: {wrong}"
        return ""
    return f.sample([(value, type_, "y", want.codes.shape, of_parts("y", want), {})], description, "", {}, check)


def quantize_dynamic(f, format):
    shape = draw_shape(f.r)
    has_zero = format.is_integer and not format.is_signed and f.r.random() < 0.6
    scale = "f32" if has_zero or f.r.random() < 0.5 else "f8E8M0FNU"
    type_ = Type(format, scale, format if has_zero else None, block=draw_block(f.r, shape))
    element = f.r.choice(["f32", "f32", "f16", "bf16"])
    x = draw_floats(f, Quantized(Type(format, "f32"), None, np.array(f.r.choice([1, 0.3, 1e-3]), F32)), shape)
    if f.r.random() < 0.3:
        x = x * F32(f.r.choice([0, 1e-42, 1e30]))
    x = round_to(element, x)
    f.argument("x", shape, element, {}, {"x": x})
    spelled = tensor_type(shape, type_)
    f.body += f"  %y = qlow.quantize_dynamic %x : {tensor_type(shape, element)} -> {spelled}\n"
    want = measured(type_, to_f32(element, x))
    want.codes = want.quantize(to_f32(element, x))
    return give_quantized(f, "%y", want, f"quantize_dynamic {element} to {spelled}")


def requantize(f, format):
    if not format.is_integer or format.bits > 8:
        return dequantize(f, format)
    r, numbers, shape = f.r, f.numbers, draw_shape(f.r)
    type_ = draw_type(r, format, shape)
    type_.offset = None
    type_.block = () if type_.zero else type_.block
    if isinstance(type_.scale, Type) or not type_.block:
        type_.scale = "f32"
    tensor = draw_tensor(r, numbers, type_, shape)
    how, rounding = r.choice(["argument", "constant"]) if np.prod(shape) else "argument", r.choice(["half_even", "single", "double"])
    acc = numbers.integers(-(2**31), 2**31, shape).astype(np.int32)
    acc = np.where(numbers.random(shape) < 0.5, acc >> numbers.integers(0, 31, shape), acc).astype(np.int32)
    channels = shape[-1:] if r.random() < 0.5 else ()
    zero = tensor.zeros(shape)
    zero = 0 if zero is None else zero.astype(np.float64)
    f.argument("x", shape, "i32", {}, {"x": acc})
    names, types = f.parts("q", tensor, False, how)
    constant = how == "constant" and np.prod(channels)
    if rounding == "half_even":
        multiplier = np.exp2(numbers.integers(-30, -2, channels)).astype(F32) * r.choice([F32(1), F32(1.1), F32(-0.7)])
        multiplier, element, shift, spelled_shift = np.asarray(multiplier, F32), "f32", None, ""
        v = acc.astype(F32) * multiplier
        codes = format.encode(v, zero)
    else:
        multiplier, element = numbers.integers(-(2**31), 2**31, channels).astype(np.int32), "i32"
        shift = numbers.integers(2, 63, channels).astype(np.int8)
        f.part("shift", Part("shift", shift, "i8"), constant)
        spelled_shift = f" shift(%shift : {tensor_type(channels, 'i8')})"
        codes = saturate(format, apply_scale_32(acc, multiplier, shift, rounding == "double") + zero)
    f.part("mult", Part("mult", multiplier, element), constant)
    spelled = tensor_type(shape, type_)
    f.body += (f"  %y = qlow.requantize {rounding} %x, %mult{spelled_shift} parts({', '.join(names)} : {', '.join(types)}) : "
               f"{tensor_type(shape, 'i32')}, {tensor_type(channels, element)} -> {spelled}\n")
    want = Quantized(type_, codes, tensor.scale, tensor.zero)
    return give_quantized(f, "%y", want, f"requantize {rounding} to {spelled}")


def saturate(format, values):
    return np.clip(values, format.values.min(), format.values.max()).astype(np.int64) % format.count


def apply_scale_32(values, multiplier, shift, double):
    values, shift = values.astype(np.int64), shift.astype(np.int64)
    rounding = np.int64(1) << (shift - 1)
    if double:
        rounding = rounding + np.where(shift > 31, np.where(values >= 0, 1 << 30, -(1 << 30)), 0)
    return ((values * multiplier.astype(np.int64) + rounding) >> shift).astype(np.int32).astype(np.float64)


# ---- matmuls ---------------------------------------------------------------------------------------------------------


def draw_sizes(r):
    m, n, k = r.choice(SIZES), r.choice(SIZES), r.choice(DEPTHS)
    batch = () if r.random() < 0.8 else r.choice([(2,), (1,), (2, 3)])
    if batch:
        m, n = min(m, 17), min(n, 33)
    return m, n, k, batch


def draw_one_along(r, type_, shape, block, dims):
    """The type with another block; factors that are quantized themselves would not fit it."""
    block = () if all(size is None for size in block) else block
    plain = lambda factor: r.choice(["f32", "f16", "bf16"]) if isinstance(factor, Type) else factor
    zero = type_.zero if type_.zero is None or type_.zero.bits == 8 or not dims else FORMATS["u8"]
    return Type(type_.format, plain(type_.scale), zero, None, block)


def draw_side(f, name, format, shape, swapped, dims, how):
    """`shape` and `dims` (open dimensions) as stored; without a format floats."""
    r, k_dim = f.r, k_dim_of(shape, swapped)
    if format is None:
        element = r.choice(["f32", "f32", "f32", "f16", "bf16"])
        return Floats(f, name, element, shape, swapped, dims, how == "constant" and not dims)
    type_ = draw_type(r, format, shape, tuple(dims))
    if r.random() < 0.5 and not type_.is_constant_along(k_dim, shape, dims):
        block = tuple(None if dim == k_dim else size for dim, size in enumerate(type_.block))
        type_ = draw_one_along(r, type_, shape, block, dims)
    return Codes(f, name, draw_tensor(r, f.numbers, type_, shape), swapped, dims, how)


def draw_dims(f, swapped, batch, formats):
    """Open dimensions of both sides, by name; a row of packed codes has a known length."""
    names = {name for name in "mnk" if f.r.random() < 0.15} | ({"m"} if f.r.random() < 0.2 else set())
    sides = []
    for rows, format, swap in (("m", formats[0], swapped[0]), ("n", formats[1], swapped[1])):
        last = rows if swap else "k"
        if format and format.bits != 8:
            names.discard(last)
        sides.append(("k", rows) if swap else (rows, "k"))
    at = len(batch)
    return [{at + i: name for i, name in enumerate(side) if name in names} for side in sides]


def matmul(f, format):
    r = f.r
    m, n, k, batch = draw_sizes(r)
    left = r.choice([None, None, FORMATS["i8"], FORMATS["u8"], FORMATS["i8"], FORMATS["u8"], r.choice(list(FORMATS.values()))])
    swapped = r.random() < 0.2, r.random() < 0.5  # transpose_lhs; not transpose_rhs
    dims = draw_dims(f, swapped, batch, (left, format))
    lhs = draw_side(f, "x", left, stored_shape(batch, m, k, swapped[0]), swapped[0], dims[0], "argument")
    rhs = draw_side(f, "w", format, stored_shape(batch, n, k, swapped[1]), swapped[1], dims[1], r.choice(["constant", "constant", "mixed", "argument"]))
    is_exact = lhs.sums_exactly() and rhs.sums_exactly()
    results = ["f32", "f32", "f16", "bf16", "codes"] + ["i32"] * (is_exact and left.step * format.step == 1)
    product = Product(f, lhs, rhs, r.choice(results))
    product.draw_bias(0.4, of_integers=is_exact and product.result in ("i32", "codes"))
    product.draw_parts()
    return product.sample(is_exact)


# ---- all -------------------------------------------------------------------------------------------------------------

KINDS = [matmul, matmul, matmul, matmul, dequantize, quantize, matmul, quantize_dynamic, requantize]


def main():
    parser = argparse.ArgumentParser()
    add_run_options(parser, samples=2000, out="build/formats")
    options = parser.parse_args()
    names = registered_formats()
    missing = [name for name in names if name not in FORMATS]
    if missing:
        sys.exit(f"no golden values of {', '.join(missing)}: add them to test/Unit/golden/formats.py")
    whole = [(kind, name) for name in names for kind in (every_code, every_tie)]
    options.samples += len(whole)

    def draw(index):
        f = Function(f"s{index}", options.seed)
        if index < len(whole):
            kind, name = whole[index]
            return kind(f, FORMATS[name])
        number = index - len(whole)
        # Each kind meets every format once before one comes again.
        turn, at = divmod(number, len(KINDS))
        deck = rng_of(options.seed, "deck", at, turn // len(names)).sample(names, len(names))
        return KINDS[at](f, FORMATS[deck[turn % len(names)]])

    return run_all(options, "Integration/formats.py", draw)


if __name__ == "__main__":
    sys.exit(main())
