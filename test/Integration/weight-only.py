# Matmuls of 16-bit floats, or of codes of 8 bits, and constant weights of small codes, under scales and zero points of all
# kinds of blocks along K, against what numpy computes from the law. Device targets unpack such weights in registers.
#
# RUN: python3 %s --samples 20 --spread --seconds 30 --out %t
# RUN: python3 %s --folds --targets sm_90 --samples 20 --seconds 30 --out %t
# RUN: python3 %s --tiles --targets %S/Inputs/sm_90_small_cache.json --samples 20 --seconds 30 --out %t
# RUN: python3 %s --small-left --targets %S/Inputs/sm_90_slow_alu.json --samples 20 --seconds 30 --out %t
#
# Every tiling:       --tiles --targets sm_90: recipes are drawn, too
# Scales into codes:  --folds --targets sm_90: such recipes alone, scales of all formats and sizes that they take
# Small left sides:   --small-left: floats of 4 and 6 bits under powers of two in place of floats of 16 bits
# One failure again:  the command that a failure prints
# On a GPU:           --compile-only --targets sm_90 here, then the same with --reuse --gpu there

import argparse
import math
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

import numpy as np
from functions import Function
from products import Codes, Floats, Product
from quantized import FORMATS, Type, canonical_block, draw_tensor, round_to, to_f32
from samples import add_run_options, rng_of, run_all

TOKENS = [1, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 127, 130, 200, 300]
COLUMNS = [1, 2, 15, 16, 17, 63, 64, 65, 80, 129, 200]
DEPTHS = [8, 16, 24, 120, 128, 136, 256, 264, 384, 512, 520, 1024, 1160, 4096, 4232]
NAMES = ["u4", "i4", "u4", "i4", "u8", "i8", "nf4", "bnb_fp4", "iq4nl", "f4E2M1FN", "f4E2M1FN", "f8E4M3FN", "f8E5M2"]
# Formats of other sizes, and those whose codes are stored in their place.
IMAGES = {"binary": "i4", "ternary": "i4", "trit": "i4", "i2": "i4", "u2": "i4", "i3": "i4", "u3": "i4", "i5": "i8", "u5": "i8",
          "i6": "i8", "u6": "i8", "u7": "i8", "f6E2M3FN": "f8E4M3FN", "f6E3M2FN": "f8E4M3FN"}


# Scales that are codes of f8E4M3FN under one scale of the tensor; and formats of which bf16 holds all products with such codes.
SCALED = "scaled"
SHORT = {"i4", "u4", "i2", "u2", "i3", "u3", "binary", "ternary", "trit", "f4E2M1FN"}


def draw_bytes(f, shape, dims, is_odd, along):
    """The left side: codes of i8, under a scale of each token or of all, or of each `along` k of a token; sometimes with zero
    points, which no schedule for them takes."""
    block = [None] * len(shape) if along is None and f.r.random() < 0.3 else [1] * (len(shape) - 1) + [along]
    block = canonical_block(shape, block, tuple(dims))
    type_ = Type(FORMATS["i8"], f.r.choice(["f32", "f32", "f16", "bf16"]), block=block)
    if is_odd and f.r.random() < 0.5:
        type_.zero = FORMATS["i8"]
    return Codes(f, "x", draw_tensor(f.r, f.numbers, type_, shape), False, dims, "argument")


