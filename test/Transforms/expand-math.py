# RUN: python3 %s generic
# RUN: python3 %s x86-64-v3
#
# What qlow-expand-math leaves runs without a library, and gives what C's functions give in f64 rounded once: the same
# bits but for a few in a million, never more than one unit away; rounding, fma, remainder and conversions bit for bit.

import ctypes
import math
import os
import subprocess
import sys
import tempfile

import numpy as np

target = sys.argv[1]
flags = {"generic": "x86-64", "x86-64-v3": "x86-64-v3"}
if target != "generic" and " avx2 " not in open("/proc/cpuinfo").read():
    print("skipped: this machine has no AVX2")
    sys.exit(0)

MLIR = {np.float32: "f32", np.float64: "f64", np.uint16: "i16", np.uint8: "i8", np.int32: "i32", np.int64: "i64"}
functions = []  # name, MLIR text of the body from %0.. to %r, types of the inputs, type of the result


def function(name, body, inputs, result):
    text = ["func.func @%s(%%n: i64, %s, %%out: !llvm.ptr) {" % (name, ", ".join("%%p%d: !llvm.ptr" % i for i in range(len(inputs))))]
    text += ["%zero = arith.constant 0 : index", "%one = arith.constant 1 : index", "%end = arith.index_cast %n : i64 to index"]
    text += ["scf.for %k = %zero to %end step %one {", "%i = arith.index_cast %k : index to i64"]
    for i, t in enumerate(inputs):
        text.append("%%a%d = llvm.getelementptr %%p%d[%%i] : (!llvm.ptr, i64) -> !llvm.ptr, %s" % (i, i, MLIR[t]))
        text.append("%%x%d = llvm.load %%a%d : !llvm.ptr -> %s" % (i, i, MLIR[t]))
    text += body.split("\n")
    text.append("%%to = llvm.getelementptr %%out[%%i] : (!llvm.ptr, i64) -> !llvm.ptr, %s" % MLIR[result])
    text += ["llvm.store %%r, %%to : %s, !llvm.ptr" % MLIR[result], "}", "return", "}"]
    functions.append((name, "\n".join(text), inputs, result))


F32, F64, U16, U8, I32, I64 = np.float32, np.float64, np.uint16, np.uint8, np.int32, np.int64
for op in ("exp", "exp2", "expm1", "log", "log2", "log1p", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "erf",
           "rsqrt", "sqrt", "floor", "ceil", "trunc", "round", "roundeven"):
    function(op, "%%r = math.%s %%x0 : f32" % op, [F32], F32)
for op in ("floor", "ceil", "trunc", "round", "roundeven"):
    function(op + "64", "%%r = math.%s %%x0 : f64" % op, [F64], F64)
for op in ("atan2", "powf"):
    function(op, "%%r = math.%s %%x0, %%x1 : f32" % op, [F32, F32], F32)
function("remf", "%r = arith.remf %x0, %x1 : f32", [F32, F32], F32)
function("maximumf", "%r = arith.maximumf %x0, %x1 : f32", [F32, F32], F32)
for op in ("maxnumf", "minnumf"):
    function(op, "%%r = arith.%s %%x0, %%x1 : f32" % op, [F32, F32], F32)
function("fma", "%r = math.fma %x0, %x1, %x2 : f32", [F32, F32, F32], F32)
for t, bits in (("f16", "i16"), ("bf16", "i16"), ("f8E4M3FN", "i8"), ("f8E5M2", "i8"), ("f8E4M3FNUZ", "i8"),
                ("f8E5M2FNUZ", "i8"), ("f8E8M0FNU", "i8")):
    u = U16 if bits == "i16" else U8
    function("extend_" + t, "%%h = arith.bitcast %%x0 : %s to %s\n%%r = arith.extf %%h : %s to f32" % (bits, t, t), [u], F32)
    function("narrow_" + t, "%%h = arith.truncf %%x0 : f32 to %s\n%%r = arith.bitcast %%h : %s to %s" % (t, t, bits), [F32], u)
