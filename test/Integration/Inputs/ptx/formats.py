"""Floating-point formats narrower than f64: codes <-> values, with every rounding mode of PTX.

Values are float64, which holds all of them exactly. Results that do not fit in float64 come here "rounded to odd", so
that rounding them again is right.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Format:
    name: str
    exponent: int  # bits
    mantissa: int
    bias: int
    infinite: bool  # the highest exponent holds infinities and NaNs
    largest: float
    nan: int  # code

    @property
    def bits(self):
        return 1 + self.exponent + self.mantissa

    @property
    def dtype(self):
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16 if self.bits <= 16 else np.uint32)


def ieee(name, exponent, mantissa):
    bias = 2 ** (exponent - 1) - 1
    largest = (2 - 2.0**-mantissa) * 2.0**bias
    return Format(name, exponent, mantissa, bias, True, largest, (2 ** (exponent + 1) - 1) << (mantissa - 1))


FORMATS = {
    f.name: f
    for f in (
        ieee("f32", 8, 23),
        ieee("f16", 5, 10),
        ieee("bf16", 8, 7),
        ieee("tf32", 8, 10),
        ieee("e5m2", 5, 2),
        Format("e4m3", 4, 3, 7, False, 448.0, 0x7F),
        Format("e2m1", 2, 1, 1, False, 6.0, 0),
        Format("e2m3", 2, 3, 1, False, 7.5, 0),
        Format("e3m2", 3, 2, 3, False, 28.0, 0),
    )
}
NAN_CODES = {"f32": 0x7FFFFFFF, "f16": 0x7FFF, "bf16": 0x7FFF, "e5m2": 0x7F}  # PTX's canonical ones


def decode(codes, format):
    """float64 values of unsigned codes."""
    codes = np.asarray(codes).astype(np.int64)
    mantissa = codes & (1 << format.mantissa) - 1
    exponent = codes >> format.mantissa & (1 << format.exponent) - 1
    sign = np.where(codes >> (format.bits - 1) & 1, -1.0, 1.0)
    value = np.where(
        exponent > 0,
        np.ldexp(1 + mantissa / 2.0**format.mantissa, exponent - format.bias),
        np.ldexp(mantissa / 2.0**format.mantissa, 1 - format.bias),
    )
    if format.infinite:
        top = exponent == (1 << format.exponent) - 1
        value = np.where(top, np.where(mantissa == 0, np.inf, np.nan), value)
    elif format.name == "e4m3":
        value = np.where((codes & 0x7F) == 0x7F, np.nan, value)
    return sign * value


def encode(values, format, mode="rn", saturate=False):
    """Codes of float64 values. mode: rn rna rz rm rp. saturate: to the largest finite value, else to infinity or NaN."""
    values = np.asarray(values, np.float64)
    negative, size = np.signbit(values), np.abs(values)
    finite = np.isfinite(size)
    _, exponent = np.frexp(np.where(finite, size, 1.0))
    step = np.ldexp(1.0, np.maximum(exponent - 1, 1 - format.bias) - format.mantissa)
    scaled = np.where(finite, size, 0.0) / step
    rounded = {
        "rn": np.rint,
        "rna": lambda x: np.floor(x + 0.5),
        "rz": np.floor,
        "rm": lambda x: np.where(negative, np.ceil(x), np.floor(x)),
        "rp": lambda x: np.where(negative, np.floor(x), np.ceil(x)),
    }[mode](scaled) * step
    towards_zero = (mode == "rz") | ((mode == "rm") & ~negative) | ((mode == "rp") & negative)
    over = finite & (rounded > format.largest)
    held = np.minimum(rounded, format.largest)
    _, exponent = np.frexp(held)
    biased = np.where(held > 0, exponent - 1 + format.bias, 0)
    normal = biased >= 1
    fraction = np.where(normal, held / np.ldexp(1.0, exponent - 1) - 1, held / 2.0 ** (1 - format.bias))
    codes = (np.where(normal, biased, 0).astype(np.int64) << format.mantissa) + np.rint(fraction * 2**format.mantissa).astype(
        np.int64
    )
    beyond = (over & ~np.asarray(towards_zero)) | np.isinf(values)
    if not saturate:
        infinity = ((1 << format.exponent) - 1) << format.mantissa if format.infinite else format.nan
        codes = np.where(beyond, infinity, codes)
    elif saturate:
        top = encode(np.array([format.largest]), format)[0] if np.isinf(values).any() else 0
        codes = np.where(np.isinf(values), top, codes)
    codes = codes | negative.astype(np.int64) << (format.bits - 1)
    codes = np.where(np.isnan(values), NAN_CODES.get(format.name, format.nan), codes)
    return codes.astype(format.dtype)


# ---- exact arithmetic -------------------------------------------------------------------------------------------------


def to_odd(rounded, error):
    """The neighbour of rounded + error whose last bit is odd, where error is not 0."""
    odd = (rounded.view(np.int64) & 1).astype(bool)
    fix = (error != 0) & ~odd & np.isfinite(rounded)
    return np.where(fix, np.nextafter(rounded, np.where(error > 0, np.inf, -np.inf)), rounded)


def add_exact(a, b):
    """a + b of float64, rounded to odd."""
    total = np.asarray(a + b)
    other = total - a
    return to_odd(total, np.where(np.isfinite(total), (a - (total - other)) + (b - other), 0.0))


def fma_exact(a, b, c):
    """a * b + c of float64 that hold values of at most 24 bits, rounded to odd: the product is exact."""
    return add_exact(np.asarray(a * b), np.broadcast_to(c, np.broadcast_shapes(np.shape(a), np.shape(b), np.shape(c))))


def to_f32(values, mode="rn"):
    """float64 -> float32."""
    nearest = values.astype(np.float32)
    if mode == "rn":
        return nearest
    back = nearest.astype(np.float64)
    down, up = np.nextafter(nearest, np.float32(-np.inf)), np.nextafter(nearest, np.float32(np.inf))
    floor, ceiling = np.where(back > values, down, nearest), np.where(back < values, up, nearest)
    if mode == "rz":
        return np.where(values < 0, ceiling, floor)
    return floor if mode == "rm" else ceiling
