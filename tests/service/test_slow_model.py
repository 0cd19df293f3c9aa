"""A model server that is too slow: the deadline holds, the queue is bounded, and it ends when it is quick."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.engines.scripted import Answer, ScriptedServer, scripted
from tests.library.test_linker import model
from tests.service.process import Served
from tests.service.process import served as service

DEADLINE, WORKERS, QUEUE = 2, 2, 3
SLOW = 60.0
PROBLEM = "urn:ameli-llm:problem:"


def settings(server: ScriptedServer) -> list[object]:
    made = [f"engine.{key}={value}" for key, value in engine(server).items()] + ["retrieval.candidates=2"]
    words: list[object] = ["--deadline", DEADLINE, "--queue", QUEUE, "--max-reviews", QUEUE]
    return [*words, *(word for setting in made for word in ("--set", setting))]


def engine(server: ScriptedServer) -> dict[str, object]:
    return {"name": "vllm_server", "base_url": server.base_url, "concurrency": WORKERS}


def slow(body: dict[str, Any]) -> Answer:
    return replace(model(body), seconds=SLOW)


def asked(running: Served, body: str) -> httpx.Response:
    return httpx.post(f"{running.address}/v1/link", json={"body": body, "mention": "blender"}, timeout=30)


def waiting(running: Served) -> float:
    lines = httpx.get(f"{running.address}/metrics", timeout=30).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("ameli_llm_queue_reviews "))


def until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_slow_model_costs_its_own_reviews_and_nothing_else(shop: Path, tmp_path: Path) -> None:
    with scripted() as server, ThreadPoolExecutor(WORKERS + QUEUE) as pool:
        server.answers = [model]
        with service(shop, tmp_path, *settings(server)) as running:
            assert asked(running, "my red one").json()["error"] is None

            server.answers = [slow]
            begun = time.monotonic()
            late = [pool.submit(asked, running, f"my blue one {n}") for n in range(WORKERS)]
            until(lambda: server.in_flight == WORKERS, DEADLINE)
            late += [pool.submit(asked, running, f"my green one {n}") for n in range(QUEUE)]
            until(lambda: waiting(running) == QUEUE, DEADLINE)
            refused = asked(running, "my black one")
            assert (refused.status_code, refused.json()["type"]) == (429, f"{PROBLEM}queue-full")
            assert int(refused.headers["Retry-After"]) >= 1
            answers = [one.result() for one in late]
            assert {(one.status_code, one.json()["type"]) for one in answers} == {(504, f"{PROBLEM}deadline")}
            assert time.monotonic() - begun < 2 * DEADLINE + 2
            assert httpx.get(f"{running.address}/healthz", timeout=30).status_code == 200

            server.answers = [model]
            until(lambda: asked(running, "my black one").status_code == 200, 5 * DEADLINE)
            link = asked(running, "my green one").json()
            assert (link["error"], link["candidates"][0]["entity_id"]) == (None, "B/3")
            assert waiting(running) == 0
