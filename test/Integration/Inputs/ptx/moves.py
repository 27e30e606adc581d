"""Comparing, choosing, moving: setp, set, selp, slct, mov."""

import numpy as np

from . import floats
from .decode import items, opcode
from .module import Pair, Register, Vector
from .operands import INTEGERS, UNDEFINED, UNSIGNED, WRITING, Bits, check_readable, reader, writer

COMPARE = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
}
COMBINE = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


def comparison(name, kind):
    """Of values; with .equ and the like also true where one is NaN."""

    if not floats.is_float(kind):
        return COMPARE[name]
    unordered = lambda a, b: np.isnan(a) | np.isnan(b)  # noqa: E731
    if name in ("num", "nan"):
        return unordered if name == "nan" else lambda a, b: ~unordered(a, b)
    if name.endswith("u"):
        return lambda a, b: COMPARE[name[:-1]](a, b) | unordered(a, b)
    return lambda a, b: COMPARE[name](a, b) & ~unordered(a, b)


def compared_values(context, instruction, kind):

    if not floats.is_float(kind):
        return [context.read(number, INTEGERS[kind]) for number in (1, 2)]
    return [floats.source(context, number, kind, "ftz" in instruction.parts) for number in (1, 2)]


@opcode("setp")
def set_predicate(context, instruction):
    parts = [part for part in instruction.parts[1:] if part != "ftz"]
    kind = parts[-1]
    compare, (a, b) = comparison(parts[0], kind), compared_values(context, instruction, kind)
    combine = COMBINE[parts[1]] if len(parts) == 3 else None
    c = context.read(3, bool) if combine else None
    result = context.operand(0)
    pair = isinstance(result, Pair)

    writes = [writer(context, item) for item in ((result.first, result.second) if pair else (result,))]

    def run(group):
        value = group.full(compare(a(group), b(group)))
        if value.ndim == 2:  # packed halves: one predicate each
            values = [value[:, 0], value[:, 1]]
        else:
            values = [value, ~value] if pair else [value]
        for write, value in zip(writes, values):
            write(group, combine(value, c(group)) if combine else value)

    return run


@opcode("set")
def set_value(context, instruction):
    """set.cmp{.bool}{.ftz}.dtype.stype: all ones, or 1.0, where true."""

    parts = [part for part in instruction.parts[1:] if part != "ftz"]
    to, kind = parts[-2], parts[-1]
    compare, (a, b) = comparison(parts[0], kind), compared_values(context, instruction, kind)
    combine = COMBINE[parts[1]] if len(parts) == 4 else None
    c, write = context.read(3, bool) if combine else None, context.write()
    size = 4 if to.endswith("x2") or to.endswith("32") else 2
    one = (
        {"f32": 0x3F800000, "f16": 0x3C00, "bf16": 0x3F80, "f16x2": 0x3C00, "bf16x2": 0x3F80}.get(to)
        if floats.is_float(to)
        else None
    )

    def run(group):
        value = compare(a(group), b(group))
        value = combine(value, c(group)) if combine else value
        if value.ndim == 2:
            halves = np.where(value, np.uint16(one if one else 0xFFFF), np.uint16(0))
            return write(group, np.ascontiguousarray(halves).view(np.uint32)[:, 0])
        ones = UNSIGNED[size].type(one if one else 2 ** (8 * size) - 1)
        write(group, np.where(value, ones, UNSIGNED[size].type(0)))

    return run


@opcode("selp")
def select(context, instruction):
    size = context.operand(0).width // 8
    kind = instruction.parts[-1]
    dtype = np.dtype(np.float32) if kind == "f32" else np.dtype(np.float64) if kind == "f64" else UNSIGNED[size]
    a, b, p, write = context.read(1, dtype), context.read(2, dtype), context.read(3, bool), context.write()
    return lambda group: write(group, np.where(p(group), a(group), b(group)))


@opcode("slct")
def select_by_sign(context, instruction):
    dtype = UNSIGNED[context.operand(0).width // 8]
    kind = np.float32 if instruction.parts[-1] == "f32" else np.int32
    a, b, c, write = context.read(1, dtype), context.read(2, dtype), context.read(3, kind), context.write()
    return lambda group: write(group, np.where(c(group) >= 0, a(group), b(group)))


# ---- moving -----------------------------------------------------------------------------------------------------------


@opcode("mov")
def move(context, instruction):
    to, source = context.operand(0), context.operand(1)
    if isinstance(to, Vector) or isinstance(source, Vector):
        return pack(context, to, source)
    if instruction.parts[-1] == "pred":
        read, write = context.read(1, bool), context.write()
        return lambda group: write(group, group.full(read(group)))
    if isinstance(source, Register) and isinstance(to, Register) and source.width == to.width:
        return copy_register(source, to, context.write())
    size = to.width // 8
    dtype = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64)}.get(instruction.parts[-1], UNSIGNED[size])
    read, write = context.read(1, dtype), context.write()
    return lambda group: write(group, read(group))


def copy_register(source, to, write):
    """A value that is undefined may be copied: it stays undefined."""

    def run(group):
        registers = group.wave.registers
        register = registers[source.slot]
        if register is None:
            register = registers[source.slot] = Bits(source, group.wave.threads)
        undefined = None
        if register.guard is not None:
            codes = register.guard[group.lanes]
            if (codes == WRITING).any():
                check_readable(group, register)
            undefined = codes == UNDEFINED
        write(group, register.bits[group.lanes])
        if undefined is not None and undefined.any():
            registers[to.slot].guard_lanes(group.ids[undefined], UNDEFINED)

    return run


def pack(context, to, source):
    """mov.b64 {a, b}, d and mov.b64 d, {a, b}: lowest part first."""

    if isinstance(to, Vector):
        size = (
            source.width // 8 // len(to.items)
            if isinstance(source, Register)
            else next(i.width for i in to.items if isinstance(i, Register)) // 8
        )
        whole = UNSIGNED[size * len(to.items)]
        read, writes = reader(context, source, whole), [writer(context, item) for item in to.items]

        def unpack(group):
            parts = np.ascontiguousarray(group.full(read(group))).view(UNSIGNED[size]).reshape(group.count, -1)
            for number, write in enumerate(writes):
                write(group, parts[:, number])

        return unpack
    size = to.width // 8 // len(source.items)
    reads, write = [reader(context, item, UNSIGNED[size]) for item in items(source)], context.write()

    def join(group):
        parts = np.stack([group.full(read(group)) for read in reads], axis=1)
        write(group, np.ascontiguousarray(parts).view(UNSIGNED[size * len(reads)])[:, 0])

    return join
