"""Writes EfficientNet-Lite2 without its classifier as an ONNX graph, from the packages that carry it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ameli_llm.errors import MissingPackageError, first_line
from retrieval.encoders._exporting import TOLERANCE, failed, require_onnx, write_graph
from retrieval.encoders._onnx import NETWORK, open_session
from retrieval.encoders.efficientnet import PACKAGED, SIDE
from retrieval.encoders.encoder import normalised

if TYPE_CHECKING:
    import torch


def export(weights: Path, place: Path) -> None:
    """Fills the empty folder ``place`` with the graph [n, 3, 260, 260] -> [n, 1280] of a state dict.

    Raises MissingPackageError, AmeliError when the weights are not the network's, torch cannot export it or
    the graph does not give its vectors; OSError when it cannot be written.
    """
    require_onnx()
    axes = {"pixels": {0: "images"}, "vectors": {0: "images"}}
    try:
        import torch

        pooled = pooled_network(weights)
        write_graph(pooled, {"pixels": torch.zeros((1, 3, SIDE, SIDE))}, axes, place / NETWORK)
    except ImportError as error:
        raise MissingPackageError(error.name or "efficientnet-lite-pytorch", "retrieval") from error
    except OSError:
        raise
    except Exception as error:  # torch and its exporter raise their own types
        raise failed(PACKAGED, first_line(error)) from error
    probe = np.random.default_rng(0).uniform(-1, 1, (2, 3, SIDE, SIDE)).astype(np.float32)
    with torch.inference_mode():
        expected = normalised(pooled(torch.from_numpy(probe)).numpy())
    found = normalised(open_session(place, 1).run(None, {"pixels": probe})[0])
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise failed(PACKAGED, f"the graph's vectors differ by {difference:.1g} from the network's")


def pooled_network(weights: Path) -> torch.nn.Module:
    """The network with these weights: pixels [n, 3, s, s] to the mean over the last map, [n, 1280].

    The state dict is read as tensors and nothing else. Raises what torch raises.
    """
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network: Any = EfficientNet.from_name(PACKAGED)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))

    class Pooled(torch.nn.Module):
        """Features of the last map, pooled."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = self.network.extract_features(pixels)
            return features.mean((2, 3))

    return Pooled().eval()
