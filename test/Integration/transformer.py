# A transformer block, attention and norms as upstream linalg, its projections and MLP int8 with activations quantized row
# by row while it runs: objects compute what numpy does, on every processor this machine can run and on devices in the
# emulator.
#
# RUN: python3 %s %t
#
# On a GPU: --compile-only here, `--reuse --gpu` there. One target alone: --target=NAME
#
# Sums and functions of floats may differ in their last places, so that a code may be the neighbour of what numpy rounds
# to: a step of an activation is 1/127 of its row's largest value, and few may be off.

import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))
import devices
import numpy as np
from objects import Library, compile_module, link, registered_targets
from samples import is_device

HEADS, WIDTH, HIDDEN = 2, 16, 80
MODEL = HEADS * WIDTH
F32 = np.float32
random = np.random.default_rng(7)
WEIGHTS = {name: (random.integers(-127, 128, shape).astype(np.int8), random.uniform(0.002, 0.006, (1, shape[1])).astype(F32))
           for name, shape in dict(q=(MODEL, MODEL), k=(MODEL, MODEL), v=(MODEL, MODEL), o=(MODEL, MODEL),
                                   up=(MODEL, HIDDEN), down=(HIDDEN, MODEL)).items()}
GAINS = {name: random.uniform(0.5, 1.5, MODEL).astype(F32) for name in ("before", "between")}


# ---- MLIR ------------------------------------------------------------------------------------------------------------


