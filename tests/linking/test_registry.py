from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.attributes import EXTRACTORS
from ameli_llm.errors import UnknownNameError
from ameli_llm.registry import Registry


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    folder = tmp_path / "qa_shapes"
    folder.mkdir()
    files = {
        "__init__.py": "",
        "square.py": "def create(side):\n    return side * side\n",
        "broken.py": "raise RuntimeError('imported')\n",
        "_private.py": "",
        "shape.py": "",
        "notes.txt": "",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return Registry("shape", "qa_shapes", helpers=("shape",))


def test_a_file_is_an_entry_and_none_is_imported_before_it_is_asked_for(shapes: Registry) -> None:
    assert shapes.names() == ["broken", "square"]
    assert shapes.load("square")(3) == 9
    with pytest.raises(RuntimeError, match="imported"):
        shapes.load("broken")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sqare", "No shape named 'sqare'. Available: broken, square. Did you mean 'square'?"),
        ("zzz", "No shape named 'zzz'. Available: broken, square."),
        ("", "No shape named ''. Available: broken, square."),
        ("_private", "No shape named '_private'. Available: broken, square."),
        ("shape", "No shape named 'shape'. Available: broken, square."),
        ("../square", "No shape named '../square'. Available: broken, square. Did you mean 'square'?"),
    ],
)
def test_an_unknown_name(shapes: Registry, name: str, message: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        shapes.load(name)
    assert str(caught.value) == message


def test_a_package_that_is_not_there_has_no_entries() -> None:
    assert Registry("thing", "ameli_llm_has_no_such_package").names() == []


def test_the_extractors_of_the_project() -> None:
    with pytest.raises(UnknownNameError) as caught:
        EXTRACTORS.load("rulez")
    assert str(caught.value) == (
        "No extractor named 'rulez'. Available: llm, mjave, ocr, rules, uls_dram. Did you mean 'rules'?"
    )
