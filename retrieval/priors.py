"""P(e|m) and P(c|m): how likely a mention means a product or a category (paper, section 4.2)."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from retrieval.chunker import Chunker, find_chunker
from retrieval.index import Index
from retrieval.snapshot import Entry
from retrieval.sparse_files import load_rows, save_rows

if TYPE_CHECKING:
    from scipy import sparse

Counts = Mapping[str, Mapping[int, int]]
SURFACE, LEMMA = "surface", "lemma"
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Priors:
    """Counts of each noun chunk by row of the index, by surface and by lemma.

    A chunk of a product's title or leaf category counts once per occurrence.
    """

    surface: Counts
    lemma: Counts
    categories: npt.NDArray[np.int64]
    chunker: Chunker

    def entity(self, mention: str) -> Probabilities | None:
        """P(e|m) per row of the index, summing to 1; None for a mention that no title or category has."""
        counts: Counter[int] = Counter()
        counts |= Counter(self.surface.get(" ".join(mention.lower().split()), {}))
        counts |= Counter(self.lemma.get(self.chunker.lemma(mention), {}))
        if not counts:
            return None
        found = np.zeros(len(self.categories))
        found[list(counts.keys())] = list(counts.values())
        probabilities: Probabilities = found / found.sum()
        return probabilities

    def category(self, mention: str) -> Probabilities | None:
        """P(c|m) of each row's leaf category; None for an unknown mention."""
        entity = self.entity(mention)
        if entity is None:
            return None
        by_category = np.bincount(self.categories, weights=entity)
        probabilities: Probabilities = by_category[self.categories].astype(np.float64)
        return probabilities

    def possible(self, mention: str) -> npt.NDArray[np.bool_] | None:
        """Rows with P(e|m) > 0 and P(c|m) > 0; None for an unknown mention."""
        entity, category = self.entity(mention), self.category(mention)
        return None if entity is None or category is None else (entity > 0) & (category > 0)


class CountTable(Mapping[str, Mapping[int, int]]):
    """Counts in files, read when it is first asked: as dictionaries they would take many times the memory."""

    def __init__(self, folder: Path, name: str, rows: int) -> None:
        self._folder, self._name, self._rows = folder, name, rows

    @cached_property
    def _numbers(self) -> dict[str, int]:
        chunks: list[str] = json.loads((self._folder / f"{self._name}.json").read_text(encoding="utf-8"))
        return {chunk: number for number, chunk in enumerate(chunks)}

    @cached_property
    def _table(self) -> sparse.csr_array:
        return load_rows(self._folder, self._name, self._rows)

    def __getitem__(self, chunk: str) -> Mapping[int, int]:
        start, end = self._table.indptr[self._numbers[chunk] :][:2]
        held = slice(int(start), int(end))
        return dict(zip(self._table.indices[held].tolist(), self._table.data[held].tolist(), strict=True))

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    @staticmethod
    def write(folder: Path, name: str, counts: Counts, rows: int) -> None:
        """Writes the files that it is opened from."""
        from scipy import sparse

        starts = np.cumsum([0, *map(len, counts.values())])
        columns = np.fromiter(chain.from_iterable(counts.values()), np.int32, starts[-1])
        found = chain.from_iterable(one.values() for one in counts.values())
        numbers = np.fromiter(found, np.int32, starts[-1])
        table = sparse.csr_array((numbers, columns, starts), shape=(len(counts), rows))
        save_rows(folder, name, table)
        (folder / f"{name}.json").write_text(json.dumps(list(counts)), encoding="utf-8")


def open_priors(index: Index) -> Priors:
    """The priors of ``index``; counted on first use and kept with the index."""
    chunker = find_chunker()
    name = f"priors-{chunker.name}-by-chunk"
    folder = index.derived(name, lambda place: _write(index.entries, chunker, place))
    leaves = [entry.category[-1] if entry.category else "" for entry in index.entries]
    categories = np.unique(leaves, return_inverse=True)[1].astype(np.int64)
    surface, lemma = (CountTable(folder, kind, len(index)) for kind in (SURFACE, LEMMA))
    return Priors(surface, lemma, categories, chunker)


def count_chunks(entries: Sequence[Entry], chunker: Chunker) -> dict[str, dict[str, dict[int, int]]]:
    """Counts under "surface" and "lemma": chunk to row to number of occurrences."""
    surface: defaultdict[str, Counter[int]] = defaultdict(Counter)
    lemma: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for row, entry in enumerate(entries):
        leaf = entry.category[-1] if entry.category else ""
        for chunk in [*chunker.chunks(entry.name), *chunker.chunks(leaf)]:
            surface[chunk.surface][row] += 1
            lemma[chunk.lemma][row] += 1
        whole = " ".join(leaf.lower().split())
        if whole and not surface[whole][row]:
            surface[whole][row] += 1
            lemma[chunker.lemma(whole)][row] += 1
    return {SURFACE: _plain(surface), LEMMA: _plain(lemma)}


def _write(entries: Sequence[Entry], chunker: Chunker, place: Path) -> None:
    for kind, counts in count_chunks(entries, chunker).items():
        CountTable.write(place, kind, counts, len(entries))


def _plain(counts: Mapping[str, Counter[int]]) -> dict[str, dict[int, int]]:
    return {chunk: {row: n for row, n in rows.items() if n} for chunk, rows in counts.items()}
