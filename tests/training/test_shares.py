"""Parts of a module that learn at a part of the learning rate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ameli_llm.errors import AmeliError
from ameli_llm.training.loop import LoopSettings, Rows, train


class Two(torch.nn.Module):
    """Two numbers, each with a gradient of 1."""

    def __init__(self) -> None:
        super().__init__()
        self.image = torch.nn.Linear(1, 1, bias=False)
        self.rest = torch.nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            self.image.weight.zero_()
            self.rest.weight.zero_()

    def loss(self, rows: Rows) -> torch.Tensor:
        return (self.image.weight + self.rest.weight).sum()


@pytest.mark.parametrize(
    ("shares", "image"), [({}, -0.3), ({"image": 0.5}, -0.15), ({"image": 2.0}, -0.6), ({"im": 0.5}, -0.3)]
)
def test_a_share_of_the_rate(shares: dict[str, float], image: float) -> None:
    """Adam's step at a constant gradient is the learning rate: three of 0.1."""
    module = Two()
    train(module, 1, module.loss, None, LoopSettings(epochs=3, learning_rate=0.1), shares=shares)
    assert module.image.weight.item() == pytest.approx(image, abs=1e-5)
    assert module.rest.weight.item() == pytest.approx(-0.3, abs=1e-5)


def test_a_checkpoint_of_other_shares(tmp_path: Path) -> None:
    settings = LoopSettings(epochs=1, learning_rate=0.1)
    module = Two()
    train(module, 1, module.loss, None, settings, checkpoints=tmp_path, shares={"image": 0.5})
    with pytest.raises(AmeliError, match=r"other settings: share of image 0\.5, now unset"):
        train(module, 1, module.loss, None, settings, checkpoints=tmp_path)
