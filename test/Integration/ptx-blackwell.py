# The PTX emulator's instructions of Blackwell chips equal numpy's, computed from what PTX says of whole matrices; what PTX calls
# undefined is an error.
#
# RUN: python3 %s

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))
from kernels import HEADER, fails, kernel, main, output, run  # noqa: E402
import numpy as np

RANDOM = np.random.default_rng(13)
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def minifloat(codes, exponent, mantissa):
    """Values of 8-bit floats, from the definition."""
    bias, e, m = 2 ** (exponent - 1) - 1, codes >> mantissa & (1 << exponent) - 1, codes & (1 << mantissa) - 1
    size = np.where(e > 0, (1 + m / 2**mantissa) * 2.0 ** (e - bias), m / 2**mantissa * 2.0 ** (1 - bias))
    return np.where(codes >> 7 & 1, -size, size)


def for_chip(text, chip, version):
    return text.replace(HEADER, f".version {version}\n.target {chip}\n.address_size 64\n")


# ---- mma with block scales ---------------------------------------------------------------------------------------------

SCALED = [
    ("mxf8f6f4", "1X", "e4m3", "e4m3", "ue8m0"),
    ("mxf8f6f4", "1X", "e5m2", "e4m3", "ue8m0"),
    ("mxf4", "2X", "e2m1", "e2m1", "ue8m0"),
    ("mxf4nvf4", "2X", "e2m1", "e2m1", "ue8m0"),
    ("mxf4nvf4", "4X", "e2m1", "e2m1", "ue4m3"),
]


def codes_of(kind, rows, depth):
    """(rows, words of K) and the values."""
    if kind == "e2m1":
        codes = RANDOM.integers(0, 16, (rows, depth)).astype(np.uint8)
        return np.ascontiguousarray(codes[:, ::2] | codes[:, 1::2] << 4).view(np.uint32), E2M1[codes]
    codes = RANDOM.integers(0, 256, (rows, depth)).astype(np.uint8)
    codes = np.where((codes & 0x7F) > 0x58, 0x31, codes).astype(np.uint8)
    return codes.view(np.uint32), minifloat(codes.astype(np.int64), *((4, 3) if kind == "e4m3" else (5, 2)))


def scales_of(kind, rows, count):
    if kind == "ue8m0":
        codes = RANDOM.integers(124, 131, (rows, count))
        return codes, 2.0 ** (codes - 127)
    codes = RANDOM.integers(0x20, 0x50, (rows, count))
    return codes, minifloat(codes, 4, 3)


def scaled_text(kind, count, a, b, scale, selectors):
    depth = 64 if a == "e2m1" else 32
    names = {"a": 4, "b": 2, "c": 4, "s": 2}
    body = ".reg .b32 t;\n.reg .b64 at;\n.reg .b32 s<2>, a<4>, b<2>, c<4>, d<4>;\nmov.u32 t, %tid.x;\n"
    for number, (letter, size) in enumerate(names.items()):
        body += f"mul.wide.u32 at, t, {4 * size};\nadd.s64 at, at, p{number};\n"
        body += "".join(f"ld.global.b32 {letter}{i}, [at+{4 * i}];\n" for i in range(size))
    (byte_a, thread_a), (byte_b, thread_b) = selectors
    body += f"mma.sync.aligned.m16n8k{depth}.row.col.kind::{kind}.block_scale.scale_vec::{count}.f32.{a}.{b}.f32.{scale} "
    body += "{d0, d1, d2, d3}, {a0, a1, a2, a3}, {b0, b1}, {c0, c1, c2, c3}, "
    body += f"s0, {{{byte_a}, {thread_a}}}, s1, {{{byte_b}, {thread_b}}};\n"
    body += "mul.wide.u32 at, t, 16;\nadd.s64 at, at, p4;\n" + "".join(f"st.global.b32 [at+{4 * i}], d{i};\n" for i in range(4))
    return for_chip(kernel(body, 5), "sm_120a", "8.7")


