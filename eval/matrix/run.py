"""A matrix at work: its cells are forecast, then linked one after the other, each into its own run folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from ameli_llm.config import RunConfig
from ameli_llm.dataset.load import Dataset, Split, load_dataset
from ameli_llm.engines.engine import ChatRequest, Engine
from ameli_llm.errors import AmeliError
from ameli_llm.files import lock, make_folder
from ameli_llm.parallel import batched, in_parallel
from ameli_llm.pipeline import Pipeline, open_pipeline
from ameli_llm.resolution import asks_model, shares
from ameli_llm.reuse import keeping
from ameli_llm.runner import start_or_resume
from ameli_llm.runs import RunFolder
from ameli_llm.stages import FILE as STAGES
from ameli_llm.stages import Stages
from ameli_llm.types import Progress, Review, State
from eval.evaluation import spec
from eval.experiment import Outcome, link_split
from eval.matrix.forecast import Ahead, Expected, Forecast
from eval.matrix.ledger import Ledger
from eval.matrix.meter import Known, Meter
from eval.matrix.plan import Plan
from eval.sampling import sampled

RUNS = "runs"
"""Folder of the cells' run folders."""

PREPARED = "prepared"
"""Folder of what retrieval and the extractors that need no model found for the forecast."""

TIMED = 16
"""Most calls by which the pace of a model is taken, where none was timed before."""


