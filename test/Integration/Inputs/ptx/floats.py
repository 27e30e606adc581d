"""Floating-point instructions: f32, f64, f16, bf16 and their packed pairs.

Arithmetic is exact and rounded once. The approximate functions (ex2, lg2, sin, tanh, rcp.approx, ...) are rounded from
float64: inside the bounds that PTX documents, though not the chip's own bits.
"""

from fractions import Fraction

import numpy as np

from .decode import Unknown, opcode
from .formats import FORMATS, add_exact, encode, fma_exact, to_f32
from .operands import UNSIGNED

MODES = ("rn", "rz", "rm", "rp", "rna")
SMALLEST = 2.0**-126


def is_float(kind):
    return kind in ("f32", "f64", "f16", "bf16", "f16x2", "bf16x2", "f32x2", "tf32")


def element(kind):
    return kind[:-2] if kind.endswith("x2") else kind


def flush(values):
    """Subnormal f32 to zero of the same sign."""
    return np.where(np.abs(values) < SMALLEST, np.copysign(0.0, values), values).astype(values.dtype)


def source(context, number, kind, ftz=False):
    """Reader of float64 values (float32 for f32), (n, 2) of packed pairs."""
    if kind == "f64":
        return context.read(number, np.float64)
    if kind == "f32":
        read = context.read(number, np.float32)
        return (lambda group: flush(read(group))) if ftz else read
    if kind == "f32x2":
        read = context.read(number, np.uint64)
        return lambda group: np.ascontiguousarray(read(group)).view(np.float32).reshape(-1, 2)
    read, of_codes = context.read(number, UNSIGNED[4 if kind.endswith("x2") else 2]), halves(element(kind))
    if kind.endswith("x2"):
        return lambda group: of_codes(np.ascontiguousarray(read(group)).view(np.uint16).reshape(-1, 2))
    return lambda group: of_codes(read(group))


def halves(kind):
    """16-bit codes -> float32."""
    if kind == "f16":
        return lambda codes: codes.view(np.float16).astype(np.float32)
    return lambda codes: (codes.astype(np.uint32) << np.uint32(16)).view(np.float32)


def result(context, kind, mode="rn", ftz=False, saturate=False, relu=False):
    """Writer of values that are exact, or rounded to odd."""
    write, base = context.write(), element(kind)

    def rounded(values):
        if saturate:
            values = np.where(np.isnan(values), 0.0, np.clip(values, 0.0, 1.0))
        if relu:
            values = np.where(np.isnan(values), values, np.maximum(values, 0.0) + 0.0)
        if base == "f64":
            return values.astype(np.float64)
        if base == "f32":
            values = values if values.dtype == np.float32 else to_f32(values, mode)
            return canonical(flush(values) if ftz else values)
        if base == "f16" and mode == "rn":
            codes = values.astype(np.float16).view(np.uint16)
            return np.where(np.isnan(values), np.uint16(0x7FFF), codes)
        return encode(values, FORMATS[base], mode)

    def run(group, values):
        bits = rounded(values)
        if values.ndim == 2:
            bits = np.ascontiguousarray(bits).view(np.uint64 if base == "f32" else np.uint32)[:, 0]
        write(group, bits)

    return run


def canonical_bits(bits, kind):
    if kind == "f32":
        return canonical(bits.view(np.float32))
    if kind == "f64":
        return bits
    codes = np.ascontiguousarray(bits).view(np.uint16)
    infinity = np.uint16(0x7C00 if kind.startswith("f16") else 0x7F80)
    return np.where((codes & np.uint16(0x7FFF)) > infinity, np.uint16(0x7FFF), codes).view(bits.dtype)


def canonical(values):
    """The chip's NaN is 0x7fffffff."""
    nan = np.isnan(values)
    return np.where(nan, np.uint32(0x7FFFFFFF).view(np.float32), values) if nan.any() else values


def fma64(a, b, c):
    def one(x, y, z):
        if not (np.isfinite(x) and np.isfinite(y) and np.isfinite(z)):
            return x * y + z
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        try:
            return float(exact) if exact else x * y + z
        except OverflowError:
            return np.inf if exact > 0 else -np.inf

    return np.array([one(*v) for v in zip(*np.broadcast_arrays(a, b, c))])


def operation(name, kind):
    """On float64 values: exact or rounded to odd. f32 of two operands that numpy rounds itself stay float32."""
    wide = lambda *values: [value.astype(np.float64) for value in values]  # noqa: E731
    if kind == "f64":
        return {"add": np.add, "sub": np.subtract, "mul": np.multiply, "fma": fma64, "mad": fma64, "div": np.divide}[name]
    if name == "div":
        return lambda a, b: np.divide(*wide(a, b))
    if name == "mul":
        return lambda a, b: np.multiply(*wide(a, b))
    if name in ("fma", "mad"):
        return lambda a, b, c: fma_exact(*wide(a, b, c))
    return lambda a, b: add_exact(*[np.asarray(x) for x in np.broadcast_arrays(*wide(a, b if name == "add" else -b))])


