"""What V2TEL is trained and chosen on: review images with the rows of product texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.dataset.folds import Fold
from ameli_llm.errors import AmeliError
from ameli_llm.types import Progress
from eval.baselines import _lists
from eval.baselines._images import Images, no_images, review_images
from eval.baselines._texts import EntityTexts
from eval.baselines.baseline import Floats
from eval.baselines.material import Material

Numbers: TypeAlias = npt.NDArray[np.int64]
Loss: TypeAlias = Literal["batch", "batch+candidates", "candidates"]


@dataclass(frozen=True)
class TextPairs:
    """Review image i, [n, d], shows a product whose text is row ``text[i]`` of the texts.

    It is told from the other texts of its batch, to which each pair adds its ``others`` [n, k], rows of texts
    and -1 for none; where the others are its ``own``, from those alone.
    """

    images: Floats
    text: Numbers
    others: Numbers | None = None
    own: bool = False


@dataclass(frozen=True)
class TextSearch:
    """Review images [m, d] with the review of each (``review_row``, from 0), to be searched among products.

    ``gold`` holds the text row of each review's product, ``counts`` how many products share each text.
    ``lists`` [q, k] has the text rows of each review's candidates, gold's among them, -1 for none: where they
    are given, these are the products.
    """

    images: Floats
    review_row: Numbers
    gold: Numbers
    counts: Numbers
    lists: Numbers | None = None


def text_pairs(
    material: Material,
    fold: Fold,
    texts: EntityTexts,
    loss: Loss,
    images: Images,
    gold_image: bool,
    progress: Progress | None,
) -> TextPairs:
    """A pair for each review image whose product has a text.

    Where the loss is over candidates, its others are the candidates' texts that are not the product's own;
    reviews without any are left out where there is nothing else to tell it from.
    """
    beside = _lists.beside(fold, images, gold_image)
    lists = _lists.others(fold) if loss != "batch" else {}
    shown = [np.zeros((0, material.image_dimension), dtype=np.float32)]
    rows: list[int] = []
    others: list[list[int]] = []
    found = review_images(material, fold.reviews, images, progress, beside)
    for review, vectors in zip(fold.reviews, found, strict=True):
        row = texts.row.get(fold.gold[review.id], -1)
        against = [one for one in texts.rows(lists.get(review.id, ())) if one not in (row, -1)]
        if row >= 0 and (against or loss != "candidates"):
            shown.append(vectors)
            rows += [row] * len(vectors)
            others += [against] * len(vectors)
    return TextPairs(
        np.concatenate(shown),
        np.array(rows, dtype=np.int64),
        _padded(others) if lists else None,
        own=loss == "candidates",
    )


def text_search(
    material: Material,
    fold: Fold,
    texts: EntityTexts,
    loss: Loss,
    images: Images,
    gold_image: bool,
    progress: Progress | None,
) -> TextSearch:
    """The reviews with a usable image whose product has a text and is, for F1, among the candidates.

    Raises AmeliError when there is none.
    """
    beside = _lists.beside(fold, images, gold_image)
    lists = _lists.retrieved(fold) if loss == "candidates" else None
    found = review_images(material, fold.reviews, images, progress, beside)
    usable = [
        (review, vectors)
        for review, vectors in zip(fold.reviews, found, strict=True)
        if len(vectors) and fold.gold[review.id] in texts.row
    ]
    if not usable:
        raise no_images(fold)
    if lists is not None:
        usable = [(review, vectors) for review, vectors in usable if fold.gold[review.id] in lists[review.id]]
    if not usable:
        raise AmeliError(
            f"No review of {fold.name} with a readable image has its gold product among its candidates.",
            hint="Use a larger dev split, or more candidates.",
        )
    return TextSearch(
        images=np.concatenate([vectors for _, vectors in usable]),
        review_row=np.repeat(np.arange(len(usable)), [len(vectors) for _, vectors in usable]),
        gold=np.array([texts.row[fold.gold[review.id]] for review, _ in usable], dtype=np.int64),
        counts=np.bincount(list(texts.row.values()), minlength=len(texts.vectors)),
        lists=None if lists is None else _padded([texts.rows(lists[review.id]) for review, _ in usable]),
    )


def _padded(rows: Sequence[Sequence[int]]) -> Numbers:
    """[n, k], with -1 behind the shorter ones."""
    found = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int64)
    for row, several in enumerate(rows):
        found[row, : len(several)] = several
    return found
