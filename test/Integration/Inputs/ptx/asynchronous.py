"""The copies that run beside the threads: cp.async, bulk copies, TMA, st.async.

A copy lands as late as PTX allows: at the wait that its own thread makes (cp.async, bulk stores), or, where an mbarrier
tells of it, when no thread can go on without it. From its start on the destination may be neither read nor written.
"""

from dataclasses import dataclass

import numpy as np

from .decode import Unknown, opcode
from .loads import BYTES, OPERATIONS, operation, shared_offsets
from .mbarriers import arrive, barrier_at, barrier_offsets, complete_transactions
from .memory import RANK_SHIFT, MemoryFault
from .operands import INTEGERS, UNSIGNED, reader
from .overlap import check_turn
from .tensormap import ALIGNMENT, TensorMap

LOW = np.uint64((1 << RANK_SHIFT) - 1)


# ---- cp.async: each thread has groups of copies -----------------------------------------------------------------------


class Copies:
    """What a kind of copy has under way, in groups a thread: cp.async, or bulk stores."""

    def __init__(self, wave):
        self.committed = np.zeros(wave.threads, np.int64)
        self.active, self.issued = [], 0

    def add(self, copy):
        copy.number = self.issued
        self.issued += 1
        self.active.append(copy)

    def replace(self, copy, rest):
        at = next(at for at, active in enumerate(self.active) if active is copy)
        self.active[at : at + 1] = [rest] if len(rest.ids) else []

    def take(self, ids, keep):
        """The copies (as (copy, which of its threads)) of all but the last `keep` committed groups of these threads."""
        waiting = np.full(len(self.committed), -1, np.int64)
        waiting[ids] = self.committed[ids] - keep
        for copy in self.active:
            ready = copy.group < waiting[copy.ids]
            if ready.any():
                yield copy, ready


