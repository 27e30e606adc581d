# The PTX emulator computes what the PTX ISA says, instruction by instruction; ptxas accepts each, where there is one.
#
# RUN: python3 %s
#
# On a machine with a GPU, the same against the chip:   python3 test/Integration/ptx-arithmetic.py --gpu
#
# A row is an instruction over registers a, b, c and d, the types of its operands, and what d must be for integers (their
# bits) or exact fractions, written here from the ISA alone.

import math
import os
import sys
from fractions import Fraction

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))
from kernels import kernel, main, output, run  # noqa: E402
import numpy as np

LANES = 128
WIDTH = {"u8": 8, "u16": 16, "s16": 16, "u32": 32, "s32": 32, "u64": 64, "s64": 64, "f16": 16, "bf16": 16, "f32": 32, "f64": 64}
INTEGER_EDGES = [0, 1, 2, 7, 31, 32, 33, 63, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
                 0x100000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF]
FORMATS = {"f32": (8, 23), "f16": (5, 10), "bf16": (8, 7), "e5m2": (5, 2), "f64": (11, 52)}


def execute(row_text, kinds, to, inputs):
    """d of one instruction for each lane, as integers."""
    letters = "abc"[: len(kinds)]
    sizes = [WIDTH[kind] for kind in kinds]
    body = ".reg .b32 t;\n.reg .b64 at;\n.reg .pred p, q;\nmov.u32 t, %tid.x;\n"
    for number, (letter, size) in enumerate(zip(letters, sizes)):
        body += f".reg .b{size} {letter};\nmul.wide.u32 at, t, {size // 8};\nadd.s64 at, at, p{number};\n"
        body += f"ld.global.b{size} {letter}, [at];\n"
    size = WIDTH[to]
    body += f".reg .b{size} d;\n{row_text}{'' if row_text.endswith('}') else ';'}\n"
    body += f"mul.wide.u32 at, t, {size // 8};\nadd.s64 at, at, p{len(kinds)};\nst.global.b{size} [at], d;"
    arrays = [np.array(values, f"u{size // 8}") for values, size in zip(inputs, sizes)]
    return [int(x) for x in run(kernel(body, len(kinds) + 1), 1, LANES, arrays + [output(LANES, f"u{size // 8}")])[-1]]


def signed(value, bits):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def integers(kind, seed):
    """Edges and random bits."""
    rng = np.random.default_rng(seed)
    bits = WIDTH[kind]
    values = [edge & ((1 << bits) - 1) for edge in INTEGER_EDGES]
    values += [int(x) >> (64 - bits) for x in rng.integers(0, 1 << 64, LANES, np.uint64)]
    values = values[:LANES]
    return [values[i] for i in rng.permutation(LANES)]


def check_rows(rows, draw):
    for text, kinds, to, function in rows:
        inputs = [draw(kind, number + 1) for number, kind in enumerate(kinds)]
        if text.startswith(("div", "rem")) and to[0] in "su":
            inputs[1] = [value or 3 for value in inputs[1]]
        found = execute(text, kinds, to, inputs)
        for lane, values in enumerate(zip(*inputs)):
            expected = function(*[signed(v, WIDTH[kind]) if kind[0] == "s" else v for v, kind in zip(values, kinds)])
            expected = expected & ((1 << WIDTH[to]) - 1) if isinstance(expected, int) else expected(found[lane])
            what = f"{text} of {[hex(v) for v in values]}"
            assert found[lane] == expected, f"{what}: expected {hex(expected)}, found {hex(found[lane])}"


# ---- integers ---------------------------------------------------------------------------------------------------------


def quotient(a, b):
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def bfe(a, position, length, bits, is_signed):
    position, length = position & 255, length & 255
    last = min(position + length - 1, bits - 1)
    fill = (a >> last & 1) if is_signed and length else 0
    result = 0
    for i in range(bits):
        bit = (a >> (position + i) & 1) if i < length and position + i < bits else fill
        result |= bit << i
    return result


def bfi(a, b, position, length):
    for i in range(min(length, 32)):
        if position + i < 32:
            b = b & ~(1 << position + i) | (a >> i & 1) << position + i
    return b


def prmt(a, b, selector):
    result = 0
    for i in range(4):
        nibble = selector >> 4 * i & 15
        byte = (b << 32 | a) >> 8 * (nibble & 7) & 255
        result |= ((255 if byte > 127 else 0) if nibble > 7 else byte) << 8 * i
    return result


