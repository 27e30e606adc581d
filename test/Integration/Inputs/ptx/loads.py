"""ld, st, atom, red and copies of addresses: what a thread does to memory by itself."""

import numpy as np

from .control import frame
from .decode import Unknown, opcode
from .floats import halves
from .formats import FORMATS, encode
from .memory import FRAME_SHIFT, FRAME_WINDOW, LOCAL_WINDOW, RANK_SHIFT, SHARED_WINDOW, MemoryFault
from .module import Vector, Memory, Symbol
from .operands import INTEGERS, UNSIGNED
from .overlap import check_turn

HINTS = (
    "nc",
    "ca",
    "cg",
    "cs",
    "lu",
    "cv",
    "wb",
    "wt",
    "weak",
    "volatile",
    "relaxed",
    "acquire",
    "release",
    "acq_rel",
    "sc",
    "cta",
    "cluster",
    "gpu",
    "sys",
    "mmio",
    "unified",
    "level",
    "noftz",
    "L2",
    "param",
    "func",
    "entry",
)
STRONG = {"volatile", "relaxed", "acquire", "release", "acq_rel", "sc"}
BYTES = {"f32": 4, "f64": 8, "f16x2": 4, "bf16x2": 4, "f16": 2, "bf16": 2}  # of floats
TYPES = {**INTEGERS, "f32": UNSIGNED[4], "f64": UNSIGNED[8]}


# ---- where an address lies --------------------------------------------------------------------------------------------


