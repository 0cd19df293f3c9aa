"""The knowledge base and the reviews' images as vectors, shared by the baselines of one table."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.load import Dataset
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.types import Attributes, Review
from eval.baselines.baseline import Floats
from retrieval.index import Index
from retrieval.manifest import EncoderStamp, require_image_encoder
from retrieval.retrievers.retriever import image_vectors, make_queries

Made = TypeVar("Made")


@dataclass
class Material:
    """Products with their attributes and vectors.

    The images of a review are encoded once and kept, and so is what rows have in common (``once``).
    ``images`` names the image encoder of the index by which they are compared, "" for its first.
    """

    dataset: Dataset
    index: Index
    attributes: Mapping[EntityId, Attributes]
    images: str = ""
    _review_images: dict[ReviewId, Floats] = field(default_factory=dict, repr=False)
    _product_images: dict[EntityId, Floats] = field(default_factory=dict, repr=False)
    _once: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, dataset: Dataset, index: Index, images: str = "") -> Material:
        """The material of a dataset with its index. Raises AmeliError when that is without the encoder."""
        attributes = {p.id: attribute_dictionary(p) for p in dataset.products.values()}
        if images:
            require_image_encoder(index.manifest, images)
        return cls(dataset, index, attributes, images)

    @property
    def image_stamp(self) -> EncoderStamp | None:
        """Which image encoder it is; None in an index without any."""
        return self.index.manifest.image(self.images)

    def require_images(self) -> EncoderStamp:
        """Which image encoder it is. Raises AmeliError in an index without any."""
        return require_image_encoder(self.index.manifest, self.images)

    @property
    def image_encoder(self) -> str:
        """Name, model and revision of the image encoder; "" without one."""
        stamp = self.image_stamp
        return "" if stamp is None else str(stamp)

    @property
    def image_vectors(self) -> Floats:
        """[images, d], L2-normalised, of the products, in the order of ``index.image_owner``."""
        return self.index.image_vectors(self.images)

    @property
    def image_dimension(self) -> int:
        """d, the size of an image vector."""
        return int(self.image_vectors.shape[1])

    def product_images(self, entity_id: EntityId) -> Floats:
        """[images, d], L2-normalised, in the order of the record; no rows without a usable image."""
        if not self._product_images:
            owners, starts = np.unique(self.index.image_owner, return_index=True)
            parts = np.split(np.asarray(self.image_vectors), starts[1:])
            ids = [self.index.product_ids[row] for row in owners]
            self._product_images = dict(zip(ids, parts, strict=True)) if len(owners) else {}
        return self._product_images.get(entity_id, np.zeros((0, self.image_dimension), np.float32))

    def review_images(self, reviews: Sequence[Review]) -> list[Floats]:
        """[images, d] for each review, as ``product_images``."""
        missing = [review for review in reviews if review.id not in self._review_images]
        encoder = self.index.image_encoder(self.images)
        if encoder is None:
            return [np.zeros((0, self.image_dimension), np.float32) for _ in reviews]
        found = image_vectors(make_queries(missing, self.dataset.review_image), encoder)
        self._review_images.update(zip((review.id for review in missing), found, strict=True))
        return [self._review_images[review.id] for review in reviews]

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What ``make`` gives, made for the first who asks under that key and kept as long as the material.

        The key has to say everything that decides it. Nobody may change what is kept.
        """
        if key not in self._once:
            self._once[key] = make()
        made: Made = self._once[key]
        return made
