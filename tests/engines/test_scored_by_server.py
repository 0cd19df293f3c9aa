"""Texts that a vLLM server scores: what it is sent, and what is made of all that it may say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ameli_llm.engines._context import most_tokens
from ameli_llm.engines.choices import MASKED
from ameli_llm.engines.engine import ChatReply
from ameli_llm.types import State, Usage
from tests.engines.asking import WRITER, ask, engine, failed, score
from tests.engines.hostile import head, hostile
from tests.engines.scripted import Answer, ScriptedServer, said

PROMPT = [11, 12, 13]
TEXT = [7, 8]
LOGPROBS = [
    None,
    {"12": {"logprob": -9.0}},
    {"13": {"logprob": -9.0}},
    {"7": {"logprob": -1.5, "rank": 3, "decoded_token": " re"}, "5": {"logprob": -0.5, "rank": 1}},
    {"8": {"logprob": -0.25, "rank": 1, "decoded_token": "d"}},
]
REPLY = {"choices": [{"index": 0, "text": "!", "finish_reason": "length", "prompt_logprobs": LOGPROBS}]}


def spelt(tokens: Sequence[int]) -> Answer:
    return Answer(body={"count": len(tokens), "max_model_len": 300, "tokens": list(tokens)})


SPELT_PROMPT, SPELT_TEXT = spelt(PROMPT), spelt(TEXT)


def scoring(
    reply: Answer | dict[str, Any] = REPLY, prompt: Answer = SPELT_PROMPT, text: Answer = SPELT_TEXT
) -> Callable[[dict[str, Any]], Answer]:
    """A server's answers to what is asked of it in order to score a text; "hello" to all else."""
    scored = Answer(body=reply) if isinstance(reply, dict) else reply

    def answer(body: dict[str, Any]) -> Answer:
        if "max_tokens" in body:
            return scored if isinstance(body.get("prompt"), list) else said("hello")
        return prompt if "messages" in body else text

    return answer


TURNS = {
    "messages": [{"role": "system", "content": WRITER}, {"role": "user", "content": "Hello."}],
    "chat_template_kwargs": {"enable_thinking": False},
}
SPELLING = [
    ("/tokenize", {"model": "tiny"} | TURNS),
    ("/tokenize", {"model": "tiny", "prompt": "Red?", "add_special_tokens": False}),
]


