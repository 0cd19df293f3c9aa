"""The random baseline of the paper's Table 5: scores that know nothing, the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ameli_llm.ties import chance
from ameli_llm.types import Progress
from eval.baselines.baseline import Scored, TableRow, Task

RANGE = 2.0**64


@dataclass(frozen=True)
class Random:
    """Scores from 0 to 1, by a hash of seed, review and product: blind to order and to the size of ids."""

    seed: int = 0

    def score(self, tasks: Sequence[Task], progress: Progress | None = None) -> list[Scored]:
        """[K] for each task."""
        return [Scored(np.array(self._scores(task), dtype=np.float32)) for task in tasks]

    def _scores(self, task: Task) -> list[float]:
        return [chance(self.seed, task.review.id, entity) / RANGE for entity in task.entity_ids]

    def describe(self) -> Mapping[str, Any]:
        """The seed."""
        return {"seed": self.seed}

    def title(self, name: str) -> str:
        """The name itself: it reads nothing."""
        return name


def create(seed: int = 0) -> Random:
    """The baseline of this seed."""
    return Random(seed)


def rows() -> tuple[TableRow, ...]:
    """Its row of the paper's table."""
    return (TableRow("random"),)
