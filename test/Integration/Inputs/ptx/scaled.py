"""mma.sync with .block_scale: D = (A * scale_A) * (B * scale_B) + C, as PTX ISA 9.1 says, 9.7.14.3 and 9.7.14.5.

A chunk of a row of A, or of a column of B, has one scale: K is one chunk (1X), two (2X) or four (4X). Of each four lanes the
pair that thread-id-a names has the scales of rows g and g + 8, the lane that thread-id-b names those of column g; they begin
at the byte that byte-id names. The text says in which lanes they are; that the lower lane of a pair has row g is its figure.

How many bits the unit keeps is not in the text: as MMA-Sim has it (arXiv 2511.10909), products of floats of 8 bits are cut
off 25 bits behind the largest addend's binary point, sums of 16 products of 4 bits 35 behind, and the result to f32.
"""

import re

import numpy as np

from .decode import Unknown, items
from .formats import FORMATS, decode, to_f32
from .matrix import accumulator_values, accumulator_words, check_whole, matrix_a, matrix_b, warp_words
from .operands import reader, writer
from .warps import converging

# (kind, element bits, scale type) -> the chunks it may have; the first where none is said, 0: one must be
CHUNKS = {
    ("mxf8f6f4", 8, "ue8m0"): (1, 1),
    ("mxf4", 4, "ue8m0"): (2, 2),
    ("mxf4nvf4", 4, "ue8m0"): (0, 2),
    ("mxf4nvf4", 4, "ue4m3"): (0, 4),
}
ELEMENTS = {"e4m3": 8, "e5m2": 8, "e2m1": 4}
TOGETHER = 16  # products of 4 bits that are summed exactly


def scale_values(codes, kind):
    """float64 of bytes."""
    if kind == "ue4m3":
        return decode(codes, FORMATS["e4m3"])
    return np.where(codes == 255, np.nan, np.exp2(codes.astype(np.float64) - 127))


def scales(words, lanes, first, count, kind):
    """words (warps, 8, 4), lanes of each four -> (warps, 8 * lanes, count): rows g, then g + 8."""
    chosen = np.ascontiguousarray(words[:, :, lanes].transpose(0, 2, 1)).view(np.uint8).reshape(len(words), -1, 4)
    return scale_values(chosen[..., first : first + count], kind), chosen[..., first : first + count]


def cut(values, unit):
    return np.trunc(values / unit) * unit


def fused_sum(old, addends, bits):
    """old + the last axis of addends, all cut off at one place, and the sum to f32."""
    total = old.astype(np.float64) + addends.sum(axis=-1)
    if not np.isfinite(total).all():
        return total.astype(np.float32)
    largest = np.maximum(np.abs(addends).max(axis=-1), np.abs(old))
    unit = np.exp2(np.frexp(np.where(largest > 0, largest, 1.0))[1] - 1.0 - bits)
    return to_f32(cut(old.astype(np.float64), unit) + cut(addends, unit[..., None]).sum(axis=-1), "rz")


