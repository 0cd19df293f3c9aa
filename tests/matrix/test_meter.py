"""An engine that counts, holds back, and keeps to its budget; the reply cache is above it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ameli_llm.engines.cache import CachedEngine
from ameli_llm.engines.engine import ChatReply, ChatRequest, Message
from ameli_llm.errors import AmeliError
from ameli_llm.types import Failure, State, Usage
from eval.matrix.ledger import BudgetSpentError, Ledger
from eval.matrix.meter import UNAFFORDABLE, UNSENT, Known, Meter

PROMPT, REPLY = 10, 2


class Batches:
    """A model that answers whole batches, counts ten tokens a prompt, and needs fewer than it may take."""

    name = origin = model = "batches"
    revision = "1"
    batch_size, workers = 16, 1

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.canaries = 0
        self.failure: Failure | None = None

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        self.asked += [request.messages[0].content for request in requests]
        return [ChatReply("yes", None, Usage(PROMPT, REPLY), "stop", self.failure) for _ in requests]

    def count(self, requests: Sequence[ChatRequest]) -> list[int]:
        return [PROMPT for _ in requests]

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        return [0 for _ in requests]

    def canary(self) -> None:
        self.canaries += 1

    def close(self) -> None:
        """Nothing to free."""


ASKED = [ChatRequest((Message("user", text),), max_tokens=40) for text in "abcde"]


@pytest.fixture
def model() -> Batches:
    return Batches()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Four calls can be paid for: at the fifth, 48 tokens are spent, and it could take 50."""
    ledger = Ledger(tmp_path, 97)
    yield ledger
    ledger.close()


def test_what_was_paid_for_reaches_the_cache(model: Batches, ledger: Ledger, tmp_path: Path) -> None:
    engine = CachedEngine(Meter(model, ledger, Known()), tmp_path / "replies.sqlite")
    replies = engine.chat(ASKED)
    assert [reply.text for reply in replies] == ["yes"] * 4 + [""]
    assert replies[4].failure == UNAFFORDABLE
    assert model.asked == list("abcd")
    assert ledger.total.tokens == 4 * (PROMPT + REPLY)
    assert [reply.from_cache for reply in engine.chat(ASKED[:4])] == [True] * 4
    with pytest.raises(BudgetSpentError, match="could take 50 tokens, and 48 of 97 are spent"):
        engine.chat(ASKED)
    assert model.asked == list("abcd")
    engine.close()


class Spelling(Batches):
    """A model whose choices are words."""

    def longest_reply(self, request: ChatRequest) -> int:
        if not self.asked:
            raise AmeliError("The model is not there.")
        return 8


def test_a_choice_is_as_long_as_the_engine_says(ledger: Ledger) -> None:
    choice = ChatRequest((Message("user", "A or B?"),), choices=("A", "B"), max_tokens=40)
    assert Meter(Batches(), ledger, Known()).longest_reply(choice) == 1
    spelling = Meter(Spelling(), ledger, Known())
    assert spelling.longest_reply(choice) == 40, "who is not there may need all that is allowed"
    spelling.chat(ASKED[:1])
    assert spelling.longest_reply(choice) == 8


def test_what_is_held_back_is_not_kept(model: Batches, ledger: Ledger, tmp_path: Path) -> None:
    meter = Meter(model, ledger, Known())
    engine = CachedEngine(meter, tmp_path / "replies.sqlite")
    with meter.holding():
        assert [reply.failure for reply in engine.chat(ASKED[:2])] == [UNSENT, UNSENT]
    assert (model.asked, ledger.total.calls) == ([], 0)
    assert [reply.text for reply in engine.chat(ASKED[:2])] == ["yes", "yes"]
    engine.close()


def test_an_unusable_reply_is_asked_for_once(model: Batches, ledger: Ledger, tmp_path: Path) -> None:
    model.failure = Failure(State.INVALID_OUTPUT, "no use")
    meter = Meter(model, ledger, Known())
    engine = CachedEngine(meter, tmp_path / "replies.sqlite")
    first, second = engine.chat(ASKED[:1]), engine.chat(ASKED[:2])
    assert model.asked == list("ab")
    assert first[0].failure == second[0].failure == model.failure
    assert (second[0].usage, second[0].from_cache, second[1].from_cache) == (first[0].usage, True, False)
    with meter.holding():
        assert [reply.failure for reply in engine.chat(ASKED[1:3])] == [model.failure, UNSENT]
    engine.close()


def test_no_reply_at_all_is_asked_for_again(model: Batches, ledger: Ledger, tmp_path: Path) -> None:
    model.failure = Failure(State.ENGINE_ERROR, "server down")
    engine = CachedEngine(Meter(model, ledger, Known()), tmp_path / "replies.sqlite")
    engine.chat(ASKED[:1])
    engine.chat(ASKED[:1])
    assert model.asked == list("aa")
    engine.close()


def test_the_canary_is_asked_once(model: Batches, ledger: Ledger) -> None:
    meter = Meter(model, ledger, Known())
    meter.canary()
    meter.canary()
    assert model.canaries == 1
