"""Quantized tensors in numpy: what docs/Semantics.md says of types, packing, values and conversions, and nothing of qlow.

The values of codes come from the golden file of the formats' unit test (ml_dtypes and published tables), integers and
digits from their definition. f32 operations are written in the law's order, each rounded once.
"""

import os
import warnings
from dataclasses import dataclass

import numpy as np

warnings.simplefilter("ignore", RuntimeWarning)  # infinities, NaN and what becomes of them are wanted here
F32 = np.float32
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "Unit", "golden")


def read_golden(name):
    """{format: two columns of integers} of one golden file."""
    tables = {}
    for line in open(os.path.join(GOLDEN, name)):
        if line.startswith("["):
            rows = tables[line.strip()[1:-1]] = []
        elif line.strip():
            rows.append([int(word, 16) for word in line.split()])
    return {name: np.array(rows, np.uint32) for name, rows in tables.items()}


DECODE, ENCODE = read_golden("formats_decode.txt"), read_golden("formats_encode.txt")
SCALES = ["f32", "f16", "bf16", "f8E8M0FNU", "f8E4M3FN"]
STORED = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16, "f8E8M0FNU": np.uint8, "f8E4M3FN": np.uint8,
          "i32": np.int32, "i8": np.int8}

# ---- formats ---------------------------------------------------------------------------------------------------------


