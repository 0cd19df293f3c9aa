"""Goal P1: top-1000 of 35,598 products, exact search next to Chroma's HNSW in the same run.

    python benchmarks/p1_search.py [--products 35598] [--queries 3025]

The vectors are synthetic, seeded and clustered as product texts are. Recall is against a float64 reference.
Prints a Markdown table; exit code 1 when the goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.encoders.encoder import Vectors, normalised
from retrieval.search import search
from retrieval.store import EF_FACTOR

GOAL_RECALL, GOAL_SECONDS, GOAL_MILLISECONDS = 0.999, 2.5, 2.0
REFERENCE = 200
ADD = 5000


@dataclass(frozen=True)
class Result:
    """One way to search: seconds for all queries, milliseconds for one at a time, recall at k."""

    name: str
    seconds: float
    median_ms: float
    best_ms: float
    recall: float


def main() -> int:
    """Runs the benchmark; 1 when exact search misses the goal."""
    options = _options()
    products, queries = _vectors(options.products, options.queries, options.dimension, options.seed)
    reference = _reference(products, queries[:REFERENCE], options.k)
    exact = _measure("exact (ours)", lambda q: search(products, q, options.k)[0], queries, reference)
    results = [exact]
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder), products)
        few = queries[: options.chroma_queries]
        for ef_search in (None, options.k, EF_FACTOR * options.k):
            name = f"Chroma HNSW, ef_search {ef_search or 'default'}"
            with _Collection(Path(folder), ef_search) as collection:
                found = _measure(name, lambda q: collection.nearest(q, options.k), few, reference)
            scaled = found.seconds * len(queries) / len(few)
            results.append(Result(name, scaled, found.median_ms, found.best_ms, found.recall))
    _print(results, options)
    met = (
        exact.recall >= GOAL_RECALL and exact.seconds <= GOAL_SECONDS and exact.median_ms <= GOAL_MILLISECONDS
    )
    sys.stdout.write(
        f"\nGoal: recall >= {GOAL_RECALL}, all queries <= {GOAL_SECONDS} s, one query <= "
        f"{GOAL_MILLISECONDS} ms: {'met' if met else 'missed'}\n"
    )
    return 0 if met else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--products", type=int, default=35_598)
    parser.add_argument("--queries", type=int, default=3_025)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--k", type=int, default=1000)
    parser.add_argument("--chroma-queries", type=int, default=300, help="Chroma's time is scaled from these")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _vectors(products: int, queries: int, dimension: int, seed: int) -> tuple[Vectors, Vectors]:
    """Products around 400 centres; queries near products."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((400, dimension), dtype=np.float32)
    noise = rng.standard_normal((products, dimension), dtype=np.float32)
    kb = normalised(centres[rng.integers(0, len(centres), products)] + 0.8 * noise)
    away = rng.standard_normal((queries, dimension), dtype=np.float32) / np.sqrt(dimension)
    return kb, normalised(kb[rng.integers(0, products, queries)] + 0.8 * away)


def _reference(products: Vectors, queries: Vectors, k: int) -> list[set[int]]:
    """The k nearest products of each query in double precision."""
    scores = queries.astype(np.float64) @ products.astype(np.float64).T
    return [set(np.argsort(-row, kind="stable")[:k].tolist()) for row in scores]


def _measure(
    name: str,
    nearest: Callable[[Vectors], npt.NDArray[Any]],
    queries: Vectors,
    reference: Sequence[set[int]],
) -> Result:
    nearest(queries[:8])
    started = time.perf_counter()
    found = nearest(queries)
    seconds = time.perf_counter() - started
    single = []
    for row in range(min(100, len(queries))):
        started = time.perf_counter()
        nearest(queries[row : row + 1])
        single.append(1000 * (time.perf_counter() - started))
    shares = [
        len(right & set(map(int, row))) / len(right) for right, row in zip(reference, found, strict=False)
    ]
    return Result(name, seconds, float(np.median(single)), min(single), float(np.mean(shares)))


def _fill(folder: Path, products: Vectors) -> None:
    with _Collection(folder, None) as collection:
        collection.add(products)


class _Collection:
    """A Chroma collection in ``folder``, opened anew so that a changed ``ef_search`` takes effect."""

    def __init__(self, folder: Path, ef_search: int | None) -> None:
        self._folder = folder
        self._ef_search = ef_search

    def __enter__(self) -> _Collection:
        if self._ef_search is not None:
            self._open()
            self._collection.modify(configuration={"hnsw": {"ef_search": self._ef_search}})
            self._client.close()
        self._open()
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def _open(self) -> None:
        import chromadb
        from chromadb.config import Settings

        settings = Settings(anonymized_telemetry=False)
        self._client: Any = chromadb.PersistentClient(self._folder, settings=settings)
        self._collection: Any = self._client.get_or_create_collection(
            "text", embedding_function=None, configuration={"hnsw": {"space": "ip"}}
        )

    def add(self, vectors: Vectors) -> None:
        for start in range(0, len(vectors), ADD):
            part = vectors[start : start + ADD]
            self._collection.add(ids=[str(start + row) for row in range(len(part))], embeddings=part)

    def nearest(self, queries: Vectors, k: int) -> npt.NDArray[np.int64]:
        found = self._collection.query(query_embeddings=queries, n_results=k, include=[])
        return np.array([[int(id_) for id_ in row] for row in found["ids"]])


def _print(results: Sequence[Result], options: argparse.Namespace) -> None:
    ours = results[0].seconds
    lines = [
        f"Top {options.k} of {options.products:,} x {options.dimension}, {options.queries:,} queries",
        "",
        "| search | all queries, s | queries/s | times ours | one query, ms (median, best) | recall |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r.name} | {r.seconds:.2f} | {options.queries / r.seconds:,.0f} | {r.seconds / ours:.1f} "
        f"| {r.median_ms:.2f}, {r.best_ms:.2f} | {r.recall:.4f} |"
        for r in results
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
