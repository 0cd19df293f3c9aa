"""Product texts as vectors: equal texts have one vector, so that they get exactly equal scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, cast

import numpy as np

import ameli_llm
from ameli_llm.ids import EntityId
from ameli_llm.types import Product, Progress
from eval.baselines.baseline import Floats
from eval.baselines.material import Material
from retrieval.encoders.encoder import normalised

Text: TypeAlias = Literal["description", "title", "title+description"]

LIMIT = 2000
"""Characters of a product text, beyond what any of the encoders reads."""

STEP = 256
FILE = "vectors.npy"


class _TextTower(Protocol):
    def encode_texts(self, texts: list[str]) -> Floats: ...


@dataclass(frozen=True)
class EntityTexts:
    """The different texts [u, d], L2-normalised, and the row of each product that has one."""

    vectors: Floats
    row: Mapping[EntityId, int]

    def rows(self, products: Iterable[EntityId]) -> list[int]:
        """The row of each product's text, -1 where it has none."""
        return [self.row.get(product, -1) for product in products]


def entity_texts(material: Material, text: Text, progress: Progress | None = None) -> EntityTexts:
    """The texts of all products of the index.

    They are encoded by the text tower of its image encoder where that has one (CLIP, cut at 77 tokens), else
    by its text encoder; encoded once and kept with the index. A product without a text has no row.
    """
    rows: dict[str, int] = {}
    row: dict[EntityId, int] = {}
    for entity in material.index.product_ids:
        found = _text(material.dataset.products[entity], text)
        if found:
            row[entity] = rows.setdefault(found, len(rows))

    def write(folder: Path) -> None:
        np.save(folder / FILE, _encoded(material, list(rows), progress), allow_pickle=False)

    tower = "image" if has_text_tower(material) else "text"
    place = material.index.derived(f"entity-{text}-{tower}-{ameli_llm.__version__}", write)
    return EntityTexts(np.load(place / FILE, allow_pickle=False), row)


def has_text_tower(material: Material) -> bool:
    """Whether the index's image encoder also encodes texts, into the same space."""
    stamp = material.image_stamp
    return stamp is not None and stamp.name == "clip"


def _encoded(material: Material, texts: list[str], progress: Progress | None) -> Floats:
    index = material.index
    if has_text_tower(material):
        encode = cast("_TextTower", index.image_encoder(material.images)).encode_texts
    else:
        encode = index.text_encoder.encode
    parts = [np.zeros((0, text_dimension(material)), np.float32)]
    for start in range(0, len(texts), STEP):
        parts.append(encode(texts[start : start + STEP]))
        if progress:
            progress("product texts", min(start + STEP, len(texts)), len(texts))
    return normalised(np.concatenate(parts))


def text_dimension(material: Material) -> int:
    """Length of a text vector."""
    index = material.index
    return material.image_dimension if has_text_tower(material) else int(index.manifest.text.dimension)


def _text(product: Product, text: Text) -> str:
    parts = {
        "description": (product.description,),
        "title": (product.name,),
        "title+description": (product.name, product.description),
    }[text]
    return ". ".join(words for part in parts if (words := " ".join(part.split())))[:LIMIT]
