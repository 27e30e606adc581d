"""tcgen05: one thread starts products of matrices in shared memory, whose sums lie in tensor memory (PTX ISA 9.1, 9.7.16).

A product is computed when the commit behind it completes, which is when no thread can go on without it. Until then its sums
may be neither loaded nor its operands overwritten. A load gives its registers at the wait::ld. Told where it happens: sums
that were never written or are not allocated, what no mbarrier or barrier orders, and where a tcgen05.fence is missing between
what a thread waited for and the tcgen05 instructions of another. The text has figures for where sums lie: row r in lane r, a
column each; 16x256b as CuTe has it, in the order of mma's accumulators.
"""

from dataclasses import dataclass, field

import numpy as np

from .decode import Unknown, items, opcode
from .loads import shared_offsets
from .matrix import accumulate, elements
from .mbarriers import arrive, barrier_at, barrier_offsets
from .memory import MemoryFault
from .module import Register
from .operands import WRITING, Bits
from .scaled import fused_sum
from .warps import converging
from .wgmma import offsets_of

LANES, COLUMNS, UNIT = 128, 512, 32
# Kind -> dtype of D in the descriptor and here, types of A and B by their numbers, columns of D.
KINDS = {
    "i8": (2, "s32", {0: "u8", 1: "s8"}, [8, 24, *range(16, 257, 16)]),
    "f16": (1, "f32", {0: "f16", 1: "bf16"}, range(8, 257, 8)),
    "f8f6f4": (1, "f32", {0: "e4m3", 1: "e5m2"}, range(8, 257, 8)),
}
BYTES = {"u8": 1, "s8": 1, "e4m3": 1, "e5m2": 1, "f16": 2, "bf16": 2}
SPANS = {0: 16, 2: 128, 4: 64, 6: 32}  # descriptor bits 61..63 -> bytes of the swizzle
MOST_ADDENDS = 128 * 64 * 32  # of products of floats at one time


@dataclass
class Product:
    at: int
    columns: slice
    finish: object
    done: bool = False


@dataclass
class TensorMemory:
    """Of one CTA."""

    words: np.ndarray = field(default_factory=lambda: np.zeros((LANES, COLUMNS), np.uint32))
    written: np.ndarray = field(default_factory=lambda: np.zeros((LANES, COLUMNS), bool))
    allocated: dict = field(default_factory=dict)  # first column -> columns
    relinquished: bool = False
    products: list = field(default_factory=list)  # under way
    landed_at: np.ndarray = field(default_factory=lambda: np.full(COLUMNS, -1, np.int64))  # step, and the warp of the product
    writer: np.ndarray = field(default_factory=lambda: np.zeros(COLUMNS, np.int64))
    loads: dict = field(default_factory=dict)  # warp -> [(columns, what the wait does)]
    loaded_at: dict = field(default_factory=dict)  # warp -> step of the last wait behind a load of each column


@dataclass
class Fences:
    before: np.ndarray
    after: np.ndarray


def memory(wave, cta):
    return wave.units.setdefault("tensor memory", {}).setdefault(int(cta), TensorMemory())


def fences(wave):
    if "tcgen05.fences" not in wave.units:
        wave.units["tcgen05.fences"] = Fences(*(np.full(wave.threads, -1, np.int64) for _ in range(2)))
    return wave.units["tcgen05.fences"]


@opcode("tcgen05")
def tcgen05(context, instruction):
    action = instruction.parts[1]
    if action.startswith("fence::"):
        return fence(action == "fence::before_thread_sync")
    if action == "wait::ld":
        instruction.control = True
        return converging(by_warp(wait))
    if "cta_group::2" in instruction.parts or action not in ("alloc", "dealloc", "relinquish_alloc_permit", "mma", "commit", "ld"):
        raise Unknown(f".{action}, or of two CTAs")
    factory = {"alloc": allocate, "dealloc": deallocate, "mma": multiply, "commit": commit, "ld": load}
    if action in ("mma", "commit"):
        return factory[action](context, instruction)
    instruction.control = True
    return converging(by_warp(relinquish if action == "relinquish_alloc_permit" else factory[action](context, instruction)))


def by_warp(run):
    """Each warp of a group by itself."""

    def each(group):
        for warp in np.unique(group.warps):
            run(group.part(group.warps == warp))

    return each


def fence(before):
    def run(group):
        one = fences(group.wave)
        (one.before if before else one.after)[group.lanes] = group.wave.step

    return run


# ---- allocation -------------------------------------------------------------------------------------------------------


