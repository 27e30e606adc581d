#!/usr/bin/env python3
"""Writes formats_decode.txt and formats_encode.txt, the golden files of FormatsTest, into this directory.

Run by hand, when a format is added:   python3 -m venv /tmp/v && /tmp/v/bin/pip install numpy ml_dtypes
                                       /tmp/v/bin/python test/Unit/golden/formats.py
Last run with numpy 2.4.6 and ml_dtypes 0.6.0.

Nothing here comes from qlow: small floats are ml_dtypes' conversions, integers and f16 numpy's, codebooks the published
tables, nearest entries (codebooks, E8M0) exact fractions. Where those libraries leave a choice, the law's is stated at
`Format::encode` in include/qlow/Formats/Formats.h.

Both files: a line "[format]", then one line per case. decode: code, bits of the f32 value. encode: bits of the f32
input, code. All in hex; a NaN is written 7fc00000.
"""

import pathlib
from fractions import Fraction

import ml_dtypes
import numpy as np

# bitsandbytes, csrc/kernels.cu: nf4_dequantization_lut, fp4_dequantization_lut (as the quotients its comments give).
NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
       -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
       0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
BNB_FP4 = [sign * m / 12 for sign in (1, -1) for m in (0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0)]
# ggml, src/ggml-common.h: kvalues_iq4nl.
IQ4NL = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]


class Integer:
    """round to even (rint), saturate; NaN is the smallest value."""

    def __init__(self, bits, signed):
        self.mask = 2**bits - 1
        self.low = -(2 ** (bits - 1)) if signed else 0
        self.high = self.low + self.mask
        step = 1 if bits <= 8 else 331
        self.codes = sorted({*range(0, self.mask + 1, step), self.high, self.low & self.mask, self.mask})

    def decode(self, code):
        return np.float32(code if code <= self.high else code - self.mask - 1)

    def encode(self, x):
        value = self.low if np.isnan(x) else int(np.clip(np.rint(np.float64(x)), self.low, self.high))
        return value & self.mask


class Digit:
    """ternary and trit: integers -1..1 plus one; ternary's code 3 is +2."""

    def __init__(self, count):
        self.codes = range(count)

    def decode(self, code):
        return np.float32(code - 1)

    def encode(self, x):
        return 0 if np.isnan(x) else int(np.clip(np.rint(np.float64(x)), -1, 1)) + 1


class Sign:
    """0 is -1, 1 is +1; both zeros are +1."""

    codes = range(2)

    def decode(self, code):
        return np.float32(2 * code - 1)

    def encode(self, x):
        return 1 if x >= 0 else 0


class Codebook:
    """The nearest entry by exact distance, of equals the first; NaN is the smallest value."""

    def __init__(self, table):
        self.table = np.array(table, np.float32)
        self.codes = range(16)

    def decode(self, code):
        return self.table[code]

    def encode(self, x):
        if np.isnan(x):
            return int(np.argmin(self.table))
        x = Fraction(float(np.clip(x, self.table.min(), self.table.max())))
        distances = [abs(x - Fraction(float(v))) for v in self.table]
        return distances.index(min(distances))


class Float:
    """The library's conversion of a clamped input. -0.0 goes in as +0.0, NaN as the positive quiet one."""

    def __init__(self, dtype, bits):
        self.dtype = np.dtype(dtype)
        self.uint = np.dtype(f"u{self.dtype.itemsize}")
        self.max = float(ml_dtypes.finfo(dtype).max)
        self.min = float(ml_dtypes.finfo(dtype).min)
        step = 1 if bits <= 8 else 331 if bits == 16 else 16777213
        specials = [] if bits <= 8 else [0x0001, 0x7bff, 0x7c00, 0x7e00, 0x7f7f, 0x7f80, 0x7fc0, 0x8000, 0x8001, 0xff80]
        if bits == 32:
            specials = [1, 0x7fffff, 0x800000, 0x7f7fffff, 0x7f800000, 0x80000000, 0xff800000]
        self.codes = sorted({*range(0, 2**bits, step), *specials})

    def decode(self, code):
        return np.array([code], self.uint).view(self.dtype).astype(np.float32)[0]

    def encode(self, x):
        if np.isnan(x) and np.isnan(np.array([np.nan], np.float32).astype(self.dtype).astype(np.float32)[0]):
            x = np.float32(np.nan)
        elif np.isnan(x):
            x = np.float32(self.max)
        else:
            x = np.float32(np.clip(x, self.min, self.max)) + np.float32(0)
        return int(np.array([x], np.float32).astype(self.dtype).view(self.uint)[0])


