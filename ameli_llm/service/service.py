"""What a running service holds: the knowledge base, its queues and its counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from ameli_llm.linker import Linker
from ameli_llm.service import linking
from ameli_llm.service.batching import Batcher
from ameli_llm.service.journal import Change, Journal
from ameli_llm.service.knowledge import Changed, Knowledge
from ameli_llm.service.limits import Limits
from ameli_llm.service.linking import Answer, Job
from ameli_llm.service.metrics import Metrics


class Service:
    """What a running service holds. ``images`` is the folder that image paths in requests lie below.

    With ``log_texts`` the log has what reviews say. ``stopping`` is set once nothing new should be sent here.
    """

    def __init__(
        self,
        linker: Linker,
        *,
        journal: Journal | None = None,
        read_only: bool = False,
        images: Path | None = None,
        limits: Limits | None = None,
        log_texts: bool = False,
    ) -> None:
        self.limits = limits or Limits()
        self.images = images
        self.log_texts = log_texts
        self.stopping = False
        self.metrics = Metrics()
        self._checking: asyncio.Future[None] | None = None
        self.knowledge = Knowledge(linker, journal, read_only)
        self.links = Batcher[Job, Answer](
            self._link,
            size=linker.batch_size,
            workers=linker.workers,
            room=self.limits.queue,
            gather=self.limits.gather,
            finished=Job.close,
        )
        self.changes = Batcher[Change, Changed](
            self._change, size=self.limits.changes, room=self.limits.changes
        )
        self.metrics.watch("queue_reviews", "Reviews that wait", lambda: self.links.waiting)
        self.metrics.watch("queue_changes", "Changes that wait", lambda: self.changes.waiting)
        self.metrics.watch("products", "Products of the knowledge base", lambda: len(self.knowledge))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Takes work until the end of the block, which finishes what it has taken."""
        self.links.start()
        self.changes.start()
        try:
            yield
        finally:
            self.stopping = True
            await self.links.stop()
            await self.changes.stop()
            self.knowledge.close()

    def checked(self) -> asyncio.Future[None]:
        """Done when the model has passed its test questions; fails with AmeliError when it has not.

        However many ask, the questions are asked once at a time, and again only after a failure.
        """
        if self._checking is None or (self._checking.done() and self._checking.exception()):
            self._checking = asyncio.ensure_future(asyncio.to_thread(self._check))
        return self._checking

    def _check(self) -> None:
        with self.knowledge.using() as linker:
            linker.check()

    def _link(self, jobs: Sequence[Job]) -> list[Answer | Exception]:
        self.metrics.batches.observe(len(jobs))
        with self.knowledge.using() as linker:
            answers = linking.link(jobs, linker, linker.kb_version)
        for answer in answers:
            if isinstance(answer, Answer):
                self.metrics.links.labels(answer.state.value).inc()
        return answers

    def _change(self, changes: Sequence[Change]) -> list[Changed | Exception]:
        began = time.perf_counter()
        outcomes = self.knowledge.apply(changes)
        self.metrics.updates.observe(time.perf_counter() - began)
        for change, outcome in zip(changes, outcomes, strict=True):
            if isinstance(outcome, Changed):
                self.metrics.changes.labels("delete" if change.product is None else "put").inc()
        return outcomes
