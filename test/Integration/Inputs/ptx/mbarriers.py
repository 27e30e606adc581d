"""mbarriers: how threads and copies tell that something is done.

A phase is over when all arrivals that it expects have come and all bytes that it was told of have landed. What those that
arrived had done before is then known to those that wait (races.py).
"""

from dataclasses import dataclass

import numpy as np

from .decode import Unknown, opcode
from .loads import shared_offsets
from .memory import BARRIER, SHARED_WINDOW, UNWRITTEN, MemoryFault


@dataclass
class Mbarrier:
    expected: int
    pending: int
    transactions: int = 0  # bytes that copies still have to bring
    phase: int = 0
    clock: object = None  # what those that arrived in this phase have done
    completed: object = None  # the same of the last phase


def mbarriers(wave):
    return wave.units.setdefault("mbarriers", {})


def barrier_at(wave, offset):
    found = mbarriers(wave).get(int(offset))
    if not found:
        raise MemoryFault(0, f"no mbarrier was initialized at {wave.shared.where(offset)}")
    return found


def complete_phase(wave, offset, barrier):
    if barrier.pending == 0 and barrier.transactions == 0:
        barrier.phase += 1
        barrier.pending = barrier.expected
        barrier.completed, barrier.clock = barrier.clock, None
        wave.wake(("mbarrier", int(offset)))


def arrive(wave, offset, count, clock, transactions=0, drop=0):
    barrier = barrier_at(wave, offset)
    if count > barrier.pending:
        raise MemoryFault(
            0,
            f"{count} arrivals at an mbarrier that expects {barrier.pending} more in phase {barrier.phase} of {barrier.expected}",
        )
    phase = barrier.phase
    barrier.transactions += transactions
    barrier.pending -= count
    barrier.expected -= drop
    if clock is not None:
        barrier.clock = clock if barrier.clock is None else np.maximum(barrier.clock, clock)
    complete_phase(wave, offset, barrier)
    return phase


def complete_transactions(wave, offset, count, clock):
    barrier = barrier_at(wave, offset)
    barrier.transactions -= count
    barrier.clock = clock if barrier.clock is None else np.maximum(barrier.clock, clock)
    complete_phase(wave, offset, barrier)


def barrier_offsets(group, addresses):
    """Offsets in wave.shared, from addresses in any window; whose initialization the threads must know of."""
    addresses = np.where(addresses >= np.uint64(SHARED_WINDOW), addresses - np.uint64(SHARED_WINDOW), addresses)
    if (addresses & np.uint64(7)).any():
        raise MemoryFault(0, "misaligned: an mbarrier is 8 bytes")
    offsets = shared_offsets(group, addresses, 8)
    group.wave.races.read(group.wave.shared, group.warps, offsets, 8, False)
    return offsets


@opcode("mbarrier")
def mbarrier(context, instruction):
    action = instruction.parts[1]
    factory = {
        "init": initialize,
        "inval": invalidate,
        "arrive": arrive_instruction,
        "arrive_drop": arrive_instruction,
        "test_wait": wait,
        "try_wait": wait,
        "expect_tx": expect,
        "complete_tx": expect,
    }.get(action)
    if not factory:
        raise Unknown(f".{action}")
    return factory(context, instruction)


def initialize(context, instruction):
    address, count = context.address(0), context.read(1, np.uint32)

    def run(group):
        shared, offsets, counts = (
            group.wave.shared,
            shared_offsets(group, address(group) & np.uint64(SHARED_WINDOW - 1), 8),
            group.full(count(group)),
        )
        shared.check_not_busy(offsets, 8)
        group.wave.races.write(shared, group.warps, offsets, 8, False)
        for offset, expected in zip(offsets.tolist(), counts.tolist()):
            if offset % 8 or not 0 < expected < 1 << 20:
                raise MemoryFault(
                    0, f"expected an address that is a multiple of 8 and a count of 1 .. 2^20-1, found {offset} and {expected}"
                )
            mbarriers(group.wave)[offset] = Mbarrier(expected, expected)
            shared.state[offset : offset + 8] = BARRIER

    return run


def invalidate(context, instruction):
    address = context.address(0)

    def run(group):
        for offset in barrier_offsets(group, address(group)).tolist():
            barrier_at(group.wave, offset)
            del mbarriers(group.wave)[offset]
            group.wave.shared.state[offset : offset + 8] = UNWRITTEN

    return run


def arrive_instruction(context, instruction):
    """mbarrier.arrive{.expect_tx}... {state,} [address]{, transactions or count}"""
    first = 0 if hasattr(context.operand(0), "base") else 1
    write = context.write() if first else None
    address, expects, drops = context.address(first), "expect_tx" in instruction.parts, instruction.parts[1] == "arrive_drop"
    number = context.read(first + 1, np.uint32) if context.count > first + 1 else None
    relaxed = "relaxed" in instruction.parts

    def run(group):
        wave = group.wave
        offsets, numbers = barrier_offsets(group, address(group)), (
            group.full(number(group)) if number else np.ones(group.count, np.uint32)
        )
        phases = np.zeros(group.count, np.uint64)
        for lane, (offset, value) in enumerate(zip(offsets.tolist(), numbers.tolist())):
            count, transactions = (1, value) if expects else (value, 0)
            warp = group.warps[lane : lane + 1]
            clock = wave.races.release_relaxed(warp) if relaxed else wave.races.release(warp)
            try:
                phases[lane] = arrive(wave, offset, count, clock, transactions, count if drops else 0)
            except MemoryFault as fault:
                raise MemoryFault(lane, str(fault)) from None
        if write:
            write(group, phases)

    return run


def expect(context, instruction):
    address, count = context.address(0), context.read(1, np.uint32)
    sign = 1 if instruction.parts[1] == "expect_tx" else -1

    def run(group):
        for offset, bytes_ in zip(barrier_offsets(group, address(group)).tolist(), group.full(count(group)).tolist()):
            barrier = barrier_at(group.wave, offset)
            barrier.transactions += sign * bytes_
            complete_phase(group.wave, offset, barrier)

    return run


def wait(context, instruction):
    """mbarrier.test_wait / try_wait{.parity} done, [address], state or parity{, time}: try_wait blocks until then."""
    instruction.control = True
    parity, blocks = "parity" in instruction.parts, instruction.parts[1] == "try_wait"
    write, address, which = context.write(), context.address(1), context.read(2, np.uint32 if parity else np.uint64)

    def run(group):
        wave = group.wave
        offsets, wanted = barrier_offsets(group, address(group)), group.full(which(group))
        done = np.zeros(group.count, bool)
        for lane, (offset, value) in enumerate(zip(offsets.tolist(), wanted.tolist())):
            barrier = barrier_at(wave, offset)
            done[lane] = barrier.phase & 1 != value & 1 if parity else barrier.phase > value
            if done[lane]:
                wave.races.acquire(group.warps[lane : lane + 1], barrier.completed)
        if done.all() or not blocks:
            if not done.all() and wave.pending and wave.random.random() < 0.02:
                wave.land_one()  # somebody polls: copies do not wait for ever
            write(group, done)
            return wave.at + 1
        if done.any():
            part = group.part(done)
            write(part, done[done])
            wave.pc[part.lanes] = wave.at + 1
        for offset in np.unique(offsets[~done]):
            wave.block(group.part(~done & (offsets == offset)), ("mbarrier", int(offset)))
        return None

    return run