def columns_of(part, count):
    value = np.unique(part.full(count(part)))
    if len(value) != 1 or not UNIT <= value[0] <= COLUMNS or value[0] & value[0] - 1:
        raise part.fault(0, f"expected a power of two of 32 .. 512 columns, found {value.tolist()}")
    return int(value[0])


def allocate(context, instruction):
    """tcgen05.alloc...b32 [address in shared memory], columns"""
    address, count = context.address(0), context.read(1, np.uint32)

    def run(part):
        wave, columns = part.wave, columns_of(part, count)
        state = memory(wave, part.ctas[0])
        if state.relinquished:
            raise part.fault(0, "allocates behind the relinquish_alloc_permit of its CTA")
        taken = np.zeros(COLUMNS, bool)
        for first, size in state.allocated.items():
            taken[first : first + size] = True
        free = [first for first in range(0, COLUMNS, columns) if not taken[first : first + columns].any()]
        if not free:
            raise part.fault(0, f"waits forever: {columns} columns are not free")
        state.allocated[free[0]] = columns
        state.written[:, free[0] : free[0] + columns] = False
        one = part.part(np.arange(part.count) == 0)
        where = shared_offsets(one, address(one), 4)
        wave.shared.store(one.warps, where, np.array([free[0]], np.uint32), 4, 1)

    return run


def deallocate(context, instruction):
    where, count = context.read(0, np.uint32), context.read(1, np.uint32)

    def run(part):
        state, first = memory(part.wave, part.ctas[0]), int(part.full(where(part))[0])
        columns = columns_of(part, count)
        if state.allocated.pop(first, None) != columns:
            raise part.fault(0, f"gives back {columns} columns from {first:#x} on, which is no allocation")
        check_free(part, state, slice(first, first + columns))

    return run


def relinquish(part):
    memory(part.wave, part.ctas[0]).relinquished = True


def check_allocated(part, state, first, count):
    if not any(start <= first and first + count <= start + size for start, size in state.allocated.items()):
        raise part.fault(0, f"columns {first} to {first + count - 1} of tensor memory are not allocated")


# ---- products ---------------------------------------------------------------------------------------------------------


