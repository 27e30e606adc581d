# A host program that opens libcuda.so.1 runs its kernels in the PTX emulator: work is done as late as CUDA allows, every
# call can be made to fail, and what a kernel does wrong comes back as an error, its line on stderr.
#
# RUN: python3 %s %t

import os
import subprocess
import sys

inputs = os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs")
out = sys.argv[1]
os.makedirs(out, exist_ok=True)
host, library, trace = (os.path.join(out, name) for name in ("host", "libcuda.so.1", "trace"))
FLAGS = ["cc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
SERVER = os.path.join(inputs, "ptx", "server.py")
subprocess.run(
    [
        *FLAGS,
        "-shared",
        "-fPIC",
        "-fvisibility=hidden",
        f'-DPYTHON="{sys.executable}"',
        f'-DSERVER="{SERVER}"',
        os.path.join(inputs, "ptx", "libcuda.c"),
        "-o",
        library,
        "-ldl",
        "-lpthread",
    ],
    check=True,
)
subprocess.run([*FLAGS, os.path.join(inputs, "host.c"), "-o", host, "-ldl"], check=True)


def run(*arguments, **settings):
    environment = dict(os.environ, LD_LIBRARY_PATH=out, **{f"QLOW_CUDA_{name}": value for name, value in settings.items()})
    result = subprocess.run([host, *arguments], env=environment, capture_output=True, text=True, timeout=60)
    return result.returncode, result.stdout, result.stderr


def expect(found, code, text, errors=""):
    assert found[0] == code and text in found[1] and errors in found[2], f"expected {code}, `{text}`, `{errors}`, found {found}"


if os.path.exists(trace):
    os.remove(trace)
expect(run(TRACE=trace), 0,
       "before the wait: -1\nafter it: 30 297\ntile: 20 23 79, compute capability 9, 8 multiprocessors\n"
       "rest: 1 1 1 2 2, out of memory, 0 5\ncuMemAlloc: found\n")
expect(run(CAPABILITY="80"), 1, "cuModuleLoadData: CUDA_ERROR_NO_BINARY_FOR_GPU")
expect(run(DEVICES="0"), 1, "cuInit: CUDA_ERROR_NO_DEVICE")
expect(
    run("beyond"),
    1,
    "cuStreamSynchronize: CUDA_ERROR_LAUNCH_FAILED",
    "module.ptx:10: thread (36, 0, 0) of CTA (1, 0, 0): access of 4 bytes at address",
)

calls = open(trace).read().split()
assert calls[:2] == ["cuInit", "cuDeviceGet"] and calls.count("cuMemAlloc") == 2, calls
for call in dict.fromkeys(calls):
    code, text, _ = run(FAIL=f"cuNothing:1:1,{call}:{calls.count(call)}:719")
    assert code == 1 and text.split("\n")[-2] in (f"{call}: CUDA_ERROR_LAUNCH_FAILED", f"{call}_v2: CUDA_ERROR_LAUNCH_FAILED"), (
        call,
        text,
    )
