"""Operands of an instruction as functions: a reader gives a Group's values, a writer takes them.

Registers are arrays over all threads of a wave. A register may carry a guard: per thread, whether its value is undefined or
in use by an asynchronous operation; most have none, and cost nothing.
"""

import numpy as np

from .memory import UNSIGNED
from .module import Immediate, Memory, Not, Register, Sink, Symbol, Vector

UNDEFINED, WRITING, READING = 1, 2, 3
GUARDS = {
    UNDEFINED: "has no value yet",
    WRITING: "is written by an asynchronous operation that has not been waited for",
    READING: "is read by an asynchronous operation that has not been waited for",
}

SIGNED = {1: np.dtype(np.int8), 2: np.dtype(np.int16), 4: np.dtype(np.int32), 8: np.dtype(np.int64)}
INTEGERS = {
    f"{kind}{8 * size}": dtype
    for kind, table in (("u", UNSIGNED), ("b", UNSIGNED), ("s", SIGNED))
    for size, dtype in table.items()
}


class Bits:
    """One register: its bits in every thread of a wave."""

    __slots__ = ("name", "bits", "guard", "written_at", "written_by")

    def __init__(self, register, threads):
        dtype = np.bool_ if register.width == 1 else UNSIGNED[register.width // 8]
        self.name, self.bits = register.name, np.zeros(threads, dtype)
        self.guard = np.full(threads, UNDEFINED, np.uint8)
        self.written_at, self.written_by = -1, None  # last step and Group that wrote it

    def guard_lanes(self, lanes, code):
        if self.guard is None:
            self.guard = np.zeros(len(self.bits), np.uint8)
        self.guard[lanes] = code

    def release(self, lanes):
        self.guard[lanes] = 0
        if not self.guard.any():
            self.guard = None


def check_readable(group, register):
    codes = register.guard[group.lanes]
    bad = (codes == UNDEFINED) | (codes == WRITING)
    if bad.any():
        lane = np.flatnonzero(bad)[0]
        raise group.fault(lane, f"register {register.name} {GUARDS[int(codes[lane])]}")


def check_writable(group, register):
    codes = register.guard[group.lanes]
    bad = codes >= WRITING
    if bad.any():
        lane = np.flatnonzero(bad)[0]
        raise group.fault(lane, f"write to register {register.name}, which {GUARDS[int(codes[lane])]}")
    register.guard[group.lanes] = 0
    if not register.guard.any():
        register.guard = None


def constant(value, dtype):
    array = np.array([value], dtype)
    array.flags.writeable = False
    return lambda group: array


def immediate_bits(operand, dtype):
    """The constant as dtype: integers wrap, 0f.. and 0d.. are the bits of a float, converted where the type is another float."""
    value = operand.value
    if isinstance(value, float):
        return np.array([value]).astype(dtype)[0]
    if operand.float_width == 8 * dtype.itemsize or dtype.kind != "f" or not operand.float_width:
        bits = value & ((1 << 8 * dtype.itemsize) - 1)
        if dtype.kind == "f" and not operand.float_width:
            return np.array([value]).astype(dtype)[0]
        return np.array([bits], UNSIGNED[dtype.itemsize]).view(dtype)[0]
    source = np.float32 if operand.float_width == 32 else np.float64
    return np.array([value], UNSIGNED[operand.float_width // 8]).view(source).astype(dtype)[0]


def reader(context, operand, dtype):
    """group -> array of dtype, one value a thread or one for all. `context` resolves names (decode.Context)."""
    dtype = np.dtype(dtype)
    if isinstance(operand, Register):
        return register_reader(operand, dtype)
    if isinstance(operand, Not):
        read = reader(context, operand.predicate, bool)
        return lambda group: ~read(group)
    if isinstance(operand, Immediate):
        if dtype.kind == "b":
            return constant(operand.value != 0, dtype)
        return constant(immediate_bits(operand, dtype), dtype)
    if isinstance(operand, Memory):  # symbol+offset
        base = reader(context, operand.base, dtype)
        return lambda group: base(group) + dtype.type(operand.offset)
    if isinstance(operand, Symbol):
        return context.symbol(operand.name, dtype)
    raise context.error(f"expected a value, found {operand}")


def register_reader(operand, dtype):
    slot = operand.slot
    if operand.width == 1:
        if dtype.kind != "b":
            raise TypeError(f"{operand.name} is a predicate")
    elif operand.width < 8 * dtype.itemsize:
        raise TypeError(f"{operand.name} has {operand.width} bits, the instruction reads {8 * dtype.itemsize}")
    narrow = operand.width > 8 * dtype.itemsize
    unsigned = None if operand.width == 1 else UNSIGNED[dtype.itemsize]

    def read(group):
        register = group.wave.registers[slot]
        if register is None:
            raise group.fault(0, f"register {operand.name} {GUARDS[UNDEFINED]}")
        if register.guard is not None:
            check_readable(group, register)
        bits = register.bits[group.lanes]
        if narrow:
            bits = bits.astype(unsigned)
        return bits if bits.dtype is dtype else bits.view(dtype)

    return read


def writer(context, operand):
    """(group, values): to a register; narrower values are extended by their sign, or by zeros where they have none."""
    if isinstance(operand, Sink):
        return lambda group, values: None
    if not isinstance(operand, Register):
        raise context.error(f"expected a register for the result, found {operand}")
    slot = operand.slot
    unsigned = np.dtype(bool) if operand.width == 1 else UNSIGNED[operand.width // 8]

    def write(group, values):
        wave = group.wave
        register = wave.registers[slot]
        if register is None:
            register = wave.registers[slot] = Bits(operand, wave.threads)
        if register.guard is not None:
            check_writable(group, register)
        if values.dtype != unsigned:
            kind, size = values.dtype.kind, values.dtype.itemsize
            if kind == "f":
                values = np.ascontiguousarray(values).view(UNSIGNED[size])
            elif kind == "i" and size < unsigned.itemsize:
                values = values.astype(SIGNED[unsigned.itemsize])
            values = values.astype(unsigned)
        register.bits[group.lanes] = values
        register.written_at, register.written_by = wave.step, group

    return write


def readers(context, operand, dtype):
    """Of each element of a vector, or of the operand alone."""
    items = operand.items if isinstance(operand, Vector) else (operand,)
    return [reader(context, item, dtype) for item in items]


def writers(context, operand):
    items = operand.items if isinstance(operand, Vector) else (operand,)
    return [writer(context, item) for item in items]


def address_reader(context, operand):
    """group -> (n,) uint64 addresses of [base + offset]."""
    if not isinstance(operand, Memory):
        raise context.error(f"expected an address in [ ], found {operand}")
    width = operand.base.width if isinstance(operand.base, Register) else 64
    base = reader(context, operand.base, UNSIGNED[width // 8])
    offset = np.uint64(operand.offset & (2**64 - 1))
    mask = np.uint64(2**width - 1)

    def read(group):
        return group.full((base(group).astype(np.uint64) + offset) & mask)

    return read
