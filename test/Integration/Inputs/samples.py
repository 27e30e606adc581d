"""Runs samples: functions with inputs and a check of what they give, many to a module, on every target that runs here.

A sample has a `name` (its function's), a `text` (that function in MLIR), `calls` and a str that describes it. A module
is run in a child process, so that a fault ends only that sample; what fails is printed with the command to see it again.
"""

import os
import pickle
import random
import time
from dataclasses import dataclass, field

import numpy as np
import devices
from devices import open_library
from objects import Library, Reference, compile_module, link, registered_targets


@dataclass
class Call:
    where: str  # what tells this call from the others of its sample
    dims: dict  # by C field
    inputs: dict  # arrays by C field
    outputs: dict  # (shape, dtype) by C field
    check: object  # of the results by C field: says what is wrong, or ""


@dataclass
class Sample:
    name: str
    text: str
    calls: list
    description: str
    for_reference: bool = True  # the evaluator is slow
    for_device: bool = True

    def __str__(self):
        return f"{self.name}: {self.description}"


def rng_of(*words):
    return random.Random("/".join(map(str, words)))


def difference(got, want):
    """What differs between arrays of one shape, bit for bit."""
    if got.tobytes() == want.tobytes():
        return ""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"expected {want.dtype} {want.shape}, found {got.dtype} {got.shape}"
    kind = f"u{want.dtype.itemsize}"
    wrong = np.argwhere(np.atleast_1d(got).view(kind) != np.atleast_1d(want).view(kind))
    at = tuple(int(i) for i in wrong[0][: want.ndim])
    return f"{len(wrong)} of {want.size} differ, first at {at}: expected {want[at]}, found {got[at]}"


def run_sample(library, sample):
    """Returns what is wrong, or an empty string."""
    for call in sample.calls:
        for at_end, width in library.ways:
            got, faults = library.call(sample.name, call.dims, call.inputs, call.outputs, at_end, width)
            where = f"{call.where}, buffers at the {'end' if at_end else 'begin'} of a page, width {width}"
            if faults:
                return f"{where}: {'; '.join(faults)}"
            if wrong := call.check(got):
                return f"{where}: {wrong}"
    return ""


