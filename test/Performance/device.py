# How fast device objects are, beside PyTorch's kernels in the same run, and how near predictions come.
#
# Two steps, the first where qlowc is and the second where the GPU and PyTorch are:
#
#   device.py compile OUT [--only REGEX] [--candidates N] [--target sm_90]
#   device.py run OUT [--only REGEX] [--json FILE] [--rested]
#
# RUN: python3 %s compile %t --only "(int8|w4a16|fp8)-16x256x256$" --candidates 1 | FileCheck %s
# CHECK: compiled
#
# A case is one matmul with a constant weight. Its time is the median of replays of a CUDA graph of calls over rotated
# buffers, more than the second-level cache holds; so are PyTorch's, in turn with them. Some rows of the result are compared
# with f64 sums of the dequantized operands. `--candidates` also compiles the N cheapest of the other recipes that selection could have taken:
# what they take says how good its choice was. `--rested` times all of them once more, each in a millisecond or two after a
# rest: long runs bring the card to its limit of power, where its clock falls.

import argparse
import json
import lzma
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Integration", "Inputs"))

import ctypes
import numpy as np
from bytecode import write_model
from objects import Library, compile_module, link
from quantized import FORMATS, Type, canonical_block, round_to, tensor_type, to_f32

TILE = (128, 1024)  # weights repeat it: random, yet quickly written and small when compressed


class Kind:
    """What a case multiplies: types of both sides, the result's element and the peers' names."""

    def __init__(self, left, left_block, right, right_block, result, peers, scale="f32", zero=None, flags=()):
        self.left, self.left_block, self.right, self.right_block = left, left_block, right, right_block
        self.result, self.peers, self.scale, self.zero, self.flags = result, peers, scale, zero, flags


