"""link-one with one review on the command line: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.runs import PredictionRow
from tests.engines.scripted import Answer, scripted

ROOT = Path(__file__).parents[2]
PRODUCTS = [
    ("B1", "Acme blender \x1b[31mred", "Red", "500 watts"),
    (7, "Acme blender blue", "Blue", "300 watts"),
]
CHEAP = ("--set", "retrieval.weights={title: 5.0}", "--set", "attributes.extractors=[rules]")
WORDS = ("--body", "Mine is red, 500 W", "--mention", "blender")


@pytest.fixture(scope="session")
def kb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A products.json alone; a name of it wants to colour the terminal."""
    records = [
        {
            "id": id_,
            "product_name": name,
            "product_category": "Kitchen -> Blenders",
            "Spec": [
                {"subsection": "General", "text": [{"specification": "Color", "value": colour}]},
                {"subsection": "General", "text": [{"specification": "Power", "value": power}]},
            ],
        }
        for id_, name, colour, power in PRODUCTS
    ]
    path = tmp_path_factory.mktemp("kb") / "products.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def test_one_review_is_explained(kb: Path, here: Callable[..., Any]) -> None:
    done = here("link-one", kb, *WORDS, *CHEAP)
    assert done.code == 0, done
    first, second, *attributes = done.out.splitlines()
    assert "Acme blender \ufffd[31mred (B1), score " in first
    assert ", confidence 0." in first
    assert second.startswith("runner-up: Acme blender blue (7), score ")
    assert attributes == [
        'agree     Color: "red" in body; the product: Red',
        'agree     Power: "500 W" in body; the product: 500 watts',
    ]


def test_with_a_warm_index_nothing_is_imported_that_takes_seconds(
    kb: Path, here: Callable[..., Any], cache: Path
) -> None:
    """Only what is configured by default, the text encoder included, and that is not torch."""
    words = ["link-one", str(kb), *WORDS]
    warm = here(*words)
    code = (
        "import sys\n"
        "from ameli_llm import cli\n"
        f"sys.argv = {['ameli-llm', *words]!r}\n"
        "try:\n    cli.main()\n"
        "finally:\n    print(*(set(sys.modules) & set(sys.stdin.read().split())), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"AMELI_LLM_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        input="torch transformers sentence_transformers chromadb openai onnx onnxruntime",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == warm.out
    assert "B1" in done.stdout
    assert done.stderr == "onnxruntime\n"


def test_what_speaks_against_it_is_shown_too(kb: Path, here: Callable[..., Any]) -> None:
    done = here("link-one", kb, "--header", "Red, 300 W", "--mention", "blender", *CHEAP)
    assert done.out.splitlines()[2:] == [
        'agree     Power: "300 W" in header; the product: 300 watts',
        'conflict  Color: "Red" in header; the product: Blue',
    ]


def test_json_is_a_line_of_the_predictions(kb: Path, here: Callable[..., Any]) -> None:
    done = here("link-one", kb, *WORDS, *CHEAP, "--json")
    assert done.code == 0, done
    row = PredictionRow.model_validate_json(done.out)
    assert (row.review_id, row.candidates[0].entity_id, row.candidates[1].entity_id) == (1, "B1", 7)
    assert {(one.key, one.verdict) for one in row.evidence} == {("Color", "agree"), ("Power", "agree")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--image", "none.png"), "Image none.png: missing (No such file or directory)."),
        ((*WORDS, "--set", "fusion.txt=1"), "--set: No setting named 'fusion.txt'."),
        ((*WORDS, "--engine", "gpt"), "No engine named 'gpt'."),
    ],
)
def test_wrong_input_is_one_line(
    kb: Path, here: Callable[..., Any], words: tuple[str, ...], message: str
) -> None:
    assert here("link-one", kb, *CHEAP, *words).error.startswith(message)


def test_a_missing_knowledge_base_is_one_line(here: Callable[..., Any]) -> None:
    assert here("link-one", "nowhere", *WORDS).error.startswith("No dataset folder at nowhere.")


def test_a_model_that_cannot_be_used_starts_nothing(kb: Path, here: Callable[..., Any]) -> None:
    with scripted() as server:
        server.answers = [Answer(400, {"error": {"message": "no such thing"}})]
        settings = "--engine", "vllm_server", "--set", f"engine.base_url={server.base_url}"
        assert "test" in here("link-one", kb, *CHEAP, *settings, *WORDS).error
