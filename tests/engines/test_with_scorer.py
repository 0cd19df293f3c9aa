"""Two models as one engine: texts are scored by the one, everything else is asked of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ameli_llm.engines.cache import CachedEngine, request_key
from ameli_llm.engines.engine import ChatReply, ChatRequest, CountsTokens, Message
from ameli_llm.engines.with_scorer import WithScorer
from ameli_llm.engines.wrapped import WrappedEngine
from ameli_llm.errors import AmeliError
from ameli_llm.types import Usage

ASKED = ChatRequest((Message("user", "Which?"),), choices=("A", "B"))
SCORED = ChatRequest((Message("user", "A page."), Message("assistant", "Fine.")), scored=True)


@dataclass
class Silent:
    """An engine that keeps what reaches it, and says by its name who answered."""

    model: str
    name: str = "silent"
    origin: str = "here"
    revision: str = "1"
    batch_size: int = 3
    workers: int = 2
    requests: list[ChatRequest] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        self.requests += requests
        logprob = -float(len(self.model))
        return [
            ChatReply(logprob=logprob) if one.scored else ChatReply(self.model, None, Usage(1, 1), "stop")
            for one in requests
        ]

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        return [len(self.model) for _ in requests]

    def canary(self) -> None:
        self.done.append("canary")

    def close(self) -> None:
        self.done.append("close")


class Counting(Silent):
    def count(self, requests: Sequence[ChatRequest]) -> list[int]:
        return [10 * len(self.model) for _ in requests]


@pytest.fixture
def pair() -> tuple[Counting, Counting, WithScorer]:
    engine, scorer = Counting("writer"), Counting("reader of texts")
    return engine, scorer, WithScorer(engine, scorer)


def test_each_request_goes_to_its_model_and_replies_keep_their_order(
    pair: tuple[Counting, Counting, WithScorer],
) -> None:
    engine, scorer, both = pair
    replies = both.chat([SCORED, ASKED, SCORED, ASKED])
    assert [reply.logprob for reply in replies] == [-15.0, None, -15.0, None]
    assert [reply.text for reply in replies] == ["", "writer", "", "writer"]
    assert (engine.requests, scorer.requests) == ([ASKED, ASKED], [SCORED, SCORED])
    assert both.excess([ASKED, SCORED]) == [6, 15]
    assert both.count([ASKED, SCORED]) == [60, 150]
    assert both.chat([]) == []


def test_one_that_nobody_asks_is_not_called(pair: tuple[Counting, Counting, WithScorer]) -> None:
    engine, scorer, both = pair
    both.chat([ASKED])
    assert scorer.requests == []
    both.chat([SCORED])
    assert engine.requests == [ASKED]


def test_it_is_the_first_one_but_for_what_is_scored(pair: tuple[Counting, Counting, WithScorer]) -> None:
    engine, scorer, both = pair
    assert (both.model, both.batch_size, both.workers) == ("writer", 3, 2)
    assert both.answering(ASKED) is engine
    assert both.answering(SCORED) is scorer
    assert WrappedEngine(both).answering(SCORED) is scorer, "through whatever stands around it"


def test_both_are_checked_and_closed(pair: tuple[Counting, Counting, WithScorer]) -> None:
    engine, scorer, both = pair
    both.canary()
    both.close()
    assert engine.done == scorer.done == ["canary", "close"]


def test_the_second_is_closed_when_the_first_fails_to() -> None:
    class Jammed(Silent):
        def close(self) -> None:
            raise ZeroDivisionError

    scorer = Silent("reader of texts")
    with pytest.raises(ZeroDivisionError):
        WithScorer(Jammed("writer"), scorer).close()
    assert scorer.done == ["close"]


def test_tokens_are_not_counted_where_one_model_cannot() -> None:
    both = WithScorer(Counting("writer"), Silent("reader"))
    assert isinstance(both, CountsTokens)
    assert both.count([ASKED]) == [60]
    with pytest.raises(AmeliError, match="The engine silent does not count tokens"):
        both.count([ASKED, SCORED])


def test_it_scores_as_its_scorer_does() -> None:
    class Mute(Silent):
        scores = False

    assert WithScorer(Mute("writer"), Silent("reader")).scores
    assert not WithScorer(Silent("writer"), Mute("reader")).scores


def test_a_score_is_kept_by_who_gave_it(pair: tuple[Counting, Counting, WithScorer], tmp_path: Path) -> None:
    _, scorer, both = pair
    cached = CachedEngine(both, tmp_path / "replies.sqlite")
    first = cached.chat([ASKED, SCORED])
    cached.close()
    alone = CachedEngine(Counting("reader of texts"), tmp_path / "replies.sqlite")
    (again,) = alone.chat([SCORED])
    assert (again.logprob, again.from_cache, alone.hits) == (first[1].logprob, True, 1)
    (other,) = alone.chat([ASKED])
    assert (other.text, other.from_cache) == ("reader of texts", False)
    alone.close()
    assert request_key(SCORED, "here", "writer", "1") != request_key(SCORED, "here", scorer.model, "1")
