# The room rule, as far as a machine can see it. lib/CMakeLists.txt lists the rooms and what each may use; a file includes
# the public headers of its own room and of those it may use, and private headers of its own room alone. And what smells:
# a number format's name in Targets, an instruction set's name outside Targets and Emit, the words of one make of
# hardware outside its family and its driver's folder, an option outside tools, a fatal error where a user's input can
# lead, the host's processor outside the one file that may ask for it, a room of left-overs.
#
# RUN: python3 %s %include/..

import re
import subprocess
import sys
from pathlib import Path

root = Path(sys.argv[1]).resolve()
bad = []

# ---- the graph ----------------------------------------------------------------------------------


def calls(path, function):
    """Name and arguments by keyword of each call of a CMake function."""
    text = re.sub(r"#.*", "", path.read_text())
    for body in re.findall(rf"^{function}\(([^)]*)\)", text, re.M):
        words, arguments, key = body.split(), {"SOURCES": [], "USES": []}, None
        for word in words[1:]:
            if word in arguments:
                key = word
            else:
                arguments[key].append(word)
        yield words[0], arguments


rooms = dict(calls(root / "lib/CMakeLists.txt", "qlow_library"))
assert len(rooms) > 5, "found no rooms"
assert sorted(rooms) == sorted(path.name for path in (root / "lib").iterdir() if path.is_dir()), "a folder of lib is no room"


def reach(room):
    """The room and all it may use, in however many steps."""
    seen, todo = set(), [room]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += rooms[name]["USES"]
    return seen


def check_includes(path, allowed, own):
    for include in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M):
        if include.endswith(".inc") and not include.startswith("qlow/"):
            continue  # written by the build
        if include.startswith("qlow/"):
            room = include.split("/")[1]
            if room not in allowed:
                bad.append(f"{path.relative_to(root)} includes {include}, but may use {', '.join(sorted(allowed))} only")
        elif not include.startswith(("mlir/", "llvm/", "nlohmann/")):
            homes = [path.parent, root / own]
            if not any((home / include).exists() for home in homes):
                bad.append(f"{path.relative_to(root)} includes {include}, which is no header of {own}")


sources = lambda *folders: sorted(path for folder in folders for path in (root / folder).rglob("*") if path.suffix in (".cpp", ".h", ".td"))
for room, arguments in rooms.items():
    for path in sources(f"lib/{room}", f"include/qlow/{room}"):
        check_includes(path, reach(room), f"lib/{room}")
    listed = {source for source in arguments["SOURCES"] if source.startswith(room)}
    there = {str(path.relative_to(root / "lib")) for path in (root / "lib" / room).rglob("*.cpp")}
    bad += [f"lib/{source} is in no library" for source in sorted(there - listed)]
tools = dict(calls(root / "tools/CMakeLists.txt", "qlow_tool"))
for path in sources("tools"):
    users = [arguments["USES"] for arguments in tools.values() if path.with_suffix(".cpp").name in arguments["SOURCES"]]
    for used in users:
        check_includes(path, set().union(*map(reach, used)), "tools")

# ---- smells -------------------------------------------------------------------------------------


def code(path):
    """The lines without comments and, in TableGen, without descriptions."""
    text = path.read_text()
    if path.suffix == ".td":
        text = re.sub(r"\[\{.*?\}\]", lambda match: "\n" * match.group(0).count("\n"), text, flags=re.S)
    return re.sub(r"//.*", "", text).splitlines()


def forbid(folders, pattern, why, but=()):
    """In the folders, but not in these files and folders."""
    for path in sources(*folders):
        name = str(path.relative_to(root))
        if name.startswith(tuple(but)):
            continue
        for number, line in enumerate(code(path), 1):
            found = re.search(pattern, line)
            if found:
                bad.append(f"{name}:{number}: '{found.group(0)}': {why}")


everywhere = ("lib", "include", "tools")
formats = [line.split()[0] for line in
           subprocess.run(["qlowc", "-list-formats"], capture_output=True, text=True, check=True).stdout.splitlines()]
