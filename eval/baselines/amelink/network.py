"""The text model: pair representations by slot, concatenated, through an MLP to one score (section 4.4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.errors import AmeliError, MissingPackageError
from eval.baselines.amelink.encoder import TextEncoder, Unit
from eval.baselines.amelink.pairs import PairSet, clauses
from eval.baselines.amelink.settings import AmelinkSettings, Feature

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error

Rows: TypeAlias = npt.NDArray[np.int32]
DROPPED_OUT = 2
"""Layers of the MLP that have dropout before them, from the first (official)."""


class TextModel(torch.nn.Module):
    """Scores pair sets. ``encoder`` is a part of it where it is trained, None where it is frozen."""

    def __init__(
        self, dimension: int, slots: int, settings: AmelinkSettings, encoder: TextEncoder | None = None
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.slots = slots
        self._features = settings.features if settings.pairing == "siamese" else None
        self.encoder = encoder
        pooled = settings.pooling == "pooler"
        self.pooler = torch.nn.Linear(dimension, dimension) if pooled else None
        width = slots * sum(_width(feature, dimension) for feature in self._features or ("u",))
        self.mlp = _mlp(width, settings)

    def forward(self, vectors: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Scores [n] of pair sets.

        ``vectors`` [u, d] are those of the units and ``rows`` [n, slots, 1 or 2] where each pair's lie among
        them: one of the pair or, in siamese pairing, those of its two texts. -1 is an empty slot, all zeros.
        """
        if self.pooler is not None:
            vectors = torch.nn.functional.gelu(self.pooler(vectors))
        empty = torch.zeros((1, vectors.shape[1]), dtype=vectors.dtype, device=vectors.device)
        picked = torch.cat([vectors, empty])[rows]
        pairs = picked[:, :, 0] if self._features is None else _combined(picked, self._features)
        scores: torch.Tensor = self.mlp(pairs.flatten(1)).squeeze(-1)
        return scores


def _combined(picked: torch.Tensor, features: Sequence[Feature]) -> torch.Tensor:
    """[n, slots, 2, d] -> [n, slots, sum of widths]; unit vectors are brought to entries of about 1."""
    root = math.sqrt(picked.shape[-1])
    u, v = (picked * root).unbind(2)
    product = u * v
    parts = {
        "u": u,
        "v": v,
        "|u-v|": (u - v).abs(),
        "u*v": product,
        "cos": product.sum(-1, keepdim=True) / root,
    }
    return torch.cat([parts[feature] for feature in features], dim=-1)


def _width(feature: Feature, dimension: int) -> int:
    return 1 if feature == "cos" else dimension


def _mlp(width: int, settings: AmelinkSettings) -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for position, size in enumerate(settings.layers):
        if position < DROPPED_OUT and settings.dropout:
            layers.append(torch.nn.Dropout(settings.dropout))
        if position == 0 and settings.norm:
            layers.append(torch.nn.LayerNorm(width))
        layers += [torch.nn.Linear(width, size), torch.nn.ReLU()]
        width = size
    return torch.nn.Sequential(*layers, torch.nn.Linear(width, 1))


