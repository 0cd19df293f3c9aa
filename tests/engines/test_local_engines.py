"""The engines that load a model into this process, on a tiny model of random weights."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ameli_llm.config import EngineConfig
from ameli_llm.engines import _local, transformers
from ameli_llm.engines.engine import ChatRequest, Message
from ameli_llm.engines.transformers import Transformers
from ameli_llm.errors import AmeliError, MissingDependencyError
from ameli_llm.install import install_line
from ameli_llm.types import State, Usage
from tests.plugin_vllm import make_tiny_model

SCHEMA = {
    "type": "object",
    "properties": {
        "color": {"type": "string", "enum": ["Red", "Blue"]},
        "span": {"type": "string", "minLength": 1, "maxLength": 12},
    },
    "required": ["color", "span"],
    "additionalProperties": False,
}


def ask(text: str, **options: object) -> ChatRequest:
    return ChatRequest((Message("system", "Be brief."), Message("user", text)), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Transformers]:
    import torch

    loaded = transformers.create(EngineConfig(name="transformers", model=str(tiny_model), dtype="float32"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more of them only get in each other's way on a model of this size
    yield loaded
    torch.set_num_threads(threads)
    loaded.close()


def test_it_says_what_it_is_and_passes_the_canary(engine: Transformers, tiny_model: Path) -> None:
    assert (engine.name, engine.model, engine.workers) == ("transformers", str(tiny_model), 1)
    assert engine.revision == f"{_local.fingerprint(tiny_model)}@{engine.revision.partition('@')[2]}"
    assert engine.revision.endswith("-float32")
    engine.canary()


def test_json_keeps_to_the_schema_whatever_the_batch(engine: Transformers) -> None:
    requests = [ask("x" * length, schema=SCHEMA, max_tokens=64) for length in (1, 40, 7, 200)]
    together = engine.chat(requests)
    alone = [engine.chat([request])[0] for request in requests]
    for reply in together:
        assert (reply.failure, reply.finish_reason) == (None, "stop")
        content = json.loads(reply.text)
        assert list(content) == ["color", "span"]
        assert content["color"] in ("Red", "Blue")
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    assert len({reply.text for reply in together}) > 1


def test_requests_of_all_kinds_come_back_in_order(engine: Transformers) -> None:
    requests = [
        ask("a", choices=("A", "B")),
        ask("b", schema=SCHEMA),
        ask("c", completion=True, max_tokens=3),
        ask("d", choices=("Red", "Blue")),
        ask("e", schema=SCHEMA, max_tokens=2),
        ask("word " * 5000),
    ]
    choice, extraction, completion, words, cut, long = engine.chat(requests)
    assert choice.text in ("A", "B")
    assert json.loads(extraction.text)["color"] in ("Red", "Blue")
    assert completion.usage == Usage(prompt=1, completion=3)
    assert words.text in ("Red", "Blue")
    assert cut.failure is not None
    assert (cut.failure.state, cut.failure.message) == (
        State.INVALID_OUTPUT,
        "reply cut off at max_tokens=2",
    )
    assert long.failure is not None
    assert long.failure.state is State.ENGINE_ERROR
    assert "tokens and max_tokens=256 exceed the model's 4096" in long.failure.message


def test_a_choice_is_scored_exactly_over_all_its_tokens(engine: Transformers, tiny_model: Path) -> None:
    """Against the plain definition: the whole text in one pass, the choice's tokens summed."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    choices = ("A", "none of these", "Red", "\U0001f600")
    (reply,) = engine.chat([ask("Which?", choices=choices)])
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which?"}]
    prompt = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    raw = {}
    for choice in choices:
        tokens = tokenizer(choice)["input_ids"]
        with torch.inference_mode():
            logits = model(torch.tensor([prompt["input_ids"] + tokens])).logits[0]
        logprobs = torch.log_softmax(logits, dim=-1)[len(prompt["input_ids"]) - 1 :]
        raw[choice] = sum(float(logprobs[place, token]) for place, token in enumerate(tokens))
    total = math.log(sum(map(math.exp, raw.values())))
    expected = {choice: value - total for choice, value in raw.items()}
    assert reply.choice_logprobs == pytest.approx(expected, abs=1e-3)
    assert reply.text == max(expected, key=lambda choice: expected[choice])
    assert reply.usage == Usage(prompt=len(prompt["input_ids"]), completion=1)


def test_sampling_follows_the_seed(engine: Transformers) -> None:
    def sample(seed: int) -> str:
        return engine.chat([ask("z", schema=SCHEMA, temperature=1.5, top_p=0.95, seed=seed)])[0].text

    texts = [sample(seed) for seed in range(3)]
    assert texts == [sample(seed) for seed in range(3)]
    assert len(set(texts)) > 1


def test_a_closed_engine_fails_every_request(tiny_model: Path) -> None:
    closed = transformers.create(EngineConfig(name="transformers", model=str(tiny_model)))
    closed.close()
    closed.close()
    (reply,) = closed.chat([ask("x")])
    assert reply.failure is not None
    assert (reply.failure.state, reply.failure.message) == (
        State.ENGINE_ERROR,
        "the engine transformers is closed",
    )


def test_a_model_without_a_chat_template_gets_the_messages_joined(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path)
    (folder / "chat_template.jinja").unlink()
    engine = transformers.create(EngineConfig(name="transformers", model=str(folder), dtype="float32"))
    joined, completed = engine.chat(
        [ask("c", choices=("A", "B")), ChatRequest((Message("user", "Be brief.\n\nc"),), choices=("A", "B"))]
    )
    engine.close()
    assert joined == completed


