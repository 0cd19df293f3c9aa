"""The knowledge base in its current state: read by many, replaced as a whole by whoever changes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ameli_llm.errors import AmeliError
from ameli_llm.ids import EntityId
from ameli_llm.linker import Linker
from ameli_llm.service.journal import Change, Journal
from ameli_llm.service.problems import LAST_PRODUCT, NOT_FOUND, Problem
from ameli_llm.types import Product


@dataclass(frozen=True, slots=True)
class Changed:
    """What came of a change: the id as the knowledge base has it, and whether it is a new product."""

    id: EntityId
    created: bool
    kb_version: str


class _State:
    """A linker and how many use it; it is closed when it is no longer current and nobody does."""

    def __init__(self, linker: Linker) -> None:
        self.linker = linker
        self.users = 1  # whose current state it is


class Knowledge:
    """Holds the linker of the current state, which it closes.

    ``journal`` keeps what is changed; without one, changes last as long as this. With ``read_only`` there are
    none; otherwise raises AmeliError when the linker can make none, so that nobody finds it out by a PUT.

    Whoever is ``using`` a state keeps it until the end of the block, whatever is changed meanwhile.
    """

    def __init__(self, linker: Linker, journal: Journal | None = None, read_only: bool = False) -> None:
        if not read_only:
            _require_changeable(linker)
        self.read_only = read_only
        self._journal = journal
        self._lock = threading.Lock()
        self._state = _State(linker)
        self._by_text = _by_text(linker.products)

    def __len__(self) -> int:
        return len(self._state.linker.products)

    @property
    def keeps(self) -> bool:
        """Whether changes survive a restart."""
        return self._journal is not None

    @property
    def version(self) -> str:
        """The version of the current state."""
        return self._state.linker.kb_version

    @contextmanager
    def using(self) -> Iterator[Linker]:
        """The linker of the current state."""
        with self._lock:
            state = self._state
            state.users += 1
        try:
            yield state.linker
        finally:
            self._leave(state)

    def product(self, text: str) -> tuple[Product | None, str]:
        """The product whose id has that text, None without one, and the version that says so."""
        with self._lock:
            linker, id_ = self._state.linker, self._by_text.get(text)
        return (None if id_ is None else linker.products[id_]), linker.kb_version

    def apply(self, changes: Sequence[Change]) -> list[Changed | Exception]:
        """What came of each change, in their order; they are applied together, and written when it returns.

        One thread at a time. Raises AmeliError, and changes nothing, when they cannot be written.
        """
        with self.using() as linker:
            draft = _Draft(linker.products, self._by_text)
            outcomes = [draft.take(change) for change in changes]
            version = linker.kb_version
            put, deleted = draft.difference()
            if put or deleted:
                newer = linker.changed(put, deleted)
                try:
                    if self._journal is not None:
                        self._journal.append([*map(Change.put, put), *map(Change.delete, deleted)])
                except BaseException:
                    newer.close()
                    raise
                version = newer.kb_version
                self._swap(newer)
        return [one if isinstance(one, Exception) else Changed(*one, kb_version=version) for one in outcomes]

    def close(self) -> None:
        """Frees the linker when its last user has left."""
        self._leave(self._state)

    def _swap(self, newer: Linker) -> None:
        by_text = _by_text(newer.products)
        with self._lock:
            old, self._state, self._by_text = self._state, _State(newer), by_text
        self._leave(old)

    def _leave(self, state: _State) -> None:
        with self._lock:
            state.users -= 1
            unused = not state.users
        if unused:
            state.linker.close()


class _Draft:
    """Products as they will be after some changes, which are judged in their order."""

    def __init__(self, products: Mapping[EntityId, Product], by_text: Mapping[str, EntityId]) -> None:
        self._before = products
        self._products = dict(products)
        self._by_text = dict(by_text)
        self._touched: dict[EntityId, None] = {}

    def take(self, change: Change) -> tuple[EntityId, bool] | Exception:
        """The id that it is about and whether that is a new product, or why it cannot be."""
        id_ = self._by_text.get(str(change.id))
        created = id_ is None
        if change.product is not None:
            id_ = change.id if id_ is None else id_
            self._products[id_] = change.with_id(id_)
            self._by_text[str(id_)] = id_
        elif id_ is None:
            return Problem(NOT_FOUND, f"There is no product {str(change.id)[:80]!r}.")
        elif len(self._products) == 1:
            return Problem(LAST_PRODUCT, "A knowledge base needs at least one product to link to.")
        else:
            del self._products[id_], self._by_text[str(id_)]
        self._touched[id_] = None
        return id_, created

    def difference(self) -> tuple[list[Product], list[EntityId]]:
        """Products that were added or replaced by others, and ids of those that are gone."""
        put = [
            self._products[id_]
            for id_ in self._touched
            if id_ in self._products and self._products[id_] != self._before.get(id_)
        ]
        return put, [id_ for id_ in self._touched if id_ in self._before and id_ not in self._products]


def _require_changeable(linker: Linker) -> None:
    try:
        linker.require_changeable()
    except AmeliError as error:
        hint = f"{error.hint.rstrip('.')}; or" if error.hint else "Or"
        raise AmeliError(
            f"Products could not be changed: {error.message}", hint=f"{hint} serve links alone: --read-only."
        ) from error


def _by_text(products: Mapping[EntityId, Product]) -> dict[str, EntityId]:
    return {str(id_): id_ for id_ in products}