def matrix_bytes(value, rows, by_columns=False):
    """(rows, 32) shared addresses of a matrix with K innermost, or of 16-bit elements with columns innermost, by its
    canonical layout."""
    if value >> 46 & 7 != 1 or value >> 53 & 0xFF or value >> 61 not in SPANS:
        raise MemoryFault(0, f"{value:#x} is no descriptor of shared memory")
    if value >> 49 & 7 or value >> 52 & 1:
        raise MemoryFault(0, "a descriptor with a base offset or an absolute distance is not modelled")
    start, leading, stride = ((value >> bit & 0x3FFF) << 4 for bit in (0, 16, 32))
    span = SPANS[value >> 61]
    row, byte = np.arange(rows)[:, None], np.arange(32)[None, :]
    if by_columns and span != 128:
        raise MemoryFault(0, "columns side by side are modelled with the swizzle of 128 bytes alone")
    if by_columns:
        k = byte // 2
        place = start + row // 64 * leading + row % 64 * 2 + byte % 2 + k % 8 * span + k // 8 * stride
        return place ^ (place >> 7 & span // 16 - 1) << 4
    if span == 16:
        return start + row // 8 * stride + row % 8 * 16 + byte // 16 * leading + byte % 16
    place = start + row // 8 * stride + row % 8 * span + byte
    return place ^ (place >> 7 & span // 16 - 1) << 4


def instruction_descriptor(part, value, kind):
    """(columns, types of A and B, whether columns of B are innermost)"""
    number, _, types, allowed = KINDS[kind]
    found = [value >> bit & 7 for bit in (7, 10)]
    columns, rows = (value >> 17 & 63) * 8, (value >> 24 & 31) * 16
    if value >> 4 & 3 != number or any(one not in types for one in found):
        raise part.fault(0, f"instruction descriptor {value:#x} has types that .kind::{kind} is not modelled for")
    if rows != 128 or columns not in allowed:
        raise part.fault(0, f"instruction descriptor {value:#x} is of {rows} rows and {columns} columns")
    by_columns = bool(value >> 16 & 1)
    if value & ~(3 << 4 | 63 << 7 | 63 << 17 | 31 << 24 | 1 << 16) or by_columns and kind != "f16":
        raise part.fault(0, f"instruction descriptor {value:#x} has other bits: sparse, negated and more are not modelled")
    return columns, [types[one] for one in found], by_columns


def multiply(context, instruction):
    """tcgen05.mma.cta_group::1.kind::k{.collector::a::discard} [d], a, b, descriptor, enable"""
    kind = next((part[6:] for part in instruction.parts if part.startswith("kind::")), None)
    if kind not in KINDS or "block_scale" in instruction.parts or context.count != 5:
        raise Unknown("only i8, f16 and f8f6f4 of matrices in shared memory")
    address = context.address(0)
    reads = [context.read(number, dtype) for number, dtype in ((1, np.uint64), (2, np.uint64), (3, np.uint32), (4, bool))]

    def run(group):
        for lane in range(group.count):
            part = group.part(np.arange(group.count) == lane)
            start(part, kind, int(address(part)[0]), *(part.full(read(part))[0] for read in reads))

    return run


def start(part, kind, where, a, b, descriptor, adds):
    wave, thread = part.wave, int(part.ids[0])
    state = memory(wave, part.ctas[0])
    columns, types, by_columns = instruction_descriptor(part, int(descriptor), kind)
    if where >> 16:
        raise part.fault(0, f"sums begin at lane {where >> 16}, expected 0")
    check_allocated(part, state, where, columns)
    region = slice(where, where + columns)
    check_loaded(part, state, region)
    indices = [offsets_of(part, matrix_bytes(int(a), 128)), offsets_of(part, matrix_bytes(int(b), columns, by_columns))]
    for index in indices:
        wave.races.check_proxy(wave.shared, part.warps, index)
        words = (np.unique(index >> 2) << 2).astype(np.uint64)
        wave.races.read(wave.shared, np.broadcast_to(part.warps, words.shape), words, 4, False)
        wave.shared.read_bytes(index)
        wave.shared.begin_read(index)

    def finish():
        left, right = (elements(np.ascontiguousarray(wave.shared.read_bytes(index)).view(np.uint32), kind_).reshape(len(index), -1)
                       for index, kind_ in zip(indices, types))
        for index in indices:
            wave.shared.end_read(index)
        dtype = np.int32 if kind == "i8" else np.float32
        old = state.words[:, region].view(dtype) if adds else np.zeros((LANES, columns), dtype)
        if adds and not state.written[:, region].all():
            raise MemoryFault(0, "adds to sums that were never written")
        state.words[:, region] = np.ascontiguousarray(product(kind, old, left, right)).view(np.uint32)
        state.written[:, region] = True
        state.landed_at[region], state.writer[region] = wave.step, thread >> 5

    one = Product(wave.at, region, finish)
    state.products.append(one)
    wave.units.setdefault("tcgen05.started", {}).setdefault(thread, []).append((state, one))


def product(kind, old, a, b):
    if kind != "f8f6f4":
        return accumulate(old, a @ b.T, KINDS[kind][1])
    # What the unit keeps: scaled.py.
    rows = max(1, MOST_ADDENDS // b.size)
    parts = [fused_sum(old[i : i + rows], a[i : i + rows, None, :] * b[None], 25) for i in range(0, LANES, rows)]
    return np.concatenate(parts)


def check_loaded(part, state, region):
    """What warps load of these columns is there, and they have said so."""
    wave, thread, issuer = part.wave, int(part.ids[0]), part.warps
    for warp, loads in state.loads.items():
        if any(columns.start < region.stop and region.start < columns.stop for columns, _ in loads):
            raise part.fault(0, "writes sums that a warp loads, which has not waited for them")
    for warp, loaded in state.loaded_at.items():
        last = loaded[region].max()
        if last < 0 or warp == issuer[0]:
            continue
        if last > wave.races.known[issuer[0], wave.races.local(np.array([warp]))[0]]:
            raise part.fault(0, f"race: writes sums, and nothing orders it behind the loads of warp {warp % wave.warps_per_cta}")
        behind = fences(wave).before[warp * 32 : warp * 32 + 32].max()
        if behind < last or fences(wave).after[thread] < last:
            raise part.fault(0, "writes sums that others loaded without tcgen05.fence::before_thread_sync and after_thread_sync")


def check_free(part, state, region):
    if any(one.columns.start < region.stop and region.start < one.columns.stop for one in state.products):
        raise part.fault(0, "products of these sums are under way")


def commit(context, instruction):
    """tcgen05.commit...mbarrier::arrive::one{.shared::cluster}.b64 [mbarrier]"""
    address = context.address(0)
    if "mbarrier::arrive::one" not in instruction.parts or context.count != 1:
        raise Unknown("only the arrival at one mbarrier")

    def run(group):
        wave = group.wave
        for lane, offset in enumerate(barrier_offsets(group, address(group)).tolist()):
            thread, warps = int(group.ids[lane]), group.warps[lane : lane + 1].copy()
            barrier_at(wave, offset)
            tracked = list(wave.units.get("tcgen05.started", {}).get(thread, []))
            issued = wave.races.release(warps)

            def land(offset=offset, warps=warps, tracked=tracked, issued=issued):
                for state, one in tracked:
                    if not one.done:
                        one.finish()
                        one.done = True
                        state.products = [other for other in state.products if other is not one]
                clock = issued.copy()
                clock[wave.races.local(warps)] = wave.step
                arrive(wave, offset, 1, clock)

            wave.pending.append((wave.at, thread, land))
            started = wave.units.get("tcgen05.started", {}).get(thread, [])
            started[:] = [(state, one) for state, one in started if not one.done]

    return run


# ---- loads ------------------------------------------------------------------------------------------------------------


def load(context, instruction):
    """tcgen05.ld.sync.aligned.shape.xN.b32 {registers}, [address]"""
    shape = next((part for part in instruction.parts if part in ("16x256b", "32x32b")), None)
    count = next((int(part[1:]) for part in instruction.parts if part[0] == "x" and part[1:].isdigit()), None)
    registers = items(context.operand(0))
    if not shape or not count or "pack::16b" in instruction.parts or not all(isinstance(one, Register) for one in registers):
        raise Unknown("only 16x256b and 32x32b of words")
    lanes, width = (16, 8 * count) if shape == "16x256b" else (32, count)
    if len(registers) != lanes * width // 32:
        raise context.error(f"expected {lanes * width // 32} registers")
    address = context.address(1)

    def run(part):
        wave, state = part.wave, memory(part.wave, part.ctas[0])
        where = np.unique(address(part))
        if len(where) != 1:
            raise part.fault(0, "the lanes of a warp load from different addresses")
        lane, first = int(where[0]) >> 16, int(where[0]) & 0xFFFF
        quarter = int(wave.thread_in_cta[part.ids[0]]) // 32 % 4
        if lane % lanes or lane // 32 != quarter:
            raise part.fault(0, f"warp {quarter} of its warpgroup loads from lane {lane}, expected {32 * quarter} on")
        check_allocated(part, state, first, width)
        region = slice(first, first + width)
        check_free(part, state, region)
        if not state.written[lane : lane + lanes, region].all():
            raise part.fault(0, "loads sums that were never written")
        check_ordered(part, state, region)
        values = state.words[lane : lane + lanes, region].copy()
        if shape == "16x256b":  # row 8 i + g, column 8 j + 2 t + c -> register 4 j + 2 i + c of lane 4 g + t
            values = values.reshape(2, 8, count, 4, 2).transpose(1, 3, 2, 0, 4).reshape(32, -1)
        for one in registers:
            if wave.registers[one.slot] is None:
                wave.registers[one.slot] = Bits(one, wave.threads)
            wave.registers[one.slot].guard_lanes(part.lanes, WRITING)

        def finish():
            for number, one in enumerate(registers):
                wave.registers[one.slot].bits[part.lanes] = values[:, number]
                wave.registers[one.slot].release(part.lanes)

        state.loads.setdefault(int(part.warps[0]), []).append((region, finish))

    return run


def check_ordered(part, state, region):
    """The products that wrote these sums are known to this warp, and it has fenced."""
    wave, warp = part.wave, part.warps[0]
    landed, writers = state.landed_at[region], state.writer[region]
    late = (landed > wave.races.known[warp, wave.races.local(writers)]) & (writers != warp)
    if late.any():
        raise part.fault(0, "race: loads sums, and nothing orders it behind their products")
    if fences(wave).after[part.lanes].min() <= landed.max():
        raise part.fault(0, "loads sums without tcgen05.fence::after_thread_sync behind the wait for their products")


def wait(part):
    state, warp = memory(part.wave, part.ctas[0]), int(part.warps[0])
    loaded = state.loaded_at.setdefault(warp, np.full(COLUMNS, -1, np.int64))
    for region, finish in state.loads.pop(warp, []):
        finish()
        loaded[region] = part.wave.step


def before_exit(wave, group):
    for cta in np.unique(group.ctas):
        state = wave.units.get("tensor memory", {}).get(int(cta))
        if state and state.allocated and not wave.live.reshape(wave.ctas, -1)[int(cta)].any():
            raise group.fault(0, "the last thread of a CTA exits, and tensor memory was not given back")
        if state and state.loads.keys() & set(group.warps.tolist()):
            raise group.fault(0, "exits while its tcgen05.ld was not waited for")
