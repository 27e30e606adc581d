"""ldmatrix, stmatrix, mma.sync: matrices spread over the registers of a warp.

Fragments of every element size follow one rule. Lane = 4 * g + t; a register holds E = 32 / bits elements. A: register i
has row g + 8 * (i % 2), columns E * t .. + E of half i / 2 of K; B: register i has column g, the same rows of half i;
accumulators: row g + 8 * (i / 2), column 2 * t + i % 2. Integer results are exact and wrap; float products are summed in
float64 and rounded once, where the chip's own order and width are not documented. Those of floats of 8 bits lose what a
narrow sum loses on Hopper and Ada: `narrow_sum`.
"""

import re

import numpy as np

from .decode import Unknown, items, opcode
from .formats import FORMATS, decode
from .loads import shared_offsets
from .operands import reader, writer
from .warps import converging

ELEMENTS = {"s8": 8, "u8": 8, "s4": 4, "u4": 4, "b1": 1, "f16": 16, "bf16": 16, "tf32": 32, "e4m3": 8, "e5m2": 8}
E4M3, E5M2 = (decode(np.arange(256), FORMATS[name]) for name in ("e4m3", "e5m2"))


def elements(words, kind):
    """uint32 (...) -> float64 or float32 (..., E): exact values, lowest bits first."""
    words = np.ascontiguousarray(words)
    count = 32 // ELEMENTS[kind]
    shape = words.shape + (count,)
    if kind in ("s8", "u8"):
        return words.view(np.int8 if kind == "s8" else np.uint8).reshape(shape).astype(np.float32)
    if kind in ("e4m3", "e5m2"):
        return (E4M3 if kind == "e4m3" else E5M2)[words.view(np.uint8).reshape(shape)]
    if kind == "f16":
        return words.view(np.float16).reshape(shape).astype(np.float64)
    if kind == "bf16":
        return (words.view(np.uint16).reshape(shape).astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    if kind == "tf32":
        return (words & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64).reshape(shape)
    bits = ELEMENTS[kind]
    codes = words[..., None] >> (np.arange(count, dtype=np.uint32) * np.uint32(bits)) & np.uint32((1 << bits) - 1)
    if kind == "s4":
        return (codes.astype(np.int32) - ((codes & 8).astype(np.int32) << 1)).astype(np.float32)
    return codes.astype(np.float32)


def check_whole(group):
    if group.count % 32:
        raise group.fault(0, "wants all 32 threads of the warp, some have left")


def warp_words(group, reads):
    """(warps, 8, 4, registers) uint32: what the lanes of each warp hold."""
    check_whole(group)
    return np.stack([group.full(read(group)) for read in reads], axis=1).reshape(-1, 8, 4, len(reads))


def matrix_a(words, kind, rows):
    """(warps, rows, K)"""
    values = elements(words, kind)  # warp g t i e
    warps, count = len(values), values.shape[-1]
    halves = rows // 8
    values = values.reshape(warps, 8, 4, -1, halves, count)  # warp g t k-half row-half e
    return values.transpose(0, 4, 1, 3, 2, 5).reshape(warps, rows, -1)


def matrix_b(words, kind):
    """(warps, N, K)"""
    values = elements(words, kind)  # warp g t i e
    return values.transpose(0, 1, 3, 2, 4).reshape(len(values), 8, -1)


def accumulator_values(words, kind):
    """(warps, rows, 8) of the registers of C."""
    if kind in ("f16", "bf16"):
        pairs = elements(words, kind)  # warp g t row-half e
        return pairs.transpose(0, 3, 1, 2, 4).reshape(len(words), -1, 8)
    dtype = np.int32 if kind == "s32" else np.float32
    values = np.ascontiguousarray(words).view(dtype)  # warp g t i
    warps = len(values)
    return values.reshape(warps, 8, 4, -1, 2).transpose(0, 3, 1, 2, 4).reshape(warps, -1, 8)


def accumulator_words(values, kind):
    """(warps, rows, 8) -> (threads, registers) uint32."""
    warps, rows = values.shape[:2]
    values = values.reshape(warps, rows // 8, 8, 4, 2).transpose(0, 2, 3, 1, 4)  # warp g t row-half e
    if kind == "f16":
        return np.ascontiguousarray(values.astype(np.float16)).view(np.uint32).reshape(32 * warps, -1)
    return np.ascontiguousarray(values).view(np.uint32).reshape(32 * warps, -1)


def product(a, b, operation=None):
    """(..., M, K) x (..., N, K) -> (..., M, N), exact for integers."""
    transposed = np.swapaxes(b, -1, -2)
    if operation == "xor":
        return a.sum(axis=-1)[..., :, None] + b.sum(axis=-1)[..., None, :] - 2 * (a @ transposed)
    return a @ transposed


def accumulate(old, sums, kind, saturates=False):
    if kind == "s32":
        if saturates:
            return np.clip(old.astype(np.int64) + sums.astype(np.int64), -(2**31), 2**31 - 1).astype(np.int32)
        return old + sums.astype(np.int32)
    total = old.astype(np.float64) + sums
    return total.astype(np.float32) if kind == "f32" else total.astype(np.float16)


NARROW_BITS = 13  # behind the binary point of the largest addend


def narrow_sum(old, a, b):
    """old + a b of floats of 8 bits: all addends of an instruction are cut off at one place, and so is their sum."""
    cut = lambda values, unit: np.trunc(values / unit) * unit  # noqa: E731
    unit_of = lambda values: np.exp2(np.frexp(np.where(values > 0, values, 1.0))[1] - 1.0 - NARROW_BITS)  # noqa: E731
    addends = a.astype(np.float64)[..., :, None, :] * b.astype(np.float64)[..., None, :, :]
    if not np.isfinite(addends).all():
        return (old.astype(np.float64) + addends.sum(axis=-1)).astype(np.float32)
    old = old.astype(np.float64)
    unit = unit_of(np.maximum(np.abs(addends).max(axis=-1), np.abs(old)))
    sums = cut(old, unit) + cut(addends, unit[..., None]).sum(axis=-1)
    return cut(sums, unit_of(np.abs(sums))).astype(np.float32)


def is_narrow(kind_a, kind_b, to):
    return to == "f32" and ELEMENTS[kind_a] == ELEMENTS[kind_b] == 8


@opcode("mma")
def multiply_accumulate(context, instruction):
    """mma.sync.aligned.mMnNkK.row.col{.satfinite}.d.a.b.c{.op.popc} d, a, b, c"""
    instruction.control = True
    parts = instruction.parts
    if "block_scale" in parts:
        return scaled.multiply_scaled(context, instruction)
    shape = next((re.fullmatch(r"m(8|16)n8k(\d+)", part) for part in parts if part.startswith("m") and part[1].isdigit()), None)
    kinds = [part for part in parts if part in ELEMENTS or part in ("s32", "f32")]
    if not shape or len(kinds) != 4 or "sp" in parts or "kind" in instruction.opcode:
        raise Unknown("no dense shape m8 or m16, n8")
    rows, depth = int(shape.group(1)), int(shape.group(2))
    to, kind_a, kind_b, kind_c = kinds
    sizes = [
        rows * depth * ELEMENTS[kind_a] // 1024,
        8 * depth * ELEMENTS[kind_b] // 1024,
        rows // 8 * (1 if kind_c == "f16" else 2),
    ]
    reads = [
        [reader(context, item, np.float32 if kind == "f32" else np.uint32) for item in items(context.operand(number))]
        for number, kind in ((1, kind_a), (2, kind_b), (3, kind_c))
    ]
    if kind_c == "f32":
        reads[2] = [lambda group, read=read: read(group).view(np.uint32) for read in reads[2]]
    if [len(one) for one in reads] != sizes or not all(sizes):
        raise context.error(f"expected {sizes[0]}, {sizes[1]} and {sizes[2]} registers for A, B and C")
    writes = [writer(context, item) for item in items(context.operand(0))]
    operation = "xor" if "xor" in parts else None

    def run(group):
        a, b, c = [warp_words(group, one) for one in reads]
        a, b, old = matrix_a(a, kind_a, rows), matrix_b(b, kind_b), accumulator_values(c, kind_c)
        if is_narrow(kind_a, kind_b, to):
            result = narrow_sum(old, a, b)
        else:
            result = accumulate(old, product(a, b, operation), "s32" if to == "s32" else to, "satfinite" in parts)
        words = accumulator_words(result, to)
        for number, write in enumerate(writes):
            write(group, words[:, number])

    return converging(run)


# ---- 8x8 matrices of 16-bit elements ----------------------------------------------------------------------------------


def matrices_of(instruction):
    if not {"m8n8", "b16"} <= set(instruction.parts):
        raise Unknown("only .m8n8 of .b16")
    return int(next(part for part in instruction.parts if part in ("x1", "x2", "x4"))[1])


def row_addresses(group, addresses, count):
    """(group that gives the rows, its offsets): lanes 8k .. 8k + 7 of each warp give the rows of matrix k."""
    check_whole(group)
    rows = group.part((group.ids & 31) < 8 * count)
    where = addresses[(group.ids & 31) < 8 * count]
    where = np.where(where >= np.uint64(1 << 44), where - np.uint64(1 << 44), where)
    group.wave.shared.check_alignment(where, 16)
    return rows, shared_offsets(rows, where, 16)


@opcode("ldmatrix")
def load_matrix(context, instruction):
    instruction.control = True
    count, transposes = matrices_of(instruction), "trans" in instruction.parts
    writes, address = context.writes(0), context.address(1)
    if len(writes) != count:
        raise context.error(f"expected {count} registers")

    def run(group):
        rows, offsets = row_addresses(group, address(group), count)
        words = group.wave.shared.load(rows.warps, offsets, 4, 4).reshape(-1, count, 8, 4)
        if transposes:
            halves = np.ascontiguousarray(words).view(np.uint16).reshape(-1, count, 8, 8)
            words = np.ascontiguousarray(halves.transpose(0, 1, 3, 2)).view(np.uint32)
        for number, write in enumerate(writes):
            write(group, words[:, number].reshape(-1))

    return converging(run)


@opcode("stmatrix")
def store_matrix(context, instruction):
    instruction.control = True
    count, transposes = matrices_of(instruction), "trans" in instruction.parts
    address, reads = context.address(0), context.reads(1, np.uint32)
    if len(reads) != count:
        raise context.error(f"expected {count} registers")

    def run(group):
        check_whole(group)
        words = np.stack([group.full(read(group)).reshape(-1, 8, 4) for read in reads], axis=1)
        if transposes:
            halves = np.ascontiguousarray(words).view(np.uint16).reshape(-1, count, 8, 8)
            words = np.ascontiguousarray(halves.transpose(0, 1, 3, 2)).view(np.uint32)
        rows, offsets = row_addresses(group, address(group), count)
        group.wave.shared.store(rows.warps, offsets, np.ascontiguousarray(words).reshape(-1, 4), 4, 4)

    return converging(run)


@opcode("movmatrix")
def move_matrix(context, instruction):
    instruction.control = True
    read, write = context.read(1, np.uint32), context.write()

    def run(group):
        halves = np.ascontiguousarray(group.full(read(group))).view(np.uint16).reshape(-1, 8, 8)
        write(group, np.ascontiguousarray(halves.transpose(0, 2, 1)).view(np.uint32).reshape(-1))

    return converging(run)


from . import scaled  # noqa: E402 it uses what is above
