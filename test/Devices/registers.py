# What ptxas says of the kernels of matmuls: hardly anything is spilled, no wgmma is serialized. Every tiling of the warpgroups
# that multiply what another one copies, with the results that take most registers, and of weights unpacked in registers.
# Without ptxas there is nothing to ask.
#
# RUN: rm -rf %t && mkdir %t
# RUN: python3 %s %t

import os
import re
import subprocess
import sys

# M, N, of a warpgroup, stages, of a panel
TILES = [(128, 256, 256, 4, 256), (128, 128, 128, 6, 128), (64, 128, 128, 8, 256), (64, 256, 256, 5, 256), (128, 192, 192, 4, 192), (64, 64, 64, 13, 128), (16, 32, 32, 16, 256)]
M, N, K = 512, 768, 1024

PLAIN = """func.func @{name}(%a: tensor<{M}x{K}xi8>) -> tensor<{M}x{N}xi32> {{
  %s = arith.constant dense<1.0> : tensor<f32>
  %w = arith.constant dense<3> : tensor<{K}x{N}xi8>
  %x = qlow.compose %a, %s : (tensor<{M}x{K}xi8>, tensor<f32>) -> tensor<{M}x{K}x!qlow.q<i8 : f32>>
  %q = qlow.compose %w, %s : (tensor<{K}x{N}xi8>, tensor<f32>) -> tensor<{K}x{N}x!qlow.q<i8 : f32>>
  %y = qlow.matmul %x, %q recipes <[{recipe}]>
    : tensor<{M}x{K}x!qlow.q<i8 : f32>>, tensor<{K}x{N}x!qlow.q<i8 : f32>> -> tensor<{M}x{N}xi32>
  return %y : tensor<{M}x{N}xi32>
}}
"""
SCALED = """func.func @{name}(%x: tensor<{M}x{K}x!qlow.q<i8 : f32, block = [1, *]>>, %s: tensor<1x{N}xf32>, %z: tensor<1x{N}xi8>) -> tensor<{M}x{N}xf16> {{
  %w = arith.constant dense<3> : tensor<{K}x{N}xi8>
  %q = qlow.compose %w, %s, %z : (tensor<{K}x{N}xi8>, tensor<1x{N}xf32>, tensor<1x{N}xi8>) -> tensor<{K}x{N}x!qlow.q<i8 : f32, zero = i8, block = [*, 1]>>
  %y = qlow.matmul %x, %q recipes <[{recipe}]>
    : tensor<{M}x{K}x!qlow.q<i8 : f32, block = [1, *]>>, tensor<{K}x{N}x!qlow.q<i8 : f32, zero = i8, block = [*, 1]>> -> tensor<{M}x{N}xf16>
  return %y : tensor<{M}x{N}xf16>
}}
"""
CODES = """func.func @{name}(%x: tensor<{M}x{K}x!qlow.q<i8 : f32, zero = i8>>, %bias: tensor<{N}xi32>) -> tensor<{M}x{N}x!qlow.q<i8 : f32, zero = i8>> {{
  %s = arith.constant dense<0.1> : tensor<1x{N}xf32>
  %w = arith.constant dense<3> : tensor<{K}x{N}xi8>
  %q = qlow.compose %w, %s : (tensor<{K}x{N}xi8>, tensor<1x{N}xf32>) -> tensor<{K}x{N}x!qlow.q<i8 : f32, block = [*, 1]>>
  %t = arith.constant dense<0.1> : tensor<f32>
  %z = arith.constant dense<5> : tensor<1xi8>
  %y = qlow.matmul %x, %q bias(%bias : tensor<{N}xi32>) parts(%t, %z : tensor<f32>, tensor<1xi8>) recipes <[{recipe}]>
    : tensor<{M}x{K}x!qlow.q<i8 : f32, zero = i8>>, tensor<{K}x{N}x!qlow.q<i8 : f32, block = [*, 1]>> -> tensor<{M}x{N}x!qlow.q<i8 : f32, zero = i8>>
  return %y : tensor<{M}x{N}x!qlow.q<i8 : f32, zero = i8>>
}}
"""

