"""Text encoders of AMELINK: every text tokenised once, sequences of like length encoded together."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ameli_llm.errors import AmeliError, MissingPackageError, first_line
from ameli_llm.models.quiet import quiet_loading
from eval.baselines.amelink.pairs import TextPair
from eval.baselines.amelink.settings import MINILM, AmelinkSettings
from retrieval.encoders.encoder import weights_revision
from retrieval.encoders.sbert import PACKAGE, PACKAGED

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error

Ids: TypeAlias = npt.NDArray[np.int32]
Unit: TypeAlias = TextPair | str
"""What is encoded into one vector: a pair in one sequence, or one text."""

CPU_TOKENS, GPU_TOKENS = 4096, 65536
"""Tokens of a batch, padding included."""


class TokenSequence(NamedTuple):
    """Token ids of a sequence, and where token type 1 begins (its length where there is none)."""

    ids: Ids
    second: int


@dataclass(frozen=True)
class _Frame:
    """The special tokens around one text or two, as the tokenizer puts them."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    typed: bool


class Tokens:
    """Token ids of units. Each text is tokenised once while the object lives."""

    def __init__(self, tokenizer: Any, max_tokens: int, literal_sep: bool) -> None:
        self._tokenizer = tokenizer
        self._max = max_tokens
        self._literal = literal_sep
        self.settings = f"at most {max_tokens}, separator written out: {literal_sep}"
        """What decides the sequences, beside the tokenizer."""
        self._known: dict[str, Ids] = {}
        self._one = self._frame("a")
        self._two = self._frame("a", "b")
        self.pad = int(tokenizer.pad_token_id or 0)
        self.tokenised = 0
        """Texts that went through the tokenizer."""

    def sequences(self, units: Sequence[Unit]) -> list[TokenSequence]:
        """The sequence of each unit, special tokens included, no longer than ``max_tokens``."""
        self._learn(units)
        return [self._single(unit) if isinstance(unit, str) else self._pair(unit) for unit in units]

    def forget(self) -> None:
        """Drops what was kept of the texts."""
        self._known.clear()

    def _learn(self, units: Sequence[Unit]) -> None:
        wanted: dict[str, None] = {}
        for unit in units:
            if isinstance(unit, str):
                wanted[unit] = None
            else:
                first, second = self._written(unit)
                wanted[first], wanted[second] = None, None
        new = [text for text in wanted if text not in self._known]
        if new:
            found = self._tokenizer(
                new, add_special_tokens=False, return_attention_mask=False, verbose=False
            )["input_ids"]
            self._known.update((text, np.array(ids, np.int32)) for text, ids in zip(new, found, strict=True))
            self.tokenised += len(new)

    def _written(self, pair: TextPair) -> tuple[str, str]:
        """The texts as they stand in the sequence: a written-out separator has a space on both sides."""
        return (f"{pair.first} ", f" {pair.second}") if self._literal else (pair.first, pair.second)

    def _single(self, text: str) -> TokenSequence:
        frame = self._one
        ids = self._known[text][: self._max - len(frame.before) - len(frame.after)]
        whole = np.concatenate([_ids(frame.before), ids, _ids(frame.after)])
        return TokenSequence(whole, len(whole))

    def _pair(self, pair: TextPair) -> TokenSequence:
        frame = self._two
        first, second = (self._known[text] for text in self._written(pair))
        room = self._max - len(frame.before) - len(frame.between) - len(frame.after)
        a, b = _shares(len(first), len(second), room)
        head = np.concatenate([_ids(frame.before), first[:a], _ids(frame.between)])
        whole = np.concatenate([head, second[:b], _ids(frame.after)])
        return TokenSequence(whole, len(head) if frame.typed and not self._literal else len(whole))

    def _frame(self, *texts: str) -> _Frame:
        probe = self._tokenizer(*texts)
        ids, owner = probe["input_ids"], probe.sequence_ids(0)
        spots = [i for i, side in enumerate(owner) if side is not None]
        seconds = [i for i, side in enumerate(owner) if side == 1]
        firsts = [i for i, side in enumerate(owner) if side == 0]
        types = probe.get("token_type_ids", [0] * len(ids))
        return _Frame(
            tuple(ids[: spots[0]]),
            tuple(ids[firsts[-1] + 1 : seconds[0]]) if seconds else (),
            tuple(ids[spots[-1] + 1 :]),
            any(types),
        )


def _ids(values: Sequence[int]) -> Ids:
    return np.array(values, np.int32)


