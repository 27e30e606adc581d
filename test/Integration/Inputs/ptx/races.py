"""Was one access to shared memory ordered before another? Happens-before between warps, kept as vector clocks.

The clock is the wave's step counter. known[w][v] is the last step of warp v that warp w has synchronized with; barriers,
mbarriers and strong accesses pass it on. Per word only the last writer and the last reader are kept: what is reported is a
race, what is not reported may be one. The asynchronous (second) proxy sees generic writes only behind a fence.proxy.async
of the writer or of the issuing threads.
"""

import numpy as np

from .memory import MemoryFault


class Races:
    def __init__(self, wave, enabled):
        self.wave, self.enabled = wave, enabled
        warps = wave.ctas * wave.warps_per_cta
        self.per_cluster = wave.warps_per_cta * wave.cluster_size
        self.known = np.zeros((warps, self.per_cluster), np.int64)
        self.fenced_at = np.full(warps, -1, np.int64)  # last fence.proxy.async of a warp
        self.fences = np.zeros((warps, self.per_cluster), np.int64)  # what each warp had done at its last fence
        self.strong = {}  # location -> clock that strong writes left there

    # -- clocks

    def local(self, warps):
        """Columns of `known`: a clock covers one cluster."""
        return warps % self.per_cluster

    def release(self, warps):
        """The clock of everything these warps have done."""
        known = self.known[warps].max(axis=0)
        known[self.local(warps)] = self.wave.step
        return known

    def release_relaxed(self, warps):
        """Of a relaxed operation: what was done before the last fence."""
        return self.fences[warps].max(axis=0)

    def fence(self, warps):
        for warp in warps:
            self.fences[warp] = self.release(np.array([warp]))

    def acquire(self, warps, clock):
        if clock is not None:
            self.known[warps] = np.maximum(self.known[warps], clock)

    def strong_access(self, warp, location, acquires, releases):
        one = np.array([warp])
        if acquires and location in self.strong:
            self.acquire(one, self.strong[location])
        if releases:
            clock = self.release(one)
            known = self.strong.get(location)
            self.strong[location] = clock if known is None else np.maximum(clock, known)

    # -- accesses

    def words(self, warps, offsets, size):
        """Word indices of the accesses, and the warp of each."""
        index = (offsets // np.uint64(4)).astype(np.int64)
        warps = np.broadcast_to(warps, offsets.shape)
        if size <= 4:
            return index, warps
        count = size // 4
        return (index[:, None] + np.arange(count)).ravel(), np.repeat(warps, count)

    def check(self, shared, warps, index, who, when, size, what):
        """The accesses (who, when) must be known to these warps."""
        others = who[index]
        bad = (when[index] > self.known[warps, self.local(others)]) & (others != warps)
        if bad.any():
            at = np.flatnonzero(bad)[0]
            raise MemoryFault(
                at // max(1, size // 4),
                f"race: {what} {shared.where(index[at] * 4)}, and nothing orders it behind "
                f"the {'write' if who is shared.writer else 'read'} of warp {int(others[at]) % self.wave.warps_per_cta}",
            )

    def read(self, shared, warps, offsets, size, ordered):
        if not self.enabled:
            return
        index, warps = self.words(warps, offsets, size)
        if not ordered:
            self.check(shared, warps, index, shared.writer, shared.written_at, size, "read of")
        shared.reader[index] = warps
        shared.read_at[index] = self.wave.step

    def write(self, shared, warps, offsets, size, ordered):
        index, warps = self.words(warps, offsets, size)
        if self.enabled and not ordered:
            self.check(shared, warps, index, shared.writer, shared.written_at, size, "write to")
            self.check(shared, warps, index, shared.reader, shared.read_at, size, "write to")
        shared.writer[index] = warps
        shared.written_at[index] = self.wave.step

    def landed(self, shared, warp, index, proxy):
        """A copy has written; if it was the asynchronous proxy, that reads it again without a fence."""
        words = index // 4
        shared.writer[words] = warp
        shared.written_at[words] = self.wave.step
        if proxy:
            self.asynchronous[words] = self.wave.step

    # -- the asynchronous proxy

    def fence_proxy(self, warps):
        self.fenced_at[warps] = self.wave.step

    def check_proxy(self, shared, warps, index):
        """The asynchronous proxy reads bytes `index` for these warps: generic writes to them must be fenced."""
        if not self.enabled:
            return
        words = index.ravel()[::4] // 4
        written, writer = shared.written_at[words], shared.writer[words]
        by_proxy = self.asynchronous[words] == written
        fenced = (self.fenced_at[writer] > written) | (self.fenced_at[warps].max() > written)
        bad = ~(by_proxy | fenced)
        if bad.any():
            raise MemoryFault(
                0,
                f"the asynchronous proxy reads {shared.where(words[np.flatnonzero(bad)[0]] * 4)}, which was written "
                "through the generic proxy without a fence.proxy.async behind it",
            )

    def attach(self, shared):
        self.asynchronous = np.full(len(shared.written_at), -1, np.int64)