for t in ("f16", "bf16"):
    function("narrow64_" + t, "%%h = arith.truncf %%x0 : f64 to %s\n%%r = arith.bitcast %%h : %s to i16" % (t, t), [F64], U16)
    function("integer_" + t, "%%h = arith.sitofp %%x0 : i32 to %s\n%%r = arith.bitcast %%h : %s to i16" % (t, t), [I32], U16)
    function("add_" + t, "\n".join(["%%b%d = arith.bitcast %%x%d : i16 to %s" % (i, i, t) for i in range(2)] + [
        "%%s = arith.addf %%b0, %%b1 : %s" % t, "%%r = arith.bitcast %%s : %s to i16" % t]), [U16, U16], U16)
    function("exp_" + t, "%%h = arith.bitcast %%x0 : i16 to %s\n%%e = math.exp %%h : %s\n%%r = arith.bitcast %%e : %s to i16" % (t, t, t), [U16], U16)


def build(folder):
    def run(command, text):
        return subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True).stdout

    module = "module {\n" + "\n".join(text for _, text, _, _ in functions) + "\n}\n"
    text = run(["qlow-opt", "-qlow-expand-math=target=" + target, "-convert-scf-to-cf", "-convert-to-llvm",
                "-reconcile-unrealized-casts"], module.encode())
    text = run(["mlir-translate", "--mlir-to-llvmir"], text)
    text = run(["opt", "-O2", "-mcpu=" + flags[target], "-mtriple=x86_64-unknown-linux-gnu"], text)
    obj, lib = os.path.join(folder, "f.o"), os.path.join(folder, "f.so")
    run(["llc", "-O2", "-filetype=obj", "-relocation-model=pic", "-mcpu=" + flags[target],
         "-mtriple=x86_64-unknown-linux-gnu", "-o", obj], text)
    undefined = run(["llvm-nm", "--undefined-only", obj], b"").decode().split()
    assert not set(undefined) - {"U", "memset", "memcpy"}, "needs a library: " + " ".join(undefined)
    subprocess.run(["ld.lld", "-shared", "-o", lib, obj], check=True)
    return ctypes.CDLL(lib)


with tempfile.TemporaryDirectory() as folder:
    library = build(folder)


def call(name, *inputs):
    result = next(r for n, _, _, r in functions if n == name)
    out = np.zeros(len(inputs[0]), result)
    pointer = lambda a: a.ctypes.data_as(ctypes.c_void_p)
    keep = [np.ascontiguousarray(a) for a in inputs]
    getattr(library, name)(ctypes.c_int64(len(out)), *[pointer(a) for a in keep], pointer(out))
    return out


def ordered(a):
    bits = a.view({4: np.int32, 8: np.int64}[a.dtype.itemsize]).astype(np.int64)
    return np.where(bits < 0, -(bits & (2**(8 * a.dtype.itemsize - 1) - 1)), bits)


def check(name, got, expected, units=0, rate=0.0):
    nan = np.isnan(expected) & np.isnan(got)
    far = np.where(nan, 0, np.abs(ordered(got) - ordered(expected)))
    # Zeros count with their sign.
    far = np.where((got == 0) & (expected == 0) & (np.signbit(got) != np.signbit(expected)), 99, far)
    wrong = np.flatnonzero(far > units)
    assert not len(wrong), "%s: %d of %d wrong, first %d: got %r, expected %r" % (
        name, len(wrong), len(far), wrong[0], got[wrong[0]], expected[wrong[0]])
    assert np.mean(far > 0) <= rate, "%s: %g of the results are not the nearest" % (name, np.mean(far > 0))


rng = np.random.default_rng(1)
count = 200000
special = np.array([0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 2, 3, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3.4028235e38,
                    8388607.5, -8388608, 16777216, 88.8, -104, 1e-38, 0.41, -0.29, np.pi, 2, 4, 524288, 0.26794919], F32)
