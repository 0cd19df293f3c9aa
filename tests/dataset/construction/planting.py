"""A synthetic twin as a shop's raw dump, with something wrong planted for every rule that should find it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ameli_llm.dataset.synth import write_twin

Row = dict[str, Any]

GONE = 999_999
SWEAR = "bullshit"
LONG = (
    "We keep it out in the garage, where it has been humming along for eleven months now without a single "
    "complaint from anybody, and when the lights went out in March it came back on by "
    "itself while we were still looking for candles in the drawer under the stairs."
)


@dataclass
class Planted:
    """A raw folder, and what a build has to find in it: reason by review id, and products by reason."""

    raw: Path
    reviews: dict[int, str] = field(default_factory=dict)
    products: dict[int, str] = field(default_factory=dict)
    relinked: dict[int, int] = field(default_factory=dict)
    alike: tuple[int, int] = (0, 0)
    same_photo: tuple[int, int] = (0, 0)
    clean: list[int] = field(default_factory=list)


def plant(raw: Path) -> Planted:
    """Writes the dump: products as AMELI records, reviews with a shop's own columns."""
    write_twin(raw, products=20, reviews=60, seed=3)
    products: list[Row] = json.loads((raw / "products.json").read_text(encoding="utf-8"))
    rows = [_row(record) for split in ("train", "dev", "test") for record in _records(raw, split)]
    rows = sorted(
        (row for row in rows if row["sku"] is not None and row["photos"]), key=lambda r: r["reviewId"]
    )
    for split in ("train", "dev", "test", "cleaned_review_images"):
        shutil.rmtree(raw / split)
    names = {product["id"]: _noun(product) for product in products}
    for row in rows:
        row["title"] = f"{row['title']} {names[row['sku']]}"
    planted = Planted(raw)
    _spoil_products(planted, products, {row["sku"] for row in rows})
    rows = [row for row in rows if row["sku"] not in planted.products]
    rows += _spoil_reviews(planted, rows, [product["id"] for product in products])
    planted.clean = sorted({row["reviewId"] for row in rows} - planted.reviews.keys())
    (raw / "products.json").write_text(json.dumps(products), encoding="utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (raw / "reviews.jsonl").write_text(lines + "no JSON at all\n", encoding="utf-8")
    return planted


def _records(raw: Path, split: str) -> list[Row]:
    records: list[Row] = json.loads((raw / split / "reviews.json").read_text(encoding="utf-8"))
    return records


def _row(record: Row) -> Row:
    """A review as the shop's search gives it."""
    feedback = record["feedback"]
    return {
        "reviewId": record["review_id"],
        "title": record["header"],
        "comment": record["body"],
        "sku": record["gold_entity_info"]["id"],
        "photos": record["review_image_path"],
        "helpfulVotes": feedback["number_helpful"] + 1,
        "unhelpfulVotes": feedback["number_unhelpful"],
        "productDetails": {"sku": record["gold_entity_info"]["id"]},
    }


def _noun(product: Row) -> str:
    return str(product["product_category"]).split(" -> ")[-1].removeprefix("All ")


def _spoil_products(planted: Planted, products: list[Row], reviewed: set[int]) -> None:
    spare = [product for product in products if product["id"] in reviewed][:3]
    spare[0]["image_path"] = []
    planted.products[spare[0]["id"]] = "names no image"
    for name in spare[1]["image_path"]:
        _cut(planted.raw / "product_images" / name)
    planted.products[spare[1]["id"]] = "has no image that can be used"
    products.append(dict(products[-1]))


def _spoil_reviews(planted: Planted, rows: list[Row], ids: list[int]) -> list[Row]:
    """Spoils the first reviews, one in each way; returns rows that have to be added."""
    left = iter(rows)
    alive = [id_ for id_ in ids if id_ not in planted.products]

    def spoil(reason: str, **changes: Any) -> Row:
        row = next(left)
        row |= changes
        planted.reviews[row["reviewId"]] = reason
        return row

    spoil("no_images: names no image", photos=[], title="<script>alert(1)</script>")
    spoil("length: has more than 500 tokens", comment="very long " * 300)
    spoil("unhelpful: is only voted unhelpful", helpfulVotes=0, unhelpfulVotes=2)
    spoil("variant: names a variant that is not in the knowledge base", productDetails={"sku": GONE})
    spoil(
        "variant: is filed under a variant that its product details contradict",
        productDetails={"Brand": "Nobody makes this"},
    )
    spoil("profanity: has a word of the block list", comment=f"What {SWEAR.title()}!")
    spoil("names a product that is not among the products", sku=GONE, productDetails=None)
    dead = next(id_ for id_ in planted.products)
    spoil("its product was dropped", sku=dead, productDetails=None)
    for name in spoil("readable_images: has no image that can be used")["photos"]:
        _cut(planted.raw / "review_images" / name)
    for name in spoil("readable_images: has no image that can be used")["photos"]:
        (planted.raw / "review_images" / name).unlink()
    spoil("has no words that name its product", title="Fine", comment="It does what it should, every day.")
    wrong = next(left)
    right = wrong["sku"]
    wrong["sku"] = next(id_ for id_ in alive if id_ != right)
    planted.relinked[wrong["reviewId"]] = right
    twice = next(left)
    first, second = next(left), _of_another(rows, left)
    second["comment"] = first["comment"] = LONG
    planted.alike = (first["reviewId"], second["reviewId"])
    third, fourth = next(left), _of_another(rows, left)
    name = f"again-{third['photos'][0]}"
    shutil.copyfile(*(planted.raw / "review_images" / one for one in (third["photos"][0], name)))
    fourth["photos"] = [name]
    planted.same_photo = (third["reviewId"], fourth["reviewId"])
    return [twice | {"sku": next(id_ for id_ in alive if id_ != twice["sku"])}]


def _of_another(rows: list[Row], left: Any) -> Row:
    """The next row whose product no earlier row has."""
    for row in left:
        before = rows[: rows.index(row)]
        if row["sku"] not in {other["sku"] for other in before}:
            return row
    raise AssertionError("the twin has too few reviewed products")


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
