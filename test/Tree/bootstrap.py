# What cmake/bootstrap says and does when something is missing, and how it counts: the script runs in a made-up checkout,
# first in a folder with a space in its name, with stand-ins for the package manager, the build, lit and the checkers on PATH.
#
# RUN: rm -rf %t && mkdir %t
# RUN: python3 %s %include/../cmake/bootstrap %t

import os
import shutil
import subprocess
import sys
from pathlib import Path

script, work = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
tree, fakes = work / "a checkout", work / "bin"
release = tree / "build" / "release"
STAND_INS = {
    "id": "echo ${FAKE_UID:-0}",
    "nproc": "echo 1",
    "sleep": "echo $* >>$FAKE_LOG.sleep",
    "dpkg-query": '[[ " $FAKE_MISSING " == *" ${@: -1} "* ]] || echo installed',
    "apt-get": '[[ $FAKE_APT == unreachable ]] && exit 100; [[ " $* " == *" install "* && $FAKE_APT == broken ]] && exit 100; exit 0',
    "apt-cache": '[[ " $FAKE_UNKNOWN " == *" $2 "* ]] || echo "Package: $2"',
    "cmake": 'if [[ ${FAKE_CMAKE:-} ]]; then echo "CMake Error: no MLIR" >&2; exit 1; fi',
    "ninja": "exit ${FAKE_NINJA:-0}",
    "lit": 'while [[ $1 != --output ]]; do shift; done; echo "{\\"tests\\": [{\\"code\\": \\"PASS\\"}, {\\"code\\": \\"${FAKE_LIT:-PASS}\\"}, {\\"code\\": \\"UNSUPPORTED\\"}]}" >$2',
    "clang-format-22": "true",
    "clang-tidy-22": 'echo "${@: -1}" >>$FAKE_LOG.tidy; exit ${FAKE_TIDY:-0}',
    "cc": 'while [[ $1 != -o ]]; do shift; done; echo "#!/bin/true" >$2; chmod +x $2',
}
GIT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
       "GIT_CEILING_DIRECTORIES": str(work)}


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/usr/bin/env bash\n" + text + "\n")
    path.chmod(0o755)


def bootstrap(command, log="log", without=(), **environment):
    """Exit code, and what was printed."""
    path = fakes
    if without:
        path = work / "bin-without"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(fakes, path, ignore=lambda *_: without)
        # The machine's own must not stand in.
        for tool in ("bash", "env", "dirname", "sed", "mkdir", "cat", "git"):
            (path / tool).symlink_to(shutil.which(tool))
    variables = {"PATH": str(path) + ("" if without else os.pathsep + os.environ["PATH"]), "HOME": str(work), "FAKE_LOG": str(work / log)}
    done = subprocess.run([str(tree / "cmake" / "bootstrap"), command], cwd="/", env=variables | GIT | environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def expect(result, code, *texts):
    assert result[0] == code, f"exit code {result[0]}, expected {code}:\n{result[1]}"
    for text in texts:
        assert text in result[1], f"expected '{text}' in:\n{result[1]}"


def git(*arguments):
    subprocess.run(["git", "-C", str(tree), *arguments], check=True, capture_output=True, env=os.environ | GIT)


def lines(name):
    path = work / name
    return sorted(path.read_text().splitlines()) if path.exists() else []


for name, text in STAND_INS.items():
    executable(fakes / name, text)
(tree / "cmake").mkdir(parents=True)
shutil.copy(script, tree / "cmake" / "bootstrap")
for tool in ("qlowc", "qlow-run"):
    executable(release / "bin" / tool, f'while [[ $1 != -o ]]; do shift; done; touch "$2"')
(release / "CMakeCache.txt").write_text(f"QLOW_LIT:FILEPATH={fakes}/lit\nQLOW_PYTHON:FILEPATH={sys.executable}\n")
(release / "compile_commands.json").write_text("[]\n")
for name in ("lib/A/One.cpp", "lib/A/Two.cpp", "tools/tool.cpp", "include/qlow/A.h", "test/Unit/Test.cpp"):
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text('#include "qlow/A.h"\n' if name == "lib/A/Two.cpp" else "\n")
(tree / ".gitignore").write_text("/build/\n")

# Packages.
expect(bootstrap("demo", FAKE_UID="1000", FAKE_MISSING="clang-22 git"), 1,
       "these packages are missing: clang-22 git", "Run this as root, or once: apt-get install clang-22 git")
expect(bootstrap("demo", without=("dpkg-query",)), 1, "expected Debian 12 or a relative of it", "ninja -C build/release check-qlow")
expect(bootstrap("demo", FAKE_MISSING="git", FAKE_APT="unreachable"), 1,
       "attempt 3 of", "can not read the package lists: is Debian's archive reachable from here?")
assert lines("log.sleep") == ["10", "15", "5"], lines("log.sleep")
expect(bootstrap("demo", FAKE_MISSING="git lld-22", FAKE_UNKNOWN="lld-22"), 1,
       "the archive does not offer lld-22", "bookworm-security")
expect(bootstrap("demo", FAKE_MISSING="git", FAKE_APT="broken"), 1, "can not install git: apt-get's message is above")
expect(bootstrap("demo", FAKE_MISSING="git", FAKE_CMAKE="1"), 1, "Installing git", "CMake Error: no MLIR", "cmake failed")

# Commands.
expect(bootstrap("demo"), 0, "Classifying the held-out images", "object size")
expect(bootstrap(""), 2, "./cmake/bootstrap test")
expect(bootstrap("--help"), 0, "./cmake/bootstrap demo")

expect(bootstrap("test"), 1, "lit's tests need a path without spaces, found '", "a checkout'; demo runs here")
tree = tree.rename(work / "checkout")

# Counts: two of lit, and build, demo, format, tidy.
last = lambda result: result[1].splitlines()[-1]
for count, code, environment in (("6 passed, 0 failed", 0, {}),
                                 ("5 passed, 1 failed", 1, {"FAKE_LIT": "FAIL"}),
                                 ("5 passed, 1 failed", 1, {"FAKE_LIT": "XPASS"}),
                                 ("5 passed, 1 failed", 1, {"FAKE_TIDY": "1"}),
                                 ("2 passed, 1 failed", 1, {"FAKE_NINJA": "1"})):
    result = bootstrap("test", **environment)
    assert (last(result), result[0]) == (count, code), f"{environment}: expected {count}\n{result[1]}"

# Tidy: an archive without git checks all; so does a first commit; then what changed against the branch it left.
everything = ["lib/A/One.cpp", "lib/A/Two.cpp", "tools/tool.cpp"]
bootstrap("test", log="archive")
assert lines("archive.tidy") == everything, lines("archive.tidy")
git("init", "-q", "-b", "main")
git("add", "-A")
git("commit", "-qm", "first")
bootstrap("test", log="first")
assert lines("first.tidy") == everything, lines("first.tidy")
git("checkout", "-qb", "branch")
(tree / "include/qlow/A.h").write_text("// changed\n")
git("commit", "-qam", "a header")
(tree / "tools/new.cpp").write_text("\n")
bootstrap("test", log="branch")
assert lines("branch.tidy") == ["lib/A/Two.cpp", "tools/new.cpp"], lines("branch.tidy")
bootstrap("tidy", log="all")
assert lines("all.tidy") == [*everything[:2], "tools/new.cpp", "tools/tool.cpp"], lines("all.tidy")
result = bootstrap("test", log="late", QLOW_TIDY_SECONDS="0")
expect(result, 0, "not checked, time is up: ./cmake/bootstrap tidy checks all")
