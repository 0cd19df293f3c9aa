"""A matrix with a real vLLM server: what was forecast is what the server counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.matrix.planned import REVIEWS
from tests.matrix.test_matrix_command import matrix
from tests.plugin_vllm import RunningServer


def test_the_forecast_is_what_was_sent(
    write: Callable[..., Path], world: Path, vllm_server: RunningServer
) -> None:
    models = {"served": {"model": "served", "base_url": vllm_server.base_url}}
    file = write(models=models, settings={"once": [], "twice": ["comparison.orders=2"]})
    ahead = matrix(file, world / "out", "--dry-run", "--json").json
    assert (ahead["total"]["calls"], ahead["estimated"]) == (4 * REVIEWS, False)
    assert matrix(file, world / "out").code == 0
    sent = json.loads((world / "out" / "matrix.json").read_text("utf-8"))["spent"]["sent"]
    assert sent["calls"] == ahead["total"]["calls"]
    assert (sent["prompt"], sent["completion"]) == (ahead["total"]["prompt"], ahead["total"]["completion"])
