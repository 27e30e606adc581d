"""Integer and bit instructions."""

import numpy as np

from . import floats
from .decode import Unknown, opcode
from .module import Immediate
from .operands import INTEGERS, SIGNED, UNSIGNED

WIDER = {"u16": np.uint32, "s16": np.int32, "u32": np.uint64, "s32": np.int64}
PACKED = {"u16x2": np.dtype(np.uint16), "s16x2": np.dtype(np.int16)}


def reject(instruction, *known):
    """Every modifier must be one that its factory treats."""
    for part in instruction.parts[1:]:
        if part not in known and part not in INTEGERS and part not in PACKED:
            raise Unknown(f".{part}")


def elementwise(function):
    """A factory for d = function(a, b, ...) over the last type of the opcode."""

    def factory(context, instruction, function=function, dtype=None):
        dtype = dtype or INTEGERS[instruction.parts[-1]]
        sources = [context.read(number, dtype) for number in range(1, context.count)]
        write = context.write()
        return lambda group: write(group, function(*[read(group) for read in sources]))

    return factory


def binary(function):
    """Also packed pairs, and saturating s32."""
    plain = elementwise(function)

    def factory(context, instruction):
        kind = instruction.parts[-1]
        reject(instruction, "sat", "lo")
        if kind in PACKED:
            half = PACKED[kind]
            return plain(
                context, instruction, lambda *v: function(*[x.view(half) for x in v]).astype(half).view(np.uint32), UNSIGNED[4]
            )
        if "sat" in instruction.parts:
            if kind != "s32":
                raise Unknown(".sat of another type than s32")
            return plain(
                context,
                instruction,
                lambda *v: np.clip(function(*[x.astype(np.int64) for x in v]), -(2**31), 2**31 - 1).astype(np.int32),
            )
        return plain(context, instruction)

    return factory


def with_carry(context, instruction):
    """add.cc, addc, sub.cc, subc: through one carry bit a thread."""
    dtype = UNSIGNED[INTEGERS[instruction.parts[-1]].itemsize]
    a, b, write = context.read(1, dtype), context.read(2, dtype), context.write()
    subtract, uses, sets = instruction.parts[0].startswith("sub"), instruction.parts[0].endswith("c"), "cc" in instruction.parts

    def run(group):
        carry = group.wave.units.setdefault("carry", np.zeros(group.wave.threads, bool))
        x, y = group.full(a(group)), group.full(b(group))
        c = carry[group.lanes].astype(dtype) if uses else dtype.type(0)
        result = x - y - c if subtract else x + y + c
        if sets:
            carry[group.lanes] = ((x < y) | ((x == y) & (c != 0))) if subtract else ((result < x) | ((result == x) & (c != 0)))
        write(group, result)

    return run


def add_or_float(name, function):
    def factory(context, instruction):

        if floats.is_float(instruction.parts[-1]):
            return floats.arithmetic(context, instruction)
        if "cc" in instruction.parts:
            return with_carry(context, instruction)
        return binary(function)(context, instruction)

    opcode(name)(factory)


for name, function in (("add", lambda a, b: a + b), ("sub", lambda a, b: a - b), ("min", np.minimum), ("max", np.maximum)):
    add_or_float(name, function)
opcode("addc", "subc")(with_carry)


@opcode("mul", "mad", "mul24", "mad24")
def multiply(context, instruction):

    kind = instruction.parts[-1]
    if floats.is_float(kind):
        return floats.arithmetic(context, instruction)
    reject(instruction, "lo", "hi", "wide", "sat")
    dtype, adds = INTEGERS[kind], instruction.parts[0].startswith("mad")
    if instruction.parts[0].endswith("24"):
        return multiply24(context, dtype, adds)
    a, b, write = context.read(1, dtype), context.read(2, dtype), context.write()
    if "wide" in instruction.parts:
        wide = np.dtype(WIDER[kind])
        c = context.read(3, wide) if adds else None
        return lambda group: write(group, a(group).astype(wide) * b(group).astype(wide) + (c(group) if c else wide.type(0)))
    c = context.read(3, dtype) if adds else None
    product = high_half(dtype) if "hi" in instruction.parts else (lambda x, y: x * y)
    return lambda group: write(group, product(a(group), b(group)) + (c(group) if c else dtype.type(0)))


def high_half(dtype):
    bits = 8 * dtype.itemsize
    if bits < 64:
        wide = np.dtype(WIDER[f"{'s' if dtype.kind == 'i' else 'u'}{bits}"])
        return lambda x, y: ((x.astype(wide) * y.astype(wide)) >> wide.type(bits)).astype(dtype)
    return lambda x, y: ((x.astype(object) * y.astype(object)) >> 64).astype(dtype)


def multiply24(context, dtype, adds):
    a, b, write = context.read(1, dtype), context.read(2, dtype), context.write()
    c = context.read(3, dtype) if adds else None
    eight = dtype.type(8)
    return lambda group: write(
        group, ((a(group) << eight) >> eight) * ((b(group) << eight) >> eight) + (c(group) if c else dtype.type(0))
    )


