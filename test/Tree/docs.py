# The documentation is true: every command of README.md and docs/*.md runs as it is written, in a copy of the tree's
# layout so that its outputs come where they say; files that a block shows (its first line names them) are written there
# and used; links and paths lead somewhere. The two bootstrap commands are run by the integration machine instead.
#
# RUN: rm -rf %t && mkdir %t
# RUN: python3 %s %include/.. %build %t

import json
import re
import subprocess
import sys
from pathlib import Path

root, build, home = (Path(path).resolve() for path in sys.argv[1:])
BOOTSTRAP = ("./cmake/bootstrap demo", "./cmake/bootstrap test")
COMMENT = re.compile(r"^(?://|#) (\S+\.\w+)\n")
documents = [root / "README.md", *sorted(root.glob("docs/*.md"))]
bad = []


def blocks(text):
    """Language and text of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)


def commands(block):
    """Commands without their comments, continued lines joined."""
    for line in block.replace("\\\n", "").splitlines():
        line = re.sub(r"\s+#.*", "", line).strip()
        if line:
            yield line


def run(document, copy, command):
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=copy, capture_output=True, text=True)
    if done.returncode:
        bad.append(f"{document.name}: '{command}' fails:\n{done.stdout}{done.stderr}")
    outputs = re.findall(r"(?<!\S)(?:-o |--json=|--explain=)\s*(\S+)", command)
    bad.extend(f"{document.name}: '{command}' leaves no {name}" for name in outputs if not (copy / name).exists())


ran = 0
for document in documents:
    text = document.read_text()
    # The layout of a checkout that has been built.
    copy = home / document.stem
    (copy / "build").mkdir(parents=True)
    (copy / "test").symlink_to(root / "test")
    (copy / "build" / "release").symlink_to(build)
    for language, block in blocks(text):
        if language not in ("sh", "c", "json"):
            bad.append(f"{document.name}: a block of '{language}': expected sh, c or json, which this test can check")
        named = COMMENT.match(block)
        if named:
            content = block[named.end():]
            (copy / named.group(1)).write_text(content)
            if language == "json":
                json.loads(content)
        elif language != "sh":
            bad.append(f"{document.name}: a block of {language} does not name its file: {block.splitlines()[0]}")
    for language, block in blocks(text):
        for command in commands(block) if language == "sh" else []:
            ran += 1
            if command not in BOOTSTRAP:
                run(document, copy, command)

    for link in re.findall(r"\]\(([^)#]+)(?:#\S*)?\)", text):
        if "://" not in link and not (document.parent / link).exists():
            bad.append(f"{document.name}: link to {link}, which is not there")
    for path in re.findall(r"`((?:lib|include|docs|test|tools|cmake)/[\w./-]+)`", text):
        if not (root / path).exists():
            bad.append(f"{document.name}: names {path}, which is not there")

assert ran > 8, "found no commands"

# The table of a description's keys is what descriptions of processors and devices have.
table = re.findall(r"^\| `(\w+)` \|", (root / "docs" / "Targets.md").read_text(), re.M)
keys = {"inherits"}
for machine in ("znver5", "sm_90"):
    keys |= {*json.loads(subprocess.run(["qlowc", f"-print-target={machine}"], capture_output=True, text=True, check=True).stdout)}
bad += [f"docs/Targets.md has no key {key}" for key in sorted(keys - set(table))]
bad += [f"docs/Targets.md has a key {key}, which no description has" for key in sorted(set(table) - keys)]
bad += [f"README.md does not link to {path.name}" for path in documents[1:] if f"(docs/{path.name})" not in documents[0].read_text()]
assert not bad, "\n" + "\n".join(bad)
