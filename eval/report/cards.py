"""A review as its card shows it: text, photos, and what each run found, scored and answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.runs import AttributeRow, CandidateRow
from eval.measures.agreement import AGREE, CONFLICT, UNKNOWN, against_right_product
from eval.measures.judged import Judged, by_retrieval
from eval.report.photos import Photos
from eval.report.rows import Row
from eval.report.text import LONGEST, LONGEST_VALUE, MOST_VALUES, Piece, highlight, named, shown

MOST_COMPARED = 50
"""Candidates of a run that a card lists."""


@dataclass(frozen=True, slots=True)
class ProductLine:
    """A product that a run compared, or the right one; ``photo`` is a number in ``Photos.content``."""

    id: str
    name: str
    right: bool
    photo: int | None


@dataclass(frozen=True, slots=True)
class Scores:
    """A candidate in a run: ``product`` by position among the card's, ``rank`` by retrieval, from 1.

    ``comparators`` has the parts of ``text`` where there are several; ``agree`` and ``conflict`` are keys of
    attributes, ``unknown`` the number of others.
    """

    product: int
    rank: int
    retrieval: float
    text: float | None
    comparators: Mapping[str, float]
    image: float | None
    score: float | None
    agree: tuple[str, ...]
    conflict: tuple[str, ...]
    unknown: int


@dataclass(frozen=True, slots=True)
class Value:
    """A value that a run found in the review, and where."""

    name: str
    source: str
    place: str


@dataclass(frozen=True, slots=True)
class RunCard:
    """What one run made of the review. ``answer`` is a product by position among the card's."""

    answer: int | None
    values: tuple[Value, ...]
    candidates: tuple[Scores, ...]
    tokens: tuple[int, int]
    seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class Card:
    """A review as its card shows it; ``runs`` has None where a run does not have it."""

    header: tuple[Piece, ...]
    body: tuple[Piece, ...]
    cut: bool
    photos: tuple[int, ...]
    category: str
    in_kb: bool
    products: tuple[ProductLine, ...]
    runs: tuple[RunCard | None, ...]


@dataclass(frozen=True)
class CardMaker:
    """Makes cards; ``reviews`` and ``names`` are the runs' texts by id, either may be empty."""

    reviews: Mapping[ReviewId, Any]
    names: Mapping[EntityId, Any]
    photos: Photos

    def text(self, review: ReviewId) -> Mapping[str, Any]:
        """Header, body, mention and images of the review, as far as the runs kept them."""
        text = self.reviews.get(review)
        return text if isinstance(text, Mapping) else {}

    def card(self, row: Row) -> Card:
        """The card of a review."""
        text, gold = self.text(row.review_id), row.known.gold
        header, body = str(text.get("header") or ""), str(text.get("body") or "")
        attributes = [one.row.attributes if one else () for one in row.runs]
        images = text.get("images")
        photos = self.photos.review(images if isinstance(images, Sequence) else ())
        compared = [_compared(one) if one else {} for one in row.runs]
        order = _products(row, compared)
        return Card(
            header=tuple(highlight(header, attributes, "header")),
            body=tuple(highlight(body, attributes, "body")),
            cut=max(len(header), len(body)) > LONGEST,
            photos=photos,
            category=shown(gold.category, LONGEST_VALUE),
            in_kb=gold.gold is not None,
            products=tuple(self._product(id_, id_ == gold.gold) for id_ in order),
            runs=tuple(
                _run_card(one, found, order) if one else None
                for one, found in zip(row.runs, compared, strict=True)
            ),
        )

    def _product(self, id_: EntityId, right: bool) -> ProductLine:
        name = shown(str(self.names.get(id_, "(no name)")), LONGEST_VALUE)
        return ProductLine(shown(str(id_), LONGEST_VALUE), name, right, self.photos.product(id_))


def rounded(score: float | None) -> float | None:
    """Four decimals: one more than are shown."""
    return None if score is None else round(score, 4)


def _compared(one: Judged) -> dict[EntityId, tuple[int, CandidateRow]]:
    """Candidates that the card lists, best first, each with its rank by retrieval; the right one last."""
    rank = {c.entity_id: number for number, c in enumerate(by_retrieval(one.row), start=1)}
    most = min(one.row.compared or 10, MOST_COMPARED)
    listed = [c for c in one.row.candidates if rank[c.entity_id] <= most]
    listed += [c for c in one.row.candidates if c.entity_id == one.gold.gold and rank[c.entity_id] > most]
    return {c.entity_id: (rank[c.entity_id], c) for c in listed}


def _products(row: Row, compared: Sequence[Mapping[EntityId, Any]]) -> dict[EntityId, int]:
    """Positions of the card's products: in the order of the first run, then what only others have."""
    answers = (one.row.entity_id for one in row.runs if one and one.linked)
    every = chain(chain.from_iterable(compared), answers, [row.known.gold.gold])
    return {id_: number for number, id_ in enumerate(dict.fromkeys(id_ for id_ in every if id_ is not None))}


def _run_card(
    one: Judged, compared: Mapping[EntityId, tuple[int, CandidateRow]], order: Mapping[EntityId, int]
) -> RunCard:
    row, verdicts = one.row, _verdicts(one)
    return RunCard(
        answer=order[row.entity_id] if one.linked and row.entity_id is not None else None,
        values=tuple(_value(value) for value in row.attributes[:MOST_VALUES]),
        candidates=tuple(
            _scores(c, rank, order[id_], rank <= (row.compared or 10), verdicts.get(id_, {}))
            for id_, (rank, c) in compared.items()
        ),
        tokens=(row.tokens.prompt, row.tokens.completion),
        seconds=round(row.seconds, 2),
        error=shown(row.error or "", LONGEST_VALUE * 3),
    )


def _scores(c: CandidateRow, rank: int, product: int, compared: bool, verdicts: Mapping[str, str]) -> Scores:
    def keys(verdict: str) -> Iterable[str]:
        return (shown(key, 40) for key in sorted(verdicts) if verdicts[key] == verdict)

    return Scores(
        product=product,
        rank=rank,
        retrieval=round(c.retrieval_score, 4),
        text=rounded(c.text_score),
        comparators=_comparators(c.text_scores),
        image=rounded(c.image_score),
        score=rounded(c.score) if compared else None,
        agree=tuple(keys(AGREE)),
        conflict=tuple(keys(CONFLICT)),
        unknown=sum(verdict == UNKNOWN for verdict in verdicts.values()),
    )


def _comparators(scores: Mapping[str, float]) -> dict[str, float]:
    """Each comparator's score; none where there is one alone, whose score is the text's."""
    several = sorted(scores.items()) if len(scores) > 1 else ()
    return {shown(name, 20): round(score, 4) for name, score in several}


def _value(value: AttributeRow) -> Value:
    place = value.evidence
    sure = f", {place.confidence:.2f}" if place.confidence is not None else ""
    quoted = f"{shown(place.field, 20)} “{shown(place.text, 60)}”{sure}"
    return Value(named(value), shown(value.source, 40), quoted)


def _verdicts(one: Judged) -> dict[EntityId, dict[str, str]]:
    """Verdicts by candidate: the run's own, and those of the right product where the run kept none."""
    found: defaultdict[EntityId, dict[str, str]] = defaultdict(dict)
    for row in one.row.evidence:
        found[row.entity_id][row.key] = row.verdict
    if one.gold.gold is not None and one.gold.gold not in found:
        found[one.gold.gold] = against_right_product(one)
    return found
