"""Module -> instructions that can run: looks each opcode up in the tables of the other files, once.

A table entry is a factory: (Context, Instruction) -> run, where run(Group) does the work for a group of threads. An opcode
or a modifier that nobody knows is an error that names it.
"""

import importlib

import numpy as np

from .memory import FRAME_SHIFT, FRAME_WINDOW
from .module import Register, Vector
from .operands import address_reader, reader, readers, writer, writers

TABLES = "asynchronous barriers control convert floats integers loads matrix mbarriers moves overlap tcgen05 warps wgmma".split()
FLOAT = set("abs add div ex2 fma lg2 max min mul neg rcp rsqrt sqrt sub tanh".split())
OPCODES = {}  # filled by the files named in TABLES


def opcode(*names):
    def register(factory):
        for name in names:
            assert name not in OPCODES, name
            OPCODES[name] = factory
        return factory

    return register


class Unknown(Exception):
    """A factory does not know this form of its instruction."""


class Context:
    """What a factory needs: names of the module, and readers and writers of the instruction's operands."""

    def __init__(self, module, addresses):
        self.module, self.addresses = module, addresses  # addresses: of global variables and kernel parameters
        self.instruction = None
        # An f32 instruction that writes the register, by function and slot: ptxas takes it for a float everywhere.
        self.floats = {(i.function, i.operands[0].slot): i for i in module.code
                       if i.parts[-1] == "f32" and i.parts[0] in FLOAT and isinstance(i.operands[0], Register)}

    def error(self, message):
        return self.module.error(self.instruction.line, f"{message}\n    {self.instruction.text}")

    def read(self, number, dtype):
        return reader(self, self.operand(number), dtype)

    def reads(self, number, dtype):
        return readers(self, self.operand(number), dtype)

    def write(self, number=0):
        return writer(self, self.operand(number))

    def writes(self, number=0):
        return writers(self, self.operand(number))

    def address(self, number):
        return address_reader(self, self.operand(number))

    def operand(self, number):
        operands = self.instruction.operands
        if number >= len(operands):
            raise self.error(f"expected at least {number + 1} operands, found {len(operands)}")
        return operands[number]

    @property
    def count(self):
        return len(self.instruction.operands)

    def variable(self, name):
        function = self.module.functions[self.instruction.function]
        return function.variables.get(name) or self.module.variables.get(name)

    def symbol(self, name, dtype):
        """Reader of an address or a special register."""
        if name.startswith("%"):
            return self.special(name, dtype)
        variable = self.variable(name)
        if variable and variable.space == "shared":
            return lambda group: np.array([group.wave.launch.shared_offsets[name]], dtype)
        if variable and variable.space == "local":
            return lambda group: np.array([group.wave.launch.local_offsets[name]], dtype)
        if variable and variable.space == "param" and not self.module.functions[self.instruction.function].entry:
            frame = FRAME_WINDOW + (self.module.frame_number(self.instruction.function, variable) << FRAME_SHIFT)
            return lambda group: np.array([frame], np.uint64).astype(dtype)
        key = (self.instruction.function, name) if variable and variable.space == "param" else name
        if key in self.addresses:
            address = np.array([self.addresses[key]], np.uint64).astype(dtype)
            return lambda group: address
        raise self.error(f"`{name}` is no register, variable or parameter here")

    def special(self, name, dtype):
        if name in ("%clock", "%clock64", "%globaltimer", "%clock_hi", "%globaltimer_lo", "%globaltimer_hi"):
            high = 32 if name.endswith("_hi") else 0
            return lambda group: np.array([group.wave.step >> high], np.uint64).astype(dtype)

        if name in ("%tid", "%ntid", "%ctaid", "%nctaid") or not name.startswith(SPECIAL):
            raise self.error(f"`{name}` is not a register that is declared, nor a special register that is known")

        def read(group):
            values = group.wave.special.get(name)
            if values is None:
                raise group.fault(0, f"special register {name} is not known")
            return (values[group.lanes] if len(values) > 1 else values).astype(dtype)

        return read


SPECIAL = tuple(
    "%" + name
    for name in "tid ntid ctaid nctaid laneid warpid nwarpid smid nsmid gridid cluster ncluster is_explicit_cluster lanemask "
    "dynamic_smem_size total_smem_size".split()
)


def decode(module, addresses):
    for name in TABLES:
        importlib.import_module("." + name, __package__)
    context = Context(module, addresses)
    for instruction in module.code:
        context.instruction = instruction
        factory = OPCODES.get(instruction.opcode) or OPCODES.get(instruction.parts[0])
        if not factory:
            raise context.error(f"instruction `{instruction.opcode}` is not known")
        try:
            instruction.run = factory(context, instruction)
        except (Unknown, KeyError) as reason:
            raise context.error(f"this form of `{instruction.opcode}` is not known: {reason}") from None
        except TypeError as reason:
            raise context.error(str(reason)) from None
        if instruction.predicate is not None:
            instruction.guard = full_reader(reader(context, instruction.predicate, bool))


def full_reader(read):
    return lambda group: group.full(read(group))


def items(operand):
    return operand.items if isinstance(operand, Vector) else (operand,)
