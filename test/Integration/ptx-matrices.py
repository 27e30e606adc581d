# The PTX emulator's matrix instructions, tensor copies and warpgroup products equal numpy on every layout that qlow uses; a
# wgmma that is not waited for, or registers written without a fence, are errors.
#
# RUN: python3 %s
#
# On a machine with a GPU, the same against the chip:   python3 test/Integration/ptx-matrices.py --gpu

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))
from kernels import Map, fails, kernel, main, output, run  # noqa: E402
import numpy as np

RANDOM = np.random.default_rng(11)
LANE = ".reg .b32 t, s, x;\n.reg .b64 at, from;\n.reg .pred p, first, done;\nmov.u32 t, %tid.x;\nsetp.eq.u32 first, t, 0;\n"


def minifloat(codes, exponent, mantissa):
    """Values of 8-bit floats, from the definition."""
    bias, e, m = 2 ** (exponent - 1) - 1, codes >> mantissa & (1 << exponent) - 1, codes & (1 << mantissa) - 1
    size = np.where(e > 0, (1 + m / 2**mantissa) * 2.0 ** (e - bias), m / 2**mantissa * 2.0 ** (1 - bias))
    return np.where(codes >> 7 & 1, -size, size)


def operand(kind, rows, depth):
    """(rows, bytes of K) as stored, and the values."""
    if kind in ("s8", "u8"):
        values = (
            RANDOM.integers(-128, 128, (rows, depth)).astype(np.int8)
            if kind == "s8"
            else RANDOM.integers(0, 256, (rows, depth)).astype(np.uint8)
        )
        return values.view(np.uint8), values.astype(np.int64)
    if kind in ("s4", "u4"):
        codes = RANDOM.integers(0, 16, (rows, depth)).astype(np.uint8)
        values = codes.astype(np.int64) - (16 * (codes > 7) if kind == "s4" else 0)
        return codes[:, ::2] | codes[:, 1::2] << 4, values
    if kind == "b1":
        bits = RANDOM.integers(0, 2, (rows, depth)).astype(np.uint8)
        return np.packbits(bits, axis=1, bitorder="little"), bits.astype(np.int64)
    if kind in ("e4m3", "e5m2"):
        codes = RANDOM.integers(0, 256, (rows, depth)).astype(np.uint8)
        codes = np.where((codes & 0x7F) > 0x70, 0x31, codes).astype(np.uint8)
        return codes, minifloat(codes.astype(np.int64), *((4, 3) if kind == "e4m3" else (5, 2)))
    values = (RANDOM.integers(-64, 64, (rows, depth)) / 16).astype(np.float32)  # exact in f16, bf16 and tf32
    if kind == "f16":
        return np.ascontiguousarray(values.astype(np.float16)).view(np.uint8), values.astype(np.float64)
    if kind == "bf16":
        return np.ascontiguousarray((values.view(np.uint32) >> 16).astype(np.uint16)).view(np.uint8), values.astype(np.float64)
    return values.view(np.uint8), values.astype(np.float64)


def close(found, expected, exact, what):
    if exact:
        assert (found == expected).all(), f"{what}: {np.argwhere(found != expected)[:4].tolist()}"
    else:
        error = np.abs(found - expected).max() / np.abs(expected).max()
        assert error < 2e-3, f"{what}: {error}"


# ---- mma.sync ---------------------------------------------------------------------------------------------------------

MMA = [
    ("m16n8k32", "s8", "s8"),
    ("m16n8k32", "u8", "s8"),
    ("m16n8k16", "s8", "u8"),
    ("m8n8k16", "s8", "s8"),
    ("m16n8k64", "s4", "s4"),
    ("m16n8k64", "u4", "s4"),
    ("m16n8k64", "s4", "u4"),
    ("m16n8k64", "u4", "u4"),
    ("m16n8k32", "s4", "u4"),
    ("m16n8k256", "b1", "and"),
    ("m16n8k256", "b1", "xor"),
    ("m16n8k16", "f16", "f32"),
    ("m16n8k16", "f16", "f16"),
    ("m16n8k8", "f16", "f32"),
    ("m16n8k16", "bf16", "f32"),
    ("m16n8k8", "tf32", "f32"),
    ("m16n8k32", "e4m3", "f32"),
    ("m16n8k32", "e5m2", "f32"),
]


