"""Matmuls that tests draw: sides of codes or of floats, a bias, a result of floats or codes; and checks of what they give,
bit for bit where sums are exact, inside the law's bound elsewhere."""

import numpy as np
from functions import of_parts, same
from quantized import (F32, FORMATS, STORED, Part, Quantized, Type, draw_block, draw_tensor, extremes, factor_values, measured, measured_scale,
                       round_to, tensor_type, to_f32)

# ---- sides -----------------------------------------------------------------------------------------------------------


def stored_shape(batch, rows, k, swapped):
    """`swapped`: K is not where a row has it."""
    return (*batch, k, rows) if swapped else (*batch, rows, k)


def k_dim_of(shape, swapped):
    return len(shape) - (2 if swapped else 1)


class Side:
    """One side of a matmul: %name of type `type`, its f32 `values` as stored, the names of its open dimensions."""

    tensor = None

    def __init__(self, swapped, dims):
        self.swapped, self.dims = swapped, dims

    def rows(self, x):
        """[batch..., rows, K]"""
        return np.swapaxes(x, -1, -2) if self.swapped else x

    def sums_exactly(self):
        return False


class Floats(Side):
    def __init__(self, f, name, element, shape, swapped, dims, constant=False):
        super().__init__(swapped, dims)
        x = round_to(element, f.numbers.normal(0, 1, shape) * np.exp2(f.numbers.integers(-2, 3, shape)))
        self.values, self.type = to_f32(element, x), tensor_type(shape, element, dims)
        if constant:
            f.constant(name, x, element)
        else:
            f.argument(name, shape, element, dims, {name: x})


class Codes(Side):
    def __init__(self, f, name, tensor, swapped, dims, how):
        super().__init__(swapped, dims)
        self.tensor, self.k_dim = tensor, k_dim_of(tensor.codes.shape, swapped)
        self.values, self.type = tensor.values(), f.quantized(name, tensor, dims, how)

    def sums_exactly(self):
        type_ = self.tensor.type
        return not type_.offset and type_.format.sums_exactly and type_.is_constant_along(self.k_dim, self.values.shape, self.dims)

    def images(self):
        format, shape = self.tensor.type.format, self.values.shape
        x = format.values[self.tensor.codes].astype(np.float64) / format.step
        return self.rows(x if self.tensor.zero is None else x - self.tensor.zeros(shape).astype(np.float64))

    def scales(self):
        """[batch..., rows], one along K."""
        return self.rows(self.tensor.scales(self.values.shape))[..., 0]


# ---- products --------------------------------------------------------------------------------------------------------


