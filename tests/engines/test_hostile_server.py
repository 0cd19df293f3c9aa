"""The protocol engine against a server that means harm: bombs, redirects, foreign texts and numbers."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.engines._http import MAX_BYTES
from ameli_llm.engines.cache import CachedEngine
from ameli_llm.errors import AmeliError
from ameli_llm.types import State, Usage
from tests.engines.asking import ask, engine, failed
from tests.engines.hostile import head, hostile, whole
from tests.engines.scripted import Answer, ScriptedServer, said, scripted

ROOT = Path(__file__).parents[2]
JSON = "application/json"
BLOCK = b" " * 65536
MEBIBYTES = 200
ENOUGH = MEBIBYTES * 16  # blocks: an end that nobody should get to


@cache
def compressed(window: int) -> bytes:
    """A completion in 200 MiB of blanks, some 200 KiB long; 31 is gzip, 15 zlib."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, window)
    parts = [squeeze.compress(BLOCK) for _ in range(ENOUGH)]
    return b"".join([*parts, squeeze.compress(json.dumps(said("hello").body).encode()), squeeze.flush()])


def gzip_bomb() -> Iterable[bytes]:
    return [whole(compressed(31), Content_Type=JSON, Content_Encoding="gzip")]


def charset_bomb() -> Iterable[bytes]:
    return [whole(compressed(15), Content_Type="text/plain; charset=zlib")]


def endless() -> Iterator[bytes]:
    return itertools.chain([head(Content_Type=JSON)], itertools.repeat(BLOCK, ENOUGH))


def endless_chunks() -> Iterator[bytes]:
    chunk = b"10000\r\n" + BLOCK + b"\r\n"
    return itertools.chain(
        [head(Content_Type=JSON, Transfer_Encoding="chunked")], itertools.repeat(chunk, ENOUGH)
    )


def endless_error() -> Iterator[bytes]:
    return itertools.chain([head("500 Oops", Content_Type=JSON)], itertools.repeat(BLOCK, ENOUGH))


TOO_LARGE = "the reply is larger than 2 MiB (1 attempt)"
BOMBS: dict[Callable[[], Iterable[bytes]], str] = {
    gzip_bomb: "the reply is compressed (gzip), which was not asked for (1 attempt)",
    charset_bomb: "malformed reply to /chat/completions: Invalid JSON: ",
    endless: TOO_LARGE,
    endless_chunks: TOO_LARGE,
    endless_error: TOO_LARGE,
}

CLIENT = """
import json, resource, sys
from tests.engines.asking import ask, engine
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
with engine(sys.argv[1], model="tiny") as warm:
    warm.chat([ask()])
found = []
for address in sys.argv[2:]:
    before = peak()
    with engine(address, model="tiny", timeout=60.0) as asked:
        (reply,) = asked.chat([ask()])
    found.append([peak() - before, reply.failure.state, reply.failure.message])
print(json.dumps(found))
"""


