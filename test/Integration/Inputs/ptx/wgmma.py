"""wgmma: a warpgroup multiplies matrices in shared memory (A also from registers) beside its threads.

The product is computed at the wait_group that retires it. Until then its accumulators may not be touched, A's registers not
written, and the bytes that it reads not overwritten; each is told where it happens. Registers that it uses and that were
written since the warpgroup's last wgmma.fence are told too.
"""

import re
from dataclasses import dataclass

import numpy as np

from .decode import Unknown, items, opcode
from .machine import CONVERGE, EXITED
from .matrix import ELEMENTS, accumulate, elements, is_narrow, matrix_a, narrow_sum, warp_words
from .memory import MemoryFault
from .module import Immediate, Register, Vector
from .operands import GUARDS, READING, UNDEFINED, WRITING, Bits, reader

SPANS = {0: 16, 1: 128, 2: 64, 3: 32}  # descriptor bits 62..63 -> bytes of the swizzle


@dataclass
class Product:
    """One wgmma.mma_async of one warpgroup."""

    at: int
    ids: np.ndarray
    finish: object


@dataclass
class Unit:
    """What a warpgroup has under way."""

    open: list
    groups: list
    fenced_at: int = -1  # step of the last wgmma.fence


def unit(wave, warpgroup):
    return wave.units.setdefault("wgmma", {}).setdefault(int(warpgroup), Unit([], []))


def warpgroups(group):
    """Parts of the group, one a warpgroup."""
    numbers = group.wave.warpgroup[group.lanes]
    for number in np.unique(numbers):
        yield int(number), group.part(numbers == number)


@opcode("wgmma")
def wgmma(context, instruction):
    instruction.control = True
    action = instruction.parts[1]
    if action == "fence":
        return whole_warpgroups(fence)
    if action == "commit_group":
        return whole_warpgroups(commit)
    if action == "wait_group":
        keep = context.operand(0).value
        return whole_warpgroups(lambda wave, number, part: retire(wave, number, part, keep))
    if action != "mma_async" or "sp" in instruction.parts:
        raise Unknown(f".{action}")
    return whole_warpgroups(multiply(context, instruction))


def whole_warpgroups(run):
    """A control instruction that waits for all 128 threads."""

    def control(group):
        wave = group.wave
        numbers = wave.warpgroup[group.lanes]
        here = np.bincount(numbers, minlength=wave.warpgroup[-1] + 1)
        complete = here[numbers] == 128
        if not complete.all():
            late = ~complete
            live = np.bincount(wave.warpgroup[wave.status != EXITED], minlength=len(here))
            if (live[numbers[late]] < 128).any():
                raise group.fault(
                    np.flatnonzero(late)[0], "wgmma wants the 128 threads of a warpgroup, there are fewer, or some have left"
                )
            wave.pc[group.ids[late]] = wave.at
            wave.status[group.ids[late]] = CONVERGE
            if not complete.any():
                return None
            group = group.part(complete)
        for number, part in warpgroups(group):
            run(wave, number, part)
        if complete.all():
            return wave.at + 1
        wave.pc[group.lanes] = wave.at + 1
        return None

    return control


def fence(wave, number, part):
    unit(wave, number).fenced_at = wave.step


def commit(wave, number, part):
    state = unit(wave, number)
    state.groups.append(state.open)
    state.open = []


def retire(wave, number, part, keep):
    state = unit(wave, number)
    while len(state.groups) > keep:
        for one in state.groups.pop(0):
            wave.complete((one.at, one.ids[0], one.finish))


# ---- matrices in shared memory ----------------------------------------------------------------------------------------


def descriptor(value):
    """(address, leading offset, stride offset, swizzle) in bytes."""
    if value >> 49 & 7:
        raise MemoryFault(0, "a matrix descriptor with a base offset is not modelled: align the matrix to its swizzle")
    return (value & 0x3FFF) << 4, (value >> 16 & 0x3FFF) << 4, (value >> 32 & 0x3FFF) << 4, value >> 62


