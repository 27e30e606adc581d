# Models that something has broken: a program answers with exit code 0, or with 1 and a message that says where; it never
# crashes, hangs, takes 2 GiB, prints to stdout beside a failure or leaves a file behind.
#
# The models are the repository's own .mlir files, function by function, with tokens deleted, doubled, swapped or put in
# from elsewhere, numbers made extreme, and ends cut off. The seed is printed; QLOW_SEED gives another, QLOW_SECONDS
# makes it longer. A broken model that is mishandled is kept in QLOW_KEEP, if that is set.
#
# RUN: python3 %s %S/.. %t

import glob
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import threading
import time

ROOT, OUT = sys.argv[1:3]
SEED = int(os.environ.get("QLOW_SEED", 1))
SECONDS = float(os.environ.get("QLOW_SECONDS", 45))
KEEP = os.environ.get("QLOW_KEEP")
HANG, MEMORY = 20, 2 << 30
TOKEN = re.compile(r'"[^"\n]*"|[%@#!^]?[A-Za-z_][\w.$]*|-?\d[\w.+]*|->|::|\s+|.', re.S)
NUMBERS = ["0", "1", "-1", "2", "3", "7", "31", "33", "64", "127", "128", "255", "256", "65536", "2147483647",
           "-2147483648", "2147483648", "4294967296", "9223372036854775807", "-9223372036854775808",
           "18446744073709551616", "1.0e300", "0x7FC00000", "0xFF800000", "?", "*"]
# Some of MLIR's parsers crash on what they have just called wrong; the guard around them is there for it.
CRASHED = re.compile(r"(?<!can not be read: )LLVM (crashed|gave up)|Assertion|PLEASE submit|Sanitizer|runtime error:|"
                     r"UNREACHABLE executed")
# A module that the text does not spell, as where only an alias is left of it, has no line.
PLACE = re.compile(r"^\S+:\d+:\d+: error: |^\S+: error: expected at least one public function", re.M)
# What qlow-run says of its command line has no place in the model.
CALL = re.compile(r"^qlow-run: error: (expected \d+ \.npy files|'.*' has (no function|\d+ public functions))", re.M)


def models():
    found = []
    for path in sorted(glob.glob(os.path.join(ROOT, "**", "*.mlir"), recursive=True)):
        text = "\n".join(line for line in open(path).read().split("\n") if not line.lstrip().startswith("//") or
                         line.startswith("// -----"))
        found += [part for part in text.split("// -----") if len(part) < 200000 and part.strip()]
    return found


def mutate(random, text, pool):
    tokens = TOKEN.findall(text)
    for _ in range(random.choice([1, 1, 1, 2, 3, 5])):
        words = [i for i, token in enumerate(tokens) if token.strip()]
        if not words:
            break
        at, other = random.choice(words), random.choice(words)
        kind = random.randrange(8)
        if kind == 0:
            del tokens[at]
        elif kind == 1:
            tokens.insert(at, tokens[at] + " ")
        elif kind == 2:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        elif kind == 3:
            tokens[at] = random.choice(pool)
        elif kind == 4:
            tokens = tokens[: at + 1]
        elif kind == 5:
            lines = "".join(tokens).split("\n")
            line = random.randrange(len(lines))
            lines.insert(random.randrange(len(lines)), lines[line] if random.random() < 0.5 else lines.pop(line))
            tokens = TOKEN.findall("\n".join(lines))
        else:
            numbers = [i for i in words if re.match(r"-?\d", tokens[i])] or words
            tokens[random.choice(numbers)] = random.choice(NUMBERS)
    return "".join(tokens)


def run(command, folder):
    """Exit code (None: it hung), stdout, stderr, the most memory."""
    with open(os.path.join(folder, "stdout"), "w+b") as out, open(os.path.join(folder, "stderr"), "w+b") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        timer = threading.Timer(HANG, process.kill)
        timer.start()
        start = time.time()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        hung = process.returncode == -9 and time.time() - start >= HANG
        out.seek(0), err.seek(0)
        return (None if hung else process.returncode, out.read(), err.read().decode(errors="replace"),
                usage.ru_maxrss * 1024)


def judge(command, folder, output):
    """What is wrong with how the command ended, or None."""
    code, out, err, memory = run(command, folder)
    left = [name for name in os.listdir(folder) if name not in ("m.mlir", "stdout", "stderr", *output)]
    if code is None:
        # How long a program runs is its own affair, how long it compiles is ours.
        return None if "--reference" in command else f"hangs for {HANG} s"
    if code not in (0, 1):
        return f"exit code {code}: {err[-300:]}"
    if CRASHED.search(err):
        return f"crashed inside: {CRASHED.search(err)[0]}: {err[-300:]}"
    if memory > MEMORY:
        return f"took {memory >> 20} MiB"
    # A few of MLIR's parsers refuse in silence; qlowc and qlow-run say so, MLIR's own driver does not.
    isSilent = command[0] == "qlow-opt" and not err
    if code == 1 and not PLACE.search(err) and not CALL.search(err) and not isSilent:
        return f"no place in the message: {err[-300:]}"
    if code == 1 and out:
        return f"prints to stdout beside a failure: {out[:100]!r}"
    if code == 1 and "-o" in command:
        left += [name for name in output if os.path.exists(os.path.join(folder, name))]
    if left:
        return f"leaves {left}"
    for name in output:
        if os.path.exists(os.path.join(folder, name)):
            os.remove(os.path.join(folder, name))
    return None


def check(text, folder, target):
    model = os.path.join(folder, "m.mlir")
    open(model, "w").write(text)
    for command, output in (
        (["qlowc", model, f"-target={target}", "-o", os.path.join(folder, "m.o")], ("m.o", "m.h")),
        (["qlow-run", "--reference", model], ()),
        (["qlow-opt", model, f"--qlow-pipeline=target={target}", "-o", os.path.join(folder, "m.out")], ("m.out",)),
    ):
        if why := judge(command, folder, output):
            return f"{command[0]} {why}"
    return None


def worker(number, sources, pool, end, faults, counts):
    chance = random.Random(SEED * 1000 + number)
    folder = os.path.join(OUT, str(number))
    os.makedirs(folder)
    while time.time() < end and len(faults) < 5:
        text = mutate(chance, chance.choice(sources), pool)
        why = check(text, folder, chance.choice(["generic", "x86-64-v4", "znver5"]))
        counts[number] += 1
        if why:
            faults.append(why)
            print(f"---- {why}\n{text if len(text) < 4000 else text[:4000] + ' ...'}")
            if KEEP:
                open(os.path.join(KEEP, f"broken-{SEED}-{number}-{counts[number]}.mlir"), "w").write(text)
            for name in os.listdir(folder):
                os.remove(os.path.join(folder, name))


shutil.rmtree(OUT, ignore_errors=True)
os.makedirs(OUT)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
sources = models()
assert len(sources) > 50, "found no models"
pool = [token for text in sources for token in set(TOKEN.findall(text[:20000])) if token.strip()]
print(f"seed {SEED}, {len(sources)} models")
faults, counts, end = [], [0, 0], time.time() + SECONDS
threads = [threading.Thread(target=worker, args=(n, sources, pool, end, faults, counts)) for n in range(len(counts))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"{sum(counts)} broken models, {len(faults)} mishandled")
shutil.rmtree(OUT, ignore_errors=True)
assert not faults and sum(counts) > 10
