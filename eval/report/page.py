"""The report of a run, or of two: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm.errors import AmeliError
from ameli_llm.files import write_text
from ameli_llm.ids import ReviewId, id_order
from ameli_llm.prompting.exchanges import as_text
from ameli_llm.runs import RunFolder
from ameli_llm.transcripts import read_transcript
from eval.evaluation import Evaluation, evaluate_run
from eval.failures import COMMONEST, FailureKind, failure_kinds
from eval.measures import shown
from eval.measures.calibration import risk_curve
from eval.measures.error_budget import CAUSES, cause_of
from eval.measures.judged import Judged
from eval.measures.showing import Score, Shown
from eval.paired import Paired, changed_settings, compare
from eval.report.cards import LONGEST_TRANSCRIPT, Card, CardMaker
from eval.standing import Standing, standing

LONGEST_LIST = 500
"""Reviews listed: first what changed between the runs, then the wrong ones, then the right ones."""

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
"""What the head of the report says of a run, and where ``run.json`` has it."""


DRAWN = frozenset({"agreement", "answers", "calibration", "counts", "error_budget", "f1", "recall", "slices"})
"""Measures that the page draws in its own way; what the others show is listed."""


@dataclass(frozen=True)
class ScoreLine:
    """A row of the score table; ``a`` and ``b`` are scores of ``metrics.json``."""

    name: str
    hint: str
    a: Mapping[str, Any] | None
    b: Mapping[str, Any] | None


@dataclass(frozen=True)
class Side:
    """A run as the report shows it. ``document`` is the content of its ``metrics.json``."""

    name: str
    manifest: Mapping[str, Any]
    evaluation: Evaluation
    document: Mapping[str, Any]
    standing: Standing

    @classmethod
    def of(cls, run: RunFolder) -> Side:
        """Raises AmeliError when the folder is no run, has no predictions, or is broken."""
        evaluation = evaluate_run(run)
        far = standing(run, len(evaluation.rows))
        return cls(run.path.resolve().name, run.manifest(), evaluation, evaluation.document(), far)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What the run was: those of ``FACTS`` that the manifest has."""
        found = [(name, _lookup(self.manifest, path)) for name, path in FACTS.items()]
        return [(name, value) for name, value in found if value]

    @property
    def spec(self) -> Mapping[str, Any]:
        """What decided the run's result."""
        content: Mapping[str, Any] = self.manifest.get("spec", {})
        return content

    @property
    def raw(self) -> str:
        """``run.json`` as it is."""
        return json.dumps(self.manifest, indent=2, ensure_ascii=False)

    @property
    def curve(self) -> list[tuple[float, float]]:
        """Points of risk against coverage."""
        return risk_curve(self.evaluation.judged)

    @property
    def failures(self) -> list[FailureKind]:
        """The commonest kinds of failures."""
        return failure_kinds(self.evaluation.rows)[:COMMONEST]

    @property
    def others(self) -> list[Shown]:
        """What the measures show that the page does not draw."""
        return [part for name, part in shown(self.document) if name not in DRAWN]


@dataclass(frozen=True)
class Written:
    """A report on disk, and how far its runs are, by what it calls them ("" for a single one)."""

    path: Path
    standings: Mapping[str, Standing]


def write_report(run: RunFolder, out: Path | None = None, other: RunFolder | None = None) -> Written:
    """Writes the report of ``run``, with ``other`` as run B, to ``out`` (default: into the run folder).

    Raises AmeliError when a folder is no run, has no predictions, or the two share no review with gold.
    """
    out = out or run.path / "report.html"
    a, b = Side.of(run), Side.of(other) if other else None
    write_text(out, _page(run, a, other, b))
    return Written(out, {"A": a.standing, "B": b.standing} if b else {"": a.standing})


def render(run: RunFolder, other: RunFolder | None = None) -> str:
    """The report as HTML. Everything that comes from data is escaped."""
    return _page(run, Side.of(run), other, Side.of(other) if other else None)


def _page(run: RunFolder, a: Side, other: RunFolder | None, b: Side | None) -> str:
    import jinja2

    paired = _paired(a, b) if b else None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cards = _cards(run, a, other, b, paired)
    return environment.get_template("report.html.j2").render(
        a=a,
        b=b,
        paired=paired,
        changed=changed_settings(a.spec, b.spec) if b else {},
        scores=_scores(a, b),
        causes=CAUSES,
        cards=cards,
        total=len(a.evaluation.judged),
        slices=sorted({name for card in cards for name in card.slices}),
    )


def _paired(a: Side, b: Side) -> Paired:
    first, second = a.evaluation.judged, b.evaluation.judged
    return compare(
        [one.row for one in first],
        {one.review_id: one.gold for one in first},
        [one.row for one in second],
        {one.review_id: one.gold for one in second},
    )


def _scores(a: Side, b: Side | None) -> list[ScoreLine]:
    """The scores of all measures that A knows."""
    beside = {score.name: score.interval for score in _shown_scores(b)} if b else {}
    return [
        ScoreLine(score.name, score.hint, score.interval, beside.get(score.name))
        for score in _shown_scores(a)
        if score.interval is not None
    ]


def _shown_scores(side: Side) -> list[Score]:
    return [score for _, part in shown(side.document) for score in part.scores]


def _cards(
    run: RunFolder, a: Side, other: RunFolder | None, b: Side | None, paired: Paired | None
) -> list[Card]:
    """Cards of at most ``LONGEST_LIST`` reviews; equal ones in order of review id."""
    fixed, broken = (set(paired.answered.fixed), set(paired.answered.broken)) if paired else (set(), set())
    beside = {one.review_id: one for one in b.evaluation.judged} if b else {}

    def change(one: Judged) -> str:
        return "fixed" if one.review_id in fixed else "broken" if one.review_id in broken else ""

    def order(one: Judged) -> tuple[bool, bool, tuple[bool, int, str]]:
        return (not change(one), one.right, id_order(one.review_id))

    evaluation = a.evaluation
    maker = CardMaker(
        run.texts("reviews"),
        run.texts("products"),
        lambda one: cause_of(one, evaluation.metrics["k"], evaluation.config.fusion),
        lambda review: _transcript(run, a, review),
        lambda review: _transcript(other, b, review) if other and b else "",
    )
    chosen: Sequence[Judged] = sorted(evaluation.judged, key=order)[:LONGEST_LIST]
    return [maker.card(one, change(one), beside.get(one.review_id)) for one in chosen]


def _transcript(run: RunFolder, side: Side, review: ReviewId) -> str:
    """Prompts and replies of a review; a damaged file costs them, not the report."""
    try:
        exchanges = read_transcript(run.path, review)
    except AmeliError as error:
        return f"cannot be read: {error.message}"
    templates: Mapping[str, str] = side.spec.get("templates") or {}
    text = as_text(exchanges, {identity: name for name, identity in templates.items()})
    if len(text) <= LONGEST_TRANSCRIPT:
        return text
    rest = f"\n... the rest: ameli-llm show RUN {review}"
    return text[: LONGEST_TRANSCRIPT - len(rest)] + rest


def _lookup(tree: Any, path: str) -> str:
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    if isinstance(tree, Mapping):
        return ", ".join(f"{name} {str(identity)[:12]}" for name, identity in tree.items())
    return ", ".join(map(str, tree)) if isinstance(tree, list) else "" if tree is None else str(tree)
