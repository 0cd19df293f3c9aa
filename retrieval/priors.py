"""P(e|m) and P(c|m): how likely a mention means a product or a category (paper, section 4.2)."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.chunker import Chunker, find_chunker
from retrieval.index import Index
from retrieval.snapshot import Entry

Counts = Mapping[str, Mapping[int, int]]
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


def open_priors(index: Index) -> Priors:
    """The priors of ``index``; counted on first use and kept with the index."""
    chunker = find_chunker()
    folder = index.derived(f"priors-{chunker.name}", lambda place: _write(index.entries, chunker, place))
    counts = json.loads((folder / "counts.json").read_text(encoding="utf-8"))
    leaves = [entry.category[-1] if entry.category else "" for entry in index.entries]
    categories = np.unique(leaves, return_inverse=True)[1].astype(np.int64)
    return Priors(_rows(counts["surface"]), _rows(counts["lemma"]), categories, chunker)


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
    return {"surface": _plain(surface), "lemma": _plain(lemma)}


def _write(entries: Sequence[Entry], chunker: Chunker, place: Path) -> None:
    (place / "counts.json").write_text(json.dumps(count_chunks(entries, chunker)), encoding="utf-8")


def _plain(counts: Mapping[str, Counter[int]]) -> dict[str, dict[int, int]]:
    return {chunk: {row: n for row, n in rows.items() if n} for chunk, rows in counts.items()}


def _rows(counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[int, int]]:
    return {chunk: {int(row): n for row, n in rows.items()} for chunk, rows in counts.items()}
