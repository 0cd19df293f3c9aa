"""What trained extractors are measured by: CLS-F1, TAG-F1 and MAE's accuracy, each with its interval.

Texts of one product (``LabelledText.name``) are resampled together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ameli_llm.attributes.tagging.examples import LabelledText
from ameli_llm.attributes.tagging.tags import Found
from eval.measures.statistics import ClusteredBootstrap, Interval


@dataclass(frozen=True)
class Scores:
    """Scores of one extractor on texts; ``n`` of an interval counts texts that have something to count.

    ``cls_f1``: micro-F1 of the attributes that are predicted for a text, None for an extractor that does not
    predict them apart from their values. ``precision``, ``recall``, ``tag_f1``: of values, right when the
    characters and the attribute are (Liu et al., section 4.3). ``accuracy``: see ``accuracy_of``. ``values``
    and ``pairs`` are how many there are.
    """

    cls_f1: Interval | None
    precision: Interval
    recall: Interval
    tag_f1: Interval
    accuracy: Interval
    texts: int
    values: int
    pairs: int


def scores(gold: Sequence[LabelledText], found: Sequence[Found], seed: int = 0) -> Scores:
    """The scores of what was found in the texts, in the same order."""
    bootstrap = ClusteredBootstrap([text.name or None for text in gold], seed=seed)
    right = np.array([len({*t.spans} & {*f.spans}) for t, f in zip(gold, found, strict=True)])
    said = np.array([len(one.spans) for one in found])
    there = np.array([len(text.spans) for text in gold])
    judged = [accuracy_of(text, one) for text, one in zip(gold, found, strict=True)]
    hits, pairs = np.array([hit for hit, _ in judged]), np.array([total for _, total in judged])
    return Scores(
        _cls_f1(gold, found, bootstrap),
        bootstrap.ratio(right, said),
        bootstrap.ratio(right, there),
        bootstrap.ratio(2 * right, said + there),
        bootstrap.ratio(hits, pairs),
        len(gold),
        int(there.sum()),
        int(pairs.sum()),
    )


def accuracy_of(gold: LabelledText, found: Found) -> tuple[int, int]:
    """How many annotated attribute-value pairs of a text are found, and how many there are.

    As Liu et al. count (appendix A.3, equation 9): repeated values are one, a pair is right when the values
    found for its attribute are exactly those annotated, and attributes without annotation do not count. Words
    are compared without regard to case and spaces.
    """
    values = gold.pairs or gold.values
    annotated = {attribute: _same(several) for attribute, several in values.items() if several}
    said: dict[str, set[str]] = {}
    for span in found.spans:
        said.setdefault(span.attribute, set()).add(_plain(gold.text[span.start : span.end]))
    return sum(said.get(key, set()) == several for key, several in annotated.items()), len(annotated)


def _cls_f1(
    gold: Sequence[LabelledText], found: Sequence[Found], bootstrap: ClusteredBootstrap
) -> Interval | None:
    named = [one.attributes for one in found if one.attributes is not None]
    if len(named) < len(found):
        return None
    right = [len(text.attributes & said) for text, said in zip(gold, named, strict=True)]
    total = [len(text.attributes) + len(said) for text, said in zip(gold, named, strict=True)]
    return bootstrap.ratio(2 * np.array(right), np.array(total))


def _same(values: Sequence[str]) -> set[str]:
    return {_plain(value) for value in values}


def _plain(value: str) -> str:
    return " ".join(value.casefold().split())
