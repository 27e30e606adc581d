# Calls of a device object from several streams and host threads give one answer; on a GPU (`--reuse --gpu`, after
# --compile-only here) also a thousand times over, and replayed from a captured graph.
#
# RUN: python3 %s %models/digits %t

import ctypes
import os
import sys
import threading

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Integration", "Inputs"))
import devices
import numpy as np
from devices import Buffer, open_library
from objects import compile_module, link

models, out, *options = sys.argv[1:]
devices.use_gpu = "--gpu" in options
TIMES, M = (1000, 450) if devices.use_gpu else (4, 17)


class Caller:
    """A stream with buffers of its own."""

    def __init__(self, library, images):
        self.library, self.driver, self.name = library, library.driver, f"{library.prefix}_classify"
        self.stream = ctypes.c_void_p()
        self.driver.call("cuStreamCreate", ctypes.byref(self.stream), 1)  # does not wait for the default stream
        self.buffers = {"images": Buffer(self.driver, images.nbytes, images.reshape(-1).view(np.uint8)),
                        "scores": Buffer(self.driver, len(images) * 40),
                        "workspace": Buffer(self.driver, library.workspace(self.name, {"m": len(images)}))}
        values = {"m": len(images), "workspace_size": self.buffers["workspace"].size, "stream": self.stream.value,
                  "device": ctypes.addressof(library.state), **{name: buffer.address for name, buffer in self.buffers.items()}}
        members = library.members[self.name]
        values["size"] = 8 * len(members)
        self.args = (ctypes.c_int64 * len(members))(*(values[member] for member in members))

    def launch(self):
        code = self.library.library[self.name](ctypes.byref(self.args))
        assert code == 0, self.library.strerror(code)

    def scores(self):
        self.driver.call("cuStreamSynchronize", self.stream)
        return self.buffers["scores"].read()[0].tobytes()

    def clear(self):
        self.driver.copy_to(self.buffers["scores"].address, np.zeros(self.buffers["scores"].size, np.uint8))

    def capture(self):
        """The launch as a graph that can be replayed."""
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self.driver.call("cuStreamBeginCapture_v2", self.stream, 0)
        self.launch()
        self.driver.call("cuStreamEndCapture", self.stream, ctypes.byref(graph))
        self.driver.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_uint64(0))
        return executable


def in_threads(callers, context):
    def run(caller):
        caller.driver.call("cuCtxSetCurrent", context)
        for _ in range(TIMES // 2):
            caller.launch()

    threads = [threading.Thread(target=run, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    for target in ("sm_80", "sm_90"):
        obj = os.path.join(out, target, "digits.o")
        if "--reuse" not in options:
            link(compile_module(f"{models}/digits.mlir", target, obj, "digits", *["--no-ptxas"] * (not options)))
        if "--compile-only" in options:
            continue
        library = open_library(obj, "digits")
        images, want = (np.load(f"{models}/{name}.npy") for name in ("images", "scores_int8"))
        halves = [images[:M], images[-M:]]
        callers, wanted = [Caller(library, half) for half in halves], [want[:M].tobytes(), want[-M:].tobytes()]
        for _ in range(TIMES):
            callers[0].launch()
            callers[1].launch()
        assert [caller.scores() for caller in callers] == wanted, "two streams"
        context = ctypes.c_void_p()
        library.driver.call("cuCtxGetCurrent", ctypes.byref(context))
        in_threads(callers, context)
        assert [caller.scores() for caller in callers] == wanted, "two threads"
        if devices.use_gpu:
            for caller, scores in zip(callers, wanted):
                graph = caller.capture()
                for _ in range(10):
                    caller.clear()
                    library.driver.call("cuGraphLaunch", graph, caller.stream)
                    assert caller.scores() == scores, "a graph"
        print(f"{target}: {3 * TIMES} calls, one answer")


main()
