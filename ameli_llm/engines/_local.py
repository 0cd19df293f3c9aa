"""Loading of models into this process: packages, folders, and what identifies the weights."""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ameli_llm.config import EngineConfig
from ameli_llm.engines._reply import one_line
from ameli_llm.engines.engine import ChatRequest
from ameli_llm.errors import AmeliError, MissingPackageError
from ameli_llm.machine import find_gpus, vllm_build
from ameli_llm.models import instruction_model, is_known, model_folder
from ameli_llm.types import Progress

logger = logging.getLogger(__name__)

_HEAD = 1 << 20
_KINDS = (
    "a name of `ameli-llm models list`, a model of the hub, or a folder with config.json, a tokenizer and "
    "*.safetensors"
)


def package(name: str, engine: str) -> Any:
    """The imported package. Raises MissingPackageError with the line that installs the engine's extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        extra = vllm_build(find_gpus()) if engine == "vllm" else engine
        message = f"Engine {engine!r} needs the package {name} ({one_line(error)})."
        raise MissingPackageError(name, extra, message) from error


def model_name(config: EngineConfig) -> str:
    """The configured model. Raises AmeliError when there is none."""
    if not config.model:
        raise AmeliError(
            f"Engine {config.name!r} needs a model, and engine.model is empty.",
            hint=f"Name {_KINDS}.",
        )
    return config.model


def weights(model: str, progress: Progress) -> str:
    """Where the weights of the model named so are: a known model's folder, made on first use, or the name.

    Raises AmeliError, and MissingPackageError when the package of a known model is not installed.
    """
    return str(model_folder(instruction_model(model).name, progress)) if is_known(model) else model


def cannot_load(config: EngineConfig, error: Exception) -> AmeliError:
    """The error to raise when ``config.model`` does not load."""
    return AmeliError(
        f"Engine {config.name!r} cannot load {config.model!r}: {one_line(error)}",
        hint=f"It takes {_KINDS}.",
    )


def fingerprint(folder: Path) -> str:
    """12 hex digits that change with the configuration, the tokenizer or the weights in ``folder``.

    Small files count in full; of a weight file its name, size, and its first and last MiB do.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".json", ".jinja", ".txt", ".model", ".safetensors") or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}:".encode())
        with path.open("rb") as file:
            if path.suffix == ".safetensors":
                digest.update(file.read(_HEAD))
                file.seek(max(0, size - _HEAD))
                digest.update(file.read(_HEAD))
            else:
                digest.update(file.read())
    return digest.hexdigest()[:12]


def revision(source: str, commit: object, build: str) -> str:
    """Identity of the weights (folder fingerprint or hub commit) and of the software that runs them."""
    folder = Path(source)
    identity = fingerprint(folder) if folder.is_dir() else str(commit or "unknown")
    return f"{identity}@{build}"


def _prompt_text(tokenizer: Any, request: ChatRequest) -> tuple[str, bool]:
    """The text that a request asks with, and whether the tokenizer has to add its own marks to it.

    A model without a chat template gets the messages joined by blank lines.
    """
    if request.completion:
        return request.messages[-1].content, True
    messages = request.messages[:-1] if request.scored else request.messages
    if tokenizer.chat_template is None:
        return "\n\n".join(message.content for message in messages), True
    turns = [{"role": message.role, "content": message.content} for message in messages]
    text = tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    return text, False


def prompt_tokens(tokenizer: Any, request: ChatRequest) -> list[int]:
    """The tokens of a request's prompt, of one to be scored without the text that is scored.

    Raises whatever the chat template raises.
    """
    text, marks = _prompt_text(tokenizer, request)
    tokens: list[int] = tokenizer(text, add_special_tokens=marks)["input_ids"]
    return tokens


def require_prompt(request: ChatRequest, prompt: Sequence[int]) -> None:
    """Raises AmeliError when a text is to be scored after nothing: its first token has no probability."""
    if request.scored and not prompt:
        raise AmeliError("a text cannot be scored after a prompt without tokens")


def scored_tokens(tokenizer: Any, request: ChatRequest) -> list[int]:
    """The tokens of the text that a request wants scored; none of a request for a reply."""
    if not request.scored:
        return []
    tokens: list[int] = tokenizer(request.messages[-1].content, add_special_tokens=False)["input_ids"]
    return tokens


def prompt_lengths(tokenizer: Any, requests: Sequence[ChatRequest]) -> list[int]:
    """Tokens that each request sends; 0 for one that the chat template refuses, as the engine then will."""
    lengths = []
    for request in requests:
        try:
            tokens = len(prompt_tokens(tokenizer, request)) + len(scored_tokens(tokenizer, request))
            lengths.append(tokens)
        except Exception:  # chat templates raise whatever they like
            logger.debug("no prompt", exc_info=True)
            lengths.append(0)
    return lengths
