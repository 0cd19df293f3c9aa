"""Runs over the sample: progress, what they fixed and broke, one at a time, and how they end early."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ameli_llm.ids import ReviewId
from tests.engines.scripted import Answer
from tests.watching.planted import template
from tests.workbench.conftest import NAME, Workbench


@pytest.fixture
def slowly(workbench: Workbench) -> Iterator[None]:
    """Each answer takes a while."""
    workbench.plans.seconds = 0.2
    yield
    workbench.plans.seconds = 0.0


def start(workbench: Workbench, plan: int | str, **words: str) -> Any:
    return workbench.client.post("/api/sample", json={"name": NAME, "source": template(plan, **words)}).json()


def ended(workbench: Workbench) -> Any:
    deadline = time.monotonic() + 60
    while True:
        state = workbench.client.get("/api/sample").json()
        if state["state"] != "running":
            return state
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_run_is_compared_with_the_one_before(workbench: Workbench, known: list[ReviewId]) -> None:
    assert workbench.client.get("/api/sample").json() == {"state": "none"}
    begun = start(workbench, 1)
    assert (begun["state"], begun["template"], begun["total"]) == ("running", NAME, 27)
    first = ended(workbench)
    assert (first["state"], first["done"]) == ("done", 27)
    assert first["result"]["change"] is None
    assert first["result"]["requests"] == 27
    assert first["result"]["f1"]["n"] == 27

    start(workbench, 2)
    result = ended(workbench)["result"]
    change = result["change"]
    assert change["fixed"] == sorted((str(one) for one in known[10:14]), key=int)
    assert (change["broken"], change["p"], change["n"]) == ([str(known[0])], 0.375, 27)
    assert change["counts"] == {"fixed": 4, "broken": 1}
    assert [one["review"] for one in change["breaks"]] == [str(known[0])]
    assert result["before"]["run"] == first["result"]["run"] != result["run"]


def test_one_at_a_time_and_it_can_be_stopped(
    workbench: Workbench, slowly: None, known: list[ReviewId]
) -> None:
    fresh = {"note": "More.\n"}
    start(workbench, 1, **fresh)
    assert "being linked" in start(workbench, 2)["error"]
    one = {"name": NAME, "source": template(1), "review": {"id": str(known[0])}}
    assert "being linked" in workbench.client.post("/api/run", json=one).json()["error"]
    assert workbench.client.post("/api/check", json=one).status_code == 200
    while workbench.client.get("/api/sample").json()["done"] < 4:
        time.sleep(0.02)
    workbench.client.post("/api/sample/stop")
    stopped = ended(workbench)
    assert stopped["state"] == "stopped"
    assert 4 <= stopped["done"] < 27

    workbench.plans.seconds = 0.0
    start(workbench, 1, **fresh)
    again = ended(workbench)
    assert again["state"] == "done"
    assert 0 < again["result"]["requests"] <= 27 - stopped["done"]


def test_a_model_that_is_down_is_named(workbench: Workbench) -> None:
    good, workbench.server.answers = workbench.server.answers, [Answer(400, {"error": "no such thing"})]
    try:
        start(workbench, 1, note="Down.\n")
        failed = ended(workbench)
    finally:
        workbench.server.answers = good
    assert failed["state"] == "failed"
    assert "400" in failed["error"]


def test_an_unsound_template_is_not_linked(workbench: Workbench) -> None:
    start(workbench, "{{ reviw }}")
    failed = ended(workbench)
    assert failed["state"] == "failed"
    assert "reviw" in failed["error"]
