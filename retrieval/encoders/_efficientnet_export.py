"""Writes EfficientNet-Lite2 without its classifier as an ONNX graph, from the packages that carry it."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.install import install_line
from retrieval.encoders._onnx import NETWORK, open_session
from retrieval.encoders.efficientnet import PACKAGED, SIDE
from retrieval.encoders.encoder import normalised

if TYPE_CHECKING:
    import torch

OPSET = 20
TOLERANCE = 1e-5


def export(weights: Path, place: Path) -> None:
    """Fills the empty folder ``place`` with the graph [n, 3, 260, 260] -> [n, 1280] of a state dict.

    ``weights`` is read as tensors and nothing else. Raises MissingPackageError, AmeliError when the weights
    are not the network's, torch cannot export it or the graph does not give its vectors; OSError when it
    cannot be written.
    """
    try:
        import onnx  # noqa: F401  # torch's exporter asks for it at its very end
        import torch
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingPackageError(error.name or "efficientnet-lite-pytorch", "retrieval") from error
    network = EfficientNet.from_name(PACKAGED)
    try:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        pooled = _pooled(network)
        content = _graph(pooled)
    except Exception as error:  # torch and its exporter raise their own types
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise _failed(first) from error
    (place / NETWORK).write_bytes(content)
    probe = np.random.default_rng(0).uniform(-1, 1, (2, 3, SIDE, SIDE)).astype(np.float32)
    with torch.inference_mode():
        expected = normalised(pooled(torch.from_numpy(probe)).numpy())
    found = normalised(open_session(place, 1).run(None, {"pixels": probe})[0])
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise _failed(f"the graph's vectors differ by {difference:.1g} from the network's")


def _failed(reason: str) -> AmeliError:
    return AmeliError(
        f"Cannot export {PACKAGED} to ONNX: {reason}",
        hint=f"The versions of torch and onnx that it was tested with: {install_line('retrieval')}",
    )


def _pooled(network: Any) -> torch.nn.Module:
    import torch

    class Pooled(torch.nn.Module):
        """Pixels [n, 3, s, s] to the mean over the last map, [n, 1280]."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = self.network.extract_features(pixels)
            return features.mean((2, 3))

    return Pooled().eval()


def _graph(pooled: torch.nn.Module) -> bytes:
    import torch

    content: Any = io.BytesIO()  # the exporter's annotation knows paths only
    with warnings.catch_warnings():
        # The exporter of TorchScript is deprecated in favour of one that needs onnxscript as well; and it
        # warns of a padding that it computes anew in each run.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(
            pooled,
            (torch.zeros((1, 3, SIDE, SIDE)),),
            content,
            dynamo=False,
            opset_version=OPSET,
            input_names=["pixels"],
            output_names=["vectors"],
            dynamic_axes={"pixels": {0: "images"}, "vectors": {0: "images"}},
        )
    graph: bytes = content.getvalue()
    return graph