ROWS, ALL, GROUPS = [1, None], [None, None], [1, 128]
KINDS = {
    "int8": Kind("i8", ALL, "i8", ALL, "i32", ["_int_mm"]),
    "int8-f16": Kind("i8", ROWS, "i8", ROWS, "f16", ["_int_mm"]),
    "fp8": Kind("f8E4M3FN", ALL, "f8E4M3FN", ALL, "bf16", ["_scaled_mm"]),
    "fp8-fast": Kind("f8E4M3FN", ALL, "f8E4M3FN", ALL, "bf16", ["_scaled_mm fast"], flags=["--fast-sums"]),
    "fp8-rows": Kind("f8E4M3FN", ROWS, "f8E4M3FN", ROWS, "bf16", ["_scaled_mm"]),
    "fp8-blocks": Kind("f8E4M3FN", GROUPS, "f8E4M3FN", [128, 128], "bf16", ["_scaled_mm"]),
    "f16": Kind("f16", None, "f16", None, "f16", ["f16"]),
    "bf16": Kind("bf16", None, "bf16", None, "bf16", ["bf16"]),
    "w4a16": Kind("f16", None, "i4", GROUPS, "f16", ["f16"], scale="f16"),
    "w4a16-zeros": Kind("f16", None, "u4", GROUPS, "f16", ["f16"], scale="f16", zero="u4"),
    "w8a16": Kind("f16", None, "i8", GROUPS, "f16", ["f16"], scale="f16"),
    "nf4": Kind("f16", None, "nf4", [1, 64], "f16", ["f16"], scale="f16"),
    "mxfp4": Kind("f16", None, "f4E2M1FN", [1, 32], "f16", ["f16"], scale="f8E8M0FNU"),
    "nvfp4": Kind("f16", None, "f4E2M1FN", [1, 16], "f16", ["f16"], scale=Type(FORMATS["f8E4M3FN"], "f32")),
    "w4a32": Kind("f32", None, "i4", GROUPS, "f32", ["f32"], scale="f16"),
    "w4a4": Kind("u4", ALL, "i4", ALL, "i32", ["_int_mm"]),
    "signs": Kind("binary", ALL, "binary", ALL, "i32", ["_int_mm"]),
    "w4a8": Kind("i8", ROWS, "i4", GROUPS, "f16", ["_int_mm", "f16"], scale="f16"),
    "w4a8-zeros": Kind("i8", ROWS, "u4", GROUPS, "f16", ["_int_mm", "f16"], scale="f16", zero="u4"),
    "w4a8-32": Kind("i8", ROWS, "i4", [1, 32], "f16", ["_int_mm", "f16"], scale="f16"),
    "w4a8-columns": Kind("i8", ROWS, "i4", ROWS, "f16", ["_int_mm", "f16"]),
    "w4a8-groups": Kind("i8", GROUPS, "i4", GROUPS, "f16", ["_int_mm", "f16"], scale="f16"),
    "w8a8-groups": Kind("i8", GROUPS, "i8", GROUPS, "f16", ["_int_mm", "f16"]),
    "w4f8": Kind("f8E4M3FN", ROWS, "i4", GROUPS, "f16", ["f16"], scale="f16"),
}
SQUARES = [(8192, 8192, 8192), (4096, 4096, 4096), (2048, 4096, 4096)]
FEW = [(m, 4096, 4096) for m in (1, 16, 64, 128, 512)]
WIDE = [(m, 28672, 8192) for m in (1, 16, 64, 128, 2048)]
SUITE = {
    "int8": SQUARES + [(1024, 4096, 4096), *FEW, (1, 28672, 8192)],
    "int8-f16": SQUARES,
    "fp8": [*SQUARES, (128, 4096, 4096)],
    "fp8-fast": SQUARES,
    "fp8-rows": SQUARES,
    "fp8-blocks": [*SQUARES, (128, 4096, 4096)],
    "f16": SQUARES,
    "bf16": SQUARES[1:2],
    "w4a16": [*FEW, (8, 4096, 4096), (2048, 4096, 4096), *WIDE],
    "w4a16-zeros": [*FEW, (2048, 4096, 4096), *WIDE],
    "w8a16": [*FEW, (2048, 4096, 4096)],
    "nf4": [*FEW, (2048, 4096, 4096), *WIDE],
    "mxfp4": [*FEW, (2048, 4096, 4096), *WIDE],
    "nvfp4": [*FEW, (2048, 4096, 4096), *WIDE],
    "w4a32": [(1, 4096, 4096), (16, 4096, 4096), (512, 4096, 4096)],
    "w4a4": [(4096, 4096, 4096), (512, 4096, 4096), (16, 4096, 4096)],
    "signs": [(8192, 8192, 8192), (4096, 4096, 4096), (512, 4096, 4096), (16, 4096, 4096)],
    "w4a8": [*FEW, (2048, 4096, 4096), *WIDE],
    "w4a8-zeros": [(16, 4096, 4096), (128, 4096, 4096), (2048, 4096, 4096)],
    "w4a8-32": [(16, 4096, 4096), (128, 4096, 4096), (2048, 4096, 4096)],
    "w4a8-columns": [(16, 4096, 4096), (128, 4096, 4096), (2048, 4096, 4096)],
    "w4a8-groups": [(16, 4096, 4096), (128, 4096, 4096), (2048, 4096, 4096)],
    "w8a8-groups": [(16, 4096, 4096), (128, 4096, 4096), (2048, 4096, 4096)],
    "w4f8": [(16, 4096, 4096), (128, 4096, 4096), (2048, 4096, 4096)],
}

