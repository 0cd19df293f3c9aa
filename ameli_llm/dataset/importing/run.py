"""Makes a dataset of tables as a plan says: whole or not at all, with an account of everything left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ameli_llm.dataset.importing.fields import Kind, plain
from ameli_llm.dataset.importing.losses import LeftOutError, Loss, Losses
from ameli_llm.dataset.importing.pictures import Pictures
from ameli_llm.dataset.importing.plan import Plan
from ameli_llm.dataset.importing.records import Note, ProductReader, Record, ReviewReader, check_record
from ameli_llm.dataset.importing.tables.table import Row, Table
from ameli_llm.dataset.records import clean
from ameli_llm.dataset.writing import RecordFile
from ameli_llm.files import new_folder
from ameli_llm.ids import EntityId, ReviewId
from ameli_llm.types import Progress

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "val", "valid", "validation", "development"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What rows and names of files call a split."""

_IMAGES: Mapping[Kind, tuple[str, ...]] = {
    "products": ("image_path",),
    "reviews": ("review_image_path", "review_image_path_before_select"),
}
_STEP = 1000


@dataclass(frozen=True)
class Imported:
    """What an import made: ``products``, ``reviews`` by split, files of ``images``, and what it left out."""

    rows: Mapping[Kind, int]
    products: int
    reviews: Mapping[str, int]
    images: int
    losses: tuple[Loss, ...]


