"""Requests that are scored: how likely a given text is, by engines that can say it and one that cannot."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.config import EngineConfig
from ameli_llm.engines import transformers
from ameli_llm.engines._context import most_tokens
from ameli_llm.engines.cache import CachedEngine, request_key
from ameli_llm.engines.choices import MASKED
from ameli_llm.engines.engine import ChatReply, ChatRequest, Message
from ameli_llm.engines.transformers import Transformers
from ameli_llm.types import State, Usage
from tests.engines import openai_servers
from tests.engines.asking import ask, engine, failed
from tests.engines.hostile import head, hostile
from tests.engines.scripted import Answer, ScriptedServer, said
from tests.engines.test_transformers_batches import kinds_of_models
from tests.plugin_vllm import make_tiny_model

torch = pytest.importorskip("torch")

SYSTEM = "You write the review of a product. " * 8
PRODUCTS = ("A stainless steel refrigerator of 25 cubic feet. " * 9, "A laptop with 512 gigabytes. " * 12)
TEXTS = ("It is red.", " holds", "The drive is loud, \U0001f600 and I send it back.\n" * 4, "<|im_end|>")


def score(text: str, about: str = "Hello.") -> ChatRequest:
    turns = (Message("system", SYSTEM), Message("user", about), Message("assistant", text))
    return ChatRequest(turns, scored=True)


def texts_of_products() -> list[ChatRequest]:
    """Each text after each product, after a question of its own, and one after next to nothing."""
    requests = [score(text, about) for about in PRODUCTS for text in TEXTS]
    requests += [score(text, f"{about}{at}?") for about in PRODUCTS for at, text in enumerate(TEXTS)]
    requests.append(ChatRequest((Message("user", ""), Message("assistant", "It is red.")), scored=True))
    random.Random(1).shuffle(requests)
    return requests


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> Iterator[Transformers]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    made = transformers.create(EngineConfig(name="transformers", model=str(tiny_model), dtype="float32"))
    yield made
    torch.set_num_threads(threads)
    made.close()


def by_definition(folder: Path, request: ChatRequest) -> tuple[float, int, int]:
    """The sum over the text's tokens in one pass over all tokens, and how many prompt and text have."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    *before, last = request.messages
    turns = [{"role": one.role, "content": one.content} for one in before]
    prompt = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    prompt, text = prompt["input_ids"], tokenizer(last.content)["input_ids"]
    with torch.inference_mode():
        logprobs = model(torch.tensor([prompt + text])).logits[0].log_softmax(dim=-1)
    rows = logprobs[len(prompt) - 1 : -1]
    total = sum(float(row[token]) for row, token in zip(rows, text, strict=True))
    return total, len(prompt), len(text)


def test_a_text_is_as_likely_as_by_transformers_itself(loaded: Transformers, tiny_model: Path) -> None:
    requests = [score(text, PRODUCTS[0]) for text in TEXTS]
    for request, reply in zip(requests, loaded.chat(requests), strict=True):
        total, prompt, text = by_definition(tiny_model, request)
        assert reply.logprob == pytest.approx(total, abs=1e-3)
        assert (reply.text, reply.choice_logprobs, reply.failure) == ("", None, None)
        assert (reply.usage, reply.finish_reason) == (Usage(prompt=prompt + text), "stop")


def test_neighbours_do_not_change_how_likely_a_text_is(loaded: Transformers) -> None:
    requests = texts_of_products()
    together = [reply.logprob for reply in loaded.chat(requests)]
    alone = [loaded.chat([request])[0].logprob for request in requests]
    assert None not in together
    assert together == pytest.approx(alone, abs=1e-3)
    backwards = [reply.logprob for reply in loaded.chat(requests[::-1])]
    assert backwards[::-1] == pytest.approx(alone, abs=1e-3)
    assert len(set(alone)) == len(alone), "it depends on what comes before"
    assert loaded.chat(requests) == loaded.chat(requests)


def test_more_texts_than_are_computed_at_once(loaded: Transformers) -> None:
    requests = [score(f"It is number {number}.", PRODUCTS[0]) for number in range(80)]
    together = loaded.chat(requests)
    for at in (0, 31, 32, 63, 64, 79):
        assert together[at].logprob == pytest.approx(loaded.chat([requests[at]])[0].logprob, abs=1e-3)


def test_a_shared_prompt_is_computed_once(loaded: Transformers, monkeypatch: pytest.MonkeyPatch) -> None:
    network = loaded._network
    assert network is not None
    computed: list[int] = []
    one_pass = network._pass

    def counting(tokens: Any, *args: Any, **options: Any) -> Any:
        computed.append(tokens.numel())
        return one_pass(tokens, *args, **options)

    monkeypatch.setattr(network, "_pass", counting)
    requests = [score(f"{number}", about) for about in PRODUCTS for number in range(9)]
    loaded.chat(requests)
    assert len(computed) == 5  # the system prompt; each product; the texts of each product
    assert sum(computed) < sum(loaded.count(requests)) / 5


