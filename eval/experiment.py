"""Experiments on a split: link it into a run folder, tune on it, leave sources of evidence out."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ameli_llm import provenance
from ameli_llm.config import RunConfig
from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.errors import AmeliError
from ameli_llm.files import write_json
from ameli_llm.flow import Flow
from ameli_llm.ids import EntityId, ReviewId, id_key, id_order
from ameli_llm.parallel import in_parallel
from ameli_llm.pipeline import Pipeline, open_pipeline
from ameli_llm.resolution import model_free, resolve, shares
from ameli_llm.reuse import keeping
from ameli_llm.runner import fingerprint, resume, review_key, run, start_or_resume
from ameli_llm.runs import TEMPLATES, GoldRow, PredictionRow, RunFolder
from ameli_llm.stages import Stages
from ameli_llm.types import Link, Progress, Review
from eval.evaluation import MADE as SCORES
from eval.evaluation import evaluate_run, write_evaluation
from eval.failures import FAILED, FailureKind, failure_kinds
from eval.leaks import FILE, traces
from eval.official.leaks import HONEST, OFFICIAL, Official, official_flow
from eval.report.page import write_report
from eval.standing import closed, opened, settled
from eval.tuning.tune import Tuned, tune

MADE = (*SCORES, "report.html")
"""Files of a run folder that are made of its predictions and gold."""


class Workplace(Protocol):
    """Where batches are linked: in this process, or by others (``ameli_llm.distributed``)."""

    @property
    def requests(self) -> int:
        """Requests sent to a model so far."""

    def link(self, batches: Iterable[Sequence[Review]]) -> Generator[list[Link], None, None]:
        """The links of each batch, as they are done."""


@dataclass(frozen=True)
class Here:
    """This process, with as many threads as the engine asks for."""

    pipeline: Pipeline
    flow: Flow

    @property
    def requests(self) -> int:
        """Those of the pipeline."""
        return self.pipeline.requests

    def link(self, batches: Iterable[Sequence[Review]]) -> Generator[list[Link], None, None]:
        """The flow's links."""
        return in_parallel(self.flow.link, batches, self.pipeline.workers)


@dataclass(frozen=True)
class Outcome:
    """A finished run. ``fresh`` reviews were linked now, the others had been before.

    ``error_rate`` is the share of failed reviews, ``failures`` their kinds; ``metrics`` is the content of
    metrics.json, None without gold. ``taken`` counts, by stage, the reviews that it was not run for now: its
    result was there, of this run or of one that was named.
    """

    folder: RunFolder
    fresh: int
    error_rate: float
    failures: tuple[FailureKind, ...]
    metrics: Mapping[str, Any] | None
    taken: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        folder: RunFolder,
        rows: Sequence[PredictionRow],
        fresh: int,
        metrics: Mapping[str, Any] | None,
        taken: Mapping[str, int] | None = None,
    ) -> Outcome:
        """The outcome of a run that is on disk, whose predictions are ``rows``."""
        failed = sum(row.state in FAILED for row in rows)
        return cls(
            folder,
            fresh,
            failed / len(rows) if rows else 0.0,
            tuple(failure_kinds(rows)),
            metrics,
            taken or {},
        )


