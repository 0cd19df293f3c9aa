"""Text of a review as the report shows it: bounded, without control characters, with its proving spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ameli_llm.runs import AttributeRow

LONGEST = 4000
"""Characters of a text field that are shown."""

LONGEST_VALUE = 120
"""Characters of a name or value that are shown."""

MOST_VALUES = 60
"""Values of a review in a run that are shown."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text; ``labels`` name the values that it proves, each with the number of the run."""

    text: str
    labels: tuple[tuple[int, str], ...] = ()


def shown(text: str, longest: int) -> str:
    """Text of the same length, control characters as spaces, cut at ``longest``."""
    text = text[:longest]
    if text.replace("\n", "").isprintable():
        return text
    clean = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return clean.encode("utf-8", "replace").decode("utf-8")


def named(value: AttributeRow) -> str:
    """The key and what is stated or denied of it."""
    denied = "not " if value.negated else ""
    return f"{shown(value.key, 40)}: {denied}{shown(value.value, LONGEST_VALUE)}"


def highlight(text: str, runs: Sequence[Sequence[AttributeRow]], field: str) -> Iterable[Piece]:
    """The text in pieces, those that prove values of any run labelled. Spans outside the text are ignored."""
    text = shown(text, LONGEST)
    spans = [
        (value.evidence.start, value.evidence.end, (number, f"{named(value)} ({shown(value.source, 40)})"))
        for number, values in enumerate(runs)
        for value in values[:MOST_VALUES]
        if value.evidence.field == field and 0 <= value.evidence.start < value.evidence.end <= len(text)
    ]
    cuts = sorted({0, len(text), *(place for start, end, _ in spans for place in (start, end))})
    for start, end in pairwise(cuts):
        labels = (label for first, last, label in spans if first <= start and end <= last)
        yield Piece(text[start:end], tuple(dict.fromkeys(labels)))