def multiply(a, b, old, scale_a, scale_b):
    """(warps, M, K) and scales (warps, M, chunks), the same of N."""
    spread = lambda scale, depth: np.repeat(scale, depth // scale.shape[-1], axis=-1)  # noqa: E731
    depth = a.shape[-1]
    if depth == 64:
        parts = lambda x: x.reshape(*x.shape[:-1], depth // TOGETHER, TOGETHER)  # noqa: E731
        sums = (parts(a)[..., :, None, :, :] * parts(b)[..., None, :, :, :]).sum(axis=-1)
        of_part = lambda scale: spread(scale, depth // TOGETHER)  # noqa: E731
        return fused_sum(old, sums * of_part(scale_a)[..., :, None, :] * of_part(scale_b)[..., None, :, :], 35)
    a, b = a * spread(scale_a, depth), b * spread(scale_b, depth)
    return fused_sum(old, a[..., :, None, :] * b[..., None, :, :], 25)


def selectors(context, number, allowed):
    """A reader of {byte-id, thread-id}, each one of what is allowed."""
    reads = [reader(context, item, np.uint16) for item in items(context.operand(number))]
    if len(reads) != 2:
        raise context.error("expected a byte and a thread as selectors of scales")

    def read(group):
        found = []
        for one, what in zip(reads, allowed):
            values = np.unique(group.full(one(group)))
            if len(values) != 1 or values[0] not in what:
                raise group.fault(0, f"a selector of scales is {values.tolist()}, expected one of {list(what)}")
            found.append(int(values[0]))
        return found

    return read


def multiply_scaled(context, instruction):
    """mma.sync.aligned.m16n8kK.row.col.kind.block_scale{.scale_vec::nX}.f32.a.b.f32.s d, a, b, c, word, {byte, thread}, ..."""
    parts = instruction.parts
    shape = re.search(r"\.m16n8k(32|64)\.row\.col\.", instruction.opcode)
    kind = next((part[6:] for part in parts if part.startswith("kind::")), None)
    types = parts[-5:]
    if not shape or types[0] != "f32" or types[3] != "f32" or types[1] not in ELEMENTS or types[2] not in ELEMENTS:
        raise Unknown("no m16n8k32 or m16n8k64 of floats of 8 or 4 bits and f32")
    kind_a, kind_b, scale_kind, bits = types[1], types[2], types[4], ELEMENTS[types[1]]
    fallback, wanted = CHUNKS.get((kind, bits, scale_kind), (None, None))
    count = next((int(part[11]) for part in parts if part.startswith("scale_vec::")), fallback)
    if wanted is None or count != wanted or ELEMENTS[kind_b] != bits or int(shape.group(1)) != 256 // bits:
        raise context.error("types, shape, kind and number of scales do not go together")
    sizes = [len(items(context.operand(number))) for number in (0, 1, 2, 3)]
    if sizes != [4, 4, 2, 4]:
        raise context.error(f"expected 4, 4, 2 and 4 registers for D, A, B and C, found {sizes}")
    reads = [[reader(context, item, np.uint32) for item in items(context.operand(number))] for number in (1, 2)]
    reads_c = [reader(context, item, np.float32) for item in items(context.operand(3))]
    words = [reader(context, context.operand(number), np.uint32) for number in (4, 6)]
    bytes_ = range(0, 5 - count, count)
    selects = [selectors(context, 5, (bytes_, range(2))), selectors(context, 7, (bytes_, range(4)))]
    writes = [writer(context, item) for item in items(context.operand(0))]

    def run(group):
        check_whole(group)
        a, b = (warp_words(group, one) for one in reads)
        old = warp_words(group, [lambda part, read=read: read(part).view(np.uint32) for read in reads_c])
        factors = []
        for word, select, lanes in zip(words, selects, (lambda t: [2 * t, 2 * t + 1], lambda t: [t])):
            byte, thread = select(group)
            held = np.ascontiguousarray(group.full(word(group))).reshape(-1, 8, 4)
            values, codes = scales(held, lanes(thread), byte, count, scale_kind)
            if scale_kind == "ue4m3" and (codes > 127).any():
                raise group.fault(0, "a scale of ue4m3 has seven bits, found one with the eighth set")
            factors.append(values)
        if bits == 4:
            a, b = four_bits(a, matrix_a, 16), four_bits(b, matrix_b)
        else:
            a, b = matrix_a(a, kind_a, 16), matrix_b(b, kind_b)
        words_ = accumulator_words(multiply(a, b, accumulator_values(old, "f32"), *factors), "f32")
        for number, write in enumerate(writes):
            write(group, words_[:, number])

    return converging(run)


def four_bits(words, matrix, *rows):
    """Fragments of e2m1 lie as those of integers of 4 bits."""
    codes = matrix(words, "u4", *rows).astype(np.int64)
    return decode(codes, FORMATS["e2m1"])