def lop3(a, b, c, table):
    return sum((table >> ((a >> i & 1) << 2 | (b >> i & 1) << 1 | (c >> i & 1)) & 1) << i for i in range(32))


def bytes_of(a, is_signed, size=8):
    return [signed(a >> i, size) if is_signed else a >> i & ((1 << size) - 1) for i in range(0, 32, size)]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def clamp(x, low, high):
    return max(low, min(high, x))


def select(x):
    """The bits of a predicate result, stored as 1 or 0."""
    return int(bool(x))


U, S = ("u32", "u32"), ("s32", "s32")
INTEGER_ROWS = [
    ("add.s32 d, a, b", U, "u32", lambda a, b: a + b),
    ("add.sat.s32 d, a, b", S, "u32", lambda a, b: clamp(a + b, -(2**31), 2**31 - 1)),
    ("sub.s16 d, a, b", ("u16", "u16"), "u16", lambda a, b: a - b),
    ("add.s64 d, a, b", ("u64", "u64"), "u64", lambda a, b: a + b),
    ("add.cc.u32 d, a, b; addc.u32 d, a, 0", U, "u32", lambda a, b: a + (a + b >> 32)),
    ("sub.cc.u32 d, a, b; subc.u32 d, a, 0", U, "u32", lambda a, b: a - (a < b)),
    ("mul.lo.s32 d, a, b", U, "u32", lambda a, b: a * b),
    ("mul.hi.s32 d, a, b", S, "u32", lambda a, b: a * b >> 32),
    ("mul.hi.u32 d, a, b", U, "u32", lambda a, b: a * b >> 32),
    ("mul.hi.s64 d, a, b", ("s64", "s64"), "u64", lambda a, b: a * b >> 64),
    ("mul.wide.s32 d, a, b", S, "u64", lambda a, b: a * b),
    ("mul.wide.u16 d, a, b", ("u16", "u16"), "u32", lambda a, b: a * b),
    ("mad.lo.s32 d, a, b, c", ("u32",) * 3, "u32", lambda a, b, c: a * b + c),
    ("mad.wide.s32 d, a, b, c", ("s32", "s32", "u64"), "u64", lambda a, b, c: a * b + c),
    ("mul24.lo.s32 d, a, b", U, "u32", lambda a, b: signed(a, 24) * signed(b, 24)),
    ("div.s32 d, a, b", S, "u32", quotient), ("rem.s32 d, a, b", S, "u32", lambda a, b: a - quotient(a, b) * b),
    ("div.u64 d, a, b", ("u64", "u64"), "u64", lambda a, b: a // b), ("rem.u32 d, a, b", U, "u32", lambda a, b: a % b),
    ("min.s32 d, a, b", S, "u32", min), ("max.u32 d, a, b", U, "u32", max), ("max.s64 d, a, b", ("s64", "s64"), "u64", max),
    ("abs.s32 d, a", ("s32",), "u32", abs), ("neg.s64 d, a", ("s64",), "u64", lambda a: -a),
    ("sad.s32 d, a, b, c", ("s32", "s32", "u32"), "u32", lambda a, b, c: abs(a - b) + c),
    ("and.b32 d, a, b", U, "u32", lambda a, b: a & b), ("xor.b64 d, a, b", ("u64", "u64"), "u64", lambda a, b: a ^ b),
    ("not.b32 d, a", ("u32",), "u32", lambda a: ~a), ("cnot.b32 d, a", ("u32",), "u32", lambda a: int(a == 0)),
    ("shl.b32 d, a, b", U, "u32", lambda a, b: a << b if b < 32 else 0),
    ("shr.u32 d, a, b", U, "u32", lambda a, b: a >> b if b < 32 else 0),
    ("shr.s32 d, a, b", ("s32", "u32"), "u32", lambda a, b: a >> min(b, 31)),
    ("shl.b16 d, a, b", ("u16", "u32"), "u16", lambda a, b: a << b if b < 16 else 0),
    ("shf.l.wrap.b32 d, a, b, c", ("u32",) * 3, "u32", lambda a, b, c: (b << 32 | a) << (c & 31) >> 32),
    ("shf.r.clamp.b32 d, a, b, c", ("u32",) * 3, "u32", lambda a, b, c: (b << 32 | a) >> min(c, 32)),
    ("prmt.b32 d, a, b, c", ("u32",) * 3, "u32", prmt),
    ("prmt.b32 d, a, b, 0x9F10", U, "u32", lambda a, b: prmt(a, b, 0x9F10)),
    ("lop3.b32 d, a, b, c, 0xCA", ("u32",) * 3, "u32", lambda a, b, c: lop3(a, b, c, 0xCA)),
    ("bfe.u32 d, a, b, c", ("u32",) * 3, "u32", lambda a, b, c: bfe(a, b, c, 32, False)),
    ("bfe.s32 d, a, b, c", ("u32",) * 3, "u32", lambda a, b, c: bfe(a, b, c, 32, True)),
    ("bfi.b32 d, a, b, c, 5", ("u32",) * 3, "u32", lambda a, b, c: bfi(a, b, c & 255, 5)),
    ("bfi.b32 d, a, b, 3, c", ("u32",) * 3, "u32", lambda a, b, c: bfi(a, b, 3, c & 255)),
    ("brev.b32 d, a", ("u32",), "u32", lambda a: int(f"{a:032b}"[::-1], 2)),
    ("popc.b64 d, a", ("u64",), "u32", lambda a: bin(a).count("1")),
    ("clz.b32 d, a", ("u32",), "u32", lambda a: 32 - a.bit_length()),
    ("bfind.u32 d, a", ("u32",), "u32", lambda a: a.bit_length() - 1),
    ("bfind.s32 d, a", ("s32",), "u32", lambda a: (~a if a < 0 else a).bit_length() - 1),
    ("dp4a.s32.s32 d, a, b, c", ("u32",) * 3, "u32", lambda a, b, c: c + dot(bytes_of(a, True), bytes_of(b, True))),
    ("dp4a.u32.s32 d, a, b, c", ("u32",) * 3, "u32", lambda a, b, c: c + dot(bytes_of(a, False), bytes_of(b, True))),
    ("dp2a.hi.s32.u32 d, a, b, c", ("u32",) * 3, "u32",
     lambda a, b, c: c + dot(bytes_of(a, True, 16), bytes_of(b, False)[2:])),
    ("cvt.s64.s32 d, a", ("s32",), "u64", lambda a: a), ("cvt.u64.u32 d, a", ("u32",), "u64", lambda a: a),
    ("cvt.s32.s8 d, a", ("u32",), "u32", lambda a: signed(a, 8)), ("cvt.u32.u16 d, a", ("u16",), "u32", lambda a: a),
    ("cvt.sat.s8.s32 d, a", ("s32",), "u32", lambda a: clamp(a, -128, 127)),
    ("cvt.sat.u8.s32 d, a", ("s32",), "u32", lambda a: clamp(a, 0, 255)),
    ("cvt.pack.sat.s8.s32.b32 d, a, b, c", ("s32", "s32", "u32"), "u32",
     lambda a, b, c: (clamp(a, -128, 127) & 255) << 8 | clamp(b, -128, 127) & 255 | c << 16),
    ("setp.lt.s32 p, a, b; selp.b32 d, 1, 0, p", S, "u32", lambda a, b: select(a < b)),
    ("setp.hs.u32 p, a, b; selp.b32 d, a, b, p", U, "u32", max),
    ("setp.ne.b32 q, a, 0; setp.gt.and.s32 p|q, a, b, q; selp.b32 d, 1, 0, p", S, "u32", lambda a, b: select(a > b and a)),
    ("setp.eq.s64 p, a, b; not.pred p, p; selp.u32 d, 1, 0, p", ("s64", "s64"), "u32", lambda a, b: select(a != b)),
    ("set.le.u32.s32 d, a, b", S, "u32", lambda a, b: -(a <= b)),
    ("slct.b32.s32 d, a, b, c", ("u32", "u32", "s32"), "u32", lambda a, b, c: a if c >= 0 else b),
    ("{.reg .b16 l, h; mov.b32 {l, h}, a; mov.b32 d, {h, l};}", ("u32",), "u32", lambda a: a << 16 | a >> 16),
    ("{.reg .b32 l, h; mov.b64 {l, h}, a; mov.b64 d, {h, l};}", ("u64",), "u64", lambda a: a << 32 | a >> 32),
    ("add.u16x2 d, a, b", U, "u32", lambda a, b: (a + b & 0xFFFF) | ((a >> 16) + (b >> 16) & 0xFFFF) << 16),
]


def test_integers():
    check_rows(INTEGER_ROWS, integers)


# ---- floats: exact fractions, rounded here ----------------------------------------------------------------------------


def to_fraction(code, kind):
    """Fraction, or 'nan', 'inf', '-inf'; a zero is 0."""
    exponent_bits, mantissa_bits = FORMATS[kind]
    bits, bias = 1 + exponent_bits + mantissa_bits, 2 ** (exponent_bits - 1) - 1
    sign = -1 if code >> (bits - 1) & 1 else 1
    exponent, mantissa = code >> mantissa_bits & (1 << exponent_bits) - 1, code & (1 << mantissa_bits) - 1
    if exponent == (1 << exponent_bits) - 1:
        return "nan" if mantissa else ("inf" if sign > 0 else "-inf")
    if exponent == 0:
        return sign * Fraction(mantissa) * Fraction(2) ** (1 - bias - mantissa_bits)
    return sign * (1 + Fraction(mantissa, 1 << mantissa_bits)) * Fraction(2) ** (exponent - bias)


def round_to(value, kind, mode="rn", negative_zero=False):
    """The code of a fraction."""
    exponent_bits, mantissa_bits = FORMATS[kind]
    bits, bias = 1 + exponent_bits + mantissa_bits, 2 ** (exponent_bits - 1) - 1
    top = ((1 << exponent_bits) - 1) << mantissa_bits
    negative = value < 0 or (value == 0 and negative_zero)
    size = abs(value)
    exponent = 1 - bias
    while size >= Fraction(2) ** (exponent + 1):
        exponent += 1
    step = Fraction(2) ** (exponent - mantissa_bits)
    low, rest = divmod(size / step, 1)
    up = {"rn": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2), "rna": rest >= Fraction(1, 2), "rz": False,
          "rm": negative and rest > 0, "rp": not negative and rest > 0}[mode]
    code = int(low) + bool(up) + ((exponent + bias - 1) << mantissa_bits)
    if code >= top:
        code = top - 1 if mode == "rz" or (mode == "rm" and not negative) or (mode == "rp" and negative) else top
    return code | negative << (bits - 1)


