"""Sheets for people: one HTML file each, with reviews and the products to choose among; gold lies in a key.

A sheet needs no network and may run one script only, which saves the answers as a file. Nothing in it tells
which option is right: they stand in an order by a hash, named by letters, their pictures made anew.
"""

from __future__ import annotations

import base64
import hashlib
import io
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm.dataset.attributes import attribute_dictionary
from ameli_llm.dataset.construction.human.options import product_images, similar_images, similar_titles
from ameli_llm.dataset.construction.similarity import Tools
from ameli_llm.dataset.dataset import Dataset
from ameli_llm.dataset.images import ImageProblem, open_image
from ameli_llm.errors import AmeliError
from ameli_llm.files import new_folder, write_json, write_text
from ameli_llm.ids import EntityId
from ameli_llm.types import Product, Progress, Review, no_progress

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
KEY = "key.json"
MOST_ATTRIBUTES = 12
MOST_PHOTOS = 4
THUMBNAIL = 200
"""Longest side in pixels of a picture on a sheet."""


@dataclass(frozen=True)
class SheetSettings:
    """``similar``: products by title, and as many by image. ``per_sheet``: reviews of one file."""

    split: str = "test"
    similar: int = 10
    per_sheet: int = 100
    seed: int = 0


@dataclass(frozen=True)
class Item:
    """A review and the products to choose among, in the order of the sheet; gold is one of them."""

    review: Review
    options: tuple[EntityId, ...]
    gold: EntityId


def write_sheets(
    dataset: Dataset, out: Path, settings: SheetSettings, tools: Tools, progress: Progress = no_progress
) -> list[Path]:
    """Writes sheet-001.html and so on, and key.json, into the new folder ``out``; returns the sheets.

    The key holds the right answers: it is not for those who answer. Raises AmeliError when the split has no
    review with a product of the knowledge base, when ``similar`` gives more options than letters, or when
    there is no text encoder.
    """
    if not 1 <= settings.similar <= (len(LETTERS) - 1) // 2:
        most = (len(LETTERS) - 1) // 2
        raise AmeliError(f"--similar {settings.similar} is not between 1 and {most}.")
    items = _items(dataset, settings, tools, progress)
    parts = [items[n : n + settings.per_sheet] for n in range(0, len(items), settings.per_sheet)]
    names = [f"sheet-{number:03d}.html" for number in range(1, len(parts) + 1)]
    with new_folder(out) as draft:
        keys = {}
        for number, (name, part) in enumerate(zip(names, parts, strict=True), start=1):
            # A name by chance: answers to one sheet cannot be taken for those to another.
            id_ = secrets.token_hex(8)
            write_text(draft / name, _html(dataset, id_, part))
            keys[id_] = {"file": name, "items": [_key(item) for item in part]}
            progress("sheets", number, len(parts))
        about = {"dataset": dataset.digest, "split": settings.split, "seed": settings.seed}
        write_json(draft / KEY, about | {"tools": tools.names, "sheets": keys})
    return [out / name for name in names]


def _items(dataset: Dataset, settings: SheetSettings, tools: Tools, progress: Progress) -> list[Item]:
    split = dataset.split(settings.split)
    reviews = [(review, split.gold.get(review.id)) for review in split.reviews]
    linked = [(review, gold) for review, gold in reviews if gold is not None and gold in dataset.products]
    if not linked:
        raise AmeliError(f"No review of {settings.split} has a product of the knowledge base.")
    if tools.text is None:
        raise AmeliError("The options of a sheet need a text encoder.")
    golds = list(dict.fromkeys(gold for _, gold in linked))
    titles = similar_titles(dataset, golds, tools.text, settings.similar, progress)
    images: Mapping[EntityId, Sequence[EntityId]] = (
        similar_images(dataset, golds, tools.image, settings.similar, progress) if tools.image else {}
    )
    items = []
    for review, gold in linked:
        every = dict.fromkeys([gold, *titles[gold], *images.get(gold, ())])
        options = sorted(every, key=lambda id_: _order(settings.seed, review.id, id_))
        items.append(Item(review, tuple(options), gold))
    return items


def _order(seed: int, review_id: object, product_id: object) -> bytes:
    return hashlib.sha256(f"{seed} {review_id!r} {product_id!r}".encode()).digest()


def _key(item: Item) -> dict[str, Any]:
    return {
        "review_id": item.review.id,
        "options": list(item.options),
        "gold": LETTERS[item.options.index(item.gold)],
    }


def _html(dataset: Dataset, id_: str, items: Sequence[Item]) -> str:
    import jinja2

    folder = Path(__file__).parent / "templates"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("sheet.css", "sheet.js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("sheet.html.j2").render(
        id=id_,
        items=[_item(dataset, item) for item in items],
        style=style,
        script=script,
        style_hash=_csp_hash(style),
        script_hash=_csp_hash(script),
    )


def _item(dataset: Dataset, item: Item) -> dict[str, Any]:
    review = item.review
    photos = [file for name in review.images if (file := dataset.review_image(name)) is not None]
    return {
        "header": review.header,
        "body": review.body,
        "mention": review.mention,
        "photos": _thumbnails(photos, MOST_PHOTOS),
        "options": [
            _option(dataset, letter, dataset.products[id_])
            for letter, id_ in zip(LETTERS, item.options, strict=False)
        ],
    }


def _option(dataset: Dataset, letter: str, product: Product) -> dict[str, Any]:
    attributes = [(key, ", ".join(values)) for key, values in attribute_dictionary(product).items()]
    return {
        "letter": letter,
        "name": product.name,
        "attributes": attributes[:MOST_ATTRIBUTES],
        "photos": _thumbnails(product_images(dataset, product), 1),
    }


def _thumbnails(files: Sequence[Path], most: int) -> list[str]:
    """The first pictures that can be opened, as data addresses; nothing of the files but what they show."""
    found: list[str] = []
    for file in files:
        if len(found) == most:
            break
        try:
            picture = open_image(file)
        except ImageProblem:
            continue
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=75)
        found.append(f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}")
    return found


def _csp_hash(text: str) -> str:
    """The hash by which a content security policy lets an inline style or script pass."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
