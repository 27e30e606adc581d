# A chip is one JSON file. The made-up one of docs/Targets.md compiles by its path alone, with what it inherits; put
# among the machines it is one of the program's, under its name; and all that lie there are.
#
# RUN: rm -rf %t && mkdir %t
# RUN: python3 %s %include/.. %models/digits/digits.mlir %t

import json
import re
import subprocess
import sys
from pathlib import Path

root, model, work = (Path(path).resolve() for path in sys.argv[1:])
run = lambda *command: subprocess.run(command, cwd=work, capture_output=True, text=True)

text = re.search(r"^```json\n// my-chip.json\n(.*?)^```", (root / "docs" / "Targets.md").read_text(), re.M | re.S).group(1)
chip = work / "my-chip.json"
chip.write_text(text)
given = json.loads(text)

# By JSON alone.
printed = run("qlowc", "-print-target=my-chip.json")
assert printed.returncode == 0, printed.stderr
whole = json.loads(printed.stdout)
base = json.loads(run("qlowc", "-print-target=" + given["inherits"]).stdout)
assert whole["name"] == "my-chip" and whole["tune"] == given["tune"] and whole["triple"] == base["triple"], whole
assert set(whole["features"]) == set(base["features"]) | set(given["features"]), whole["features"]
assert whole["capacity"] == base["capacity"] | given["capacity"], whole["capacity"]
assert whole["levels"] == base["levels"] | given["levels"], whole["levels"]

report = work / "report.json"
done = run("qlowc", str(model), "-target=my-chip.json", "-o", "chip.o", "--require-native", "--explain=report.json")
assert done.returncode == 0 and (work / "chip.o").exists(), done.stderr
assert {entry["instruction"] for entry in json.loads(report.read_text())} == {"vpdpbusd"}
disassembly = run("llvm-objdump", "-d", "--no-show-raw-insn", "chip.o").stdout
assert re.search(r"vpdpbusd\b.*zmm", disassembly), "no vpdpbusd in the object"

# Of another architecture, in portable vector code: nothing is asked for but memory functions.
other = {"name": "other", "family": "generic", "triple": "aarch64-unknown-linux-gnu", "tune": "generic", "features": ["neon", "fp-armv8"],
         "registers": {"vector_bits": 128, "vectors": 32}, "levels": {"l1": 32768, "l2": 524288}, "clock_ghz": 2.5,
         "capacity": {"memory": 4, "l2": 16, "load": 2, "multiply": 2, "alu": 2, "shuffle": 1}}
(work / "arm.json").write_text(json.dumps(other))
done = run("qlowc", str(model), "-target=arm.json", "-o", "arm.o")
assert done.returncode == 0, done.stderr
assert "AArch64" in run("llvm-readelf", "-h", "arm.o").stdout
undefined = set(run("llvm-nm", "-u", "--just-symbol-name", "arm.o").stdout.split())
assert undefined <= {"memcpy", "memset", "memmove"}, undefined

# Among the machines.
machines = sorted((root / "lib" / "Targets" / "Machines").glob("*.json"))
names = [line.split()[0] for line in run("qlowc", "-list-targets").stdout.splitlines()]
assert sorted(names) == sorted(path.stem for path in machines), names


def collect(*files):
    script = root / "cmake" / "Machines.cmake"
    return run("cmake", "-DMACHINES=" + ";".join(map(str, files)), f"-DOUTPUT={work}/Machines.inc", "-P", str(script))


done = collect(*machines, chip)
assert done.returncode == 0, done.stderr
order = re.findall(r'^\{"([^"]+)", R"json', (work / "Machines.inc").read_text(), re.M)
assert sorted(order) == sorted([*names, "my-chip"]), order
assert order.index("my-chip") > order.index(given["inherits"]), order

(work / "other.json").write_text(text)
done = collect(*machines, work / "other.json")
assert done.returncode and 'expected "name": "other"' in done.stderr, done.stderr
chip.write_text(text.replace(given["inherits"], "nothing"))
done = collect(*machines, chip)
assert done.returncode and "inherits from one that is not there" in done.stderr, done.stderr
