"""Engine "transformers": a model in this process, on the CPU."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ameli_llm.config import EngineConfig
from ameli_llm.engines import _canary, _local
from ameli_llm.engines._context import excess
from ameli_llm.engines._reply import choice_reply, engine_error, scored_reply, text_reply
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.errors import AmeliError
from ameli_llm.machine import computes_in_bfloat16
from ameli_llm.types import Progress, Usage, no_progress

if TYPE_CHECKING:
    from ameli_llm.engines._network import Network

logger = logging.getLogger(__name__)

_Answer: TypeAlias = Callable[["Network", Sequence[ChatRequest], Sequence[list[int]]], list[ChatReply]]


def create(config: EngineConfig, progress: Progress = no_progress) -> Transformers:
    """The engine with ``config.model`` loaded: a known model, a hub name, or a folder with safetensors.

    Raises MissingDependencyError, and AmeliError when the model cannot be loaded.
    """
    return Transformers(config, progress)


class Transformers:
    """Chat with a causal language model through transformers and xgrammar.

    Choices are scored exactly: the log-probability of a choice is the sum over its tokens, each given the
    prompt and those before; choices of several tokens are welcome. Beginnings that prompts share are computed
    once and replies written side by side, so that a sum is rounded by what else is in the call. In float32
    log-probabilities of choices agree within 1e-4 whatever the neighbours, and greedy texts do but for ties.
    In bfloat16, which "auto" takes where the CPU has it, log-probabilities of a small model move by 0.03 on
    average and up to 0.2, and a choice or a text changes where two are as likely as that: float32 is for a
    run that has to end the same although it was interrupted. The same call gives the same bits again. With
    ``temperature`` above 0 each request is sampled from its own seed. Models that have no chat template get
    the messages joined by blank lines. ``config.timeout`` does not apply.
    """

    name = "transformers"
    origin = name
    batch_size = 16
    workers = 1

    def __init__(self, config: EngineConfig, progress: Progress = no_progress) -> None:
        self.model = _local.model_name(config)
        source = _local.weights(self.model, progress)
        self._torch = _local.package("torch", "transformers")
        hf = _local.package("transformers", "transformers")
        _local.package("xgrammar", "transformers")
        from ameli_llm.engines._network import Network
        from ameli_llm.engines._writers import Grammars

        hf.utils.logging.disable_progress_bar()
        bfloat16 = computes_in_bfloat16() if config.dtype == "auto" else config.dtype == "bfloat16"
        dtype = "bfloat16" if bfloat16 else "float32"
        try:
            self._tokenizer = hf.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            network = hf.AutoModelForCausalLM.from_pretrained(
                source, dtype=getattr(self._torch, dtype), use_safetensors=True, trust_remote_code=False
            ).eval()
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise _local.cannot_load(config, error) from error
        self._end = _end_tokens(network, self._tokenizer)
        self._network: Network | None = Network(network)
        self._context = self._network.context
        self._grammars = Grammars(self._tokenizer, self._network.vocabulary, self._end)
        commit = getattr(network.config, "_commit_hash", None)
        self.revision = _local.revision(source, commit, f"transformers-{hf.__version__}-{dtype}")
        self._lock = threading.Lock()

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One reply per request, in order. A request that the model cannot take does not fail the others."""
        replies: dict[int, ChatReply] = {}
        choosing: dict[int, list[int]] = {}
        writing: dict[int, list[int]] = {}
        scoring: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            try:
                prompt = _local.prompt_tokens(self._tokenizer, request)
                text = _local.scored_tokens(self._tokenizer, request)
                _local.require_prompt(request, prompt)
                self._check_length(request, len(prompt) + len(text))
            except Exception as error:  # chat templates raise whatever they like
                replies[index] = _failed(error)
            else:
                kind = scoring if request.scored else choosing if request.choices else writing
                kind[index] = prompt
        ways = ((choosing, self._choose), (writing, self._write), (scoring, self._score))
        for prompts, answer in ways:
            members = [requests[index] for index in prompts]
            answers = self._answer(answer, members, list(prompts.values()))
            replies.update(zip(prompts, answers, strict=True))
        return [replies[index] for index in range(len(requests))]

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        """By how many tokens each prompt and its reply exceed what the model has positions for."""
        return excess(requests, self._context, self.count)

    def count(self, requests: Sequence[ChatRequest]) -> list[int]:
        """Tokens of each prompt; 0 for one that the chat template refuses."""
        return _local.prompt_lengths(self._tokenizer, requests)

    def canary(self) -> None:
        """Asks for a choice and for a JSON object. Raises AmeliError."""
        _canary.check(self, f"The model {self.model!r}", "Its tokenizer or chat template does not fit.")

    def close(self) -> None:
        """Drops the model; later requests are engine errors."""
        with self._lock:
            self._network = None

    def _answer(
        self, answer: _Answer, requests: Sequence[ChatRequest], prompts: Sequence[list[int]]
    ) -> list[ChatReply]:
        """Replies to requests that go together; when a batch fails, each of them is tried alone."""
        if not requests:
            return []
        try:
            with self._lock, self._torch.inference_mode():
                if self._network is None:
                    return [engine_error("the engine transformers is closed") for _ in requests]
                return answer(self._network, requests, prompts)
        except Exception as error:  # models raise whatever they like
            logger.debug("batch of %d failed", len(requests), exc_info=True)
            if len(requests) > 1:
                pairs = zip(requests, prompts, strict=True)
                return [reply for one, prompt in pairs for reply in self._answer(answer, [one], [prompt])]
            return [_failed(error)]

    def _check_length(self, request: ChatRequest, length: int) -> None:
        if self._context is not None and length + request.max_tokens > self._context:
            raise AmeliError(
                f"prompt of {length} tokens and max_tokens={request.max_tokens} exceed the model's "
                f"{self._context}"
            )

    def _choose(
        self, network: Network, requests: Sequence[ChatRequest], prompts: Sequence[list[int]]
    ) -> list[ChatReply]:
        """Each choice's log-probability, from what follows the prompt and every beginning of the choice."""
        spelt = [[tuple(self._tokens(choice)) for choice in request.choices] for request in requests]
        steps: dict[tuple[int, tuple[int, ...]], dict[int, float]] = {}
        for at, choices in enumerate(spelt):
            for tokens in choices:
                for place, token in enumerate(tokens):
                    steps.setdefault((at, tokens[:place]), {})[token] = 0.0
        nexts = list(steps.values())
        for place, logits in network.following([[*prompts[at], *said] for at, said in steps]):
            logprobs = logits.log_softmax(dim=-1)
            nexts[place].update((token, float(logprobs[token])) for token in nexts[place])
        replies = []
        for at, request in enumerate(requests):
            scores = [
                (choice, sum(steps[at, tokens[:place]][token] for place, token in enumerate(tokens)))
                for choice, tokens in zip(request.choices, spelt[at], strict=True)
            ]
            best = max(scores, key=lambda pair: pair[1])[0]
            usage = Usage(prompt=len(prompts[at]), completion=1)
            replies.append(choice_reply(request, best, scores, "stop", usage))
        return replies

    def _tokens(self, choice: str) -> list[int]:
        tokens: list[int] = self._tokenizer(choice, add_special_tokens=False)["input_ids"]
        return tokens

    def _score(
        self, network: Network, requests: Sequence[ChatRequest], prompts: Sequence[list[int]]
    ) -> list[ChatReply]:
        texts = [_local.scored_tokens(self._tokenizer, request) for request in requests]
        told: list[list[float]] = [[] for _ in requests]
        some = [at for at, text in enumerate(texts) if text]
        for place, logprobs in network.logprobs([prompts[at] for at in some], [texts[at] for at in some]):
            told[some[place]] = logprobs
        return [
            scored_reply(logprobs, "stop", Usage(prompt=len(prompt) + len(text)))
            for logprobs, prompt, text in zip(told, prompts, texts, strict=True)
        ]

    def _write(
        self, network: Network, requests: Sequence[ChatRequest], prompts: Sequence[list[int]]
    ) -> list[ChatReply]:
        writers = [self._grammars.writer(request, self._end) for request in requests]
        written = network.write(prompts, writers, [request.max_tokens for request in requests])
        return [self._read(*row) for row in zip(requests, prompts, written, strict=True)]

    def _read(self, request: ChatRequest, prompt: list[int], tokens: list[int]) -> ChatReply:
        ended = tokens[-1] in self._end
        text = self._tokenizer.decode(tokens, skip_special_tokens=True)
        usage = Usage(prompt=len(prompt), completion=len(tokens))
        return text_reply(request, text, "stop" if ended else "length", usage)


def _failed(error: Exception) -> ChatReply:
    return engine_error(error if isinstance(error, AmeliError) else f"{type(error).__name__}: {error}")


def _end_tokens(network: Any, tokenizer: Any) -> list[int]:
    named = network.generation_config.eos_token_id
    ends = [named] if isinstance(named, int) else list(named or [])
    if tokenizer.eos_token_id is not None:
        ends.append(tokenizer.eos_token_id)
    if not ends:
        raise AmeliError("The model's tokenizer names no end-of-text token.", hint="Use another model.")
    return sorted(set(ends))
