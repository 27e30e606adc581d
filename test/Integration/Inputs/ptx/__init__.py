"""A functional emulator of PTX: runs the text that LLVM's NVPTX back end prints, on a machine without a GPU.

It says whether a kernel computes the right thing and keeps PTX's rules; it says nothing about speed. device.py is what
tests use. Reading order: parse (text to instructions), decode (instructions to functions), machine (threads and turns),
memory and races (what an access may do), then a file for each kind of instruction.
"""

from .device import Device, DeviceBuffer, Launch, Loaded
from .module import PtxError

__all__ = ["Device", "DeviceBuffer", "Launch", "Loaded", "PtxError"]
