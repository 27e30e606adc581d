"""Tensor maps: cuTensorMapEncodeTiled, and the boxes that TMA copies with them.

The chip's 128 bytes are not documented; these are our own. libcuda.c writes the same struct.
"""

import struct

import numpy as np

MAGIC = 0x70616D74
LAYOUT = struct.Struct(
    "<IBBBB Q 5Q 4Q 5H 5B 25x"
)  # magic, dtype, rank, swizzle, fill, address, dims, strides, box, element strides
SIZES = {0: 1, 1: 2, 2: 4, 3: 4, 4: 8, 5: 8, 6: 2, 7: 4, 8: 8, 9: 2, 10: 4, 11: 4, 12: 4}  # CUtensorMapDataType -> bytes
DATA_TYPES = {
    "uint8": 0,
    "int8": 0,
    "uint16": 1,
    "uint32": 2,
    "int32": 3,
    "uint64": 4,
    "int64": 5,
    "float16": 6,
    "float32": 7,
    "float64": 8,
}
BFLOAT16 = 9
KINDS = {0: "u8", 1: "u16", 2: "u32", 3: "s32", 4: "u64", 5: "s64", 6: "f16", 7: "f32", 8: "f64", 9: "bf16"}
FLOATS = (6, 7, 8, 9, 10, 11, 12)
ALIGNMENT = 128  # of a box in shared memory
SPANS = {0: 0, 1: 32, 2: 64, 3: 128}  # CUtensorMapSwizzle -> bytes


def encode(data_type, address, dims, strides, box, element_strides=None, swizzle=0, fill=0):
    """128 bytes. dims and box: innermost first; strides: bytes, of the dimensions after the innermost."""
    rank, element_strides = len(dims), element_strides or [1] * len(dims)
    for bad, message in (
        (not 1 <= rank <= 5 or len(strides) != rank - 1 or len(box) != rank, "rank 1 .. 5 and as many strides less one"),
        (address % 16, "an address that is a multiple of 16"),
        (any(s % 16 or not 0 < s < 1 << 40 for s in strides), "strides that are multiples of 16 below 2^40"),
        (any(not 0 < d <= 1 << 32 for d in dims), "dimensions of 1 .. 2^32"),
        (any(not 0 < b <= 256 for b in box), "a box of 1 .. 256 in each dimension"),
        (any(not 0 < s <= 8 for s in element_strides), "element strides of 1 .. 8"),
        (box[0] * SIZES[data_type] % 16, "an inner box dimension that is a multiple of 16 bytes"),
        (
            swizzle and box[0] * SIZES[data_type] > SPANS[swizzle],
            f"an inner box dimension of at most the {SPANS[swizzle]} bytes of the swizzle",
        ),
    ):
        if bad:
            raise ValueError(f"tensor map: expected {message}: dims {dims}, strides {strides}, box {box}")

    def pad(values, count):
        return list(values) + [0] * (count - len(values))

    return LAYOUT.pack(
        MAGIC, data_type, rank, swizzle, fill, address, *pad(dims, 5), *pad(strides, 4), *pad(box, 5), *pad(element_strides, 5)
    )


class TensorMap:
    def __init__(self, data):
        fields = LAYOUT.unpack(data)
        if fields[0] != MAGIC:
            raise ValueError("these 128 bytes are no tensor map")
        _, self.data_type, self.rank, self.swizzle, self.fill, self.address = fields[:6]
        self.size, self.kind = SIZES[self.data_type], KINDS.get(self.data_type, "f32")
        rank = self.rank
        self.dims, self.strides = fields[6 : 6 + rank], (self.size,) + fields[11 : 11 + rank - 1]
        self.box, self.steps = fields[15 : 15 + rank], fields[20 : 20 + rank]
        self.counts = tuple(-(-b // s) for b, s in zip(self.box, self.steps))
        self.bytes = int(np.prod(self.counts)) * self.size

    def check(self, coordinates, stores):
        """What an H200 answers with an illegal instruction."""
        if coordinates[0] * self.size % 16:
            return f"a box that begins at element {coordinates[0]} of a row: expected a multiple of 16 bytes"
        if stores and min(coordinates) < 0:
            return f"a store to negative coordinates {coordinates}"
        return None

    def elements(self, coordinates):
        """Byte offset in the tensor and validity of each element of the box, outermost first."""
        offsets, valid = np.zeros((1,) * self.rank, np.int64), np.ones((1,) * self.rank, bool)
        for axis in range(self.rank):
            index = coordinates[axis] + np.arange(self.counts[axis]) * self.steps[axis]
            shape = [1] * self.rank
            shape[self.rank - 1 - axis] = -1
            offsets = offsets + (index * self.strides[axis]).reshape(shape)
            valid = valid & ((index >= 0) & (index < self.dims[axis])).reshape(shape)
        return offsets.ravel(), valid.ravel()

    def places(self, address):
        """Where byte i of the box lies in shared memory, from the shared address of the box."""
        index = address + np.arange(self.bytes)
        span = SPANS[self.swizzle]
        if span:
            index ^= (index >> 7 & span // 16 - 1) << 4
        return index - address

    def load(self, memory, coordinates):
        """The box as bytes, elements outside filled."""
        offsets, valid = self.elements(coordinates)
        out = np.zeros((len(offsets), self.size), np.uint8)
        if self.fill and self.data_type in FLOATS:  # CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA
            out[:] = 0xFF
        for buffer, where, lanes in self.parts(memory, offsets[valid]):
            rows = buffer.gather(where, self.size, 1).view(np.uint8).reshape(-1, self.size)
            out[np.flatnonzero(valid)[slice(None) if lanes is None else lanes]] = rows
        return out.ravel()

    def store(self, memory, coordinates, data, combine=None):
        """combine: of old and new, in reductions."""
        offsets, valid = self.elements(coordinates)
        values = np.ascontiguousarray(data.reshape(-1, self.size)[valid]).view(f"u{self.size}")[:, 0]
        for buffer, where, lanes in self.parts(memory, offsets[valid]):
            new = values if lanes is None else values[lanes]
            buffer.scatter(where, combine(buffer.gather(where, self.size, 1), new) if combine else new, self.size, 1)

    def parts(self, memory, offsets):
        if not len(offsets):
            return []
        return memory.parts((offsets + self.address).astype(np.uint64), self.size)