@opcode("div", "rem")
def divide(context, instruction):

    if floats.is_float(instruction.parts[-1]):
        return floats.arithmetic(context, instruction)
    reject(instruction)
    dtype = INTEGERS[instruction.parts[-1]]
    a, b, write = context.read(1, dtype), context.read(2, dtype), context.write()
    remainder = instruction.parts[0] == "rem"

    def run(group):
        x, y = np.broadcast_arrays(a(group), b(group))
        if (y == 0).any():
            raise group.fault(np.flatnonzero(group.full(y) == 0)[0], "division by zero")
        if dtype.kind == "u":
            return write(group, x % y if remainder else x // y)
        size = (
            np.abs(x.astype(object)) // np.abs(y.astype(object))
            if dtype.itemsize == 8
            else np.abs(x.astype(np.int64)) // np.abs(y.astype(np.int64))
        )
        quotient = np.where((x < 0) != (y < 0), -size, size).astype(np.int64).astype(dtype)  # towards zero
        write(group, x - quotient * y if remainder else quotient)

    return run


@opcode("sad")
def sum_of_differences(context, instruction):
    return elementwise(lambda a, b, c: np.where(a > b, a - b, b - a) + c)(context, instruction)


@opcode("abs", "neg")
def sign(context, instruction):

    if floats.is_float(instruction.parts[-1]):
        return floats.sign(context, instruction)
    return elementwise(np.abs if instruction.parts[0] == "abs" else np.negative)(context, instruction)


# ---- logic ------------------------------------------------------------------------------------------------------------


def logic(function):
    def factory(context, instruction):
        if instruction.parts[-1] == "pred":
            sources = [context.read(number, bool) for number in range(1, context.count)]
            write = context.write()
            return lambda group: write(group, group.full(function(*[read(group) for read in sources])))
        reject(instruction)
        return elementwise(function)(context, instruction)

    return factory


opcode("and")(logic(np.bitwise_and))
opcode("or")(logic(np.bitwise_or))
opcode("xor")(logic(np.bitwise_xor))
opcode("not")(logic(np.invert))


@opcode("cnot")
def logical_not(context, instruction):
    return elementwise(lambda a: (a == 0).astype(a.dtype))(context, instruction)


@opcode("shl", "shr")
def shift(context, instruction):
    reject(instruction)
    dtype, bits = INTEGERS[instruction.parts[-1]], 8 * INTEGERS[instruction.parts[-1]].itemsize
    a, amount, write = context.read(1, dtype), context.read(2, np.uint32), context.write()
    left = instruction.parts[0] == "shl"

    def run(group):
        x, n = a(group), amount(group)
        if dtype.kind == "i" and not left:
            return write(group, x >> np.minimum(n, bits - 1).astype(dtype))
        inside = np.minimum(n, bits - 1).astype(dtype)
        write(group, np.where(n < bits, x << inside if left else x >> inside, dtype.type(0)))

    return run


@opcode("shf")
def funnel_shift(context, instruction):
    reject(instruction, "l", "r", "wrap", "clamp")
    a, b, c, write = (*(context.read(number, np.uint32) for number in (1, 2, 3)), context.write())
    left, wrap = "l" in instruction.parts, "wrap" in instruction.parts

    def run(group):
        both = a(group).astype(np.uint64) | b(group).astype(np.uint64) << np.uint64(32)
        n = (c(group) & np.uint32(31) if wrap else np.minimum(c(group), 32)).astype(np.uint64)
        write(group, ((both << n) >> np.uint64(32) if left else both >> n).astype(np.uint32))

    return run


@opcode("lop3")
def lop3(context, instruction):
    if "BoolOp" in instruction.opcode or not isinstance(context.operand(4), Immediate):
        raise Unknown("a table that is no constant, or a predicate as second result")
    table = context.operand(4).value
    reads, write = [context.read(number, np.uint32) for number in (1, 2, 3)], context.write()

    def run(group):
        a, b, c = [read(group) for read in reads]
        result = np.zeros(1, np.uint32)
        for row in range(8):
            if table >> row & 1:
                result = result | ((a if row & 4 else ~a) & (b if row & 2 else ~b) & (c if row & 1 else ~c))
        write(group, result)

    return run


@opcode("prmt")
def permute_bytes(context, instruction):
    mode = instruction.parts[2] if len(instruction.parts) > 2 else ""
    reads, write = [context.read(number, np.uint32) for number in (1, 2, 3)], context.write()
    pick = {
        "": None,
        "f4e": lambda i, n: i + n,
        "b4e": lambda i, n: n - i,
        "rc8": lambda i, n: n & 3,
        "ecl": lambda i, n: np.maximum(i, n & 3),
        "ecr": lambda i, n: np.minimum(i, n & 3),
        "rc16": lambda i, n: (n & 1) * 2 + (i & 1),
    }[mode]

    def run(group):
        a, b, selector = [read(group).astype(np.uint64) for read in reads]
        both, result = a | b << np.uint64(32), np.zeros(1, np.uint64)
        for i in range(4):
            nibble = (
                selector >> np.uint64(4 * i) & np.uint64(15)
                if not pick
                else pick(i, (selector & np.uint64(3)).astype(np.int64)).astype(np.uint64)
            )
            byte = both >> (nibble & np.uint64(7)) * np.uint64(8) & np.uint64(255)
            byte = np.where(nibble > 7, np.where(byte > 127, np.uint64(255), np.uint64(0)), byte)
            result = result | byte << np.uint64(8 * i)
        write(group, result.astype(np.uint32))

    return run


@opcode("bfe")
def extract_field(context, instruction):
    dtype = INTEGERS[instruction.parts[-1]]
    bits = 8 * dtype.itemsize
    a, position, length, write = context.read(1, dtype), context.read(2, np.uint32), context.read(3, np.uint32), context.write()

    def run(group):
        x, begin, count = (
            a(group),
            (position(group) & np.uint32(255)).astype(np.int64),
            (length(group) & np.uint32(255)).astype(np.int64),
        )
        unsigned = UNSIGNED[dtype.itemsize]
        low = np.where(
            begin < bits,
            x >> np.minimum(begin, bits - 1).astype(dtype),
            x >> dtype.type(bits - 1) if dtype.kind == "i" else dtype.type(0),
        )
        count = np.broadcast_to(count, low.shape)
        mask = np.where(
            count < bits, (np.uint64(1) << np.minimum(count, 63).astype(np.uint64)) - np.uint64(1), np.uint64(2**bits - 1)
        ).astype(unsigned)
        field = low.view(unsigned) & mask
        if dtype.kind == "i":
            at = np.clip(np.minimum(begin + count - 1, bits - 1), 0, bits - 1)
            negative = (x.view(unsigned) >> at.astype(unsigned) & unsigned.type(1)).astype(bool) & (count > 0)
            field = np.where(negative, field | ~mask, field)
        write(group, field.astype(unsigned))

    return run


@opcode("bfi")
def insert_field(context, instruction):
    dtype = INTEGERS[instruction.parts[-1]]
    bits = 8 * dtype.itemsize
    a, b, position, length, write = (
        *(context.read(n, dtype) for n in (1, 2)),
        *(context.read(n, np.uint32) for n in (3, 4)),
        context.write(),
    )

    def run(group):
        begin, count = (position(group) & np.uint32(255)).astype(np.uint64), (length(group) & np.uint32(255)).astype(np.uint64)
        ones = np.where(count < 64, (np.uint64(1) << np.minimum(count, 63)) - np.uint64(1), np.uint64(2**64 - 1))
        shifted = np.where(begin < bits, np.uint64(1), np.uint64(0)) * (ones << np.minimum(begin, 63))
        mask = shifted.astype(dtype)
        write(group, (b(group) & ~mask) | ((a(group).astype(np.uint64) << np.minimum(begin, 63)).astype(dtype) & mask))

    return run


def bits_of(values):
    """(n, bits) booleans, lowest first."""
    values = np.ascontiguousarray(values)
    return np.unpackbits(values.view(np.uint8).reshape(len(values), -1), axis=1, bitorder="little")


@opcode("popc", "clz", "bfind", "brev")
def bits(context, instruction):
    name, kind = instruction.parts[0], instruction.parts[-1]
    signed, dtype = kind.startswith("s"), UNSIGNED[INTEGERS[kind].itemsize]
    read, write, width = context.read(1, dtype), context.write(), 8 * dtype.itemsize

    def run(group):
        x = read(group)
        if signed:
            x = np.where(x.view(SIGNED[dtype.itemsize]) < 0, ~x, x)
        each = bits_of(x)
        if name == "popc":
            return write(group, each.sum(axis=1).astype(np.uint32))
        if name == "brev":
            return write(group, np.packbits(each[:, ::-1], axis=1, bitorder="little").view(dtype)[:, 0])
        leading = np.where(x == 0, width, each[:, ::-1].argmax(axis=1)).astype(np.uint32)
        if name == "clz":
            return write(group, leading)
        found = leading if "shiftamt" in instruction.parts else np.uint32(width - 1) - leading
        write(group, np.where(x == 0, np.uint32(2**32 - 1), found))

    return run


@opcode("dp4a", "dp2a")
def dot_product(context, instruction):
    kinds = [INTEGERS[part] for part in instruction.parts if part in INTEGERS]
    four, high = instruction.parts[0] == "dp4a", "hi" in instruction.parts
    a, b, c, write = (*(context.read(n, np.uint32) for n in (1, 2, 3)), context.write())

    def run(group):
        first, second, added = [group.full(read(group)).copy() for read in (a, b, c)]
        x = first.view(np.dtype(f"{kinds[0].kind}{1 if four else 2}")).reshape(group.count, -1).astype(np.int64)
        y = second.view(np.dtype(f"{kinds[1].kind}1")).reshape(group.count, 4).astype(np.int64)
        y = y if four else y[:, 2:] if high else y[:, :2]
        write(group, ((x * y).sum(axis=1) + added.astype(np.int64)).astype(np.uint32))

    return run
