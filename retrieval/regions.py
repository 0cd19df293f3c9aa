"""Image networks with their last map, which taggers attend over region by region: 7 x 7 at 224 pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ameli_llm.attributes.tagging.pictures import Pixels, RegionNetwork
from ameli_llm.errors import MissingPackageError
from ameli_llm.models import known_model, packaged_file

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 224
"""Pixels of a side, as for ImageNet (Liu et al., section 4.2)."""


def load_regions(name: str) -> RegionNetwork:
    """The network ``name``: efficientnet-lite2, which is packaged, or a ResNet as the encoder resnet has it.

    Raises AmeliError when it is not known or its weights are not at hand.
    """
    from retrieval.encoders.efficientnet import PACKAGED

    return _packaged(name) if name == PACKAGED else _resnet(name)


def _packaged(name: str) -> RegionNetwork:
    try:
        from retrieval.encoders._efficientnet_export import pooled_network

        model = known_model(name)
        pooled: Any = pooled_network(packaged_file(model))
    except ImportError as error:
        raise MissingPackageError(error.name or "efficientnet-lite-pytorch", "retrieval") from error
    revision = str(getattr(model.source, "sha256", ""))[:16]
    return RegionNetwork(name, revision, 1280, _mapping(pooled.network, "extract_features"), _small)


def _resnet(name: str) -> RegionNetwork:
    from retrieval.encoders.resnet import load_network, weights_digest

    network, transform = load_network(name)
    revision = weights_digest(network)

    def prepare(image: Image) -> Pixels:
        return np.ascontiguousarray(transform(image).numpy(), dtype=np.float32)

    return RegionNetwork(
        name, revision, int(network.num_features), _mapping(network, "forward_features"), prepare
    )


def _mapping(network: Any, method: str) -> Any:
    """The network as a module whose output is that of ``method``."""
    import torch

    class Mapping(torch.nn.Module):
        """Pixels [n, 3, s, s] to the last map [n, d, h, w]."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = getattr(self.network, method)(pixels)
            return found

    return Mapping().eval()


def _small(image: Image) -> Pixels:
    """[3, 224, 224], between -1 and 1; the picture is stretched."""
    from PIL.Image import Resampling

    pixels = np.asarray(image.resize((SIDE, SIDE), Resampling.BICUBIC), dtype=np.float32)
    return np.ascontiguousarray(((pixels - 127) / 128).transpose(2, 0, 1))