def test_a_server_is_sent_the_tokens_of_prompt_and_text(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [scoring(REPLY | {"usage": {"prompt_tokens": 5, "completion_tokens": 1}})]
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([score("Red\ud800")])
    assert reply == ChatReply(usage=Usage(5, 1), finish_reason="stop", logprob=-1.75)
    assert (reply.seconds or 0.0) > 0
    *spelling, last = scripted_server.posts
    assert sorted(spelling, key=str) == sorted(SPELLING, key=str)
    body = {"model": "tiny", "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
    assert last == ("/v1/completions", body | {"prompt": [*PROMPT, *TEXT]})


def test_only_the_last_tokens_count(scripted_server: ScriptedServer) -> None:
    """What a server says of the prompt is not looked at, were it that of the text."""
    told = [{"7": {"logprob": -3.0}}, {"8": {"logprob": -3.0}}, {"13": {"logprob": -3.0}}, *LOGPROBS[3:]]
    impossible = [*LOGPROBS[:3], {"7": {"logprob": -1e30}}, {"8": {"logprob": 0.005}}]
    for logprobs, total in ((told, -1.75), (impossible, MASKED + 0.005)):
        scripted_server.answers = [scoring({"choices": [{"prompt_logprobs": logprobs}]})]
        with engine(scripted_server.base_url) as asked:
            (reply,) = asked.chat([score("Red?")])
        assert reply.logprob == pytest.approx(total)


def test_a_text_without_tokens_is_invalid_of_a_server_too(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [scoring(text=spelt([]))]
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([score("")])
    assert (failed(reply), reply.logprob) == ((State.INVALID_OUTPUT, "there is no text to score"), None)


def told(*logprobs: Any, **more: Any) -> Answer:
    return Answer(body={"choices": [{"prompt_logprobs": list(logprobs)} | more]})


MALFORMED = "malformed reply to /completions: "
LACKING = "the reply has no log-probability for a token of the text (1 attempt)"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (told(*LOGPROBS[:4], None), LACKING),
        (told(*LOGPROBS[:4], {}), LACKING),
        (told(*LOGPROBS[:3], None, LOGPROBS[4]), LACKING),
        (told(*LOGPROBS[:4], {"9": {"logprob": -0.1}}), LACKING),
        (told(*LOGPROBS[:3], LOGPROBS[4], LOGPROBS[3]), LACKING),
        (told(*LOGPROBS, None), LACKING),
        (told(LOGPROBS[4]), LACKING),
        (told(), LACKING),
        (Answer(body={"choices": [{"text": "!"}]}), MALFORMED + "choices.0.prompt_logprobs: Field required"),
        (Answer(body={"choices": [{"prompt_logprobs": None}]}), MALFORMED + "choices.0.prompt_logprobs: "),
        (told(*LOGPROBS[:4], [-0.1]), MALFORMED + "choices.0.prompt_logprobs.4: "),
        (told(*LOGPROBS[:4], {"8": -0.1}), MALFORMED + "choices.0.prompt_logprobs.4.8: "),
        (told({"8": {"logprob": 0.5}}), MALFORMED + "choices.0.prompt_logprobs.0.8.logprob: Input should be"),
        (told({"8": {"logprob": float("nan")}}), MALFORMED + "choices.0.prompt_logprobs.0.8.logprob: "),
        (told({"8": {"logprob": float("-inf")}}), MALFORMED + "choices.0.prompt_logprobs.0.8.logprob: "),
        (told({"8": {"logprob": None}}), MALFORMED + "choices.0.prompt_logprobs.0.8.logprob: "),
        (told({"8": {"rank": 1}}), MALFORMED + "choices.0.prompt_logprobs.0.8.logprob: Field required"),
        (
            told({"no\x1b[2J\ntoken": {"logprob": -1.0}}),
            MALFORMED + "choices.0.prompt_logprobs.0.no\ufffd[2J ",
        ),
        (told({"9" * 5000: {"logprob": -1.0}}), MALFORMED + "choices.0.prompt_logprobs.0.999"),
        (told(*LOGPROBS, finish_reason="x" * 65), MALFORMED + "choices.0.finish_reason: String should have"),
        (
            told(*LOGPROBS, finish_reason="\x1b[2J"),
            MALFORMED + "choices.0.finish_reason: String should match",
        ),
        (Answer(body=REPLY | {"usage": {"prompt_tokens": -1}}), MALFORMED + "usage.prompt_tokens: "),
        (Answer(body=REPLY | {"usage": {"prompt_tokens": 10**9}}), MALFORMED + "usage.prompt_tokens: "),
        (Answer(body={"choices": []}), MALFORMED + "choices: List should have at least 1 item"),
        (Answer(body={"choices": REPLY["choices"] * 2}), MALFORMED + "choices: List should have at most 1"),
        (told(*[None] * 400_000), "the reply is larger than 2 MiB (1 attempt)"),
        (Answer(body=json.dumps(REPLY)[:-4]), MALFORMED + "Invalid JSON: "),
        (Answer(body="<html>", headers={"Content-Type": "text/html"}), MALFORMED + "Invalid JSON: "),
        (Answer(400, {"error": {"message": "too long"}}), "HTTP 400: too long (1 attempt)"),
        (Answer(404, {"detail": "Not Found"}), "HTTP 404: Not Found (1 attempt)"),
    ],
)
def test_a_reply_that_does_not_score_the_text(
    scripted_server: ScriptedServer, answer: Answer, problem: str
) -> None:
    scripted_server.answers = [scoring(answer)]
    with engine(scripted_server.base_url) as asked:
        reply, other = asked.chat([score("Red?"), ask()])
    state, message = failed(reply)
    assert state is State.ENGINE_ERROR
    assert message.startswith(f"{scripted_server.base_url}: {problem}")
    assert (message.isprintable(), len(message) <= 300, reply.logprob) == (True, True, None)
    assert (other.text, other.failure) == ("hello", None)
    assert len(scripted_server.posts) == 4, "two spellings, the score and the other request: none twice"


TOKENIZE = "malformed reply to /tokenize: "


@pytest.mark.parametrize("part", ["prompt", "text"])
@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Answer(404, {"detail": "Not Found"}), "HTTP 404: Not Found (1 attempt)"),
        (Answer(400, {"error": {"message": "no template"}}), "HTTP 400: no template (1 attempt)"),
        (Answer(body="{}", cut=0), "connection cut (3 attempts)"),
        (Answer(body="[7, 8]"), TOKENIZE + "Input should be an object"),
        (Answer(body={"count": 2}), TOKENIZE + "tokens: Field required"),
        (Answer(body={"tokens": None}), TOKENIZE + "tokens: "),
        (Answer(body={"tokens": ["seven"]}), TOKENIZE + "tokens.0: "),
        (Answer(body={"tokens": [7, -1]}), TOKENIZE + "tokens.1: "),
        (Answer(body={"tokens": [10**9]}), TOKENIZE + "tokens.0: "),
        (spelt([1] * 800_000), "the reply is larger than 2 MiB (1 attempt)"),
    ],
)
def test_a_server_that_does_not_spell(
    scripted_server: ScriptedServer, part: str, answer: Answer, problem: str
) -> None:
    scripted_server.answers = [scoring(**{part: answer})]
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([score("Red?")])
    state, message = failed(reply)
    assert state is State.ENGINE_ERROR
    assert message.startswith(f"{scripted_server.base_url}: {problem}")
    assert {path for path, _ in scripted_server.posts} == {"/tokenize"}


