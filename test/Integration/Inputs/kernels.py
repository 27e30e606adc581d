"""Runs a kernel of PTX text over numpy arrays: in the emulator, or (`--gpu`) on the machine's own GPU through the CUDA driver.

Tests of the emulator state what PTX says must come out; on a machine with a GPU the same tests ask the chip. Where ptxas is
found, every text is assembled too.
"""

import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass

os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ptx
from ptx import tensormap

ON_GPU = "--gpu" in sys.argv
PTXAS = shutil.which("ptxas") or shutil.which("/usr/local/cuda/bin/ptxas")
HEADER = ".version 8.4\n.target sm_90a\n.address_size 64\n"
UNWRITTEN = 0x5A  # bytes of an output that the kernel does not write
texts = []  # all that ran, for assemble()


@dataclass
class Map:
    """A kernel argument: a tensor map over the array that is argument number `of`. Dimensions innermost first."""

    of: int
    dtype: object
    dims: tuple
    box: tuple
    strides: tuple = None  # bytes; None: dense
    swizzle: int = 0
    fill: int = 0

    def encode_arguments(self):
        data_type = tensormap.DATA_TYPES[np.dtype(self.dtype).name]
        strides = self.strides or np.cumprod([tensormap.SIZES[data_type], *self.dims[:-1]])[1:].tolist()
        return data_type, list(self.dims), list(strides), list(self.box), {0: 0, 32: 1, 64: 2, 128: 3}[self.swizzle]


def kernel(body, params=1, head="", name="k", block=None):
    """A kernel whose parameters p0, p1, ... are 64-bit pointers, in registers of the same name."""
    declared = ",\n".join(f".param .u64 k_param_{number}" for number in range(params))
    loads = "".join(f".reg .b64 p{number};\nld.param.b64 p{number}, [k_param_{number}];\n" for number in range(params))
    required = f".reqntid {block}, 1, 1\n" if block else ""
    return f"{HEADER}{head}\n.visible .entry {name}(\n{declared}\n)\n{required}{{\n{loads}{body}\nret;\n}}\n"


def run(text, grid, block, args, shared=0, cluster=None, name="k", **options):
    """The arrays among the arguments as the kernel leaves them."""
    texts.append(text)
    if ON_GPU:
        return run_on_gpu(text, name, grid, block, args, shared, cluster)
    device = ptx.Device()
    buffers = {number: device.buffer(arg, f"argument {number}") for number, arg in enumerate(args) if isinstance(arg, np.ndarray)}
    values = []
    for number, arg in enumerate(args):
        if isinstance(arg, Map):
            buffer = buffers[arg.of]
            values.append(device.tensor_map(buffer, arg.dtype, arg.dims, arg.box, arg.strides, arg.swizzle, arg.fill))
        else:
            values.append(buffers.get(number, arg))
    device.load(text, "test.ptx").launch(name, grid, block, values, shared, cluster, **options)
    return [buffers[number].read(args[number].dtype, args[number].shape) for number in buffers]


def output(shape, dtype):
    return np.full(int(np.prod(shape)) * np.dtype(dtype).itemsize, UNWRITTEN, np.uint8).view(dtype).reshape(shape)


def fails(pattern, text, *args, **options):
    """The emulator refuses it, with these words. The chip is not asked, nor is ptxas."""
    if ON_GPU:
        return
    try:
        run(text, *args, **options)
    except ptx.PtxError as error:
        assert re.search(pattern, str(error), re.S), f"expected /{pattern}/, found: {error}"
        return
    finally:
        texts.remove(text)
    raise AssertionError(f"expected an error /{pattern}/, found none")


def assemble():
    """ptxas takes every text that ran, for the target that it names; those of kernel() in one go."""
    if not PTXAS:
        return
    ours = [text for text in dict.fromkeys(texts) if text.startswith(HEADER)]
    whole = HEADER + "".join(text[len(HEADER) :].replace(".entry k(", f".entry k{number}(") for number, text in enumerate(ours))
    with tempfile.TemporaryDirectory() as folder:
        for text in [whole] + [text for text in dict.fromkeys(texts) if text not in ours]:
            path = os.path.join(folder, "in.ptx")
            with open(path, "w") as file:
                file.write(text)
            target = re.search(r"^\.target (\w+)", text, re.M)[1]
            result = subprocess.run(
                [PTXAS, f"-arch={target}", path, "-o", os.path.join(folder, "out.cubin")], capture_output=True, text=True
            )
            lines = "".join(f"{number:5} {line}\n" for number, line in enumerate(text.split("\n"), 1))
            assert result.returncode == 0, f"{lines}{result.stderr}"


