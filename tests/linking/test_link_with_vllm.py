"""The whole pipeline with a real vLLM server: its model knows nothing, but every request goes through it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.linking.contract import conforms, lines, metrics_but_seconds
from tests.linking.relay import relayed
from tests.plugin_vllm import RunningServer

CANARY = 2
"""Model calls before every run."""

REVIEWS = 6


@pytest.fixture
def words(
    dataset: Path, in_index: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[object, ...]:
    """The command but for server and folder: one review at a time, two calls each, an empty reply cache."""
    monkeypatch.setenv("AMELI_LLM_CACHE", str(tmp_path / "cache"))
    settings = (
        "retrieval.weights={title: 5.0, image: 20.0}",
        "attributes.extractors=[rules, llm]",
        "retrieval.candidates=4",
        "engine.concurrency=1",
        "engine.max_error_rate=1.0",
    )
    options = [word for setting in settings for word in ("--set", setting)]
    run = ("link", dataset, "--split", "test", "--limit", REVIEWS, "--engine", "vllm_server")
    return *run, *in_index, *options


def at(base_url: str, out: Path, **settings: object) -> tuple[object, ...]:
    options = {"base_url": base_url, **settings}
    return "--out", out, *(w for k, v in options.items() for w in ("--set", f"engine.{k}={v}"))


def sessions(run: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((run / "run.json").read_text(encoding="utf-8"))["sessions"]
    return found


def shows_prompt_and_reply(here: Callable[..., Any], run: Path, from_cache: bool) -> None:
    """``show`` has what was sent about the first review, what came back, and the templates behind it."""
    row = next(one for one in lines(run) if one["state"] != "invalid_output")
    shown = here("show", run, row["review_id"], "--json").json
    asked, compared = shown["exchanges"]
    assert [asked["asked_by"], compared["asked_by"]] == ["llm", "listwise"]
    assert [asked["template_name"], compared["template_name"]] == ["extract/json", "compare/listwise"]
    assert shown["review"]["body"][:20] in asked["messages"][-1]["content"]
    assert isinstance(json.loads(asked["reply"]["text"]), dict)
    assert compared["reply"]["text"] in compared["choices"] == list(compared["reply"]["choice_logprobs"])
    for one in (asked, compared):
        assert one["reply"]["from_cache"] is from_cache
        assert (one["reply"]["seconds"] == 0.0) is from_cache
        assert one["reply"]["tokens"]["prompt"] > 100
    text = here("show", run, row["review_id"]).out
    assert "=== request 1 of 2: llm, template extract/json" in text
    assert asked["messages"][0]["content"] in text
    assert f"right: {shown['products'][str(shown['gold']['gold'])]}" in text or shown["gold"]["gold"] is None
    sources = json.loads((run / "templates.json").read_text(encoding="utf-8"))
    assert set(sources) == {"extract/json", "compare/listwise"}
    assert sources["extract/json"]["source"].startswith("---\ndescription:")
    assert list(sources["extract/json"]["included"]) == ["shared/review.j2"]


def renders_what_was_sent(here: Callable[..., Any], run: Path, dataset: Path) -> None:
    """``prompts render --run`` makes of each review the very requests that the run sent."""
    for row in lines(run):
        sent = here("show", run, row["review_id"], "--json").json["exchanges"]
        words = ("--dataset", dataset, "--run", run, "--review", row["review_id"], "--json")
        made = [
            *here("prompts", "render", "extract/json", *words).json["requests"],
            *here("prompts", "render", "compare/listwise", *words).json["requests"],
        ]
        for one, other in zip(sent, made, strict=True):
            assert {key: one[key] for key in ("messages", "schema", "choices", "template")} == {
                key: other[key] for key in ("messages", "schema", "choices", "template")
            }


def metrics_but_cached(run: Path) -> str:
    """Without the tokens that the server had in its cache, which a request asked again finds there."""
    return re.sub(r'"cached": \d+', "", metrics_but_seconds(run))


def test_extraction_and_comparison_go_through_the_model_once(
    words: tuple[object, ...],
    here: Callable[..., Any],
    dataset: Path,
    vllm_server: RunningServer,
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with relayed(vllm_server.base_url) as relay:
        done = here(*words, *at(relay.base_url, first))
        assert done.code == 0, done
        assert relay.calls == CANARY + 2 * REVIEWS
        assert [one["requests"] for one in sessions(first)] == [2 * REVIEWS]
        conforms(first, REVIEWS)
        rows = lines(first)
        assert all(row["tokens"]["prompt"] > 100 and row["tokens"]["completion"] > 1 for row in rows)
        assert {row["state"] for row in rows} <= {"linked", "nil", "invalid_output"}
        compared = [row for row in rows if row["candidates"][0]["text_score"] is not None]
        assert len(compared) == REVIEWS
        assert all(row["none_score"] < 0 and row["orders"] == 1 for row in rows)
        spec = json.loads((first / "run.json").read_text())["spec"]
        assert set(spec["templates"]) == {"extract/json", "compare/listwise"}
        assert spec["engine"]["name"] == "vllm_server"
        assert spec["engine"]["model"] == "served"
        shows_prompt_and_reply(here, first, from_cache=False)
        renders_what_was_sent(here, first, dataset)

        relay.calls = 0
        assert here(*words, *at(relay.base_url, second)).code == 0
        unusable = sum(row["state"] == "invalid_output" for row in rows)
        assert [one["requests"] for one in sessions(second)] == [unusable], "the reply cache is no request"
        assert relay.calls == CANARY + unusable, "only what was answered unusably is asked for again"
        shows_prompt_and_reply(here, second, from_cache=True)
    assert metrics_but_cached(second) == metrics_but_cached(first)


def test_a_lost_server_costs_engine_errors_and_no_call_twice(
    words: tuple[object, ...], here: Callable[..., Any], vllm_server: RunningServer, tmp_path: Path
) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    allowed = {"max_error_rate": 0.4}
    with relayed(vllm_server.base_url, dies_after=CANARY + 5) as relay:
        done = here(*words, *at(relay.base_url, run, **allowed))
    assert done.code == 1, done
    conforms(run, REVIEWS)
    before = {row["review_id"]: row for row in lines(run)}
    failed = {id_ for id_, row in before.items() if row["state"] == "engine_error"}
    assert len(failed) == REVIEWS - 2
    assert all(relay.base_url in row["error"] for id_, row in before.items() if id_ in failed)

    with relayed(vllm_server.base_url, port=relay.port) as relay:
        done = here(*words, *at(relay.base_url, run), "--json")
        assert done.code == 0, done
        assert done.json["fresh"] == len(failed)
        assert relay.calls == CANARY + 2 * len(failed) - 1, "the reply that had come is not asked for again"
        conforms(run, REVIEWS)
        after = {row["review_id"]: row for row in lines(run)}
        assert {id_: row for id_, row in after.items() if id_ not in failed} == {
            id_: row for id_, row in before.items() if id_ not in failed
        }
        assert "engine_error" not in {row["state"] for row in after.values()}
        assert here(*words, *at(relay.base_url, whole)).code == 0
    assert metrics_but_cached(run) == metrics_but_cached(whole)


@pytest.mark.slow  # a second start of the server takes a minute or two
def test_a_server_killed_in_mid_run_costs_engine_errors_that_the_next_run_mends(
    words: tuple[object, ...], here: Callable[..., Any], vllm_server: RunningServer, tmp_path: Path
) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"

    def kill_after_the_first_line() -> None:
        predictions = run / "predictions.jsonl"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (predictions.exists() and predictions.stat().st_size):
            time.sleep(0.002)
        vllm_server.kill()

    killer = threading.Thread(target=kill_after_the_first_line)
    killer.start()
    try:
        done = here(*words, *at(vllm_server.base_url, run, max_error_rate=0.1))
    finally:
        killer.join()
        vllm_server.start()
    assert done.code == 1, done
    conforms(run, REVIEWS)
    before = {row["review_id"]: row for row in lines(run)}
    failed = {id_ for id_, row in before.items() if row["state"] == "engine_error"}
    assert 0 < len(failed) < REVIEWS
    assert json.loads((run / "metrics.json").read_text())["states"]["engine_error"] == len(failed)

    done = here(*words, *at(vllm_server.base_url, run), "--json")
    assert done.code == 0, done
    assert done.json["fresh"] == len(failed)
    conforms(run, REVIEWS)
    after = {row["review_id"]: row for row in lines(run)}
    assert all(after[id_] == row for id_, row in before.items() if id_ not in failed)
    assert "engine_error" not in {row["state"] for row in after.values()}
    assert here(*words, *at(vllm_server.base_url, whole)).code == 0
    assert metrics_but_cached(run) == metrics_but_cached(whole)
