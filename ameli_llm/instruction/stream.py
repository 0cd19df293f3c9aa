"""An endless, seeded stream of packed exercises over sources and templates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from ameli_llm.errors import AmeliError
from ameli_llm.instruction.exercises import Exercises
from ameli_llm.instruction.packing import Chat, Packed, pack
from ameli_llm.instruction.sources import Reviews, Source

_DRAWS = 200
"""Draws without an exercise after which the sources are taken to have none."""


def require_written(sources: Sequence[Source], templates: Sequence[Exercises]) -> None:
    """Raises AmeliError when a template learns from reviews that people wrote, and no source has them."""
    wanting = [one.template.name for one in templates if one.writes]
    if wanting and not any(isinstance(source, Reviews) for source in sources):
        raise AmeliError(
            f"Template {wanting[0]!r} learns from reviews that people wrote, and none is given.",
            hint="Name a dataset whose splits train and dev have reviews of known products.",
        )


class Stream:
    """Row n is drawn from the sources and templates in equal shares; the same row is the same exercise.

    ``longest`` is the number of tokens of an exercise at most.
    """

    def __init__(
        self, sources: Sequence[Source], templates: Sequence[Exercises], chat: Chat, seed: int, longest: int
    ) -> None:
        self._sources, self._templates, self._chat = sources, templates, chat
        self._seed, self._longest = seed, longest

    @property
    def identity(self) -> str:
        """Changes with anything that a row depends on, the tokenizer apart."""
        parts = [
            [source.identity for source in self._sources],
            [exercises.template.identity for exercises in self._templates],
            [self._seed, self._longest],
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def row(self, number: int) -> tuple[str, Packed]:
        """The template's name and the exercise of a row. Raises AmeliError when there is nothing to learn."""
        for draw in range(_DRAWS):
            rng = np.random.default_rng((self._seed, number, draw))
            source = self._sources[int(rng.integers(len(self._sources)))]
            exercises = self._templates[(number + draw) % len(self._templates)]
            told = source.told(int(rng.integers(2**31)))
            exercise = exercises.of(told, rng) if told else None
            packed = pack(exercise, self._chat, self._longest) if exercise else None
            if packed:
                return exercises.template.name, packed
        raise AmeliError(
            "No exercise can be made: no review decides an answer.",
            hint="The products need attributes in which those of one category differ, and prompts that fit.",
        )
