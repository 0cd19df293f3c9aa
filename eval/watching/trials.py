"""Tries versions of templates on one sample, over one open index and model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ameli_llm.config import RunConfig
from ameli_llm.dataset.load import Dataset, Split
from ameli_llm.pipeline import Pipeline, open_pipeline
from ameli_llm.runs import RunFolder
from ameli_llm.templates.load import Template, load_template
from ameli_llm.types import Progress, State
from eval.experiment import Outcome, link_split
from eval.paired import RunComparison, compare_runs
from eval.sampling import sampled
from eval.watching.breaks import Break, largest_breaks
from eval.watching.drafts import Draft, laid_out, meaning
from eval.watching.placing import placed


@dataclass(frozen=True)
class Trial:
    """A version linked: its run, the ``requests`` that were sent for it now, and the ``seconds`` it took."""

    draft: Draft
    outcome: Outcome
    requests: int
    seconds: float

    @property
    def run(self) -> RunFolder:
        """The run folder."""
        return self.outcome.folder


@dataclass(frozen=True)
class Change:
    """What a trial fixed and broke of another one, and the largest of the breaks."""

    comparison: RunComparison
    breaks: tuple[Break, ...]

    @classmethod
    def of(cls, before: Trial, now: Trial) -> Change:
        """Raises AmeliError when the two share no review with gold."""
        comparison = compare_runs(before.run, now.run)
        broken = comparison.paired.answered.broken
        return cls(comparison, tuple(largest_breaks(before.run, now.run, broken)))


class Trials:
    """Links the same reviews with one version after another; each has a run folder of its own in ``out``.

    A stage whose inputs are those of an earlier version is taken from there. ``config`` is what each version
    is placed in, ``prompts`` the folder of the templates that it may include. ``pipeline`` must share index
    and engine with them, and stays the caller's.
    """

    def __init__(
        self, pipeline: Pipeline, config: RunConfig, split: Split, out: Path, prompts: Path | None = None
    ) -> None:
        self.pipeline = pipeline
        self.split = split
        self.prompts = prompts
        self.config = config
        self._out = out
        self._made: dict[str, Trial] = {}

    @contextmanager
    def variant(self, draft: Draft) -> Iterator[tuple[Pipeline, Template]]:
        """A pipeline that sends the draft, and the template of it. Raises AmeliError for an unsound one."""
        with laid_out(draft, self.prompts) as folder:
            template = load_template(draft.name, folder)
            yield self.pipeline.variant(placed(self.config, template), folder), template

    def link(self, draft: Draft, progress: Progress) -> Trial:
        """The draft's trial; of one that asks the very same as an earlier one, that one's, at no cost.

        Raises AmeliError when the draft is not sound, or when the model does not answer.
        """
        began, sent = time.monotonic(), self.pipeline.requests
        with self.variant(draft) as (variant, template):
            asked = meaning(template)
            if made := self._made.get(asked):
                return Trial(draft, made.outcome, 0, time.monotonic() - began)
            folder = self._out / f"{draft.name.replace('/', '.')}-{template.short_identity}"
            runs = [one.run.path for one in self._made.values()]
            outcome = link_split(variant, variant.dataset, self.split, folder, progress, reuse=runs)
        trial = Trial(draft, outcome, self.pipeline.requests - sent, time.monotonic() - began)
        if not any(kind.state == State.ENGINE_ERROR for kind in outcome.failures):
            self._made[asked] = trial
        return trial


@contextmanager
def open_trials(
    dataset: Dataset,
    split: Split,
    config: RunConfig,
    first: Draft,
    out: Path,
    *,
    index: Path | None = None,
    prompts: Path | None = None,
    progress: Progress | None = None,
) -> Iterator[Trials]:
    """Opens index and, where the configuration names one, the model, for the draft ``first`` and all others.

    Raises AmeliError when a part cannot be made, and when ``first`` is not sound.
    """
    with laid_out(first, prompts) as folder:
        opened = placed(config, load_template(first.name, folder))
        with open_pipeline(dataset, opened, index, progress, folder) as pipeline:
            yield Trials(pipeline, config, split, out, prompts)


def sample_of(dataset: Dataset, split: Split, n: int, seed: int) -> Split:
    """``n`` reviews that stand for the split, the same for the same seed. Raises AmeliError."""
    categories = {product.id: product.leaf_category for product in dataset.products.values()}
    return sampled(split, categories, n, seed)