def shared_offsets(group, addresses, size):
    """Offsets in wave.shared of shared::cta or shared::cluster addresses."""
    wave = group.wave
    wave.shared.check_in_cta(addresses, size)
    rank = addresses >> np.uint64(RANK_SHIFT)
    if not rank.any():
        return addresses + wave.cta_base[group.lanes]
    if (rank > wave.cluster_size).any():
        lane = np.flatnonzero(rank > wave.cluster_size)[0]
        raise MemoryFault(
            lane, f"shared address {int(addresses[lane]):#x} names CTA {int(rank[lane]) - 1} of a cluster of {wave.cluster_size}"
        )
    cta = group.ctas
    cta = np.where(rank > 0, cta // wave.cluster_size * wave.cluster_size + rank.astype(np.int64) - 1, cta).astype(np.uint64)
    return (addresses & np.uint64((1 << RANK_SHIFT) - 1)) + cta * np.uint64(wave.shared.stride)


def parts(group, space, addresses, size):
    """(storage, offsets, lanes) for each memory that the access touches; lanes None: all."""
    wave = group.wave
    if addresses.size and (addresses & np.uint64(size - 1)).any():
        wave.shared.check_alignment(addresses, size)
    if space == "shared":
        return [(wave.shared, shared_offsets(group, addresses, size), None)]
    if space == "local":
        return [local(group, addresses, size)]
    if space not in ("generic", "param"):
        return wave.memory.parts(addresses, size)
    window = addresses >> np.uint64(44)
    found = []
    for value in np.unique(window):
        lanes = np.flatnonzero(window == value)
        part, low = group.part(lanes), addresses[lanes]
        if value == SHARED_WINDOW >> 44:
            here = [(wave.shared, shared_offsets(part, low - np.uint64(SHARED_WINDOW), size), None)]
        elif value == LOCAL_WINDOW >> 44 or (space == "param" and low[0] >= np.uint64(FRAME_WINDOW)):
            here = [local(part, low, size)]
        else:
            here = wave.memory.parts(low, size)
        found += [(storage, offsets, lanes if some is None else lanes[some]) for storage, offsets, some in here]
    return found if len(found) > 1 else [(found[0][0], found[0][1], None)]


def local(group, addresses, size):
    """The thread's stack, or a parameter of a function whose address was taken."""
    wave = group.wave
    low = addresses & np.uint64(LOCAL_WINDOW - 1)
    if low[0] >= np.uint64(FRAME_WINDOW):
        return frame_at(group, low, size)
    return wave.local, wave.local_offsets(group, low, size), None


def frame_at(group, addresses, size):
    offsets = addresses & np.uint64((1 << FRAME_SHIFT) - 1)
    number = int(addresses[0] - np.uint64(FRAME_WINDOW)) >> FRAME_SHIFT
    function, variable = group.wave.module.frames[number]
    bad = (offsets > np.uint64(max(variable.size - size, 0))) | (addresses - offsets != addresses[0] - offsets[0])
    if bad.any() or size > variable.size:
        lane = np.flatnonzero(bad)[0] if bad.any() else 0
        raise MemoryFault(lane, f"access of {size} bytes out of bounds: parameter {variable.name} has {variable.size}")
    return frame(group.wave, function, variable), group.ids.astype(np.uint64) * np.uint64(variable.size) + offsets, None


def load(group, space, addresses, element, count, ordered=False):
    found = parts(group, space, addresses, element * count)
    values = None
    for storage, offsets, lanes in found:
        if storage is group.wave.shared:
            warps = group.warps if lanes is None else group.warps[lanes]
            here = storage.load(warps, offsets, element, count, ordered)
        else:
            check_turn(group if lanes is None else group.part(lanes), [storage], writes=False)
            here = storage.gather(offsets, element, count)
        if lanes is None:
            return here
        if values is None:
            values = np.zeros((group.count,) + here.shape[1:], here.dtype)
        values[lanes] = here
    return values


def store(group, space, addresses, values, element, count, ordered=False):
    for storage, offsets, lanes in parts(group, space, addresses, element * count):
        here = values if lanes is None else values[lanes]
        if storage is group.wave.shared:
            storage.store(group.warps if lanes is None else group.warps[lanes], offsets, here, element, count, ordered)
        else:
            check_turn(group if lanes is None else group.part(lanes), [storage], writes=True)
            storage.scatter(offsets, here, element, count)


# ---- ld and st --------------------------------------------------------------------------------------------------------


def space_of(instruction):
    for part in instruction.parts[1:]:
        name = part.split("::")[0]
        if name in ("global", "shared", "local", "const"):
            return "global" if name == "const" else name
    return "param" if "param" in [part.split("::")[0] for part in instruction.parts] else "generic"


def shape_of(instruction):
    """(type, elements) and complains about modifiers that are not known."""
    count = 1
    for part in instruction.parts[1:-1]:
        name = part.split("::")[0]
        if part in ("v2", "v4", "v8"):
            count = int(part[1])
        elif name not in HINTS and name not in ("global", "shared", "local", "const", "L1", "L2"):
            raise Unknown(f".{part}")
    return TYPES[instruction.parts[-1]], count


def is_frame(context, operand):
    """A parameter of a .func or of a call: the bytes are the thread's own."""
    if not isinstance(operand, Memory) or not isinstance(operand.base, Symbol):
        return None
    variable = context.variable(operand.base.name)
    function = context.module.functions[context.instruction.function]
    if not variable or variable.space != "param" or (function.entry and variable in function.params):
        return None
    return variable


def strong_shared(group, addresses, acquires, releases):
    """Strong accesses to shared memory order warps."""
    for warp, address in set(zip(group.warps.tolist(), addresses.tolist())):
        group.wave.races.strong_access(warp, address, acquires, releases)


@opcode("ld", "ldu")
def load_instruction(context, instruction):
    dtype, count = shape_of(instruction)
    size, space, writes = dtype.itemsize, space_of(instruction), context.writes(0)
    variable = is_frame(context, context.operand(1))
    if variable:
        return load_frame(context, instruction, variable, dtype, count, writes)
    address, ordered = context.address(1), bool(STRONG & set(instruction.parts))
    if len(writes) != count:
        raise context.error(f"expected {count} registers")

    def run(group):
        addresses = address(group)
        if ordered and group.wave.races.enabled:
            strong_shared(group, addresses, True, False)
        values = load(group, space, addresses, size, count, ordered).view(dtype)
        for number, write in enumerate(writes):
            write(group, values if count == 1 else values[:, number])

    return run


def load_frame(context, instruction, variable, dtype, count, writes):
    function, offset = instruction.function, context.operand(1).offset

    def run(group):
        storage = frame(group.wave, function, variable)
        offsets = group.ids.astype(np.uint64) * np.uint64(variable.size) + np.uint64(offset)
        for number, write in enumerate(writes):
            bytes_ = storage.data[(offsets.astype(np.int64) + number * dtype.itemsize)[:, None] + np.arange(dtype.itemsize)]
            write(group, np.ascontiguousarray(bytes_).view(dtype)[:, 0])

    return run


def refuse_narrow_floats(context, instruction, size):
    """PTX says that st.b8 and st.b16 take the low bits of a register; of one that it holds for a float, ptxas 13.0 makes a
    saturated unsigned integer."""
    values = context.operand(1)
    for value in values.items if isinstance(values, Vector) else (values,):
        source = context.floats.get((instruction.function, getattr(value, "slot", None)))
        if size < 4 and source:
            raise context.error(f"ptxas converts the float that line {source.line} makes: move its bits to another register")


@opcode("st")
def store_instruction(context, instruction):
    from .asynchronous import store_async

    if "async" in instruction.parts:
        return store_async(context, instruction)
    dtype, count = shape_of(instruction)
    dtype = UNSIGNED[dtype.itemsize]
    size, space = dtype.itemsize, space_of(instruction)
    refuse_narrow_floats(context, instruction, size)
    kind = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64)}.get(instruction.parts[-1], dtype)
    reads = context.reads(1, kind)
    variable = is_frame(context, context.operand(0))

    def values(group):
        if count == 1:
            return group.full(reads[0](group)).view(dtype)
        return np.stack([group.full(read(group)).view(dtype) for read in reads], axis=1)

    if variable:
        return store_frame(context, instruction, variable, dtype, values, count)
    address, ordered = context.address(0), bool(STRONG & set(instruction.parts))
    if len(reads) != count:
        raise context.error(f"expected {count} registers")

    def run(group):
        addresses = address(group)
        store(group, space, addresses, values(group), size, count, ordered)
        if ordered and group.wave.races.enabled:
            strong_shared(group, addresses, False, True)

    return run