@pytest.mark.parametrize("kind", list(kinds_of_models()))
def test_every_kind_of_model_scores_as_by_transformers_itself(kind: str) -> None:
    from ameli_llm.engines._network import Network

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = kinds_of_models()[kind]().eval()
    drawn = random.Random(2)

    def tokens(count: int) -> list[int]:
        return [drawn.randrange(3, 400) for _ in range(count)]

    shared = tokens(90)
    one, other = [*shared, *tokens(3)], [*shared, *tokens(50)]
    prompts = [one, other, one, other, [*other, 7, 7], [5], [5], one, shared]
    texts = [tokens(count) for count in (1, 40, 70, 3, 2, 1, 9, 200, 5)]
    with torch.inference_mode():
        network = Network(model)
        found = dict(network.logprobs(prompts, texts))
        expected = []
        for prompt, text in zip(prompts, texts, strict=True):
            rows = model(input_ids=torch.tensor([[*prompt, *text]])).logits[0].log_softmax(dim=-1)
            expected.append([float(rows[len(prompt) - 1 + at, token]) for at, token in enumerate(text)])
    assert network._shares is (kind != "recurrent")
    assert sorted(found) == list(range(len(prompts)))
    for at, logprobs in enumerate(expected):
        assert found[at] == pytest.approx(logprobs, abs=1e-3)


def test_a_model_without_a_chat_template_scores_after_the_messages_joined(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path)
    (folder / "chat_template.jinja").unlink()
    plain = transformers.create(EngineConfig(name="transformers", model=str(folder), dtype="float32"))
    turns = (Message("system", "Be brief."), Message("user", "c"), Message("assistant", "Red"))
    joined = (Message("user", "Be brief.\n\nc"), Message("assistant", "Red"))
    apart, together = plain.chat([ChatRequest(one, scored=True) for one in (turns, joined)])
    plain.close()
    assert apart.logprob == together.logprob
    assert apart.failure is None


@pytest.mark.parametrize(
    "template",
    [True, False],
)
def test_a_text_after_no_token_at_all_has_no_score(tmp_path: Path, template: bool) -> None:
    folder = make_tiny_model(tmp_path)
    if not template:
        (folder / "chat_template.jinja").unlink()
    plain = transformers.create(EngineConfig(name="transformers", model=str(folder), dtype="float32"))
    first, other = plain.chat([ChatRequest((Message("assistant", "Red"),), scored=True), score("Red")])
    plain.close()
    assert first.logprob is None
    assert failed(first)[0] is State.ENGINE_ERROR
    assert other.failure is None


NO_TEXT = (State.INVALID_OUTPUT, "there is no text to score")


def test_a_text_without_tokens_is_invalid(loaded: Transformers) -> None:
    assert failed(loaded.chat([score("")])[0]) == NO_TEXT
    assert [failed(reply) for reply in loaded.chat([score(""), score("", "x")])] == [NO_TEXT] * 2
    none, some = loaded.chat([score(""), score("Red")])
    assert (failed(none), none.logprob) == (NO_TEXT, None)
    assert some.logprob == pytest.approx(loaded.chat([score("Red")])[0].logprob, abs=1e-3)


def test_a_text_that_is_too_long_fails_alone(loaded: Transformers) -> None:
    short, long, after = score("Red"), score("word " * 5000), score("Blue")
    replies = loaded.chat([short, long, after])
    state, message = failed(replies[1])
    tokens = loaded.count([long])[0]
    assert state is State.ENGINE_ERROR
    assert message == f"prompt of {tokens} tokens and max_tokens=256 exceed the model's 4096"
    assert (replies[0].failure, replies[2].failure) == (None, None)
    assert loaded.excess([short, long, after]) == [0, tokens + 256 - 4096, 0]


def test_the_excess_counts_the_text(loaded: Transformers) -> None:
    (prompt,), (whole,) = (
        loaded.count([score("", PRODUCTS[0])]),
        loaded.count([score("Red" * 9, PRODUCTS[0])]),
    )
    assert prompt < whole
    fits = replace(score("Red" * 9, PRODUCTS[0]), max_tokens=4096 - whole)
    over = replace(fits, max_tokens=fits.max_tokens + 1)
    assert loaded.excess([fits, over]) == [0, 1]
    first, second = loaded.chat([fits, over])
    assert (first.failure, failed(second)[0]) == (None, State.ENGINE_ERROR)


