"""cvt: between integers, floats and packed small floats; cvt.pack, cvta and address-space questions."""

import numpy as np

from . import floats
from .decode import Unknown, opcode
from .formats import FORMATS, decode, encode, to_odd
from .memory import LOCAL_WINDOW, SHARED_WINDOW
from .operands import INTEGERS, UNSIGNED

WHOLE = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
MODES = ("rn", "rz", "rm", "rp", "rna")
SMALL = ("e4m3x2", "e5m2x2", "e2m1x2", "e2m3x2", "e3m2x2")
KNOWN = ("sat", "ftz", "satfinite", "relu", *WHOLE, *MODES)


@opcode("cvt")
def convert(context, instruction):
    if instruction.parts[1] == "pack":
        return convert_pack(context, instruction)
    to, source, flags = instruction.parts[-2], instruction.parts[-1], set(instruction.parts[1:-2])
    if not flags <= set(KNOWN):
        raise Unknown(sorted(flags - set(KNOWN))[0])
    if to in SMALL or source in SMALL or to in ("f16x2", "bf16x2"):
        return convert_pair(context, to, source, flags)
    if to == "tf32":
        read, write, mode = context.read(1, np.float32), context.write(), next(iter(flags & set(MODES)))
        return lambda group: write(group, encode(read(group), FORMATS["tf32"], mode).astype(np.uint32) << np.uint32(13))
    if to in INTEGERS and source in INTEGERS:
        return between_integers(context, INTEGERS[to], INTEGERS[source], "sat" in flags)
    if to in INTEGERS:
        return to_integer(context, INTEGERS[to], source, flags)
    if source in INTEGERS:
        return from_integer(context, to, INTEGERS[source], flags)
    read = floats.source(context, 1, source, "ftz" in flags)
    write = floats.result(context, to, next(iter(flags & set(MODES)), "rn"), "ftz" in flags, "sat" in flags, "relu" in flags)
    whole = next((WHOLE[flag] for flag in flags if flag in WHOLE), None)
    wide = np.float64
    return lambda group: write(group, whole(read(group).astype(wide)) if whole else read(group).astype(wide))


def between_integers(context, to, source, saturate):
    read, write, limits = context.read(1, source), context.write(), np.iinfo(to)

    def run(group):
        values = read(group)
        if saturate:
            low, high = max(limits.min, np.iinfo(source).min), min(limits.max, np.iinfo(source).max)
            values = np.clip(values, source.type(low), source.type(high))
        write(group, values.astype(to))

    return run


def to_integer(context, to, source, flags):
    read, write, limits = floats.source(context, 1, source, "ftz" in flags), context.write(), np.iinfo(to)
    whole = WHOLE[next(flag for flag in flags if flag in WHOLE)]
    most = (
        np.nextafter(2.0**63 if to.kind == "i" else 2.0**64, 0) if to.itemsize == 8 else float(limits.max)
    )  # the largest that fits
    of_nan = np.array([1 << 8 * to.itemsize - 1 if source == "f64" or to.itemsize == 8 else 0], UNSIGNED[to.itemsize]).view(to)[
        0
    ]  # seen on the chip

    def run(group):
        values = whole(read(group).astype(np.float64))
        nan = np.isnan(values)
        inside = np.clip(np.where(nan, 0.0, values), float(limits.min), most).astype(to)
        write(group, np.where(nan, of_nan, np.where(values > most, to.type(limits.max), inside)))

    return run


def from_integer(context, to, source, flags):
    read, mode = context.read(1, source), next(iter(flags & set(MODES)), "rn")
    write = floats.result(context, to, mode, saturate="sat" in flags)
    if to == "f32" and mode == "rn":
        return lambda group: write(group, read(group).astype(np.float32))
    if source.itemsize == 8 and to != "f64":
        return lambda group: write(group, odd_float64(read(group)))
    if to == "f64" and mode != "rn":
        raise Unknown(f".{mode} to f64")
    return lambda group: write(group, read(group).astype(np.float64))


