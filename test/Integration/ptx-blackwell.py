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


# ---- products in tensor memory -------------------------------------------------------------------------------------------

# Kind, types, their numbers, bytes of an element, and D's type and number.
TENSOR = [
    ("i8", "s8", "s8", 1, 1, "s32", 2),
    ("i8", "u8", "s8", 0, 1, "s32", 2),
    ("i8", "s8", "u8", 1, 0, "s32", 2),
    ("f16", "f16", "f16", 0, 0, "f32", 1),
    ("f16", "bf16", "bf16", 1, 1, "f32", 1),
    ("f8f6f4", "e4m3", "e5m2", 0, 1, "f32", 1),
]
COLUMNS = 64


def operand(kind, rows):
    """(rows, 32) bytes of K and the values."""
    if kind in ("s8", "u8"):
        raw = RANDOM.integers(0, 256, (rows, 32)).astype(np.uint8)
        return raw, raw.view(np.int8 if kind == "s8" else np.uint8).astype(np.int64)
    if kind in ("f16", "bf16"):
        values = (RANDOM.integers(-64, 64, (rows, 16)) / 16).astype(np.float32)
        if kind == "f16":
            return np.ascontiguousarray(values.astype(np.float16)).view(np.uint8), values.astype(np.float64)
        return np.ascontiguousarray((values.view(np.uint32) >> 16).astype(np.uint16)).view(np.uint8), values.astype(np.float64)
    words, values = codes_of(kind, rows, 32)
    return words.view(np.uint8), values


def cores(raw):
    """Without swizzle: 8 x 16 bytes lie together, then along rows, then along K."""
    return np.ascontiguousarray(raw.reshape(-1, 8, 2, 16).transpose(2, 0, 1, 3)).reshape(-1)


def swizzled(raw, step):
    """Step `step` of lines of 128 bytes, swizzled; the rest is of no meaning."""
    lines = RANDOM.integers(0, 256, (len(raw), 128)).astype(np.uint8)
    lines[:, 32 * step : 32 * step + 32] = raw
    pieces = lines.reshape(-1, 8, 16)
    rows = np.arange(len(raw))[:, None]
    out = np.empty_like(pieces)
    out[rows, np.arange(8)[None] ^ rows % 8] = pieces
    return out.reshape(-1)


# Threads copy both matrices, the first multiplies twice, each warp loads its 32 rows of sums; then the first begins them anew.
PRODUCT = """.shared .align 1024 .b8 a[{a}]; .shared .align 1024 .b8 b[{b}]; .shared .align 8 .b8 bar[8]; .shared .align 8 .b8 slot[8];
.reg .b32 t, at, w, s, tm, row, d<{registers}>; .reg .b64 from, da, db; .reg .pred first, warp0, done, more, no, yes;
mov.u32 t, %tid.x; setp.eq.u32 first, t, 0; setp.lt.u32 warp0, t, 32; shl.b32 at, t, 2;
{copies}
mov.u32 s, bar; @first mbarrier.init.shared.b64 [s], 1; @first fence.mbarrier_init.release.cluster;
{proxy}
mov.u32 w, slot; @!warp0 bra A; tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [w], {columns};
tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;
A: tcgen05.fence::before_thread_sync; bar.sync 0; tcgen05.fence::after_thread_sync; ld.shared.b32 tm, [w];
mov.u32 w, a; cvt.u64.u32 da, w; shr.u64 da, da, 4; add.s64 da, da, {step}; or.b64 da, da, {describe_a};
mov.u32 w, b; cvt.u64.u32 db, w; shr.u64 db, db, 4; or.b64 db, db, {describe_b};
setp.ne.u32 no, t, t; setp.eq.u32 yes, t, t; @!first bra W;
tcgen05.mma.cta_group::1.kind::{kind}.collector::a::discard [tm], da, db, {instruction}, no;
tcgen05.mma.cta_group::1.kind::{kind} [tm], da, db, {instruction}, yes;
tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [s];
W: {wait}
{fence}
shr.u32 row, t, 5; shl.b32 row, row, 21; add.s32 tm, tm, row;
{loads}
{order} sub.s32 tm, tm, row;
@first tcgen05.mma.cta_group::1.kind::{kind} [tm], da, db, {instruction}, no;
@first tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [s];
V: mbarrier.try_wait.parity.shared.b64 done, [s], 1; @!done bra V;
@warp0 {free}
"""
WAIT = "mbarrier.try_wait.parity.shared.b64 done, [s], 0; @!done bra W;"
FENCE = "tcgen05.fence::after_thread_sync;"
ORDER = "tcgen05.fence::before_thread_sync; bar.sync 0; tcgen05.fence::after_thread_sync;"
FREE = "tcgen05.dealloc.cta_group::1.sync.aligned.b32 tm, {columns};"


