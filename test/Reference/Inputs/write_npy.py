"""Writes good and damaged .npy files into a folder."""

import os
import sys

import numpy as np

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
at = lambda name: os.path.join(folder, name + ".npy")
good = np.arange(6, dtype=np.float32).reshape(2, 3)
np.save(at("good"), good)
np.save(at("other"), good[:1])
np.save(at("zero"), np.array(0, np.int32))
np.save(at("f64"), good.astype(np.float64))
np.save(at("shape"), np.zeros((2, 4), np.float32))
np.save(at("fortran"), np.asfortranarray(good))
data = open(at("good"), "rb").read()
open(at("truncated"), "wb").write(data[:-4])
open(at("header"), "wb").write(data[:40])
with open(at("version2"), "wb") as file:
    np.lib.format.write_array(file, good, version=(2, 0))
