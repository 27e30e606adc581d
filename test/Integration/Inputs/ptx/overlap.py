"""griddepcontrol: kernels that are started while the one in front of them ends, and wait for it themselves.

Until a thread of such a kernel has waited, the kernel in front may still read what it writes, and write what it reads: no
stores, and no loads from memory that a kernel has written.
"""

import numpy as np

from .decode import opcode
from .memory import Buffer, MemoryFault


@opcode("griddepcontrol")
def grid_dependence(context, instruction):
    if "wait" not in instruction.parts:
        return lambda group: None
    context.module.functions[instruction.function].waits = True

    def run(group):
        group.wave.waited[group.lanes] = True

    return run


def check_turn(group, buffers, writes):
    """For accesses of global memory by the group's threads."""
    wave = group.wave
    if not wave.launch.function.waits or wave.waited[group.lanes].all():
        return
    for buffer in buffers:
        if isinstance(buffer, Buffer) and (writes or buffer.is_written_by_kernel):
            what = "write to" if writes else "read of"
            lane = np.flatnonzero(~wave.waited[group.lanes])[0]
            raise MemoryFault(lane, f"{what} {buffer.name}, which the kernel in front may use, before griddepcontrol.wait")
