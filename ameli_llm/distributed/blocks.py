"""What travels between workers: blocks of batches, with what the stages so far found of their reviews."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ameli_llm.attributes.extractor import Extraction
from ameli_llm.flow import Flow, Stopwatch, timed
from ameli_llm.parallel import batched
from ameli_llm.types import Candidate, Link, Review

REVIEWS: Final = 32
"""Reviews of a block at least, as far as there are any: what a worker that dies has to do again at most."""


@dataclass(frozen=True)
class Batch:
    """Reviews that go through each stage together, as they would in one process.

    ``seconds`` are by stage. ``links`` are there after the last one.
    """

    reviews: Sequence[Review]
    found: Sequence[Sequence[Candidate]] = ()
    extractions: Sequence[Mapping[str, Extraction]] = ()
    links: Sequence[Link] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """An AmeliError of a worker, as text: not every error can be made again from its arguments."""

    message: str
    hint: str
    machine: str


@dataclass(frozen=True)
class Block:
    """Batches that a worker is given at once, with a ``number`` of its own.

    ``requests`` were sent to a model for them so far, by workers that lived to tell.
    ``taken`` counts reviews by stage whose result had been kept. After a ``problem`` no stage is tried.
    """

    number: int
    batches: Sequence[Batch]
    requests: int = 0
    taken: Mapping[str, int] = field(default_factory=dict)
    problem: Problem | None = None


def blocks(batches: Iterable[Sequence[Review]], size: int) -> Iterator[Block]:
    """Blocks of whole batches of up to ``size`` reviews."""
    for number, some in enumerate(batched(batches, max(1, REVIEWS // size))):
        yield Block(number, [Batch(reviews) for reviews in some])


def retrieved(flow: Flow, batch: Batch) -> Batch:
    """The batch with the candidates of its reviews."""
    watch = Stopwatch(dict(batch.seconds))
    found = flow.retrieve(batch.reviews)
    watch.lap("retrieval")
    return replace(batch, found=found, seconds=watch.seconds)


def extracted(flow: Flow, batch: Batch) -> Batch:
    """The batch with what each extractor found."""
    watch = Stopwatch(dict(batch.seconds))
    extractions = flow.extract(batch.reviews, batch.found, watch)
    return replace(batch, extractions=extractions, seconds=watch.seconds)


def concluded(flow: Flow, batch: Batch) -> Batch:
    """The batch with its links, and without what only led to them."""
    watch = Stopwatch(dict(batch.seconds))
    links = flow.conclude(batch.reviews, batch.found, batch.extractions, watch)
    return Batch(batch.reviews, links=timed(links, watch.seconds))


STAGES: Final[Mapping[str, Callable[[Flow, Batch], Batch]]] = {
    "retrieval": retrieved,
    "extraction": extracted,
    "comparison": concluded,
}
"""The stages in their order, each of which has workers of its own."""