# Tokens, columns of a block and of a warpgroup, teams, blocks of a cluster, stages.
UNPACKED_TILES = [(256, 128, 64, 1, 1, 3), (224, 128, 64, 1, 1, 3), (160, 128, 64, 1, 1, 4), (96, 128, 64, 1, 1, 4), (96, 64, 64, 2, 2, 2), (128, 256, 128, 1, 1, 3), (128, 128, 64, 1, 1, 4), (128, 64, 64, 2, 2, 2), (64, 256, 64, 1, 1, 4), (64, 64, 64, 2, 2, 4), (16, 128, 64, 2, 1, 6), (8, 128, 64, 1, 1, 6)]
# Codes, their decoder, and how scales meet sums.
UNPACKED = [("u4 : f16, zero = u4, block = [1, 128]", "nibble", 128, "f16", "block"), ("f4E2M1FN : f8E8M0FNU, block = [1, 32]", "minifloat", 32, "f8E8M0FNU", "fold")]
HALVES = """func.func @{name}(%x: tensor<{M}x{K}x{element}>) -> tensor<{M}x{N}xf16> {{
  %c = arith.constant dense<3> : tensor<{N}x{half}xi8>
  %s = arith.constant dense<0.5> : tensor<{N}x{scales}x{scale}>
  {zero}%q = qlow.compose %c, %s{given} : (tensor<{N}x{half}xi8>, tensor<{N}x{scales}x{scale}>{type}) -> tensor<{N}x{K}x!qlow.q<{codes}>>
  %y = qlow.matmul transpose_rhs %x, %q recipes <[{recipe}]> : tensor<{M}x{K}x{element}>, tensor<{N}x{K}x!qlow.q<{codes}>> -> tensor<{M}x{N}xf16>
  return %y : tensor<{M}x{N}xf16>
}}
"""


# The same of bytes.
BYTE_TILES = [(128, 128, 64, 1, 1, 6), (64, 256, 64, 1, 1, 6), (64, 256, 128, 1, 1, 6), (128, 64, 64, 2, 2, 3), (64, 64, 64, 2, 1, 6), (32, 128, 64, 2, 1, 6), (8, 64, 64, 2, 1, 8)]
BYTES = [("i4 : f16, block = [1, 128]", 128, "f16", "block"), ("u4 : f16, zero = u4, block = [1, 32]", 32, "f16", "block")]


def unpacked(name, codes, decoder, together, scale, rescale, tokens, columns, group, teams, cluster, stages, element="f16"):
    share = f", split_k = {cluster}" if cluster > 1 else ""
    row = f"{tokens}x16_f32_f16_f16" if element == "f16" else f"{tokens}x32_i32_s8_s8"
    recipe = (f"#qlow.recipe<wgmma_64x{row}_via_registers, tiles = [<cta, [{tokens}, {columns}, {teams * 128}]>, <warpgroup, [{tokens}, {group}, 128]>],\n"
              f"      lhs = [<to = cta, by = tma, stages = {stages}, swizzle = 128>],\n"
              f"      rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = {stages}>, <to = reg, by = decode_{decoder}>], rescale = {rescale}, swap = true{share}>")
    zeros = f"tensor<{N}x{K // together // 2}xi8>"
    zero, given, of_type = (f"%z = arith.constant dense<7> : {zeros}\n  ", ", %z", f", {zeros}") if "zero" in codes else ("", "", "")
    return HALVES.format(name=name, element=element, codes=codes, scale=scale, scales=K // together, zero=zero, given=given, type=of_type, half=K // 2, recipe=recipe, M=M, N=N, K=K)


path = os.path.join(sys.argv[1], "registers.mlir")
with open(path, "w") as file:
    for number, (tile_m, tile_n, inner, stages, panel) in enumerate(TILES):
        stored = f"<memory, [{tile_m}, {panel}, 128]>, " if panel != tile_n else ""
        by = "tma" if tile_n <= 64 else "bulk"
        recipe = (f"#qlow.recipe<wgmma_64x{inner}x32_i32_s8_s8, tiles = [{stored}<cta, [{tile_m}, {tile_n}, 128]>, <warpgroup, [64, {inner}, 32]>],\n"
                  f"      lhs = [<to = cta, by = tma, stages = {stages}, swizzle = 128>],\n"
                  f"      rhs = [<to = memory, by = pack>, <to = cta, by = {by}, stages = {stages}>], rescale = end>")
        for kind, text in (("plain", PLAIN), ("scaled", SCALED), ("codes", CODES)):
            file.write(text.format(name=f"{kind}{number}", recipe=recipe, M=M, N=N, K=K))
    for number, tile in enumerate(UNPACKED_TILES):
        for codes in UNPACKED:
            file.write(unpacked(f"{codes[1]}{number}", *codes, *tile))
    for number, tile in enumerate(BYTE_TILES):
        for format, *codes in BYTES:
            file.write(unpacked(f"bytes{codes[0]}x{number}", format, "nibble", *codes, *tile, "!qlow.q<i8 : f32, block = [1, *]>"))
done = subprocess.run(["qlowc", path, "-target=sm_90", "-v", "-o", os.path.join(sys.argv[1], "registers.o")], capture_output=True, text=True)
assert done.returncode == 0, done.stderr
kernels = re.findall(r"^kernel (\w+): (\d+) registers, (\d+) bytes spilled", done.stderr, re.M)
if not kernels:
    print("no ptxas")
    sys.exit()
assert len(kernels) >= 3 * len(TILES) + len(UNPACKED) * len(UNPACKED_TILES) + len(BYTES) * len(BYTE_TILES), kernels
# Behind the loops a few addresses of results may lie in memory; sums and codes take far more.
assert not [kernel for kernel in kernels if int(kernel[2]) > 32], kernels
assert "serialized" not in done.stderr and "Potential Performance Loss" not in done.stderr, done.stderr
print(kernels)
