"""Sparse matrices on disk that are mapped into memory: of a row that nobody asks for nothing is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

_PARTS = ("data", "indices", "indptr")


def save_rows(folder: Path, name: str, matrix: sparse.csr_array) -> None:
    """Writes a matrix in compressed rows as three files of ``folder``."""
    for part in _PARTS:
        np.save(folder / f"{name}-{part}.npy", getattr(matrix, part), allow_pickle=False)


def load_rows(folder: Path, name: str, columns: int) -> sparse.csr_array:
    """The matrix that ``save_rows`` wrote, which has so many columns."""
    from scipy import sparse

    data, indices, indptr = (
        np.load(folder / f"{name}-{part}.npy", mmap_mode="r", allow_pickle=False) for part in _PARTS
    )
    return sparse.csr_array((data, indices, indptr), shape=(len(indptr) - 1, columns), copy=False)
