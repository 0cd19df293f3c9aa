"""A baseline as its file declares it: how it is made and trained, its settings, its rows of Table 5."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ameli_llm.errors import AmeliError
from ameli_llm.registry import Registry
from ameli_llm.types import Progress
from eval.baselines import BASELINES
from eval.baselines.baseline import Baseline, Preset, Settings, TableRow
from eval.baselines.course import Course
from eval.baselines.material import Material


@dataclass(frozen=True)
class Wanted:
    """What settings are made for. ``encoder`` is a text encoder that is trained, ``candidates`` is K."""

    preset: Preset = "paper"
    epochs: int | None = None
    encoder: str = "minilm"
    candidates: int = 10


@dataclass(frozen=True)
class Declared:
    """The baseline of that name, by the functions that its file defines.

    ``create`` makes it. ``train``, where there is one, trains it with the settings that ``configured`` gives.
    ``rows`` are its rows of Table 5. Each says by the names of its parameters what it takes; ``PARTS`` names
    the baselines whose folders, beside each other, are its own.
    """

    name: str

    @property
    def trained(self) -> bool:
        """Whether it is trained before it scores."""
        return self._defines("train")

    @property
    def parts(self) -> tuple[str, ...]:
        """Baselines that it is put together from; empty for one that has a folder of its own."""
        found: tuple[str, ...] = getattr(BASELINES.module(self.name), "PARTS", ())
        return found

    @property
    def about(self) -> str:
        """What its file says of it."""
        return BASELINES.module(self.name).__doc__ or self.name

    def settings(self, wanted: Wanted) -> Settings | None:
        """The settings that it is trained with, None where it is not trained. Raises AmeliError."""
        if not self.trained:
            return None
        settings: Settings = self._make(
            "configured",
            {
                "preset": lambda: wanted.preset,
                "epochs": lambda: wanted.epochs,
                "encoder": lambda: wanted.encoder,
                "candidates": lambda: wanted.candidates,
            },
        )
        return settings

    def rows(self, settings: Settings | None) -> tuple[TableRow, ...]:
        """Its rows of Table 5 when it is trained with these settings."""
        if not self._defines("rows"):
            return ()
        found: tuple[TableRow, ...] = self._make("rows", {"settings": lambda: settings})
        return found

    def create(self, material: Material, folder: Path | None, variant: str, seed: int) -> Baseline:
        """The baseline, of a trained one with the weights in ``folder``. Raises AmeliError."""
        if variant and "variant" not in BASELINES.needs(self.name):
            raise AmeliError(f"The baseline {self.name} has no variant {variant!r}: it has one form only.")
        made: Baseline = self._make(
            "create",
            {
                "material": lambda: material,
                "folder": lambda: folder,
                "variant": lambda: variant,
                "seed": lambda: seed,
            },
        )
        return made

    def train(
        self,
        course: Course,
        out: Path,
        settings: Settings,
        variants: Sequence[str],
        seed: int,
        progress: Progress,
    ) -> Any:
        """Trains it into ``out``; what the training says of itself.

        Candidates of the course's reviews are found only where the settings or the training ask for them.
        """
        if settings.needs_candidates:
            course = course.with_candidates()
        return self._make(
            "train",
            {
                "material": lambda: course.material,
                "train": lambda: course.train,
                "dev": lambda: course.dev,
                "train_examples": lambda: course.examples(course.train),
                "dev_examples": lambda: course.examples(course.dev),
                "out": lambda: out,
                "settings": lambda: settings,
                "variants": lambda: tuple(variants),
                "seed": lambda: seed,
                "progress": lambda: progress,
            },
        )

    def _defines(self, function: str) -> bool:
        return hasattr(BASELINES.module(self.name), function)

    def _make(self, function: str, offered: Mapping[str, Callable[[], Any]]) -> Any:
        by_function: Registry = replace(BASELINES, entry=function)
        return by_function.make(self.name, offered)


def declared() -> list[Declared]:
    """All baselines, by name."""
    return [Declared(name) for name in BASELINES.names()]
