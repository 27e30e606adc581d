"""Runs a wave: some CTAs of a grid at once, all their threads in one vector.

Every thread has a program counter. A turn takes the lowest one and runs its threads as one Group until they branch apart,
block, or meet others: divergent threads meet again where their counters do. Fairness: who spins rests for a while, so locks
and flags make progress. Instructions that want whole warps (or the threads of a mask) wait until these have come.
`schedule="warps"` runs one warp, drawn at random, as far as it gets; what only works in lockstep shows there.
"""

import random

import numpy as np

from .memory import LOCAL_WINDOW, MemoryFault, Shared, Storage
from .module import PtxError
from .races import Races

RUN, CONVERGE, BLOCKED, EXITED = 0, 1, 2, 3
PATIENCE = {"lockstep": 100, "warps": 40}  # turns and backward branches after which those who were not run get theirs


class Group:
    """Threads at one instruction. `lanes` selects them from an array over all threads: a slice where possible."""

    __slots__ = ("wave", "lanes", "count", "ids")

    def __init__(self, wave, ids):
        """ids: increasing"""
        self.wave, self.count, self.ids = wave, len(ids), ids
        self.lanes = slice(int(ids[0]), int(ids[-1]) + 1) if ids[-1] - ids[0] + 1 == len(ids) else ids

    def part(self, mask):
        return Group(self.wave, self.ids[mask])

    def full(self, values):
        return values if len(values) == self.count else np.broadcast_to(values, (self.count,))

    @property
    def warps(self):
        return self.ids >> 5

    @property
    def ctas(self):
        return self.ids // self.wave.threads_per_cta

    def fault(self, lane, message):
        return self.wave.fault(self.ids[lane], message)


