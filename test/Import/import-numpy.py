# RUN: python3 %s %t
"""Imported programs, run by the reference evaluator, against numpy.

Expected values are written here from the published rules (exact integer sums; round half to even; TOSA's apply_scale_32), never
taken from qlow. Every result is compared bit for bit. The seed is fixed and printed.
"""

import os
import subprocess
import sys

import numpy as np

SEED = 31
rng = np.random.default_rng(SEED)
F32 = np.float32
folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)


def run(name, text, inputs, expected):
    """Evaluates the one function of `text` and compares its results."""
    model = os.path.join(folder, name + ".mlir")
    with open(model, "w") as file:
        file.write(text)
    arguments = []
    for index, array in enumerate(inputs):
        arguments.append(os.path.join(folder, f"{name}.in{index}.npy"))
        np.save(arguments[-1], np.asarray(array, order="C"))
    outputs = [os.path.join(folder, f"{name}.out{index}.npy") for index in range(len(expected))]
    command = ["qlow-run", "--reference", model] + arguments + [word for path in outputs for word in ("-o", path)]
    subprocess.run(command, check=True)
    for index, (path, want) in enumerate(zip(outputs, expected)):
        got = np.load(path)
        assert got.shape == want.shape, (name, index, got.shape, want.shape)
        got = got.view(want.dtype) if got.dtype.itemsize == want.dtype.itemsize else got
        different = np.nonzero(got.reshape(-1).view(np.uint8) != np.ascontiguousarray(want).reshape(-1).view(np.uint8))[0]
        where = different[0] // want.dtype.itemsize if different.size else 0
        assert not different.size, (name, index, int(where), got.reshape(-1)[where], want.reshape(-1)[where], "seed", SEED)
    print("ok", name)


def ints(low, high, *shape, dtype=np.int8):
    return rng.integers(low, high + 1, shape).astype(dtype)


def dense(array):
    return "dense<" + str(array.tolist()) + ">"


def quantize(x, scale, zero, low, high):
    with np.errstate(over="ignore"):  # infinities saturate
        code = np.rint(x.astype(F32) / F32(scale)).astype(np.float64) + zero
    return np.clip(np.where(np.isnan(code), low, code), low, high).astype(np.int64)


def requantize(acc, multiplier, zero, low, high):
    return np.clip(np.rint(acc.astype(F32) * multiplier.astype(F32)).astype(np.float64) + zero, low, high).astype(np.int64)


def literal(value):
    """The shortest decimal that reads back, as MLIR spells floats: with a point."""
    text = repr(float(value))
    mantissa, e, exponent = text.partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + e + exponent


def scales(*values):
    return ", ".join(map(literal, values))


ROWS = "affine_map<(m, n) -> (m, n)>"
ROW = "affine_map<(m, n) -> (n)>"


def elementwise(result, operands, maps, body, shape):
    """linalg.generic on f32 tensors of `shape`; body computes %r from %a, %b."""
    names = ["%a", "%b"][: len(operands)]
    return f"""
  %e_{result} = tensor.empty() : tensor<{shape}xf32>
  %{result} = linalg.generic {{indexing_maps = [{', '.join(maps)}, {ROWS}], iterator_types = ["parallel", "parallel"]}}
      ins({', '.join(v for v, _ in operands)} : {', '.join(t for _, t in operands)}) outs(%e_{result} : tensor<{shape}xf32>) {{
  ^bb0({', '.join(f'{n}: f32' for n in names)}, %out: f32):
    {body}
    linalg.yield %r : f32
  }} -> tensor<{shape}xf32>"""


