"""Which text models are a BERT whose token vectors are averaged: their forward pass needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ameli_llm.untrusted import read_json

PACKAGE = "sentence_transformers."
STAGES = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
"""Modules of such a model. Whether it scales vectors to length 1 itself does not matter: encoders do."""


def is_mean_bert(folder: Path) -> bool:
    """Whether the sentence-transformers model in ``folder`` is a BERT with mean pooling and nothing more.

    Told from its own description (modules.json, config.json, the pooling's config.json): a model of other
    modules, of another architecture, with an adapter or with a prompt before every text is none. A file that
    is missing or no JSON describes nothing.
    """
    modules = _read(folder / "modules.json")
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        return False
    kinds = [str(module.get("type", "")) for module in modules]
    if not all(kind.startswith(PACKAGE) for kind in kinds):
        return False
    if [kind.rpartition(".")[2] for kind in kinds] not in STAGES:
        return False
    places = [folder / str(module.get("path", "")) for module in modules]
    network = _fields(places[0] / "config.json")
    return (
        network.get("model_type") == "bert"
        and not network.get("is_decoder")
        and not (places[0] / "adapter_config.json").exists()
        and _averages(_fields(places[1] / "config.json"))
        and not _fields(folder / "config_sentence_transformers.json").get("default_prompt_name")
    )


def _averages(pooling: dict[str, Any]) -> bool:
    """Whether the mean is all that is taken; older models have a switch for each kind of pooling."""
    if "pooling_mode" in pooling:
        return pooling["pooling_mode"] in ("mean", ["mean"])
    chosen = [name for name, on in pooling.items() if name.startswith("pooling_mode_") and on]
    return chosen == ["pooling_mode_mean_tokens"]


def _fields(path: Path) -> dict[str, Any]:
    content = _read(path)
    return content if isinstance(content, dict) else {}


def _read(path: Path) -> Any:
    try:
        return read_json(path.read_bytes())
    except (OSError, ValueError):
        return None
