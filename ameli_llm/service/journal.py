"""The file that keeps changes of products: JSON lines, on the disk before a change is confirmed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from ameli_llm import locking
from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error
from ameli_llm.ids import EntityId, as_id
from ameli_llm.service.bodies import ProductBody, product_fields
from ameli_llm.types import Product
from ameli_llm.untrusted import read_json

_LONGEST_LINE = 32 << 20


@dataclass(frozen=True, slots=True)
class Change:
    """A product that is put, or without ``product`` one that is deleted. Its id is known by its text."""

    id: EntityId
    product: Product | None

    @classmethod
    def put(cls, product: Product) -> Change:
        """Adds or replaces a product."""
        return cls(product.id, product)

    @classmethod
    def delete(cls, id_: EntityId) -> Change:
        """Deletes one."""
        return cls(id_, None)

    def with_id(self, id_: EntityId) -> Product:
        """The product under the id that the knowledge base has for it."""
        assert self.product is not None
        return replace(self.product, id=id_)

    def line(self) -> str:
        """Its line of the file."""
        if self.product is None:
            return json.dumps({"delete": self.id})
        return json.dumps({"put": product_fields(self.product)})

    @classmethod
    def of_line(cls, line: bytes) -> Change:
        """The change of a line. Raises ValueError."""
        value = read_json(line, max_bytes=_LONGEST_LINE)
        if isinstance(value, dict) and value.keys() == {"delete"}:
            return cls.delete(as_id(value["delete"]))
        if not isinstance(value, dict) or value.keys() != {"put"}:
            raise ValueError("neither put nor delete")
        try:
            body = ProductBody.model_validate(value["put"])
        except ValidationError as error:
            raise ValueError(first_error(error)) from None
        if body.id is None:
            raise ValueError("a product without an id")
        return cls.put(body.product(body.id))


class Journal:
    """An open file of changes, the later ones later; ``Journal.open`` reads it.

    A process that is killed leaves at most a last line that is cut off, whose change was not confirmed to
    anybody: it is dropped when the file is opened again. Only the last change of a product is kept then.
    """

    def __init__(self, path: Path, changes: Mapping[str, Change]) -> None:
        self._path = path
        self._changes = changes

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Journal]:
        """The file, which is made when missing and held against other processes until the block ends.

        Raises AmeliError when another process has it, it cannot be written, or a line is wrong.
        """
        lock = path.with_name(f"{path.name}.lock")
        with ExitStack() as stack:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                doing = f"serving with the changes in {path}"
                stack.enter_context(locking.held(lock, doing, wait=False))
                changes = _read(path)
                _rewrite(path, changes.values())
            except OSError as error:
                raise AmeliError(f"Cannot write the changes to {path}: {error.strerror}.") from error
            yield cls(path, changes)

    def applied(self, products: Mapping[EntityId, Product]) -> list[Product]:
        """The products with all changes that the file had when it was opened."""
        held = {str(id_): product for id_, product in products.items()}
        for text, change in self._changes.items():
            if change.product is None:
                held.pop(text, None)
            else:
                held[text] = change.with_id(held[text].id if text in held else change.id)
        return list(held.values())

    def append(self, changes: Sequence[Change]) -> None:
        """Writes changes, which are on the disk when it returns. Raises AmeliError; then none of them is."""
        text = "".join(f"{change.line()}\n" for change in changes)
        try:
            with self._path.open("ab") as file:
                before = file.tell()
                try:
                    file.write(text.encode())
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    os.truncate(self._path, before)
                    raise
        except OSError as error:
            raise AmeliError(f"Cannot write the changes to {self._path}: {error.strerror}.") from error


def _read(path: Path) -> dict[str, Change]:
    """The last change of each product by the text of its id, in the order of the file."""
    changes: dict[str, Change] = {}
    if not path.exists():
        return changes
    *lines, _cut = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            change = Change.of_line(line)
        except ValueError as error:
            raise AmeliError(
                f"{path}, line {number}: {error}.", hint="Mend the line, or name another file of changes."
            ) from None
        changes.pop(str(change.id), None)
        changes[str(change.id)] = change
    return changes


def _rewrite(path: Path, changes: Iterable[Change]) -> None:
    draft = path.with_name(f"{path.name}.new")
    with draft.open("wb") as file:
        file.writelines(f"{change.line()}\n".encode() for change in changes)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