class Writer:
    def __init__(self):
        self.lines, self.count = [], 0

    def emit(self, text):
        self.lines.append("  " + text)

    def value(self, text):
        self.count += 1
        self.emit(f"%v{self.count} = {text}")
        return f"%v{self.count}"

    def constant(self, array, element):
        shape = "".join(f"{size}x" for size in array.shape)
        return self.value(f'arith.constant dense<"0x{array.tobytes().hex()}"> : tensor<{shape}{element}>')

    def generic(self, maps, iterators, inputs, types, out, out_type, body):
        """`maps` of the inputs and of the result, over (a, b, ..) as many as iterators; body names e0, .. and o."""
        dims = ", ".join("abcd"[: len(iterators)])
        listed = ", ".join(f"affine_map<({dims}) -> ({', '.join(each)})>" for each in maps)
        kinds = ", ".join('"parallel"' if kind == "p" else '"reduction"' for kind in iterators)
        arguments = "".join(f"%e{i}: f32, " for i in range(len(inputs)))
        return self.value(f"linalg.generic {{indexing_maps = [{listed}], iterator_types = [{kinds}]}} "
                          f"ins({', '.join(inputs)} : {', '.join(types)}) outs({out} : {out_type}) {{\n"
                          f"  ^bb0({arguments}%o: f32):\n{body}\n  }} -> {out_type}")

    def empty(self, type_, sizes):
        return self.value(f"tensor.empty({sizes}) : {type_}")

    def filled(self, type_, sizes, number):
        scalar = self.value(f"arith.constant {number} : f32")
        return self.value(f"linalg.fill ins({scalar} : f32) outs({self.empty(type_, sizes)} : {type_}) -> {type_}")

    def norm(self, x, gain):
        """x / sqrt(mean(x^2) + 1e-5) * gain"""
        type_, row = f"tensor<?x{MODEL}xf32>", "tensor<?xf32>"
        square = self.generic(["ab", "a"], "pr", [x], [type_], self.filled(row, "%m", "0.0"), row,
                              "    %s = arith.mulf %e0, %e0 : f32\n    %t = arith.addf %o, %s : f32\n    linalg.yield %t : f32")
        return self.generic(["ab", "a", "b", "ab"], "pp", [x, square, self.constant(gain, "f32")], [type_, row, f"tensor<{MODEL}xf32>"],
                            self.empty(type_, "%m"), type_,
                            f"    %n = arith.constant {float(MODEL)} : f32\n    %eps = arith.constant 1.0e-05 : f32\n"
                            "    %mean = arith.divf %e1, %n : f32\n    %a = arith.addf %mean, %eps : f32\n"
                            "    %r = math.sqrt %a : f32\n    %d = arith.divf %e0, %r : f32\n    %g = arith.mulf %d, %e2 : f32\n"
                            "    linalg.yield %g : f32")

    def project(self, x, width, name):
        """x quantized row by row, times a weight."""
        codes, scale = WEIGHTS[name]
        columns = codes.shape[1]
        weight = f"tensor<{width}x{columns}x!qlow.q<i8 : f32, block = [*, 1]>>"
        activation = f"tensor<?x{width}x!qlow.q<i8 : f32, block = [1, *]>>"
        w = self.value(f"qlow.compose {self.constant(codes, 'i8')}, {self.constant(scale, 'f32')} : "
                       f"(tensor<{width}x{columns}xi8>, tensor<1x{columns}xf32>) -> {weight}")
        a = self.value(f"qlow.quantize_dynamic {x} : tensor<?x{width}xf32> -> {activation}")
        return self.value(f"qlow.matmul {a}, {w} : {activation}, {weight} -> tensor<?x{columns}xf32>")

    def heads(self, x):
        """[m, heads * width] as [heads, m, width]"""
        split = f"tensor<?x{HEADS}x{WIDTH}xf32>"
        type_ = f"tensor<{HEADS}x?x{WIDTH}xf32>"
        x = self.value(f"tensor.expand_shape {x} [[0], [1, 2]] output_shape [%m, {HEADS}, {WIDTH}] : "
                       f"tensor<?x{MODEL}xf32> into {split}")
        return self.generic(["bac", "abc"], "ppp", [x], [split], self.empty(type_, "%m"), type_, "    linalg.yield %e0 : f32")

    def attention(self, q, k, v):
        head, scores, row = f"tensor<{HEADS}x?x{WIDTH}xf32>", f"tensor<{HEADS}x?x?xf32>", f"tensor<{HEADS}x?xf32>"
        s = self.generic(["abd", "acd", "abc"], "pppr", [q, k], [head, head], self.filled(scores, "%m, %m", "0.0"), scores,
                         "    %p = arith.mulf %e0, %e1 : f32\n    %t = arith.addf %o, %p : f32\n    linalg.yield %t : f32")
        most = self.generic(["abc", "ab"], "ppr", [s], [scores], self.filled(row, "%m", "0xFF800000"), row,
                            "    %t = arith.maximumf %o, %e0 : f32\n    linalg.yield %t : f32")
        e = self.generic(["abc", "ab", "abc"], "ppp", [s, most], [scores, row], self.empty(scores, "%m, %m"), scores,
                         f"    %f = arith.constant {1 / np.sqrt(WIDTH)} : f32\n    %d = arith.subf %e0, %e1 : f32\n"
                         "    %g = arith.mulf %d, %f : f32\n    %t = math.exp %g : f32\n    linalg.yield %t : f32")
        total = self.generic(["abc", "ab"], "ppr", [e], [scores], self.filled(row, "%m", "0.0"), row,
                             "    %t = arith.addf %o, %e0 : f32\n    linalg.yield %t : f32")
        p = self.generic(["abc", "ab", "abc"], "ppp", [e, total], [scores, row], self.empty(scores, "%m, %m"), scores,
                         "    %t = arith.divf %e0, %e1 : f32\n    linalg.yield %t : f32")
        out = self.generic(["abd", "adc", "abc"], "pppr", [p, v], [scores, head], self.filled(head, "%m", "0.0"), head,
                           "    %p = arith.mulf %e0, %e1 : f32\n    %t = arith.addf %o, %p : f32\n    linalg.yield %t : f32")
        split = f"tensor<?x{HEADS}x{WIDTH}xf32>"
        back = self.generic(["bac", "abc"], "ppp", [out], [head], self.empty(split, "%m"), split, "    linalg.yield %e0 : f32")
        return self.value(f"tensor.collapse_shape {back} [[0], [1, 2]] : {split} into tensor<?x{MODEL}xf32>")

    def function(self):
        type_, hidden = f"tensor<?x{MODEL}xf32>", f"tensor<?x{HIDDEN}xf32>"
        self.emit("%zero = arith.constant 0 : index")
        self.emit(f"%m = tensor.dim %x, %zero : {type_}")
        n = self.norm("%x", GAINS["before"])
        q, k, v = (self.heads(self.project(n, MODEL, name)) for name in "qkv")
        x = self.value(f"arith.addf %x, {self.project(self.attention(q, k, v), MODEL, 'o')} : {type_}")
        up = self.project(self.norm(x, GAINS["between"]), MODEL, "up")
        active = self.generic(["ab", "ab"], "pp", [up], [hidden], self.empty(hidden, "%m"), hidden,
                              "    %h = arith.constant 0.5 : f32\n    %r = arith.constant 0.70710678 : f32\n"
                              "    %one = arith.constant 1.0 : f32\n    %s = arith.mulf %e0, %r : f32\n    %e = math.erf %s : f32\n"
                              "    %p = arith.addf %e, %one : f32\n    %a = arith.mulf %e0, %h : f32\n"
                              "    %t = arith.mulf %a, %p : f32\n    linalg.yield %t : f32")
        y = self.value(f"arith.addf {x}, {self.project(active, HIDDEN, 'down')} : {type_}")
        body = "\n".join(self.lines)
        return (f'func.func @block(%x: {type_} {{qlow.name = "x", qlow.dims = ["m", {MODEL}]}})\n'
                f'    -> ({type_} {{qlow.name = "y", qlow.dims = ["m", {MODEL}]}}) {{\n{body}\n  return {y} : {type_}\n}}\n')