@dataclass
class ThreadCopy:
    """One cp.async of some threads."""

    at: int
    ids: np.ndarray
    group: np.ndarray
    offsets: np.ndarray
    source: np.ndarray
    size: int
    filled: np.ndarray  # bytes that are copied, the rest is zero
    number: int = 0

    def part(self, mask):
        arrays = (self.ids[mask], self.group[mask], self.offsets[mask], self.source[mask])
        return ThreadCopy(self.at, *arrays, self.size, self.filled[mask], self.number)

    def land(self, wave):
        values = np.zeros((len(self.ids), self.size), np.uint8)
        for count in np.unique(self.filled[self.filled > 0]):
            lanes = np.flatnonzero(self.filled == count)
            for buffer, offsets, some in wave.memory.parts(self.source[lanes], int(count)):
                index = offsets.astype(np.int64)[:, None] + np.arange(count)
                buffer.check_readable(offsets, 1)
                values[lanes if some is None else lanes[some], :count] = buffer.data[index]
        index = self.offsets.astype(np.int64)[:, None] + np.arange(self.size)
        wave.shared.land(np.repeat(self.ids >> 5, self.size // 4), index.ravel(), values.ravel(), proxy=False)


def thread_copies(wave):
    if "cp.async" not in wave.units:
        wave.units["cp.async"] = Copies(wave)
    return wave.units["cp.async"]


def land_thread_copies(wave, ids, keep):
    copies = thread_copies(wave)
    for copy, ready in list(copies.take(ids, keep)):
        copies.replace(copy, copy.part(~ready))
        done = copy.part(ready)
        wave.complete((copy.at, done.ids[0], lambda: done.land(wave)))


@opcode("cp")
def copy(context, instruction):
    parts_ = instruction.parts
    if parts_[1] == "reduce":
        return bulk_store(context, instruction, "tensor" in parts_, reduction(instruction))
    if parts_[1] != "async":
        raise Unknown(f".{parts_[1]}")
    if parts_[2] == "bulk":
        return bulk(context, instruction)
    if parts_[2] == "mbarrier":
        return arrive_after_copies(context, instruction)
    if parts_[2] == "commit_group":

        def commit(group):
            thread_copies(group.wave).committed[group.lanes] += 1

        return commit
    if parts_[2] in ("wait_group", "wait_all"):
        keep = context.operand(0).value if parts_[2] == "wait_group" else -1
        return lambda group: land_thread_copies(group.wave, group.ids, keep)
    return copy_async(context, instruction)


def copy_async(context, instruction):
    """cp.async.ca|cg.shared.global [to], [from], size{, bytes}"""
    to, source, size = context.address(0), context.address(1), context.operand(2).value
    if size not in (4, 8, 16) or ("cg" in instruction.parts and size != 16):
        raise context.error(f"expected 4, 8 or 16 bytes, and 16 with .cg, found {size}")
    last = context.operand(3) if context.count > 3 else None
    ignored = getattr(last, "width", 0) == 1 or hasattr(last, "predicate")
    filled = context.read(3, bool if ignored else np.uint32) if last else None

    def run(group):
        wave = group.wave
        addresses, sources = to(group), source(group).copy()
        wave.shared.check_alignment(addresses, size)
        wave.shared.check_alignment(sources, size)
        count = group.full(filled(group)).astype(np.int64) if filled else np.full(group.count, size)
        count = np.where(count, 0, size) if ignored else count
        if (count > size).any():
            raise group.fault(np.flatnonzero(count > size)[0], f"copies {count.max()} bytes into {size}")
        offsets = shared_offsets(group, addresses, size)
        wave.shared.begin_copies(group.warps, offsets, size)
        if count.any():
            check_turn(group, [wave.memory.nearest(source) for source in np.unique(sources[count > 0])], writes=False)
        copies = thread_copies(wave)
        copies.add(ThreadCopy(wave.at, group.ids, copies.committed[group.ids], offsets, sources, size, count))

    return run


def arrive_after_copies(context, instruction):
    """cp.async.mbarrier.arrive{.noinc} [address]: when all earlier cp.async of the thread have landed."""
    address, counted = context.address(0), "noinc" in instruction.parts

    def run(group):
        wave = group.wave
        for lane, offset in enumerate(barrier_offsets(group, address(group)).tolist()):
            if not counted:
                barrier_at(wave, offset).pending += 1
            thread = group.ids[lane : lane + 1]
            before = thread_copies(wave)

            def land(offset=offset, thread=thread, before=before, last=before.issued):
                for one in [copy for copy in before.active if thread[0] in copy.ids and copy.number < last]:
                    mine = one.ids == thread[0]
                    before.replace(one, one.part(~mine))
                    one.part(mine).land(wave)
                arrive(wave, offset, 1, wave.races.release(thread >> 5))

            wave.pending.append((wave.at, thread[0], land))

    return run


# ---- bulk copies and TMA ----------------------------------------------------------------------------------------------


@dataclass
class BulkStore:
    """Shared to global: first the bytes are read, then they land."""

    at: int
    ids: np.ndarray  # one thread
    group: np.ndarray
    index: np.ndarray  # of its bytes in shared memory
    land_: object
    data: object = None

    def capture(self, wave):
        if self.data is None:
            wave.shared.end_read(self.index)
            self.data = wave.shared.read_bytes(self.index)

    def land(self, wave):
        self.capture(wave)
        self.land_(self.data)


def bulk_stores(wave):
    if "bulk" not in wave.units:
        wave.units["bulk"] = Copies(wave)
    return wave.units["bulk"]


def wait_for_bulk(wave, ids, keep, only_read):
    stores = bulk_stores(wave)
    for store, _ in list(stores.take(ids, keep)):
        if only_read:
            wave.complete((store.at, store.ids[0], lambda: store.capture(wave)))
        else:
            stores.active = [other for other in stores.active if other is not store]
            wave.complete((store.at, store.ids[0], lambda: store.land(wave)))


def bulk(context, instruction):
    parts_ = instruction.parts
    if parts_[3] == "prefetch":
        return lambda group: None
    if parts_[3] == "commit_group":

        def commit(group):
            bulk_stores(group.wave).committed[group.lanes] += 1

        return commit
    if parts_[3] == "wait_group":
        keep, only_read = context.operand(0).value, "read" in parts_
        return lambda group: wait_for_bulk(group.wave, group.ids, keep, only_read)
    tensor = parts_[3] == "tensor"
    if tensor and ("im2col" in instruction.opcode or "tile::gather4" in instruction.opcode):
        raise Unknown("only tiles")
    if parts_[5 if tensor else 3].startswith("global"):
        return bulk_store(context, instruction, tensor)
    return bulk_load(context, instruction, tensor)


def one_by_one(run):
    """Each thread of a group by itself."""

    def each(group):
        for lane in range(group.count):
            mask = np.zeros(group.count, bool)
            mask[lane] = True
            try:
                run(group.part(mask))
            except MemoryFault as fault:
                raise MemoryFault(lane, str(fault)) from None

    return each


def tensor_map(wave, address):
    buffer, offset = wave.memory.at(address, 128)
    if address % 64:
        raise MemoryFault(0, f"misaligned: a tensor map at {address:#x}, expected a multiple of 64")
    try:
        return TensorMap(buffer.data[offset : offset + 128].tobytes())
    except ValueError as reason:
        raise MemoryFault(0, str(reason)) from None


def tensor_operand(context, number, rank, stores):
    """group of one thread -> (TensorMap, coordinates)"""
    operand = context.operand(number)
    address = reader(context, operand.base, np.uint64)
    coordinates = [reader(context, item, np.int32) for item in operand.coordinates]
    if len(coordinates) != rank:
        raise context.error(f"expected {rank} coordinates, found {len(coordinates)}")

    def read(group):
        found = tensor_map(group.wave, int(address(group)[0]))
        if found.rank != rank:
            raise MemoryFault(0, f"a tensor map of rank {found.rank}, the instruction has {rank}")
        at = [int(coordinate(group)[0]) for coordinate in coordinates]
        wrong = found.check(at, stores)
        if wrong:
            raise MemoryFault(0, wrong)
        return found, at

    return read


def bulk_load(context, instruction, tensor):
    """To shared memory, of one CTA or (multicast) at the same address of several; tells an mbarrier in each."""
    parts_ = instruction.parts
    multicast = "multicast::cluster" in parts_
    barrier_operand = 2 if tensor else 3
    to, barrier = context.address(0), context.address(barrier_operand)
    mask = context.read(barrier_operand + 1, np.uint16) if multicast else None
    rank = int(parts_[4][0]) if tensor else 0
    source = tensor_operand(context, 1, rank, stores=False) if tensor else None
    check_policy = cache_policy(context, barrier_operand + 1 + multicast)
    address, size = (None, None) if tensor else (context.address(1), context.read(2, np.uint32))
    from_shared = not tensor and parts_[4].startswith("shared")

    def run(group):
        wave = group.wave
        where = to(group)
        check_policy(group)
        if tensor:
            map_, coordinates = source(group)
            count, alignment = map_.bytes, ALIGNMENT
            low = int(where[0] & LOW)
            places, bring = map_.places(low), lambda: map_.load(wave.memory, coordinates)
            check_turn(group, [wave.memory.nearest(map_.address)], writes=False)
        else:
            begin, count, alignment = address(group), int(size(group)[0]), 16
            if count % 16 or begin[0] % np.uint64(16):
                raise MemoryFault(0, f"misaligned: {count} bytes from {int(begin[0]):#x}, expected multiples of 16")
            places, bring = np.arange(count), lambda: plain_bytes(group, begin, count, from_shared)
            if not from_shared:
                check_turn(group, [wave.memory.nearest(begin[0])], writes=False)
        if int(where[0]) % alignment:
            raise MemoryFault(
                0, f"misaligned: destination {int(where[0] & LOW)} of a bulk copy, expected a multiple of {alignment}"
            )
        for destination, told in destinations(group, where, barrier(group), count, mask):
            start_load(group, destination + places, told, bring)

    return one_by_one(run)


# No bits that PTX names: what a policy is, only createpolicy says.
POLICY = np.uint64(0x706F6C696379)


@opcode("createpolicy")
def create_policy(context, instruction):
    write = context.write()
    return lambda group: write(group, group.full(np.array([POLICY])))


def cache_policy(context, number):
    """A check that createpolicy made the policy, where there is one: PTX knows no others."""
    if "L2::cache_hint" not in context.instruction.parts:
        return lambda group: None
    read = context.read(number, np.uint64)

    def check(group):
        if (read(group) != POLICY).any():
            raise MemoryFault(0, "a cache policy that no createpolicy made")

    return check


def plain_bytes(group, begin, count, from_shared):
    if from_shared:
        offset = int(shared_offsets(group, begin, 16)[0])
        return group.wave.shared.read_bytes(np.arange(offset, offset + count))
    buffer, offset = group.wave.memory.at(begin[0], count)
    return buffer.data[offset : offset + count].copy()


def destinations(group, where, barrier, count, mask):
    """(offset of the destination, offset of the mbarrier) in each CTA."""
    wave = group.wave
    wave.shared.check_in_cta(where, count)
    if mask is None:
        return [(int(shared_offsets(group, where, 16)[0]), int(barrier_offsets(group, barrier)[0]))]
    wanted = int(mask(group)[0])
    if not wanted or wanted >> wave.cluster_size:
        raise MemoryFault(0, f"multicast to CTAs {wanted:#x} of a cluster of {wave.cluster_size}")
    found = []
    for rank in range(wave.cluster_size):
        if wanted >> rank & 1:
            remote = np.uint64(rank + 1 << RANK_SHIFT)
            found.append(
                (
                    int(shared_offsets(group, (where & LOW) | remote, 16)[0]),
                    int(barrier_offsets(group, (barrier & LOW) | remote)[0]),
                )
            )
    return found


def start_load(group, index, told, bring):
    wave, warps = group.wave, group.warps.copy()
    wave.shared.begin_copy(warps, index)
    barrier_at(wave, told)
    issued = wave.races.release(warps)

    def land():
        data = bring()
        wave.shared.land(warps, index, data)
        clock = issued.copy()
        clock[wave.races.local(warps)] = wave.step
        complete_transactions(wave, told, len(index), clock)

    wave.pending.append((wave.at, group.ids[0], land))


def reduction(instruction):
    """(name of the operation, element type; None: the tensor's) of cp.reduce.async.bulk"""
    name = next((part for part in instruction.parts if part in OPERATIONS and part not in ("exch", "cas")), None)
    if name is None or "global" not in instruction.parts:
        raise Unknown("only reductions into global memory")
    return name, None if "tensor" in instruction.parts else instruction.parts[-1]


def reduce_bytes(buffer, offset, data, name, kind):
    size = BYTES.get(kind) or INTEGERS[kind].itemsize
    offsets = np.arange(offset, offset + len(data), size, dtype=np.uint64)
    new = np.ascontiguousarray(data).view(UNSIGNED[size])
    buffer.scatter(offsets, operation(name, kind)(buffer.gather(offsets, size, 1), new), size, 1)


def bulk_store(context, instruction, tensor, reduces=None):
    """To global memory; `reduces`: into what is there."""
    rank = next((int(part[0]) for part in instruction.parts if part in ("1d", "2d", "3d", "4d", "5d")), 0)
    to = tensor_operand(context, 0, rank, stores=True) if tensor else context.address(0)
    source = context.address(1)
    size = None if tensor else context.read(2, np.uint32)

    def run(group):
        wave = group.wave
        address = source(group)
        if tensor:
            map_, coordinates = to(group)
            check_turn(group, [wave.memory.nearest(map_.address)], writes=True)
            places, count = map_.places(int(address[0] & LOW)), map_.bytes
            combine = operation(reduces[0], map_.kind) if reduces else None
            land = lambda data: map_.store(wave.memory, coordinates, data, combine)  # noqa: E731
        else:
            where, count = int(to(group)[0]), int(size(group)[0])
            if where % 16 or count % 16:
                raise MemoryFault(0, f"misaligned: {count} bytes to {where:#x}, expected multiples of 16")
            buffer, offset = wave.memory.at(where, count)
            check_turn(group, [buffer], writes=True)
            places = np.arange(count)

            def land(data):
                if reduces:
                    return reduce_bytes(buffer, offset, data, *reduces)
                buffer.poke(np.arange(offset, offset + count, dtype=np.uint64), data, 1, 1)

        wave.shared.check_in_cta(address, count)
        if address[0] % np.uint64(ALIGNMENT if tensor else 16):
            raise MemoryFault(0, f"misaligned: source {int(address[0])} of a bulk store")
        index = int(shared_offsets(group, address, 16)[0]) + places
        wave.races.check_proxy(wave.shared, group.warps, index)
        wave.races.read(wave.shared, group.warps, index[::16].astype(np.uint64), 16, False)
        wave.shared.read_bytes(index)
        wave.shared.begin_read(index)
        stores = bulk_stores(wave)
        stores.add(BulkStore(wave.at, group.ids, stores.committed[group.ids], index, land))

    return one_by_one(run)


# ---- stores that tell an mbarrier -------------------------------------------------------------------------------------


def store_async(context, instruction):
    """st.async.shared::cluster.mbarrier::complete_tx::bytes{.v2,.v4}.type [address], values, [mbarrier]"""
    dtype = UNSIGNED[{"f32": 4, "f64": 8}.get(instruction.parts[-1]) or INTEGERS[instruction.parts[-1]].itemsize]
    kind = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64)}.get(instruction.parts[-1], dtype)
    address, reads, barrier = context.address(0), context.reads(1, kind), context.address(2)
    size = dtype.itemsize * len(reads)

    def run(group):
        wave = group.wave
        if not wave.launch.clustered:
            raise group.fault(0, "st.async in a kernel that is not launched as a cluster is an illegal instruction")
        addresses = address(group)
        wave.shared.check_alignment(addresses, size)
        offsets, told = shared_offsets(group, addresses, size), barrier_offsets(group, barrier(group))
        if (offsets // np.uint64(wave.shared.stride) != told // np.uint64(wave.shared.stride)).any():
            raise group.fault(0, "st.async with the mbarrier of another CTA than the destination's")
        values = (
            np.ascontiguousarray(np.stack([group.full(read(group)).view(dtype) for read in reads], axis=1))
            .view(np.uint8)
            .reshape(group.count, size)
        )
        for lane in range(group.count):
            index = int(offsets[lane]) + np.arange(size)
            start_load(group.part(np.arange(group.count) == lane), index, int(told[lane]), lambda data=values[lane]: data)

    return run


def before_exit(wave, group):
    """A CTA whose shared memory is still being read may not end."""
    for store in bulk_stores(wave).active if "bulk" in wave.units else ():
        if store.data is None and np.isin(store.ids, group.ids).any():
            raise wave.fault(
                store.ids[0], "exits while its bulk store may still read shared memory: no cp.async.bulk.wait_group", store.at
            )


def finish(wave):
    """The kernel ends: stores that nobody waited for land."""
    if "bulk" in wave.units:
        for store in wave.units["bulk"].active:
            wave.complete((store.at, store.ids[0], lambda: store.land(wave)))
