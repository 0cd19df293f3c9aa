"""Exercises as token sequences: the beginning that their prompts share once, then each prompt's rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ameli_llm.engines.engine import ChatRequest
from ameli_llm.instruction.exercises import Example, Exercise

_SHARED = -1


class Chat(Protocol):
    """A tokenizer of transformers with a chat template."""

    eos_token: Any

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
        """The prompt as text."""

    def __call__(self, text: str, **options: Any) -> Any:
        """``input_ids`` of a text."""


@dataclass(frozen=True, slots=True)
class Packed:
    """An exercise of T tokens in which each example sees the shared beginning and itself only.

    ``tokens``, ``positions`` and ``branches`` [T]; a branch is the number of an example, -1 for what all
    share. ``targets`` [n, 3]: the output at this place has to be this token, for this example.
    """

    tokens: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    branches: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    examples: int

    @property
    def visible(self) -> npt.NDArray[np.bool_]:
        """[T, T]: whether the token of a row may look at that of a column."""
        own = self.branches[:, None] == self.branches[None, :]
        shared = self.branches[None, :] == _SHARED
        before = np.tri(len(self.tokens), dtype=np.bool_)
        visible: npt.NDArray[np.bool_] = before & (own | shared)
        return visible


def pack(exercise: Exercise, chat: Chat, longest: int) -> Packed | None:
    """The exercise in tokens, as many of its examples as fit in ``longest``; None when not one does."""
    prompts = [prompt_tokens(example.request, chat) for example in exercise.examples]
    replies = [_reply_tokens(example, chat) for example in exercise.examples]
    shared = _common(prompts)
    tokens, positions = list(prompts[0][:shared]), list(range(shared))
    branches = [_SHARED] * shared
    targets: list[tuple[int, int, int]] = []
    count = 0
    for prompt, reply in zip(prompts, replies, strict=True):
        rest = prompt[shared:] + reply[:-1]
        if len(tokens) + len(rest) > longest:
            continue
        first = len(tokens) + len(prompt) - shared - 1
        targets += [(first + at, token, count) for at, token in enumerate(reply)]
        tokens += rest
        positions += range(shared, shared + len(rest))
        branches += [count] * len(rest)
        count += 1
    if not count:
        return None
    return Packed(
        np.array(tokens, dtype=np.int64),
        np.array(positions, dtype=np.int64),
        np.array(branches, dtype=np.int64),
        np.array(targets, dtype=np.int64),
        count,
    )


def prompt_tokens(request: ChatRequest, chat: Chat) -> list[int]:
    """The request as the engines hand it to the model: its messages through the chat template."""
    turns = [{"role": message.role, "content": message.content} for message in request.messages]
    text = chat.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    tokens: list[int] = chat(text, add_special_tokens=False)["input_ids"]
    return tokens


def _reply_tokens(example: Example, chat: Chat) -> list[int]:
    """The answer; one that is written, not chosen, ends where the model has to stop."""
    text = example.answer if example.request.choices else example.answer + str(chat.eos_token)
    tokens: list[int] = chat(text, add_special_tokens=False)["input_ids"]
    return tokens


def _common(rows: Sequence[Sequence[int]]) -> int:
    """Length of the beginning that all rows share; each keeps a token of its own."""
    most = min(len(row) for row in rows) - 1
    first = rows[0]
    return next((at for at in range(most) if any(row[at] != first[at] for row in rows)), most)