def in_child(work):
    """Runs work(report) in a child process; yields what it reports, and last how it ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "wb") as pipe:
            def report(*message):
                pickle.dump(message, pipe)
                pipe.flush()
            try:
                work(report)
            except BaseException as error:  # the parent prints it
                report("error", repr(error))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        while True:
            try:
                yield pickle.load(pipe)
            except EOFError:
                break
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        yield ("signal", -status)


@dataclass
class Run:
    """Options: out (a folder), compile_only (leaves shared libraries there), reuse (runs those)."""

    options: object
    again: str  # the command of one sample on one target, with {name} and {target}
    prepare: object = None  # (path, target) -> path of the module to compile in its place
    failures: list = field(default_factory=list)
    done: dict = field(default_factory=dict)
    calls: int = 0

    def fail(self, target, sample, message):
        again = self.again.format(name=sample.name, target=target)
        self.failures.append(f"{target}: {sample}\n    {message}\n    again: {again}")
        print("FAILED", self.failures[-1], flush=True)

    def batch(self, samples, targets):
        """Compiles these samples as one module for each target, and runs them."""
        if any(not sample.for_device for sample in samples) and any(map(is_device, targets)):
            for target in targets:
                if chosen := [sample for sample in samples if sample.for_device or not is_device(target)]:
                    self.batch(chosen, [target])
            return
        name = f"batch_{samples[0].name}"
        path = os.path.join(self.options.out, f"{name}.mlir")
        with open(path, "w") as file:
            file.write("".join(sample.text for sample in samples))
        for target in targets:
            out = os.path.join(self.options.out, os.path.basename(target), f"{name}.o")
            if target == "reference":
                self.run(lambda: Reference(path), target, [sample for sample in samples if sample.for_reference])
                continue
            try:
                if not self.options.reuse:
                    source = self.prepare(path, target) if self.prepare else path
                    # The emulator runs PTX only.
                    flags = ["--no-ptxas"] if is_device(target) and not self.options.compile_only else []
                    link(compile_module(source, target, out, name, *flags))
            except RuntimeError as error:
                if len(samples) == 1:
                    self.fail(target, samples[0], str(error))
                else:
                    for sample in samples:  # find out which
                        self.batch([sample], [target])
                continue
            if self.options.compile_only:
                os.remove(out)
                continue
            self.run(lambda: open_library(out, name), target, samples)
            if not self.options.reuse:
                for suffix in (".o", ".so", ".h"):
                    os.remove(os.path.splitext(out)[0] + suffix)

    def run(self, load, target, samples):
        """Runs all of them, in a new process from the one behind where a process ended."""
        current = -1

        def work(report):
            library = load()
            for i in range(current + 1, len(samples)):
                report("start", i)
                report("end", i, run_sample(library, samples[i]))

        while current + 1 < len(samples):
            before = current
            for message in in_child(work):
                if message[0] == "start":
                    current = message[1]
                elif message[0] == "end":
                    self.done[target] = self.done.get(target, 0) + 1
                    self.calls += len(samples[current].calls)
                    if message[2]:
                        self.fail(target, samples[current], message[2])
                else:
                    self.fail(target, samples[max(current, 0)], f"the process ended: {message}")
            if current == before:
                return

    def summary(self, start, seed):
        counts = ", ".join(f"{target} {count}" for target, count in self.done.items())
        print(f"samples run: {counts}; {self.calls} calls, {len(self.failures)} failures, {time.time() - start:.0f} s, seed {seed}")
        if not self.done and not self.options.compile_only:
            print("no sample ran")
            return 1
        return 1 if self.failures else 0


def is_device(target):
    """Whether objects for this target, a name or a file of one, are for a GPU, or the emulator."""
    return os.path.basename(target).startswith("sm_")


def runnable(options):
    """Targets whose code this machine can run, the reference evaluator first."""
    if options.compile_only or options.reuse:
        return options.targets
    source = os.path.join(options.out, "probe.mlir")
    with open(source, "w") as file:
        file.write("func.func @f(%x: tensor<f32>) -> tensor<f32> { return %x : tensor<f32> }\n")
    result = []
    for target in options.targets or ["reference", *registered_targets()]:
        if target == "reference" or is_device(target):
            result.append(target)
            continue
        out = compile_module(source, target, os.path.join(options.out, os.path.basename(target), "probe.o"), "probe")
        link(out)
        if Library(out, "probe").runs_here():
            result.append(target)
    return result


def add_run_options(parser, samples, out):
    parser.add_argument("--samples", type=int, default=samples)
    parser.add_argument("--seconds", type=float, default=1e9, help="start no further batch after this time")
    parser.add_argument("--batch", type=int, default=10, help="samples in one module")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="the sample of this name alone")
    parser.add_argument("--targets", type=lambda text: text.split(","), help="instead of all this machine can run")
    parser.add_argument("--spread", action="store_true", help="each module on one target, in turn, instead of on all")
    parser.add_argument("--out", default=out, help="folder of the modules and objects")
    parser.add_argument("--compile-only", action="store_true", help="leave shared libraries in --out, for --targets")
    parser.add_argument("--reuse", action="store_true", help="run those, with the same seed, where there is no qlowc")
    parser.add_argument("--gpu", action="store_true", help="run device objects on this machine's GPU, not the emulator")


def run_all(options, script, draw, prepare=None):
    """Runs options.samples samples, those that draw(index) gives and calls s<index>; returns the exit status."""
    os.makedirs(options.out, exist_ok=True)
    devices.use_gpu = options.gpu
    start = time.time()
    run = Run(options, f"python3 test/{script} --seed {options.seed} --only {{name}} --targets {{target}}", prepare)
    targets = runnable(options)
    print(f"seed {options.seed}, targets {' '.join(targets)}", flush=True)
    batch, batches = [], 0
    for index in range(options.samples):
        if options.only in (None, f"s{index}"):
            batch.append(draw(index))
        if batch and (len(batch) == options.batch or index + 1 == options.samples or options.only):
            run.batch(batch, [targets[batches % len(targets)]] if options.spread else targets)
            batch, batches = [], batches + 1
            if options.only:
                break
        if time.time() - start > options.seconds:
            break
    return run.summary(start, options.seed)
