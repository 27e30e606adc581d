"""What a PTX module holds: variables, functions, instructions and their operands, as parse.py makes them."""

from dataclasses import dataclass, field


class PtxError(Exception):
    """What the text or its execution did wrong; the message begins with FILE:LINE."""


# ---- operands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Register:
    slot: int
    name: str
    width: int


@dataclass(frozen=True)
class Immediate:
    value: object  # int, or a float where the text had a decimal one
    float_width: int = 0  # 32 or 64: value holds the bits of that float


@dataclass(frozen=True)
class Symbol:
    """A variable, function or special register, by name."""

    name: str


@dataclass(frozen=True)
class Memory:
    """[base + offset], or [base, {coordinates}] of a tensor."""

    base: object
    offset: int
    coordinates: tuple = ()


@dataclass(frozen=True)
class Vector:
    items: tuple


@dataclass(frozen=True)
class Not:
    predicate: Register


@dataclass(frozen=True)
class Pair:
    """p|q: two results."""

    first: object
    second: object


@dataclass(frozen=True)
class Sink:
    """_: a result that nobody wants."""


# ---- what a module holds ----------------------------------------------------------------------------------------------


@dataclass
class Variable:
    name: str
    space: str  # global const shared local param
    align: int
    size: int
    extern: bool = False
    values: list = field(default_factory=list)  # ints, or (symbol, offset)
    element: int = 8  # bits


@dataclass
class Instruction:
    line: int
    text: str
    opcode: str
    parts: tuple
    operands: list
    predicate: object = None  # Register, Not
    target: object = None  # of branches: index of an instruction, or a list of them
    function: str = ""
    # Set when the module is decoded:
    run: object = None  # Group -> None; of control instructions, the program counter to go on at, None if it is set already
    control: bool = False  # may branch, block or change which threads run
    guard: object = None  # reads the predicate


@dataclass
class Function:
    name: str
    entry: bool
    params: list
    results: list
    line: int
    body: bool = False
    start: int = 0  # index of its first instruction
    variables: dict = field(default_factory=dict)
    block: tuple = None  # .reqntid
    most_threads: int = 1024  # .maxntid
    cluster: tuple = None  # .reqnctapercluster
    waits: bool = False  # for the kernel in front, itself


@dataclass
class Module:
    path: str
    version: str = ""
    target: str = ""
    functions: dict = field(default_factory=dict)
    variables: dict = field(default_factory=dict)
    code: list = field(default_factory=list)
    registers: list = field(default_factory=list)  # slot -> Register
    frames: list = field(default_factory=list)  # (function, parameter) whose address is taken

    def frame_number(self, function, variable):
        if (function, variable) not in self.frames:
            self.frames.append((function, variable))
        return self.frames.index((function, variable))

    def error(self, line, message):
        return PtxError(f"{self.path}:{line}: {message}")
