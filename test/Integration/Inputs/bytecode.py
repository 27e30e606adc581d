"""Puts large weights into MLIR bytecode without passing them through text.

A model is written as text with empty resources, turned into bytecode by qlow-opt, and the bytecode's two resource
sections are written anew with blobs of any size: mostly holes of the file, if they are mostly zeros. The format is
docs/BytecodeFormat.md of MLIR: after magic, version and producer come sections, each an id (its top bit: an alignment
follows the length), a length and its bytes; numbers are varints; padding is 0xCB.
"""

import subprocess

RESOURCES, OFFSETS = 5, 6
ALIGNMENT = 64


def put_number(value):
    """A varint: the number of trailing zeros of the first byte says how many follow."""
    for size in range(1, 9):
        if value < 1 << (7 * size):
            return ((value << 1 | 1) << (size - 1)).to_bytes(size, "little")
    return b"\0" + value.to_bytes(8, "little")


def take_number(data, at):
    first = data[at]
    if first == 0:
        return int.from_bytes(data[at + 1 : at + 9], "little"), at + 9
    size = (first & -first).bit_length()
    return int.from_bytes(data[at : at + size], "little") >> size, at + size


def sections(data):
    """The bytes before the sections, then (id, alignment or 0, bytes) of each."""
    assert data[:4] == b"ML\xefR", "not bytecode"
    _, at = take_number(data, 4)
    at = data.index(b"\0", at) + 1
    head, found = data[:at], []
    while at < len(data):
        kind, (length, at) = data[at], take_number(data, at + 1)
        alignment = 0
        if kind & 0x80:
            alignment, at = take_number(data, at)
            at += -at % alignment
        found.append((kind & 0x7F, alignment, data[at : at + length]))
        at += length
    return head, found


def resource_keys(offsets):
    """Numbers of the groups and of their resources' names, in order of the file."""
    groups, at, result = [], 0, []
    external, at = take_number(offsets, at)
    while at < len(offsets):
        group, at = take_number(offsets, at)
        count, at = take_number(offsets, at)
        keys = []
        for _ in range(count):
            key, at = take_number(offsets, at)
            _, at = take_number(offsets, at)
            keys.append((key, offsets[at]))
            at += 1
        groups.append((group, keys))
    return external, groups


def write_model(text, path, blobs, alignment=ALIGNMENT):
    """Writes `text`, a module with resources of one byte each, as bytecode to `path`. `blobs` gives for each resource,
    in the order bytecode has them, its size and a function that writes it: it gets the file and where the blob begins,
    and may leave holes. `alignment` is what blobs say of themselves."""
    with open(path + ".mlir", "w") as file:
        file.write(text)
    subprocess.run(["qlow-opt", path + ".mlir", "--emit-bytecode", "-o", path], check=True)
    head, found = sections(open(path, "rb").read())
    external, groups = resource_keys(next(data for kind, _, data in found if kind == OFFSETS))
    assert sum(len(keys) for _, keys in groups) == len(blobs)
    # Each resource: alignment, size, padding, bytes. The section begins aligned, so offsets in it are as in the file.
    headers, sizes, length = [], [], 0
    for size, _ in blobs:
        header = put_number(alignment) + put_number(size)
        header += b"\xcb" * (-(length + len(header)) % alignment)
        headers.append(header)
        sizes.append(len(header) + size)
        length += sizes[-1]
    offsets, left = put_number(external), iter(sizes)
    for group, keys in groups:
        offsets += put_number(group) + put_number(len(keys))
        for key, kind in keys:
            offsets += put_number(key) + put_number(next(left)) + bytes([kind])
    with open(path, "wb") as file:
        file.write(head)
        for kind, aligned, data in found:
            size = {RESOURCES: length, OFFSETS: len(offsets)}.get(kind, len(data))
            aligned = ALIGNMENT if kind == RESOURCES else aligned
            file.write(bytes([kind | (0x80 if aligned else 0)]) + put_number(size))
            if aligned:
                file.write(put_number(aligned))
                file.write(b"\xcb" * (-file.tell() % aligned))
            if kind != RESOURCES:
                file.write(offsets if kind == OFFSETS else data)
                continue
            for header, (size, write) in zip(headers, blobs):
                file.write(header)
                begin = file.tell()
                write(file, begin)
                file.seek(begin + size)
        file.truncate()
