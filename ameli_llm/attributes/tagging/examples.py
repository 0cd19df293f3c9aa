"""A text with the places of its attribute values, and the splits of a corpus of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ameli_llm.errors import AmeliError

HELD_OUT = 0.1
"""Share of the texts that becomes dev, and test, where a corpus has no splits of its own."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A value of ``attribute`` at ``start:end``, character offsets into the text."""

    start: int
    end: int
    attribute: str


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text and all values that it states: spans in order, none empty, no two on one character.

    ``pairs`` are the annotated attribute-value pairs that the text states, where a corpus marks values and
    not places (MAE). ``image`` is the file of the product's picture, None without one. Raises ValueError for
    spans that are not as they should be.
    """

    text: str
    spans: tuple[Span, ...] = ()
    image: Path | None = None
    category: str = ""
    name: str = ""
    pairs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        end = 0
        for span in self.spans:
            if not end <= span.start < span.end <= len(self.text):
                raise ValueError(
                    f"the value of {span.attribute} at {span.start}:{span.end} is empty, outside the text, "
                    "or on another value"
                )
            end = span.end

    @property
    def attributes(self) -> frozenset[str]:
        """The attributes of which the text states a value."""
        return frozenset(span.attribute for span in self.spans)

    @property
    def values(self) -> dict[str, tuple[str, ...]]:
        """The different values of each attribute as the text writes them, in order."""
        found: dict[str, dict[str, None]] = {}
        for span in self.spans:
            found.setdefault(span.attribute, {})[self.text[span.start : span.end]] = None
        return {attribute: tuple(values) for attribute, values in found.items()}


@dataclass(frozen=True)
class Corpus:
    """Labelled texts by split ("train", "dev", "test"). ``left_out`` counts what was not taken, by reason.

    ``kind`` is the format: "mepave", "mae", "annotated" or "dataset".
    """

    kind: str
    splits: Mapping[str, tuple[LabelledText, ...]]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def split(self, name: str) -> tuple[LabelledText, ...]:
        """The texts of a split. Raises AmeliError when there are none."""
        found = self.splits.get(name, ())
        if not found:
            there = ", ".join(f"{key} ({len(texts)})" for key, texts in self.splits.items() if texts)
            raise AmeliError(
                f"The corpus has no text in split {name!r}.",
                hint=f"It has: {there or 'none at all'}.",
            )
        return found


def divided(
    kind: str, texts: Sequence[LabelledText], left_out: Mapping[str, int] | None = None, seed: int = 0
) -> Corpus:
    """A corpus of texts that have no splits: a seeded tenth is dev, another is test, the rest train.

    Texts of one name (those of a product) stay together.
    """
    names = list(dict.fromkeys(text.name or f"#{at}" for at, text in enumerate(texts)))
    order = np.random.default_rng(seed).permutation(len(names))
    held = max(1, round(HELD_OUT * len(names))) if len(names) > 2 else 0
    place = {names[at]: ("test", "dev")[rank // held] for rank, at in enumerate(order[: 2 * held].tolist())}
    splits: dict[str, list[LabelledText]] = {"train": [], "dev": [], "test": []}
    for at, text in enumerate(texts):
        splits[place.get(text.name or f"#{at}", "train")].append(text)
    return Corpus(kind, {name: tuple(found) for name, found in splits.items()}, dict(left_out or {}))


def attribute_names(texts: Sequence[LabelledText], fewest: int = 1) -> tuple[str, ...]:
    """The attributes of which at least ``fewest`` of the texts state a value, by name.

    Raises AmeliError when there is none.
    """
    counts = Counter(attribute for text in texts for attribute in text.attributes)
    names = tuple(sorted(name for name, count in counts.items() if count >= fewest))
    if not names:
        raise AmeliError(
            f"None of the {len(texts)} texts states a value of an attribute that {fewest} of them have.",
            hint="Train on texts whose values are marked (docs/extractors.md).",
        )
    return names