def main(cases):
    """Runs the functions whose names begin with test_."""
    failed = 0
    wanted = [arg for arg in sys.argv[1:] if not arg.startswith("-")]
    for name, test in cases.items():
        if not name.startswith("test_") or (wanted and name not in wanted):
            continue
        try:
            test()
        except Exception as error:
            failed += 1
            print(f"{name}: {error}", file=sys.stderr)
            traceback.print_exc()
    if not ON_GPU and not wanted and not failed:
        assemble()
    sys.exit(failed > 0)


# ---- the machine's GPU ------------------------------------------------------------------------------------------------

driver = None


def call(name, *arguments):
    result = getattr(driver, name)(*arguments)
    assert result == 0, f"{name} returned {result}"


def open_driver():
    global driver
    if driver is None:
        driver = ctypes.CDLL("libcuda.so.1")
        device, context = ctypes.c_int(), ctypes.c_void_p()
        call("cuInit", 0)
        call("cuDeviceGet", ctypes.byref(device), 0)
        call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        call("cuCtxSetCurrent", context)


class LaunchAttribute(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint), ("pad", ctypes.c_uint), ("value", ctypes.c_uint * 16)]


class LaunchConfig(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(LaunchAttribute)),
        ("count", ctypes.c_uint),
    ]


def tensor_map_on_gpu(map_, address):
    data_type, dims, strides, box, swizzle = map_.encode_arguments()
    storage = ctypes.create_string_buffer(256)
    place = (ctypes.addressof(storage) + 63) // 64 * 64
    numbers = [
        (ctypes.c_uint64 * 5)(*dims),
        (ctypes.c_uint64 * 5)(*strides),
        (ctypes.c_uint32 * 5)(*box),
        (ctypes.c_uint32 * 5)(*[1] * 5),
    ]
    call(
        "cuTensorMapEncodeTiled",
        ctypes.c_void_p(place),
        data_type,
        len(dims),
        ctypes.c_void_p(address),
        *numbers,
        0,
        swizzle,
        0,
        map_.fill,
    )
    return storage, place


def run_on_gpu(text, name, grid, block, args, shared, cluster):
    open_driver()
    module, function, kept, pointers = ctypes.c_void_p(), ctypes.c_void_p(), [], []
    call("cuModuleLoadData", ctypes.byref(module), text.encode() + b"\0")
    call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
    if shared > 48 << 10:
        call("cuFuncSetAttribute", function, 8, shared)
    arrays = {}
    for number, arg in enumerate(args):
        if isinstance(arg, np.ndarray):
            arrays[number] = ctypes.c_uint64()
            call("cuMemAlloc_v2", ctypes.byref(arrays[number]), ctypes.c_size_t(arg.nbytes + 16))
            call(
                "cuMemcpyHtoD_v2",
                arrays[number],
                np.ascontiguousarray(arg).ctypes.data_as(ctypes.c_void_p),
                ctypes.c_size_t(arg.nbytes),
            )
    for number, arg in enumerate(args):
        if isinstance(arg, Map):
            kept.append(tensor_map_on_gpu(arg, arrays[arg.of].value))
            pointers.append(kept[-1][1])
        else:
            kept.append(arrays.get(number) or ctypes.create_string_buffer(np.asarray(arg).tobytes()))
            pointers.append(ctypes.addressof(kept[-1]))
    three = [tuple(np.atleast_1d(shape)) + (1,) * (3 - np.size(shape)) for shape in (grid, block, cluster or 1)]
    attribute = LaunchAttribute(4, 0, (ctypes.c_uint * 16)(*map(int, three[2])))
    config = LaunchConfig(
        (ctypes.c_uint * 3)(*map(int, three[0])),
        (ctypes.c_uint * 3)(*map(int, three[1])),
        shared,
        None,
        ctypes.pointer(attribute),
        int(bool(cluster)),
    )
    call("cuLaunchKernelEx", ctypes.byref(config), function, (ctypes.c_void_p * len(pointers))(*pointers), None)
    call("cuCtxSynchronize")
    results = []
    for number, arg in enumerate(args):
        if isinstance(arg, np.ndarray):
            result = np.empty_like(np.ascontiguousarray(arg))
            call("cuMemcpyDtoH_v2", result.ctypes.data_as(ctypes.c_void_p), arrays[number], ctypes.c_size_t(arg.nbytes))
            call("cuMemFree_v2", arrays[number])
            results.append(result)
    call("cuModuleUnload", module)
    return results
