"""A review as the report shows it: its text with the proving spans, its candidates, and what went wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.runs import AttributeRow, CandidateRow
from eval.measures.agreement import UNKNOWN, against_right_product
from eval.measures.judged import Judged, by_retrieval

LONGEST = 4000
"""Characters of a text field that are shown."""

LONGEST_TRANSCRIPT = 12_000
"""Characters of a review's prompts and replies that are shown."""

LONGEST_VALUE = 120
"""Characters of a name or value that are shown."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text; ``label`` names the attribute values that it proves, "" for none."""

    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Chip:
    """An attribute of a candidate. ``verdict`` is agree, conflict or unknown."""

    key: str
    verdict: str


@dataclass(frozen=True, slots=True)
class CandidateLine:
    """A candidate of the review. ``rank`` is its position by retrieval."""

    entity_id: EntityId
    name: str
    rank: int
    retrieval: float
    text: float | None
    image: float | None
    score: float | None
    right: bool
    answered: bool
    chips: tuple[Chip, ...]
    unknown: int


@dataclass(frozen=True, slots=True)
class Card:
    """One review. ``cause`` is a key of ``error_budget.CAUSES``, "" when the run is right."""

    review_id: ReviewId
    state: str
    right: bool
    cause: str
    change: str
    confidence: float | None
    category: str
    slices: tuple[str, ...]
    mention: str
    header: tuple[Piece, ...]
    body: tuple[Piece, ...]
    cut: bool
    answer: str
    right_answer: str
    other_answer: str
    candidates: tuple[CandidateLine, ...]
    from_images: tuple[str, ...]
    values: tuple[str, ...]
    error: str
    transcript: str
    other_transcript: str


@dataclass(frozen=True)
class CardMaker:
    """Makes cards; ``reviews`` and ``names`` are the run's texts by id, either may be empty.

    ``transcript`` gives a review's prompts and replies as text, "" where there are none; ``other_transcript``
    those of run B.
    """

    reviews: Mapping[ReviewId, Any]
    names: Mapping[ReviewId, Any]
    cause: Callable[[Judged], str | None]
    transcript: Callable[[ReviewId], str]
    other_transcript: Callable[[ReviewId], str]

    def card(self, one: Judged, change: str = "", other: Judged | None = None) -> Card:
        """The card of a review; with ``other``, the same review in run B, its answer stands beside."""
        row = one.row
        text = self.reviews.get(one.review_id)
        text = text if isinstance(text, Mapping) else {}
        header, body = str(text.get("header") or ""), str(text.get("body") or "")
        return Card(
            review_id=one.review_id,
            state=row.state.value,
            right=one.right,
            cause=self.cause(one) or "",
            change=change,
            confidence=row.confidence,
            category=one.gold.category,
            slices=one.gold.slices,
            mention=shown(str(text.get("mention") or ""), LONGEST_VALUE),
            header=tuple(highlight(header, row.attributes, "header")),
            body=tuple(highlight(body, row.attributes, "body")),
            cut=max(len(header), len(body)) > LONGEST,
            answer=self._answer(one),
            right_answer=self._name(one.gold.gold) if one.gold.gold is not None else "not in the KB",
            other_answer=self._answer(other) if other else "",
            candidates=tuple(self._candidates(one)),
            from_images=tuple(_from_image(v) for v in row.attributes if v.evidence.field == "image"),
            values=tuple(_value(v) for v in row.attributes if v.evidence.field != "image"),
            error=shown(row.error or "", LONGEST_VALUE * 3),
            transcript=shown(self.transcript(one.review_id), LONGEST_TRANSCRIPT),
            other_transcript=shown(self.other_transcript(one.review_id), LONGEST_TRANSCRIPT),
        )

    def _name(self, product: EntityId) -> str:
        return (
            shown(f"{self.names.get(product, '(no name)')}", LONGEST_VALUE)
            + f" #{shown(str(product), LONGEST_VALUE)}"
        )

    def _answer(self, one: Judged) -> str:
        if one.linked and one.row.entity_id is not None:
            return self._name(one.row.entity_id)
        return one.row.state.value

    def _candidates(self, one: Judged) -> Iterable[CandidateLine]:
        rank = {c.entity_id: i for i, c in enumerate(by_retrieval(one.row), start=1)}
        compared = one.row.compared or 10
        shown_rows = [c for c in one.row.candidates if rank[c.entity_id] <= compared]
        shown_rows += [
            c for c in one.row.candidates if c.entity_id == one.gold.gold and rank[c.entity_id] > compared
        ]
        verdicts = _verdicts(one)
        for c in shown_rows:
            yield self._line(one, c, rank[c.entity_id], compared, verdicts.get(c.entity_id, {}))

    def _line(
        self, one: Judged, c: CandidateRow, rank: int, compared: int, verdicts: Mapping[str, str]
    ) -> CandidateLine:
        chips = [Chip(shown(key, 40), verdict) for key, verdict in sorted(verdicts.items())]
        return CandidateLine(
            entity_id=c.entity_id,
            name=shown(str(self.names.get(c.entity_id, "(no name)")), LONGEST_VALUE),
            rank=rank,
            retrieval=c.retrieval_score,
            text=c.text_score,
            image=c.image_score,
            score=c.score if rank <= compared else None,
            right=c.entity_id == one.gold.gold,
            answered=one.linked and c.entity_id == one.row.entity_id,
            chips=tuple(chip for chip in chips if chip.verdict != UNKNOWN),
            unknown=sum(chip.verdict == UNKNOWN for chip in chips),
        )


def highlight(text: str, values: Sequence[AttributeRow], field: str) -> Iterable[Piece]:
    """The text in pieces, those that prove a value labelled. Spans outside the text are ignored.

    A span that overlaps an earlier one adds its label to it.
    """
    text = shown(text, LONGEST)
    spans: list[tuple[int, int, list[str]]] = []
    for value in sorted((v for v in values if v.evidence.field == field), key=lambda v: v.evidence.start):
        start, end = value.evidence.start, value.evidence.end
        if not 0 <= start < end <= len(text):
            continue
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]), [*spans[-1][2], _value(value)])
        else:
            spans.append((start, end, [_value(value)]))
    position = 0
    for start, end, labels in spans:
        if position < start:
            yield Piece(text[position:start])
        yield Piece(text[start:end], "; ".join(labels))
        position = end
    if position < len(text):
        yield Piece(text[position:])


def shown(text: str, longest: int) -> str:
    """Text of the same length, control characters as spaces, cut at ``longest``."""
    clean = "".join(c if c.isprintable() or c == "\n" else " " for c in text[:longest])
    return clean.encode("utf-8", "replace").decode("utf-8")


def _value(value: AttributeRow) -> str:
    denied = "not " if value.negated else ""
    return f"{shown(value.key, 40)}: {denied}{shown(value.value, LONGEST_VALUE)} ({value.source})"


def _from_image(value: AttributeRow) -> str:
    place = value.evidence
    sure = f", {place.confidence:.2f}" if place.confidence is not None else ""
    return f"{_value(value)} read as \u201c{shown(place.text, 60)}\u201d{sure}"


def _verdicts(one: Judged) -> dict[EntityId, dict[str, str]]:
    """Verdicts by candidate: the run's own, and those of the right product where the run kept none."""
    found: defaultdict[EntityId, dict[str, str]] = defaultdict(dict)
    for row in one.row.evidence:
        found[row.entity_id][row.key] = row.verdict
    if one.gold.gold is not None and one.gold.gold not in found:
        found[one.gold.gold] = against_right_product(one)
    return found
