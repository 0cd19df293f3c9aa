"""Whole runs with the engine "openai": what is kept of the server, and which templates it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import Done, command
from tests.engines.openai_servers import COMPLETED, FIRST, able, chat_only
from tests.engines.scripted import Answer, ScriptedServer, said
from tests.shared_setup import cache_of, twin_of

KEY = "sk-open-sesame-0123456789"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twin_of(tmp_path_factory, products=24, reviews=30, seed=5, images=False)


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMELI_LLM_CACHE", str(cache_of(tmp_path_factory, tmp_path_factory.mktemp("cache"))))
        patch.setenv("OPENAI_API_KEY", KEY)
        yield


def link(dataset: Path, out: Path, server: ScriptedServer, *settings: str) -> Done:
    quick = ("retrieval.weights={title: 5.0}", "attributes.extractors=[llm]", "engine.timeout=30")
    named = [f"engine.base_url={server.base_url}", *quick, *settings]
    words = [word for setting in named for word in ("--set", setting)]
    return command(
        *("link", dataset, "--split", "test", "--out", out, "--limit", 2, "--engine", "openai"),
        *("--model", "tiny", *words),
    )


def test_a_run_on_a_server_that_can_only_chat(
    scripted_server: ScriptedServer, dataset: Path, tmp_path: Path
) -> None:
    def answer(body: dict[str, object]) -> Answer:
        return said("A.") if body["max_tokens"] == 8 else said("Here:\n```json\n{}\n```")

    scripted_server.answers = [chat_only(answer)]
    out = tmp_path / "run"
    done = link(dataset, out, scripted_server)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [row["error"] for row in rows] == [None] * 2
    run = json.loads((out / "run.json").read_text())
    assert run["spec"]["engine"] == {
        "name": "openai",
        "model": "tiny",
        "revision": "/models/tiny@openai-json_schema-logprobs-completions",
    }
    assert all(KEY.encode() not in path.read_bytes() for path in out.rglob("*") if path.is_file())
    before = len(scripted_server.posts)
    assert link(dataset, out, scripted_server).code == 0
    texts = [body.get("prompt") or str(body["messages"]) for _, body in scripted_server.posts[before:]]
    assert len(texts) == 4, "of a finished run nothing is asked but what the server can do"
    assert any(FIRST in text for text in texts)


def test_a_template_for_completions_needs_a_server_that_has_them(
    scripted_server: ScriptedServer, dataset: Path, tmp_path: Path
) -> None:
    wanted = ("attributes.template=extract/gpt2", "comparison.comparator=none")
    scripted_server.answers = [chat_only()]
    done = link(dataset, tmp_path / "run", scripted_server, *wanted)
    assert done.error == (
        "Template 'extract/gpt2' asks for plain completions, and the server has no /completions. "
        "Take a template for chat, for instance extract/json, or another server."
    )
    scripted_server.answers = [able(COMPLETED)]
    assert link(dataset, tmp_path / "other", scripted_server, *wanted).code == 0


def test_a_text_to_be_scored_is_refused_before_the_run(
    scripted_server: ScriptedServer, dataset: Path, tmp_path: Path
) -> None:
    scripted_server.answers = [able()]
    wanted = ("attributes.extractors=[rules]", "comparison.comparators=[rules,likelihood]")
    done = link(dataset, tmp_path / "run", scripted_server, *wanted)
    assert done.error == (
        "Template 'compare/likelihood' has a text scored, which the engine 'openai' cannot do. "
        "Engines that can: vllm_server, vllm, transformers."
    )
    assert (tmp_path / "run" / "predictions.jsonl").read_text() == ""
    texts = [body.get("prompt") or str(body["messages"]) for _, body in scripted_server.posts]
    assert not [text for text in texts if "Write a customer's review" in text], "nothing of it is sent"
