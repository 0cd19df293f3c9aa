"""Tags and spans: what becomes of each other."""

from __future__ import annotations

import pytest

from ameli_llm.attributes.tagging.examples import LabelledText, Span
from ameli_llm.attributes.tagging.tags import (
    Found,
    Run,
    attribute_f1,
    runs_of,
    span_f1,
    spans_of,
    tags_of,
)

LABELS = ("C", "M")
PLACES = [(0, 1), (2, 5), (6, 10), (11, 13), (13, 15)]
"""a red silk gol|den"""
TEXT = "a red silk golden"
B_C, I_C, B_M, I_M = 1, 2, 3, 4


@pytest.mark.parametrize(
    ("spans", "tags"),
    [
        ([(2, 5, "C"), (6, 10, "M"), (11, 15, "C")], [0, B_C, B_M, B_C, I_C]),
        ([(2, 10, "C")], [0, B_C, I_C, 0, 0]),
        ([(12, 14, "M")], [0, 0, 0, B_M, I_M]),  # a part of a token is the token
        ([(2, 5, "Z"), (6, 10, "M")], [0, 0, B_M, 0, 0]),  # not learned
        ([], [0, 0, 0, 0, 0]),
    ],
)
def test_tags_of_spans(spans: list[tuple[int, int, str]], tags: list[int]) -> None:
    text = LabelledText(TEXT, tuple(Span(*span) for span in spans))
    assert tags_of(text, PLACES, {name: at for at, name in enumerate(LABELS)}) == tags


@pytest.mark.parametrize(
    ("tags", "runs"),
    [
        ([0, B_C, I_C, 0, B_C], [(0, 1, 2), (0, 4, 4)]),
        ([B_C, B_C, I_C], [(0, 0, 0), (0, 1, 2)]),
        ([I_C, I_C], [(0, 0, 1)]),  # an I that begins
        ([B_C, I_M, I_M], [(0, 0, 0), (1, 1, 2)]),
        ([I_C, 0, I_C], [(0, 0, 0), (0, 2, 2)]),
        ([0, 0], []),
    ],
)
def test_runs_of_tags(tags: list[int], runs: list[tuple[int, int, int]]) -> None:
    assert runs_of(tags) == [Run(*run) for run in runs]


def test_runs_become_spans() -> None:
    runs = [Run(0, 1, 1), Run(1, 1, 2), Run(0, 3, 4)]
    assert spans_of(runs, PLACES, LABELS) == (Span(2, 10, "M"), Span(11, 15, "C"))


def test_f1() -> None:
    gold = [LabelledText(TEXT, (Span(2, 5, "C"), Span(6, 10, "M"))), LabelledText(TEXT)]
    found = [
        Found((Span(2, 5, "C"), Span(6, 9, "M")), frozenset({"C"})),
        Found((Span(0, 1, "C"),), frozenset({"M"})),
    ]
    assert span_f1(gold, found) == 2 * 1 / (2 + 3)
    assert attribute_f1(gold, found) == 2 * 1 / (2 + 2)
    assert span_f1([], []) == 0
