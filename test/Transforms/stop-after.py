# Cutting the pipeline behind any of its passes and going on from there gives what the whole gives: the IR of every step
# reads back into qlow-opt.
#
# RUN: python3 %s %t %models/digits/digits.mlir

import re
import subprocess
import sys

out, model = sys.argv[1:3]
TARGET = "x86-64-v4"


def run(*command, fails=False):
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode != 0) == fails, " ".join(command) + "\n" + done.stderr[-2000:]
    return done


def plain(text):
    """Without locations: a file of IR has places of its own."""
    text = re.sub(r"^#loc.*\n| loc\([^()]*\)", "", text, flags=re.M)
    return re.sub(r"loc = (loc\([^()]*\)|#loc\d*)", "loc", text).strip()


names = run("qlowc", model, "-stop-after=none-of-them", fails=True).stderr.split("the pipeline has: ")[1].strip().split(", ")
assert len(names) > 20 and names[0] == "qlow-verify", names
# A pass that runs more than once is meant where it runs last: cse ends the pipeline.
whole = run("qlowc", model, f"-target={TARGET}", "-stop-after=cse", "-prefix=p").stdout
normal = plain(whole)
assert "llvm.func @p_classify(" in normal

for name in names:
    text = run("qlowc", model, f"-target={TARGET}", f"-stop-after={name}", "-prefix=p").stdout
    with open(out, "w") as file:
        file.write(text)
    rest = run("qlow-opt", out, f"--qlow-pipeline=target={TARGET} prefix=p start-after={name}").stdout
    assert plain(rest) == normal, f"going on behind {name} gives another program"
print(len(names), "passes")
