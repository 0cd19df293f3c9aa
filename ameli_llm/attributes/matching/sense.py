"""Which listed value words mean, told by the vectors of a sentence encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Encode: TypeAlias = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""L2-normalised vectors [n, d] of n texts."""

_MARGIN = 0.05
"""Cosine by which the favoured value may be farther than another: smaller differences are chance."""


@dataclass(frozen=True)
class Sense:
    """``least`` is the cosine that words and a value need, between -1 and 1; it depends on the encoder."""

    encode: Encode
    least: float

    def meant(self, words: str, values: Sequence[str], favoured: str) -> str | None:
        """The one of ``values`` that is nearest to ``words``; None when none of them is near enough.

        ``favoured`` wins against one that is hardly nearer. "fire engine" means "Fire truck", "smell from the
        packaging" no colour at all.
        """
        if not values:
            return None
        vectors = self.encode([words, *values])
        cosines = {
            value: float(vector @ vectors[0]) for value, vector in zip(values, vectors[1:], strict=True)
        }
        nearest = max(values, key=cosines.__getitem__)
        if cosines.get(favoured, -1.0) >= cosines[nearest] - _MARGIN:
            nearest = favoured
        return nearest if cosines[nearest] >= self.least else None
