"""An adapter merged into a base: the sum by hand, and everything that does not fit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.models import merge_adapter
from ameli_llm.models.lora import base_name
from ameli_llm.seal import SEAL, flaw
from tests.models.adapters import make_adapter, rewrite
from tests.plugin_vllm import make_tiny_model
from tests.shared_setup import made_once

ROOT = Path(__file__).parents[2]
Q_PROJ = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "merge", lambda folder: make_tiny_model(folder / "tiny")) / "tiny"


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(
        tmp_path_factory, "adapter", lambda folder: make_adapter(base, folder, name="somewhere/tiny")
    )


def tensors(folder: Path, name: str = "model.safetensors") -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(folder / name))


def test_the_weights_are_the_sum(base: Path, adapter: Path, tmp_path: Path) -> None:
    import torch

    steps: list[tuple[str, int, int]] = []
    out = merge_adapter(str(base), adapter, tmp_path / "out", lambda *step: steps.append(step))
    before, after, halves = tensors(base), tensors(out), tensors(adapter, "adapter_model.safetensors")
    assert before.keys() == after.keys()
    adapted = 0
    for name, weight in before.items():
        stem = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        expected = weight
        if f"{stem}A.weight" in halves:
            expected = weight + 3.0 * halves[f"{stem}B.weight"] @ halves[f"{stem}A.weight"]  # 6 / rank 2
            adapted += 1
        assert after[name].dtype == torch.bfloat16
        torch.testing.assert_close(after[name], expected.to(torch.bfloat16), atol=0, rtol=2**-7)
    assert adapted == 4
    assert steps[-1] == ("merging the adapter", 3, 3)


def test_the_result_is_an_ordinary_model_folder(base: Path, adapter: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = merge_adapter(str(base), adapter, tmp_path / "out")
    assert AutoModelForCausalLM.from_pretrained(out).config.model_type == "qwen2"
    tokenizer, original = AutoTokenizer.from_pretrained(out), AutoTokenizer.from_pretrained(base)
    assert tokenizer.chat_template == original.chat_template
    assert tokenizer("The red one.")["input_ids"] == original("The red one.")["input_ids"]
    assert str(tmp_path) not in "".join(path.read_text() for path in out.glob("*.json"))
    assert flaw(out) == ""
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_same_parts_give_the_same_bytes(base: Path, adapter: Path, tmp_path: Path) -> None:
    one, two = (merge_adapter(str(base), adapter, tmp_path / name) for name in ("one", "two"))
    assert (one / SEAL).read_text() == (two / SEAL).read_text()


def set_config(**values: Any) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, **values)


def change(edit: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        from safetensors.torch import save_file

        content = tensors(folder, "adapter_model.safetensors")
        edit(content)
        save_file(content, folder / "adapter_model.safetensors")

    return changed


def cut(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def lose(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


LORA_A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (set_config(base_model_name_or_path="x/smollm2"), " is an adapter of smollm2, not of tiny. Give "),
        (set_config(peft_type="IA3"), "adapter_config.json: peft_type: Input should be 'LORA'."),
        (set_config(init_lora_weights="pissa"), "adapter_config.json: init_lora_weights: "),
        (set_config(megatron_config={"a": 1}), "megatron_config is not supported."),
        (set_config(r=0), "adapter_config.json: r: "),
        (set_config(target_modules=["attention"]), "does not fit tiny: Target modules "),
        (set_config(r=3), "lora_A.weight is [2, 256] in the adapter and [3, 256] for the base."),
        (change(lambda t: t.pop(LORA_A)), "q_proj.lora_A.weight is missing in the adapter and [2, 128] for"),
        (
            change(lambda t: t.update(x=t[LORA_A].clone())),
            ": x is [2, 128] in the adapter and missing for",
        ),
        (change(lambda t: t[LORA_A].fill_(float("nan"))), "the merged weights are not all finite numbers."),
        (lambda folder: (folder / "adapter_config.json").write_text("[") and None, "json: not JSON: "),
        (lose("adapter_config.json"), "adapter_config.json: No such file or directory. An adapter is a "),
        (lose("adapter_model.safetensors"), "adapter_model.safetensors: No such file or directory"),
        (cut, "adapter_model.safetensors is not a safetensors file: "),
    ],
)
def test_an_adapter_that_does_not_fit(
    base: Path, adapter: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    copy = tmp_path / "adapter"
    shutil.copytree(adapter, copy)
    damage(copy)
    with pytest.raises(AmeliError) as raised:
        merge_adapter(str(base), copy, tmp_path / "out")
    assert message in str(raised.value)
    assert str(copy) in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"], "nothing half-written"


def test_a_base_of_another_architecture(adapter: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    other = make_tiny_model(tmp_path / "tiny")
    vocabulary = len(AutoTokenizer.from_pretrained(other))
    GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_embd=32, n_layer=1, n_head=2)).save_pretrained(other)
    with pytest.raises(AmeliError, match=r"adapter.* does not fit tiny: Target modules .* not found"):
        merge_adapter(str(other), adapter, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, "{}", "no JSON"])
def test_a_base_that_is_no_model(adapter: Path, tmp_path: Path, content: str | None) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    if content is not None:
        (folder / "config.json").write_text(content)
    with pytest.raises(AmeliError, match=r"^(No model|Cannot load the base) .*tiny"):
        merge_adapter(str(folder), adapter, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_base_that_answers_no_instructions(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(AmeliError, match=r"^all-MiniLM-L6-v2 is no instruction model, but a text encoder"):
        merge_adapter("all-MiniLM-L6-v2", adapter, tmp_path / "out")


def test_a_folder_with_files_is_left_alone(base: Path, adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("1")
    with pytest.raises(AmeliError, match="exists"):
        merge_adapter(str(base), adapter, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
def test_a_full_disk_leaves_nothing(base: Path, adapter: Path, tmp_path: Path) -> None:
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from ameli_llm.errors import AmeliError\n"
        "from ameli_llm.models import merge_adapter\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "base, adapter, out = sys.argv[1:]\n"
        "try: merge_adapter(base, Path(adapter), Path(out))\n"
        "except AmeliError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(base), str(adapter), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.startswith(f"Cannot write {tmp_path / 'out'}: "), done.stdout + done.stderr
    assert "File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("smollm2", "smollm2"),
        ("a/b/smollm2-0123456789ab", "smollm2"),
        ("a/mine-0123456789ab/", "mine-0123456789ab"),
        ("org/Model", "Model"),
    ],
)
def test_the_name_of_a_base(given: str, name: str) -> None:
    assert base_name(given) == name


def test_the_configuration_keeps_what_decides(base: Path, tmp_path: Path) -> None:
    """Other ranks and scales for some modules, as peft writes them, are merged as peft applies them."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = make_adapter(
        *(base, tmp_path / "adapter"),
        **{"name": "tiny", "use_rslora": True, "rank_pattern": {"q_proj": 4}, "alpha_pattern": {"q_proj": 1}},
    )
    out = merge_adapter(str(base), adapter, tmp_path / "out")
    network = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    expected = network.merge_and_unload().state_dict()[Q_PROJ].to(torch.bfloat16)
    assert torch.equal(tensors(out)[Q_PROJ], expected)
    assert json.loads((adapter / "adapter_config.json").read_text())["rank_pattern"] == {"q_proj": 4}
