"""Opens index, model and page of a workbench, and closes them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ameli_llm.config import RunConfig
from ameli_llm.dataset.load import Dataset
from ameli_llm.types import Progress
from eval.watching.drafts import read_draft
from eval.watching.trials import open_trials, sample_of
from eval.workbench.app import create_app
from eval.workbench.bench import Bench
from eval.workbench.sample_job import SampleJob
from eval.workbench.serving import listening, new_token, require_server, serve

LAST = 30.0
"""Seconds that the reviews under way have when the workbench ends."""


@contextmanager
def open_bench(
    dataset: Dataset,
    split: str,
    config: RunConfig,
    out: Path,
    *,
    sample: tuple[int, int],
    index: Path | None = None,
    prompts: Path | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[Bench, SampleJob]]:
    """What the page works with; ``sample`` is how many reviews, and the seed that chooses them.

    Raises AmeliError when a part cannot be made.
    """
    whole = dataset.split(split)
    chosen = sample_of(dataset, whole, *sample)
    first = read_draft(config.attributes.template, prompts)
    with open_trials(
        dataset, chosen, config, first, out, index=index, prompts=prompts, progress=progress
    ) as trials:
        bench, job = Bench(trials, whole), SampleJob(trials)
        try:
            yield bench, job
        finally:
            job.stop(LAST)
            bench.close()


def serve_workbench(
    dataset: Dataset,
    split: str,
    config: RunConfig,
    out: Path,
    *,
    port: int,
    ready: Callable[[str], object],
    sample: tuple[int, int],
    index: Path | None = None,
    prompts: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Serves the page at 127.0.0.1 until a signal arrives; ``ready`` is given its address, token included.

    Raises AmeliError when the port is taken, before anything is opened.
    """
    require_server()
    with (
        listening(port) as opened,
        open_bench(
            dataset, split, config, out, sample=sample, index=index, prompts=prompts, progress=progress
        ) as (bench, job),
    ):
        token, own = new_token(), opened.getsockname()[1]
        app = create_app(bench, job, token, own)
        serve(app, opened, lambda: ready(f"http://127.0.0.1:{own}/?token={token}"))
