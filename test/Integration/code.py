# What all code that qlowc emits keeps to: frames below 16 KiB, no relocation that a position-independent program could
# not have, no visible symbol but the entries, nothing that can be written but the answer of check_cpu, no executable
# stack, and nothing asked for but memory functions.
#
# RUN: python3 %s %S/Inputs/entry.mlir %models/digits/digits.mlir %models/digits/digits_f32.mlir

import re
import subprocess
import sys
import tempfile

FRAME = 16 << 10


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def check(model, target, obj):
    """Returns what does not hold."""
    faults = []
    subprocess.run(["qlowc", model, f"-target={target}", "-prefix=m", "-o", obj], check=True)
    header = open(obj[:-2] + ".h").read()
    declared = set(re.findall(r"^(?:int|int64_t|const char \*) ?\*?(m_\w+)\(", header, flags=re.M))
    symbols = [line.split() for line in output("llvm-readelf", "--symbols", "--wide", obj).splitlines()]
    symbols = [s for s in symbols if len(s) > 7 and s[0].rstrip(":").isdigit()]
    visible = {s[7] for s in symbols if s[4] == "GLOBAL" and s[5] == "DEFAULT" and s[6] != "UND"}
    asked = {s[7] for s in symbols if s[4] == "GLOBAL" and s[6] == "UND"}
    if visible != declared:
        faults.append(f"shows {visible ^ declared} more or less than the header")
    if asked - {"memcpy", "memset", "memmove", "_GLOBAL_OFFSET_TABLE_"}:
        faults.append(f"asks for {asked}")
    sections = re.sub(r"\[ *", "[", output("llvm-readelf", "--sections", "--wide", obj))
    bss = "".join(re.findall(r"\[(\d+)\] \.bss ", sections))
    writable = {line.split()[1] for line in sections.splitlines()
                if re.search(r" (WA|WAT|WAl) ", line) and int(line.split()[5], 16)}
    variables = {s[7] for s in symbols if s[3] == "OBJECT" and s[6] == bss}
    if writable - {".bss"} or variables - {"m.cpu"}:
        faults.append(f"can be written: {writable}, {variables}")
    # An absolute address in code would have to be patched when it is loaded.
    for line in output("llvm-readelf", "--relocs", "--wide", obj).splitlines():
        if re.search(r"R_X86_64_(32S?|16|8)\b", line):
            faults.append(f"is not position-independent: {line}")
    stack = re.search(r"\.note\.GNU-stack +\S+ +\S+ +\S+ +\S+ +\S+ +(\S+)", sections)
    if not stack or "X" in stack.group(1):
        faults.append("wants an executable stack")
    disassembly = output("llvm-objdump", "-d", "--no-show-raw-insn", obj)
    frames = [int(size, 16) for size in re.findall(r"\bsubq?\s+\$0x([0-9a-f]+), %rsp", disassembly)]
    if max(frames, default=0) >= FRAME:
        faults.append(f"has a frame of {max(frames)} bytes")
    if not re.search(r"\bret", disassembly):
        faults.append("could not be disassembled")
    return faults


failed = False
with tempfile.TemporaryDirectory() as folder:
    for model in sys.argv[1:]:
        for target in ("generic", "x86-64-v3", "znver4"):
            for fault in check(model, target, folder + "/m.o"):
                print(f"{model} for {target}: {fault}")
                failed = True
sys.exit(failed)
