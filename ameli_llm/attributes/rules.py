"""Extractor "rules": values of the candidates that the review's own words state, without a model.

Also the string-match baseline. Values are compared in normalised form (``normalise``), so units, spellings
and typing errors do not matter; denied values come back negated, values of other products are dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ameli_llm.attributes.extractor import Extraction, ExtractionTask, Extractor
from ameli_llm.attributes.matching.choice import choose, is_begun, undecided
from ameli_llm.attributes.matching.find import Match, find_values
from ameli_llm.attributes.matching.negation import Context
from ameli_llm.attributes.matching.vocabulary import Entry, Lookup, arrange
from ameli_llm.attributes.values.normalise import NormalisedValue
from ameli_llm.attributes.values.tokens import MAX_CHARS
from ameli_llm.types import AttributeValue, Evidence, Review

FIELDS = ("header", "body", "mention")


def create() -> Extractor:
    """The extractor; it needs no files and no model."""
    return RulesExtractor()


class RulesExtractor:
    """Finds values by rules; all its knowledge is in the tables of this package."""

    name = "rules"

    def extract(self, tasks: Sequence[ExtractionTask]) -> list[Extraction]:
        """Reads header, body and mention, 20,000 characters each; the first place of a value is its evidence.

        A value is one cell of the vocabulary, or one alternative of a cell that lists several, as written
        there. Several values of one key at one place are alternatives ("blue" for Navy and Sky Blue).

        Dropped by reason: "other_product"; "ambiguous" (a quantity that several keys have, and no word tells
        which); "no_context" (a number or ordinary word that nothing ties to the key); "other_label" (behind
        the label of another key); "begun" (the text goes on, as a longer value does); "either" (two values
        of a key with "or" between them); "outnumbered" (another brand is named more often, or first);
        "text_cut" (fields longer than the limit).
        """
        return [self._one(task) for task in tasks]

    def _one(self, task: ExtractionTask) -> Extraction:
        lookup = arrange(task.vocabulary)
        dropped: Counter[str] = Counter()
        values: dict[tuple[str, NormalisedValue, bool], AttributeValue] = {}
        places: dict[NormalisedValue, set[tuple[str, int]]] = {}
        for field in FIELDS:
            for value, normal in _read(field, task.review, lookup, dropped):
                values.setdefault((value.key, normal, value.negated), value)
                if normal.kind == "brand" and not value.negated:
                    places.setdefault(normal, set()).add((field, value.evidence.start))
        brand = max(places, key=lambda normal: len(places[normal]), default=None)
        kept = [
            value
            for (_, normal, negated), value in values.items()
            if negated or normal.kind != "brand" or normal == brand  # a review is about one brand
        ]
        if len(kept) < len(values):
            dropped["outnumbered"] += len(values) - len(kept)
        return Extraction(tuple(kept), dict(sorted(dropped.items())))


def _read(
    field: str, review: Review, lookup: Lookup, dropped: Counter[str]
) -> Iterator[tuple[AttributeValue, NormalisedValue]]:
    text: str = getattr(review, field)
    if len(text) > MAX_CHARS:
        dropped["text_cut"] += 1
    matches = find_values(text, lookup)
    if not matches:
        return
    context = Context(text)
    read: list[tuple[Match, list[Entry], bool]] = []
    for match in matches:
        standing = context.standing(match.start, match.end) if field != "mention" else "stated"
        if standing == "other_product":
            dropped["other_product"] += 1
            continue
        entries, reason = choose(match, text, context)
        if reason:
            dropped[reason] += 1
        read.append((match, entries, standing == "denied"))
    either = undecided([match for match, _, negated in read if not negated], text)
    for match, entries, negated in read:
        evidence = Evidence(field, match.start, match.end, text[match.start : match.end])
        for entry in entries:
            if is_begun(match, entry, text, lookup):
                dropped["begun"] += 1
            elif not negated and (match.start, entry.key) in either:
                dropped["either"] += 1
            else:
                yield AttributeValue(entry.key, entry.value, "rules", evidence, negated), entry.normal
