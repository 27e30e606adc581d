"""The emulator behind libcuda.c: answers requests that come over a socket. Started by libcuda.c, ends when the socket does.

A request is: u32 what, u32 count, u64 size, count numbers, size bytes; its answer: i32 CUresult, u32 count, count numbers.
What went wrong in PTX or in a kernel is printed to stderr.
"""

import mmap
import os
import socket
import struct
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np  # noqa: E402
from ptx.device import Device, DeviceBuffer, Launch  # noqa: E402
from ptx.memory import PADDING, MemoryFault  # noqa: E402
from ptx.module import PtxError  # noqa: E402

SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, NO_BINARY_FOR_GPU, INVALID_PTX, NOT_FOUND, LAUNCH_FAILED = 0, 1, 2, 209, 218, 500, 719
PAGE, GAP = 1 << 12, 1 << 20


class Failed(Exception):
    """The CUresult of a request."""


class SharedDevice(Device):
    """Device memory in the file that libcuda.c maps, too."""

    def __init__(self, file, base, extent, multiprocessors):
        super().__init__(multiprocessors)
        self.bytes = np.frombuffer(mmap.mmap(file, extent), np.uint8)
        self.base, self.next = base, base

    def allocate(self, size, name, **properties):
        whole = -(-(size + 2 * PADDING) // PAGE) * PAGE
        offset = self.next - self.base
        if offset + whole + GAP > len(self.bytes):
            raise Failed(OUT_OF_MEMORY)
        buffer = DeviceBuffer(name, self.next, size, **properties)
        buffer.set_data(self.bytes[offset : offset + len(buffer.data)])
        self.next += whole + GAP  # addresses are not used again: what is freed stays out of bounds
        return self.memory.add(buffer)


class Server:
    def __init__(self, device, capability):
        self.device, self.capability = device, capability
        self.modules, self.functions, self.launches = [], [], {}

    def start(self, values, data):
        return []

    def load(self, values, data):
        try:
            loaded = self.device.load(data.decode(), "module.ptx")
        except PtxError as error:
            print(error, file=sys.stderr)
            raise Failed(INVALID_PTX) from None
        target = loaded.module.target.removeprefix("sm_")
        if int(target.rstrip("af")) > self.capability or (target.endswith("a") and int(target[:-1]) != self.capability):
            loaded.unload()
            raise Failed(NO_BINARY_FOR_GPU)
        self.modules.append(loaded)
        return [len(self.modules) - 1]

    def unload(self, values, data):
        self.modules[values[0]].unload()
        return []

    def function(self, values, data):
        loaded, name = self.modules[values[0]], data.decode()
        function = loaded.module.functions.get(name)
        if not function or not function.entry:
            raise Failed(NOT_FOUND)
        self.functions.append((loaded, function))
        static = Launch(
            loaded, name, function.cluster or 1, function.block or 1, [bytes(p.size) for p in function.params], 0
        ).shared_size
        return [len(self.functions) - 1, static] + [param.size for param in function.params]

    def variable(self, values, data):
        buffer = self.modules[values[0]].buffers.get(data.decode())
        if buffer is None:
            raise Failed(NOT_FOUND)
        return [buffer.base, buffer.size]

    def allocate(self, values, data):
        return [self.device.empty(values[0], "allocation").base]

    def free(self, values, data):
        buffer = self.device.memory.nearest(values[0])
        if not buffer or buffer.base != values[0]:
            raise Failed(INVALID_VALUE)
        self.device.free(buffer)
        return []

    def prepare(self, values, data):
        number, shared = values[:2]
        loaded, function = self.functions[number]
        args, at = [], 0
        for param in function.params:
            args.append(data[at : at + param.size])
            at += param.size
        cluster = tuple(values[8:11]) if values[8] else None
        if values[11] and not function.waits:
            print(f"{function.name} is started while the kernel in front ends, and does not wait for it", file=sys.stderr)
            raise Failed(INVALID_VALUE)
        try:
            launch = Launch(loaded, function.name, tuple(values[2:5]), tuple(values[5:8]), args, shared, cluster)
        except PtxError as error:
            print(error, file=sys.stderr)
            raise Failed(INVALID_VALUE) from None
        self.launches[launch.number] = launch
        return [launch.number]

    def run(self, values, data):
        try:
            self.launches.pop(values[0]).run()
        except PtxError as error:
            print(error, file=sys.stderr)
            raise Failed(LAUNCH_FAILED) from None
        return []

    def written(self, values, data):
        buffer, offset = self.device.memory.at(values[0], values[1])
        if buffer.state is not None:
            buffer.state[offset : offset + values[1]] = 1
        return []

    def check(self, values, data):
        try:
            self.device.memory.at(values[0], values[1])
        except MemoryFault:
            raise Failed(INVALID_VALUE) from None
        return []

    def serve(self, peer):
        actions = [
            self.start,
            self.load,
            self.unload,
            self.function,
            self.variable,
            self.allocate,
            self.free,
            self.prepare,
            self.run,
            self.written,
            self.check,
        ]
        while True:
            head = receive(peer, 16)
            if not head:
                return
            what, count, size = struct.unpack("<IIQ", head)
            values = struct.unpack(f"<{count}Q", receive(peer, 8 * count))
            data = receive(peer, size)
            try:
                status, answer = SUCCESS, actions[what](values, data)
            except Failed as failed:
                status, answer = failed.args[0], []
            peer.sendall(struct.pack(f"<iI{len(answer)}Q", status, len(answer), *answer))


def receive(peer, size):
    data = bytearray()
    while len(data) < size:
        more = peer.recv(min(size - len(data), 1 << 20))
        if not more:
            return b""
        data += more
    return bytes(data)


if __name__ == "__main__":
    number, file, base, extent, capability, multiprocessors = map(int, sys.argv[1:])
    Server(SharedDevice(file, base, extent, multiprocessors), capability).serve(socket.socket(fileno=number))
