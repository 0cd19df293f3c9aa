"""Runs with workers on Ray: the same lines as in one process, whoever is killed. Each starts a Ray: slow."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from ameli_llm.distributed.blocks import REVIEWS
from ameli_llm.distributed.worker import ATTEMPTS
from ameli_llm.runs import RunFolder
from ameli_llm.transcripts import read_transcript
from tests.distributed.conftest import Counting, Machine, finished, timeless, wait
from tests.engines.scripted import ScriptedServer
from tests.linking.contract import conforms, metrics_but_seconds
from tests.shared_setup import twin_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RAY = ("--on", "ray")
Model = tuple[Counting, ScriptedServer]


def same(one: Path, other: Path) -> None:
    """Fails where two run folders differ in more than times."""
    assert timeless(one) == timeless(other)
    assert metrics_but_seconds(one) == metrics_but_seconds(other)
    assert {path.name for path in one.iterdir()} == {path.name for path in other.iterdir()}
    for name in ("gold.json", "reviews.json", "products.json", "run.trec", "retrieval.trec", "qrels.trec"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert kept(one) == kept(other)
    for row in RunFolder(one).predictions():
        ours, theirs = (read_transcript(run, row.review_id) for run in (one, other))
        assert [(a.asked_by, a.request, a.reply.text, a.reply.usage) for a in ours] == [
            (a.asked_by, a.request, a.reply.text, a.reply.usage) for a in theirs
        ]


def kept(run: Path) -> list[str]:
    """The keys of the stages that a run keeps."""
    with sqlite3.connect(run / "stages.sqlite") as database:
        return [key for (key,) in database.execute("SELECT key FROM texts ORDER BY key")]


def lines(run: Path) -> int:
    path = run / "predictions.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def askers(machine: Machine, server: ScriptedServer) -> list[psutil.Process]:
    """Workers with a connection to the server."""
    found = []
    for one in machine.processes():
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            ports = {link.raddr.port for link in one.net_connections() if link.raddr}
            found += [one] if one.name().startswith("ray::") and server.port in ports else []
    return found


def test_the_run_folder_is_that_of_one_process(
    machine: Machine, cheap: Sequence[object], tmp_path: Path
) -> None:
    local, ray = tmp_path / "local", tmp_path / "ray"
    assert machine.run(*cheap, local).code == 0
    done = machine.run(*cheap, ray, *RAY)
    assert (done.code, done.json["fresh"], done.json["taken"]) == (0, len(timeless(local)), {}), done
    conforms(ray, done.json["fresh"])
    same(local, ray)
    before = {path.name: path.read_bytes() for path in ray.iterdir()}
    again = machine.run(*cheap, ray, *RAY)
    assert (again.code, again.json["fresh"]) == (0, 0)
    assert {path.name: path.read_bytes() for path in ray.iterdir()} == before
    other = machine.run(*cheap, tmp_path / "other", *RAY, "--from", local, "--set", "fusion.text=2")
    assert other.json["taken"] == {"extraction.rules": done.json["fresh"], "retrieval": done.json["fresh"]}


def test_a_killed_worker_costs_its_block_only(
    machine: Machine, served: Sequence[object], model: Model, tmp_path: Path
) -> None:
    counting, server = model
    local, ray = tmp_path / "local", tmp_path / "ray"
    assert machine.run(*served, local).code == 0
    assert set(counting.asked.values()) == {1}
    reviews = len(counting.asked)
    machine.forget_replies()
    counting.asked.clear()
    with machine.start(*served, ray, *RAY) as process:
        wait(lambda: lines(ray) >= REVIEWS and askers(machine, server), during=process)
        killed = askers(machine, server)[0]
        killed.send_signal(signal.SIGKILL)
        done = finished(process)
    assert (done.code, done.json["fresh"]) == (0, reviews), done
    assert lines(ray) == reviews
    same(local, ray)
    twice = [text for text, count in counting.asked.items() if count > 1]
    assert len(twice) <= REVIEWS
    assert max(counting.asked.values()) <= 2
    requests = json.loads((ray / "run.json").read_text("utf-8"))["sessions"][0]["requests"]
    assert reviews - REVIEWS <= requests <= counting.asked.total()


def test_a_killed_command_goes_on_from_its_finished_blocks(
    machine: Machine, served: Sequence[object], model: Model, tmp_path: Path
) -> None:
    counting, _ = model
    local, ray = tmp_path / "local", tmp_path / "ray"
    assert machine.run(*served, local).code == 0
    machine.forget_replies()
    with machine.start(*served, ray, *RAY) as process:
        wait(lambda: lines(ray) >= 2 * REVIEWS, during=process)
        process.kill()
        process.communicate()
    wait(lambda: not machine.processes(), 30)
    machine.forget_replies()
    counting.asked.clear()
    first, reviews = lines(ray), len(timeless(local))
    assert 2 * REVIEWS <= first < reviews
    done = machine.run(*served, ray, *RAY)
    assert (done.code, done.json["fresh"]) == (0, reviews - first), done
    assert counting.asked.total() == reviews - first
    assert done.json["taken"]["retrieval"] > 0, "what stages gave before their block was finished is kept too"
    same(local, ray)


def test_a_block_that_kills_every_worker_comes_to_an_end(
    machine: Machine, served: Sequence[object], model: Model, tmp_path: Path
) -> None:
    counting, server = model
    counting.seconds = 5.0  # no worker lives to see an answer
    killed = set()
    with machine.start(*served, tmp_path / "ray", "--limit", REVIEWS, *RAY) as process:
        while process.poll() is None:
            for worker in askers(machine, server):
                killed.add(worker.pid)
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()
            time.sleep(0.1)
        done = finished(process)
    assert len(killed) >= ATTEMPTS, "and those of other stages, which ask the server who it is"
    assert re.match(r"Reviews \d+ to \d+: their worker died 3 times in [a-z]+\. One that", done.error)


def test_ctrl_c_ends_the_command_and_its_workers(
    machine: Machine, served: Sequence[object], tmp_path: Path
) -> None:
    ray = tmp_path / "ray"
    with machine.start(*served, ray, *RAY) as process:
        wait(lambda: lines(ray) >= REVIEWS, during=process)
        process.send_signal(signal.SIGINT)
        done = finished(process)
    assert (done.code, done.out) == (130, "")
    assert re.fullmatch(
        r"interrupted at linking \d+/211; the same command goes on", done.err.splitlines()[-1]
    )
    assert lines(ray) % REVIEWS in (0, 211 % REVIEWS), "whole blocks only"


def test_an_error_of_a_worker_is_the_line_that_it_is_in_one_process(
    machine: Machine, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pictures = twin_of(tmp_path_factory, products=24, reviews=40, seed=1)
    words = ["link", pictures, "--split", "test", "--out", tmp_path / "run"]
    words += ["--set", "attributes.extractors=[ocr]", "--set", "attributes.ocr_engine=easyocr"]
    words += ["--set", "retrieval.weights={title: 5.0}", "--set", "retrieval.image_encoder=none"]
    local = machine.run(*words).error
    assert "easyocr" in local
    assert machine.run(*words, *RAY).error == local