@dataclass
class Format:
    name: str

    def __post_init__(self):
        bits = {"binary": 1, "ternary": 2, "trit": 0, "nf4": 4, "bnb_fp4": 4, "iq4nl": 4}
        self.is_integer = self.name[0] in "iu" and self.name[1:].isdigit()
        self.bits = int(self.name[1:]) if self.is_integer else bits.get(self.name, int(self.name[1]) if self.name[0] == "f" else 0)
        self.count = 2**self.bits if self.bits else 3
        self.is_signed = self.name[0] == "i" and self.is_integer
        if self.is_integer:
            codes = np.arange(self.count)
            self.values = (codes - self.count * (self.is_signed & (codes >= self.count // 2))).astype(F32)
        else:
            assert (DECODE[self.name][:, 0] == np.arange(self.count)).all()
            self.values = DECODE[self.name][:, 1].view(F32)
        self.finite = np.flatnonzero(np.isfinite(self.values))
        is_minifloat = self.name[0] == "f"
        self.is_codebook = self.bits == 4 and not self.is_integer and not is_minifloat
        # The image's step; ternary's code 3 counts.
        self.step = {"f4E2M1FN": 1 / 2, "f6E2M3FN": 1 / 8, "f6E3M2FN": 1 / 16}.get(self.name, 1.0)
        images = self.values[self.finite] / self.step
        self.has_image = bool((images == np.rint(images)).all()) and len(self.finite) == self.count
        self.sums_exactly = self.has_image and bool(images.min() >= -128 and images.max() <= 255)
        encodable = [1] if self.name == "binary" else range(3) if self.name == "ternary" else self.finite
        self.of_nan = ENCODE[self.name][ENCODE[self.name][:, 0] == 0x7FC00000, 1][0]
        self.max = F32(self.values[list(encodable)].max())

    def pack(self, codes):
        """Stored bytes, as int8 for i8."""
        codes = np.asarray(codes).astype(np.int64)
        codes = codes if codes.ndim else codes[None]
        if self.bits == 0:
            digits = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % 5)])
            packed = digits.reshape(*codes.shape[:-1], digits.shape[-1] // 5, 5) @ (3 ** np.arange(5))
        else:
            stream = (codes[..., None] >> np.arange(self.bits)) & 1
            stream = stream.reshape(*codes.shape[:-1], codes.shape[-1] * self.bits)
            packed = np.packbits(stream.astype(np.uint8), axis=-1, bitorder="little")
        return packed.astype(np.uint8).view(np.int8 if self.name == "i8" else np.uint8)

    def unpack(self, stored, shape):
        """The codes of a tensor of `shape`."""
        stored = stored.view(np.uint8)
        if self.bits == 0:
            codes = stored[..., None] // 3 ** np.arange(5) % 3
        else:
            stream = np.unpackbits(stored, axis=-1, bitorder="little")
            stream = stream[..., : stream.shape[-1] // self.bits * self.bits]
            codes = stream.reshape(*stored.shape[:-1], -1, self.bits) @ (1 << np.arange(self.bits))
        codes = codes.reshape(*stored.shape[:-1], -1)
        return codes[..., : shape[-1]] if shape else codes[0]

    def encode(self, v, zero=None):
        """Codes of f32 values, by comparing with the midpoints of neighbours, which are exact in f64."""
        v = np.asarray(v, F32)
        if self.is_integer:
            low, high = float(self.values.min()), float(self.values.max())
            whole = np.clip(np.rint(v.astype(np.float64)), -(2.0**40), 2.0**40)
            whole = np.where(np.isnan(v), low, np.clip(whole + (0 if zero is None else zero), low, high))
            return whole.astype(np.int64) % self.count
        if self.name == "binary":
            return (v >= 0).astype(np.int64)
        if self.name in ("ternary", "trit"):
            return np.where(np.isnan(v), 0, np.clip(np.rint(v), -1, 1) + 1).astype(np.int64)
        return self.nearest(v.astype(np.float64))

    def nearest(self, x):
        """Codebooks and small floats."""
        # One code for each value: plus zero for zeros, the first of a codebook's equals.
        values, first = np.unique(self.values[self.finite].astype(np.float64) + 0.0, return_index=True)
        codes = self.finite[first]
        middles = (values[1:] + values[:-1]) / 2
        below, upto = np.searchsorted(middles, x, "left"), np.searchsorted(middles, x, "right")
        low, high = codes[np.minimum(below, len(codes) - 1)], codes[np.minimum(upto, len(codes) - 1)]
        if self.is_codebook:
            code = np.minimum(low, high)
        else:  # the even one of two codes; they differ only at ties
            code = np.where(low % 2 == 0, low, high)
            minus_zero = np.flatnonzero((self.values == 0) & np.signbit(self.values))
            if len(minus_zero):
                code = np.where((self.values[code] == 0) & (x < 0), minus_zero[0], code)
        return np.where(np.isnan(x), self.of_nan, code)


FORMATS = {name: Format(name) for name in DECODE if name not in SCALES or name == "f8E4M3FN"}


def round_to(element, x):
    """f32 values rounded to f32, f16 or bf16, as they are stored."""
    x = np.asarray(x, F32)
    if element == "f32":
        return x
    if element == "f16":
        return x.astype(np.float16)
    bits = x.view(np.uint32).astype(np.int64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(x), 0x7FC0, rounded).astype(np.uint16)


def to_f32(element, stored):
    """The exact value of a stored float."""
    stored = np.asarray(stored)
    if element in ("f32", "f16"):
        return stored.astype(F32)
    if element == "bf16":
        return np.asarray(stored.astype(np.uint32) << 16, np.uint32).view(F32)
    return DECODE[element][:, 1].view(F32)[stored]


# ---- types and tensors -----------------------------------------------------------------------------------------------


@dataclass
class Type:
    """!qlow.q: scale and offset are names of floats or Types again, a block entry None is the whole dimension."""

    format: Format
    scale: object
    zero: object = None
    offset: object = None
    block: tuple = ()

    def __str__(self):
        text = f"{self.format.name} : {self.scale}"
        if self.zero:
            text += f", zero = {self.zero.name}"
        if self.offset:
            text += f", offset = {self.offset}"
        if self.block:
            text += f", block = [{', '.join('*' if size is None else str(size) for size in self.block)}]"
        return f"!qlow.q<{text}>"

    def scale_shape(self, shape):
        return tuple(1 if block is None else -(-size // block) for size, block in zip(shape, self.block))

    def is_constant_along(self, dim, shape, dynamic=()):
        return not self.block or self.block[dim] is None or shape[dim] == 1 and dim not in dynamic


def tensor_type(shape, element, dynamic=()):
    sizes = ["?" if dim in dynamic else str(size) for dim, size in enumerate(shape)]
    return f"tensor<{'x'.join([*sizes, str(element)])}>"


@dataclass
class Part:
    """One stored array: `suffix` as C fields have it, `element` as MLIR spells it."""

    suffix: str
    array: np.ndarray
    element: str


@dataclass
class Quantized:
    """A tensor: codes and zeros unpacked, scale and offset stored floats or Quantized again."""

    type: Type
    codes: np.ndarray  # or None, where only the other parts are known
    scale: object
    zero: np.ndarray = None
    offset: object = None

    def parts(self, with_codes=True):
        result = [Part("codes", self.type.format.pack(self.codes), "i8")] if with_codes else []
        result += factor_parts("scale", self.type.scale, self.scale)
        if self.type.zero:
            result.append(Part("zero", self.type.zero.pack(self.zero), "i8"))
        if self.type.offset:
            result += factor_parts("offset", self.type.offset, self.offset)
        return result

    def expand(self, factors, shape):
        """Each element's factor of one for each block."""
        for dim, block in enumerate(self.type.block):
            factors = np.repeat(factors, shape[dim] if block is None else block, axis=dim)
            factors = np.take(factors, np.arange(shape[dim]), axis=dim)
        return np.broadcast_to(factors, shape)

    def scales(self, shape):
        return self.expand(factor_values(self.type.scale, self.scale), shape)

    def zeros(self, shape):
        return None if self.zero is None else self.expand(self.type.zero.values[self.zero], shape)

    def offsets(self, shape):
        return None if self.offset is None else self.expand(factor_values(self.type.offset, self.offset), shape)

    def values(self):
        """scale * (decode(code) - zero) + offset"""
        x, shape = self.type.format.values[self.codes], self.codes.shape
        if self.type.zero:
            x = x - self.zeros(shape)
        x = self.scales(shape) * x
        return x + self.offsets(shape) if self.type.offset else x

    def quantize(self, x):
        """Codes of f32 values under this tensor's other parts."""
        v = x - self.offsets(x.shape) if self.type.offset else x
        return self.type.format.encode(v / self.scales(x.shape), self.zeros(x.shape))


def factor_values(element, stored):
    return stored.values() if isinstance(element, Type) else to_f32(element, stored)


def factor_parts(suffix, element, stored):
    if not isinstance(element, Type):
        return [Part(suffix, stored, element)]
    return [Part(f"{suffix}_{part.suffix}", part.array, part.element) for part in stored.parts()]


# ---- measured scales --------------------------------------------------------------------------------------------------


def extremes(type_, x):
    """Of each block the least and the greatest value; 0 is one, NaN is none."""
    shape, block = x.shape, type_.block or (None,) * x.ndim
    least, greatest = np.zeros(type_.scale_shape(shape), F32), np.zeros(type_.scale_shape(shape), F32)
    place = tuple(np.zeros(n, int) if size is None else np.arange(n) // size for n, size in zip(shape, block))
    at = np.ix_(*place) if x.ndim and type_.block else ()
    known = np.where(np.isnan(x), F32(0), x)
    np.minimum.at(least, at, known if type_.block else known.min(initial=0))
    np.maximum.at(greatest, at, known if type_.block else known.max(initial=0))
    return least, greatest


def measured_scale(type_, least, greatest):
    """Of blocks with these extremes."""
    peak, format = np.maximum(-least, greatest), type_.format
    if type_.scale == "f8E8M0FNU":
        exponent = np.where(np.isinf(peak), 128, np.frexp(peak)[1] - 1) - (np.frexp(format.max)[1] - 1)
        return np.where(peak == 0, 127, np.clip(exponent, -127, 127) + 127).astype(np.uint8)
    scale = (greatest - least) / F32(format.count - 1) if type_.zero else peak / format.max
    return np.where(scale == 0, F32(1), scale).astype(F32)


def measured(type_, x):
    """quantize_dynamic: the tensor with its measured scale and zero point."""
    least, greatest = extremes(type_, x)
    scale = measured_scale(type_, least, greatest)
    return Quantized(type_, None, scale, type_.format.encode(F32(0) - least / scale) if type_.zero else None)


# ---- random types and tensors ----------------------------------------------------------------------------------------


def canonical_block(shape, block, dynamic=()):
    """The one spelling of a block for this shape."""
    block = [1 if size == 1 and dim not in dynamic else None if entry and 1 < entry >= size and dim not in dynamic else entry
             for dim, (size, entry) in enumerate(zip(shape, block))]
    return () if all(entry is None for entry in block) else tuple(block)


def draw_block(r, shape, dynamic=()):
    kind = r.choice(["tensor", "rows", "groups", "groups", "columns", "column groups", "tiles", "ones", "outer"])
    block = [None] * len(shape)
    if kind == "tensor" or not shape:
        return ()
    if kind == "ones":
        block = [1] * len(shape)
    elif kind == "outer":
        block[0] = r.choice([1, 2])
    elif kind == "rows":
        block[:-1] = [1] * (len(shape) - 1)
    elif kind == "groups":
        block = [1] * (len(shape) - 1) + [r.choice([2, 3, 8, 16, 32, 64, 128])]
    elif kind == "columns":
        block[-1] = 1
    elif kind == "column groups":
        block[-1] = 1
        if len(shape) > 1:
            block[-2] = r.choice([3, 16, 32, 64, 128])
    else:
        block = [r.choice([1, 2, 4, 16, 128]) for _ in shape]
    return canonical_block(shape, block, dynamic)


def draw_factor_type(r, shape, dynamic, depth):
    """A scale's or offset's type for scales of `shape`; `dynamic` are the dimensions with open sizes."""
    if depth < 2 and r.random() < 0.25:
        return draw_type(r, FORMATS[r.choice(list(FORMATS))], shape, dynamic, depth + 1)
    return r.choice(SCALES)


def fits_open_row(format, shape, dynamic):
    """C fields can have an open row of codes of one byte each."""
    return format.bits == 8 or len(shape) - 1 not in dynamic


def draw_type(r, format, shape, dynamic=(), depth=0):
    while not fits_open_row(format, shape, dynamic):
        format = FORMATS[r.choice(list(FORMATS))]
    block = draw_block(r, shape, dynamic)
    result = Type(format, None, block=block)
    scales = result.scale_shape(shape)
    open_scales = tuple(dim for dim in dynamic if block and block[dim] is not None)
    result.scale = draw_factor_type(r, scales, open_scales, depth)
    if format.is_integer and r.random() < 0.5:
        integers = [f for f in FORMATS.values() if f.is_integer and fits_open_row(f, scales, open_scales)]
        result.zero = r.choice([format, r.choice(integers)])
        result.zero = result.zero if result.zero in integers else r.choice(integers)
    if r.random() < 0.15:
        result.offset = draw_factor_type(r, scales, open_scales, depth)
    return result


def draw_factor(r, numbers, element, shape, spread):
    """Scales around 2^-3 to 1 and, as offsets, of both signs; nested ones take what comes."""
    if isinstance(element, Type):
        return draw_tensor(r, numbers, element, shape, spread)
    x = np.exp2(numbers.uniform(-4, 0, shape))
    if r.random() < 0.3:
        x = np.exp2(np.rint(np.log2(x)))  # powers of two make exact ties
    if spread:
        x = x * np.exp2(numbers.integers(-spread, spread + 1, shape))
    if element == "f8E8M0FNU":
        return (127 + np.rint(np.log2(x))).astype(np.uint8)
    if r.random() < 0.2:
        x = x * numbers.choice([-1, 1], shape)
    if element == "f8E4M3FN":
        return FORMATS[element].encode(x).astype(np.uint8)
    return round_to(element, x)


def draw_codes(r, numbers, format, shape, finite=True):
    choices = format.finite if finite else np.arange(format.count)
    if r.random() < 0.2:  # the least, the greatest or one of both
        order = choices[np.argsort(format.values[choices])]
        choices = r.choice([order[:1], order[-1:], order[[0, -1]]])
    return numbers.choice(choices, shape)


def draw_tensor(r, numbers, type_, shape, spread=0, finite=True):
    scales = type_.scale_shape(shape)
    return Quantized(type_, draw_codes(r, numbers, type_.format, shape, finite),
                     draw_factor(r, numbers, type_.scale, scales, spread),
                     draw_codes(r, numbers, type_.zero, scales) if type_.zero else None,
                     draw_factor(r, numbers, type_.offset, scales, spread) if type_.offset else None)
