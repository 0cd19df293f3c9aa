"""What a missing score counts as in a sum of scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", np.float32, np.float64)


def filled_row(values: Sequence[float | None]) -> list[float]:
    """As ``filled``, of one row whose missing scores are None; the same for every order of the values."""
    known = [value for value in values if value is not None]
    mean = math.fsum(known) / len(known) if known else 0.0
    return [mean if value is None else value for value in values]


def filled(matrix: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """The scores [n, m] without NaN: the mean of the row's others, 0 in a row that has none.

    So a score that is not there neither promotes nor demotes its candidate.
    """
    known = ~np.isnan(matrix)
    total = np.where(known, matrix, 0).sum(axis=1, keepdims=True)
    mean = total / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, matrix, mean).astype(matrix.dtype)
