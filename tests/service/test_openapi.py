"""Schemathesis makes requests out of the description that a running service gives, and checks the answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.process import Served, served

TOKEN = "0123456789abcdef"
NO_PROXY = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1")
UNSAID = "positive_data_acceptance"
"""A check left out: no schema says that an id is that of the path, or that a photo is one."""
ANSWERED = {("POST", "/v1/link"), *((verb, "/v1/products/{id}") for verb in ("GET", "PUT", "DELETE"))}
"""Requests of which some have to be done: else nothing but refusals would be looked at."""


@pytest.fixture(scope="module")
def service(shop: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with products, photos, a token, and a file that keeps changes."""
    folder = tmp_path_factory.mktemp("service")
    words = ("--images", photos, "--changes", folder / "changes.jsonl")
    with served(shop, folder, *words, AMELI_LLM_TOKEN=TOKEN) as one:
        yield one


def checked(service: Served, folder: Path, phases: str, most: int) -> int:
    """How many requests were made; fails with what schemathesis says where an answer is wrong."""
    report = folder / "report.json"
    words = [f"{service.address}/openapi.json", "--header", f"Authorization: Bearer {TOKEN}", "--seed", "1"]
    words += ["--exclude-checks", UNSAID, "--phases", phases, "--max-examples", str(most)]
    words += ["--request-timeout", "60", "--suppress-health-check", "all"]  # where the machine is busy
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", *words, "--report-json-path", str(report)],
        cwd=folder,
        env=os.environ | NO_PROXY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    made = json.loads(report.read_text("utf-8"))
    assert made["operations"]["tested"] == 7, done.stdout
    asked = [line for line in service.lines() if line["message"] == "request"]
    assert max(line["status"] for line in asked) < 500
    assert {(line["method"], line["route"]) for line in asked if line["status"] < 300} >= ANSWERED
    return int(made["test_cases"]["generated"])


def test_every_answer_is_what_the_description_says(service: Served, tmp_path: Path) -> None:
    assert checked(service, tmp_path, "examples,fuzzing,stateful", 10) >= 70


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_answer_to_2000_requests_is_what_the_description_says(service: Served, tmp_path: Path) -> None:
    assert checked(service, tmp_path, "examples,coverage,fuzzing,stateful", 500) >= 2000