class Product:
    """%y = %x %w, of floats or i32 as `result` names them, or of "codes". `given` is what stands behind its operands; to
    `measured`, a Type, the floats are quantized with scales of their own."""

    def __init__(self, f, lhs, rhs, result):
        self.f, self.lhs, self.rhs, self.result = f, lhs, rhs, result
        *batch, m, k = lhs.rows(lhs.values).shape
        n = rhs.rows(rhs.values).shape[-2]
        names = {*lhs.dims.values(), *rhs.dims.values()}
        self.shape, self.sizes = (*batch, m, n), {"m": m, "n": n, "k": k}
        self.open = {name: size for name, size in self.sizes.items() if name in names}
        self.dims = {len(batch) + i: name for i, name in enumerate("mn") if name in names}
        self.bias, self.parts, self.element, self.given, self.measured = None, None, result, "", None

    def draw_bias(self, often, of_integers=False):
        f, n = self.f, self.shape[-1]
        if f.r.random() < often and "n" not in self.open:
            self.bias = f.numbers.integers(-1000, 1000, n).astype(np.int32) if of_integers else f.numbers.normal(0, 8, n).astype(F32)
            self.given += f" bias(%bias : {f.part('bias', Part('bias', self.bias, 'i32' if of_integers else 'f32'), f.r.random() < 0.5)})"

    def draw_parts(self):
        """The other parts of a result of codes, with a scale that spreads it over the format's codes."""
        if self.result != "codes":
            return
        f, r = self.f, self.f.r
        format = FORMATS[r.choice(["i8", "u8", "i8", "u8", r.choice(list(FORMATS))])]
        format = FORMATS["i8"] if self.dims and format.bits != 8 else format
        block = () if self.dims else draw_block(r, self.shape)
        type_ = Type(format, r.choice(["f32", "f32", "f16"]), block=block)
        if format.is_integer and r.random() < 0.6:
            type_.zero = format
        spread = np.sqrt(self.sizes["k"]) * (np.abs(self.lhs.values).mean() * np.abs(self.rhs.values).mean() + 1e-3)
        self.parts, self.element = draw_tensor(r, f.numbers, type_, self.shape), type_
        scale = spread / float(format.max) * r.choice([0.3, 1, 2]) * np.exp2(f.numbers.uniform(-1, 1, type_.scale_shape(self.shape)))
        self.parts.scale = round_to(type_.scale, np.clip(scale, 1e-4, 3e4))
        names, types = f.parts("out", self.parts, False, "constant" if r.random() < 0.5 else "argument")
        self.given += f" parts({', '.join(names)} : {', '.join(types)})"

    def sample(self, is_exact=False, lhs_element="f32", note=""):
        """The function, whole; `lhs_element` is what values of codes are rounded to beside floats of it."""
        f, lhs, rhs = self.f, self.lhs, self.rhs
        words = "transpose_lhs " * lhs.swapped + "transpose_rhs " * (not rhs.swapped)
        y = tensor_type(self.shape, self.element, self.dims)
        f.body += f"  %y = qlow.matmul {words}%x, %w{self.given} : {lhs.type}, {rhs.type} -> {y}\n"
        value = "%y"
        if self.measured:
            value, of_floats, y = "%q", y, tensor_type(self.shape, self.measured, self.dims)
            f.body += f"  %q = qlow.quantize_dynamic %y : {of_floats} -> {y}\n"
        check = exact_check(self) if is_exact else float_check(self, lhs_element)
        m, n, k = self.sizes.values()
        description = f"matmul {words}{m}x{n}x{k} {lhs.type} {rhs.type} -> {y}{' with bias' * (self.bias is not None)}{note}"
        parts = self.parts or self.measured and measured(self.measured, np.zeros(self.shape, F32))
        outputs = of_parts("y", Quantized(parts.type, np.zeros(self.shape, int), parts.scale, parts.zero)) if parts else STORED[self.result]
        return f.sample([(value, y, "y", self.shape, outputs, self.dims)], description, "", self.open, check)


# ---- checks ----------------------------------------------------------------------------------------------------------


def exact_check(product):
    lhs, rhs, result, bias, parts = product.lhs, product.rhs, product.result, product.bias, product.parts
    acc = (lhs.images() @ np.swapaxes(rhs.images(), -1, -2)).astype(np.int64).astype(np.int32)
    factor = lhs.scales()[..., :, None] * rhs.scales()[..., None, :]
    step = F32(lhs.tensor.type.format.step * rhs.tensor.type.format.step)
    factor = factor if step == 1 else factor * step
    if bias is not None and bias.dtype == np.int32:
        acc = (acc.astype(np.int64) + bias).astype(np.int32)
    if result == "i32":
        return same("y", acc)
    if parts:
        v = acc.astype(F32) * (factor / parts.scales(acc.shape))
        return same("y_codes", parts.type.format.pack(parts.type.format.encode(v, parts.zeros(acc.shape))))
    y = acc.astype(F32) * factor
    y = round_to(result, y if bias is None else y + bias)
    if not product.measured:
        return same("y", y, result)
    y = to_f32(result, y)
    want = measured(product.measured, y)
    want.codes = want.quantize(y)
    checks = [same(f"y_{part.suffix}", part.array) for part in want.parts()]
    return lambda got: next(filter(None, (check(got) for check in checks)), "")


# Of a codebook's values as floats of 16 bits, where its own are none.
ROUNDED_TABLES = {"nf4": {"f16": 2.0**-11, "bf16": 2.0**-8}}


