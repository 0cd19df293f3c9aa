"""Writes a network of torch as an ONNX graph, which then runs without torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.install import install_line

if TYPE_CHECKING:
    import torch

OPSET = 20
TOLERANCE = 1e-5
"""How far a graph's vectors may be from the network's, in each place of a vector of length 1."""


def require_onnx() -> None:
    """Raises MissingPackageError without onnx, which torch's exporter asks for at its very end."""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("onnx", "retrieval") from error


def write_graph(
    network: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    axes: Mapping[str, dict[int, str]],
    path: Path,
) -> None:
    """Writes ``network`` as a graph from the ``inputs``, named and with an example each, to "vectors".

    ``axes`` names those of inputs and output that vary. Raises what torch and its exporter raise.
    """
    import torch

    with warnings.catch_warnings():
        # The exporter of TorchScript is deprecated in favour of one that needs onnxscript as well; and it
        # warns of a padding that it computes anew in each run.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(
            network.eval(),
            tuple(inputs.values()),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=["vectors"],
            dynamic_axes=dict(axes),
        )


def failed(what: str, reason: str) -> AmeliError:
    """The error of an export that did not come out."""
    return AmeliError(
        f"Cannot export {what} to ONNX: {reason}",
        hint=f"The versions of torch and onnx that it was tested with: {install_line('retrieval')}",
    )
