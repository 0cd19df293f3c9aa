"""Engine "vllm": vLLM in this process, for large batches on its own GPU (the CPU build works too)."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

from ameli_llm.config import EngineConfig
from ameli_llm.engines import _canary, _local
from ameli_llm.engines._context import excess
from ameli_llm.engines._reply import choice_reply, engine_error, scored_reply, text_reply
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.errors import AmeliError
from ameli_llm.types import Progress, Usage, no_progress

logger = logging.getLogger(__name__)

_MAX_LOGPROBS = 128


def create(config: EngineConfig, progress: Progress = no_progress) -> Vllm:
    """The engine with ``config.model`` loaded: a known model, a hub name, or a folder with safetensors.

    Raises MissingDependencyError, and AmeliError when the model cannot be loaded.
    """
    return Vllm(config, progress)


class Vllm:
    """Chat with a model that vLLM runs in this process; one batch at a time, ``config.timeout`` not applied.

    Choices must be single tokens (``choices.labels``). White space inside JSON is off, or a weak model would
    write nothing else.
    """

    name = "vllm"
    origin = name
    batch_size = 256
    workers = 1

    def __init__(self, config: EngineConfig, progress: Progress = no_progress) -> None:
        # vLLM logs to stdout, where this program's results go.
        os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
        self.model = _local.model_name(config)
        source = _local.weights(self.model, progress)
        self._vllm = _local.package("vllm", "vllm")
        platform = _local.package("vllm.platforms", "vllm").current_platform
        self._sampling = _local.package("vllm.sampling_params", "vllm")
        try:
            self._llm = self._vllm.LLM(
                model=source,
                dtype=config.dtype,
                load_format="safetensors",
                seed=0,
                enforce_eager=platform.is_cpu(),
                enable_prefix_caching=True,
                max_logprobs=_MAX_LOGPROBS,
                structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise _local.cannot_load(config, error) from error
        commit = getattr(self._llm.model_config.hf_config, "_commit_hash", None)
        build = f"vllm-{self._vllm.__version__}-{str(self._llm.model_config.dtype).removeprefix('torch.')}"
        self.revision = _local.revision(source, commit, build)
        self._lock = threading.Lock()

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One reply per request, in order. A request that vLLM refuses does not fail its neighbours."""
        replies: dict[int, ChatReply] = {}
        kinds = [(request.completion, request.scored) for request in requests]
        for kind in dict.fromkeys(kinds):
            batch = [index for index, one in enumerate(kinds) if one == kind]
            if batch:
                answers = self._answer([requests[index] for index in batch])
                replies.update(zip(batch, answers, strict=True))
        return [replies[index] for index in range(len(requests))]

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        """By how many tokens each prompt and its reply exceed the context that vLLM has room for."""
        with self._lock:
            if self._llm is None:
                return [0 for _ in requests]
            tokenizer, context = self._llm.get_tokenizer(), self._llm.model_config.max_model_len
        return excess(requests, context, lambda some: _local.prompt_lengths(tokenizer, some))

    def count(self, requests: Sequence[ChatRequest]) -> list[int]:
        """Tokens of each prompt; 0 for one that the chat template refuses. Raises AmeliError when closed."""
        with self._lock:
            if self._llm is None:
                raise AmeliError("The engine vllm is closed.")
            tokenizer = self._llm.get_tokenizer()
        return _local.prompt_lengths(tokenizer, requests)

    def canary(self) -> None:
        """Asks for a choice and for a JSON object. Raises AmeliError."""
        _canary.check(self, f"The model {self.model!r}", "Its tokenizer or chat template does not fit.")

    def close(self) -> None:
        """Ends the engine's process and frees its memory; later requests are engine errors."""
        with self._lock:
            if self._llm is not None:
                self._llm.llm_engine.engine_core.shutdown()
            self._llm = None

    def _answer(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        try:
            with self._lock:
                if self._llm is None:
                    return [engine_error("the engine vllm is closed") for _ in requests]
                texts = [_local.scored_tokens(self._llm.get_tokenizer(), request) for request in requests]
                outputs = self._generate(requests, texts)
        except Exception as error:  # one request too long, or the engine's process is gone
            logger.debug("batch of %d failed", len(requests), exc_info=True)
            if len(requests) > 1:
                return [reply for request in requests for reply in self._answer([request])]
            return [engine_error(f"{type(error).__name__}: {error}")]
        return [self._read(*row) for row in zip(requests, texts, outputs, strict=True)]

    def _generate(self, requests: Sequence[ChatRequest], texts: Sequence[list[int]]) -> Sequence[Any]:
        sampling = [self._parameters(request) for request in requests]
        if requests[0].scored:
            tokens = [
                {"prompt_token_ids": [*self._prompt(request), *text]}
                for request, text in zip(requests, texts, strict=True)
            ]
            scored: Sequence[Any] = self._llm.generate(tokens, sampling, use_tqdm=False)
            return scored
        if requests[0].completion:
            prompts = [request.messages[-1].content for request in requests]
            outputs: Sequence[Any] = self._llm.generate(prompts, sampling, use_tqdm=False)
            return outputs
        turns = [[{"role": m.role, "content": m.content} for m in request.messages] for request in requests]
        outputs = self._llm.chat(
            turns, sampling, use_tqdm=False, chat_template_kwargs={"enable_thinking": False}
        )
        return outputs

    def _prompt(self, request: ChatRequest) -> list[int]:
        tokens = _local.prompt_tokens(self._llm.get_tokenizer(), request)
        _local.require_prompt(request, tokens)
        return tokens

    def _parameters(self, request: ChatRequest) -> Any:
        constraint: dict[str, Any] | None = None
        if request.choices:
            constraint = {"choice": list(request.choices)}
        elif request.schema is not None:
            constraint = {"json": dict(request.schema)}
        return self._sampling.SamplingParams(
            max_tokens=1 if request.choices or request.scored else request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            # Twice the choices leaves room for tokens that only begin a choice, or spell it in bytes.
            logprobs=min(2 * len(request.choices), _MAX_LOGPROBS) if request.choices else None,
            prompt_logprobs=0 if request.scored else None,  # that of the token which is there, no other
            structured_outputs=self._sampling.StructuredOutputsParams(**constraint) if constraint else None,
        )

    def _read(self, request: ChatRequest, text: Sequence[int], output: Any) -> ChatReply:
        answer = output.outputs[0]
        usage = Usage(len(output.prompt_token_ids), len(answer.token_ids), output.num_cached_tokens or 0)
        finish_reason = answer.finish_reason or ""
        if request.scored:
            at = len(output.prompt_token_ids) - len(text)
            told = [output.prompt_logprobs[at + place][token].logprob for place, token in enumerate(text)]
            return scored_reply(told, finish_reason, usage)
        if request.choices:
            first = answer.logprobs[0] if answer.logprobs else {}
            tokens = [(entry.decoded_token or "", entry.logprob) for entry in first.values()]
            return choice_reply(request, answer.text, tokens, finish_reason, usage)
        return text_reply(request, answer.text, finish_reason, usage)
