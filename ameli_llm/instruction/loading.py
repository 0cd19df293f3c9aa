"""A base model ready to be fine-tuned, and the result on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ameli_llm.errors import AmeliError
from ameli_llm.files import make_folder
from ameli_llm.models.convert import require
from ameli_llm.models.lora import WEIGHTS, read_config, require_base

_EXTRA = "smollm2"


def load(
    folder: Path, name: str, rank: int, alpha: int, targets: tuple[str, ...], seed: int, low: bool
) -> tuple[Any, Any]:
    """The network of the model in ``folder``, to be trained in its adapter only, and its tokenizer.

    The adapter is drawn by ``seed``; its weights are float32, the others bf16 with ``low``, else float32.
    With rank 0 there is no adapter: all weights are trained, as float32. Raises MissingPackageError, and
    AmeliError for a model that cannot be loaded, has no chat template or no such matrices.
    """
    torch, hf = require("torch", _EXTRA), require("transformers", _EXTRA)
    hf.utils.logging.disable_progress_bar()
    dtype = torch.bfloat16 if low and rank else torch.float32
    try:
        chat = hf.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        network = hf.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise AmeliError(
            f"Cannot load the base {name!r}: {' '.join(str(error).split())[:300]}",
            hint="Give a name of `ameli-llm models list`, or a folder with config.json and safetensors.",
        ) from error
    if chat.chat_template is None:
        raise AmeliError(f"The base {name!r} has no chat template.", hint="Take an instruction-tuned model.")
    if not rank:
        return network, chat
    peft = require("peft", _EXTRA)
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


def start_from(network: Any, adapter: Path, name: str) -> None:
    """Gives an adapted network the weights of the adapter in a folder. Raises AmeliError.

    The adapter has to be one of the base ``name``, of the same rank and matrices.
    """
    require_base(read_config(adapter), adapter, name)
    peft, safetensors = require("peft", _EXTRA), require("safetensors.torch", _EXTRA)
    own = peft.get_peft_model_state_dict(network, save_embedding_layers=False)
    try:
        found = safetensors.load_file(adapter / WEIGHTS)
    except Exception as error:  # safetensors raises its own types
        raise AmeliError(f"Cannot read {adapter / WEIGHTS}: {error}") from error
    shapes = {key: tuple(tensor.shape) for key, tensor in found.items()}
    if shapes != {key: tuple(tensor.shape) for key, tensor in own.items()}:
        raise AmeliError(
            f"{adapter} is an adapter of another rank, or of other matrices.",
            hint="Give its --rank and --target.",
        )
    peft.set_peft_model_state_dict(network, found)


def save(network: Any, chat: Any, out: Path, adapter: bool) -> None:
    """Writes the adapter in peft's format, or the whole model, in bf16. Raises AmeliError."""
    torch, safetensors = require("torch", _EXTRA), require("safetensors.torch", _EXTRA)
    try:
        make_folder(out)
        if not adapter:
            network.to(torch.bfloat16).save_pretrained(out)
            chat.save_pretrained(out)
            return
        peft = require("peft", _EXTRA)
        found = peft.get_peft_model_state_dict(network, save_embedding_layers=False)
        tensors = {name: tensor.to(torch.bfloat16).cpu().contiguous() for name, tensor in found.items()}
        draft = out / f".{WEIGHTS}.{os.getpid()}"
        safetensors.save_file(tensors, draft, metadata={"format": "pt"})
        draft.replace(out / WEIGHTS)
        network.peft_config["default"].inference_mode = True
        network.peft_config["default"].save_pretrained(out)
    except OSError as error:
        raise AmeliError(f"Cannot write {out}: {error.strerror or error}.") from error
