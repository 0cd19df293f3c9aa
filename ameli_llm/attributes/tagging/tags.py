"""BIO tags: what a tagger says of each word, and how that becomes values and comes from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ameli_llm.attributes.tagging.examples import LabelledText, Span

Place = tuple[int, int]
"""Start and end of a token, character offsets into its text."""

OUTSIDE = 0


@dataclass(frozen=True, slots=True)
class Run:
    """The tokens ``first`` to ``last``, both included, that are a value of attribute number ``label``."""

    label: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Said:
    """What a network says of a text: values by words, and attribute numbers, None without a head for them."""

    runs: tuple[Run, ...]
    attributes: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The same by characters and names."""

    spans: tuple[Span, ...]
    attributes: frozenset[str] | None = None


def begin(label: int) -> int:
    """The number of the tag B of an attribute; "O" is 0."""
    return 2 * label + 1


def inside(label: int) -> int:
    """The number of the tag I of an attribute."""
    return 2 * label + 2


def count(labels: int) -> int:
    """How many tags there are for as many attributes."""
    return 2 * labels + 1


def tags_of(text: LabelledText, places: Sequence[Place], numbers: Mapping[str, int]) -> list[int]:
    """The tag of each token: B where a value's first token is, I on its others; parts of words count.

    A token belongs to the value that it has a character in common with. Values of attributes without
    a number are "O".
    """
    tags = [OUTSIDE] * len(places)
    spans = iter([span for span in text.spans if span.attribute in numbers])
    span, begun = next(spans, None), False
    for at, (start, end) in enumerate(places):
        while span is not None and span.end <= start:
            span, begun = next(spans, None), False
        if span is not None and start < span.end and end > span.start:
            label = numbers[span.attribute]
            tags[at] = inside(label) if begun else begin(label)
            begun = True
    return tags


def runs_of(tags: Iterable[int]) -> list[Run]:
    """The values that tags stand for. An I that continues no value of its attribute begins one."""
    runs: list[Run] = []
    label: int | None = None
    for at, tag in enumerate(tags):
        if tag == OUTSIDE:
            label = None
            continue
        now, continues = (tag - 1) // 2, tag % 2 == 0
        if continues and now == label:
            runs[-1] = Run(now, runs[-1].first, at)
        else:
            runs.append(Run(now, at, at))
        label = now
    return runs


def spans_of(runs: Iterable[Run], places: Sequence[Place], labels: Sequence[str]) -> tuple[Span, ...]:
    """The runs as spans of the text, in order. Of two on one character, which several passes over a text can
    give, the longer one stays, of equals the one of the attribute that comes first.
    """
    found = [Span(places[run.first][0], places[run.last][1], labels[run.label]) for run in runs]
    order = {name: number for number, name in enumerate(labels)}
    kept: list[Span] = []
    for span in sorted(found, key=lambda one: (one.start - one.end, order[one.attribute], one.start)):
        if span.start < span.end and all(
            span.end <= other.start or span.start >= other.end for other in kept
        ):
            kept.append(span)
    return tuple(sorted(kept))


def placed(said: Said, places: Sequence[Place], labels: Sequence[str]) -> Found:
    """What was said of a text, at its characters."""
    named = None if said.attributes is None else frozenset(labels[at] for at in said.attributes)
    return Found(spans_of(said.runs, places, labels), named)


def span_f1(gold: Sequence[LabelledText], found: Sequence[Found]) -> float:
    """Micro-F1 of exact spans with their attributes, 0 to 1; 0 where there is neither gold nor find."""
    right = total = 0
    for text, one in zip(gold, found, strict=True):
        right += len({*text.spans} & {*one.spans})
        total += len(text.spans) + len(one.spans)
    return 2 * right / total if total else 0.0


def attribute_f1(gold: Sequence[LabelledText], found: Sequence[Found]) -> float:
    """Micro-F1 of the attributes predicted for each text; 0 where none is predicted and none is there."""
    right = total = 0
    for text, one in zip(gold, found, strict=True):
        said = one.attributes or frozenset()
        right += len(text.attributes & said)
        total += len(text.attributes) + len(said)
    return 2 * right / total if total else 0.0
