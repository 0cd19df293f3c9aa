"""Why reviews failed: messages that differ in numbers, ids and quotations only are one kind."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ameli_llm.runs import PredictionRow
from ameli_llm.types import Link, State

FAILED = (State.INVALID_OUTPUT, State.ENGINE_ERROR)
"""States of a review that was not answered."""

COMMONEST = 3
"""Kinds that are printed."""

LONGEST = 160
"""Characters of a message that are kept."""

_VARIES = re.compile(
    r"""(?<!\w)(['"]).*?(?:\1(?!\w)|$)"""  # a quotation; long ones are cut before their end
    r"|\b(?=[\w-]*\d)[\w-]{8,}"  # an id
    r"|(?<!HTTP\ )(?<!\d)\d+"  # a number, but not the status of an answer
)


@dataclass(frozen=True, slots=True)
class FailureKind:
    """Failed reviews of one kind: their number in each run, and the commonest message of them."""

    state: str
    message: str
    reviews: tuple[int, ...]


def failure_kinds(*runs: Iterable[PredictionRow | Link]) -> list[FailureKind]:
    """The kinds of failures of the runs, most reviews first; ties by message."""
    found: defaultdict[tuple[str, str], list[Counter[str]]] = defaultdict(lambda: [Counter() for _ in runs])
    for number, rows in enumerate(runs):
        for row in rows:
            if row.state in FAILED:
                message = _shown(row.error or "no message")
                found[row.state.value, _VARIES.sub("#", message)][number][message] += 1
    kinds = [
        FailureKind(state, _commonest(messages), tuple(one.total() for one in messages))
        for (state, _), messages in found.items()
    ]
    return sorted(kinds, key=lambda kind: (-sum(kind.reviews), kind.message, kind.state))


def _commonest(messages: Iterable[Counter[str]]) -> str:
    total: Counter[str] = Counter()
    for one in messages:
        total.update(one)
    return min(total, key=lambda message: (-total[message], message))


def _shown(message: str) -> str:
    """One printable line: messages quote servers and models."""
    words = " ".join(message[: 10 * LONGEST].split())
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
