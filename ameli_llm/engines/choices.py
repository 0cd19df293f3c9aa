"""Closed answers: one-token labels, and log-probabilities normalised over them."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Mapping, Sequence

from ameli_llm.errors import AmeliError

MASKED = -9999.0
"""Log-probability of a token that the constraint forbids, as vLLM reports it; floor of every value here."""

LETTERS = string.ascii_uppercase + string.ascii_lowercase


def labels(count: int) -> tuple[str, ...]:
    """``count`` labels A to Z, then a to z: one token each in the tokenizers of instruction models.

    Raises AmeliError above 52. vLLM gives log-probabilities of 20 tokens unless it was started with a larger
    ``--max-logprobs``: more than 20 labels need that.
    """
    if not 0 <= count <= len(LETTERS):
        raise AmeliError(
            f"{count} choices asked for; there are one-letter labels for at most {len(LETTERS)}.",
            hint="Lower retrieval.candidates.",
        )
    return tuple(LETTERS[:count])


def normalise(logprobs: Mapping[str, float]) -> dict[str, float]:
    """Log-softmax over the choices: the exponentials add up to 1. Finite, at least ``MASKED``; order kept."""
    if not logprobs:
        return {}
    finite = {choice: max(MASKED, value) for choice, value in logprobs.items()}
    highest = max(finite.values())
    total = highest + math.log(math.fsum(math.exp(value - highest) for value in finite.values()))
    return {choice: max(MASKED, value - total) for choice, value in finite.items()}


def from_tokens(choices: Sequence[str], tokens: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Normalised log-probabilities of the choices, read off the first position's (token, log-probability).

    Tokens with the same text ("A" and its byte token) add up. Forbidden tokens are passed over, and a choice
    that is no single token is missing from the result, which is then normalised over the rest: compare the
    lengths before use.
    """
    weights: dict[str, list[float]] = {}
    for token, logprob in tokens:
        if token in choices and logprob > MASKED:
            weights.setdefault(token, []).append(logprob)
    return normalise({choice: _logsumexp(weights[choice]) for choice in choices if choice in weights})


def _logsumexp(values: Sequence[float]) -> float:
    highest = max(values)
    return highest + math.log(math.fsum(math.exp(value - highest) for value in values))
