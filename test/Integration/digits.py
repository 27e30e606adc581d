# The digits network, from the model to scores, for every target this machine can run: the quantized one gives the very
# bits that train.py wrote, its f32 twin stays within the bound; entries hold their promises at edges of M.
#
# RUN: python3 %s %models/digits %t
#
# Device objects run in the emulator. Where there is a GPU: --compile-only here, `--reuse --gpu` there.

import os
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))
import devices
from objects import Library, compile_module, link, registered_targets


def classify(library, images, at_end=True, width=0):
    m = len(images)
    got, faults = library.call("classify", {"m": m}, {"images": images}, {"scores": ((m, 10), np.float32)}, at_end, width)
    assert not faults, faults
    return got["scores"]


def load(models, name):
    return np.load(os.path.join(models, f"{name}.npy"))


def check(models, out, target):
    start = time.time()
    int8 = Library(link(compile_module(f"{models}/digits.mlir", target, f"{out}/{target}/digits.o", "digits")), "digits")
    seconds = time.time() - start
    if not int8.runs_here():
        return print(f"{target}: not for this machine")
    f32 = Library(link(compile_module(f"{models}/digits_f32.mlir", target, f"{out}/{target}/digits_f32.o", "twin")), "twin")
    images, labels, want = load(models, "images"), load(models, "labels"), load(models, "scores_int8")

    scores = classify(int8, images)
    assert scores.tobytes() == want.tobytes(), f"{np.count_nonzero(scores != want)} scores differ"
    for m in (0, 1, 2, 7, 64, 65, 449):
        for at_end, width in ((True, 0), (False, 2), (True, 16)):
            assert classify(int8, images[:m], at_end, width).tobytes() == want[:m].tobytes(), f"m = {m}, width {width}"

    twin = classify(f32, images)
    error = np.abs(twin - load(models, "scores_f32")).max()
    assert error < 1e-4, error
    accuracy = [np.count_nonzero(s.argmax(axis=1) == labels) for s in (scores, twin)]
    assert accuracy == [440, 440], accuracy
    print(f"{target}: {accuracy[0]} of {len(labels)} right, twin off by at most {error:.1e}, compiled and linked in {seconds:.2f} s")


def check_device(models, out, target, options):
    objects = {"digits": f"{out}/{target}/digits.o", "digits_f32": f"{out}/{target}/digits_f32.o"}
    if "--reuse" not in options:
        for model, obj in objects.items():
            link(compile_module(f"{models}/{model}.mlir", target, obj, model, *["--no-ptxas"] * (not options)))
    if "--compile-only" in options:
        return
    images, want, want_f32 = load(models, "images"), load(models, "scores_int8"), load(models, "scores_f32")
    int8, f32 = (devices.open_library(obj, model) for model, obj in objects.items())
    for m in (0, 1, 7, 65, *[450] * devices.use_gpu):
        assert classify(int8, images[:m]).tobytes() == want[:m].tobytes(), f"m = {m}"
        error = np.abs(classify(f32, images[:m]) - want_f32[:m]).max(initial=0)
        assert error < 1e-4, error
    print(f"{target}: all scores of {m} images right")


models, out, *options = sys.argv[1:]
devices.use_gpu = "--gpu" in options
if not options:
    for target in registered_targets():
        check(models, out, target)
for target in ("sm_80", "sm_90"):
    check_device(models, out, target, options)