def test_scored_and_other_requests_come_back_in_order(loaded: Transformers) -> None:
    requests = [
        score("Red"),
        ask(choices=("A", "B")),
        score(""),
        ask(completion=True, max_tokens=3),
        score("word " * 5000),
        ask(choices=("Red", "Blue")),
        score("Blue", PRODUCTS[1]),
    ]
    red, letter, none, free, long, word, blue = loaded.chat(requests)
    assert (letter.text in ("A", "B"), word.text in ("Red", "Blue")) == (True, True)
    assert free.usage.completion == 3
    assert (failed(none)[0], failed(long)[0]) == (State.INVALID_OUTPUT, State.ENGINE_ERROR)
    assert (letter.logprob, free.logprob, word.logprob) == (None, None, None)
    for request, reply in ((requests[0], red), (requests[6], blue)):
        assert reply.logprob == pytest.approx(loaded.chat([request])[0].logprob, abs=1e-3)
    assert red.logprob != pytest.approx(blue.logprob, abs=1e-2)


def test_a_closed_engine_scores_nothing(tiny_model: Path) -> None:
    closed = transformers.create(EngineConfig(name="transformers", model=str(tiny_model)))
    closed.close()
    (reply,) = closed.chat([score("Red")])
    assert failed(reply) == (State.ENGINE_ERROR, "the engine transformers is closed")


def test_a_scored_reply_comes_back_from_the_cache(loaded: Transformers, tmp_path: Path) -> None:
    requests = [score("Red"), score("Blue"), score("")]
    first, second = (CachedEngine(loaded, tmp_path / "cache") for _ in range(2))
    fresh, stored = first.chat(requests), second.chat(requests)
    first._store.close()
    second._store.close()
    assert stored == fresh
    assert [one.logprob for one in stored] == [one.logprob for one in fresh]
    assert [one.logprob is None for one in stored] == [False, False, True]
    assert [one.from_cache for one in stored] == [True, True, False], "what failed is asked again"
    assert [one.seconds for one in stored[:2]] == [0.0, 0.0]
    assert all((one.seconds or 0.0) > 0 and not one.from_cache for one in fresh[:2])
    assert (second.hits, second.misses) == (2, 1)


def test_a_scored_request_has_a_key_of_its_own(loaded: Transformers, tmp_path: Path) -> None:
    scored = score("Red")
    asked = replace(scored, scored=False, max_tokens=3, completion=True)
    pair = [asked, replace(asked, scored=True)]
    assert len({request_key(one, *"amr") for one in pair}) == 2
    cached = CachedEngine(loaded, tmp_path / "cache")
    (said_before,) = cached.chat([asked])
    (told,) = cached.chat([scored])
    cached._store.close()
    assert (said_before.logprob, told.text) == (None, "")
    assert told.logprob is not None
    assert cached.misses == 2


def test_the_key_of_a_request_that_is_not_scored_is_what_it_was() -> None:
    turns = (Message("system", "s"), Message("user", "u"))
    request = ChatRequest(turns, schema={"a": 1, "b": 2}, choices=("A", "B"), template="extract/terse@1")
    key = "fe8d8164b334fdb011e6f8cf8f634b78c283f9f357c032823845835928064d74"
    assert request_key(request, "echo", "m", "1") == key
    assert request_key(replace(request, scored=True), "echo", "m", "1") != key


def test_who_can_score(scripted_server: ScriptedServer, loaded: Transformers, tmp_path: Path) -> None:
    address = scripted_server.base_url
    with openai_servers.engine(address) as cannot, engine(address) as can:
        for number, (one, scores) in enumerate(((cannot, False), (can, True), (loaded, True))):
            cached = CachedEngine(one, tmp_path / f"{number}")
            assert cached.scores is scores
            assert CachedEngine(cached, tmp_path / f"{number} again").scores is scores
    assert scripted_server.posts == scripted_server.gets == [], "nobody has to be asked"


def test_the_protocol_alone_has_no_scores(scripted_server: ScriptedServer) -> None:
    scripted_server.answers = [openai_servers.able()]
    with openai_servers.engine(scripted_server.base_url) as asked:
        _ = asked.revision
        scripted_server.posts.clear()
        scored, other = asked.chat([score("Red"), ask()])
    assert failed(scored) == (
        State.ENGINE_ERROR,
        "The protocol has no question for how likely a text is.",
    )
    assert (scored.logprob, other.text) == (None, "hello")
    assert len(scripted_server.posts) == 1, "only the other one is sent"


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
    "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Hello."}],
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
    assert (failed(reply), reply.logprob) == (NO_TEXT, None)


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
