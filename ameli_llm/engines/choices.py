"""Closed answers: one-token labels, and log-probabilities normalised over them."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Mapping, Sequence

from ameli_llm.errors import AmeliError

MASKED = -9999.0
"""Log-probability of a token that the constraint forbids, as vLLM reports it; floor of every value here."""

SURE = 0.9
"""How likely a choice counts that was read from the text of a reply, which does not say how sure it is."""

LEAST = 0.01
"""How likely the choices must be together as the first token of a model that was not held to them; what is
less is a model that was about to say something else."""

_AROUND = string.whitespace + "\"'`*_.,:;()[]"
"""Signs around a choice that do not count where the model was not held to it."""

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
    return normalise(_added(choices, tokens))


def named(choices: Sequence[str], text: str) -> str | None:
    """The choice that ``text`` is, blanks, quotation marks and full stops around it apart; None: none is."""
    return next((one for one in (text.strip(), text.strip(_AROUND)) if one in choices), None)


def stated(choices: Sequence[str], chosen: str) -> dict[str, float]:
    """Log-probabilities where only the answer is known: ``SURE`` for it, the rest in equal shares."""
    others = len(choices) - 1
    rest = math.log((1 - SURE) / others) if others else 0.0
    return normalise({choice: math.log(SURE) if choice == chosen else rest for choice in choices})


def listed(choices: Sequence[str], tokens: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Normalised log-probabilities of the choices from the likeliest tokens of a model that was not held to
    them; empty when all choices together are less likely than ``LEAST``.

    Every token counts that ``named`` takes for a choice (" A" for A). A choice that is none of the tokens
    counts as the last of them: it is not more likely than that.
    """
    given = list(tokens)
    found = _added(choices, ((named(choices, token) or token, logprob) for token, logprob in given))
    if math.fsum(map(math.exp, found.values())) < LEAST:
        return {}
    last = min(logprob for _, logprob in given)
    return normalise({choice: found.get(choice, last) for choice in choices})


def _added(choices: Sequence[str], tokens: Iterable[tuple[str, float]]) -> dict[str, float]:
    weights: dict[str, list[float]] = {}
    for token, logprob in tokens:
        if token in choices and logprob > MASKED:
            weights.setdefault(token, []).append(logprob)
    return {choice: _logsumexp(weights[choice]) for choice in choices if choice in weights}


def _logsumexp(values: Sequence[float]) -> float:
    highest = max(values)
    return highest + math.log(math.fsum(math.exp(value - highest) for value in values))
