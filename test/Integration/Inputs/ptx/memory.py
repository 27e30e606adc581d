"""The memories of the machine: byte arrays that know their bounds, what was written and what is on its way.

An access is vectorized over threads. Each byte has a state: an asynchronous copy marks its destination COPYING from the
instruction that starts it until it lands, so whoever reads too early, or writes into it, is told so. Shared memory
also keeps who last wrote and read each word, and when; races.py says whether two accesses were ordered.
"""

import bisect

import numpy as np

UNWRITTEN, WRITTEN, COPYING, BARRIER = 0, 1, 2, 3
STATES = {
    UNWRITTEN: "was never written",
    COPYING: "is the destination of a copy that has not been waited for",
    BARRIER: "holds an mbarrier object",
}

SHARED_WINDOW = 1 << 44  # generic addresses of shared memory: the window plus the 32-bit shared address
LOCAL_WINDOW = 1 << 45
FRAME_WINDOW = 1 << 40  # within local memory: parameters of functions, their number from bit 20 on
FRAME_SHIFT = 20
RANK_SHIFT = 24  # bits of a shared::cluster address from here on: rank in the cluster + 1, or 0 for one's own CTA
FIRST_SHARED = 1024  # what sm_90 keeps for itself
PADDING = 64

UNSIGNED = {1: np.dtype(np.uint8), 2: np.dtype(np.uint16), 4: np.dtype(np.uint32), 8: np.dtype(np.uint64)}
ALL_WRITTEN = {size: dtype.type(int.from_bytes(bytes([WRITTEN]) * size, "little")) for size, dtype in UNSIGNED.items()}


class MemoryFault(Exception):
    """`lane` is the position in the access of one thread that caused it."""

    def __init__(self, lane, message):
        super().__init__(message)
        self.lane = int(lane)