def fragments(rows_bytes, halves):
    """A or B of a warp from (rows, bytes of K): register i of lane 4g + t is 4 bytes of row g (+ 8 for odd i, of A)."""
    words = np.ascontiguousarray(rows_bytes).view(np.uint32)  # (rows, K / elements of a word)
    columns = []
    for k in range(0, words.shape[1], 4):
        for half in range(halves):
            columns.append(words[8 * half : 8 * half + 8, k : k + 4].reshape(32))
    return np.stack(columns, axis=1)


def mma_text(shape, kinds, counts, modifier=""):
    """Loads the fragments of each lane, multiplies, stores D."""
    a, b, c, d = counts
    names = [[f"{letter}{i}" for i in range(count)] for letter, count in zip("abcd", (a, b, c, d))]
    body = LANE + f".reg .b32 a<{a}>, b<{b}>, c<{c}>, d<{d}>;\n"
    for number, group in enumerate(names[:3]):
        body += f"mul.wide.u32 at, t, {4 * len(group)};\nadd.s64 at, at, p{number};\n"
        body += "".join(f"ld.global.b32 {name}, [at+{4 * i}];\n" for i, name in enumerate(group))
    braces = ["{" + ", ".join(group) + "}" for group in names]
    to, kind_a, kind_b, kind_c = kinds
    body += f"mma.sync.aligned.{shape}.row.col.{to}.{kind_a}.{kind_b}.{kind_c}{modifier} "
    body += f"{braces[3]}, {braces[0]}, {braces[1]}, {braces[2]};\n"
    body += f"mul.wide.u32 at, t, {4 * d};\nadd.s64 at, at, p3;\n" + "".join(
        f"st.global.b32 [at+{4 * i}], {name};\n" for i, name in enumerate(names[3])
    )
    return kernel(body, 4)


