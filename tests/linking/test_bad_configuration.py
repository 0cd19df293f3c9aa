"""Configurations that no program should choke on: one line each, whatever is in the file or behind --set."""

from __future__ import annotations

from pathlib import Path

import pytest

from ameli_llm.config import MAX_BYTES, RunConfig, load_config, override
from ameli_llm.errors import AmeliError

LAUGHS = "a: &a [x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def complaint(path: Path) -> str:
    with pytest.raises(AmeliError) as caught:
        load_config(path)
    said = str(caught.value)
    assert len(said) < 1200
    assert "\n" not in said
    assert said.startswith(f"Configuration {path}")
    return said.removeprefix(f"Configuration {path}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, " is not YAML: it is nested too deeply."),
        ("a: " * 2000, " is not YAML: mapping values are not allowed here"),
        (LAUGHS, ": No setting named 'a'."),
        ("fusion: &f {calibration: *f}", ": fusion.calibration.calibration"),
        ("retrieval: {weights: &w {x: *w}}", ": retrieval.weights.x: Input should be a valid number"),
        ("{1: 2}", ": "),
        ("{null: 2}", ": "),
        ("fusion: {2: 3}", ": "),
        ("? [a]\n: 1", " is not YAML: "),
        ("seed: " + "9" * 5000, " is not YAML: Exceeds the limit"),
        ("seed: 1.0e+999", ": seed: Input should be a finite number"),
        ("seed: 2024-13-45", " is not YAML: month must be in 1..12"),
        ("retrieval: {pool: 1000000000000000000000000000000}", ": retrieval.pool: Input should be less than"),
        ("fusion: {text: .nan}", ": fusion.text: Input should be a finite number"),
        ("fusion: {calibration: {link: {a: .inf}}}", ": fusion.calibration.link.a: Input should be a finite"),
        ("seed: \0", " is not YAML: "),
        ("x" * 1000 + ": 1", ": No setting named 'xxxx"),
        ("# " + "x" * MAX_BYTES, f" has more than {MAX_BYTES} bytes."),
        ("- 1", ": top level: Input should be a valid dictionary"),
        ("!!python/object/apply:os.system [ls]", " is not YAML: could not determine a constructor"),
    ],
    ids=range(20),
)
def test_a_file(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    assert complaint(path).startswith(says)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xff\xfe\xff")
    assert complaint(path).startswith(" is not YAML: ")


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("fusion.text=.nan", "--set: fusion.text: Input should be a finite number"),
        ("fusion.text=-.inf", "--set: fusion.text: Input should be a finite number"),
        ("fusion.text=\0", "Setting 'fusion.text=\\x00': the value is not YAML: "),
        ("fusion.text=" + "[" * 50_000, "Setting 'fusion.text=[[["),
        ("seed=" + "9" * 5000, "Setting 'seed=999"),
        ("engine.concurrency=100000000000", "--set: engine.concurrency: Input should be less than"),
        ("x" * 100_000, "No setting 'xxx"),
        ("x" * 100_000 + "=1", "--set: No setting named 'xxx"),
        ("=1", "--set: No setting named ''."),
        ("fusion=1", "--set: fusion: Input should be a valid dictionary"),
        ("fusion.text.x=1", "No setting 'fusion.text.x=1'."),
    ],
    ids=range(11),
)
def test_a_setting(setting: str, says: str) -> None:
    with pytest.raises(AmeliError) as caught:
        override(RunConfig(), [setting])
    said = str(caught.value)
    assert said.startswith(says)
    assert len(said) < 1200
    assert "\n" not in said