def odd_float64(integers):
    """64-bit integers as float64, rounded to odd."""
    nearest = integers.astype(np.float64)
    error = [int(exact) - int(rounded) for exact, rounded in zip(integers.tolist(), nearest.tolist())]
    return to_odd(nearest, np.sign(np.array(error, object)).astype(np.float64))


def convert_pair(context, to, source, flags):
    """d, a, b: a goes to the upper half. One packed operand: halves keep their places."""
    mode, saturate, relu = next(iter(flags & set(MODES)), "rn"), "satfinite" in flags, "relu" in flags
    base = to[:-2] if to.endswith("x2") else to
    if source == "f32":
        sources = [context.read(2, np.float32), context.read(1, np.float32)]

        def read(group):
            return np.stack([group.full(value(group)) for value in sources], axis=1).astype(np.float64)

    elif source in SMALL:
        codes, kind = context.read(1, np.uint16), FORMATS[source[:-2]]

        def read(group):
            return decode(split(group.full(codes(group)), kind), kind)

    else:
        read = floats.source(context, 1, source)
    write, format = context.write(), FORMATS[base]

    def run(group):
        values = read(group).astype(np.float64)
        if relu:
            values = np.where(np.isnan(values), values, np.maximum(values, 0.0) + 0.0)
        write(group, join(encode(values, format, mode, saturate), format))

    return run


def split(codes, format):
    if format.bits == 4:
        low = codes.astype(np.uint8)
        return np.stack([low & 15, low >> 4], axis=1)
    return np.ascontiguousarray(codes).view(np.uint8).reshape(-1, 2)


def join(codes, format):
    if format.bits == 4:
        return codes[:, 0] | codes[:, 1] << np.uint8(4)
    size = codes.dtype.itemsize
    return np.ascontiguousarray(codes).view(UNSIGNED[2 * size])[:, 0]


def convert_pack(context, instruction):
    """cvt.pack.sat.dtype.s32{.b32} d, a, b{, c}: two values saturated, in front of what c holds."""
    to = INTEGERS.get(instruction.parts[3])
    a, b, write = context.read(1, np.int32), context.read(2, np.int32), context.write()
    if to is None or instruction.parts[2] != "sat":
        raise Unknown("of sub-byte type")
    bits, limits = 8 * to.itemsize, np.iinfo(to)
    c = context.read(3, np.uint32) if context.count > 3 else None

    def run(group):
        high, low = [
            np.clip(read(group), limits.min, limits.max).astype(to).view(UNSIGNED[to.itemsize]).astype(np.uint32)
            for read in (a, b)
        ]
        packed = high << np.uint32(bits) | low
        write(group, packed | c(group) << np.uint32(2 * bits) if c else packed)

    return run


# ---- addresses --------------------------------------------------------------------------------------------------------


def window(parts):
    space = next((part for part in parts if part.split("::")[0] in ("shared", "local", "global", "const", "param")), None)
    if space is None:
        raise Unknown("no state space")
    return {"shared": SHARED_WINDOW, "local": LOCAL_WINDOW}.get(space.split("::")[0], 0)


@opcode("cvta")
def convert_address(context, instruction):
    offset = np.uint64(window(instruction.parts))
    size = INTEGERS[instruction.parts[-1]].itemsize
    read, write, to = context.read(1, UNSIGNED[size]), context.write(), "to" in instruction.parts
    return lambda group: write(group, read(group).astype(np.uint64) - offset if to else read(group).astype(np.uint64) + offset)


@opcode("isspacep")
def is_space(context, instruction):
    wanted = window(instruction.parts)
    read, write = context.read(1, np.uint64), context.write()
    top = np.uint64(44)

    def run(group):
        where = read(group) >> top
        write(
            group,
            (
                group.full(where == np.uint64(wanted >> 44))
                if wanted
                else group.full((where != np.uint64(1)) & (where != np.uint64(2)))
            ),
        )

    return run