def store_frame(context, instruction, variable, dtype, values, count):
    function, offset, size = instruction.function, context.operand(0).offset, dtype.itemsize

    def run(group):
        storage = frame(group.wave, function, variable)
        offsets = (group.ids * variable.size + offset)[:, None] + np.arange(size * count)
        storage.data[offsets] = np.ascontiguousarray(values(group)).view(np.uint8).reshape(group.count, -1)

    return run


# ---- atom and red -----------------------------------------------------------------------------------------------------


def wrapping_increment(old, limit):
    return np.where(old >= limit, old.dtype.type(0), old + old.dtype.type(1))


def wrapping_decrement(old, limit):
    return np.where((old == 0) | (old > limit), limit, old - old.dtype.type(1))


EXACT = {
    "add": lambda old, new: old + new,
    "min": min,
    "max": max,
    "and": lambda old, new: old & new,
    "or": lambda old, new: old | new,
    "xor": lambda old, new: old ^ new,
    "exch": lambda old, new: new,
    "inc": lambda old, limit: 0 if old >= limit else old + 1,
    "dec": lambda old, limit: limit if old == 0 or old > limit else old - 1,
    "cas": lambda old, expected, new: new if old == expected else old,
}
OPERATIONS = {
    "add": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "exch": lambda old, new: new,
    "inc": wrapping_increment,
    "dec": wrapping_decrement,
}


def operation(name, kind):
    """On bits of the memory."""
    function = OPERATIONS[name]
    if kind in ("f32", "f64"):
        real = np.dtype(np.float32 if kind == "f32" else np.float64)
        return lambda old, new: function(old.view(real), new.view(real)).view(old.dtype)
    if kind in ("f16", "bf16", "f16x2", "bf16x2"):
        base = kind.replace("x2", "")

        def of_halves(old, new):
            values = [halves(base)(np.ascontiguousarray(bits).view(np.uint16)) for bits in (old, new)]
            return encode(function(*values), FORMATS[base]).view(old.dtype)

        return of_halves
    if kind.startswith("s"):
        signed = INTEGERS[kind]
        return lambda old, new: function(old.view(signed), new.view(signed)).view(old.dtype)
    return function