def floats(kind, seed):
    """Normal, subnormal, tiny and large values; no NaN."""
    if kind not in FORMATS:
        return integers(kind, seed)
    rng = np.random.default_rng(seed)
    exponent_bits, mantissa_bits = FORMATS[kind]
    bias, bits = 2 ** (exponent_bits - 1) - 1, 1 + exponent_bits + mantissa_bits
    codes = []
    for i in range(LANES):
        exponent = int(rng.choice([0, 1, bias - 20 % bias, bias - 1, bias, bias, bias, bias + 1, bias + 3, 2 * bias]))
        mantissa = int(rng.choice([0, 1, (1 << mantissa_bits) - 1, int(rng.integers(0, 1 << mantissa_bits))]))
        codes.append(int(rng.integers(0, 2)) << (bits - 1) | exponent << mantissa_bits | mantissa)
    return codes


def exactly(function, kind, kinds, mode="rn"):
    """Codes -> the code of function of their values. A zero result is checked by value, its sign is not."""

    def expected(*codes):
        value = function(*[to_fraction(code, k) for code, k in zip(codes, kinds)])
        if value == 0:
            return lambda found: found if found & ~(1 << WIDTH[kind] - 1) == 0 else 0
        return round_to(value, kind, mode)

    return expected


def float_rows():
    rows = []
    for kind in ("f32", "f16", "bf16"):
        two, three = (kind,) * 2, (kind,) * 3
        for name, function in (("add", lambda a, b: a + b), ("sub", lambda a, b: a - b), ("mul", lambda a, b: a * b)):
            rows.append((f"{name}.rn.{kind} d, a, b", two, kind, exactly(function, kind, two)))
        rows.append((f"fma.rn.{kind} d, a, b, c", three, kind, exactly(lambda a, b, c: a * b + c, kind, three)))
    for mode in ("rz", "rm", "rp"):
        rows.append((f"add.{mode}.f32 d, a, b", ("f32",) * 2, "f32", exactly(lambda a, b: a + b, "f32", ("f32",) * 2, mode)))
        fma = exactly(lambda a, b, c: a * b + c, "f32", ("f32",) * 3, mode)
        rows.append((f"fma.{mode}.f32 d, a, b, c", ("f32",) * 3, "f32", fma))
        rows.append((f"mul.{mode}.f32 d, a, b", ("f32",) * 2, "f32", exactly(lambda a, b: a * b, "f32", ("f32",) * 2, mode)))
    rows.append(("fma.rn.f64 d, a, b, c", ("f64",) * 3, "f64", exactly(lambda a, b, c: a * b + c, "f64", ("f64",) * 3)))
    for mode in ("rn", "rz"):
        rows.append((f"cvt.{mode}.f16.f32 d, a", ("f32",), "f16", exactly(lambda a: a, "f16", ("f32",), mode)))
        rows.append((f"cvt.{mode}.bf16.f32 d, a", ("f32",), "bf16", exactly(lambda a: a, "bf16", ("f32",), mode)))
    rows.append(("cvt.f32.f16 d, a", ("f16",), "f32", exactly(lambda a: a, "f32", ("f16",))))
    rows.append(("cvt.rn.f32.f64 d, a", ("f64",), "f32", exactly(lambda a: a, "f32", ("f64",))))
    rows.append(("cvt.rn.f32.s32 d, a", ("s32",), "f32", lambda a: round_to(Fraction(a), "f32")))
    rows.append(("cvt.rz.f32.u64 d, a", ("u64",), "f32", lambda a: round_to(Fraction(a), "f32", "rz")))
    rows.append(("cvt.rn.f16.s32 d, a", ("s32",), "f16", lambda a: round_to(Fraction(a), "f16")))
    rows.append(("mul.ftz.f32 d, a, b", ("f32",) * 2, "f32", exactly(flushed(lambda a, b: a * b), "f32", ("f32",) * 2)))
    return rows


