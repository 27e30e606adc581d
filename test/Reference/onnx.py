# RUN: python3 %s
"""Random cases of the ONNX operators against the formulas of their specification, computed with numpy, bit for bit.

QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, MatMulInteger, QLinearMatMul (docs/Operators.md of ONNX), the
last with the f32 order acc * ((sa * sb) / sy), and MatMulInteger scaled to f32 as the QDQ rule of the law has it.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

import numpy as np
from harness import Case, bf16, bounds, expand, expect, spell, stored, tensor

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 22
print("seed", seed)
random = np.random.default_rng(seed)
f32 = np.float32

FORMATS = ["i8", "u8", "i2", "i3", "i4", "i5", "i6", "i16", "u2", "u3", "u4", "u5", "u6", "u7"]
SIZES = [1, 2, 3, 5, 15, 16, 17, 31]


def pick_shape(rank):
    return tuple(int(random.choice(SIZES)) for _ in range(rank))


def pick_block(shape):
    """A canonical block, as the type wants it: () is one scale for the tensor."""
    if random.integers(3) == 0:
        return ()
    block = []
    for size in shape:
        entry = random.choice([1, 2, 4, 0])
        block.append(1 if size == 1 else None if entry == 0 or (entry > 1 and entry >= size) else int(entry))
    return () if all(b is None for b in block) else tuple(block)


def scale_shape(shape, block):
    return tuple(1 if b is None else -(-size // b) for size, b in zip(shape, block))


def pick_scales(shape):
    return random.uniform(0.01, 2.0, shape).astype(f32)


def pick_codes(name, shape):
    low, high = bounds(name)
    kind = random.integers(4)
    if kind == 0:
        return np.full(shape, random.choice([low, high]))
    return random.integers(low, high + 1, shape)


def quantize_linear(x, scale, zero, name):
    low, high = bounds(name)
    v = np.rint((x / scale).astype(f32)).astype(np.float64) + zero
    return np.clip(np.where(np.isnan(v), low, v), low, high).astype(np.int64)


def values_near_ties(scale, shape):
    """Multiples of half a scale, a few one step of f32 aside, and what saturates."""
    x = (random.integers(-600, 600, shape) * f32(0.5)).astype(f32) * scale
    kind = random.integers(0, 8, shape)
    x = np.where(kind == 0, np.nextafter(x, f32(np.inf)), x)
    x = np.where(kind == 1, np.nextafter(x, f32(-np.inf)), x)
    x = np.where(kind == 2, random.normal(0, 1e4, shape), x).astype(f32)
    flat = x.reshape(-1)
    if flat.size > 4:
        flat[:4] = [np.inf, -np.inf, np.nan, -0.0]
    return flat.reshape(shape)


def test_quantize(name, round_trip):
    """QuantizeLinear, or DequantizeLinear after it."""
    shape = pick_shape(random.integers(1, 4))
    block = pick_block(shape)
    counts = scale_shape(shape, block)
    scale = pick_scales(counts)
    zero = pick_codes(name, counts) if random.integers(2) else None
    zeros = 0 if zero is None else expand(zero, shape, block) if block else zero
    scales = expand(scale, shape, block) if block else scale
    x = values_near_ties(np.broadcast_to(scales, shape), shape)
    element = random.choice(["f32", "bf16"])
    bits = x
    if element == "bf16":
        finite = np.where(np.isnan(x), f32(0), x)
        x, bits = bf16(finite)
    codes = quantize_linear(x, scales, zeros, name)
    q = spell(name, shape, block, zero=None if zero is None else name)
    parts = [scale] + ([] if zero is None else [stored(zero if zero.shape else zero[None], name)])
    types = [tensor(counts, "f32")] + [tensor(p.shape, "i8") for p in parts[1:]]
    arguments = ", ".join(f"%p{i}: {t}" for i, t in enumerate(types))
    names = "".join(f", %p{i}" for i in range(len(types)))
    body = f"""func.func @f(%x: {tensor(shape, element)}, {arguments}) -> RESULT {{
  %q = qlow.quantize %x{names} : ({tensor(shape, element)}, {', '.join(types)}) -> {q}
"""
    if not round_trip:
        case = Case(body.replace("RESULT", q) + f"  return %q : {q}\n}}\n", bits, *parts, results=1 + len(parts))
        expect(f"QuantizeLinear {name}", case.run()[0], stored(codes, name), case)
        return
    y = tensor(shape, "f32")
    case = Case(body.replace("RESULT", y) + f"  %y = qlow.dequantize %q : {q} -> {y}\n  return %y : {y}\n}}\n", bits, *parts)
    expected = (scales * (codes - zeros).astype(f32)).astype(f32)
    expect(f"DequantizeLinear {name}", case.run()[0], np.broadcast_to(expected, shape), case)


def test_dynamic(by_row):
    """DynamicQuantizeLinear; by row too, which ONNX does not have."""
    shape = pick_shape(2)
    rows = by_row and shape[1] > 1 and shape[0] > 1
    axis = 1 if rows else None
    x = (random.normal(random.choice([-3, 0, 3]), 1, shape) * 10.0 ** random.integers(-3, 4)).astype(f32)
    if random.integers(5) == 0:
        x[...] = 0
    low = np.minimum(x.min(axis=axis, keepdims=rows), f32(0))
    high = np.maximum(x.max(axis=axis, keepdims=rows), f32(0))
    scale = ((high - low) / f32(255)).astype(f32)
    scale = np.where(scale == 0, f32(1), scale).astype(f32)
    zero = np.clip(np.rint(f32(0) - low / scale), 0, 255).astype(np.uint8)
    codes = quantize_linear(x, scale, zero.astype(np.int64), "u8")
    q = spell("u8", shape, (1, None) if rows else (), zero="u8")
    x_type = tensor(shape, "f32")
    case = Case(f"func.func @f(%x: {x_type}) -> {q} {{\n  %q = qlow.quantize_dynamic %x : {x_type} -> {q}\n  return %q : {q}\n}}\n",
                x, results=3)
    found = case.run()
    expect("DynamicQuantizeLinear codes", found[0], codes.astype(np.uint8), case)
    expect("DynamicQuantizeLinear scale", found[1], scale, case)
    expect("DynamicQuantizeLinear zero", found[2], zero.reshape(zero.shape or (1,)), case)


def pick_side(name, batch, rows, depth, k_last, per_row):
    """Codes as rows along K, scale and zero of each row; the type, its parts and their types."""
    codes = pick_codes(name, (*batch, rows, depth))
    shape = (*batch, rows, depth) if k_last else (*batch, depth, rows)
    per_row = per_row and rows > 1 and not batch
    block = ((1, None) if k_last else (None, 1)) if per_row else ()
    if per_row and depth == 1:
        block = (1, 1)
    scale = pick_scales((rows,) if per_row else ())
    with_zero = bool(random.integers(2))
    zero = pick_codes(name, (rows,) if per_row else ()) if with_zero else np.zeros((), np.int64)
    counts = scale_shape(shape, block)
    parts = [stored(codes if k_last else codes.swapaxes(-1, -2), name), scale.reshape(counts)]
    if with_zero:
        parts.append(stored(zero.reshape(counts or (1,)), name))
    types = [tensor(parts[0].shape, "i8"), tensor(counts, "f32")] + [tensor(p.shape, "i8") for p in parts[2:]]
    return codes, scale, zero, spell(name, shape, block, zero=name if with_zero else None), parts, types


def wrap(sums):
    return (sums & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def test_matmul(result, lhs_name, rhs_name):
    """MatMulInteger (i32), its scaled form (f32), QLinearMatMul (u8, i8): batched, transposed, per row and column."""
    m, n, k = (int(random.choice(SIZES + [64, 100])) for _ in range(3))
    batch = tuple(int(s) for s in random.integers(1, 4, random.integers(0, 3)))
    lhs_last, rhs_last = bool(random.integers(2)), bool(random.integers(2))
    a, sa, za, lhs, lhs_parts, lhs_types = pick_side(lhs_name, batch, m, k, lhs_last, bool(random.integers(2)))
    b, sb, zb, rhs, rhs_parts, rhs_types = pick_side(rhs_name, batch, n, k, rhs_last, bool(random.integers(2)))
    acc = wrap(np.matmul(a - za.reshape(-1, 1) if za.shape else a - za,
                         (b - zb.reshape(-1, 1) if zb.shape else b - zb).swapaxes(-1, -2)))
    factor = ((sa.reshape(-1, 1) if sa.shape else sa) * sb).astype(f32)
    shape = (*batch, m, n)
    extra, extra_types, text = [], [], ""
    with_bias = bool(random.integers(2))
    if with_bias:
        bias = random.integers(-1000, 1000, n).astype(np.int32)
        bias = bias.astype(f32) * f32(0.3) if result == "f32" else bias
        extra.append(bias)
        extra_types.append(tensor((n,), "f32" if result == "f32" else "i32"))
        text += f" bias(%e0 : {extra_types[0]})"
    if result == "i32":
        expected, y = acc, tensor(shape, "i32")
        if with_bias:
            expected = wrap(acc.astype(np.int64) + bias)
    elif result == "f32":
        expected, y = (acc.astype(f32) * factor).astype(f32), tensor(shape, "f32")
        if with_bias:
            expected = (expected + bias).astype(f32)
    else:
        sums = wrap(acc.astype(np.int64) + bias) if with_bias else acc
        sy = f32(max(1e-3, np.abs(sums.astype(f32) * factor).max() / 100))
        zy = pick_codes(result, ())
        v = np.rint((sums.astype(f32) * (factor / sy).astype(f32)).astype(f32)).astype(np.float64) + zy
        expected, y = np.clip(v, *bounds(result)), spell(result, shape, zero=result)
        expected = stored(expected.astype(np.int64), result)
        first = len(extra)
        extra += [np.array(sy), stored(zy[None], result)]
        extra_types += [tensor((), "f32"), tensor((1,), "i8")]
        text += f" parts(%e{first}, %e{first + 1} : {extra_types[first]}, {extra_types[first + 1]})"
    arguments = [f"%a{i}: {t}" for i, t in enumerate(lhs_types)] + [f"%b{i}: {t}" for i, t in enumerate(rhs_types)]
    arguments += [f"%e{i}: {t}" for i, t in enumerate(extra_types)]
    flags = ("" if lhs_last else "transpose_lhs ") + ("transpose_rhs " if rhs_last else "")
    compose = lambda name, types, q: (f"  %{name} = qlow.compose {', '.join(f'%{name}{i}' for i in range(len(types)))} : "
                                      f"({', '.join(types)}) -> {q}\n")
    case = Case(f"func.func @f({', '.join(arguments)}) -> {y} {{\n" + compose("a", lhs_types, lhs) +
                compose("b", rhs_types, rhs) + f"  %y = qlow.matmul {flags}%a, %b{text} : {lhs}, {rhs} -> {y}\n"
                f"  return %y : {y}\n}}\n", *lhs_parts, *rhs_parts, *extra, results=3 if "!qlow" in y else 1)
    expect(f"matmul {lhs_name} x {rhs_name} -> {result}", case.run()[0], expected, case)


for name in FORMATS:
    for _ in range(2):
        test_quantize(name, round_trip=False)
        test_quantize(name, round_trip=True)
for i in range(6):
    test_dynamic(by_row=i % 2 == 1)
for result in ["i32", "f32", "u8", "i8"]:
    for pair in [("u8", "i8"), ("i8", "i8"), ("u8", "u8"), ("i8", "u8"), ("u8", "i4"), ("i8", "u4"), ("i3", "u7")]:
        test_matmul(result, *pair)
print("all equal")