def is_small_float(side):
    """What matrix units multiply as it is."""
    return side.tensor and not side.tensor.type.offset and side.tensor.type.format.name in ("f8E4M3FN", "f8E5M2")


def float_check(product, lhs_element):
    """All that follows the sum grows with it: the result lies between those of the bound's ends."""
    lhs, rhs, result, bias, parts = product.lhs, product.rhs, product.result, product.bias, product.parts
    a, b = lhs.rows(lhs.values).astype(np.float64), np.swapaxes(rhs.rows(rhs.values), -1, -2).astype(np.float64)
    exact, sum_of_magnitudes = a @ b, np.abs(a) @ np.abs(b)
    relative, absolute = (a.shape[-1] + 8) * 2.0**-23, 0
    if rhs.tensor and lhs_element != "f32":
        relative += ROUNDED_TABLES.get(rhs.tensor.type.format.name, {}).get(lhs_element, 0)
    if rhs.tensor and lhs_element == "f16" and rhs.tensor.type.block and rhs.tensor.type.block[rhs.k_dim] is not None:
        # Under scales that change along K, the values of codes may be rounded to it.
        relative += 2.0**-11
        absolute = 2.0**-25 * np.abs(a).sum(-1, keepdims=True)
    if is_small_float(lhs) and is_small_float(rhs):
        relative += 2.0**-6
    bound = relative * sum_of_magnitudes + absolute + np.spacing(np.abs(exact).astype(F32))
    ends = []
    for end, toward in ((exact - bound, -np.inf), (exact + bound, np.inf)):
        y = np.nextafter(end.astype(F32), F32(toward))
        y = y if bias is None else y + bias
        if parts:
            codes = parts.type.format.encode(y / parts.scales(y.shape), parts.zeros(y.shape))
            ends.append(parts.type.format.values[codes])
        else:
            ends.append(to_f32(result, round_to(result, y)))
    low, high = np.minimum(*ends), np.maximum(*ends)
    if product.measured:
        return measured_check(product.measured, low, high)

    def check(got):
        if parts:
            packed = got["y_codes"]
            found = parts.type.format.values[parts.type.format.unpack(packed, low.shape)]
        else:
            found = to_f32(result, got["y"])
        wrong = ~((low <= found) & (found <= high))
        if not wrong.any():
            return ""
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        return f"{wrong.sum()} of {wrong.size} out of bounds, first at {at}: expected {low[at]} to {high[at]}, found {found[at]}"

    return check


def measured_check(type_, low, high):
    """Of floats between these, which the codes, their scales and zero points were measured from."""
    # The least of the greater ends lies over the least, and so on.
    (least, under), (over, greatest) = extremes(type_, low), extremes(type_, high)
    scales = [factor_values(type_.scale, measured_scale(type_, *ends)) for ends in ((over, under), (least, greatest))]

    def check(got):
        found = Quantized(type_, None, got["y_scale"])
        scale = factor_values(type_.scale, found.scale)
        # A block that may be one of zeros has a scale of 1, or a small one.
        may_vanish = np.maximum(-over, under) == 0
        values = type_.format.values
        ranges = [("scales", np.where(may_vanish & (scale == 1), 0, scale), np.where(may_vanish, 0, scales[0]), scales[1])]
        if type_.zero:
            found.zero = type_.zero.unpack(got["y_zero"], scale.shape)
            ranges.append(("zero points", values[found.zero], *(values[type_.zero.encode(-end / scale)] for end in (over, least))))
        codes = values[type_.format.unpack(got["y_codes"], low.shape)]
        ranges.append(("codes", codes, *(values[found.quantize(end)] for end in (low, high))))
        for name, numbers, first, last in ranges:
            wrong = ~((first <= numbers) & (numbers <= last))
            if wrong.any():
                at = tuple(int(i) for i in np.argwhere(wrong)[0])
                return f"{wrong.sum()} of {wrong.size} {name} out of bounds, first at {at}: expected {first[at]} to {last[at]}, found {numbers[at]}"
        return ""

    return check
