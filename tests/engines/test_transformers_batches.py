"""Answers of the engine transformers against transformers' own: neighbours must not change them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.config import EngineConfig
from ameli_llm.engines import transformers
from ameli_llm.engines.engine import ChatRequest, Message
from ameli_llm.engines.transformers import Transformers
from ameli_llm.machine import computes_in_bfloat16
from tests.engines.networks import kinds_of_models
from tests.plugin_vllm import make_tiny_model

torch = pytest.importorskip("torch")

SYSTEM = "You read a review of a product and answer with one letter. " * 8
REVIEWS = ("It is red and holds 25 cubic feet. " * 12, "The laptop has a 512 gigabytes drive. " * 9)
SCHEMA = {
    "type": "object",
    "properties": {"color": {"enum": ["Red", "Blue"]}, "span": {"type": "string", "maxLength": 20}},
    "required": ["color", "span"],
    "additionalProperties": False,
}


def ask(review: str, question: str, **options: Any) -> ChatRequest:
    return ChatRequest((Message("system", SYSTEM), Message("user", f"{review}\n{question}")), **options)


def questions() -> list[ChatRequest]:
    """Entailment, listwise and extraction over two reviews, mixed, and one that shares nothing."""
    requests = [
        ask(review, f"Statement: the {key} is {value}.", choices=("A", "B", "none of these"))
        for review in REVIEWS
        for key, value in (("color", "red"), ("capacity", "25 cubic feet"), ("drive", "1 terabyte or so"))
    ]
    requests += [ask(review, "Extract.", schema=SCHEMA, max_tokens=60) for review in REVIEWS]
    requests += [ask(REVIEWS[0], f"Write {number}.", max_tokens=4 * number) for number in range(1, 8)]
    requests.append(ChatRequest((Message("user", "Red?"),), choices=("A", "B")))
    random.Random(1).shuffle(requests)
    return requests


def same(one: Any, other: Any) -> bool:
    return (
        (one.text, one.usage, one.finish_reason, one.failure)
        == (other.text, other.usage, other.finish_reason, other.failure)
    ) and (one.choice_logprobs or {}) == pytest.approx(other.choice_logprobs or {}, abs=1e-4)


def test_neighbours_do_not_change_an_answer(local: Transformers) -> None:
    requests = questions()
    together = local.chat(requests)
    assert all(reply.failure is None or "cut off" in reply.failure.message for reply in together)
    assert {reply.text for reply in together} > {"A"}
    for request, reply in zip(requests, together, strict=True):
        assert same(local.chat([request])[0], reply)
    backwards = local.chat(requests[::-1])[::-1]
    assert all(map(same, backwards, together))


def test_the_same_call_gives_the_same_bits(local: Transformers) -> None:
    assert local.chat(questions()) == local.chat(questions())


def test_more_requests_than_are_computed_at_once(local: Transformers) -> None:
    requests = [ask("", f"number {number}", schema=SCHEMA, max_tokens=60) for number in range(40)]
    together = local.chat(requests)
    assert [json.loads(reply.text)["color"] in ("Red", "Blue") for reply in together] == [True] * 40
    assert all(same(local.chat([requests[at]])[0], together[at]) for at in (0, 31, 32, 39))


def test_a_shared_beginning_is_computed_once(local: Transformers, monkeypatch: pytest.MonkeyPatch) -> None:
    network = local._network
    assert network is not None
    computed: list[int] = []
    one_pass = network._pass

    def counting(tokens: Any, *args: Any, **options: Any) -> Any:
        computed.append(tokens.numel())
        return one_pass(tokens, *args, **options)

    monkeypatch.setattr(network, "_pass", counting)
    requests = [
        ask(review, f"Statement {number}.", choices=("A", "B")) for review in REVIEWS for number in range(9)
    ]
    lengths = local.count(requests)
    local.chat(requests)
    assert sum(computed) < sum(lengths) / 5
    assert len(computed) == 5  # the system prompt; each review; the ends of each review's statements


@pytest.mark.parametrize("kind", list(kinds_of_models()))
def test_every_kind_of_model_answers_as_by_transformers_itself(kind: str) -> None:
    from ameli_llm.engines._network import Network

    class Greedy:
        done = False

        def choose(self, logits: Any) -> int:
            return int(logits.argmax())

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = kinds_of_models()[kind]().eval()
    drawn = random.Random(2)
    shared = [drawn.randrange(3, 400) for _ in range(90)]
    sequences = [[*shared, *(drawn.randrange(3, 400) for _ in range(more))] for more in (1, 5, 2, 60)]
    sequences += [[*sequences[3], 7, 7], [5, 6]]
    with torch.inference_mode():
        expected = [model(input_ids=torch.tensor([one])).logits[0, -1] for one in sequences]
        texts = []
        for one in sequences:
            said = list(one)
            for _ in range(12):
                said.append(int(model(input_ids=torch.tensor([said])).logits[0, -1].argmax()))
            texts.append(said[len(one) :])
        network = Network(model)
        found = dict(network.following(sequences))
        written = network.write(sequences, [Greedy() for _ in sequences], [12, 12, 3, 12, 12, 12])
    for at, logits in enumerate(expected):
        torch.testing.assert_close(found[at], logits, atol=2e-4, rtol=1e-4)
    assert written == [text[:3] if at == 2 else text for at, text in enumerate(texts)]
    assert len({tuple(text) for text in texts}) > 1


def test_bfloat16_is_near_float32_and_says_so(local: Transformers, tiny_model: Path) -> None:
    rounded = transformers.create(EngineConfig(name="transformers", model=str(tiny_model), dtype="bfloat16"))
    assert rounded.revision == local.revision.replace("-float32", "-bfloat16")
    requests = [request for request in questions() if request.choices]
    for one, other in zip(local.chat(requests), rounded.chat(requests), strict=True):
        assert one.choice_logprobs == pytest.approx(other.choice_logprobs, abs=0.5)
        assert one.choice_logprobs != other.choice_logprobs
    assert rounded.chat([ask("", "x", schema=SCHEMA, max_tokens=60)])[0].failure is None


def test_auto_takes_what_the_cpu_is_fast_in(tiny_model: Path) -> None:
    auto = transformers.create(EngineConfig(name="transformers", model=str(tiny_model)))
    assert auto.revision.endswith("-bfloat16" if computes_in_bfloat16() else "-float32")
    auto.close()


def test_logits_in_bfloat16_are_not_rounded_once_more(tmp_path: Path) -> None:
    """Two choices with nearly equal logits: bfloat16 logits would tie them."""
    from transformers import AutoModelForCausalLM

    from ameli_llm.engines._network import Network

    folder = make_tiny_model(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    with torch.inference_mode():
        ((_, logits),) = Network(model).following([[5, 6, 7, 8]])
    assert logits.dtype == torch.float32
    assert (logits != logits.bfloat16().float()).float().mean() > 0.9


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor : 0\nflags\t\t: fpu avx512f amx_bf16 amx_tile\n", True),
        ("flags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f\nbugs\t\t: avx512_bf16\n", False),
        ("Features\t: fp asimd sve bf16 i8mm\n", True),
        ("Features\t: fp asimd\n", False),
        ("", False),
    ],
)
def test_what_a_cpu_says_of_bfloat16(tmp_path: Path, cpuinfo: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert computes_in_bfloat16(tmp_path / "cpuinfo") is expected
    assert computes_in_bfloat16(tmp_path / "none") is False
