"""The forward pass of a text encoder in bfloat16, in OpenVINO: for CPUs that multiply it in hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ameli_llm.errors import MissingPackageError
from ameli_llm.machine import threads
from retrieval.encoders._onnx import IDS, MASK, NETWORK, Tokens, unreadable
from retrieval.encoders.encoder import Vectors


class Bfloat16:
    """The network in ``place``. Raises MissingPackageError, AmeliError when it cannot be opened.

    Products of matrices take numbers of 8 significant bits and are summed in float32.
    """

    def __init__(self, place: Path) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingPackageError("openvino", "openvino") from error
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "INFERENCE_NUM_THREADS": threads(),
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        try:
            self._network: Any = openvino.Core().compile_model(place / NETWORK, "CPU", settings)
        except Exception as error:  # openvino raises types of its own
            raise unreadable(place, error) from error
        self.dimension = int(self._network.output(0).partial_shape[1].get_length())

    def run(self, ids: Tokens, mask: Tokens) -> Vectors:
        """[n, dimension] of token numbers and mask, [n, tokens] each."""
        # A request of its own for every call: the network's own one is not for several threads.
        found: Vectors = self._network.create_infer_request().infer({IDS: ids, MASK: mask})[0]
        return found
