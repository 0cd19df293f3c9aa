"""The twin's files: which product belongs to which review, ids, splits, JSON and JPEG."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ameli_llm.dataset.synth.canvas import Fonts
from ameli_llm.dataset.synth.catalogue import Catalogue
from ameli_llm.dataset.synth.pages import product_record
from ameli_llm.dataset.synth.photos import product_image, review_photo
from ameli_llm.dataset.synth.products import Item, families, generator, title
from ameli_llm.dataset.synth.reviews import Draft, load_phrases, write_review
from ameli_llm.types import Progress

NIL_SHARE = 0.06
SPLITS = (("train", 0.70), ("dev", 0.10), ("test", 0.20))


@dataclass(frozen=True)
class Plan:
    """The twin before any file is written.

    ``items`` are the KB, position + 1 is the id. ``golds`` gives each review's product: a position in
    ``items`` or, from ``len(items)`` on, in ``strangers``, products that are not in the KB.
    """

    seed: int
    difficulty: float
    items: tuple[Item, ...]
    strangers: tuple[Item, ...]
    golds: tuple[int, ...]
    splits: tuple[str, ...]

    def gold(self, review: int) -> Item:
        """The product that a review (by position) is about."""
        number = self.golds[review]
        return self.items[number] if number < len(self.items) else self.strangers[number - len(self.items)]


def make_plan(catalogue: Catalogue, products: int, reviews: int, seed: int, difficulty: float) -> Plan:
    """Products, their ids, each review's product and split."""
    stream = families(catalogue, seed, difficulty, products)
    items: list[Item] = []
    strangers: list[Item] = []
    while len(items) < products:
        family = next(stream)
        items += [Item(family, variant) for variant in family.variants]
        strangers += [Item(family, variant) for variant in family.held_out]
    strangers += [Item(f, f.variants[0]) for f, _ in zip(stream, range(len(strangers) + 1), strict=False)]
    items = [items[int(i)] for i in generator(seed, "ids").permutation(products)]
    golds = _golds(products, len(strangers), reviews, seed)
    return Plan(seed, difficulty, tuple(items), tuple(strangers), golds, _splits(golds, products, seed))


def _golds(products: int, strangers: int, reviews: int, seed: int) -> tuple[int, ...]:
    rng = generator(seed, "golds")
    golds = rng.integers(products, size=reviews)
    outside = rng.permutation(reviews)[: round(NIL_SHARE * reviews)]
    golds[outside] = products + rng.integers(strangers, size=len(outside))
    return tuple(int(g) for g in golds)


def _splits(golds: Sequence[int], products: int, seed: int) -> tuple[str, ...]:
    """Whole products to splits until each has its share of the reviews; those outside the KB on their own."""
    split_of: dict[int, str] = {}
    for inside in (True, False):
        counts = Counter(sorted(g for g in golds if (g < products) == inside))
        distinct, done = list(counts), 0.0
        for position in generator(seed, "splits", int(inside)).permutation(len(distinct)):
            gold = distinct[int(position)]
            split_of[gold] = _split_at((done + counts[gold] / 2) / counts.total())
            done += counts[gold]
    return tuple(split_of[g] for g in golds)


def _split_at(share: float) -> str:
    for name, part in SPLITS:
        if share < part:
            return name
        share -= part
    return SPLITS[-1][0]


def write_products(plan: Plan, out: Path, fonts: Fonts | None, progress: Progress | None) -> None:
    """products.json and, with ``fonts`` to print on them, product_images/."""
    if fonts:
        (out / "product_images").mkdir()
    records = []
    for position, item in enumerate(plan.items):
        rng = generator(plan.seed, "product", position)
        names = [f"{position + 1:07d}{ending}.jpg" for ending in ("_sd", "cv11d", "cv12d")]
        names = names[: int(rng.integers(1, 4))]
        if fonts:
            for view, name in enumerate(names):
                _save(product_image(item, view, fonts), out / "product_images" / name, 88)
        else:
            names = []
        records.append(product_record(item, position + 1, plan.seed, names))
        if progress:
            progress("products", position + 1, len(plan.items))
    _dump(records, out / "products.json")


def write_reviews(
    plan: Plan, out: Path, catalogue: Catalogue, fonts: Fonts | None, progress: Progress | None
) -> None:
    """SPLIT/reviews.json and, with ``fonts``, review_images/ and, for about 70 % of the photos, their crops.

    The crops are in cleaned_review_images/.
    """
    pictures = ("review_images", "cleaned_review_images") if fonts else ()
    for folder in (*pictures, *(name for name, _ in SPLITS)):
        (out / folder).mkdir()
    records: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in SPLITS}
    for position, draft in enumerate(drafts(plan, catalogue)):
        names = _write_photos(plan, draft, position + 1, out, fonts) if fonts else []
        records[plan.splits[position]].append(_review_record(plan, draft, position, names))
        if progress:
            progress("reviews", position + 1, len(plan.golds))
    for name, rows in records.items():
        _dump(rows, out / name / "reviews.json")


def drafts(plan: Plan, catalogue: Catalogue) -> Iterator[Draft]:
    """The reviews in the order of their ids, with their provenance."""
    phrases = load_phrases()
    for position in range(len(plan.golds)):
        yield write_review(plan.gold(position), position + 1, plan.seed, plan.difficulty, phrases, catalogue)


def _write_photos(plan: Plan, draft: Draft, review_id: int, out: Path, fonts: Fonts) -> list[str]:
    names = []
    for number, photo in enumerate(draft.photos):
        rng = generator(plan.seed, "photo", review_id, number)
        picture, box = review_photo(draft.item, photo, rng, plan.difficulty, fonts)
        name = f"{review_id:07d}-{int(rng.integers(16**6)):06x}.jpg"
        quality = int(rng.integers(35, 81))
        _save(picture, out / "review_images" / name, quality)
        if rng.random() < 0.7:
            _save(picture.crop(box), out / "cleaned_review_images" / name, quality)
        names.append(name)
    return names


def _review_record(plan: Plan, draft: Draft, position: int, images: list[str]) -> dict[str, Any]:
    gold = plan.golds[position]
    helpful, unhelpful = draft.votes
    return {
        "review_id": position + 1,
        "user": draft.user,
        "header": draft.header,
        "body": draft.body,
        "rating": str(draft.rating),
        "recommendation": "Yes" if draft.rating > 2 else "No",
        "feedback": {"number_helpful": helpful, "number_unhelpful": unhelpful},
        "mention": draft.mention,
        "review_image_path": images,
        "review_image_url": [f"https://example.org/reviews/{name}" for name in images],
        "gold_entity_info": {
            "id": gold + 1 if gold < len(plan.items) else None,
            "product_name": title(draft.item),
            "product_category": " -> ".join(draft.item.family.category.path),
        },
    }


def _save(image: Image.Image, path: Path, quality: int) -> None:
    image.save(path, "JPEG", quality=quality)


def _dump(records: list[dict[str, Any]], path: Path) -> None:
    text = json.dumps(records, indent=4, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
