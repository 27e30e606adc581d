"""bar, barrier, barrier.cluster, bar.warp, fences."""

from dataclasses import dataclass, field

import numpy as np

from . import warps
from .decode import Unknown, opcode
from .machine import BLOCKED, EXITED, RUN


@dataclass
class Barrier:
    """One of the 16 of a CTA."""

    expected: int = 0  # threads; 0: all that live
    arrived: int = 0
    clock: object = None  # what those that arrived have done (races.py)
    waiting: list = field(default_factory=list)  # groups
    values: list = field(default_factory=list)  # predicates of barrier.red


def barriers(wave):
    return wave.units.setdefault("barriers", {})


@opcode("bar", "barrier")
def barrier(context, instruction):
    """bar.sync a{, b}; bar.arrive a, b; bar.red.op d, a{, b}, p; the same as barrier{.cta}, with and without .aligned"""
    instruction.control = True
    parts = [part for part in instruction.parts[1:] if part != "cta"]
    if instruction.parts[0] == "barrier" and parts[0] == "cluster":
        return cluster_barrier(context, parts)
    if parts[0] == "warp":
        return warp_barrier(context)
    action, reduces = parts[0], parts[0] == "red"
    if action not in ("sync", "arrive", "red"):
        raise Unknown(f".{action}")
    aligned = instruction.parts[0] == "bar" or "aligned" in parts
    last = context.count - 1 if reduces else context.count
    number = context.read(int(reduces), np.uint32)
    count = context.read(int(reduces) + 1, np.uint32) if last > int(reduces) + 1 else None
    predicate, write = (context.read(last, bool), context.write()) if reduces else (None, None)
    operation = parts[1] if reduces else None

    def arrive(group):
        wave = group.wave
        numbers, counts = group.full(number(group)), group.full(count(group)) if count else np.zeros(group.count, np.uint32)
        values = group.full(predicate(group)) if reduces else None
        ctas = group.ctas
        keys = ctas.astype(np.int64) * 16 + numbers
        for key in np.unique(keys):
            here = keys == key
            part = group.part(here)
            expected = int(counts[here][0])
            if numbers[here][0] > 15 or expected % 32 or (counts[here] != expected).any():
                raise part.fault(
                    0,
                    f"expected a barrier 0 .. 15 and a multiple of 32 threads, found {numbers[here][0]} and {expected}",
                )
            one = barriers(wave).setdefault(int(key), Barrier(expected))
            if one.arrived and one.expected != expected:
                raise part.fault(0, f"barrier {key % 16} of {one.expected or 'all'} threads is used with {expected or 'all'}")
            one.expected = expected
            one.arrived += 32 * len(np.unique(part.warps)) if aligned and expected else part.count
            clock = wave.races.release(np.unique(part.warps))
            one.clock = clock if one.clock is None else np.maximum(one.clock, clock)
            if action != "arrive":
                wave.pc[part.lanes] = wave.at
                wave.status[part.lanes] = BLOCKED
                one.waiting.append(part)
                one.values.append(values[here] if reduces else None)
            one.finish = (operation, write)
            check(wave, int(key), one, part)

    def run(group):
        wave = group.wave
        whole = wave.converge(group) if aligned else group
        if whole is None:
            return None
        arrive(whole)
        if action == "arrive":
            wave.pc[whole.lanes] = wave.at + 1
        return None

    return run


def check(wave, key, one, group=None):
    """Lets the threads go when all have come."""
    cta = key // 16
    threads = slice(cta * wave.threads_per_cta, (cta + 1) * wave.threads_per_cta)
    expected = one.expected or int((wave.status[threads] != EXITED).sum())
    if one.arrived < expected or not one.arrived:
        return
    if one.arrived > expected:
        raise group.fault(0, f"{one.arrived} threads came to barrier {key % 16}, which {expected} were to come to")
    del barriers(wave)[key]
    operation, write = one.finish
    if operation:
        values = np.concatenate(one.values)
        value = np.uint32(values.sum()) if operation == "popc" else values.all() if operation == "and" else values.any()
    for part in one.waiting:
        wave.status[part.lanes] = RUN
        wave.pc[part.lanes] += 1
        wave.races.acquire(np.unique(part.warps), one.clock)
        if operation:
            write(part, np.full(part.count, value))
    wave.woken = True


