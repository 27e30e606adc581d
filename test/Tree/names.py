# One stem, four spellings; one rule, three places.
#
# Every pass SelectRecipes of a room's Passes.td is the flag qlow-select-recipes, the file SelectRecipes.cpp of lib/<Room>
# and the test test/<Room>/select-recipes.mlir (or .test), which runs the flag alone. Its description says its
# precondition, what it makes of some IR, and what it does not do. Every numbered constraint of docs/Semantics.md stands
# there, in a comment in lib/Dialect, and in the name of a function of test/Dialect that expects a diagnostic.
#
# RUN: python3 %s %include/..

import re
import sys
from pathlib import Path

root = Path(sys.argv[1]).resolve()
bad = []

# ---- passes -------------------------------------------------------------------------------------

# Checks change nothing: their pages have no IR before and after.
CHECKS = {"Verify", "CheckImported"}


def kebab(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def commands(text):
    """The RUN lines, continued ones joined."""
    word = "RUN" + ":"  # spelled so that lit does not take it for its own
    joined = re.sub(r"\\\n\W*" + word, "", text)
    return re.findall(word + "(.*)", joined)


def runs_alone(text, flag):
    return any(f"-{flag}" in command and len(set(re.findall(r"-(qlow-[a-z-]+)(?![\w-]*\.)", command)) - {flag}) == 0
               for command in commands(text) if "qlow-opt" in command)


passes = 0
for definitions in sorted(root.glob("include/qlow/*/Passes.td")):
    room = definitions.parent.name
    blocks = re.split(r"^def ", definitions.read_text(), flags=re.M)[1:]
    for block in blocks:
        passes += 1
        name, flag = re.match(r'(\w+) : Pass<"([^"]+)"', block).groups()
        if flag != "qlow-" + kebab(name):
            bad.append(f"{definitions}: pass {name} has the flag {flag}, expected qlow-{kebab(name)}")
        if len(list((root / "lib" / room).rglob(f"{name}.cpp"))) != 1:
            bad.append(f"pass {name}: expected its code in a {name}.cpp of lib/{room}")
        tests = [root / "test" / room / f"{kebab(name)}{suffix}" for suffix in (".mlir", ".test")]
        texts = [path.read_text() for path in tests if path.exists()]
        if not any(runs_alone(text, flag) for text in texts):
            bad.append(f"pass {name}: expected test/{room}/{kebab(name)}.mlir or .test with a RUN line of qlow-opt --{flag} alone")
        for option in re.findall(r'Option<"\w+", "([^"]+)"', block):
            if not any(re.search(rf"-{flag}=[^|]*\b{option}=", command) for text in texts for command in commands(text)):
                bad.append(f"pass {name}: no RUN line of its test gives the option {option}")
        page = re.search(r"description = \[\{(.*?)\}\];", block, re.S)
        page = page.group(1) if page else ""
        wanted = ["Precondition:", "Does not" if "Does not" in page else "does not"]
        if name not in CHECKS:
            wanted.append("```")
        bad += [f"pass {name}: its page has no '{word}'" for word in wanted if word not in page]
        for fence in re.findall(r"^ *```(?:mlir)?\n(.*?)^ *```", page, re.S | re.M):
            for side in fence.split("// becomes"):
                if len(side.strip("\n").splitlines()) > 9:
                    bad.append(f"pass {name}: an example longer than 8 lines")
assert passes > 10, "found no passes"

# ---- options of the tools -----------------------------------------------------------------------

# What is run: RUN lines, and the scripts that call tools.
calls = [line for suffix in ("*.mlir", "*.test") for path in root.glob(f"test/**/{suffix}") for line in commands(path.read_text())]
calls += [path.read_text() for path in root.glob("test/**/*.py") if path.parent.name != "Tree"]
options = 0
for path in sorted(root.glob("tools/*.cpp")):
    for option in re.findall(r'cl::(?:opt|list)<[^;"{(]*[{(]\s*"([\w-]+)"', path.read_text()):
        options += 1
        if not any(path.stem in call and re.search(rf"(?<![\w-])--?{option}\b(?!-)", call) for call in calls):
            bad.append(f"tools/{path.name}: no test gives the option -{option}")
assert options > 10, "found no options"

# ---- constraints --------------------------------------------------------------------------------

law = (root / "docs" / "Semantics.md").read_text()
numbers = re.findall(r"^\* \*\*([TCV]\d+)\*\*", law, re.M)
assert len(numbers) > 20 and len(numbers) == len(set(numbers)), numbers
for letter in "TCV":
    own = [int(number[1:]) for number in numbers if number[0] == letter]
    if own != list(range(1, len(own) + 1)):
        bad.append(f"docs/Semantics.md: {letter} is numbered {own}")

checked = set()
for path in [*root.glob("lib/Dialect/*.cpp"), *root.glob("lib/Dialect/*.h")]:
    # The banner names ranges; what counts is the comment at the check.
    body = re.sub(r"\A(//.*\n)+", "", path.read_text())
    for comment in re.findall(r"//.*", body):
        checked.update(re.findall(r"\b[TCV]\d+\b", comment))

# In a test, a diagnostic is expected in the function that carries the number, or right above it.
failing = set()
for path in root.glob("test/Dialect/*.mlir"):
    lines = path.read_text().splitlines()
    symbols = [i for i, line in enumerate(lines) if re.match(r"\s*(func\.func|qlow\.weight)\b.*@\w+", line)]
    for i, start in enumerate(symbols):
        above = start
        while above > 0 and lines[above - 1].strip().startswith("//"):
            above -= 1
        end = symbols[i + 1] if i + 1 < len(symbols) else len(lines)
        name = re.search(r"@(\w+)", lines[start]).group(1)
        case = "\n".join(lines[above:end])
        number = re.search(r"(?:^|_)([tcv]\d+)$", name)
        if number and re.search(r"expected-(error|warning)", case):
            failing.add(number.group(1).upper())

for number in numbers:
    if number not in checked:
        bad.append(f"{number}: no comment in lib/Dialect names it at its check")
    if number not in failing:
        bad.append(f"{number}: no failing example in test/Dialect is called ..._{number.lower()}")
for number in sorted((checked | failing) - set(numbers)):
    bad.append(f"{number}: docs/Semantics.md has no such rule")

assert not bad, "\n" + "\n".join(bad)
