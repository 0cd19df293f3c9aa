"""Small networks of random weights, of every kind that the engine transformers handles."""

from __future__ import annotations

from typing import Any


def kinds_of_models() -> dict[str, Any]:
    """A small network of random weights for each way of attention and memory that is handled."""
    import transformers as hf

    size = {"vocab_size": 400, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
    plain = {"bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.3}
    layers = ["conv", "full_attention", "conv"]
    return {
        "grouped heads": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**size, **heads, **plain)),
        "absolute positions": lambda: hf.GPT2LMHeadModel(
            hf.GPT2Config(vocab_size=400, n_embd=32, n_layer=2, n_head=4, n_positions=512, **plain)
        ),
        "positions of the mask": lambda: hf.BloomForCausalLM(
            hf.BloomConfig(vocab_size=400, hidden_size=32, n_layer=2, n_head=4, **plain)
        ),
        "sliding window": lambda: hf.MistralForCausalLM(
            hf.MistralConfig(**size, **heads, **plain, sliding_window=24)
        ),
        "capped logits": lambda: hf.Gemma2ForCausalLM(
            hf.Gemma2Config(**size, **heads, **plain, head_dim=8, sliding_window=24)
        ),
        "recurrent": lambda: hf.Lfm2ForCausalLM(
            hf.Lfm2Config(**size, **heads, **plain, layer_types=layers, block_auto_adjust_ff_dim=False)
        ),
    }
