"""What every engine takes and gives: a batch of chat requests in, a reply for each out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ameli_llm.types import Failure, Usage


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. ``role`` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat with its constraint: a JSON schema, or a closed list of choices, or neither.

    With ``choices`` the reply is one of them by construction and carries a log-probability for each.
    ``completion`` asks for a plain completion of the last message, without a chat template (the paper's
    GPT-2 form). ``scored`` asks for nothing new: the last message is the assistant's, and the reply says how
    likely it is after the others. ``template`` is the identity of the template behind the messages.
    """

    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None = None
    choices: tuple[str, ...] = ()
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    completion: bool = False
    scored: bool = False
    template: str = ""


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A model's answer, or why there is none.

    ``choice_logprobs`` maps every choice to its natural log-probability, normalised over the choices.
    ``logprob`` is that of the text of a request that was ``scored``: the sum over its tokens, each given all
    before it.
    ``finish_reason`` is "stop" or "length" or what the server said. ``failure`` is set when no reply came
    (engine error) or it was cut off, empty or outside the constraint (invalid output). ``seconds`` until it
    was there, its share where several requests were computed together; 0 for one from the reply cache.
    """

    text: str = ""
    choice_logprobs: Mapping[str, float] | None = None
    usage: Usage = Usage()
    finish_reason: str = ""
    failure: Failure | None = None
    logprob: float | None = None
    seconds: float | None = field(default=None, compare=False)
    from_cache: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the part ``asked_by`` (an extractor or comparator) asked about a review, and what came back."""

    asked_by: str
    request: ChatRequest
    reply: ChatReply


class Engine(Protocol):
    """A served or in-process instruction model."""

    @property
    def name(self) -> str:
        """The file name of the module."""

    @property
    def origin(self) -> str:
        """Who answers, part of every cache key: a server's address, or ``name`` for one in this process."""

    @property
    def model(self) -> str:
        """Model name or path as asked for."""

    @property
    def revision(self) -> str:
        """What identifies the weights behind the name, part of every cache key; "" when unknown."""

    @property
    def batch_size(self) -> int:
        """How many reviews the linker should hand over at once."""

    @property
    def workers(self) -> int:
        """How many such batches the linker may run at the same time, from as many threads."""

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One reply per request, in order. Thread-safe. Failures come back as replies, never raised."""

    def excess(self, requests: Sequence[ChatRequest]) -> list[int]:
        """By how many tokens each prompt and its reply exceed the model's context; 0: they fit, or unknown.

        Thread-safe, and never raises: whatever is wrong with the engine is what ``chat`` will say.
        """

    def canary(self) -> None:
        """Asks a question with a known answer before a run. Raises AmeliError when it fails."""

    def close(self) -> None:
        """Frees connections and memory; idempotent."""


@runtime_checkable
class CountsTokens(Protocol):
    """An engine that can tell how long a prompt is before it is sent."""

    def count(self, requests: Sequence[ChatRequest]) -> list[int]:
        """Tokens of each prompt, chat template included. Raises AmeliError where it cannot be told."""