def pairwise(function, kind, codes_of=round_to):
    """Both halves of packed registers."""

    def expected(*words):
        halves = [[to_fraction(word >> shift & 0xFFFF, kind) for word in words] for shift in (0, 16)]
        return codes_of(function(*halves[0]), kind) | codes_of(function(*halves[1]), kind) << 16

    return expected


def pairs(kind, seed):
    """Two halves that are neither zero, tiny nor large, so that no result is zero, by sign or underflow."""
    rng = np.random.default_rng(seed)
    to_code = {"f16": lambda x: int(np.float16(x).view(np.uint16)), "bf16": lambda x: int(np.float32(x).view(np.uint32)) >> 16}
    values = rng.uniform(1, 9, (LANES, 2)) * rng.choice([-1, 1], (LANES, 2))
    return [to_code[kind](low) | to_code[kind](high) << 16 for low, high in values]


def test_packed_halves():
    for kind in ("f16", "bf16"):
        two, three = ("u32",) * 2, ("u32",) * 3
        rows = [(f"{name}.rn.{kind}x2 d, a, b", two, "u32", pairwise(function, kind))
                for name, function in (("add", lambda a, b: a + b), ("sub", lambda a, b: a - b), ("mul", lambda a, b: a * b))]
        rows.append((f"fma.rn.{kind}x2 d, a, b, c", three, "u32", pairwise(lambda a, b, c: a * b + c, kind)))
        rows.append((f"min.{kind}x2 d, a, b", two, "u32", pairwise(min, kind)))
        rows.append((f"max.{kind}x2 d, a, b", two, "u32", pairwise(max, kind)))
        rows.append((f"neg.{kind}x2 d, a", two[:1], "u32", pairwise(lambda a: -a, kind)))
        less = pairwise(lambda a, b: int(a < b), kind, lambda value, kind: value)
        text = f"{{.reg .b32 e; setp.lt.{kind}x2 p|q, a, b; selp.b32 d, 1, 0, p; selp.b32 e, 0x10000, 0, q; or.b32 d, d, e;}}"
        rows.append((text, two, "u32", less))
        check_rows(rows, lambda _, seed, kind=kind: pairs(kind, seed))


