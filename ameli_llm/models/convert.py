"""A quantised GGUF file made an ordinary model folder: bf16 safetensors, tokenizer, chat template."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from ameli_llm.errors import MissingPackageError

Step: TypeAlias = Callable[[int, int], None]
"""Called with the steps done and the steps in all."""
CONVERSION = 1
"""To be raised with every change of what is written: folders of another version are not used."""


def convert_gguf(file: Path, out: Path, tools: tuple[str, ...], extra: str, step: Step) -> None:
    """Fills the empty folder ``out`` with the model in ``file``; takes some 20 s and 1.5 GB of memory.

    The weights are the quantised ones, spelt out and rounded to bf16. Raises MissingPackageError without one
    of the ``tools``, and OSError where it cannot be written.
    """
    torch, hf = (require(tool, extra) for tool in ("torch", "transformers"))
    for tool in tools:
        require(tool, extra)
    source: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    hf.utils.logging.disable_progress_bar()
    step(0, 3)
    # The reader's own bars, which cannot be switched off, would stand between the lines of ``step``.
    with contextlib.redirect_stderr(io.StringIO()):
        tokenizer = hf.AutoTokenizer.from_pretrained(file.parent, **source)
        step(1, 3)
        read = hf.AutoModelForCausalLM.from_pretrained(file.parent, **source)
    step(2, 3)
    save_tokenizer(tokenizer, out, read.config.max_position_embeddings)
    # What was read counts as quantised and cannot be saved; its tensors can, in a model that is not.
    plain: Any = type(read)(plain_config(read.config))
    plain.load_state_dict(read.state_dict())
    plain.generation_config = read.generation_config
    save_model(plain.to(torch.bfloat16), out)
    step(3, 3)


def save_model(model: Any, out: Path) -> None:
    """Writes the weights as safetensors, and both configurations. Raises OSError."""
    from safetensors import SafetensorError

    try:
        model.save_pretrained(out)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def plain_config(config: Any) -> Any:
    """The configuration without what only the place that it was read from has."""
    content = config.to_dict()
    for name in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        content.pop(name, None)
    return type(config).from_dict(content)


def save_tokenizer(tokenizer: Any, out: Path, longest: int) -> None:
    """Writes the tokenizer with the model's length, which a GGUF leaves out, and without how it was read."""
    tokenizer.model_max_length = min(tokenizer.model_max_length, longest)
    for name in ("is_local", "local_files_only", "gguf_file"):
        tokenizer.init_kwargs.pop(name, None)
    tokenizer.save_pretrained(out)


def require(package: str, extra: str) -> Any:
    """The imported package. Raises MissingPackageError with the line that installs the extra."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingPackageError(package, extra) from error
