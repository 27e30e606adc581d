# RUN: python3 %s %S/pipeline-closed.mlir
#
# What the pipeline makes of the closed list's ops computes what the reference evaluator computes: the same bits but for
# sums, also through loops that carry tensors, states, and with threads.

import ctypes
import os
import re
import subprocess
import sys
import tempfile

import numpy as np

model = sys.argv[1]
targets = ["generic"] + (["x86-64-v3"] if " avx2 " in open("/proc/cpuinfo").read() else [])
rng = np.random.default_rng(2)
f32 = lambda *shape: rng.standard_normal(shape).astype(np.float32)
bf16 = lambda *shape: (f32(*shape).view(np.uint32) >> 16).astype(np.uint16)
f16 = lambda *shape: f32(*shape).astype(np.float16)
C = {"float": ctypes.c_float, "double": ctypes.c_double, "uint16_t": ctypes.c_uint16, "uint8_t": ctypes.c_uint8,
     "int64_t": ctypes.c_int64, "int32_t": ctypes.c_int32, "size_t": ctypes.c_size_t, "int8_t": ctypes.c_int8}

# Function: sizes, inputs in order, shapes and types of the results, which result is the state of which input.
cases = [
    ("tensors", {"m": 6}, [f32(6, 8), np.int64(1)], [((6, 12), "f4"), ((4, 4), "f4"), ((16,), "f4"), ((6, 2, 4), "f4"), ((3, 5), "f4"), ((2, 3), "i4")], {}),
    ("joined", {"n": 3}, [f32(2, 8), f32(3, 8), np.array([4, 4], np.int32), np.float32(7), np.int64(1)], [((5, 8), "f4"), ((4, 4), "f4"), ((2, 8), "f4"), ((2,), "f4"), ((3, 8), "f4")], {}),
    ("empty", {"m": 3}, [f32(0, 4), f32(2, 4), f32(3, 0), f32(3, 3)], [((2, 4), "f4"), ((3, 4), "f4"), ((0, 4), "f4"), ((3, 3), "f4"), ((3, 5), "f4"), ((3, 0), "f4")], {}),
    ("structured", {"m": 5}, [f32(5, 16), bf16(5, 16), f16(16, 4)], [((5, 16), "f4"), ((16, 5), "f4"), ((5, 4), "f4"), ((5, 16), "u2")], {}),
    ("structured", {"m": 0}, [f32(0, 16), bf16(0, 16), f16(16, 4)], [((0, 16), "f4"), ((16, 0), "f4"), ((0, 4), "f4"), ((0, 16), "u2")], {}),
    ("elementwise", {"m": 3}, [f32(3, 8), f32(3, 8), np.bool_(1)], [((3, 8), "f4"), ((3, 8), "i1"), ((3, 8), "f4")], {}),
    ("elementwise", {"m": 1}, [f32(1, 8), f32(1, 8), np.bool_(0)], [((1, 8), "f4"), ((1, 8), "i1"), ((1, 8), "f4")], {}),
    ("batches", {"a": 3, "b": 5}, [f32(3, 5, 4)], [((3, 5, 8), "f4")], {}),
    ("batches", {"a": 3, "b": 0}, [f32(3, 0, 4)], [((3, 0, 8), "f4")], {}),
] + [
    ("control", {}, [np.abs(f32(4, 8)) * np.float32(0.1), np.int64(n), np.bool_(c), np.int32(s), f32(16, 8)], [((4, 8), "f4")] * 4 + [((16, 8), "f4")], {4: 4})
    for n, c, s in ((0, 0, 0), (1, 1, 1), (2, 0, 3), (3, 1, 0))
] + [
    ("scalars", {}, [np.int32(i), np.int64(l), np.float32(x), np.float64(d), np.float16(h), np.uint16(b), np.int64(n)], [((), t) for t in ("i4", "i8", "f4", "f8", "f2", "u2", "i8", "i1")], {})
    for i, l, x, d, h, b, n in ((7, 5, 2.5, 2.5, 1.5, 0x3fc0, 3), (-9, 1 << 40, 0.75, 1e-3, 6, 0x4080, 17))
]