def matrix_bytes(value, rows, size, transposed):
    """(rows, 32) shared addresses of a matrix of `rows` x 32 bytes of K; transposed: stored with K outermost."""
    address, leading, stride, swizzle = descriptor(value)
    span = SPANS[swizzle]
    row = np.arange(rows)[:, None]
    byte = np.arange(32)[None, :]
    if transposed:
        k, low = byte // size, byte % size
        run = span // size  # elements of a row of the pattern
        block = (row // run) * (stride if not swizzle else leading)
        place = block + (k // 8) * (leading if not swizzle else stride) + (k % 8) * span + (row % run) * size + low
    elif swizzle:
        place = (row // 8) * stride + (row % 8) * span + byte
    else:
        place = (row // 8) * stride + (byte // 16) * leading + (row % 8) * 16 + byte % 16
    place = address + place
    if swizzle:
        place ^= (place >> 7 & span // 16 - 1) << 4
    return place


def offsets_of(part, places):
    wave = part.wave
    wave.shared.check_in_cta(places.astype(np.uint64).ravel(), 1)
    return places + int(wave.cta_base[part.ids[0]])


# ---- mma_async --------------------------------------------------------------------------------------------------------


def multiply(context, instruction):
    """d, a (descriptor or registers), b, scale-d{, scale-a, scale-b{, transpose-a}{, transpose-b}}"""
    shape = re.search(r"m64n(\d+)k(\d+)", instruction.opcode)
    kinds = [part for part in instruction.parts if part in ELEMENTS or part in ("s32", "f32")]
    if not shape or len(kinds) != 3:
        raise Unknown("no shape m64nNkK of three types")
    columns, (to, kind_a, kind_b) = int(shape.group(1)), kinds
    if int(shape.group(2)) * ELEMENTS[kind_a] != 256:
        raise context.error("expected 32 bytes of K")
    accumulators = [item for item in items(context.operand(0))]
    expected = columns // 2 if to != "f16" else columns // 4
    if len(accumulators) != expected or not all(isinstance(item, Register) for item in accumulators):
        raise context.error(f"expected {expected} registers for the accumulators")
    registers_a = context.operand(1) if isinstance(context.operand(1), Vector) else None
    if registers_a and len(registers_a.items) != 4:
        raise context.error("expected 4 registers for A")
    read_a = [reader(context, item, np.uint32) for item in registers_a.items] if registers_a else context.read(1, np.uint64)
    read_b, scale_d = context.read(2, np.uint64), context.read(3, bool)
    constants = [operand.value for operand in instruction.operands[4:] if isinstance(operand, Immediate)]
    signs = constants[:2] if len(constants) >= 2 else [1, 1]
    transposes = constants[2:] if not registers_a else [0] + constants[2:]
    transposes += [0] * (2 - len(transposes))
    size = ELEMENTS[kind_a] // 8
    saturates = "satfinite" in instruction.parts

    def run(wave, number, part):
        adds = bool(part.full(scale_d(part))[0])
        value_b = int(part.full(read_b(part))[0])
        index_b = offsets_of(part, matrix_bytes(value_b, columns, size, transposes[1]))
        index_a = None
        if registers_a:
            for read in read_a:
                read(part)  # they must have values
            check_fence(wave, part, number, registers_a.items)
            guard(part, registers_a.items, READING)
        else:
            index_a = offsets_of(part, matrix_bytes(int(part.full(read_a(part))[0]), 64, size, transposes[0]))
        check_accumulators(wave, part, accumulators, adds)
        check_fence(wave, part, number, accumulators)
        guard(part, accumulators, WRITING)
        for index in (index_a, index_b):
            if index is not None:
                wave.races.check_proxy(wave.shared, part.warps, index)
                wave.races.read(
                    wave.shared, part.warps[:1] + wave.random.randrange(4), index[:, ::4].ravel().astype(np.uint64), 4, False
                )
                wave.shared.read_bytes(index)
                wave.shared.begin_read(index)

        def finish():
            release(part, accumulators + list(registers_a.items if registers_a else ()))
            a = (
                elements_of(wave, index_a, kind_a)
                if index_a is not None
                else matrix_a(warp_words(part, read_a), kind_a, 16).reshape(64, -1)
            )
            b = elements_of(wave, index_b, kind_b)
            for index in (index_a, index_b):
                if index is not None:
                    wave.shared.end_read(index)
            if is_narrow(kind_a, kind_b, to):
                combine = lambda old: narrow_sum(old, signs[0] * signs[1] * a, b)  # noqa: E731
            else:
                combine = lambda old: accumulate(old, signs[0] * signs[1] * (a @ b.T), to, saturates)  # noqa: E731
            accumulate_into(wave, part, accumulators, combine, columns, to, adds)

        unit(wave, number).open.append(Product(wave.at, part.ids, finish))

    return run


def elements_of(wave, index, kind):
    words = np.ascontiguousarray(wave.shared.read_bytes(index)).view(np.uint32)
    return elements(words, kind).reshape(len(index), -1)


def check_fence(wave, part, number, registers):
    """What threads wrote to the registers is behind a wgmma.fence."""
    fenced_at = unit(wave, number).fenced_at
    if fenced_at < 0:
        raise part.fault(0, "no wgmma.fence before the first wgmma")
    for item in registers:
        register = wave.registers[item.slot]
        if register is not None and register.written_at > fenced_at and np.isin(part.ids[:1], register.written_by.ids).any():
            raise part.fault(0, f"register {item.name} was written after the warpgroup's last wgmma.fence")


def check_accumulators(wave, part, registers, adds):
    """They have values if they are added to; only wgmmas of this warpgroup may have them in use."""
    for item in registers:
        register = wave.registers[item.slot]
        if register is None or (register.guard is not None and (register.guard[part.lanes] == UNDEFINED).any()):
            if adds:
                raise part.fault(0, f"register {item.name} has no value yet, and is added to")
        elif register.guard is not None and (register.guard[part.lanes] == READING).any():
            raise part.fault(0, f"register {item.name} {GUARDS[READING]}, and is written")


def guard(part, registers, code):
    wave = part.wave
    users = wave.units.setdefault("wgmma.users", {})
    for item in registers:
        if wave.registers[item.slot] is None:
            wave.registers[item.slot] = Bits(item, wave.threads)
        wave.registers[item.slot].guard_lanes(part.lanes, code)
        key = item.slot, int(part.ids[0])
        users[key] = users.get(key, 0) + 1


def release(part, registers):
    """The last wgmma that uses a register frees it."""
    wave = part.wave
    users = wave.units["wgmma.users"]
    for item in registers:
        key = item.slot, int(part.ids[0])
        users[key] -= 1
        if not users[key]:
            wave.registers[item.slot].release(part.lanes)


def accumulate_into(wave, part, registers, combine, columns, to, adds):
    """d[4 * j + 2 * i + c] of a lane: row g + 8 * i of its warp, column 8 * j + 2 * t + c. `combine` takes 64 x columns."""
    dtype = np.dtype(np.int32 if to == "s32" else np.float32 if to == "f32" else np.float16)
    words = np.zeros((128, len(registers)), np.uint32)
    if adds:
        words = np.stack([wave.registers[item.slot].bits[part.lanes] for item in registers], axis=1)
    old = np.ascontiguousarray(words).view(dtype).reshape(4, 8, 4, columns // 8, 2, 2)  # warp g t, j i c
    result = combine(old.transpose(0, 4, 1, 3, 2, 5).reshape(64, columns))
    result = result.reshape(4, 2, 8, columns // 8, 4, 2).transpose(0, 2, 4, 3, 1, 5)
    result = np.ascontiguousarray(result).reshape(128, -1).view(np.uint32)
    for number, item in enumerate(registers):
        wave.registers[item.slot].bits[part.lanes] = result[:, number]


def before_exit(wave, group):
    for number, state in wave.units.get("wgmma", {}).items():
        for one in [one for products in state.groups for one in products] + state.open:
            if np.isin(one.ids, group.ids).any():
                raise wave.fault(one.ids[0], "exits while its wgmma was not waited for", one.at)
