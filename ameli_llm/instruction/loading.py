"""A base model ready to be fine-tuned, and the result on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ameli_llm.errors import AmeliError
from ameli_llm.files import draft_of, make_folder
from ameli_llm.models.convert import require, save_model, save_tokenizer
from ameli_llm.models.lora import EXTRA, WEIGHTS, open_base


def load(
    folder: Path, name: str, rank: int, alpha: int, targets: tuple[str, ...], seed: int, low: bool
) -> tuple[Any, Any]:
    """The network of the model in ``folder``, to be trained in its adapter only, and its tokenizer.

    The adapter is drawn by ``seed``; its weights are float32, the others bf16 with ``low``, else float32.
    With rank 0 there is no adapter: all weights are trained, as float32. Raises MissingPackageError, and
    AmeliError for a model that cannot be loaded, has no chat template or no such matrices.
    """
    torch = require("torch", EXTRA)
    chat, network = open_base(folder, torch.bfloat16 if low and rank else torch.float32)
    if chat.chat_template is None:
        raise AmeliError(f"The base {name!r} has no chat template.", hint="Take an instruction-tuned model.")
    if not rank:
        return network, chat
    peft = require("peft", EXTRA)
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), task_type="CAUSAL_LM")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            adapted = peft.get_peft_model(network, config)
    except ValueError as error:
        raise AmeliError(
            f"The base {name!r} has no matrices named {', '.join(targets)}.",
            hint="Its architecture is another one: name its own with --target.",
        ) from error
    adapted.peft_config["default"].base_model_name_or_path = name
    return adapted, chat


def save(network: Any, chat: Any, out: Path, adapter: bool) -> None:
    """Writes the adapter in peft's format, or the whole model, in bf16. Raises AmeliError."""
    torch, safetensors = require("torch", EXTRA), require("safetensors.torch", EXTRA)
    try:
        make_folder(out)
        if not adapter:
            save_tokenizer(chat, out, network.config.max_position_embeddings)
            save_model(network.to(torch.bfloat16), out)
            return
        peft = require("peft", EXTRA)
        found = peft.get_peft_model_state_dict(network, save_embedding_layers=False)
        tensors = {name: tensor.to(torch.bfloat16).cpu().contiguous() for name, tensor in found.items()}
        draft = draft_of(out / WEIGHTS)
        safetensors.save_file(tensors, draft, metadata={"format": "pt"})
        draft.replace(out / WEIGHTS)
        network.peft_config["default"].inference_mode = True
        network.peft_config["default"].save_pretrained(out)
    except OSError as error:
        raise AmeliError(f"Cannot write {out}: {error.strerror or error}.") from error