def flushed(function):
    """Subnormal operands and results are zero. The result is judged after rounding to 24 bits."""
    least = Fraction(2) ** -126

    def apply(*values):
        result = function(*[value if abs(value) >= least else Fraction(0) for value in values])
        return result if abs(result) >= least else Fraction(0)

    return apply


def test_floats():
    check_rows(float_rows(), floats)


WHOLE = {"rni": lambda x: round(x), "rzi": lambda x: math.trunc(x), "rmi": lambda x: math.floor(x), "rpi": lambda x: math.ceil(x)}


def test_to_integers():
    rows = []
    for mode, whole in WHOLE.items():
        for to, low, high in (("s32", -(2**31), 2**31 - 1), ("u32", 0, 2**32 - 1), ("s64", -(2**63), 2**63 - 1)):
            rows.append((f"cvt.{mode}.{to}.f32 d, a", ("f32",), to,
                         lambda a, whole=whole, low=low, high=high: clamp(whole(to_fraction(a, "f32")), low, high)))
        to_whole = exactly(lambda a, whole=whole: Fraction(whole(a)), "f32", ("f32",))
        rows.append((f"cvt.{mode}.f32.f32 d, a", ("f32",), "f32", to_whole))
    rows.append(("cvt.rni.s16.f16 d, a", ("f16",), "u16", lambda a: clamp(round(to_fraction(a, "f16")), -(2**15), 2**15 - 1)))
    check_rows(rows, floats)


