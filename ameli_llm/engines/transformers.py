"""Engine "transformers": a model in this process, on the CPU, in full precision."""

from __future__ import annotations

import copy
import json
import logging
import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ameli_llm.config import EngineConfig
from ameli_llm.engines import _canary, _local
from ameli_llm.engines._reply import choice_reply, engine_error, text_reply
from ameli_llm.engines.engine import ChatReply, ChatRequest
from ameli_llm.errors import AmeliError
from ameli_llm.types import Progress, Usage, no_progress

logger = logging.getLogger(__name__)


def create(config: EngineConfig, progress: Progress = no_progress) -> Transformers:
    """The engine with ``config.model`` loaded: a known model, a hub name, or a folder with safetensors.

    Raises MissingDependencyError, and AmeliError when the model cannot be loaded.
    """
    return Transformers(config, progress)


class Transformers:
    """Chat with a causal language model through transformers and xgrammar.

    Choices are scored exactly: the log-probability of a choice is the sum over its tokens, each given the
    prompt and those before; choices of several tokens are welcome. Every request is scored alone, so that a
    reply does not depend on its batch. Generation is greedy and batched with left padding; with
    ``temperature`` above 0 each request is sampled alone from its own seed. Models that have no chat template
    get the messages joined by blank lines. ``config.timeout`` does not apply.
    """

    name = "transformers"
    origin = name
    batch_size = 8
    workers = 1

    def __init__(self, config: EngineConfig, progress: Progress = no_progress) -> None:
        self.model = _local.model_name(config)
        source = _local.weights(self.model, progress)
        self._torch = _local.package("torch", "transformers")
        self._hf = _local.package("transformers", "transformers")
        self._xgrammar = _local.package("xgrammar", "transformers")
        self._hf.utils.logging.disable_progress_bar()
        try:
            self._tokenizer = self._hf.AutoTokenizer.from_pretrained(
                source, padding_side="left", trust_remote_code=False
            )
            self._network = self._hf.AutoModelForCausalLM.from_pretrained(
                source, dtype=self._torch.float32, use_safetensors=True, trust_remote_code=False
            ).eval()
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise _local.cannot_load(config, error) from error
        self._end = _end_tokens(self._network, self._tokenizer)
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.convert_ids_to_tokens(self._end[0])
        # The folder's own sampling defaults (repetition penalty, top_k) would change what was asked for.
        self._network.generation_config = self._hf.GenerationConfig()
        vocabulary = self._network.get_output_embeddings().weight.shape[0]
        self._compiler = self._xgrammar.GrammarCompiler(
            self._xgrammar.TokenizerInfo.from_huggingface(
                self._tokenizer, vocab_size=vocabulary, stop_token_ids=self._end
            )
        )
        commit = getattr(self._network.config, "_commit_hash", None)
        build = f"transformers-{self._hf.__version__}-float32"
        self.revision = _local.revision(source, commit, build)
        self._lock = threading.Lock()

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One reply per request, in order."""
        replies: dict[int, ChatReply] = {}
        batches: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            alone = index if request.choices or request.temperature > 0 else None
            batches[request.max_tokens, request.schema is None, alone].append(index)
        for batch in batches.values():
            members = [requests[index] for index in batch]
            replies.update(zip(batch, self._answer(members), strict=True))
        return [replies[index] for index in range(len(requests))]

    def canary(self) -> None:
        """Asks for a choice and for a JSON object. Raises AmeliError."""
        _canary.check(self, f"The model {self.model!r}", "Its tokenizer or chat template does not fit.")

    def close(self) -> None:
        """Drops the model; later requests are engine errors."""
        with self._lock:
            self._network = None

    def _answer(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """Replies to requests that go together; when a batch fails, each of them is tried alone."""
        try:
            with self._lock, self._torch.inference_mode():
                if self._network is None:
                    return [engine_error("the engine transformers is closed") for _ in requests]
                prompts = [self._encode(request) for request in requests]
                if requests[0].choices:
                    return [self._choose(requests[0], prompts[0])]
                return self._write(requests, prompts)
        except Exception as error:  # chat templates and models raise whatever they like
            logger.debug("batch of %d failed", len(requests), exc_info=True)
            if len(requests) > 1:
                return [reply for request in requests for reply in self._answer([request])]
            return [
                engine_error(error if isinstance(error, AmeliError) else f"{type(error).__name__}: {error}")
            ]

    def _encode(self, request: ChatRequest) -> list[int]:
        tokenizer = self._tokenizer
        if request.completion:
            text, special = request.messages[-1].content, True
        elif tokenizer.chat_template is None:
            text, special = "\n\n".join(message.content for message in request.messages), True
        else:
            turns = [{"role": message.role, "content": message.content} for message in request.messages]
            text, special = (
                tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
                ),
                False,
            )
        prompt: list[int] = tokenizer(text, add_special_tokens=special)["input_ids"]
        longest = getattr(self._network.config, "max_position_embeddings", None)
        if longest is not None and len(prompt) + request.max_tokens > longest:
            raise AmeliError(
                f"prompt of {len(prompt)} tokens and max_tokens={request.max_tokens} exceed the model's "
                f"{longest}"
            )
        return prompt

    def _choose(self, request: ChatRequest, prompt: list[int]) -> ChatReply:
        state = self._generate([prompt], max_new_tokens=1)
        first = self._torch.log_softmax(state.logits[0][0].float(), dim=-1)
        scores = [
            (
                choice,
                self._score(self._tokenizer(choice, add_special_tokens=False)["input_ids"], first, state),
            )
            for choice in request.choices
        ]
        best = max(scores, key=lambda pair: pair[1])[0]
        return choice_reply(request, best, scores, "stop", Usage(prompt=len(prompt), completion=1))

    def _score(self, tokens: list[int], first: Any, state: Any) -> float:
        """Log-probability of ``tokens`` after the prompt, whose next token's are ``first``."""
        score = float(first[tokens[0]])
        if len(tokens) > 1:
            past = copy.deepcopy(state.past_key_values)  # a forward pass extends it in place
            inputs = self._torch.tensor([tokens[:-1]])
            logits = self._network(input_ids=inputs, past_key_values=past).logits[0].float()
            following = self._torch.log_softmax(logits, dim=-1)
            score += sum(float(following[place, token]) for place, token in enumerate(tokens[1:]))
        return score

    def _write(self, requests: Sequence[ChatRequest], prompts: Sequence[list[int]]) -> list[ChatReply]:
        request = requests[0]
        options: dict[str, Any] = {"max_new_tokens": request.max_tokens}
        if request.temperature > 0:
            options |= {
                "do_sample": True,
                "temperature": request.temperature,
                "top_p": request.top_p,
                "top_k": 0,
            }
        if request.schema is not None:
            grammars = [self._grammar(member) for member in requests]
            options["logits_processor"] = [self._xgrammar.contrib.hf.LogitsProcessor(grammars)]
        with self._torch.random.fork_rng(devices=[]):
            self._torch.manual_seed(request.seed)
            written = self._generate(prompts, **options).sequences[:, max(map(len, prompts)) :].tolist()
        return [self._read(*row) for row in zip(requests, prompts, written, strict=True)]

    def _read(self, request: ChatRequest, prompt: list[int], tokens: list[int]) -> ChatReply:
        ends = [place for place, token in enumerate(tokens) if token in self._end]
        length = ends[0] + 1 if ends else len(tokens)
        text = self._tokenizer.decode(tokens[:length], skip_special_tokens=True)
        usage = Usage(prompt=len(prompt), completion=length)
        return text_reply(request, text, "stop" if ends else "length", usage)

    def _grammar(self, request: ChatRequest) -> Any:
        # Free white space would let a weak model write nothing else until max_tokens.
        return self._compiler.compile_json_schema(
            json.dumps(request.schema), any_whitespace=False, separators=(",", ":")
        )

    def _generate(self, prompts: Sequence[list[int]], **options: Any) -> Any:
        batch = self._tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt")
        options = {
            "do_sample": False,
            "pad_token_id": self._tokenizer.pad_token_id,
            "eos_token_id": self._end,
        } | options
        return self._network.generate(
            **batch, return_dict_in_generate=True, output_logits=options["max_new_tokens"] == 1, **options
        )


def _end_tokens(network: Any, tokenizer: Any) -> list[int]:
    named = network.generation_config.eos_token_id
    ends = [named] if isinstance(named, int) else list(named or [])
    if tokenizer.eos_token_id is not None:
        ends.append(tokenizer.eos_token_id)
    if not ends:
        raise AmeliError("The model's tokenizer names no end-of-text token.", hint="Use another model.")
    return sorted(set(ends))
