"""PTX text -> Module: its kernels, functions and variables.

Reads what LLVM's NVPTX back end prints and what is written by hand in that dialect: one statement a `;`, labels, nested
register scopes. Names are resolved here (a register to its slot, a label to the index of its instruction), so nothing
that runs looks at text. What an instruction means is not known here.
"""

import re
from dataclasses import dataclass, field

from .module import (
    Function,
    Immediate,
    Instruction,
    Memory,
    Module,
    Not,
    Pair,
    PtxError,
    Register,
    Sink,
    Symbol,
    Variable,
    Vector,
)

TOKEN = re.compile(
    r"""
    (?P<string> "[^"]*")
  | (?P<number> 0[fF][0-9a-fA-F]{8}\b | 0[dD][0-9a-fA-F]{16}\b | 0[xX][0-9a-fA-F]+U? | 0[bB][01]+U?
              | \d+\.\d*(?:[eE][-+]?\d+)? | \d+U? )
  | (?P<name>   [A-Za-z_$%.][\w$%.]*(?:::[\w.]+)* )
  | (?P<sign>   [-+!|@:;,<>=(){}\[\]] )
""",
    re.X,
)

WIDTHS = {
    "pred": 1,
    "b8": 8,
    "u8": 8,
    "s8": 8,
    "b16": 16,
    "u16": 16,
    "s16": 16,
    "f16": 16,
    "b32": 32,
    "u32": 32,
    "s32": 32,
    "f32": 32,
    "f16x2": 32,
    "b64": 64,
    "u64": 64,
    "s64": 64,
    "f64": 64,
    "b128": 128,
}


# ---- names ---------------------------------------------------------------------------------------------------------


@dataclass
class Scope:
    """Names between two braces."""

    outer: object
    registers: dict = field(default_factory=dict)
    ranges: dict = field(default_factory=dict)  # prefix -> (count, width)
    labels: dict = field(default_factory=dict)
    branches: dict = field(default_factory=dict)  # .branchtargets


# ---- the parser -------------------------------------------------------------------------------------------------------


