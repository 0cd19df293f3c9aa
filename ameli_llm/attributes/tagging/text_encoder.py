"""Text encoders of taggers: a pretrained transformer, or a bidirectional LSTM that begins with nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ameli_llm.attributes.tagging.settings import BILSTM, MINILM
from ameli_llm.attributes.tagging.words import WordCutter
from ameli_llm.errors import AmeliError, MissingPackageError, first_line
from ameli_llm.models import found_folder
from ameli_llm.models.quiet import quiet_loading

try:
    import torch
except ImportError as error:
    raise MissingPackageError("torch", "retrieval") from error

LSTM_WIDTH = 768
"""Length of a state of the LSTM encoder, both directions together (Zhu et al. 2020, table 2)."""

PACKAGED = "all-MiniLM-L6-v2"


class TextEncoder(torch.nn.Module):
    """A transformer from token ids [n, t] to states [n, t, ``width``]."""

    def __init__(self, model: Any, name: str, revision: str) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.revision = revision
        self.width = int(model.config.hidden_size)

    def forward(self, ids: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        """The states of the last layer; ``attention`` is 0 on padding."""
        states: torch.Tensor = self.model(input_ids=ids, attention_mask=attention).last_hidden_state
        return states

    def embedded(self, ids: torch.Tensor) -> torch.Tensor:
        """The word embeddings of the ids, before positions are added."""
        found: torch.Tensor = self.model.get_input_embeddings()(ids)
        return found

    def encoded(self, embeddings: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        """The states of embeddings [n, t, ``width``]; positions are added first, as for words.

        Positions count what ``attention`` has, so that padding, wherever it stands, changes no state.
        """
        places = (attention.cumsum(1) - 1).clamp(min=0) + self._first
        states: torch.Tensor = self.model(
            inputs_embeds=embeddings, attention_mask=attention, position_ids=places
        ).last_hidden_state
        return states

    @property
    def window(self) -> int:
        """How many tokens the encoder reads."""
        return int(self.model.config.max_position_embeddings) - self._first

    @property
    def _first(self) -> int:
        """The number of the first position: a RoBERTa counts from behind its padding token's."""
        padded = "roberta" in self.model.config.model_type
        return int(self.model.config.pad_token_id) + 1 if padded else 0


class LstmEncoder(torch.nn.Module):
    """Embeddings and a bidirectional LSTM, all of them trained: "LSTM based" in tables 3 and 4 of the paper.

    The state of the first token, which is special, has seen the whole text backwards.
    """

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.name = self.revision = BILSTM
        self.width = LSTM_WIDTH
        self.embeddings = torch.nn.Embedding(vocabulary, LSTM_WIDTH)
        self.lstm = torch.nn.LSTM(LSTM_WIDTH, LSTM_WIDTH // 2, batch_first=True, bidirectional=True)

    def forward(self, ids: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        """[n, t, ``width``]; zeros on padding, which changes no state."""
        return bidirectional(self.lstm, self.embeddings(ids), attention)


def bidirectional(lstm: torch.nn.LSTM, inputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The states of sequences [n, t, d] that end where ``mask`` [n, t] does; no state depends on padding."""
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        inputs, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False
    )
    states, _ = torch.nn.utils.rnn.pad_packed_sequence(
        lstm(packed)[0], batch_first=True, total_length=inputs.shape[1]
    )
    return states


def load_text(name: str, max_tokens: int) -> tuple[TextEncoder | LstmEncoder, WordCutter]:
    """The encoder with its published weights, on the CPU, and what cuts texts for it.

    Raises AmeliError when it cannot be found, is no transformer with a fast tokenizer and safetensors, or
    has a shorter window than ``max_tokens``.
    """
    try:
        from transformers import AutoConfig, AutoModel, AutoTokenizer
    except ImportError as error:
        raise MissingPackageError("transformers", "retrieval") from error
    folder = _folder(name)
    source = str(folder or name)
    local = folder is not None
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=local)
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
        window = int(getattr(config, "max_position_embeddings", 0) or 512)
        cutter = WordCutter(tokenizer, max_tokens, window)
        if name == BILSTM:
            return LstmEncoder(cutter.vocabulary), cutter
        with quiet_loading():
            model = AutoModel.from_pretrained(
                source, config=config, local_files_only=local, use_safetensors=True, dtype=torch.float32
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise AmeliError(
            f"Cannot load the text encoder {name!r}: {first_line(error)}",
            hint="Give a folder with config.json, tokenizer.json and model.safetensors, a model's name where "
            f"a hub can be reached, or {MINILM}, which needs no download.",
        ) from error
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # nothing reads it, and fine-tuning would keep it without a gradient
    shown = PACKAGED if name == MINILM else name
    return TextEncoder(model.eval(), shown, weights_digest(model)), cutter


def weights_digest(module: torch.nn.Module) -> str:
    """The first 16 hex digits of a SHA-256 over names and values of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _folder(name: str) -> Path | None:
    """The folder of an encoder on this machine, None for the name of one in a hub."""
    if name in (MINILM, BILSTM) or name.removeprefix("sentence-transformers/") == PACKAGED:
        return found_folder(PACKAGED)
    return Path(name) if Path(name).is_dir() else None