class Storage:
    """Bytes at offsets 0 .. size, padded so that whole words can be viewed."""

    def __init__(self, name, size, data=None, written=True):
        self.name, self.size = name, size
        padded = -(-size // PADDING) * PADDING + PADDING
        if data is None:
            data = np.zeros(padded, np.uint8)
        self.set_data(data)
        self.state = None
        if not written:
            self.state = np.zeros(padded, np.uint8)
            self.state_views = {size: self.state.view(dtype) for size, dtype in UNSIGNED.items()}

    def set_data(self, data):
        self.data = data
        self.views = {size: data[: len(data) // size * size].view(dtype) for size, dtype in UNSIGNED.items()}

    def where(self, offset):
        return f"{self.name} + {int(offset)} (of {self.size} bytes)"

    def fill(self, byte):
        self.data[:] = byte
        self.state[:] = WRITTEN

    def check_alignment(self, addresses, size):
        bad = addresses & np.uint64(size - 1)
        if bad.any():
            lane = np.flatnonzero(bad)[0]
            raise MemoryFault(lane, f"misaligned: {size} bytes at address {int(addresses[lane]):#x}")

    def gather(self, offsets, element, count):
        """(n,) or (n, count) unsigned integers of `element` bytes."""
        self.check_readable(offsets, element * count)
        return self.peek(offsets, element, count)

    def peek(self, offsets, element, count):
        view = self.views[element]
        if count == 1:
            return view[offsets // np.uint64(element)]
        unit = element * count
        rows = view[: len(view) // count * count].reshape(-1, count)
        return (
            rows[offsets // np.uint64(unit)]
            if not (offsets % np.uint64(unit)).any()
            else view[(offsets // np.uint64(element))[:, None] + np.arange(count, dtype=np.uint64)]
        )

    def scatter(self, offsets, values, element, count):
        self.check_writable(offsets, element * count)
        self.poke(offsets, values, element, count)

    def poke(self, offsets, values, element, count):
        index = offsets // np.uint64(element)
        if count > 1:
            index = index[:, None] + np.arange(count, dtype=np.uint64)
        self.views[element][index] = values
        if self.state is not None:
            self.state_views[element][index] = ALL_WRITTEN[element]

    def check_readable(self, offsets, size):
        if self.state is None:
            return
        word = min(size, 8)
        view = self.state_views[word]
        index = offsets // np.uint64(word)
        for part in range(size // word):
            good = view[index + np.uint64(part)] == ALL_WRITTEN[word]
            if not good.all():
                lane = np.flatnonzero(~good)[0]
                self.fault(lane, offsets[lane], size, "read of")

    def check_writable(self, offsets, size):
        pass

    def fault(self, lane, offset, size, what):
        states = self.state[int(offset) : int(offset) + size]
        at = next(i for i in range(size) if states[i] != WRITTEN)
        raise MemoryFault(lane, f"{what} {self.where(int(offset) + at)}, which {STATES[int(states[at])]}")


class Buffer(Storage):
    """Device memory at `base`."""

    def __init__(self, name, base, size, data=None, written=True, writable=True):
        super().__init__(name, size, data, written)
        self.base, self.writable, self.is_written_by_kernel = base, writable, False

    def check_writable(self, offsets, size):
        if not self.writable:
            raise MemoryFault(0, f"write to constant {self.where(offsets[0])}")

    def poke(self, offsets, values, element, count):
        super().poke(offsets, values, element, count)
        self.is_written_by_kernel = True


class Global:
    """All buffers of a device, far apart: an address between two belongs to neither."""

    def __init__(self):
        self.buffers, self.bases = [], []

    def add(self, buffer):
        at = bisect.bisect(self.bases, buffer.base)
        self.bases.insert(at, buffer.base)
        self.buffers.insert(at, buffer)
        return buffer

    def remove(self, base):
        at = bisect.bisect_left(self.bases, base)
        del self.bases[at], self.buffers[at]

    def nearest(self, address):
        """The buffer that an address lies in or behind."""
        at = bisect.bisect(self.bases, int(address)) - 1
        return self.buffers[at] if at >= 0 else None

    def at(self, address, size):
        """(buffer, offset) of `size` bytes that must be there."""
        buffer = self.nearest(address)
        offset = int(address) - buffer.base if buffer else -1
        if not buffer or offset + size > buffer.size:
            behind = f": at {buffer.where(offset)}" if buffer and offset < buffer.size + (1 << 20) else ""
            raise MemoryFault(0, f"access of {size} bytes at address {int(address):#x} out of bounds{behind}")
        return buffer, offset

    def parts(self, addresses, size):
        """(buffer, offsets, lanes) for each buffer that is touched; lanes None: all."""
        first = self.nearest(addresses[0])
        if first:
            offsets = addresses - np.uint64(first.base)
            if not (offsets > np.uint64(max(first.size - size, 0))).any() and first.size >= size:
                return [(first, offsets, None)]
        found, left = [], np.arange(len(addresses))
        while len(left):
            lane = left[0]
            try:
                buffer, _ = self.at(addresses[lane], size)
            except MemoryFault as fault:
                raise MemoryFault(lane, str(fault)) from None
            offsets = addresses[left] - np.uint64(buffer.base)
            inside = offsets <= np.uint64(buffer.size - size)
            found.append((buffer, offsets[inside], left[inside]))
            left = left[~inside]
        return found


class Shared(Storage):
    """Shared memory of all CTAs that run together, one behind the other: an offset here is CTA * stride + address."""

    def __init__(self, ctas, size, races):
        self.cta_size = FIRST_SHARED + size
        self.stride = -(-self.cta_size // 1024) * 1024 + 1024
        super().__init__("shared memory", ctas * self.stride, written=False)
        words = len(self.data) // 4
        self.writer, self.written_at = np.zeros(words, np.int32), np.zeros(words, np.int64)
        self.reader, self.read_at = np.zeros(words, np.int32), np.zeros(words, np.int64)
        self.readers = None  # per byte: asynchronous reads under way (wgmma, bulk stores)
        self.races = races

    def where(self, offset):
        return f"shared memory + {int(offset) % self.stride} of CTA {int(offset) // self.stride} of the wave"

    def check_in_cta(self, addresses, size):
        low = addresses & np.uint64((1 << RANK_SHIFT) - 1)
        bad = (low > np.uint64(max(self.cta_size - size, 0))) | (low < FIRST_SHARED)
        if self.cta_size < size:
            bad[:] = True
        if bad.any():
            lane = np.flatnonzero(bad)[0]
            raise MemoryFault(
                lane,
                f"access of {size} bytes out of bounds: at shared address {int(low[lane])}, shared memory is "
                f"{FIRST_SHARED} .. {self.cta_size}",
            )

    # -- accesses of threads

    def load(self, warps, offsets, element, count, ordered=False):
        size = element * count
        values = self.gather(offsets, element, count)
        self.races.read(self, warps, offsets, size, ordered)
        return values

    def store(self, warps, offsets, values, element, count, ordered=False):
        size = element * count
        self.check_not_busy(offsets, size)
        self.races.write(self, warps, offsets, size, ordered)
        self.poke(offsets, values, element, count)

    def check_not_busy(self, offsets, size):
        """Nothing asynchronous writes or reads these bytes."""
        word = min(size, 8)
        index = offsets // np.uint64(word)
        high = self.state_views[word].dtype.type(int.from_bytes(bytes([COPYING]) * word, "little"))  # set in COPYING and BARRIER
        for part in range(size // word):
            busy = (self.state_views[word][index + np.uint64(part)] & high) != 0
            if busy.any():
                lane = np.flatnonzero(busy)[0]
                states = self.state[int(offsets[lane]) : int(offsets[lane]) + size]
                at = next(i for i in range(size) if states[i] & COPYING)
                raise MemoryFault(lane, f"write to {self.where(int(offsets[lane]) + at)}, which {STATES[int(states[at])]}")
            if self.readers is not None:
                used = self.readers.view(UNSIGNED[word])[index + np.uint64(part)] != 0
                if used.any():
                    lane = np.flatnonzero(used)[0]
                    raise MemoryFault(
                        lane,
                        f"write to {self.where(offsets[lane])}, which an asynchronous operation that has not "
                        "been waited for still reads",
                    )

    # -- asynchronous operations: whole sets of bytes

    def begin_copies(self, warps, offsets, size):
        """Of each thread: `size` bytes at its offset."""
        self.check_not_busy(offsets, size)
        self.races.write(self, warps, offsets, size, False)
        self.state[offsets.astype(np.int64)[:, None] + np.arange(size)] = COPYING

    def begin_copy(self, warp, index):
        """`index`: offsets of the bytes that will be written."""
        self.check_not_busy(index.astype(np.uint64), 1)
        self.races.write(self, warp, index[::4].astype(np.uint64), 4, False)
        self.state[index] = COPYING

    def land(self, warp, index, values, proxy=True):
        """proxy: written by the asynchronous proxy (bulk copies), not the generic one (cp.async)."""
        self.data[index] = values
        self.state[index] = WRITTEN
        self.races.landed(self, warp, index[::4], proxy)

    def begin_read(self, index):
        """`index` names no byte twice."""
        if self.readers is None:
            self.readers = np.zeros(len(self.data), np.uint8)
        self.readers[index] += 1

    def end_read(self, index):
        self.readers[index] -= 1

    def read_bytes(self, index):
        """Bytes at any offsets for an asynchronous reader; those not written are a fault."""
        states = self.state[index]
        if (states != WRITTEN).any():
            flat = index.ravel()[np.flatnonzero(states.ravel() != WRITTEN)[0]]
            raise MemoryFault(0, f"read of {self.where(flat)}, which {STATES[int(self.state[flat])]}")
        return self.data[index]