def e4m3(value, saturate=True):
    """Nearest e4m3 code; 448 is the largest."""
    size = min(abs(value), Fraction(448))
    codes = [(to_e4m3_value(code), code) for code in range(127)]
    best = min(codes, key=lambda item: (abs(item[0] - size), item[1] & 1))
    return best[1] | (128 if value < 0 else 0)


def to_e4m3_value(code):
    exponent, mantissa = code >> 3 & 15, code & 7
    if exponent == 0:
        return Fraction(mantissa, 8) * Fraction(2) ** -6
    return (1 + Fraction(mantissa, 8)) * Fraction(2) ** (exponent - 7)


def test_small_floats():
    values = [0.0, 1.0, -1.0, 0.07, 448.0, 500.0, -1e6, 2.0**-9, 2.0**-10, 3 * 2.0**-10, 0.3, 17.0, 19.0, 1.0625, 1.1875, -3.3]
    values *= 8
    bits = [int(np.float32(value).view(np.uint32)) for value in values]
    other = bits[5:] + bits[:5]
    found = execute("cvt.rn.satfinite.e4m3x2.f32 d, a, b", ("f32", "f32"), "u16", [bits, other])
    for lane in range(LANES):
        high, low = [Fraction(float(np.uint32(x).view(np.float32))) for x in (bits[lane], other[lane])]
        expected = [e4m3(low), e4m3(high)]
        assert [found[lane] & 0x7F, found[lane] >> 8 & 0x7F] == [code & 0x7F for code in expected], (high, low, hex(found[lane]))
    codes = [code for code in range(128) if code & 0x7F != 0x7F]
    codes += codes[:1]
    pairs = [code << 8 | code | 0x80 for code in codes]
    found = execute("cvt.rn.f16x2.e4m3x2 d, a", ("u16",), "u32", [pairs])
    for code, value in zip(codes, found):
        assert Fraction(float(np.uint16(value >> 16).view(np.float16))) == to_e4m3_value(code), (code, hex(value))
        assert Fraction(float(np.uint16(value & 0xFFFF).view(np.float16))) == -to_e4m3_value(code), (code, hex(value))
    found = execute("cvt.rn.f16x2.f32 d, a, b", ("f32", "f32"), "u32", [bits, other])
    for lane in range(LANES):
        with np.errstate(over="ignore"):
            halves = [int(np.uint32(x).view(np.float32).astype(np.float16).view(np.uint16)) for x in (bits[lane], other[lane])]
        assert found[lane] == halves[0] << 16 | halves[1]


NAN, INF, ONE, ZERO, MINUS_ZERO = 0x7FC00000, 0x7F800000, 0x3F800000, 0, 0x80000000