# ---- numpy -----------------------------------------------------------------------------------------------------------


def erf(x):
    """To 1.2e-7: Numerical Recipes, 6.2.2."""
    t = 1 / (1 + 0.5 * np.abs(x))
    series = np.polyval([0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196,
                         1.00002368, -1.26551223], t)
    return np.sign(x) * (1 - t * np.exp(series - x * x))


def norm(x, gain):
    return (x / np.sqrt((x.astype(np.float64) ** 2).mean(axis=1, keepdims=True) + 1e-5) * gain).astype(F32)


def project(x, name):
    codes, scale = WEIGHTS[name]
    step = np.abs(x).max(axis=1, keepdims=True).astype(F32) / F32(127)
    step[step == 0] = 1
    a = np.clip(np.rint(x / step), -127, 127)
    return ((a @ codes.astype(np.float64)).astype(F32) * (step * scale)).astype(F32)


def expected(x):
    if not len(x):
        return x
    n = norm(x, GAINS["before"])
    q, k, v = (project(n, name).reshape(-1, HEADS, WIDTH).transpose(1, 0, 2).astype(np.float64) for name in "qkv")
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(WIDTH)
    e = np.exp(scores - scores.max(axis=2, keepdims=True))
    attended = ((e / e.sum(axis=2, keepdims=True)) @ v).transpose(1, 0, 2).reshape(-1, MODEL).astype(F32)
    x = x + project(attended, "o")
    up = project(norm(x, GAINS["between"]), "up").astype(np.float64)
    return x + project((0.5 * up * (1 + erf(up * 0.70710678))).astype(F32), "down")


# ---- runs ------------------------------------------------------------------------------------------------------------


def check(library, target):
    worst = 0
    for m in (1, 5, 33, 0):
        x = np.random.default_rng(m).normal(0, 1, (m, MODEL)).astype(F32)
        got, faults = library.call("block", {"m": m}, {"x": x}, {"y": ((m, MODEL), F32)}, True)
        assert not faults, faults
        error = np.abs(got["y"] - expected(x))
        # A code that is the neighbour's moves what follows by its step times a weight, here at most 0.03.
        assert error.max(initial=0) < 0.1 and np.median(error) < 1e-4 if m else True, (m, error.max(), np.median(error))
        worst = max(worst, error.max(initial=0))
    print(f"{target}: off by at most {worst:.1e}")


def main():
    out, *options = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    path = os.path.join(out, "block.mlir")
    with open(path, "w") as file:
        file.write(Writer().function())
    devices.use_gpu = "--gpu" in options
    chosen = [option.split("=")[1] for option in options if option.startswith("--target=")]
    ours = ["sm_80", "sm_90"] if {"--gpu", "--compile-only"} & set(options) else [*registered_targets(), "sm_80", "sm_90"]
    for target in chosen or ours:
        obj = os.path.join(out, target, "block.o")
        if "--reuse" not in options:
            flags = ["--no-ptxas"] if is_device(target) and "--compile-only" not in options else []
            link(compile_module(path, target, obj, "block", *flags))
        if "--compile-only" in options:
            continue
        if not is_device(target) and not Library(obj, "block").runs_here():
            print(f"{target}: not for this machine")
            continue
        check(devices.open_library(obj, "block"), target)


main()
