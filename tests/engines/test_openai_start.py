"""What the engine "openai" finds out before a run: which model, which abilities, and whether it may ask."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from ameli_llm.config import EngineConfig
from ameli_llm.errors import AmeliError
from tests.engines.asking import QUICK, ask, failed, refusal
from tests.engines.openai_servers import FIRST, HELLO, REFUSED, WORDS, able, chat_only, engine
from tests.engines.scripted import Answer, ScriptedServer, said, scripted

SCHEMA_LINE = "does not keep to a JSON schema: JSON is looked for in the text of a reply"
LOGPROBS_LINE = "gives no log-probabilities: a choice is read from the text of a reply"
COMPLETIONS_LINE = "has no /completions: templates for plain completions cannot be used"


def models(*names: str, **more: Any) -> Answer:
    return Answer(body={"data": [{"id": name} | more for name in names]})


@pytest.mark.parametrize(
    ("server", "found", "lines"),
    [
        (able(), "+json_schema+logprobs+completions", []),
        (
            able(json_schema=WORDS),
            "-json_schema+logprobs+completions",
            [f"{SCHEMA_LINE} (asked for an object, it said 'Yes.')."],
        ),
        (
            able(json_schema=said('{"Color": ["Yes", "Blue"]}')),
            "-json_schema+logprobs+completions",
            [f'{SCHEMA_LINE} (asked for an object, it said \'{{"Color": ["Yes", "Blue"]}}\').'],
        ),
        (
            able(json_schema=REFUSED, logprobs=REFUSED, completions=Answer(404, {"detail": "Not Found"})),
            "-json_schema-logprobs-completions",
            [
                f"{SCHEMA_LINE} (HTTP 400: Unknown parameter (1 attempt)).",
                f"{LOGPROBS_LINE} (HTTP 400: Unknown parameter (1 attempt)).",
                f"{COMPLETIONS_LINE} (HTTP 404: Not Found (1 attempt)).",
            ],
        ),
        (
            able(logprobs=said("A")),
            "+json_schema-logprobs+completions",
            [f"{LOGPROBS_LINE} (asked for some, it gave none)."],
        ),
        (
            able(
                logprobs=Answer(422, {"detail": "top_logprobs > 5"}),
                completions=Answer(body="<html>Welcome</html>"),
            ),
            "+json_schema-logprobs-completions",
            [
                f"{LOGPROBS_LINE} (HTTP 422: top_logprobs > 5 (1 attempt)).",
                f"{COMPLETIONS_LINE} (malformed reply to /completions: "
                "Invalid JSON: expected value at line 1 column 1).",
            ],
        ),
        (
            able(json_schema=Answer(500, {"error": {"message": "no\x1b grammar"}})),
            "-json_schema+logprobs+completions",
            [f"{SCHEMA_LINE} (HTTP 500: no\ufffd grammar (3 attempts))."],
        ),
    ],
    ids=["all", "no schema", "another schema", "all refused", "no logprobs", "other pages", "it breaks"],
)
def test_abilities(
    scripted_server: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
    server: Any,
    found: str,
    lines: list[str],
) -> None:
    scripted_server.answers = [server]
    with engine(scripted_server.base_url) as asked:
        assert (asked.model, asked.revision) == ("tiny", f"/models/tiny@openai{found}")
        assert asked.completes == found.endswith("+completions")
        assert caplog.messages == [], "they are said by the canary"
        asked.canary()
        asked.canary()
    assert caplog.messages == [f"The server at {scripted_server.base_url} {line}" for line in lines]
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}


def test_abilities_are_asked_for_once(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [chat_only()]
    with engine(scripted_server.base_url) as asked:
        before = asked.revision
        asked.chat([ask()] * 5)
        scripted_server.answers = [able()]
        asked.canary()
        assert asked.revision == before, "what a server learns later is for the next run"
    assert scripted_server.gets == ["/v1/models"]
    texts = [body.get("prompt") or body["messages"][-1]["content"] for _, body in scripted_server.posts]
    assert len([text for text in texts if text != "Hello."]) == 5, "four questions, and that of the canary"


@pytest.mark.parametrize(
    ("served", "model", "message"),
    [
        (models("a", "b"), "", "has 2 models. Set engine.model to one of: a, b."),
        (
            models(),
            "",
            "does not say which models it has: its list is empty. Name one: --model NAME, or engine.model.",
        ),
        (
            Answer(404, {"detail": "Not Found"}),
            "",
            "does not say which models it has: HTTP 404: Not Found (1 attempt). Name one: --model NAME",
        ),
        (Answer(body="[]"), "", "malformed reply to /models: Input should be an object. Name one"),
    ],
)
def test_a_model_has_to_be_named(
    scripted_server: ScriptedServer, served: Answer, model: str, message: str
) -> None:
    assert message in refusal(engine, scripted_server, served, model)
    assert scripted_server.posts == []


@pytest.mark.parametrize("served", [models("a", "b"), models(), Answer(404), Answer(500), Answer(body="[]")])
def test_a_named_model_needs_no_list(scripted_server: ScriptedServer, served: Answer) -> None:
    scripted_server.models, scripted_server.answers = served, [able()]
    with engine(scripted_server.base_url, model="org/mine") as asked:
        asked.canary()
        assert asked.model == "org/mine"
        assert asked.revision == "org/mine@openai+json_schema+logprobs+completions"
        assert asked.excess([ask(max_tokens=10**9)]) == [0], "no context is known"
    assert {body["model"] for _, body in scripted_server.posts} == {"org/mine"}


def test_a_context_that_is_known_is_kept_to_in_bytes(scripted_server: ScriptedServer) -> None:
    scripted_server.models = models("tiny", max_model_len=1000)
    scripted_server.answers = [able()]
    with engine(scripted_server.base_url) as asked:
        short, long = asked.excess([ask(max_tokens=700), ask(max_tokens=800)])
    assert short == 0
    assert long == len("Be brief.Hello.") + 256 + 800 + 800 - 1000
    assert "/tokenize" not in {path for path, _ in scripted_server.posts}


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (
            Answer(400, {"error": {"message": "Unsupported parameter: 'max_tokens'"}}),
            "HTTP 400: Unsupported parameter: 'max_tokens' (1 attempt)",
        ),
        (Answer(404, {"error": {"message": "no model 'x'"}}), "It does not list 'x' but: tiny. Set engine."),
        (Answer(403, {"error": {"message": "not in your country"}}), "HTTP 403: not in your country"),
        (Answer(429, {"error": {"message": "quota"}}), "HTTP 429: quota (3 attempts)"),
        (Answer(body="\x00\xff"), "malformed reply to /chat/completions: Invalid JSON: "),
        (Answer(cut=0), "connection cut (3 attempts)"),
    ],
)
def test_a_server_that_does_not_answer_is_an_error(
    scripted_server: ScriptedServer, first: Answer, message: str
) -> None:
    scripted_server.answers = [able(first=first)]
    with engine(scripted_server.base_url, model="x") as asked:
        with pytest.raises(AmeliError) as raised:
            asked.canary()
        assert message in str(raised.value)
        assert str(raised.value).startswith(scripted_server.base_url)
        assert len({failed(reply) for reply in asked.chat([ask()] * 2)}) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_not_taken_for_one_that_lacks_something(
    scripted_server: ScriptedServer, status: int
) -> None:
    scripted_server.answers = [able(json_schema=Answer(status))]
    with engine(scripted_server.base_url) as asked, pytest.raises(AmeliError, match=f"HTTP {status}"):
        _ = asked.revision
    waited = iter([Answer(status, headers={"Retry-After": "0.01"})])
    held = able()

    def once(body: dict[str, Any]) -> Answer:
        return next(waited, None) or held(body)

    scripted_server.answers = [once]
    with engine(scripted_server.base_url) as asked:
        assert asked.revision.endswith("@openai+json_schema+logprobs+completions")


def test_a_model_that_gives_no_choice_is_warned_of(
    scripted_server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    scripted_server.answers = [able(logprobs=said("Mu\x1b[2J", Mu=-0.01, A=-6.0))]
    with engine(scripted_server.base_url) as asked:
        asked.canary()
    assert caplog.messages[-1] == (
        r"Asked for A or B, the model tiny gave no choice (reply 'Mu\x1b[2J' is none of the choices): "
        "expect failed reviews."
    )


def test_a_server_that_dies_after_it_was_examined_fails_the_canary(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [able()]
    with engine(scripted_server.base_url) as asked:
        asked.canary()
        scripted_server.answers = [Answer(500)]
        with pytest.raises(AmeliError, match=r"failed the choice test: .*HTTP 500: Internal Server Error"):
            asked.canary()


def test_servers_of_different_abilities_are_refused() -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(scripted()) for _ in range(2))
        first.answers, second.answers = [able()], [able(logprobs=REFUSED)]
        with engine((first.base_url, second.base_url)) as asked, pytest.raises(AmeliError) as raised:
            asked.canary()
        assert "tiny (/models/tiny@openai+json_schema-logprobs+completions)" in str(raised.value)
        assert "The servers of engine.base_url serve one model" in raised.value.hint
        second.answers = [able()]
        with engine((first.base_url, second.base_url)) as asked:
            assert {reply.text for reply in asked.chat([ask()] * 20)} == {"hello"}
        assert first.posts
        assert second.posts


def test_a_server_that_is_not_there_is_left_out(free_port: int) -> None:
    with scripted() as there:
        there.answers = [able()]
        down = f"http://127.0.0.1:{free_port}/v1"
        with engine((down, there.base_url), replace(QUICK, refusals=3)) as asked:
            asked.canary()
            assert [reply.text for reply in asked.chat([ask()] * 20)] == ["hello"] * 20
            with scripted(free_port) as other:
                other.answers = [able(first=Answer(404, {"error": {"message": "no model"}}))]
                with engine((down, there.base_url)) as again, pytest.raises(AmeliError) as raised:
                    again.canary()
            assert raised.value.message == f"{down}: HTTP 404: no model (1 attempt)"


def test_nobody_listens(free_port: int) -> None:
    address = f"http://127.0.0.1:{free_port}/v1"
    with engine(address, model="tiny") as asked:
        assert failed(asked.chat([ask()])[0])[1] == f"{address}: connection refused (3 attempts)"
        with pytest.raises(
            AmeliError, match=r"connection refused .* Name a server's address, most end in /v1"
        ):
            asked.canary()
        assert asked.excess([ask()]) == [0]


def test_a_password_in_the_address_is_refused() -> None:
    with pytest.raises(ValidationError, match="as the environment variable OPENAI_API_KEY") as raised:
        EngineConfig(name="openai", base_url="http://ann:sesame@host/v1")
    assert "sesame" not in str(raised.value)


KEY = "sk-open-sesame-0123456789"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            Answer(401, {"error": {"message": f"Incorrect API key provided: {KEY[:8]}***{KEY[-4:]}"}}),
            "HTTP 401: the key in OPENAI_API_KEY is not taken (1 attempt)",
        ),
        (Answer(403, {"error": {"message": f"{KEY} may not"}}), "HTTP 403: [key] may not (1 attempt)"),
        (said(f"Your key is {KEY}", The=-0.1), "reply 'Your key is [key]' is none of the choices"),
        (
            Answer(302, headers={"Location": f"http://host/{KEY}"}),
            "HTTP 302 redirects to another address, and redirects are never followed",
        ),
        (
            Answer(body={"choices": [{"message": {"content": "x"}, "finish_reason": [KEY]}]}),
            "malformed reply to /chat/completions: choices.0.finish_reason",
        ),
    ],
)
def test_the_key_is_sent_and_never_repeated(
    scripted_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, answer: Answer, message: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("VLLM_API_KEY", "another")
    scripted_server.answers = [able()]
    with engine(scripted_server.base_url) as asked:
        known = f"{asked.model} {asked.revision} {asked.origin}"
        scripted_server.answers = [answer]
        (reply,) = asked.chat([ask(choices=("A", "B"))])
        assert message in failed(reply)[1]
        assert KEY[:8] not in str(reply) + known
    assert {headers["authorization"] for headers in scripted_server.headers} == {f"Bearer {KEY}"}


def test_a_missing_key_is_named(scripted_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("VLLM_API_KEY", "another")
    scripted_server.models = Answer(401, {"error": {"message": "who are you"}})
    with engine(scripted_server.base_url) as asked, pytest.raises(AmeliError) as raised:
        asked.canary()
    assert "HTTP 401: OPENAI_API_KEY is not set (1 attempt)" in raised.value.message
    assert scripted_server.headers[-1]["authorization"] == "Bearer none"


@pytest.mark.parametrize("key", ["ses\named", "s\xe9same"])
def test_a_key_that_no_header_takes(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(AmeliError, match="OPENAI_API_KEY has characters that no HTTP header takes"):
        engine("http://127.0.0.1:9/v1").__enter__()


def test_questions_are_plain_and_short(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [able(HELLO)]
    with engine(scripted_server.base_url) as asked:
        _ = asked.revision
    (first, *rest) = scripted_server.posts
    assert first[1]["messages"][0]["content"].startswith(FIRST)
    assert first[1].keys() == {"model", "messages", "max_tokens", "temperature", "top_p", "seed"}
    assert sorted(path for path, _ in rest) == ["/v1/chat/completions"] * 2 + ["/v1/completions"]
    assert all(body["max_tokens"] <= 64 for _, body in scripted_server.posts)
    assert len(json.dumps(scripted_server.posts)) < 4000
