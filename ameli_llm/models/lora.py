"""LoRA adapters in peft's format: read without trust, held against a base, merged into its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ameli_llm.errors import AmeliError
from ameli_llm.files import first_error
from ameli_llm.models.convert import Step, require, save_model, save_tokenizer
from ameli_llm.models.known import made_name
from ameli_llm.seal import file_checksum
from ameli_llm.untrusted import read_json

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
RECORD = "training.json"
"""What a training of ours says of itself; under ``SHA256`` it has the checksum of the weights."""
SHA256 = "weights_sha256"
MERGING = 1
"""To be raised with every change of what is written: folders of another version are not used."""

EXTRA = "smollm2"
_WITHOUT_EFFECT = (
    *("task_type", "auto_mapping", "peft_version", "revision", "inference_mode", "lora_dropout"),
    *("megatron_core", "qalora_group_size", "ensure_weight_tying"),
)
"""Keys of peft's file that change nothing about a merge."""


class AdapterConfig(BaseModel):
    """What of ``adapter_config.json`` decides a merge; what else is set there is refused."""

    model_config = ConfigDict(extra="allow")

    peft_type: Literal["LORA"]
    base_model_name_or_path: str | None = None
    r: int = Field(8, ge=1, le=4096)
    lora_alpha: float = 8
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, float] = {}
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    bias: Literal["none", "all", "lora_only"] = "none"
    lora_bias: bool = False
    fan_in_fan_out: bool = False
    use_rslora: bool = False
    use_dora: bool = False
    init_lora_weights: Literal[True, False, "gaussian", "orthogonal"] | None = True
    """The other ways change the base before they train on it."""

    @model_validator(mode="after")
    def _nothing_else(self) -> AdapterConfig:
        for key, value in (self.model_extra or {}).items():
            if value and key not in _WITHOUT_EFFECT:
                raise ValueError(f"{key} is not supported")
        return self

    def for_peft(self) -> dict[str, Any]:
        """The arguments of peft's LoraConfig."""
        about = {"peft_type", "base_model_name_or_path", "init_lora_weights"}
        return {"task_type": "CAUSAL_LM", **self.model_dump(exclude=about | set(self.model_extra or ()))}


def read_config(adapter: Path) -> AdapterConfig:
    """The configuration of the adapter in a folder. Raises AmeliError."""
    path = adapter / CONFIG
    try:
        return AdapterConfig.model_validate(read_json(path.read_bytes()))
    except OSError as error:
        hint = f"An adapter is a folder with {CONFIG} and {WEIGHTS}."
        raise AmeliError(f"Cannot read {path}: {error.strerror}.", hint=hint) from error
    except ValidationError as error:
        raise AmeliError(f"{path}: {first_error(error)}.") from error
    except ValueError as error:
        raise AmeliError(f"{path}: {error}.") from error


def require_base(config: AdapterConfig, adapter: Path, name: str) -> None:
    """Raises AmeliError when the adapter says that it was trained on a model of another name.

    Names are compared without the folders before them, and those in the cache without what they were made of.
    """
    stated = config.base_model_name_or_path
    if stated and base_name(stated) != base_name(name):
        raise AmeliError(
            f"{adapter} is an adapter of {base_name(stated)}, not of {base_name(name)}.",
            hint=f"Give that base, or put the name of yours into {CONFIG}, if it is the same model.",
        )


def base_name(text: str) -> str:
    """The name of a base: "smollm2" for itself, for ``.../models/smollm2-2b27e3ac3120`` and ``x/smollm2``."""
    last = text.rstrip("/").rpartition("/")[2]
    return made_name(last) or last


