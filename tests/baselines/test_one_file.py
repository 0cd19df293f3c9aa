"""A baseline is one new file: it gets a row of Table 5 and a command, on products and reviews of any ids."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import eval.baselines as package
from ameli_llm.dataset.load import load_dataset
from ameli_llm.runs import RunFolder
from eval.baselines.declared import Declared, Wanted, declared
from tests.baselines.table5_world import World, command, small_world

LONGEST = '''"""The product with the longest title, of so many letters that a training wrote down."""

import json
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from eval.baselines._folder import Trained
from eval.baselines.baseline import Scored, TableRow
from eval.baselines.options import Option, changed


@dataclass(frozen=True)
class Settings:
    most: Annotated[int, Option("Letters that count.", 1)] = 40
    epochs: int = 1
    needs_candidates: bool = False


class Longest:
    def __init__(self, material, most):
        self.material, self.most = material, most

    def score(self, tasks, progress=None):
        return [Scored(np.array([self.length(one) for one in task.entity_ids], np.float32)) for task in tasks]

    def length(self, entity):
        return min(self.most, len(self.material.dataset.products[entity].name))

    def describe(self):
        return {"most": self.most}

    def title(self, name):
        return f"{name} ({self.most})"


def rows():
    return (TableRow("longest", name="Longest title", modality="T"),)


def configured(epochs):
    return changed(Settings(), {"epochs": epochs})


def create(material, folder):
    return Longest(material, json.loads((folder / "longest.json").read_text())["most"])


def train(train, dev, out, settings):
    """Writes the settings."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "longest.json").write_text(json.dumps({"most": settings.most}))
    made_of = {"data": {"train": train.name, "dev": dev.name}}
    history = ({"number": 0, "loss": None, "score": 0.5},)
    counts = len(train.reviews), len(dev.reviews)
    return Trained("longest", "Longest", str(out), made_of, *counts, "F1", 0, history)
'''


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The small world, its products and reviews renamed, and one more file among the baselines."""
    folder = tmp_path_factory.mktemp("more")
    (folder / "longest.py").write_text(LONGEST)
    with small_world(tmp_path_factory) as made:
        twin = Path(shutil.copytree(made.twin, folder / "twin"))
        rename(twin)
        package.__path__.append(str(folder))
        yield replace(made, twin=twin)
        package.__path__.remove(str(folder))
        sys.modules.pop("eval.baselines.longest", None)


def rename(twin: Path) -> None:
    """Product 5 becomes "P-5 x" and review 7 "r/7"."""
    path = twin / "products.json"
    products = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps([{**one, "id": product_id(one["id"])} for one in products]))
    for path in twin.glob("*/reviews.json"):
        reviews = json.loads(path.read_text("utf-8"))
        for one in reviews:
            one["review_id"] = f"r/{one['review_id']}"
            one["gold_entity_info"]["id"] = product_id(one["gold_entity_info"]["id"])
        path.write_text(json.dumps(reviews))


def product_id(number: int | None) -> str | None:
    return None if number is None else f"P-{number} x"


ROWS = ("random", "v2vel", "v2tel", "amelink", "longest", "ameli-llm")


@pytest.fixture(scope="module")
def table(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("table5")
    chosen = [word for row in ROWS for word in ("--rows", row)]
    return out, world.reproduce(out, *chosen, "--json").json


def test_the_new_file_is_found_by_its_name(world: World) -> None:
    assert "longest" in [one.name for one in declared()]
    one = Declared("longest")
    assert (one.trained, one.parts) == (True, ())
    [row] = one.rows(one.settings(Wanted()))
    assert (row.key, row.name, row.needs_images) == ("longest", "Longest title", False)


@pytest.mark.slow
def test_it_is_trained_and_gets_a_row_behind_those_of_the_paper(table: tuple[Path, Any]) -> None:
    out, content = table
    assert [row["key"] for row in content["rows"]] == list(ROWS)
    row = content["rows"][4]
    assert (row["name"], row["modality"], row["published"]) == ("Longest title (40)", "T", None)
    assert row["run_with"] == {"most": 40}
    assert row["against_amelink"] is not None
    assert (out / "models" / "longest" / "longest.json").is_file()


@pytest.mark.slow
def test_its_answers_are_its_own_and_ids_come_back_as_they_came(
    world: World, table: tuple[Path, Any]
) -> None:
    out, content = table
    data = load_dataset(world.twin)
    names = {id_: one.name for id_, one in data.products.items()}
    assert all(isinstance(id_, str) for id_ in names)
    for row in content["rows"]:
        found = list(RunFolder(out / row["run"]).predictions())
        assert {one.review_id for one in found} == {one.id for one in data.split("test").reviews}
        assert {c.entity_id for one in found for c in one.candidates} <= names.keys()
    longest = RunFolder(out / content["rows"][4]["run"])
    for one in longest.predictions():
        lengths = [min(40, len(names[c.entity_id])) for c in one.candidates[: one.compared]]
        assert lengths == sorted(lengths, reverse=True)


def test_it_has_a_command_with_the_options_of_its_settings(world: World, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    model = world.options[world.options.index("--encoder") + 1]
    config.write_text(f"retrieval: {{text_model: {model}}}\n")
    words = [
        "train",
        "longest",
        world.twin,
        "--config",
        config,
        "--out",
        tmp_path / "out",
        "--most",
        7,
        "--json",
    ]
    done = command(*words).json
    assert (done["baseline"], done["made_of"]["data"]["train"]) == ("longest", "train")
    assert json.loads((tmp_path / "out" / "longest.json").read_text()) == {"most": 7}
    assert command("train", "longest", world.twin, "--out", tmp_path, "--most", 0).code == 2


def test_table_4_has_recall_for_the_same_ids(world: World, tmp_path: Path) -> None:
    model = world.options[world.options.index("--encoder") + 1]
    settings = ["--epochs", 1, "--set", f"retrieval.text_model={model}"]
    content = command("reproduce", "table4", world.twin, "--out", tmp_path, *settings, "--json").json
    assert all(row["missing"] == "" for row in content["rows"])
    [plain] = [row for row in content["rows"] if row["key"] == "sbert"]
    assert plain["recall"]["50"]["value"] == 1.0  # 30 products: whoever ranks all has found every right one