def without_comments(text):
    """Comments and debug lines become blanks."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text)
    return re.sub(r"^[ \t]*\.(loc|file)\s[^\n]*", "", text, flags=re.M)


def tokens_of(text, path):
    """(kind, text, line, position)"""
    tokens, position, line = [], 0, 1
    for space in re.finditer(r"\s+|[^\s]", text):
        if space.start() < position:
            continue
        if space.group().isspace():
            line += space.group().count("\n")
            continue
        match = TOKEN.match(text, space.start())
        if not match:
            raise PtxError(f"{path}:{line}: expected a PTX token, found `{text[space.start():][:10]}`")
        tokens.append((match.lastgroup, match.group(), line, match.start()))
        position = match.end()
    return tokens


class Parser:
    def __init__(self, text, path):
        self.module = Module(path)
        self.source = without_comments(text)
        self.tokens = tokens_of(self.source, path) + [("end", "", text.count("\n") + 1, len(self.source))]
        self.at = 0
        self.fixups = []  # (instruction, scope, label or .branchtargets) to resolve when a function ends

    # -- tokens

    def peek(self, ahead=0):
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)][1]

    def next(self):
        token = self.tokens[self.at][1]
        self.at += 1
        return token

    def line(self):
        return self.tokens[min(self.at, len(self.tokens) - 1)][2]

    def accept(self, word):
        if self.peek() == word:
            self.at += 1
            return True
        return False

    def expect(self, word):
        if not self.accept(word):
            raise self.error(f"expected `{word}`, found `{self.peek()}`")

    def error(self, message):
        return self.module.error(self.line(), message)

    def integer(self):
        negative = self.accept("-")
        text = self.next()
        try:
            value = int(text.rstrip("U"), 0)
        except ValueError:
            self.at -= 1
            raise self.error(f"expected an integer, found `{text}`") from None
        return -value if negative else value

    # -- module level

    def parse(self):
        module = self.module
        while self.tokens[self.at][0] != "end":
            word = self.peek()
            if word == ".version":
                self.next()
                module.version = self.next()
            elif word == ".target":
                self.next()
                module.target = self.next()
                while self.accept(","):
                    self.next()
            elif word == ".address_size":
                self.next()
                if self.integer() != 64:
                    raise self.error("expected .address_size 64")
            elif word == ".section":
                while self.next() != "}":
                    pass
            else:
                self.declaration()
        return module

    def declaration(self):
        """A function or a variable, after .visible, .extern, .weak, .common, .noreturn."""
        extern = False
        while self.peek() in (".visible", ".extern", ".weak", ".common"):
            extern |= self.next() == ".extern"
        if self.peek() in (".entry", ".func"):
            self.function()
        elif self.peek() in (".global", ".const", ".shared"):
            for variable in self.variables(extern):
                self.module.variables[variable.name] = variable
        else:
            raise self.error(f"expected a function or a variable, found `{self.peek()}`")

    def variables(self, extern=False):
        """.space .align N .type name[count] = {values}, ...;"""
        space = self.next()[1:]
        align = element = None
        while self.peek().startswith("."):
            word = self.next()[1:]
            if word == "align":
                align = self.integer()
            elif word in WIDTHS:
                element = max(WIDTHS[word], 8)
            elif word in ("v2", "v4"):
                raise self.error("vector variables are not supported: declare an array")
            elif word == "attribute":
                while self.next() != ")":
                    pass
        found = [self.variable(space, align or element // 8, element, extern)]
        while self.accept(","):
            found.append(self.variable(space, align or element // 8, element, extern))
        self.expect(";")
        return found

    def variable(self, space, align, element, extern):
        variable = Variable(self.next(), space, align, element // 8, extern, element=element)
        while self.accept("["):
            variable.size *= 0 if self.peek() == "]" else self.integer()
            self.expect("]")
        if self.accept("="):
            variable.values = self.initializer(element)
        return variable

    def initializer(self, element):
        if self.accept("{"):
            values = []
            while not self.accept("}"):
                values += self.initializer(element)
                self.accept(",")
            return values
        kind = self.tokens[self.at][0]
        if kind == "name":
            name = self.next()
            if name == "generic":
                self.expect("(")
                name = self.next()
                self.expect(")")
            offset = self.integer() if self.accept("+") else 0
            return [(name, offset)]
        if self.peek()[:2] in ("0f", "0F", "0d", "0D"):
            return [int(self.next()[2:], 16)]
        return [self.integer()]

    # -- functions

    def function(self):
        line, entry = self.line(), self.next() == ".entry"
        results = self.parameters() if self.peek() == "(" else []
        name = self.next()
        params = self.parameters() if self.peek() == "(" else []
        function = Function(name, entry, params, results, line)
        function.variables = {variable.name: variable for variable in params + results}
        self.performance_directives(function)
        known = self.module.functions.get(name)
        if not self.accept(";"):
            self.expect("{")
            function.body, function.start = True, len(self.module.code)
            self.block(function, Scope(None))
            self.resolve()
            self.module.code.append(Instruction(self.line(), "ret", "ret", ("ret",), []))
            for instruction in self.module.code[function.start :]:
                instruction.function = name
        if not known or not known.body:
            self.module.functions[name] = function

    def parameters(self):
        found = []
        self.expect("(")
        while not self.accept(")"):
            self.expect(".param")
            align = element = None
            while self.peek().startswith("."):
                word = self.next()[1:]
                if word == "align":
                    align = self.integer()
                elif word in WIDTHS:
                    element = max(WIDTHS[word], 8)
                elif word == "ptr":  # what follows describes the memory pointed to
                    while self.peek().startswith("."):
                        if self.next() == ".align":
                            self.integer()
            found.append(self.variable("param", align or element // 8, element, False))
            self.accept(",")
        return found

    def performance_directives(self, function):
        while self.peek().startswith("."):
            word = self.next()
            values = []
            while self.tokens[self.at][0] == "number":
                values.append(self.integer())
                self.accept(",")
            shape = tuple(values + [1] * (3 - len(values)))
            if word == ".reqntid":
                function.block = shape
            elif word == ".maxntid":
                function.most_threads = shape[0] * shape[1] * shape[2]
            elif word == ".reqnctapercluster":
                function.cluster = shape
            elif word == ".pragma":
                self.next()
                self.expect(";")

    def block(self, function, scope):
        while not self.accept("}"):
            if self.accept("{"):
                self.block(function, Scope(scope))
            elif self.peek(1) == ":" and self.tokens[self.at][0] == "name":
                self.label(scope)
            elif self.peek() == ".reg":
                self.register_declaration(scope)
            elif self.peek() in (".local", ".shared", ".param", ".const", ".global"):
                for variable in self.variables():
                    known = function.variables.get(variable.name)
                    if known and known.space == "param":  # each call has a param0: one place that holds the largest
                        variable.size = max(variable.size, known.size)
                    function.variables[variable.name] = variable
            elif self.peek() == ".pragma":
                while self.next() != ";":
                    pass
            elif self.accept(";"):
                pass
            else:
                self.instruction(scope)

    def label(self, scope):
        name = self.next()
        self.expect(":")
        if self.accept(".branchtargets"):
            scope.branches[name] = [self.next()]
            while self.accept(","):
                scope.branches[name].append(self.next())
            self.expect(";")
            return
        if self.peek() in (".callprototype", ".calltargets"):
            raise self.error("calls through pointers are not supported")
        if name in scope.labels:
            raise self.error(f"label `{name}` is defined twice")
        scope.labels[name] = len(self.module.code)

    def register_declaration(self, scope):
        self.expect(".reg")
        kind = self.next()[1:]
        if kind not in WIDTHS:
            raise self.error(f"expected the type of a register, found `.{kind}`")
        while True:
            name = self.next()
            if self.accept("<"):
                scope.ranges[name] = (self.integer(), WIDTHS[kind])
                self.expect(">")
            else:
                scope.registers[name] = self.new_register(name, WIDTHS[kind])
            if not self.accept(","):
                break
        self.expect(";")

    def new_register(self, name, width):
        register = Register(len(self.module.registers), name, width)
        self.module.registers.append(register)
        return register

    def find_register(self, name, scope):
        while scope:
            if name in scope.registers:
                return scope.registers[name]
            match = re.fullmatch(r"(.*?)(\d+)", name)
            if match and match.group(1) in scope.ranges and int(match.group(2)) < scope.ranges[match.group(1)][0]:
                scope.registers[name] = self.new_register(name, scope.ranges[match.group(1)][1])
                return scope.registers[name]
            scope = scope.outer
        return None

    # -- instructions

    def instruction(self, scope):
        begin, line = self.at, self.line()
        predicate = None
        if self.accept("@"):
            inverted = self.accept("!")
            name = self.next()
            predicate = self.find_register(name, scope)
            if not predicate or predicate.width != 1:
                raise self.error(f"expected a predicate register, found `{name}`")
            predicate = Not(predicate) if inverted else predicate
        opcode = self.next()
        operands = []
        while self.peek() != ";":
            operands.append(self.operand(scope))
            if not self.accept(",") and self.peek() != ";":
                raise self.error(f"expected `,` or `;` in operands of `{opcode}`, found `{self.peek()}`")
        text = " ".join(self.source[self.tokens[begin][3] : self.tokens[self.at][3]].split())
        self.next()
        found = Instruction(line, text, opcode, tuple(opcode.split(".")), operands, predicate)
        if found.parts[0] in ("bra", "brx"):
            self.fixups.append((found, scope))
        self.module.code.append(found)
        if found.parts[0] == "call":  # where the callee comes back to: results are copied there
            self.module.code.append(Instruction(line, text, "call.return", ("call", "return"), operands, predicate))

    def operand(self, scope):
        if self.accept("["):
            return self.memory(scope)
        for open_, close in ("{}", "()"):
            if self.accept(open_):
                items = []
                while not self.accept(close):
                    items.append(self.operand(scope))
                    self.accept(",")
                return Vector(tuple(items))
        if self.accept("!"):
            return Not(self.operand(scope))
        first = self.atom(scope)
        if self.accept("|"):
            return Pair(first, self.atom(scope))
        if isinstance(first, Symbol) and self.peek() == "+":
            self.next()
            return Memory(first, self.integer())
        return first

    def memory(self, scope):
        base, offset, coordinates = self.atom(scope), 0, ()
        if self.accept("+"):
            offset = self.integer()
        elif self.peek() == "-":
            offset = self.integer()
        if self.accept(","):
            coordinates = self.operand(scope).items
        self.expect("]")
        return Memory(base, offset, coordinates)

    def atom(self, scope):
        negative = self.accept("-")
        kind, text = self.tokens[self.at][:2]
        self.at += 1
        if kind == "number":
            sign = -1 if negative else 1
            if text[:2] in ("0f", "0F", "0d", "0D"):
                width = 32 if text[1] in "fF" else 64
                return Immediate(int(text[2:], 16) ^ ((1 << width - 1) if negative else 0), width)
            if "." in text:
                return Immediate(sign * float(text))
            return Immediate(sign * int(text.rstrip("U"), 0))
        if kind != "name" or negative:
            self.at -= 1
            raise self.error(f"expected an operand, found `{text}`")
        if text == "_":
            return Sink()
        return self.find_register(text, scope) or Symbol(text)

    def resolve(self):
        """Labels of the function that just ended."""
        for instruction, scope in self.fixups:
            label = instruction.operands[-1]
            name = label.name if isinstance(label, Symbol) else None
            if instruction.parts[0] == "bra":
                instruction.target = self.find_label(name, scope, instruction)
                continue
            inner = scope
            while inner and name not in inner.branches:
                inner = inner.outer
            if not inner:
                raise self.module.error(instruction.line, f"`{name}` is no list of .branchtargets")
            instruction.target = [self.find_label(target, scope, instruction) for target in inner.branches[name]]
        self.fixups.clear()

    def find_label(self, name, scope, instruction):
        while scope:
            if name in scope.labels:
                return scope.labels[name]
            scope = scope.outer
        raise self.module.error(instruction.line, f"label `{name}` is not defined here: {instruction.text}")


def parse(text, path="module.ptx"):
    return Parser(text, path).parse()
