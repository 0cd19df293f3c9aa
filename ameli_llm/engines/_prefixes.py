"""What many prompts have in common at their beginning, so that it is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

LEAST_SAVED = 64
"""Tokens that a step of its own has to save: about what a pass through a small network costs besides."""
LEAST_MORE = 16
"""Tokens that sequences have to share beyond their group's to be a group of their own."""


@dataclass(frozen=True)
class Group:
    """Sequences of which the first ``length`` tokens are the same.

    ``alone`` are the positions of those that share no more worth a step with another of the group; the rest
    is in ``groups``, each of which shares more.
    """

    length: int
    alone: tuple[int, ...]
    groups: tuple[Group, ...] = ()


def grouped(sequences: Sequence[Sequence[int]]) -> Group:
    """All ``sequences`` as one group, of length 0 when they have too little in common.

    At least one token of a sequence is its own, even of one with which others begin: what follows its last
    token is asked for. The result does not depend on the order of the sequences but for positions.
    """
    order = sorted(range(len(sequences)), key=lambda at: sequences[at])
    shared = [_shared(sequences[one], sequences[other]) for one, other in pairwise(order)]
    length = min(shared, default=0)
    return _group(order, shared, length if len(shared) * length >= LEAST_SAVED else 0)


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    most = min(len(one), len(other)) - 1
    return next((at for at in range(most) if one[at] != other[at]), max(most, 0))


def _group(order: Sequence[int], shared: Sequence[int], length: int) -> Group:
    alone: list[int] = []
    groups: list[Group] = []
    for start, end in _runs(shared, length + LEAST_MORE):
        inside = shared[start : end - 1]
        more = min(inside, default=length)
        if len(inside) * (more - length) >= LEAST_SAVED:
            groups.append(_group(order[start:end], inside, more))
        else:
            alone.extend(order[start:end])
    return Group(length, tuple(alone), tuple(groups))


def _runs(shared: Sequence[int], least: int) -> Iterator[tuple[int, int]]:
    """Where runs of neighbours start and end that share at least ``least`` tokens with the next one."""
    start = 0
    for at, tokens in enumerate(shared, start=1):
        if tokens < least:
            yield start, at
            start = at
    yield start, len(shared) + 1


def batches(lengths: Sequence[tuple[int, int]], tokens: int, rows: int) -> Iterator[list[int]]:
    """Positions of sequences to compute together: (position, length) pairs, those of like length together.

    A batch has at most ``rows`` sequences and, padded to the longest, ``tokens`` tokens, or one sequence.
    """
    batch: list[int] = []
    for at, length in sorted(lengths, key=lambda pair: pair[1]):
        if batch and (len(batch) == rows or (len(batch) + 1) * length > tokens):
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch
