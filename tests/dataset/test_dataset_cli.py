from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ameli_llm.cli.data import register
from ameli_llm.dataset.load import load_dataset
from ameli_llm.errors import AmeliError

Make = Callable[..., dict[str, Any]]
Write = Callable[..., Path]


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    return app


def test_table(app: typer.Typer, write_dataset: Write, product_record: Make, review_record: Make) -> None:
    products = [product_record(i, overview_section=None) for i in range(1, 8)]
    root = write_dataset(products, dev=[review_record()])
    result = CliRunner().invoke(app, ["data", "check", str(root)])
    assert result.exit_code == 0
    assert result.stdout == (
        "                             dev\n"
        "reviews                        1\n"
        "review images                  0\n"
        "images per review           0.00\n"
        "reviews with image             0\n"
        "words per review             6.0\n"
        "gold product in the KB         1\n"
        "gold product outside (nil)     0\n"
        "distinct gold products         1\n"
        "\n"
        "knowledge base\n"
        "products                   7\n"
        "product images             0\n"
        "product categories         1\n"
        "images per product      0.00\n"
        "attributes per product  1.00\n"
        "with description           0\n"
        "\n"
        "most frequent categories  products       %\n"
        "Blenders                         7  100.00\n"
        "\n"
        "warning: no_description: 7\n"
        "  product 1: has no description\n"
        "  product 2: has no description\n"
        "  product 3: has no description\n"
        "  product 4: has no description\n"
        "  product 5: has no description\n"
        "  ... and 2 more (--json names all)\n"
    )
    assert result.stderr == ""


def test_json_and_exit_code_1(
    app: typer.Typer, write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    root = write_dataset([product_record()], dev=[review_record(gold_entity_info={"id": 5})])
    result = CliRunner().invoke(app, ["data", "check", str(root), "--json", "--fast"])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert list(report) == ["dataset", "passed", "digest", "kb", "splits", "problems"]
    assert report["passed"] is False
    assert report["kb"]["top_categories"] == [{"category": "Blenders", "products": 1, "share": 1.0}]
    assert report["splits"]["dev"]["nil"] == 1
    message = "gold product 5 is not in the KB; a product known to be outside it has the id null"
    assert report["problems"] == [
        {
            "code": "gold_not_in_kb",
            "severity": "error",
            "count": 1,
            "all": [{"where": "dev review 7", "message": message}],
        }
    ]


def test_input_error_is_left_to_main(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path / "none")])
    assert isinstance(result.exception, AmeliError)
    assert str(result.exception).startswith("No dataset folder at ")


def test_a_dataset_cannot_steer_the_terminal(
    app: typer.Typer, write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    products = [product_record(1, product_category="Shop -> \x1b[31mRed\u202e", image_path=["\x1b]0;x.jpg"])]
    root = write_dataset(products, dev=[review_record()])
    result = CliRunner().invoke(app, ["data", "check", str(root)])
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout
    assert "\ufffd[31mRed\ufffd" in result.stdout


def test_progress_is_plain_lines_on_stderr(
    app: typer.Typer, write_dataset: Write, product_record: Make, review_record: Make
) -> None:
    root = write_dataset([product_record(image_path=["none.jpg"])], dev=[review_record()])
    result = CliRunner().invoke(app, ["data", "check", str(root)])
    assert result.stderr == "images: 1/1\n"


def test_synth_writes_a_dataset_that_passes_the_check(app: typer.Typer, tmp_path: Path) -> None:
    out = tmp_path / "twin"
    sizes = ["--products", "20", "--reviews", "20", "--seed", "1"]
    result = CliRunner().invoke(app, ["data", "synth", str(out), *sizes])
    assert result.exit_code == 0, result.exception
    assert result.stdout == f"{out}\n"
    result = CliRunner().invoke(app, ["data", "check", str(out), "--json"])
    assert result.exit_code == 0, result.stdout
    assert json.loads(result.stdout)["kb"]["products"] == 20


def test_importing_the_commands_is_light() -> None:
    code = (
        "import sys, ameli_llm.cli.data; print([m for m in ('torch', 'PIL', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_split_says_what_went_where(
    app: typer.Typer, write_dataset: Write, product_record: Make, review_record: Make, tmp_path: Path
) -> None:
    golds: list[Any] = [{"id": number} for number in range(20)] + [{"id": None}] * 4 + [None] * 4
    reviews = [review_record(number, gold_entity_info=gold) for number, gold in enumerate(golds)]
    root = write_dataset([product_record(number) for number in range(20)], test=reviews)
    words = ["data", "split", str(root), "--out", str(tmp_path / "out"), "--ratios", "50/25/25"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.exception
    assert result.stdout == (
        "split  reviews  gold products  outside the KB  without gold\n"
        "train       14             10               2             2\n"
        "dev          7              5               1             1\n"
        "test         7              5               1             1\n"
        "\n"
        f"{tmp_path / 'out'}\n"
    )
    words[4] = str(tmp_path / "json")
    result = CliRunner().invoke(app, [*words, "--json", "--seed", "1"])
    assert json.loads(result.stdout)["splits"]["dev"] == {
        "reviews": 7,
        "products": 5,
        "nil": 1,
        "no_gold": 1,
    }
    for ratios in ("80/20", "a/b/c", "80/10/-10", "1/2/3/4"):
        words[4:] = [str(tmp_path / "none"), "--ratios", ratios]
        result = CliRunner().invoke(app, words)
        assert str(result.exception).startswith(f"--ratios {ratios} is not TRAIN/DEV/TEST.")


def test_synth_without_images_draws_none(app: typer.Typer, tmp_path: Path) -> None:
    out = tmp_path / "twin"
    sizes = ["--products", "20", "--reviews", "20", "--no-images"]
    result = CliRunner().invoke(app, ["data", "synth", str(out), *sizes])
    assert result.exit_code == 0, result.exception
    assert sorted(path.name for path in out.iterdir()) == ["dev", "products.json", "test", "train"]
    assert all(not product.images for product in load_dataset(out).products.values())
