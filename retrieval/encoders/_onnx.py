"""The forward pass of an encoder as an ONNX graph: kept in the cache, run without torch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.machine import threads
from ameli_llm.paths import encoders_dir
from ameli_llm.seal import Write
from retrieval.derived import open_derived
from retrieval.encoders.encoder import Vectors, normalised

Opened = TypeVar("Opened")
Tokens: TypeAlias = npt.NDArray[np.int64]

FORMAT = 1
"""Of the exported files; goes up when they are made in another way."""

NETWORK, TOKENIZER = "model.onnx", "tokenizer.json"
IDS, MASK = "ids", "mask"
TOKENS = 1024
"""Tokens of a batch, padding included: what fits the caches of a core is faster than more."""


class Network(Protocol):
    """The forward pass of a text encoder. Threads may share it."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    def run(self, ids: Tokens, mask: Tokens) -> Vectors:
        """[n, dimension] of token numbers and mask, [n, tokens] each."""


class Float32:
    """The network in ``place`` in ONNX Runtime. Raises AmeliError when it cannot be opened."""

    def __init__(self, place: Path) -> None:
        self.session = open_session(place, threads())
        self.dimension = int(self.session.get_outputs()[0].shape[1])

    def run(self, ids: Tokens, mask: Tokens) -> Vectors:
        """[n, dimension] of token numbers and mask, [n, tokens] each."""
        found: Vectors = self.session.run(None, {IDS: ids, MASK: mask})[0]
        return found


class Graph:
    """An exported encoder in ``place``, whose forward pass ``open_network`` opens. Threads may share it.

    Raises AmeliError when it cannot be opened.
    """

    def __init__(self, place: Path, open_network: Callable[[Path], Network] = Float32) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingPackageError("tokenizers", "retrieval") from error
        self._network = open_network(place)
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(place / TOKENIZER))
        except Exception as error:  # tokenizers raises a type of its own
            raise unreadable(place, error) from error
        self.dimension = self._network.dimension

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """[n, dimension], L2-normalised, in the order of ``texts``; batches hold texts of like length."""
        sequences = [found.ids for found in self._tokenizer.encode_batch_fast(list(texts))]
        order = sorted(range(len(texts)), key=lambda i: (-len(sequences[i]), i))
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        done = 0
        while done < len(order):
            rows = order[done : done + max(1, TOKENS // len(sequences[order[done]]))]
            vectors[rows] = self._batch([sequences[row] for row in rows])
            done += len(rows)
        return normalised(vectors)

    def _batch(self, sequences: Sequence[Sequence[int]]) -> Vectors:
        ids = np.zeros((len(sequences), max(map(len, sequences))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        return self._network.run(ids, mask)


def open_graph(revision: str, write: Write, open_network: Callable[[Path], Network] = Float32) -> Graph:
    """The graph of the weights ``revision``, from the cache; ``write`` makes it in an empty folder."""
    return opened(f"{revision}-{FORMAT}", write, lambda place: Graph(place, open_network))


def opened(name: str, write: Write, read: Callable[[Path], Opened]) -> Opened:
    """What ``read`` finds in the folder ``name`` of the cache; ``write`` makes it in an empty folder.

    It is made once; what is damaged is made again, and what another process is making is waited for. Where
    the cache cannot be written, it is made for this time only.
    """
    home = encoders_dir()
    with contextlib.suppress(OSError):
        home.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as temporary:
        return read(open_derived(home, name, write, temporary))


def open_session(place: Path, threads: int) -> Any:
    """The graph in ``place``, each of whose runs takes so many threads. Raises AmeliError."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError("onnxruntime", "retrieval") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait for work would otherwise keep a core busy that other processes could use.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(place / NETWORK), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises types of its own
        raise unreadable(place, error) from error


def unreadable(place: Path, error: Exception) -> AmeliError:
    """The error of a file in ``place`` that is not what was exported."""
    return AmeliError(
        f"Cannot open the encoder in {place}: {str(error).strip().splitlines()[0]}",
        hint="Delete that folder: it is made again.",
    )