def import_dataset(
    plan: Plan,
    out: Path,
    *,
    images: Path | None = None,
    outside_is_nil: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Writes the dataset ``out``, which must be empty or absent; a killed import leaves nothing there.

    Image paths are relative to ``images`` or, without it, to the folder of the file that names them; those
    that lead elsewhere are left out. Images are copied. A gold product that is not among the products stays
    what it is, an error of the dataset, unless ``outside_is_nil``: then it is known to be outside the KB.

    Rows are read one by one: the memory needed grows with the number of ids and images, not with the files
    (a JSON array is held whole). Raises AmeliError when a file cannot be read, or nothing can be written.
    """
    with new_folder(out) as draft:
        return _Import(plan, draft, images, outside_is_nil, progress).run()


class _Import:
    def __init__(
        self, plan: Plan, draft: Path, images: Path | None, outside_is_nil: bool, progress: Progress | None
    ) -> None:
        self._plan = plan
        self._draft = draft
        self._images = images
        self._outside_is_nil = outside_is_nil
        self._progress = progress
        self._losses = Losses()
        self._product_ids: dict[str, EntityId] = {}
        self._done: Counter[Kind] = Counter()
        self._pictures: dict[Kind, Pictures] = {
            "products": Pictures(draft / "product_images", ("", "product_images")),
            "reviews": Pictures(
                draft / "review_images", ("", "review_images"), draft / "cleaned_review_images"
            ),
        }

    def run(self) -> Imported:
        """Writes everything into the draft."""
        with RecordFile(self._draft / "products.json") as file:
            for record in self._products():
                file.write(record)
        splits: Counter[str] = Counter()
        with ExitStack() as stack:
            files: dict[str, RecordFile] = {}
            for split, record in self._reviews():
                if split not in files:
                    files[split] = stack.enter_context(RecordFile(self._draft / split / "reviews.json"))
                files[split].write(record)
                splits[split] += 1
        return Imported(
            rows=dict(self._done),
            products=len(self._product_ids),
            reviews={name: splits[name] for name in ("train", "dev", "test") if splits[name]},
            images=sum(pictures.copied for pictures in self._pictures.values()),
            losses=self._losses.all(),
        )

    def _products(self) -> Iterator[Record]:
        part, columns = self._plan.mapping.products, self._plan.columns["products"]
        for table in self._plan.tables["products"]:
            reader = ProductReader(part, columns, table.typed)
            for row in self._rows("products", table):
                place = table.place(row.position)
                try:
                    record = (
                        row.values if part.records == "ameli" else reader.read(row.values, self._note(place))
                    )
                    id_ = check_record("products", record).id
                    if str(id_) in self._product_ids:
                        raise LeftOutError("repeats the id of an earlier row")
                except LeftOutError as reason:
                    self._losses.add("product", str(reason), place)
                    continue
                self._product_ids[str(id_)] = id_
                yield self._with_pictures("products", record, table, place)

    def _reviews(self) -> Iterator[tuple[str, Record]]:
        """Each review with its split."""
        part, columns = self._plan.mapping.reviews, self._plan.columns["reviews"]
        seen: dict[str, set[str]] = {}
        for table in self._plan.tables["reviews"]:
            reader = ReviewReader(part, columns, table.typed)
            for row in self._rows("reviews", table):
                place = table.place(row.position)
                try:
                    if part.records == "ameli":
                        record, said = row.values, ""
                    else:
                        record, said = reader.read(row.values, self._id(place)), reader.split(row.values)
                    id_ = check_record("reviews", record).id
                    split = self._split(said, table, place)
                    if str(id_) in seen.setdefault(split, set()):
                        raise LeftOutError("repeats the id of an earlier row of its split")
                except LeftOutError as reason:
                    self._losses.add("review", str(reason), place)
                    continue
                seen[split].add(str(id_))
                yield split, self._with_pictures("reviews", self._with_gold(record), table, place)

    def _rows(self, kind: Kind, table: Table) -> Iterator[Row]:
        """The rows, cleaned, as they are counted."""
        total = self._plan.columns[kind].rows
        for row in table.rows(self._losses):
            self._done[kind] += 1
            if self._progress and (self._done[kind] % _STEP == 0 or self._done[kind] == total):
                self._progress(kind, self._done[kind], total)
            cleaned = clean(row.values)
            if cleaned.removed:
                self._losses.add("character", "is NUL or a lone surrogate", table.place(row.position))
            yield Row(row.position, cleaned.value)

    def _note(self, place: str) -> Note:
        return lambda what, reason: self._losses.add(what, reason, place)

    def _id(self, place: str) -> ReviewId:
        """The id of a review without one: its number, or its place where other reviews have ids."""
        return place if self._plan.mapping.reviews.columns_of("id") else self._done["reviews"]

    def _split(self, said: str, table: Table, place: str) -> str:
        """The split of a review: as it says, as the plan says, as the name of its file says, or test."""
        if said in _SPLITS:
            return _SPLITS[said]
        if said:
            raise LeftOutError("names a split that is none of train, dev and test")
        return self._plan.mapping.split or _split_of(table.path)

    def _with_gold(self, record: Record) -> Record:
        """The record with the id of its gold product as the product has it, or as the caller wants it."""
        gold = record.get("gold_entity_info")
        if not isinstance(gold, dict) or gold.get("id") is None:
            return record
        product = self._product_ids.get(str(gold["id"]))
        if product is None and not self._outside_is_nil:
            return record
        return record | {"gold_entity_info": gold | {"id": product}}

    def _with_pictures(self, kind: Kind, record: Record, table: Table, place: str) -> Record:
        """The record with the names of its images that were copied."""
        names: dict[str, list[str]] = {}
        for field in _IMAGES[kind]:
            if record.get(field):
                names[field] = list(dict.fromkeys(self._taken(kind, record[field], table, place)))
        return record | names

    def _taken(self, kind: Kind, paths: Sequence[str], table: Table, place: str) -> Iterator[str]:
        for path in paths:
            try:
                yield self._pictures[kind].take(path, self._folders(table))
            except LeftOutError as reason:
                self._losses.add("image", str(reason), f"{place} {path[:80]!r}")

    def _folders(self, table: Table) -> list[Path]:
        """Where image paths of the table may start: its own folder, and one above it that has a file too."""
        if self._images is not None:
            return [self._images]
        own = table.path.parent.absolute()
        every = [t.path.parent.absolute() for tables in self._plan.tables.values() for t in tables]
        top = Path(os.path.commonpath(every))
        return [own, top] if top in every and top != own else [own]


def _split_of(path: Path) -> str:
    """The split that a file's name or else its folder's names ("train.csv", "dev/reviews.json"), or test."""
    for name in (path.stem, path.absolute().parent.name):
        for word in reversed(plain(name).split()):
            if word in _SPLITS:
                return _SPLITS[word]
    return "test"