@opcode("atom", "red")
def atomic(context, instruction):
    if "async" in instruction.parts:
        raise Unknown("red.async")
    kind = instruction.parts[-1]
    size = BYTES.get(kind) or INTEGERS[kind].itemsize
    dtype, space, returns = UNSIGNED[size], space_of(instruction), instruction.parts[0] == "atom"
    name = next((part for part in instruction.parts if part in OPERATIONS or part == "cas"), None)
    if name is None:
        raise Unknown("no operation")
    vector = next((int(part[1]) for part in instruction.parts if part in ("v2", "v4", "v8")), 1)
    address = context.address(int(returns))
    reads = [context.reads(number, dtype) for number in range(int(returns) + 1, context.count)]
    writes = context.writes(0) if returns else []
    change = (lambda old, expected, new: np.where(old == expected, new, old)) if name == "cas" else operation(name, kind)
    acquires = not {"release"} & set(instruction.parts)
    integer = INTEGERS.get(kind)

    def run(group):
        addresses = address(group)
        for number in range(vector):
            where = addresses + np.uint64(number * size)
            values = [group.full(read[number](group)) for read in reads]
            old = (
                exact(group, space, where, integer, EXACT[name], values)
                if integer
                else one_by_one(group, space, where, dtype, change, values)
            )
            if writes:
                writes[number](group, old)
        if group.wave.races.enabled:
            strong_shared(group, addresses, acquires, True)

    return run


def exact(group, space, addresses, dtype, change, values):
    """Threads that name the same address come one after the other: integers."""
    _, first, number = np.unique(addresses, return_index=True, return_inverse=True)
    order = np.sort(first)  # an address has the place of the first thread that names it
    number = np.searchsorted(order, first)[number]
    where, first = addresses[order], group.part(order)
    unsigned = UNSIGNED[dtype.itemsize]
    words = load(first, space, where, dtype.itemsize, 1, True).view(dtype).tolist()
    old, mask = [], (1 << 8 * dtype.itemsize) - 1
    half = 1 << 8 * dtype.itemsize - 1
    for at, *operands in zip(number.tolist(), *[value.view(dtype).tolist() for value in values]):
        old.append(words[at])
        result = change(words[at], *operands) & mask
        words[at] = result - mask - 1 if dtype.kind == "i" and result >= half else result
    store(first, space, where, np.array(words, dtype).view(unsigned), dtype.itemsize, 1, True)
    return np.array(old, dtype).view(unsigned)


def one_by_one(group, space, addresses, dtype, change, values):
    """Threads that name the same address come one after the other."""
    old = np.zeros(group.count, dtype)
    left = np.arange(group.count)
    while len(left):
        _, first = np.unique(addresses[left], return_index=True)
        now = np.sort(left[first])
        part = group if len(now) == group.count else group.part(now)
        old[now] = load(part, space, addresses[now], dtype.itemsize, 1, True)
        store(part, space, addresses[now], change(old[now], *[value[now] for value in values]), dtype.itemsize, 1, True)
        left = np.setdiff1d(left, now, assume_unique=True)
    return old


@opcode("mapa")
def map_address(context, instruction):
    """The address of the same variable in another CTA of the cluster."""
    size = INTEGERS[instruction.parts[-1]].itemsize
    generic = not any(part.startswith("shared") for part in instruction.parts)
    read, rank, write = context.read(1, UNSIGNED[size]), context.read(2, np.uint32), context.write()
    low = np.uint64((1 << RANK_SHIFT) - 1)

    def run(group):
        address, rank_ = read(group).astype(np.uint64), rank(group).astype(np.uint64)
        if (rank_ >= group.wave.cluster_size).any():
            raise group.fault(
                np.flatnonzero(group.full(rank_) >= group.wave.cluster_size)[0],
                f"rank outside the cluster of {group.wave.cluster_size}",
            )
        mapped = (address & low) | (rank_ + np.uint64(1)) << np.uint64(RANK_SHIFT)
        write(group, mapped + np.uint64(SHARED_WINDOW) if generic else mapped)

    return run


@opcode("getctarank")
def cta_rank(context, instruction):
    size = INTEGERS[instruction.parts[-1]].itemsize
    read, write = context.read(1, UNSIGNED[size]), context.write()

    def run(group):
        rank = (group.full(read(group)).astype(np.uint64) & np.uint64(2**32 - 1)) >> np.uint64(RANK_SHIFT)
        write(group, np.where(rank > 0, rank.astype(np.int64) - 1, group.wave.cta_rank[group.lanes]).astype(np.uint32))

    return run
