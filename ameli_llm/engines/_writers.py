"""Chooses the tokens of a reply: the likeliest or sampled ones, within a JSON schema where there is one."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from ameli_llm.engines.engine import ChatRequest
from ameli_llm.errors import MissingPackageError

try:
    import torch
    import xgrammar
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper
except ImportError as error:
    raise MissingPackageError("transformers", "transformers") from error


class TokenWriter:
    """Writes the reply to one request, until it chooses one of ``ends``.

    Sampling has a generator of its own from ``request.seed``, so that it does not depend on other requests.
    """

    def __init__(self, request: ChatRequest, ends: Collection[int], grammar: Any | None) -> None:
        self.done = False
        self._ends = ends
        self._matcher = None if grammar is None else xgrammar.GrammarMatcher(grammar)
        self._mask = (
            None if grammar is None else xgrammar.allocate_token_bitmask(1, grammar.tokenizer_info.vocab_size)
        )
        self._warpers: list[Any] = []
        self._generator = torch.Generator().manual_seed(request.seed)
        if request.temperature > 0:
            self._warpers.append(TemperatureLogitsWarper(request.temperature))
            if request.top_p < 1:
                self._warpers.append(TopPLogitsWarper(request.top_p))

    def choose(self, logits: torch.Tensor) -> int:
        """The next token. ``logits`` [1, vocabulary] are changed."""
        if self._matcher is not None:
            self._matcher.fill_next_token_bitmask(self._mask)
            xgrammar.apply_token_bitmask_inplace(logits, self._mask)
        token = self._sampled(logits) if self._warpers else int(logits.argmax())
        if self._matcher is not None:
            self._matcher.accept_token(token)
        self.done = token in self._ends
        return token

    def _sampled(self, logits: torch.Tensor) -> int:
        for warper in self._warpers:
            logits = warper(None, logits)
        return int(torch.multinomial(logits.softmax(dim=-1), 1, generator=self._generator))


class Grammars:
    """JSON schemas as what a model with this tokenizer may write."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: list[int]) -> None:
        self._compiler = xgrammar.GrammarCompiler(
            xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary, stop_token_ids=ends)
        )

    def writer(self, request: ChatRequest, ends: Collection[int]) -> TokenWriter:
        """A writer that keeps to the schema of ``request``, if it has one."""
        if request.schema is None:
            return TokenWriter(request, ends, None)
        # Free white space would let a weak model write nothing else until max_tokens.
        grammar = self._compiler.compile_json_schema(
            json.dumps(request.schema), any_whitespace=False, separators=(",", ":")
        )
        return TokenWriter(request, ends, grammar)
