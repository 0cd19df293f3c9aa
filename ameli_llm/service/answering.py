"""Waits for the answers to a request, within its deadline, and sends them: one, a list, or line by line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from starlette.responses import Response, StreamingResponse

from ameli_llm.errors import AmeliError
from ameli_llm.service.batching import Batcher, FullError
from ameli_llm.service.bodies import FailedAnswer
from ameli_llm.service.door import Passage
from ameli_llm.service.linking import Answer, Job
from ameli_llm.service.logs import FIELDS
from ameli_llm.service.openapi import NDJSON
from ameli_llm.service.problems import DEADLINE, QUEUE_FULL, UNAVAILABLE, Problem

log = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
_RETRY = {"Retry-After": "5"}


def submitted(batcher: Batcher[ItemT, ResultT], items: Sequence[ItemT]) -> list[asyncio.Future[ResultT]]:
    """A future for each item. Raises Problem when they do not fit into the queue."""
    try:
        return batcher.submit(items)
    except FullError as error:
        headers = {"Retry-After": str(error.retry_after)}
        raise Problem(QUEUE_FULL, f"Try again in {error.retry_after} s.", headers=headers) from None


async def taken(waiting: asyncio.Future[ResultT], passage: Passage) -> ResultT:
    """The result. Raises Problem when it does not come in time, and what the work raised as one."""
    try:
        async with asyncio.timeout_at(passage.deadline):
            return await waiting
    except TimeoutError:
        raise Problem(DEADLINE, "The deadline has passed; nothing waits for the answer any more.") from None
    except AmeliError as error:
        # The message is for who runs the service: it may name addresses and folders.
        extra = {FIELDS: {"request_id": passage.id, "reason": str(error)}}
        log.error("cannot answer", extra=extra)
        raise Problem(UNAVAILABLE, "The log of the service says why.", headers=_RETRY) from None


async def answer_one(waiting: asyncio.Future[Answer], passage: Passage) -> Response:
    """The link of the only review."""
    answer = await taken(waiting, passage)
    _note(passage, [answer])
    return Response(answer.text, media_type="application/json")


async def answer_all(
    jobs: Sequence[Job], waiting: Sequence[asyncio.Future[Answer]], passage: Passage
) -> Response:
    """A list of links; of a review that cannot be linked its problem. Raises Problem at the deadline."""
    found: list[Answer | bytes] = []
    try:
        for job, future in zip(jobs, waiting, strict=True):
            try:
                answer = await taken(future, passage)
                found.append(answer)
            except Problem as problem:
                if problem.kind is DEADLINE:
                    raise
                found.append(_failed(job, problem))
    finally:
        _give_up(waiting)
    _note(passage, [one for one in found if isinstance(one, Answer)])
    texts = (one.text if isinstance(one, Answer) else one for one in found)
    return Response(b"[" + b",".join(texts) + b"]", media_type="application/json")


def lines(
    jobs: Sequence[Job], waiting: Sequence[asyncio.Future[Answer]], passage: Passage
) -> StreamingResponse:
    """A line for each review, in order, when it is linked; past the deadline it is a problem."""

    async def written() -> AsyncIterator[bytes]:
        found: list[Answer] = []
        try:
            for job, future in zip(jobs, waiting, strict=True):
                try:
                    found.append(await taken(future, passage))
                    yield found[-1].text + b"\n"
                except Problem as problem:
                    yield _failed(job, problem) + b"\n"
        finally:
            _give_up(waiting)
            _note(passage, found)

    return StreamingResponse(written(), media_type=NDJSON)


def _failed(job: Job, problem: Problem) -> bytes:
    body = FailedAnswer(review_id=job.review.id, problem=problem.body())
    return body.model_dump_json(exclude_none=True).encode()


def _give_up(waiting: Sequence[asyncio.Future[Answer]]) -> None:
    """What has not come is not waited for: it is left out where it has not begun."""
    for future in waiting:
        if not future.cancel() and not future.cancelled():
            future.exception()  # it was looked at: nobody else will


def _note(passage: Passage, answers: Sequence[Answer]) -> None:
    passage.noted["kb_version"] = sorted({answer.kb_version for answer in answers})
    states = [answer.state.value for answer in answers]
    passage.noted["states"] = {state: states.count(state) for state in sorted(set(states))}
