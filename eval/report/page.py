"""The report of a run, or of two: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm.files import write_text
from ameli_llm.ids import id_order
from ameli_llm.runs import RunFolder
from eval.evaluation import Evaluation, evaluate_run
from eval.measures.error_budget import CAUSES, cause_of
from eval.measures.judged import Judged
from eval.measures.statistics import Interval
from eval.paired import Paired, changed_settings, compare
from eval.report.cards import Card, CardMaker

LONGEST_LIST = 500
"""Reviews listed: first what changed between the runs, then the wrong ones, then the right ones."""

FACTS: Mapping[str, str] = {
    "dataset": "spec.dataset.name",
    "split": "spec.dataset.split",
    "text encoder": "spec.config.retrieval.text_encoder",
    "image encoder": "spec.config.retrieval.image_encoder",
    "extractors": "spec.config.attributes.extractors",
    "comparator": "spec.config.comparison.comparator",
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


@dataclass(frozen=True)
class ScoreLine:
    """A row of the score table."""

    name: str
    hint: str
    a: Interval | None
    b: Interval | None


@dataclass(frozen=True)
class Side:
    """A run as the report shows it."""

    name: str
    manifest: Mapping[str, Any]
    evaluation: Evaluation

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


def write_report(run: RunFolder, out: Path | None = None, other: RunFolder | None = None) -> Path:
    """Writes the report of ``run``, with ``other`` as run B, to ``out`` (default: into the run folder).

    Raises AmeliError when a folder is no run, has no predictions, or the two share no review with gold.
    """
    out = out or run.path / "report.html"
    write_text(out, render(run, other))
    return out


def render(run: RunFolder, other: RunFolder | None = None) -> str:
    """The report as HTML. Everything that comes from data is escaped."""
    import jinja2

    a = _side(run)
    b = _side(other) if other else None
    paired = _paired(a, b) if b else None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cards = _cards(run, a, b, paired)
    return environment.get_template("report.html.j2").render(
        a=a,
        b=b,
        paired=paired,
        changed=_changed(a, b),
        scores=_scores(a.evaluation, b.evaluation if b else None),
        causes=CAUSES,
        cards=cards,
        total=len(a.evaluation.judged),
        slices=sorted({name for card in cards for name in card.slices}),
    )


def _side(run: RunFolder) -> Side:
    return Side(run.path.resolve().name, run.require().manifest(), evaluate_run(run))


def _paired(a: Side, b: Side) -> Paired:
    first, second = a.evaluation.judged, b.evaluation.judged
    return compare(
        [one.row for one in first],
        {one.review_id: one.gold for one in first},
        [one.row for one in second],
        {one.review_id: one.gold for one in second},
    )


def _changed(a: Side, b: Side | None) -> dict[str, tuple[Any, Any]]:
    if b is None:
        return {}
    return changed_settings(a.spec, b.spec)


def _scores(a: Evaluation, b: Evaluation | None) -> list[ScoreLine]:
    first, second = _named_scores(a), _named_scores(b) if b else {}
    return [
        ScoreLine(name, hint, score, second.get(name, ("", None))[1]) for name, (hint, score) in first.items()
    ]


def _named_scores(evaluation: Evaluation) -> dict[str, tuple[str, Interval | None]]:
    m = evaluation.metrics
    return {
        "End-to-end F1": ("all reviews with gold", m.end_to_end_f1),
        "Disambiguation F1": (f"right product among the first {m.k}", m.disambiguation_f1),
        "Precision of links": ("right links by links", m.precision),
        "Accuracy with nil": ("nil is right when the product is not in the KB", m.accuracy),
        **{
            f"Recall@{k}": ("reviews whose product is in the KB", interval)
            for k, interval in m.recall.items()
            if interval is not None
        },
    }


def _cards(run: RunFolder, a: Side, b: Side | None, paired: Paired | None) -> list[Card]:
    """Cards of at most ``LONGEST_LIST`` reviews; equal ones in order of review id."""
    fixed, broken = (set(paired.fixed), set(paired.broken)) if paired else (set(), set())
    beside = {one.review_id: one for one in b.evaluation.judged} if b else {}

    def change(one: Judged) -> str:
        return "fixed" if one.review_id in fixed else "broken" if one.review_id in broken else ""

    def order(one: Judged) -> tuple[bool, bool, tuple[bool, int, str]]:
        return (not change(one), one.right, id_order(one.review_id))

    evaluation = a.evaluation
    maker = CardMaker(
        run.texts("reviews"),
        run.texts("products"),
        lambda one: cause_of(one, evaluation.metrics.k, evaluation.config.fusion),
    )
    chosen: Sequence[Judged] = sorted(evaluation.judged, key=order)[:LONGEST_LIST]
    return [maker.card(one, change(one), beside.get(one.review_id)) for one in chosen]


def _lookup(tree: Any, path: str) -> str:
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    if isinstance(tree, Mapping):
        return ", ".join(f"{name} {str(identity)[:12]}" for name, identity in tree.items())
    return ", ".join(map(str, tree)) if isinstance(tree, list) else "" if tree is None else str(tree)
