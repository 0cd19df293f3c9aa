"""Texts whose attribute values somebody marked, as told reviews: titles of products, each beside others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from ameli_llm.errors import AmeliError, first_line
from ameli_llm.instruction.told import TOGETHER, Fact, Told
from ameli_llm.types import Product, Review, SpecRow
from ameli_llm.untrusted import read_json

_BESIDE = 20
"""Texts of one category whose attributes are asked for together."""

_EXCHANGED = 0.5
"""Share of the texts in which a source that exchanges values does so."""


@dataclass(frozen=True)
class AnnotatedText:
    """A text of a category with, for each attribute, all its right values; none where nobody marked one."""

    text: str
    category: str
    values: Mapping[str, tuple[str, ...]]


class _Line(BaseModel):
    text: str = Field(min_length=1)
    category: str
    attributes: dict[str, str | None]
    alternatives: dict[str, list[str]] = {}

    def read(self) -> AnnotatedText:
        values = {
            key: tuple(dict.fromkeys([value, *self.alternatives.get(key, ())])) if value else ()
            for key, value in self.attributes.items()
        }
        return AnnotatedText(self.text, self.category, values)


def read_annotated(path: Path) -> list[AnnotatedText]:
    """The texts of a file of JSON lines with ``text``, ``category``, ``attributes`` and ``alternatives``.

    ``attributes`` maps names to a value or null, ``alternatives`` to the list of further right values. Raises
    AmeliError, which names the line, on a wrong one, and on a file that cannot be read or has none.
    """
    found: list[AnnotatedText] = []
    try:
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if line.strip():
                found.append(_read(line, f"{path}, line {number}"))
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror or error}.") from error
    if not found:
        raise AmeliError(f"{path} has no annotated text.", hint="One JSON object a line: docs/models.md.")
    return found


def _read(line: bytes, where: str) -> AnnotatedText:
    try:
        return _Line.model_validate(read_json(line)).read()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise AmeliError(f"{where}: {place or 'the line'}: {first['msg']}.") from error
    except ValueError as error:
        raise AmeliError(f"{where} is {first_line(error)}.") from error


class Annotated:
    """Reads texts of one category at a time, asking for what is marked in any of some texts of it.

    What is marked in a text is all that it states. With ``exchange``, marked values of half of the texts
    stand for those of other texts of the category (mention replacement: Dai & Adel, COLING 2020),
    so that a value is learned by its place and not by heart.
    """

    def __init__(self, texts: Sequence[AnnotatedText], seed: int, exchange: bool = False) -> None:
        self._by_category: dict[str, list[AnnotatedText]] = {}
        for text in texts:
            self._by_category.setdefault(text.category, []).append(text)
        self._texts, self._seed, self._exchange = texts, seed, exchange
        digest = hashlib.sha256(repr(list(texts)).encode()).hexdigest()
        self.identity = f"annotated {digest[:12]} {seed}{' exchanged' if exchange else ''}"

    def told(self, row: int) -> tuple[Told, ...]:
        """Texts of the category of any of them."""
        rng = np.random.default_rng((self._seed, 5, row))
        members = self._by_category[self._texts[int(rng.integers(len(self._texts)))].category]
        shown = [members[int(at)] for at in rng.permutation(len(members))[:_BESIDE]]
        subjects = shown[:TOGETHER]
        if self._exchange:
            subjects = [
                exchanged(text, members, rng) if rng.random() < _EXCHANGED else text for text in subjects
            ]
        return told_of(subjects, shown)


def exchanged(
    text: AnnotatedText, others: Sequence[AnnotatedText], rng: np.random.Generator
) -> AnnotatedText:
    """``text`` with values of ``others`` for its own, wherever it is plain which of its words are the value.

    Values that overlap another, or stand in the text more than once or not at all, stay.
    """
    places = {
        key: (text.text.find(values[0]), values[0])
        for key, values in text.values.items()
        if values and text.text.count(values[0]) == 1
    }
    new, values = text.text, dict(text.values)
    for key, (at, value) in sorted(places.items(), key=lambda item: -item[1][0]):
        if any(at < end and start < at + len(value) for start, end in _spans(text, but=key)):
            continue
        known = [other.values[key][0] for other in others if other.values.get(key)]
        chosen = known[int(rng.integers(len(known)))] if known else value
        new = new[:at] + chosen + new[at + len(value) :]
        values[key] = (chosen,)
    return AnnotatedText(new, text.category, values)


def _spans(text: AnnotatedText, but: str) -> Iterator[tuple[int, int]]:
    """Where values of other attributes than ``but`` first stand in the text."""
    for key, values in text.values.items():
        for value in values:
            at = text.text.find(value)
            if key != but and at >= 0:
                yield at, at + len(value)


def told_of(texts: Sequence[AnnotatedText], beside: Sequence[AnnotatedText]) -> tuple[Told, ...]:
    """Each text as a review, with those of ``beside`` as its candidates."""
    attributes = tuple({key: values[:1] for key, values in text.values.items() if values} for text in beside)
    products = tuple(
        Product(number, text.text, (text.category,), spec=_rows(known))
        for number, (text, known) in enumerate(zip(beside, attributes, strict=True), start=1)
    )
    return tuple(
        Told(Review(number, "", text.text, text.category), _facts(text), products, attributes)
        for number, text in enumerate(texts, start=1)
    )


def _facts(text: AnnotatedText) -> tuple[Fact, ...]:
    return tuple(Fact(key, values[0], values[0]) for key, values in text.values.items() if values)


def _rows(known: Mapping[str, tuple[str, ...]]) -> tuple[SpecRow, ...]:
    return tuple(SpecRow("All", key, value) for key, values in known.items() for value in values)
