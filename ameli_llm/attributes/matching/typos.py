"""Typing errors: words of a text that are one or two letters away from a word of the vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
from rapidfuzz.distance import OSA
from rapidfuzz.process import cdist

from ameli_llm.attributes.values.tokens import fold
from ameli_llm.attributes.values.units import load_table

_SHORTEST = 5


def find_typos(written: Iterable[str], known: Iterable[str]) -> dict[str, list[str]]:
    """Known words, each with the written words that are likely typing errors of it.

    Letters only, at least 5. Swapped neighbours count from 5 letters on, one error from 6 and two from 9;
    the first letter is right or swapped. Words that are known themselves or correct English lookalikes
    (words.yaml) are never errors.
    """
    right = sorted({word for word in known if _long(word)})
    wrong = sorted({word for word in written if _long(word)}.difference(right, _correct()))
    if not right or not wrong:
        return {}
    distances = cdist(right, wrong, scorer=OSA.distance, score_cutoff=2, dtype=np.uint8)
    found: dict[str, list[str]] = {}
    for row, column in np.argwhere((distances > 0) & (distances <= 2)):
        if _plausible(right[row], wrong[column], int(distances[row, column])):
            found.setdefault(right[row], []).append(wrong[column])
    return found


def _long(word: str) -> bool:
    return len(word) >= _SHORTEST and word.isalpha()


def _plausible(right: str, wrong: str, distance: int) -> bool:
    swapped = sorted(right) == sorted(wrong)
    allowed = 1 if swapped else 0 if len(right) < 6 else 1 if len(right) < 9 else 2
    start = right[0] == wrong[0] or right[:2] == wrong[1::-1]
    return start and distance <= allowed


@cache
def _correct() -> frozenset[str]:
    return frozenset(fold(word) for word in load_table("words.yaml")["not_typos"])
