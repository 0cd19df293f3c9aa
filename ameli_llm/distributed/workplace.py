"""Ray Data as the workplace of a run: reviews as a dataset, a pool of workers for each stage."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ameli_llm.distributed.blocks import STAGES, Block, Problem, blocks
from ameli_llm.distributed.keeper import attempts, keeper
from ameli_llm.distributed.session import connected, require
from ameli_llm.distributed.worker import Opening, Worker
from ameli_llm.errors import AmeliError, first_line
from ameli_llm.pipeline import Pipeline
from ameli_llm.stages import Stages
from ameli_llm.types import Link, Review

_SHARE: Final = 0.33
"""CPUs of a worker: one of each stage fits on one CPU."""


def on_ray(dataset: Path) -> Callable[[Pipeline, Stages | None], RayWorkplace]:
    """What makes the workplace of a run over the dataset at that path, for ``eval.experiment.link_split``.

    Raises AmeliError when Ray cannot be used at all; it is started when there is something to link.
    """
    require()
    return lambda pipeline, stages: RayWorkplace(dataset, pipeline, stages)


@dataclass
class RayWorkplace:
    """Workers on Ray, up to one of each stage for each CPU of the cluster; ``requests`` were sent by them.

    A worker that dies is replaced, and its block done again, up to ``worker.ATTEMPTS`` times.
    """

    dataset: Path
    pipeline: Pipeline
    stages: Stages | None
    requests: int = 0

    def link(self, batches: Iterable[Sequence[Review]]) -> Generator[list[Link], None, None]:
        """The links of each block of batches, as they are done. Raises the first AmeliError of a worker."""
        work = list(blocks(batches, self.pipeline.batch_size))
        opening = Opening.of(self.pipeline, self.dataset)
        with connected() as cpus, keeper(self.stages) as actor:
            for block in _done(work, opening, actor, min(cpus, len(work))):
                if block.problem is not None:
                    raise _error(block.problem)
                self.requests += block.requests
                if self.stages is not None:
                    self.stages.count(block.taken)
                yield [link for batch in block.batches for link in batch.links]


def _done(work: Sequence[Block], opening: Opening, stages: Any, workers: int) -> Iterator[Block]:
    import ray

    _quiet()
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=workers)
    begun = attempts()
    data: ray.data.Dataset = ray.data.from_items(
        [{"block": block} for block in work], override_num_blocks=len(work)
    )
    for stage in STAGES:
        data = data.map_batches(
            Worker,
            fn_constructor_args=(opening, stage, begun, stages),
            batch_size=1,
            compute=pool,
            num_cpus=_SHARE,
        )
    try:
        # A batch that were fetched ahead would be kept from the run folder until the next one is there.
        for rows in data.iter_batches(batch_size=None, prefetch_batches=0):
            yield from rows["block"]
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        raise AmeliError(
            f"Ray gave a block up: {first_line(error)}",
            hint="Finished blocks are kept: the same command goes on.",
        ) from error


def _quiet() -> None:
    """No bars and no account of Ray's own on stderr; its files in the session's folder have them."""
    import ray

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


def _error(problem: Problem) -> AmeliError:
    there = "" if problem.machine == platform.node() else f"On {problem.machine}: "
    return AmeliError(there + problem.message, hint=problem.hint)
