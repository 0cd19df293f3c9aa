"""Replies of an OpenAI-style server, checked and bounded field by field: its answer is untrusted input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from ameli_llm.engines._http import RefusedReplyError
from ameli_llm.engines.engine import ChatRequest
from ameli_llm.types import Usage

_PRINTABLE = r"^\P{C}*$"  # neither control nor invisible characters: these texts get printed
_Name = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=_PRINTABLE)]
_Root = Annotated[str, StringConstraints(max_length=4096, pattern=_PRINTABLE)]
_Word = Annotated[str, StringConstraints(max_length=64, pattern=_PRINTABLE)]
_Tokens = Annotated[int, Field(ge=0, le=100_000_000)]
_LogProb = Annotated[float, Field(le=0.01, allow_inf_nan=False)]  # 0 and what rounding adds
_MOST_CHOICES = 8  # one is asked for, of one position
_MOST_TOKENS = 512
_LONGEST_PROMPT = 1_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What the protocol engine reads of a reply.

    ``tokens`` are the first position's top tokens, ``scored`` the log-probabilities of a text that was sent.
    """

    text: str
    finish_reason: str
    usage: Usage
    tokens: tuple[tuple[str, float], ...] = ()
    scored: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """A served model: where it comes from (name or folder), and its context in tokens, None if not said."""

    root: str
    context: int | None


class _TokensDetails(BaseModel):
    cached_tokens: _Tokens | None = None


class _Usage(BaseModel):
    prompt_tokens: _Tokens = 0
    completion_tokens: _Tokens = 0
    prompt_tokens_details: _TokensDetails | None = None

    def read(self) -> Usage:
        details = self.prompt_tokens_details
        cached = (details.cached_tokens if details else None) or 0
        return Usage(prompt=self.prompt_tokens, completion=self.completion_tokens, cached=cached)


class _Token(BaseModel):
    token: str
    logprob: _LogProb


class _Position(BaseModel):
    top_logprobs: list[_Token] | None = Field(None, max_length=_MOST_TOKENS)


class _ChatLogprobs(BaseModel):
    content: list[_Position] | None = Field(None, max_length=_MOST_CHOICES)


class _ChatMessage(BaseModel):
    content: str | None = None


class _ChatChoice(BaseModel):
    message: _ChatMessage
    finish_reason: _Word | None = None
    logprobs: _ChatLogprobs | None = None


class _Chat(BaseModel):
    choices: list[_ChatChoice] = Field(min_length=1, max_length=_MOST_CHOICES)
    usage: _Usage | None = None


_TopTokens = Annotated[dict[str, _LogProb], Field(max_length=_MOST_TOKENS)]


class _TextLogprobs(BaseModel):
    top_logprobs: list[_TopTokens | None] | None = Field(None, max_length=_MOST_CHOICES)


class _TextChoice(BaseModel):
    text: str
    finish_reason: _Word | None = None
    logprobs: _TextLogprobs | None = None


class _Text(BaseModel):
    choices: list[_TextChoice] = Field(min_length=1, max_length=_MOST_CHOICES)
    usage: _Usage | None = None


class _Told(BaseModel):
    logprob: _LogProb


class _ScoredChoice(BaseModel):
    finish_reason: _Word | None = None
    prompt_logprobs: list[dict[int, _Told] | None] = Field(max_length=_LONGEST_PROMPT)


class _Scored(BaseModel):
    choices: list[_ScoredChoice] = Field(min_length=1, max_length=1)
    usage: _Usage | None = None


class _Model(BaseModel):
    id: _Name
    root: _Root | None = None
    max_model_len: Annotated[int, Field(ge=1)] | None = None


class _Models(BaseModel):
    data: list[_Model] = Field(max_length=10_000)


class _Tokenized(BaseModel):
    count: _Tokens


class _Spelt(BaseModel):
    tokens: list[_Tokens] = Field(max_length=_LONGEST_PROMPT)


class _Version(BaseModel):
    version: _Word


def read_chat(body: str) -> Answer:
    """The answer in a /v1/chat/completions reply. Raises pydantic's ValidationError."""
    reply = _Chat.model_validate_json(body)
    choice = reply.choices[0]
    positions = (choice.logprobs.content if choice.logprobs else None) or [_Position()]
    tokens = tuple((top.token, top.logprob) for top in positions[0].top_logprobs or ())
    return _answer(choice.message.content, choice.finish_reason, reply.usage, tokens)


def read_completion(body: str) -> Answer:
    """The answer in a /v1/completions reply. Raises pydantic's ValidationError."""
    reply = _Text.model_validate_json(body)
    choice = reply.choices[0]
    positions = (choice.logprobs.top_logprobs if choice.logprobs else None) or [None]
    return _answer(choice.text, choice.finish_reason, reply.usage, tuple((positions[0] or {}).items()))


def read_scored(text: Sequence[int], body: str) -> Answer:
    """What a /v1/completions reply says of the last tokens of its prompt, which are ``text``.

    Raises pydantic's ValidationError, and RefusedReplyError when it says nothing of one of them.
    """
    reply = _Scored.model_validate_json(body)
    choice = reply.choices[0]
    places = choice.prompt_logprobs[max(0, len(choice.prompt_logprobs) - len(text)) :]
    pairs = zip(text, places, strict=False)
    scored = tuple(told[token].logprob for token, told in pairs if told and token in told)
    if len(scored) != len(text):
        raise RefusedReplyError("the reply has no log-probability for a token of the text")
    usage = (reply.usage or _Usage()).read()
    return Answer("", choice.finish_reason or "", usage, scored=scored)


def way(request: ChatRequest) -> tuple[str, Callable[[str], Answer]]:
    """The path to which a request goes, and how its answer is read."""
    return ("/completions", read_completion) if request.completion else ("/chat/completions", read_chat)


def read_models(body: str) -> dict[str, Model]:
    """Served models by name. Raises pydantic's ValidationError."""
    return {
        model.id: Model(model.root or model.id, model.max_model_len)
        for model in _Models.model_validate_json(body).data
    }


def read_count(body: str) -> int:
    """The number of tokens in a vLLM server's /tokenize reply. Raises pydantic's ValidationError."""
    return _Tokenized.model_validate_json(body).count


def read_tokens(body: str) -> list[int]:
    """The tokens in a vLLM server's /tokenize reply. Raises pydantic's ValidationError."""
    return _Spelt.model_validate_json(body).tokens


def read_version(body: str) -> str:
    """The version in a vLLM server's /version reply. Raises pydantic's ValidationError."""
    return _Version.model_validate_json(body).version


def _answer(
    text: str | None, finish_reason: _Word | None, usage: _Usage | None, tokens: tuple[tuple[str, float], ...]
) -> Answer:
    return Answer(text or "", finish_reason or "", (usage or _Usage()).read(), tokens)