# Of models: tiles do not fill the chip, nor M tiles.
UNEVEN = {
    "int8": [(1536, 6144, 4096)],
    "int8-f16": [(200, 4096, 4096), (777, 14336, 4096)],
    "fp8": [(512, 11008, 4096), (1000, 5120, 5120)],
    "fp8-rows": [(384, 6144, 4096)],
    "fp8-blocks": [(1000, 7168, 4096)],
    "f16": [(2000, 3584, 3584)],
    "bf16": [(400, 14336, 4096)],
    "w4a16": [(33, 4096, 4096), (72, 3584, 18944), (96, 4096, 14336), (200, 3072, 7168), (768, 18944, 3584), (2500, 5120, 5120)],
    "w4a16-zeros": [(150, 28672, 8192), (1000, 11008, 4096)],
    "w8a16": [(70, 11008, 4096), (1500, 18944, 3584)],
    "nf4": [(180, 18944, 3584), (900, 11008, 4096)],
    "mxfp4": [(150, 4096, 14336), (1500, 6144, 4096)],
    "nvfp4": [(320, 14336, 4096)],
    "w4a8": [(150, 3584, 3584), (640, 5120, 13824)],
    "w4a8-columns": [(400, 5120, 5120), (1200, 4096, 14336)],
}


def cases(only):
    """(name, kind, m, n, k) of the suite's cases that `only` finds, and those of small shapes that it spells out."""
    for name, shapes in SUITE.items():
        for m, n, k in shapes + UNEVEN.get(name, []) + [(16, 256, 256)] * ("256x256" in only):
            label = f"{name}-{m}x{n}x{k}"
            if re.search(only, label):
                yield label, KINDS[name], m, n, k


