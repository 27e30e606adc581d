"""The device: memory, modules and launches. What a test uses:

    device = Device()
    module = device.load(open("kernel.ptx").read(), "kernel.ptx")
    x, y = device.buffer(array, "x"), device.empty(1024, "y")
    module.launch("scale", grid=4, block=128, args=[x, y, np.int32(1000)])
    y.read(np.float32)

Buffers lie far apart, so that an address that leaves one hits none. An error names the line of the PTX, the thread and the
instruction.
"""

import numpy as np

from . import asynchronous, barriers, tcgen05, tensormap, wgmma
from .decode import decode
from .machine import Wave
from .memory import FIRST_SHARED, Buffer, Global
from .module import Memory, PtxError, Symbol, Vector
from .parse import parse

FIRST_BUFFER, GAP = 0x7F00_0000_0000, 1 << 32
PARAMETERS = 0x50_0000_0000  # of the kernel that runs
WAVE_THREADS = 8192  # that run together at most, where a cluster is not larger


class DeviceBuffer(Buffer):
    def read(self, dtype=np.uint8, shape=-1):
        return self.data[: self.size].copy().view(dtype).reshape(shape)

    def written(self):
        """Which bytes kernels wrote, of an `empty` buffer."""
        return self.state[: self.size] != 0


class Device:
    def __init__(self, multiprocessors=132, shared_limit=232448):
        self.memory, self.multiprocessors, self.shared_limit = Global(), multiprocessors, shared_limit
        self.next, self.launches = FIRST_BUFFER, 0

    def allocate(self, size, name, **properties):
        """A new buffer, a gap behind it."""
        base = self.next
        self.next += -(-size // GAP) * GAP + GAP
        return self.memory.add(DeviceBuffer(name, base, size, **properties))

    def buffer(self, array, name="buffer"):
        """Device memory with the bytes of an array."""
        data = np.ascontiguousarray(array)
        buffer = self.empty(data.nbytes, name)
        buffer.data[: data.nbytes] = data.reshape(-1).view(np.uint8)
        buffer.state = None
        return buffer

    def empty(self, size, name="buffer"):
        """Bytes that must be written before they are read."""
        return self.allocate(size, name, written=False)

    def free(self, buffer):
        self.memory.remove(buffer.base)

    def tensor_map(self, buffer, dtype, dims, box, strides=None, swizzle=0, fill=0, offset=0, data_type=None):
        """A kernel argument. dims, box: innermost first; strides in bytes, default dense."""
        data_type = tensormap.DATA_TYPES[np.dtype(dtype).name] if data_type is None else data_type
        strides = np.cumprod([tensormap.SIZES[data_type], *dims[:-1]])[1:].tolist() if strides is None else strides
        number = {0: 0, 32: 1, 64: 2, 128: 3}[swizzle]
        return tensormap.encode(data_type, buffer.base + offset, dims, strides, box, swizzle=number, fill=fill)

    def load(self, text, path="module.ptx"):
        return Loaded(self, parse(text, path))


class Loaded:
    """A module whose variables have addresses."""

    def __init__(self, device, module):
        self.device, self.module = device, module
        self.addresses, self.buffers = {}, {}
        for variable in module.variables.values():
            self.place(variable.name, variable)
        for function in module.functions.values():
            for variable in function.variables.values():
                if variable.space in ("global", "const"):
                    self.place(variable.name, variable)
            offset = 0
            for parameter in function.params if function.entry else ():
                offset = -(-offset // parameter.align) * parameter.align
                self.addresses[function.name, parameter.name] = PARAMETERS + offset
                offset += parameter.size
        for name, buffer in self.buffers.items():
            self.initialize(buffer, name)
        decode(module, self.addresses)

    def place(self, name, variable):
        if variable.space not in ("global", "const"):
            return
        buffer = self.device.allocate(variable.size, name, writable=variable.space == "global")
        self.buffers[name], self.addresses[name] = buffer, buffer.base
        buffer.variable = variable

    def initialize(self, buffer, name):
        variable = buffer.variable
        size = variable.element // 8
        for number, value in enumerate(variable.values):
            if isinstance(value, tuple):
                if value[0] not in self.addresses:
                    raise PtxError(f"{self.module.path}: initializer of {name} names `{value[0]}`, which has no address")
                value = self.addresses[value[0]] + value[1]
            buffer.data[number * size : (number + 1) * size] = np.frombuffer(
                (value & ((1 << 8 * size) - 1)).to_bytes(size, "little"), np.uint8
            )

    def unload(self):
        for buffer in self.buffers.values():
            self.device.memory.remove(buffer.base)

    def launch(self, name, grid, block, args, shared=0, cluster=None, **options):
        Launch(self, name, grid, block, args, shared, cluster, **options).run()


def three(shape):
    shape = (shape,) if np.isscalar(shape) else tuple(shape)
    return shape + (1,) * (3 - len(shape))


class Launch:
    """One kernel launch.

    schedule   "lockstep": all threads in one vector; "warps": one warp at a time, drawn at random from `seed`
    races      look for shared-memory accesses that nothing orders
    strict     reading shared memory that was never written is an error; otherwise it holds 0xa5
    wave       CTAs that run together; others start when these have ended, as on a device that they fill
    max_steps  instructions of a wave after which it is said to hang
    """

    def __init__(
        self,
        loaded,
        name,
        grid,
        block,
        args,
        shared,
        cluster=None,
        schedule="lockstep",
        seed=0,
        races=True,
        strict=True,
        wave=None,
        max_steps=20_000_000,
    ):
        self.device, self.module, self.loaded = loaded.device, loaded.module, loaded
        self.function = self.module.functions.get(name)
        if not self.function or not self.function.entry:
            raise PtxError(
                f"{self.module.path}: no kernel `{name}`; there are {[f.name for f in self.module.functions.values() if f.entry]}"
            )
        self.grid, self.block = three(grid), three(block)
        self.clustered = bool(cluster or self.function.cluster)
        self.cluster = three(cluster) if cluster else self.function.cluster or (1, 1, 1)
        self.schedule, self.seed, self.max_steps = schedule, seed, max_steps
        self.races, self.strict = races, strict
        self.number = self.device.launches
        self.device.launches += 1
        self.dynamic_shared = shared
        self.layout()
        self.check()
        self.parameters = self.pack(args)
        self.wave = wave
        self.exit_hooks = [asynchronous.before_exit, wgmma.before_exit, tcgen05.before_exit, barriers.after_exit]

    def error(self, message):
        return PtxError(f"{self.module.path}:{self.function.line}: launch of {self.function.name}: {message}")

    def check(self):
        threads, function = int(np.prod(self.block)), self.function
        for bad, message in (
            (function.block and self.block != function.block, f"block {self.block}, the kernel requires {function.block}"),
            (
                threads > min(1024, function.most_threads),
                f"{threads} threads a CTA, at most {min(1024, function.most_threads)} are allowed",
            ),
            (max(self.grid[1:]) > 65535 or self.block[2] > 64, f"grid {self.grid} or block {self.block} beyond the limits"),
            (threads < 1 or min(self.grid) < 1, f"empty: grid {self.grid}, block {self.block}"),
            (
                function.cluster and self.cluster != function.cluster,
                f"cluster {self.cluster}, the kernel requires {function.cluster}",
            ),
            (
                any(g % c for g, c in zip(self.grid, self.cluster)),
                f"grid {self.grid} is no multiple of the cluster {self.cluster}",
            ),
            (np.prod(self.cluster) > 16, f"cluster {self.cluster} of more than 16 CTAs"),
            (
                self.shared_size > self.device.shared_limit,
                f"{self.shared_size} bytes of shared memory, at most {self.device.shared_limit}",
            ),
        ):
            if bad:
                raise self.error(message)

    # -- memory

    def reachable(self):
        """Names of the kernel and of all functions that it calls."""
        seen, left = set(), [self.function.name]
        while left:
            name = left.pop()
            if name not in seen:
                seen.add(name)
                left += [target for target in self.names_in(name) if target in self.module.functions]
        return seen

    def names_in(self, function):
        def names(operand):
            if isinstance(operand, Symbol):
                yield operand.name
            elif isinstance(operand, Memory):
                yield from names(operand.base)
            elif isinstance(operand, Vector):
                for item in operand.items:
                    yield from names(item)

        return {
            name
            for instruction in self.module.code
            if instruction.function == function
            for operand in instruction.operands
            for name in names(operand)
        }

    def layout(self):
        """Offsets of shared and local variables. Dynamic shared memory comes behind the static."""
        functions = self.reachable()
        used = set().union(*[self.names_in(name) for name in functions])
        shared, dynamic, local = [], [], []
        for variables in [self.module.variables] + [self.module.functions[name].variables for name in functions]:
            for variable in variables.values():
                if variable.space == "shared" and variable.name in used:
                    (shared if variable.size else dynamic).append(variable)
                elif variable.space == "local":
                    local.append(variable)
        self.shared_offsets, at = {}, FIRST_SHARED
        for variable in shared:
            at = -(-at // variable.align) * variable.align
            self.shared_offsets[variable.name] = at
            at += variable.size
        if dynamic:
            align = max(variable.align for variable in dynamic)
            at = -(-at // align) * align
        self.shared_offsets.update({variable.name: at for variable in dynamic})
        self.shared_size = at - FIRST_SHARED + self.dynamic_shared
        self.local_offsets, at = {}, 0
        for variable in local:
            at = -(-at // max(variable.align, 8)) * max(variable.align, 8)
            self.local_offsets[variable.name] = at
            at += variable.size
        self.local_size = -(-at // 16) * 16

    def pack(self, args):
        """The bytes of the parameters: buffers and their addresses, numbers of the parameter's size, raw bytes."""
        params = self.function.params
        if len(args) != len(params):
            raise self.error(f"{len(args)} arguments for {len(params)} parameters")
        data = bytearray()
        for param, arg in zip(params, args):
            data += bytes(-len(data) % param.align)
            if isinstance(arg, Buffer):
                arg = np.uint64(arg.base)
            if isinstance(arg, int):
                arg = (arg & ((1 << 8 * param.size) - 1)).to_bytes(param.size, "little")
            raw = arg if isinstance(arg, (bytes, bytearray)) else np.asarray(arg).tobytes()
            if len(raw) != param.size:
                raise self.error(f"an argument of {len(raw)} bytes for parameter {param.name} of {param.size}")
            data += raw
        return bytes(data)

    # -- running

    def run(self):
        memory = self.device.memory
        parameters = Buffer("kernel parameters", PARAMETERS, len(self.parameters), writable=False)
        parameters.data[: len(self.parameters)] = np.frombuffer(self.parameters, np.uint8)
        memory.add(parameters)
        try:
            with np.errstate(all="ignore"):
                for ctas in self.waves():
                    wave = Wave(self, ctas)
                    wave.run()
                    asynchronous.finish(wave)
        finally:
            memory.remove(PARAMETERS)

    def waves(self):
        """Numbers of the CTAs that run together; those of a cluster come one after the other, in the order of their ranks."""
        size = int(np.prod(self.cluster))
        order = self.cluster_order() if size > 1 else np.arange(int(np.prod(self.grid)))
        together = self.wave or max(1, min(WAVE_THREADS // max(32, int(np.prod(self.block))), self.device.multiprocessors))
        together = max(size, together // size * size)
        return [order[begin : begin + together] for begin in range(0, len(order), together)]

    def cluster_order(self):
        (gx, gy, gz), (cx, cy, cz) = self.grid, self.cluster
        numbers = np.arange(gx * gy * gz).reshape(gz // cz, cz, gy // cy, cy, gx // cx, cx)
        return numbers.transpose(0, 2, 4, 1, 3, 5).ravel()
