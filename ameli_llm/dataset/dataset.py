"""A knowledge base of products with its splits of reviews, read from a folder or made by a program."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from ameli_llm.dataset.content import products_digest
from ameli_llm.dataset.files import RawRecord
from ameli_llm.dataset.image_files import DatasetImages, ImageFiles
from ameli_llm.dataset.problems import Problem
from ameli_llm.dataset.readers import open_readers
from ameli_llm.dataset.readers.reader import SPLITS, Reader
from ameli_llm.dataset.split import Split, read_split
from ameli_llm.dataset.unique_ids import UniqueIds
from ameli_llm.errors import AmeliError, UnknownNameError
from ameli_llm.ids import EntityId
from ameli_llm.types import Product


class Dataset:
    """Products, the splits that the ``readers`` of its folder find, and the files of its images.

    ``root`` is the folder, None when a program made the products. ``name`` is what people call it by;
    ``key`` tells it from every other dataset of this machine, as part of a file name. ``products`` keeps
    the order of the file. ``digest`` is the sha256 of the products' content, whatever their order in the
    file (image names, not their bytes). ``layout`` is the name of the reader that found the products, "" when
    none did.

    ``place`` is what ``key`` is made from: where the products lie or, for those that lie nowhere, any text.
    Raises AmeliError when two products have one id, or ids of the same text.
    """

    def __init__(
        self,
        root: Path | None,
        products: Iterable[Product],
        problems: Iterable[Problem] = (),
        *,
        name: str | None = None,
        layout: str = "",
        place: str | None = None,
        images: ImageFiles | None = None,
        readers: Sequence[Reader] | None = None,
    ) -> None:
        self.root = root
        self._hold(products)
        self.problems = tuple(problems)
        self.layout = layout
        home = root.resolve() if root is not None else None
        self.name = name or (home.name if home else "products")
        self.key = _key(self.name, place or str(home or self.digest))
        self._images = images or (DatasetImages(root) if root is not None else None)
        self._readers = tuple(readers if readers is not None else open_readers(root) if root else ())

    def _hold(self, products: Iterable[Product]) -> None:
        self.products: Mapping[EntityId, Product] = MappingProxyType({p.id: p for p in _unique(products)})
        self.digest = products_digest(self.products)
        self._by_text = {str(id_): id_ for id_ in self.products}

    def resolve(self, id_: EntityId) -> EntityId | None:
        """The id of the product that ``id_`` means, by its text: "412" finds the product 412; or None."""
        return self._by_text.get(str(id_))

    def with_products(self, products: Iterable[Product]) -> Dataset:
        """The same dataset, of the same name, key, images and splits, in another state of its products.

        Raises AmeliError as the constructor does.
        """
        other = copy.copy(self)
        other._hold(products)
        return other

    def splits(self) -> list[str]:
        """The splits that have a reviews file, in the order train, dev, test."""
        return [name for name in SPLITS if self._review_files(name)[1]]

    def split(self, name: str) -> Split:
        """Reads the split ``name``; "val" is "dev". Raises UnknownNameError, or AmeliError on bad content."""
        reader, files = self._files_of(name)
        problems = left_aside(reader.root, files)
        return read_split(_split_name(name), reader.records(files[0]), self.resolve, problems)

    def product_records(self) -> Iterator[RawRecord]:
        """The records of the products as their file has them, repeated ones included.

        Raises AmeliError when they do not come from a dataset folder.
        """
        for reader in self._readers:
            if files := reader.product_files():
                return reader.records(files[0])
        raise AmeliError(f"The products of {self.name} are not in a dataset folder.")

    def split_records(self, name: str) -> Iterator[RawRecord]:
        """The records of the split as its file has them, fields that ``Review`` lacks included."""
        reader, files = self._files_of(name)
        return reader.records(files[0])

    def product_image(self, name: str) -> Path | None:
        """The file of a product image, None when there is none inside the dataset folder."""
        return self._images.product(name) if self._images else None

    def review_image(self, name: str) -> Path | None:
        """The file of a review image: the cleaned crop if there is one, else the original, else None."""
        return self._images.review(name) if self._images else None

    def _files_of(self, name: str) -> tuple[Reader, list[Path]]:
        reader, files = self._review_files(_split_name(name))
        if reader is None:
            raise UnknownNameError("split", _split_name(name), self.splits())
        return reader, files

    def _review_files(self, split: str) -> tuple[Reader | None, list[Path]]:
        for reader in self._readers if split in SPLITS else ():
            if files := reader.review_files(split):
                return reader, files
        return None, []


def left_aside(root: Path, files: Sequence[Path]) -> list[Problem]:
    """A warning when several files could be meant: the first is read."""
    if len(files) < 2:
        return []
    used, *others = (path.relative_to(root).as_posix() for path in files)
    return [Problem("several_files", used, f"read; left aside: {', '.join(others)}", "warning")]


def _unique(products: Iterable[Product]) -> Iterator[Product]:
    ids = UniqueIds("product")
    for position, product in enumerate(products, start=1):
        if not ids.is_new(product.id, f"product {position}"):
            raise AmeliError(f"product {position}: the id {product.id!r} is that of an earlier product too.")
        yield product


def _split_name(name: str) -> str:
    return "dev" if name == "val" else name


def _key(name: str, place: str) -> str:
    return f"{name}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
