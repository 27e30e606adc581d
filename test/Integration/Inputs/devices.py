"""Calls device objects, over a CUDA driver: the emulated one (ptx/libcuda.c), or with `use_gpu` the machine's own.

Buffers are allocations of the device. Where the driver is emulated, the emulator refuses an access beyond one; a GPU
does not, there the bytes on either side are compared after the call. All inputs are compared too.
"""

import ctypes
import os
import re
import subprocess
import sys

import numpy as np
from objects import CANARY, Library

INPUTS = os.path.dirname(os.path.abspath(__file__))
MARGIN = 256  # what the driver aligns to
use_gpu = False
opened = None


def build_driver(folder):
    """Compiles the emulated driver, where it is not there or older than its source; returns its path."""
    path, source = os.path.join(folder, "libcuda.so.1"), os.path.join(INPUTS, "ptx", "libcuda.c")
    server = os.path.join(INPUTS, "ptx", "server.py")
    newest = max(os.path.getmtime(each) for each in (source, os.path.join(INPUTS, "ptx", "connection.h")))
    if not os.path.exists(path) or os.path.getmtime(path) < newest:
        command = ["cc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-shared", "-fPIC"]
        command += ["-fvisibility=hidden", f'-DPYTHON="{sys.executable}"', f'-DSERVER="{server}"', source]
        subprocess.run([*command, "-Wl,-soname,libcuda.so.1", "-o", path, "-ldl", "-lpthread"], check=True)
    return path


class Driver:
    """libcuda.so.1 with a current context: a function that fails is an error."""

    def __init__(self, path):
        self.library, self.margin = ctypes.CDLL(path), MARGIN if use_gpu else 0
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def call(self, name, *arguments):
        result = getattr(self.library, name)(*arguments)
        if result:
            raise RuntimeError(f"{name} returned {result}")

    def copy_to(self, address, array):
        self.call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), array.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(array.nbytes))

    def copy_from(self, address, size):
        array = np.empty(size, np.uint8)
        self.call("cuMemcpyDtoH_v2", array.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint64(address), ctypes.c_size_t(size))
        return array


def open_driver(folder):
    """The driver of this process, one for all libraries: an object opens the same by its name."""
    global opened
    opened = opened or Driver("libcuda.so.1" if use_gpu else build_driver(folder))
    return opened


class Buffer:
    """Device memory that holds `data` (bytes), or CANARY."""

    def __init__(self, driver, size, data=None):
        self.driver, self.size, address = driver, size, ctypes.c_uint64()
        whole = np.full(max(1, size + 2 * driver.margin), CANARY, np.uint8)
        if data is not None:
            whole[driver.margin : driver.margin + size] = data
        driver.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(len(whole)))
        self.base, self.address = address.value, address.value + driver.margin
        driver.copy_to(self.base, whole)

    def read(self):
        """The bytes, and whether those beside them are as they were."""
        whole = self.driver.copy_from(self.base, max(1, self.size + 2 * self.driver.margin))
        margin = self.driver.margin
        return whole[margin : margin + self.size], bool((whole[:margin] == CANARY).all() and (whole[margin + self.size :] == CANARY).all())

    def free(self):
        self.driver.call("cuMemFree_v2", ctypes.c_uint64(self.base))


class DeviceLibrary(Library):
    """A Library whose entries take addresses of a device."""

    ways = [(True, 0)]

    def __init__(self, obj, prefix):
        super().__init__(obj, prefix)
        self.driver = open_driver(os.path.dirname(os.path.abspath(obj)))
        words = re.search(r"uint64_t state\[(\d+)\]", self.header).group(1)
        self.state = (ctypes.c_uint64 * int(words))()
        if code := self.library[f"{prefix}_load"](self.state, None):
            raise RuntimeError(f"{prefix}_load returned {code}: {self.strerror(code).decode()}")

    def call(self, function, dims, inputs, outputs, at_end, width=0):
        name = f"{self.prefix}_{function}"
        size = self.workspace(name, dims)
        if size < 0:
            return {}, [f"{name}_workspace returned {size}"]
        buffers = {field: Buffer(self.driver, array.nbytes, np.ascontiguousarray(array).reshape(-1).view(np.uint8))
                   for field, array in inputs.items()}
        for field, (shape, dtype) in outputs.items():
            buffers[field] = Buffer(self.driver, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        buffers["workspace"] = Buffer(self.driver, size)
        values = dict(dims, workspace_size=size, device=ctypes.addressof(self.state), stream=0)
        values.update((field, buffer.address) for field, buffer in buffers.items())
        members = self.members[name]  # every member takes eight bytes
        values["size"] = 8 * len(members)
        args = (ctypes.c_int64 * len(members))(*(values[member] for member in members))
        faults = []
        if code := self.library[name](ctypes.byref(args)):
            faults.append(f"returned {code}: {self.strerror(code).decode()}")
        self.driver.call("cuCtxSynchronize")
        results = {}
        for field, buffer in buffers.items():
            found, beside_is_whole = buffer.read()
            if not beside_is_whole:
                faults.append(f"wrote beside {field}")
            if field in inputs and found.tobytes() != np.ascontiguousarray(inputs[field]).tobytes():
                faults.append(f"wrote into its input {field}")
            if field in outputs:
                results[field] = found.view(outputs[field][1]).reshape(outputs[field][0])
            buffer.free()
        return results, faults


def open_library(obj, prefix):
    """A Library of the kind that the object's header declares."""
    with open(os.path.splitext(obj)[0] + ".h") as header:
        return (DeviceLibrary if f"{prefix}_load(" in header.read() else Library)(obj, prefix)
