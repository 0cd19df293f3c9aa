"""A run folder for every baseline of Table 5: scores the candidates of one run, records it, measures it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ameli_llm import provenance
from ameli_llm.config import FusionConfig
from ameli_llm.files import write_json
from ameli_llm.ids import ReviewId, id_key
from ameli_llm.runner import fingerprint
from ameli_llm.runs import PredictionRow, RunFolder
from ameli_llm.types import Progress, Review
from eval.baselines.answers import answers
from eval.baselines.baseline import Baseline, Task
from eval.baselines.material import Material
from eval.baselines.tasks import tasks
from eval.evaluation import evaluate_run, run_config, write_evaluation
from eval.evaluation import spec as spec_of
from eval.leaks import FILE, read_traces
from eval.measures.judged import in_order
from eval.table5.rows import Row

IMAGE_BATCH = 64

NO_FUSION = FusionConfig(retrieval=0.0, text=0.0, image=0.0, nil_threshold=0.0)
"""Recorded for a baseline, whose own score decides alone."""


@dataclass(frozen=True)
class Scorer:
    """Scores rows on the candidates of one run (``start``), a run folder each."""

    material: Material
    reviews: Sequence[Review]
    start: RunFolder
    out: Path
    seed: int
    show: Progress

    def score(self, row: Row, baseline: Baseline) -> RunFolder:
        """The run folder of ``row``; it is left as it is when it is finished and nothing has changed."""
        found = {one.review_id: one for one in self.start.predictions()}
        made = tasks(found.values(), self.reviews, run_config(self.start).retrieval.candidates)
        spec = self._spec(row, baseline, list(found.values()))
        run = RunFolder(self.out / row.key)
        if not _finished(run, spec, len(made)):
            with run:
                self._score(run, row, spec, baseline, found, made)
        return run

    def _score(
        self,
        run: RunFolder,
        row: Row,
        spec: Mapping[str, Any],
        baseline: Baseline,
        found: Mapping[ReviewId, PredictionRow],
        made: Sequence[Task],
    ) -> None:
        manifest = {"spec": spec, "start": provenance.now(), "seed": self.seed, "end": None}
        manifest |= {"versions": provenance.versions(), "git": provenance.commit()}
        run.write_manifest(manifest)
        if row.reads_images:
            self._encode_images()
        begin = time.perf_counter()
        scored = baseline.score(made, self.show)
        rows = answers(found, made, scored, time.perf_counter() - begin)
        decided = fingerprint(spec)
        run.keep(
            one.model_copy(update={"key": fingerprint([found[one.review_id].key, decided])}) for one in rows
        )
        gold = {id_key(review): one.model_dump(mode="json") for review, one in self.start.gold().items()}
        write_json(run.path / "gold.json", gold)
        for name in ("reviews", "products"):
            texts = {id_key(id_): text for id_, text in self.start.texts(name).items()}
            write_json(run.path / f"{name}.json", texts)
        if traces := read_traces(self.start):
            write_json(run.path / FILE, traces.model_dump(mode="json", exclude_defaults=True))
        write_evaluation(run, evaluate_run(run))
        run.write_manifest(manifest | {"end": provenance.now()})

    def _encode_images(self) -> None:
        """So that the first row to need the images is not charged for all."""
        for start in range(0, len(self.reviews), IMAGE_BATCH):
            self.material.review_images(self.reviews[start : start + IMAGE_BATCH])
            self.show("review images", min(start + IMAGE_BATCH, len(self.reviews)), len(self.reviews))

    def _spec(self, row: Row, baseline: Baseline, found: Sequence[PredictionRow]) -> dict[str, Any]:
        config = run_config(self.start)
        comparison = config.comparison.model_copy(update={"comparators": ()})
        config = config.model_copy(update={"fusion": NO_FUSION, "comparison": comparison})
        made = {
            **spec_of(self.start),
            "config": config.model_dump(mode="json"),
            "candidates": fingerprint([(one.review_id, one.key) for one in in_order(found)]),
            "baseline": {"name": row.baseline, "variant": row.variant, "described": baseline.describe()},
        }
        content: dict[str, Any] = json.loads(json.dumps(made))
        return content


def _finished(run: RunFolder, spec: Mapping[str, Any], reviews: int) -> bool:
    if not all((run.path / name).is_file() for name in ("run.json", "metrics.json")):
        return False
    manifest = run.manifest()
    if manifest.get("spec") != spec or not manifest.get("end"):
        return False
    return sum(1 for _ in run.predictions()) == reviews
