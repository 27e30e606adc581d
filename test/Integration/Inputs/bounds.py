"""How far the results of two implementations may lie apart, from docs/Semantics.md alone: a bound for each f32 op.

A bound is an interval that holds a value, and the most by which two computations of it can differ. Both lie in the
interval, so a product's difference is |a| · difference of b + |b| · difference of a, exactly. The law lets an
implementation be off by ULPS of a math function or by the float sum's bound, so two differ by twice that; whatever is
rounded from values that differ can differ by a unit more.

A difference is {name: factor}: what a loop carries has a difference of its own, its name, until the loop ends; the name
of a plain number is "".
"""

import math
from dataclasses import dataclass, field

ULP = 2.0**-23
MATH_ULPS = 16  # of math functions
MATH_LIMIT = 1024  # of what sin and cos take


def total(*terms):
    """Σ factor · difference, of (factor, difference)."""
    sum_ = {}
    for factor, difference in terms:
        for name, value in difference.items():
            sum_[name] = sum_.get(name, 0.0) + factor * value
    return sum_


def greater(a, b):
    return {name: max(a.get(name, 0.0), b.get(name, 0.0)) for name in a | b}


@dataclass(frozen=True)
class Bound:
    low: float
    high: float
    difference: dict = field(default_factory=dict)  # empty: bit for bit

    @property
    def limit(self):
        return max(abs(self.low), abs(self.high))

    def within(self, low, high):
        """The same value, better known."""
        return Bound(max(self.low, low), min(self.high, high), self.difference)

    def joined(self, other):
        return Bound(min(self.low, other.low), max(self.high, other.high), greater(self.difference, other.difference))


def rounded(low, high, difference, ulps=0.0):
    """What an op makes of these: rounded, and different by `ulps` of the result besides."""
    low, high = low - 1e-5 * abs(low), high + 1e-5 * abs(high)
    ulps += 1.0 if difference or ulps else 0.0
    own = {"": ulps * ULP * max(abs(low), abs(high))} if ulps else {}
    return Bound(low, high, total((1.0, difference), (1.0, own)))


# ---- scalar ops ------------------------------------------------------------------------------------------------------


def multiply(a, b):
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    return rounded(0.0 if a is b else min(corners), max(corners), total((a.limit, b.difference), (b.limit, a.difference)))


def divide(a, b):
    assert b.low > 0
    corners = [x / y for x in (a.low, a.high) for y in (b.low, b.high)]
    return rounded(min(corners), max(corners), total((1 / b.low, a.difference), (a.limit / b.low**2, b.difference)))


def either(choose):
    return lambda a, b: Bound(choose(a.low, b.low), choose(a.high, b.high), greater(a.difference, b.difference))


def absolute(a):
    return Bound(0.0 if a.low <= 0 <= a.high else min(abs(a.low), abs(a.high)), a.limit, a.difference)


def whole(a):
    assert not a.difference  # it would jump
    return Bound(a.low - 1, a.high + 1)


def smooth(function, slope, ulps=2 * MATH_ULPS):
    """A function that never falls; `slope` is its greatest over a bound."""
    return lambda a: rounded(function(a.low), function(a.high), total((slope(a), a.difference)), ulps)


def wave(a):
    assert a.limit <= MATH_LIMIT
    return rounded(-1.0, 1.0, a.difference, 2 * MATH_ULPS)


def reciprocal_root(a):
    return rounded(a.high**-0.5, a.low**-0.5, total((0.5 * a.low**-1.5, a.difference)), 2 * MATH_ULPS)


SCALARS = {
    "arith.addf": lambda a, b: rounded(a.low + b.low, a.high + b.high, total((1, a.difference), (1, b.difference))),
    "arith.subf": lambda a, b: rounded(a.low - b.high, a.high - b.low, total((1, a.difference), (1, b.difference))),
    "arith.mulf": multiply,
    "arith.divf": divide,
    "arith.maximumf": either(max),
    "arith.minimumf": either(min),
    "arith.negf": lambda a: Bound(-a.high, -a.low, a.difference),
    "math.absf": absolute,
    **{f"math.{name}": whole for name in ("floor", "ceil", "roundeven", "trunc", "round")},
    "math.exp": smooth(math.exp, lambda a: math.exp(a.high)),
    "math.tanh": smooth(math.tanh, lambda a: 1.0),
    "math.erf": smooth(math.erf, lambda a: 1.13),
    "math.atan": smooth(math.atan, lambda a: 1.0),
    "math.log1p": smooth(math.log1p, lambda a: 1 / (1 + a.low)),
    "math.sqrt": smooth(math.sqrt, lambda a: 0.5 * a.low**-0.5, 0),
    "math.rsqrt": reciprocal_root,
    "math.sin": wave,
    "math.cos": wave,
}

# ---- ops on tensors --------------------------------------------------------------------------------------------------


def float_sum(count, a, b=Bound(1.0, 1.0)):
    """Σ of `count` products a · b: (count + 8) · 2^-23 · Σ|a · b| and a unit of the result."""
    limit, difference = count * a.limit * b.limit, total((count * b.limit, a.difference), (count * a.limit, b.difference))
    return rounded(-limit, limit, difference, 2 * (count + 9))


def softmax(count, x):
    """exp(x - max) / Σ: the slopes of one result are at most 1/2 in sum; its parts are relative errors."""
    parts = 4 * MATH_ULPS + 2 * (count + 9) + 2 * (x.high - x.low) + 4
    return rounded(0.0, 1.0, total((0.5, x.difference)), parts)


def norm(count, x):
    """y = x · r, r = (Σx² / count + 0.1)^-1/2: the slopes of one result are at most r · (1 + |y|), |y| <= √count."""
    slope = 0.1**-0.5 * (1 + count**0.5)
    y = min(count**0.5, x.limit * 0.1**-0.5)
    return rounded(-y, y, total((slope, x.difference)), 2 * MATH_ULPS + (count + 9) + 8)


def after(steps, carried, first, last):
    """What is behind a loop of `steps`: the bound of `first`, or what `last` becomes of `carried`, step by step."""
    difference = first.difference
    for _ in range(steps):
        gain = last.difference.get(carried, 0.0)
        rest = {name: value for name, value in last.difference.items() if name != carried}
        difference = total((gain, difference), (1.0, rest))
    return Bound(min(first.low, last.low), max(first.high, last.high), difference)
