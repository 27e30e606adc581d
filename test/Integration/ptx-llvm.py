# What LLVM's NVPTX back end prints runs in the PTX emulator and computes what the IR says, for sm_75 to sm_90a.
#
# RUN: python3 %s

import os
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))
from kernels import main, output, run  # noqa: E402
import numpy as np

CHIPS = ("sm_75", "sm_80", "sm_90a")
RANDOM = np.random.default_rng(5)
DECLARATIONS = """target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.nctaid.x()
declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)
declare float @llvm.nvvm.ex2.approx.f(float)
declare float @llvm.nvvm.shfl.sync.bfly.f32(i32, float, i32, i32)
declare float @llvm.maxnum.f32(float, float)
declare i32 @llvm.smin.i32(i32, i32)
declare i32 @llvm.smax.i32(i32, i32)
declare float @llvm.roundeven.f32(float)
declare float @llvm.fma.f32(float, float, float)
"""


def compile_ir(body, chip, *flags):
    result = subprocess.run(
        ["llc", "-O3", f"-mcpu={chip}", *flags, "-o", "-"], input=DECLARATIONS + body, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


CONVERT = """define ptx_kernel void @k(ptr addrspace(1) noalias %x, ptr addrspace(1) noalias %y, float %s, i32 %n) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %b = call i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
  %c = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %g = call i32 @llvm.nvvm.read.ptx.sreg.nctaid.x()
  %o = mul i32 %b, %c
  %first = add i32 %o, %t
  %stride = mul i32 %b, %g
  br label %head
head:
  %i = phi i32 [ %first, %0 ], [ %next, %body ]
  %more = icmp slt i32 %i, %n
  br i1 %more, label %body, label %end
body:
  %px = getelementptr TYPE, ptr addrspace(1) %x, i32 %i
  %h = load TYPE, ptr addrspace(1) %px
  %f = fpext TYPE %h to float
  %m = fmul float %f, %s
  %r = fptrunc float %m to TYPE
  %py = getelementptr TYPE, ptr addrspace(1) %y, i32 %i
  store TYPE %r, ptr addrspace(1) %py
  %next = add i32 %i, %stride
  br label %head
end:
  ret void
}"""


def bfloat(values):
    """float32 -> bfloat16 codes, nearest even."""
    bits = np.ascontiguousarray(values.astype(np.float32)).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def test_conversions_in_a_loop():
    """Grid-stride, with a size that no block divides."""
    x = RANDOM.standard_normal(1000).astype(np.float32)
    for chip in CHIPS:
        half = x.astype(np.float16)
        found = run(
            compile_ir(CONVERT.replace("TYPE", "half"), chip),
            3,
            96,
            [half, output(1000, np.float16), np.float32(1.7), np.int32(1000)],
        )[1]
        assert (found == (half.astype(np.float32) * np.float32(1.7)).astype(np.float16)).all(), chip
        brain = bfloat(x)
        found = run(
            compile_ir(CONVERT.replace("TYPE", "bfloat"), chip),
            3,
            96,
            [brain, output(1000, np.uint16), np.float32(1.7), np.int32(1000)],
        )[1]
        assert (found == bfloat((brain.astype(np.uint32) << 16).view(np.float32) * np.float32(1.7))).all(), chip


QUANTIZE = """define ptx_kernel void @k(ptr addrspace(1) %x, ptr addrspace(1) %y, float %s, i32 %z) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %px = getelementptr <4 x float>, ptr addrspace(1) %x, i32 %t
  %v = load <4 x float>, ptr addrspace(1) %px, align 16
  %f = extractelement <4 x float> %v, i32 0
  %py = getelementptr i8, ptr addrspace(1) %y, i32 %t
  %d = fdiv float %f, %s
  %r = call float @llvm.roundeven.f32(float %d)
  %i = fptosi float %r to i32
  %a = add i32 %i, %z
  %lo = call i32 @llvm.smax.i32(i32 %a, i32 -128)
  %hi = call i32 @llvm.smin.i32(i32 %lo, i32 127)
  %c = trunc i32 %hi to i8
  store i8 %c, ptr addrspace(1) %py
  ret void
}"""


def test_quantize():
    x = (RANDOM.standard_normal((64, 4)) * 100).astype(np.float32)
    expected = np.clip(np.rint(x[:, 0] / np.float32(0.7)).astype(np.int64) + 3, -128, 127).astype(np.int8)
    for chip in CHIPS:
        found = run(compile_ir(QUANTIZE, chip), 1, 64, [x, output(64, np.int8), np.float32(0.7), np.int32(3)])[1]
        assert (found == expected).all(), chip


SOFTMAX = """@partial = internal addrspace(3) global [32 x float] undef, align 4
define float @warp_sum(float %v) noinline {
  br label %loop
loop:
  %d = phi i32 [ 16, %0 ], [ %half, %loop ]
  %s = phi float [ %v, %0 ], [ %next, %loop ]
  %o = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 -1, float %s, i32 %d, i32 31)
  %next = fadd float %s, %o
  %half = lshr i32 %d, 1
  %more = icmp ne i32 %half, 0
  br i1 %more, label %loop, label %end
end:
  ret float %next
}
define ptx_kernel void @k(ptr addrspace(1) %x, ptr addrspace(1) %y) "nvvm.reqntid"="128,1,1" {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %row = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %base = mul i32 %row, 128
  %i = add i32 %base, %t
  %px = getelementptr float, ptr addrspace(1) %x, i32 %i
  %v = load float, ptr addrspace(1) %px
  %scaled = fmul float %v, 0x3FF7154760000000
  %e = call float @llvm.nvvm.ex2.approx.f(float %scaled)
  %w = call float @warp_sum(float %e)
  %lane = and i32 %t, 31
  %warp = lshr i32 %t, 5
  %leader = icmp eq i32 %lane, 0
  br i1 %leader, label %put, label %wait
put:
  %pp = getelementptr [32 x float], ptr addrspace(3) @partial, i32 0, i32 %warp
  store float %w, ptr addrspace(3) %pp
  br label %wait
wait:
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  %a = load <4 x float>, ptr addrspace(3) @partial, align 4
  %a0 = extractelement <4 x float> %a, i32 0
  %a1 = extractelement <4 x float> %a, i32 1
  %a2 = extractelement <4 x float> %a, i32 2
  %a3 = extractelement <4 x float> %a, i32 3
  %b0 = fadd float %a0, %a1
  %b1 = fadd float %a2, %a3
  %sum = fadd float %b0, %b1
  %q = fdiv float %e, %sum
  %py = getelementptr float, ptr addrspace(1) %y, i32 %i
  store float %q, ptr addrspace(1) %py
  ret void
}"""


def test_softmax():
    """Shared memory, a call, shuffles, one warp at a time and all in lockstep."""
    x = RANDOM.standard_normal((3, 128)).astype(np.float32)
    expected = np.exp(x.astype(np.float64)) / np.exp(x.astype(np.float64)).sum(axis=1, keepdims=True)
    for chip in CHIPS:
        for schedule in ("lockstep", "warps"):
            found = run(compile_ir(SOFTMAX, chip), 3, 128, [x, output((3, 128), np.float32)], schedule=schedule)[1]
            assert np.abs(found / expected - 1).max() < 1e-5, chip


LOCALS = """
@table = internal addrspace(1) constant [16 x i8] c"\\00\\01\\02\\03\\04\\06\\08\\0C\\00\\FF\\FE\\FD\\FC\\FA\\F8\\F4", align 16
define i32 @pick(ptr %where, i32 %k, { i32, i8 } %pair) noinline {
  %p = getelementptr i32, ptr %where, i32 %k
  %v = load i32, ptr %p
  %a = extractvalue { i32, i8 } %pair, 0
  %b = extractvalue { i32, i8 } %pair, 1
  %c = sext i8 %b to i32
  %d = add i32 %a, %c
  %r = mul i32 %v, %d
  ret i32 %r
}
define ptx_kernel void @k(ptr addrspace(1) %x, ptr addrspace(1) %y, i64 %n) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %stack = alloca [8 x i32], align 4
  br label %fill
fill:
  %i = phi i32 [ 0, %0 ], [ %i1, %fill ]
  %ps = getelementptr i32, ptr %stack, i32 %i
  %sq = mul i32 %i, %i
  %v = add i32 %sq, %t
  store i32 %v, ptr %ps
  %i1 = add i32 %i, 1
  %more = icmp slt i32 %i1, 8
  br i1 %more, label %fill, label %done
done:
  %px = getelementptr i8, ptr addrspace(1) %x, i32 %t
  %code = load i8, ptr addrspace(1) %px
  %low = and i8 %code, 15
  %high = lshr i8 %code, 4
  %li = zext i8 %low to i32
  %hi = zext i8 %high to i32
  %pt = getelementptr [16 x i8], ptr addrspace(1) @table, i32 0, i32 %li
  %e = load i8, ptr addrspace(1) %pt
  %s0 = insertvalue { i32, i8 } poison, i32 %hi, 0
  %s1 = insertvalue { i32, i8 } %s0, i8 %e, 1
  %k = and i32 %t, 7
  %r = call i32 @pick(ptr %stack, i32 %k, { i32, i8 } %s1)
  %py = getelementptr i32, ptr addrspace(1) %y, i32 %t
  switch i32 %k, label %other [ i32 0, label %c0
                                i32 1, label %c1
                                i32 2, label %c2
                                i32 3, label %c3
                                i32 4, label %c4 ]
c0:
  store i32 %r, ptr addrspace(1) %py
  ret void
c1:
  store i32 11, ptr addrspace(1) %py
  ret void
c2:
  %two = shl i32 %r, 1
  store i32 %two, ptr addrspace(1) %py
  ret void
c3:
  %w = zext i32 %t to i64
  %q = udiv i64 1000000000007, %n
  %u = add i64 %q, %w
  %tr = trunc i64 %u to i32
  store i32 %tr, ptr addrspace(1) %py
  ret void
c4:
  store i32 %t, ptr addrspace(1) %py
  ret void
other:
  %neg = sub i32 0, %r
  store i32 %neg, ptr addrspace(1) %py
  ret void
}"""


def test_stack_table_call_switch():
    codes = RANDOM.integers(0, 256, 96).astype(np.uint8)
    table = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12])
    t = np.arange(96)
    r = ((t % 8) ** 2 + t) * ((codes >> 4) + table[codes & 15])
    expected = np.choose(np.minimum(t % 8, 5), [r, 11, 2 * r, 1000000000007 // 37 + t, t, -r]).astype(np.int64).astype(np.uint32)
    for chip in CHIPS:
        found = run(compile_ir(LOCALS, chip), 1, 96, [codes, output(96, np.uint32), np.int64(37)])[1]
        assert (found == expected).all(), chip


def test_c():
    """A C function gives on every level of optimization, with debug information too, what it gives on the host."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs", "mixed.c")
    x = RANDOM.integers(-(2**31), 2**31, 64).astype(np.int32)
    x[:3] = 0, 1, -1
    mixed = struct.pack("<ihxxdfff4x", 5, 7, 1.25, 0.5, 2, -3)
    with tempfile.TemporaryDirectory() as folder:
        host = os.path.join(folder, "host")
        subprocess.run(["clang", "-O1", "-ffp-contract=off", source, "-o", host], check=True)
        expected = np.frombuffer(subprocess.run([host], input=x.tobytes(), capture_output=True, check=True).stdout, np.uint64)
    for flags in (("-O0",), ("-O0", "-g"), ("-O1",), ("-O3", "-g")):
        target = ("--target=nvptx64-nvidia-cuda", "-march=sm_80", "-nocudalib", "-fno-builtin", "-ffp-contract=off")
        command = ["clang", *target, *flags, "-S", source, "-o", "-"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = run(text, 1, 64, [x, output(64, np.uint64), mixed, np.int32(64)])[1]
        assert (found == expected).all(), flags


main(globals())
