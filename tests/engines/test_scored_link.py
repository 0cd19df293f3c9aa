"""Whole runs in which one model extracts and another one scores the review."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.config import EngineConfig
from ameli_llm.engines import transformers
from ameli_llm.transcripts import read_transcript
from tests.command import Done, command
from tests.plugin_vllm import make_tiny_model
from tests.shared_setup import cache_of, twin_of

pytest.importorskip("torch")

COMPARED = 3
"""Candidates that are compared with the review."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twin_of(tmp_path_factory, products=24, reviews=30, seed=5, images=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return str(make_tiny_model(folder / "writer")), str(make_tiny_model(folder / "scorer", seed=1))


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMELI_LLM_CACHE", str(cache_of(tmp_path_factory, tmp_path_factory.mktemp("cache"))))
        yield


def link(dataset: Path, out: Path, model: str, *settings: str) -> Done:
    quick = ("retrieval.weights={title: 5.0}", "engine.dtype=float32", f"retrieval.candidates={COMPARED}")
    words = [word for setting in (*quick, *settings) for word in ("--set", setting)]
    return command(
        *("link", dataset, "--split", "test", "--out", out, "--limit", 2, "--engine", "transformers"),
        *("--model", model, *words),
    )


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def test_each_model_does_its_part(dataset: Path, models: tuple[str, str], tmp_path: Path) -> None:
    writer, scorer = models
    out = tmp_path / "run"
    settings = ("attributes.extractors=[rules, llm]", "comparison.comparators=[likelihood]")
    done = link(dataset, out, writer, *settings, f"engine.scorer={scorer}")
    assert done.code == 0, done.err
    spec = json.loads((out / "run.json").read_text())["spec"]["engine"]
    assert (spec["model"], spec["scorer"]["model"]) == (writer, scorer)
    assert spec["revision"] != spec["scorer"]["revision"]
    engine = transformers.create(EngineConfig(name="transformers", model=scorer, dtype="float32"))
    for row in rows(out):
        assert row["error"] is None
        scores = [one["text_scores"]["likelihood"] for one in row["candidates"][:COMPARED]]
        assert math.fsum(scores) == pytest.approx(0.0, abs=1e-4)
        scored = [one for one in read_transcript(out, row["review_id"]) if one.asked_by == "likelihood"]
        again = engine.chat([one.request for one in scored])
        assert [one.reply.logprob for one in scored] == pytest.approx(
            [one.logprob for one in again], abs=1e-3
        )
        assert any(one.asked_by == "llm" for one in read_transcript(out, row["review_id"]))
    engine.close()


def test_without_a_scorer_one_model_does_both(dataset: Path, models: tuple[str, str], tmp_path: Path) -> None:
    settings = ("attributes.extractors=[rules]", "comparison.comparators=[likelihood]")
    alone, named = tmp_path / "alone", tmp_path / "named"
    assert link(dataset, alone, models[1], *settings).code == 0
    assert link(dataset, named, models[1], *settings, f"engine.scorer={models[1]}").code == 0
    assert "scorer" not in json.loads((named / "run.json").read_text())["spec"]["engine"]
    assert [row["candidates"] for row in rows(alone)] == [row["candidates"] for row in rows(named)]
    shown = command("show", alone, rows(alone)[0]["review_id"])
    assert "--- log-probability of the last message (" in shown.out
    assert "template compare/likelihood" in shown.out


def test_a_scorer_that_is_not_there(dataset: Path, models: tuple[str, str], tmp_path: Path) -> None:
    settings = ("comparison.comparators=[likelihood]", f"engine.scorer={tmp_path / 'none'}")
    done = link(dataset, tmp_path / "run", models[0], *settings)
    assert done.code != 0
    assert "Engine 'transformers' cannot load" in done.error
