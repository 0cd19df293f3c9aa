"""The reviews of the page: those of a split, found by their words, and those that are pasted."""

from __future__ import annotations

from typing import Any

from ameli_llm.dataset.images import thumbnail
from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.errors import AmeliError
from ameli_llm.types import Review
from eval.workbench.asked import ReviewAsked
from eval.workbench.photos import QUALITY, SIDE, Photos

LISTED = 50
"""Reviews that one search gives."""


class Reviews:
    """The reviews of a split by the text of their id, and the photos of pasted ones. Threads may share it."""

    def __init__(self, dataset: Dataset, split: Split) -> None:
        self.photos = Photos()
        self._dataset = dataset
        self._split = split
        self._by_id = {str(review.id): review for review in split.reviews}

    def found(self, search: str) -> dict[str, Any]:
        """The first reviews that have the words in their id, mention, header or body, and how many have."""
        sought = search.casefold().split()
        found = [one for one in self._split.reviews if _has(f"{one.id} {one.mention} {one.text}", sought)]
        listed = [
            {"id": str(one.id), "mention": one.mention, "start": one.text[:80]} for one in found[:LISTED]
        ]
        return {"found": len(found), "reviews": listed}

    def whole(self, id_: str) -> dict[str, Any]:
        """A review of the split. Raises AmeliError when there is none of that id."""
        return {"id": id_, **words(self._known(id_))}

    def photo(self, id_: str, number: int) -> bytes:
        """A small WebP of a photo of a review of the split. Raises AmeliError when there is none."""
        images = self._known(id_).images
        path = self._dataset.review_image(images[number]) if 0 <= number < len(images) else None
        if path is None:
            raise AmeliError(f"Review {id_} has no such photo.")
        return thumbnail(path, SIDE, QUALITY)

    def asked(self, asked: ReviewAsked) -> Review:
        """The review that a request means. Raises AmeliError when it is not there, or empty."""
        if asked.id:
            return self._known(asked.id)
        if not (asked.header + asked.body + asked.mention).strip() and not asked.photo:
            raise AmeliError("The review is empty.", hint="Paste one, or pick one of the dataset.")
        images = (str(self.photos.path(asked.photo)),) if asked.photo else ()
        return Review("pasted", asked.header, asked.body, asked.mention.strip(), images)

    def close(self) -> None:
        """Removes the photos."""
        self.photos.close()

    def _known(self, id_: str) -> Review:
        if id_ not in self._by_id:
            raise AmeliError(f"No review {id_[:80]!r} in split {self._split.name!r}.")
        return self._by_id[id_]


def words(review: Review) -> dict[str, Any]:
    """What a review says, and how many photos it has."""
    return {
        "mention": review.mention,
        "header": review.header,
        "body": review.body,
        "images": len(review.images),
    }


def _has(text: str, sought: list[str]) -> bool:
    folded = text.casefold()
    return all(word in folded for word in sought)