def struct_of(header, name):
    body = re.search(r"typedef struct \w+_%s_args \{(.*?)\} \w+;" % name, header, re.S).group(1)
    fields = []
    for kind, pointer, field in re.findall(r"^\s*(?:const )?(\w+) (\*?)(\w+);", body, re.M):
        fields.append((field, ctypes.c_void_p if pointer else C[kind]))
    return type("Args", (ctypes.Structure,), {"_fields_": fields})


def reference(name, inputs, results, folder):
    files = []
    for i, value in enumerate(inputs):
        files.append(os.path.join(folder, "in%d.npy" % i))
        np.save(files[-1], value)
    outs = [os.path.join(folder, "out%d.npy" % i) for i in range(len(results))]
    command = ["qlow-run", "--reference=" + model, "--function=" + name] + files
    for out in outs:
        command += ["-o", out]
    subprocess.run(command, check=True)
    return [np.load(out) for out in outs]


TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, TASK, ctypes.c_void_p, ctypes.c_int64)


class Parallel(ctypes.Structure):
    _fields_ = [("run", RUN), ("self", ctypes.c_void_p), ("width", ctypes.c_int32)]


def run_backwards(self, body, arg, n):
    for i in reversed(range(n)):
        body(arg, i)


def call(library, header, name, sizes, inputs, results, states, parallel):
    args = struct_of(header, name)()
    outs = [np.zeros(shape, kind) for shape, kind in results]
    keep = [np.array(value, copy=True) for value in inputs]
    for result, source in states.items():
        outs[result] = keep[source]
    values = iter(keep + [out for i, out in enumerate(outs) if i not in states])
    width = 3 if parallel else 1
    bytes_needed = getattr(library, "m_%s_workspace" % name)
    bytes_needed.restype = ctypes.c_int64
    need = bytes_needed(*[ctypes.c_int64(v) for v in sizes.values()], ctypes.c_int32(width))
    memory = np.zeros(need + 64, np.uint8)
    for field, kind in args._fields_:
        if field == "size":
            args.size = ctypes.sizeof(args)
        elif field in sizes:
            setattr(args, field, sizes[field])
        elif field == "workspace":
            args.workspace = memory.ctypes.data + -memory.ctypes.data % 64
        elif field == "workspace_size":
            args.workspace_size = need
        elif field == "parallel":
            args.parallel = ctypes.addressof(parallel) if parallel else None
        else:
            value = next(values)
            bits = value.view(np.uint16) if value.dtype == np.float16 else value
            setattr(args, field, value.ctypes.data if kind == ctypes.c_void_p else bits.item())
    code = getattr(library, "m_" + name)(ctypes.byref(args))
    assert code == 0, "%s returned %d" % (name, code)
    return outs


with tempfile.TemporaryDirectory() as folder:
    for target in targets:
        obj = os.path.join(folder, "m.o")
        subprocess.run(["qlowc", model, "-target=" + target, "-prefix=m", "-o", obj], check=True)
        shared = os.path.join(folder, target + ".so")
        subprocess.run(["ld.lld", "-shared", "-o", shared, obj], check=True)
        library, header = ctypes.CDLL(shared), open(os.path.join(folder, "m.h")).read()
        for name, sizes, inputs, results, states in cases:
            expected = reference(name, inputs, results, folder)
            for parallel in (None, Parallel(RUN(run_backwards), None, 3)):
                got = call(library, header, name, sizes, inputs, results, states, parallel)
                for i, (g, e) in enumerate(zip(got, expected)):
                    e = np.asarray(e).reshape(g.shape)
                    if name == "structured" and g.dtype == np.float32:  # sums, in an order that nobody fixes
                        assert np.allclose(g, e, rtol=1e-6, atol=1e-6), "%s of %s, result %d" % (name, target, i)
                        continue
                    same = g.tobytes() == e.astype(g.dtype).tobytes() if g.dtype == e.dtype else g.tobytes() == e.tobytes()
                    assert same, "%s of %s, result %d: got\n%r, expected\n%r" % (name, target, i, g, e)