def test_no_model_named() -> None:
    with pytest.raises(
        AmeliError, match=r"^Engine 'transformers' needs a model, and engine.model is empty\."
    ):
        transformers.create(EngineConfig(name="transformers"))


@pytest.mark.parametrize("content", [None, "{}", "not json", '{"model_type": "no_such_type"}'])
def test_a_folder_that_is_no_model(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(AmeliError, match=r"^Engine 'transformers' cannot load '/.*") as raised:
        transformers.create(EngineConfig(name="transformers", model=str(tmp_path)))
    assert "\n" not in str(raised.value)
    assert raised.value.hint.endswith("*.safetensors.")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(AmeliError, match="cannot load"):
        transformers.create(EngineConfig(name="transformers", model=str(folder)))


def test_the_fingerprint_follows_weights_and_tokenizer(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "a")
    assert _local.fingerprint(folder) == _local.fingerprint(make_tiny_model(tmp_path / "b"))
    assert _local.fingerprint(folder) != _local.fingerprint(make_tiny_model(tmp_path / "c", seed=1))
    before = _local.fingerprint(folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert _local.fingerprint(folder) != before


def test_a_missing_package_says_what_to_type() -> None:
    with pytest.raises(MissingDependencyError) as raised:
        _local.package("no_such_package", "transformers")
    assert str(raised.value) == (
        "Engine 'transformers' needs the package no_such_package (No module named 'no_such_package'). "
        f"Type: {install_line('transformers')}"
    )


def tokens_of(folder: Path, request: ChatRequest) -> int:
    from transformers import AutoTokenizer

    return len(_local.prompt_tokens(AutoTokenizer.from_pretrained(folder), request))


def test_the_excess_is_counted_by_the_model_s_tokenizer(engine: Transformers, tiny_model: Path) -> None:
    long = ask("word " * 5000)
    most = 4096 - tokens_of(tiny_model, long)
    assert engine.excess([ask("a"), long]) == [0, 256 - most]
    fits = ask("word " * 700, max_tokens=4096 - tokens_of(tiny_model, ask("word " * 700)))
    assert engine.excess([fits, replace(fits, max_tokens=fits.max_tokens + 1)]) == [0, 1]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # vllm's own imports warn
def test_vllm_in_this_process(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("vllm")
    from ameli_llm.engines import vllm

    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    engine = vllm.create(EngineConfig(name="vllm", model=str(tiny_model)))
    engine.canary()
    requests = [
        ask("a", choices=("A", "B", "C")),
        ask("b", schema=SCHEMA),
        ask("c", completion=True, max_tokens=3),
        ask("word " * 5000),
        ask("e", choices=("none of these", "A"), template="compare/x@1"),
        *(ask(f"{number}", choices=tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")) for number in range(100)),
    ]
    choice, extraction, completion, long, words, *many = engine.chat(requests)
    assert choice.choice_logprobs is not None
    assert math.fsum(map(math.exp, choice.choice_logprobs.values())) == pytest.approx(1.0)
    assert json.loads(extraction.text)["color"] in ("Red", "Blue")
    assert completion.usage == Usage(prompt=1, completion=3)
    assert long.failure is not None
    assert long.failure.state is State.ENGINE_ERROR
    assert words.failure is not None
    assert words.failure.message.startswith("template compare/x@1: choice 'none of these' is not one token")
    assert all(len(reply.choice_logprobs or {}) == 26 for reply in many)
    short, too_long = engine.excess(requests[2:4])
    assert (short, too_long) == (0, tokens_of(tiny_model, requests[3]) + 256 - 4096)
    engine.close()
    engine.close()
    assert engine.chat(requests[:1])[0].failure is not None


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # vllm's own imports warn
def test_vllm_in_this_process_gives_texts_scored_as_transformers_does(
    engine: Transformers, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("vllm")
    from ameli_llm.engines import vllm

    def score(text: str, about: str) -> ChatRequest:
        return ChatRequest((*ask(about).messages, Message("assistant", text)), scored=True)

    texts = ("Red.", "It holds 25 cubic feet, \U0001f600 and is loud.\n" * 8, "<|im_end|>")
    requests = [score(text, f"{'It is a very good fridge. ' * 9}{at}") for at in range(4) for text in texts]
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    served = vllm.create(EngineConfig(name="vllm", model=str(tiny_model), dtype="float32"))
    others = [ask("a", choices=("A", "B")), score("", "x"), score("word " * 5000, "x")]
    replies = served.chat([*others, *requests])
    again = served.chat(requests)
    too_long = served.excess([requests[0], others[2]])
    served.close()
    choice, empty, refused, *scored = replies
    for found in (scored, again):
        for reply, other in zip(found, engine.chat(requests), strict=True):
            assert (reply.failure, reply.finish_reason) == (None, "stop")
            assert reply.logprob == pytest.approx(other.logprob, abs=0.05)
            assert reply.usage.prompt == other.usage.prompt
    assert choice.text in ("A", "B")
    assert empty.failure is not None
    assert (empty.failure.state, empty.failure.message) == (
        State.INVALID_OUTPUT,
        "there is no text to score",
    )
    assert refused.failure is not None
    assert refused.failure.state is State.ENGINE_ERROR
    assert too_long == engine.excess([requests[0], others[2]])
