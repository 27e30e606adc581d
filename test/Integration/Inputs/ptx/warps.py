"""Instructions of a whole warp: shuffles, votes, reductions, and the convergence that others ask for."""

import numpy as np

from .decode import Unknown, opcode
from .module import Pair
from .operands import INTEGERS, writer

LANES = np.arange(32)


def converging(run, masks=None):
    """A control instruction that `run`s for the threads whose warp (or mask of lanes) is complete."""

    def control(group):
        wave = group.wave
        whole = wave.converge(group, None if masks is None else group.full(masks(group)).astype(np.uint64))
        if whole is not None:
            run(whole)
        if whole is group:
            return wave.at + 1
        if whole is not None:
            wave.pc[whole.lanes] = wave.at + 1
        return None

    return control


def whole_warps(group, values, fill=0):
    """(warps, 32) values of the group's warps; lanes that are not in the group hold `fill`. And each thread's place there."""
    warps, row = np.unique(group.warps, return_inverse=True)
    rows = np.full((len(warps), 32), fill, values.dtype)
    place = row, group.ids & 31
    rows[place] = values
    return rows, place


def results(context, number=0):
    """Writers of d or d|p."""
    operand = context.operand(number)
    pair = isinstance(operand, Pair)
    return [writer(context, item) for item in ((operand.first, operand.second) if pair else (operand,))]


def sync_mask(context, number):
    return context.read(number, np.uint32)


@opcode("shfl")
def shuffle(context, instruction):
    """shfl.sync.mode.b32 d|p, a, b, c, mask"""
    instruction.control = True
    if instruction.parts[1] != "sync":
        raise Unknown("shfl without .sync")
    mode, writes = instruction.parts[2], results(context)
    a, b, c = [context.read(number, np.uint32) for number in (1, 2, 3)]

    def run(group):
        lane, step, clamp = (
            (group.ids & 31).astype(np.int64),
            group.full(b(group)).astype(np.int64) & 31,
            group.full(c(group)).astype(np.int64),
        )
        segment, limit = clamp >> 8 & 31, clamp & 31
        most = (lane & segment) | (limit & ~segment)
        least = lane & segment
        source = {"up": lane - step, "down": lane + step, "bfly": lane ^ step, "idx": least | (step & ~segment)}[mode]
        inside = source >= most if mode == "up" else source <= most
        source = np.where(inside, source, lane)
        values, (row, _) = whole_warps(group, group.full(a(group)))
        here, _ = whole_warps(group, np.ones(group.count, bool), False)
        absent = ~here[row, source & 31]
        if absent.any():
            lane = np.flatnonzero(absent)[0]
            raise group.fault(lane, f"shuffle from lane {int(source[lane])}, which does not take part")
        writes[0](group, values[row, source])
        if len(writes) > 1:
            writes[1](group, inside)

    return converging(run, sync_mask(context, 4))


@opcode("vote")
def vote(context, instruction):
    """vote.sync.mode d, a, mask"""
    instruction.control = True
    mode, predicate, write = instruction.parts[2], context.read(1, bool), context.write()

    def run(group):
        values = group.full(predicate(group))
        rows, (row, _) = whole_warps(group, values, mode == "all")
        if mode == "ballot":
            return write(group, (rows.astype(np.uint64) << LANES.astype(np.uint64)).sum(axis=1).astype(np.uint32)[row])
        if mode == "uni":
            ones, _ = whole_warps(group, values, True)
            return write(group, (ones.all(axis=1) | ~rows.any(axis=1))[row])
        write(group, (rows.all(axis=1) if mode == "all" else rows.any(axis=1))[row])

    return converging(run, sync_mask(context, 2))


@opcode("match")
def match(context, instruction):
    instruction.control = True
    dtype, writes, any_ = INTEGERS[instruction.parts[-1]], results(context), instruction.parts[1] == "any"
    read = context.read(1, dtype)

    def run(group):
        values = group.full(read(group))
        rows, (row, _) = whole_warps(group, values)
        here, _ = whole_warps(group, np.ones(group.count, bool), False)
        same = (rows[row] == values[:, None]) & here[row]
        masks = (same.astype(np.uint64) << LANES.astype(np.uint64)).sum(axis=1).astype(np.uint32)
        if any_:
            return writes[0](group, masks)
        equal = (same == here[row]).all(axis=1)
        writes[0](group, np.where(equal, masks, np.uint32(0)))
        if len(writes) > 1:
            writes[1](group, equal)

    return converging(run, sync_mask(context, 2))


@opcode("redux")
def reduce(context, instruction):
    instruction.control = True
    name, kind = instruction.parts[2], instruction.parts[-1]
    dtype = np.dtype(np.float32) if kind == "f32" else INTEGERS[kind]
    function = {
        "add": np.add,
        "min": np.minimum,
        "max": np.maximum,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
    }[name]
    if kind == "f32":
        function = {"min": np.fmin, "max": np.fmax}[name]
    read, write = context.read(1, dtype), context.write()

    def run(group):
        values = group.full(read(group))
        warps, row = np.unique(group.warps, return_inverse=True)
        result = np.array([function.reduce(values[row == number], dtype=dtype) for number in range(len(warps))], dtype)
        write(group, result[row])

    return converging(run, sync_mask(context, 2))


@opcode("activemask")
def active_mask(context, instruction):
    write = context.write()

    def run(group):
        rows, (row, _) = whole_warps(group, np.ones(group.count, np.uint64))
        write(group, (rows << LANES.astype(np.uint64)).sum(axis=1).astype(np.uint32)[row])

    return run


@opcode("elect")
def elect(context, instruction):
    """elect.sync d|p, mask: the lowest lane of the mask is elected; PTX lets the chip choose."""
    instruction.control = True
    operand = context.operand(0)
    writes = results(context) if isinstance(operand, Pair) else [context.write()]

    def run(group):
        rows, (row, lane) = whole_warps(group, np.ones(group.count, bool), False)
        leader = rows.argmax(axis=1)[row]
        writes[0](group, leader.astype(np.uint32))
        if len(writes) > 1:
            writes[1](group, lane == leader)

    return converging(run, sync_mask(context, 1))