def test_special_values():
    cases = [
        ("min.f32 d, a, b", (NAN, ONE), ONE),
        ("min.f32 d, a, b", (ONE, NAN), ONE),
        ("max.NaN.f32 d, a, b", (ONE, NAN), 0x7FFFFFFF),
        ("min.f32 d, a, b", (ZERO, MINUS_ZERO), MINUS_ZERO), ("max.f32 d, a, b", (MINUS_ZERO, ZERO), ZERO),
        ("add.f32 d, a, b", (INF, INF | 1 << 31), 0x7FFFFFFF),
        ("add.sat.f32 d, a, b", (ONE, ONE), ONE),
        ("neg.f32 d, a", (NAN, 0), 0x7FFFFFFF),
        ("abs.f32 d, a", (MINUS_ZERO, 0), ZERO),
        ("cvt.rzi.s32.f32 d, a", (NAN, 0), 0),
        ("copysign.f32 d, a, b", (MINUS_ZERO, ONE), ONE | 1 << 31),
        ("setp.lt.f32 p, a, b; selp.b32 d, 1, 0, p", (NAN, ONE), 0),
        ("setp.ltu.f32 p, a, b; selp.b32 d, 1, 0, p", (NAN, ONE), 1),
        ("setp.ne.f32 p, a, b; selp.b32 d, 1, 0, p", (NAN, ONE), 0),
        ("setp.neu.f32 p, a, b; selp.b32 d, 1, 0, p", (NAN, NAN), 1),
        ("setp.nan.f32 p, a, b; selp.b32 d, 1, 0, p", (ONE, NAN), 1),
        ("setp.num.f32 p, a, b; selp.b32 d, 1, 0, p", (ONE, ONE), 1),
        ("div.rn.f32 d, a, b", (ONE, 0x40400000), 0x3EAAAAAB),
        ("sqrt.rn.f32 d, a", (0x40000000, 0), 0x3FB504F3),
        ("rcp.rn.f32 d, a", (0x40400000, 0), 0x3EAAAAAB),
        ("cvt.rzi.u32.f32 d, a", (NAN, 0), 0),
        ("{.reg .b64 l; cvt.rzi.s64.f32 l, a; shr.u64 l, l, 32; cvt.u32.u64 d, l;}", (NAN, 0), 0x80000000),
        ("{.reg .b64 l; mov.b64 l, {b, a}; cvt.rzi.s32.f64 d, l;}", (0x7FF80000, 0), 0x80000000),
        ("{.reg .b16 h; mov.b16 h, 0x7E01; neg.f16 h, h; cvt.u32.u16 d, h;}", (0, 0), 0x7FFF),
        ("{.reg .b16 h; cvt.rn.f16.f32 h, a; cvt.u32.u16 d, h;}", (NAN, 0), 0x7FFF),
        ("mul.f32 d, a, b", (NAN, ONE), 0x7FFFFFFF),
        ("{.reg .b16 h; cvt.rn.satfinite.e4m3x2.f32 h, a, b; cvt.u32.u16 d, h;}", (NAN, INF), 0x7F7E),
        ("{.reg .b16 h; cvt.rn.satfinite.e5m2x2.f32 h, a, b; cvt.u32.u16 d, h;}", (NAN, INF | 1 << 31), 0x7FFB),
        ("ex2.approx.ftz.f32 d, a", (0xC3150000, 0), 0), ("ex2.approx.f32 d, a", (0xC3150000, 0), 1),
        ("testp.infinite.f32 p, a; selp.b32 d, 1, 0, p", (INF, 0), 1),
    ]
    for text, values, expected in cases:
        found = execute(text, ("f32", "f32"), "u32", [[value] * LANES for value in values])
        assert set(found) == {expected}, f"{text} of {values}: expected {expected:#x}, found {found[0]:#x}"


def test_approximations():
    """Inside the largest error that the ISA states."""
    x = np.random.default_rng(3).uniform(0.01, 8, LANES).astype(np.float32)
    wide = x.astype(np.float64)
    for text, expected, relative, absolute in (
            ("ex2.approx.f32 d, a", np.exp2(wide), 2.0**-22, 0), ("lg2.approx.f32 d, a", np.log2(wide), 2.0**-22, 2.0**-22),
            ("rcp.approx.ftz.f32 d, a", 1 / wide, 2.0**-23, 0), ("rsqrt.approx.f32 d, a", wide**-0.5, 2.0**-22, 0),
            ("sqrt.approx.f32 d, a", wide**0.5, 2.0**-22, 0),
            ("sin.approx.f32 d, a", np.sin(wide), 0, 2.0**-18), ("cos.approx.f32 d, a", np.cos(wide), 0, 2.0**-18), ("tanh.approx.f32 d, a", np.tanh(wide), 2.0**-10, 0),
            ("div.full.f32 d, a, 0f40400000", wide / 3, 2.0**-22, 0)):
        found = np.array(execute(text, ("f32",), "u32", [x.view(np.uint32).tolist()]), np.uint32).view(np.float32)
        assert (np.abs(found - expected) <= relative * np.abs(expected) + absolute).all(), text


main(globals())