# Names that are element types of storage, or plain words, may stand in Targets as such.
named = [name for name in formats if re.search(r"[a-z]\d+\w*[A-Z]|[a-z]{2}\d|_", name)]
words = [name for name in formats if re.fullmatch(r"[a-z]+", name)]
assert len(named) > 9 and len(words) > 2
forbid(["lib/Targets", "include/qlow/Targets"], rf"\b(?:{'|'.join(named)})\b", "a number format is no business of Targets")
forbid(["lib/Targets", "include/qlow/Targets"], rf'"(?:{"|".join(words)})"', "a number format is no business of Targets")

rows = [line.split()[0].split("_")[0] for line in
        subprocess.run(["qlowc", "-list-instructions", "-target=znver5"], capture_output=True, text=True, check=True).stdout.splitlines()]
isas = sorted({row for row in rows if row != "vector"} | {"avx", "avx2", "avx512", "amx", "sse", "sse2", "vnni", "neon", "wgmma", "mma", "ptx", "x86", "nvptx"})
elsewhere = [room for room in rooms if room not in ("Targets", "Emit")]
forbid([f"{where}/{room}" for room in elsewhere for where in ("lib", "include/qlow")], rf"(?i)\b(?:{'|'.join(isas)})\w*\b",
       "an instruction set is no business of this room")
# What a processor is asked, and how one make of device works, are for their families to know: these words in no name of
# other rooms. The interface of one driver is a folder of Emit, which a single file leads to.
forbid([f"{where}/{room}" for room in rooms if room != "Targets" for where in ("lib", "include/qlow")],
       r"(?i)\w*(?:cpuid|xgetbv|nvvm|nvgpu|nvidia|cuda|cubin|ptx|warp)\w*", "one make of hardware is no business of this room",
       but=("lib/Emit/Cuda/", "lib/Emit/Device.cpp"))
forbid(["lib/Targets", "include/qlow/Targets"], r"(?i)\w*(?:cpuid|xgetbv)\w*", "only a processor's family asks it", but=("lib/Targets/X86/",))
forbid(["lib/Targets", "include/qlow/Targets"], r"(?i)\w*(?:nvvm|nvgpu|nvidia|cuda)\w*", "only a device's family names its dialects", but=("lib/Targets/NVPTX/",))
forbid(["tools"], r"(?i)\w*(?:cpuid|xgetbv|nvvm|nvgpu|cubin|warp)\w*", "hardware is no business of a command line")
forbid(["lib", "include"], r"\bcl::(?:opt|list|bits|alias)\b", "options belong to tools")
forbid(everywhere, r"\b(?:report_fatal_error|reportFatal\w*Error|abort|std::terminate|std::exit)\s*\(", "a user's input must not end the process")
forbid(everywhere, r"\bgetHostCPU\w*|\bgetDefaultTargetTriple\b|\bgetProcessTriple\b", "the compiling machine must not decide for the machine that runs", but=("tools/HostTarget.cpp", "tools/LoadedObject.cpp"))
forbid(everywhere, r"\b(?:TODO|FIXME|XXX|HACK)\b", "unfinished")
for folder in [*(root / "lib").rglob("*"), *(root / "include").rglob("*")]:
    if folder.is_dir() and folder.name in ("Utils", "Util", "Common", "Support", "Helpers", "Misc"):
        bad.append(f"{folder.relative_to(root)}: a room of left-overs")

# ---- sizes --------------------------------------------------------------------------------------

for path in sources(*everywhere, "test/Unit"):
    lines = path.read_text().splitlines()
    name = path.relative_to(root)
    if len(lines) > 700:
        bad.append(f"{name} has {len(lines)} lines: past 700 it wants to be two files")
    start = None
    for number, line in enumerate(lines, 1):
        # A body at the outermost level ends with a brace in the first column.
        if re.match(r"[\w:<>*&\[\]\"][^;]*\{$", line) and not re.match(r"(?:namespace|struct|class|enum|extern|union)\b", line) and "=" not in line.split("(")[0]:
            start = number
        elif line == "}" and start:
            if number - start > 90:
                bad.append(f"{name}:{start}: a function of {number - start} lines: more than a screen")
            start = None
    if path.suffix in (".cpp", ".h") and not re.match(r"//===- " + re.escape(path.name) + r" - .+===//\n", path.read_text()):
        bad.append(f"{name}: expected a banner '//===- {path.name} - what it is ---===//'")

assert not bad, "\n" + "\n".join(bad)