def after_exit(wave, group):
    """Threads that have left are not waited for."""
    for key in list(barriers(wave)):
        if key // 16 in group.ctas:
            one = barriers(wave)[key]
            if not one.expected and one.waiting:
                check(wave, key, one, one.waiting[0])
    for cluster in np.unique(group.ctas // wave.cluster_size):
        check_cluster(wave, int(cluster))


def warp_barrier(context):
    return warps.converging(lambda group: None, context.read(0, np.uint32))


# ---- clusters ---------------------------------------------------------------------------------------------------------


@dataclass
class ClusterBarrier:
    arrived: int = 0
    phase: int = 0
    clock: object = None  # of the arrivals of this phase
    completed: object = None  # of the last


def cluster_state(wave, cluster):
    return wave.units.setdefault("clusters", {}).setdefault(cluster, ClusterBarrier())


def cluster_barrier(context, parts):
    wait, relaxed = parts[1] == "wait", "relaxed" in parts
    if parts[1] not in ("arrive", "wait"):
        raise Unknown(f".{parts[1]}")

    def arrive(group):
        wave = group.wave
        tickets = wave.units.setdefault("tickets", np.full(wave.threads, -1, np.int64))
        if (tickets[group.lanes] >= 0).any():
            raise group.fault(
                np.flatnonzero(tickets[group.lanes] >= 0)[0], "second barrier.cluster.arrive without a wait between"
            )
        clusters = group.ctas // wave.cluster_size
        for cluster in np.unique(clusters):
            part, state = group.part(clusters == cluster), cluster_state(wave, int(cluster))
            tickets[part.lanes] = state.phase
            state.arrived += part.count
            warps_ = np.unique(part.warps)
            clock = wave.races.release_relaxed(warps_) if relaxed else wave.races.release(warps_)
            state.clock = clock if state.clock is None else np.maximum(state.clock, clock)
            check_cluster(wave, int(cluster))

    def run_wait(group):
        wave = group.wave
        tickets = wave.units.get("tickets", np.full(wave.threads, -1, np.int64))[group.lanes]
        if (tickets < 0).any():
            raise group.fault(np.flatnonzero(tickets < 0)[0], "barrier.cluster.wait without an arrive before it")
        clusters = group.ctas // wave.cluster_size
        for cluster in np.unique(clusters):
            here = clusters == cluster
            part, state = group.part(here), cluster_state(wave, int(cluster))
            if state.phase > tickets[here].max():
                wave.units["tickets"][part.lanes] = -1
                wave.races.acquire(np.unique(part.warps), state.completed)
                wave.pc[part.lanes] = wave.at + 1
            else:
                wave.block(part, ("cluster", int(cluster)))

    def run(group):
        wave = group.wave
        whole = wave.converge(group) if "aligned" in parts else group
        if whole is None:
            return None
        if wait:
            return run_wait(whole)
        arrive(whole)
        wave.pc[whole.lanes] = wave.at + 1
        return None

    return run


def check_cluster(wave, cluster):
    state = wave.units.get("clusters", {}).get(cluster)
    if not state or not state.arrived:
        return
    tickets = wave.units["tickets"]
    size = wave.threads_per_cta * wave.cluster_size
    threads = slice(cluster * size, (cluster + 1) * size)
    alive = wave.status[threads] != EXITED
    if (alive & (tickets[threads] != state.phase)).any():
        return
    state.phase += 1
    state.arrived, state.completed, state.clock = 0, state.clock, None
    wave.wake(("cluster", cluster))


# ---- fences -----------------------------------------------------------------------------------------------------------


@opcode("fence", "membar")
def fence(context, instruction):
    proxy = "proxy" in instruction.parts and any(part.startswith("async") for part in instruction.parts)
    if not proxy:
        return lambda group: group.wave.races.fence(np.unique(group.warps))
    return lambda group: group.wave.races.fence_proxy(np.unique(group.warps))
