"""Runs the reference on arrays, packs codes, and compares bits: shared by the tests that compute with numpy."""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np


class Case:
    """One module with one function @f; `run` gives its results, one array a part."""

    def __init__(self, text, *arrays, results=1):
        self.text, self.arrays, self.results = text, arrays, results

    def run(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "m.mlir").write_text(self.text)
            command = ["qlow-run", "--reference", folder / "m.mlir", "--function=f"]
            for i, array in enumerate(self.arrays):
                np.save(folder / f"in{i}.npy", np.asarray(array, order="C"))
                command.append(folder / f"in{i}.npy")
            for i in range(self.results):
                command += ["-o", folder / f"out{i}.npy"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{done.stderr}\nmodule:\n{self.text}")
            return [np.load(folder / f"out{i}.npy") for i in range(self.results)]


def expect(name, found, expected, case):
    """Bits are equal: no tolerance, NaN equals NaN of the same bits."""
    expected = np.asarray(expected, order="C")
    if found.shape != expected.shape or found.dtype != expected.dtype or found.tobytes() != expected.tobytes():
        where = np.argwhere(found != expected)[:5].tolist() if found.shape == expected.shape else "shapes"
        sys.exit(f"{name}: differs at {where}\nfound {found.dtype} {found}\nexpected {expected.dtype} {expected}\n{case.text}")


def pack(codes, bits):
    """Codes (any integers, low `bits` bits count) packed along the last dimension, lowest bits first, rows padded."""
    codes = np.asarray(codes).astype(np.int64) & (2**bits - 1)
    stream = (codes[..., None] >> np.arange(bits)) & 1
    stream = stream.reshape(*codes.shape[:-1], -1)
    return np.packbits(stream.astype(np.uint8), axis=-1, bitorder="little")


def stored(codes, name):
    """As a part: int8 for codes of i8, else packed bytes."""
    return codes.astype(np.int8) if name == "i8" else pack(codes, int(name[1:]))


def bounds(name):
    """Least and greatest code of an integer format."""
    bits = int(name[1:])
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if name[0] == "i" else (0, 2**bits - 1)


def expand(scales, shape, block):
    """The scale of each element: `scales` repeated over blocks; a block of None is the whole dimension."""
    for dim, size in enumerate(block):
        repeat = shape[dim] if size is None else size
        scales = np.repeat(scales, repeat, axis=dim)[(slice(None),) * dim + (slice(0, shape[dim]),)]
    return scales


def spell(name, shape, block=(), zero=None, scale="f32", offset=None):
    """The MLIR type of a quantized tensor."""
    fields = [f"{name} : {scale}"]
    if zero:
        fields.append(f"zero = {zero}")
    if offset:
        fields.append(f"offset = {offset}")
    if block:
        fields.append("block = [" + ", ".join("*" if b is None else str(b) for b in block) + "]")
    return f"tensor<{''.join(f'{size}x' for size in shape)}!qlow.q<{', '.join(fields)}>>"


def tensor(shape, element):
    return f"tensor<{''.join(f'{size}x' for size in shape)}{element}>"


def bf16(x):
    """The f32 values of the nearest bf16, half to even, and their bits."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    bits = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return (bits.astype(np.uint32) << 16).view(np.float32), bits
