# The PTX emulator runs divergent code, calls, warps, barriers and asynchronous copies as PTX says, and names the line and
# the thread where a kernel breaks a rule.
#
# RUN: python3 %s
#
# On a machine with a GPU, what is not an error against the chip:   python3 test/Integration/ptx-rules.py --gpu

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))
from kernels import fails, kernel, main, output, run  # noqa: E402
import ptx
import numpy as np

THREAD = ".reg .b32 t;\n.reg .b64 at, from;\nmov.u32 t, %tid.x;\nmul.wide.u32 at, t, 4;\n"
STORE = "add.s64 at, at, p0;\nst.global.b32 [at], d;"


def lanes(body, threads=64, head="", grid=1, **options):
    """d of every thread (d, t: .b32; at = 4 * t)."""
    text = kernel(f"{THREAD}.reg .b32 d;\n{body}\n{STORE}", 1, head)
    return run(text, grid, threads, [output(threads, np.uint32)], **options)[0]


# ---- control flow -----------------------------------------------------------------------------------------------------


def test_loop_of_each_thread():
    """Collatz: every thread leaves the loop when it likes."""
    body = """.reg .b32 x, odd, three; .reg .pred p;
      mov.b32 d, 0; add.u32 x, t, 1;
    LOOP: setp.eq.u32 p, x, 1; @p bra DONE;
      add.u32 d, d, 1; and.b32 odd, x, 1; setp.eq.u32 p, odd, 1;
      @p bra ODD; shr.u32 x, x, 1; bra LOOP;
    ODD: mad.lo.u32 x, x, 3, 1; bra LOOP;
    DONE:"""

    def steps(x):
        count = 0
        while x != 1:
            x, count = (3 * x + 1 if x % 2 else x // 2), count + 1
        return count

    assert lanes(body, 96).tolist() == [steps(t + 1) for t in range(96)]


def test_switch_and_predicates():
    body = """.reg .b32 i; .reg .pred p; and.b32 i, t, 3; mov.b32 d, 0;
      TABLE: .branchtargets L0, L1, L2, L3;
      brx.idx i, TABLE;
    L3: mov.b32 d, 33; bra END;
    L1: setp.gt.u32 p, t, 10; @p mov.b32 d, 11; @!p mov.b32 d, 1; bra END;
    L0: mov.b32 d, 100;
    L2: add.u32 d, d, 2;
    END:"""
    assert lanes(body).tolist() == [[102, 11 if t > 10 else 1, 2, 33][t % 4] for t in range(64)]


def test_functions():
    """Called by threads that have diverged, with an aggregate by value."""
    head = """.func (.param .b32 result) scale(.param .align 8 .b8 pair[8], .param .b64 where)
    { .reg .b32 x, y; .reg .b64 w;
      ld.param.b32 x, [pair]; ld.param.b32 y, [pair+4]; ld.param.b64 w, [where]; mul.lo.u32 x, x, y; st.local.b32 [w], x;
      st.param.b32 [result], x; ret; }"""
    body = """.local .align 4 .b8 depot[8]; .reg .b64 w; .reg .pred p; .reg .b32 e; mov.u64 w, depot; add.u64 w, w, 4;
    mov.b32 d, t; st.local.b32 [w], 7;
      and.b32 e, t, 1; setp.eq.u32 p, e, 0; @p bra OUT;
      { .param .align 8 .b8 param0[8]; .param .b64 param1; .param .b32 retval0;
        st.param.b32 [param0], t; st.param.b32 [param0+4], 5; st.param.b64 [param1], w;
        call.uni (retval0), scale, (param0, param1); ld.param.b32 d, [retval0]; }
    OUT: ld.local.b32 e, [w]; mad.lo.u32 d, e, 1000, d;"""
    assert lanes(body, head=head).tolist() == [(5 * t * 1001 if t % 2 else 7000 + t) for t in range(64)]


def test_scopes():
    """A register and a label of the inner scope hide the outer ones."""
    body = """.reg .b32 x; mov.b32 x, 1; { .reg .b32 x; .reg .pred p; mov.b32 x, 10; setp.eq.u32 p, t, 0; @p bra L;
    add.u32 x, x, 1; L: mov.b32 d, x; }
      bra L; mov.b32 x, 50; L: add.u32 d, d, x;"""
    assert lanes(body).tolist() == [11] + [12] * 63


# ---- warps ------------------------------------------------------------------------------------------------------------


def test_shuffles():
    t = np.arange(64)
    rows = t.reshape(2, 32) * 3
    for text, expected in (
        ("shfl.sync.idx.b32 d, x, 5, 31, -1;", rows[:, [5] * 32]),
        ("shfl.sync.bfly.b32 d, x, 3, 31, -1;", rows[:, np.arange(32) ^ 3]),
        (
            "shfl.sync.up.b32 d, x, 2, 0, -1;",
            rows[:, np.maximum(np.arange(32) - 2, np.arange(32) % 2 * 0 + np.where(np.arange(32) < 2, np.arange(32), 0))],
        ),
        ("shfl.sync.down.b32 d, x, 4, 0x181f, -1;", rows[:, np.where(np.arange(32) % 8 < 4, np.arange(32) + 4, np.arange(32))]),
        ("shfl.sync.down.b32 d|p, x, 1, 31, -1; selp.b32 d, d, 999, p;", np.hstack([rows[:, 1:], [[999], [999]]])),
    ):
        assert lanes(".reg .b32 x; .reg .pred p; mul.lo.u32 x, t, 3;" + text).tolist() == expected.ravel().tolist(), text


def test_votes_and_reductions():
    for text, expected in (
        ("vote.sync.ballot.b32 d, p, -1;", lambda w: sum(1 << i for i in range(32) if (32 * w + i) % 3 == 0)),
        ("vote.sync.any.pred q, p, -1; selp.b32 d, 1, 0, q;", lambda w: 1),
        ("vote.sync.all.pred q, p, -1; selp.b32 d, 1, 0, q;", lambda w: 0),
        ("redux.sync.add.u32 d, t, -1;", lambda w: sum(range(32 * w, 32 * w + 32))),
        ("redux.sync.max.s32 d, t, -1;", lambda w: 32 * w + 31),
        ("match.any.sync.b32 d, m, -1; redux.sync.xor.b32 d, d, -1;", None),
        ("activemask.b32 d;", lambda w: 0xFFFFFFFF),
    ):
        body = ".reg .b32 m; .reg .pred p, q; rem.u32 m, t, 3; setp.eq.u32 p, m, 0;" + text
        found = lanes(body).tolist()
        if expected:
            assert found == [expected(w) for w in (0, 1) for _ in range(32)], text
    body = ".reg .pred p; .reg .b32 l; elect.sync l|p, -1; selp.b32 d, 1, 0, p;"
    assert lanes(body).reshape(2, 32).sum(axis=1).tolist() == [1, 1]


def test_shuffle_after_divergence():
    """Threads of one warp come to one shuffle by two ways."""
    body = """.reg .pred p; .reg .b32 x; setp.lt.u32 p, t, 16; @p bra A; mul.lo.u32 x, t, 2; bra B;
      A: mul.lo.u32 x, t, 5; B: shfl.sync.bfly.b32 d, x, 16, 31, -1;"""
    assert lanes(body, 32).tolist() == [(t ^ 16) * (2 if t < 16 else 5) for t in range(32)]


# ---- memory -----------------------------------------------------------------------------------------------------------


def test_vectors_and_widths():
    data = np.random.default_rng(1).integers(0, 1 << 32, 4 * 32, np.uint64).astype(np.uint32)
    body = """.reg .b32 t, a<4>, b; .reg .b16 h, g; .reg .b64 at, to; mov.u32 t, %tid.x; mul.wide.u32 at, t, 16;
    add.s64 to, at, p1; add.s64 at, at, p0;
      ld.global.nc.L1::no_allocate.v4.b32 {a0, a1, a2, a3}, [at]; ld.global.s8 b, [at+3]; ld.global.v2.b16 {h, g}, [at+4];
      add.u32 a0, a0, b; cvt.u32.u16 b, g; xor.b32 a1, a1, b;
      st.global.v4.b32 [to], {a3, a2, a1, a0}; st.global.b8 [to+1], h;"""
    found = run(kernel(body, 2), 1, 32, [data, output(128, np.uint32)])[1].reshape(32, 4)
    a = data.reshape(32, 4)
    expected = np.stack(
        [a[:, 3], a[:, 2], a[:, 1] ^ (a[:, 1] >> 16), a[:, 0] + (a[:, 0].view(np.int32) >> 24).astype(np.uint32)], axis=1
    )
    expected[:, 0] = expected[:, 0] & 0xFFFF00FF | (a[:, 1] & 255) << 8
    assert (found == expected).all()


def test_initialized_variables():
    head = """.global .align 8 .b8 table[8] = {1, 0, 2, 0, 253, 255, 4}; .const .align 4 .f32 c[2] = {0f3F800000, 0f40490FDB};
      .global .align 8 .u64 pointers[2] = {table, generic(table)+4};"""
    body = (
        ".reg .b64 q; .reg .b32 e; ld.global.u64 q, [pointers+8]; ld.global.s16 d, [q]; ld.const.b32 e, [c+4]; add.u32 d, d, e;"
    )
    assert set(lanes(body, head=head).tolist()) == {(0x40490FDB - 3) & 0xFFFFFFFF}


REDUCTION = """.shared .align 4 .b8 sums[512]; .reg .b32 s, o, x; .reg .pred p; mov.u32 s, sums; shl.b32 o, t, 2; add.u32 s, s, o;
  add.u32 x, t, 1; st.shared.b32 [s], x; {bar} mov.b32 x, 64;
 LOOP: setp.ge.u32 p, t, x; @p bra SKIP; shl.b32 o, x, 2; add.u32 o, o, s; ld.shared.b32 d, [o]; ld.shared.b32 o, [s];
 add.u32 o, o, d; st.shared.b32 [s], o;
 SKIP: {bar} shr.u32 x, x, 1; setp.ne.u32 p, x, 0; @p bra LOOP; mov.u32 s, sums; ld.shared.b32 d, [s];"""


def test_shared_reduction():
    for schedule in ("lockstep", "warps"):
        assert set(lanes(REDUCTION.replace("{bar}", "bar.sync 0;"), 128, schedule=schedule).tolist()) == {128 * 129 // 2}


def test_missing_barrier():
    """Between warps: in lockstep it is a race that is told, one warp at a time reads what is not there."""
    text = kernel(f"{THREAD}.reg .b32 d;\n{REDUCTION.replace('{bar}', '')}\n{STORE}", 1)
    fails(
        r"test.ptx:\d+: thread \(\d+, 0, 0\) of CTA \(0, 0, 0\): race: read of shared memory.*nothing orders it",
        text,
        1,
        128,
        [output(128, np.uint32)],
    )
    fails(r"was never written|race", text, 1, 128, [output(128, np.uint32)], schedule="warps")


def test_atomics():
    """Many threads on one word, and a lock that threads of one warp fight for."""
    data = np.array([5, 0, 0xFFFFFFFF, 7, 0, 0], np.uint32)
    body = """.reg .b32 t, o, n; .reg .pred p; mov.u32 t, %tid.x; atom.global.add.u32 o, [p0], 3;
    red.global.add.u32 [p0+4], o; atom.global.min.u32 o, [p0+8], t; red.global.max.s32 [p0+12], t;
    SPIN: atom.global.acquire.gpu.cas.b32 o, [p0+16], 0, 1; setp.ne.u32 p, o, 0; @p bra SPIN;
      ld.global.relaxed.gpu.b32 n, [p0+20]; add.u32 n, n, 2; st.global.relaxed.gpu.b32 [p0+20], n;
      atom.global.release.gpu.exch.b32 o, [p0+16], 0;"""
    body = body.replace("ld.global.relaxed.gpu", "ld.relaxed.gpu.global").replace(
        "st.global.relaxed.gpu", "st.relaxed.gpu.global"
    )
    body = body.replace("atom.global.acquire.gpu.cas", "atom.acquire.gpu.global.cas").replace(
        "atom.global.release.gpu.exch", "atom.release.gpu.global.exch"
    )
    for schedule in ("lockstep", "warps"):
        found = run(kernel(body), 2, 16, [data], schedule=schedule)[0]
        assert found.tolist() == [5 + 3 * 32, sum(5 + 3 * i for i in range(32)), 0, 15, 0, 64], found


def test_shared_atomics():
    """A histogram: many threads of many warps on few words."""
    body = """.shared .align 4 .b8 bins[16]; .reg .b32 s, o; .reg .pred p; mov.u32 s, bins; shl.b32 o, t, 2; add.u32 o, o, s;
      setp.lt.u32 p, t, 4; @p st.shared.b32 [o], 0; bar.sync 0; and.b32 o, t, 12; add.u32 s, s, o; red.shared.add.u32 [s], t; bar.sync 0;
      atom.shared.exch.b32 d, [bins+12], t; bar.sync 0; and.b32 o, t, 3; shl.b32 o, o, 2; mov.u32 s, bins; add.u32 o, o, s; ld.shared.b32 d, [o];"""
    for schedule in ("lockstep", "warps"):
        found = lanes(body, 128, schedule=schedule).tolist()
        sums = [sum(t for t in range(128) if t >> 2 & 3 == bin_) for bin_ in range(3)]
        assert found[:3] == sums and found[:4] * 32 == found and found[3] < 128 * 128, found[:4]


def test_named_barriers():
    """One warp waits for what another brings; bar.arrive does not wait."""
    body = """.shared .align 4 .b8 x[4]; .reg .b32 s; .reg .pred p; mov.u32 s, x; setp.ge.u32 p, t, 32; @p bra CONSUMER;
      setp.eq.u32 p, t, 0; @p st.shared.b32 [s], 77; bar.arrive 3, 64; mov.b32 d, 1; bra END;
    CONSUMER: bar.sync 3, 64; ld.shared.b32 d, [s]; END:"""
    assert lanes(body).tolist() == [1] * 32 + [77] * 32
    body = ".reg .pred p, q; setp.gt.u32 p, t, 9; barrier.cta.red.popc.aligned.u32 d, 0, p;"
    assert set(lanes(body).tolist()) == {54}


# ---- errors -----------------------------------------------------------------------------------------------------------

ONE = [np.zeros(32, np.uint32)]


def test_bounds():
    body = f"{THREAD} add.s64 at, at, p0; st.global.b32 [at+4], t;"
    fails(
        r"test.ptx:\d+: thread \(31, 0, 0\) of CTA \(0, 0, 0\): access of 4 bytes.* out of bounds: "
        r"at argument 0 \+ 128 \(of 128 bytes\)\n +st.global.b32 \[at\+4\]",
        kernel(body),
        1,
        32,
        ONE,
    )
    fails(r"misaligned: 4 bytes", kernel(f"{THREAD} add.s64 at, at, p0; ld.global.b32 t, [at+2];"), 1, 32, ONE)
    fails(r"write to constant", kernel("st.const.b32 [c], 1;", head=".const .align 4 .b8 c[4];"), 1, 32, ONE)
    fails(
        r"out of bounds: at shared address 1152",
        kernel(".shared .align 4 .b8 s[128]; .reg .b32 a; mov.u32 a, s; st.shared.b32 [a+128], 1;"),
        1,
        32,
        ONE,
    )
    fails(
        r"out of bounds: at local address 8 of 16|out of bounds: at local address",
        kernel(".local .align 4 .b8 l[8]; .reg .b64 a; mov.u64 a, l; st.local.b64 [a+16], 1;"),
        1,
        32,
        ONE,
    )


def test_undefined_values():
    fails(
        r"register x has no value yet\n +add.u32 t, t, x",
        kernel(f"{THREAD} .reg .b32 x; add.u32 t, t, x; add.s64 at, at, p0; st.global.b32 [at], t;"),
        1,
        32,
        ONE,
    )
    body = f"""{THREAD} .reg .b32 x; .reg .pred p; setp.lt.u32 p, t, 7; @p mov.b32 x, 1; add.u32 t, t, x;
      add.s64 at, at, p0; st.global.b32 [at], t;"""
    fails(r"thread \(7, 0, 0\).*register x has no value yet", kernel(body), 1, 32, ONE)
    body = ".shared .align 4 .b8 s[128]; .reg .b32 a; mov.u32 a, s; ld.shared.b32 a, [a+4]; st.global.b32 [p0], a;"
    fails(r"read of shared memory \+ 1028 of CTA 0 of the wave, which was never written", kernel(body), 1, 1, ONE)


def test_unknown():
    fails(r"test.ptx:\d+: instruction `tex.2d.v4.f32.f32` is not known", kernel("tex.2d.v4.f32.f32 _;"), 1, 1, ONE)
    fails(r"this form of `add.rn.weird.f32` is not known: weird", kernel(".reg .b32 a; add.rn.weird.f32 a, a, a;"), 1, 1, ONE)
    fails(r"`%nosuch` is not a register", kernel(".reg .b32 a; mov.u32 a, %nosuch;"), 1, 1, ONE)
    fails(r"test.ptx:\d+: label `NOWHERE` is not defined", kernel("bra NOWHERE;"), 1, 1, ONE)
    fails(r"no kernel `other`; there are \['k'\]", kernel(""), 1, 1, ONE, name="other")
    fails(r"block \(64, 1, 1\), the kernel requires \(32, 1, 1\)", kernel("", block=32), 1, 64, ONE)
    fails(r"an argument of 2 bytes for parameter k_param_0 of 8", kernel(""), 1, 1, [np.uint16(3)])


def test_barrier_misuse():
    half = f"{THREAD} .reg .pred p; setp.lt.u32 p, t, 32; @p bra OTHER; bar.sync 0; bra END; OTHER: bar.sync 1; END:"
    fails(
        r"deadlock: nobody can go on.*32 threads, the first of them thread \(32, 0, 0\).*waits: bar.sync 0",
        kernel(half),
        1,
        64,
        ONE,
    )
    split = f"{THREAD} .reg .pred p; setp.lt.u32 p, t, 16; @p bra OTHER; bar.sync 0; bra END; OTHER: bar.sync 0; END:"
    fails(r"deadlock.*16 threads.*waits for the rest of its warp: bar.sync 0", kernel(split), 1, 32, ONE)
    fails(r"expected a barrier 0 .. 15 and a multiple of 32 threads", kernel("bar.sync 1, 48;"), 1, 64, ONE)
    counts = f"{THREAD} .reg .pred p; setp.lt.u32 p, t, 32; @p bra OTHER; bar.sync 1, 64; bra END; OTHER: bar.sync 1, 96; END:"
    fails(r"barrier 1 of 64 threads is used with 96|barrier 1 of 96 threads is used with 64", kernel(counts), 1, 64, ONE)
    fails(r"still running after 1000 steps", kernel("L: bra L;"), 1, 32, ONE, max_steps=1000)
    left = f"{THREAD} .reg .pred p; .reg .b32 x; setp.lt.u32 p, t, 16; @p exit; shfl.sync.idx.b32 x, t, 3, 31, -1;"
    fails(r"shuffle from lane 3, which does not take part", kernel(left), 1, 32, ONE)


# ---- cp.async: it lands at the wait, not before -----------------------------------------------------------------------

COPY = f"""{THREAD}.reg .b32 s, o, d; .shared .align 16 .b8 tile[512]; mov.u32 s, tile; shl.b32 o, t, 4; add.u32 o, o, s;
  mul.wide.u32 from, t, 16; add.s64 from, from, p1;
  cp.async.cg.shared.global [o], [from], 16{{bytes}}; cp.async.commit_group; {{wait}} {{bar}} xor.b32 o, t, 1;
  shl.b32 o, o, 4; add.u32 o, o, s; ld.shared.b32 d, [o+4];
  {STORE}"""


def test_copy_and_wait():
    data = np.arange(128, dtype=np.uint32)

    def text(bytes_, wait, bar):
        return kernel(COPY.replace("{bytes}", bytes_).replace("{wait}", wait).replace("{bar}", bar), 2)

    arrays = [output(32, np.uint32), data]
    expected = [4 * (t ^ 1) + 1 for t in range(32)]
    assert run(text("", "cp.async.wait_group 0;", "bar.sync 0;"), 1, 32, arrays)[0].tolist() == expected
    assert run(text("", "cp.async.wait_all;", "bar.sync 0;"), 1, 32, arrays)[0].tolist() == expected
    assert run(text(", 4", "cp.async.wait_all;", "bar.sync 0;"), 1, 32, arrays)[0].tolist() == [0] * 32  # the rest is zero
    for wait in ("", "cp.async.wait_group 1;"):
        fails(
            r"test.ptx:\d+: thread \(0, 0, 0\).*read of shared memory \+ 1044 .* which is the destination of a copy "
            r"that has not been waited for\n +ld.shared",
            text("", wait, "bar.sync 0;"),
            1,
            32,
            arrays,
        )


def test_copies_in_groups():
    """Of three groups, waiting for all but one leaves the last on its way."""
    body = f"""{THREAD}.reg .b32 s, d, e; .shared .align 16 .b8 tile[48]; mov.u32 s, tile;
      cp.async.ca.shared.global [s], [p1], 4; cp.async.commit_group; cp.async.ca.shared.global [s+16], [p1+4], 4;
      cp.async.commit_group;
      cp.async.ca.shared.global [s+32], [p1+8], 4; cp.async.commit_group; cp.async.wait_group 1;
      ld.shared.b32 d, [s+16]; ld.shared.b32 e, [s+{{last}}]; add.u32 d, d, e; {STORE}"""
    arrays = [output(1, np.uint32), np.array([10, 200, 3000], np.uint32)]
    assert run(kernel(body.replace("{last}", "0"), 2), 1, 1, arrays)[0].tolist() == [210]
    fails("has not been waited for", kernel(body.replace("{last}", "32"), 2), 1, 1, arrays)
    fails(
        "write to shared memory .* has not been waited for",
        kernel(body.replace("ld.shared.b32 e, [s+{last}]", "st.shared.b32 [s+32], 1").replace("d, d, e", "d, d, d"), 2),
        1,
        1,
        arrays,
    )


def test_copies_tell_an_mbarrier():
    """cp.async of every thread, one arrival of each when its copies have landed."""
    body = THREAD + BARRIER.replace("{count}", "{arrivals}") + """.reg .b32 o; shl.b32 o, t, 4; add.u32 o, o, s; mul.wide.u32 from, t, 16;
      add.s64 from, from, p1; cp.async.cg.shared.global [o], [from], 16; cp.async.mbarrier.arrive{noinc}.shared.b64 [b];
      mbarrier.arrive.shared.b64 state, [b]; {wait} xor.b32 o, t, 1; shl.b32 o, o, 4; add.u32 o, o, s; ld.shared.b32 d, [o+4];""" + STORE
    arrays = [output(32, np.uint32), np.arange(128, dtype=np.uint32)]
    for noinc, arrivals in ((".noinc", "64"), ("", "32")):
        text = kernel(body.replace("{noinc}", noinc).replace("{arrivals}", arrivals).replace("{wait}", WAIT.replace("{parity}", "0")), 2)
        assert run(text, 1, 32, arrays)[0].tolist() == [4 * (t ^ 1) + 1 for t in range(32)]
    text = kernel(body.replace("{noinc}", "").replace("{arrivals}", "32").replace("{wait}", ""), 2)
    fails("destination of a copy that has not been waited for", text, 1, 32, arrays)


# ---- mbarriers, bulk copies, clusters ---------------------------------------------------------------------------------

BARRIER = """.shared .align 8 .b8 bar[8]; .shared .align 128 .b8 tile[1024]; .reg .b32 b, s, d, r; .reg .b64 state;
  .reg .pred p, done, first;
  mov.u32 b, bar; mov.u32 s, tile; setp.eq.u32 first, t, 0; @first mbarrier.init.shared.b64 [b], {count};
  @first fence.mbarrier_init.release.cluster; bar.sync 0;"""
WAIT = "W: mbarrier.try_wait.parity.shared.b64 done, [b], {parity}; @!done bra W;"


def test_bulk_copy():
    body = (
        THREAD
        + BARRIER.replace("{count}", "1")
        + """@!first bra W; mbarrier.arrive.expect_tx.shared.b64 _, [b], 256;
      cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [s], [p1], 256, [b];"""
        + "{wait}"
        + f" shl.b32 r, t, 2; add.u32 r, r, s; ld.shared.b32 d, [r]; {STORE}"
    )
    data = np.arange(64, dtype=np.uint32) * 7
    assert (
        run(kernel(body.replace("{wait}", WAIT.replace("{parity}", "0")), 2), 1, 64, [output(64, np.uint32), data])[0] == data
    ).all()
    fails(
        "destination of a copy that has not been waited for",
        kernel(body.replace("{wait}", "W:"), 2),
        1,
        64,
        [output(64, np.uint32), data],
    )
    fails(
        "destination of a copy|was never written",
        kernel(body.replace("{wait}", WAIT.replace("{parity}", "1")), 2),
        1,
        64,
        [output(64, np.uint32), data],
    )
    fails(
        "misaligned",
        kernel(body.replace("[s], [p1]", "[s+8], [p1]").replace("{wait}", "W:"), 2),
        1,
        64,
        [output(64, np.uint32), data],
    )
    policy = ".reg .b64 policy; createpolicy.fractional.L2::evict_first.b64 policy, 1.0; @!first bra W;"
    hinted = body.replace("@!first bra W;", policy).replace("bytes [s]", "bytes.L2::cache_hint [s]").replace("256, [b];", "256, [b], policy;")
    hinted = kernel(hinted.replace("{wait}", WAIT.replace("{parity}", "0")), 2)
    assert (run(hinted, 1, 64, [output(64, np.uint32), data])[0] == data).all()
    unknown = hinted.replace("createpolicy.fractional.L2::evict_first.b64 policy, 1.0;", "mov.b64 policy, 5;")
    fails("no createpolicy made", unknown, 1, 64, [output(64, np.uint32), data])
    short = kernel(body.replace("[b], 256;", "[b], 260;").replace("{wait}", WAIT.replace("{parity}", "0")), 2)
    fails(r"deadlock.*64 threads.*mbarrier.try_wait", short, 1, 64, [output(64, np.uint32), data])


def test_bulk_store():
    body = (
        THREAD
        + """.shared .align 128 .b8 tile[256]; .reg .b32 s, r; .reg .pred p; mov.u32 s, tile; shl.b32 r, t, 2;
        add.u32 r, r, s; st.shared.b32 [r], t;
      {fence} bar.sync 0; setp.ne.u32 p, t, 0; @p bra END; cp.async.bulk.global.shared::cta.bulk_group [p0], [s], 256;
      cp.async.bulk.commit_group; {wait} END:"""
    )
    fence, wait = "fence.proxy.async.shared::cta;", "cp.async.bulk.wait_group 0;"
    good = kernel(body.replace("{fence}", fence).replace("{wait}", wait))
    assert run(good, 1, 64, [output(64, np.uint32)])[0].tolist() == list(range(64))
    adds = good.replace("cp.async.bulk.global.shared::cta.bulk_group", "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32")
    assert run(adds, 1, 64, [np.arange(64, dtype=np.uint32) * 100])[0].tolist() == [101 * i for i in range(64)]
    fails(
        "without a fence.proxy.async", kernel(body.replace("{fence}", "").replace("{wait}", wait)), 1, 64, [output(64, np.uint32)]
    )
    copied = body.replace("st.shared.b32 [r], t;", "add.s64 at, at, p0; cp.async.ca.shared.global [r], [at], 4; cp.async.wait_all;")
    assert copied != body
    unfenced = kernel(copied.replace("{fence}", "").replace("{wait}", wait))
    fails("without a fence.proxy.async", unfenced, 1, 64, [output(64, np.uint32)])
    run(kernel(copied.replace("{fence}", fence).replace("{wait}", wait)), 1, 64, [output(64, np.uint32)])
    fails(
        "exits while its bulk store may still read",
        kernel(body.replace("{fence}", fence).replace("{wait}", "")),
        1,
        64,
        [output(64, np.uint32)],
    )
    early = body.replace("{fence}", fence).replace("{wait}", "st.shared.b32 [s], 5;" + wait)
    fails("write to shared memory.*still reads", kernel(early), 1, 64, [output(64, np.uint32)])


def test_mbarrier_phases():
    """Two warps hand a word to and fro."""
    body = (
        THREAD
        + BARRIER.replace("{count}", "64")
        + """.reg .b32 i, phase; mov.b32 i, 0; mov.b32 phase, 0; @first st.shared.b32 [s], 1; bar.sync 0;
     LOOP: shr.u32 r, t, 5; xor.b32 r, r, i; and.b32 r, r, 1; setp.ne.u32 p, r, 0; and.b32 r, t, 31;
     setp.ne.or.u32 p, r, 0, p; @p bra ARRIVE;
      ld.shared.b32 d, [s]; mad.lo.u32 d, d, 3, i; st.shared.b32 [s], d;
     ARRIVE: mbarrier.arrive.shared.b64 state, [b];
     W: mbarrier.{kind}.shared.b64 done, [b], {which}; @!done bra W;
      xor.b32 phase, phase, 1; add.u32 i, i, 1; setp.lt.u32 p, i, 5; @p bra LOOP; ld.shared.b32 d, [s];"""
        + STORE
    )
    expected = 1
    for i in range(5):
        expected = expected * 3 + i
    for kind, which in (
        ("try_wait", "state"),
        ("test_wait", "state"),
        ("try_wait.parity", "phase"),
        ("test_wait.parity", "phase"),
    ):
        assert set(
            run(kernel(body.replace("{kind}", kind).replace("{which}", which)), 1, 64, [output(64, np.uint32)])[0].tolist()
        ) == {expected}
    more = THREAD + BARRIER.replace("{count}", "40") + "mbarrier.arrive.shared.b64 state, [b], 3;"
    fails("3 arrivals at an mbarrier that expects 1 more in phase 0 of 40", kernel(more), 1, 64, [output(64, np.uint32)])
    fails(
        "no mbarrier was initialized",
        kernel(".shared .align 8 .b8 x[8]; .reg .b32 b; .reg .b64 s; mov.u32 b, x; mbarrier.arrive.shared.b64 s, [b];"),
        1,
        1,
        ONE,
    )


def test_cluster():
    """Each CTA of four sends to the next one's shared memory with st.async, and reads the one's before it."""
    body = (
        """.reg .b32 t, rank, next, rs, rb, me, prev; .reg .b64 at, slot, bytes;
      mov.u32 t, %tid.x; mov.u32 rank, %cluster_ctarank;"""
        + BARRIER.replace("{count}", "1")
        + """
      barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;
      @first mbarrier.arrive.expect_tx.shared.b64 _, [b], 128;
      add.u32 next, rank, 1; and.b32 next, next, 3; shl.b32 r, t, 2; add.u32 r, r, s; mapa.shared::cluster.u32 rs, r, next;
      mapa.shared::cluster.u32 rb, b, next;
      mad.lo.u32 d, rank, 1000, t; st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [rs], d, [rb];
      W: mbarrier.try_wait.parity.shared.b64 done, [b], 0; @!done bra W; ld.shared.b32 d, [r];
      barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;
      sub.u32 prev, rank, 1; and.b32 prev, prev, 3; mapa.shared::cluster.u32 rs, r, prev; ld.shared::cluster.b32 me, [rs];
      mad.lo.u32 d, me, 10000, d;
      mov.u32 rank, %ctaid.x; mad.lo.u32 t, rank, 32, t; mul.wide.u32 at, t, 4; add.s64 at, at, p0; st.global.b32 [at], d;
      barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;"""
    )
    before = lambda rank, by: (rank - by) % 4 * 1000  # noqa: E731
    expected = [before(c, 1) + t + 10000 * (before(c, 2) + t) for c in range(8) for t in range(32)]
    assert run(kernel(body), 8, 32, [output(256, np.uint32)], cluster=4)[0].tolist() == [x % 2**32 for x in expected]
    fails("not launched as a cluster|rank outside the cluster", kernel(body), 8, 32, [output(256, np.uint32)])


def test_grid():
    """All CTAs of a wave run together: one can wait for another."""
    body = """.reg .b32 c, x; .reg .pred p; mov.u32 c, %ctaid.x; setp.eq.u32 p, c, 3; @p bra LAST;
    SPIN: ld.acquire.gpu.global.b32 x, [p0]; setp.eq.u32 p, x, 0; @p bra SPIN; red.global.add.u32 [p0+4], 1; bra END;
    LAST: st.release.gpu.global.b32 [p0], 1; END:"""
    for schedule in ("lockstep", "warps"):
        assert run(kernel(body), 4, 32, [np.zeros(2, np.uint32)], schedule=schedule)[0].tolist() == [1, 96]


def test_kernel_that_waits_itself():
    """Started while the kernel in front ends: before it waits it may read what no kernel writes, and write nothing."""
    body = f"""{THREAD}.reg .b32 d; add.s64 from, at, p1; add.s64 at, at, p0; griddepcontrol.launch_dependents;
      FIRST ld.global.b32 d, [from]; SECOND add.u32 d, d, 1; THIRD st.global.b32 [at], d;"""
    wait, numbers = "griddepcontrol.wait;", np.arange(32, dtype=np.uint32)
    texts = {place: kernel(body.replace(place, wait).replace("FIRST", "").replace("SECOND", "").replace("THIRD", ""), 2) for place in ("FIRST", "SECOND", "THIRD")}
    for text in texts.values():
        assert (run(text, 1, 32, [output(32, np.uint32), numbers])[0] == numbers + 1).all()
    late = kernel(body.replace("FIRST", "").replace("SECOND", "").replace("THIRD", "") + wait, 2)
    fails("write to argument 0.*before griddepcontrol.wait", late, 1, 32, [output(32, np.uint32), numbers])
    # What a kernel wrote is read in time by one of them alone.
    for place, good in (("FIRST", True), ("SECOND", False)):
        device = ptx.Device()
        a, b, loaded = device.buffer(numbers, "a"), device.buffer(numbers, "b"), device.load(texts[place])
        loaded.launch("k", 1, 32, [b, a])
        try:
            loaded.launch("k", 1, 32, [a, b])
            assert good and (a.read(np.uint32) == numbers + 2).all()
        except ptx.PtxError as error:
            assert not good and "read of b, which the kernel in front may use" in str(error), error


def test_narrow_store_of_a_float():
    """A chip runs ptxas's saturating conversion where PTX has the low bits: text that depends on it is refused."""
    body = """.reg .b32 x, y; mov.b32 x, 0f40400000; add.rn.f32 x, x, 0f4B400000; MOVE st.global.b8 [p0], SOURCE;"""
    fails(r"ptxas converts the float", kernel(body.replace("MOVE", "").replace("SOURCE", "x")), 1, 1, [output(4, np.uint8)])
    moved = kernel(body.replace("MOVE", "mov.b32 y, x;").replace("SOURCE", "y"))
    assert run(moved, 1, 1, [output(4, np.uint8)])[0][0] == 3


def test_special_registers():
    body = """.reg .b32 x, d, t; .reg .b64 at; mov.u32 d, %ctaid.y; mov.u32 x, %ntid.x; mov.u32 t, %tid.y;
    mad.lo.u32 t, t, x, 0; mov.u32 x, %tid.x; add.u32 t, t, x;
      mad.lo.u32 d, d, 100, t; mov.u32 x, %ctaid.y; shl.b32 x, x, 5; add.u32 t, t, x; mul.wide.u32 at, t, 4;
      add.s64 at, at, p0; mov.u32 x, %laneid; shl.b32 x, x, 16; or.b32 d, d, x; st.global.b32 [at], d;"""
    found = run(kernel(body), (1, 3), (8, 4), [output(96, np.uint32)])[0]
    assert found.tolist() == [y * 100 + t | t << 16 for y in range(3) for t in range(32)]


main(globals())
