"""A worker: one stage of the pipeline, in a process that Ray starts, somewhere."""

from __future__ import annotations

import json
import platform
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

from ameli_llm.config import RunConfig
from ameli_llm.dataset.load import load_dataset
from ameli_llm.distributed.blocks import STAGES, Block, Problem
from ameli_llm.distributed.keeper import DistantStages
from ameli_llm.errors import AmeliError
from ameli_llm.parallel import in_parallel
from ameli_llm.pipeline import Pipeline, assemble
from ameli_llm.reuse import keeping, surroundings
from ameli_llm.runner import differences

ATTEMPTS: Final = 3
"""How often a stage of a block is begun: a block that kills every worker must come to an end."""


@dataclass(frozen=True)
class Opening:
    """What a worker opens, and ``identity``, which has to be that of the process that writes the run."""

    dataset: Path
    index: Path
    prompts: Path | None
    config: RunConfig
    identity: str

    @classmethod
    def of(cls, pipeline: Pipeline, dataset: Path) -> Opening:
        """What opens the same pipeline elsewhere; paths are those of this machine."""
        prompts = pipeline.prompts.resolve() if pipeline.prompts else None
        return cls(
            dataset.resolve(), pipeline.index.folder.resolve(), prompts, pipeline.config, identity(pipeline)
        )

    def open(self) -> Pipeline:
        """The pipeline. Raises AmeliError when a part is not there, or when it would link otherwise."""
        if self.config.retrieval.store == "folder" and not self.index.is_dir():
            raise AmeliError(
                f"No index at {self.index}.",
                hint="Put dataset and index (--index) where all machines see them under the same path.",
            )
        pipeline = assemble(load_dataset(self.dataset), self.config, self.index, prompts=self.prompts)
        others = differences(json.loads(self.identity), json.loads(identity(pipeline)))
        for _, difference in others:
            pipeline.close()
            raise AmeliError(
                f"A worker is not of the same installation and data: {difference}.",
                hint="The first is what the command has. Results would depend on who links a review.",
            )
        return pipeline


def identity(pipeline: Pipeline) -> str:
    """All that decides results apart from the reviews, as JSON: specification, products, code, packages."""
    code, versions = surroundings()
    content = {"spec": pipeline.spec(), "products": pipeline.dataset.digest}
    return json.dumps({**content, "code": code, "versions": versions}, default=str)


class Worker:
    """Takes blocks through one stage. Ray makes it and calls it with one block after the other.

    It opens the pipeline with its first block, so that what is missing comes back as the block's problem.
    """

    def __init__(self, opening: Opening, stage: str, attempts: Any, stages: Any) -> None:
        self._opening = opening
        self._stage = stage
        self._attempts = attempts
        self._stages = DistantStages(stages) if stages is not None else None

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """The rows, each with its block after the stage."""
        return {"block": [self._done(block) for block in rows["block"]]}

    @cached_property
    def _pipeline(self) -> Pipeline:
        return self._opening.open()

    def _done(self, block: Block) -> Block:
        if block.problem is not None:
            return block
        try:
            self._begin(block)
            return self._worked(block)
        except AmeliError as error:
            return replace(block, problem=Problem(error.message, error.hint, platform.node()))

    def _begin(self, block: Block) -> None:
        import ray

        if ray.get(self._attempts.begin.remote(self._stage, block.number)) > ATTEMPTS:
            first, last = block.batches[0].reviews[0].id, block.batches[-1].reviews[-1].id
            raise AmeliError(
                f"Reviews {first} to {last}: their worker died {ATTEMPTS} times in {self._stage}.",
                hint="One that needs more memory than there is dies so; Ray's log folder says more.",
            )

    def _worked(self, block: Block) -> Block:
        pipeline = self._pipeline
        flow = keeping(pipeline, self._stages) if self._stages else pipeline.flow
        sent, before = pipeline.requests, self._taken()
        work = partial(STAGES[self._stage], flow)
        batches = list(in_parallel(work, block.batches, pipeline.workers, ordered=True))
        return replace(
            block,
            batches=batches,
            requests=block.requests + pipeline.requests - sent,
            taken=Counter(block.taken) + (self._taken() - before),
        )

    def _taken(self) -> Counter[str]:
        return self._stages.taken if self._stages else Counter()
