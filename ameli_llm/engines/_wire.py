"""Replies of an OpenAI-style server, checked field by field: a server's answer is untrusted input."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, Field

from ameli_llm.types import Usage


@dataclass(frozen=True, slots=True)
class Answer:
    """What the protocol engine reads of a reply. ``tokens`` are the first position's top tokens."""

    text: str
    finish_reason: str
    usage: Usage
    tokens: tuple[tuple[str, float], ...]


class _TokensDetails(BaseModel):
    cached_tokens: int | None = Field(None, ge=0)


class _Usage(BaseModel):
    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)
    prompt_tokens_details: _TokensDetails | None = None

    def read(self) -> Usage:
        details = self.prompt_tokens_details
        cached = (details.cached_tokens if details else None) or 0
        return Usage(prompt=self.prompt_tokens, completion=self.completion_tokens, cached=cached)


class _Token(BaseModel):
    token: str
    logprob: float = Field(allow_inf_nan=False)


class _Position(BaseModel):
    top_logprobs: list[_Token] = []


class _ChatLogprobs(BaseModel):
    content: list[_Position] | None = None


class _ChatMessage(BaseModel):
    content: str | None = None


class _ChatChoice(BaseModel):
    message: _ChatMessage
    finish_reason: str | None = None
    logprobs: _ChatLogprobs | None = None


class _Chat(BaseModel):
    choices: list[_ChatChoice] = Field(min_length=1)
    usage: _Usage | None = None


class _TextLogprobs(BaseModel):
    top_logprobs: list[dict[str, float] | None] | None = None


class _TextChoice(BaseModel):
    text: str
    finish_reason: str | None = None
    logprobs: _TextLogprobs | None = None


class _Text(BaseModel):
    choices: list[_TextChoice] = Field(min_length=1)
    usage: _Usage | None = None


class _Model(BaseModel):
    id: str
    root: str | None = None


class _Models(BaseModel):
    data: list[_Model]


class _Version(BaseModel):
    version: str


def read_chat(body: str) -> Answer:
    """The answer in a /v1/chat/completions reply. Raises pydantic's ValidationError."""
    reply = _Chat.model_validate_json(body)
    choice = reply.choices[0]
    positions = (choice.logprobs.content if choice.logprobs else None) or [_Position()]
    tokens = tuple((top.token, top.logprob) for top in positions[0].top_logprobs)
    return _answer(choice.message.content, choice.finish_reason, reply.usage, tokens)


def read_completion(body: str) -> Answer:
    """The answer in a /v1/completions reply. Raises pydantic's ValidationError."""
    reply = _Text.model_validate_json(body)
    choice = reply.choices[0]
    positions = (choice.logprobs.top_logprobs if choice.logprobs else None) or [None]
    return _answer(choice.text, choice.finish_reason, reply.usage, tuple((positions[0] or {}).items()))


def read_models(body: str) -> dict[str, str]:
    """Served model names and where each comes from (name or folder). Raises pydantic's ValidationError."""
    return {model.id: model.root or model.id for model in _Models.model_validate_json(body).data}


def read_version(body: str) -> str:
    """The version in a vLLM server's /version reply. Raises pydantic's ValidationError."""
    return _Version.model_validate_json(body).version


def _answer(
    text: str | None, finish_reason: str | None, usage: _Usage | None, tokens: tuple[tuple[str, float], ...]
) -> Answer:
    return Answer(text or "", finish_reason or "", (usage or _Usage()).read(), tokens)