class Matrix:
    """The cells of a plan on one sample. One model and one index are open at a time, shared by all that can.

    ``cells`` holds the configurations by name, ``sample`` the reviews, ``ledger`` what was sent.
    """

    def __init__(
        self,
        plan: Plan,
        out: Path,
        progress: Progress,
        index: Path | None = None,
        most_tokens: int | None = None,
    ) -> None:
        self.plan, self.out = plan, out
        self.cells: Mapping[str, RunConfig] = plan.cells()
        self.baseline = plan.chosen_baseline(self.cells)
        self.dataset = load_dataset(plan.dataset)
        self.sample = _sample(plan, self.dataset)
        self.ledger = Ledger(out, most_tokens)
        self._groups = _groups(self.cells)
        self._index, self._progress = index, progress
        self._known = Known()
        self._expected: dict[str, Ahead] = {}
        self._due: list[tuple[str, Sequence[str], list[ChatRequest]]] = []
        self._open = ExitStack()
        self._opened: tuple[Sequence[str], dict[str, Pipeline]] | None = None
        self._meter: Meter | None = None

    def run(self, cell: str) -> RunFolder:
        """The run folder of a cell."""
        return RunFolder(self.out / RUNS / cell)

    def forecast(self) -> Forecast:
        """What is left to send. Nothing is sent for it, but a server counts tokens.

        Raises AmeliError when a part cannot be made, a server is not there, or a folder holds another run.
        """
        estimated, self._due = False, []
        for group in self._groups:
            variants = self._variants(group)
            expected = Expected(self._meter) if self._meter else None
            for cell, variant in variants.items():
                self._check(cell, variant)
                self._expected[cell] = self._ahead(cell, variant, expected) if expected else Ahead()
            if expected:
                self._due.append((expected.meter.account, group, list(expected.requests.values())))
                estimated |= expected.meter.estimates
        cells = {cell: self._expected[cell] for cell in self.cells}
        return Forecast(cells, estimated, self._seconds())

    def timed(self, forecast: Forecast) -> Forecast:
        """The forecast with its seconds: a few of its calls are made where a model's pace is not known.

        Their replies are kept. Raises AmeliError when a model fails its canary, and BudgetSpentError.
        """
        for account, group, requests in self._due:
            if requests and not self.ledger.of(account).calls:
                pipeline = self._variants(group)[group[0]]
                pipeline.canary()
                assert pipeline.engine is not None
                # One in so many, so that each kind of request is there in its share.
                some = requests[:: -(-len(requests) // TIMED)]
                engine = pipeline.engine
                for _ in in_parallel(engine.chat, batched(some, engine.batch_size), engine.workers):
                    self.ledger.check()
        return replace(forecast, seconds=self._seconds())

    def link(self) -> dict[str, Outcome]:
        """Links what is left of every cell.

        Raises AmeliError, and BudgetSpentError when the tokens are spent. Whatever was done until then is
        kept: the same call goes on from there.
        """
        outcomes: dict[str, Outcome] = {}
        for group in self._groups:
            for cell, variant in self._variants(group).items():
                outcomes[cell] = link_split(
                    variant,
                    self.dataset,
                    self.sample,
                    self.run(cell).path,
                    self._shown(cell),
                    reuse=self._reusable(outcomes),
                )
                self.ledger.check()
        return {cell: outcomes[cell] for cell in self.cells}

    def close(self) -> None:
        """Frees model and index; idempotent."""
        self._opened = None
        self._open.close()
        self.ledger.close()

    def _check(self, cell: str, variant: Pipeline) -> None:
        """Raises AmeliError when the cell's folder holds the run of something else."""
        run = self.run(cell)
        if (run.path / "run.json").is_file():
            of = {"name": self.dataset.name, "split": self.sample.name}
            of |= {"products": self.dataset.digest, "reviews": self.sample.digest}
            start_or_resume(run, {**spec(run), **variant.spec(), "dataset": of})

    def _ahead(self, cell: str, variant: Pipeline, expected: Expected) -> Ahead:
        left = self._left(cell)
        if not left:
            return Ahead()
        prepared, shown = make_folder(self.out / PREPARED), self._shown(cell)
        with Stages(prepared, self._stages(self.cells)) as stages:
            return expected.add(
                keeping(variant, stages), left, lambda done, total: shown("forecast", done, total)
            )

    def _left(self, cell: str) -> list[Review]:
        """The reviews that the cell's run folder does not have yet."""
        done = {row.review_id for row in self.run(cell).predictions() if row.state is not State.ENGINE_ERROR}
        return [review for review in self.sample.reviews if review.id not in done]

    def _seconds(self) -> float | None:
        """Seconds that the models will be busy, by their pace so far; None where one is not known.

        The pace is by prompt tokens, and by calls where a server does not count what it was sent.
        """
        seconds = 0.0
        for account, group, requests in self._due:
            sent = self.ledger.of(account)
            if requests and not sent.calls:
                return None
            if requests:
                prompt = sum(self._expected[cell].prompt for cell in group)
                share = prompt / sent.prompt if sent.prompt else len(requests) / sent.calls
                seconds += sent.seconds * share
        return seconds

    def _variants(self, group: Sequence[str]) -> Mapping[str, Pipeline]:
        """The cells of a group, over an index and a model that are opened in place of the ones before."""
        if self._opened is None or self._opened[0] is not group:
            self._opened, self._meter = None, None
            self._open.close()
            config, prompts = self.cells[group[0]], self.plan.prompts
            opening = open_pipeline(self.dataset, config, self._index, self._progress, prompts, self._metered)
            pipeline = self._open.enter_context(opening)
            self._opened = group, {cell: pipeline.variant(self.cells[cell]) for cell in group}
        return self._opened[1]

    def _metered(self, engine: Engine) -> Engine:
        self._meter = Meter(engine, self.ledger, self._known)
        return self._meter

    def _reusable(self, before: Mapping[str, Outcome]) -> list[Path]:
        prepared = self.out / PREPARED
        return [prepared] * (prepared / STAGES).is_file() + self._stages(before)

    def _stages(self, cells: Mapping[str, object]) -> list[Path]:
        """The run folders of these cells from which stages can be taken."""
        folders = (self.run(cell).path for cell in cells)
        return [folder for folder in folders if (folder / STAGES).is_file()]

    def _shown(self, cell: str) -> Progress:
        return lambda stage, done, total: self._progress(f"{cell}: {stage}", done, total)


@contextmanager
def open_matrix(
    plan: Plan,
    out: Path,
    progress: Progress,
    index: Path | None = None,
    most_tokens: int | None = None,
) -> Iterator[Matrix]:
    """The matrix of ``plan`` in the folder ``out``, which no other process may work at meanwhile.

    ``most_tokens`` bounds what is sent and received in all, earlier calls of the same matrix included. Raises
    AmeliError for a plan that cannot be carried out.
    """
    matrix = Matrix(plan, out, progress, index, most_tokens)
    with lock(out):
        try:
            yield matrix
        finally:
            matrix.close()


def _sample(plan: Plan, dataset: Dataset) -> Split:
    split = dataset.split(plan.split)
    if plan.sample is not None:
        categories = {product.id: product.leaf_category for product in dataset.products.values()}
        split = sampled(split, categories, plan.sample, plan.seed)
    if not split.gold:
        raise AmeliError(
            f"No review of split {plan.split!r} of {plan.dataset} has gold to measure with.",
            hint="ameli-llm data check says what is in it.",
        )
    return split


def _groups(cells: Mapping[str, RunConfig]) -> list[list[str]]:
    """Cells by the index and the model that they share; the first of each group asks a model if any does."""
    groups: list[list[str]] = []
    for cell in sorted(cells, key=lambda name: not asks_model(cells[name])):
        group = next((one for one in groups if shares(cells[one[0]], cells[cell])), None)
        if group is None:
            groups.append([cell])
        else:
            group.append(cell)
    return groups