class Exponent(Float):
    """E8M0: the nearest of ml_dtypes' values by exact distance, of equals the even code; what is not positive becomes
    the lowest code. (ml_dtypes' own conversion takes ties up, and everything between 2^-127 and 2^-126.)"""

    def encode(self, x):
        if np.isnan(x):
            return 0xFF
        x = Fraction(float(np.clip(x, self.decode(0), self.max)))
        return min(range(255), key=lambda code: (abs(x - Fraction(float(self.decode(code)))), code % 2))


FORMATS = {
    **{f"i{b}": Integer(b, True) for b in (2, 3, 4, 5, 6, 8, 16)},
    **{f"u{b}": Integer(b, False) for b in (2, 3, 4, 5, 6, 7, 8)},
    "nf4": Codebook(NF4),
    "bnb_fp4": Codebook(BNB_FP4),
    "iq4nl": Codebook(IQ4NL),
    "f4E2M1FN": Float(ml_dtypes.float4_e2m1fn, 4),
    "f6E2M3FN": Float(ml_dtypes.float6_e2m3fn, 6),
    "f6E3M2FN": Float(ml_dtypes.float6_e3m2fn, 6),
    "f8E4M3FN": Float(ml_dtypes.float8_e4m3fn, 8),
    "f8E5M2": Float(ml_dtypes.float8_e5m2, 8),
    "f8E4M3FNUZ": Float(ml_dtypes.float8_e4m3fnuz, 8),
    "f8E5M2FNUZ": Float(ml_dtypes.float8_e5m2fnuz, 8),
    "binary": Sign(),
    "ternary": Digit(4),
    "trit": Digit(3),
    "f32": Float(np.float32, 32),
    "f16": Float(np.float16, 16),
    "bf16": Float(ml_dtypes.bfloat16, 16),
    "f8E8M0FNU": Exponent(ml_dtypes.float8_e8m0fnu, 8),
}

COMMON = [0.0, 2.0**-149, 2.0**-126, 2.0**-127, 1e-30, 0.1, 1 / 3, 0.5, 1.0, 1.5, 2.5, 3.0, 1e5, 65519.0, 65520.0, 1e30,
          3.4028234663852886e38, np.inf]


def bits_of(x):
    return 0x7FC00000 if np.isnan(x) else int(np.float32(x).view(np.uint32))


def battery(fmt):
    """Every value (of the sampled codes), every midpoint of neighbours, and the f32 neighbours of the midpoints."""
    values = sorted({float(v) for v in map(fmt.decode, fmt.codes) if np.isfinite(v)})
    inputs = [np.float32(sign * x) for x in COMMON for sign in (1, -1)] + [np.float32(np.nan)]
    inputs += [np.float32(v) for v in values]
    for low, high in zip(values, values[1:]):
        middle = np.float32((low + high) / 2)
        inputs += [np.nextafter(middle, np.float32(-np.inf)), middle, np.nextafter(middle, np.float32(np.inf))]
    if len(fmt.codes) > 256 or max(fmt.codes) > 255:  # The sample skips most neighbours: take ties next to the values.
        for code in list(fmt.codes)[:-1]:
            pair = np.float64(fmt.decode(code)), np.float64(fmt.decode(code + 1))
            if np.all(np.isfinite(pair)):
                inputs.append(np.float32(sum(pair) / 2))
    return {bits_of(x): x for x in inputs}


def main():
    here = pathlib.Path(__file__).parent
    with open(here / "formats_decode.txt", "w") as decode, open(here / "formats_encode.txt", "w") as encode:
        for name, fmt in FORMATS.items():
            print(f"[{name}]", file=decode)
            for code in fmt.codes:
                print(f"{code:x} {bits_of(fmt.decode(code)):08x}", file=decode)
            print(f"[{name}]", file=encode)
            for bits, x in sorted(battery(fmt).items()):
                print(f"{bits:08x} {fmt.encode(x):x}", file=encode)


if __name__ == "__main__":
    main()