@dataclass(frozen=True)
class Layout:
    """Where the texts of pair sets lie among the units.

    ``rows`` [n, slots, 1 or 2] are positions among the units, -1 for an empty slot: of the pair or, in
    siamese pairing, of its two texts. With ``clauses`` [texts, most] the first of the two is a row of these:
    positions of the text's clauses among the units, -1 after the last.
    """

    rows: Rows
    clauses: Rows | None = None

    def resolved(self, vectors: npt.NDArray[np.floating[Any]]) -> Rows:
        """``rows`` with the clause most similar to the other text (the first of equals) for each pair."""
        if self.clauses is None:
            return self.rows
        rows = self.rows.copy()
        for text in np.unique(self.rows[:, :, 0][self.rows[:, :, 0] >= 0]):
            here = self.rows[:, :, 0] == text
            held = self.clauses[text][self.clauses[text] >= 0]
            others, back = np.unique(self.rows[here][:, 1], return_inverse=True)
            similar = vectors[others].astype(np.float32) @ vectors[held].astype(np.float32).T
            rows[here, 0] = held[similar.argmax(axis=1)][back]
        return rows

    def part(self, which: slice | npt.NDArray[np.int64]) -> Layout:
        """The layout of some of the pair sets."""
        return Layout(self.rows[which], self.clauses)

    def used(self) -> Rows:
        """All positions among the units that the pair sets need, sorted."""
        if self.clauses is None:
            found = np.unique(self.rows)
        else:
            texts = np.unique(self.rows[:, :, 0])
            found = np.unique(np.append(self.clauses[texts[texts >= 0]], self.rows[:, :, 1]))
        return found[found >= 0]

    def renumbered(self, used: Rows) -> Layout:
        """The layout among the units ``used`` only."""
        if self.clauses is None:
            return Layout(_renumbered(self.rows, used))
        rows = self.rows.copy()
        rows[:, :, 1] = _renumbered(rows[:, :, 1], used)
        return Layout(rows, _renumbered(self.clauses, used))


def units(sets: Iterable[PairSet], settings: AmelinkSettings) -> list[Unit]:
    """What has to be encoded for these pairs, each once, sorted."""
    pairs = {pair for one in sets for pair in one if pair}
    if settings.pairing == "joint":
        return sorted(pairs)
    firsts = {pair.first for pair in pairs}
    if settings.reading == "clauses":
        firsts = {clause for text in firsts for clause in clauses(text)}
    return sorted(firsts | {pair.second for pair in pairs})


def layout(sets: Sequence[PairSet], where: Mapping[Unit, int], settings: AmelinkSettings) -> Layout:
    """Where the texts of the pair sets lie among the units; ``where`` is the units' numbering."""
    siamese, cut = settings.pairing == "siamese", settings.reading == "clauses"
    rows = np.full((len(sets), len(sets[0]) if sets else 0, 2 if siamese else 1), -1, np.int32)
    texts: dict[str, int] = {}
    for i, one in enumerate(sets):
        for slot, pair in enumerate(one):
            if pair is None:
                continue
            if not siamese:
                rows[i, slot] = where[pair]
            else:
                first = texts.setdefault(pair.first, len(texts)) if cut else where[pair.first]
                rows[i, slot] = first, where[pair.second]
    if not (siamese and cut):
        return Layout(rows)
    parts = [clauses(text) for text in texts]
    table = np.full((len(parts), max(map(len, parts), default=0)), -1, np.int32)
    for i, part in enumerate(parts):
        table[i, : len(part)] = [where[clause] for clause in part]
    return Layout(rows, table)


def _renumbered(positions: Rows, used: Rows) -> Rows:
    found = np.searchsorted(used, positions)
    known = np.isin(positions, used)
    return np.where(known, found, -1).astype(np.int32)


def load_weights(model: TextModel, weights: Mapping[str, torch.Tensor], where: str) -> None:
    """Puts saved weights into the model. Raises AmeliError when they are of another size."""
    found = {name: list(tensor.shape) for name, tensor in weights.items()}
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    if found != expected:
        other = sorted(n for n in found.keys() | expected.keys() if found.get(n) != expected.get(n))
        name = other[0]
        raise AmeliError(
            f"The weights in {where} are of another size: {name} is {found.get(name, 'missing')} there and "
            f"{expected.get(name, 'missing')} in this model.",
            hint="Train it again: ameli-llm train amelink DATASET --out DIR",
        )
    for name, tensor in weights.items():
        if not bool(torch.isfinite(tensor).all()):
            raise AmeliError(f"The weights in {where} are not all finite numbers: {name}.")
    model.load_state_dict(dict(weights))
