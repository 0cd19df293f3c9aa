"""A run as the report shows it: its scores, its settings, how far it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ameli_llm.errors import AmeliError
from ameli_llm.ids import ReviewId
from ameli_llm.runs import RunFolder
from eval.evaluation import Evaluation, evaluate_run
from eval.failures import COMMONEST, FailureKind, failure_kinds
from eval.measures import shown
from eval.measures.calibration import risk_curve
from eval.measures.error_budget import cause_of
from eval.measures.judged import Judged
from eval.measures.showing import Score, Shown
from eval.measures.statistics import false_discovery
from eval.paired import RunComparison, compare_read
from eval.standing import Standing, standing

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What runs are called; a report has no more of them."""

CURVE = 200
"""Points of a curve that are drawn."""

FACTS: Mapping[str, str] = {
    "dataset": "spec.dataset.name",
    "split": "spec.dataset.split",
    "text encoder": "spec.config.retrieval.text_encoder",
    "image encoders": "spec.config.retrieval.image_encoders",
    "extractors": "spec.config.attributes.extractors",
    "comparators": "spec.config.comparison.comparators",
    "templates": "spec.templates",
    "engine": "spec.engine.name",
    "model": "spec.engine.model",
    "revision": "spec.engine.revision",
    "official leaks": "spec.official",
    "seed": "seed",
    "start": "start",
    "end": "end",
    "commit": "git.revision",
}
"""What the report says of a run's settings, and where ``run.json`` has it."""

DRAWN = frozenset({"agreement", "answers", "calibration", "counts", "error_budget", "f1", "recall", "slices"})
"""Measures that the page draws in its own way; what the others show is listed."""


@dataclass(frozen=True)
class Side:
    """A run as the report shows it. ``document`` is the content of its ``metrics.json``."""

    letter: str
    run: RunFolder
    manifest: Mapping[str, Any]
    evaluation: Evaluation
    document: Mapping[str, Any]
    standing: Standing

    @classmethod
    def of(cls, letter: str, run: RunFolder, evaluation: Evaluation | None = None) -> Side:
        """``evaluation`` where the run was measured already.

        Raises AmeliError when the folder is no run, has no predictions, or is broken.
        """
        evaluation = evaluation or evaluate_run(run)
        far = standing(run, len(evaluation.rows))
        return cls(letter, run, run.manifest(), evaluation, evaluation.document(), far)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.run.path.resolve().name

    @property
    def facts(self) -> dict[str, str]:
        """What the run was: those of ``FACTS`` that the manifest has."""
        found = {name: _lookup(self.manifest, path) for name, path in FACTS.items()}
        return {name: value for name, value in found.items() if value}

    @property
    def raw(self) -> str:
        """``run.json`` as it is."""
        return json.dumps(self.manifest, indent=2, ensure_ascii=False)

    @property
    def templates(self) -> dict[str, str]:
        """Names of the templates by identity."""
        names = (self.manifest.get("spec") or {}).get("templates")
        return {str(identity): name for name, identity in names.items()} if isinstance(names, Mapping) else {}

    @property
    def curve(self) -> list[tuple[float, float]]:
        """At most ``CURVE`` points of risk against coverage, the last among them."""
        points = risk_curve(self.evaluation.judged)
        step = max(1, -(-len(points) // CURVE))
        return points[::-1][::step][::-1]

    @property
    def failures(self) -> list[FailureKind]:
        """The commonest kinds of failures."""
        return failure_kinds(self.evaluation.rows)[:COMMONEST]

    @property
    def scores(self) -> dict[str, Score]:
        """The scores of all measures that are known, by name."""
        every = (score for _, part in shown(self.document) for score in part.scores)
        return {score.name: score for score in every if score.interval is not None}

    @property
    def others(self) -> list[Shown]:
        """What the measures show that the page does not draw."""
        return [part for name, part in shown(self.document) if name not in DRAWN]

    @cached_property
    def judged(self) -> Mapping[ReviewId, Judged]:
        """The scored reviews by id."""
        return {one.review_id: one for one in self.evaluation.judged}

    def cause(self, one: Judged) -> str:
        """The key of ``error_budget.CAUSES`` that explains the error, "" when the run is right."""
        return cause_of(one, self.evaluation.metrics["k"], self.evaluation.config.fusion) or ""


@dataclass(frozen=True)
class Against:
    """A run against the first one; ``q`` is p corrected for the number of runs that are compared."""

    side: Side
    compared: RunComparison
    q: float


def open_sides(runs: Sequence[RunFolder], first: Evaluation | None = None) -> list[Side]:
    """The runs of a report, called A, B, C and so on; ``first`` where the first was measured already.

    Raises AmeliError for one that is broken.
    """
    if len(runs) > len(LETTERS):
        raise AmeliError(
            f"{len(runs)} runs: a report takes up to {len(LETTERS)}.", hint="Name fewer of them."
        )
    known = [first] + [None] * (len(runs) - 1)
    return [Side.of(*side) for side in zip(LETTERS, runs, known, strict=False)]


def compare_sides(sides: Sequence[Side]) -> list[Against]:
    """Each run against the first. Raises AmeliError when two share no review or have other right products."""
    first, *others = sides
    compared = [
        compare_read(
            first.run,
            first.evaluation.rows,
            {id_: one.gold for id_, one in first.judged.items()},
            side.run,
            side.evaluation.rows,
            {id_: one.gold for id_, one in side.judged.items()},
        )
        for side in others
    ]
    corrected = false_discovery([one.paired.answered.p for one in compared])
    return [Against(*one) for one in zip(others, compared, corrected, strict=True)]


def _lookup(tree: Any, path: str) -> str:
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    if isinstance(tree, Mapping):
        return ", ".join(f"{name} {str(identity)[:12]}" for name, identity in tree.items())
    return ", ".join(map(str, tree)) if isinstance(tree, list) else "" if tree is None else str(tree)