def test_an_endless_answer_is_not_read() -> None:
    block = b" " * 65536

    def endless() -> Iterator[bytes]:
        yield head(Content_Type="application/json")
        for _ in range(3200):
            yield block

    with hostile(endless) as server, engine(server.base_url, model="tiny") as asked:
        (reply,) = asked.chat([score("Red?")])
        assert failed(reply) == (
            State.ENGINE_ERROR,
            f"{server.base_url}: the reply is larger than 2 MiB (1 attempt)",
        )


def test_a_busy_server_is_asked_again(scripted_server: ScriptedServer) -> None:
    answer = scoring()
    scripted_server.answers = [Answer(503), Answer(429), answer, answer, Answer(503), answer]
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([score("Red?")])
    assert (reply.logprob, reply.failure) == (-1.75, None)
    assert len(scripted_server.posts) == 6


def test_no_more_in_flight_than_allowed(scripted_server: ScriptedServer) -> None:
    answer = scoring()

    def slow(body: dict[str, Any]) -> Answer:
        return replace(answer(body), seconds=0.02)

    scripted_server.answers = [slow]
    with engine(scripted_server.base_url, concurrency=3) as asked:
        replies = asked.chat([score("Red?", f"{number}") for number in range(12)])
    assert [reply.logprob for reply in replies] == [-1.75] * 12
    assert scripted_server.most_in_flight == 3


def test_a_server_counts_the_text_too(scripted_server: ScriptedServer) -> None:
    scripted_server.models = Answer(body={"data": [{"id": "tiny", "max_model_len": 300}]})
    scripted_server.answers = [scoring(prompt=spelt([1] * 200), text=spelt([1] * 90))]
    with engine(scripted_server.base_url) as asked:
        assert asked.excess([replace(score("Red?"), max_tokens=40)]) == [30]
        assert scripted_server.posts == SPELLING
        assert asked.count([score("Red?")] * 2) == [290, 290]


def test_of_a_server_that_does_not_count_the_text_counts_too(scripted_server: ScriptedServer) -> None:
    scripted_server.models = Answer(body={"data": [{"id": "tiny", "max_model_len": 300}]})
    scripted_server.answers = [scoring(text=Answer(404))]
    request = score("Red?")
    with engine(scripted_server.base_url) as asked:
        assert asked.excess([request]) == [most_tokens(request) + request.max_tokens - 300]
    assert most_tokens(request) - most_tokens(score("")) == 4
