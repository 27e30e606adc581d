"""Branches, calls, exit, and instructions that say nothing about values."""

import numpy as np

from . import warps
from .decode import items, opcode
from .memory import Storage
from .module import PtxError


@opcode("bra")
def branch(context, instruction):
    instruction.control = True
    target = instruction.target
    return lambda group: target


@opcode("brx")
def branch_indexed(context, instruction):
    instruction.control = True
    targets, read = np.array(instruction.target), context.read(0, np.uint32)

    def run(group):
        index = group.full(read(group))
        if (index >= len(targets)).any():
            raise group.fault(np.flatnonzero(index >= len(targets))[0], f"index outside the {len(targets)} targets")
        group.wave.pc[group.lanes] = targets[index]

    return run


def frame(wave, function, variable):
    """The bytes of a .param variable of a function or call, of every thread."""
    key = function, variable.name
    if key not in wave.frames:
        wave.frames[key] = Storage(f"parameter {variable.name}", wave.threads * variable.size)
    return wave.frames[key]


def copy_frames(group, source, to):
    """Each (function, variable) of source to that of `to`, for the threads of the group."""
    wave = group.wave
    for (from_function, from_variable), (to_function, to_variable) in zip(source, to):
        size = min(from_variable.size, to_variable.size)
        rows = [
            frame(wave, function, variable).data[: wave.threads * variable.size].reshape(wave.threads, -1)
            for function, variable in ((from_function, from_variable), (to_function, to_variable))
        ]
        rows[1][group.lanes, :size] = rows[0][group.lanes, :size]


def called(context, instruction):
    """Callee, arguments and results of `call (results), callee, (arguments);`."""
    operands = list(instruction.operands)
    results = items(operands.pop(0)) if len(operands) > 1 and hasattr(operands[0], "items") else ()
    name = getattr(operands[0], "name", "")
    callee = context.module.functions.get(name)
    if not callee or not callee.body:
        raise context.error(f"`{name}` is not a function with a body in this module")
    arguments = items(operands[1]) if len(operands) > 1 else ()
    caller = instruction.function
    pairs = [[(caller, context.variable(item.name)) for item in given] for given in (arguments, results)]
    return callee, pairs[0], pairs[1]


@opcode("call.return")
def call_return(context, instruction):
    callee, _, results = called(context, instruction)
    returned = [(callee.name, variable) for variable in callee.results]
    return lambda group: copy_frames(group, returned, results)


@opcode("call")
def call(context, instruction):
    instruction.control = True
    callee, arguments, _ = called(context, instruction)
    formal = [(callee.name, variable) for variable in callee.params]

    def run(group):
        wave = group.wave
        back = wave.returns.setdefault(callee.name, np.full(wave.threads, -1, np.int64))
        if (back[group.lanes] >= 0).any():
            raise group.fault(0, f"recursive call of `{callee.name}`")
        back[group.lanes] = wave.at + 1
        copy_frames(group, arguments, formal)
        return callee.start

    return run


@opcode("ret")
def return_(context, instruction):
    instruction.control = True
    function = context.module.functions[instruction.function]
    if function.entry:
        return exit_(context, instruction)

    def run(group):
        back = group.wave.returns[function.name]
        group.wave.pc[group.lanes] = back[group.lanes]
        back[group.lanes] = -1

    return run


@opcode("exit")
def exit_(context, instruction):
    instruction.control = True
    return lambda group: group.wave.exit(group)


@opcode("trap")
def trap(context, instruction):
    instruction.control = True

    def run(group):
        raise group.fault(0, "trap")

    return run


@opcode("nanosleep", "prefetch", "prefetchu", "applypriority", "discard", "pmevent", "brkpt")
def nothing(context, instruction):
    return lambda group: None


@opcode("setmaxnreg")
def set_max_registers(context, instruction):
    instruction.control = True
    count = context.operand(0).value
    if not 24 <= count <= 256 or count % 8:
        raise context.error("expected a register count of 24 .. 256 that is a multiple of 8")
    return warps.converging(lambda group: None)


@opcode("alloca", "stacksave", "stackrestore")
def dynamic_stack(context, instruction):
    raise PtxError(f"{context.module.path}:{instruction.line}: a stack of dynamic size is not supported: {instruction.text}")
