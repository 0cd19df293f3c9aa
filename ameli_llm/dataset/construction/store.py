"""What a build knows so far, in one SQLite file: a batch is there whole or not at all, killed or not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from ameli_llm.dataset.construction.kept import TABLES, Count, Example, Member
from ameli_llm.dataset.construction.raw import RawReview, Record
from ameli_llm.errors import AmeliError

EXAMPLES = 5
"""Examples that are kept of each reason."""

_LONGEST = 300


class BuildStore:
    """The file ``path``, made where there is none; use it within ``batch`` to write."""

    def __init__(self, path: Path) -> None:
        self._pending: dict[tuple[str, str, str], tuple[int, tuple[Example, ...]]] = {}
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute("PRAGMA cache_size = -32768")  # 32 MiB, however large the build
            for table in TABLES:
                self._database.execute(table)
        except sqlite3.Error as error:
            raise AmeliError(
                f"Cannot use {path}: {error}.", hint="Delete its folder to begin anew."
            ) from None

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """What is written within is kept together, or not at all. Raises AmeliError on a full disk."""
        self._database.execute("BEGIN")
        self._pending.clear()
        try:
            yield
            self._write_counts()
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise AmeliError(f"Cannot write what was built so far: {error}.") from None
        except BaseException:
            self._undo()
            raise

    def fact(self, name: str) -> Any:
        """A value kept under a name, None where there is none."""
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def keep(self, name: str, value: Any) -> None:
        """Keeps a value that JSON has a form for."""
        text = json.dumps(value, sort_keys=True)
        self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, text))

    def standing(self, step: str) -> tuple[int, bool]:
        """How far a step is, and whether it is finished."""
        row = self._database.execute("SELECT done, finished FROM steps WHERE name = ?", (step,)).fetchone()
        return (0, False) if row is None else (row[0], bool(row[1]))

    def advance(self, step: str, done: int, finished: bool = False) -> None:
        """Says how far a step is."""
        self._database.execute("INSERT OR REPLACE INTO steps VALUES (?, ?, ?)", (step, done, finished))

    def count(self, step: str, what: str, reason: str, place: str, shown: str = "", number: int = 1) -> None:
        """Counts something, with its place and words as an example while there are few."""
        before, examples = self._pending.get((step, what, reason), (0, ()))
        if len(examples) < EXAMPLES:
            examples = (*examples, Example(place[:_LONGEST], shown[:_LONGEST]))
        self._pending[step, what, reason] = before + number, examples

    def _write_counts(self) -> None:
        query = "SELECT number FROM counts WHERE step = ? AND what = ? AND reason = ?"
        for key, (number, examples) in self._pending.items():
            row = self._database.execute(query, key).fetchone()
            before = row[0] if row else 0
            self._database.execute(
                "INSERT OR REPLACE INTO counts VALUES (?, ?, ?, ?)", (*key, before + number)
            )
            for place, example in enumerate(examples[: max(0, EXAMPLES - before)], start=before):
                values = (*key, place, example.place, example.shown)
                self._database.execute("INSERT INTO examples VALUES (?, ?, ?, ?, ?, ?)", values)

    def counts(self) -> tuple[Count, ...]:
        """Everything that was counted, most frequent first within a step."""
        query = "SELECT step, what, reason, number FROM counts ORDER BY step, number DESC, what, reason"
        examples = (
            "SELECT place, shown FROM examples WHERE step = ? AND what = ? AND reason = ? ORDER BY number"
        )
        found = []
        for step, what, reason, number in self._database.execute(query).fetchall():
            rows = self._database.execute(examples, (step, what, reason)).fetchall()
            found.append(Count(step, what, reason, number, tuple(Example(*row) for row in rows)))
        return tuple(found)

    def add_product(self, row: int, id_: str, name: str, source: int, record: Record | None) -> bool:
        """Adds a product, None for one that was dropped; False when an earlier one has the id."""
        text = None if record is None else json.dumps(record, ensure_ascii=False, default=str)
        query = "INSERT OR IGNORE INTO products VALUES (?, ?, ?, ?, ?)"
        return bool(self._database.execute(query, (row, id_, name, source, text)).rowcount)

    def product_row(self, id_: str) -> tuple[int, bool] | None:
        """The row of the product with the id and whether it was kept; None when there was none."""
        query = "SELECT row, record IS NOT NULL FROM products WHERE id = ?"
        row = self._database.execute(query, (id_,)).fetchone()
        return None if row is None else (row[0], bool(row[1]))

    def products_named(self, name: str) -> list[int]:
        """Rows of kept products with the name, in order."""
        query = "SELECT row FROM products WHERE name = ? AND record IS NOT NULL ORDER BY row"
        return [row for (row,) in self._database.execute(query, (name,))]

    def product(self, row: int) -> tuple[int, Record]:
        """The number of a kept product's table, and its record."""
        query = "SELECT source, record FROM products WHERE row = ?"
        source, text = self._database.execute(query, (row,)).fetchone()
        return source, json.loads(text)

    def product_rows(self, after: int = -1) -> Iterator[int]:
        """Rows of the kept products from ``after`` on."""
        query = "SELECT row FROM products WHERE row > ? AND record IS NOT NULL ORDER BY row LIMIT 1000"
        while rows := self._database.execute(query, (after,)).fetchall():
            yield from (row for (row,) in rows)
            after = rows[-1][0]

    def add_review(self, review: RawReview, product: int) -> bool:
        """Adds a review; False when an earlier one has the id."""
        values = (
            *(review.position, str(review.record["review_id"]), review.place, review.table, product),
            *(json.dumps(v, ensure_ascii=False, default=str) for v in (review.record, review.details)),
        )
        query = "INSERT OR IGNORE INTO reviews VALUES (?, ?, ?, ?, ?, ?, ?)"
        return bool(self._database.execute(query, values).rowcount)

    def reviews(self, after: int, most: int) -> list[RawReview]:
        """The next reviews in the order of the rows."""
        query = (
            "SELECT position, source, place, record, details FROM reviews WHERE position > ?"
            " ORDER BY position LIMIT ?"
        )
        rows = self._database.execute(query, (after, most)).fetchall()
        return [RawReview(row[0], row[1], row[2], json.loads(row[3]), json.loads(row[4])) for row in rows]

    def replace_review(self, review: RawReview) -> None:
        """Writes the record of a review anew."""
        text = json.dumps(review.record, ensure_ascii=False, default=str)
        self._database.execute("UPDATE reviews SET record = ? WHERE position = ?", (text, review.position))

    def drop_review(self, position: int) -> None:
        """Forgets a review."""
        self._database.execute("DELETE FROM reviews WHERE position = ?", (position,))

    def number(self, table: str) -> int:
        """How many kept products or reviews there are."""
        queries = {
            "products": "SELECT COUNT(*) FROM products WHERE record IS NOT NULL",
            "reviews": "SELECT COUNT(*) FROM reviews",
        }
        return int(self._database.execute(queries[table]).fetchone()[0])

    def position_of(self, review_id: str) -> int | None:
        """Where a review that is still there stands."""
        row = self._database.execute("SELECT position FROM reviews WHERE id = ?", (review_id,)).fetchone()
        return None if row is None else int(row[0])

    def add_band(self, kind: str, band: int, value: int, position: int, whole: int = 0) -> None:
        """Puts a review into a bucket of a band; ``whole`` is what the band was cut from."""
        self._database.execute(
            "INSERT INTO bands VALUES (?, ?, ?, ?, ?)", (kind, band, value, position, whole)
        )

    def buckets(self) -> Iterator[tuple[str, Iterator[Member]]]:
        """The kind and, in the order of the rows, the members of each bucket; none is held whole."""
        query = (
            "SELECT kind, band, value, bands.position, product, whole FROM bands JOIN reviews"
            " ON reviews.position = bands.position ORDER BY kind, band, value, bands.position, whole"
        )
        rows = self._database.execute(query)
        for (kind, _, _), some in groupby(rows, key=lambda row: row[:3]):
            yield kind, (Member(*row[3:]) for row in some)

    def join(self, one: int, other: int) -> None:
        """Keeps that two products have to stay together."""
        self._database.execute(
            "INSERT OR IGNORE INTO edges VALUES (?, ?)", (min(one, other), max(one, other))
        )

    def joined(self) -> list[tuple[int, int]]:
        """The pairs of products that have to stay together."""
        return self._database.execute("SELECT one, other FROM edges ORDER BY one, other").fetchall()

    def reviews_by_product(self) -> dict[int, int]:
        """How many reviews each product has, for those that have any."""
        query = "SELECT product, COUNT(*) FROM reviews GROUP BY product ORDER BY product"
        return dict(self._database.execute(query).fetchall())

    def review_at(self, position: int) -> RawReview:
        """The review at a position."""
        return self.reviews(position - 1, 1)[0]

    def _undo(self) -> None:
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