def qdq_layer(name, m, k, n, x_type, w_type, y_type, w_scales, x_scale, y_scale, x_zero, y_zero, y_range, clamp, bias, limit=127):
    """y = qcast(clamp(dcast(x) @ dcast(w) + dcast(bias))), signed codes up to `limit`"""
    unsigned = x_type.startswith("u")
    x = ints(0, 255, m, k, dtype=np.uint8) if unsigned else ints(-limit, limit, m, k)
    w = ints(-limit, limit, k, n)
    x_scale, y_scale = F32(x_scale), F32(y_scale)
    w_scales = np.asarray(w_scales, F32)
    factors = x_scale * w_scales
    b = ints(-30000, 30000, n, dtype=np.int32) if bias else np.zeros(n, np.int32)
    axis = ":1" if len(w_scales) > 1 else ""
    w_text = "{" + scales(*w_scales) + "}" if axis else scales(*w_scales)
    b_text = "{" + scales(*factors) + "}" if axis else scales(*factors)
    text = f"""
!x = !quant.uniform<{x_type}:f32, {scales(x_scale)}:{x_zero}>
!w = !quant.uniform<{w_type}:f32{axis}, {w_text}>
!b = !quant.uniform<i32:f32{':0' if axis else ''}, {b_text}>
!y = !quant.uniform<{y_type}:f32, {scales(y_scale)}:{y_zero}>
func.func @f(%xq: tensor<{m}x{k}x!x>) -> tensor<{m}x{n}x!y> {{
  %x = quant.dcast %xq : tensor<{m}x{k}x!x> to tensor<{m}x{k}xf32>
  %wi = arith.constant {dense(w)} : tensor<{k}x{n}xi8>
  %wq = quant.scast %wi : tensor<{k}x{n}xi8> to tensor<{k}x{n}x!w>
  %w = quant.dcast %wq : tensor<{k}x{n}x!w> to tensor<{k}x{n}xf32>
  %bi = arith.constant {dense(b)} : tensor<{n}xi32>
  %bq = quant.scast %bi : tensor<{n}xi32> to tensor<{n}x!b>
  %bf = quant.dcast %bq : tensor<{n}x!b> to tensor<{n}xf32>
  %zeros = arith.constant dense<0.0> : tensor<{m}x{n}xf32>
  %dot = linalg.matmul ins(%x, %w : tensor<{m}x{k}xf32>, tensor<{k}x{n}xf32>) outs(%zeros : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>"""
    last, shape = "%dot", f"{m}x{n}"
    if bias:
        text += elementwise("sum", [(last, f"tensor<{shape}xf32>"), ("%bf", f"tensor<{n}xf32>")], [ROWS, ROW],
                            "%r = arith.addf %a, %b : f32", shape)
        last = "%sum"
    lo, hi = -np.inf, np.inf
    if clamp:
        lo, hi = clamp
        body = f"""%lo = arith.constant {literal(lo)} : f32
    %hi = arith.constant {literal(hi)} : f32
    %t = arith.maximumf %a, %lo : f32
    %r = arith.minimumf %t, %hi : f32"""
        text += elementwise("act", [(last, f"tensor<{shape}xf32>")], [ROWS], body, shape)
        last = "%act"
    text += f"""
  %yq = quant.qcast {last} : tensor<{shape}xf32> to tensor<{shape}x!y>
  return %yq : tensor<{shape}x!y>
}}
"""
    acc = (x.astype(np.int64) - x_zero) @ w.astype(np.int64) + b
    low, high = y_range
    bounds = quantize(np.array([lo, hi], F32), y_scale, y_zero, low, high)
    codes = np.clip(requantize(acc, factors / y_scale, y_zero, low, high), bounds[0], bounds[1])
    assert len(np.unique(codes)) > 3, name
    run(name, text, [x], [codes.astype(np.int64).astype(np.uint8 if y_type.startswith("u") else np.int8)])


qdq_layer("per_tensor", 5, 17, 9, "u8", "i8", "i8", [0.01], 0.02, 0.3, 128, -3, (-128, 127), None, True)
qdq_layer("per_channel_relu", 4, 31, 5, "u8", "i8<-127:127>", "u8", rng.uniform(0.001, 0.02, 5), 0.03, 0.2, 7, 0, (0, 255),
          (0.0, 3.0e38), True)
qdq_layer("relu_with_zero_point", 4, 31, 5, "i8", "i8", "i8", rng.uniform(0.001, 0.02, 5), 0.03, 0.2, -7, -20, (-128, 127),
          (0.0, 3.0e38), True)
