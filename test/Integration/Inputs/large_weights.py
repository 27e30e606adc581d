"""Models with weights of gigabytes, what the compiler needs for them, and the products they must give.

A weight of K x N bytes is a block of 1024 x N random ones, again and again, each time rolled on by 37 columns, so that
no two blocks are alike and numpy needs only the block. Blocks that are left out are zeros and holes of the model's file.
"""

import os
import pty
import subprocess
import time

import numpy as np

from bytecode import write_model

ROWS, ROLL = 1024, 37

MAIN = """#include "m.h"
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
  static unsigned char a[%(k)d];
  static int y[%(n)d];
  m_run_args args = {sizeof args};
  FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
  if (!in || !out || fread(a, 1, sizeof a, in) != sizeof a)
    return 2;
  args.a = a;
%(results)s
  args.workspace_size = m_run_workspace(1);
  args.workspace = aligned_alloc(64, (args.workspace_size + 63) / 64 * 64 + 64);
  int code = m_run(&args);
  if (code)
    return fprintf(stderr, "%%s\\n", m_strerror(code)), 1;
  return fwrite(y, sizeof y, 1, out) != 1 || fclose(out);
}
"""


class Weight:
    def __init__(self, k, n, blocks, seed):
        self.k, self.n, self.blocks = k, n, blocks
        self.block = np.random.default_rng(seed).integers(-128, 128, (min(k, ROWS), n), dtype=np.int8)

    def write(self, file, begin):
        for b in self.blocks:
            file.seek(begin + b * self.block.size)
            file.write(np.roll(self.block, ROLL * b, axis=1).tobytes())

    def product(self, a):
        """a @ weight; f64 is exact, the sums are of 32 bits."""
        parts = a.reshape(-1, len(self.block)).astype(np.float64) @ self.block.astype(np.float64)
        return sum(np.roll(parts[b], ROLL * b) for b in self.blocks).astype(np.int64)


def write_products(path, weights):
    """func @run(a) that multiplies `a` by each of the weights, all of one K."""
    k = weights[0].k
    results = ", ".join(f"tensor<1x{w.n}xi32>" for w in weights)
    text = f"!q = !qlow.q<u8 : f32>\n!w = !qlow.q<i8 : f32>\nfunc.func @run(%codes: tensor<1x{k}xi8> {{qlow.name = \"a\"}}) -> ({results}) {{\n"
    text += f"  %one = arith.constant dense<1.0> : tensor<f32>\n  %a = qlow.compose %codes, %one : (tensor<1x{k}xi8>, tensor<f32>) -> tensor<1x{k}x!q>\n"
    for i, w in enumerate(weights):
        text += f"  %c{i} = arith.constant dense_resource<w{i}> : tensor<{k}x{w.n}xi8>\n"
        text += f"  %w{i} = qlow.compose %c{i}, %one : (tensor<{k}x{w.n}xi8>, tensor<f32>) -> tensor<{k}x{w.n}x!w>\n"
        text += f"  %y{i} = qlow.matmul %a, %w{i} : tensor<1x{k}x!q>, tensor<{k}x{w.n}x!w> -> tensor<1x{w.n}xi32>\n"
    text += f"  return {', '.join(f'%y{i}' for i in range(len(weights)))} : {results}\n}}\n"
    text += "{-# dialect_resources: { builtin: { " + ", ".join(f'w{i}: "0x0100000001"' for i in range(len(weights))) + " } } #-}\n"
    write_model(text, path, [(w.k * w.n, w.write) for w in weights])


def compile_watched(path, out, terminal=False):
    """Compiles for this machine. Returns the most anonymous memory seen in bytes, seconds on the clock and of the
    processor, and what came to stderr: a terminal or a file."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    os.set_blocking(reader, False)
    begin, most, said = time.time(), 0, b""
    process = subprocess.Popen(["qlowc", path, "-target=host", "-prefix=m", "-o", out], stderr=writer)
    done = 0
    while not done:
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
        if not done:
            for line in open(f"/proc/{process.pid}/status"):
                if line.startswith("RssAnon:"):
                    most = max(most, int(line.split()[1]) * 1024)
        try:
            said += os.read(reader, 1 << 16)
        except BlockingIOError:
            time.sleep(0.002)
    os.close(reader)
    os.close(writer)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"qlowc: exit status {process.returncode}: {said.decode()}"
    return most, time.time() - begin, usage.ru_utime + usage.ru_stime, said.decode()


def run_products(folder, weights, linker):
    """Links m.o with a C program, runs it, compares each product with numpy's."""
    lines, first = "", 0
    for i, w in enumerate(weights):
        lines += f"  args.result{i} = y + {first};\n"
        first += w.n
    with open(f"{folder}/main.c", "w") as file:
        file.write(MAIN % {"k": weights[0].k, "n": first, "results": lines})
    a = np.random.default_rng(7).integers(0, 256, weights[0].k, dtype=np.uint8)
    a.tofile(f"{folder}/a.bin")
    subprocess.run(["cc", f"-fuse-ld={linker}", "-O1", f"-I{folder}", f"{folder}/main.c", f"{folder}/m.o", "-o",
                    f"{folder}/main"], check=True)
    subprocess.run([f"{folder}/main", f"{folder}/a.bin", f"{folder}/y.bin"], check=True)
    os.remove(f"{folder}/main")
    got = np.fromfile(f"{folder}/y.bin", np.int32)
    want = np.concatenate([w.product(a) for w in weights])
    assert np.abs(want).max() > 0 and (got == want).all(), f"{np.count_nonzero(got != want)} of {len(want)} differ"
