from __future__ import annotations

from collections.abc import Sequence

from ameli_llm.engines._context import excess, most_tokens
from ameli_llm.engines.engine import ChatRequest
from tests.engines.asking import ask, engine
from tests.engines.scripted import Answer, ScriptedServer, said

SERVED = {"data": [{"id": "tiny", "root": "/models/tiny", "max_model_len": 300}]}
TEXT = len("Be brief.Hello.")


def tokens(answers: int) -> Answer:
    return Answer(body={"count": answers, "max_model_len": 300, "tokens": [1] * answers})


def test_only_what_could_be_too_long_is_counted() -> None:
    counted: list[ChatRequest] = []

    def count(requests: Sequence[ChatRequest]) -> list[int]:
        counted.extend(requests)
        return [20 for _ in requests]

    short, long = ask(max_tokens=1), ask(max_tokens=400)
    assert most_tokens(short) == TEXT + 256 + 1
    assert excess([short, long, short], 300, count) == [0, 120, 0]
    assert counted == [long]
    assert excess([short, long], None, count) == [0, 0]
    assert counted == [long]


def test_a_token_is_at_least_a_byte() -> None:
    request = ask(max_tokens=1)
    wide = ChatRequest((*request.messages, *request.messages[:0]), max_tokens=1)
    assert most_tokens(wide) == most_tokens(request)
    emoji = ChatRequest((request.messages[0].__class__("user", "\U0001f600\ud800"),), max_tokens=1)
    assert most_tokens(emoji) == 4 + 1 + 256 + 1


def test_a_server_says_its_context_and_counts(scripted_server: ScriptedServer) -> None:
    scripted_server.models = Answer(body=SERVED)
    scripted_server.answers = [tokens(290)]
    with engine(scripted_server.base_url) as server:
        assert server.excess([ask(max_tokens=1), ask(max_tokens=40)]) == [0, 30]
    ((path, body),) = scripted_server.posts
    assert path == "/tokenize"
    assert body == {
        "model": "tiny",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."}],
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_a_completion_is_counted_as_one(scripted_server: ScriptedServer) -> None:
    scripted_server.models = Answer(body=SERVED)
    scripted_server.answers = [tokens(10)]
    with engine(scripted_server.base_url) as server:
        assert server.excess([ask(max_tokens=291, completion=True)]) == [1]
    assert scripted_server.posts == [("/tokenize", {"model": "tiny", "prompt": "Hello."})]


def test_a_server_that_does_not_count_gets_what_fits_for_sure(scripted_server: ScriptedServer) -> None:
    scripted_server.models = Answer(body=SERVED)
    scripted_server.answers = [Answer(404, {"detail": "Not Found"})]
    with engine(scripted_server.base_url) as server:
        assert server.excess([ask(max_tokens=40)]) == [TEXT + 256 + 40 - 300 + 40]


def test_a_server_that_does_not_say_its_context_is_not_asked(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [said("hello")]
    with engine(scripted_server.base_url) as server:
        assert server.excess([ask(max_tokens=4000)]) == [0]
    assert scripted_server.posts == []


def test_no_server_is_what_its_replies_say(free_port: int) -> None:
    with engine(f"http://127.0.0.1:{free_port}/v1") as server:
        assert server.excess([ask()]) == [0]
        assert server.chat([ask()])[0].failure is not None