qdq_layer("relu6", 6, 16, 7, "i8", "i8", "i8", rng.uniform(0.001, 0.02, 7), 0.02, 0.05, 3, -100, (-128, 127), (0.0, 6.0), True)
qdq_layer("narrow", 6, 16, 7, "i8", "i8", "i8<-127:127>", rng.uniform(0.01, 0.03, 7), 0.02, 0.02, 0, 0, (-127, 127), None, False)
qdq_layer("fine_result", 6, 3, 7, "i8", "i8", "u8<3:200>", [2.0], 0.5, 0.3, 0, 100, (3, 200), (-25.0, 20.0), False, limit=5)
qdq_layer("one_deep", 3, 1, 4, "u8", "i8", "i8", rng.uniform(0.01, 0.03, 4), 0.02, 0.05, 100, 0, (-128, 127), None, True)


def float_readers():
    """One sum, read as codes, as floats, and as floats after a residual."""
    m, k, n = 5, 12, 6
    x, w, b = ints(-128, 127, m, k), ints(-128, 127, k, n), ints(-9000, 9000, n, dtype=np.int32)
    residual = rng.normal(0, 30, (m, n)).astype(F32)
    sx, sw, sy = F32(0.017), F32(0.3), F32(0.77)
    text = f"""
!x = !quant.uniform<i8:f32, {scales(sx)}:4>
!w = !quant.uniform<i8:f32, {scales(sw)}>
!b = !quant.uniform<i32:f32, {scales(sx * sw)}>
!y = !quant.uniform<i8:f32, {scales(sy)}>
func.func @f(%xq: tensor<{m}x{k}x!x>, %wq: tensor<{k}x{n}x!w>, %bq: tensor<{n}x!b>, %res: tensor<{m}x{n}xf32>)
    -> (tensor<{m}x{n}x!y>, tensor<{m}x{n}xf32>, tensor<{m}x{n}x!y>) {{
  %x = quant.dcast %xq : tensor<{m}x{k}x!x> to tensor<{m}x{k}xf32>
  %w = quant.dcast %wq : tensor<{k}x{n}x!w> to tensor<{k}x{n}xf32>
  %b = quant.dcast %bq : tensor<{n}x!b> to tensor<{n}xf32>
  %empty = tensor.empty() : tensor<{m}x{n}xf32>
  %rows = linalg.broadcast ins(%b : tensor<{n}xf32>) outs(%empty : tensor<{m}x{n}xf32>) dimensions = [0]
  %sum = linalg.matmul ins(%x, %w : tensor<{m}x{k}xf32>, tensor<{k}x{n}xf32>) outs(%rows : tensor<{m}x{n}xf32>) -> tensor<{m}x{n}xf32>
  %codes = quant.qcast %sum : tensor<{m}x{n}xf32> to tensor<{m}x{n}x!y>
  %added = arith.addf %sum, %res : tensor<{m}x{n}xf32>
  %codes2 = quant.qcast %added : tensor<{m}x{n}xf32> to tensor<{m}x{n}x!y>
  return %codes, %sum, %codes2 : tensor<{m}x{n}x!y>, tensor<{m}x{n}xf32>, tensor<{m}x{n}x!y>
}}
"""
    acc = (x.astype(np.int64) - 4) @ w.astype(np.int64) + b
    floats = acc.astype(F32) * (sx * sw)
    run("float_readers", text, [x, w, b, residual],
        [requantize(acc, sx * sw / sy, 0, -128, 127).astype(np.int8), floats,
         quantize(floats + residual, sy, 0, -128, 127).astype(np.int8)])


def narrow_quantize():
    """A lone qcast with narrow bounds: ties, infinities and NaN."""
    x = np.array([[-0.25, 0.25, 0.75, -1.25, 1e9, -1e9, np.inf, -np.inf, np.nan, 63.25, 63.75, -63.75]], F32)
    n = x.shape[1]
    text = f"""
!q = !quant.uniform<i8<-127:126>:f32, 0.5>
func.func @f(%x: tensor<1x{n}xf32>) -> (tensor<1x{n}x!q>, tensor<1x{n}xf32>) {{
  %q = quant.qcast %x : tensor<1x{n}xf32> to tensor<1x{n}x!q>
  %y = quant.dcast %q : tensor<1x{n}x!q> to tensor<1x{n}xf32>
  return %q, %y : tensor<1x{n}x!q>, tensor<1x{n}xf32>
}}
"""
    codes = quantize(x, 0.5, 0, -127, 126)
    run("narrow_quantize", text, [x], [codes.astype(np.int8), codes.astype(F32) * F32(0.5)])


