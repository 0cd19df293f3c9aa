"""What a matrix file may say, and what is said of one that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.errors import AmeliError
from eval.matrix.plan import read_plan

WHOLE = """
dataset: DATA
split: test
sample: 100
seed: 7
models:
  small: {engine: vllm_server, model: tiny, base_url: "http://127.0.0.1:9/v1"}
  none: {engine: none}
templates:
  now: {}
  terse: {comparison: terse.j2, attributes: "extract/yes"}
settings:
  plain: []
  weighed: [fusion.text=2, "comparison.comparators=[rules]"]
baseline: none+now+plain
"""


def chosen(path: Path) -> str:
    """The baseline of a file: what is the last to be looked at."""
    plan = read_plan(path)
    return plan.chosen_baseline(plan.cells())


def read(tmp_path: Path, text: str) -> str:
    """The message about a file of this text."""
    path = tmp_path / "matrix.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AmeliError) as caught:
        chosen(path)
    return str(caught.value).replace(str(path), "FILE")


def test_cells_are_the_product_of_the_axes(tmp_path: Path) -> None:
    path = tmp_path / "matrix.yaml"
    path.write_text(WHOLE, encoding="utf-8")
    plan = read_plan(path)
    cells = plan.cells()
    assert list(cells) == [
        f"{model}+{template}+{settings}"
        for model in ("small", "none")
        for template in ("now", "terse")
        for settings in ("plain", "weighed")
    ]
    one = cells["small+terse+weighed"]
    assert (one.engine.name, one.engine.model, one.engine.base_url) == (
        "vllm_server", "tiny", "http://127.0.0.1:9/v1"
    )  # fmt: skip
    assert (one.comparison.template, one.attributes.template) == ("terse.j2", "extract/yes")
    assert (one.fusion.text, one.comparison.comparators) == (2.0, ("rules",))
    assert cells["none+now+plain"].comparison.comparators == ("rules", "names"), "resolved"
    assert plan.chosen_baseline(cells) == "none+now+plain"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "datset: x\ntemplates: {a: {}}",
            "FILE: unknown key 'datset'. Available: baseline, config, dataset, models, prompts, sample, "
            "seed, settings, split, templates. Did you mean 'dataset'?",
        ),
        (
            "dataset: x\nmodels: {a: {modle: y}}",
            "FILE: unknown key 'models.a.modle'. Available: base_url, engine, model. Did you mean 'model'?",
        ),
        (
            "dataset: x\ntemplates: {a: {compare: y}}",
            "FILE: unknown key 'templates.a.compare'. Available: attributes, comparison. "
            "Did you mean 'comparison'?",
        ),
        ("", "FILE: lacks 'dataset'. docs/matrix.md shows a file with every key."),
        ("[1]", "FILE: top level: Input should be a valid dictionary or instance of Plan. docs"),
        ("dataset: x", "The matrix has no axis. Its axes are models, templates and settings: name entries."),
        ("dataset: x\nsample: 0\nsettings: {a: []}", "FILE: sample: Input should be greater than or equal"),
        ("dataset: x\nsettings: {../a: []}", "FILE: settings.../a.[key]: this is no name for an entry."),
        ("dataset: x\nsettings: {a: [fusion.txt=1]}", "Cell 'a': --set: No setting named 'fusion.txt'."),
        ("dataset: x\nmodels: {a: {engine: vlm}}", "Cell 'a': No engine named 'vlm'. Available: "),
        (
            "dataset: x\nsettings: {a: [], b: []}\nbaseline: c",
            "No cell named 'c'. Available: a, b.",
        ),
        ("dataset: [", "FILE is not YAML: "),
        ("dataset: x\nsettings: {" + ", ".join(f"s{n}: []" for n in range(101)) + "}", "more than 100 cells"),
    ],
)
def test_a_file_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    assert message in read(tmp_path, text)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match=r"Cannot read .*none.yaml: No such file"):
        read_plan(tmp_path / "none.yaml")