def _shares(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of two texts stay in ``room``: the longer one is cut first."""
    half = room // 2
    if first + second <= room:
        return first, second
    if first <= half:
        return first, room - first
    if second <= half:
        return room - second, second
    return room - half, half


@dataclass(frozen=True)
class Stamp:
    """The encoder that vectors are of; equal revisions give equal vectors."""

    name: str
    revision: str
    dimension: int


class TextEncoder(torch.nn.Module):
    """A transformer with its tokenizer. ``vectors`` are on the model's device, [n, ``dimension``]."""

    def __init__(
        self, model: torch.nn.Module, tokens: Tokens, stamp: Stamp, mean: bool, budget: int = 0
    ) -> None:
        super().__init__()
        self.model = model
        self.tokens = tokens
        self.stamp = stamp
        self._mean = mean
        self._budget = budget

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.model.parameters()).device

    def vectors(
        self, units: Sequence[Unit], progress: Callable[[int, int], None] | None = None
    ) -> torch.Tensor:
        """A vector per unit, in order. Batches hold sequences of like length and depend on no order."""
        dimension = self.stamp.dimension
        if not units:
            return torch.zeros((0, dimension), device=self.device)
        sequences = self.tokens.sequences(units)
        order = sorted(range(len(units)), key=lambda i: (-len(sequences[i].ids), units[i]))
        parts, done = [], 0
        while done < len(order):
            longest = len(sequences[order[done]].ids)
            size = max(1, self.budget // longest)
            rows = [sequences[i] for i in order[done : done + size]]
            parts.append(self._forward(rows))
            done += len(rows)
            if progress:
                progress(done, len(order))
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return torch.cat(parts)[torch.from_numpy(back).to(self.device)]

    @property
    def budget(self) -> int:
        """Tokens of a batch, padding included."""
        return self._budget or (GPU_TOKENS if self.device.type == "cuda" else CPU_TOKENS)

    def _forward(self, rows: Sequence[TokenSequence]) -> torch.Tensor:
        longest = max(len(row.ids) for row in rows)
        ids = np.full((len(rows), longest), self.tokens.pad, np.int64)
        mask = np.zeros_like(ids)
        types = np.zeros_like(ids)
        for position, row in enumerate(rows):
            ids[position, : len(row.ids)] = row.ids
            mask[position, : len(row.ids)] = 1
            types[position, row.second : len(row.ids)] = 1
        given = {"input_ids": ids, "attention_mask": mask}
        if types.any():
            given["token_type_ids"] = types
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in given.items()}
        states: torch.Tensor = self.model(**tensors).last_hidden_state.float()
        if not self._mean:
            return states[:, 0]
        weights = tensors["attention_mask"].float().unsqueeze(-1)
        mean = (states * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(mean)


def place(encoder: str) -> Path | None:
    """The folder of an encoder on this machine, None for the name of one in a hub. Raises AmeliError."""
    if encoder == MINILM or encoder.removeprefix("sentence-transformers/") == PACKAGED:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise MissingPackageError(f"The packaged text model {PACKAGED}", "retrieval")
        return Path(spec.origin).parent / "model"
    return Path(encoder) if Path(encoder).is_dir() else None


def load_encoder(settings: AmelinkSettings, budget: int = 0) -> TextEncoder:
    """The encoder of the settings with its published weights, on the GPU where there is one.

    Raises AmeliError when it cannot be found or is no transformer with a fast tokenizer and safetensors.
    """
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    from ameli_llm.training.loop import device

    folder = place(settings.encoder)
    source = str(folder or settings.encoder)
    try:
        with quiet_loading():
            config = AutoConfig.from_pretrained(source, local_files_only=folder is not None)
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=folder is not None)
            model = AutoModel.from_pretrained(
                source,
                config=config,
                local_files_only=folder is not None,
                use_safetensors=True,
                dtype=torch.float32,
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise AmeliError(
            f"Cannot load the text encoder {settings.encoder!r}: {first_line(error)}",
            hint="Give a folder with config.json, tokenizer.json and model.safetensors, a model's name where "
            f"a hub can be reached, or {MINILM}, which needs no download.",
        ) from error
    window = getattr(config, "max_position_embeddings", 0) or settings.max_tokens
    tokens = Tokens(tokenizer, min(settings.max_tokens, window), settings.literal_sep)
    revision = weights_revision(folder) if folder else str(getattr(config, "_commit_hash", None) or source)
    name = PACKAGED if settings.encoder == MINILM else settings.encoder
    stamp = Stamp(name, revision, int(config.hidden_size))
    return TextEncoder(model.eval(), tokens, stamp, settings.pooling == "mean", budget).to(device())


def quick(where: torch.device) -> torch.autocast:
    """The context in which nothing is trained: half the precision on a GPU, all of it on the CPU."""
    return torch.autocast("cuda", torch.bfloat16, enabled=where.type == "cuda")


def pooler_weights(encoder: str) -> dict[str, torch.Tensor]:
    """ "weight" and "bias" of the checkpoint's pooler; empty where it has none."""
    from safetensors import safe_open
    from transformers.utils.hub import cached_file

    folder = place(encoder)
    path = folder / "model.safetensors" if folder else Path(cached_file(encoder, "model.safetensors") or "")
    if not path.is_file():
        return {}
    with safe_open(path, framework="pt") as content:
        return {
            key.rpartition(".")[2]: content.get_tensor(key).float()
            for key in content.keys()  # noqa: SIM118
            if ".".join(key.split(".")[-3:-1]) == "pooler.dense"
        }