def nibble_weight():
    """Constant i4 codes with a scale for each row and one for each block, dequantized."""
    w = ints(-8, 7, 4, 6)
    per_row, blocks = rng.uniform(0.1, 1, 4).astype(F32), rng.uniform(0.1, 1, (2, 3)).astype(F32)
    nested = "{" + ", ".join("{" + scales(*row) + "}" for row in blocks) + "}"
    text = f"""
!r = !quant.uniform<i4:f32:0, {{{scales(*per_row)}}}>
!g = !quant.uniform<i4:f32:{{0:2, 1:2}}, {nested}>
func.func @f() -> (tensor<4x6xf32>, tensor<4x6xf32>) {{
  %w = arith.constant {dense(w)} : tensor<4x6xi4>
  %r = quant.scast %w : tensor<4x6xi4> to tensor<4x6x!r>
  %rf = quant.dcast %r : tensor<4x6x!r> to tensor<4x6xf32>
  %g = quant.scast %w : tensor<4x6xi4> to tensor<4x6x!g>
  %gf = quant.dcast %g : tensor<4x6x!g> to tensor<4x6xf32>
  return %rf, %gf : tensor<4x6xf32>, tensor<4x6xf32>
}}
"""
    grid = np.repeat(np.repeat(blocks, 2, 0), 2, 1)
    run("nibble_weight", text, [], [w.astype(F32) * per_row[:, None], w.astype(F32) * grid])


def integer_matmuls():
    """linalg on integers: run-time zero points, u8 x s8 with both sides transposed, an init that is added."""
    a, b, za, zb = ints(-128, 127, 5, 9), ints(-128, 127, 9, 4), ints(-128, 127), ints(-128, 127)
    u, s, init = ints(0, 255, 2, 9, 5, dtype=np.uint8), ints(-128, 127, 2, 4, 9), ints(-9999, 9999, 2, 5, 4, dtype=np.int32)
    text = """
func.func @f(%a: tensor<5x9xi8>, %b: tensor<9x4xi8>, %za: i8, %zb: i8, %u: tensor<2x9x5xi8>, %s: tensor<2x4x9xi8>,
             %init: tensor<2x5x4xi32>) -> (tensor<5x4xi32>, tensor<2x5x4xi32>) {
  %z = arith.constant dense<0> : tensor<5x4xi32>
  %zai = arith.extsi %za : i8 to i32
  %zbi = arith.extui %zb : i8 to i32
  %y = linalg.quantized_matmul ins(%a, %b, %zai, %zbi : tensor<5x9xi8>, tensor<9x4xi8>, i32, i32) outs(%z : tensor<5x4xi32>) -> tensor<5x4xi32>
  %t = linalg.generic {indexing_maps = [affine_map<(b, m, n, k) -> (b, k, m)>, affine_map<(b, m, n, k) -> (b, n, k)>,
      affine_map<(b, m, n, k) -> (b, m, n)>], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%u, %s : tensor<2x9x5xi8>, tensor<2x4x9xi8>) outs(%init : tensor<2x5x4xi32>) {
  ^bb0(%p: i8, %q: i8, %out: i32):
    %0 = arith.extui %p : i8 to i32
    %1 = arith.extsi %q : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %out, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<2x5x4xi32>
  return %y, %t : tensor<5x4xi32>, tensor<2x5x4xi32>
}
"""
    wide = [array.astype(np.int64) for array in (a, b, u, s)]
    y = (wide[0] - int(za)) @ (wide[1] - int(zb.astype(np.uint8)))
    t = wide[2].transpose(0, 2, 1) @ wide[3].transpose(0, 2, 1) + init
    run("integer_matmuls", text, [a, b, za, zb, u, s, init], [y.astype(np.int32), t.astype(np.int32)])


def apply_scale_32(value, multiplier, shift, double):
    """TOSA 1.0, apply_scale_32."""
    rounding = np.int64(1) << (shift - 1).astype(np.int64)
    if double:
        rounding = rounding + np.where(shift > 31, np.where(value >= 0, 1 << 30, -(1 << 30)), 0)
    return (value * multiplier + rounding) >> shift