def draw_small(f, shape, dims):
    """The left side: codes that bf16 holds, less their zero points, times scales that change along K where these do, or f32, of
    which three do."""
    r = f.r
    if r.random() < 0.25:
        return Floats(f, "x", "f32", shape, False, dims)
    along = r.choice([16, 32, 32, 128, None, None])
    block = [None] * len(shape) if along is None and r.random() < 0.3 else [1] * (len(shape) - 1) + [along]
    names, scale = ["f4E2M1FN", "f6E2M3FN", "f6E3M2FN", "f8E4M3FN", "f8E5M2", "f8E4M3FNUZ", "i8", "u8", "u5", "i4"], "f8E8M0FNU"
    if along is None:
        scale = r.choice(["f32", "f32", "f16", "bf16", Type(FORMATS["f8E4M3FN"], "f32")])
    elif r.random() < 0.3:
        names, scale = ["f4E2M1FN", "f4E2M1FN", "f6E2M3FN", "i4", "u4"], r.choice(["f8E4M3FN", Type(FORMATS["f8E4M3FN"], "f32")])
    type_ = Type(FORMATS[r.choice(names)], scale, block=canonical_block(shape, block, tuple(dims)))
    if type_.format.is_integer and names[0] == "f4E2M1FN" and scale != "f8E4M3FN" and r.random() < 0.4:
        type_.zero = type_.format
    return Codes(f, "x", draw_tensor(r, f.numbers, type_, shape), False, dims, "argument")


def draw_weight(f, format, n, k, batch, swapped, folded=None):
    """`folded`: the format of scales that are to meet the codes, or SCALED."""
    r = f.r
    along = r.choice([128, 128, 64, 32, 16, 256] if folded else [None, None, 128, 128, 64, 32, 16, 256])
    across = r.choice([1, 1, 1, 1, 2, 16, None])
    block = [1] * len(batch) + ([along, across] if swapped else [across, along])
    shape = (*batch, k, n) if swapped else (*batch, n, k)
    scale = r.choice(["f16", "f16", "f32", "bf16", "f8E8M0FNU"])
    if format.name == "f4E2M1FN" and r.random() < 0.6:
        scale = "f8E8M0FNU"
    type_ = Type(format, folded or scale, block=canonical_block(shape, block))
    if folded == SCALED or (not folded and r.random() < 0.15):
        type_.scale = Type(FORMATS["f8E4M3FN"], "f32")
    if format.is_integer and r.random() < 0.5:
        type_.zero = r.choice([format, format, FORMATS["u8"], FORMATS["i4"]])
    weight = draw_tensor(r, f.numbers, type_, shape)
    if folded and folded != SCALED:
        weight.scale = draw_folded(f, weight)
    elif scale == type_.scale != "f8E8M0FNU" and r.random() < 0.3:  # what nothing was quantized to
        weight.scale = np.where(f.numbers.random(np.shape(weight.scale)) < 0.2, np.zeros_like(weight.scale), weight.scale)
    return weight


# Exponents between which all products of scales that are powers of two and codes are f16, less the zero point or not.
POWERS = {"nibble": (-20, 3), "byte": (-20, 3), "f4E2M1FN": (-23, 1), "f8E4M3FN": (-15, 7), "f8E5M2": (-8, 0)}


# The largest scale that is finite when a code's bits are multiplied by it.
MOST_FUSED = 65504 / 2**21


def is_fusible(weight):
    """Whether scales of f16 or less may meet the codes in one operation, as far as formats tell."""
    aligned = FORMATS[IMAGES.get(weight.type.format.name, weight.type.format.name)]
    return weight.type.scale in ("f16", "bf16", "f8E4M3FN") and aligned.is_integer and aligned.bits == 4 and not weight.type.zero