def test_no_answer_costs_memory(scripted_server: ScriptedServer) -> None:
    for window in (31, 15):
        compressed(window)  # before anybody waits for it
    with ExitStack() as stack:
        servers = [stack.enter_context(hostile(bomb)) for bomb in BOMBS]
        addresses = [server.base_url for server in servers]
        words = [sys.executable, "-c", CLIENT, scripted_server.base_url, *addresses]
        done = subprocess.run(words, capture_output=True, text=True, timeout=280, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        for server, said_, (grown, state, message) in zip(
            servers, BOMBS.values(), json.loads(done.stdout), strict=True
        ):
            assert (state, grown < 40) == ("engine_error", True), f"{grown} MiB: {message}"
            assert message.startswith(f"{server.base_url}: {said_}")
            assert len(server.requests) == 1, "asked again"
            assert server.sent < 16 * MAX_BYTES, "read on, past what the sockets hold"


def test_the_list_of_models_is_bounded_too() -> None:
    with hostile(endless) as server, engine(server.base_url) as asked:
        assert failed(asked.chat([ask()])[0])[1] == f"{server.base_url}: {TOO_LARGE}"
        with pytest.raises(AmeliError, match="the reply is larger than 2 MiB"):
            asked.canary()
        assert server.requests == ["GET /v1/models"] * 2


def test_a_long_honest_reply_is_read(scripted_server: ScriptedServer) -> None:
    text = "long words " * 20_000
    scripted_server.answers = [said(text)]
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([ask()])
    assert (reply.text, reply.failure) == (text, None)


REDIRECTS = [f"{status} Elsewhere" for status in (301, 302, 303, 307, 308)]


@pytest.mark.parametrize("status", [*REDIRECTS, "300 Choose", "304 Not Modified"])
@pytest.mark.parametrize("model", ["tiny", ""], ids=["chat", "models"])
def test_a_redirect_is_never_followed(
    scripted_server: ScriptedServer, tmp_path: Path, status: str, model: str
) -> None:
    def answer() -> list[bytes]:
        return [whole(b"", status, Location=f"{scripted_server.base_url}/chat/completions")]

    with hostile(answer) as server, engine(server.base_url, model=model) as asked:
        cached = CachedEngine(asked, tmp_path / "cache")
        (reply,) = cached.chat([ask()])
        with pytest.raises(AmeliError, match="redirects are never followed"):
            asked.canary()
        cached.close()
    state, message = failed(reply)
    assert state is State.ENGINE_ERROR
    assert message.startswith(
        f"{server.base_url}: HTTP {status[:3]} redirects to {scripted_server.base_url}/chat/completions, "
        "and redirects are never followed"
    )
    assert (scripted_server.posts, scripted_server.gets) == ([], [])


@pytest.mark.parametrize(
    ("location", "said_"),
    [
        ("http://ann:sesame@host/v1", "another address"),
        ("http://host/v1?token=sesame", "another address"),
        ("/v1/sesame", "another address"),
        ("http://[::", "another address"),
        ("file:///etc/passwd", "another address"),
        ("http://host/" + "x" * 5000, "http://host/" + "x" * 100),
    ],
)
def test_where_a_redirect_leads_is_said_with_care(location: str, said_: str) -> None:
    with (
        hostile(lambda: [whole(b"", "302 Found", Location=location)]) as server,
        engine(server.base_url, model="tiny") as asked,
    ):
        message = failed(asked.chat([ask()])[0])[1]
    assert f"HTTP 302 redirects to {said_}" in message
    assert "sesame" not in message
    assert len(message) <= 300
    assert len(server.requests) == 1


HUGE = "9" * 31


def counted(**usage: Any) -> Answer:
    return Answer(body={"choices": [{"message": {"content": "hello"}}], "usage": usage})


def chose(*tokens: tuple[str, str]) -> Answer:
    """A choice of A with log-probabilities that are written as given."""
    top = ", ".join(f'{{"token": "{token}", "logprob": {value}}}' for token, value in tokens)
    choice = f'{{"message": {{"content": "A"}}, "logprobs": {{"content": [{{"top_logprobs": [{top}]}}]}}}}'
    return Answer(body=f'{{"choices": [{choice}]}}')


AB: dict[str, Any] = {"choices": ("A", "B")}
LOGPROB = "choices.0.logprobs.content.0.top_logprobs.0.logprob: "


@pytest.mark.parametrize(
    ("options", "answer", "problem"),
    [
        ({}, counted(prompt_tokens=int(HUGE)), "usage.prompt_tokens: Input should be less than "),
        ({}, counted(completion_tokens=10**30), "usage.completion_tokens: Input should be less than "),
        ({}, counted(prompt_tokens=-1), "usage.prompt_tokens: Input should be greater than "),
        ({}, counted(prompt_tokens=0.5), "usage.prompt_tokens: Input should be a valid integer"),
        (
            {},
            counted(prompt_tokens_details={"cached_tokens": 10**30}),
            "usage.prompt_tokens_details.cached_tokens: Input should be less than ",
        ),
        ({}, said("x", "y" * 65), "choices.0.finish_reason: String should have at most 64 characters"),
        ({}, said("x", "y\x1b[2J"), "choices.0.finish_reason: String should match pattern "),
        ({}, Answer(body={"choices": said("x").body["choices"] * 9}), "choices: List should have at most 8 "),  # type: ignore[index]
        (AB, chose(("A", "0.5")), LOGPROB + "Input should be less than or equal to 0.01"),
        (AB, chose(("A", "NaN")), LOGPROB + "Input should be "),
        (AB, chose(("A", "-Infinity")), LOGPROB + "Input should be a finite number"),
        (AB, chose(("A", "-1e999")), LOGPROB + "Input should be a finite number"),
        (
            AB,
            chose(*[("A", "-1")] * 513),
            "choices.0.logprobs.content.0.top_logprobs: List should have at most ",
        ),
        ({}, Answer(body='{"choices": ' + "[" * 100_000), "Invalid JSON: recursion limit exceeded"),
    ],
)
def test_numbers_and_texts_of_a_server_are_bounded(
    scripted_server: ScriptedServer, options: dict[str, Any], answer: Answer, problem: str
) -> None:
    scripted_server.answers = [answer]
    with engine(scripted_server.base_url) as asked:
        state, message = failed(asked.chat([ask(**options)])[0])
    assert state is State.ENGINE_ERROR
    assert message.startswith(f"{scripted_server.base_url}: malformed reply to /chat/completions: {problem}")
    assert len(scripted_server.posts) == 1


def test_log_probabilities_that_rounding_made_positive_are_taken(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [chose(("A", "1e-6"), ("B", "-1e308"), ("B", "-800.0"))]
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([ask(**AB)])
    assert reply.choice_logprobs == pytest.approx({"A": 0.0, "B": -800.0}, abs=1e-5)


def test_the_largest_counts_that_are_taken_add_up_to_json(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [counted(prompt_tokens=100_000_000)]
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([ask()])
    assert reply.usage == Usage(100_000_000)
    assert sum([reply.usage] * 1000, Usage()).prompt < 2**53


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        ([{"id": "x" * 513}], "data.0.id: String should have at most 512 characters"),
        ([{"id": "tiny\x1b]0;title\x07"}], "data.0.id: String should match pattern "),
        ([{"id": "ti\u202eny"}], "data.0.id: String should match pattern "),
        ([{"id": ""}], "data.0.id: String should have at least 1 character"),
        ([{"id": "tiny", "root": "/" * 4097}], "data.0.root: String should have at most 4096 characters"),
        ([{"id": "m"}] * 10_001, "data: List should have at most 10000 items "),
    ],
)
def test_models_of_a_server_are_bounded(
    scripted_server: ScriptedServer, models: list[dict[str, str]], problem: str
) -> None:
    scripted_server.models = Answer(body={"data": models})
    with engine(scripted_server.base_url) as asked, pytest.raises(AmeliError) as caught:
        asked.canary()
    assert caught.value.message.startswith(
        f"{scripted_server.base_url}: malformed reply to /models: {problem}"
    )
    assert len(str(caught.value)) < 700


def test_of_many_models_a_few_are_listed(scripted_server: ScriptedServer) -> None:
    scripted_server.models = Answer(body={"data": [{"id": f"{n:03}" + "x" * 500} for n in range(100)]})
    with engine(scripted_server.base_url, model="tiny") as asked, pytest.raises(AmeliError) as caught:
        asked.canary()
    assert "It serves: 000xxx" in caught.value.hint
    assert " and 90 more. Set engine.model" in caught.value.hint
    assert len(caught.value.hint) < 3500


@pytest.mark.parametrize("version", ["9" * 65, "0\n1", 7])
def test_an_odd_version_is_unknown(scripted_server: ScriptedServer, version: object) -> None:
    scripted_server.version = Answer(body={"version": version})
    with engine(scripted_server.base_url) as asked:
        assert asked.revision == "/models/tiny@unknown server"


@pytest.mark.parametrize(
    ("body", "said_"),
    [
        ({"error": {"message": "no\x1b[31m\n way " + "x" * 900}}, "HTTP 400: no\ufffd[31m way xxx"),
        ({"error": {"message": {"a": "b"}}}, 'HTTP 400: {"a": "b"}'),
        ('{"error": {"message": ' + "[" * 900 + "]" * 900 + "}}", "HTTP 400: Bad Request"),
        ('{"detail": ' + "[" * 100_000, "HTTP 400: Bad Request"),
        ("x" * 1_000_000, "HTTP 400: Bad Request"),
        ('{"error": 1e999}', "HTTP 400: Bad Request"),
    ],
)
def test_error_texts_are_bounded(
    scripted_server: ScriptedServer, body: str | dict[str, Any], said_: str
) -> None:
    scripted_server.answers = [Answer(400, body)]
    with engine(scripted_server.base_url) as asked:
        message = failed(asked.chat([ask()])[0])[1]
    assert message.startswith(f"{scripted_server.base_url}: {said_}")
    assert len(message) <= 300


@pytest.mark.parametrize("value", ["nan", "1e999", "Wed, 21 Oct 2015 07:28:00 +99999999999999", "\xff"])
def test_an_absurd_retry_after_is_no_fault_of_ours(scripted_server: ScriptedServer, value: str) -> None:
    scripted_server.answers = [Answer(429, headers={"Retry-After": value}), said("hello")]
    with engine(scripted_server.base_url, model="tiny") as asked:
        (reply,) = asked.chat([ask()])
    assert (reply.text, reply.failure) == ("hello", None)


DEEP = "[" * 900 + '"\x01"' + "]" * 900


@pytest.mark.parametrize("text", [DEEP, DEEP.replace("\x01", ""), '{"a":' * 65 + "0" + "}" * 65])
def test_deep_json_is_invalid_output(scripted_server: ScriptedServer, text: str) -> None:
    scripted_server.answers = [said(text)]
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([ask(schema={"type": "object"})])
    assert failed(reply)[0] is State.INVALID_OUTPUT
    assert failed(reply)[1].startswith("reply is not JSON: ")


def test_a_reply_cannot_be_longer_than_its_tokens(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [said("x" * 10_241)]
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([ask(max_tokens=10)])
    assert failed(reply) == (
        State.INVALID_OUTPUT,
        "reply of 10241 characters, more than max_tokens=10 can be",
    )
    assert reply.text == ""


OURS = {"accept", "accept-encoding", "authorization", "connection", "content-length", "content-type"} | {
    *("host", "user-agent", "x-stainless-retry-count", "x-stainless-read-timeout"),
}


def test_the_environment_says_nothing_to_a_server(
    scripted_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in list(os.environ):
        if name.startswith("OPENAI_"):
            monkeypatch.delenv(name)
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", "sesame")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Mine: sesame\nAuthorization: Bearer sesame\nX-\xe9: \xe9")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/sesame")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password sesame\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with engine(scripted_server.base_url) as asked:
        (reply,) = asked.chat([ask()])
    assert reply.failure is None
    assert len(scripted_server.headers) == 3, "models, version, chat"
    for headers in scripted_server.headers:
        assert set(headers) <= OURS
        assert headers["authorization"] == "Bearer none"
        assert headers["accept-encoding"] == "identity"
        assert "sesame" not in str(headers)


@pytest.mark.parametrize("key", ["ses\named", "s\xe9same"])
def test_a_key_that_no_header_takes(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("VLLM_API_KEY", key)
    with pytest.raises(AmeliError, match="VLLM_API_KEY has characters that no HTTP header takes") as caught:
        engine("http://127.0.0.1:9/v1").__enter__()
    assert key[:1] + key[-3:] not in str(caught.value)


def test_a_reply_of_one_server_is_not_served_for_another(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(scripted(n)) for n in (0, 0))
        first.answers, second.answers = [said("first")], [said("second")]
        addresses = (first.base_url, second.base_url, first.base_url + "/")
        texts = []
        for address in addresses:
            with engine(address) as asked:
                cached = CachedEngine(asked, tmp_path / "cache")
                texts.append(cached.chat([ask()])[0].text)
                cached.close()
    assert texts == ["first", "second", "first"]
    assert (len(first.posts), len(second.posts)) == (1, 1), "the same server in another spelling is not asked"
