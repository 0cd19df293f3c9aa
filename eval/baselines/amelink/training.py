"""Trains a text model of AMELINK: cross-entropy over K candidates, gold among them (section 4.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.ids import id_number
from ameli_llm.types import Candidate, Progress
from eval.baselines.amelink.combination import expected_hits
from eval.baselines.amelink.encoder import TextEncoder, Unit, pooler_weights, quick
from eval.baselines.amelink.features import Halves
from eval.baselines.amelink.network import Layout, TextModel, layout, units
from eval.baselines.amelink.pairs import PairSet, Slots, pair_sets
from eval.baselines.amelink.settings import AmelinkSettings
from eval.baselines.baseline import Example
from eval.baselines.material import Material

try:
    import torch

    from ameli_llm.training.loop import Epoch, LoopSettings
    from ameli_llm.training.loop import train as run_loop
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error


@dataclass(frozen=True)
class Lists:
    """Lists of candidates as pair sets, and where gold is in each (-1: not among them)."""

    sets: tuple[tuple[PairSet, ...], ...]
    gold: tuple[int, ...]

    @property
    def flat(self) -> list[PairSet]:
        """All pair sets, list after list."""
        return [one for several in self.sets for one in several]


def training_lists(
    examples: Sequence[Example], material: Material, slots: Slots, settings: AmelinkSettings, seed: int
) -> Lists:
    """Gold and the K - 1 best others of each list, shuffled by seed and review.

    Lists without another candidate teach nothing and are left out. Raises AmeliError when none is left.
    """
    sets, golds = [], []
    for example in examples:
        others = [one for one in example.task.candidates if one.entity_id != example.gold]
        if not others:
            continue
        chosen = [Candidate(example.gold, math.nan), *others[: settings.candidates - 1]]
        draw = np.random.default_rng([seed, id_number(example.task.review.id)])
        order = draw.permutation(len(chosen)).tolist()
        task = replace(example.task, candidates=tuple(chosen[i] for i in order))
        sets.append(tuple(pair_sets(task, material, slots, settings)))
        golds.append(order.index(0))
    if not sets:
        raise AmeliError(
            f"None of the {len(examples)} reviews to train on has a candidate beside its gold product.",
            hint="Training needs reviews with gold and two candidates or more.",
        )
    return Lists(tuple(sets), tuple(golds))


def dev_lists(
    examples: Sequence[Example], material: Material, slots: Slots, settings: AmelinkSettings
) -> Lists:
    """The lists as retrieval found them: a gold product that it missed is not put in.

    Lists without gold, which no scorer can win, are left out.
    """
    found = [one for one in examples if one.gold in one.task.entity_ids]
    return Lists(
        tuple(tuple(pair_sets(one.task, material, slots, settings)) for one in found),
        tuple(one.task.entity_ids.index(one.gold) for one in found),
    )


class Trainer:
    """One text model under training: its network, the lists to learn from, and those to choose on."""

    def __init__(
        self,
        train: Lists,
        dev: Lists,
        encoder: TextEncoder,
        slots: Slots,
        settings: AmelinkSettings,
        seed: int,
        vectors: tuple[Sequence[Unit], Halves] | None,
    ) -> None:
        """``vectors``, units and their rows, are those of a frozen encoder; None trains the encoder too."""
        self.settings = settings
        self._encoder = encoder
        self._train, self._dev = train, dev
        self._units: Sequence[Unit]
        if vectors is None:
            self._units, self._vectors = units([*train.flat, *dev.flat], settings), None
        else:
            self._units, self._vectors = vectors
        where = {unit: position for position, unit in enumerate(self._units)}
        self._layout = layout(train.flat, where, settings)
        self._dev_layout = layout(dev.flat, where, settings)
        if self._vectors is not None:  # these do not change any more
            self._layout = Layout(self._layout.resolved(self._vectors))
            self._dev_layout = Layout(self._dev_layout.resolved(self._vectors))
        self._starts = np.cumsum([0, *map(len, train.sets)])
        self.model = new_model(encoder, slots, settings, seed)

    def run(
        self, loop: LoopSettings, checkpoints: Path, identity: str, seconds: float, progress: Progress | None
    ) -> list[Epoch]:
        """Trains; afterwards ``model`` holds the weights of the best epoch."""
        return run_loop(
            self.model,
            len(self._train.sets),
            self._loss,
            self._score if self._dev.sets else None,
            loop,
            checkpoints=checkpoints,
            identity=identity,
            progress=progress,
            checkpoint_seconds=seconds,
        )

    def _loss(self, lists: npt.NDArray[np.int64]) -> torch.Tensor:
        """-log softmax of gold's score over the list's, the mean of these lists."""
        spans = [np.arange(self._starts[i], self._starts[i + 1]) for i in lists]
        scores = self._scores(self._layout.part(np.concatenate(spans)))
        parts = torch.split(scores.float(), [len(span) for span in spans])
        table = torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True, padding_value=-torch.inf)
        gold = torch.tensor([self._train.gold[i] for i in lists], device=table.device)
        return torch.nn.functional.cross_entropy(table, gold)

    def _score(self) -> float:
        """F1 on dev of the text score alone."""
        total = sum(map(len, self._dev.sets))
        parts = [slice(start, start + DEV_STEP) for start in range(0, total, DEV_STEP)]
        with quick(self._encoder.device):
            scores = [self._scores(self._dev_layout.part(part)).float().cpu().numpy() for part in parts]
        found = np.concatenate(scores).astype(np.float64)
        lengths = [len(several) for several in self._dev.sets]
        return expected_hits(np.split(found, np.cumsum(lengths)[:-1]), self._dev.gold)

    def _scores(self, part: Layout) -> torch.Tensor:
        used = part.used()
        local = part.renumbered(used)
        if self._vectors is None:
            vectors = self._encoder.vectors([self._units[i] for i in used])
            rows = local.resolved(vectors.detach().float().cpu().numpy())
        else:
            vectors = torch.from_numpy(self._vectors[used].astype(np.float32)).to(self._encoder.device)
            rows = local.rows
        scores: torch.Tensor = self.model(vectors, torch.from_numpy(rows).long().to(vectors.device))
        return scores


DEV_STEP = 640
"""Candidates of dev that are scored at a time."""


def new_model(encoder: TextEncoder, slots: Slots, settings: AmelinkSettings, seed: int) -> TextModel:
    """An untrained text model; a trained pooler starts from the checkpoint's where that has one."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = TextModel(encoder.stamp.dimension, len(slots), settings, None if settings.frozen else encoder)
    if model.pooler is not None:
        found = pooler_weights(settings.encoder)
        if found:
            model.pooler.load_state_dict(found)
    if not settings.frozen:
        encoder.requires_grad_(True)
        # A step holds hundreds of sequences: what they need for the gradient is computed again.
        cast(Any, encoder.model).gradient_checkpointing_enable({"use_reentrant": False})
    return model.to(encoder.device)


def loop_settings(settings: AmelinkSettings, seed: int) -> LoopSettings:
    """The loop's part of the settings."""
    micro = min(settings.micro_batch or settings.batch_size, settings.batch_size)
    return LoopSettings(
        epochs=settings.epochs,
        batch_size=micro,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup=settings.warmup,
        clip=settings.clip,
        accumulation=max(1, round(settings.batch_size / micro)),
        patience=settings.patience,
        precision=settings.precision,
        seed=seed,
    )
