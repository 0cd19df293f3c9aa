"""The engine "openai" against `transformers serve`, which has neither JSON schemas nor log-probabilities."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ameli_llm.config import EngineConfig
from ameli_llm.engines.engine import ChatReply, ChatRequest, Message
from ameli_llm.engines.openai import OpenAIServer, create
from ameli_llm.errors import AmeliError
from ameli_llm.types import State
from tests.engines.asking import failed
from tests.plugin_vllm import RunningServer, free_port

pytestmark = pytest.mark.slow

START_SECONDS = 200
WHICH = "Which product is it, A or B?"
WHAT = "Which attributes does the review state?"
PLAIN = "The kettle is"
VALUES = '{"Color": ["my red one", "Red"]}'
LESSONS = {WHICH: "B.", WHAT: f"Sure:\n```json\n{VALUES}\n```", "Hello": "Good day."}


def taught(model: Path, folder: Path) -> Path:
    """A copy of the tiny model that has learned ``LESSONS`` by heart."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    texts = [
        f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n{said}<|im_end|>"
        for asked, said in LESSONS.items()
    ]
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    network.train()
    for _ in range(60):
        loss = network(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@contextmanager
def serving(model: Path, folder: Path) -> Iterator[str]:
    """The address of `transformers serve` on a model."""
    (folder / "hub").mkdir(exist_ok=True)
    words = (Path(sys.executable).with_name("transformers"), "serve", model, "--device", "cpu")
    server = RunningServer(words, folder / "server.log", free_port(), {"HF_HOME": str(folder)})
    try:
        server.start()
        yield server.base_url
    finally:
        server.kill()


@pytest.fixture(scope="module")
def folders(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model that knows its answers, and one that knows nothing."""
    return taught(tiny_model, tmp_path_factory.mktemp("taught")), tiny_model


def opened(address: str, model: Path | str) -> closing[OpenAIServer]:
    return closing(create(EngineConfig(name="openai", base_url=address, model=str(model), concurrency=4)))


def answer(engine: OpenAIServer, text: str, **options: object) -> ChatReply:
    request = ChatRequest((Message("user", text),), **options)  # type: ignore[arg-type]
    return engine.chat([request])[0]


def test_a_server_without_schemas_and_log_probabilities(
    folders: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One server a model: what is found out, what is done instead, and what garbage costs."""
    knows, knows_nothing = folders
    with serving(knows, tmp_path) as address:
        complaint = "does not say which models it has: its list is empty"
        with opened(address, "") as engine, pytest.raises(AmeliError, match=complaint):
            engine.canary()
        complaint = f"HTTP 400: Server is pinned to '{knows}'"
        with opened(address, "another") as engine, pytest.raises(AmeliError, match=complaint):
            engine.canary()
        with opened(address, knows) as engine:
            engine.canary()
            assert engine.revision == f"{knows}@openai-json_schema-logprobs+completions"
            choice = answer(engine, WHICH, choices=("A", "B"))
            found = answer(engine, WHAT, schema={"type": "object"}, max_tokens=90)
            free = answer(engine, "Hello")
            wrong = answer(engine, WHICH, choices=("C", "D"))
            none = answer(engine, "Hello", schema={"type": "object"})
    lacks = [line.partition(" (")[0] for line in caplog.messages if line.startswith("The server")]
    assert lacks == [
        f"The server at {address} does not keep to a JSON schema: JSON is looked for in the text of a reply",
        f"The server at {address} gives no log-probabilities: a choice is read from the text of a reply",
    ]
    assert (choice.text, choice.failure) == ("B", None)
    assert choice.choice_logprobs == pytest.approx({"A": math.log(0.1), "B": math.log(0.9)})
    assert (json.loads(found.text), found.failure) == (json.loads(VALUES), None)
    assert free.text == "Good day."
    assert failed(wrong) == (State.INVALID_OUTPUT, "reply 'B.' is none of the choices")
    assert failed(none) == (State.INVALID_OUTPUT, "reply has no JSON object in it: 'Good day.'")
    caplog.clear()
    with serving(knows_nothing, tmp_path) as address, opened(address, knows_nothing) as engine:
        engine.canary()
        assert "expect failed reviews" in caplog.messages[-1]
        plain = answer(engine, PLAIN, completion=True, max_tokens=5)
        assert (plain.failure, plain.usage.completion <= 5) == (None, True)
        for options in ({"choices": ("A", "B")}, {"schema": {"type": "object"}, "max_tokens": 40}):
            assert failed(answer(engine, WHICH, **options))[0] is State.INVALID_OUTPUT
