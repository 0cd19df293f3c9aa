"""How likely a given text is: by the engine transformers, from the cache, and who can say it at all."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.config import EngineConfig
from ameli_llm.engines import transformers
from ameli_llm.engines.cache import CachedEngine, request_key
from ameli_llm.engines.engine import ChatRequest, Message
from ameli_llm.engines.transformers import Transformers
from ameli_llm.resolution import MUTE
from ameli_llm.types import State, Usage
from tests.engines import openai_servers
from tests.engines.asking import ask, engine, failed, score
from tests.engines.networks import kinds_of_models
from tests.engines.scripted import ScriptedServer
from tests.plugin_vllm import make_tiny_model

torch = pytest.importorskip("torch")

PRODUCTS = ("A stainless steel refrigerator of 25 cubic feet. " * 9, "A laptop with 512 gigabytes. " * 12)
TEXTS = ("It is red.", " holds", "The drive is loud, \U0001f600 and I send it back.\n" * 4, "<|im_end|>")


def texts_of_products() -> list[ChatRequest]:
    """Each text after each product, after a question of its own, and one after next to nothing."""
    requests = [score(text, about) for about in PRODUCTS for text in TEXTS]
    requests += [score(text, f"{about}{at}?") for about in PRODUCTS for at, text in enumerate(TEXTS)]
    requests.append(ChatRequest((Message("user", ""), Message("assistant", "It is red.")), scored=True))
    random.Random(1).shuffle(requests)
    return requests


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


def test_a_text_is_as_likely_as_by_transformers_itself(local: Transformers, tiny_model: Path) -> None:
    requests = [score(text, PRODUCTS[0]) for text in TEXTS]
    for request, reply in zip(requests, local.chat(requests), strict=True):
        total, prompt, text = by_definition(tiny_model, request)
        assert reply.logprob == pytest.approx(total, abs=1e-3)
        assert (reply.text, reply.choice_logprobs, reply.failure) == ("", None, None)
        assert (reply.usage, reply.finish_reason) == (Usage(prompt=prompt + text), "stop")


def test_neighbours_do_not_change_how_likely_a_text_is(local: Transformers) -> None:
    requests = texts_of_products()
    together = [reply.logprob for reply in local.chat(requests)]
    alone = [local.chat([request])[0].logprob for request in requests]
    assert None not in together
    assert together == pytest.approx(alone, abs=1e-3)
    backwards = [reply.logprob for reply in local.chat(requests[::-1])]
    assert backwards[::-1] == pytest.approx(alone, abs=1e-3)
    assert len(set(alone)) == len(alone), "it depends on what comes before"
    assert local.chat(requests) == local.chat(requests)


def test_more_texts_than_are_computed_at_once(local: Transformers) -> None:
    requests = [score(f"It is number {number}.", PRODUCTS[0]) for number in range(80)]
    together = local.chat(requests)
    for at in (0, 31, 32, 63, 64, 79):
        assert together[at].logprob == pytest.approx(local.chat([requests[at]])[0].logprob, abs=1e-3)


def test_a_shared_prompt_is_computed_once(local: Transformers, monkeypatch: pytest.MonkeyPatch) -> None:
    network = local._network
    assert network is not None
    computed: list[int] = []
    one_pass = network._pass

    def counting(tokens: Any, *args: Any, **options: Any) -> Any:
        computed.append(tokens.numel())
        return one_pass(tokens, *args, **options)

    monkeypatch.setattr(network, "_pass", counting)
    requests = [score(f"{number}", about) for about in PRODUCTS for number in range(9)]
    local.chat(requests)
    assert len(computed) == 5  # the system prompt; each product; the texts of each product
    assert sum(computed) < sum(local.count(requests)) / 5


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


@pytest.mark.parametrize("template", [True, False])
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


def test_a_text_without_tokens_is_invalid(local: Transformers) -> None:
    assert failed(local.chat([score("")])[0]) == NO_TEXT
    assert [failed(reply) for reply in local.chat([score(""), score("", "x")])] == [NO_TEXT] * 2
    none, some = local.chat([score(""), score("Red")])
    assert (failed(none), none.logprob) == (NO_TEXT, None)
    assert some.logprob == pytest.approx(local.chat([score("Red")])[0].logprob, abs=1e-3)


def test_a_text_that_is_too_long_fails_alone(local: Transformers) -> None:
    short, long, after = score("Red"), score("word " * 5000), score("Blue")
    replies = local.chat([short, long, after])
    state, message = failed(replies[1])
    tokens = local.count([long])[0]
    assert state is State.ENGINE_ERROR
    assert message == f"prompt of {tokens} tokens and max_tokens=256 exceed the model's 4096"
    assert (replies[0].failure, replies[2].failure) == (None, None)
    assert local.excess([short, long, after]) == [0, tokens + 256 - 4096, 0]


def test_the_excess_counts_the_text(local: Transformers) -> None:
    (prompt,), (whole,) = (
        local.count([score("", PRODUCTS[0])]),
        local.count([score("Red" * 9, PRODUCTS[0])]),
    )
    assert prompt < whole
    fits = replace(score("Red" * 9, PRODUCTS[0]), max_tokens=4096 - whole)
    over = replace(fits, max_tokens=fits.max_tokens + 1)
    assert local.excess([fits, over]) == [0, 1]
    first, second = local.chat([fits, over])
    assert (first.failure, failed(second)[0]) == (None, State.ENGINE_ERROR)


def test_scored_and_other_requests_come_back_in_order(local: Transformers) -> None:
    requests = [
        score("Red"),
        ask(choices=("A", "B")),
        score(""),
        ask(completion=True, max_tokens=3),
        score("word " * 5000),
        ask(choices=("Red", "Blue")),
        score("Blue", PRODUCTS[1]),
    ]
    red, letter, none, free, long, word, blue = local.chat(requests)
    assert (letter.text in ("A", "B"), word.text in ("Red", "Blue")) == (True, True)
    assert free.usage.completion == 3
    assert (failed(none)[0], failed(long)[0]) == (State.INVALID_OUTPUT, State.ENGINE_ERROR)
    assert (letter.logprob, free.logprob, word.logprob) == (None, None, None)
    for request, reply in ((requests[0], red), (requests[6], blue)):
        assert reply.logprob == pytest.approx(local.chat([request])[0].logprob, abs=1e-3)
    assert red.logprob != pytest.approx(blue.logprob, abs=1e-2)


def test_a_closed_engine_scores_nothing(tiny_model: Path) -> None:
    closed = transformers.create(EngineConfig(name="transformers", model=str(tiny_model)))
    closed.close()
    (reply,) = closed.chat([score("Red")])
    assert failed(reply) == (State.ENGINE_ERROR, "the engine transformers is closed")


def test_a_scored_reply_comes_back_from_the_cache(local: Transformers, tmp_path: Path) -> None:
    requests = [score("Red"), score("Blue"), score("")]
    first, second = (CachedEngine(local, tmp_path / "cache") for _ in range(2))
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


def test_a_scored_request_has_a_key_of_its_own(local: Transformers, tmp_path: Path) -> None:
    scored = score("Red")
    asked = replace(scored, scored=False, max_tokens=3, completion=True)
    pair = [asked, replace(asked, scored=True)]
    assert len({request_key(one, *"amr") for one in pair}) == 2
    cached = CachedEngine(local, tmp_path / "cache")
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


def test_who_can_score(scripted_server: ScriptedServer, local: Transformers, tmp_path: Path) -> None:
    address = scripted_server.base_url
    with openai_servers.engine(address) as cannot, engine(address) as can:
        for number, (one, scores) in enumerate(((cannot, False), (can, True), (local, True))):
            cached = CachedEngine(one, tmp_path / f"{number}")
            assert cached.scores is scores
            assert (one.name in MUTE) is not scores, "what is chosen by default goes by the name"
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