def link_split(
    pipeline: Pipeline,
    dataset: Dataset,
    split: Split,
    out: Path,
    progress: Progress,
    limit: int | None = None,
    official: Official | None = None,
    transcripts: bool = True,
    reuse: Sequence[Path] = (),
    elsewhere: Callable[[Pipeline, Stages | None], Workplace] | None = None,
) -> Outcome:
    """Links the first ``limit`` reviews of ``split`` (all: None) into ``out`` and, with gold, evaluates.

    Gold is written beside the predictions for evaluation; the pipeline is given reviews without it, unless
    ``official`` asks for leaks of the official code (``eval.official.leaks``). ``transcripts`` says whether
    prompts and replies, and what each stage gave, are kept. ``reuse`` names runs from which a stage is taken
    wherever all that decides it is the same: links are what they would be without. ``elsewhere`` makes the
    workplace where batches are linked, in place of this process. Raises AmeliError when there is something
    left to link and the engine fails its canary. A finished run is left as it is.
    """
    flow = pipeline.flow
    protocol: dict[str, Any] = {"protocol": HONEST}
    if reuse and (official or not transcripts):
        raise AmeliError(
            "A run that takes stages from another keeps them too, and has none of the official code's leaks.",
            hint="Leave out --no-transcripts and --official, or --from.",
        )
    if official and elsewhere:
        raise AmeliError("--official links in this process only.", hint="Leave out --on.")
    if official:
        flow, found = official_flow(flow, split.gold, official)
        protocol = {"protocol": OFFICIAL, "official": list(found.names)}
    reviews = split.reviews[:limit]
    spec = {
        **pipeline.spec(),
        **protocol,
        "dataset": {"name": dataset.name, "split": split.name}
        | {"products": dataset.digest, "reviews": split.digest},
    }
    key = fingerprint(_deciding(spec))
    keys = {review.id: review_key(review, key, dataset.review_image) for review in reviews}
    with RunFolder(out) as folder:
        manifest = settled(folder, start_or_resume(folder, spec))
        done = resume(folder, keys)
        finished = bool(manifest.get("end")) and len(done) == len(reviews)
        if finished and _is_whole(folder, split, keys.keys()):
            progress("linking", len(done), len(reviews))
            rows = list(folder.predictions())
            return Outcome.of(folder, rows, 0, evaluate_run(folder, rows).document() if split.gold else None)
        if len(done) < len(reviews):
            pipeline.canary()
        _write_gold(folder, pipeline, split, keys.keys())
        taken: Mapping[str, int] = {}
        if not finished:
            with Stages(folder.path, reuse) if transcripts and not official else nullcontext() as stages:
                flow = keeping(pipeline, stages) if stages else flow
                work = elsewhere(pipeline, stages) if elsewhere else Here(pipeline, flow)
                _link(folder, manifest, pipeline, work, reviews, keys, done, progress, transcripts)
                taken = stages.taken if stages else {}
        rows = folder.arranged(keys)
        _write_texts(folder, dataset, split, rows)
        if split.gold:
            _write_traces(folder, flow, dataset, split, rows)
        if not finished:
            folder.write_manifest(folder.manifest() | {"end": provenance.now()})
        metrics = _evaluate(folder, rows) if split.gold else None
        return Outcome.of(folder, rows, len(reviews) - len(done), metrics, taken)


def _link(
    folder: RunFolder,
    manifest: Mapping[str, Any],
    pipeline: Pipeline,
    work: Workplace,
    reviews: Sequence[Review],
    keys: Mapping[ReviewId, str],
    done: Set[ReviewId],
    progress: Progress,
    transcripts: bool,
) -> None:
    """Links what is not ``done``, as a session of the manifest; what was made of fewer reviews goes."""
    for name in MADE:
        (folder.path / name).unlink(missing_ok=True)
    manifest = {"start": provenance.now(), **manifest, "seed": pipeline.config.seed}
    manifest |= {"versions": provenance.versions(), "git": provenance.commit()}
    manifest = opened({**manifest, "end": None, "reviews": len(reviews)})
    folder.write_manifest(manifest)
    if pipeline.templates:
        write_json(
            folder.path / TEMPLATES,
            {
                name: {"source": one.source, "included": dict(one.included)}
                for name, one in pipeline.templates.items()
            },
        )
    began, sent = time.monotonic(), work.requests
    run(
        work.link,
        reviews,
        keys,
        folder,
        done,
        batch_size=pipeline.batch_size,
        progress=lambda done, total: progress("linking", done, total),
        transcripts=transcripts,
    )
    folder.write_manifest(closed(manifest, time.monotonic() - began, work.requests - sent))


def _is_whole(folder: RunFolder, split: Split, ids: Set[ReviewId]) -> bool:
    """Whether the folder of a finished run has every file that linking leaves behind."""
    names = ["reviews.json", "products.json"]
    names += ["gold.json"] if ids & split.gold.keys() else []
    names += [FILE, *MADE] if split.gold else []
    return all((folder.path / name).is_file() for name in names)


def candidate_run(
    dataset: Dataset, split: str, config: RunConfig, index: Path | None, out: Path, progress: Progress
) -> list[PredictionRow]:
    """Predictions of the pipeline without a model over ``split``, linked into the run folder ``out``.

    Baselines start from its candidates and attributes. An interrupted run is taken up again, a finished one
    is read. Raises AmeliError when ``out`` holds another run.
    """
    with open_pipeline(dataset, model_free(config), index, progress) as pipeline:
        outcome = link_split(pipeline, dataset, dataset.split(split), out, progress)
    return list(outcome.folder.predictions())


