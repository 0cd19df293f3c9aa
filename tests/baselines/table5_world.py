"""A small twin, and ``ameli-llm reproduce table5`` on it in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import Done, command
from tests.retrieval.tiny_sbert import tiny_sbert
from tests.shared_setup import cache_of, twin_of


@dataclass(frozen=True)
class World:
    """A twin, and options for its table in seconds: no OCR, one epoch, a text encoder of one layer."""

    twin: Path
    options: tuple[object, ...]

    def reproduce(self, out: Path, *words: object, dataset: Path | None = None) -> Done:
        """The table of the twin, or of another ``dataset``, in ``out``."""
        return command("reproduce", "table5", dataset or self.twin, "--out", out, *self.options, *words)


@contextmanager
def small_world(factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world, with a cache of its own; its text encoder is the same in all worlds."""
    twin = twin_of(factory, products=30, reviews=60, seed=1)
    root = factory.mktemp("world")
    model = tiny_sbert(factory)
    weights = "retrieval.weights={title: 5.0, image: 20.0}"
    settings = [f"retrieval.text_model={model}", weights, "attributes.extractors=[rules]"]
    options = ["--epochs", 1, "--encoder", model, *(word for one in settings for word in ("--set", one))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMELI_LLM_CACHE", str(cache_of(factory, root / "cache")))
        yield World(twin, tuple(options))