class Wave:
    def __init__(self, launch, ctas):
        self.launch, self.module, self.code = launch, launch.module, launch.module.code
        self.random = random.Random(f"{launch.seed} {ctas[0]}")
        self.cta_numbers, self.ctas = np.asarray(ctas), len(ctas)
        self.block_threads = int(np.prod(launch.block))
        self.warps_per_cta = -(-self.block_threads // 32)
        self.threads_per_cta = 32 * self.warps_per_cta
        self.threads = self.ctas * self.threads_per_cta
        self.cluster_size = int(np.prod(launch.cluster))
        self.step = self.turns = self.fair_at = self.at = 0
        self.patience = PATIENCE[launch.schedule]
        self.pc = np.full(self.threads, launch.function.start, np.int64)
        self.status = np.full(self.threads, RUN, np.uint8)
        self.waited = np.zeros(self.threads, bool)  # for the kernel in front, see overlap.py
        self.registers = [None] * len(self.module.registers)
        self.memory = launch.device.memory
        self.races = Races(self, launch.races)
        self.shared = Shared(self.ctas, launch.shared_size, self.races)
        if not launch.strict:
            self.shared.fill(0xA5)
        self.races.attach(self.shared)
        self.local = Storage("local memory", self.threads * launch.local_size) if launch.local_size else None
        self.frames = {}  # .param variables of functions and calls: name -> bytes a thread
        self.returns = {}  # function -> program counter to come back to, per thread
        self.last_run = np.zeros(self.threads, np.int64)
        self.resting, self.rest_until = None, 0
        self.woken = False
        self.waiting = {}  # key -> [(thread ids, what they wait for)]
        self.pending = []  # asynchronous operations that land when nothing else can go on
        self.units = {}  # state of the asynchronous units and barriers, kept by their modules
        self.set_special_registers()
        self.warpgroup = (
            np.arange(self.threads) // self.threads_per_cta * -(-self.threads_per_cta // 128) + self.thread_in_cta // 128
        )
        self.status[self.thread_in_cta >= self.block_threads] = EXITED
        self.live = (self.status != EXITED).reshape(-1, 32).sum(axis=1)

    def set_special_registers(self):
        launch = self.launch
        thread = np.arange(self.threads)
        self.thread_in_cta = thread % self.threads_per_cta
        self.cta_base = (thread // self.threads_per_cta).astype(np.uint64) * np.uint64(self.shared.stride)
        number = self.cta_numbers[thread // self.threads_per_cta]
        self.cta_rank = number % self.cluster_size if launch.cluster[1:] == (1, 1) else self.rank_of(number)
        lane = thread % 32
        special = {
            "%laneid": lane,
            "%warpid": self.thread_in_cta // 32,
            "%nwarpid": np.array([self.warps_per_cta]),
            "%smid": number % launch.device.multiprocessors,
            "%nsmid": np.array([launch.device.multiprocessors]),
            "%gridid": np.array([launch.number]),
            "%cluster_ctarank": self.cta_rank,
            "%cluster_nctarank": np.array([self.cluster_size]),
            "%is_explicit_cluster": np.array([launch.clustered]),
            "%lanemask_eq": 1 << lane,
            "%lanemask_lt": (1 << lane) - 1,
            "%lanemask_le": (2 << lane) - 1,
            "%lanemask_gt": 2**32 - (2 << lane),
            "%lanemask_ge": 2**32 - (1 << lane),
            "%dynamic_smem_size": np.array([launch.dynamic_shared]),
            "%total_smem_size": np.array([launch.shared_size]),
        }
        stride = 1
        for axis, letter in enumerate("xyz"):
            block, grid, cluster = launch.block[axis], launch.grid[axis], launch.cluster[axis]
            before = int(np.prod(launch.block[:axis]))
            special[f"%tid.{letter}"] = self.thread_in_cta // before % block
            cta = number // stride % grid
            special[f"%ctaid.{letter}"] = cta
            special[f"%ntid.{letter}"], special[f"%nctaid.{letter}"] = np.array([block]), np.array([grid])
            special[f"%clusterid.{letter}"], special[f"%nclusterid.{letter}"] = cta // cluster, np.array([grid // cluster])
            special[f"%cluster_ctaid.{letter}"], special[f"%cluster_nctaid.{letter}"] = cta % cluster, np.array([cluster])
            stride *= grid
        self.special = {name: values.astype(np.uint64) for name, values in special.items()}

    def rank_of(self, number):
        grid, cluster = self.launch.grid, self.launch.cluster
        x, y, z = (
            number % grid[0] % cluster[0],
            number // grid[0] % grid[1] % cluster[1],
            number // (grid[0] * grid[1]) % cluster[2],
        )
        return x + cluster[0] * (y + cluster[1] * z)

    # -- errors

    def thread_name(self, thread):
        launch, number = self.launch, int(self.cta_numbers[thread // self.threads_per_cta])
        index = int(self.thread_in_cta[thread])
        tid = [index // int(np.prod(launch.block[:axis])) % launch.block[axis] for axis in range(3)]
        cta = [number // int(np.prod(launch.grid[:axis])) % launch.grid[axis] for axis in range(3)]
        return f"thread ({tid[0]}, {tid[1]}, {tid[2]}) of CTA ({cta[0]}, {cta[1]}, {cta[2]})"

    def fault(self, thread, message, at=None):
        instruction = self.code[self.at if at is None else at]
        return PtxError(
            f"{self.module.path}:{instruction.line}: {self.thread_name(int(thread))}: {message}\n    {instruction.text}"
        )

    # -- scheduling

    def run(self):
        while True:
            runnable = self.status == RUN
            if self.resting is not None:
                awake = runnable & ~self.resting
                if self.turns >= self.rest_until or not awake.any():
                    self.resting = None
                else:
                    runnable = awake
            if runnable.any():
                self.turn(runnable)
            elif self.pending:
                self.land_one()
            elif (self.status == EXITED).all():
                return
            else:
                raise self.deadlock()

    def turn(self, runnable):
        ids = np.flatnonzero(runnable)
        if self.launch.schedule == "warps":
            ids = ids[ids >> 5 == self.random_warp(ids)]
        pcs = self.pc[ids]
        pc = pcs.min()
        others, early = pcs[pcs > pc], False
        converging = self.status == CONVERGE
        if converging.any():
            waiting = self.pc[converging]
            ids = np.union1d(ids[pcs == pc], np.flatnonzero(converging & (self.pc == pc)))
            others, early = np.concatenate([others, waiting[waiting > pc]]), (waiting < pc).any()
            self.status[ids] = RUN
        else:
            ids = ids[pcs == pc]
        self.turns += 1
        if self.turns >= self.fair_at + self.patience:
            self.be_fair(runnable, ids)
            if self.resting is not None:
                return
        self.last_run[ids] = self.turns
        self.run_group(Group(self, ids), int(pc), int(others.min()) if len(others) else len(self.code), early)

    def random_warp(self, ids):
        warps = np.unique(ids >> 5)
        current = self.units.get("warp")
        if current is None or current not in warps or self.random.random() < 0.05:
            current = self.units["warp"] = warps[self.random.randrange(len(warps))]
        return current

    def be_fair(self, runnable, ids):
        """Threads that were not run for long run alone for a while; those that spin in front of them rest."""
        starved = runnable & (self.last_run < self.fair_at)
        starved[ids] = False
        self.fair_at = self.turns
        if starved.any():
            self.resting, self.rest_until = ~starved, self.turns + self.patience

    def run_group(self, group, pc, stop, early):
        """From pc to where the group must be formed anew: at `stop` others join; `early`: behind a backward branch, too."""
        code, limit = self.code, self.launch.max_steps
        while True:
            self.step += 1
            self.at = pc
            if self.step > limit:
                raise self.fault(group.ids[0], f"still running after {limit} steps")
            instruction = code[pc]
            active = group
            if instruction.predicate is not None:
                taken = instruction.guard(group)
                if not taken.any():
                    pc += 1
                    if pc == stop:
                        break
                    continue
                if not taken.all():
                    active = group.part(taken)
            try:
                after = instruction.run(active)
            except MemoryFault as fault:
                raise active.fault(fault.lane, str(fault)) from None
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as reason:
                raise active.fault(0, f"the emulator itself failed here: {reason!r}") from reason
            if not instruction.control:
                pc += 1
            elif active is not group:  # the others go on behind it
                rest = group.ids[~taken]
                self.pc[rest] = pc + 1
                if after is not None:
                    self.pc[active.ids] = after
                return
            elif after is None:
                return
            else:
                backward, pc = after <= pc, after
                self.turns += backward
                if backward and (early or self.turns >= self.fair_at + self.patience):
                    break
            if pc >= stop or self.woken:
                break
        self.woken = False
        self.pc[group.lanes] = pc

    # -- waiting

    def block(self, group, key, what=None):
        """Until wake(key); the threads then run the instruction they stand at again, or what wake says."""
        self.pc[group.lanes] = self.at
        self.status[group.lanes] = BLOCKED
        self.waiting.setdefault(key, []).append((group.ids, what))

    def wake(self, key, pc=None):
        for ids, _ in self.waiting.pop(key, ()):
            self.status[ids] = RUN
            if pc is not None:
                self.pc[ids] = pc
        self.woken = True

    def converge(self, group, masks=None):
        """The threads of the group whose whole warp (or mask of lanes) is here, as a Group; the rest waits. None: nobody's."""
        warps = group.warps
        here = np.bincount(warps, minlength=len(self.live))
        if masks is None:
            complete = here[warps] == self.live[warps]
        else:
            complete = self.masks_complete(group, warps, masks)
        if complete.all():
            return group
        late = group.ids[~complete]
        self.pc[late] = self.at
        self.status[late] = CONVERGE
        return group.part(complete) if complete.any() else None

    def masks_complete(self, group, warps, masks):
        lanes = (group.ids & 31).astype(np.uint64)
        here = np.zeros(len(self.live), np.uint64)
        np.bitwise_or.at(here, warps, np.uint64(1) << lanes)
        alive = ((self.status != EXITED).reshape(-1, 32) << np.arange(32)).sum(axis=1).astype(np.uint64)
        outside = (masks >> lanes) & np.uint64(1) == 0
        if outside.any():
            lane = np.flatnonzero(outside)[0]
            raise group.fault(lane, f"the thread is not in the mask {int(masks[lane]):#x} of its own instruction")
        return (masks & alive[warps] & ~here[warps]) == 0

    def exit(self, group):
        self.status[group.lanes] = EXITED
        warps = group.warps
        np.subtract.at(self.live, warps, 1)
        converging = (self.status == CONVERGE) & np.isin(np.arange(self.threads) >> 5, warps)
        self.status[converging] = RUN
        self.woken = True
        for hook in self.launch.exit_hooks:
            hook(self, group)

    def land_one(self):
        """Nobody can go on: one asynchronous operation, drawn at random, completes."""
        operation = self.pending.pop(self.random.randrange(len(self.pending)))
        self.complete(operation)
        self.woken = False

    def complete(self, operation):
        """Runs the end of an asynchronous operation: (index of its instruction, its thread, what to do)."""
        at, thread, land = operation
        try:
            land()
        except MemoryFault as fault:
            raise self.fault(thread, str(fault), at) from None

    def deadlock(self):
        lines = []
        stuck = np.flatnonzero(self.status != EXITED)
        for pc in np.unique(self.pc[stuck]):
            here = stuck[self.pc[stuck] == pc]
            state = "waits for the rest of its warp" if (self.status[here] == CONVERGE).any() else "waits"
            instruction = self.code[pc]
            lines.append(
                f"    line {instruction.line}: {len(here)} threads, the first of them {self.thread_name(here[0])}, {state}: "
                + instruction.text
            )
        return self.fault(stuck[0], "deadlock: nobody can go on\n" + "\n".join(lines), int(self.pc[stuck[0]]))

    # -- memory of one thread

    def local_offsets(self, group, addresses, size):
        """Offsets in self.local of addresses in local memory, with or without the generic window."""
        low = addresses & np.uint64(LOCAL_WINDOW - 1)
        bad = low > np.uint64(max(self.launch.local_size - size, 0))
        if bad.any() or self.launch.local_size < size:
            lane = np.flatnonzero(bad)[0] if bad.any() else 0
            raise MemoryFault(
                lane, f"access of {size} bytes out of bounds: at local address {int(low[lane])} of {self.launch.local_size}"
            )
        return low + group.ids.astype(np.uint64) * np.uint64(self.launch.local_size)
