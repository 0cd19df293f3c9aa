"""Pictures as an image network takes them, and what such a network is to a tagger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.dataset.images import ImageProblem, open_image
from ameli_llm.types import Progress

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

Pixels: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RegionNetwork:
    """A network from pixels [n, 3, s, s] to a map of ``width`` features a region, [n, ``width``, h, w].

    ``prepare`` makes the pixels [3, s, s] of an RGB image. Equal ``revision`` means equal weights.
    """

    name: str
    revision: str
    width: int
    network: torch.nn.Module
    prepare: Callable[[Image], Pixels]


LoadRegions: TypeAlias = Callable[[str], RegionNetwork]
"""Opens the image network of a name. Raises AmeliError."""


class Pictures:
    """Pixels of files; one that cannot be used is counted in ``problems`` by reason, and is as none."""

    def __init__(self, prepare: Callable[[Any], Pixels]) -> None:
        self._prepare = prepare
        self._bad: dict[Path, str] = {}

    @property
    def problems(self) -> dict[str, int]:
        """How many files could not be used, by reason."""
        return dict(sorted(Counter(self._bad.values()).items()))

    def problem(self, path: Path) -> str:
        """Why a file could not be used, "" when nothing is known against it."""
        return self._bad.get(path, "")

    def check(self, paths: Sequence[Path], progress: Progress) -> None:
        """Opens all of them, so that every one that cannot be used is known."""
        for done, path in enumerate(paths, start=1):
            self._one(path)
            progress("pictures opened", done, len(paths))

    def pixels(self, paths: Sequence[Path]) -> list[Pixels | None]:
        """The pixels of each file, None for one that cannot be used."""
        return [self._one(path) for path in paths]

    def _one(self, path: Path) -> Pixels | None:
        if path in self._bad:
            return None
        try:
            return self._prepare(open_image(path))
        except ImageProblem as problem:
            self._bad[path] = f"image {problem.reason.replace('_', ' ')}"
            return None
