# RUN: python3 %s %models/digits
"""The digits networks against what numpy computed when they were made: codes exactly, f32 within 1e-4."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

import numpy as np
from harness import Case, expect

folder = sys.argv[1]
load = lambda name: np.load(os.path.join(folder, name))
read = lambda name: open(os.path.join(folder, name)).read().replace("@classify", "@f")
images, labels = load("images.npy"), load("labels.npy")

case = Case(read("digits_f32.mlir"), images)
scores = case.run()[0]
error = np.abs(scores - load("scores_f32.npy")).max()
assert error < 1e-4, f"the f32 network is off by {error}"

case = Case(read("digits.mlir"), images)
scores = case.run()[0]
expect("the int8 network", scores, load("scores_int8.npy"), case)
print("accuracy reference", (scores.argmax(axis=1) == labels).mean())
