"""Weights of evidence that two records are of one product (Fellegi & Sunter 1969), in natural logarithms.

m is the chance that something agrees with the right product, u the chance that it agrees with any.
"""

from __future__ import annotations

import math

_SUREST = 0.99
"""No m and no u counts as more certain, nor as less than 1 - this."""


def certain(probability: float) -> float:
    """The probability, no surer than anything can be."""
    return min(max(probability, 1 - _SUREST), _SUREST)


def agreeing(m: float, u: float) -> float:
    """log m/u of an agreement; it never speaks against."""
    return max(0.0, math.log(m / u))


def differing(m: float, u: float) -> float:
    """log (1-m)/(1-u) of a difference; it never speaks for."""
    return min(0.0, math.log((1 - m) / (1 - u)))
