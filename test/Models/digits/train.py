#!/usr/bin/env python3
"""Trains the digits model and writes every other file of this folder.

    python3 -m venv /tmp/venv-digits
    /tmp/venv-digits/bin/pip install scikit-learn==1.9.1 numpy==2.4.6
    /tmp/venv-digits/bin/python test/Models/digits/train.py

In: the 1797 8x8 images (pixels 0..16) that scikit-learn ships.  Out, beside this script:

    digits.mlir        the u8 x s8 network, as upstream `quant` QDQ around float linalg
    digits_f32.mlir    its f32 twin, with the same signature
    images.npy         f32 [450, 64], the held-out images        labels.npy  u8 [450], their digits
    scores_f32.npy     f32 [450, 10], the twin: f32 parameters, f64 arithmetic, rounded to f32 once at the end.
                       No order of an f32 sum reproduces it bit for bit: compare with a tolerance
    scores_int8.npy    f32 [450, 10], the quantized network by the integer rule below: compare bit for bit
    codes_images.npy, codes_hidden1.npy, codes_hidden2.npy    u8, the quantized activations: compare bit for bit

Expected values are computed here, in numpy, and never by qlow.  The integer rule (all scales and every operation on them f32,
rounded once each; round is half to even; zero points are 0, because every activation is >= 0):

    quantize     code = clamp(round(x / sx), 0, 255)
    accumulate   acc[n] = sum_k code[k] * weight[k, n] + bias[n]                      exact integers
    hidden       code = clamp(round(f32(max(acc, 0)) * ((sx * sw[n]) / sy)), 0, 255)
    scores       f32(acc) * (sx * sw[n])

No test needs this script: its outputs are committed.  It is deterministic on one machine; another BLAS may train other weights.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a threaded sum has no fixed order

from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).resolve().parent
SEED = 22
HELD_OUT = 450
HIDDEN = (128, 64)
PIXEL_MAX = 16
PERCENTILE = 99.9  # below 100, so that some hidden activations saturate and the clamp is tested
F32 = np.float32


@dataclass
class Quantized:
    """One layer, y = x @ weight + bias, in codes."""

    in_scale: np.float32  # of x, u8
    weight: np.ndarray  # i8 [K, N] within [-127, 127]
    weight_scale: np.ndarray  # f32 [N]
    bias: np.ndarray  # i32 [N], in units of acc_scale

    @property
    def acc_scale(self):  # f32 [N]: the scale of the accumulator and of the bias
        return self.in_scale * self.weight_scale


# --- The network -----------------------------------------------------------------------------------------------------


def train(images, labels):
    """Returns [(weight f32 [K, N], bias f32 [N])], taking pixels 0..16."""
    net = MLPClassifier(HIDDEN, activation="relu", solver="adam", alpha=1e-2, batch_size=64, max_iter=60, n_iter_no_change=60,
                        random_state=SEED)
    net.fit(images.astype(np.float64) / PIXEL_MAX, labels)  # its ConvergenceWarning is expected: 60 passes are enough
    weights = [w.astype(F32) for w in net.coefs_]
    weights[0] /= F32(PIXEL_MAX)  # exact: a power of two
    return list(zip(weights, [b.astype(F32) for b in net.intercepts_]))


def run_f32(layers, images):
    """Returns the input of every layer, then the scores; f64 arithmetic on the f32 parameters."""
    values = [images.astype(np.float64)]
    for index, (weight, bias) in enumerate(layers):
        y = values[-1] @ weight.astype(np.float64) + bias.astype(np.float64)
        values.append(y if index == len(layers) - 1 else np.maximum(y, 0))
    return values


def quantize(layers, calibration):
    """Activations: u8, from 0 to the PERCENTILE seen in training.  Weights: s8, one scale per column."""
    result = []
    for (weight, bias), x in zip(layers, run_f32(layers, calibration)):
        in_scale = F32(np.percentile(x, PERCENTILE)) / F32(255)
        weight_scale = np.abs(weight).max(axis=0) / F32(127)
        # A column that training has switched off is all zero codes; a scale of its own would make its bias overflow i32.
        weight_scale = np.maximum(weight_scale, weight_scale.max() / F32(256))
        codes = np.clip(np.rint(weight / weight_scale), -127, 127).astype(np.int8)
        acc_scale = in_scale * weight_scale
        result.append(Quantized(in_scale, codes, weight_scale, np.rint(bias / acc_scale).astype(np.int32)))
    return result


def run_int8(layers, images):
    """Returns the codes of every layer's input and the f32 scores, by the integer rule at the top."""
    codes = [np.clip(np.rint(images / layers[0].in_scale), 0, 255).astype(np.uint8)]
    for index, layer in enumerate(layers):
        acc = codes[-1].astype(np.int64) @ layer.weight.astype(np.int64) + layer.bias
        assert np.abs(acc).max() < 2**31
        if index == len(layers) - 1:
            return codes, acc.astype(F32) * layer.acc_scale
        multiplier = layer.acc_scale / layers[index + 1].in_scale
        scaled = np.maximum(acc, 0).astype(F32) * multiplier
        assert scaled.dtype == F32
        codes.append(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


# --- MLIR text -------------------------------------------------------------------------------------------------------


def literal(value):
    """An MLIR float literal: the shortest decimal that reads back, as f64 and so as f32, to exactly `value`."""
    text = repr(float(value))
    mantissa, e, exponent = text.partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + e + exponent


def wrapped(values, indent="    "):
    return fill(", ".join(values), 124, initial_indent=indent, subsequent_indent=indent)


def resource(name, array):
    """A weight at the end of the file: its alignment in four bytes, then its elements, all little endian."""
    array = array.astype(array.dtype.newbyteorder("<"))
    return f'      {name}: "0x{array.itemsize.to_bytes(4, "little").hex()}{array.tobytes().hex()}"'


def matmul_bias_relu(i, k, n, relu):
    """Layer i from %x{i} and %w{i}, %b{i} (all f32) to %y{i}."""
    text = f"""\
  %empty{i} = tensor.empty(%m) : tensor<?x{n}xf32>
  %init{i} = linalg.fill ins(%zero : f32) outs(%empty{i} : tensor<?x{n}xf32>) -> tensor<?x{n}xf32>
  %dot{i} = linalg.matmul ins(%x{i}, %w{i} : tensor<?x{k}xf32>, tensor<{k}x{n}xf32>)
                     outs(%init{i} : tensor<?x{n}xf32>) -> tensor<?x{n}xf32>
  %{'sum' if relu else 'y'}{i} = linalg.generic {{indexing_maps = [#rows, #bias, #rows], iterator_types = ["parallel", "parallel"]}}
      ins(%dot{i}, %b{i} : tensor<?x{n}xf32>, tensor<{n}xf32>) outs(%empty{i} : tensor<?x{n}xf32>) {{
  ^bb0(%a: f32, %b: f32, %out: f32):
    %r = arith.addf %a, %b : f32
    linalg.yield %r : f32
  }} -> tensor<?x{n}xf32>
"""
    if relu:
        text += f"""\
  %y{i} = linalg.generic {{indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]}}
      ins(%sum{i} : tensor<?x{n}xf32>) outs(%empty{i} : tensor<?x{n}xf32>) {{
  ^bb0(%a: f32, %out: f32):
    %r = arith.maximumf %a, %zero : f32
    linalg.yield %r : f32
  }} -> tensor<?x{n}xf32>
"""
    return text


def module(header, types, bodies, last, resources):
    return f"""\
{header}// Written by train.py; do not edit.

#rows = affine_map<(m, n) -> (m, n)>
#bias = affine_map<(m, n) -> (n)>
{types}
func.func @classify(%images: tensor<?x64xf32> {{qlow.name = "images", qlow.dims = ["m", 64]}})
    -> (tensor<?x10xf32> {{qlow.name = "scores", qlow.dims = ["m", 10]}})
    attributes {{qlow.range = {{m = [0, 65536]}}}} {{
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %m = tensor.dim %images, %c0 : tensor<?x64xf32>

{bodies}
  return %{last} : tensor<?x10xf32>
}}

{{-#
  dialect_resources: {{
    builtin: {{
{(","+chr(10)).join(resources)}
    }}
  }}
#-}}
"""


def emit_int8(layers, accuracy):
    types, bodies = "", []
    for i, layer in enumerate(layers, 1):
        k, n = layer.weight.shape
        types += f"""
// Layer {i}: its input, its weight (one scale per column), its bias (in units of the accumulator, input scale * weight scale).
!x{i} = !quant.uniform<u8:f32, {literal(layer.in_scale)}:0>
!w{i} = !quant.uniform<i8<-127:127>:f32:1, {{
{wrapped(map(literal, layer.weight_scale))}}}>
!b{i} = !quant.uniform<i32:f32:0, {{
{wrapped(map(literal, layer.acc_scale))}}}>
"""
        source = "images" if i == 1 else f"y{i - 1}"
        bodies.append(f"""\
  // Layer {i}: {k} -> {n}.
  %xq{i} = quant.qcast %{source} : tensor<?x{k}xf32> to tensor<?x{k}x!x{i}>
  %x{i} = quant.dcast %xq{i} : tensor<?x{k}x!x{i}> to tensor<?x{k}xf32>
  %wi{i} = arith.constant dense_resource<digits_w{i}> : tensor<{k}x{n}xi8>
  %wq{i} = quant.scast %wi{i} : tensor<{k}x{n}xi8> to tensor<{k}x{n}x!w{i}>
  %w{i} = quant.dcast %wq{i} : tensor<{k}x{n}x!w{i}> to tensor<{k}x{n}xf32>
  %bi{i} = arith.constant dense<[
{wrapped(map(str, layer.bias))}]> : tensor<{n}xi32>
  %bq{i} = quant.scast %bi{i} : tensor<{n}xi32> to tensor<{n}x!b{i}>
  %b{i} = quant.dcast %bq{i} : tensor<{n}x!b{i}> to tensor<{n}xf32>
{matmul_bias_relu(i, k, n, relu=i < len(layers))}""")
    header = f"""\
// The digits classifier, u8 activations x s8 weights: what a quantizing exporter writes (QDQ).  {accuracy}
"""
    return module(header, types, "\n".join(bodies), f"y{len(layers)}",
                  [resource(f"digits_w{i}", layer.weight) for i, layer in enumerate(layers, 1)])


def emit_f32(layers, accuracy):
    bodies = []
    for i, (weight, bias) in enumerate(layers, 1):
        k, n = weight.shape
        prologue = f"""\
  // Layer {i}: {k} -> {n}.
  %w{i} = arith.constant dense_resource<digits_w{i}> : tensor<{k}x{n}xf32>
  %b{i} = arith.constant dense<[
{wrapped(map(literal, bias))}]> : tensor<{n}xf32>
"""
        body = matmul_bias_relu(i, k, n, relu=i < len(layers))
        bodies.append(prologue + body.replace(f"%x{i}", "%images" if i == 1 else f"%y{i - 1}"))
    header = f"// The digits classifier in f32, the twin of digits.mlir.  {accuracy}\n"
    return module(header, "", "\n".join(bodies), f"y{len(layers)}",
                  [resource(f"digits_w{i}", weight) for i, (weight, _) in enumerate(layers, 1)])


# --- Files -----------------------------------------------------------------------------------------------------------


def main():
    digits = load_digits()
    seen, images, seen_labels, labels = train_test_split(
        digits.data.astype(F32), digits.target, test_size=HELD_OUT, stratify=digits.target, random_state=SEED)

    layers = train(seen, seen_labels)
    scores_f32 = run_f32(layers, images)[-1].astype(F32)
    quantized = quantize(layers, seen)
    codes, scores_int8 = run_int8(quantized, images)

    def accuracy(scores):
        right = int((scores.argmax(axis=1) == labels).sum())
        return f"Held-out accuracy: {right} of {len(labels)} ({100 * right / len(labels):.2f} %)."

    (HERE / "digits.mlir").write_text(emit_int8(quantized, accuracy(scores_int8)))
    (HERE / "digits_f32.mlir").write_text(emit_f32(layers, accuracy(scores_f32)))
    arrays = {"images": images, "labels": labels.astype(np.uint8), "scores_f32": scores_f32, "scores_int8": scores_int8,
              "codes_images": codes[0], "codes_hidden1": codes[1], "codes_hidden2": codes[2]}
    for name, array in arrays.items():
        np.save(HERE / f"{name}.npy", np.ascontiguousarray(array))

    print("f32: ", accuracy(scores_f32))
    print("int8:", accuracy(scores_int8))
    print("largest difference of a score:", np.abs(scores_f32 - scores_int8).max())


if __name__ == "__main__":
    main()
