"""Labelled texts as tensors, a batch at a time; what frozen encoders say of them is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ameli_llm.attributes.tagging.examples import LabelledText
from ameli_llm.attributes.tagging.pictures import Pictures
from ameli_llm.attributes.tagging.tags import tags_of
from ameli_llm.attributes.tagging.words import Words
from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.types import Progress, no_progress

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error

IN_MEMORY = 1 << 30
"""Bytes of frozen features that are held in memory; more lie in a file while a training needs them."""

STEP = 64
"""Texts, or pictures, that a frozen encoder reads at a time."""

Halves = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Batch:
    """``n`` texts of at most ``t`` tokens, special ones included, on one device.

    ``attention`` [n, t] is 1 on tokens, ``words`` [n, t] true on those that are not special. ``tags`` [n, t]
    is "O" outside the words; ``wanted`` [n, attributes] is 1 for those that the text states. ``states``
    [n, t, d] and ``regions`` [n, k, v] are there where frozen encoders made them, ``pixels`` where a trained
    one will; ``seen`` [n] says which texts have a picture, and None that none is looked at.
    """

    ids: torch.Tensor
    attention: torch.Tensor
    words: torch.Tensor
    tags: torch.Tensor
    wanted: torch.Tensor
    states: torch.Tensor | None = None
    regions: torch.Tensor | None = None
    pixels: torch.Tensor | None = None
    seen: torch.Tensor | None = None


class Batches:
    """Makes batches of texts by their positions.

    ``encode`` (ids, attention -> states) and ``look`` (pixels -> [n, k, v]) are given for encoders that are
    frozen; they read every text and every picture once, when the object is made, into ``folder`` where that
    takes much room. Without ``pictures`` no picture is read.
    """

    def __init__(
        self,
        texts: Sequence[LabelledText],
        words: Sequence[Words],
        labels: Sequence[str],
        *,
        pad: int,
        device: torch.device,
        pictures: Pictures | None = None,
        encode: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
        look: Callable[[torch.Tensor], torch.Tensor] | None = None,
        folder: Path | None = None,
        progress: Progress = no_progress,
    ) -> None:
        self._progress = progress
        self.texts, self.words, self.labels = texts, words, labels
        self._pad, self._device, self._pictures = pad, device, pictures
        self._files = list(dict.fromkeys(text.image for text in texts if text.image)) if pictures else []
        self._numbers = {label: number for number, label in enumerate(labels)}
        places = {path: number for number, path in enumerate(self._files)}
        self._file = [places[text.image] if pictures and text.image else -1 for text in texts]
        self._tags = [
            np.array(tags_of(text, cut.places, self._numbers), np.int64)
            for text, cut in zip(texts, words, strict=True)
        ]
        self._usable = np.ones(len(self._files), bool)
        lengths = [len(one.ids) for one in words]
        self._starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self._states = self._encoded(encode, folder) if encode else None
        self._regions = self._looked(look, folder) if look and self._files else None

    def __len__(self) -> int:
        return len(self.texts)

    def batch(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Batch:
        """The texts at these positions."""
        chosen = [int(row) for row in rows]
        ids, attention = self._padded(chosen)
        tags = np.zeros_like(ids)
        words = np.zeros(ids.shape, bool)
        wanted = np.zeros((len(chosen), len(self.labels)), np.float32)
        for at, row in enumerate(chosen):
            one = self.words[row]
            inner = slice(one.before, one.before + len(one.places))
            words[at, inner] = True
            tags[at, inner] = self._tags[row]
            for stated in self.texts[row].attributes & self._numbers.keys():
                wanted[at, self._numbers[stated]] = 1
        seen, regions, pixels = self._image_part(chosen)
        return Batch(
            ids=self._tensor(ids),
            attention=self._tensor(attention),
            words=self._tensor(words),
            tags=self._tensor(tags),
            wanted=self._tensor(wanted),
            states=self._state_part(chosen, ids.shape[1]),
            regions=regions,
            pixels=pixels,
            seen=seen,
        )

    def in_order(self, size: int) -> Iterator[list[int]]:
        """Positions of texts of like length, ``size`` at a time, the longest first."""
        order = sorted(range(len(self.texts)), key=lambda row: (-len(self.words[row].ids), row))
        return (order[start : start + size] for start in range(0, len(order), size))

    def _tensor(self, array: npt.NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)

    def _state_part(self, rows: Sequence[int], longest: int) -> torch.Tensor | None:
        if self._states is None:
            return None
        found = np.zeros((len(rows), longest, self._states.shape[1]), np.float32)
        for at, row in enumerate(rows):
            start, length = self._starts[row], len(self.words[row].ids)
            found[at, :length] = self._states[start : start + length]
        return self._tensor(found)

    def _image_part(
        self, rows: Sequence[int]
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """Which texts have a picture that can be used, and its map or its pixels: zeros without one."""
        if self._pictures is None:
            return None, None, None
        files = [self._file[row] for row in rows]
        if self._regions is not None:
            seen = np.array([file >= 0 and bool(self._usable[file]) for file in files])
            maps = np.zeros((len(rows), *self._regions.shape[1:]), np.float32)
            for at in np.flatnonzero(seen):
                maps[at] = self._regions[files[at]]
            return self._tensor(seen), self._tensor(maps), None
        paths = list(dict.fromkeys(self._files[file] for file in files if file >= 0))
        found = dict(zip(paths, self._pictures.pixels(paths), strict=True))
        pixels = [found[self._files[file]] if file >= 0 else None for file in files]
        seen = np.array([one is not None for one in pixels])
        if not seen.any():
            return self._tensor(seen), None, None
        shape = next(one.shape for one in pixels if one is not None)
        empty = np.zeros(shape, np.float32)
        stacked = np.stack([empty if one is None else one for one in pixels])
        return self._tensor(seen), None, self._tensor(stacked)

    def _encoded(
        self, encode: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], folder: Path | None
    ) -> Halves:
        """The states of all tokens of all texts, one text after the other."""
        states: Halves | None = None
        done = 0
        for rows in self.in_order(STEP):
            ids, attention = self._padded(rows)
            found = encode(self._tensor(ids), self._tensor(attention)).half().cpu().numpy()
            if states is None:
                states = _room((int(self._starts[-1]), found.shape[2]), folder, "states")
            for at, row in enumerate(rows):
                start, end = self._starts[row : row + 2]
                states[start:end] = found[at, : end - start]
            done += len(rows)
            self._progress("texts read", done, len(self.texts))
        assert states is not None
        return states

    def _padded(self, rows: Sequence[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Ids of the tokens and 1 where there are any, both [n, t]."""
        ids = np.full((len(rows), max(len(self.words[row].ids) for row in rows)), self._pad, np.int64)
        attention = np.zeros_like(ids)
        for at, row in enumerate(rows):
            ids[at, : len(self.words[row].ids)] = self.words[row].ids
            attention[at, : len(self.words[row].ids)] = 1
        return ids, attention

    def _looked(self, look: Callable[[torch.Tensor], torch.Tensor], folder: Path | None) -> Halves | None:
        assert self._pictures is not None
        regions: Halves | None = None
        for start in range(0, len(self._files), STEP):
            made = self._pictures.pixels(self._files[start : start + STEP])
            good = [(start + at, one) for at, one in enumerate(made) if one is not None]
            self._usable[start : start + STEP] = [one is not None for one in made]
            if not good:
                continue
            found = look(self._tensor(np.stack([one for _, one in good]))).half().cpu().numpy()
            if regions is None:
                regions = _room((len(self._files), *found.shape[1:]), folder, "regions")
            regions[[at for at, _ in good]] = found
            self._progress("pictures looked at", min(start + STEP, len(self._files)), len(self._files))
        return regions


def _room(shape: tuple[int, ...], folder: Path | None, name: str) -> Halves:
    """Zeros, in memory or in a file of ``folder``. Raises AmeliError when the disk is full."""
    if folder is None or 2 * int(np.prod(shape)) <= IN_MEMORY:
        return np.zeros(shape, np.float16)
    path = folder / f"{name}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        array: Halves = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
            path, mode="w+", dtype=np.float16, shape=shape
        )
    except OSError as error:
        raise AmeliError(
            f"Cannot write {path}: {error.strerror}.", hint="It needs room on the disk."
        ) from error
    return array
