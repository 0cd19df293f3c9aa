"""A small shop whose pictures and texts are points in a plane of features, for the tests of the towers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ameli_llm.dataset.folds import Fold
from ameli_llm.dataset.images import ImageProblem
from ameli_llm.dataset.load import Dataset
from ameli_llm.types import Candidate, Product, Review
from eval.baselines.baseline import Floats, Task
from eval.baselines.material import Material
from retrieval.encoders.encoder import normalised
from retrieval.index import Index
from retrieval.manifest import EncoderStamp, Manifest
from retrieval.snapshot import describe, embed

COLOURS, KINDS, SIZE = 6, 5, 24
REVIEWS = 4
"""Of each product; the last product has no picture, and no text."""


def features(colour: int, kind: int) -> Floats:
    found = np.zeros(COLOURS + KINDS, np.float32)
    found[[colour, COLOURS + kind]] = 1
    return found


def plane(seed: int) -> Floats:
    """How features become a vector."""
    random = np.random.default_rng(seed)
    return random.standard_normal((COLOURS + KINDS, SIZE)).astype(np.float32)


class Pictures:
    """Reads "colour kind seed" from a file; photos of reviews (seed > 0) lie in another light."""

    model, revision, dimension = "", "1", SIZE

    def __init__(self, name: str) -> None:
        self.name = name
        self._shop, self._light, self._words = plane(1), plane(2), plane(3)

    def encode_images(self, paths: Sequence[Path]) -> list[Floats | ImageProblem]:
        return [self._vector(*map(int, path.read_text().split())) for path in paths]

    def _vector(self, colour: int, kind: int, seed: int) -> Floats:
        noise = np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)
        shown = features(colour, kind) @ (self._shop + (1.5 * self._light if seed else 0))
        return normalised(shown + (0.5 if seed else 0.1) * noise)

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        return normalised(_parsed(texts) @ (self._shop + self._words))


class Words:
    """Reads "colour C kind K" from a text, into a space of its own."""

    name, model, revision, dimension = "words", "folder/words", "1", 16

    def encode(self, texts: Sequence[str]) -> Floats:
        return normalised(_parsed(texts) @ plane(4)[:, :16])


def _parsed(texts: Sequence[str]) -> Floats:
    rows = []
    for text in texts:
        words = text.replace(".", " ").split()
        rows.append(features(int(words[words.index("colour") + 1]), int(words[words.index("kind") + 1])))
    return np.stack(rows)


@dataclass(frozen=True)
class World:
    """The shop, its reviews in two folds without a common product, and tasks of all reviews."""

    material: Material
    train: Fold
    dev: Fold

    def tasks(self, fold: Fold, k: int = 10, seed: int = 0) -> list[Task]:
        """Gold and ``k`` - 1 others, shuffled."""
        random = np.random.default_rng(seed)
        made = []
        for review in fold.reviews:
            gold = fold.gold[review.id]
            others = [i for i in self.material.dataset.products if i != gold]
            drawn = [gold, *(others[i] for i in random.choice(len(others), k - 1, replace=False))]
            ids = [drawn[i] for i in random.permutation(len(drawn))]
            made.append(Task(review, tuple(Candidate(id_, 0.0) for id_ in ids)))
        return made

    def listed(self, fold: Fold, k: int = 10, seed: int = 0) -> Fold:
        """The fold with the candidates of its ``tasks``."""
        tasks = self.tasks(fold, k, seed)
        return replace(fold, candidates={task.review.id: tuple(task.entity_ids) for task in tasks})

    def accuracy(self, fold: Fold, baseline: object) -> float:
        tasks = self.tasks(fold)
        scored = baseline.score(tasks)  # type: ignore[attr-defined]
        hits = [
            task.entity_ids[int(np.nan_to_num(one.total, nan=-9).argmax())] == fold.gold[task.review.id]
            for task, one in zip(tasks, scored, strict=True)
        ]
        return float(np.mean(hits))


def make_world(
    root: Path, image_encoder: str = "pictures", views: int = 1, name: Callable[[int], int | str] = int
) -> World:
    """Each product has ``views`` pictures, the second and further ones in other colours.

    ``name`` makes ids of the numbers of products and reviews.
    """
    for folder in ("product_images", "review_images", "index"):
        (root / folder).mkdir(parents=True)
    products, reviews, gold, held = [], [], {}, set()
    looks = [(c, k) for c in range(COLOURS) for k in range(KINDS)]
    for number, (colour, kind) in enumerate(looks):
        id_, bare = 100 + number, number == len(looks) - 1
        images = () if bare else tuple(f"{id_}-{view}.txt" for view in range(views))
        for view, picture in enumerate(images):
            look = f"{(colour + view) % COLOURS} {kind} 0"
            (root / "product_images" / picture).write_text(look)
        text = "" if bare else f"colour {colour} kind {kind}"
        if id_ % 4 == 0 or bare:
            held.add(name(id_))
        products.append(
            Product(name(id_), f"Thing {id_} colour {colour} kind {kind}", (), text, images=images)
        )
        for copy in range(REVIEWS):
            review = 1 + number * REVIEWS + copy
            (root / "review_images" / f"{review}.txt").write_text(f"{colour} {kind} {review}")
            reviews.append(Review(name(review), images=(f"{review}.txt",)))
            gold[name(review)] = name(id_)
    dataset = Dataset(root, products)
    encoders = Pictures(image_encoder), Words()
    snapshot = embed(
        describe(products, dataset.product_image), dataset.product_image, encoders[1], [encoders[0]], None, {}
    )
    manifest = Manifest(
        dataset_digest=dataset.digest,
        kb_version=snapshot.kb_version,
        text=EncoderStamp.of(encoders[1]),
        image_encoders=(EncoderStamp.of(encoders[0]),),
        products=len(products),
        images=len(snapshot.image_owner),
        unusable_images=0,
    )
    index = Index(root / "index", root / "index", manifest, snapshot)
    index.loaded_image_encoders[encoders[0].name] = encoders[0]
    index.__dict__.update(text_encoder=encoders[1])

    def fold(name: str, keep: bool) -> Fold:
        chosen = tuple(review for review in reviews if (gold[review.id] in held) == keep)
        return Fold(name, chosen, {review.id: gold[review.id] for review in chosen})

    return World(Material.of(dataset, index), fold("train", False), fold("dev", True))
