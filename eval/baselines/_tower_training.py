"""Trains the two towers of V2TEL: each image is to find its text in the batch, or among its candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.images.adapter import residual
from ameli_llm.types import Progress
from eval.baselines._text_pairs import Numbers, TextPairs, TextSearch
from eval.baselines._towers import Form, Sizes
from eval.baselines.baseline import Floats

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error

from ameli_llm.training.loop import Epoch, LoopSettings
from ameli_llm.training.loop import train as run_loop

SEARCH_STEP = 256


class TowerModule(torch.nn.Module):
    """The towers of ``eval.baselines._towers`` with weights that can be trained."""

    def __init__(self, form: Form, sizes: Sizes, means: Mapping[str, Floats], seed: int) -> None:
        super().__init__()
        self.form = form
        generator = torch.Generator().manual_seed(seed)
        self.weights = torch.nn.ParameterDict()
        for name, shape in sizes.shapes(form).items():
            side, _, matrix = name.partition(".")
            values = _initial(form, matrix, shape, generator, means.get(side))
            self.weights[_key(name)] = torch.nn.Parameter(values, requires_grad=matrix != "mean")

    def image(self, rows: torch.Tensor) -> torch.Tensor:
        """[n, d of the image encoder] -> [n, common], of length 1."""
        return self._map(rows, "image")

    def text(self, rows: torch.Tensor) -> torch.Tensor:
        """[n, d of the text encoder] -> [n, common], of length 1."""
        return self._map(rows, "text")

    def arrays(self) -> dict[str, Floats]:
        """The weights by the names that ``Towers`` has for them."""
        return {
            name.replace("_", ".", 1): tensor.detach().cpu().numpy().astype(np.float32)
            for name, tensor in self.weights.items()
        }

    def _map(self, rows: torch.Tensor, side: str) -> torch.Tensor:
        def weight(matrix: str) -> torch.Tensor:
            found: torch.Tensor = self.weights[_key(f"{side}.{matrix}")]
            return found

        normalize = torch.nn.functional.normalize
        if self.form == "projection":
            hidden = ((rows - weight("mean")) @ weight("w1") + weight("b1")).relu()
            return normalize(hidden @ weight("w2") + weight("b2"))
        return normalize(residual(self.form, rows, weight("w1"), weight("w2"), torch.relu))


def train_towers(
    form: Form,
    sizes: Sizes,
    texts: Floats,
    pairs: TextPairs,
    search: TextSearch,
    settings: LoopSettings,
    temperature: float,
    *,
    identity: str,
    checkpoints: Path | None,
    progress: Progress | None = None,
) -> tuple[dict[str, Floats], list[Epoch]]:
    """The weights of the best epoch by ``accuracy`` on ``search``, and all epochs; ``texts`` [u, d].

    The loss is cross-entropy over different texts: those of the batch and its others, or those of the pair
    and its others. Raises AmeliError when all pairs are of fewer than two texts, or when the loss is not
    finite.
    """
    known = np.unique(pairs.text if pairs.others is None else np.append(pairs.others, pairs.text))
    known = known[known >= 0]
    if len(known) < 2:
        raise AmeliError(
            f"{len(pairs.images)} pairs of a review image and {len(known)} product text(s) "
            "are too few to contrast.",
            hint="Training needs reviews with images of at least two products with different texts.",
        )
    means = {"image": pairs.images.mean(axis=0), "text": texts[known].mean(axis=0)}
    module = TowerModule(form, sizes, means, settings.seed)
    vectors = torch.from_numpy(np.ascontiguousarray(texts))

    def loss(chosen: Numbers) -> torch.Tensor:
        photos = module.image(torch.from_numpy(pairs.images[chosen]))
        gold = torch.from_numpy(pairs.text[chosen])
        texts_of = gold[:, None]
        if pairs.others is not None:
            texts_of = torch.cat([texts_of, torch.from_numpy(pairs.others[chosen])], dim=1)
        known, place = torch.unique(texts_of, return_inverse=True)
        logits = photos @ module.text(vectors[known.clamp(min=0)]).T / temperature
        counted = known >= 0
        if pairs.own:
            counted = torch.zeros_like(logits, dtype=torch.bool).scatter(1, place, True) & counted
        return torch.nn.functional.cross_entropy(logits.masked_fill(~counted, -torch.inf), place[:, 0])

    def score() -> float:
        return accuracy(module, vectors, search)

    history = run_loop(
        module,
        len(pairs.images),
        loss,
        score,
        settings,
        checkpoints=checkpoints,
        identity=identity,
        progress=progress,
    )
    return module.arrays(), history


def accuracy(module: TowerModule, texts: torch.Tensor, search: TextSearch) -> float:
    """Share of reviews whose product's text is the most similar, 0 to 1; equal products share it by chance.

    Among all products it is Recall@1, within lists of candidates F1.
    """
    columns = module.text(texts).T
    best = np.full((len(search.gold), len(texts)), -np.inf, dtype=np.float32)
    for start in range(0, len(search.images), SEARCH_STEP):
        queries = module.image(torch.from_numpy(search.images[start : start + SEARCH_STEP]))
        rows = search.review_row[start : start + SEARCH_STEP]
        np.maximum.at(best, rows, (queries @ columns).numpy())
    gold = np.take_along_axis(best, search.gold[:, None], axis=1)
    counts = search.counts
    if search.lists is not None:
        best = np.where(search.lists < 0, -np.inf, np.take_along_axis(best, search.lists, axis=1))
        counts = np.ones(search.lists.shape[1], dtype=np.int64)
    top = best.max(axis=1, keepdims=True)
    return float(np.mean((gold == top)[:, 0] / ((best == top) @ counts)))


def _initial(
    form: Form, matrix: str, shape: tuple[int, ...], generator: torch.Generator, mean: Floats | None
) -> torch.Tensor:
    """Random, but W2 zero in the paper's adapter, which starts as the identity."""
    if matrix == "mean":
        return torch.from_numpy(np.asarray(mean, dtype=np.float32).copy())
    if matrix in ("b1", "b2") or (matrix == "w2" and form == "paper"):
        return torch.zeros(shape)
    spread = 3.0 if form == "projection" else 1.0
    return torch.randn(shape, generator=generator) / math.sqrt(spread * shape[0])


def _key(name: str) -> str:
    """A weight's name without the dot, which torch keeps for submodules."""
    return name.replace(".", "_", 1)
