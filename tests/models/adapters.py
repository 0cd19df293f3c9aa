"""Small LoRA adapters, made by peft itself on any model folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def make_adapter(base: Path, out: Path, *, name: str, seed: int = 0, **settings: Any) -> Path:
    """An adapter with random weights in both of its halves, as if trained on a base of that name."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    chosen = {"r": 2, "lora_alpha": 6, "target_modules": ["q_proj", "down_proj"], **settings}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapted = get_peft_model(network, LoraConfig(task_type="CAUSAL_LM", **chosen))
        for key, tensor in adapted.named_parameters():
            if "lora_" in key:
                tensor.data.normal_(std=0.1)
    adapted.save_pretrained(out, save_embedding_layers=False)
    rewrite(out, base_model_name_or_path=name)
    return out


def rewrite(adapter: Path, **values: Any) -> None:
    """Other values in the adapter's configuration."""
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