def arithmetic(context, instruction):
    """add sub mul fma mad div min max"""
    name, parts, kind = instruction.parts[0], instruction.parts[1:], instruction.parts[-1]
    mode = next((part for part in parts if part in MODES), "rn")
    known = MODES + ("ftz", "sat", "relu", "approx", "full", "NaN", "lo", kind)
    if any(part not in known for part in parts):
        raise Unknown([part for part in parts if part not in known][0])
    ftz = "ftz" in parts
    sources = [source(context, number, kind, ftz) for number in range(1, context.count)]
    write = result(context, kind, mode, ftz, "sat" in parts, "relu" in parts)
    if name in ("min", "max"):
        function = extreme(name, "NaN" in parts)
    elif mode == "rn" and kind == "f32" and name in ("add", "sub", "mul", "div"):
        function = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[name]  # numpy rounds to nearest
    elif kind == "f64" and mode != "rn":
        raise Unknown(f".{mode} of f64")
    else:
        function = operation(name, kind)
    return lambda group: write(group, function(*[read(group) for read in sources]))


opcode("fma")(arithmetic)


def extreme(name, keep_nan):
    pick = np.minimum if name == "min" else np.maximum

    def run(*values):
        found = values[0]
        for other in values[1:]:
            best = pick(found, other)  # NaN where either is
            zero = (found == 0) & (other == 0)
            best = np.where(zero & (np.signbit(found) == (name == "min")), found, np.where(zero, other, best))  # -0 < +0
            if not keep_nan:
                best = np.where(np.isnan(found), other, np.where(np.isnan(other), found, best))
            found = best
        return found

    return run


def sign(context, instruction):
    """abs and neg change one bit; a NaN becomes the chip's own."""
    kind, size = instruction.parts[-1], {"f64": 8, "f32": 4, "f16x2": 4, "bf16x2": 4}.get(instruction.parts[-1], 2)
    read, write, dtype = context.read(1, UNSIGNED[size]), context.write(), UNSIGNED[size]
    mask = dtype.type({"f64": 1 << 63, "f32": 1 << 31}.get(kind, 0x80008000 if kind.endswith("x2") else 0x8000))
    negate, ftz = instruction.parts[0] == "neg", "ftz" in instruction.parts

    def run(group):
        bits = read(group)
        if ftz and kind == "f32":
            bits = flush(bits.view(np.float32)).view(np.uint32)
        changed = bits ^ mask if negate else bits & ~mask
        write(group, canonical_bits(changed, kind))

    return run


@opcode("copysign")
def copysign(context, instruction):
    kind = {"f32": np.float32, "f64": np.float64}[instruction.parts[-1]]
    a, b, write = context.read(1, kind), context.read(2, kind), context.write()
    return lambda group: write(group, np.copysign(b(group), a(group)))  # of a onto b


@opcode("testp")
def test_property(context, instruction):
    kind = {"f32": np.float32, "f64": np.float64}[instruction.parts[-1]]
    least = np.finfo(kind).tiny
    test = {
        "finite": np.isfinite,
        "infinite": np.isinf,
        "number": lambda x: ~np.isnan(x),
        "notanumber": np.isnan,
        "normal": lambda x: np.isfinite(x) & (np.abs(x) >= least),
        "subnormal": lambda x: (x != 0) & (np.abs(x) < least),
    }[instruction.parts[1]]
    read, write = context.read(1, kind), context.write()
    return lambda group: write(group, group.full(test(read(group))))


FUNCTIONS = {
    "ex2": np.exp2,
    "lg2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sqrt": np.sqrt,
    "rcp": lambda x: 1.0 / x,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
}


@opcode(*FUNCTIONS)
def function(context, instruction):
    name, parts, kind = instruction.parts[0], instruction.parts[1:], instruction.parts[-1]
    mode = next((part for part in parts if part in MODES), "rn")
    if "approx" not in parts and name not in ("sqrt", "rcp"):
        raise Unknown("only .approx exists")
    ftz = "ftz" in parts or (kind == "f32" and name in ("ex2", "lg2") and "approx" in parts and "ftz" in parts)
    read, write = source(context, 1, kind, ftz), result(context, kind, mode, ftz)
    return lambda group: write(group, FUNCTIONS[name](read(group).astype(np.float64)))
