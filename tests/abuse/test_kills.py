"""Commands that are killed at random moments, again and again, end as if nobody had touched them."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ameli_llm.images.adapter import DESCRIPTION, WEIGHTS
from retrieval.generations import current
from retrieval.index import read_index
from retrieval.store import open_store
from tests.abuse.conftest import Shop
from tests.distributed.conftest import Counting
from tests.engines.scripted import scripted
from tests.forked import KILLED, Forks, Left, forking, moment, names
from tests.linking.contract import conforms, lines, metrics_but_seconds
from tests.shared_setup import cache_of

KILLS = int(os.environ.get("AMELI_LLM_KILLS", "100")) // 2
"""Kills of each command; tests/matrix/test_resume.py has as many as the variable says."""
IN_FLIGHT = 2

Start = Callable[[int], list[object]]
"""The words of a command by the number of the folder that it works in."""
Caches = Callable[[int], Path]
"""A cache folder of its own for each number."""


def kill(
    forks: Forks,
    wanted: int,
    start: Start,
    cache: Caches,
    whole: Left,
    look: Callable[[int], None],
    check: Callable[[int, int], None],
    seed: int,
) -> None:
    """Kills commands one after the other, each until it is finished, ``wanted`` times in all.

    ``whole`` is what a command leaves when nobody kills it. ``look`` is called after each kill, and ``check``
    with the number of kills when a command was finished.
    """
    draw, kills = random.Random(seed), 0
    for number in itertools.count():
        before = kills
        while True:
            when = moment(draw, whole, kills) if kills < wanted else {}
            left = forks.run(*start(number), cache=cache(number), **when)
            if left.status != KILLED:
                break
            kills += 1
            look(number)
        assert left.done.code == 0, left
        check(number, kills - before)
        if kills >= wanted:
            return


# link


def once(database: Path, query: str) -> list[Any]:
    with sqlite3.connect(database) as opened:
        found = [key for (key,) in opened.execute(query)]
    opened.close()
    assert len(set(found)) == len(found)
    return sorted(found)


def same_run(one: Path, other: Path, reviews: int) -> None:
    """Fails where two run folders differ in more than times."""
    spent = {"seconds", "stage_seconds"}
    for run in (one, other):
        conforms(run, reviews)
    assert names(one) == names(other)
    assert metrics_but_seconds(one) == metrics_but_seconds(other)
    ours, theirs = ([{k: row[k] for k in row.keys() - spent} for row in lines(run)] for run in (one, other))
    assert ours == theirs
    for name in ("gold.json", "reviews.json", "products.json", "leaks.json", "templates.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for name in ("run.trec", "retrieval.trec", "qrels.trec"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for name, column, table in (("stages", "key", "texts"), ("transcripts", "review", "transcripts")):
        kept = [once(run / f"{name}.sqlite", f"SELECT {column} FROM {table}") for run in (one, other)]
        assert kept[0] == kept[1], name


def link_killed(forks: Forks, shop: Shop, caches: Caches, tmp_path: Path, wanted: int) -> None:
    answer, served = Counting(0.01), tmp_path / "served.yaml"
    with scripted() as model:
        model.answers = [answer]
        engine = {"name": "vllm_server", "base_url": model.base_url, "concurrency": IN_FLIGHT}
        content = yaml.safe_load(shop.config.read_text()) | {"engine": engine}
        served.write_text(yaml.safe_dump(content | {"comparison": {"comparators": ["rules", "listwise"]}}))

        def start(number: int) -> list[object]:
            words = ["link", shop.dataset, "--split", "train", "--config", served, "--index", shop.index]
            return [*words, "--out", tmp_path / f"run{number}"]

        whole = forks.run(*start(-1), cache=caches(-1))
        assert whole.done.code == 0, whole
        asked, reviews = dict(answer.asked), len(lines(tmp_path / "run-1"))
        assert set(asked.values()) == {1}
        answer.asked.clear()
        done: dict[int, int] = {}

        def look(number: int) -> None:
            path = tmp_path / f"run{number}" / "predictions.jsonl"
            now = path.read_bytes().count(b"\n") if path.exists() else 0
            assert done.get(number, 0) <= now <= reviews
            done[number] = now

        def check(number: int, kills: int) -> None:
            same_run(tmp_path / f"run{number}", tmp_path / "run-1", reviews)
            assert answer.asked.keys() == asked.keys()
            assert sum(answer.asked.values()) - len(asked) <= IN_FLIGHT * kills
            answer.asked.clear()

        kill(forks, wanted, start, caches, whole, look, check, seed=1)


# index


def exported(folder: Path) -> dict[str, bytes]:
    """The files of an index but for its Chroma store, which has to hold the same."""
    (place,) = folder.glob("gen-*")
    assert current(folder) == place
    with read_index(folder) as index, open_store(place / "chroma") as store:
        assert store.holds(index.snapshot)
    files = (path for path in place.rglob("*") if path.is_file() and "chroma" not in path.parts)
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in files}


def index_killed(forks: Forks, shop: Shop, caches: Caches, tmp_path: Path, wanted: int) -> None:
    """An index that is brought from half of the products to all of them."""
    half = tmp_path / "half"
    shutil.copytree(shop.dataset, half)
    products = json.loads((half / "products.json").read_text("utf-8"))
    (half / "products.json").write_text(json.dumps(products[::2]), encoding="utf-8")
    before = tmp_path / "before"
    words = ["--config", shop.config, "--out"]
    assert forks.run("index", half, *words, before, cache=caches(-1)).done.code == 0
    with read_index(before) as old, read_index(shop.index) as new:
        versions = {old.manifest.kb_version, new.manifest.kb_version}

    def start(number: int) -> list[object]:
        folder = tmp_path / f"index{number}"
        if not folder.exists():
            shutil.copytree(before, folder)
        return ["index", shop.dataset, *words, folder]

    whole = forks.run(*start(-1), cache=caches(-1))
    assert whole.done.code == 0, whole
    expected = exported(tmp_path / "index-1")

    def look(number: int) -> None:
        with read_index(tmp_path / f"index{number}") as index:
            assert index.manifest.kb_version in versions

    def check(number: int, kills: int) -> None:
        assert exported(tmp_path / f"index{number}") == expected
        left = {path.name for path in (tmp_path / f"index{number}").iterdir()}
        assert len(left) == 3, f"the pointer, the lock and one generation: {left}"

    kill(forks, wanted, start, caches, whole, look, check, seed=2)


# tune


def tune_killed(forks: Forks, shop: Shop, caches: Caches, tmp_path: Path, wanted: int) -> None:
    def start(number: int) -> list[object]:
        out = tmp_path / f"out{number}" / "tuned.yaml"
        return shop.words("tune", "--split", "train", "--index", shop.index, "--out", out)

    whole = forks.run(*start(-1), cache=caches(-1))
    assert whole.done.code == 0, whole
    expected = (tmp_path / "out-1" / "tuned.yaml").read_bytes()

    def look(number: int) -> None:
        tuned = tmp_path / f"out{number}" / "tuned.yaml"
        assert not tuned.exists() or tuned.read_bytes() == expected

    def check(number: int, kills: int) -> None:
        look(number)
        assert names(tmp_path / f"out{number}") == ["tuned.yaml"]

    kill(forks, wanted, start, caches, whole, look, check, seed=3)


# train


def train_killed(forks: Forks, shop: Shop, caches: Caches, tmp_path: Path, wanted: int) -> None:
    def start(number: int) -> list[object]:
        training = ["--epochs", 40, "--batch-size", 4, "--bottleneck", 32]
        out = tmp_path / f"adapter{number}"
        words = ["train", "clip-adapter", shop.dataset, "--config", shop.config, "--index", shop.index]
        return [*words, *training, "--out", out]

    whole = forks.run(*start(-1), cache=caches(-1))
    assert whole.done.code == 0, whole
    expected = names(tmp_path / "adapter-1")
    assert expected == sorted([DESCRIPTION, WEIGHTS])

    def look(number: int) -> None:
        adapter = tmp_path / f"adapter{number}"
        assert not (adapter / DESCRIPTION).exists() or (adapter / WEIGHTS).exists()

    def check(number: int, kills: int) -> None:
        assert names(tmp_path / f"adapter{number}") == expected
        for name in expected:
            ours, theirs = tmp_path / f"adapter{number}" / name, tmp_path / "adapter-1" / name
            assert ours.read_bytes() == theirs.read_bytes(), name

    kill(forks, wanted, start, caches, whole, look, check, seed=4)


@pytest.fixture
def caches(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Caches:
    return lambda number: cache_of(tmp_path_factory, tmp_path / f"cache{number}")


def test_an_index_that_is_killed_twice(forks: Forks, shop: Shop, caches: Any, tmp_path: Path) -> None:
    index_killed(forks, shop, caches, tmp_path, 2)


@pytest.fixture(scope="module")
def with_torch() -> Iterator[Forks]:
    with forking("chromadb", "onnxruntime", "scipy.stats", "skimage.feature", "torch._dynamo") as forks:
        yield forks


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("killed", [link_killed, index_killed, tune_killed, train_killed])
def test_killed_again_and_again(
    killed: Any, with_torch: Forks, shop: Shop, caches: Any, tmp_path: Path
) -> None:
    killed(with_torch, shop, caches, tmp_path, KILLS)
