"""What a user can get wrong: exit code 2 and one line that says what, every time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.ids import EXPECTED


@pytest.fixture
def root(dataset: Path, tmp_path: Path) -> Path:
    """A copy of the dataset without its pictures."""
    for name in ("products.json", "test/reviews.json"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(dataset / name, tmp_path / "in" / name)
    return tmp_path / "in"


@pytest.fixture
def link(here: Callable[..., Any], root: Path, tmp_path: Path) -> Callable[..., str]:
    """link(*options): the error of linking the test split of ``root``; nothing was written."""

    def run(*options: object, split: str = "test") -> str:
        error: str = here("link", root, "--split", split, "--out", tmp_path / "out", *options).error
        assert not (tmp_path / "out").exists()
        return error

    return run


def edit(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("command", ["link", "ablate", "tune"])
def test_no_dataset(here: Callable[..., Any], tmp_path: Path, command: str) -> None:
    missing = tmp_path / "none"
    done = here(command, missing, "--split", "test", "--out", tmp_path / "out")
    assert done.error == (
        f"No dataset folder at {missing}. 'ameli-llm data synth OUT' makes a synthetic one."
    )


def test_the_real_process_ends_with_2_and_one_line(ameli: Callable[..., Any], tmp_path: Path) -> None:
    done = ameli("link", tmp_path / "none", "--split", "test", "--out", tmp_path / "out")
    assert done.error.startswith("No dataset folder at ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "Cannot read {}: not JSON: Expecting value, line 1 column 1."),
        (
            "[{]",
            "Cannot read {}: not JSON: Expecting property name enclosed in double quotes, line 1 column 3.",
        ),
        ("[" * 100_000, "Cannot read {}: nested more than 64 deep."),
        ("{}", "{} must hold an array of records, found an object."),
    ],
)
@pytest.mark.parametrize("name", ["products.json", "test/reviews.json"])
def test_no_json(link: Callable[..., str], root: Path, name: str, content: str, complaint: str) -> None:
    (root / name).write_text(content)
    assert link() == complaint.format(root / name)


@pytest.mark.parametrize(
    ("name", "field", "value", "complaint"),
    [
        ("products.json", "id", 1.5, f"id must be {EXPECTED}, found 1.5"),
        ("products.json", "product_name", None, "product_name must be a string, found null"),
        ("test/reviews.json", "body", ["x"], "body must be a string, found a list"),
        ("test/reviews.json", "review_image_path", "a", "review_image_path must be a list, found 'a'"),
        ("test/reviews.json", "gold_entity_info", 3, "gold_entity_info must be an object, found 3"),
    ],
)
def test_wrong_types(
    link: Callable[..., str], root: Path, name: str, field: str, value: object, complaint: str
) -> None:
    edit(root / name, lambda records: records[1].update({field: value}))
    assert link() == f"{root / name}, record 2: field {complaint}."


def test_an_unknown_split(link: Callable[..., str]) -> None:
    assert link(split="tset") == "No split named 'tset'. Available: test. Did you mean 'test'?"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            ("--engine", "vllm_sever"),
            "No engine named 'vllm_sever'. Available: openai, transformers, vllm, vllm_server. "
            "Did you mean 'vllm_server'?",
        ),
        (
            ("--set", "attributes.extractors=[rulez]"),
            "No extractor named 'rulez'. Available: llm, mjave, ocr, rules, uls_dram. Did you mean 'rules'?",
        ),
        (
            ("--set", "comparison.comparator=listwize"),
            "No comparator named 'listwize'. Available: entail, likelihood, listwise, names, pairwise, "
            "rules. Did you mean 'listwise'?",
        ),
        (
            ("--set", "comparison.comparator=listwise"),
            "The comparator 'listwise' asks a model, and the configuration names no engine. "
            "Give --engine, for instance --engine vllm_server.",
        ),
        (
            ("--set", "attributes.extractors=[llm]"),
            "The extractor 'llm' asks a model, and the configuration names no engine. "
            "Give --engine, for instance --engine vllm_server.",
        ),
        (
            ("--set", "retrieval.weights={tfdif: 1}"),
            "No retriever named 'tfdif'. Available: bm25, header, image, prior, sbert, tfidf, title. "
            "Did you mean 'tfidf'?",
        ),
        (("--set", "seed"), "No setting 'seed'. Write KEY=VALUE, for instance fusion.text=2."),
    ],
)
def test_an_unknown_part(
    link: Callable[..., str],
    dataset: Path,
    root: Path,
    in_index: tuple[str, str],
    cheap: tuple[str, ...],
    options: tuple[str, str],
    complaint: str,
) -> None:
    assert link(*in_index, *cheap, *options) == complaint


def test_a_configuration_with_an_unknown_key(link: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("fusion: {texts: 1}")
    assert link("--config", path).startswith(
        f"Configuration {path}: No setting named 'fusion.texts'. Available: fusion.abstain_threshold, "
    )


def test_an_index_of_another_dataset(
    link: Callable[..., str], root: Path, in_index: tuple[str, str], cheap: tuple[str, ...]
) -> None:
    edit(root / "products.json", lambda records: records[1].update(product_name="Another"))
    assert link(*in_index, *cheap) == (
        f"The index in {in_index[1]} was made from another state of the dataset. "
        "Type: ameli-llm index DATASET"
    )


def test_a_server_that_is_not_there(link: Callable[..., str]) -> None:
    error = link("--engine", "vllm_server", "--set", "engine.base_url=http://127.0.0.1:9/v1")
    assert error.startswith(
        "http://127.0.0.1:9/v1: connection refused (4 attempts) Start one with `vllm serve"
    )


def test_out_that_is_a_file(
    here: Callable[..., Any], dataset: Path, index: Any, cheap: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "file"
    out.write_text("")
    done = here("link", dataset, "--split", "test", "--out", out, *cheap)
    assert done.error == f"Cannot write to {out}: File exists."


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_no_run(here: Callable[..., Any], tmp_path: Path, command: str) -> None:
    assert here(command, tmp_path).error == (
        f"{tmp_path} is not a run folder: it has no run.json. link makes one."
    )


@pytest.mark.parametrize("split", [[], None])
def test_empty_files(
    here: Callable[..., Any], root: Path, tmp_path: Path, cheap: tuple[str, ...], in_index: tuple[str, str],
    split: object,
) -> None:  # fmt: skip
    """No reviews: an empty run. No products: nothing could be found, which is an error."""
    out = tmp_path / "out"
    if split is not None:
        (root / "test" / "reviews.json").write_text("[]")
        done = here("link", root, "--split", "test", "--out", out, *in_index, *cheap)
        assert (done.code, done.out) == (0, f"run: {out} (0 linked now)\n")
        return
    (root / "products.json").write_text("[]")
    done = here("link", root, "--split", "test", "--out", out, *cheap)
    assert done.error == (
        f"The dataset in {root} has no products: the knowledge base is empty. "
        "It needs at least one product to link to."
    )
    assert not out.exists()
