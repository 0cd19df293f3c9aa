"""Linking with a model of a short context: prompts shrink, and what cannot shrink is said before the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.linking.contract import lines
from tests.plugin_vllm import make_tiny_model

CONTEXT = 800
"""Full prompts of these templates have up to some 1,400 tokens in the tests' tokenizer, the least 610."""


@pytest.fixture
def words(dataset: Path, in_index: tuple[str, str]) -> tuple[object, ...]:
    cheap = ("retrieval.weights={title: 1.0}", "attributes.extractors=[rules, llm]")
    settings = (*cheap, "engine.max_error_rate=1.0")  # the model knows nothing and may not end its JSON
    options = [word for setting in settings for word in ("--set", setting)]
    run = ("link", dataset, "--split", "test", "--limit", 6, "--engine", "transformers")
    return *run, *in_index, *options


def test_prompts_that_exceed_the_context_shrink(
    here: Callable[..., Any], words: tuple[object, ...], tmp_path: Path
) -> None:
    small = make_tiny_model(tmp_path / "small", context=CONTEXT)
    large = make_tiny_model(tmp_path / "large")
    tokens = {}
    for name, model in (("small", small), ("large", large)):
        done = here(*words, "--model", model, "--out", tmp_path / f"run-{name}")
        found = lines(tmp_path / f"run-{name}")
        assert done.code == 0, done.err
        assert len(found) == 6
        assert "engine_error" not in {line["state"] for line in found}
        tokens[name] = [line["tokens"]["prompt"] for line in found]
    assert max(tokens["small"]) <= 2 * CONTEXT < max(tokens["large"])
    assert all(small <= large for small, large in zip(tokens["small"], tokens["large"], strict=True))


def test_a_template_that_never_fits_is_an_error_before_the_run(
    here: Callable[..., Any], words: tuple[object, ...], tmp_path: Path
) -> None:
    model = make_tiny_model(tmp_path / "model", context=400)
    done = here(*words, "--model", model, "--out", tmp_path / "run")
    assert done.error.startswith(
        f"Template 'extract/json' does not fit into the context of '{model}': with 10 "
    )
    assert "tokens too long. Take a model or a server with a longer context" in done.error
    assert lines(tmp_path / "run") == []