def test_mma():
    for shape, kind, other in MMA:
        rows, depth = int(shape[1 : shape.index("n")]), int(shape[shape.index("k") + 1 :])
        integer = kind in ("s8", "u8", "s4", "u4", "b1")
        kind_b = other if integer and kind != "b1" else kind
        to = "s32" if integer else other
        a_bytes, a = operand(kind, rows, depth)
        b_bytes, b = operand(kind_b, 8, depth)
        c = RANDOM.integers(-1000, 1000, (rows, 8))
        c = c.astype(np.int32) if integer else (c / 8).astype(np.float32 if to == "f32" else np.float16)
        fragment_a, fragment_b = fragments(a_bytes, rows // 8), fragments(b_bytes, 1)
        c_lanes = c.reshape(rows // 8, 8, 4, 2).transpose(1, 2, 0, 3).reshape(32, -1)
        c_words = np.ascontiguousarray(c_lanes).view(np.uint32).reshape(32, -1)
        counts = fragment_a.shape[1], fragment_b.shape[1], c_words.shape[1], c_words.shape[1]
        text = mma_text(shape, (to, kind, kind_b, to), counts, f".{other}.popc" if kind == "b1" else "")
        found = run(text, 1, 32, [fragment_a, fragment_b, c_words, output(c_words.shape, np.uint32)])[-1]
        found = found.view(c.dtype).reshape(8, 4, rows // 8, 2).transpose(2, 0, 1, 3).reshape(rows, 8)
        product = np.array([[np.bitwise_xor(x, y).sum() for y in b] for x in a]) if other == "xor" else a @ b.T
        close(found.astype(np.float64), (c + product).astype(np.float64), integer, f"{shape} {kind} {other}")


def test_ldmatrix_and_stmatrix():
    tile = RANDOM.integers(0, 1 << 16, (32, 8)).astype(np.uint16)
    for transpose_load in ("", ".trans"):
        for transpose_store in ("", ".trans"):
            body = (
                LANE
                + f""".shared .align 16 .b8 tile[512]; .reg .b32 a<4>; mov.u32 s, tile; shl.b32 x, t, 4; add.u32 s, s, x;
                mul.wide.u32 at, t, 16; add.s64 from, at, p0;
              ld.global.v4.b32 {{a0, a1, a2, a3}}, [from]; st.shared.v4.b32 [s], {{a0, a1, a2, a3}}; bar.sync 0;
              ldmatrix.sync.aligned.m8n8.x4{transpose_load}.shared.b16 {{a0, a1, a2, a3}}, [s]; bar.sync 0;
              add.s64 from, at, p2; st.global.v4.b32 [from], {{a0, a1, a2, a3}};
              stmatrix.sync.aligned.m8n8.x4{transpose_store}.shared.b16 [s], {{a0, a1, a2, a3}}; bar.sync 0;
              ld.shared.v4.b32 {{a0, a1, a2, a3}}, [s]; add.s64 at, at, p1; st.global.v4.b32 [at], {{a0, a1, a2, a3}};"""
            )
            _, stored, lanes = run(kernel(body, 3), 1, 32, [tile, output((32, 8), np.uint16), output((32, 4), np.uint32)])
            matrices = tile.reshape(4, 8, 8)
            loaded = matrices.transpose(0, 2, 1) if transpose_load else matrices
            assert (lanes == np.ascontiguousarray(loaded).view(np.uint32).reshape(4, 32).T).all(), transpose_load
            expected = loaded.transpose(0, 2, 1) if transpose_store else loaded
            assert (stored.reshape(4, 8, 8) == expected).all(), (transpose_load, transpose_store)
    for count in (1, 2):
        names = ", ".join(f"a{i}" for i in range(count))
        body = (
            LANE
            + f""".shared .align 16 .b8 tile[512]; .reg .b32 a<4>; mov.u32 s, tile; shl.b32 x, t, 4; add.u32 s, s, x;
            mul.wide.u32 at, t, 16; add.s64 from, at, p0;
          ld.global.v4.b32 {{a0, a1, a2, a3}}, [from]; st.shared.v4.b32 [s], {{a0, a1, a2, a3}}; bar.sync 0;
          ldmatrix.sync.aligned.m8n8.x{count}.shared.b16 {{{names}}}, [s]; bar.sync 0; not.b32 a0, a0;
          stmatrix.sync.aligned.m8n8.x{count}.shared.b16 [s], {{{names}}}; bar.sync 0;
          ld.shared.v4.b32 {{a0, a1, a2, a3}}, [s]; add.s64 at, at, p1; st.global.v4.b32 [at], {{a0, a1, a2, a3}};"""
        )
        stored = run(kernel(body, 2), 1, 32, [tile, output((32, 8), np.uint16)])[1]
        expected = tile.copy()
        expected[:8] = ~expected[:8]
        assert (stored == expected).all(), count
    misaligned = kernel(
        LANE + ".shared .align 16 .b8 tile[520]; mov.u32 s, tile; ldmatrix.sync.aligned.m8n8.x1.shared.b16 {x}, [s+8];"
    )
    fails("misaligned: 16 bytes", misaligned, 1, 32, [output(1, np.uint32)])


# ---- tensor maps ------------------------------------------------------------------------------------------------------


def with_map(body, count, maps):
    """A kernel of pointers p0 .. and tensor maps m0 ..."""
    text = kernel(body, count)
    declared = "".join(f",\n.param .align 64 .b8 k_map_{i}[128]" for i in range(maps))
    loads = "".join(f".reg .b64 m{i};\nmov.b64 m{i}, k_map_{i};\ncvta.param.u64 m{i}, m{i};\n" for i in range(maps))
    text = text.replace(f".param .u64 k_param_{count - 1}\n", f".param .u64 k_param_{count - 1}{declared}\n")
    return text.replace(f"ld.param.b64 p{count - 1}", loads + f"ld.param.b64 p{count - 1}", 1)


LOAD = """.shared .align 8 .b8 bar[8]; .shared .align 1024 .b8 tile[{size}]; .reg .b32 b; mov.u32 b, bar; mov.u32 s, tile;
  @first mbarrier.init.shared.b64 [b], 1; @first fence.mbarrier_init.release.cluster; bar.sync 0;
  @!first bra W; mbarrier.arrive.expect_tx.shared.b64 _, [b], {bytes};
  {loads}
W: mbarrier.try_wait.parity.shared.b64 done, [b], 0; @!done bra W;"""


def swizzled(data, span):
    """Where PTX's swizzle puts the 16-byte pieces of (rows, span) bytes."""
    pieces = data.reshape(-1, span // 16, 16)
    rows = np.arange(len(pieces))
    phase = rows * span // 128 % (span // 16)
    out = np.empty_like(pieces)
    for row in rows:
        out[row, np.arange(span // 16) ^ phase[row]] = pieces[row]
    return out.ravel()


def test_tensor_loads():
    """Rank 1 .. 5, each swizzle, boxes that hang over both ends."""
    for rank, swizzle, dtype in (
        (1, 0, np.float32),
        (2, 0, np.uint8),
        (2, 32, np.float16),
        (2, 64, np.uint8),
        (2, 128, np.uint8),
        (3, 128, np.float16),
        (4, 0, np.int32),
        (5, 0, np.uint8),
    ):
        size = np.dtype(dtype).itemsize
        inner = (swizzle or 32) // size
        dims = (inner + 16 // size, 20, 3, 4, 2)[:rank]
        box = (inner, 16, 2, 2, 1)[:rank]
        start = (16 // size, -3, 2, -1, 1)[:rank]
        tensor = RANDOM.integers(1, 100, dims[::-1]).astype(dtype)
        padded = np.zeros([d + 64 for d in dims[::-1]], dtype)
        padded[tuple(slice(32, 32 + d) for d in dims[::-1])] = tensor
        expected = (
            np.ascontiguousarray(padded[tuple(slice(32 + s, 32 + s + b) for s, b in zip(start[::-1], box[::-1]))])
            .view(np.uint8)
            .ravel()
        )
        if swizzle:
            expected = swizzled(expected, swizzle)
        coordinates = ", ".join(map(str, start))
        loads = f"cp.async.bulk.tensor.{rank}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
        loads += f"[s], [m0, {{{coordinates}}}], [b];"
        body = LANE + LOAD.format(size=len(expected), bytes=len(expected), loads=loads) + f"""
          COPY: setp.ge.u32 p, t, {len(expected)}; @p bra END; add.u32 x, s, t; .reg .b16 h; ld.shared.u8 h, [x];
          cvt.u64.u32 at, t; add.s64 at, at, p0; st.global.b8 [at], h; add.u32 t, t, 64; bra COPY;
          END:"""
        out = run(
            with_map(body, 2, 1), 1, 64, [output(len(expected), np.uint8), tensor, Map(1, dtype, dims, box, swizzle=swizzle)]
        )[0]
        assert (out == expected).all(), (rank, swizzle)


def test_tensor_store():
    """What hangs over the end is not written."""
    body = (
        LANE
        + """.shared .align 1024 .b8 tile[1024]; mov.u32 s, tile; shl.b32 x, t, 2; add.u32 x, x, s; st.shared.b32 [x], t;
        fence.proxy.async.shared::cta; bar.sync 0;
      @!first bra END; cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [m0, {16, 2}], [s];
      cp.async.bulk.commit_group; cp.async.bulk.wait_group 0; END:"""
    )
    tensor = output((7, 24), np.uint32)
    found = run(with_map(body, 1, 1), 1, 256, [tensor, Map(0, np.uint32, (24, 7), (32, 8), swizzle=0)])[0]
    expected = tensor.copy()
    expected[2:, 16:] = np.arange(256).reshape(8, 32)[:5, :8]
    assert (found == expected).all()
    arrays = [tensor, Map(0, np.uint32, (24, 7), (32, 8), swizzle=0)]
    fails("a store to negative coordinates", with_map(body.replace("{16, 2}", "{16, -1}"), 1, 1), 1, 256, arrays)
    fails("expected a multiple of 16 bytes", with_map(body.replace("{16, 2}", "{1, 2}"), 1, 1), 1, 256, arrays)
    adds = body.replace("cp.async.bulk.tensor.2d.global.shared::cta.tile", "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile")
    tensor = RANDOM.integers(0, 1000, (7, 24)).astype(np.uint32)
    found = run(with_map(adds, 1, 1), 1, 256, [tensor, Map(0, np.uint32, (24, 7), (32, 8), swizzle=0)])[0]
    expected = tensor.copy()
    expected[2:, 16:] += np.arange(256, dtype=np.uint32).reshape(8, 32)[:5, :8]
    assert (found == expected).all()


def test_multicast():
    """CTA 0 of two brings the tile to both."""
    loads = """.reg .b32 rank; mov.u32 rank, %cluster_ctarank; barrier.cluster.arrive; barrier.cluster.wait;
    setp.ne.u32 p, rank, 0; @p bra W; .reg .b16 mask; mov.b16 mask, 3;
      cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster
        [s], [m0, {0, 0}], [b], mask;"""
    body = LANE + LOAD.format(size=1024, bytes=1024, loads=loads).replace(
        "@!first bra W; mbarrier", "@!first bra OTHERS; mbarrier"
    ).replace("W: mb", "bra W; OTHERS: barrier.cluster.arrive; barrier.cluster.wait; W: mb")
    body += """mov.u32 x, %ctaid.x; shl.b32 x, x, 10; shl.b32 t, t, 2; add.u32 x, x, t; add.u32 s, s, t; cvt.u64.u32 at, x;
    add.s64 at, at, p0; ld.shared.b32 x, [s]; st.global.b32 [at], x;
      barrier.cluster.arrive; barrier.cluster.wait;"""
    data = RANDOM.integers(0, 1 << 32, (8, 32), np.uint64).astype(np.uint32)
    found = run(
        with_map(body, 2, 1), 2, 256, [output((2, 8, 32), np.uint32), data, Map(1, np.uint32, (32, 8), (32, 8))], cluster=2
    )[0]
    assert (found == data).all()


# ---- wgmma ------------------------------------------------------------------------------------------------------------


def wgmma_text(
    columns,
    to,
    kind_a,
    kind_b,
    steps,
    swizzle,
    wait="wgmma.wait_group.sync.aligned 0;",
    fence="wgmma.fence.sync.aligned;",
    from_registers=False,
    transposes=(0, 0),
):
    """D[64, N] of A [64, K], B [N, K] that TMA brought in rows of `swizzle` bytes; `steps` times 32 bytes of K."""
    accumulators = columns // 2 if to != "f16" else columns // 4
    size_a, size_b = 64 * swizzle, columns * swizzle
    box = [
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
        f"[s{'' if not i else f'+{size_a}'}], [m{i}, {{0, 0}}], [b];"
        for i in range(2)
    ]
    body = LANE + LOAD.format(size=size_a + size_b, bytes=size_a + size_b, loads="\n".join(box))
    registers = "{" + ", ".join(f"d{i}" for i in range(accumulators)) + "}"
    mode = {128: 1, 64: 2, 32: 3}[swizzle]
    body += f".reg .b32 d<{accumulators}>, a<4>;\n.reg .b64 da, db, address;\n.reg .pred adds;\n"
    stride = 8 * swizzle
    for name, offset in (("da", 0), ("db", size_a)):
        body += f"add.u32 x, s, {offset};\nshr.u32 x, x, 4;\ncvt.u64.u32 {name}, x;\n"
        body += f"or.b64 {name}, {name}, {mode << 62 | stride >> 4 << 32 | 1 << 16};\n"
    body += "".join(f"mov.b32 d{i}, 0;\n" for i in range(accumulators))
    depth = 256 // {"s8": 8, "u8": 8, "e4m3": 8, "e5m2": 8, "f16": 16, "bf16": 16}[kind_a]
    left = "{a0, a1, a2, a3}" if from_registers else "da"
    if from_registers:  # registers of a lane: 16 bytes at p3 + 16 * thread
        body += "mul.wide.u32 address, t, 16;\nadd.s64 address, address, p3;\nld.global.v4.b32 {a0, a1, a2, a3}, [address];\n"
    body += fence
    tail = (
        ""
        if to == "s32"
        else ", 1, 1"
        + (
            ""
            if kind_a not in ("f16", "bf16")
            else f", {transposes[1]}" if from_registers else f", {transposes[0]}, {transposes[1]}"
        )
    )
    for step in range(steps):
        body += f"setp.ne.u32 adds, {step}, 0;\nwgmma.mma_async.sync.aligned.m64n{columns}k{depth}.{to}.{kind_a}.{kind_b} "
        body += f"{registers}, {left}, db, adds{tail};\n"
        body += "add.s64 da, da, 2;\nadd.s64 db, db, 2;\n" if not transposes[0] else ""
    body += "wgmma.commit_group.sync.aligned;\n" + wait
    body += f"mul.wide.u32 at, t, {4 * accumulators};\nadd.s64 at, at, p0;\n" + "".join(
        f"st.global.b32 [at+{4 * i}], d{i};\n" for i in range(accumulators)
    )
    return with_map(body, 4, 2)


def run_wgmma(text, a, b, columns, to, swizzle, registers=None):
    dtype = {"s32": np.int32, "f32": np.float32, "f16": np.float16}[to]
    registers = np.zeros((128, 4), np.uint32) if registers is None else registers
    maps = [
        Map(1, np.uint8, (a.shape[1], a.shape[0]), (swizzle, a.shape[0]), swizzle=swizzle),
        Map(2, np.uint8, (b.shape[1], b.shape[0]), (swizzle, b.shape[0]), swizzle=swizzle),
    ]
    words = columns // 2 if to != "f16" else columns // 4
    found = run(text, 1, 128, [output((128, words), np.uint32), a, b, registers, *maps])[0].view(dtype)
    return (
        found.reshape(4, 8, 4, columns // 8, 2, 2).transpose(0, 4, 1, 3, 2, 5).reshape(64, columns)
    )  # warp g t j i c -> rows, columns


def test_wgmma():
    for columns, to, kind_a, kind_b, swizzle in (
        (64, "s32", "s8", "s8", 128),
        (16, "s32", "u8", "u8", 64),
        (8, "s32", "s8", "s8", 32),
        (24, "f32", "e4m3", "e5m2", 128),
        (32, "f32", "f16", "f16", 128),
        (8, "f16", "f16", "f16", 64),
        (128, "f32", "bf16", "bf16", 128),
    ):
        bits = {"f16": 16, "bf16": 16}.get(kind_a, 8)
        (a_bytes, a), (b_bytes, b) = operand(kind_a, 64, 8 * swizzle // bits), operand(kind_b, columns, 8 * swizzle // bits)
        found = run_wgmma(wgmma_text(columns, to, kind_a, kind_b, swizzle // 32, swizzle), a_bytes, b_bytes, columns, to, swizzle)
        close(found.astype(np.float64), a @ b.T, to == "s32", f"{columns} {to} {kind_a} {kind_b} {swizzle}")


def test_wgmma_from_registers():
    a_bytes, a = operand("f16", 64, 16)
    b_bytes, b = operand("f16", 32, 64)
    registers = np.concatenate([fragments(a_bytes[16 * w : 16 * w + 16], 2) for w in range(4)])
    dummy = np.zeros((64, 128), np.uint8)
    found = run_wgmma(wgmma_text(32, "f32", "f16", "f16", 1, 128, from_registers=True), dummy, b_bytes, 32, "f32", 128, registers)
    close(found, a @ b[:, :16].T, False, "registers")


def test_wgmma_transposed():
    """f16 operands whose rows run along K: A stored [K, 64], B stored [K, 64], one 64 x 8 pattern of 128 bytes a row."""
    a_bytes, a = operand("f16", 64, 64)
    b_bytes, b = operand("f16", 64, 64)
    text = wgmma_text(64, "f32", "f16", "f16", 1, 128, transposes=(1, 1))
    found = run_wgmma(text, a_bytes, b_bytes, 64, "f32", 128)
    close(found, a[:16].T @ b[:16], False, "transposed")


def image(values, transposed, span, leading, stride, size):
    """An f16 operand (rows, K = 16) as its descriptor finds it: PTX's canonical layouts, without swizzle (span 16) and with."""
    out = np.zeros(size, np.uint8)
    for (row, k), value in np.ndenumerate(values.astype(np.float16)):
        if not transposed and span == 16:
            place = row // 8 * stride + k // 8 * leading + row % 8 * 16 + k % 8 * 2
        elif not transposed:
            place = row // 8 * stride + row % 8 * span + k * 2
        elif span == 16:
            place = row // 8 * stride + k // 8 * leading + k % 8 * 16 + row % 8 * 2
        else:
            place = row // (span // 2) * leading + k // 8 * stride + k % 8 * span + row % (span // 2) * 2
        place ^= (place >> 7 & span // 16 - 1) << 4
        out[place : place + 2] = np.frombuffer(value.tobytes(), np.uint8)
    return out


def test_wgmma_layouts():
    """Both operands in every canonical layout, with strides that leave holes."""
    columns, size = 64, 16384
    for transposed in (0, 1):
        for span, mode in ((16, 0), (32, 3), (64, 2), (128, 1)):
            leading, stride = (2048, 256) if span == 16 else (4096, 2048) if transposed else (16, 1024 if span == 128 else 512)
            (_, a), (_, b) = operand("f16", 64, 16), operand("f16", columns, 16)
            memory = np.concatenate([image(m, transposed, span, leading, stride, size) for m in (a, b)])
            bits = mode << 62 | stride >> 4 << 32 | leading >> 4 << 16
            registers = "{" + ", ".join(f"d{i}" for i in range(columns // 2)) + "}"
            body = LANE + f""".shared .align 1024 .b8 tile[{2 * size}]; .reg .b32 v<4>, d<{columns // 2}>; .reg .b64 da, db;
              mov.b32 x, tile; mul.wide.u32 at, t, 16; add.s64 from, at, p1; mov.u32 s, x; shl.b32 x, t, 4; add.u32 x, x, s;
            COPY: ld.global.v4.b32 {{v0, v1, v2, v3}}, [from]; st.shared.v4.b32 [x], {{v0, v1, v2, v3}}; add.s64 from, from, 2048;
              add.u32 x, x, 2048; add.u32 v0, s, {2 * size}; setp.lt.u32 p, x, v0; @p bra COPY; fence.proxy.async.shared::cta; bar.sync 0;
              shr.u32 x, s, 4; cvt.u64.u32 da, x; or.b64 da, da, {bits}; add.s64 db, da, {size >> 4};
              wgmma.fence.sync.aligned; wgmma.mma_async.sync.aligned.m64n{columns}k16.f32.f16.f16 {registers}, da, db, 0, 1, 1,
              {transposed}, {transposed}; wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0; mul.wide.u32 at, t, {2 * columns};
              add.s64 at, at, p0;""" + "".join(f"st.global.b32 [at+{4 * i}], d{i};\n" for i in range(columns // 2))
            found = run(kernel(body, 2), 1, 128, [output((128, columns // 2), np.float32), memory])[0]
            found = found.reshape(4, 8, 4, columns // 8, 2, 2).transpose(0, 4, 1, 3, 2, 5).reshape(64, columns)
            close(found, a @ b.T, False, f"transposed {transposed}, span {span}")


def test_wgmma_rules():
    a_bytes, b_bytes = operand("s8", 64, 128)[0], operand("s8", 8, 128)[0]
    for wait, fence, message in (
        (
            "",
            "wgmma.fence.sync.aligned;",
            r"register d0 is written by an asynchronous operation that has not been waited for\n +st.global",
        ),
        ("wgmma.wait_group.sync.aligned 1;", "wgmma.fence.sync.aligned;", "register d0 is written by an asynchronous operation"),
        ("wgmma.wait_group.sync.aligned 0;", "", "no wgmma.fence before the first"),
        (
            "wgmma.wait_group.sync.aligned 0;",
            "wgmma.fence.sync.aligned; mov.b32 d1, 0;",
            "register d1 was written after the warpgroup's last wgmma.fence",
        ),
        (
            "st.shared.b32 [s], 0; wgmma.wait_group.sync.aligned 0;",
            "wgmma.fence.sync.aligned;",
            "write to shared memory.*still reads",
        ),
    ):
        text = wgmma_text(8, "s32", "s8", "s8", 4, 128, wait, fence)
        maps = [Map(1, np.uint8, (128, 64), (128, 64), swizzle=128), Map(2, np.uint8, (128, 8), (128, 8), swizzle=128)]
        fails(message, text, 1, 128, [output((128, 4), np.uint32), a_bytes, b_bytes, np.zeros((128, 4), np.uint32), *maps])
    text = LANE + "setp.lt.u32 p, t, 64; @p exit; wgmma.fence.sync.aligned;"
    fails("wants the 128 threads of a warpgroup", kernel(text), 1, 128, [output(1, np.uint32)])
    text = ".reg .b32 x; setmaxnreg.dec.sync.aligned.u32 44;"
    fails("a multiple of 8", kernel(text), 1, 128, [output(1, np.uint32)])


main(globals())
