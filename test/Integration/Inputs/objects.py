"""Compiles modules with qlowc, loads the objects into this process and calls their entries between guard pages.

What an entry takes is read from the header that comes with the object, so the header is tested too. Every buffer lies in
pages of its own between two that can not be touched, flush with the one behind it or the one before it: a byte read or
written too far ends the process with SIGSEGV. The bytes between a buffer and the far end of its pages are compared
after the call, and so are all inputs.
"""

import ctypes
import mmap
import os
import re
import subprocess
import tempfile

import numpy as np

PAGE = mmap.PAGESIZE
CANARY = 0xA5
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Guarded:
    """`size` bytes that end (or begin) where a page begins (or ends) that faults; `align` moves the end down."""

    def __init__(self, size, at_end, align=1):
        self.pages = max(1, -(-size // PAGE)) * PAGE
        self.base = libc.mmap(None, self.pages + 2 * PAGE, mmap.PROT_READ | mmap.PROT_WRITE,
                              mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        for guard in (self.base, self.base + PAGE + self.pages):
            assert libc.mprotect(guard, PAGE, 0) == 0
        self.offset = (self.pages - size) // align * align if at_end else 0
        self.address = self.base + PAGE + self.offset
        self.whole = np.frombuffer((ctypes.c_uint8 * self.pages).from_address(self.base + PAGE), np.uint8)
        self.whole[:] = CANARY
        self.bytes = self.whole[self.offset : self.offset + size]

    def slack_is_whole(self):
        after = self.offset + len(self.bytes)
        return (self.whole[: self.offset] == CANARY).all() and (self.whole[after:] == CANARY).all()

    def free(self):
        libc.munmap(self.base, self.pages + 2 * PAGE)


RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


class Parallel(ctypes.Structure):
    """The caller's threads: here the tasks run one after the other, the last one first."""

    _fields_ = [("run", RUN), ("self", ctypes.c_void_p), ("width", ctypes.c_int32)]

    def __init__(self, width):
        self.started = []
        super().__init__(RUN(self.run_backwards), None, width)

    def run_backwards(self, _, body, argument, count):
        self.started.append(count)
        for task in reversed(range(count)):
            BODY(body)(argument, task)


class Library:
    """The shared library made of an object by link, and the args structs the object's header declares."""

    ways = [(True, 0), (False, 3)]  # (at_end, width) to call with

    def __init__(self, obj, prefix):
        self.prefix, self.library = prefix, ctypes.CDLL(os.path.abspath(os.path.splitext(obj)[0] + ".so"))
        self.strerror = self.library[f"{prefix}_strerror"]
        self.strerror.restype = ctypes.c_char_p
        self.header = re.sub(r"/\*.*?\*/", "", open(os.path.splitext(obj)[0] + ".h").read(), flags=re.S)
        self.members = {}
        for body, name in re.findall(r"typedef struct \w+ \{([^{}]*)\} (\w+)_args;", self.header):
            declarations = [text.strip() for line in body.split(";") for text in line.split(",") if text.strip()]
            self.members[name] = [re.search(r"(\w+)$", text).group(1) for text in declarations]

    def runs_here(self):
        return self.library[f"{self.prefix}_check_cpu"]() == 0

    def call(self, function, dims, inputs, outputs, at_end, width=0):
        """Calls with arrays by field name; `outputs` gives (shape, dtype) of each. Returns them and what went wrong."""
        name = f"{self.prefix}_{function}"
        workspace_size = self.workspace(name, dims, max(1, width))
        buffers = {field: Guarded(array.nbytes, at_end) for field, array in inputs.items()}
        for field, array in inputs.items():
            buffers[field].bytes[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for field, (shape, dtype) in outputs.items():
            buffers[field] = Guarded(int(np.prod(shape)) * np.dtype(dtype).itemsize, at_end)
        buffers["workspace"] = Guarded(workspace_size, at_end, align=64)
        parallel = Parallel(width)
        values = dict(dims, workspace_size=workspace_size, parallel=ctypes.addressof(parallel) if width else 0)
        values.update((field, buffer.address) for field, buffer in buffers.items())
        members = self.members[name]  # every member takes eight bytes
        values["size"] = 8 * len(members)
        args = (ctypes.c_int64 * len(members))(*(values[member] for member in members))
        code = self.library[name](ctypes.byref(args))
        faults = []
        if code:
            faults.append(f"returned {code}: {self.strerror(code).decode()}")
        for field, buffer in buffers.items():
            if not buffer.slack_is_whole():
                faults.append(f"wrote beside {field}")
        for field, array in inputs.items():
            if buffers[field].bytes.tobytes() != np.ascontiguousarray(array).tobytes():
                faults.append(f"wrote into its input {field}")
        if any(count > width for count in parallel.started):
            faults.append(f"started {max(parallel.started)} tasks where {width} were allowed")
        results = {field: buffers[field].bytes.copy().view(dtype).reshape(shape)
                   for field, (shape, dtype) in outputs.items()}
        for buffer in buffers.values():
            buffer.free()
        return results, faults

    def workspace(self, name, dims, *width):
        function = self.library[f"{name}_workspace"]
        function.restype = ctypes.c_int64
        in_order = [dims[member] for member in self.members[name] if member in dims]
        return function(*map(ctypes.c_int64, in_order), *map(ctypes.c_int32, width))


class Reference:
    """The reference evaluator on one module, called like a Library."""

    ways = [(True, 0)]

    def __init__(self, module):
        self.module = module

    def call(self, function, dims, inputs, outputs, at_end, width):
        with tempfile.TemporaryDirectory() as folder:
            command = ["qlow-run", "--reference", self.module, f"--function={function}"]
            for field, array in inputs.items():
                np.save(os.path.join(folder, f"{field}.npy"), array)
                command.append(os.path.join(folder, f"{field}.npy"))
            for field in outputs:
                command += ["-o", os.path.join(folder, f"{field}.npy")]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                return {}, [f"{' '.join(command)}: {done.stderr[-2000:]}"]
            # i8 storage has no sign of its own: the bytes are taken as what is expected
            return {field: np.load(os.path.join(folder, f"{field}.npy")).view(dtype).reshape(shape)
                    for field, (shape, dtype) in outputs.items()}, []


def compile_module(path, target, out, prefix, *flags):
    """Runs qlowc; returns the object's path, or raises with what it said."""
    os.makedirs(os.path.dirname(out), exist_ok=True)
    command = ["qlowc", path, f"-target={target}", "-o", out, f"-prefix={prefix}", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\nexit status {done.returncode}\n{done.stderr[-4000:]}")
    return out


def link(obj):
    """Makes a shared library beside the object; returns the object's path."""
    subprocess.run(["cc", "-shared", "-o", os.path.splitext(obj)[0] + ".so", obj], check=True)
    return obj


def registered_targets():
    """The processors `qlowc -list-targets` names, whose objects can be called here, and the machine this runs on."""
    text = subprocess.run(["qlowc", "-list-targets"], capture_output=True, text=True, check=True).stdout
    names = [line.split()[0] for line in text.splitlines() if line.strip()]

    def describe(name):
        return subprocess.run(["qlowc", f"-print-target={name}"], capture_output=True, text=True, check=True).stdout

    return [name for name in names if '"triple": "x86_64' in describe(name)] + ["host"]


def registered_formats():
    """What `qlowc -list-formats` prints first in each line."""
    text = subprocess.run(["qlowc", "-list-formats"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in text.splitlines() if line.strip()]