def draw_folded(f, weight):
    """Scales as large and small as leave products in f16, of both signs, and zeros."""
    numbers, scale, shape = f.numbers, weight.type.scale, np.shape(weight.scale)
    aligned = FORMATS[IMAGES.get(weight.type.format.name, weight.type.format.name)]
    if scale == "f8E8M0FNU":
        ends = POWERS[HOPS.get(aligned.name, aligned.name)]
        exponents = np.where(numbers.random(shape) < 0.3, numbers.choice(ends, shape), numbers.integers(ends[0], ends[1] + 1, shape))
        return (127 + exponents).astype(np.uint8)
    # As they are decoded, small floats are smaller than their values by a power of two that the scale brings along.
    unit = {"f4E2M1FN": 2.0**14, "f8E4M3FN": 2.0**8}.get(aligned.name, 1)
    greatest = np.abs(aligned.values[aligned.finite]).max() + (np.abs(weight.type.zero.values).max() if weight.type.zero else 0)
    most = MOST_FUSED if is_fusible(weight) and f.r.random() < 0.5 else 65504 / max(unit, greatest)
    x = most * np.where(numbers.random(shape) < 0.2, 1, np.exp2(numbers.uniform(-8, 0, shape))) * numbers.choice([-1, 1], shape)
    if scale == "f16":
        x = np.where(numbers.random(shape) < 0.2, np.exp2(numbers.integers(-24, -13, shape)), x)
    elif scale == "f8E4M3FN":
        x = np.clip(x, -448, 448)
    x = np.where(numbers.random(shape) < 0.1, 0, x).astype(np.float32)
    x.flat[0] = min(most / 2, 1)  # one of them is no zero
    # Towards zero: none is larger for being rounded.
    if scale == "f8E4M3FN":
        below = np.where(np.abs(x) < 2.0**-6, 2.0**-9, np.exp2(np.floor(np.log2(np.abs(x) + 1e-9)) - 3))
        return FORMATS[scale].encode((np.trunc(x / below) * below).astype(np.float32)).astype(np.uint8)
    if scale == "bf16":
        return (np.asarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    half = x.astype(np.float16)
    return np.where(np.abs(half.astype(np.float64)) > np.abs(x.astype(np.float64)), np.nextafter(half, np.float16(0)), half)


HOPS = {"nf4": "lookup16", "bnb_fp4": "lookup16", "iq4nl": "lookup16", "u4": "nibble", "i4": "nibble", "u8": "byte", "i8": "byte"}


def draw_tiles(r, format, element, follows, has_units, folds, fuses, scales):
    """A recipe of wgmma's tiles. `scales`: in a block of 128 k, 0 where there is one for all of K; sums may be in units
    of them if `has_units`."""
    format = FORMATS[IMAGES.get(format.name, format.name)]
    tokens = r.choice([8, 16, 32, 64, 96, 128, 160, 192, 224, 256])
    columns, group, teams = r.choice([(64, 64, 1), (64, 64, 2), (128, 64, 1), (128, 64, 2), (192, 64, 1), (256, 64, 1), (128, 128, 1), (256, 128, 1), (256, 128, 1)])
    stages, cluster = r.choice([2, 3, 4]), r.choice([1, 1, 2, 4])
    is_pair = group == 64 and teams == 1 and columns > 64 and tokens < 256 and r.random() < 0.4  # two blocks share columns
    if group == 128 or is_pair:
        cluster = 1 + is_pair
    is_bytes = element == "s8"
    is_apart = scales and (is_bytes or not follows and not folds)
    if tokens > 128 and is_apart:
        tokens = 64
    if tokens > 128 or (tokens > 64 and is_apart):
        columns, group = min(columns, 128), 64
    if format.bits == 8:
        columns, group = min(columns, 128), 64
    if columns // group * teams == 4:  # so many threads have registers for 64 sums each, of bytes for 48
        tokens = min(tokens, (64 if is_bytes else 128) // (2 if is_apart else 1))
    table = 0 if not format.is_codebook or tokens > 192 else 65536 if tokens <= 64 else 32768
    while teams * stages * (tokens * 256 + columns * (16 * format.bits + 24 * scales)) > 220_000 - table - is_pair * tokens * 256 and stages * teams > 2:
        stages, teams = (stages - 1, teams) if stages > 2 else (stages, 1)
    columns -= 32 * is_pair
    shares_tokens = teams * cluster == 1 and r.random() < 0.5
    decode = f"<to = reg, by = decode_{'fused' if fuses else HOPS.get(format.name, 'minifloat')}>"
    row = f"{tokens}x32_i32" if is_bytes else f"{tokens}x16_f32"
    return (f" recipes <[#qlow.recipe<wgmma_64x{row}_{element}_{element}_via_registers, "
            f"tiles = [{f'<cluster, [{tokens}, {2 * columns}, 128]>, ' if shares_tokens else ''}<cta, [{tokens}, {columns}, {teams * 128}]>, <warpgroup, [{tokens}, {group}, 128]>], "
            f"lhs = [<to = cta, by = tma, stages = {stages}, swizzle = 128>], "
            f"rhs = [<to = memory, by = fragments>, <to = cta, by = bulk, stages = {stages}>, {decode}], "
            f"rescale = {'fold' if folds else r.choice(['block', 'follow', 'follow']) if has_units else 'block' if scales else 'end'}, swap = true{f', split_k = {cluster}' if cluster > 1 else ''}>]>")


def draw_ring(r, format, element, is_block):
    """A recipe of one token against a stream that is copied ahead."""
    format = FORMATS[IMAGES.get(format.name, format.name)]
    warps, together, stages = r.choice([1, 2, 3, 8]), r.choice([1, 2, 4]), r.choice([2, 3, 4])
    while warps * together * stages * 256 * format.bits > 200_000:
        stages, together = (stages - 1, together) if stages > 2 else (stages, together // 2)
    decode = f"<to = reg, by = decode_{HOPS.get(format.name, 'minifloat')}>"
    return (f" recipes <[#qlow.recipe<mma_16x8x16_f32_{element}_{element}, "
            f"tiles = [<cta, [1, 16, {warps * together * 128}]>, <warp, [1, 16, {together * 128}]>], lhs = [<to = cta, by = load>], "
            f"rhs = [<to = memory, by = fragments>, <to = cta, by = cp_async, stages = {stages}>, {decode}], rescale = {'block' if is_block else 'end'}, swap = true>]>")


def weight_only(f, format, with_tiles, folded=None, is_small=False):
    r = f.r
    m, n, k = r.choice(TOKENS), r.choice(COLUMNS), r.choice(DEPTHS)
    k = max(k, 264) if folded else k
    batch = (2,) if r.random() < 0.1 and n * k < 500_000 else ()
    if m * n * k > 4_000_000:
        m = min(m, 17)
    swapped = r.random() < 0.3
    dims = {len(batch): "m"} if r.random() < 0.3 else {}
    element, result = r.choice(["f16", "f16", "f16", "bf16"]), r.choice(["f16", "f16", "f32", "bf16"])
    how = r.choice(["constant", "constant", "constant", "mixed"])
    weight = draw_weight(f, format, n, k, batch, swapped, folded)
    along = weight.type.block[-2 if swapped else -1] if weight.type.block else None
    aligned = FORMATS[IMAGES.get(format.name, format.name)]
    is_bytes = not folded and not is_small and (aligned.bits == 4 or aligned.name == "i8") and aligned.is_integer and r.random() < 0.5 and not (with_tiles and (k % 16 or along == 16))
    # Exact products of bytes are not of weights that are unpacked.
    lengths = [size for size in [32, 64, 128, 256] + [96] * (not with_tiles) if size < k]
    is_bytes = is_bytes and bool(lengths)
    of_tokens = r.choice(lengths + ([] if not lengths or aligned.bits == 8 and along is None else [None, None])) if is_bytes else None
    if is_bytes and with_tiles:
        how, element, folds = "constant", "s8", False
        if weight.type.zero and (weight.type.zero.name == "u8" or aligned.bits == 8):
            weight.type.zero, weight.zero = None, None
    elif folded:
        is_exact = folded in (SCALED, "f8E4M3FN") and format.name in SHORT and not weight.type.zero
        how, element, folds = "constant", "bf16" if is_exact and r.random() < 0.5 else "f16", True
    elif with_tiles:
        how, element = "constant", "f16" if format.name == "f8E5M2" else element
        if weight.type.zero and element == "bf16":
            weight.type.zero, weight.zero = None, None
        powers = weight.type.scale == "f8E8M0FNU" and format.name == "f4E2M1FN"
        greatest = np.abs(aligned.values).max() + (np.abs(weight.type.zero.values).max() if weight.type.zero else 0)
        rounds = (weight.type.scale == "f16" and element == "f16" and format.name not in ("bnb_fp4", "f8E5M2")
                  and 0 < np.abs(to_f32("f16", weight.scale)).max() * max(greatest, 2**14) <= 65504)
        folds = along is not None and (powers or rounds) and r.random() < 0.5
        if folds and powers:  # what leaves all products exact
            weight.scale = np.clip(weight.scale, 127 - 23, 127 + 1)
    fits = with_tiles and element == "f16" and is_fusible(weight)
    if fits and weight.type.scale == "f16" and not folded and r.random() < 0.7:
        scales = to_f32("f16", weight.scale)
        weight.scale = round_to("f16", scales * np.exp2(min(0, np.floor(np.log2(MOST_FUSED / max(np.abs(scales).max(), 1e-30))))))
    shape = (*batch, m, k)
    if is_small:
        lhs, element = draw_small(f, shape, dims), "f32"
    else:
        lhs = draw_bytes(f, shape, dims, not with_tiles and r.random() < 0.1, of_tokens) if is_bytes else Floats(f, "x", element, shape, False, dims)
    rhs = Codes(f, "w", weight, swapped, {}, how)
    product = Product(f, lhs, rhs, result)
    product.draw_bias(0.3)
    if with_tiles:
        is_ring = not folds and not is_bytes and r.random() < 0.3
        fuses = folds and fits and np.abs(to_f32(weight.type.scale, weight.scale)).max() <= MOST_FUSED and r.random() < 0.9
        is_scaled = isinstance(weight.type.scale, Type)
        follows = is_scaled or weight.type.scale in ("f16", "f8E4M3FN")
        run = math.gcd(along or 0, of_tokens or 0)
        scales = max(1, 128 // run) if run else 0
        has_units = follows and not is_scaled and scales > 0 and not is_bytes and bool(np.all(to_f32(weight.type.scale, weight.scale) != 0))
        product.given += draw_ring(r, format, element, along is not None) if is_ring else draw_tiles(
            r, format, element, follows, has_units, folds, fuses, scales)
    return product.sample(is_bytes and lhs.sums_exactly() and rhs.sums_exactly(), element)


def main():
    parser = argparse.ArgumentParser()
    add_run_options(parser, samples=200, out="build/weight-only")
    parser.add_argument("--tiles", action="store_true")
    parser.add_argument("--folds", action="store_true")
    parser.add_argument("--small-left", action="store_true")
    options = parser.parse_args()

    def draw(index):
        names = NAMES + list(IMAGES)
        deck = rng_of(options.seed, "deck", index // len(names)).sample(names, len(names))
        return weight_only(Function(f"s{index}", options.seed), FORMATS[deck[index % len(names)]], options.tiles,
                           is_small=options.small_left)

    # No powers of two into tables, and no scales into decoded twelfths.
    folds = [(name, scale) for name in dict.fromkeys(NAMES + list(IMAGES)) for scale in ("f16", "bf16", "f8E4M3FN", "f8E8M0FNU", SCALED)
             if name != "bnb_fp4" and (name, scale) != ("f8E5M2", SCALED) and not (scale == "f8E8M0FNU" and HOPS.get(name) == "lookup16")]
    folds += [("i4", "f16"), ("u4", "f16"), ("ternary", "f16"), ("i3", "f16")] * 3  # some of which meet the codes in one operation

    def draw_folds(index):
        deck = rng_of(options.seed, "folds", index // len(folds)).sample(folds, len(folds))
        name, scale = deck[index % len(folds)]
        return weight_only(Function(f"s{index}", options.seed), FORMATS[name], True, scale)

    return run_all(options, "Integration/weight-only.py", draw_folds if options.folds else draw)


if __name__ == "__main__":
    sys.exit(main())
