"""The loop of ``ameli-llm watch``: a baseline, then each saved version against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ameli_llm.errors import AmeliError
from ameli_llm.prompting.lint import Finding
from ameli_llm.types import Progress
from eval.watching.drafts import Draft, examined
from eval.watching.trials import Change, Trial, Trials


@dataclass(frozen=True)
class Step:
    """A version that was saved, ``number`` 0 for the baseline.

    ``findings`` are what lint says of it. ``trial`` is None when it cannot be sent, or when linking ended
    with an ``error``; ``change`` is against the baseline, None for the baseline itself.
    """

    number: int
    findings: tuple[Finding, ...] = ()
    trial: Trial | None = None
    change: Change | None = None
    error: str = ""


def watch(
    trials: Trials, read: Callable[[], Draft], saves: Iterable[object], progress: Progress
) -> Iterator[Step]:
    """Links the draft that ``read`` gives first and, after each of ``saves``, the one that it gives then.

    A save that changed nothing gives no step. Raises AmeliError when there is no engine or no gold, and
    when the first version cannot be linked; of a later one the step says why.
    """
    if trials.config.engine.name == "none":
        raise AmeliError("Without an engine no template is sent.", hint="Give --engine and --model.")
    if not trials.split.gold:
        raise AmeliError(
            f"The reviews of split {trials.split.name!r} have no gold: nothing of them is right or wrong.",
            hint="Choose another --split.",
        )
    draft = read()
    seen = (draft, examined(draft, trials.prompts))
    baseline = trials.link(draft, progress)
    yield Step(0, seen[1].findings, baseline)
    number = 0
    for _ in saves:
        try:
            draft = read()
            now = (draft, examined(draft, trials.prompts))
        except AmeliError as error:
            yield Step(number, error=str(error))
            continue
        if now == seen:
            continue
        seen, number = now, number + 1
        findings = now[1].findings
        if not now[1].identity:
            yield Step(number, findings)
            continue
        try:
            trial = trials.link(draft, progress)
            yield Step(number, findings, trial, Change.of(baseline, trial))
        except AmeliError as error:
            yield Step(number, findings, error=str(error))
