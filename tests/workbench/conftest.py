from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ameli_llm.config import RunConfig, override
from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.ids import ReviewId
from eval.workbench.app import create_app
from eval.workbench.bench import Bench
from eval.workbench.sample_job import SampleJob
from eval.workbench.session import open_bench
from tests.engines.scripted import ScriptedServer
from tests.watching.conftest import cache, dataset, in_cache, known, split, twin
from tests.watching.planted import SETTINGS, Plans, config, planned, template, write

if TYPE_CHECKING:
    from starlette.testclient import TestClient

__all__ = ["cache", "dataset", "in_cache", "known", "split", "twin"]

PORT, TOKEN = 8421, "the-token"
NAME = "compare/mine"


@dataclass
class Workbench:
    """An open workbench, a browser that has entered it, and the server that it asks."""

    bench: Bench
    job: SampleJob
    client: TestClient
    server: ScriptedServer
    plans: Plans
    prompts: Path


def client_of(bench: Bench, job: SampleJob) -> TestClient:
    from starlette.testclient import TestClient

    app = create_app(bench, job, TOKEN, PORT)
    return TestClient(app, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)


@pytest.fixture(scope="module")
def plans(dataset: Dataset, split: Split, known: list[ReviewId]) -> Plans:
    """Plan 2 fixes four of plan 1 and breaks one."""
    return Plans(dataset, split, {1: frozenset(known[:10]), 2: frozenset(known[1:14])}, {})


@pytest.fixture(scope="module")
def workbench(
    cache: Path, dataset: Dataset, plans: Plans, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workbench]:
    """One for the tests of a file, over all reviews of the split; the own template is plan 1."""
    folder = tmp_path_factory.mktemp("workbench")
    prompts = folder / "prompts"
    write(prompts, NAME, template(1))
    with pytest.MonkeyPatch.context() as patch, planned(plans) as server:
        patch.setenv("AMELI_LLM_CACHE", str(cache))
        with (
            open_bench(
                dataset, "train", config(server), folder / "runs", sample=(100, 0), prompts=prompts
            ) as (bench, job),
            client_of(bench, job) as client,
        ):
            assert client.get("/", params={"token": TOKEN}).status_code == 303
            yield Workbench(bench, job, client, server, plans, prompts)


@pytest.fixture(scope="module")
def without_engine(
    cache: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """A workbench that can ask no model."""
    out = tmp_path_factory.mktemp("rules")
    settings = [*SETTINGS[:4], "fusion.text=1.0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMELI_LLM_CACHE", str(cache))
        with (
            open_bench(dataset, "train", override(RunConfig(), settings), out, sample=(5, 0)) as (bench, job),
            client_of(bench, job) as client,
        ):
            client.get("/", params={"token": TOKEN})
            yield client
