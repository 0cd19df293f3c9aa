"""What a matrix is going to ask, found by rendering every prompt and sending none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ameli_llm.engines.engine import ChatRequest
from ameli_llm.flow import Flow
from ameli_llm.types import Review
from eval.matrix.meter import UNSENT, Meter

BATCH = 16
"""Reviews that are rendered together."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is going to be sent: ``prompt`` tokens as counted, ``completion`` the most that replies can take.

    ``after`` of the calls follow a reply that is not there yet. Their prompts are taken to be what they are
    without it.
    """

    calls: int = 0
    prompt: int = 0
    completion: int = 0
    after: int = 0

    def __add__(self, other: Ahead) -> Ahead:
        return Ahead(
            self.calls + other.calls,
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.after + other.after,
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is left to send, by cell: what no cell before it sends, and the reply cache does not hold.

    ``estimated`` says that tokens are estimated from the words of the prompts and not counted by a model.
    ``seconds`` that models will take, None where none of their calls has been timed yet.
    """

    cells: Mapping[str, Ahead]
    estimated: bool
    seconds: float | None

    @property
    def total(self) -> Ahead:
        """All cells together."""
        return sum(self.cells.values(), Ahead())


@dataclass
class Expected:
    """The requests that one model is going to get, each once, by what the reply cache knows them by."""

    meter: Meter
    requests: dict[str, ChatRequest] = field(default_factory=dict)

    def add(self, flow: Flow, reviews: Sequence[Review], progress: Callable[[int, int], None]) -> Ahead:
        """What the flow would send about the reviews and is not here yet. Nothing is sent."""
        fresh: dict[str, ChatRequest] = {}
        after = 0
        with self.meter.holding():
            for start in range(0, len(reviews), BATCH):
                progress(start, len(reviews))
                for link in flow.link(reviews[start : start + BATCH]):
                    unsent = [one for one in link.exchanges if one.reply.failure == UNSENT]
                    unread = any(one.asked_by in flow.extractors for one in unsent)
                    for one in unsent:
                        key = self.meter.key(one.request)
                        if key not in self.requests and key not in fresh:
                            fresh[key] = one.request
                            after += unread and one.asked_by not in flow.extractors
        progress(len(reviews), len(reviews))
        self.requests |= fresh
        asked = list(fresh.values())
        replies = sum(map(self.meter.longest_reply, asked))
        return Ahead(len(asked), sum(self.meter.counted(asked)), replies, after)