def product_text(kind, instruction, shape="16x256b", swizzle=False, by_columns=False, wait=WAIT, fence=FENCE, load_wait="tcgen05.wait::ld.sync.aligned;", order=ORDER, free=FREE, proxy="fence.proxy.async.shared::cta;"):
    """Sums go out as the lanes hold them: (load, thread, register)."""
    size_a, size_b = (128 * 128, COLUMNS * 128) if swizzle else (128 * 32, COLUMNS * 32)
    copies = "".join(
        f"mov.u32 w, {name}; add.u32 w, w, at; add.s64 from, {pointer}, 0; cvt.u64.u32 da, at; add.s64 from, from, da;\n"
        + "".join(f"ld.global.b32 row, [from+{i}]; st.shared.b32 [w+{i}], row;\n" for i in range(0, size, 512))
        for name, pointer, size in (("a", "p0", size_a), ("b", "p1", size_b))
    )
    loads, count = ([(0, 16), (16, 16)], COLUMNS // 8) if shape == "16x256b" else ([(0, 32)], COLUMNS)
    registers = COLUMNS // 2 if shape == "16x256b" else COLUMNS
    names = ", ".join(f"d{i}" for i in range(registers))
    text = ""
    for number, (lane, _) in enumerate(loads):
        text += f"add.s32 w, tm, {lane << 16}; tcgen05.ld.sync.aligned.{shape}.x{count}.b32 {{{names}}}, [w];\n{load_wait}\n"
        text += f"mul.wide.u32 from, t, {4 * registers}; add.s64 from, from, p2;\n"
        text += "".join(f"st.global.b32 [from+{128 * 4 * registers * number + 4 * i}], d{i};\n" for i in range(registers))
    layout = 1 << 46 | (2 << 61 | 64 << 32 | 1 << 16 if swizzle else 8 << 32)
    rows = lambda count: 0 if swizzle else count << 16  # noqa: E731 distance along K, in units of 16 bytes
    describe_b = 1 << 46 | 2 << 61 | 64 << 32 | 1 << 16 if by_columns else (layout | rows(COLUMNS)) + (4 if swizzle else 0)
    body = PRODUCT.format(a=size_a, b=size_b, registers=registers, copies=copies, columns=COLUMNS, kind=kind, instruction=instruction, proxy=proxy,
                          step=4 if swizzle else 0, describe_a=layout | rows(128), describe_b=describe_b,
                          wait=wait, fence=fence, loads=text, order=order, free=free.format(columns=COLUMNS))
    return for_chip(kernel(body, 3), "sm_100a", "8.6")


def run_product(case, shape, swizzle, by_columns=False, **options):
    kind, kind_a, kind_b, number_a, number_b, to, number = case
    (raw_a, a), (raw_b, b) = operand(kind_a, 128), operand(kind_b, COLUMNS)
    stored = [swizzled(raw, 2) if swizzle else cores(raw) for raw in (raw_a, raw_b)]
    if by_columns:  # 16 k of 64 columns of two bytes, lines of a swizzle's pattern
        lines = np.ascontiguousarray(raw_b.view(np.uint16).T).view(np.uint8).reshape(16, 8, 16)
        stored[1] = np.empty_like(lines)
        stored[1][np.arange(16)[:, None], np.arange(8)[None] ^ np.arange(16)[:, None] % 8] = lines
    instruction = number << 4 | number_a << 7 | number_b << 10 | by_columns << 16 | COLUMNS // 8 << 17 | 128 // 16 << 24
    dtype = np.int32 if to == "s32" else np.float32
    result = output((2, 128, COLUMNS // 2) if shape == "16x256b" else (128, COLUMNS), dtype)
    text = product_text(kind, instruction, shape, swizzle, by_columns, **options)
    return text, [*stored, result], 2 * (a @ b.T), np.abs(a) @ np.abs(b).T


def test_tensor_products():
    ways = [(case, shape, swizzle, False) for case in TENSOR for shape in ("16x256b", "32x32b") for swizzle in (False, True)]
    ways += [(case, "16x256b", False, True) for case in TENSOR if case[0] == "f16"]
    for case, shape, swizzle, by_columns in ways:
        text, arrays, expected, magnitude = run_product(case, shape, swizzle, by_columns)
        found = run(text, 1, 128, arrays)[-1]
        if shape == "16x256b":  # load, warp, g, t, j, i, c -> warp, load, i, g, j, t, c
            found = found.reshape(2, 4, 8, 4, COLUMNS // 8, 2, 2).transpose(1, 0, 5, 2, 4, 3, 6).reshape(128, COLUMNS)
        error = np.abs(found - expected)
        assert (error <= (0 if case[0] == "i8" else 2.0**-18) * magnitude).all(), f"{case} {shape} {swizzle} {by_columns}: {error.max()}"


def test_what_products_must_wait_for():
    def refuses(pattern, **options):
        text, arrays, _, _ = run_product(TENSOR[0], "16x256b", False, **options)
        fails(pattern, text, 1, 128, arrays)

    refuses("products of these sums are under way", wait="")
    refuses("loads sums without tcgen05.fence::after_thread_sync", fence="")
    refuses("is written by an asynchronous operation that has not been waited for", load_wait="")
    refuses("tensor memory was not given back", free="mov.u32 w, w;")
    refuses("without a fence.proxy.async", proxy="")
    refuses("race: writes sums", order="tcgen05.fence::before_thread_sync;")
    refuses("without tcgen05.fence::before_thread_sync", order="bar.sync 0; tcgen05.fence::after_thread_sync;")
    refuses("is no allocation", free="tcgen05.dealloc.cta_group::1.sync.aligned.b32 tm, 32;")


if __name__ == "__main__":
    main(globals())
