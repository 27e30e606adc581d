# A right side that is computed at run time gives the bits of the law, whether the program packs it once into memory or each
# task packs the panels it reads: of any shape, known or open, either way round, in batches, from codes that lie as they
# are stored and from codes that are decoded, read by one matmul or by two.
#
# RUN: python3 %s --samples 48 --seconds 60 --spread --out %t
#
# Selection chooses in a third of the modules; in the others its recipes are rewritten for the one way and for the other.
# Values are small, so that f32 sums are exact in any order. Expected values are computed here, in integers.

import argparse
import os
import re
import subprocess
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))
from samples import Call, Sample, add_run_options, difference, rng_of, run_all

SIZES = [1, 2, 3, 5, 15, 16, 17, 31, 64, 65, 100, 129, 257]
WAYS = ["chosen", "memory", "l2"]
BATCH = 4  # samples of one way
# Type of the right side, least and greatest code, whether two codes share a byte.
SIDES = {
    "i8": ("!qlow.q<i8 : f32>", -128, 127, False),
    "u8": ("!qlow.q<u8 : f32>", 0, 255, False),
    "u8_zero": ("!qlow.q<u8 : f32, zero = u8>", 0, 255, False),
    "i4": ("!qlow.q<i4 : f32>", -8, 7, True),
    "f32": ("f32", -8, 7, False),
    "f16": ("f16", -8, 7, False),
}


def tensor(sizes, element):
    return f"tensor<{'x'.join('?' if isinstance(size, str) else str(size) for size in sizes)}x{element}>"


def argument(name, sizes, element):
    listed = ", ".join(f'"{size}"' if isinstance(size, str) else str(size) for size in sizes)
    return f'%{name}: {tensor(sizes, element)} {{qlow.name = "{name}", qlow.dims = [{listed}]}}'


def stored(kind, values):
    """The right side's codes or floats as the caller passes them."""
    if kind in ("f32", "f16"):
        return values.astype(kind.replace("f", "float"))
    if not SIDES[kind][3]:
        return values.astype(np.uint8)
    padded = np.concatenate([values, np.zeros((*values.shape[:-1], values.shape[-1] % 2), values.dtype)], -1) & 15
    return (padded[..., 0::2] | padded[..., 1::2] << 4).astype(np.uint8)


def draw_shape(r, kind):
    m, n, k = (r.choice(SIZES) for _ in range(3))
    open_ = [name for name in "mnk" if r.random() < 0.3]
    transposed = r.random() < 0.5
    if SIDES[kind][3]:  # the last dimension of packed codes is known (T6)
        open_ = [name for name in open_ if name != ("k" if transposed else "n")]
    return {"m": m, "n": n, "k": k}, open_, transposed, r.choice([0, 0, 0, 2, 3])


def calls_of(numbers, r, kind, sizes, open_, transposed, batch, left, names):
    """The shape drawn, another one of the open sizes, and none of one of them."""
    others = {name: r.choice(SIZES) for name in open_}
    empty = {open_[0]: 0} if open_ else {}
    for change in [{}, others, empty] if open_ else [{}]:
        s = {**sizes, **change}
        lead = (batch,) if batch else ()
        low, high = SIDES[kind][1:3]
        w = numbers.integers(low, high + 1, (*lead, *((s["n"], s["k"]) if transposed else (s["k"], s["n"]))))
        inputs = {"w" if kind.startswith("f") else "w_codes": stored(kind, w)}
        if not kind.startswith("f"):
            inputs["w_scale"] = np.array(1, np.float32)
        zero = 0
        if kind == "u8_zero":
            zero = int(numbers.integers(0, 256))
            inputs["w_zero"] = np.array([zero], np.uint8)
        b = w.swapaxes(-1, -2) - zero if transposed else w - zero
        want = {}
        for i, name in enumerate(names):
            x = numbers.integers(*((-8, 8) if left == "f32" else (0, 256) if left == "u8" else (-128, 128)), (*lead, s["m"], s["k"]))
            inputs[name if left == "f32" else f"{name}_codes"] = x.astype(np.float32 if left == "f32" else np.uint8)
            if left != "f32":
                inputs[f"{name}_scale"] = np.array(1, np.float32)
            want[f"y{i}"] = (x @ b).astype(np.float32 if left == "f32" else np.int32)
        check = lambda got, want=want: "; ".join(filter(None, (difference(got[name], y) for name, y in want.items())))
        yield Call(", ".join(f"{name} = {size}" for name, size in s.items()), {name: s[name] for name in open_}, inputs,
                   {name: (y.shape, y.dtype) for name, y in want.items()}, check)


def draw(seed, index):
    r, numbers = rng_of(seed, index), np.random.default_rng([seed, index])
    kind = r.choice(list(SIDES))
    left = "f32" if kind in ("f32", "f16") else r.choice(["u8", "i8", "f32"] if kind == "i4" else ["u8", "i8"])
    sizes, open_, transposed, batch = draw_shape(r, kind)
    names = ["x", "z"][: r.choice([1, 2])]
    of = {name: name if name in open_ else size for name, size in sizes.items()}
    lead = [batch] if batch else []
    rhs = lead + ([of["n"], of["k"]] if transposed else [of["k"], of["n"]])
    lhs, out = lead + [of["m"], of["k"]], lead + [of["m"], of["n"]]
    left_type = "f32" if left == "f32" else f"!qlow.q<{left} : f32>"
    right_type, element = SIDES[kind][0], "f32" if left == "f32" else "i32"
    arguments = [argument("w", rhs, right_type)] + [argument(name, lhs, left_type) for name in names]
    results = [f"{tensor(out, element)} {argument(f'y{i}', out, element).split(' ', 2)[2]}" for i in range(len(names))]
    body = "".join(
        f"  %y{i} = qlow.matmul {'transpose_rhs ' * transposed}%{name}, %w : {tensor(lhs, left_type)}, "
        f"{tensor(rhs, right_type)} -> {tensor(out, element)}\n" for i, name in enumerate(names))
    values, types = ", ".join(f"%y{i}" for i in range(len(names))), ", ".join([tensor(out, element)] * len(names))
    text = f"func.func @s{index}({', '.join(arguments)})\n    -> ({', '.join(results)}) {{\n{body}  return {values} : {types}\n}}\n\n"
    about = f"{sizes}, open {open_}, {left} x {kind}{' transposed' * transposed}, batch {batch}, {len(names)} matmuls"
    return Sample(f"s{index}", text, list(calls_of(numbers, r, kind, sizes, open_, transposed, batch, left, names)), about)


def place(path, target):
    """The module after selection, its right sides packed one way."""
    number = int(re.search(r"batch_s(\d+)", path).group(1)) // BATCH
    way = WAYS[(number + number // 9) % len(WAYS)]  # not in step with the targets
    if way == "chosen":
        return path
    command = ["qlowc", path, f"-target={target}", "-emit=mlir", "-stop-after=qlow-select-recipes", "-o", "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text, count = re.subn(r"(rhs = \[<to = )\w+(, by = (?:pack|decode)>)", rf"\g<1>{way}\g<2>", text)
    assert count, f"no recipe in what {' '.join(command)} prints"
    path = f"{os.path.splitext(path)[0]}.{target}.mlir"
    with open(path, "w") as file:
        file.write(text)
    return path


def main():
    parser = argparse.ArgumentParser()
    add_run_options(parser, samples=240, out="build/pack")
    options = parser.parse_args()
    options.batch = BATCH
    return run_all(options, "Integration/pack.py", lambda index: draw(options.seed, index), place)


if __name__ == "__main__":
    sys.exit(main())