def scaled_operands(kind_a, kind_b, scale, chunks, selectors):
    """What lanes hold of random matrices, and D. Bytes and lanes that no selector names hold other scales."""
    depth = 64 if kind_a == "e2m1" else 32
    (words_a, a), (words_b, b) = codes_of(kind_a, 16, depth), codes_of(kind_b, 8, depth)
    (codes_a, scale_a), (codes_b, scale_b) = scales_of(scale, 16, chunks), scales_of(scale, 8, chunks)
    c = RANDOM.integers(-100, 100, (16, 8)).astype(np.float32) / 8
    lanes = np.arange(32)
    g, t = lanes // 4, lanes % 4
    fragment_a = np.stack([words_a[g + 8 * (i % 2), t + 4 * (i // 2)] for i in range(4)], axis=1)
    fragment_b = np.stack([words_b[g, t + 4 * i] for i in range(2)], axis=1)
    fragment_c = np.stack([c[g + 8 * (i // 2), 2 * t + i % 2] for i in range(4)], axis=1)
    held = RANDOM.integers(1, 0x70, (32, 2, 4)).astype(np.uint8)
    (byte_a, thread_a), (byte_b, thread_b) = selectors
    for row in range(16):
        held[4 * (row % 8) + 2 * thread_a + row // 8, 0, byte_a : byte_a + chunks] = codes_a[row]
    for column in range(8):
        held[4 * column + thread_b, 1, byte_b : byte_b + chunks] = codes_b[column]
    spread = lambda scales: np.repeat(scales, depth // chunks, axis=1)  # noqa: E731
    product = (a * spread(scale_a)) @ (b * spread(scale_b)).T
    magnitude = np.abs(a * spread(scale_a)) @ np.abs(b * spread(scale_b)).T + np.abs(c)
    return [fragment_a, fragment_b, fragment_c, held.view(np.uint32).reshape(32, 2)], c + product, magnitude


def test_block_scales():
    for kind, count, a, b, scale in SCALED:
        chunks = int(count[0])
        for byte_a, thread_a, byte_b, thread_b in [(0, 0, 0, 0), (4 - chunks, 1, 0, 3), (0, 1, 4 - chunks, 2), (0, 0, 0, 1)]:
            selectors = (byte_a, thread_a), (byte_b, thread_b)
            operands, expected, magnitude = scaled_operands(a, b, scale, chunks, selectors)
            text = scaled_text(kind, count, a, b, scale, selectors)
            found = run(text, 1, 32, [*operands, output((32, 4), np.float32)])[-1]
            found = found.reshape(8, 4, 2, 2).transpose(2, 0, 1, 3).reshape(16, 8)
            assert (np.abs(found - expected) <= 2.0**-19 * magnitude).all(), f"{kind} {count} {selectors}"


def test_what_the_unit_keeps():
    """One product of 2^15 beside small ones: what is 25 bits below it is cut off."""
    operands, _, _ = scaled_operands("e5m2", "e5m2", "ue8m0", 1, ((0, 0), (0, 0)))
    large, small = 0x6C, 0x00  # 2^12, 0
    codes = np.full((16, 32), small, np.uint8)
    codes[:, 0], codes[:, 1] = large, 0x04  # 2^-14
    words = codes.view(np.uint32)
    g, t = np.arange(32) // 4, np.arange(32) % 4
    operands[0] = np.stack([words[g + 8 * (i % 2), t + 4 * (i // 2)] for i in range(4)], axis=1)
    operands[1] = np.stack([words[g, t + 4 * i] for i in range(2)], axis=1)
    operands[2] = np.full((32, 4), -(2.0**24), np.float32)
    operands[3] = np.full((32, 2), 0x7F7F7F7F, np.uint32)
    text = scaled_text("mxf8f6f4", "1X", "e5m2", "e5m2", "ue8m0", ((0, 0), (0, 0)))
    assert (run(text, 1, 32, [*operands, output((32, 4), np.float32)])[-1] == 0).all()


def test_scales_that_are_undefined():
    for kind, count, a, b, scale in SCALED[2:4]:
        operands, _, _ = scaled_operands(a, b, scale, 2, ((0, 0), (0, 0)))
        wrong = scaled_text(kind, count, a, b, scale, ((1, 0), (0, 0)))
        fails(r"a selector of scales is \[1\], expected one of \[0, 2\]", wrong, 1, 32, [*operands, output((32, 4), np.float32)])
    operands, _, _ = scaled_operands("e2m1", "e2m1", "ue4m3", 4, ((0, 0), (0, 0)))
    operands[3][0, 0] |= 0x80
    text = scaled_text(*SCALED[4], ((0, 0), (0, 0)))
    fails("a scale of ue4m3 has seven bits", text, 1, 32, [*operands, output((32, 4), np.float32)])


if __name__ == "__main__":
    main(globals())