def write_merged(base: Path, name: str, adapter: Path, out: Path, step: Step) -> None:
    """Fills the empty folder ``out`` with the base, called ``name``, and the adapter merged into it.

    bf16 safetensors, added up in float32; tokenizer and chat template are the base's. Raises AmeliError when
    one of them is no model or adapter, or when they do not fit, and OSError where it cannot be written.
    """
    config = read_config(adapter)
    require_base(config, adapter, name)
    torch, peft = (require(package, EXTRA) for package in ("torch", "peft"))
    tensors = read_tensors(adapter)
    step(0, 3)
    tokenizer, network = open_base(base, torch.float32)
    step(1, 3)
    merged = _merged(peft, network, config, tensors, f"{adapter} does not fit {name}")
    step(2, 3)
    save_tokenizer(tokenizer, out, network.config.max_position_embeddings)
    save_model(merged.to(torch.bfloat16), out)
    step(3, 3)


def _merged(peft: Any, network: Any, config: AdapterConfig, tensors: dict[str, Any], complaint: str) -> Any:
    try:
        adapted = peft.get_peft_model(network, peft.LoraConfig(**config.for_peft()))
    except ValueError as error:  # none of the modules is there
        raise AmeliError(f"{complaint}: {' '.join(str(error).split())[:300]}") from error
    _fill(peft, adapted, tensors, complaint)
    try:
        return adapted.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise AmeliError(f"{complaint}: the merged weights are not all finite numbers.") from error


def open_base(base: Path, dtype: Any) -> tuple[Any, Any]:
    """Tokenizer and network of the model in a folder. Raises MissingPackageError and AmeliError."""
    hf = require("transformers", EXTRA)
    hf.utils.logging.disable_progress_bar()
    try:
        tokenizer = hf.AutoTokenizer.from_pretrained(base, trust_remote_code=False)
        network = hf.AutoModelForCausalLM.from_pretrained(
            base, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise AmeliError(f"Cannot load the base {base}: {' '.join(str(error).split())[:300]}") from error
    return tokenizer, network


def start_from(adapted: Any, adapter: Path, name: str) -> None:
    """Gives a network with an adapter of the base ``name`` the weights of the adapter in a folder.

    Raises AmeliError when that is one of another base, or has other matrices or another rank.
    """
    require_base(read_config(adapter), adapter, name)
    tensors = read_tensors(adapter)
    _fill(require("peft", EXTRA), adapted, tensors, f"{adapter} is no beginning for this training")


def _fill(peft: Any, adapted: Any, tensors: dict[str, Any], complaint: str) -> None:
    places = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
    for key in sorted(tensors.keys() | places.keys()):
        there, here = _shape(tensors.get(key)), _shape(places.get(key))
        if there != here:
            raise AmeliError(f"{complaint}: {key} is {there} in the adapter and {here} for the base.")
    peft.set_peft_model_state_dict(adapted, tensors)


def _shape(tensor: Any) -> str:
    return "missing" if tensor is None else str(list(tensor.shape))


def read_tensors(adapter: Path) -> dict[str, Any]:
    """The weights of the adapter in a folder. Raises AmeliError, also where its record knows others."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = adapter / WEIGHTS
    try:
        _require_whole(adapter)
        return dict(load_file(path))
    except OSError as error:
        raise AmeliError(f"Cannot read {path}: {error.strerror or error}.") from error
    except SafetensorError as error:
        raise AmeliError(f"{path} is not a safetensors file: {error}.") from error


def _require_whole(adapter: Path) -> None:
    """Raises AmeliError unless the weights are those that the record beside them, if any, was written for."""
    record, path = adapter / RECORD, adapter / WEIGHTS
    if not record.is_file():
        return
    try:
        content = read_json(record.read_bytes())
    except ValueError as error:
        raise AmeliError(f"{record}: {error}.") from error
    expected = content.get(SHA256) if isinstance(content, dict) else None
    if expected is not None and expected != file_checksum(path):
        raise AmeliError(
            f"The weights in {path} are not those that the training wrote.",
            hint=f"Train the adapter again or, if you changed them yourself, delete {RECORD} beside them.",
        )
