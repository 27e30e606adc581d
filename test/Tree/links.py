# Tools link qlow's own libraries, the shared MLIR and the shared LLVM, and no other library of either: a second copy of
# a static one would register its options twice.
#
# RUN: python3 %s %build/build.ninja

import os
import re
import sys

OURS = re.compile(r"lib/libQlow\w+\.a$")
SHARED = re.compile(r"lib(MLIR|LLVM)\.so(\.[\d.]+)?$")

text = open(sys.argv[1]).read().replace("$\n", "")
bad, tools = [], 0
for tool, rule in re.findall(r"^build bin/(\S+): CXX_EXECUTABLE_LINKER.*\n((?:  .*\n)*)", text, re.M):
    tools += 1
    libraries = re.search(r"^  LINK_LIBRARIES = (.*)$", rule, re.M)
    for word in libraries.group(1).split() if libraries else []:
        name = os.path.basename(word)
        if not word.startswith("-") and not OURS.search(word) and not SHARED.match(name):
            bad.append(f"{tool} links {word}")
        if word.startswith("-l") and re.match("-l(MLIR|LLVM|clang)", word):
            bad.append(f"{tool} links {word}")
assert tools, "found no tools in build.ninja"
assert not bad, "\n".join(bad)