def tune_pipeline(
    pipeline: Pipeline,
    reviews: Sequence[Review],
    gold: Mapping[ReviewId, EntityId | None],
    progress: Progress,
    precision: float | None = None,
) -> Tuned:
    """The configuration that ``eval.tuning.tune`` chooses for the pipeline on these reviews.

    Raises AmeliError when the engine fails its canary.
    """
    pipeline.canary()
    parts = pipeline.finder, pipeline.flow, pipeline.config, pipeline.panel
    return tune(*parts, reviews, gold, progress, precision)


def link_variants(
    dataset: Dataset,
    split: Split,
    configs: Mapping[str, RunConfig],
    out: Path,
    progress: Progress,
    limit: int | None = None,
    index: Path | None = None,
    prompts: Path | None = None,
) -> Iterator[tuple[str, Outcome]]:
    """Links ``split`` with each configuration into a folder of its name in ``out``, as they are finished.

    Index and model are opened once for all that can share them with the first.
    """
    first, *_ = configs.values()
    with open_pipeline(dataset, first, index, progress, prompts) as opened:
        for name, config in configs.items():
            folder = out / name
            if shares(opened.config, resolve(config)):
                yield name, link_split(opened.variant(config), dataset, split, folder, progress, limit)
                continue
            with open_pipeline(dataset, config, index, progress, prompts) as other:
                yield name, link_split(other, dataset, split, folder, progress, limit)


def _deciding(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's ``spec`` that decides the row of a review."""
    config = {name: value for name, value in spec["config"].items() if name != "engine"}
    config["retrieval"] = {name: value for name, value in config["retrieval"].items() if name != "chroma_url"}
    return {**spec, "config": config, "dataset": spec["dataset"]["products"]}


def _write_gold(folder: RunFolder, pipeline: Pipeline, split: Split, ids: Set[ReviewId]) -> None:
    products, attributes = pipeline.flow.products, pipeline.flow.attributes
    rows = {}
    for review in split.reviews:
        if review.id in ids and review.id in split.gold:
            gold = split.gold[review.id]
            rows[id_key(review.id)] = GoldRow(
                gold=gold,
                category=products[gold].leaf_category if gold is not None else "",
                slices=review.slices,
                attributes=dict(attributes[gold]) if gold is not None else {},
            ).model_dump(mode="json")
    if rows:
        write_json(folder.path / "gold.json", rows)


def _write_texts(folder: RunFolder, dataset: Dataset, split: Split, rows: list[PredictionRow]) -> None:
    """The texts that a report shows: the reviews, and the names of the compared and the gold products."""
    done = {row.review_id for row in rows}
    reviews = {
        id_key(review.id): {
            "header": review.header,
            "body": review.body,
            "mention": review.mention,
            "images": list(review.images),
        }
        for review in split.reviews
        if review.id in done
    }
    seen = {c.entity_id for row in rows for c in row.candidates[: row.compared]}
    seen |= {gold for gold in split.gold.values() if gold is not None}
    write_json(folder.path / "reviews.json", reviews)
    write_json(
        folder.path / "products.json",
        {id_key(i): dataset.products[i].name for i in sorted(seen, key=id_order)},
    )


def _write_traces(
    folder: RunFolder, flow: Flow, dataset: Dataset, split: Split, rows: list[PredictionRow]
) -> None:
    """What the leak audit of the run needs to know of the whole dataset."""
    done = {row.review_id for row in rows}
    reviews = [review for review in split.reviews if review.id in done]
    titles = dict(split.gold_names)
    titles |= {review: dataset.products[i].name for review, i in split.gold.items() if i is not None}
    others = {name: _gold_of(dataset, name) for name in dataset.splits() if name != split.name}
    found = traces(reviews, rows, titles, flow.attributes, split.gold, others)
    write_json(folder.path / FILE, found.model_dump(mode="json", exclude_defaults=True))


def _gold_of(dataset: Dataset, name: str) -> frozenset[EntityId] | None:
    """The gold products of another split; None when it cannot be read, which ``data check`` explains."""
    try:
        gold = dataset.split(name).gold
    except AmeliError:
        return None
    return frozenset(product for product in gold.values() if product is not None)


def _evaluate(folder: RunFolder, rows: Sequence[PredictionRow]) -> Mapping[str, Any]:
    evaluation = evaluate_run(folder, rows)
    metrics = write_evaluation(folder, evaluation)
    write_report(folder, evaluation=evaluation)
    return metrics