class Weight:
    """The right side, N x K: codes and zero points that repeat TILE, scales of one or 2 to the 0, -1, -2 or -3."""

    def __init__(self, kind, n, k):
        numbers, self.shape = np.random.default_rng(7), (n, k)
        self.format = FORMATS.get(kind.right) if kind.right_block else None
        if not self.format:
            self.type, self.values = kind.right, round_to(kind.right, numbers.normal(0, 1, TILE))
            self.parts = [(kind.right, self.values, (n, k))]
            return
        block = canonical_block((n, k), kind.right_block)
        self.zero = FORMATS[kind.zero] if kind.zero else None
        self.type = Type(self.format, kind.scale, self.zero, block=block)
        spread = 1.5 if self.format.name == "f4E2M1FN" else 0.5 if self.format.is_codebook else 30
        self.codes = numbers.integers(0, self.format.count, TILE) if self.format.is_integer else self.format.encode(
            numbers.normal(0, spread, TILE).astype(np.float32))
        self.scale_shape = self.type.scale_shape((n, k)) if block else ()
        few = tuple(min(size, most) for size, most in zip(self.scale_shape, (128, 16)))
        repeats = tuple(-(-size // part) for size, part in zip(self.scale_shape, few))

        def repeat(draw):
            return np.tile(draw(few), repeats)[tuple(map(slice, self.scale_shape))] if few else draw(few)
        exponents = repeat(lambda shape: numbers.integers(-10, -6, shape))
        self.parts = [("i8", self.format.pack(self.codes), (n, k * self.format.bits // 8))]
        scales = np.exp2(exponents) * (1 if kind.scale == "f32" else repeat(lambda shape: numbers.uniform(1, 2, shape)))
        if isinstance(kind.scale, Type):  # codes, under one scale of all
            whole, format = np.float32(2.0**-10), kind.scale.format
            codes = format.encode((scales / whole).astype(np.float32))
            self.scales = format.values[codes] * whole
            self.parts += [("i8", format.pack(codes), self.scale_shape), (kind.scale.scale, whole, ())]
        else:
            stored = (exponents + 127).astype(np.uint8) if kind.scale == "f8E8M0FNU" else round_to(kind.scale, scales)
            self.scales = to_f32(kind.scale, stored)
            self.parts.append((kind.scale, stored, self.scale_shape))
        if self.zero:
            self.zeros = repeat(lambda shape: numbers.integers(0, 16, shape))
            packed = self.zero.pack(self.zeros)
            self.parts.append(("i8", packed, packed.shape))

    def blobs(self):
        def write(array, shape):
            def run(file, _):
                data = array if array.shape == tuple(shape) else np.tile(array, (1, -(-shape[1] // array.shape[1])))[:, : shape[1]]
                for first in range(0, shape[0] if shape else 1, len(data) if data.ndim else 1):
                    file.write((data[: shape[0] - first] if shape else data).tobytes())
            return int(np.prod(shape)) * array.itemsize, run
        return [write(array, shape) for _, array, shape in self.parts]

    def dequantized(self, torch):
        """N x K, f32, on the device."""
        n, k = self.shape
        spread = lambda x, h, w: torch.from_numpy(np.ascontiguousarray(x)).cuda().repeat_interleave(h, 0).repeat_interleave(w, 1)
        tile = self.format.values[self.codes] if self.format else to_f32(self.type, self.values)
        values = torch.from_numpy(np.ascontiguousarray(tile)).cuda().repeat(-(-n // TILE[0]), -(-k // TILE[1]))[:n, :k].contiguous()
        if not self.format:
            return values
        if not self.scale_shape:
            return values * float(self.scales)
        h, w = n // self.scale_shape[0], k // self.scale_shape[1]
        if self.zero:
            values -= spread(self.zero.values[self.zeros], h, w)
        return values.mul_(spread(self.scales, h, w))


def left_type(kind, m, k):
    return Type(FORMATS[kind.left], "f32", block=canonical_block((m, k), kind.left_block)) if kind.left_block else kind.left


def model(kind, weight, m, n, k, recipe):
    """The text of a module whose resources are the weight's parts."""
    x, w = tensor_type((m, k), left_type(kind, m, k)), tensor_type((n, k), weight.type)
    y = tensor_type((m, n), kind.result)
    body = ""
    for i, (element, _, shape) in enumerate(weight.parts):
        body += f"  %p{i} = arith.constant dense_resource<p{i}> : {tensor_type(shape, element)}\n"
    names, types = [f"%p{i}" for i in range(len(weight.parts))], [tensor_type(s, e) for e, _, s in weight.parts]
    if weight.format:
        body += f"  %w = qlow.compose {', '.join(names)} : ({', '.join(types)}) -> {w}\n"
    chosen = f" recipes <[{recipe}]>" if recipe else ""
    body += f"  %y = qlow.matmul transpose_rhs %x, {'%w' if weight.format else '%p0'}{chosen} : {x}, {w} -> {y}\n  return %y : {y}\n"
    resources = ", ".join(f'p{i}: "0x0100000001"' for i in range(len(weight.parts)))
    return (f'func.func @run(%x: {x} {{qlow.name = "x"}}) -> ({y} {{qlow.name = "y"}}) {{\n{body}}}\n'
            f"{{-# dialect_resources: {{ builtin: {{ {resources} }} }} #-}}\n")


def build(folder, case, recipe, target):
    """Makes m.so.xz, m.h and the report's entry."""
    label, kind, m, n, k = case
    os.makedirs(folder, exist_ok=True)
    source, obj, report = (os.path.join(folder, name) for name in ("model.mlirbc", "m.o", "report.json"))
    weight = Weight(kind, n, k)
    write_model(model(kind, weight, m, n, k, recipe), source, weight.blobs())
    compile_module(source, target, obj, "m", f"--explain={report}", *kind.flags)
    link(obj)
    with open(os.path.join(folder, "m.so"), "rb") as plain, lzma.open(os.path.join(folder, "m.so.xz"), "wb", preset=1) as packed:
        while piece := plain.read(1 << 22):
            packed.write(piece)
    for name in ("model.mlirbc", "model.mlirbc.mlir", "m.o", "m.so"):
        os.remove(os.path.join(folder, name))
    with open(report) as file:
        return json.load(file)[0]


def compile_all(options):
    for case in cases(options.only):
        folder = os.path.join(options.out, case[0])
        entry = build(folder, case, None, options.target)
        for number, other in enumerate(entry["candidates"][: options.candidates]):
            build(f"{folder}@{number}", case, other["recipe"], options.target)
        print(f"compiled {case[0]}: {entry['row']}, {entry['seconds'] * 1e6:.1f} us predicted", flush=True)


# ---- on the GPU ------------------------------------------------------------------------------------------------------


def copies_of(size):
    """Of a weight, which take turns: so many bytes that caches of 50 MB keep little until it is a copy's turn again."""
    return max(2, min(48, 400_000_000 // size))


class Replays:
    """A CUDA graph of `calls`, some times in turn."""

    def __init__(self, torch, stream, calls):
        self.torch, calls = torch, calls * (1 + 3 // len(calls))
        with torch.cuda.stream(stream):
            for call in calls:
                call()
        torch.cuda.synchronize()
        self.calls, self.count, self.graph = calls, len(calls), torch.cuda.CUDAGraph()  # calls hold what the graph reads
        with torch.cuda.graph(self.graph, stream=stream):
            for call in calls:
                call()
        self.us = self.once(0)

    def once(self, least):
        """Microseconds of a call, when the card's clocks are what as many calls made them, for `least` microseconds."""
        times = max(1, min(400, int(least / (self.us * self.count)))) if least else 1
        begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        for event in (begin, end):
            for _ in range(times):
                self.graph.replay()
            event.record()
        self.torch.cuda.synchronize()
        return begin.elapsed_time(end) * 1e3 / times / self.count


def median_times(all_replays, rested):
    """Microseconds of a call of each. They take turns, so that the card is as warm for all."""
    taken = [[] for _ in all_replays]
    for turn in range(5 if rested else 9):
        for number in range(len(all_replays))[:: 1 if turn % 2 else -1]:
            if rested:
                time.sleep(0.05)
            taken[number].append(all_replays[number].once(1e3 if rested else 25e3))
    return [statistics.median(times) for times in taken]


class Object:
    """A loaded object with `copies` of its weights on the device."""

    def __init__(self, torch, folder, copies):
        shared = os.path.join(folder, "m.so")
        with lzma.open(shared + ".xz") as packed, open(shared, "wb") as plain:
            while piece := packed.read(1 << 24):
                plain.write(piece)
        self.library = Library(os.path.join(folder, "m.o"), "m")
        os.remove(shared)
        words = int(re.search(r"uint64_t state\[(\d+)\]", self.library.header).group(1))
        self.states = [(ctypes.c_uint64 * words)() for _ in range(copies)]
        for state in self.states:
            if code := self.library.library["m_load"](state, None):
                raise RuntimeError(self.library.strerror(code).decode())
        self.torch, self.workspace = torch, torch.empty(self.library.workspace("m_run", {}) + 256, dtype=torch.uint8, device="cuda")

    def call(self, number, fields):
        members = self.library.members["m_run"]
        space = -(-self.workspace.data_ptr() // 256) * 256
        values = dict(size=8 * len(members), workspace_size=self.workspace.numel() - 256, workspace=space, device=ctypes.addressof(self.states[number]))
        values.update((name, tensor.data_ptr()) for name, tensor in fields.items())

        def run():
            values["stream"] = self.torch.cuda.current_stream().cuda_stream
            args = (ctypes.c_int64 * len(members))(*(values[member] for member in members))
            if code := self.library.library["m_run"](ctypes.byref(args)):
                raise RuntimeError(self.library.strerror(code).decode())
        return run

    def unload(self):
        for state in self.states:
            self.library.library["m_unload"](state)


class Left:
    """The left side: its fields and its values."""

    def __init__(self, torch, kind, m, k):
        torch.manual_seed(3)
        scale_shape = [m if kind.left_block and kind.left_block[0] == 1 else 1, k // 128 if kind.left_block == GROUPS else 1]
        if kind.left_block is None:
            self.codes = torch.randn(m, k, device="cuda").to({"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[kind.left])
            self.fields, self.values = {"x": self.codes}, self.codes.float()
            return
        packed, format = None, FORMATS[kind.left]
        if kind.left == "i8":
            self.codes = torch.randint(-128, 128, (m, k), device="cuda", dtype=torch.int8)
        elif format.bits < 8:
            codes = torch.randint(0, format.count, (m, k // (8 // format.bits), 8 // format.bits), device="cuda")
            packed = (codes << format.bits * torch.arange(8 // format.bits, device="cuda")).sum(-1).to(torch.uint8)
            self.codes = torch.from_numpy(format.values).cuda()[codes].reshape(m, k).to(torch.int8)
        else:
            self.codes = (torch.randn(m, k, device="cuda") * 30).to(torch.float8_e4m3fn)
        self.scale = torch.exp2(torch.randint(-10, -6, scale_shape, device="cuda").float())
        self.fields = {"x_codes": self.codes if packed is None else packed, "x_scale": self.scale}
        self.values = self.codes.float() * self.scale.repeat_interleave(m // scale_shape[0], 0).repeat_interleave(k // scale_shape[1], 1)


def error_of(torch, kind, left, weight, y):
    """Root mean square of the error by that of the right values, over some rows; infinite where integers differ."""
    rows = sorted({0, len(y) // 3, len(y) - 1})
    if kind.result == "i32":
        w = torch.from_numpy(weight.format.values[weight.codes]).cuda().repeat(-(-weight.shape[0] // TILE[0]), -(-weight.shape[1] // TILE[1]))
        want = left.codes[rows].double() @ w[: weight.shape[0], : weight.shape[1]].double().T
        return 0.0 if bool((y[rows].double() == want).all()) else float("inf")
    want = left.values[rows].double() @ weight.dequantized(torch).double().T
    return float((y[rows].double() - want).square().mean().sqrt() / want.square().mean().sqrt())


def peer_calls(torch, name, kind, left, weight, copies, m, n, k):
    """The peer's calls over `copies` of its weights."""
    out = {"i32": torch.int32, "bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[kind.result]
    if name in ("f16", "bf16", "f32"):
        element = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[name]
        x, w = left.values.to(element), weight.dequantized(torch).to(element)
        ws, y = [w.clone() for _ in range(copies)], torch.empty(m, n, dtype=element, device="cuda")
        return [lambda w=w: torch.matmul(x, w.T, out=y) for w in ws]
    if name == "_int_mm":
        x = left.codes if m > 16 else left.codes.repeat(32, 1)[:32].contiguous()
        ws = [torch.randint(-128, 128, (n, k), device="cuda", dtype=torch.int8) for _ in range(copies)]
        return [lambda w=w: torch._int_mm(x, w.T) for w in ws]
    ws = [(torch.randn(n, k, device="cuda") * 30).to(torch.float8_e4m3fn) for _ in range(copies)]
    ones = lambda *shape: torch.ones(*shape, device="cuda")
    if kind.left_block == ROWS:
        sx, sw = left.scale, ones(1, n)
    elif kind.left_block == GROUPS:  # rows, then columns, lie side by side
        sx, sw = left.scale.T.contiguous().T, ones(k // 128, n // 128).T.contiguous().T
    else:
        sx, sw = ones(()), ones(())
    fast = name.endswith("fast")
    return [lambda w=w: torch._scaled_mm(left.codes, w.T, scale_a=sx, scale_b=sw, out_dtype=out, use_fast_accum=fast) for w in ws]


def measure(torch, stream, options, case):
    label, kind, m, n, k = case
    folder = os.path.join(options.out, label)
    weight, left = Weight(kind, n, k), Left(torch, kind, m, k)
    element = {"i32": torch.int32, "bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[kind.result]
    y = torch.empty(m, n, dtype=element, device="cuda")
    size = sum(int(np.prod(shape)) * array.itemsize for _, array, shape in weight.parts)
    copies = copies_of(size)
    with open(os.path.join(folder, "report.json")) as file:
        entry = json.load(file)[0]
    line = {"name": label, "device": torch.cuda.get_device_name(), "m": m, "n": n, "k": k, "row": entry["row"],
            "predicted_us": entry["seconds"] * 1e6, "weight_bytes": size, "peers": {}, "candidates": []}
    others = [(f"{folder}@{number}", other) for number, other in enumerate(entry["candidates"])]
    others = [(path, other) for path, other in others if os.path.exists(f"{path}/report.json")]
    things, replays = [], []
    for path in [folder] + [path for path, _ in others]:
        things.append(Object(torch, path, copies))
        y.zero_()
        replays.append(Replays(torch, stream, [things[-1].call(number, {**left.fields, "y": y}) for number in range(copies)]))
        things[-1].error = error_of(torch, kind, left, weight, y)
    names = []
    for name in kind.peers:
        try:
            calls = peer_calls(torch, name, kind, left, weight, copies if name.startswith("_") else copies_of(2 * n * k), m, n, k)
            replays.append(Replays(torch, stream, calls))
            names.append(name)
        except RuntimeError as error:
            line["peers"][name] = str(error).splitlines()[0]
    taken = median_times(replays, rested=False)
    if options.rested:
        rested = median_times(replays, rested=True)
        line["rested_us"], line["rested_peers"] = rested[0], dict(zip(names, rested[len(things) :]))
    line["us"], line["error"] = taken[0], things[0].error
    line["peers"].update(zip(names, taken[len(things) :]))
    for (_, other), thing, us in zip(others, things[1:], taken[1:]):
        line["candidates"].append({"recipe": other["recipe"], "us": us, "error": thing.error, "predicted_us": other["seconds"] * 1e6})
    for thing in things:
        thing.unload()
    return line


def show(line):
    ratios = []
    for name, taken in line["peers"].items():
        ratios.append(f"{name}: {taken}" if isinstance(taken, str) else f"{name} {taken:.1f} ({taken / line['us']:.2f}x)")
    for name, taken in line.get("rested_peers", {}).items():
        ratios.append(f"rested {line['rested_us']:.1f} us, {name} {taken:.1f} ({taken / line['rested_us']:.2f}x)")
    best = min([line["us"], *(other["us"] for other in line["candidates"])])
    print(f"{line['name']:28} {line['us']:8.1f} us  predicted {line['predicted_us'] / line['us']:.2f}x  best {line['us'] / best:.2f}x  "
          f"weights {line['weight_bytes'] / line['us'] / 1e3:.0f} GB/s  {2e-6 * line['m'] * line['n'] * line['k'] / line['us']:.0f} TOPS  "
          f"error {line['error']:.1e}  {', '.join(ratios)}", flush=True)


def run_all(options):
    import torch
    torch.backends.cuda.matmul.allow_tf32 = False
    print(torch.cuda.get_device_name(), "PyTorch", torch.__version__, flush=True)
    stream, lines = torch.cuda.Stream(), []
    for case in cases(options.only):
        if not os.path.exists(os.path.join(options.out, case[0], "report.json")):
            continue
        try:
            lines.append(measure(torch, stream, options, case))
            show(lines[-1])
        except RuntimeError as error:
            print(f"{case[0]}: {str(error).splitlines()[0]}", flush=True)
        if options.json:
            with open(options.json, "w") as file:
                json.dump(lines, file, indent=1)
    within = [abs(line["predicted_us"] / line["us"] - 1) <= 0.25 for line in lines]
    print(f"{sum(within)} of {len(within)} predictions within 25 %", flush=True)
    if any(line["error"] > 5e-3 for line in lines):
        sys.exit("a result is wrong")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=["compile", "run"])
    parser.add_argument("out")
    parser.add_argument("--only", default="")
    parser.add_argument("--candidates", type=int, default=0)
    parser.add_argument("--target", default="sm_90")
    parser.add_argument("--json")
    parser.add_argument("--rested", action="store_true")
    options = parser.parse_args()
    (compile_all if options.step == "compile" else run_all)(options)


if __name__ == "__main__":
    main()