def tosa(double):
    """tosa.matmul with zero points and tosa.rescale, per tensor and per channel, to i8 and u8."""
    m, k, n = 6, 20, 5
    a, b = ints(-128, 127, 1, m, k), ints(-128, 127, 1, k, n)
    multipliers, shifts = ints(1 << 30, (1 << 31) - 1, n, dtype=np.int32), ints(30, 44, n)
    mode = "DOUBLE_ROUND" if double else "SINGLE_ROUND"
    flags = f"scale32 = true, rounding_mode = {mode}, input_unsigned = false"
    text = f"""
func.func @f(%a: tensor<1x{m}x{k}xi8>, %b: tensor<1x{k}x{n}xi8>)
    -> (tensor<1x{m}x{n}xi8>, tensor<1x{m}x{n}xi8>, tensor<1x{m}x{n}xi32>) {{
  %azp = "tosa.const"() <{{values = dense<11> : tensor<1xi8>}}> : () -> tensor<1xi8>
  %bzp = "tosa.const"() <{{values = dense<-2> : tensor<1xi8>}}> : () -> tensor<1xi8>
  %acc = tosa.matmul %a, %b, %azp, %bzp : (tensor<1x{m}x{k}xi8>, tensor<1x{k}x{n}xi8>, tensor<1xi8>, tensor<1xi8>) -> tensor<1x{m}x{n}xi32>
  %m = "tosa.const"() <{{values = {dense(multipliers)} : tensor<{n}xi32>}}> : () -> tensor<{n}xi32>
  %s = "tosa.const"() <{{values = {dense(shifts)} : tensor<{n}xi8>}}> : () -> tensor<{n}xi8>
  %m1 = "tosa.const"() <{{values = dense<1717986918> : tensor<1xi32>}}> : () -> tensor<1xi32>
  %s1 = "tosa.const"() <{{values = dense<39> : tensor<1xi8>}}> : () -> tensor<1xi8>
  %z32 = "tosa.const"() <{{values = dense<0> : tensor<1xi32>}}> : () -> tensor<1xi32>
  %z8 = "tosa.const"() <{{values = dense<-9> : tensor<1xi8>}}> : () -> tensor<1xi8>
  %zu8 = "tosa.const"() <{{values = dense<-126> : tensor<1xi8>}}> : () -> tensor<1xi8>
  %i8 = tosa.rescale %acc, %m, %s, %z32, %z8 {{{flags}, per_channel = true, output_unsigned = false}}
    : (tensor<1x{m}x{n}xi32>, tensor<{n}xi32>, tensor<{n}xi8>, tensor<1xi32>, tensor<1xi8>) -> tensor<1x{m}x{n}xi8>
  %u8 = tosa.rescale %acc, %m1, %s1, %z32, %zu8 {{{flags}, per_channel = false, output_unsigned = true}}
    : (tensor<1x{m}x{n}xi32>, tensor<1xi32>, tensor<1xi8>, tensor<1xi32>, tensor<1xi8>) -> tensor<1x{m}x{n}xi8>
  %i32 = tosa.rescale %i8, %m, %s, %z8, %z32 {{{flags}, per_channel = true, output_unsigned = false}}
    : (tensor<1x{m}x{n}xi8>, tensor<{n}xi32>, tensor<{n}xi8>, tensor<1xi8>, tensor<1xi32>) -> tensor<1x{m}x{n}xi32>
  return %i8, %u8, %i32 : tensor<1x{m}x{n}xi8>, tensor<1x{m}x{n}xi8>, tensor<1x{m}x{n}xi32>
}}
"""
    acc = (a.astype(np.int64) - 11) @ (b.astype(np.int64) + 2)
    wide = multipliers.astype(np.int64)
    i8 = np.clip(apply_scale_32(acc, wide, shifts.astype(np.int64), double) - 9, -128, 127)
    u8 = np.clip(apply_scale_32(acc, np.int64(1717986918), np.int64(39), double) + 130, 0, 255)
    i32 = apply_scale_32(i8 + 9, wide, shifts.astype(np.int64), double)
    run("tosa_double" if double else "tosa_single", text, [a, b], [i8.astype(np.int8), u8.astype(np.uint8), i32.astype(np.int32)])


float_readers()
narrow_quantize()
nibble_weight()
integer_matmuls()
tosa(False)
tosa(True)