anybits = rng.integers(0, 2**32, count, dtype=np.uint32).view(F32)
moderate = (rng.standard_normal(count) * 20).astype(F32)
near1 = (1 + rng.standard_normal(count) * 0.1).astype(F32)
x = np.concatenate([special, anybits, moderate, near1, near1 - F32(1)])
y = np.concatenate([special[::-1], rng.permutation(anybits), rng.integers(-9, 9, count).astype(F32), moderate, near1])
xs, ys = [a.ravel() for a in np.meshgrid(special, special)]
x2, y2 = np.concatenate([x, xs]), np.concatenate([y, ys])

np.seterr(all="ignore")
wide = x.astype(F64)
libm = {"exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log1p": np.log1p,
        "sin": np.sin, "cos": np.cos, "tan": np.tan, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh,
        "tanh": np.tanh, "erf": np.vectorize(math.erf), "rsqrt": lambda v: 1 / np.sqrt(v)}
for name, f in libm.items():
    check(name, call(name, x), f(wide).astype(F32), units=1, rate=1e-5)
check("atan2", call("atan2", x2, y2), np.arctan2(x2.astype(F64), y2.astype(F64)).astype(F32), units=1, rate=1e-5)
check("powf", call("powf", x2, y2), np.power(x2.astype(F64), y2.astype(F64)).astype(F32), units=1, rate=1e-5)

away = lambda v: np.copysign(np.where(np.abs(v) - np.trunc(np.abs(v)) < 0.5, np.trunc(np.abs(v)), np.trunc(np.abs(v)) + 1), v)
exact = {"sqrt": np.sqrt, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "round": away, "roundeven": np.rint}
x64 = np.concatenate([wide, rng.integers(0, 2**64, count, dtype=np.uint64).view(F64), [4503599627370495.5, 0.49999999999999994]])
for name, f in exact.items():
    check(name, call(name, x), f(x))
    if name != "sqrt":
        check(name + "64", call(name + "64", x64), f(x64))
check("remf", call("remf", x2, y2), np.fmod(x2, y2))
check("maximumf", call("maximumf", x2, y2), np.where((x2 == 0) & (y2 == 0), np.where(np.signbit(x2), y2, x2), np.maximum(x2, y2)))
zeros = (x2 == 0) & (y2 == 0)
check("maxnumf", call("maxnumf", x2, y2), np.where(zeros, np.where(np.signbit(x2), y2, x2), np.fmax(x2, y2)))
check("minnumf", call("minnumf", x2, y2), np.where(zeros, np.where(np.signbit(x2), x2, y2), np.fmin(x2, y2)))

libc = ctypes.CDLL("libm.so.6")
libc.fmaf.restype, libc.fmaf.argtypes = ctypes.c_float, [ctypes.c_float] * 3
a, b = x2[:60000], y2[:60000]
c = np.concatenate([(-(a * b))[:30000], rng.permutation(x)[:30000]])
c = np.where(rng.random(60000) < 0.5, c, np.nextafter(c, F32(0)))
check("fma", call("fma", a, b, c), np.array([libc.fmaf(*v) for v in zip(a.tolist(), b.tolist(), c.tolist())], F32))

# Conversions, against numpy for f16 and against values made from the formats' bits for the others.
codes16 = np.arange(65536, dtype=U16)
table = {"f16": codes16.view(np.float16).astype(F32), "bf16": (codes16.astype(np.uint32) << 16).view(F32)}


def decode8(exponent_bits, bias, kind):
    mantissa_bits = 7 - exponent_bits
    values = []
    for code in range(256):
        sign, e, m = -1.0 if code & 128 else 1.0, (code & 127) >> mantissa_bits, code & ((1 << mantissa_bits) - 1)
        v = sign * (math.ldexp(m, 1 - bias - mantissa_bits) if e == 0 else math.ldexp(m + (1 << mantissa_bits), e - bias - mantissa_bits))
        if kind == "fnuz":
            v = math.nan if code == 128 else v
        elif kind == "fn":
            v = math.nan if code & 127 == 127 else v
        elif e == 31:
            v = sign * math.inf if m == 0 else math.nan
        values.append(v)
    return np.array(values, F32)


