"""Exact nearest neighbours by dot product: blocks of one BLAS product each, then a partial sort."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
BLOCK = 128


def top_k(scores: Scores, k: int) -> Rows:
    """Columns of the ``k`` greatest scores of each row, best first, ties by smaller column; NaN comes last.

    ``scores`` is [n, N]; the result is [n, min(k, N)].
    """
    k = min(k, scores.shape[1])
    keys = np.where(np.isnan(scores), -np.inf, scores)
    if k == scores.shape[1]:
        return np.argsort(-keys, axis=1, kind="stable").astype(np.int64)
    result = np.empty((len(keys), k), dtype=np.int64)
    for row, key in enumerate(keys):
        result[row] = _top_k_row(key, k)
    return result


def search(vectors: Scores, queries: Scores, k: int) -> tuple[Rows, Scores]:
    """The ``k`` nearest rows of ``vectors`` [N, d] to each query [n, d], with their dot products, best first.

    Exact: recall is 1.0. Memory beyond the result is ``BLOCK`` x N floats. The partial sorts of a block run
    in as many threads as there are cores (NumPy sorts without the interpreter lock).
    """
    k = min(k, len(vectors))
    rows = np.empty((len(queries), k), dtype=np.int64)
    found = np.empty((len(queries), k), dtype=np.float32)

    def select(at: int, row: Scores) -> None:
        rows[at] = _top_k_row(row, k)
        found[at] = row[rows[at]]

    if len(queries) == 1:
        select(0, queries[0] @ vectors.T)
        return rows, found
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(queries), BLOCK):
            scores = queries[start : start + BLOCK] @ vectors.T
            list(pool.map(select, range(start, start + len(scores)), scores))
    return rows, found


def _top_k_row(row: Scores, k: int) -> Rows:
    """Indices of the ``k`` greatest values of one row; equal values in ascending order of index."""
    if k >= len(row):
        return np.argsort(-row, kind="stable").astype(np.int64)
    threshold = np.partition(row, len(row) - k)[len(row) - k]
    above = np.flatnonzero(row > threshold)
    ties = np.flatnonzero(row == threshold)[: k - len(above)]
    chosen = np.concatenate([above, ties])
    chosen.sort()
    return chosen[np.argsort(-row[chosen], kind="stable")].astype(np.int64)
