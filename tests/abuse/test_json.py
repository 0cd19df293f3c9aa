"""Hostile products and reviews: a command works or names what is wrong, in time, and opens nothing else."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest
from PIL import Image

from tests.abuse.conftest import Shop
from tests.abuse.hostile_json import Content, climbing, damages, records, texts, wrong_values
from tests.command import ROOT
from tests.forked import Forks, Left

Cases = Iterable[tuple[str, Content]]


class Place:
    """A dataset whose files are replaced, and beside it the folder ``outside`` with what it may not read."""

    def __init__(self, root: Path, shop: Shop, cache: Path) -> None:
        self.root, self.shop, self.cache = root / "dataset", shop, cache
        self.outside = root / "outside"
        self.outside.mkdir()
        Image.new("RGB", (64, 64), "red").save(self.outside / "secret.png")
        for folder in ("product_images", "review_images"):
            (self.root / folder).mkdir(parents=True)
            Image.new("RGB", (64, 64), "blue").save(self.root / folder / "good.png")
            (self.root / folder / "leaves.png").symlink_to(self.outside / "secret.png")
            (self.root / folder / "folder").symlink_to(self.outside)
            os.mkfifo(self.root / folder / "pipe.png")
        (self.root / "test").mkdir()
        self.good = {name: json.dumps(content).encode() for name, content in records().items()}
        self.runs = 0

    def write(self, content: Content) -> None:
        for name, good in self.good.items():
            text = content.get(name, good).replace(b"OUTSIDE", str(self.outside).encode())
            (self.root / name).write_bytes(text)

    def allowed(self) -> tuple[str, ...]:
        """What commands may open: the dataset, their own folders, and what is installed."""
        own = (
            self.root,
            self.cache,
            self.cache / "encoders",
            self.shop.config.parents[1],
            self.root.parent / "runs",
        )
        system = (ROOT, sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev", "/usr", "/etc")
        return tuple(os.path.realpath(path) for path in (*own, *system))

    def require_kept(self, left: Left, what: str) -> None:
        """Fails unless the command worked or named what is wrong, and opened nothing that is not its own."""
        assert left.status in (0, 1, 2), (what, left)
        assert "Traceback" not in left.err, (what, left)
        if left.status == 2:
            assert left.done.error, what
            assert len(left.err) < 3000, what
        allowed = self.allowed()
        strange = [path for path in left.opened if not path.startswith(allowed)]
        assert not strange, (what, strange)


@pytest.fixture
def place(tmp_path: Path, shop: Shop, cache: Path) -> Place:
    return Place(tmp_path, shop, cache)


def check(place: Place, forks: Forks, cases: Cases) -> dict[int | None, int]:
    """``data check`` of each; how often it ended with which status."""
    ended: dict[int | None, int] = {}
    for what, content in cases:
        place.write(content)
        left = forks.run("data", "check", place.root, cache=place.cache, watched=True)
        place.require_kept(left, what)
        ended[left.status] = ended.get(left.status, 0) + 1
    return ended


def link(place: Place, forks: Forks, cases: Cases) -> dict[int | None, int]:
    """``link`` of each; how often it ended with which status."""
    ended: dict[int | None, int] = {}
    for what, content in cases:
        place.write(content)
        run = place.root.parent / "runs" / "run"
        words = ["link", place.root, "--split", "test", "--config", place.shop.config, "--out", run]
        left = forks.run(*words, cache=place.cache, watched=True)
        place.require_kept(left, what)
        assert left.status != 1, (what, left)
        ended[left.status] = ended.get(left.status, 0) + 1
        shutil.rmtree(run, ignore_errors=True)
    return ended


def all_cases() -> list[tuple[str, Content]]:
    return list(chain(texts(), climbing(), damages(100, seed=12), wrong_values()))


def small(cases: Cases) -> list[tuple[str, Content]]:
    return [case for case in cases if max(map(len, case[1].values())) < 50_000]


def test_some_are_checked(place: Place, forks: Forks) -> None:
    ended = check(place, forks, [*random.Random(13).sample(small(all_cases()), 30), *small(climbing())])
    assert ended.keys() >= {0, 2}


def test_some_are_linked(place: Place, forks: Forks) -> None:
    link(place, forks, random.Random(14).sample(small(all_cases()), 3))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_are_checked(place: Place, forks: Forks) -> None:
    cases = all_cases()
    assert len(cases) > 1000
    ended = check(place, forks, cases)
    assert sum(ended.values()) == len(cases)
    assert min(ended[0], ended[1], ended[2]) > 10


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_are_linked(place: Place, forks: Forks) -> None:
    others = random.Random(15).sample([*damages(100, seed=12), *wrong_values()], 80)
    cases = [*texts(), *climbing(), *others]
    assert len(cases) > 200
    ended = link(place, forks, cases)
    assert min(ended[0], ended[2]) > 20