table["f8E4M3FN"], table["f8E5M2"] = decode8(4, 7, "fn"), decode8(5, 15, "ieee")
table["f8E4M3FNUZ"], table["f8E5M2FNUZ"] = decode8(4, 8, "fnuz"), decode8(5, 16, "fnuz")
table["f8E8M0FNU"] = np.array([math.ldexp(1, c - 127) for c in range(255)] + [math.nan], F32)


def nearest(t, values, sign_bit):
    """The code RNE gives: among finite values and one more step, which is an overflow."""
    finite = [(v, c) for c, v in enumerate(table[t][:sign_bit].astype(F64)) if math.isfinite(v)]
    steps = [v for v, _ in finite] + [2 * finite[-1][0] - finite[-2][0]]
    overflow = {"f16": 0x7c00, "bf16": 0x7f80, "f8E4M3FN": 0x7f, "f8E5M2": 0x7c}.get(t, 0x80)
    nan = {"f16": 0x7e00, "bf16": 0x7fc0, "f8E4M3FN": 0x7f, "f8E5M2": 0x7e}.get(t, 0x80)
    steps, result = np.array(steps), []
    magnitudes = np.abs(values.astype(F64))
    upper = np.clip(np.searchsorted(steps, magnitudes), 1, len(steps) - 1)
    down, up = magnitudes - steps[upper - 1], steps[upper] - magnitudes
    index = np.where((down < up) | ((down == up) & ((upper - 1) % 2 == 0)), upper - 1, upper)
    index = np.where(magnitudes > steps[-1], len(steps) - 1, index)
    fnuz = t.endswith("FNUZ")
    code = np.where(index == len(steps) - 1, overflow, index)
    sign = np.where(np.signbit(values) & ~(fnuz & ((code == 0) | (code == 0x80))), sign_bit, 0)
    return np.where(np.isnan(values), nan, code | sign), np.isnan(values)


def check_codes(name, got, expected, nan):
    # The sign and the payload of a NaN are nobody's.
    mask = np.where(nan, expected, 0xffff)
    wrong = np.flatnonzero((got.astype(np.int64) & mask) != (expected.astype(np.int64) & mask))
    assert not len(wrong), "%s: %d wrong, first: got %#x, expected %#x for number %d" % (
        name, len(wrong), got[wrong[0]], expected[wrong[0]], wrong[0])


for t, values in table.items():
    codes = codes16 if len(values) == 65536 else np.arange(256, dtype=U8)
    got = call("extend_" + t, codes)
    assert np.array_equal(got, values, equal_nan=True), "extend_" + t
    assert np.array_equal(np.signbit(got[got == 0]), np.signbit(values[values == 0])), "zeros of " + t
    if t == "f8E8M0FNU":
        powers = call("narrow_" + t, values)
        assert np.array_equal(powers, codes), "narrow_" + t
        continue
    # Values, ties and their neighbours.
    v = values[np.isfinite(values)].astype(F64)
    ties = ((np.sort(v)[1:] + np.sort(v)[:-1]) / 2).astype(F32)
    inputs = np.concatenate([x, values, ties, np.nextafter(ties, F32(np.inf)), np.nextafter(ties, F32(-np.inf))])
    sign_bit = len(values) // 2
    check_codes("narrow_" + t, call("narrow_" + t, inputs), *nearest(t, inputs, sign_bit))
    if len(values) == 65536:
        close = np.concatenate([ties.astype(F64) * (1 + d) for d in (0, 2.0**-50, -2.0**-50, 2.0**-30)] + [x64])
        check_codes("narrow64_" + t, call("narrow64_" + t, close), *nearest(t, close, sign_bit))
        ints = np.concatenate([rng.integers(-2**31, 2**31, count).astype(I32), np.arange(-70000, 70000, dtype=I32)])
        check_codes("integer_" + t, call("integer_" + t, ints), *nearest(t, ints.astype(F64), sign_bit))
        p, q = rng.integers(0, 65536, (2, count)).astype(U16)
        check_codes("add_" + t, call("add_" + t, p, q), *nearest(t, values[p].astype(F64) + values[q].astype(F64), sign_bit))
        check_codes("exp_" + t, call("exp_" + t, codes), *nearest(t, np.exp(values.astype(F64)), sign_bit))
